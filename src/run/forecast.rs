//! What a sweep would make, need and take: the answer of `bitfrontier plan`.

use std::fmt::Write as _;
use std::sync::atomic::AtomicBool;

use serde::Serialize;

use crate::error::Error;
use crate::plan::matrix::{TrialKind, TrialSpec};
use crate::run::estimate::{self, Needs};
use crate::run::file_plan::{Refusal, fallback_text};
use crate::run::order::{self, Step};
use crate::run::prepare::Prepared;
use crate::units::{BitsPerWeight, Bytes, Seconds};
use crate::worker::client::{WorkFailure, Worker};
use crate::worker::protocol::{Fallback, Finished, LoadSpec, Request, SpeedWork};

/// The whole answer; its JSON form is `plan --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Forecast {
    /// The base's name and source.
    pub base: String,
    /// What a stand-in base says of itself.
    pub base_note: String,
    /// One row a variant.
    pub variants: Vec<VariantForecast>,
    /// One row a suite.
    pub suites: Vec<SuiteForecast>,
    /// What is taken of this machine.
    pub needs: Needs,
    /// Why it does not fit; absent if it does.
    pub refusal: Option<String>,
    /// The trials.
    pub trials: Vec<TrialSpec>,
    /// The same in the order in which they can be carried out: what each waits for, its file, and its share of the time.
    pub steps: Vec<StepForecast>,
    /// Seconds that all trials would take, from a short calibration; absent if that failed.
    pub seconds: Option<f64>,
    /// Trials may stop before their last item, so that it may come to less.
    pub stops_early: bool,
}

/// A trial among the others, before it is carried out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepForecast {
    /// Which, and after which.
    #[serde(flatten)]
    pub step: Step,
    /// Its kind.
    pub kind: TrialKind,
    /// Its variant.
    pub variant: String,
    /// Its suite, or, of a pair of variants, the draft; empty for other kinds.
    pub suite: String,
    /// Seconds that it would take on this machine; absent if the calibration failed.
    pub seconds: Option<f64>,
}

/// A variant before it is made.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VariantForecast {
    /// Its name.
    pub variant: String,
    /// Bytes of its file, exactly.
    pub file_bytes: Option<u64>,
    /// Its bits per weight.
    pub bpw: Option<f64>,
    /// Tensors whose shape does not allow the type asked for.
    pub fallbacks: Vec<Fallback>,
    /// Why it cannot be made; empty if it can.
    pub reason: String,
}

/// A suite as it would be evaluated.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SuiteForecast {
    /// Its name.
    pub suite: String,
    /// Items that would be evaluated.
    pub items: u64,
    /// Items of the whole data set.
    pub of: u64,
    /// Why the set is only part of the original; empty if whole.
    pub partial: String,
}

/// Gathers the answer; loads the base once for the calibration.
pub fn forecast(prepared: &Prepared, interrupted: &AtomicBool) -> Result<Forecast, Error> {
    let needs = estimate::needs(prepared);
    let refusal = needs.refusal();
    let rate = if refusal.is_none() { calibrate(prepared, interrupted)? } else { None };
    let work: f64 = prepared.trials.iter().map(|t| estimate::work(prepared, t)).sum();
    Ok(Forecast {
        base: format!("{} ({})", prepared.base.name, prepared.base.source),
        base_note: prepared.base.description.clone(),
        variants: prepared.config.recipes.iter().map(|r| variant(prepared, r)).collect(),
        suites: prepared
            .suites
            .iter()
            .map(|s| SuiteForecast {
                suite: s.suite.name.clone(),
                items: s.planned.len() as u64,
                of: s.total,
                partial: s.suite.partial(),
            })
            .collect(),
        refusal,
        needs,
        steps: steps(prepared, rate),
        trials: prepared.trials.clone(),
        seconds: rate.map(|rate| work / rate),
        stops_early: prepared.config.judging.decide.is_some(),
    })
}

fn steps(prepared: &Prepared, rate: Option<f64>) -> Vec<StepForecast> {
    let all = order::steps(prepared).into_iter().zip(&prepared.trials);
    let told = all.map(|(step, trial)| StepForecast {
        step,
        kind: trial.kind,
        variant: trial.variant.clone(),
        suite: trial.suite.clone(),
        seconds: rate.map(|rate| estimate::work(prepared, trial) / rate),
    });
    let mut steps: Vec<StepForecast> = told.collect();
    steps.sort_by_key(|told| told.step.stage);
    steps
}

fn variant(prepared: &Prepared, recipe: &crate::plan::recipe::Recipe) -> VariantForecast {
    let file = prepared.files.iter().find(|f| f.weights.same_file(&recipe.weights));
    let forecast = file.map_or_else(|| Err(Refusal::new("not planned")), |f| f.forecast.clone());
    let variant = recipe.variant();
    match forecast {
        Ok(file) => VariantForecast {
            variant,
            file_bytes: Some(file.file_bytes),
            bpw: Some(file.bpw),
            fallbacks: file.fallbacks,
            reason: String::new(),
        },
        Err(refusal) => VariantForecast {
            variant,
            file_bytes: None,
            bpw: None,
            fallbacks: Vec::new(),
            reason: refusal.line(),
        },
    }
}

/// Prompt tokens a second of the base, from one prompt after a warm-up.
fn calibrate(prepared: &Prepared, interrupted: &AtomicBool) -> Result<Option<f64>, Error> {
    let log =
        tempfile::NamedTempFile::new().map_err(|source| Error::Io { path: std::env::temp_dir(), source })?;
    let run = &prepared.config.run;
    let load = Request::Load(LoadSpec {
        model: prepared.base_path.clone(),
        threads: run.threads,
        offload: run.offload.clone(),
        kv: ("f16".to_owned(), "f16".to_owned()),
        yarn: run.yarn,
    });
    let speed = Request::Speed(SpeedWork { prompt: 256, generate: 4, repetitions: 1 });
    let measured = Worker::start(log.path(), interrupted).and_then(|mut worker| {
        worker.ask(&load, estimate::patience(prepared, &load), interrupted, |_| Ok(()))?;
        worker.ask(&speed, estimate::patience(prepared, &speed), interrupted, |_| Ok(()))
    });
    match measured {
        Ok(Finished::Speed(speed)) => Ok(speed.pp512_tps.first().copied()),
        Ok(_) => Ok(None),
        Err(WorkFailure::Trial { reason, .. } | WorkFailure::Base(reason)) => {
            Err(Error::Base { path: prepared.base_path.clone(), reason })
        }
        Err(WorkFailure::NoSpace(what)) => Err(Error::NoSpace(what)),
        Err(WorkFailure::Interrupted) => {
            Err(Error::Interrupted { resume: "run the same command again".to_owned() })
        }
    }
}

impl Forecast {
    /// The answer for people.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(out, "base: {}", self.base);
        if !self.base_note.is_empty() {
            let _ = writeln!(out, "      {}", self.base_note);
        }
        let _ = writeln!(out, "\n{:<22} {:>12} {:>11}  fallbacks", "variant", "file", "bpw");
        for v in &self.variants {
            let _ = writeln!(out, "{}", v.line());
        }
        let _ = writeln!(out, "\n{:<22} {:>12} {:>11}", "suite", "items", "of");
        for s in &self.suites {
            let partial =
                if s.partial.is_empty() { String::new() } else { format!("  partial: {}", s.partial) };
            let _ = writeln!(out, "{:<22} {:>12} {:>11}{partial}", s.suite, s.items, s.of);
        }
        let needs = &self.needs;
        let _ = writeln!(
            out,
            "\ndisk: up to {} of {} free",
            Bytes(needs.disk_bytes),
            Bytes(needs.disk_free_bytes)
        );
        let available =
            needs.memory_available_bytes.map_or(String::new(), |b| format!(" of {} available", Bytes(b)));
        let _ = writeln!(out, "memory: about {}{available}", Bytes(needs.memory_bytes));
        let _ = writeln!(out, "trials: {}", self.trials.len());
        if let Some(seconds) = self.seconds {
            let how = if self.stops_early { "up to about" } else { "about" };
            let _ = writeln!(out, "time: {how} {} on this machine, if nothing is done yet", Seconds(seconds));
        }
        if let Some(refusal) = &self.refusal {
            let _ = writeln!(out, "\nthis sweep would be refused: {refusal}");
        }
        out
    }
}

impl VariantForecast {
    fn line(&self) -> String {
        let (Some(bytes), Some(bpw)) = (self.file_bytes, self.bpw) else {
            return format!("{:<22} cannot be made: {}", self.variant, self.reason);
        };
        let fallbacks = fallback_text(&self.fallbacks);
        let (bytes, bpw) = (Bytes(bytes).to_string(), BitsPerWeight(bpw).to_string());
        format!("{:<22} {bytes:>12} {bpw:>11}  {fallbacks}", self.variant)
    }
}
