//! A model's output matrix by itself: logits from hidden states, equal to the model's own to the bit on the CPU,
//! because ggml's own kernels multiply.
//!
//! Only that one tensor is read from the model's file. ggml takes other kernels for few rows than for many, and
//! these round differently; so rows are multiplied in blocks of [`BLOCK`], filled up with zeros, unless the decode
//! they come from had fewer.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::llama::ffi::{self, HeadHandle, HeaderHandle, StoredTensor, Tail};

/// Rows multiplied at once: enough for ggml to take the kernels that it takes for whole batches, and for reading the
/// matrix to weigh little, and few enough that their logits take little memory.
pub const BLOCK: usize = 128;
/// Bytes read at once.
const PIECE: usize = 16 << 20;

/// Why a file's output matrix cannot be used.
#[derive(Debug, Error)]
pub enum HeadError {
    /// No header, or no output matrix in it.
    #[error("{path} has no output matrix that can be used: {reason}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// An output matrix in memory.
#[derive(Debug)]
pub struct Head {
    handle: HeadHandle,
    width: usize,
    vocabulary: usize,
    kind: u32,
    bias: bool,
    scale: Option<f32>,
    softcap: Option<f32>,
    /// BLAKE3 of type, shape and content of matrix and bias, in hex.
    pub key: String,
    /// What happens after the multiplication.
    pub tail: Tail,
    states: Vec<f32>,
}

impl Head {
    /// Reads the output matrix of a model (first part, if split): `output.weight`, or where there is none the token
    /// embedding. `threads` as for decoding.
    pub fn open(model: &Path, threads: u32) -> Result<Self, HeadError> {
        let unusable =
            |reason: &str| HeadError::Unusable { path: model.to_owned(), reason: reason.to_owned() };
        let parts = Parts::open(model).ok_or_else(|| unusable("its header cannot be read"))?;
        let matrix = parts.tensor("output.weight").or_else(|| parts.tensor("token_embd.weight"));
        let (matrix_part, matrix) = matrix.ok_or_else(|| unusable("it has none"))?;
        let (width, vocabulary) = matrix.shape;
        let bias = parts.tensor("output.bias");
        if bias.is_some_and(|(_, b)| b.shape.0 != vocabulary || ffi::type_name(b.kind) != "f32") {
            return Err(unusable("its bias has another shape or type"));
        }
        let handle = HeadHandle::new(matrix, bias.is_some(), threads);
        let handle = handle.ok_or_else(|| unusable("there is no memory for it"))?;
        let (scale, softcap) = parts.tail();
        let mut head = Self {
            handle,
            width,
            vocabulary,
            kind: matrix.kind,
            bias: bias.is_some(),
            scale,
            softcap,
            key: String::new(),
            tail: Tail::default(),
            states: Vec::new(),
        };
        let mut hash = blake3::Hasher::new();
        head.fill(false, matrix_part, matrix, &mut hash)?;
        if let Some((part, bias)) = bias {
            head.fill(true, part, bias, &mut hash)?;
        }
        head.key = hash.finalize().to_hex().to_string();
        if let Some(first) = head.tails().into_iter().next() {
            head.tail = first;
        }
        Ok(head)
    }

    fn fill(
        &mut self,
        bias: bool,
        path: &Path,
        tensor: StoredTensor,
        hash: &mut blake3::Hasher,
    ) -> Result<(), HeadError> {
        let failed = |source| HeadError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        hash.update(&tensor.kind.to_le_bytes());
        hash.update(&(tensor.shape.0 as u64).to_le_bytes());
        hash.update(&(tensor.shape.1 as u64).to_le_bytes());
        let mut piece = vec![0_u8; PIECE.min(tensor.bytes)];
        for offset in (0..tensor.bytes).step_by(PIECE) {
            piece.truncate(tensor.bytes - offset);
            file.read_exact_at(&mut piece, tensor.offset + offset as u64).map_err(failed)?;
            hash.update(&piece);
            if !self.handle.set(bias, offset, &piece) {
                let reason = "its size is not what its shape says".to_owned();
                return Err(HeadError::Unusable { path: path.to_owned(), reason });
            }
        }
        Ok(())
    }

    /// Entries of a state.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Entries of a row of logits.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// Whether ggml rounds states to f16 itself before it multiplies, so that nothing is lost by keeping f16.
    pub fn takes_f16(&self) -> bool {
        ffi::type_name(self.kind) == "f16"
    }

    /// What the model may do after the multiplication, by the keys of its header, the likeliest first. Whether an
    /// architecture multiplies by its scale or divides, and whether it has a soft-cap at all, its keys don't say: a
    /// comparison with real logits does.
    pub fn tails(&self) -> Vec<Tail> {
        let scales = self.scale.map_or_else(Vec::new, |s| vec![Some(s), Some(1.0 / s)]);
        let caps = self.softcap.map_or_else(Vec::new, |c| vec![Some(c)]);
        let mut tails = Vec::new();
        for scale in scales.iter().copied().chain([None]) {
            for softcap in caps.iter().copied().chain([None]) {
                tails.push(Tail { scale, softcap, bias: self.bias });
            }
        }
        tails
    }

    /// Logits of at most [`BLOCK`] states, one row after the other. `together` is how many outputs the decode had
    /// from which the states come. `None` if the states do not fit the matrix, or memory is short.
    pub fn logits(&mut self, states: &[f32], together: usize) -> Option<&[f32]> {
        let rows = states.len().checked_div(self.width)?;
        let computed = if together < BLOCK { rows } else { BLOCK };
        if rows == 0 || rows > computed || states.len() != rows * self.width {
            return None;
        }
        self.states.clear();
        self.states.extend_from_slice(states);
        self.states.resize(computed * self.width, 0.0);
        self.handle.logits(&self.states, computed, self.tail)?.get(..rows * self.vocabulary)
    }
}

/// The headers of all parts of a model.
struct Parts(Vec<(PathBuf, HeaderHandle)>);

impl Parts {
    fn open(first: &Path) -> Option<Self> {
        let header = HeaderHandle::open(first)?;
        let count = header.u16("split.count").unwrap_or(1);
        let mut parts = vec![(first.to_owned(), header)];
        for index in 1..count {
            let path = ffi::part_path(first, index, count)?;
            let header = HeaderHandle::open(&path)?;
            parts.push((path, header));
        }
        Some(Self(parts))
    }

    fn tensor(&self, name: &str) -> Option<(&Path, StoredTensor)> {
        self.0.iter().find_map(|(path, header)| Some((path.as_path(), header.tensor(name)?)))
    }

    /// The header's scale and soft-cap of logits.
    fn tail(&self) -> (Option<f32>, Option<f32>) {
        let Some((_, header)) = self.0.first() else { return (None, None) };
        let architecture = header.text("general.architecture").unwrap_or_default();
        let number =
            |name: &str| header.f32(&format!("{architecture}.{name}")).filter(|x| x.is_finite() && *x != 0.0);
        (number("logit_scale"), number("final_logit_softcapping"))
    }
}
