//! `fit`: what a header says of memory, against what llama.cpp lays out and allocates.

use std::fs;

use serde_json::Value;

use crate::header::{Header, qwen36_27b};
use crate::kinds::kinds;
use crate::sandbox::Sandbox;

const GIB: f64 = 1_073_741_824.0;

fn fit(sandbox: &Sandbox, args: &[&str]) -> Value {
    let outcome = sandbox.run(&[&["fit"], args, &["--json"]].concat()).ends(0);
    serde_json::from_str(&outcome.stdout).expect("JSON")
}

fn gib(row: &Value, key: &str) -> f64 {
    row[key].as_u64().unwrap_or_else(|| panic!("{key} in {row}")) as f64 / GIB
}

#[track_caller]
fn row<'a>(answer: &'a Value, recipe: &str) -> &'a Value {
    let rows = answer["recipes"].as_array().expect("rows");
    rows.iter().find(|row| row["recipe"] == recipe).unwrap_or_else(|| panic!("no {recipe} in {rows:?}"))
}

#[test]
fn llama_cpp_lays_out_what_the_header_says() {
    let sandbox = Sandbox::new();
    for (kind, header) in kinds() {
        header.write(&sandbox.path("header.gguf"));
        for args in [
            &["--ctx", "8192"][..],
            &["--ctx", "5000", "--parallel", "3"],
            &["--ctx", "16384", "--kv", "q8_0,q4_0"],
        ] {
            if kind == "latent" && args.contains(&"q8_0,q4_0") {
                let mixed = sandbox.run(&[&["fit", "header.gguf", "--vram", "24GiB"], args].concat()).ends(3);
                mixed.tells(&["a KV cache of q8_0 and q4_0 is impossible", "(hint: give one type)"]);
                continue;
            }
            let answer = fit(
                &sandbox,
                &[&["header.gguf", "--vram", "24GiB", "--recipes", "base", "Q4_0"], args].concat(),
            );
            for recipe in ["base", "Q4_0"] {
                let row = row(&answer, recipe);
                let what = format!("{kind} {args:?}: {answer:#}");
                assert_eq!(
                    (&row["compute_source"], &row["kv_source"]),
                    (&"llama.cpp".into(), &"header".into()),
                    "{what}"
                );
                assert!(row["weights_bytes"].as_u64() > Some(0), "{what}");
            }
        }
    }
}

#[test]
fn the_27b_on_a_card_of_24_gib() {
    let sandbox = Sandbox::new();
    let whole = qwen36_27b().write(&sandbox.path("27b.gguf"));
    assert!(fs::metadata(sandbox.path("27b.gguf")).expect("there").len() < 1 << 20 && whole > 50 << 30);
    let ask = |args: &[&str]| {
        let args =
            [&["27b.gguf", "--device", "rtx 3090", "--recipes", "base", "Q8_0", "IQ4_XS"], args].concat();
        fit(&sandbox, &args)
    };
    let answer = ask(&[]);
    let iq4 = row(&answer, "IQ4_XS");
    assert!((14.0..14.4).contains(&gib(iq4, "weights_bytes")), "{iq4}");
    assert_eq!(
        (iq4["compute_source"].as_str(), iq4["kv_source"].as_str()),
        (Some("llama.cpp"), Some("header"))
    );
    assert_eq!((answer["ctx"].as_u64(), answer["kv_bytes_per_token"].as_u64()), (Some(32_768), Some(65_536)));
    assert_eq!((iq4["fits"].as_bool(), iq4["gpu_layers"].as_u64()), (Some(true), Some(65)));
    assert_eq!(ask(&["--ctx", "64k"])["recipes"][2]["fits"], true);
    let long = ask(&["--ctx", "128k"]);
    assert!((22.6..23.0).contains(&gib(row(&long, "IQ4_XS"), "total_bytes")), "{long:#}");
    let fits = |margin| row(&ask(&["--ctx", "128k", "--margin", margin]), "IQ4_XS")["fits"] == true;
    assert_eq!((fits("1GiB"), fits("1.5GiB")), (true, false), "the margin decides");
    let own = fit(&sandbox, &["27b.gguf", "--vram", "24GiB", "--recipes", "IQ4_XS/kv=q8_0"]);
    assert_eq!(row(&own, "IQ4_XS/kv=q8_0")["kv_bytes"], 32_768 * 34 * 1024);
    let q8 = row(&answer, "Q8_0");
    assert_eq!(
        (q8["fits"].as_bool(), q8["max_ctx"].as_u64(), q8["place"].as_str()),
        (Some(false), Some(0), Some("split"))
    );
    assert!((40..64).contains(&q8["gpu_layers"].as_u64().expect("some")), "{q8}");
}

#[test]
fn a_sentence_and_a_table_for_people() {
    let sandbox = Sandbox::new();
    let args =
        ["fit", "tiny.gguf", "--vram", "6MiB", "--margin", "1MiB", "--recipes", "base", "Q8_0", "Q4_0"];
    let outcome = sandbox.run(&args).ends(0);
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!(lines[0], "tiny.gguf (llama): 6.0 MiB of VRAM, margin 1.0 MiB, context 512 tokens, cache f16");
    assert!(lines[2].starts_with("recipe") && lines[2].ends_with("GPU layers"), "{}", outcome.stdout);
    assert_eq!(lines.len(), 8, "{}", outcome.stdout);
    let last = lines.last().expect("a line");
    assert!(
        last.starts_with("Q8_0 is the largest that fits 6.0 MiB with 512 tokens of f16 context"),
        "{last}"
    );
}

#[test]
fn a_quantized_file_has_a_row_of_its_own() {
    let sandbox = Sandbox::new();
    sandbox.run(&["quantize", "tiny.gguf", "Q4_0", "q4.gguf"]).ends(0);
    let answer = fit(&sandbox, &["q4.gguf", "--ram", "2GiB"]);
    let own = row(&answer, "the file (Q4_0)");
    assert_eq!(own["note"], "the file as it is");
    let made = fit(&sandbox, &["tiny.gguf", "--ram", "2GiB"]);
    assert_eq!(own["weights_bytes"], row(&made, "Q4_0")["weights_bytes"]);
    assert_eq!(
        row(&answer, "Q8_0")["weights_bytes"],
        row(&made, "Q8_0")["weights_bytes"],
        "sizes are the base's"
    );
    assert_eq!((own["gpu_layers"].as_u64(), own["place"].as_str()), (None, Some("ram")));
}

#[test]
fn variants_of_a_results_folder() {
    let sandbox = Sandbox::new();
    sandbox.sweep(&["--recipes", "Q8_0", "Q4_0/kv=q8_0", "--suites", "quiz.toml", "--limit", "2"]).ends(0);
    let answer = fit(&sandbox, &["out", "--vram", "1GiB", "--margin", "1MiB"]);
    let names: Vec<&str> =
        answer["recipes"].as_array().expect("rows").iter().filter_map(|row| row["recipe"].as_str()).collect();
    assert_eq!(names, ["base", "Q8_0", "Q4_0/kv=q8_0"]);
    let (q8, q4) = (row(&answer, "Q8_0"), row(&answer, "Q4_0/kv=q8_0"));
    assert_eq!((q4["kv"][0].as_str(), q8["kv"][0].as_str()), (Some("q8_0"), Some("f16")));
    assert!(q4["kv_bytes"].as_u64() < q8["kv_bytes"].as_u64());
    let made = fit(&sandbox, &["tiny.gguf", "--ram", "2GiB", "--recipes", "Q8_0"]);
    assert_eq!(q8["weights_bytes"], row(&made, "Q8_0")["weights_bytes"]);
    sandbox.run(&["fit", "out", "--vram", "1GiB", "--recipes", "Q5_0"]).ends(3).says(
        "--recipes, of out: no variant is called \"Q5_0\"",
        "the nearest variants are Q8_0, Q4_0/kv=q8_0",
    );
    fs::remove_file(sandbox.path("tiny.gguf")).expect("removed");
    sandbox.run(&["fit", "out", "--vram", "1GiB"]).ends(3).says(
        "the base of out, tiny.gguf, is not found from this folder",
        "run this where the sweep was started, or put the base back",
    );
}

#[test]
fn wrong_questions_get_one_clear_line() {
    let sandbox = Sandbox::new();
    let refused = |args: &[&str], what: &str, hint: &str| {
        sandbox.run(&[&["fit"], args].concat()).ends(3).says(what, hint);
    };
    refused(
        &["nowhere.gguf"],
        "there is no file nowhere.gguf",
        "check the path; it is relative to the folder you are in",
    );
    refused(
        &["tiny.gguf", "--device", "RTX 3091"],
        "no device is called \"RTX 3091\"",
        "the nearest are RTX 3090, RTX 3090 Ti, RTX 3060 12GB; or give the memory itself, such as --vram 24GiB",
    );
    Header::new("llama", 2, 64, 512).write(&sandbox.path("empty.gguf"));
    refused(
        &["empty.gguf", "--ram", "2GiB"],
        "empty.gguf: the header has no llama.attention.head_count",
        "is it the header of a language model, as llama.cpp's converter writes it?",
    );
    for wrong in
        [["--vram", "24"], ["--vram", "24GX"], ["--ctx", "0"], ["--ctx", "many"], ["--parallel", "0"]]
    {
        sandbox.run(&[&["fit", "tiny.gguf"], &wrong[..]].concat()).ends(2);
    }
    sandbox.run(&["fit", "tiny.gguf", "--kv", "q9"]).ends(3);
    kinds().remove(0).1.write(&sandbox.path("other.gguf"));
    let rows =
        fit(&sandbox, &["tiny.gguf", "--ram", "2GiB", "--recipes", "Q8_0", "./other.gguf", "auto@4bpw"]);
    let reasons: Vec<&str> =
        rows["recipes"].as_array().expect("rows").iter().filter_map(|row| row["reason"].as_str()).collect();
    assert_eq!(reasons, ["", "it is another model's file", "its types are yet to be searched"]);
}

#[test]
fn a_header_that_llama_cpp_refuses_gets_an_estimate() {
    let sandbox = Sandbox::new();
    let header =
        Header::new("unheard-of", 4, 512, 4096).number("attention.head_count", 8).number("vocab_size", 4096);
    header.write(&sandbox.path("odd.gguf"));
    let answer = fit(&sandbox, &["odd.gguf", "--vram", "1GiB", "--recipes", "base", "Q4_0"]);
    let base = row(&answer, "base");
    assert_eq!(
        (base["compute_source"].as_str(), base["kv_bytes"].as_u64()),
        (Some("estimate"), Some(4096 * 2 * 512 * 2 * 4))
    );
    let reason = row(&answer, "Q4_0")["reason"].as_str().expect("a reason").to_owned();
    assert!(
        reason.contains("cannot quantize odd.gguf") && reason.contains("unknown model architecture"),
        "{reason}"
    );
    assert!(answer["notes"].to_string().contains("an estimate"), "{answer:#}");
    let longer = fit(&sandbox, &["odd.gguf", "--vram", "1GiB", "--recipes", "base", "--ctx", "8192"]);
    assert!(longer["notes"].to_string().contains("longer than the 4096"), "{longer:#}");
}

#[test]
fn hostile_headers_end_neither_the_program_nor_the_machine() {
    let sandbox = Sandbox::new();
    let (_, whole) = kinds().remove(0);
    let huge = u64::from(u32::MAX);
    for (what, header) in [
        ("a vocabulary of billions", whole.clone().wide("vocab_size", huge)),
        ("billions of heads", whole.clone().wide("attention.head_count_kv", huge)),
        ("more bits than llama.cpp reads", whole.clone().wide("attention.key_length", u64::MAX)),
        ("a state without end", whole.wide("ssm.inner_size", huge).wide("ssm.state_size", huge)),
    ] {
        header.write(&sandbox.path("hostile.gguf"));
        let answer = fit(&sandbox, &["hostile.gguf", "--vram", "24GiB", "--recipes", "base"]);
        let total = row(&answer, "base")["total_bytes"].as_u64();
        assert!(total > Some(0), "{what}: {answer:#}");
    }
    let layers = kinds().remove(0).1.wide("block_count", u64::MAX);
    layers.write(&sandbox.path("hostile.gguf"));
    sandbox
        .run(&["fit", "hostile.gguf", "--vram", "24GiB"])
        .ends(3)
        .tells(&["18446744073709551615", "512 at most"]);
}

#[test]
fn nothing_is_left_behind() {
    let sandbox = Sandbox::new();
    kinds()[0].1.write(&sandbox.path("header.gguf"));
    let temporary = sandbox.path("temporary");
    fs::create_dir(&temporary).expect("made");
    let args = ["fit", "header.gguf", "--ram", "2GiB", "--recipes", "base", "Q4_0"];
    let output = sandbox.command(&args).env("TMPDIR", &temporary).output().expect("run");
    assert!(output.status.success());
    assert_eq!(fs::read_dir(&temporary).expect("listed").count(), 0);
}
