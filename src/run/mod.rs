//! Carrying out a plan: inputs made ready, work handed to workers, outcomes journalled, tables and charts
//! rewritten after each.

pub mod check;
pub mod compare;
mod corpora;
pub mod cost;
pub mod data;
pub mod derive;
mod ending;
pub mod estimate;
pub mod eval;
pub mod event;
pub mod executor;
pub mod file_plan;
pub mod fit;
pub mod forecast;
pub mod found;
mod haystack;
pub mod imatrix;
pub mod import;
pub mod inputs;
pub mod machine;
pub mod perplexity;
pub mod prepare;
pub mod prober;
pub mod probes;
pub mod quantize;
pub mod recommend;
pub mod reference;
pub mod search;
pub mod search_report;
pub mod searched;
pub mod show;
pub mod speculate;
pub mod speed;
pub mod study;
pub mod variant_file;
