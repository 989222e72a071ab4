//! The bench of a search, seen from the parent: a worker is asked only for what was never measured, and what it answers
//! is kept at once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tempfile::NamedTempFile;

use crate::error::Error;
use crate::run::ending::goes_on;
use crate::run::estimate;
use crate::run::probes::{Probes, key_of};
use crate::worker::client::{WorkFailure, Worker};
use crate::worker::protocol::{
    BenchSpec, ChunkDivergence, Finished, Loss, LossWork, ProbeWork, Reply, Request, Status,
};

/// A position whose logits are not finite counts as so many nats: more than any mix that works costs.
const NOT_FINITE: f64 = 20.0;

/// What is measured, and what was.
pub struct Prober<'a> {
    spec: BenchSpec,
    /// Weights and bytes of the base, from which patience follows.
    size: (u64, u64),
    probes: Probes,
    worker: Option<Worker>,
    log: NamedTempFile,
    interrupted: &'a AtomicBool,
    /// Chunks that were measured now, and those that were at hand.
    pub counts: (u64, u64),
}

impl<'a> Prober<'a> {
    /// Nothing is loaded before something is to be measured.
    pub fn new(
        spec: BenchSpec,
        size: (u64, u64),
        probes: Probes,
        interrupted: &'a AtomicBool,
    ) -> Result<Self, Error> {
        let log = NamedTempFile::new().map_err(|source| Error::Io { path: std::env::temp_dir(), source })?;
        Ok(Self { spec, size, probes, worker: None, log, interrupted, counts: (0, 0) })
    }

    /// Divergence of a mix (ggml type ids by tensor), chunk by chunk in nats a position.
    pub fn measure(&mut self, types: &BTreeMap<String, u32>, chunks: &[u64]) -> Result<Vec<f64>, Error> {
        let mix = key_of(types);
        let missing: Vec<u64> =
            chunks.iter().copied().filter(|c| self.probes.chunk(&mix, *c).is_none()).collect();
        self.counts.0 += missing.len() as u64;
        self.counts.1 += (chunks.len() - missing.len()) as u64;
        if !missing.is_empty() {
            let work = ProbeWork { types: types.clone(), chunks: missing };
            let Finished::Probe { chunks } = self.ask(&Request::Probe(work))? else { return Err(astray()) };
            let kept = self.probes.keep_chunks(&mix, &chunks);
            kept.map_err(|source| Error::Io { path: self.path(), source })?;
        }
        let found = |chunk: &u64| self.probes.chunk(&mix, *chunk).map(|c| mean(&c));
        chunks.iter().map(found).collect::<Option<Vec<f64>>>().ok_or_else(astray)
    }

    /// Divergence of the base from itself after all that was exchanged, in nats; nothing if nothing was.
    pub fn restored(&mut self) -> Result<Option<f64>, Error> {
        if self.worker.is_none() {
            return Ok(None);
        }
        let chunks = self.spec.chunks.iter().take(1).copied().collect();
        let work = ProbeWork { types: BTreeMap::new(), chunks };
        let Finished::Probe { chunks } = self.ask(&Request::Probe(work))? else { return Err(astray()) };
        self.worker = None;
        Ok(Some(chunks.iter().map(|c| c.kld.abs()).sum()))
    }

    /// What coding a tensor as each of these types loses, looking at about `rows` of its rows; absent where a type does
    /// not go.
    pub fn losses(&mut self, tensor: &str, types: &[u32], every: u32) -> Result<Vec<Option<Loss>>, Error> {
        let missing: Vec<u32> = types.iter().copied().filter(|t| !self.probes.has_loss(tensor, *t)).collect();
        if !missing.is_empty() {
            let work = LossWork { tensors: vec![tensor.to_owned()], types: missing.clone(), every };
            let Finished::Losses { losses } = self.ask(&Request::Losses(work))? else { return Err(astray()) };
            for (kind, loss) in missing.iter().zip(losses) {
                let kept = self.probes.keep_loss(tensor, *kind, loss);
                kept.map_err(|source| Error::Io { path: self.path(), source })?;
            }
        }
        Ok(types.iter().map(|t| self.probes.loss(tensor, *t)).collect())
    }

    fn path(&self) -> PathBuf {
        self.probes.path().to_owned()
    }

    fn ask(&mut self, request: &Request) -> Result<Finished, Error> {
        let (weights, bytes) = self.size;
        let patience = |request: &Request| -> Duration { estimate::silence(weights, bytes, request) };
        let worker = if let Some(worker) = &mut self.worker {
            worker
        } else {
            let mut worker = Worker::start(self.log.path(), self.interrupted).map_err(goes_on)?;
            let open = Request::Bench(self.spec.clone());
            worker.ask(&open, patience(&open), self.interrupted, |_| Ok(())).map_err(goes_on)?;
            self.worker.insert(worker)
        };
        let answer = worker.ask(request, patience(request), self.interrupted, |reply| match reply {
            Reply::Item(_) => Err(WorkFailure::Trial {
                status: Status::BadProtocol,
                reason: "the worker sent an item nobody asked for".to_owned(),
                alive: false,
            }),
            _ => Ok(()),
        });
        answer.map_err(goes_on)
    }
}

/// Nats a position.
fn mean(chunk: &ChunkDivergence) -> f64 {
    let positions = (chunk.positions + chunk.nonfinite).max(1) as f64;
    (chunk.kld + NOT_FINITE * chunk.nonfinite as f64) / positions
}

fn astray() -> Error {
    Error::Worker("the worker answered another question".to_owned())
}
