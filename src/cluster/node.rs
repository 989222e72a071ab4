//! The node on which variants are timed. Timings of two machines are never mixed: the first timed task is bound to no node,
//! looks where it is and notes that in the results folder; all timed trials of the sweep are then bound to that node, and their
//! ids name its machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::files;
use crate::journal::reader::JournalError;
use crate::journal::record::Machine;
use crate::run::machine;
use crate::run::one_trial::node_name;
use crate::worker::client::{WorkFailure, Worker};

/// A node, and what it has to a task that has it for itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// As Slurm calls it.
    pub name: String,
    /// What it is.
    pub machine: Machine,
}

fn path(results: &Path) -> PathBuf {
    results.join("cluster").join("node.json")
}

/// The node of a results folder, once it is known. A file that is none is one that is not there: the node is looked at again.
pub fn known(results: &Path) -> Option<Node> {
    serde_json::from_slice(&fs::read(path(results)).ok()?).ok()
}

/// Forgets the node, so that the next coordinator looks again.
pub fn forget(results: &Path) {
    // Best effort: a node that stays is only asked once more.
    let _ = fs::remove_file(path(results));
}

/// Notes which node this is, and what it has.
pub fn look(results: &Path, interrupted: &AtomicBool) -> Result<(), Error> {
    let log = results.join("cluster").join("node.log");
    let worker = Worker::start(&log, interrupted).map_err(|failure| match failure {
        WorkFailure::Interrupted => Error::Interrupted { resume: "the same command".to_owned() },
        WorkFailure::NoSpace(what) => Error::NoSpace(what),
        WorkFailure::Trial { reason, .. } | WorkFailure::Base(reason) => Error::Worker(reason),
    })?;
    let node = Node { name: node_name(), machine: machine::look(worker.native.devices.clone()) };
    let json = serde_json::to_vec_pretty(&node).map_err(|error| Error::Worker(error.to_string()))?;
    let path = path(results);
    Ok(files::replace(&path, &json).map_err(|source| JournalError::Write { path, source })?)
}
