//! One file by one recipe: what `bitfrontier quantize` does. The same steps as in a sweep (looked at, refused or
//! forecast, made in a worker under a temporary name), and then synced and given its name: whoever finds the file finds
//! all of it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::error::Error;
use crate::files;
use crate::gguf::{self, Described as _};
use crate::plan::native_command::llama_quantize;
use crate::plan::recipe::{ImatrixUse, Weights};
use crate::run::file_plan::{Source, fallback_text};
use crate::run::prepare::{open_base, stopped};
use crate::run::variant_file::silence;
use crate::units::{BitsPerWeight, Bytes, Seconds};
use crate::worker::client::{WorkFailure, Worker};
use crate::worker::protocol::{Fallback, Finished, Reply, Request};

/// Longest silence of a worker that only decides types.
const PATIENCE: Duration = Duration::from_mins(2);

/// What is asked.
#[derive(Debug, Clone)]
pub struct Order {
    /// The base's file (first part, if split).
    pub base: PathBuf,
    /// How the file is made.
    pub weights: Weights,
    /// The file to make.
    pub output: PathBuf,
    /// Threads.
    pub threads: u32,
    /// Whether a base that is quantized already may be quantized again.
    pub allow_requantize: bool,
    /// Only say what the file would be.
    pub dry_run: bool,
}

/// What came of it; its JSON form is `quantize --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// The recipe.
    pub recipe: String,
    /// The file.
    pub output: PathBuf,
    /// Whether it was made, or only said what it would be.
    pub dry_run: bool,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Bits per weight, of the tensors.
    pub bpw: f64,
    /// Tensors whose shape does not allow the type asked for.
    pub fallbacks: Vec<Fallback>,
    /// Seconds of llama.cpp's own call; absent in a dry run.
    pub quantize_s: Option<f64>,
    /// Seconds until the file was on the disk; absent in a dry run.
    pub sync_s: Option<f64>,
    /// Seconds of everything.
    pub wall_s: f64,
    /// The same with llama.cpp's own tool.
    pub llama_quantize: String,
}

impl Outcome {
    /// The answer for people.
    pub fn text(&self) -> String {
        let (bytes, bpw) = (Bytes(self.file_bytes), BitsPerWeight(self.bpw));
        let what = if self.dry_run { "would be" } else { "is" };
        let first = format!("{} {what} {bytes} ({} bytes), {bpw}", self.output.display(), self.file_bytes);
        let mut lines = vec![first];
        if !self.fallbacks.is_empty() {
            lines.push(format!("fell back: {}", fallback_text(&self.fallbacks)));
        }
        if let (Some(quantize), Some(sync)) = (self.quantize_s, self.sync_s) {
            lines.push(format!(
                "quantized in {}, on the disk after {} more, {} in all",
                Seconds(quantize),
                Seconds(sync),
                Seconds(self.wall_s)
            ));
        }
        lines.push(format!("the same with llama.cpp's own tool:\n{}\n", self.llama_quantize));
        lines.join("\n")
    }
}

/// Refuses an output that could not be written, before anything takes time.
pub fn check_place(order: &Order) -> Result<(), Error> {
    let model = gguf::open_model(&order.base)?;
    keep_the_input(&model, &order.output)?;
    room_for(0, &order.output)
}

/// Carries it out. `progress` hears of tensors done and tensors in all.
pub fn quantize(
    order: &Order,
    interrupted: &AtomicBool,
    mut progress: impl FnMut(u64, u64),
) -> Result<Outcome, Error> {
    let begun = Instant::now();
    let model = open_base(&order.base, order.allow_requantize)?;
    if !order.dry_run {
        keep_the_input(&model, &order.output)?;
        // llama.cpp's own words would be about a stream.
        files::try_place(&order.output)
            .map_err(|source| Error::Write { path: order.output.clone(), source })?;
    }
    let source = Source {
        path: &order.base,
        model: &model,
        allow_requantize: order.allow_requantize,
        threads: order.threads,
        tells_path: true,
    };
    let imatrix = match &order.weights.imatrix {
        ImatrixUse::File(path) => Some(path.as_path()),
        ImatrixUse::None | ImatrixUse::Sweep => None,
    };
    let log =
        tempfile::NamedTempFile::new().map_err(|source| Error::Io { path: std::env::temp_dir(), source })?;
    let ended = |failure| unfinished(failure, order);
    let mut worker = Worker::start(log.path(), interrupted).map_err(ended)?;
    let forecast = source
        .forecast(&order.weights, imatrix, |request| worker.ask(request, PATIENCE, interrupted, |_| Ok(())))
        .map_err(ended)??;
    let blocks = model.block_count().unwrap_or(0);
    let shown = |path: &Path| path.display().to_string();
    let command = llama_quantize(&order.weights, blocks, &shown(&order.base), &shown(&order.output));
    let mut outcome = Outcome {
        recipe: order.weights.name.clone(),
        output: order.output.clone(),
        dry_run: order.dry_run,
        file_bytes: forecast.file_bytes,
        bpw: forecast.bpw,
        fallbacks: forecast.fallbacks,
        quantize_s: None,
        sync_s: None,
        wall_s: 0.0,
        llama_quantize: command.unwrap_or_default(),
    };
    if !order.dry_run {
        room_for(outcome.file_bytes, &order.output)?;
        let temporary = files::temporary(&order.output);
        let spec = source.spec(&order.weights, imatrix, Some(temporary.clone()))?;
        let answer = worker.ask(&Request::Quantize(spec), silence(&model), interrupted, |reply| {
            if let Reply::Progress { done, total, .. } = reply {
                progress(done, total);
            }
            Ok(())
        });
        let finished = answer.map_err(|failure| unmade(failure, order)).and_then(|finished| match finished {
            Finished::Quantize(done) => Ok(done.seconds),
            _ => Err(Error::Worker("the worker answered another question".to_owned())),
        });
        let kept = finished.and_then(|seconds| Ok((seconds, keep(&temporary, &order.output)?)));
        if kept.is_err() {
            // Best effort: a partial file is worth nothing.
            let _ = fs::remove_file(&temporary);
        }
        let (seconds, (bytes, synced)) = kept?;
        outcome.file_bytes = bytes;
        (outcome.quantize_s, outcome.sync_s) = (Some(seconds), Some(synced));
    }
    outcome.wall_s = begun.elapsed().as_secs_f64();
    Ok(outcome)
}

/// Syncs a finished file and gives it its name; its bytes, and the seconds that took.
fn keep(temporary: &Path, output: &Path) -> Result<(u64, f64), Error> {
    let begun = Instant::now();
    let synced = || -> io::Result<u64> {
        let file = File::open(temporary)?;
        file.sync_all()?;
        fs::rename(temporary, output)?;
        if let Some(folder) = output.parent().filter(|f| !f.as_os_str().is_empty()) {
            File::open(folder)?.sync_all()?;
        }
        Ok(file.metadata()?.len())
    };
    let bytes = synced().map_err(|source| Error::Write { path: output.to_owned(), source })?;
    Ok((bytes, begun.elapsed().as_secs_f64()))
}

/// llama.cpp would write over the weights that it is still reading.
fn keep_the_input(model: &gguf::Model, output: &Path) -> Result<(), Error> {
    let same = |input: &Path| match (fs::metadata(input), fs::metadata(output)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    };
    if model.paths().any(same) {
        return Err(Error::Refused {
            reason: format!("{} is the base itself, which is never written over", output.display()),
            hint: Some("give the file another name".to_owned()),
        });
    }
    if output.is_dir() {
        return Err(Error::Refused {
            reason: format!("{} is a folder", output.display()),
            hint: Some("name the file to make".to_owned()),
        });
    }
    Ok(())
}

fn room_for(bytes: u64, output: &Path) -> Result<(), Error> {
    let folder = output.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let free = files::free_bytes(folder).map_err(|source| Error::Io { path: folder.to_owned(), source })?;
    if !folder.is_dir() {
        return Err(Error::Refused {
            reason: format!("there is no folder {}", folder.display()),
            hint: Some("make it first, or name a file elsewhere".to_owned()),
        });
    }
    if bytes > free {
        return Err(Error::NoSpace(format!(
            "no space for {}: it takes {}, and {} has {} free",
            output.display(),
            Bytes(bytes),
            folder.display(),
            Bytes(free)
        )));
    }
    Ok(())
}

/// A failure after everything was looked at is not the base's fault.
fn unmade(failure: WorkFailure, order: &Order) -> Error {
    match failure {
        WorkFailure::Trial { reason, .. } => {
            Error::Worker(format!("{} could not be made: {reason}", order.output.display()))
        }
        // llama.cpp's own words are about a stream.
        WorkFailure::NoSpace(_) => {
            Error::NoSpace(format!("no space left to write {}", order.output.display()))
        }
        other => unfinished(other, order),
    }
}

fn unfinished(failure: WorkFailure, order: &Order) -> Error {
    match failure {
        WorkFailure::Interrupted => Error::Stopped { again: "the same command".to_owned() },
        other => stopped(other, &order.base),
    }
}
