//! A text in chunks: every scored position's probability, and its divergence from the base's distribution.
//!
//! The whole text is tokenised once and cut into chunks (the tail is dropped); the first token of a chunk becomes
//! BOS if the vocabulary adds one. Which positions are scored `plan::text` says. A chunk is decoded alone, so that its numbers do not depend on which
//! other chunks were asked for.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use thiserror::Error;

use crate::llama::context::Context;
use crate::llama::ffi::{Batch, ContextOptions, Token};
use crate::llama::hidden::States;
use crate::llama::model::{LlamaError, Model};
use crate::plan::corpus::{TextFile, TextKind};
use crate::plan::text::TextSuite;
use crate::score::base_store::{ChunkWriter, StoreError, StoreKind, Subject};
use crate::score::divergence::{Divergence, divergence};
use crate::score::item::ChunkScore;
use crate::score::kld_file::KldFileError;
use crate::score::reference::{self, Keeper, Outputs};
use crate::score::token_file::{self, TokenFileError};

/// Most tokens in one decode, and computed at once: llama.cpp's default for the latter, in which it would cut
/// a longer batch anyway. It bounds the rows of logits that are held, whatever the context length.
const N_BATCH: u32 = 512;

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
    /// A file of log-probabilities cannot be used.
    #[error(transparent)]
    File(#[from] KldFileError),
    /// A file of tokens cannot be used.
    #[error(transparent)]
    Tokens(#[from] TokenFileError),
    /// The base store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store keeps hidden states, and the base's output matrix cannot be had.
    #[error("the base store needs the output matrix of {model}, which cannot be had: {reason}")]
    NoHead {
        /// Where it was when the store was made.
        model: PathBuf,
        /// Why not now.
        reason: String,
    },
    /// The output matrix and the states do not go together, or memory is short.
    #[error("logits of {rows} positions cannot be made of the hidden states in the base store")]
    Recompute {
        /// Positions.
        rows: usize,
    },
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
    cut: TextSuite,
}

impl Text {
    /// Cuts the tokens of a file. At least two chunks are needed, as for llama-perplexity.
    pub fn new(tokens: Vec<Token>, path: &Path, cut: TextSuite) -> Result<Self, TextError> {
        if cut.chunks(tokens.len() as u64) < 2 || cut.rows() == 0 {
            return Err(TextError::TooShort {
                path: path.display().to_string(),
                tokens: tokens.len(),
                needed: (cut.ctx + cut.step()) as usize,
                n_ctx: cut.ctx,
            });
        }
        Ok(Self { tokens, cut })
    }

    /// How it is cut and what is scored.
    pub fn cut(&self) -> TextSuite {
        self.cut
    }

    /// Chunks of the text.
    pub fn chunks(&self) -> u64 {
        self.cut.chunks(self.tokens.len() as u64)
    }

    /// The tokens of the first `chunks` chunks, or of all there are.
    pub fn tokens(&self, chunks: u64) -> &[Token] {
        let last = chunks.min(self.chunks()).saturating_sub(1) as usize;
        let end = last * self.cut.step() as usize + self.cut.ctx as usize;
        self.tokens.get(..end).unwrap_or(&self.tokens)
    }

    /// What a base store of this text is about. `model` is the SHA-256 of the base.
    pub fn subject(&self, model: &str, vocabulary: u32) -> Subject {
        let mut hash = blake3::Hasher::new();
        for token in (0..self.chunks()).filter_map(|c| self.chunk(c)).flatten() {
            hash.update(&token.to_le_bytes());
        }
        Subject {
            model: model.to_owned(),
            tokens: hash.finalize().to_hex().to_string(),
            vocabulary,
            n_ctx: self.cut.ctx,
            rows: self.cut.rows(),
            chunks: self.chunks(),
        }
    }

    /// The tokens of a chunk.
    pub fn chunk(&self, chunk: u64) -> Option<&[Token]> {
        let begin = usize::try_from(chunk).ok()?.checked_mul(self.cut.step() as usize)?;
        self.tokens.get(begin..begin.checked_add(self.cut.ctx as usize)?)
    }
}

/// Tokens of a file. A plain text is taken without the line end that closes it, as llama.cpp's tools read files.
pub fn tokenize(model: &Model, file: &TextFile) -> Result<Vec<Token>, TextError> {
    let path = &file.path;
    let read =
        || std::fs::read(path).map_err(|source| TextError::Read { path: path.display().to_string(), source });
    match file.kind {
        TextKind::Plain => {
            let bytes = read()?;
            Ok(model.tokenize(bytes.strip_suffix(b"\n").unwrap_or(&bytes))?)
        }
        TextKind::Rendered => Ok(model.tokenize_rendered(read()?)?),
        TextKind::Tokens => Ok(token_file::read(path, model.vocabulary())?),
    }
}

/// How contexts for texts are shaped; part of a trial's id through `n_ctx` and the suite's version.
pub fn context_options(cut: TextSuite, template: ContextOptions) -> ContextOptions {
    let n_ctx = cut.ctx;
    ContextOptions {
        n_ctx,
        n_batch: n_ctx.min(N_BATCH),
        n_ubatch: n_ctx.min(N_BATCH),
        n_seq_max: 1,
        kv_unified: false,
        n_outputs_max: cut.rows().clamp(1, N_BATCH),
        ..template
    }
}

/// Evaluates the base on one chunk and keeps its distributions. The context must have been made with the
/// keeper's capture. With `store_only` the numbers are not wanted (`None` is returned), and the output matrix is
/// left out as soon as hidden states suffice.
pub fn keep_chunk(
    model: &Model,
    context: &mut Context<'_>,
    text: &Text,
    chunk: u64,
    keeper: &Keeper,
    store_only: bool,
) -> Result<Option<ChunkScore>, TextError> {
    let tokens = text.chunk(chunk).ok_or(TextError::MissingBase(chunk))?;
    let mut numbers = ChunkScore::default();
    let mut writer: Option<ChunkWriter<'_>> = None;
    let mut begun = false;
    context.clear();
    for piece in pieces(text.cut, context.n_batch()) {
        let hidden = keeper.store().is_some_and(|s| s.header().kind == StoreKind::Hidden);
        let headless = store_only && hidden;
        keeper.capture.end_before_head(headless);
        context.decode(&batch(model, tokens, &piece))?;
        let states: States = keeper.capture.take();
        if piece.scored.is_empty() {
            continue;
        }
        let logits = if headless { Vec::new() } else { piece.logits(context)? };
        let outputs = Outputs { states, logits };
        let store = keeper.settled(&outputs)?;
        if !begun {
            begun = true;
            // What is there already is not touched: another process may be reading it.
            writer = if store.has(chunk) { None } else { store.write(chunk)? };
        }
        if let Some(writer) = &mut writer {
            reference::keep(store, writer, &outputs)?;
        }
        if !store_only {
            let truth = piece.truth(tokens);
            let own = outputs.logits.par_iter().zip(&truth).map(|(row, t)| divergence(row, row, *t));
            append(&mut numbers, own.collect());
        }
    }
    if let Some(writer) = writer {
        writer.finish()?;
    }
    Ok((!store_only).then_some(numbers))
}

/// A piece of a chunk that is decoded at once.
pub(super) struct Piece {
    /// Positions decoded.
    pub decoded: Range<usize>,
    /// Those of them that are scored.
    pub scored: Range<usize>,
}

/// A chunk cut as llama.cpp would cut it itself.
pub(super) fn pieces(cut: TextSuite, n_batch: usize) -> impl Iterator<Item = Piece> {
    let (n_ctx, scored) = (cut.ctx as usize, cut.positions());
    (0..n_ctx).step_by(n_batch.max(1)).map(move |begin| {
        let end = n_ctx.min(begin + n_batch);
        let first = scored.start.clamp(begin, end);
        Piece { decoded: begin..end, scored: first..scored.end.clamp(first, end) }
    })
}

impl Piece {
    /// Logits of the scored positions, after the decode.
    pub fn logits<'c>(&self, context: &'c Context<'_>) -> Result<Vec<&'c [f32]>, TextError> {
        self.scored.clone().map(|p| Ok(context.logits(p - self.decoded.start)?)).collect()
    }

    /// The true token after each scored position.
    pub fn truth(&self, tokens: &[Token]) -> Vec<usize> {
        let next = |p: usize| tokens.get(p + 1).map_or(0, |t| t.unsigned_abs() as usize);
        self.scored.clone().map(next).collect()
    }
}

pub(super) fn batch(model: &Model, tokens: &[Token], piece: &Piece) -> Batch {
    let mut batch = Batch::default();
    for (position, token) in tokens.iter().enumerate().take(piece.decoded.end).skip(piece.decoded.start) {
        let token = if position == 0 { model.bos().unwrap_or(*token) } else { *token };
        batch.push(token, position as i32, &[0], piece.scored.contains(&position));
    }
    batch
}

pub(super) fn append(score: &mut ChunkScore, results: Vec<Option<Divergence>>) {
    for result in results {
        let Some(d) = result else {
            score.nonfinite += 1;
            continue;
        };
        score.nll.0.push(d.nll as f32);
        score.nll_base.0.push(d.nll_base as f32);
        score.kld.0.push(d.kld as f32);
        score.delta_p.0.push(d.delta_p as f32);
        score.same_top.push(u8::from(d.same_top));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_cover_a_chunk_once_and_in_order(n_ctx in 4_usize..3000, n_batch in 1_usize..700) {
            let cut = TextSuite::halves(n_ctx as u32);
            let all: Vec<Piece> = pieces(cut, n_batch).collect();
            prop_assert_eq!(all.iter().flat_map(|p| p.decoded.clone()).collect::<Vec<_>>(), (0..n_ctx).collect::<Vec<_>>());
            let scored: Vec<usize> = all.iter().flat_map(|p| p.scored.clone()).collect();
            prop_assert_eq!(scored.len() as u32, cut.rows());
            prop_assert_eq!(scored, (n_ctx / 2..n_ctx - 1).collect::<Vec<_>>());
            for piece in all {
                prop_assert!(piece.decoded.len() <= n_batch);
                prop_assert!(piece.scored.clone().all(|p| piece.decoded.contains(&p)));
            }
        }
    }
}
