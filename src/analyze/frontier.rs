//! Which variants no other beats: for each suite, bytes of the file against the suite's quality. Divergences at or
//! under the noise floor are all equal to the base's own, 0: nothing is ranked by noise. A suite on which the base
//! itself only guesses has no frontier.
//!
//! How certain that is, is told by resamples in which all variants have the same items: the share of them in which a
//! variant is on the frontier, and the smallest variant that cannot be told from it.

use std::collections::HashMap;

use rayon::prelude::*;

use super::joint::Joint;
use super::lookup::{Key, by_key};
use super::measure::higher_is_better;
use super::noise;
use super::report::{ComparisonRow, FrontierRow, MetricRow, Report, SuiteSummary, VariantRow};
use crate::stats::{self, frontier_shares, unbeaten};

/// The cost axis.
const COST: &str = "file_bytes";

/// Rows of `frontier.csv`: suites, then variants, in plan order. A variant without a size or a value has no row.
pub(super) fn rows(
    suites: &[SuiteSummary],
    variants: &[VariantRow],
    metrics: &[MetricRow],
    comparisons: &[ComparisonRow],
    joint: &Joint,
) -> Vec<FrontierRow> {
    let metrics = by_key(metrics);
    let telling: Vec<&SuiteSummary> = suites.iter().filter(|suite| !suite.no_signal).collect();
    let rows = telling.par_iter().map(|suite| suite_rows(suite, variants, &metrics, comparisons, joint));
    rows.flatten_iter().collect()
}

fn suite_rows(
    suite: &SuiteSummary,
    variants: &[VariantRow],
    metrics: &HashMap<Key<'_>, &MetricRow>,
    comparisons: &[ComparisonRow],
    joint: &Joint,
) -> Vec<FrontierRow> {
    let metric = quality_metric(suite);
    let value = |variant: &str| {
        let row = metrics.get(&(variant, suite.name.as_str(), metric))?;
        // On other items than the base's, a score is compared as it would be on those.
        joint.carried(&suite.name, variant).or(row.value)
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
    let draws: Option<Vec<Vec<f64>>> = joint.suite(&suite.name).and_then(|drawn| {
        let draw = |&(variant, ..): &(&str, f64, f64)| {
            let own = drawn.draws.get(joint.column(variant)?)?;
            Some(own.iter().map(|&y| judged(variant, y)).collect())
        };
        points.iter().map(draw).collect()
    });
    let bytes: Vec<f64> = points.iter().map(|(_, x, _)| *x).collect();
    let shares = draws.as_ref().map(|draws| frontier_shares(&bytes, draws)).unwrap_or_default();
    let rows = points.iter().zip(unbeaten(&costs)).enumerate();
    rows.map(|(place, (&(variant, x, y), on_frontier))| {
        let tied = draws.as_ref().and_then(|draws| smallest_tied(place, &bytes, draws));
        FrontierRow {
            variant: variant.to_owned(),
            axis_x: COST.to_owned(),
            axis_y: format!("{}.{metric}", suite.name),
            x,
            y,
            on_frontier,
            partial: suite.partial.clone(),
            share: shares.get(place).copied().filter(|share| share.is_finite()),
            tied_with: tied.and_then(|tied| points.get(tied)).map_or("", |(name, ..)| *name).to_owned(),
        }
    })
    .collect()
}

/// The smallest of the variants with fewer bytes of which it cannot be told that it is worse: less than 97.5% of the
/// resamples say so. `draws` are better where they are less.
fn smallest_tied(place: usize, bytes: &[f64], draws: &[Vec<f64>]) -> Option<usize> {
    let (own, limit) = (draws.get(place)?, bytes.get(place)?);
    let mut smaller: Vec<(usize, f64)> =
        bytes.iter().copied().enumerate().filter(|(_, b)| b < limit).collect();
    smaller.sort_by(|a, b| a.1.total_cmp(&b.1));
    let is_tied = |(other, _): &(usize, f64)| {
        let worse = |(own, other): (&f64, &f64)| other > own;
        draws.get(*other).is_some_and(|draws| {
            let count = own.iter().zip(draws).filter(|pair| worse(*pair)).count();
            !own.is_empty() && (count as f64) < stats::SHOWN * own.len() as f64
        })
    };
    smaller.into_iter().find(is_tied).map(|(other, _)| other)
}

/// The metric that stands for quality on a suite's frontier: divergence for texts, whatever else is shown first.
pub(super) fn quality_metric(suite: &SuiteSummary) -> &str {
    if suite.n_unit == "tokens" { "kld_mean" } else { &suite.main_metric }
}

impl Report {
    /// The quality axis that stands for the whole sweep, as `suite.metric`: `kld_mean` of the first text, or where there
    /// is no text the composite, or the main metric of the first suite with a signal.
    #[must_use]
    pub fn headline_axis(&self) -> Option<String> {
        let text = self.suites.iter().find(|s| s.n_unit == "tokens");
        let whole = || self.suites.iter().find(|s| s.is_composite());
        let suite = text.or_else(whole).or(self.suites.iter().find(|s| !s.no_signal))?;
        Some(format!("{}.{}", suite.name, quality_metric(suite)))
    }

    /// Whether a variant is on the frontier of [`Report::headline_axis`]; `None` if it has no point there.
    #[must_use]
    pub fn on_frontier(&self, variant: &str) -> Option<bool> {
        let axis = self.headline_axis()?;
        self.frontier.iter().find(|f| f.variant == variant && f.axis_y == axis).map(|f| f.on_frontier)
    }
}
