//! Which blocks of a model a rule of a recipe is for: `0-3,26-`, `first 4`, `last 4`. Blocks are counted from 0, and how
//! many there are is known only when there is a base.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Most blocks a model may have for llama.cpp (`LLAMA_MAX_LAYERS`); larger numbers are slips.
const MOST: u64 = 512;

/// A selection of blocks, as written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Layers {
    text: String,
    spans: Vec<Span>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Span {
    /// From the first number to the last, both included.
    Between(u64, u64),
    /// From a number on.
    From(u64),
    /// So many at the beginning.
    First(u64),
    /// So many at the end.
    Last(u64),
}

impl TryFrom<String> for Layers {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let spans = text.split(',').map(str::trim).map(span).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { text, spans })
    }
}

impl From<Layers> for String {
    fn from(layers: Layers) -> Self {
        layers.text
    }
}

impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

fn span(text: &str) -> Result<Span, String> {
    let wrong =
        || format!("{text:?} selects no layers; write 3, 0-3, 26-, first 4 or last 4, separated by commas");
    let number = |text: &str| text.trim().parse::<u64>().ok().filter(|n| *n < MOST).ok_or_else(wrong);
    for (word, of) in [("first ", Span::First as fn(u64) -> Span), ("last ", Span::Last)] {
        if let Some(count) = text.strip_prefix(word) {
            return number(count).and_then(|n| if n == 0 { Err(wrong()) } else { Ok(of(n)) });
        }
    }
    match text.split_once('-') {
        Some((from, "")) => Ok(Span::From(number(from)?)),
        Some((from, to)) => {
            let (from, to) = (number(from)?, number(to)?);
            if from <= to { Ok(Span::Between(from, to)) } else { Err(wrong()) }
        }
        None => number(text).map(|n| Span::Between(n, n)),
    }
}

impl Layers {
    /// The blocks of a model that has `blocks` of them, in order and each once.
    ///
    /// # Errors
    /// A sentence, if a number is beyond the last block.
    pub fn of(&self, blocks: u64) -> Result<Vec<u64>, String> {
        let mut all = Vec::new();
        for span in &self.spans {
            let (from, to) = match *span {
                Span::Between(from, to) => (from, to + 1),
                Span::From(from) => (from, blocks.max(from + 1)),
                Span::First(count) => (0, count),
                Span::Last(count) => (blocks.saturating_sub(count), blocks.max(count)),
            };
            if to > blocks {
                let last = blocks.saturating_sub(1);
                return Err(format!(
                    "layers {:?} go beyond the model's {blocks} blocks (0 to {last})",
                    self.text
                ));
            }
            all.extend(from..to);
        }
        all.sort_unstable();
        all.dedup();
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(text: &str, blocks: u64) -> Result<Vec<u64>, String> {
        Layers::try_from(text.to_owned())?.of(blocks)
    }

    #[test]
    fn selections() {
        assert_eq!(of("0-3,26-", 30), Ok(vec![0, 1, 2, 3, 26, 27, 28, 29]));
        assert_eq!(of("first 2, last 1", 4), Ok(vec![0, 1, 3]));
        assert_eq!(of("2,1,2", 4), Ok(vec![1, 2]));
    }

    #[test]
    fn what_selects_nothing_is_refused() {
        for text in ["", "a", "3-1", "-4", "last 0", "0-3,", "1--2", "512", "99999999999999999999"] {
            assert!(of(text, 600).is_err(), "{text}");
        }
        for text in ["4", "0-4", "4-", "first 5", "last 5"] {
            assert!(of(text, 4).expect_err(text).contains("4 blocks (0 to 3)"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_refused(text in "[0-9a-z, -]{0,20}", blocks in 0_u64..100) {
            if let Ok(numbers) = of(&text, blocks) {
                prop_assert!(!numbers.is_empty());
                prop_assert!(numbers.is_sorted_by(|a, b| a < b));
                prop_assert!(numbers.iter().all(|n| *n < blocks));
            }
        }

        #[test]
        fn a_selection_survives_a_round_trip(from in 0_u64..40, more in 0_u64..40, open in 0_u64..60) {
            let text = format!("{from}-{},{open}-", from + more);
            let layers = Layers::try_from(text.clone()).expect("valid");
            prop_assert_eq!(layers.to_string(), text);
            let expected: Vec<u64> = (0..100).filter(|n| (from..=from + more).contains(n) || *n >= open).collect();
            prop_assert_eq!(layers.of(100), Ok(expected));
        }
    }
}
