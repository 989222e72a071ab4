//! A task file while it is read: its keys, and what was found about them so far.

use crate::plan::import::finding::{Finding, Weight};
use crate::plan::import::task::Task;
use crate::plan::import::yaml::{Data, Node};

/// A task and the findings on it.
pub(super) struct Reading<'t> {
    pub task: &'t Task,
    pub findings: Vec<Finding>,
}

impl<'t> Reading<'t> {
    /// Without a suite: a key that cannot be taken.
    pub fn refuse(&mut self, key: &str, node: Option<&Node>, what: impl Into<String>) {
        self.find(Weight::Refused, key, node, what.into());
    }

    /// A suite that scores a little otherwise, or wants something of the user.
    pub fn differs(&mut self, key: &str, node: Option<&Node>, what: impl Into<String>) {
        self.find(Weight::Differs, key, node, what.into());
    }

    /// What changes nothing.
    pub fn ignored(&mut self, key: &str, node: Option<&Node>, what: impl Into<String>) {
        self.find(Weight::Ignored, key, node, what.into());
    }

    /// One of the first two.
    pub fn find(&mut self, weight: Weight, key: &str, node: Option<&Node>, what: String) {
        self.findings.push(self.task.finding(weight, key, node, what));
    }

    pub fn get(&self, key: &str) -> Option<&'t Node> {
        self.task.get(key)
    }

    /// Whether no suite can be made.
    pub fn is_refused(&self) -> bool {
        self.findings.iter().any(|finding| finding.weight == Weight::Refused)
    }

    /// The text of a key; what else stands there is refused.
    pub fn text(&mut self, key: &str) -> Option<&'t str> {
        let node = self.get(key)?;
        match &node.data {
            Data::Text(text) => Some(text),
            Data::Function(name) => {
                self.refuse(key, Some(node), python(name));
                None
            }
            _ => {
                self.refuse(key, Some(node), "is not a text");
                None
            }
        }
    }

    /// The whole number of a key, at least 0; what else stands there is refused.
    pub fn count(&mut self, key: &str) -> Option<u32> {
        let node = self.get(key)?;
        let count = match node.data {
            Data::Integer(number) => u32::try_from(number).ok(),
            _ => None,
        };
        if count.is_none() {
            self.refuse(key, Some(node), "is not a number from 0 up");
        }
        count
    }
}

/// What is said of every Python function.
pub(super) fn python(name: &str) -> String {
    format!("the Python function {name}")
}
