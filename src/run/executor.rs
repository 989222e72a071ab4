//! The executor: takes work as (trial, range of items), hands it to workers one after the other, journals what comes
//! back, retries once, and goes on. It never prints and never enters llama.cpp.

mod speculations;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::error::Error;
use crate::files;
use crate::gguf::{self, Described as _};
use crate::journal::kept;
use crate::journal::reader::{JournalError, TrialData, read_trial};
use crate::journal::record::{FORMAT, Manifest, Outcome, Quantized, TrialFile};
use crate::journal::writer::{ItemJournal, write_trial, writer_name};
use crate::plan::corpus::LoadedCorpus;
use crate::plan::matrix::{self, TrialKind, TrialSpec};
use crate::plan::recipe::Recipe;
use crate::plan::suite::{LoadedSuite, Scoring};
use crate::plan::text::TextSuite;
use crate::run::derive;
use crate::run::estimate;
use crate::run::event::Event;
use crate::run::file_plan::{FilePlan, Refusal};
use crate::run::prepare::Prepared;
use crate::run::variant_file;
use crate::score::{base_store, token_file};
use crate::worker::client::{WorkFailure, Worker};
use crate::worker::protocol::{
    ChoiceWork, Finished, LoadSpec, NoiseShape, Reply, Request, SampleWork, Status, StoreChoice, StoreUse,
    SuiteCost, TextWork,
};

mod timing;

/// A piece of work: some items of one trial.
#[derive(Debug, Clone, PartialEq)]
pub struct Work<'a> {
    /// The trial.
    pub trial: &'a TrialSpec,
    /// Positions of its items, in order.
    pub items: Vec<u64>,
}

/// A worker that has loaded a variant.
struct Running {
    worker: Worker,
    variant: String,
}

/// Carries out the trials of a plan in one results folder.
pub struct Executor<'a> {
    prepared: &'a Prepared,
    manifest: &'a Manifest,
    folder: &'a Path,
    interrupted: &'a AtomicBool,
    events: &'a mut dyn FnMut(&Event),
    writer: String,
    running: Option<Running>,
    /// Trials of the manifest: those of this plan first, then those of earlier plans in the same folder.
    trials: Vec<TrialData>,
    /// Ids of this plan.
    planned: BTreeSet<String>,
}

impl std::fmt::Debug for Executor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executor").field("folder", &self.folder).field("trials", &self.trials.len()).finish()
    }
}

/// How a piece of work ended.
type Outcomes<T> = Result<T, WorkFailure>;

/// What came of a piece of work after up to two attempts: how often it failed, and its result or why there is none.
type Attempted<T> = (u32, Result<T, (Status, String)>);

impl<'a> Executor<'a> {
    /// Reads what is there already.
    pub fn new(
        prepared: &'a Prepared,
        manifest: &'a Manifest,
        folder: &'a Path,
        interrupted: &'a AtomicBool,
        events: &'a mut dyn FnMut(&Event),
    ) -> Result<Self, Error> {
        let trials =
            manifest.trials.iter().map(|spec| read_trial(folder, spec)).collect::<Result<Vec<_>, _>>()?;
        let damaged: u64 = trials.iter().map(|t| t.damaged).sum();
        if damaged > 0 {
            let message =
                format!("{damaged} damaged journal lines were set aside; their items are measured again");
            events(&Event::Note { message });
        }
        let mut executor = Self {
            prepared,
            manifest,
            folder,
            interrupted,
            events,
            writer: writer_name(),
            running: None,
            trials,
            planned: prepared.trials.iter().map(|t| t.id.clone()).collect(),
        };
        executor.announce();
        Ok(executor)
    }

    fn announce(&mut self) {
        let work = |t: &TrialData| estimate::work(self.prepared, &t.spec);
        let planned: Vec<&TrialData> =
            self.trials.iter().filter(|t| self.planned.contains(&t.spec.id)).collect();
        let done: Vec<&TrialData> = planned.iter().copied().filter(|t| self.is_done(t)).collect();
        let event = Event::SweepStarted {
            folder: self.folder.display().to_string(),
            trials: planned.len() as u64,
            done: done.len() as u64,
            work: planned.iter().map(|t| work(t)).sum(),
            work_done: done.iter().map(|t| work(t)).sum(),
        };
        (self.events)(&event);
    }

    /// Carries out all trials that are not done. Returns what is known of every trial.
    pub fn run(mut self) -> Result<Vec<TrialData>, Error> {
        variant_file::sweep_up(&self.prepared.cache);
        for file in &self.prepared.files {
            let result = self.run_file(file);
            self.running = None;
            // After an interruption the file is still needed: the next invocation goes on with it.
            result?;
            if !self.is_paired(file) {
                self.release(file)?;
            }
        }
        self.run_speculations()?;
        for file in &self.prepared.files {
            self.release(file)?;
        }
        Ok(self.trials)
    }

    /// Deletes a file that nothing needs any more, unless it is to be kept or not ours.
    fn release(&self, file: &FilePlan) -> Result<(), Error> {
        if file.weights.ftype.is_some() && !self.prepared.config.keep_variants {
            variant_file::release(&self.prepared.cache, file)?;
        }
        Ok(())
    }

    /// The variants that share a file.
    fn variants_of(&self, file: &FilePlan) -> Vec<&'a Recipe> {
        self.prepared.config.recipes.iter().filter(|r| r.weights.same_file(&file.weights)).collect()
    }

    /// Places of the trials of some variants, but for those that need two files.
    fn trials_of(&self, variants: &[&Recipe]) -> Vec<usize> {
        let is_of = |t: &TrialData| {
            t.spec.kind != TrialKind::Speculate && variants.iter().any(|v| t.spec.variant == v.variant())
        };
        (0..self.trials.len()).filter(|i| self.trials.get(*i).is_some_and(is_of)).collect()
    }

    /// All trials of the variants that share one file.
    fn run_file(&mut self, file: &FilePlan) -> Result<(), Error> {
        let variants = self.variants_of(file);
        let ids = self.trials_of(&variants);
        if ids.iter().all(|i| !self.is_due(*i)) {
            return Ok(());
        }
        let path = self.file(file, &ids)?;
        for recipe in variants {
            for index in &ids {
                let mine = self.trials.get(*index).is_some_and(|t| t.spec.variant == recipe.variant());
                if !mine || !self.is_due(*index) {
                    continue;
                }
                match &path {
                    Ok(path) => self.run_trial(*index, recipe, path)?,
                    // The trial that should have made the file has its own reason on record.
                    Err(_) if self.has_failed(*index) => {}
                    Err(reason) => self.skip(*index, reason)?,
                }
            }
            self.running = None;
        }
        Ok(())
    }

    /// Whether a trial has all that was asked for.
    fn is_done(&self, trial: &TrialData) -> bool {
        match trial.spec.kind {
            TrialKind::Suite | TrialKind::Noise => {
                trial.status == Status::Done && self.missing(trial).is_empty()
            }
            TrialKind::Quantize | TrialKind::Speed | TrialKind::Speculate => {
                trial.status == Status::Done && trial.outcome.is_some()
            }
        }
    }

    /// Whether a trial was tried and failed.
    fn has_failed(&self, index: usize) -> bool {
        let succeeds = |status| matches!(status, Status::Pending | Status::Done | Status::Skipped);
        self.trials.get(index).is_some_and(|t| !succeeds(t.status))
    }

    /// Whether a trial is to be carried out in this invocation.
    fn is_due(&self, index: usize) -> bool {
        let Some(trial) = self.trials.get(index) else { return false };
        let given_up = self.has_failed(index) && self.prepared.config.no_retry;
        self.planned.contains(&trial.spec.id) && !self.is_done(trial) && !given_up
    }

    /// Items of a suite or noise trial that are asked for, in the order in which they are evaluated.
    fn planned_items(&self, trial: &TrialSpec) -> &'a [u64] {
        let suite = self.prepared.suite(&trial.suite);
        match trial.kind {
            TrialKind::Suite => suite.map_or(&[], |s| &s.planned),
            TrialKind::Noise => suite.map_or(&[], matrix::noise_items),
            TrialKind::Quantize | TrialKind::Speed | TrialKind::Speculate => &[],
        }
    }

    /// Those of them that are not there.
    fn missing(&self, trial: &TrialData) -> Vec<u64> {
        let have: BTreeSet<u64> = trial.items.iter().map(|i| i.index).collect();
        self.planned_items(&trial.spec).iter().copied().filter(|i| !have.contains(i)).collect()
    }

    /// The variants' file: found, or made; or why it cannot be.
    fn file(&mut self, file: &FilePlan, ids: &[usize]) -> Result<Result<PathBuf, String>, Error> {
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
        if self.has_failed(first) && self.prepared.config.no_retry {
            let reason = self.trials.get(first).map_or("", |t| t.reason.as_str());
            return Ok(Err(format!("its file could not be made: {reason}")));
        }
        if let Err(refusal) = &file.forecast {
            let reason = refusal.line();
            self.set(first, Status::Refused, &reason, 0, None)?;
            self.ended(first)?;
            return Ok(Err(format!("its file could not be made: {reason}")));
        }
        self.make_file(file, first, &makers, recorded.as_ref())
    }

    /// A file that is there already and not ours to make: the base, or somebody else's that fits it.
    fn found(&self, file: &FilePlan) -> Result<Option<(gguf::Model, PathBuf, String)>, Error> {
        if file.weights.is_base() {
            let prepared = self.prepared;
            let path = prepared.base_path.clone();
            return Ok(Some((prepared.base_model.clone(), path, prepared.base.sha256.clone())));
        }
        let Some(found) = &file.found else { return Ok(None) };
        Ok(Some((gguf::open_model(&found.path)?, found.path.clone(), found.sha256.clone())))
    }

    fn make_file(
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
            let step = |done, total| events(&Event::Step { done, total });
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

    /// Does a piece of work, and once more at once after a failure that may pass. Returns how often it failed
    /// and what came out in the end.
    fn attempts<T>(
        &mut self,
        index: usize,
        mut work: impl FnMut(&mut Self) -> Outcomes<T>,
    ) -> Result<Attempted<T>, Error> {
        for failures in 0.. {
            let failure = match work(self) {
                Ok(result) => return Ok((failures, Ok(result))),
                Err(failure) => failure,
            };
            let (status, reason) = self.take(failure)?;
            if failures > 0 || status == Status::Refused {
                return Ok((failures + 1, Err((status, reason))));
            }
            self.retrying(index, &reason);
        }
        Ok((0, Err((Status::Skipped, String::new()))))
    }

    fn record_file(&mut self, makers: &[usize], facts: &Quantized) -> Result<(), Error> {
        for index in makers {
            if self.trials.get(*index).is_some_and(|t| !self.is_done(t)) {
                self.set(*index, Status::Done, "", 0, Some(Outcome::Quantize(facts.clone())))?;
                self.ended(*index)?;
            }
        }
        Ok(())
    }

    fn run_trial(&mut self, index: usize, recipe: &Recipe, path: &Path) -> Result<(), Error> {
        let Some(trial) = self.trials.get(index).cloned() else { return Ok(()) };
        match trial.spec.kind {
            // Pairs have a turn of their own.
            TrialKind::Quantize | TrialKind::Speculate => Ok(()),
            TrialKind::Speed => self.run_speed(index, recipe, path),
            TrialKind::Suite | TrialKind::Noise => self.run_suite(index, &trial, recipe, path),
        }
    }

    /// The missing items of a suite, in one piece; what is left of it once more after a failure.
    fn run_suite(
        &mut self,
        index: usize,
        trial: &TrialData,
        recipe: &Recipe,
        path: &Path,
    ) -> Result<(), Error> {
        let Some(suite) = self.prepared.suite(&trial.spec.suite) else { return Ok(()) };
        let planned = self.planned_items(&trial.spec).len() as u64;
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
            let missing = me.trials.get(index).map(|t| me.missing(t)).unwrap_or_default();
            if missing.is_empty() {
                return Ok(());
            }
            let spent = me.piece(&Work { trial: &trial.spec, items: missing }, suite, recipe, path);
            me.reread(index)?;
            let spent = spent?;
            me.tell_fallback(suite, cost.store.as_ref(), spent.store.as_ref());
            cost.add(&spent);
            match me.trials.get(index).map_or(0, |t| me.missing(t).len()) {
                0 => Ok(()),
                left => Err(bad_protocol(&format!("the worker left out {left} items"))),
            }
        })?;
        let (status, reason) = result.map_or_else(|failure| failure, |()| (Status::Done, String::new()));
        self.set(index, status, &reason, failures, Some(Outcome::Suite(cost)))?;
        self.keep(index);
        self.ended(index)
    }

    /// Where the cache keeps the items of a trial, if it is one of the base.
    fn kept_items(&self, trial: &TrialSpec) -> Option<PathBuf> {
        let is_base = trial.variant == Recipe::base().variant();
        is_base.then(|| self.prepared.cache.base_store().join(kept::file_name(&trial.id)))
    }

    /// Journals the missing items of the base that an earlier sweep left in the cache. Returns how many they were.
    fn take_kept(&mut self, index: usize) -> Result<u64, Error> {
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
        }
        Ok(count)
    }

    /// Leaves what is known of the base in the cache, for other sweeps. Best effort, as they can do without.
    fn keep(&mut self, index: usize) {
        let Some(trial) = self.trials.get(index) else { return };
        let Some(path) = self.kept_items(&trial.spec) else { return };
        if let Err(error) = kept::add(&path, &trial.items) {
            self.note(format!("the base's items cannot be kept in {}: {error}", path.display()));
        }
    }

    /// Says once that hidden states could not be kept.
    fn tell_fallback(&mut self, suite: &LoadedSuite, before: Option<&StoreUse>, now: Option<&StoreUse>) {
        let known = |fallback: &str| before.is_some_and(|b| b.fallback == fallback);
        if let Some(store) = now.filter(|s| !s.fallback.is_empty() && !known(&s.fallback)) {
            self.note(format!(
                "{}: logits are kept, not hidden states: {}",
                suite.suite.name, store.fallback
            ));
        }
    }

    /// Hands one piece of work to a worker and journals its items as they come.
    fn piece(
        &mut self,
        work: &Work<'_>,
        suite: &LoadedSuite,
        recipe: &Recipe,
        path: &Path,
    ) -> Outcomes<SuiteCost> {
        let requests = match &suite.suite.scoring {
            Scoring::Choice(choice) => {
                let wanted: Vec<_> = work
                    .items
                    .iter()
                    .filter_map(|i| suite.items.get(usize::try_from(*i).ok()?).cloned())
                    .collect();
                vec![Request::Choice(ChoiceWork { n_ctx: choice.ctx, items: wanted })]
            }
            Scoring::Text(text) => self.text_requests(work, suite, text, recipe)?,
        };
        let journal = ItemJournal::new(self.folder, &work.trial.id, &self.writer);
        let total = self.planned_items(work.trial).len() as u64;
        let done = total - work.items.len() as u64;
        let mut sink = Sink { journal, allowed: work.items.iter().copied().collect(), done, total };
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

    /// One request a text of which chunks are wanted, each with its own store of the base.
    fn text_requests(
        &mut self,
        work: &Work<'_>,
        suite: &LoadedSuite,
        text: &TextSuite,
        recipe: &Recipe,
    ) -> Outcomes<Vec<Request>> {
        let is_noise = work.trial.kind == TrialKind::Noise;
        let is_base = *recipe == Recipe::base() && !is_noise;
        let noise = is_noise.then(|| NoiseShape::new(text.ctx, self.prepared.config.run.threads));
        let mut requests = Vec::new();
        for corpus in &suite.corpora {
            let chunks = corpus.own(&work.items);
            if chunks.is_empty() {
                continue;
            }
            self.write_sampled(suite, corpus, text)?;
            let mut wanted = self.text_work(suite, corpus, text, chunks);
            if !is_base {
                self.fill_base_store(&wanted)?;
            }
            (wanted.is_base, wanted.noise) = (is_base, noise);
            requests.push(Request::Text(wanted));
        }
        Ok(requests)
    }

    /// Lets the base write a text that is not in the cache.
    fn write_sampled(
        &mut self,
        suite: &LoadedSuite,
        corpus: &LoadedCorpus,
        text: &TextSuite,
    ) -> Outcomes<()> {
        let path = &corpus.text.path;
        let Some(sampling) = corpus.sampling.filter(|_| !token_file::is_whole(path)) else { return Ok(()) };
        self.note(format!("{}: the base writes {} tokens", suite.suite.name, sampling.tokens));
        let io = |error: std::io::Error| WorkFailure::NoSpace(format!("{}: {error}", path.display()));
        fs::create_dir_all(path.parent().unwrap_or(path)).map_err(io)?;
        let output = files::temporary(path);
        let request = Request::Sample(SampleWork { output: output.clone(), sampling, n_ctx: text.ctx });
        let base = self.prepared.base_path.clone();
        match self.ask(&Recipe::base(), &base, &request, None)? {
            Finished::File => fs::rename(&output, path).map_err(io),
            _ => Err(bad_protocol("the worker answered another question")),
        }
    }

    fn text_work(
        &self,
        suite: &LoadedSuite,
        corpus: &LoadedCorpus,
        text: &TextSuite,
        chunks: Vec<u64>,
    ) -> TextWork {
        TextWork {
            text: corpus.text.clone(),
            label: corpus.label.clone(),
            first: corpus.first,
            cut: *text,
            chunks,
            base_store: self.prepared.base_store(suite, corpus),
            store: StoreChoice::Auto,
            base_model: self.prepared.base_path.clone(),
            base_sha256: self.prepared.base.sha256.clone(),
            is_base: false,
            store_only: false,
            noise: None,
        }
    }

    /// Evaluates the base on chunks that the cache has lost. Its items are on record already.
    fn fill_base_store(&mut self, wanted: &TextWork) -> Outcomes<()> {
        let lost = base_store::missing(&wanted.base_store, &wanted.chunks);
        if lost.is_empty() {
            return Ok(());
        }
        let request =
            Request::Text(TextWork { chunks: lost, is_base: true, store_only: true, ..wanted.clone() });
        let path = self.prepared.base_path.clone();
        self.ask(&Recipe::base(), &path, &request, None)?;
        Ok(())
    }

    /// Asks the worker that has `recipe` loaded, starting one if need be. A worker that failed is let go.
    fn ask(
        &mut self,
        recipe: &Recipe,
        path: &Path,
        request: &Request,
        mut sink: Option<&mut Sink>,
    ) -> Outcomes<Finished> {
        self.ready(recipe, path).and_then(|mut running| {
            let patience = estimate::patience(self.prepared, request);
            let (interrupted, events) = (self.interrupted, &mut *self.events);
            let answer =
                running.worker.ask(request, patience, interrupted, |reply| match (reply, &mut sink) {
                    (Reply::Item(item), Some(sink)) => {
                        sink.take(&item)?;
                        events(&Event::Step { done: sink.done, total: sink.total });
                        Ok(())
                    }
                    (Reply::Progress { done, total }, _) => {
                        events(&Event::Step { done, total });
                        Ok(())
                    }
                    _ => Ok(()),
                });
            if answer.is_ok() {
                self.running = Some(running);
            }
            answer
        })
    }

    fn ready(&mut self, recipe: &Recipe, path: &Path) -> Outcomes<Running> {
        let variant = recipe.variant();
        if let Some(running) = self.running.take().filter(|r| r.variant == variant) {
            return Ok(running);
        }
        let log = self.log(&variant).map_err(|e| WorkFailure::NoSpace(e.to_string()))?;
        let mut worker = Worker::start(&log, self.interrupted)?;
        let request = Request::Load(self.load_spec(recipe, path));
        let patience = estimate::patience(self.prepared, &request);
        worker.ask(&request, patience, self.interrupted, |_| Ok(())).map_err(|failure| match failure {
            WorkFailure::Trial { status: Status::Refused, reason, .. } if recipe.is_base() => {
                WorkFailure::Base(reason)
            }
            other => other,
        })?;
        Ok(Running { worker, variant })
    }

    fn load_spec(&self, recipe: &Recipe, path: &Path) -> LoadSpec {
        LoadSpec {
            model: path.to_owned(),
            threads: self.prepared.config.run.threads,
            offload: self.prepared.config.run.offload.clone(),
            kv: (recipe.kv.k.clone(), recipe.kv.v.clone()),
            yarn: self.prepared.config.run.yarn,
        }
    }

    /// llama.cpp's log of a variant's workers.
    fn log(&self, name: &str) -> Result<PathBuf, Error> {
        let folder = self.folder.join("logs");
        fs::create_dir_all(&folder).map_err(|source| JournalError::Write { path: folder.clone(), source })?;
        let name: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || "._-+".contains(c) { c } else { '_' })
            .collect();
        Ok(folder.join(format!("{name}.log")))
    }

    /// What a failure means: a status for the trial, or the end of the sweep.
    fn take(&mut self, failure: WorkFailure) -> Result<(Status, String), Error> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Err(interrupted());
        }
        match failure {
            WorkFailure::Trial { status, reason, .. } => Ok((status, reason)),
            WorkFailure::Base(reason) => Err(Error::Base { path: self.prepared.base_path.clone(), reason }),
            WorkFailure::NoSpace(what) => Err(Error::NoSpace(what)),
            WorkFailure::Interrupted => Err(interrupted()),
        }
    }

    fn skip(&mut self, index: usize, reason: &str) -> Result<(), Error> {
        self.set(index, Status::Skipped, reason, 0, None)?;
        self.ended(index)
    }

    /// Writes a trial's file and takes it in. `failures` are added to those on record.
    fn set(
        &mut self,
        index: usize,
        status: Status,
        reason: &str,
        failures: u32,
        outcome: Option<Outcome>,
    ) -> Result<(), Error> {
        let Some(trial) = self.trials.get_mut(index) else { return Ok(()) };
        trial.status = status;
        reason.clone_into(&mut trial.reason);
        trial.failures += failures;
        trial.outcome = outcome.or(trial.outcome.take());
        let file = TrialFile {
            format: FORMAT,
            spec: trial.spec.clone(),
            status,
            reason: trial.reason.clone(),
            failures: trial.failures,
            outcome: trial.outcome.clone(),
        };
        write_trial(self.folder, &file).map_err(|source| {
            Error::Journal(JournalError::Write {
                path: self.folder.join("trials").join(&file.spec.id),
                source,
            })
        })
    }

    /// Takes in what the journals hold now.
    fn reread(&mut self, index: usize) -> Outcomes<()> {
        if let Some(trial) = self.trials.get_mut(index) {
            let fresh = read_trial(self.folder, &trial.spec)
                .map_err(|e| bad_protocol(&format!("the journal cannot be read back: {e}")))?;
            trial.items = fresh.items;
        }
        Ok(())
    }

    fn started(&mut self, index: usize, done: u64, total: u64) {
        if let Some(TrialSpec { id, kind, variant, suite, .. }) =
            self.trials.get(index).map(|t| t.spec.clone())
        {
            (self.events)(&Event::TrialStarted { id, kind, variant, suite, total, done });
        }
    }

    fn retrying(&mut self, index: usize, reason: &str) {
        if let Some(id) = self.trials.get(index).map(|t| t.spec.id.clone()) {
            (self.events)(&Event::Retry { id, reason: reason.to_owned() });
        }
    }

    fn note(&mut self, message: String) {
        (self.events)(&Event::Note { message });
    }

    /// A trial ended: everything derived is rewritten, so that a sweep stopped now leaves valid tables.
    fn ended(&mut self, index: usize) -> Result<(), Error> {
        let Some(trial) = self.trials.get(index) else { return Ok(()) };
        let TrialSpec { id, kind, variant, suite, .. } = trial.spec.clone();
        let event = Event::TrialEnded {
            id,
            kind,
            variant,
            suite,
            status: trial.status,
            reason: trial.reason.clone(),
            work: estimate::work(self.prepared, &trial.spec),
        };
        derive::items(self.folder, trial)?;
        let report = derive::tables(self.folder, self.manifest, &self.trials)?;
        derive::charts(self.folder, &report)?;
        (self.events)(&event);
        Ok(())
    }
}

/// Where the items of a piece of work go.
struct Sink {
    journal: ItemJournal,
    /// Items that were asked for; anything else is a lie.
    allowed: BTreeSet<u64>,
    done: u64,
    total: u64,
}

impl Sink {
    fn take(&mut self, item: &crate::worker::protocol::ItemRecord) -> Outcomes<()> {
        if !self.allowed.remove(&item.index) {
            return Err(bad_protocol(&format!(
                "the worker sent item {}, which was not asked for",
                item.index
            )));
        }
        self.journal.append(item).map_err(|e| disk(&e))?;
        self.done += 1;
        Ok(())
    }

    fn close(mut self) -> Outcomes<()> {
        self.journal.sync().map_err(|e| disk(&e))
    }
}

fn disk(error: &std::io::Error) -> WorkFailure {
    WorkFailure::NoSpace(unwritable(error))
}

fn unwritable(error: &std::io::Error) -> String {
    format!("the item journal cannot be written: {error}")
}

fn bad_protocol(reason: &str) -> WorkFailure {
    WorkFailure::Trial { status: Status::BadProtocol, reason: reason.to_owned(), alive: false }
}

fn interrupted() -> Error {
    Error::Interrupted { resume: "run the same command again".to_owned() }
}

/// Longest silence that is not yet a hang, when nothing better is known.
pub const LEAST_PATIENCE: Duration = Duration::from_mins(2);
