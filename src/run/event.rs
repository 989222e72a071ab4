//! What the executor says while it works. It never prints: a progress bar, plain lines and `--json-events` are
//! listeners.

use serde::Serialize;

pub use crate::plan::matrix::TrialKind;
use crate::worker::protocol::Status;

/// Something happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The plan stands; work begins.
    SweepStarted {
        /// The results folder.
        folder: String,
        /// Trials in all.
        trials: u64,
        /// Trials that are done already.
        done: u64,
        /// Work in all, in units of about equal time (see `estimate`).
        work: f64,
        /// Work that is done already.
        work_done: f64,
        /// Trials may stop before their last item, so that it may come to less.
        stops_early: bool,
    },
    /// A trial begins.
    TrialStarted {
        /// Its id.
        id: String,
        /// Its kind.
        kind: TrialKind,
        /// Its variant.
        variant: String,
        /// Its suite; empty unless it has one.
        suite: String,
        /// Steps it has in all: items, repetitions, tensors.
        total: u64,
        /// Steps that are done already.
        done: u64,
        /// Its share of the work.
        work: f64,
    },
    /// A step of the running trial is done, or its worker shows that it lives.
    Step {
        /// Steps done.
        done: u64,
        /// Steps in all.
        total: u64,
        /// Tokens that the worker has decoded since it began, whatever for; 0 where none are.
        decoded: u64,
    },
    /// A piece of work failed and is tried once more.
    Retry {
        /// The trial.
        id: String,
        /// Why it failed.
        reason: String,
    },
    /// A trial ended.
    TrialEnded {
        /// Its id.
        id: String,
        /// Its variant.
        variant: String,
        /// Its suite; empty unless it has one.
        suite: String,
        /// Its kind.
        kind: TrialKind,
        /// How it ended.
        status: Status,
        /// Why it failed; empty otherwise.
        reason: String,
        /// Its share of the work.
        work: f64,
        /// What was learnt by it; absent where there is no value, or its tables are not made yet.
        learnt: Option<Learnt>,
    },
    /// What the tables say by now: the variants that no other beats.
    Standing {
        /// The quality axis, as `suite.metric`.
        axis: String,
        /// The variants, smallest file first.
        frontier: Vec<String>,
    },
    /// Something a user should know.
    Note {
        /// One sentence.
        message: String,
    },
}

/// The number that a trial was for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Learnt {
    /// What it is called in the tables.
    pub metric: String,
    /// The value.
    pub value: f64,
    /// The base's.
    pub base: Option<f64>,
}
