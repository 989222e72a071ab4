//! Agreement with lm-eval over recorded outputs: answers of our own, each with what lm-eval 0.4.13 made of it.
//!
//! A few hundred come with the project. `scripts/check-answers` makes some thousands more, with the sentence
//! splitter's fetched parameters, and has the ignored test compare them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::english::sentences::Punkt;
use super::exact_match::ExactMatch;
use super::filter::{Filters, Step};
use super::ifeval::check::{Checker, Verdict};
use super::ifeval::instruction::Instruction;

/// A response and lm-eval's verdict on each of its instructions; none where lm-eval throws dice.
#[derive(Deserialize)]
struct Followed {
    ids: Vec<String>,
    kwargs: Vec<Map<String, Value>>,
    response: String,
    strict: Vec<Option<bool>>,
    loose: Vec<Option<bool>>,
    /// The strict verdict of another run, whose language detector has no seed.
    #[serde(default)]
    unseeded: Vec<Option<bool>>,
}

/// Responses, what lm-eval's filters left of them, and whether that was the reference.
#[derive(Deserialize)]
struct Filtered {
    suite: String,
    filter: Vec<Step>,
    options: ExactMatch,
    responses: Vec<String>,
    reference: String,
    answer: Option<String>,
    #[serde(rename = "match")]
    equal: Option<bool>,
    /// What lm-eval's code ended with instead.
    error: Option<String>,
}

/// How often ours and theirs are the same.
#[derive(Default)]
struct Tally {
    verdicts: u64,
    /// Verdicts that the answer is right.
    right: u64,
    different: u64,
    /// Verdicts that lm-eval itself takes back in another run.
    unsteady: u64,
}

impl Tally {
    fn add(&mut self, ours: bool, theirs: bool) -> bool {
        self.verdicts += 1;
        self.right += u64::from(theirs);
        self.different += u64::from(ours != theirs);
        ours != theirs
    }
}

fn rows<T: for<'de> Deserialize<'de>>(path: &Path) -> Vec<T> {
    let text = fs::read_to_string(path).expect("read");
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// Compares IFEval's verdicts by kind of instruction.
fn compare_ifeval(path: &Path, checker: &Checker, show: bool) -> BTreeMap<String, Tally> {
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    for row in rows::<Followed>(path) {
        let instructions = Instruction::parse_all(&row.ids, &row.kwargs).expect("parses");
        let Verdict { strict, loose } = checker.check(&instructions, &row.response).expect("checks");
        let theirs = row.strict.iter().zip(&row.loose);
        for (i, ((id, (strict, loose)), theirs)) in
            row.ids.iter().zip(strict.iter().zip(&loose)).zip(theirs).enumerate()
        {
            let (Some(their_strict), Some(their_loose)) = theirs else { continue };
            let tally = tallies.entry(id.clone()).or_default();
            let differs = tally.add(*strict, *their_strict) | tally.add(*loose, *their_loose);
            let again = row.unseeded.get(i).copied().flatten();
            tally.unsteady += u64::from(again.is_some_and(|again| again != *their_strict));
            if differs && show {
                eprintln!(
                    "{id} {:?}: {strict} {loose}, theirs {their_strict} {their_loose}: {:?}",
                    row.kwargs[i], row.response
                );
            }
        }
    }
    tallies
}

/// Compares what filters leave, and what matches, by suite.
fn compare_filters(path: &Path, show: bool) -> BTreeMap<String, Tally> {
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    for row in rows::<Filtered>(path) {
        let filters = Filters { name: String::new(), steps: row.filter };
        let ours = filters.apply_all(&row.responses).map(|left| left.into_iter().next().unwrap_or_default());
        let tally = tallies.entry(row.suite).or_default();
        // lm-eval crashes where there is no such match; nothing of ours does.
        if row.error.is_some() {
            tally.unsteady += 1;
            continue;
        }
        let ours = ours.expect("filters");
        let equal = row.options.matches(&ours, &row.reference).expect("matches");
        let same = row.answer.as_ref() == Some(&ours);
        let differs = tally.add(equal, row.equal.expect("a verdict"));
        tally.different += u64::from(!same && !differs);
        if show && (differs || !same) {
            eprintln!(
                "{:?} {:?}: {ours:?} {equal}, theirs {:?} {:?}",
                filters.steps, row.responses, row.answer, row.equal
            );
        }
    }
    tallies
}

fn print(title: &str, tallies: &BTreeMap<String, Tally>) {
    let sum = |count: fn(&Tally) -> u64| tallies.values().map(count).sum::<u64>();
    for (name, tally) in tallies {
        let Tally { verdicts, right, different, unsteady } = tally;
        eprintln!(
            "{name:48} {verdicts:6} verdicts, {right:6} right, {different:4} different, {unsteady:4} unsteady or crashed there"
        );
    }
    eprintln!("{title}: {} verdicts, {} different", sum(|t| t.verdicts), sum(|t| t.different));
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/answers").join(name)
}

#[test]
fn ifeval_verdicts_of_our_own_answers_are_lm_evals() {
    let tallies = compare_ifeval(&fixture("ifeval.jsonl"), &Checker::new(Punkt::own()), true);
    assert_eq!(tallies.len(), 25, "kinds of instruction");
    for (id, tally) in &tallies {
        assert!(tally.right > 0 && tally.right < tally.verdicts, "{id} has right and wrong answers");
        assert_eq!(tally.different, 0, "{id}");
    }
}

#[test]
fn filtered_answers_of_our_own_are_lm_evals() {
    let tallies = compare_filters(&fixture("filters.jsonl"), true);
    for (suite, tally) in &tallies {
        assert!(tally.right > 0 && tally.right < tally.verdicts, "{suite} has right and wrong answers");
        assert_eq!(tally.different, 0, "{suite}");
    }
}

fn fetched_punkt(folder: &Path) -> Punkt {
    let read = |name: &str| fs::read_to_string(folder.join(name)).expect("read");
    let [abbreviations, collocations, starters, orthography] =
        ["abbrev_types.txt", "collocations.tab", "sent_starters.txt", "ortho_context.tab"].map(read);
    Punkt::parse(&abbreviations, &collocations, &starters, &orthography).expect("parses")
}

/// Reads the folder that `scripts/check-answers` fills.
#[test]
#[ignore = "run by scripts/check-answers, which records lm-eval's verdicts first"]
fn recorded_outputs_get_lm_evals_verdicts() {
    let folder =
        PathBuf::from(std::env::var_os("BITFRONTIER_ANSWERS").expect("BITFRONTIER_ANSWERS names the folder"));
    let ifeval = folder.join("ifeval.jsonl");
    let fetched =
        compare_ifeval(&ifeval, &Checker::new(fetched_punkt(&folder.join("llama-index-core"))), true);
    print("IFEval", &fetched);
    let own = compare_ifeval(&ifeval, &Checker::new(Punkt::own()), false);
    print("IFEval without the fetched parameters", &own);
    let filters = compare_filters(&folder.join("filters.jsonl"), true);
    print("filters", &filters);
    let different: u64 = fetched.values().chain(filters.values()).map(|tally| tally.different).sum();
    assert_eq!(different, 0, "verdicts that differ from lm-eval's");
}
