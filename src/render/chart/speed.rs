//! `speed`: how fast each variant generates and reads, by size.

use super::axis::{Axis, short};
use super::scatter::{Figure, Level, LevelKind, Mark, Panel, breadths, heights};
use super::selection::{Selection, base, not_shown, select, usable};
use super::wording::{BPW, origin, with_direction};
use crate::analyze::report::{Report, VariantRow};

/// A kind of speed: how its axis is called, and its mean and standard deviation.
struct Kind {
    name: &'static str,
    label: &'static str,
    mean: fn(&VariantRow) -> Option<f64>,
    sd: fn(&VariantRow) -> Option<f64>,
}

const KINDS: [Kind; 2] = [
    Kind {
        name: "tg128",
        label: "generating 128 tokens (tg128), tokens/s",
        mean: |v| v.tg128_tps,
        sd: |v| v.tg128_tps_sd,
    },
    Kind {
        name: "pp512",
        label: "reading a 512-token prompt (pp512), tokens/s",
        mean: |v| v.pp512_tps,
        sd: |v| v.pp512_tps_sd,
    },
];

/// The figure, if any speed was measured.
pub(super) fn figure(report: &Report) -> Option<Figure> {
    let (mut panels, mut missing) = (Vec::new(), Vec::new());
    for kind in &KINDS {
        let Selection { marks, missing: without } = select(report, |row| mark(kind, row));
        if !marks.is_empty() {
            panels.push(panel(kind, report, marks));
            missing.push((kind.name, without));
        }
    }
    if panels.is_empty() {
        return None;
    }
    let bars =
        "Mean of the samples; bars: one standard deviation either way, where it reaches beyond the mark.";
    let dashed = if panels.iter().any(|p| !p.levels.is_empty()) { " Dashed: the base." } else { "" };
    let mut notes = vec![format!("{bars}{dashed}")];
    match missing.as_slice() {
        [(_, first), (_, second)] if first != second => {
            let lists =
                missing.iter().filter_map(|(name, list)| Some(format!("{name}: {}", not_shown(list)?)));
            notes.extend(lists);
        }
        lists => notes.extend(lists.first().and_then(|(_, list)| not_shown(list))),
    }
    notes.extend(origin(&report.about));
    Some(Figure {
        name: "speed".to_owned(),
        title: "Speed by bits per weight".to_owned(),
        subtitle: report.about.machine.clone(),
        panels,
        notes,
    })
}

fn mark(kind: &Kind, row: &VariantRow) -> Result<Mark, String> {
    let y = usable((kind.mean)(row)).ok_or_else(String::new)?;
    let x = usable(row.bpw).ok_or_else(|| "no measured bpw".to_owned())?;
    let mut mark = Mark::new(&row.variant, x, y);
    mark.bar = usable((kind.sd)(row)).filter(|sd| *sd > 0.0).map(|sd| ((y - sd).max(0.0), y + sd));
    Ok(mark)
}

fn panel(kind: &Kind, report: &Report, marks: Vec<Mark>) -> Panel {
    let level = base(report).and_then(|v| usable((kind.mean)(v))).map(|y| Level {
        y,
        band: None,
        label: vec!["base".to_owned(), short(y)],
        kind: LevelKind::Base,
    });
    let mut values = heights(&marks);
    values.extend(level.iter().map(|l| l.y));
    let x = Axis::linear(BPW, &breadths(&marks), 1.0);
    let mut panel = Panel::new(x, Axis::from_zero(&with_direction(kind.label, true), &values), marks);
    panel.levels.extend(level);
    panel
}
