//! The speed surface: what a sweep with a `[speed]` table writes, what it refuses, and that a sweep without one is what
//! it always was.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use crate::records::{manifest, write_record};
use crate::sandbox::Sandbox;
use crate::table::Table;

const HEADER: &str =
    "variant,kind,prompt,generate,depth,parallel,mean,sd,n,unit,status,reason,joules_per_token,energy_meter";

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
    write_record(&path, trial);
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

const ENERGY: [&str; 3] = ["pp512_joules_per_token", "tg128_joules_per_token", "energy_meter"];

/// Puts these values into a variant's speed record, and takes out what there was.
fn record_energy(sandbox: &Sandbox, variant: &str, values: &[Value]) {
    let path = sandbox.path(format!("out/trials/{}/trial.json", id(sandbox, variant)));
    let mut record: Value = serde_json::from_slice(&fs::read(&path).expect("read")).expect("JSON");
    let outcome = record["outcome"].as_object_mut().expect("an outcome");
    outcome.retain(|key, _| !ENERGY.contains(&key.as_str()));
    outcome.extend(ENERGY.into_iter().map(str::to_owned).zip(values.iter().cloned()));
    write_record(&path, record);
}

/// A worker counts energy where the machine does, which no test can order; what it would have written is put into the
/// records by hand. A record without it is what every older version wrote.
#[test]
fn energy_on_record_stands_in_the_tables_and_prices_the_machine() {
    const TIMED: [&str; 3] = ["variants.csv", "summary.csv", "speed.csv"];
    let sandbox = Sandbox::new();
    sandbox.sweep(&["--recipes", "Q8_0", "--suites", "quiz.toml"]).ends(0);
    record_energy(&sandbox, "Q8_0", &[json!([0.125, 0.5, 0.25]), json!([1.5, 1.0]), json!("rapl")]);
    record_energy(&sandbox, "base", &[]);
    sandbox.run(&["report", "out"]).ends(0);

    let [variants, summary, speed] = TIMED.map(|name| Table::read(&sandbox.path("out").join(name)));
    for table in [&variants, &summary] {
        let cells = |variant: &str| ENERGY.map(|name| table.cell(&[("variant", variant)], name).to_owned());
        assert_eq!(cells("Q8_0"), ["0.25", "1.25", "rapl"]);
        assert_eq!(cells("base"), ["", "", ""]);
    }
    let point = |kind| [("variant", "Q8_0"), ("kind", kind)];
    assert_eq!(speed.cell(&point("tg"), "joules_per_token"), "1.25");
    assert_eq!(speed.cell(&point("ttft"), "energy_meter"), "");

    let costs = Table::read(&sandbox.path("out/costs.csv"));
    let price = |variant, scenario| [("variant", variant), ("scenario", scenario), ("kind", "price")];
    assert_eq!(costs.cell(&price("Q8_0", "owned.this-machine"), "energy_source"), "measured");
    assert_eq!(costs.cell(&price("base", "owned.this-machine"), "energy_source"), "computed");
    assert_eq!(costs.cell(&price("Q8_0", "owned.3090"), "energy_source"), "computed");
    // The fixed share aside, a million: (1.25 + 4 x (1 - 0.7) x 0.25) MJ = 1.55/3.6 kWh at $0.17.
    let row = price("Q8_0", "owned.this-machine");
    let usd = |name| costs.cell(&row, name).parse::<f64>().expect("a number");
    let electricity = usd("usd_per_mtok_out") - usd("monthly_fixed_usd") / usd("volume_mtok");
    assert!((electricity - 1.55 / 3.6 * 0.17).abs() < 1e-9, "{electricity}");
    let told = sandbox.run(&["cost", "out"]).ends(0).stdout;
    let line =
        |name: &str| told.lines().find(|l| l.trim_start().starts_with(name)).expect("a line").to_owned();
    assert!(line("Q8_0 ").ends_with("  measured") && line("base ").ends_with("  computed"), "{told}");
    assert!(line("owned.3090 ").ends_with("  computed"), "{told}");
    assert!(told.contains("measured on this machine where `energy` says so"), "{told}");
    let told: Value =
        serde_json::from_str(&sandbox.run(&["cost", "out", "--json"]).ends(0).stdout).expect("JSON");
    let rows = told["costs"]["rows"].as_array().expect("rows");
    let sources: BTreeSet<&str> = rows.iter().filter_map(|row| row["energy_source"].as_str()).collect();
    assert_eq!(sources, ["", "computed", "measured"].into());
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
