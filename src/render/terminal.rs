//! The table at the end of a sweep: one line a variant, and under it, where not all of its trials are done, one
//! line that says which and why. A narrow terminal loses the least important columns, never part of a number.

use super::aligned::clean;
use crate::analyze::Report;
use crate::analyze::report::{MetricRow, SuiteSummary, VariantRow};
use crate::stats::Z95;
use crate::units::Bytes;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Shown where there is no value.
const MISSING: &str = "-";
/// Before a divergence that is noise.
const TIED: &str = "≈";
/// Between columns.
const GAP: &str = "  ";
/// Terminals narrower than this get lines of this width.
const NARROWEST: usize = 24;

/// Width of a bar.
const BAR: usize = 8;

/// Columns in the order in which a narrow terminal loses them; `Keep` never goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Bar,
    PromptSpeed,
    Memory,
    Speed,
    /// Suites but the first; the last of the plan goes first.
    Suite(std::cmp::Reverse<usize>),
    Bpw,
    Frontier,
    Size,
    Keep,
}

struct Column {
    rank: Rank,
    /// Two lines.
    header: [String; 2],
    /// One a variant.
    cells: Vec<String>,
    left: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Paint {
    Plain,
    Bold,
    Green,
    Red,
    Yellow,
}

/// The table as text, each line at most `width` columns wide (but see narrow terminals: at least 24) and ended by
/// a newline. `colour` adds ANSI colours. Names are stripped of control characters.
#[must_use]
pub fn summary_table(report: &Report, width: usize, colour: bool) -> String {
    let width = width.max(NARROWEST);
    let (columns, left_out) = fitting(columns(report, width), width);
    let mut table = String::new();
    let mut push = |line: &str, paint: Paint| {
        table.push_str(&painted(shortened(line.trim_end(), width), paint, colour));
        table.push('\n');
    };
    for part in 0..2 {
        push(&line(&columns, |column| column.header.get(part)), Paint::Bold);
    }
    for (place, variant) in report.variants.iter().enumerate() {
        let on_frontier = report.on_frontier(&variant.variant) == Some(true);
        let paint = if on_frontier { Paint::Green } else { Paint::Plain };
        push(&line(&columns, |column| column.cells.get(place)), paint);
        if let Some((trouble, paint)) = trouble(report, variant) {
            push(&format!("{GAP}{trouble}"), paint);
        }
        if !variant.same_as.is_empty() {
            let same = clean(&variant.same_as);
            push(&format!("{GAP}every tensor is the same as in {same}, bit for bit"), Paint::Yellow);
        }
    }
    if left_out > 0 {
        let columns = if left_out == 1 { "column" } else { "columns" };
        push(&format!("{left_out} more {columns}: summary.csv"), Paint::Plain);
    }
    for suite in report.suites.iter().filter(|suite| !suite.partial.is_empty()) {
        push(&format!("{} is partial: {}", clean(&suite.name), clean(&suite.partial)), Paint::Plain);
    }
    for suite in report.suites.iter().filter(|suite| suite.no_signal) {
        let guessed = if suite.chance.is_some() { "chance" } else { "0" };
        let name = clean(&suite.name);
        push(&format!("no signal in {name}: the base's own interval reaches {guessed}"), Paint::Yellow);
    }
    for floor in report.suites.iter().filter_map(|suite| floor_line(report, suite)) {
        push(&floor, Paint::Plain);
    }
    table
}

/// What the base differs from itself by on a text, and what the mark beside a variant's divergence means.
fn floor_line(report: &Report, suite: &SuiteSummary) -> Option<String> {
    let floor = report.noise_floor(&suite.name)?;
    let tied = report.variants.iter().any(|v| report.is_indistinguishable(&v.variant, &suite.name));
    let meaning = if tied { format!("; {TIED} indistinguishable from the base") } else { String::new() };
    Some(format!("noise floor of {}: {:.1e} nats{meaning}", clean(&suite.name), floor.value?))
}

fn columns(report: &Report, width: usize) -> Vec<Column> {
    let column = |rank, top: &str, bottom: &str, cell: &dyn Fn(&VariantRow) -> Option<String>| Column {
        rank,
        header: [clean(top), clean(bottom)],
        cells: report.variants.iter().map(|v| cell(v).unwrap_or_else(|| MISSING.to_owned())).collect(),
        left: false,
    };
    let name = |v: &VariantRow| Some(shortened(&clean(&v.variant), width / 2));
    let size = |bytes: Option<u64>| bytes.map(|b| Bytes(b).to_string());
    let mark = |v: &VariantRow| {
        let on_frontier = report.on_frontier(&v.variant) == Some(true);
        Some(if on_frontier { "*" } else { "" }.to_owned())
    };
    let suites = report.suites.iter().enumerate().map(|(place, suite)| {
        let rank = if place == 0 { Rank::Keep } else { Rank::Suite(std::cmp::Reverse(place)) };
        column(rank, &suite.name, &suite.main_metric, &|v| measured(report, v, suite))
    });
    let mut columns = vec![
        Column { left: true, ..column(Rank::Keep, "variant", "", &name) },
        column(Rank::Bpw, "bpw", "", &|v| v.bpw.map(|bpw| format!("{bpw:.2}"))),
        column(Rank::Size, "size", "", &|v| size(v.file_bytes)),
    ];
    columns.extend(suites);
    let left = yardstick(report);
    columns.extend(left.map(|suite| Column {
        left: true,
        ..column(Rank::Bar, "left of", &suite.name, &|v| Some(bar(kept(report, v, suite)?)))
    }));
    let fastest = report.variants.iter().filter_map(|v| v.tg128_tps).fold(0.0, f64::max);
    let speed = |v: &VariantRow| v.tg128_tps.filter(|_| fastest > 0.0).map(|tps| bar(tps / fastest));
    columns.extend([
        column(Rank::PromptSpeed, "pp512", "tokens/s", &|v| v.pp512_tps.map(|t| format!("{t:.1}"))),
        column(Rank::Speed, "tg128", "tokens/s", &|v| v.tg128_tps.map(|t| format!("{t:.1}"))),
        Column { left: true, ..column(Rank::Bar, "", "", &speed) },
        column(Rank::Memory, "peak", "memory", &|v| size(v.peak_rss_bytes)),
        column(Rank::Frontier, "frontier", "", &mark),
    ]);
    columns
}

/// The accuracy that bars are drawn of: the composite's, or that of the first suite with a signal.
fn yardstick(report: &Report) -> Option<&SuiteSummary> {
    let telling = || report.suites.iter().filter(|suite| suite.n_unit == "items" && !suite.no_signal);
    telling().find(|suite| suite.is_composite()).or_else(|| telling().next())
}

/// What is left of the base's accuracy above chance.
fn kept(report: &Report, variant: &VariantRow, suite: &SuiteSummary) -> Option<f64> {
    let value = |name: &str| report.metric(name, &suite.name, &suite.main_metric)?.value;
    let chance = suite.chance.unwrap_or(0.0);
    let whole = value(&report.variants.first()?.variant)? - chance;
    Some((value(&variant.variant)? - chance) / whole).filter(|_| whole > 0.0)
}

/// A bar of eighths of a character; what is beyond the whole is cut off.
fn bar(share: f64) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share.clamp(0.0, 1.0) * (BAR * PARTS.len()) as f64).round() as usize;
    let part = PARTS.get(eighths % PARTS.len()).copied().unwrap_or_default();
    format!("{}{part}", "█".repeat(eighths / PARTS.len()))
}

/// A variant's main metric on a suite with half of its 95% interval.
fn measured(report: &Report, variant: &VariantRow, suite: &SuiteSummary) -> Option<String> {
    let row = report.metric(&variant.variant, &suite.name, &suite.main_metric)?;
    let decimals = decimals(&row.metric);
    let value = format!("{:.decimals$}", row.value?);
    let value = half_width(row).map_or(value.clone(), |half| format!("{value} ±{half:.decimals$}"));
    let tied = row.metric == "kld_mean" && report.is_indistinguishable(&variant.variant, &suite.name);
    Some(if tied { format!("{TIED} {value}") } else { value })
}

fn half_width(row: &MetricRow) -> Option<f64> {
    let interval = row.ci_low.zip(row.ci_high).map(|(low, high)| (high - low) / 2.0);
    interval.or(row.stderr.map(|stderr| Z95 * stderr))
}

/// Divergences of good variants are a few thousandths of a nat.
fn decimals(metric: &str) -> usize {
    match metric {
        _ if metric.starts_with("kld") => 5,
        "ppl_ratio" => 4,
        _ => 3,
    }
}

/// Without the columns that have nothing to say, and then without the least important until the rest fits; how many those are.
fn fitting(mut columns: Vec<Column>, width: usize) -> (Vec<Column>, usize) {
    let says = |cell: &String| !cell.is_empty() && cell != MISSING;
    columns.retain(|c| c.rank == Rank::Keep || c.cells.iter().any(says));
    // A bar says again what a number says.
    let counted = |columns: &[Column]| columns.iter().filter(|c| c.rank != Rank::Bar).count();
    let all = counted(&columns);
    while columns.iter().map(Column::width).sum::<usize>() + GAP.len() * columns.len().saturating_sub(1)
        > width
    {
        let least = columns.iter().map(|c| c.rank).min().filter(|&rank| rank != Rank::Keep);
        let Some(least) = least else { break };
        columns.retain(|c| c.rank != least);
    }
    let left_out = all - counted(&columns);
    (columns, left_out)
}

impl Column {
    fn width(&self) -> usize {
        self.header.iter().chain(&self.cells).map(|text| text.width()).max().unwrap_or(0)
    }

    fn padded(&self, text: &str) -> String {
        let space = " ".repeat(self.width().saturating_sub(text.width()));
        if self.left { format!("{text}{space}") } else { format!("{space}{text}") }
    }
}

fn line<'a>(columns: &'a [Column], text: impl Fn(&'a Column) -> Option<&'a String>) -> String {
    let cells = columns.iter().map(|column| column.padded(text(column).map_or("", String::as_str)));
    cells.collect::<Vec<_>>().join(GAP)
}

/// What is not done of a variant and why, as `quiz: crashed (signal 6)`; red if it failed, yellow if it waits.
fn trouble(report: &Report, variant: &VariantRow) -> Option<(String, Paint)> {
    let status = clean(&variant.status);
    if status == "done" || status.is_empty() {
        return None;
    }
    let waits = status.ends_with("pending") || variant.is_foreign();
    let paint = if waits { Paint::Yellow } else { Paint::Red };
    let suite = variant.status.rsplit_once(": ").map_or("", |(work, _)| work);
    let rows = || report.metrics.iter().filter(|m| m.variant == variant.variant && m.status != "done");
    // A variant whose file could not be made says why in the suites that were skipped for it.
    let row = rows().find(|m| m.suite == suite).or_else(|| rows().find(|m| !m.reason.is_empty()));
    let reason = row.map(|m| clean(&m.reason)).filter(|reason| !reason.is_empty());
    Some((reason.map_or(status.clone(), |reason| format!("{status} ({reason})")), paint))
}

/// At most `width` columns of text, the last an ellipsis if something was cut.
fn shortened(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut left = width.saturating_sub(1);
    let fits = |c: &char| {
        let room = left.checked_sub(c.width().unwrap_or(0));
        left = room.unwrap_or(0);
        room.is_some()
    };
    let mut start: String = text.chars().take_while(fits).collect();
    // Some signs are wider together than each by itself.
    while start.width() >= width && start.pop().is_some() {}
    format!("{}…", start.trim_end())
}

fn painted(line: String, paint: Paint, colour: bool) -> String {
    let code = match paint {
        Paint::Plain => return line,
        Paint::Bold => 1,
        Paint::Red => 31,
        Paint::Green => 32,
        Paint::Yellow => 33,
    };
    if colour && !line.is_empty() { format!("\u{1b}[{code}m{line}\u{1b}[0m") } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyze::lookup::Places;
    use crate::analyze::report::{About, ComparisonRow, CostSheet, FrontierRow};
    use proptest::prelude::*;

    fn suite(name: &str, main_metric: &str, n_unit: &'static str) -> SuiteSummary {
        SuiteSummary {
            name: name.to_owned(),
            title: String::new(),
            main_metric: main_metric.to_owned(),
            higher_is_better: n_unit == "items",
            chance: None,
            partial: String::new(),
            n_unit,
            no_signal: false,
        }
    }

    fn metric(variant: &str, suite: &SuiteSummary, value: Option<f64>, half: f64, reason: &str) -> MetricRow {
        MetricRow {
            variant: variant.to_owned(),
            suite: suite.name.clone(),
            metric: suite.main_metric.clone(),
            value,
            stderr: None,
            ci_low: value.map(|v| v - half),
            ci_high: value.map(|v| v + half),
            n: 60,
            higher_is_better: suite.higher_is_better,
            chance: None,
            status: if reason.is_empty() { "done" } else { "crashed" }.to_owned(),
            reason: reason.to_owned(),
            partial: String::new(),
        }
    }

    fn variant(name: &str, file_bytes: u64, status: &str) -> VariantRow {
        VariantRow {
            variant: name.to_owned(),
            file_bytes: Some(file_bytes),
            bpw: Some(4.852),
            pp512_tps: Some(1234.56),
            tg128_tps: Some(45.67),
            peak_rss_bytes: Some(512 << 20),
            status: status.to_owned(),
            ..VariantRow::default()
        }
    }

    fn point(variant: &str, x: f64, y: f64, on_frontier: bool) -> FrontierRow {
        let (axis_x, axis_y) = ("file_bytes".to_owned(), "moby-dick.kld_mean".to_owned());
        FrontierRow {
            variant: variant.to_owned(),
            axis_x,
            axis_y,
            x,
            y,
            on_frontier,
            ..FrontierRow::default()
        }
    }

    fn report() -> Report {
        let (text, quiz) =
            (suite("moby-dick", "kld_mean", "tokens"), suite("hellaswag", "acc_norm", "items"));
        let failed = VariantRow {
            pp512_tps: None,
            tg128_tps: None,
            peak_rss_bytes: None,
            ..variant("Q2_K", 90 << 20, "moby-dick: crashed")
        };
        Report {
            about: About {
                sweep: String::new(),
                date: String::new(),
                machine: String::new(),
                llama_cpp: String::new(),
                bitfrontier: String::new(),
                base: String::new(),
                base_note: String::new(),
                drawn: String::new(),
            },
            metrics: vec![
                metric("base", &text, Some(0.0), 0.0, ""),
                metric("base", &quiz, Some(0.4312), 0.0214, ""),
                metric("Q4_K_M", &text, Some(0.182_345), 0.004_56, ""),
                metric("Q4_K_M", &quiz, Some(0.4251), 0.0213, ""),
                metric("Q2_K", &text, None, 0.0, "the worker died of signal 6"),
            ],
            suites: vec![text, quiz],
            variants: vec![
                variant("base", 432 << 20, "done"),
                variant("Q4_K_M", 140 << 20, "done"),
                variant("Q4_1", 150 << 20, "done"),
                failed,
            ],
            comparisons: Vec::new(),
            fallbacks: Vec::new(),
            speed: Vec::new(),
            speculation: Vec::new(),
            trials: Vec::new(),
            capabilities: Vec::new(),
            long_context: Vec::new(),
            cliffs: Vec::new(),
            looks: Vec::new(),
            metric_places: Places::default(),
            comparison_places: Places::default(),
            costs: CostSheet::default(),
            frontier: vec![
                point("base", 1.0, 0.0, true),
                point("Q4_K_M", 0.5, 0.18, true),
                point("Q4_1", 0.6, 0.2, false),
            ],
        }
    }

    fn empty() -> Report {
        let nothing = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (suites, variants, metrics, frontier) = nothing;
        Report { suites, variants, metrics, frontier, ..report() }
    }

    #[test]
    fn a_wide_terminal_has_all_columns() {
        let expected = "\
variant   bpw       size         moby-dick     hellaswag  left of       pp512     tg128                 peak  frontier
                                  kld_mean      acc_norm  hellaswag  tokens/s  tokens/s               memory
base     4.85  432.0 MiB  0.00000 ±0.00000  0.431 ±0.021  ████████     1234.6      45.7  ████████  512.0 MiB         *
Q4_K_M   4.85  140.0 MiB  0.18235 ±0.00456  0.425 ±0.021  ███████▉     1234.6      45.7  ████████  512.0 MiB         *
Q4_1     4.85  150.0 MiB                 -             -  -            1234.6      45.7  ████████  512.0 MiB
Q2_K     4.85   90.0 MiB                 -             -  -                 -         -  -                 -
  moby-dick: crashed (the worker died of signal 6)
";
        assert_eq!(summary_table(&report(), 140, false), expected);
    }

    #[test]
    fn divergences_within_the_noise_are_marked() {
        let mut report = report();
        let text = report.suites[0].clone();
        let floor = MetricRow {
            metric: "kld_noise_floor".to_owned(),
            ..metric("base", &text, Some(3.24e-5), 0.0, "")
        };
        report.metrics.push(floor);
        let table = summary_table(&report, 140, false);
        assert!(
            table.ends_with("\nnoise floor of moby-dick: 3.2e-5 nats\n") && !table.contains('≈'),
            "{table}"
        );
        report.comparisons.push(ComparisonRow {
            variant: "Q4_K_M".to_owned(),
            suite: text.name,
            metric: "kld_mean".to_owned(),
            delta: None,
            delta_stderr: None,
            n: 60,
            verdict: "indistinguishable".to_owned(),
            ..ComparisonRow::default()
        });
        let table = summary_table(&report, 140, false);
        assert!(table.contains("  ≈ 0.18235 ±0.00456  0.425"), "{table}");
        assert!(table.ends_with("3.2e-5 nats; ≈ indistinguishable from the base\n"), "{table}");
    }

    #[test]
    fn a_narrow_terminal_keeps_the_columns_that_matter() {
        let expected = "\
variant       size         moby-dick  frontier
                            kld_mean
base     432.0 MiB  0.00000 ±0.00000         *
Q4_K_M   140.0 MiB  0.18235 ±0.00456         *
Q4_1     150.0 MiB                 -
Q2_K      90.0 MiB                 -
  moby-dick: crashed (the worker died of signal 6)
5 more columns: summary.csv
";
        assert_eq!(summary_table(&report(), 50, false), expected);
    }

    #[test]
    fn colour_wraps_lines_and_changes_no_text() {
        let coloured = summary_table(&report(), 140, true);
        assert!(coloured.starts_with("\u{1b}[1mvariant"));
        assert!(coloured.contains("\u{1b}[31m  moby-dick: crashed"));
        let mut plain = coloured;
        for code in [0, 1, 31, 32, 33] {
            plain = plain.replace(&format!("\u{1b}[{code}m"), "");
        }
        assert_eq!(plain, summary_table(&report(), 140, false));
    }

    #[test]
    fn a_sweep_without_results_has_a_header_and_its_variants() {
        assert_eq!(summary_table(&empty(), 80, false), "variant\n\n");
        let waiting = VariantRow {
            variant: "base".to_owned(),
            status: "quantize: pending".to_owned(),
            ..VariantRow::default()
        };
        let report = Report { variants: vec![waiting], ..empty() };
        assert_eq!(summary_table(&report, 80, false), "variant\n\nbase\n  quantize: pending\n");
    }

    #[test]
    fn names_cannot_write_to_the_terminal() {
        let mut report = report();
        report.variants[0].variant = "ba\u{1b}[2Jse\u{202e}\r\n".to_owned();
        report.suites[0].name = "mo\u{7}by".to_owned();
        report.metrics[4].reason = "a\u{1b}]0;title\u{7}".to_owned();
        let table = summary_table(&report, 140, false);
        assert!(table.contains("ba[2Jse ") && !table.contains(['\u{1b}', '\u{7}', '\r', '\u{202e}']));
    }

    #[test]
    fn signs_that_are_wider_together_are_measured_together() {
        // A star that a variation selector makes an emoji of is two columns wide.
        assert_eq!(shortened("ab*\u{fe0f}cd", 5), "ab*\u{fe0f}…");
        assert_eq!(shortened("ab*\u{fe0f}cd", 4), "ab*…");
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_the_terminal(width in 0_usize..200, name in "\\PC{0,60}", reason in "\\PC{0,200}") {
            let mut report = report();
            report.variants[3].variant = name.clone();
            report.metrics[4].variant = name;
            report.metrics[4].reason = reason;
            for line in summary_table(&report, width, false).lines() {
                prop_assert!(line.width() <= width.max(NARROWEST), "{line:?}");
            }
        }
    }
}
