//! The folder that a program works in: filled before it, read after it. Links are never followed.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use super::job::{Bytes, Files};

/// Most files that come back.
const MOST_FILES: usize = 2_000;
/// Folders within folders that are looked into.
const DEEPEST: usize = 32;

/// Writes a job's files, whose paths were checked.
pub(super) fn fill(folder: &Path, files: &Files) -> io::Result<()> {
    for (path, content) in files {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, &content.0)?;
    }
    Ok(())
}

/// What a folder holds, up to so many bytes, and how many things were left out. Nothing may change it meanwhile.
pub(super) fn gather(folder: &Path, most_bytes: u64) -> (Files, u64) {
    let mut found = Found { files: Files::new(), left_out: 0, room: most_bytes };
    found.folder(folder, "", 0);
    (found.files, found.left_out)
}

struct Found {
    files: Files,
    left_out: u64,
    room: u64,
}

impl Found {
    fn folder(&mut self, folder: &Path, prefix: &str, depth: usize) {
        let Ok(entries) = fs::read_dir(folder) else {
            self.left_out += 1;
            return;
        };
        let mut entries: Vec<_> = entries.flatten().collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let (name, kind) = (entry.file_name(), entry.file_type());
            let (Some(name), Ok(kind)) = (name.to_str(), kind) else {
                self.left_out += 1;
                continue;
            };
            let inside = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
            if kind.is_dir() && depth < DEEPEST {
                self.folder(&entry.path(), &inside, depth + 1);
            } else if !kind.is_file() || !self.file(&entry.path(), inside) {
                self.left_out += 1;
            }
        }
    }

    /// Whether the file was taken.
    fn file(&mut self, path: &Path, inside: String) -> bool {
        let mut content = Vec::new();
        let read = File::open(path).and_then(|file| file.take(self.room + 1).read_to_end(&mut content));
        if read.is_err() || content.len() as u64 > self.room || self.files.len() >= MOST_FILES {
            return false;
        }
        self.room -= content.len() as u64;
        self.files.insert(inside, Bytes(content));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn files_come_back_as_they_were_and_links_do_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = Files::from([("a.py".to_owned(), "x".into()), ("d/e/f".to_owned(), vec![0, 255].into())]);
        fill(folder.path(), &files).expect("written");
        assert_eq!(gather(folder.path(), 100), (files.clone(), 0));
        symlink("/etc/passwd", folder.path().join("link")).expect("linked");
        symlink("/etc", folder.path().join("d/etc")).expect("linked");
        assert_eq!(gather(folder.path(), 100), (files, 2));
        let (some, left_out) = gather(folder.path(), 1);
        assert_eq!((some.len(), left_out), (1, 3));
    }
}
