//! What `bitfrontier import` does: reads what other programs printed, keeps it in a results folder, and has the tables and
//! charts made again with it.

use std::path::{Path, PathBuf};

use crate::analyze::Report;
use crate::error::Error;
use crate::fetch::sha256_file;
use crate::gguf::{self, Described as _};
use crate::journal::foreign::read::read;
use crate::journal::foreign::record::{self, ForeignFile, ForeignModel};
use crate::journal::record::{Manifest, SuiteRecord};
use crate::plan::error::{PlanError, nearest};
use crate::run::derive;

/// What the user asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The results folder.
    pub results: PathBuf,
    /// The files.
    pub files: Vec<PathBuf>,
    /// The suite beside whose scores those of llama-perplexity stand.
    pub suite: Option<String>,
    /// The model that logs of llama-perplexity are about, which they may not tell.
    pub model: Option<PathBuf>,
}

/// Imports all files or none.
///
/// # Errors
/// If the folder is no results folder, the suite none of its texts, or a file or the model cannot be read.
pub fn import(order: &Order) -> Result<(Vec<ForeignFile>, Report), Error> {
    let manifest = derive::manifest(&order.results)?;
    if let Some(suite) = &order.suite {
        check_suite(&manifest, suite)?;
    }
    let model = order.model.as_deref().map(described).transpose()?;
    let mut files = Vec::new();
    for path in &order.files {
        let mut file = read(path, order.suite.as_deref())?;
        file.sha256 = sha256_file(path).map_err(|source| Error::Io { path: path.clone(), source })?;
        if let Some(model) = &model {
            let unnamed = file.models.iter_mut().filter(|own| !own.scores.is_empty());
            unnamed.for_each(|own| fill(own, model));
        }
        if files.iter().any(|other: &ForeignFile| other.file == file.file) {
            return Err(Error::Refused {
                reason: format!("two files are called {}", file.file),
                hint: Some("files are told apart by their names; rename one".to_owned()),
            });
        }
        files.push(file);
    }
    record::keep(&order.results, files.clone())?;
    Ok((files, derive::all(&order.results)?))
}

fn check_suite(manifest: &Manifest, name: &str) -> Result<(), Error> {
    let texts = |suite: &&SuiteRecord| {
        ["ppl", "kld", "same_top_p", "delta_p"].iter().any(|start| suite.main_metric.starts_with(start))
    };
    let Some(suite) = manifest.suites.iter().find(|suite| suite.name == name) else {
        return Err(Error::Plan(PlanError::Unknown {
            place: "--suite".to_owned(),
            kind: "suite",
            name: name.to_owned(),
            nearest: nearest(name, manifest.suites.iter().filter(texts).map(|suite| suite.name.as_str())),
        }));
    };
    if texts(&suite) {
        return Ok(());
    }
    Err(Error::Refused {
        reason: format!(
            "--suite {name}: that suite asks questions, and llama-perplexity's log is about a text"
        ),
        hint: Some("name a suite of texts, or leave --suite out".to_owned()),
    })
}

/// What a model's own file says.
fn described(path: &Path) -> Result<ForeignModel, Error> {
    let model = gguf::open_model(path)?;
    Ok(ForeignModel {
        name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        bytes: Some(model.file_bytes()),
        bpw: Some(model.bpw().0),
        ..ForeignModel::default()
    })
}

fn fill(own: &mut ForeignModel, model: &ForeignModel) {
    own.name.clone_from(&model.name);
    own.bytes = model.bytes;
    own.bpw = model.bpw;
}

/// What was taken from a file, in one line, and what was not.
#[must_use]
pub fn told(file: &ForeignFile) -> String {
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let speeds = file.models.iter().map(|model| model.speeds.len()).sum();
    let scores = file.models.iter().map(|model| model.scores.len()).sum();
    let what = if file.tool == "llama-bench" { count(speeds, "speed") } else { count(scores, "score") };
    let mut text = format!("{}: {}, {}, {what}\n", file.file, file.tool, count(file.models.len(), "model"));
    for left_out in &file.left_out {
        text.extend(["  left out ", left_out, "\n"]);
    }
    text
}
