//! Sweeps on a Slurm cluster. One trial is one task of an array; the results folder, which all nodes share, is the only state.
//! The coordinator submits what is missing, looks at the queue, submits again what was lost, and writes down what cannot pass.
//! It may be ended at any time: the jobs go on, and the same command finds them by the folder's own name for them.

mod batch;
mod coordinator;
mod node;
mod queue;
mod scheduler;
mod verdict;

pub use coordinator::Coordinator;
pub use node::look;
