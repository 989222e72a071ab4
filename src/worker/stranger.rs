//! A stranger's suite, rendered here first. Its templates are programs with a limit on their steps, but each step may double a
//! text: what they take is bounded in this process, whose end costs nothing.

use std::fs;

use crate::plan::suite;
use crate::worker::memory;
use crate::worker::protocol::{Finished, TryWork};

/// Renders all items and forgets them. What is wrong with them the parent finds and tells when it renders them itself.
///
/// # Errors
/// If the memory does not suffice to read the data; of what the templates take this process dies.
pub fn try_items(work: &TryWork) -> Result<Finished, String> {
    let files = work.questions.iter().chain(&work.examples);
    let bytes = files.map(|path| fs::metadata(path).map_or(0, |about| about.len())).sum();
    memory::for_suite(bytes, || {
        let Ok(suite) = suite::parse(&work.suite) else { return Ok(Finished::Tried) };
        let tried = suite::try_items(suite, work.fewshot, &work.questions, work.examples.as_deref());
        tried.map(|()| Finished::Tried).map_err(|error| error.to_string())
    })
}
