//! Every figure of a text over its chunks, in one list, whoever asks: the tables of a sweep or the report of one
//! model.

use super::measure::failed_note;
use crate::journal::record::{ChunkScore, ItemRecord, ItemScore};
use crate::stats::{self, Moments, PlusMinus, Sorted, TextFigures};

/// Percentiles of the KL divergence: name and fraction.
const KLD: [(&str, f32); 8] = [
    ("kld_p99_9", 0.999),
    ("kld_p99", 0.99),
    ("kld_p95", 0.95),
    ("kld_p90", 0.9),
    ("kld_p10", 0.1),
    ("kld_p5", 0.05),
    ("kld_p1", 0.01),
    ("kld_p0_1", 0.001),
];

/// Percentiles of the difference of the true token's probability.
const DELTA_P: [(&str, f32); 10] = [
    ("delta_p_p99_9", 0.999),
    ("delta_p_p99", 0.99),
    ("delta_p_p95", 0.95),
    ("delta_p_p90", 0.9),
    ("delta_p_p75", 0.75),
    ("delta_p_p25", 0.25),
    ("delta_p_p10", 0.1),
    ("delta_p_p5", 0.05),
    ("delta_p_p1", 0.01),
    ("delta_p_p0_1", 0.001),
];

/// Number of figures that have an interval.
const INTERVALS: usize = 9;
/// Sums of a chunk that the bootstrap needs.
const COLUMNS: usize = 7;

/// A number over a text. It may be infinite or not a number; whoever shows it decides what becomes of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure {
    /// Name, as in the CSV files.
    pub key: &'static str,
    /// Value: nats, a perplexity, or a share as a fraction.
    pub value: f64,
    /// Standard error as `llama-perplexity` has it.
    pub stderr: Option<f64>,
    /// 95% interval from the bootstrap over chunks.
    pub interval: Option<(f64, f64)>,
}

/// Chunks that can be used, and why others cannot.
pub(super) struct Usable<'a> {
    chunks: Vec<&'a ChunkScore>,
    failed: Vec<String>,
    /// Tokens left out.
    pub nonfinite: u64,
}

impl<'a> Usable<'a> {
    /// The usable chunks of these items.
    pub fn of(items: impl IntoIterator<Item = &'a ItemRecord>) -> Self {
        let mut usable = Self { chunks: Vec::new(), failed: Vec::new(), nonfinite: 0 };
        for item in items {
            match &item.score {
                ItemScore::Chunk(chunk) if even(chunk) => {
                    usable.nonfinite += u64::from(chunk.nonfinite);
                    usable.chunks.push(chunk);
                }
                ItemScore::Chunk(_) => usable.failed.push("its columns differ in length".to_owned()),
                ItemScore::Failed { reason } => usable.failed.push(reason.clone()),
                ItemScore::Choice(_) | ItemScore::Judged(_) | ItemScore::Generated(_) => {
                    usable.failed.push("it is a question and not a chunk of a text".to_owned());
                }
            }
        }
        usable.chunks.retain(|chunk| !chunk.nll.0.is_empty());
        usable
    }

    /// Sums of each chunk.
    pub fn sums(&self) -> impl Iterator<Item = Moments> {
        self.chunks.iter().map(|chunk| chunk.sums())
    }

    /// Scored tokens.
    pub fn tokens(&self) -> u64 {
        self.chunks.iter().map(|c| c.nll.0.len() as u64).sum()
    }

    /// What was left out and why, one clause each.
    pub fn notes(&self) -> Vec<String> {
        let left_out = (self.nonfinite > 0)
            .then(|| format!("{} tokens left out because a logit was not finite", self.nonfinite));
        failed_note(&self.failed).into_iter().chain(left_out).collect()
    }

    /// Sums of each chunk as the bootstrap takes them.
    fn clusters(&self) -> Vec<[f64; COLUMNS]> {
        let columns =
            |m: Moments| [m.tokens as f64, m.q, m.b, m.kld, m.same_top as f64, m.delta_p, m.delta_p2];
        self.sums().map(columns).collect()
    }

    /// All figures, in the order in which they are shown; none without tokens.
    pub fn figures(&self, seed: u64) -> Vec<Figure> {
        let Some(figures) = self.sums().sum::<Moments>().figures() else { return Vec::new() };
        let intervals = intervals(&[&self.clusters()], seed);
        let column = |column: fn(&ChunkScore) -> &[f32]| {
            Sorted::new(self.chunks.iter().flat_map(|chunk| column(chunk)).copied().collect())
        };
        let klds = column(|c| &c.kld.0);
        let deltas = column(|c| &c.delta_p.0);
        let mut list: Vec<Figure> = estimates(&figures)
            .into_iter()
            .map(|(key, PlusMinus { value, error })| {
                let interval = intervals.iter().find(|(name, _)| *name == key).and_then(|(_, i)| *i);
                Figure { key, value, stderr: Some(error), interval }
            })
            .collect();
        insert_after(&mut list, "ln_ratio", vec![plain("cor", figures.cor)]);
        insert_after(&mut list, "kld_mean", spread(&klds, ["kld_max", "kld_median", "kld_min"], &KLD));
        let names = ["delta_p_max", "delta_p_median", "delta_p_min"];
        insert_after(&mut list, "delta_p_rms", spread(&deltas, names, &DELTA_P));
        list
    }
}

/// Unweighted means over several texts of the figures that have an error, for texts that are independent of each
/// other: SE = sqrt(sum of SE^2) / number of texts, and intervals from chunks drawn text by text. None where a text
/// has no tokens.
pub(super) fn macro_average(texts: &[Usable<'_>], seed: u64) -> Vec<Figure> {
    let figures = texts.iter().map(|text| Some(estimates(&text.sums().sum::<Moments>().figures()?)));
    let Some(figures) = figures.collect::<Option<Vec<_>>>().filter(|figures| !figures.is_empty()) else {
        return Vec::new();
    };
    let clusters: Vec<Vec<[f64; COLUMNS]>> = texts.iter().map(Usable::clusters).collect();
    let strata: Vec<&[[f64; COLUMNS]]> = clusters.iter().map(Vec::as_slice).collect();
    let n = texts.len() as f64;
    let mut list = Vec::new();
    for (place, (key, interval)) in intervals(&strata, seed).into_iter().enumerate() {
        let of_texts = || figures.iter().filter_map(|figures| figures.get(place)).map(|(_, figure)| figure);
        let value = of_texts().map(|figure| figure.value).sum::<f64>() / n;
        let error = of_texts().map(|figure| figure.error.powi(2)).sum::<f64>().sqrt() / n;
        list.push(Figure { key, value, stderr: Some(error), interval });
    }
    list
}

/// Sums of a chunk; nothing where it cannot be used.
pub(super) fn chunk_sums(item: &ItemRecord) -> Option<Moments> {
    match &item.score {
        ItemScore::Chunk(chunk) if even(chunk) && !chunk.nll.0.is_empty() => Some(chunk.sums()),
        _ => None,
    }
}

fn even(chunk: &ChunkScore) -> bool {
    let n = chunk.nll.0.len();
    [chunk.nll_base.0.len(), chunk.kld.0.len(), chunk.delta_p.0.len(), chunk.same_top.len()] == [n; 4]
}

fn insert_after(list: &mut Vec<Figure>, key: &str, more: Vec<Figure>) {
    let at = list.iter().position(|figure| figure.key == key).map_or(list.len(), |i| i + 1);
    list.splice(at..at, more);
}

fn plain(key: &'static str, value: f64) -> Figure {
    Figure { key, value, stderr: None, interval: None }
}

/// Maximum, upper percentiles, median, lower percentiles, minimum.
fn spread(
    values: &Sorted,
    [max, median, min]: [&'static str; 3],
    percentiles: &[(&'static str, f32)],
) -> Vec<Figure> {
    let (upper, lower) = percentiles.split_at(percentiles.len() / 2);
    let quantiles = |part: &[(&'static str, f32)]| -> Vec<(&'static str, Option<f32>)> {
        part.iter().map(|&(key, fraction)| (key, values.quantile(fraction))).collect()
    };
    std::iter::once((max, values.max()))
        .chain(quantiles(upper))
        .chain([(median, values.median())])
        .chain(quantiles(lower))
        .chain([(min, values.min())])
        .filter_map(|(key, value)| Some(plain(key, f64::from(value?))))
        .collect()
}

fn estimates(figures: &TextFigures) -> [(&'static str, PlusMinus); INTERVALS] {
    [
        ("ppl", figures.ppl),
        ("ppl_base", figures.ppl_base),
        ("ppl_diff", figures.ppl_diff),
        ("ppl_ratio", figures.ppl_ratio),
        ("ln_ratio", figures.ln_ratio),
        ("kld_mean", figures.kld_mean),
        ("delta_p_mean", figures.delta_p_mean),
        ("delta_p_rms", figures.delta_p_rms),
        ("same_top_p", figures.same_top_p),
    ]
}

/// 95% intervals by the bootstrap over chunks, all from the same resamples, in the order of [`estimates`]; of
/// several texts those of the mean over them.
fn intervals(texts: &[&[[f64; COLUMNS]]], seed: u64) -> [(&'static str, Option<(f64, f64)>); INTERVALS] {
    let [ppl, base, diff, ratio, ln_ratio, kld, mean, rms, same] =
        stats::stratified_intervals(texts, seed, |&[n, q, b, kld, same, delta_p, squares]| {
            let (ppl, base) = ((q / n).exp(), (b / n).exp());
            let ln_ratio = (q - b) / n;
            let rms = (squares / n).sqrt();
            [ppl, base, ppl - base, ln_ratio.exp(), ln_ratio, kld / n, delta_p / n, rms, same / n]
        });
    [
        ("ppl", ppl),
        ("ppl_base", base),
        ("ppl_diff", diff),
        ("ppl_ratio", ratio),
        ("ln_ratio", ln_ratio),
        ("kld_mean", kld),
        ("delta_p_mean", mean),
        ("delta_p_rms", rms),
        ("same_top_p", same),
    ]
}
