//! The rows of a suite's data file, whatever it is written in: each becomes a JSON object that templates are rendered
//! over, with the place it stands at, so that whatever is wrong with it can be said with file and line.
//!
//! | ending | is |
//! |---|---|
//! | `.jsonl`, `.ndjson`, and any that is not known | one JSON object a line |
//! | `.json` | an array of JSON objects, or one a line |
//! | `.csv`, `.tsv` | a header, then a record a row; every value is a text |
//! | `.parquet` | a row a row; lists and structs become JSON's |
//!
//! Each but Parquet may be compressed: `.gz` behind its ending. Files come from strangers: their sizes are bounded, and
//! nothing in them ends the program.

mod footer;
mod parquet_file;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use serde_json::{Deserializer, Map, Value};

use crate::plan::error::PlanError;

/// Most bytes of a file, unpacked.
const MOST_BYTES: u64 = 1 << 30;

/// A row of data.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The line it begins on, from 1; in a Parquet file the row's number.
    pub line: usize,
    /// A JSON object: the row's values by their columns.
    pub value: Value,
}

/// What a file is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    JsonLines,
    Json,
    /// With the byte between values.
    Separated(u8),
    Parquet,
}

/// Reads a data file. Empty lines are no rows.
///
/// # Errors
/// What is wrong with the file, or with the first row that something is wrong with.
pub fn read(path: &Path) -> Result<Vec<Row>, PlanError> {
    let failed = |source| PlanError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let bytes =
        if is_packed(path) { bounded(MultiGzDecoder::new(file)) } else { bounded(file) }.map_err(failed)?;
    let Some(bytes) = bytes else {
        return Err(unusable(path, format!("it is larger than {} GiB", MOST_BYTES >> 30)));
    };
    parse(path, bytes)
}

/// All of it, unless it is too much.
fn bounded(reader: impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    reader.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= MOST_BYTES).then_some(bytes))
}

/// What `read` does once the bytes are there.
fn parse(path: &Path, bytes: Vec<u8>) -> Result<Vec<Row>, PlanError> {
    let format = format_of(path);
    if format == Format::Parquet {
        return parquet_file::rows(path, bytes);
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        bad(path, 1 + newlines(good), "not UTF-8 text".to_owned())
    })?;
    // Spreadsheets put a byte order mark in front of what they export.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    match format {
        Format::Separated(by) => separated(path, text, by),
        Format::Json if text.trim_start().starts_with('[') => array(path, text),
        _ => lines(path, text),
    }
}

fn is_packed(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gz"))
}

fn format_of(path: &Path) -> Format {
    let inner = if is_packed(path) { path.file_stem().map(Path::new) } else { Some(path) };
    let ending = inner.and_then(Path::extension).unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    match ending.as_str() {
        "json" => Format::Json,
        "csv" => Format::Separated(b','),
        "tsv" => Format::Separated(b'\t'),
        "parquet" => Format::Parquet,
        _ => Format::JsonLines,
    }
}

/// Something wrong with a row, said with its place.
pub fn bad(path: &Path, line: usize, message: String) -> PlanError {
    let path = path.to_owned();
    match format_of(&path) {
        Format::Parquet => PlanError::Row { path, row: line, message },
        _ => PlanError::Data { path, line, message },
    }
}

/// Something wrong with the whole file.
fn unusable(path: &Path, message: String) -> PlanError {
    PlanError::File { path: path.to_owned(), message }
}

fn newlines(bytes: &[u8]) -> usize {
    bytes.split(|b| *b == b'\n').count() - 1
}

/// One JSON object a line.
fn lines(path: &Path, text: &str) -> Result<Vec<Row>, PlanError> {
    let filled = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let rows = filled.map(|(i, text)| {
        let value = serde_json::from_str(text).map_err(|error| not_json(path, i + 1, &error))?;
        object(path, i + 1, value)
    });
    rows.collect()
}

/// An array of JSON objects. Read one by one, so that each has its line.
fn array(path: &Path, text: &str) -> Result<Vec<Row>, PlanError> {
    let mut rows = Vec::new();
    let mut line = 1;
    let mut rest = text;
    let mut skip = |rest: &mut &str, bytes: usize| {
        let (past, left) = rest.split_at_checked(bytes).unwrap_or((rest, ""));
        line += newlines(past.as_bytes());
        *rest = left;
        line
    };
    let blank = |rest: &str| rest.len() - rest.trim_start().len();
    // Of `[ value, value ]` one mark and one value at a time.
    loop {
        let before = blank(rest);
        let at = skip(&mut rest, before);
        let mark = rest.chars().next();
        let first = rows.is_empty();
        match mark {
            Some(']') if !first => {
                skip(&mut rest, 1);
                break;
            }
            Some('[') if first => {}
            Some(',') if !first => {}
            _ => return Err(bad(path, at, "not valid JSON: expected a comma or the list's end".to_owned())),
        }
        skip(&mut rest, 1);
        let before = blank(rest);
        let at = skip(&mut rest, before);
        if first && rest.starts_with(']') {
            skip(&mut rest, 1);
            break;
        }
        let mut values = Deserializer::from_str(rest).into_iter::<Value>();
        match values.next() {
            Some(Ok(value)) => rows.push(object(path, at, value)?),
            Some(Err(error)) => return Err(not_json(path, at + error.line().saturating_sub(1), &error)),
            None => return Err(bad(path, at, "not valid JSON: the list does not end".to_owned())),
        }
        let read = values.byte_offset();
        skip(&mut rest, read);
    }
    let before = blank(rest);
    let at = skip(&mut rest, before);
    if rest.is_empty() { Ok(rows) } else { Err(bad(path, at, "there is more behind the list".to_owned())) }
}

fn object(path: &Path, line: usize, value: Value) -> Result<Row, PlanError> {
    if value.is_object() {
        return Ok(Row { line, value });
    }
    Err(bad(path, line, "not a JSON object".to_owned()))
}

fn not_json(path: &Path, line: usize, error: &serde_json::Error) -> PlanError {
    let text = error.to_string();
    // It counts lines from where the value begins.
    let what = text.split(" at line ").next().unwrap_or_default();
    bad(path, line, format!("not valid JSON: {what}, column {}", error.column()))
}

/// A header, then records with a text for each of its columns.
fn separated(path: &Path, text: &str, by: u8) -> Result<Vec<Row>, PlanError> {
    let mut reader = csv::ReaderBuilder::new().delimiter(by).from_reader(text.as_bytes());
    let columns = reader.headers().map_err(|error| not_separated(path, text, &error))?.clone();
    let mut known = BTreeSet::new();
    if let Some(twice) = columns.iter().find(|name| !known.insert(*name)) {
        return Err(bad(path, 1, format!("two columns are called {twice:?}")));
    }
    let rows = reader.records().map(|record| {
        let record = record.map_err(|error| not_separated(path, text, &error))?;
        let fields = columns.iter().zip(&record);
        let value: Map<_, _> = fields.map(|(name, text)| (name.to_owned(), text.into())).collect();
        Ok(Row { line: line_of(text, record.position()), value: Value::Object(value) })
    });
    rows.collect()
}

/// The line a record begins on; the reader's own position is in front of empty lines.
fn line_of(text: &str, position: Option<&csv::Position>) -> usize {
    let at = position.map_or(0, |p| usize::try_from(p.byte()).unwrap_or(usize::MAX));
    let rest = text.as_bytes().get(at..).unwrap_or_default();
    let empty = rest.iter().take_while(|b| matches!(b, b'\n' | b'\r')).count();
    let line = position.map_or(1, |p| usize::try_from(p.line()).unwrap_or(usize::MAX));
    line + newlines(rest.get(..empty).unwrap_or_default())
}

fn not_separated(path: &Path, text: &str, error: &csv::Error) -> PlanError {
    let message = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} values, and the header has {expected_len} columns")
        }
        _ => error.to_string(),
    };
    bad(path, line_of(text, error.position()), message)
}

#[cfg(test)]
mod tests;
