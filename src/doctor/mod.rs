//! Whether this machine is one that sweeps run on, and what to do where it is not. Looks only: nothing is fetched, built or
//! left behind, and no socket is opened unless the hub is asked for.

pub mod check;
mod cpu;
pub mod examine;
