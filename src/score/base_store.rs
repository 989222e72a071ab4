//! The base's logits for the scored positions of a text, one file a chunk, so that every variant is compared
//! with the same numbers. Exact f32, checked by a hash; a chunk that is torn or foreign counts as missing.
//!
//! File: 8 bytes of magic, u32 vocabulary, u32 rows, 32 bytes of BLAKE3 over the rows, rows of f32, little-endian.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"bfbase01";
const HEADER: usize = 8 + 4 + 4 + 32;

/// A folder with a file a chunk.
#[derive(Debug, Clone)]
pub struct BaseStore {
    folder: PathBuf,
}

impl BaseStore {
    /// A store in `folder`, which is made.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Where a chunk lies.
    pub fn chunk_path(folder: &Path, chunk: u64) -> PathBuf {
        folder.join(format!("chunk-{chunk:06}.f32"))
    }

    /// Removes a chunk that is damaged, so that it is written again.
    pub fn discard(&self, chunk: u64) -> io::Result<()> {
        fs::remove_file(Self::chunk_path(&self.folder, chunk))
    }

    /// Begins writing a chunk of `rows` rows.
    pub fn write(&self, chunk: u64, vocabulary: u32, rows: u32) -> io::Result<ChunkWriter> {
        let path = Self::chunk_path(&self.folder, chunk);
        let temporary = tempfile::Builder::new()
            .prefix(".chunk-")
            // Names its process, so that what a killed one left can be told from what is being written.
            .suffix(&format!(".{}.tmp", std::process::id()))
            .tempfile_in(&self.folder)?;
        let mut out = BufWriter::with_capacity(1 << 20, temporary);
        out.write_all(&[0_u8; HEADER])?;
        Ok(ChunkWriter { out, path, vocabulary, rows, hash: blake3::Hasher::new() })
    }

    /// Opens a chunk; `None` if it is missing or not of this shape.
    pub fn read(&self, chunk: u64, vocabulary: u32, rows: u32) -> io::Result<Option<ChunkReader>> {
        let mut file = match File::open(Self::chunk_path(&self.folder, chunk)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut header = [0_u8; HEADER];
        if file.read_exact(&mut header).is_err() || header[..8] != *MAGIC {
            return Ok(None);
        }
        let word =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let body = u64::from(vocabulary) * u64::from(rows) * 4;
        if word(8) != vocabulary || word(12) != rows || file.metadata()?.len() != HEADER as u64 + body {
            return Ok(None);
        }
        let mut expected = [0_u8; 32];
        expected.copy_from_slice(&header[16..]);
        Ok(Some(ChunkReader { file, vocabulary, hash: blake3::Hasher::new(), expected }))
    }
}

/// A chunk being written; it appears under its name only when finished.
#[derive(Debug)]
pub struct ChunkWriter {
    out: BufWriter<tempfile::NamedTempFile>,
    path: PathBuf,
    vocabulary: u32,
    rows: u32,
    hash: blake3::Hasher,
}

impl ChunkWriter {
    /// Adds a row.
    pub fn row(&mut self, row: &[f32]) -> io::Result<()> {
        let bytes: Vec<u8> = row.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.hash.update(&bytes);
        self.out.write_all(&bytes)
    }

    /// Writes the header and gives the chunk its name.
    pub fn finish(self) -> io::Result<()> {
        let mut temporary = self.out.into_inner().map_err(io::IntoInnerError::into_error)?;
        temporary.seek(SeekFrom::Start(0))?;
        temporary.write_all(MAGIC)?;
        temporary.write_all(&self.vocabulary.to_le_bytes())?;
        temporary.write_all(&self.rows.to_le_bytes())?;
        temporary.write_all(self.hash.finalize().as_bytes())?;
        temporary.persist(&self.path).map_err(|e| e.error)?;
        Ok(())
    }
}

/// A chunk being read, a few rows at a time.
#[derive(Debug)]
pub struct ChunkReader {
    file: File,
    vocabulary: u32,
    hash: blake3::Hasher,
    expected: [u8; 32],
}

impl ChunkReader {
    /// The next `rows` rows, one after the other.
    pub fn rows(&mut self, rows: usize) -> io::Result<Vec<f32>> {
        let mut bytes = vec![0_u8; rows * self.vocabulary as usize * 4];
        self.file.read_exact(&mut bytes)?;
        self.hash.update(&bytes);
        let (words, _) = bytes.as_chunks::<4>();
        Ok(words.iter().map(|w| f32::from_le_bytes(*w)).collect())
    }

    /// After the last row: whether what was read is what was written.
    pub fn is_intact(&self) -> bool {
        *self.hash.finalize().as_bytes() == self.expected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_comes_back_and_a_flipped_bit_is_seen() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = BaseStore::open(folder.path()).expect("opened");
        let rows = [[1.0_f32, -2.5, 3.25], [0.0, f32::MIN_POSITIVE, -0.0]];
        let mut writer = store.write(3, 3, 2).expect("begun");
        for row in &rows {
            writer.row(row).expect("written");
        }
        writer.finish().expect("finished");
        let mut reader = store.read(3, 3, 2).expect("read").expect("there");
        assert_eq!(reader.rows(2).expect("rows"), rows.concat());
        assert!(reader.is_intact());
        assert!(store.read(3, 4, 2).expect("read").is_none(), "another vocabulary");
        assert!(store.read(4, 3, 2).expect("read").is_none(), "another chunk");

        let path = BaseStore::chunk_path(folder.path(), 3);
        let mut bytes = fs::read(&path).expect("bytes");
        *bytes.last_mut().expect("not empty") ^= 1;
        fs::write(&path, bytes).expect("written");
        let mut reader = store.read(3, 3, 2).expect("read").expect("there");
        reader.rows(2).expect("rows");
        assert!(!reader.is_intact());
    }
}
