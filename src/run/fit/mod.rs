//! What `bitfrontier fit` does: the header is read, a worker says what types each recipe would give and how llama.cpp
//! lays contexts out, and the arithmetic of [`crate::analyze::fit`] does the rest. No weight is read and no file made.

mod candidates;
mod native;
mod question;
mod stretched;
mod subject;

pub use question::{Place, Question, fit};
