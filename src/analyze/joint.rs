//! All variants resampled together, suite by suite: what the uncertainty of a frontier, ties and the composite score are
//! told from. Clusters are chunks of a text, items that share something, or single items.

use std::collections::{BTreeMap, BTreeSet};

use super::frontier::quality_metric;
use super::planned::{Planned, Sheet, SuiteKind, texts};
use super::report::SuiteSummary;
use super::scores;
use super::text::chunk_sums;
use crate::journal::record::{ItemRecord, SuiteRecord};
use crate::stats::{self, Cluster, RESAMPLES, Resampled};

/// Sums that are made for all resamples of a suite, at most: beyond it there are fewer resamples.
const MOST_SUMS: usize = 400_000_000;
/// Fewer resamples than this tell nothing of the ends of an interval.
const LEAST: usize = 400;

/// Every suite's resamples.
pub(super) struct Joint {
    /// Variants, in plan order: the columns of every [`Resampled`].
    pub variants: Vec<String>,
    suites: BTreeMap<String, Resampled>,
}

impl Joint {
    /// Resamples each suite on the metric that stands for its quality.
    pub fn new(sheet: &Sheet, suites: &[SuiteSummary]) -> Self {
        let variants: Vec<String> = sheet.manifest.variants.iter().map(|v| v.name.clone()).collect();
        let mut found = BTreeMap::new();
        for (place, suite) in sheet.manifest.suites.iter().enumerate() {
            let Some(summary) = suites.iter().find(|s| s.name == suite.name && !s.no_signal) else {
                continue;
            };
            let strata = strata(sheet, suite, quality_metric(summary), &variants);
            let clusters: usize = strata.iter().map(Vec::len).sum();
            if clusters == 0 {
                continue;
            }
            let most = MOST_SUMS / (clusters * variants.len().max(1));
            // Suites are drawn independently of each other.
            let seed = sheet.manifest.seed.wrapping_add(place as u64);
            let drawn = stats::resampled(&strata, variants.len(), seed, most.clamp(LEAST, RESAMPLES));
            found.insert(suite.name.clone(), drawn);
        }
        Self { variants, suites: found }
    }

    /// The resamples of a suite; nothing where it has no signal or no items.
    pub fn suite(&self, name: &str) -> Option<&Resampled> {
        self.suites.get(name)
    }

    /// Adds what was put together of several suites, as a suite of its own.
    pub fn insert(&mut self, name: &str, resampled: Resampled) {
        self.suites.insert(name.to_owned(), resampled);
    }

    /// The column of a variant.
    pub fn column(&self, variant: &str) -> Option<usize> {
        self.variants.iter().position(|name| name == variant)
    }
}

fn strata(sheet: &Sheet, suite: &SuiteRecord, metric: &str, variants: &[String]) -> Vec<Vec<Cluster>> {
    let items = |variant: &String| sheet.suite_trial(variant, &suite.name).map_or(&[][..], Planned::items);
    let kind = sheet.kind_of(suite);
    if kind != SuiteKind::Text {
        let each: Vec<BTreeMap<u64, f64>> =
            variants.iter().map(|v| scores::of(kind, items(v), metric)).collect();
        return vec![of_questions(suite, &each)];
    }
    let parts: Vec<_> = variants.iter().map(|v| texts(suite, items(v))).collect();
    let corpora = parts.iter().map(Vec::len).max().unwrap_or(0);
    let corpus = |place: usize| -> Vec<Vec<&ItemRecord>> {
        parts.iter().map(|p| p.get(place).map(|(_, items)| items.clone()).unwrap_or_default()).collect()
    };
    (0..corpora).map(|place| of_text(&corpus(place))).collect()
}

/// Items that share something are one cluster.
fn of_questions(suite: &SuiteRecord, each: &[BTreeMap<u64, f64>]) -> Vec<Cluster> {
    let indices: BTreeSet<u64> = each.iter().flat_map(BTreeMap::keys).copied().collect();
    let own = scores::clusters(suite, indices.iter().copied());
    let mut places: BTreeMap<u64, usize> = BTreeMap::new();
    let mut clusters: Vec<Cluster> = Vec::new();
    for (position, index) in indices.into_iter().enumerate() {
        let key = own.as_ref().and_then(|own| own.get(position)).map_or(index, |cluster| u64::from(*cluster));
        let place = *places.entry(key).or_insert(clusters.len());
        if place == clusters.len() {
            clusters.push(vec![(0.0, 0.0); each.len()]);
        }
        let Some(cluster) = clusters.get_mut(place) else { continue };
        for ((worth, count), scores) in cluster.iter_mut().zip(each) {
            if let Some(score) = scores.get(&index) {
                *worth += score;
                *count += 1.0;
            }
        }
    }
    clusters
}

/// Divergences of a text's chunks.
fn of_text(each: &[Vec<&ItemRecord>]) -> Vec<Cluster> {
    let mut chunks: BTreeMap<u64, Cluster> = BTreeMap::new();
    for (column, items) in each.iter().enumerate() {
        for item in items {
            let Some(sums) = chunk_sums(item) else { continue };
            let cluster = chunks.entry(item.index).or_insert_with(|| vec![(0.0, 0.0); each.len()]);
            if let Some(place) = cluster.get_mut(column) {
                *place = (sums.kld, sums.tokens as f64);
            }
        }
    }
    chunks.into_values().collect()
}
