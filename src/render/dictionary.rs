//! The data dictionary: every column of every table with its type. It is read from the document that tells people,
//! results/README.md, so that what they are told and what a typed file such as Parquet holds cannot differ.

const DOCUMENT: &str = include_str!("../../results/README.md");

/// What a column holds. A missing value is empty, whatever the type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8 text.
    Text,
    /// A number without fraction, of 64 bits.
    Integer,
    /// A number in double precision.
    Float,
    /// `true` or `false`.
    Boolean,
}

/// A column as documented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its name; one in angle brackets, such as `<suite>.<metric>`, stands for any number of columns.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Its unit, or what its text is; empty where there is none.
    pub unit: &'static str,
    /// What it is.
    pub meaning: &'static str,
}

/// A table as documented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// `metrics.csv`, or `items/ID.csv.gz of texts`.
    pub name: &'static str,
    /// Its columns, in the document's order.
    pub columns: Vec<Column>,
}

impl Table {
    /// The documented column that a column of a file is.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        let stands_for_many = |column: &&Column| column.name.starts_with('<') && name.contains('.');
        self.columns.iter().find(|c| c.name == name).or_else(|| self.columns.iter().find(stands_for_many))
    }
}

/// All tables.
#[must_use]
pub fn tables() -> Vec<Table> {
    let sections = DOCUMENT.split("\n### ").skip(1).filter_map(|section| {
        let (heading, body) = section.split_once('\n')?;
        let name = heading.split(": ").next()?;
        let rows = body.lines().skip_while(|line| !line.starts_with("| column |")).skip(2);
        let columns: Vec<Column> =
            rows.take_while(|line| line.starts_with('|')).flat_map(columns_of).collect();
        (name.contains(".csv") && !columns.is_empty()).then_some(Table { name, columns })
    });
    sections.collect()
}

/// The table of a file of a results folder: by its name, or, of items, by its columns.
#[must_use]
pub fn table_of(file: &str, headers: &[&str]) -> Option<Table> {
    let fits = |table: &Table| {
        if file.starts_with("items/") {
            let own = |c: &Column| headers.contains(&c.name);
            table.name.starts_with("items/")
                && table.columns.len() == headers.len()
                && table.columns.iter().all(own)
        } else {
            table.name == file
        }
    };
    tables().into_iter().find(fits)
}

/// The columns of a line: several names that share a line share all it says.
fn columns_of(line: &'static str) -> Vec<Column> {
    let mut cells = line.trim_matches('|').splitn(3, " | ").map(str::trim);
    let (Some(names), Some(kind), Some(meaning)) = (cells.next(), cells.next(), cells.next()) else {
        return Vec::new();
    };
    let (word, unit) = kind.split_once(',').unwrap_or((kind, ""));
    let kind = match word {
        "integer" => Kind::Integer,
        "float" => Kind::Float,
        "boolean" => Kind::Boolean,
        _ => Kind::Text,
    };
    let quoted = names.split('`').skip(1).step_by(2);
    quoted.map(|name| Column { name, kind, unit: unit.trim(), meaning }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_says_what_a_column_is() {
        let tables = tables();
        assert!(tables.len() >= 16, "{:?}", tables.iter().map(|t| t.name).collect::<Vec<_>>());
        for table in &tables {
            for (at, column) in table.columns.iter().enumerate() {
                let place = format!("{} of {}", column.name, table.name);
                assert!(!column.name.is_empty() && column.meaning.len() > 5, "{place}: {}", column.meaning);
                assert!(!table.columns[..at].iter().any(|c| c.name == column.name), "{place} is there twice");
            }
        }
        let types = DOCUMENT.lines().skip_while(|line| !line.starts_with("### summary.csv"));
        for line in types.filter(|line| line.starts_with("| `")) {
            let columns = columns_of(line);
            if tables.iter().any(|table| columns.iter().any(|column| table.columns.contains(column))) {
                let word = line.split(" | ").nth(1).unwrap().split(',').next().unwrap();
                assert!(["text", "integer", "float", "boolean"].contains(&word), "{line}");
            }
        }
    }

    #[test]
    fn a_column_is_found_by_its_name_and_items_by_their_columns() {
        let summary = table_of("summary.csv", &[]).unwrap();
        assert_eq!(summary.column("piqa.acc_norm").map(|c| c.kind), Some(Kind::Float));
        assert_eq!(summary.column("file_bytes").map(|c| (c.kind, c.unit)), Some((Kind::Integer, "bytes")));
        assert_eq!(summary.column("nothing"), None);
        let texts = ["index", "position", "nll", "nll_base", "kld", "delta_p", "same_top"];
        assert_eq!(table_of("items/0abc.csv.gz", &texts).unwrap().name, "items/ID.csv.gz of texts");
        assert_eq!(table_of("items/0abc.csv.gz", &texts[1..]), None);
        assert_eq!(table_of("other.csv", &[]), None);
    }
}
