//! Quantizing a file, and the types llama.cpp chose, read from its log: the only place where it says them
//! in a dry run, and where it says which tensors' shapes it could not honour.

use std::path::Path;
use std::time::Instant;

use crate::llama::ffi::{self, QuantizeOptions};
use crate::llama::log;
use crate::llama::model::LlamaError;

/// Numbers of file types that this llama.cpp removed; it divides by zero on them.
const REMOVED: [u32; 6] = [4, 5, 6, 33, 34, 35];

/// What quantizing (or a dry run) decided.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct QuantizeLog {
    /// Wall seconds of the native call.
    pub seconds: f64,
    /// (tensor, type) in the file's order, types as ggml names them.
    pub tensors: Vec<(String, String)>,
    /// Shapes that did not allow the type asked for.
    pub fallbacks: Vec<ShapeFallback>,
}

/// A tensor whose columns the block of the type asked for does not divide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShapeFallback {
    /// Tensor.
    pub tensor: String,
    /// Its columns.
    pub columns: u64,
    /// Block size of the type asked for.
    pub block: u64,
    /// The type asked for, as ggml names it.
    pub wanted: String,
}

/// Quantizes `input` to `output`. `on_step` is called with (tensors done, tensors in all).
pub fn quantize(
    input: &Path,
    output: &Path,
    options: &QuantizeOptions,
    on_step: impl FnMut(u64, u64) + Send + 'static,
) -> Result<QuantizeLog, LlamaError> {
    let refuse =
        |reason: &str| LlamaError::Quantize { path: input.display().to_string(), reason: reason.to_owned() };
    if REMOVED.contains(&options.ftype) {
        return Err(refuse("this file type was removed from llama.cpp"));
    }
    if !options.dry_run && same_file(input, output) {
        return Err(refuse("input and output are the same file"));
    }
    let begun = Instant::now();
    let mut on_step = on_step;
    let on_line = move |line: &str| {
        if let Some((done, total)) = step(line) {
            on_step(done, total);
        }
    };
    let (ok, log) = log::captured(on_line, || ffi::quantize(input, output, options));
    if !ok {
        return Err(refuse(&log::reason(&log)));
    }
    Ok(QuantizeLog {
        seconds: begun.elapsed().as_secs_f64(),
        tensors: tensors(&log),
        fallbacks: fallbacks(&log),
    })
}

fn same_file(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}

/// `[  12/ 272] blk.0...` -> (12, 272).
fn step(line: &str) -> Option<(u64, u64)> {
    let inner = line.trim_start().strip_prefix('[')?.split(']').next()?;
    let (done, total) = inner.split_once('/')?;
    Some((done.trim().parse().ok()?, total.trim().parse().ok()?))
}

/// Tensor lines end in `(q4_K)` (dry run), in `converting to q4_K .. size = ...`, or keep their type.
fn tensors(log: &str) -> Vec<(String, String)> {
    log.lines().filter(|line| step(line).is_some()).filter_map(tensor_line).collect()
}

fn tensor_line(line: &str) -> Option<(String, String)> {
    let (_, rest) = line.split_once(']')?;
    let name = rest.split_whitespace().next()?.to_owned();
    let word_after = |mark: &str| {
        let (_, tail) = rest.split_once(mark)?;
        Some(tail.trim_start().split([' ', ',']).next()?.to_owned())
    };
    let kept = word_after("type =")?;
    let dry = rest
        .trim_end()
        .strip_suffix(')')
        .and_then(|r| r.rsplit_once('('))
        .map(|(_, t)| t.trim().to_owned())
        .filter(|_| rest.contains("->"));
    Some((name, word_after("converting to").or(dry).unwrap_or(kept)))
}

/// `warning: NAME - ncols 576 not divisible by 256 (required for type q4_K) ...`
fn fallbacks(log: &str) -> Vec<ShapeFallback> {
    log.lines()
        .filter_map(|line| {
            let (left, right) = line.split_once(" not divisible by ")?;
            let (name, columns) = left.rsplit_once("ncols")?;
            let name = name.rsplit("warning:").next()?.trim().trim_end_matches('-').trim();
            let (block, wanted) = right.split_once("(required for type")?;
            Some(ShapeFallback {
                tensor: name.to_owned(),
                columns: columns.trim().parse().ok()?,
                block: block.trim().parse().ok()?,
                wanted: wanted.split(')').next()?.trim().to_owned(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensor_lines_of_a_dry_run_and_of_a_real_one() {
        let log = "[   1/   3]                    output_norm.weight - [   576,     1,     1,     1], type =    f32, size =    0.002 MiB\n\
            [   2/   3]                    output.weight - [   576, 49152,     1,     1], type =    f16, size =    54.00 MiB ->    21.09 MiB (q6_K)\n\
            [   3/   3]  blk.0.ffn_down.weight - [  1536,   576,     1,     1], type =    f16, converting to q4_K .. size =     1.69 MiB ->     0.47 MiB\n";
        let expected =
            [("output_norm.weight", "f32"), ("output.weight", "q6_K"), ("blk.0.ffn_down.weight", "q4_K")];
        assert_eq!(tensors(log), expected.map(|(n, t)| (n.to_owned(), t.to_owned())).to_vec());
    }

    #[test]
    fn fallback_lines() {
        let log = "warning: blk.0.attn_q.weight                  - ncols    576 not divisible by 256 (required for type    q4_K) -> falling back to q5_0\n";
        assert_eq!(
            fallbacks(log),
            vec![ShapeFallback {
                tensor: "blk.0.attn_q.weight".to_owned(),
                columns: 576,
                block: 256,
                wanted: "q4_K".to_owned()
            }]
        );
    }

    #[test]
    fn a_log_never_panics() {
        for text in ["[", "[/]", "[1/2]", "[1/2] x type =", "ncols not divisible by ", "(required for type"] {
            let _ = (tensors(text), fallbacks(text));
        }
    }
}
