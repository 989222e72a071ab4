//! Who carries trials out, and what a Slurm cluster is asked for: the `[slurm]` table of a sweep file, checked.

use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::plan::error::PlanError;
use crate::units::Bytes;

/// Seconds between two looks at the queue, where nothing says otherwise.
const POLL_S: u64 = 30;
/// How often a trial whose task was lost is submitted again, where nothing says otherwise.
const RESUBMITS: u32 = 3;
/// Longest time of a task, in seconds: a year.
const LONGEST: f64 = 3.2e7;

/// Options of `sbatch` that say which task is which, and are the sweep's own to give.
const OWN: [&str; 19] = [
    "--array",
    "-a",
    "--job-name",
    "-J",
    "--comment",
    "--dependency",
    "-d",
    "--output",
    "-o",
    "--chdir",
    "-D",
    "--wrap",
    "--wait",
    "-W",
    "--parsable",
    "--export",
    // The queue that is looked at is that of one cluster, and what is only tried is in none.
    "--clusters",
    "-M",
    "--test-only",
];

/// Who carries trials out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Executor {
    /// This machine, one after the other.
    Local,
    /// The nodes of a Slurm cluster.
    Slurm,
}

impl Executor {
    /// As they are given.
    pub const NAMES: [&str; 2] = ["local", "slurm"];

    /// Reads one of [`Self::NAMES`].
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "local" => Some(Self::Local),
            "slurm" => Some(Self::Slurm),
            _ => None,
        }
    }
}

/// What a cluster is asked for. What is absent is left to the cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlurmOptions {
    /// The partition.
    pub partition: Option<String>,
    /// Longest time of a task, in seconds.
    pub time_s: Option<u64>,
    /// The same of a task that makes a variant's file; absent: as `time_s`.
    pub quantize_time_s: Option<u64>,
    /// The same of a task that times a variant; absent: as `time_s`.
    pub speed_time_s: Option<u64>,
    /// CPUs of a task; absent: as many as threads.
    pub cpus: Option<u32>,
    /// Memory of a task, in bytes.
    pub memory_bytes: Option<u64>,
    /// Most tasks of one array at a time.
    pub throttle: Option<u32>,
    /// Further options of `sbatch`.
    pub options: Vec<String>,
    /// Seconds between two looks at the queue.
    pub poll_s: u64,
    /// How often a trial whose task was lost is submitted again.
    pub resubmits: u32,
    /// The node on which variants are timed; absent: the first that Slurm gives.
    pub speed_node: Option<String>,
}

impl Default for SlurmOptions {
    fn default() -> Self {
        Self {
            partition: None,
            time_s: None,
            quantize_time_s: None,
            speed_time_s: None,
            cpus: None,
            memory_bytes: None,
            throttle: None,
            options: Vec::new(),
            poll_s: POLL_S,
            resubmits: RESUBMITS,
            speed_node: None,
        }
    }
}

/// `[slurm]` as written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlurmTable {
    partition: Option<String>,
    time: Option<Spanned<String>>,
    quantize_time: Option<Spanned<String>>,
    speed_time: Option<Spanned<String>>,
    cpus: Option<std::num::NonZeroU32>,
    memory: Option<Spanned<String>>,
    throttle: Option<std::num::NonZeroU32>,
    #[serde(default)]
    options: Vec<Spanned<String>>,
    poll_seconds: Option<std::num::NonZeroU64>,
    resubmits: Option<u32>,
    speed_node: Option<String>,
}

impl SlurmTable {
    /// What it asks for. `place` is the table's own, `at` tells that of a byte of the file.
    ///
    /// # Errors
    /// A time or a size that is none, and options of `sbatch` that the sweep gives itself.
    pub fn checked(&self, place: &str, at: &impl Fn(usize) -> String) -> Result<SlurmOptions, PlanError> {
        let default = SlurmOptions::default();
        for name in self.partition.iter().chain(&self.speed_node) {
            if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control()) {
                let what = format!("[slurm] {name:?} is no name of a partition or a node");
                return Err(refused(place.to_owned(), what, "leave it out for the cluster's own choice"));
            }
        }
        for option in &self.options {
            own(option.get_ref(), || at(option.span().start))?;
        }
        Ok(SlurmOptions {
            partition: self.partition.clone(),
            time_s: seconds(self.time.as_ref(), at)?,
            quantize_time_s: seconds(self.quantize_time.as_ref(), at)?,
            speed_time_s: seconds(self.speed_time.as_ref(), at)?,
            cpus: self.cpus.map(std::num::NonZero::get),
            memory_bytes: bytes(self.memory.as_ref(), at)?,
            throttle: self.throttle.map(std::num::NonZero::get),
            options: self.options.iter().map(|option| option.get_ref().clone()).collect(),
            poll_s: self.poll_seconds.map_or(default.poll_s, std::num::NonZero::get),
            resubmits: self.resubmits.unwrap_or(default.resubmits),
            speed_node: self.speed_node.clone(),
        })
    }
}

fn refused(place: String, what: String, hint: &str) -> PlanError {
    PlanError::Missing { place, what, hint: hint.to_owned() }
}

/// Refuses what is no option of `sbatch`, or one of the sweep's own.
fn own(option: &str, place: impl Fn() -> String) -> Result<(), PlanError> {
    let name = option.split('=').next().unwrap_or(option);
    if !name.starts_with('-') || name.contains(char::is_whitespace) {
        let what = format!("[slurm] {option:?} is no option of sbatch");
        return Err(refused(place(), what, "write one a string, such as \"--account=mine\""));
    }
    // `-Jname` is `-J name`, and `--job-n` is `--job-name`.
    let is_own = |own: &str| {
        let is_begun = name.starts_with("--") && name.len() > 2 && own.starts_with(name);
        name == own || is_begun || !name.starts_with("--") && own.len() == 2 && name.starts_with(own)
    };
    if let Some(own) = OWN.into_iter().find(|own| is_own(own)) {
        let what = format!("[slurm] the option {own} is the sweep's own to give");
        return Err(refused(place(), what, "leave it out"));
    }
    Ok(())
}

fn seconds(
    written: Option<&Spanned<String>>,
    at: &impl Fn(usize) -> String,
) -> Result<Option<u64>, PlanError> {
    let Some(written) = written else { return Ok(None) };
    let text = written.get_ref();
    let time = text.parse::<jiff::SignedDuration>().map(|time| time.as_secs_f64());
    match time {
        Ok(time) if (60.0..=LONGEST).contains(&time) => Ok(Some(time as u64)),
        _ => {
            let what = format!("{text:?} is not a time of a minute or more");
            Err(refused(at(written.span().start), what, "write 2h, 90m or \"1h 30m\""))
        }
    }
}

fn bytes(written: Option<&Spanned<String>>, at: &impl Fn(usize) -> String) -> Result<Option<u64>, PlanError> {
    let Some(written) = written else { return Ok(None) };
    let text = written.get_ref();
    match Bytes::parse(text) {
        Some(Bytes(bytes)) if bytes >= 1 << 20 => Ok(Some(bytes)),
        _ => {
            let what = format!("[slurm] {text:?} is not a size of a MiB or more");
            Err(refused(at(written.span().start), what, "write 16GiB or 900MiB"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> Result<SlurmOptions, PlanError> {
        let table: SlurmTable = toml::from_str(text).expect("TOML");
        table.checked("the table", &|start| format!("byte {start}"))
    }

    #[test]
    fn every_key_is_taken() {
        let options = checked(
            "partition = \"cpu\"\ntime = \"1h 30m\"\nquantize_time = \"10m\"\nspeed_time = \"20m\"\ncpus = 8\n\
             memory = \"16GiB\"\nthrottle = 20\noptions = [\"--account=mine\", \"-Aother\"]\npoll_seconds = 5\n\
             resubmits = 0\nspeed_node = \"n7\"\n",
        )
        .expect("valid");
        let expected = SlurmOptions {
            partition: Some("cpu".to_owned()),
            time_s: Some(5400),
            quantize_time_s: Some(600),
            speed_time_s: Some(1200),
            cpus: Some(8),
            memory_bytes: Some(16 << 30),
            throttle: Some(20),
            options: vec!["--account=mine".to_owned(), "-Aother".to_owned()],
            poll_s: 5,
            resubmits: 0,
            speed_node: Some("n7".to_owned()),
        };
        assert_eq!(options, expected);
        assert_eq!(checked("").expect("valid"), SlurmOptions::default());
    }

    #[test]
    fn what_would_confuse_the_coordinator_is_refused() {
        for option in [
            "--array=1-3",
            "--job-name=x",
            "--job-n=x",
            "-Jx",
            "-J",
            "--comment=x",
            "-d=after:3",
            "-o=x",
            "--wait",
            "-Mother",
            "--clusters=other",
            "--test-only",
        ] {
            let error = checked(&format!("options = [\"--qos=x\", {option:?}]")).expect_err(option);
            assert!(error.to_string().contains("is the sweep's own"), "{error}");
            assert!(error.to_string().starts_with("byte 22"), "{error}");
        }
        for text in [
            "options = [\"qos=x\"]",
            "options = [\"--qos x\"]",
            "time = \"30s\"",
            "memory = \"5\"",
            "partition = \"\"",
        ] {
            assert!(checked(text).is_err(), "{text}");
        }
    }
}
