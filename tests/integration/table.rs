//! A CSV file as rows of named cells.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;

/// A CSV file, read whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    pub header: String,
    pub rows: Vec<BTreeMap<String, String>>,
}

impl Table {
    pub fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        if path.extension().is_some_and(|e| e == "gz") {
            let mut plain = Vec::new();
            GzDecoder::new(bytes.as_slice()).read_to_end(&mut plain).expect("gzip");
            return Self::parse(&plain);
        }
        Self::parse(&bytes)
    }

    fn parse(bytes: &[u8]) -> Self {
        let mut reader = csv::Reader::from_reader(bytes);
        let headers = reader.headers().expect("a header").clone();
        let named = |record: csv::StringRecord| {
            headers.iter().map(str::to_owned).zip(record.iter().map(str::to_owned)).collect()
        };
        let rows = reader.records().map(|r| named(r.expect("a row"))).collect();
        Self { header: headers.iter().collect::<Vec<_>>().join(","), rows }
    }

    /// Rows in which all these cells are as given.
    pub fn find(&self, cells: &[(&str, &str)]) -> Vec<&BTreeMap<String, String>> {
        let fits = |row: &&BTreeMap<String, String>| {
            cells.iter().all(|(name, value)| row.get(*name).is_some_and(|cell| cell == value))
        };
        self.rows.iter().filter(fits).collect()
    }

    /// The one such row's cell.
    #[track_caller]
    pub fn cell(&self, cells: &[(&str, &str)], name: &str) -> &str {
        let rows = self.find(cells);
        assert_eq!(rows.len(), 1, "{cells:?} in {:?}", self.rows);
        &rows[0][name]
    }

    /// All cells of a column.
    pub fn column(&self, name: &str) -> Vec<&str> {
        self.rows.iter().map(|row| row[name].as_str()).collect()
    }

    /// The table without some columns.
    pub fn without(mut self, names: &[&str]) -> Self {
        for row in &mut self.rows {
            row.retain(|name, _| !names.contains(&name.as_str()));
        }
        self
    }
}
