//! What is left of each capability: suites put together by what they ask of a model, each on the scale from a guesser
//! (0) to the base (1), so that a fall of maths and a fall of knowledge can be compared.
//!
//! Of one suite that is `r = (V - c) / (B - c)`: V and B the means of variant and base on the items both have, c chance.
//! Its error follows by linearisation from `v_i - c - r (b_i - c)` over `B - c` (Cochran, Sampling Techniques, 6.4), with
//! a half more items lost and won each (Agresti and Min, 2005): without, nothing lost among few items would be
//! certain. Of a capability it is the unweighted mean over its suites that have a signal.

use std::collections::BTreeMap;

use super::planned::{Planned, Sheet};
use super::report::{CapabilityRow, SuiteSummary};
use super::scores;
use crate::journal::record::{Capability, SuiteRecord};
use crate::stats::{self, Estimate};

/// Rows of `capabilities.csv`: variants in plan order, capabilities in the order of the word's list.
pub(super) fn rows(sheet: &Sheet, suites: &[SuiteSummary]) -> Vec<CapabilityRow> {
    let mut by_capability: BTreeMap<Capability, Vec<&SuiteRecord>> = BTreeMap::new();
    for suite in &sheet.manifest.suites {
        if let Some(capability) = suite.capability {
            by_capability.entry(capability).or_default().push(suite);
        }
    }
    let mut rows = Vec::new();
    for variant in &sheet.manifest.variants {
        for (capability, own) in &by_capability {
            rows.push(row(sheet, suites, &variant.name, *capability, own));
        }
    }
    rows
}

fn row(
    sheet: &Sheet,
    suites: &[SuiteSummary],
    variant: &str,
    capability: Capability,
    own: &[&SuiteRecord],
) -> CapabilityRow {
    let is_telling = |suite: &&&SuiteRecord| !suites.iter().any(|s| s.name == suite.name && s.no_signal);
    let (telling, silent): (Vec<&SuiteRecord>, Vec<&SuiteRecord>) =
        own.iter().copied().partition(|suite| is_telling(&suite));
    let each: Vec<Option<Part>> = telling.iter().map(|suite| part(sheet, suite, variant)).collect();
    let whole = each.iter().cloned().collect::<Option<Vec<Part>>>().filter(|parts| !parts.is_empty());
    let missing = telling.iter().zip(&each).filter(|(_, part)| part.is_none());
    let mut notes: Vec<String> =
        missing.map(|(suite, _)| format!("{}: nothing to compare", suite.name)).collect();
    notes.extend(silent.iter().map(|suite| format!("{}: no signal", suite.name)));
    let mean = |value: fn(&Part) -> f64| {
        whole.as_ref().map(|parts| parts.iter().map(value).sum::<f64>() / parts.len() as f64)
    };
    let retained = whole.as_deref().and_then(|parts| {
        stats::mean_of_independent(&parts.iter().map(|part| part.retained).collect::<Vec<_>>())
    });
    CapabilityRow {
        variant: variant.to_owned(),
        capability: capability.word().to_owned(),
        suites: names(telling.iter()),
        n: whole.as_ref().map_or(0, |parts| parts.iter().map(|part| part.n).sum()),
        score: mean(|part| part.score),
        base_score: mean(|part| part.base),
        retained: retained.as_ref().map(|r| r.point),
        retained_stderr: retained.as_ref().map(|r| r.standard_error),
        ci_low: retained.as_ref().map(|r| r.interval.0),
        ci_high: retained.as_ref().map(|r| r.interval.1),
        left_out: notes.join("; "),
        partial: names(telling.iter().filter(|suite| !suite.partial.is_empty())),
    }
}

fn names<'a>(suites: impl Iterator<Item = &'a &'a SuiteRecord>) -> String {
    suites.map(|suite| suite.name.as_str()).collect::<Vec<_>>().join(" ")
}

/// What is left on one suite.
#[derive(Debug, Clone)]
struct Part {
    score: f64,
    base: f64,
    retained: Estimate,
    n: u64,
}

fn part(sheet: &Sheet, suite: &SuiteRecord, variant: &str) -> Option<Part> {
    let kind = sheet.kind_of(suite);
    let scores = |name: &str| {
        let items = sheet.suite_trial(name, &suite.name).map_or(&[][..], Planned::items);
        scores::of(kind, items, &suite.main_metric)
    };
    let (base, own) = (scores(sheet.base()), scores(variant));
    let pairs = base.iter().filter_map(|(index, b)| Some((*index, (*b, *own.get(index)?))));
    let (pairs, shared) = scores::with_clusters(pairs, &suite.clusters);
    let retained = stats::retained(&pairs, suite.chance.unwrap_or(0.0), shared.as_deref())?;
    let n = pairs.len() as f64;
    Some(Part {
        score: pairs.iter().map(|(_, v)| v).sum::<f64>() / n,
        base: pairs.iter().map(|(b, _)| b).sum::<f64>() / n,
        // The base is what the others are measured by.
        retained: if variant == sheet.base() { Estimate::exactly(1.0) } else { retained },
        n: pairs.len() as u64,
    })
}
