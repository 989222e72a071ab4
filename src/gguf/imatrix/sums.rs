//! The GGUF form of an importance matrix: raw sums of squares and the number of rows in them. Two tensors a weight,
//! `NAME.in_sum2` and `NAME.counts`, in the order of names, and the keys of `llama-imatrix` in its order, so that
//! the same sums give the same bytes. As sums are f32 there too, nothing is lost by writing and reading them back: a
//! computation that was interrupted goes on to the same last bit.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use super::error::ImatrixError;
use crate::gguf::{GgufFile, TensorInfo};

const SQUARES: &str = ".in_sum2";
const COUNTS: &str = ".counts";
const DATASETS: &str = "imatrix.datasets";
const CHUNK_COUNT: &str = "imatrix.chunk_count";
const CHUNK_SIZE: &str = "imatrix.chunk_size";
/// Only in files that are not finished.
const RESUME: &str = "bitfrontier.imatrix.resume";

/// Where tensor data starts, in multiples of this many bytes.
const ALIGNMENT: usize = 32;
/// Above this, f32 no longer holds every whole number.
const EXACT: u64 = 1 << 24;

/// Sums of one weight.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TensorSums {
    /// Sum of squares of every column; for merged experts one row of columns after the other.
    pub squares: Vec<f32>,
    /// Rows summed: one number, or one an expert.
    pub counts: Vec<u64>,
}

impl TensorSums {
    /// Columns of the weight.
    pub fn columns(&self) -> usize {
        self.squares.len().checked_div(self.counts.len()).unwrap_or(0)
    }
}

/// All sums, and of what.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sums {
    /// The texts, as their paths were given.
    pub datasets: Vec<String>,
    /// Chunks of text.
    pub chunk_count: u32,
    /// Tokens a chunk.
    pub chunk_size: u32,
    /// Of an unfinished computation, what it computes; absent from finished files.
    pub resume: Option<String>,
    /// By tensor name.
    pub entries: BTreeMap<String, TensorSums>,
}

impl Sums {
    /// Whether the file holds the counts exactly.
    pub fn is_exact(&self) -> bool {
        self.entries.values().all(|e| e.counts.iter().all(|c| *c <= EXACT))
    }

    /// Reads the data behind a header.
    ///
    /// # Errors
    /// If it is not an importance matrix, or contradicts itself.
    pub fn read(file: &GgufFile) -> Result<Self, ImatrixError> {
        let not = |why: String| ImatrixError::NotImatrix { path: file.path.clone(), why };
        let number = |key: &str| file.metadata.u64(key).and_then(|n| u32::try_from(n).ok());
        let (Some(datasets), Some(chunk_count), Some(chunk_size)) =
            (file.metadata.array(DATASETS), number(CHUNK_COUNT), number(CHUNK_SIZE))
        else {
            let kind = file.metadata.str("general.architecture");
            let kind = kind.map_or(String::new(), |a| format!(" (it is a model of architecture {a})"));
            return Err(not(format!("it lacks {DATASETS}, {CHUNK_COUNT} or {CHUNK_SIZE}{kind}")));
        };
        let mut entries = BTreeMap::new();
        let by_name: BTreeMap<&str, &TensorInfo> =
            file.tensors.iter().map(|t| (t.name.as_str(), t)).collect();
        for squares in &file.tensors {
            let Some(name) = squares.name.strip_suffix(SQUARES) else {
                if let Some(name) = squares.name.strip_suffix(COUNTS)
                    && !by_name.contains_key(format!("{name}{SQUARES}").as_str())
                {
                    return Err(entry(&file.path, name, "it has counts and no sums"));
                }
                continue;
            };
            let Some(counts) = by_name.get(format!("{name}{COUNTS}").as_str()) else {
                return Err(entry(&file.path, name, "it has sums and no counts"));
            };
            entries.insert(name.to_owned(), tensor_sums(file, name, squares, counts)?);
        }
        if entries.is_empty() {
            return Err(not("it has no entries".to_owned()));
        }
        Ok(Self {
            datasets: datasets.strings().unwrap_or_default(),
            chunk_count,
            chunk_size,
            resume: file.metadata.str(RESUME).map(str::to_owned),
            entries,
        })
    }

    /// The file's bytes, as `llama-imatrix` would write them.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(b"GGUF");
        out.extend(3_u32.to_le_bytes());
        out.extend((2 * self.entries.len() as u64).to_le_bytes());
        out.extend((4 + u64::from(self.resume.is_some())).to_le_bytes());
        text_key(&mut out, "general.type", "imatrix");
        key(&mut out, DATASETS, 9);
        out.extend(8_u32.to_le_bytes());
        out.extend((self.datasets.len() as u64).to_le_bytes());
        for dataset in &self.datasets {
            text(&mut out, dataset);
        }
        for (name, number) in [(CHUNK_COUNT, self.chunk_count), (CHUNK_SIZE, self.chunk_size)] {
            key(&mut out, name, 4);
            out.extend(number.to_le_bytes());
        }
        if let Some(resume) = &self.resume {
            text_key(&mut out, RESUME, resume);
        }
        let mut offset = 0_usize;
        for (name, sums) in &self.entries {
            let matrices = sums.counts.len();
            for (suffix, columns) in [(SQUARES, sums.columns()), (COUNTS, 1)] {
                tensor(&mut out, &format!("{name}{suffix}"), columns, matrices, offset);
                offset += (4 * columns * matrices).next_multiple_of(ALIGNMENT);
            }
        }
        pad(&mut out);
        for sums in self.entries.values() {
            out.extend(sums.squares.iter().flat_map(|v| v.to_le_bytes()));
            pad(&mut out);
            out.extend(sums.counts.iter().flat_map(|c| (*c as f32).to_le_bytes()));
            pad(&mut out);
        }
        out
    }
}

fn entry(path: &Path, tensor: &str, why: &str) -> ImatrixError {
    ImatrixError::Entry { path: path.to_owned(), tensor: tensor.to_owned(), why: why.to_owned() }
}

fn tensor_sums(
    file: &GgufFile,
    name: &str,
    squares: &TensorInfo,
    counts: &TensorInfo,
) -> Result<TensorSums, ImatrixError> {
    if squares.kind.name != "F32" || counts.kind.name != "F32" {
        return Err(entry(&file.path, name, "its sums and counts are not F32"));
    }
    let read = |t| floats(file, t).map_err(|source| ImatrixError::Io { path: file.path.clone(), source });
    let (squares, counts) = (read(squares)?, read(counts)?);
    // `as` saturates, so that what is no count (NaN, negative) must be told before.
    if counts.iter().any(|c| !c.is_finite() || *c < 0.0) {
        return Err(entry(&file.path, name, "it holds counts that are no whole numbers"));
    }
    let counts: Vec<u64> = counts.iter().map(|c| c.round() as u64).collect();
    if squares.is_empty() || counts.is_empty() || squares.len() % counts.len() != 0 {
        let why = format!("it has {} sums and {} counts", squares.len(), counts.len());
        return Err(entry(&file.path, name, &why));
    }
    Ok(TensorSums { squares, counts })
}

/// The values of an F32 tensor. That the file holds them was checked with its header.
fn floats(file: &GgufFile, tensor: &TensorInfo) -> io::Result<Vec<f32>> {
    let mut source = File::open(&file.path)?;
    source.seek(SeekFrom::Start(file.data_offset + tensor.offset))?;
    let mut bytes = Vec::new();
    source.take(tensor.bytes).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != tensor.bytes {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes.chunks_exact(4).filter_map(|b| b.try_into().ok()).map(f32::from_le_bytes).collect())
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

/// A key and the id of its value's type.
fn key(out: &mut Vec<u8>, name: &str, kind: u32) {
    text(out, name);
    out.extend(kind.to_le_bytes());
}

fn text_key(out: &mut Vec<u8>, name: &str, value: &str) {
    key(out, name, 8);
    text(out, value);
}

/// A tensor's line in the header; as in ggml, a last dimension of 1 is not written.
fn tensor(out: &mut Vec<u8>, name: &str, columns: usize, rows: usize, offset: usize) {
    text(out, name);
    let dims: &[usize] = if rows > 1 { &[columns, rows] } else { &[columns] };
    out.extend((dims.len() as u32).to_le_bytes());
    for size in dims {
        out.extend((*size as u64).to_le_bytes());
    }
    out.extend(0_u32.to_le_bytes());
    out.extend((offset as u64).to_le_bytes());
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
}
