//! What each trial has come to and what it took, one row a trial.

use serde_json::Value;

use super::planned::{Planned, Sheet};
use super::report::TrialRow;
use crate::journal::record::{Outcome, TrialKind};

/// Rows of `trials.csv`, in plan order.
pub(super) fn rows(sheet: &Sheet) -> Vec<TrialRow> {
    sheet.trials.iter().map(row).collect()
}

fn row(trial: &Planned) -> TrialRow {
    let spec = trial.spec;
    let cost = match trial.outcome() {
        Some(Outcome::Suite(cost)) => Some(cost),
        _ => None,
    };
    let counts = matches!(spec.kind, TrialKind::Suite | TrialKind::Noise);
    TrialRow {
        id: spec.id.clone(),
        kind: spec.kind.word().to_owned(),
        variant: spec.variant.clone(),
        suite: spec.suite.clone(),
        status: trial.status().word().to_owned(),
        reason: trial.reason().to_owned(),
        failures: trial.failures(),
        items_planned: counts.then_some(spec.items_planned),
        items_done: counts.then(|| trial.items().len() as u64),
        items_cached: cost.map(|cost| cost.items_cached),
        wall_s: cost.map(|cost| cost.wall_s),
        decode_s: cost.map(|cost| cost.decode_s),
        tokens_decoded: cost.map(|cost| cost.tokens_decoded),
        tokens_naive: cost.map(|cost| cost.tokens_naive).filter(|tokens| *tokens > 0),
        stopped: trial.stopped().map_or("", |stopped| stopped.rule.word()).to_owned(),
        looks: trial
            .stopped()
            .map(|stopped| stopped.look)
            .or(Some(trial.looks().len() as u64).filter(|n| *n > 0)),
        node: trial.node().to_owned(),
        // Only what is timed depends on it.
        cpu: spec.settings.pointer("/machine/cpu").and_then(Value::as_str).unwrap_or_default().to_owned(),
    }
}
