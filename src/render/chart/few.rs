//! Sweeps of very many variants or suites: figures show as many as can be told apart and named, the interesting ones first.
//! Tables and page have all.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::selection::BASE;
use crate::analyze::lookup::Places;
use crate::analyze::report::{Report, SuiteSummary, VariantRow};

/// Variants in a figure beside the base, at most.
const MOST: usize = 32;
/// Suites that have figures of their own beside the composite, at most.
const MOST_SUITES: usize = 24;

/// The report itself, or, of a sweep with more variants or suites than figures can show, what it says of the base and [`MOST`]
/// others, on the composite, the texts and the first questions, [`MOST_SUITES`] in all. First come variants on the headline's
/// frontier, by the share of resamples in which they are, then others spread over bits per weight.
pub(super) fn few(report: &Report) -> Cow<'_, Report> {
    let others = report.variants.iter().filter(|v| v.variant != BASE).count();
    let all_suites = report.suites.iter().filter(|suite| !suite.is_composite()).count();
    if others <= MOST && all_suites <= MOST_SUITES {
        return Cow::Borrowed(report);
    }
    let (variants, suites) = (chosen(report), chosen_suites(report));
    let keep = |name: &String| name == BASE || variants.contains(name.as_str());
    // Rows of a suite's parts are called `SUITE/PART`.
    let keep_suite = |name: &String| suites.contains(name.split('/').next().unwrap_or_default());
    let kept = |variant: &String, suite: &String| keep(variant) && keep_suite(suite);
    macro_rules! of_kept {
        ($rows:ident) => {
            report.$rows.iter().filter(|row| keep(&row.variant)).cloned().collect()
        };
        ($rows:ident, $suite:ident) => {
            report.$rows.iter().filter(|row| kept(&row.variant, &row.$suite)).cloned().collect()
        };
    }
    let mut costs = report.costs.clone();
    costs.rows.retain(|row| keep(&row.variant));
    let mut about = report.about.clone();
    let composites = report.suites.iter().filter(|suite| suite.is_composite()).count();
    about.drawn = drawn((variants.len(), others), (suites.len() - composites, all_suites));
    Cow::Owned(Report {
        about,
        suites: report.suites.iter().filter(|suite| keep_suite(&suite.name)).cloned().collect(),
        variants: of_kept!(variants),
        metrics: of_kept!(metrics, suite),
        comparisons: of_kept!(comparisons, suite),
        frontier: of_kept!(frontier),
        fallbacks: report.fallbacks.clone(),
        speed: of_kept!(speed),
        speculation: report.speculation.clone(),
        trials: of_kept!(trials),
        capabilities: of_kept!(capabilities),
        long_context: of_kept!(long_context),
        cliffs: report.cliffs.clone(),
        costs,
        looks: of_kept!(looks),
        metric_places: Places::default(),
        comparison_places: Places::default(),
    })
}

fn drawn((variants, others): (usize, usize), (suites, all): (usize, usize)) -> String {
    let first =
        (variants < others).then(|| format!("{variants} of {others} variants, those on the frontier first"));
    let second = (suites < all).then(|| format!("{suites} of {all} suites"));
    let said: Vec<String> = first.into_iter().chain(second).collect();
    format!("Drawn are {}; the tables have all.", said.join(", and "))
}

fn chosen_suites(report: &Report) -> BTreeSet<&str> {
    let mut suites: Vec<&SuiteSummary> = report.suites.iter().collect();
    // A stable sort: within each kind the order of the plan.
    suites.sort_by_key(|suite| (!suite.is_composite(), suite.n_unit != "tokens"));
    let composites = suites.iter().filter(|suite| suite.is_composite()).count();
    suites.into_iter().take(MOST_SUITES + composites).map(|suite| suite.name.as_str()).collect()
}

fn chosen(report: &Report) -> BTreeSet<&str> {
    let axis = report.headline_axis().unwrap_or_default();
    let mut on: Vec<_> = report
        .frontier
        .iter()
        .filter(|row| row.axis_y == axis && row.variant != BASE)
        .map(|row| (row.share.unwrap_or(f64::from(u8::from(row.on_frontier))), row.variant.as_str()))
        .filter(|(share, _)| *share > 0.0)
        .collect();
    on.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    let mut kept: BTreeSet<&str> = on.into_iter().map(|(_, name)| name).take(MOST).collect();
    let mut rest: Vec<&VariantRow> =
        report.variants.iter().filter(|v| v.variant != BASE && !kept.contains(v.variant.as_str())).collect();
    rest.sort_by(|a, b| a.bpw.unwrap_or(f64::MAX).total_cmp(&b.bpw.unwrap_or(f64::MAX)));
    let room = MOST - kept.len();
    let spread = (0..room).filter_map(|i| rest.get(i * rest.len() / room.max(1)));
    kept.extend(spread.map(|row| row.variant.as_str()));
    kept
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    /// A sweep that can be shown is shown; of a large one the frontier stays, the base, and so many in all.
    #[test]
    fn the_frontier_comes_first() {
        let report = sample::report(&sample::LADDER);
        assert!(matches!(few(&report), Cow::Borrowed(_)));
        let mut large = report.clone();
        let pattern = report.variants.last().cloned().expect("a variant");
        for number in 0..200 {
            let name = format!("more-{number}");
            let bpw = Some(2.0 + f64::from(number) / 100.0);
            large.variants.push(VariantRow { variant: name, bpw, ..pattern.clone() });
        }
        let shown = few(&large);
        assert_eq!(shown.variants.len(), MOST + 1);
        assert!(shown.about.drawn.starts_with(&format!("Drawn are {MOST} of ")), "{}", shown.about.drawn);
        let axis = large.headline_axis().expect("an axis");
        for row in large.frontier.iter().filter(|row| row.axis_y == axis && row.on_frontier) {
            assert!(shown.variants.iter().any(|v| v.variant == row.variant), "{}", row.variant);
        }
        // One more suite than there may be, and the composite.
        let suite = report.suites[0].clone();
        let mut wide = report.clone();
        for number in 0..=MOST_SUITES {
            wide.suites.push(SuiteSummary { name: format!("suite-{number}"), ..suite.clone() });
        }
        let shown_wide = few(&wide);
        assert_eq!(shown_wide.suites.iter().filter(|s| !s.is_composite()).count(), MOST_SUITES);
        assert!(shown_wide.about.drawn.contains(&format!("{MOST_SUITES} of ")), "{}", shown_wide.about.drawn);
        assert!(shown.metrics.iter().all(|row| shown.variants.iter().any(|v| v.variant == row.variant)));
    }
}
