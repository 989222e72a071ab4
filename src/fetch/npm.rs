//! Files in npm packages, brought by the user's own `npm` so that its registry, proxy and credentials are the user's.

use super::archive;
use super::error::FetchError;
use super::source::PackageFile;
use super::tool;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

/// On Windows npm is a script, and scripts are found by their full name only.
const NPM: &str = if cfg!(windows) { "npm.cmd" } else { "npm" };

/// Downloads the package's tarball into a folder, without what it depends on and without running its scripts.
pub(super) fn download(package: &PackageFile, folder: &Path) -> Result<PathBuf, FetchError> {
    let wanted = package.package();
    let mut command = Command::new(NPM);
    // With --silent npm would keep its reasons to itself. Its own folder, so that no project around us is read.
    command.args(["pack", &wanted, "--ignore-scripts", "--loglevel=error", "--pack-destination"]).arg(folder);
    match tool::run(command.current_dir(folder)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(FetchError::NoTool { tool: "npm", wanted })
        }
        Err(error) => Err(FetchError::io("run", Path::new(NPM))(error)),
        Ok(Err(tool::Failure { reason, offline })) => {
            Err(FetchError::Tool { tool: "npm", wanted, reason, offline })
        }
        Ok(Ok(())) => archive::only_file(folder, ".tgz"),
    }
}

/// Copies the member out of the tarball.
pub(super) fn extract(package: &PackageFile, tarball: &Path, to: &mut File) -> Result<(), FetchError> {
    let limit = archive::limit_of(tarball)?;
    // A tarball has no directory: what comes before the member is unpacked too, and is bounded as well.
    let unpacked = flate2::read::GzDecoder::new(archive::open(tarball)?).take(limit);
    let mut tar = tar::Archive::new(unpacked);
    let mut names = Vec::new();
    for entry in tar.entries().map_err(|error| archive::broken(package, error.to_string()))? {
        let entry = entry.map_err(|error| archive::broken(package, error.to_string()))?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if name != package.member() {
            names.push(name);
            continue;
        }
        if !entry.header().entry_type().is_file() {
            return Err(archive::broken(package, "it is not a regular file"));
        }
        let declared = entry.size();
        return archive::copy(package, entry, to, declared, limit);
    }
    if tar.into_inner().limit() == 0 {
        return Err(archive::too_large(package, limit));
    }
    Err(archive::not_in(package, names.iter().map(String::as_str)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::Source;
    use proptest::prelude::*;
    use std::io::{Seek, Write};
    use tempfile::TempDir;

    fn package(member: &str) -> PackageFile {
        let Source::Package(file) = format!("npm:@a/b@1.0.0/{member}").parse().unwrap() else { panic!() };
        file
    }

    fn tarball() -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tgz");
        let gz = flate2::write::GzEncoder::new(File::create(&path).unwrap(), flate2::Compression::fast());
        let mut tar = tar::Builder::new(gz);
        let mut header = tar::Header::new_gnu();
        header.set_size(3);
        tar.append_data(&mut header, "package/x.txt", &b"abc"[..]).unwrap();
        header.set_size(0);
        header.set_entry_type(tar::EntryType::Symlink);
        tar.append_link(&mut header, "package/link", "/etc/passwd").unwrap();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(80 << 20);
        tar.append_data(&mut header, "package/bomb", io::repeat(0).take(80 << 20)).unwrap();
        tar.into_inner().unwrap().finish().unwrap().flush().unwrap();
        (folder, path)
    }

    proptest! {
        #[test]
        fn a_damaged_tarball_gives_the_file_or_an_error(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            packed: bool,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.tgz");
            let mut tar = tar::Builder::new(Vec::new());
            for name in ["package/x.txt", "package/d/x.txt"] {
                let mut header = tar::Header::new_gnu();
                header.set_size(300);
                header.set_mode(0o644);
                tar.append_data(&mut header, name, &[b'a'; 300][..]).unwrap();
            }
            let mut plain = tar.into_inner().unwrap();
            let gz = |bytes: &[u8]| {
                let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                gz.write_all(bytes).unwrap();
                gz.finish().unwrap()
            };
            let mut bytes = gz(&plain);
            // What is behind the compression is changed, or what is before it.
            let changed = if packed { &mut bytes } else { &mut plain };
            for (at, byte) in changes {
                let at = at.index(changed.len());
                changed[at] = byte;
            }
            std::fs::write(&path, if packed { bytes } else { gz(&plain) }).unwrap();
            let mut to = tempfile::tempfile().unwrap();
            let _ = extract(&package("package/d/x.txt"), &path, &mut to);
            prop_assert!(to.metadata().unwrap().len() <= archive::limit_of(&path).unwrap());
            prop_assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn takes_out_one_regular_file_of_sane_size() {
        let (_folder, tarball) = tarball();
        let mut to = tempfile::tempfile().unwrap();
        extract(&package("package/x.txt"), &tarball, &mut to).unwrap();
        let mut text = String::new();
        to.rewind().unwrap();
        to.read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc");
        let error =
            |member| extract(&package(member), &tarball, &mut tempfile::tempfile().unwrap()).unwrap_err();
        assert!(error("package/link").to_string().contains("not a regular file"));
        assert!(error("package/bomb").to_string().contains("zip bomb"));
        assert!(matches!(error("behind/the/bomb"), FetchError::BadArchive { .. }));
    }
}
