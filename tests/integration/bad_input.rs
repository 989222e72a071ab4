//! Every kind of bad input, each with one clear line, a hint, an exit code, and nothing lost.

use std::fs;
use std::path::Path;

use crate::sandbox::{Outcome, PROSE, QUIZ, Sandbox};

const QUIZ_ONLY: [&str; 4] = ["--recipes", "Q8_0", "--suites", "quiz.toml"];

/// A sweep that must be refused before anything is written.
#[track_caller]
fn refused(sandbox: &Sandbox, args: &[&str], code: i32) -> Outcome {
    let outcome = sandbox.sweep(args).ends(code);
    assert_eq!(outcome.stdout, "");
    assert_eq!(sandbox.files("out"), Vec::<String>::new(), "nothing is written");
    outcome
}

/// The quiz on another base.
#[track_caller]
fn refused_base(sandbox: &Sandbox, base: &str) -> Outcome {
    refused(sandbox, &[&["--base", base], &QUIZ_ONLY[..]].concat(), 3)
}

const CONVERT: &str = "convert the model with llama.cpp's convert_hf_to_gguf.py, or check that the download is not a \
                       web page or a Git LFS pointer";
const INCOMPLETE: &str =
    "the download or copy is incomplete; fetch the file again and compare its size and checksum";

#[test]
fn a_base_that_is_not_there() {
    refused_base(&Sandbox::new(), "nowhere.gguf")
        .says("there is no file nowhere.gguf", "check the path; it is relative to the folder you are in");
}

#[test]
fn a_base_that_is_not_in_the_cache() {
    let sandbox = Sandbox::new();
    let args = [&["--base", "pypi:some-model==1.0/model.gguf"], &QUIZ_ONLY[..]].concat();
    refused(&sandbox, &args, 4).says(
        "the base model pypi:some-model==1.0/model.gguf is not in the cache",
        "run `bitfrontier fetch pypi:some-model==1.0/model.gguf`",
    );
    let args = ["--recipes", "Q8_0", "--suites", "piqa"];
    refused(&sandbox, &args, 4)
        .says("the data of suite piqa is not in the cache", "run `bitfrontier suites fetch piqa`");
}

#[test]
fn a_base_that_is_cut_off() {
    let sandbox = Sandbox::new();
    let whole = fs::read(sandbox.path("tiny.gguf")).expect("read");
    sandbox.write("data.gguf", &whole[..1_000_000]);
    refused_base(&sandbox, "data.gguf")
        .says("data.gguf is truncated: 852960 bytes of tensor data are missing from its end", INCOMPLETE);
    sandbox.write("header.gguf", &whole[..20]);
    refused_base(&sandbox, "header.gguf").says(
        "header.gguf ends inside its header: metadata count at byte 16 needs 8 bytes and 4 are left",
        INCOMPLETE,
    );
    // Wherever it is cut, the answer is one line.
    for length in (0..whole.len()).step_by(whole.len() / 23) {
        sandbox.write("some.gguf", &whole[..length]);
        refused_base(&sandbox, "some.gguf").tells(&["some.gguf ", "(hint: "]);
    }
}

#[test]
fn a_base_that_is_no_gguf() {
    let sandbox = Sandbox::new();
    for (name, content, begins) in [
        ("page.gguf", &b"<!doctype html>"[..], "\"<!do\" (a web page)"),
        ("zero.gguf", &[0; 4096], r#""\x00\x00\x00\x00""#),
        ("empty.gguf", b"", "nothing, being empty"),
    ] {
        sandbox.write(name, content);
        let sentence = format!("{name} is not a GGUF file: it begins with {begins}");
        refused_base(&sandbox, name).says(&sentence, CONVERT);
    }
    fs::create_dir(sandbox.path("folder.gguf")).expect("made");
    refused_base(&sandbox, "folder.gguf").tells(&["folder.gguf", "(hint: "]);
}

#[test]
fn a_base_that_llama_cpp_cannot_load() {
    let sandbox = Sandbox::new();
    let mut model = fs::read(sandbox.path("tiny.gguf")).expect("read");
    // The value of `general.architecture` is the first place that says so.
    let place = model.windows(5).position(|w| w == b"llama").expect("there");
    model[place..place + 5].copy_from_slice(b"lhama");
    sandbox.write("strange.gguf", model);
    for suite in ["quiz.toml", "prose.toml"] {
        let args = ["--base", "strange.gguf", "--recipes", "Q8_0", "--suites", suite];
        refused(&sandbox, &args, 3).tells(&[
            "error: the base model strange.gguf cannot be used: ",
            "unknown model architecture: 'lhama'",
            "(hint: ",
        ]);
    }
}

#[test]
fn a_base_that_is_quantized_already() {
    let sandbox = Sandbox::new();
    sandbox.sweep(&[&["--out", "first", "--keep-variants"], &QUIZ_ONLY[..]].concat()).ends(0);
    let variant = sandbox.files("cache/variants").remove(0);
    fs::rename(sandbox.path("cache/variants").join(variant), sandbox.path("quantized.gguf")).expect("moved");
    refused_base(&sandbox, "quantized.gguf").says(
        "the base model quantized.gguf is quantized already: 100% of its weights are in quantized types",
        "use a full-precision GGUF (F32, F16, BF16), or --allow-requantize if you mean it",
    );
    let meant =
        ["--base", "quantized.gguf", "--recipes", "Q4_0", "--suites", "quiz.toml", "--allow-requantize"];
    sandbox.sweep(&meant).ends(0);
}

/// A sweep file that must be refused, with an error that begins as given and a hint that contains `hint`.
#[track_caller]
fn refused_file(text: &str, begins: &str, hint: &str) {
    let sandbox = Sandbox::new();
    sandbox.write("night.toml", text);
    let outcome = sandbox.run(&["sweep", "night.toml", "--base", "tiny.gguf", "--out", "out"]).ends(3);
    let outcome = outcome.tells(&[begins, hint]);
    assert!(outcome.stderr.starts_with(&format!("error: {begins}")), "{}", outcome.stderr);
    assert!(!sandbox.path("out").exists(), "nothing is written");
}

#[test]
fn a_sweep_file_with_something_unknown() {
    refused_file(
        "seed = 1\nrecipies = [\"Q8_0\"]\n",
        "night.toml, line 2: unknown field `recipies`, expected one of ",
        "(hint: did you mean \"recipes\"? Valid keys are base, recipes, ",
    );
    refused_file(
        "recipes = [\n  \"Q8_0\",\n  \"Q4_KM\",\n]\n",
        "night.toml, line 3: no recipe is called \"Q4_KM\" (hint: the nearest recipes are Q4_K_M",
        "",
    );
    refused_file(
        "recipes = [\"Q8_0/kv=q9_0\"]\n",
        "night.toml, line 1: no KV cache type is called \"q9_0\"",
        "(hint: the nearest KV cache types are ",
    );
    refused_file(
        "# a night\n\nsuites = [\"helaswag\"]\n",
        "night.toml, line 3: no suite is called \"helaswag\" (hint: the nearest suites are hellaswag",
        "",
    );
    refused_file(
        "recipes = [\"Q8_0\", \"q8_0\"]\n",
        "night.toml, line 1: recipe \"Q8_0\" is named twice",
        "",
    );
    refused_file(
        "[[recipe]]\nname = \"x\"\ntype = \"Q8_0\"\ntensor = []\n",
        "night.toml, line 4: unknown field `tensor`, expected one of ",
        "(hint: did you mean \"tensors\"?",
    );
    refused_file("threads = \"two\"\n", "night.toml, line 1: invalid type: string \"two\"", "");
    refused_file("seed = 1\nseed = 2\n", "night.toml, line 2: ", "");
    refused_file("[limits]\nquizz = 3\n", "limits: no suite is called \"quizz\"", "(hint: ");
}

#[test]
fn a_suite_file_with_something_unknown() {
    let sandbox = Sandbox::new();
    for (from, to, begins) in [
        ("title =", "titel =", "bad.toml, line 2: unknown field `titel`, expected one of "),
        ("ctx = 256", "context = 256", "bad.toml, line 14: unknown field `context`, expected one of "),
        (
            "\"acc\"",
            "\"accuracy\"",
            "bad.toml: no metric is called \"accuracy\" (hint: the nearest metrics are ",
        ),
        (
            "chance = 0.25",
            "chance = 25",
            "bad.toml: has a chance level outside 0..1 (hint: chance is a fraction)",
        ),
        ("version = 1\n", "", "bad.toml, line 1: missing field `version`"),
    ] {
        sandbox.write("bad.toml", QUIZ.replacen(from, to, 1));
        let outcome = refused(&sandbox, &["--recipes", "Q8_0", "--suites", "bad.toml"], 3).tells(&[]);
        assert!(outcome.stderr.starts_with(&format!("error: {begins}")), "{}", outcome.stderr);
    }
    refused(&sandbox, &["--recipes", "Q8_0", "--suites", "nowhere.toml"], 3)
        .tells(&["error: cannot read nowhere.toml: No such file or directory"]);
}

#[test]
fn flags_with_something_unknown() {
    let sandbox = Sandbox::new();
    let refuse = |args: &[&str]| refused(&sandbox, args, 3);
    refuse(&["--recipes", "Q5_KM", "--suites", "quiz.toml"])
        .tells(&["error: --recipes: no recipe is called \"Q5_KM\" (hint: the nearest recipes are Q5_K_M"]);
    refuse(&["--recipes", "Q8_0", "--suites", "pika"])
        .says("--suites: no suite is called \"pika\"", "the nearest suites are piqa, ifeval");
    refuse(&[&QUIZ_ONLY[..], &["--limit", "many"]].concat())
        .says("--limit: \"many\" is not a number of items", "write --limit 100, or --limit piqa=100");
    refuse(&[&QUIZ_ONLY[..], &["--threads", "0"]].concat())
        .tells(&["threads and repetitions must be at least 1"]);
    for seconds in ["-1", "0", "nan", "inf", "1e300"] {
        let flag = format!("--hang-seconds={seconds}");
        refuse(&[&QUIZ_ONLY[..], &[&flag]].concat()).tells(&["hang_seconds", "(hint: "]);
    }
    sandbox.run(&["sweep", "--recipe", "Q8_0"]).ends(2);
    sandbox
        .run(&["sweep", "--base", "tiny.gguf"])
        .ends(3)
        .tells(&["no results folder is named", "--out DIR"]);
    sandbox.run(&["sweep", "--out", "out"]).ends(3).tells(&["no base model is named", "--base MODEL"]);
}

#[test]
fn two_suites_of_one_name() {
    let sandbox = Sandbox::new();
    sandbox.write("other.toml", QUIZ.replace("ctx = 256", "ctx = 128"));
    refused(&sandbox, &["--recipes", "Q8_0", "--suites", "quiz.toml", "other.toml"], 3)
        .tells(&["suite \"quiz\" is named twice"]);
}

#[test]
fn one_type_under_two_names() {
    refused_file(
        "recipes = [\"Q4_0\", { name = \"mine\", type = \"Q4_0\" }]\n",
        "night.toml, line 1: recipe mine is the same as Q4_0",
        "(hint: ",
    );
    // With other KV types it is another variant of the same file.
    let sandbox = Sandbox::new();
    sandbox.write("two.toml", "recipes = [\"Q4_0\", { name = \"mine\", type = \"Q4_0\", kv = \"q8_0\" }]\n");
    sandbox.sweep(&["two.toml", "--suites", "quiz.toml", "--limit", "2"]).ends(0);
    let metrics = crate::table::Table::read(&sandbox.path("out/metrics.csv"));
    assert_eq!(metrics.cell(&[("variant", "mine/kv=q8_0"), ("metric", "acc")], "status"), "done");
    let variants = crate::table::Table::read(&sandbox.path("out/variants.csv"));
    let [_, first, second] = variants.column("sha256")[..] else { panic!("three variants") };
    assert_eq!(first, second);
}

#[test]
fn data_that_is_not_what_the_suite_names() {
    let sandbox = Sandbox::new();
    let found = bitfrontier::fetch::sha256_file(&sandbox.path("questions.jsonl")).expect("read");
    let expected = "0".repeat(64);
    let named = format!("from = \"questions.jsonl\"\nsha256 = \"{expected}\"");
    sandbox.write("quiz.toml", QUIZ.replace("from = \"questions.jsonl\"", &named));
    refused(&sandbox, &QUIZ_ONLY, 3).says(
        &format!("questions.jsonl is not the data suite quiz names: sha256 {found}, expected {expected}"),
        "remove the file and run `bitfrontier suites fetch quiz`, or correct the suite's sha256",
    );
    // With the right one, in any case, it goes.
    let named = format!("from = \"questions.jsonl\"\nsha256 = \"{}\"", found.to_uppercase());
    sandbox.write("quiz.toml", QUIZ.replace("from = \"questions.jsonl\"", &named));
    sandbox.sweep(&QUIZ_ONLY).ends(0);
}

#[test]
fn data_that_does_not_fit_its_templates() {
    let sandbox = Sandbox::new();
    let good = sandbox.read("questions.jsonl");
    for (line, begins) in [
        ("{\"id\": 3", "questions.jsonl, line 25: not valid JSON: "),
        ("[1, 2]", "questions.jsonl, line 25: not a JSON object"),
        (
            "{\"id\": 3, \"choices\": [\"a\", \"b\"], \"answer\": 0}",
            "questions.jsonl, line 25: doc_to_text cannot be rendered: ",
        ),
        (
            "{\"id\": 3, \"question\": \"?\", \"choices\": [\"a\", \"b\"], \"answer\": 2}",
            "questions.jsonl, line 25: the right answer \"2\" is not the index of a choice",
        ),
        (
            "{\"id\": 3, \"question\": \"?\", \"choices\": [\"a\"], \"answer\": 0}",
            "questions.jsonl, line 25: 1 choices, some of them empty, or fewer than two",
        ),
        (
            "{\"id\": 3, \"question\": \"?\", \"choices\": \"a\\nb\", \"answer\": 0}",
            "questions.jsonl, line 25: doc_to_choice is not a list of texts: ",
        ),
    ] {
        sandbox.write("questions.jsonl", format!("{good}{line}\n"));
        let outcome = refused(&sandbox, &QUIZ_ONLY, 3).tells(&[]);
        assert!(outcome.stderr.starts_with(&format!("error: {begins}")), "{}", outcome.stderr);
    }
    sandbox.write("quiz.toml", QUIZ.replace("{{ question }}", "{{ question"));
    refused(&sandbox, &QUIZ_ONLY, 3).tells(&["error: doc_to_text: the template does not compile: "]);
}

#[test]
fn zero_items() {
    let sandbox = Sandbox::new();
    let none = "suite quiz has no items to evaluate";
    let hint = "raise --limit, or check the data file";
    refused(&sandbox, &[&QUIZ_ONLY[..], &["--limit", "0"]].concat(), 3).says(none, hint);
    refused(&sandbox, &[&QUIZ_ONLY[..], &["--limit", "quiz=0"]].concat(), 3).says(none, hint);
    sandbox.write("questions.jsonl", "\n\n");
    refused(&sandbox, &QUIZ_ONLY, 3).says(none, hint);
    sandbox.write("text.txt", "Too short a story.");
    refused(&sandbox, &["--recipes", "Q8_0", "--suites", "prose.toml"], 3).tells(&[
        "error: suite prose: its text has ",
        " tokens, fewer than two chunks of 128 (hint: use a longer text",
    ]);
}

#[test]
fn contexts_that_do_not_fit() {
    let sandbox = Sandbox::new();
    // Long enough for two chunks of whatever is asked for.
    sandbox.write("text.txt", sandbox.read("text.txt").repeat(2));
    let suite = |text: &str, from: &str, ctx: &str| {
        sandbox.write("ctx.toml", text.replace(from, &format!("ctx = {ctx}")));
    };
    let args = ["--recipes", "Q8_0", "--suites", "ctx.toml"];
    suite(PROSE, "ctx = 128", "513");
    refused(&sandbox, &args, 3).says(
        "ctx.toml: a context of 513 tokens is longer than the model's 512",
        "lower `ctx`, or stretch the model's context with --yarn",
    );
    sandbox.sweep(&[&args[..], &["--yarn", "--out", "stretched", "--limit", "1"]].concat()).ends(0);
    for ctx in ["0", "1", "3"] {
        suite(PROSE, "ctx = 128", ctx);
        refused(&sandbox, &args, 3).tells(&["ctx.toml: ", "ctx", "(hint: "]);
    }
    for ctx in ["0", "1", "8"] {
        suite(QUIZ, "ctx = 256", ctx);
        refused(&sandbox, &args, 3).tells(&["ctx.toml: ", "ctx", "(hint: "]);
    }
    // The shortest that are not refused work.
    suite(PROSE, "ctx = 128", "4");
    sandbox.sweep(&[&args[..], &["--out", "short", "--limit", "2"]].concat()).ends(0);
    suite(QUIZ, "ctx = 256", "32");
    sandbox.sweep(&[&args[..], &["--out", "small", "--limit", "2"]].concat()).ends(0);
}

#[test]
fn a_results_folder_of_a_newer_format() {
    let sandbox = Sandbox::new();
    let quick = [&QUIZ_ONLY[..], &["--limit", "2"]].concat();
    sandbox.sweep(&quick).ends(0);
    let manifest = sandbox.read("out/manifest.json");
    // A newer one's checksum may be anywhere.
    let unsealed = manifest.split_once("\",\n").expect("a checksum").1;
    let newer = format!("{{{}", unsealed.replacen("\"format\": 2", "\"format\": 99", 1));
    sandbox.write("out/manifest.json", &newer);
    let said = "out/manifest.json has format 99; this program reads up to 2";
    let hint = "install a newer bitfrontier, or choose another folder with --out";
    sandbox.sweep(&quick).ends(3).says(said, hint);
    sandbox.run(&["report", "out"]).ends(3).says(said, hint);
    assert_eq!(sandbox.read("out/manifest.json"), newer, "it stays as it was");

    sandbox.write("out/manifest.json", "{\"format\": 1, \"name\"");
    sandbox.run(&["report", "out"]).ends(3).tells(&[
        "error: out/manifest.json is damaged, or not a manifest of bitfrontier: ",
        "(hint: the command that swept into this folder sets it aside",
    ]);
    sandbox.sweep(&quick).ends(0);
}

#[test]
fn a_folder_that_is_no_results_folder() {
    Sandbox::new().run(&["report", "nowhere"]).ends(3).says(
        "cannot read nowhere/manifest.json: entity not found",
        "name a folder that `bitfrontier sweep` wrote, such as results/quickstart",
    );
}

#[test]
fn a_folder_that_cannot_be_written() {
    let sandbox = Sandbox::new();
    let quick = [&QUIZ_ONLY[..], &["--limit", "2"]].concat();
    sandbox.sweep(&[&["--out", "tiny.gguf/out"], &quick[..]].concat()).ends(7).says(
        "cannot write tiny.gguf/out: Not a directory (os error 20)",
        "check who may write there, or choose another folder with --out",
    );
    // A cache under a file.
    let mut command = sandbox.command(&crate::sandbox::sweep_args(&quick));
    command.env("BITFRONTIER_CACHE", sandbox.path("text.txt/cache"));
    let outcome = Outcome::of(&command.output().expect("started")).ends(7);
    outcome.tells(&["text.txt/cache", "Not a directory", "(hint: "]);
    assert!(Path::new(&sandbox.path("text.txt")).is_file());
}
