//! The tables of a results folder as Parquet, made from their CSV files cell by cell: the same names, rows and values,
//! with the types of the data dictionary, and null for what is empty. The same table gives the same bytes.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::parquet::basic::{Compression, ConvertedType, Repetition, Type as Physical, ZstdLevel};
use ::parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use ::parquet::schema::types::{Type, TypePtr};
use csv::{ReaderBuilder, StringRecord};
use flate2::read::GzDecoder;

use super::dictionary::{self, Kind};
use super::file::{RenderError, replace};

use crate::files;

/// Writes every table of `folder`, and of its `items/`, as Parquet beside its CSV file.
///
/// # Errors
/// If a table cannot be read, has a column or a cell that the data dictionary does not know, or a file cannot be written.
pub fn write_all(folder: &Path) -> Result<(), RenderError> {
    sources(folder)?.iter().try_for_each(|path| write(folder, path))
}

/// Removes what [`write_all`] wrote, so that no Parquet file is older than its CSV file.
///
/// # Errors
/// If a folder cannot be read or a file not be removed.
pub fn remove_all(folder: &Path) -> Result<(), RenderError> {
    for place in [folder.to_owned(), folder.join("items")] {
        let files = listed(&place)?;
        for path in files.iter().filter(|path| path.extension().is_some_and(|e| e == "parquet")) {
            // Somebody else's Parquet file has no CSV file beside it.
            let csv = [path.with_extension("csv"), path.with_extension("csv.gz")];
            if csv.iter().any(|csv| csv.exists()) {
                fs::remove_file(path).map_err(|source| RenderError::Write { path: path.clone(), source })?;
            }
        }
    }
    Ok(())
}

/// The CSV files of the tables, sorted. What else lies in the folder is none of ours.
fn sources(folder: &Path) -> Result<Vec<PathBuf>, RenderError> {
    let known: Vec<&str> = dictionary::tables().iter().map(|table| table.name).collect();
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut found = listed(folder)?;
    found.retain(|path| known.contains(&name(path).as_str()));
    let items = listed(&folder.join("items"))?;
    let is_of_trial = |path: &PathBuf| {
        name(path).strip_suffix(".csv.gz").is_some_and(|id| folder.join("trials").join(id).is_dir())
    };
    found.extend(items.into_iter().filter(is_of_trial));
    found.sort();
    Ok(found)
}

/// The files of a folder; none if it is not there.
fn listed(folder: &Path) -> Result<Vec<PathBuf>, RenderError> {
    let unreadable = |source| RenderError::Read { path: folder.to_owned(), reason: format!("{source}") };
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(folder).map_err(unreadable)?;
    entries.map(|entry| entry.map(|e| e.path()).map_err(unreadable)).collect()
}

fn write(folder: &Path, path: &Path) -> Result<(), RenderError> {
    let unreadable = |reason: String| RenderError::Read { path: path.to_owned(), reason };
    let file = files::open_record(path).map_err(|error| unreadable(error.to_string()))?;
    let packed = path.extension().is_some_and(|e| e == "gz");
    let reader: Box<dyn Read> = if packed { Box::new(GzDecoder::new(file)) } else { Box::new(file) };
    // One byte more, to notice a table that has more.
    let mut reader = reader.take(MOST + 1);
    let place = path.strip_prefix(folder).unwrap_or(path).to_string_lossy();
    let converted = converted(&place, reader.by_ref());
    if reader.limit() == 0 {
        return Err(unreadable(format!("it has more than {}", crate::units::Bytes(MOST))));
    }
    let bytes = converted.map_err(unreadable)?;
    let target = if packed { path.with_extension("") } else { path.to_owned() }.with_extension("parquet");
    replace(&target, &bytes)
}

/// A table of a results folder, told by its path inside, as Parquet.
fn converted(place: &str, reader: impl Read) -> Result<Vec<u8>, String> {
    let mut reader = ReaderBuilder::new().from_reader(reader);
    let headers = reader.headers().map_err(|error| error.to_string())?.clone();
    let names: Vec<&str> = headers.iter().collect();
    let table = dictionary::table_of(place, &names)
        .ok_or_else(|| "its columns are not those of any table of the data dictionary".to_owned())?;
    let columns: Vec<(&str, Kind)> = names
        .iter()
        .map(|name| {
            let known = table.column(name).map(|column| (*name, column.kind));
            known.ok_or_else(|| format!("column {name:?} is not in the data dictionary"))
        })
        .collect::<Result<_, _>>()?;
    packed(&columns, reader)
}

/// Rows of a row group: more are not in memory at a time.
const GROUP: usize = 1 << 18;
/// Most bytes that a table may have, unpacked: a small packed file may say that it has more than any machine's memory.
const MOST: u64 = 2 << 30;

fn packed(columns: &[(&str, Kind)], mut reader: csv::Reader<impl Read>) -> Result<Vec<u8>, String> {
    let odd = |error: ParquetError| error.to_string();
    let properties =
        WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
    let mut file = SerializedFileWriter::new(Vec::new(), schema(columns).map_err(odd)?, Arc::new(properties))
        .map_err(odd)?;
    let mut records = reader.records();
    for begin in (0_usize..).step_by(GROUP) {
        let rows = records.by_ref().take(GROUP).collect::<Result<Vec<_>, _>>();
        let rows = rows.map_err(|error| error.to_string())?;
        // A table without rows has one group, without rows.
        if rows.is_empty() && begin > 0 {
            break;
        }
        write_group(&mut file, columns, &rows, begin)?;
    }
    file.into_inner().map_err(odd)
}

fn write_group(
    file: &mut SerializedFileWriter<Vec<u8>>,
    columns: &[(&str, Kind)],
    rows: &[StringRecord],
    begin: usize,
) -> Result<(), String> {
    let odd = |error: ParquetError| error.to_string();
    let mut group = file.next_row_group().map_err(odd)?;
    for (at, (name, kind)) in columns.iter().enumerate() {
        let cells: Vec<&str> = rows.iter().map(|row| row.get(at).unwrap_or_default()).collect();
        let mut column = group.next_column().map_err(odd)?.ok_or("a column is missing")?;
        match kind {
            Kind::Text => {
                put::<ByteArrayType>(&mut column, name, begin, &cells, |c| Some(ByteArray::from(c)))
            }
            Kind::Integer => put::<Int64Type>(&mut column, name, begin, &cells, |cell| cell.parse().ok()),
            Kind::Float => put::<DoubleType>(&mut column, name, begin, &cells, |cell| cell.parse().ok()),
            Kind::Boolean => put::<BoolType>(&mut column, name, begin, &cells, |cell| cell.parse().ok()),
        }?;
        column.close().map_err(odd)?;
    }
    group.close().map_err(odd)?;
    Ok(())
}

/// The cells of a column, from row `begin` on; an empty one is null.
fn put<T: DataType>(
    column: &mut SerializedColumnWriter<'_>,
    name: &str,
    begin: usize,
    cells: &[&str],
    value: impl Fn(&str) -> Option<T::T>,
) -> Result<(), String> {
    let there: Vec<i16> = cells.iter().map(|cell| i16::from(!cell.is_empty())).collect();
    let filled = cells.iter().enumerate().filter(|(_, cell)| !cell.is_empty());
    let values = filled.map(|(row, cell)| {
        // The header is line 1; texts of several lines may move it, the row stays right.
        value(cell)
            .ok_or_else(|| format!("row {}, column {name:?}: {cell:?} is not of its type", begin + row + 1))
    });
    let values: Vec<T::T> = values.collect::<Result<_, _>>()?;
    column.typed::<T>().write_batch(&values, Some(&there), None).map_err(|error| error.to_string())?;
    Ok(())
}

fn schema(columns: &[(&str, Kind)]) -> Result<TypePtr, ParquetError> {
    let field = |(name, kind): &(&str, Kind)| {
        let (physical, converted) = match kind {
            Kind::Text => (Physical::BYTE_ARRAY, ConvertedType::UTF8),
            Kind::Integer => (Physical::INT64, ConvertedType::NONE),
            Kind::Float => (Physical::DOUBLE, ConvertedType::NONE),
            Kind::Boolean => (Physical::BOOLEAN, ConvertedType::NONE),
        };
        Type::primitive_type_builder(name, physical)
            .with_converted_type(converted)
            .with_repetition(Repetition::OPTIONAL)
            .build()
            .map(Arc::new)
    };
    let fields = columns.iter().map(field).collect::<Result<Vec<_>, _>>()?;
    Ok(Arc::new(Type::group_type_builder("table").with_fields(fields).build()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::parquet::file::reader::{FileReader as _, SerializedFileReader};
    use ::parquet::record::Field;

    const METRICS: &str = "variant,suite,metric,value,stderr,ci_low,ci_high,n,higher_is_better,chance,status,\
                           reason,partial\n\
                           base,book,ppl,10.25,,,,60,false,,done,,\n\
                           Q2_K,\"a, \"\"b\"\"\",acc,1e-7,-0.0,nan,inf,0,true,0.25,crashed,\"two\nlines\",\n";

    fn read(bytes: Vec<u8>) -> Vec<Vec<(String, Field)>> {
        let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
        let rows = reader.get_row_iter(None).unwrap();
        rows.map(|row| row.unwrap().into_columns().into_iter().collect()).collect()
    }

    #[test]
    fn cells_have_their_types_and_what_is_empty_is_null() {
        let rows = read(converted("metrics.csv", METRICS.as_bytes()).unwrap());
        assert_eq!(rows.len(), 2);
        let get = |row: usize, name: &str| rows[row].iter().find(|(n, _)| n == name).unwrap().1.clone();
        assert_eq!(get(0, "value"), Field::Double(10.25));
        assert_eq!(get(0, "stderr"), Field::Null);
        assert_eq!(get(0, "reason"), Field::Null);
        assert_eq!(get(0, "n"), Field::Long(60));
        assert_eq!(get(0, "higher_is_better"), Field::Bool(false));
        assert_eq!(get(1, "suite"), Field::Str("a, \"b\"".to_owned()));
        assert_eq!(get(1, "value"), Field::Double(1e-7));
        assert_eq!(get(1, "ci_high"), Field::Double(f64::INFINITY));
        assert_eq!(get(1, "reason"), Field::Str("two\nlines".to_owned()));
    }

    #[test]
    fn the_same_table_gives_the_same_bytes_and_one_without_rows_has_its_columns() {
        assert_eq!(
            converted("metrics.csv", METRICS.as_bytes()),
            converted("metrics.csv", METRICS.as_bytes())
        );
        let header = METRICS.lines().next().unwrap();
        let empty = converted("metrics.csv", header.as_bytes()).unwrap();
        let reader = SerializedFileReader::new(bytes::Bytes::from(empty)).unwrap();
        let schema = reader.metadata().file_metadata().schema_descr();
        assert_eq!(schema.num_columns(), 13);
        assert_eq!(schema.column(7).physical_type(), Physical::INT64);
    }

    #[test]
    fn long_tables_come_in_groups_and_are_the_same() {
        let rows = GROUP + 3;
        let text = format!("variant,n\n{}", "a,7\n".repeat(rows));
        let bytes = bytes::Bytes::from(converted("metrics.csv", text.as_bytes()).unwrap());
        let about = SerializedFileReader::new(bytes.clone()).unwrap().metadata().clone();
        assert_eq!((about.num_row_groups(), about.file_metadata().num_rows()), (2, rows as i64));
        assert_eq!(read(bytes.to_vec()).last().unwrap()[1].1, Field::Long(7));
        let wrong = converted("metrics.csv", format!("{text}a,x\n").as_bytes()).unwrap_err();
        assert!(wrong.starts_with(&format!("row {}, column \"n\"", rows + 1)), "{wrong}");
    }

    #[test]
    fn what_contradicts_the_dictionary_is_refused() {
        let error = |text: &str| converted("metrics.csv", text.as_bytes()).unwrap_err();
        assert_eq!(error("variant,size\n"), "column \"size\" is not in the data dictionary");
        assert_eq!(error("variant,n\na,1\nb,1.5\n"), "row 2, column \"n\": \"1.5\" is not of its type");
        assert_eq!(
            error("higher_is_better\nyes\n"),
            "row 1, column \"higher_is_better\": \"yes\" is not of its type"
        );
        assert!(
            converted("items/0.csv.gz", "index\n1\n".as_bytes()).unwrap_err().contains("not those of any")
        );
    }

    #[test]
    fn files_stand_beside_their_tables_and_go_with_them() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("metrics.csv"), METRICS).unwrap();
        fs::write(folder.path().join("own.csv"), "a\n1\n").unwrap();
        fs::write(folder.path().join("foreign.parquet"), "x").unwrap();
        write_all(folder.path()).unwrap();
        let names = || {
            let mut all: Vec<String> = listed(folder.path())
                .unwrap()
                .iter()
                .map(|p| p.file_name().unwrap().to_string_lossy().into_owned())
                .collect();
            all.sort();
            all
        };
        assert_eq!(names(), ["foreign.parquet", "metrics.csv", "metrics.parquet", "own.csv"]);
        remove_all(folder.path()).unwrap();
        assert_eq!(names(), ["foreign.parquet", "metrics.csv", "own.csv"]);
    }
}
