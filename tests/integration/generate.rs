//! Answers that the model writes: recorded as they are, graded, the same again, and part of a sweep.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;

use serde_json::{Value, json};

use crate::corpora::with_text;
use crate::records::{find, losses};
use crate::sandbox::Sandbox;
use crate::table::Table;
use crate::worker::Faulty;

/// A suite over `said.jsonl`, whose references are what the tests put there.
const SAID: &str = r#"name = "said"
title = "What the tiny model says"
version = 1
licence = "bitfrontier's own"

[[source]]
from = "said.jsonl"

[generate]
doc_to_id = "{{ id }}"
doc_to_text = "Question: {{ question }}\nAnswer:"
doc_to_target = "{{ answer }}"
fewshot = 2
ctx = 256
tokens = 12
parallel = 3

[[generate.filter_list]]
name = "whole"
filter = [{ function = "take_first" }]

[[generate.filter_list]]
name = "capitals"
filter = [{ function = "uppercase" }, { function = "take_first" }]

[[metric]]
name = "exact_match/whole"
chance = 0.0
"#;

const ITEMS: usize = 7;

/// A sandbox with the suite; `answers` are the references of its items, if they are known.
fn sandbox(sandbox: Sandbox, answers: &BTreeMap<String, String>) -> Sandbox {
    let questions = ["keeper", "sea", "lamp", "stone", "boat", "rope", "door", "bread", "road"];
    let line = |word: &&str| {
        json!({"id": word, "question": format!("What is a {word}?"),
        "answer": answers.get(*word).map_or("nothing", String::as_str)})
    };
    let text: String = questions.iter().map(|word| line(word).to_string() + "\n").collect();
    sandbox.write("said.jsonl", text);
    sandbox.write("said.toml", SAID);
    sandbox
}

fn eval(sandbox: &Sandbox, more: &[&str]) -> (Value, Vec<Value>) {
    let args = ["eval", "tiny.gguf", "said.toml", "--json", "--threads", "1", "--records", "records.jsonl"];
    let answer = sandbox.evaluated(&[&args, more].concat());
    let records = sandbox.read("records.jsonl");
    let records = records.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    (answer, records)
}

/// What was written, by item.
fn outputs(records: &[Value]) -> BTreeMap<String, String> {
    let output = |r: &Value| r["score"]["answers"][0]["output"].as_str().expect("an output").to_owned();
    records.iter().map(|r| (r["id"].as_str().expect("an id").to_owned(), output(r))).collect()
}

fn metric(answer: &Value, name: &str) -> f64 {
    let metrics = answer["metrics"].as_array().expect("metrics");
    let found = metrics.iter().find(|m| m["name"] == name).unwrap_or_else(|| panic!("{name} in {answer}"));
    found["value"].as_f64().expect("a number")
}

#[test]
fn answers_are_recorded_and_compared_with_the_reference() {
    let first = sandbox(Sandbox::new(), &BTreeMap::new());
    let (answer, records) = eval(&first, &["--exact"]);
    assert_eq!(
        (records.len(), answer["items"].as_u64(), answer["fewshot"].as_u64()),
        (ITEMS, Some(7), Some(2))
    );
    assert_eq!(answer["partial"], "the last 2 are the examples and not asked");
    assert!(metric(&answer, "exact_match/whole").abs() < 1e-12);
    let score = &records[0]["score"];
    let prompt = "Question: What is a bread?\nAnswer: nothing\n\nQuestion: What is a road?\nAnswer: nothing\n\n\
                  Question: What is a keeper?\nAnswer:";
    assert_eq!((score["prompt"].as_str(), score["reference"].as_str()), (Some(prompt), Some("nothing")));
    assert!(score["prompt_tokens"].as_u64() > Some(20));
    let one = &score["answers"][0];
    assert!(matches!(one["stop"].as_str(), Some("length" | "end")), "{one}");
    assert!(one["tokens"].as_u64() <= Some(12) && one["seconds"].as_f64() > Some(0.0), "{one}");

    // What the model says is now right: one answer of seven is kept wrong. The examples stay what they were.
    let mut right = outputs(&records);
    right.insert("sea".to_owned(), "something else".to_owned());
    let second = sandbox(Sandbox::new(), &right);
    let (answer, records) = eval(&second, &["--exact"]);
    assert!((metric(&answer, "exact_match/whole") - 6.0 / 7.0).abs() < 1e-12, "{answer}");
    assert_eq!(records[1]["score"]["grades"][0]["right"], 0.0);
    assert_eq!(records[0]["score"]["extracted"][0]["answers"][0], right["keeper"].as_str());
    // The header is decoded once.
    let count = |key: &str| answer[key].as_u64().expect("a count");
    assert!(count("tokens_decoded") * 2 < count("tokens_naive"), "{answer}");
}

#[test]
fn answers_end_at_a_stop_string_and_samples_differ() {
    let first = sandbox(Sandbox::new(), &BTreeMap::new());
    let (_, records) = eval(&first, &["--exact"]);
    // The tiny model writes bytes that are no text as well as letters; a letter behind others is taken.
    let found = outputs(&records).into_iter().find_map(|(id, whole)| {
        let letter = whole.char_indices().skip(1).find(|(at, c)| c.is_ascii() && whole.find(*c) == Some(*at));
        letter.map(|(at, letter)| (id, whole[..at].to_owned(), letter.to_string()))
    });
    let (id, expected, stop) = found.expect("an answer with a letter in it");
    let suite = SAID.replace("parallel = 3", &format!("parallel = 3\nstop = [{}]", json!(stop)));
    first.write("said.toml", &suite);
    let (_, records) = eval(&first, &["--exact"]);
    assert_eq!(outputs(&records)[&id], expected);
    let stopped = records.iter().find(|r| r["id"] == id.as_str()).expect("there");
    assert_eq!(stopped["score"]["answers"][0]["stop"], "string");

    first.write("said.toml", SAID);
    let drawn = ["--exact", "--samples", "3", "--temperature", "1.0", "--seed", "5", "--items", "0..2"];
    let (answer, records) = eval(&first, &drawn);
    let texts: Vec<&Value> =
        records[0]["score"]["answers"].as_array().expect("answers").iter().map(|a| &a["output"]).collect();
    assert!(texts.len() == 3 && texts[0] != texts[1] && texts[1] != texts[2], "{texts:?}");
    assert_eq!(answer["items"], 2);
    let (_, again) = eval(&first, &drawn);
    assert_eq!(outputs(&again), outputs(&records));
}

#[test]
fn a_chat_is_put_into_the_model_s_template() {
    let sandbox = sandbox(Sandbox::new(), &BTreeMap::new());
    let args = ["eval", "tiny.gguf", "said.toml", "--chat"];
    sandbox.run(&args).ends(3).tells(&["suite said needs a chat template, and tiny.gguf has none"]);
    let template = "{% for m in messages %}[{{ m.role }}] {{ m.content }}{{ eos_token }}{% endfor %}\
                    {% if add_generation_prompt %}[assistant]{% if enable_thinking is defined %}\
                    {% if enable_thinking %}<think>{% else %}<think></think>{% endif %}{% endif %}{% endif %}";
    let tiny = fs::read(sandbox.path("tiny.gguf")).expect("read");
    sandbox.write("tiny.gguf", with_text(&tiny, "tokenizer.chat_template", template));
    let prompt = |more: &[&str]| {
        let (_, records) = eval(&sandbox, &[&["--chat", "--fewshot", "1", "--items", "0..1"], more].concat());
        let score = records[0]["score"].clone();
        (score["prompt"].as_str().expect("a prompt").to_owned(), score)
    };
    let turns = "[user] Question: What is a road?\nAnswer:</s>[assistant] nothing</s>\
                 [user] Question: What is a keeper?\nAnswer:</s>[assistant]";
    assert_eq!(prompt(&[]).0, turns);
    assert_eq!(prompt(&["--thinking", "off"]).0, format!("{turns}<think></think>"));
    let (thinking, score) = prompt(&["--thinking", "4"]);
    assert_eq!(thinking, format!("{turns}<think>"));
    // Its budget spent, the thought is closed; it is kept and not graded.
    let one = &score["answers"][0];
    let (output, graded) = (one["output"].as_str().expect("text"), one["graded"].as_str().expect("text"));
    let (thought, answer) = output.split_once("</think>").expect("closed");
    assert!(!thought.is_empty() && answer.trim_start() == graded, "{output:?}, {graded:?}");
    assert_eq!(score["extracted"][0]["answers"][0], graded);
}

#[test]
fn a_sweep_keeps_every_output_and_goes_on_after_a_crash() {
    let faulty = Faulty::new();
    let faulty = Faulty { sandbox: sandbox(faulty.sandbox, &BTreeMap::new()) };
    let what = ["--recipes", "Q8_0", "--suites", "said.toml", "--json-events"];
    let hit = [("FAULT", "abort"), ("REQUEST", "generate"), ("MODEL", "Q8_0-"), ("AFTER", "2")];
    faulty.sweep(&what, &hit).ends(8);
    let out = faulty.sandbox.path("out");
    assert_eq!(find(&out, "Q8_0", "said").status, "crashed");
    faulty.sweep(&what, &[]).ends(0);
    assert_eq!(losses(&out), Vec::<String>::new());

    let metrics = Table::read(&out.join("metrics.csv"));
    for variant in ["base", "Q8_0"] {
        for name in ["exact_match/whole", "exact_match/capitals", "answer_tokens", "cut_off"] {
            let row = [("variant", variant), ("suite", "said"), ("metric", name)];
            assert_eq!(metrics.cell(&row, "n"), ITEMS.to_string(), "{variant} {name}");
        }
    }
    let compared = Table::read(&out.join("comparisons.csv"));
    let row = [("variant", "Q8_0"), ("suite", "said"), ("metric", "exact_match/whole")];
    assert_eq!((compared.cell(&row, "delta"), compared.cell(&row, "flips_lost")), ("0.0", "0"));
    let trial = find(&out, "base", "said");
    let packed = fs::read(out.join("items").join(format!("{}.csv.gz", trial.id))).expect("read");
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed.as_slice()).read_to_string(&mut text).expect("unpacked");
    let mut rows = csv::Reader::from_reader(text.as_bytes());
    let header = rows.headers().expect("a header").clone();
    let place = |name: &str| header.iter().position(|n| n == name).expect(name);
    let rows: Vec<csv::StringRecord> = rows.records().collect::<Result<_, _>>().expect("rows");
    assert_eq!(rows.len(), ITEMS);
    assert!(rows.iter().all(|r| !r[place("output")].is_empty() && &r[place("status")] == "scored"));
    assert!(rows[0][place("grades")].contains("exact_match/whole"), "{:?}", rows[0]);
}

#[test]
fn what_cannot_be_written_is_refused() {
    let sandbox = sandbox(Sandbox::new(), &BTreeMap::new());
    for (more, part) in [
        (&["--noise", "3"][..], "there are no choices to score"),
        (&["--scoring", "lm-eval"], "there are no choices to score"),
        (&["--samples", "4"], "4 samples, which are all the same at temperature 0"),
        (&["--thinking", "on"], "only a chat template can be told"),
        (&["--thinking", "hard"], "\"hard\" is not a way of thinking"),
        (&["--tokens", "4000"], "a ctx of 256, which 4000 tokens of an answer fill"),
    ] {
        sandbox.run(&[&["eval", "tiny.gguf", "said.toml"], more].concat()).ends(3).tells(&[part]);
    }
    sandbox.run(&["eval", "tiny.gguf", "quiz.toml", "--chat"]).ends(3).tells(&["nothing is written"]);
    let long = SAID.replace("ctx = 256", "ctx = 24").replace("exact_match/whole", "exact_match/nothing");
    sandbox.write("said.toml", long);
    let outcome = sandbox.run(&["eval", "tiny.gguf", "said.toml"]);
    outcome.ends(3).tells(&["no metric is called \"exact_match/nothing\""]);
    // What does not fit is an item that failed, not the end.
    sandbox.write("said.toml", SAID.replace("ctx = 256", "ctx = 24"));
    let (answer, records) = eval(&sandbox, &[]);
    assert_eq!(answer["failed"], 7);
    assert!(records[0]["score"]["reason"].as_str().expect("a reason").contains("do not fit a context of 24"));
}
