//! Shows a [`Report`](crate::analyze::Report): CSV files, item files, the table at the end of a sweep, charts.
//! Sees nothing else of the pipeline, so that whatever is shown can be shown again from a results folder.

mod aligned;
pub mod chart;
pub mod cost;
pub mod csv;
mod file;
pub mod fit;
pub mod items;
pub mod recommend;
pub mod speculation;
pub mod terminal;
pub mod text_report;
pub mod versus;

pub use chart::draw_all;
pub use file::RenderError;
