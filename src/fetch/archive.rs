//! A wheel or tarball on disk, and the bounds within which a file is taken out of it.
//!
//! An archive's own names never decide where anything is written: the one member asked for is copied to a path that
//! follows from the [`Source`](super::Source).

use super::error::FetchError;
use super::source::{PackageFile, Registry};
use super::{npm, pypi};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A downloaded archive; it goes away with this value.
#[derive(Debug)]
pub(super) struct Archive {
    /// Keeps the folder for as long as the archive is in use.
    pub _folder: TempDir,
    /// The wheel or tarball.
    pub path: PathBuf,
    /// SHA-256 of the archive.
    pub sha256: String,
}

/// A member of up to this size is taken out whatever the archive's size.
const ALWAYS_ALLOWED: u64 = 64 << 20;

/// Beyond that it may be this many times as large as the archive: far above what models and texts are compressed by,
/// far below what a zip bomb needs.
const LARGEST_RATIO: u64 = 100;

/// Up to how many other places of a file are suggested.
const SUGGESTIONS: usize = 3;

/// Copies the file out of its package's archive, which lies at `archive`. The archive is a stranger's: nothing but `to` is
/// written, and no more than a bound that goes by the archive's size.
///
/// # Errors
/// If the archive cannot be read, has no such file, or would unpack to more than a bound.
pub fn extract(file: &PackageFile, archive: &Path, to: &mut File) -> Result<(), FetchError> {
    match file.registry() {
        Registry::Pypi => pypi::extract(file, archive, to),
        Registry::Npm => npm::extract(file, archive, to),
    }
}

/// How many bytes may come out of the archive at this path.
pub(super) fn limit_of(archive: &Path) -> Result<u64, FetchError> {
    let bytes = fs::metadata(archive).map_err(FetchError::io("read", archive))?.len();
    Ok(limit(bytes))
}

/// Opens an archive for reading.
pub(super) fn open(archive: &Path) -> Result<io::BufReader<File>, FetchError> {
    File::open(archive).map(io::BufReader::new).map_err(FetchError::io("read", archive))
}

/// How many bytes may come out of an archive of this size.
fn limit(archive_bytes: u64) -> u64 {
    archive_bytes.saturating_mul(LARGEST_RATIO).max(ALWAYS_ALLOWED)
}

/// The one file in a folder that ends with `suffix`: what a client just put there.
pub(super) fn only_file(folder: &Path, suffix: &str) -> Result<PathBuf, FetchError> {
    let entries = fs::read_dir(folder).map_err(FetchError::io("read", folder))?;
    entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.to_string_lossy().ends_with(suffix))
        .ok_or_else(|| FetchError::io("find a package in", folder)(io::ErrorKind::NotFound.into()))
}

/// Copies a member that says it has `declared` bytes, and no more than that.
pub(super) fn copy(
    package: &PackageFile,
    from: impl Read,
    to: &mut File,
    declared: u64,
    limit: u64,
) -> Result<(), FetchError> {
    if declared > limit {
        return Err(too_large(package, limit));
    }
    // One byte more, to notice a member that holds more than it says.
    let copied = io::copy(&mut from.take(declared.saturating_add(1)), to);
    match copied.and_then(|copied| to.flush().map(|()| copied)) {
        Ok(copied) if copied == declared => Ok(()),
        Ok(_) => Err(broken(package, "it does not have the size that the archive states")),
        Err(error) => Err(broken(package, error.to_string())),
    }
}

/// The error for a member that would come out too large.
pub(super) fn too_large(package: &PackageFile, limit: u64) -> FetchError {
    broken(
        package,
        format!("it would unpack to more than {}, as a zip bomb does", crate::units::Bytes(limit)),
    )
}

/// The error for an archive that cannot be read.
pub(super) fn broken(package: &PackageFile, reason: impl Into<String>) -> FetchError {
    FetchError::BadArchive {
        package: package.package(),
        member: package.member().to_owned(),
        reason: reason.into(),
    }
}

/// The error for a missing member, with the files of the same name that the archive has elsewhere.
pub(super) fn not_in<'a>(package: &PackageFile, names: impl Iterator<Item = &'a str>) -> FetchError {
    let last = |path: &'a str| path.rsplit('/').next();
    let wanted = package.member().rsplit('/').next();
    let similar = names.filter(|name| last(name) == wanted).take(SUGGESTIONS).map(str::to_owned).collect();
    FetchError::NotInPackage { package: package.package(), member: package.member().to_owned(), similar }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::Source;

    fn package() -> PackageFile {
        let Source::Package(file) = "pypi:a==1/d/x.txt".parse().unwrap() else { panic!() };
        file
    }

    #[test]
    fn a_member_comes_out_with_the_size_it_states_or_not_at_all() {
        let mut to = tempfile::tempfile().unwrap();
        assert!(copy(&package(), &b"abc"[..], &mut to, 3, 10).is_ok());
        assert!(copy(&package(), &b"abc"[..], &mut to, 2, 10).is_err());
        assert!(copy(&package(), &b"abc"[..], &mut to, 4, 10).is_err());
        assert!(copy(&package(), io::repeat(0), &mut to, u64::MAX, 10).is_err());
    }

    #[test]
    fn the_limit_grows_with_the_archive() {
        assert_eq!(limit(10), 64 << 20);
        assert_eq!(limit(1 << 30), 100 << 30);
        assert_eq!(limit(u64::MAX), u64::MAX);
    }

    #[test]
    fn a_missing_member_suggests_its_namesakes() {
        let error = not_in(&package(), ["x.txt", "e/y.txt", "e/x.txt"].into_iter());
        assert_eq!(error.hint().unwrap(), "did you mean x.txt or e/x.txt?");
    }
}
