//! Files that are replaced whole or not at all: written beside their place, synced, then renamed over it.
//! A reader, or a run killed half-way, finds the old file or the new one and never a part.
//! Imports nothing of the pipeline.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::io::Errno;

/// How often a process that waits for its turn looks again.
const GLANCE: Duration = Duration::from_millis(100);

/// Replaces `path` by `bytes`, making its folder where needed.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        fs::create_dir_all(folder)?;
    }
    let beside = temporary(path);
    let result = write_synced(&beside, bytes).and_then(|()| fs::rename(&beside, path));
    if result.is_err() {
        // Best effort: the error that is told is the one that mattered.
        let _ = fs::remove_file(&beside);
    }
    result
}

/// Whether a file could be put there: whether its folder, or the nearest above it that is there, takes one.
pub fn try_place(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let absolute = std::path::absolute(path)?;
    let folder = absolute.ancestors().skip(1).find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    let probe = temporary(&folder.join("probe"));
    // In a full folder the name fits and the content does not.
    let tried = fs::write(&probe, [0; 4096]);
    let removed = fs::remove_file(&probe);
    tried.and(removed)
}

/// A temporary name beside `path`, of its own for each process on whatever machine, so that two that write one folder do
/// not meet: containers and nodes of a cluster often have the same process ids.
pub fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}{}", temporary_suffix()))
}

/// How this process's temporary files end: `.PID-HOST.tmp`.
pub fn temporary_suffix() -> String {
    format!(".{}-{:08x}.tmp", std::process::id(), host())
}

/// Whether a name is that of a temporary file which a process of this very machine left behind when it was killed. Of
/// other machines that share the folder nothing is known, so that theirs are left alone.
pub fn is_orphan(name: &str) -> bool {
    let owner = || name.strip_prefix('.')?.strip_suffix(".tmp")?.rsplit('.').next()?.split_once('-');
    let Some((pid, named)) = owner() else { return false };
    let here = u32::from_str_radix(named, 16) == Ok(host());
    let is_gone = |pid: u32| Path::new("/proc/self").exists() && !Path::new(&format!("/proc/{pid}")).exists();
    here && pid.parse().is_ok_and(is_gone)
}

/// Tells machines, and containers, that number their processes by themselves.
fn host() -> u32 {
    static HOST: OnceLock<u32> = OnceLock::new();
    *HOST.get_or_init(|| {
        let read = |path: &str| fs::read(path).unwrap_or_default();
        let numbers = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        let numbers = numbers.into_os_string().into_encoded_bytes();
        let parts = [read("/etc/machine-id"), read("/proc/sys/kernel/hostname"), numbers];
        crc32fast::hash(&parts.join(&b'\n'))
    })
}

/// A text as part of a file's name: what is neither a letter or digit of ASCII nor `-`, `_` or `.` becomes `_`.
pub fn plain_name(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect()
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// The largest record that is read: nothing that a sweep writes comes near.
const MOST_BYTES: u64 = 512 << 20;
/// The largest text of a person.
const MOST_TEXT: u64 = 64 << 20;

/// The whole of a record of a results folder, which may be a stranger's: only of a plain file. A link would lead anywhere, a
/// pipe would never end, and neither would a device.
pub fn read_record(path: &Path) -> io::Result<Vec<u8>> {
    read_record_within(path, MOST_BYTES)
}

/// The same of a record that is never larger than so many bytes.
fn read_record_within(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut file = open_record(path)?;
    if file.metadata()?.len() > most {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    io::Read::by_ref(&mut file).take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn too_large() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it is larger than any record".to_owned())
}

/// A text that the user names: a file, a link or what another program writes.
pub fn read_text(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST_TEXT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_TEXT { Err(too_large()) } else { utf8(bytes) }
}

/// A record that is text, of a size that people write.
pub fn read_text_record(path: &Path) -> io::Result<String> {
    utf8(read_record_within(path, MOST_TEXT)?)
}

fn utf8(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let before = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = before.split(|byte| *byte == b'\n').count();
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("line {line} is not UTF-8; save the file as UTF-8"),
        )
    })
}

/// Opens a log at its end. Not through a link, and no pipe, in which nobody might ever read: the folder may be a stranger's.
pub fn append_to_log(path: &Path) -> io::Result<File> {
    let plain = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened =
        File::options().create(true).append(true).custom_flags(plain.bits().cast_signed()).open(path);
    let told = |kind, why: &str| io::Error::new(kind, format!("{}: {why}", path.display()));
    let file = opened.map_err(|error| told(error.kind(), &error.to_string()))?;
    let is_plain = file.metadata()?.is_file();
    if is_plain { Ok(file) } else { Err(told(io::ErrorKind::InvalidData, "it is no plain file")) }
}

/// Opens such a file.
pub fn open_record(path: &Path) -> io::Result<File> {
    let plain = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let opened = File::options().read(true).custom_flags(plain.bits().cast_signed()).open(path);
    let file = opened.map_err(|error| match error.raw_os_error() {
        Some(code) if code == Errno::LOOP.raw_os_error() => {
            wrong("it is a link, and records are plain files")
        }
        _ => error,
    })?;
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(wrong("it is no plain file"));
    }
    Ok(file)
}

/// What of a folder, or of these folders in it, is a link that leads out of it: to write there would be to write elsewhere.
/// None if the folder is not there.
pub fn leads_out(folder: &Path, within: &[&str]) -> Option<PathBuf> {
    let home = folder.canonicalize().ok()?;
    let is_out = |path: &Path| match path.canonicalize() {
        Ok(to) => !to.starts_with(&home),
        // One that leads nowhere, as editors make beside a file, does no harm inside.
        Err(_) => fs::read_link(path).map_or(true, |to| to.components().count() != 1 || to.is_absolute()),
    };
    let places = std::iter::once(folder.to_owned()).chain(within.iter().map(|inner| folder.join(inner)));
    let entries = places.flat_map(|place| fs::read_dir(place).into_iter().flatten().flatten());
    let is_link = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_symlink());
    entries.filter(is_link).map(|entry| entry.path()).find(|path| is_out(path))
}

/// The right to do what one process at a time should do; it ends with this value, or with the process.
#[derive(Debug)]
pub struct Turn(File);

impl Turn {
    /// Waits for the turn at `path`, a file of its own that is made and stays empty, as long as `waits` says. None if that
    /// ended first. Where the file system knows no locks everybody has the turn: what is done in turn must be harmless
    /// twice.
    pub fn take(path: &Path, mut waits: impl FnMut() -> bool) -> io::Result<Option<Self>> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = File::options().append(true).create(true).open(path)?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(Self(file))),
                Err(TryLockError::Error(error)) if knows_no_locks(&error) => {
                    return Ok(Some(Self(file)));
                }
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) if !waits() => return Ok(None),
                Err(TryLockError::WouldBlock) => thread::sleep(GLANCE),
            }
        }
    }

    /// A handle that a child process can hold: the turn then lasts until the child has ended as well.
    pub fn shared(&self) -> io::Result<File> {
        self.0.try_clone()
    }
}

/// Whether a file system has no locks: as local ones say it, and as NFS without a lock manager does.
fn knows_no_locks(error: &io::Error) -> bool {
    let codes = [Errno::NOLCK, Errno::NOSYS].map(Errno::raw_os_error);
    error.kind() == io::ErrorKind::Unsupported
        || error.raw_os_error().is_some_and(|code| codes.contains(&code))
}

/// Whether there is no more space: of the disk, or of the user's share of it, which is the usual case on clusters.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Bytes free for an ordinary user on the file system that holds `path` (or will: the nearest folder that
/// exists is asked).
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let there = path.ancestors().find(|p| p.exists()).unwrap_or(Path::new("."));
    let stat = rustix::fs::statvfs(there)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deep/er/a.csv");
        replace(&path, b"old").expect("written");
        replace(&path, b"new").expect("written");
        assert_eq!(fs::read(&path).expect("read"), b"new");
        assert_eq!(fs::read_dir(path.parent().expect("a folder")).expect("listed").count(), 1);
    }

    #[test]
    fn records_are_plain_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("plain"), "x").expect("written");
        std::os::unix::fs::symlink(path("plain"), path("link")).expect("linked");
        std::os::unix::fs::symlink("/dev/zero", path("endless")).expect("linked");
        assert_eq!(read_record(&path("plain")).expect("read"), b"x");
        let told = |name: &str| read_record(&path(name)).expect_err("refused").to_string();
        assert_eq!([told("link"), told("endless")], ["it is a link, and records are plain files"; 2]);
        assert_eq!(told(""), "it is no plain file");
        assert_eq!(
            read_record(Path::new("/dev/zero")).expect_err("refused").to_string(),
            "it is no plain file"
        );
        assert_eq!(read_record(&path("nothing")).expect_err("refused").kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn links_that_lead_out_are_found() {
        let (folder, other) =
            (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let charts = folder.path().join("charts");
        fs::create_dir(&charts).expect("made");
        assert_eq!(leads_out(folder.path(), &["charts"]), None);
        std::os::unix::fs::symlink(&charts, folder.path().join("pictures")).expect("linked");
        std::os::unix::fs::symlink("me@here.1", folder.path().join(".#costs.toml")).expect("linked");
        assert_eq!(leads_out(folder.path(), &["charts"]), None, "they stay inside");
        std::os::unix::fs::symlink(other.path(), charts.join("dark")).expect("linked");
        assert_eq!(leads_out(folder.path(), &["charts"]), Some(charts.join("dark")));
        assert_eq!(leads_out(folder.path(), &[]), None);
        assert_eq!(leads_out(&folder.path().join("nowhere"), &["charts"]), None);
    }

    #[test]
    fn a_place_is_tried_and_nothing_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(try_place(&folder.path().join("new/er/a.csv")).is_ok());
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 0);
        assert_eq!(try_place(folder.path()).expect_err("refused").kind(), io::ErrorKind::IsADirectory);
        fs::write(folder.path().join("file"), "").expect("written");
        assert!(try_place(&folder.path().join("file/a.csv")).is_err());
    }

    #[test]
    fn an_error_leaves_no_temporary_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("taken");
        fs::create_dir(&path).expect("made");
        assert!(replace(&path, b"x").is_err());
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);
    }

    #[test]
    fn a_turn_is_one_at_a_time_and_lasts_as_long_as_a_child_holds_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deep/x.lock");
        let first = Turn::take(&path, || false).expect("taken").expect("free");
        assert!(Turn::take(&path, || false).expect("asked").is_none());
        let held = first.shared().expect("shared");
        drop(first);
        assert!(Turn::take(&path, || false).expect("asked").is_none(), "the child still holds it");
        drop(held);
        assert!(Turn::take(&path, || false).expect("asked").is_some());
    }

    #[test]
    fn only_what_a_dead_process_of_this_machine_left_is_an_orphan() {
        let name = |pid: u32, host: u32| format!(".a.gguf.{pid}-{host:08x}.tmp");
        let mine = temporary(Path::new("b/a.gguf"));
        assert_eq!(mine, Path::new("b").join(name(std::process::id(), host())));
        // Beyond the largest that there can be.
        let dead = 1 << 30;
        assert!(is_orphan(&name(dead, host())));
        for other in [name(std::process::id(), host()), name(dead, !host()), format!(".a.gguf.{dead}.tmp")] {
            assert!(!is_orphan(&other), "{other}");
        }
    }

    #[test]
    fn free_space_is_asked_of_a_folder_that_is_yet_to_be_made() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(free_bytes(&folder.path().join("a/b/c")).expect("asked") > 0);
    }
}
