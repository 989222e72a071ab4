//! A section for a model's card on a hub: what to run, the variants with what each loses and how sure that is, and how it
//! was measured. Markdown as people paste it; nothing in it is taken from anywhere but the report.

use std::fmt::Write as _;

use super::aligned::clean;
use crate::analyze::Report;
use crate::analyze::recommend::Recommendation;
use crate::analyze::report::{MetricRow, SuiteSummary, VariantRow};
use crate::units::Bytes;

/// Shown where there is no value.
const MISSING: &str = "–";
/// Suites that the first table has columns for; the others follow in a table of their own.
const IN_FRONT: usize = 3;

/// What a card tells beside the report.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts {
    /// Threads given to llama.cpp.
    pub threads: u32,
    /// SHA-256 of the base model.
    pub base_sha256: String,
    /// File name of the archive of all records.
    pub archive: String,
}

/// The section.
#[must_use]
pub fn section(report: &Report, answer: &Recommendation, facts: &Facts) -> String {
    let mut text = format!("## Quantizations of {}, measured\n\n", cell(&report.about.base));
    let _ = writeln!(text, "{}\n", recommendation(report, answer));
    let suites: Vec<&SuiteSummary> = report.suites.iter().filter(|suite| !suite.no_signal).collect();
    let (front, rest) = split(&suites);
    text.push_str(&variants(report, answer, &front));
    if !rest.is_empty() {
        text.push_str("\nScores by suite:\n\n");
        text.push_str(&scores(report, &rest));
    }
    text.push('\n');
    text.push_str(&method(report, facts, &suites));
    text
}

/// Texts and the composite stand in front, or as many suites as there is room for.
fn split<'a>(suites: &[&'a SuiteSummary]) -> (Vec<&'a SuiteSummary>, Vec<&'a SuiteSummary>) {
    if suites.len() <= IN_FRONT {
        return (suites.to_vec(), Vec::new());
    }
    suites.iter().copied().partition(|suite| suite.name == "composite" || suite.n_unit == "tokens")
}

fn recommendation(report: &Report, answer: &Recommendation) -> String {
    let Some(name) = &answer.variant else {
        return format!("No variant can be recommended: {}", clean(&answer.reasons.join(" ")));
    };
    let row = report.variants.iter().find(|row| row.variant == *name);
    let size = row.and_then(|row| row.file_bytes).map(|bytes| Bytes(bytes).to_string());
    let bpw = row.and_then(|row| row.bpw).map(|bpw| format!("{bpw:.2} bits per weight"));
    let facts: Vec<String> = size.into_iter().chain(bpw).collect();
    let facts = if facts.is_empty() { String::new() } else { format!(" ({})", facts.join(", ")) };
    let reasons = answer.reasons.iter().map(|reason| cell(reason)).collect::<Vec<_>>().join(" ");
    let sure = answer.confidence * 100.0;
    format!("**Recommended: `{}`**{facts}, {sure:.0}% sure. {reasons}", cell(name))
}

fn variants(report: &Report, answer: &Recommendation, suites: &[&SuiteSummary]) -> String {
    let mut headers = vec!["Variant".to_owned(), "Bits per weight".to_owned(), "Size".to_owned()];
    for suite in suites {
        headers.push(heading(suite));
        headers.extend(perplexity(suite).map(|_| "Perplexity".to_owned()));
    }
    headers.extend(["Prompt, tokens/s", "Generation, tokens/s", "Note"].map(str::to_owned));
    let row = |row: &VariantRow| {
        let mut cells = vec![
            format!("`{}`", cell(&row.variant)),
            row.bpw.map_or_else(missing, |bpw| format!("{bpw:.2}")),
            row.file_bytes.map_or_else(missing, |bytes| Bytes(bytes).to_string()),
        ];
        for suite in suites {
            cells.push(score(report, row, suite, &suite.main_metric));
            cells.extend(perplexity(suite).map(|metric| score(report, row, suite, metric)));
        }
        cells.extend(
            [row.pp512_tps, row.tg128_tps].map(|tps| tps.map_or_else(missing, |v| format!("{v:.1}"))),
        );
        cells.push(note(report, answer, row));
        cells
    };
    table(&headers, &report.variants.iter().map(row).collect::<Vec<_>>())
}

fn scores(report: &Report, suites: &[&SuiteSummary]) -> String {
    let headers: Vec<String> =
        std::iter::once("Variant".to_owned()).chain(suites.iter().map(|suite| heading(suite))).collect();
    let row = |row: &VariantRow| {
        let name = format!("`{}`", cell(&row.variant));
        let scores = suites.iter().map(|suite| score(report, row, suite, &suite.main_metric));
        std::iter::once(name).chain(scores).collect()
    };
    table(&headers, &report.variants.iter().map(row).collect::<Vec<_>>())
}

/// `KL divergence, nats (perplexity)`, or `piqa, acc_norm`.
fn heading(suite: &SuiteSummary) -> String {
    let direction = if suite.higher_is_better { "↑" } else { "↓" };
    match suite.main_metric.as_str() {
        "kld_mean" => format!("KL divergence from the base, nats/token ({}) {direction}", cell(&suite.name)),
        metric => format!("{}, {} {direction}", cell(&suite.name), cell(metric)),
    }
}

/// A text whose main metric is a divergence has its perplexity beside it.
fn perplexity(suite: &SuiteSummary) -> Option<&'static str> {
    (suite.n_unit == "tokens" && suite.main_metric != "ppl").then_some("ppl")
}

/// `0.425 (0.290–0.572)`: the value and its 95% interval.
fn score(report: &Report, row: &VariantRow, suite: &SuiteSummary, metric: &str) -> String {
    let Some(found) = report.metric(&row.variant, &suite.name, metric) else { return missing() };
    let digits = if metric.starts_with("kld") { 5 } else { 3 };
    let number = |value: f64| format!("{value:.digits$}");
    let Some(value) = found.value else { return missing() };
    let interval = interval(found).map(|(low, high)| format!(" ({}–{})", number(low), number(high)));
    number(value) + &interval.unwrap_or_default()
}

/// That of the base's divergence from itself says nothing.
fn interval(row: &MetricRow) -> Option<(f64, f64)> {
    row.ci_low.zip(row.ci_high).filter(|(low, high)| low < high)
}

fn note(report: &Report, answer: &Recommendation, row: &VariantRow) -> String {
    let recommended = answer.variant.as_ref() == Some(&row.variant);
    let mut notes: Vec<String> = Vec::new();
    if recommended {
        notes.push("**recommended**".to_owned());
    } else if report.on_frontier(&row.variant) == Some(true) {
        notes.push("on the frontier".to_owned());
    }
    if !row.same_as.is_empty() {
        notes.push(format!("the same tensors as `{}`", cell(&row.same_as)));
    }
    if row.status != "done" {
        notes.push(cell(&row.status));
    }
    notes.join("; ")
}

fn method(report: &Report, facts: &Facts, suites: &[&SuiteSummary]) -> String {
    let about = &report.about;
    let mut lines = vec![
        "Intervals are 95%. Every variant is compared with the base on the same items; bits per weight are measured \
         from the file. *On the frontier*: no smaller file is as good."
            .to_owned(),
        format!("Base: {}, SHA-256 `{}`. {}", cell(&about.base), facts.base_sha256, cell(&about.base_note)),
        format!("Suites: {}.", suites.iter().filter_map(|s| suite_line(report, s)).collect::<Vec<_>>().join("; ")),
        format!("Measured {} on {}, threads: {}.", about.date, cell(&about.machine), facts.threads),
        format!("llama.cpp {}, bitfrontier {}.", cell(&about.llama_cpp), about.bitfrontier),
        format!(
            "All records are in `{0}`: unpacked, `bitfrontier report` makes every table and chart again.",
            cell(&facts.archive)
        ),
    ];
    let left_out: Vec<String> =
        report.suites.iter().filter(|s| s.no_signal).map(|suite| cell(&suite.name)).collect();
    if !left_out.is_empty() {
        lines.insert(
            3,
            format!("Left out, as the base itself does no better than a guesser: {}.", left_out.join(", ")),
        );
    }
    lines.iter().fold(String::new(), |text, line| text + "- " + line.trim_end() + "\n")
}

/// `piqa (n = 200 items; partial: 200 of 1,838)`; nothing of the composite.
fn suite_line(report: &Report, suite: &SuiteSummary) -> Option<String> {
    let row = report.metrics.iter().find(|m| m.suite == suite.name && m.metric == suite.main_metric)?;
    let partial =
        if suite.partial.is_empty() { String::new() } else { format!("; partial: {}", suite.partial) };
    (suite.name != "composite")
        .then(|| format!("{} (n = {} {}{})", cell(&suite.name), row.n, suite.n_unit, cell(&partial)))
}

fn table(headers: &[String], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rule: Vec<String> = (0..headers.len())
        .map(|column| {
            let text = column == 0 || headers.get(column).is_some_and(|header| header == "Note");
            if text { "---" } else { "---:" }.to_owned()
        })
        .collect();
    let rows: String = rows.iter().map(|row| line(row)).collect();
    line(headers) + &line(&rule) + &rows
}

fn missing() -> String {
    MISSING.to_owned()
}

/// Text that stays one cell of one table, and text: names come from files that somebody else may have made.
fn cell(text: &str) -> String {
    let mut plain = String::new();
    for c in clean(text).chars() {
        match c {
            '|' => plain.push_str("\\|"),
            '<' => plain.push_str("&lt;"),
            '`' => plain.push('\''),
            '[' | ']' | '*' => plain.extend(['\\', c]),
            c => plain.push(c),
        }
    }
    plain
}
