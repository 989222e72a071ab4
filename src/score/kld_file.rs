//! llama.cpp's files of a base's log-probabilities (`llama-perplexity --kl-divergence-base`), read and written row
//! by row, so that memory does not grow with the text or the context.
//!
//! File, little-endian: `_logits_`, i32 tokens a chunk, i32 vocabulary, i32 chunks, the tokens of all chunks as
//! i32 (before the first of each becomes BOS), then the encoded rows of the scored positions, chunk after chunk.
//! The format has no checksum and no name of a model: what can be checked is checked here.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::llama_perplexity::row_bytes;

use crate::files;

const MAGIC: &[u8; 8] = b"_logits_";
const HEADER: u64 = 8 + 3 * 4;
const BUFFER: usize = 1 << 20;
/// Tokens checked at once.
const BLOCK: usize = 1 << 16;

/// Why a file of log-probabilities cannot be used.
#[derive(Debug, Error)]
pub enum KldFileError {
    /// It cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is something else.
    #[error("{} is not a file of log-probabilities by llama-perplexity: {reason}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What shows it.
        reason: &'static str,
    },
    /// Its length is not what its header says.
    #[error("{} is {what}: it has {found} bytes, and its header says {expected}", path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// `truncated` or `longer than it should be`.
        what: &'static str,
        /// Bytes it has.
        found: u64,
        /// Bytes it should have.
        expected: u64,
    },
    /// It was made with a model of another vocabulary.
    #[error("{} is of a vocabulary of {found} tokens, and the model's has {expected}", path.display())]
    Vocabulary {
        /// The file.
        path: PathBuf,
        /// The file's.
        found: u32,
        /// The model's.
        expected: u32,
    },
    /// It was made with another context length.
    #[error("{} was made with contexts of {found} tokens, not {expected}", path.display())]
    Context {
        /// The file.
        path: PathBuf,
        /// The file's.
        found: u32,
        /// The one asked for.
        expected: u32,
    },
    /// It was made from another text, or with another tokenizer.
    #[error("{} was made from another text or with another tokenizer: token {position} differs", path.display())]
    Tokens {
        /// The file.
        path: PathBuf,
        /// Position of the first token that differs, from 0.
        position: u64,
    },
    /// It has more chunks than the text.
    #[error("{} has {found} chunks, and the text only {expected}", path.display())]
    Chunks {
        /// The file.
        path: PathBuf,
        /// The file's.
        found: u64,
        /// The text's.
        expected: u64,
    },
}

impl KldFileError {
    /// What the user can do.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Read { .. } | Self::Write { .. } => return None,
            Self::Foreign { .. } => "such files are made with --save-base-logits",
            Self::Length { .. } => "was it written to its end? Make it again with --save-base-logits",
            Self::Vocabulary { .. } => "use the file of this model's own base",
            Self::Context { found, .. } => return Some(format!("use --ctx {found}, or make the file again")),
            Self::Tokens { .. } | Self::Chunks { .. } => "use the text and the model family it was made with",
        };
        Some(hint.to_owned())
    }

    /// Whether the disk is full.
    pub fn no_space(&self) -> bool {
        matches!(self, Self::Write { source, .. } if files::is_full(source))
    }
}

/// What a file's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Tokens a chunk.
    pub n_ctx: u32,
    /// Tokens of the vocabulary.
    pub vocabulary: u32,
    /// Chunks.
    pub chunks: u32,
}

impl Shape {
    /// Scored positions of a chunk.
    fn rows(self) -> u64 {
        u64::from(self.n_ctx - 1 - self.n_ctx / 2)
    }

    fn tokens(self) -> u64 {
        u64::from(self.chunks) * u64::from(self.n_ctx)
    }

    /// Where a chunk's rows begin; `None` if no file can be that long.
    fn offset(self, chunk: u64) -> Option<u64> {
        let row = row_bytes(self.vocabulary) as u64;
        self.rows().checked_mul(row)?.checked_mul(chunk)?.checked_add(HEADER + 4 * self.tokens())
    }
}

/// A file being read.
#[derive(Debug)]
pub struct KldReader {
    file: BufReader<File>,
    path: PathBuf,
    shape: Shape,
    bytes: u64,
}

impl KldReader {
    /// Opens a file and checks that it is one and whole.
    pub fn open(path: &Path) -> Result<Self, KldFileError> {
        let failed = |source| KldFileError::Read { path: path.to_owned(), source };
        let foreign = |reason| KldFileError::Foreign { path: path.to_owned(), reason };
        let file = File::open(path).map_err(failed)?;
        let about = file.metadata().map_err(failed)?;
        if !about.is_file() {
            return Err(foreign("it is not a file"));
        }
        let mut file = BufReader::with_capacity(BUFFER, file);
        let mut magic = [0; 8];
        match file.read_exact(&mut magic) {
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(failed(error)),
            Ok(()) if magic == *MAGIC => {}
            _ => return Err(foreign("it does not begin with `_logits_`")),
        }
        let mut words = [0_u32; 3];
        for word in &mut words {
            let mut bytes = [0; 4];
            file.read_exact(&mut bytes).map_err(|_| foreign("it ends within its header"))?;
            *word = u32::from_le_bytes(bytes);
        }
        let [n_ctx, vocabulary, chunks] = words;
        if words.iter().any(|w| *w == 0 || *w > i32::MAX as u32) || n_ctx < 4 {
            return Err(foreign("its header makes no sense"));
        }
        let shape = Shape { n_ctx, vocabulary, chunks };
        let expected = shape.offset(chunks.into()).ok_or_else(|| foreign("its header makes no sense"))?;
        if about.len() != expected {
            let what = if about.len() < expected { "truncated" } else { "longer than it should be" };
            return Err(KldFileError::Length { path: path.to_owned(), what, found: about.len(), expected });
        }
        Ok(Self { file, path: path.to_owned(), shape, bytes: expected })
    }

    /// What its header says.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Checks that the file is of this vocabulary and of a text that begins with these tokens, cut alike.
    pub fn check(&mut self, vocabulary: u32, n_ctx: u32, tokens: &[i32]) -> Result<(), KldFileError> {
        let path = || self.path.clone();
        let Shape { n_ctx: found, vocabulary: words, chunks } = self.shape;
        if words != vocabulary {
            return Err(KldFileError::Vocabulary { path: path(), found: words, expected: vocabulary });
        }
        if found != n_ctx {
            return Err(KldFileError::Context { path: path(), found, expected: n_ctx });
        }
        let there = (tokens.len() / n_ctx as usize) as u64;
        if there < u64::from(chunks) {
            return Err(KldFileError::Chunks { path: path(), found: chunks.into(), expected: there });
        }
        self.check_tokens(tokens)
    }

    fn check_tokens(&mut self, tokens: &[i32]) -> Result<(), KldFileError> {
        let failed = |path: &Path, source| KldFileError::Read { path: path.to_owned(), source };
        self.file.seek(SeekFrom::Start(HEADER)).map_err(|e| failed(&self.path, e))?;
        let ours = tokens.get(..self.shape.tokens() as usize).unwrap_or(tokens);
        let mut bytes = Vec::new();
        for (block, ours) in ours.chunks(BLOCK).enumerate() {
            bytes.resize(4 * ours.len(), 0);
            self.file.read_exact(&mut bytes).map_err(|e| failed(&self.path, e))?;
            let theirs = bytes.as_chunks::<4>().0.iter().map(|word| i32::from_le_bytes(*word));
            if let Some(at) = theirs.zip(ours).position(|(theirs, ours)| theirs != *ours) {
                let position = (block * BLOCK + at) as u64;
                return Err(KldFileError::Tokens { path: self.path.clone(), position });
            }
        }
        Ok(())
    }

    /// Goes to the first row of a chunk.
    pub fn seek(&mut self, chunk: u64) -> Result<(), KldFileError> {
        let offset = self.shape.offset(chunk).unwrap_or(self.bytes);
        let there = self.file.stream_position().and_then(|now| {
            // Within the buffer nothing is read again.
            self.file.seek_relative(offset.cast_signed().wrapping_sub(now.cast_signed()))
        });
        there.map_err(|source| KldFileError::Read { path: self.path.clone(), source })
    }

    /// Bytes of the next `rows` rows, one after the other.
    pub fn rows(&mut self, rows: usize) -> Result<Vec<u8>, KldFileError> {
        let mut bytes = vec![0; rows * row_bytes(self.shape.vocabulary)];
        self.file
            .read_exact(&mut bytes)
            .map_err(|source| KldFileError::Read { path: self.path.clone(), source })?;
        Ok(bytes)
    }
}

/// A file being written; it has its name only when it is whole.
#[derive(Debug)]
pub struct KldWriter {
    out: BufWriter<tempfile::NamedTempFile>,
    path: PathBuf,
}

impl KldWriter {
    /// Begins a file; `tokens` are those of all its chunks.
    pub fn create(path: &Path, n_ctx: u32, vocabulary: u32, tokens: &[i32]) -> Result<Self, KldFileError> {
        let folder = path.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let begin = || -> io::Result<BufWriter<tempfile::NamedTempFile>> {
            std::fs::create_dir_all(folder)?;
            // For whoever may read the folder's other files, not only for its maker.
            let readable = std::fs::Permissions::from_mode(0o666);
            let temporary =
                tempfile::Builder::new().prefix(".logits-").permissions(readable).tempfile_in(folder)?;
            let mut out = BufWriter::with_capacity(BUFFER, temporary);
            out.write_all(MAGIC)?;
            for word in [n_ctx, vocabulary, (tokens.len() / n_ctx.max(1) as usize) as u32] {
                out.write_all(&word.to_le_bytes())?;
            }
            for token in tokens {
                out.write_all(&token.to_le_bytes())?;
            }
            Ok(out)
        };
        let out = begin().map_err(|source| KldFileError::Write { path: path.to_owned(), source })?;
        Ok(Self { out, path: path.to_owned() })
    }

    /// Adds encoded rows.
    pub fn rows(&mut self, bytes: &[u8]) -> Result<(), KldFileError> {
        self.out.write_all(bytes).map_err(|source| KldFileError::Write { path: self.path.clone(), source })
    }

    /// Gives the file its name.
    pub fn finish(self) -> Result<(), KldFileError> {
        let failed = |source| KldFileError::Write { path: self.path.clone(), source };
        let temporary = self.out.into_inner().map_err(|e| failed(e.into_error()))?;
        temporary.persist(&self.path).map_err(|e| failed(e.error))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::llama_perplexity::encode;
    use std::fs;

    /// Two chunks of 8 tokens, so 3 rows a chunk, of a vocabulary of 5.
    const TOKENS: [i32; 16] = [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0];

    fn row(i: usize) -> Vec<u8> {
        let logits: Vec<f32> = (0..5_u8).map(|j| f32::from(j) * (i as f32 + 0.5)).collect();
        let mut bytes = Vec::new();
        encode(&logits, 0, &mut bytes);
        bytes
    }

    fn written(folder: &Path) -> PathBuf {
        let path = folder.join("base.kld");
        let mut writer = KldWriter::create(&path, 8, 5, &TOKENS).expect("begun");
        for i in 0..6 {
            writer.rows(&row(i)).expect("written");
        }
        assert!(!path.exists(), "not before it is whole");
        writer.finish().expect("finished");
        path
    }

    #[test]
    fn what_is_written_is_read_in_any_order() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = written(folder.path());
        let bytes = fs::read(&path).expect("bytes");
        assert_eq!(bytes.len(), 20 + 16 * 4 + 6 * 20);
        assert_eq!(bytes[..20], *b"_logits_\x08\0\0\0\x05\0\0\0\x02\0\0\0");
        let mut reader = KldReader::open(&path).expect("opened");
        assert_eq!(reader.shape(), Shape { n_ctx: 8, vocabulary: 5, chunks: 2 });
        reader.check(5, 8, &[&TOKENS[..], &[1, 1, 1]].concat()).expect("the same text, with a tail");
        reader.seek(1).expect("there");
        assert_eq!(reader.rows(3).expect("rows"), [row(3), row(4), row(5)].concat());
        reader.seek(0).expect("there");
        assert_eq!(reader.rows(2).expect("rows"), [row(0), row(1)].concat());
        assert_eq!(reader.rows(1).expect("a row"), row(2));
    }

    #[test]
    fn what_does_not_fit_is_one_clear_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut reader = KldReader::open(&written(folder.path())).expect("opened");
        let mut other = TOKENS;
        other[11] = 4;
        for (vocabulary, n_ctx, tokens, expected) in [
            (6, 8, &TOKENS[..], "is of a vocabulary of 5 tokens, and the model's has 6"),
            (5, 4, &TOKENS[..], "was made with contexts of 8 tokens, not 4"),
            (5, 8, &other[..], "token 11 differs"),
            (5, 8, &TOKENS[..15], "has 2 chunks, and the text only 1"),
        ] {
            let error = reader.check(vocabulary, n_ctx, tokens).expect_err("it does not fit");
            assert!(error.to_string().contains(expected), "{error}");
            assert!(error.hint().is_some());
        }
    }

    #[test]
    fn truncated_and_foreign_files_are_refused_on_opening() {
        let folder = tempfile::tempdir().expect("a folder");
        let whole = fs::read(written(folder.path())).expect("bytes");
        let path = folder.path().join("other");
        let error = |bytes: &[u8]| {
            fs::write(&path, bytes).expect("written");
            KldReader::open(&path).expect_err("refused").to_string()
        };
        for end in [20, 40, 84, whole.len() - 1] {
            assert!(error(&whole[..end]).contains("is truncated"), "{end}");
        }
        for end in [8, 12, 19] {
            assert!(error(&whole[..end]).contains("ends within its header"), "{end}");
        }
        assert!(error(&[&whole[..], &[0]].concat()).contains("longer than it should be"));
        for foreign in [&b""[..], b"GGUF", b"_logitz_aaaaaaaaaaaa"] {
            assert!(error(foreign).contains("does not begin with"), "{foreign:?}");
        }
        for at in [8, 12, 16] {
            let mut bytes = whole.clone();
            bytes[at..at + 4].fill(0);
            assert!(error(&bytes).contains("makes no sense"));
            bytes[at..at + 4].fill(0xff);
            assert!(error(&bytes).contains("makes no sense"));
            bytes[at + 3] = 0x7f;
            // A length beyond what a file can have is an error too, and no overflow.
            assert!(!error(&bytes).is_empty());
        }
        assert!(KldReader::open(folder.path()).expect_err("a folder").to_string().contains("not a file"));
        assert!(KldReader::open(&folder.path().join("none")).is_err());
    }
}
