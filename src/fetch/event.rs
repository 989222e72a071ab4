//! What the room tells while it works: it never prints, whoever listens does.

use super::source::Source;
use crate::units::Bytes;

/// What happens while a file is brought. Nothing is told of a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchEvent<'a> {
    /// It is not in the cache and will now be brought.
    Started {
        /// The file.
        source: &'a Source,
    },
    /// A client is running; it does not say how far it is.
    Running {
        /// The file.
        source: &'a Source,
        /// `pip` or `npm`.
        tool: &'static str,
    },
    /// Another process is bringing the same file; this one waits for it.
    Waiting {
        /// The file.
        source: &'a Source,
    },
    /// Bytes arrive; told for every piece, so the listener should draw less often.
    Downloading {
        /// The file.
        source: &'a Source,
        /// How many are here, with those of an earlier attempt.
        got: Bytes,
        /// How many there will be, if the server says.
        total: Option<Bytes>,
    },
    /// It is here and in its place.
    Done {
        /// The file.
        source: &'a Source,
        /// Its size.
        bytes: Bytes,
    },
}

impl FetchEvent<'_> {
    /// One line for people; nothing for the pieces of a download.
    pub fn line(&self) -> Option<String> {
        match self {
            Self::Started { source } => Some(format!("fetching {source}")),
            Self::Waiting { source } => Some(format!("another process is fetching {source}; waiting for it")),
            Self::Done { source, bytes } => Some(format!("fetched {source}, {bytes}")),
            Self::Running { .. } | Self::Downloading { .. } => None,
        }
    }
}
