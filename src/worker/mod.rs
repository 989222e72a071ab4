//! The child process in which llama.cpp runs, so that a native abort, an out-of-memory kill or a hang is the
//! recorded outcome of one trial, and the parent's side of it.

pub mod bench;
pub mod choice;
pub mod client;
pub mod energy;
pub mod entry;
pub mod generate;
pub mod imatrix;
mod layout;
pub mod memory;
mod mend;
pub mod protocol;
pub mod speculation;
mod stranger;
pub mod texts;
pub mod throughput;
