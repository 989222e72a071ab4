//! `speculation`: what a draft is worth by how many tokens it proposes a step. A line a pair of target and draft.

use super::axis::{Axis, short};
use super::label::Point;
use super::scatter::{Figure, Level, LevelKind, Mark, Panel, heights};
use super::selection::{not_shown, usable};
use super::wording::{origin, with_direction};
use crate::analyze::report::{Report, SpeculationRow};
use std::collections::BTreeSet;

/// Room for names beyond the last point, as a share of the last value.
const NAMES: f64 = 1.4;

/// A panel: a value of a row, with its interval if it has one.
struct Shown {
    what: &'static str,
    value: fn(&SpeculationRow) -> Option<f64>,
    bar: fn(&SpeculationRow) -> Option<(f64, f64)>,
    /// Draws where a draft begins to be worth it.
    alone: bool,
}

const SHOWN: [Shown; 2] = [
    Shown {
        what: "tokens/s over the target's alone",
        value: |row| row.ratio,
        bar: |row| row.ratio_ci_low.zip(row.ratio_ci_high),
        alone: true,
    },
    Shown {
        what: "share of the proposed tokens that is taken, %",
        value: |row| row.acceptance.map(|share| 100.0 * share),
        bar: |_| None,
        alone: false,
    },
];

/// The figure, if a draft was measured.
pub(super) fn figure(report: &Report) -> Option<Figure> {
    let pairs: BTreeSet<String> = report.speculation.iter().map(pair).collect();
    let panels: Vec<Panel> = SHOWN.iter().filter_map(|shown| panel(report, &pairs, shown)).collect();
    let first = panels.first()?;
    let bars = "Bars: 95% intervals over prompts, each with its plain and its speculative time.";
    let plain = if first.levels.is_empty() { "" } else { " Dashed: the target alone." };
    let mut notes = vec![format!("{bars}{plain}")];
    let missing: Vec<(String, String)> = report
        .speculation
        .iter()
        .filter(|row| usable(row.ratio).is_none())
        .map(|row| (pair(row), row.status.clone()))
        .collect();
    notes.extend(not_shown(&missing));
    notes.extend(origin(&report.about));
    Some(Figure {
        name: "speculation".to_owned(),
        title: "What a draft is worth, by the tokens it proposes a step".to_owned(),
        subtitle: report.about.machine.clone(),
        panels,
        notes,
    })
}

/// `Q4_0 for base`.
fn pair(row: &SpeculationRow) -> String {
    format!("{} for {}", row.draft, row.target)
}

fn panel(report: &Report, pairs: &BTreeSet<String>, shown: &Shown) -> Option<Panel> {
    let (mut marks, mut lines) = (Vec::new(), Vec::new());
    for name in pairs {
        let own = report.speculation.iter().filter(|row| pair(row) == *name);
        let mut line: Vec<Mark> = own.filter_map(|row| mark(row, shown)).collect();
        line.sort_by(|a, b| a.x.total_cmp(&b.x));
        if let Some(last) = line.last_mut() {
            last.name.clone_from(name);
        }
        lines.push(line.iter().map(|mark| (mark.x, mark.y)).collect::<Vec<Point>>());
        marks.extend(line);
    }
    let longest = marks.iter().map(|mark| mark.x).reduce(f64::max)?;
    let level = shown.alone.then(|| Level {
        y: 1.0,
        band: None,
        label: vec!["alone".to_owned(), short(1.0)],
        kind: LevelKind::Base,
    });
    let mut values = heights(&marks);
    values.extend(level.iter().map(|level| level.y));
    let x = Axis::from_zero("most tokens proposed a step", &[longest * NAMES]);
    let mut panel = Panel::new(x, Axis::from_zero(&with_direction(shown.what, true), &values), marks);
    panel.levels.extend(level);
    panel.lines = lines;
    Some(panel)
}

fn mark(row: &SpeculationRow, shown: &Shown) -> Option<Mark> {
    let y = usable((shown.value)(row))?;
    let mut mark = Mark::new("", f64::from(row.length?), y);
    mark.bar = (shown.bar)(row).filter(|(low, high)| low <= high && high.is_finite());
    Some(mark)
}
