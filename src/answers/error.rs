//! What can be wrong with a way of scoring generated text.

use std::path::PathBuf;

use thiserror::Error;

use crate::sandbox::SandboxError;

/// A filter, a metric or an instruction that cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AnswerError {
    /// A regular expression in Python's notation that has no equal here.
    #[error("the regular expression `{pattern}` cannot be taken: it {reason}")]
    Pattern {
        /// As it was written.
        pattern: String,
        /// What is wrong with it, after "it".
        reason: String,
    },
    /// A regular expression that backtracks without end on some text.
    #[error("the regular expression `{pattern}` needs too many steps on an answer of {chars} characters")]
    Backtracking {
        /// As it was written.
        pattern: String,
        /// Length of the answer.
        chars: usize,
    },
    /// A filter that wants more samples than there are.
    #[error("the filter take_first_k wants {wanted} answers, and there are {answers}")]
    TooFewAnswers {
        /// Its k.
        wanted: usize,
        /// Samples of the item.
        answers: usize,
    },
    /// An instruction id that IFEval does not know.
    #[error("no IFEval instruction is called {id:?}")]
    UnknownInstruction {
        /// As it was written.
        id: String,
    },
    /// An instruction without one of its arguments, or with one that it cannot use.
    #[error("the IFEval instruction {id} {reason}")]
    Argument {
        /// The instruction.
        id: String,
        /// What is wrong, after its name.
        reason: String,
    },
    /// An item whose lists of instructions and arguments do not belong together.
    #[error("an IFEval item has {ids} instructions and arguments for {kwargs}")]
    Unpaired {
        /// Instructions.
        ids: usize,
        /// Sets of arguments.
        kwargs: usize,
    },
    /// A reference that is not a list of instructions.
    #[error("the reference is no list of IFEval's instructions with their arguments: {reason}")]
    Reference {
        /// What is wrong.
        reason: String,
    },
    /// A reference that is not a list of texts.
    #[error("the reference is no JSON list of texts: {reason}")]
    List {
        /// What is wrong.
        reason: String,
    },
    /// A reference that does not say which calls are right.
    #[error("the reference does not say which tool calls are right: {reason}")]
    Calls {
        /// What is wrong.
        reason: String,
    },
    /// Parameters of sentence splitting that do not parse.
    #[error("{file} of the sentence splitter's parameters, line {line}: {reason}")]
    Parameters {
        /// Which of its files.
        file: &'static str,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// A file that the suite brings.
    #[error("cannot read {path}: {reason}")]
    Resource {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A reference that is not what stands around a program.
    #[error("the reference is nothing to put around a program: {reason}")]
    Program {
        /// What is wrong.
        reason: String,
    },
    /// A program that could not be run.
    #[error("{reason}")]
    Sandbox {
        /// Why.
        reason: String,
        /// What the user can do.
        hint: String,
    },
}

impl AnswerError {
    /// Of a sandbox's error.
    pub fn sandbox(error: &SandboxError) -> Self {
        let hint = error.hint().unwrap_or_else(|| "try again".to_owned());
        Self::Sandbox { reason: error.to_string(), hint }
    }

    /// What the user can do.
    pub fn hint(&self) -> String {
        match self {
            Self::Pattern { .. } => "patterns are read as Python's re reads them; rewrite this one",
            Self::Backtracking { .. } => "write the pattern without nested repetitions",
            Self::TooFewAnswers { .. } => "sample more answers an item, or lower the filter's k",
            Self::UnknownInstruction { .. } => {
                "check its spelling; there are 25, such as punctuation:no_comma"
            }
            Self::Argument { .. } | Self::Unpaired { .. } => "correct the item in the data file",
            Self::Reference { .. } => {
                "let doc_to_target print {\"instruction_id_list\": [...], \"kwargs\": [...]}, as suites/ifeval.toml does"
            }
            Self::Calls { .. } => {
                "let doc_to_tools print a JSON list of functions, and doc_to_target what is right: see suites/README.md"
            }
            Self::List { .. } => "let doc_to_target print such a list, as suites/haystack.toml does",
            Self::Parameters { .. } | Self::Resource { .. } => "fetch the file again",
            Self::Program { .. } => "let `before` and `after` of [generate.execute] be templates",
            Self::Sandbox { hint, .. } => hint,
        }
        .to_owned()
    }
}
