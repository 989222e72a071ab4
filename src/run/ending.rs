//! How a command ends when its worker fails.

use crate::error::Error;
use crate::worker::client::WorkFailure;
use crate::worker::protocol::Status;

/// Of a command that keeps nothing half done: interrupted, it begins again.
pub fn without_result(failure: WorkFailure) -> Error {
    ended(failure, Error::Stopped { again: "the same command".to_owned() })
}

/// Of a command that goes on where it stopped.
pub fn goes_on(failure: WorkFailure) -> Error {
    ended(failure, Error::Interrupted { resume: "the same command".to_owned() })
}

fn ended(failure: WorkFailure, interrupted: Error) -> Error {
    match failure {
        WorkFailure::Trial { status: Status::Refused | Status::Skipped, reason, .. }
        | WorkFailure::Base(reason) => Error::Refused { reason, hint: None },
        WorkFailure::Trial { reason, .. } => Error::Worker(reason),
        WorkFailure::NoSpace(what) => Error::NoSpace(what),
        WorkFailure::Interrupted => interrupted,
    }
}
