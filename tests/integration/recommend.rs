//! `bitfrontier recommend` on a real sweep of the tiny model, whose quality is its divergence: it was never trained.

use serde_json::Value;

use crate::sandbox::Sandbox;
use crate::table::Table;

fn answer(sandbox: &Sandbox, args: &[&str]) -> Value {
    let told = sandbox.run(&[&["recommend", "out", "--json"], args].concat()).ends(0).stdout;
    serde_json::from_str(&told).expect("JSON")
}

fn ruled_out<'a>(answer: &'a Value, variant: &str) -> &'a Value {
    let all = answer["ruled_out"].as_array().expect("ruled_out");
    all.iter().find(|out| out["variant"] == variant).unwrap_or(&Value::Null)
}

fn reasons(answer: &Value) -> String {
    let all = answer["reasons"].as_array().expect("reasons").iter();
    all.filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_variant_is_recommended_and_every_limit_rules_out() {
    let sandbox = Sandbox::new();
    sandbox.sweep(&["--recipes", "Q8_0", "Q4_K_M", "TQ2_0", "--suites", "prose.toml", "quiz.toml"]).ends(0);
    the_rule(&sandbox);
    limits(&sandbox);
    what_makes_no_sense(&sandbox);
}

/// The fewest bytes within what may be lost; everything else has its reason with its number.
fn the_rule(sandbox: &Sandbox) {
    let metrics = Table::read(&sandbox.path("out/metrics.csv"));
    let kld = |variant: &str| -> f64 {
        metrics.cell(&[("variant", variant), ("metric", "kld_mean")], "value").parse().expect("a number")
    };
    // Between two rungs, so that the rule has to tell them apart.
    let (better, worse) = (kld("Q4_K_M"), kld("TQ2_0"));
    assert!(kld("Q8_0") < better && better < worse, "a ladder");
    let between = f64::midpoint(better, worse);
    let told = answer(sandbox, &["--max-drop", &between.to_string()]);
    assert_eq!((&told["variant"], &told["quality"]), (&"Q4_K_M".into(), &"prose.kld_mean".into()));
    assert!(told["confidence"].as_f64().is_some_and(|share| (0.5..=1.0).contains(&share)), "{told}");
    let out = ruled_out(&told, "TQ2_0");
    assert_eq!(out["limit"], "max_drop");
    assert!(out["value"].as_f64().is_some_and(|value| (value / worse - 1.0).abs() < 1e-9), "{out}");
    let runners: Vec<&Value> = told["runners_up"].as_array().expect("runners-up").iter().collect();
    assert!(runners.iter().any(|runner| runner["variant"] == "Q8_0"), "{runners:?}");
    let text = reasons(&told);
    assert!(
        text.contains("Q4_K_M diverges from the base by") && text.contains("The next smaller, TQ2_0"),
        "{text}"
    );

    let none_lost = answer(sandbox, &["--max-drop", "0"]);
    assert_eq!(none_lost["variant"], "base");
    let shown = sandbox.run(&["recommend", "out"]).ends(0).stdout;
    assert!(shown.contains("% sure)\n"), "{shown}");
}

fn limits(sandbox: &Sandbox) {
    let fast = answer(sandbox, &["--min-tg", "1e9"]);
    assert_eq!((&fast["variant"], &fast["confidence"]), (&Value::Null, &0.0.into()));
    assert_eq!(ruled_out(&fast, "base")["limit"], "min_tg");
    let text = reasons(&fast);
    assert!(text.starts_with("No variant fits.\n4 ruled out by --min-tg: loosen it to "), "{text}");
    followed(sandbox, &fast, "--min-tg", &[]);

    // The context and its buffers alone are more.
    let small = answer(sandbox, &["--ram", "1MiB", "--margin", "0"]);
    assert_eq!(ruled_out(&small, "TQ2_0")["limit"], "ram");
    followed(sandbox, &small, "--ram", &["--margin", "0"]);
    let enough = answer(sandbox, &["--vram", "4GiB", "--ctx", "512", "--max-drop", "100"]);
    assert_eq!(enough["variant"], "TQ2_0");
    assert!(reasons(&enough).contains("with a context of 512 tokens, of 3.0 GiB"), "{}", reasons(&enough));

    let busy = answer(sandbox, &["--monthly-tokens", "1e15"]);
    assert_eq!(ruled_out(&busy, "Q8_0")["limit"], "monthly_tokens");
    let priced = answer(sandbox, &["--monthly-tokens", "1e5", "--max-drop", "100"]);
    assert!(reasons(&priced).contains("0.1 million output tokens a month cost $"), "{}", reasons(&priced));
}

/// With the value that is advised there is a variant.
#[track_caller]
fn followed(sandbox: &Sandbox, told: &Value, option: &str, others: &[&str]) {
    let text = reasons(told);
    let advice = text.split(&format!("{option}: loosen it to ")).nth(1).unwrap_or_else(|| panic!("{text}"));
    let value = advice.split([',', ' ']).next().expect("a value");
    let again = answer(sandbox, &[&[option, value], others].concat());
    assert!(again["variant"].is_string(), "{option} {value}: {again}");
}

fn what_makes_no_sense(sandbox: &Sandbox) {
    sandbox
        .run(&["recommend", "out", "--max-drop=-1"])
        .ends(3)
        .says("--max-drop -1 makes no sense", "it is a fraction: 0.02 allows a loss of two points");
    sandbox
        .run(&["recommend", "out", "--min-tg", "NaN"])
        .ends(3)
        .says("--min-tg NaN makes no sense", "it is a number above 0");
    let none = sandbox.run(&["recommend", "nowhere"]);
    assert!(none.code != Some(0) && none.stderr.contains("nowhere/manifest.json"), "{}", none.stderr);
}
