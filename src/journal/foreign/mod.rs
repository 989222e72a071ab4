//! What other programs measured: read from their output, kept beside a sweep's own records, never mixed up with them.

mod bench;
mod log;
pub mod read;
pub mod record;

#[cfg(test)]
mod tests;
