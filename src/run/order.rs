//! Which trial waits for which: a variant's trials for its file, and whatever is compared with the base's own distributions of
//! a text for the base's trial of that text. What is done too early is right all the same, only twice.

use std::path::PathBuf;

use serde::Serialize;

use crate::plan::matrix::{TrialKind, TrialSpec};
use crate::plan::recipe::Recipe;
use crate::plan::suite::Scoring;
use crate::run::file_plan::FilePlan;
use crate::run::prepare::Prepared;
use crate::run::variant_file;

/// What can be done at once. Each stage needs the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Files of variants are made.
    Files,
    /// The base is evaluated.
    Base,
    /// Variants are evaluated.
    Variants,
    /// Variants are timed, each alone on its machine.
    Timed,
}

impl Stage {
    /// In their order.
    pub const ALL: [Self; 4] = [Self::Files, Self::Base, Self::Variants, Self::Timed];

    /// The file of `stages/` that lists its trials.
    pub fn file(self) -> &'static str {
        match self {
            Self::Files => "1-files.txt",
            Self::Base => "2-base.txt",
            Self::Variants => "3-variants.txt",
            Self::Timed => "4-timed.txt",
        }
    }
}

/// A trial among the others.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// Its id.
    pub id: String,
    /// When it can be done.
    pub stage: Stage,
    /// Ids of the trials that it waits for.
    pub after: Vec<String>,
    /// The file that it makes or needs; absent where its variant's file is nobody's to make.
    pub file: Option<PathBuf>,
}

/// All trials of a plan, in its order.
pub fn steps(prepared: &Prepared) -> Vec<Step> {
    prepared.trials.iter().map(|trial| step(prepared, trial)).collect()
}

fn step(prepared: &Prepared, trial: &TrialSpec) -> Step {
    let file = file_of(prepared, &trial.variant).filter(|file| file.weights.ftype.is_some());
    let file = file.map(|file| variant_file::path(&prepared.cache, file));
    Step { id: trial.id.clone(), stage: stage(trial), after: after(prepared, trial), file }
}

fn stage(trial: &TrialSpec) -> Stage {
    match trial.kind {
        TrialKind::Quantize => Stage::Files,
        TrialKind::Suite | TrialKind::Noise if trial.variant == Recipe::base().variant() => Stage::Base,
        TrialKind::Suite | TrialKind::Noise => Stage::Variants,
        TrialKind::Speed | TrialKind::Speculate => Stage::Timed,
    }
}

fn file_of<'a>(prepared: &'a Prepared, variant: &str) -> Option<&'a FilePlan> {
    let weights = &prepared.config.model(variant)?.weights;
    prepared.files.iter().find(|file| file.weights.same_file(weights))
}

fn after(prepared: &Prepared, trial: &TrialSpec) -> Vec<String> {
    let id = |kind: TrialKind, variant: &str, suite: &str| {
        let is_it = |t: &&TrialSpec| t.kind == kind && t.variant == variant && t.suite == suite;
        prepared.trials.iter().find(is_it).map(|t| t.id.clone())
    };
    let made = |variant: &str| id(TrialKind::Quantize, variant, "");
    let base = Recipe::base().variant();
    let mut ids = match trial.kind {
        // Variants that differ only in how they are run share a file; the first of them makes it.
        TrialKind::Quantize => vec![first_maker(prepared, &trial.variant).and_then(|first| made(&first))],
        TrialKind::Speculate => vec![made(&trial.variant), made(&trial.suite)],
        TrialKind::Speed => vec![made(&trial.variant)],
        TrialKind::Suite | TrialKind::Noise => {
            let suite = prepared.suite(&trial.suite);
            let is_text = suite.is_some_and(|suite| matches!(suite.suite.scoring, Scoring::Text(_)));
            let store = is_text.then(|| id(TrialKind::Suite, &base, &trial.suite)).flatten();
            vec![made(&trial.variant), store]
        }
    };
    ids.retain(|other| other.as_ref().is_some_and(|other| *other != trial.id));
    ids.into_iter().flatten().collect()
}

/// The first variant that has the same file.
fn first_maker(prepared: &Prepared, variant: &str) -> Option<String> {
    let weights = &prepared.config.model(variant)?.weights;
    let first = prepared.config.recipes.iter().find(|recipe| recipe.weights.same_file(weights))?;
    Some(first.variant())
}
