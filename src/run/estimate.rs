//! How much work a trial is, how long a worker may be silent, and what a sweep will take of disk, memory and time.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::files;
use crate::gguf::Described as _;
use crate::plan::corpus::{LoadedCorpus, written_together};
use crate::plan::matrix::{TrialKind, TrialSpec, noise_items};
use crate::plan::recipe::Recipe;
use crate::plan::speculation::Speculation;
use crate::plan::speed::{GENERATE, PROMPT, SpeedShape};
use crate::plan::suite::{LoadedSuite, Scoring};
use crate::run::executor::LEAST_PATIENCE;
use crate::run::machine;
use crate::run::prepare::Prepared;
use crate::score::base_store::{self, StoreKind};
use crate::units::Bytes;
use crate::worker::protocol::Request;

/// Arithmetic that even a slow machine does in a second; a worker slower than this counts as hung.
const SLOWEST_FLOPS: f64 = 5e8;
/// Bytes that even a slow disk yields in a second.
const SLOWEST_READ: f64 = 2e7;
/// English text has about this many bytes a token.
const BYTES_PER_TOKEN: f64 = 4.0;
/// A generated token costs about as much as this many of a prompt.
const GENERATED: f64 = 8.0;
/// A token that the base writes, several runs together, likewise; roughly, since it depends on the cores.
const WRITTEN: f64 = 3.0;
/// Tokens of short chunks that are decoded together.
const BATCH: u32 = 2048;
/// Coding a whole model takes as long as decoding so many tokens, with the slowest types.
const CODING_TOKENS: u32 = 4096;
/// Memory beside weights, cache and logits.
const OVERHEAD: u64 = 256 << 20;

/// Work of a trial, in prompt tokens.
pub fn work(prepared: &Prepared, trial: &TrialSpec) -> f64 {
    let repetitions = f64::from(prepared.config.run.repetitions + 1);
    match trial.kind {
        // The base's file is there already.
        TrialKind::Quantize if trial.settings.pointer("/weights/ftype").is_none_or(Value::is_null) => 0.0,
        // Measured: quantizing costs about as much as decoding 3,000 tokens, whatever the model's size.
        TrialKind::Quantize => 3000.0,
        TrialKind::Speed => {
            let shapes = prepared.config.speed.shapes().into_iter().filter_map(SpeedShape::beyond_default);
            let always = repetitions * (f64::from(PROMPT) + GENERATED * f64::from(GENERATE));
            always + shapes.map(|shape| surface_work(&shape, repetitions)).sum::<f64>()
        }
        TrialKind::Suite => prepared.suite(&trial.suite).map_or(0.0, |suite| {
            // The base writes what it is to read.
            let is_base = trial.variant == Recipe::base().variant();
            let unwritten: u64 = suite.corpora.iter().map(|c| c.unwritten).filter(|_| is_base).sum();
            suite_tokens(suite, &suite.planned) + WRITTEN * unwritten as f64
        }),
        TrialKind::Speculate => {
            let find = |s: &&Speculation| s.target == trial.variant && s.draft == trial.suite;
            prepared.config.speculations.iter().find(find).map_or(0.0, |s| {
                let runs = f64::from(prepared.config.run.repetitions) * (1.0 + s.lengths.len() as f64);
                runs * s.prompts.len() as f64 * GENERATED * f64::from(s.tokens)
            })
        }
        // With half of the threads.
        TrialKind::Noise => {
            prepared.suite(&trial.suite).map_or(0.0, |s| 2.0 * suite_tokens(s, noise_items(s)))
        }
    }
}

/// Work of the points of one context: the cache is filled once; what several sequences generate together is read as
/// cheaply as a prompt but for the first of them.
fn surface_work(shape: &SpeedShape, repetitions: f64) -> f64 {
    let parallel = f64::from(shape.parallel);
    let prompts: f64 = shape.prompt.iter().map(|tokens| f64::from(*tokens)).sum();
    let generated = f64::from(shape.generate) * (GENERATED + parallel - 1.0);
    f64::from(shape.depth) + repetitions * (parallel * prompts + generated)
}

/// Tokens that these items of a suite take, roughly; written ones count for what they cost.
fn suite_tokens(suite: &LoadedSuite, items: &[u64]) -> f64 {
    let read = |index: &u64| {
        let texts = suite.items.texts(usize::try_from(*index).unwrap_or(usize::MAX));
        texts.iter().map(|text| text.len()).sum::<usize>() as f64 / BYTES_PER_TOKEN
    };
    match &suite.suite.scoring {
        Scoring::Text(text) => items.len() as f64 * f64::from(text.ctx),
        Scoring::Choice(_) => items.iter().map(read).sum(),
        Scoring::Generate(generate) => {
            let written = f64::from(generate.samples) * f64::from(generate.tokens) * WRITTEN;
            items.iter().map(|index| read(index) + written).sum()
        }
    }
}

/// Longest silence that is not yet a hang: what the user set, or what the slowest machine would need between
/// two signs of life.
pub fn patience(prepared: &Prepared, request: &Request) -> Duration {
    if let Some(seconds) = prepared.config.run.hang_seconds {
        return Duration::from_secs_f64(seconds.max(1.0));
    }
    silence(prepared.base.weights, prepared.base.file_bytes, request)
}

/// What the slowest machine would need between two signs of life, with a model of so many weights and bytes.
pub fn silence(weights: u64, file_bytes: u64, request: &Request) -> Duration {
    let tokens = match request {
        Request::Text(work) => f64::from(work.cut.ctx),
        // Short chunks are decoded together.
        Request::Batched(work) => f64::from(work.cut.ctx.max(BATCH)),
        Request::Imatrix(work) => f64::from(work.n_ctx.max(BATCH)),
        Request::Choice(work) => f64::from(work.n_ctx),
        // A sign of life after each decode.
        Request::Generate(_) => f64::from(BATCH),
        Request::Speed(work) => f64::from(work.prompt) + GENERATED * f64::from(work.generate),
        // Between two signs of life lies one repetition, and before the first the filling of the cache.
        Request::Surface(work) => surface_work(&work.shape, 1.0) * GENERATED,
        Request::Sample(work) => GENERATED * f64::from(written_together(work.n_ctx)),
        Request::Speculate(work) => {
            let prompt = work.prompts.iter().map(|p| p.text.len()).max().unwrap_or(0);
            // Both models take part, and a step of the target may end in a single token.
            2.0 * (prompt as f64 + GENERATED * f64::from(work.tokens))
                + GENERATED
                    * f64::from(work.tokens)
                    * f64::from(work.lengths.iter().copied().max().unwrap_or(0))
        }
        Request::Bench(spec) => f64::from(spec.cut.ctx),
        // The whole model may be coded before the first chunk.
        Request::Probe(_) | Request::Losses(_) => f64::from(CODING_TOKENS),
        Request::Load(_)
        | Request::Quantize(_)
        | Request::CountTokens(_)
        | Request::Layout(_)
        | Request::RenderChat(_)
        | Request::TryItems(_) => 0.0,
    };
    let reading = file_bytes as f64 / SLOWEST_READ;
    LEAST_PATIENCE + Duration::from_secs_f64(reading + 2.0 * weights as f64 * tokens / SLOWEST_FLOPS)
}

/// What a sweep takes of this machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Needs {
    /// Most bytes the cache grows by.
    pub disk_bytes: u64,
    /// Bytes free where the cache lies.
    pub disk_free_bytes: u64,
    /// Memory of the largest worker.
    pub memory_bytes: u64,
    /// Memory that can be had now; absent where the system does not say.
    pub memory_available_bytes: Option<u64>,
    /// Whether trials run on this machine, and not on a cluster's nodes, of whose memory nothing is known here.
    pub runs_here: bool,
}

/// Computes what a sweep takes.
pub fn needs(prepared: &Prepared) -> Needs {
    let made = prepared
        .files
        .iter()
        .filter(|f| f.weights.ftype.is_some())
        .filter_map(|f| f.forecast.as_ref().ok())
        .map(|f| f.file_bytes);
    // A pair of variants needs both files, which stay until the end, and in rounds all variants go on together.
    let config = &prepared.config;
    let many = config.keep_variants
        || !config.speculations.is_empty()
        || config.in_rounds()
        || config.slurm.is_some();
    let files: u64 = if many { made.sum() } else { made.max().unwrap_or(0) };
    let store: u64 = prepared
        .suites
        .iter()
        .flat_map(|suite| suite.corpora.iter().map(move |c| missing_store_bytes(prepared, suite, c)))
        .sum();
    Needs {
        disk_bytes: files + store,
        disk_free_bytes: files::free_bytes(prepared.cache.root()).unwrap_or(0),
        memory_bytes: memory(prepared),
        memory_available_bytes: machine::available_memory(),
        runs_here: config.slurm.is_none(),
    }
}

impl Needs {
    /// Why the sweep does not fit, if it does not.
    pub fn refusal(&self) -> Option<String> {
        if self.disk_bytes > self.disk_free_bytes {
            return Some(format!(
                "the cache needs {} of disk and has {} free",
                Bytes(self.disk_bytes),
                Bytes(self.disk_free_bytes)
            ));
        }
        match self.memory_available_bytes {
            Some(available) if self.memory_bytes > available && self.runs_here => Some(format!(
                "the base model needs about {} of memory and {} can be had",
                Bytes(self.memory_bytes),
                Bytes(available)
            )),
            _ => None,
        }
    }
}

fn missing_store_bytes(prepared: &Prepared, suite: &LoadedSuite, corpus: &LoadedCorpus) -> u64 {
    let Scoring::Text(text) = &suite.suite.scoring else { return 0 };
    let chunks: Vec<u64> = (0..corpus.planned).collect();
    let missing = base_store::missing(&prepared.base_store(suite, corpus), &chunks).len() as u64;
    let (model, rows) = (&prepared.base_model, u64::from(text.rows()));
    let vocabulary = model.vocab_size().unwrap_or(0);
    let planned = corpus.planned * rows;
    let kind = base_store::choose(planned, u32::try_from(vocabulary).unwrap_or(u32::MAX));
    let width = match kind {
        StoreKind::Logits => vocabulary,
        StoreKind::Hidden => model.embedding_length().unwrap_or(vocabulary),
    };
    missing * rows * width * 4
}

/// Weights, KV cache, logits, the output matrix, and what llama.cpp needs besides.
fn memory(prepared: &Prepared) -> u64 {
    let model = &prepared.base_model;
    let n_ctx = prepared.suites.iter().map(|s| match &s.suite.scoring {
        Scoring::Text(text) if s.corpora.iter().any(|c| c.sampling.is_some()) => {
            text.ctx * written_together(text.ctx)
        }
        Scoring::Generate(generate) => generate.ctx.saturating_mul(generate.parallel),
        Scoring::Text(_) | Scoring::Choice(_) => s.suite.scoring.ctx(),
    });
    let timed = prepared.config.speed.shapes();
    let timed = timed.iter().map(|shape| u64::from(shape.n_ctx()) * u64::from(shape.parallel)).max();
    let n_ctx = u64::from(n_ctx.max().unwrap_or(0).max(PROMPT)).max(timed.unwrap_or(0));
    let layers = model.block_count().unwrap_or(0);
    let heads = model.head_count_kv().and_then(|h| h.sum(layers)).unwrap_or(0);
    let width = model.key_length().unwrap_or(0) + model.value_length().unwrap_or(0);
    let kv = n_ctx * heads * width * 2;
    // llama.cpp computes logits in one buffer and hands them over in another, at most 512 rows at once.
    let logits = 2 * n_ctx.min(512) * model.vocab_size().unwrap_or(0) * 4;
    // Beside a variant lies the base's output matrix.
    let tensor = |name: &str| model.tensors().find(|t| t.name == name).map(|t| t.bytes);
    let head = tensor("output.weight").or_else(|| tensor("token_embd.weight")).unwrap_or(0);
    prepared.base.file_bytes + kv + logits + head + OVERHEAD
}
