//! Shows a [`Report`](crate::analyze::Report): CSV files, item files, the table at the end of a sweep, charts,
//! and a page of all of it.
//! Sees nothing else of the pipeline, so that whatever is shown can be shown again from a results folder.

mod aligned;
pub mod chart;
pub mod cost;
pub mod csv;
pub mod dictionary;
mod file;
pub mod fit;
pub mod html;
pub mod items;
pub mod model_card;
pub mod parquet;
pub mod recommend;
pub mod speculation;
pub mod terminal;
pub mod text_report;
pub mod versus;

pub use chart::Drawing;
pub use file::RenderError;
