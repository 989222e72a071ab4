//! Cost by the million tokens over monthly volume, as lines to draw, and where the lines of boxes fall below the others.

use serde::Serialize;

use super::formulas::{BreakEven, Month, Plan, break_even, break_even_plan};

/// Least volume that is drawn, million output tokens a month.
const LEAST: f64 = 0.01;
/// The most volume that is drawn lies between these.
const MOST: (f64, f64) = (100.0, 1e5);
/// Points to a factor of ten.
const POINTS: f64 = 16.0;
/// Steps of a subscription that are drawn as such; further ones are too close together to see.
const STEPS: u32 = 8;

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CurveKind {
    /// An API.
    Api,
    /// A subscription.
    Plan,
    /// A box to buy.
    Owned,
    /// A box that is there.
    OwnedIdle,
    /// A box to rent.
    Rented,
}

/// Dollars a million output tokens over million output tokens a month.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Curve {
    /// The scenario.
    pub scenario: String,
    /// What it is.
    pub kind: CurveKind,
    /// Points, volume rising.
    pub points: Vec<(f64, f64)>,
}

/// From here on a box is no dearer than something else.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Crossing {
    /// The box.
    pub scenario: String,
    /// The other.
    pub against: String,
    /// Volume.
    pub mtok: f64,
    /// Dollars a million output tokens there.
    pub usd: f64,
}

/// How a scenario is paid for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Cost {
    /// By the month and the token.
    Month(Month),
    /// By the subscription.
    Plan(Plan),
}

impl Cost {
    /// Dollars a month at a volume.
    pub fn usd(&self, mtok: f64) -> f64 {
        match self {
            Self::Month(month) => month.usd(mtok),
            Self::Plan(plan) => plan.usd(mtok),
        }
    }

    /// From which volume on a box is no dearer.
    pub fn break_even(&self, ours: &Month) -> BreakEven {
        match self {
            Self::Month(month) => break_even(ours, month.usd_per_mtok),
            Self::Plan(plan) => break_even_plan(ours, plan),
        }
    }
}

/// A scenario to draw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Line<'a> {
    /// Its name.
    pub scenario: &'a str,
    /// What it is.
    pub kind: CurveKind,
    /// How it is paid for.
    pub cost: Cost,
}

/// The lines, boxes ending where they can produce no more.
pub(super) fn curves(lines: &[Line]) -> Vec<Curve> {
    let capacity = |line: &Line| match line.cost {
        Cost::Month(month) => month.capacity_mtok,
        Cost::Plan(_) => None,
    };
    let most = lines.iter().filter_map(capacity).fold(MOST.0, f64::max).min(MOST.1);
    lines
        .iter()
        .map(|line| {
            let end = capacity(line).unwrap_or(most).min(most);
            let points = match line.cost {
                Cost::Plan(plan) => staircase(&plan, end),
                Cost::Month(_) => volumes(end).into_iter().map(|v| (v, line.cost.usd(v) / v)).collect(),
            };
            Curve { scenario: line.scenario.to_owned(), kind: line.kind, points }
        })
        .filter(|curve| curve.points.len() > 1)
        .collect()
}

/// Volumes at even factors, up to this one.
fn volumes(end: f64) -> Vec<f64> {
    let count = ((end / LEAST).log10() * POINTS).ceil().max(0.0) as u32;
    let even = (0..count).map(|i| LEAST * 10_f64.powf(f64::from(i) / POINTS));
    even.filter(|v| *v < end).chain([end]).collect()
}

/// Falling within a step, up at its end; after some steps what they come to.
fn staircase(plan: &Plan, end: f64) -> Vec<(f64, f64)> {
    let mut points = Vec::new();
    for step in 0..STEPS {
        let (from, to) = (f64::from(step) * plan.limit_mtok, f64::from(step + 1) * plan.limit_mtok);
        let usd = f64::from(step + 1) * plan.usd_per_month;
        let within = volumes(to.min(end)).into_iter().filter(|v| *v > from);
        points.extend(
            [from].into_iter().filter(|v| *v >= LEAST && *v < end).chain(within).map(|v| (v, usd / v)),
        );
    }
    let settled = plan.usd_per_month / plan.limit_mtok;
    if f64::from(STEPS) * plan.limit_mtok < end {
        points.push((end, settled));
    }
    points
}

/// Where each box falls to what each API and subscription costs, within what is drawn.
pub(super) fn crossings(boxes: &[Line], rivals: &[Line]) -> Vec<Crossing> {
    let mut found = Vec::new();
    for ours in boxes {
        let Cost::Month(month) = ours.cost else { continue };
        for rival in rivals {
            if let BreakEven::At(mtok) = rival.cost.break_even(&month)
                && (LEAST..=MOST.1).contains(&mtok)
            {
                found.push(Crossing {
                    scenario: ours.scenario.to_owned(),
                    against: rival.scenario.to_owned(),
                    mtok,
                    usd: month.usd(mtok) / mtok,
                });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn month(fixed_usd: f64, usd_per_mtok: f64, capacity_mtok: Option<f64>) -> Cost {
        Cost::Month(Month { fixed_usd, usd_per_mtok, capacity_mtok })
    }

    #[test]
    fn lines_end_at_capacity_and_cross_where_they_break_even() {
        let own = Line { scenario: "own", kind: CurveKind::Owned, cost: month(30.0, 1.0, Some(20.0)) };
        let api = Line { scenario: "api", kind: CurveKind::Api, cost: month(0.0, 4.0, None) };
        let drawn = curves(&[own, api]);
        let last = |i: usize| *drawn[i].points.last().expect("points");
        assert_eq!((last(0), last(1)), ((20.0, 2.5), (100.0, 4.0)));
        assert!(drawn[0].points.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 > w[1].1));
        let found = crossings(&[own], &[api]);
        assert_eq!((found[0].mtok, found[0].usd), (10.0, 4.0));
        let small = Line { cost: month(30.0, 1.0, Some(9.0)), ..own };
        assert!(crossings(&[small], &[api]).is_empty(), "it cannot produce so much");
    }

    #[test]
    fn a_subscription_is_a_staircase() {
        let plan = Plan { usd_per_month: 20.0, limit_mtok: 10.0 };
        let drawn = curves(&[Line { scenario: "p", kind: CurveKind::Plan, cost: Cost::Plan(plan) }]);
        let points = &drawn[0].points;
        assert!(points.windows(2).all(|w| w[0].0 <= w[1].0), "{points:?}");
        // One covers 10 at 2.00 each; just above, two are paid for: 4.00.
        let at_ten: Vec<f64> = points.iter().filter(|p| (p.0 - 10.0).abs() < 1e-9).map(|p| p.1).collect();
        assert_eq!(at_ten, [2.0, 4.0]);
        assert_eq!(points.last(), Some(&(100.0, 2.0)));
    }
}
