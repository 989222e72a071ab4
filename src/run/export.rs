//! What `bitfrontier export` does: a section for a model's card, and an archive of all that the results folder's tables are
//! made of, so that whoever has it can make them again. The same records give the same bytes.

use std::fs::{self, File};
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

use crate::analyze::analysis;
use crate::analyze::recommend::{Limits, recommend};
use crate::error::Error;
use crate::files;
use crate::journal::reader::is_journal;
use crate::journal::record::Manifest;
use crate::render::model_card::{Facts, section};
use crate::run::derive;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The section for a model's card.
    pub card: PathBuf,
    /// The archive.
    pub archive: PathBuf,
    /// Paths of this machine that the archive tells.
    pub told: Vec<String>,
}

/// Writes both into `out`, or into `export/` of the results folder.
///
/// # Errors
/// If the folder is no results folder, or something cannot be read or written.
pub fn export(folder: &Path, out: Option<&Path>) -> Result<Exported, Error> {
    let (manifest, trials) = derive::read_lean(folder)?;
    let analysis = analysis(&manifest, &trials, &derive::costs(folder)?);
    let answer = recommend(&manifest, &analysis, &Limits::default());
    let report = derive::with_foreign(folder, analysis.report)?;
    let name = file_name(&manifest.name);
    let out = out.map_or_else(|| folder.join("export"), Path::to_owned);
    let archive = out.join(format!("{name}.tar.gz"));
    let facts = Facts {
        threads: manifest.threads,
        base_sha256: manifest.base.sha256.clone(),
        archive: format!("{name}.tar.gz"),
    };
    let card = out.join("model-card.md");
    files::replace(&card, section(&report, &answer, &facts).as_bytes())
        .map_err(|source| Error::Write { path: card.clone(), source })?;
    write_archive(folder, &manifest, &name, &archive)?;
    Ok(Exported { card, archive, told: paths(&manifest) })
}

/// The archive appears whole or not at all.
fn write_archive(folder: &Path, manifest: &Manifest, name: &str, archive: &Path) -> Result<(), Error> {
    let beside = files::temporary(archive);
    let failed = |source| Error::Write { path: archive.to_owned(), source };
    let result = File::create(&beside)
        .map_err(failed)
        .and_then(|file| pack(folder, manifest, name, file, failed))
        .and_then(|file| file.sync_all().and_then(|()| fs::rename(&beside, archive)).map_err(failed));
    if result.is_err() {
        // Best effort: the error that is told is the one that mattered.
        let _ = fs::remove_file(&beside);
    }
    result
}

/// Packs the records into a folder called `name`.
fn pack(
    folder: &Path,
    manifest: &Manifest,
    name: &str,
    file: File,
    unwritten: impl Fn(io::Error) -> Error,
) -> Result<File, Error> {
    // 255 says "unknown system", and no time is told: the same bytes wherever and whenever it is packed.
    let packer: GzEncoder<File> =
        GzBuilder::new().mtime(0).operating_system(255).write(file, Compression::default());
    let mut archive = Builder::new(packer);
    for inside in records(folder, manifest)? {
        let path = folder.join(&inside);
        let record = files::open_record(&path).map_err(|source| Error::Io { path, source })?;
        add(&mut archive, record, &Path::new(name).join(&inside)).map_err(&unwritten)?;
    }
    archive.into_inner().and_then(GzEncoder::finish).map_err(unwritten)
}

/// Everything that tables and charts are derived from, in the order of names.
fn records(folder: &Path, manifest: &Manifest) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    for name in ["manifest.json", derive::COSTS, derive::FOREIGN] {
        if is_plain(&folder.join(name)) {
            found.push(PathBuf::from(name));
        }
    }
    for trial in &manifest.trials {
        let inside = Path::new("trials").join(&trial.id);
        let path = folder.join(&inside);
        // A trial that was never begun has no folder.
        if !path.is_dir() {
            continue;
        }
        let unreadable = |source| Error::Io { path: path.clone(), source };
        for entry in fs::read_dir(&path).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let name = entry.file_name();
            // Nothing else is a record: what is being written, and what somebody put there for us to hand on.
            if is_record(&name.to_string_lossy()) && is_plain(&entry.path()) {
                found.push(inside.join(name));
            }
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

fn is_record(name: &str) -> bool {
    name == "trial.json" || is_journal(name)
}

fn is_plain(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|about| about.is_file())
}

fn add(archive: &mut Builder<impl Write>, file: File, inside: &Path) -> io::Result<()> {
    let bytes = file.metadata()?.len();
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_size(bytes);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    // A sweep that goes on meanwhile appends to its journals: what is there now is whole without it.
    archive.append_data(&mut header, inside, file.take(bytes))
}

/// A file name, whatever the sweep is called.
fn file_name(name: &str) -> String {
    let plain: String =
        name.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
    let plain = plain.trim_matches('.');
    if plain.is_empty() { "sweep".to_owned() } else { plain.to_owned() }
}

/// Paths of this machine in the manifest, which whoever shares it should know of.
fn paths(manifest: &Manifest) -> Vec<String> {
    let variants = manifest.variants.iter().flat_map(|v| [&v.gguf, &v.imatrix_from]);
    let mut paths: Vec<String> = std::iter::once(&manifest.base.source)
        .chain(variants)
        .filter(|path| Path::new(path.as_str()).is_absolute())
        .cloned()
        .collect();
    paths.sort();
    paths.dedup();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_may_be_called_anything() {
        for (name, file) in
            [("quickstart", "quickstart"), ("..", "sweep"), ("", "sweep"), ("a/b c", "a_b_c"), (".x", "x")]
        {
            assert_eq!(file_name(name), file);
        }
    }
}
