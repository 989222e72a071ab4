//! The data files of suites: found in the cache, fetched where that was asked for, or taken from the program itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::error::Error;
use crate::fetch::{Cache, Expect, FetchEvent, Fetcher, Source, sha256_file};
use crate::files;
use crate::plan::error::{PlanError, nearest};
use crate::plan::suite::{self, DataSource, Items, Resource, Suite};
use crate::run::ending::without_result;
use crate::run::machine;
use crate::worker::client::{WorkFailure, Worker};
use crate::worker::protocol::{Request, TryWork};

/// Sources that begin so name a file that comes with the program.
const BUILT_IN: &str = "builtin:";
/// How long a stranger's suite may take to be rendered: each template has a limit on its steps, but there may be millions of rows.
const LONGEST_TRY: Duration = Duration::from_hours(1);

/// All data files of a suite that are in the cache, or can be fetched if that was asked for.
pub fn locate_all(suite: &Suite, cache: &Cache, fetch: bool) -> Result<Vec<PathBuf>, Error> {
    suite.data().into_iter().map(|places| locate(suite, places, cache, fetch)).collect()
}

/// Fetches all data files of a suite.
pub fn fetch_all(
    suite: &Suite,
    cache: &Cache,
    fetcher: &Fetcher<'_>,
    progress: &dyn Fn(FetchEvent<'_>),
) -> Result<Vec<PathBuf>, Error> {
    suite.data().into_iter().map(|places| fetch_one(suite, places, cache, fetcher, progress)).collect()
}

/// The items of a suite of questions.
pub fn items(suite: &Suite, cache: &Cache, interrupted: &AtomicBool) -> Result<Items, Error> {
    let (questions, examples) = question_files(suite, cache, interrupted)?;
    Ok(suite::load_items(suite, &questions, examples.as_deref())?)
}

/// Where a suite's questions lie, and its examples if they have a file of their own. They can be rendered: of a suite that did
/// not come with the program a worker has tried it.
pub fn question_files(
    suite: &Suite,
    cache: &Cache,
    interrupted: &AtomicBool,
) -> Result<(Vec<PathBuf>, Option<PathBuf>), Error> {
    let find = |places| locate(suite, places, cache, false);
    let questions: Vec<PathBuf> = suite.questions().into_iter().map(find).collect::<Result<_, _>>()?;
    let examples = Some(suite.fewshot_sources.as_slice()).filter(|places| !places.is_empty());
    let examples = examples.map(find).transpose()?;
    try_strange(suite, &questions, examples.as_deref(), interrupted)?;
    Ok((questions, examples))
}

/// Has a worker render the items of a suite that did not come with the program, before this process does: a template can take
/// all memory there is.
fn try_strange(
    suite: &Suite,
    questions: &[PathBuf],
    examples: Option<&Path>,
    interrupted: &AtomicBool,
) -> Result<(), Error> {
    let Some(text) = suite.text.clone().filter(|_| !questions.is_empty()) else { return Ok(()) };
    let log = machine::scratch_file()?;
    let request = Request::TryItems(TryWork {
        suite: text,
        questions: questions.to_vec(),
        examples: examples.map(Path::to_owned),
        fewshot: suite.scoring.fewshot(),
    });
    let attempt = || {
        let mut worker = Worker::start(log.path(), interrupted)?;
        worker.ask(&request, LONGEST_TRY, interrupted, |_| Ok(()))
    };
    // Whatever else may end a worker, it hardly does twice.
    match attempt().or_else(|_| attempt()) {
        Ok(_) => Ok(()),
        Err(WorkFailure::Trial { reason, .. }) => Err(Error::Refused {
            reason: format!("suite {}: its templates take too much memory or time: {reason}", suite.name),
            hint: Some("look at what its templates do with these data: they cannot be trusted".to_owned()),
        }),
        Err(failure) => Err(without_result(failure)),
    }
}

/// What the scorer needs besides, by name.
pub fn resources(suite: &Suite, cache: &Cache) -> Result<BTreeMap<String, PathBuf>, Error> {
    let find = |resource: &Resource| locate(suite, std::slice::from_ref(&resource.source), cache, false);
    suite.resources.iter().map(|resource| Ok((resource.name.clone(), find(resource)?))).collect()
}

/// A data file of a suite that is in the cache, or can be fetched if that was asked for.
pub fn locate(suite: &Suite, places: &[DataSource], cache: &Cache, fetch: bool) -> Result<PathBuf, Error> {
    if let Some(path) = present(suite, places, cache)? {
        return Ok(path);
    }
    if fetch {
        return fetch_one(suite, places, cache, &Fetcher::new(cache), &|_| {});
    }
    if let Some(path) = own_file(places) {
        return Err(Error::Refused {
            reason: format!(
                "suite {}: there is no {} {}, beside the suite's own or in the working directory",
                suite.name,
                if path.exists() { "plain file" } else { "file" },
                path.display()
            ),
            hint: Some("correct `from` in its [[source]]".to_owned()),
        });
    }
    Err(not_fetched(suite, format!("run `bitfrontier suites fetch {}`", suite.name)))
}

/// The path of a file that could only be on this machine.
fn own_file(places: &[DataSource]) -> Option<PathBuf> {
    let paths = places.iter().map(|place| match place.from.parse() {
        Ok(Source::Local(path)) => Some(path),
        _ => None,
    });
    paths.collect::<Option<Vec<_>>>()?.into_iter().next()
}

/// A place's source: a relative path is first looked for beside the suite's file, then from the working directory.
pub fn source(suite: &Suite, place: &DataSource) -> Result<Source, Error> {
    let source = place.from.parse()?;
    if let Source::Local(path) = &source {
        let beside = suite.folder.join(path);
        if beside.is_file() {
            return Ok(Source::Local(beside));
        }
    }
    Ok(source)
}

fn not_fetched(suite: &Suite, command: String) -> Error {
    Error::NotFetched { what: format!("the data of suite {}", suite.name), command }
}

/// The file of one place, if it is there; whether it checks out is not asked.
pub fn there(suite: &Suite, place: &DataSource, cache: &Cache) -> Result<Option<PathBuf>, Error> {
    match place.from.strip_prefix(BUILT_IN) {
        Some(name) => Ok(Some(built_in(suite, name, cache)?)),
        None => Ok(cache.locate(&source(suite, place)?)),
    }
}

/// The first of these places whose file is there.
fn present(suite: &Suite, places: &[DataSource], cache: &Cache) -> Result<Option<PathBuf>, Error> {
    for place in places {
        if let Some(path) = there(suite, place, cache)? {
            check(suite, place.sha256.as_deref(), &path)?;
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// The first source that can be reached and checks out wins.
fn fetch_one(
    suite: &Suite,
    places: &[DataSource],
    cache: &Cache,
    fetcher: &Fetcher<'_>,
    progress: &dyn Fn(FetchEvent<'_>),
) -> Result<PathBuf, Error> {
    let mut failure = None;
    for place in places {
        if let Some(name) = place.from.strip_prefix(BUILT_IN) {
            return built_in(suite, name, cache);
        }
        let source = source(suite, place)?;
        let expect = Expect { sha256: place.sha256.clone(), archive_sha256: place.archive_sha256.clone() };
        match fetcher.fetch(&source, &expect, progress) {
            Ok(file) => return Ok(file.path),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.map_or_else(|| not_fetched(suite, String::new()), Error::Fetch))
}

/// A file that comes with the program, laid down in the cache so that a worker can read it.
fn built_in(suite: &Suite, name: &str, cache: &Cache) -> Result<PathBuf, Error> {
    let Some(bytes) = suite::built_in_data(name) else {
        return Err(Error::Plan(PlanError::Unknown {
            place: format!("suite {}", suite.name),
            kind: "built-in file",
            name: name.to_owned(),
            nearest: nearest(name, suite::built_in_data_names()),
        }));
    };
    let path = cache.data().join("builtin").join(name);
    if fs::read(&path).is_ok_and(|there| there == bytes) {
        return Ok(path);
    }
    files::replace(&path, bytes).map_err(|source| Error::Io { path: path.clone(), source })?;
    Ok(path)
}

fn check(suite: &Suite, expected: Option<&str>, path: &Path) -> Result<(), Error> {
    let Some(expected) = expected else { return Ok(()) };
    let found = sha256_file(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    if found.eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    Err(Error::Plan(PlanError::Checksum {
        suite: suite.name.clone(),
        path: path.to_owned(),
        found,
        expected: expected.to_owned(),
    }))
}
