//! Why a program was not run.

use std::io;

use thiserror::Error;

/// No sandbox, or a job that none takes.
#[derive(Debug, Error)]
pub enum SandboxError {
    /// Another system than Linux.
    #[error("model-written code runs in a sandbox, which there is only on Linux")]
    Unsupported,
    /// Namespaces cannot be had.
    #[error("this machine allows no sandbox for model-written code: {reason}")]
    Refused {
        /// What was tried and what was said.
        reason: String,
    },
    /// No interpreter for the programs.
    #[error("model-written code needs python3, which cannot be used: {reason}")]
    NoPython {
        /// What was tried.
        reason: String,
    },
    /// A job's file that would not stay in its folder.
    #[error("{path:?} is no path inside a job's folder")]
    Path {
        /// As it was given.
        path: String,
    },
    /// A stage that cannot be started.
    #[error("the sandbox cannot be started: {0}")]
    Start(#[from] io::Error),
    /// A stage that died, or did not keep to its protocol.
    #[error("the sandbox ended without an answer: {0}")]
    Broken(String),
}

impl SandboxError {
    /// What the user can do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unsupported => Some("run code suites on Linux; all other suites run here".to_owned()),
            Self::Refused { .. } => Some(
                "allow unprivileged user namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns), install bubblewrap, or give --unsafe-exec on a machine that may come to harm".to_owned(),
            ),
            Self::NoPython { .. } => Some("install Python 3 and put python3 on the PATH".to_owned()),
            Self::Path { .. } => Some("write it relative, without `..`".to_owned()),
            Self::Start(_) | Self::Broken(_) => None,
        }
    }
}
