//! Reading one GGUF file's header: magic, counts, metadata, tensor list. The order and the refusals follow
//! `gguf_init_from_reader` in llama.cpp's `ggml/src/gguf.cpp`; tensor data is never read, only checked to be there.

use super::cursor::Cursor;
use super::described::Described;
use super::error::GgufError;
use super::metadata::{Metadata, Value};
use super::types::TensorType;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

/// Where `general.alignment` is not set, tensor data starts at multiples of this many bytes.
pub(super) const DEFAULT_ALIGNMENT: u64 = 32;
/// llama.cpp keeps names in 64 bytes with a closing zero.
const TENSOR_NAME_LIMIT: u64 = 63;
/// Many times what the largest mixtures of experts have, few enough to hold.
const TENSORS_LIMIT: u64 = 1 << 17;
/// Name length, number of dimensions, type, offset.
const TENSOR_MIN_BYTES: u64 = 8 + 4 + 4 + 8;

/// One tensor of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name, such as `blk.0.attn_q.weight`.
    pub name: String,
    /// Sizes of its dimensions, row length first, at most four.
    pub dims: Vec<u64>,
    /// Its type in the file.
    pub kind: TensorType,
    /// Where its data starts, in bytes from the file's `data_offset`.
    pub offset: u64,
    /// Bytes of its data, without padding.
    pub bytes: u64,
    /// Number of elements: the product of `dims`.
    pub weights: u64,
}

impl TensorInfo {
    /// Length of a row: the first dimension.
    pub fn columns(&self) -> u64 {
        self.dims.first().copied().unwrap_or(1)
    }

    /// Bytes this tensor would take as another type; none if its rows are not whole blocks or the size overflows.
    pub fn bytes_as(&self, kind: TensorType) -> Option<u64> {
        let rows = self.weights.checked_div(self.columns()).unwrap_or(0);
        kind.row_bytes(self.columns())?.checked_mul(rows)
    }
}

/// The header of one GGUF file.
#[derive(Debug, Clone, PartialEq)]
pub struct GgufFile {
    /// Where it lies.
    pub path: PathBuf,
    /// 2 or 3.
    pub version: u32,
    /// Tensor data starts at multiples of this many bytes.
    pub alignment: u64,
    /// Keys and values.
    pub metadata: Metadata,
    /// In the order of the file.
    pub tensors: Vec<TensorInfo>,
    /// Length of the header without the padding after it.
    pub header_bytes: u64,
    /// Where tensor data starts, in bytes from the start of the file.
    pub data_offset: u64,
    /// Bytes that the file has at least when all its tensor data is there.
    pub whole_bytes: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
}

impl Described for GgufFile {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn tensors(&self) -> impl Iterator<Item = &TensorInfo> {
        self.tensors.iter()
    }
}

impl GgufFile {
    /// Reads the header of the file and checks that its tensor data is there.
    ///
    /// # Errors
    /// If the file is missing, unreadable, not GGUF 2 or 3, inconsistent or truncated.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, GgufError> {
        let file = Self::open_header(path)?;
        file.check_data()?;
        Ok(file)
    }

    /// Reads the header of the file, whose tensor data may be missing.
    ///
    /// # Errors
    /// As [`Self::open`], but for truncated data.
    pub fn open_header(path: impl AsRef<Path>) -> Result<Self, GgufError> {
        let path = path.as_ref();
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => GgufError::Missing { path: path.into() },
            _ => GgufError::Io { path: path.into(), source },
        };
        // Asked before opening, because opening a pipe would wait for its writer.
        if !std::fs::metadata(path).map_err(failed)?.is_file() {
            return Err(GgufError::NotAFile { path: path.into() });
        }
        let file = File::open(path).map_err(failed)?;
        let file_bytes = file.metadata().map_err(failed)?.len();
        Self::read_header(BufReader::with_capacity(1 << 16, file), path, file_bytes)
    }

    /// Reads a header from anything and checks that the data would be there; `path` is what errors name.
    #[cfg(test)]
    pub(super) fn read(source: impl BufRead, path: &Path, file_bytes: u64) -> Result<Self, GgufError> {
        let file = Self::read_header(source, path, file_bytes)?;
        file.check_data()?;
        Ok(file)
    }

    fn read_header(source: impl BufRead, path: &Path, file_bytes: u64) -> Result<Self, GgufError> {
        let mut cursor = Cursor::new(source, path, file_bytes);
        check_magic(&mut cursor, file_bytes)?;
        let version = read_version(&mut cursor)?;
        let tensor_count = cursor.u64("tensor count")?;
        let key_count = cursor.u64("metadata count")?;
        let metadata = Metadata::read(&mut cursor, key_count)?;
        let alignment = alignment_of(&metadata, path)?;
        let tensors = read_tensors(&mut cursor, tensor_count)?;
        let header_bytes = cursor.position();
        let data_offset = if tensors.is_empty() { Some(header_bytes) } else { pad(header_bytes, alignment) };
        let data_offset = data_offset.ok_or_else(|| GgufError::TooLarge { path: path.into() })?;
        let whole_bytes = check_layout(&tensors, alignment, data_offset, path)?;
        Ok(Self {
            path: path.into(),
            version,
            alignment,
            metadata,
            tensors,
            header_bytes,
            data_offset,
            whole_bytes,
            file_bytes,
        })
    }

    fn check_data(&self) -> Result<(), GgufError> {
        match self.whole_bytes.checked_sub(self.file_bytes) {
            None | Some(0) => Ok(()),
            Some(missing) => Err(GgufError::DataTruncated { path: self.path.clone(), missing }),
        }
    }
}

/// The next multiple of `alignment`; none if it overflows.
pub(super) fn pad(bytes: u64, alignment: u64) -> Option<u64> {
    bytes.checked_next_multiple_of(alignment)
}

fn check_magic<R: BufRead>(cursor: &mut Cursor<'_, R>, file_bytes: u64) -> Result<(), GgufError> {
    let path = cursor.path();
    if file_bytes < 4 {
        let found =
            if file_bytes == 0 { "nothing, being empty".into() } else { format!("only {file_bytes} bytes") };
        return Err(GgufError::NotGguf { path: path.into(), found });
    }
    let magic: [u8; 4] = cursor.array("magic number")?;
    if &magic == b"GGUF" {
        return Ok(());
    }
    let known = match &magic {
        b"FUGG" => " (GGUF turned round)",
        b"ggjt" | b"tjgg" | b"fmgg" | b"lmgg" => " (a GGML file from before GGUF)",
        b"vers" => " (a Git LFS pointer)",
        b"PK\x03\x04" => " (a zip archive or PyTorch file)",
        [b'<', ..] => " (a web page)",
        _ => "",
    };
    Err(GgufError::NotGguf { path: path.into(), found: format!("\"{}\"{known}", magic.escape_ascii()) })
}

fn read_version<R: BufRead>(cursor: &mut Cursor<'_, R>) -> Result<u32, GgufError> {
    let path = cursor.path();
    let version = cursor.u32("version")?;
    match (version, version.swap_bytes()) {
        (2 | 3, _) => Ok(version),
        (_, 1..=0xffff) => Err(GgufError::BigEndian { path: path.into() }),
        _ => Err(GgufError::Version { path: path.into(), version }),
    }
}

fn alignment_of(metadata: &Metadata, path: &Path) -> Result<u64, GgufError> {
    match metadata.get("general.alignment") {
        None => Ok(DEFAULT_ALIGNMENT),
        Some(&Value::U32(alignment)) if alignment.is_power_of_two() => Ok(alignment.into()),
        Some(other) => {
            let found = other.as_u64().map_or_else(|| "no whole number".into(), |number| number.to_string());
            Err(GgufError::Alignment { path: path.into(), found })
        }
    }
}

fn read_tensors<R: BufRead>(cursor: &mut Cursor<'_, R>, count: u64) -> Result<Vec<TensorInfo>, GgufError> {
    cursor.check_count("tensors", count, TENSOR_MIN_BYTES)?;
    if count > TENSORS_LIMIT {
        let path = cursor.path().into();
        return Err(GgufError::Count { path, what: "tensors", count, most: TENSORS_LIMIT });
    }
    // Grown as tensors are read, so that a count alone claims no memory.
    let mut tensors = Vec::new();
    for _ in 0..count {
        tensors.push(read_tensor(cursor)?);
    }
    let mut names = HashSet::new();
    match tensors.iter().find(|tensor| !names.insert(tensor.name.as_str())) {
        Some(twice) => {
            let tensor = twice.name.clone();
            Err(GgufError::DuplicateTensor { path: cursor.path().into(), tensor })
        }
        None => Ok(tensors),
    }
}

fn read_tensor<R: BufRead>(cursor: &mut Cursor<'_, R>) -> Result<TensorInfo, GgufError> {
    let path = cursor.path();
    let name = cursor.name("tensor name", TENSOR_NAME_LIMIT)?;
    let count = cursor.u32("number of dimensions")?;
    if count > 4 {
        return Err(GgufError::Dimensions { path: path.into(), tensor: name, count });
    }
    let dims = (0..count).map(|_| cursor.u64("dimension")).collect::<Result<Vec<_>, _>>()?;
    let id = cursor.u32("tensor type")?;
    let offset = cursor.u64("tensor offset")?;
    let Some(kind) = TensorType::from_id(id) else {
        return Err(GgufError::TensorType { path: path.into(), tensor: name, id });
    };
    let Some(weights) = element_count(&dims) else {
        return Err(GgufError::Shape { path: path.into(), tensor: name, dims });
    };
    let mut tensor = TensorInfo { name, dims, kind, offset, bytes: 0, weights };
    let columns = tensor.columns();
    if !columns.is_multiple_of(kind.block_size) {
        let (kind, block) = (kind.name, kind.block_size);
        return Err(GgufError::Row { path: path.into(), tensor: tensor.name, columns, kind, block });
    }
    match tensor.bytes_as(kind) {
        Some(bytes) => tensor.bytes = bytes,
        None => return Err(GgufError::Shape { path: path.into(), tensor: tensor.name, dims: tensor.dims }),
    }
    Ok(tensor)
}

/// The product of the dimensions, if no dimension and no partial product exceeds a signed 64-bit number.
fn element_count(dims: &[u64]) -> Option<u64> {
    let limit = i64::MAX as u64;
    dims.iter().try_fold(1_u64, |product, &size| {
        product.checked_mul(size).filter(|&product| size <= limit && product <= limit)
    })
}

/// llama.cpp wants the tensors one after the other, each padded; the last one's padding may be absent. Gives the bytes
/// of the whole file.
fn check_layout(
    tensors: &[TensorInfo],
    alignment: u64,
    data_offset: u64,
    path: &Path,
) -> Result<u64, GgufError> {
    let too_large = || GgufError::TooLarge { path: path.into() };
    let mut expected = 0;
    let mut end = data_offset;
    for tensor in tensors {
        if tensor.offset != expected {
            let (tensor, offset) = (tensor.name.clone(), tensor.offset);
            return Err(GgufError::Misplaced { path: path.into(), tensor, offset, expected });
        }
        let unpadded = expected.checked_add(tensor.bytes).ok_or_else(too_large)?;
        end = data_offset.checked_add(unpadded).ok_or_else(too_large)?;
        expected = pad(unpadded, alignment).ok_or_else(too_large)?;
    }
    Ok(end)
}
