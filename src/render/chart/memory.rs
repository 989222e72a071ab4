//! `memory`: what each variant takes on disk and, at its peak, in memory, by size.

use super::axis::{Axis, size_unit};
use super::scatter::{Figure, Level, LevelKind, Look, Mark, Panel, breadths, heights};
use super::selection::{base, file_only, not_shown, select, usable};
use super::wording::{BPW, origin, with_direction};
use crate::analyze::report::{Report, VariantRow};
use crate::units::Bytes;

/// The figure, if any size was measured.
pub(super) fn figure(report: &Report) -> Option<Figure> {
    let selection = select(report, named_mark);
    if selection.marks.is_empty() {
        return None;
    }
    let mut marks = selection.marks;
    let files: Vec<Mark> = report
        .variants
        .iter()
        .filter(|v| marks.iter().any(|m| m.name == v.variant && m.look == Look::Solid))
        .filter_map(|v| file_mark(v).map(|m| Mark { name: String::new(), ..m }))
        .collect();
    marks.extend(files);
    let largest = heights(&marks).into_iter().fold(0.0, f64::max);
    let (unit, size) = size_unit(largest);
    for mark in &mut marks {
        mark.y /= size;
    }
    let levels = base(report).map(|v| base_levels(v, size)).unwrap_or_default();
    let mut values = heights(&marks);
    values.extend(levels.iter().map(|l| l.y));
    let x = Axis::linear(BPW, &breadths(&marks), 1.0);
    let y = Axis::from_zero(&with_direction(&format!("size, {unit}"), false), &values);
    let mut panel = Panel::new(x, y, marks);
    panel.legend = [(Look::Solid, "peak resident memory"), (Look::Second, "file")]
        .into_iter()
        .filter(|(look, _)| panel.marks.iter().any(|m| m.look == *look))
        .collect();
    let mut notes = vec!["Memory: peak resident set of the process that timed the variant.".to_owned()];
    if !levels.is_empty() {
        notes[0].push_str(" Dashed: the base.");
    }
    panel.levels = levels;
    let without_memory =
        |v: &&VariantRow| panel.marks.iter().any(|m| m.name == v.variant && m.look == Look::Second);
    notes.extend(file_only(report.variants.iter().filter(without_memory)));
    notes.extend(not_shown(&selection.missing));
    notes.extend(origin(&report.about));
    Some(Figure {
        name: "memory".to_owned(),
        title: "Memory and file size by bits per weight".to_owned(),
        subtitle: report.about.machine.clone(),
        panels: vec![panel],
        notes,
    })
}

fn bytes(count: Option<u64>) -> Option<f64> {
    count.map(|b| b as f64)
}

/// The mark that carries the name: the memory's, or the file's if no memory was measured.
fn named_mark(row: &VariantRow) -> Result<Mark, String> {
    let y = bytes(row.peak_rss_bytes);
    let x = usable(row.bpw).ok_or_else(String::new)?;
    y.map(|y| Mark::new(&row.variant, x, y)).or_else(|| file_mark(row)).ok_or_else(String::new)
}

fn file_mark(row: &VariantRow) -> Option<Mark> {
    let mut mark = Mark::new(&row.variant, usable(row.bpw)?, bytes(row.file_bytes)?);
    mark.look = Look::Second;
    Some(mark)
}

fn base_levels(row: &VariantRow, size: f64) -> Vec<Level> {
    let level = |what: &str, count: Option<u64>| {
        let count = count?;
        let label = vec![what.to_owned(), Bytes(count).to_string()];
        Some(Level { y: count as f64 / size, band: None, label, kind: LevelKind::Base })
    };
    [level("base, memory", row.peak_rss_bytes), level("base, file", row.file_bytes)]
        .into_iter()
        .flatten()
        .collect()
}
