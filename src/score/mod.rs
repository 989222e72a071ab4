//! One file a way of scoring. Runs in the worker; knows the model, not the sweep.

pub mod base_store;
pub mod choice;
pub mod divergence;
pub mod item;
pub mod perplexity;
