//! Importance matrices: how strongly each column of a weight is driven by real text, which tells quantization where
//! errors matter. Read from llama.cpp's GGUF files and from the older `.dat` ones, written as `llama-imatrix` writes
//! them, byte for byte. As hostile as any other file: nothing is believed before it is checked.

mod error;
mod keys;
mod legacy;
mod means;
mod sums;
#[cfg(test)]
mod tests;

pub use error::ImatrixError;
pub use keys::KeyValue;
pub use means::{Entry, Imatrix, read};
pub use sums::{Sums, TensorSums};
