//! The composite score: the weighted mean of the main metrics of all suites that have a signal, with intervals from joint
//! resamples. It stands in every table as a suite of its own.

use super::joint::Joint;
use super::lookup::by_key;
use super::planned::{Planned, Sheet};
use super::report::{ComparisonRow, MetricRow, SuiteSummary};
use super::scores;
use crate::journal::record::SuiteRecord;
use crate::stats::{self, Resampled, middle_95};

/// What it is called among the suites.
pub(super) const COMPOSITE: &str = "composite";
/// Its metric.
pub(super) const METRIC: &str = "mean_score";

/// What is added to the report.
pub(super) struct Composite {
    /// Beside the suites.
    pub summary: SuiteSummary,
    /// One row a variant.
    pub metrics: Vec<MetricRow>,
    /// One row a variant but the base.
    pub comparisons: Vec<ComparisonRow>,
}

/// Suites of questions on which the base does better than a guesser.
pub(super) fn telling<'a>(sheet: &'a Sheet, suites: &[SuiteSummary]) -> Vec<&'a SuiteRecord> {
    let has_signal = |suite: &&SuiteRecord| suites.iter().any(|s| s.name == suite.name && !s.no_signal);
    // Of texts there are no scores, and of a suite whose trial failed on the base neither.
    let is_scored = |suite: &&SuiteRecord| {
        let items = sheet.suite_trial(sheet.base(), &suite.name).map_or(&[][..], Planned::items);
        !scores::of(sheet.kind_of(suite), items, &suite.main_metric).is_empty()
    };
    sheet.manifest.suites.iter().filter(has_signal).filter(is_scored).collect()
}

/// The composite of a sweep with two such suites or more, unless one is called that; its resamples join the others'.
pub(super) fn composite(
    sheet: &Sheet,
    suites: &[SuiteSummary],
    own: &[ComparisonRow],
    joint: &mut Joint,
) -> Option<Composite> {
    let judging = &sheet.manifest.judging;
    let parts: Vec<(&SuiteRecord, f64)> = telling(sheet, suites)
        .into_iter()
        .map(|suite| (suite, judging.weight(&suite.name)))
        .filter(|(_, weight)| *weight > 0.0)
        .collect();
    if parts.len() < 2 || sheet.manifest.suites.iter().any(|suite| suite.name == COMPOSITE) {
        return None;
    }
    let drawn = parts.iter().map(|(suite, weight)| Some((*weight, joint.suite(&suite.name)?)));
    let whole = stats::weighted(&drawn.collect::<Option<Vec<_>>>()?);
    let total: f64 = parts.iter().map(|(_, weight)| weight).sum();
    let chance =
        parts.iter().map(|(suite, weight)| weight * suite.chance.unwrap_or(0.0)).sum::<f64>() / total;
    let partial: Vec<&str> =
        parts.iter().filter(|(s, _)| !s.partial.is_empty()).map(|(s, _)| s.name.as_str()).collect();
    let partial =
        if partial.is_empty() { String::new() } else { format!("{} only in part", partial.join(" ")) };
    let names: Vec<&str> = parts.iter().map(|(suite, _)| suite.name.as_str()).collect();
    let n = |variant: &str| -> u64 {
        let trials = parts.iter().filter_map(|(suite, _)| sheet.suite_trial(variant, &suite.name));
        trials.map(|trial| trial.items().len() as u64).sum()
    };
    let row = |(column, variant): (usize, &String)| {
        metric_row(&whole, column, variant, (chance, n(variant), &partial))
    };
    let metrics = joint.variants.iter().enumerate().filter_map(row).collect();
    let own = by_key(own);
    let paired = |variant: &str| {
        let row = |(suite, weight): &(&SuiteRecord, f64)| {
            let key = (variant, suite.name.as_str(), suite.main_metric.as_str());
            Some((*weight, *own.get(&key)?))
        };
        pooled(&parts.iter().map(row).collect::<Option<Vec<_>>>()?)
    };
    let compare = |(column, variant): (usize, &String)| {
        let row = comparison_row(&whole, column, variant, &partial)?;
        Some(widened(row, paired(variant)))
    };
    let comparisons = joint.variants.iter().enumerate().skip(1).filter_map(compare).collect();
    let summary = SuiteSummary {
        name: COMPOSITE.to_owned(),
        title: format!("Mean of {}", names.join(", ")),
        main_metric: METRIC.to_owned(),
        higher_is_better: true,
        chance: Some(chance),
        partial,
        n_unit: "items",
        no_signal: false,
    };
    joint.insert(COMPOSITE, whole);
    Some(Composite { summary, metrics, comparisons })
}

/// A variant's difference from the base, with what it rests on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Step {
    /// 95% interval of the mean difference.
    pub interval: (f64, f64),
    /// Pairs of the suite that has the fewest.
    pub n: u64,
    /// The smallest difference that could be shown.
    pub detectable: f64,
}

/// The weighted mean of several suites' paired differences, as `(weight, comparison)`. Its interval comes from theirs,
/// `half^2 = sum (w half_s)^2 / (sum w)^2`, which stays honest where few items flipped.
pub(super) fn pooled(rows: &[(f64, &ComparisonRow)]) -> Option<Step> {
    let total: f64 = rows.iter().map(|(weight, _)| weight).sum();
    let (mut centre, mut square, mut detectable, mut n) = (0.0, 0.0, 0.0, u64::MAX);
    for (weight, row) in rows {
        let (low, high) = row.ci_low.zip(row.ci_high)?;
        let share = weight / total;
        centre += share * (low + high) / 2.0;
        square += (share * (high - low) / 2.0).powi(2);
        detectable += (share * row.detectable.unwrap_or(f64::NAN)).powi(2);
        n = n.min(row.n);
    }
    let half = square.sqrt();
    Some(Step { interval: (centre - half, centre + half), n, detectable: detectable.sqrt() })
}

fn metric_row(
    whole: &Resampled,
    column: usize,
    variant: &str,
    (chance, n, partial): (f64, u64, &str),
) -> Option<MetricRow> {
    let value = whole.points.get(column).copied().filter(|v| v.is_finite())?;
    let draws = whole.draws.get(column)?;
    let interval = middle_95(draws.iter().copied());
    Some(MetricRow {
        variant: variant.to_owned(),
        suite: COMPOSITE.to_owned(),
        metric: METRIC.to_owned(),
        value: Some(value),
        stderr: stats::sample_sd(draws).filter(|sd| sd.is_finite()),
        ci_low: interval.map(|(low, _)| low),
        ci_high: interval.map(|(_, high)| high),
        n,
        higher_is_better: true,
        chance: Some(chance),
        status: "done".to_owned(),
        reason: String::new(),
        partial: partial.to_owned(),
    })
}

/// Where few items flipped, resamples know of nothing else: the interval takes in the one from the suites' own.
fn widened(row: ComparisonRow, paired: Option<Step>) -> ComparisonRow {
    let Some(paired) = paired else { return ComparisonRow { ci_low: None, ci_high: None, ..row } };
    ComparisonRow {
        ci_low: row.ci_low.map(|low| low.min(paired.interval.0)),
        ci_high: row.ci_high.map(|high| high.max(paired.interval.1)),
        detectable: Some(paired.detectable).filter(|d| d.is_finite()),
        n: paired.n,
        ..row
    }
}

fn comparison_row(whole: &Resampled, column: usize, variant: &str, partial: &str) -> Option<ComparisonRow> {
    let (base, own) = (whole.points.first()?, whole.points.get(column)?);
    let deltas: Vec<f64> =
        whole.draws.first()?.iter().zip(whole.draws.get(column)?).map(|(b, v)| v - b).collect();
    let interval = middle_95(deltas.iter().copied());
    Some(ComparisonRow {
        variant: variant.to_owned(),
        suite: COMPOSITE.to_owned(),
        metric: METRIC.to_owned(),
        delta: Some(own - base).filter(|delta| delta.is_finite()),
        delta_stderr: stats::sample_sd(&deltas).filter(|sd| sd.is_finite()),
        ci_low: interval.map(|(low, _)| low),
        ci_high: interval.map(|(_, high)| high),
        partial: partial.to_owned(),
        ..ComparisonRow::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_suites_are_pooled_by_weight() {
        let row = |low, high, n| ComparisonRow {
            ci_low: Some(low),
            ci_high: Some(high),
            detectable: Some(0.04),
            n,
            ..ComparisonRow::default()
        };
        let (a, b) = (row(-0.03, 0.01, 100), row(-0.03, 0.01, 50));
        let step = pooled(&[(1.0, &a), (1.0, &b)]).expect("a step");
        let half = 0.02 / 2.0_f64.sqrt();
        assert!(
            (step.interval.0 - (-0.01 - half)).abs() < 1e-12
                && (step.interval.1 - (-0.01 + half)).abs() < 1e-12
        );
        assert_eq!(step.n, 50);
        assert!((step.detectable - 0.04 / 2.0_f64.sqrt()).abs() < 1e-12);
        let missing = ComparisonRow { ci_low: None, ..a.clone() };
        assert_eq!(pooled(&[(1.0, &a), (1.0, &missing)]), None);
    }
}
