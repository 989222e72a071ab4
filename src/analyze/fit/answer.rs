//! The answers: one row a recipe, and one sentence.

use serde::Serialize;

use super::compute::Compute;
use super::memory::{Kv, Setting};
use super::place::{Budget, Need, Place, longest};
use super::shape::Shape;
use super::weights::WeightBytes;
use crate::units::Bytes;

/// Where the model does not say how long its context may be.
const LONGEST: u64 = 1 << 20;
/// Bytes by which the arithmetic may differ from llama.cpp's own figure, which is printed to two decimals of a MiB for
/// each of several buffers, and the part of the figure besides.
const SLACK: (u64, u64) = (1 << 16, 1000);

/// The whole answer; its JSON form is `fit --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fit {
    /// What was asked.
    #[serde(flatten)]
    pub about: About,
    /// One row a recipe, the most bytes first.
    pub recipes: Vec<Row>,
    /// One sentence.
    pub answer: String,
}

/// What was asked, and of what.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct About {
    /// The model, or the results folder.
    pub model: String,
    /// Its architecture.
    pub architecture: String,
    /// Tokens of context it was trained for.
    pub context_length: u64,
    /// The card or machine, if one was named.
    pub device: Option<String>,
    /// Bytes of the GPU.
    pub vram_bytes: Option<u64>,
    /// Bytes of the machine.
    pub ram_bytes: Option<u64>,
    /// Tokens of context of each sequence.
    pub ctx: u64,
    /// Cache types of K and V.
    pub kv: (String, String),
    /// Sequences.
    pub parallel: u64,
    /// Bytes that stay free.
    pub margin_bytes: u64,
    /// Bytes of cache that a token takes in layers without a window.
    pub kv_bytes_per_token: u64,
    /// Bytes of recurrent state that a sequence takes.
    pub state_bytes_per_sequence: u64,
    /// What else must be known.
    pub notes: Vec<String>,
}

/// One recipe.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Its name.
    pub recipe: String,
    /// Bytes of all tensors in memory; absent where they could not be found out.
    pub weights_bytes: Option<u64>,
    /// Bytes of keys and values.
    pub kv_bytes: u64,
    /// Bytes of recurrent states.
    pub state_bytes: u64,
    /// Bytes of compute buffers.
    pub compute_bytes: u64,
    /// Bytes of everything.
    pub total_bytes: Option<u64>,
    /// Tokens of the longest context with which everything fits, at most the model's own; 0 if none does.
    pub max_ctx: Option<u64>,
    /// Whether everything fits the GPU (the machine, where there is no GPU), with the margin.
    pub fits: bool,
    /// Layers that go to the GPU, the output being one of them; absent where there is no GPU.
    pub gpu_layers: Option<u64>,
    /// Layers there are, the output being one of them.
    pub layers: u64,
    /// Where it goes.
    pub place: Place,
    /// Bits per weight.
    pub bpw: Option<f64>,
    /// Cache types of K and V.
    pub kv: (String, String),
    /// Whose figure `kv_bytes` and `state_bytes` are: `header` or `llama.cpp`.
    pub kv_source: &'static str,
    /// Whose figure `compute_bytes` is: `llama.cpp` or `estimate`.
    pub compute_source: &'static str,
    /// What the weights are, if not a recipe of a full-precision base; empty if they are.
    pub note: String,
    /// Why there are no weights; empty if there are.
    pub reason: String,
}

/// One recipe before it is judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// Its name.
    pub recipe: String,
    /// Its weights, or why they are not known.
    pub weights: Result<WeightBytes, String>,
    /// Its cache types.
    pub kv: Kv,
    /// Position of its compute buffers among [`Measured::computes`].
    pub compute: usize,
    /// What the weights are.
    pub note: String,
}

/// What is known of a model beside the weights of its variants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured<'a> {
    /// What it keeps.
    pub shape: &'a Shape,
    /// Compute buffers; one entry a pair of cache types.
    pub computes: &'a [Compute],
    /// Tokens of context of each sequence.
    pub ctx: u64,
    /// Sequences.
    pub parallel: u64,
    /// Memory that there is.
    pub budget: Budget,
}

/// One row a variant, the most bytes first; those without bytes last.
pub fn rows(measured: &Measured<'_>, variants: &[Variant]) -> Vec<Row> {
    let mut rows: Vec<Row> = variants.iter().map(|variant| measured.row(variant)).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.weights_bytes));
    rows
}

/// Bytes beside the weights.
#[derive(Debug, Clone, Copy)]
struct Beside {
    kv: u64,
    state: u64,
    compute: u64,
}

impl Measured<'_> {
    fn row(&self, variant: &Variant) -> Row {
        let estimate = Compute::Estimate;
        let compute = self.computes.get(variant.compute).unwrap_or(&estimate);
        let own = self.keeps_own(compute, variant.kv);
        let beside = self.beside(compute, variant.kv, self.ctx, own);
        let most = if self.shape.context_length == 0 { LONGEST } else { self.shape.context_length };
        let names = (variant.kv.k.ggml_name.to_owned(), variant.kv.v.ggml_name.to_owned());
        let mut row = Row {
            recipe: variant.recipe.clone(),
            weights_bytes: None,
            kv_bytes: beside.kv,
            state_bytes: beside.state,
            compute_bytes: beside.compute,
            total_bytes: None,
            max_ctx: None,
            fits: false,
            gpu_layers: None,
            layers: self.shape.layers.len() as u64 + 1,
            place: Place::Nowhere,
            bpw: None,
            kv: names,
            kv_source: if own { "header" } else { "llama.cpp" },
            compute_source: compute.word(),
            note: variant.note.clone(),
            reason: String::new(),
        };
        let weights = match &variant.weights {
            Ok(weights) => weights,
            Err(reason) => {
                row.reason.clone_from(reason);
                return row;
            }
        };
        let total = |beside: Beside| {
            [beside.kv, beside.state, beside.compute]
                .iter()
                .fold(weights.total, |sum, part| sum.saturating_add(*part))
        };
        let need = Need {
            weights,
            kept: self.kept_by_layer(variant.kv, beside),
            compute: beside.compute,
            total: total(beside),
        };
        row.weights_bytes = Some(weights.total);
        row.bpw = Some(weights.bpw);
        row.total_bytes = Some(need.total);
        row.fits = self.budget.holds(need.total);
        row.place = need.place(&self.budget);
        row.gpu_layers =
            if row.fits { self.budget.gpu.map(|_| row.layers) } else { need.gpu_layers(&self.budget) };
        if row.place == Place::Split && row.gpu_layers == Some(row.layers) {
            row.note += if row.note.is_empty() { "" } else { "; " };
            row.note += "all layers fit the GPU, the embedding stays in RAM";
        }
        row.max_ctx =
            Some(longest(&self.budget, most, |ctx| total(self.beside(compute, variant.kv, ctx, own))));
        row
    }

    fn setting(&self, kv: Kv, ctx: u64) -> Setting {
        Setting { ctx, parallel: self.parallel, kv }
    }

    /// Whether the arithmetic is what llama.cpp allocates; where it is not, its own figures are taken.
    fn keeps_own(&self, compute: &Compute, kv: Kv) -> bool {
        let Some((kv_bytes, state_bytes)) = compute.kept(self.ctx) else { return true };
        let near = |ours: u64, theirs: u64| ours.abs_diff(theirs) <= SLACK.0 + theirs / SLACK.1;
        near(self.shape.kv_bytes(&self.setting(kv, self.ctx)), kv_bytes)
            && near(self.shape.state_bytes(self.parallel), state_bytes)
    }

    fn beside(&self, compute: &Compute, kv: Kv, ctx: u64, own: bool) -> Beside {
        let theirs = compute.kept(ctx).filter(|_| !own);
        let (kv, state) = theirs.unwrap_or_else(|| {
            (self.shape.kv_bytes(&self.setting(kv, ctx)), self.shape.state_bytes(self.parallel))
        });
        Beside { kv, state, compute: compute.bytes(self.shape, ctx, self.parallel) }
    }

    /// Caches and states of each layer; what the arithmetic does not know of is spread in proportion to what it knows.
    fn kept_by_layer(&self, kv: Kv, beside: Beside) -> Vec<u64> {
        let setting = self.setting(kv, self.ctx);
        let layers = self.shape.layers.iter();
        let own: Vec<u64> = layers
            .map(|layer| {
                let kv = self.shape.layer_kv_bytes(layer, &setting);
                kv.saturating_add(Shape::layer_state_bytes(layer, self.parallel))
            })
            .collect();
        let ours = own.iter().fold(0, |sum: u64, layer| sum.saturating_add(*layer));
        let all = beside.kv.saturating_add(beside.state);
        if ours == all || ours == 0 {
            return own;
        }
        let share = all as f64 / ours as f64;
        own.into_iter().map(|layer| (layer as f64 * share).round() as u64).collect()
    }
}

impl Fit {
    /// Puts rows and question together and says the answer.
    pub fn new(about: About, recipes: Vec<Row>) -> Self {
        let answer = answer(&about, &recipes);
        Self { about, recipes, answer }
    }
}

fn kv_word((k, v): &(String, String)) -> String {
    if k == v { k.clone() } else { format!("{k}, {v}") }
}

fn answer(about: &About, rows: &[Row]) -> String {
    let Some(memory) = about.vram_bytes.or(about.ram_bytes) else {
        return "No memory was given to fit.".to_owned();
    };
    let streams = if about.parallel == 1 { String::new() } else { format!("{} times ", about.parallel) };
    let context = |row: &Row| format!("{streams}{} tokens of {} context", about.ctx, kv_word(&row.kv));
    let memory = Bytes(memory);
    // The most bytes come first.
    if let Some(row) = rows.iter().find(|row| row.fits) {
        let total = row.total_bytes.unwrap_or(0);
        let longest = row.max_ctx.unwrap_or(0);
        let further = match longest {
            longest if longest <= about.ctx => String::new(),
            longest if longest >= about.context_length => {
                format!("; the model's whole context of {longest} fits too")
            }
            longest => format!("; up to {longest} tokens fit"),
        };
        return format!(
            "{} is the largest that fits {memory} with {}: it takes {}, and {} stay free{further}.",
            row.recipe,
            context(row),
            Bytes(total),
            Bytes(about.vram_bytes.or(about.ram_bytes).unwrap_or(0).saturating_sub(total)),
        );
    }
    let Some(row) = rows.iter().rev().find(|row| row.total_bytes.is_some()) else {
        return "No recipe could be sized.".to_owned();
    };
    let otherwise = match (row.max_ctx.unwrap_or(0), row.gpu_layers) {
        (longest, _) if longest > 0 => format!("it fits with {longest} tokens of context"),
        (_, Some(layers)) if row.place == Place::Split => {
            format!(
                "with {layers} of its {} layers on the GPU the rest goes to the machine's memory",
                row.layers
            )
        }
        _ => "a smaller model or more memory is needed".to_owned(),
    };
    format!(
        "Nothing fits {memory} with {}: the smallest, {}, takes {} and the margin of {}; {otherwise}.",
        context(row),
        row.recipe,
        Bytes(row.total_bytes.unwrap_or(0)),
        Bytes(about.margin_bytes),
    )
}
