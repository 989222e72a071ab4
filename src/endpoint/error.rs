//! What can go wrong with an endpoint: of one item, which is then a row, or of all, which ends the command.

use thiserror::Error;

/// Why an endpoint cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EndpointError {
    /// The address.
    #[error("{url:?} is no endpoint: {reason}")]
    Address {
        /// As it was given, without what could be secret.
        url: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// The key was named and is not there.
    #[error("the environment has no {variable}, or an empty one")]
    NoKey {
        /// The variable.
        variable: String,
    },
    /// No item would be answered otherwise.
    #[error("{url} refuses: HTTP {status}{said}")]
    Refused {
        /// The address.
        url: String,
        /// HTTP's status.
        status: u16,
        /// The server's words, behind a colon.
        said: String,
    },
    /// This item is refused.
    #[error("HTTP {status}{said}, after {tries} tries")]
    Failed {
        /// HTTP's status.
        status: u16,
        /// The server's words, behind a colon.
        said: String,
        /// Requests made.
        tries: u32,
    },
    /// Nobody answers.
    #[error("no answer: {reason}, after {tries} tries")]
    Unreachable {
        /// Why.
        reason: String,
        /// Requests made.
        tries: u32,
    },
    /// The answer is not what the interface says.
    #[error("the answer is not in OpenAI's manner: {0}")]
    Malformed(String),
    /// It goes on failing.
    #[error("{in_a_row} items in a row failed, the last with: {reason}")]
    GivenUp {
        /// Items.
        in_a_row: u32,
        /// Of the last.
        reason: String,
    },
    /// The command was interrupted.
    #[error("interrupted")]
    Interrupted,
}

impl EndpointError {
    /// What the user can do.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Address { .. } => "write https://HOST/v1, the part before /chat/completions",
            Self::NoKey { .. } => "export it, or leave --key-env out where no key is needed",
            Self::Refused { status: 401 | 403, .. } => {
                "put the key into OPENAI_API_KEY, or name the variable that has it with --key-env"
            }
            Self::Refused { status: 404, .. } => {
                "is the address the part before /chat/completions, and --model known there? \
                 An API that only chats needs --chat for suites of plain prompts"
            }
            Self::GivenUp { reason, .. } if reason.contains("HTTP 400") => {
                "what was answered is kept, and the same command goes on; a key that the API does not know is taken out \
                 of its requests by --extra '{\"KEY\": null}'"
            }
            Self::GivenUp { .. } => "what was answered is kept, and the same command goes on",
            _ => return None,
        };
        Some(hint.to_owned())
    }

    /// Whether it is of every item, so that no other need be asked.
    pub fn ends_all(&self) -> bool {
        !matches!(self, Self::Failed { .. } | Self::Unreachable { .. } | Self::Malformed(_))
    }

    /// Whether the command line is what is wrong.
    pub fn is_input(&self) -> bool {
        matches!(self, Self::Address { .. } | Self::NoKey { .. })
    }
}
