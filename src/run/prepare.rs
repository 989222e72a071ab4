//! Inputs made ready: found or fetched, hashed, read and checked, before any night begins. Opens no socket unless
//! it was asked to fetch.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde_json::json;

use crate::error::Error;
use crate::fetch::{Cache, Expect, FetchEvent, Fetcher, Source, sha256_bytes, sha256_file};
use crate::gguf::{self, Described as _};
use crate::journal::record::{BaseModel, Machine, Software};
use crate::plan::config::SweepConfig;
use crate::plan::error::PlanError;
use crate::plan::fingerprint;
use crate::plan::ladder;
use crate::plan::matrix::{self, Shared, TrialSpec};
use crate::plan::recipe::Weights;
use crate::plan::suite::{self, LoadedSuite, Scoring, Suite, SuiteText};
use crate::run::event::Event;
use crate::run::file_plan::{self, FilePlan, Forecast};
use crate::run::imatrix;
use crate::run::inputs::{Inputs, sha256_of};
use crate::run::machine;
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
    /// Trials in the order in which they are carried out.
    pub trials: Vec<TrialSpec>,
}

impl Prepared {
    /// What all trials share.
    pub fn shared<'a>(&'a self, machine: &'a serde_json::Value) -> Shared<'a> {
        Shared {
            base_sha256: &self.base.sha256,
            llama_cpp: &self.software.llama_cpp,
            build: &self.software.build,
            machine,
            options: &self.config.run,
            inputs: &self.inputs.sha256,
        }
    }

    /// The base as quantizing sees it.
    pub fn source(&self) -> file_plan::Source<'_> {
        file_plan::Source {
            path: &self.base_path,
            model: &self.base_model,
            allow_requantize: self.config.run.allow_requantize,
            threads: self.config.run.threads,
        }
    }

    /// The base's own file type, if it is one of llama.cpp's.
    pub fn base_type(&self) -> Option<String> {
        let number = u32::try_from(self.base_model.file_type()?).ok()?;
        ladder::name_of(number).map(str::to_owned)
    }

    /// The suite of that name.
    pub fn suite(&self, name: &str) -> Option<&LoadedSuite> {
        self.suites.iter().find(|s| s.suite.name == name)
    }
}

/// Makes everything ready.
pub fn prepare(
    config: SweepConfig,
    cache: Cache,
    interrupted: &AtomicBool,
    events: &mut dyn FnMut(&Event),
) -> Result<Prepared, Error> {
    let (base_path, base_model, base) = base(&config, &cache)?;
    let mut inputs = Inputs::locate(&config, &cache)?;
    let suites = config.suites.iter().map(suite::parse).collect::<Result<Vec<_>, _>>()?;
    let data = suites.iter().map(|s| locate_data(s, &cache, config.fetch)).collect::<Result<Vec<_>, _>>()?;
    let log =
        tempfile::NamedTempFile::new().map_err(|source| Error::Io { path: std::env::temp_dir(), source })?;
    let inspected = base_path.clone();
    let mut inspector = Inspector::start(log.path(), &inspected, interrupted)?;
    let native = inspector.worker.native.clone();
    let chunks = inspector.count_chunks(&suites, &data)?;
    let suites = config
        .suites
        .iter()
        .zip(suites)
        .zip(data)
        .zip(chunks)
        .map(|(((text, suite), data), chunks)| load_suite(&config, &base, text, suite, data, chunks))
        .collect::<Result<Vec<_>, _>>()?;
    let software = Software {
        bitfrontier: env!("CARGO_PKG_VERSION").to_owned(),
        commit: option_env!("BITFRONTIER_COMMIT").unwrap_or_default().to_owned(),
        llama_cpp: native.llama_cpp.clone(),
        build: build_name(),
        system_info: native.system_info.clone(),
    };
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
        trials: Vec::new(),
    };
    prepared.files = file_plans(&prepared, &mut inspector)?;
    prepared.trials = trials(&prepared);
    Ok(prepared)
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
        sha256: sha256_of(&model)?,
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

/// The data of a suite that is in the cache, or can be fetched if that was asked for.
pub fn locate_data(suite: &Suite, cache: &Cache, fetch: bool) -> Result<PathBuf, Error> {
    for place in &suite.sources {
        let source: Source = place.from.parse()?;
        if let Some(path) = cache.locate(&source) {
            check_data(suite, place.sha256.as_deref(), &path)?;
            return Ok(path);
        }
    }
    if fetch {
        return fetch_data(suite, &Fetcher::new(cache), &|_| {});
    }
    Err(Error::NotFetched {
        what: format!("the data of suite {}", suite.name),
        command: format!("run `bitfrontier suites fetch {}`", suite.name),
    })
}

/// Fetches a suite's data: the first source that can be reached and checks out wins.
pub fn fetch_data(
    suite: &Suite,
    fetcher: &Fetcher<'_>,
    progress: &dyn Fn(FetchEvent<'_>),
) -> Result<PathBuf, Error> {
    let mut failure = None;
    for place in &suite.sources {
        let source: Source = place.from.parse()?;
        let expect = Expect { sha256: place.sha256.clone(), archive_sha256: place.archive_sha256.clone() };
        match fetcher.fetch(&source, &expect, progress) {
            Ok(file) => return Ok(file.path),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.map_or_else(
        || Error::NotFetched { what: format!("the data of suite {}", suite.name), command: String::new() },
        Error::Fetch,
    ))
}

fn check_data(suite: &Suite, expected: Option<&str>, path: &Path) -> Result<(), Error> {
    let Some(expected) = expected else { return Ok(()) };
    let found = sha256_file(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    if found.eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    Err(Error::Plan(PlanError::Checksum {
        suite: suite.name.clone(),
        path: path.to_owned(),
        found,
        expected: expected.to_owned(),
    }))
}

fn load_suite(
    config: &SweepConfig,
    base: &BaseModel,
    text: &SuiteText,
    suite: Suite,
    data: PathBuf,
    chunks: Option<u64>,
) -> Result<LoadedSuite, Error> {
    let data_sha256 = sha256_file(&data).map_err(|source| Error::Io { path: data.clone(), source })?;
    let items = suite::load_items(&suite, &data)?;
    let total = chunks.unwrap_or(items.len() as u64);
    let limit = config.limit_of(&suite.name).unwrap_or(total).min(total);
    let order = match &suite.scoring {
        // A text is read from its beginning, as llama-perplexity does.
        Scoring::Text(_) => (0..total).collect(),
        Scoring::Choice(_) => fingerprint::seeded_order(total, config.seed, &suite.name),
    };
    let planned: Vec<u64> = order.into_iter().take(usize::try_from(limit).unwrap_or(usize::MAX)).collect();
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
        data_sha256: vec![data_sha256],
        data,
        total,
        planned,
        items,
        suite,
    })
}

/// A worker that answers questions about files without loading weights.
struct Inspector<'a> {
    worker: Worker,
    base: &'a Path,
    log: &'a Path,
    interrupted: &'a AtomicBool,
}

impl<'a> Inspector<'a> {
    fn start(log: &'a Path, base: &'a Path, interrupted: &'a AtomicBool) -> Result<Self, Error> {
        let worker = Worker::start(log, interrupted).map_err(|failure| stopped(failure, base))?;
        Ok(Self { worker, base, log, interrupted })
    }

    fn ask(&mut self, request: &Request) -> Result<Finished, WorkFailure> {
        let answer = self.worker.ask(request, PATIENCE, self.interrupted, |_| Ok(()));
        if matches!(answer, Err(WorkFailure::Trial { alive: false, .. })) {
            self.worker = Worker::start(self.log, self.interrupted)?;
        }
        answer
    }

    /// Chunks of each text suite, by its own context length; nothing for other suites.
    fn count_chunks(&mut self, suites: &[Suite], data: &[PathBuf]) -> Result<Vec<Option<u64>>, Error> {
        let texts: Vec<(usize, u32)> = suites
            .iter()
            .enumerate()
            .filter_map(|(i, s)| match &s.scoring {
                Scoring::Text(text) => Some((i, text.ctx)),
                Scoring::Choice(_) => None,
            })
            .collect();
        let mut chunks = vec![None; suites.len()];
        // Asked even without a text, because it tells whether llama.cpp knows this kind of model at all.
        let work = CountWork {
            model: self.base.to_owned(),
            texts: texts.iter().filter_map(|(i, _)| data.get(*i).cloned()).collect(),
        };
        let counts = match self.ask(&Request::CountTokens(work)) {
            Ok(Finished::Tokens { counts }) => counts,
            Ok(_) => return Err(Error::Worker("the worker answered another question".to_owned())),
            Err(failure) => return Err(stopped(failure, self.base)),
        };
        for ((i, ctx), tokens) in texts.iter().zip(counts) {
            let (Some(suite), Some(slot)) = (suites.get(*i), chunks.get_mut(*i)) else { continue };
            let count = tokens / u64::from((*ctx).max(1));
            if count < 2 {
                return Err(Error::Plan(PlanError::Missing {
                    place: format!("suite {}", suite.name),
                    what: format!("its text has {tokens} tokens, fewer than two chunks of {ctx}"),
                    hint: "use a longer text or a smaller `ctx`".to_owned(),
                }));
            }
            *slot = Some(count);
        }
        Ok(chunks)
    }
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
    for recipe in &prepared.config.recipes {
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
    let (forecast, found) = if let Some(name) = &weights.file {
        prepared.inputs.find(name, &prepared.base_model)?
    } else if weights.is_base() {
        let (file_bytes, bpw) = (prepared.base.file_bytes, prepared.base.bpw);
        (Ok(Forecast { file_bytes, bpw, fallbacks: Vec::new() }), None)
    } else {
        let forecast = prepared.source().forecast(weights, imatrix, |request| inspector.ask(request));
        (forecast.map_err(|failure| stopped(failure, &prepared.base_path))?, None)
    };
    Ok(FilePlan { weights: weights.clone(), key, forecast, imatrix: imatrix.map(Path::to_owned), found })
}

/// File by file, and for each file recipe by recipe: make it, score its suites, time it.
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
            trials.push(matrix::speed_trial(&shared, recipe));
        }
    }
    trials
}
