//! Every variant against the base on the items both have: the difference, the error of the *difference*, and the
//! answers that flipped.

use super::choice::{self, METRICS, judge, known};
use super::generated;
use super::noise;
use super::perplexity;
use super::planned::{Planned, Sheet, SuiteKind, by_corpus};
use super::report::{ComparisonRow, MetricRow};
use crate::journal::record::{ItemRecord, SuiteRecord};
use crate::stats;
use std::collections::HashMap;

/// Rows of `comparisons.csv`: variants but the base, suites and metrics, in plan order.
pub(super) fn rows(sheet: &Sheet, metrics: &[MetricRow]) -> Vec<ComparisonRow> {
    let mut rows = Vec::new();
    for variant in sheet.manifest.variants.iter().filter(|v| v.name != sheet.base()) {
        for suite in &sheet.manifest.suites {
            let Some(trial) = sheet.suite_trial(&variant.name, &suite.name) else { continue };
            match sheet.kind_of(suite) {
                SuiteKind::Text => rows.extend([text_row(suite, trial), divergence_row(trial, metrics)]),
                kind => {
                    let base = sheet.suite_trial(sheet.base(), &suite.name);
                    let base = base.map_or(&[][..], Planned::items);
                    let of = if kind == SuiteKind::Answers { answer_rows } else { question_rows };
                    rows.extend(of(trial, base));
                }
            }
        }
    }
    rows
}

/// Each token's base score travels with the variant's own, so the pairs are in the variant's items.
fn text_row(suite: &SuiteRecord, trial: &Planned) -> ComparisonRow {
    let difference = if suite.corpora.is_empty() {
        perplexity::difference(trial.items())
    } else {
        perplexity::average_difference(&by_corpus(suite, trial.items()))
    };
    ComparisonRow {
        delta: difference.map(|d| d.delta).filter(|d| d.is_finite()),
        delta_stderr: difference.map(|d| d.stderr).filter(|s| s.is_finite()),
        n: difference.map_or(0, |d| d.n),
        ..empty_row(trial, "ppl")
    }
}

/// The base diverges from itself by nothing, so the divergence is the difference.
fn divergence_row(trial: &Planned, metrics: &[MetricRow]) -> ComparisonRow {
    let (variant, suite) = (&trial.spec.variant, &trial.spec.suite);
    let found =
        metrics.iter().find(|m| m.variant == *variant && m.suite == *suite && m.metric == noise::DIVERGENCE);
    ComparisonRow {
        delta: found.and_then(|m| m.value),
        delta_stderr: found.and_then(|m| m.stderr),
        n: found.map_or(0, |m| m.n),
        verdict: found.and_then(|m| noise::verdict(m, metrics)).unwrap_or_default().to_owned(),
        ..empty_row(trial, noise::DIVERGENCE)
    }
}

fn question_rows(trial: &Planned, base: &[ItemRecord]) -> Vec<ComparisonRow> {
    if trial.items().iter().any(|item| choice::mass(&item.score).is_some()) {
        return vec![mass_row(empty_row(trial, METRICS[0]), trial.items(), base)];
    }
    let known = known(&trial.items().iter().collect::<Vec<_>>());
    let base: HashMap<u64, [bool; 3]> = base.iter().filter_map(right).collect();
    let pairs: Vec<([bool; 3], [bool; 3])> = trial
        .items()
        .iter()
        .filter_map(right)
        .filter_map(|(index, variant)| Some((*base.get(&index)?, variant)))
        .collect();
    let row = |(place, metric): (usize, &str)| {
        let pairs: Vec<(bool, bool)> =
            pairs.iter().filter_map(|(b, v)| Some((*b.get(place)?, *v.get(place)?))).collect();
        question_row(empty_row(trial, metric), &pairs)
    };
    METRICS.into_iter().enumerate().filter(|(place, _)| known.contains(place)).map(row).collect()
}

/// Of questions that have several true choices: the difference of their probability.
fn mass_row(empty: ComparisonRow, items: &[ItemRecord], base: &[ItemRecord]) -> ComparisonRow {
    let mass = |item: &ItemRecord| Some((item.index, choice::mass(&item.score)?));
    let base: HashMap<u64, f64> = base.iter().filter_map(mass).collect();
    let pairs = items.iter().filter_map(mass).filter_map(|(index, v)| Some((*base.get(&index)?, v)));
    paired(empty, &pairs.collect::<Vec<_>>())
}

/// Which metrics got an item right, by the item's index.
fn right(item: &ItemRecord) -> Option<(u64, [bool; 3])> {
    judge(&item.score).ok().map(|verdict| (item.index, verdict.right()))
}

fn question_row(empty: ComparisonRow, pairs: &[(bool, bool)]) -> ComparisonRow {
    let score = |right: bool| f64::from(u8::from(right));
    let scores: Vec<(f64, f64)> = pairs.iter().map(|&(b, v)| (score(b), score(v))).collect();
    if pairs.is_empty() {
        return empty;
    }
    let flips = stats::flips(pairs);
    ComparisonRow { flips_lost: Some(flips.lost), flips_won: Some(flips.won), ..paired(empty, &scores) }
}

fn answer_rows(trial: &Planned, base: &[ItemRecord]) -> Vec<ComparisonRow> {
    let metrics = generated::metrics(&trial.items().iter().collect::<Vec<_>>());
    let graded = metrics.iter().map(|metric| answer_row(empty_row(trial, metric), trial.items(), base));
    let signs = generated::sign_names().map(|sign| sign_row(empty_row(trial, sign), trial.items(), base));
    graded.chain(signs).collect()
}

/// How answers have changed that may be as right as before: length, and answers that were cut off or ran in circles.
fn sign_row(empty: ComparisonRow, items: &[ItemRecord], base: &[ItemRecord]) -> ComparisonRow {
    let sign = |item: &ItemRecord| Some((item.index, generated::sign(item, &empty.metric)?));
    let base: HashMap<u64, f64> = base.iter().filter_map(sign).collect();
    let pairs: Vec<(f64, f64)> =
        items.iter().filter_map(sign).filter_map(|(index, v)| Some((*base.get(&index)?, v))).collect();
    paired(empty, &pairs)
}

/// On the items both have: flips where an item is right or wrong, the difference of what items stand for anyway.
fn answer_row(empty: ComparisonRow, items: &[ItemRecord], base: &[ItemRecord]) -> ComparisonRow {
    let base: HashMap<u64, &ItemRecord> = base.iter().map(|item| (item.index, item)).collect();
    let both: Vec<(&ItemRecord, &ItemRecord)> = items
        .iter()
        .filter_map(|item| Some((*base.get(&item.index)?, item)))
        .filter(|(b, v)| generated::grades(b).is_some() && generated::grades(v).is_some())
        .collect();
    let verdicts: Option<Vec<(bool, bool)>> = both
        .iter()
        .map(|(b, v)| {
            let verdict = |item| generated::verdict(generated::part(item, &empty.metric)?);
            Some((verdict(b)?, verdict(v)?))
        })
        .collect();
    if let Some(verdicts) = verdicts {
        return question_row(empty, &verdicts);
    }
    let (bases, variants): (Vec<&ItemRecord>, Vec<&ItemRecord>) = both.into_iter().unzip();
    let [before, after] = [bases, variants].map(|items| generated::stands_for(&items, &empty.metric));
    let pairs: Vec<(f64, f64)> =
        before.iter().filter_map(|(index, b)| Some((*b, *after.get(index)?))).collect();
    paired(empty, &pairs)
}

fn paired(empty: ComparisonRow, pairs: &[(f64, f64)]) -> ComparisonRow {
    let Some(difference) = stats::difference(pairs) else { return empty };
    ComparisonRow {
        delta: Some(difference.point),
        delta_stderr: Some(difference.standard_error).filter(|s| s.is_finite()),
        n: pairs.len() as u64,
        ..empty
    }
}

fn empty_row(trial: &Planned, metric: &str) -> ComparisonRow {
    ComparisonRow {
        variant: trial.spec.variant.clone(),
        suite: trial.spec.suite.clone(),
        metric: metric.to_owned(),
        delta: None,
        delta_stderr: None,
        flips_lost: None,
        flips_won: None,
        n: 0,
        verdict: String::new(),
        partial: String::new(),
    }
}
