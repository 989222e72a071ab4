//! The worker's own peak memory. Only a process can say its own: what a parent reads of its children is the
//! largest of all of them.

use std::fs;

/// Peak resident set of this process in bytes (`VmHWM`); 0 where the system does not say.
pub fn peak_rss_bytes() -> u64 {
    field(&fs::read_to_string("/proc/self/status").unwrap_or_default(), "VmHWM:")
}

/// A field of `/proc/self/status`, which counts in KiB.
fn field(status: &str, name: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|kib| kib.parse::<u64>().ok())
        .map_or(0, |kib| kib * 1024)
}

/// Memory that a header may take where the system does not say what there is.
const HEADER_BYTES: u64 = 8 << 30;

/// Memory that a chat template may take, beside some times what it renders.
const CHAT_BYTES: u64 = 512 << 20;

/// Memory that a stranger's suite may take, beside some times its data.
const SUITE_BYTES: u64 = 2 << 30;

/// Renders a stranger's suite over files of so many bytes, with bounded memory.
pub fn for_suite<T>(data_bytes: u64, render: impl FnOnce() -> T) -> T {
    with_at_most(SUITE_BYTES.saturating_add(data_bytes.saturating_mul(64)), render)
}

/// Runs a chat template over texts of so many bytes. It is a stranger's program, so that what it may take is bounded.
pub fn for_template<T>(text_bytes: usize, render: impl FnOnce() -> T) -> T {
    with_at_most(CHAT_BYTES + 8 * text_bytes as u64, render)
}

/// Reads a header that may claim anything, such as a vocabulary of billions, with at most most of the memory there is.
pub fn for_header<T>(read: impl FnOnce() -> T) -> T {
    with_at_most(available().map_or(HEADER_BYTES, |bytes| bytes / 4 * 3), read)
}

/// Does something for which this process may take at most so many bytes more than it has; where more is asked for it
/// ends in an abort, which its parent reports. No bound where the system has none to set.
fn with_at_most<T>(bytes: u64, work: impl FnOnce() -> T) -> T {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let before = getrlimit(Resource::As);
        let taken = field(&fs::read_to_string("/proc/self/status").unwrap_or_default(), "VmSize:");
        let bound = before.current.map_or(taken + bytes, |current| current.min(taken + bytes));
        // Without the bound the work is as safe as its own limits make it.
        let bounded = taken > 0 && setrlimit(Resource::As, Rlimit { current: Some(bound), ..before }).is_ok();
        let result = work();
        if bounded {
            let _ = setrlimit(Resource::As, before);
        }
        result
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = bytes;
        work()
    }
}

/// Memory that can be had without swapping, in bytes; absent where the system does not say.
pub fn available() -> Option<u64> {
    Some(field(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")).filter(|bytes| *bytes > 0)
}

/// How often the kernel has killed a process for memory since it started; 0 where it does not say.
pub fn kernel_oom_kills() -> u64 {
    fs::read_to_string("/proc/vmstat")
        .unwrap_or_default()
        .lines()
        .find_map(|line| line.strip_prefix("oom_kill "))
        .and_then(|n| n.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vm_hwm_is_in_kib() {
        assert_eq!(field("Name:\tx\nVmHWM:\t    1234 kB\nVmRSS:\t 10 kB\n", "VmHWM:"), 1234 * 1024);
        assert_eq!(field("", "VmHWM:"), 0);
    }
}
