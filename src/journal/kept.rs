//! The base's items, kept in the cache beside its store, so that another sweep of the same base need not measure them
//! again. A file is named after a trial's id, which covers all that decides its items, and holds the lines of an item
//! journal, each with its checksum.
//!
//! A file is only ever replaced as a whole. Of two sweeps that end at once the later one's file stays, which is whole
//! as well; what it lacks is measured again some day.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use crate::files;
use crate::journal::reader::parse_line;
use crate::journal::record::{ItemRecord, ItemScore};
use crate::journal::writer::line;

/// The file of a trial.
pub fn file_name(id: &str) -> String {
    format!("{id}.items")
}

/// The intact items of a file; none if there is no file or it cannot be read: a cache may be lost.
pub fn read(path: &Path) -> Vec<ItemRecord> {
    let bytes = fs::read(path).unwrap_or_default();
    let lines = bytes.split(|b| *b == b'\n').filter(|l| !l.is_empty());
    let items = lines.filter_map(parse_line).filter(is_worth_keeping).map(|item| (item.index, item));
    items.collect::<BTreeMap<_, _>>().into_values().collect()
}

/// Adds these items to a file. It is not touched if it has them all, intact.
pub fn add(path: &Path, items: &[ItemRecord]) -> io::Result<()> {
    let mut kept: BTreeMap<u64, ItemRecord> = read(path).into_iter().map(|item| (item.index, item)).collect();
    let before = kept.len();
    for item in items.iter().filter(|item| is_worth_keeping(item)) {
        kept.entry(item.index).or_insert_with(|| item.clone());
    }
    if kept.len() == before {
        return Ok(());
    }
    let mut text = String::new();
    for item in kept.values() {
        text.push_str(&line(&serde_json::to_string(item)?));
    }
    files::replace(path, text.as_bytes())
}

/// A failure may pass, and is tried again.
fn is_worth_keeping(item: &ItemRecord) -> bool {
    !matches!(item.score, ItemScore::Failed { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(index: u64) -> ItemRecord {
        let score = ItemScore::Chunk(Box::default());
        ItemRecord { index, id: format!("chunk-{index}"), score }
    }

    fn failed(index: u64) -> ItemRecord {
        ItemRecord { score: ItemScore::Failed { reason: "no".to_owned() }, ..item(index) }
    }

    #[test]
    fn items_add_up_and_failures_are_not_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("base").join(file_name("abc"));
        assert_eq!(read(&path), []);
        add(&path, &[failed(0)]).expect("nothing to write");
        assert!(!path.exists());
        add(&path, &[item(3), item(1)]).expect("written");
        add(&path, &[item(1), item(2), failed(9)]).expect("written");
        assert_eq!(read(&path), [item(1), item(2), item(3)]);
        let modified = || fs::metadata(&path).and_then(|m| m.modified()).expect("there");
        let before = modified();
        add(&path, &[item(2)]).expect("nothing to write");
        assert_eq!(modified(), before);
    }

    #[test]
    fn a_damaged_line_is_missing_and_the_next_addition_mends_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("abc.items");
        add(&path, &[item(0), item(1), item(2)]).expect("written");
        let whole = fs::read(&path).expect("read");
        let mut damaged = whole.clone();
        damaged[whole.len() / 2] ^= 1;
        fs::write(&path, &damaged).expect("written");
        assert_eq!(read(&path), [item(0), item(2)]);
        fs::write(&path, &damaged[..whole.len() - 5]).expect("written");
        assert_eq!(read(&path), [item(0)]);
        add(&path, &[item(1), item(2)]).expect("written");
        assert_eq!(fs::read(&path).expect("read"), whole);
    }
}
