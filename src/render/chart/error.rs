//! What can go wrong while charts are drawn.

use std::io;
use std::path::PathBuf;

/// Why a chart could not be drawn.
#[derive(Debug, thiserror::Error)]
pub enum ChartError {
    /// The embedded font could not be read.
    #[error("the font that is built into bitfrontier cannot be read")]
    Font,
    /// A file or folder could not be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The drawing library gave up on a figure.
    #[error("cannot draw the figure {figure}: {reason}")]
    Draw {
        /// Name of the figure, without an extension.
        figure: String,
        /// What the library said.
        reason: String,
    },
}

impl ChartError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Font => Some("this is a fault of the build; please report it".to_owned()),
            Self::Write { .. } => {
                Some("check that the folder can be written to and that the disk is not full".to_owned())
            }
            Self::Draw { .. } => {
                Some("check the disk; every number of the figure is in the CSV files beside it".to_owned())
            }
        }
    }
}
