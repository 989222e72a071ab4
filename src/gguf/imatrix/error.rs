//! Everything that can be wrong with an importance matrix, each as one sentence naming the file, with a hint.

#![expect(missing_docs, reason = "the messages say what the fields are")]

use std::io;
use std::path::PathBuf;

use crate::gguf::GgufError;

/// Why an importance matrix cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImatrixError {
    /// Missing, no file, or a damaged GGUF.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// The system refused to read the file.
    #[error("{} cannot be read: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// Neither format.
    #[error("{} is not an importance matrix: {why}", path.display())]
    NotImatrix { path: PathBuf, why: String },
    /// An entry that contradicts itself.
    #[error("{} has no usable entry for {tensor}: {why}", path.display())]
    Entry { path: PathBuf, tensor: String, why: String },
    /// An entry for a tensor that the model lacks.
    #[error("{} is not of this model: it has an entry for {tensor}, which {} lacks", path.display(), model.display())]
    UnknownTensor { path: PathBuf, model: PathBuf, tensor: String },
    /// An entry of another width.
    #[error("{} is not of this model: its entry for {tensor} has {found} values, and {} needs {needed}",
        path.display(), model.display())]
    Width { path: PathBuf, model: PathBuf, tensor: String, found: u64, needed: u64 },
}

impl ImatrixError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Gguf(error) => return error.hint(),
            Self::Io { .. } => "check the permissions and the disk".into(),
            Self::NotImatrix { .. } | Self::Entry { .. } => {
                "make one with `bitfrontier imatrix BASE --text FILE -o OUT`, or fetch the file again".into()
            }
            Self::UnknownTensor { .. } | Self::Width { .. } => {
                "an importance matrix only fits the model it was computed with; make one with \
                 `bitfrontier imatrix BASE --text FILE -o OUT`"
                    .into()
            }
        })
    }
}
