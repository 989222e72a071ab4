//! Grading generated text: what is taken out of it, what it is compared with, which instructions it follows.
//!
//! Everything here is a pure function of text, and stands before the plan because suite files are written in its terms. The reference is lm-evaluation-harness, run on Python; where its
//! verdict hangs on how Python reads text, that is reproduced (`python`, `pattern`), not approximated.

pub mod calls;
pub mod english;
pub mod error;
pub mod exact_match;
pub mod execute;
pub mod filter;
pub mod grade;
pub mod ifeval;
pub mod literal;
pub mod pattern;
mod python;
#[cfg(test)]
mod recorded;
pub mod thought;
mod translate;
