//! Recipes of every kind: the list, single files, and a sweep over a mix, float types, somebody else's file, KV caches,
//! a duplicate, and what cannot be made.

use std::fs;

use serde_json::Value;

use crate::sandbox::Sandbox;
use crate::table::Table;

const MIX: &str = r#"about = "a mix"
type = "Q4_K_M"
embedding = "Q8_0"

[[tensors]]
match = "attn_v"
layers = "0"
type = "Q6_K"

[[tensors]]
match = "ffn_(?:up|gate)"
layers = "last 1"
type = "Q3_K"
"#;

const NIGHT: &str = r#"base = "tiny.gguf"
out = "out"
threads = 1
suites = ["prose.toml"]
limit = 4
recipes = ["Q8_0", "F16", "MXFP4", "NVFP4", "mix.toml", "IQ2_XXS", "theirs.gguf", "foreign.gguf"]

[speed]
repetitions = 1

[[recipe]]
name = "eight"
type = "Q8_0"
embedding = "Q8_0"

[[recipe]]
type = "Q4_0"
kv = { k = "q8_0", v = "q5_1" }

[[recipe]]
name = "slip"
type = "Q4_0"

[[recipe.tensors]]
match = "ffn_dwon"
type = "Q8_0"
"#;

fn quantize(sandbox: &Sandbox, recipe: &str, output: &str, more: &[&str]) -> Value {
    let outcome = sandbox.run(&[&["quantize", "tiny.gguf", recipe, output, "--json"], more].concat()).ends(0);
    serde_json::from_str(&outcome.stdout).expect("JSON")
}

#[test]
fn the_list_names_every_recipe() {
    let sandbox = Sandbox::new();
    let text = sandbox.run(&["recipes"]).ends(0).stdout;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "recipe             bpw  block imatrix  notes");
    for line in [
        "Q8_0               8.5     32 no       the whole model at 8 bits",
        "MXFP4             4.25     32 no       4-bit floats, scale a power of two for 32; embedding and output at Q8_0",
        "IQ1_S           1.5625    256 yes      the smallest that still says something",
        "edges6-core4       mix      - helps    the first and the last two blocks high, those between low",
    ] {
        assert!(lines.contains(&line), "{text} lacks {line:?}");
    }
    let json = sandbox.run(&["recipes", "--json"]).ends(0).stdout;
    let rows: Vec<Value> = serde_json::from_str(&json).expect("JSON");
    assert_eq!(rows.len(), 43);
    let q4 = rows.iter().find(|r| r["name"] == "Q4_K_M").expect("there");
    assert_eq!(
        (&q4["nominal_bpw"], &q4["block"], &q4["needs_imatrix"]),
        (&4.5.into(), &256.into(), &"helps".into())
    );
}

#[test]
fn a_recipe_is_shown_as_a_file_and_as_a_command() {
    let sandbox = Sandbox::new();
    let shown = sandbox.run(&["recipes", "show", "attn5-ffn3", "--base", "tiny.gguf"]).ends(0).stdout;
    assert!(shown.contains("type = \"Q3_K_S\"\n"));
    assert!(
        shown.contains("#     --tensor-type ffn_down=q4_k \\\n#     BASE.gguf OUT.gguf Q3_K_S\n"),
        "{shown}"
    );
    // What is shown can be used: comments are comments.
    sandbox.write("copy.toml", &shown);
    let (copy, preset) =
        (quantize(&sandbox, "copy.toml", "a.gguf", &[]), quantize(&sandbox, "attn5-ffn3", "b.gguf", &[]));
    assert_eq!(copy["bpw"], preset["bpw"]);
    assert_eq!(
        fs::read(sandbox.path("a.gguf")).expect("read"),
        fs::read(sandbox.path("b.gguf")).expect("read")
    );
}

#[test]
fn the_thread_count_does_not_change_a_byte() {
    let sandbox = Sandbox::new();
    for recipe in ["Q4_K_M", "Q5_0", "IQ3_S", "IQ4_XS", "MXFP4", "NVFP4", "TQ1_0", "Q2_0", "edges6-core4"] {
        let bytes: Vec<Vec<u8>> = ["1", "2", "4"]
            .into_iter()
            .map(|threads| {
                quantize(&sandbox, recipe, "x.gguf", &["--threads", threads]);
                fs::read(sandbox.path("x.gguf")).expect("read")
            })
            .collect();
        assert!(bytes[0] == bytes[1] && bytes[0] == bytes[2], "{recipe}");
    }
}

#[test]
fn a_file_is_as_large_as_it_was_said_to_be() {
    let sandbox = Sandbox::new();
    sandbox.write("mix.toml", MIX);
    let planned = quantize(&sandbox, "mix.toml", "mix.gguf", &["--dry-run"]);
    assert!(!sandbox.path("mix.gguf").exists(), "a dry run makes nothing");
    let made = quantize(&sandbox, "mix.toml", "mix.gguf", &[]);
    assert_eq!(
        fs::metadata(sandbox.path("mix.gguf")).expect("there").len(),
        made["file_bytes"].as_u64().expect("bytes")
    );
    for key in ["file_bytes", "bpw", "fallbacks", "recipe", "llama_quantize"] {
        assert_eq!(planned[key], made[key], "{key}");
    }
    assert!(made["quantize_s"].as_f64().expect("seconds") <= made["wall_s"].as_f64().expect("seconds"));
    let left = sandbox.files("");
    assert!(!left.iter().any(|f| f.contains(".gguf.")), "{left:?}");
}

#[test]
fn what_cannot_be_made_is_refused_and_nothing_is_lost() {
    let sandbox = Sandbox::new();
    let base = fs::read(sandbox.path("tiny.gguf")).expect("read");
    let run = |recipe: &str, output: &str, more: &[&str]| {
        sandbox.run(&[&["quantize", "tiny.gguf", recipe, output], more].concat())
    };
    run("Q8_0", "./tiny.gguf", &[])
        .ends(3)
        .tells(&["./tiny.gguf is the base itself, which is never written over"]);
    fs::hard_link(sandbox.path("tiny.gguf"), sandbox.path("link.gguf")).expect("linked");
    run("Q8_0", "link.gguf", &[]).ends(3).tells(&["link.gguf is the base itself"]);
    run("IQ2_XXS", "x.gguf", &[]).ends(3).tells(&[
        "it needs an importance matrix for ",
        "blk.0.attn_k.weight",
        "IQ2_XXS",
        "bitfrontier imatrix tiny.gguf --text FILE",
    ]);
    run("Q2_K_S", "x.gguf", &[]).ends(3).tells(&["it needs an importance matrix for ", " as Q2_K"]);
    run("Q4_0+imatrix", "x.gguf", &[]).ends(3).tells(&["it asks for the sweep's importance matrix"]);
    run("Q4_0", "x.gguf", &["--imatrix", "tiny.gguf"])
        .ends(3)
        .tells(&["tiny.gguf is not an importance matrix"]);
    run("experts3", "x.gguf", &[])
        .ends(3)
        .tells(&["its pattern \"ffn_(?:up|gate|gate_up)_exps\" matches no tensor"]);
    run("Q4_KM", "x.gguf", &[]).ends(3).tells(&["no recipe is called \"Q4_KM\"", "Q4_K_M"]);
    run("tiny.gguf", "x.gguf", &[]).ends(3).tells(&["tiny.gguf is a model, not a recipe"]);
    run("nowhere.toml", "x.gguf", &[]).ends(3).tells(&["cannot read nowhere.toml"]);
    run("Q8_0", "nowhere/x.gguf", &[]).ends(3).tells(&["there is no folder nowhere"]);
    sandbox.write(
        "deep.toml",
        "type = \"Q8_0\"\n[[tensors]]\nmatch = \"attn\"\nlayers = \"0-7\"\ntype = \"Q4_0\"\n",
    );
    run("deep.toml", "x.gguf", &[])
        .ends(3)
        .tells(&["layers \"0-7\" go beyond the model's 2 blocks (0 to 1)"]);
    quantize(&sandbox, "Q8_0", "q.gguf", &[]);
    sandbox
        .run(&["quantize", "q.gguf", "Q4_0", "x.gguf"])
        .ends(3)
        .tells(&["quantized already", "--allow-requantize"]);
    assert!(!sandbox.path("x.gguf").exists());
    sandbox.run(&["quantize", "q.gguf", "Q4_0", "x.gguf", "--allow-requantize"]).ends(0);
    assert!(fs::read(sandbox.path("tiny.gguf")).expect("read") == base, "the base is as it was");
}

#[test]
fn files_that_recipes_name_must_be_there() {
    let sandbox = Sandbox::new();
    for (recipe, code, told) in [
        (
            "{ type = \"Q8_0\", imatrix = \"nowhere.imatrix\" }",
            3,
            "there is no importance matrix nowhere.imatrix, which recipe Q8_0+imatrix names",
        ),
        ("\"nowhere.gguf\"", 3, "there is no file nowhere.gguf"),
        ("{ gguf = \"hf:owner/repo/x.gguf\" }", 4, "the model hf:owner/repo/x.gguf is not in the cache"),
    ] {
        sandbox.write(
            "night.toml",
            format!("base = \"tiny.gguf\"\nrecipes = [{recipe}]\nsuites = [\"prose.toml\"]\n"),
        );
        sandbox.run(&["sweep", "night.toml", "--out", "out"]).ends(code).tells(&[told]);
        assert_eq!(sandbox.files("out"), Vec::<String>::new(), "nothing is written");
    }
}

/// The tiny model with another piece in its vocabulary.
fn foreign(sandbox: &Sandbox) -> Vec<u8> {
    let mut bytes = fs::read(sandbox.path("tiny.gguf")).expect("read");
    let key = b"tokenizer.ggml.tokens";
    let at = bytes.windows(key.len()).position(|w| w == key).expect("a vocabulary");
    // Key, type of the value, type of the elements, their number, and the first one's length; then its letters.
    bytes[at + key.len() + 4 + 4 + 8 + 8] ^= 1;
    bytes
}

#[test]
fn a_sweep_over_recipes_of_every_kind() {
    let sandbox = Sandbox::new();
    sandbox.write("mix.toml", MIX);
    sandbox.write("night.toml", NIGHT);
    quantize(&sandbox, "Q5_K_M", "theirs.gguf", &[]);
    sandbox.write("foreign.gguf", foreign(&sandbox));
    let theirs = fs::read(sandbox.path("theirs.gguf")).expect("read");

    let swept = sandbox.run(&["sweep", "night.toml"]).ends(8);
    assert!(swept.stdout.contains("every tensor is the same as in Q8_0, bit for bit"), "{}", swept.stdout);
    assert!(fs::read(sandbox.path("theirs.gguf")).expect("still there") == theirs, "not ours to delete");

    let variants = Table::read(&sandbox.path("out/variants.csv"));
    let names = [
        "base",
        "Q8_0",
        "F16",
        "MXFP4",
        "NVFP4",
        "mix",
        "IQ2_XXS",
        "theirs",
        "foreign",
        "eight",
        "Q4_0/kv=q8_0,q5_1",
        "slip",
    ];
    assert_eq!(variants.column("variant"), names);
    let cell = |variant: &str, column: &str| variants.cell(&[("variant", variant)], column).to_owned();
    for name in names {
        let status = match name {
            "IQ2_XXS" | "foreign" | "slip" => "quantize: refused",
            _ => "done",
        };
        assert_eq!(cell(name, "status"), status, "{name}");
        let same = match name {
            "F16" => "base",
            "eight" => "Q8_0",
            _ => "",
        };
        assert_eq!(cell(name, "same_as"), same, "{name}");
    }
    assert_eq!(cell("theirs", "type"), "Q5_K_M");
    assert_eq!(cell("theirs", "gguf"), "theirs.gguf");
    assert_eq!(cell("theirs", "quantize_s"), "");
    assert_eq!(cell("MXFP4", "tensor_types"), "14 MXFP4, 5 F32, 1 Q8_0");
    assert!(cell("mix", "tensor_types").contains("2 Q3_K"), "{}", cell("mix", "tensor_types"));

    let metrics = Table::read(&sandbox.path("out/metrics.csv"));
    let reason =
        |variant: &str| metrics.cell(&[("variant", variant), ("suite", "quantize")], "reason").to_owned();
    assert!(reason("IQ2_XXS").contains("needs an importance matrix for"), "{}", reason("IQ2_XXS"));
    assert!(
        reason("foreign").contains("its vocabulary (512 tokens) is not the base's"),
        "{}",
        reason("foreign")
    );
    assert!(reason("slip").contains("its pattern \"ffn_dwon\" matches no tensor"), "{}", reason("slip"));
    let kld =
        |variant: &str| metrics.cell(&[("variant", variant), ("metric", "kld_mean")], "value").to_owned();
    assert_eq!(kld("Q8_0"), kld("eight"), "the same tensors say the same");
    assert!(kld("MXFP4").parse::<f64>().expect("a number") > kld("Q8_0").parse::<f64>().expect("a number"));
    assert!(sandbox.path("out/charts/kv.png").exists(), "weights and KV cache in one chart");

    // Nothing is made or measured again, and what was refused is refused again.
    let again = sandbox.run(&["sweep", "night.toml", "--json-events"]).ends(8).events();
    let made = again.iter().filter(|e| e["event"] == "trial_started").count();
    assert_eq!(made, 0, "{again:?}");
}
