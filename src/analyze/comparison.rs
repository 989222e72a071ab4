//! Every variant against the base on the items both have: the difference, the error of the *difference*, the answers
//! that flipped, how surprising that is, and what so many items could have shown at all.

use super::choice::{self, METRICS, judge, known};
use super::generated;
use super::measure::higher_is_better;
use super::noise;
use super::perplexity;
use super::planned::{Planned, Sheet, SuiteKind, texts};
use super::report::{ComparisonRow, MetricRow};
use super::scores;
use crate::journal::record::{ItemRecord, SuiteRecord};
use crate::stats;
use std::collections::{BTreeSet, HashMap};

/// Rows of `comparisons.csv`: variants but the base, suites and metrics, in plan order.
pub(super) fn rows(sheet: &Sheet, metrics: &[MetricRow]) -> Vec<ComparisonRow> {
    let mut rows = Vec::new();
    for variant in sheet.manifest.variants.iter().filter(|v| v.name != sheet.base()) {
        for suite in &sheet.manifest.suites {
            let Some(trial) = sheet.suite_trial(&variant.name, &suite.name) else { continue };
            match sheet.kind_of(suite) {
                SuiteKind::Text => {
                    rows.extend([text_row(sheet, suite, trial), divergence_row(trial, metrics)]);
                }
                kind => {
                    let base = sheet.suite_trial(sheet.base(), &suite.name);
                    let base = base.map_or(&[][..], Planned::items);
                    let pair = Pair { suite, trial, base };
                    rows.extend(if kind == SuiteKind::Answers {
                        pair.answer_rows()
                    } else {
                        pair.question_rows()
                    });
                }
            }
        }
    }
    rows
}

/// Corrects the p values of main metrics, all rows given one family, and says what is shown of accuracies, given the
/// tolerance. Rows come with whether theirs is a main metric.
pub(super) fn judge_all<'r>(rows: impl Iterator<Item = (bool, &'r mut ComparisonRow)>, tolerance: f64) {
    let mut family = Vec::new();
    for (is_main, row) in rows {
        if let Some(interval) = row.ci_low.zip(row.ci_high).filter(|_| higher_is_better(&row.metric)) {
            shown(interval, tolerance).word().clone_into(&mut row.shown);
        }
        if let Some(p) = row.p.filter(|_| is_main) {
            family.push((p, row));
        }
    }
    let raw: Vec<f64> = family.iter().map(|(p, _)| *p).collect();
    for ((_, row), adjusted) in family.into_iter().zip(stats::holm(&raw)) {
        row.p_holm = Some(adjusted);
    }
}

/// What an interval of a difference of scores shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Within the tolerance, whichever way.
    Equal,
    /// Below the base.
    Worse,
    /// Above the base.
    Better,
    /// Nothing: more items are needed.
    Open,
}

impl Shown {
    /// As in `comparisons.csv`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Worse => "worse",
            Self::Better => "better",
            Self::Open => "open",
        }
    }
}

/// What an interval of variant minus base shows, more being better.
#[must_use]
pub fn shown((low, high): (f64, f64), tolerance: f64) -> Shown {
    if -tolerance <= low && high <= tolerance {
        Shown::Equal
    } else if high < 0.0 {
        Shown::Worse
    } else if low > 0.0 {
        Shown::Better
    } else {
        Shown::Open
    }
}

/// Each token's base score travels with the variant's own, so the pairs are in the variant's items.
fn text_row(sheet: &Sheet, suite: &SuiteRecord, trial: &Planned) -> ComparisonRow {
    let texts = texts(suite, trial.items());
    let difference = perplexity::average_difference(&texts);
    let interval = perplexity::difference_interval(&texts, sheet.manifest.seed);
    ComparisonRow {
        delta: difference.map(|d| d.delta).filter(|d| d.is_finite()),
        delta_stderr: difference.map(|d| d.stderr).filter(|s| s.is_finite()),
        n: difference.map_or(0, |d| d.n),
        ci_low: interval.map(|(low, _)| low),
        ci_high: interval.map(|(_, high)| high),
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
        ci_low: found.and_then(|m| m.ci_low),
        ci_high: found.and_then(|m| m.ci_high),
        verdict: found.and_then(|m| noise::verdict(m, metrics)).unwrap_or_default().to_owned(),
        ..empty_row(trial, noise::DIVERGENCE)
    }
}

/// A variant's trial of a suite of questions, and the items it is compared with: the base's, or another sweep's.
pub(super) struct Pair<'a> {
    /// The suite.
    pub suite: &'a SuiteRecord,
    /// The variant's trial.
    pub trial: &'a Planned<'a>,
    /// What it is compared with.
    pub base: &'a [ItemRecord],
}

/// An item's index and what it is worth under the base and under the variant.
type Scored = (u64, f64, f64);

impl Pair<'_> {
    /// One row a metric of a suite of questions.
    pub fn question_rows(&self) -> Vec<ComparisonRow> {
        let items = self.trial.items();
        if items.iter().any(|item| choice::mass(&item.score).is_some()) {
            return vec![self.row(METRICS[0], false, |item| choice::mass(&item.score))];
        }
        let known = known(&items.iter().collect::<Vec<_>>());
        let metrics = METRICS.into_iter().enumerate().filter(|(place, _)| known.contains(place));
        let right = |item: &ItemRecord, place: usize| judge(&item.score).ok()?.right().get(place).copied();
        let score = |right: bool| f64::from(u8::from(right));
        metrics
            .map(|(place, metric)| self.row(metric, true, |item| Some(score(right(item, place)?))))
            .collect()
    }

    /// One row a metric of a suite of written answers.
    pub fn answer_rows(&self) -> Vec<ComparisonRow> {
        let metrics = generated::metrics(&self.trial.items().iter().collect::<Vec<_>>());
        let graded = metrics.iter().map(|metric| self.answer_row(metric));
        // How answers have changed that may be as right as before: length, and those cut off or running in circles.
        let signs =
            generated::sign_names().map(|sign| self.row(sign, false, |item| generated::sign(item, sign)));
        graded.chain(signs).collect()
    }

    /// On the items both have: flips where an item is right or wrong, the difference of what items stand for anyway.
    fn answer_row(&self, metric: &str) -> ComparisonRow {
        let is_scored = |item: &ItemRecord| generated::grades(item).is_some();
        let verdict = |item: &ItemRecord| generated::verdict(generated::part(item, metric)?);
        let all_judged =
            self.base.iter().chain(self.trial.items()).filter(|i| is_scored(i)).all(|i| verdict(i).is_some());
        if all_judged {
            return self.row(metric, true, |item| Some(f64::from(u8::from(verdict(item)?))));
        }
        let base: HashMap<u64, &ItemRecord> = self.base.iter().map(|item| (item.index, item)).collect();
        let both: (Vec<&ItemRecord>, Vec<&ItemRecord>) = self
            .trial
            .items()
            .iter()
            .filter_map(|item| Some((*base.get(&item.index)?, item)))
            .filter(|(b, v)| is_scored(b) && is_scored(v))
            .unzip();
        let [before, after] = [both.0, both.1].map(|items| generated::stands_for(&items, metric));
        let pairs = before.iter().filter_map(|(index, b)| Some((*index, *b, *after.get(index)?)));
        self.compared(metric, false, &pairs.collect::<Vec<_>>())
    }

    /// On the items that both have a score for.
    fn row(
        &self,
        metric: &str,
        has_flips: bool,
        score: impl Fn(&ItemRecord) -> Option<f64>,
    ) -> ComparisonRow {
        let base: HashMap<u64, f64> =
            self.base.iter().filter_map(|item| Some((item.index, score(item)?))).collect();
        let pairs = self.trial.items().iter().filter_map(|item| Some((item.index, score(item)?)));
        let pairs = pairs.filter_map(|(index, v)| Some((index, *base.get(&index)?, v)));
        self.compared(metric, has_flips, &pairs.collect::<Vec<_>>())
    }

    fn compared(&self, metric: &str, has_flips: bool, scored: &[Scored]) -> ComparisonRow {
        let empty = empty_row(self.trial, metric);
        let pairs: Vec<(f64, f64)> = scored.iter().map(|(_, b, v)| (*b, *v)).collect();
        let clusters = scores::clusters(self.suite, scored.iter().map(|(index, ..)| *index));
        let Some(compared) = stats::compare(&pairs, clusters.as_deref()) else { return empty };
        let finite = |value: f64| Some(value).filter(|v| v.is_finite());
        let verdicts: Vec<(bool, bool)> = pairs.iter().map(|(b, v)| (*b > 0.5, *v > 0.5)).collect();
        let flips = Some(stats::flips(&verdicts)).filter(|_| has_flips);
        ComparisonRow {
            delta: Some(compared.difference.point),
            delta_stderr: finite(compared.difference.standard_error),
            flips_lost: flips.map(|flips| flips.lost),
            flips_won: flips.map(|flips| flips.won),
            n: pairs.len() as u64,
            ci_low: finite(compared.difference.interval.0),
            ci_high: finite(compared.difference.interval.1),
            p: finite(compared.p),
            detectable: finite(compared.detectable),
            clusters: clusters.map(|clusters| clusters.iter().collect::<BTreeSet<_>>().len() as u64),
            ..empty
        }
    }
}

fn empty_row(trial: &Planned, metric: &str) -> ComparisonRow {
    ComparisonRow {
        variant: trial.spec.variant.clone(),
        suite: trial.spec.suite.clone(),
        metric: metric.to_owned(),
        ..ComparisonRow::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_shows_one_thing() {
        for (interval, word) in [
            ((-0.01, 0.01), "equal"),
            ((-0.01, -0.005), "equal"),
            ((-0.05, -0.001), "worse"),
            ((0.001, 0.05), "better"),
            ((-0.03, 0.01), "open"),
            ((-0.03, 0.0), "open"),
        ] {
            assert_eq!(shown(interval, 0.02).word(), word, "{interval:?}");
        }
    }
}
