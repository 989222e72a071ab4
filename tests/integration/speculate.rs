//! Speculative decoding from the command line: a model that drafts for itself, one that drafts for another, and what
//! cannot draft.

use std::fs;

use serde_json::Value;

use crate::sandbox::Sandbox;

const PROMPTS: &str = "{\"id\": \"one\", \"prompt\": \"The keeper\"}\n{\"prompt\": \"It was night and\"}\n";

fn speculate(sandbox: &Sandbox, models: [&str; 2], more: &[&str]) -> Value {
    let common = ["--prompts", "p.jsonl", "--tokens", "24", "--repetitions", "1", "--threads", "1", "--json"];
    let args = [&["speculate", models[0], models[1]], &common[..], more].concat();
    serde_json::from_str(&sandbox.run(&args).ends(0).stdout).expect("JSON")
}

#[test]
fn output_is_the_targets_own_whatever_drafts() {
    let sandbox = Sandbox::new();
    sandbox.write("p.jsonl", PROMPTS);
    sandbox.run(&["quantize", "tiny.gguf", "Q4_0", "q4.gguf", "--threads", "1"]).ends(0);
    for models in [["tiny.gguf", "tiny.gguf"], ["tiny.gguf", "q4.gguf"], ["q4.gguf", "tiny.gguf"]] {
        let answer = speculate(&sandbox, models, &["--draft-lengths", "4,2"]);
        let rows = answer["rows"].as_array().expect("rows");
        assert_eq!(rows.len(), 2);
        for (row, length) in rows.iter().zip([2, 4]) {
            assert_eq!((&row["length"], &row["prompts"]), (&length.into(), &2.into()));
            assert_eq!((&row["status"], &row["diverged"]), (&"done".into(), &0.into()), "{row}");
            let (ties, same) = (row["near_ties"].as_u64(), row["same_outputs"].as_u64());
            assert!(ties == Some(0) && same == Some(2) || ties > Some(0) && same < Some(2), "{row}");
            let acceptance = row["acceptance"].as_f64().expect("a share");
            if models[0] == models[1] && ties == Some(0) {
                assert!((acceptance - 1.0).abs() < 1e-12, "{row}");
            } else {
                assert!(acceptance > 0.1 && acceptance < 1.0, "{row}");
            }
            assert!(row["plain_tps"].as_f64() > Some(0.0) && row["ratio"].as_f64() > Some(0.0));
        }
        let ids: Vec<&str> =
            answer["prompts"].as_array().expect("prompts").iter().filter_map(|p| p["id"].as_str()).collect();
        assert_eq!(ids, ["one", "line-2"]);
    }
}

#[test]
fn what_cannot_draft_is_refused() {
    let sandbox = Sandbox::new();
    other_vocabulary(&sandbox);
    let outcome = sandbox.run(&["speculate", "tiny.gguf", "other.gguf"]).ends(3);
    assert!(
        outcome.stderr.contains(
            "other.gguf cannot draft for tiny.gguf: its vocabulary has other tokens among its 512 (hint: a draft"
        ),
        "{}",
        outcome.stderr
    );
    sandbox.write("p.jsonl", "{\"prompt\": \"a\"}\n{\"prompt\": 3}\n");
    for (args, expected) in [
        (
            &["tiny.gguf", "tiny.gguf", "--prompts", "p.jsonl"][..],
            "p.jsonl, line 2: not a JSON object with a text",
        ),
        (&["tiny.gguf", "tiny.gguf", "--draft-lengths", "2,65"], "--draft-lengths: a draft of 65 tokens"),
        (&["tiny.gguf", "tiny.gguf", "--tokens", "600"], "tokens is longer than the model's 512"),
    ] {
        let outcome = sandbox.run(&[&["speculate"], args].concat()).ends(3);
        assert!(outcome.stderr.contains(expected), "{}", outcome.stderr);
    }
}

const NIGHT: &str = r#"base = "tiny.gguf"
out = "out"
threads = 1
suites = ["prose.toml"]
limit = 2
recipes = ["Q8_0", "Q4_0"]

[speed]
repetitions = 1

[[speculate]]
target = "base"
draft = "Q4_0"
lengths = [2, 4]
tokens = 16
prompts = "p.jsonl"

[[speculate]]
target = "Q8_0"
draft = { gguf = "small.gguf" }
lengths = [2]
tokens = 16
prompts = "p.jsonl"

[[speculate]]
target = "base"
draft = { gguf = "other.gguf" }
"#;

/// The fixture with another vocabulary.
fn other_vocabulary(sandbox: &Sandbox) {
    let mut bytes = fs::read(sandbox.path("tiny.gguf")).expect("read");
    let at = bytes.windows(6).position(|w| w == b"<0x41>").expect("a token");
    bytes[at..at + 6].copy_from_slice(b"<0xZZ>");
    sandbox.write("other.gguf", bytes);
}

#[test]
fn a_sweep_lets_variants_and_other_models_draft() {
    let sandbox = Sandbox::new();
    sandbox.write("p.jsonl", PROMPTS);
    sandbox.write("night.toml", NIGHT);
    sandbox.run(&["quantize", "tiny.gguf", "Q5_0", "small.gguf", "--threads", "1"]).ends(0);
    other_vocabulary(&sandbox);
    sandbox.run(&["sweep", "night.toml", "--quiet"]).ends(8);
    let table = sandbox.read("out/speculation.csv");
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows.len(), 5, "{table}");
    assert!(rows[1].starts_with("base,Q4_0,2,2,32,") && rows[1].ends_with(",done,"), "{table}");
    assert!(rows[2].starts_with("base,Q4_0,4,2,32,") && rows[2].ends_with(",done,"), "{table}");
    assert!(rows[3].starts_with("Q8_0,small,2,2,32,") && rows[3].ends_with(",done,"), "{table}");
    let refused = rows[4].starts_with("base,other,,0,") && rows[4].contains(",skipped,");
    assert!(refused && rows[4].contains("its vocabulary has other tokens among its 512"), "{table}");
    // A model that only drafts is no variant.
    assert_eq!(sandbox.read("out/variants.csv").lines().count(), 4);
    assert!(sandbox.path("out/charts/speculation.png").is_file());
    // The files are gone, the trial stays, and the tables are made again from it.
    assert_eq!(sandbox.files("cache/variants"), Vec::<String>::new());
    sandbox.run(&["sweep", "night.toml", "--quiet"]).ends(8);
    assert_eq!(sandbox.read("out/speculation.csv"), table);
    sandbox.run(&["report", "out"]).ends(0);
    assert_eq!(sandbox.read("out/speculation.csv"), table);
}
