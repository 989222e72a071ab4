//! One suite on one file: what `bitfrontier eval` prints, that sharing work changes no answer, and what it refuses.

use serde_json::Value;

use crate::sandbox::{QUIZ, Sandbox};

fn eval(sandbox: &Sandbox, more: &[&str]) -> Value {
    let args = [&["eval", "tiny.gguf", "quiz.toml", "--json", "--threads", "1"], more].concat();
    let outcome = sandbox.run(&args);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    serde_json::from_str(&outcome.stdout).expect("JSON")
}

fn number(answer: &Value, key: &str) -> u64 {
    answer[key].as_u64().unwrap_or_else(|| panic!("{key} in {answer}"))
}

#[test]
fn work_is_shared_and_answers_stay_the_same() {
    let sandbox = Sandbox::new();
    let shared = eval(&sandbox, &["--noise", "24"]);
    let alone = eval(&sandbox, &["--exact"]);
    let (decoded, naive) = (number(&shared, "tokens_decoded"), number(&shared, "tokens_naive"));
    assert!(decoded * 2 < naive, "{decoded} of {naive}");
    assert_eq!((number(&alone, "tokens_decoded"), number(&alone, "tokens_naive")), (naive, naive));
    let names: Vec<&str> =
        shared["metrics"].as_array().expect("metrics").iter().filter_map(|m| m["name"].as_str()).collect();
    assert_eq!(names, ["acc_norm", "acc", "acc_bytes"]);
    let noise = &shared["noise"];
    assert_eq!((number(noise, "items"), number(&shared, "items"), number(&shared, "of")), (24, 24, 24));
    let moved = noise["logprob_max"].as_f64().expect("a number");
    assert!(moved < 0.05, "{moved}");
    assert_eq!(number(noise, "flips"), 0);
    assert_eq!(shared["metrics"], alone["metrics"]);
    // The same again gives the same.
    assert_eq!(eval(&sandbox, &["--noise", "24"])["noise"], shared["noise"]);
}

#[test]
fn examples_are_kept_out_and_decoded_once() {
    let sandbox = Sandbox::new();
    let shots = eval(&sandbox, &["--fewshot", "4", "--items", "0..20"]);
    assert_eq!((number(&shots, "items"), number(&shots, "of"), number(&shots, "fewshot")), (20, 20, 4));
    assert_eq!(shots["partial"], "the last 4 are the examples and not asked");
    let (decoded, naive) = (number(&shots, "tokens_decoded"), number(&shots, "tokens_naive"));
    assert!(decoded * 10 < naive, "{decoded} of {naive}");
}

#[test]
fn a_mean_a_token_is_one_metric() {
    let sandbox = Sandbox::new();
    let answer = eval(&sandbox, &["--scoring", "llama-perplexity", "--limit", "5"]);
    assert_eq!(number(&answer, "items"), 5);
    let metrics = answer["metrics"].as_array().expect("metrics");
    assert_eq!((metrics.len(), &metrics[0]["name"], &metrics[0]["n"]), (1, &"acc_norm".into(), &5.into()));
}

#[test]
fn what_cannot_be_evaluated_is_refused() {
    let sandbox = Sandbox::new();
    let refused = |args: &[&str]| sandbox.run(&[&["eval", "tiny.gguf"], args].concat()).ends(3);
    refused(&["prose.toml"]).tells(&["suite prose is a text", "bitfrontier perplexity"]);
    refused(&["quiz.toml", "--items", "9"]).tells(&["--items \"9\" is no range", "--items 0..200"]);
    refused(&["quiz.toml", "--items", "20..25"]).tells(&["suite quiz has 24 items"]);
    refused(&["quiz.toml", "--fewshot", "24"]).tells(&["suite quiz"]);
    refused(&["quizz"]).tells(&["no suite is called \"quizz\""]);
    let broken = sandbox.run(&["eval", "text.txt", "quiz.toml"]);
    assert_eq!(broken.code, Some(3), "{broken:?}");
    // Labels have one definition, which another scoring must not be put under.
    let labels = QUIZ
        .replace("doc_to_target = \"{{ answer }}\"", "doc_to_labels = \"[1, 0, 0, 1]\"")
        .replace("[[metric]]\nname = \"acc_norm\"\nchance = 0.25\n", "");
    sandbox.write("labels.toml", labels);
    refused(&["labels.toml", "--scoring", "llama-perplexity"])
        .tells(&["suite quiz has `doc_to_labels` beside"]);
    let scored = sandbox.run(&["eval", "tiny.gguf", "labels.toml", "--limit", "4", "--json"]).ends(0);
    let scored: Value = serde_json::from_str(&scored.stdout).expect("JSON");
    let value = scored["metrics"][0]["value"].as_f64().expect("a number");
    assert!(scored["metrics"][0]["name"] == "acc" && value > 0.0 && value < 1.0, "{scored}");
}
