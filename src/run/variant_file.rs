//! A variant's file in the cache: made in a worker under a temporary name, checked, recorded, and only then given
//! its name; deleted when nothing needs it any more.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::error::Error;
use crate::fetch::{Cache, sha256_file};
use crate::files;
use crate::gguf::{self, Described as _};
use crate::journal::record::Quantized;
use crate::run::file_plan::{FilePlan, Refusal};
use crate::run::prepare::Prepared;
use crate::units::Bytes;
use crate::worker::client::{WorkFailure, Worker};
use crate::worker::protocol::{Fallback, Finished, Reply, Request, Status};

/// Left free beside a file that is being made.
const MARGIN: u64 = 64 << 20;

/// Where a variant's file lies, or will.
pub fn path(cache: &Cache, plan: &FilePlan) -> PathBuf {
    let name = files::plain_name(&plan.weights.name);
    cache.variants().join(format!("{name}-{}.gguf", plan.key))
}

/// A file that was made, still under its temporary name.
#[derive(Debug)]
pub struct Made {
    temporary: PathBuf,
    path: PathBuf,
    /// What it is.
    pub facts: Quantized,
}

impl Made {
    /// Gives the file its name, and holds it. Called after its facts are on record, so that a file in the cache is never
    /// without them.
    pub fn keep(self) -> io::Result<PathBuf> {
        let held = link(&self.temporary, &self.path);
        fs::rename(&self.temporary, &self.path)?;
        Ok(held.unwrap_or(self.path))
    }
}

/// Quantizes the base in a worker of its own.
pub fn make(
    prepared: &Prepared,
    plan: &FilePlan,
    log: &Path,
    interrupted: &AtomicBool,
    mut on_step: impl FnMut(u64, u64),
) -> Result<Made, WorkFailure> {
    let path = path(&prepared.cache, plan);
    let temporary = files::temporary(&path);
    room_for(prepared, plan, &path)?;
    let spec = prepared.source().spec(&plan.weights, plan.imatrix.as_deref(), Some(temporary.clone()));
    let spec = spec.map_err(|refusal: Refusal| trial(Status::Refused, refusal.line()))?;
    let mut worker = Worker::start(log, interrupted)?;
    let request = Request::Quantize(spec);
    let answer = worker.ask(&request, patience(prepared), interrupted, |reply| {
        if let Reply::Progress { done, total, .. } = reply {
            on_step(done, total);
        }
        Ok(())
    });
    let made = answer.and_then(|finished| match finished {
        Finished::Quantize(done) => facts(&temporary, Some(done.seconds), done.fallbacks),
        _ => Err(trial(Status::BadProtocol, "the worker answered another question".to_owned())),
    });
    match made {
        Ok(facts) => Ok(Made { temporary, path, facts }),
        Err(failure) => {
            // Best effort: a partial file is worth nothing.
            let _ = fs::remove_file(&temporary);
            Err(failure)
        }
    }
}

fn trial(status: Status, reason: String) -> WorkFailure {
    WorkFailure::Trial { status, reason, alive: false }
}

/// Refuses before the disk is full, if the size is known.
fn room_for(prepared: &Prepared, plan: &FilePlan, path: &Path) -> Result<(), WorkFailure> {
    let folder = prepared.cache.variants();
    let probed = fs::create_dir_all(&folder)
        .and_then(|()| tempfile::Builder::new().prefix(".probe-").tempfile_in(&folder));
    probed.map_err(|e| WorkFailure::NoSpace(format!("{} cannot be written: {e}", folder.display())))?;
    let (Ok(forecast), Ok(free)) = (&plan.forecast, files::free_bytes(path)) else { return Ok(()) };
    if free >= forecast.file_bytes + MARGIN {
        return Ok(());
    }
    Err(WorkFailure::NoSpace(format!(
        "no space for variant {}: it takes {}, and {} has {} free",
        plan.weights.name,
        Bytes(forecast.file_bytes),
        folder.display(),
        Bytes(free)
    )))
}

fn patience(prepared: &Prepared) -> Duration {
    let set = prepared.config.run.hang_seconds.map(Duration::from_secs_f64);
    set.unwrap_or_else(|| silence(&prepared.base_model))
}

/// llama.cpp reports a tensor when it begins it; the slowest types take some microseconds a weight.
pub fn silence(base: &gguf::Model) -> Duration {
    let largest = base.tensors().map(|t| t.weights).max().unwrap_or(0);
    Duration::from_secs_f64(120.0_f64.max(largest as f64 * 4e-6))
}

/// Reads and hashes a finished file.
fn facts(path: &Path, quantize_s: Option<f64>, fallbacks: Vec<Fallback>) -> Result<Quantized, WorkFailure> {
    let unusable =
        |reason: String| trial(Status::Crashed, format!("the file that was made is unusable: {reason}"));
    let model = gguf::open_model(path).map_err(|e| unusable(e.to_string()))?;
    let sha256 = sha256_file(path).map_err(|e| unusable(e.to_string()))?;
    let digest = gguf::tensor_digest(&model).map_err(|e| unusable(e.to_string()))?;
    Ok(describe(&model, sha256, digest, quantize_s, fallbacks))
}

/// The facts of a file that was not made by us: the base, or somebody else's.
pub fn existing(model: &gguf::Model, sha256: &str) -> Result<Quantized, Error> {
    let digest = gguf::tensor_digest(model)
        .map_err(|source| Error::Io { path: model.first().path.clone(), source })?;
    Ok(describe(model, sha256.to_owned(), digest, None, Vec::new()))
}

/// The facts of a file, from its header.
fn describe(
    model: &gguf::Model,
    sha256: String,
    tensor_digest: String,
    quantize_s: Option<f64>,
    fallbacks: Vec<Fallback>,
) -> Quantized {
    Quantized {
        quantize_s,
        file_bytes: model.file_bytes(),
        tensor_bytes: model.tensor_bytes(),
        weights: model.weights(),
        sha256,
        tensor_digest,
        tensors: model.tensors().map(|t| (t.name.clone(), t.kind.name.to_owned())).collect(),
        fallbacks,
    }
}

/// A file from an earlier run, or of another process, if it is what was recorded; held from then on.
pub fn reuse(cache: &Cache, plan: &FilePlan, recorded: &Quantized) -> Option<PathBuf> {
    let path = path(cache, plan);
    let held = link(&path, &path).unwrap_or(path);
    let intact = held.is_file() && sha256_file(&held).ok()? == recorded.sha256;
    if !intact {
        let_go(cache, plan);
    }
    intact.then_some(held)
}

/// A further name of `file`, which is or will be at `path`, of this process alone: whoever shares the cache and needs the
/// variant no more deletes it under its common name, and does not take it from under us. Nothing where the file system
/// has no such names.
fn link(file: &Path, path: &Path) -> Option<PathBuf> {
    let held = held(path);
    // One of an earlier file of the same variant.
    let _ = fs::remove_file(&held);
    fs::hard_link(file, &held).ok().map(|()| held)
}

fn held(path: &Path) -> PathBuf {
    files::temporary(&path.with_extension("held.gguf"))
}

/// Takes this process's own name of a variant's file away.
pub fn let_go(cache: &Cache, plan: &FilePlan) {
    // Best effort: the next sweep on this machine clears up.
    let _ = fs::remove_file(held(&path(cache, plan)));
}

/// Deletes a variant's file that no trial needs any more.
pub fn release(cache: &Cache, plan: &FilePlan) -> Result<(), Error> {
    let_go(cache, plan);
    let path = path(cache, plan);
    match fs::remove_file(&path) {
        // A folder that can only be read says so whether the file is there or not.
        Err(source) if path.exists() => {
            Err(Error::NoSpace(format!("{} cannot be deleted: {source}", path.display())))
        }
        _ => Ok(()),
    }
}

/// Deletes what killed processes of this machine left half-written in the cache: variants and base stores.
pub fn sweep_up(cache: &Cache) {
    let made = [
        cache.base_store(),
        cache.variants(),
        cache.data().join("chat"),
        cache.data().join("sampled"),
        cache.data().join("haystack"),
    ];
    for folder in made {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if files::is_orphan(&entry.file_name().to_string_lossy()) {
                // Best effort: it is in nobody's way but the disk's.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}
