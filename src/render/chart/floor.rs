//! The noise floor in figures of divergences: a labelled line, and what stands at or under it.

use super::axis::short;
use super::scatter::{Level, LevelKind, Look, Mark, Panel};
use super::selection::usable;
use crate::analyze::report::{MetricRow, Report};

/// The floor of a suite, if it was measured.
pub(super) struct Floor<'a> {
    row: &'a MetricRow,
    report: &'a Report,
}

impl<'a> Floor<'a> {
    /// The floor of a suite for figures of this metric; only the mean divergence has one.
    pub fn of(report: &'a Report, suite: &str, metric: &str) -> Option<Self> {
        let row = report.noise_floor(suite).filter(|_| metric == "kld_mean")?;
        Some(Self { row, report })
    }

    /// Its line. A log axis has no place for a floor of 0.
    pub fn level(&self) -> Option<Level> {
        let y = usable(self.row.value).filter(|y| *y > 0.0)?;
        let label = vec!["noise".to_owned(), "floor".to_owned(), short(y)];
        Some(Level { y, band: None, label, kind: LevelKind::Floor })
    }

    /// Whether a variant cannot be told from the base.
    pub fn hides(&self, mark: &Mark) -> bool {
        self.report.is_indistinguishable(&mark.name, &self.row.suite)
    }

    /// For the caption: what the line is, and who does not rise above it.
    pub fn note(&self, marks: &[Mark]) -> String {
        let hidden: Vec<&str> = marks.iter().filter(|m| self.hides(m)).map(|m| m.name.as_str()).collect();
        let line = match self.level() {
            Some(_) => "Dotted: the noise floor, the base against itself in another batch shape.",
            None => "The noise floor is 0: in another batch shape the base is the same to the bit.",
        };
        match hidden.as_slice() {
            [] => line.to_owned(),
            names => format!("{line} Indistinguishable from the base: {}.", names.join(", ")),
        }
    }
}

/// Draws those as rings that cannot be told from the base, and says so.
pub(super) fn mark_hidden(floor: Option<&Floor<'_>>, panel: &mut Panel) {
    for mark in &mut panel.marks {
        if floor.is_some_and(|floor| floor.hides(mark)) {
            mark.look = Look::Open;
        }
    }
    if panel.marks.iter().any(|m| m.look == Look::Open) {
        panel.legend = vec![(Look::Open, "indistinguishable from the base")];
    }
}
