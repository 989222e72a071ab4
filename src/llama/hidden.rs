//! The last hidden states of a decode: what goes into the output matrix, taken as the graph computes it.
//!
//! Asking llama.cpp for embeddings would make every token an output and double the head's work. The tensor
//! `result_norm` of the running graph holds exactly the rows of the tokens that were marked as outputs, and
//! once they are there the decode can be ended, so that the head costs nothing where nobody needs its logits.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::llama::ffi::{Moment, Observer};

/// Rows of states, one after the other.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct States {
    /// Entries a row.
    pub width: usize,
    /// All rows.
    pub values: Vec<f32>,
}

impl States {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.values.len().checked_div(self.width).unwrap_or(0)
    }
}

/// What an observed context leaves of its last decode.
#[derive(Debug, Clone, Default)]
pub struct Capture {
    seen: Rc<RefCell<States>>,
    headless: Rc<Cell<bool>>,
}

impl Capture {
    /// The observer that fills this capture.
    pub fn observer(&self) -> Observer {
        let Self { seen, headless } = self.clone();
        Box::new(move |tensor, moment| {
            if !tensor.is_named(c"result_norm") {
                return moment == Moment::Computed;
            }
            if moment == Moment::Computed {
                let width = tensor.columns();
                // A batch of several micro-batches shows its states piece by piece.
                let mut seen = seen.borrow_mut();
                if let Some(values) =
                    tensor.values().filter(|_| seen.width == width || seen.values.is_empty())
                {
                    seen.width = width;
                    seen.values.extend(values);
                }
                return !headless.get();
            }
            true
        })
    }

    /// Whether decodes shall end before the output matrix. They then have states, but no logits.
    pub fn end_before_head(&self, headless: bool) {
        self.headless.set(headless);
    }

    /// The states of the last decode, in the order of its outputs; none if its graph does not show them.
    pub fn take(&self) -> States {
        self.seen.take()
    }
}
