//! The numbers that costs are computed from, as a costs file has them, and what may stand there. `costs.toml` beside this
//! file is the one that comes with the program.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::formulas::{Plan, Shape, Tariff, Upkeep};
use crate::analyze::device;
use crate::plan::error::nearest;

/// A costs file.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Costs {
    /// Name of the workload that is costed.
    pub workload: String,
    /// The variant that is drawn over volumes; empty for the one that the program picks.
    #[serde(default)]
    pub variant: String,
    /// Electricity.
    pub electricity: Electricity,
    /// The machine that ran the sweep.
    pub machine: Machine,
    /// What models are used for.
    pub workloads: BTreeMap<String, Workload>,
    /// Boxes of one's own.
    #[serde(default)]
    pub owned: BTreeMap<String, Owned>,
    /// Rented boxes.
    #[serde(default)]
    pub rented: BTreeMap<String, Rented>,
    /// APIs.
    #[serde(default)]
    pub api: BTreeMap<String, Api>,
    /// Subscriptions.
    #[serde(default)]
    pub plan: BTreeMap<String, Subscription>,
    /// What models behind APIs score, as published.
    #[serde(default)]
    pub reference: Vec<Reference>,
    /// What the field's claims are worked on.
    #[serde(default)]
    pub claims: Option<ClaimInputs>,
}

/// Electricity.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Electricity {
    /// Dollars a kWh.
    pub usd_per_kwh: f64,
    /// Where from.
    pub source: String,
    /// Of when.
    pub date: String,
}

/// The machine that ran the sweep.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Bandwidth of its memory, 10^9 bytes a second; estimated if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth_gb_per_s: Option<f64>,
    /// Share of a device's bandwidth that is reached.
    pub device_efficiency: f64,
    /// Where from.
    pub source: String,
    /// Of when.
    pub date: String,
}

/// What a model is used for.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// Input tokens to an output token.
    pub input_per_output: f64,
    /// Share of the input that is cached.
    pub cached_share: f64,
    /// Million output tokens a month.
    pub mtok_out_per_month: f64,
    /// Where from.
    pub source: String,
    /// Of when.
    pub date: String,
}

/// A box of one's own.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Owned {
    /// Name in the table of devices; absent for the machine that ran the sweep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Dollars to buy; 0 if it is there.
    pub price_usd: f64,
    /// Dollars when sold in the end.
    pub resale_usd: f64,
    /// Months between the two.
    pub life_months: f64,
    /// Watts idle.
    pub watts_idle: f64,
    /// Watts at work.
    pub watts_busy: f64,
    /// Hours to set it up.
    pub setup_hours: f64,
    /// What an hour is worth.
    pub wage_usd_per_hour: f64,
    /// Share of a month's hours in which it can work.
    pub utilisation: f64,
    /// Whether it would be off otherwise.
    pub otherwise_off: bool,
    /// Where from.
    pub source: String,
    /// Of when.
    pub date: String,
}

/// A rented box.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rented {
    /// Name in the table of devices; absent for one like the machine that ran the sweep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Dollars an hour.
    pub usd_per_hour: f64,
    /// Share of the hours paid for in which it works.
    pub utilisation: f64,
    /// Where from.
    pub source: String,
    /// Of when.
    pub date: String,
}

/// An API.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Api {
    /// The model behind it.
    pub model: String,
    /// Dollars a million input tokens.
    pub usd_per_mtok_in: f64,
    /// Dollars a million input tokens that are cached.
    pub usd_per_mtok_cached: f64,
    /// Dollars a million output tokens.
    pub usd_per_mtok_out: f64,
    /// Where from.
    pub source: String,
    /// Of when.
    pub date: String,
}

/// A subscription.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Subscription {
    /// Dollars a month.
    pub usd_per_month: f64,
    /// Million tokens a month that it covers, in and out.
    pub mtok_per_month: f64,
    /// Where from.
    pub source: String,
    /// Of when.
    pub date: String,
}

/// What a model scores, as published or as measured through an endpoint.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// The model.
    pub model: String,
    /// The API that serves it; empty if none is priced.
    #[serde(default)]
    pub api: String,
    /// The suite.
    pub suite: String,
    /// The metric.
    pub metric: String,
    /// Its value, in the units of `metrics.csv`.
    pub value: f64,
    /// Where from.
    pub source: String,
    /// Of when.
    pub date: String,
    /// Items it was measured on; absent if it was not measured here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<u64>,
    /// Standard error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr: Option<f64>,
    /// Version of the suite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suite_version: Option<u32>,
    /// Tokens of an answer on average, as the API counts them: read and not cached; absent if it was not measured here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<f64>,
    /// Read and cached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_tokens: Option<f64>,
    /// Written, thoughts among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<f64>,
}

/// What the field's claims are worked on.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimInputs {
    /// The model that they are about.
    pub model: String,
    /// A box to buy.
    pub owned: String,
    /// A box that is there.
    pub idle: String,
    /// A box to rent.
    pub rented: String,
    /// The API.
    pub api: String,
    /// The workload.
    pub workload: String,
    /// Low volume, million output tokens a month.
    pub low_mtok_out: f64,
    /// Middling volume.
    pub middling_mtok_out: f64,
    /// Nearly free is at most this share of what the API costs.
    pub nearly_free_share: f64,
    /// Generated tokens a second on the three boxes.
    pub tg_tps: f64,
    /// Prompt tokens a second.
    pub pp_tps: f64,
    /// Where from.
    pub source: String,
    /// Of when.
    pub date: String,
}

impl Workload {
    pub(super) fn shape(&self) -> Shape {
        Shape { input_per_output: self.input_per_output, cached_share: self.cached_share }
    }
}

impl Owned {
    pub(super) fn upkeep(&self, usd_per_kwh: f64) -> Upkeep {
        Upkeep {
            price_usd: self.price_usd,
            resale_usd: self.resale_usd,
            life_months: self.life_months,
            watts_idle: self.watts_idle,
            watts_busy: self.watts_busy,
            otherwise_off: self.otherwise_off,
            setup_hours: self.setup_hours,
            wage_usd_per_hour: self.wage_usd_per_hour,
            utilisation: self.utilisation,
            usd_per_kwh,
        }
    }
}

impl Api {
    pub(super) fn tariff(&self) -> Tariff {
        Tariff {
            input: self.usd_per_mtok_in,
            cached: self.usd_per_mtok_cached,
            output: self.usd_per_mtok_out,
        }
    }
}

impl Reference {
    /// Tokens of an answer: read, read from the cache, written.
    pub(super) fn tokens(&self) -> Option<[f64; 3]> {
        Some([self.input_tokens?, self.cached_tokens?, self.output_tokens?])
    }
}

impl Subscription {
    /// Its limit is on all tokens; of these one in 1 + r is output.
    pub(super) fn plan(&self, shape: Shape) -> Plan {
        let limit_mtok = self.mtok_per_month / (1.0 + shape.input_per_output);
        Plan { usd_per_month: self.usd_per_month, limit_mtok }
    }
}

/// What a number may be.
#[derive(Clone, Copy)]
enum Range {
    /// 0 or more.
    NotNegative,
    /// More than 0.
    Positive,
    /// 0 to 1.
    Share,
    /// More than 0, at most 1.
    PositiveShare,
}

use Range::{NotNegative, Positive, PositiveShare, Share};

/// A value that cannot stand where it does.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fault {
    /// Tables and key that lead to it.
    pub key: Vec<String>,
    /// What is wrong with it.
    pub what: String,
    /// What the user can do.
    pub hint: String,
}

impl Range {
    /// More than this is a slip of the pen, and would leave no digits for the rest.
    const MOST: f64 = 1e12;

    fn holds(self, value: f64) -> bool {
        let (open, most) = match self {
            NotNegative => (false, Self::MOST),
            Positive => (true, Self::MOST),
            Share => (false, 1.0),
            PositiveShare => (true, 1.0),
        };
        // Less than a billionth of a dollar, an hour or a token is no number of this world either.
        let least = if open { 1e-9 } else { 0.0 };
        (least..=most).contains(&value)
    }

    fn words(self) -> &'static str {
        match self {
            NotNegative => "must be 0 or more",
            Positive => "must be more than 0",
            Share => "must lie between 0 and 1",
            PositiveShare => "must be more than 0 and at most 1",
        }
    }
}

/// A number, its key and what it may be.
type Number = (&'static str, f64, Range);

impl Costs {
    /// The workload that is costed; absent only if the file was not checked.
    pub(super) fn chosen(&self) -> Option<&Workload> {
        self.workloads.get(&self.workload)
    }

    /// The first value that cannot be right.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.wrong_number().or_else(|| self.wrong_name())
    }

    fn numbers(&self) -> Vec<(Vec<String>, Vec<Number>)> {
        let at = |table: &str, name: &str| vec![table.to_owned(), name.to_owned()];
        let mut all = vec![
            (
                vec!["electricity".to_owned()],
                vec![("usd_per_kwh", self.electricity.usd_per_kwh, NotNegative)],
            ),
            (vec!["machine".to_owned()], self.machine.numbers()),
        ];
        all.extend(self.workloads.iter().map(|(name, w)| (at("workloads", name), w.numbers())));
        all.extend(self.owned.iter().map(|(name, o)| (at("owned", name), o.numbers())));
        all.extend(self.rented.iter().map(|(name, r)| (at("rented", name), r.numbers())));
        all.extend(self.api.iter().map(|(name, a)| (at("api", name), a.numbers())));
        all.extend(self.plan.iter().map(|(name, p)| (at("plan", name), p.numbers())));
        all.extend(self.claims.iter().map(|c| (vec!["claims".to_owned()], c.numbers())));
        all
    }

    fn wrong_number(&self) -> Option<Fault> {
        for (mut key, numbers) in self.numbers() {
            if let Some((last, value, range)) = numbers.into_iter().find(|(_, v, range)| !range.holds(*v)) {
                key.push(last.to_owned());
                let what = if value > Range::MOST {
                    format!("is too large: {value}")
                } else {
                    format!("{}, not {value}", range.words())
                };
                return Some(Fault { key, what, hint: "correct the number".to_owned() });
            }
        }
        let dearer = self.owned.iter().find(|(_, o)| o.resale_usd > o.price_usd);
        if let Some((name, o)) = dearer {
            let what = format!("is more than its price, {}", o.price_usd);
            return Some(Fault::new(["owned", name, "resale_usd"], what, "a box is not sold for more"));
        }
        let hot = self.owned.iter().find(|(_, o)| o.watts_idle > o.watts_busy);
        if let Some((name, o)) = hot {
            let what = format!("is more than watts_busy, {}", o.watts_busy);
            return Some(Fault::new(["owned", name, "watts_idle"], what, "are the two swapped?"));
        }
        let tokens = |r: &Reference| r.tokens().unwrap_or_default();
        let odd = |r: &&Reference| tokens(r).iter().any(|tokens| !NotNegative.holds(*tokens));
        if let Some(reference) = self.reference.iter().find(odd) {
            let what = format!("of {} on {} are no numbers of tokens", reference.model, reference.suite);
            return Some(Fault::new(["reference", "input_tokens"], what, "correct the numbers"));
        }
        let odd = |reference: &&Reference| !reference.value.is_finite();
        self.reference.iter().find(odd).map(|reference| {
            let what = format!("of {} on {} is not a number", reference.model, reference.suite);
            Fault::new(["reference", "value"], what, "correct the number")
        })
    }

    fn wrong_name(&self) -> Option<Fault> {
        let names: Vec<(Vec<&str>, &str, Vec<&str>)> = self.names();
        for (key, name, known) in names {
            if !known.contains(&name) {
                let near = nearest(name, known.iter().copied());
                let known = if near.is_empty() { known.join(", ") } else { near.join(", ") };
                let what = format!("names {name:?}, which is not in the file");
                return Some(Fault::new(key, what, &format!("the nearest are {known}")));
            }
        }
        let boxes = self.owned.iter().map(|(name, o)| ("owned", name, o.device.as_deref()));
        let boxes = boxes.chain(self.rented.iter().map(|(name, r)| ("rented", name, r.device.as_deref())));
        for (table, name, wanted) in boxes {
            if let Some(Err(unknown)) = wanted.map(device::find) {
                let what = format!("names {:?}, which is not in the table of devices", unknown.name);
                return Some(Fault::new([table, name, "device"], what, &unknown.hint()));
            }
        }
        let same =
            |a: &Reference, b: &Reference| (&a.model, &a.suite, &a.metric) == (&b.model, &b.suite, &b.metric);
        let twice = self
            .reference
            .iter()
            .enumerate()
            .find(|(i, r)| self.reference.iter().take(*i).any(|o| same(o, r)));
        twice.map(|(_, r)| {
            let what = format!("has {} on {} twice", r.model, r.suite);
            Fault::new(["reference"], what, "leave one out")
        })
    }

    /// Every value that names a table, and the tables there are.
    fn names(&self) -> Vec<(Vec<&str>, &str, Vec<&str>)> {
        fn keys<T>(map: &BTreeMap<String, T>) -> Vec<&str> {
            map.keys().map(String::as_str).collect()
        }
        let mut all = vec![(vec!["workload"], self.workload.as_str(), keys(&self.workloads))];
        let priced = self.reference.iter().filter(|r| !r.api.is_empty());
        all.extend(priced.map(|r| (vec!["reference", "api"], r.api.as_str(), keys(&self.api))));
        if let Some(claims) = &self.claims {
            all.push((vec!["claims", "owned"], &claims.owned, keys(&self.owned)));
            all.push((vec!["claims", "idle"], &claims.idle, keys(&self.owned)));
            all.push((vec!["claims", "rented"], &claims.rented, keys(&self.rented)));
            all.push((vec!["claims", "api"], &claims.api, keys(&self.api)));
            all.push((vec!["claims", "workload"], &claims.workload, keys(&self.workloads)));
        }
        all
    }
}

impl Fault {
    fn new<'a>(key: impl IntoIterator<Item = &'a str>, what: String, hint: &str) -> Self {
        Self { key: key.into_iter().map(str::to_owned).collect(), what, hint: hint.to_owned() }
    }
}

impl Machine {
    fn numbers(&self) -> Vec<Number> {
        let given = self.bandwidth_gb_per_s.map(|gb| ("bandwidth_gb_per_s", gb, Positive));
        given.into_iter().chain([("device_efficiency", self.device_efficiency, PositiveShare)]).collect()
    }
}

impl Workload {
    fn numbers(&self) -> Vec<Number> {
        vec![
            ("input_per_output", self.input_per_output, NotNegative),
            ("cached_share", self.cached_share, Share),
            ("mtok_out_per_month", self.mtok_out_per_month, Positive),
        ]
    }
}

impl Owned {
    fn numbers(&self) -> Vec<Number> {
        vec![
            ("price_usd", self.price_usd, NotNegative),
            ("resale_usd", self.resale_usd, NotNegative),
            ("life_months", self.life_months, Positive),
            ("watts_idle", self.watts_idle, NotNegative),
            ("watts_busy", self.watts_busy, NotNegative),
            ("setup_hours", self.setup_hours, NotNegative),
            ("wage_usd_per_hour", self.wage_usd_per_hour, NotNegative),
            ("utilisation", self.utilisation, PositiveShare),
        ]
    }
}

impl Rented {
    fn numbers(&self) -> Vec<Number> {
        vec![
            ("usd_per_hour", self.usd_per_hour, NotNegative),
            ("utilisation", self.utilisation, PositiveShare),
        ]
    }
}

impl Api {
    fn numbers(&self) -> Vec<Number> {
        vec![
            ("usd_per_mtok_in", self.usd_per_mtok_in, NotNegative),
            ("usd_per_mtok_cached", self.usd_per_mtok_cached, NotNegative),
            ("usd_per_mtok_out", self.usd_per_mtok_out, NotNegative),
        ]
    }
}

impl Subscription {
    fn numbers(&self) -> Vec<Number> {
        vec![
            ("usd_per_month", self.usd_per_month, NotNegative),
            ("mtok_per_month", self.mtok_per_month, Positive),
        ]
    }
}

impl ClaimInputs {
    fn numbers(&self) -> Vec<Number> {
        vec![
            ("low_mtok_out", self.low_mtok_out, Positive),
            ("middling_mtok_out", self.middling_mtok_out, Positive),
            ("nearly_free_share", self.nearly_free_share, Share),
            ("tg_tps", self.tg_tps, Positive),
            ("pp_tps", self.pp_tps, Positive),
        ]
    }
}
