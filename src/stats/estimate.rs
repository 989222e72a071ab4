//! A number with its uncertainty, and the two ways a mean gets one: the normal interval, and Wilson's interval
//! for shares, which stays honest when there are few items or when nearly all of them agree.

/// The 97.5% point of the standard normal distribution: half a 95% interval, in standard errors.
pub const Z95: f64 = 1.959_963_984_540_054;

/// The chance that a standard normal variable is at most `z`.
#[must_use]
pub fn normal_below(z: f64) -> f64 {
    0.5 * statrs::function::erf::erfc(-z / std::f64::consts::SQRT_2)
}

/// Fewer items than this get Wilson's interval (arXiv 2503.01747).
const FEW_ITEMS: f64 = 300.0;

/// A share nearer than this to 0 or 1 gets Wilson's interval, however many items there are.
const NEAR_THE_EDGE: f64 = 0.1;

/// A point estimate, its standard error and its 95% interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The estimate itself.
    pub point: f64,
    /// Standard error of `point`; NaN where one sample is all there is.
    pub standard_error: f64,
    /// Lower and upper end of the 95% interval; NaN where it cannot be known.
    pub interval: (f64, f64),
}

impl Estimate {
    /// A number without uncertainty.
    #[must_use]
    pub fn exactly(point: f64) -> Self {
        Self { point, standard_error: 0.0, interval: (point, point) }
    }

    /// A number with its standard error, and the normal 95% interval.
    #[must_use]
    pub fn normal(point: f64, standard_error: f64) -> Self {
        let half = Z95 * standard_error;
        Self { point, standard_error, interval: (point - half, point + half) }
    }
}

/// Unweighted mean of independent estimates: `SE = sqrt(sum SE^2) / n`, and the normal 95% interval. `None` without any.
#[must_use]
pub fn mean_of_independent(estimates: &[Estimate]) -> Option<Estimate> {
    let n = estimates.len() as f64;
    let point = estimates.iter().map(|e| e.point).sum::<f64>() / n;
    let squares: f64 = estimates.iter().map(|e| e.standard_error.powi(2)).sum();
    (!estimates.is_empty()).then(|| Estimate::normal(point, squares.sqrt() / n))
}

/// Mean of independent samples with `SE = sqrt(sum (s - mean)^2 / (n (n - 1)))` and the normal 95% interval.
/// `None` without samples.
#[must_use]
pub fn mean(samples: &[f64]) -> Option<Estimate> {
    if samples.is_empty() {
        return None;
    }
    let n = samples.len() as f64;
    let point = samples.iter().sum::<f64>() / n;
    let squares: f64 = samples.iter().map(|s| (s - point).powi(2)).sum();
    let standard_error = if samples.len() < 2 { f64::NAN } else { (squares / (n * (n - 1.0))).sqrt() };
    let half = Z95 * standard_error;
    Some(Estimate { point, standard_error, interval: (point - half, point + half) })
}

/// Standard deviation of samples, with n - 1 in the denominator. `None` for fewer than two.
#[must_use]
pub fn sample_sd(samples: &[f64]) -> Option<f64> {
    let estimate = mean(samples).filter(|_| samples.len() > 1)?;
    Some(estimate.standard_error * (samples.len() as f64).sqrt())
}

/// Share of successes: the standard error of a mean of zeros and ones, and Wilson's 95% interval for fewer than
/// 300 items or a share within 0.1 of 0 or 1, the normal one otherwise. `None` without items or with more
/// successes than items.
#[must_use]
pub fn proportion(successes: usize, n: usize) -> Option<Estimate> {
    share_of(successes, n, 1.0)
}

/// [`proportion`] of items that share something, so that its error is `effect` times what it would be: an interval as of
/// `n / effect^2` items.
pub(super) fn share_of(successes: usize, n: usize, effect: f64) -> Option<Estimate> {
    if n == 0 || successes > n {
        return None;
    }
    let point = successes as f64 / n as f64;
    let spread = point * (1.0 - point);
    let standard_error = if n < 2 { f64::NAN } else { (spread / (n as f64 - 1.0)).sqrt() * effect };
    let edge = point.min(1.0 - point) < NEAR_THE_EDGE;
    let design = effect * effect;
    let worth = n as f64 / design;
    let interval = if worth < FEW_ITEMS || edge {
        wilson_of(successes as f64 / design, worth)
    } else {
        (point - Z95 * standard_error, point + Z95 * standard_error)
    };
    Some(Estimate { point, standard_error, interval })
}

/// Wilson's 95% score interval of a share (Wilson 1927). `None` without items or with more successes than items.
#[must_use]
pub fn wilson(successes: usize, n: usize) -> Option<(f64, f64)> {
    if n == 0 || successes > n {
        return None;
    }
    Some(wilson_of(successes as f64, n as f64))
}

/// Wilson's interval of k of n, which need not be whole.
fn wilson_of(k: f64, n: f64) -> (f64, f64) {
    let (p, z2) = (k / n, Z95 * Z95);
    let centre = (k + z2 / 2.0) / (n + z2);
    let half = Z95 / (n + z2) * (n * p * (1.0 - p) + z2 / 4.0).sqrt();
    // At no or all successes one end is 0 or 1 exactly; rounding would leave it a hair beside.
    let low = if k > 0.0 { (centre - half).max(0.0) } else { 0.0 };
    let high = if k >= n { 1.0 } else { (centre + half).min(1.0) };
    (low, high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-12 * (1.0 + b.abs())
    }

    #[test]
    fn normal_chances_are_those_of_the_tables() {
        // scipy.stats.norm.cdf
        for (z, chance) in [(0.0, 0.5), (Z95, 0.975), (-Z95, 0.025), (-1.0, 0.158_655_253_931_457_05)] {
            assert!((normal_below(z) - chance).abs() < 1e-9, "{z}");
        }
    }

    /// `x = numpy.array([1, 2, 4, 8, 16.]); scipy.stats.sem(x); x.std(ddof=1)` (scipy 1.17.1)
    #[test]
    fn mean_agrees_with_scipy() {
        let samples = [1.0, 2.0, 4.0, 8.0, 16.0];
        let estimate = mean(&samples).unwrap();
        assert!(close(estimate.point, 6.2));
        assert!(close(estimate.standard_error, 2.727_636_339_397_171));
        assert!(close(estimate.interval.0, 0.853_931_011_858_873_2));
        assert!(close(sample_sd(&samples).unwrap(), 6.099_180_272_790_763));
    }

    /// `statsmodels.stats.proportion.proportion_confint(k, n, method='wilson')` (statsmodels 0.15.0)
    #[test]
    fn wilson_agrees_with_statsmodels() {
        for (k, n, low, high) in [
            (0, 10, 0.0, 0.277_532_799_862_889_26),
            (7, 10, 0.396_778_147_461_145_37, 0.892_208_732_593_698_9),
            (10, 10, 0.722_467_200_137_110_7, 1.0),
            (150, 200, 0.685_659_016_879_541_9, 0.804_918_319_931_824_9),
            (299, 300, 0.981_363_306_305_468_8, 0.999_411_342_278_148_8),
            (1, 1, 0.206_549_314_377_237_4, 1.0),
        ] {
            let (a, b) = wilson(k, n).unwrap();
            assert!(close(a, low) && close(b, high), "{k}/{n}: {a} {b}");
        }
    }

    #[test]
    fn shares_of_many_items_away_from_the_edges_get_the_normal_interval() {
        let middle = proportion(400, 1000).unwrap();
        assert!(close(middle.interval.1, 0.4 + Z95 * (0.4 * 0.6 / 999.0_f64).sqrt()));
        assert_eq!(proportion(61, 1000).unwrap().interval, wilson(61, 1000).unwrap());
        assert_eq!(proportion(100, 299).unwrap().interval, wilson(100, 299).unwrap());
    }

    #[test]
    fn too_little_data_is_none_or_nan_never_a_number() {
        assert_eq!(mean(&[]), None);
        assert_eq!(proportion(0, 0), None);
        assert_eq!(proportion(2, 1), None);
        assert_eq!(sample_sd(&[3.0]), None);
        assert!(mean(&[3.0]).unwrap().standard_error.is_nan());
    }

    proptest! {
        #[test]
        fn a_share_is_the_mean_of_zeros_and_ones(hits in prop::collection::vec(any::<bool>(), 2..200)) {
            let ones: Vec<f64> = hits.iter().map(|&h| f64::from(u8::from(h))).collect();
            let a = mean(&ones).unwrap();
            let b = proportion(hits.iter().filter(|&&h| h).count(), hits.len()).unwrap();
            prop_assert!(close(a.point, b.point));
            prop_assert!(close(a.standard_error, b.standard_error));
        }

        #[test]
        fn intervals_of_shares_hold_the_share_and_stay_in_range(n in 1_usize..2000, part in 0.0..=1.0_f64) {
            let k = (part * n as f64) as usize;
            let e = proportion(k, n).unwrap();
            prop_assert!(0.0 <= e.interval.0 && e.interval.0 <= e.point);
            prop_assert!(e.point <= e.interval.1 && e.interval.1 <= 1.0);
        }

        #[test]
        fn a_shift_moves_the_mean_and_not_its_error(
            samples in prop::collection::vec(-1e3..1e3_f64, 2..50), shift in -1e3..1e3_f64,
        ) {
            let a = mean(&samples).unwrap();
            let b = mean(&samples.iter().map(|s| s + shift).collect::<Vec<_>>()).unwrap();
            prop_assert!((a.point + shift - b.point).abs() < 1e-9);
            prop_assert!((a.standard_error - b.standard_error).abs() < 1e-9);
        }
    }
}
