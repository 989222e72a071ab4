//! One variant of a small invented sweep: which, why not the others, and whether what is advised helps.

use super::*;
use crate::analyze::cost::{CostRow, DEFAULT, parse};
use crate::analyze::recommend::{Limits, Memory, Recommendation, recommend};
use crate::analyze::{Analysis, analysis};

const VARIANTS: [(&str, u64, u64, f64); 4] = [
    ("base", 1000, 160, 10.0),
    ("even", 600, 150, 25.4321),
    ("better", 600, 158, 21.0),
    ("small", 300, 100, 44.0),
];

/// Two hundred questions, with so many right each; file sizes and speeds as above.
fn sweep(scored: &[&str]) -> (Manifest, Analysis) {
    sweep_of(200, scored)
}

/// The same shares of fewer questions.
fn sweep_of(count: u64, scored: &[&str]) -> (Manifest, Analysis) {
    let (right, wrong) = ([-1.0, -9.0, -9.0], [-9.0, -9.0, -1.0]);
    let items = |good: u64| {
        let is_right = |i: u64| i * 200 < good * count;
        (0..count).map(|i| question(i, 0, if is_right(i) { &right } else { &wrong })).collect()
    };
    let names = VARIANTS.map(|(name, ..)| name);
    let trials: Vec<TrialData> = VARIANTS
        .iter()
        .flat_map(|(name, bytes, good, _)| {
            let mut suite = done(TrialKind::Suite, name, "quiz", items(*good));
            if !scored.contains(name) {
                suite = TrialData {
                    status: Status::Crashed,
                    reason: "boom".to_owned(),
                    items: Vec::new(),
                    ..suite
                };
            }
            [quantized(name, *bytes), suite]
        })
        .collect();
    let mut manifest = manifest(&names);
    manifest.suites.iter_mut().for_each(|suite| suite.items_planned = count);
    let mut analysis = analysis(&manifest, &trials, &parse(DEFAULT, "costs.toml").expect("costs"));
    for (row, (.., tg)) in analysis.report.variants.iter_mut().zip(VARIANTS) {
        row.tg128_tps = Some(tg);
    }
    let price = |variant: &str, streams: u32, capacity_mtok: f64| CostRow {
        variant: variant.to_owned(),
        scenario: "owned.here".to_owned(),
        kind: "price".to_owned(),
        streams: Some(streams),
        capacity_mtok: Some(capacity_mtok),
        usd_per_month: Some(9.0),
        ..CostRow::default()
    };
    analysis.report.costs.scenario = "owned.here".to_owned();
    analysis.report.costs.rows =
        names.iter().flat_map(|name| [price(name, 1, 2.5), price(name, 8, 9.75)]).collect();
    (manifest, analysis)
}

fn all() -> (Manifest, Analysis) {
    sweep(&VARIANTS.map(|(name, ..)| name))
}

fn limits(max_drop: f64) -> Limits {
    Limits { max_drop: Some(max_drop), ..Limits::default() }
}

/// What everything needs: two mebibytes for each byte of the file, as far as it fits.
fn memory(bytes: u64) -> Memory {
    let needs = VARIANTS.map(|(name, file, ..)| (name.to_owned(), (Some(file << 21), file << 21 <= bytes)));
    Memory { limit: "vram".to_owned(), bytes, margin: 1 << 20, ctx: 512, needs: needs.into() }
}

fn why(answer: &Recommendation, variant: &str) -> String {
    answer.ruled_out.iter().find(|out| out.variant == variant).map_or(String::new(), |out| out.limit.clone())
}

#[test]
fn the_smallest_within_the_drop_and_of_the_same_size_the_best() {
    let (manifest, analysis) = all();
    let told = recommend(&manifest, &analysis, &limits(0.1));
    assert_eq!(told.variant.as_deref(), Some("better"), "{told:?}");
    assert_eq!((told.quality.as_str(), told.max_drop_unit.as_str()), ("quiz.acc_norm", "fraction"));
    assert_eq!((why(&told, "small").as_str(), told.ruled_out.len()), ("max_drop", 1));
    let even = told.runners_up.iter().find(|runner| runner.variant == "even").expect("a runner-up");
    assert!(even.trade.starts_with("the same size, 4.0 points worse"), "{even:?}");
    assert!((told.confidence + told.runners_up.iter().map(|r| r.share).sum::<f64>()) <= 1.0 + 1e-12);
    let just = recommend(&manifest, &analysis, &limits(0.05));
    assert_eq!(
        (just.variant.as_deref(), why(&just, "even").as_str()),
        (Some("better"), ""),
        "a loss of 0.8 - 0.75"
    );
    assert_eq!(recommend(&manifest, &analysis, &limits(0.4)).variant.as_deref(), Some("small"));
    assert_eq!(recommend(&manifest, &analysis, &limits(0.0)).variant.as_deref(), Some("base"));
}

/// Where no answer changed all resamples are alike, and few questions show nothing all the same.
#[test]
fn few_questions_make_nothing_sure() {
    let names = VARIANTS.map(|(name, ..)| name);
    let (manifest, analysis) = sweep_of(8, &names);
    let told = recommend(&manifest, &analysis, &limits(0.02));
    assert_eq!(told.variant.as_deref(), Some("better"), "{told:?}");
    assert!((0.4..0.8).contains(&told.confidence), "{told:?}");
    assert!(told.reasons[0].starts_with("better scores +0.0 points against the base (95% -"), "{told:?}");
    let unsure = told.reasons.iter().find(|r| r.contains("leaves a chance of")).expect("said");
    assert!(unsure.ends_with("% that more than 2.0 points are lost."), "{unsure}");
    let (manifest, analysis) = sweep_of(2000, &names);
    let sure = recommend(&manifest, &analysis, &limits(0.02));
    assert_eq!((sure.variant.as_deref(), sure.confidence), (Some("better"), 1.0), "{sure:?}");
}

/// Variants of one file differ in what they keep beside it.
#[test]
fn where_memory_is_limited_what_counts_is_all_that_is_needed() {
    let (manifest, analysis) = all();
    let mut memory = memory(1 << 40);
    memory.needs.insert("even".to_owned(), (Some(500 << 21), true));
    let told = recommend(&manifest, &analysis, &Limits { memory: Some(memory), ..limits(0.1) });
    assert_eq!(told.variant.as_deref(), Some("even"), "{told:?}");
    assert!(
        told.reasons.iter().any(|r| r.starts_with("The next smaller, small (600.0 MiB in all)")),
        "{told:?}"
    );
}

/// Every advice is followed: with the number it names there is a variant, the one it names if that is all.
#[test]
fn what_is_advised_helps() {
    let (manifest, analysis) = all();
    let strict = [
        Limits { min_tg: Some(1e9), ..limits(0.1) },
        Limits { min_tg: Some(1e9), ..limits(0.4) },
        Limits { monthly_tokens: Some(1e12), ..limits(0.1) },
        Limits { memory: Some(memory(1 << 20)), ..limits(0.1) },
        Limits { min_tg: Some(30.0), ..limits(0.05) },
        Limits { min_tg: Some(30.0), memory: Some(memory(700 << 20)), ..limits(0.05) },
        Limits {
            min_tg: Some(1e9),
            monthly_tokens: Some(1e12),
            memory: Some(memory(1 << 20)),
            ..limits(0.05)
        },
    ];
    for asked in strict {
        let told = recommend(&manifest, &analysis, &asked);
        assert!(told.variant.is_none() && told.reasons[0] == "No variant fits.", "{told:?}");
        let mut followed = 0;
        for reason in &told.reasons[1..] {
            let Some((options, variant)) = reason.split_once(": loosen ").and_then(|(before, advice)| {
                let (advice, variant) = advice.trim_end_matches('.').rsplit_once(" for ")?;
                let option = before.split("--").nth(1).unwrap_or_default();
                Some((advice.replace("it to", &format!("--{option} to")), variant))
            }) else {
                continue;
            };
            let mut loosened = asked.clone();
            for option in options.split(" and --").map(|option| option.trim_start_matches("--")) {
                let (name, value) = option.split_once(" to ").expect("a value");
                let number = value.split([',', ' ']).next().expect("a number");
                match name {
                    "min-tg" => loosened.min_tg = number.parse().ok(),
                    "max-drop" => loosened.max_drop = number.parse().ok(),
                    "monthly-tokens" => loosened.monthly_tokens = number.parse().ok(),
                    _ => {
                        let all = crate::units::Bytes::parse(number).expect("a size").0;
                        loosened.memory = Some(memory(all - (1 << 20)));
                    }
                }
            }
            let again = recommend(&manifest, &analysis, &loosened);
            assert!(again.variant.is_some(), "{asked:?}\n{reason}\n{:?}", again.reasons);
            assert!(!again.ruled_out.iter().any(|out| out.variant == variant), "{reason}\n{again:?}");
            followed += 1;
        }
        assert!(followed > 0, "{:?}", told.reasons);
    }
}

#[test]
fn volume_is_held_against_all_streams_together() {
    let (manifest, analysis) = all();
    let asked = Limits { monthly_tokens: Some(9e6), ..limits(0.1) };
    let told = recommend(&manifest, &analysis, &asked);
    assert_eq!(told.variant.as_deref(), Some("better"));
    let costs = told.reasons.iter().find(|reason| reason.contains("cost $")).expect("its cost");
    assert!(
        costs.starts_with("9 million output tokens a month cost $9.00 on owned.here, 8 streams"),
        "{costs}"
    );
    let elsewhere = Limits { scenario: Some("owned.nowhere".to_owned()), ..asked };
    let told = recommend(&manifest, &analysis, &elsewhere);
    assert!(!told.reasons.iter().any(|reason| reason.contains("cost $")), "{told:?}");
}

#[test]
fn what_has_no_score_is_told_and_not_taken_for_worse() {
    let (manifest, analysis) = sweep(&["base", "small"]);
    let told = recommend(&manifest, &analysis, &limits(0.1));
    assert_eq!(told.variant.as_deref(), Some("base"));
    let failed = told.reasons.iter().find(|reason| reason.contains("not judged")).expect("who failed");
    assert_eq!(
        failed,
        "2 of 4 variants have no score and are not judged: even, better (quiz: crashed, boom)."
    );
    assert_eq!((why(&told, "even").as_str(), why(&told, "small").as_str()), ("failed", "max_drop"));

    let (manifest, analysis) = sweep(&["even", "better", "small"]);
    let told = recommend(&manifest, &analysis, &limits(0.1));
    assert!(told.variant.is_none() && told.reasons[0].contains("the base's own trials failed"), "{told:?}");
    assert!(!format!("{told:?}").contains("NaN"), "{told:?}");
}
