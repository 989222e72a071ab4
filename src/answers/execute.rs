//! Answers that are programs: each is put between what stands before it and its tests, and run in a sandbox.
//!
//! An answer passes if its program, tests included, runs to its end: no exception, no exit. The verdict is that of
//! human-eval's executor; unlike there, seconds are those of the processor, so that a busy machine fails nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::AnswerError;
use super::grade::{Extracted, Grade, Graded};
use crate::sandbox::{End, Job, Limits, Ran, Sandbox};

/// Runs both texts of a job; a program of its own, because the answer's must not see it.
const DRIVER: &str = include_str!("driver.py");
/// Seconds on the clock for each second of the processor.
const WALL: f64 = 4.0;
/// What the metrics' names begin with.
pub const PASS_AT: &str = "pass@";
/// The share of answers that parse as Python.
pub const WELL_FORMED: &str = "well_formed";
/// The most seconds that a program may be given.
const MOST_SECONDS: f64 = 3600.0;

/// The `[generate.execute]` table of a suite file: how an answer becomes a program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Execute {
    /// Template of what stands before the answer.
    #[serde(default)]
    pub before: String,
    /// Template of what stands behind it: the tests.
    pub after: String,
    /// Each k makes a metric `pass@k`.
    #[serde(default = "first")]
    pub pass_at: Vec<u32>,
    /// Seconds of the processor that a program may take.
    #[serde(default = "seconds")]
    pub timeout_s: f64,
    /// MiB of memory that it may have.
    #[serde(default = "mebibytes")]
    pub memory_mib: u32,
}

fn first() -> Vec<u32> {
    vec![1]
}

fn seconds() -> f64 {
    5.0
}

fn mebibytes() -> u32 {
    1024
}

impl Execute {
    /// What is wrong with it, after "has", if anything, and what to do.
    ///
    /// # Errors
    /// The first fault.
    pub fn check(&self, samples: u32) -> Result<(), (String, &'static str)> {
        if self.pass_at.is_empty() || self.pass_at.iter().any(|k| !(1..=samples).contains(k)) {
            let fault = format!("pass_at = {:?}, and {samples} samples of each item", self.pass_at);
            return Err((fault, "name numbers from 1 to `samples`"));
        }
        if !(self.timeout_s > 0.0 && self.timeout_s <= MOST_SECONDS) {
            let fault = format!("timeout_s = {}, which is not between 0 and {MOST_SECONDS}", self.timeout_s);
            return Err((fault, "correct it, or leave it out"));
        }
        if self.memory_mib < 64 {
            let fault = format!("memory_mib = {}, in which Python does not start", self.memory_mib);
            return Err((fault, "raise it to 64 or more, or leave it out"));
        }
        Ok(())
    }

    /// Names of its metrics.
    pub fn metrics(&self) -> Vec<String> {
        let pass_at = self.pass_at.iter().map(|k| format!("{PASS_AT}{k}"));
        pass_at.chain([WELL_FORMED.to_owned()]).collect()
    }
}

/// The reference of an item: what stands around its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Around {
    /// Before it.
    pub before: String,
    /// Behind it.
    pub after: String,
}

/// How the program of an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Its tests passed.
    Passed,
    /// They did not.
    Failed,
    /// It took too long.
    TimedOut,
    /// It had more memory than it may.
    OutOfMemory,
    /// It had more processes than it may.
    TooManyProcesses,
}

/// What came of an answer's program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// How it ended.
    pub verdict: Verdict,
    /// What it failed of, in one line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// Whether the answer, with what stands before it, parses as Python.
    pub well_formed: bool,
    /// What kept it in: `bubblewrap`, `namespaces`, or `none`.
    pub guard: String,
}

/// Runs answers.
#[derive(Debug, Clone)]
pub struct Runner {
    sandbox: Sandbox,
    execute: Execute,
    filters: Option<super::filter::Filters>,
}

impl Runner {
    /// A runner; of filters, one pipeline may take the program out of an answer.
    pub fn new(sandbox: Sandbox, execute: &Execute, filters: &[super::filter::Filters]) -> Self {
        Self { sandbox, execute: execute.clone(), filters: filters.first().cloned() }
    }

    /// Grades an item's samples.
    ///
    /// # Errors
    /// If the reference is none, a filter's pattern needs too many steps, or the sandbox does not run.
    pub fn grade<T: AsRef<str>>(&self, reference: &str, samples: &[T]) -> Result<Graded, AnswerError> {
        let around: Around = serde_json::from_str(reference)
            .map_err(|error| AnswerError::Program { reason: error.to_string() })?;
        let mut extracted = Vec::new();
        if let Some(filters) = &self.filters {
            let answers = samples.iter().map(|sample| filters.apply(sample.as_ref()));
            let answers = answers.collect::<Result<Vec<_>, _>>()?;
            extracted.push(Extracted { filter: filters.name.clone(), answers });
        }
        let taken = extracted.first().map(|one| &one.answers);
        let answer = |(at, sample): (usize, &T)| {
            let answer = taken.and_then(|answers| answers.get(at)).map_or(sample.as_ref(), String::as_str);
            self.outcome(&around, answer)
        };
        let outcomes = samples.iter().enumerate().map(answer).collect::<Result<Vec<_>, _>>()?;
        Ok(Graded { grades: self.grades(&outcomes), extracted, outcomes })
    }

    /// In the order of [`Execute::metrics`].
    fn grades(&self, outcomes: &[Outcome]) -> Vec<Grade> {
        let count = |is: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| is(outcome)).count();
        let passed = count(|outcome| outcome.verdict == Verdict::Passed) as u64;
        let well_formed = count(|outcome| outcome.well_formed) as f64 / outcomes.len().max(1) as f64;
        let pass_at = self.execute.pass_at.iter();
        let right = pass_at.map(|k| pass_at_k(outcomes.len() as u64, passed, u64::from(*k)));
        let all = self.execute.metrics().into_iter().zip(right.chain([well_formed]));
        all.map(|(metric, right)| Grade { metric, right, of: 1.0 }).collect()
    }

    /// Runs an answer.
    ///
    /// # Errors
    /// If the sandbox does not run.
    pub fn outcome(&self, around: &Around, answer: &str) -> Result<Outcome, AnswerError> {
        let begun = format!("{}{answer}", around.before);
        let program = format!("{begun}{}", around.after);
        // Nothing that an answer could write by chance.
        let mark = blake3::hash(format!("bitfrontier {} {program}", std::process::id()).as_bytes()).to_hex();
        let files = BTreeMap::from([
            ("answer.py".to_owned(), begun.into()),
            ("program.py".to_owned(), program.into()),
        ]);
        let cpu = Duration::from_secs_f64(self.execute.timeout_s);
        let job = Job {
            files,
            argv: ["python3", "-c", DRIVER].map(str::to_owned).to_vec(),
            stdin: format!("{mark}\n").into(),
            limits: Limits {
                wall: cpu.mul_f64(WALL),
                cpu,
                memory: u64::from(self.execute.memory_mib) << 20,
                ..Limits::default()
            },
            keep: false,
        };
        let ran = self.sandbox.run(&job).map_err(|error| AnswerError::sandbox(&error))?;
        Ok(read(&ran, &mark, self.sandbox.kind()))
    }
}

/// What the driver told.
fn read(ran: &Ran, mark: &str, guard: &str) -> Outcome {
    let stdout = String::from_utf8_lossy(&ran.stdout.0);
    let told: Vec<(&str, &str)> =
        stdout.lines().filter_map(|line| line.strip_prefix(mark)?.trim_start().split_once(' ')).collect();
    let has = |word: &str| told.iter().find(|(said, _)| *said == word).map(|(_, rest)| *rest);
    let (verdict, error) = match (ran.end, has("failed")) {
        (End::Exited(0), None) if has("passed").is_some() => (Verdict::Passed, String::new()),
        (End::TimedOut, _) => (Verdict::TimedOut, String::new()),
        (End::OutOfMemory, _) => (Verdict::OutOfMemory, String::new()),
        (End::TooManyProcesses, _) => (Verdict::TooManyProcesses, String::new()),
        (_, Some(error)) => (Verdict::Failed, error.to_owned()),
        (End::Exited(code), None) => {
            (Verdict::Failed, format!("it ended before its tests, with exit code {code}"))
        }
        (End::Signalled(signal), None) => (Verdict::Failed, format!("it ended by signal {signal}")),
    };
    Outcome { verdict, error, well_formed: has("parsed").is_some(), guard: guard.to_owned() }
}

/// The chance that of k of these samples at least one is right: 1 - C(n-c, k) / C(n, k), the unbiased estimator of
/// Chen et al. 2021, "Evaluating Large Language Models Trained on Code", equation 1, as the product that does not
/// overflow. `right` of `samples` are right, and k is at most `samples`.
pub fn pass_at_k(samples: u64, right: u64, k: u64) -> f64 {
    let wrong = samples.saturating_sub(right);
    if wrong < k {
        return 1.0;
    }
    1.0 - (wrong + 1..=samples).map(|i| 1.0 - k as f64 / i as f64).product::<f64>()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sandbox::job::Bytes;

    /// All choices of k of n samples of which the first c are right, counted.
    fn counted(n: u64, c: u64, k: u64) -> f64 {
        let (mut all, mut hit) = (0_u32, 0_u32);
        for chosen in 0_u64..1 << n {
            if u64::from(chosen.count_ones()) == k {
                all += 1;
                hit += u32::from(chosen & ((1 << c) - 1) != 0);
            }
        }
        f64::from(hit) / f64::from(all)
    }

    proptest! {
        #[test]
        fn the_estimator_is_what_counting_gives((n, c, k) in (1_u64..10).prop_flat_map(|n| (Just(n), 0..=n, 1..=n))) {
            prop_assert!((pass_at_k(n, c, k) - counted(n, c, k)).abs() < 1e-12);
        }
    }

    #[test]
    fn one_of_one_is_the_share() {
        assert!((pass_at_k(200, 50, 1) - 0.25).abs() < 1e-12);
        assert!(pass_at_k(1000, 1, 1000) > 0.999 && pass_at_k(10, 0, 10).abs() < 1e-12);
    }

    #[test]
    fn only_what_the_driver_told_counts() {
        let ran = |end, stdout: &str| Ran {
            end,
            stdout: Bytes(stdout.as_bytes().to_vec()),
            stderr: Bytes::default(),
            stdout_cut: false,
            stderr_cut: false,
            files: BTreeMap::new(),
            files_left_out: 0,
            cpu_s: 0.0,
            wall_s: 0.0,
        };
        let verdict = |end, stdout| {
            let outcome = read(&ran(end, stdout), "m", "none");
            (outcome.verdict, outcome.well_formed)
        };
        assert_eq!(verdict(End::Exited(0), "m parsed \nm passed \n"), (Verdict::Passed, true));
        assert_eq!(verdict(End::Exited(0), "passed \n"), (Verdict::Failed, false));
        assert_eq!(verdict(End::Exited(0), "m parsed \n"), (Verdict::Failed, true));
        assert_eq!(verdict(End::Exited(1), "m passed \n"), (Verdict::Failed, false));
        assert_eq!(verdict(End::TimedOut, "m parsed \n"), (Verdict::TimedOut, true));
        let told = read(&ran(End::Exited(0), "m failed NameError: no x\n"), "m", "none");
        assert_eq!((told.verdict, told.error.as_str()), (Verdict::Failed, "NameError: no x"));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let execute =
            |more: &str| toml::from_str::<Execute>(&format!("after = \"x\"\n{more}")).expect("parses");
        assert!(execute("pass_at = [1, 10]").check(10).is_ok());
        for more in
            ["pass_at = [1, 10]", "pass_at = []", "pass_at = [0]", "timeout_s = 0.0", "memory_mib = 1"]
        {
            assert!(execute(more).check(9).is_err(), "{more}");
        }
    }
}
