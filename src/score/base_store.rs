//! The base's distributions at the scored positions of a text, in one file, so that every variant is compared with
//! the same numbers and the base is evaluated once.
//!
//! Kept are either the logits themselves (exact f32), or the hidden states from which the base's output matrix
//! makes them again to the bit: 1.15 KB a position instead of 192 KB on a model with 576 entries a state and a
//! vocabulary of 49 thousand. This file knows neither models nor llama.cpp: it keeps rows of bytes, and can be
//! asked which chunks are there by a process that must not enter native code.
//!
//! ```text
//! header   8 bytes of magic | u32 length of JSON | 32 bytes of its BLAKE3 | JSON | zeros up to a multiple of 4096
//! record   8 bytes of mark  | u64 chunk | 32 bytes of BLAKE3 over chunk and rows' BLAKE3s | 16 zeros | rows
//! ```
//!
//! Little-endian. Record n lies at a fixed place, so chunks may come in any order. Its head is written last: a chunk
//! whose writer was killed has none and counts as missing, as does one whose rows are not those that were
//! hashed.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::files;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use thiserror::Error;

const MAGIC: &[u8; 8] = b"bfstore3";
const MARK: &[u8; 8] = b"bfchunk3";
/// Magic, length and hash.
const PREFIX: usize = 8 + 4 + 32;
/// Headers fill a multiple of this.
const PAGE: u64 = 4096;
/// Bytes before the rows of a record.
const HEAD: usize = 64;
/// Longest header that is believed.
const LONGEST_HEADER: usize = 1 << 20;

/// What a store keeps a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreKind {
    /// The state that goes into the output matrix.
    Hidden,
    /// The logits.
    Logits,
}

impl std::fmt::Display for StoreKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Hidden => "hidden",
            Self::Logits => "logits",
        })
    }
}

/// What a store shall keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreChoice {
    /// What costs less; see [`choose`].
    #[default]
    Auto,
    /// Hidden states.
    Hidden,
    /// Logits.
    Logits,
}

/// How a number is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Element {
    /// Half precision.
    F16,
    /// Single precision.
    F32,
}

impl Element {
    /// Bytes of one number.
    pub fn bytes(self) -> u64 {
        match self {
            Self::F16 => 2,
            Self::F32 => 4,
        }
    }
}

/// What a store is about. Two stores of the same subject have the same content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// SHA-256 of the base model's file (of its parts' hashes, if split); empty if it is not known.
    pub model: String,
    /// BLAKE3 of the text's tokens, chunk after chunk.
    pub tokens: String,
    /// Size of the vocabulary.
    pub vocabulary: u32,
    /// Tokens a chunk.
    pub n_ctx: u32,
    /// Scored positions of a chunk.
    pub rows: u32,
    /// Chunks of the text.
    pub chunks: u64,
}

/// How hidden states become logits again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeadFacts {
    /// BLAKE3 of the output matrix.
    pub key: String,
    /// The model it was read from, when the store was made.
    pub model: PathBuf,
    /// Factor after the multiplication.
    pub scale: Option<f32>,
    /// Soft-cap after that.
    pub softcap: Option<f32>,
    /// Whether a bias is added at last.
    pub bias: bool,
}

/// What stands at the beginning of a store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// What it is about.
    pub subject: Subject,
    /// What it keeps a position.
    pub kind: StoreKind,
    /// How a number is kept.
    pub element: Element,
    /// Numbers a row.
    pub width: u32,
    /// The output matrix, for hidden states.
    pub head: Option<HeadFacts>,
    /// What was wished for.
    pub choice: StoreChoice,
    /// Why logits are kept although hidden states were to be; empty otherwise.
    pub fallback: String,
}

impl Header {
    /// Bytes of one row.
    pub fn row_bytes(&self) -> u64 {
        u64::from(self.width) * self.element.bytes()
    }

    /// Whether its parts go together, as in every store that this program wrote.
    fn is_consistent(&self) -> bool {
        let whole = self.width > 0 && self.subject.rows > 0;
        whole
            && match self.kind {
                StoreKind::Hidden => self.head.is_some(),
                StoreKind::Logits => {
                    self.head.is_none()
                        && self.element == Element::F32
                        && self.width == self.subject.vocabulary
                }
            }
    }

    /// Whether a store that begins like this serves the wish. One that was chosen by its size and has outgrown the
    /// bound does not, and is begun anew; one that fell back to logits always does.
    pub fn serves(&self, choice: StoreChoice, positions: u64) -> bool {
        match (choice, self.kind) {
            (StoreChoice::Hidden | StoreChoice::Auto, StoreKind::Hidden)
            | (StoreChoice::Logits, StoreKind::Logits) => true,
            (StoreChoice::Logits, StoreKind::Hidden) => false,
            (StoreChoice::Hidden, StoreKind::Logits) => !self.fallback.is_empty(),
            (StoreChoice::Auto, StoreKind::Logits) => {
                !self.fallback.is_empty()
                    || self.choice == StoreChoice::Logits
                    || choose(positions, self.subject.vocabulary) == StoreKind::Logits
            }
        }
    }

    /// Bytes of one chunk, with its mark and hash.
    pub fn record_bytes(&self) -> u64 {
        u64::from(self.subject.rows).saturating_mul(self.row_bytes()).saturating_add(HEAD as u64)
    }
}

/// What a store was to somebody, for the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreUse {
    /// What it keeps.
    pub kind: StoreKind,
    /// Bytes of the file, with all chunks written so far.
    pub bytes: u64,
    /// See [`Header::fallback`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub fallback: String,
}

/// Why a store cannot be used.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Reading or writing failed.
    #[error("cannot {doing} the base store {path}: {source}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Something else, or damaged.
    #[error("{path} is not a base store of this program, or its beginning is damaged")]
    NotAStore {
        /// The file.
        path: PathBuf,
    },
    /// A store of something else.
    #[error("the base store {path} was made of {what}")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What differs.
        what: String,
    },
}

impl StoreError {
    /// What the user can do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Io { .. } => None,
            Self::NotAStore { .. } => Some("name another file, or delete it if it was one".to_owned()),
            Self::Foreign { .. } => Some("name another file, or delete this one to make it anew".to_owned()),
        }
    }

    /// Whether the disk is full.
    pub fn is_full_disk(&self) -> bool {
        matches!(self, Self::Io { source, .. } if files::is_full(source))
    }
}

/// Largest file of logits that [`choose`] takes, in bytes: it stays in the page cache of any machine.
pub const LOGITS_BOUND: u64 = 256 << 20;

/// What a store of so many positions should keep.
///
/// Logits cost 4 bytes a vocabulary entry to write once and read for every variant; hidden states cost another
/// multiplication by the output matrix for every variant, 0.3 ms a position on a model of 135M parameters on two
/// cores. From the page cache the logits of a position come ten times faster than that, from a disk slower. So
/// logits win while all of them stay in memory, and hidden states everywhere else.
pub fn choose(positions: u64, vocabulary: u32) -> StoreKind {
    if positions.saturating_mul(u64::from(vocabulary) * 4) <= LOGITS_BOUND {
        StoreKind::Logits
    } else {
        StoreKind::Hidden
    }
}

/// Name of the store of a text whose content key is `id`.
pub fn file_name(id: &str) -> String {
    format!("{id}.bfs")
}

/// The chunks of these that a store does not have. A file that is no store has none.
pub fn missing(path: &Path, chunks: &[u64]) -> Vec<u64> {
    let store = BaseStore::open(path).ok().flatten();
    let has = |chunk: u64| store.as_ref().is_some_and(|s| s.has(chunk));
    chunks.iter().copied().filter(|chunk| !has(*chunk)).collect()
}

/// A store.
#[derive(Debug)]
pub struct BaseStore {
    file: File,
    path: PathBuf,
    header: Header,
    /// Bytes before the first record.
    begin: u64,
}

impl BaseStore {
    /// Opens a store; `None` if there is no file.
    pub fn open(path: &Path) -> Result<Option<Self>, StoreError> {
        // Writable if it may be: a damaged chunk is marked as missing by whoever finds it.
        let file = File::options().read(true).write(true).open(path).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Err(error),
            _ => File::open(path),
        });
        let file = match file {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("open", path)(error)),
        };
        let (header, begin) =
            read_header(&file).ok_or_else(|| StoreError::NotAStore { path: path.to_owned() })?;
        Ok(Some(Self { file, path: path.to_owned(), header, begin }))
    }

    /// Begins a store without chunks. Whatever store was there is replaced at once, never half.
    pub fn create(path: &Path, header: Header) -> Result<Self, StoreError> {
        let write = failed("write", path);
        let json = serde_json::to_vec(&header).map_err(|e| write(e.into()))?;
        let begin = (PREFIX as u64 + json.len() as u64).next_multiple_of(PAGE);
        let mut bytes = Vec::with_capacity(begin as usize);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&(json.len() as u32).to_le_bytes());
        bytes.extend_from_slice(blake3::hash(&json).as_bytes());
        bytes.extend_from_slice(&json);
        bytes.resize(begin as usize, 0);
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(&write)?;
        // Named after its process, so that what a killed one left can be told from what is being written.
        let mut temporary = tempfile::Builder::new();
        let suffix = files::temporary_suffix();
        temporary.prefix(".store-").suffix(&suffix);
        // tempfile's own default lets nobody else read; a cache may be shared, so the user's umask decides.
        temporary.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut temporary = temporary.tempfile_in(folder).map_err(&write)?;
        temporary.write_all(&bytes).and_then(|()| temporary.as_file().sync_all()).map_err(&write)?;
        let file = temporary.persist(path).map_err(|e| write(e.error))?;
        Ok(Self { file, path: path.to_owned(), header, begin })
    }

    /// What stands at its beginning.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Refuses a store that is about something else. An empty `model` is not compared.
    pub fn check(&self, expected: &Subject) -> Result<(), StoreError> {
        let found = &self.header.subject;
        let known = !found.model.is_empty() && !expected.model.is_empty();
        let what = if known && found.model != expected.model {
            "another base model".to_owned()
        } else if found.vocabulary != expected.vocabulary {
            format!("a model with {} tokens of vocabulary, not {}", found.vocabulary, expected.vocabulary)
        } else if found.n_ctx != expected.n_ctx || found.rows != expected.rows {
            format!("chunks of {} tokens, not {}", found.n_ctx, expected.n_ctx)
        } else if found.tokens != expected.tokens || found.chunks != expected.chunks {
            "another text, or with another tokenizer".to_owned()
        } else {
            return Ok(());
        };
        Err(StoreError::Foreign { path: self.path.clone(), what })
    }

    /// Whether a chunk has been written to its end. Its content is only checked when it is read.
    pub fn has(&self, chunk: u64) -> bool {
        self.record_head(chunk).is_some()
    }

    /// Bytes of header and written chunks.
    pub fn bytes(&self) -> u64 {
        let written = (0..self.header.subject.chunks).filter(|c| self.has(*c)).count() as u64;
        self.begin + written * self.header.record_bytes()
    }

    /// What a record says of this store.
    pub fn summary(&self) -> StoreUse {
        StoreUse { kind: self.header.kind, bytes: self.bytes(), fallback: self.header.fallback.clone() }
    }

    /// Marks a damaged chunk as missing.
    pub fn discard(&self, chunk: u64) -> Result<(), StoreError> {
        let Some(at) = self.place(chunk) else { return Ok(()) };
        self.file.write_all_at(&[0; HEAD], at).map_err(failed("write", &self.path))
    }

    /// Begins writing a chunk; what was there is gone. `None` if the text has no such chunk.
    pub fn write(&self, chunk: u64) -> Result<Option<ChunkWriter<'_>>, StoreError> {
        let Some(at) = self.place(chunk) else { return Ok(None) };
        if self.has(chunk) {
            self.discard(chunk)?;
        }
        Ok(Some(ChunkWriter { store: self, chunk, at: at + HEAD as u64, hash: begin_hash(chunk) }))
    }

    /// Begins reading a chunk; `None` if it is missing.
    pub fn read(&self, chunk: u64) -> Option<ChunkReader> {
        let expected = self.record_head(chunk)?;
        let at = self.place(chunk)? + HEAD as u64;
        Some(ChunkReader { at, end: self.end(chunk)?, hash: begin_hash(chunk), expected })
    }

    /// The next rows of a chunk: each is read and hashed, and given to `each` with its number among them. Rows are
    /// taken by all threads at once, so that what is made of one is made while it lies in a near cache.
    pub fn rows<T: Send>(
        &self,
        reader: &mut ChunkReader,
        rows: usize,
        each: impl Fn(usize, &[u8]) -> T + Sync,
    ) -> Result<Vec<T>, StoreError> {
        let failed = failed("read", &self.path);
        let bytes = self.header.row_bytes();
        let begin = reader.at;
        let end = begin + rows as u64 * bytes;
        if end > reader.end {
            return Err(failed(io::ErrorKind::UnexpectedEof.into()));
        }
        // In words, so that numbers in it are aligned.
        let room = || vec![0_u64; (bytes as usize).div_ceil(8)];
        let one = |buffer: &mut Vec<u64>, row: usize| {
            let words: &mut [u8] = bytemuck::cast_slice_mut(buffer);
            let (row_bytes, _) = words.split_at_mut(bytes as usize);
            self.file.read_exact_at(row_bytes, begin + row as u64 * bytes)?;
            Ok((blake3::hash(row_bytes), each(row, row_bytes)))
        };
        let read: Vec<(blake3::Hash, T)> =
            (0..rows).into_par_iter().map_init(room, one).collect::<io::Result<_>>().map_err(failed)?;
        reader.at = end;
        let add = |(hash, made): (blake3::Hash, T)| {
            reader.hash.update(hash.as_bytes());
            made
        };
        Ok(read.into_iter().map(add).collect())
    }

    /// First byte of a chunk's record.
    fn place(&self, chunk: u64) -> Option<u64> {
        if chunk >= self.header.subject.chunks {
            return None;
        }
        self.begin.checked_add(chunk.checked_mul(self.header.record_bytes())?)
    }

    fn end(&self, chunk: u64) -> Option<u64> {
        self.place(chunk)?.checked_add(self.header.record_bytes())
    }

    /// The hash of a chunk that is there.
    fn record_head(&self, chunk: u64) -> Option<[u8; 32]> {
        let mut head = [0_u8; HEAD];
        self.file.read_exact_at(&mut head, self.place(chunk)?).ok()?;
        let (mark, rest) = head.split_first_chunk::<8>()?;
        let (index, rest) = rest.split_first_chunk::<8>()?;
        let there = mark == MARK
            && u64::from_le_bytes(*index) == chunk
            && self.file.metadata().ok()?.len() >= self.end(chunk)?;
        there.then(|| rest.first_chunk::<32>().copied())?
    }
}

fn failed<'a>(doing: &'static str, path: &'a Path) -> impl Fn(io::Error) -> StoreError + use<'a> {
    move |source| StoreError::Io { doing, path: path.to_owned(), source }
}

fn begin_hash(chunk: u64) -> blake3::Hasher {
    let mut hash = blake3::Hasher::new();
    hash.update(&chunk.to_le_bytes());
    hash
}

fn read_header(file: &File) -> Option<(Header, u64)> {
    let mut prefix = [0_u8; PREFIX];
    file.read_exact_at(&mut prefix, 0).ok()?;
    let (magic, rest) = prefix.split_first_chunk::<8>()?;
    let (length, hash) = rest.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    if magic != MAGIC || length > LONGEST_HEADER {
        return None;
    }
    let mut json = vec![0_u8; length];
    file.read_exact_at(&mut json, PREFIX as u64).ok()?;
    if blake3::hash(&json).as_bytes() != hash {
        return None;
    }
    let header: Header = serde_json::from_slice(&json).ok().filter(Header::is_consistent)?;
    Some((header, (PREFIX as u64 + length as u64).next_multiple_of(PAGE)))
}

/// A chunk being written; it is there only when finished.
#[derive(Debug)]
pub struct ChunkWriter<'store> {
    store: &'store BaseStore,
    chunk: u64,
    at: u64,
    hash: blake3::Hasher,
}

impl ChunkWriter<'_> {
    /// Adds rows, each of the store's bytes a row.
    pub fn rows<R: AsRef<[u8]> + Sync>(&mut self, rows: &[R]) -> Result<(), StoreError> {
        let failed = failed("write", &self.store.path);
        let bytes = self.store.header.row_bytes();
        let one = |(row, content): (usize, &R)| {
            let content = content.as_ref();
            if content.len() as u64 != bytes {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            self.store.file.write_all_at(content, self.at + row as u64 * bytes)?;
            Ok(blake3::hash(content))
        };
        let hashes: Vec<blake3::Hash> =
            rows.par_iter().enumerate().map(one).collect::<io::Result<_>>().map_err(failed)?;
        for hash in hashes {
            self.hash.update(hash.as_bytes());
        }
        self.at += rows.len() as u64 * bytes;
        Ok(())
    }

    /// Marks the chunk as there. With too few or too many rows it stays missing.
    pub fn finish(self) -> Result<(), StoreError> {
        let store = self.store;
        let (Some(begin), Some(end)) = (store.place(self.chunk), store.end(self.chunk)) else {
            return Ok(());
        };
        if self.at != end {
            return Ok(());
        }
        let mut head = [0_u8; HEAD];
        head[..8].copy_from_slice(MARK);
        head[8..16].copy_from_slice(&self.chunk.to_le_bytes());
        head[16..48].copy_from_slice(self.hash.finalize().as_bytes());
        store.file.write_all_at(&head, begin).map_err(failed("write", &store.path))
    }
}

/// A chunk being read, a few rows at a time, with [`BaseStore::rows`].
#[derive(Debug)]
pub struct ChunkReader {
    at: u64,
    end: u64,
    hash: blake3::Hasher,
    expected: [u8; 32],
}

impl ChunkReader {
    /// After the last row: whether what was read is what was written.
    pub fn is_intact(&self) -> bool {
        self.at == self.end && *self.hash.finalize().as_bytes() == self.expected
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CHUNKS: u64 = 5;

    fn subject() -> Subject {
        let (model, tokens) = ("m".repeat(64), "t".repeat(64));
        Subject { model, tokens, vocabulary: 7, n_ctx: 8, rows: 3, chunks: CHUNKS }
    }

    fn header(kind: StoreKind) -> Header {
        let (element, width) = match kind {
            StoreKind::Hidden => (Element::F16, 4),
            StoreKind::Logits => (Element::F32, 7),
        };
        let (subject, choice) = (subject(), StoreChoice::Auto);
        let facts = HeadFacts {
            key: "h".repeat(64),
            model: PathBuf::from("b"),
            scale: None,
            softcap: None,
            bias: false,
        };
        let head = (kind == StoreKind::Hidden).then_some(facts);
        Header { subject, kind, element, width, head, choice, fallback: String::new() }
    }

    fn place() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deep").join(file_name("x"));
        (folder, path)
    }

    /// Rows that no other chunk has.
    fn content(store: &BaseStore, chunk: u64) -> Vec<u8> {
        let bytes = u64::from(store.header().subject.rows) * store.header().row_bytes();
        (0..bytes).map(|i| (i * 7 + chunk * 31) as u8).collect()
    }

    fn put(store: &BaseStore, chunk: u64) {
        let mut writer = store.write(chunk).expect("begun").expect("in the text");
        let content = content(store, chunk);
        let rows: Vec<&[u8]> = content.chunks(store.header().row_bytes() as usize).collect();
        writer.rows(&rows[..1]).expect("written");
        writer.rows(&rows[1..]).expect("written");
        writer.finish().expect("finished");
    }

    /// What a reader gets: nothing, or the rows and whether they are intact.
    fn get(store: &BaseStore, chunk: u64) -> Option<(Vec<u8>, bool)> {
        let mut reader = store.read(chunk)?;
        let mut next = |rows| store.rows(&mut reader, rows, |i, row| (i, row.to_vec()));
        let mut rows = next(2).expect("two rows");
        assert_eq!(rows.iter().map(|(i, _)| *i).collect::<Vec<_>>(), [0, 1]);
        rows.extend(next(1).expect("the last row"));
        assert!(next(1).is_err(), "nothing after the last");
        let bytes = rows.into_iter().flat_map(|(_, row)| row).collect();
        let intact = reader.is_intact();
        Some((bytes, intact))
    }

    fn reopened(path: &Path) -> BaseStore {
        BaseStore::open(path).expect("opened").expect("there")
    }

    proptest! {
        #[test]
        fn chunks_written_in_any_order_and_over_several_lives_come_back(
            order in Just((0..CHUNKS).collect::<Vec<_>>()).prop_shuffle(),
            lives in 1_usize..4,
            hidden: bool,
        ) {
            let (_folder, path) = place();
            let kind = if hidden { StoreKind::Hidden } else { StoreKind::Logits };
            drop(BaseStore::create(&path, header(kind)).expect("created"));
            for life in order.chunks(lives) {
                let store = reopened(&path);
                for chunk in life {
                    put(&store, *chunk);
                }
                let absent = missing(&path, &order);
                prop_assert!(life.iter().all(|chunk| !absent.contains(chunk)));
            }
            let store = reopened(&path);
            for chunk in 0..CHUNKS {
                prop_assert_eq!(get(&store, chunk), Some((content(&store, chunk), true)));
            }
            prop_assert_eq!(store.bytes(), std::fs::metadata(&path).expect("there").len());
        }

        #[test]
        fn a_cut_file_loses_whole_chunks_and_nothing_else(share in 0.0_f64..1.0) {
            let (_folder, path) = place();
            let store = BaseStore::create(&path, header(StoreKind::Logits)).expect("created");
            (0..CHUNKS).for_each(|chunk| put(&store, chunk));
            let (begin, end) = (store.begin, store.bytes());
            let cut = begin + ((end - begin) as f64 * share) as u64;
            store.file.set_len(cut).expect("cut");
            let whole = (cut - begin) / store.header().record_bytes();
            prop_assert_eq!(missing(&path, &[0, 1, 2, 3, 4]), (whole..CHUNKS).collect::<Vec<_>>());
            let store = reopened(&path);
            (whole..CHUNKS).for_each(|chunk| put(&store, chunk));
            for chunk in 0..CHUNKS {
                prop_assert_eq!(get(&store, chunk), Some((content(&store, chunk), true)));
            }
        }

        #[test]
        fn a_header_of_noise_is_no_store(noise in prop::collection::vec(any::<u8>(), 0..300), keep in 0_usize..60) {
            let (_folder, path) = place();
            drop(BaseStore::create(&path, header(StoreKind::Logits)).expect("created"));
            let good = std::fs::read(&path).expect("read");
            let mut bytes = good.clone();
            bytes.truncate(keep);
            bytes.extend(noise);
            std::fs::write(&path, bytes).expect("written");
            let error = BaseStore::open(&path).expect_err("noise");
            let is_refused = matches!(error, StoreError::NotAStore { .. });
            prop_assert!(is_refused);
            prop_assert_eq!(missing(&path, &[0, 1]), vec![0, 1]);
        }
    }

    #[test]
    fn a_chunk_whose_writer_was_killed_is_missing() {
        let (_folder, path) = place();
        let store = BaseStore::create(&path, header(StoreKind::Hidden)).expect("created");
        put(&store, 1);
        for rows in 0..3 {
            let mut writer = store.write(3).expect("begun").expect("in the text");
            let bytes = content(&store, 3);
            let of_rows: Vec<&[u8]> = bytes.chunks(store.header().row_bytes() as usize).take(rows).collect();
            writer.rows(&of_rows).expect("written");
            if rows == 2 {
                writer.finish().expect("too few rows do not count as written");
            }
            assert_eq!(missing(&path, &[1, 3]), [3]);
        }
        // Killed while it wrote a chunk anew: the old one is gone as well.
        let writer = store.write(1).expect("begun").expect("in the text");
        drop(writer);
        assert!(!store.has(1));
        put(&store, 3);
        assert_eq!(get(&store, 3), Some((content(&store, 3), true)));
    }

    #[test]
    fn a_flipped_bit_is_seen_and_the_chunk_written_again() {
        let (_folder, path) = place();
        let store = BaseStore::create(&path, header(StoreKind::Logits)).expect("created");
        (0..2).for_each(|chunk| put(&store, chunk));
        let at = store.place(1).expect("in the text") + HEAD as u64 + 5;
        store.file.write_all_at(&[0xff], at).expect("damaged");
        assert!(get(&store, 0).expect("there").1);
        assert!(!get(&store, 1).expect("there").1);
        store.discard(1).expect("discarded");
        assert_eq!(missing(&path, &[0, 1]), [1]);
        put(&store, 1);
        assert!(get(&store, 1).expect("there").1);
    }

    #[test]
    fn a_record_in_another_place_is_not_believed() {
        let (_folder, path) = place();
        let store = BaseStore::create(&path, header(StoreKind::Logits)).expect("created");
        (0..2).for_each(|chunk| put(&store, chunk));
        let mut record = vec![0; store.header().record_bytes() as usize];
        store.file.read_exact_at(&mut record, store.place(0).expect("in the text")).expect("read");
        store.file.write_all_at(&record, store.place(1).expect("in the text")).expect("written");
        assert!(store.has(0) && !store.has(1));
    }

    #[test]
    fn a_store_of_something_else_is_refused_in_one_sentence() {
        let (_folder, path) = place();
        let store = BaseStore::create(&path, header(StoreKind::Logits)).expect("created");
        let refusal = |change: &dyn Fn(&mut Subject)| {
            let mut other = subject();
            change(&mut other);
            store.check(&other).expect_err("foreign").to_string()
        };
        assert!(refusal(&|s| s.model = "n".repeat(64)).ends_with("another base model"));
        assert!(refusal(&|s| s.vocabulary = 9).ends_with("7 tokens of vocabulary, not 9"));
        assert!(refusal(&|s| s.n_ctx = 16).ends_with("chunks of 8 tokens, not 16"));
        assert!(refusal(&|s| s.tokens = "u".repeat(64)).ends_with("another text, or with another tokenizer"));
        assert!(refusal(&|s| s.chunks = 4).ends_with("another text, or with another tokenizer"));
        store.check(&subject()).expect("the same");
        store.check(&Subject { model: String::new(), ..subject() }).expect("nobody knows the model");
    }

    #[test]
    fn a_missing_file_is_nothing_and_a_folder_an_error() {
        let (folder, path) = place();
        assert!(BaseStore::open(&path).expect("no error").is_none());
        assert_eq!(missing(&path, &[4, 2]), [4, 2]);
        assert!(BaseStore::open(folder.path()).is_err());
    }

    #[test]
    fn a_header_whose_parts_do_not_go_together_is_no_store() {
        let (_folder, path) = place();
        let refuses = |header: Header| {
            drop(BaseStore::create(&path, header).expect("created"));
            matches!(BaseStore::open(&path), Err(StoreError::NotAStore { .. }))
        };
        let (hidden, logits) = (header(StoreKind::Hidden), header(StoreKind::Logits));
        assert!(refuses(Header { head: None, ..hidden.clone() }));
        assert!(refuses(Header { width: 0, ..hidden.clone() }));
        assert!(refuses(Header { head: hidden.head.clone(), ..logits.clone() }));
        assert!(refuses(Header { width: 8, ..logits.clone() }));
        assert!(refuses(Header { element: Element::F16, ..logits.clone() }));
        assert!(!refuses(hidden) && !refuses(logits));
    }

    #[test]
    fn there_is_no_chunk_after_the_last() {
        let (_folder, path) = place();
        let store = BaseStore::create(&path, header(StoreKind::Logits)).expect("created");
        assert!(store.write(CHUNKS).expect("no error").is_none());
        assert!(store.write(u64::MAX).expect("no error").is_none());
        assert!(!store.has(CHUNKS) && !store.has(u64::MAX));
    }

    #[test]
    fn a_header_that_would_overflow_is_harmless() {
        let (_folder, path) = place();
        let mut huge = header(StoreKind::Logits);
        (huge.width, huge.subject.rows, huge.subject.chunks) = (u32::MAX, u32::MAX, u64::MAX);
        let store = BaseStore::create(&path, huge).expect("created");
        assert!(!store.has(1) && !store.has(u64::MAX - 1) && store.read(0).is_none());
        assert!(store.check(&subject()).is_err());
    }

    #[test]
    fn small_files_keep_logits_and_large_ones_states() {
        assert_eq!(choose(255, 49_152), StoreKind::Logits);
        assert_eq!(choose(255 * 40, 49_152), StoreKind::Hidden);
        assert_eq!(choose(255 * 2, 248_320), StoreKind::Hidden);
        assert_eq!(choose(u64::MAX, u32::MAX), StoreKind::Hidden);
    }

    #[test]
    fn a_store_serves_what_was_wished_for() {
        use StoreChoice::{Auto, Hidden, Logits};
        let states = header(StoreKind::Hidden);
        assert!(states.serves(Auto, 1) && states.serves(Hidden, 1) && !states.serves(Logits, 1));
        let mut logits = header(StoreKind::Logits);
        assert!(logits.serves(Auto, 1) && logits.serves(Logits, u64::MAX) && !logits.serves(Hidden, 1));
        assert!(!logits.serves(Auto, u64::MAX), "outgrown");
        logits.choice = Logits;
        assert!(logits.serves(Auto, u64::MAX), "wished for");
        logits.fallback = "cannot be had".to_owned();
        assert!(logits.serves(Hidden, 1));
    }
}
