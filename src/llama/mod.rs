//! The only door to llama.cpp. `ffi` alone steps outside safe Rust; what stands beside it does not.
//! Only worker processes come in here.

pub mod context;
pub mod ffi;
pub mod head;
pub mod hidden;
pub mod imatrix;
pub mod layout;
pub mod log;
pub mod model;
pub mod quantize;
pub mod strided;
pub mod swap;
