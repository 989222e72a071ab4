//! `speed-depth` and `speed-parallel`: what is left of a variant's speed with a full cache, and what several sequences
//! get together. A line a variant, drawn where a sweep measured more than the point that every sweep measures.

use super::axis::Axis;
use super::label::Point;
use super::scatter::{Figure, Look, Mark, Panel, heights};
use super::selection::{BASE, not_shown, usable};
use super::wording::{origin, with_direction};
use crate::analyze::report::{Report, SpeedRow};
use std::collections::BTreeSet;

/// A panel: which rows it shows, and of what.
struct Shown {
    kind: &'static str,
    what: &'static str,
    higher_is_better: bool,
}

const OF_DEPTH: [Shown; 3] = [
    Shown { kind: "tg", what: "generating N tokens, tokens/s", higher_is_better: true },
    Shown { kind: "pp", what: "reading a prompt of N tokens, tokens/s", higher_is_better: true },
    Shown { kind: "ttft", what: "time to the first token after a prompt of N, s", higher_is_better: false },
];
const OF_PARALLEL: [Shown; 2] = [
    Shown { kind: "parallel_tg", what: "generating N tokens each, tokens/s of all", higher_is_better: true },
    Shown {
        kind: "parallel_pp",
        what: "reading a prompt of N tokens each, tokens/s of all",
        higher_is_better: true,
    },
];

/// Room for names beyond the last point, as a share of the last value.
const NAMES: f64 = 1.3;

/// The figures there is more than one point for.
pub(super) fn figures(report: &Report) -> Vec<Figure> {
    let depth = Surface {
        name: "speed-depth",
        title: "Speed by tokens in the cache",
        axis: "tokens in the cache before a prompt or a generation begins",
        at: |row| f64::from(row.depth),
        kinds: &OF_DEPTH,
    };
    let parallel = Surface {
        name: "speed-parallel",
        title: "Throughput by sequences decoded together",
        axis: "sequences decoded together, each with a cache of its own",
        at: |row| f64::from(row.parallel),
        kinds: &OF_PARALLEL,
    };
    [depth, parallel].into_iter().filter_map(|surface| surface.figure(report)).collect()
}

/// One figure over one axis of the surface.
struct Surface {
    name: &'static str,
    title: &'static str,
    axis: &'static str,
    at: fn(&SpeedRow) -> f64,
    kinds: &'static [Shown],
}

impl Surface {
    fn figure(&self, report: &Report) -> Option<Figure> {
        let panels: Vec<Panel> = self.kinds.iter().filter_map(|kind| self.panel(report, kind)).collect();
        if panels.is_empty() {
            return None;
        }
        let depth = self.shallowest(report).filter(|depth| self.name == "speed-parallel" && *depth > 0);
        let depth = depth.map_or(String::new(), |depth| format!(" {depth} tokens in each cache."));
        let mut notes = vec![format!(
            "Mean of the samples; bars: one standard deviation either way, where it reaches beyond the mark.{depth}"
        )];
        notes.extend(not_shown(&self.missing(report)));
        notes.extend(origin(&report.about));
        let (name, title) = (self.name.to_owned(), self.title.to_owned());
        Some(Figure { name, title, subtitle: report.about.machine.clone(), panels, notes })
    }

    /// The least depth of the rows that are about several sequences.
    fn shallowest(&self, report: &Report) -> Option<u32> {
        let own = report.speed.iter().filter(|row| self.kinds.iter().any(|kind| kind.kind == row.kind));
        own.map(|row| row.depth).min()
    }

    /// Rows of a kind that lie on one line: the same tokens, and over sequences the same depth. Of several lengths the
    /// one that has most points is shown, then the longest.
    fn rows<'a>(&self, report: &'a Report, kind: &Shown) -> Vec<&'a SpeedRow> {
        let along_depth = self.name == "speed-depth";
        let depth = self.shallowest(report);
        let all = report.speed.iter().filter(|row| row.kind == kind.kind);
        let all: Vec<&SpeedRow> = all.filter(|row| along_depth || Some(row.depth) == depth).collect();
        let lengths: BTreeSet<u32> = all.iter().filter_map(|row| length(row)).collect();
        let count = |tokens: &u32| all.iter().filter(|row| length(row) == Some(*tokens)).count();
        let shown = lengths.iter().max_by_key(|tokens| (count(tokens), **tokens)).copied();
        all.into_iter().filter(|row| length(row) == shown).collect()
    }

    fn panel(&self, report: &Report, kind: &Shown) -> Option<Panel> {
        let rows = self.rows(report, kind);
        let tokens = rows.first().and_then(|row| length(row))?;
        let (mut marks, mut lines, mut steps) = (Vec::new(), Vec::new(), BTreeSet::new());
        for variant in report.variants.iter().map(|v| v.variant.as_str()) {
            let own = rows.iter().filter(|row| row.variant == variant);
            let mut line: Vec<Mark> = own.filter_map(|row| self.mark(row)).collect();
            line.sort_by(|a, b| a.x.total_cmp(&b.x));
            steps.extend(line.iter().map(|mark| mark.x as u64));
            if let Some(last) = line.last_mut() {
                variant.clone_into(&mut last.name);
            }
            lines.push(line.iter().map(|mark| (mark.x, mark.y)).collect::<Vec<Point>>());
            marks.extend(line);
        }
        let last = steps.last().filter(|_| steps.len() > 1)?;
        let x = Axis::from_zero(self.axis, &[*last as f64 * NAMES]);
        let what = kind.what.replace('N', &tokens.to_string());
        let y = Axis::from_zero(&with_direction(&what, kind.higher_is_better), &heights(&marks));
        let mut panel = Panel::new(x, y, marks);
        panel.lines = lines;
        if panel.marks.iter().any(|mark| mark.look == Look::Second) {
            panel.legend = vec![(Look::Second, "the base")];
        }
        Some(panel)
    }

    fn mark(&self, row: &SpeedRow) -> Option<Mark> {
        let y = usable(row.mean)?;
        let mut mark = Mark::new("", (self.at)(row), y);
        mark.bar = usable(row.sd).filter(|sd| *sd > 0.0).map(|sd| ((y - sd).max(0.0), y + sd));
        mark.look = if row.variant == BASE { Look::Second } else { Look::Solid };
        Some(mark)
    }

    /// Variants that lack a point of the lines shown, each with the first reason.
    fn missing(&self, report: &Report) -> Vec<(String, String)> {
        let mut missing: Vec<(String, String)> = Vec::new();
        for row in self.kinds.iter().flat_map(|kind| self.rows(report, kind)) {
            if usable(row.mean).is_none() && missing.iter().all(|(name, _)| *name != row.variant) {
                let at = (self.at)(row);
                missing.push((row.variant.clone(), format!("{} at {at}: {}", row.kind, row.status)));
            }
        }
        missing
    }
}

/// Tokens of a row's prompt or generation.
fn length(row: &SpeedRow) -> Option<u32> {
    row.prompt.or(row.generate)
}
