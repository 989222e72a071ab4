//! Multiple choice, scored as lm-evaluation-harness 0.4 does: the choice with the largest sum of ln p (`acc`), of
//! ln p a character (`acc_norm`) and of ln p a byte (`acc_bytes`); the first maximum wins, as with numpy's argmax.

use super::measure::{Measure, Measured, failed_note};
use crate::journal::record::{ChoiceScore, ItemRecord, ItemScore};
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
    let (answer, choices) = match score {
        ItemScore::Choice { answer, choices, .. } => (*answer as usize, choices),
        ItemScore::Failed { reason } => return Err(reason.clone()),
        ItemScore::Chunk(_) => return Err("it is a chunk of a text and not a question".to_owned()),
    };
    if answer >= choices.len() {
        return Err(format!("the answer is choice {answer}, counted from 0, of {}", choices.len()));
    }
    if let Some(place) = choices.iter().position(|c| !c.logprob.is_finite()) {
        return Err(format!("the log-probability of choice {place}, counted from 0, is not finite"));
    }
    let picked = [
        first_maximum(choices, |c| c.logprob),
        first_maximum(choices, |c| c.logprob / f64::from(c.chars)),
        first_maximum(choices, |c| c.logprob / f64::from(c.bytes)),
    ];
    Ok(Verdict { picked, answer })
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

/// The three accuracies over the items that could be scored.
pub(super) fn measure(items: &[ItemRecord]) -> Measured {
    let mut right = Vec::new();
    let mut failed = Vec::new();
    for item in items {
        match judge(&item.score) {
            Ok(verdict) => right.push(verdict.right()),
            Err(reason) => failed.push(reason),
        }
    }
    let share = |metric: usize| right.iter().filter(|r| r.get(metric) == Some(&true)).count();
    let measures = METRICS.into_iter().enumerate().filter_map(|(place, metric)| {
        let estimate = stats::proportion(share(place), right.len())?;
        Some(Measure::new(metric, estimate.point, Some(estimate.standard_error), Some(estimate.interval)))
    });
    Measured {
        measures: measures.collect(),
        n: right.len() as u64,
        notes: failed_note(&failed).into_iter().collect(),
    }
}
