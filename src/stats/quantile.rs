//! Quantiles: of token scores exactly as `llama-perplexity` takes them, in 32-bit floats, so that the numbers can
//! be compared digit by digit; and of bootstrap resamples in 64-bit floats.

/// Values in ascending order, for several quantiles of the same data.
#[derive(Debug, Clone, PartialEq)]
pub struct Sorted(Vec<f32>);

impl Sorted {
    /// Sorts `values`; NaN, if any, goes to the end.
    #[must_use]
    pub fn new(mut values: Vec<f32>) -> Self {
        values.sort_unstable_by(f32::total_cmp);
        Self(values)
    }

    /// Quantile at `fraction` as `llama-perplexity` computes it: `p = fraction * (N - 1)` in f32, then linear
    /// between the two neighbours. `None` without values.
    #[must_use]
    pub fn quantile(&self, fraction: f32) -> Option<f32> {
        let last = self.0.len().checked_sub(1)?;
        let place = fraction.clamp(0.0, 1.0) * last as f32;
        let below = (place as usize).min(last);
        let part = place - below as f32;
        let low = self.0.get(below)?;
        let high = self.0.get((below + 1).min(last))?;
        Some((1.0 - part) * low + part * high)
    }

    /// The middle value, or the mean of the middle two. `None` without values.
    #[must_use]
    pub fn median(&self) -> Option<f32> {
        let n = self.0.len();
        let upper = self.0.get(n / 2)?;
        if n % 2 == 1 {
            return Some(*upper);
        }
        let lower = self.0.get((n / 2).checked_sub(1)?)?;
        Some(0.5 * (lower + upper))
    }

    /// The smallest value. `None` without values.
    #[must_use]
    pub fn min(&self) -> Option<f32> {
        self.0.first().copied()
    }

    /// The largest value. `None` without values.
    #[must_use]
    pub fn max(&self) -> Option<f32> {
        self.0.last().copied()
    }
}

/// Quantile of values that are already in ascending order, linear between neighbours at `fraction * (N - 1)`:
/// numpy's default. `None` without values.
#[must_use]
pub fn percentile(sorted: &[f64], fraction: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = fraction.clamp(0.0, 1.0) * last as f64;
    let below = (place as usize).min(last);
    let low = sorted.get(below)?;
    let high = sorted.get((below + 1).min(last))?;
    Some(low + (place - below as f64) * (high - low))
}

/// The middle of some values, or the mean of the two in the middle; `None` without values.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    percentile(&sorted, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `numpy.quantile([5, 1, 4, 2, 3, 9, 7], q)` for q = .025, .9, .975
    #[test]
    fn quantiles_agree_with_numpy() {
        let sorted = Sorted::new(vec![5.0, 1.0, 4.0, 2.0, 3.0, 9.0, 7.0]);
        let wide = [1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 9.0];
        for (fraction, expected) in [(0.025, 1.15), (0.9, 7.8), (0.975, 8.7)] {
            assert!((sorted.quantile(fraction as f32).unwrap() - expected as f32).abs() < 2e-6);
            assert!((percentile(&wide, fraction).unwrap() - expected).abs() < 1e-12);
        }
        assert_eq!(sorted.median(), Some(4.0));
        assert_eq!((sorted.min(), sorted.max()), (Some(1.0), Some(9.0)));
    }

    #[test]
    fn the_median_of_an_even_number_is_the_mean_of_the_middle_two() {
        assert_eq!(Sorted::new(vec![4.0, 1.0, 2.0, 3.0]).median(), Some(2.5));
    }

    #[test]
    fn nothing_has_no_quantile() {
        let empty = Sorted::new(Vec::new());
        assert_eq!((empty.quantile(0.5), empty.median(), empty.max()), (None, None, None));
        assert_eq!(percentile(&[], 0.5), None);
    }

    /// A large N makes `fraction * (N - 1)` inexact in f32: it must still be within the data.
    #[test]
    fn the_last_place_is_in_range_for_large_samples() {
        let sorted = Sorted(vec![1.5; (1 << 24) + 3]);
        assert_eq!([1.0, 0.999].map(|q| sorted.quantile(q)), [Some(1.5); 2]);
    }

    proptest! {
        #[test]
        fn quantiles_rise_and_stay_within_the_data(
            values in prop::collection::vec(-1e6_f32..1e6, 1..200), a in 0.0_f32..=1.0, b in 0.0_f32..=1.0,
        ) {
            let sorted = Sorted::new(values);
            let (low, high) = (sorted.quantile(a.min(b)).unwrap(), sorted.quantile(a.max(b)).unwrap());
            prop_assert!(low <= high + high.abs() * 1e-6);
            prop_assert!(high <= sorted.max().unwrap() + high.abs() * 1e-6);
        }
    }
}
