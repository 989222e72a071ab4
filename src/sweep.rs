//! The story of a sweep: what was asked for is made ready, checked against this machine, written down, carried
//! out trial by trial, and told.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use crate::analyze::Report;
use crate::error::Error;
use crate::fetch::Cache;
use crate::journal::reader::{JournalError, read_manifest};
use crate::journal::record::{CorpusRecord, FORMAT, Manifest, Status, SuiteRecord, VariantRecord};
use crate::journal::sealed::set_aside;
use crate::journal::writer::{write_manifest, writer_name};
use crate::plan::config::SweepConfig;
use crate::plan::matrix::TrialSpec;
use crate::plan::recipe::Recipe;
use crate::plan::suite::{LoadedSuite, Part};
use crate::run::derive;
use crate::run::estimate;
use crate::run::event::Event;
use crate::run::executor::Executor;
use crate::run::prepare::{Prepared, prepare};

/// How a sweep ended.
#[derive(Debug)]
pub struct Swept {
    /// Everything there is to show.
    pub report: Report,
    /// Trials that failed or were skipped.
    pub failed: u64,
    /// Trials whose time was up before all their items were done.
    pub unfinished: u64,
    /// Trials in all.
    pub trials: u64,
}

/// Runs a sweep, or goes on with one. `interrupted` ends it cleanly; `events` hears what happens.
pub fn sweep(
    config: SweepConfig,
    interrupted: &AtomicBool,
    events: &mut dyn FnMut(&Event),
) -> Result<Swept, Error> {
    let folder = config.out.clone();
    writable(&folder)?;
    // A costs file that somebody changed by hand is told before anything long begins.
    derive::costs(&folder)?;
    let prepared = prepare(config, Cache::from_env()?, interrupted, events)?;
    let manifest = manifest(&prepared, earlier(&folder, events)?)?;
    if let Some(refusal) = estimate::needs(&prepared).refusal() {
        return Err(Error::DoesNotFit(refusal));
    }
    write_manifest(&folder, &manifest)
        .map_err(|source| JournalError::Write { path: folder.join("manifest.json"), source })?;
    let trials = Executor::new(&prepared, &manifest, &folder, interrupted, events)?.run()?;
    complete(&folder, &manifest)?;
    let report = derive::all(&folder)?;
    let planned = prepared.trials.len();
    let count =
        |is: fn(&Status) -> bool| trials.iter().take(planned).filter(|t| is(&t.status)).count() as u64;
    let failed = count(|status| !matches!(status, Status::Done | Status::Pending));
    let unfinished = count(|status| *status == Status::Pending);
    Ok(Swept { report, failed, unfinished, trials: planned as u64 })
}

/// Makes the results folder and tries to write in it, before anything long begins.
fn writable(folder: &Path) -> Result<(), Error> {
    let cannot = |source| Error::Journal(JournalError::Write { path: folder.to_owned(), source });
    fs::create_dir_all(folder).map_err(cannot)?;
    tempfile::Builder::new().prefix(".probe-").tempfile_in(folder).map_err(cannot)?;
    Ok(())
}

/// The plan that the folder holds. A damaged one is set aside: trials are known by their content, so that what they
/// measured is found again by whoever asks for it.
fn earlier(folder: &Path, events: &mut dyn FnMut(&Event)) -> Result<Option<Manifest>, Error> {
    let (path, reason) = match read_manifest(folder) {
        Err(JournalError::Manifest { path, reason }) => (path, reason),
        read => return Ok(read?),
    };
    let aside = set_aside(&path, &writer_name())
        .map_err(|source| JournalError::Write { path: path.clone(), source })?
        .map_or_else(String::new, |aside| format!(" as {}", aside.display()));
    let message = format!(
        "{} is damaged ({reason}) and was set aside{aside}; it is written anew from this plan, and trials of earlier \
         plans come back when they are asked for again",
        path.display()
    );
    events(&Event::Note { message });
    Ok(None)
}

/// The manifest of this plan, in a folder that may hold an earlier one of the same base.
fn manifest(prepared: &Prepared, earlier: Option<Manifest>) -> Result<Manifest, Error> {
    if let Some(earlier) = &earlier
        && earlier.base.sha256 != prepared.base.sha256
    {
        return Err(Error::Journal(JournalError::OtherBase {
            folder: prepared.config.out.clone(),
            theirs: format!("{} ({})", earlier.base.name, earlier.base.source),
            ours: format!("{} ({})", prepared.base.name, prepared.base.source),
        }));
    }
    let name = prepared.config.out.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut manifest = Manifest {
        format: FORMAT,
        name,
        created: earlier.as_ref().map_or_else(now, |m| m.created.clone()),
        software: prepared.software.clone(),
        machine: prepared.machine.clone(),
        threads: prepared.config.run.threads,
        seed: prepared.config.seed,
        base: prepared.base.clone(),
        suites: prepared.suites.iter().map(suite_record).collect(),
        variants: prepared.config.recipes.iter().map(|r| variant_record(prepared, r)).collect(),
        trials: prepared.trials.clone(),
        judging: prepared.config.judging.clone(),
    };
    if let Some(earlier) = earlier {
        keep_earlier(&mut manifest, earlier);
    }
    Ok(manifest)
}

/// Puts this plan back into the folder's manifest, if another sweep that began at the same time has written its own over it.
fn complete(folder: &Path, ours: &Manifest) -> Result<(), Error> {
    let there = read_manifest(folder)?;
    let has = |trial: &TrialSpec| there.iter().any(|m| m.trials.iter().any(|t| t.id == trial.id));
    if ours.trials.iter().all(has) {
        return Ok(());
    }
    let mut whole = ours.clone();
    if let Some(there) = there {
        keep_earlier(&mut whole, there);
    }
    write_manifest(folder, &whole)
        .map_err(|source| Error::Journal(JournalError::Write { path: folder.join("manifest.json"), source }))
}

/// What an earlier plan of the same folder measured stays in the tables, unless this plan measures it anew.
fn keep_earlier(manifest: &mut Manifest, earlier: Manifest) {
    let same =
        |a: &TrialSpec, b: &TrialSpec| (a.kind, &a.variant, &a.suite) == (b.kind, &b.variant, &b.suite);
    for trial in earlier.trials {
        if !manifest.trials.iter().any(|t| same(t, &trial)) {
            manifest.trials.push(trial);
        }
    }
    for variant in earlier.variants {
        if !manifest.variants.iter().any(|v| v.name == variant.name) {
            manifest.variants.push(variant);
        }
    }
    for suite in earlier.suites {
        if !manifest.suites.iter().any(|s| s.name == suite.name) {
            manifest.suites.push(suite);
        }
    }
}

fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn suite_record(loaded: &LoadedSuite) -> SuiteRecord {
    let suite = &loaded.suite;
    SuiteRecord {
        name: suite.name.clone(),
        title: suite.title.clone(),
        version: suite.version,
        file_sha256: loaded.file_sha256.clone(),
        data_sha256: loaded.data_sha256.clone(),
        main_metric: suite.main_metric().to_owned(),
        chance: suite.chance(),
        partial: suite.partial(),
        capability: suite.capability,
        items_total: loaded.total,
        items_planned: loaded.planned.len() as u64,
        corpora: loaded.parts().into_iter().map(corpus_record).collect(),
        clusters: loaded.items.clusters(),
    }
}

fn corpus_record(part: Part) -> CorpusRecord {
    CorpusRecord { name: part.name, items_total: part.total, items_planned: part.planned }
}

fn variant_record(prepared: &Prepared, recipe: &Recipe) -> VariantRecord {
    let weights = &recipe.weights;
    let found = prepared.files.iter().find(|f| f.weights.same_file(weights)).and_then(|f| f.found.as_ref());
    let imatrix_from = match found {
        Some(found) => found.imatrix_from.clone(),
        None => prepared.inputs.imatrix(weights).map_or(String::new(), |p| p.display().to_string()),
    };
    let type_name = match found {
        Some(found) => found.type_name.clone(),
        None if recipe.is_base() => prepared.base_type().unwrap_or_default(),
        None => weights.type_name.clone(),
    };
    VariantRecord {
        name: recipe.variant(),
        recipe: weights.name.clone(),
        type_name,
        imatrix: weights.imatrix.is_used() || !imatrix_from.is_empty(),
        nominal_bpw: weights.nominal_bpw,
        kv: (recipe.kv.k.clone(), recipe.kv.v.clone()),
        imatrix_from,
        gguf: weights.file.clone().unwrap_or_default(),
    }
}
