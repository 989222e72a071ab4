//! `capabilities`: what is left of each capability, a panel each on the same scale, by bits per weight. What falls first
//! falls furthest to the right.

use std::collections::BTreeMap;

use super::axis::Axis;
use super::scatter::{Figure, Level, LevelKind, Mark, Panel};
use super::selection::{BASE, not_shown, usable};
use super::wording::{BPW, origin, partial_sets};
use crate::analyze::report::{CapabilityRow, Report, VariantRow};

/// Per cent that are always on the scale.
const SCALE: [f64; 2] = [0.0, 105.0];
/// Beyond these a bar goes on unseen: a suite at the floor may have an interval many times the scale.
const ENDS: (f64, f64) = (-15.0, 130.0);

/// The figure, if the sweep asked for a capability and a variant has an answer.
pub(super) fn figure(report: &Report) -> Option<Figure> {
    let mut names: Vec<&str> = Vec::new();
    for row in &report.capabilities {
        if !names.contains(&row.capability.as_str()) {
            names.push(&row.capability);
        }
    }
    let marks: BTreeMap<&str, Vec<Mark>> = names
        .iter()
        .map(|name| (*name, marks(report, name)))
        .filter(|(_, marks)| !marks.is_empty())
        .collect();
    let all: Vec<&Mark> = marks.values().flatten().collect();
    if all.is_empty() {
        return None;
    }
    let x: Vec<f64> = all.iter().map(|mark| mark.x).collect();
    let ends = all.iter().flat_map(|mark| [Some(mark.y), mark.bar.map(|b| b.0), mark.bar.map(|b| b.1)]);
    let mut y: Vec<f64> = ends.flatten().map(|y| y.clamp(ENDS.0, ENDS.1)).collect();
    y.extend(SCALE);
    let shown: Vec<&&str> = names.iter().filter(|name| marks.contains_key(*name)).collect();
    let panels = shown.iter().filter_map(|name| {
        let suites = report.capabilities.iter().find(|row| row.capability == ***name)?;
        Some(panel(name, &suites.suites, marks.get(**name)?.clone(), &x, &y))
    });
    let mut notes = vec![
        "100% is the base, 0 a guesser: (variant - chance) / (base - chance), the mean of the suites named, on the items \
         both have. Bars: 95% intervals of the paired ratio, cut off at the axis."
            .to_owned(),
    ];
    notes.extend(not_shown(&missing(report, &marks)));
    notes.extend(partial_sets(report.capabilities.iter().flat_map(|row| row.partial.split(' '))));
    notes.extend(left_out(report));
    notes.extend(origin(&report.about));
    Some(Figure {
        name: "capabilities".to_owned(),
        title: "What is left of each capability by bits per weight".to_owned(),
        subtitle: "The further right a panel's line leaves 100%, the sooner that capability falls."
            .to_owned(),
        panels: panels.collect(),
        notes,
    })
}

fn panel(capability: &str, suites: &str, marks: Vec<Mark>, x: &[f64], y: &[f64]) -> Panel {
    let label = format!("{}, % left ({})", capability.replace('_', " "), suites.replace(' ', ", "));
    let mut panel = Panel::new(Axis::linear(BPW, x, 1.0), Axis::linear(&label, y, 1.0), marks);
    panel.lines = vec![panel.marks.iter().map(|mark| (mark.x, mark.y)).collect()];
    let level = |y, kind| Level { y, band: None, label: Vec::new(), kind };
    panel.levels = vec![level(100.0, LevelKind::Base), level(0.0, LevelKind::Chance)];
    panel
}

/// Points by bpw, without names: there are as many panels as capabilities.
fn marks(report: &Report, capability: &str) -> Vec<Mark> {
    let own = report.capabilities.iter().filter(|row| row.capability == capability && row.variant != BASE);
    let mut marks: Vec<Mark> = own.filter_map(|row| mark(report, row)).collect();
    marks.sort_by(|a, b| a.x.total_cmp(&b.x));
    marks
}

fn mark(report: &Report, row: &CapabilityRow) -> Option<Mark> {
    let own = |variant: &&VariantRow| variant.variant == row.variant;
    let bpw = usable(report.variants.iter().find(own)?.bpw)?;
    let mut mark = Mark::new("", bpw, usable(row.retained)? * 100.0);
    let ends = usable(row.ci_low).zip(usable(row.ci_high));
    mark.bar = ends.map(|(low, high)| (low * 100.0, high * 100.0));
    Some(mark)
}

/// Variants that lack a point, and of which capabilities.
fn missing(report: &Report, marks: &BTreeMap<&str, Vec<Mark>>) -> Vec<(String, String)> {
    let has = |variant: &str, capability: &str| {
        let rows = || report.capabilities.iter().filter(|row| row.variant == variant);
        rows().any(|row| row.capability == capability && mark(report, row).is_some())
    };
    let variants = report.variants.iter().map(|row| row.variant.as_str()).filter(|name| *name != BASE);
    let lacking = |variant: &str| -> Vec<&str> {
        marks.keys().filter(|capability| !has(variant, capability)).copied().collect()
    };
    variants
        .map(|variant| (variant.to_owned(), lacking(variant).join(", ").replace('_', " ")))
        .filter(|(_, lacking)| !lacking.is_empty())
        .collect()
}

/// Suites that do not count, and why, as the first variant has it that lacks any.
fn left_out(report: &Report) -> Option<String> {
    let mut all: Vec<&str> = report.capabilities.iter().flat_map(|row| row.left_out.split("; ")).collect();
    all.retain(|note| !note.is_empty());
    all.sort_unstable();
    all.dedup();
    (!all.is_empty()).then(|| format!("Left out: {}.", all.join("; ")))
}
