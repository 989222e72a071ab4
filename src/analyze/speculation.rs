//! What a draft is worth: how much of what it proposes is taken, and how fast both together write against the target
//! alone on the same prompts.
//!
//! Rates are tokens over seconds, both summed over prompts and repetitions; the ratio of the speculative to the plain
//! rate has a bootstrap interval over prompts, in which each prompt brings its plain and its speculative times
//! together. The best length has the highest ratio; another is tied with it if the interval of the quotient of their
//! rates, over the same resamples, holds 1. A divergence is a near-tie if the two logits lie within the tolerance.

use serde::Serialize;

use serde_json::Value;

use super::planned::Sheet;
use crate::journal::record::{Divergence, DraftRuns, Outcome, PromptRuns, Speculated, TrialKind};
use crate::stats::bootstrap_intervals;

/// Seed of the resamples: the same measurements always have the same intervals.
const SEED: u64 = 1;

/// A row of `speculation.csv`: one target, draft and draft length.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct SpeculationRow {
    /// The model whose output it is.
    pub target: String,
    /// The model that proposes.
    pub draft: String,
    /// Most tokens proposed in a step.
    pub length: Option<u32>,
    /// Prompts.
    pub prompts: u64,
    /// Tokens written with the draft, in one repetition.
    pub tokens: Option<u64>,
    /// Tokens proposed, in one repetition.
    pub drafted: Option<u64>,
    /// Of these, taken.
    pub accepted: Option<u64>,
    /// Share of the proposed tokens that was taken.
    pub acceptance: Option<f64>,
    /// Tokens written a decode of the target.
    pub tokens_per_step: Option<f64>,
    /// Tokens a second of the target alone.
    pub plain_tps: Option<f64>,
    /// Tokens a second with the draft.
    pub speculative_tps: Option<f64>,
    /// The one over the other, on the same prompts.
    pub ratio: Option<f64>,
    /// Lower end of its 95% interval over prompts.
    pub ratio_ci_low: Option<f64>,
    /// Upper end.
    pub ratio_ci_high: Option<f64>,
    /// `best` for the length with the highest ratio, `tied` for those that cannot be told from it, else empty.
    pub verdict: String,
    /// Prompts whose output is the plain one, token for token.
    pub same_outputs: Option<u64>,
    /// Tokens that one row a step would not have chosen, by no more than the tolerance.
    pub near_ties: Option<u64>,
    /// Largest distance of the two logits at any such token.
    pub largest_gap: Option<f64>,
    /// The tolerance.
    pub tolerance: f64,
    /// Tokens beyond it: none, unless something is wrong.
    pub diverged: Option<u64>,
    /// `done`, `diverged`, or how the trial ended.
    pub status: String,
    /// Why it is not `done`.
    pub reason: String,
}

/// One row a draft length, in ascending order.
#[must_use]
pub fn rows(target: &str, draft: &str, tolerance: f64, measured: &Speculated) -> Vec<SpeculationRow> {
    let lengths = measured.prompts.first().map_or(&[][..], |p| &p.drafts);
    let mut rows: Vec<SpeculationRow> =
        (0..lengths.len()).filter_map(|place| row(target, draft, tolerance, measured, place)).collect();
    let best = (0..rows.len()).max_by(|a, b| {
        let ratio = |i: &usize| rows.get(*i).and_then(|r| r.ratio).unwrap_or(f64::NEG_INFINITY);
        // Of equal ones the shortest.
        ratio(a).total_cmp(&ratio(b)).then(b.cmp(a))
    });
    let Some(best) = best else { return rows };
    for (place, row) in rows.iter_mut().enumerate() {
        if place == best {
            "best".clone_into(&mut row.verdict);
        } else if is_tied(measured, best, place) {
            "tied".clone_into(&mut row.verdict);
        }
    }
    rows
}

/// The rows of a sweep; a trial without a result is a row with its status and reason.
pub(super) fn of_sweep(sheet: &Sheet) -> Vec<SpeculationRow> {
    let trials = sheet.trials.iter().filter(|t| t.spec.kind == TrialKind::Speculate);
    trials
        .flat_map(|trial| {
            let (target, draft) = (&trial.spec.variant, &trial.spec.suite);
            let tolerance = trial.spec.settings.get("tolerance").and_then(Value::as_f64).unwrap_or(0.0);
            match trial.outcome() {
                Some(Outcome::Speculate(measured)) => rows(target, draft, tolerance, measured),
                _ => vec![SpeculationRow {
                    target: target.clone(),
                    draft: draft.clone(),
                    tolerance,
                    status: trial.status().word().to_owned(),
                    reason: trial.reason().to_owned(),
                    ..SpeculationRow::default()
                }],
            }
        })
        .collect()
}

/// Places at which speculative output is not plain output, and the largest distance there.
#[must_use]
pub fn diverged(rows: &[SpeculationRow]) -> Option<(u64, f64)> {
    let count = rows.iter().filter_map(|row| row.diverged).sum();
    let furthest = rows.iter().filter_map(|row| row.largest_gap).fold(0.0, f64::max);
    (count > 0).then_some((count, furthest))
}

/// A distance that counts as a near-tie; one that is not a number does not.
fn is_near(divergence: &Divergence, tolerance: f64) -> bool {
    f64::from(divergence.gap) <= tolerance
}

fn row(
    target: &str,
    draft: &str,
    tolerance: f64,
    measured: &Speculated,
    place: usize,
) -> Option<SpeculationRow> {
    let pairs: Vec<(&PromptRuns, &DraftRuns)> =
        measured.prompts.iter().filter_map(|p| Some((p, p.drafts.get(place)?))).collect();
    let length = pairs.first()?.1.length;
    let sum = |f: fn(&DraftRuns) -> u64| pairs.iter().map(|(_, d)| f(d)).sum::<u64>();
    let (tokens, steps) = (sum(|d| d.tokens), sum(|d| d.steps));
    let (drafted, accepted) = (sum(|d| d.drafted), sum(|d| d.accepted));
    let clusters: Vec<[f64; 4]> = pairs.iter().map(|(p, d)| cluster(p, d)).collect();
    let total = clusters.iter().fold([0.0; 4], |sum, c| std::array::from_fn(|i| sum[i] + c[i]));
    let [interval] = bootstrap_intervals(&clusters, SEED, |sums| [ratio(sums)]);
    let divergences = || pairs.iter().flat_map(|(_, d)| &d.divergences);
    let beyond = divergences().filter(|d| !is_near(d, tolerance)).count() as u64;
    let gaps = divergences().map(|d| f64::from(d.gap));
    Some(SpeculationRow {
        target: target.to_owned(),
        draft: draft.to_owned(),
        length: Some(length),
        prompts: pairs.len() as u64,
        tokens: Some(tokens),
        drafted: Some(drafted),
        accepted: Some(accepted),
        acceptance: quotient(accepted as f64, drafted as f64),
        tokens_per_step: quotient(tokens as f64, steps as f64),
        plain_tps: quotient(total[0], total[1]),
        speculative_tps: quotient(total[2], total[3]),
        ratio: Some(ratio(&total)).filter(|r| r.is_finite()),
        ratio_ci_low: interval.map(|(low, _)| low),
        ratio_ci_high: interval.map(|(_, high)| high),
        verdict: String::new(),
        same_outputs: Some(sum(|d| u64::from(d.same))),
        near_ties: Some(divergences().count() as u64 - beyond),
        largest_gap: gaps.reduce(f64::max),
        tolerance,
        diverged: Some(beyond),
        status: if beyond > 0 { "diverged" } else { "done" }.to_owned(),
        reason: String::new(),
    })
}

/// Plain tokens and seconds, speculative tokens and seconds of a prompt, over all repetitions.
fn cluster(plain: &PromptRuns, draft: &DraftRuns) -> [f64; 4] {
    [
        plain.plain_tokens as f64 * plain.plain_s.len() as f64,
        plain.plain_s.iter().sum(),
        draft.tokens as f64 * draft.seconds.len() as f64,
        draft.seconds.iter().sum(),
    ]
}

fn ratio(sums: &[f64; 4]) -> f64 {
    (sums[2] / sums[3]) / (sums[0] / sums[1])
}

fn quotient(a: f64, b: f64) -> Option<f64> {
    Some(a / b).filter(|q| q.is_finite())
}

/// Whether the rate at one length cannot be told from that at another.
fn is_tied(measured: &Speculated, best: usize, other: usize) -> bool {
    let clusters: Vec<[f64; 4]> = measured
        .prompts
        .iter()
        .filter_map(|p| {
            let [.., tokens, seconds] = cluster(p, p.drafts.get(other)?);
            let [.., best_tokens, best_seconds] = cluster(p, p.drafts.get(best)?);
            Some([tokens, seconds, best_tokens, best_seconds])
        })
        .collect();
    let [interval] = bootstrap_intervals(&clusters, SEED, |sums| [ratio(sums)]);
    interval.is_none_or(|(low, high)| low <= 1.0 && 1.0 <= high)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Prompt `i` of 100 tokens, 2 s plainly; with a draft of 2 and 4 as told, each in two repetitions.
    fn prompt(i: u64, seconds: [f64; 2]) -> PromptRuns {
        let run = |length: u32, seconds: f64| DraftRuns {
            length,
            tokens: 100,
            steps: 100 / u64::from(length),
            drafted: 100,
            accepted: 100 - 10 * u64::from(length),
            seconds: vec![seconds; 2],
            same: true,
            divergences: Vec::new(),
        };
        PromptRuns {
            id: i.to_string(),
            prompt_tokens: 5,
            plain_tokens: 100,
            plain_s: vec![2.0; 2],
            drafts: vec![run(2, seconds[0]), run(4, seconds[1])],
        }
    }

    fn measured(seconds: &[[f64; 2]]) -> Speculated {
        let prompts = (0..).zip(seconds).map(|(i, s)| prompt(i, *s)).collect();
        Speculated { prompts, peak_rss_bytes: 1 }
    }

    #[test]
    fn rates_are_sums_and_the_best_length_is_told() {
        let rows = rows("F16", "Q4_0", 0.1, &measured(&[[1.0, 0.5], [1.0, 1.0], [1.0, 0.7]]));
        let (two, four) = (&rows[0], &rows[1]);
        assert_eq!((two.length, two.prompts, two.tokens, two.same_outputs), (Some(2), 3, Some(300), Some(3)));
        assert_eq!((two.acceptance, two.tokens_per_step), (Some(0.8), Some(2.0)));
        assert_eq!((two.plain_tps, two.speculative_tps, two.ratio), (Some(50.0), Some(100.0), Some(2.0)));
        assert_eq!((two.ratio_ci_low, two.ratio_ci_high), (Some(2.0), Some(2.0)));
        assert!((four.ratio.unwrap() - 6.0 / 2.2).abs() < 1e-12, "{four:?}");
        assert!(four.ratio_ci_low.unwrap() < 2.5 && four.ratio_ci_high.unwrap() > 2.9, "{four:?}");
        // One prompt in three is as fast with 2: a draw of that prompt alone is among the resamples.
        assert_eq!((two.verdict.as_str(), four.verdict.as_str()), ("tied", "best"));
        let rows = super::rows("F16", "Q4_0", 0.1, &measured(&[[1.0, 0.5], [1.0, 0.9], [1.0, 0.7]]));
        assert_eq!((rows[0].verdict.as_str(), rows[1].verdict.as_str()), ("", "best"));
        assert_eq!(diverged(&rows), None);
    }

    #[test]
    fn only_what_lies_beyond_the_tolerance_is_a_failure() {
        let mut measured = measured(&[[1.0, 1.0], [1.0, 1.0]]);
        let gap = |gap| Divergence { at: 3, plain: 1, written: 2, gap };
        let run = &mut measured.prompts[1].drafts[0];
        (run.same, run.divergences) = (false, vec![gap(0.0), gap(0.0625)]);
        measured.prompts[0].drafts[1].divergences = vec![gap(0.125), gap(0.01), gap(f32::NAN)];
        let rows = rows("t", "d", 0.1, &measured);
        let of = |row: &SpeculationRow| (row.near_ties, row.diverged, row.largest_gap, row.status.clone());
        assert_eq!(of(&rows[0]), (Some(2), Some(0), Some(0.0625), "done".to_owned()));
        assert_eq!(rows[0].same_outputs, Some(1));
        assert_eq!(of(&rows[1]), (Some(1), Some(2), Some(0.125), "diverged".to_owned()));
        assert_eq!(diverged(&rows), Some((2, 0.125)));
    }

    #[test]
    fn one_prompt_has_no_interval_and_no_winner_beyond_doubt() {
        let rows = rows("t", "d", 0.1, &measured(&[[1.0, 0.5]]));
        assert_eq!((rows[0].ratio_ci_low, rows[0].verdict.as_str()), (None, "tied"));
        assert_eq!(super::rows("t", "d", 0.1, &Speculated::default()), []);
    }
}
