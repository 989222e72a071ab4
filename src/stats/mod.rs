//! Statistics, as pure functions of numbers: estimates of a mean, quantiles, the bootstrap over clusters, also of several variants
//! together, and the comparison of two variants on the same items. No I/O, no clock, no global state; imports nothing of the
//! pipeline, so that every formula here can be checked against another package on its own.

mod bootstrap;
mod clusters;
mod estimate;
mod joint;
mod moments;
mod paired;
mod quantile;
mod random;
mod sequential;
mod stopping;

pub use bootstrap::{RESAMPLES, bootstrap_intervals, resample, stratified_intervals};
pub use clusters::{cluster_effect, mean_in_clusters, share};
pub use estimate::{Estimate, Z95, mean, mean_of_independent, normal_below, proportion, sample_sd, wilson};
pub use joint::{Cluster, Resampled, SHOWN, frontier_shares, middle_95, resampled, unbeaten, weighted};
pub use moments::{Moments, PlusMinus, TextFigures};
pub use paired::{Comparison, Flips, compare, difference, flips, holm, mcnemar, retained};
pub use quantile::{Sorted, median, percentile};
pub use random::SplitMix64;
pub use sequential::{Sequence, ln_e_process};
pub use stopping::{Decision, Effort, FIRST_LOOK, Look, Stratum, allocate, decision, next_look, pooled_look};
