//! What can go wrong while derived files are written. They are replaced whole or not at all.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::chart::ChartError;
use crate::files;

/// What can go wrong while files are written.
#[derive(Debug, Error)]
pub enum RenderError {
    /// A file or folder could not be written.
    #[error("{} could not be written: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Rows could not be put into a table's form.
    #[error("the rows of {} could not be formatted: {source}", path.display())]
    Format {
        /// The file they were meant for.
        path: PathBuf,
        /// What the formatter said.
        source: csv::Error,
    },
    /// A table that was written before cannot be read as what it should be.
    #[error("{} cannot be read as a table: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// A chart cannot be drawn or written.
    #[error(transparent)]
    Chart(#[from] ChartError),
    /// The page's template and what it is filled with do not fit.
    #[error("{} could not be put together: {source}", path.display())]
    Page {
        /// The file.
        path: PathBuf,
        /// What the template engine said.
        source: minijinja::Error,
    },
    /// A trial's id cannot be the name of a file.
    #[error("the trial id {id:?} is not a file name")]
    TrialId {
        /// The id as it was found.
        id: String,
    },
}

impl RenderError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Write { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => Some("check who may write to the results folder".to_owned()),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(
                    "free some space, then rebuild the files with `bitfrontier report`; no measurement is lost"
                        .to_owned(),
                ),
                _ => Some("the files can be rebuilt with `bitfrontier report`; no measurement is lost".to_owned()),
            },
            Self::Format { .. } | Self::Page { .. } => None,
            Self::Read { .. } => Some("`bitfrontier report` makes the tables again".to_owned()),
            Self::Chart(error) => error.hint(),
            Self::TrialId { .. } => Some("the manifest of this sweep was changed by hand".to_owned()),
        }
    }
}

/// Replaces `path` by `bytes`, making its folder where needed.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), RenderError> {
    files::replace(path, bytes).map_err(|source| RenderError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn an_error_names_the_file_and_leaves_no_temporary_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        let error = replace(&path, b"x").unwrap_err();
        assert!(error.to_string().contains("taken could not be written"), "{error}");
        assert!(error.hint().is_some());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
