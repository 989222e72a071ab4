//! Speculative decoding, timed against plain decoding of the same prompts in the same worker.
//!
//! Each repetition continues a prompt plainly and then with every draft length, so that a machine that slows down
//! slows all of them. Counts come from the first repetition (the others write the same tokens); each output that is
//! not the plain one is decoded again, untimed, to see what one row a step would have chosen.

use crate::llama::ffi::{ContextOptions, Token};
use crate::llama::model::{LlamaError, Model};
use crate::score::speculate::{self, Drafted, Limits, Sequence};
use crate::worker::memory;
use crate::worker::protocol::{Divergence, DraftRuns, PromptRuns, SpeculateWork, Speculated};

/// Tokens written before the clock counts.
const WARM_UP: usize = 8;

/// The prompts' tokens, by the target's vocabulary.
pub fn tokenized(target: &Model, work: &SpeculateWork) -> Result<Vec<Vec<Token>>, LlamaError> {
    work.prompts.iter().map(|prompt| target.tokenize(&prompt.text)).collect()
}

/// Tokens of context that the longest prompt, what is written behind it and what is drafted in vain take.
pub fn context_length(prompts: &[Vec<Token>], work: &SpeculateWork) -> u32 {
    let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
    let drafted = work.lengths.iter().copied().max().unwrap_or(0);
    u32::try_from(longest).unwrap_or(u32::MAX).saturating_add(work.tokens).saturating_add(drafted + 1)
}

/// Continues every prompt in every way. `on_run` hears of runs done and in all.
pub fn measure(
    [target, draft]: [&Model; 2],
    [of_target, of_draft]: [ContextOptions; 2],
    prompts: &[Vec<Token>],
    work: &SpeculateWork,
    mut on_run: impl FnMut(u64, u64),
) -> Result<Speculated, LlamaError> {
    let longest = work.lengths.iter().copied().max().unwrap_or(0);
    let options = |template| speculate::context_options(longest, template);
    let mut pair = Pair {
        target: Sequence::new(target, options(of_target), "target")?,
        draft: Sequence::new(draft, options(of_draft), "draft")?,
        limits: Limits { tokens: work.tokens as usize, min_probability: work.min_probability },
        witnessed: Vec::new(),
    };
    if let Some(prompt) = prompts.first() {
        pair.warm_up(prompt, longest as usize)?;
    }
    let each = u64::from(work.repetitions) * (1 + work.lengths.len() as u64);
    let total = each * prompts.len() as u64;
    let mut done = 0;
    let mut tell = || {
        done += 1;
        on_run(done, total);
    };
    let mut results = Vec::new();
    for (prompt, tokens) in work.prompts.iter().zip(prompts) {
        let mut runs = pair.continued(tokens, work, &mut tell)?;
        runs.id.clone_from(&prompt.id);
        results.push(runs);
    }
    Ok(Speculated { prompts: results, peak_rss_bytes: memory::peak_rss_bytes() })
}

struct Pair<'models> {
    target: Sequence<'models>,
    draft: Sequence<'models>,
    limits: Limits,
    /// Outputs behind the prompt at hand that were decoded again, and what was found: two lengths often write the same.
    witnessed: Vec<(Vec<Token>, Vec<Divergence>)>,
}

impl Pair<'_> {
    fn warm_up(&mut self, prompt: &[Token], length: usize) -> Result<(), LlamaError> {
        let few = Limits { tokens: WARM_UP, ..self.limits };
        speculate::plain(&mut self.target, prompt, few)?;
        speculate::speculative(&mut self.target, &mut self.draft, prompt, length, few)?;
        Ok(())
    }

    /// One prompt, in every way, `repetitions` times.
    fn continued(
        &mut self,
        prompt: &[Token],
        work: &SpeculateWork,
        tell: &mut dyn FnMut(),
    ) -> Result<PromptRuns, LlamaError> {
        self.witnessed.clear();
        let mut runs = PromptRuns { prompt_tokens: prompt.len() as u64, ..PromptRuns::default() };
        for repetition in 0..work.repetitions {
            let plain = speculate::plain(&mut self.target, prompt, self.limits)?;
            runs.plain_s.push(plain.seconds);
            runs.plain_tokens = plain.tokens.len() as u64;
            tell();
            for (place, length) in work.lengths.iter().enumerate() {
                let (target, draft) = (&mut self.target, &mut self.draft);
                let drafted = speculate::speculative(target, draft, prompt, *length as usize, self.limits)?;
                tell();
                if repetition == 0 {
                    let divergences = self.compared(prompt, &plain.tokens, &drafted)?;
                    let same = drafted.written.tokens == plain.tokens;
                    runs.drafts.push(counted(*length, &drafted, same, divergences));
                }
                if let Some(run) = runs.drafts.get_mut(place) {
                    run.seconds.push(drafted.written.seconds);
                }
            }
        }
        Ok(runs)
    }

    /// Where one row a step would have chosen otherwise; nowhere if it wrote the same.
    fn compared(
        &mut self,
        prompt: &[Token],
        plain: &[Token],
        drafted: &Drafted,
    ) -> Result<Vec<Divergence>, LlamaError> {
        let written = &drafted.written.tokens;
        if written == plain {
            return Ok(Vec::new());
        }
        if let Some((_, found)) = self.witnessed.iter().find(|(tokens, _)| tokens == written) {
            return Ok(found.clone());
        }
        let found: Vec<Divergence> = speculate::witness(&mut self.target, prompt, written)?
            .into_iter()
            .map(|d| Divergence { at: d.at as u64, plain: d.plain, written: d.written, gap: d.gap })
            .collect();
        self.witnessed.push((written.clone(), found.clone()));
        Ok(found)
    }
}

fn counted(length: u32, drafted: &Drafted, same: bool, divergences: Vec<Divergence>) -> DraftRuns {
    DraftRuns {
        length,
        tokens: drafted.written.tokens.len() as u64,
        steps: drafted.steps,
        drafted: drafted.drafted,
        accepted: drafted.accepted,
        seconds: Vec::new(),
        same,
        divergences,
    }
}
