//! What machine this is, for the manifest and the captions, and what memory it has to give.

use std::fs;

use tempfile::NamedTempFile;

use crate::error::Error;
use crate::journal::record::Machine;

/// A file for what is needed for a moment, such as a worker's words.
pub fn scratch_file() -> Result<NamedTempFile, Error> {
    NamedTempFile::new()
        .map_err(|source| Error::Write { path: std::env::temp_dir(), source: source.kind().into() })
}

/// CPU flags that llama.cpp has code for.
const FEATURES: [&str; 18] = [
    "sse3",
    "ssse3",
    "avx",
    "avx2",
    "avx_vnni",
    "avx512f",
    "avx512bw",
    "avx512vbmi",
    "avx512_vnni",
    "avx512_bf16",
    "amx_int8",
    "f16c",
    "fma",
    "bmi2",
    "asimd",
    "asimddp",
    "i8mm",
    "sve",
];

/// Looks at the machine. `devices` are the GPUs a worker reported.
pub fn look(devices: Vec<String>) -> Machine {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    Machine {
        cpu: cpu_name(&cpuinfo),
        cores: cores(),
        ram_bytes: meminfo("MemTotal:").unwrap_or(0),
        os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        cpu_features: features(&cpuinfo),
        devices,
    }
}

/// Logical CPUs this process may use.
pub fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| n.get() as u32)
}

/// All memory, if the system says.
pub fn total_memory() -> Option<u64> {
    meminfo("MemTotal:")
}

/// Memory that can be had without swapping, if the system says.
pub fn available_memory() -> Option<u64> {
    meminfo("MemAvailable:")
}

fn meminfo(field: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix(field))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

fn cpu_name(cpuinfo: &str) -> String {
    let field = |name: &str| {
        let line = cpuinfo.lines().find(|l| l.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    field("model name").or_else(|| field("Model")).unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

fn features(cpuinfo: &str) -> Vec<String> {
    let flags = cpuinfo.lines().find(|l| l.starts_with("flags") || l.starts_with("Features"));
    let have: Vec<&str> =
        flags.and_then(|l| l.split_once(':')).map_or("", |(_, f)| f).split_whitespace().collect();
    FEATURES.iter().filter(|f| have.contains(f)).map(|f| (*f).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpuinfo_of_two_architectures() {
        let x86 = "processor : 0\nmodel name : Fast 9000\nflags : fpu avx avx2 fma nonsense\n";
        assert_eq!(cpu_name(x86), "Fast 9000");
        assert_eq!(features(x86), ["avx", "avx2", "fma"]);
        assert_eq!(features("Features : fp asimd asimddp\n"), ["asimd", "asimddp"]);
    }
}
