//! What each layer of a model keeps for a token and for a sequence, from its header: the numbers from which all memory
//! beside weights and compute buffers follows. Defaults follow `load_hparams` in llama.cpp's `src/llama-model.cpp`, the
//! widths of states `n_embd_r` and `n_embd_s` in `src/llama-hparams.cpp`.

use super::error::FitError;
use super::rules::{self, Keeps, Rules};
use crate::gguf::{Described, PerLayer, Value};

/// Layers that llama.cpp can hold (`LLAMA_MAX_LAYERS`).
const MOST_LAYERS: u64 = 512;
/// Layers of a Gemma 3n that keep their own tokens; the others share theirs.
const GEMMA3N_OWN: u64 = 20;

/// What one layer keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Layer {
    /// Entries of the keys of a token, all heads together.
    pub key: u64,
    /// Entries of the values of a token, all heads together.
    pub value: u64,
    /// Entries of one head's key.
    pub key_head: u64,
    /// Entries of one head's value.
    pub value_head: u64,
    /// Whether only the tokens of the window are kept.
    pub windowed: bool,
    /// Entries of the state of a sequence.
    pub state: u64,
}

/// What a model keeps and computes, without its weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Its architecture.
    pub architecture: String,
    /// Layer by layer, those that predict further tokens included.
    pub layers: Vec<Layer>,
    /// Tokens that layers with a window look back.
    pub window: u64,
    /// Tokens of context the model was trained for.
    pub context_length: u64,
    /// Width of the hidden state.
    pub width: u64,
    /// Width of the widest feed-forward network.
    pub feed_forward: u64,
    /// Tokens in the vocabulary.
    pub vocabulary: u64,
    /// Whether keys hold the values in compressed form (latent attention), and no values are kept.
    pub latent: bool,
    /// Whether the layers hold all that llama.cpp keeps.
    pub complete: bool,
}

/// The keys of a header, by their name without the architecture.
struct Header<'a, M> {
    model: &'a M,
    architecture: &'a str,
}

impl<M: Described> Header<'_, M> {
    fn key(&self, suffix: &str) -> String {
        format!("{}.{suffix}", self.architecture)
    }

    fn number(&self, suffix: &str) -> Option<u64> {
        self.model.metadata().u64(&self.key(suffix))
    }

    fn needed(&self, suffix: &str) -> Result<u64, FitError> {
        self.number(suffix).ok_or_else(|| FitError::Missing { key: self.key(suffix) })
    }

    fn per_layer(&self, suffix: &str) -> Option<PerLayer> {
        self.model.metadata().per_layer(&self.key(suffix))
    }

    /// A truth value for each layer; whole numbers count as true unless they are 0.
    fn truths(&self, suffix: &str) -> Option<Vec<bool>> {
        let values = self.model.metadata().array(&self.key(suffix))?.values()?;
        let truth = |value: &Value| match value {
            Value::Bool(truth) => *truth,
            other => other.as_u64().is_some_and(|number| number != 0),
        };
        Some(values.iter().map(truth).collect())
    }
}

impl Shape {
    /// Reads the shape from a header.
    ///
    /// # Errors
    /// If a key is missing that llama.cpp asks for, or there are more layers than it can hold.
    pub fn of(model: &impl Described) -> Result<Self, FitError> {
        let architecture = model
            .architecture()
            .ok_or_else(|| FitError::Missing { key: "general.architecture".to_owned() })?;
        let header = Header { model, architecture };
        let all = header.needed("block_count")?;
        if all == 0 || all > MOST_LAYERS {
            return Err(FitError::Layers { key: header.key("block_count"), found: all, most: MOST_LAYERS });
        }
        let rules = rules::of(architecture);
        let numbers = Numbers::of(&header, rules, all)?;
        Ok(Self {
            architecture: architecture.to_owned(),
            layers: (0..all).map(|layer| numbers.layer(layer)).collect(),
            window: numbers.window,
            context_length: header.needed("context_length")?,
            width: header.needed("embedding_length")?,
            feed_forward: widest(header.per_layer("feed_forward_length"), all)
                .max(header.number("expert_feed_forward_length").unwrap_or(0)),
            vocabulary: model.vocab_size().unwrap_or(0),
            latent: numbers.latent,
            complete: rules.complete,
        })
    }

    /// Layers that keep keys and values of tokens.
    pub fn attention_layers(&self) -> usize {
        self.layers.iter().filter(|layer| layer.key > 0).count()
    }
}

fn widest(numbers: Option<PerLayer>, layers: u64) -> u64 {
    let Some(numbers) = numbers else { return 0 };
    (0..layers).filter_map(|layer| numbers.at(layer)).max().unwrap_or(0)
}

/// Everything a layer's share follows from.
struct Numbers {
    keeps: Keeps,
    /// Layers that decode.
    trunk: u64,
    /// Whether only those keep tokens.
    trunk_only: bool,
    /// Of those that keep tokens, the first so many keep their own.
    own: u64,
    heads_kv: Option<PerLayer>,
    feed_forward: Option<PerLayer>,
    /// Width of a head's key and value, without and with a window.
    head: [(u64, u64); 2],
    /// Keys hold the values in compressed form, and no values are kept.
    latent: bool,
    window: u64,
    windowed: Vec<bool>,
    recurrent: Option<Vec<bool>>,
    interval: u64,
    /// Entries of a sequence's state in a layer that has one.
    state: u64,
}

impl Numbers {
    fn of<M: Described>(header: &Header<'_, M>, rules: Rules, all: u64) -> Result<Self, FitError> {
        let trunk = all.saturating_sub(header.number("nextn_predict_layers").unwrap_or(0));
        let heads = header.per_layer("attention.head_count");
        let has_tokens = !matches!(rules.keeps, Keeps::Nothing | Keeps::State);
        if has_tokens && heads.is_none() {
            return Err(FitError::Missing { key: header.key("attention.head_count") });
        }
        let given_kv = header.per_layer("attention.head_count_kv");
        let first_heads = heads.as_ref().and_then(|heads| heads.at(0)).unwrap_or(0);
        let default = header.number("embedding_length").unwrap_or(0).checked_div(first_heads).unwrap_or(0);
        let width = |suffix: &str, otherwise| header.number(suffix).unwrap_or(otherwise);
        let full = match first_heads {
            0 => (0, 0),
            _ => (width("attention.key_length", default), width("attention.value_length", default)),
        };
        let narrow = (width("attention.key_length_swa", full.0), width("attention.value_length_swa", full.1));
        let own = match header.architecture {
            "gemma3n" => GEMMA3N_OWN,
            "gemma4" => all.saturating_sub(header.number("attention.shared_kv_layers").unwrap_or(0)),
            _ => all,
        };
        let mla = |suffix| header.number(suffix).is_some_and(|width| width > 0);
        let interval = match rules.keeps {
            Keeps::StateBetween(default) => header.number("full_attention_interval").unwrap_or(default),
            _ => 0,
        };
        let heads_kv = given_kv.or_else(|| heads.clone());
        let mut numbers = Self {
            keeps: rules.keeps,
            trunk,
            trunk_only: rules.trunk_only,
            own,
            heads_kv,
            feed_forward: header.per_layer("feed_forward_length"),
            head: [full, narrow],
            latent: mla("attention.key_length_mla") && mla("attention.value_length_mla"),
            window: 0,
            windowed: Vec::new(),
            recurrent: header.truths("attention.recurrent_layers"),
            interval,
            state: state_entries(header, first_heads, full.0),
        };
        if let Some((window, windowed)) = windowed(header, rules, trunk) {
            (numbers.window, numbers.windowed) = (window, windowed);
        }
        Ok(numbers)
    }

    fn layer(&self, layer: u64) -> Layer {
        let heads = self.heads_kv.as_ref().and_then(|heads| heads.at(layer)).unwrap_or(0);
        let has_state = self.has_state(layer, heads);
        let state = if has_state { self.state } else { 0 };
        let windowed =
            usize::try_from(layer).ok().and_then(|at| self.windowed.get(at)).copied().unwrap_or(false);
        if !self.has_tokens(layer, has_state) || heads == 0 {
            return Layer { state, ..Layer::default() };
        }
        let [full, narrow] = self.head;
        let (key_head, value_head) = if windowed { narrow } else { full };
        let value_head = if self.latent { 0 } else { value_head };
        Layer {
            key: key_head.saturating_mul(heads),
            value: value_head.saturating_mul(heads),
            key_head,
            value_head,
            windowed,
            state,
        }
    }

    fn has_network(&self, layer: u64) -> bool {
        self.feed_forward.as_ref().and_then(|widths| widths.at(layer)).unwrap_or(0) > 0
    }

    fn has_state(&self, layer: u64, heads_kv: u64) -> bool {
        if layer >= self.trunk {
            return false;
        }
        match self.keeps {
            Keeps::Nothing | Keeps::Tokens => false,
            Keeps::State | Keeps::Both => true,
            Keeps::StateWithoutHeads => heads_kv == 0,
            Keeps::StateWithoutHeadsAndNetwork => heads_kv == 0 && !self.has_network(layer),
            Keeps::StateBetween(_) => match &self.recurrent {
                Some(listed) => {
                    usize::try_from(layer).ok().and_then(|at| listed.get(at)).copied().unwrap_or(false)
                }
                None => (layer + 1).checked_rem(self.interval).is_none_or(|rest| rest != 0),
            },
        }
    }

    fn has_tokens(&self, layer: u64, has_state: bool) -> bool {
        let there = layer < self.own && (layer < self.trunk || !self.trunk_only);
        there
            && match self.keeps {
                Keeps::Nothing | Keeps::State => false,
                Keeps::Tokens | Keeps::Both => true,
                Keeps::StateWithoutHeads | Keeps::StateBetween(_) => !has_state,
                Keeps::StateWithoutHeadsAndNetwork => !has_state && !self.has_network(layer),
            }
    }
}

/// The window in tokens, and the layers that have one.
fn windowed<M: Described>(header: &Header<'_, M>, rules: Rules, trunk: u64) -> Option<(u64, Vec<bool>)> {
    let windows = rules.windows.filter(|w| w.only_layers.is_none_or(|layers| layers == trunk))?;
    let given = header.number("attention.sliding_window").unwrap_or(windows.default);
    if given == 0 {
        return None;
    }
    let window = windows.fixed.unwrap_or(given);
    if let Some(listed) = header.truths("attention.sliding_window_pattern") {
        return Some((window, listed));
    }
    let period = header.number("attention.sliding_window_pattern").unwrap_or(windows.period);
    let dense = if windows.dense_first { 0 } else { period.saturating_sub(1) };
    let looks_back = |layer: u64| layer.checked_rem(period).is_none_or(|place| place != dense);
    Some((window, (0..trunk).map(looks_back).collect()))
}

/// Entries of the state of one sequence in one layer: the last inputs of the convolution and the state itself.
fn state_entries<M: Described>(header: &Header<'_, M>, heads: u64, key_head: u64) -> u64 {
    let number = |suffix: &str| header.number(suffix).unwrap_or(0);
    let width = number("embedding_length");
    let product = |factors: &[u64]| factors.iter().fold(1_u64, |all, factor| all.saturating_mul(*factor));
    let head = number("wkv.head_size");
    if head > 0 {
        let shifts = header.number("token_shift_count").unwrap_or(2);
        return product(&[shifts, width]).saturating_add(product(&[width, head]));
    }
    let (kernel, inner, size) =
        (number("ssm.conv_kernel"), number("ssm.inner_size"), number("ssm.state_size"));
    let cache = number("shortconv.l_cache");
    if cache > 0 {
        return product(&[width, cache - 1]).saturating_add(product(&[size, inner]));
    }
    let head = number("kda.head_dim");
    if head > 0 {
        let rows = if kernel > 0 { kernel - 1 } else { 3 };
        return product(&[3, rows, heads, head]).saturating_add(product(&[head, head, heads]));
    }
    let channels = inner.saturating_add(product(&[2, number("ssm.group_count"), size]));
    let convolution = product(&[kernel.saturating_sub(1), channels]);
    let state = match header.architecture {
        "minimax-01" => product(&[key_head, key_head, heads]),
        _ => product(&[size, inner]),
    };
    convolution.saturating_add(state)
}
