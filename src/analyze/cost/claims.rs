//! The field's sayings about cost, worked on the inputs of the costs file: whether they hold there, by which numbers, and
//! which single input, changed to what, would turn the verdict.

use serde::Serialize;

use super::formulas::{Month, Shape, Speed, Tariff, Upkeep, api, busy_hours, owned_month, rented};
use super::prices::{ClaimInputs, Costs};

/// An input is looked at between a thousandth and a thousand times what it is.
const REACH: f64 = 1000.0;
/// Places looked at each way.
const PLACES: u32 = 600;
/// Halvings of the last step: more than a float has digits.
const HALVINGS: u32 = 60;

/// A saying, and what the inputs make of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Claim {
    /// The saying.
    pub claim: String,
    /// The model, the boxes and the API that it is worked on.
    pub on: String,
    /// Whether it holds on these inputs.
    pub holds: bool,
    /// By which numbers.
    pub numbers: String,
    /// What would turn it, the smallest change first.
    pub flips: Vec<Flip>,
}

/// A change of one input that turns a verdict.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Flip {
    /// The input, by its key in the costs file.
    pub input: String,
    /// What it is.
    pub value: f64,
    /// Where the verdict turns.
    pub turns_at: f64,
}

impl Flip {
    /// Whether the input has to grow.
    #[must_use]
    pub fn grows(&self) -> bool {
        self.turns_at > self.value
    }
}

/// All that the verdicts depend on.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Case {
    owned: Upkeep,
    idle: Upkeep,
    rent_usd_per_hour: f64,
    rent_utilisation: f64,
    tariff: Tariff,
    shape: Shape,
    speed: Speed,
    low_mtok: f64,
    middling_mtok: f64,
    nearly_free_share: f64,
}

/// A case by the month.
struct Months {
    owned: Month,
    idle: Month,
    rented: Month,
    api: Month,
}

impl Case {
    fn months(&self) -> Months {
        let hours = busy_hours(self.speed, self.shape);
        Months {
            owned: owned_month(&self.owned, hours),
            idle: owned_month(&self.idle, hours),
            rented: rented(self.rent_usd_per_hour, self.rent_utilisation, hours),
            api: api(self.shape, self.tariff),
        }
    }
}

impl Months {
    /// Dollars a million tokens of the box that works all the hours it can.
    fn owned_in_full(&self) -> f64 {
        let most = self.owned.capacity_mtok.unwrap_or(f64::INFINITY);
        self.owned.fixed_usd / most + self.owned.usd_per_mtok
    }
}

struct Saying {
    words: &'static str,
    holds: fn(&Case) -> bool,
    numbers: fn(&Case) -> String,
}

const SAYINGS: [Saying; 4] = [
    Saying {
        words: "The API is cheaper at low and middling volume",
        holds: |case| {
            let m = case.months();
            [case.low_mtok, case.middling_mtok].iter().all(|&v| m.api.usd(v) < m.owned.usd(v))
        },
        numbers: |case| {
            let m = case.months();
            let at = |v: f64| {
                format!(
                    "at {v} million output tokens a month ${:.2} against ${:.2} for the box",
                    m.api.usd(v),
                    m.owned.usd(v)
                )
            };
            format!("{}; {}", at(case.low_mtok), at(case.middling_mtok))
        },
    },
    Saying {
        words: "Hardware of one's own wins at high, steady volume only",
        holds: |case| {
            let m = case.months();
            let middling = m.owned.usd(case.middling_mtok) < m.api.usd(case.middling_mtok);
            m.owned_in_full() < m.api.usd_per_mtok && !middling
        },
        numbers: |case| {
            let m = case.months();
            format!(
                "the box at work {:.0}% of the time produces {:.1} million output tokens a month at ${:.2} each, the API's cost ${:.2}; at {} million the box costs ${:.2} a month, the API ${:.2}",
                100.0 * case.owned.utilisation,
                m.owned.capacity_mtok.unwrap_or(f64::INFINITY),
                m.owned_in_full(),
                m.api.usd_per_mtok,
                case.middling_mtok,
                m.owned.usd(case.middling_mtok),
                m.api.usd(case.middling_mtok),
            )
        },
    },
    Saying {
        words: "A box that stands idle anyway is nearly free",
        holds: |case| {
            let m = case.months();
            let v = case.middling_mtok;
            m.idle.produces(v) && m.idle.usd(v) <= case.nearly_free_share * m.api.usd(v)
        },
        numbers: |case| {
            let m = case.months();
            let v = case.middling_mtok;
            format!(
                "at {v} million output tokens a month ${:.2}, {:.0}% of the API's ${:.2}; nearly free is at most {:.0}%",
                m.idle.usd(v),
                100.0 * m.idle.usd(v) / m.api.usd(v),
                m.api.usd(v),
                100.0 * case.nearly_free_share
            )
        },
    },
    Saying {
        words: "Rented hours do not win",
        holds: |case| {
            let m = case.months();
            m.rented.usd_per_mtok >= m.api.usd_per_mtok
        },
        numbers: |case| {
            let m = case.months();
            format!(
                "a million output tokens cost ${:.2} on a box rented at ${} an hour and at work {:.0}% of it, ${:.2} from the API",
                m.rented.usd_per_mtok,
                case.rent_usd_per_hour,
                100.0 * case.rent_utilisation,
                m.api.usd_per_mtok
            )
        },
    },
];

/// An input: its key, where it lies in a case, and between what it may be moved.
struct Input {
    key: fn(&ClaimInputs) -> String,
    of: fn(&mut Case) -> &mut f64,
    also: fn(&mut Case, f64),
    range: fn(&Case) -> (f64, f64),
}

const ANY: fn(&Case) -> (f64, f64) = |_| (0.0, f64::INFINITY);
const SHARE: fn(&Case) -> (f64, f64) = |_| (0.0, 1.0);
const ALONE: fn(&mut Case, f64) = |_, _| {};

const INPUTS: [Input; 21] = [
    Input {
        key: |c| format!("owned.{}.price_usd", c.owned),
        of: |c| &mut c.owned.price_usd,
        also: ALONE,
        range: |c| (c.owned.resale_usd, f64::INFINITY),
    },
    Input {
        key: |c| format!("owned.{}.resale_usd", c.owned),
        of: |c| &mut c.owned.resale_usd,
        also: ALONE,
        range: |c| (0.0, c.owned.price_usd),
    },
    Input {
        key: |c| format!("owned.{}.life_months", c.owned),
        of: |c| &mut c.owned.life_months,
        also: ALONE,
        range: ANY,
    },
    Input {
        key: |c| format!("owned.{}.watts_idle", c.owned),
        of: |c| &mut c.owned.watts_idle,
        also: ALONE,
        range: |c| (0.0, c.owned.watts_busy),
    },
    Input {
        key: |c| format!("owned.{}.watts_busy", c.owned),
        of: |c| &mut c.owned.watts_busy,
        also: ALONE,
        range: |c| (c.owned.watts_idle, f64::INFINITY),
    },
    Input {
        key: |c| format!("owned.{}.setup_hours", c.owned),
        of: |c| &mut c.owned.setup_hours,
        also: ALONE,
        range: ANY,
    },
    Input {
        key: |c| format!("owned.{}.utilisation", c.owned),
        of: |c| &mut c.owned.utilisation,
        also: ALONE,
        range: SHARE,
    },
    Input {
        key: |c| format!("owned.{}.watts_busy", c.idle),
        of: |c| &mut c.idle.watts_busy,
        also: ALONE,
        range: |c| (c.idle.watts_idle, f64::INFINITY),
    },
    Input {
        key: |c| format!("owned.{}.setup_hours", c.idle),
        of: |c| &mut c.idle.setup_hours,
        also: ALONE,
        range: ANY,
    },
    Input {
        key: |c| format!("owned.{}.utilisation", c.idle),
        of: |c| &mut c.idle.utilisation,
        also: ALONE,
        range: SHARE,
    },
    Input {
        key: |c| format!("rented.{}.usd_per_hour", c.rented),
        of: |c| &mut c.rent_usd_per_hour,
        also: ALONE,
        range: ANY,
    },
    Input {
        key: |c| format!("rented.{}.utilisation", c.rented),
        of: |c| &mut c.rent_utilisation,
        also: ALONE,
        range: SHARE,
    },
    Input {
        key: |_| "electricity.usd_per_kwh".to_owned(),
        of: |c| &mut c.owned.usd_per_kwh,
        also: |c, v| c.idle.usd_per_kwh = v,
        range: ANY,
    },
    Input {
        key: |c| format!("api.{}.usd_per_mtok_in", c.api),
        of: |c| &mut c.tariff.input,
        also: ALONE,
        range: ANY,
    },
    Input {
        key: |c| format!("api.{}.usd_per_mtok_out", c.api),
        of: |c| &mut c.tariff.output,
        also: ALONE,
        range: ANY,
    },
    Input {
        key: |c| format!("workloads.{}.input_per_output", c.workload),
        of: |c| &mut c.shape.input_per_output,
        also: ALONE,
        range: ANY,
    },
    Input {
        key: |c| format!("workloads.{}.cached_share", c.workload),
        of: |c| &mut c.shape.cached_share,
        also: ALONE,
        range: SHARE,
    },
    Input { key: |_| "claims.tg_tps".to_owned(), of: |c| &mut c.speed.tg_tps, also: ALONE, range: ANY },
    Input { key: |_| "claims.pp_tps".to_owned(), of: |c| &mut c.speed.pp_tps, also: ALONE, range: ANY },
    Input {
        key: |_| "claims.middling_mtok_out".to_owned(),
        of: |c| &mut c.middling_mtok,
        also: ALONE,
        range: ANY,
    },
    Input {
        key: |_| "claims.nearly_free_share".to_owned(),
        of: |c| &mut c.nearly_free_share,
        also: ALONE,
        range: SHARE,
    },
];

/// Every saying, worked on the costs file; nothing if it has no claims.
#[must_use]
pub fn claims(costs: &Costs) -> Vec<Claim> {
    let Some((inputs, case)) = costs.claims.as_ref().and_then(|inputs| Some((inputs, case(costs, inputs)?)))
    else {
        return Vec::new();
    };
    SAYINGS.iter().map(|saying| work(saying, &case, inputs)).collect()
}

fn case(costs: &Costs, inputs: &ClaimInputs) -> Option<Case> {
    let usd_per_kwh = costs.electricity.usd_per_kwh;
    let rented = costs.rented.get(&inputs.rented)?;
    Some(Case {
        owned: costs.owned.get(&inputs.owned)?.upkeep(usd_per_kwh),
        idle: costs.owned.get(&inputs.idle)?.upkeep(usd_per_kwh),
        rent_usd_per_hour: rented.usd_per_hour,
        rent_utilisation: rented.utilisation,
        tariff: costs.api.get(&inputs.api)?.tariff(),
        shape: costs.workloads.get(&inputs.workload)?.shape(),
        speed: Speed { pp_tps: inputs.pp_tps, tg_tps: inputs.tg_tps },
        low_mtok: inputs.low_mtok_out,
        middling_mtok: inputs.middling_mtok_out,
        nearly_free_share: inputs.nearly_free_share,
    })
}

fn work(saying: &Saying, case: &Case, inputs: &ClaimInputs) -> Claim {
    let holds = (saying.holds)(case);
    let mut flips: Vec<Flip> = INPUTS.iter().filter_map(|input| flip(saying, case, input, inputs)).collect();
    let far = |flip: &Flip| (flip.turns_at.max(1e-12) / flip.value.max(1e-12)).ln().abs();
    flips.sort_by(|a, b| far(a).total_cmp(&far(b)));
    let on = format!(
        "{}; boxes owned.{}, owned.{} and rented.{}, api.{}, workload {}; {}, {}",
        inputs.model,
        inputs.owned,
        inputs.idle,
        inputs.rented,
        inputs.api,
        inputs.workload,
        inputs.source,
        inputs.date
    );
    Claim { claim: saying.words.to_owned(), on, holds, numbers: (saying.numbers)(case), flips }
}

fn moved(case: &Case, input: &Input, value: f64) -> Case {
    let mut moved = *case;
    *(input.of)(&mut moved) = value;
    (input.also)(&mut moved, value);
    moved
}

/// The nearest value of an input at which the verdict is another, by factors.
fn flip(saying: &Saying, case: &Case, input: &Input, inputs: &ClaimInputs) -> Option<Flip> {
    let value = *(input.of)(&mut case.clone());
    let now = (saying.holds)(case);
    let turned = |at: f64| (saying.holds)(&moved(case, input, at)) != now;
    let (low, high) = (input.range)(case);
    // What is 0 has no factors: then the first thousand are looked at.
    let unit = if value > 0.0 { value } else { 1.0 };
    let factor = |place: u32| REACH.powf(f64::from(place) / f64::from(PLACES));
    let down = (1..=PLACES)
        .map(|place| value / factor(place))
        .take_while(|v| *v > low)
        .chain([low.max(unit * 1e-9)]);
    let up = (1..=PLACES).map(|place| unit * factor(place)).take_while(|v| *v < high);
    let up = up.chain(Some(high).filter(|h| h.is_finite()));
    let found = [first(value, down, turned), first(value, up, turned)].into_iter().flatten();
    let far = |at: f64| (at.max(1e-12) / unit).ln().abs();
    let turns_at = found.min_by(|a, b| far(*a).total_cmp(&far(*b)))?;
    Some(Flip { input: (input.key)(inputs), value, turns_at })
}

/// The first place at which the verdict is another, narrowed down by halving.
fn first(from: f64, places: impl Iterator<Item = f64>, turned: impl Fn(f64) -> bool) -> Option<f64> {
    let mut before = from;
    for place in places {
        if turned(place) {
            let (mut same, mut other) = (before, place);
            for _ in 0..HALVINGS {
                let middle = f64::midpoint(same, other);
                if turned(middle) { other = middle } else { same = middle }
            }
            return Some(other);
        }
        before = place;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyze::cost::{DEFAULT, Setting, parse, with_settings};

    fn shipped() -> Costs {
        parse(DEFAULT, "costs.toml").expect("the default")
    }

    /// The file's inputs by hand: 1e6/38 + 4 x 0.3 x 1e6/1200 = 26,316 + 1,000 s = 7.5877 h a million. API: 4 x (0.3 x
    /// 0.30 + 0.7 x 0.03) + 3.20 = $3.644. The box: 800/36 + 0.06 x 730 x 0.17 + 240/36 = 22.22 + 7.446 + 6.667 = $36.33,
    /// and 0.34 kW x 7.5877 h x 0.17 = $0.4386 a million. At 1: 36.77 against 3.64; at 5: 38.53 against 18.22. In full:
    /// 730 x 0.25 / 7.5877 = 24.05 million at 36.33/24.05 + 0.4386 = $1.949. Idle: 60/36 + 5 x 0.4386 = $3.86, 21% of
    /// 18.22. Rented: 0.305 x 7.5877 / 0.5 = $4.628.
    #[test]
    fn the_shipped_claims_by_hand() {
        let all = claims(&shipped());
        let told: Vec<(bool, &str)> = all.iter().map(|c| (c.holds, c.numbers.as_str())).collect();
        assert!(told.iter().all(|(holds, _)| *holds), "{told:?}");
        let expected = [
            "at 1 million output tokens a month $3.64 against $36.77 for the box; at 5 million output tokens a month $18.22 against $38.53 for the box",
            "produces 24.1 million output tokens a month at $1.95 each, the API's cost $3.64; at 5 million the box costs $38.53 a month, the API $18.22",
            "$3.86, 21% of the API's $18.22",
            "$4.63 on a box rented at $0.305 an hour and at work 50% of it, $3.64 from the API",
        ];
        for ((_, numbers), expected) in told.iter().zip(expected) {
            assert!(numbers.contains(expected), "{numbers} lacks {expected}");
        }
    }

    /// Rent ties with the API where 0.305 x 7.5877 / u = 3.644: u = 0.6351, or at $0.2401 an hour.
    #[test]
    fn what_turns_a_claim_by_hand() {
        let all = claims(&shipped());
        let at = |claim: usize, input: &str| {
            all[claim].flips.iter().find(|f| f.input == input).unwrap_or_else(|| panic!("{input}")).turns_at
        };
        assert!((at(3, "rented.3090.utilisation") - 0.6351).abs() < 1e-4);
        assert!((at(3, "rented.3090.usd_per_hour") - 0.2401).abs() < 1e-4);
        // Low or middling: at the middling volume first, where 5 (3.644 - 0.4386) = 16.03 a month pays for the box: not
        // before the box costs 36.33 - 16.03 = 20.31 a month less, which is $731 of its price, 69 above the resale.
        assert!((at(0, "owned.3090.price_usd") - 569.3).abs() < 1.0, "{}", at(0, "owned.3090.price_usd"));
        // The box works too little: 730 u / 7.5877 x (3.644 - 0.4386) = 36.33.
        assert!((at(1, "owned.3090.utilisation") - 0.1178).abs() < 1e-4);
    }

    #[test]
    fn every_change_that_is_told_turns_the_verdict() {
        let costs = shipped();
        for claim in claims(&costs) {
            assert!(!claim.flips.is_empty(), "{}", claim.claim);
            for flip in &claim.flips {
                let beyond = flip.turns_at + (flip.turns_at - flip.value) * 1e-6;
                let short = flip.turns_at - (flip.turns_at - flip.value) * 1e-6;
                let with = |value: f64| {
                    let setting = Setting::parse(&format!("{}={value:?}", flip.input)).expect("a setting");
                    let (costs, _) = with_settings(DEFAULT, "costs.toml", &[setting]).ok()?;
                    claims(&costs).into_iter().find(|c| c.claim == claim.claim).map(|c| c.holds)
                };
                assert_eq!(with(short), Some(claim.holds), "{}: {flip:?}", claim.claim);
                assert!(
                    with(beyond).or_else(|| with(flip.turns_at)) == Some(!claim.holds),
                    "{}: {flip:?}",
                    claim.claim
                );
            }
        }
    }

    #[test]
    fn without_claims_there_are_none() {
        assert!(claims(&Costs { claims: None, ..shipped() }).is_empty());
    }
}
