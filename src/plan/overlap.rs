//! How much of one text is in another. An importance matrix must not be computed with the text that variants are
//! judged by: they would look better than they are.
//!
//! Texts are compared by all their windows of 50 letters and digits, case, spaces and punctuation apart, so that
//! other line breaks or quotation marks hide nothing, and scripts without spaces work too. Two texts that share
//! such a window share a sentence.

use std::collections::HashSet;

/// Letters and digits in a window: eight to twelve English words.
const WINDOW: usize = 50;
/// Base of the rolling hash (modulo 2^64): odd and large.
const BASE: u64 = 0x9e37_79b9_7f4a_7c15;

/// Share of shared windows beyond which texts count as overlapping: a quotation or a licence's phrase is below it.
pub const MOST_SHARED: f64 = 0.001;

/// What two texts share.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overlap {
    /// Windows of the judged text.
    pub windows: u64,
    /// Those that are in the other text too.
    pub shared: u64,
    /// The first of them, as letters and digits.
    pub example: Option<String>,
}

impl Overlap {
    /// Shared windows as a share of the judged text's; 0 for a text without letters.
    pub fn share(&self) -> f64 {
        if self.windows == 0 { 0.0 } else { self.shared as f64 / self.windows as f64 }
    }

    /// Whether this is more than chance and quotation.
    pub fn is_overlap(&self) -> bool {
        self.share() > MOST_SHARED
    }
}

/// A text that several others are compared with.
#[derive(Debug)]
pub struct Known(HashSet<u64>);

impl Known {
    /// Takes all its windows.
    pub fn new(text: &str) -> Self {
        Self(hashes(&letters(text), WINDOW).collect())
    }

    /// How much of `judged` is in it. A text shorter than a window shares nothing: short phrases are everywhere.
    pub fn overlap(&self, judged: &str) -> Overlap {
        shared(&self.0, &letters(judged), WINDOW)
    }
}

/// How much of `judged` is in `other`. A judged text shorter than a window is one window of its own length.
pub fn overlap(other: &str, judged: &str) -> Overlap {
    let (other, judged) = (letters(other), letters(judged));
    let width = WINDOW.min(judged.len());
    if width == 0 {
        return Overlap::default();
    }
    shared(&hashes(&other, width).collect(), &judged, width)
}

/// Windows of `judged` that are known.
fn shared(known: &HashSet<u64>, judged: &[char], width: usize) -> Overlap {
    let mut found = Overlap::default();
    for (start, hash) in hashes(judged, width).enumerate() {
        found.windows += 1;
        if known.contains(&hash) {
            found.shared += 1;
            let text = || judged.iter().skip(start).take(width).collect();
            found.example.get_or_insert_with(text);
        }
    }
    found
}

/// Letters and digits, in lower case.
fn letters(text: &str) -> Vec<char> {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Hashes of all windows of `width` characters, rolled from one to the next.
fn hashes(text: &[char], width: usize) -> impl Iterator<Item = u64> {
    // What the character that leaves the window has been multiplied by.
    let leaving = (0..width).fold(1_u64, |power, _| power.wrapping_mul(BASE));
    let roll = |hash: u64, c: char| hash.wrapping_mul(BASE).wrapping_add(spread(c));
    let (head, rest) = text.split_at(width.min(text.len()));
    let first = (head.len() == width).then(|| head.iter().fold(0, |hash, c| roll(hash, *c)));
    let rolled = rest.iter().zip(text).scan(first.unwrap_or(0), move |hash, (enters, leaves)| {
        *hash = roll(*hash, *enters).wrapping_sub(leaving.wrapping_mul(spread(*leaves)));
        Some(*hash)
    });
    first.into_iter().chain(rolled)
}

/// A character as a number with all its bits in play.
fn spread(c: char) -> u64 {
    let mixed = (u64::from(c) + 1).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: &str = "Call me Ishmael. Some years ago, never mind how long precisely, having little or no money \
                     in my purse, and nothing particular to interest me on shore, I thought I would sail about.";
    const B: &str = "Little though they seem to think of it, the people of this twenty-ninth century live \
                     continually in fairyland. Surfeited as they are with marvels, they are indifferent.";

    #[test]
    fn a_text_is_in_itself_however_it_is_set() {
        let set = A.to_uppercase().replace(' ', "\n\n").replace('.', " — ");
        let found = overlap(&set, A);
        assert_eq!(found.shared, found.windows);
        assert!(found.windows > 50 && found.is_overlap());
        assert_eq!(found.example.as_deref().map(|e| &e[..14]), Some("callmeishmaels"));
    }

    #[test]
    fn texts_of_their_own_share_nothing() {
        let found = overlap(A, B);
        assert_eq!((found.shared, &found.example), (0, &None));
        assert!(!found.is_overlap());
    }

    #[test]
    fn the_share_is_of_the_judged_text() {
        let both = format!("{B} {A}");
        assert!(overlap(&both, A).share() > 0.999);
        let found = overlap(A, &both).share();
        assert!((0.3..0.7).contains(&found), "{found}");
    }

    #[test]
    fn short_and_empty_texts() {
        let counts = |other, judged| (overlap(other, judged).shared, overlap(other, judged).windows);
        assert_eq!(counts(A, "Ishmael"), (1, 1));
        assert_eq!(counts(A, "Ahab"), (0, 1));
        for (other, judged) in [("", ""), (A, ""), (A, " .,"), ("", A), ("short", A)] {
            assert_eq!(counts(other, judged).0, 0, "{other:?} {judged:?}");
            assert!(!overlap(other, judged).is_overlap());
        }
    }

    #[test]
    fn scripts_without_spaces_work() {
        let text: String = ('一'..='龥').step_by(37).collect();
        let found = overlap(&text, &text);
        assert!(found.windows > 500 && found.shared == found.windows);
        let other: String = ('一'..='龥').step_by(41).collect();
        assert_eq!(overlap(&other, &text).shared, 0);
    }

    proptest! {
        #[test]
        fn rolling_finds_what_comparing_finds(a in "[ab ]{0,90}", b in "[ab ]{0,90}") {
            let (la, lb) = (letters(&a), letters(&b));
            let width = WINDOW.min(lb.len());
            let plain = |window: &[char]| width > 0 && la.windows(width).any(|w| w == window);
            let shared = if width == 0 { 0 } else { lb.windows(width).filter(|w| plain(w)).count() as u64 };
            prop_assert_eq!(overlap(&a, &b).shared, shared);
        }
    }
}
