//! What reaches the user when something cannot be done: one sentence, a hint, an exit code.
//!
//! Each room has its own error type; this one only gathers them and says how the program ends.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | something unexpected, such as a file that cannot be read |
//! | 2 | the command line is wrong (clap) |
//! | 3 | an input is wrong: a model, a suite, a sweep file, a results folder |
//! | 4 | a model or data set is not in the cache |
//! | 5 | fetching failed, or an endpoint does not answer as it should |
//! | 6 | the sweep does not fit this machine's disk or memory |
//! | 7 | the disk ran full, or a folder cannot be written; nothing measured is lost |
//! | 8 | the sweep ended, but some trials, or items of `reference`, failed; they are rows in the tables; or speculative output is not plain output; or `suites check` or `doctor` found something |
//! | 130 | interrupted by Ctrl-C, or by SIGTERM as schedulers send it; the same command goes on |

use std::path::PathBuf;

use thiserror::Error;

use crate::endpoint::EndpointError;
use crate::fetch::FetchError;
use crate::files;
use crate::gguf::GgufError;
use crate::gguf::imatrix::ImatrixError;
use crate::journal::foreign::record::ForeignError;
use crate::journal::reader::JournalError;
use crate::plan::error::PlanError;
use crate::render::RenderError;

/// How the system's error begins when no more files may be open.
const TOO_MANY_FILES: &str = "Too many open files";
/// What the system says of a folder that this user cannot write.
const NOT_ALLOWED: [&str; 3] = ["Permission denied", "Read-only file system", "Not a directory"];

/// Anything that ends a command.
#[derive(Debug, Error)]
pub enum Error {
    /// What was asked for is wrong.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A model file is wrong.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// An importance matrix is wrong.
    #[error(transparent)]
    Imatrix(#[from] ImatrixError),
    /// A source is wrong or could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A model behind an API cannot be asked.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// Items that were not answered.
    #[error("{failed} of {items} items failed; they are rows with their reason in {folder}")]
    ItemsFailed {
        /// How many.
        failed: u64,
        /// Of how many.
        items: u64,
        /// Where the rows are.
        folder: PathBuf,
    },
    /// Items of a model of this machine that could not be scored.
    #[error("{failed} of {items} items could not be scored: {reason}")]
    Unscored {
        /// How many.
        failed: u64,
        /// Of how many.
        items: u64,
        /// Why the first of them could not.
        reason: String,
    },
    /// A results folder cannot be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Measurements of another program cannot be read or kept.
    #[error(transparent)]
    Foreign(#[from] ForeignError),
    /// Tables or charts cannot be written.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// The base is quantized already.
    #[error("the base model {path} is quantized already: {share:.0}% of its weights are in quantized types")]
    Quantized {
        /// The file.
        path: PathBuf,
        /// Per cent.
        share: f64,
    },
    /// llama.cpp refuses the base.
    #[error("the base model {path} cannot be used: {reason}")]
    Base {
        /// The file.
        path: PathBuf,
        /// llama.cpp's words, or how its worker ended.
        reason: String,
    },
    /// Not in the cache.
    #[error("{what} is not in the cache")]
    NotFetched {
        /// The model or suite.
        what: String,
        /// The command that fetches it.
        command: String,
    },
    /// Too large for this machine.
    #[error("the sweep does not fit: {0}")]
    DoesNotFit(String),
    /// The disk ran full, or cannot be written.
    #[error("{0}")]
    NoSpace(String),
    /// A file that was asked for cannot be written.
    #[error("{path} cannot be written: {source}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of the cache cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An input cannot be what it is asked to be.
    #[error("{reason}")]
    Refused {
        /// What and why.
        reason: String,
        /// What the user can do.
        hint: Option<String>,
    },
    /// A worker failed at something that is not a trial.
    #[error("{0}")]
    Worker(String),
    /// Speculative output that is not the target's own.
    #[error(
        "speculative output differs from plain output at {count} places where the logits lie further apart than {tolerance}, the furthest {furthest}"
    )]
    Diverged {
        /// Places.
        count: u64,
        /// Largest distance that counts as a near-tie.
        tolerance: f64,
        /// Largest distance found.
        furthest: f64,
    },
    /// Questions that something is wrong with.
    #[error("{findings} findings in {suites}")]
    Found {
        /// How many.
        findings: usize,
        /// The suites, by name.
        suites: String,
    },
    /// Something keeps sweeps from running on this machine.
    #[error("{failed} of {checks} checks failed")]
    Unfit {
        /// How many.
        failed: usize,
        /// Of how many.
        checks: usize,
    },
    /// Some trials failed.
    #[error("{failed} of {trials} trials failed; they are rows with their reason in the tables")]
    TrialsFailed {
        /// How many.
        failed: u64,
        /// Of how many.
        trials: u64,
    },
    /// Ctrl-C or SIGTERM in a command that keeps nothing half done.
    #[error("interrupted before there was a result")]
    Stopped {
        /// The command.
        again: String,
    },
    /// Ctrl-C or SIGTERM.
    #[error("interrupted; what was measured is kept")]
    Interrupted {
        /// The command that goes on.
        resume: String,
    },
}

impl Error {
    /// What the user can do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Plan(error) => error.hint(),
            Self::Gguf(error) => error.hint(),
            Self::Imatrix(error) => error.hint(),
            Self::Fetch(error) => error.hint(),
            Self::Endpoint(error) => error.hint(),
            Self::ItemsFailed { .. } => Some("the same command asks them again".to_owned()),
            Self::Unscored { .. } => Some("--records FILE has the reason of each".to_owned()),
            Self::Journal(error) => error.hint(),
            Self::Foreign(error) => error.hint(),
            Self::Render(error) => error.hint(),
            Self::Quantized { .. } => Some(
                "use a full-precision GGUF (F32, F16, BF16), or --allow-requantize if you mean it".to_owned(),
            ),
            Self::Base { reason, .. } if reason.contains(TOO_MANY_FILES) => {
                Some("let the program open more files (ulimit -n)".to_owned())
            }
            Self::Base { .. } => {
                Some("is the file whole, and of a kind that this llama.cpp knows?".to_owned())
            }
            Self::NotFetched { command, .. } => Some(command.clone()),
            Self::DoesNotFit(_) => {
                Some("free some space, move the cache with BITFRONTIER_CACHE, or ask for less".to_owned())
            }
            Self::NoSpace(what) if what.contains(TOO_MANY_FILES) => Some(
                "let the program open more files (ulimit -n); the same command then goes on where it stopped"
                    .to_owned(),
            ),
            Self::NoSpace(what) if NOT_ALLOWED.iter().any(|reason| what.contains(reason)) => Some(
                "check who may write there (BITFRONTIER_CACHE names another cache); the same command then goes on where it \
                 stopped"
                    .to_owned(),
            ),
            Self::NoSpace(_) => {
                Some("free some space; the same command then goes on where it stopped".to_owned())
            }
            Self::TrialsFailed { .. } => {
                Some("the same command tries them again; the worker's words are in logs/".to_owned())
            }
            Self::Found { .. } => Some(
                "correct the data, or know what they are; nothing keeps such a suite from being evaluated".to_owned(),
            ),
            Self::Unfit { .. } => Some("their lines say what to do".to_owned()),
            Self::Diverged { .. } => Some(
                "the kernels for one row and for several differ by more than rounding, or --tolerance is too small for this model".to_owned(),
            ),
            Self::Stopped { again } => Some(format!("to begin again: {again}")),
            Self::Interrupted { resume } => Some(format!("to go on: {resume}")),
            Self::Refused { hint, .. } => hint.clone(),
            Self::Write { source, .. } if files::is_full(source) => {
                Some("free some space, or name another place".to_owned())
            }
            Self::Write { path, .. } if *path == std::env::temp_dir() => {
                Some("set TMPDIR to a folder that can be written to".to_owned())
            }
            Self::Write { .. } => Some("check who may write there, or name another place".to_owned()),
            Self::Io { .. } | Self::Worker(_) => None,
        }
    }

    /// The program's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Plan(_)
            | Self::Gguf(_)
            | Self::Imatrix(_)
            | Self::Quantized { .. }
            | Self::Base { .. }
            | Self::Refused { .. }
            | Self::Render(RenderError::Read { .. })
            | Self::Foreign(
                ForeignError::Read { .. } | ForeignError::Bad { .. } | ForeignError::Damaged { .. },
            )
            | Self::Fetch(FetchError::NoSuchFile(_) | FetchError::Malformed { .. }) => 3,
            Self::Journal(error) => match error {
                JournalError::Write { .. } => 7,
                _ => 3,
            },
            Self::Render(_)
            | Self::NoSpace(_)
            | Self::Write { .. }
            | Self::Foreign(ForeignError::Write { .. }) => 7,
            Self::NotFetched { .. } | Self::Fetch(FetchError::NotMade { .. }) => 4,
            Self::Fetch(FetchError::Io { source, .. }) | Self::Io { source, .. }
                if files::is_full(source) =>
            {
                7
            }
            Self::Endpoint(error) if error.is_input() => 3,
            Self::Fetch(_) | Self::Endpoint(_) => 5,
            Self::DoesNotFit(_) => 6,
            Self::TrialsFailed { .. }
            | Self::ItemsFailed { .. }
            | Self::Unscored { .. }
            | Self::Diverged { .. }
            | Self::Unfit { .. }
            | Self::Found { .. } => 8,
            Self::Interrupted { .. } | Self::Stopped { .. } => 130,
            Self::Io { .. } | Self::Worker(_) => 1,
        }
    }
}
