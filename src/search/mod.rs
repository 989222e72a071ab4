//! Mixed precision: which parts of a model are worth how many bits. Pure functions over what probes measured; who
//! measures, and how a file is made of the answer, is the business of `run::search`.
//!
//! Weights are grouped by what they do and how deep they lie (`group`). A group's curve (`curve`) says what divergence
//! it costs at each type: measured at two types, in between by the importance-weighted loss of coding. The allocation
//! (`allocate`) takes of each group's lower convex hull what fits the bytes with the least sum. Sums are wrong where
//! losses interact, so the mix is measured, curves are rescaled by what each group costs *within* it, and pairs of
//! groups exchange bits as long as that measurably helps (`walk`).

pub mod allocate;
pub mod curve;
pub mod group;
pub mod walk;
