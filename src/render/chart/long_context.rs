//! `long_context-SUITE` and `long_context-SUITE-KIND`: how much of what stands in a long prompt is found again, by length
//! and kind, and for kinds that have one place for it by length and depth. A small map for every variant and KV type.

use super::heat::{Heat, Map};
use super::wording::{capitalised, origin, suite_line};
use crate::analyze::report::{LongContextRow, Report, SuiteSummary};
use std::collections::{BTreeMap, BTreeSet};

/// The figures there are rows for.
pub(super) fn heats(report: &Report) -> Vec<Heat> {
    report.suites.iter().flat_map(|suite| of_suite(report, suite)).collect()
}

fn of_suite(report: &Report, suite: &SuiteSummary) -> Vec<Heat> {
    let rows: Vec<&LongContextRow> =
        report.long_context.iter().filter(|row| row.suite == suite.name).collect();
    let mut heats = Vec::new();
    let mut kinds: Vec<&str> = Vec::new();
    for row in &rows {
        if !kinds.contains(&row.kind.as_str()) {
            kinds.push(&row.kind);
        }
    }
    let title = format!("Found again in long prompts, by kind of task: {}", suite.name);
    let place = |row: &LongContextRow| kinds.iter().position(|kind| *kind == row.kind);
    let names: Vec<String> = kinds.iter().map(|kind| kind.replace('_', " ")).collect();
    heats.extend(heat(report, suite, &rows, (String::new(), title), names, place));
    for kind in &kinds {
        let own: Vec<&LongContextRow> =
            rows.iter().copied().filter(|row| row.kind == *kind && row.depth.is_some()).collect();
        let depths: Vec<u64> =
            own.iter().filter_map(|row| row.depth).collect::<BTreeSet<_>>().into_iter().collect();
        let names: Vec<String> = depths.iter().map(|depth| format!("{depth}%")).collect();
        let title =
            format!("{} found again in long prompts, by depth: {}", kind.replace('_', " "), suite.name);
        let place = |row: &LongContextRow| depths.iter().position(|depth| Some(*depth) == row.depth);
        heats.extend(heat(report, suite, &own, (format!("-{kind}"), title), names, place));
    }
    heats
}

/// A figure whose lines are told by `place`; none without rows.
fn heat(
    report: &Report,
    suite: &SuiteSummary,
    rows: &[&LongContextRow],
    (ending, title): (String, String),
    down: Vec<String>,
    place: impl Fn(&LongContextRow) -> Option<usize>,
) -> Option<Heat> {
    let lengths: Vec<u64> = rows.iter().map(|row| row.length).collect::<BTreeSet<_>>().into_iter().collect();
    if lengths.is_empty() || !rows.iter().any(|row| row.value.is_some()) {
        return None;
    }
    let map = |variant: &str| {
        let mut sums: BTreeMap<(usize, usize), (f64, f64)> = BTreeMap::new();
        for row in rows.iter().filter(|row| row.variant == variant) {
            let at = place(row).zip(lengths.iter().position(|length| *length == row.length));
            let (Some(at), Some(value)) = (at, row.value) else { continue };
            let (sum, n) = sums.entry(at).or_default();
            (*sum, *n) = (*sum + value * row.n as f64, *n + row.n as f64);
        }
        let cells = (0..down.len()).map(|line| {
            let cell = |column| sums.get(&(line, column)).filter(|(_, n)| *n > 0.0).map(|(sum, n)| sum / n);
            (0..lengths.len()).map(cell).collect()
        });
        Map { name: variant.to_owned(), cells: cells.collect() }
    };
    let variants = report.variants.iter().map(|v| v.variant.as_str());
    let variants = variants.filter(|variant| rows.iter().any(|row| row.variant == *variant));
    let n: BTreeSet<u64> = rows.iter().filter(|row| row.n > 0).map(|row| row.n).collect();
    let n = match (n.first(), n.last()) {
        (Some(least), Some(most)) if least == most => format!("n = {least} prompts a length and depth."),
        (Some(least), Some(most)) => format!("n = {least} to {most} prompts a length and depth."),
        _ => String::new(),
    };
    let across = "Across: tokens of prompt and answer.";
    let down_is = if ending.is_empty() { "" } else { " Down: where it stands, from the beginning." };
    let mut notes =
        vec![format!("{across}{down_is} {n} Numbers: percent of what was asked for, mean of the prompts.")];
    notes.extend(failures(rows));
    notes.extend(origin(&report.about));
    Some(Heat {
        name: format!("long_context-{}{ending}", suite.name),
        title: capitalised(&title),
        subtitle: suite_line(suite),
        maps: variants.map(map).collect(),
        across: lengths.iter().map(|length| short(*length)).collect(),
        down,
        notes,
    })
}

/// Why lengths could not be run: the first reason of each.
fn failures(rows: &[&LongContextRow]) -> Option<String> {
    let mut reasons: BTreeMap<u64, &str> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.status == "failed") {
        reasons.entry(row.length).or_insert(&row.reason);
    }
    let list: Vec<String> =
        reasons.iter().map(|(length, why)| format!("{} ({why})", short(*length))).collect();
    if list.is_empty() { None } else { Some(format!("Not run: {}.", list.join("; "))) }
}

/// `4k` for 4,096.
fn short(tokens: u64) -> String {
    if tokens >= 1024 && tokens.is_multiple_of(1024) {
        format!("{}k", tokens / 1024)
    } else {
        tokens.to_string()
    }
}
