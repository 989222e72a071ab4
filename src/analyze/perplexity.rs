//! Perplexity and divergence from the base over chunks of a text. Values and standard errors are those of
//! `llama-perplexity`; since its errors treat tokens as independent, the 95% intervals come from the bootstrap
//! over whole chunks instead.

use super::measure::{Measure, Measured};
use super::planned::Part;
use super::text::{self, Usable};
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
pub(super) fn measure<'a>(
    items: impl IntoIterator<Item = &'a ItemRecord>,
    seed: u64,
    is_base: bool,
) -> Measured {
    let usable = Usable::of(items);
    let measures = measures(&usable.figures(seed), is_base);
    Measured { measures, n: usable.tokens(), notes: usable.notes() }
}

/// The macro average over several texts: the unweighted mean of each metric that has an error. Quantiles belong to
/// one text and have none. There is no average as long as one of the texts has no scored chunk.
pub(super) fn average(texts: &[Part<'_>], seed: u64, is_base: bool) -> Measured {
    let usable: Vec<Usable<'_>> = texts.iter().map(|(_, items)| Usable::of(items.iter().copied())).collect();
    let measures = measures(&text::macro_average(&usable, seed), is_base);
    let named = texts.iter().zip(&usable);
    let mut notes: Vec<String> = named
        .clone()
        .flat_map(|((name, _), usable)| usable.notes().into_iter().map(move |note| format!("{name}: {note}")))
        .collect();
    let any = usable.iter().any(|usable| usable.tokens() > 0);
    let empty = named.filter(|(_, usable)| any && usable.tokens() == 0);
    notes.extend(empty.map(|((name, _), _)| format!("{name} has no scored chunk")));
    Measured { measures, n: usable.iter().map(Usable::tokens).sum(), notes }
}

fn measures(figures: &[text::Figure], is_base: bool) -> Vec<Measure> {
    let measures = METRICS.into_iter().filter_map(|metric| {
        let figure = figures.iter().find(|figure| figure.key == metric)?;
        let exact = is_base && metric != "ppl" && figure.stderr.is_some_and(|error| error <= 0.0);
        let known = exact.then_some((figure.value, figure.value));
        Some(Measure::new(figure.key, figure.value, figure.stderr, figure.interval.or(known)))
    });
    measures.collect()
}

/// The mean over several texts of [`difference`], for texts that are independent of each other.
pub(super) fn average_difference(texts: &[Part<'_>]) -> Option<Difference> {
    let each =
        texts.iter().map(|(_, items)| difference(items.iter().copied())).collect::<Option<Vec<_>>>()?;
    let n = each.len() as f64;
    (!each.is_empty()).then(|| Difference {
        delta: each.iter().map(|d| d.delta).sum::<f64>() / n,
        stderr: each.iter().map(|d| d.stderr.powi(2)).sum::<f64>().sqrt() / n,
        n: each.iter().map(|d| d.n).sum(),
    })
}

/// `PPL(Q)-PPL(base)` of `llama-perplexity`.
pub(super) fn difference<'a>(items: impl IntoIterator<Item = &'a ItemRecord>) -> Option<Difference> {
    let total: Moments = Usable::of(items).sums().sum();
    let diff = total.figures()?.ppl_diff;
    Some(Difference { delta: diff.value, stderr: diff.error, n: total.tokens })
}

/// The 95% interval of the mean over texts of PPL(variant) - PPL(base), by the bootstrap over chunks.
pub(super) fn difference_interval(texts: &[Part<'_>], seed: u64) -> Option<(f64, f64)> {
    let usable: Vec<Usable<'_>> = texts.iter().map(|(_, items)| Usable::of(items.iter().copied())).collect();
    let figures = text::macro_average(&usable, seed);
    figures.iter().find(|figure| figure.key == "ppl_diff").and_then(|figure| figure.interval)
}
