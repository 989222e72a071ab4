//! Costs for people: every variant on one box, one variant on every box beside what else there is, the price of a solved
//! question, and the field's claims.

use std::fmt::Write as _;

use super::aligned::{self, clean};
use crate::analyze::Report;
use crate::analyze::cost::{Claim, Flip};
use crate::analyze::report::{CostRow, CostSheet};

/// Volumes of the second table, million output tokens a month.
const MONTHS: [f64; 3] = [1.0, 10.0, 100.0];
/// Most changes told of a claim.
const FLIPS: usize = 6;
/// Where there is no value.
const MISSING: &str = "-";

/// The tables.
#[must_use]
pub fn lines(report: &Report) -> String {
    let costs = &report.costs;
    let mut out = format!("{}. Prices of {}.\n", costs.workload, costs.dated);
    let variants = variants(costs);
    if variants.is_empty() {
        out.push_str("\nNo variant has a speed, so that none has a cost.\n");
    } else {
        let _ = writeln!(out, "\nEvery variant on {}:\n", costs.scenario);
        out.push_str(&table(&variants));
        let _ = writeln!(out, "\n{} on every box, and what else there is:\n", costs.variant);
        out.push_str(&table(&scenarios(costs)));
    }
    let swings = sensitivities(costs);
    if swings.len() > 1 {
        let _ = writeln!(out, "\n{} on {}, one number changed:\n", costs.variant, costs.scenario);
        out.push_str(&table(&swings));
    }
    let tasks = tasks(report);
    if tasks.len() > 1 {
        let _ = writeln!(out, "\nUSD for a solved question on {}:\n", costs.scenario);
        out.push_str(&table(&tasks));
    }
    let own = |row: &&CostRow| row.source.starts_with("measured") && row.variant == costs.variant;
    if let Some(row) = costs.rows.iter().rfind(own) {
        let _ = writeln!(
            out,
            "\nMtok: a million tokens. Throughput: {}; on devices scaled by memory bandwidth (`source` in costs.csv).\nElectricity: {}; on devices it is computed from the watts given. An API serves another model: look at what it scores, too.",
            row.source,
            electricity(costs)
        );
    }
    out
}

/// Where the electricity of this machine's prices is from.
fn electricity(costs: &CostSheet) -> &'static str {
    let own =
        |row: &&CostRow| row.scenario == costs.scenario && row.kind == "price" && !row.variant.is_empty();
    let source = |wanted: &str| costs.rows.iter().filter(own).any(|row| row.energy_source == wanted);
    match (source("measured"), source("computed")) {
        (true, true) => "measured on this machine where `energy` says so, else computed from the watts given",
        (true, false) => "measured on this machine by its energy counters, all that they count and no more",
        (false, true) => "computed from the watts given",
        (false, false) => "not ours to pay",
    }
}

/// The claims, each with its numbers and what would turn it.
#[must_use]
pub fn claim_lines(claims: &[Claim]) -> String {
    let mut out = String::new();
    if let Some(first) = claims.first() {
        let _ = writeln!(out, "\nThe field's claims, worked on {}.", first.on);
    }
    for claim in claims {
        let verdict = if claim.holds { "holds" } else { "does not hold" };
        let _ = writeln!(out, "\n{}: {verdict}.\n  {}.", claim.claim, claim.numbers);
        for flip in claim.flips.iter().take(FLIPS) {
            let _ = writeln!(out, "  {}", flip_line(flip, claim.holds));
        }
        if claim.flips.is_empty() {
            out.push_str("  No single number turns it.\n");
        }
    }
    out
}

fn flip_line(flip: &Flip, holds: bool) -> String {
    let (side, verdict) = (if flip.grows() { "above" } else { "below" }, if holds { "not" } else { "holds" });
    let now = number(flip.value);
    format!("{verdict} with {} {side} {} (now {now})", flip.input, number(flip.turns_at))
}

type Cells = Vec<Vec<String>>;

/// A price row of each variant on the box that variants are compared on; of several numbers of streams the most.
fn variants(costs: &CostSheet) -> Cells {
    let mut best: Vec<&CostRow> = Vec::new();
    let own =
        |row: &&CostRow| row.kind == "price" && row.scenario == costs.scenario && !row.variant.is_empty();
    for row in costs.rows.iter().filter(own) {
        match best.iter_mut().find(|other| other.variant == row.variant) {
            Some(other) => *other = row,
            None => best.push(row),
        }
    }
    let Some(first) = best.first() else { return Vec::new() };
    let volume = first.volume_mtok.map_or(String::new(), number);
    let head = [
        "variant".to_owned(),
        "streams".to_owned(),
        format!("USD/Mtok out at {volume} Mtok"),
        "blended".to_owned(),
        "at full use".to_owned(),
        "most Mtok a month".to_owned(),
        format!("breaks even with {}", first.against),
        "energy".to_owned(),
    ];
    let cells = best.iter().map(|row| {
        vec![
            row.variant.clone(),
            row.streams.map_or(MISSING.to_owned(), |n| n.to_string()),
            money(row.usd_per_mtok_out),
            money(row.usd_per_mtok_blended),
            money(row.usd_per_mtok_out_full),
            row.capacity_mtok.map_or(MISSING.to_owned(), number),
            verdict(row),
            row.energy_source.clone(),
        ]
    });
    std::iter::once(head.to_vec()).chain(cells).collect()
}

/// Every scenario of the variant that is drawn.
fn scenarios(costs: &CostSheet) -> Cells {
    let mut best: Vec<&CostRow> = Vec::new();
    let own =
        |row: &&CostRow| row.kind == "price" && (row.variant == costs.variant || row.variant.is_empty());
    for row in costs.rows.iter().filter(own) {
        match best.iter_mut().find(|other| other.scenario == row.scenario) {
            Some(other) => *other = row,
            None => best.push(row),
        }
    }
    best.sort_by_key(|row| row.variant.is_empty());
    let mut head = vec!["scenario".to_owned(), "fixed a month".to_owned()];
    head.extend(MONTHS.map(|volume| format!("{volume} Mtok a month")));
    head.extend(["most Mtok", "breaks even with the cheapest API", "energy"].map(str::to_owned));
    let cells = best.iter().map(|row| {
        let month = |volume: f64| {
            let same = |m: &&CostRow| {
                m.kind == "month"
                    && (&m.variant, &m.scenario, m.streams) == (&row.variant, &row.scenario, row.streams)
                    && m.volume_mtok.is_some_and(|v| (v - volume).abs() < 1e-9 * volume)
            };
            money(costs.rows.iter().find(same).and_then(|m| m.usd_per_month))
        };
        let mut cells = vec![row.scenario.clone(), money(row.monthly_fixed_usd)];
        cells.extend(MONTHS.map(month));
        let boundless = row.variant.is_empty() && row.usd_per_mtok_out.is_some();
        let missing = if boundless { "any" } else { MISSING };
        cells.push(row.capacity_mtok.map_or(missing.to_owned(), number));
        cells.push(verdict(row));
        cells.push(row.energy_source.clone());
        cells
    });
    std::iter::once(head).chain(cells).collect()
}

/// What utilisation and electricity change, of the variant that is drawn.
fn sensitivities(costs: &CostSheet) -> Cells {
    let of = |kind: &'static str| {
        costs.rows.iter().filter(move |row| {
            row.kind == kind && row.variant == costs.variant && row.scenario == costs.scenario
        })
    };
    // The last of the price rows is that of most streams.
    let streams = of("price").next_back().and_then(|row| row.streams);
    let head = ["number", "is", "USD/Mtok out", "at full use", "most Mtok a month", "breaks even with"];
    let cells = of("sensitivity").filter(|row| row.streams == streams).map(|row| {
        vec![
            row.input.clone(),
            row.input_value.map_or(MISSING.to_owned(), number),
            money(row.usd_per_mtok_out),
            money(row.usd_per_mtok_out_full),
            row.capacity_mtok.map_or(MISSING.to_owned(), number),
            format!("{} {}", row.against, verdict(row)),
        ]
    });
    std::iter::once(head.map(str::to_owned).to_vec()).chain(cells).collect()
}

/// The price of a solved question, one line a variant, one column a suite.
fn tasks(report: &Report) -> Cells {
    let costs = &report.costs;
    let own: Vec<&CostRow> =
        costs.rows.iter().filter(|row| row.kind == "task" && row.scenario == costs.scenario).collect();
    let suites: Vec<&str> = report.suites.iter().map(|suite| suite.name.as_str()).collect();
    let suites: Vec<&str> =
        suites.into_iter().filter(|suite| own.iter().any(|row| row.suite == *suite)).collect();
    let head: Vec<String> =
        std::iter::once("variant").chain(suites.iter().copied()).map(str::to_owned).collect();
    let lines = report.variants.iter().filter(|v| own.iter().any(|row| row.variant == v.variant)).map(|v| {
        let cell = |suite: &&str| {
            // Most streams last.
            let row = own.iter().rev().find(|row| row.variant == v.variant && row.suite == **suite);
            match row {
                Some(row) if row.verdict == "none_solved" => "none solved".to_owned(),
                row => money(row.and_then(|row| row.usd_per_solved_task)),
            }
        };
        std::iter::once(v.variant.clone()).chain(suites.iter().map(cell)).collect()
    });
    std::iter::once(head).chain(lines).collect()
}

fn verdict(row: &CostRow) -> String {
    let word = row.verdict.split(';').next().unwrap_or_default();
    match (word, row.break_even_mtok, row.break_even_uncapped_mtok) {
        ("breaks_even", Some(0.0), _) => "at any volume".to_owned(),
        ("breaks_even", Some(mtok), _) => format!("from {} Mtok", number(mtok)),
        ("beyond_capacity", _, Some(mtok)) => format!("never: at {} Mtok", number(mtok)),
        ("never", ..) => "never".to_owned(),
        ("", ..) => String::new(),
        (other, ..) => other.to_owned(),
    }
}

/// Names at the left, values at the right, all a little in.
fn table(cells: &Cells) -> String {
    let rows: Vec<Vec<String>> =
        cells.iter().map(|line| line.iter().map(|cell| clean(cell)).collect()).collect();
    aligned::lines(&rows, |column| column == 0)
        .iter()
        .fold(String::new(), |text, line| text + "    " + line + "\n")
}

fn money(usd: Option<f64>) -> String {
    usd.map_or(MISSING.to_owned(), |usd| {
        if (1.0..10_000.0).contains(&usd) { format!("{usd:.2}") } else { number(usd) }
    })
}

/// Three figures.
fn number(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 {
        return "0".to_owned();
    }
    if !(1e-4..1e7).contains(&size) {
        return format!("{value:.2e}");
    }
    let decimals = (2.0 - size.log10().floor()).max(0.0) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_figures() {
        let texts = [0.0, 0.012_345, 3.7, 13.84, 24_051.0, 1e-6, 3e9].map(number);
        assert_eq!(texts, ["0", "0.0123", "3.7", "13.8", "24051", "1.00e-6", "3.00e9"]);
        assert_eq!([Some(3.7), Some(0.5), None].map(money), ["3.70", "0.5", "-"]);
    }

    #[test]
    fn what_turns_a_claim_is_told() {
        let flip = |value, turns_at| Flip { input: "owned.x.utilisation".to_owned(), value, turns_at };
        let claim = |holds, flips| Claim {
            claim: "It pays".to_owned(),
            on: "a model".to_owned(),
            holds,
            numbers: "1 against 2".to_owned(),
            flips,
        };
        assert_eq!(
            claim_lines(&[
                claim(true, vec![flip(0.25, 0.12)]),
                claim(false, vec![flip(0.25, 0.5)]),
                claim(true, Vec::new())
            ]),
            "\nThe field's claims, worked on a model.\n\nIt pays: holds.\n  1 against 2.\n  not with owned.x.utilisation below 0.12 (now 0.25)\n\
             \nIt pays: does not hold.\n  1 against 2.\n  holds with owned.x.utilisation above 0.5 (now 0.25)\n\
             \nIt pays: holds.\n  1 against 2.\n  No single number turns it.\n"
        );
    }

    #[test]
    fn columns_stand_under_each_other() {
        let cells = [["a", "b"], ["long", "1.5"]].map(|line| line.map(str::to_owned).to_vec()).to_vec();
        assert_eq!(table(&cells), "    a       b\n    long  1.5\n");
    }
}
