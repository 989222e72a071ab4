//! What `bitfrontier recommend` does: asks what fits where memory is limited, prices the volume, and has a variant chosen.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use crate::analyze::analysis;
use crate::analyze::cost::Costs;
use crate::analyze::fit::Fit;
use crate::analyze::recommend::{Limits, Memory, Recommendation, recommend as choose};
use crate::error::Error;
use crate::fetch::Cache;
use crate::plan::recipe::KvTypes;
use crate::run::{cost, derive, fit};

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// The results folder.
    pub results: PathBuf,
    /// What it is to fit; without a size, a device or a context memory is no limit.
    pub place: fit::Place,
    /// Least tokens a second generated.
    pub min_tg: Option<f64>,
    /// Most that may be lost.
    pub max_drop: Option<f64>,
    /// Output tokens a month.
    pub monthly_tokens: Option<f64>,
}

/// Recommends a variant.
///
/// # Errors
/// If the folder is no results folder, a limit makes no sense, or memory is limited and the base's header is gone.
pub fn recommend(question: &Question, interrupted: &AtomicBool) -> Result<Recommendation, Error> {
    let wrong = |flag: &str, value: f64, hint: &str| Error::Refused {
        reason: format!("{flag} {value} makes no sense"),
        hint: Some(hint.to_owned()),
    };
    for (flag, value) in [("--min-tg", question.min_tg), ("--monthly-tokens", question.monthly_tokens)] {
        if let Some(value) = value.filter(|v| !(*v > 0.0 && v.is_finite())) {
            return Err(wrong(flag, value, "it is a number above 0"));
        }
    }
    if let Some(value) = question.max_drop.filter(|v| !(*v >= 0.0 && v.is_finite())) {
        return Err(wrong("--max-drop", value, "it is a fraction: 0.02 allows a loss of two points"));
    }
    let (manifest, trials) = derive::read_lean(&question.results)?;
    let volume = question.monthly_tokens.map(|tokens| tokens / 1e6);
    let (costs, _) = cost::costs(&cost::Order { volume, ..cost::Order::default() }, Some(&question.results))?;
    let analysis = analysis(&manifest, &trials, &costs);
    let placed = placed(question, interrupted)?;
    let scenario = placed.device.as_ref().and_then(|device| scenario_of(&costs, device));
    let mut notes = placed.notes;
    if let Some(device) = &placed.device {
        notes.extend(elsewhere(question, device, scenario.as_deref(), &analysis.report.about.machine));
    }
    let limits = Limits {
        memory: placed.memory,
        min_tg: question.min_tg,
        max_drop: question.max_drop,
        monthly_tokens: question.monthly_tokens,
        scenario,
        notes,
    };
    let answer = choose(&manifest, &analysis, &limits);
    // Only the analysis tells what is lost: of scores nobody means more than all, but two points.
    match question.max_drop.filter(|drop| *drop >= 1.0 && answer.max_drop_unit == "fraction") {
        Some(drop) if answer.variant.is_some() || !answer.ruled_out.is_empty() => {
            Err(wrong("--max-drop", drop, "it is a fraction: 0.02 allows a loss of two points"))
        }
        _ => Ok(answer),
    }
}

/// The box of the costs that is this device: one's own before one that is rented.
fn scenario_of(costs: &Costs, device: &str) -> Option<String> {
    let is_it = |named: Option<&String>| named.is_some_and(|named| named.eq_ignore_ascii_case(device));
    let owned = costs.owned.iter().find(|(_, owned)| is_it(owned.device.as_ref()));
    let rented = || costs.rented.iter().find(|(_, rented)| is_it(rented.device.as_ref()));
    owned
        .map(|(name, _)| format!("owned.{name}"))
        .or_else(|| rented().map(|(name, _)| format!("rented.{name}")))
}

/// What of the answer is about another machine than the device that was asked about.
fn elsewhere(question: &Question, device: &str, scenario: Option<&str>, machine: &str) -> Vec<String> {
    let mut notes = Vec::new();
    if question.min_tg.is_some() {
        notes.push(format!(
            "--min-tg is held against the speeds measured on {machine}; nothing was timed on {device}."
        ));
    }
    if question.monthly_tokens.is_some() {
        notes.push(scenario.map_or_else(
            || format!("The costs have no box that is {device}: what a month costs and produces is this machine's."),
            |scenario| {
                format!("What {scenario} produces in a month is scaled from {machine} by the memory bandwidth of the two.")
            },
        ));
    }
    notes
}

/// What every variant needs, if memory was asked for.
#[derive(Default)]
struct Placed {
    memory: Option<Memory>,
    device: Option<String>,
    notes: Vec<String>,
}

fn is_asked(place: &fit::Place) -> bool {
    let sizes = [place.vram, place.ram, place.ctx].iter().any(Option::is_some);
    sizes || place.device.is_some() || place.parallel > 1 || place.kv != KvTypes::default()
}

fn placed(question: &Question, interrupted: &AtomicBool) -> Result<Placed, Error> {
    let place = &question.place;
    if !is_asked(place) {
        return Ok(Placed::default());
    }
    let model = question.results.display().to_string();
    let asks = fit::Question { model, place: place.clone(), recipes: Vec::new() };
    let Fit { about, recipes, .. } = fit::fit(&asks, &Cache::from_env()?, interrupted)?;
    let (limit, bytes) = match (about.vram_bytes, about.ram_bytes) {
        (Some(vram), _) => ("vram", vram),
        (None, ram) => ("ram", ram.unwrap_or(0)),
    };
    let needs: BTreeMap<String, (Option<u64>, bool)> =
        recipes.into_iter().map(|row| (row.recipe, (row.total_bytes, row.fits))).collect();
    let margin = about.margin_bytes;
    let memory = Memory {
        limit: limit.to_owned(),
        bytes: bytes.saturating_sub(margin),
        margin,
        ctx: about.ctx,
        needs,
    };
    let notes = about.notes.iter().map(|note| sentence(note)).collect();
    Ok(Placed { memory: Some(memory), device: about.device, notes })
}

/// A clause as a sentence.
fn sentence(clause: &str) -> String {
    let mut letters = clause.chars();
    letters.next().map_or(String::new(), |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}
