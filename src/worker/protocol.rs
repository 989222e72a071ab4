//! The language between the parent and a worker: one JSON object a line, on descriptors of their own.
//!
//! The parent sends a [`Request`] and reads [`Reply`] lines until one of them ends the request
//! ([`Reply::Finished`] or [`Reply::Failed`]). A worker says [`Reply::Ready`] first, with
//! [`PROTOCOL`]; a parent that speaks another version ends it. Every type that both sides need
//! is here and free of llama.cpp, so that the parent never has to enter it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use crate::answers::execute::Verdict;
pub use crate::answers::grade::{Extracted, Grade};
pub use crate::plan::config::{FlashAttn, Offload};
pub use crate::plan::corpus::{Sampling, TextFile, TextKind};
pub use crate::plan::generate::{GenerateItem, GenerateSuite};
pub use crate::plan::items::ChoiceItem;
pub use crate::plan::noise::NoiseShape;
pub use crate::plan::speculation::Prompt;
pub use crate::plan::speed::{SpeedGrid, SpeedKind, SpeedPoint, SpeedShape};
pub use crate::plan::suite::{ChoiceScoring, SuiteText};
pub use crate::plan::text::{Scored, TextSuite};
pub use crate::score::base_store::{StoreChoice, StoreKind, StoreUse};
pub use crate::score::generate::Stop;
pub use crate::score::item::{
    ChoiceScore, ChunkScore, F32Array, GeneratedAnswer, GeneratedScore, ItemRecord, ItemScore, Picks,
    QuestionScore,
};

/// Version of this language. Raised whenever a line changes its meaning.
pub const PROTOCOL: u32 = 4;

/// Descriptor on which the worker reads requests.
pub const REQUEST_FD: i32 = 3;
/// Descriptor on which the worker writes replies.
pub const REPLY_FD: i32 = 4;

/// What the parent asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// Make a file, or (`dry_run`) say what it would hold.
    Quantize(QuantizeSpec),
    /// Load a model; the work that follows uses it.
    Load(LoadSpec),
    /// Score chunks of a text.
    Text(TextWork),
    /// Score a text from its beginning as `llama-perplexity` does.
    Batched(BatchedWork),
    /// Score multiple-choice items.
    Choice(ChoiceWork),
    /// Write answers and grade them.
    Generate(Box<GenerateWork>),
    /// Compute an importance matrix.
    Imatrix(ImatrixWork),
    /// Measure throughput and memory.
    Speed(SpeedWork),
    /// Measure throughput at further points.
    Surface(SurfaceWork),
    /// Count the tokens of texts with a model's vocabulary, without loading its weights.
    CountTokens(CountWork),
    /// Lay contexts of a model out, without allocating and without its weights.
    Layout(LayoutWork),
    /// Render conversations with a chat template and a model's vocabulary, without loading its weights.
    RenderChat(ChatWork),
    /// Try whether the items of a stranger's suite can be rendered.
    TryItems(TryWork),
    /// Let the loaded model write a text.
    Sample(SampleWork),
    /// Decode prompts with the loaded model, plainly and with another that drafts.
    Speculate(SpeculateWork),
    /// Load a base whose weights are to be exchanged; from then on the worker answers probes only.
    Bench(BenchSpec),
    /// Exchange weights and compare with the base.
    Probe(ProbeWork),
    /// Measure what coding does to weights.
    Losses(LossWork),
}

/// What a worker answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// The first line a worker writes.
    Ready {
        /// [`PROTOCOL`] of the worker.
        protocol: u32,
        /// What it was built from.
        native: NativeBuild,
    },
    /// A sign of life. Where items are told one by one, the total is 0.
    Progress {
        /// Steps done.
        done: u64,
        /// Steps in all.
        total: u64,
        /// Tokens that this worker has decoded so far, whatever for.
        #[serde(default)]
        decoded: u64,
    },
    /// One item is scored.
    Item(ItemRecord),
    /// The request is carried out.
    Finished(Finished),
    /// The request can't be carried out; the worker lives on.
    Failed {
        /// [`Status::Refused`] for input that can never work, otherwise what went wrong.
        status: Status,
        /// One sentence.
        reason: String,
        /// Whether the results disk is full.
        #[serde(default)]
        no_space: bool,
    },
}

/// What a finished request yields beside its items.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "finished", rename_all = "snake_case")]
pub enum Finished {
    /// See [`QuantizeDone`].
    Quantize(QuantizeDone),
    /// See [`Loaded`].
    Load(Loaded),
    /// Items have been sent one by one; this is what they cost.
    Items(SuiteCost),
    /// See [`ImatrixDone`].
    Imatrix(ImatrixDone),
    /// See [`Speed`].
    Speed(Speed),
    /// Points of the speed surface.
    Surface {
        /// In the order of [`SpeedShape::points`].
        points: Vec<Measured>,
    },
    /// Tokens of each text asked for.
    Tokens {
        /// One count a text.
        counts: Vec<u64>,
    },
    /// What contexts would take.
    Layout {
        /// In the order of [`LayoutWork::contexts`].
        contexts: Vec<ContextBuffers>,
    },
    /// The file that was asked for is written.
    File,
    /// What was tried did not end the worker.
    Tried,
    /// See [`Speculated`].
    Speculate(Speculated),
    /// See [`BenchReady`].
    Bench(BenchReady),
    /// What a probe found, in the order of its chunks.
    Probe {
        /// One entry a chunk.
        chunks: Vec<ChunkDivergence>,
    },
    /// What coding loses.
    Losses {
        /// Weight by weight and, for each, type by type as they were asked for; absent where a type does not go.
        losses: Vec<Option<Loss>>,
    },
}

/// The native library as built and as it sees this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct NativeBuild {
    /// Version and origin: `0.6.0-dev (llama-cpp-sys-2 0.1.161)`.
    pub llama_cpp: String,
    /// llama.cpp's own line of CPU features in use.
    pub system_info: String,
    /// Devices other than the CPU, by name.
    pub devices: Vec<String>,
}

/// How to make a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuantizeSpec {
    /// Full-precision model (first part, if split).
    pub input: PathBuf,
    /// File to write; a temporary name, renamed by the parent. Not written in a dry run.
    pub output: PathBuf,
    /// llama.cpp's number of the file type.
    pub ftype: u32,
    /// Per-tensor overrides: (regular expression, ggml type number); the first match wins.
    pub overrides: Vec<(String, u32)>,
    /// ggml type number of the output matrix.
    pub output_type: Option<u32>,
    /// ggml type number of the token embedding.
    pub embedding_type: Option<u32>,
    /// Whether tensors that are already quantized may be quantized again.
    pub allow_requantize: bool,
    /// Threads.
    pub threads: u32,
    /// Only decide the types.
    pub dry_run: bool,
    /// Importance matrix that weighs the rounding errors of columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imatrix: Option<PathBuf>,
    /// What the made file calls the matrix; absent: its path. Paths of a cache would make files differ by machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imatrix_name: Option<String>,
}

/// What quantizing yields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct QuantizeDone {
    /// Wall time of the native call.
    pub seconds: f64,
    /// Type of every tensor as llama.cpp logs it (lower case), in its order.
    pub tensors: Vec<(String, String)>,
    /// Tensors whose shape did not allow the type asked for.
    pub fallbacks: Vec<Fallback>,
}

/// How to load a model and how its context is shaped. Everything in it can change results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadSpec {
    /// GGUF file (first part, if split).
    pub model: PathBuf,
    /// Threads for prompts and generation.
    pub threads: u32,
    /// What goes to a GPU.
    pub offload: Offload,
    /// Cache types of K and V, as ggml names them.
    pub kv: (String, String),
    /// Whether contexts longer than the model's are stretched by YaRN.
    pub yarn: bool,
}

/// What loading yields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Loaded {
    /// Seconds to load.
    pub load_s: f64,
    /// Context length the model was trained for, in tokens.
    pub context_length: u32,
    /// Size of the vocabulary.
    pub vocabulary: u32,
}

/// Chunks of a text to score, each against the base's stored distribution of the same positions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TextWork {
    /// The text.
    pub text: TextFile,
    /// Name of the corpus in the ids of its chunks; empty for a suite's only one.
    #[serde(default)]
    pub label: String,
    /// Index of the text's first chunk among the suite's items.
    #[serde(default)]
    pub first: u64,
    /// How it is cut and what is scored.
    pub cut: TextSuite,
    /// Chunks to score, in this order: positions in the text.
    pub chunks: Vec<u64>,
    /// Where the base's distributions of this text lie.
    pub base_store: PathBuf,
    /// What it shall keep, if it is to be made.
    #[serde(default)]
    pub store: StoreChoice,
    /// The base's file (first part, if split): it has the output matrix that hidden states need.
    pub base_model: PathBuf,
    /// Its SHA-256, by which a store of another model is told; empty if it is not known.
    pub base_sha256: String,
    /// The model *is* the base: write the store where a chunk is missing.
    pub is_base: bool,
    /// Of the base, only the store is wanted, no items.
    #[serde(default)]
    pub store_only: bool,
    /// Decode in this shape instead of the usual one: the noise floor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<NoiseShape>,
}

/// A text to score in `llama-perplexity`'s batches and arithmetic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchedWork {
    /// The text.
    pub text: TextFile,
    /// How it is cut and what is scored.
    pub cut: TextSuite,
    /// Chunks from the beginning; all there are, or all of the file's, if absent.
    pub chunks: Option<u64>,
    /// What is written or read beside.
    pub file: LogitsFile,
}

/// What is done with llama.cpp's file of a base's log-probabilities.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogitsFile {
    /// There is none: plain perplexity.
    None,
    /// The model is the base and the file is made.
    Write(PathBuf),
    /// The model is compared with the file's base.
    Read(PathBuf),
}

/// Multiple-choice items to score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChoiceWork {
    /// Tokens an item may take, all its choices together.
    pub n_ctx: u32,
    /// Items, rendered by the parent.
    pub items: Vec<ChoiceItem>,
    /// Indices of those of them that are known already and not to be told. They are decoded again where the last digits of
    /// others depend on it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub known: BTreeSet<u64>,
    /// By whose definition.
    #[serde(default)]
    pub scoring: ChoiceScoring,
    /// Every choice decoded by itself.
    #[serde(default)]
    pub exact: bool,
}

/// Questions whose answers the loaded model writes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GenerateWork {
    /// Items, in this order.
    pub items: Vec<GenerateItem>,
    /// How they are asked and graded.
    pub suite: GenerateSuite,
    /// The base's chat template, so that all variants see the same prompts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Files that the grader needs, by name.
    #[serde(default)]
    pub resources: BTreeMap<String, PathBuf>,
    /// Run programs that the model writes with limits only, without a sandbox.
    #[serde(default)]
    pub unsafe_exec: bool,
    /// Seconds after which no other item is begun; those that are not are left out of the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

/// A text whose activations make an importance matrix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImatrixWork {
    /// Text file.
    pub text: PathBuf,
    /// What the matrix calls the text.
    pub dataset: String,
    /// Tokens a chunk.
    pub n_ctx: u32,
    /// Chunks from the beginning; all there are, if absent.
    pub chunks: Option<u64>,
    /// All files of the loaded model, whose hash an unfinished matrix keeps.
    pub base_files: Vec<PathBuf>,
    /// File to write; what is unfinished lies beside it.
    pub out: PathBuf,
    /// Collect for the output matrix too.
    pub process_output: bool,
}

/// What computing an importance matrix yields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct ImatrixDone {
    /// Chunks in the matrix.
    pub chunks: u64,
    /// Of which an earlier run had done so many.
    pub resumed_from: u64,
    /// Weights with an entry.
    pub entries: u64,
    /// Weights of which some experts saw no token.
    pub unreached: Vec<Unreached>,
    /// Wall seconds of the worker.
    pub wall_s: f64,
    /// Seconds within `llama_decode`, this run's.
    pub decode_s: f64,
}

/// A merged weight some of whose experts saw no token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreached {
    /// Tensor.
    pub tensor: String,
    /// Experts without a token.
    pub without: u64,
    /// Of how many.
    pub experts: u64,
}

/// Texts whose tokens are to be counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountWork {
    /// GGUF file whose vocabulary is used.
    pub model: PathBuf,
    /// The texts.
    pub texts: Vec<TextFile>,
}

/// Contexts to lay out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayoutWork {
    /// GGUF file (first part, if split); its tensor data is not read.
    pub model: PathBuf,
    /// Cache types of K and V, as ggml names them.
    pub kv: (String, String),
    /// Sequences, each with a context of its own.
    pub parallel: u32,
    /// Tokens of context of each sequence.
    pub contexts: Vec<u32>,
}

/// Bytes that llama.cpp would allocate for a context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextBuffers {
    /// Tokens of context of each sequence.
    pub ctx: u32,
    /// Keys and values.
    pub kv_bytes: u64,
    /// Recurrent states.
    pub state_bytes: u64,
    /// Compute and output buffers.
    pub compute_bytes: u64,
}

/// Conversations to render.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatWork {
    /// GGUF file whose vocabulary is used.
    pub model: PathBuf,
    /// Its chat template.
    pub template: String,
    /// One conversation a line.
    pub conversations: PathBuf,
    /// File to write; a temporary name, renamed by the parent.
    pub output: PathBuf,
}

/// A suite of questions whose templates nobody here has seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TryWork {
    /// Its file.
    pub suite: SuiteText,
    /// Its data files.
    pub questions: Vec<PathBuf>,
    /// The file of its examples, if they have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub examples: Option<PathBuf>,
    /// Examples in front of every item.
    pub fewshot: u32,
}

/// A text that the loaded model shall write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampleWork {
    /// File of tokens to write; a temporary name, renamed by the parent.
    pub output: PathBuf,
    /// How it is written.
    pub sampling: Sampling,
    /// Tokens a chunk, and a run.
    pub n_ctx: u32,
}

/// A base whose weights are exchanged in memory, and the text that shows what that does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BenchSpec {
    /// The base's file (first part, if split).
    pub model: PathBuf,
    /// Its SHA-256.
    pub base_sha256: String,
    /// Threads.
    pub threads: u32,
    /// The text.
    pub text: TextFile,
    /// How it is cut and what is scored.
    pub cut: TextSuite,
    /// Chunks that probes may ask for; the base is evaluated on them, where that is not kept already.
    pub chunks: Vec<u64>,
    /// Where the base's distributions lie.
    pub base_store: PathBuf,
    /// Importance matrix that weighs the rounding errors of columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imatrix: Option<PathBuf>,
}

/// An open bench.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BenchReady {
    /// Weights that can be exchanged.
    pub tensors: Vec<String>,
}

/// Weights exchanged for what a type leaves of them, all others as they are in the base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeWork {
    /// ggml type ids by tensor.
    pub types: BTreeMap<String, u32>,
    /// Chunks to score.
    pub chunks: Vec<u64>,
}

/// How far a chunk's distributions are from the base's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ChunkDivergence {
    /// The chunk.
    pub chunk: u64,
    /// Sum of KL divergences in nats, over the positions that have one.
    pub kld: f64,
    /// Those positions.
    pub positions: u64,
    /// Positions at which a logit was not finite.
    pub nonfinite: u64,
}

/// Weights that are coded and compared with themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossWork {
    /// Weights.
    pub tensors: Vec<String>,
    /// ggml type ids.
    pub types: Vec<u32>,
    /// Every how many rows one is looked at.
    pub every: u32,
}

/// What coding does to a weight, weighed by its columns' importances.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Loss {
    /// Sum over entries of importance times squared difference.
    pub error: f64,
    /// Sum over entries of importance times square.
    pub norm: f64,
}

/// A fixed workload to time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpeedWork {
    /// Tokens of a prompt.
    pub prompt: u32,
    /// Tokens to generate.
    pub generate: u32,
    /// Timed repetitions after one warm-up.
    pub repetitions: u32,
}

/// Points of one context to time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SurfaceWork {
    /// The context and its points.
    pub shape: SpeedShape,
    /// Timed repetitions after one warm-up.
    pub repetitions: u32,
}

/// A point of the surface and its samples, or why there are none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The point.
    #[serde(flatten)]
    pub point: SpeedPoint,
    /// One sample a repetition, in the unit of the point's kind.
    pub samples: Vec<f64>,
    /// [`Status::Done`], or what went wrong.
    pub status: Status,
    /// Why it is not done; empty otherwise.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Joules a token, one sample a repetition; empty where no energy is measured, and of times to a first token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub joules_per_token: Vec<f64>,
    /// What measured them: `rapl`, `nvml`, `rapl+nvml`; empty without any.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub energy_meter: String,
}

impl Measured {
    /// A point that was measured.
    #[must_use]
    pub fn done(point: SpeedPoint, samples: Vec<f64>) -> Self {
        Self {
            point,
            samples,
            status: Status::Done,
            reason: String::new(),
            joules_per_token: Vec::new(),
            energy_meter: String::new(),
        }
    }

    /// A point that could not be measured.
    #[must_use]
    pub fn failed(point: SpeedPoint, status: Status, reason: &str) -> Self {
        Self { status, reason: reason.to_owned(), ..Self::done(point, Vec::new()) }
    }
}

/// Prompts that the loaded model continues greedily: plainly, and with a draft of each length.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpeculateWork {
    /// The draft, run as the target is.
    pub draft: LoadSpec,
    /// The prompts.
    pub prompts: Vec<Prompt>,
    /// Most tokens that are drafted in a step.
    pub lengths: Vec<u32>,
    /// Most tokens that are written behind a prompt.
    pub tokens: u32,
    /// The draft stops before a token that it gives less than this probability; 0 never stops it.
    pub min_probability: f32,
    /// Timed repetitions after one warm-up.
    pub repetitions: u32,
}

/// What speculative decoding yields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Speculated {
    /// One entry a prompt.
    pub prompts: Vec<PromptRuns>,
    /// `VmHWM` of the worker with both models.
    pub peak_rss_bytes: u64,
}

/// How one prompt was continued.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct PromptRuns {
    /// The prompt's id.
    pub id: String,
    /// Its tokens.
    pub prompt_tokens: u64,
    /// Tokens that the target wrote behind it by itself.
    pub plain_tokens: u64,
    /// Seconds that took, one sample a repetition.
    pub plain_s: Vec<f64>,
    /// The same with a draft, one entry a length.
    pub drafts: Vec<DraftRuns>,
}

/// How one prompt was continued with a draft of one length.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct DraftRuns {
    /// Most tokens drafted in a step.
    pub length: u32,
    /// Tokens written.
    pub tokens: u64,
    /// Decodes of the target.
    pub steps: u64,
    /// Tokens drafted.
    pub drafted: u64,
    /// Of these, taken.
    pub accepted: u64,
    /// Seconds it took, one sample a repetition.
    pub seconds: Vec<f64>,
    /// Whether every token is the one that the target wrote by itself.
    pub same: bool,
    /// Where decoding one row a step would have chosen otherwise.
    pub divergences: Vec<Divergence>,
}

/// A token that one row a step would not have chosen after the same tokens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Divergence {
    /// Position in what was written, from 0.
    pub at: u64,
    /// What one row a step chooses.
    pub plain: i32,
    /// What was written.
    pub written: i32,
    /// Logit of the one minus logit of the other, of one row.
    pub gap: f32,
}

/// Where a trial stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Not begun, or begun and interrupted.
    Pending,
    /// All that was asked for is there.
    Done,
    /// The worker died by a signal or an abort.
    Crashed,
    /// The worker gave no sign of life within its deadline.
    TimedOut,
    /// The worker ran out of memory, or was killed for it.
    OutOfMemory,
    /// The model, recipe or item cannot be run, with a reason from the worker.
    Refused,
    /// The worker broke the protocol.
    BadProtocol,
    /// Not tried, because something it needs failed.
    Skipped,
    /// Speculative output is not the target's own.
    Diverged,
}

impl Status {
    /// The word used in the CSV files.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Done => "done",
            Self::Crashed => "crashed",
            Self::TimedOut => "timed_out",
            Self::OutOfMemory => "out_of_memory",
            Self::Refused => "refused",
            Self::BadProtocol => "bad_protocol",
            Self::Skipped => "skipped",
            Self::Diverged => "diverged",
        }
    }
}

/// A tensor that got another type than the recipe asked for, because of its shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fallback {
    /// Tensor name.
    pub tensor: String,
    /// Type asked for.
    pub wanted: String,
    /// Type it got.
    pub got: String,
    /// Its columns, which the block of `wanted` does not divide.
    pub columns: u64,
    /// Block size of `wanted`.
    pub block: u64,
}

/// Throughput with a fixed workload and the memory it took, from a worker of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Speed {
    /// Prompt tokens a second, one sample a repetition (512 tokens).
    pub pp512_tps: Vec<f64>,
    /// Generated tokens a second, one sample a repetition (128 tokens).
    pub tg128_tps: Vec<f64>,
    /// Seconds to load the model.
    pub load_s: f64,
    /// `VmHWM` of the worker.
    pub peak_rss_bytes: u64,
    /// llama.cpp's model buffers, all backends.
    pub model_buffer_bytes: u64,
    /// llama.cpp's KV and recurrent-state buffers.
    pub context_buffer_bytes: u64,
    /// llama.cpp's compute buffers.
    pub compute_buffer_bytes: u64,
    /// Memory taken on devices other than the CPU; absent where there is none.
    pub device_bytes: Option<u64>,
    /// Seconds from handing over a prompt of 512 tokens to having chosen the first token after it, one sample a
    /// repetition; empty in records of versions that did not measure it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ttft512_s: Vec<f64>,
    /// Further points, if the sweep asks for some.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub surface: Vec<Measured>,
    /// Joules a prompt token, one sample a repetition; empty where no energy is measured, and in older records.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pp512_joules_per_token: Vec<f64>,
    /// Joules a generated token, likewise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tg128_joules_per_token: Vec<f64>,
    /// What measured them: `rapl`, `nvml`, `rapl+nvml`; empty without any.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub energy_meter: String,
}

/// What evaluating a suite cost so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct SuiteCost {
    /// Wall seconds of the worker, all pieces.
    pub wall_s: f64,
    /// Seconds within `llama_decode`.
    pub decode_s: f64,
    /// Tokens decoded.
    pub tokens_decoded: u64,
    /// Tokens that scoring item by item and choice by choice would have decoded; 0 where nothing is shared.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tokens_naive: u64,
    /// Items that an earlier sweep had measured and the cache kept; none of the above was spent on them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub items_cached: u64,
    /// The base store of a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreUse>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl SuiteCost {
    /// Adds what another piece of the same trial cost.
    pub fn add(&mut self, other: &Self) {
        self.wall_s += other.wall_s;
        self.decode_s += other.decode_s;
        self.tokens_decoded += other.tokens_decoded;
        self.tokens_naive += other.tokens_naive;
        self.items_cached += other.items_cached;
        self.store = other.store.clone().or(self.store.take());
    }
}
