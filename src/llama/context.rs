//! A context with the shape one way of scoring needs, and the time it spent decoding.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::llama::ffi::{Batch, ContextHandle, ContextOptions, Observer};
use crate::llama::hidden::Capture;
use crate::llama::log;
use crate::llama::model::{LlamaError, Model};

/// Tokens that this process has decoded, in whatever context: a worker tells them with every sign of life.
static DECODED: AtomicU64 = AtomicU64::new(0);

/// Tokens that this process has decoded so far.
pub fn decoded() -> u64 {
    DECODED.load(Ordering::Relaxed)
}

/// A context of a model, counting what it decodes.
#[derive(Debug)]
pub struct Context<'model> {
    handle: ContextHandle<'model>,
    options: ContextOptions,
    /// llama.cpp's log of making it.
    pub log: String,
    /// Seconds spent in `llama_decode`.
    pub decode_s: f64,
    /// Tokens decoded.
    pub tokens_decoded: u64,
}

impl<'model> Context<'model> {
    /// Makes a context. Refuses more tokens a sequence than the model was trained for, unless stretched.
    pub fn new(model: &'model Model, options: ContextOptions) -> Result<Self, LlamaError> {
        Self::observed(model, options, None)
    }

    /// As [`Self::new`], with the hidden states of every decode in `capture`.
    pub fn capturing(
        model: &'model Model,
        options: ContextOptions,
        capture: &Capture,
    ) -> Result<Self, LlamaError> {
        Self::observed(model, options, Some(capture.observer()))
    }

    /// As [`Self::new`], with somebody who looks at what is computed.
    pub fn observed(
        model: &'model Model,
        options: ContextOptions,
        observer: Option<Observer>,
    ) -> Result<Self, LlamaError> {
        let per_sequence =
            if options.kv_unified { options.n_ctx } else { options.n_ctx / options.n_seq_max.max(1) };
        let trained = model.context_length();
        if per_sequence > trained && !options.kv_unified && options.yarn_from.is_none() {
            return Err(LlamaError::ContextTooLong { asked: per_sequence, trained });
        }
        let (handle, log) = log::captured(|_| {}, || ContextHandle::new(model.handle(), &options, observer));
        let handle =
            handle.ok_or_else(|| LlamaError::Context { n_ctx: options.n_ctx, reason: log::reason(&log) })?;
        Ok(Self { handle, options, log, decode_s: 0.0, tokens_decoded: 0 })
    }

    /// Forgets all sequences.
    pub fn clear(&mut self) {
        self.handle.clear(false);
    }

    /// The same, and what their cells held is gone. Attention reads cells that nobody has any more and multiplies them by
    /// nothing, which a value that is not finite survives.
    pub fn wipe(&mut self) {
        self.handle.clear(true);
    }

    /// Forgets a sequence from a position on; false if the model's memory cannot be cut there.
    pub fn cut(&mut self, sequence: i32, from: i32) -> bool {
        self.handle.cut(sequence, from)
    }

    /// Copies all of a sequence to another, which must be empty.
    pub fn copy(&mut self, from: i32, to: i32) {
        self.handle.copy(from, to);
    }

    /// Adds a sequence's tokens at these positions to another; `false` if the cache is not one for all sequences.
    pub fn share(&mut self, from: i32, to: i32, positions: Range<i32>) -> bool {
        self.handle.share(from, to, positions)
    }

    /// Forgets all sequences but one.
    pub fn keep_only(&mut self, sequence: i32) {
        self.handle.keep_only(sequence);
    }

    /// Forgets what the only sequence holds from a position on; `false` if its memory cannot do that (a recurrent
    /// state knows no positions).
    pub fn truncate(&mut self, from: usize) -> bool {
        i32::try_from(from).is_ok_and(|from| self.cut(0, from))
    }

    /// Most tokens in one decode.
    pub fn n_batch(&self) -> usize {
        self.options.n_batch as usize
    }

    /// Decodes a batch of at most [`Self::n_batch`] tokens.
    pub fn decode(&mut self, batch: &Batch) -> Result<(), LlamaError> {
        let begun = Instant::now();
        let status = self.handle.decode(batch);
        self.handle.synchronize();
        self.decode_s += begun.elapsed().as_secs_f64();
        if status != 0 {
            return Err(LlamaError::Decode { status, tokens: batch.len() });
        }
        self.tokens_decoded += batch.len() as u64;
        DECODED.fetch_add(batch.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Logits of a token of the last batch that was marked as an output.
    pub fn logits(&self, index: usize) -> Result<&[f32], LlamaError> {
        self.handle.logits(index).ok_or(LlamaError::Decode { status: -2, tokens: index })
    }
}
