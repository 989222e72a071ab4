//! Energy as it was measured beside the speed. Like speeds it stands in `variants.csv`, `summary.csv` and `speed.csv`, and not
//! in `metrics.csv`, which holds what the same trials give again.

use crate::stats;

/// Joules a token: the median over the repetitions, which one that something else disturbed does not move.
pub(super) fn joules_per_token(samples: &[f64]) -> Option<f64> {
    let usable: Vec<f64> = samples.iter().copied().filter(|j| j.is_finite() && *j > 0.0).collect();
    stats::median(&usable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_stands_for_the_repetitions() {
        assert_eq!(joules_per_token(&[0.5, 9.0, 0.25]), Some(0.5));
        assert_eq!(joules_per_token(&[0.5, 0.25]), Some(0.375));
        assert_eq!(joules_per_token(&[f64::NAN, 0.0, 0.5]), Some(0.5), "what cannot be is left out");
        assert_eq!(joules_per_token(&[]), None);
    }
}
