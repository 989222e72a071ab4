//! One trial of a folder that was planned: the plan is read from the folder, what the trial needs of it made ready, and the
//! trial carried out and recorded there as a sweep would. Whoever hands trials out needs nothing but the folder and an id.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use serde_json::Value;

use crate::error::Error;
use crate::fetch::Cache;
use crate::journal::plan_file::{self, PlanFile};
use crate::journal::reader::{JournalError, TrialData, read_own_manifest, read_trial};
use crate::journal::record::{Manifest, Status};
use crate::journal::writer::write_trial;
use crate::plan::config::SweepConfig;
use crate::plan::matrix::{TrialKind, TrialSpec};
use crate::plan::speculation::Speculation;
use crate::plan::suite::{self, SuiteText};
use crate::run::derive;
use crate::run::event::Event;
use crate::run::executor::Executor;
use crate::run::prepare::{Prepared, prepare};

/// Most differences that a message names.
const NAMED: usize = 3;

/// Carries out the trial of that id, unless it is done. Returns what is then known of it.
pub fn run(
    folder: &Path,
    id: &str,
    interrupted: &AtomicBool,
    events: &mut dyn FnMut(&Event),
) -> Result<TrialData, Error> {
    let manifest = read_own_manifest(folder)?.ok_or_else(|| derive::no_manifest(folder))?;
    let plan =
        plan_file::read(folder)?.ok_or_else(|| JournalError::NotPlanned { folder: folder.to_owned() })?;
    in_rounds(&plan.config)?;
    let spec = manifest.trials.iter().find(|spec| spec.id == id).ok_or_else(|| unknown(folder, id))?;
    let trial = read_trial(folder, spec)?;
    // Whether all items of a suite are there is known when the suite is read.
    if trial.spec.items_planned == 0 && trial.status == Status::Done && trial.outcome.is_some() {
        return Ok(trial);
    }
    if let Some((status, reason)) = refused(&plan, &manifest, spec) {
        return record(folder, trial, status, &reason);
    }
    let prepared = prepare(part(plan.config, spec), Cache::from_env()?, interrupted, events)?;
    same(&prepared, spec)?;
    let executor = Executor::alone(&prepared, (&manifest, folder), (id, &node_name()), interrupted, events)?;
    executor.run_alone()?.ok_or_else(|| unknown(folder, id))
}

/// Refuses plans whose trials look at each other.
pub fn in_rounds(config: &SweepConfig) -> Result<(), Error> {
    if !config.in_rounds() {
        return Ok(());
    }
    Err(Error::Refused {
        reason: "early stopping and a budget look at all variants together, and single trials cannot"
            .to_owned(),
        hint: Some("plan without --decide and --budget".to_owned()),
    })
}

fn unknown(folder: &Path, id: &str) -> Error {
    Error::Refused {
        reason: format!("no trial of {} has the id {id:?}", folder.display()),
        hint: Some("the ids stand in stages/ of that folder, and in `bitfrontier plan --json`".to_owned()),
    }
}

/// This node: as Slurm calls it, or as it calls itself.
pub fn node_name() -> String {
    let told = std::env::var("SLURMD_NODENAME").ok().filter(|name| !name.is_empty());
    let own = || fs::read_to_string("/proc/sys/kernel/hostname").map(|name| name.trim().to_owned());
    told.or_else(|| own().ok()).or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default()
}

/// What a trial whose file cannot be made comes to, without anything being tried: as in a sweep on one machine.
pub fn refused(plan: &PlanFile, manifest: &Manifest, spec: &TrialSpec) -> Option<(Status, String)> {
    let skipped = |reason: &String| format!("its file could not be made: {reason}");
    let reason = |variant: &str| plan.refused.get(variant);
    if spec.kind == TrialKind::Speculate {
        let target = reason(&spec.variant).map(|r| format!("the target {}: {}", spec.variant, skipped(r)));
        let draft = || reason(&spec.suite).map(|r| format!("the draft {}: {}", spec.suite, skipped(r)));
        return target.or_else(draft).map(|reason| (Status::Skipped, reason));
    }
    let why = reason(&spec.variant)?;
    let weights = |variant: &str| plan.config.model(variant).map(|recipe| &recipe.weights);
    let shares = |other: &&TrialSpec| match (weights(&other.variant), weights(&spec.variant)) {
        (Some(one), Some(other)) => one.same_file(other),
        _ => false,
    };
    // The first that would have made the file says why; the others refer to it.
    let first = manifest.trials.iter().filter(|t| t.kind == TrialKind::Quantize).find(shares);
    if first.is_some_and(|first| first.id == spec.id) {
        return Some((Status::Refused, why.clone()));
    }
    Some((Status::Skipped, skipped(why)))
}

/// Writes down how a trial ended that nothing was tried of.
pub fn record(folder: &Path, trial: TrialData, status: Status, reason: &str) -> Result<TrialData, Error> {
    let trial = TrialData { status, reason: reason.to_owned(), ..trial };
    write_trial(folder, &trial.file())
        .map_err(|source| JournalError::Write { path: folder.join("trials").join(&trial.spec.id), source })?;
    Ok(trial)
}

/// The part of a plan that a trial needs: the base, the recipes whose file it makes or reads, and its suite.
fn part(mut config: SweepConfig, spec: &TrialSpec) -> SweepConfig {
    let pair = |s: &Speculation| s.target == spec.variant && s.draft == spec.suite;
    config.speculations.retain(|one| spec.kind == TrialKind::Speculate && pair(one));
    let drafts = config.speculations.iter().map(|one| one.draft.clone());
    let names: Vec<String> = drafts.chain([spec.variant.clone()]).collect();
    let needed: Vec<_> = names.iter().filter_map(|name| config.model(name)).cloned().collect();
    config.recipes.retain(|recipe| {
        recipe.is_base() || needed.iter().any(|other| recipe.weights.same_file(&other.weights))
    });
    let suite_of = |text: &SuiteText| suite::parse(text).map(|suite| suite.name);
    let is_scored = matches!(spec.kind, TrialKind::Suite | TrialKind::Noise);
    config.suites.retain(|text| is_scored && suite_of(text).is_ok_and(|name| name == spec.suite));
    config
}

/// Refuses to measure something else than what was planned under the same name.
fn same(prepared: &Prepared, spec: &TrialSpec) -> Result<(), Error> {
    let is_it = |t: &&TrialSpec| (t.kind, &t.variant, &t.suite) == (spec.kind, &spec.variant, &spec.suite);
    let ours = prepared.trials.iter().find(is_it);
    if ours.is_some_and(|ours| ours.id == spec.id) {
        return Ok(());
    }
    let mut told = Vec::new();
    if let Some(ours) = ours {
        differences("", &spec.settings, &ours.settings, &mut told);
    }
    told.truncate(NAMED);
    let what = if told.is_empty() { "the plan has changed".to_owned() } else { told.join(", ") };
    Err(Error::Refused {
        reason: format!("trial {} would not be here what was planned: {what}", spec.id),
        hint: Some("use the same program, inputs and kind of machine, or plan again".to_owned()),
    })
}

/// `machine/cpu is "A" here and was "B"` for all leaves that differ.
fn differences(place: &str, planned: &Value, here: &Value, told: &mut Vec<String>) {
    if planned == here {
        return;
    }
    if let (Value::Object(planned), Value::Object(here)) = (planned, here) {
        let keys: BTreeSet<&String> = planned.keys().chain(here.keys()).collect();
        for key in keys {
            let none = &Value::Null;
            let place = if place.is_empty() { key.clone() } else { format!("{place}/{key}") };
            differences(&place, planned.get(key).unwrap_or(none), here.get(key).unwrap_or(none), told);
        }
        return;
    }
    told.push(format!("{place} is {here} here and was {planned}"));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_are_told_by_place() {
        let mut told = Vec::new();
        let planned = json!({"kind": "speed", "machine": {"cpu": "A", "cores": 8}, "grid": [1]});
        let here = json!({"kind": "speed", "machine": {"cpu": "B", "cores": 8}});
        differences("", &planned, &here, &mut told);
        assert_eq!(told, ["grid is null here and was [1]", "machine/cpu is \"B\" here and was \"A\""]);
        told.clear();
        differences("", &here, &here, &mut told);
        assert!(told.is_empty());
    }
}
