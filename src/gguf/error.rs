//! Everything that can be wrong with a GGUF file, each as one sentence naming the file, with a hint for the user.

#![expect(missing_docs, reason = "the messages say what the fields are")]

use crate::units::Bytes;
use std::io;
use std::path::PathBuf;

/// Why a file, or a set of parts, could not be read or sized.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GgufError {
    /// There is no such file.
    #[error("{} does not exist", path.display())]
    Missing { path: PathBuf },
    /// A folder, pipe or device where a file was expected.
    #[error("{} is not a regular file", path.display())]
    NotAFile { path: PathBuf },
    /// The system refused to open or read the file.
    #[error("{} cannot be read: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// The first four bytes are not `GGUF`; `found` describes them.
    #[error("{} is not a GGUF file: it begins with {found}", path.display())]
    NotGguf { path: PathBuf, found: String },
    /// Numbers are stored most significant byte first.
    #[error("{} is a big-endian GGUF file", path.display())]
    BigEndian { path: PathBuf },
    /// A version other than 2 and 3.
    #[error("{} is GGUF version {version}, and only versions 2 and 3 can be read", path.display())]
    Version { path: PathBuf, version: u32 },
    /// The header goes on beyond the end of the file.
    #[error("{} ends inside its header: {what} at byte {position} needs {needed} bytes and {left} are left",
        path.display())]
    HeaderTruncated { path: PathBuf, what: &'static str, position: u64, needed: u64, left: u64 },
    /// The header is longer than any model's.
    #[error("{} has a header of more than {limit}", path.display())]
    HeaderTooLong { path: PathBuf, limit: Bytes },
    /// A count that the rest of the file cannot hold.
    #[error("{} claims {count} {what}, more than the {most} it could hold", path.display())]
    Count { path: PathBuf, what: &'static str, count: u64, most: u64 },
    /// A key or tensor name that llama.cpp could not keep apart from others.
    #[error("{} has a {what} that is {wrong}", path.display())]
    Name { path: PathBuf, what: &'static str, wrong: String },
    /// The same key twice.
    #[error("{} holds the metadata key {key:?} twice", path.display())]
    DuplicateKey { path: PathBuf, key: String },
    /// The same tensor twice, in one file or in two parts.
    #[error("{} holds the tensor {tensor:?} a second time", path.display())]
    DuplicateTensor { path: PathBuf, tensor: String },
    /// A metadata value of a type that GGUF does not define.
    #[error("{} gives the metadata key {key:?} the unknown value type {id}", path.display())]
    ValueType { path: PathBuf, key: String, id: u32 },
    /// Arrays of arrays of arrays and so on.
    #[error("{} nests arrays too deeply under the metadata key {key:?}", path.display())]
    Nesting { path: PathBuf, key: String },
    /// `general.alignment` is not a 32-bit power of two.
    #[error("{} sets general.alignment to {found}, which is not a 32-bit power of two", path.display())]
    Alignment { path: PathBuf, found: String },
    /// More than four dimensions.
    #[error("{} gives the tensor {tensor:?} {count} dimensions, and 4 are the most", path.display())]
    Dimensions { path: PathBuf, tensor: String, count: u32 },
    /// A product of dimensions that overflows.
    #[error("{} gives the tensor {tensor:?} the impossible shape {dims:?}", path.display())]
    Shape { path: PathBuf, tensor: String, dims: Vec<u64> },
    /// A tensor type that this llama.cpp does not have.
    #[error("{} stores the tensor {tensor:?} as type {id}, which this llama.cpp does not know", path.display())]
    TensorType { path: PathBuf, tensor: String, id: u32 },
    /// Rows that are not whole blocks of the type, in the file or in a variant asked for.
    #[error("{}: rows of {columns} in the tensor {tensor:?} are no whole number of {kind} blocks of {block}",
        path.display())]
    Row { path: PathBuf, tensor: String, columns: u64, kind: &'static str, block: u64 },
    /// Tensor data that leaves a gap or overlaps.
    #[error("{} places the tensor {tensor:?} at byte {offset} of its data and not at {expected}", path.display())]
    Misplaced { path: PathBuf, tensor: String, offset: u64, expected: u64 },
    /// Tensor data goes on beyond the end of the file.
    #[error("{} is truncated: {missing} bytes of tensor data are missing from its end", path.display())]
    DataTruncated { path: PathBuf, missing: u64 },
    /// A part of a split model that is not its first. `part` counts from 1.
    #[error("{} is part {part} of {count} of a split model, not the first", path.display())]
    NotFirstPart { path: PathBuf, part: u64, count: u64, first: Option<PathBuf> },
    /// A part that is not beside the first. `part` counts from 1.
    #[error("{} is missing: it is part {part} of {count} of a split model", path.display())]
    PartMissing { path: PathBuf, part: u64, count: u64 },
    /// The first of several parts, but its name does not lead to the others.
    #[error("{} is the first of {count} parts, but its name does not end in {expected}", path.display())]
    PartName { path: PathBuf, count: u64, expected: String },
    /// `split.no`, `split.count` or `split.tensors.count` contradicts the other parts; `found` may be "nothing".
    #[error("{} has {found} as its {key} where {expected} was expected", path.display())]
    PartMismatch { path: PathBuf, key: &'static str, found: String, expected: u64 },
    /// A type was asked for a tensor that the model does not have.
    #[error("{} has no tensor {tensor:?}", path.display())]
    UnknownTensor { path: PathBuf, tensor: String },
    /// A sum of sizes beyond 64 bits.
    #[error("{} would be larger than any file can be", path.display())]
    TooLarge { path: PathBuf },
}

const DAMAGED: &str = "the file is damaged or was not written by a GGUF tool; fetch or convert it again";

impl GgufError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Missing { .. } => "check the path".into(),
            Self::NotAFile { .. } => "give the .gguf file itself".into(),
            Self::Io { .. } => "check the permissions and the disk".into(),
            Self::NotGguf { .. } => {
                "convert the model with llama.cpp's convert_hf_to_gguf.py, or check that the download is not a web page \
                 or a Git LFS pointer"
                    .into()
            }
            Self::BigEndian { .. } => "convert it with gguf-py's gguf_convert_endian.py".into(),
            Self::Version { version, .. } if *version > 3 => {
                "a newer llama.cpp wrote it; convert it with an older one, or the file is damaged".into()
            }
            Self::Version { .. } => "convert the original model again with a current llama.cpp".into(),
            Self::HeaderTruncated { .. } | Self::DataTruncated { .. } => {
                "the download or copy is incomplete; fetch the file again and compare its size and checksum".into()
            }
            Self::TensorType { .. } => {
                "convert the model again from its original weights; llama.cpp removed some types (Q4_2, Q4_0_4_4) and \
                 may have newer ones than this build"
                    .into()
            }
            Self::Row { .. } => "choose a type with a smaller block for this tensor, such as Q8_0 or F16".into(),
            Self::NotFirstPart { first: Some(first), .. } => format!("give {} instead", first.display()),
            Self::NotFirstPart { first: None, .. } => {
                "give the part whose name ends in -00001-of-, followed by the count".into()
            }
            Self::PartMissing { .. } => "put all parts into one folder, under their original names".into(),
            Self::PartName { .. } => "give all parts their original names back".into(),
            Self::PartMismatch { .. } => {
                "the parts belong to different models or downloads; fetch all of them again".into()
            }
            Self::UnknownTensor { .. } => "check the tensor name against the model's own".into(),
            Self::TooLarge { .. }
            | Self::HeaderTooLong { .. }
            | Self::Count { .. }
            | Self::Name { .. }
            | Self::DuplicateKey { .. }
            | Self::DuplicateTensor { .. }
            | Self::ValueType { .. }
            | Self::Nesting { .. }
            | Self::Alignment { .. }
            | Self::Dimensions { .. }
            | Self::Shape { .. }
            | Self::Misplaced { .. } => DAMAGED.into(),
        };
        Some(text)
    }
}
