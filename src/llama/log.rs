//! llama.cpp's log as data: it is the only place where some facts are said (types chosen, buffer sizes,
//! why a model was refused).

use std::sync::{Arc, Mutex};

use crate::llama::ffi;

/// Most bytes kept of one captured log; the file keeps all.
const KEPT: usize = 4 << 20;

/// Runs `work` and returns its result with what llama.cpp logged meanwhile. `on_line` sees each complete
/// line as it comes.
pub fn captured<T>(mut on_line: impl FnMut(&str) + Send + 'static, work: impl FnOnce() -> T) -> (T, String) {
    let text = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&text);
    let mut line = String::new();
    ffi::set_log_sink(Some(Box::new(move |piece| {
        if let Ok(mut kept) = kept.lock()
            && kept.len() < KEPT
        {
            kept.push_str(piece);
        }
        line.push_str(piece);
        while let Some(end) = line.find('\n') {
            on_line(line[..end].trim_end());
            line.drain(..=end);
        }
    })));
    let result = work();
    ffi::set_log_sink(None);
    let text = text.lock().map(|t| t.clone()).unwrap_or_default();
    (result, text)
}

/// The last lines that sound like a reason, joined, for an error message.
pub fn reason(log: &str) -> String {
    let mut lines: Vec<&str> = log
        .lines()
        .map(str::trim)
        .filter(|l| {
            let lower = l.to_ascii_lowercase();
            let telling = [
                "error",
                "fail",
                "missing",
                "invalid",
                "unable",
                "unknown",
                "not found",
                "requires",
                "disabled",
                "does not",
            ];
            // A line of the metadata may have any key.
            !lower.contains(" - kv ") && telling.iter().any(|w| lower.contains(w))
        })
        .collect();
    lines.dedup();
    let from = lines.len().saturating_sub(2);
    let text = lines.get(from..).unwrap_or_default().join("; ");
    if text.is_empty() { "llama.cpp gave no reason".to_owned() } else { text }
}

/// Sum in bytes of the buffers of one kind in a log: lines such as `CPU KV buffer size = 11.25 MiB`.
/// llama.cpp prints MiB to two decimals, so the sum is exact to 5 KiB a line.
pub fn buffer_bytes(log: &str, kinds: &[&str]) -> u64 {
    log.lines().filter_map(|line| buffer_line(line, kinds)).map(|(_, bytes)| bytes).sum()
}

/// As [`buffer_bytes`], only buffers that do not lie in the CPU's memory.
pub fn device_buffer_bytes(log: &str) -> u64 {
    log.lines()
        .filter_map(|line| buffer_line(line, &["model", "KV", "RS", "compute", "output"]))
        .filter(|(holder, _)| !holder.starts_with("CPU") && !holder.contains("_Host"))
        .map(|(_, bytes)| bytes)
        .sum()
}

/// Bytes of all caches of keys and values that a log tells of, also where nothing was allocated for them: lines such as
/// `llama_kv_cache: size = 11.25 MiB ( 512 cells, 30 layers, ...`. Exact to 5 KiB a line.
pub fn cache_bytes(log: &str) -> u64 {
    let lines = log.lines().filter(|line| line.contains("kv_cache") && line.contains("MiB ("));
    lines.filter_map(|line| mib(line.split_once("size = ")?.1)).sum()
}

/// Bytes of a number of MiB that a text begins with.
fn mib(text: &str) -> Option<u64> {
    let number: f64 = text.trim().split(' ').next()?.parse().ok()?;
    Some((number * 1_048_576.0).round() as u64)
}

fn buffer_line<'a>(line: &'a str, kinds: &[&str]) -> Option<(&'a str, u64)> {
    let (left, right) = line.split_once(" buffer size = ")?;
    let kind = kinds.iter().find(|kind| left.ends_with(**kind))?;
    let holder = left.strip_suffix(kind)?.rsplit(':').next()?.trim();
    Some((holder, mib(right)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "load_tensors:   CPU_Mapped model buffer size =   432.72 MiB\n\
        load_tensors:        CUDA0 model buffer size =   100.00 MiB\n\
        llama_context:        CPU  output buffer size =     0.75 MiB\n\
        llama_kv_cache:        CPU KV buffer size =    11.25 MiB\n\
        sched_reserve:        CPU compute buffer size =    97.51 MiB\n";

    #[test]
    fn buffers_are_summed_by_kind() {
        assert_eq!(buffer_bytes(LOG, &["model"]), (532.72_f64 * 1_048_576.0).round() as u64);
        assert_eq!(buffer_bytes(LOG, &["KV", "RS"]), 11_796_480);
        assert_eq!(buffer_bytes(LOG, &["compute", "output"]), 102_246_646 + 786_432);
    }

    #[test]
    fn caches_are_summed_though_nothing_is_allocated() {
        let log = "llama_kv_cache_iswa: creating non-SWA KV cache, size = 8192 cells\n\
            llama_kv_cache:        CPU KV buffer size =     0.00 MiB\n\
            llama_kv_cache: size =   32.00 MiB (  8192 cells,   3 layers,  1/1 seqs), K (f16): 16.00 MiB, V (f16): 16.00 MiB\n\
            llama_kv_cache: size =    8.50 MiB (  1536 cells,  15 layers,  1/1 seqs), K (f16):  4.25 MiB, V (f16):  4.25 MiB\n\
            llama_memory_recurrent: size =  149.63 MiB (     1 cells,  64 layers,  1 seqs, 0 rs_seq), R (f32): 5.6 MiB\n";
        assert_eq!(cache_bytes(log), (40.5_f64 * 1_048_576.0) as u64);
    }

    #[test]
    fn devices_are_told_from_the_cpu() {
        assert_eq!(device_buffer_bytes(LOG), 100 << 20);
    }

    #[test]
    fn a_reason_is_found() {
        let log = "x: loading\nllama_model_load: error loading model: missing tensor 'a'\nok\n";
        assert_eq!(reason(log), "llama_model_load: error loading model: missing tensor 'a'");
    }
}
