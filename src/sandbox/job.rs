//! What is run and what came of it: the two messages between a sandbox and its stages, as JSON.

use std::collections::BTreeMap;
use std::path::{Component, Path};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::error::SandboxError;

/// Files by their paths in a job's folder, with `/` between the parts.
pub type Files = BTreeMap<String, Bytes>;

/// Content of a file or a stream; base64 in messages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(de::Error::custom)
    }
}

impl<T: Into<Vec<u8>>> From<T> for Bytes {
    fn from(bytes: T) -> Self {
        Self(bytes.into())
    }
}

/// A program and all that it gets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Files in the folder it begins in.
    pub files: Files,
    /// The program and its arguments; `python3` is the machine's own.
    pub argv: Vec<String>,
    /// What it reads.
    pub stdin: Bytes,
    /// How much it may have.
    pub limits: Limits,
    /// Whether its files come back.
    pub keep: bool,
}

/// How much a program and all that it starts may have.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Seconds on the clock.
    pub wall: Duration,
    /// Seconds of processors, of all processes together.
    pub cpu: Duration,
    /// Resident bytes, of all processes together.
    pub memory: u64,
    /// Processes and threads at one time.
    pub processes: u64,
    /// Bytes in its folders.
    pub disk: u64,
    /// Bytes that are kept of each of stdout and stderr.
    pub output: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wall: Duration::from_secs(10),
            cpu: Duration::from_secs(10),
            memory: 1 << 30,
            processes: 32,
            disk: 64 << 20,
            output: 64 << 10,
        }
    }
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// By itself, with this code; 127 if it could not be started.
    Exited(i32),
    /// By this signal, which none of the limits sent.
    Signalled(i32),
    /// Its seconds were up.
    TimedOut,
    /// It had more memory than it may.
    OutOfMemory,
    /// It had more processes than it may.
    TooManyProcesses,
}

/// What came of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ran {
    /// How it ended.
    pub end: End,
    /// The beginning of what it wrote.
    pub stdout: Bytes,
    /// The beginning of what it complained of.
    pub stderr: Bytes,
    /// Whether more was written to stdout.
    pub stdout_cut: bool,
    /// Whether more was written to stderr.
    pub stderr_cut: bool,
    /// What its folder held at the end, if that was asked for. Links are left out, and not followed.
    pub files: Files,
    /// Files and folders that were left out: links, names that are no text, more than come back.
    pub files_left_out: u64,
    /// Seconds of processors.
    pub cpu_s: f64,
    /// Seconds on the clock.
    pub wall_s: f64,
}

/// What the stages answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// The program was run.
    Ran(Box<Ran>),
    /// There is no sandbox to run it in.
    Refused(String),
}

/// Refuses paths that lead out of a job's folder.
///
/// # Errors
/// [`SandboxError::Path`] for the first of them.
pub(super) fn check_paths(files: &Files) -> Result<(), SandboxError> {
    match files.keys().find(|path| !is_inside(path)) {
        Some(path) => Err(SandboxError::Path { path: path.clone() }),
        None => Ok(()),
    }
}

fn is_inside(path: &str) -> bool {
    !path.is_empty()
        && !path.ends_with('/')
        && !path.contains('\0')
        && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_that_stay_inside_are_taken() {
        for path in ["a", "a/b.py", "..a/b", "a b"] {
            assert!(check_paths(&Files::from([(path.to_owned(), Bytes::default())])).is_ok(), "{path}");
        }
        for path in ["", "/a", "../a", "a/../b", "a/", "./a", ".", "..", "a\0b"] {
            assert!(check_paths(&Files::from([(path.to_owned(), Bytes::default())])).is_err(), "{path}");
        }
    }

    #[test]
    fn bytes_survive_a_message() {
        let files = Files::from([("a".to_owned(), Bytes(vec![0, 255, 10]))]);
        let text = serde_json::to_string(&files).expect("written");
        assert_eq!(serde_json::from_str::<Files>(&text).expect("read"), files);
        assert!(serde_json::from_str::<Bytes>("\"?\"").is_err());
    }
}
