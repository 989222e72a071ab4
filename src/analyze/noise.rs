//! The numeric noise of a suite: what the base differs from itself by when it is decoded otherwise is rounding. For a
//! text that is a floor, and whatever a variant shows at or under it is rounding too; for questions it is how far the
//! ln p of choices move when nothing is shared, and how often that moves a pick.

use std::collections::BTreeMap;

use serde::Serialize;

use super::choice::flipped;
use super::measure::{Measure, Measured, measured_rows};
use super::perplexity;
use super::planned::{Planned, Sheet, SuiteKind};
use super::report::{ComparisonRow, MetricRow, Report};
use crate::journal::record::{ItemRecord, ItemScore, SuiteRecord};
use crate::stats::{self, Z95};

/// The metric that has a floor.
pub(super) const DIVERGENCE: &str = "kld_mean";
/// The floor's own.
const FLOOR: &str = "kld_noise_floor";
/// The metrics of a noise trial, and those of a text that they are.
const METRICS: [(&str, &str); 2] = [(FLOOR, DIVERGENCE), ("same_top_p_noise_floor", "same_top_p")];

/// The metrics of a noise trial of questions.
const CHOICE_METRICS: [&str; 3] = ["logprob_noise_mean", "logprob_noise_max", "flips_noise"];

/// A variant that cannot be told from the base by its divergence.
const INDISTINGUISHABLE: &str = "indistinguishable";
/// One that can.
const DIFFERENT: &str = "different";

/// How far scores of questions move when the same items are scored with every choice decoded by itself.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ChoiceNoise {
    /// Items scored twice.
    pub items: u64,
    /// Mean of the absolute difference of a choice's ln p, in nats.
    pub logprob_mean: f64,
    /// The largest.
    pub logprob_max: f64,
    /// Items of which another choice was picked, by the metric asked for.
    pub flips: u64,
}

/// Compares scores with those of the same items decoded alone; nothing if no item has both.
#[must_use]
pub fn choice_noise(shared: &[ItemRecord], alone: &[ItemRecord], metric: &str) -> Option<ChoiceNoise> {
    let alone: BTreeMap<u64, &ItemScore> = alone.iter().map(|item| (item.index, &item.score)).collect();
    let pairs = shared.iter().filter_map(|item| Some((&item.score, *alone.get(&item.index)?)));
    let (mut items, mut flips, mut moved) = (0, 0, Vec::new());
    for (shared, alone) in pairs {
        let Some((a, b)) = shared.question().zip(alone.question()) else { continue };
        items += 1;
        flips += u64::from(flipped(shared, alone, metric));
        moved.extend(a.choices.iter().zip(&b.choices).map(|(a, b)| (a.logprob - b.logprob).abs()));
    }
    (!moved.is_empty()).then(|| ChoiceNoise {
        items,
        logprob_mean: moved.iter().sum::<f64>() / moved.len() as f64,
        logprob_max: moved.iter().copied().fold(0.0, f64::max),
        flips,
    })
}

/// Rows of `metrics.csv` of a noise trial.
pub(super) fn rows(sheet: &Sheet, suite: &SuiteRecord, trial: &Planned) -> Vec<MetricRow> {
    match sheet.kind_of(suite) {
        SuiteKind::Text => text_rows(sheet, trial),
        SuiteKind::Questions | SuiteKind::Answers => choice_rows(sheet, suite, trial),
    }
}

fn choice_rows(sheet: &Sheet, suite: &SuiteRecord, trial: &Planned) -> Vec<MetricRow> {
    let shared = sheet.suite_trial(&trial.spec.variant, &suite.name).map_or(&[][..], Planned::items);
    let noise = choice_noise(shared, trial.items(), &suite.main_metric);
    let measures = noise.map_or_else(Vec::new, |noise| {
        let [mean, max, flips] = CHOICE_METRICS;
        let share = stats::proportion(noise.flips as usize, noise.items as usize);
        vec![
            Measure::new(mean, noise.logprob_mean, None, None),
            Measure::new(max, noise.logprob_max, None, None),
            Measure::new(
                flips,
                noise.flips as f64 / noise.items as f64,
                share.map(|share| share.standard_error),
                share.map(|share| share.interval),
            ),
        ]
    });
    let n = noise.map_or(0, |noise| noise.items);
    measured_rows(trial, CHOICE_METRICS[0], None, &Measured { measures, n, notes: Vec::new() })
}

fn text_rows(sheet: &Sheet, trial: &Planned) -> Vec<MetricRow> {
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

    /// How far the ln p of choices move on average when nothing is shared, and which share of the picks that moves; where
    /// it was measured.
    #[must_use]
    pub fn choice_noise(&self, suite: &str) -> Option<(&MetricRow, &MetricRow)> {
        let [mean, _, flips] = CHOICE_METRICS;
        let find = |metric| self.metrics.iter().find(|m| m.suite == suite && m.metric == metric);
        find(mean).zip(find(flips)).filter(|(mean, flips)| mean.value.is_some() && flips.value.is_some())
    }

    /// Whether a variant's divergence on a suite does not rise above the noise floor.
    #[must_use]
    pub fn is_indistinguishable(&self, variant: &str, suite: &str) -> bool {
        is_indistinguishable(&self.comparisons, variant, suite)
    }
}
