//! A model of which only the header is at hand, made openable: llama.cpp asks that a file be as long as its header says,
//! even where it reads no tensor. A copy of the header, stretched to that length, has no data and takes no disk.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::error::Error;
use crate::gguf;

/// A model's file as a worker may open it.
#[derive(Debug)]
pub struct Openable {
    /// The file (first part, if split).
    pub path: PathBuf,
    /// Whether tensor data is missing.
    pub header_only: bool,
    /// The file that the user named.
    named: PathBuf,
    /// Where the stretched copies lie, until this is dropped.
    _folder: Option<TempDir>,
}

impl Openable {
    /// The model's own file if all its data is there, otherwise a stretched copy. Of what is too long for any disk the
    /// file stays as it is: llama.cpp then says that it is incomplete.
    pub fn of(model: &gguf::Model) -> Result<Self, Error> {
        let path = model.first().path.clone();
        if model.parts().all(|part| part.file_bytes >= part.whole_bytes) {
            return Ok(Self { named: path.clone(), path, header_only: false, _folder: None });
        }
        let stretched = || -> io::Result<(TempDir, PathBuf)> {
            let folder = tempfile::tempdir()?;
            for part in model.parts() {
                stretch(part, folder.path())?;
            }
            let first = folder.path().join(path.file_name().unwrap_or_default());
            Ok((folder, first))
        };
        match stretched() {
            Ok((folder, copy)) => {
                Ok(Self { path: copy, header_only: true, named: path, _folder: Some(folder) })
            }
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                Err(Error::NoSpace(format!("no space for a copy of the header of {}", path.display())))
            }
            Err(_) => Ok(Self { named: path.clone(), path, header_only: true, _folder: None }),
        }
    }
}

impl Openable {
    /// llama.cpp's words, about the file that the user named.
    pub fn in_its_name(&self, reason: &str) -> String {
        reason.replace(&*self.path.to_string_lossy(), &self.named.to_string_lossy())
    }
}

fn stretch(part: &gguf::GgufFile, folder: &Path) -> io::Result<()> {
    let copy = folder.join(part.path.file_name().unwrap_or_default());
    let mut file = File::create(&copy)?;
    io::copy(&mut File::open(&part.path)?.take(part.header_bytes), &mut file)?;
    // What cannot be stretched as far leaves nothing behind that could be taken for a model.
    file.set_len(part.whole_bytes).inspect_err(|_| _ = fs::remove_file(&copy))
}
