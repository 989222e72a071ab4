//! What a sweep that goes on in rounds has come to know at each of its looks, and so which of its trials may stop: a pure
//! function of the items, so that the same folder tells the same story whenever it is read.
//!
//! What is asked of a variant is its mean difference from the base over *all* planned items of a scope: the composite of
//! the suites that have a signal, or one suite. Items come in one seeded order, the same for every variant, so that those
//! there are at a look are a sample drawn without replacement. The level of 5% is shared: four fifths of it by the comparisons
//! with the base, one by those between variants.

use std::collections::BTreeMap;

use super::comparison::shown;
use super::composite::COMPOSITE;
use super::measure::Measure;
use super::planned::{Planned, Sheet, SuiteKind};
use super::report::{ComparisonRow, LookRow, SuiteSummary};
use super::{choice, generated, scores};
use crate::journal::reader::TrialData;
use crate::journal::record::{
    Deciding, ItemRecord, Manifest, Outcome, Scope, Status, StopRule, SuiteRecord, seeded_order,
};
use crate::stats::{Decision, Look, Sequence, Stratum, Z95, cluster_effect, decision, pooled_look};

/// The chance that any of a sweep's comparisons with the base decides wrongly.
const LEVEL: f64 = 0.04;
/// The chance that any of those between variants does.
const LEVEL_OF_PAIRS: f64 = 0.01;

/// Standard errors above what was seen that one may hope for: the normal's 90% point.
const HOPE: f64 = 1.281_551_565_544_600_4;

/// What a sweep knows at its latest look.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Known {
    /// Rows of `looks.csv`.
    pub looks: Vec<LookRow>,
    /// Why a variant's trial of a suite may stop, by variant and suite.
    pub stops: BTreeMap<(String, String), (StopRule, u64)>,
    /// Suites of questions, in plan order.
    pub suites: Vec<SuiteKnown>,
}

/// What is known of a suite of questions at the latest look.
#[derive(Debug, Clone, PartialEq)]
pub struct SuiteKnown {
    /// Its name.
    pub name: String,
    /// Whether the base is shown to do better than a guesser.
    pub is_telling: bool,
    /// Whether it is shown not to, within the tolerance: then nothing that is worth knowing can be lost.
    pub is_flat: bool,
    /// Whether all its items could still show that the base does better than a guesser, if it is as much better as its items
    /// so far let one hope.
    pub is_promising: bool,
    /// What an item contributes to the error of what is still open: its weight times the standard deviation of a
    /// difference, over the variants that are not decided; 0 if none is.
    pub spread: f64,
}

/// What a sweep that decides knows.
#[must_use]
pub fn known(manifest: &Manifest, trials: &[TrialData]) -> Known {
    let sheet = Sheet::new(manifest, trials);
    manifest.judging.decide.map_or_else(Known::default, |deciding| Decider::new(&sheet, deciding).known())
}

/// Rows of `looks.csv`; none of a sweep that does not decide.
pub(super) fn rows(sheet: &Sheet) -> Vec<LookRow> {
    let deciding = sheet.manifest.judging.decide;
    deciding.map_or_else(Vec::new, |deciding| Decider::new(sheet, deciding).known().looks)
}

/// Gives what was decided early the intervals that hold at every look: ordinary ones are too narrow for a trial that was
/// stopped because of what it showed.
pub(super) fn widen(comparisons: &mut [ComparisonRow], looks: &[LookRow], suites: &[SuiteSummary]) {
    for row in comparisons {
        let is_main = suites.iter().any(|s| s.name == row.suite && s.main_metric == row.metric);
        if let Some((low, high)) = interval(looks, &row.variant, &row.suite).filter(|_| is_main) {
            (row.ci_low, row.ci_high) = (Some(low), Some(high));
        }
    }
}

/// The interval of a variant's difference, about other items of the same kind too, at its latest look.
pub(super) fn interval(looks: &[LookRow], variant: &str, scope: &str) -> Option<(f64, f64)> {
    let latest = looks.iter().rfind(|look| look.variant == variant && look.scope == scope)?;
    latest.more_low.zip(latest.more_high)
}

/// A suite of questions with every variant's scores.
struct Scored<'a> {
    suite: &'a SuiteRecord,
    kind: SuiteKind,
    /// Planned items in the order in which they are evaluated.
    order: Vec<u64>,
    /// By variant: what each item is worth.
    scores: Vec<BTreeMap<u64, f64>>,
    /// By variant: items there were at each look, and whether the trial failed.
    looks: Vec<(&'a [u64], bool)>,
    base: BTreeMap<u64, &'a ItemRecord>,
}

impl Scored<'_> {
    /// Items that a variant had at a look; at its last, if that was before.
    fn count(&self, variant: usize, look: usize) -> usize {
        let looks = self.looks.get(variant).map_or(&[][..], |(looks, _)| looks);
        let count = looks.get(look).or(looks.last()).copied().unwrap_or(0);
        usize::try_from(count).unwrap_or(usize::MAX).min(self.order.len())
    }

    /// Differences of two variants on the first items, where both have a score, with the items' indices.
    fn differences(&self, [of, from]: [usize; 2], items: usize) -> (Vec<u64>, Vec<f64>) {
        let (Some(own), Some(other)) = (self.scores.get(of), self.scores.get(from)) else {
            return (Vec::new(), Vec::new());
        };
        let first = self.order.iter().take(items);
        first.filter_map(|index| Some((*index, own.get(index)? - other.get(index)?))).unzip()
    }

    /// What items that share something make of an error. Of all planned items those at hand are a sample drawn one by one,
    /// whatever they share; of others like them they are a sample of clusters.
    fn effect(&self, places: Vec<u64>, differences: &[f64], ends: bool) -> f64 {
        let clusters = if ends { None } else { scores::clusters(self.suite, places.into_iter()) };
        cluster_effect(differences, clusters.as_deref())
    }

    fn chance(&self) -> f64 {
        self.suite.chance.unwrap_or(0.0)
    }

    /// Whether the base is shown to do better than a guesser by the items of a look, as tables judge it.
    fn is_telling(&self, look: usize) -> bool {
        self.main_of_base(look).and_then(|m| m.interval).is_some_and(|(low, _)| low > self.chance())
    }

    /// Whether the base may yet be shown to: as good as its items let one hope, and with the error that all items will have.
    fn is_promising(&self, look: usize) -> bool {
        let Some(main) = self.main_of_base(look) else { return true };
        let Some((value, error)) = main.value.zip(main.stderr) else { return true };
        is_promising([value, error], self.count(0, look), self.order.len(), self.chance())
    }

    /// The base's main metric on the items of a look; `None` if its trial failed or nothing is scored.
    fn main_of_base(&self, look: usize) -> Option<Measure> {
        if self.looks.first().is_none_or(|(_, failed)| *failed) {
            return None;
        }
        let first = self.order.iter().take(self.count(0, look));
        let items: Vec<&ItemRecord> = first.filter_map(|index| self.base.get(index).copied()).collect();
        let measured = match self.kind {
            SuiteKind::Answers => generated::measure(&items, &self.suite.clusters),
            SuiteKind::Questions | SuiteKind::Text => choice::measure(&items, &self.suite.clusters),
        };
        measured.measures.into_iter().find(|m| m.metric == self.suite.main_metric)
    }

    /// Whether all items together are shown to be within the tolerance of a guesser, or below.
    fn is_flat(&self, look: usize, tolerance: f64, alpha: f64) -> bool {
        let Some(scores) = self.scores.first() else { return false };
        let first = self.order.iter().take(self.count(0, look));
        let mut sequence = Sequence::new(alpha, Some(self.order.len() as u64));
        for score in first.filter_map(|index| scores.get(index)) {
            sequence.push(score - self.chance());
        }
        sequence.interval().1 <= tolerance
    }
}

/// Suites about which one answer is asked.
struct Question<'a> {
    name: &'a str,
    suites: Vec<(&'a Scored<'a>, f64)>,
}

impl Question<'_> {
    fn is(&self, other: &[String]) -> bool {
        self.suites.iter().map(|(suite, _)| &suite.suite.name).eq(other)
    }

    /// Differences at a look; `None` if a suite has too few, or a trial failed. Without an end, other items of the same
    /// kind are asked about too.
    fn look(&self, pair: [usize; 2], look: usize, alpha: f64, width: f64, ends: bool) -> Option<Look> {
        let counts = |suite: &Scored| pair.map(|v| suite.count(v, look)).into_iter().min().unwrap_or(0);
        let failed =
            |suite: &Scored| pair.iter().any(|v| suite.looks.get(*v).is_none_or(|(_, failed)| *failed));
        if self.suites.iter().any(|(suite, _)| failed(suite)) {
            return None;
        }
        let of = |suite: &Scored| ends.then_some(suite.order.len() as u64);
        if let [(suite, _)] = self.suites[..] {
            let (places, differences) = suite.differences(pair, counts(suite));
            let mut sequence = Sequence::new(alpha, of(suite));
            for d in &differences {
                sequence.push(*d);
            }
            let mean = differences.iter().sum::<f64>() / differences.len() as f64;
            let effect = suite.effect(places, &differences, ends);
            return mean
                .is_finite()
                .then(|| Look { mean, interval: wider(sequence.interval(), mean, effect) });
        }
        let stratum = |(suite, weight): &(&Scored, f64)| {
            let (places, differences) = suite.differences(pair, counts(suite));
            let effect = suite.effect(places, &differences, ends);
            Stratum::of(*weight, of(suite), &differences).sharing(effect)
        };
        pooled_look(&self.suites.iter().map(stratum).collect::<Vec<_>>(), alpha, width)
    }

    /// Items of a variant at a look, and of how many.
    fn items(&self, variant: usize, look: usize) -> (u64, u64) {
        let count =
            |(suite, _): &(&Scored, f64)| (suite.count(variant, look) as u64, suite.order.len() as u64);
        self.suites.iter().map(count).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }
}

struct Decider<'a> {
    sheet: &'a Sheet<'a>,
    deciding: Deciding,
    suites: Vec<Scored<'a>>,
    bytes: Vec<Option<u64>>,
}

/// Where each variant stands on each question.
type Standings = BTreeMap<(usize, String), Standing>;

/// Whether no question of a variant is open.
fn all_decided(variant: usize, standings: &Standings) -> bool {
    let mut own = standings.iter().filter(|((v, _), _)| *v == variant).peekable();
    own.peek().is_some() && own.all(|(_, standing)| standing.decided.is_some())
}

/// Where a variant stands on a question.
#[derive(Default)]
struct Standing {
    /// Suites that the interval is about; another set begins anew.
    about: Vec<String>,
    /// The narrowest interval so far, about all planned items and about others like them.
    narrowest: [Option<(f64, f64)>; 2],
    decided: Option<(StopRule, u64)>,
}

impl<'a> Decider<'a> {
    fn new(sheet: &'a Sheet<'a>, deciding: Deciding) -> Self {
        let manifest = sheet.manifest;
        let questions = manifest.suites.iter().filter(|suite| sheet.kind_of(suite) != SuiteKind::Text);
        let bytes = manifest.variants.iter().map(|variant| {
            sheet.of_variant(&variant.name).find_map(|trial| match trial.outcome() {
                Some(Outcome::Quantize(made)) => Some(made.file_bytes),
                _ => None,
            })
        });
        let suites = questions.map(|suite| scored(sheet, suite)).collect();
        Self { sheet, deciding, suites, bytes: bytes.collect() }
    }

    fn known(&self) -> Known {
        let looks = self.suites.iter().flat_map(|s| s.looks.iter().map(|(looks, _)| looks.len())).max();
        let mut known = Known::default();
        let mut standings = Standings::new();
        for look in 0..looks.unwrap_or(0) {
            for question in &self.questions(look) {
                for variant in 1..self.bytes.len() {
                    let standing = standings.entry((variant, question.name.to_owned())).or_default();
                    if standing.decided.is_none() {
                        known.looks.extend(self.row(question, variant, look, standing));
                    }
                }
            }
        }
        let order = |row: &LookRow| {
            let place = self.sheet.manifest.variants.iter().position(|v| v.name == row.variant);
            (row.look, place, row.scope.clone())
        };
        known.looks.sort_by_key(order);
        let last = looks.unwrap_or(0).saturating_sub(1);
        let questions = self.questions(last);
        for suite in &self.suites {
            let question = questions.iter().find(|q| q.suites.iter().any(|(s, _)| std::ptr::eq(*s, suite)));
            known.suites.push(self.suite_known(suite, question, last, &standings, &mut known.stops));
        }
        known
    }

    /// What is known of a suite at the last look; which variants need no more of it goes to `stops`.
    fn suite_known(
        &self,
        suite: &Scored,
        question: Option<&Question>,
        last: usize,
        standings: &Standings,
        stops: &mut BTreeMap<(String, String), (StopRule, u64)>,
    ) -> SuiteKnown {
        let is_flat = question.is_none() && suite.is_flat(last, self.tolerance(), self.alpha_with_base());
        let rule = |variant: usize| match question {
            Some(question) => standings.get(&(variant, question.name.to_owned()))?.decided,
            // What is left out of the composite need not go on when that is decided.
            None if is_flat || all_decided(variant, standings) => Some((StopRule::NoSignal, last as u64 + 1)),
            None => None,
        };
        let mut open = Vec::new();
        for (variant, record) in self.sheet.manifest.variants.iter().enumerate().skip(1) {
            match rule(variant) {
                Some(rule) => _ = stops.insert((record.name.clone(), suite.suite.name.clone()), rule),
                None => open.push(variant),
            }
        }
        let spread = |variant: &usize| {
            let n = suite.count(*variant, last);
            let one = Stratum::of(1.0, None, &suite.differences([*variant, 0], n).1).variance();
            // Nothing seen to differ yet is not nothing that differs.
            if one.is_finite() { one + 1.0 / n as f64 } else { 1.0 }
        };
        let mean = open.iter().map(spread).sum::<f64>() / open.len().max(1) as f64;
        SuiteKnown {
            name: suite.suite.name.clone(),
            is_telling: question.is_some(),
            is_flat,
            is_promising: suite.is_promising(last),
            spread: question.map_or(0.0, |q| weight_of(q, suite)) * mean.sqrt(),
        }
    }

    fn tolerance(&self) -> f64 {
        self.sheet.manifest.judging.tolerance
    }

    /// Questions that can be open at once, at most.
    fn most_questions(&self) -> f64 {
        match self.deciding.scope {
            Scope::Composite => 1.0,
            Scope::Suites => self.suites.len().max(1) as f64,
        }
    }

    fn alpha_with_base(&self) -> f64 {
        let comparisons = (self.bytes.len() as f64 - 1.0).max(1.0);
        LEVEL / comparisons / self.most_questions()
    }

    fn alpha_of_pairs(&self) -> f64 {
        let variants = self.bytes.len() as f64 - 1.0;
        LEVEL_OF_PAIRS / (variants * (variants - 1.0) / 2.0).max(1.0) / self.most_questions()
    }

    /// What is asked at a look, from the suites on which the base then does better than a guesser.
    fn questions(&'a self, look: usize) -> Vec<Question<'a>> {
        let judging = &self.sheet.manifest.judging;
        let telling = self.suites.iter().filter(|suite| suite.is_telling(look));
        match self.deciding.scope {
            Scope::Suites => telling
                .map(|suite| Question { name: &suite.suite.name, suites: vec![(suite, 1.0)] })
                .collect(),
            Scope::Composite => {
                let weighed = telling.map(|suite| (suite, judging.weight(&suite.suite.name)));
                let suites: Vec<_> = weighed.filter(|(_, weight)| *weight > 0.0).collect();
                if suites.is_empty() { Vec::new() } else { vec![Question { name: COMPOSITE, suites }] }
            }
        }
    }

    /// A variant at a look, and what that decides. Nothing where it had no look of its own, or too few items.
    fn row(
        &self,
        question: &Question,
        variant: usize,
        look: usize,
        standing: &mut Standing,
    ) -> Option<LookRow> {
        let had = |suite: &Scored| suite.looks.get(variant).is_some_and(|(looks, _)| looks.len() > look);
        if !question.suites.iter().any(|(suite, _)| had(suite)) {
            return None;
        }
        let Deciding { precision, .. } = self.deciding;
        let tolerance = self.tolerance();
        if !question.is(&standing.about) {
            standing.about = question.suites.iter().map(|(s, _)| s.suite.name.clone()).collect();
            standing.narrowest = [None; 2];
        }
        let alpha = self.alpha_with_base();
        let of_all = question.look([variant, 0], look, alpha, tolerance, true)?;
        let of_more = question.look([variant, 0], look, alpha, tolerance, false)?;
        let [own, wide] = &mut standing.narrowest;
        let (own, wide) = (narrowed(own, of_all), narrowed(wide, of_more));
        let dominator = || self.dominator(question, variant, look, tolerance);
        let (rule, by) = match decision(own, tolerance, precision) {
            Some(Decision::Equal) => (Some(StopRule::Equal), String::new()),
            Some(Decision::Worse) => (Some(StopRule::Worse), String::new()),
            Some(Decision::Better) => (Some(StopRule::Better), String::new()),
            Some(Decision::Precise) => (Some(StopRule::Precise), String::new()),
            None => dominator().map_or((None, String::new()), |by| (Some(StopRule::Dominated), by)),
        };
        standing.decided = rule.map(|rule| (rule, look as u64 + 1));
        let (items, of) = question.items(variant, look);
        Some(LookRow {
            variant: self.sheet.manifest.variants.get(variant)?.name.clone(),
            scope: question.name.to_owned(),
            look: look as u64 + 1,
            items,
            of,
            delta: Some(of_all.mean),
            ci_low: Some(own.0),
            ci_high: Some(own.1),
            rule: rule.map_or("", StopRule::word).to_owned(),
            by,
            more_low: Some(wide.0),
            more_high: Some(wide.1),
            shown: shown(wide, tolerance).word().to_owned(),
            suites: standing.about.join(" "),
            tolerance,
            precision,
        })
    }

    /// A variant of no more bytes that is shown to be better, on items of the same kind and not on these alone.
    fn dominator(&self, question: &Question, variant: usize, look: usize, width: f64) -> Option<String> {
        let own = (*self.bytes.get(variant)?)?;
        let alpha = self.alpha_of_pairs();
        let smaller = (1..self.bytes.len()).filter(|other| {
            *other != variant && self.bytes.get(*other).copied().flatten().is_some_and(|bytes| bytes <= own)
        });
        let beats = |other: &usize| {
            let look = question.look([variant, *other], look, alpha, width, false);
            look.is_some_and(|look| look.interval.1 < 0.0)
        };
        let other = smaller.into_iter().find(beats)?;
        Some(self.sheet.manifest.variants.get(other)?.name.clone())
    }
}

/// Whether all items may show a score above chance, of which so many gave this score with this error.
fn is_promising([value, error]: [f64; 2], n: usize, of: usize, chance: f64) -> bool {
    // None right of some is no certainty that none is.
    let error = error.max(1.0 / n.max(1) as f64);
    let share = n as f64 / of.max(1) as f64;
    value + HOPE * error - Z95 * error * share.sqrt() > chance
}

/// An interval whose ends lie `effect` times as far from the mean, as far as differences go.
fn wider((low, high): (f64, f64), mean: f64, effect: f64) -> (f64, f64) {
    if effect <= 1.0 {
        return (low, high);
    }
    (low.min(mean - (mean - low) * effect).max(-1.0), high.max(mean + (high - mean) * effect).min(1.0))
}

/// Intersects an interval with those before it; one that has become empty is the end of the later one.
fn narrowed(narrowest: &mut Option<(f64, f64)>, look: Look) -> (f64, f64) {
    let (low, high) = look.interval;
    let before = narrowest.unwrap_or((-1.0, 1.0));
    let both = (before.0.max(low), before.1.min(high));
    let both = if both.0 > both.1 { (low, high) } else { both };
    *narrowest.insert(both)
}

fn weight_of(question: &Question, suite: &Scored) -> f64 {
    let total: f64 = question.suites.iter().map(|(_, weight)| weight).sum();
    let own = question.suites.iter().find(|(other, _)| std::ptr::eq(*other, suite));
    own.map_or(0.0, |(_, weight)| weight / total)
}

fn scored<'a>(sheet: &'a Sheet<'a>, suite: &'a SuiteRecord) -> Scored<'a> {
    let kind = sheet.kind_of(suite);
    let trial = |variant: &str| sheet.suite_trial(variant, &suite.name);
    let names = || sheet.manifest.variants.iter().map(|variant| variant.name.as_str());
    let items = |name: &str| trial(name).map_or(&[][..], Planned::items);
    let looks = |name: &str| {
        let failed = |trial: &Planned<'a>| !matches!(trial.status(), Status::Pending | Status::Done);
        trial(name).map_or((&[][..], true), |trial| (trial.looks(), failed(trial)))
    };
    let planned = usize::try_from(suite.items_planned).unwrap_or(usize::MAX);
    let order = seeded_order(suite.items_total, sheet.manifest.seed, &suite.name);
    Scored {
        suite,
        kind,
        order: order.into_iter().take(planned).collect(),
        scores: names().map(|name| scores::of(kind, items(name), &suite.main_metric)).collect(),
        looks: names().map(looks).collect(),
        base: items(sheet.base()).iter().map(|item| (item.index, item)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(right: usize, n: usize, all: usize, chance: f64) -> bool {
        let share = right as f64 / n as f64;
        is_promising([share, (share * (1.0 - share) / (n - 1) as f64).sqrt()], n, all, chance)
    }

    /// A suite may go on as long as its score could be told from a guesser's; none is given up for few items, and with all
    /// items nothing but what is shown promises anything.
    #[test]
    fn a_suite_waits_that_will_hardly_show_anything() {
        assert!(of(0, 64, 1000, 0.0), "none of 64 may be 2%");
        assert!(of(14, 64, 1000, 0.25) && !of(6, 64, 1000, 0.25));
        assert!(of(250, 500, 1267, 0.5) && !of(420, 840, 1267, 0.5), "a guesser on two choices");
        assert!(of(30, 64, 500, 0.25) && of(156, 500, 500, 0.25), "one that knows something");
        assert!(!of(130, 500, 500, 0.25), "all items are there and do not show it");
    }

    #[test]
    fn intervals_widen_about_their_mean_as_far_as_differences_go() {
        let near =
            |(low, high): (f64, f64), a: f64, b: f64| (low - a).abs() < 1e-12 && (high - b).abs() < 1e-12;
        assert!(near(wider((-0.1, 0.3), 0.0, 1.0), -0.1, 0.3));
        assert!(near(wider((-0.1, 0.3), 0.0, 2.0), -0.2, 0.6));
        assert!(near(wider((-0.1, 0.3), 0.0, 20.0), -1.0, 1.0));
        assert!(near(wider((0.1, 0.3), 0.0, 2.0), 0.1, 0.6), "a mean outside never narrows");
    }
}
