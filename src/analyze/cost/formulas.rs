//! The arithmetic of costs, in US dollars a month and per million output tokens ("Mtok"). Nothing here knows a file or
//! a name.
//!
//! With r input tokens to an output token of which a share c is cached, a box that generates `tg` and reads `pp` tokens
//! a second is busy `(1e6/tg + r(1-c) 1e6/pp) / 3600` hours with a million output tokens.

/// Hours of a month.
pub(super) const HOURS: f64 = 730.0;
const MILLION: f64 = 1e6;
const SECONDS: f64 = 3600.0;
const WATTS: f64 = 1000.0;

/// What a workload asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shape {
    /// Input tokens to an output token.
    pub input_per_output: f64,
    /// Share of the input that is cached.
    pub cached_share: f64,
}

/// What a box does with a model, all streams together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Speed {
    /// Prompt tokens a second.
    pub pp_tps: f64,
    /// Generated tokens a second.
    pub tg_tps: f64,
}

/// Prices of an API, a million tokens each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tariff {
    /// Input.
    pub input: f64,
    /// Input that is cached.
    pub cached: f64,
    /// Output.
    pub output: f64,
}

/// What a box of one's own costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Upkeep {
    /// To buy; 0 if it is there already.
    pub price_usd: f64,
    /// What it is sold for in the end.
    pub resale_usd: f64,
    /// Months between the two.
    pub life_months: f64,
    /// Watts idle.
    pub watts_idle: f64,
    /// Watts at work.
    pub watts_busy: f64,
    /// Whether it would be off otherwise, so that what it draws idle counts.
    pub otherwise_off: bool,
    /// Hours to set it up.
    pub setup_hours: f64,
    /// What such an hour is worth.
    pub wage_usd_per_hour: f64,
    /// Share of a month's hours in which it can work.
    pub utilisation: f64,
    /// Electricity.
    pub usd_per_kwh: f64,
}

/// What a way to run a model costs a month.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Month {
    /// Dollars a month whatever is asked for.
    pub fixed_usd: f64,
    /// Dollars on top for every million output tokens.
    pub usd_per_mtok: f64,
    /// Million output tokens it can produce; absent where nothing limits it.
    pub capacity_mtok: Option<f64>,
}

/// A subscription: dollars a month, and million output tokens of this shape that it covers. Above that another one is
/// needed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Plan {
    /// Dollars a month.
    pub usd_per_month: f64,
    /// Million output tokens.
    pub limit_mtok: f64,
}

/// From which volume on a box is no dearer than something else.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum BreakEven {
    /// From this many million output tokens a month on; 0 if at any.
    At(f64),
    /// It would be from here on, which is more than it can produce.
    BeyondCapacity(f64),
    /// Every token costs more than elsewhere.
    Never,
}

/// Hours that a box is busy with a million output tokens.
pub(super) fn busy_hours(speed: Speed, shape: Shape) -> f64 {
    let read = shape.input_per_output * (1.0 - shape.cached_share);
    (MILLION / speed.tg_tps + read * MILLION / speed.pp_tps) / SECONDS
}

/// Million output tokens a month that a box can produce.
fn capacity(utilisation: f64, busy_hours: f64) -> f64 {
    HOURS * utilisation / busy_hours
}

/// An API by the month: a million output tokens and their input, cached or not.
pub(super) fn api(shape: Shape, tariff: Tariff) -> Month {
    let c = shape.cached_share;
    let input = shape.input_per_output * ((1.0 - c) * tariff.input + c * tariff.cached);
    Month { fixed_usd: 0.0, usd_per_mtok: input + tariff.output, capacity_mtok: None }
}

/// Dollars an hour that work adds to what a box of one's own costs.
pub(super) fn busy_usd_per_hour(box_: &Upkeep) -> f64 {
    (box_.watts_busy - box_.watts_idle) / WATTS * box_.usd_per_kwh
}

/// A box of one's own by the month.
pub(super) fn owned_month(box_: &Upkeep, busy_hours: f64) -> Month {
    let hardware = (box_.price_usd - box_.resale_usd) / box_.life_months;
    let idle = box_.watts_idle * HOURS / WATTS * box_.usd_per_kwh;
    let setup = box_.setup_hours * box_.wage_usd_per_hour / box_.life_months;
    Month {
        fixed_usd: hardware + if box_.otherwise_off { idle } else { 0.0 } + setup,
        usd_per_mtok: busy_usd_per_hour(box_) * busy_hours,
        capacity_mtok: Some(capacity(box_.utilisation, busy_hours)),
    }
}

/// A rented box by the month: the hours that it works and those in which it waits.
pub(super) fn rented(usd_per_hour: f64, utilisation: f64, busy_hours: f64) -> Month {
    Month {
        fixed_usd: 0.0,
        usd_per_mtok: usd_per_hour * busy_hours / utilisation,
        capacity_mtok: Some(capacity(utilisation, busy_hours)),
    }
}

impl Month {
    /// Dollars a month at a volume of million output tokens, whether it can be produced or not.
    pub fn usd(&self, mtok: f64) -> f64 {
        self.fixed_usd + self.usd_per_mtok * mtok
    }

    /// Whether so much can be produced.
    pub fn produces(&self, mtok: f64) -> bool {
        self.capacity_mtok.is_none_or(|most| mtok <= most)
    }
}

impl Plan {
    /// Dollars a month at a volume: as many subscriptions as are needed, at least one.
    pub fn usd(&self, mtok: f64) -> f64 {
        self.usd_per_month * (mtok / self.limit_mtok).ceil().max(1.0)
    }
}

/// From which volume on a box is no dearer than something that costs so much a token.
pub(super) fn break_even(ours: &Month, usd_per_mtok: f64) -> BreakEven {
    let saved = usd_per_mtok - ours.usd_per_mtok;
    if ours.fixed_usd <= 0.0 && saved >= 0.0 {
        return BreakEven::At(0.0);
    }
    if saved <= 0.0 {
        return BreakEven::Never;
    }
    reached(ours, ours.fixed_usd / saved)
}

fn reached(ours: &Month, mtok: f64) -> BreakEven {
    if ours.produces(mtok) { BreakEven::At(mtok) } else { BreakEven::BeyondCapacity(mtok) }
}

/// The same against a subscription. It is a staircase: just above the volume that k of them cover, k + 1 are paid for.
pub(super) fn break_even_plan(ours: &Month, plan: &Plan) -> BreakEven {
    let (price, limit) = (plan.usd_per_month, plan.limit_mtok);
    // With k subscriptions ours is cheaper somewhere if it is at the beginning of their step:
    // fixed + marginal limit k < price (k + 1).
    let (missing, gained) = (ours.fixed_usd - price, price - ours.usd_per_mtok * limit);
    if missing < 0.0 {
        return BreakEven::At(0.0);
    }
    if gained <= 0.0 {
        return BreakEven::Never;
    }
    let steps = (missing / gained).floor() + 1.0;
    reached(ours, steps * limit)
}
