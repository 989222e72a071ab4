//! `change` and `flips`: what every variant has lost or won on every suite, against the base on the same items, and how many
//! answers flipped for it. What two points of loss and ten of flips have in common is that only one of them is seen in a
//! table of scores.

use super::grid::{Cell, Grid, shade};
use super::selection::BASE;
use super::theme::{MARK, SECOND};
use super::wording::{origin, partial_sets};
use crate::analyze::report::{ComparisonRow, Report, SuiteSummary};

/// A change of so many points has the full colour.
const FULL_CHANGE: f64 = 10.0;
/// A share of so many flips has, in percent.
const FULL_FLIPS: f64 = 25.0;
/// Level of what counts as shown, corrected for the table.
const LEVEL: f64 = 0.05;

/// The figures, if answers were compared.
pub(super) fn grids(report: &Report) -> Vec<Grid> {
    [change(report), flips(report)].into_iter().flatten().collect()
}

/// Suites of questions, and the variants.
fn suites(report: &Report) -> impl Iterator<Item = &SuiteSummary> {
    report.suites.iter().filter(|suite| suite.n_unit == "items")
}

fn comparison<'a>(report: &'a Report, variant: &str, suite: &SuiteSummary) -> Option<&'a ComparisonRow> {
    report.comparison(variant, &suite.name, &suite.main_metric)
}

/// A column for each variant; nothing if no cell of them has a number.
fn columns(
    report: &Report,
    suites: &[&SuiteSummary],
    cell: impl Fn(&ComparisonRow, &SuiteSummary) -> Option<Cell>,
) -> Option<Vec<(String, Vec<Option<Cell>>)>> {
    let variants = report.variants.iter().filter(|variant| variant.variant != BASE);
    let column = |name: &str| {
        let of = |suite: &&SuiteSummary| cell(comparison(report, name, suite)?, suite);
        (name.to_owned(), suites.iter().map(of).collect::<Vec<_>>())
    };
    let columns: Vec<_> = variants.map(|variant| column(&variant.variant)).collect();
    columns.iter().any(|(_, cells)| cells.iter().any(Option::is_some)).then_some(columns)
}

/// Names of suites; one that tells nothing says so.
fn named(suite: &SuiteSummary) -> String {
    if suite.no_signal { format!("{} (no signal)", suite.name) } else { suite.name.clone() }
}

fn change(report: &Report) -> Option<Grid> {
    let suites: Vec<&SuiteSummary> = suites(report).collect();
    let columns = columns(report, &suites, |row, _| {
        let points = row.delta.filter(|d| d.is_finite())? * 100.0;
        let hue = if points < 0.0 { SECOND } else { MARK };
        // By Holm where there is a p; the composite has only its interval.
        let is_shown = match row.p_holm.or(row.p) {
            Some(p) => p <= LEVEL,
            None => matches!(row.shown.as_str(), "worse" | "better"),
        };
        Some(Cell {
            words: if points.abs() < 0.05 { "0".to_owned() } else { format!("{points:+.1}") },
            color: shade(hue, points.abs() / FULL_CHANGE),
            is_framed: is_shown,
        })
    })?;
    let legend =
        [(SECOND, 1.0, "-10 points or worse"), (SECOND, 0.3, "-3"), (MARK, 0.3, "+3"), (MARK, 1.0, "+10")];
    Some(Grid {
        name: "change".to_owned(),
        title: "What was lost and won: scores against the base".to_owned(),
        subtitle: "Percentage points on each suite's main metric, variant minus base on the same items."
            .to_owned(),
        columns,
        down: suites.iter().map(|suite| named(suite)).collect(),
        legend: legend.into_iter().map(|(hue, share, words)| (shade(hue, share), words.to_owned())).collect(),
        framed: "shown: p < .05 over the whole table".to_owned(),
        notes: notes(
            report,
            &suites,
            "Exact McNemar or paired t tests, corrected by Holm over all cells; the composite by its interval.",
        ),
    })
}

fn flips(report: &Report) -> Option<Grid> {
    let has_flips = |suite: &&SuiteSummary| {
        report.variants.iter().any(|v| {
            comparison(report, &v.variant, suite).is_some_and(|row| row.flips_lost.is_some() && row.n > 0)
        })
    };
    let suites: Vec<&SuiteSummary> = suites(report).filter(has_flips).collect();
    let columns = columns(report, &suites, |row, _| {
        let (lost, won) = (row.flips_lost? as f64, row.flips_won? as f64);
        let percent = |count: f64| 100.0 * count / row.n as f64;
        let share = percent(lost + won);
        (row.n > 0).then(|| Cell {
            words: format!("{:.0}/{:.0}", percent(lost), percent(won)),
            color: shade(MARK, share / FULL_FLIPS),
            is_framed: false,
        })
    })?;
    let legend = [(0.0, "none"), (0.4, "10% flipped"), (0.8, "20%"), (1.0, "25% or more")];
    Some(Grid {
        name: "flips".to_owned(),
        title: "Answers that flipped against the base".to_owned(),
        subtitle: "Percent of the items: right with the base and wrong with the variant / the reverse."
            .to_owned(),
        columns,
        down: suites.iter().map(|suite| named(suite)).collect(),
        legend: legend.into_iter().map(|(share, words)| (shade(MARK, share), words.to_owned())).collect(),
        framed: String::new(),
        notes: notes(report, &suites, "Scores that stand still may hide flips both ways (arXiv 2407.09141)."),
    })
}

fn notes(report: &Report, suites: &[&SuiteSummary], how: &str) -> Vec<String> {
    let items =
        |row: &ComparisonRow| row.metric != "mean_score" && row.delta.is_some() && row.flips_lost.is_some();
    let n: Vec<u64> = report.comparisons.iter().filter(|row| items(row)).map(|row| row.n).collect();
    let n = match (n.iter().min(), n.iter().max()) {
        (Some(least), Some(most)) if least == most => format!("n = {least} items a suite. "),
        (Some(least), Some(most)) => format!("n = {least} to {most} items a suite. "),
        _ => String::new(),
    };
    let mut notes = vec![format!("{n}{how}")];
    let shown = suites.iter().map(|suite| suite.name.as_str());
    notes.extend(partial_sets(shown.filter(|name| report.partial_suites().contains(name))));
    notes.extend(origin(&report.about));
    notes
}
