//! The noise floor of a text and what it says of variants: what the base diverges from itself by when it is decoded in
//! another shape is rounding, and so is whatever a variant shows at or under it.

use super::measure::{Measure, Measured, measured_rows};
use super::perplexity;
use super::planned::{Planned, Sheet};
use super::report::{ComparisonRow, MetricRow, Report};
use crate::stats::Z95;

/// The metric that has a floor.
pub(super) const DIVERGENCE: &str = "kld_mean";
/// The floor's own.
const FLOOR: &str = "kld_noise_floor";
/// The metrics of a noise trial, and those of a text that they are.
const METRICS: [(&str, &str); 2] = [(FLOOR, DIVERGENCE), ("same_top_p_noise_floor", "same_top_p")];

/// A variant that cannot be told from the base by its divergence.
const INDISTINGUISHABLE: &str = "indistinguishable";
/// One that can.
const DIFFERENT: &str = "different";

/// Rows of `metrics.csv` of a noise trial.
pub(super) fn rows(sheet: &Sheet, trial: &Planned) -> Vec<MetricRow> {
    let whole = perplexity::measure(trial.items(), sheet.manifest.seed, false);
    let as_floors = METRICS.into_iter().filter_map(|(floor, metric)| {
        let measure = whole.measures.iter().find(|m| m.metric == metric)?;
        Some(Measure { metric: floor.into(), ..measure.clone() })
    });
    let floors: Vec<Measure> = as_floors.collect();
    let measured = Measured { measures: floors, ..whole };
    measured_rows(trial, FLOOR, None, &measured)
}

/// What a variant's divergence says, given the floor of its suite; nothing without a floor.
///
/// Two divergences whose 95% intervals overlap are tied, and so is one with the floor unless its interval lies above
/// the floor's. That errs on the side of a tie: intervals that barely touch belong to a difference of some 2.8
/// standard errors.
pub(super) fn verdict(divergence: &MetricRow, metrics: &[MetricRow]) -> Option<&'static str> {
    let floor = floor(metrics, &divergence.suite)?;
    let (low, high) = (interval(divergence)?.0, interval(floor)?.1);
    Some(if low > high { DIFFERENT } else { INDISTINGUISHABLE })
}

fn floor<'a>(metrics: &'a [MetricRow], suite: &str) -> Option<&'a MetricRow> {
    metrics.iter().find(|m| m.suite == suite && m.metric == FLOOR && m.value.is_some())
}

/// The 95% interval: of the bootstrap, or else (a single chunk) from the standard error.
fn interval(row: &MetricRow) -> Option<(f64, f64)> {
    let value = row.value?;
    let half = row.stderr.map_or(0.0, |stderr| Z95 * stderr);
    Some((row.ci_low.unwrap_or(value - half), row.ci_high.unwrap_or(value + half)))
}

/// Whether these comparisons say that a variant cannot be told from the base.
pub(super) fn is_indistinguishable(comparisons: &[ComparisonRow], variant: &str, suite: &str) -> bool {
    let mut rows = comparisons.iter().filter(|c| c.variant == variant && c.suite == suite);
    rows.any(|c| c.metric == DIVERGENCE && c.verdict == INDISTINGUISHABLE)
}

impl Report {
    /// The noise floor of a suite's `kld_mean`, if it was measured.
    #[must_use]
    pub fn noise_floor(&self, suite: &str) -> Option<&MetricRow> {
        floor(&self.metrics, suite)
    }

    /// Whether a variant's divergence on a suite does not rise above the noise floor.
    #[must_use]
    pub fn is_indistinguishable(&self, variant: &str, suite: &str) -> bool {
        is_indistinguishable(&self.comparisons, variant, suite)
    }
}
