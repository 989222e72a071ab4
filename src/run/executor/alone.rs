//! One trial by itself, while other processes carry out others of the same folder: what several of them need is made by one
//! and awaited by the rest, and what is derived is left to whoever looks at the whole.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Executor, Outcomes, interrupted};
use crate::error::Error;
use crate::files::Turn;
use crate::journal::reader::{TrialData, read_trial};
use crate::journal::record::{Manifest, Outcome};
use crate::plan::matrix::{TrialKind, TrialSpec};
use crate::plan::suite::LoadedSuite;
use crate::run::event::Event;
use crate::run::file_plan::FilePlan;
use crate::run::prepare::Prepared;
use crate::run::variant_file;
use crate::worker::client::WorkFailure;

/// The one trial, and where it is carried out.
#[derive(Debug, Clone)]
pub(super) struct Alone {
    pub(super) id: String,
    pub(super) node: String,
}

impl Alone {
    /// Whether a trial's records are of any interest: its own, and those of files that were made.
    pub(super) fn concerns(&self, spec: &TrialSpec) -> bool {
        spec.id == self.id || spec.kind == TrialKind::Quantize
    }
}

impl<'a> Executor<'a> {
    /// One trial of a folder, on this node. `prepared` may be of a part of the plan, if the trial is in that part.
    pub fn alone(
        prepared: &'a Prepared,
        (manifest, folder): (&'a Manifest, &'a Path),
        (id, node): (&str, &str),
        interrupted: &'a AtomicBool,
        events: &'a mut dyn FnMut(&Event),
    ) -> Result<Self, Error> {
        let alone = Alone { id: id.to_owned(), node: node.to_owned() };
        Self::begun(prepared, manifest, folder, interrupted, events, Some(alone))
    }

    /// Carries it out, unless it is done. Deletes no file, since others may need it.
    pub fn run_alone(mut self) -> Result<Option<TrialData>, Error> {
        for file in &self.prepared.files {
            let result = self.run_file(file);
            self.running = None;
            result?;
        }
        self.run_speculations()?;
        let id = self.alone.as_ref().map(|alone| alone.id.clone()).unwrap_or_default();
        Ok(std::mem::take(&mut self.trials).into_iter().find(|trial| trial.spec.id == id))
    }

    /// Whether a trial is carried out by another process.
    pub(super) fn is_of_another(&self, index: usize) -> bool {
        let id = self.trials.get(index).map(|trial| &trial.spec.id);
        self.alone.as_ref().is_some_and(|alone| Some(&alone.id) != id)
    }

    /// Waits until no other process makes the same thing. Where all trials are carried out here nobody else does.
    pub(super) fn turn(&self, what: &str) -> Result<Option<Turn>, Error> {
        if self.alone.is_none() {
            return Ok(None);
        }
        let path = self.folder.join("cluster").join("turns").join(format!("{what}.lock"));
        let turn = Turn::take(&path, || !self.interrupted.load(Ordering::Relaxed));
        match turn
            .map_err(|error| Error::NoSpace(format!("{} cannot be written: {error}", path.display())))?
        {
            Some(turn) => Ok(Some(turn)),
            None => Err(interrupted()),
        }
    }

    /// The turn at the base's store of a suite's texts.
    pub(super) fn store_turn(&self, suite: &LoadedSuite) -> Outcomes<Option<Turn>> {
        self.turn(&format!("base-{}", suite.file_sha256)).map_err(|error| match error {
            Error::Interrupted { .. } => WorkFailure::Interrupted,
            other => WorkFailure::NoSpace(other.to_string()),
        })
    }

    /// The file, if another process made it, or failed to, while this one waited.
    pub(super) fn made_meanwhile(
        &mut self,
        file: &FilePlan,
        makers: &[usize],
    ) -> Result<Option<Result<PathBuf, String>>, Error> {
        if self.alone.is_none() {
            return Ok(None);
        }
        for index in makers {
            if let Some(trial) = self.trials.get_mut(*index) {
                *trial = read_trial(self.folder, &trial.spec)?;
            }
        }
        let failed = makers.iter().copied().find(|i| self.has_failed(*i) && self.is_of_another(*i));
        if let Some(failed) = failed.and_then(|i| self.trials.get(i)) {
            return Ok(Some(Err(format!("its file could not be made: {}", failed.reason))));
        }
        let facts = makers.iter().find_map(|i| match self.trials.get(*i)?.outcome.clone()? {
            Outcome::Quantize(facts) => Some(facts),
            _ => None,
        });
        let Some(facts) = facts else { return Ok(None) };
        let Some(path) = variant_file::reuse(&self.prepared.cache, file, &facts) else { return Ok(None) };
        self.record_file(makers, &facts)?;
        Ok(Some(Ok(path)))
    }
}
