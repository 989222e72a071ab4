//! Everything that can go wrong while a model or a data file is brought into the cache, and what the user can do.

use crate::files;
use crate::units::Bytes;
use std::io;
use std::path::{Path, PathBuf};

/// Why a file could not be brought.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The text of a source cannot be read.
    #[error("cannot read the source {text:?}: {problem} (for example {example})")]
    Malformed {
        /// The text as written.
        text: String,
        /// What is wrong with it.
        problem: String,
        /// A source of that kind that is right.
        example: &'static str,
    },
    /// A file on this machine is not there.
    #[error("there is no file {}", .0.display())]
    NoSuchFile(PathBuf),
    /// A file that a script makes is not in the cache yet.
    #[error("{name} has not been made yet: there is no file {}", path.display())]
    NotMade {
        /// Name in the source `cache:NAME`.
        name: String,
        /// Where it would lie.
        path: PathBuf,
    },
    /// The platform names no cache folder, and the user neither.
    #[error("this system names no folder for caches")]
    NoCacheFolder,
    /// A client that brings packages is not installed.
    #[error("{tool} is needed to bring {wanted}, but it was not found")]
    NoTool {
        /// `pip` or `npm`.
        tool: &'static str,
        /// The package.
        wanted: String,
    },
    /// A client that brings packages failed.
    #[error("{tool} could not bring {wanted}: {reason}")]
    Tool {
        /// `pip` or `npm`.
        tool: &'static str,
        /// The package.
        wanted: String,
        /// The client's own last words.
        reason: String,
        /// Whether its output speaks of a network that cannot be reached.
        offline: bool,
    },
    /// A package has no file of that name.
    #[error("{package} holds no file {member}")]
    NotInPackage {
        /// The package.
        package: String,
        /// The path looked for.
        member: String,
        /// Files of the same name elsewhere in the package.
        similar: Vec<String>,
    },
    /// A package's archive cannot be unpacked, or should not be.
    #[error("cannot unpack {member} from {package}: {reason}")]
    BadArchive {
        /// The package.
        package: String,
        /// The path looked for.
        member: String,
        /// What is wrong.
        reason: String,
    },
    /// A file is not the one that was expected.
    #[error("{file} has the wrong checksum: expected sha256 {expected}, found {found}")]
    Checksum {
        /// The file or source.
        file: String,
        /// 64 hex digits, as asked for or as the hub promised.
        expected: String,
        /// 64 hex digits.
        found: String,
    },
    /// The hub cannot be reached.
    #[error("cannot reach {url}: {reason}")]
    Unreachable {
        /// Address.
        url: String,
        /// What the connection said.
        reason: String,
    },
    /// The hub answers with an error.
    #[error("the hub refused {url} with status {status}")]
    Refused {
        /// Address.
        url: String,
        /// HTTP status.
        status: u16,
    },
    /// A download broke off.
    #[error("the download of {file} broke off after {got}: {reason}")]
    Interrupted {
        /// The source.
        file: String,
        /// What has arrived and is kept.
        got: Bytes,
        /// What the connection said.
        reason: String,
    },
    /// Reading or writing on this machine failed.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// Verb of the sentence.
        doing: &'static str,
        /// File or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl FetchError {
    /// For `map_err`: `cannot {doing} {path}`.
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Malformed { .. } => "a file on this machine whose name has a colon is written ./NAME".into(),
            Self::NoSuchFile(_) => "check the path; it is relative to the folder you are in".into(),
            Self::NotMade { .. } => "scripts/quickstart or scripts/make-default-base makes it".into(),
            Self::NoCacheFolder => "set BITFRONTIER_CACHE to a folder with room for models".into(),
            Self::NoTool { tool: "npm", .. } => "install Node.js, which brings npm".into(),
            Self::NoTool { .. } => "install Python 3 with pip (python3 -m ensurepip, or python3-pip on Debian)".into(),
            Self::Tool { tool, offline: true, .. } => {
                format!("the network or the index {tool} is set up with cannot be reached; try again when it can")
            }
            Self::Tool { tool, .. } => format!("check name and version, and the index {tool} is set up with"),
            Self::NotInPackage { similar, .. } if similar.is_empty() => {
                "list the archive's files; the path in a source is the full one in the wheel or tarball".into()
            }
            Self::NotInPackage { similar, .. } => format!("did you mean {}?", similar.join(" or ")),
            Self::BadArchive { .. } => "fetch it again; if that does not help, the package is broken".into(),
            Self::Checksum { .. } => {
                "the file changed at its source or on the way; if you trust the new one, put its sha256 where the \
                 expected one stands"
                    .into()
            }
            Self::Unreachable { .. } => "check the network, the proxy and HF_ENDPOINT, then run it again".into(),
            Self::Refused { status: 401 | 403, .. } => {
                "the repository may be private or need its licence accepted: set HF_TOKEN to a token that may read it"
                    .into()
            }
            Self::Refused { status: 404, .. } => "check owner, repository, revision and file name".into(),
            Self::Refused { .. } => "try again later".into(),
            Self::Interrupted { .. } => "run it again: it goes on from where it broke off".into(),
            Self::Io { source, .. } if files::is_full(source) => {
                "make room, or set BITFRONTIER_CACHE to a folder on a larger disk".into()
            }
            Self::Io { .. } => return None,
        };
        Some(hint)
    }
}
