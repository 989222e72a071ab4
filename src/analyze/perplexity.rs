//! Perplexity and divergence from the base over chunks of a text. Values and standard errors are those of
//! `llama-perplexity`; since its errors treat tokens as independent, the 95% intervals come from the bootstrap
//! over whole chunks instead.

use super::measure::{Measure, Measured, failed_note};
use crate::journal::record::{ChunkScore, ItemRecord, ItemScore};
use crate::stats::{self, Estimate, Sorted};

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

/// Chunks that can be used, and why others cannot.
struct Usable<'a> {
    chunks: Vec<&'a ChunkScore>,
    failed: Vec<String>,
    nonfinite: u64,
}

impl<'a> Usable<'a> {
    fn of(items: &'a [ItemRecord]) -> Self {
        let mut usable = Self { chunks: Vec::new(), failed: Vec::new(), nonfinite: 0 };
        for item in items {
            match &item.score {
                ItemScore::Chunk(chunk) if even(chunk) => {
                    usable.nonfinite += u64::from(chunk.nonfinite);
                    usable.chunks.push(chunk);
                }
                ItemScore::Chunk(_) => usable.failed.push("its columns differ in length".to_owned()),
                ItemScore::Failed { reason } => usable.failed.push(reason.clone()),
                ItemScore::Choice { .. } => {
                    usable.failed.push("it is a question and not a chunk of a text".to_owned());
                }
            }
        }
        usable.chunks.retain(|chunk| !chunk.nll.0.is_empty());
        usable
    }

    /// One column over all chunks.
    fn column(&self, column: impl Fn(&ChunkScore) -> &[f32]) -> Vec<f64> {
        self.chunks.iter().flat_map(|chunk| column(chunk)).map(|&x| f64::from(x)).collect()
    }

    /// Pairs of (base, variant) of -ln p, token by token.
    fn nll_pairs(&self) -> Vec<(f64, f64)> {
        self.column(|c| &c.nll_base.0).into_iter().zip(self.column(|c| &c.nll.0)).collect()
    }

    fn notes(&self) -> Vec<String> {
        let left_out = (self.nonfinite > 0)
            .then(|| format!("{} tokens left out because a logit was not finite", self.nonfinite));
        failed_note(&self.failed).into_iter().chain(left_out).collect()
    }
}

fn even(chunk: &ChunkScore) -> bool {
    let n = chunk.nll.0.len();
    [chunk.nll_base.0.len(), chunk.kld.0.len(), chunk.delta_p.0.len(), chunk.same_top.len()] == [n; 4]
}

/// All metrics of a text over its chunks. The base is compared with itself: what it measures relative to the
/// base has a known value even where a single chunk gives no interval.
pub(super) fn measure(items: &[ItemRecord], seed: u64, is_base: bool) -> Measured {
    let usable = Usable::of(items);
    let estimates = estimates(&usable);
    let intervals = intervals(&usable.chunks, seed);
    let with_interval = |metric: &'static str, estimate: Option<Estimate>| {
        let estimate = estimate?;
        let found = intervals.iter().find(|(name, _)| *name == metric).and_then(|(_, interval)| *interval);
        let exact = is_base && metric != "ppl" && estimate.standard_error <= 0.0;
        let known = exact.then_some((estimate.point, estimate.point));
        Some(Measure::new(metric, estimate.point, Some(estimate.standard_error), found.or(known)))
    };
    let klds = Sorted::new(usable.chunks.iter().flat_map(|c| &c.kld.0).copied().collect());
    let plain = |metric, value: Option<f32>| Some(Measure::new(metric, f64::from(value?), None, None));
    let measures = METRICS.into_iter().filter_map(|metric| match metric {
        "kld_median" => plain(metric, klds.median()),
        "kld_p90" => plain(metric, klds.quantile(0.9)),
        "kld_p99" => plain(metric, klds.quantile(0.99)),
        "kld_p99_9" => plain(metric, klds.quantile(0.999)),
        "kld_max" => plain(metric, klds.max()),
        _ => with_interval(metric, estimates.iter().find(|(name, _)| *name == metric).and_then(|(_, e)| *e)),
    });
    let n = usable.chunks.iter().map(|c| c.nll.0.len() as u64).sum();
    Measured { measures: measures.collect(), n, notes: usable.notes() }
}

/// Values with the standard errors of `llama-perplexity`.
fn estimates(usable: &Usable) -> [(&'static str, Option<Estimate>); 6] {
    let nll = stats::mean(&usable.column(|c| &c.nll.0));
    let ln_ratio = stats::difference(&usable.nll_pairs());
    let delta_p = usable.column(|c| &c.delta_p.0);
    let squares: Vec<f64> = delta_p.iter().map(|d| d * d).collect();
    let same: Vec<f64> =
        usable.chunks.iter().flat_map(|c| &c.same_top).map(|&s| f64::from(u8::from(s != 0))).collect();
    [
        ("ppl", nll.map(exponential)),
        ("ppl_ratio", ln_ratio.map(exponential)),
        ("kld_mean", stats::mean(&usable.column(|c| &c.kld.0))),
        ("same_top_p", stats::mean(&same)),
        ("delta_p_mean", stats::mean(&delta_p)),
        ("delta_p_rms", stats::mean(&squares).map(square_root)),
    ]
}

/// e^x, with the error of x carried over to first order.
fn exponential(x: Estimate) -> Estimate {
    let point = x.point.exp();
    Estimate {
        point,
        standard_error: point * x.standard_error,
        interval: (x.interval.0.exp(), x.interval.1.exp()),
    }
}

/// The square root of a mean square, with its error to first order; exact where every square is 0.
fn square_root(x: Estimate) -> Estimate {
    let point = x.point.sqrt();
    let standard_error = if point > 0.0 { x.standard_error / (2.0 * point) } else { x.standard_error };
    let ends = (x.interval.0.max(0.0).sqrt(), x.interval.1.max(0.0).sqrt());
    Estimate { point, standard_error, interval: ends }
}

/// 95% intervals by the bootstrap over chunks, all six from the same resamples.
fn intervals(chunks: &[&ChunkScore], seed: u64) -> [(&'static str, Option<(f64, f64)>); 6] {
    let sums: Vec<[f64; 7]> = chunks.iter().map(|chunk| sums(chunk)).collect();
    let [ppl, ratio, kld, same, mean, rms] =
        stats::bootstrap_intervals(&sums, seed, |&[n, nll, nll_base, kld, same, delta_p, squares]| {
            [
                (nll / n).exp(),
                ((nll - nll_base) / n).exp(),
                kld / n,
                same / n,
                delta_p / n,
                (squares / n).sqrt(),
            ]
        });
    [
        ("ppl", ppl),
        ("ppl_ratio", ratio),
        ("kld_mean", kld),
        ("same_top_p", same),
        ("delta_p_mean", mean),
        ("delta_p_rms", rms),
    ]
}

/// What the bootstrap needs of a chunk: n and the sums of nll, base nll, kld, same top, delta p and its square.
fn sums(chunk: &ChunkScore) -> [f64; 7] {
    let sum = |column: &[f32]| column.iter().map(|&x| f64::from(x)).sum::<f64>();
    [
        chunk.nll.0.len() as f64,
        sum(&chunk.nll.0),
        sum(&chunk.nll_base.0),
        sum(&chunk.kld.0),
        chunk.same_top.iter().filter(|&&s| s != 0).count() as f64,
        sum(&chunk.delta_p.0),
        chunk.delta_p.0.iter().map(|&d| f64::from(d).powi(2)).sum(),
    ]
}

/// `PPL(Q)-PPL(base)` of `llama-perplexity`. The variance of `ppl_q * nll_q - ppl_b * nll_b` is exactly
/// `ppl_q^2 var_q + ppl_b^2 var_b - 2 cov ppl_q ppl_b`, without the cancellation between its terms.
pub(super) fn difference(items: &[ItemRecord]) -> Option<Difference> {
    let usable = Usable::of(items);
    let ppl = stats::mean(&usable.column(|c| &c.nll.0))?.point.exp();
    let ppl_base = stats::mean(&usable.column(|c| &c.nll_base.0))?.point.exp();
    let pairs = usable.nll_pairs();
    let scaled: Vec<(f64, f64)> = pairs.iter().map(|(b, q)| (ppl_base * b, ppl * q)).collect();
    let stderr = stats::difference(&scaled)?.standard_error;
    Some(Difference { delta: ppl - ppl_base, stderr, n: pairs.len() as u64 })
}
