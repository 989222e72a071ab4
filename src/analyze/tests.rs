//! Whole reports of small invented sweeps, and the numbers of texts against llama-perplexity's formulas.

mod costs;
mod flips;
mod recommend;

use super::report::{MetricRow, Report};
use super::{perplexity, report};
use crate::journal::reader::{Damage, TrialData};
use crate::journal::record::{
    BaseModel, Capability, ChoiceScore, ChoiceScoring, ChunkScore, CorpusRecord, F32Array, ItemRecord,
    ItemScore, Judging, Machine, Manifest, Outcome, Quantized, QuestionScore, Software, Speed, Status,
    SuiteRecord, TrialKind, TrialSpec, VariantRecord,
};
use proptest::prelude::*;

fn suite(name: &str, main_metric: &str, chance: Option<f64>) -> SuiteRecord {
    SuiteRecord {
        capability: chance.map(|_| Capability::Reasoning),
        name: name.to_owned(),
        title: format!("The suite {name}"),
        version: 1,
        file_sha256: String::new(),
        data_sha256: Vec::new(),
        main_metric: main_metric.to_owned(),
        chance,
        partial: String::new(),
        items_total: 100,
        items_planned: 10,
        corpora: Vec::new(),
        clusters: Vec::new(),
    }
}

fn variant(name: &str) -> VariantRecord {
    VariantRecord {
        name: name.to_owned(),
        recipe: name.split('/').next().unwrap().to_owned(),
        type_name: name.to_owned(),
        imatrix: false,
        nominal_bpw: Some(4.5),
        kv: ("f16".to_owned(), "f16".to_owned()),
        imatrix_from: String::new(),
        gguf: String::new(),
    }
}

fn spec(kind: TrialKind, variant: &str, suite: &str) -> TrialSpec {
    TrialSpec {
        id: format!("{kind:?}-{variant}-{suite}"),
        kind,
        variant: variant.to_owned(),
        suite: suite.to_owned(),
        items_planned: 10,
        settings: std::sync::Arc::default(),
    }
}

/// Every variant on a text and on a suite of questions, with a quantize and a speed trial each.
fn manifest(variants: &[&str]) -> Manifest {
    let trials = variants.iter().flat_map(|v| {
        [
            spec(TrialKind::Quantize, v, ""),
            spec(TrialKind::Speed, v, ""),
            spec(TrialKind::Suite, v, "book"),
            spec(TrialKind::Suite, v, "quiz"),
        ]
    });
    Manifest {
        format: 1,
        name: "demo".to_owned(),
        created: "2026-11-22T10:00:00Z".to_owned(),
        software: Software {
            llama_cpp: "b1".to_owned(),
            bitfrontier: "0.1.0".to_owned(),
            ..Software::default()
        },
        machine: Machine { cpu: "A CPU".to_owned(), cores: 2, ..Machine::default() },
        threads: 2,
        seed: 1,
        base: BaseModel {
            source: "models/tiny.gguf".to_owned(),
            file_bytes: 1000,
            bpw: 16.0,
            sha256: "ab".to_owned(),
            ..BaseModel::default()
        },
        suites: vec![suite("book", "kld_mean", None), suite("quiz", "acc_norm", Some(0.25))],
        variants: variants.iter().map(|v| variant(v)).collect(),
        trials: trials.collect(),
        judging: Judging::default(),
    }
}

fn done(kind: TrialKind, variant: &str, suite: &str, items: Vec<ItemRecord>) -> TrialData {
    let spec = spec(kind, variant, suite);
    TrialData {
        spec,
        status: Status::Done,
        reason: String::new(),
        failures: 0,
        outcome: None,
        items,
        looks: Vec::new(),
        goals: Vec::new(),
        node: None,
        stopped: None,
        damaged: Damage::default(),
    }
}

fn quantized(variant: &str, file_bytes: u64) -> TrialData {
    let file = Quantized { file_bytes, tensor_bytes: 500, weights: 1000, ..Quantized::default() };
    TrialData { outcome: Some(Outcome::Quantize(file)), ..done(TrialKind::Quantize, variant, "", Vec::new()) }
}

fn question(index: u64, answer: u32, logprobs: &[f64]) -> ItemRecord {
    let choices = logprobs.iter().zip(["yes", "perhaps", "no"]).map(|(&logprob, text)| ChoiceScore {
        text: text.to_owned(),
        logprob,
        tokens: 1,
        chars: text.len() as u32,
        bytes: text.len() as u32,
        greedy: None,
    });
    let score = ItemScore::Choice(Box::new(QuestionScore {
        prompt: "Well?".to_owned(),
        answer,
        choices: choices.collect(),
        truncated: 0,
        scoring: ChoiceScoring::default(),
        labels: Vec::new(),
    }));
    ItemRecord { index, id: format!("q{index}"), score }
}

fn failed(index: u64, reason: &str) -> ItemRecord {
    ItemRecord { index, id: format!("f{index}"), score: ItemScore::Failed { reason: reason.to_owned() } }
}

/// Three chunks of 20 tokens with values that 32-bit floats hold exactly.
fn chunks() -> Vec<ItemRecord> {
    let chunk = |c: u32| {
        let column = |f: fn(u32) -> f32| F32Array((c * 20..c * 20 + 20).map(f).collect());
        ChunkScore {
            nll: column(|i| (i * 37 % 101) as f32 / 16.0),
            nll_base: column(|i| (i * 53 % 97) as f32 / 16.0),
            kld: column(|i| (i * 29 % 89) as f32 / 64.0),
            delta_p: column(|i| ((i * 17 % 33) as f32 - 16.0) / 64.0),
            same_top: (c * 20..c * 20 + 20).map(|i| u8::from(i % 5 != 0)).collect(),
            nonfinite: 0,
            moments: None,
        }
    };
    (0..3)
        .map(|c| ItemRecord {
            index: c.into(),
            id: c.to_string(),
            score: ItemScore::Chunk(Box::new(chunk(c))),
        })
        .collect()
}

/// The same text as the base sees it: compared with itself.
fn base_chunks() -> Vec<ItemRecord> {
    let mut items = chunks();
    for item in &mut items {
        if let ItemScore::Chunk(chunk) = &mut item.score {
            chunk.nll = chunk.nll_base.clone();
            chunk.kld.0.fill(0.0);
            chunk.delta_p.0.fill(0.0);
            chunk.same_top.fill(1);
        }
    }
    items
}

fn near(ours: Option<f64>, expected: f64) -> bool {
    ours.is_some_and(|x| (x - expected).abs() <= 1e-11 * (1.0 + expected.abs()))
}

fn row<'a>(report: &'a Report, variant: &str, suite: &str, metric: &str) -> &'a MetricRow {
    report.metrics.iter().find(|m| m.variant == variant && m.suite == suite && m.metric == metric).unwrap()
}

/// numpy 2 in 64-bit floats, from the sums S, S2 and Sab as llama-perplexity has them, with
/// `sigma = sqrt((S2/n - (S/n)**2) / (n - 1))`; percentiles in `numpy.float32`.
#[test]
fn texts_agree_with_the_formulas_of_llama_perplexity() {
    let measured = perplexity::measure(&chunks(), 1, false);
    assert_eq!(measured.n, 60);
    for (metric, value, stderr) in [
        ("ppl", 22.082_637_508_807_43, Some(5.237_510_599_400_291_5)),
        ("ppl_ratio", 1.289_386_684_141_340_6, Some(0.395_409_355_444_733_7)),
        ("kld_mean", 0.7125, Some(0.053_092_535_361_268_72)),
        ("kld_median", 0.734_375, None),
        ("kld_p90", 1.282_812_476_158_142, None),
        ("kld_p99", 1.365_781_307_220_459, None),
        ("kld_p99_9", 1.374_078_154_563_903_8, None),
        ("kld_max", 1.375, None),
        ("same_top_p", 0.8, Some(0.052_075_564_392_329_54)),
        ("delta_p_mean", -0.010_937_5, Some(0.019_069_126_846_646_724)),
        ("delta_p_rms", 0.146_880_540_675_634_3, Some(0.008_290_617_575_910_519)),
    ] {
        let measure = measured.measures.iter().find(|m| m.metric == metric).unwrap();
        assert!(near(measure.value, value), "{measure:?}");
        assert!(stderr.is_none_or(|s| near(measure.stderr, s)), "{measure:?}");
        assert_eq!(measure.stderr.is_some(), measure.interval.is_some(), "{measure:?}");
        assert_eq!(measure.stderr.is_some(), stderr.is_some(), "{measure:?}");
    }
    let difference = perplexity::difference(&chunks()).unwrap();
    assert!(near(Some(difference.delta), 4.956_171_274_581_326), "{difference:?}");
    assert!(near(Some(difference.stderr), 6.108_043_547_998_138), "{difference:?}");
}

#[test]
fn the_base_differs_from_itself_by_nothing() {
    for chunks in [base_chunks(), base_chunks()[..1].to_vec()] {
        let measured = perplexity::measure(&chunks, 1, true);
        for (metric, value) in
            [("kld_mean", 0.0), ("ppl_ratio", 1.0), ("same_top_p", 1.0), ("delta_p_rms", 0.0)]
        {
            let measure = measured.measures.iter().find(|m| m.metric == metric).unwrap();
            let exactly = (Some(value), Some(0.0), Some((value, value)));
            assert_eq!((measure.value, measure.stderr, measure.interval), exactly, "{metric}");
        }
    }
}

#[test]
fn nothing_measured_yet_is_rows_that_say_so() {
    let report = report(&manifest(&["base", "Q4_0"]), &[]);
    assert_eq!(report.metrics.len(), 4);
    for row in &report.metrics {
        assert_eq!((row.value, row.n, row.status.as_str()), (None, 0, "pending"));
        assert_eq!(row.reason, "not begun");
    }
    assert_eq!(report.suites.iter().map(|s| s.n_unit).collect::<Vec<_>>(), ["tokens", "items"]);
    assert_eq!(report.variants[0].file_bytes, Some(1000));
    assert_eq!(report.variants[1].file_bytes, None);
    assert_eq!(report.variants[1].status, "quantize: pending");
    assert_eq!(report.comparisons.len(), 5);
    assert!(report.comparisons.iter().all(|c| c.delta.is_none() && c.flips_lost.is_none() && c.n == 0));
    assert!(report.frontier.is_empty());
    assert_eq!(report.about.base, "tiny.gguf");
    assert_eq!(report.about.date, "2026-11-22");
    assert_eq!(report.about.machine, "A CPU, 2 cores");
}

#[test]
fn a_plan_without_variants_or_suites_is_an_empty_report() {
    let empty = Manifest { suites: Vec::new(), trials: Vec::new(), ..manifest(&[]) };
    let report = report(&empty, &[done(TrialKind::Suite, "x", "y", chunks())]);
    assert!(report.metrics.is_empty() && report.variants.is_empty() && report.frontier.is_empty());
    assert_eq!((report.headline_axis(), report.on_frontier("x")), (None, None));
}

#[test]
fn the_base_alone_is_on_the_frontier_and_compared_with_nobody() {
    let report = report(&manifest(&["base"]), &[done(TrialKind::Suite, "base", "book", base_chunks())]);
    assert!(report.comparisons.is_empty());
    assert_eq!(report.headline_axis().as_deref(), Some("book.kld_mean"));
    assert_eq!(report.on_frontier("base"), Some(true));
}

#[test]
fn questions_are_scored_as_lm_eval_does() {
    // -3/3, -3.5/7, -2.2/2: the sum picks "no", the mean per character "perhaps".
    let items = vec![
        question(0, 1, &[-3.0, -3.5, -2.2]),
        question(1, 2, &[-3.0, -3.5, -2.2]),
        question(2, 0, &[-1.0, -1.0, -1.0]),
        question(3, 0, &[-1.0, f64::NEG_INFINITY, -1.0]),
        failed(4, "it is longer than the context"),
    ];
    let report = report(&manifest(&["base"]), &[done(TrialKind::Suite, "base", "quiz", items)]);
    let (acc, norm) = (row(&report, "base", "quiz", "acc"), row(&report, "base", "quiz", "acc_norm"));
    // Items 1 and 2: the first of equal maxima wins.
    assert!(near(acc.value, 2.0 / 3.0) && near(acc.stderr, (2.0 / 9.0 / 2.0_f64).sqrt()));
    // Item 0 only: -1/7 is above -1/3.
    assert!(near(norm.value, 1.0 / 3.0));
    assert_eq!((norm.n, norm.chance, norm.higher_is_better), (3, Some(0.25), true));
    assert_eq!(norm.reason, "2 items failed: the log-probability of choice 1, counted from 0, is not finite");
    assert!(acc.ci_low.unwrap() > 0.0 && acc.ci_high.unwrap() < 1.0);
}

#[test]
fn a_capability_is_what_is_left_above_chance_and_nothing_without_a_signal() {
    let (right, wrong) = ([-1.0, -9.0, -9.0], [-9.0, -9.0, -1.0]);
    let items = |good: u64| (0..40).map(|i| question(i, 0, if i < good { &right } else { &wrong })).collect();
    let mut manifest = manifest(&["base", "Q4_0", "Q2_K"]);
    let of = |base, other| {
        [
            done(TrialKind::Suite, "base", "quiz", items(base)),
            done(TrialKind::Suite, "Q4_0", "quiz", items(other)),
        ]
    };
    let find = |report: &Report, variant: &str| {
        report.capabilities.iter().find(|row| row.variant == variant).expect(variant).clone()
    };
    let told = report(&manifest, &of(30, 20));
    let row = find(&told, "Q4_0");
    assert_eq!((row.capability.as_str(), row.suites.as_str(), row.n), ("reasoning", "quiz", 40));
    assert!(near(row.retained, 0.5) && near(row.score, 0.5) && near(row.base_score, 0.75), "{row:?}");
    assert!(row.ci_low.unwrap() < 0.5 && row.ci_high.unwrap() > 0.5);
    assert!(near(find(&told, "base").retained, 1.0) && near(find(&told, "base").retained_stderr, 0.0));
    let missing = find(&told, "Q2_K");
    assert_eq!((missing.retained, missing.left_out.as_str()), (None, "quiz: nothing to compare"));
    assert_eq!(told.capabilities.len(), 3, "texts are no capability");

    let guessing = find(&report(&manifest, &of(11, 10)), "Q4_0");
    assert_eq!((guessing.retained, guessing.left_out.as_str()), (None, "quiz: no signal"));
    manifest.suites.iter_mut().for_each(|suite| suite.capability = None);
    assert!(report(&manifest, &of(30, 20)).capabilities.is_empty(), "records from before there were any");
}

/// Four questions a passage, right or wrong together: a quarter as many items, wherever an error is told.
#[test]
fn questions_of_a_passage_tell_less_than_as_many_of_their_own() {
    let (right, wrong) = ([-1.0, -9.0, -9.0], [-9.0, -9.0, -1.0]);
    let items = |good: u64| {
        (0..400).map(|i| question(i, 0, if i / 4 % 10 < good { &right } else { &wrong })).collect()
    };
    let trials =
        [done(TrialKind::Suite, "base", "quiz", items(8)), done(TrialKind::Suite, "Q4_0", "quiz", items(6))];
    let mut manifest = manifest(&["base", "Q4_0"]);
    let alone = report(&manifest, &trials);
    manifest.suites[1].clusters = (0..400).map(|i| i / 4).collect();
    let shared = report(&manifest, &trials);
    let twice = |shared: Option<f64>, alone: Option<f64>| {
        let ratio = shared.zip(alone).map(|(shared, alone)| shared / alone);
        assert!(ratio.is_some_and(|ratio| (ratio - 2.0).abs() < 0.01), "{ratio:?}");
    };
    let accuracy = |report: &Report| row(report, "Q4_0", "quiz", "acc_norm").clone();
    assert_eq!(accuracy(&shared).value, accuracy(&alone).value);
    twice(accuracy(&shared).stderr, accuracy(&alone).stderr);
    let width =
        |report: &Report| accuracy(report).ci_high.zip(accuracy(report).ci_low).map(|(high, low)| high - low);
    assert!(width(&shared).unwrap() > 1.9 * width(&alone).unwrap());
    let left = |report: &Report| {
        report.capabilities.iter().find(|row| row.variant == "Q4_0").unwrap().retained_stderr
    };
    twice(left(&shared), left(&alone));
}

#[test]
fn questions_are_compared_on_the_items_both_have() {
    let (right, wrong) = ([-1.0, -9.0, -9.0], [-9.0, -9.0, -1.0]);
    let base =
        vec![question(0, 0, &right), question(1, 0, &right), question(2, 0, &wrong), question(3, 0, &right)];
    let other =
        vec![question(0, 0, &wrong), question(1, 0, &wrong), question(2, 0, &right), failed(3, "why")];
    let trials =
        [done(TrialKind::Suite, "base", "quiz", base), done(TrialKind::Suite, "Q4_0", "quiz", other)];
    let report = report(&manifest(&["base", "Q4_0"]), &trials);
    let acc = report.comparisons.iter().find(|c| c.metric == "acc").unwrap();
    assert!(near(acc.delta, -1.0 / 3.0) && near(acc.delta_stderr, 2.0 / 3.0));
    assert_eq!((acc.flips_lost, acc.flips_won, acc.n), (Some(2), Some(1), 3));
    let text = report.comparisons.iter().find(|c| c.suite == "book").unwrap();
    assert_eq!((text.metric.as_str(), text.delta, text.flips_lost), ("ppl", None, None));
}

#[test]
fn a_suite_on_which_the_base_guesses_ranks_nobody() {
    let (right, wrong) = ([-1.0, -9.0, -9.0], [-9.0, -9.0, -1.0]);
    let answers = |rights: u64| -> Vec<ItemRecord> {
        (0..12).map(|i| question(i, 0, if i < rights { &right } else { &wrong })).collect()
    };
    let measured = |base: u64| {
        let trials = [
            done(TrialKind::Suite, "base", "quiz", answers(base)),
            done(TrialKind::Suite, "Q4_0", "quiz", answers(12)),
            quantized("base", 900),
            quantized("Q4_0", 400),
        ];
        report(&manifest(&["base", "Q4_0"]), &trials)
    };
    let quiz = |report: &Report| {
        let summary = report.suites.iter().find(|s| s.name == "quiz").unwrap().no_signal;
        (summary, report.frontier.iter().filter(|f| f.axis_y.starts_with("quiz.")).count())
    };
    assert_eq!(quiz(&measured(11)), (false, 2));
    // 4 of 12, at chance 1 in 4: the interval reaches it.
    assert_eq!(quiz(&measured(4)), (true, 0));
    let unmeasured = report(&manifest(&["base", "Q4_0"]), &[]);
    assert!(!quiz(&unmeasured).0, "nothing is known of it yet");
}

#[test]
fn failed_and_empty_trials_keep_a_row_with_their_reason() {
    let crashed = TrialData {
        status: Status::Crashed,
        reason: "signal 6".to_owned(),
        ..done(TrialKind::Suite, "Q4_0", "book", chunks())
    };
    let trials = [
        quantized("Q4_0", 400),
        TrialData { outcome: None, ..done(TrialKind::Speed, "Q4_0", "", Vec::new()) },
        crashed,
        done(TrialKind::Suite, "Q4_0", "quiz", Vec::new()),
        done(TrialKind::Suite, "base", "quiz", vec![failed(0, "no"), failed(1, "never")]),
    ];
    let report = report(&manifest(&["base", "Q4_0"]), &trials);
    let partial = row(&report, "Q4_0", "book", "kld_mean");
    assert!(partial.value.is_some());
    assert_eq!((partial.status.as_str(), partial.reason.as_str()), ("crashed", "signal 6"));
    let empty: Vec<_> = report.metrics.iter().filter(|m| m.suite == "quiz").collect();
    assert_eq!(empty.len(), 2);
    assert_eq!((empty[0].value, empty[0].reason.as_str()), (None, "2 items failed: no"));
    assert_eq!((empty[1].value, empty[1].status.as_str(), empty[1].reason.as_str()), (None, "done", ""));
    assert_eq!(report.variants[1].status, "book: crashed");
    assert_eq!((report.variants[1].file_bytes, report.variants[1].bpw), (Some(400), Some(4.0)));
}

#[test]
fn chunks_that_cannot_be_used_are_counted_and_left_out() {
    let mut items = chunks();
    if let ItemScore::Chunk(chunk) = &mut items[0].score {
        chunk.kld.0.pop();
    }
    if let ItemScore::Chunk(chunk) = &mut items[1].score {
        chunk.nonfinite = 4;
    }
    let measured = perplexity::measure(&items, 1, false);
    assert_eq!(measured.n, 40);
    assert_eq!(
        measured.notes,
        ["1 item failed: its columns differ in length", "4 tokens left out because a logit was not finite"]
    );
}

#[test]
fn a_result_that_is_not_finite_is_missing_and_says_so() {
    let mut items = chunks();
    if let ItemScore::Chunk(chunk) = &mut items[0].score {
        chunk.kld.0[3] = f32::INFINITY;
    }
    let report = report(&manifest(&["base"]), &[done(TrialKind::Suite, "base", "book", items)]);
    let kld = row(&report, "base", "book", "kld_mean");
    assert_eq!((kld.value, kld.stderr, kld.ci_low), (None, None, None));
    assert_eq!(kld.reason, "the result is not finite");
    let ppl = row(&report, "base", "book", "ppl");
    assert!(ppl.value.is_some() && ppl.reason.is_empty());
}

#[test]
fn a_kv_variant_shares_the_file_of_its_recipe() {
    let manifest = manifest(&["base", "Q4_0", "Q4_0/kv=q8_0"]);
    let speed = Speed { pp512_tps: vec![10.0, 14.0], tg128_tps: vec![5.0], ..Speed::default() };
    let speed = TrialData {
        outcome: Some(Outcome::Speed(speed)),
        ..done(TrialKind::Speed, "Q4_0/kv=q8_0", "", Vec::new())
    };
    let report = report(&manifest, &[quantized("Q4_0", 400), speed]);
    assert_eq!(report.variants[2].file_bytes, Some(400));
    assert_eq!((report.variants[2].pp512_tps, report.variants[1].pp512_tps), (Some(12.0), None));
    assert_eq!((report.variants[2].tg128_tps, report.variants[2].tg128_tps_sd), (Some(5.0), None));
    assert_eq!(report.variants[2].peak_rss_bytes, None, "0 was not measured");
}

#[test]
fn a_larger_file_that_is_no_better_is_off_the_frontier() {
    let trials = [
        done(TrialKind::Suite, "base", "book", base_chunks()),
        done(TrialKind::Suite, "Q4_0", "book", chunks()),
        done(TrialKind::Suite, "Q4_1", "book", chunks()),
        quantized("Q4_0", 400),
        quantized("Q4_1", 450),
    ];
    let report = report(&manifest(&["base", "Q4_0", "Q4_1", "Q5_0"]), &trials);
    let on = ["base", "Q4_0", "Q4_1", "Q5_0"].map(|v| report.on_frontier(v));
    assert_eq!(on, [Some(true), Some(true), Some(false), None]);
}

/// Chunks whose divergence at every token is this, give or take a quarter by chunk.
fn diverging(kld: f32) -> Vec<ItemRecord> {
    let mut items = chunks();
    for (item, scale) in items.iter_mut().zip([0.75, 1.0, 1.25]) {
        if let ItemScore::Chunk(chunk) = &mut item.score {
            chunk.kld.0.fill(kld * scale);
        }
    }
    items
}

#[test]
fn a_divergence_within_the_noise_is_no_difference() {
    let variants = ["base", "Q8_0", "Q6_K", "Q5_0", "Q4_0"];
    let mut manifest = manifest(&variants);
    let without_floor = manifest.clone();
    manifest.trials.push(spec(TrialKind::Noise, "base", "book"));
    let mut trials = vec![
        done(TrialKind::Suite, "base", "book", base_chunks()),
        done(TrialKind::Suite, "Q8_0", "book", diverging(1e-4)),
        done(TrialKind::Suite, "Q6_K", "book", diverging(1e-5)),
        done(TrialKind::Suite, "Q5_0", "book", diverging(4e-4)),
        quantized("Q8_0", 500),
        quantized("Q6_K", 600),
        quantized("Q5_0", 400),
    ];
    let pending = report(&manifest, &trials);
    let floor = row(&pending, "base", "book", "kld_noise_floor");
    assert_eq!((floor.value, floor.status.as_str(), floor.reason.as_str()), (None, "pending", "not begun"));
    assert_eq!(pending.variants[0].status, "quantize: pending");

    trials.push(done(TrialKind::Noise, "base", "book", diverging(1e-4)));
    let measured = report(&manifest, &trials);
    let floor = measured.noise_floor("book").expect("a floor");
    assert_eq!((floor.variant.as_str(), floor.n, floor.higher_is_better), ("base", 60, false));
    assert!((floor.value.unwrap() - 1e-4).abs() < 1e-9 && floor.ci_high.unwrap() > 1.1e-4);
    assert!(row(&measured, "base", "book", "same_top_p_noise_floor").higher_is_better);
    let verdict = |report: &Report, variant: &str| {
        let mut rows = report.comparisons.iter().filter(|c| c.variant == variant && !c.verdict.is_empty());
        let found = rows.next().map(|c| (c.metric.clone(), c.verdict.clone()));
        assert!(rows.next().is_none(), "one verdict a variant and text");
        found
    };
    let says = |word: &str| Some(("kld_mean".to_owned(), word.to_owned()));
    assert_eq!(verdict(&measured, "Q8_0"), says("indistinguishable"), "at the floor");
    assert_eq!(verdict(&measured, "Q6_K"), says("indistinguishable"), "under it");
    assert_eq!(verdict(&measured, "Q5_0"), says("different"));
    assert_eq!(verdict(&measured, "Q4_0"), None, "not measured yet");
    assert!(measured.is_indistinguishable("Q8_0", "book") && !measured.is_indistinguishable("Q5_0", "book"));
    // Q6_K diverges less than Q8_0 and is larger: within the noise that is no merit, and neither is the base's 0.
    let on = |report: &Report| ["base", "Q8_0", "Q6_K", "Q5_0"].map(|v| report.on_frontier(v));
    assert_eq!(on(&measured), [Some(false), Some(true), Some(false), Some(true)]);

    // A sweep that was recorded before there were floors.
    let earlier = report(&without_floor, &trials);
    assert_eq!(on(&earlier), [Some(true); 4]);
    assert!(
        earlier.comparisons.iter().all(|c| c.verdict.is_empty()) && earlier.noise_floor("book").is_none()
    );
}

#[test]
fn trials_the_manifest_does_not_name_do_not_count() {
    let mut manifest = manifest(&["base"]);
    manifest.trials.clear();
    let report = report(&manifest, &[done(TrialKind::Suite, "base", "book", chunks())]);
    assert!(report.metrics.is_empty());
}

#[test]
fn the_same_input_gives_the_same_report() {
    let manifest = manifest(&["base", "Q4_0"]);
    let trials = [
        done(TrialKind::Suite, "base", "book", base_chunks()),
        done(TrialKind::Suite, "Q4_0", "book", chunks()),
    ];
    assert_eq!(report(&manifest, &trials), report(&manifest, &trials));
}

/// Chunks of two texts, the second two chunks long; index and id as a sweep gives them.
fn two_texts() -> Vec<ItemRecord> {
    let named = |(i, item): (usize, ItemRecord)| {
        let id = if i < 3 { format!("prose/chunk-{i}") } else { format!("talk/chunk-{}", i - 3) };
        ItemRecord { index: i as u64, id, ..item }
    };
    // Chunks that the first text has not: reversed columns pair other tokens with each other.
    let mut more = chunks();
    for item in &mut more {
        if let ItemScore::Chunk(chunk) = &mut item.score {
            chunk.nll.0.reverse();
            chunk.kld.0.iter_mut().for_each(|kld| *kld /= 4.0);
        }
    }
    chunks().into_iter().chain(more.into_iter().take(2)).enumerate().map(named).collect()
}

fn two_text_manifest() -> Manifest {
    let mut manifest = manifest(&["base", "Q4_K_M"]);
    let corpus = |name: &str| CorpusRecord { name: name.to_owned(), items_total: 9, items_planned: 3 };
    // One that the limit leaves out does not count.
    let unplanned = CorpusRecord { items_planned: 0, ..corpus("rest") };
    manifest.suites[0].corpora = vec![corpus("prose"), corpus("talk"), unplanned];
    manifest
}

#[test]
fn several_texts_are_averaged_without_weights_and_stand_alone_too() {
    let items = two_texts();
    let report = report(&two_text_manifest(), &[done(TrialKind::Suite, "Q4_K_M", "book", items.clone())]);
    let alone = [perplexity::measure(&items[..3], 1, false), perplexity::measure(&items[3..], 1, false)];
    for metric in ["ppl", "ppl_ratio", "kld_mean", "same_top_p", "delta_p_mean", "delta_p_rms"] {
        let [a, b] = &alone;
        let of = |measured: &super::measure::Measured| {
            measured.measures.iter().find(|m| m.metric == metric).cloned().unwrap()
        };
        let (a, b) = (of(a), of(b));
        let average = row(&report, "Q4_K_M", "book", metric);
        assert!(near(average.value, f64::midpoint(a.value.unwrap(), b.value.unwrap())), "{metric}");
        let error = a.stderr.unwrap().hypot(b.stderr.unwrap()) / 2.0;
        assert!(near(average.stderr, error), "{metric}");
        let (low, high) = (average.ci_low.unwrap(), average.ci_high.unwrap());
        assert!(low <= average.value.unwrap() && average.value.unwrap() <= high, "{metric}");
        for (name, measure, n) in [("book/prose", &a, 60), ("book/talk", &b, 40)] {
            let own = row(&report, "Q4_K_M", name, metric);
            assert_eq!((own.value, own.stderr, own.n), (measure.value, measure.stderr, n), "{name} {metric}");
            assert_eq!(own.ci_low.zip(own.ci_high), measure.interval);
        }
        assert_eq!((average.n, average.reason.as_str()), (100, ""));
    }
    // Quantiles are a text's own.
    assert!(!report.metrics.iter().any(|m| m.suite == "book" && m.metric == "kld_p99"));
    assert!(row(&report, "Q4_K_M", "book/talk", "kld_max").value.is_some());
    assert!(!report.metrics.iter().any(|m| m.suite == "book/rest"));
    // The difference of the average is the average of the differences.
    let of = |items| perplexity::difference(items).unwrap();
    let (a, b) = (of(&items[..3]), of(&items[3..]));
    let compared = report.comparisons.iter().find(|c| c.suite == "book").unwrap();
    assert!(near(compared.delta, f64::midpoint(a.delta, b.delta)));
    assert!(near(compared.delta_stderr, a.stderr.hypot(b.stderr) / 2.0));
    assert_eq!(compared.n, 100);
    // Figures know the suite alone.
    assert_eq!(report.suites.len(), 2);
    assert!(report.frontier.iter().all(|point| point.axis_y != "book/prose.kld_mean"));
}

#[test]
fn there_is_no_average_before_every_text_has_a_chunk() {
    let items = two_texts()[..3].to_vec();
    let report = report(&two_text_manifest(), &[done(TrialKind::Suite, "Q4_K_M", "book", items)]);
    let average = row(&report, "Q4_K_M", "book", "kld_mean");
    assert_eq!((average.value, average.reason.as_str()), (None, "talk has no scored chunk"));
    assert!(row(&report, "Q4_K_M", "book/prose", "kld_mean").value.is_some());
    let compared = report.comparisons.iter().find(|c| c.suite == "book").unwrap();
    assert_eq!(compared.delta, None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    /// Against the plain definition, over texts of any numbers of chunks and tokens.
    #[test]
    fn the_macro_average_is_the_mean_of_the_texts_means(
        texts in prop::collection::vec(prop::collection::vec(
            prop::collection::vec((0.0_f32..8.0, 0.0_f32..8.0, 0.0_f32..2.0), 2..6), 1..5), 1..4),
    ) {
        let chunk = |tokens: &Vec<(f32, f32, f32)>| {
            let zeros = F32Array(vec![0.0; tokens.len()]);
            let column = |f: fn(&(f32, f32, f32)) -> f32| F32Array(tokens.iter().map(f).collect());
            let (nll, nll_base, kld) = (column(|t| t.0), column(|t| t.1), column(|t| t.2));
            let same_top = vec![0; tokens.len()];
            ChunkScore { nll, nll_base, kld, delta_p: zeros, same_top, ..ChunkScore::default() }
        };
        let items: Vec<Vec<ItemRecord>> = texts.iter().map(|text| {
            let item = |(i, tokens)| ItemRecord {
                index: i as u64, id: String::new(), score: ItemScore::Chunk(Box::new(chunk(tokens))),
            };
            text.iter().enumerate().map(item).collect()
        }).collect();
        let parts: Vec<(&str, Vec<&ItemRecord>)> =
            items.iter().map(|items| ("x", items.iter().collect())).collect();
        let average = perplexity::average(&parts, 1, false);
        let mean_of = |f: fn(&[(f32, f32, f32)]) -> f64| {
            texts.iter().map(|text| f(&text.concat())).sum::<f64>() / texts.len() as f64
        };
        let kld = mean_of(|t| t.iter().map(|x| f64::from(x.2)).sum::<f64>() / t.len() as f64);
        let ppl = mean_of(|t| (t.iter().map(|x| f64::from(x.0)).sum::<f64>() / t.len() as f64).exp());
        let told = |metric| average.measures.iter().find(|m| m.metric == metric).and_then(|m| m.value);
        prop_assert!(near(told("kld_mean"), kld), "{:?} {kld}", told("kld_mean"));
        prop_assert!(near(told("ppl"), ppl), "{:?} {ppl}", told("ppl"));
        let interval = average.measures.iter().find(|m| m.metric == "kld_mean").and_then(|m| m.interval);
        prop_assert_eq!(interval.is_some(), texts.iter().all(|text| text.len() > 1));
    }
}
