//! Scores sequences as branches of a prefix tree kept in the KV cache: what they begin with alike is decoded once, many
//! branches go into one batch, and logits are computed only where a token is scored.
//!
//! Sequence 0 of the cache holds the last path of the tree before, which the next tree goes on from where it begins
//! alike; the branches are sequences 1 and up and share its cells. A model whose memory is a state, not one cell a
//! token, can share nothing of it: there, and where exactness is asked for, every sequence is decoded by itself.

use std::ops::Range;

use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};

use crate::llama::context::Context;
use crate::llama::ffi::{Batch, ContextOptions, Token};
use crate::llama::model::{LlamaError, Model};
use crate::score::divergence::log_probs;
use crate::score::prefix_tree::{Node, Sequence, Tree};

/// Most tokens of one decode, all computed at once; llama.cpp's default.
const PIECE: u32 = 512;
/// Most sequences that llama.cpp has; the first is the kept path. It wants a cell for each.
const SEQUENCES: u32 = 256;
/// Memory for the logits of one decode.
const LOGIT_BYTES: u32 = 128 << 20;
/// Tokens of a tree that are worth decoding together. Attention reads every cell of the cache, also those of other
/// branches, only to mask them.
const GROUP: usize = 512;
/// The kept path's sequence.
const KEPT: i32 = 0;

/// What a tree may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Tokens in the cache.
    pub cells: usize,
    /// Tokens that are not decoded already.
    pub fresh: usize,
    /// Branches.
    pub branches: usize,
}

/// What is known of a sequence's scored tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Likelihood {
    /// Sum of ln p.
    pub logprob: f64,
    /// Whether each is the most likely where it stands: greedy decoding would write them.
    pub greedy: bool,
}

/// Before the first token.
const NOTHING: Option<Likelihood> = Some(Likelihood { logprob: 0.0, greedy: true });

/// A context that scores trees.
#[derive(Debug)]
pub struct Branches<'model> {
    /// Where they are decoded.
    pub context: Context<'model>,
    /// Tokens that item-by-item, choice-by-choice scoring would have decoded.
    pub tokens_naive: u64,
    kept: Vec<Token>,
    cells: usize,
    most: usize,
    outputs: usize,
    apart: bool,
    /// Whether a logit was not finite since the cells were wiped.
    tainted: bool,
}

impl<'model> Branches<'model> {
    /// Makes the context. `template` has its cells in `n_ctx`; `apart` decodes every sequence by itself.
    pub fn new(model: &'model Model, template: ContextOptions, apart: bool) -> Result<Self, LlamaError> {
        let apart = apart || model.is_recurrent();
        let piece = PIECE.min(template.n_ctx);
        let sequences = if apart { 1 } else { SEQUENCES.min(template.n_ctx) };
        // llama.cpp aborts on fewer outputs than sequences.
        let outputs = (LOGIT_BYTES / 4 / model.vocabulary().max(1)).clamp(sequences, piece.max(sequences));
        let options = ContextOptions {
            n_batch: piece,
            n_ubatch: piece,
            n_seq_max: sequences,
            kv_unified: true,
            n_outputs_max: outputs,
            ..template
        };
        Ok(Self {
            context: Context::new(model, options)?,
            tokens_naive: 0,
            kept: Vec::new(),
            cells: template.n_ctx as usize,
            most: (sequences as usize).saturating_sub(1),
            outputs: outputs as usize,
            apart,
            tainted: false,
        })
    }

    /// What a tree may take.
    pub fn room(&self) -> Room {
        Room { cells: self.cells, fresh: GROUP, branches: self.most }
    }

    /// Forgets the kept path: what is scored next does not depend on anything scored before.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.tainted) {
            self.context.wipe();
        } else {
            self.context.clear();
        }
        self.kept.clear();
    }

    /// Likelihood of each sequence's scored tokens; `None` where a logit is not finite. Together they must have no
    /// more tokens and branches than [`Self::room`] has cells and branches.
    pub fn score(&mut self, sequences: &[&Sequence]) -> Result<Vec<Option<Likelihood>>, LlamaError> {
        self.tokens_naive += sequences.iter().map(|s| s.path().len() as u64).sum::<u64>();
        if !self.apart {
            return self.score_tree(sequences);
        }
        let mut sums = Vec::with_capacity(sequences.len());
        for sequence in sequences {
            self.clear();
            let tree = Tree::grow(&[sequence]);
            let mut sum = vec![NOTHING];
            self.decode(&tree.nodes.iter().map(|node| (node, KEPT..KEPT + 1)).collect::<Vec<_>>(), &mut sum)?;
            sums.extend(sum);
        }
        Ok(sums)
    }

    fn score_tree(&mut self, sequences: &[&Sequence]) -> Result<Vec<Option<Likelihood>>, LlamaError> {
        let tree = Tree::grow(sequences);
        let reused = tree.reusable(&self.kept);
        if reused == 0 || !self.context.cut(KEPT, position(reused)) {
            self.clear();
        }
        self.kept.truncate(reused);
        // How much of the kept path each branch begins with.
        let mut begun = vec![0; tree.leaves];
        let mut fresh = Vec::with_capacity(tree.nodes.len());
        for (node, depth) in tree.along(&self.kept) {
            if depth > node.position {
                begun.get_mut(node.leaves.clone()).into_iter().flatten().for_each(|b| *b = depth);
            } else {
                fresh.push((node, branch(node.leaves.start)..branch(node.leaves.end)));
            }
        }
        for (leaf, begun) in begun.iter().enumerate() {
            self.context.share(KEPT, branch(leaf), 0..position(*begun));
        }
        let mut sums = vec![NOTHING; sequences.len()];
        self.decode(&fresh, &mut sums)?;
        if let Some(last) = tree.leaves.checked_sub(1) {
            let begun = begun.get(last).copied().unwrap_or(0);
            self.context.cut(KEPT, position(begun));
            self.context.share(branch(last), KEPT, position(begun)..position(tree.last.len()));
        }
        self.context.keep_only(KEPT);
        self.kept = tree.last;
        Ok(sums)
    }

    /// Decodes nodes, each for its sequences, in pieces, and adds what is asked of their logits to `sums`.
    fn decode(
        &mut self,
        nodes: &[(&Node, Range<i32>)],
        sums: &mut [Option<Likelihood>],
    ) -> Result<(), LlamaError> {
        let mut left = nodes;
        while !left.is_empty() {
            let (piece, rest) = left.split_at(self.piece(left));
            let mut batch = Batch::default();
            for (node, branches) in piece {
                let branches: Vec<i32> = branches.clone().collect();
                batch.push(node.token, position(node.position), &branches, !node.asked.is_empty());
            }
            self.context.decode(&batch)?;
            self.add(piece, sums)?;
            left = rest;
        }
        Ok(())
    }

    /// Nodes that fit into one decode.
    fn piece(&self, nodes: &[(&Node, Range<i32>)]) -> usize {
        let mut outputs = 0;
        let fits = nodes.iter().take(self.context.n_batch()).take_while(|(node, _)| {
            outputs += usize::from(!node.asked.is_empty());
            outputs <= self.outputs
        });
        fits.count().max(1)
    }

    fn add(
        &mut self,
        piece: &[(&Node, Range<i32>)],
        sums: &mut [Option<Likelihood>],
    ) -> Result<(), LlamaError> {
        let rows = piece.iter().enumerate().filter(|(_, (node, _))| !node.asked.is_empty());
        let rows = rows
            .map(|(row, (node, _))| Ok((self.context.logits(row)?, node.asked.as_slice())))
            .collect::<Result<Vec<_>, LlamaError>>()?;
        let answers: Vec<Option<Vec<(f64, bool)>>> = rows
            .into_par_iter()
            .map(|(row, asked)| log_probs(row, asked.iter().map(|(_, t)| t.unsigned_abs() as usize)))
            .collect();
        let asked = piece.iter().map(|(node, _)| &node.asked).filter(|asked| !asked.is_empty());
        for (asked, answers) in asked.zip(answers) {
            for (place, (sequence, _)) in asked.iter().enumerate() {
                let answer = answers.as_ref().and_then(|a| a.get(place));
                self.tainted |= answer.is_none();
                if let Some(sum) = sums.get_mut(*sequence) {
                    *sum = sum.zip(answer).map(|(sum, (logprob, top))| Likelihood {
                        logprob: sum.logprob + logprob,
                        greedy: sum.greedy && *top,
                    });
                }
            }
        }
        Ok(())
    }
}

/// The sequence in llama.cpp of a leaf.
fn branch(leaf: usize) -> i32 {
    position(leaf + 1)
}

/// Positions and sequences are far below 2^31, since a context's cells are.
fn position(index: usize) -> i32 {
    i32::try_from(index).unwrap_or(i32::MAX)
}
