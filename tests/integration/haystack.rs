//! Long prompts made by rule: an echo model that reads its prompt finds all of them again, at every length and depth, one
//! that knows nothing finds none; what fits no context is a row; and the trained fixture on its own needles.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use bitfrontier::answers::grade::Grader;
use serde_json::Value;

use crate::records::losses;
use crate::sandbox::{FIXTURES, Outcome, Sandbox};
use crate::table::Table;
use crate::worker::Faulty;

const HAYSTACK: &str = r#"name = "hay"
title = "Long prompts"
version = 1
licence = "bitfrontier's own"

[haystack]
kinds = ["needle", "multi_key", "multi_value", "multi_query", "variable_tracking", "common_words", "frequent_words"]
lengths = [2048, 3072, 8192]
depths = [0, 50, 100]
items = 1

[generate]
doc_to_id = "{{ id }}"
doc_to_text = "{{ prompt }}{{ lead }}"
doc_to_target = "{{ answers | tojson }}"
tokens = 32
measure = "contains"

[[metric]]
name = "contains"
"#;

/// Answers from the prompt alone; only then is the reference looked at, for the grade.
const ECHO: &str = r#"
import collections, json, re

def answer(prompt):
    text, question = prompt.split("\n\n")[1], prompt.split("Question: ")[1]
    told = dict(re.findall(r"The number of the ([a-z ]+) is (\d+)\.", text))
    if found := re.match(r"What is the number of the ([a-z ]+)\?", question):
        return told[found[1]]
    if found := re.match(r"Which 4 numbers does the ([a-z ]+) have\?", question):
        return " and ".join(re.findall(f"A number of the {found[1]} is (\\d+)", text))
    if found := re.match(r"What are the numbers of the ([a-z ,]+), in this order", question):
        return ", ".join(told[name.removeprefix("the ")] for name in found[1].split(", "))
    if found := re.match(r"Which 5 variables have the value (\d+)\?", question):
        values = {}
        for variable, source in re.findall(r"Let ([A-Z]+) be (\w+)\.", text):
            values[variable] = values.get(source, source)
        return " ".join(name for name, value in values.items() if value == found[1])
    found = re.match(r"Which (\d+) words", question)
    return " ".join(word for word, _ in collections.Counter(re.findall("[a-z]+", text)).most_common(int(found[1])))

def items(request, knows):
    for item in request["items"]:
        prompt, output = item["prompt"]["raw"], "I do not know."
        if knows:
            output = answer(prompt)
        wanted = json.loads(item["reference"])
        right = sum(text.lower() in output.lower() for text in wanted) / len(wanted)
        yield {"reply": "item", "index": item["index"], "id": item["id"], "score": {
            "kind": "generated", "prompt": prompt, "prompt_tokens": 1, "reference": item["reference"],
            "answers": [{"output": output, "tokens": 1, "seconds": 0.1, "stop": "end"}],
            "extracted": [], "grades": [{"metric": "contains", "right": right, "of": 1.0}]}}
    yield {"reply": "finished", "finished": "items", "wall_s": 0.1, "decode_s": 0.1, "tokens_decoded": 1}
"#;

fn echo() -> Faulty {
    let faulty = Faulty::new();
    faulty.sandbox.write("echo.py", ECHO);
    faulty.sandbox.write("hay.toml", HAYSTACK);
    faulty
}

#[test]
fn an_echo_model_that_knows_finds_all_and_one_that_does_not_nothing() {
    let faulty = echo();
    let sweep = ["--recipes", "Q8_0", "base/kv=q8_0", "--suites", "hay.toml"];
    for (knows, expected) in [("yes", "1.0"), ("no", "0.0")] {
        let _ = fs::remove_dir_all(faulty.sandbox.path("out"));
        let _ = fs::remove_dir_all(faulty.sandbox.path("cache/base"));
        faulty.sweep(&sweep, &[("ECHO", knows)]).ends(0);
        let out = faulty.sandbox.path("out");
        assert_eq!(losses(&out), Vec::<String>::new());
        let table = Table::read(&out.join("long_context.csv"));
        // Two kinds at three depths, five at none, at three lengths, for three variants.
        assert_eq!(table.column("value").len(), (2 * 3 + 5) * 3 * 3);
        assert_eq!(table.column("value").iter().collect::<BTreeSet<_>>(), BTreeSet::from([&expected]));
        assert!(table.column("status").iter().all(|status| *status == "done"));
        assert_eq!(
            table.cell(
                &[("variant", "base/kv=q8_0"), ("kind", "needle"), ("length", "8192"), ("depth", "50")],
                "kv_k"
            ),
            "q8_0"
        );
        for name in ["long_context-hay", "long_context-hay-needle", "long_context-hay-multi_key"] {
            assert!(out.join("charts").join(format!("{name}.png")).is_file(), "{name}");
            assert!(out.join("charts").join(format!("{name}.svg")).is_file(), "{name}");
        }
    }
}

#[test]
fn what_the_echo_model_says_is_right_by_the_program_s_own_measure() {
    let faulty = echo();
    let args = ["eval", "tiny.gguf", "hay.toml", "--json", "--records", "records.jsonl"];
    let eval =
        |knows| Outcome::of(&faulty.command(&args, &[("ECHO", knows)]).output().expect("started")).ends(0);
    let grader = Grader::Contains { any: false };
    for (knows, expected) in [("yes", 1.0), ("no", 0.0)] {
        eval(knows);
        let records = faulty.sandbox.read("records.jsonl");
        let records: Vec<Value> =
            records.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(records.len(), 7 * 3 * 3);
        for record in &records {
            let score = &record["score"];
            let text = |value: &Value| value.as_str().expect("a text").to_owned();
            let found = grader.grade(&text(&score["reference"]), &[text(&score["answers"][0]["output"])]);
            assert!((found.expect("graded").grades[0].right - expected).abs() < 1e-12, "{record}");
        }
    }
}

#[test]
fn lengths_beyond_the_context_are_items_with_a_reason_and_yarn_stretches() {
    let sandbox = Sandbox::new();
    let needle = HAYSTACK.replace("lengths = [2048, 3072, 8192]", "lengths = [384, 8192]");
    let kinds = needle.find("kinds = ").expect("there");
    let end = kinds + needle[kinds..].find('\n').expect("a line");
    let needle = needle.replace(&needle[kinds..end], "kinds = [\"needle\"]").replace("[0, 50, 100]", "[50]");
    sandbox.write("hay.toml", needle);
    let eval = |more: &[&str]| {
        let args =
            [&["eval", "tiny.gguf", "hay.toml", "--json", "--records", "records.jsonl"], more].concat();
        let answer = sandbox.evaluated(&args);
        let records = sandbox.read("records.jsonl");
        let records: Vec<Value> =
            records.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        (answer, records)
    };
    let (answer, records) = eval(&[]);
    assert_eq!((answer["items"].as_u64(), answer["failed"].as_u64()), (Some(2), Some(1)));
    let tokens = records[0]["score"]["prompt_tokens"].as_u64().expect("a count");
    assert!((340..=352).contains(&tokens), "{tokens}");
    let reason = records[1]["score"]["reason"].as_str().expect("a reason");
    assert!(reason.contains("do not fit a context of") && reason.contains("--yarn"), "{reason}");
    let (answer, stretched) = eval(&["--yarn"]);
    assert_eq!(answer["failed"].as_u64(), Some(0));
    assert!(stretched[1]["score"]["prompt_tokens"].as_u64() >= Some(7900));
    assert_eq!(stretched[0]["score"]["answers"][0]["output"], records[0]["score"]["answers"][0]["output"]);
}

#[test]
fn a_haystack_is_checked_with_a_model_and_a_wrong_one_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.write("hay.toml", HAYSTACK);
    sandbox
        .run(&["suites", "check", "hay.toml"])
        .ends(3)
        .tells(&["made for a model's vocabulary", "--base MODEL"]);
    sandbox.run(&["suites", "check", "hay.toml", "--base", "tiny.gguf"]);
    let shown = sandbox.run(&["suites", "show", "hay.toml"]).ends(0);
    assert!(
        shown.stdout.contains("needle, multi_key") && shown.stdout.contains("2048, 3072, 8192"),
        "{}",
        shown.stdout
    );
    for (from, to, part) in [
        ("[0, 50, 100]", "[0, 500]", "a depth of 500"),
        ("[2048, 3072, 8192]", "[100]", "a haystack of 100 tokens, which is not between 288"),
        ("[haystack]", "[[source]]\nfrom = \"x\"\n[haystack]", "a [haystack] beside a [[source]]"),
        ("\"needle\", ", "\"noodle\", ", "hay.toml, line 7"),
        ("items = 1", "items = 1\nsize = 3", "hay.toml, line 11"),
    ] {
        sandbox.write("hay.toml", HAYSTACK.replace(from, to));
        sandbox.run(&["eval", "tiny.gguf", "hay.toml"]).ends(3).tells(&[part]);
    }
}

#[test]
fn the_trained_fixture_finds_some_of_its_needles() {
    let sandbox = Sandbox::new();
    for name in ["fixture-f16.gguf", "suites/needles.jsonl", "suites/needles.toml"] {
        let file = Path::new(name).file_name().expect("a name");
        fs::copy(Path::new(FIXTURES).join(name), sandbox.path(file)).expect("copied");
    }
    let outcome = sandbox.run(&["eval", "fixture-f16.gguf", "needles.toml", "--json"]).ends(0);
    let answer: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    let found = answer["metrics"][0]["value"].as_f64().expect("a number");
    assert_eq!((answer["items"].as_u64(), answer["failed"].as_u64()), (Some(21), Some(0)));
    // Nobody guesses four digits; it is a small model, and finds two or so.
    assert!(found > 0.0, "{answer}");
}
