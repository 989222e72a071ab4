//! The whole report, put together from its parts.

use super::cost::{self, CostSheet, Costs};
use super::joint::Joint;
use super::lookup::Places;
use super::planned::{Sheet, SuiteKind};
use super::report::{About, MetricRow, Report, SuiteSummary};
use super::{
    capability, cliff, comparison, composite, frontier, long_context, measure, speculation, speed, stopping,
    trial, variant,
};
use crate::journal::reader::TrialData;
use crate::journal::record::{Machine, Manifest, SuiteRecord};

/// A report with the resamples of all variants together that it was made with, which a recommendation is made from.
pub struct Analysis {
    /// What is shown.
    pub report: Report,
    pub(super) joint: Joint,
}

impl std::fmt::Debug for Analysis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Analysis").field("report", &self.report).finish_non_exhaustive()
    }
}

/// As [`report`], with what it costs to run each variant.
#[must_use]
pub fn analysis(manifest: &Manifest, trials: &[TrialData], costs: &Costs) -> Analysis {
    let sheet = Sheet::new(manifest, trials);
    let (plain, joint) = without_costs(&sheet);
    let costs = cost::sheet(&sheet, &plain, costs);
    Analysis { report: Report { costs, ..plain }, joint }
}

/// Everything that is shown of a sweep but costs, from its plan and what has been measured of it so far. Trials that the
/// manifest does not name are left out; trials it names and that are not there are pending.
#[must_use]
pub fn report(manifest: &Manifest, trials: &[TrialData]) -> Report {
    without_costs(&Sheet::new(manifest, trials)).0
}

fn without_costs(sheet: &Sheet) -> (Report, Joint) {
    let manifest = sheet.manifest;
    let variants = variant::rows(sheet);
    let mut metrics = measure::rows(sheet);
    let mut suites: Vec<SuiteSummary> =
        manifest.suites.iter().map(|suite| summary(sheet, suite, &metrics)).collect();
    let mut comparisons = comparison::rows(sheet, &metrics);
    for row in &mut metrics {
        row.partial = partial(manifest, &row.suite);
    }
    for row in &mut comparisons {
        row.partial = partial(manifest, &row.suite);
    }
    let capabilities = capability::rows(sheet, &suites);
    let mut joint = Joint::new(sheet, &suites);
    if let Some(whole) = composite::composite(sheet, &suites, &comparisons, &mut joint) {
        suites.push(whole.summary);
        metrics.extend(whole.metrics);
        comparisons.extend(whole.comparisons);
    }
    let looks = stopping::rows(sheet);
    stopping::widen(&mut comparisons, &looks, &suites);
    let judged = comparisons.iter_mut().map(|row| {
        let is_main = suites.iter().any(|s| s.name == row.suite && s.main_metric == row.metric);
        (is_main, row)
    });
    comparison::judge_all(judged, manifest.judging.tolerance);
    let frontier = frontier::rows(&suites, &variants, &metrics, &comparisons, &joint);
    let cliffs = cliff::rows(sheet, &suites, &variants, &comparisons, &looks);
    let report = Report {
        fallbacks: variant::fallbacks(sheet),
        speed: speed::rows(sheet),
        speculation: speculation::of_sweep(sheet),
        trials: trial::rows(sheet),
        capabilities,
        cliffs,
        long_context: long_context::rows(sheet),
        about: about(manifest),
        comparisons,
        suites,
        variants,
        metrics,
        frontier,
        costs: CostSheet::default(),
        looks,
        metric_places: Places::default(),
        comparison_places: Places::default(),
    };
    (report, joint)
}

/// Why a suite is only part of the original, said in every row; the rows of its parts are called `SUITE/PART`.
fn partial(manifest: &Manifest, suite: &str) -> String {
    let name = suite.split('/').next().unwrap_or_default();
    manifest.suites.iter().find(|s| s.name == name).map_or(String::new(), |s| s.partial.clone())
}

fn about(manifest: &Manifest) -> About {
    let base = &manifest.base;
    let file_name = base.source.rsplit(['/', '\\']).next().unwrap_or_default();
    About {
        sweep: short(&manifest.name),
        date: short(&manifest.created).chars().take_while(|&c| c != 'T').collect(),
        machine: short(&machine(&manifest.machine)),
        llama_cpp: short(&manifest.software.llama_cpp),
        bitfrontier: short(&manifest.software.bitfrontier),
        base: short(if base.name.is_empty() { file_name } else { &base.name }),
        base_note: short(&base.description),
        drawn: String::new(),
    }
}

/// Longest text of those that a model or a folder says of itself.
const LONGEST_TEXT: usize = 300;

/// What a model or a folder says of itself, which may be of any length.
fn short(text: &str) -> String {
    text.chars().take(LONGEST_TEXT).collect()
}

/// `AMD EPYC 7763, 8 cores, NVIDIA L4`
fn machine(machine: &Machine) -> String {
    let cores = match machine.cores {
        0 => String::new(),
        1 => "1 core".to_owned(),
        cores => format!("{cores} cores"),
    };
    let parts = [machine.cpu.clone(), cores].into_iter().chain(machine.devices.iter().cloned());
    parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

fn summary(sheet: &Sheet, suite: &SuiteRecord, metrics: &[MetricRow]) -> SuiteSummary {
    let kind = sheet.kind_of(suite);
    let own = |row: &&MetricRow| {
        row.variant == sheet.base() && row.suite == suite.name && row.metric == suite.main_metric
    };
    let least = metrics.iter().find(own).and_then(|row| row.ci_low);
    let is_guessing = |low: f64| low <= suite.chance.unwrap_or(0.0);
    SuiteSummary {
        name: suite.name.clone(),
        title: suite.title.clone(),
        main_metric: suite.main_metric.clone(),
        higher_is_better: measure::higher_is_better(&suite.main_metric),
        chance: suite.chance.filter(|_| kind != SuiteKind::Text),
        partial: suite.partial.clone(),
        n_unit: match kind {
            SuiteKind::Questions | SuiteKind::Answers => "items",
            SuiteKind::Text => "tokens",
        },
        no_signal: kind != SuiteKind::Text && least.is_some_and(is_guessing),
    }
}
