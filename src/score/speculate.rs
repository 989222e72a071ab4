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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llama::ffi::ModelOptions;
    use crate::llama::model::cache_type;
    use crate::plan::speculation::TOLERANCE;
    use std::path::Path;

    const LIMITS: Limits = Limits { tokens: 40, min_probability: 0.0 };

    fn model() -> Model {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-f16.gguf");
        Model::load(&path, &ModelOptions::default()).expect("loaded")
    }

    fn sequence<'m>(model: &'m Model, role: &'static str) -> Sequence<'m> {
        let f16 = cache_type("f16").expect("known");
        let template = ContextOptions {
            n_ctx: 256,
            n_batch: 256,
            n_ubatch: 256,
            n_seq_max: 1,
            threads: 1,
            flash_attn: -1,
            kv: (f16, f16),
            kv_unified: false,
            swa_full: true,
            yarn_from: None,
            yarn_to: None,
            n_outputs_max: 0,
        };
        Sequence::new(model, context_options(8, template), role).expect("made")
    }

    #[test]
    fn a_model_that_drafts_for_itself_is_always_right() {
        let model = model();
        let prompt = model.tokenize("The keeper of the light wrote").expect("tokens");
        let (mut target, mut draft) = (sequence(&model, "target"), sequence(&model, "draft"));
        let plain = plain(&mut target, &prompt, LIMITS).expect("written");
        assert_eq!(plain.tokens.len(), 40);
        for length in [1, 4, 8] {
            let done = speculative(&mut target, &mut draft, &prompt, length, LIMITS).expect("written");
            assert_eq!(done.written.tokens.len(), 40);
            let ties = witness(&mut target, &prompt, &done.written.tokens).expect("decoded");
            assert!(ties.iter().all(|d| f64::from(d.gap) <= TOLERANCE), "{ties:?}");
            assert_eq!(ties.is_empty(), done.written.tokens == plain.tokens);
            // Each step writes the draft's tokens and one more; a near-tie between the kernels may cost one.
            let least = 40_u64.div_ceil(length as u64 + 1);
            assert!((least..=least + ties.len() as u64 + 1).contains(&done.steps), "{done:?}");
            assert!(done.accepted + ties.len() as u64 >= done.drafted, "{done:?}");
        }
    }

    #[test]
    fn an_unsure_draft_proposes_less_and_the_output_stays() {
        let model = model();
        let prompt = model.tokenize("It was a dark night").expect("tokens");
        let (mut target, mut draft) = (sequence(&model, "target"), sequence(&model, "draft"));
        let plain = plain(&mut target, &prompt, LIMITS).expect("written");
        // Nothing is that sure, so that every step writes one token, as plain decoding does and by the same kernels.
        let sure = Limits { min_probability: 1.0, ..LIMITS };
        let done = speculative(&mut target, &mut draft, &prompt, 4, sure).expect("written");
        assert_eq!((done.drafted, done.steps), (0, 40));
        assert_eq!(done.written.tokens, plain.tokens);
    }

    #[test]
    fn a_token_that_is_not_the_models_own_is_found() {
        let model = model();
        let prompt = model.tokenize("Once").expect("tokens");
        let mut target = sequence(&model, "target");
        let mut tokens = plain(&mut target, &prompt, LIMITS).expect("written").tokens;
        assert_eq!(witness(&mut target, &prompt, &tokens).expect("decoded"), []);
        let own = tokens[7];
        tokens[7] = (own + 1) % 512;
        let found = witness(&mut target, &prompt, &tokens).expect("decoded");
        assert_eq!((found[0].at, found[0].plain, found[0].written), (7, own, tokens[7]));
        assert!(found[0].gap > 0.0);
    }

    /// Two logits that change places differ by at most twice what a logit moves between kernels.
    #[test]
    fn the_tolerance_is_above_what_kernels_differ_by() {
        let model = model();
        let text: String = "A draft proposes and the target looks at all of it at once. ".repeat(3);
        let tokens = model.tokenize(&text).expect("tokens");
        let (mut single, mut batched) = (sequence(&model, "target"), sequence(&model, "target"));
        single.restart(&tokens[..1]).expect("begun");
        batched.restart(&tokens[..1]).expect("begun");
        let mut furthest = 0.0_f32;
        for piece in tokens.chunks_exact(9) {
            batched.extend(piece, 9).expect("decoded");
            for (row, token) in piece.iter().enumerate() {
                single.extend(&[*token], 1).expect("decoded");
                let (one, many) =
                    (single.choice(0).expect("logits").1, batched.choice(row).expect("logits").1);
                furthest = one.iter().zip(many).map(|(a, b)| (a - b).abs()).fold(furthest, f32::max);
            }
        }
        assert!(f64::from(2.0 * furthest) <= TOLERANCE, "{furthest}");
    }

    #[test]
    fn the_first_of_the_largest_and_its_probability() {
        let logits = [0.0, 3.0_f32.ln(), 3.0_f32.ln(), f32::NEG_INFINITY];
        assert_eq!(largest(&logits), Some(1));
        assert!((probability(&logits, 1) - 3.0 / 7.0).abs() < 1e-6);
        assert_eq!(largest(&[0.0, f32::NAN]), None);
        assert_eq!(largest(&[]), None);
    }
}
