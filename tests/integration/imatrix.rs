//! Importance matrices: the command, what quantizing with one writes, a sweep that computes its own, and every way in
//! which a matrix or its text can be the wrong one.

use std::fs;

use bitfrontier::gguf::imatrix::{Sums, TensorSums, read};
use bitfrontier::gguf::{Described as _, GgufFile};

use crate::sandbox::{BASE, Outcome, Sandbox};

/// The tiny model's matrix from three chunks of 128 tokens.
#[track_caller]
fn made(sandbox: &Sandbox, out: &str) -> Outcome {
    sandbox
        .run(&["imatrix", BASE, "--text", "text.txt", "--ctx", "128", "--chunks", "3", "-t", "1", "-o", out])
}

/// A text that shares no sentence with the fixtures.
fn other_text() -> String {
    let words =
        ["lantern", "copper", "meadow", "quarrel", "sixteen", "under", "violet", "harness", "oblique"];
    let word = |i: usize| words[(i * i + i / 7) % words.len()];
    (0..3000).map(|i| format!("{}{}", word(i), i % 11)).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_command_writes_a_matrix_whatever_the_threads() {
    let sandbox = Sandbox::new();
    let outcome = made(&sandbox, "a/one.gguf").ends(0);
    assert!(outcome.stdout.starts_with("a/one.gguf: 14 weights, 3 chunks, "), "{}", outcome.stdout);
    assert_eq!(sandbox.files("a"), ["one.gguf"]);
    let args =
        ["imatrix", BASE, "--text", "text.txt", "--ctx", "128", "--chunks", "3", "-t", "2", "-o", "two.gguf"];
    sandbox.run(&[&args[..], &["--quiet"]].concat()).ends(0);
    let bytes = |name| fs::read(sandbox.path(name)).expect("read");
    assert!(bytes("a/one.gguf") == bytes("two.gguf"));
    // It may be written again.
    made(&sandbox, "two.gguf").ends(0);
    let matrix = read(&sandbox.path("two.gguf")).expect("a matrix");
    assert_eq!(
        (matrix.datasets, matrix.chunk_count, matrix.chunk_size),
        (vec!["text.txt".to_owned()], 3, 128)
    );
}

#[test]
fn what_is_wrong_with_the_text_or_the_place_is_said() {
    let sandbox = Sandbox::new();
    sandbox.write("short.txt", "Once upon a time.");
    let with = |text: &str, out: &str| sandbox.run(&["imatrix", BASE, "--text", text, "-t", "1", "-o", out]);
    let short = with("short.txt", "o.gguf").ends(3);
    assert!(
        short.stderr.contains("short.txt has") && short.stderr.contains("are needed"),
        "{}",
        short.stderr
    );
    let missing = with("nowhere.txt", "o.gguf").ends(3);
    assert!(missing.stderr.contains("cannot read nowhere.txt"), "{}", missing.stderr);
    with("text.txt", BASE)
        .ends(3)
        .says("tiny.gguf is there and is not an importance matrix", "choose another output file");
    with("text.txt", "text.txt").ends(3).tells(&["text.txt is there and is not an importance matrix"]);
    with("text.txt", ".").ends(3).tells(&["is a folder"]);
    sandbox.write("o.gguf.unfinished", "GGUF");
    with("text.txt", "o.gguf")
        .ends(3)
        .tells(&["o.gguf.unfinished was left unfinished and is damaged", "delete it"]);
    assert!(!sandbox.path("o.gguf").exists());
}

#[test]
fn a_quantized_file_tells_of_its_matrix_and_has_the_size_foretold() {
    let sandbox = Sandbox::new();
    made(&sandbox, "i.gguf").ends(0);
    let args = ["quantize", BASE, "IQ3_XXS", "out.gguf", "--imatrix", "i.gguf", "--threads", "1"];
    sandbox.run(&args).ends(0);
    let file = GgufFile::open(sandbox.path("out.gguf")).expect("a GGUF file");
    let key = |name: &str| format!("quantize.imatrix.{name}");
    assert_eq!(file.metadata().str(&key("file")), Some("i.gguf"));
    assert_eq!(file.metadata().str(&key("dataset")), Some("text.txt"));
    assert_eq!(file.metadata().u64(&key("entries_count")), Some(14));
    assert_eq!(file.metadata().u64(&key("chunks_count")), Some(3));
    let foretold = sandbox.run(&[&args[..], &["--dry-run", "--json"]].concat()).ends(0);
    let foretold: serde_json::Value = serde_json::from_str(&foretold.stdout).expect("JSON");
    assert_eq!(foretold["file_bytes"].as_u64(), Some(file.file_bytes));
    // Other importances, other bytes.
    let quantized = fs::read(sandbox.path("out.gguf")).expect("read");
    let plain = GgufFile::open(sandbox.path("i.gguf")).expect("GGUF");
    let mut sums = Sums::read(&plain).expect("sums");
    sums.entries.values_mut().for_each(|e| e.squares.reverse());
    sandbox.write("i.gguf", sums.encode());
    sandbox.run(&args).ends(0);
    assert!(fs::read(sandbox.path("out.gguf")).expect("read") != quantized);
}

#[test]
fn a_matrix_of_another_model_is_refused() {
    let sandbox = Sandbox::new();
    made(&sandbox, "i.gguf").ends(0);
    let sums = Sums::read(&GgufFile::open(sandbox.path("i.gguf")).expect("GGUF")).expect("sums");
    let quantize = |sums: &Sums| {
        sandbox.write("other.gguf", sums.encode());
        sandbox.run(&["quantize", BASE, "Q4_0", "out.gguf", "--imatrix", "other.gguf", "--threads", "1"])
    };
    let mut deeper = sums.clone();
    let last = sums.entries["blk.1.ffn_down.weight"].clone();
    deeper.entries.insert("blk.2.ffn_down.weight".to_owned(), last);
    quantize(&deeper).ends(3).tells(&["other.gguf is not of this model", "blk.2.ffn_down.weight"]);
    let mut wider = sums.clone();
    let wide = TensorSums { squares: vec![1.0; 512], counts: vec![1] };
    wider.entries.insert("blk.1.ffn_down.weight".to_owned(), wide);
    quantize(&wider).ends(3).tells(&["blk.1.ffn_down.weight has 512 values", "needs 256"]);
    sandbox.write("other.gguf", "not a matrix");
    sandbox
        .run(&["quantize", BASE, "Q4_0", "out.gguf", "--imatrix", "other.gguf"])
        .ends(3)
        .tells(&["other.gguf is not an importance matrix"]);
    assert!(!sandbox.path("out.gguf").exists());
}

#[test]
fn a_sweep_computes_its_matrix_once_and_never_from_what_it_judges_by() {
    let sandbox = Sandbox::new();
    let plan = |text: &str, suites: &str| {
        format!(
            "base = \"tiny.gguf\"\nout = \"out\"\nthreads = 1\nrecipes = [\"Q4_0\", \"Q4_0+imatrix\"]\n\
             suites = [\"{suites}\"]\nlimit = 2\n[speed]\nrepetitions = 1\n[imatrix]\ntext = \"{text}\"\nchunks = 2\n"
        )
    };
    // The suite's own text, rewrapped.
    sandbox.write("same.txt", sandbox.read("text.txt").replace(' ', "\n").repeat(2));
    sandbox.write("sweep.toml", plan("same.txt", "prose.toml"));
    sandbox.run(&["sweep", "sweep.toml"]).ends(3).tells(&["same.txt", "of the suite prose", "another text"]);
    let quiz = sandbox.read("questions.jsonl").repeat(20);
    sandbox.write("quiz.txt", quiz);
    sandbox.write("sweep.toml", plan("quiz.txt", "quiz.toml"));
    sandbox.run(&["sweep", "sweep.toml"]).ends(3).tells(&["quiz.txt", "of the suite quiz"]);
    assert_eq!(sandbox.files("cache/imatrix"), Vec::<String>::new());

    sandbox.write("cal.txt", other_text());
    sandbox.write("sweep.toml", plan("cal.txt", "quiz.toml"));
    let outcome = sandbox.run(&["sweep", "sweep.toml", "--keep-variants"]).ends(0);
    assert!(outcome.stderr.contains("importance matrix from cal.txt"), "{}", outcome.stderr);
    let made = sandbox.files("cache/imatrix");
    assert_eq!(made.len(), 1, "{made:?}");
    let variants = sandbox.files("cache/variants");
    let with = variants.iter().find(|name| name.contains("imatrix")).expect("a variant with a matrix");
    let file = GgufFile::open(sandbox.path(format!("cache/variants/{with}"))).expect("GGUF");
    assert_eq!(file.metadata().str("quantize.imatrix.file"), made.first().map(String::as_str));
    assert_eq!(file.metadata().str("quantize.imatrix.dataset"), Some("cal.txt"));
    let again = sandbox.run(&["sweep", "sweep.toml", "--keep-variants"]).ends(0);
    assert!(!again.stderr.contains("importance matrix from"), "{}", again.stderr);
}
