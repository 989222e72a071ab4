//! Items that share something, such as a passage: their scores go together, so that they tell less than as many items that
//! share nothing.

use std::collections::BTreeMap;

use super::estimate::{Estimate, mean, share_of};

/// Standard error of a mean over items in clusters: Miller's (arXiv 2411.00640):
/// `SE^2 = SE_iid^2 + n^-2 sum over clusters of sum over i != j of (x_i - mean)(x_j - mean)`.
fn clustered_error(values: &[f64], clusters: &[u32]) -> f64 {
    let n = values.len() as f64;
    let centre = values.iter().sum::<f64>() / n;
    let (mut sums, mut squares) = (BTreeMap::<u32, f64>::new(), 0.0);
    let mut between = 0.0;
    for (value, cluster) in values.iter().zip(clusters) {
        let deviation = value - centre;
        *sums.entry(*cluster).or_default() += deviation;
        squares += deviation * deviation;
        between -= deviation * deviation;
    }
    // Over i != j: the square of a cluster's sum without its own squares.
    between += sums.values().map(|sum| sum * sum).sum::<f64>();
    let variance = squares / (n * (n - 1.0)) + between / (n * n);
    variance.max(0.0).sqrt()
}

/// How many times larger the error of a mean is than if its items shared nothing: the root of the design effect. Never
/// below 1: more alike than chance would have it never counts as more items than there are. 1 without clusters, and where
/// nothing varies.
#[must_use]
pub fn cluster_effect(values: &[f64], clusters: Option<&[u32]>) -> f64 {
    let clusters = clusters.filter(|clusters| clusters.len() == values.len());
    let Some((clusters, plain)) = clusters.zip(mean(values)) else { return 1.0 };
    let effect = clustered_error(values, clusters) / plain.standard_error;
    if effect.is_finite() { effect.max(1.0) } else { 1.0 }
}

/// [`mean`] of samples of which those of one cluster share something, with the clustered error.
#[must_use]
pub fn mean_in_clusters(samples: &[f64], clusters: Option<&[u32]>) -> Option<Estimate> {
    let plain = mean(samples)?;
    Some(Estimate::normal(plain.point, plain.standard_error * cluster_effect(samples, clusters)))
}

/// [`proportion`](super::proportion) of verdicts of which those of one cluster share something: of as many items as would
/// tell the same if they shared nothing, `n` over the design effect.
#[must_use]
pub fn share(right: &[bool], clusters: Option<&[u32]>) -> Option<Estimate> {
    let effect = clusters.map_or(1.0, |clusters| {
        let values: Vec<f64> = right.iter().map(|right| f64::from(u8::from(*right))).collect();
        cluster_effect(&values, Some(clusters))
    });
    share_of(right.iter().filter(|right| **right).count(), right.len(), effect)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{Z95, proportion};
    use proptest::prelude::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-9 * (1.0 + b.abs())
    }

    /// A hundred clusters of ten that agree tell what a hundred items tell. (Up to the n - 1 that both errors have.)
    #[test]
    fn what_agrees_within_its_cluster_tells_what_the_clusters_tell() {
        let right: Vec<bool> = (0..1000).map(|i| i / 10 % 3 == 0).collect();
        let clusters: Vec<u32> = (0..1000).map(|i| i / 10).collect();
        let found = share(&right, Some(&clusters)).expect("an estimate");
        let (low, high) = found.interval;
        let alone = proportion(34, 100).expect("an estimate");
        assert!((found.standard_error / alone.standard_error - 1.0).abs() < 0.01, "{found:?} {alone:?}");
        assert!((low - alone.interval.0).abs() < 2e-3 && (high - alone.interval.1).abs() < 2e-3, "{found:?}");
        let values: Vec<f64> = right.iter().map(|right| f64::from(u8::from(*right))).collect();
        let mean = mean_in_clusters(&values, Some(&clusters)).expect("an estimate");
        assert!(near(mean.standard_error, found.standard_error));
        assert!(near(mean.interval.1 - mean.point, Z95 * mean.standard_error));
    }

    /// Few clusters of many items far from the edge: Wilson's interval, as for few items.
    #[test]
    fn many_items_in_few_clusters_are_few() {
        let right: Vec<bool> = (0..1000).map(|i| i / 100 % 2 == 0).collect();
        let clusters: Vec<u32> = (0..1000).map(|i| i / 100).collect();
        let (low, high) = share(&right, Some(&clusters)).expect("an estimate").interval;
        let (least, most) = crate::stats::wilson(5, 10).expect("an interval");
        assert!((low - least).abs() < 0.02 && (high - most).abs() < 0.02, "{low} {high}, {least} {most}");
    }

    proptest! {
        #[test]
        fn without_clusters_or_alone_in_them_items_are_as_they_were(
            right in prop::collection::vec(any::<bool>(), 1..80),
        ) {
            let plain = proportion(right.iter().filter(|r| **r).count(), right.len());
            prop_assert_eq!(format!("{:?}", share(&right, None)), format!("{plain:?}"));
            let alone: Vec<u32> = (0..right.len() as u32).collect();
            let found = share(&right, Some(&alone)).expect("an estimate");
            let plain = plain.expect("an estimate");
            prop_assert!(found.standard_error.is_nan() || near(found.standard_error, plain.standard_error));
            prop_assert!(near(found.interval.0, plain.interval.0) && near(found.interval.1, plain.interval.1));
        }

        #[test]
        fn clusters_never_narrow_and_the_share_stays_within(
            items in prop::collection::vec((any::<bool>(), 0..9_u32), 2..200),
        ) {
            let (right, clusters): (Vec<bool>, Vec<u32>) = items.into_iter().unzip();
            let plain = share(&right, None).expect("an estimate");
            let found = share(&right, Some(&clusters)).expect("an estimate");
            prop_assert!(found.standard_error >= plain.standard_error);
            let ((low, high), (least, most)) = (found.interval, plain.interval);
            prop_assert!(high - low >= (most - least) * 0.98, "{found:?} {plain:?}");
            prop_assert!(low <= found.point && found.point <= high);
        }
    }
}
