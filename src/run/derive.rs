//! Tables, item files, charts and the page of them, derived from manifest and trials and from nothing else, so that they can be
//! made again byte for byte.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io;
use std::path::Path;

use rayon::prelude::*;

use crate::analyze;
use crate::analyze::Keep;
use crate::analyze::cost::{self, Costs};
use crate::analyze::report::Report;
use crate::error::Error;
use crate::files;
use crate::journal::foreign::record as foreign;
use crate::journal::reader::{
    JournalError, TrialData, manifest_file, read_manifest, read_some, read_trial, read_trial_textless,
};
use crate::journal::record::{Manifest, TrialKind, TrialSpec};
use crate::plan::error::PlanError;
use crate::render::{self, Drawing, RenderError};

/// Reads the plan of a results folder, which must have one.
pub fn manifest(folder: &Path) -> Result<Manifest, Error> {
    Ok(read_manifest(folder)?.ok_or_else(|| no_manifest(folder))?)
}

/// That a folder is no results folder.
pub fn no_manifest(folder: &Path) -> JournalError {
    JournalError::Read { path: manifest_file(folder), source: io::ErrorKind::NotFound.into() }
}

/// Reads a results folder whole.
pub fn read(folder: &Path) -> Result<(Manifest, Vec<TrialData>), Error> {
    let manifest = manifest(folder)?;
    let trials = trials(manifest.trials.iter(), |spec, _| Ok(read_trial(folder, spec)?))?;
    Ok((manifest, trials))
}

/// Reads a results folder for analysis: without the texts of its items.
pub fn read_lean(folder: &Path) -> Result<(Manifest, Vec<TrialData>), Error> {
    let manifest = manifest(folder)?;
    let trials = lean_trials(folder, &manifest, |_| true)?;
    Ok((manifest, trials))
}

/// What is known of those trials of a plan that are asked for, without the texts of their items.
pub fn lean_trials(
    folder: &Path,
    manifest: &Manifest,
    is_asked: impl Fn(&TrialSpec) -> bool,
) -> Result<Vec<TrialData>, Error> {
    let asked = manifest.trials.iter().filter(|spec| is_asked(spec));
    trials(asked, |spec, _| {
        let mut trial = read_trial_textless(folder, spec)?;
        lean(manifest, &mut trial);
        Ok(trial)
    })
}

/// Takes from a trial's items what analysis does not need.
pub fn lean(manifest: &Manifest, trial: &mut TrialData) {
    let is_base = manifest.variants.first().is_none_or(|base| base.name == trial.spec.variant);
    let suite = manifest.suites.iter().find(|suite| suite.name == trial.spec.suite);
    let has_parts = suite.is_none_or(|suite| !suite.corpora.is_empty());
    analyze::lean(&mut trial.items, Keep { logprobs: is_base, ids: has_parts });
    trial.items.shrink_to_fit();
}

/// Reads the trials of a plan on all cores, each in the way given, which is told whether it is the trial's first time:
/// variants that share a file share the trial that makes it.
fn trials<'a>(
    specs: impl Iterator<Item = &'a TrialSpec>,
    read: impl Fn(&TrialSpec, bool) -> Result<TrialData, Error> + Sync,
) -> Result<Vec<TrialData>, Error> {
    let mut met = HashSet::new();
    let plan: Vec<(&TrialSpec, bool)> = specs.map(|spec| (spec, met.insert(spec.id.as_str()))).collect();
    plan.par_iter().map(|(spec, is_first)| read(spec, *is_first)).collect()
}

/// The name of a results folder's own costs file.
pub const COSTS: &str = "costs.toml";

/// What costs are computed from: the folder's own file, if it has one, or the one that comes with the program.
pub fn costs(folder: &Path) -> Result<Costs, Error> {
    let path = folder.join(COSTS);
    match files::read_text_record(&path) {
        Ok(text) => Ok(cost::parse(&text, &path.display().to_string())?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(cost::parse(cost::DEFAULT, COSTS)?),
        Err(source) => Err(PlanError::Read { path, source }.into()),
    }
}

/// The name of a results folder's foreign measurements.
pub const FOREIGN: &str = foreign::FILE;

/// Everything there is to show, what was imported last.
pub fn report(folder: &Path, manifest: &Manifest, trials: &[TrialData]) -> Result<Report, Error> {
    with_foreign(folder, analyze::analysis(manifest, trials, &costs(folder)?).report)
}

/// Adds what was imported.
pub fn with_foreign(folder: &Path, mut report: Report) -> Result<Report, Error> {
    analyze::foreign::join(&mut report, &foreign::kept(folder)?);
    Ok(report)
}

/// Rewrites the tables; cheap enough after every trial.
pub fn tables(folder: &Path, manifest: &Manifest, trials: &[TrialData]) -> Result<Report, Error> {
    let report = report(folder, manifest, trials)?;
    write_tables(folder, &report)?;
    Ok(report)
}

fn write_tables(folder: &Path, report: &Report) -> Result<(), Error> {
    // They would be older than the tables.
    render::parquet::remove_all(folder)?;
    Ok(render::csv::write_all(report, folder)?)
}

/// Rewrites the item file of one trial from its records.
pub fn items(folder: &Path, spec: &TrialSpec) -> Result<(), Error> {
    write_items(folder, &read_trial(folder, spec)?)
}

fn write_items(folder: &Path, trial: &TrialData) -> Result<(), Error> {
    let has_items = matches!(trial.spec.kind, TrialKind::Suite | TrialKind::Noise);
    if has_items && !trial.items.is_empty() {
        render::items::write_items(folder, &trial.spec.id, &trial.items)?;
    }
    Ok(())
}

/// Rewrites the charts.
pub fn charts(folder: &Path, report: &Report) -> Result<(), Error> {
    draw(folder, &Drawing::of(report).map_err(RenderError::from)?)
}

/// Rewrites the charts, and removes those for which there is no data any more.
fn draw(folder: &Path, drawing: &Drawing) -> Result<(), Error> {
    let charts = folder.join("charts");
    let drawn = drawing.write(&charts).map_err(RenderError::from)?;
    // Those for dark pages have a folder of their own.
    let folders: BTreeSet<&Path> =
        drawn.iter().filter_map(|path| path.parent()).chain([charts.as_path()]).collect();
    let entries = folders.into_iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
    for path in entries.map(|entry| entry.path()) {
        let ours = path.extension().is_some_and(|e| e == "png" || e == "svg");
        if ours && !drawn.contains(&path) {
            // Best effort: an old chart more is no harm to the new ones.
            let _ = fs::remove_file(path);
        }
    }
    Ok(())
}

/// Rewrites tables, charts and the page.
pub fn shown(folder: &Path, manifest: &Manifest, trials: &[TrialData]) -> Result<Report, Error> {
    let analysis = analyze::analysis(manifest, trials, &costs(folder)?);
    let background = analyze::page::background(manifest, trials, &analysis, &|id, places| {
        // What cannot be read any more is only not shown.
        read_some(folder, id, places).unwrap_or_default()
    });
    let report = with_foreign(folder, analysis.report)?;
    write_tables(folder, &report)?;
    let drawing = Drawing::of(&report).map_err(RenderError::from)?;
    draw(folder, &drawing)?;
    let pictures = drawing.pictures().map_err(RenderError::from)?;
    render::html::write(&report, &background, &pictures, folder)?;
    Ok(report)
}

/// Rebuilds everything that is derived.
pub fn all(folder: &Path) -> Result<Report, Error> {
    let manifest = manifest(folder)?;
    let trials = trials(manifest.trials.iter(), |spec, is_first| {
        let mut trial = read_trial(folder, spec)?;
        if is_first {
            write_items(folder, &trial)?;
        }
        lean(&manifest, &mut trial);
        Ok(trial)
    })?;
    shown(folder, &manifest, &trials)
}
