//! Answers that a model wrote: the share that is right, metric by metric, and how long they are.
//!
//! A metric is a ratio of sums over items (IFEval's instruction level has several instructions an item). Its error is
//! that of a ratio of clusters, by linearisation: with R the ratio, item i stands for `R + (right_i - R of_i) / mean of`
//! (Cochran, Sampling Techniques, 6.4). Where each item counts as one, these are the items' own scores.

use std::collections::BTreeMap;

use super::loops::ends_in_a_loop;
use super::measure::{Measure, Measured, failed_note};
use super::scores;
use crate::journal::record::{GeneratedAnswer, Grade, ItemRecord, ItemScore, Stop};
use crate::stats::{self, Estimate};

/// What the names of metrics of written answers begin with.
const EXACT_MATCH: &str = "exact_match";
/// What the names of shares of programs that pass their tests begin with.
const PASS_AT: &str = "pass@";
/// Share of repositories whose tests pass in the end.
const SOLVED: &str = "solved";
/// Share of answers that are what they should be in form: of what is meant as calls, or programs, what can be read as such.
const WELL_FORMED: &str = "well_formed";
/// What the names of accuracies among instructions end with.
const ACCURACY: &str = "_acc";
/// What the names of metrics begin with that look for texts in answers.
const CONTAINS: &str = "contains";
/// Mean of the accuracies, where a suite has several.
const MEAN_ACC: &str = "mean_acc";
/// Mean number of tokens of an answer, its thought included.
const ANSWER_TOKENS: &str = "answer_tokens";
/// Share of answers that ended because they had their most tokens.
const CUT_OFF: &str = "cut_off";
/// Share of answers that had their most tokens and ran in circles.
const LOOPS: &str = "loops";

/// Signs that move before accuracy does: what an answer adds to each.
type Sign = (&'static str, fn(&GeneratedAnswer) -> f64);
const SIGNS: [Sign; 3] = [
    (ANSWER_TOKENS, |answer| answer.tokens as f64),
    (CUT_OFF, |answer| f64::from(u8::from(answer.stop == Stop::Length))),
    (LOOPS, |answer| f64::from(u8::from(answer.stop == Stop::Length && ends_in_a_loop(&answer.output)))),
];

/// Whether a metric is one of written answers of which more is better.
pub(super) fn is_accuracy(metric: &str) -> bool {
    metric.starts_with(EXACT_MATCH)
        || metric.starts_with(PASS_AT)
        || metric.starts_with(CONTAINS)
        || metric == WELL_FORMED
        || metric == SOLVED
        || metric.ends_with(ACCURACY)
}

/// What an item that was scored is worth on each metric.
pub(super) fn grades(item: &ItemRecord) -> Option<&[Grade]> {
    match &item.score {
        ItemScore::Generated(score) => Some(&score.grades),
        _ => None,
    }
}

/// Metrics of a suite, as its first scored item has them.
pub(super) fn metrics(items: &[&ItemRecord]) -> Vec<String> {
    let first = items.iter().find_map(|item| grades(item)).unwrap_or_default();
    first.iter().map(|grade| grade.metric.clone()).collect()
}

/// An item's part in a metric: right, of how much.
pub(super) fn part(item: &ItemRecord, metric: &str) -> Option<(f64, f64)> {
    let grade = grades(item)?.iter().find(|grade| grade.metric == metric)?;
    Some((grade.right, grade.of)).filter(|(right, of)| right.is_finite() && of.is_finite())
}

/// What each item stands for in a metric; see the top of this file.
pub(super) fn stands_for(items: &[&ItemRecord], metric: &str) -> BTreeMap<u64, f64> {
    let parts: Vec<(u64, f64, f64)> = items
        .iter()
        .filter_map(|item| part(item, metric).map(|(right, of)| (item.index, right, of)))
        .collect();
    let right: f64 = parts.iter().map(|(_, right, _)| right).sum();
    let of: f64 = parts.iter().map(|(_, _, of)| of).sum();
    if of <= 0.0 {
        return BTreeMap::new();
    }
    let (ratio, mean_of) = (right / of, of / parts.len() as f64);
    parts.into_iter().map(|(index, right, of)| (index, ratio + (right - ratio * of) / mean_of)).collect()
}

/// All metrics over the items that could be scored; `clusters` of all items of the suite, by their index.
pub(super) fn measure(items: &[&ItemRecord], clusters: &[u32]) -> Measured {
    let failed: Vec<String> = items.iter().filter_map(|item| reason(item)).collect();
    let scored: Vec<&ItemRecord> = items.iter().copied().filter(|item| grades(item).is_some()).collect();
    let names = metrics(&scored);
    let mut measures: Vec<Measure> = names
        .iter()
        .filter_map(|name| Some(measured(name.clone(), estimate(&scored, name, clusters)?)))
        .collect();
    if names.len() > 1 && names.iter().all(|name| name.ends_with(ACCURACY)) {
        let shared = scores::among(clusters, scored.iter().map(|item| item.index));
        let mean = mean_of_metrics(&scored, &names);
        let mean = mean.and_then(|each| stats::mean_in_clusters(&each, shared.as_deref()));
        measures.extend(mean.map(|mean| measured(MEAN_ACC.to_owned(), mean)));
    }
    measures.extend(signs(&scored, clusters));
    let notes = failed_note(&failed).into_iter().chain(unguarded(&scored)).collect();
    Measured { measures, n: scored.len() as u64, notes }
}

fn measured(metric: String, estimate: Estimate) -> Measure {
    Measure::new(metric, estimate.point, Some(estimate.standard_error), Some(estimate.interval))
}

/// Shares of whole items have the interval of a share.
fn estimate(items: &[&ItemRecord], metric: &str, clusters: &[u32]) -> Option<Estimate> {
    let parts = items.iter().filter_map(|item| Some((item.index, part(item, metric)?)));
    let (parts, shared) = scores::with_clusters(parts, clusters);
    if let Some(right) = parts.iter().map(|part| verdict(*part)).collect::<Option<Vec<bool>>>() {
        return stats::share(&right, shared.as_deref());
    }
    let (values, shared) = scores::with_clusters(stands_for(items, metric).into_iter(), clusters);
    let ratio = stats::mean_in_clusters(&values, shared.as_deref())?;
    // All or nothing varies in no item; what that tells is told by their number.
    let count = parts.iter().filter(|(_, of)| *of > 0.0).count();
    let extreme = [(0.0, 0), (1.0, count)].into_iter().find(|(end, _)| (ratio.point - end).abs() < 1e-12);
    match extreme {
        Some((_, whole)) => stats::proportion(whole, count).or(Some(ratio)),
        None => Some(ratio),
    }
}

/// Right or wrong, where an item is one or the other.
#[expect(clippy::float_cmp, reason = "0 and 1 are written as such")]
pub(super) fn verdict((right, of): (f64, f64)) -> Option<bool> {
    (of == 1.0 && (right == 0.0 || right == 1.0)).then_some(right == 1.0)
}

fn mean_of_metrics(items: &[&ItemRecord], names: &[String]) -> Option<Vec<f64>> {
    let columns: Vec<BTreeMap<u64, f64>> = names.iter().map(|name| stands_for(items, name)).collect();
    let one = |item: &&ItemRecord| {
        let each = columns.iter().map(|column| column.get(&item.index).copied());
        Some(each.sum::<Option<f64>>()? / columns.len() as f64)
    };
    items.iter().map(one).collect()
}

fn signs(items: &[&ItemRecord], clusters: &[u32]) -> Vec<Measure> {
    let measure = |sign: &Sign| {
        let found = items.iter().filter_map(|item| Some((item.index, sign_of(item, sign)?)));
        let (values, shared) = scores::with_clusters(found, clusters);
        Some(measured(sign.0.to_owned(), mean_or_share(&values, shared.as_deref())?))
    };
    SIGNS.iter().filter_map(measure).collect()
}

/// The mean; where it is a share of items, with the interval of a share.
fn mean_or_share(values: &[f64], clusters: Option<&[u32]>) -> Option<Estimate> {
    let verdicts: Option<Vec<bool>> = values.iter().map(|value| verdict((*value, 1.0))).collect();
    match verdicts {
        Some(verdicts) => stats::share(&verdicts, clusters),
        None => stats::mean_in_clusters(values, clusters),
    }
}

/// Mean over an item's answers.
fn sign_of(item: &ItemRecord, (_, value): &Sign) -> Option<f64> {
    let ItemScore::Generated(score) = &item.score else { return None };
    stats::mean(&score.answers.iter().map(value).collect::<Vec<_>>()).map(|mean| mean.point)
}

/// Names of the signs.
pub(super) fn sign_names() -> impl Iterator<Item = &'static str> {
    SIGNS.iter().map(|(name, _)| *name)
}

/// What an item adds to the sign of that name.
pub(super) fn sign(item: &ItemRecord, name: &str) -> Option<f64> {
    SIGNS.iter().find(|(known, _)| *known == name).and_then(|sign| sign_of(item, sign))
}

/// Says that programs ran without a sandbox, if any did.
fn unguarded(items: &[&ItemRecord]) -> Option<String> {
    let is_unguarded = |item: &&&ItemRecord| match &item.score {
        ItemScore::Generated(score) => score.outcomes.iter().any(|outcome| outcome.guard == "none"),
        _ => false,
    };
    let count = items.iter().filter(is_unguarded).count();
    (count > 0).then(|| format!("the programs of {count} items ran without a sandbox"))
}

/// Why an item is not scored, if it is not.
pub(super) fn reason(item: &ItemRecord) -> Option<String> {
    match &item.score {
        ItemScore::Generated(_) => None,
        ItemScore::Failed { reason } => Some(reason.clone()),
        ItemScore::Choice(_) | ItemScore::Judged(_) | ItemScore::Chunk(_) => {
            Some("it is no written answer".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::record::GeneratedScore;

    fn item(index: u64, grades: &[(&str, f64, f64)]) -> ItemRecord {
        let grade = |(metric, right, of): &(&str, f64, f64)| Grade {
            metric: (*metric).to_owned(),
            right: *right,
            of: *of,
        };
        let score = ItemScore::Generated(Box::new(GeneratedScore {
            prompt: String::new(),
            prompt_tokens: 3,
            reference: String::new(),
            answers: vec![GeneratedAnswer {
                output: "x".to_owned(),
                graded: None,
                tokens: 10 + index,
                seconds: 0.5,
                stop: if index == 0 { Stop::Length } else { Stop::End },
            }],
            extracted: Vec::new(),
            outcomes: Vec::new(),
            grades: grades.iter().map(grade).collect(),
        }));
        ItemRecord { index, id: index.to_string(), score }
    }

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
    }

    fn value(measured: &Measured, metric: &str) -> (f64, f64) {
        let found = measured.measures.iter().find(|m| m.metric == metric).expect(metric);
        (found.value.expect("a value"), found.stderr.expect("an error"))
    }

    #[test]
    fn a_share_of_whole_items_is_a_proportion() {
        let items: Vec<_> =
            (0..4).map(|i| item(i, &[("exact_match", f64::from(u8::from(i > 0)), 1.0)])).collect();
        let measured = measure(&items.iter().collect::<Vec<_>>(), &[]);
        let expected = stats::proportion(3, 4).expect("an estimate");
        assert_eq!(value(&measured, "exact_match"), (expected.point, expected.standard_error));
        assert!(near(value(&measured, "answer_tokens").0, 11.5));
        assert!(near(value(&measured, "cut_off").0, 0.25));
        assert!(!measured.measures.iter().any(|m| m.metric == "mean_acc"));
    }

    /// None of five pooled instructions, and none of two answers cut off: no certainty that there never is one.
    #[test]
    fn all_or_nothing_is_no_certainty() {
        let items = [2.0, 3.0, 0.0].map(|of| item(1, &[("inst_level_strict_acc", 0.0, of)]));
        let measured = measure(&items.iter().collect::<Vec<_>>(), &[]);
        let interval = |metric: &str| {
            measured.measures.iter().find(|m| m.metric == metric).and_then(|m| m.interval).expect(metric)
        };
        assert_eq!(interval("inst_level_strict_acc"), stats::wilson(0, 2).expect("an interval"));
        assert_eq!(interval("cut_off"), stats::wilson(0, 3).expect("an interval"));
    }

    #[test]
    fn instructions_are_pooled_and_their_error_is_that_of_clusters() {
        let items = [
            item(0, &[("prompt_level_strict_acc", 1.0, 1.0), ("inst_level_strict_acc", 3.0, 3.0)]),
            item(1, &[("prompt_level_strict_acc", 0.0, 1.0), ("inst_level_strict_acc", 0.0, 1.0)]),
        ];
        let measured = measure(&items.iter().collect::<Vec<_>>(), &[]);
        let (pooled, error) = value(&measured, "inst_level_strict_acc");
        assert!(near(pooled, 0.75));
        // Residuals are 3 - 2.25 and 0 - 0.75, over a mean of 2 instructions.
        assert!((error - (2.0_f64 * 0.375 * 0.375 / 2.0).sqrt()).abs() < 1e-12, "{error}");
        assert!(near(value(&measured, "mean_acc").0, 0.625));
    }

    #[test]
    fn failed_items_are_left_out_and_named() {
        let failed = ItemScore::Failed { reason: "too long".to_owned() };
        let items = [
            item(0, &[("exact_match", 1.0, 1.0)]),
            ItemRecord { index: 1, id: "1".to_owned(), score: failed },
        ];
        let measured = measure(&items.iter().collect::<Vec<_>>(), &[]);
        assert_eq!((measured.n, measured.notes), (1, vec!["1 item failed: too long".to_owned()]));
    }
}
