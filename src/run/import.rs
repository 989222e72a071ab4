//! `bitfrontier suites import`: a task file of lm-eval is read with what it includes, and the suite file that it
//! becomes is written or printed. How it becomes one is `plan::import`.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use crate::error::Error;
use crate::fetch::Cache;
use crate::files;
use crate::plan::error::PlanError;
use crate::plan::import::convert::{Given, convert};
use crate::plan::import::finding::Weight;
use crate::plan::import::task::{MOST_BYTES, Task};
use crate::plan::suite::{self, SuiteText};
use crate::run::data;

/// What is to be imported.
#[derive(Debug, Clone)]
pub struct Order {
    /// The task file.
    pub task: PathBuf,
    /// The suite file to write; absent: print it.
    pub out: Option<PathBuf>,
    /// A file of the questions.
    pub data: Option<String>,
    /// A file of the examples.
    pub examples: Option<String>,
}

/// Imports a task. `tell` hears a line on each of its keys that there is something to say of, `print` the suite or
/// what became of it.
///
/// # Errors
/// If a file cannot be read or written, if the task cannot be taken, or if the data that are given don't fit.
pub fn import(order: &Order, tell: &dyn Fn(&str), print: &dyn Fn(&str)) -> Result<(), Error> {
    let task = Task::read(&order.task, &mut read)?;
    let beside = order.out.as_ref().map(|out| out.with_extension("examples.jsonl").display().to_string());
    let given =
        Given { data: order.data.as_deref(), examples: order.examples.as_deref(), beside: beside.as_deref() };
    let done = convert(&task, given);
    for finding in &done.findings {
        tell(&finding.to_string());
    }
    if let Some(known) = suite::built_in().find(|known| *known == task.name()) {
        tell(&format!("note: the suite {known} comes with the program"));
    }
    let Some(text) = done.suite else {
        let count = done.findings.iter().filter(|finding| finding.weight == Weight::Refused).count();
        return Err(Error::Plan(PlanError::Untaken { path: order.task.clone(), count }));
    };
    if let Some((path, lines)) = beside.zip(done.examples) {
        write(Path::new(&path), &lines)?;
    }
    match &order.out {
        Some(path) => write(path, &text)?,
        None => print(&text),
    }
    let path = order.out.as_ref().map_or("the suite".to_owned(), |out| out.display().to_string());
    let suite = suite::parse(&SuiteText { path: path.clone(), text })?;
    let items = match order.data {
        Some(_) => {
            format!(", {} items", data::items(&suite, &Cache::from_env()?, &AtomicBool::new(false))?.len())
        }
        None => String::new(),
    };
    if order.out.is_some() {
        print(&format!("{path}: {}{items}\n", suite.name));
    }
    Ok(())
}

/// A file's text. One that is too long for a task file is cut where that shows.
fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MOST_BYTES as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    files::replace(path, text.as_bytes()).map_err(|source| Error::Write { path: path.to_owned(), source })
}
