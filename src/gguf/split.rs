//! A model is one file, or several parts named `name-00001-of-00003.gguf` that llama.cpp loads together. The rules are
//! those of `llama_model_loader`: the first part is given, it carries the metadata, the others lie beside it.

use super::described::Described;
use super::error::GgufError;
use super::metadata::Metadata;
use super::reader::{GgufFile, TensorInfo};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

const PART: &str = "split.no";
const COUNT: &str = "split.count";
const TENSORS: &str = "split.tensors.count";

/// A model: at least one part, the first of which carries the metadata.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    first: GgufFile,
    others: Vec<GgufFile>,
}

impl Model {
    /// The part that was given, whose metadata holds for the whole model.
    pub fn first(&self) -> &GgufFile {
        &self.first
    }

    /// All parts in order.
    pub fn parts(&self) -> impl Iterator<Item = &GgufFile> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The files of all parts in order.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.parts().map(|part| part.path.as_path())
    }

    /// Bytes of all parts together.
    pub fn file_bytes(&self) -> u64 {
        self.parts().fold(0, |sum, part| sum.saturating_add(part.file_bytes))
    }
}

impl From<GgufFile> for Model {
    fn from(first: GgufFile) -> Self {
        Self { first, others: Vec::new() }
    }
}

impl Described for Model {
    fn metadata(&self) -> &Metadata {
        &self.first.metadata
    }

    fn tensors(&self) -> impl Iterator<Item = &TensorInfo> {
        self.parts().flat_map(|part| &part.tensors)
    }
}

/// Opens a model by its only file or the first of its parts.
///
/// # Errors
/// If any part cannot be read, is missing or contradicts the others, or if the file given is not the first part.
pub fn open_model(path: impl AsRef<Path>) -> Result<Model, GgufError> {
    open_parts(path.as_ref(), |path| GgufFile::open(path))
}

/// Opens a model whose tensor data may be missing.
///
/// # Errors
/// As [`open_model`], but for truncated data.
pub fn open_header(path: impl AsRef<Path>) -> Result<Model, GgufError> {
    open_parts(path.as_ref(), |path| GgufFile::open_header(path))
}

fn open_parts(path: &Path, open: impl Fn(&Path) -> Result<GgufFile, GgufError>) -> Result<Model, GgufError> {
    let first = open(path)?;
    let count = first.metadata.u64(COUNT).unwrap_or(1);
    if count <= 1 {
        return Ok(first.into());
    }
    let name = PartName::of(&first.path);
    check_first(&first, count, name.as_ref())?;
    let Some(name) = name.filter(|name| name.part == 1) else {
        let expected = part_suffix(1, count);
        return Err(GgufError::PartName { path: first.path, count, expected });
    };
    if name.count != count {
        return Err(mismatch(&first.path, COUNT, Some(count), name.count));
    }
    let others = (2..=count).map(|part| open_part(&name, part, &open)).collect::<Result<Vec<_>, _>>()?;
    let model = Model { first, others };
    check_tensors(&model)?;
    Ok(model)
}

fn check_first(first: &GgufFile, count: u64, name: Option<&PartName>) -> Result<(), GgufError> {
    match first.metadata.u64(PART) {
        Some(0) => Ok(()),
        Some(number) => Err(GgufError::NotFirstPart {
            path: first.path.clone(),
            part: number.saturating_add(1),
            count,
            first: name.map(|name| name.path(1)),
        }),
        None => Err(mismatch(&first.path, PART, None, 0)),
    }
}

fn open_part(
    name: &PartName,
    part: u64,
    open: impl Fn(&Path) -> Result<GgufFile, GgufError>,
) -> Result<GgufFile, GgufError> {
    let count = name.count;
    let file = open(&name.path(part)).map_err(|error| match error {
        GgufError::Missing { path } => GgufError::PartMissing { path, part, count },
        other => other,
    })?;
    // llama.cpp asks the other parts only for their number; a count that differs is a part of another download.
    let found = file.metadata.u64(PART);
    if found != Some(part - 1) {
        return Err(mismatch(&file.path, PART, found, part - 1));
    }
    match file.metadata.u64(COUNT) {
        found @ Some(other) if other != count => Err(mismatch(&file.path, COUNT, found, count)),
        _ => Ok(file),
    }
}

fn check_tensors(model: &Model) -> Result<(), GgufError> {
    let mut names = HashSet::new();
    for part in model.parts() {
        if let Some(twice) = part.tensors.iter().find(|tensor| !names.insert(tensor.name.as_str())) {
            return Err(GgufError::DuplicateTensor { path: part.path.clone(), tensor: twice.name.clone() });
        }
    }
    let total = names.len() as u64;
    let found = model.first.metadata.u64(TENSORS);
    if found == Some(total) { Ok(()) } else { Err(mismatch(&model.first.path, TENSORS, found, total)) }
}

fn mismatch(path: &Path, key: &'static str, found: Option<u64>, expected: u64) -> GgufError {
    let found = found.map_or_else(|| "nothing".into(), |number| number.to_string());
    GgufError::PartMismatch { path: path.into(), key, found, expected }
}

fn part_suffix(part: u64, count: u64) -> String {
    format!("-{part:05}-of-{count:05}.gguf")
}

/// A file name of the form `stem-00001-of-00003.gguf`, taken apart. `part` counts from 1.
struct PartName {
    folder: PathBuf,
    stem: String,
    part: u64,
    count: u64,
}

impl PartName {
    fn of(path: &Path) -> Option<Self> {
        let (rest, count) = path.file_name()?.to_str()?.strip_suffix(".gguf")?.rsplit_once("-of-")?;
        let (stem, part) = rest.rsplit_once('-')?;
        let name = Self {
            folder: path.parent()?.into(),
            stem: stem.into(),
            part: part.parse().ok()?,
            count: count.parse().ok()?,
        };
        // Only the exact spelling leads llama.cpp to the other parts.
        (name.path(name.part).file_name() == path.file_name()).then_some(name)
    }

    fn path(&self, part: u64) -> PathBuf {
        self.folder.join(format!("{}{}", self.stem, part_suffix(part, self.count)))
    }
}
