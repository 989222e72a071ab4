//! Sweeps that go on in rounds: every variant is taken to the same items of each suite before any goes further, so that what
//! there is can be compared whenever the sweep ends. After each round trials whose answer is known are stopped, and what is
//! left of the time is spent where it narrows the open answers most. What decides is in `analyze::stopping`, how many items a
//! round takes in `stats`; here it is carried out and written down.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::Executor;
use crate::analyze::report::Report;
use crate::analyze::stopping::{self, Known, SuiteKnown};
use crate::error::Error;
use crate::journal::reader::TrialData;
use crate::journal::record::{Outcome, StopRule, Stopped};
use crate::plan::matrix::TrialKind;
use crate::plan::recipe::Recipe;
use crate::plan::suite::Items;
use crate::run::derive;
use crate::run::file_plan::FilePlan;
use crate::run::prepare::Prepared;
use crate::stats::{Effort, FIRST_LOOK, next_look};
use crate::worker::protocol::Status;

/// Seconds of an item, before any was timed.
const UNTIMED: f64 = 1.0;

/// What an item counts of a suite that can wait: so little that its turn comes when nothing else is left.
const LATER: f64 = 1e-9;

/// How far each trial goes in the present round.
pub(super) struct Rounds {
    begun: Instant,
    /// Seconds that this invocation may take.
    budget: Option<f64>,
    /// Items of each trial that are asked for, by its id. A trial without an entry is carried out whole.
    until: BTreeMap<String, usize>,
    /// Trials that failed in this invocation, and are not tried again in it.
    failed: BTreeSet<String>,
}

impl Rounds {
    /// If the plan asks for them.
    pub(super) fn asked(prepared: &Prepared) -> Option<Self> {
        prepared.config.in_rounds().then(|| Self {
            begun: Instant::now(),
            budget: prepared.config.run.budget_s,
            until: BTreeMap::new(),
            failed: BTreeSet::new(),
        })
    }

    /// Items of a trial that are asked for.
    pub(super) fn until(&self, id: &str) -> Option<usize> {
        self.until.get(id).copied()
    }

    /// Whether a trial has failed in this invocation.
    pub(super) fn has_failed(&self, id: &str) -> bool {
        self.failed.contains(id)
    }

    /// Seconds left.
    fn left(&self) -> Option<f64> {
        self.budget.map(|budget| budget - self.begun.elapsed().as_secs_f64())
    }
}

impl Executor<'_> {
    /// Round after round, until every answer is known, every item done, or the time is up.
    pub(super) fn run_rounds(&mut self) -> Result<(), Error> {
        self.first_round()?;
        loop {
            for file in &self.prepared.files {
                let due = self.trials_of(&self.variants_of(file)).into_iter().filter(|i| self.is_due(*i));
                let due: Vec<usize> = due.collect();
                if !due.is_empty() {
                    let result = self.run_file(file);
                    self.running = None;
                    result?;
                    let report = self.derive(&due)?;
                    self.tell_standing(&report);
                }
            }
            if self.is_spent() {
                self.note("the budget is spent; the same command goes on".to_owned());
                return Ok(());
            }
            self.look()?;
            let known = stopping::known(self.manifest, &self.trials);
            self.stop(&known)?;
            self.tell_all()?;
            let tell = self.tell(&known);
            self.note(tell);
            for file in &self.prepared.files {
                self.release_early(file)?;
            }
            if !self.next_round(&known)? {
                if self.in_rounds().iter().any(|i| self.is_open(*i)) {
                    self.note(
                        "what is left of the budget is too little for another item; the same command goes on"
                            .to_owned(),
                    );
                }
                return Ok(());
            }
        }
    }

    /// Whether the time is up.
    pub(super) fn is_spent(&self) -> bool {
        self.rounds.as_ref().and_then(Rounds::left).is_some_and(|left| left <= 0.0)
    }

    /// Remembers which of these trials have failed: another round is no reason to try them again.
    pub(super) fn give_up(&mut self, indices: &[usize]) {
        let Some(rounds) = &mut self.rounds else { return };
        let failed = indices.iter().filter_map(|i| self.trials.get(*i));
        let failed = failed.filter(|t| !matches!(t.status, Status::Pending | Status::Done));
        rounds.failed.extend(failed.map(|t| t.spec.id.clone()));
    }

    /// Judges the stops of earlier invocations by what is asked now: another tolerance, scope, weight or number of items may
    /// leave open what was decided, and without early stopping everything is.
    pub(super) fn judge_stops(&mut self) -> Result<(), Error> {
        let known = stopping::known(self.manifest, &self.trials);
        for index in self.in_rounds() {
            let stands = self.stops(&known, index).filter(|_| self.has_its_looks(index));
            let was_stopped = |trial: &&mut TrialData| trial.stopped.is_some() && trial.stopped != stands;
            if let Some(trial) = self.trials.get_mut(index).filter(was_stopped) {
                trial.stopped = stands;
                if stands.is_none() {
                    // It catches up with the others.
                    trial.goals.clear();
                }
                let status = if stands.is_some() { Status::Done } else { Status::Pending };
                self.set(index, status, "", 0, None)?;
            }
        }
        Ok(())
    }

    /// Whether the items that a stopped trial was judged by are all there; a damaged journal line may have held some.
    fn has_its_looks(&self, index: usize) -> bool {
        let Some(trial) = self.trials.get(index) else { return false };
        let have: BTreeSet<u64> = trial.items.iter().map(|item| item.index).collect();
        let looked = trial.looks.last().map_or(0, |looked| usize::try_from(*looked).unwrap_or(usize::MAX));
        self.planned_items(&trial.spec).iter().take(looked).all(|index| have.contains(index))
    }

    /// Whether a trial has items beyond those of this round.
    pub(super) fn goes_further(&self, trial: &TrialData) -> bool {
        self.asked_items(&trial.spec).len() < self.planned_items(&trial.spec).len()
    }

    /// What a trial that has all of its round is: waiting for the next, if there is more of it.
    pub(super) fn waiting(&self, index: usize) -> Option<(Status, String)> {
        let trial = self.trials.get(index).filter(|trial| self.goes_further(trial))?;
        let all = self.planned_items(&trial.spec).len();
        Some((Status::Pending, format!("{} of {all} items so far", trial.items.len())))
    }

    /// Suites whose items come in a random order: questions. Texts are read from their beginning, and whole.
    fn is_question(&self, trial: &TrialData) -> bool {
        let suite = self.prepared.suite(&trial.spec.suite);
        trial.spec.kind == TrialKind::Suite
            && suite.is_some_and(|s| matches!(s.items, Items::Choices(_) | Items::Prompts(_)))
    }

    /// Whether a trial is neither done, stopped (which is done as well) nor given up.
    fn is_open(&self, index: usize) -> bool {
        self.trials.get(index).is_some_and(|t| t.status == Status::Pending)
    }

    /// Trials of this plan that go on in rounds, by place.
    fn in_rounds(&self) -> Vec<usize> {
        let is_ours = |trial: &TrialData| self.planned.contains(&trial.spec.id) && self.is_question(trial);
        (0..self.trials.len()).filter(|i| self.trials.get(*i).is_some_and(is_ours)).collect()
    }

    /// Where trials go to at first: to where an earlier invocation wanted them, and at least to the first look; those that
    /// are new to where the others are.
    fn first_round(&mut self) -> Result<(), Error> {
        let mut furthest: BTreeMap<String, u64> = BTreeMap::new();
        for trial in self.in_rounds().into_iter().filter_map(|i| self.trials.get(i)) {
            let suite = furthest.entry(trial.spec.suite.clone()).or_default();
            *suite = wanted(trial).max(*suite);
        }
        self.aim(&furthest, &|trial| trial.goals.is_empty())
    }

    /// Sets how far trials go, by suite; those that `moves` leaves out stay where they are. It is written down, so that a
    /// round that is interrupted ends as it would have.
    fn aim(
        &mut self,
        furthest: &BTreeMap<String, u64>,
        moves: &dyn Fn(&TrialData) -> bool,
    ) -> Result<(), Error> {
        let mut until = BTreeMap::new();
        for index in self.in_rounds() {
            let Some(trial) = self.trials.get(index) else { continue };
            let all = self.planned_items(&trial.spec).len();
            let goal = furthest.get(&trial.spec.suite).copied().filter(|_| moves(trial));
            let goal = goal.unwrap_or_else(|| wanted(trial));
            until.insert(trial.spec.id.clone(), usize::try_from(goal).unwrap_or(all).min(all));
            self.remember(index, goal)?;
        }
        if let Some(rounds) = &mut self.rounds {
            rounds.until = until;
        }
        Ok(())
    }

    /// Writes a goal down, but that of the first round, which is always the same.
    fn remember(&mut self, index: usize, goal: u64) -> Result<(), Error> {
        let is_new = |trial: &&mut TrialData| {
            let is_first = trial.looks.is_empty() && goal <= FIRST_LOOK;
            !is_first && trial.goals.last() != Some(&goal) && trial.status != Status::Done
        };
        let Some(trial) = self.trials.get_mut(index).filter(is_new) else { return Ok(()) };
        trial.goals.push(goal);
        let (status, reason) = (trial.status, trial.reason.clone());
        self.set(index, status, &reason, 0, None)
    }

    /// Writes down how many items each open trial has come to. All have as many looks; those that were left behind, by an
    /// end in the midst of this or by a failure, catch up first.
    fn look(&mut self) -> Result<(), Error> {
        let is_open = |trial: &TrialData| {
            trial.stopped.is_none() && matches!(trial.status, Status::Pending | Status::Done)
        };
        let open: Vec<(usize, u64)> = self
            .in_rounds()
            .into_iter()
            .filter_map(|index| Some((index, self.trials.get(index).filter(|t| is_open(t))?)))
            .map(|(index, trial)| (index, self.asked_items(&trial.spec).len() as u64))
            .collect();
        let looks = |index: usize| self.trials.get(index).map_or(&[][..], |t| t.looks.as_slice());
        let longest = open.iter().map(|(index, _)| looks(*index).len()).max().unwrap_or(0);
        let is_behind = open.iter().any(|(index, _)| looks(*index).len() < longest);
        let has_moved = open.iter().any(|(index, asked)| looks(*index).last() != Some(asked));
        let length = if is_behind || !has_moved { longest } else { longest + 1 };
        for (index, asked) in open {
            let Some(trial) = self.trials.get_mut(index).filter(|t| t.looks.len() < length) else { continue };
            trial.looks.resize(length, asked);
            let (status, reason) = (trial.status, trial.reason.clone());
            self.set(index, status, &reason, 0, None)?;
        }
        Ok(())
    }

    /// Ends the open trials that need no more items.
    fn stop(&mut self, known: &Known) -> Result<(), Error> {
        for index in self.in_rounds().into_iter().filter(|i| self.is_open(*i)).collect::<Vec<_>>() {
            let Some(stopped) = self.stops(known, index) else { continue };
            if let Some(trial) = self.trials.get_mut(index) {
                trial.stopped = Some(stopped);
            }
            self.set(index, Status::Done, "", 0, None)?;
            self.keep(index);
            self.tell_end(index, None);
        }
        Ok(())
    }

    /// Why a trial needs no more items: its answer is known, or, of the base, nothing needs it any more. Nothing is ever
    /// stopped unless the plan asks for it.
    fn stops(&self, known: &Known, index: usize) -> Option<Stopped> {
        self.prepared.config.judging.decide?;
        let trial = self.trials.get(index)?;
        if trial.spec.variant == Recipe::base().variant() {
            let rule = self.base_stops(known, &trial.spec.suite)?;
            return Some(Stopped { rule, look: trial.looks.len() as u64 });
        }
        let found = known.stops.get(&(trial.spec.variant.clone(), trial.spec.suite.clone()));
        found.map(|&(rule, look)| Stopped { rule, look })
    }

    /// Why the base needs no more items of a suite.
    fn base_stops(&self, known: &Known, suite: &str) -> Option<StopRule> {
        let suite = known.suites.iter().find(|known| known.name == suite)?;
        if suite.is_flat && !suite.is_telling {
            return Some(StopRule::NoSignal);
        }
        let base = Recipe::base().variant();
        let needs = |other: &TrialData| {
            other.spec.suite == suite.name
                && other.spec.variant != base
                && !known.stops.contains_key(&(other.spec.variant.clone(), suite.name.clone()))
        };
        let needed = self.in_rounds().into_iter().filter_map(|i| self.trials.get(i)).any(needs);
        (!needed).then_some(StopRule::Enough)
    }

    /// How far trials go next. Whether any does.
    fn next_round(&mut self, known: &Known) -> Result<bool, Error> {
        let open: Vec<&TrialData> = self
            .in_rounds()
            .into_iter()
            .filter(|i| self.is_open(*i))
            .filter_map(|i| self.trials.get(i))
            .collect();
        let efforts: Vec<(String, Effort)> = self
            .prepared
            .suites
            .iter()
            .filter_map(|suite| {
                Some((suite.suite.name.clone(), self.effort(&suite.suite.name, &open, known)?))
            })
            .collect();
        if efforts.is_empty() {
            return Ok(false);
        }
        // Base and variants share what is left of the time.
        let variants: BTreeSet<&str> = open.iter().map(|t| t.spec.variant.as_str()).collect();
        let left =
            self.rounds.as_ref().and_then(Rounds::left).map(|left| left / variants.len().max(1) as f64);
        let goals = next_look(&efforts.iter().map(|(_, effort)| *effort).collect::<Vec<_>>(), left);
        let furthest: BTreeMap<String, u64> =
            efforts.iter().zip(goals).map(|((name, _), goal)| (name.clone(), goal)).collect();
        let decides = self.prepared.config.judging.decide.is_some();
        let telling = |name: &str| known.suites.iter().any(|s| s.name == name && s.is_telling);
        self.aim(&furthest, &|trial| {
            let is_base = trial.spec.variant == Recipe::base().variant();
            trial.stopped.is_none() && (is_base || !decides || telling(&trial.spec.suite))
        })?;
        Ok(self.in_rounds().into_iter().any(|index| self.is_due(index)))
    }

    /// What more items of a suite are worth and take; nothing where no trial has any left.
    fn effort(&self, suite: &str, open: &[&TrialData], known: &Known) -> Option<Effort> {
        let own: Vec<&&TrialData> = open.iter().filter(|t| t.spec.suite == suite).collect();
        let of = own.iter().map(|t| self.planned_items(&t.spec).len()).max()? as u64;
        let n = own.iter().filter_map(|t| t.looks.last().copied()).max().unwrap_or(0).min(of);
        let found: Option<&SuiteKnown> = known.suites.iter().find(|s| s.name == suite);
        // Where nothing is decided, and where the base has yet to show that it knows anything, all suites count alike. One on
        // which it hardly will waits until all others have no items left.
        let alike = 1.0 / self.prepared.suites.len() as f64;
        let spread = match found {
            Some(suite) if suite.is_telling => suite.spread,
            Some(suite) if !suite.is_promising => alike * LATER,
            Some(_) | None => alike,
        };
        Some(Effort { spread, cost: self.seconds_of_item(suite), n, of })
    }

    /// Seconds that an item of a suite took, over all variants.
    fn seconds_of_item(&self, suite: &str) -> f64 {
        let own =
            self.in_rounds().into_iter().filter_map(|i| self.trials.get(i)).filter(|t| t.spec.suite == suite);
        let timed = own.filter_map(|trial| match &trial.outcome {
            Some(Outcome::Suite(cost)) => {
                Some((cost.wall_s, (trial.items.len() as u64).saturating_sub(cost.items_cached) as f64))
            }
            _ => None,
        });
        let (seconds, items) = timed.fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        if items > 0.0 && seconds > 0.0 { seconds / items } else { UNTIMED }
    }

    /// Deletes a file whose variants are all decided, while others go on.
    fn release_early(&self, file: &FilePlan) -> Result<(), Error> {
        if self.is_paired(file) || self.waits_for(file) { Ok(()) } else { self.release(file) }
    }

    /// Whether another round, or the next invocation, goes on with a file.
    pub(super) fn waits_for(&self, file: &FilePlan) -> bool {
        let variants = self.variants_of(file);
        self.rounds.is_some() && self.trials_of(&variants).into_iter().any(|index| self.is_open(index))
    }

    /// Rewrites what is derived, with the items of these trials.
    fn derive(&mut self, indices: &[usize]) -> Result<Report, Error> {
        for trial in indices.iter().filter_map(|i| self.trials.get(*i)) {
            derive::items(self.folder, &trial.spec)?;
        }
        self.tell_all()
    }

    /// What was learnt so far, in one line.
    fn tell(&self, known: &Known) -> String {
        let trials: Vec<&TrialData> =
            self.in_rounds().into_iter().filter_map(|i| self.trials.get(i)).collect();
        let done: u64 = trials.iter().filter_map(|t| t.looks.last()).sum();
        let all: usize = trials.iter().map(|t| self.planned_items(&t.spec).len()).sum();
        let round = trials.iter().map(|t| t.looks.len()).max().unwrap_or(0);
        let mut latest: BTreeMap<(&str, &str), String> = BTreeMap::new();
        for row in known.looks.iter().filter(|row| row.look == round as u64 || !row.rule.is_empty()) {
            let points = |value: Option<f64>| value.map_or(String::new(), |v| format!("{:+.1}", v * 100.0));
            let scope = if row.scope == "composite" { String::new() } else { format!(" on {}", row.scope) };
            let rule = if row.rule.is_empty() { "open" } else { &row.rule };
            let text =
                format!("{}{scope} {rule} ({} to {})", row.variant, points(row.ci_low), points(row.ci_high));
            latest.insert((&row.variant, &row.scope), text);
        }
        let told: Vec<String> = latest.into_values().collect();
        let told = if told.is_empty() { String::new() } else { format!(": {}", told.join(", ")) };
        format!("look {round}, {done} of {all} items{told}")
    }
}

/// How far a trial has been wanted to go, at least to the first look.
fn wanted(trial: &TrialData) -> u64 {
    trial.looks.last().max(trial.goals.last()).copied().unwrap_or(0).max(FIRST_LOOK)
}
