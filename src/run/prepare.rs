//! Inputs made ready: found or fetched, hashed, read and checked, before any night begins. Opens no socket unless
//! it was asked to fetch.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde_json::{Value, json};

use crate::error::Error;
use crate::fetch::{Cache, Expect, Fetcher, Source, sha256_bytes, sha256_file};
use crate::gguf::{self, Described as _};
use crate::journal::record::{BaseModel, Machine, Software};
use crate::plan::config::SweepConfig;
use crate::plan::corpus::{LoadedCorpus, TextFile};
use crate::plan::error::PlanError;
use crate::plan::fingerprint;
use crate::plan::ladder;
use crate::plan::matrix::{self, Shared, TrialSpec};
use crate::plan::recipe::{Recipe, Weights};
use crate::plan::suite::{self, LoadedSuite, Scoring, Suite, SuiteText};
use crate::run::corpora::{Materials, template_of};
use crate::run::data;
use crate::run::event::Event;
use crate::run::file_plan::{self, FilePlan, Forecast, Refusal};
use crate::run::haystack;
use crate::run::imatrix;
use crate::run::inputs::{Inputs, sha256_of};
use crate::run::machine;
use crate::run::searched;
use crate::score::base_store;
use crate::worker::client::{WorkFailure, Worker};
use crate::worker::protocol::{CountWork, Finished, Request};

/// Longest silence of a worker that only reads headers.
const PATIENCE: Duration = Duration::from_mins(2);

/// The alignment that llama.cpp writes, whatever the input's metadata says.
const ALIGNMENT: u64 = 32;

/// A plan with everything it needs at hand.
#[derive(Debug)]
pub struct Prepared {
    /// What was asked for.
    pub config: SweepConfig,
    /// Where models, data and variants lie.
    pub cache: Cache,
    /// The base's file (first part, if split).
    pub base_path: PathBuf,
    /// Its header.
    pub base_model: gguf::Model,
    /// What the manifest says of it.
    pub base: BaseModel,
    /// Suites with their items.
    pub suites: Vec<LoadedSuite>,
    /// Versions.
    pub software: Software,
    /// This machine.
    pub machine: Machine,
    /// Files that recipes name.
    pub inputs: Inputs,
    /// One entry a file to be made, in the order of the recipes; the base is the first.
    pub files: Vec<FilePlan>,
    /// Why recipes that were to be searched could not be, by name.
    pub unsearched: BTreeMap<String, Refusal>,
    /// Trials in the order in which they are carried out.
    pub trials: Vec<TrialSpec>,
}

impl Prepared {
    /// What all trials share.
    pub fn shared<'a>(&'a self, machine: &'a Value) -> Shared<'a> {
        Shared {
            base_sha256: &self.base.sha256,
            llama_cpp: &self.software.llama_cpp,
            build: &self.software.build,
            machine,
            options: &self.config.run,
            speed: &self.config.speed,
            inputs: &self.inputs.sha256,
        }
    }

    /// Plans what is timed for another machine, under ids of its own.
    pub fn timed_on(&mut self, machine: Machine) {
        self.machine = machine;
        self.trials = trials(self);
    }

    /// The base as quantizing sees it.
    pub fn source(&self) -> file_plan::Source<'_> {
        file_plan::Source {
            path: &self.base_path,
            model: &self.base_model,
            allow_requantize: self.config.run.allow_requantize,
            threads: self.config.run.threads,
            tells_path: false,
        }
    }

    /// The base's own file type, if it is one of llama.cpp's.
    pub fn base_type(&self) -> Option<String> {
        let number = u32::try_from(self.base_model.file_type()?).ok()?;
        ladder::name_of(number).map(str::to_owned)
    }

    /// Where the base's distributions of a text lie: by content, so that all suites and sweeps that read the same
    /// text with the same base in the same way share them.
    pub fn base_store(&self, suite: &LoadedSuite, corpus: &LoadedCorpus) -> PathBuf {
        let own = |t: &&TrialSpec| t.suite == suite.suite.name && t.variant == Recipe::base().variant();
        let mut settings =
            self.trials.iter().find(own).map(|t| Value::clone(&t.settings)).unwrap_or_default();
        if let Some(settings) = settings.as_object_mut() {
            settings.remove("suite_sha256");
            // What the base writes is only known once it is written.
            let written = corpus.sampling.and_then(|_| sha256_file(&corpus.text.path).ok());
            settings.insert("data_sha256".to_owned(), json!([written.as_ref().unwrap_or(&corpus.key)]));
            settings.insert("reads".to_owned(), json!(corpus.text.kind));
        }
        self.cache.base_store().join(base_store::file_name(&fingerprint::of(&settings)))
    }

    /// The suite of that name.
    pub fn suite(&self, name: &str) -> Option<&LoadedSuite> {
        self.suites.iter().find(|s| s.suite.name == name)
    }
}

/// Makes everything ready.
pub fn prepare(
    mut config: SweepConfig,
    cache: Cache,
    interrupted: &AtomicBool,
    events: &mut dyn FnMut(&Event),
) -> Result<Prepared, Error> {
    let (base_path, base_model, base) = base(&config, &cache)?;
    shallow_enough(&config, &base)?;
    let mut inputs = Inputs::locate(&config, &cache)?;
    let mut suites = config.suites.iter().map(suite::parse).collect::<Result<Vec<_>, _>>()?;
    decidable(&config, &suites)?;
    // What is missing is told before anything takes time.
    for suite in &suites {
        data::locate_all(suite, &cache, config.fetch)?;
        if suite.scoring.is_chat() {
            template_of(&base_model, &format!("suite {} needs a chat template", suite.name))?;
        }
    }
    let log =
        tempfile::NamedTempFile::new().map_err(|source| Error::Io { path: std::env::temp_dir(), source })?;
    let inspected = base_path.clone();
    let mut inspector = Inspector::start(log.path(), &inspected, interrupted)?;
    for suite in &mut suites {
        haystack::settle(suite, &base_model, &cache, &mut |files| inspector.count(files))?;
    }
    let native = inspector.worker.native.clone();
    let software = Software {
        bitfrontier: env!("CARGO_PKG_VERSION").to_owned(),
        commit: option_env!("BITFRONTIER_COMMIT").unwrap_or_default().to_owned(),
        llama_cpp: native.llama_cpp.clone(),
        build: build_name(),
        system_info: native.system_info.clone(),
    };
    let materials = Materials {
        config: &config,
        cache: &cache,
        base: &base_model,
        base_sha256: &base.sha256,
        software: &software,
    };
    let texts = materials.texts(&suites, &mut inspector)?;
    let suites = config.suites.iter().zip(suites).zip(texts);
    let suites = suites
        .map(|((text, suite), corpora)| load_suite(&config, &cache, &base, text, suite, corpora, interrupted))
        .collect::<Result<Vec<_>, _>>()?;
    let machine = machine::look(native.devices);
    let seen = imatrix::Base {
        path: &base_path,
        model: &base_model,
        sha256: &base.sha256,
        llama_cpp: &software.llama_cpp,
        threads: config.run.threads,
        offload: &config.run.offload,
    };
    if let Some(path) = imatrix::of_sweep(&config, &seen, &suites, &cache, interrupted, events)? {
        let sha256 = sha256_file(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
        inputs.add(matrix::SWEEP_IMATRIX.to_owned(), path, sha256);
    }
    let unsearched =
        searched::resolve(&mut config, &base_path, &suites, &inputs, &cache, interrupted, events)?;
    let mut prepared = Prepared {
        config,
        cache,
        base_path,
        base_model,
        base,
        suites,
        software,
        machine,
        inputs,
        files: Vec::new(),
        unsearched,
        trials: Vec::new(),
    };
    prepared.files = file_plans(&prepared, &mut inspector)?;
    prepared.trials = trials(&prepared);
    Ok(prepared)
}

/// Refuses to stop early where there is nothing that could be decided.
fn decidable(config: &SweepConfig, suites: &[Suite]) -> Result<(), Error> {
    let has_questions = suites.iter().any(|suite| !matches!(suite.scoring, Scoring::Text(_)));
    if config.judging.decide.is_none() || has_questions {
        return Ok(());
    }
    Err(Error::Plan(PlanError::Missing {
        place: "decide".to_owned(),
        what: "trials are to stop when their answer is known, and there is no suite of questions".to_owned(),
        hint: "texts are always read whole: add a suite of questions, or leave --decide out".to_owned(),
    }))
}

/// Refuses depths of the speed surface that the model's context cannot hold.
fn shallow_enough(config: &SweepConfig, base: &BaseModel) -> Result<(), Error> {
    // What every sweep measures is measured whatever the model; if it cannot be, that is a row.
    if config.run.yarn || config.speed.is_default() || base.context_length == 0 {
        return Ok(());
    }
    let Some(reason) = config.speed.too_deep(base.context_length) else { return Ok(()) };
    Err(Error::Plan(PlanError::Missing {
        place: config.speed_place.clone(),
        what: format!("[speed] {reason}"),
        hint: "leave that depth out, or stretch the model's context with --yarn".to_owned(),
    }))
}

fn build_name() -> String {
    let mut parts = vec![if cfg!(feature = "portable") { "portable" } else { "native" }];
    for (name, on) in [
        ("cuda", cfg!(feature = "cuda")),
        ("vulkan", cfg!(feature = "vulkan")),
        ("metal", cfg!(feature = "metal")),
    ] {
        if on {
            parts.push(name);
        }
    }
    parts.join("+")
}

fn base(config: &SweepConfig, cache: &Cache) -> Result<(PathBuf, gguf::Model, BaseModel), Error> {
    let source: Source = config.base.parse()?;
    let path = locate_model("base model", &source, cache, config.fetch)?;
    let model = open_base(&path, config.run.allow_requantize)?;
    let base = BaseModel {
        source: source.to_string(),
        sha256: sha256_of(&model, cache)?,
        file_bytes: model.file_bytes(),
        weights: model.weights(),
        bpw: model.bpw().0,
        architecture: model.architecture().unwrap_or_default().to_owned(),
        name: model.name().unwrap_or_default().to_owned(),
        description: model.description().unwrap_or_default().to_owned(),
        context_length: u32::try_from(model.context_length().unwrap_or(0)).unwrap_or(u32::MAX),
    };
    Ok((path, model, base))
}

/// Opens a base model, if it can be quantized.
pub fn open_base(path: &Path, allow_requantize: bool) -> Result<gguf::Model, Error> {
    let model = gguf::open_model(path)?;
    let share = model.quantized_share() * 100.0;
    if share > 0.0 && !allow_requantize {
        return Err(Error::Quantized { path: path.to_owned(), share });
    }
    if model.first().alignment != ALIGNMENT {
        let reason = format!(
            "its data is aligned to {} bytes; llama.cpp quantizes such files wrongly",
            model.first().alignment
        );
        return Err(Error::Base { path: path.to_owned(), reason });
    }
    Ok(model)
}

/// A model's file, if it is there or may be fetched.
pub fn locate_model(what: &str, source: &Source, cache: &Cache, fetch: bool) -> Result<PathBuf, Error> {
    match cache.locate(source) {
        Some(path) => Ok(path),
        None if fetch || matches!(source, Source::Local(_) | Source::Cached(_)) => {
            Ok(Fetcher::new(cache).fetch(source, &Expect::default(), &|_| {})?.path)
        }
        None => Err(Error::NotFetched {
            what: format!("the {what} {source}"),
            command: format!("run `bitfrontier fetch {source}`"),
        }),
    }
}

fn load_suite(
    config: &SweepConfig,
    cache: &Cache,
    base: &BaseModel,
    text: &SuiteText,
    suite: Suite,
    corpora: Vec<LoadedCorpus>,
    interrupted: &AtomicBool,
) -> Result<LoadedSuite, Error> {
    let mut data_sha256: Vec<String> = corpora.iter().map(|corpus| corpus.key.clone()).collect();
    let items = data::items(&suite, cache, interrupted)?;
    let (total, planned) = if matches!(suite.scoring, Scoring::Text(_)) {
        // A text is read from its beginning, as llama-perplexity does.
        let planned: Vec<u64> = corpora.iter().flat_map(|c| c.first..c.first + c.planned).collect();
        (corpora.iter().map(|c| c.chunks).sum(), planned)
    } else {
        let paths = data::locate_all(&suite, cache, false)?;
        for path in &paths {
            data_sha256.push(sha256_file(path).map_err(|source| Error::Io { path: path.clone(), source })?);
        }
        let total = items.len() as u64;
        let limit = config.limit_of(&suite.name).unwrap_or(total).min(total);
        let order = fingerprint::seeded_order(total, config.seed, &suite.name);
        (total, order.into_iter().take(usize::try_from(limit).unwrap_or(usize::MAX)).collect())
    };
    if planned.is_empty() {
        return Err(PlanError::NoItems { suite: suite.name }.into());
    }
    if let Scoring::Text(text_suite) = &suite.scoring
        && text_suite.ctx > base.context_length
        && !config.run.yarn
    {
        return Err(Error::Plan(PlanError::Missing {
            place: text.path.clone(),
            what: format!(
                "a context of {} tokens is longer than the model's {}",
                text_suite.ctx, base.context_length
            ),
            hint: "lower `ctx`, or stretch the model's context with --yarn".to_owned(),
        }));
    }
    Ok(LoadedSuite {
        file_sha256: sha256_bytes(text.text.as_bytes()),
        data_sha256,
        corpora,
        total,
        planned,
        items,
        resources: data::resources(&suite, cache)?,
        suite,
    })
}

/// A worker that answers questions about files without loading weights.
pub(super) struct Inspector<'a> {
    worker: Worker,
    base: &'a Path,
    log: &'a Path,
    interrupted: &'a AtomicBool,
}

impl<'a> Inspector<'a> {
    pub(super) fn start(log: &'a Path, base: &'a Path, interrupted: &'a AtomicBool) -> Result<Self, Error> {
        let worker = started(log, interrupted).map_err(|failure| stopped(failure, base))?;
        Ok(Self { worker, base, log, interrupted })
    }

    /// Asks; a worker that died is replaced, and asked once more: whatever ended it may have been no fault of the question's.
    pub(super) fn ask(&mut self, request: &Request) -> Result<Finished, WorkFailure> {
        let answer = self.ask_once(request);
        if is_dead(&answer) { self.ask_once(request) } else { answer }
    }

    fn ask_once(&mut self, request: &Request) -> Result<Finished, WorkFailure> {
        let answer = self.worker.ask(request, PATIENCE, self.interrupted, |_| Ok(()));
        if is_dead(&answer) {
            self.worker = started(self.log, self.interrupted)?;
        }
        answer
    }

    /// Tokens of each text.
    pub(super) fn count(&mut self, texts: Vec<TextFile>) -> Result<Vec<u64>, Error> {
        match self.ask(&Request::CountTokens(CountWork { model: self.base.to_owned(), texts })) {
            Ok(Finished::Tokens { counts }) => Ok(counts),
            Ok(_) => Err(Error::Worker("the worker answered another question".to_owned())),
            Err(failure) => Err(stopped(failure, self.base)),
        }
    }
}

/// A worker; one that dies as it starts is started once more.
fn started(log: &Path, interrupted: &AtomicBool) -> Result<Worker, WorkFailure> {
    let worker = Worker::start(log, interrupted);
    if is_dead(&worker) { Worker::start(log, interrupted) } else { worker }
}

fn is_dead<T>(answer: &Result<T, WorkFailure>) -> bool {
    matches!(answer, Err(WorkFailure::Trial { alive: false, .. }))
}

/// How a command ends when the worker that looks at the base fails.
pub fn stopped(failure: WorkFailure, base: &Path) -> Error {
    match failure {
        WorkFailure::Trial { reason, .. } | WorkFailure::Base(reason) => {
            Error::Base { path: base.to_owned(), reason }
        }
        WorkFailure::NoSpace(what) => Error::NoSpace(what),
        WorkFailure::Interrupted => Error::Interrupted { resume: "the same command".to_owned() },
    }
}

/// One entry a distinct file, in the order of the recipes.
fn file_plans(prepared: &Prepared, inspector: &mut Inspector<'_>) -> Result<Vec<FilePlan>, Error> {
    let machine = json!(null);
    let mut plans: Vec<FilePlan> = Vec::new();
    for recipe in prepared.config.models() {
        let key = fingerprint::of(&matrix::weights_key(&prepared.shared(&machine), &recipe.weights));
        if plans.iter().all(|p| p.key != key) {
            plans.push(file_plan(prepared, &recipe.weights, key, inspector)?);
        }
    }
    Ok(plans)
}

fn file_plan(
    prepared: &Prepared,
    weights: &Weights,
    key: String,
    inspector: &mut Inspector<'_>,
) -> Result<FilePlan, Error> {
    let imatrix = prepared.inputs.imatrix(weights);
    let (forecast, found) = if let Some(refusal) = prepared.unsearched.get(&weights.name) {
        (Err(refusal.clone()), None)
    } else if let Some(name) = &weights.file {
        let drafts = prepared.config.recipes.iter().all(|r| !r.weights.same_file(weights));
        prepared.inputs.find(name, &prepared.base_model, drafts)?
    } else if weights.is_base() {
        let (file_bytes, bpw) = (prepared.base.file_bytes, prepared.base.bpw);
        (Ok(Forecast { file_bytes, bpw, fallbacks: Vec::new() }), None)
    } else {
        let forecast = prepared.source().forecast(weights, imatrix, |request| inspector.ask(request));
        (forecast.map_err(|failure| stopped(failure, &prepared.base_path))?, None)
    };
    Ok(FilePlan { weights: weights.clone(), key, forecast, imatrix: imatrix.map(Path::to_owned), found })
}

/// File by file, and for each file recipe by recipe: make it, score its suites, time it. Of the base also the noise
/// floors, while it is loaded.
fn trials(prepared: &Prepared) -> Vec<TrialSpec> {
    let machine = json!({
        "cpu": prepared.machine.cpu,
        "cores": prepared.machine.cores,
        "ram_bytes": prepared.machine.ram_bytes,
        "devices": prepared.machine.devices,
        "build": prepared.software.build,
    });
    let shared = prepared.shared(&machine);
    let mut trials = Vec::new();
    for file in &prepared.files {
        let recipes = prepared.config.recipes.iter().filter(|r| r.weights.same_file(&file.weights));
        for recipe in recipes {
            trials.push(matrix::quantize_trial(&shared, recipe));
            trials.extend(prepared.suites.iter().map(|suite| matrix::suite_trial(&shared, recipe, suite)));
            if *recipe == Recipe::base() {
                trials.extend(prepared.suites.iter().filter_map(|suite| matrix::noise_trial(&shared, suite)));
            }
            trials.push(matrix::speed_trial(&shared, recipe));
        }
    }
    // Two files at once, so that they come last.
    let named = |name: &str| prepared.config.model(name);
    trials.extend(prepared.config.speculations.iter().filter_map(|one| {
        Some(matrix::speculate_trial(&shared, [named(&one.target)?, named(&one.draft)?], one))
    }));
    trials
}
