//! The `[haystack]` table of a suite file.

use serde::{Deserialize, Serialize};

/// Least tokens of a prompt with its answer: below there is no haystack.
const LEAST: u32 = 256;
/// Most tokens of a prompt with its answer.
const MOST: u32 = 4 << 20;
/// Most prompts of a suite.
const MOST_ITEMS: u64 = 10_000;
/// Most tokens of all prompts together: a file of some gigabytes helps nobody.
const MOST_TOKENS: u64 = 128 << 20;

/// A kind of task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// One number in plain text.
    Needle,
    /// One number among as many others as there is room for.
    MultiKey,
    /// Four numbers of the same thing.
    MultiValue,
    /// Numbers of four things, all asked for.
    MultiQuery,
    /// Variables that were given to each other.
    VariableTracking,
    /// The words of a list that stand in it most often.
    CommonWords,
    /// The three most frequent of coined words.
    FrequentWords,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Needle,
        Self::MultiKey,
        Self::MultiValue,
        Self::MultiQuery,
        Self::VariableTracking,
        Self::CommonWords,
        Self::FrequentWords,
    ];

    /// As in the suite file and the tables.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Needle => "needle",
            Self::MultiKey => "multi_key",
            Self::MultiValue => "multi_value",
            Self::MultiQuery => "multi_query",
            Self::VariableTracking => "variable_tracking",
            Self::CommonWords => "common_words",
            Self::FrequentWords => "frequent_words",
        }
    }

    /// Whether what is asked for stands in one place.
    #[must_use]
    pub fn has_depth(self) -> bool {
        matches!(self, Self::Needle | Self::MultiKey)
    }
}

/// What is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Haystack {
    /// Seed of all that is drawn.
    pub seed: u64,
    /// Kinds of task.
    pub kinds: Vec<Kind>,
    /// Tokens of a prompt with its answer.
    pub lengths: Vec<u32>,
    /// Where what is asked for stands, in percent of the haystack; of kinds that have one place for it.
    pub depths: Vec<u32>,
    /// Prompts of each kind, length and depth; of a kind without depths as many as with all of them.
    pub items: u32,
}

impl Default for Haystack {
    fn default() -> Self {
        Self {
            seed: 1,
            kinds: vec![Kind::Needle, Kind::MultiKey, Kind::VariableTracking, Kind::CommonWords],
            lengths: vec![1024, 4096, 16_384, 65_536],
            depths: vec![0, 25, 50, 75, 100],
            items: 2,
        }
    }
}

/// A prompt to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cell {
    pub kind: Kind,
    pub length: u32,
    /// In percent.
    pub depth: Option<u32>,
    /// Of its kind, length and depth, from 0.
    pub index: u32,
}

impl Haystack {
    /// What is wrong with it: the fault, after "has", and what to do.
    pub fn check(&self, answer: u32) -> Result<(), (String, &'static str)> {
        for (what, empty) in [
            ("kinds", self.kinds.is_empty()),
            ("lengths", self.lengths.is_empty()),
            ("depths", self.depths.is_empty()),
            ("items", self.items == 0),
        ] {
            if empty {
                return Err((format!("a haystack without {what}"), "leave it out for the default"));
            }
        }
        let twice = |all: &[u32]| all.iter().enumerate().any(|(i, one)| all.iter().take(i).any(|o| o == one));
        let kinds: Vec<u32> = self.kinds.iter().map(|kind| *kind as u32).collect();
        if twice(&kinds) || twice(&self.lengths) || twice(&self.depths) {
            return Err((
                "a kind, length or depth twice in its haystack".to_owned(),
                "leave one of them out",
            ));
        }
        let least = LEAST + answer;
        if let Some(length) = self.lengths.iter().find(|length| !(least..=MOST).contains(length)) {
            let fault = format!("a haystack of {length} tokens, which is not between {least} and {MOST}");
            return Err((fault, "the answer's tokens are part of a length; correct `lengths` or `tokens`"));
        }
        if let Some(depth) = self.depths.iter().find(|depth| **depth > 100) {
            return Err((format!("a depth of {depth}"), "depths are percent, from 0 to 100"));
        }
        let each = u64::from(self.items) * self.depths.len() as u64 * self.kinds.len() as u64;
        let tokens: u64 = self.lengths.iter().map(|length| u64::from(*length) * each).sum();
        if each * self.lengths.len() as u64 > MOST_ITEMS || tokens > MOST_TOKENS {
            let fault = format!(
                "{} prompts of {tokens} tokens in all; at most {MOST_ITEMS} and {MOST_TOKENS} are possible",
                each * self.lengths.len() as u64
            );
            return Err((fault, "lower `items`, or leave out lengths"));
        }
        Ok(())
    }

    /// Tokens of the longest prompt with its answer.
    #[must_use]
    pub fn longest(&self) -> u32 {
        self.lengths.iter().copied().max().unwrap_or(0)
    }

    /// Everything that is to be made, in the order of the file.
    pub(super) fn cells(&self) -> Vec<Cell> {
        let mut cells = Vec::new();
        for kind in &self.kinds {
            for length in &self.lengths {
                let cell = |depth, index| Cell { kind: *kind, length: *length, depth, index };
                if kind.has_depth() {
                    let of = |index| self.depths.iter().map(move |depth| cell(Some(*depth), index));
                    cells.extend((0..self.items).flat_map(of));
                } else {
                    let count = self.items.saturating_mul(self.depths.len() as u32);
                    cells.extend((0..count).map(|index| cell(None, index)));
                }
            }
        }
        cells
    }
}

impl Cell {
    /// `needle/4096/50/0`; without a depth a dash stands for it.
    pub fn id(&self) -> String {
        let depth = self.depth.map_or("-".to_owned(), |depth| depth.to_string());
        format!("{}/{}/{depth}/{}", self.kind.word(), self.length, self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said() {
        assert_eq!(Haystack::default().check(48), Ok(()));
        let fault = |change: fn(&mut Haystack)| {
            let mut haystack = Haystack::default();
            change(&mut haystack);
            haystack.check(48).expect_err("wrong").0
        };
        assert!(fault(|h| h.kinds.clear()).contains("without kinds"));
        assert!(fault(|h| h.items = 0).contains("without items"));
        assert!(fault(|h| h.lengths.push(100)).contains("100 tokens, which is not between 304"));
        assert!(fault(|h| h.lengths.push(1024)).contains("twice"));
        assert!(fault(|h| h.depths.push(101)).contains("a depth of 101"));
        assert!(fault(|h| h.items = 5000).contains("prompts"));
        assert!(fault(|h| h.lengths.push(1 << 22)).contains("tokens in all"));
    }

    #[test]
    fn kinds_without_a_depth_have_as_many_prompts() {
        let haystack = Haystack { lengths: vec![1024], ..Haystack::default() };
        let cells = haystack.cells();
        for kind in &haystack.kinds {
            assert_eq!(cells.iter().filter(|cell| cell.kind == *kind).count(), 10, "{kind:?}");
        }
        assert_eq!(cells[1].id(), "needle/1024/25/0");
        assert_eq!(cells.last().map(Cell::id).as_deref(), Some("common_words/1024/-/9"));
    }
}
