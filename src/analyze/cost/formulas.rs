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

/// What a token takes of electricity, as measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Joules {
    /// A prompt token.
    pub pp: f64,
    /// A generated token.
    pub tg: f64,
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

/// Joules of a million output tokens and of their input that is not cached.
pub(super) fn joules(token: Joules, shape: Shape) -> f64 {
    let read = shape.input_per_output * (1.0 - shape.cached_share);
    MILLION * (token.tg + read * token.pp)
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

/// A box of one's own by the month.
pub(super) fn owned_month(upkeep: &Upkeep, busy_hours: f64) -> Month {
    let hardware = (upkeep.price_usd - upkeep.resale_usd) / upkeep.life_months;
    let idle = upkeep.watts_idle * HOURS / WATTS * upkeep.usd_per_kwh;
    let setup = upkeep.setup_hours * upkeep.wage_usd_per_hour / upkeep.life_months;
    Month {
        fixed_usd: hardware + if upkeep.otherwise_off { idle } else { 0.0 } + setup,
        usd_per_mtok: (upkeep.watts_busy - upkeep.watts_idle) / WATTS * upkeep.usd_per_kwh * busy_hours,
        capacity_mtok: Some(capacity(upkeep.utilisation, busy_hours)),
    }
}

/// The same with the joules that a million output tokens were measured to take, in place of the watts at work. What the
/// counters saw of an idle machine is in them; the watts idle of a box that would be off otherwise stay in the fixed share.
pub(super) fn measured_month(upkeep: &Upkeep, busy_hours: f64, joules: f64) -> Month {
    let kwh = joules / SECONDS / WATTS;
    Month { usd_per_mtok: kwh * upkeep.usd_per_kwh, ..owned_month(upkeep, busy_hours) }
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9 * b.abs().max(1.0)
    }

    const CODING: Shape = Shape { input_per_output: 4.0, cached_share: 0.75 };
    /// 40 tokens/s written, 1,000 read.
    const CARD: Speed = Speed { pp_tps: 1000.0, tg_tps: 40.0 };

    fn box_() -> Upkeep {
        Upkeep {
            price_usd: 1300.0,
            resale_usd: 500.0,
            life_months: 40.0,
            watts_idle: 50.0,
            watts_busy: 400.0,
            otherwise_off: true,
            setup_hours: 8.0,
            wage_usd_per_hour: 30.0,
            utilisation: 0.25,
            usd_per_kwh: 0.2,
        }
    }

    /// A million tokens at 40 a second: 25,000 s. Their 4 million input tokens, of which 1 million is read, at 1,000 a
    /// second: 1,000 s. Together 26,000 s = 7.2222 h. In 730 h at 25%: 182.5 h / 7.2222 h = 25.2692 Mtok.
    #[test]
    fn hours_and_capacity_by_hand() {
        let hours = busy_hours(CARD, CODING);
        assert!(near(hours, 26_000.0 / 3600.0));
        assert!(near(capacity(0.25, hours), 182.5 * 3600.0 / 26_000.0));
    }

    /// $0.30 in, $0.03 cached, $3.20 out: 4 x (0.25 x 0.30 + 0.75 x 0.03) + 3.20 = 4 x 0.0975 + 3.20 = $3.59.
    #[test]
    fn an_api_by_hand() {
        let month = api(CODING, Tariff { input: 0.3, cached: 0.03, output: 3.2 });
        assert!(near(month.usd_per_mtok, 3.59) && near(month.usd(10.0), 35.9));
        assert!(month.produces(1e9));
    }

    /// A month: (1300 - 500) / 40 = $20; idle 50 W x 730 h = 36.5 kWh x $0.20 = $7.30; setting up 8 x $30 / 40 = $6:
    /// $33.30. A million tokens more: 350 W x 7.2222 h = 2.52778 kWh = $0.505556. Against $3.59: 33.30 / 3.084444 =
    /// 10.7961 Mtok, less than the 25.2692 that it can produce.
    #[test]
    fn a_box_of_ones_own_by_hand() {
        let hours = busy_hours(CARD, CODING);
        let month = owned_month(&box_(), hours);
        assert!(near(month.fixed_usd, 33.3));
        assert!(near(month.usd_per_mtok, 0.35 * 0.2 * 26_000.0 / 3600.0));
        let BreakEven::At(mtok) = break_even(&month, 3.59) else { panic!("it breaks even") };
        assert!((mtok - 10.7961).abs() < 1e-4, "{mtok}");
        // At 10% it produces 10.1077 only.
        let month = owned_month(&Upkeep { utilisation: 0.1, ..box_() }, hours);
        assert_eq!(break_even(&month, 3.59), BreakEven::BeyondCapacity(mtok));
        assert_eq!(break_even(&month, 0.5), BreakEven::Never);
    }

    /// There already and on anyway: only setting it up, $60 / 40 = $1.50 a month, and the watts of the work.
    #[test]
    fn an_idle_box_by_hand() {
        let there =
            Upkeep { price_usd: 0.0, resale_usd: 0.0, otherwise_off: false, setup_hours: 2.0, ..box_() };
        let month = owned_month(&there, busy_hours(CARD, CODING));
        assert!(near(month.fixed_usd, 1.5));
        let free = owned_month(&Upkeep { setup_hours: 0.0, ..there }, busy_hours(CARD, CODING));
        assert_eq!(break_even(&free, 3.59), BreakEven::At(0.0));
        assert_eq!(break_even(&free, 0.1), BreakEven::Never);
    }

    /// 2 J a token written, 0.1 J a token read: 2 + 4 x 0.25 x 0.1 = 2.1 MJ a million = 0.583333 kWh = $0.116667. The fixed
    /// share and the capacity are those of the box.
    #[test]
    fn measured_joules_by_hand() {
        let taken = joules(Joules { pp: 0.1, tg: 2.0 }, CODING);
        assert!(near(taken, 2.1e6));
        let hours = busy_hours(CARD, CODING);
        let (month, computed) = (measured_month(&box_(), hours, taken), owned_month(&box_(), hours));
        assert!(near(month.usd_per_mtok, 2.1 / 3.6 * 0.2));
        assert_eq!((month.fixed_usd, month.capacity_mtok), (computed.fixed_usd, computed.capacity_mtok));
        // Drawing what was given for as long comes to the same.
        let drawn = 350.0 * hours * 3600.0;
        assert!(near(measured_month(&box_(), hours, drawn).usd_per_mtok, computed.usd_per_mtok));
    }

    /// $0.30 an hour, half of the hours at work: 0.30 x 7.2222 / 0.5 = $4.3333 a million, nothing a month.
    #[test]
    fn a_rented_box_by_hand() {
        let month = rented(0.3, 0.5, busy_hours(CARD, CODING));
        assert!(near(month.usd_per_mtok, 13.0 / 3.0) && near(month.usd(2.0), 26.0 / 3.0));
        assert_eq!(break_even(&month, 3.59), BreakEven::Never);
        assert_eq!(break_even(&month, 5.0), BreakEven::At(0.0));
    }

    /// $20 for 10 Mtok. A box at $33.30 and $0.50 a Mtok: with one, 33.30 > 20. Just above 10 Mtok two are paid for,
    /// $40, the box is 33.30 + 5 = $38.30: from 10 on. At $75 a month: two 40 < 80, three 60 < 85, four 80 < 90, five
    /// (above 40 Mtok) 100 > 95: from 40 on.
    #[test]
    fn subscriptions_by_hand() {
        let plan = Plan { usd_per_month: 20.0, limit_mtok: 10.0 };
        assert!(
            [(0.0, 20.0), (10.0, 20.0), (10.1, 40.0), (35.0, 80.0)]
                .iter()
                .all(|(v, usd)| near(plan.usd(*v), *usd))
        );
        let month = Month { fixed_usd: 33.3, usd_per_mtok: 0.5, capacity_mtok: Some(30.0) };
        assert_eq!(break_even_plan(&month, &plan), BreakEven::At(10.0));
        let dear = Month { fixed_usd: 75.0, ..month };
        assert_eq!(break_even_plan(&dear, &plan), BreakEven::BeyondCapacity(40.0));
        assert_eq!(break_even_plan(&Month { fixed_usd: 19.0, ..month }, &plan), BreakEven::At(0.0));
        assert_eq!(break_even_plan(&Month { usd_per_mtok: 2.0, ..month }, &plan), BreakEven::Never);
    }

    prop_compose! {
        fn any_box()(
            price in 0.0..1e5, resale in 0.0..1.0, life in 1.0..100.0, idle in 0.0..500.0, extra in 0.0..1500.0,
            off in any::<bool>(), setup in 0.0..100.0, wage in 0.0..200.0, used in 0.001..1.0, kwh in 0.0..2.0,
        ) -> Upkeep {
            Upkeep {
                price_usd: price, resale_usd: price * resale, life_months: life, watts_idle: idle,
                watts_busy: idle + extra, otherwise_off: off, setup_hours: setup, wage_usd_per_hour: wage,
                utilisation: used, usd_per_kwh: kwh,
            }
        }
    }

    prop_compose! {
        fn any_work()(pp in 1.0..1e5, tg in 0.1..1e4, r in 0.0..50.0, c in 0.0..1.0) -> (Speed, Shape) {
            (Speed { pp_tps: pp, tg_tps: tg }, Shape { input_per_output: r, cached_share: c })
        }
    }

    proptest! {
        #[test]
        fn a_box_costs_more_with_every_price_and_makes_more_with_every_hour(
            box_ in any_box(), (speed, shape) in any_work(), volume in 0.01..1e4, more in 1.0..3.0,
        ) {
            let hours = busy_hours(speed, shape);
            let usd = |b: &Upkeep| owned_month(b, hours).usd(volume);
            let now = usd(&box_);
            let more_of = [
                Upkeep { price_usd: box_.price_usd * more, ..box_ },
                Upkeep { setup_hours: box_.setup_hours * more, ..box_ },
                Upkeep { watts_busy: box_.watts_busy * more, ..box_ },
                Upkeep { usd_per_kwh: box_.usd_per_kwh * more, ..box_ },
            ];
            prop_assert!(more_of.iter().all(|b| usd(b) >= now * (1.0 - 1e-12)));
            let longer = Upkeep { life_months: box_.life_months * more, ..box_ };
            prop_assert!(usd(&longer) <= now * (1.0 + 1e-12));
            let used = Upkeep { utilisation: box_.utilisation / more, ..box_ };
            let most = |b: &Upkeep| owned_month(b, hours).capacity_mtok.unwrap();
            prop_assert!(most(&used) <= most(&box_));
            let in_full = |b: &Upkeep| { let m = owned_month(b, hours); m.usd(most(b)) / most(b) };
            prop_assert!(in_full(&used) >= in_full(&box_) * (1.0 - 1e-12));
            let faster = Speed { tg_tps: speed.tg_tps * more, ..speed };
            prop_assert!(busy_hours(faster, shape) <= hours);
        }

        #[test]
        fn where_a_box_breaks_even_both_cost_the_same(
            box_ in any_box(), (speed, shape) in any_work(), usd_per_mtok in 0.01..100.0,
        ) {
            let month = owned_month(&box_, busy_hours(speed, shape));
            match break_even(&month, usd_per_mtok) {
                BreakEven::At(mtok) | BreakEven::BeyondCapacity(mtok) => {
                    let (ours, theirs) = (month.usd(mtok), usd_per_mtok * mtok);
                    prop_assert!(mtok == 0.0 || (ours - theirs).abs() <= 1e-6 * theirs, "{} {}", ours, theirs);
                    prop_assert!(month.usd(mtok * 2.0 + 1.0) <= usd_per_mtok * (mtok * 2.0 + 1.0) * (1.0 + 1e-9));
                }
                BreakEven::Never => prop_assert!(month.usd(1e9) > usd_per_mtok * 1e9 * (1.0 - 1e-9)),
            }
        }

        /// Against a staircase: cheaper just above the volume found, dearer at the beginning of every step below.
        #[test]
        fn a_box_first_beats_a_subscription_where_it_is_said_to(
            fixed in 0.0..300.0, marginal in 0.0..2.0, price in 1.0..50.0, limit in 0.5..50.0,
        ) {
            let month = Month { fixed_usd: fixed, usd_per_mtok: marginal, capacity_mtok: None };
            let plan = Plan { usd_per_month: price, limit_mtok: limit };
            let cheaper = |step: u32| {
                let volume = limit * f64::from(step) * (1.0 + 1e-12);
                month.usd(volume) < price * f64::from(step + 1) * (1.0 - 1e-9)
            };
            match break_even_plan(&month, &plan) {
                BreakEven::At(mtok) => {
                    let steps = (mtok / limit).round() as u32;
                    prop_assert!((0..steps.min(500)).all(|step| !cheaper(step)), "{}", steps);
                    let volume = mtok + 1e-9 * limit;
                    prop_assert!(month.usd(volume) <= price * f64::from(steps + 1) * (1.0 + 1e-6));
                }
                BreakEven::BeyondCapacity(_) => prop_assert!(false, "nothing limits it"),
                BreakEven::Never => prop_assert!((0..200).all(|step| !cheaper(step))),
            }
        }

        #[test]
        fn rent_is_dearer_the_more_it_waits(used in 0.01..1.0, less in 0.1..1.0, usd in 0.01..10.0, hours in 0.001..1e3) {
            let (busy, lazy) = (rented(usd, used, hours), rented(usd, used * less, hours));
            prop_assert!(lazy.usd_per_mtok >= busy.usd_per_mtok);
            // What is paid for all the hours is what all that is produced in them costs.
            let most = busy.capacity_mtok.unwrap();
            prop_assert!((busy.usd(most) - usd * HOURS).abs() <= 1e-9 * usd * HOURS);
        }
    }
}
