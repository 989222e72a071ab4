//! `speed-bytes`: how fast each variant generates by the bytes of its file. Every weight is read once a token, so that
//! memory sets a limit that falls with the bytes; what lies far under it spends its time on computing.

use super::axis::{Axis, short, size_unit};
use super::scatter::{Curve, Figure, Look, Mark, Panel, Stroke, breadths, heights};
use super::selection::{BASE, not_shown, select, usable};
use super::wording::{origin, with_direction};
use crate::analyze::report::{Report, VariantRow};

/// Points of the limit.
const POINTS: u32 = 64;

/// The figure, if any variant was timed.
pub(super) fn figure(report: &Report) -> Option<Figure> {
    let selection = select(report, |row| mark(row).ok_or_else(String::new));
    let base = report.variants.iter().find(|row| row.variant == BASE).and_then(mark);
    let base = base.map(|mark| Mark { look: Look::Second, ..mark });
    let mut marks: Vec<Mark> = selection.marks.into_iter().chain(base).collect();
    if marks.len() < 2 {
        return None;
    }
    // The most that any of them read in a second: memory yields at least that.
    let fastest = marks.iter().max_by(|a, b| (a.x * a.y).total_cmp(&(b.x * b.y)))?;
    let (bandwidth, whose) = (fastest.x * fastest.y, fastest.name.clone());
    let (unit, size) = size_unit(breadths(&marks).into_iter().fold(0.0, f64::max));
    for mark in &mut marks {
        mark.x /= size;
    }
    let (x, tops) = (breadths(&marks), heights(&marks));
    let top = tops.iter().copied().fold(0.0, f64::max) * 1.25;
    let ends = (x.iter().copied().fold(f64::MAX, f64::min), x.iter().copied().fold(0.0, f64::max));
    let step = |n: u32| ends.0 * 0.8 * (ends.1 / ends.0 * 1.4).powf(f64::from(n) / f64::from(POINTS));
    let limit = (0..=POINTS).map(step).map(|x| (x, bandwidth / size / x)).filter(|(_, y)| *y <= top);
    let limit: Vec<(f64, f64)> = limit.collect();
    let across: Vec<f64> = x.into_iter().chain(limit.iter().map(|(x, _)| *x)).collect();
    let up: Vec<f64> = tops.into_iter().chain([top]).collect();
    let label = with_direction("generating 128 tokens (tg128), tokens/s", true);
    let mut panel = Panel::new(
        Axis::from_zero(&format!("file size, {unit}"), &across),
        Axis::from_zero(&label, &up),
        marks,
    );
    panel.curves = vec![Curve { points: limit, kind: Stroke::Quiet }];
    panel.legend = vec![
        (Look::Line(Stroke::Quiet), "reading the file once a token at the best rate"),
        (Look::Solid, "variant"),
    ];
    if panel.marks.iter().any(|mark| mark.look == Look::Second) {
        panel.legend.push((Look::Second, "the base"));
    }
    let mut notes = vec![format!(
        "The line is {} GB/s, the most that was read here, by {whose}: memory allows at least that. Variants far under it \
         are held up by computing, such as unpacking weights, and not by their bytes.",
        short(bandwidth / 1e9)
    )];
    notes.extend(not_shown(&selection.missing));
    notes.extend(origin(&report.about));
    Some(Figure {
        name: "speed-bytes".to_owned(),
        title: "Speed by size: what memory allows, and what is left of it".to_owned(),
        subtitle: report.about.machine.clone(),
        panels: vec![panel],
        notes,
    })
}

fn mark(row: &VariantRow) -> Option<Mark> {
    let bytes = row.file_bytes.filter(|bytes| *bytes > 0)? as f64;
    let speed = usable(row.tg128_tps).filter(|speed| *speed > 0.0)?;
    let mut mark = Mark::new(&row.variant, bytes, speed);
    mark.bar = usable(row.tg128_tps_sd).filter(|sd| *sd > 0.0).map(|sd| ((speed - sd).max(0.0), speed + sd));
    Some(mark)
}
