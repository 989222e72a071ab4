//! One file a way of scoring. Runs in the worker; knows the model, not the sweep.

pub mod agent;
pub mod answering;
pub mod base_store;
pub mod batched;
pub mod branches;
pub mod choice;
pub mod compare;
pub mod divergence;
mod expf;
pub mod generate;
pub mod item;
pub mod kld_file;
pub mod lengths;
pub mod llama_perplexity;
pub mod noise;
pub mod perplexity;
pub mod prefix_tree;
pub mod reference;
pub mod sample;
pub mod sampler;
pub mod speculate;
pub mod token_file;
