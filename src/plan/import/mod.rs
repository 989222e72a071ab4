//! Task files of lm-evaluation-harness (0.4.13) made into suite files: pure functions from text to text and a list
//! of what could not be taken.

pub mod convert;
mod data;
mod draft;
mod fewshot;
pub mod finding;
mod generation;
mod metrics;
mod prompt;
mod reading;
pub mod task;
mod yaml;
