//! The manifest of a plan: every input with its hash, and every trial; and what is kept beside it, so that single trials can be
//! carried out from the folder alone.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;

use crate::error::Error;
use crate::files;
use crate::journal::plan_file::{self, PlanFile};
use crate::journal::reader::{JournalError, manifest_file, read_manifest};
use crate::journal::record::{CorpusRecord, FORMAT, Manifest, SuiteRecord, VariantRecord};
use crate::journal::sealed::set_aside;
use crate::journal::writer::{write_manifest, writer_name};
use crate::plan::fingerprint;
use crate::plan::matrix::TrialSpec;
use crate::plan::recipe::Recipe;
use crate::plan::suite::{LoadedSuite, Part};
use crate::run::event::Event;
use crate::run::file_plan::Refusal;
use crate::run::order::{self, Stage};
use crate::run::prepare::Prepared;

/// What jobs on a cluster are called, before what is each folder's own.
const JOBS: &str = "bitfrontier-";
/// Letters of a folder's own name.
const LETTERS: usize = 12;

/// Makes the results folder and tries to write in it, before anything long begins.
pub fn writable(folder: &Path) -> Result<(), Error> {
    let cannot = |source| Error::Journal(JournalError::Write { path: folder.to_owned(), source });
    fs::create_dir_all(folder).map_err(cannot)?;
    tempfile::Builder::new().prefix(".probe-").tempfile_in(folder).map_err(cannot)?;
    Ok(())
}

/// The manifest of a plan, in its folder, which may hold an earlier one of the same base.
pub fn of(prepared: &Prepared, folder: &Path, events: &mut dyn FnMut(&Event)) -> Result<Manifest, Error> {
    manifest(prepared, earlier(folder, events)?)
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

/// Puts this plan back into the folder's manifest, if another sweep that began at the same time has written its own over it.
pub fn complete(folder: &Path, ours: &Manifest) -> Result<(), Error> {
    let there = read_manifest(folder)?;
    let ids: HashSet<&str> = there.iter().flat_map(|m| &m.trials).map(|trial| trial.id.as_str()).collect();
    if ours.trials.iter().all(|trial| ids.contains(trial.id.as_str())) {
        return Ok(());
    }
    let mut whole = ours.clone();
    if let Some(there) = there {
        keep_earlier(&mut whole, there);
    }
    write(folder, &whole)
}

/// Writes the manifest into its folder.
pub fn write(folder: &Path, manifest: &Manifest) -> Result<(), Error> {
    let path = manifest_file(folder);
    Ok(write_manifest(folder, manifest).map_err(|source| JournalError::Write { path, source })?)
}

/// What the jobs of a folder are called: what its plan says, or a name that no other folder has.
pub fn jobs(folder: &Path) -> Result<String, Error> {
    if let Some(kept) = plan_file::read(folder)? {
        return Ok(kept.jobs);
    }
    let own = fingerprint::of_texts([writer_name().as_str()]);
    Ok(format!("{JOBS}{}", own.get(..LETTERS).unwrap_or(&own)))
}

/// Writes beside the manifest what single trials are carried out from: the plan, and the ids of each stage.
pub fn write_plan(prepared: &Prepared, folder: &Path, jobs: &str) -> Result<(), Error> {
    let mut config = prepared.config.clone();
    // What is there when a trial begins is what there is, and whoever asks for a trial wants it tried.
    (config.fetch, config.no_retry) = (false, false);
    let refused = prepared.config.recipes.iter().filter_map(|recipe| {
        let file = prepared.files.iter().find(|f| f.weights.same_file(&recipe.weights))?;
        Some((recipe.variant(), file.forecast.as_ref().err().map(Refusal::line)?))
    });
    let refused: BTreeMap<String, String> = refused.collect();
    plan_file::write(folder, &PlanFile { format: FORMAT, jobs: jobs.to_owned(), config, refused })?;
    write_stages(prepared, folder)
}

fn write_stages(prepared: &Prepared, folder: &Path) -> Result<(), Error> {
    let steps = order::steps(prepared);
    for stage in Stage::ALL {
        let path = folder.join("stages").join(stage.file());
        let ids: Vec<&str> =
            steps.iter().filter(|step| step.stage == stage).map(|step| step.id.as_str()).collect();
        let lines = if ids.is_empty() { String::new() } else { ids.join("\n") + "\n" };
        files::replace(&path, lines.as_bytes()).map_err(|source| JournalError::Write { path, source })?;
    }
    Ok(())
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

/// What an earlier plan of the same folder measured stays in the tables, unless this plan measures it anew.
fn keep_earlier(manifest: &mut Manifest, earlier: Manifest) {
    let key = |t: &TrialSpec| (t.kind, t.variant.clone(), t.suite.clone());
    let ours: HashSet<_> = manifest.trials.iter().map(key).collect();
    manifest.trials.extend(earlier.trials.into_iter().filter(|trial| !ours.contains(&key(trial))));
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
