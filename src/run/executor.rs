//! The executor: takes work as (trial, range of items), hands it to workers one after the other, journals what comes
//! back, retries once, and goes on. It never prints and never enters llama.cpp.

mod alone;
mod records;
mod rounds;
mod sink;
mod speculations;
mod suites;
mod texts;
mod timing;
mod variants;

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use self::alone::Alone;
use self::rounds::Rounds;
use self::sink::Sink;
use crate::error::Error;
use crate::files;
use crate::journal::reader::{JournalError, TrialData};
use crate::journal::record::Manifest;
use crate::journal::writer::writer_name;
use crate::plan::matrix::{self, TrialKind, TrialSpec};
use crate::plan::recipe::Recipe;
use crate::run::derive;
use crate::run::estimate;
use crate::run::event::Event;
use crate::run::file_plan::FilePlan;
use crate::run::prepare::Prepared;
use crate::run::variant_file;
use crate::stats::FIRST_LOOK;
use crate::worker::client::{WorkFailure, Worker};
use crate::worker::protocol::{Finished, LoadSpec, Reply, Request, Status};

/// A piece of work: some items of one trial.
#[derive(Debug, Clone, PartialEq)]
pub struct Work<'a> {
    /// The trial.
    pub trial: &'a TrialSpec,
    /// Positions of its items, in order.
    pub items: Vec<u64>,
    /// All that it asks for, in order, piece by piece as they were asked for one after the other.
    pub asked: Vec<&'a [u64]>,
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
    /// Places of each variant's trials among them.
    places: HashMap<String, Vec<usize>>,
    /// Ids of this plan.
    planned: BTreeSet<String>,
    /// How far each trial goes in this round; absent where trials are carried out whole.
    rounds: Option<Rounds>,
    /// When the charts were drawn last.
    drawn: Option<Instant>,
    /// The one trial that is carried out, beside others in other processes; absent where all are.
    alone: Option<Alone>,
    /// When the tables were written last, and how long that took.
    told: Option<(Instant, Duration)>,
    /// Whether a trial has ended since.
    is_stale: bool,
}

impl std::fmt::Debug for Executor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executor").field("folder", &self.folder).field("trials", &self.trials.len()).finish()
    }
}

impl Drop for Executor<'_> {
    fn drop(&mut self) {
        for file in &self.prepared.files {
            variant_file::let_go(&self.prepared.cache, file);
        }
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
        Self::begun(prepared, manifest, folder, interrupted, events, None)
    }

    fn begun(
        prepared: &'a Prepared,
        manifest: &'a Manifest,
        folder: &'a Path,
        interrupted: &'a AtomicBool,
        events: &'a mut dyn FnMut(&Event),
        alone: Option<Alone>,
    ) -> Result<Self, Error> {
        let concerns = |spec: &TrialSpec| alone.as_ref().is_none_or(|alone| alone.concerns(spec));
        let trials = derive::lean_trials(folder, manifest, concerns)?;
        let planned = match &alone {
            Some(alone) => BTreeSet::from([alone.id.clone()]),
            None => prepared.trials.iter().map(|t| t.id.clone()).collect(),
        };
        let mut places: HashMap<String, Vec<usize>> = HashMap::new();
        for (place, trial) in trials.iter().enumerate() {
            places.entry(trial.spec.variant.clone()).or_default().push(place);
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
            places,
            planned,
            rounds: Rounds::asked(prepared),
            drawn: None,
            alone,
            told: None,
            is_stale: false,
        };
        executor.judge_stops()?;
        executor.tell_damage()?;
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
            stops_early: self.prepared.config.judging.decide.is_some(),
        };
        (self.events)(&event);
    }

    /// Carries out all trials that are not done. Returns what is known of every trial.
    pub fn run(mut self) -> Result<Vec<TrialData>, Error> {
        variant_file::sweep_up(&self.prepared.cache);
        let done = self.run_all();
        if self.is_stale {
            let told = self.tell_all();
            // Why the sweep ended counts for more.
            done.and(told)?;
        } else {
            done?;
        }
        Ok(std::mem::take(&mut self.trials))
    }

    fn run_all(&mut self) -> Result<(), Error> {
        if self.rounds.is_some() {
            self.run_rounds()?;
        } else {
            self.run_files()?;
        }
        self.run_speculations()?;
        for file in self.prepared.files.iter().filter(|file| !self.waits_for(file)) {
            self.release(file)?;
        }
        Ok(())
    }

    /// File by file, each with all its trials.
    fn run_files(&mut self) -> Result<(), Error> {
        for file in &self.prepared.files {
            let result = self.run_file(file);
            self.running = None;
            // After an interruption the file is still needed: the next invocation goes on with it.
            result?;
            if !self.is_paired(file) {
                self.release(file)?;
            }
        }
        Ok(())
    }

    /// The variants that share a file.
    fn variants_of(&self, file: &FilePlan) -> Vec<&'a Recipe> {
        self.prepared.config.recipes.iter().filter(|r| r.weights.same_file(&file.weights)).collect()
    }

    /// Places of the trials of some variants, but for those that need two files.
    fn trials_of(&self, variants: &[&Recipe]) -> Vec<usize> {
        let of_all = variants.iter().filter_map(|v| self.places.get(&v.variant())).flatten();
        let is_single =
            |place: &usize| self.trials.get(*place).is_some_and(|t| t.spec.kind != TrialKind::Speculate);
        let mut places: Vec<usize> = of_all.copied().filter(is_single).collect();
        // Each once, in the order of the plan, though a variant may be named twice.
        places.sort_unstable();
        places.dedup();
        places
    }

    /// All trials of the variants that share one file.
    fn run_file(&mut self, file: &FilePlan) -> Result<(), Error> {
        let variants = self.variants_of(file);
        let ids = self.trials_of(&variants);
        if self.is_spent() || !self.is_any_due(&ids)? {
            return Ok(());
        }
        let path = self.file(file, &ids)?;
        for recipe in variants {
            for index in &ids {
                let mine = self.trials.get(*index).is_some_and(|t| t.spec.variant == recipe.variant());
                if !mine || !self.is_due(*index) || self.is_spent() || self.is_done_elsewhere(*index)? {
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
        self.give_up(&ids);
        Ok(())
    }

    /// Whether any of these trials is to be carried out, of which others may have done some meanwhile.
    fn is_any_due(&mut self, indices: &[usize]) -> Result<bool, Error> {
        let mut any = false;
        for index in indices {
            any |= self.is_due(*index) && !self.is_done_elsewhere(*index)?;
        }
        Ok(any)
    }

    /// Whether a trial has all that was asked for.
    fn is_done(&self, trial: &TrialData) -> bool {
        match trial.spec.kind {
            // Between two rounds a trial waits.
            TrialKind::Suite if self.rounds.is_some() && trial.status == Status::Pending => {
                trial.stopped.is_some() || self.goes_further(trial) && self.missing(trial).is_empty()
            }
            TrialKind::Suite if trial.stopped.is_some() => trial.status == Status::Done,
            TrialKind::Suite if self.rounds.is_some() => {
                trial.status == Status::Done && self.missing(trial).is_empty()
            }
            _ => is_whole(self.prepared, trial),
        }
    }

    /// Whether a trial was tried and failed.
    fn has_failed(&self, index: usize) -> bool {
        self.trials.get(index).is_some_and(TrialData::has_failed)
    }

    /// Whether a trial is to be carried out in this invocation.
    fn is_due(&self, index: usize) -> bool {
        let Some(trial) = self.trials.get(index) else { return false };
        let given_up = self.has_failed(index) && self.prepared.config.no_retry
            || self.rounds.as_ref().is_some_and(|rounds| rounds.has_failed(&trial.spec.id));
        self.planned.contains(&trial.spec.id) && !self.is_done(trial) && !given_up
    }

    /// Items of a suite or noise trial that are asked for now, in the order in which they are evaluated.
    fn asked_items(&self, trial: &TrialSpec) -> &'a [u64] {
        let all = self.planned_items(trial);
        let rounds = self.rounds.as_ref().filter(|_| trial.kind == TrialKind::Suite);
        let until = rounds.and_then(|rounds| rounds.until(&trial.id));
        until.and_then(|until| all.get(..until)).unwrap_or(all)
    }

    /// The same, piece by piece: each as far as a round was to go.
    fn asked_in_rounds(&self, trial: &TrialData) -> Vec<&'a [u64]> {
        let is_in_rounds = self.rounds.is_some() || !trial.looks.is_empty();
        let first = Some(FIRST_LOOK).filter(|_| is_in_rounds && trial.spec.kind == TrialKind::Suite);
        let ends: BTreeSet<u64> = first.iter().chain(&trial.looks).chain(&trial.goals).copied().collect();
        let (mut left, mut taken, mut pieces) = (self.asked_items(&trial.spec), 0, Vec::new());
        for end in ends {
            let end = usize::try_from(end).unwrap_or(usize::MAX);
            let (piece, rest) = left.split_at(end.saturating_sub(taken).min(left.len()));
            pieces.push(piece);
            (left, taken) = (rest, taken + piece.len());
        }
        pieces.push(left);
        pieces
    }

    /// Items of a suite or noise trial that the plan asks for, in the order in which they are evaluated.
    fn planned_items(&self, trial: &TrialSpec) -> &'a [u64] {
        planned_items(self.prepared, trial)
    }

    /// Those of them that are not there.
    fn missing(&self, trial: &TrialData) -> Vec<u64> {
        lacking(trial, self.asked_items(&trial.spec))
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

    fn run_trial(&mut self, index: usize, recipe: &Recipe, path: &Path) -> Result<(), Error> {
        let Some(trial) = self.trials.get(index).cloned() else { return Ok(()) };
        match trial.spec.kind {
            // Pairs have a turn of their own.
            TrialKind::Quantize | TrialKind::Speculate => Ok(()),
            TrialKind::Speed => self.run_speed(index, recipe, path),
            TrialKind::Suite | TrialKind::Noise => self.run_suite(index, &trial, recipe, path),
        }
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
                        events(&sink.step());
                        Ok(())
                    }
                    (Reply::Progress { done, total, decoded }, _) if total > 0 => {
                        events(&Event::Step { done, total, decoded });
                        Ok(())
                    }
                    (Reply::Progress { decoded, .. }, Some(sink)) => {
                        sink.decoded = decoded;
                        events(&sink.step());
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
        Ok(folder.join(format!("{}.log", files::plain_name(name))))
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
}

fn planned_items<'a>(prepared: &'a Prepared, trial: &TrialSpec) -> &'a [u64] {
    let suite = prepared.suite(&trial.suite);
    match trial.kind {
        TrialKind::Suite => suite.map_or(&[], |s| &s.planned),
        TrialKind::Noise => suite.map_or(&[], matrix::noise_items),
        TrialKind::Quantize | TrialKind::Speed | TrialKind::Speculate => &[],
    }
}

/// Items of a trial that are asked for and not there.
fn lacking(trial: &TrialData, asked: &[u64]) -> Vec<u64> {
    // They are in the order of their places.
    let has = |index: &u64| trial.items.binary_search_by_key(index, |item| item.index).is_ok();
    asked.iter().copied().filter(|index| !has(index)).collect()
}

/// Whether a trial has all that a plan asks for, where trials are carried out whole.
pub fn is_whole(prepared: &Prepared, trial: &TrialData) -> bool {
    let has_all = match trial.spec.kind {
        TrialKind::Suite | TrialKind::Noise => {
            lacking(trial, planned_items(prepared, &trial.spec)).is_empty()
        }
        TrialKind::Quantize | TrialKind::Speed | TrialKind::Speculate => trial.outcome.is_some(),
    };
    trial.status == Status::Done && has_all
}

fn bad_protocol(reason: &str) -> WorkFailure {
    WorkFailure::Trial { status: Status::BadProtocol, reason: reason.to_owned(), alive: false }
}

fn interrupted() -> Error {
    Error::Interrupted { resume: "run the same command again".to_owned() }
}

/// Longest silence that is not yet a hang, when nothing better is known.
pub const LEAST_PATIENCE: Duration = Duration::from_mins(2);
