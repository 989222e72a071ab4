//! Suites of several texts: what is read, rendered and written for them, and what a sweep says of each.

use std::fs;
use std::path::Path;

use crate::records::{find, losses, manifest};
use crate::sandbox::Sandbox;
use crate::table::Table;

/// Two texts, conversations and what the base writes, of which the limit takes some chunks each.
const TEXTS: &str = r#"name = "texts"
title = "Two texts and what the base writes"
version = 1
licence = "bitfrontier's own"

[text]
ctx = 64

[[corpus]]
name = "story"
source = [{ from = "nowhere.txt" }, { from = "text.txt" }]

[[corpus]]
name = "short"
source = [{ from = "short.txt" }]

[[corpus]]
name = "own"
kind = "sampled"
tokens = 1300
seed = 3

[[metric]]
name = "kld_mean"
"#;

const CHAT: &str = r#"name = "talk"
title = "Conversations"
version = 1
licence = "bitfrontier's own"

[text]
ctx = 64

[[corpus]]
name = "talk"
kind = "chat"
source = [{ from = "talk.jsonl" }]

[[metric]]
name = "kld_mean"
"#;

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    let story = sandbox.read("text.txt");
    sandbox.write("short.txt", story.get(..700).expect("ASCII"));
    sandbox.write("texts.toml", TEXTS);
    sandbox.write("talk.toml", CHAT);
    let turn = |i: usize, role| {
        let words: String = story.chars().skip(60 * i).take(60).collect();
        serde_json::json!({"role": role, "content": words})
    };
    let line =
        |i| format!("{}\n", serde_json::json!({"messages": [turn(i, "user"), turn(i + 1, "assistant")]}));
    sandbox.write("talk.jsonl", (0..20).map(line).collect::<String>());
    sandbox
}

#[test]
fn a_sweep_of_three_texts_tells_of_each_and_of_their_average() {
    let sandbox = sandbox();
    let what = ["--recipes", "Q4_0", "--suites", "texts.toml", "--limit", "14"];
    sandbox.sweep(&what).ends(0);
    let out = sandbox.path("out");
    assert_eq!(losses(&out), Vec::<String>::new());

    // The short text has fewer chunks than its share; the others take what it leaves.
    let record = manifest(&out);
    let corpora = record["suites"][0]["corpora"].as_array().expect("corpora");
    let planned: Vec<u64> = corpora.iter().map(|c| c["items_planned"].as_u64().expect("a number")).collect();
    let totals: Vec<u64> = corpora.iter().map(|c| c["items_total"].as_u64().expect("a number")).collect();
    assert_eq!((planned.iter().sum::<u64>(), totals[2]), (14, 1300 / 64));
    assert!(planned[1] == totals[1] && planned[1] < planned[2] && planned[2] <= planned[0], "{planned:?}");

    let metrics = Table::read(&out.join("metrics.csv"));
    let kld = |suite: &str| {
        let row = [("variant", "Q4_0"), ("suite", suite), ("metric", "kld_mean")];
        metrics.cell(&row, "value").parse::<f64>().expect("a number")
    };
    let of_each = ["texts/story", "texts/short", "texts/own"].map(kld);
    assert!(of_each.iter().all(|kld| *kld > 0.0), "{of_each:?}");
    assert!((kld("texts") - of_each.iter().sum::<f64>() / 3.0).abs() < 1e-12);
    let row = [("variant", "base"), ("suite", "texts/own"), ("metric", "kld_mean")];
    assert_eq!(metrics.cell(&row, "value"), "0.0");
    // The summary, the frontier and the figures know the average.
    assert!(
        Table::read(&out.join("summary.csv"))
            .header
            .ends_with(",texts.kld_mean,partial,pp512_joules_per_token,tg128_joules_per_token,energy_meter")
    );
    assert!(sandbox.path("out/charts/bpw-kld.svg").is_file());

    // One store a text; ids name the text.
    assert_eq!(stores(&sandbox), 3);
    let trial = find(&out, "Q4_0", "texts");
    let journal: String = fs::read_dir(out.join("trials").join(&trial.id))
        .expect("listed")
        .filter_map(|entry| fs::read_to_string(entry.expect("listed").path()).ok())
        .collect();
    for (text, chunks) in ["story", "short", "own"].iter().zip(&planned) {
        assert_eq!(journal.matches(&format!("\"id\":\"{text}/chunk-")).count() as u64, *chunks, "{text}");
    }

    // A raised limit goes on with the same trial.
    sandbox.sweep(&["--recipes", "Q4_0", "--suites", "texts.toml", "--limit", "20"]).ends(0);
    let more = find(&out, "Q4_0", "texts");
    assert_eq!((&more.id, more.planned), (&trial.id, 20));
    assert!(trial.lines.keys().all(|index| more.lines.contains_key(index)));
}

/// Stores in the cache; the base's items lie beside them.
fn stores(sandbox: &Sandbox) -> usize {
    sandbox
        .files("cache/base")
        .iter()
        .filter(|name| Path::new(name).extension().is_some_and(|e| e == "bfs"))
        .count()
}

#[test]
fn the_base_writes_the_same_text_again_and_only_where_it_is_lost() {
    let sandbox = sandbox();
    let what = ["--recipes", "Q8_0", "--suites", "texts.toml", "--limit", "3", "--json-events"];
    let writes = |events: &[serde_json::Value]| {
        events.iter().filter(|e| e["message"] == "texts: the base writes 1300 tokens").count()
    };
    assert_eq!(writes(&sandbox.sweep(&what).ends(0).events()), 1);
    let files = sandbox.files("cache/data/sampled");
    let path = sandbox.path("cache/data/sampled").join(&files[0]);
    let written = fs::read(&path).expect("read");
    // Another sweep reads it; a damaged one is written again, to the same bytes, and found in the same store.
    let again = [&what[..], &["--out", "again"]].concat();
    assert_eq!(writes(&sandbox.sweep(&again).ends(0).events()), 0);
    fs::write(&path, &written[..written.len() / 2]).expect("written");
    let third = [&what[..], &["--out", "third"]].concat();
    assert_eq!(writes(&sandbox.sweep(&third).ends(0).events()), 1);
    assert!(fs::read(&path).expect("read") == written, "the same tokens");
    assert_eq!((files.len(), stores(&sandbox)), (1, 3));
    // Another seed is another text.
    sandbox.write("texts.toml", TEXTS.replace("seed = 3", "seed = 4"));
    let other = [&what[..], &["--out", "other"]].concat();
    assert_eq!(writes(&sandbox.sweep(&other).ends(0).events()), 1);
    assert_eq!(sandbox.files("cache/data/sampled").len(), 2);
}

#[test]
fn texts_that_two_suites_share_are_evaluated_once() {
    let sandbox = sandbox();
    let alone = TEXTS.replace("name = \"texts\"", "name = \"story\"");
    let (head, _) = alone.split_once("[[corpus]]").expect("corpora");
    let metric = "[[source]]\nfrom = \"text.txt\"\n\n[[metric]]\nname = \"kld_mean\"\n";
    sandbox.write("story.toml", format!("{head}{metric}"));
    sandbox.sweep(&["--recipes", "Q8_0", "--suites", "texts.toml", "story.toml", "--limit", "3"]).ends(0);
    assert_eq!(losses(&sandbox.path("out")), Vec::<String>::new());
    assert_eq!(stores(&sandbox), 3, "the story has one store");
    assert!(find(&sandbox.path("out"), "base", "story").lines.len() == 3);
}

/// A GGUF with one more entry of metadata, a text.
pub fn with_text(gguf: &[u8], key: &str, value: &str) -> Vec<u8> {
    let number = |at: usize| u64::from_le_bytes(gguf[at..at + 8].try_into().expect("8 bytes"));
    let text = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    // The entry must not move the data: they begin at a multiple of 32, so that it is padded to one.
    let mut entry = [&text(key)[..], &8_u32.to_le_bytes()].concat();
    let padding = (32 - (entry.len() + 8 + value.len()) % 32) % 32;
    entry.extend(text(&format!("{value}{}", " ".repeat(padding))));
    [&gguf[..16], &(number(16) + 1).to_le_bytes(), &entry, &gguf[24..]].concat()
}

#[test]
fn conversations_are_rendered_by_the_model_s_own_template() {
    let sandbox = sandbox();
    let what = ["--recipes", "Q8_0", "--suites", "talk.toml", "--limit", "2"];
    sandbox.sweep(&what).ends(3).tells(&["suite talk needs a chat template, and tiny.gguf has none"]);

    let tiny = fs::read(sandbox.path("tiny.gguf")).expect("read");
    let template =
        "{% for m in messages %}{{ bos_token }}{{ m.role }}: {{ m.content }}{{ eos_token }}{% endfor %}";
    sandbox.write("tiny.gguf", with_text(&tiny, "tokenizer.chat_template", template));
    sandbox.sweep(&what).ends(0);
    assert_eq!(losses(&sandbox.path("out")), Vec::<String>::new());
    let rendered = sandbox.files("cache/data/chat");
    assert_eq!(rendered.len(), 1, "{rendered:?}");
    let text = sandbox.read(&format!("cache/data/chat/{}", rendered[0]));
    assert!(text.starts_with("<s>user: ") && text.trim_end().ends_with("</s>"), "{text}");
    assert_eq!((text.matches("<s>").count(), text.matches("</s>").count()), (40, 40));

    // Conversations alone, and what is wrong with them.
    let report =
        sandbox.run(&["perplexity", "tiny.gguf", "--text", "talk.jsonl", "--chat", "--ctx", "64", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&report.ends(0).stdout).expect("JSON");
    assert!(report["chunks"].as_u64() > Some(5));
    sandbox.write("talk.jsonl", "{\"messages\": []}\n");
    sandbox.sweep(&what).ends(3).tells(&["talk.jsonl, line 1: a conversation is"]);
}

#[test]
fn a_hostile_template_ends_in_one_sentence() {
    let sandbox = sandbox();
    let tiny = fs::read(sandbox.path("tiny.gguf")).expect("read");
    let loops = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
    // A text that doubles with every step: few steps, more memory than there is.
    let doubles =
        "{% set ns = namespace(x='x') %}{% for a in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}";
    for (template, expected) in [(loops, "fuel"), (doubles, "too much memory or time")] {
        sandbox.write("tiny.gguf", with_text(&tiny, "tokenizer.chat_template", template));
        sandbox.sweep(&["--suites", "talk.toml"]).ends(3).tells(&[expected]);
    }
}
