//! The older `.dat` form: for each weight its name, the number of chunks and that many times the mean squares; at the
//! end, perhaps, the number of chunks in all and the text's path. It has no magic number, so that another kind of
//! file shows by lengths that cannot be.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::path::Path;

use super::error::ImatrixError;
use super::means::{Entry, Imatrix};

/// Longest name of a tensor or path of a text.
const TEXT_LIMIT: u64 = 4096;

/// Reads a `.dat` file.
pub(super) fn read(path: &Path) -> Result<Imatrix, ImatrixError> {
    let not = |why: String| ImatrixError::NotImatrix { path: path.to_owned(), why };
    let failed = |source| ImatrixError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let left = file.metadata().map_err(failed)?.len();
    let mut bytes = Bytes { source: BufReader::new(file), left };
    let foreign = "it is neither GGUF nor llama.cpp's older .dat format";
    let count =
        bytes.count().filter(|n| (1..=left / 13).contains(n)).ok_or_else(|| not(foreign.to_owned()))?;
    let mut entries = BTreeMap::new();
    for number in 1..=count {
        let (name, entry) = bytes.entry().ok_or_else(|| {
            if entries.is_empty() {
                not(foreign.to_owned())
            } else {
                not(format!("it ends or breaks in entry {number} of {count}"))
            }
        })?;
        entries.insert(name, entry);
    }
    let chunk_count = bytes.count().and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
    let datasets = bytes.text().into_iter().collect();
    Ok(Imatrix { datasets, chunk_count, chunk_size: 0, entries })
}

/// What is left of the file; every read is `None` if it asks for more.
struct Bytes<R> {
    source: R,
    left: u64,
}

impl<R: io::Read> Bytes<R> {
    fn take(&mut self, length: u64) -> Option<Vec<u8>> {
        self.left = self.left.checked_sub(length)?;
        let mut bytes = Vec::new();
        (&mut self.source).take(length).read_to_end(&mut bytes).ok()?;
        (bytes.len() as u64 == length).then_some(bytes)
    }

    /// A signed 32-bit number that is not negative.
    fn count(&mut self) -> Option<u64> {
        i32::from_le_bytes(self.take(4)?.try_into().ok()?).try_into().ok()
    }

    fn text(&mut self) -> Option<String> {
        let length = self.count().filter(|n| (1..=TEXT_LIMIT).contains(n))?;
        String::from_utf8(self.take(length)?).ok()
    }

    fn entry(&mut self) -> Option<(String, Entry)> {
        let name = self.text()?;
        let chunks = self.count()? as f32;
        let values = self.count().filter(|n| *n > 0)?;
        let values = self.take(4 * values)?;
        let values = values.chunks_exact(4).filter_map(|b| b.try_into().ok()).map(f32::from_le_bytes);
        let mean = |v: f32| if chunks > 0.0 { v / chunks } else { v };
        Some((name, Entry { values: values.map(mean).collect(), counts: vec![chunks] }))
    }
}
