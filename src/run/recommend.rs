//! What `bitfrontier recommend` does: asks what fits where memory is limited, prices the volume, and has a variant chosen.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use crate::analyze::analysis;
use crate::analyze::fit::Fit;
use crate::analyze::recommend::{Limits, Memory, Recommendation, recommend as choose};
use crate::error::Error;
use crate::fetch::Cache;
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
    let limits = Limits {
        memory: memory(question, interrupted)?,
        min_tg: question.min_tg,
        max_drop: question.max_drop,
        monthly_tokens: question.monthly_tokens,
    };
    Ok(choose(&manifest, &analysis(&manifest, &trials, &costs), &limits))
}

/// What every variant needs, if memory was asked for.
fn memory(question: &Question, interrupted: &AtomicBool) -> Result<Option<Memory>, Error> {
    let place = &question.place;
    if place.vram.is_none() && place.ram.is_none() && place.device.is_none() && place.ctx.is_none() {
        return Ok(None);
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
    let bytes = bytes.saturating_sub(about.margin_bytes);
    Ok(Some(Memory { limit: limit.to_owned(), bytes, ctx: about.ctx, needs }))
}
