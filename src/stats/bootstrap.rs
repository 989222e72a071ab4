//! The bootstrap over clusters. Tokens of one chunk of text are not independent, so whole chunks are drawn with
//! replacement, never tokens. A cluster is reduced to its sums beforehand and the statistic is a function of
//! sums: a resample then costs a handful of additions a cluster.

use super::quantile::percentile;
use super::random::SplitMix64;

/// Resamples behind every interval.
pub const RESAMPLES: usize = 2_000;

/// Draws `n` of `n` clusters with replacement, `resamples` times, and hands each draw's indices to `visit`.
///
/// The draws follow from `seed` and `n` alone: variants measured on the same clusters are resampled jointly.
pub fn resample(n: usize, seed: u64, resamples: usize, mut visit: impl FnMut(&[usize])) {
    let mut random = SplitMix64::new(seed);
    let mut draw = vec![0; n];
    for _ in 0..resamples {
        for index in &mut draw {
            *index = random.below(n);
        }
        visit(&draw);
    }
}

/// Percentile 95% intervals of `K` statistics, each a function of the `W` sums over the clusters drawn.
///
/// `None` in place of an interval for fewer than two clusters, or where a resample's statistic is not finite.
#[must_use]
pub fn bootstrap_intervals<const W: usize, const K: usize>(
    clusters: &[[f64; W]],
    seed: u64,
    statistic: impl Fn(&[f64; W]) -> [f64; K],
) -> [Option<(f64, f64)>; K] {
    stratified_intervals(&[clusters], seed, statistic)
}

/// Percentile 95% intervals of the unweighted means over strata of `K` statistics, each a function of a stratum's
/// `W` sums. In every resample each stratum's clusters are drawn anew, as many as it has, from one sequence of
/// random numbers.
///
/// `None` in place of an interval where a stratum has fewer than two clusters, there is none, or a resample's mean
/// is not finite.
#[must_use]
pub fn stratified_intervals<const W: usize, const K: usize>(
    strata: &[&[[f64; W]]],
    seed: u64,
    statistic: impl Fn(&[f64; W]) -> [f64; K],
) -> [Option<(f64, f64)>; K] {
    if strata.is_empty() || strata.iter().any(|clusters| clusters.len() < 2) {
        return [None; K];
    }
    let mut results: [Vec<f64>; K] = std::array::from_fn(|_| Vec::with_capacity(RESAMPLES));
    let mut random = SplitMix64::new(seed);
    for _ in 0..RESAMPLES {
        let mut means = [0.0; K];
        for clusters in strata {
            let drawn = (0..clusters.len()).filter_map(|_| clusters.get(random.below(clusters.len())));
            for (mean, value) in means.iter_mut().zip(statistic(&total(drawn))) {
                *mean += value / strata.len() as f64;
            }
        }
        for (values, mean) in results.iter_mut().zip(means) {
            values.push(mean);
        }
    }
    results.map(middle_95)
}

/// Sums of clusters, column by column.
fn total<'a, const W: usize>(clusters: impl Iterator<Item = &'a [f64; W]>) -> [f64; W] {
    let mut sums = [0.0; W];
    for cluster in clusters {
        for (sum, value) in sums.iter_mut().zip(cluster) {
            *sum += value;
        }
    }
    sums
}

/// The interval that holds the middle 95% of `values`.
pub(super) fn middle_95(mut values: Vec<f64>) -> Option<(f64, f64)> {
    if values.iter().any(|v| !v.is_finite()) {
        return None;
    }
    values.sort_unstable_by(f64::total_cmp);
    Some((percentile(&values, 0.025)?, percentile(&values, 0.975)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mean_of(sums: &[f64; 2]) -> [f64; 1] {
        [sums[1] / sums[0]]
    }

    #[test]
    fn the_interval_of_a_mean_is_near_the_normal_one() {
        let mut random = SplitMix64::new(3);
        let values: Vec<f64> = (0..400).map(|_| random.below(1000) as f64 / 1000.0).collect();
        let clusters: Vec<[f64; 2]> = values.iter().map(|&v| [1.0, v]).collect();
        let normal = crate::stats::mean(&values).unwrap();
        let [Some((low, high))] = bootstrap_intervals(&clusters, 1, mean_of) else { panic!("no interval") };
        assert!((low - normal.interval.0).abs() < 0.003, "{low} {normal:?}");
        assert!((high - normal.interval.1).abs() < 0.003, "{high} {normal:?}");
    }

    /// Tokens that agree within their cluster tell no more than the clusters do: four times the tokens, the
    /// same interval.
    #[test]
    fn repeated_tokens_within_a_cluster_do_not_narrow_the_interval() {
        let one: Vec<[f64; 2]> = (0..40).map(|i| [1.0, f64::from(i % 7)]).collect();
        let four: Vec<[f64; 2]> = one.iter().map(|c| c.map(|x| x * 4.0)).collect();
        assert_eq!(bootstrap_intervals(&one, 5, mean_of), bootstrap_intervals(&four, 5, mean_of));
    }

    /// A 95% interval that covers: 200 samples of 40 clusters with a cluster effect, true mean 0.5.
    #[test]
    fn intervals_cover_the_truth_about_as_often_as_they_say() {
        let mut random = SplitMix64::new(11);
        let unit = |r: &mut SplitMix64| r.below(1_000_000) as f64 / 1e6;
        let covered = (0..200_u64)
            .filter(|&round| {
                let clusters: Vec<[f64; 2]> = (0..40)
                    .map(|_| {
                        let effect = unit(&mut random) - 0.5;
                        [10.0, (0..10).map(|_| unit(&mut random) + effect).sum()]
                    })
                    .collect();
                let [interval] = bootstrap_intervals(&clusters, round, mean_of);
                interval.is_some_and(|(low, high)| low <= 0.5 && 0.5 <= high)
            })
            .count();
        assert!((179..=198).contains(&covered), "{covered} of 200");
    }

    #[test]
    fn draws_follow_from_seed_and_number_of_clusters_alone() {
        let draws = |seed| {
            let mut all = Vec::new();
            resample(5, seed, 3, |draw| all.extend_from_slice(draw));
            all
        };
        assert_eq!(draws(1), draws(1));
        assert_ne!(draws(1), draws(2));
        // Pinned, and computed again in Python: a change of these numbers changes every report.
        assert_eq!(draws(0), [4, 2, 0, 4, 0, 1, 0, 3, 1, 4, 1, 3, 2, 2, 3]);
    }

    #[test]
    fn one_cluster_or_a_statistic_without_a_value_has_no_interval() {
        assert_eq!(bootstrap_intervals(&[[1.0, 2.0]], 1, mean_of), [None]);
        assert_eq!(bootstrap_intervals::<2, 1>(&[], 1, mean_of), [None]);
        assert_eq!(bootstrap_intervals(&[[0.0, 0.0], [0.0, 0.0]], 1, mean_of), [None]);
    }

    #[test]
    fn one_stratum_of_few_clusters_leaves_the_mean_without_an_interval() {
        let (many, one) = ([[1.0, 2.0], [1.0, 4.0]], [[1.0, 3.0]]);
        assert_eq!(stratified_intervals(&[&many, &one], 1, mean_of), [None]);
        assert!(stratified_intervals(&[&many, &many], 1, mean_of)[0].is_some());
        assert_eq!(stratified_intervals::<2, 1>(&[], 1, mean_of), [None]);
    }

    /// A mean over strata is more certain than each of them, by the square root of their number.
    #[test]
    fn independent_strata_narrow_the_interval() {
        let mut random = SplitMix64::new(5);
        let mut stratum =
            || -> Vec<[f64; 2]> { (0..200).map(|_| [1.0, random.below(1000) as f64 / 1000.0]).collect() };
        let strata: Vec<Vec<[f64; 2]>> = (0..4).map(|_| stratum()).collect();
        let width = |strata: &[&[[f64; 2]]]| {
            let [Some((low, high))] = stratified_intervals(strata, 1, mean_of) else { panic!("no interval") };
            high - low
        };
        let all: Vec<&[[f64; 2]]> = strata.iter().map(Vec::as_slice).collect();
        let alone = all.iter().map(|one| width(&[one])).sum::<f64>() / 4.0;
        assert!((width(&all) / alone - 0.5).abs() < 0.05, "{} {alone}", width(&all));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// One and the same sequence of draws, whoever asks.
        #[test]
        fn a_stratum_alone_is_resampled_as_ever(
            values in prop::collection::vec(-100.0..100.0_f64, 2..30), seed in any::<u64>(),
        ) {
            let clusters: Vec<[f64; 2]> = values.iter().map(|&v| [1.0, v]).collect();
            let mut means = Vec::new();
            resample(clusters.len(), seed, RESAMPLES, |draw| {
                means.push(mean_of(&total(draw.iter().map(|&i| &clusters[i])))[0]);
            });
            prop_assert_eq!(stratified_intervals(&[&clusters], seed, mean_of), [middle_95(means)]);
        }

        #[test]
        fn intervals_stay_within_the_range_of_the_clusters(
            values in prop::collection::vec(-100.0..100.0_f64, 2..30), seed in any::<u64>(),
        ) {
            let clusters: Vec<[f64; 2]> = values.iter().map(|&v| [1.0, v]).collect();
            let [Some((low, high))] = bootstrap_intervals(&clusters, seed, mean_of) else { panic!("none") };
            let least = values.iter().copied().fold(f64::INFINITY, f64::min);
            let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            prop_assert!(least - 1e-9 <= low && low <= high && high <= most + 1e-9);
        }
    }
}
