//! Prompts made as long as they shall be. How many tokens a text has only the model's vocabulary knows, so that whoever
//! asks for prompts counts: a few texts of each round at the guessed size, until each is at most as long as asked for
//! and cannot well be longer.

use serde::Serialize;

use super::table::{Cell, Haystack};
use super::tasks::{Draft, bounds, draft};

/// Counts the tokens of each text.
pub type Count<'a, E> = dyn FnMut(&[String]) -> Result<Vec<u64>, E> + 'a;

/// A finished prompt is at least this share of its length, in percent.
const FULL: u64 = 98;
/// Guesses aim at this, in thousandths.
const AIM: u64 = 993;
/// Guesses after which what fits best is taken.
const ROUNDS: usize = 16;

/// A row of the data file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// `KIND/LENGTH/DEPTH/NUMBER`.
    pub id: String,
    /// Kind of task.
    pub kind: &'static str,
    /// Tokens asked for, the answer's among them.
    pub length: u32,
    /// Where what is asked for stands, in percent; absent where it stands in many places.
    pub depth: Option<u32>,
    /// Tokens of prompt and lead.
    pub tokens: u64,
    /// All up to where the answer begins.
    pub prompt: String,
    /// How the answer begins, for models that continue a text.
    pub lead: String,
    /// What the answer should hold.
    pub answers: Vec<String>,
}

/// A prompt that is being made.
struct Making {
    cell: Cell,
    /// Tokens it may have.
    most: u64,
    /// The fullest that fits: pieces and tokens.
    fits: Option<(usize, u64)>,
    /// The least that does not fit.
    over: Option<(usize, u64)>,
    /// What is counted next.
    next: Option<usize>,
}

/// All prompts of a table, in its order, `reserved` tokens below their lengths. Those for which there is no room, not
/// even with the least haystack, are left out.
///
/// # Errors
/// Those of `count`.
pub fn fill<E>(haystack: &Haystack, reserved: u32, count: &mut Count<'_, E>) -> Result<Vec<Row>, E> {
    let seed = haystack.seed;
    let mut all: Vec<Making> = haystack.cells().into_iter().map(|cell| Making::new(cell, reserved)).collect();
    for _ in 0..ROUNDS {
        let open: Vec<&mut Making> = all.iter_mut().filter(|making| making.next.is_some()).collect();
        if open.is_empty() {
            break;
        }
        let text = |making: &&mut Making| draft(seed, &making.cell, making.next.unwrap_or(0)).text();
        let texts: Vec<String> = open.iter().map(text).collect();
        for (making, tokens) in open.into_iter().zip(count(&texts)?) {
            making.learn(tokens);
        }
    }
    let row = |making: Making| {
        let (pieces, tokens) = making.fits?;
        let Draft { prompt, lead, answers } = draft(seed, &making.cell, pieces);
        let Cell { kind, length, depth, .. } = making.cell;
        let (id, kind) = (making.cell.id(), kind.word());
        Some(Row { id, kind, length, depth, tokens, prompt, lead, answers })
    };
    Ok(all.into_iter().filter_map(row).collect())
}

impl Draft {
    fn text(&self) -> String {
        format!("{}{}", self.prompt, self.lead)
    }
}

impl Making {
    fn new(cell: Cell, reserved: u32) -> Self {
        let most = u64::from(cell.length.saturating_sub(reserved));
        Self { cell, most, fits: None, over: None, next: Some(bounds(cell.kind).0) }
    }

    /// Takes in how many tokens the last guess has, and makes the next.
    fn learn(&mut self, tokens: u64) {
        let Some(pieces) = self.next.take() else { return };
        let before = self.fits.or(self.over);
        if tokens <= self.most {
            self.fits = Some((pieces, tokens));
        } else {
            self.over = Some((pieces, tokens));
        }
        let Some(fits) = self.fits else { return };
        let full = fits.1 * 100 >= self.most * FULL;
        let no_other = self.over.is_some_and(|over| over.0 <= fits.0 + 1);
        if full || no_other {
            return;
        }
        let (from, to) = match (self.over, before) {
            (Some(over), _) => (fits, over),
            (None, Some(before)) if before.0 < fits.0 => (before, fits),
            // The first count: a second at twice the size says what a piece takes.
            _ => return self.guess(fits.0 * 2),
        };
        let pieces = (to.0 - from.0) as u64;
        let tokens = to.1.saturating_sub(from.1).max(1);
        let missing = (self.most * AIM / 1000).saturating_sub(fits.1);
        let more = usize::try_from(missing.saturating_mul(pieces) / tokens).unwrap_or(usize::MAX);
        self.guess(fits.0.saturating_add(more.max(1)));
    }

    /// The next to be counted, between what fits and what does not.
    fn guess(&mut self, pieces: usize) {
        let least = self.fits.map_or(0, |fits| fits.0 + 1);
        let most = self.over.map_or(bounds(self.cell.kind).1, |over| over.0 - 1);
        self.next = (least <= most).then(|| pieces.clamp(least, most));
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;
    use crate::plan::haystack::Kind;

    /// A vocabulary of pieces of so many bytes, words apart.
    fn counted(texts: &[String], bytes: usize) -> Vec<u64> {
        let tokens =
            |text: &String| text.split_inclusive(' ').map(|word| word.len().div_ceil(bytes) as u64).sum();
        texts.iter().map(tokens).collect()
    }

    fn filled(haystack: &Haystack, reserved: u32, bytes: usize) -> (Vec<Row>, usize) {
        let mut rounds = 0;
        let rows = fill::<Infallible>(haystack, reserved, &mut |texts| {
            rounds += 1;
            Ok(counted(texts, bytes))
        });
        (rows.expect("made"), rounds)
    }

    #[test]
    fn every_kind_fills_its_length_and_the_same_again() {
        let haystack = Haystack {
            kinds: Kind::ALL.to_vec(),
            lengths: vec![1024, 4096, 16_384],
            depths: vec![0, 100],
            items: 1,
            seed: 7,
        };
        for bytes in [3, 5] {
            let (rows, rounds) = filled(&haystack, 48, bytes);
            assert_eq!(rows.len(), 7 * 3 * 2);
            assert!(rounds <= 8, "{rounds}");
            for row in &rows {
                let most = u64::from(row.length - 48);
                assert_eq!(counted(&[format!("{}{}", row.prompt, row.lead)], bytes), [row.tokens]);
                assert!(
                    row.tokens <= most && row.tokens * 100 >= most * 96,
                    "{}: {} of {most}",
                    row.id,
                    row.tokens
                );
                assert!(row.length < 4096 || row.tokens * 100 >= most * FULL, "{}: {}", row.id, row.tokens);
            }
            assert_eq!(filled(&haystack, 48, bytes).0, rows);
        }
    }

    #[test]
    fn what_cannot_be_that_short_is_left_out() {
        let haystack = Haystack {
            kinds: vec![Kind::CommonWords, Kind::Needle],
            lengths: vec![300],
            ..Haystack::default()
        };
        let (rows, _) = filled(&haystack, 10, 1);
        assert!(rows.iter().all(|row| row.tokens <= 290));
        assert!(rows.is_empty(), "{rows:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn no_prompt_is_longer_than_asked_for(length in 600_u32..3000, reserved in 1_u32..200, bytes in 1_usize..7, seed in 0_u64..9) {
            let haystack = Haystack { kinds: Kind::ALL.to_vec(), lengths: vec![length], depths: vec![33], items: 1, seed };
            for row in filled(&haystack, reserved, bytes).0 {
                prop_assert!(row.tokens + u64::from(reserved) <= u64::from(length), "{}", row.id);
            }
        }
    }
}
