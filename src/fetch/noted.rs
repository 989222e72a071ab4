//! Checksums of large files, noted in the cache: a base of 50 GB that is hashed anew by every task of a cluster would be read
//! over its network as often. A note holds as long as the file's size, inode and times are what they were; the time of the last
//! change (`ctime`) moves with every write and cannot be set back, where the file system keeps one. Files are opened to be asked:
//! of a name alone a network's file system may tell what was true a minute ago.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::cache::Cache;
use super::checksum::{sha256_bytes, sha256_file};
use crate::files;

/// A file that changed so short a time ago may change again within the same tick of its file system's clock.
const SETTLED: Duration = Duration::from_secs(2);

impl Cache {
    /// The SHA-256 of a file's content, from a note if the file has not changed since that was taken.
    ///
    /// # Errors
    /// If the file cannot be read. A note that cannot be read or written costs time only.
    pub fn sha256_of(&self, path: &Path) -> io::Result<String> {
        self.noted(path, SystemTime::now(), &sha256_file)
    }

    fn noted(
        &self,
        path: &Path,
        now: SystemTime,
        hash: &dyn Fn(&Path) -> io::Result<String>,
    ) -> io::Result<String> {
        let path = fs::canonicalize(path)?;
        let ask = || File::open(&path).and_then(|file| file.metadata());
        let before = ask()?;
        let (note, state) = (self.note(&path), state(&path, &before));
        if let Some(sha256) = fs::read_to_string(&note).ok().and_then(|text| read(&text, &state)) {
            return Ok(sha256);
        }
        let sha256 = hash(&path)?;
        let is_settled = now.duration_since(changed(&before)).is_ok_and(|age| age >= SETTLED);
        if is_settled && ask().is_ok_and(|after| self::state(&path, &after) == state) {
            // Without it the next one hashes again.
            let _ = files::replace(&note, written(&state, &sha256).as_bytes());
        }
        Ok(sha256)
    }

    fn note(&self, path: &Path) -> PathBuf {
        let name = sha256_bytes(path.as_os_str().as_encoded_bytes());
        self.root().join("sha256").join(name)
    }
}

/// What must not have changed, in one line.
fn state(path: &Path, about: &Metadata) -> String {
    let (bytes, inode) = (about.size(), about.ino());
    let modified = (about.mtime(), about.mtime_nsec());
    let changed = (about.ctime(), about.ctime_nsec());
    let path = path.display();
    format!("{bytes} bytes, inode {inode}, modified {modified:?}, changed {changed:?}: {path}")
}

fn changed(about: &Metadata) -> SystemTime {
    let latest = about.ctime().max(about.mtime());
    UNIX_EPOCH + Duration::from_secs(u64::try_from(latest).unwrap_or(0))
}

/// A note: the state, the checksum, and a checksum of both.
fn written(state: &str, sha256: &str) -> String {
    let both = format!("{state}\n{sha256}\n");
    format!("{both}{}\n", sha256_bytes(both.as_bytes()))
}

/// The checksum of a whole note about this state.
fn read(note: &str, state: &str) -> Option<String> {
    let sha256 = note.strip_prefix(state)?.strip_prefix('\n')?.lines().next()?;
    (note == written(state, sha256)).then(|| sha256.to_owned())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_file_is_hashed_again_when_it_may_have_changed() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::at(&folder.path().join("cache")).expect("a cache");
        let path = folder.path().join("model.gguf");
        fs::write(&path, b"one").expect("written");
        let hashed = Cell::new(0);
        let hash = |path: &Path| {
            hashed.set(hashed.get() + 1);
            sha256_file(path)
        };
        let ask = |later: u64| {
            let now = SystemTime::now() + Duration::from_secs(later);
            cache.noted(&path, now, &hash).expect("hashed")
        };
        // Too young to be noted, then old enough, then known.
        for (later, times) in [(0, 1), (9, 2), (9, 2), (0, 2)] {
            assert_eq!((ask(later), hashed.get()), (sha256_bytes(b"one"), times));
        }
        // As many bytes, and the time of their writing set back.
        let modified = fs::metadata(&path).and_then(|about| about.modified()).expect("asked");
        std::thread::sleep(Duration::from_millis(20));
        fs::write(&path, b"two").expect("written");
        let file = File::options().write(true).open(&path).expect("open");
        file.set_modified(modified).expect("set");
        assert_eq!((ask(9), hashed.get()), (sha256_bytes(b"two"), 3));
        // A note with a flipped bit, wherever it is, is none.
        let note = cache.note(&fs::canonicalize(&path).expect("a path"));
        let whole = fs::read(&note).expect("noted");
        for at in 0..whole.len() {
            let mut torn = whole.clone();
            torn[at] ^= 1;
            fs::write(&note, &torn).expect("written");
            assert_eq!(ask(0), sha256_bytes(b"two"));
        }
        assert_eq!(hashed.get(), 3 + whole.len());
    }
}
