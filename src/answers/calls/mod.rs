//! Tool calls: read out of what a model wrote, in whatever format it writes them, and compared with the calls that are
//! right as the Berkeley Function Calling Leaderboard's checker (bfcl-eval 2026.3.23) compares them.

pub mod checker;
pub mod expected;
pub mod format;
mod java;
mod javascript;
pub mod parse;
mod python;
#[cfg(test)]
mod recorded;
pub mod schema;
mod source;
pub mod value;
pub mod verdict;
