//! English text into sentences and words, as the reference scorers' toolkit (NLTK) cuts it.

pub mod sentences;
mod token;
pub mod words;
