//! What can be wrong with what the user asked for.

use std::path::PathBuf;

use thiserror::Error;

/// A plan that cannot be made.
#[derive(Debug, Error)]
pub enum PlanError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A TOML file that does not parse, has an unknown key or a value of the wrong kind.
    #[error("{path}, line {line}: {message}")]
    Toml {
        /// The file.
        path: String,
        /// Line, from 1.
        line: usize,
        /// What is wrong, in one sentence.
        message: String,
        /// The nearest valid name.
        hint: Option<String>,
    },
    /// A name that nothing has.
    #[error("{place}: no {kind} is called {name:?}")]
    Unknown {
        /// File and line, or the option.
        place: String,
        /// `recipe`, `suite` or `KV cache type`.
        kind: &'static str,
        /// What was asked for.
        name: String,
        /// Nearest names.
        nearest: Vec<String>,
    },
    /// A recipe that cannot be made (yet).
    #[error("{place}: recipe {name} {reason}")]
    Recipe {
        /// File and line, or the option.
        place: String,
        /// The recipe.
        name: String,
        /// Why not.
        reason: String,
    },
    /// The same name twice.
    #[error("{place}: {kind} {name:?} is named twice")]
    Twice {
        /// File and line, or the option.
        place: String,
        /// `recipe` or `suite`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// Something required is missing.
    #[error("{place}: {what}")]
    Missing {
        /// File or option.
        place: String,
        /// What is missing.
        what: String,
        /// What to do.
        hint: String,
    },
    /// A task file of lm-eval that is not one.
    #[error("{path}, line {line}: {message}")]
    Task {
        /// The file.
        path: String,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A task file that no suite can be made of.
    #[error("{path} cannot become a suite: {count} of its parts cannot be taken")]
    Untaken {
        /// The file.
        path: PathBuf,
        /// How many parts.
        count: usize,
    },
    /// A data file whose content is not as its suite says.
    #[error("{path}, line {line}: {message}")]
    Data {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// The same, of a file that has no lines.
    #[error("{path}, row {row}: {message}")]
    Row {
        /// The file.
        path: PathBuf,
        /// Row, from 1.
        row: usize,
        /// What is wrong.
        message: String,
    },
    /// A data file that cannot be taken as a whole.
    #[error("{path} cannot be read as data: {message}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A data file that is not the one the suite names.
    #[error("{path} is not the data suite {suite} names: sha256 {found}, expected {expected}")]
    Checksum {
        /// The suite.
        suite: String,
        /// The file.
        path: PathBuf,
        /// Its hash.
        found: String,
        /// The hash asked for.
        expected: String,
    },
    /// Nothing to do.
    #[error("suite {suite} has no items to evaluate")]
    NoItems {
        /// The suite.
        suite: String,
    },
}

impl PlanError {
    /// What the user can do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Toml { hint, .. } => Some(hint.clone().unwrap_or_else(|| "correct that line".to_owned())),
            Self::Unknown { nearest, kind, .. } if !nearest.is_empty() => {
                Some(format!("the nearest {kind}s are {}", nearest.join(", ")))
            }
            Self::Missing { hint, .. } => Some(hint.clone()),
            Self::Checksum { suite, .. } => Some(format!(
                "remove the file and run `bitfrontier suites fetch {suite}`, or correct the suite's sha256"
            )),
            Self::NoItems { .. } => Some("raise --limit, or check the data file".to_owned()),
            Self::Read { source, .. } if source.kind() == std::io::ErrorKind::InvalidData => {
                Some("name a plain file of text".to_owned())
            }
            Self::Read { .. } => Some("check the path and who may read it".to_owned()),
            Self::Task { .. } => Some("correct that line, or check that it is a task file".to_owned()),
            Self::Untaken { .. } => Some(
                "they are listed above; a suite of your own over data that are made ready: see suites/README.md"
                    .to_owned(),
            ),
            Self::Data { .. } => Some("correct that line, or the suite's templates".to_owned()),
            Self::Row { .. } => Some("correct that row, or the suite's templates".to_owned()),
            Self::File { .. } => Some("is the file whole, and of the kind that its ending says?".to_owned()),
            Self::Twice { kind, .. } => Some(format!("leave one {kind} out, or give it another name")),
            Self::Recipe { .. } => Some("leave it out".to_owned()),
            Self::Unknown { .. } => Some("check its spelling".to_owned()),
        }
    }
}

/// The three names nearest to `name`, best first, among those that are near at all.
pub fn nearest<'a>(name: &str, all: impl Iterator<Item = &'a str>) -> Vec<String> {
    let wanted = name.to_ascii_lowercase();
    let mut scored: Vec<(f64, &str)> =
        all.map(|n| (strsim::jaro_winkler(&wanted, &n.to_ascii_lowercase()), n)).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    scored.into_iter().filter(|(score, _)| *score > 0.6).take(3).map(|(_, n)| n.to_owned()).collect()
}

/// Turns a TOML error into ours: file, line, one sentence and, for an unknown key, the nearest valid one.
pub fn toml_error(path: &str, text: &str, error: &toml::de::Error) -> PlanError {
    let at = error.span().map_or(0, |span| span.start.min(text.len()));
    let line = text.get(..at).map_or(1, |before| before.matches('\n').count() + 1);
    let message = error.message().lines().next().unwrap_or("not valid TOML").to_owned();
    let hint = unknown_field(&message).map(|(field, valid)| {
        let near = nearest(&field, valid.iter().map(String::as_str));
        near.first().map_or_else(
            || format!("valid keys are {}", valid.join(", ")),
            |best| format!("did you mean {best:?}? Valid keys are {}", valid.join(", ")),
        )
    });
    PlanError::Toml { path: path.to_owned(), line, message, hint }
}

/// Reads serde's "unknown field `x`, expected one of `a`, `b`".
fn unknown_field(message: &str) -> Option<(String, Vec<String>)> {
    let rest = message.strip_prefix("unknown field ")?;
    let mut quoted = rest.split('`').skip(1).step_by(2).map(str::to_owned);
    Some((quoted.next()?, quoted.collect()))
}
