//! The only door to llama.cpp. `ffi` is the only file with `unsafe`; what stands beside it is safe Rust.
//! Only worker processes come in here.

pub mod context;
pub mod ffi;
pub mod log;
pub mod model;
pub mod quantize;
