//! Charts: every figure of a sweep as PNG and SVG, drawn from the `Report` and nothing else.
//!
//! One file a figure says *what* is shown: it turns report rows into a `Figure` (axes, marks, lines, notes).
//! How it is shown is shared: `scatter` lays a figure out into plain shapes, `label` finds room for the
//! names, `paint` hands the shapes to plotters. So every figure looks alike and a new one is a short file.

mod axis;
mod error;
mod few;
mod files;
mod floor;
mod grid;
mod heat;
mod kv;
mod label;
mod paint;
mod scatter;
mod selection;
mod theme;
mod wording;

mod bpw_kld;
mod bpw_ppl;
mod bpw_suite;
mod capability;
mod change;
mod cost_quality;
mod cost_volume;
mod early_stopping;
mod frontier;
mod long_context;
mod memory;
mod memory_stack;
mod signs;
mod speculation;
mod speed;
mod speed_bytes;
mod speed_surface;

#[cfg(test)]
pub(super) mod tests;

pub use error::ChartError;
pub use files::{Drawing, Picture};
pub use theme::register_fonts;
