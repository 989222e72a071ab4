//! Which variants no other beats: for each suite, bytes of the file against the suite's quality. Divergences at or
//! under the noise floor are all equal to the base's own, 0: nothing is ranked by noise. A suite on which the base
//! itself only guesses has no frontier.

use super::measure::higher_is_better;
use super::noise;
use super::report::{ComparisonRow, FrontierRow, MetricRow, Report, SuiteSummary, VariantRow};

/// The cost axis.
const COST: &str = "file_bytes";

/// Rows of `frontier.csv`: suites, then variants, in plan order. A variant without a size or a value has no row.
pub(super) fn rows(
    suites: &[SuiteSummary],
    variants: &[VariantRow],
    metrics: &[MetricRow],
    comparisons: &[ComparisonRow],
) -> Vec<FrontierRow> {
    let telling = suites.iter().filter(|suite| !suite.no_signal);
    telling.flat_map(|suite| suite_rows(suite, variants, metrics, comparisons)).collect()
}

fn suite_rows(
    suite: &SuiteSummary,
    variants: &[VariantRow],
    metrics: &[MetricRow],
    comparisons: &[ComparisonRow],
) -> Vec<FrontierRow> {
    let metric = quality_metric(suite);
    let value = |variant: &str| {
        let row =
            metrics.iter().find(|m| m.variant == variant && m.suite == suite.name && m.metric == metric)?;
        row.value
    };
    let points: Vec<(&str, f64, f64)> = variants
        .iter()
        .filter_map(|v| Some((v.variant.as_str(), v.file_bytes? as f64, value(&v.variant)?)))
        .collect();
    let sign = if higher_is_better(metric) { -1.0 } else { 1.0 };
    let is_noise = |variant: &str| {
        metric == noise::DIVERGENCE && noise::is_indistinguishable(comparisons, variant, &suite.name)
    };
    let judged = |variant: &str, y: f64| if is_noise(variant) { 0.0 } else { sign * y };
    let costs: Vec<(f64, f64)> = points.iter().map(|&(variant, x, y)| (x, judged(variant, y))).collect();
    points
        .iter()
        .zip(unbeaten(&costs))
        .map(|(&(variant, x, y), on_frontier)| FrontierRow {
            variant: variant.to_owned(),
            axis_x: COST.to_owned(),
            axis_y: format!("{}.{metric}", suite.name),
            x,
            y,
            on_frontier,
            partial: suite.partial.clone(),
        })
        .collect()
}

/// The metric that stands for quality on a suite's frontier: divergence for texts, whatever else is shown first.
fn quality_metric(suite: &SuiteSummary) -> &str {
    if suite.n_unit == "tokens" { "kld_mean" } else { &suite.main_metric }
}

/// For each point, less being better on both axes, whether no other is at least as good on both and better on
/// one. Equal points do not beat each other.
fn unbeaten(points: &[(f64, f64)]) -> Vec<bool> {
    let beats = |a: &(f64, f64), b: &(f64, f64)| a.0 <= b.0 && a.1 <= b.1 && a != b;
    points.iter().map(|point| !points.iter().any(|other| beats(other, point))).collect()
}

impl Report {
    /// The quality axis that stands for the whole sweep, as `suite.metric`: `kld_mean` of the first text, or the
    /// main metric of the first suite with a signal where there is no text.
    #[must_use]
    pub fn headline_axis(&self) -> Option<String> {
        let text = self.suites.iter().find(|s| s.n_unit == "tokens");
        let suite = text.or(self.suites.iter().find(|s| !s.no_signal))?;
        Some(format!("{}.{}", suite.name, quality_metric(suite)))
    }

    /// Whether a variant is on the frontier of [`Report::headline_axis`]; `None` if it has no point there.
    #[must_use]
    pub fn on_frontier(&self, variant: &str) -> Option<bool> {
        let axis = self.headline_axis()?;
        self.frontier.iter().find(|f| f.variant == variant && f.axis_y == axis).map(|f| f.on_frontier)
    }
}

#[cfg(test)]
mod tests {
    use super::unbeaten;
    use proptest::prelude::*;

    #[test]
    fn equal_points_stay_and_worse_ones_go() {
        let points = [(1.0, 5.0), (1.0, 5.0), (1.0, 6.0), (2.0, 5.0), (2.0, 4.0), (3.0, 1.0)];
        assert_eq!(unbeaten(&points), [true, true, false, false, true, true]);
        assert!(unbeaten(&[]).is_empty());
        assert_eq!(unbeaten(&[(1.0, 1.0)]), [true]);
    }

    proptest! {
        /// Few distinct values, so that ties are common.
        #[test]
        fn every_beaten_point_is_beaten_by_one_on_the_frontier(
            points in prop::collection::vec((0_u8..6, 0_u8..6), 1..40),
        ) {
            let points: Vec<(f64, f64)> = points.into_iter().map(|(x, y)| (x.into(), y.into())).collect();
            let on = unbeaten(&points);
            prop_assert!(on.contains(&true));
            for (point, &kept) in points.iter().zip(&on) {
                let beaten = points.iter().zip(&on).any(|(other, &on)| {
                    on && other.0 <= point.0 && other.1 <= point.1 && other != point
                });
                prop_assert_eq!(beaten, !kept);
            }
        }
    }
}
