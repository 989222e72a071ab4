//! Trials that need two variants at once: one drafts for the other. They come last, when every file that they need has
//! been made; one that is gone is made again by the same steps.

use std::path::{Path, PathBuf};

use super::{Executor, Outcomes, bad_protocol};
use crate::analyze::speculation::{self, SpeculationRow};
use crate::error::Error;
use crate::journal::record::Outcome;
use crate::plan::matrix::TrialKind;
use crate::plan::recipe::Recipe;
use crate::plan::speculation::Speculation;
use crate::run::file_plan::FilePlan;
use crate::worker::protocol::{Finished, Request, SpeculateWork, Speculated, Status};

/// A due trial: its place, what is asked, the target and the draft.
type Pair<'a> = (usize, &'a Speculation, [&'a Recipe; 2]);

impl<'a> Executor<'a> {
    /// Whether a file is needed by a trial of a pair that is still to be carried out.
    pub(super) fn is_paired(&self, file: &FilePlan) -> bool {
        self.due_pairs().iter().any(|(_, _, pair)| pair.iter().any(|r| r.weights.same_file(&file.weights)))
    }

    /// All trials of pairs that are due.
    pub(super) fn run_speculations(&mut self) -> Result<(), Error> {
        for (index, wanted, [target, draft]) in self.due_pairs() {
            match (self.file_of(target)?, self.file_of(draft)?) {
                (Ok(target_path), Ok(draft_path)) => {
                    self.run_pair(index, wanted, (target, &target_path), (draft, &draft_path))?;
                }
                (Err(reason), _) => {
                    self.skip(index, &format!("the target {}: {reason}", target.variant()))?;
                }
                (_, Err(reason)) => self.skip(index, &format!("the draft {}: {reason}", draft.variant()))?,
            }
        }
        Ok(())
    }

    fn due_pairs(&self) -> Vec<Pair<'a>> {
        let config = &self.prepared.config;
        let named = |name: &str| config.model(name);
        let pair = |index: usize| -> Option<Pair<'a>> {
            let spec = &self.trials.get(index).filter(|t| t.spec.kind == TrialKind::Speculate)?.spec;
            let asked = |s: &&Speculation| s.target == spec.variant && s.draft == spec.suite;
            let wanted = config.speculations.iter().find(asked)?;
            Some((index, wanted, [named(&wanted.target)?, named(&wanted.draft)?]))
        };
        (0..self.trials.len()).filter_map(pair).filter(|(index, ..)| self.is_due(*index)).collect()
    }

    /// The file of a variant: found, or made again.
    fn file_of(&mut self, recipe: &Recipe) -> Result<Result<PathBuf, String>, Error> {
        let prepared = self.prepared;
        let Some(file) = prepared.files.iter().find(|f| f.weights.same_file(&recipe.weights)) else {
            return Ok(Err("not planned".to_owned()));
        };
        let ids = self.trials_of(&self.variants_of(file));
        self.file(file, &ids)
    }

    fn run_pair(
        &mut self,
        index: usize,
        wanted: &Speculation,
        target: (&Recipe, &Path),
        draft: (&Recipe, &Path),
    ) -> Result<(), Error> {
        self.running = None;
        let repetitions = self.prepared.config.run.repetitions;
        let runs = u64::from(repetitions) * (1 + wanted.lengths.len() as u64) * wanted.prompts.len() as u64;
        self.started(index, 0, runs);
        let work = Request::Speculate(SpeculateWork {
            draft: self.load_spec(draft.0, draft.1),
            prompts: wanted.prompts.clone(),
            lengths: wanted.lengths.clone(),
            tokens: wanted.tokens,
            min_probability: 0.0,
            repetitions,
        });
        let (failures, result) = self.attempts(index, |me| {
            let answer = me.ask(target.0, target.1, &work, None);
            me.running = None;
            speculated(answer)
        })?;
        match result {
            Ok(measured) => {
                let rows = speculation::rows(&wanted.target, &wanted.draft, wanted.tolerance, &measured);
                let (status, reason) = verdict(&rows, wanted.tolerance);
                self.set(index, status, &reason, failures, Some(Outcome::Speculate(measured)))?;
            }
            Err((status, reason)) => self.set(index, status, &reason, failures, None)?,
        }
        self.ended(index)
    }
}

fn speculated(answer: Outcomes<Finished>) -> Outcomes<Speculated> {
    match answer? {
        Finished::Speculate(measured) => Ok(measured),
        _ => Err(bad_protocol("the worker answered another question")),
    }
}

fn verdict(rows: &[SpeculationRow], tolerance: f64) -> (Status, String) {
    speculation::diverged(rows).map_or((Status::Done, String::new()), |(count, furthest)| {
        (Status::Diverged, Error::Diverged { count, tolerance, furthest }.to_string())
    })
}
