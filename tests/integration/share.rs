//! What a sweep is shared by, and what is taken in from elsewhere: the archive makes the same tables again, the card says
//! what they say, and foreign measurements stand beside without changing what is judged.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use flate2::read::GzDecoder;

use crate::sandbox::{FIXTURES, Sandbox};
use crate::table::Table;

const WHAT: [&str; 6] = ["--recipes", "Q8_0", "TQ2_0", "--suites", "prose.toml", "quiz.toml"];

/// Every derived file of a results folder with its bytes.
fn derived(sandbox: &Sandbox, folder: &str) -> BTreeMap<String, Vec<u8>> {
    let records = ["manifest.json", "costs.toml", "foreign.json"];
    let names = sandbox.files(folder).into_iter().filter(|name| {
        let is_record = ["trials/", "logs/", "export/"].iter().any(|start| name.starts_with(start));
        !is_record && !records.contains(&name.as_str())
    });
    names.map(|name| (name.clone(), fs::read(sandbox.path(folder).join(name)).expect("read"))).collect()
}

fn foreign(sandbox: &Sandbox, name: &str) {
    fs::copy(Path::new(FIXTURES).join("foreign").join(name), sandbox.path(name)).expect("copied");
}

#[test]
fn a_sweep_goes_out_whole_and_others_come_in_marked() {
    let sandbox = Sandbox::new();
    sandbox.sweep(&WHAT).ends(0);
    let own = derived(&sandbox, "out");
    what_is_wrong_is_told_and_nothing_kept(&sandbox);
    assert!(derived(&sandbox, "out") == own);
    foreign_rows_stand_beside(&sandbox, &own);
    sandbox.run(&["cost", "out", "--volume", "5"]).ends(0);
    the_archive_makes_the_same_again(&sandbox);
    the_card_says_what_the_tables_say(&sandbox);

    // Without what was imported, and without prices of its own, everything is as it was.
    fs::remove_file(sandbox.path("out/foreign.json")).expect("removed");
    fs::remove_file(sandbox.path("out/costs.toml")).expect("removed");
    sandbox.run(&["report", "out"]).ends(0);
    assert!(derived(&sandbox, "out") == own);
}

fn what_is_wrong_is_told_and_nothing_kept(sandbox: &Sandbox) {
    foreign(sandbox, "bench.csv");
    foreign(sandbox, "divergence.log");
    sandbox.write("torn.csv", "n_prompt,n_gen,avg_ts\n512,0,fast\n");
    let import = |args: &[&str]| sandbox.run(&[&["import", "out"][..], args].concat()).ends(3);
    import(&["bench.csv", "torn.csv"])
        .tells(&["torn.csv, line 2: avg_ts is \"fast\", not a number", "llama-bench"]);
    import(&["text.txt"]).tells(&["text.txt, line ", "the end of the file"]);
    import(&["nothing.csv"]).tells(&["cannot read nothing.csv"]);
    import(&["divergence.log", "--suite", "pros"]).tells(&["no suite is called \"pros\"", "prose"]);
    import(&["divergence.log", "--suite", "quiz"]).tells(&["that suite asks questions"]);
    import(&["bench.csv", "./bench.csv"]).tells(&["two files are called bench.csv"]);
    sandbox.run(&["import", "nowhere", "bench.csv"]).ends(3).tells(&["manifest.json"]);
    sandbox.run(&["export", "nowhere"]).ends(3).tells(&["manifest.json"]);
    assert!(!sandbox.path("out/foreign.json").exists());
}

fn foreign_rows_stand_beside(sandbox: &Sandbox, own: &BTreeMap<String, Vec<u8>>) {
    let args = ["import", "out", "bench.csv", "divergence.log", "--suite", "prose", "--model", "tiny.gguf"];
    let told = sandbox.run(&args).ends(0).stdout;
    assert!(told.starts_with("bench.csv: llama-bench, 1 model, 2 speeds\n"), "{told}");
    assert!(told.contains("divergence.log: llama-perplexity, 1 model, 11 scores\n"), "{told}");

    let table = |name: &str| Table::read(&sandbox.path("out").join(name));
    let metrics = table("metrics.csv");
    let kld = [("variant", "tiny (divergence.log)"), ("suite", "prose"), ("metric", "kld_mean")];
    assert_eq!(metrics.cell(&kld, "value"), "0.333272");
    assert_eq!((metrics.cell(&kld, "status"), metrics.cell(&kld, "n")), ("foreign", "2040"));
    assert_eq!(metrics.find(&[("status", "foreign")]).len(), 11);
    let speed = table("speed.csv");
    let tg = [("variant", "SmolLM2-135M-F16 (bench.csv)"), ("kind", "tg"), ("generate", "16")];
    assert_eq!((speed.cell(&tg, "mean"), speed.cell(&tg, "status")), ("1.815127", "foreign"));
    assert!(speed.cell(&tg, "reason").starts_with("bench.csv by llama-bench; build 0 (unknown)"));
    let variants = table("variants.csv");
    let ours = Table::read(&sandbox.path("out/variants.csv")).column("variant")[..3].join(" ");
    assert_eq!(ours, "base Q8_0 TQ2_0", "its own come first");
    assert_eq!(variants.column("status")[3..], ["foreign: llama-bench", "foreign: llama-perplexity"]);
    assert_eq!(variants.cell(&[("variant", "SmolLM2-135M-F16 (bench.csv)")], "file_bytes"), "269100288");
    let bpw = variants.cell(&[("variant", "tiny (divergence.log)")], "bpw");
    assert_eq!(bpw, variants.cell(&[("variant", "base")], "bpw"));

    // Nothing is judged by them.
    let after = derived(sandbox, "out");
    for name in
        ["comparisons.csv", "frontier.csv", "cliffs.csv", "costs.csv", "trials.csv", "capabilities.csv"]
    {
        assert!(after[name] == own[name], "{name}");
    }
    let chart = String::from_utf8_lossy(&after["charts/bpw-kld.svg"]).into_owned();
    assert!(
        chart.contains("tiny (divergence.log)") && chart.contains("Rings with a file in brackets: foreign")
    );
    assert!(after["charts/bpw-quiz.svg"] == own["charts/bpw-quiz.svg"]);
    sandbox.run(&["report", "out"]).ends(0);
    assert!(derived(sandbox, "out") == after, "they are part of what is derived");
    sandbox.run(&args).ends(0);
    assert!(derived(sandbox, "out") == after, "imported again they take their own place");
}

fn the_archive_makes_the_same_again(sandbox: &Sandbox) {
    let exported = sandbox.run(&["export", "out"]).ends(0);
    assert_eq!(exported.stdout, "card: out/export/model-card.md\nrecords: out/export/out.tar.gz\n");
    assert_eq!(exported.stderr, "");
    let first = fs::read(sandbox.path("out/export/out.tar.gz")).expect("read");
    sandbox.run(&["export", "out", "--out", "elsewhere"]).ends(0);
    assert!(fs::read(sandbox.path("elsewhere/out.tar.gz")).expect("read") == first, "the same bytes");

    let mut archive = tar::Archive::new(GzDecoder::new(first.as_slice()));
    archive.unpack(sandbox.path("unpacked")).expect("unpacked");
    let names = sandbox.files("unpacked/out");
    assert!(names.iter().all(|name| {
        name.starts_with("trials/")
            || ["manifest.json", "costs.toml", "foreign.json"].contains(&name.as_str())
    }));
    sandbox.run(&["report", "unpacked/out"]).ends(0);
    let (ours, theirs) = (derived(sandbox, "out"), derived(sandbox, "unpacked/out"));
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    for (name, bytes) in &ours {
        assert!(theirs[name] == *bytes, "{name}");
    }
}

fn the_card_says_what_the_tables_say(sandbox: &Sandbox) {
    let card = sandbox.read("out/export/model-card.md");
    assert!(card.starts_with("## Quantizations of "), "{card}");
    assert!(
        card.contains("\n**Recommended: `") || card.contains("\nNo variant can be recommended: "),
        "{card}"
    );
    let metrics = Table::read(&sandbox.path("out/metrics.csv"));
    let number = |variant: &str, column: &str| -> f64 {
        let key = [("variant", variant), ("suite", "prose"), ("metric", "kld_mean")];
        metrics.cell(&key, column).parse().expect("a number")
    };
    for variant in ["Q8_0", "TQ2_0"] {
        let [value, low, high] = ["value", "ci_low", "ci_high"].map(|column| number(variant, column));
        let cell = format!("| {value:.5} ({low:.5}–{high:.5}) |");
        let row = card.lines().find(|line| line.starts_with(&format!("| `{variant}` |"))).expect("a row");
        assert!(row.contains(&cell), "{row} lacks {cell}");
    }
    // A table is one only if all its lines have as many cells.
    let lines: Vec<&str> = card.lines().filter(|line| line.starts_with('|')).collect();
    let columns = |line: &str| line.replace("\\|", "").matches('|').count();
    assert!(lines.len() == 7 && lines.iter().all(|line| columns(line) == columns(lines[0])), "{card}");
    assert!(card.contains("foreign: llama-bench") && card.contains("`out.tar.gz`"), "{card}");
    assert!(card.contains("llama.cpp ") && card.contains("threads"), "{card}");
}
