//! The list of all recipes that have a name: what `bitfrontier recipes` prints.

use std::fmt::Write as _;

use serde::Serialize;

use crate::plan::ladder::{self, Imatrix};
use crate::plan::preset::{self, PRESETS};
use crate::plan::recipe_file;

/// A row of the list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Name, as sweeps and `bitfrontier quantize` take it.
    pub name: String,
    /// `stock`, or `preset` for a recipe file that comes with the program.
    pub kind: &'static str,
    /// Bits per weight of the main block format; absent for presets, which mix several.
    pub nominal_bpw: Option<f64>,
    /// Columns that a tensor must divide by for the main format; absent for presets.
    pub block: Option<u32>,
    /// Whether it needs an importance matrix: `yes`, `no` or `helps`.
    pub needs_imatrix: &'static str,
    /// The stock type that the rest of a preset is made of.
    #[serde(rename = "type")]
    pub type_name: String,
    /// One line for people.
    pub notes: String,
}

/// Stock types from many bits to few, then presets.
pub fn rows() -> Vec<Row> {
    let stock = ladder::STOCK.iter().map(|t| Row {
        name: t.name.to_owned(),
        kind: "stock",
        nominal_bpw: Some(t.nominal_bpw),
        block: Some(t.block),
        needs_imatrix: t.imatrix.word(),
        type_name: t.name.to_owned(),
        notes: t.notes.to_owned(),
    });
    let presets = PRESETS.iter().filter_map(|p| {
        let recipe = recipe_file::preset(*p).ok()?;
        let imatrix = ladder::find(&recipe.weights.type_name).map_or(Imatrix::Helps, |t| t.imatrix);
        Some(Row {
            name: p.name.to_owned(),
            kind: "preset",
            nominal_bpw: None,
            block: None,
            needs_imatrix: imatrix.word(),
            type_name: recipe.weights.type_name,
            notes: recipe_file::about(p.text).unwrap_or_default(),
        })
    });
    stock.chain(presets).collect()
}

/// The list for people.
pub fn text() -> String {
    let mut out = format!("{:<14} {:>7} {:>6} {:<8} notes\n", "recipe", "bpw", "block", "imatrix");
    for row in rows() {
        let bpw = row.nominal_bpw.map_or("mix".to_owned(), |b| format!("{b}"));
        let block = row.block.map_or("-".to_owned(), |b| b.to_string());
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{:<14} {bpw:>7} {block:>6} {:<8} {}", row.name, row.needs_imatrix, row.notes);
    }
    out.push_str(
        "\nbpw and block are those of the main format; what a file really has is measured, and `bitfrontier plan` says it\n\
         before. imatrix: yes where llama.cpp refuses without one, helps where it makes the file better. +imatrix after\n\
         a name makes it with the sweep's importance matrix. `bitfrontier recipes show NAME` prints one in full.\n",
    );
    out
}

/// The recipe file that a preset is, or the one that a stock type would be.
pub fn as_file(name: &str) -> Option<String> {
    preset::find(name)
        .map(|p| p.text.to_owned())
        .or_else(|| ladder::find(name).map(|t| format!("about = {:?}\ntype = {:?}\n", t.notes, t.name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::recipe::Recipe;

    #[test]
    fn every_row_is_a_recipe_and_names_are_unique() {
        let rows = rows();
        assert_eq!(rows.len(), ladder::STOCK.len() + PRESETS.len());
        for (i, row) in rows.iter().enumerate() {
            let recipe = Recipe::parse(&row.name, "test").unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(recipe.variant(), row.name);
            assert!(rows.iter().skip(i + 1).all(|r| !r.name.eq_ignore_ascii_case(&row.name)), "{}", row.name);
            assert!(!row.notes.is_empty());
        }
    }
}
