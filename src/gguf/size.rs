//! How large a variant will be, to the byte, before it is made. This repeats what `llama_model_quantize` writes: the
//! header is rebuilt as `gguf_write_out` in `ggml/src/gguf.cpp` does, and each tensor's data follows, padded
//! (`llama_model_quantize_impl` in `src/llama-quant.cpp`, without `keep_split`, `prune_layers` and `kv_overrides`).

#![expect(clippy::implicit_hasher, reason = "this crate has one kind of map")]

use super::described::Described;
use super::error::GgufError;
use super::reader::{DEFAULT_ALIGNMENT, TensorInfo, pad};
use super::split::Model;
use super::types::TensorType;
use std::collections::HashMap;

/// Magic, version, number of tensors, number of keys.
const PREAMBLE_BYTES: u64 = 4 + 4 + 8 + 8;
/// Set anew as 32-bit numbers, whatever they were.
const SET_KEYS: [&str; 2] = ["general.quantization_version", "general.file_type"];
/// The result is one file.
const DROPPED_KEYS: [&str; 3] = ["split.no", "split.count", "split.tensors.count"];

/// Bytes of the file that llama.cpp writes when each tensor becomes the type given (or keeps its own).
///
/// llama.cpp copies `general.alignment` but lays the file out for 32 bytes all the same: with another alignment
/// in the base this is still the size, but the file may be refused or, worse, read from the wrong place.
///
/// # Errors
/// If a name is not in the model, a row is no whole number of blocks, or a sum overflows.
pub fn quantized_file_bytes(model: &Model, types: &HashMap<String, TensorType>) -> Result<u64, GgufError> {
    quantized_file_bytes_with(model, types, 0)
}

/// As [`quantized_file_bytes`], with so many bytes of metadata more.
///
/// # Errors
/// The same.
pub fn quantized_file_bytes_with(
    model: &Model,
    types: &HashMap<String, TensorType>,
    added: u64,
) -> Result<u64, GgufError> {
    let infos = model.tensors().map(info_bytes).sum::<u64>();
    let header = PREAMBLE_BYTES + metadata_bytes(model) + infos + added;
    // Every tensor is padded, the last one too; only the sum matters, so the order of writing does not.
    let data = sum_of_tensors(model, types, |bytes| pad(bytes, DEFAULT_ALIGNMENT))?;
    pad(header, DEFAULT_ALIGNMENT).and_then(|header| header.checked_add(data)).ok_or_else(|| too_large(model))
}

/// Bytes of all tensors, without padding, when each becomes the type given (or keeps its own).
///
/// # Errors
/// If a name is not in the model, a row is no whole number of blocks, or a sum overflows.
pub fn tensor_bytes_as(model: &Model, types: &HashMap<String, TensorType>) -> Result<u64, GgufError> {
    sum_of_tensors(model, types, Some)
}

fn sum_of_tensors(
    model: &Model,
    types: &HashMap<String, TensorType>,
    padded: impl Fn(u64) -> Option<u64>,
) -> Result<u64, GgufError> {
    let mut used = 0;
    let mut sum = 0_u64;
    for tensor in model.tensors() {
        let kind = types.get(&tensor.name);
        used += usize::from(kind.is_some());
        let bytes = bytes_as(model, tensor, kind.copied().unwrap_or(tensor.kind))?;
        sum = padded(bytes).and_then(|bytes| sum.checked_add(bytes)).ok_or_else(|| too_large(model))?;
    }
    if used < types.len() { Err(unknown_tensor(model, types)) } else { Ok(sum) }
}

fn bytes_as(model: &Model, tensor: &TensorInfo, kind: TensorType) -> Result<u64, GgufError> {
    let columns = tensor.columns();
    if !columns.is_multiple_of(kind.block_size) {
        return Err(GgufError::Row {
            path: model.first().path.clone(),
            tensor: tensor.name.clone(),
            columns,
            kind: kind.name,
            block: kind.block_size,
        });
    }
    tensor.bytes_as(kind).ok_or_else(|| too_large(model))
}

/// Names the alphabetically first, so that the same mistake always reads the same.
fn unknown_tensor(model: &Model, types: &HashMap<String, TensorType>) -> GgufError {
    let unknown = |name: &&String| !model.tensors().any(|tensor| tensor.name == **name);
    let tensor = types.keys().filter(unknown).min().cloned().unwrap_or_default();
    GgufError::UnknownTensor { path: model.first().path.clone(), tensor }
}

fn too_large(model: &Model) -> GgufError {
    GgufError::TooLarge { path: model.first().path.clone() }
}

fn metadata_bytes(model: &Model) -> u64 {
    let gone = |key: &str| SET_KEYS.contains(&key) || DROPPED_KEYS.contains(&key);
    let copied: u64 =
        model.metadata().entries().filter(|(key, _)| !gone(key)).map(|(_, entry)| entry.copied_bytes).sum();
    // Key length, key, value type, value.
    let set: u64 = SET_KEYS.iter().map(|key| 8 + key.len() as u64 + 4 + 4).sum();
    copied + set
}

/// Name length, name, number of dimensions, dimensions, type, offset. Trailing dimensions of 1 are not written.
fn info_bytes(tensor: &TensorInfo) -> u64 {
    let written = tensor.dims.iter().rposition(|&size| size > 1).map_or(1, |last| last as u64 + 1);
    8 + tensor.name.len() as u64 + 4 + 8 * written + 4 + 8
}
