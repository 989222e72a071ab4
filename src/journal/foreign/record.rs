//! `foreign.json` of a results folder: numbers that other programs measured, by the file they were read from.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::files;
use crate::journal::sealed::{self, Unreadable};

/// The file's name. It is an input like `manifest.json`: without it nothing foreign is shown.
pub const FILE: &str = "foreign.json";
/// Version of the records below.
pub const FORMAT: u32 = 2;

/// Foreign measurements that cannot be read or kept.
#[derive(Debug, Error)]
pub enum ForeignError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not what its program writes.
    #[error("{}, line {line}: {reason}", path.display())]
    Bad {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
    /// What was imported before cannot be read.
    #[error("{} does not hold foreign measurements: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl ForeignError {
    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Read { .. } => Some("check the path and who may read it".to_owned()),
            Self::Bad { .. } => Some(
                "import the output of llama-bench -o csv, json or jsonl, or all that one run of llama-perplexity printed"
                    .to_owned(),
            ),
            Self::Damaged { .. } => Some("remove it and import the files again".to_owned()),
            Self::Write { .. } => Some("check who may write there, and the space that is left".to_owned()),
        }
    }
}

/// A file that was imported.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForeignFile {
    /// Its name, without folders: another file of this name takes its place.
    pub file: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// `llama-bench` or `llama-perplexity`.
    pub tool: String,
    /// The suite that its scores stand beside.
    pub suite: String,
    /// What it measured, by model and settings.
    pub models: Vec<ForeignModel>,
    /// Rows that have no place in the tables, and why.
    #[serde(default)]
    pub left_out: Vec<String>,
}

/// A model as another program ran it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct ForeignModel {
    /// File name of the model without its ending; empty if the file does not tell it.
    pub name: String,
    /// The model's type in the program's words: `llama 256M F16`.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Bytes of its tensors (llama-bench tells no more), or of its file where that was at hand.
    pub bytes: Option<u64>,
    /// Bits per weight.
    pub bpw: Option<f64>,
    /// Build, machine and settings, for people.
    pub settings: String,
    /// Speeds.
    #[serde(default)]
    pub speeds: Vec<ForeignSpeed>,
    /// Scores on a text.
    #[serde(default)]
    pub scores: Vec<ForeignScore>,
    /// Tokens that were scored.
    #[serde(default)]
    pub tokens: u64,
}

/// A timed point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForeignSpeed {
    /// Tokens of the prompt; 0 of a generation.
    pub prompt: u32,
    /// Tokens generated; 0 of a prompt.
    pub generate: u32,
    /// Tokens in the cache before.
    pub depth: u32,
    /// Tokens a second.
    pub mean: f64,
    /// Standard deviation of the samples.
    pub sd: Option<f64>,
    /// Samples; 0 if it is not told.
    pub n: u64,
}

/// A score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForeignScore {
    /// As in metrics.csv.
    pub metric: String,
    /// The estimate.
    pub value: f64,
    /// Its standard error, if it was told.
    pub stderr: Option<f64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    format: u32,
    files: Vec<ForeignFile>,
}

/// What was imported into a results folder, in the order of file names.
///
/// # Errors
/// If there is a file of it that cannot be read.
pub fn kept(folder: &Path) -> Result<Vec<ForeignFile>, ForeignError> {
    let path = folder.join(FILE);
    let bytes = match files::read_record(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(ForeignError::Read { path, source }),
    };
    let damaged = |reason: String| ForeignError::Damaged { path: path.clone(), reason };
    let kept: Kept = sealed::open(&bytes, FORMAT).map_err(|why| match why {
        Unreadable::Newer(format) => {
            damaged(format!("it has format {format}, this program reads up to {FORMAT}"))
        }
        Unreadable::Damaged(reason) => damaged(reason),
    })?;
    Ok(kept.files)
}

/// Keeps a file's measurements, in place of those of an earlier one of the same name.
///
/// # Errors
/// If what is there cannot be read, or the file not be written.
pub fn keep(folder: &Path, new: Vec<ForeignFile>) -> Result<(), ForeignError> {
    let mut files = kept(folder)?;
    files.retain(|old| !new.iter().any(|one| one.file == old.file));
    files.extend(new);
    files.sort_by(|a, b| a.file.cmp(&b.file));
    let path = folder.join(FILE);
    let text = sealed::seal(&Kept { format: FORMAT, files })
        .map_err(|source| ForeignError::Write { path: path.clone(), source })?;
    files::replace(&path, &text).map_err(|source| ForeignError::Write { path, source })
}
