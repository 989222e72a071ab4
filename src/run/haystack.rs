//! The questions of suites that are made by rule: as long as asked for in tokens of the model's vocabulary, which a
//! worker counts. They become a data file in the cache like any other, named after all that decides its content.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde_json::json;
use tempfile::NamedTempFile;

use crate::error::Error;
use crate::fetch::Cache;
use crate::files;
use crate::gguf::{self, Described as _};
use crate::plan::error::PlanError;
use crate::plan::fingerprint;
use crate::plan::haystack::{Haystack, fill};
use crate::plan::suite::{DataSource, Scoring, Suite};
use crate::run::prepare::Inspector;
use crate::worker::protocol::TextFile;

/// Version of how questions are made. Raised whenever the same table would give others.
const MAKER: u32 = 1;
/// Tokens kept free for what a chat template puts around a question.
const TEMPLATE: u32 = 64;
/// Bytes that are counted in one request, so that a worker is not silent for long.
const TOGETHER: usize = 16 << 20;

/// Counts the tokens of texts.
pub(super) type Counter<'a> = dyn FnMut(Vec<TextFile>) -> Result<Vec<u64>, Error> + 'a;

/// As [`settle`], for a command that has no worker yet.
pub(super) fn settle_for(
    suite: &mut Suite,
    model: &Path,
    cache: &Cache,
    interrupted: &AtomicBool,
) -> Result<(), Error> {
    if suite.haystack.is_none() {
        return Ok(());
    }
    let log = NamedTempFile::new().map_err(|source| Error::Io { path: std::env::temp_dir(), source })?;
    let mut inspector = None;
    settle(suite, &gguf::open_model(model)?, cache, &mut |files| {
        let ready = match inspector.take() {
            Some(ready) => ready,
            None => Inspector::start(log.path(), model, interrupted)?,
        };
        inspector.insert(ready).count(files)
    })
}

/// Makes the questions of a suite that has a haystack, unless the cache has them, and names their file as its source.
/// `count` counts tokens with the model's vocabulary.
pub(super) fn settle(
    suite: &mut Suite,
    model: &gguf::Model,
    cache: &Cache,
    count: &mut Counter<'_>,
) -> Result<(), Error> {
    let (Some(haystack), Scoring::Generate(generate)) = (&suite.haystack, &suite.scoring) else {
        return Ok(());
    };
    let reserved = generate.tokens + if generate.chat { TEMPLATE } else { 0 };
    let path = cache.data().join("haystack").join(format!("{}.jsonl", key(haystack, reserved, model)?));
    if !path.is_file() {
        let lines = made(haystack, reserved, count)?;
        if lines.is_empty() {
            return Err(Error::Plan(PlanError::NoItems { suite: suite.name.clone() }));
        }
        files::replace(&path, lines.as_bytes()).map_err(|source| Error::Io { path: path.clone(), source })?;
    }
    let from = path.display().to_string();
    suite.sources = vec![DataSource { from, sha256: None, archive_sha256: None }];
    Ok(())
}

/// Named after the table and the vocabulary.
fn key(haystack: &Haystack, reserved: u32, model: &gguf::Model) -> Result<String, Error> {
    let array = |name: &str| {
        let digest = gguf::array_digest(model, name);
        digest.map_err(|source| Error::Io { path: model.first().path.clone(), source })
    };
    let text = |name: &str| model.metadata().str(name).map(str::to_owned);
    Ok(fingerprint::of(&json!({
        "haystack": haystack,
        "reserved": reserved,
        "tokens": array("tokenizer.ggml.tokens")?,
        "merges": array("tokenizer.ggml.merges")?,
        "tokenizer": [text("tokenizer.ggml.model"), text("tokenizer.ggml.pre")],
        "bos": model.add_bos(),
        "maker": MAKER,
    })))
}

/// The questions as lines of JSON.
fn made(haystack: &Haystack, reserved: u32, count: &mut Counter<'_>) -> Result<String, Error> {
    let folder = tempfile::tempdir().map_err(|source| Error::Io { path: std::env::temp_dir(), source })?;
    let mut number = 0;
    let rows = fill(haystack, reserved, &mut |texts| {
        let mut counts = Vec::with_capacity(texts.len());
        let mut rest = texts;
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(together(rest));
            // A worker may remember what it counted by the name of its file.
            number += 1;
            let files = written(piece, folder.path(), number)?;
            counts.extend(count(files)?);
            rest = behind;
        }
        Ok::<_, Error>(counts)
    })?;
    let lines = rows.iter().map(|row| serde_json::to_string(row).map(|line| line + "\n"));
    lines.collect::<Result<_, _>>().map_err(|error| Error::Worker(error.to_string()))
}

/// How many of the texts are counted in one request.
fn together(texts: &[String]) -> usize {
    let mut bytes = 0;
    let fits = texts.iter().take_while(|text| {
        bytes += text.len();
        bytes <= TOGETHER
    });
    fits.count().max(1)
}

fn written(texts: &[String], folder: &Path, number: usize) -> Result<Vec<TextFile>, Error> {
    let write = |(i, text): (usize, &String)| -> Result<PathBuf, (PathBuf, io::Error)> {
        let path = folder.join(format!("{number}-{i}"));
        fs::write(&path, text).map(|()| path.clone()).map_err(|source| (path, source))
    };
    let paths = texts.iter().enumerate().map(write);
    paths.map(|path| path.map(TextFile::plain).map_err(|(path, source)| Error::Io { path, source })).collect()
}
