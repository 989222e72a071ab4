//! Greedy decoding of one prompt, plainly (one row a step, as a server does) and speculatively: a draft proposes some
//! tokens, the target looks at all of them in one batch, the longest agreeing beginning is kept together with the
//! target's own next token, and both forget the rest.
//!
//! Greedy speculative output is the target's own output, but for rounding: the kernels that multiply one row and those
//! that multiply several add up in another order, so that two tokens whose logits lie next to each other can change
//! places. [`witness`] therefore decodes a differing output again, one row a step, and reports every position at which
//! that would have chosen otherwise, with the distance of the two logits. Whoever reads the distances decides how large
//! they may be.
//!
//! Time runs from the decode of the prompt's last token to the last token written: what precedes it is the same work
//! with and without a draft, except that the draft reads the prompt too.

use std::time::Instant;

use crate::llama::context::Context;
use crate::llama::ffi::{Batch, ContextOptions, Token};
use crate::llama::model::{LlamaError, Model};

/// How contexts are shaped: one sequence, and as many rows of logits as a draft has tokens, and one.
pub fn context_options(longest_draft: u32, template: ContextOptions) -> ContextOptions {
    ContextOptions { n_seq_max: 1, kv_unified: false, n_outputs_max: longest_draft + 1, ..template }
}

/// How far a prompt is continued, and how a draft proposes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Most tokens written; fewer if the model ends.
    pub tokens: usize,
    /// A draft stops before a token that it gives less than this probability; 0 never stops it.
    pub min_probability: f32,
}

/// What was written, and how long it took.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Written {
    /// The tokens.
    pub tokens: Vec<Token>,
    /// Wall seconds.
    pub seconds: f64,
}

/// What a draft contributed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Drafted {
    /// What was written.
    pub written: Written,
    /// Decodes of the target.
    pub steps: u64,
    /// Tokens proposed.
    pub drafted: u64,
    /// Of these, taken.
    pub accepted: u64,
}

/// A position at which one row a step would have chosen otherwise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Divergence {
    /// Position in what was written, from 0.
    pub at: usize,
    /// What one row a step chooses after the same tokens.
    pub plain: Token,
    /// What was written.
    pub written: Token,
    /// Logit of the one minus that of the other, of one row: at least 0.
    pub gap: f32,
}

/// A model with one sequence, and the tokens that its cache holds.
#[derive(Debug)]
pub struct Sequence<'model> {
    model: &'model Model,
    context: Context<'model>,
    role: &'static str,
    held: usize,
}

impl<'model> Sequence<'model> {
    /// Makes the context, and refuses a model whose memory cannot be rolled back. `role` is `target` or `draft`.
    pub fn new(
        model: &'model Model,
        options: ContextOptions,
        role: &'static str,
    ) -> Result<Self, LlamaError> {
        let mut sequence = Self { model, context: Context::new(model, options)?, role, held: 0 };
        let start = model.start().unwrap_or_default();
        sequence.extend(&[start, start], 1)?;
        sequence.keep(1)?;
        Ok(sequence)
    }

    /// Decodes tokens behind those that are held, in one batch; the last `outputs` of them get a row of logits.
    fn extend(&mut self, tokens: &[Token], outputs: usize) -> Result<(), LlamaError> {
        if tokens.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::default();
        for (place, token) in tokens.iter().enumerate() {
            batch.push(*token, (self.held + place) as i32, &[0], place + outputs >= tokens.len());
        }
        self.context.decode(&batch)?;
        self.held += tokens.len();
        Ok(())
    }

    /// Forgets all but the first `count` tokens.
    fn keep(&mut self, count: usize) -> Result<(), LlamaError> {
        if count < self.held {
            if !self.context.truncate(count) {
                return Err(LlamaError::NoRollback(self.role));
            }
            self.held = count;
        }
        Ok(())
    }

    /// Begins again with all of a prompt but its last token, and gives that one.
    fn restart(&mut self, prompt: &[Token]) -> Result<Token, LlamaError> {
        let (last, head) = prompt.split_last().ok_or(LlamaError::NoStart)?;
        self.context.clear();
        self.held = 0;
        self.extend(head, 0)?;
        Ok(*last)
    }

    /// The likeliest token after the `row`th token of the last batch, with all logits.
    fn choice(&self, row: usize) -> Result<(Token, &[f32]), LlamaError> {
        let logits = self.context.logits(row)?;
        let best = largest(logits).ok_or(LlamaError::NoDistribution)?;
        Ok((best as Token, logits))
    }

    /// Continues `text` by at most `count` tokens.
    fn propose(
        &mut self,
        text: &[Token],
        count: usize,
        min_probability: f32,
    ) -> Result<Vec<Token>, LlamaError> {
        let mut proposed: Vec<Token> = Vec::with_capacity(count);
        while proposed.len() < count {
            let unseen = match proposed.last() {
                Some(last) => std::slice::from_ref(last),
                None => text.get(self.held..).unwrap_or_default(),
            };
            self.extend(unseen, 1)?;
            let (token, logits) = self.choice(unseen.len().saturating_sub(1))?;
            if min_probability > 0.0 && probability(logits, token as usize) < min_probability {
                break;
            }
            proposed.push(token);
            if self.model.ends_generation(token) {
                break;
            }
        }
        Ok(proposed)
    }
}

/// Continues a prompt by the target alone, one row a step.
pub fn plain(target: &mut Sequence<'_>, prompt: &[Token], limits: Limits) -> Result<Written, LlamaError> {
    let mut last = target.restart(prompt)?;
    let mut tokens = Vec::with_capacity(limits.tokens);
    let begun = Instant::now();
    while tokens.len() < limits.tokens {
        target.extend(&[last], 1)?;
        (last, _) = target.choice(0)?;
        tokens.push(last);
        if target.model.ends_generation(last) {
            break;
        }
    }
    Ok(Written { tokens, seconds: begun.elapsed().as_secs_f64() })
}

/// Continues a prompt by the target with a draft that proposes up to `length` tokens a step.
pub fn speculative(
    target: &mut Sequence<'_>,
    draft: &mut Sequence<'_>,
    prompt: &[Token],
    length: usize,
    limits: Limits,
) -> Result<Drafted, LlamaError> {
    target.restart(prompt)?;
    draft.restart(prompt)?;
    let mut text = prompt.to_vec();
    let goal = prompt.len() + limits.tokens;
    let mut done = Drafted::default();
    let mut ended = false;
    let begun = Instant::now();
    while text.len() < goal && !ended {
        // The target's own next token needs no draft, so the last one is never drafted.
        let room = length.min(goal - text.len() - 1);
        let proposed = draft.propose(&text, room, limits.min_probability)?;
        let mut batch = vec![text.last().copied().ok_or(LlamaError::NoStart)?];
        batch.extend_from_slice(&proposed);
        target.extend(&batch, batch.len())?;
        let mut taken = 0;
        for row in 0..batch.len() {
            let (next, _) = target.choice(row)?;
            text.push(next);
            let agrees = proposed.get(row) == Some(&next);
            taken += u64::from(agrees);
            ended = target.model.ends_generation(next);
            if ended || !agrees {
                break;
            }
        }
        done.steps += 1;
        done.drafted += proposed.len() as u64;
        done.accepted += taken;
        // What was just chosen is in nobody's cache yet.
        target.keep(text.len() - 1)?;
        draft.keep(text.len() - 1)?;
    }
    let tokens = text.get(prompt.len()..).unwrap_or_default().to_vec();
    done.written = Written { tokens, seconds: begun.elapsed().as_secs_f64() };
    Ok(done)
}

/// Decodes what was written behind a prompt again, one row a step, and reports where that would choose otherwise.
pub fn witness(
    target: &mut Sequence<'_>,
    prompt: &[Token],
    written: &[Token],
) -> Result<Vec<Divergence>, LlamaError> {
    let mut last = target.restart(prompt)?;
    let mut found = Vec::new();
    for (at, token) in written.iter().enumerate() {
        target.extend(&[last], 1)?;
        let (plain, logits) = target.choice(0)?;
        if plain != *token {
            let logit = |token: Token| logits.get(token as usize).copied().unwrap_or(f32::NEG_INFINITY);
            found.push(Divergence { at, plain, written: *token, gap: logit(plain) - logit(*token) });
        }
        last = *token;
    }
    Ok(found)
}

/// The first of the largest entries; `None` if there is none, or one is not a number.
fn largest(logits: &[f32]) -> Option<usize> {
    let mut best: Option<(usize, f32)> = None;
    for (entry, logit) in logits.iter().enumerate() {
        if logit.is_nan() {
            return None;
        }
        if best.is_none_or(|(_, largest)| *logit > largest) {
            best = Some((entry, *logit));
        }
    }
    best.map(|(entry, _)| entry)
}

/// Probability of an entry under the softmax of all.
fn probability(logits: &[f32], entry: usize) -> f32 {
    let Some(own) = logits.get(entry) else { return 0.0 };
    1.0 / logits.iter().map(|logit| (logit - own).exp()).sum::<f32>()
}
