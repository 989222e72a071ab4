//! Writing what was measured: trial files whole, items appended line by line, each with its own checksum.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::files;
use crate::journal::reader::{manifest_file, trial_file, trial_folder};
use crate::journal::record::{ItemRecord, Manifest, TrialFile};
use crate::journal::sealed::seal;

/// Items are synced to disk at the latest after this many, or after this long.
const SYNC_ITEMS: u32 = 64;
const SYNC_AFTER: Duration = Duration::from_secs(2);

/// Writes `manifest.json`.
pub fn write_manifest(folder: &Path, manifest: &Manifest) -> io::Result<()> {
    files::replace(&manifest_file(folder), &seal(manifest)?)
}

/// Writes `trials/<id>/trial.json`.
pub fn write_trial(folder: &Path, trial: &TrialFile) -> io::Result<()> {
    files::replace(&trial_file(folder, &trial.spec.id), &seal(trial)?)
}

/// A name that no other process, on this machine or another, gives its journals.
pub fn writer_name() -> String {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let host = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let host = crc32fast::hash(host.as_bytes());
    format!("{nanos:x}-{host:08x}-{}", std::process::id())
}

/// One writer's item journal of one trial. The file appears with its first item.
#[derive(Debug)]
pub struct ItemJournal {
    path: PathBuf,
    file: Option<File>,
    length: u64,
    unsynced: u32,
    synced: Instant,
}

impl ItemJournal {
    /// A journal of `writer` for a trial.
    pub fn new(folder: &Path, id: &str, writer: &str) -> Self {
        let path = trial_folder(folder, id).join(format!("items-{writer}.jsonl"));
        Self { path, file: None, length: 0, unsynced: 0, synced: Instant::now() }
    }

    /// Appends an item. On an error the file is cut back to its last whole line.
    pub fn append(&mut self, item: &ItemRecord) -> io::Result<()> {
        let line = line(&serde_json::to_string(item)?);
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                if let Some(folder) = self.path.parent() {
                    fs::create_dir_all(folder)?;
                }
                let file = File::options().append(true).create(true).open(&self.path)?;
                self.length = file.metadata()?.len();
                none.insert(file)
            }
        };
        if let Err(error) = file.write_all(line.as_bytes()) {
            let _ = file.set_len(self.length);
            return Err(error);
        }
        self.length += line.len() as u64;
        self.unsynced += 1;
        if self.unsynced >= SYNC_ITEMS || self.synced.elapsed() >= SYNC_AFTER {
            self.sync()?;
        }
        Ok(())
    }

    /// Makes sure that all items are on the disk.
    pub fn sync(&mut self) -> io::Result<()> {
        if let Some(file) = &self.file
            && self.unsynced > 0
        {
            file.sync_data()?;
        }
        self.unsynced = 0;
        self.synced = Instant::now();
        Ok(())
    }
}

/// A journal line: CRC-32 of the JSON text, a space, the JSON text.
pub(super) fn line(json: &str) -> String {
    format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()))
}
