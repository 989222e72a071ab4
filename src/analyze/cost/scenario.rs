//! The scenarios of a costs file: boxes that a variant can run on, and what they are compared with.

use super::curves::{Cost, CurveKind, Line};
use super::formulas::{Month, Shape, Upkeep, api, measured_month, owned_month, rented};
use super::prices::Costs;

/// A box, as the costs file has it.
pub(super) struct Host<'a> {
    /// `owned.NAME` or `rented.NAME`.
    pub scenario: String,
    /// Bought, there already, or rented.
    pub kind: CurveKind,
    /// Name in the table of devices; absent for the machine of the sweep.
    pub device: Option<&'a str>,
    /// What it costs, if it is one's own.
    pub upkeep: Option<Upkeep>,
    /// Dollars an hour and share of the hours at work, if it is rented.
    pub rent: Option<(f64, f64)>,
}

impl Host<'_> {
    /// What it costs a month if it is busy so many hours with a million output tokens, which take so many joules, if
    /// these were measured.
    pub fn month(&self, hours: f64, joules: Option<f64>) -> Month {
        match (&self.upkeep, joules, self.rent) {
            (Some(upkeep), Some(joules), _) => measured_month(upkeep, hours, joules),
            (Some(upkeep), None, _) => owned_month(upkeep, hours),
            (None, _, rent) => {
                let (usd_per_hour, utilisation) = rent.unwrap_or((0.0, 1.0));
                rented(usd_per_hour, utilisation, hours)
            }
        }
    }

    /// Where the electricity is from that it is billed for: `measured`, or `computed` from the watts given. Empty where
    /// it is not ours to pay.
    pub fn energy_source(&self, joules: Option<f64>) -> &'static str {
        match (&self.upkeep, joules) {
            (None, _) => "",
            (Some(_), Some(_)) => "measured",
            (Some(_), None) => "computed",
        }
    }
}

/// Every box of the costs file.
pub(super) fn boxes(costs: &Costs) -> Vec<Host<'_>> {
    let owned = costs.owned.iter().map(|(name, owned)| Host {
        scenario: format!("owned.{name}"),
        kind: if owned.price_usd > 0.0 { CurveKind::Owned } else { CurveKind::OwnedIdle },
        device: owned.device.as_deref(),
        upkeep: Some(owned.upkeep(costs.electricity.usd_per_kwh)),
        rent: None,
    });
    let rented = costs.rented.iter().map(|(name, rented)| Host {
        scenario: format!("rented.{name}"),
        kind: CurveKind::Rented,
        device: rented.device.as_deref(),
        upkeep: None,
        rent: Some((rented.usd_per_hour, rented.utilisation)),
    });
    owned.chain(rented).collect()
}

/// Something that a box is compared with.
pub(super) struct Rival {
    /// `api.NAME` or `plan.NAME`.
    pub scenario: String,
    /// Where and of when its price is.
    pub source: String,
    /// API or subscription.
    pub kind: CurveKind,
    /// How it is paid for.
    pub cost: Cost,
}

impl Rival {
    /// As a line to draw.
    pub fn line(&self) -> Line<'_> {
        Line { scenario: &self.scenario, kind: self.kind, cost: self.cost }
    }
}

/// Every API and subscription of the costs file.
pub(super) fn rivals(costs: &Costs, shape: Shape) -> Vec<Rival> {
    let apis = costs.api.iter().map(|(name, one)| Rival {
        scenario: format!("api.{name}"),
        source: format!("{}, {}", one.source, one.date),
        kind: CurveKind::Api,
        cost: Cost::Month(api(shape, one.tariff())),
    });
    let plans = costs.plan.iter().map(|(name, one)| Rival {
        scenario: format!("plan.{name}"),
        source: format!("{}, {}", one.source, one.date),
        kind: CurveKind::Plan,
        cost: Cost::Plan(one.plan(shape)),
    });
    apis.chain(plans).collect()
}
