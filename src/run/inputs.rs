//! Files that recipes name: importance matrices, and GGUF files of others that are variants. Found and hashed before
//! any night begins, because their content is part of what is measured.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::fetch::{Cache, Source, sha256_bytes};
use crate::gguf::{self, Described as _};
use crate::plan::config::SweepConfig;
use crate::plan::ladder;
use crate::plan::matrix::imatrix_input;
use crate::plan::recipe::{ImatrixUse, Weights};
use crate::run::file_plan::{Forecast, Found, Refusal};
use crate::run::prepare::locate_model;
use crate::run::speculate::{other_vocabulary, same_vocabulary};

/// Files that recipes name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Inputs {
    /// Where each lies, by the name that recipes give it.
    pub paths: BTreeMap<String, PathBuf>,
    /// SHA-256 of each.
    pub sha256: BTreeMap<String, String>,
}

impl Inputs {
    /// Finds and hashes what the recipes of a sweep name.
    pub fn locate(config: &SweepConfig, cache: &Cache) -> Result<Self, Error> {
        let mut inputs = Self::default();
        for weights in config.models().map(|r| &r.weights) {
            if let Some(name) = &weights.file {
                let source: Source = name.parse()?;
                let path = locate_model("model", &source, cache, config.fetch)?;
                let sha256 = match gguf::open_model(&path) {
                    Ok(model) => sha256_of(&model, cache)?,
                    // Its row says what is wrong with it.
                    Err(_) => hash(&path, cache)?,
                };
                inputs.add(name.clone(), path, sha256);
            }
            if let (Some(name), ImatrixUse::File(path)) = (imatrix_input(weights), &weights.imatrix) {
                if !path.is_file() {
                    return Err(Error::Refused {
                        reason: format!(
                            "there is no importance matrix {}, which recipe {} names",
                            path.display(),
                            weights.name
                        ),
                        hint: Some("make it with `bitfrontier imatrix BASE --text FILE -o OUT`".to_owned()),
                    });
                }
                let sha256 = hash(path, cache)?;
                inputs.add(name, path.clone(), sha256);
            }
        }
        Ok(inputs)
    }

    /// Adds a file that was found or made.
    pub fn add(&mut self, name: String, path: PathBuf, sha256: String) {
        self.paths.insert(name.clone(), path);
        self.sha256.insert(name, sha256);
    }

    /// The importance matrix that weights are made with, if there is one.
    pub fn imatrix(&self, weights: &Weights) -> Option<&Path> {
        self.paths.get(&imatrix_input(weights)?).map(PathBuf::as_path)
    }

    /// Reads somebody else's file: a variant of the base, or a model that only drafts for it. What it is, and what
    /// there is to know of it.
    pub fn find(
        &self,
        name: &str,
        base: &gguf::Model,
        drafts: bool,
    ) -> Result<(Result<Forecast, Refusal>, Option<Found>), Error> {
        let (Some(path), Some(sha256)) = (self.paths.get(name), self.sha256.get(name)) else {
            return Ok((Err(Refusal::new("it was not looked for")), None));
        };
        let model = match gguf::open_model(path) {
            Ok(model) => model,
            Err(error) => return Ok((Err(Refusal { reason: error.to_string(), hint: error.hint() }), None)),
        };
        let refusal =
            if drafts { other_vocabulary(base, &model)?.map(Refusal::new) } else { foreign(&model, base)? };
        if let Some(refusal) = refusal {
            return Ok((Err(refusal), None));
        }
        let forecast = Forecast { file_bytes: model.file_bytes(), bpw: model.bpw().0, fallbacks: Vec::new() };
        let found = Found {
            path: path.clone(),
            sha256: sha256.clone(),
            type_name: type_name(&model),
            imatrix_from: imatrix_of(&model),
        };
        Ok((Ok(forecast), Some(found)))
    }
}

/// Why a file cannot be compared with the base: items would not mean the same.
fn foreign(model: &gguf::Model, base: &gguf::Model) -> Result<Option<Refusal>, Error> {
    let (theirs, ours) = (model.architecture().unwrap_or_default(), base.architecture().unwrap_or_default());
    let path = model.first().path.display().to_string();
    if theirs != ours {
        let reason =
            format!("{path} is no variant of the base: its architecture is {theirs}, the base's {ours}");
        return Ok(Some(Refusal::new(reason)));
    }
    if !same_vocabulary(model, base)? {
        let count = |m: &gguf::Model| m.vocab_size().unwrap_or(0);
        let reason = format!(
            "{path} is no variant of the base: its vocabulary ({} tokens) is not the base's ({} tokens)",
            count(model),
            count(base)
        );
        return Ok(Some(Refusal::new(reason)));
    }
    Ok(None)
}

/// The file type as it says, or the type that most of its weights have.
fn type_name(model: &gguf::Model) -> String {
    let stated = model.file_type().and_then(|t| u32::try_from(t).ok()).and_then(ladder::name_of);
    if let Some(name) = stated {
        return name.to_owned();
    }
    let mut weights: BTreeMap<&str, u64> = BTreeMap::new();
    for tensor in model.tensors() {
        *weights.entry(tensor.kind.name).or_default() += tensor.weights;
    }
    weights.into_iter().max_by_key(|(_, n)| *n).map_or(String::new(), |(name, _)| name.to_owned())
}

/// What llama-quantize writes of the importance matrix that it used: `wiki.train.raw, 125 chunks`.
fn imatrix_of(model: &gguf::Model) -> String {
    let text = |key: &str| model.metadata().str(&format!("quantize.imatrix.{key}")).map(str::to_owned);
    let file = text("dataset").or_else(|| text("file"));
    let chunks = model.metadata().u64("quantize.imatrix.chunks_count").map(|n| format!("{n} chunks"));
    file.into_iter().chain(chunks).collect::<Vec<_>>().join(", ")
}

/// SHA-256 of a file, or of its parts' hashes for a split model.
pub fn sha256_of(model: &gguf::Model, cache: &Cache) -> Result<String, Error> {
    let hashes = model.paths().map(|path| hash(path, cache)).collect::<Result<Vec<_>, _>>()?;
    match hashes.as_slice() {
        [one] => Ok(one.clone()),
        many => Ok(sha256_bytes(many.join("\n").as_bytes())),
    }
}

fn hash(path: &Path, cache: &Cache) -> Result<String, Error> {
    cache.sha256_of(path).map_err(|source| Error::Io { path: path.to_owned(), source })
}
