//! Searches on the tiny model: a file within the bytes, its recipe, what is kept of probes, and every way in which the
//! question can be wrong.

use std::fs;

use bitfrontier::gguf::{Described as _, GgufFile};

use crate::sandbox::{BASE, Outcome, Sandbox};

#[track_caller]
fn search(sandbox: &Sandbox, args: &[&str]) -> Outcome {
    let fixed =
        ["search", BASE, "--ctx", "128", "--text", "text.txt", "--minutes", "1", "-t", "1", "-o", "out.gguf"];
    sandbox.run(&[&fixed[..], args].concat())
}

#[test]
fn a_search_keeps_to_its_bytes_and_its_recipe_makes_the_same_file() {
    let sandbox = Sandbox::new();
    let outcome = search(&sandbox, &["--like", "Q4_K_M", "--json"]).ends(0);
    let found: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    let stock = sandbox.run(&["quantize", BASE, "Q4_K_M", "s.gguf", "--json"]).ends(0);
    let stock: serde_json::Value = serde_json::from_str(&stock.stdout).expect("JSON");
    let file = GgufFile::open(sandbox.path("out.gguf")).expect("GGUF");
    assert_eq!(found["search"]["stock"].as_str(), Some("Q4_K_M"));
    assert_eq!(found["search"]["stock_bytes"], stock["file_bytes"]);
    assert_eq!(found["search"]["file_bytes"].as_u64(), Some(file.file_bytes));
    assert!(file.file_bytes <= stock["file_bytes"].as_u64().expect("bytes"));
    // On text that nothing was chosen by it is no worse than the stock type.
    let kld = |name: &str| found["search"][name]["kld"].as_f64().expect("a divergence");
    assert!(kld("checked") <= kld("checked_stock"), "{found:#}");
    let probes = found["search"]["probes"].as_array().expect("probes");
    assert!(probes.len() > 3 && probes.iter().all(|p| p["standard_error"].is_number()), "{probes:?}");
    // The recipe alone makes the same file.
    sandbox.run(&["quantize", BASE, "out.recipe.toml", "again.gguf", "--threads", "1"]).ends(0);
    let bytes = |name: &str| fs::read(sandbox.path(name)).expect("read");
    assert!(bytes("out.gguf") == bytes("again.gguf"), "the same bytes");
    // Another search of the same base has all the groups' probes at hand.
    let again = search(&sandbox, &["--bpw", "5", "--json"]).ends(0);
    let again: serde_json::Value = serde_json::from_str(&again.stdout).expect("JSON");
    assert!(again["search"]["chunks_at_hand"].as_u64() > Some(0), "{again:#}");
    let file = GgufFile::open(sandbox.path("out.gguf")).expect("GGUF");
    assert!(file.bpw().0 <= 5.0, "{}", file.bpw());
}

#[test]
fn what_cannot_be_searched_is_said() {
    let sandbox = Sandbox::new();
    search(&sandbox, &["--bpw", "0.5"]).ends(3).tells(&[
        "below the smallest mix",
        "tiny.gguf can have",
        "--imatrix",
    ]);
    search(&sandbox, &["--bytes", "5.0GiB"]).ends(3).tells(&["5.0 GiB", "is above the base"]);
    search(&sandbox, &["--bytes", "lots"]).ends(3).tells(&["--bytes: \"lots\" is no number of bytes"]);
    search(&sandbox, &["--like", "Q4_KM"])
        .ends(3)
        .tells(&["--like: no recipe is called \"Q4_KM\"", "Q4_K_M"]);
    search(&sandbox, &["--like", "IQ2_XS"]).ends(3).tells(&["needs an importance matrix"]);
    search(&sandbox, &["--bpw", "5", "--imatrix", "text.txt"])
        .ends(3)
        .tells(&["text.txt is not an importance matrix"]);
    sandbox.write("short.txt", "Once upon a time.");
    let short = ["search", BASE, "--bpw", "5", "--text", "short.txt", "-o", "out.gguf"];
    sandbox.run(&short).ends(3).tells(&["short.txt has", "a search takes at least 4"]);
    let over = ["search", BASE, "--bpw", "5", "--text", "text.txt", "-o", BASE];
    sandbox.run(&over).ends(3).tells(&["is the base itself"]);
    sandbox.run(&["quantize", BASE, "auto@5bpw", "out.gguf"]).ends(3).tells(&["yet to be searched"]);
    sandbox.sweep(&["--recipes", "auto@5x"]).ends(3).tells(&["no number of bytes"]);
    assert!(!sandbox.path("out.gguf").exists());
}
