//! What importing a task file has to say of its keys: what cannot be taken, and what is taken otherwise.

use std::fmt;

/// A word on one key of a task file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether a suite can be made all the same.
    pub weight: Weight,
    /// The key, as in `fewshot_config.samples`.
    pub key: String,
    /// The file it stands in; empty if it stands nowhere.
    pub file: String,
    /// Line, from 1; 0 if it stands nowhere.
    pub line: usize,
    /// What about it.
    pub what: String,
}

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// No suite can be made.
    Refused,
    /// The suite scores otherwise than lm-eval would, or needs something from the user.
    Differs,
    /// Left out, and nothing changes.
    Ignored,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.weight {
            Weight::Refused => "cannot be taken",
            Weight::Differs => "differs",
            Weight::Ignored => "left out",
        };
        let place =
            if self.line == 0 { String::new() } else { format!(" ({}, line {})", self.file, self.line) };
        write!(f, "{word}: {}{place}: {}", self.key, self.what)
    }
}
