//! What a suite asks of a model, in the field's eight words. Charts and tables put suites together by it.

use serde::{Deserialize, Serialize};

/// What a suite asks of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    /// Facts.
    Knowledge,
    /// Common sense and conclusions.
    Reasoning,
    /// Sums and proofs.
    Maths,
    /// Doing as told.
    Instructions,
    /// Programs that run.
    Code,
    /// Calls of functions.
    Tools,
    /// What stands far back.
    LongContext,
    /// Many steps towards a goal.
    Agent,
}

impl Capability {
    /// As in suite files and tables.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Knowledge => "knowledge",
            Self::Reasoning => "reasoning",
            Self::Maths => "maths",
            Self::Instructions => "instructions",
            Self::Code => "code",
            Self::Tools => "tools",
            Self::LongContext => "long_context",
            Self::Agent => "agent",
        }
    }
}
