//! An importance matrix as quantization wants it: the mean square of every column's activations.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::ImatrixError;
use super::legacy;
use super::sums::Sums;
use crate::gguf::{Described, GgufError, GgufFile, TensorInfo};

/// What is known of one weight.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Entry {
    /// Mean squares, one a column; for merged experts one row of columns after the other.
    pub values: Vec<f32>,
    /// Rows of activations behind the means: one number, or one an expert. In `.dat` files: chunks.
    pub counts: Vec<f32>,
}

/// An importance matrix.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Imatrix {
    /// The texts it was computed with, as their paths were given.
    pub datasets: Vec<String>,
    /// Chunks of text.
    pub chunk_count: u32,
    /// Tokens a chunk; 0 where the file does not say (`.dat`).
    pub chunk_size: u32,
    /// By tensor name.
    pub entries: BTreeMap<String, Entry>,
}

/// Reads an importance matrix in llama.cpp's GGUF format or in its older one.
///
/// # Errors
/// If the file is missing, unreadable, truncated, of another kind, or holds numbers that are none.
pub fn read(path: &Path) -> Result<Imatrix, ImatrixError> {
    let matrix = match GgufFile::open(path) {
        Ok(file) => Imatrix::from_sums(Sums::read(&file)?),
        Err(GgufError::NotGguf { .. }) => legacy::read(path)?,
        Err(error) => return Err(error.into()),
    };
    for (name, entry) in &matrix.entries {
        if entry.values.iter().any(|v| !v.is_finite() || *v < 0.0) {
            let why = "it holds values that are no mean squares".to_owned();
            return Err(ImatrixError::Entry { path: path.to_owned(), tensor: name.clone(), why });
        }
    }
    Ok(matrix)
}

impl Imatrix {
    /// Means of sums. The division is llama-quantize's, in f32; an expert that no text reached weighs all its columns
    /// alike, as there.
    fn from_sums(sums: Sums) -> Self {
        let entries = sums.entries.into_iter().map(|(name, sums)| {
            let columns = sums.columns().max(1);
            let counts: Vec<f32> = sums.counts.iter().map(|c| *c as f32).collect();
            let rows = sums.squares.chunks(columns).zip(&counts);
            let mean = |square: &f32, count: f32| if count > 0.0 { square / count } else { 1.0 };
            let values = rows.flat_map(|(row, count)| row.iter().map(move |s| mean(s, *count))).collect();
            (name, Entry { values, counts })
        });
        Self {
            datasets: sums.datasets,
            chunk_count: sums.chunk_count,
            chunk_size: sums.chunk_size,
            entries: entries.collect(),
        }
    }

    /// Checks that every entry is of a tensor of the model and as wide as it. `path` is the matrix's own file. Tensors
    /// without an entry are returned: llama.cpp quantizes them as if there were no matrix.
    ///
    /// # Errors
    /// If the matrix was computed with another model.
    pub fn check<'m>(
        &self,
        path: &Path,
        model: &'m impl Described,
        model_path: &Path,
    ) -> Result<Vec<&'m TensorInfo>, ImatrixError> {
        let (path, model_path) = (path.to_owned(), model_path.to_owned());
        let tensors: BTreeMap<&str, &TensorInfo> = model.tensors().map(|t| (t.name.as_str(), t)).collect();
        for (name, entry) in &self.entries {
            let Some(tensor) = tensors.get(name.as_str()) else {
                return Err(ImatrixError::UnknownTensor { path, model: model_path, tensor: name.clone() });
            };
            let experts: u64 = tensor.dims.iter().skip(2).product();
            let (found, needed) = (entry.values.len() as u64, tensor.columns().saturating_mul(experts));
            if found != needed {
                let tensor = name.clone();
                return Err(ImatrixError::Width { path, model: model_path, tensor, found, needed });
            }
        }
        let lacks = |t: &&TensorInfo| t.dims.len() > 1 && !self.entries.contains_key(&t.name);
        Ok(model.tensors().filter(lacks).collect())
    }
}
