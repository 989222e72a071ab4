//! A model behind an API: its endpoint in OpenAI's manner, what an item is in its terms, and what it answers.

pub mod ask;
mod client;
mod error;

pub use client::{Endpoint, Key};
pub use error::EndpointError;
