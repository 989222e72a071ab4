//! Slurm's own programs: `sbatch`, `squeue` and `scancel`, and nothing else. Whatever network there is below them is theirs.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::queue::{self, Task};
use crate::error::Error;
use crate::files::Turn;

/// What Slurm's programs say when the same may be answered a moment later.
const PASSING: [&str; 10] = [
    "Unable to contact slurm controller",
    "Socket timed out",
    "Connection refused",
    "Connection timed out",
    "temporarily",
    "Zero Bytes were transmitted",
    "Transport endpoint",
    "in a bad state",
    // munged is restarted, or clocks run apart.
    "Munge",
    "authentication",
];
/// What it says when fewer tasks at a time may be taken: a limit of a user's or an account's jobs, or of an array's places.
const TOO_MANY: [&str; 2] = ["submit limit", "Invalid job array specification"];
/// The user's own defaults of what `squeue` shows, of what `scancel` asks, and of where `sbatch` submits and whether it waits: jobs
/// must not be hidden from who hands them out.
const HIDING: [&str; 4] = ["SQUEUE_", "SCANCEL_", "SBATCH_CLUSTERS", "SBATCH_WAIT"];

/// Why Slurm did not do what it was asked for.
#[derive(Debug)]
pub enum Trouble {
    /// It may later.
    Passing(String),
    /// It takes fewer tasks at a time; its words.
    TooMany(String),
    /// It will not, or it is not about Slurm at all.
    Lasting(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Lasting(error)
    }
}

/// A cluster, as one sweep sees it.
#[derive(Debug)]
pub struct Scheduler {
    /// What all jobs of the sweep are called.
    pub jobs: String,
}

impl Scheduler {
    /// Tasks of the sweep, those that ended lately among them.
    pub fn queue(&self) -> Result<Vec<Task>, Trouble> {
        let name = format!("--name={}", self.jobs);
        let mut command = Command::new("squeue");
        command.args(["--noheader", "--array", "--states=all", queue::FORMAT, &name]).stdin(Stdio::null());
        Ok(queue::parse(&told(command)?))
    }

    /// Submits a batch. `sbatch` holds the turn too, so that a coordinator that comes after one that was killed waits until it
    /// is seen in the queue. Returns the array's number.
    pub fn submit(arguments: &[String], script: &Path, turn: &Turn) -> Result<u64, Trouble> {
        let held = turn.shared().map_err(|source| Error::Io { path: script.to_owned(), source })?;
        let mut command = Command::new("sbatch");
        command.args(arguments).arg(script).stdin(held);
        let text = told(command)?;
        // `12`, or `12;cluster`.
        let number = text.trim().split(';').next().and_then(|number| number.parse().ok());
        number.ok_or_else(|| refused("sbatch", &format!("it answered {:?}", text.trim())).into())
    }

    /// Ends tasks. One that is over already is no reason to fail.
    pub fn cancel(tasks: &[String]) -> Result<(), Trouble> {
        let mut command = Command::new("scancel");
        command.arg("--quiet").args(tasks).stdin(Stdio::null());
        told(command).map(|_| ())
    }
}

/// Whether Slurm's programs are there.
pub fn is_there() -> Result<(), Error> {
    for program in ["sbatch", "squeue", "scancel"] {
        let mut command = Command::new(program);
        command.arg("--version").stdin(Stdio::null());
        if let Err(Trouble::Lasting(error)) = told(command) {
            return Err(error);
        }
    }
    Ok(())
}

/// What a program prints, in plain English. Ctrl-C is for the coordinator alone: it is in a group of its own.
fn told(mut command: Command) -> Result<String, Trouble> {
    let name = command.get_program().to_string_lossy().into_owned();
    for (variable, _) in std::env::vars_os() {
        if HIDING.iter().any(|hiding| variable.to_string_lossy().starts_with(hiding)) {
            command.env_remove(variable);
        }
    }
    let output =
        command.env("LC_ALL", "C").process_group(0).output().map_err(|error| missing(&name, &error))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    let words = words.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    if PASSING.iter().any(|passing| words.contains(passing)) {
        return Err(Trouble::Passing(format!("{name}: {words}")));
    }
    if TOO_MANY.iter().any(|limit| words.contains(limit)) {
        return Err(Trouble::TooMany(format!("{name}: {words}")));
    }
    Err(refused(&name, &words).into())
}

fn missing(name: &str, error: &io::Error) -> Error {
    let reason = format!("{name} cannot be run: {error}");
    Error::Refused {
        reason,
        hint: Some("--executor slurm needs Slurm's own programs on the PATH".to_owned()),
    }
}

/// Slurm's refusal of an array, however short.
pub fn refused_at_last(words: &str) -> Error {
    Error::Refused {
        reason: format!("Slurm takes not even one task: {words}"),
        hint: Some(
            "ask who runs the cluster for your limits, or correct [slurm] of the sweep file".to_owned(),
        ),
    }
}

fn refused(name: &str, words: &str) -> Error {
    let words = if words.is_empty() { "it failed without a word" } else { words };
    // Only what is submitted goes by the sweep file.
    let hint = if name == "sbatch" && !words.contains("configuration source") {
        "correct [slurm] of the sweep file; the same command then goes on".to_owned()
    } else {
        format!(
            "{name} has to answer on this machine: try it, and bitfrontier doctor; the same command then goes on"
        )
    };
    Error::Refused { reason: format!("Slurm refuses: {name}: {words}"), hint: Some(hint) }
}
