//! The words between which a sentence may end, as the Punkt algorithm cuts and types them.

use super::words::{is_digit, is_word};

/// What stands for every number.
const NUMBER: &str = "##number##";

/// A word and what the algorithm knows about it.
#[derive(Debug)]
pub(super) struct Token {
    pub text: String,
    /// In small letters; all numbers are one type.
    kind: String,
    /// Whether a sentence ends with it.
    pub ends_sentence: bool,
    pub abbreviation: bool,
    pub ellipsis: bool,
}

impl Token {
    fn new(text: String) -> Self {
        let lower = text.to_lowercase();
        let kind = if is_number(&lower) { NUMBER.to_owned() } else { lower };
        Self { text, kind, ends_sentence: false, abbreviation: false, ellipsis: false }
    }

    pub fn has_final_period(&self) -> bool {
        self.text.ends_with('.')
    }

    pub fn is_ellipsis(&self) -> bool {
        self.text.len() > 1 && self.text.bytes().all(|b| b == b'.')
    }

    pub fn is_number(&self) -> bool {
        self.kind == NUMBER
    }

    /// One letter and a period.
    pub fn is_initial(&self) -> bool {
        let mut chars = self.text.chars();
        chars.next().is_some_and(|c| is_word(c) && !is_digit(c)) && chars.as_str() == "."
    }

    pub fn begins_upper(&self) -> bool {
        self.text.chars().next().is_some_and(char::is_uppercase)
    }

    pub fn begins_lower(&self) -> bool {
        self.text.chars().next().is_some_and(char::is_lowercase)
    }

    /// The type without a final period.
    pub fn bare_kind(&self) -> &str {
        match self.kind.strip_suffix('.') {
            Some(bare) if !bare.is_empty() => bare,
            _ => &self.kind,
        }
    }

    /// The type without the period that ends a sentence, if it is marked as ending one.
    pub fn kind_in_sentence(&self) -> &str {
        if self.ends_sentence { self.bare_kind() } else { &self.kind }
    }
}

/// A sign, a decimal mark, then digits and marks from a digit on.
fn is_number(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let text = text.strip_prefix(['.', ',']).unwrap_or(text);
    text.starts_with(is_digit) && text.chars().all(|c| is_digit(c) || matches!(c, ',' | '.' | '-'))
}

/// Cuts a text into tokens; punctuation other than the period stands alone.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    text.split('\n').flat_map(line_tokens).collect()
}

fn line_tokens(line: &str) -> Vec<Token> {
    let chars: Vec<char> = line.chars().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = chars.get(at..).filter(|rest| !rest.is_empty()) {
        let length = run(rest).unwrap_or_else(|| word(rest));
        let taken = rest.get(..length.max(1)).unwrap_or(rest);
        if length > 0 {
            found.push(Token::new(taken.iter().collect()));
        }
        at += taken.len();
    }
    found
}

/// Length of a run of hyphens, of periods, or of periods with a space after each but the last.
fn run(chars: &[char]) -> Option<usize> {
    let same = |wanted: char| chars.iter().take_while(|c| **c == wanted).count();
    let length = same('-').max(same('.'));
    if length >= 2 {
        return Some(length);
    }
    let pairs =
        chars.chunks(2).take_while(|pair| matches!(pair, ['.', space] if space.is_whitespace())).count();
    let period_follows = chars.get(2 * pairs) == Some(&'.');
    let pairs = if period_follows { pairs } else { pairs.saturating_sub(1) };
    (pairs >= 2).then_some(2 * pairs + 1)
}

/// Length of the word that begins here; 0 for white space.
fn word(chars: &[char]) -> usize {
    match chars.first() {
        Some(c) if c.is_whitespace() => 0,
        Some(
            '(' | '"' | '`' | '{' | '[' | ':' | ';' | '&' | '#' | '*' | '@' | ')' | '}' | ']' | '-' | ',',
        ) => 1,
        _ => {
            (1..chars.len()).find(|at| word_ends(chars.get(*at..).unwrap_or_default())).unwrap_or(chars.len())
        }
    }
}

fn word_ends(rest: &[char]) -> bool {
    let stops = |rest: &[char]| {
        rest.first().is_none_or(|c| c.is_whitespace() || is_closing(*c)) || run(rest).is_some()
    };
    stops(rest) || matches!(rest, [',', after @ ..] if stops(after))
}

/// Characters that no word has inside of it.
pub(super) fn is_closing(c: char) -> bool {
    matches!(c, ')' | '"' | ';' | '}' | ']' | '*' | ':' | '@' | '\'' | '(' | '{' | '[' | '?' | '!')
        || matches!(c, '\u{2018}' | '\u{2019}' | '\u{201c}' | '\u{201d}' | '\u{ab}' | '\u{bb}')
}
