//! Multiple choice, scored as lm-evaluation-harness 0.4 does: the choice with the largest sum of ln p (`acc`), of
//! ln p a character (`acc_norm`) and of ln p a byte (`acc_bytes`); the first maximum wins, as with numpy's argmax.
//! Scored as llama-perplexity does there is one, the largest mean of ln p a token, which it calls `acc_norm`; of items
//! with a single choice there is the share that greedy decoding would write (`acc`), and a perplexity.

use std::ops::Range;

use super::measure::{Measure, Measured, failed_note};
use super::scores;
use crate::journal::record::{ChoiceScore, ChoiceScoring, ItemRecord, ItemScore, Picks};
use crate::stats;

/// Metrics of a suite of questions, in the order of [`Verdict::picked`].
pub const METRICS: [&str; 3] = ["acc", "acc_norm", "acc_bytes"];

/// What a model picked on one question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Index of the choice picked by each of [`METRICS`].
    pub picked: [usize; 3],
    /// Index of the right choice.
    pub answer: usize,
}

impl Verdict {
    /// Whether the pick of each of [`METRICS`] is right.
    #[must_use]
    pub fn right(&self) -> [bool; 3] {
        self.picked.map(|picked| picked == self.answer)
    }
}

/// Judges one question.
///
/// # Errors
/// Why the item cannot be scored: it failed, it is no question, it has no choices, its answer is none of them,
/// or a choice's log-probability is not finite.
pub fn judge(score: &ItemScore) -> Result<Verdict, String> {
    let question = match score {
        ItemScore::Choice(question) => question,
        ItemScore::Judged(Picks { picked, answer }) => {
            return Ok(Verdict { picked: picked.map(usize::from), answer: usize::from(*answer) });
        }
        ItemScore::Failed { reason } => return Err(reason.clone()),
        ItemScore::Generated(_) => return Err("its answers were written, not chosen".to_owned()),
        ItemScore::Chunk(_) => return Err("it is a chunk of a text and not a question".to_owned()),
    };
    let (answer, choices) = (question.answer as usize, &question.choices);
    if answer >= choices.len() {
        return Err(format!("the answer is choice {answer}, counted from 0, of {}", choices.len()));
    }
    if let Some(place) = choices.iter().position(|c| !c.logprob.is_finite()) {
        return Err(format!("the log-probability of choice {place}, counted from 0, is not finite"));
    }
    if question.scoring == ChoiceScoring::LlamaPerplexity {
        let picked = first_maximum(choices, |c| c.logprob / f64::from(c.tokens));
        return Ok(Verdict { picked: [picked; 3], answer });
    }
    if let [ChoiceScore { greedy: Some(greedy), .. }] = choices.as_slice() {
        return Ok(Verdict { picked: [usize::from(!greedy); 3], answer });
    }
    let picked = [
        first_maximum(choices, |c| c.logprob),
        first_maximum(choices, |c| c.logprob / f64::from(c.chars)),
        first_maximum(choices, |c| c.logprob / f64::from(c.bytes)),
    ];
    Ok(Verdict { picked, answer })
}

/// Whether more of a question counts than which choices are picked: the probabilities themselves, or by whom it was scored.
pub(super) fn counts_logprobs(score: &ItemScore) -> bool {
    score.question().is_some_and(|question| {
        !question.labels.is_empty()
            || question.scoring == ChoiceScoring::LlamaPerplexity
            || question.choices.iter().any(|choice| choice.greedy.is_some())
    })
}

fn first_maximum(choices: &[ChoiceScore], value: impl Fn(&ChoiceScore) -> f64) -> usize {
    let mut best = (0, f64::NEG_INFINITY);
    for (place, choice) in choices.iter().enumerate() {
        let value = value(choice);
        if value > best.1 {
            best = (place, value);
        }
    }
    best.0
}

/// Places among [`METRICS`] of those that these items have.
pub(super) fn known(items: &[&ItemRecord]) -> Range<usize> {
    let by_token = |item: &&ItemRecord| {
        item.score.question().is_some_and(|question| question.scoring == ChoiceScoring::LlamaPerplexity)
    };
    if items.iter().any(|item| only(item).is_some()) {
        0..1
    } else if items.iter().any(by_token) {
        1..2
    } else {
        0..METRICS.len()
    }
}

/// What the true choices of an item have of the probability of all, where several may be true: lm-eval's `acc` of
/// `truthfulqa_mc2`. `None` for other items, and where a log-probability is not finite.
#[must_use]
pub fn mass(score: &ItemScore) -> Option<f64> {
    let question = score.question()?;
    let (choices, labels) = (&question.choices, &question.labels);
    if labels.is_empty() || labels.len() != choices.len() || choices.iter().any(|c| !c.logprob.is_finite()) {
        return None;
    }
    // Divided by the likeliest, so that nothing becomes 0 by itself.
    let largest = choices.iter().map(|c| c.logprob).fold(f64::NEG_INFINITY, f64::max);
    let sum = |wanted: Option<bool>| -> f64 {
        let each = choices.iter().zip(labels).filter(|(_, label)| wanted.is_none_or(|w| w == **label));
        each.map(|(choice, _)| (choice.logprob - largest).exp()).sum()
    };
    Some(sum(Some(true)) / sum(None))
}

/// The share of probability of true choices over items; nothing where there are none of that kind.
fn masses(items: &[&ItemRecord], clusters: &[u32]) -> Option<Measured> {
    let labelled =
        |item: &&ItemRecord| item.score.question().is_some_and(|question| !question.labels.is_empty());
    if !items.iter().any(labelled) {
        return None;
    }
    let found = items.iter().filter_map(|item| Some((item.index, mass(&item.score)?)));
    let (found, shared) = scores::with_clusters(found, clusters);
    let failed: Vec<String> = items
        .iter()
        .filter(|item| mass(&item.score).is_none())
        .map(|item| judge(&item.score).err().unwrap_or_default())
        .collect();
    let measure = stats::mean_in_clusters(&found, shared.as_deref())
        .map(|mean| Measure::new(METRICS[0], mean.point, Some(mean.standard_error), Some(mean.interval)));
    let notes = failed_note(&failed).into_iter().collect();
    Some(Measured { measures: measure.into_iter().collect(), n: found.len() as u64, notes })
}

/// The choice of an item that has one, by which greedy decoding is judged.
fn only(item: &ItemRecord) -> Option<&ChoiceScore> {
    match item.score.question()?.choices.as_slice() {
        [choice @ ChoiceScore { greedy: Some(_), .. }] => Some(choice),
        _ => None,
    }
}

/// lm-eval's `perplexity`: of a continuation, whatever its tokens.
fn perplexity(items: &[&ItemRecord], clusters: &[u32]) -> Option<Measure> {
    let found = items.iter().filter_map(|item| Some((item.index, only(item)?.logprob)));
    let (logprobs, shared) = scores::with_clusters(found.filter(|(_, p)| p.is_finite()), clusters);
    let mean = stats::mean_in_clusters(&logprobs, shared.as_deref())?;
    let ppl = (-mean.point).exp();
    let interval = ((-mean.interval.1).exp(), (-mean.interval.0).exp());
    Some(Measure::new("ppl", ppl, Some(ppl * mean.standard_error), Some(interval)))
}

/// What an item is worth on an accuracy: 0 or 1, or where several choices may be true their share.
pub(super) fn score(score: &ItemScore, metric: &str) -> Option<f64> {
    let place = METRICS.iter().position(|m| *m == metric)?;
    if let Some(mass) = mass(score) {
        return Some(mass);
    }
    let right = judge(score).ok()?.right();
    right.get(place).map(|right| f64::from(u8::from(*right)))
}

/// Which choice a metric picks; nothing for an item that cannot be judged.
#[must_use]
pub(super) fn picked(score: &ItemScore, metric: &str) -> Option<usize> {
    let place = METRICS.iter().position(|m| *m == metric).unwrap_or(0);
    judge(score).ok().and_then(|verdict| verdict.picked.get(place).copied())
}

/// Whether a metric picks another choice by one score than by the other; if one cannot be judged, it does not.
#[must_use]
pub(super) fn flipped(a: &ItemScore, b: &ItemScore, metric: &str) -> bool {
    picked(a, metric).zip(picked(b, metric)).is_some_and(|(a, b)| a != b)
}

/// The three accuracies over the items that could be scored; `clusters` of all items of the suite, by their index.
pub(super) fn measure(items: &[&ItemRecord], clusters: &[u32]) -> Measured {
    if let Some(masses) = masses(items, clusters) {
        return masses;
    }
    let mut right = Vec::new();
    let mut failed = Vec::new();
    for item in items {
        match judge(&item.score) {
            Ok(verdict) => right.push((item.index, verdict.right())),
            Err(reason) => failed.push(reason),
        }
    }
    let shared = scores::among(clusters, right.iter().map(|(index, _)| *index));
    let verdicts = |metric: usize| -> Vec<bool> {
        right.iter().map(|(_, right)| right.get(metric) == Some(&true)).collect()
    };
    let known = known(items);
    let metrics = METRICS.into_iter().enumerate().filter(|(place, _)| known.contains(place));
    let measures = metrics.filter_map(|(place, metric)| {
        let estimate = stats::share(&verdicts(place), shared.as_deref())?;
        Some(Measure::new(metric, estimate.point, Some(estimate.standard_error), Some(estimate.interval)))
    });
    Measured {
        measures: measures.chain(perplexity(items, clusters)).collect(),
        n: right.len() as u64,
        notes: failed_note(&failed).into_iter().collect(),
    }
}
