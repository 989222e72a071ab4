//! `cost-SUITE` and `bits-quality-cost`: what quality a dollar buys on one box, with models behind APIs as points, and
//! bits, quality and cost in one picture.

use super::axis::{Axis, short};
use super::bpw_suite::{reference_note, references};
use super::scatter::{Figure, Look, Mark, Panel, breadths, heights};
use super::selection::{BASE, not_shown, select, usable};
use super::theme::MARK_RADIUS;
use super::wording::{
    BASE_LEFT_OUT, BPW, metric_text, origin, rows, sample_size, suite_line, with_direction,
};
use crate::analyze::report::{MetricRow, Report, SuiteSummary};

/// Radius of the mark of what costs most.
const LARGEST: f64 = 15.0;
/// Divergences and perplexities are shown on logarithmic axes.
const LOG: [&str; 3] = ["kld_mean", "ppl", "ppl_ratio"];

/// The figures: one for the quality that stands for the sweep, one for each suite of answers, and the picture of all three.
pub(super) fn figures(report: &Report) -> Vec<Figure> {
    let headline = report.headline_axis();
    let headline = headline.as_deref().and_then(|axis| {
        let suite =
            report.suites.iter().find(|s| axis.strip_prefix(&s.name).is_some_and(|m| m.starts_with('.')))?;
        Some((suite, axis.get(suite.name.len() + 1..)?.to_owned()))
    });
    let answers = report.suites.iter().filter(|s| !s.no_signal && is_costed(report, s));
    let mut pairs: Vec<(&SuiteSummary, String)> = headline.clone().into_iter().collect();
    for suite in answers {
        if pairs.iter().all(|(other, _)| other.name != suite.name) {
            pairs.push((suite, suite.main_metric.clone()));
        }
    }
    let mut figures: Vec<Figure> =
        pairs.iter().filter_map(|(suite, metric)| by_cost(report, suite, metric)).collect();
    figures.extend(headline.and_then(|(suite, metric)| all_three(report, suite, &metric)));
    figures
}

fn is_costed(report: &Report, suite: &SuiteSummary) -> bool {
    report.costs.rows.iter().any(|row| row.kind == "task" && row.suite == suite.name)
}

/// Dollars a million output tokens of a variant on the box that variants are compared on, at work all the hours it can;
/// of several numbers of streams the most.
fn usd(report: &Report, variant: &str) -> Option<f64> {
    let costs = &report.costs;
    let own = costs
        .rows
        .iter()
        .rev()
        .find(|row| row.kind == "price" && row.variant == variant && row.scenario == costs.scenario);
    usable(own.and_then(|row| row.usd_per_mtok_out_full)).filter(|usd| *usd > 0.0)
}

fn value<'a>(
    report: &'a Report,
    variant: &str,
    suite: &SuiteSummary,
    metric: &str,
) -> Option<(&'a MetricRow, f64)> {
    let row = report.metric(variant, &suite.name, metric)?;
    usable(row.value).filter(|v| !LOG.contains(&metric) || *v > 0.0).map(|v| (row, v))
}

fn y_axis(metric: &str, suite: &SuiteSummary, higher: bool, values: &[f64]) -> Axis {
    let text = metric_text(metric, suite.n_unit);
    if LOG.contains(&metric) {
        Axis::log(&with_direction(&format!("{}, log axis", text.label), higher), values)
    } else {
        Axis::linear(&with_direction(&text.label, higher), values, 0.02 * text.factor)
    }
}

fn by_cost(report: &Report, suite: &SuiteSummary, metric: &str) -> Option<Figure> {
    let text = metric_text(metric, suite.n_unit);
    let higher = metric == suite.main_metric && suite.higher_is_better;
    let selection = select(report, |row| {
        let (_, y) = value(report, &row.variant, suite, metric).ok_or_else(String::new)?;
        let x = usd(report, &row.variant).ok_or_else(|| "no cost".to_owned())?;
        Ok(Mark::new(&row.variant, x, y * text.factor))
    });
    let mut marks = selection.marks;
    if marks.is_empty() {
        return None;
    }
    let base = value(report, BASE, suite, metric).zip(usd(report, BASE));
    marks.extend(base.map(|((_, y), x)| Mark::new(BASE, x, y * text.factor)));
    let kept = unbeaten(&marks, higher);
    for (mark, kept) in marks.iter_mut().zip(&kept) {
        mark.look = if *kept { Look::Solid } else { Look::Open };
    }
    let mut path: Vec<(f64, f64)> =
        marks.iter().zip(&kept).filter(|(_, kept)| **kept).map(|(m, _)| (m.x, m.y)).collect();
    path.sort_by(|a, b| a.0.total_cmp(&b.0));
    let priced = references(report, suite).filter(|_| metric == suite.main_metric);
    let priced = priced.filter_map(|point| {
        let x = usable(point.usd_per_mtok_out).filter(|usd| *usd > 0.0)?;
        Some(Mark {
            look: Look::Second,
            ..Mark::new(&point.reference.model, x, point.reference.value * text.factor)
        })
    });
    marks.extend(priced);
    let x = Axis::log(
        "USD per million output tokens, their input included, log axis (lower is better)",
        &breadths(&marks),
    );
    let y = y_axis(metric, suite, higher, &heights(&marks));
    let mut panel = Panel::new(x, y, marks);
    panel.path = path;
    panel.legend = vec![(Look::Solid, "on the frontier")];
    for (look, words) in
        [(Look::Open, "another is as good and no dearer"), (Look::Second, "another model, by API")]
    {
        if panel.marks.iter().any(|mark| mark.look == look) {
            panel.legend.push((look, words));
        }
    }
    let n = sample_size(rows(report, &suite.name, metric), suite.n_unit)
        .map_or(String::new(), |n| format!("{n}. "));
    let without_base =
        if base.is_none() && metric == "kld_mean" { format!(" {BASE_LEFT_OUT}") } else { String::new() };
    let mut notes = vec![format!(
        "{n}Point estimates; the figures by bits per weight show their intervals.{without_base}"
    )];
    notes.push(scenario(report));
    notes.extend(reference_note(report, suite).filter(|_| metric == suite.main_metric));
    notes.extend(not_shown(&selection.missing));
    notes.extend(origin(&report.about));
    Some(Figure {
        name: format!("cost-{}", suite.name),
        title: format!("What quality costs: {}", text.name),
        subtitle: suite_line(suite),
        panels: vec![panel],
        notes,
    })
}

/// The scenario, the workload and of when the prices are.
fn scenario(report: &Report) -> String {
    let costs = &report.costs;
    let workload = costs.workload.split(", ").take(2).collect::<Vec<_>>().join(", ");
    let base = usd(report, BASE).map_or(String::new(), |usd| format!(" The base: ${}.", short(usd)));
    format!(
        "Cost: {}, at work all the hours that it can; workload {workload}. Prices of {}; electricity computed from the watts given.{base}",
        costs.scenario, costs.dated
    )
}

/// Whether no other mark is at least as good on both axes and better on one.
fn unbeaten(marks: &[Mark], higher: bool) -> Vec<bool> {
    let worth = |mark: &Mark| if higher { mark.y } else { -mark.y };
    let beats = |a: &Mark, b: &Mark| a.x <= b.x && worth(a) >= worth(b) && (a.x < b.x || worth(a) > worth(b));
    marks.iter().map(|mark| !marks.iter().any(|other| beats(other, mark))).collect()
}

fn all_three(report: &Report, suite: &SuiteSummary, metric: &str) -> Option<Figure> {
    let text = metric_text(metric, suite.n_unit);
    let higher = metric == suite.main_metric && suite.higher_is_better;
    let most = report.variants.iter().filter_map(|v| usd(report, &v.variant)).fold(0.0, f64::max);
    let selection = select(report, |row| {
        let (_, y) = value(report, &row.variant, suite, metric).ok_or_else(String::new)?;
        let x = usable(row.bpw).ok_or_else(|| "no measured bpw".to_owned())?;
        let usd = usd(report, &row.variant).ok_or_else(|| "no cost".to_owned())?;
        let mut mark = Mark::new(&format!("{} ${}", row.variant, short(usd)), x, y * text.factor);
        // The area is what the eye compares.
        mark.radius = (LARGEST * (usd / most).sqrt()).max(MARK_RADIUS * 0.6);
        Ok(mark)
    });
    let marks = selection.marks;
    if marks.is_empty() {
        return None;
    }
    let x = Axis::linear(BPW, &breadths(&marks), 1.0);
    let y = y_axis(metric, suite, higher, &heights(&marks));
    let mut notes = vec![scenario(report)];
    notes.extend(not_shown(&selection.missing));
    notes.extend(origin(&report.about));
    Some(Figure {
        name: "bits-quality-cost".to_owned(),
        title: format!("Bits, quality and cost: {}", text.name),
        subtitle: format!(
            "{}. The area of a mark is what a million output tokens cost, in USD beside its name.",
            suite_line(suite).trim_end_matches('.')
        ),
        panels: vec![Panel::new(x, y, marks)],
        notes,
    })
}
