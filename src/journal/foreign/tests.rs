//! Real outputs of both programs, older forms, and what is not theirs.

use proptest::prelude::*;

use super::read::{parse, read};
use super::record::{ForeignError, ForeignFile, ForeignModel, keep, kept};

const CSV: &str = include_str!("../../../tests/fixtures/foreign/bench.csv");
const JSON: &str = include_str!("../../../tests/fixtures/foreign/bench.json");
const LINES: &str = include_str!("../../../tests/fixtures/foreign/bench.jsonl");
const PLAIN: &str = include_str!("../../../tests/fixtures/foreign/perplexity.log");
const DIVERGENCE: &str = include_str!("../../../tests/fixtures/foreign/divergence.log");

fn one(text: &str) -> ForeignModel {
    let file = parse(text).unwrap();
    assert_eq!(file.models.len(), 1, "{file:?}");
    file.models[0].clone()
}

fn error(text: &str) -> (usize, String) {
    let fault = parse(text).unwrap_err();
    (fault.line, fault.reason)
}

fn score(model: &ForeignModel, metric: &str) -> (f64, Option<f64>) {
    let found = model.scores.iter().find(|score| score.metric == metric);
    found.map_or_else(|| panic!("no {metric} in {model:?}"), |score| (score.value, score.stderr))
}

#[test]
fn llama_bench_says_the_same_in_every_form() {
    for (text, samples) in [(CSV, 0), (JSON, 2), (LINES, 2)] {
        let model = one(text);
        assert_eq!((model.name.as_str(), model.type_name.as_str()), ("SmolLM2-135M-F16", "llama 256M F16"));
        assert_eq!(model.bytes, Some(269_100_288));
        assert!((model.bpw.unwrap() - 269_100_288.0 * 8.0 / 134_515_008.0).abs() < 1e-12);
        let points: Vec<_> = model.speeds.iter().map(|s| (s.prompt, s.generate, s.depth, s.n)).collect();
        assert_eq!(points, [(32, 0, 0, samples), (0, 16, 0, samples)]);
        assert!(model.speeds.iter().all(|s| s.mean > 0.0 && s.sd.unwrap() > 0.0));
        assert!(
            model.settings.contains("2 threads") || model.settings.contains("threads 2"),
            "{}",
            model.settings
        );
    }
    assert!((one(CSV).speeds[0].mean - 44.206_464).abs() < 1e-9, "as it stands in the file");
}

#[test]
fn settings_tell_runs_apart_and_mixed_figures_are_left_out() {
    let row = |threads: u32, prompt: u32, generate: u32| {
        format!(
            "{{\"model_filename\": \"a/b.gguf\", \"model_size\": 8, \"model_n_params\": 16, \"n_threads\": {threads}, \
             \"n_prompt\": {prompt}, \"n_gen\": {generate}, \"avg_ts\": 10.5}}\n"
        )
    };
    let file = parse(&(row(1, 512, 0) + &row(2, 512, 0) + &row(1, 0, 128) + &row(1, 512, 128))).unwrap();
    let points: Vec<usize> = file.models.iter().map(|model| model.speeds.len()).collect();
    assert_eq!(points, [2, 1]);
    assert_eq!(file.left_out, ["line 4: prompt and generation in one figure"]);
    // Before depths, deviations and samples were told.
    assert_eq!((file.models[0].speeds[0].depth, file.models[0].speeds[0].sd), (0, None));
    assert_eq!(file.models[0].bpw, Some(4.0));
}

#[test]
fn a_final_estimate_is_a_perplexity() {
    let model = one(PLAIN);
    let (value, stderr) = score(&model, "ppl");
    assert!(value > 1.0 && stderr.unwrap() > 0.0);
    assert_eq!(model.scores.len(), 1);
    let told = PLAIN.lines().find(|line| line.contains("Final estimate")).unwrap();
    assert!(told.contains(&format!("PPL = {value}")), "{told}");
    assert!(model.tokens > 0 && model.tokens.is_multiple_of(255), "{}", model.tokens);
}

#[test]
fn statistics_of_the_divergence_are_metrics_of_ours() {
    let model = one(DIVERGENCE);
    assert_eq!(score(&model, "kld_mean"), (0.333_272, Some(0.007_233)));
    assert_eq!(score(&model, "ppl"), (54.783_762, Some(3.731_267)));
    assert_eq!(score(&model, "ppl_ratio"), (1.206_240, Some(0.023_022)));
    assert_eq!(score(&model, "kld_p99"), (1.602_178, None));
    assert_eq!(score(&model, "kld_p99_9"), (3.621_607, None));
    assert_eq!(score(&model, "kld_max"), (6.282_684, None));
    assert!((score(&model, "same_top_p").0 - 0.65784).abs() < 1e-12);
    assert!((score(&model, "delta_p_rms").0 - 0.12657).abs() < 1e-12);
    assert_eq!(model.tokens, 8 * 255);
    assert_eq!(model.scores.len(), 11);
}

#[test]
fn older_logs_tell_the_model_and_the_build() {
    let text = "main: build = 3000 (abc1234)\n\
                llama_model_loader: loaded meta data with 30 key-value pairs and 290 tensors from models/x-Q4_0.gguf (version GGUF V3 (latest))\n\
                llm_load_print_meta: model ftype      = Q4_0\n\
                llm_load_print_meta: model size       = 86.50 MiB (5.39 BPW) \n\
                perplexity: calculating perplexity over 4 chunks, n_ctx=512, batch_size=512, n_seq=1\n\
                Final estimate: PPL = 20.5000 +/- 0.5000\n";
    let model = one(text);
    assert_eq!((model.name.as_str(), model.type_name.as_str(), model.bpw), ("x-Q4_0", "Q4_0", Some(5.39)));
    assert_eq!(model.settings, "build 3000 (abc1234), 4 chunks of 512 tokens");
}

#[test]
fn what_is_not_theirs_is_refused_by_its_line() {
    let end = "the end of the file, and neither a final estimate of llama-perplexity nor statistics of its divergence";
    let cut = |text: &str, before: &str| text.split(before).next().unwrap().to_owned();
    let lines = |text: &str| text.lines().count();
    let half = cut(DIVERGENCE, "Mean PPL(Q)");
    for (text, line, reason) in [
        ("", 1, end.to_owned()),
        ("hello\nworld\n", 2, end.to_owned()),
        (half.as_str(), lines(&half), end.to_owned()),
        ("| model | size |\n", 1, "a table for people leaves out digits and settings".to_owned()),
        ("Final estimate: PPL = ten +/- 1\n", 1, "\"ten\" is not a number".to_owned()),
        ("\nMean    KLD:   0.1 ±   x\n", 2, "\"x\" is not a number".to_owned()),
        (
            "Final estimate: PPL = 9 +/- 1\nFinal estimate: PPL = 9 +/- 1\n",
            2,
            "a second result; each run needs a file of its own".to_owned(),
        ),
        ("[]", 1, "no measurement".to_owned()),
        ("n_prompt,n_gen,avg_ts\n", 1, "no measurement".to_owned()),
        ("{\"a\": 1}\n", 1, "neither n_prompt nor n_gen: not a row of llama-bench".to_owned()),
        (
            "n_prompt,n_gen,avg_ts,model_size,model_n_params\n512,0,1.5,8,8\n512,x,1.5,8,8\n",
            3,
            "n_gen is \"x\", not a number".to_owned(),
        ),
        ("n_prompt,n_gen,avg_ts\n512,0\n", 2, "2 cells where the header has 3".to_owned()),
        ("n_prompt,n_gen,avg_ts\n512,0,-1\n", 2, "avg_ts is -1, not a speed".to_owned()),
        ("{\"n_prompt\": 1, \"avg_ts\": 1}\n", 1, "model_size is missing".to_owned()),
    ] {
        assert_eq!(error(text), (line, reason), "{text:?}");
    }
    let open = JSON.trim_end().trim_end_matches(']');
    assert_eq!(error(open), (lines(open), "the array ends in the middle".to_owned()));
    let torn = JSON.split("\"n_gen\"").next().unwrap();
    assert_eq!(error(torn).0, lines(torn));
}

#[test]
fn a_file_of_the_same_name_takes_the_place_of_the_earlier_one() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(kept(folder.path()).unwrap(), []);
    let file = |name: &str, tool: &str| ForeignFile {
        file: name.to_owned(),
        tool: tool.to_owned(),
        ..parse(CSV).unwrap()
    };
    keep(folder.path(), vec![file("b", "1"), file("a", "2")]).unwrap();
    keep(folder.path(), vec![file("b", "3")]).unwrap();
    assert_eq!(kept(folder.path()).unwrap(), [file("a", "2"), file("b", "3")]);
    std::fs::write(folder.path().join("foreign.json"), "{").unwrap();
    assert!(matches!(kept(folder.path()), Err(ForeignError::Damaged { .. })));
    std::fs::write(folder.path().join("foreign.json"), "{\"format\": 3, \"files\": []}").unwrap();
    assert!(
        kept(folder.path()).unwrap_err().to_string().ends_with("it has format 3, this program reads up to 2")
    );
}

#[test]
fn an_error_names_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.log");
    std::fs::write(&path, "one\ntwo\n").unwrap();
    let said = read(&path, None).unwrap_err().to_string();
    assert!(said.contains("old.log, line 2: the end of the file"), "{said}");
    std::fs::write(&path, CSV).unwrap();
    assert_eq!(read(&path, None).unwrap().suite, "llama-perplexity");
    assert_eq!(read(&path, Some("prose")).unwrap().suite, "prose");
}

proptest! {
    #[test]
    fn any_text_is_measurements_or_a_line_that_is_wrong(text in "[\\[{|a-z]?(\\PC|\n){0,200}") {
        if let Err(fault) = parse(&text) {
            prop_assert!(fault.line >= 1 && fault.line <= text.lines().count() + 1, "{fault:?}");
        }
    }

    #[test]
    fn a_damaged_output_is_no_panic(at in 0..2000_usize, with in "\\PC{0,3}", which in 0..5_usize) {
        let whole = [CSV, JSON, LINES, PLAIN, DIVERGENCE][which];
        let at = whole.floor_char_boundary(at.min(whole.len()));
        let text = whole[..at].to_owned() + &with + &whole[at..];
        let _ = parse(&text);
        let _ = parse(&whole[..at]);
    }
}
