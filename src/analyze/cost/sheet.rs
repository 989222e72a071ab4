//! Everything that is shown of costs: the rows, and for one variant the lines over monthly volume.

use serde::Serialize;

use super::curves::{Cost, Crossing, Curve, CurveKind, Line, crossings, curves};
use super::prices::{Costs, Reference, Workload};
use super::rows::{Book, CostRow, Way};
use super::scenario::{Host, Rival, boxes, rivals};
use super::task::tasks;
use super::throughput::{bandwidth, is_timed, measured};
use crate::analyze::planned::Sheet;
use crate::analyze::report::{Report, VariantRow};

/// Bits per weight of the variant that is drawn, if none is named.
const DRAWN_BPW: f64 = 4.8;

/// What is shown of costs.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct CostSheet {
    /// Rows of `costs.csv`.
    pub rows: Vec<CostRow>,
    /// `coding: 4 input tokens to an output token, 70% of them cached, 5 Mtok out a month`.
    pub workload: String,
    /// Of when the prices are.
    pub dated: String,
    /// The variant that is drawn over volumes.
    pub variant: String,
    /// The box that variants are compared on.
    pub scenario: String,
    /// Lines over volume.
    pub curves: Vec<Curve>,
    /// Where boxes become cheaper.
    pub crossings: Vec<Crossing>,
    /// What models behind APIs score.
    pub references: Vec<ReferencePoint>,
}

/// What a model behind an API scores.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReferencePoint {
    /// As in the costs file.
    #[serde(flatten)]
    pub reference: Reference,
    /// Dollars a million output tokens; absent without a priced API.
    pub usd_per_mtok_out: Option<f64>,
}

/// Everything that is shown of costs.
pub(in crate::analyze) fn sheet(sheet: &Sheet, report: &Report, costs: &Costs) -> CostSheet {
    let Some(workload) = costs.chosen() else { return CostSheet::default() };
    let shape = workload.shape();
    let book =
        Book { costs, workload, shape, rivals: rivals(costs, shape), tasks: tasks(sheet, &report.metrics) };
    let machine = bandwidth(&costs.machine, &report.variants);
    let boxes = boxes(costs);
    let mut rows = book.rival_rows();
    let mut ways = Vec::new();
    for variant in &report.variants {
        for throughput in measured(variant, &report.speed, shape) {
            for of in &boxes {
                match book.way(of, variant, &throughput, machine.as_ref()) {
                    Ok(way) => {
                        rows.extend(book.rows(&way));
                        ways.push(way);
                    }
                    Err(why) => rows.push(book.no_row(of, variant, throughput.streams, why)),
                }
            }
        }
    }
    let drawn = drawn(costs, report);
    let ours = drawn_boxes(best(ways.iter().filter(|way| way.variant == drawn)));
    let theirs: Vec<Line> = book.rivals.iter().map(Rival::line).collect();
    let all: Vec<Line> = theirs.iter().chain(&ours).copied().collect();
    CostSheet {
        workload: told(&costs.workload, workload),
        dated: dated(costs),
        scenario: compared_on(&boxes),
        curves: curves(&all),
        crossings: crossings(&ours, &theirs),
        references: book.references(),
        variant: drawn,
        rows,
    }
}

/// Of the ways of one box the one with most streams.
fn best<'a>(ways: impl Iterator<Item = &'a Way<'a>>) -> Vec<&'a Way<'a>> {
    let mut best: Vec<&Way> = Vec::new();
    for way in ways {
        match best.iter_mut().find(|other| other.of.scenario == way.of.scenario) {
            Some(other) if way.hours < other.hours => *other = way,
            Some(_) => {}
            None => best.push(way),
        }
    }
    best
}

/// Their lines: of what is rented the cheapest only.
fn drawn_boxes<'a>(ways: Vec<&'a Way<'a>>) -> Vec<Line<'a>> {
    let rented = ways.iter().filter(|way| way.of.kind == CurveKind::Rented);
    let cheapest = rented.map(|way| way.month.usd_per_mtok).fold(f64::INFINITY, f64::min);
    let is_drawn = |way: &&Way| way.of.kind != CurveKind::Rented || way.month.usd_per_mtok <= cheapest;
    let line = |way: &'a Way<'a>| Line {
        scenario: &way.of.scenario,
        kind: way.of.kind,
        cost: Cost::Month(way.month),
    };
    ways.into_iter().filter(is_drawn).map(line).collect()
}

fn told(name: &str, workload: &Workload) -> String {
    format!(
        "{name}: {} input tokens to an output token, {:.0}% of them cached, {} million output tokens a month",
        workload.input_per_output,
        100.0 * workload.cached_share,
        workload.mtok_out_per_month
    )
}

/// First and last date of the prices.
fn dated(costs: &Costs) -> String {
    let owned = costs.owned.values().map(|o| &o.date);
    let others = costs.rented.values().map(|r| &r.date).chain(costs.api.values().map(|a| &a.date));
    let dates =
        owned.chain(others).chain(costs.plan.values().map(|p| &p.date)).chain([&costs.electricity.date]);
    let mut dates: Vec<&str> = dates.map(String::as_str).filter(|date| !date.is_empty()).collect();
    dates.sort_unstable();
    match (dates.first(), dates.last()) {
        (Some(first), Some(last)) if first == last => (*first).to_owned(),
        (Some(first), Some(last)) => format!("{first} to {last}"),
        _ => String::new(),
    }
}

/// The box that variants are compared on: this machine if it is bought, or the first there is.
fn compared_on(hosts: &[Host]) -> String {
    let here = hosts.iter().find(|b| b.device.is_none() && b.kind == CurveKind::Owned);
    here.or(hosts.first()).map_or(String::new(), |b| b.scenario.clone())
}

/// The variant that is drawn: the one named, if it has a speed, or the one nearest to what most people run.
fn drawn(costs: &Costs, report: &Report) -> String {
    let timed = || report.variants.iter().filter(|v| is_timed(v));
    let named = timed().find(|v| v.variant == costs.variant);
    let far = |v: &&VariantRow| v.bpw.map_or(f64::INFINITY, |bpw| (bpw - DRAWN_BPW).abs());
    let nearest = || timed().min_by(|a, b| far(a).total_cmp(&far(b)));
    named.or_else(nearest).map_or(String::new(), |v| v.variant.clone())
}
