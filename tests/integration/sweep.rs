//! A whole sweep of the tiny model: what it writes, that it is right, and that it is never done twice.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::records::{self, find, losses, manifest, write_record};
use crate::sandbox::{Sandbox, sweep_args};
use crate::table::Table;

const VARIANTS: &str = "variant,recipe,type,imatrix,file_bytes,bpw,nominal_bpw,fallback_tensors,quantize_s,sha256,\
                        peak_rss_bytes,model_buffer_bytes,context_buffer_bytes,compute_buffer_bytes,device_bytes,\
                        load_s,pp512_tps,pp512_tps_sd,tg128_tps,tg128_tps_sd,status,same_as,tensor_types,\
                        imatrix_from,gguf,pp512_joules_per_token,tg128_joules_per_token,energy_meter";
const METRICS: &str =
    "variant,suite,metric,value,stderr,ci_low,ci_high,n,higher_is_better,chance,status,reason,partial";
const SUMMARY: &str = "variant,bpw,file_bytes,peak_rss_bytes,pp512_tps,tg128_tps,on_frontier,prose.kld_mean,\
                       quiz.acc_norm,partial,pp512_joules_per_token,tg128_joules_per_token,energy_meter";
const COMPARISONS: &str = "variant,suite,metric,delta,delta_stderr,flips_lost,flips_won,n,verdict,partial,\
                           ci_low,ci_high,p,p_holm,detectable,clusters,shown";
const FRONTIER: &str = "variant,axis_x,axis_y,x,y,on_frontier,partial,share,tied_with";

const LADDER: [&str; 4] = ["base", "Q8_0", "Q4_K_M", "TQ2_0"];
const WHAT: [&str; 7] = ["--recipes", "Q8_0", "Q4_K_M", "TQ2_0", "--suites", "prose.toml", "quiz.toml"];

fn number(text: &str) -> f64 {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is not a number"))
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * a.abs().max(b.abs())
}

/// Every file of a folder with its bytes.
fn contents(sandbox: &Sandbox, folder: &str) -> BTreeMap<String, Vec<u8>> {
    let read = |name: &String| fs::read(sandbox.path(folder).join(name)).expect("read");
    sandbox.files(folder).into_iter().map(|name| (name.clone(), read(&name))).collect()
}

#[test]
fn a_sweep_writes_what_it_promises() {
    let sandbox = Sandbox::new();
    let planned =
        sandbox.run(&[&["plan", "--base", "tiny.gguf", "--out", "out", "--json"], &WHAT[..]].concat());
    let planned: Value = serde_json::from_str(&planned.ends(0).stdout).expect("JSON");
    let swept = sandbox.sweep(&[&WHAT[..], &["--keep-variants"]].concat()).ends(0);
    assert_eq!((swept.stdout.as_str(), swept.stderr.as_str()), ("", ""), "--quiet is quiet");

    assert_eq!(losses(&sandbox.path("out")), Vec::<String>::new());
    tables_keep_the_contract(&sandbox);
    the_base_does_not_differ_from_itself(&sandbox);
    files_are_as_planned_and_as_told(&sandbox, &planned);
    aggregates_follow_from_the_items(&sandbox);
    charts_are_images(&sandbox);
    derived_files_are_rebuilt_byte_for_byte(&sandbox);
}

fn tables_keep_the_contract(sandbox: &Sandbox) {
    let table = |name: &str| Table::read(&sandbox.path("out").join(name));
    let variants = table("variants.csv");
    assert_eq!(variants.header, VARIANTS);
    assert_eq!(variants.column("variant"), LADDER);
    assert_eq!(variants.column("type"), ["F16", "Q8_0", "Q4_K_M", "TQ2_0"]);
    assert_eq!(variants.column("status"), ["done"; 4]);
    assert_eq!(variants.column("nominal_bpw"), ["", "8.5", "4.5", "2.0625"]);
    let measured = ["bpw", "peak_rss_bytes", "model_buffer_bytes", "load_s", "pp512_tps", "tg128_tps"];
    for name in measured {
        assert!(variants.column(name).into_iter().all(|cell| number(cell) > 0.0), "{name}");
    }
    let bpw: Vec<f64> = variants.column("bpw").into_iter().map(number).collect();
    assert!(bpw.is_sorted_by(|a, b| a > b), "{bpw:?}");

    let metrics = table("metrics.csv");
    assert_eq!(metrics.header, METRICS);
    for variant in LADDER {
        for (suite, metric) in [
            ("prose", "kld_mean"),
            ("prose", "ppl"),
            ("prose", "same_top_p"),
            ("quiz", "acc"),
            ("quiz", "acc_norm"),
            ("quiz", "acc_bytes"),
        ] {
            let row = [("variant", variant), ("suite", suite), ("metric", metric)];
            assert!(number(metrics.cell(&row, "value")).is_finite());
            assert_eq!(metrics.cell(&row, "status"), "done");
            assert_eq!(metrics.cell(&row, "reason"), "");
            // 12 chunks of 128 tokens, of which 63 are scored.
            assert_eq!(metrics.cell(&row, "n"), if suite == "quiz" { "24" } else { "756" });
            assert_eq!(metrics.cell(&row, "chance"), if suite == "quiz" { "0.25" } else { "" });
            let better = metrics.cell(&row, "higher_is_better");
            assert_eq!(better == "true", suite == "quiz" || metric == "same_top_p");
        }
    }

    let summary = table("summary.csv");
    assert_eq!((summary.header.as_str(), summary.column("variant")), (SUMMARY, LADDER.to_vec()));
    let comparisons = table("comparisons.csv");
    assert_eq!(comparisons.header, COMPARISONS);
    assert_eq!(comparisons.rows.len(), 3 * 5, "three variants: ppl, divergence and three accuracies");
    let frontier = table("frontier.csv");
    // The model was never trained: it guesses at the quiz, which then ranks nobody.
    assert_eq!((frontier.header.as_str(), frontier.rows.len()), (FRONTIER, 4));
    assert!(frontier.column("axis_y").iter().all(|axis| axis.starts_with("prose.")));
    let record = manifest(&sandbox.path("out"));
    for key in ["format", "name", "created", "software", "machine", "threads", "seed", "base", "suites"] {
        assert!(!record[key].is_null(), "the manifest lacks {key}");
    }
}

fn the_base_does_not_differ_from_itself(sandbox: &Sandbox) {
    let metrics = Table::read(&sandbox.path("out/metrics.csv"));
    for (metric, value) in
        [("kld_mean", 0.0), ("kld_max", 0.0), ("same_top_p", 1.0), ("ppl_ratio", 1.0), ("delta_p_rms", 0.0)]
    {
        let found = metrics.cell(&[("variant", "base"), ("metric", metric)], "value");
        assert!(number(found).to_bits() == f64::to_bits(value), "{metric} is {found}");
    }
    let kld = |v| number(metrics.cell(&[("variant", v), ("metric", "kld_mean")], "value"));
    // In another shape it does, by rounding. What rises above that is no noise.
    let floor = |column| number(metrics.cell(&[("variant", "base"), ("metric", "kld_noise_floor")], column));
    assert!(0.0 < floor("value") && floor("value") < 1e-4, "{}", floor("value"));
    assert!(floor("ci_low") <= floor("value") && floor("value") <= floor("ci_high"));
    assert_eq!(floor("n").to_bits(), f64::to_bits(756.0), "12 chunks are fewer than it takes at most");
    let comparisons = Table::read(&sandbox.path("out/comparisons.csv"));
    for variant in &LADDER[1..] {
        let row = [("variant", *variant), ("suite", "prose"), ("metric", "kld_mean")];
        let low = number(metrics.cell(&row, "ci_low"));
        let expected = if low > floor("ci_high") { "different" } else { "indistinguishable" };
        assert_eq!(comparisons.cell(&row, "verdict"), expected, "{variant}");
        assert_eq!(comparisons.cell(&row, "delta"), metrics.cell(&row, "value"));
    }
    assert!(sandbox.read("out/charts/bpw-kld.svg").contains("Dotted: the noise floor"));
    choices_move_by_rounding_only(&metrics, sandbox);
    assert!(0.0 < kld("Q8_0") && kld("Q8_0") < kld("Q4_K_M") && kld("Q4_K_M") < kld("TQ2_0"));
}

/// Each choice by itself: other sums, the same picks, and more tokens.
fn choices_move_by_rounding_only(metrics: &Table, sandbox: &Sandbox) {
    let noise = |metric, column| number(metrics.cell(&[("variant", "base"), ("metric", metric)], column));
    let (mean, max) = (noise("logprob_noise_mean", "value"), noise("logprob_noise_max", "value"));
    assert!(0.0 < mean && mean < max && max < 0.1, "{mean} {max}");
    assert!(noise("flips_noise", "value") < 0.2 && noise("flips_noise", "ci_high") > 0.0);
    assert_eq!(noise("flips_noise", "n").to_bits(), f64::to_bits(16.0), "as many as it takes at most");
    let trials = Table::read(&sandbox.path("out/trials.csv"));
    let tokens =
        |kind, column| number(trials.cell(&[("variant", "base"), ("kind", kind), ("suite", "quiz")], column));
    assert!(tokens("suite", "tokens_decoded") < tokens("suite", "tokens_naive"));
    assert_eq!(tokens("noise", "tokens_decoded").to_bits(), tokens("noise", "tokens_naive").to_bits());
    assert!(sandbox.read("out/charts/bpw-quiz.svg").contains("Numeric noise of the base: ln p"));
}

fn files_are_as_planned_and_as_told(sandbox: &Sandbox, planned: &Value) {
    let variants = Table::read(&sandbox.path("out/variants.csv"));
    let files = sandbox.files("cache/variants");
    assert_eq!(files.len(), 3, "{files:?}");
    for forecast in planned["variants"].as_array().expect("variants") {
        let name = forecast["variant"].as_str().expect("a name");
        let row = [("variant", name)];
        let path = match files.iter().find(|f| f.starts_with(&format!("{name}-"))) {
            Some(file) => sandbox.path("cache/variants").join(file),
            None => sandbox.path("tiny.gguf"),
        };
        let size = fs::metadata(&path).expect("there").len();
        assert_eq!(forecast["file_bytes"].as_u64(), Some(size), "the plan of {name}");
        assert_eq!(variants.cell(&row, "file_bytes"), size.to_string(), "the record of {name}");
        assert_eq!(forecast["bpw"].as_f64(), Some(number(variants.cell(&row, "bpw"))), "{name}");
        let sha256 = bitfrontier::fetch::sha256_file(&path).expect("read");
        assert_eq!(variants.cell(&row, "sha256"), sha256);
    }
}

fn items_of(sandbox: &Sandbox, variant: &str, suite: &str) -> Table {
    let id = find(&sandbox.path("out"), variant, suite).id;
    Table::read(&sandbox.path(format!("out/items/{id}.csv.gz")))
}

fn aggregates_follow_from_the_items(sandbox: &Sandbox) {
    let metrics = Table::read(&sandbox.path("out/metrics.csv"));
    for variant in LADDER {
        let told = |suite, metric| {
            let row = [("variant", variant), ("suite", suite), ("metric", metric)];
            number(metrics.cell(&row, "value"))
        };
        let items = items_of(sandbox, variant, "quiz");
        assert_eq!(items.rows.len(), 24);
        for (metric, length) in [
            ("acc", (|_| 1) as fn(&str) -> usize),
            ("acc_norm", |choice| choice.chars().count()),
            ("acc_bytes", str::len),
        ] {
            let right = items.rows.iter().filter(|row| is_right(row, length)).count();
            assert!(near(right as f64 / 24.0, told("quiz", metric)), "{variant} {metric}");
            let column = items.column(metric).into_iter().filter(|cell| *cell == "1").count();
            assert_eq!(column, right, "{variant} {metric}");
        }

        let tokens = items_of(sandbox, variant, "prose");
        assert_eq!(tokens.rows.len(), 756);
        let mean = |name| tokens.column(name).into_iter().map(number).sum::<f64>() / 756.0;
        assert!(near(mean("nll").exp(), told("prose", "ppl")), "{variant}");
        assert!(near(mean("kld"), told("prose", "kld_mean")), "{variant}");
        assert!(near(mean("same_top"), told("prose", "same_top_p")), "{variant}");
    }
}

/// Whether the choice with the largest log-probability a `length` is the answer; the first maximum wins.
fn is_right(row: &BTreeMap<String, String>, length: fn(&str) -> usize) -> bool {
    let choices: Vec<String> = serde_json::from_str(&row["choices"]).expect("choices");
    let logprobs: Vec<f64> = serde_json::from_str(&row["logprobs"]).expect("logprobs");
    let mut best = 0;
    let score = |i: usize| logprobs[i] / length(&choices[i]) as f64;
    for i in 1..choices.len() {
        if score(i) > score(best) {
            best = i;
        }
    }
    best.to_string() == row["answer"]
}

fn charts_are_images(sandbox: &Sandbox) {
    let charts = sandbox.files("out/charts");
    let with = |end: &str| -> Vec<String> {
        charts.iter().filter_map(|name| name.strip_suffix(end).map(str::to_owned)).collect()
    };
    let (png, svg) = (with(".png"), with(".svg"));
    assert_eq!(png, svg, "each chart in both forms");
    assert_eq!(png.len() * 2, charts.len(), "{charts:?}");
    for name in ["bpw-kld", "bpw-quiz", "frontier", "speed", "memory"] {
        assert!(png.iter().any(|p| p == name), "{name} in {png:?}");
    }
    for name in png {
        let bytes = fs::read(sandbox.path(format!("out/charts/{name}.png"))).expect("read");
        assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n") && bytes.len() > 5000, "{name}.png");
        let text = sandbox.read(&format!("out/charts/{name}.svg"));
        assert!(text.contains("<svg") && text.contains("Q4_K_M"), "{name}.svg");
    }
}

fn derived_files_are_rebuilt_byte_for_byte(sandbox: &Sandbox) {
    let before = contents(sandbox, "out");
    let page = String::from_utf8_lossy(&before["report.html"]);
    assert!(page.contains("id=\"packed-flips-0\"") && page.trim_end().ends_with("</html>"), "{}", page.len());
    for name in before.keys() {
        let is_record = name == "manifest.json" || name.starts_with("trials/") || name.starts_with("logs/");
        if !is_record {
            fs::remove_file(sandbox.path("out").join(name)).expect("removed");
        }
    }
    sandbox.run(&["report", "out"]).ends(0);
    let after = contents(sandbox, "out");
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&before), names(&after));
    for (name, bytes) in &before {
        assert!(after[name] == *bytes, "{name} is another one");
    }
}

#[test]
fn a_finished_sweep_is_not_done_again() {
    let sandbox = Sandbox::new();
    let what = ["--recipes", "Q8_0", "--suites", "prose.toml", "quiz.toml", "--json-events"];
    let first = sandbox.sweep(&what).ends(0);
    let started = &first.events()[0];
    assert_eq!((started["event"].as_str(), started["done"].as_u64()), (Some("sweep_started"), Some(0)));
    assert_eq!(sandbox.files("cache/variants"), Vec::<String>::new(), "nothing needs the variant any more");

    let before = contents(&sandbox, "out");
    let events = sandbox.sweep(&what).ends(0).events();
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!((events[0]["trials"].as_u64(), events[0]["done"].as_u64()), (Some(10), Some(10)));
    assert!(contents(&sandbox, "out") == before, "not one byte changes, the workers' logs included");
}

#[test]
fn a_raised_limit_goes_on_where_the_lower_one_stopped() {
    let sandbox = Sandbox::new();
    let limited = |limit: &'static str| {
        sandbox
            .sweep(&["--recipes", "Q8_0", "--suites", "prose.toml", "quiz.toml", "--limit", limit])
            .ends(0);
        let out = sandbox.path("out");
        assert_eq!(losses(&out), Vec::<String>::new());
        ["base", "Q8_0"].map(|variant| ["prose", "quiz"].map(|suite| find(&out, variant, suite)))
    };
    let journals = |id: &str| records::journals(&sandbox.path(format!("out/trials/{id}")));
    let few = limited("3");
    let earlier: Vec<_> = few.iter().flatten().map(|trial| journals(&trial.id)).collect();
    let more = limited("quiz=9,prose=5");
    for ((few, more), earlier) in few.iter().flatten().zip(more.iter().flatten()).zip(earlier) {
        assert_eq!(few.id, more.id, "the limit is not in the id");
        assert_eq!((few.planned, more.planned), (3, if more.suite == "quiz" { 9 } else { 5 }));
        assert!(few.lines.keys().all(|index| more.lines.contains_key(index)));
        let later = journals(&more.id);
        for (name, text) in earlier {
            assert_eq!(later.get(&name), Some(&text), "an old journal stays as it was");
        }
    }
    let metrics = Table::read(&sandbox.path("out/metrics.csv"));
    let accuracy = [("variant", "Q8_0"), ("metric", "acc")];
    assert_eq!(metrics.cell(&accuracy, "n"), "9");

    // A text is read from its beginning; questions are a seeded sample.
    assert_eq!(more[0][0].lines.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    assert_ne!(more[0][1].lines.keys().copied().collect::<Vec<_>>(), (0..9).collect::<Vec<_>>());
}

#[test]
fn kv_variants_share_the_file() {
    let sandbox = Sandbox::new();
    let what = ["--recipes", "Q8_0", "Q8_0/kv=q8_0", "--suites", "prose.toml", "--keep-variants"];
    let events = sandbox.sweep(&[&what[..], &["--json-events"]].concat()).ends(0).events();
    assert_eq!(sandbox.files("cache/variants").len(), 1, "one file for both");
    let made = |event: &&Value| event["event"] == "trial_started" && event["kind"] == "quantize";
    assert_eq!(events.iter().filter(made).count(), 1, "made once");

    let variants = Table::read(&sandbox.path("out/variants.csv"));
    assert_eq!(variants.column("variant"), ["base", "Q8_0", "Q8_0/kv=q8_0"]);
    for name in ["recipe", "type", "file_bytes", "bpw", "sha256", "quantize_s"] {
        let [_, plain, kv] = variants.column(name)[..] else { panic!("three rows") };
        assert_eq!(plain, kv, "{name}");
    }
    let buffers: Vec<f64> = variants.column("context_buffer_bytes").into_iter().map(number).collect();
    assert!(buffers[2] < buffers[1], "{buffers:?}");
    let metrics = Table::read(&sandbox.path("out/metrics.csv"));
    let kld = |v| metrics.cell(&[("variant", v), ("metric", "kld_mean")], "value");
    assert_ne!(kld("Q8_0"), kld("Q8_0/kv=q8_0"));
    let told = [("variant", "Q8_0/kv=q8_0"), ("metric", "kld_mean")];
    assert_eq!(metrics.cell(&told, "status"), "done");

    // Without --keep-variants the next sweep that meets the file releases it.
    sandbox.sweep(&what[..what.len() - 1]).ends(0);
    assert_eq!(sandbox.files("cache/variants"), Vec::<String>::new());
}

#[test]
fn results_of_another_base_are_refused_and_stay() {
    let sandbox = Sandbox::new();
    let what = ["--recipes", "Q8_0", "--suites", "quiz.toml", "--limit", "2"];
    sandbox.sweep(&what).ends(0);
    let before = contents(&sandbox, "out");
    let mut other = fs::read(sandbox.path("tiny.gguf")).expect("read");
    *other.last_mut().expect("bytes") ^= 1;
    sandbox.write("other.gguf", other);
    sandbox.sweep(&[&["--base", "other.gguf"], &what[..]].concat()).ends(3).says(
        "out holds results of another base model: bitfrontier tiny (tiny.gguf), not bitfrontier tiny (other.gguf)",
        "choose another folder with --out",
    );
    assert!(contents(&sandbox, "out") == before);
}

#[test]
fn a_lost_base_store_is_filled_again() {
    let sandbox = Sandbox::new();
    let what = ["--recipes", "Q8_0", "--suites", "prose.toml", "--limit", "2"];
    sandbox.sweep(&what).ends(0);
    let told = Table::read(&sandbox.path("out/metrics.csv"));
    let mut stores = sandbox.files("cache/base");
    stores.retain(|name| !name.ends_with("items"));
    assert_eq!(stores.len(), 1, "one file a text: {stores:?}");
    let store = sandbox.path("cache/base").join(&stores[0]);
    let whole = fs::read(&store).expect("read");
    let mut damaged = whole.clone();
    *damaged.last_mut().expect("bytes") ^= 1;
    let cut = whole[..whole.len() - 100].to_vec();
    for spoilt in [None, Some(damaged), Some(cut)] {
        match spoilt {
            None => fs::remove_file(&store).expect("removed"),
            Some(bytes) => fs::write(&store, bytes).expect("written"),
        }
        let variant = find(&sandbox.path("out"), "Q8_0", "prose").id;
        fs::remove_dir_all(sandbox.path("out/trials").join(variant)).expect("removed");
        sandbox.sweep(&what).ends(0);
        assert_eq!(losses(&sandbox.path("out")), Vec::<String>::new());
        assert_eq!(Table::read(&sandbox.path("out/metrics.csv")), told);
        assert!(fs::read(&store).expect("read") == whole, "the same bytes again");
    }
}

/// What a trial cost, as its file says.
fn cost(sandbox: &Sandbox, out: &str, variant: &str, what: &str) -> Value {
    let id = find(&sandbox.path(out), variant, what).id;
    let file = sandbox.read(&format!("{out}/trials/{id}/trial.json"));
    serde_json::from_str::<Value>(&file).expect("JSON")["outcome"].clone()
}

#[test]
fn another_sweep_takes_the_bases_items_from_the_cache() {
    let sandbox = Sandbox::new();
    let what =
        |out| ["--recipes", "Q8_0", "--suites", "prose.toml", "quiz.toml", "--limit", "5", "--out", out];
    sandbox.sweep(&what("one")).ends(0);
    assert_eq!(cost(&sandbox, "one", "base", "prose")["tokens_decoded"], 5 * 128);
    assert!(cost(&sandbox, "one", "base", "prose")["items_cached"].is_null());

    sandbox.sweep(&what("two")).ends(0);
    for suite in ["prose", "quiz", "noise of prose", "noise of quiz"] {
        let cost = cost(&sandbox, "two", "base", suite);
        assert_eq!((&cost["tokens_decoded"], &cost["items_cached"]), (&0.into(), &5.into()), "{suite}");
        assert_eq!((&cost["wall_s"], &cost["decode_s"]), (&0.0.into(), &0.0.into()), "{suite}");
    }
    assert!(cost(&sandbox, "two", "Q8_0", "prose")["tokens_decoded"].as_u64() > Some(0), "only the base's");
    assert_eq!(losses(&sandbox.path("two")), Vec::<String>::new());
    let trials = Table::read(&sandbox.path("two/trials.csv"));
    let base = [("variant", "base"), ("kind", "suite"), ("suite", "quiz")];
    assert_eq!(
        ["items_done", "items_cached", "tokens_decoded"].map(|c| trials.cell(&base, c)),
        ["5", "5", "0"]
    );
    for table in ["metrics.csv", "comparisons.csv", "frontier.csv"] {
        assert_eq!(sandbox.read(&format!("one/{table}")), sandbox.read(&format!("two/{table}")), "{table}");
    }

    // A flipped bit in one line and another one cut off: these two are measured again, and the file is whole again.
    let id = find(&sandbox.path("one"), "base", "prose").id;
    let kept = sandbox.path("cache/base").join(format!("{id}.items"));
    let whole = fs::read(&kept).expect("read");
    let mut damaged = whole[..whole.len() - 9].to_vec();
    damaged[whole.len() / 2] ^= 1;
    fs::write(&kept, damaged).expect("written");
    sandbox.sweep(&what("three")).ends(0);
    let cost = cost(&sandbox, "three", "base", "prose");
    assert_eq!((&cost["tokens_decoded"], &cost["items_cached"]), (&(2 * 128).into(), &3.into()));
    assert!(fs::read(&kept).expect("read") == whole);
    assert_eq!(sandbox.read("one/metrics.csv"), sandbox.read("three/metrics.csv"));

    // More is asked for than there is.
    sandbox.sweep(&[&what("four")[..5], &["--limit", "7", "--out", "four"]].concat()).ends(0);
    assert_eq!(losses(&sandbox.path("four")), Vec::<String>::new());
    assert_eq!(self::cost(&sandbox, "four", "base", "prose")["tokens_decoded"], 2 * 128);
}

#[test]
fn a_sweep_recorded_before_there_were_noise_floors_is_still_told() {
    let sandbox = Sandbox::new();
    sandbox.sweep(&["--recipes", "Q8_0", "--suites", "prose.toml", "--limit", "3"]).ends(0);
    let mut record = manifest(&sandbox.path("out"));
    record["trials"].as_array_mut().expect("trials").retain(|t| t["kind"] != "noise");
    write_record(&sandbox.path("out/manifest.json"), record);
    sandbox.run(&["report", "out"]).ends(0);
    assert!(!sandbox.read("out/metrics.csv").contains("noise"));
    assert!(!sandbox.read("out/charts/bpw-kld.svg").contains("noise"));
    let comparisons = Table::read(&sandbox.path("out/comparisons.csv"));
    assert_eq!(comparisons.column("verdict"), ["", ""]);
}

#[test]
fn a_sweep_file_and_flags_together() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "night.toml",
        "base = \"nowhere.gguf\"\nrecipes = [{ name = \"half\", type = \"Q4_0\", kv = \"q8_0\" }]\n\
         suites = [\"quiz.toml\"]\nout = \"elsewhere\"\n[limits]\nquiz = 2\n[speed]\nrepetitions = 2\n",
    );
    // Flags win; what they don't say is the file's.
    sandbox.run(&["sweep", "night.toml", "--base", "tiny.gguf", "--threads", "1", "--quiet"]).ends(0);
    let variants = Table::read(&sandbox.path("elsewhere/variants.csv"));
    assert_eq!(variants.column("variant"), ["base", "half/kv=q8_0"]);
    assert_eq!(variants.column("type"), ["F16", "Q4_0"]);
    assert!(variants.column("tg128_tps_sd").into_iter().all(|sd| number(sd) >= 0.0));
    assert!(!Path::new(&sandbox.path("results")).exists());
}

#[test]
fn the_default_words_on_a_pipe_are_plain_lines() {
    let sandbox = Sandbox::new();
    let mut args = sweep_args(&["--recipes", "Q8_0", "--suites", "quiz.toml", "--limit", "2"]);
    args.retain(|a| *a != "--quiet");
    let swept = sandbox.run(&args).ends(0);
    let lines: Vec<&str> = swept.stderr.lines().collect();
    assert_eq!(lines[0], "out: 7 trials, 0 of them done already");
    assert_eq!(lines.len(), 8, "a line a trial: {lines:?}");
    assert!(lines[7].starts_with("[7/7] Q8_0 speed: done"), "{lines:?}");
    assert!(swept.stdout.starts_with("variant"), "{}", swept.stdout);
    assert!(
        swept.stdout.ends_with("tables: out/*.csv\ncharts: out/charts/\npage:   out/report.html\n"),
        "{}",
        swept.stdout
    );
    assert!(!swept.stdout.contains('\u{1b}') && !swept.stderr.contains('\u{1b}'), "no colours in a pipe");
}
