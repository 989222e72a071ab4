//! What a file holds, as a digest: of all tensors, so that two variants that are the same but for their metadata are
//! told to be the same, and of one array of the metadata, so that two vocabularies can be compared.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use super::described::Described;
use super::reader::TensorInfo;
use super::split::Model;

/// Bytes hashed at once.
const PIECE: usize = 1 << 20;

/// BLAKE3 of the names, shapes, types and bytes of all tensors, in the order of their names: neither metadata nor
/// the order of the file nor how it is split count.
///
/// # Errors
/// If a file cannot be read.
pub fn tensor_digest(model: &Model) -> io::Result<String> {
    let mut tensors: Vec<(&Path, u64, &TensorInfo)> = Vec::new();
    for part in model.parts() {
        tensors.extend(part.tensors.iter().map(|t| (part.path.as_path(), part.data_offset, t)));
    }
    tensors.sort_by(|a, b| a.2.name.cmp(&b.2.name));
    let mut hasher = blake3::Hasher::new();
    let mut open: Option<(&Path, File)> = None;
    for (path, data, tensor) in tensors {
        hasher.update(&(tensor.name.len() as u64).to_le_bytes());
        hasher.update(tensor.name.as_bytes());
        hasher.update(&tensor.kind.id.to_le_bytes());
        // A trailing dimension of 1 may be written or not.
        let written = tensor.dims.iter().rposition(|&size| size > 1).map_or(1, |last| last + 1);
        hasher.update(&(written as u64).to_le_bytes());
        tensor.dims.iter().take(written).for_each(|size| {
            hasher.update(&size.to_le_bytes());
        });
        let mut file = match open.take() {
            Some((opened, file)) if opened == path => file,
            _ => File::open(path)?,
        };
        hash_range(&mut hasher, &mut file, data + tensor.offset, tensor.bytes)?;
        open = Some((path, file));
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// BLAKE3 of an array of the metadata as encoded; none if there is no such array.
///
/// # Errors
/// If the file cannot be read.
pub fn array_digest(model: &Model, key: &str) -> io::Result<Option<String>> {
    let Some(array) = model.metadata().array(key) else { return Ok(None) };
    let (from, to) = array.place;
    let mut hasher = blake3::Hasher::new();
    let mut file = File::open(&model.first().path)?;
    hash_range(&mut hasher, &mut file, from, to.saturating_sub(from))?;
    Ok(Some(hasher.finalize().to_hex().to_string()))
}

fn hash_range(hasher: &mut blake3::Hasher, file: &mut File, from: u64, length: u64) -> io::Result<()> {
    file.seek(SeekFrom::Start(from))?;
    let mut source = file.take(length);
    let mut piece = vec![0; PIECE];
    let mut left = length;
    while left > 0 {
        let read = source.read(&mut piece)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        hasher.update(piece.get(..read).unwrap_or_default());
        left -= read as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::open_model;

    const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny-f16.gguf");

    fn changed(at: impl Fn(&mut Vec<u8>)) -> (String, Option<String>) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.gguf");
        let mut bytes = std::fs::read(TINY).expect("read");
        at(&mut bytes);
        std::fs::write(&path, bytes).expect("written");
        let model = open_model(&path).expect("a model");
        let vocabulary = array_digest(&model, "tokenizer.ggml.tokens").expect("read");
        (tensor_digest(&model).expect("read"), vocabulary)
    }

    #[test]
    fn metadata_does_not_count_and_a_bit_of_a_tensor_does() {
        let model = open_model(TINY).expect("a model");
        let (data, name) = (model.first().data_offset as usize, model.name().expect("a name").to_owned());
        let plain = changed(|_| {});
        let renamed = changed(|bytes| {
            let at = bytes.windows(name.len()).position(|w| w == name.as_bytes()).expect("there");
            bytes[at] = b'X';
        });
        assert_eq!(plain, renamed);
        let other = changed(|bytes| bytes[data + 64] ^= 1);
        assert_ne!(plain.0, other.0);
        assert_eq!(plain.1, other.1);
        let (from, to) = model.metadata().array("tokenizer.ggml.tokens").expect("a vocabulary").place;
        let vocabulary = changed(|bytes| bytes[(to - 1) as usize] ^= 1);
        assert_eq!(plain.0, vocabulary.0);
        assert_ne!(plain.1, vocabulary.1);
        assert!(from < to && to < data as u64);
    }
}
