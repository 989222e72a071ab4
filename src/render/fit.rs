//! What `bitfrontier fit` prints: the answer in one sentence, a table with one line a recipe, and what else must be known.

use super::aligned::{self, clean};
use crate::analyze::fit::{Fit, Place, Row};
use crate::units::Bytes;

/// Shown where there is no value.
const MISSING: &str = "-";
/// After a figure that nobody laid out.
const ESTIMATED: &str = "~";

struct Column {
    header: &'static str,
    cells: Vec<String>,
}

/// The answer for people.
#[must_use]
pub fn text(fit: &Fit) -> String {
    let mut lines = vec![question(fit), String::new()];
    lines.extend(table(fit));
    for row in fit.recipes.iter().filter(|row| !row.reason.is_empty()) {
        lines.push(format!("{}: {}", clean(&row.recipe), clean(&row.reason)));
    }
    lines.push(String::new());
    lines.extend(fit.about.notes.iter().map(|note| format!("note: {}", clean(note))));
    let needing: Vec<&str> = fit
        .recipes
        .iter()
        .filter(|row| row.note.contains("importance"))
        .map(|row| row.recipe.as_str())
        .collect();
    if !needing.is_empty() {
        lines.push(format!("note: only with an importance matrix: {}", clean(&needing.join(", "))));
    }
    if fit.recipes.iter().any(|row| row.compute_source == "estimate") {
        lines.push(format!("note: {ESTIMATED} estimated, not laid out by llama.cpp"));
    }
    lines.push(clean(&fit.answer));
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

/// What was asked, in one line.
fn question(fit: &Fit) -> String {
    let about = &fit.about;
    let memory = |name: &str, bytes: Option<u64>| bytes.map(|bytes| format!("{} of {name}", Bytes(bytes)));
    let memories: Vec<String> =
        [memory("VRAM", about.vram_bytes), memory("RAM", about.ram_bytes)].into_iter().flatten().collect();
    let device = about.device.as_ref().map_or(String::new(), |device| format!("{device}: "));
    let (k, v) = &about.kv;
    let kv = if k == v { k.clone() } else { format!("{k}, {v}") };
    let sequences = if about.parallel == 1 { String::new() } else { format!("{} x ", about.parallel) };
    format!(
        "{} ({}): {device}{}, margin {}, context {sequences}{} tokens, cache {kv}",
        clean(&about.model),
        clean(&about.architecture),
        memories.join(" and "),
        Bytes(about.margin_bytes),
        about.ctx,
    )
}

fn table(fit: &Fit) -> Vec<String> {
    let columns = columns(fit);
    let header = columns.iter().map(|column| column.header.to_owned()).collect();
    let row = |at| columns.iter().map(|column| column.cells.get(at).cloned().unwrap_or_default()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(header).chain((0..fit.recipes.len()).map(row)).collect();
    // Names, then numbers.
    aligned::lines(&rows, |column| column == 0)
}

fn columns(fit: &Fit) -> Vec<Column> {
    let column = |header, cell: &dyn Fn(&Row) -> Option<String>| Column {
        header,
        cells: fit.recipes.iter().map(|row| cell(row).unwrap_or_else(|| MISSING.to_owned())).collect(),
    };
    let bytes = |bytes: u64| Some(Bytes(bytes).to_string());
    let estimated = |row: &Row| if row.compute_source == "estimate" { ESTIMATED } else { "" };
    let mut columns = vec![
        column("recipe", &|row| Some(clean(&row.recipe))),
        column("bpw", &|row| row.bpw.map(|bpw| format!("{bpw:.2}"))),
        column("weights", &|row| row.weights_bytes.and_then(bytes)),
        column("KV", &|row| bytes(row.kv_bytes)),
    ];
    if fit.recipes.iter().any(|row| row.state_bytes > 0) {
        columns.push(column("state", &|row| bytes(row.state_bytes)));
    }
    columns.push(column("compute", &|row| Some(format!("{}{}", estimated(row), Bytes(row.compute_bytes)))));
    columns.push(column("total", &|row| row.total_bytes.and_then(bytes)));
    columns.push(column("longest context", &|row| row.max_ctx.map(|ctx| ctx.to_string())));
    columns.push(column("fits", &|row| Some(if row.fits { "yes" } else { "no" }.to_owned())));
    if fit.about.vram_bytes.is_some() {
        columns.push(column("GPU layers", &|row| row.gpu_layers.map(|layers| gpu_layers(row, layers))));
    }
    columns
}

/// `41/65`, and where even that is too much for the machine's memory, a sign.
fn gpu_layers(row: &Row, layers: u64) -> String {
    let sign = if row.place == Place::Nowhere { "!" } else { "" };
    format!("{sign}{layers}/{}", row.layers)
}
