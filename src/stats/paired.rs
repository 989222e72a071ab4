//! Two variants on the same items: the difference of their scores with the error of the *differences*, the
//! answers that flipped, and how surprising the flips would be if nothing had changed.

use std::collections::BTreeSet;

use statrs::distribution::{ContinuousCDF as _, StudentsT};

use super::clusters::cluster_effect;
use super::estimate::{Estimate, Z95, mean};

/// Answers that changed between the base and a variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flips {
    /// Base right, variant wrong.
    pub lost: u64,
    /// Base wrong, variant right.
    pub won: u64,
}

/// Mean of `variant - base` over pairs, given as `(base, variant)`, with the standard error of the differences.
/// `None` without pairs.
#[must_use]
pub fn difference(pairs: &[(f64, f64)]) -> Option<Estimate> {
    mean(&pairs.iter().map(|(base, variant)| variant - base).collect::<Vec<_>>())
}

/// What differences this small a number of pairs can show: the square of the sum of the normal's 97.5% and 80% points.
const POWER: f64 = 7.848_879_734_349_086;

/// A variant against the base on the same items.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// Mean of `variant - base`, its standard error (clustered, where items share something), and a 95% interval: of right
    /// and wrong Bonett and Price's (2012), of other scores Student's.
    pub difference: Estimate,
    /// Two-sided p: exact `McNemar` for right and wrong, the paired t test otherwise and where items share something; NaN
    /// where it cannot be known.
    pub p: f64,
    /// The smallest difference that as many items would show with a power of 80% at a level of 5%:
    /// `n = 7.849 (m - d^2) / d^2` solved for d, m the mean square of the differences, of right and wrong the share of
    /// flips, one more counted over two more items, so that no flip among few items is not taken for certainty.
    pub detectable: f64,
}

/// Compares over pairs given as `(base, variant)`. Pairs of one cluster share something, such as a passage; with `None`
/// each is its own. `None` without pairs.
///
/// The clustered error is Miller's (arXiv 2411.00640), and never below that of items that share nothing.
#[must_use]
pub fn compare(pairs: &[(f64, f64)], clusters: Option<&[u32]>) -> Option<Comparison> {
    let clusters = clusters.filter(|clusters| clusters.len() == pairs.len());
    let deltas: Vec<f64> = pairs.iter().map(|(base, variant)| variant - base).collect();
    let plain = mean(&deltas)?;
    let n = deltas.len() as f64;
    let groups = clusters.map_or(deltas.len(), |clusters| clusters.iter().collect::<BTreeSet<_>>().len());
    let effect = cluster_effect(&deltas, clusters);
    let is_shared = groups < deltas.len();
    let is_binary = pairs.iter().all(|(b, v)| is_verdict(*b) && is_verdict(*v));
    let error = plain.standard_error * effect;
    let difference = |half: f64, centre: f64| Estimate {
        point: plain.point,
        standard_error: error,
        interval: (centre - half, centre + half),
    };
    if is_binary {
        let verdicts: Vec<(bool, bool)> = pairs.iter().map(|(b, v)| (*b > 0.5, *v > 0.5)).collect();
        let flips = flips(&verdicts);
        let (centre, half) = bonett_price(flips, pairs.len());
        let share = (flips.lost + flips.won + 1) as f64 / (n + 2.0);
        return Some(Comparison {
            difference: difference(half * effect, centre),
            p: if is_shared { student_p(plain.point, error, groups) } else { mcnemar(flips) },
            detectable: detectable(share, n) * effect,
        });
    }
    let squares = deltas.iter().map(|d| d * d).sum::<f64>() / n;
    Some(Comparison {
        // Where nothing varies nothing is known of what would.
        difference: difference(if error > 0.0 { student_half(error, groups) } else { f64::NAN }, plain.point),
        p: student_p(plain.point, error, groups),
        detectable: if squares > 0.0 { detectable(squares, n) * effect } else { f64::NAN },
    })
}

fn is_verdict(score: f64) -> bool {
    score.total_cmp(&0.0).is_eq() || score.total_cmp(&1.0).is_eq()
}

/// Centre and half width of Bonett and Price's 95% interval of the difference of two paired shares (Statistics in
/// Medicine 31, 2012): one more item lost and one more won, over two more.
fn bonett_price(flips: Flips, n: usize) -> (f64, f64) {
    let n = n as f64 + 2.0;
    let (lost, won) = ((flips.lost + 1) as f64 / n, (flips.won + 1) as f64 / n);
    let centre = won - lost;
    (centre, Z95 * ((lost + won - centre * centre) / n).sqrt())
}

fn detectable(mean_square: f64, n: f64) -> f64 {
    (POWER * mean_square / (n + POWER)).sqrt()
}

fn student(groups: usize) -> Option<StudentsT> {
    StudentsT::new(0.0, 1.0, groups as f64 - 1.0).ok().filter(|_| groups > 1)
}

/// Half a 95% interval by Student's t; NaN for a single group.
fn student_half(error: f64, groups: usize) -> f64 {
    student(groups).map_or(f64::NAN, |t| t.inverse_cdf(0.975) * error)
}

/// Two-sided p of a mean by Student's t; 1 where nothing differs, NaN where nothing varies.
fn student_p(point: f64, error: f64, groups: usize) -> f64 {
    if point.abs() <= 0.0 {
        return 1.0;
    }
    student(groups).filter(|_| error > 0.0).map_or(f64::NAN, |t| 2.0 * t.sf((point / error).abs()))
}

/// What a variant has left of the base's score above chance, over pairs given as `(base, variant)`:
/// `r = (mean v - c) / (mean b - c)`, with `SE^2 = (var(v - c - r (b - c)) / n + 1 / n^2) / (mean b - c)^2`: the ratio's
/// linearisation (Cochran, Sampling Techniques, 6.4), and a half more items lost and won each, as Agresti and Min (2005)
/// add to paired shares. Pairs of one cluster share something. `None` for fewer than two pairs, and where the base is not
/// above chance.
#[must_use]
pub fn retained(pairs: &[(f64, f64)], chance: f64, clusters: Option<&[u32]>) -> Option<Estimate> {
    let n = pairs.len() as f64;
    let above = |value: fn(&(f64, f64)) -> f64| pairs.iter().map(value).sum::<f64>() / n - chance;
    let (base, variant) = (above(|pair| pair.0), above(|pair| pair.1));
    if pairs.len() < 2 || base.is_nan() || base <= 0.0 {
        return None;
    }
    let r = variant / base;
    let parts: Vec<f64> = pairs.iter().map(|(b, v)| v - chance - r * (b - chance)).collect();
    let spread = mean(&parts)?.standard_error;
    Some(Estimate::normal(r, spread.hypot(1.0 / n) * cluster_effect(&parts, clusters) / base))
}

/// Counts flips over pairs, given as `(base right, variant right)`.
#[must_use]
pub fn flips(pairs: &[(bool, bool)]) -> Flips {
    let count = |pattern| pairs.iter().filter(|&&pair| pair == pattern).count() as u64;
    Flips { lost: count((true, false)), won: count((false, true)) }
}

/// Exact two-sided p of `McNemar`'s test: `min(1, 2 P(Bin(lost + won, 1/2) >= max(lost, won)))`.
/// Summed in logarithms, so that thousands of flips neither overflow nor vanish on the way.
#[must_use]
pub fn mcnemar(flips: Flips) -> f64 {
    let (fewest, most) = (flips.lost.min(flips.won), flips.lost.max(flips.won));
    if fewest == most {
        return 1.0;
    }
    // By symmetry the tail at or above `most` is the tail at or below `fewest`; ln C(n, k) by recurrence from 0.
    let n = fewest.saturating_add(most) as f64;
    let mut ln_term = -n * std::f64::consts::LN_2;
    let mut tail = ln_term.exp();
    for k in 0..fewest {
        ln_term += ((n - k as f64) / (k as f64 + 1.0)).ln();
        tail += ln_term.exp();
    }
    (2.0 * tail).min(1.0)
}

/// Holm's step-down correction: adjusted p values in the order given, for a family tested together.
#[must_use]
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut ascending: Vec<(usize, f64)> = p_values.iter().copied().enumerate().collect();
    ascending.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut largest = 0.0_f64;
    let mut adjusted: Vec<(usize, f64)> = ascending
        .into_iter()
        .enumerate()
        .map(|(rank, (place, p))| {
            largest = largest.max((p * (p_values.len() - rank) as f64).min(1.0));
            (place, largest)
        })
        .collect();
    adjusted.sort_by_key(|&(place, _)| place);
    adjusted.into_iter().map(|(_, p)| p).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `statsmodels.stats.contingency_tables.mcnemar([[0, b], [c, 0]], exact=True).pvalue` (statsmodels 0.15.0)
    #[test]
    fn mcnemar_agrees_with_statsmodels() {
        for (lost, won, p) in [
            (1, 0, 1.0),
            (3, 12, 0.035_156_25),
            (12, 3, 0.035_156_25),
            (5, 5, 1.0),
            (40, 60, 0.056_887_933_640_980_89),
            (600, 500, 0.002_819_544_991_436_428_4),
            (0, 2000, 0.0),
        ] {
            let ours = mcnemar(Flips { lost, won });
            assert!((ours - p).abs() <= 1e-10 * p, "{lost} {won}: {ours}");
        }
        assert!((mcnemar(Flips::default()) - 1.0).abs() < 1e-15);
    }

    #[test]
    fn what_is_left_is_the_share_above_chance() {
        // 8 of 10 against 5 of 10 with a chance of 0.2: half of .6 is left.
        let pairs: Vec<(f64, f64)> =
            (0..10).map(|i| (f64::from(u8::from(i < 8)), f64::from(u8::from(i < 5)))).collect();
        let left = retained(&pairs, 0.2, None).expect("an estimate");
        assert!((left.point - 0.5).abs() < 1e-12, "{left:?}");
        // v - c - r (b - c) by hand: five times .4, three times -.6, two times -.1; over n (n - 1), 1/n beside it.
        let spread: f64 = (5.0 * 0.4_f64.powi(2) + 3.0 * 0.6_f64.powi(2) + 2.0 * 0.1_f64.powi(2)) / 90.0;
        assert!((left.standard_error - (spread + 0.01).sqrt() / 0.6).abs() < 1e-12, "{left:?}");
        assert!(retained(&pairs, 0.8, None).is_none() && retained(&pairs[..1], 0.0, None).is_none());
    }

    /// Items drawn anew a thousand times: nineteen of twenty intervals hold what is left in truth.
    #[test]
    fn intervals_of_what_is_left_hold_it() {
        let mut random = crate::stats::SplitMix64::new(5);
        let (mut held, sweeps) = (0, 1000);
        for _ in 0..sweeps {
            let pairs: Vec<(f64, f64)> = (0..150)
                .map(|_| {
                    let base = random.unit() < 0.6;
                    let kept = random.unit() < if base { 0.9 } else { 0.1 };
                    (f64::from(u8::from(base)), f64::from(u8::from(kept)))
                })
                .collect();
            // .6 * .9 + .4 * .1 = .58, chance .25.
            let truth = (0.58 - 0.25) / (0.6 - 0.25);
            let (low, high) = retained(&pairs, 0.25, None).expect("an estimate").interval;
            held += u32::from(low <= truth && truth <= high);
        }
        assert!(f64::from(held) >= 0.94 * f64::from(sweeps), "{held} of {sweeps}");
    }

    fn scores(pairs: &[(u8, u8)]) -> Vec<(f64, f64)> {
        pairs.iter().map(|&(b, v)| (f64::from(b), f64::from(v))).collect()
    }

    /// `scipy.stats.ttest_rel(v, b)` and `.confidence_interval()` (scipy 1.17.1).
    #[test]
    fn scores_are_compared_as_scipy_does() {
        let pairs = [(0.5, 0.7), (0.2, 0.1), (0.9, 0.4), (0.3, 0.3), (0.8, 0.25), (0.6, 0.55)];
        let compared = compare(&pairs, None).unwrap();
        assert!((compared.difference.point + 1.0 / 6.0).abs() < 1e-12, "{compared:?}");
        assert!((compared.p - 0.226_442_694_183_233_84).abs() < 1e-9, "{compared:?}");
        assert!((compared.difference.interval.0 + 0.477_389_418_659_603_26).abs() < 1e-9, "{compared:?}");
        let same = compare(&[(0.5, 0.5), (0.25, 0.25)], None).unwrap();
        assert!((same.p - 1.0).abs() < 1e-15 && same.detectable.is_nan());
        assert!(compare(&[(0.5, 0.25)], None).unwrap().p.is_nan());
        assert!(compare(&[], None).is_none());
    }

    /// Ten lost and three won of a hundred, by hand: (4 - 11) / 102, and 15 / 102 of flips.
    #[test]
    fn right_and_wrong_have_the_adjusted_interval() {
        let mut pairs = vec![(1, 0); 10];
        pairs.extend([(0, 1); 3]);
        pairs.extend([(1, 1); 87]);
        let compared = compare(&scores(&pairs), None).unwrap();
        let (low, high) = compared.difference.interval;
        let centre = -7.0 / 102.0_f64;
        let half = Z95 * ((15.0 / 102.0 - centre * centre) / 102.0).sqrt();
        assert!((low - (centre - half)).abs() < 1e-12 && (high - (centre + half)).abs() < 1e-12);
        assert!((compared.p - mcnemar(Flips { lost: 10, won: 3 })).abs() < 1e-15);
        let n = |d: f64| 7.849 * (14.0 / 102.0 - d * d) / (d * d);
        assert!((n(compared.detectable) - 100.0).abs() < 0.01, "{compared:?}");
    }

    /// The statistics note's own example: 5% of flips, a point of difference, 3,917 items.
    #[test]
    fn the_smallest_difference_is_the_one_that_so_many_items_show() {
        assert!((detectable(0.05, 3917.0) - 0.01).abs() < 1e-6);
    }

    /// Every item twice tells no more than once: the clustered error is that of half the items.
    #[test]
    fn items_that_share_something_count_as_little_as_they_tell() {
        let once: Vec<(u8, u8)> = (0..60).map(|i| (u8::from(i % 3 > 0), u8::from(i % 4 > 0))).collect();
        let twice: Vec<(u8, u8)> = once.iter().flat_map(|pair| [*pair, *pair]).collect();
        let clusters: Vec<u32> = (0..60).flat_map(|i| [i, i]).collect();
        let halves = compare(&scores(&twice), Some(&clusters)).unwrap();
        let ratio = halves.difference.standard_error
            / compare(&scores(&once), None).unwrap().difference.standard_error;
        assert!((ratio - 1.0).abs() < 0.01, "{ratio}");
        assert!(halves.p > compare(&scores(&twice), None).unwrap().p);
        // Each its own cluster is no cluster.
        let own: Vec<u32> = (0..120).collect();
        assert_eq!(compare(&scores(&twice), Some(&own)), compare(&scores(&twice), None));
    }

    /// Sweeps drawn anew: the interval holds the true difference, the smallest difference is found four times in five,
    /// and where nothing differs no more than one in twenty says so.
    #[test]
    fn intervals_hold_the_difference_and_power_is_what_it_says() {
        let mut random = crate::stats::SplitMix64::new(17);
        let mut draw = |n: usize, lost: f64, won: f64| -> Vec<(f64, f64)> {
            let one = |_| match random.unit() {
                u if u < lost => (1.0, 0.0),
                u if u < lost + won => (0.0, 1.0),
                _ => (1.0, 1.0),
            };
            (0..n).map(one).collect()
        };
        for (n, lost, won) in [(30, 0.05, 0.05), (100, 0.10, 0.02), (100, 0.01, 0.0), (400, 0.06, 0.05)] {
            let held = (0..2000)
                .filter(|_| {
                    let (low, high) = compare(&draw(n, lost, won), None).unwrap().difference.interval;
                    (low..=high).contains(&(won - lost))
                })
                .count();
            assert!(held >= 1890, "{held} of 2000 with {n} items, {lost} {won}");
        }
        // 6% of flips among 400: the smallest difference is .0341.
        let least = detectable(0.06, 400.0);
        let found = (0..2000)
            .filter(|_| compare(&draw(400, 0.03 + least / 2.0, 0.03 - least / 2.0), None).unwrap().p < 0.05)
            .count();
        assert!((1350..1750).contains(&found), "{found} of 2000");
        let none = (0..2000).filter(|_| compare(&draw(400, 0.03, 0.03), None).unwrap().p < 0.05).count();
        assert!(none <= 115, "{none} of 2000");
    }

    /// `statsmodels.stats.multitest.multipletests([.01, .04, .03, .005, .9], method='holm')[1]`
    #[test]
    fn holm_agrees_with_statsmodels() {
        let adjusted = holm(&[0.01, 0.04, 0.03, 0.005, 0.9]);
        for (ours, theirs) in adjusted.iter().zip([0.04, 0.09, 0.09, 0.025, 0.9]) {
            assert!((ours - theirs).abs() < 1e-12, "{adjusted:?}");
        }
        assert!(holm(&[]).is_empty());
    }

    /// `scipy.stats.sem(variant - base)` of these eight pairs is 0.25.
    #[test]
    fn the_difference_has_the_error_of_the_differences() {
        let pairs: Vec<(bool, bool)> = [(1, 1), (1, 0), (0, 0), (0, 1), (1, 1), (1, 0), (0, 0), (1, 0)]
            .map(|(a, b)| (a == 1, b == 1))
            .into();
        let scores: Vec<(f64, f64)> =
            pairs.iter().map(|&(a, b)| (f64::from(u8::from(a)), f64::from(u8::from(b)))).collect();
        let estimate = difference(&scores).unwrap();
        assert!((estimate.point + 0.25).abs() < 1e-15 && (estimate.standard_error - 0.25).abs() < 1e-15);
        assert_eq!(flips(&pairs), Flips { lost: 3, won: 1 });
        assert_eq!(difference(&[]), None);
    }

    proptest! {
        #[test]
        fn mcnemar_is_symmetric_and_falls_as_flips_lean_one_way(lost in 0_u64..300, won in 0_u64..300) {
            let p = mcnemar(Flips { lost, won });
            prop_assert!((0.0..=1.0).contains(&p));
            let swapped = mcnemar(Flips { lost: won, won: lost });
            prop_assert!((p - swapped).abs() < 1e-12);
            let more = mcnemar(Flips { lost: lost.max(won) + 1, won: lost.min(won) });
            prop_assert!(more <= p + 1e-12);
        }

        #[test]
        fn holm_never_lowers_p_and_keeps_the_order(p in prop::collection::vec(0.0..=1.0_f64, 0..20)) {
            let adjusted = holm(&p);
            for (i, a) in adjusted.iter().enumerate() {
                prop_assert!(*a >= p[i] && *a <= 1.0);
                for (j, b) in adjusted.iter().enumerate() {
                    prop_assert!(p[i] > p[j] || a <= b);
                }
            }
        }

        #[test]
        fn the_difference_is_the_difference_of_the_means(
            pairs in prop::collection::vec((-10.0..10.0_f64, -10.0..10.0_f64), 1..50),
        ) {
            let (base, variant): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
            let apart = mean(&variant).unwrap().point - mean(&base).unwrap().point;
            prop_assert!((difference(&pairs).unwrap().point - apart).abs() < 1e-9);
        }
    }
}
