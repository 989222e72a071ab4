//! What each kind of file becomes, and that no file ends the program.

use std::io::Write as _;
use std::sync::Arc;

use ::parquet::basic::Compression;
use ::parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::parser::parse_message_type;
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn parsed(name: &str, bytes: impl Into<Vec<u8>>) -> Result<Vec<Row>, PlanError> {
    parse(Path::new(name), bytes.into())
}

fn values(name: &str, bytes: impl Into<Vec<u8>>) -> Vec<(usize, Value)> {
    parsed(name, bytes).expect(name).into_iter().map(|row| (row.line, row.value)).collect()
}

fn error(name: &str, bytes: impl Into<Vec<u8>>) -> String {
    parsed(name, bytes).expect_err(name).to_string()
}

#[test]
fn lines_arrays_and_tables_with_their_lines() {
    let expected = [(2, json!({"a": "x"})), (4, json!({"a": "y"}))];
    assert_eq!(values("d.jsonl", "\n{\"a\": \"x\"}\r\n  \n{\"a\": \"y\"}"), expected);
    assert_eq!(values("d.json", "\n{\"a\": \"x\"}\n\n{\"a\": \"y\"}\n"), expected);
    assert_eq!(
        values("d.json", "[\n{\"a\":\n\"x\"},{\"a\": \"y\"}\n]\n"),
        [(2, json!({"a": "x"})), (3, json!({"a": "y"}))]
    );
    assert_eq!(values("D.CSV", "a\n\"x\"\n\n\ny\n"), [(2, json!({"a": "x"})), (5, json!({"a": "y"}))]);
    assert_eq!(values("d.tsv", "\u{feff}a\tb\n1\t2,3\n"), [(2, json!({"a": "1", "b": "2,3"}))]);
    assert_eq!(
        values("d.csv", "q,a\n\"two\nlines\",1\nx,\n"),
        [(2, json!({"q": "two\nlines", "a": "1"})), (4, json!({"q": "x", "a": ""}))]
    );
    for nothing in ["d.jsonl", "d.json", "d.csv", "d"] {
        assert_eq!(values(nothing, "\n \n".trim_matches(' ')), [], "{nothing}");
    }
    assert_eq!(values("d.json", " [ ] "), []);
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    for (name, text, says) in [
        ("d.jsonl", "{}\n{\"a\": }", "d.jsonl, line 2: not valid JSON: expected value, column 7"),
        ("d.jsonl", "{}\n[1]", "d.jsonl, line 2: not a JSON object"),
        ("d.json", "[{},\n\n3]", "d.json, line 3: not a JSON object"),
        ("d.json", "[{}\n{}]", "d.json, line 2: not valid JSON: expected a comma or the list's end"),
        ("d.json", "[{},\n{\n\"a\" 1}]", "d.json, line 3: not valid JSON: expected `:`, column 5"),
        ("d.json", "[{},", "d.json, line 1: not valid JSON: the list does not end"),
        ("d.json", "[{}]\n{}", "d.json, line 2: there is more behind the list"),
        ("d.csv", "a,b\n1,2\n\n3\n", "d.csv, line 4: 1 values, and the header has 2 columns"),
        ("d.csv", "a,b,a\n", "d.csv, line 1: two columns are called \"a\""),
        ("d.parquet", "{}", "d.parquet cannot be read as data: it is not a Parquet file: it is too short"),
    ] {
        assert_eq!(error(name, text), says);
    }
    assert_eq!(error("d.csv", b"a\nb\n\xff\n".to_vec()), "d.csv, line 3: not UTF-8 text");
}

#[test]
fn a_compressed_file_is_read_and_a_broken_one_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("d.jsonl.gz");
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(b"{\"a\": 1}\n").expect("written");
    let packed = packed.finish().expect("finished");
    std::fs::write(&path, &packed).expect("written");
    assert_eq!(read(&path).expect("read"), [Row { line: 1, value: json!({"a": 1}) }]);
    std::fs::write(&path, &packed[..packed.len() - 9]).expect("written");
    assert!(matches!(read(&path), Err(PlanError::Read { .. })));
    let missing = read(&folder.path().join("none.csv"));
    assert!(matches!(missing, Err(PlanError::Read { .. })));
}

/// Two questions as ARC has them on the hub: an id, choices with texts and labels, a number.
fn arc(compression: Compression) -> Vec<u8> {
    let schema = "message m {
        optional binary id (UTF8);
        optional group choices {
            optional group text (LIST) { repeated group list { optional binary element (UTF8); } }
            optional group label (LIST) { repeated group list { optional binary element (UTF8); } }
        }
        required int64 answer;
    }";
    let schema = Arc::new(parse_message_type(schema).expect("a schema"));
    let properties = Arc::new(WriterProperties::builder().set_compression(compression).build());
    let mut file = SerializedFileWriter::new(Vec::new(), schema, properties).expect("begun");
    let mut group = file.next_row_group().expect("a group");
    let texts = |all: &[&str]| all.iter().map(|text| ByteArray::from(*text)).collect::<Vec<_>>();
    let mut written = |values: &[ByteArray], definition: &[i16], repetition: Option<&[i16]>| {
        let mut column = group.next_column().expect("a column").expect("a column");
        column.typed::<ByteArrayType>().write_batch(values, Some(definition), repetition).expect("written");
        column.close().expect("closed");
    };
    written(&texts(&["a"]), &[1, 0], None);
    written(&texts(&["red", "", "b\"lue"]), &[4, 4, 4, 2], Some(&[0, 1, 1, 0]));
    written(&texts(&["A", "B"]), &[4, 4, 3, 0], Some(&[0, 1, 1, 0]));
    let mut column = group.next_column().expect("a column").expect("a column");
    column.typed::<Int64Type>().write_batch(&[2, i64::MIN], None, None).expect("written");
    column.close().expect("closed");
    group.close().expect("closed");
    file.into_inner().expect("a file")
}

#[test]
fn nested_columns_are_nested_json_however_they_are_packed() {
    let zstd = Compression::ZSTD(::parquet::basic::ZstdLevel::default());
    let gzip = Compression::GZIP(::parquet::basic::GzipLevel::default());
    for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY, zstd, gzip] {
        let rows = values("d.parquet", arc(compression));
        let choices = json!({"text": ["red", "", "b\"lue"], "label": ["A", "B", null]});
        assert_eq!(rows[0], (1, json!({"id": "a", "choices": choices, "answer": 2})));
        assert_eq!(rows[1].1["id"], Value::Null);
        assert_eq!(rows[1].1["answer"], i64::MIN);
        assert_eq!(rows.len(), 2);
    }
}

/// A file of one column without rows.
fn column(schema: &str) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(schema).expect("a schema"));
    let mut file = SerializedFileWriter::new(Vec::new(), schema, Arc::default()).expect("begun");
    let mut group = file.next_row_group().expect("a group");
    while let Some(column) = group.next_column().expect("a column") {
        column.close().expect("closed");
    }
    group.close().expect("closed");
    file.into_inner().expect("a file")
}

#[test]
fn binary_columns_are_named() {
    let said = error("d.parquet", column("message m { required group image { required binary bytes; } }"));
    assert!(said.contains("column \"image.bytes\" is binary"), "{said}");
    assert_eq!(values("d.parquet", column("message m { required binary text (UTF8); }")), []);
    // The reader panics on a list without a repeated element.
    let odd = column("message m { required group a (LIST) { required binary b (UTF8); } }");
    assert!(error("d.parquet", odd).contains("contradict each other"));
}

proptest! {
    #[test]
    fn any_text_in_any_format_is_rows_or_an_error(text in "[\\[\\]{}\",:a1\\n\\t \\\\é]{0,60}") {
        for name in ["d.jsonl", "d.json", "d.csv", "d.tsv", "d.parquet"] {
            if let Ok(rows) = parsed(name, text.as_bytes()) {
                let lines = text.matches('\n').count() + 1;
                prop_assert!(rows.iter().all(|row| row.value.is_object() && (1..=lines).contains(&row.line)));
            }
        }
    }

    #[test]
    fn an_array_holds_what_lines_hold(texts in prop::collection::vec("[^\\x00-\\x1f]{0,12}", 0..6), between in "[ \\n]{0,3}") {
        let objects: Vec<Value> = texts.iter().map(|text| json!({"t": text, "n": [1.5, null]})).collect();
        let lines: Vec<String> = objects.iter().map(Value::to_string).collect();
        let array = format!("{between}[{between}{}{between}]{between}", lines.join(&format!("{between},{between}")));
        let of = |rows: Vec<(usize, Value)>| rows.into_iter().map(|(_, value)| value).collect::<Vec<_>>();
        prop_assert_eq!(of(values("d.jsonl", lines.join("\n"))), objects.clone());
        prop_assert_eq!(of(values("d.json", array)), objects);
    }

    #[test]
    fn what_was_written_as_csv_is_read(cells in prop::collection::vec(prop::array::uniform2("[a\",\\n é]{0,8}"), 0..6)) {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["x", "y"]).expect("written");
        for cell in &cells {
            writer.write_record(cell).expect("written");
        }
        let rows = values("d.csv", writer.into_inner().expect("a file"));
        let expected: Vec<Value> = cells.iter().map(|[x, y]| json!({"x": x, "y": y})).collect();
        prop_assert_eq!(rows.into_iter().map(|(_, value)| value).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_damaged_parquet_file_is_rows_or_an_error(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut file = arc(Compression::SNAPPY);
        for (at, byte) in damage {
            let at = at.index(file.len());
            file[at] = byte;
        }
        if let Some(cut) = cut {
            let end = cut.index(file.len());
            file.drain(end..);
        }
        if let Err(error) = parsed("d.parquet", file) {
            prop_assert!(error.to_string().starts_with("d.parquet"));
        }
    }
}
