//! What a model writes by itself: runs of tokens drawn from its own whole distribution, each as long as a chunk, so
//! that what stands before a token in its chunk is what the model saw when it wrote it.
//!
//! A run begins with BOS (in a vocabulary without one: EOS, else the newline). After a token that ends a generation
//! the next document begins in the same run with BOS again. Every run has random numbers of its own, from the seed
//! and its number. As many runs as fit are decoded together; how many follows from the chunk's length alone, since
//! the shape of a batch moves logits in their last digits: the same model, build and seed write the same tokens.

use rayon::prelude::*;

use crate::llama::context::Context;
use crate::llama::ffi::{Batch, ContextOptions, Token};
use crate::llama::model::{LlamaError, Model};
use crate::plan::corpus::written_together;
use crate::stats::SplitMix64;

/// How a model shall write.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draw {
    /// Tokens a run.
    pub n_ctx: u32,
    /// Runs.
    pub runs: u64,
    /// Seed.
    pub seed: u64,
    /// What logits are divided by.
    pub temperature: f64,
}

/// How contexts for writing are shaped.
fn context_options(n_ctx: u32, template: ContextOptions) -> ContextOptions {
    let runs = written_together(n_ctx);
    ContextOptions {
        n_ctx: n_ctx * runs,
        n_batch: runs,
        n_ubatch: runs,
        n_seq_max: runs,
        kv_unified: false,
        n_outputs_max: runs,
        ..template
    }
}

/// Writes all runs. `progress` hears of tokens written.
pub fn write(
    model: &Model,
    template: ContextOptions,
    draw: &Draw,
    mut progress: impl FnMut(u64),
) -> Result<Vec<Vec<Token>>, LlamaError> {
    let start = model.start().ok_or(LlamaError::NoStart)?;
    let mut context = Context::new(model, context_options(draw.n_ctx, template))?;
    let numbers: Vec<u64> = (0..draw.runs).collect();
    let mut done = Vec::new();
    for group in numbers.chunks(written_together(draw.n_ctx) as usize) {
        context.clear();
        let mut runs: Vec<Run> = group.iter().map(|number| Run::new(start, draw.seed, *number)).collect();
        for position in 0..draw.n_ctx.saturating_sub(1) {
            let mut batch = Batch::default();
            for (sequence, run) in runs.iter().enumerate() {
                batch.push(run.last(), position as i32, &[sequence as i32], true);
            }
            context.decode(&batch)?;
            let rows: Vec<&[f32]> = (0..runs.len()).map(|i| context.logits(i)).collect::<Result<_, _>>()?;
            let ended: Vec<bool> = runs.iter().map(|run| model.ends_generation(run.last())).collect();
            let steps = runs.par_iter_mut().zip(rows).zip(ended);
            steps.try_for_each(|((run, logits), ended)| run.step(start, ended, logits, draw.temperature))?;
            let before = done.len() as u64 * u64::from(draw.n_ctx);
            progress(before + runs.len() as u64 * u64::from(position + 2));
        }
        done.extend(runs.into_iter().map(|run| run.tokens));
    }
    Ok(done)
}

/// One run and its random numbers.
struct Run {
    tokens: Vec<Token>,
    random: SplitMix64,
}

impl Run {
    fn new(start: Token, seed: u64, number: u64) -> Self {
        let mut hash = blake3::Hasher::new_derive_key("bitfrontier sampled corpus v1");
        hash.update(&seed.to_le_bytes()).update(&number.to_le_bytes());
        let mut first = [0_u8; 8];
        hash.finalize_xof().fill(&mut first);
        Self { tokens: vec![start], random: SplitMix64::new(u64::from_le_bytes(first)) }
    }

    fn last(&self) -> Token {
        self.tokens.last().copied().unwrap_or(0)
    }

    /// The next token: after the end of a document the beginning of the next, else one that is drawn.
    fn step(
        &mut self,
        start: Token,
        ended: bool,
        logits: &[f32],
        temperature: f64,
    ) -> Result<(), LlamaError> {
        let next = if ended && self.last() != start {
            start
        } else {
            pick(logits, temperature, self.random.unit()).ok_or(LlamaError::NoDistribution)? as Token
        };
        self.tokens.push(next);
        Ok(())
    }
}

/// The entry at which the running sum of the probabilities passes `unit`; `None` if a logit is not a number, or none
/// is finite.
fn pick(logits: &[f32], temperature: f64, unit: f64) -> Option<usize> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if !largest.is_finite() || logits.iter().any(|x| x.is_nan()) {
        return None;
    }
    let weight = |x: &f32| ((f64::from(*x) - f64::from(largest)) / temperature).exp();
    let goal = unit * logits.iter().map(weight).sum::<f64>();
    let mut sum = 0.0;
    let mut chosen = None;
    for (entry, x) in logits.iter().enumerate() {
        let weight = weight(x);
        if weight > 0.0 {
            sum += weight;
            chosen = Some(entry);
            if sum > goal {
                break;
            }
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llama::ffi::ModelOptions;
    use crate::llama::model::cache_type;
    use std::path::Path;

    #[test]
    fn draws_follow_the_distribution() {
        let logits = [0.0, f32::NEG_INFINITY, 2.0_f32.ln(), 5.0_f32.ln()];
        let picks = |temperature, n: u32| {
            let mut counts = [0_u32; 4];
            for i in 0..n {
                let unit = (f64::from(i) + 0.5) / f64::from(n);
                counts[pick(&logits, temperature, unit).expect("picked")] += 1;
            }
            counts
        };
        assert_eq!(picks(1.0, 800), [100, 0, 200, 500]);
        // Half the temperature squares the odds: 1 to 4 to 25.
        assert_eq!(picks(0.5, 300), [10, 0, 40, 250]);
        assert_eq!(pick(&logits, 1.0, 0.0), Some(0));
        assert_eq!(pick(&[1.0, f32::NAN], 1.0, 0.5), None);
        assert_eq!(pick(&[f32::NEG_INFINITY], 1.0, 0.5), None);
    }

    #[test]
    fn special_tokens_are_parsed_in_what_a_template_wrote_and_nowhere_else() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-f16.gguf");
        let options = ModelOptions { vocab_only: true, ..ModelOptions::default() };
        let model = Model::load(&path, &options).expect("loaded");
        let (bos, eos) = model.bos_and_eos();
        assert_eq!((bos.as_str(), eos.as_str()), ("<s>", "</s>"));
        let rendered = model.tokenize_rendered("<s>user: a</s><s>").expect("tokenised");
        let places: Vec<Token> = rendered.iter().copied().filter(|token| [1, 2].contains(token)).collect();
        // One BOS where the template wrote one, none added.
        assert_eq!((rendered[0], places), (1, vec![1, 2, 1]));
        let plain = model.tokenize("<s>user: a</s><s>").expect("tokenised");
        assert_eq!(plain.iter().filter(|token| [1, 2].contains(*token)).count(), 1, "the BOS that is added");
        assert!(model.ends_generation(2) && !model.ends_generation(5) && !model.ends_generation(-1));
    }

    #[test]
    fn the_same_seed_writes_the_same_and_another_does_not() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-f16.gguf");
        let model = Model::load(&path, &ModelOptions::default()).expect("loaded");
        let f16 = cache_type("f16").expect("known");
        let template = ContextOptions {
            n_ctx: 32,
            n_batch: 32,
            n_ubatch: 32,
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
        let written = |seed, runs| {
            let mut told = Vec::new();
            let draw = Draw { n_ctx: 32, runs, seed, temperature: 1.0 };
            let runs = write(&model, template, &draw, |done| told.push(done)).expect("written");
            (runs, told)
        };
        // More than are decoded together.
        let (runs, told) = written(1, 19);
        assert_eq!((runs.len(), told.last().copied()), (19, Some(19 * 32)));
        assert!(told.is_sorted());
        assert!(runs.iter().all(|run| run.len() == 32 && run[0] == model.start().expect("a BOS")));
        assert_eq!(written(1, 19).0, runs);
        assert_ne!(written(2, 19).0, runs);
        // Runs differ from each other, and are no single token over and over.
        let distinct: std::collections::BTreeSet<&Vec<Token>> = runs.iter().collect();
        assert_eq!(distinct.len(), 19);
        // What follows the end of a document is the beginning of the next.
        for run in &runs {
            for pair in run.windows(2).filter(|pair| model.ends_generation(pair[0])) {
                assert_eq!(pair[1], run[0]);
            }
        }
    }
}
