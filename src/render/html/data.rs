//! The numbers that the page's own script draws and filters: variants, suites, and every value with its interval.

use serde::Serialize;

use crate::analyze::Report;
use crate::analyze::report::SuiteSummary;

/// What the script of the page reads.
#[derive(Debug, Serialize)]
pub(super) struct Data<'a> {
    variants: Vec<Variant<'a>>,
    suites: &'a [SuiteSummary],
    values: Vec<Scored<'a>>,
    differences: Vec<Difference<'a>>,
    shares: Vec<Place<'a>>,
    /// The quality axis that stands for the sweep.
    headline: Option<String>,
}

/// A variant, and what it takes; what the axes may be beside quality.
#[derive(Debug, Serialize)]
struct Variant<'a> {
    name: &'a str,
    bpw: Option<f64>,
    file_bytes: Option<u64>,
    peak_rss_bytes: Option<u64>,
    pp512_tps: Option<f64>,
    tg128_tps: Option<f64>,
    usd_per_mtok_out: Option<f64>,
    status: &'a str,
}

/// A metric of a variant on a suite.
#[derive(Debug, Serialize)]
struct Scored<'a> {
    variant: &'a str,
    suite: &'a str,
    metric: &'a str,
    value: f64,
    low: Option<f64>,
    high: Option<f64>,
    n: u64,
    higher: bool,
}

/// A variant against the base on a suite's main metric.
#[derive(Debug, Serialize)]
struct Difference<'a> {
    variant: &'a str,
    suite: &'a str,
    metric: &'a str,
    delta: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
    lost: Option<u64>,
    won: Option<u64>,
    n: u64,
    shown: &'a str,
    /// Whether noise hides the difference: then all such variants are equally good.
    noise: bool,
}

/// How sure a place on the frontier is.
#[derive(Debug, Serialize)]
struct Place<'a> {
    variant: &'a str,
    axis: &'a str,
    share: Option<f64>,
    tied_with: &'a str,
}

impl<'a> Data<'a> {
    pub(super) fn new(report: &'a Report) -> Self {
        let price = |variant: &str| {
            let sheet = &report.costs;
            let own = sheet
                .rows
                .iter()
                .filter(|r| r.kind == "price" && r.variant == variant && r.scenario == sheet.scenario);
            own.filter_map(|row| row.usd_per_mtok_out).min_by(f64::total_cmp)
        };
        let variants = report.variants.iter().map(|row| Variant {
            name: &row.variant,
            bpw: row.bpw,
            file_bytes: row.file_bytes,
            peak_rss_bytes: row.peak_rss_bytes,
            pp512_tps: row.pp512_tps,
            tg128_tps: row.tg128_tps,
            usd_per_mtok_out: price(&row.variant),
            status: &row.status,
        });
        let is_shown = |suite: &str| report.suites.iter().any(|s| s.name == suite);
        let values = report.metrics.iter().filter(|row| is_shown(&row.suite)).filter_map(|row| {
            Some(Scored {
                variant: &row.variant,
                suite: &row.suite,
                metric: &row.metric,
                value: row.value?,
                low: row.ci_low,
                high: row.ci_high,
                n: row.n,
                higher: row.higher_is_better,
            })
        });
        let differences = report.comparisons.iter().filter(|row| {
            let is_main = |s: &SuiteSummary| s.name == row.suite && s.main_metric == row.metric;
            row.metric == "kld_mean" || report.suites.iter().any(is_main)
        });
        let differences = differences.map(|row| Difference {
            variant: &row.variant,
            suite: &row.suite,
            metric: &row.metric,
            delta: row.delta,
            low: row.ci_low,
            high: row.ci_high,
            lost: row.flips_lost,
            won: row.flips_won,
            n: row.n,
            shown: if row.shown.is_empty() { &row.verdict } else { &row.shown },
            noise: row.verdict == "indistinguishable",
        });
        let shares = report.frontier.iter().map(|row| Place {
            variant: &row.variant,
            axis: &row.axis_y,
            share: row.share,
            tied_with: &row.tied_with,
        });
        Self {
            variants: variants.collect(),
            suites: &report.suites,
            values: values.collect(),
            differences: differences.collect(),
            shares: shares.collect(),
            headline: report.headline_axis(),
        }
    }
}
