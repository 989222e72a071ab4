//! All variants resampled together, suite by suite: what the uncertainty of a frontier, ties and the composite score are
//! told from. Clusters are chunks of a text, items that share something, or single items.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use super::frontier::quality_metric;
use super::planned::{Planned, Sheet, SuiteKind, texts};
use super::report::SuiteSummary;
use super::scores;
use super::text::chunk_sums;
use crate::journal::record::{ItemRecord, SuiteRecord};
use crate::stats::{self, Cluster, RESAMPLES, Resampled};

/// Sums that are made for all resamples of a suite, at most: beyond it there are fewer resamples.
const MOST_SUMS: usize = 400_000_000;
/// Means that are kept of all resamples of all suites together, at most: 256 MiB.
const MOST_DRAWS: usize = 32 << 20;
/// Fewer resamples than this tell nothing of the ends of an interval.
const LEAST: usize = 400;

/// Every suite's resamples.
pub(super) struct Joint {
    /// Variants, in plan order: the columns of every [`Resampled`].
    pub variants: Vec<String>,
    suites: BTreeMap<String, Resampled>,
    /// By suite and variant: scores of those that have other items than the base, as they would be on the base's.
    carried: BTreeMap<(String, String), f64>,
}

impl Joint {
    /// Resamples each suite on the metric that stands for its quality.
    pub fn new(sheet: &Sheet, suites: &[SuiteSummary]) -> Self {
        let variants: Vec<String> = sheet.manifest.variants.iter().map(|v| v.name.clone()).collect();
        // The composite is one suite more.
        let most_draws = MOST_DRAWS / (variants.len().max(1) * (sheet.manifest.suites.len() + 1));
        let draw = |(place, suite): (usize, &SuiteRecord)| {
            let summary = suites.iter().find(|s| s.name == suite.name && !s.no_signal)?;
            let (strata, shadows) = strata(sheet, suite, quality_metric(summary), &variants);
            let clusters: usize = strata.iter().map(Vec::len).sum();
            if clusters == 0 {
                return None;
            }
            let columns = variants.len() + shadows.len();
            let most = (MOST_SUMS / (clusters * columns.max(1))).min(most_draws);
            // Suites are drawn independently of each other.
            let seed = sheet.manifest.seed.wrapping_add(place as u64);
            let mut drawn = stats::resampled(&strata, columns, seed, most.clamp(LEAST, RESAMPLES));
            carry(&mut drawn, &shadows, variants.len());
            Some((suite.name.clone(), drawn, shadows))
        };
        let drawn: Vec<_> = sheet.manifest.suites.par_iter().enumerate().filter_map(draw).collect();
        let mut carried = BTreeMap::new();
        for (suite, drawn, shadows) in &drawn {
            for column in shadows {
                if let Some((name, point)) = variants.get(*column).zip(drawn.points.get(*column)) {
                    carried.insert((suite.clone(), name.clone()), *point);
                }
            }
        }
        let suites = drawn.into_iter().map(|(suite, drawn, _)| (suite, drawn)).collect();
        Self { variants, suites, carried }
    }

    /// The score of a variant that has other items than the base, as it would be on the base's: the base's own plus the
    /// mean difference on the items both have.
    pub fn carried(&self, suite: &str, variant: &str) -> Option<f64> {
        self.carried.get(&(suite.to_owned(), variant.to_owned())).copied().filter(|score| score.is_finite())
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

/// Clusters by stratum, and the columns of variants that have other items than the base. Behind the columns of the
/// variants each of those has another, of the base on the items both have.
fn strata(
    sheet: &Sheet,
    suite: &SuiteRecord,
    metric: &str,
    variants: &[String],
) -> (Vec<Vec<Cluster>>, Vec<usize>) {
    let items = |variant: &String| sheet.suite_trial(variant, &suite.name).map_or(&[][..], Planned::items);
    let kind = sheet.kind_of(suite);
    if kind != SuiteKind::Text {
        let mut each: Vec<BTreeMap<u64, f64>> =
            variants.iter().map(|v| scores::of(kind, items(v), metric)).collect();
        let shadows = shadowed(&mut each);
        return (vec![of_questions(suite, &each)], shadows);
    }
    let parts: Vec<_> = variants.iter().map(|v| texts(suite, items(v))).collect();
    let corpora = parts.iter().map(Vec::len).max().unwrap_or(0);
    let corpus = |place: usize| -> Vec<Vec<&ItemRecord>> {
        parts.iter().map(|p| p.get(place).map(|(_, items)| items.clone()).unwrap_or_default()).collect()
    };
    ((0..corpora).map(|place| of_text(&corpus(place))).collect(), Vec::new())
}

/// Adds the base's scores on the items of each variant that has others than the base, as a variant has that was stopped
/// early. Returns whose they are.
fn shadowed(each: &mut Vec<BTreeMap<u64, f64>>) -> Vec<usize> {
    let Some(base) = each.first().cloned() else { return Vec::new() };
    let (mut shadows, mut columns) = (Vec::new(), Vec::new());
    for (column, own) in each.iter_mut().enumerate().skip(1) {
        if own.is_empty() || own.keys().eq(base.keys()) {
            continue;
        }
        own.retain(|index, _| base.contains_key(index));
        let shadow = base.iter().filter(|(index, _)| own.contains_key(index));
        columns.push(shadow.map(|(index, score)| (*index, *score)).collect());
        shadows.push(column);
    }
    each.extend(columns);
    shadows
}

/// Puts variants with other items than the base on the base's: the base's mean plus the mean difference. What is left are
/// the columns of the variants.
fn carry(drawn: &mut Resampled, shadows: &[usize], variants: usize) {
    let before = drawn.clone();
    for (place, column) in shadows.iter().enumerate() {
        let shadow = variants + place;
        if let (Some(own), Some(base), Some(other)) =
            (drawn.points.get_mut(*column), before.points.first(), before.points.get(shadow))
        {
            *own += base - other;
        }
        if let (Some(own), Some(base), Some(other)) =
            (drawn.draws.get_mut(*column), before.draws.first(), before.draws.get(shadow))
        {
            own.iter_mut().zip(base.iter().zip(other)).for_each(|(own, (base, other))| *own += base - other);
        }
    }
    drawn.points.truncate(variants);
    drawn.draws.truncate(variants);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A variant that was stopped after the items the base finds easy is not better for it.
    #[test]
    fn a_variant_with_fewer_items_is_put_on_the_base_s() {
        let scores = |range: std::ops::Range<u64>, right: &dyn Fn(u64) -> bool| -> BTreeMap<u64, f64> {
            range.map(|index| (index, f64::from(u8::from(right(index))))).collect()
        };
        // The base is right on the first half; the variant had only that, and lost one in ten of it.
        let base = scores(0..100, &|index| index < 50);
        let whole = scores(0..100, &|index| index < 50);
        let stopped = scores(0..50, &|index| index % 10 != 0);
        let mut each = vec![base, whole, stopped];
        let shadows = shadowed(&mut each);
        assert_eq!((shadows.clone(), each.len(), each[3].len()), (vec![2], 4, 50));
        let clusters: Vec<Cluster> = (0..100)
            .map(|index| each.iter().map(|s| s.get(&index).map_or((0.0, 0.0), |s| (*s, 1.0))).collect())
            .collect();
        let mut drawn = stats::resampled(&[clusters], each.len(), 1, 500);
        carry(&mut drawn, &shadows, 3);
        assert_eq!((drawn.points.len(), drawn.draws.len()), (3, 3));
        assert!((drawn.points[2] - 0.4).abs() < 1e-12 && (drawn.points[1] - 0.5).abs() < 1e-12);
        let lost: Vec<f64> = drawn.draws[2].iter().zip(&drawn.draws[0]).map(|(v, b)| v - b).collect();
        assert!(lost.iter().all(|d| (-0.35..=0.0).contains(d)), "paired draws");
    }
}
