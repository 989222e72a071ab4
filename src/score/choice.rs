//! Multiple choice by log-likelihood, as lm-eval defines it, with the work that choices share done once.
//!
//! A choice's score is the sum of ln p over the tokens of its continuation, given the context. Tokens are
//! lm-eval's: spaces at the end of the context move to the continuation, and the continuation is what
//! `tokens(context + continuation)` has beyond the length of `tokens(context)`. The choices' common token
//! prefix is decoded once for all of them in one batch; an item's numbers depend on nothing but the item.

use crate::llama::context::Context;
use crate::llama::ffi::{Batch, ContextOptions, Token};
use crate::llama::model::{LlamaError, Model};
use crate::plan::items::ChoiceItem;
use crate::score::divergence::log_probs;
use crate::score::item::{ChoiceScore, ItemScore};

/// Most choices an item may have.
pub const MAX_CHOICES: u32 = 32;
/// Most tokens computed at once; llama.cpp's default.
const N_UBATCH: u32 = 512;

/// How the context is shaped: one buffer of `n_ctx` cells for all choices of an item.
pub fn context_options(n_ctx: u32, template: ContextOptions) -> ContextOptions {
    ContextOptions {
        n_ctx,
        n_batch: n_ctx,
        n_ubatch: N_UBATCH,
        n_seq_max: MAX_CHOICES,
        kv_unified: true,
        ..template
    }
}

/// One choice as tokens: what is decoded, and where its continuation begins.
#[derive(Debug, Clone, PartialEq)]
struct Sequence {
    tokens: Vec<Token>,
    /// Index of the first token of the continuation; at least 1.
    continuation: usize,
}

/// Scores an item of which `longest` tokens are decoded at the most. What cannot be scored is a [`ItemScore::Failed`]; only llama.cpp's errors end the trial.
pub fn score_item(
    model: &Model,
    context: &mut Context<'_>,
    item: &ChoiceItem,
    longest: usize,
) -> Result<ItemScore, LlamaError> {
    if item.choices.len() > MAX_CHOICES as usize {
        return Ok(failed(format!("{} choices; at most {MAX_CHOICES} can be scored", item.choices.len())));
    }
    let mut truncated = 0;
    let mut sequences = Vec::with_capacity(item.choices.len());
    for choice in &item.choices {
        let Some(sequence) = sequence(model, &item.context, &format!("{}{choice}", item.delimiter))? else {
            return Ok(failed("the context or a choice has no tokens".to_owned()));
        };
        let (sequence, cut) = cut_left(sequence, longest);
        let Some(sequence) = sequence else {
            return Ok(failed(format!("a choice alone is longer than {longest} tokens")));
        };
        truncated = truncated.max(cut);
        sequences.push(sequence);
    }
    let sums = if tree_size(&sequences) <= longest {
        score_together(context, &sequences)?
    } else {
        let mut sums = Vec::with_capacity(sequences.len());
        for sequence in &sequences {
            sums.extend(score_together(context, std::slice::from_ref(sequence))?);
        }
        sums
    };
    if sums.iter().any(Option::is_none) {
        return Ok(failed("a logit is not finite".to_owned()));
    }
    let choices = item
        .choices
        .iter()
        .zip(&sequences)
        .zip(sums)
        .map(|((text, sequence), sum)| ChoiceScore {
            text: text.clone(),
            logprob: sum.unwrap_or(f64::NAN),
            tokens: (sequence.tokens.len() - sequence.continuation) as u32,
            chars: text.chars().count() as u32,
            bytes: text.len() as u32,
        })
        .collect();
    Ok(ItemScore::Choice { prompt: item.context.clone(), answer: item.answer, choices, truncated })
}

fn failed(reason: String) -> ItemScore {
    ItemScore::Failed { reason }
}

/// lm-eval's `_encode_pair`; `None` if either part has no tokens.
fn sequence(model: &Model, context: &str, continuation: &str) -> Result<Option<Sequence>, LlamaError> {
    let trimmed = context.trim_end();
    let spaces = &context[trimmed.len()..];
    let whole = model.tokenize(format!("{trimmed}{spaces}{continuation}"))?;
    let prefix = model.tokenize(trimmed)?.len();
    Ok((prefix > 0 && prefix < whole.len()).then_some(Sequence { tokens: whole, continuation: prefix }))
}

/// Drops tokens from the left until at most `longest` are decoded (the last token never is); `None` if the
/// continuation alone does not fit.
fn cut_left(mut sequence: Sequence, longest: usize) -> (Option<Sequence>, u32) {
    let cut = (sequence.tokens.len() - 1).saturating_sub(longest);
    if cut >= sequence.continuation {
        return (None, cut as u32);
    }
    sequence.tokens.drain(..cut);
    sequence.continuation -= cut;
    (Some(sequence), cut as u32)
}

/// Length of the tokens that all sequences begin with, short of the last token of any (which is not decoded).
fn shared_prefix(sequences: &[Sequence]) -> usize {
    let Some((first, rest)) = sequences.split_first() else { return 0 };
    let shortest = sequences.iter().map(|s| s.tokens.len() - 1).min().unwrap_or(0);
    (0..shortest).take_while(|i| rest.iter().all(|s| s.tokens.get(*i) == first.tokens.get(*i))).count()
}

/// Tokens decoded when the shared prefix is decoded once.
fn tree_size(sequences: &[Sequence]) -> usize {
    let shared = shared_prefix(sequences);
    shared + sequences.iter().map(|s| s.tokens.len() - 1 - shared).sum::<usize>()
}

/// Sum of ln p of each sequence's continuation, all decoded in one batch; `None` where not finite.
fn score_together(context: &mut Context<'_>, sequences: &[Sequence]) -> Result<Vec<Option<f64>>, LlamaError> {
    let shared = shared_prefix(sequences);
    let everyone: Vec<i32> = (0..sequences.len() as i32).collect();
    let first_scored = sequences.iter().map(|s| s.continuation - 1).min().unwrap_or(0);
    let mut batch = Batch::default();
    if let Some(first) = sequences.first() {
        for (position, token) in first.tokens.iter().take(shared).enumerate() {
            batch.push(*token, position as i32, &everyone, position >= first_scored);
        }
    }
    let mut begins = Vec::with_capacity(sequences.len());
    for (id, sequence) in sequences.iter().enumerate() {
        begins.push(batch.len());
        let decoded = sequence.tokens.len() - 1;
        for (position, token) in sequence.tokens.iter().enumerate().take(decoded).skip(shared) {
            batch.push(*token, position as i32, &[id as i32], position + 1 >= sequence.continuation);
        }
    }
    context.clear();
    context.decode(&batch)?;
    sequences
        .iter()
        .zip(begins)
        .map(|(sequence, begin)| {
            let row = |position: usize| {
                if position < shared { position } else { begin + position - shared }
            };
            let mut sum = Some(0.0);
            for next in sequence.continuation..sequence.tokens.len() {
                let token = sequence.tokens.get(next).map_or(0, |t| t.unsigned_abs() as usize);
                let lp = log_probs(context.logits(row(next - 1))?, std::iter::once(token));
                sum = sum.zip(lp.and_then(|lp| lp.first().copied())).map(|(sum, lp)| sum + lp);
            }
            Ok(sum)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(tokens: &[Token], continuation: usize) -> Sequence {
        Sequence { tokens: tokens.to_vec(), continuation }
    }

    #[test]
    fn the_last_token_is_not_part_of_the_prefix() {
        let same = [sequence(&[1, 2, 3], 2), sequence(&[1, 2, 3], 2)];
        assert_eq!((shared_prefix(&same), tree_size(&same)), (2, 2));
        let two = [sequence(&[1, 2, 3, 4], 2), sequence(&[1, 2, 5], 2)];
        assert_eq!((shared_prefix(&two), tree_size(&two)), (2, 3));
        let none = [sequence(&[1, 9], 1), sequence(&[2, 9], 1)];
        assert_eq!((shared_prefix(&none), tree_size(&none)), (0, 2));
    }

    #[test]
    fn long_items_lose_their_left() {
        let (kept, cut) = cut_left(sequence(&[1, 2, 3, 4, 5, 6], 4), 3);
        assert_eq!((kept, cut), (Some(sequence(&[3, 4, 5, 6], 2)), 2));
        let (kept, _) = cut_left(sequence(&[1, 2, 3, 4, 5, 6], 2), 3);
        assert_eq!(kept, None);
        let (kept, cut) = cut_left(sequence(&[1, 2, 3], 1), 3);
        assert_eq!((kept, cut), (Some(sequence(&[1, 2, 3], 1)), 0));
    }
}
