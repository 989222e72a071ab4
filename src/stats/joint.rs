//! Joint resamples: the same clusters drawn for every variant, so that what varies between variants is what they do, and
//! not which items they were given. What is told of them is told of all together: on which share of the resamples a
//! variant is on the frontier, and how certain a mean over several suites is.

use std::cmp::Ordering;

use super::bootstrap;
use super::random::SplitMix64;

/// The share of resamples from which on one side is shown: half of what lies outside a 95% interval is left.
pub const SHOWN: f64 = 0.975;

/// Sums of one cluster for each variant: what its items are worth together, and how many there are. A variant without
/// an item has `(0, 0)` for it.
pub type Cluster = Vec<(f64, f64)>;

/// Means over a suite of every variant, in every resample.
#[derive(Debug, Clone, PartialEq)]
pub struct Resampled {
    /// By variant, the mean over all clusters; NaN without items.
    pub points: Vec<f64>,
    /// By variant, the mean in each resample; NaN where a resample holds none of its items.
    pub draws: Vec<Vec<f64>>,
}

/// Draws as many clusters as there are, with replacement, stratum by stratum, and takes the unweighted mean over strata of
/// each variant's ratio of sums. `variants` are the columns of every cluster.
#[must_use]
pub fn resampled(strata: &[Vec<Cluster>], variants: usize, seed: u64, resamples: usize) -> Resampled {
    let all = |stratum: &[Cluster]| means(stratum.iter(), variants);
    let points = over_strata(strata.iter().map(|stratum| all(stratum)), strata.len(), variants);
    let mut random = SplitMix64::new(seed);
    let mut draws = vec![Vec::with_capacity(resamples); variants];
    for _ in 0..resamples {
        let resample = strata.iter().map(|stratum| {
            let n = stratum.len();
            means((0..n).filter_map(|_| stratum.get(random.below(n))), variants)
        });
        for (draws, mean) in draws.iter_mut().zip(over_strata(resample, strata.len(), variants)) {
            draws.push(mean);
        }
    }
    Resampled { points, draws }
}

/// Each variant's ratio of sums over clusters.
fn means<'a>(clusters: impl Iterator<Item = &'a Cluster>, variants: usize) -> Vec<f64> {
    let mut sums = vec![(0.0, 0.0); variants];
    for cluster in clusters {
        for (sum, (worth, count)) in sums.iter_mut().zip(cluster) {
            sum.0 += worth;
            sum.1 += count;
        }
    }
    sums.into_iter().map(|(worth, count)| worth / count).collect()
}

fn over_strata(strata: impl Iterator<Item = Vec<f64>>, n: usize, variants: usize) -> Vec<f64> {
    let mut sums = vec![0.0; variants];
    for means in strata {
        for (sum, mean) in sums.iter_mut().zip(means) {
            *sum += mean / n as f64;
        }
    }
    sums
}

/// The weighted mean of several suites: point and draws of each variant, NaN where one of them has none.
#[must_use]
pub fn weighted(suites: &[(f64, &Resampled)]) -> Resampled {
    let total: f64 = suites.iter().map(|(weight, _)| weight).sum();
    let mean = |value: &dyn Fn(&Resampled) -> Option<f64>| -> f64 {
        suites.iter().map(|(weight, suite)| weight * value(suite).unwrap_or(f64::NAN)).sum::<f64>() / total
    };
    let Some((_, first)) = suites.first() else { return Resampled { points: Vec::new(), draws: Vec::new() } };
    let points = (0..first.points.len()).map(|v| mean(&|suite| suite.points.get(v).copied())).collect();
    let draws = first.draws.iter().enumerate().map(|(v, draws)| {
        (0..draws.len()).map(|r| mean(&|suite| suite.draws.get(v)?.get(r).copied())).collect()
    });
    Resampled { points, draws: draws.collect() }
}

/// The interval that holds the middle 95% of what is finite; `None` if less than that is.
#[must_use]
pub fn middle_95(draws: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    let (mut finite, mut all) = (Vec::new(), 0_usize);
    for draw in draws {
        all += 1;
        finite.extend(Some(draw).filter(|draw| draw.is_finite()));
    }
    // A rare draw without any item of a variant does not tell against it.
    if finite.len() < 2 || (finite.len() as f64) < 0.95 * all as f64 {
        return None;
    }
    bootstrap::middle_95(finite)
}

/// For each point, less being better on both axes, whether no other is at least as good on both and better on one. Equal
/// points do not beat each other; a point that is not a number is never unbeaten and beats none. Takes n log n steps.
#[must_use]
pub fn unbeaten(points: &[(f64, f64)]) -> Vec<bool> {
    let (costs, values): (Vec<f64>, Vec<f64>) = points.iter().copied().unzip();
    unbeaten_in(&by_cost(&costs), &values)
}

/// Places of the points of each cost, from the lowest; those whose cost is not a number are left out.
fn by_cost(costs: &[f64]) -> Vec<Vec<usize>> {
    let mut places: Vec<(f64, usize)> = costs
        .iter()
        .enumerate()
        .filter(|(_, cost)| !cost.is_nan())
        .map(|(place, cost)| (*cost, place))
        .collect();
    let order = |a: &(f64, usize), b: &(f64, usize)| a.0.partial_cmp(&b.0).unwrap_or(Ordering::Equal);
    places.sort_by(order);
    places
        .chunk_by(|a, b| order(a, b).is_eq())
        .map(|same| same.iter().map(|(_, place)| *place).collect())
        .collect()
}

/// As [`unbeaten`], of points whose costs are in order already.
fn unbeaten_in(by_cost: &[Vec<usize>], values: &[f64]) -> Vec<bool> {
    let value = |place: &usize| values.get(*place).copied().unwrap_or(f64::NAN);
    let mut on = vec![false; values.len()];
    // The best of those that cost less.
    let mut best = f64::INFINITY;
    let mut is_first = true;
    for same in by_cost {
        let here = same.iter().map(value).fold(f64::INFINITY, f64::min);
        for place in same {
            if let Some(on) = on.get_mut(*place) {
                let own = value(place);
                *on = own <= here && (own < best || is_first);
            }
        }
        is_first &= same.iter().map(value).all(f64::is_nan);
        best = best.min(here);
    }
    on
}

/// The share of resamples in which each point is unbeaten, its cost fixed and its quality (less is better) drawn.
#[must_use]
pub fn frontier_shares(costs: &[f64], draws: &[Vec<f64>]) -> Vec<f64> {
    let resamples = draws.iter().map(Vec::len).min().unwrap_or(0);
    let by_cost = by_cost(costs);
    let mut counts = vec![0_u64; costs.len()];
    for resample in 0..resamples {
        let values: Vec<f64> =
            draws.iter().map(|draws| draws.get(resample).copied().unwrap_or(f64::NAN)).collect();
        for (count, on) in counts.iter_mut().zip(unbeaten_in(&by_cost, &values)) {
            *count += u64::from(on);
        }
    }
    counts.into_iter().map(|count| count as f64 / resamples as f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{RESAMPLES, bootstrap_intervals};
    use proptest::prelude::*;

    fn items(columns: &[&[f64]]) -> Vec<Cluster> {
        let n = columns.first().map_or(0, |c| c.len());
        (0..n).map(|i| columns.iter().map(|c| (c[i], 1.0)).collect()).collect()
    }

    #[test]
    fn equal_points_stay_and_worse_ones_go() {
        let points = [(1.0, 5.0), (1.0, 5.0), (1.0, 6.0), (2.0, 5.0), (2.0, 4.0), (3.0, 1.0)];
        assert_eq!(unbeaten(&points), [true, true, false, false, true, true]);
        assert!(unbeaten(&[]).is_empty());
        assert_eq!(unbeaten(&[(1.0, 1.0), (f64::NAN, 0.0)]), [true, false]);
    }

    /// Two variants that answer alike are drawn alike: their difference is 0 in every resample.
    #[test]
    fn variants_are_drawn_together() {
        let (a, b) = ([1.0, 0.0, 1.0, 1.0, 0.0], [1.0, 0.0, 1.0, 1.0, 0.0]);
        let found = resampled(&[items(&[&a, &b])], 2, 3, 200);
        assert_eq!(found.draws[0], found.draws[1]);
        assert_eq!(found.points, [0.6, 0.6]);
        assert!(middle_95(found.draws[0].iter().copied()).is_some_and(|(low, high)| low < 0.6 && 0.6 < high));
        assert_eq!(frontier_shares(&[1.0, 2.0], &found.draws), [1.0, 0.0]);
        assert_eq!(frontier_shares(&[1.0, 1.0], &found.draws), [1.0, 1.0]);
    }

    /// A small variant that loses one item of forty: the large one is on the frontier where that item is drawn,
    /// which happens in 1 - (1 - 1/40)^40 = .637 of the resamples.
    #[test]
    fn shares_are_those_of_the_resamples() {
        let large = vec![1.0; 40];
        let mut small = large.clone();
        small[7] = 0.0;
        let found = resampled(&[items(&[&small, &large])], 2, 1, 4000);
        let worse: Vec<Vec<f64>> = found.draws.iter().map(|d| d.iter().map(|x| -x).collect()).collect();
        let shares = frontier_shares(&[1.0, 2.0], &worse);
        assert!((shares[0] - 1.0).abs() < 1e-12 && (shares[1] - 0.637).abs() < 0.03, "{shares:?}");
    }

    #[test]
    fn missing_items_are_left_out_and_suites_are_weighted() {
        let clusters: Vec<Cluster> = vec![vec![(1.0, 1.0), (0.0, 0.0)], vec![(0.0, 1.0), (3.0, 2.0)]];
        let found = resampled(&[clusters], 2, 1, 50);
        assert_eq!(found.points, [0.5, 1.5]);
        assert!(found.draws[1].iter().any(|draw| draw.is_nan()), "a draw without its only cluster");
        let other = Resampled { points: vec![1.0, 0.0], draws: vec![vec![1.0; 50], vec![0.0; 50]] };
        assert_eq!(weighted(&[(1.0, &found), (3.0, &other)]).points, [0.875, 0.375]);
        assert_eq!(middle_95([1.0, f64::NAN]), None);
        assert!(weighted(&[]).points.is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// One variant alone is the ordinary bootstrap, draw by draw.
        #[test]
        fn one_variant_is_resampled_as_ever(
            values in prop::collection::vec(0.0..10.0_f64, 2..30), seed in any::<u64>(),
        ) {
            let found = resampled(&[items(&[&values])], 1, seed, RESAMPLES);
            let clusters: Vec<[f64; 2]> = values.iter().map(|v| [*v, 1.0]).collect();
            let [interval] = bootstrap_intervals(&clusters, seed, |s: &[f64; 2]| [s[0] / s[1]]);
            prop_assert_eq!(middle_95(found.draws[0].iter().copied()), interval);
        }

        /// Few distinct values, so that ties are common.
        #[test]
        fn every_beaten_point_is_beaten_by_one_on_the_frontier(
            points in prop::collection::vec((0_u8..6, 0_u8..6), 1..40),
        ) {
            let points: Vec<(f64, f64)> = points.into_iter().map(|(x, y)| (x.into(), y.into())).collect();
            let on = unbeaten(&points);
            prop_assert!(on.contains(&true));
            for (point, &kept) in points.iter().zip(&on) {
                let beaten = points.iter().zip(&on).any(|(other, &on)| {
                    on && other.0 <= point.0 && other.1 <= point.1 && other != point
                });
                prop_assert_eq!(beaten, !kept);
            }
        }

        /// Some variant is unbeaten in every resample, so that shares add up to at least one.
        #[test]
        fn some_variant_is_on_every_frontier(
            scores in prop::collection::vec((0_u8..2, 0_u8..2, 0_u8..2), 2..20), seed in any::<u64>(),
        ) {
            let clusters: Vec<Cluster> = scores
                .into_iter()
                .map(|(a, b, c)| [a, b, c].into_iter().map(|s| (-f64::from(s), 1.0)).collect())
                .collect();
            let found = resampled(&[clusters], 3, seed, 60);
            let shares = frontier_shares(&[1.0, 2.0, 3.0], &found.draws);
            prop_assert!(shares.iter().sum::<f64>() >= 1.0 - 1e-9);
            prop_assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)));
        }
    }
}
