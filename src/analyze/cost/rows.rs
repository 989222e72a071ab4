//! Rows of `costs.csv`, and the lines over monthly volume that are drawn: every variant on every box of the costs file,
//! every API and subscription.

use serde::Serialize;

use super::curves::{Cost, Crossing, Curve, CurveKind, Line, crossings, curves};
use super::formulas::{BreakEven, Month, Shape, Speed, Upkeep, api, busy_hours, owned_month, rented};
use super::prices::{Costs, Reference, Workload};
use super::task::{Task, tasks};
use super::throughput::{Bandwidth, Throughput, bandwidth, is_timed, measured, scaled};
use crate::analyze::planned::Sheet;
use crate::analyze::report::{Report, VariantRow};

/// Volumes that months are totalled for, million output tokens.
const VOLUMES: [f64; 6] = [0.1, 1.0, 10.0, 100.0, 1000.0, 10_000.0];
/// What utilisation and electricity are multiplied by, to see what depends on them.
const SWINGS: [f64; 2] = [0.5, 2.0];
/// Bits per weight of the variant that is drawn, if none is named.
const DRAWN_BPW: f64 = 4.8;

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
    /// `measured` or `given watts`; empty where electricity is not ours.
    pub energy_source: String,
}

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

/// A box, as the costs file has it.
struct Host<'a> {
    scenario: String,
    kind: CurveKind,
    device: Option<&'a str>,
    upkeep: Option<Upkeep>,
    rent: Option<(f64, f64)>,
}

impl Host<'_> {
    fn month(&self, hours: f64) -> Month {
        match (&self.upkeep, self.rent) {
            (Some(upkeep), _) => owned_month(upkeep, hours),
            (None, rent) => {
                let (usd_per_hour, utilisation) = rent.unwrap_or((0.0, 1.0));
                rented(usd_per_hour, utilisation, hours)
            }
        }
    }

    fn energy_source(&self) -> &'static str {
        if self.upkeep.is_some() { "given watts" } else { "" }
    }
}

fn boxes(costs: &Costs) -> Vec<Host<'_>> {
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
struct Rival {
    scenario: String,
    source: String,
    kind: CurveKind,
    cost: Cost,
}

impl Rival {
    fn line(&self) -> Line<'_> {
        Line { scenario: &self.scenario, kind: self.kind, cost: self.cost }
    }
}

fn rivals(costs: &Costs, shape: Shape) -> Vec<Rival> {
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

/// A variant on a box.
struct Way<'a> {
    of: &'a Host<'a>,
    variant: &'a str,
    streams: u32,
    speed: Speed,
    hours: f64,
    month: Month,
    source: String,
}

/// What all rows are made from.
struct Book<'a> {
    costs: &'a Costs,
    workload: &'a Workload,
    shape: Shape,
    rivals: Vec<Rival>,
    tasks: Vec<Task>,
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

impl Book<'_> {
    fn way<'a>(
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
        let Throughput { streams, speed, source } = throughput;
        Ok(Way { of, variant: &variant.variant, streams, speed, hours, month: of.month(hours), source })
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

    fn rows(&self, way: &Way) -> Vec<CostRow> {
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
            energy_source: way.of.energy_source().to_owned(),
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
        let month = of.month(way.hours);
        let way = Way { of: &of, month, source: price.source.clone(), ..*way };
        CostRow { kind: "sensitivity".to_owned(), input: input.to_owned(), input_value, ..self.price(&way) }
    }

    /// A box that a variant cannot be put on: a row with the reason.
    fn no_row(&self, of: &Host, variant: &VariantRow, streams: u32, why: String) -> CostRow {
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
    fn rival_rows(&self) -> Vec<CostRow> {
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

    /// A question put to an API whose score is known, with as many tokens as the base takes.
    fn reference_task(&self, reference: &Reference, rival: &Rival) -> Option<CostRow> {
        let tariff = self
            .costs
            .api
            .get(&reference.api)
            .filter(|_| rival.scenario == format!("api.{}", reference.api))?;
        let task = self.tasks.iter().find(|t| t.suite == reference.suite)?;
        let usd = task.input * tariff.usd_per_mtok_in
            + task.cached * tariff.usd_per_mtok_cached
            + task.output * tariff.usd_per_mtok_out;
        Some(CostRow {
            scenario: rival.scenario.clone(),
            kind: "task".to_owned(),
            workload: self.costs.workload.clone(),
            suite: reference.suite.clone(),
            usd_per_solved_task: (reference.value > 0.0).then(|| usd / 1e6 / reference.value),
            source: format!(
                "{}: {}, {}; tokens as of {}",
                reference.model, reference.source, reference.date, task.variant
            ),
            ..CostRow::default()
        })
    }

    fn references(&self) -> Vec<ReferencePoint> {
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
