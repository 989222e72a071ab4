//! `early-signs`: what changes in the answers before their accuracy does: how many can be read as what was asked for, how
//! many are cut off or run in circles, how long they are. A panel a sign, each the mean over the suites that have it.

use super::axis::Axis;
use super::scatter::{Figure, Level, LevelKind, Mark, Panel, heights};
use super::selection::{BASE, not_shown, usable};
use super::wording::{BPW, origin, partial_sets};
use crate::analyze::report::{ComparisonRow, Report, VariantRow};
use crate::stats::{Estimate, mean_of_independent};

/// A sign: its metric, and what its panel is called.
const SIGNS: [(&str, &str); 5] = [
    ("well_formed", "answers that can be read as calls or programs"),
    ("invalid_calls", "calls that cannot be carried out"),
    ("cut_off", "answers cut off at the token limit"),
    ("loops", "answers that ran in circles"),
    ("answer_tokens", "tokens of an answer"),
];
/// The sign that is no share: shown as a change in per cent of the base's.
const LENGTH: &str = "answer_tokens";

/// The figure, if a variant has answers that can be compared.
pub(super) fn figure(report: &Report) -> Option<Figure> {
    let found: Vec<(&str, &str, Vec<Mark>)> =
        SIGNS.into_iter().map(|(sign, what)| (sign, what, marks(report, sign))).collect();
    let shown: Vec<(&str, &str, Vec<Mark>)> =
        found.into_iter().filter(|(_, _, marks)| !marks.is_empty()).collect();
    let x: Vec<f64> = shown.iter().flat_map(|(_, _, marks)| marks).map(|mark| mark.x).collect();
    if x.is_empty() {
        return None;
    }
    let panels = shown.into_iter().map(|(sign, what, marks)| panel(report, (sign, what), marks, &x));
    let mut notes = vec![
        "Variant minus base, the mean of the suites named, on the items both have. Bars: 95% intervals of the paired \
         difference."
            .to_owned(),
    ];
    notes.extend(not_shown(&missing(report)));
    notes.extend(partial_sets(
        shown_suites(report).into_iter().filter(|name| report.partial_suites().contains(name)),
    ));
    notes.extend(origin(&report.about));
    Some(Figure {
        name: "early-signs".to_owned(),
        title: "Early signs: how the answers change by bits per weight".to_owned(),
        subtitle: "What moves here while accuracy stands still is a warning.".to_owned(),
        panels: panels.collect(),
        notes,
    })
}

fn panel(report: &Report, (sign, what): (&str, &str), marks: Vec<Mark>, x: &[f64]) -> Panel {
    let unit = if sign == LENGTH { "change in %" } else { "change in percentage points" };
    let label = format!("{what}, {unit} ({})", suites(report, sign).join(", "));
    let mut y = heights(&marks);
    y.push(0.0);
    let mut panel = Panel::new(Axis::linear(BPW, x, 1.0), Axis::linear(&label, &y, 2.0), marks);
    panel.lines = vec![panel.marks.iter().map(|mark| (mark.x, mark.y)).collect()];
    panel.levels = vec![Level { y: 0.0, band: None, label: Vec::new(), kind: LevelKind::Base }];
    panel
}

/// Suites that have any of the signs.
fn shown_suites(report: &Report) -> Vec<&str> {
    SIGNS.iter().flat_map(|(sign, _)| suites(report, sign)).collect()
}

/// Suites that have a sign for the base and that some variant can be compared on.
fn suites<'a>(report: &'a Report, sign: &str) -> Vec<&'a str> {
    let has = |suite: &&str| {
        report.comparisons.iter().any(|row| row.suite == **suite && row.metric == sign && row.delta.is_some())
    };
    report.suites.iter().map(|suite| suite.name.as_str()).filter(has).collect()
}

fn marks(report: &Report, sign: &str) -> Vec<Mark> {
    let suites = suites(report, sign);
    let own = report.variants.iter().filter(|variant| variant.variant != BASE);
    let mut marks: Vec<Mark> = own.filter_map(|variant| mark(report, variant, &suites, sign)).collect();
    marks.sort_by(|a, b| a.x.total_cmp(&b.x));
    marks
}

/// Nothing unless all suites have it, since a mean over others would be another quantity.
fn mark(report: &Report, variant: &VariantRow, suites: &[&str], sign: &str) -> Option<Mark> {
    let changes: Option<Vec<Estimate>> =
        suites.iter().map(|suite| change(report, &variant.variant, suite, sign)).collect();
    let mean = mean_of_independent(&changes?)?;
    let mut mark = Mark::new("", usable(variant.bpw)?, usable(Some(mean.point))?);
    mark.bar = usable(Some(mean.interval.0)).zip(usable(Some(mean.interval.1)));
    Some(mark)
}

/// Variants that lack a point, and of which signs.
fn missing(report: &Report) -> Vec<(String, String)> {
    let shown = SIGNS.iter().map(|(sign, _)| (*sign, suites(report, sign)));
    let shown: Vec<(&str, Vec<&str>)> = shown.filter(|(_, suites)| !suites.is_empty()).collect();
    let variants = report.variants.iter().filter(|variant| variant.variant != BASE);
    let lacking = |variant: &VariantRow| -> Vec<&str> {
        let lacks = |(_, suites): &&(&str, Vec<&str>), sign| mark(report, variant, suites, sign).is_none();
        shown.iter().filter(|one| lacks(one, one.0)).map(|(sign, _)| *sign).collect()
    };
    variants
        .map(|variant| (variant.variant.clone(), lacking(variant).join(", ").replace('_', " ")))
        .filter(|(_, lacking)| !lacking.is_empty())
        .collect()
}

fn change(report: &Report, variant: &str, suite: &str, sign: &str) -> Option<Estimate> {
    let own = |row: &&ComparisonRow| row.variant == variant && row.suite == suite && row.metric == sign;
    let row = report.comparisons.iter().find(own)?;
    let scale = if sign == LENGTH { 100.0 / report.metric(BASE, suite, sign)?.value? } else { 100.0 };
    Some(Estimate::normal(row.delta? * scale, row.delta_stderr? * scale)).filter(|e| e.point.is_finite())
}
