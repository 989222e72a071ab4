//! What it costs to run a variant, on a box of one's own, a rented one, or in place of an API.
//!
//! `prices` is the file of numbers and what may stand in it, `formulas` the arithmetic, `throughput` what a variant was
//! measured to do and what that means elsewhere, `task` how many tokens a question takes, `scenario`
//! where it can run; `rows` and `sheet` put them together, and `claims` works the field's sayings about all this.

mod claims;
mod curves;
mod formulas;
mod prices;
mod read;
mod rows;
mod scenario;
mod sheet;
mod task;
mod throughput;

pub use claims::{Claim, Flip, claims};
pub use curves::{Crossing, Curve, CurveKind};
pub use prices::{Api, Costs, Reference};
pub use read::{DEFAULT, Setting, parse, with_api, with_reference, with_settings};
pub use rows::CostRow;
pub(super) use sheet::sheet;
pub use sheet::{CostSheet, ReferencePoint};
