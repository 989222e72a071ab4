//! bitfrontier: how many bits does a model need, what is lost, and what does it cost?
//!
//! A sweep flows one way, and the modules stand in that order:
//!
//! ```text
//!   plan --> fetch --> run ----> worker (child) --> score --> llama
//!   what     inputs    executor      |  one variant, one process
//!   to do    at hand   |             v
//!                      +------> journal --> analyze --> render
//!                               records     Report      csv, charts, terminal
//! ```
//!
//! The parent process plans, hands out work, journals and renders; it never enters llama.cpp. A worker loads
//! one variant and scores items, so that a native abort, an out-of-memory kill or a hang is the recorded
//! outcome of one trial; on a cluster each trial is a job, and a coordinator hands them out. Programs that a model writes run in a sandbox below it. Everything shown is derived from
//! `manifest.json` and `trials/` in the results folder.

pub mod cli;
pub mod sweep;

pub mod cluster;

pub mod sandbox;

pub mod answers;
pub mod plan;

pub mod endpoint;
pub mod fetch;
pub mod gguf;

pub mod run;
pub mod search;

pub mod llama;
pub mod score;
pub mod worker;

pub mod journal;

pub mod analyze;
pub mod stats;

pub mod render;

pub mod error;
pub mod files;
pub mod progress;
pub mod units;
