//! Where sentences end: the Punkt algorithm (Kiss and Strunk 2006), which asks of every period whether it belongs to
//! an abbreviation, an initial or a number, and what usually follows.
//!
//! What it knows of English comes as parameters. Those that the reference scorers use were learnt from a newspaper
//! corpus and are nobody's to pass on; [`Punkt::parse`] reads them where they have been fetched. [`Punkt::own`] knows
//! the common abbreviations and no more.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::token::{Token, is_closing, tokens};
use crate::answers::error::AnswerError;

/// Seen inside of a sentence with a capital.
const MIDDLE_UPPER: u32 = 1 << 2;
/// Seen with a capital: at a sentence's beginning, inside, or not known where.
const ANY_UPPER: u32 = 0b1110;
/// Seen at a sentence's beginning with a small letter.
const BEGIN_LOWER: u32 = 1 << 4;
/// Seen with a small letter.
const ANY_LOWER: u32 = 0b111_0000;

/// Abbreviations that a text of any kind may have, without their period.
const ABBREVIATIONS: &str = "adm approx apr aug ave b.c a.d blvd capt cf co col corp dec dept dr e.g esp est etc feb \
    fig ft gen gov hon i.e inc jan jr lt ltd maj messrs mr mrs ms mt nov oct p.m a.m ph.d prof rep reps rev sen sept \
    sgt sr st u.k u.n u.s u.s.a vol vs";

/// Words that begin a sentence more often than not.
const STARTERS: &str = "although and as at but during each even for he however i if in indeed instead it its many \
    meanwhile moreover most nevertheless on one others she since so some such that the then there therefore these they \
    this those though thus we what when while yet you";

/// A sentence splitter with what it knows of a language.
#[derive(Debug, Clone, Default)]
pub struct Punkt {
    abbreviations: HashSet<String>,
    /// A word before a period and one after it, of which the first is then an abbreviation.
    collocations: HashSet<(String, String)>,
    starters: HashSet<String>,
    /// Where and how each word was seen.
    orthography: HashMap<String, u32>,
}

/// A character after which a sentence may end.
struct Candidate {
    at: usize,
    /// Where the word before it begins.
    word: usize,
    /// Where the token after it begins and ends; it begins behind white space, or at once.
    next: Range<usize>,
}

impl Punkt {
    /// A splitter that knows common English abbreviations and how sentences often begin.
    pub fn own() -> Self {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        let mut abbreviations: HashSet<String> = words(ABBREVIATIONS);
        // An ellipsis with spaces in it, without its last period.
        abbreviations.insert(". .".to_owned());
        Self { abbreviations, starters: words(STARTERS), ..Self::default() }
    }

    /// Reads the four files of `punkt_tab/english`: `abbrev_types.txt`, `collocations.tab`, `sent_starters.txt` and
    /// `ortho_context.tab`.
    ///
    /// # Errors
    /// If a line is not what the file holds.
    pub fn parse(
        abbreviations: &str,
        collocations: &str,
        starters: &str,
        orthography: &str,
    ) -> Result<Self, AnswerError> {
        let set = |text: &str| text.lines().map(str::to_owned).collect();
        let pair = |line: &str| line.split_once('\t').map(|(a, b)| (a.to_owned(), b.to_owned()));
        let seen = |line: &str| {
            let (word, flags) = line.split_once('\t')?;
            Some((word.to_owned(), flags.parse().ok()?))
        };
        Ok(Self {
            abbreviations: set(abbreviations),
            collocations: rows("collocations.tab", collocations, "is not two words", pair)?,
            starters: set(starters),
            orthography: rows("ortho_context.tab", orthography, "is not a word and a number", seen)?,
        })
    }

    /// The sentences of a text.
    pub fn split<'t>(&self, text: &'t str) -> Vec<&'t str> {
        let chars: Vec<char> = text.chars().collect();
        let mut starts: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        starts.push(text.len());
        let byte = |at: usize| starts.get(at).copied().unwrap_or(text.len());
        let whole = realigned(&chars, &self.slices(&chars));
        whole.into_iter().map(|s| text.get(byte(s.start)..byte(s.end)).unwrap_or_default()).collect()
    }

    /// The sentences before closing marks are given to the sentence that they close.
    fn slices(&self, chars: &[char]) -> Vec<Range<usize>> {
        let mut slices = Vec::new();
        let mut begin = 0;
        for candidate in candidates(chars) {
            let context: String =
                chars.get(candidate.word..candidate.next.end).unwrap_or_default().iter().collect();
            if self.has_break(&context) {
                slices.push(begin..candidate.at + 1);
                begin = candidate.next.start;
            }
        }
        let end =
            chars.iter().rposition(|c| !crate::answers::python::is_space(*c)).map_or(0, |last| last + 1);
        slices.push(begin..end);
        slices
    }

    /// Whether a sentence ends before the last word of a text.
    fn has_break(&self, text: &str) -> bool {
        let mut tokens = tokens(text);
        for token in &mut tokens {
            self.judge_alone(token);
        }
        (1..tokens.len()).any(|next| {
            let (before, after) = tokens.split_at_mut(next);
            match (before.last_mut(), after.first()) {
                (Some(token), Some(following)) => {
                    self.judge_with(token, following);
                    token.ends_sentence
                }
                _ => false,
            }
        })
    }

    fn judge_alone(&self, token: &mut Token) {
        if matches!(token.text.as_str(), "." | "?" | "!") {
            token.ends_sentence = true;
        } else if token.is_ellipsis() {
            token.ellipsis = true;
        } else if token.has_final_period() && !token.text.ends_with("..") {
            let bare = token.text.to_lowercase();
            let bare = bare.strip_suffix('.').unwrap_or(&bare);
            let last = bare.rsplit('-').next().unwrap_or(bare);
            token.abbreviation = self.abbreviations.contains(bare) || self.abbreviations.contains(last);
            token.ends_sentence = !token.abbreviation;
        }
    }

    fn judge_with(&self, token: &mut Token, next: &Token) {
        if !token.has_final_period() {
            return;
        }
        let following = next.kind_in_sentence();
        let initial = token.is_initial();
        if self.collocations.contains(&(token.bare_kind().to_owned(), following.to_owned())) {
            token.ends_sentence = false;
            return;
        }
        let begins = self.begins_sentence(next);
        if (token.abbreviation || token.ellipsis) && !initial {
            let starter = next.begins_upper() && self.starters.contains(following);
            if begins == Some(true) || starter {
                token.ends_sentence = true;
                return;
            }
        }
        if initial || token.is_number() {
            let never_small = self.seen(following) & ANY_LOWER == 0;
            let name = begins.is_none() && initial && next.begins_upper() && never_small;
            if begins == Some(false) || name {
                token.ends_sentence = false;
            }
        }
    }

    /// Whether a word begins a sentence, going by its case and the cases it was seen in; `None` if that says nothing.
    fn begins_sentence(&self, token: &Token) -> Option<bool> {
        if matches!(token.text.as_str(), ";" | ":" | "," | "." | "!" | "?") {
            return Some(false);
        }
        let seen = self.seen(token.kind_in_sentence());
        if token.begins_upper() && seen & ANY_LOWER != 0 && seen & MIDDLE_UPPER == 0 {
            return Some(true);
        }
        let never_first = seen & ANY_UPPER != 0 || seen & BEGIN_LOWER == 0;
        (token.begins_lower() && never_first).then_some(false)
    }

    fn seen(&self, kind: &str) -> u32 {
        self.orthography.get(kind).copied().unwrap_or(0)
    }
}

fn rows<T, C: FromIterator<T>>(
    file: &'static str,
    text: &str,
    reason: &'static str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<C, AnswerError> {
    let row = |(i, line)| read(line).ok_or(AnswerError::Parameters { file, line: i + 1, reason });
    text.lines().enumerate().map(row).collect()
}

/// The places where a sentence may end. Of several after the same word, the last.
fn candidates(chars: &[char]) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = Vec::new();
    for (at, c) in chars.iter().enumerate() {
        let Some(next) = (matches!(c, '.' | '?' | '!')).then(|| next_token(chars, at + 1)).flatten() else {
            continue;
        };
        let (from, word_before) = found.last().map_or((0, 0), |last| (last.at, last.word));
        let between = chars.get(from..at).unwrap_or_default();
        // White space right after the last candidate does not count, nor would it to the reference.
        let space = between.iter().rposition(|c| matches!(c, ' ' | '\t'..='\r')).filter(|space| *space > 0);
        let word = space.map_or(word_before, |space| from + space + 1);
        if found.last().is_some_and(|last| last.at > word) {
            found.pop();
        }
        found.push(Candidate { at, word, next });
    }
    found
}

/// The token behind a period: a closing mark at once, or a word behind white space.
fn next_token(chars: &[char], from: usize) -> Option<Range<usize>> {
    let rest = chars.get(from..)?;
    if is_closing(*rest.first()?) {
        return Some(from..from + 1);
    }
    let space = rest.iter().take_while(|c| c.is_whitespace()).count();
    let word = rest.get(space..)?.iter().take_while(|c| !c.is_whitespace()).count();
    (space > 0 && word > 0).then_some(from + space..from + space + word)
}

/// Gives closing marks at a sentence's beginning to the sentence before.
fn realigned(chars: &[char], slices: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut whole = Vec::new();
    let mut moved = 0;
    for (i, slice) in slices.iter().enumerate() {
        let slice = slice.start + moved..slice.end;
        let next = slices.get(i + 1);
        let marks = next.and_then(|next| closing_marks(chars.get(next.clone()).unwrap_or_default()));
        if let (Some(next), Some((marks, space))) = (next, marks) {
            whole.push(slice.start..next.start + marks);
            moved = marks + space;
            continue;
        }
        moved = 0;
        if slice.start < slice.end {
            whole.push(slice);
        }
    }
    whole
}

/// How many closing marks a text begins with, and the white space behind them, if nothing else follows at once.
fn closing_marks(chars: &[char]) -> Option<(usize, usize)> {
    let closes = |c: &char| {
        matches!(c, '"' | '\'' | ')' | ']' | '}' | '\u{2018}' | '\u{2019}' | '\u{201c}' | '\u{201d}')
            || matches!(c, '\u{ab}' | '\u{bb}')
    };
    let marks = chars.iter().take_while(|c| closes(c)).count();
    let rest = chars.get(marks..)?;
    let space = rest.iter().take_while(|c| c.is_whitespace()).count();
    let ends = rest.is_empty() || space > 0 || rest.starts_with(&['-', '-']);
    (marks > 0 && ends).then_some((marks, space))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What NLTK's splitter makes of these with its English parameters; here the common ones are enough.
    #[test]
    fn sentences_end_where_the_reference_ends_them() {
        let cases: &[(&str, &[&str])] = &[
            ("One. Two! Three?", &["One.", "Two!", "Three?"]),
            (
                "Mr. Stone left at 5 p.m. yesterday. He ran.",
                &["Mr. Stone left at 5 p.m. yesterday.", "He ran."],
            ),
            ("(Really.) Yes.", &["(Really.)", "Yes."]),
            ("He said \"Stop!\" and left.", &["He said \"Stop!\"", "and left."]),
            ("Version 2.0 is out", &["Version 2.0 is out"]),
            (
                "J. Miller wrote. It is 3.50... maybe more.",
                &["J. Miller wrote.", "It is 3.50... maybe more."],
            ),
            ("Go!!! Now", &["Go!!!", "Now"]),
            ("Yes.No.Maybe", &["Yes.No.Maybe"]),
            ("Wait . . . what", &["Wait .", ".", ".", "what"]),
            ("a\n\nb", &["a\n\nb"]),
            ("  \n", &[]),
            ("", &[]),
        ];
        for (text, sentences) in cases {
            assert_eq!(&Punkt::own().split(text), sentences, "{text:?}");
        }
    }

    #[test]
    fn fetched_parameters_decide() {
        let punkt =
            Punkt::parse("zyx\n", "##number##\tinc\n", "maybe\n", "stone\t36\nqueen\t6").expect("parses");
        assert_eq!(punkt.split("A zyx. Apple"), ["A zyx. Apple"], "an abbreviation");
        assert_eq!(punkt.split("A zyx. Stone"), ["A zyx. Stone"], "seen inside of sentences with a capital");
        assert_eq!(punkt.split("A zyx. Maybe"), ["A zyx.", "Maybe"], "a word that begins sentences");
        assert_eq!(punkt.split("In 12. Inc is"), ["In 12. Inc is"], "a collocation");
        assert_eq!(punkt.split("In 12. Ink is"), ["In 12.", "Ink is"]);
    }

    #[test]
    fn broken_parameters_are_named() {
        let error = Punkt::parse("", "a\tb\nab", "", "").expect_err("refused").to_string();
        assert_eq!(error, "collocations.tab of the sentence splitter's parameters, line 2: is not two words");
        assert!(Punkt::parse("", "", "", "a\tb").is_err());
    }

    proptest! {
        #[test]
        fn sentences_keep_all_but_white_space(text in "[a-cA-C .?!\"')\u{201d}\n-]{0,40}") {
            let bare = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            prop_assert_eq!(bare(&Punkt::own().split(&text).concat()), bare(&text));
        }
    }
}
