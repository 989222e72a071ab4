//! Where programs run that a model has written: no network, nothing of the host but what Python needs to start, and
//! that read-only, one scratch folder in memory, limits on time, memory, processes, disk and output, and nothing left
//! alive behind them.
//!
//! ```text
//!   Sandbox::run --job--> outer stage --------------> inner stage (process 1) --> the program
//!        ^                unprivileged, new namespaces   root folder, limits, watch      |
//!        +--------------------------- what came of it -----------------------------------+
//! ```
//!
//! Both stages are this very program under its hidden subcommand `sandbox-stage`: nothing has to be done between fork
//! and exec, where only unsafe code could. When process 1 ends, the kernel ends whatever else lives in its namespace.

pub mod error;
#[cfg(target_os = "linux")]
mod filter;
pub mod guard;
pub mod job;
#[cfg(target_os = "linux")]
mod namespaces;
mod output;
mod scratch;
pub mod stage;
mod usage;
mod watch;

pub use error::SandboxError;
pub use guard::Sandbox;
pub use job::{End, Job, Limits, Ran};
