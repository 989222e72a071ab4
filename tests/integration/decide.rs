//! Sweeps that go on in rounds: that they stop when the answer is known, say why, are not done again, go on where they were
//! left, and come to the items of a whole sweep when that is asked for.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::records::losses;
use crate::sandbox::{FIXTURES, Outcome, Sandbox};
use crate::table::Table;

/// A sweep of the trained fixture on two suites of questions.
fn sweep(sandbox: &Sandbox, out: &str, more: &[&str]) -> Outcome {
    sandbox.run(&args(out, more).iter().map(String::as_str).collect::<Vec<_>>())
}

fn args(out: &str, more: &[&str]) -> Vec<String> {
    let rest = ["--suites", "facts.toml", "words.toml", "--recipes", "Q8_0", "TQ2_0", "--threads", "1"];
    let base = format!("{FIXTURES}/fixture-f16.gguf");
    let words = ["sweep", "--base", &base, "--repetitions", "1", "--out", out];
    words.iter().chain(&rest).chain(more).map(|word| (*word).to_owned()).collect()
}

/// A sandbox with the fixture's suites of questions.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    let suites = Path::new(FIXTURES).join("suites");
    for suite in ["facts", "words"] {
        let text = fs::read_to_string(suites.join(format!("{suite}.toml"))).expect("read");
        sandbox.write(&format!("{suite}.toml"), text.replace("tests/fixtures/suites/", ""));
        let data = format!("{suite}.jsonl");
        fs::copy(suites.join(&data), sandbox.path(&data)).expect("copied");
    }
    sandbox
}

/// What a table says of one variant and suite, or scope.
fn cell(table: &Table, variant: &str, (column, name): (&str, &str), wanted: &str) -> String {
    let rows = table.find(&[("variant", variant), (column, name)]);
    rows.last().unwrap_or_else(|| panic!("no row of {variant} and {name}"))[wanted].clone()
}

fn number(text: &str) -> f64 {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is not a number"))
}

/// Journals of items, by trial.
fn journals(sandbox: &Sandbox, out: &str) -> BTreeMap<String, Vec<u8>> {
    let names = sandbox.files(out).into_iter().filter(|name| name.contains("/items-"));
    names.map(|name| (name.clone(), fs::read(sandbox.path(out).join(&name)).expect("read"))).collect()
}

#[test]
fn trials_stop_when_their_answer_is_known() {
    let sandbox = sandbox();
    let decide = ["--decide", "--tolerance", "0.08"];
    let told = sweep(&sandbox, "out", &decide).ends(0);
    assert!(
        told.stderr.contains("stopped at look 1: worse than the base by more than the tolerance"),
        "{}",
        told.stderr
    );
    assert_eq!(losses(&sandbox.path("out")), Vec::<String>::new());

    let looks = Table::read(&sandbox.path("out/looks.csv"));
    let at_end = |variant: &str, column: &str| cell(&looks, variant, ("scope", "composite"), column);
    assert_eq!((at_end("Q8_0", "rule").as_str(), at_end("TQ2_0", "rule").as_str()), ("equal", "worse"));
    assert!(number(&at_end("TQ2_0", "ci_high")) < -0.08 && number(&at_end("Q8_0", "ci_low")) >= -0.08);
    assert_eq!(at_end("TQ2_0", "items"), "128");

    let trials = Table::read(&sandbox.path("out/trials.csv"));
    let of = |variant: &str, column: &str| {
        trials.cell(&[("kind", "suite"), ("variant", variant), ("suite", "facts")], column).to_owned()
    };
    assert_eq!((of("TQ2_0", "stopped").as_str(), of("TQ2_0", "items_done").as_str()), ("worse", "64"));
    assert_eq!((of("base", "stopped").as_str(), of("TQ2_0", "status").as_str()), ("enough", "done"));
    assert!(
        number(&of("base", "items_done")) >= number(&of("Q8_0", "items_done")),
        "the base has what it is compared on"
    );

    // What is told of the composite holds at every look, and the frontier puts all on the base's items.
    let comparisons = Table::read(&sandbox.path("out/comparisons.csv"));
    let compared = |column: &str| cell(&comparisons, "TQ2_0", ("suite", "composite"), column);
    assert_eq!(
        (compared("ci_low"), compared("ci_high")),
        (at_end("TQ2_0", "more_low"), at_end("TQ2_0", "more_high"))
    );
    assert_eq!(compared("shown"), "worse");
    let frontier = Table::read(&sandbox.path("out/frontier.csv"));
    let y = |variant: &str| number(&cell(&frontier, variant, ("axis_y", "composite.mean_score"), "y"));
    assert!((y("TQ2_0") - y("base") - number(&compared("delta"))).abs() < 1e-9);

    // The same command has nothing to do.
    let (before, tables) = (journals(&sandbox, "out"), sandbox.read("out/looks.csv"));
    sweep(&sandbox, "out", &decide).ends(0);
    assert_eq!((journals(&sandbox, "out"), sandbox.read("out/looks.csv")), (before, tables));

    // A stricter one is another question, and goes on where nothing had moved.
    let items = |sandbox: &Sandbox| -> f64 {
        let trials = Table::read(&sandbox.path("out/trials.csv"));
        trials.find(&[("kind", "suite")]).iter().map(|row| number(&row["items_done"])).sum()
    };
    let done = items(&sandbox);
    sweep(&sandbox, "out", &["--decide", "--tolerance", "0.02"]).ends(0);
    assert!(items(&sandbox) > done, "{done} items are still all");
    let looks = Table::read(&sandbox.path("out/looks.csv"));
    assert_ne!(cell(&looks, "Q8_0", ("scope", "composite"), "rule"), "");

    // Another tolerance is another question, and without early stopping all items are done: those of a whole sweep.
    sweep(&sandbox, "out", &["--decide", "--tolerance", "0.3"]).ends(0);
    sweep(&sandbox, "out", &[]).ends(0);
    sweep(&sandbox, "whole", &[]).ends(0);
    let tables = ["out", "whole"].map(|out| Table::read(&sandbox.path(out).join("metrics.csv")));
    assert_eq!(tables[0].column("n"), tables[1].column("n"));
    // Which items are decoded together shows in the last digits, and a near-tie may fall either way.
    let values = tables.each_ref().map(|table| table.column("value"));
    for ((one, other), metric) in values[0].iter().zip(&values[1]).zip(tables[0].column("metric")) {
        assert!(
            metric.contains("noise") || (number(one) - number(other)).abs() < 0.02,
            "{metric}: {one} {other}"
        );
    }
    let trials = Table::read(&sandbox.path("out/trials.csv"));
    assert_eq!(cell(&trials, "TQ2_0", ("suite", "facts"), "stopped"), "");
}

#[test]
fn each_suite_can_be_decided_for_itself() {
    let sandbox = sandbox();
    sweep(&sandbox, "out", &["--decide=suites", "--tolerance", "0.2", "--precision", "0.15"]).ends(0);
    let looks = Table::read(&sandbox.path("out/looks.csv"));
    for suite in ["facts", "words"] {
        let rule = cell(&looks, "Q8_0", ("scope", suite), "rule");
        assert!(["equal", "precise"].contains(&rule.as_str()), "{suite}: {rule}");
    }
}

#[test]
fn a_killed_sweep_goes_on_in_its_round() {
    let sandbox = sandbox();
    // With a single suite nothing depends on what an item took, and a sweep that was killed ends as another.
    let one_suite = |out: &str| -> Vec<String> {
        let all = args(out, &["--decide", "--tolerance", "0.05"]);
        all.into_iter().filter(|word| word != "words.toml").collect()
    };
    let words = one_suite("out");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut killed = 0;
    for after in [1, 130, 250, 400] {
        let mut child = sandbox.start(&words);
        let begun = Instant::now();
        let items =
            || journals(&sandbox, "out").values().map(|j| j.split(|b| *b == b'\n').count()).sum::<usize>();
        while items() < after
            && begun.elapsed() < Duration::from_mins(1)
            && child.try_wait().expect("asked").is_none()
        {
            std::thread::sleep(Duration::from_millis(5));
        }
        killed += u32::from(child.try_wait().expect("asked").is_none());
        let _ = child.kill();
        child.wait().expect("ended");
    }
    assert!(killed > 0, "no run was killed in its midst");
    sandbox.run(&words).ends(0);
    assert_eq!(losses(&sandbox.path("out")), Vec::<String>::new());
    let looks = Table::read(&sandbox.path("out/looks.csv"));
    for variant in ["Q8_0", "TQ2_0"] {
        assert_ne!(cell(&looks, variant, ("scope", "composite"), "rule"), "", "{variant}");
    }
    let whole = one_suite("whole");
    sandbox.run(&whole.iter().map(String::as_str).collect::<Vec<_>>()).ends(0);
    for table in ["looks.csv", "metrics.csv", "comparisons.csv"] {
        assert_eq!(sandbox.read(&format!("out/{table}")), sandbox.read(&format!("whole/{table}")));
    }
    let scores = |out: &str| -> Vec<String> {
        let text: String = journals(&sandbox, out)
            .into_values()
            .map(|lines| String::from_utf8(lines).expect("text"))
            .collect();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!(scores("out"), scores("whole"));
}

#[test]
fn a_budget_ends_a_sweep_that_the_same_command_goes_on_with() {
    let sandbox = sandbox();
    let told = sweep(&sandbox, "out", &["--budget", "1ms"]).ends(0);
    assert!(told.stderr.contains("the budget is spent; the same command goes on"), "{}", told.stderr);
    assert!(told.stderr.contains("the time was up for"), "{}", told.stderr);
    sweep(&sandbox, "out", &["--budget", "1h"]).ends(0);
    let trials = Table::read(&sandbox.path("out/trials.csv"));
    for variant in ["base", "Q8_0", "TQ2_0"] {
        for suite in ["facts", "words"] {
            let of = |column: &str| {
                trials.cell(&[("kind", "suite"), ("variant", variant), ("suite", suite)], column).to_owned()
            };
            assert_eq!(
                (of("status"), of("items_done")),
                ("done".to_owned(), of("items_planned")),
                "{variant} {suite}"
            );
        }
    }
}

#[test]
fn texts_alone_decide_nothing() {
    let sandbox = sandbox();
    let told = sandbox.run(&[
        "sweep",
        "--base",
        "tiny.gguf",
        "--suites",
        "prose.toml",
        "--recipes",
        "Q8_0",
        "--decide",
        "--out",
        "out",
    ]);
    let told = told.ends(3);
    assert!(told.stderr.contains("there is no suite of questions"), "{}", told.stderr);
}
