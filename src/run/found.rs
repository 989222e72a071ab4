//! What `bitfrontier search` does: searches, makes the file, measures it as it is on the disk, and leaves its recipe and
//! all that was measured beside it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde::Serialize;

use crate::error::Error;
use crate::fetch::Cache;
use crate::files;
use crate::plan::recipe::Weights;
use crate::run::quantize::{self, quantize};
use crate::run::search::{Tell, search};
use crate::run::search_report::Outcome;
use crate::run::study::Order;

/// Longest search that is believed to be meant.
const MOST_MINUTES: f64 = 100_000.0;

/// A search and the file that came of it; its JSON form is `search --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Found {
    /// What the search found.
    pub search: Outcome,
    /// The file.
    pub file: quantize::Outcome,
    /// Its recipe.
    pub recipe: PathBuf,
    /// All that was measured.
    pub report: PathBuf,
}

/// Minutes as a duration.
pub fn limit(minutes: f64) -> Result<Duration, Error> {
    if (0.0..=MOST_MINUTES).contains(&minutes) {
        return Ok(Duration::from_secs_f64(minutes * 60.0));
    }
    Err(Error::Refused {
        reason: format!("--minutes: {minutes} is no time to search"),
        hint: Some("such as 30".to_owned()),
    })
}

/// Searches and makes the file.
pub fn find_and_make(
    order: &Order,
    out: &Path,
    limit: Duration,
    cache: &Cache,
    interrupted: &AtomicBool,
    tell: Tell<'_>,
) -> Result<Found, Error> {
    let mut wanted = quantize::Order {
        base: order.base.clone(),
        weights: Weights::default(),
        output: out.to_owned(),
        threads: order.threads,
        allow_requantize: false,
        dry_run: false,
    };
    // Minutes of search are not to be lost for a wrong name.
    quantize::check_place(&wanted)?;
    let outcome = search(order, limit, cache, interrupted, &mut *tell)?;
    wanted.weights = outcome.weights.clone();
    let file = quantize(&wanted, interrupted, |done, all| tell("making the file, tensor", done, Some(all)))?;
    let found = Found {
        recipe: beside(out, "recipe.toml"),
        report: beside(out, "search.json"),
        search: outcome,
        file,
    };
    if found.file.file_bytes != found.search.file_bytes {
        return Err(Error::Worker(format!(
            "{} has {} bytes, and {} were foretold",
            out.display(),
            found.file.file_bytes,
            found.search.file_bytes
        )));
    }
    let write = |path: &Path, text: &str| {
        files::replace(path, text.as_bytes()).map_err(|source| Error::Write { path: path.to_owned(), source })
    };
    write(&found.recipe, &found.search.recipe())?;
    let json = serde_json::to_string_pretty(&found).map_err(|e| Error::Worker(e.to_string()))?;
    write(&found.report, &(json + "\n"))?;
    Ok(found)
}

/// `a/b.gguf` has `a/b.recipe.toml` beside it.
fn beside(out: &Path, extension: &str) -> PathBuf {
    out.with_extension(extension)
}

impl Found {
    /// The answer for people.
    pub fn text(&self) -> String {
        let mut out = self.search.text();
        // Writing to a String cannot fail.
        let _ = write!(out, "{}", self.file.text());
        let _ = writeln!(
            out,
            "recipe: {}\nall that was measured: {}",
            self.recipe.display(),
            self.report.display()
        );
        out
    }
}
