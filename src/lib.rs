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
//!
//! # In a program of one's own
//!
//! The program `bitfrontier` is this library with a command line; another can run sweeps the same way. It says what it wants in
//! [`plan::config`], from a sweep file or from flags, lets [`sweep::sweep`] do it, hears of it through [`run::event::Event`],
//! and finds everything that is shown in the [`analyze::Report`]. A worker is the embedding program itself, started again:
//! that is why [`child::enter`] comes first. Until version 1.0 these names may change between minor versions; the tables, the
//! records and the command line change only as the changelog says. `examples/embed.rs` is such a program, whole.
//!
//! ```no_run
//! use std::process::ExitCode;
//! use std::sync::atomic::AtomicBool;
//!
//! use bitfrontier::error::Error;
//! use bitfrontier::plan::config::{self, SweepFlags};
//! use bitfrontier::run::machine;
//! use bitfrontier::sweep::sweep;
//!
//! fn main() -> ExitCode {
//!     if let Some(code) = bitfrontier::child::enter() {
//!         return code; // this is a worker
//!     }
//!     match kld_of("model-f16.gguf") {
//!         Ok(()) => ExitCode::SUCCESS,
//!         Err(error) => ExitCode::from(error.exit_code()),
//!     }
//! }
//!
//! fn kld_of(base: &str) -> Result<(), Error> {
//!     let flags = SweepFlags {
//!         base: Some(base.to_owned()),
//!         recipes: vec!["Q4_K_M".to_owned()],
//!         suites: vec!["perplexity".to_owned()],
//!         out: Some("results/mine".into()),
//!         ..SweepFlags::default()
//!     };
//!     let config = config::read(None, &flags, machine::cores())?;
//!     let report = sweep(config, &AtomicBool::new(false), &mut |_| ())?.report;
//!     let kld = report.metric("Q4_K_M", "perplexity", "kld_mean").and_then(|row| row.value);
//!     println!("{kld:?} nats a token");
//!     Ok(())
//! }
//! ```

pub mod cli;
pub mod manual;
pub mod sweep;

pub mod child;
pub mod cluster;
pub mod doctor;

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
pub mod shown;
pub mod units;
