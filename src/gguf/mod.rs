//! A safe reader of GGUF headers. The parent process learns here what a model is (its shape, its types, its size) and
//! how large each variant would be, without ever entering llama.cpp. A file is treated as hostile: every count, length
//! and product is checked before it is believed, and nothing is allocated that the file could not fill. Limits follow
//! llama.cpp's own, so that what it would refuse or crash on is refused here first, with a sentence and a hint.

mod cursor;
mod described;
mod digest;
mod error;
pub mod imatrix;
mod metadata;
mod reader;
mod size;
mod split;
#[cfg(test)]
mod tests;
mod types;

pub use described::Described;
pub use digest::{array_digest, tensor_digest};
pub use error::GgufError;
pub use metadata::{Array, Entry, Metadata, PerLayer, Value, ValueType};
pub use reader::{GgufFile, TensorInfo};
pub use size::{quantized_file_bytes, quantized_file_bytes_with, tensor_bytes_as};
pub use split::{Model, open_header, open_model};
pub use types::TensorType;
