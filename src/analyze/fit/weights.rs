//! Bytes of a model's weights as they lie in memory, by the part of the model that can go to a GPU by itself.

use std::collections::HashMap;
use std::hash::BuildHasher;

use crate::gguf::{Described, TensorType};
use crate::units::BitsPerWeight;

/// Tensors lie in memory at multiples of this, as in files.
const ALIGNMENT: u64 = 32;

/// Bytes of weights.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WeightBytes {
    /// All, once.
    pub total: u64,
    /// Bits per weight.
    pub bpw: f64,
    /// Layer by layer.
    pub layers: Vec<u64>,
    /// What turns the last state into logits; where it is the embedding, that.
    pub output: u64,
    /// The embedding and all else, which llama.cpp keeps in the processor's memory.
    pub input: u64,
}

impl WeightBytes {
    /// The weights of a model of so many layers when each tensor becomes the type given (or keeps its own).
    ///
    /// # Errors
    /// A sentence, if a tensor's rows are no whole number of blocks of its type.
    pub fn of<S: BuildHasher>(
        model: &impl Described,
        layers: usize,
        types: &HashMap<String, TensorType, S>,
    ) -> Result<Self, String> {
        let mut bytes = Self { layers: vec![0; layers], ..Self::default() };
        let (mut plain, mut weights, mut embedding) = (0_u64, 0_u64, 0);
        let mut tied = true;
        for tensor in model.tensors() {
            let kind = types.get(&tensor.name).copied().unwrap_or(tensor.kind);
            let size = tensor.bytes_as(kind).ok_or_else(|| {
                format!("rows of {} in {} are no whole number of blocks", kind, tensor.name)
            })?;
            let padded = size.checked_next_multiple_of(ALIGNMENT).unwrap_or(u64::MAX);
            let place = match layer_of(&tensor.name).and_then(|layer| bytes.layers.get_mut(layer)) {
                Some(layer) => layer,
                None if tensor.name.starts_with("output") => &mut bytes.output,
                None => &mut bytes.input,
            };
            *place = place.saturating_add(padded);
            bytes.total = bytes.total.saturating_add(padded);
            (plain, weights) = (plain.saturating_add(size), weights.saturating_add(tensor.weights));
            tied &= tensor.name != "output.weight";
            if tensor.name == "token_embd.weight" {
                embedding = padded;
            }
        }
        if tied {
            bytes.output = bytes.output.saturating_add(embedding);
        }
        bytes.bpw = BitsPerWeight::of(plain, weights).0;
        Ok(bytes)
    }
}

/// 3 for `blk.3.ffn_up.weight`.
fn layer_of(name: &str) -> Option<usize> {
    name.strip_prefix("blk.")?.split('.').next()?.parse().ok()
}
