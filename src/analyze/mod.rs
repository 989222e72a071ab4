//! From what was measured to what is shown: one pure function from the manifest and the trials to a [`Report`].
//! Each file here computes one part of it; `summary` puts them together. Nothing reads a file, a clock or the
//! environment, so that the same results folder always gives the same report.

mod capability;
pub mod choice;
mod cliff;
mod comparison;
mod composite;
pub mod cost;
pub mod device;
mod energy;
pub mod fit;
mod flips;
pub mod foreign;
mod frontier;
mod generated;
mod joint;
mod lean;
mod long_context;
pub mod lookup;
mod loops;
mod measure;
mod noise;
pub mod page;
mod perplexity;
mod planned;
pub mod recommend;
pub mod report;
mod scores;
pub mod speculation;
mod speed;
pub mod stopping;
mod summary;
mod text;
mod text_report;
mod trial;
mod variant;
pub mod versus;

#[cfg(test)]
mod tests;

// Scores of single items are shown too, and `render` sees nothing but this room.
pub use crate::journal::record::{
    ChoiceScore, ChoiceScoring, ChunkScore, Extracted, F32Array, GeneratedAnswer, GeneratedScore, Grade,
    ItemRecord, ItemScore, QuestionScore, Stop, Verdict,
};
pub use flips::{BUDGET, FlippedItem, Flips, ShownFlip, SuiteFlips, TEXT_CAP, VariantFlips};
pub use lean::{Keep, Reread, lean};
pub use measure::{Metric, metrics};
pub use noise::{ChoiceNoise, choice_noise};
pub use report::Report;
pub use speed::rows_of;
pub use summary::{Analysis, analysis, report};
pub use text::Figure;
pub use text_report::{StoreUsed, TextReport};
