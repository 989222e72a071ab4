//! Multiple-choice items, asked of the loaded model: the shape of its context, and what the work has cost.

use std::time::Instant;

use crate::llama::ffi::ContextOptions;
use crate::llama::model::{LlamaError, Model};
use crate::score::branches::Branches;
use crate::score::choice;
use crate::score::item::ItemScore;
use crate::worker::protocol::{ChoiceItem, ChoiceWork, Finished, LoadSpec, SuiteCost};

/// Scores the items and tells each; those that are known already without a score, as a sign of life.
///
/// # Errors
/// llama.cpp's, and those of `told`. What is wrong with an item is its score.
pub fn answer<E: From<LlamaError>>(
    model: &Model,
    spec: &LoadSpec,
    work: &ChoiceWork,
    template: ContextOptions,
    mut told: impl FnMut(&ChoiceItem, Option<ItemScore>) -> Result<(), E>,
) -> Result<Finished, E> {
    let begun = Instant::now();
    let mut branches = Branches::new(model, template, work.exact)?;
    let trained = if spec.yarn { work.n_ctx } else { model.context_length() };
    let longest = work.n_ctx.min(trained) as usize;
    let items = (work.items.as_slice(), &work.known);
    choice::score_items(model, &mut branches, items, work.scoring, longest, &mut told)?;
    Ok(Finished::Items(SuiteCost {
        wall_s: begun.elapsed().as_secs_f64(),
        decode_s: branches.context.decode_s,
        tokens_decoded: branches.context.tokens_decoded,
        tokens_naive: branches.tokens_naive,
        ..SuiteCost::default()
    }))
}
