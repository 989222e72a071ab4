//! The story of a sweep: what was asked for is made ready, checked against this machine, written down, carried
//! out trial by trial, here or on a cluster, and told.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use crate::analyze::Report;
use crate::cluster::Coordinator;
use crate::error::Error;
use crate::fetch::Cache;
use crate::journal::record::Status;
use crate::plan::config::SweepConfig;
use crate::run::derive;
use crate::run::estimate;
use crate::run::event::Event;
use crate::run::executor::Executor;
use crate::run::manifest;
use crate::run::prepare::prepare;

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
    manifest::writable(&folder)?;
    // A costs file that somebody changed by hand is told before anything long begins.
    derive::costs(&folder)?;
    let Ends { trials, failed, unfinished } = measure(config, &folder, interrupted, events)?;
    Ok(Swept { report: derive::all(&folder)?, failed, unfinished, trials })
}

/// How the trials of a plan ended.
struct Ends {
    trials: u64,
    failed: u64,
    unfinished: u64,
}

/// Carries out all trials. Of what it holds of them nothing is left in memory, where a large sweep takes a gibibyte.
fn measure(
    config: SweepConfig,
    folder: &Path,
    interrupted: &AtomicBool,
    events: &mut dyn FnMut(&Event),
) -> Result<Ends, Error> {
    let coordinator = config.slurm.as_ref().map(|options| Coordinator::new(options, folder)).transpose()?;
    let prepared = prepare(config, Cache::from_env()?, interrupted, events)?;
    let manifest = manifest::of(&prepared, folder, events)?;
    if let Some(refusal) = estimate::needs(&prepared).refusal() {
        return Err(Error::DoesNotFit(refusal));
    }
    manifest::write(folder, &manifest)?;
    let planned = prepared.trials.len();
    let trials = if let Some(coordinator) = coordinator {
        coordinator.carry_out(prepared, manifest, interrupted, events)?
    } else {
        let trials = Executor::new(&prepared, &manifest, folder, interrupted, events)?.run()?;
        manifest::complete(folder, &manifest)?;
        trials
    };
    let count =
        |is: fn(&Status) -> bool| trials.iter().take(planned).filter(|t| is(&t.status)).count() as u64;
    let failed = count(|status| !matches!(status, Status::Done | Status::Pending));
    let unfinished = count(|status| *status == Status::Pending);
    Ok(Ends { trials: planned as u64, failed, unfinished })
}
