//! llama-bench: one row a model, setting and point, as CSV, as an array of JSON, or as a JSON object a line. Columns are
//! found by name, since they have changed over the years.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::read::Fault;
use super::record::{ForeignModel, ForeignSpeed};

/// A row and the line it begins on.
type Row = (usize, Map<String, Value>);

/// Settings that make two runs of a model two models here, with what they are called.
const SETTINGS: [(&str, &str); 8] = [
    ("n_threads", "threads"),
    ("type_k", "K cache"),
    ("type_v", "V cache"),
    ("n_gpu_layers", "GPU layers"),
    ("n_batch", "batch"),
    ("n_ubatch", "micro batch"),
    ("flash_attn", "flash attention"),
    ("split_mode", "split"),
];

/// Models with their speeds, and what is left out.
type Found = (Vec<ForeignModel>, Vec<String>);

/// Reads an array of objects, or objects one after the other.
pub(super) fn json(text: &str) -> Result<Found, Fault> {
    // Lines are counted on from where they were counted last.
    let mut counted = (0, 1);
    let mut line_at = |at: usize| {
        counted = (at, counted.1 + text.get(counted.0..at).map_or(0, |passed| passed.matches('\n').count()));
        counted.1
    };
    let is_array = text.trim_start_matches('\u{feff}').trim_start().starts_with('[');
    let (mut at, mut rows): (usize, Vec<Row>) = (0, Vec::new());
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let between = |c: char| c.is_whitespace() || c == '\u{feff}' || (is_array && ",[]".contains(c));
        let skipped = rest.len() - rest.trim_start_matches(between).len();
        at += skipped;
        let rest = text.get(at..).unwrap_or_default();
        if rest.is_empty() {
            break;
        }
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Map<String, Value>>();
        let line = line_at(at);
        match values.next() {
            Some(Ok(row)) => rows.push((line, row)),
            Some(Err(error)) => {
                let reason = error.to_string();
                let reason = reason.split(" at line ").next().unwrap_or_default().to_owned();
                return Err(Fault::new(line + error.line().saturating_sub(1), reason));
            }
            None => break,
        }
        at += values.byte_offset();
    }
    if is_array && !text.trim_end().ends_with(']') {
        return Err(Fault::new(text.lines().count(), "the array ends in the middle"));
    }
    models(&rows)
}

/// Reads a table with a header.
pub(super) fn csv(text: &str) -> Result<Found, Fault> {
    let mut reader = csv::ReaderBuilder::new().from_reader(text.as_bytes());
    let line = |error: &csv::Error| error.position().map_or(1, |p| p.line() as usize);
    let odd = |error: csv::Error| {
        let reason = match error.kind() {
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                format!("{len} cells where the header has {expected_len}")
            }
            _ => "not a line of CSV".to_owned(),
        };
        Fault::new(line(&error), reason)
    };
    let headers = reader.headers().map_err(odd)?.clone();
    let mut rows: Vec<Row> = Vec::new();
    for record in reader.records() {
        let record = record.map_err(odd)?;
        let line = record.position().map_or(1, |p| p.line() as usize);
        let cells = headers.iter().zip(&record).map(|(name, cell)| (name.to_owned(), cell.into()));
        rows.push((line, cells.collect()));
    }
    models(&rows)
}

fn models(rows: &[Row]) -> Result<Found, Fault> {
    if rows.is_empty() {
        return Err(Fault::new(1, "no measurement"));
    }
    let mut found: Vec<ForeignModel> = Vec::new();
    let mut places: HashMap<Vec<String>, usize> = HashMap::new();
    let mut left_out = Vec::new();
    for row in rows {
        let speed = speed(row)?;
        if speed.prompt > 0 && speed.generate > 0 {
            left_out.push(format!("line {}: prompt and generation in one figure", row.0));
            continue;
        }
        let keys = ["model_filename", "build_commit"].into_iter().chain(SETTINGS.map(|(key, _)| key));
        let key: Vec<String> = keys.map(|key| text(row, key)).collect();
        if let Some(model) = places.get(&key).and_then(|place| found.get_mut(*place)) {
            model.speeds.push(speed);
        } else {
            places.insert(key, found.len());
            found.push(ForeignModel { speeds: vec![speed], ..model(row)? });
        }
    }
    Ok((found, left_out))
}

fn model(row: &Row) -> Result<ForeignModel, Fault> {
    let file = text(row, "model_filename");
    let name = file.rsplit(['/', '\\']).next().unwrap_or_default();
    let (bytes, weights) = (whole(row, "model_size")?, whole(row, "model_n_params")?);
    let settings = SETTINGS.iter().filter_map(|(key, called)| {
        let value = text(row, key);
        (!value.is_empty()).then(|| format!("{called} {value}"))
    });
    let machine = [text(row, "cpu_info"), text(row, "gpu_info")];
    let build = format!("build {} ({})", text(row, "build_number"), text(row, "build_commit"));
    let when = text(row, "test_time");
    let parts = std::iter::once(build).chain(machine).chain([when]).filter(|part| !part.is_empty());
    Ok(ForeignModel {
        name: name.strip_suffix(".gguf").unwrap_or(name).to_owned(),
        type_name: text(row, "model_type"),
        bytes: Some(bytes).filter(|bytes| *bytes > 0),
        bpw: (bytes > 0 && weights > 0).then(|| bytes as f64 * 8.0 / weights as f64),
        settings: parts.chain(settings).collect::<Vec<_>>().join(", "),
        ..ForeignModel::default()
    })
}

fn speed(row: &Row) -> Result<ForeignSpeed, Fault> {
    let tokens = |key: &str| {
        let value = if row.1.contains_key(key) { whole(row, key)? } else { 0 };
        u32::try_from(value).map_err(|_| Fault::new(row.0, format!("{key} is {value}")))
    };
    let (prompt, generate) = (tokens("n_prompt")?, tokens("n_gen")?);
    if prompt == 0 && generate == 0 {
        return Err(Fault::new(row.0, "neither n_prompt nor n_gen: not a row of llama-bench"));
    }
    let mean = number(row, "avg_ts")?;
    if !(mean.is_finite() && mean > 0.0) {
        return Err(Fault::new(row.0, format!("avg_ts is {mean}, not a speed")));
    }
    let samples = row.1.get("samples_ts").and_then(Value::as_array).map_or(0, |all| all.len() as u64);
    let sd = if row.1.contains_key("stddev_ts") { Some(number(row, "stddev_ts")?) } else { None };
    // Older versions had no depth.
    let depth = tokens("n_depth")?;
    Ok(ForeignSpeed { prompt, generate, depth, mean, sd: sd.filter(|sd| sd.is_finite()), n: samples })
}

fn text(row: &Row, key: &str) -> String {
    match row.1.get(key) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.trim().to_owned(),
        Some(other) => other.to_string(),
    }
}

/// A number, whether it stands in a string, as in CSV, or not.
fn number(row: &Row, key: &str) -> Result<f64, Fault> {
    let value = row.1.get(key).ok_or_else(|| Fault::new(row.0, format!("{key} is missing")))?;
    let number = value.as_f64().or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()));
    number.ok_or_else(|| Fault::new(row.0, format!("{key} is {value}, not a number")))
}

fn whole(row: &Row, key: &str) -> Result<u64, Fault> {
    let value = number(row, key)?;
    if value >= 0.0 && value.fract() == 0.0 && value < 1e18 {
        return Ok(value as u64);
    }
    Err(Fault::new(row.0, format!("{key} is {value}, not a count")))
}
