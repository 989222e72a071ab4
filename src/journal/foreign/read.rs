//! A file of another program, told by its content: llama-bench's CSV, JSON or JSON lines, or what llama-perplexity printed.

use std::fs;
use std::path::Path;

use super::record::{ForeignError, ForeignFile};
use super::{bench, log};

/// The largest file that is read; outputs have kilobytes.
const MOST_BYTES: u64 = 8 << 20;
/// Where scores stand that are beside no suite of the sweep.
const ON_ITS_OWN: &str = "llama-perplexity";

/// What is wrong with a file, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// From 1.
    pub line: usize,
    /// What.
    pub reason: String,
}

impl Fault {
    pub(super) fn new(line: usize, reason: impl Into<String>) -> Self {
        Self { line, reason: reason.into() }
    }
}

/// Reads a file; its checksum is left to the caller. Its scores stand beside those of `suite`, if one is named.
///
/// # Errors
/// If it cannot be read, or is not what one of the two programs writes.
pub fn read(path: &Path, suite: Option<&str>) -> Result<ForeignFile, ForeignError> {
    let unreadable = |source| ForeignError::Read { path: path.to_owned(), source };
    let bytes = fs::metadata(path).map_err(unreadable)?.len();
    let bad =
        |fault: Fault| ForeignError::Bad { path: path.to_owned(), line: fault.line, reason: fault.reason };
    if bytes > MOST_BYTES {
        return Err(bad(Fault::new(1, format!("the file has more than {} MiB", MOST_BYTES >> 20))));
    }
    let bytes = fs::read(path).map_err(unreadable)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // Logs of a terminal may hold anything; what is read of them is ASCII and a few signs.
    let parsed = parse(&String::from_utf8_lossy(&bytes)).map_err(bad)?;
    Ok(ForeignFile { file: name, suite: suite.unwrap_or(ON_ITS_OWN).to_owned(), ..parsed })
}

/// The measurements of a text.
pub(super) fn parse(text: &str) -> Result<ForeignFile, Fault> {
    let plain = text.trim_start_matches('\u{feff}').trim_start();
    let first = plain.lines().next().unwrap_or_default();
    let (tool, (models, left_out)) = if plain.starts_with(['[', '{']) {
        ("llama-bench", bench::json(text)?)
    } else if first.contains("n_prompt") && first.contains(',') {
        ("llama-bench", bench::csv(text)?)
    } else if first.starts_with('|') {
        return Err(Fault::new(1, "a table for people leaves out digits and settings"));
    } else {
        ("llama-perplexity", (vec![log::parse(text)?], Vec::new()))
    };
    Ok(ForeignFile {
        file: String::new(),
        sha256: String::new(),
        tool: tool.to_owned(),
        suite: String::new(),
        models,
        left_out,
    })
}
