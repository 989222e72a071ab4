//! The matrix of trials: variants x suites, with the settings that make each trial's id.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::plan::agent::HARNESS;
use crate::plan::config::RunOptions;
use crate::plan::fingerprint;
use crate::plan::noise::{NOISE_ITEMS, NoiseShape};
use crate::plan::recipe::{ImatrixUse, Recipe, Weights};
use crate::plan::speculation::Speculation;
use crate::plan::speed::{self, SpeedGrid};
use crate::plan::suite::{LoadedSuite, Scoring};
use crate::plan::text::TextSuite;

/// Version of the scorers. Raised whenever the same item would be scored otherwise, by more than rounding.
const SCORER: u32 = 1;

/// What choices decoded by themselves have in common.
const NOTHING: &str = "nothing";

/// What the surface of a speed trial is called among its settings.
const SPEED_GRID: &str = "grid";

/// What kind of work a trial is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialKind {
    /// Making the variant's file.
    Quantize,
    /// Throughput and memory with a fixed workload.
    Speed,
    /// Items of a suite.
    Suite,
    /// The numeric noise of a suite: the base against itself, decoded otherwise.
    Noise,
    /// Plain against speculative decoding with another variant as the draft.
    Speculate,
}

impl TrialKind {
    /// As in records and tables.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Quantize => "quantize",
            Self::Speed => "speed",
            Self::Suite => "suite",
            Self::Noise => "noise",
            Self::Speculate => "speculate",
        }
    }
}

/// One unit of work, of resume and of distribution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialSpec {
    /// Hash of `settings`: everything that can change the result and nothing else.
    pub id: String,
    /// What kind of work it is.
    pub kind: TrialKind,
    /// Variant's name.
    pub variant: String,
    /// Suite's name, or, where `kind` is `speculate`, the draft's; empty for other kinds.
    #[serde(default)]
    pub suite: String,
    /// Items asked for; not part of the id. 0 unless `kind` is `suite` or `noise`.
    #[serde(default)]
    pub items_planned: u64,
    /// What was hashed into `id`; shared by the copies of a trial.
    pub settings: Arc<Value>,
}

impl TrialSpec {
    /// What a speed trial times.
    pub fn speed_grid(&self) -> SpeedGrid {
        let grid = self.settings.get(SPEED_GRID);
        grid.and_then(|grid| SpeedGrid::deserialize(grid).ok()).unwrap_or_default()
    }
}

/// What every trial of a sweep shares.
#[derive(Debug, Clone, Copy)]
pub struct Shared<'a> {
    /// SHA-256 of the base model.
    pub base_sha256: &'a str,
    /// llama.cpp's version.
    pub llama_cpp: &'a str,
    /// How it was built: native or portable, with which GPU features.
    pub build: &'a str,
    /// CPU, cores, memory and devices: a speed result's machine.
    pub machine: &'a Value,
    /// How models are run.
    pub options: &'a RunOptions,
    /// What is timed.
    pub speed: &'a SpeedGrid,
    /// SHA-256 of every file that a recipe names, by the name it is given there, and of the sweep's own importance
    /// matrix under [`SWEEP_IMATRIX`].
    pub inputs: &'a BTreeMap<String, String>,
}

/// What the sweep's own importance matrix is called among the inputs of recipes.
pub const SWEEP_IMATRIX: &str = "imatrix";

/// The name among the inputs of the importance matrix that weights are made with, if there is one.
pub fn imatrix_input(weights: &Weights) -> Option<String> {
    match &weights.imatrix {
        ImatrixUse::None => None,
        ImatrixUse::Sweep => Some(SWEEP_IMATRIX.to_owned()),
        ImatrixUse::File(path) => Some(path.display().to_string()),
    }
}

/// The content key of a variant's file: what decides its bytes.
pub fn weights_key(shared: &Shared<'_>, weights: &Weights) -> Value {
    let mut key = json!({
        "base_sha256": shared.base_sha256,
        "ftype": weights.ftype,
        "allow_requantize": shared.options.allow_requantize,
        "llama_cpp": shared.llama_cpp,
        "build": shared.build,
    });
    // Only where there is something to say, so that plain types keep the ids they always had.
    if weights.is_mixed() {
        key["mix"] =
            json!({"output": weights.output, "embedding": weights.embedding, "tensors": weights.overrides});
    }
    if let Some(name) = imatrix_input(weights) {
        key["imatrix_sha256"] = json!(shared.inputs.get(&name));
    }
    if let Some(target) = weights.search.as_ref().filter(|_| weights.ftype.is_none()) {
        key["search"] = json!(target);
    }
    if let Some(name) = &weights.file {
        key["gguf_sha256"] = json!(shared.inputs.get(name));
    }
    key
}

fn trial(kind: TrialKind, recipe: &Recipe, suite: &str, items_planned: u64, settings: Value) -> TrialSpec {
    let id = fingerprint::of(&settings);
    TrialSpec {
        id,
        kind,
        variant: recipe.variant(),
        suite: suite.to_owned(),
        items_planned,
        settings: Arc::new(settings),
    }
}

/// The trial that makes a variant's file. Variants that share weights share it but for the name.
pub fn quantize_trial(shared: &Shared<'_>, recipe: &Recipe) -> TrialSpec {
    let settings = json!({"kind": "quantize", "weights": weights_key(shared, &recipe.weights), "variant": recipe.variant()});
    trial(TrialKind::Quantize, recipe, "", 0, settings)
}

/// The trial that times a variant. Its id names the machine and the threads.
pub fn speed_trial(shared: &Shared<'_>, recipe: &Recipe) -> TrialSpec {
    let options = shared.options;
    let mut settings = json!({
        "kind": "speed",
        "weights": weights_key(shared, &recipe.weights),
        "kv": recipe.kv,
        "offload": options.offload,
        "prompt": speed::PROMPT,
        "generate": speed::GENERATE,
        "repetitions": options.repetitions,
        "machine": shared.machine,
        "threads": options.threads,
        "scorer": SCORER,
    });
    // Only where there is more to measure than in every sweep, so that such trials keep the ids they always had.
    if !shared.speed.is_default() {
        settings[SPEED_GRID] = json!(shared.speed);
        settings["yarn"] = json!(options.yarn);
    }
    trial(TrialKind::Speed, recipe, "", 0, settings)
}

/// The trial that decodes prompts with one variant, alone and with another that drafts. Its id names the machine.
pub fn speculate_trial(
    shared: &Shared<'_>,
    [target, draft]: [&Recipe; 2],
    speculation: &Speculation,
) -> TrialSpec {
    let options = shared.options;
    let settings = json!({
        "kind": "speculate",
        "weights": weights_key(shared, &target.weights),
        "kv": target.kv,
        "draft_weights": weights_key(shared, &draft.weights),
        "draft_kv": draft.kv,
        "lengths": speculation.lengths,
        "tokens": speculation.tokens,
        "prompts": speculation.prompts,
        "tolerance": speculation.tolerance,
        "offload": options.offload,
        "yarn": options.yarn,
        "repetitions": options.repetitions,
        "machine": shared.machine,
        "threads": options.threads,
        "scorer": SCORER,
    });
    trial(TrialKind::Speculate, target, &draft.variant(), 0, settings)
}

fn text_shape(text: &TextSuite) -> Value {
    let mut shape = json!({"way": "perplexity", "n_ctx": text.ctx, "chunks_together": 1});
    if !text.is_halves() {
        shape["scored"] = json!([text.positions().start, text.step()]);
    }
    shape
}

/// The trial that scores a suite. `items_planned` is not in the id: raising it continues the trial.
pub fn suite_trial(shared: &Shared<'_>, recipe: &Recipe, suite: &LoadedSuite) -> TrialSpec {
    let options = shared.options;
    let shape = match &suite.suite.scoring {
        Scoring::Choice(choice) => {
            let in_common = if choice.exact { NOTHING } else { "prefixes" };
            json!({
                "way": "multiple_choice",
                "n_ctx": choice.ctx,
                "fewshot": choice.fewshot,
                "scoring": choice.scoring,
                "shares": in_common,
            })
        }
        // The suite file says how answers are written, and the chat template is the base's.
        Scoring::Generate(generate) => {
            let mut shape = json!({
                "way": "generate",
                "n_ctx": generate.ctx,
                "fewshot": generate.fewshot,
                "together": generate.parallel,
                "base_sha256": shared.base_sha256,
            });
            if generate.agent.is_some() {
                shape["harness"] = json!(HARNESS);
            }
            shape
        }
        Scoring::Text(text) => text_shape(text),
    };
    let settings = json!({
        "kind": "suite",
        "weights": weights_key(shared, &recipe.weights),
        "kv": recipe.kv,
        "suite_sha256": suite.file_sha256,
        "data_sha256": suite.data_sha256,
        "shape": shape,
        "offload": options.offload,
        "yarn": options.yarn,
        "scorer": SCORER,
    });
    trial(TrialKind::Suite, recipe, &suite.suite.name, suite.planned.len() as u64, settings)
}

/// The trial that measures the numeric noise of a suite: a text decoded in another shape, choices each by itself.
/// Nothing where that would be the same again, or, with answers that are written, no measure of anything. The base's own
/// trial decides what it is compared with, so that trial's settings are part of its id.
pub fn noise_trial(shared: &Shared<'_>, suite: &LoadedSuite) -> Option<TrialSpec> {
    let shape = match &suite.suite.scoring {
        Scoring::Text(text) => json!(NoiseShape::new(text.ctx, shared.options.threads)),
        Scoring::Choice(choice) if !choice.exact => json!({"shares": NOTHING}),
        Scoring::Choice(_) | Scoring::Generate(_) => return None,
    };
    let base = Recipe::base();
    let settings = json!({
        "kind": "noise",
        "compared_with": suite_trial(shared, &base, suite).settings,
        "shape": shape,
    });
    let items = noise_items(suite).len() as u64;
    Some(trial(TrialKind::Noise, &base, &suite.suite.name, items, settings))
}

/// Positions of the items of a suite that its noise is measured on.
pub fn noise_items(suite: &LoadedSuite) -> &[u64] {
    suite.planned.get(..NOISE_ITEMS).unwrap_or(&suite.planned)
}
