//! Perplexity and divergence from the base over chunks of a text. Values and standard errors are those of
//! `llama-perplexity`; since its errors treat tokens as independent, the 95% intervals come from the bootstrap
//! over whole chunks instead.

use super::measure::{Measure, Measured};
use super::text::Usable;
use crate::journal::record::ItemRecord;
use crate::stats::Moments;

/// Metrics of a text, in the order of the rows.
pub(super) const METRICS: [&str; 11] = [
    "ppl",
    "ppl_ratio",
    "kld_mean",
    "kld_median",
    "kld_p90",
    "kld_p99",
    "kld_p99_9",
    "kld_max",
    "same_top_p",
    "delta_p_mean",
    "delta_p_rms",
];

/// The perplexity of a variant minus that of the base, over the same tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Difference {
    /// PPL(variant) - PPL(base).
    pub delta: f64,
    /// Its standard error, by the delta method with the covariance of the two.
    pub stderr: f64,
    /// Tokens.
    pub n: u64,
}

/// All metrics of a text over its chunks. The base is compared with itself: what it measures relative to the
/// base has a known value even where a single chunk gives no interval.
pub(super) fn measure(items: &[ItemRecord], seed: u64, is_base: bool) -> Measured {
    let usable = Usable::of(items);
    let figures = usable.figures(seed);
    let measures = METRICS.into_iter().filter_map(|metric| {
        let figure = figures.iter().find(|figure| figure.key == metric)?;
        let exact = is_base && metric != "ppl" && figure.stderr.is_some_and(|error| error <= 0.0);
        let known = exact.then_some((figure.value, figure.value));
        Some(Measure::new(figure.key, figure.value, figure.stderr, figure.interval.or(known)))
    });
    Measured { measures: measures.collect(), n: usable.tokens(), notes: usable.notes() }
}

/// `PPL(Q)-PPL(base)` of `llama-perplexity`.
pub(super) fn difference(items: &[ItemRecord]) -> Option<Difference> {
    let total: Moments = Usable::of(items).sums().sum();
    let diff = total.figures()?.ppl_diff;
    Some(Difference { delta: diff.value, stderr: diff.error, n: total.tokens })
}
