//! The speed surface: what a sweep with a `[speed]` table writes, what it refuses, and that a sweep without one is what
//! it always was.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::records::manifest;
use crate::sandbox::Sandbox;
use crate::table::Table;

const HEADER: &str = "variant,kind,prompt,generate,depth,parallel,mean,sd,n,unit,status,reason";

fn sweep_file(speed: &str) -> String {
    format!(
        "base = \"tiny.gguf\"\nout = \"out\"\nthreads = 1\nrecipes = [\"Q8_0\"]\nsuites = [\"quiz.toml\"]\n\
         limit = 2\n[speed]\nrepetitions = 2\n{speed}"
    )
}

fn spec(sandbox: &Sandbox, variant: &str) -> Value {
    let record = manifest(&sandbox.path("out"));
    let trials = record["trials"].as_array().expect("trials");
    let own = |t: &&Value| t["variant"] == variant && t["kind"] == "speed";
    trials.iter().find(own).expect("a speed trial").clone()
}

fn id(sandbox: &Sandbox, variant: &str) -> String {
    spec(sandbox, variant)["id"].as_str().expect("an id").to_owned()
}

#[test]
fn a_surface_is_a_row_a_point() {
    let sandbox = Sandbox::new();
    let surface = "prompt = [96]\ngenerate = 8\ndepths = [0, 64]\nparallel = [1, 2]\n";
    sandbox.write("night.toml", sweep_file(surface));
    sandbox.run(&["sweep", "night.toml", "--quiet"]).ends(0);
    let speed = Table::read(&sandbox.path("out/speed.csv"));
    assert_eq!(speed.header, HEADER);
    for variant in ["base", "Q8_0"] {
        let row = |row: &std::collections::BTreeMap<String, String>| {
            let tokens = if row["prompt"].is_empty() { &row["generate"] } else { &row["prompt"] };
            format!("{} {tokens} @{} x{}", row["kind"], row["depth"], row["parallel"])
        };
        let rows: Vec<String> = speed.find(&[("variant", variant)]).into_iter().map(row).collect();
        let mut expected: BTreeSet<String> =
            ["pp 512 @0 x1", "ttft 512 @0 x1", "tg 128 @0 x1"].map(str::to_owned).into();
        for depth in [0, 64] {
            expected.extend([format!("pp 96 @{depth} x1"), format!("ttft 96 @{depth} x1")]);
            expected.insert(format!("tg 8 @{depth} x1"));
            for parallel in [1, 2] {
                expected.insert(format!("parallel_pp 96 @{depth} x{parallel}"));
                expected.insert(format!("parallel_tg 8 @{depth} x{parallel}"));
            }
        }
        assert_eq!(rows.len(), 17, "each point once: {rows:?}");
        assert_eq!(rows.into_iter().collect::<BTreeSet<_>>(), expected);
    }
    for row in &speed.rows {
        assert_eq!((row["n"].as_str(), row["status"].as_str(), row["reason"].as_str()), ("2", "done", ""));
        assert!(row["mean"].parse::<f64>().expect("a mean") > 0.0);
        assert!(row["sd"].parse::<f64>().expect("a deviation") >= 0.0);
        assert_eq!(row["unit"], if row["kind"] == "ttft" { "s" } else { "tokens/s" });
    }
    // Reading a prompt is part of waiting for its first token.
    let cell = |kind, name| -> f64 {
        let row = [("variant", "base"), ("kind", kind), ("prompt", "96"), ("depth", "64"), ("parallel", "1")];
        speed.cell(&row, name).parse().expect("a number")
    };
    assert!(cell("ttft", "mean") >= 0.99 * 96.0 / cell("pp", "mean"));
    // The columns that always were there tell of the point that always was there.
    let variants = Table::read(&sandbox.path("out/variants.csv"));
    let always = [("variant", "Q8_0"), ("kind", "pp"), ("prompt", "512")];
    assert_eq!(variants.cell(&[("variant", "Q8_0")], "pp512_tps"), speed.cell(&always, "mean"));
    for chart in ["speed-depth.svg", "speed-parallel.svg"] {
        assert!(sandbox.path("out/charts").join(chart).exists(), "{chart}");
    }

    // What was interrupted goes on: a context whose points are not on record is measured again, and only that.
    let path = sandbox.path("out/trials").join(id(&sandbox, "Q8_0")).join("trial.json");
    let mut trial: Value = serde_json::from_slice(&fs::read(&path).expect("read")).expect("JSON");
    let before = trial["outcome"]["pp512_tps"].clone();
    let surface = trial["outcome"]["surface"].as_array_mut().expect("a surface");
    surface.retain(|point| point["parallel"] == 1);
    let kept = surface.clone();
    trial["status"] = "pending".into();
    fs::write(&path, trial.to_string()).expect("written");
    sandbox.run(&["sweep", "night.toml", "--quiet"]).ends(0);
    let trial: Value = serde_json::from_slice(&fs::read(&path).expect("read")).expect("JSON");
    let outcome = &trial["outcome"];
    assert_eq!(outcome["pp512_tps"], before);
    let now = outcome["surface"].as_array().expect("a surface");
    assert_eq!((&now[..kept.len()], now.len()), (&kept[..], 10));
}

#[test]
fn a_depth_beyond_the_model_is_refused_by_name() {
    let sandbox = Sandbox::new();
    sandbox.write("night.toml", sweep_file("prompt = [96]\ndepths = [0, 400]\n"));
    sandbox.run(&["plan", "night.toml"]).ends(3).says(
        "night.toml, line 10: [speed] at depth 400 generating 128 tokens needs a context of 528 tokens, more than the \
         model's 512",
        "leave that depth out, or stretch the model's context with --yarn",
    );
    assert!(!sandbox.path("out/manifest.json").exists());
    let speed = ["speed", "tiny.gguf", "--prompt", "200", "--generate", "8", "--repetitions", "1"];
    let refused = sandbox.run(&[&speed[..], &["--depths", "0,400"]].concat()).ends(3);
    refused.tells(&["at depth 400 a prompt of 200 tokens needs a context of 600 tokens"]);
    sandbox.run(&[&speed[..], &["--depths", "7,7"]].concat()).ends(3).tells(&["--depths names 7 twice"]);
    sandbox.run(&[&speed[..], &["--depths", "400", "--yarn", "--threads", "1"]].concat()).ends(0);
}

#[test]
fn a_table_that_says_the_default_changes_nothing() {
    let sandbox = Sandbox::new();
    sandbox.write("night.toml", sweep_file(""));
    sandbox.run(&["sweep", "night.toml", "--quiet"]).ends(0);
    let plain = id(&sandbox, "base");
    let settings = spec(&sandbox, "base")["settings"].clone();
    let settings = settings.as_object().expect("settings");
    let mut keys: Vec<&str> = settings.keys().map(String::as_str).collect();
    keys.sort_unstable();
    let always = [
        "generate",
        "kind",
        "kv",
        "machine",
        "offload",
        "prompt",
        "repetitions",
        "scorer",
        "threads",
        "weights",
    ];
    assert_eq!(keys, always, "what an id has always been made of");
    let speed = Table::read(&sandbox.path("out/speed.csv"));
    assert_eq!(speed.column("kind"), ["pp", "ttft", "tg", "pp", "ttft", "tg"]);
    assert!(!sandbox.path("out/charts/speed-depth.svg").exists());

    sandbox.write("night.toml", sweep_file("prompt = [512]\ngenerate = 128\ndepths = [0]\nparallel = [1]\n"));
    sandbox.run(&["sweep", "night.toml", "--quiet"]).ends(0);
    assert_eq!(id(&sandbox, "base"), plain);
    sandbox.write("night.toml", sweep_file("parallel = [1, 2]\n"));
    sandbox.run(&["sweep", "night.toml", "--quiet"]).ends(0);
    assert_ne!(id(&sandbox, "base"), plain);
}

#[test]
fn one_file_by_itself() {
    let sandbox = Sandbox::new();
    let args = [
        "speed",
        "tiny.gguf",
        "--prompt",
        "16,300",
        "--generate",
        "4",
        "--depths",
        "0,32",
        "--parallel",
        "3",
    ];
    let outcome =
        sandbox.run(&[&args[..], &["--repetitions", "2", "--threads", "1", "--json"]].concat()).ends(0);
    let told: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    let points = told["points"].as_array().expect("points");
    // Alone: two prompts, each with its first token, and generating; by three: the prompts and generating.
    assert_eq!(points.len(), 2 * 5 + 2 * 3);
    assert!(points.iter().all(|p| p["mean"].as_f64().is_some_and(|mean| mean > 0.0) && p["n"] == 2));
    assert!(
        points
            .iter()
            .all(|p| p["parallel"] == 1 || p["kind"].as_str().is_some_and(|k| k.starts_with("parallel")))
    );
    assert_eq!(told["samples"].as_array().map(Vec::len), Some(16));
}
