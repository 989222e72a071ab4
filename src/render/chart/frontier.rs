//! `frontier`: what quality a file of a given size buys. Solid and joined are the variants that no other
//! beats on both axes. One figure for the divergence from the base, or else the first suite, and one for each
//! other suite.

use super::axis::{Axis, short, size_unit};
use super::floor::Floor;
use super::scatter::{Figure, Level, LevelKind, Look, Mark, Panel, breadths, heights};
use super::selection::{BASE, not_shown, select, usable};
use super::wording::{BASE_LEFT_OUT, metric_text, origin, rows, sample_size, suite_line, with_direction};
use crate::analyze::report::{FrontierRow, Report, SuiteSummary};
use crate::units::Bytes;

const DIVERGENCE: &str = "kld_mean";

/// The figures, the main one first.
pub(super) fn figures(report: &Report) -> Vec<Figure> {
    let mut pairs: Vec<(&SuiteSummary, &str)> = report
        .suites
        .iter()
        .filter(|s| has_points(report, s, DIVERGENCE))
        .map(|s| (s, DIVERGENCE))
        .take(1)
        .collect();
    for suite in &report.suites {
        let pair = (suite, suite.main_metric.as_str());
        if !pairs.iter().any(|(s, m)| s.name == suite.name && *m == pair.1) {
            pairs.push(pair);
        }
    }
    let mut figures: Vec<Figure> =
        pairs.into_iter().filter_map(|(suite, metric)| figure(report, suite, metric)).collect();
    if let Some(first) = figures.first_mut() {
        "frontier".clone_into(&mut first.name);
    }
    figures
}

fn has_points(report: &Report, suite: &SuiteSummary, metric: &str) -> bool {
    report.variants.iter().any(|v| v.variant != BASE && row(report, &v.variant, suite, metric).is_some())
}

fn row<'a>(report: &'a Report, variant: &str, suite: &SuiteSummary, metric: &str) -> Option<&'a FrontierRow> {
    let axis = format!("{}.{metric}", suite.name);
    let found =
        report.frontier.iter().find(|f| f.variant == variant && f.axis_x == "file_bytes" && f.axis_y == axis);
    found.filter(|f| usable(Some(f.x)).is_some() && usable(Some(f.y)).is_some())
}

/// A logarithmic axis shows small divergences apart; it has no place for 0.
fn is_log(metric: &str) -> bool {
    matches!(metric, "kld_mean" | "kld_median" | "kld_p99" | "ppl" | "ppl_ratio")
}

fn figure(report: &Report, suite: &SuiteSummary, metric: &str) -> Option<Figure> {
    let text = metric_text(metric, suite.n_unit);
    let higher = if metric == suite.main_metric { suite.higher_is_better } else { false };
    let selection = select(report, |variant| {
        let row = row(report, &variant.variant, suite, metric).ok_or_else(String::new)?;
        if is_log(metric) && row.y <= 0.0 {
            return Err("not above 0".to_owned());
        }
        let mut mark = Mark::new(&variant.variant, row.x, row.y * text.factor);
        mark.look =
            if row.share.map_or(row.on_frontier, |share| share >= 0.5) { Look::Solid } else { Look::Open };
        Ok(mark)
    });
    let mut marks = selection.marks;
    if marks.is_empty() {
        return None;
    }
    let largest = breadths(&marks).into_iter().fold(0.0, f64::max);
    let (unit, size) = size_unit(largest);
    for mark in &mut marks {
        mark.x /= size;
    }
    let base = row(report, BASE, suite, metric).filter(|b| !is_log(metric) || b.y > 0.0);
    let level = base.map(|b| base_level(b, text.factor, text.suffix));
    let mut values = heights(&marks);
    let floor = Floor::of(report, &suite.name, metric);
    let levels: Vec<Level> = level.into_iter().chain(floor.as_ref().and_then(Floor::level)).collect();
    values.extend(levels.iter().map(|l| l.y));
    let x = Axis::linear(&with_direction(&format!("file size, {unit}"), false), &breadths(&marks), 1.0);
    let y = if is_log(metric) {
        Axis::log(&with_direction(&format!("{}, log axis", text.label), higher), &values)
    } else {
        Axis::linear(&with_direction(&text.label, higher), &values, 0.02 * text.factor)
    };
    let mut panel = Panel::new(x, y, marks);
    panel.path = frontier_path(&panel.marks);
    let axis = format!("{}.{metric}", suite.name);
    let in_half = report.frontier.iter().any(|row| row.axis_y == axis && row.share.is_some());
    panel.legend = vec![(
        Look::Solid,
        if in_half { "on the frontier in at least half of the resamples" } else { "on the frontier" },
    )];
    if panel.marks.iter().any(|m| m.look == Look::Open) {
        panel
            .legend
            .push((Look::Open, if in_half { "in fewer" } else { "another is as good and no larger" }));
    }
    panel.levels = levels;
    let mut notes = vec![caption(report, suite, metric, base.is_some())];
    notes.extend(floor.map(|f| f.note(&panel.marks)));
    notes.extend(uncertain(report, &axis));
    notes.extend(not_shown(&selection.missing));
    notes.extend(origin(&report.about));
    Some(Figure {
        name: format!("frontier-{}", suite.name),
        title: format!("What file size buys: {}", text.name),
        subtitle: suite_line(suite),
        panels: vec![panel],
        notes,
    })
}

/// Which places on the frontier are not certain, and which smaller variants are not shown to be worse.
fn uncertain(report: &Report, axis: &str) -> Vec<String> {
    let rows = || report.frontier.iter().filter(|row| row.axis_y == axis && row.variant != BASE);
    let share = |row: &FrontierRow| {
        let per_cent = (row.share? * 100.0).round();
        (0.0 < per_cent && per_cent < 100.0).then(|| format!("{} {per_cent:.0}%", row.variant))
    };
    let tie = |row: &FrontierRow| {
        (!row.tied_with.is_empty()).then(|| format!("{} than {}", row.tied_with, row.variant))
    };
    let (shares, ties): (Vec<String>, Vec<String>) =
        (rows().filter_map(share).collect(), rows().filter_map(tie).collect());
    let said = [
        ("On the frontier in a share of the resamples", shares),
        ("Not shown to be worse, though smaller", ties),
    ];
    let said = said.into_iter().filter(|(_, found)| !found.is_empty());
    said.map(|(what, found)| format!("{what}: {}.", found.join(", "))).collect()
}

fn caption(report: &Report, suite: &SuiteSummary, metric: &str, base_is_shown: bool) -> String {
    let n = sample_size(rows(report, &suite.name, metric).filter(|m| m.variant != BASE), suite.n_unit);
    let n = n.map(|n| format!("{n}. ")).unwrap_or_default();
    let base = if base_is_shown {
        "Dashed: the base."
    } else if metric == DIVERGENCE {
        BASE_LEFT_OUT
    } else {
        "The base has no value."
    };
    let how = "Point estimates; the figures by bits per weight show their intervals.";
    format!("{n}{how} Line: the best to be had up to a size. {base}")
}

fn base_level(row: &FrontierRow, factor: f64, suffix: &str) -> Level {
    let y = row.y * factor;
    let value = if suffix.is_empty() { short(y) } else { format!("{y:.1}{suffix}") };
    let label = vec!["base".to_owned(), value, Bytes(row.x.max(0.0) as u64).to_string()];
    Level { y, band: None, label, kind: LevelKind::Base }
}

fn frontier_path(marks: &[Mark]) -> Vec<(f64, f64)> {
    let mut path: Vec<(f64, f64)> =
        marks.iter().filter(|m| m.look == Look::Solid).map(|m| (m.x, m.y)).collect();
    path.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    path
}
