//! Rows by variant, suite and metric: a report of a thousand variants on fifty suites is asked for single rows so often that
//! going through all of them each time would take minutes.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::report::{ComparisonRow, MetricRow};

/// Variant, suite and metric.
pub(super) type Key<'a> = (&'a str, &'a str, &'a str);

/// A row that a variant, a suite and a metric name.
pub(super) trait Keyed {
    /// What it is of.
    fn key(&self) -> Key<'_>;
}

impl Keyed for MetricRow {
    fn key(&self) -> Key<'_> {
        (&self.variant, &self.suite, &self.metric)
    }
}

impl Keyed for ComparisonRow {
    fn key(&self) -> Key<'_> {
        (&self.variant, &self.suite, &self.metric)
    }
}

/// The first row of each key.
pub(super) fn by_key<R: Keyed>(rows: &[R]) -> HashMap<Key<'_>, &R> {
    let mut found = HashMap::with_capacity(rows.len());
    for row in rows {
        found.entry(row.key()).or_insert(row);
    }
    found
}

/// Places of a table's rows, made when the first is asked for. It never makes a report another one.
#[derive(Default)]
pub struct Places(OnceLock<(usize, HashMap<[String; 3], usize>)>);

impl Places {
    /// The first row of a key for which `is_wanted` holds. Where rows were added or taken since the places were made, all are
    /// gone through.
    pub(super) fn find<'r, R: Keyed>(
        &self,
        rows: &'r [R],
        key: Key<'_>,
        is_wanted: impl Fn(&R) -> bool,
    ) -> Option<&'r R> {
        let (count, places) = self.0.get_or_init(|| {
            let mut places = HashMap::with_capacity(rows.len());
            for (place, row) in rows.iter().enumerate().filter(|(_, row)| is_wanted(row)) {
                let (variant, suite, metric) = row.key();
                places.entry([variant, suite, metric].map(str::to_owned)).or_insert(place);
            }
            (rows.len(), places)
        });
        let wanted = |row: &&R| row.key() == key && is_wanted(row);
        let (variant, suite, metric) = key;
        let place = places.get(&[variant, suite, metric].map(str::to_owned));
        let found = place.and_then(|place| rows.get(*place)).filter(wanted);
        let is_stale = *count != rows.len() || place.is_some();
        found.or_else(|| is_stale.then(|| rows.iter().find(wanted)).flatten())
    }
}

impl Clone for Places {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Places {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl std::fmt::Debug for Places {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Places")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(variant: &str, value: Option<f64>) -> MetricRow {
        MetricRow { variant: variant.to_owned(), suite: "s".to_owned(), value, ..MetricRow::default() }
    }

    #[test]
    fn rows_are_found_also_after_changes() {
        let mut rows = vec![row("a", None), row("b", Some(1.0)), row("b", Some(2.0))];
        let places = Places::default();
        let find = |rows: &[MetricRow], variant: &str| {
            places.find(rows, (variant, "s", ""), |row| row.value.is_some()).and_then(|row| row.value)
        };
        assert_eq!(find(&rows, "b"), Some(1.0), "the first");
        assert_eq!(find(&rows, "a"), None, "it has no value");
        rows.remove(1);
        assert_eq!(find(&rows, "b"), Some(2.0), "moved");
        rows.extend([row("c", Some(3.0)), row("d", None)]);
        assert_eq!(find(&rows, "c"), Some(3.0), "added");
        assert_eq!(by_key(&rows).len(), 4);
    }
}
