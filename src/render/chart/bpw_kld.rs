//! `bpw-kld`: how far each variant's predictions are from the base's, by size. One figure a text suite.

use super::axis::Axis;
use super::floor::{Floor, mark_hidden};
use super::scatter::{Figure, Panel, breadths, heights};
use super::selection::{BASE, metric_mark, not_shown, select, unfinished};
use super::wording::{
    BASE_LEFT_OUT, BPW, metric_text, origin, rows, sample_size, suite_line, with_direction,
};
use crate::analyze::report::{Report, SuiteSummary};

const METRIC: &str = "kld_mean";

/// One figure for every suite with KL divergences.
pub(super) fn figures(report: &Report) -> Vec<Figure> {
    let mut figures: Vec<(String, Figure)> =
        report.suites.iter().filter_map(|s| Some((s.name.clone(), figure(report, s)?))).collect();
    if figures.len() > 1 {
        for (suite, figure) in &mut figures {
            figure.name = format!("bpw-kld.{suite}");
        }
    }
    figures.into_iter().map(|(_, figure)| figure).collect()
}

fn figure(report: &Report, suite: &SuiteSummary) -> Option<Figure> {
    let selection = select(report, |row| {
        let mark = metric_mark(report, row, &suite.name, METRIC, 1.0)?;
        if mark.y > 0.0 { Ok(mark) } else { Err("not above 0".to_owned()) }
    });
    let marks = selection.marks;
    if marks.is_empty() {
        return None;
    }
    let text = metric_text(METRIC, suite.n_unit);
    let x = Axis::linear(BPW, &breadths(&marks), 1.0);
    // An interval that reaches towards 0 would take decades of the axis: its bar ends at the axis instead.
    let lowest = marks.iter().map(|m| m.y).fold(f64::INFINITY, f64::min) / 4.0;
    let mut shown: Vec<f64> = heights(&marks).into_iter().map(|v| v.max(lowest)).collect();
    let floor = Floor::of(report, &suite.name, METRIC);
    let level = floor.as_ref().and_then(Floor::level);
    shown.extend(level.iter().map(|l| l.y));
    let y = Axis::log(&with_direction(&format!("{}, log axis", text.label), false), &shown);
    let shown_rows = || rows(report, &suite.name, METRIC).filter(|m| m.variant != BASE);
    let mut notes = Vec::new();
    let n = sample_size(shown_rows(), suite.n_unit).map(|n| format!("{n}. ")).unwrap_or_default();
    notes.push(format!("{n}Bars: 95% intervals, where they reach beyond the mark. {BASE_LEFT_OUT}"));
    notes.extend(floor.as_ref().map(|f| f.note(&marks)));
    notes.extend(not_shown(&selection.missing));
    notes.extend(unfinished(shown_rows()));
    notes.extend(origin(&report.about));
    let mut panel = Panel::new(x, y, marks);
    panel.levels.extend(level);
    mark_hidden(floor.as_ref(), &mut panel);
    Some(Figure {
        name: "bpw-kld".to_owned(),
        title: "Divergence from the base model by bits per weight".to_owned(),
        subtitle: suite_line(suite),
        panels: vec![panel],
        notes,
    })
}
