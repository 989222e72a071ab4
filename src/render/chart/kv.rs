//! `kv`: what quantizing the KV cache saves and costs, beside what quantizing the weights does: divergence from the base
//! by the memory of weights and cache together. Drawn when a sweep has a variant with another cache than f16.

use super::axis::{Axis, MIB};
use super::scatter::{Figure, Look, Panel, breadths, heights};
use super::selection::{BASE, metric_mark, not_shown, select, unfinished, usable};
use super::wording::{metric_text, origin, rows, sample_size, suite_line, with_direction};
use crate::analyze::report::{Report, VariantRow};

const METRIC: &str = "kld_mean";

/// Whether a variant is run with another KV cache than f16: its name says so.
fn has_own_cache(variant: &str) -> bool {
    variant.contains("/kv=")
}

/// The figure of the first text suite, if there is one and a variant has a KV cache of its own.
pub(super) fn figure(report: &Report) -> Option<Figure> {
    if !report.variants.iter().any(|v| has_own_cache(&v.variant)) {
        return None;
    }
    let suite = report.suites.iter().find(|s| rows(report, &s.name, METRIC).next().is_some())?;
    let selection = select(report, |row| {
        let mut mark = metric_mark(report, row, &suite.name, METRIC, 1.0)?;
        if mark.y <= 0.0 {
            return Err("not above 0".to_owned());
        }
        mark.x = memory(row).ok_or_else(|| "its memory is not measured".to_owned())?;
        mark.look = if has_own_cache(&row.variant) { Look::Second } else { Look::Solid };
        Ok(mark)
    });
    let marks = selection.marks;
    if marks.is_empty() {
        return None;
    }
    let text = metric_text(METRIC, suite.n_unit);
    let label = with_direction("weights and KV cache in memory, MiB", false);
    let x = Axis::linear(&label, &breadths(&marks), 1.0);
    let y = Axis::log(&with_direction(&format!("{}, log axis", text.label), false), &heights(&marks));
    let mut panel = Panel::new(x, y, marks);
    panel.legend = [(Look::Solid, "KV cache in f16"), (Look::Second, "KV cache quantized")]
        .into_iter()
        .filter(|(look, _)| panel.marks.iter().any(|m| m.look == *look))
        .collect();
    let shown_rows = || rows(report, &suite.name, METRIC).filter(|m| m.variant != BASE);
    let n = sample_size(shown_rows(), suite.n_unit).map(|n| format!("{n}. ")).unwrap_or_default();
    let mut notes = vec![format!(
        "{n}Cache of the 512 tokens of the speed trial; it grows with the context. Bars: 95% intervals."
    )];
    notes.extend(not_shown(&selection.missing));
    notes.extend(unfinished(shown_rows()));
    notes.extend(origin(&report.about));
    Some(Figure {
        name: "kv".to_owned(),
        title: "Divergence from the base model by memory of weights and KV cache".to_owned(),
        subtitle: suite_line(suite),
        panels: vec![panel],
        notes,
    })
}

/// MiB of llama.cpp's buffers for weights and cache.
fn memory(row: &VariantRow) -> Option<f64> {
    let bytes = row.model_buffer_bytes? + row.context_buffer_bytes?;
    usable(Some(bytes as f64 / MIB))
}
