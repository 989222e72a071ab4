//! A stranger's suite, rendered here first. Its templates are programs with a limit on their steps, but each step may double a
//! text: what they take is bounded in this process, whose end costs nothing.

use std::fs;

use crate::plan::suite::{self, load_items};
use crate::worker::memory;
use crate::worker::protocol::{Finished, TryWork};

/// Renders all items and forgets them. What is wrong with them the parent finds and tells when it renders them itself.
pub fn try_items(work: &TryWork) -> Finished {
    let files = work.questions.iter().chain(&work.examples);
    let bytes = files.map(|path| fs::metadata(path).map_or(0, |about| about.len())).sum();
    memory::for_suite(bytes, || {
        let suite = suite::parse(&work.suite).ok();
        let _ = suite.map(|suite| load_items(&suite, &work.questions, work.examples.as_deref()));
    });
    Finished::Tried
}
