//! Probes that were measured, in the cache: one line each with its checksum, under a key of all that decides it, so that
//! a search that was interrupted goes on, and searches for other sizes share what they have in common. A line that was
//! cut off is measured again.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::worker::protocol::{ChunkDivergence, Loss};

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "measured", rename_all = "snake_case")]
enum Line {
    /// A chunk of a mix.
    Probe { mix: String, chunk: ChunkDivergence },
    /// What coding a tensor as a type loses.
    Loss { tensor: String, kind: u32, loss: Option<Loss> },
}

/// All that was measured of one base, importance matrix and text.
#[derive(Debug)]
pub struct Probes {
    path: PathBuf,
    file: File,
    chunks: HashMap<(String, u64), ChunkDivergence>,
    losses: HashMap<(String, u32), Option<Loss>>,
}

/// The key of a mix: types by tensor.
pub fn key_of(types: &BTreeMap<String, u32>) -> String {
    let mut hash = blake3::Hasher::new();
    for (name, kind) in types {
        hash.update(name.as_bytes()).update(b"\0").update(&kind.to_le_bytes());
    }
    hash.finalize().to_hex().chars().take(24).collect()
}

impl Probes {
    /// Opens a file of probes, or begins one.
    pub fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = File::options().create(true).append(true).read(true).open(path)?;
        let text = fs::read(path)?;
        if text.last().is_some_and(|b| *b != b'\n') {
            file.write_all(b"\n")?;
        }
        let (mut chunks, mut losses) = (HashMap::new(), HashMap::new());
        for line in text.split(|b| *b == b'\n').filter_map(read) {
            match line {
                Line::Probe { mix, chunk } => _ = chunks.insert((mix, chunk.chunk), chunk),
                Line::Loss { tensor, kind, loss } => _ = losses.insert((tensor, kind), loss),
            }
        }
        Ok(Self { path: path.to_owned(), file, chunks, losses })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A chunk of a mix, if it was measured.
    pub fn chunk(&self, mix: &str, chunk: u64) -> Option<ChunkDivergence> {
        self.chunks.get(&(mix.to_owned(), chunk)).copied()
    }

    /// Whether it was measured what coding loses.
    pub fn has_loss(&self, tensor: &str, kind: u32) -> bool {
        self.losses.contains_key(&(tensor.to_owned(), kind))
    }

    /// What coding loses, if it was measured and the type goes.
    pub fn loss(&self, tensor: &str, kind: u32) -> Option<Loss> {
        *self.losses.get(&(tensor.to_owned(), kind))?
    }

    /// Keeps chunks of a mix.
    pub fn keep_chunks(&mut self, mix: &str, chunks: &[ChunkDivergence]) -> io::Result<()> {
        for chunk in chunks {
            self.write(&Line::Probe { mix: mix.to_owned(), chunk: *chunk })?;
            self.chunks.insert((mix.to_owned(), chunk.chunk), *chunk);
        }
        self.file.sync_data()
    }

    /// Keeps what coding loses.
    pub fn keep_loss(&mut self, tensor: &str, kind: u32, loss: Option<Loss>) -> io::Result<()> {
        self.write(&Line::Loss { tensor: tensor.to_owned(), kind, loss })?;
        self.losses.insert((tensor.to_owned(), kind), loss);
        Ok(())
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        let json = serde_json::to_string(line)?;
        // One call, so that two searches at once do not mix their lines.
        self.file.write_all(format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes())).as_bytes())
    }
}

fn read(line: &[u8]) -> Option<Line> {
    let (sum, json) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    let intact = u32::from_str_radix(sum, 16).ok()? == crc32fast::hash(json.as_bytes());
    intact.then(|| serde_json::from_str(json).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_there_again_and_a_line_cut_off_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a/probes");
        let chunk = |kld| ChunkDivergence { chunk: 7, kld, positions: 495, nonfinite: 0 };
        let mut probes = Probes::open(&path).expect("opened");
        probes.keep_chunks("m", &[chunk(0.5)]).expect("kept");
        probes.keep_loss("t", 3, Some(Loss { error: 0.1, norm: 1.0 })).expect("kept");
        probes.keep_loss("t", 4, None).expect("kept");
        probes.keep_chunks("n", &[chunk(0.25)]).expect("kept");
        let bytes = fs::read(&path).expect("read");
        fs::write(&path, &bytes[..bytes.len() - 9]).expect("cut");
        let mut again = Probes::open(&path).expect("opened");
        assert_eq!(
            (again.chunk("m", 7), again.chunk("n", 7), again.chunk("m", 8)),
            (Some(chunk(0.5)), None, None)
        );
        assert_eq!(again.loss("t", 3), Some(Loss { error: 0.1, norm: 1.0 }));
        assert_eq!([3, 4, 5].map(|kind| again.has_loss("t", kind)), [true, true, false]);
        assert_eq!(again.loss("t", 4), None);
        again.keep_chunks("n", &[chunk(0.25)]).expect("kept");
        assert_eq!(Probes::open(&path).expect("opened").chunk("n", 7), Some(chunk(0.25)));
    }

    #[test]
    fn a_mix_is_known_by_its_types() {
        let mix = |kind| BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), kind)]);
        assert_eq!(key_of(&mix(2)), key_of(&mix(2)));
        assert_ne!(key_of(&mix(2)), key_of(&mix(3)));
    }
}
