//! What single items are worth, and which of them share something: what every comparison of variants is made of.

use std::collections::BTreeMap;

use super::planned::SuiteKind;
use super::{choice, generated};
use crate::journal::record::{ItemRecord, SuiteRecord};

/// What each item is worth on a metric, by its index; nothing for texts.
pub(super) fn of(kind: SuiteKind, items: &[ItemRecord], metric: &str) -> BTreeMap<u64, f64> {
    match kind {
        SuiteKind::Questions => {
            items.iter().filter_map(|item| Some((item.index, choice::score(&item.score, metric)?))).collect()
        }
        SuiteKind::Answers => {
            let scored: Vec<&ItemRecord> = items.iter().filter(|i| generated::grades(i).is_some()).collect();
            generated::stands_for(&scored, metric)
        }
        SuiteKind::Text => BTreeMap::new(),
    }
}

/// The clusters of these items of a suite, in their order; `None` where items share nothing, or a record does not say.
pub(super) fn clusters(suite: &SuiteRecord, items: impl Iterator<Item = u64>) -> Option<Vec<u32>> {
    among(&suite.clusters, items)
}

/// What is found of items, with the items' clusters.
pub(super) fn with_clusters<T>(
    found: impl Iterator<Item = (u64, T)>,
    all: &[u32],
) -> (Vec<T>, Option<Vec<u32>>) {
    let (places, found): (Vec<u64>, Vec<T>) = found.unzip();
    (found, among(all, places.into_iter()))
}

/// The clusters of these items, from those of all by their index.
pub(super) fn among(all: &[u32], items: impl Iterator<Item = u64>) -> Option<Vec<u32>> {
    let cluster = |index| all.get(usize::try_from(index).ok()?).copied();
    if all.is_empty() { None } else { items.map(cluster).collect() }
}
