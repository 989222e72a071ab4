//! The files of variants: found, made, or made again, and deleted when nothing needs them any more.

use std::path::PathBuf;

use super::Executor;
use crate::error::Error;
use crate::gguf::{self, Described as _};
use crate::journal::record::{Outcome, Quantized};
use crate::plan::matrix::TrialKind;
use crate::run::event::Event;
use crate::run::file_plan::{FilePlan, Refusal};
use crate::run::variant_file;
use crate::worker::protocol::Status;

impl Executor<'_> {
    /// Deletes a file that nothing needs any more, unless it is to be kept or not ours.
    pub(super) fn release(&self, file: &FilePlan) -> Result<(), Error> {
        if file.weights.ftype.is_some() && !self.prepared.config.keep_variants {
            variant_file::release(&self.prepared.cache, file)?;
        }
        Ok(())
    }

    /// The variants' file: found, or made; or why it cannot be.
    pub(super) fn file(&mut self, file: &FilePlan, ids: &[usize]) -> Result<Result<PathBuf, String>, Error> {
        let makers: Vec<usize> = ids
            .iter()
            .copied()
            .filter(|i| self.trials.get(*i).is_some_and(|t| t.spec.kind == TrialKind::Quantize))
            .collect();
        let recorded = makers.iter().find_map(|i| match self.trials.get(*i)?.outcome.clone()? {
            Outcome::Quantize(facts) => Some(facts),
            _ => None,
        });
        if let Some((model, path, sha256)) = self.found(file)? {
            let facts = match recorded.filter(|r| !r.tensor_digest.is_empty()) {
                Some(facts) => facts,
                None => variant_file::existing(&model, &sha256)?,
            };
            self.record_file(&makers, &facts)?;
            return Ok(Ok(path));
        }
        if let Some(facts) = &recorded
            && let Some(path) = variant_file::reuse(&self.prepared.cache, file, facts)
        {
            self.record_file(&makers, facts)?;
            return Ok(Ok(path));
        }
        let Some(first) = makers.first().copied() else {
            return Ok(Err(file.forecast.as_ref().err().map_or("not planned".to_owned(), Refusal::line)));
        };
        if self.has_failed(first) && (self.prepared.config.no_retry || self.is_of_another(first)) {
            let reason = self.trials.get(first).map_or("", |t| t.reason.as_str());
            return Ok(Err(format!("its file could not be made: {reason}")));
        }
        if let Err(refusal) = &file.forecast {
            let reason = refusal.line();
            self.set(first, Status::Refused, &reason, 0, None)?;
            self.ended(first)?;
            return Ok(Err(format!("its file could not be made: {reason}")));
        }
        let _turn = self.turn(&file.key)?;
        match self.made_meanwhile(file, &makers)? {
            Some(made) => Ok(made),
            None => self.make_file(file, first, &makers, recorded.as_ref()),
        }
    }

    /// A file that is there already and not ours to make: the base, or somebody else's that fits it.
    pub(super) fn found(&self, file: &FilePlan) -> Result<Option<(gguf::Model, PathBuf, String)>, Error> {
        if file.weights.is_base() {
            let prepared = self.prepared;
            let path = prepared.base_path.clone();
            return Ok(Some((prepared.base_model.clone(), path, prepared.base.sha256.clone())));
        }
        let Some(found) = &file.found else { return Ok(None) };
        Ok(Some((gguf::open_model(&found.path)?, found.path.clone(), found.sha256.clone())))
    }

    pub(super) fn make_file(
        &mut self,
        file: &FilePlan,
        first: usize,
        makers: &[usize],
        recorded: Option<&Quantized>,
    ) -> Result<Result<PathBuf, String>, Error> {
        self.started(first, 0, self.prepared.base_model.tensors().count() as u64);
        let log = self.log(&file.weights.name)?;
        let (failures, made) = self.attempts(first, |me| {
            let (interrupted, events) = (me.interrupted, &mut *me.events);
            let step = |done, total| events(&Event::Step { done, total, decoded: 0 });
            variant_file::make(me.prepared, file, &log, interrupted, step)
        })?;
        let mut made = match made {
            Ok(made) => made,
            Err((status, reason)) => {
                self.set(first, status, &reason, failures, None)?;
                self.ended(first)?;
                return Ok(Err(format!("its file could not be made: {reason}")));
            }
        };
        if recorded.is_some_and(|r| r.sha256 != made.facts.sha256) {
            self.note(format!("{} came out with other bytes than before", file.weights.name));
        }
        // The first making is the one whose time is on record.
        made.facts.quantize_s = recorded.and_then(|r| r.quantize_s).or(made.facts.quantize_s);
        self.record_file(makers, &made.facts)?;
        let path = variant_file::path(&self.prepared.cache, file);
        made.keep().map(Ok).map_err(|source| Error::Io { path, source })
    }

    pub(super) fn record_file(&mut self, makers: &[usize], facts: &Quantized) -> Result<(), Error> {
        for index in makers {
            if self.trials.get(*index).is_some_and(|t| !self.is_done(t)) {
                self.set(*index, Status::Done, "", 0, Some(Outcome::Quantize(facts.clone())))?;
                self.ended(*index)?;
            }
        }
        Ok(())
    }
}
