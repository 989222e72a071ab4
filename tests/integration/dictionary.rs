//! The data dictionary against what a sweep writes: the same columns in the same order, cells of the types it names,
//! and the same tables as Parquet.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use bitfrontier::render::dictionary::{self, Kind};
use parquet::basic::Type as Physical;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;

use crate::sandbox::Sandbox;
use crate::table::Table;

const SAID: &str = r#"name = "said"
title = "What the tiny model says"
version = 1
licence = "bitfrontier's own"

[[source]]
from = "questions.jsonl"

[generate]
doc_to_id = "{{ id }}"
doc_to_text = "Question: {{ question }}\nAnswer:"
doc_to_target = "{{ answer }}"
ctx = 256
tokens = 4

[[generate.filter_list]]
name = "whole"
filter = [{ function = "take_first" }]

[[metric]]
name = "exact_match/whole"
chance = 0.0
"#;

#[test]
fn tables_are_what_the_dictionary_says_and_parquet_is_what_they_are() {
    let sandbox = Sandbox::new();
    sandbox.write("said.toml", SAID);
    let what = ["--recipes", "Q8_0", "TQ2_0", "--suites", "prose.toml", "quiz.toml", "said.toml"];
    sandbox.sweep(&[&what[..], &["--limit", "6", "--format", "parquet"]].concat()).ends(0);
    let out = sandbox.path("out");
    let csv: Vec<String> = sandbox.files("out").into_iter().filter(|name| name.contains(".csv")).collect();
    let mut seen = BTreeSet::new();
    for file in &csv {
        let table = Table::read(&out.join(file));
        let headers: Vec<&str> = table.header.split(',').collect();
        let known =
            dictionary::table_of(file, &headers).unwrap_or_else(|| panic!("{file} is not documented"));
        seen.insert(known.name);
        columns_are_documented(&known, &headers);
        cells_have_their_types(&known, &table, file);
        parquet_is_the_same(&out, file, &known, &table);
    }
    let documented: BTreeSet<&str> = dictionary::tables().iter().map(|table| table.name).collect();
    assert_eq!(seen, documented, "each table is documented, and each that is documented is written");

    // Byte for byte, whenever it is made; and gone when it is not asked for.
    let parquet = |sandbox: &Sandbox| -> BTreeMap<String, Vec<u8>> {
        let names = sandbox.files("out").into_iter().filter(|name| name.ends_with(".parquet"));
        names.map(|name| (name.clone(), fs::read(out.join(&name)).expect("read"))).collect()
    };
    let first = parquet(&sandbox);
    assert_eq!(first.len(), csv.len());
    sandbox.run(&["report", "out"]).ends(0);
    assert_eq!(parquet(&sandbox).len(), 0);
    sandbox.run(&["report", "out", "--format", "parquet"]).ends(0);
    assert!(parquet(&sandbox) == first);
}

fn columns_are_documented(known: &dictionary::Table, headers: &[&str]) {
    // One line of the dictionary may stand for many columns, which differ from sweep to sweep.
    let mut names: Vec<&str> =
        headers.iter().map(|name| known.column(name).map_or(*name, |column| column.name)).collect();
    names.dedup();
    let documented: Vec<&str> = known.columns.iter().map(|column| column.name).collect();
    assert_eq!(names, documented, "{}", known.name);
}

fn cells_have_their_types(known: &dictionary::Table, table: &Table, file: &str) {
    for row in &table.rows {
        for (name, cell) in row.iter().filter(|(_, cell)| !cell.is_empty()) {
            let kind = known.column(name).expect("documented").kind;
            let fits = match kind {
                Kind::Text => true,
                Kind::Integer => cell.parse::<i64>().is_ok(),
                // A float is always written as one, so that a reader that guesses types guesses right.
                Kind::Float => cell.parse::<f64>().is_ok_and(f64::is_finite) && cell.contains(['.', 'e']),
                Kind::Boolean => cell.parse::<bool>().is_ok(),
            };
            assert!(fits, "{file}: {name} is {cell:?}, not {kind:?}");
        }
    }
}

fn parquet_is_the_same(out: &Path, file: &str, known: &dictionary::Table, table: &Table) {
    let path = out.join(file.replace(".csv.gz", ".parquet").replace(".csv", ".parquet"));
    let bytes = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).expect("Parquet");
    let schema = reader.metadata().file_metadata().schema_descr();
    let names: Vec<&str> = schema.columns().iter().map(|column| column.name()).collect();
    assert_eq!(names.join(","), table.header, "{file}");
    for column in schema.columns() {
        let physical = match known.column(column.name()).expect("documented").kind {
            Kind::Text => Physical::BYTE_ARRAY,
            Kind::Integer => Physical::INT64,
            Kind::Float => Physical::DOUBLE,
            Kind::Boolean => Physical::BOOLEAN,
        };
        assert_eq!(column.physical_type(), physical, "{file}: {}", column.name());
    }
    let rows: Vec<_> = reader.get_row_iter(None).expect("rows").map(|row| row.expect("a row")).collect();
    assert_eq!(rows.len(), table.rows.len(), "{file}");
    for (row, cells) in rows.iter().zip(&table.rows) {
        for (name, field) in row.get_column_iter() {
            let cell = cells[name].as_str();
            let same = match field {
                Field::Null => cell.is_empty(),
                Field::Str(text) => text == cell,
                Field::Long(x) => cell.parse() == Ok(*x),
                Field::Double(x) => cell.parse() == Ok(*x),
                Field::Bool(x) => cell.parse() == Ok(*x),
                _ => false,
            };
            assert!(same, "{file}: {name} is {field} and not {cell:?}");
        }
    }
}
