//! What a sweep will do, before anything is done: recipes, suites, prompts, the matrix of trials and the keys
//! under which their results are kept.

pub mod config;
pub mod error;
pub mod fingerprint;
pub mod items;
pub mod ladder;
pub mod matrix;
pub mod overlap;
pub mod recipe;
pub mod suite;
pub mod template;
