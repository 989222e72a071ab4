//! Which variants have a point in a figure, and why the others have not.

use crate::analyze::foreign::FOREIGN;
use crate::analyze::report::{MetricRow, Report, VariantRow};

use super::scatter::{Look, Mark};

/// Name of the variant that all others are compared with.
pub(super) const BASE: &str = "base";

/// The points of a panel and the variants without one.
pub(super) struct Selection {
    /// Points in plan order, base left out.
    pub marks: Vec<Mark>,
    /// Names and reasons of the variants that have no point.
    pub missing: Vec<(String, String)>,
}

/// A value that can be drawn. Absurdly large or small ones would leave no digits for the rest of the axis.
pub(super) fn usable(value: Option<f64>) -> Option<f64> {
    value.filter(|v| *v == 0.0 || (1e-15..1e15).contains(&v.abs()))
}

/// Every variant but the base: `mark` makes its point, or says why there is none (empty: ask the status).
pub(super) fn select(report: &Report, mark: impl Fn(&VariantRow) -> Result<Mark, String>) -> Selection {
    let mut selection = Selection { marks: Vec::new(), missing: Vec::new() };
    for row in report.variants.iter().filter(|v| v.variant != BASE) {
        match mark(row) {
            Ok(mark) if row.is_foreign() => selection.marks.push(Mark { look: Look::Second, ..mark }),
            Ok(mark) => selection.marks.push(mark),
            // Nobody asked it of another program.
            Err(_) if row.is_foreign() => {}
            Err(reason) => {
                let reason = if reason.is_empty() { status_of(row) } else { reason };
                selection.missing.push((row.variant.clone(), reason));
            }
        }
    }
    selection
}

/// A point at the variant's bpw and its value of a metric, with the 95% interval as its bar.
pub(super) fn metric_mark(
    report: &Report,
    row: &VariantRow,
    suite: &str,
    metric: &str,
    factor: f64,
) -> Result<Mark, String> {
    let found =
        report.metrics.iter().find(|m| m.variant == row.variant && m.suite == suite && m.metric == metric);
    let unfinished = found.map(|m| m.status.clone()).filter(|s| s != "done").unwrap_or_default();
    let value = found.and_then(|m| usable(m.value)).ok_or(unfinished)?;
    let x = usable(row.bpw).ok_or_else(|| "no measured bpw".to_owned())?;
    let mut mark = Mark::new(&row.variant, x, value * factor);
    mark.bar = found.and_then(interval).map(|(low, high)| (low * factor, high * factor));
    Ok(mark)
}

/// The 95% interval of a row, if it has one.
pub(super) fn interval(row: &MetricRow) -> Option<(f64, f64)> {
    Some((usable(row.ci_low)?, usable(row.ci_high)?)).filter(|(low, high)| low <= high)
}

/// The base's row.
pub(super) fn base(report: &Report) -> Option<&VariantRow> {
    report.variants.iter().find(|v| v.variant == BASE)
}

/// `Not shown: Q3_K_S (crashed)`, or nothing.
pub(super) fn not_shown(missing: &[(String, String)]) -> Option<String> {
    named("Not shown", missing.iter().map(|(name, reason)| (name.as_str(), reason.clone())))
}

/// `File only: Q3_K_S (crashed)`, or nothing.
pub(super) fn file_only<'a>(rows: impl Iterator<Item = &'a VariantRow>) -> Option<String> {
    named("File only", rows.map(|row| (row.variant.as_str(), status_of(row))))
}

/// `From unfinished trials: Q2_K (timed_out)`: values that will still move, or nothing.
pub(super) fn unfinished<'a>(rows: impl Iterator<Item = &'a MetricRow>) -> Option<String> {
    named(
        "From unfinished trials",
        rows.filter(|m| m.status != "done" && m.status != FOREIGN)
            .map(|m| (m.variant.as_str(), m.status.clone())),
    )
}

fn named<'a>(heading: &str, variants: impl Iterator<Item = (&'a str, String)>) -> Option<String> {
    let list: Vec<String> = variants.map(|(name, reason)| format!("{name} ({reason})")).collect();
    if list.is_empty() { None } else { Some(format!("{heading}: {}.", list.join(", "))) }
}

fn status_of(row: &VariantRow) -> String {
    if row.status.is_empty() || row.status == "done" { "no value".to_owned() } else { row.status.clone() }
}
