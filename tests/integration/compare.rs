//! `bitfrontier compare` on the results of real sweeps: the numbers of the tables, the items that flipped, and what it
//! refuses.

use serde_json::Value;

use crate::sandbox::Sandbox;
use crate::table::Table;

const WHAT: [&str; 6] = ["--recipes", "Q8_0", "TQ2_0", "--suites", "prose.toml", "quiz.toml"];

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

#[test]
fn two_variants_and_two_sweeps_are_compared() {
    let sandbox = Sandbox::new();
    sandbox.sweep(&WHAT).ends(0);
    with_the_base(&sandbox);
    two_sweeps(&sandbox);
    what_cannot_be_compared(&sandbox);
}

/// A variant against the base is what the tables say of it, and what flipped is what the item files say.
fn with_the_base(sandbox: &Sandbox) {
    let told = sandbox.run(&["compare", "out:base", "out:TQ2_0", "--json"]).ends(0).stdout;
    let told: Value = serde_json::from_str(&told).expect("JSON");
    let rows = told["rows"].as_array().expect("rows");
    let comparisons = Table::read(&sandbox.path("out/comparisons.csv"));
    for metric in ["acc", "acc_norm"] {
        let row = rows.iter().find(|row| row["metric"] == metric).expect(metric);
        let key = [("variant", "TQ2_0"), ("suite", "quiz"), ("metric", metric)];
        for column in ["delta", "ci_low", "ci_high", "p", "detectable", "flips_lost", "flips_won", "n"] {
            let cell: f64 = comparisons.cell(&key, column).parse().expect(column);
            assert!((number(&row[column]) - cell).abs() < 1e-12, "{metric} {column}: {row}");
        }
        let apart = number(&row["value_b"]) - number(&row["value_a"]);
        assert!((apart - number(&row["delta"])).abs() < 1e-12, "{row}");
    }
    let ppl = rows.iter().find(|row| row["metric"] == "ppl").expect("ppl");
    let cell = comparisons.cell(&[("variant", "TQ2_0"), ("metric", "ppl")], "delta");
    assert!((number(&ppl["delta"]) / cell.parse::<f64>().expect("a number") - 1.0).abs() < 1e-5, "{ppl}");

    let main = rows.iter().find(|row| row["metric"] == "acc_norm").expect("acc_norm");
    let flipped = told["flipped"].as_array().expect("flipped");
    let lost = flipped.iter().filter(|flip| flip["lost"] == true).count();
    assert_eq!(main["flips_lost"], lost);
    assert_eq!(main["flips_won"], flipped.len() - lost);
    assert!(!flipped.is_empty(), "two bits change answers of an untrained model");
    for flip in flipped {
        assert_ne!(flip["answer_a"], flip["answer_b"]);
        let right = if flip["lost"] == true { &flip["answer_a"] } else { &flip["answer_b"] };
        assert_eq!(right, &flip["right"]);
        assert!(flip["prompt"].as_str().is_some_and(|prompt| !prompt.is_empty()));
    }
    let text = sandbox.run(&["compare", "out:base", "out:TQ2_0", "--items", "1"]).ends(0).stdout;
    assert!(text.contains("A: out:base\nB: out:TQ2_0\n") && text.contains("acc_norm"), "{text}");
    assert_eq!(text.matches("  asked: ").count(), 1, "{text}");
}

/// The same once more differs in nothing; another version of a suite is not compared, and what else is.
fn two_sweeps(sandbox: &Sandbox) {
    let quiz = sandbox.read("quiz.toml");
    sandbox.write("quiz.toml", quiz.replace("version = 1", "version = 2"));
    sandbox.sweep(&[&WHAT[..], &["--out", "again", "--threads", "2"]].concat()).ends(0);
    let told = sandbox.run(&["compare", "out", "again", "--json"]).ends(0).stdout;
    let told: Value = serde_json::from_str(&told).expect("JSON");
    let refused = told["refused"].as_array().expect("refused");
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(
        (&refused[0]["suite"], &refused[0]["reason"]),
        (&"quiz".into(), &"its versions differ: 1 and 2".into())
    );
    let rows = told["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 3 * 2, "three variants: perplexity and divergence");
    for row in rows {
        assert_eq!(row["suite"], "prose");
        assert!(number(&row["delta"]).abs() < 1e-2, "another number of threads moves only rounding: {row}");
    }
    assert_eq!(told["differs"], serde_json::json!(["threads: 1 and 2"]));
}

fn what_cannot_be_compared(sandbox: &Sandbox) {
    sandbox
        .run(&["compare", "out:Q8", "out:base"])
        .ends(3)
        .says("out has no variant \"Q8\"", "did you mean Q8_0?");
    sandbox.run(&["compare", "out", "again:base"]).ends(3).says(
        "out and again:base: only one of them names a variant",
        "compare DIR:VARIANT with DIR:VARIANT, or DIR with DIR",
    );
    let none = sandbox.run(&["compare", "out", "nowhere"]);
    assert!(none.code != Some(0) && none.stderr.contains("nowhere/manifest.json"), "{}", none.stderr);
    sandbox.sweep(&["--recipes", "Q8_0", "--suites", "quiz.toml", "--out", "only"]).ends(0);
    let other = sandbox.run(&["compare", "out", "only"]).ends(3);
    assert!(other.stderr.contains("nothing of out and only can be compared: "), "{}", other.stderr);
    assert!(other.stderr.contains("quiz: its versions differ: 1 and 2"), "{}", other.stderr);
}
