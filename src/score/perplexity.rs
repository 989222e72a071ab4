//! A text in chunks: every scored position's probability, and its divergence from the base's distribution.
//!
//! llama-perplexity's convention: the whole text is tokenised once, cut into chunks of `n_ctx` tokens (the
//! tail is dropped), the first token of a chunk becomes BOS if the vocabulary adds one, and positions
//! `n_ctx/2 .. n_ctx-2` are scored. A chunk is decoded alone, so that its numbers do not depend on which
//! other chunks were asked for.

use std::io;
use std::path::Path;

use rayon::prelude::*;
use thiserror::Error;

use crate::llama::context::Context;
use crate::llama::ffi::{Batch, ContextOptions, Token};
use crate::llama::model::{LlamaError, Model};
use crate::score::base_store::{BaseStore, ChunkReader, ChunkWriter};
use crate::score::divergence::{Divergence, divergence};
use crate::score::item::ChunkScore;
use crate::score::kld_file::KldFileError;

/// Positions compared at once: bounds memory to this many rows of the vocabulary.
const BLOCK: usize = 64;
/// Most tokens in one decode.
const N_BATCH: u32 = 2048;
/// Most tokens computed at once; llama.cpp's default.
const N_UBATCH: u32 = 512;

/// Why a text could not be scored.
#[derive(Debug, Error)]
pub enum TextError {
    /// llama.cpp refused.
    #[error(transparent)]
    Llama(#[from] LlamaError),
    /// The text cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The base store cannot be read or written.
    #[error("base store: {0}")]
    Store(#[from] io::Error),
    /// A file of log-probabilities cannot be used.
    #[error(transparent)]
    File(#[from] KldFileError),
    /// The base has not been evaluated on this chunk.
    #[error("the base store has no intact chunk {0}")]
    MissingBase(u64),
    /// Fewer tokens than two chunks.
    #[error("{path} has {tokens} tokens; at least {needed} are needed for chunks of {n_ctx}")]
    TooShort {
        /// The file.
        path: String,
        /// Its tokens.
        tokens: usize,
        /// Tokens needed.
        needed: usize,
        /// Chunk length.
        n_ctx: u32,
    },
}

/// A text, tokenised and cut.
#[derive(Debug)]
pub struct Text {
    tokens: Vec<Token>,
    n_ctx: usize,
}

impl Text {
    /// Reads and tokenises a file. At least two chunks are needed, as for llama-perplexity.
    pub fn read(model: &Model, path: &Path, n_ctx: u32) -> Result<Self, TextError> {
        let shown = path.display().to_string();
        let tokens = tokenize(model, path)?;
        let needed = 2 * n_ctx as usize;
        if tokens.len() < needed || n_ctx < 4 {
            return Err(TextError::TooShort { path: shown, tokens: tokens.len(), needed, n_ctx });
        }
        Ok(Self { tokens, n_ctx: n_ctx as usize })
    }

    /// Tokens a chunk.
    pub fn n_ctx(&self) -> u32 {
        self.n_ctx as u32
    }

    /// Chunks of the text.
    pub fn chunks(&self) -> u64 {
        (self.tokens.len() / self.n_ctx) as u64
    }

    /// The tokens of the first `chunks` chunks, or of all there are.
    pub fn tokens(&self, chunks: u64) -> &[Token] {
        let end = chunks.min(self.chunks()) as usize * self.n_ctx;
        self.tokens.get(..end).unwrap_or(&self.tokens)
    }

    /// The tokens of a chunk.
    pub fn chunk(&self, chunk: u64) -> Option<&[Token]> {
        self.tokens.chunks_exact(self.n_ctx).nth(usize::try_from(chunk).ok()?)
    }
}

/// Tokens of a text file, without the line end that closes it, as llama.cpp's tools read files.
pub fn tokenize(model: &Model, path: &Path) -> Result<Vec<Token>, TextError> {
    let read = |source| TextError::Read { path: path.display().to_string(), source };
    let bytes = std::fs::read(path).map_err(read)?;
    Ok(model.tokenize(bytes.strip_suffix(b"\n").unwrap_or(&bytes))?)
}

/// How contexts for texts are shaped; part of a trial's id through `n_ctx` and the suite's version.
pub fn context_options(n_ctx: u32, template: ContextOptions) -> ContextOptions {
    ContextOptions {
        n_ctx,
        n_batch: n_ctx.min(N_BATCH),
        n_ubatch: N_UBATCH,
        n_seq_max: 1,
        kv_unified: false,
        ..template
    }
}

/// Scores one chunk. The base (`is_base`) writes its logits to the store; others read them.
pub fn score_chunk(
    model: &Model,
    context: &mut Context<'_>,
    text: &Text,
    chunk: u64,
    store: &BaseStore,
    is_base: bool,
) -> Result<ChunkScore, TextError> {
    let tokens = text.chunk(chunk).ok_or(TextError::MissingBase(chunk))?;
    let first = tokens.len() / 2;
    let rows = (tokens.len() - 1 - first) as u32;
    let vocabulary = model.vocabulary();
    let mut side = if is_base {
        Side::Writing(store.write(chunk, vocabulary, rows)?)
    } else {
        let reader = store.read(chunk, vocabulary, rows)?;
        Side::Reading(reader.ok_or(TextError::MissingBase(chunk))?)
    };
    let mut chunk_score = ChunkScore::default();
    context.clear();
    for begin in (0..tokens.len()).step_by(context.n_batch()) {
        let end = tokens.len().min(begin + context.n_batch());
        let batch = chunk_batch(model, tokens, begin, end, first);
        context.decode(&batch)?;
        let scored: Vec<usize> = (begin.max(first)..end.min(tokens.len() - 1)).collect();
        for block in scored.chunks(BLOCK) {
            score_block(context, tokens, begin, block, &mut side, &mut chunk_score)?;
        }
    }
    match side {
        Side::Writing(writer) => writer.finish()?,
        Side::Reading(reader) if !reader.is_intact() => {
            store.discard(chunk)?;
            return Err(TextError::MissingBase(chunk));
        }
        Side::Reading(_) => {}
    }
    Ok(chunk_score)
}

enum Side {
    Writing(ChunkWriter),
    Reading(ChunkReader),
}

fn chunk_batch(model: &Model, tokens: &[Token], begin: usize, end: usize, first: usize) -> Batch {
    let mut batch = Batch::default();
    for (position, token) in tokens.iter().enumerate().take(end).skip(begin) {
        let token = if position == 0 { model.bos().unwrap_or(*token) } else { *token };
        let scored = position >= first && position + 1 < tokens.len();
        batch.push(token, position as i32, &[0], scored);
    }
    batch
}

/// Compares a block of positions, in parallel, and appends them in order.
fn score_block(
    context: &Context<'_>,
    tokens: &[Token],
    begin: usize,
    block: &[usize],
    side: &mut Side,
    score: &mut ChunkScore,
) -> Result<(), TextError> {
    let rows: Vec<&[f32]> = block.iter().map(|p| context.logits(p - begin)).collect::<Result<_, _>>()?;
    let truth: Vec<usize> =
        block.iter().map(|p| tokens.get(p + 1).map_or(0, |t| t.unsigned_abs() as usize)).collect();
    let results: Vec<Option<Divergence>> = match side {
        Side::Writing(writer) => {
            for row in &rows {
                writer.row(row)?;
            }
            rows.par_iter().zip(&truth).map(|(row, t)| divergence(row, row, *t)).collect()
        }
        Side::Reading(reader) => {
            let base = reader.rows(rows.len())?;
            let width = base.len() / rows.len().max(1);
            rows.par_iter()
                .zip(base.par_chunks(width.max(1)))
                .zip(&truth)
                .map(|((row, base), t)| divergence(base, row, *t))
                .collect()
        }
    };
    for result in results {
        append(score, result);
    }
    Ok(())
}

fn append(score: &mut ChunkScore, result: Option<Divergence>) {
    let Some(d) = result else {
        score.nonfinite += 1;
        return;
    };
    score.nll.0.push(d.nll as f32);
    score.nll_base.0.push(d.nll_base as f32);
    score.kld.0.push(d.kld as f32);
    score.delta_p.0.push(d.delta_p as f32);
    score.same_top.push(u8::from(d.same_top));
}
