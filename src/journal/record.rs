//! What is kept on disk: the manifest of a sweep, one small file a trial, one line an item.
//! Everything else in a results folder is derived from these three.

use serde::{Deserialize, Serialize};

pub use crate::plan::capability::Capability;
pub use crate::plan::fingerprint::seeded_order;
pub use crate::plan::judging::{Deciding, Judging, Scope};
pub use crate::plan::matrix::{TrialKind, TrialSpec};
pub use crate::worker::protocol::{
    ChoiceScore, ChoiceScoring, ChunkScore, Divergence, DraftRuns, Extracted, F32Array, Fallback,
    GeneratedAnswer, GeneratedScore, Grade, ItemRecord, ItemScore, Measured, Picks, PromptRuns,
    QuestionScore, Speculated, Speed, SpeedGrid, SpeedKind, SpeedPoint, Status, Stop, SuiteCost, Verdict,
};

/// Version of the records below. A folder written by a newer version is refused, never half read. From 2 on manifests and
/// trial files carry a checksum.
pub const FORMAT: u32 = 2;

/// `manifest.json`: every input of the sweep, with its content hash, and where and when it ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`] of the writer.
    pub format: u32,
    /// The sweep's name (the results folder's).
    pub name: String,
    /// RFC 3339 time at which the sweep was first started, UTC.
    pub created: String,
    /// Versions of what measured.
    pub software: Software,
    /// The machine that started the sweep.
    pub machine: Machine,
    /// Threads given to llama.cpp.
    pub threads: u32,
    /// Seed of every random order and resample.
    pub seed: u64,
    /// The full-precision model.
    pub base: BaseModel,
    /// Suites in the order of the plan.
    pub suites: Vec<SuiteRecord>,
    /// Variants in the order of the plan; the first is `base`.
    pub variants: Vec<VariantRecord>,
    /// Trials in the order of the plan.
    pub trials: Vec<TrialSpec>,
    /// How differences are judged.
    #[serde(default)]
    pub judging: Judging,
}

/// Versions of what measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Software {
    /// Version of this crate.
    pub bitfrontier: String,
    /// Commit this crate was built from; empty outside a checkout.
    pub commit: String,
    /// llama.cpp's version string as the library reports it.
    pub llama_cpp: String,
    /// `native` or `portable`, and GPU features, as compiled.
    pub build: String,
    /// llama.cpp's own line of CPU features in use.
    pub system_info: String,
}

/// The machine a sweep ran on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Machine {
    /// CPU model name.
    pub cpu: String,
    /// Logical CPUs usable by this process.
    pub cores: u32,
    /// Physical memory.
    pub ram_bytes: u64,
    /// Operating system and architecture.
    pub os: String,
    /// CPU feature flags that matter to llama.cpp.
    pub cpu_features: Vec<String>,
    /// GPU devices llama.cpp sees, by name.
    pub devices: Vec<String>,
}

/// The full-precision model everything is compared with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct BaseModel {
    /// As the user named it (path or source).
    pub source: String,
    /// SHA-256 of the file (of the parts' hashes for a split model).
    pub sha256: String,
    /// Bytes of all parts.
    pub file_bytes: u64,
    /// Number of weights in all tensors.
    pub weights: u64,
    /// Measured bits per weight.
    pub bpw: f64,
    /// `general.architecture`.
    pub architecture: String,
    /// `general.name`.
    pub name: String,
    /// `general.description`: what a stand-in base says of itself; empty for most models.
    pub description: String,
    /// Context length the model was trained for, in tokens.
    pub context_length: u32,
}

/// A suite as it was when the sweep was planned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SuiteRecord {
    /// Short name, as in the CSV files.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// Version of data, prompt and scoring together.
    pub version: u32,
    /// SHA-256 of the suite file.
    pub file_sha256: String,
    /// SHA-256 of each data file read (of conversations: as rendered), `sampled:KEY` for what the base writes.
    pub data_sha256: Vec<String>,
    /// The metric shown where there is room for one.
    pub main_metric: String,
    /// Score of a guesser on the main metric; absent where there is none.
    pub chance: Option<f64>,
    /// Why the set is only part of the original; empty if whole.
    pub partial: String,
    /// What it asks of a model; absent for texts, and in older records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capability: Option<Capability>,
    /// Items in the whole data set.
    pub items_total: u64,
    /// Items this sweep asks for.
    pub items_planned: u64,
    /// The texts, if there are several, or the groups of items; an item of one is called `NAME/...`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub corpora: Vec<CorpusRecord>,
    /// Which cluster each item belongs to, by its index, where items share something such as a passage; otherwise empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clusters: Vec<u32>,
}

/// One of several texts of a suite, or one of the groups of its items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorpusRecord {
    /// Short name.
    pub name: String,
    /// Chunks, or items, in all.
    pub items_total: u64,
    /// Those this sweep asks for.
    pub items_planned: u64,
}

/// A variant as planned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VariantRecord {
    /// Unique name within the sweep: `base`, `Q4_K_M`, `Q4_K_M/kv=q8_0`.
    pub name: String,
    /// Name of the recipe without KV types.
    pub recipe: String,
    /// Stock type the recipe is built on: `Q4_K_M`; the base's own file type for `base`.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Whether an importance matrix is used.
    pub imatrix: bool,
    /// Nominal bits per weight of the type.
    pub nominal_bpw: Option<f64>,
    /// KV cache types, K then V.
    pub kv: (String, String),
    /// What the importance matrix is: its file, or, in somebody else's file, what that says of it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub imatrix_from: String,
    /// Source of somebody else's file that is the variant.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub gguf: String,
}

/// `trials/<id>/trial.json`: settings, status and, for trials without items, the result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialFile {
    /// [`FORMAT`] of the writer.
    pub format: u32,
    /// The trial, as planned when this was written.
    pub spec: TrialSpec,
    /// Where it stands.
    pub status: Status,
    /// Why it failed; empty otherwise.
    #[serde(default)]
    pub reason: String,
    /// Pieces of work that failed, over all invocations.
    #[serde(default)]
    pub failures: u32,
    /// Result of a quantize or speed trial, or the running cost of a suite trial.
    #[serde(default)]
    pub outcome: Option<Outcome>,
    /// Items there were at each look of a sweep that goes on in rounds: the first so many in the suite's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub looks: Vec<u64>,
    /// How far each round after the first was to go: which questions were asked for together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub goals: Vec<u64>,
    /// Why it was stopped before its last item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
    /// The node that carried it out last, where trials are spread over several; absent: the machine of the sweep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

/// A trial that was stopped because its answer is known. What was asked stands in the manifest's `judging`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// What is known.
    pub rule: StopRule,
    /// The look at which it was, from 1.
    pub look: u64,
}

/// What stops a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopRule {
    /// The variant is shown to be equal to the base within the tolerance.
    Equal,
    /// It is shown to be worse by more.
    Worse,
    /// It is shown to be better by more.
    Better,
    /// Another variant of no more bytes is shown to be better.
    Dominated,
    /// The difference is known as precisely as was asked.
    Precise,
    /// The base is shown to do no better than a guesser, within the tolerance.
    NoSignal,
    /// Of the base: no variant needs more items to be compared with.
    Enough,
}

impl StopRule {
    /// For people.
    #[must_use]
    pub fn sentence(self, look: u64) -> String {
        let what = match self {
            Self::Equal => "equal to the base within the tolerance",
            Self::Worse => "worse than the base by more than the tolerance",
            Self::Better => "better than the base by more than the tolerance",
            Self::Dominated => "outdone by a variant of no more bytes",
            Self::Precise => "known as precisely as asked",
            Self::NoSignal => "the base only guesses",
            Self::Enough => "no variant needs more of it",
        };
        format!("stopped at look {look}: {what}")
    }

    /// As in tables.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Worse => "worse",
            Self::Better => "better",
            Self::Dominated => "dominated",
            Self::Precise => "precise",
            Self::NoSignal => "no_signal",
            Self::Enough => "enough",
        }
    }
}

/// Result of a trial beside its items.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Outcome {
    /// The file that was made (or, for `base`, found).
    Quantize(Quantized),
    /// Throughput and memory.
    Speed(Speed),
    /// What evaluating cost so far.
    Suite(SuiteCost),
    /// Plain and speculative decoding.
    Speculate(Speculated),
}

/// The facts of a variant's file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Quantized {
    /// Wall time of quantizing; absent for a file that was not made by us.
    pub quantize_s: Option<f64>,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Bytes of its tensors, without header and padding.
    pub tensor_bytes: u64,
    /// Number of weights.
    pub weights: u64,
    /// SHA-256 of the file.
    pub sha256: String,
    /// BLAKE3 of its tensors' names, shapes, types and bytes, without metadata; empty in records of versions that did
    /// not compute it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tensor_digest: String,
    /// Type of every tensor, in file order: (name, type).
    pub tensors: Vec<(String, String)>,
    /// Tensors whose shape did not allow the type asked for.
    pub fallbacks: Vec<Fallback>,
}
