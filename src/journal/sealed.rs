//! Small records that are whole files, such as the manifest: JSON whose first line is the checksum of all that follows,
//! so that a flipped bit anywhere is seen. What reads JSON reads them as ever.
//!
//! ```text
//! {
//!   "crc32": "0a1b2c3d",
//!   "format": 2,
//!   ...
//! ```

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What stands in front of the checksum, and behind it.
const BEFORE: &[u8] = b"{\n  \"crc32\": \"";
const BEHIND: &[u8] = b"\",\n";
/// The first format whose files are sealed; older ones are believed as they are.
const SEALED_FROM: u64 = 2;

/// Why the bytes of a file are not a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// A newer program's, of this format.
    Newer(u64),
    /// Torn, or changed since it was written.
    Damaged(String),
}

/// The bytes of a file.
///
/// # Errors
/// If `value` is not a JSON object with a key at least: a programmer's mistake.
pub fn seal(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    let rest = text.strip_prefix(b"{\n").ok_or_else(|| io::Error::other("a record is a JSON object"))?;
    let sum = format!("{:08x}", crc32fast::hash(rest));
    Ok([BEFORE, sum.as_bytes(), BEHIND, rest].concat())
}

/// The record in a file's bytes; `format` is the newest that the caller knows.
///
/// # Errors
/// If it is damaged, or newer than that.
pub fn open<T: DeserializeOwned>(bytes: &[u8], format: u32) -> Result<T, Unreadable> {
    let damaged = |why: serde_json::Error| Unreadable::Damaged(why.to_string());
    let is_sealed = match sealed(bytes) {
        Some(false) => return Err(Unreadable::Damaged("its checksum does not fit".to_owned())),
        sealed => sealed.is_some(),
    };
    let found = serde_json::from_slice::<Formatted>(bytes).map_err(damaged)?.format;
    if found > u64::from(format) {
        return Err(Unreadable::Newer(found));
    }
    if found >= SEALED_FROM && !is_sealed {
        return Err(Unreadable::Damaged("its checksum is missing".to_owned()));
    }
    serde_json::from_slice(bytes).map_err(damaged)
}

/// All that a newer program's record is asked for.
#[derive(Deserialize)]
struct Formatted {
    #[serde(default)]
    format: u64,
}

/// Whether the checksum fits; nothing where there is none.
fn sealed(bytes: &[u8]) -> Option<bool> {
    let (sum, rest) = bytes.strip_prefix(BEFORE)?.split_at_checked(8)?;
    let rest = rest.strip_prefix(BEHIND)?;
    let sum = std::str::from_utf8(sum).ok().and_then(|sum| u32::from_str_radix(sum, 16).ok());
    Some(sum == Some(crc32fast::hash(rest)))
}

/// Moves a damaged file out of the way, under a name of `writer`'s, so that nobody's bytes are lost. Returns where it
/// is; nothing if it is gone, because another that shares the folder was faster.
///
/// # Errors
/// If it cannot be renamed.
pub fn set_aside(path: &Path, writer: &str) -> io::Result<Option<PathBuf>> {
    let mut name = OsString::from(path.file_name().unwrap_or_default());
    name.push(format!(".damaged-{writer}"));
    let aside = path.with_file_name(name);
    match fs::rename(path, &aside) {
        Ok(()) => Ok(Some(aside)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;
    use serde_json::Value;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Record {
        format: u32,
        text: String,
    }

    fn record() -> Record {
        Record { format: 2, text: "a\n\"b\" \u{1f600}".to_owned() }
    }

    #[test]
    fn what_is_sealed_is_json_and_comes_back() {
        let bytes = seal(&record()).expect("sealed");
        assert_eq!(open::<Record>(&bytes, 2), Ok(record()));
        let json: Value = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!(json["text"], record().text);
        assert_eq!(json["crc32"].as_str().map(str::len), Some(8));
    }

    #[test]
    fn files_of_before_need_no_checksum_and_later_ones_do() {
        let old = br#"{"format": 1, "text": "x"}"#;
        assert_eq!(open(old, 2), Ok(Record { format: 1, text: "x".to_owned() }));
        let bare = br#"{"format": 2, "text": "x"}"#;
        assert!(matches!(open::<Record>(bare, 2), Err(Unreadable::Damaged(why)) if why.contains("missing")));
        assert_eq!(open::<Record>(br#"{"format": 3}"#, 2), Err(Unreadable::Newer(3)));
    }

    #[test]
    fn a_damaged_file_is_kept_under_another_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("trial.json");
        fs::write(&path, "x").expect("written");
        let aside = set_aside(&path, "w").expect("moved").expect("there");
        assert_eq!(aside, folder.path().join("trial.json.damaged-w"));
        assert_eq!((path.exists(), fs::read(&aside).expect("read")), (false, b"x".to_vec()));
        assert_eq!(set_aside(&path, "w").expect("gone"), None);
    }

    proptest! {
        #[test]
        fn any_flipped_bit_is_seen(position: prop::sample::Index, bit in 0_u8..8) {
            let whole = seal(&record()).expect("sealed");
            let mut bytes = whole.clone();
            let at = position.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let opened = open::<Record>(&bytes, 2);
            // Upper and lower case of a hex digit of the checksum are the same digit.
            let in_sum = (BEFORE.len()..BEFORE.len() + 8).contains(&at);
            prop_assert!(opened.is_err() || in_sum && opened == Ok(record()), "{opened:?}");
        }

        #[test]
        fn any_shorter_file_is_seen(length: prop::sample::Index) {
            let whole = seal(&record()).expect("sealed");
            prop_assert!(open::<Record>(&whole[..length.index(whole.len())], 2).is_err());
        }
    }
}
