//! Tool calls: conversations put into a chat template with tools or without, calls read and judged, questions spread over
//! files, and what cannot be rendered.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::corpora::with_text;
use crate::sandbox::{FIXTURES, Sandbox};
use crate::table::Table;

/// A suite of two parts, the first with its answers in another file.
const SUITE: &str = r#"name = "asked"
title = "Calls of the tiny model"
version = 1
licence = "bitfrontier's own"

[[part]]
name = "wanted"
source = [{ from = "wanted.jsonl" }]
answers = [{ from = "answers.jsonl" }]

[[part]]
name = "unwanted"
source = [{ from = "unwanted.jsonl" }]

[generate]
doc_to_id = "{{ id }}"
doc_to_group = "{{ part }}"
doc_to_messages = "{{ messages | tojson }}"
doc_to_tools = "{{ tools | tojson }}"
doc_to_target = "{{ {'answers': right | default([])} | tojson }}"
chat = true
ctx = 1024
tokens = 8
measure = "calls"

[[metric]]
name = "acc"
chance = 0.0

[[metric]]
name = "well_formed"
"#;

const TOOLS: &str = "{% for t in tools or [] %}{% if t.function.name == 'odd' %}{{ raise_exception('no odd tools') }}\
    {% endif %}<tool_call>{{ t.function.name }}{{ t.function.parameters.type }}{% endfor %}";
const MESSAGES: &str = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% for c in m.tool_calls or [] %}\
    {{ c.function.name }}{{ c.function.arguments | tojson }}{% endfor %}{% endfor %}";

/// A sandbox with the suite, and the tiny model with a chat template.
fn sandbox(template: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let tool = |name: &str| {
        json!({"name": name, "description": "F", "parameters": {"type": "dict",
            "properties": {"a": {"type": "integer", "description": "A"}}, "required": ["a"]}})
    };
    let asked = json!([{"role": "user", "content": "One."},
        {"role": "assistant", "content": "", "tool_calls": [{"name": "f", "arguments": {"a": 1}}]},
        {"role": "tool", "content": "7"}, {"role": "user", "content": "Two."}]);
    let row = |id: &str, name: &str| json!({"id": id, "messages": asked, "tools": [tool(name)]}).to_string();
    sandbox.write("wanted.jsonl", format!("{}\n{}\n", row("w0", "f"), row("w1", "odd")));
    let right = |id: &str, name: &str| json!({"id": id, "right": [{name: {"a": [2]}}]}).to_string();
    sandbox.write("answers.jsonl", format!("{}\n{}\n", right("w1", "odd"), right("w0", "f")));
    sandbox.write("unwanted.jsonl", row("u0", "f"));
    sandbox.write("asked.toml", SUITE);
    let tiny = fs::read(sandbox.path("tiny.gguf")).expect("read");
    sandbox.write("tiny.gguf", with_text(&tiny, "tokenizer.chat_template", template));
    sandbox
}

fn eval(sandbox: &Sandbox, model: &str, suite: &str) -> (Value, Vec<Value>) {
    let args = ["eval", model, suite, "--json", "--threads", "1", "--records", "records.jsonl"];
    let answer = sandbox.evaluated(&args);
    let records = sandbox.read("records.jsonl");
    let mut records: Vec<Value> =
        records.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    records.sort_by_key(|record| record["index"].as_u64());
    (answer, records)
}

fn metric(answer: &Value, name: &str) -> f64 {
    let metrics = answer["metrics"].as_array().expect("metrics");
    let found = metrics.iter().find(|m| m["name"] == name).unwrap_or_else(|| panic!("{name} in {answer}"));
    found["value"].as_f64().expect("a number")
}

#[test]
fn a_template_with_tools_is_given_them_and_what_it_cannot_render_is_an_item() {
    let sandbox = sandbox(&format!("{TOOLS}{MESSAGES}"));
    let (answer, records) = eval(&sandbox, "tiny.gguf", "asked.toml");
    assert_eq!((answer["items"].as_u64(), answer["failed"].as_u64()), (Some(3), Some(1)));
    let ids: Vec<&str> = records.iter().map(|record| record["id"].as_str().expect("an id")).collect();
    assert_eq!(ids, ["wanted/w0", "wanted/w1", "unwanted/u0"]);
    let reason = records[1]["score"]["reason"].as_str().expect("a reason");
    assert!(reason.contains("no odd tools"), "{reason}");
    let score = &records[0]["score"];
    // The template is filled up with spaces to the length that the file had.
    let prompt = score["prompt"].as_str().expect("a prompt").trim_end();
    assert_eq!(prompt, "<tool_call>fobject[user]One.[assistant]f{\"a\": 1}[tool]7[user]Two.");
    assert_eq!(score["extracted"][0]["filter"], "hermes");
    // The tiny model calls nothing, which is right where nothing is to be called.
    assert!((metric(&answer, "acc") - 0.5).abs() < 1e-12 && metric(&answer, "well_formed").abs() < 1e-12);
}

#[test]
fn a_template_without_tools_has_them_in_words() {
    let sandbox = sandbox(MESSAGES);
    let (answer, records) = eval(&sandbox, "tiny.gguf", "asked.toml");
    assert_eq!(answer["failed"], 0);
    let score = &records[0]["score"];
    let prompt = score["prompt"].as_str().expect("a prompt").trim_end();
    assert!(
        prompt.starts_with("[system]You can call functions.") && prompt.contains("\"name\":\"f\""),
        "{prompt}"
    );
    assert!(prompt.ends_with("[user]One.[assistant][f(a=1)][user]Result: 7[user]Two."), "{prompt}");
    assert_eq!(score["extracted"][0]["filter"], "pythonic, prompted");
}

#[test]
fn a_sweep_has_a_row_for_every_part() {
    let sandbox = sandbox(MESSAGES);
    sandbox.sweep(&["--recipes", "Q8_0", "--suites", "asked.toml"]).ends(0);
    let metrics = Table::read(&sandbox.path("out").join("metrics.csv"));
    for (suite, n) in [("asked", "3"), ("asked/wanted", "2"), ("asked/unwanted", "1")] {
        let row = [("variant", "Q8_0"), ("suite", suite), ("metric", "acc")];
        assert_eq!(metrics.cell(&row, "n"), n, "{suite}");
        assert_eq!(metrics.cell(&row, "higher_is_better"), "true");
    }
}

#[test]
fn what_is_wrong_with_calls_names_its_place() {
    let sandbox = sandbox(MESSAGES);
    let eval = ["eval", "tiny.gguf", "asked.toml"];
    sandbox.write("answers.jsonl", "{\"id\": \"w0\", \"right\": []}\n");
    sandbox.run(&eval).ends(3).tells(&["wanted.jsonl, line 2: there is no answer with the same `id`"]);
    sandbox.write("answers.jsonl", "{\"id\": \"w0\", \"right\": [{\"f\": 3}]}\n{\"id\": \"w1\"}\n");
    sandbox.run(&eval).ends(3).tells(&["wanted.jsonl, line 1", "which tool calls are right: an answer is"]);
    for (from, to, says) in [
        (
            "doc_to_tools = \"{{ tools | tojson }}\"",
            "",
            "not both of `doc_to_tools` and `measure = \"calls\"`",
        ),
        ("chat = true", "", "messages or tools, which only a chat template can render"),
        ("tokens = 8", "tokens = 8\ncalls = \"loud\"", "\"loud\" is no format of calls"),
        ("name = \"unwanted\"", "name = \"wanted\"", "a part called \"wanted\""),
    ] {
        sandbox.write("asked.toml", SUITE.replace(from, to));
        sandbox.run(&eval).ends(3).tells(&[says]);
    }
}

#[test]
fn the_trained_fixture_writes_calls() {
    let sandbox = Sandbox::new();
    let fixtures = Path::new(FIXTURES);
    fs::copy(fixtures.join("fixture-f16.gguf"), sandbox.path("trained.gguf")).expect("copied");
    let suites = fixtures.join("suites");
    let rows = fs::read_to_string(suites.join("tool_calls.jsonl")).expect("read");
    // The shortest prompts, for time.
    let mut rows: Vec<&str> = rows.lines().collect();
    rows.sort_by_key(|row| row.len());
    sandbox.write("tool_calls.jsonl", rows[..10].join("\n"));
    let suite = fs::read_to_string(suites.join("tool_calls.toml")).expect("read");
    sandbox.write("tool_calls.toml", suite.replace("tests/fixtures/suites/", ""));
    let (answer, records) = eval(&sandbox, "trained.gguf", "tool_calls.toml");
    assert_eq!((answer["items"].as_u64(), answer["failed"].as_u64()), (Some(10), Some(0)));
    assert!(metric(&answer, "well_formed") > 0.6, "{answer}");
    assert!(records.iter().all(|r| r["score"]["extracted"][0]["filter"] == "hermes"));
}
