//! A text that a model wrote, as tokens: what was drawn is what is scored, since text would not always come back as
//! the tokens it was made of. One JSON line of facts with a checksum of what follows, then one JSON list a run.
//! Free of llama.cpp, so that the parent can look whether a file is whole.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::files;

/// Version of the format.
const FORMAT: u32 = 1;

/// The first line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenFacts {
    /// What this is: `bitfrontier tokens`.
    file: String,
    format: u32,
    /// Size of the vocabulary.
    pub vocabulary: u32,
    /// The token that every run begins with.
    pub start: i32,
    /// Seed of the draws.
    pub seed: u64,
    /// Temperature of the draws.
    pub temperature: f64,
    /// BLAKE3 of the lines that follow.
    blake3: String,
}

/// A file of tokens that cannot be used.
#[derive(Debug, Error)]
pub enum TokenFileError {
    /// It cannot be read or written.
    #[error("cannot {doing} {path}: {source}")]
    Io {
        /// `read` or `write`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not whole.
    #[error("{0} is not a whole file of tokens")]
    Damaged(PathBuf),
    /// It was written with another vocabulary.
    #[error("{path} holds tokens of a vocabulary of {found}, not {expected}")]
    Vocabulary {
        /// The file.
        path: PathBuf,
        /// Size of its vocabulary.
        found: u32,
        /// That of the model.
        expected: u32,
    },
}

impl TokenFileError {
    /// Whether the disk is full.
    pub fn is_full_disk(&self) -> bool {
        matches!(self, Self::Io { source, .. } if files::is_full(source))
    }
}

impl TokenFacts {
    /// The facts of a file that is yet to be written.
    pub fn new(vocabulary: u32, start: i32, seed: u64, temperature: f64) -> Self {
        let file = "bitfrontier tokens".to_owned();
        Self { file, format: FORMAT, vocabulary, start, seed, temperature, blake3: String::new() }
    }
}

/// Writes runs of tokens and waits until they are on the disk.
pub fn write(path: &Path, facts: TokenFacts, runs: &[Vec<i32>]) -> Result<(), TokenFileError> {
    let failed = |source| TokenFileError::Io { doing: "write", path: path.to_owned(), source };
    let json = |error: serde_json::Error| failed(io::Error::other(error));
    let mut body = Vec::new();
    for run in runs {
        serde_json::to_writer(&mut body, run).map_err(json)?;
        body.push(b'\n');
    }
    let facts = TokenFacts { blake3: blake3::hash(&body).to_hex().to_string(), ..facts };
    let mut whole = serde_json::to_vec(&facts).map_err(json)?;
    whole.push(b'\n');
    whole.append(&mut body);
    let mut file = File::create(path).map_err(failed)?;
    file.write_all(&whole).and_then(|()| file.sync_all()).map_err(failed)
}

/// The tokens of all runs, one after another.
pub fn read(path: &Path, vocabulary: u32) -> Result<Vec<i32>, TokenFileError> {
    let bytes = fs::read(path).map_err(|source| TokenFileError::Io {
        doing: "read",
        path: path.to_owned(),
        source,
    })?;
    let (facts, runs) = parse(&bytes).ok_or_else(|| TokenFileError::Damaged(path.to_owned()))?;
    if facts.vocabulary != vocabulary {
        let path = path.to_owned();
        return Err(TokenFileError::Vocabulary { path, found: facts.vocabulary, expected: vocabulary });
    }
    Ok(runs)
}

/// Whether a whole file is there.
pub fn is_whole(path: &Path) -> bool {
    fs::read(path).is_ok_and(|bytes| parse(&bytes).is_some())
}

fn parse(bytes: &[u8]) -> Option<(TokenFacts, Vec<i32>)> {
    let end = bytes.iter().position(|b| *b == b'\n')?;
    let (head, body) = (bytes.get(..end)?, bytes.get(end + 1..)?);
    let facts: TokenFacts = serde_json::from_slice(head).ok()?;
    let sound = facts.format == FORMAT && facts.blake3 == blake3::hash(body).to_hex().as_str();
    let runs = body.split(|b| *b == b'\n').filter(|line| !line.is_empty());
    let runs: Vec<Vec<i32>> =
        runs.map(|run| serde_json::from_slice(run).ok()).collect::<Option<_>>().filter(|_| sound)?;
    let known = |token: &i32| u32::try_from(*token).is_ok_and(|token| token < facts.vocabulary);
    let tokens = runs.concat();
    tokens.iter().all(known).then_some((facts, tokens))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn runs_come_back_and_any_changed_byte_is_seen(
            runs in prop::collection::vec(prop::collection::vec(0_i32..500, 0..9), 0..5),
            at: prop::sample::Index, with: u8,
        ) {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("t");
            write(&path, TokenFacts::new(500, 1, 7, 1.0), &runs).expect("written");
            prop_assert_eq!(read(&path, 500).expect("read"), runs.concat());
            prop_assert!(is_whole(&path));
            let foreign = matches!(read(&path, 501), Err(TokenFileError::Vocabulary { .. }));
            prop_assert!(foreign);
            let mut bytes = fs::read(&path).expect("read");
            let head = bytes.iter().position(|b| *b == b'\n').expect("a line") + 1;
            if bytes.len() > head {
                let at = head + at.index(bytes.len() - head);
                prop_assume!(bytes[at] != with);
                bytes[at] = with;
                fs::write(&path, &bytes).expect("written");
                prop_assert!(!is_whole(&path));
            }
            fs::write(&path, &bytes[..bytes.len() - 1]).expect("written");
            let damaged = matches!(read(&path, 500), Err(TokenFileError::Damaged(_)));
            prop_assert!(damaged);
        }
    }

    #[test]
    fn a_token_that_is_none_is_no_token() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("t");
        for token in [-1, 500] {
            write(&path, TokenFacts::new(500, 1, 7, 1.0), &[vec![3, token]]).expect("written");
            assert!(!is_whole(&path));
        }
        assert!(!is_whole(&folder.path().join("none")));
    }
}
