//! Suites: the missing items in one piece, those of the base from the cache if it has them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::sink::{Sink, unwritable};
use super::{Executor, Outcomes, Work, bad_protocol};
use crate::error::Error;
use crate::gguf::Described as _;
use crate::journal::kept;
use crate::journal::reader::{TrialData, read_trial};
use crate::journal::record::Outcome;
use crate::journal::writer::ItemJournal;
use crate::plan::matrix::{TrialKind, TrialSpec};
use crate::plan::recipe::Recipe;
use crate::plan::suite::{ChoiceSuite, Items, LoadedSuite, Scoring, picked};
use crate::run::derive;
use crate::worker::protocol::{
    ChoiceItem, ChoiceWork, Finished, GenerateWork, Request, Status, StoreUse, SuiteCost,
};

impl Executor<'_> {
    /// The missing items of a suite, in one piece; what is left of it once more after a failure.
    pub(super) fn run_suite(
        &mut self,
        index: usize,
        trial: &TrialData,
        recipe: &Recipe,
        path: &Path,
    ) -> Result<(), Error> {
        let Some(suite) = self.prepared.suite(&trial.spec.suite) else { return Ok(()) };
        let planned = self.asked_items(&trial.spec).len() as u64;
        let mut cost = match &trial.outcome {
            Some(Outcome::Suite(cost)) => cost.clone(),
            _ => SuiteCost::default(),
        };
        if trial.status != Status::Pending {
            // More was asked for, or a failure is tried again: until that ends the tables say so.
            self.set(index, Status::Pending, "", 0, None)?;
        }
        cost.items_cached += self.take_kept(index)?;
        let left = self.trials.get(index).map_or(0, |t| self.missing(t).len());
        self.started(index, planned - left as u64, planned);
        let (failures, result) = self.attempts(index, |me| {
            let Some(found) = me.trials.get(index) else { return Ok(()) };
            let (items, asked) = (me.missing(found), me.asked_in_rounds(found));
            if items.is_empty() {
                return Ok(());
            }
            let spent = me.piece(&Work { trial: &trial.spec, items, asked }, suite, recipe, path);
            me.reread(index)?;
            let spent = spent?;
            me.tell_fallback(suite, cost.store.as_ref(), spent.store.as_ref());
            cost.add(&spent);
            match me.trials.get(index).map_or(0, |t| me.missing(t).len()) {
                0 => Ok(()),
                _ if me.time_is_up(suite, &spent) => Ok(()),
                left => Err(bad_protocol(&format!("the worker left out {left} items"))),
            }
        })?;
        let left = self.trials.get(index).map_or(0, |t| self.missing(t).len());
        let (status, reason) = match result {
            Err(failure) => failure,
            Ok(()) if left > 0 => {
                (Status::Pending, format!("the time was up with {left} of {planned} items left"))
            }
            Ok(()) => self.waiting(index).unwrap_or((Status::Done, String::new())),
        };
        self.set(index, status, &reason, failures, Some(Outcome::Suite(cost)))?;
        self.keep(index);
        self.ended(index)
    }

    /// Whether a worker may have left items out, because it was told to stop at a time.
    fn time_is_up(&self, suite: &LoadedSuite, spent: &SuiteCost) -> bool {
        let is_written = matches!(suite.suite.scoring, Scoring::Generate(_));
        is_written && self.prepared.config.run.time_s.is_some_and(|seconds| spent.wall_s >= seconds)
    }

    /// Where the cache keeps the items of a trial, if it is one of the base.
    pub(super) fn kept_items(&self, trial: &TrialSpec) -> Option<PathBuf> {
        let is_base = trial.variant == Recipe::base().variant();
        is_base.then(|| self.prepared.cache.base_store().join(kept::file_name(&trial.id)))
    }

    /// Journals the missing items of the base that an earlier sweep left in the cache. Returns how many they were.
    pub(super) fn take_kept(&mut self, index: usize) -> Result<u64, Error> {
        let Some(trial) = self.trials.get(index) else { return Ok(0) };
        let Some(path) = self.kept_items(&trial.spec) else { return Ok(0) };
        let missing: BTreeSet<u64> = self.missing(trial).into_iter().collect();
        let mut journal = ItemJournal::new(self.folder, &trial.spec.id, &self.writer);
        let mut taken = Vec::new();
        for item in kept::read(&path).into_iter().filter(|item| missing.contains(&item.index)) {
            journal.append(&item).map_err(|e| Error::NoSpace(unwritable(&e)))?;
            taken.push(item);
        }
        journal.sync().map_err(|e| Error::NoSpace(unwritable(&e)))?;
        let count = taken.len() as u64;
        if let Some(trial) = self.trials.get_mut(index) {
            trial.items.extend(taken);
            trial.items.sort_by_key(|item| item.index);
            derive::lean(self.manifest, trial);
        }
        Ok(count)
    }

    /// Leaves what is known of the base in the cache, for other sweeps. Best effort, as they can do without.
    pub(super) fn keep(&mut self, index: usize) {
        let Some(trial) = self.trials.get(index) else { return };
        let Some(path) = self.kept_items(&trial.spec) else { return };
        let whole = read_trial(self.folder, &trial.spec).map_err(|error| error.to_string());
        let kept = whole.and_then(|trial| kept::add(&path, &trial.items).map_err(|error| error.to_string()));
        if let Err(error) = kept {
            self.note(format!("the base's items cannot be kept in {}: {error}", path.display()));
        }
    }

    /// Says once that hidden states could not be kept.
    pub(super) fn tell_fallback(
        &mut self,
        suite: &LoadedSuite,
        before: Option<&StoreUse>,
        now: Option<&StoreUse>,
    ) {
        let known = |fallback: &str| before.is_some_and(|b| b.fallback == fallback);
        if let Some(store) = now.filter(|s| !s.fallback.is_empty() && !known(&s.fallback)) {
            self.note(format!(
                "{}: logits are kept, not hidden states: {}",
                suite.suite.name, store.fallback
            ));
        }
    }

    /// Hands one piece of work to a worker and journals its items as they come.
    pub(super) fn piece(
        &mut self,
        work: &Work<'_>,
        suite: &LoadedSuite,
        recipe: &Recipe,
        path: &Path,
    ) -> Outcomes<SuiteCost> {
        let mut turn = None;
        let requests = match &suite.suite.scoring {
            Scoring::Choice(choice) => {
                let Items::Choices(items) = &suite.items else { return Ok(SuiteCost::default()) };
                let exact = choice.exact || work.trial.kind == TrialKind::Noise;
                choice_requests(work, choice, items, exact)
            }
            Scoring::Generate(generate) => {
                let Items::Prompts(items) = &suite.items else { return Ok(SuiteCost::default()) };
                vec![Request::Generate(Box::new(GenerateWork {
                    items: picked(items, &work.items),
                    suite: generate.as_ref().clone(),
                    template: self.prepared.base_model.chat_template().map(str::to_owned),
                    resources: suite.resources.clone(),
                    unsafe_exec: self.prepared.config.run.unsafe_exec,
                    seconds: self.prepared.config.run.time_s,
                }))]
            }
            Scoring::Text(text) => {
                turn = self.store_turn(suite)?;
                self.text_requests(work, suite, text, recipe)?
            }
        };
        // Only the base's own trial writes the base's store while it runs.
        let _turn = turn.filter(|_| *recipe == Recipe::base() && work.trial.kind == TrialKind::Suite);
        let journal = ItemJournal::new(self.folder, &work.trial.id, &self.writer);
        let total = self.asked_items(work.trial).len() as u64;
        let done = total - work.items.len() as u64;
        let mut sink =
            Sink { journal, allowed: work.items.iter().copied().collect(), done, total, decoded: 0 };
        let spent = requests.iter().try_fold(SuiteCost::default(), |mut spent, request| {
            match self.ask(recipe, path, request, Some(&mut sink))? {
                Finished::Items(cost) => spent.add(&cost),
                _ => return Err(bad_protocol("the worker answered another question")),
            }
            Ok(spent)
        });
        sink.close()?;
        spent
    }
}

/// What is missing of each piece, beside the rest of it: which questions are decoded together follows from the whole piece.
fn choice_requests(work: &Work<'_>, suite: &ChoiceSuite, all: &[ChoiceItem], exact: bool) -> Vec<Request> {
    let missing: BTreeSet<u64> = work.items.iter().copied().collect();
    let torn = work.asked.iter().filter(|piece| piece.iter().any(|index| missing.contains(index)));
    let request = |piece: &&[u64]| {
        Request::Choice(ChoiceWork {
            n_ctx: suite.ctx,
            items: picked(all, piece),
            known: piece.iter().copied().filter(|index| !missing.contains(index)).collect(),
            scoring: suite.scoring,
            exact,
        })
    };
    torn.map(request).collect()
}
