//! Long prompts made by rule: what is to be found again stands somewhere in a haystack of plain sentences, as long as
//! was asked for in tokens of the model's vocabulary. The kinds of task are RULER's; wording and material are ours. One
//! seed gives the same prompts on every machine.

mod fill;
mod material;
mod random;
mod table;
mod tasks;

pub use fill::{Count, Row, fill};
pub use table::{Haystack, Kind};
