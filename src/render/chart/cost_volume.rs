//! `cost-volume`: what a million output tokens cost by how many of them are asked for in a month: APIs, subscriptions,
//! boxes to buy, to rent, or there already, and where these fall below those.

use super::axis::{Axis, short};
use super::label::Point;
use super::scatter::{Curve, Figure, Look, Mark, Panel, Stroke};
use super::selection::usable;
use super::wording::origin;
use crate::analyze::report::{CostSheet, Curve as CostCurve, CurveKind, Report};

/// What costs so many times the dearest API at most is shown.
const DEAREST: f64 = 30.0;
/// Kinds of lines and what they are called.
const KINDS: [(CurveKind, Stroke, &str); 5] = [
    (CurveKind::Api, Stroke::Mark, "API"),
    (CurveKind::Plan, Stroke::Fourth, "plan"),
    (CurveKind::Owned, Stroke::Second, "to buy"),
    (CurveKind::OwnedIdle, Stroke::Base, "there already"),
    (CurveKind::Rented, Stroke::Quiet, "to rent"),
];

/// The figure, if some variant has a speed.
pub(super) fn figure(report: &Report) -> Option<Figure> {
    let costs = &report.costs;
    let top = dearest(costs)?;
    let curves: Vec<Curve> = costs.curves.iter().filter_map(|curve| shown(curve, top)).collect();
    let points: Vec<Point> = curves.iter().flat_map(|curve| curve.points.iter().copied()).collect();
    let boxes = costs.curves.iter().any(|curve| !matches!(curve.kind, CurveKind::Api | CurveKind::Plan));
    if points.is_empty() || !boxes {
        return None;
    }
    let mut marks: Vec<Mark> = costs.curves.iter().filter_map(|curve| name(curve, top)).collect();
    let crossings = costs.crossings.iter().filter(|c| c.usd <= top);
    marks.extend(crossings.map(|c| Mark { look: Look::Open, ..Mark::new("", c.mtok, c.usd) }));
    let x =
        Axis::log("million output tokens a month, log axis", &points.iter().map(|p| p.0).collect::<Vec<_>>());
    let label = "USD per million output tokens, their input included, log axis (lower is better)";
    let y = Axis::log(label, &points.iter().map(|p| p.1).collect::<Vec<_>>());
    let mut panel = Panel::new(x, y, marks);
    let used = |kind: CurveKind| costs.curves.iter().any(|curve| curve.kind == kind);
    panel.legend =
        KINDS.iter().filter(|kind| used(kind.0)).map(|kind| (Look::Line(kind.1), kind.2)).collect();
    panel.curves = curves;
    let mut notes = crossing_notes(costs);
    notes.push(format!(
        "Prices of {}. {}. Electricity computed from the watts given. Of what can be rented the cheapest is shown. An API serves another model.",
        costs.dated,
        throughput(costs)
    ));
    notes.extend(origin(&report.about));
    Some(Figure {
        name: "cost-volume".to_owned(),
        title: format!("What {} costs by monthly volume", costs.variant),
        subtitle: format!(
            "Workload {}. A box's line ends where it can produce no more. Rings: from here on a box costs no more than an API or a plan.",
            costs.workload.split(", ").take(2).collect::<Vec<_>>().join(", ")
        ),
        panels: vec![panel],
        notes,
    })
}

/// What is dearer is not shown: a box for a handful of tokens costs any amount for each.
fn dearest(costs: &CostSheet) -> Option<f64> {
    let ends = costs.curves.iter().filter_map(|curve| match curve.kind {
        CurveKind::Api => curve.points.first().map(|p| p.1),
        _ => curve.points.last().map(|p| p.1),
    });
    usable(ends.reduce(f64::max)).map(|usd| DEAREST * usd).filter(|usd| *usd > 0.0)
}

fn shown(curve: &CostCurve, top: f64) -> Option<Curve> {
    let (_, kind, _) = KINDS.iter().find(|kind| kind.0 == curve.kind)?;
    let fits = |p: &&Point| {
        p.1 <= top && usable(Some(p.1)).is_some_and(|usd| usd > 0.0) && usable(Some(p.0)).is_some()
    };
    let points: Vec<Point> = curve.points.iter().filter(fits).copied().collect();
    (points.len() > 1).then_some(Curve { points, kind: *kind })
}

/// A line's name stands at its left end for what is flat, at its right end for what falls.
fn name(curve: &CostCurve, top: f64) -> Option<Mark> {
    let drawn = shown(curve, top)?.points;
    let at = match curve.kind {
        CurveKind::Api | CurveKind::Rented => drawn.first(),
        CurveKind::Plan => drawn.get(drawn.len() / 5),
        CurveKind::Owned | CurveKind::OwnedIdle => drawn.last(),
    }?;
    let name = curve.scenario.split_once('.').map_or(curve.scenario.as_str(), |(_, name)| name);
    Some(Mark { look: Look::Bare, ..Mark::new(name, at.0, at.1) })
}

/// `owned.x costs no more than api.y from 13.8 million a month on`, by box.
fn crossing_notes(costs: &CostSheet) -> Vec<String> {
    let mut boxes: Vec<&str> = Vec::new();
    for crossing in &costs.crossings {
        if !boxes.contains(&crossing.scenario.as_str()) {
            boxes.push(&crossing.scenario);
        }
    }
    let note = |name: &&str| {
        let own = costs.crossings.iter().filter(|c| c.scenario == **name);
        let all: Vec<String> = own.map(|c| format!("{} from {}", c.against, short(c.mtok))).collect();
        format!("{name} costs no more than {} million output tokens a month.", all.join(", "))
    };
    boxes.iter().map(note).collect()
}

/// Where the throughput of the boxes is from.
fn throughput(costs: &CostSheet) -> String {
    let own = costs.rows.iter().filter(|row| row.kind == "price" && row.variant == costs.variant);
    let sources: Vec<&str> = own.map(|row| row.source.as_str()).filter(|source| !source.is_empty()).collect();
    let here = sources.iter().find(|source| source.starts_with("measured"));
    let elsewhere = sources.iter().any(|source| source.starts_with("scaled"));
    let here = here.map_or(String::new(), |source| format!("Throughput {source}"));
    if elsewhere { format!("{here}; on other devices scaled by memory bandwidth") } else { here }
}
