//! Recipes of a sweep whose types are to be searched: `auto@4.5bpw`. Searched before any night begins, because what is
//! found decides what is measured; and kept, so that a sweep that goes on measures the same.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::error::Error;
use crate::fetch::Cache;
use crate::files;
use crate::journal::record::FORMAT;
use crate::journal::sealed;
use crate::plan::config::SweepConfig;
use crate::plan::fingerprint;
use crate::plan::recipe::{ImatrixUse, Weights};
use crate::plan::suite::LoadedSuite;
use crate::run::event::Event;
use crate::run::file_plan::Refusal;
use crate::run::imatrix::Calibration;
use crate::run::inputs::Inputs;
use crate::run::search::search;
use crate::run::study::{Order, Study};

/// Time that a sweep gives to each search; `bitfrontier search` takes as much as it is told.
const LIMIT: Duration = Duration::from_mins(10);

/// Searches what is to be searched and sets it in the plan. Returns why some could not be, by recipe.
pub fn resolve(
    config: &mut SweepConfig,
    base: &Path,
    suites: &[LoadedSuite],
    inputs: &Inputs,
    cache: &Cache,
    interrupted: &AtomicBool,
    events: &mut dyn FnMut(&Event),
) -> Result<BTreeMap<String, Refusal>, Error> {
    let mut refused = BTreeMap::new();
    for at in 0..config.recipes.len() {
        let Some(recipe) = config.recipes.get(at) else { continue };
        let (variant, kv, wanted) = (recipe.variant(), recipe.kv.clone(), recipe.weights.clone());
        // A plan that was kept has its searches behind it.
        let Some(target) = wanted.search.clone().filter(|_| wanted.ftype.is_none()) else { continue };
        let order = Order {
            base: base.to_owned(),
            target,
            imatrix: inputs.imatrix(&wanted).map(Path::to_owned),
            text: config.imatrix.text.clone(),
            n_ctx: 512,
            threads: config.run.threads,
            tells_path: false,
        };
        let text = Calibration::find(order.text.as_deref(), None, cache)?;
        text.check(suites)?;
        let found = match find(&order, cache, interrupted, &variant, events) {
            Ok(found) => found,
            Err(Error::Refused { reason, hint }) => {
                refused.insert(wanted.name, Refusal { reason, hint });
                continue;
            }
            Err(error) => return Err(error),
        };
        let weights = Weights { name: wanted.name, search: wanted.search, imatrix: wanted.imatrix, ..found };
        let same = config.recipes.iter().find(|r| r.weights.same_file(&weights) && r.kv == kv);
        if let Some(same) = same {
            // Trials are known by their content, so that this one would have none of its own.
            let reason = format!("the search found the same mix as for {}", same.variant());
            refused.insert(weights.name, Refusal { reason, hint: None });
        } else if let Some(recipe) = config.recipes.get_mut(at) {
            recipe.weights = weights;
        }
    }
    Ok(refused)
}

fn find(
    order: &Order,
    cache: &Cache,
    interrupted: &AtomicBool,
    variant: &str,
    events: &mut dyn FnMut(&Event),
) -> Result<Weights, Error> {
    let study = Study::prepare(order, cache, interrupted)?;
    let path = kept(&study, order);
    // One that is damaged is searched again.
    let read = fs::read(&path).ok().and_then(|bytes| sealed::open(&bytes, FORMAT).ok());
    if let Some(weights) = read {
        return Ok(weights);
    }
    let message = format!("searching {variant}, for at most {} minutes", LIMIT.as_secs() / 60);
    events(&Event::Note { message });
    let mut tell = |_: &str, done: u64, all: Option<u64>| {
        events(&Event::Step { done, total: all.unwrap_or(done + 1), decoded: 0 });
    };
    let found = search(order, LIMIT, cache, interrupted, &mut tell)?;
    // Where the matrix lies is the recipe's to say.
    let weights = Weights { imatrix: ImatrixUse::None, ..found.weights };
    let json = sealed::seal(&weights).map_err(|error| Error::Worker(error.to_string()))?;
    files::replace(&path, &json).map_err(|source| Error::Io { path, source })?;
    Ok(weights)
}

/// Where a sweep keeps what it found: by the probes' key, which names base, matrix and text, and the bytes.
fn kept(study: &Study, order: &Order) -> PathBuf {
    let name = study.probes.file_name().unwrap_or_default().to_string_lossy();
    let key = fingerprint::of_texts([&*name, &format!("{:?}", order.target), &study.budget.to_string()]);
    study.probes.with_file_name(format!("found-{key}.json"))
}
