//! Accuracy by length and depth: the items of suites that are made to a length, told by their ids
//! (`KIND/LENGTH/DEPTH/NUMBER`, a dash where a kind has no depth).

use std::collections::{BTreeMap, BTreeSet};

use super::generated;
use super::planned::{Planned, Sheet};
use super::report::LongContextRow;
use crate::journal::record::{ItemRecord, SuiteRecord, VariantRecord};

/// Kind, length and depth of an item. In the order of the tables: depths last, none before all others.
type Cell<'a> = (&'a str, u64, Option<u64>);

/// Rows of `long_context.csv`: suites in plan order, of each every variant, cell by cell. A cell that another variant
/// has and this one has not is a row without a value.
pub(super) fn rows(sheet: &Sheet) -> Vec<LongContextRow> {
    sheet.manifest.suites.iter().flat_map(|suite| of_suite(sheet, suite)).collect()
}

fn of_suite(sheet: &Sheet, suite: &SuiteRecord) -> Vec<LongContextRow> {
    let variants = sheet.manifest.variants.iter();
    let trials: Vec<(&VariantRecord, &Planned)> =
        variants.filter_map(|v| Some((v, sheet.suite_trial(&v.name, &suite.name)?))).collect();
    let items = || trials.iter().flat_map(|(_, trial)| trial.items());
    let cells: Option<BTreeSet<Cell>> = items().map(|item| cell(&item.id)).collect();
    // Of other suites an item or all are called otherwise.
    let cells = cells.unwrap_or_default();
    trials.iter().flat_map(|(variant, trial)| of_trial(suite, variant, trial, &cells)).collect()
}

/// Whether an item's id tells where it stands in a haystack.
pub(super) fn has_cell(item: &ItemRecord) -> bool {
    cell(&item.id).is_some()
}

fn cell(id: &str) -> Option<Cell<'_>> {
    let parts: Vec<&str> = id.split('/').collect();
    let [kind, length, depth, number] = parts.as_slice() else { return None };
    number.parse::<u64>().ok()?;
    let depth = if *depth == "-" { None } else { Some(depth.parse().ok()?) };
    Some((kind, length.parse().ok()?, depth))
}

fn of_trial(
    suite: &SuiteRecord,
    variant: &VariantRecord,
    trial: &Planned,
    cells: &BTreeSet<Cell>,
) -> Vec<LongContextRow> {
    let mut by_cell: BTreeMap<Cell, Vec<&ItemRecord>> = BTreeMap::new();
    for item in trial.items() {
        if let Some(cell) = cell(&item.id) {
            by_cell.entry(cell).or_default().push(item);
        }
    }
    let row = |cell: &Cell| {
        let (kind, length, depth) = *cell;
        let items = by_cell.get(cell).map_or(&[][..], Vec::as_slice);
        let failed: Vec<String> = items.iter().filter_map(|item| generated::reason(item)).collect();
        let measured = generated::measure(items, &suite.clusters);
        let measure = measured.measures.into_iter().find(|m| m.metric == suite.main_metric);
        let (status, reason) = match (items.is_empty(), &measure, failed.first()) {
            (false, None, Some(reason)) => ("failed", reason.as_str()),
            (true, ..) if trial.reason().is_empty() => ("not_run", ""),
            _ => (trial.status().word(), trial.reason()),
        };
        LongContextRow {
            variant: variant.name.clone(),
            suite: suite.name.clone(),
            kind: kind.to_owned(),
            length,
            depth,
            metric: suite.main_metric.clone(),
            value: measure.as_ref().and_then(|m| m.value),
            stderr: measure.as_ref().and_then(|m| m.stderr),
            ci_low: measure.as_ref().and_then(|m| m.interval).map(|(low, _)| low.max(0.0)),
            ci_high: measure.as_ref().and_then(|m| m.interval).map(|(_, high)| high.min(1.0)),
            n: measured.n,
            failed: failed.len() as u64,
            kv_k: variant.kv.0.clone(),
            kv_v: variant.kv.1.clone(),
            status: status.to_owned(),
            reason: reason.to_owned(),
        }
    };
    cells.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_say_kind_length_and_depth() {
        assert_eq!(cell("needle/4096/50/1"), Some(("needle", 4096, Some(50))));
        assert_eq!(cell("common_words/1024/-/9"), Some(("common_words", 1024, None)));
        for other in
            ["piqa-7", "a/b/c/d", "needle/4096/50", "needle/4096/x/1", "needle/4096/50/1/2", "book/chunk-1"]
        {
            assert_eq!(cell(other), None, "{other}");
        }
    }
}
