//! The page's tables, cell by cell: what is read, and what it is sorted by.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde::Serialize;

use crate::analyze::Report;
use crate::analyze::report::{ComparisonRow, SuiteSummary, VariantRow};
use crate::units::Bytes;

/// Most rows of a table: with more a page is slow to open.
const MOST_ROWS: usize = 4_000;

/// A table of the page.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Table {
    /// Its place in the page.
    pub id: &'static str,
    pub title: &'static str,
    /// What one must know to read it.
    pub note: String,
    /// The file that has all of it.
    pub file: &'static str,
    pub columns: Vec<Column>,
    pub rows: Vec<Row>,
}

/// The head of a column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Column {
    pub title: String,
    /// What stands in it.
    pub means: String,
    pub is_number: bool,
    /// The suite that it is of; empty for others.
    pub suite: String,
}

/// A line of a table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Row {
    /// Variant, by which it is filtered; empty where it is of none.
    pub variant: String,
    /// Suite, by which it is filtered; empty where it is of none.
    pub suite: String,
    /// Not of a main metric: shown when asked for.
    pub is_minor: bool,
    pub cells: Vec<Cell>,
}

/// A cell of a table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Cell {
    pub text: String,
    /// What it is sorted by, of numbers.
    pub key: Option<f64>,
    /// `good`, `bad`, or empty.
    pub look: &'static str,
}

/// Every table that has rows.
pub(super) fn all(report: &Report) -> Vec<Table> {
    let tables = [summary(report), comparisons(report), cliffs(report), costs(report), unfinished(report)];
    tables.into_iter().filter(|table| !table.rows.is_empty()).collect()
}

fn column(title: impl Into<String>, means: impl Into<String>, is_number: bool) -> Column {
    Column { title: title.into(), means: means.into(), is_number, suite: String::new() }
}

fn text(text: impl Into<String>) -> Cell {
    Cell { text: text.into(), key: None, look: "" }
}

/// A number by the way it is written; nothing where there is none.
fn number(value: Option<f64>, written: impl Fn(f64) -> String) -> Cell {
    let value = value.filter(|v| v.is_finite());
    Cell { text: value.map_or(String::new(), written), key: value, look: "" }
}

fn count(value: Option<u64>) -> Cell {
    number(value.map(|n| n as f64), |n| format!("{n:.0}"))
}

fn size(value: Option<u64>) -> Cell {
    number(value.map(|n| n as f64), |n| Bytes(n as u64).to_string())
}

/// With so many digits that small numbers stay apart.
pub(super) fn digits(value: f64) -> String {
    format!("{value:.*}", places(value))
}

/// Digits after the point.
fn places(value: f64) -> usize {
    match value.abs() {
        v if v >= 1000.0 => 0,
        v if v >= 100.0 => 1,
        v if v >= 10.0 => 2,
        v if !(5e-7..0.1).contains(&v) => SHARE,
        v if v >= 0.001 => 5,
        _ => 7,
    }
}

/// Digits after the point of what lies between 0 and 1.
const SHARE: usize = 3;

/// Dollars, small ones to the cent of a cent.
fn dollars(value: f64) -> String {
    if value >= 1.0 { format!("${value:.2}") } else { format!("${value:.4}") }
}

fn summary(report: &Report) -> Table {
    let mut columns = vec![
        column("Variant", "the base model and what was made of it", false),
        column("bpw", "bits per weight, measured from the file", true),
        column("File", "size of the file", true),
        column("Peak memory", "peak resident memory of the worker that was timed", true),
        column("pp512", "tokens a second reading a prompt of 512 tokens", true),
        column("tg128", "tokens a second generating 128 tokens", true),
        column("Frontier", "no other variant is as small and as good", false),
    ];
    columns.extend(report.suites.iter().map(|suite| Column {
        title: format!("{} {}", suite.name, suite.main_metric),
        means: format!("{} ({}), with half of its 95% interval", suite.title, better(suite)),
        is_number: true,
        suite: suite.name.clone(),
    }));
    columns.push(column("Status", "done, or what is not", false));
    let row = |variant: &VariantRow| {
        let mut cells = vec![
            text(&variant.variant),
            number(variant.bpw, |bpw| format!("{bpw:.2}")),
            size(variant.file_bytes),
            size(variant.peak_rss_bytes),
            number(variant.pp512_tps, |tps| format!("{tps:.1}")),
            number(variant.tg128_tps, |tps| format!("{tps:.1}")),
            text(if report.on_frontier(&variant.variant) == Some(true) { "yes" } else { "" }),
        ];
        cells.extend(report.suites.iter().map(|suite| score(report, &variant.variant, suite)));
        let is_done = variant.status == "done";
        cells.push(Cell { look: if is_done { "" } else { "bad" }, ..text(&variant.status) });
        Row { variant: variant.variant.clone(), suite: String::new(), is_minor: false, cells }
    };
    Table {
        id: "summary",
        title: "Summary",
        note: "Each suite's main metric, with half the width of its 95% interval.".to_owned(),
        file: "summary.csv",
        rows: report.variants.iter().map(row).collect(),
        columns,
    }
}

fn better(suite: &SuiteSummary) -> &'static str {
    if suite.higher_is_better { "higher is better" } else { "lower is better" }
}

fn score(report: &Report, variant: &str, suite: &SuiteSummary) -> Cell {
    let Some(row) = report.metric(variant, &suite.name, &suite.main_metric) else { return text("") };
    let half = row.ci_low.zip(row.ci_high).map(|(low, high)| (high - low) / 2.0);
    let written = |value: f64| {
        let digits = if suite.higher_is_better { SHARE } else { places(value) };
        half.map_or(format!("{value:.digits$}"), |half| format!("{value:.digits$} ±{half:.digits$}"))
    };
    number(row.value, written)
}

fn comparisons(report: &Report) -> Table {
    let columns = vec![
        column("Variant", "compared with the base on the same items", false),
        column("Suite", "the items", false),
        column("Metric", "what is compared", false),
        column("Difference", "variant minus base", true),
        column("95% interval", "of the difference, paired on items", true),
        column("Lost", "items that the base had right and the variant wrong", true),
        column("Won", "items that the base had wrong and the variant right", true),
        column("n", "items, or tokens of a text", true),
        column(
            "p (Holm)",
            "probability of such a difference by chance, corrected for all main comparisons",
            true,
        ),
        column("Detectable", "the smallest difference that so many items show with a power of 80%", true),
        column("Shown", "what the interval shows", false),
    ];
    let of_shares = report.metrics.iter().filter(|m| m.higher_is_better);
    let shares: BTreeSet<(&str, &str)> = of_shares.map(|m| (m.suite.as_str(), m.metric.as_str())).collect();
    let main: BTreeSet<(&str, &str)> =
        report.suites.iter().map(|s| (s.name.as_str(), s.main_metric.as_str())).collect();
    let row = |row: &ComparisonRow| {
        let metric = (row.suite.as_str(), row.metric.as_str());
        comparison(row, main.contains(&metric), shares.contains(&metric))
    };
    let all = report.comparisons.len();
    // Of very many those are shown that are looked at first.
    let is_shown =
        |row: &&ComparisonRow| all <= MOST_ROWS || main.contains(&(row.suite.as_str(), row.metric.as_str()));
    let rows: Vec<Row> = report.comparisons.iter().filter(is_shown).take(MOST_ROWS).map(row).collect();
    let mut note = "Paired on the items that both have. “open” means that so few items show neither that a variant is as \
                    good as the base nor that it is worse."
        .to_owned();
    if rows.len() < all {
        let _ =
            write!(note, " Here are the first {} of {all}, by main metrics; the file has all.", rows.len());
    }
    Table {
        id: "comparisons",
        title: "Comparisons with the base",
        note,
        file: "comparisons.csv",
        columns,
        rows,
    }
}

fn comparison(row: &ComparisonRow, is_main: bool, is_share: bool) -> Row {
    let signed = |value: f64| signed(value, if is_share { SHARE } else { places(value) });
    let interval = row.ci_low.zip(row.ci_high);
    let range = interval.map_or(String::new(), |(low, high)| format!("{} to {}", signed(low), signed(high)));
    let shown = if row.shown.is_empty() { &row.verdict } else { &row.shown };
    let look = match shown.as_str() {
        "worse" | "different" => "bad",
        "equal" | "better" | "indistinguishable" => "good",
        _ => "",
    };
    Row {
        variant: row.variant.clone(),
        suite: row.suite.clone(),
        is_minor: !is_main && row.metric != "kld_mean",
        cells: vec![
            text(&row.variant),
            text(&row.suite),
            text(&row.metric),
            number(row.delta, signed),
            Cell { key: interval.map(|(low, _)| low), ..text(range) },
            count(row.flips_lost),
            count(row.flips_won),
            count(Some(row.n)),
            number(row.p_holm, |p| if p < 0.001 { "< 0.001".to_owned() } else { format!("{p:.3}") }),
            number(row.detectable, |least| format!("{least:.SHARE$}")),
            Cell { look, ..text(shown) },
        ],
    }
}

fn signed(value: f64, digits: usize) -> String {
    let plain = format!("{value:.digits$}");
    if value > 0.0 { format!("+{plain}") } else { plain.replace('-', "−") }
}

fn cliffs(report: &Report) -> Table {
    let columns = vec![
        column("For", "a suite, a capability, or all together", false),
        column("Kind", "what it is", false),
        column("As good down to", "fewest bits shown to be within the tolerance of the base", false),
        column("bpw", "its bits per weight", true),
        column("Not worse down to", "fewest bits not shown to be worse", false),
        column("bpw", "its bits per weight", true),
        column("Falls off from", "most bits from which on down each is shown to be worse", false),
        column("bpw", "its bits per weight", true),
        column("n", "pairs of items", true),
        column("Detectable", "the smallest difference that could be shown", true),
        column("In words", "what that says", false),
    ];
    let bpw = |value: Option<f64>| number(value, |bpw| format!("{bpw:.2}"));
    let rows = report.cliffs.iter().map(|row| Row {
        variant: String::new(),
        suite: if row.scope == "suite" { row.name.clone() } else { String::new() },
        is_minor: false,
        cells: vec![
            text(&row.name),
            text(&row.scope),
            text(&row.equal_variant),
            bpw(row.equal_bpw),
            text(&row.not_worse_variant),
            bpw(row.not_worse_bpw),
            text(&row.falls_variant),
            bpw(row.falls_bpw),
            count(Some(row.n)),
            number(row.detectable, |least| format!("{least:.SHARE$}")),
            text(&row.says),
        ],
    });
    Table {
        id: "cliffs",
        title: "How many bits each task needs",
        note: "An empty cell means that so many items do not tell.".to_owned(),
        file: "cliffs.csv",
        columns,
        rows: rows.collect(),
    }
}

fn costs(report: &Report) -> Table {
    let sheet = &report.costs;
    let columns = vec![
        column("Variant", "empty for an API or a subscription", false),
        column("Runs on", "a box, an API or a plan of the costs file", false),
        column("$ / Mtok out", "dollars a million output tokens, their input included", true),
        column("$ / Mtok at full load", "the same with all that it can produce", true),
        column("$ / month", "the whole volume", true),
        column("Mtok / month it can", "million output tokens a month that it can produce", true),
        column("Streams", "decoded together", true),
        column("From", "where throughput or prices are from, or why there is none", false),
    ];
    let prices = sheet.rows.iter().filter(|row| row.kind == "price");
    let rows = prices.map(|row| Row {
        variant: row.variant.clone(),
        suite: String::new(),
        is_minor: false,
        cells: vec![
            text(&row.variant),
            text(&row.scenario),
            number(row.usd_per_mtok_out, dollars),
            number(row.usd_per_mtok_out_full, dollars),
            number(row.usd_per_month, dollars),
            number(row.capacity_mtok, digits),
            count(row.streams.map(u64::from)),
            text(if row.usd_per_mtok_out.is_some() { &row.source } else { &row.verdict }),
        ],
    });
    Table {
        id: "costs",
        title: "Costs",
        note: format!("{}; prices of {}.", sheet.workload, sheet.dated),
        file: "costs.csv",
        columns,
        rows: rows.collect(),
    }
}

fn unfinished(report: &Report) -> Table {
    let columns = vec![
        column("Variant", "whose work it is", false),
        column("Work", "what was to be done", false),
        column("Suite", "or the draft", false),
        column("Status", "what has come of it", false),
        column("Done", "items on record", true),
        column("Planned", "items asked for", true),
        column("Why", "what was said", false),
    ];
    let open = report.trials.iter().filter(|trial| trial.status != "done");
    let rows = open.map(|row| Row {
        variant: row.variant.clone(),
        suite: row.suite.clone(),
        is_minor: false,
        cells: vec![
            text(&row.variant),
            text(&row.kind),
            text(&row.suite),
            Cell { look: "bad", ..text(&row.status) },
            count(row.items_done),
            count(row.items_planned),
            text(&row.reason),
        ],
    });
    Table {
        id: "unfinished",
        title: "What was not finished",
        note: "Running the same command again goes on with these.".to_owned(),
        file: "trials.csv",
        columns,
        rows: rows.collect(),
    }
}
