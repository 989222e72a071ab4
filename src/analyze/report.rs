//! The one structure that everything shown to people is drawn from. `render` sees nothing else.
//! Field names of the row types are the CSV headers: a contract; later columns go to the end.

use super::lookup::Places;
use serde::Serialize;

pub use super::cost::{CostRow, CostSheet, Crossing, Curve, CurveKind, Reference, ReferencePoint};
pub use super::speculation::SpeculationRow;

/// A whole sweep, analysed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Who, what, when and where: for captions.
    pub about: About,
    /// Suites in plan order.
    pub suites: Vec<SuiteSummary>,
    /// One row a variant, plan order, `base` first.
    pub variants: Vec<VariantRow>,
    /// Tidy: one row a variant, suite and metric.
    pub metrics: Vec<MetricRow>,
    /// Every variant against the base, on the same items.
    pub comparisons: Vec<ComparisonRow>,
    /// Points of every frontier, one row a variant and pair of axes.
    pub frontier: Vec<FrontierRow>,
    /// Tensors that got another type than asked for, one row a recipe and tensor.
    pub fallbacks: Vec<FallbackRow>,
    /// Tidy: one row a variant and point of the speed surface.
    pub speed: Vec<SpeedRow>,
    /// What drafts are worth, one row a target, draft and draft length.
    pub speculation: Vec<SpeculationRow>,
    /// What each trial has come to and what it took, plan order.
    pub trials: Vec<TrialRow>,
    /// What is left of each capability, one row a variant and capability.
    pub capabilities: Vec<CapabilityRow>,
    /// Accuracy by length and depth, one row a variant and cell.
    pub long_context: Vec<LongContextRow>,
    /// How many bits each suite and capability needs.
    pub cliffs: Vec<CliffRow>,
    /// What it costs to run each variant.
    pub costs: CostSheet,
    /// What a sweep that stops early knew at each of its looks.
    pub looks: Vec<LookRow>,
    /// Where [`Report::metric`] finds rows.
    #[serde(skip)]
    pub metric_places: Places,
    /// Where [`Report::comparison`] finds rows.
    #[serde(skip)]
    pub comparison_places: Places,
}

/// A row of `looks.csv`: what was known of a variant at one look of a sweep that stops early.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct LookRow {
    /// Variant.
    pub variant: String,
    /// `composite`, or the suite that was decided for itself.
    pub scope: String,
    /// Which look, from 1.
    pub look: u64,
    /// Items of the variant at that look, over the suites of the scope.
    pub items: u64,
    /// Items of those suites in all.
    pub of: u64,
    /// Mean difference from the base on them.
    pub delta: Option<f64>,
    /// Lower end of an interval of the difference over *all* planned items that holds at all looks together.
    pub ci_low: Option<f64>,
    /// Its upper end.
    pub ci_high: Option<f64>,
    /// What stopped the variant here: `equal`, `worse`, `better`, `dominated` or `precise`; empty before.
    pub rule: String,
    /// Where it is dominated, by which variant.
    pub by: String,
    /// Lower end of an interval of the difference over other items of the same kind, at all looks together.
    pub more_low: Option<f64>,
    /// Its upper end.
    pub more_high: Option<f64>,
    /// What that interval shows: `equal`, `worse`, `better` or `open`: not enough items.
    pub shown: String,
    /// The suites of the scope at that look.
    pub suites: String,
    /// What may be lost for a variant to count as equal.
    pub tolerance: f64,
    /// Half the width of an interval that is narrow enough.
    pub precision: f64,
}

/// Who, what, when and where: for captions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct About {
    /// Name of the sweep.
    pub sweep: String,
    /// Date the sweep was started, `2026-11-22`.
    pub date: String,
    /// CPU (and devices), cores.
    pub machine: String,
    /// llama.cpp build.
    pub llama_cpp: String,
    /// bitfrontier version.
    pub bitfrontier: String,
    /// Name of the base model.
    pub base: String,
    /// What a stand-in base is; empty for an ordinary model.
    pub base_note: String,
    /// What of the sweep figures show, if not all of it.
    pub drawn: String,
}

/// A suite as shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SuiteSummary {
    /// Name, as in the CSV files.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// The metric shown where there is room for one.
    pub main_metric: String,
    /// Whether more of the main metric is better.
    pub higher_is_better: bool,
    /// Chance level of the main metric.
    pub chance: Option<f64>,
    /// Why the set is only part of the original; empty if whole.
    pub partial: String,
    /// `items` for questions, `tokens` for texts.
    pub n_unit: &'static str,
    /// Whether the base itself does no better than a guesser, as far as can be told: the lower end of its interval is
    /// not above chance (or 0, where there is no chance level). Then differences between variants say nothing.
    pub no_signal: bool,
}

impl SuiteSummary {
    /// Whether it stands for the mean of several suites.
    #[must_use]
    pub fn is_composite(&self) -> bool {
        self.main_metric == super::composite::METRIC
    }
}

/// A row of `variants.csv`. Missing is empty.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct VariantRow {
    /// Name of the variant.
    pub variant: String,
    /// Name of the recipe.
    pub recipe: String,
    /// Stock type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Whether an importance matrix was used.
    pub imatrix: bool,
    /// Bytes of the file.
    pub file_bytes: Option<u64>,
    /// Measured bits per weight.
    pub bpw: Option<f64>,
    /// The type's nominal bits per weight.
    pub nominal_bpw: Option<f64>,
    /// Tensors that got another type than asked for.
    pub fallback_tensors: Option<u64>,
    /// Seconds to quantize.
    pub quantize_s: Option<f64>,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Peak resident set of the speed trial's worker.
    pub peak_rss_bytes: Option<u64>,
    /// llama.cpp's model buffers.
    pub model_buffer_bytes: Option<u64>,
    /// llama.cpp's KV and state buffers.
    pub context_buffer_bytes: Option<u64>,
    /// llama.cpp's compute buffers.
    pub compute_buffer_bytes: Option<u64>,
    /// Memory on devices other than the CPU.
    pub device_bytes: Option<u64>,
    /// Seconds to load.
    pub load_s: Option<f64>,
    /// Prompt tokens a second, mean of the samples.
    pub pp512_tps: Option<f64>,
    /// Standard deviation of the samples.
    pub pp512_tps_sd: Option<f64>,
    /// Generated tokens a second, mean of the samples.
    pub tg128_tps: Option<f64>,
    /// Standard deviation of the samples.
    pub tg128_tps_sd: Option<f64>,
    /// `done`, or the first status that is not, with its trial.
    pub status: String,
    /// The first recipe whose file has the same tensors, bit for bit; metadata may differ. Empty if there is none.
    pub same_as: String,
    /// How many tensors have which type, the commonest first: `211 Q4_K, 61 F32`.
    pub tensor_types: String,
    /// What the importance matrix is; empty if there is none.
    pub imatrix_from: String,
    /// Source of somebody else's file; empty for what was made here.
    pub gguf: String,
    /// Joules a token of a prompt of 512, the median of the repetitions; empty where no energy was measured.
    pub pp512_joules_per_token: Option<f64>,
    /// Joules a token of 128 that are generated, likewise.
    pub tg128_joules_per_token: Option<f64>,
    /// What measured them: `rapl`, `nvml`, `rapl+nvml`; empty without any.
    pub energy_meter: String,
}

/// A row of `fallbacks.csv`: a tensor whose columns the type asked for does not divide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FallbackRow {
    /// Recipe.
    pub recipe: String,
    /// Tensor.
    pub tensor: String,
    /// Its columns.
    pub columns: u64,
    /// Block size of the type asked for.
    pub block: u64,
    /// Type asked for.
    pub wanted: String,
    /// Type it got.
    pub got: String,
}

/// A row of `speed.csv`: a point of a variant's speed surface.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct SpeedRow {
    /// Variant.
    pub variant: String,
    /// `pp`, `tg`, `ttft`, `parallel_pp` or `parallel_tg`.
    pub kind: String,
    /// Prompt tokens of a sequence; empty where none is read.
    pub prompt: Option<u32>,
    /// Tokens a sequence generates; empty where none does.
    pub generate: Option<u32>,
    /// Tokens in the cache of each sequence before it begins.
    pub depth: u32,
    /// Sequences decoded together.
    pub parallel: u32,
    /// Mean of the samples; of several sequences all together.
    pub mean: Option<f64>,
    /// Standard deviation of the samples.
    pub sd: Option<f64>,
    /// Samples.
    pub n: u64,
    /// `tokens/s` or `s`.
    pub unit: String,
    /// `done`, or what went wrong.
    pub status: String,
    /// Why it is not `done`.
    pub reason: String,
    /// Joules a token, the median of the repetitions; empty where no energy was measured.
    pub joules_per_token: Option<f64>,
    /// What measured them: `rapl`, `nvml`, `rapl+nvml`; empty without any.
    pub energy_meter: String,
}

/// A row of `long_context.csv`: a variant's prompts of one kind, length and depth.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct LongContextRow {
    /// Variant.
    pub variant: String,
    /// Suite.
    pub suite: String,
    /// Kind of task: `needle`, `multi_key`, ...
    pub kind: String,
    /// Tokens of prompt and answer that were asked for.
    pub length: u64,
    /// Where what is asked for stands, in percent of the haystack; empty where it stands in many places.
    pub depth: Option<u64>,
    /// The suite's main metric.
    pub metric: String,
    /// Mean over the prompts; empty if none could be answered.
    pub value: Option<f64>,
    /// Standard error.
    pub stderr: Option<f64>,
    /// Lower end of the 95% interval.
    pub ci_low: Option<f64>,
    /// Upper end of the 95% interval.
    pub ci_high: Option<f64>,
    /// Prompts that were answered.
    pub n: u64,
    /// Prompts that could not be.
    pub failed: u64,
    /// Type of the K cache.
    pub kv_k: String,
    /// Type of the V cache.
    pub kv_v: String,
    /// `done`, `failed` where no prompt could be answered, `not_run` where none was asked, or the trial's.
    pub status: String,
    /// Why it is not `done`.
    pub reason: String,
}

/// A row of `metrics.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct MetricRow {
    /// Variant.
    pub variant: String,
    /// Suite.
    pub suite: String,
    /// Metric.
    pub metric: String,
    /// Point estimate; empty if the trial has no items.
    pub value: Option<f64>,
    /// Standard error.
    pub stderr: Option<f64>,
    /// Lower end of the 95% interval.
    pub ci_low: Option<f64>,
    /// Upper end of the 95% interval.
    pub ci_high: Option<f64>,
    /// Items (questions) or scored tokens (texts).
    pub n: u64,
    /// Whether more is better.
    pub higher_is_better: bool,
    /// Score of a guesser.
    pub chance: Option<f64>,
    /// Status of the trial.
    pub status: String,
    /// Why it is not `done`.
    pub reason: String,
    /// Why the suite is only part of the original; empty if whole.
    pub partial: String,
}

/// A row of `comparisons.csv`: a variant against the base, paired on items.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct ComparisonRow {
    /// Variant.
    pub variant: String,
    /// Suite.
    pub suite: String,
    /// Metric.
    pub metric: String,
    /// Variant minus base.
    pub delta: Option<f64>,
    /// Standard error of the paired difference.
    pub delta_stderr: Option<f64>,
    /// Items the base had right and the variant wrong; empty for texts.
    pub flips_lost: Option<u64>,
    /// Items the base had wrong and the variant right; empty for texts.
    pub flips_won: Option<u64>,
    /// Pairs.
    pub n: u64,
    /// Of `kld_mean` where the suite has a noise floor: `indistinguishable` or `different`; otherwise empty.
    pub verdict: String,
    /// Why the suite is only part of the original; empty if whole.
    pub partial: String,
    /// Lower end of the 95% interval of `delta`: of items paired, of texts from the bootstrap over chunks, of the composite
    /// from joint resamples.
    pub ci_low: Option<f64>,
    /// Upper end of the 95% interval.
    pub ci_high: Option<f64>,
    /// Two-sided p that nothing differs: exact `McNemar` where items are right or wrong and share nothing, otherwise the
    /// paired t test (over clusters); empty for texts.
    pub p: Option<f64>,
    /// The same by Holm over all variants and suites, on the suites' main metrics; empty for other metrics.
    pub p_holm: Option<f64>,
    /// The smallest difference that so many items would show with a power of 80% at a level of 5%.
    pub detectable: Option<f64>,
    /// Clusters of items that share something; empty where none do.
    pub clusters: Option<u64>,
    /// What the interval shows of an accuracy: `equal` (within the tolerance), `worse`, `better`, or `open`.
    pub shown: String,
}

/// A row of `frontier.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct FrontierRow {
    /// Variant.
    pub variant: String,
    /// Cost axis, less is better: `file_bytes`.
    pub axis_x: String,
    /// Quality axis, as `suite.metric`.
    pub axis_y: String,
    /// Value on the cost axis.
    pub x: f64,
    /// Value on the quality axis.
    pub y: f64,
    /// No other variant is at least as good on both axes and better on one.
    pub on_frontier: bool,
    /// Why the suite is only part of the original; empty if whole.
    pub partial: String,
    /// Share of the joint resamples in which the variant is on the frontier; empty where there are none.
    pub share: Option<f64>,
    /// The smallest variant with fewer bytes that is not shown to be worse than this one; empty if there is none.
    pub tied_with: String,
}

/// A row of `cliffs.csv`: how many bits a suite, a capability or all together need.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct CliffRow {
    /// `suite`, `capability` or `composite`.
    pub scope: String,
    /// Its name.
    pub name: String,
    /// The suites behind it, between spaces.
    pub suites: String,
    /// The tolerance, as a fraction.
    pub tolerance: f64,
    /// The variant of fewest bits that is shown to be within the tolerance of the base.
    pub equal_variant: String,
    /// Its bits per weight.
    pub equal_bpw: Option<f64>,
    /// The variant of fewest bits that is not shown to be worse than the base.
    pub not_worse_variant: String,
    /// Its bits per weight.
    pub not_worse_bpw: Option<f64>,
    /// Where it falls off: the variant of most bits from which on down each is shown to be worse.
    pub falls_variant: String,
    /// Its bits per weight.
    pub falls_bpw: Option<f64>,
    /// Pairs of items behind the comparison with the fewest.
    pub n: u64,
    /// The smallest difference that could be shown, of the comparison that shows least.
    pub detectable: Option<f64>,
    /// What that says, in one sentence.
    pub says: String,
    /// Those of its suites that are only part of the original, between spaces.
    pub partial: String,
}

/// A row of `trials.csv`: what a trial has come to, and what it took.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrialRow {
    /// The trial, as its folder and its file of items are called.
    pub id: String,
    /// `quantize`, `speed`, `suite`, `noise` or `speculate`.
    pub kind: String,
    /// Variant.
    pub variant: String,
    /// Suite, or the draft; empty for other kinds.
    pub suite: String,
    /// `done`, or what went wrong.
    pub status: String,
    /// Why it is not `done`.
    pub reason: String,
    /// Pieces of its work that failed, those done since among them.
    pub failures: u32,
    /// Items asked for; empty where there are none.
    pub items_planned: Option<u64>,
    /// Items on record.
    pub items_done: Option<u64>,
    /// Of these, how many the cache had from an earlier sweep.
    pub items_cached: Option<u64>,
    /// Wall seconds of the worker.
    pub wall_s: Option<f64>,
    /// Seconds within `llama_decode`.
    pub decode_s: Option<f64>,
    /// Tokens decoded.
    pub tokens_decoded: Option<u64>,
    /// Tokens that item-by-item, choice-by-choice work would have decoded; empty where nothing is shared.
    pub tokens_naive: Option<u64>,
    /// What stopped it before its last item; empty if nothing did.
    pub stopped: String,
    /// The look at which it was stopped, or those it had; empty of a sweep that does not go on in rounds.
    pub looks: Option<u64>,
    /// The node of a cluster that carried it out last; empty of a sweep on one machine.
    pub node: String,
    /// CPU that was timed; empty of trials that are not timed.
    pub cpu: String,
}

/// A row of `capabilities.csv`: what a variant has left of what the base can do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CapabilityRow {
    /// Variant.
    pub variant: String,
    /// `knowledge`, `reasoning`, `maths`, `instructions`, `code`, `tools`, `long_context` or `agent`.
    pub capability: String,
    /// The suites it is the mean of, between spaces.
    pub suites: String,
    /// Items that base and variant both have.
    pub n: u64,
    /// Mean of the suites' main metrics on these items.
    pub score: Option<f64>,
    /// The base's.
    pub base_score: Option<f64>,
    /// What is left: 1 is the base, 0 a guesser.
    pub retained: Option<f64>,
    /// Its standard error.
    pub retained_stderr: Option<f64>,
    /// Lower end of the 95% interval.
    pub ci_low: Option<f64>,
    /// Upper end of the 95% interval.
    pub ci_high: Option<f64>,
    /// Suites that do not count, and why; without all that should there is no value.
    pub left_out: String,
    /// Those of its suites that are only part of the original, between spaces.
    pub partial: String,
}

impl Report {
    /// Names of the suites that are only part of the original.
    #[must_use]
    pub fn partial_suites(&self) -> Vec<&str> {
        let partial = self.suites.iter().filter(|suite| !suite.partial.is_empty());
        partial.map(|suite| suite.name.as_str()).collect()
    }

    /// A variant against the base on a suite and metric.
    #[must_use]
    pub fn comparison(&self, variant: &str, suite: &str, metric: &str) -> Option<&ComparisonRow> {
        self.comparison_places.find(&self.comparisons, (variant, suite, metric), |_| true)
    }

    /// The metric row of a variant, suite and metric, if there is one with a value.
    #[must_use]
    pub fn metric(&self, variant: &str, suite: &str, metric: &str) -> Option<&MetricRow> {
        self.metric_places.find(&self.metrics, (variant, suite, metric), |row| row.value.is_some())
    }
}
