//! What a suite's items add up to, whatever the suite: a list of named values with their uncertainty, and how
//! they become rows of `metrics.csv`.

use std::borrow::Cow;

use serde::Serialize;

use super::planned::{Planned, Sheet, SuiteKind, by_corpus};
use super::report::MetricRow;
use super::{choice, generated, noise, perplexity};
use crate::journal::record::{ItemRecord, Status, SuiteRecord, TrialKind};

/// One metric over the items of one trial. A number that is not finite is missing.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Measure {
    /// Name, as in the CSV files.
    pub metric: Cow<'static, str>,
    /// Point estimate.
    pub value: Option<f64>,
    /// Standard error.
    pub stderr: Option<f64>,
    /// 95% interval.
    pub interval: Option<(f64, f64)>,
}

impl Measure {
    /// A measure of the numbers given, without those that are not finite.
    pub fn new(
        metric: impl Into<Cow<'static, str>>,
        value: f64,
        stderr: Option<f64>,
        interval: Option<(f64, f64)>,
    ) -> Self {
        let finite = value.is_finite();
        Self {
            metric: metric.into(),
            value: Some(value).filter(|_| finite),
            stderr: stderr.filter(|s| finite && s.is_finite()),
            interval: interval.filter(|(low, high)| finite && low.is_finite() && high.is_finite()),
        }
    }
}

/// All metrics over the items of one trial.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Measured {
    /// The metrics; none without scored items.
    pub measures: Vec<Measure>,
    /// Items or tokens behind them.
    pub n: u64,
    /// What was left out and why, one clause each.
    pub notes: Vec<String>,
}

/// A metric over some items of one suite, without a sweep around it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// Share of the items, or what else the metric is.
    pub value: f64,
    /// Standard error; absent where one item is all there is.
    pub stderr: Option<f64>,
    /// Items that could be scored.
    pub n: u64,
}

/// The metrics over items of a suite of questions, chosen or written; `clusters` of all its items by their index, none where
/// they share nothing.
#[must_use]
pub fn metrics(items: &[ItemRecord], clusters: &[u32]) -> Vec<Metric> {
    let written = items.iter().any(|item| generated::grades(item).is_some());
    let items: Vec<&ItemRecord> = items.iter().collect();
    let measured =
        if written { generated::measure(&items, clusters) } else { choice::measure(&items, clusters) };
    let metric = |m: &Measure| {
        let name = m.metric.clone().into_owned();
        Some(Metric { name, value: m.value?, stderr: m.stderr, n: measured.n })
    };
    measured.measures.iter().filter_map(metric).collect()
}

/// Whether more of a metric is better.
pub(super) fn higher_is_better(metric: &str) -> bool {
    metric == super::composite::METRIC
        || metric.starts_with("same_top_p")
        || choice::METRICS.contains(&metric)
        || generated::is_accuracy(metric)
}

/// `2 items failed: why the first did`; nothing if none failed.
pub(super) fn failed_note(reasons: &[String]) -> Option<String> {
    let first = reasons.first()?;
    let items = if reasons.len() == 1 { "item" } else { "items" };
    Some(format!("{} {items} failed: {first}", reasons.len()))
}

/// Rows of `metrics.csv`: variants and suites in plan order. A trial without values keeps a row for its suite's
/// main metric, with its status and reason.
pub(super) fn rows(sheet: &Sheet) -> Vec<MetricRow> {
    let mut rows = Vec::new();
    for variant in &sheet.manifest.variants {
        for suite in &sheet.manifest.suites {
            if let Some(trial) = sheet.suite_trial(&variant.name, &suite.name) {
                rows.extend(trial_rows(sheet, suite, trial));
            }
            let noise = sheet.noise_trial(&suite.name).filter(|t| t.spec.variant == variant.name);
            rows.extend(noise.into_iter().flat_map(|trial| noise::rows(sheet, suite, trial)));
        }
        rows.extend(sheet.of_variant(&variant.name).filter_map(failed_work));
    }
    rows
}

/// A file that could not be made or a speed that could not be measured: a row with its reason, not a gap.
fn failed_work(trial: &Planned) -> Option<MetricRow> {
    let (suite, metric, higher_is_better) = match trial.spec.kind {
        TrialKind::Quantize => ("quantize", "file_bytes", false),
        TrialKind::Speed => ("speed", "tg128_tps", true),
        TrialKind::Suite | TrialKind::Noise | TrialKind::Speculate => return None,
    };
    let failed = !matches!(trial.status(), Status::Done | Status::Pending);
    failed.then(|| MetricRow {
        variant: trial.spec.variant.clone(),
        suite: suite.to_owned(),
        metric: metric.to_owned(),
        value: None,
        stderr: None,
        ci_low: None,
        ci_high: None,
        n: 0,
        higher_is_better,
        chance: None,
        status: trial.status().word().to_owned(),
        reason: trial.reason().to_owned(),
        partial: String::new(),
    })
}

fn trial_rows(sheet: &Sheet, suite: &SuiteRecord, trial: &Planned) -> Vec<MetricRow> {
    let kind = sheet.kind_of(suite);
    let is_base = trial.spec.variant == sheet.base();
    let items: Vec<&ItemRecord> = trial.items().iter().collect();
    let measured = match kind {
        SuiteKind::Questions => choice::measure(&items, &suite.clusters),
        SuiteKind::Answers => generated::measure(&items, &suite.clusters),
        SuiteKind::Text if suite.corpora.is_empty() => {
            perplexity::measure(trial.items(), sheet.manifest.seed, is_base)
        }
        SuiteKind::Text => {
            perplexity::average(&by_corpus(suite, trial.items()), sheet.manifest.seed, is_base)
        }
    };
    let chance = suite.chance.filter(|_| kind != SuiteKind::Text);
    let mut rows = measured_rows(trial, &suite.main_metric, chance, &measured);
    for (corpus, items) in by_corpus(suite, trial.items()) {
        let measured = match kind {
            SuiteKind::Text => perplexity::measure(items, sheet.manifest.seed, is_base),
            SuiteKind::Questions => choice::measure(&items, &suite.clusters),
            SuiteKind::Answers => generated::measure(&items, &suite.clusters),
        };
        let named = |row| MetricRow { suite: format!("{}/{corpus}", suite.name), ..row };
        if !measured.measures.is_empty() {
            rows.extend(measured_rows(trial, &suite.main_metric, chance, &measured).into_iter().map(named));
        }
    }
    rows
}

/// One row a measure, or one for the main metric that says why there is none.
pub(super) fn measured_rows(
    trial: &Planned,
    main_metric: &str,
    chance: Option<f64>,
    measured: &Measured,
) -> Vec<MetricRow> {
    let empty = MetricRow {
        variant: trial.spec.variant.clone(),
        suite: trial.spec.suite.clone(),
        metric: main_metric.to_owned(),
        value: None,
        stderr: None,
        ci_low: None,
        ci_high: None,
        n: measured.n,
        higher_is_better: higher_is_better(main_metric),
        chance,
        status: trial.status().word().to_owned(),
        reason: reason(trial, &measured.notes),
        partial: String::new(),
    };
    let mut rows: Vec<MetricRow> = measured.measures.iter().map(|measure| filled(&empty, measure)).collect();
    if rows.is_empty() {
        rows.push(empty.clone());
    }
    rows
}

fn filled(empty: &MetricRow, measure: &Measure) -> MetricRow {
    let not_finite = if measure.value.is_none() { "the result is not finite" } else { "" };
    MetricRow {
        reason: joined([empty.reason.as_str(), not_finite].into_iter()),
        metric: measure.metric.clone().into_owned(),
        value: measure.value,
        stderr: measure.stderr,
        ci_low: measure.interval.map(|(low, _)| low),
        ci_high: measure.interval.map(|(_, high)| high),
        higher_is_better: higher_is_better(&measure.metric),
        ..empty.clone()
    }
}

/// The trial's own reason, then what was left out of it.
fn reason(trial: &Planned, notes: &[String]) -> String {
    joined(std::iter::once(trial.reason()).chain(notes.iter().map(String::as_str)))
}

fn joined<'a>(clauses: impl Iterator<Item = &'a str>) -> String {
    clauses.filter(|clause| !clause.is_empty()).collect::<Vec<_>>().join("; ")
}
