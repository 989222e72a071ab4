//! How much memory a model takes, from its header alone: weights, KV cache, recurrent state and compute buffers, the
//! longest context that fits, and how many layers go to a GPU where not all do. The arithmetic repeats what llama.cpp
//! allocates; only the compute buffers are laid out by llama.cpp itself, in a worker, and come in here as points of a
//! curve. Headers are hostile: sums saturate, and nothing is allocated that a count alone asks for.

mod answer;
mod compute;
mod error;
mod memory;
mod place;
mod rules;
mod shape;
#[cfg(test)]
mod tests;
mod weights;

pub use answer::{About, Fit, Measured, Row, Variant, rows};
pub use compute::{Compute, LaidOut};
pub use error::FitError;
pub use memory::{Kv, Setting, padded};
pub use place::{Budget, Place};
pub use shape::{Layer, Shape};
pub use weights::WeightBytes;
