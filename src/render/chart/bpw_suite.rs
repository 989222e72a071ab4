//! `bpw-SUITE`: what each variant still can do, by size, between the base's score and a guesser's.

use std::fmt::Write as _;

use super::axis::Axis;
use super::scatter::{Figure, Level, LevelKind, Look, Panel, breadths, heights};
use super::selection::{BASE, interval, metric_mark, not_shown, select, unfinished, usable};
use super::theme::{NAME_EM, wrap};
use super::wording::{
    BPW, MetricText, capitalised, metric_text, origin, partial, rows, sample_size, with_direction,
};
use crate::analyze::report::{ReferencePoint, Report, SuiteSummary};

/// Widest line of another model's name.
const NARROW: f64 = 150.0;

/// One figure for every suite whose main metric is better when higher.
pub(super) fn figures(report: &Report) -> Vec<Figure> {
    report.suites.iter().filter(|s| s.higher_is_better).filter_map(|s| figure(report, s)).collect()
}

fn figure(report: &Report, suite: &SuiteSummary) -> Option<Figure> {
    let metric = &suite.main_metric;
    let text = metric_text(metric, suite.n_unit);
    let selection = select(report, |row| metric_mark(report, row, &suite.name, metric, text.factor));
    let mut marks = selection.marks;
    if suite.no_signal {
        for mark in &mut marks {
            mark.look = Look::Grey;
        }
    }
    if marks.is_empty() {
        return None;
    }
    let levels: Vec<Level> =
        base_level(report, suite, &text).into_iter().chain(chance_level(suite, &text)).collect();
    let levels: Vec<Level> = levels.into_iter().chain(reference_levels(report, suite, &text)).collect();
    let mut values = heights(&marks);
    values
        .extend(levels.iter().flat_map(|l| [Some(l.y), l.band.map(|b| b.0), l.band.map(|b| b.1)]).flatten());
    let x = Axis::linear(BPW, &breadths(&marks), 1.0);
    let y = Axis::linear(&with_direction(&text.label, true), &values, 0.02 * text.factor);
    let mut notes: Vec<String> = caption(report, suite).into_iter().collect();
    notes.extend(reference_note(report, suite));
    notes.extend(not_shown(&selection.missing));
    notes.extend(unfinished(rows(report, &suite.name, metric)));
    notes.extend(origin(&report.about));
    let mut panel = Panel::new(x, y, marks);
    panel.levels = levels;
    Some(Figure {
        name: format!("bpw-{}", suite.name),
        title: capitalised(&title(suite, &text)),
        subtitle: legend(suite, &panel.levels),
        panels: vec![panel],
        notes,
    })
}

/// What is seen; of a composite without the names of its suites, which may be many.
fn title(suite: &SuiteSummary, text: &MetricText) -> String {
    let what =
        if suite.is_composite() { text.name.clone() } else { format!("{}: {}", suite.title, text.name) };
    format!("{what} by bits per weight")
}

/// Which suites a composite is of, why a suite is partial, and what bars, lines and bands are.
fn legend(suite: &SuiteSummary, levels: &[Level]) -> String {
    let mut legend = if suite.is_composite() { format!("{}. ", suite.title) } else { String::new() };
    if let Some(why) = partial(suite) {
        let _ = write!(legend, "{}. ", capitalised(&why));
    }
    legend.push_str("Bars: 95% intervals.");
    if levels.iter().any(|l| l.kind == LevelKind::Base) {
        let shaded = levels.iter().any(|l| l.band.is_some());
        legend.push_str(if shaded {
            " Dashed: the base, its own interval shaded."
        } else {
            " Dashed: the base."
        });
    }
    if levels.iter().any(|l| l.kind == LevelKind::Reference) {
        legend.push_str(" Dashed, with a name: another model.");
    }
    if levels.iter().any(|l| l.kind == LevelKind::Chance) {
        legend.push_str(" Dotted: chance.");
    }
    legend
}

/// Models that are not of the sweep, as published.
pub(super) fn references<'a>(
    report: &'a Report,
    suite: &'a SuiteSummary,
) -> impl Iterator<Item = &'a ReferencePoint> {
    let own = |point: &&ReferencePoint| {
        point.reference.suite == suite.name && point.reference.metric == suite.main_metric
    };
    report.costs.references.iter().filter(own).filter(|point| usable(Some(point.reference.value)).is_some())
}

fn reference_levels(report: &Report, suite: &SuiteSummary, text: &MetricText) -> Vec<Level> {
    let level = |point: &ReferencePoint| {
        let y = point.reference.value * text.factor;
        let mut label = wrap(&point.reference.model, NAME_EM, false, NARROW);
        label.push(format!("{y:.1}{}", text.suffix));
        Level { y, band: None, label, kind: LevelKind::Reference }
    };
    references(report, suite).map(level).collect()
}

/// Where the scores of models that are not of the sweep are from.
pub(super) fn reference_note(report: &Report, suite: &SuiteSummary) -> Option<String> {
    let told = |point: &ReferencePoint| {
        format!("{} ({}, {})", point.reference.model, point.reference.source, point.reference.date)
    };
    let all: Vec<String> = references(report, suite).map(told).collect();
    (!all.is_empty()).then(|| format!("As published, under another harness: {}.", all.join("; ")))
}

fn caption(report: &Report, suite: &SuiteSummary) -> Option<String> {
    let n = sample_size(rows(report, &suite.name, &suite.main_metric), suite.n_unit).map(|n| format!("{n}."));
    let guessed = if suite.chance.is_some() { "chance" } else { "0" };
    let warning = suite.no_signal.then(|| {
        format!("No signal: the base's own interval reaches {guessed}, so that differences here say nothing.")
    });
    let noise = report.choice_noise(&suite.name).and_then(|(moved, flips)| {
        let (moved, share) = (usable(moved.value)?, usable(flips.value)? * 100.0);
        Some(format!("Numeric noise of the base: ln p ±{moved:.4}, {share:.0}% of {} answers flip.", flips.n))
    });
    let parts: Vec<String> = n.into_iter().chain(noise).chain(warning).collect();
    if parts.is_empty() { None } else { Some(parts.join(" ")) }
}

fn base_level(report: &Report, suite: &SuiteSummary, text: &MetricText) -> Option<Level> {
    let row = report.metric(BASE, &suite.name, &suite.main_metric)?;
    let y = usable(row.value)? * text.factor;
    let band = interval(row).map(|(low, high)| (low * text.factor, high * text.factor));
    Some(Level {
        y,
        band,
        label: vec!["base".to_owned(), format!("{y:.1}{}", text.suffix)],
        kind: LevelKind::Base,
    })
}

fn chance_level(suite: &SuiteSummary, text: &MetricText) -> Option<Level> {
    let y = usable(suite.chance)? * text.factor;
    let label = vec!["chance".to_owned(), format!("{y:.1}{}", text.suffix)];
    Some(Level { y, band: None, label, kind: LevelKind::Chance })
}
