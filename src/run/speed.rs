//! One model, timed by itself: what `bitfrontier speed` asks of a worker, context by context.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use serde::Serialize;
use tempfile::NamedTempFile;

use crate::analyze::report::SpeedRow;
use crate::analyze::rows_of;
use crate::error::Error;
use crate::gguf::{self, Described as _};
use crate::plan::config::Offload;
use crate::plan::speed::{SpeedGrid, SpeedShape};
use crate::run::ending::without_result;
use crate::run::{estimate, machine};
use crate::worker::client::{WorkFailure, Worker};
use crate::worker::protocol::{Finished, LoadSpec, Measured, Reply, Request, SurfaceWork};

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// The model's file.
    pub model: PathBuf,
    /// What is timed.
    pub grid: SpeedGrid,
    /// Timed repetitions after one warm-up.
    pub repetitions: u32,
    /// Threads given to llama.cpp.
    pub threads: u32,
    /// What goes to a GPU.
    pub offload: Offload,
    /// Stretch contexts beyond the model's by YaRN.
    pub yarn: bool,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Timed {
    /// The model's file.
    pub model: String,
    /// Its bytes.
    pub file_bytes: u64,
    /// Threads given to llama.cpp.
    pub threads: u32,
    /// llama.cpp's version.
    pub llama_cpp: String,
    /// One row a point, as in `speed.csv`.
    pub points: Vec<SpeedRow>,
    /// Every sample, point by point.
    pub samples: Vec<Measured>,
}

/// Carries it out. A context that fails is told in its rows; the others are measured all the same. `progress` hears of
/// repetitions done, of how many.
pub fn measure(
    question: &Question,
    interrupted: &AtomicBool,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Timed, Error> {
    let refused = |(reason, hint): (String, &str)| Error::Refused { reason, hint: Some(hint.to_owned()) };
    question.grid.check().map_err(|(what, hint)| refused((format!("--{what}"), hint)))?;
    let about = gguf::open_model(&question.model)?;
    let trained = about.context_length().and_then(|n| u32::try_from(n).ok()).filter(|_| !question.yarn);
    if let Some(reason) = trained.and_then(|trained| question.grid.too_deep(trained)) {
        return Err(refused((reason, "leave that depth out, or stretch the model's context with --yarn")));
    }
    let log = machine::scratch_file()?;
    let shapes = question.grid.shapes();
    let repetitions = u64::from(question.repetitions + 1);
    let steps = |shape: &SpeedShape| repetitions * (shape.prompt.len() as u64 + 1);
    let total = shapes.iter().map(steps).sum();
    let (mut all, mut done, mut native) = (Vec::new(), 0, String::new());
    let mut running: Option<Worker> = None;
    for shape in &shapes {
        let mut worker = match running.take() {
            Some(worker) => worker,
            None => load(question, &about, &log, interrupted)?,
        };
        native.clone_from(&worker.native.llama_cpp);
        let request =
            Request::Surface(SurfaceWork { shape: shape.clone(), repetitions: question.repetitions });
        let patience = estimate::silence(about.weights(), about.file_bytes(), &request);
        let answer = worker.ask(&request, patience, interrupted, |reply| {
            if let Reply::Progress { done: here, .. } = reply {
                progress(done + here, total);
            }
            Ok(())
        });
        done += steps(shape);
        match answer {
            Ok(Finished::Surface { points }) => {
                all.extend(points);
                running = Some(worker);
            }
            Ok(_) => return Err(Error::Worker("the worker answered another question".to_owned())),
            Err(WorkFailure::Trial { status, reason, .. }) => {
                all.extend(shape.points().into_iter().map(|p| Measured::failed(p, status, &reason)));
            }
            Err(failure) => return Err(without_result(failure)),
        }
    }
    Ok(Timed {
        model: question.model.display().to_string(),
        file_bytes: about.file_bytes(),
        threads: question.threads,
        llama_cpp: native,
        points: rows_of("", &question.grid.own_points(), &all),
        samples: all,
    })
}

fn load(
    question: &Question,
    about: &gguf::Model,
    log: &NamedTempFile,
    interrupted: &AtomicBool,
) -> Result<Worker, Error> {
    let mut worker = Worker::start(log.path(), interrupted).map_err(without_result)?;
    let request = Request::Load(LoadSpec {
        model: question.model.clone(),
        threads: question.threads,
        offload: question.offload.clone(),
        kv: ("f16".to_owned(), "f16".to_owned()),
        yarn: question.yarn,
    });
    let patience = estimate::silence(about.weights(), about.file_bytes(), &request);
    worker.ask(&request, patience, interrupted, |_| Ok(())).map_err(without_result)?;
    Ok(worker)
}

impl Timed {
    /// Points without a figure.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.points.iter().filter(|row| row.mean.is_none()).count() as u64
    }

    /// The answer for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut lines = vec![format!(
            "{:<12} {:>7} {:>7} {:>9} {:>14} {:>10}  unit",
            "kind", "tokens", "depth", "sequences", "mean", "sd"
        )];
        for row in &self.points {
            let tokens = row.prompt.or(row.generate).unwrap_or(0);
            let number = |value: Option<f64>| value.map_or_else(String::new, |v| format!("{v:.3}"));
            let rest = if row.reason.is_empty() {
                row.unit.clone()
            } else {
                format!("{}: {}", row.status, row.reason)
            };
            lines.push(format!(
                "{:<12} {tokens:>7} {:>7} {:>9} {:>14} {:>10}  {rest}",
                row.kind,
                row.depth,
                row.parallel,
                number(row.mean),
                number(row.sd)
            ));
        }
        lines.join("\n") + "\n"
    }
}
