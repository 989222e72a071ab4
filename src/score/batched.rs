//! A text as `llama-perplexity` decodes it: as many chunks together as fill its batch, each a sequence of its own.
//! Attention then sums in another order than for a chunk alone, so that a comparison with the tool's figures or
//! files to the last digit needs the tool's own shape. Memory is bounded by the batch, not by the context.
//!
//! A sweep decodes its chunks one at a time instead (`perplexity`), so that a resumed one finds the same numbers.

use rayon::prelude::*;

use super::divergence::Divergence;
use super::item::ChunkScore;
use super::kld_file::{KldReader, KldWriter};
use super::llama_perplexity::{BaseRow, encode, nll, row_bytes};
use super::perplexity::{Text, TextError};
use crate::llama::context::Context;
use crate::llama::ffi::{Batch, ContextOptions, Token};
use crate::llama::model::{LlamaError, Model};
use crate::stats::Moments;

/// Tokens decoded together, unless one chunk is longer.
const N_BATCH: u32 = 2048;
/// Tokens computed at once. A single chunk is also decoded in pieces of this length: llama.cpp would cut it there
/// itself, and a piece needs room for fewer logits.
const N_UBATCH: u32 = 512;
/// Most sequences of a context.
const MOST_TOGETHER: u32 = 256;
/// Positions scored at once.
const BLOCK: usize = 64;

/// Chunks decoded together.
pub fn together(n_ctx: u32) -> usize {
    (N_BATCH / n_ctx.max(1)).clamp(1, MOST_TOGETHER) as usize
}

/// How the context is shaped.
pub fn context_options(n_ctx: u32, template: ContextOptions) -> ContextOptions {
    let chunks = together(n_ctx) as u32;
    ContextOptions {
        n_ctx: n_ctx * chunks,
        n_batch: if chunks > 1 { n_ctx * chunks } else { n_ctx.min(N_UBATCH) },
        n_ubatch: N_UBATCH,
        n_seq_max: chunks,
        kv_unified: false,
        swa_full: false,
        ..template
    }
}

/// What a text's positions are compared with and where their probabilities go.
#[derive(Debug)]
pub enum Files {
    /// Nothing: plain perplexity.
    None,
    /// A file is written: the model is somebody's base.
    Write(KldWriter),
    /// A base's file is read.
    Read(KldReader),
}

/// Scores the chunks of a text, group by group.
#[derive(Debug)]
pub struct Scorer<'a> {
    model: &'a Model,
    /// The context, which knows what decoding took.
    pub context: Context<'a>,
    text: &'a Text,
    /// What is read or written beside.
    pub files: Files,
}

impl<'a> Scorer<'a> {
    /// Makes a scorer. The file of a base must be of this vocabulary and text.
    pub fn new(
        model: &'a Model,
        text: &'a Text,
        template: ContextOptions,
        mut files: Files,
    ) -> Result<Self, TextError> {
        if let Files::Read(reader) = &mut files {
            reader.check(model.vocabulary(), text.cut().ctx, text.tokens(u64::MAX))?;
        }
        let context = Context::new(model, context_options(text.cut().ctx, template))?;
        Ok(Self { model, context, text, files })
    }

    /// Scores chunks `first..end`, at most [`together`] of them.
    pub fn group(&mut self, first: u64, end: u64) -> Result<Vec<ChunkScore>, TextError> {
        let chunks: Vec<&[Token]> = (first..end).map_while(|chunk| self.text.chunk(chunk)).collect();
        let mut scores = vec![ChunkScore::default(); chunks.len()];
        let cut = self.text.cut();
        let (n_ctx, positions) = (cut.ctx as usize, cut.positions());
        let length = n_ctx.min(self.context.n_batch());
        self.context.clear();
        if let Files::Read(reader) = &mut self.files {
            reader.seek(first)?;
        }
        for begin in (0..n_ctx).step_by(length) {
            let end = n_ctx.min(begin + length);
            self.context.decode(&self.batch(&chunks, begin, end))?;
            for (sequence, (tokens, score)) in chunks.iter().zip(&mut scores).enumerate() {
                let these: Vec<usize> = (begin.max(positions.start)..end.min(positions.end)).collect();
                for block in these.chunks(BLOCK) {
                    // Rows of the batch: all positions of one sequence, then those of the next.
                    let at = |position: &usize| sequence * (end - begin) + position - begin;
                    let rows = block.iter().map(|p| self.context.logits(at(p)));
                    let rows: Vec<&[f32]> = rows.collect::<Result<_, LlamaError>>()?;
                    let next = |p: &usize| tokens.get(p + 1).map_or(0, |t| t.unsigned_abs() as usize);
                    let truth: Vec<usize> = block.iter().map(next).collect();
                    append(score, self.files.score(&rows, &truth)?);
                }
            }
        }
        for score in &mut scores {
            score.moments = score.moments.filter(Moments::is_finite);
        }
        Ok(scores)
    }

    /// Positions `begin..end` of all chunks. As for the tool, every position from the first scored one on is an
    /// output, also the last, which has no next token: kernels round differently for other numbers of rows.
    fn batch(&self, chunks: &[&[Token]], begin: usize, end: usize) -> Batch {
        let first = self.text.cut().positions().start;
        let mut batch = Batch::default();
        for (sequence, tokens) in chunks.iter().enumerate() {
            for (position, token) in tokens.iter().enumerate().take(end).skip(begin) {
                let token = if position == 0 { self.model.bos().unwrap_or(*token) } else { *token };
                batch.push(token, position as i32, &[sequence as i32], position >= first);
            }
        }
        batch
    }
}

/// Scores of a block of positions; `None` where a logit is not finite.
enum Block {
    Plain(Vec<Option<f64>>),
    Compared(Vec<Option<Divergence>>),
}

impl Files {
    fn score(&mut self, rows: &[&[f32]], truth: &[usize]) -> Result<Block, TextError> {
        let positions = rows.par_iter().zip(truth);
        match self {
            Self::None => Ok(Block::Plain(positions.map(|(row, token)| nll(row, *token)).collect())),
            Self::Write(writer) => {
                let encoded: Vec<(Vec<u8>, Option<f32>)> = positions
                    .map(|(row, token)| {
                        let mut bytes = Vec::with_capacity(row_bytes(row.len() as u32));
                        let nll = encode(row, *token, &mut bytes);
                        (bytes, nll)
                    })
                    .collect();
                for (bytes, _) in &encoded {
                    writer.rows(bytes)?;
                }
                Ok(Block::Plain(encoded.iter().map(|(_, nll)| nll.map(f64::from)).collect()))
            }
            Self::Read(reader) => {
                let vocabulary = reader.shape().vocabulary;
                let base = reader.rows(rows.len())?;
                let compared = positions
                    .zip(base.par_chunks_exact(row_bytes(vocabulary)))
                    .map(|((row, token), base)| BaseRow::read(base, vocabulary)?.compare(row, *token));
                Ok(Block::Compared(compared.collect()))
            }
        }
    }

    /// Gives a file that was written its name.
    pub fn finish(self) -> Result<(), TextError> {
        if let Self::Write(writer) = self {
            writer.finish()?;
        }
        Ok(())
    }
}

fn append(score: &mut ChunkScore, block: Block) {
    let mut moments = score.moments.unwrap_or_default();
    match block {
        Block::Plain(nlls) => {
            for nll in nlls {
                let Some(nll) = nll else {
                    score.nonfinite += 1;
                    continue;
                };
                // Without a base a model is compared with itself.
                moments.push(nll, nll, 0.0, 0.0, true);
                push(score, [nll as f32, nll as f32, 0.0, 0.0], true);
            }
        }
        Block::Compared(positions) => {
            for position in positions {
                let Some(Divergence { nll, nll_base, kld, delta_p, same_top }) = position else {
                    score.nonfinite += 1;
                    continue;
                };
                let [q, b, divergence, delta_p] = [nll, nll_base, kld, delta_p].map(|x| x as f32);
                moments.push_rounded(q, b, kld, delta_p, same_top);
                push(score, [q, b, divergence, delta_p], same_top);
            }
        }
    }
    score.moments = Some(moments);
}

fn push(score: &mut ChunkScore, [nll, nll_base, kld, delta_p]: [f32; 4], same_top: bool) {
    score.nll.0.push(nll);
    score.nll_base.0.push(nll_base);
    score.kld.0.push(kld);
    score.delta_p.0.push(delta_p);
    score.same_top.push(u8::from(same_top));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_decoded_together_as_far_as_they_fill_the_batch() {
        for (n_ctx, chunks) in [(4, 256), (128, 16), (512, 4), (768, 2), (1024, 2), (1025, 1), (8192, 1)] {
            assert_eq!(together(n_ctx), chunks, "{n_ctx}");
        }
    }

    #[test]
    fn exact_sums_travel_with_the_columns() {
        let mut score = ChunkScore::default();
        append(&mut score, Block::Plain(vec![Some(0.1), None, Some(1e-3)]));
        assert_eq!((score.nll.0.len(), score.nonfinite), (2, 1));
        assert_eq!(score.sums().q.to_bits(), (0.1_f64 + 1e-3).to_bits());
        let d = Divergence { nll: 1.5, nll_base: 0.5, kld: 0.1, delta_p: -0.25, same_top: false };
        let mut score = ChunkScore::default();
        append(&mut score, Block::Compared(vec![Some(d)]));
        let sums = score.sums();
        assert_eq!((sums.q, sums.qb, sums.delta_p2, sums.same_top), (1.5, 0.75, 0.0625, 0));
        assert_eq!(sums.kld.to_bits(), 0.1_f64.to_bits());
    }
}
