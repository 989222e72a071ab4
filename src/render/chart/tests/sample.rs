//! A made-up sweep for the tests: the ladder of a small model, as close to real numbers as needed.

use crate::analyze::lookup::Places;
use crate::analyze::report::{
    About, CapabilityRow, ComparisonRow, CostRow, CostSheet, Crossing, Curve, CurveKind, FrontierRow,
    LongContextRow, LookRow, MetricRow, Reference, ReferencePoint, Report, SpeculationRow, SpeedRow,
    SuiteSummary, VariantRow,
};

/// Name, bpw, mean KL divergence, accuracy.
pub type Rung = (&'static str, f64, f64, f64);

/// The ladder of 12 variants under the base.
pub const LADDER: [Rung; 12] = [
    ("Q8_0", 8.50, 0.0031, 0.421),
    ("Q6_K", 6.57, 0.0223, 0.418),
    ("Q5_K_M", 5.77, 0.0528, 0.423),
    ("Q5_0", 5.55, 0.0871, 0.409),
    ("Q4_K_M", 5.02, 0.182, 0.404),
    ("Q4_0", 4.85, 0.389, 0.391),
    ("IQ4_XS", 4.91, 0.214, 0.401),
    ("Q3_K_M", 4.02, 0.71, 0.362),
    ("Q3_K_S", 3.71, 1.12, 0.341),
    ("Q2_K", 3.16, 2.6, 0.297),
    ("TQ2_0", 2.34, 8.9, 0.251),
    ("TQ1_0", 1.98, 10.1, 0.246),
];

/// Twenty variants, many of them close together.
pub const CROWD: [Rung; 20] = [
    ("Q8_0", 8.50, 0.0031, 0.421),
    ("Q6_K", 6.57, 0.0223, 0.418),
    ("Q5_1", 6.10, 0.0728, 0.413),
    ("Q5_K_M", 5.77, 0.0528, 0.423),
    ("Q5_K_S", 5.61, 0.0561, 0.419),
    ("Q5_0", 5.55, 0.0871, 0.409),
    ("Q4_1", 5.27, 0.320, 0.396),
    ("Q4_K_M", 5.02, 0.182, 0.404),
    ("Q4_K_S", 4.88, 0.196, 0.403),
    ("IQ4_NL", 4.93, 0.209, 0.401),
    ("Q4_0", 4.85, 0.389, 0.391),
    ("IQ4_XS", 4.91, 0.214, 0.401),
    ("IQ4_XS+imatrix", 4.91, 0.181, 0.405),
    ("auto@4.85bpw", 4.86, 0.165, 0.408),
    ("Q3_K_L", 4.31, 0.58, 0.371),
    ("Q3_K_M", 4.02, 0.71, 0.362),
    ("Q3_K_S", 3.71, 1.12, 0.341),
    ("Q2_K", 3.16, 2.6, 0.297),
    ("TQ2_0", 2.34, 8.9, 0.251),
    ("TQ1_0", 1.98, 10.1, 0.246),
];

/// A report of these rungs over a base, all done.
pub fn report(rungs: &[Rung]) -> Report {
    let mut report = Report {
        about: About {
            sweep: "smollm2-ladder".into(),
            date: "2026-11-22".into(),
            machine: "Intel Xeon Platinum 8481C, 2 cores, 8 GB".into(),
            llama_cpp: "b6953 (5b2093bec)".into(),
            bitfrontier: "0.1.0".into(),
            base: "SmolLM2-135M-Instruct, rotated, F16".into(),
            base_note: "a stand-in: the Q4_1 file of SmolLM2-135M-Instruct, dequantized and mapped to a width of 768 by a rotation that leaves its function as it was, as widths that do not divide by 256 keep K-quants from being what they are called.".into(),
            drawn: String::new(),
        },
        suites: suites(),
        variants: Vec::new(),
        metrics: Vec::new(),
        comparisons: Vec::<ComparisonRow>::new(),
        frontier: Vec::new(),
        fallbacks: Vec::new(),
        speed: Vec::new(),
        speculation: Vec::new(),
        trials: Vec::new(),
        capabilities: Vec::new(),
        long_context: Vec::new(),
            cliffs: Vec::new(),
            looks: Vec::new(),
            metric_places: Places::default(),
            comparison_places: Places::default(),
            costs: CostSheet::default(),
    };
    add(&mut report, ("base", 16.0, 0.0, 0.420));
    for rung in rungs {
        add(&mut report, *rung);
    }
    for suite in ["arc_challenge.acc_norm", "moby_dick.kld_mean", "winogrande.acc"] {
        frontier(&mut report, suite);
    }
    report
}

/// A box here, one that is there, a rented one, an API and a subscription, with every variant's price; and what another
/// model scores on the second suite.
pub(super) fn costs(report: &mut Report) {
    let price = |variant: &str, usd: f64| CostRow {
        variant: variant.into(),
        scenario: "owned.here".into(),
        kind: "price".into(),
        usd_per_mtok_out_full: Some(usd),
        source: "measured, one stream".into(),
        ..CostRow::default()
    };
    let task = CostRow { kind: "task".into(), suite: "winogrande".into(), ..price("base", 1.0) };
    let variants = report.variants.iter();
    let mut rows: Vec<CostRow> = variants.map(|v| price(&v.variant, 0.05 * v.bpw.unwrap_or(16.0))).collect();
    rows.push(task);
    let over = |usd: &dyn Fn(f64) -> f64, end: f64| -> Vec<(f64, f64)> {
        (-20..=40)
            .map(|i| 10f64.powf(f64::from(i) / 10.0))
            .filter(|v| *v <= end)
            .map(|v| (v, usd(v)))
            .collect()
    };
    let curve = |scenario: &str, kind, points| Curve { scenario: scenario.into(), kind, points };
    report.costs = CostSheet {
        rows,
        workload:
            "coding: 4 input tokens to an output token, 70% of them cached, 5 million output tokens a month"
                .into(),
        dated: "2026-05".into(),
        variant: report.variants.last().map_or(String::new(), |v| v.variant.clone()),
        scenario: "owned.here".into(),
        curves: vec![
            curve("api.it", CurveKind::Api, over(&|_| 3.0, 1e4)),
            curve("plan.flat", CurveKind::Plan, over(&|v| 20.0 * (v / 10.0).ceil() / v, 80.0)),
            curve("owned.here", CurveKind::Owned, over(&|v| 30.0 / v + 0.5, 40.0)),
            curve("owned.there", CurveKind::OwnedIdle, over(&|v| 1.0 / v + 0.5, 40.0)),
            curve("rented.card", CurveKind::Rented, over(&|_| 0.8, 500.0)),
        ],
        crossings: vec![Crossing {
            scenario: "owned.here".into(),
            against: "api.it".into(),
            mtok: 12.0,
            usd: 3.0,
        }],
        references: vec![ReferencePoint {
            reference: Reference {
                model: "Another-Model-8B-Instruct".into(),
                api: "it".into(),
                suite: "winogrande".into(),
                metric: "acc".into(),
                value: 0.77,
                source: "a paper".into(),
                date: "2026-01".into(),
                n: None,
                stderr: None,
                suite_version: None,
                input_tokens: None,
                cached_tokens: None,
                output_tokens: None,
            },
            usd_per_mtok_out: Some(3.0),
        }],
    };
}

/// Five capabilities that fall one after the other, and answers that grow longer.
pub(super) fn capabilities(report: &mut Report) {
    let words = [("knowledge", 2.0), ("reasoning", 2.6), ("maths", 3.4), ("code", 3.8), ("tools", 4.4)];
    for variant in report.variants.clone() {
        let bpw = variant.bpw.expect("bits");
        for (place, (word, edge)) in words.into_iter().enumerate() {
            let left = 1.0 / (1.0 + (2.5 * (edge - bpw)).exp());
            report.capabilities.push(CapabilityRow {
                variant: variant.variant.clone(),
                capability: word.into(),
                suites: format!("{word}_one {word}_two"),
                n: 400,
                score: Some(0.6 * left),
                base_score: Some(0.6),
                retained: (place < 4).then_some(left),
                retained_stderr: Some(0.03),
                ci_low: Some(left - 0.06),
                ci_high: Some(left + 0.06),
                partial: if place == 0 { "knowledge_one".into() } else { String::new() },
                left_out: if place == 4 { "tools_one: no signal".into() } else { String::new() },
            });
        }
        for (sign, value) in
            [("answer_tokens", 40.0 + 200.0 / bpw), ("cut_off", 1.0 / bpw), ("loops", 0.5 / bpw)]
        {
            let base = if sign == "answer_tokens" { 52.5 } else { 1.0 / 16.0 };
            let mut row = report.metrics[0].clone();
            (row.variant, row.suite, row.metric) =
                (variant.variant.clone(), "winogrande".into(), sign.into());
            row.value = Some(value);
            report.metrics.push(row);
            report.comparisons.push(ComparisonRow {
                variant: variant.variant.clone(),
                suite: "winogrande".into(),
                metric: sign.into(),
                delta: Some(value - base),
                delta_stderr: Some(value / 30.0),
                n: 400,
                ..ComparisonRow::default()
            });
        }
    }
}

fn suites() -> Vec<SuiteSummary> {
    let suite = |name: &str, title: &str, metric: &str, higher, chance, partial: &str, n_unit| SuiteSummary {
        name: name.into(),
        title: title.into(),
        main_metric: metric.into(),
        higher_is_better: higher,
        chance,
        partial: partial.into(),
        n_unit,
        no_signal: false,
    };
    vec![
        suite(
            "moby_dick",
            "Moby Dick, 20 chunks of 512 tokens",
            "kld_mean",
            false,
            None,
            "the first 20 chunks",
            "tokens",
        ),
        suite("arc_challenge", "ARC-Challenge, 0-shot", "acc_norm", true, Some(0.25), "", "items"),
        suite(
            "winogrande",
            "WinoGrande dev",
            "acc",
            true,
            Some(0.5),
            "400 of 1,267 items, as planned",
            "items",
        ),
    ]
}

fn add(report: &mut Report, (name, bpw, kld, acc): Rung) {
    let file = (bpw * 226_800_000.0 / 8.0) as u64;
    report.variants.push(VariantRow {
        variant: name.into(),
        recipe: name.into(),
        type_name: name.into(),
        file_bytes: Some(file),
        bpw: Some(bpw),
        peak_rss_bytes: Some(file + 61_000_000 + (bpw * 1e6) as u64),
        pp512_tps: Some(900.0 - 20.0 * (bpw - 5.0).abs() + 250.0 * (bpw * 7.0).sin()),
        pp512_tps_sd: Some(12.0 + 20.0 * (bpw * 3.0).cos().abs()),
        tg128_tps: Some(560.0 / (bpw + 1.5) + 8.0 * (bpw * 5.0).sin()),
        tg128_tps_sd: Some(1.0 + (bpw * 3.0).sin().abs()),
        status: "done".into(),
        ..VariantRow::default()
    });
    let mut metric = |suite: &str, metric: &str, value: f64, half: f64, n, higher| {
        report.metrics.push(MetricRow {
            variant: name.into(),
            suite: suite.into(),
            metric: metric.into(),
            value: Some(value),
            stderr: Some(half / 1.96),
            ci_low: Some(value - half),
            ci_high: Some(value + half),
            n,
            higher_is_better: higher,
            chance: None,
            status: "done".into(),
            reason: String::new(),
            partial: String::new(),
        });
    };
    metric("moby_dick", "kld_mean", kld, kld * 0.06, 5120, false);
    metric("moby_dick", "ppl", 27.84 * (kld * 0.7).exp(), 0.9 * (kld * 0.7).exp(), 5120, false);
    metric("moby_dick", "ppl_ratio", (kld * 0.7).exp(), 0.05 * kld * (kld * 0.7).exp(), 5120, false);
    metric("arc_challenge", "acc_norm", acc, 0.027, 1172, true);
    metric("winogrande", "acc", 0.49 + (acc - 0.24) * 0.5, 0.049, 400, true);
}

fn frontier(report: &mut Report, axis: &str) {
    let (suite, metric) = axis.split_once('.').unwrap();
    let points: Vec<(String, f64, f64, bool)> = report
        .variants
        .iter()
        .filter_map(|v| {
            let row = report.metric(&v.variant, suite, metric)?;
            Some((v.variant.clone(), v.file_bytes? as f64, row.value?, row.higher_is_better))
        })
        .collect();
    for (name, x, y, higher) in &points {
        let beaten = points.iter().any(|(other, ox, oy, _)| {
            let good = if *higher { oy >= y } else { oy <= y };
            other != name && ox <= x && good
        });
        report.frontier.push(FrontierRow {
            variant: name.clone(),
            axis_x: "file_bytes".into(),
            axis_y: axis.into(),
            x: *x,
            y: *y,
            on_frontier: !beaten,
            ..FrontierRow::default()
        });
    }
}

/// Gives the text a noise floor, and the variants named a divergence that does not rise above it.
pub fn noise_floor(report: &mut Report, floor: f64, hidden: &[&str]) {
    let row = |variant: &str, metric: &str| MetricRow {
        variant: variant.into(),
        suite: "moby_dick".into(),
        metric: metric.into(),
        value: Some(floor),
        stderr: Some(floor * 0.1),
        ci_low: Some(floor * 0.8),
        ci_high: Some(floor * 1.2),
        n: 4080,
        higher_is_better: false,
        chance: None,
        status: "done".into(),
        reason: String::new(),
        partial: String::new(),
    };
    report.metrics.push(row("base", "kld_noise_floor"));
    for name in hidden {
        report.metrics.retain(|m| !(m.variant == *name && m.metric == "kld_mean"));
        report.metrics.push(row(name, "kld_mean"));
        report.comparisons.push(ComparisonRow {
            variant: (*name).into(),
            suite: "moby_dick".into(),
            metric: "kld_mean".into(),
            delta: Some(floor),
            delta_stderr: Some(floor * 0.1),
            n: 5120,
            verdict: "indistinguishable".into(),
            ..ComparisonRow::default()
        });
        for point in report.frontier.iter_mut().filter(|f| f.variant == *name && f.axis_y.contains("kld")) {
            point.y = floor;
        }
    }
}

/// Gives every variant a speed surface over these depths and sequences.
pub fn surface(report: &mut Report, depths: &[u32], parallel: &[u32]) {
    for row in &report.variants {
        let (Some(pp), Some(tg)) = (row.pp512_tps, row.tg128_tps) else { continue };
        let mut push = |kind: &str, depth: u32, parallel: u32, mean: f64| {
            let reads = kind.contains("pp") || kind == "ttft";
            report.speed.push(SpeedRow {
                variant: row.variant.clone(),
                kind: kind.into(),
                prompt: reads.then_some(512),
                generate: (!reads).then_some(128),
                depth,
                parallel,
                mean: Some(mean),
                sd: Some(mean * 0.02),
                n: 5,
                unit: if kind == "ttft" { "s" } else { "tokens/s" }.into(),
                status: "done".into(),
                ..SpeedRow::default()
            });
        };
        for depth in depths {
            let slower = 1.0 + f64::from(*depth) / 3000.0;
            push("pp", *depth, 1, pp / slower);
            push("ttft", *depth, 1, 512.0 * slower / pp);
            push("tg", *depth, 1, tg / slower);
            for parallel in parallel {
                let together = f64::from(*parallel);
                push("parallel_pp", *depth, *parallel, pp / slower);
                push("parallel_tg", *depth, *parallel, tg * together / (0.8 + 0.2 * together) / slower);
            }
        }
    }
}

/// Drafts for the base, by their names and the ratio of their shortest draft.
pub fn drafts(report: &mut Report, drafts: &[(&str, f64)]) {
    for (draft, ratio) in drafts {
        for (step, length) in [2, 4, 8, 16].into_iter().enumerate() {
            let ratio = ratio * 0.85_f64.powi(step as i32);
            report.speculation.push(SpeculationRow {
                target: "base".into(),
                draft: (*draft).into(),
                length: Some(length),
                acceptance: Some(0.9 * 0.8_f64.powi(step as i32)),
                ratio: Some(ratio),
                ratio_ci_low: Some(ratio * 0.95),
                ratio_ci_high: Some(ratio * 1.05),
                status: "done".into(),
                ..SpeculationRow::default()
            });
        }
    }
}

/// Variants run with a quantized KV cache beside those that are there.
pub fn caches(report: &mut Report, kinds: &[(&str, f64)]) {
    for row in &mut report.variants {
        (row.model_buffer_bytes, row.context_buffer_bytes) = (row.file_bytes, Some(20 << 20));
    }
    for (name, kind, share) in report
        .variants
        .iter()
        .flat_map(|v| kinds.iter().map(|(kind, share)| (v.variant.clone(), *kind, *share)))
        .collect::<Vec<_>>()
    {
        let own = format!("{name}/kv={kind}");
        let rows: Vec<MetricRow> = report.metrics.iter().filter(|m| m.variant == name).cloned().collect();
        report.metrics.extend(rows.into_iter().map(|m| MetricRow {
            variant: own.clone(),
            value: m.value.map(|v| v * 1.1),
            ci_low: m.ci_low.map(|v| v * 1.1),
            ci_high: m.ci_high.map(|v| v * 1.1),
            ..m
        }));
        let Some(row) = report.variants.iter().find(|v| v.variant == name).cloned() else { continue };
        let context = row.context_buffer_bytes.map(|b| (b as f64 * share) as u64);
        report.variants.push(VariantRow { variant: own, context_buffer_bytes: context, ..row });
    }
}

/// Gives every variant, and each with a quantized KV cache, long prompts of two kinds; the longest could not be run.
pub fn long_prompts(report: &mut Report, lengths: &[u64], depths: &[u64]) {
    report.suites.push(SuiteSummary { name: "haystack".into(), ..report.suites[1].clone() });
    for row in report.variants.clone() {
        for (step, length) in lengths.iter().enumerate() {
            let cells = depths.iter().map(|depth| ("multi_key", Some(*depth)));
            for (kind, depth) in cells.chain([("common_words", None)]) {
                let runs = step + 1 < lengths.len();
                report.long_context.push(LongContextRow {
                    variant: row.variant.clone(),
                    suite: "haystack".into(),
                    kind: kind.into(),
                    length: *length,
                    depth,
                    metric: "contains".into(),
                    value: runs.then(|| 1.0 / (1.0 + step as f64 * 0.4)),
                    n: if runs { 4 } else { 0 },
                    status: if runs { "done" } else { "failed" }.into(),
                    reason: if runs { "" } else { "it does not fit" }.into(),
                    ..LongContextRow::default()
                });
            }
        }
    }
}

/// Takes a variant's results away, as if its worker had crashed.
pub fn crash(report: &mut Report, name: &str, status: &str) {
    for variant in report.variants.iter_mut().filter(|v| v.variant == name) {
        *variant = VariantRow {
            variant: variant.variant.clone(),
            bpw: variant.bpw,
            file_bytes: variant.file_bytes,
            status: status.into(),
            ..VariantRow::default()
        };
    }
    for metric in report.metrics.iter_mut().filter(|m| m.variant == name) {
        metric.value = None;
        metric.ci_low = None;
        metric.ci_high = None;
        metric.status = status.into();
        metric.n = 0;
    }
    report.frontier.retain(|f| f.variant != name);
}

/// Looks of variants that were decided, or not, at the last of so many.
pub fn looks(report: &mut Report, variants: &[(&str, u64, &str)]) {
    for look in 1..=variants.iter().map(|(_, last, _)| *last).max().unwrap_or(0) {
        for (variant, last, rule) in variants.iter().filter(|(_, last, _)| look <= *last) {
            let half = 0.08 / look as f64;
            report.looks.push(LookRow {
                variant: (*variant).to_owned(),
                scope: "composite".to_owned(),
                look,
                items: 64 * look,
                of: 4000,
                delta: Some(-0.01),
                ci_low: Some(-0.01 - half),
                ci_high: Some(-0.01 + half),
                rule: if look == *last { (*rule).to_owned() } else { String::new() },
                suites: "arc_challenge hellaswag".to_owned(),
                tolerance: 0.02,
                precision: 0.01,
                ..LookRow::default()
            });
        }
    }
}

/// Suites of questions, each variant compared with the base on them; the first variant failed on the last.
pub fn compared(report: &mut Report, count: usize) {
    let template = report.suites.iter().find(|suite| suite.n_unit == "items").cloned().expect("a suite");
    report.suites.retain(|suite| suite.n_unit != "items");
    for number in 0..count {
        let name = format!("suite_number_{number}");
        report.suites.push(SuiteSummary { name: name.clone(), no_signal: number == 1, ..template.clone() });
        let variants = report.variants.iter().map(|v| v.variant.clone()).filter(|v| v != "base");
        for (place, variant) in variants.enumerate().collect::<Vec<_>>() {
            if number + 1 == count && place == 0 {
                continue;
            }
            let (lost, won) = (place as u64 * (4 + number as u64), place as u64 * 3);
            report.comparisons.push(ComparisonRow {
                variant,
                suite: name.clone(),
                metric: template.main_metric.clone(),
                delta: Some((won as f64 - lost as f64) / 400.0),
                flips_lost: Some(lost),
                flips_won: Some(won),
                n: 400,
                p: Some(0.01),
                p_holm: Some(if place > 5 { 0.02 } else { 1.0 }),
                ..ComparisonRow::default()
            });
        }
    }
}
