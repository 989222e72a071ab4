//! `bpw-ppl`: perplexity of each variant on a text, relative to the base where that is known, by size.

use super::axis::{Axis, short};
use super::scatter::{Figure, Level, LevelKind, Panel, breadths, heights};
use super::selection::{BASE, interval, metric_mark, not_shown, select, unfinished, usable};
use super::wording::{BPW, capitalised, metric_text, origin, rows, sample_size, suite_line, with_direction};
use crate::analyze::report::{Report, SuiteSummary};

/// From this factor between the largest and the smallest value on, the axis is logarithmic.
const WIDE: f64 = 4.0;

/// One figure for every suite with perplexities.
pub(super) fn figures(report: &Report) -> Vec<Figure> {
    let mut figures: Vec<(String, Figure)> = report
        .suites
        .iter()
        .filter_map(|s| {
            Some((s.name.clone(), ["ppl_ratio", "ppl"].iter().find_map(|m| figure(report, s, m))?))
        })
        .collect();
    if figures.len() > 1 {
        for (suite, figure) in &mut figures {
            figure.name = format!("bpw-ppl.{suite}");
        }
    }
    figures.into_iter().map(|(_, figure)| figure).collect()
}

fn figure(report: &Report, suite: &SuiteSummary, metric: &str) -> Option<Figure> {
    let selection = select(report, |row| {
        let mark = metric_mark(report, row, &suite.name, metric, 1.0)?;
        if mark.y > 0.0 { Ok(mark) } else { Err("not above 0".to_owned()) }
    });
    let marks = selection.marks;
    if marks.is_empty() {
        return None;
    }
    let text = metric_text(metric, suite.n_unit);
    let base = base_level(report, suite, metric);
    let mut values = heights(&marks);
    values.extend(base.iter().map(|l| l.y));
    let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = values.iter().copied().fold(0.0, f64::max);
    let y = if lowest > 0.0 && highest / lowest < WIDE {
        Axis::linear(&with_direction(&text.label, false), &values, 1e-3)
    } else {
        Axis::log(&with_direction(&format!("{}, log axis", text.label), false), &values)
    };
    let mut panel = Panel::new(Axis::linear(BPW, &breadths(&marks), 1.0), y, marks);
    panel.levels.extend(base);
    let shown_rows = || rows(report, &suite.name, metric);
    let n = sample_size(shown_rows(), suite.n_unit).map(|n| format!("{n}. ")).unwrap_or_default();
    let dashed = if panel.levels.is_empty() { "" } else { " Dashed: the base." };
    let mut notes = vec![format!("{n}Bars: 95% intervals, where they reach beyond the mark.{dashed}")];
    notes.extend(not_shown(&selection.missing));
    notes.extend(unfinished(shown_rows()));
    notes.extend(origin(&report.about));
    Some(Figure {
        name: "bpw-ppl".to_owned(),
        title: format!("{} by bits per weight", capitalised(&text.name)),
        subtitle: suite_line(suite),
        panels: vec![panel],
        notes,
    })
}

/// The base's own perplexity; its ratio to itself is 1 by definition.
fn base_level(report: &Report, suite: &SuiteSummary, metric: &str) -> Option<Level> {
    if metric == "ppl_ratio" {
        return Some(Level {
            y: 1.0,
            band: None,
            label: vec!["base".to_owned(), "1".to_owned()],
            kind: LevelKind::Base,
        });
    }
    let row = report.metric(BASE, &suite.name, metric)?;
    let y = usable(row.value).filter(|y| *y > 0.0)?;
    Some(Level { y, band: interval(row), label: vec!["base".to_owned(), short(y)], kind: LevelKind::Base })
}
