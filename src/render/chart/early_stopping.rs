//! `early-stopping`: how the answer about each variant narrowed with its items, and what stopped it. A panel a scope: the
//! composite, or each suite that was decided for itself.

use super::axis::Axis;
use super::label::Point;
use super::scatter::{Figure, Level, LevelKind, Look, Mark, Panel, breadths, heights};
use super::wording::origin;
use crate::analyze::report::{LookRow, Report};

/// Room for names beyond the last look, as a factor of its items.
const NAMES: f64 = 1.6;

/// The figure of a sweep that stops early.
pub(super) fn figure(report: &Report) -> Option<Figure> {
    let mut scopes: Vec<&str> = Vec::new();
    for row in &report.looks {
        if !scopes.contains(&row.scope.as_str()) {
            scopes.push(&row.scope);
        }
    }
    let panels: Vec<Panel> = scopes.iter().filter_map(|scope| panel(report, scope)).collect();
    if panels.is_empty() {
        return None;
    }
    let mut notes = vec![
        "Half the width of the interval of the difference from the base over all planned items, at each look. The \
         intervals of all looks and variants hold together with 95%."
            .to_owned(),
    ];
    notes.extend(scopes.iter().filter_map(|scope| decided(report, scope)));
    notes.extend(origin(&report.about));
    Some(Figure {
        name: "early-stopping".to_owned(),
        title: "When the answer was known: interval width by items".to_owned(),
        subtitle: "A line ends where its variant was decided, or where its items did.".to_owned(),
        panels,
        notes,
    })
}

fn rows<'a>(report: &'a Report, scope: &str, variant: &str) -> Vec<&'a LookRow> {
    report.looks.iter().filter(|row| row.scope == scope && row.variant == variant).collect()
}

/// Half the interval, in percentage points; a logarithmic axis has no place for 0.
fn mark(row: &LookRow) -> Option<Mark> {
    let half = (row.ci_high? - row.ci_low?) / 2.0 * 100.0;
    (half > 0.0 && row.items > 0).then(|| Mark::new("", row.items as f64, half))
}

fn panel(report: &Report, scope: &str) -> Option<Panel> {
    let (mut marks, mut lines) = (Vec::new(), Vec::new());
    for variant in &report.variants {
        let own = rows(report, scope, &variant.variant);
        let mut line: Vec<Mark> = own.iter().filter_map(|row| mark(row)).collect();
        if let Some((last, row)) = line.last_mut().zip(own.last()) {
            last.name.clone_from(&variant.variant);
            last.look = if row.rule.is_empty() { Look::Open } else { Look::Solid };
        }
        let before = line.len().saturating_sub(1);
        for mark in line.iter_mut().take(before) {
            mark.radius /= 2.0;
        }
        lines.push(line.iter().map(|mark| (mark.x, mark.y)).collect::<Vec<Point>>());
        marks.extend(line);
    }
    let asked = report.looks.iter().find(|row| row.scope == scope)?;
    let levels =
        [("tolerance", asked.tolerance), ("precision", asked.precision)].map(|(name, value)| Level {
            y: value * 100.0,
            band: None,
            label: vec![name.to_owned(), format!("{} points", super::axis::short(value * 100.0))],
            kind: LevelKind::Floor,
        });
    let furthest = breadths(&marks).into_iter().fold(0.0, f64::max);
    let across: Vec<f64> = breadths(&marks).into_iter().chain([furthest * NAMES]).collect();
    let up: Vec<f64> = heights(&marks).into_iter().chain(levels.iter().map(|level| level.y)).collect();
    if marks.is_empty() {
        return None;
    }
    let of = if scope == asked.suites { scope.to_owned() } else { format!("{scope} of {}", asked.suites) };
    let x = Axis::log(&format!("items of the variant ({of}), log axis"), &across);
    let y = Axis::log("half the interval, percentage points, log axis", &up);
    let mut panel = Panel::new(x, y, marks);
    panel.lines = lines;
    panel.levels = levels.to_vec();
    panel.legend = vec![(Look::Solid, "decided")];
    if panel.marks.iter().any(|mark| mark.look == Look::Open) {
        panel.legend.push((Look::Open, "open"));
    }
    Some(panel)
}

/// What stopped which variant.
fn decided(report: &Report, scope: &str) -> Option<String> {
    let said = report.variants.iter().filter_map(|variant| {
        let last = rows(report, scope, &variant.variant).last().copied()?;
        let rule = if last.rule.is_empty() { "open" } else { &last.rule };
        let by = if last.by.is_empty() { String::new() } else { format!(" by {}", last.by) };
        Some(format!("{} {rule}{by} ({} of {} items)", variant.variant, last.items, last.of))
    });
    let said: Vec<String> = said.collect();
    (!said.is_empty()).then(|| format!("{scope}: {}.", said.join(", ")))
}
