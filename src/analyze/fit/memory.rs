//! Bytes of caches and states, as llama.cpp allocates them (`llama_kv_cache`, `llama_kv_cache_iswa` and
//! `llama_memory_recurrent`): cells are rounded up, a window has its own number of them, states are 32-bit floats.

use super::error::FitError;
use super::shape::{Layer, Shape};
use crate::gguf::TensorType;

/// Cells of a cache come in multiples of this.
const CELLS: u64 = 256;
/// Tokens that are computed at once (llama.cpp's default `n_ubatch`).
pub(super) const UBATCH: u64 = 512;
/// Bytes of an entry of a state.
const STATE_BYTES: u64 = 4;

/// Types of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kv {
    /// Of keys.
    pub k: TensorType,
    /// Of values.
    pub v: TensorType,
}

/// How a model is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Tokens of context of each sequence.
    pub ctx: u64,
    /// Sequences.
    pub parallel: u64,
    /// Types of the cache.
    pub kv: Kv,
}

/// Cells for so many tokens.
pub fn padded(tokens: u64) -> u64 {
    tokens.checked_next_multiple_of(CELLS).unwrap_or(u64::MAX)
}

impl Setting {
    /// Cells of one sequence, in a layer with a window of so many tokens or in one without.
    fn cells(&self, window: Option<u64>) -> u64 {
        let all = padded(self.ctx);
        let Some(window) = window else { return all };
        let batch = UBATCH.min(all.saturating_mul(self.parallel));
        padded(all.min(window.saturating_add(batch)))
    }
}

impl Shape {
    /// Refuses types whose blocks the heads are no whole number of.
    ///
    /// # Errors
    /// Naming the type and the width, or the two types where there can be only one.
    pub fn check_kv(&self, kv: Kv) -> Result<(), FitError> {
        if self.latent && kv.k != kv.v {
            return Err(FitError::Mixed { k: kv.k.ggml_name, v: kv.v.ggml_name });
        }
        let heads = |layer: &Layer| [(kv.k, layer.key_head), (kv.v, layer.value_head)];
        let wrong =
            self.layers.iter().flat_map(heads).find(|(kind, width)| !width.is_multiple_of(kind.block_size));
        wrong.map_or(Ok(()), |(kind, width)| {
            Err(FitError::KvType { kind: kind.ggml_name, width, block: kind.block_size })
        })
    }

    /// Bytes of the keys and values of one layer.
    pub fn layer_kv_bytes(&self, layer: &Layer, setting: &Setting) -> u64 {
        let row = |kind: TensorType, entries: u64| kind.row_bytes(entries).unwrap_or(u64::MAX);
        let token = row(setting.kv.k, layer.key).saturating_add(row(setting.kv.v, layer.value));
        let cells = setting.cells(layer.windowed.then_some(self.window));
        token.saturating_mul(cells).saturating_mul(setting.parallel)
    }

    /// Bytes of the states of one layer.
    pub fn layer_state_bytes(layer: &Layer, parallel: u64) -> u64 {
        layer.state.saturating_mul(STATE_BYTES).saturating_mul(parallel)
    }

    /// Bytes of all keys and values.
    pub fn kv_bytes(&self, setting: &Setting) -> u64 {
        self.layers.iter().fold(0, |sum: u64, layer| sum.saturating_add(self.layer_kv_bytes(layer, setting)))
    }

    /// Bytes of all states.
    pub fn state_bytes(&self, parallel: u64) -> u64 {
        let states = self.layers.iter().map(|layer| Self::layer_state_bytes(layer, parallel));
        states.fold(0, u64::saturating_add)
    }

    /// Bytes that one more token takes, in layers without a window.
    pub fn token_bytes(&self, kv: Kv) -> u64 {
        let row = |kind: TensorType, entries: u64| kind.row_bytes(entries).unwrap_or(u64::MAX);
        let of = |layer: &Layer| row(kv.k, layer.key).saturating_add(row(kv.v, layer.value));
        self.layers.iter().filter(|layer| !layer.windowed).map(of).fold(0, u64::saturating_add)
    }
}
