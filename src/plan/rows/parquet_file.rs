//! Parquet files, row by row. The reader is a crate of its own that panics on some schemas which no writer makes; it
//! runs in a thread of its own, whose panic is an error like any other.

use std::cell::Cell;
use std::path::Path;
use std::sync::Once;
use std::{panic, thread};

use ::parquet::basic::{ConvertedType, Type as Physical};
use ::parquet::file::reader::{FileReader as _, SerializedFileReader};
use ::parquet::record::{Field, Row as Record};
use ::parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};
use bytes::Bytes;
use serde_json::{Map, Value};

use super::{MOST_BYTES, Row, bad, footer, unusable};
use crate::plan::error::PlanError;

/// Most rows of a file.
const MOST_ROWS: usize = 10_000_000;
/// Name of the thread that reads.
const READER: &str = "parquet-reader";

/// All rows of a file.
pub(super) fn rows(path: &Path, bytes: Vec<u8>) -> Result<Vec<Row>, PlanError> {
    footer::check(&bytes).map_err(|why| unusable(path, why))?;
    quiet();
    thread::scope(|scope| {
        let reader = thread::Builder::new().name(READER.to_owned());
        let read = reader
            .spawn_scoped(scope, || read(path, bytes.into()))
            .map_err(|source| PlanError::Read { path: path.to_owned(), source })?;
        let damaged = || unusable(path, "its schema or its pages contradict each other".to_owned());
        read.join().unwrap_or_else(|_| Err(damaged()))
    })
}

/// A panic of the reader's thread is told as an error, not twice.
fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let tell = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if thread::current().name() != Some(READER) {
                tell(info);
            }
        }));
    });
}

fn read(path: &Path, bytes: Bytes) -> Result<Vec<Row>, PlanError> {
    let damaged = |error: ::parquet::errors::ParquetError| unusable(path, first_line(&error));
    let reader = SerializedFileReader::new(bytes).map_err(damaged)?;
    check_columns(reader.metadata().file_metadata().schema_descr()).map_err(|why| unusable(path, why))?;
    let left = Cell::new(MOST_BYTES);
    let mut rows = Vec::new();
    for record in reader.get_row_iter(None).map_err(damaged)? {
        let line = rows.len() + 1;
        if line > MOST_ROWS {
            return Err(unusable(path, format!("it has more than {MOST_ROWS} rows")));
        }
        let record = record.map_err(|error| bad(path, line, first_line(&error)))?;
        let value = object(&record, &left).map_err(|why| bad(path, line, why))?;
        rows.push(Row { line, value });
    }
    Ok(rows)
}

fn first_line(error: &::parquet::errors::ParquetError) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.chars().take(200).collect()
}

/// Refuses what is no text, number or date.
fn check_columns(schema: &SchemaDescriptor) -> Result<(), String> {
    if schema.num_columns() == 0 {
        return Err("it has no columns".to_owned());
    }
    schema.columns().iter().try_for_each(|column| match kind(column) {
        None => Ok(()),
        Some(kind) => {
            let name = column.path().string();
            Err(format!(
                "column {name:?} is {kind}; rows hold texts, numbers, dates, and lists and structs of these"
            ))
        }
    })
}

/// What a column is that cannot be taken.
fn kind(column: &ColumnDescriptor) -> Option<&'static str> {
    match (column.physical_type(), column.converted_type()) {
        (Physical::BYTE_ARRAY, ConvertedType::NONE | ConvertedType::BSON) => Some("binary"),
        (Physical::FIXED_LEN_BYTE_ARRAY, ConvertedType::INTERVAL) => Some("an interval"),
        (Physical::FIXED_LEN_BYTE_ARRAY, ConvertedType::NONE)
            if !matches!(column.logical_type_ref(), Some(::parquet::basic::LogicalType::Float16)) =>
        {
            Some("binary")
        }
        _ => None,
    }
}

fn object(record: &Record, left: &Cell<u64>) -> Result<Value, String> {
    let fields = record.get_column_iter().map(|(name, field)| Ok((name.clone(), value(field, left)?)));
    Ok(Value::Object(fields.collect::<Result<Map<_, _>, String>>()?))
}

/// A field as JSON. What is not finite is null, as JSON has it.
fn value(field: &Field, left: &Cell<u64>) -> Result<Value, String> {
    let spent = |bytes: usize| {
        let rest = left.get().checked_sub(bytes as u64 + 1);
        left.set(rest.ok_or_else(|| format!("the rows so far take more than {} GiB", MOST_BYTES >> 30))?);
        Ok::<_, String>(())
    };
    spent(0)?;
    Ok(match field {
        Field::Null => Value::Null,
        Field::Bool(x) => (*x).into(),
        Field::Byte(x) => (*x).into(),
        Field::Short(x) => (*x).into(),
        Field::Int(x) => (*x).into(),
        Field::Long(x) => (*x).into(),
        Field::UByte(x) => (*x).into(),
        Field::UShort(x) => (*x).into(),
        Field::UInt(x) => (*x).into(),
        Field::ULong(x) => (*x).into(),
        Field::Float16(x) => f64::from(*x).into(),
        // As it would be written, not as its 32 bits are in 64.
        Field::Float(x) => x.to_string().parse::<f64>().unwrap_or(f64::NAN).into(),
        Field::Double(x) => (*x).into(),
        Field::Str(text) => {
            spent(text.len())?;
            text.as_str().into()
        }
        Field::Bytes(_) => return Err("a value is binary".to_owned()),
        Field::Decimal(_)
        | Field::Date(_)
        | Field::TimeMillis(_)
        | Field::TimeMicros(_)
        | Field::TimestampMillis(_)
        | Field::TimestampMicros(_) => field.to_string().into(),
        Field::Group(record) => object(record, left)?,
        Field::ListInternal(list) => {
            list.elements().iter().map(|x| value(x, left)).collect::<Result<Vec<_>, _>>()?.into()
        }
        Field::MapInternal(map) => {
            let entries = map.entries().iter().map(|(key, x)| {
                let name = match value(key, left)? {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                Ok((name, value(x, left)?))
            });
            Value::Object(entries.collect::<Result<Map<_, _>, String>>()?)
        }
    })
}
