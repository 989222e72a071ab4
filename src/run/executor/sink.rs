//! Where the items of a piece of work go.

use std::collections::BTreeSet;

use super::{Outcomes, bad_protocol};
use crate::journal::writer::ItemJournal;
use crate::run::event::Event;
use crate::worker::client::WorkFailure;
use crate::worker::protocol::ItemRecord;

/// Where the items of a piece of work go.
pub(super) struct Sink {
    pub(super) journal: ItemJournal,
    /// Items that were asked for; anything else is a lie.
    pub(super) allowed: BTreeSet<u64>,
    pub(super) done: u64,
    pub(super) total: u64,
    /// Tokens that the worker has decoded so far.
    pub(super) decoded: u64,
}

impl Sink {
    pub(super) fn take(&mut self, item: &ItemRecord) -> Outcomes<()> {
        if !self.allowed.remove(&item.index) {
            return Err(bad_protocol(&format!(
                "the worker sent item {}, which was not asked for",
                item.index
            )));
        }
        self.journal.append(item).map_err(|e| disk(&e))?;
        self.done += 1;
        Ok(())
    }

    /// How far it is.
    pub(super) fn step(&self) -> Event {
        Event::Step { done: self.done, total: self.total, decoded: self.decoded }
    }

    pub(super) fn close(mut self) -> Outcomes<()> {
        self.journal.sync().map_err(|e| disk(&e))
    }
}

fn disk(error: &std::io::Error) -> WorkFailure {
    WorkFailure::NoSpace(unwritable(error))
}

pub(super) fn unwritable(error: &std::io::Error) -> String {
    format!("the item journal cannot be written: {error}")
}
