//! A model behind an API, which here is a server of the test's own: what it is asked, what is graded, paid, kept and tried
//! again.

use std::collections::HashMap;
use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::escape::guarded;
use crate::http::Request;
use crate::sandbox::{Outcome, Sandbox};
use crate::table::Table;

const KEY: &str = "sk-a-secret-of-the-test";

const SUITE: &str = r#"name = "sums"
title = "Sums"
version = 3
licence = "bitfrontier's own"

[[source]]
from = "sums.jsonl"

[generate]
doc_to_id = "{{ id }}"
doc_to_text = "{{ question }} ="
doc_to_target = "{{ answer }}"
tokens = 8
stop = ["a", "b", "c", "d", "END"]

[[generate.filter_list]]
name = "number"
filter = [{ function = "regex", regex_pattern = "(-?[0-9]+)" }, { function = "take_first" }]

[[metric]]
name = "exact_match/number"
"#;

#[derive(Default)]
struct Seen {
    /// Requests by prompt.
    tries: HashMap<String, u32>,
    bodies: Vec<(String, Value)>,
    keys: Vec<String>,
}

/// An API that knows sums, and misbehaves where the prompt has a certain word in it.
fn api() -> (Arc<Mutex<Seen>>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
    let seen = Arc::new(Mutex::new(Seen::default()));
    let kept = seen.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client may hang up at any time.
            let _ = answer(&stream, &kept);
        }
    });
    (seen, url)
}

fn answer(mut stream: &TcpStream, seen: &Mutex<Seen>) -> std::io::Result<()> {
    let request = Request::read(stream)?;
    let body: Value = serde_json::from_slice(&request.body)?;
    let path = request.path().to_owned();
    let prompt = body["prompt"].as_str().or(body["messages"][0]["content"].as_str()).unwrap_or("").to_owned();
    let mut seen = seen.lock().expect("not poisoned");
    seen.keys.push(request.header("authorization").to_owned());
    seen.bodies.push((path.clone(), body.clone()));
    let tries = seen.tries.entry(prompt.clone()).or_default();
    *tries += 1;
    let (status, text) = match prompt.as_str() {
        _ if body["model"] != "calculator" => {
            (404, json!({"error": {"message": "no such model"}}).to_string())
        }
        p if p.contains("busy") && *tries == 1 => (429, "{}".to_owned()),
        p if p.contains("broken") => (500, format!("the key {KEY} fell over")),
        p if p.contains("endless") => {
            let text = " 4".repeat(200_000);
            (200, json!({"choices": [{"text": text, "finish_reason": "length"}]}).to_string())
        }
        p if p.contains("garbled") => (200, "{\"choices\": [".to_owned()),
        // In words it is asked with no `tools`, and answers in words.
        p if p.contains("call") => {
            let name = body["tools"][0]["function"]["name"].as_str();
            let message = match name {
                Some(name) => {
                    json!({"role": "assistant", "content": null, "tool_calls": [{"type": "function",
                    "id": "x", "function": {"name": name, "arguments": "{\"a\": 2, \"b\": 2}"}}]})
                }
                None => json!({"role": "assistant", "content": "[my.add(a=2, b=2)]"}),
            };
            (200, json!({"choices": [{"message": message, "finish_reason": "stop"}]}).to_string())
        }
        p if p.contains("def ") => {
            let text = format!("    return {}\n", if p.contains("add") { "a + b" } else { "a" });
            (200, json!({"choices": [{"text": text, "finish_reason": "stop"}]}).to_string())
        }
        p => {
            let said = if p.contains("wrong") { " 5" } else { " 4 END 7" };
            let mut choice = json!({"finish_reason": "stop"});
            if path.ends_with("/chat/completions") {
                choice["message"] = json!({"role": "assistant", "content": said});
            } else {
                choice["text"] = said.into();
            }
            let usage = json!({"prompt_tokens": 100, "completion_tokens": 10,
                "prompt_tokens_details": {"cached_tokens": 40}});
            (200, json!({"choices": [choice], "usage": usage}).to_string())
        }
    };
    let length = text.len();
    write!(stream, "HTTP/1.1 {status} S\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}")
}

fn sandbox(questions: &[&str]) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("sums.toml", SUITE);
    let row = |(i, question): (usize, &&str)| {
        json!({"id": format!("sum-{i}"), "question": question, "answer": "4"}).to_string() + "\n"
    };
    sandbox.write("sums.jsonl", questions.iter().enumerate().map(row).collect::<String>());
    sandbox
}

fn asked(sandbox: &Sandbox, url: &str, more: &[&str]) -> Outcome {
    let args = [&["reference", url, "sums.toml", "--retries", "1"], more].concat();
    let output = sandbox.command(&args).env("OPENAI_API_KEY", KEY).output().expect("started");
    Outcome::of(&output)
}

fn records(sandbox: &Sandbox) -> String {
    let files = fs::read_dir(sandbox.path("references")).expect("listed");
    files.map(|file| fs::read_to_string(file.expect("listed").path()).expect("read")).collect()
}

#[test]
fn answers_are_graded_priced_and_kept_for_the_charts() {
    let (seen, url) = api();
    let sandbox = sandbox(&["2 + 2", "busy 1 + 3", "wrong 3 + 1"]);
    let more = [
        "--model",
        "calculator",
        "--costs",
        "costs.toml",
        "--json",
        "--price-in",
        "2",
        "--price-cached",
        "0.5",
        "--price-out",
        "10",
    ];
    let first = asked(&sandbox, &url, &more);
    assert_eq!(first.code, Some(0), "{first:?}");
    assert!(first.stderr.contains("over the network"), "{first:?}");
    let told: Value = serde_json::from_str(&first.stdout).expect("JSON");
    let metric = &told[0]["metrics"][0];
    assert_eq!(metric["name"], "exact_match/number");
    assert!((metric["value"].as_f64().expect("a number") - 2.0 / 3.0).abs() < 1e-12);
    assert_eq!(told[0]["usage"], json!({"prompt": 300, "cached": 120, "completion": 30}));
    // (180 x 2 + 120 x 0.5 + 30 x 10) / 10^6.
    assert!((told[0]["usd"].as_f64().expect("a number") - 0.00072).abs() < 1e-12);
    {
        let seen = seen.lock().expect("not poisoned");
        assert_eq!(seen.tries["busy 1 + 3 ="], 2);
        assert_eq!(seen.bodies.len(), 4);
        assert!(seen.keys.iter().all(|key| *key == format!("Bearer {KEY}")));
        let (path, body) = &seen.bodies[0];
        assert_eq!(path, "/v1/completions");
        // The fifth stop string was cut at here.
        assert_eq!(body["stop"], json!(["a", "b", "c", "d"]));
        assert_eq!((&body["max_tokens"], &body["temperature"]), (&json!(8), &json!(0.0)));
    }
    assert!(records(&sandbox).contains("\"output\":\" 4 \""), "{}", records(&sandbox));
    assert!(!(records(&sandbox) + &sandbox.read("costs.toml") + &first.stderr).contains(KEY));
    // The cost reader takes the file.
    let costs = sandbox.run(&["cost", "--costs", "costs.toml", "--print-costs"]);
    assert_eq!(costs.code, Some(0), "{costs:?}");
    let table: toml::Table = toml::from_str(&costs.stdout).expect("TOML");
    let entries = table["reference"].as_array().expect("a list");
    let entry = entries.iter().find(|e| e["model"].as_str() == Some("calculator")).expect("an entry");
    assert_eq!(entry["suite"].as_str(), Some("sums"));
    assert_eq!((entry["n"].as_integer(), entry["suite_version"].as_integer()), (Some(3), Some(3)));
    let tokens = ["input_tokens", "cached_tokens", "output_tokens"].map(|key| entry[key].as_float());
    assert_eq!(tokens, [Some(60.0), Some(40.0), Some(10.0)]);
    // The prices are there as well, under the name that the entry has.
    assert_eq!(entry["api"].as_str(), Some("calculator"));
    let price = table["api"]["calculator"]["usd_per_mtok_cached"].as_float();
    assert_eq!(price, Some(0.5));
    // Nothing is asked again, and the entry stays one; in a chat everything is asked anew.
    let again = asked(&sandbox, &url, &more);
    assert_eq!((again.code, again.stdout), (first.code, first.stdout));
    assert_eq!(seen.lock().expect("not poisoned").bodies.len(), 4);
    assert_eq!(asked(&sandbox, &url, &[&more[..], &["--chat"]].concat()).code, Some(0));
    assert_eq!(seen.lock().expect("not poisoned").bodies.last().expect("asked").0, "/v1/chat/completions");
}

#[test]
fn prices_that_are_given_reach_the_tables_and_charts_of_a_results_folder() {
    let (seen, url) = api();
    let sandbox = sandbox(&["2 + 2", "1 + 3", "wrong 3 + 1"]);
    sandbox.sweep(&["--recipes", "Q8_0", "--suites", "sums.toml"]).ends(0);
    let ask = |more: &[&str]| {
        asked(&sandbox, &url, &[&["--model", "calculator", "--results", "out"], more].concat())
    };
    ask(&["--price-in", "2", "--price-cached", "0.5", "--price-out", "10"]).ends(0);
    let costed = sandbox.run(&["cost", "out", "--json"]).ends(0).stdout;
    let costed: Value = serde_json::from_str(&costed).expect("JSON");
    let api = ("scenario", "api.calculator");
    let number = |name: &str, key: &[(&str, &str)]| -> f64 {
        let table = Table::read(&sandbox.path("out/costs.csv"));
        table.cell(key, name).parse().unwrap_or_else(|_| panic!("{key:?} has no {name}"))
    };
    // Of coding: 4 x (0.3 x 2 + 0.7 x 0.5) + 10.
    let price = [api, ("kind", "price")];
    assert!((number("usd_per_mtok_out", &price) - 13.8).abs() < 1e-9);
    // (60 x 2 + 40 x 0.5 + 10 x 10) / 10^6, of which two thirds are right.
    let task = [api, ("kind", "task"), ("suite", "sums")];
    assert!((number("usd_per_solved_task", &task) - 0.000_36).abs() < 1e-9);
    // What the charts draw.
    let points = costed["costs"]["references"].as_array().expect("a list");
    let point = points.iter().find(|point| point["model"] == "calculator").expect("a point");
    assert!((point["usd_per_mtok_out"].as_f64().expect("a price") - 13.8).abs() < 1e-9, "{point}");
    // Other prices take the place of these, and without any those of the file count. Nothing is asked again.
    ask(&["--price-in", "4", "--price-out", "10"]).ends(0);
    let told = ask(&["--json"]).ends(0).stdout;
    let told: Value = serde_json::from_str(&told).expect("JSON");
    // (300 x 4 + 30 x 10) / 10^6.
    assert!((told[0]["usd"].as_f64().expect("a number") - 0.0015).abs() < 1e-12);
    assert_eq!(sandbox.read("out/costs.toml").matches("[api.calculator]").count(), 1);
    assert_eq!(seen.lock().expect("not poisoned").bodies.len(), 3);
}

#[test]
fn calls_are_asked_for_in_fields_of_their_own_or_in_words() {
    let (seen, url) = api();
    let sandbox = Sandbox::new();
    let suite = |name: &str, more: &str| {
        let head = SUITE.split("[[source]]").next().expect("a head").replace("sums", name);
        let text = format!(
            "{head}[[source]]\nfrom = \"calls.jsonl\"\n[generate]\ndoc_to_id = \"{{{{ id }}}}\"\n\
            doc_to_messages = \"{{{{ messages | tojson }}}}\"\ndoc_to_tools = \"{{{{ tools | tojson }}}}\"\n\
            doc_to_target = \"{{{{ {{'calls': calls}} | tojson }}}}\"\nchat = true\nmeasure = \"calls\"\n{more}\n\
            [[metric]]\nname = \"acc\"\n"
        );
        sandbox.write(&format!("{name}.toml"), text);
    };
    suite("given", "");
    suite("worded", "calls = \"prompted\"");
    let number = json!({"type": "integer"});
    let tool = json!({"name": "my.add", "description": "Adds", "parameters":
        {"type": "object", "properties": {"a": number, "b": number}, "required": ["a", "b"]}});
    let row = |id: &str, b: u32| {
        json!({"id": id, "messages": [{"role": "user", "content": "call it for 2 and 2"}], "tools": [tool],
            "calls": [{"name": "my.add", "arguments": {"a": 2, "b": b}}]})
    };
    sandbox.write("calls.jsonl", format!("{}\n{}\n", row("right", 2), row("wrong", 3)));
    let args = ["reference", &url, "given.toml", "worded.toml", "--model", "calculator", "--json"];
    let told: Value = serde_json::from_str(&sandbox.run(&args).ends(0).stdout).expect("JSON");
    for suite in [0, 1] {
        assert_eq!(
            (&told[suite]["metrics"][0]["name"], &told[suite]["metrics"][0]["value"]),
            (&json!("acc"), &json!(0.5))
        );
    }
    assert!(records(&sandbox).contains(r#"{"filter":"pythonic, prompted","answers":["my.add(a=2, b=2)"]}"#));
    let seen = seen.lock().expect("not poisoned");
    let tools = seen.bodies.iter().map(|(_, body)| &body["tools"][0]["function"]["name"]);
    let tools: Vec<&Value> = tools.collect();
    assert_eq!(tools, [&json!("my_add"), &json!("my_add"), &Value::Null, &Value::Null]);
    let first = &seen.bodies.last().expect("asked").1["messages"][0];
    assert_eq!(first["role"], "system");
    assert!(first["content"].as_str().is_some_and(|text| text.contains("\"name\":\"my.add\"")), "{first}");
}

#[test]
fn programs_of_a_model_behind_an_api_are_run() {
    if guarded().is_none() {
        return;
    }
    let (_, url) = api();
    let sandbox = Sandbox::new();
    let head = SUITE.split("[[source]]").next().expect("a head");
    let text = format!(
        "{head}[[source]]\nfrom = \"sums.jsonl\"\n[generate]\ndoc_to_id = \"{{{{ name }}}}\"\n\
        doc_to_text = \"def {{{{ name }}}}(a, b):\\n\"\ndoc_to_target = \"\"\nmeasure = \"code\"\n[generate.execute]\n\
        before = \"def {{{{ name }}}}(a, b):\\n\"\nafter = \"\\nassert {{{{ name }}}}(1, 2) == 3\"\n\
        [[metric]]\nname = \"pass@1\"\n[[metric]]\nname = \"well_formed\"\n"
    );
    sandbox.write("sums.toml", text);
    sandbox.write("sums.jsonl", "{\"name\": \"add\"}\n{\"name\": \"sum\"}\n");
    let told = asked(&sandbox, &url, &["--model", "calculator", "--json"]).ends(0).stdout;
    let told: Value = serde_json::from_str(&told).expect("JSON");
    let values: Vec<&Value> =
        [0, 1].iter().map(|metric: &usize| &told[0]["metrics"][*metric]["value"]).collect();
    assert_eq!(values, [&json!(0.5), &json!(1.0)], "{told}");
}

#[test]
fn items_that_fail_are_rows_and_are_asked_again() {
    let (seen, url) = api();
    let sandbox = sandbox(&["2 + 2", "broken 1 + 3", "garbled 3 + 1", "endless 4"]);
    let first = asked(&sandbox, &url, &["--model", "calculator"]);
    assert_eq!(first.code, Some(8), "{first:?}");
    assert!(first.stdout.contains("3 failed") && first.stdout.contains("(n 1)"), "{first:?}");
    let kept = records(&sandbox);
    assert!(kept.contains("HTTP 500: the key [key] fell over, after 2 tries"), "{kept}");
    assert!(kept.contains("no JSON") && !kept.contains(KEY), "{kept}");
    assert!(
        kept.contains("its answer is longer than 256 KiB") && kept.len() < 20_000,
        "{} bytes",
        kept.len()
    );
    assert_eq!(seen.lock().expect("not poisoned").bodies.len(), 5);
    // As after a kill: a line half written is none, and only what failed is asked again.
    let name =
        fs::read_dir(sandbox.path("references")).expect("listed").next().expect("one").expect("listed");
    fs::write(name.path(), kept + "{\"index\": 1, \"id\": \"su").expect("written");
    assert_eq!(asked(&sandbox, &url, &["--model", "calculator"]).code, Some(8));
    let seen = seen.lock().expect("not poisoned");
    assert_eq!((seen.tries["2 + 2 ="], seen.tries["broken 1 + 3 ="]), (1, 4));
}

#[test]
fn what_would_fail_for_every_item_is_told_at_once() {
    let (seen, url) = api();
    let sandbox = sandbox(&["2 + 2"]);
    let unknown = asked(&sandbox, &url, &["--model", "nobody"]);
    assert_eq!(unknown.code, Some(5), "{unknown:?}");
    assert!(unknown.stderr.contains("HTTP 404: no such model (hint: "), "{unknown:?}");
    assert_eq!(seen.lock().expect("not poisoned").bodies.len(), 1);
    let no_key = asked(&sandbox, &url, &["--model", "calculator", "--key-env", "NO_SUCH_KEY"]);
    assert_eq!((no_key.code, no_key.stderr.contains("NO_SUCH_KEY")), (Some(3), true));
    let choices = asked(&sandbox, &url, &["--model", "calculator", "quiz.toml"]);
    assert!(choices.code == Some(3) && choices.stderr.contains("suite quiz"), "{choices:?}");
}
