//! Rows of `costs.csv`: every variant on every box of the costs file, every API and subscription.

use serde::Serialize;

use super::curves::{Cost, CurveKind};
use super::formulas::{BreakEven, Month, Shape, Speed, Upkeep, api, busy_hours, joules};
use super::prices::{Costs, Reference, Workload};
use super::scenario::{Host, Rival};
use super::sheet::ReferencePoint;
use super::task::Task;
use super::throughput::{Bandwidth, Throughput, scaled};
use crate::analyze::report::VariantRow;

/// Volumes that months are totalled for, million output tokens.
const VOLUMES: [f64; 6] = [0.1, 1.0, 10.0, 100.0, 1000.0, 10_000.0];
/// What utilisation and electricity are multiplied by, to see what depends on them.
const SWINGS: [f64; 2] = [0.5, 2.0];

/// A row of `costs.csv`. Dollars, and million output tokens a month.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct CostRow {
    /// Variant; empty for an API or a subscription.
    pub variant: String,
    /// `owned.NAME`, `rented.NAME`, `api.NAME` or `plan.NAME`.
    pub scenario: String,
    /// A million output tokens, their input included, at `volume_mtok` a month.
    pub usd_per_mtok_out: Option<f64>,
    /// A million tokens, in and out.
    pub usd_per_mtok_blended: Option<f64>,
    /// A solved question of `suite`.
    pub usd_per_solved_task: Option<f64>,
    /// A month without any token.
    pub monthly_fixed_usd: Option<f64>,
    /// Volume from which on it is no dearer than `against`, at most what it can produce.
    pub break_even_mtok: Option<f64>,
    /// Volume that it can produce.
    pub capacity_mtok: Option<f64>,
    /// Where the throughput is from, or, of prices, where and of when they are.
    pub source: String,
    /// `price`, `break_even`, `month`, `task` or `sensitivity`.
    pub kind: String,
    /// Workload.
    pub workload: String,
    /// Volume of the row.
    pub volume_mtok: Option<f64>,
    /// All of that volume.
    pub usd_per_month: Option<f64>,
    /// As `usd_per_mtok_out`, with all it can produce.
    pub usd_per_mtok_out_full: Option<f64>,
    /// Streams together.
    pub streams: Option<u32>,
    /// Suite, of tasks.
    pub suite: String,
    /// The API or subscription that the break-even is against.
    pub against: String,
    /// `breaks_even`, `beyond_capacity` or `never`; or why there is no value.
    pub verdict: String,
    /// The volume of the break-even, were there no limit to what is produced.
    pub break_even_uncapped_mtok: Option<f64>,
    /// The number that is varied, of sensitivities.
    pub input: String,
    /// Its value.
    pub input_value: Option<f64>,
    /// `measured` or `computed` (from the watts given); empty where electricity is not ours.
    pub energy_source: String,
}

/// A variant on a box.
pub(super) struct Way<'a> {
    /// The box.
    pub of: &'a Host<'a>,
    /// The variant.
    pub variant: &'a str,
    /// Streams together.
    pub streams: u32,
    /// What they do.
    pub speed: Speed,
    /// Hours that it is busy with a million output tokens.
    pub hours: f64,
    /// Joules of a million output tokens, where they were measured on this very box.
    pub joules: Option<f64>,
    /// What it costs.
    pub month: Month,
    /// Where the throughput is from.
    pub source: String,
}

/// What all rows are made from.
pub(super) struct Book<'a> {
    /// The costs file.
    pub costs: &'a Costs,
    /// Its workload.
    pub workload: &'a Workload,
    /// What that asks for.
    pub shape: Shape,
    /// What boxes are compared with.
    pub rivals: Vec<Rival>,
    /// What questions take.
    pub tasks: Vec<Task>,
}

impl Book<'_> {
    /// A variant on a box, or why it cannot be there.
    pub fn way<'a>(
        &self,
        of: &'a Host<'a>,
        variant: &'a VariantRow,
        here: &Throughput,
        machine: Option<&Bandwidth>,
    ) -> Result<Way<'a>, String> {
        let throughput = match of.device {
            None => here.clone(),
            Some(device) => scaled(here, variant, device, &self.costs.machine, machine)?,
        };
        let hours = busy_hours(throughput.speed, self.shape);
        let Throughput { streams, speed, source, energy } = throughput;
        let joules = energy.map(|token| joules(token, self.shape));
        let month = of.month(hours, joules);
        Ok(Way { of, variant: &variant.variant, streams, speed, hours, joules, month, source })
    }

    /// The volume that is costed: what the workload asks for, or all that can be produced.
    fn volume(&self, month: &Month) -> f64 {
        month
            .capacity_mtok
            .map_or(self.workload.mtok_out_per_month, |most| self.workload.mtok_out_per_month.min(most))
    }

    fn blended(&self, usd_per_mtok_out: f64) -> f64 {
        usd_per_mtok_out / (1.0 + self.shape.input_per_output)
    }

    /// All rows of a variant on a box.
    pub fn rows(&self, way: &Way) -> Vec<CostRow> {
        let price = self.price(way);
        let mut rows = vec![price.clone()];
        rows.extend(
            self.rivals
                .iter()
                .map(|rival| against(CostRow { kind: "break_even".to_owned(), ..price.clone() }, way, rival)),
        );
        rows.extend(VOLUMES.map(|volume| self.month(way, &price, volume)));
        rows.extend(
            self.tasks.iter().filter(|t| t.variant == way.variant).map(|task| self.task(way, &price, task)),
        );
        rows.extend(self.sensitivities(way, &price));
        rows
    }

    fn price(&self, way: &Way) -> CostRow {
        let volume = self.volume(&way.month);
        let row = CostRow {
            usd_per_mtok_out_full: way.month.capacity_mtok.map(|most| way.month.usd(most) / most),
            ..self.at_volume(way, volume)
        };
        let row = match self.cheapest_api() {
            Some(rival) => against(row, way, rival),
            None => row,
        };
        if volume < self.workload.mtok_out_per_month {
            let wanted = self.workload.mtok_out_per_month;
            return CostRow {
                verdict: joined(&row.verdict, &format!("produces less than the {wanted} asked for")),
                ..row
            };
        }
        row
    }

    fn at_volume(&self, way: &Way, volume: f64) -> CostRow {
        let usd = way.month.usd(volume);
        CostRow {
            variant: way.variant.to_owned(),
            scenario: way.of.scenario.clone(),
            kind: "price".to_owned(),
            workload: self.costs.workload.clone(),
            volume_mtok: Some(volume),
            usd_per_month: Some(usd),
            usd_per_mtok_out: Some(usd / volume),
            usd_per_mtok_blended: Some(self.blended(usd / volume)),
            monthly_fixed_usd: Some(way.month.fixed_usd),
            capacity_mtok: way.month.capacity_mtok,
            streams: Some(way.streams),
            source: way.source.clone(),
            energy_source: way.of.energy_source(way.joules).to_owned(),
            ..CostRow::default()
        }
    }

    fn cheapest_api(&self) -> Option<&Rival> {
        let apis = self.rivals.iter().filter(|rival| rival.kind == CurveKind::Api);
        apis.min_by(|a, b| a.cost.usd(1.0).total_cmp(&b.cost.usd(1.0)))
    }

    fn month(&self, way: &Way, price: &CostRow, volume: f64) -> CostRow {
        let kind = "month".to_owned();
        if way.month.produces(volume) {
            return CostRow {
                kind,
                usd_per_mtok_out_full: price.usd_per_mtok_out_full,
                ..self.at_volume(way, volume)
            };
        }
        CostRow {
            kind,
            volume_mtok: Some(volume),
            usd_per_month: None,
            usd_per_mtok_out: None,
            usd_per_mtok_blended: None,
            verdict: "beyond_capacity".to_owned(),
            ..self.at_volume(way, self.volume(&way.month))
        }
    }

    /// A question costs its hours, each at what an hour of work costs at the workload's volume, over the share solved.
    fn task(&self, way: &Way, price: &CostRow, task: &Task) -> CostRow {
        let hours = (task.output / way.speed.tg_tps + task.input / way.speed.pp_tps) / 3600.0;
        let volume = self.volume(&way.month);
        let usd_per_hour = way.month.usd(volume) / (volume * way.hours);
        let solved = task.solved > 0.0;
        CostRow {
            kind: "task".to_owned(),
            suite: task.suite.clone(),
            usd_per_solved_task: solved.then(|| hours * usd_per_hour / task.solved),
            verdict: if solved { String::new() } else { "none_solved".to_owned() },
            break_even_mtok: None,
            break_even_uncapped_mtok: None,
            against: String::new(),
            ..price.clone()
        }
    }

    /// The price row again, with utilisation and electricity halved and doubled.
    fn sensitivities(&self, way: &Way, price: &CostRow) -> Vec<CostRow> {
        let mut rows = Vec::new();
        for swing in SWINGS {
            let (mut used, mut fed) = (way.of.upkeep, way.of.upkeep);
            let rent = way.of.rent.map(|(usd, utilisation)| (usd, (utilisation * swing).min(1.0)));
            if let Some(upkeep) = &mut used {
                upkeep.utilisation = (upkeep.utilisation * swing).min(1.0);
            }
            if let Some(upkeep) = &mut fed {
                upkeep.usd_per_kwh *= swing;
            }
            let utilisation = used.map(|u| u.utilisation).or(rent.map(|r| r.1));
            rows.push(self.varied(way, price, used, rent, ("utilisation", utilisation)));
            if let Some(upkeep) = fed {
                let usd_per_kwh = Some(upkeep.usd_per_kwh);
                rows.push(self.varied(way, price, fed, None, ("usd_per_kwh", usd_per_kwh)));
            }
        }
        rows
    }

    fn varied(
        &self,
        way: &Way,
        price: &CostRow,
        upkeep: Option<Upkeep>,
        rent: Option<(f64, f64)>,
        (input, input_value): (&str, Option<f64>),
    ) -> CostRow {
        let of = Host {
            scenario: way.of.scenario.clone(),
            kind: way.of.kind,
            device: way.of.device,
            upkeep,
            rent,
        };
        let month = of.month(way.hours, way.joules);
        let way = Way { of: &of, month, source: price.source.clone(), ..*way };
        CostRow { kind: "sensitivity".to_owned(), input: input.to_owned(), input_value, ..self.price(&way) }
    }

    /// A box that a variant cannot be put on: a row with the reason.
    pub fn no_row(&self, of: &Host, variant: &VariantRow, streams: u32, why: String) -> CostRow {
        CostRow {
            variant: variant.variant.clone(),
            scenario: of.scenario.clone(),
            kind: "price".to_owned(),
            workload: self.costs.workload.clone(),
            streams: Some(streams),
            verdict: why,
            ..CostRow::default()
        }
    }

    /// APIs and subscriptions: at the workload's volume, by the month, and by the question where their quality is known.
    pub fn rival_rows(&self) -> Vec<CostRow> {
        let mut rows = Vec::new();
        for rival in &self.rivals {
            let row = |kind: &str, volume: f64| {
                let usd = rival.cost.usd(volume);
                CostRow {
                    scenario: rival.scenario.clone(),
                    kind: kind.to_owned(),
                    workload: self.costs.workload.clone(),
                    volume_mtok: Some(volume),
                    usd_per_month: Some(usd),
                    usd_per_mtok_out: Some(usd / volume),
                    usd_per_mtok_blended: Some(self.blended(usd / volume)),
                    monthly_fixed_usd: Some(match &rival.cost {
                        Cost::Month(month) => month.fixed_usd,
                        Cost::Plan(plan) => plan.usd_per_month,
                    }),
                    source: rival.source.clone(),
                    ..CostRow::default()
                }
            };
            rows.push(row("price", self.workload.mtok_out_per_month));
            rows.extend(VOLUMES.map(|volume| row("month", volume)));
            rows.extend(self.costs.reference.iter().filter_map(|r| self.reference_task(r, rival)));
        }
        rows
    }

    /// A question put to an API whose score is known, with as many tokens as it was measured to take, or else the base.
    fn reference_task(&self, reference: &Reference, rival: &Rival) -> Option<CostRow> {
        let tariff = self
            .costs
            .api
            .get(&reference.api)
            .filter(|_| rival.scenario == format!("api.{}", reference.api))?;
        let base = || self.tasks.iter().find(|t| t.suite == reference.suite);
        let (tokens, whose) = match reference.tokens() {
            Some(tokens) => (tokens, "its own".to_owned()),
            None => base().map(|t| ([t.input, t.cached, t.output], format!("as of {}", t.variant)))?,
        };
        let prices = [tariff.usd_per_mtok_in, tariff.usd_per_mtok_cached, tariff.usd_per_mtok_out];
        let usd: f64 = tokens.iter().zip(prices).map(|(tokens, price)| tokens * price).sum();
        Some(CostRow {
            scenario: rival.scenario.clone(),
            kind: "task".to_owned(),
            workload: self.costs.workload.clone(),
            suite: reference.suite.clone(),
            usd_per_solved_task: (reference.value > 0.0).then(|| usd / 1e6 / reference.value),
            source: format!("{}: {}, {}; tokens {whose}", reference.model, reference.source, reference.date),
            ..CostRow::default()
        })
    }

    /// What models behind APIs score, with their price.
    pub fn references(&self) -> Vec<ReferencePoint> {
        let usd =
            |r: &Reference| self.costs.api.get(&r.api).map(|one| api(self.shape, one.tariff()).usd_per_mtok);
        let point = |r: &Reference| ReferencePoint { reference: r.clone(), usd_per_mtok_out: usd(r) };
        self.costs.reference.iter().map(point).collect()
    }
}

/// A row with its break-even against this rival.
fn against(row: CostRow, way: &Way, rival: &Rival) -> CostRow {
    let (verdict, mtok) = match rival.cost.break_even(&way.month) {
        BreakEven::At(mtok) => ("breaks_even", Some(mtok)),
        BreakEven::BeyondCapacity(mtok) => ("beyond_capacity", Some(mtok)),
        BreakEven::Never => ("never", None),
    };
    let most = way.month.capacity_mtok.unwrap_or(f64::INFINITY);
    CostRow {
        against: rival.scenario.clone(),
        verdict: verdict.to_owned(),
        break_even_mtok: mtok.map(|mtok| mtok.min(most)),
        break_even_uncapped_mtok: mtok,
        ..row
    }
}

fn joined(one: &str, other: &str) -> String {
    if one.is_empty() { other.to_owned() } else { format!("{one}; {other}") }
}
