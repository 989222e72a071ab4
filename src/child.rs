//! The child processes that a program starts as itself again: workers, in which llama.cpp runs, and the stages of the sandbox.
//! A program that embeds this crate hands its start over to here before it does anything else; `examples/embed.rs` is one.

use std::io::Write as _;
use std::process::ExitCode;

use crate::sandbox;
use crate::worker;

/// If this process was started as one of bitfrontier's own children, runs it to its end and returns the exit code, with which
/// `main` has to return. Otherwise `None`: then the process is the embedding program itself.
///
/// Without this call at the beginning of `main`, a sweep would start the embedding program once more where it needs a worker.
#[must_use]
pub fn enter() -> Option<ExitCode> {
    let args: Vec<String> = std::env::args_os().skip(1).map_while(|arg| arg.into_string().ok()).collect();
    match asked(&args)? {
        Child::Worker(parent) => Some(run_worker(parent)),
        Child::Stage(setting) => Some(run_stage(&setting)),
    }
}

/// A child that was asked for.
#[derive(Debug, PartialEq, Eq)]
enum Child {
    Worker(u32),
    Stage(String),
}

fn asked(args: &[String]) -> Option<Child> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["worker", "--parent", parent] => parent.parse().ok().map(Child::Worker),
        ["sandbox-stage", setting] => Some(Child::Stage((*setting).to_owned())),
        _ => None,
    }
}

/// The process in which llama.cpp runs, for a parent with this process id.
#[must_use]
pub fn run_worker(parent: u32) -> ExitCode {
    ended("the worker", worker::entry::run(parent))
}

/// A step on the way into the sandbox, told what to do as JSON.
#[must_use]
pub fn run_stage(setting: &str) -> ExitCode {
    ended("the sandbox", sandbox::stage::run(setting))
}

fn ended<E: std::fmt::Display>(what: &str, result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr().lock(), "error: {what} cannot go on: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked_by(line: &str) -> Option<Child> {
        asked(&line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn only_what_bitfrontier_starts_is_a_child() {
        assert_eq!(asked_by("worker --parent 42"), Some(Child::Worker(42)));
        assert_eq!(asked_by("sandbox-stage {}"), Some(Child::Stage("{}".to_owned())));
        for other in
            ["", "worker", "worker --parent x", "worker --parent 42 more", "sandbox-stage", "sweep x"]
        {
            assert_eq!(asked_by(other), None, "{other}");
        }
    }
}
