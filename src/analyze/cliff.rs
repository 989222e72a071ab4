//! How many bits does *this* need: for each suite, each capability and all suites together, the fewest bits that are shown
//! to be as good as the base within the tolerance, the fewest that are not shown to be worse, and where it falls off.
//!
//! Several suites are one by the unweighted mean of their paired differences, the composite by its weights.

use std::collections::{BTreeMap, HashMap};

use super::comparison::{Shown, shown};
use super::composite::{COMPOSITE, Step, pooled, telling};
use super::lookup::{Key, by_key};
use super::planned::Sheet;
use super::report::{CliffRow, ComparisonRow, LookRow, SuiteSummary, VariantRow};
use super::stopping;
use crate::journal::record::{Capability, SuiteRecord};

/// Rows of `cliffs.csv`: suites in plan order, capabilities, the composite. Only suites with a signal.
pub(super) fn rows(
    sheet: &Sheet,
    suites: &[SuiteSummary],
    variants: &[VariantRow],
    comparisons: &[ComparisonRow],
    looks: &[LookRow],
) -> Vec<CliffRow> {
    let telling = telling(sheet, suites);
    let cliffs = Cliffs { sheet, variants, comparisons: by_key(comparisons), looks };
    let mut rows: Vec<CliffRow> =
        telling.iter().map(|suite| cliffs.row("suite", &suite.name, &[(suite, 1.0)])).collect();
    let mut by_capability: BTreeMap<Capability, Vec<(&SuiteRecord, f64)>> = BTreeMap::new();
    for suite in &telling {
        if let Some(capability) = suite.capability {
            by_capability.entry(capability).or_default().push((suite, 1.0));
        }
    }
    rows.extend(by_capability.iter().map(|(name, own)| cliffs.row("capability", name.word(), own)));
    let judging = &sheet.manifest.judging;
    let weighted: Vec<(&SuiteRecord, f64)> =
        telling.iter().map(|s| (*s, judging.weight(&s.name))).filter(|(_, weight)| *weight > 0.0).collect();
    if weighted.len() > 1 {
        rows.push(cliffs.row(COMPOSITE, COMPOSITE, &weighted));
    }
    rows
}

struct Cliffs<'a> {
    sheet: &'a Sheet<'a>,
    variants: &'a [VariantRow],
    comparisons: HashMap<Key<'a>, &'a ComparisonRow>,
    looks: &'a [LookRow],
}

impl Cliffs<'_> {
    fn row(&self, scope: &str, name: &str, suites: &[(&SuiteRecord, f64)]) -> CliffRow {
        let tolerance = self.sheet.manifest.judging.tolerance;
        let mut steps = self.steps(name, suites);
        steps.sort_by(|a, b| a.1.total_cmp(&b.1));
        let shown: Vec<(&str, f64, Shown)> =
            steps.iter().map(|(name, bpw, step)| (*name, *bpw, shown(step.interval, tolerance))).collect();
        let first = |keep: &dyn Fn(Shown) -> bool| shown.iter().find(|(.., shown)| keep(*shown)).copied();
        let equal = first(&|shown| shown == Shown::Equal);
        let not_worse = first(&|shown| shown != Shown::Worse);
        let falls = shown.iter().take_while(|(.., shown)| *shown == Shown::Worse).last().copied();
        let names = |keep: &dyn Fn(&SuiteRecord) -> bool| {
            let own: Vec<&str> =
                suites.iter().filter(|(s, _)| keep(s)).map(|(s, _)| s.name.as_str()).collect();
            own.join(" ")
        };
        // Of the variant nearest to the base: the more answers flip, the less can be shown, and of the low end's nobody asks
        // whether it is equal.
        let detectable = steps.last().map_or(f64::NAN, |(.., step)| step.detectable);
        let variant =
            |found: Option<(&str, f64, Shown)>| found.map_or(String::new(), |(name, ..)| name.to_owned());
        let bpw = |found: Option<(&str, f64, Shown)>| found.map(|(_, bpw, _)| bpw);
        CliffRow {
            scope: scope.to_owned(),
            name: name.to_owned(),
            suites: names(&|_| true),
            tolerance,
            equal_variant: variant(equal),
            equal_bpw: bpw(equal),
            not_worse_variant: variant(not_worse),
            not_worse_bpw: bpw(not_worse),
            falls_variant: variant(falls),
            falls_bpw: bpw(falls),
            n: steps.iter().map(|(.., step)| step.n).min().unwrap_or(0),
            detectable: Some(detectable).filter(|d| d.is_finite()),
            says: says(&shown, tolerance, detectable),
            partial: names(&|suite| !suite.partial.is_empty()),
        }
    }

    /// Variants with the base's KV types that have a comparison on each of the suites, with their bits per weight.
    fn steps(&self, scope: &str, suites: &[(&SuiteRecord, f64)]) -> Vec<(&str, f64, Step)> {
        let records = &self.sheet.manifest.variants;
        let base = records.first().map(|v| &v.kv);
        let ours = records.iter().skip(1).filter(|v| Some(&v.kv) == base);
        let step = |name: &str| {
            let rows: Vec<(f64, &ComparisonRow)> = suites
                .iter()
                .filter_map(|(suite, weight)| Some((*weight, self.comparison(name, suite)?)))
                .collect();
            let step = pooled(&rows).filter(|_| rows.len() == suites.len())?;
            Some(Step {
                interval: stopping::interval(self.looks, name, scope).unwrap_or(step.interval),
                ..step
            })
        };
        ours.filter_map(|v| {
            let bpw = self.variants.iter().find(|row| row.variant == v.name)?.bpw?;
            Some((v.name.as_str(), bpw, step(&v.name)?))
        })
        .collect()
    }

    fn comparison(&self, variant: &str, suite: &SuiteRecord) -> Option<&ComparisonRow> {
        self.comparisons.get(&(variant, suite.name.as_str(), suite.main_metric.as_str())).copied()
    }
}

fn says(shown: &[(&str, f64, Shown)], tolerance: f64, detectable: f64) -> String {
    let points = format!("{} points", trimmed(tolerance * 100.0));
    if shown.is_empty() {
        return "no variant is measured".to_owned();
    }
    let named = |found: &(&str, f64, Shown)| format!("{} ({:.2} bpw)", found.0, found.1);
    let equal = shown.iter().find(|(.., s)| *s == Shown::Equal);
    let falls = shown.iter().take_while(|(.., s)| *s == Shown::Worse).last();
    let down_to = match equal {
        Some(found) => format!("within {points} of the base down to {}", named(found)),
        None if shown.iter().all(|(.., s)| *s == Shown::Worse) => "every variant is worse".to_owned(),
        None => {
            let least = if detectable.is_finite() {
                format!("; a difference of {} points could have been shown", trimmed(detectable * 100.0))
            } else {
                String::new()
            };
            format!("not enough items to show any variant within {points}{least}")
        }
    };
    match falls {
        Some(found) => format!("{down_to}; worse from {} on", named(found)),
        None => format!("{down_to}; none is shown to be worse at the low end"),
    }
}

/// With one decimal, and none where it is 0.
fn trimmed(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_says_what_is_shown() {
        use Shown::{Equal, Open, Worse};
        let ladder = |words: &[Shown]| -> Vec<(&'static str, f64, Shown)> {
            ["Q2", "Q3", "Q4", "Q8"]
                .into_iter()
                .zip([2.5, 3.5, 4.5, 8.5])
                .zip(words)
                .map(|((n, b), s)| (n, b, *s))
                .collect()
        };
        assert_eq!(
            says(&ladder(&[Worse, Worse, Open, Equal]), 0.02, 0.05),
            "within 2 points of the base down to Q8 (8.50 bpw); worse from Q3 (3.50 bpw) on"
        );
        assert_eq!(
            says(&ladder(&[Open, Open, Open, Open]), 0.015, 0.125),
            "not enough items to show any variant within 1.5 points; a difference of 12.5 points could have been shown; \
             none is shown to be worse at the low end"
        );
        assert_eq!(
            says(&ladder(&[Worse; 4]), 0.02, 0.05),
            "every variant is worse; worse from Q8 (8.50 bpw) on"
        );
        assert_eq!(says(&[], 0.02, 0.05), "no variant is measured");
    }
}
