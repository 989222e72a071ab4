//! The records of a results folder, read from their files and not through the program: what was measured, and
//! whether anything of it was lost or counted twice.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bitfrontier::journal::sealed::seal;
use serde_json::Value;

/// A trial as the manifest plans it and its own file tells it.
#[derive(Debug)]
pub struct Trial {
    pub id: String,
    pub variant: String,
    pub kind: String,
    pub suite: String,
    pub planned: u64,
    /// `pending` if the trial has no file.
    pub status: String,
    pub reason: String,
    pub failures: u64,
    /// Whether it was stopped because its answer was known.
    pub stopped: bool,
    /// Intact journal lines of each item.
    pub lines: BTreeMap<u64, u64>,
    /// Journal lines that are not whole.
    pub torn: u64,
}

pub fn manifest(out: &Path) -> Value {
    json(&out.join("manifest.json")).expect("a manifest")
}

fn json(path: &Path) -> Option<Value> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Writes a record with the checksum of what it says now.
pub fn write_record(path: &Path, mut record: Value) {
    record.as_object_mut().expect("an object").remove("crc32");
    fs::write(path, seal(&record).expect("sealed")).expect("written");
}

/// The manifest's trials, in its order.
pub fn trials(out: &Path) -> Vec<Trial> {
    let planned = manifest(out)["trials"].as_array().expect("trials").clone();
    planned.iter().map(|spec| trial(out, spec)).collect()
}

/// The one trial of that variant and suite; `quantize`, `speed` or `noise of SUITE` for the others.
#[track_caller]
pub fn find(out: &Path, variant: &str, what: &str) -> Trial {
    let named = |t: &Trial| match t.kind.as_str() {
        "suite" => t.suite == what,
        "noise" => what.strip_prefix("noise of ") == Some(&t.suite),
        kind => kind == what,
    };
    let mut found: Vec<Trial> =
        trials(out).into_iter().filter(|t| t.variant == variant && named(t)).collect();
    assert_eq!(found.len(), 1, "trials of {variant} {what}: {found:?}");
    found.remove(0)
}

fn trial(out: &Path, spec: &Value) -> Trial {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let id = text(&spec["id"]);
    let folder = out.join("trials").join(&id);
    let file = json(&folder.join("trial.json")).unwrap_or_default();
    let (lines, torn) = journal_lines(&folder);
    Trial {
        variant: text(&spec["variant"]),
        kind: text(&spec["kind"]),
        suite: text(&spec["suite"]),
        planned: spec["items_planned"].as_u64().unwrap_or(0),
        stopped: file["stopped"].is_object(),
        status: file["status"].as_str().unwrap_or("pending").to_owned(),
        reason: text(&file["reason"]),
        failures: file["failures"].as_u64().unwrap_or(0),
        id,
        lines,
        torn,
    }
}

fn journal_lines(folder: &Path) -> (BTreeMap<u64, u64>, u64) {
    let (mut lines, mut torn) = (BTreeMap::new(), 0);
    for line in journals(folder).values().flat_map(|text| text.lines()) {
        match index(line) {
            Some(index) => *lines.entry(index).or_insert(0) += 1,
            None => torn += 1,
        }
    }
    (lines, torn)
}

/// The item that a journal line is about, if its checksum is right.
fn index(line: &str) -> Option<u64> {
    let (sum, text) = line.split_once(' ')?;
    let right = u32::from_str_radix(sum, 16).ok()? == crc32fast::hash(text.as_bytes());
    right.then(|| serde_json::from_str::<Value>(text).ok()?["index"].as_u64())?
}

/// The item journals in a trial's folder, by name.
pub fn journals(folder: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
        .filter(|(name, _)| name.starts_with("items-"))
        .map(|(name, path)| (name, String::from_utf8_lossy(&fs::read(path).expect("read")).into_owned()))
        .collect()
}

/// What is wrong with the records of a sweep that ended well: items that are missing or there twice, trials
/// that are not done.
pub fn losses(out: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    for trial in trials(out) {
        let name = format!("{} {} {}", trial.variant, trial.kind, trial.suite);
        if trial.status != "done" {
            wrong.push(format!("{name} is {}: {}", trial.status, trial.reason));
        }
        if !trial.stopped && trial.lines.len() as u64 != trial.planned {
            wrong.push(format!("{name} has {} items of {}", trial.lines.len(), trial.planned));
        }
        for (index, count) in trial.lines.iter().filter(|(_, count)| **count != 1) {
            wrong.push(format!("{name} has item {index} {count} times"));
        }
    }
    wrong
}
