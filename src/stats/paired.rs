//! Two variants on the same items: the difference of their scores with the error of the *differences*, the
//! answers that flipped, and how surprising the flips would be if nothing had changed.

use super::estimate::{Estimate, mean};

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

/// What a variant has left of the base's score above chance, over pairs given as `(base, variant)`:
/// `r = (mean v - c) / (mean b - c)`, with `SE^2 = (var(v - c - r (b - c)) / n + 1 / n^2) / (mean b - c)^2`: the ratio's
/// linearisation (Cochran, Sampling Techniques, 6.4), and a half more items lost and won each, as Agresti and Min (2005)
/// add to paired shares. `None` for fewer than two pairs, and where the base is not above chance.
#[must_use]
pub fn retained(pairs: &[(f64, f64)], chance: f64) -> Option<Estimate> {
    let n = pairs.len() as f64;
    let above = |value: fn(&(f64, f64)) -> f64| pairs.iter().map(value).sum::<f64>() / n - chance;
    let (base, variant) = (above(|pair| pair.0), above(|pair| pair.1));
    if pairs.len() < 2 || base.is_nan() || base <= 0.0 {
        return None;
    }
    let r = variant / base;
    let parts: Vec<f64> = pairs.iter().map(|(b, v)| v - chance - r * (b - chance)).collect();
    let spread = mean(&parts)?.standard_error;
    Some(Estimate::normal(r, spread.hypot(1.0 / n) / base))
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
        let left = retained(&pairs, 0.2).expect("an estimate");
        assert!((left.point - 0.5).abs() < 1e-12, "{left:?}");
        // v - c - r (b - c) by hand: five times .4, three times -.6, two times -.1; over n (n - 1), 1/n beside it.
        let spread: f64 = (5.0 * 0.4_f64.powi(2) + 3.0 * 0.6_f64.powi(2) + 2.0 * 0.1_f64.powi(2)) / 90.0;
        assert!((left.standard_error - (spread + 0.01).sqrt() / 0.6).abs() < 1e-12, "{left:?}");
        assert!(retained(&pairs, 0.8).is_none() && retained(&pairs[..1], 0.0).is_none());
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
            let (low, high) = retained(&pairs, 0.25).expect("an estimate").interval;
            held += u32::from(low <= truth && truth <= high);
        }
        assert!(f64::from(held) >= 0.94 * f64::from(sweeps), "{held} of {sweeps}");
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
