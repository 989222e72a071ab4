//! The worker behind `fit`: it decides types and lays out contexts. A header that crashes llama.cpp ends one worker, and
//! the next question gets another.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tempfile::NamedTempFile;

use super::stretched::Openable;
use crate::analyze::fit::{Compute, LaidOut, Shape, padded};
use crate::error::Error;
use crate::plan::recipe::KvTypes;
use crate::run::machine;
use crate::run::prepare::stopped;
use crate::worker::client::{WorkFailure, Worker};
use crate::worker::protocol::{Finished, LayoutWork, Request};

/// Longest silence of a worker that only reads headers and lays out graphs.
const PATIENCE: Duration = Duration::from_mins(2);
/// The shortest context that is laid out; then every doubling.
const FIRST: u64 = 1024;
/// Bytes that llama.cpp takes for a cell even where it allocates no cache.
const CELL: u64 = 64;
/// Most bytes that a layout may take of this machine, and the part of what can be had.
const MOST_BYTES: (u64, u64) = (4 << 30, 4);
/// Tokens of all sequences together that llama.cpp can count.
const MOST_TOKENS: u64 = i32::MAX as u64;

/// A worker that is started when it is needed.
#[derive(Debug)]
pub(super) struct Native<'a> {
    worker: Option<Worker>,
    log: NamedTempFile,
    interrupted: &'a AtomicBool,
}

impl<'a> Native<'a> {
    pub fn new(interrupted: &'a AtomicBool) -> Result<Self, Error> {
        let log = machine::scratch_file()?;
        Ok(Self { worker: None, log, interrupted })
    }

    /// Asks a worker that is alive.
    pub fn ask(&mut self, request: &Request) -> Result<Finished, WorkFailure> {
        let mut worker = match self.worker.take() {
            Some(worker) => worker,
            None => Worker::start(self.log.path(), self.interrupted)?,
        };
        let answer = worker.ask(request, PATIENCE, self.interrupted, |_| Ok(()));
        if !matches!(answer, Err(WorkFailure::Trial { alive: false, .. })) {
            self.worker = Some(worker);
        }
        answer
    }
}

/// Compute buffers by cache types, each laid out once.
#[derive(Debug)]
pub(super) struct Layouts<'a> {
    pub shape: &'a Shape,
    pub file: &'a Openable,
    pub ctx: u64,
    pub parallel: u32,
    pub found: Vec<(KvTypes, Compute)>,
}

impl Layouts<'_> {
    /// The position of the compute buffers with these cache types. What keeps llama.cpp from laying them out is noted.
    pub fn of(
        &mut self,
        kv: &KvTypes,
        native: &mut Native<'_>,
        notes: &mut Vec<String>,
    ) -> Result<usize, Error> {
        if let Some(at) = self.found.iter().position(|(known, _)| known == kv) {
            return Ok(at);
        }
        let compute = match self.lay_out(kv, native)? {
            Ok(points) => Compute::LaidOut(points),
            Err(reason) => {
                let kv = if kv.k == kv.v { kv.k.clone() } else { format!("{},{}", kv.k, kv.v) };
                notes.push(format!("compute buffers with a {kv} cache are an estimate: {reason}"));
                Compute::Estimate
            }
        };
        self.found.push((kv.clone(), compute));
        Ok(self.found.len() - 1)
    }

    fn lay_out(&self, kv: &KvTypes, native: &mut Native<'_>) -> Result<Result<Vec<LaidOut>, String>, Error> {
        let contexts = self.contexts();
        if contexts.is_empty() {
            return Ok(Err("laying it out would take too much of this machine's memory".to_owned()));
        }
        let work = LayoutWork {
            model: self.file.path.clone(),
            kv: (kv.k.clone(), kv.v.clone()),
            parallel: self.parallel,
            contexts,
        };
        match native.ask(&Request::Layout(work)) {
            Ok(Finished::Layout { contexts }) if !contexts.is_empty() => Ok(Ok(contexts
                .into_iter()
                .map(|c| LaidOut {
                    ctx: u64::from(c.ctx),
                    kv_bytes: c.kv_bytes,
                    state_bytes: c.state_bytes,
                    compute_bytes: c.compute_bytes,
                })
                .collect())),
            Ok(_) => Ok(Err("the worker answered another question".to_owned())),
            Err(WorkFailure::Trial { reason, .. }) => Ok(Err(self.file.in_its_name(&reason))),
            Err(failure) => Err(stopped(failure, &self.file.path)),
        }
    }

    /// Contexts to lay out: what is asked for, the model's own, and doublings below; as far as this machine's memory
    /// goes, because llama.cpp does allocate recurrent states and one small record a cell.
    fn contexts(&self) -> Vec<u32> {
        let most = padded(self.shape.context_length.max(self.ctx));
        let doublings =
            std::iter::successors(Some(FIRST), |ctx| ctx.checked_mul(2)).take_while(|ctx| *ctx < most);
        let mut contexts: Vec<u64> = doublings.chain([padded(self.ctx), most]).collect();
        contexts.sort_unstable();
        contexts.dedup();
        let parallel = u64::from(self.parallel);
        let spare = (machine::available_memory().unwrap_or(u64::MAX) / MOST_BYTES.1).min(MOST_BYTES.0);
        let state = self.shape.state_bytes(parallel);
        let layers = self.shape.layers.len() as u64;
        let possible = |ctx: &u64| {
            let tokens = ctx.saturating_mul(parallel);
            let cells = tokens.saturating_mul(CELL).saturating_mul(2).saturating_add(layers << 20);
            tokens <= MOST_TOKENS && state.saturating_add(cells) <= spare
        };
        contexts.into_iter().filter(possible).filter_map(|ctx| u32::try_from(ctx).ok()).collect()
    }
}
