//! What was measured, on disk: the truth everything else is derived from.

pub mod foreign;
pub mod kept;
pub mod plan_file;
pub mod reader;
pub mod record;
pub mod sealed;
pub mod writer;
