//! What analysis needs of a trial's items, and no more: of tens of thousands of trials all are in memory at once, and most of
//! what a record holds are texts. Who shows texts reads them again from the records, see [`Reread`].

use std::collections::BTreeSet;

use super::{choice, long_context};
use crate::journal::record::{ItemRecord, ItemScore, Picks};

/// Reads some items of a trial again, whole: of the trial with this id those at these places in the data. Items that cannot
/// be read are left out.
pub type Reread<'a> = dyn Fn(&str, &BTreeSet<u64>) -> Vec<ItemRecord> + Sync + 'a;

/// What of a suite's items has to stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Log-probabilities, as of the base, whose noise is measured by them. They stay anyway where a metric is made of them.
    pub logprobs: bool,
    /// Ids, where an item's text or group is seen on its id. Where an item stands in a haystack is told by its id too, which
    /// stays.
    pub ids: bool,
}

/// Takes the texts out of records.
pub fn lean(items: &mut [ItemRecord], keep: Keep) {
    for item in items {
        if !keep.ids && !long_context::has_cell(item) {
            item.id = String::new();
        }
        if !keep.logprobs
            && let Some(picks) = picks(&item.score)
        {
            item.score = ItemScore::Judged(picks);
        }
        match &mut item.score {
            ItemScore::Choice(question) => {
                question.prompt = String::new();
                for choice in &mut question.choices {
                    choice.text = String::new();
                }
            }
            // Answers stay: whether they run in circles is seen on them.
            ItemScore::Generated(score) => {
                score.prompt = String::new();
                score.reference = String::new();
                score.extracted = Vec::new();
            }
            ItemScore::Chunk(_) | ItemScore::Failed { .. } | ItemScore::Judged(_) => {}
        }
    }
}

/// The picks of a question of which nothing but the picks counts.
fn picks(score: &ItemScore) -> Option<Picks> {
    if choice::counts_logprobs(score) {
        return None;
    }
    let verdict = choice::judge(score).ok()?;
    let small = |place: usize| u16::try_from(place).ok();
    let [a, b, c] = verdict.picked.map(small);
    Some(Picks { picked: [a?, b?, c?], answer: small(verdict.answer)? })
}
