//! Agreement with bfcl-eval over recorded outputs: answers with what bfcl-eval 2026.3.23 made of them.
//!
//! Some hundred, to questions of our own, come with the project. `scripts/check-calls` makes some thousands more, to
//! BFCL's questions, and has the ignored test compare them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value as Json;

use super::expected::Reference;
use super::format::Format;
use super::verdict::judge;

/// A question, and answers to it.
#[derive(Deserialize)]
struct Recorded {
    category: String,
    reference: Json,
    outputs: Vec<Output>,
}

/// An answer with bfcl-eval's verdict; none where its code ends in an exception.
#[derive(Deserialize)]
struct Output {
    format: Format,
    #[serde(rename = "output")]
    text: String,
    right: Option<bool>,
}

#[derive(Default)]
struct Tally {
    right: u64,
    wrong: u64,
    different: u64,
    /// Answers that bfcl-eval crashed on.
    crashed: u64,
}

/// Compares verdicts by category and format.
fn compare(path: &Path) -> BTreeMap<String, Tally> {
    let text = fs::read_to_string(path).expect("read");
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    for line in text.lines() {
        let Recorded { category, reference, outputs } =
            serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        let reference = Reference::read(&reference.to_string(), false).expect("a reference");
        for Output { format, text, right } in outputs {
            let tally = tallies.entry(format!("{category}, {}", format.name())).or_default();
            let ours = judge(&reference, format, &text).fault;
            let Some(theirs) = right else {
                tally.crashed += 1;
                continue;
            };
            tally.right += u64::from(theirs);
            tally.wrong += u64::from(!theirs);
            if ours.is_none() != theirs {
                tally.different += 1;
                eprintln!("{category}: {text:?}: ours {ours:?}, theirs {theirs}; {:?}", reference.wanted);
            }
        }
    }
    tallies
}

fn print(tallies: &BTreeMap<String, Tally>) {
    let sum = |count: fn(&Tally) -> u64| tallies.values().map(count).sum::<u64>();
    for (name, Tally { right, wrong, different, crashed }) in tallies {
        eprintln!(
            "{name:36} {right:5} right, {wrong:5} wrong verdicts, {different:3} different, {crashed:3} crashed there"
        );
    }
    let [right, wrong, different] = [sum(|t| t.right), sum(|t| t.wrong), sum(|t| t.different)];
    eprintln!("all: {right} right, {wrong} wrong verdicts, {different} different");
}

#[test]
fn verdicts_on_answers_of_our_own_are_bfcl_evals() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/answers/calls.jsonl");
    let tallies = compare(&path);
    assert_eq!(tallies.len(), 14, "categories and formats: {:?}", tallies.keys());
    for (name, tally) in &tallies {
        assert!(tally.right > 0 && tally.wrong > 0, "{name} has right and wrong answers");
        assert_eq!(tally.different, 0, "{name}");
    }
}

/// Reads the file that `scripts/check-calls` writes.
#[test]
#[ignore = "run by scripts/check-calls, which records bfcl-eval's verdicts first"]
fn recorded_calls_get_bfcl_evals_verdicts() {
    let path =
        PathBuf::from(std::env::var_os("BITFRONTIER_CALLS").expect("BITFRONTIER_CALLS names the file"));
    let tallies = compare(&path);
    print(&tallies);
    assert_eq!(tallies.values().map(|tally| tally.different).sum::<u64>(), 0, "verdicts that differ");
}
