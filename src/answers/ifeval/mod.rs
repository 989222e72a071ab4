//! IFEval (Zhou and others 2023): which of the instructions in a prompt a response follows, found without a judge.

pub mod check;
pub mod instruction;
mod json;
mod language;
