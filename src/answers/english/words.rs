//! Words: counted as runs of letters, or cut as the Penn Treebank does, which parts `CAN` from `NOT` and a possessive
//! from its owner. The second way is NLTK's `word_tokenize` (3.10), rule by rule, since a rule left out moves counts.

use std::sync::LazyLock;

use fancy_regex::Regex;

use super::sentences::Punkt;
use crate::answers::python;

/// Runs of word characters, marks of scripts such as Devanagari among them.
pub fn count(text: &str) -> usize {
    let mut inside = false;
    text.chars()
        .filter(|c| {
            let begins = is_word(*c) && !inside;
            inside = is_word(*c);
            begins
        })
        .count()
}

/// The words and marks of a text, sentence by sentence.
pub fn cut(text: &str, punkt: &Punkt) -> Vec<String> {
    punkt.split(text).into_iter().flat_map(cut_sentence).collect()
}

/// A letter, mark, digit, connector or joiner: Unicode's `\w`.
pub(super) fn is_word(c: char) -> bool {
    static WORD: LazyLock<regex::Regex> = LazyLock::new(|| class(r"^\w$"));
    if c.is_ascii() {
        c.is_ascii_alphanumeric() || c == '_'
    } else {
        WORD.is_match(c.encode_utf8(&mut [0; 4]))
    }
}

/// A decimal digit of any script.
pub(super) fn is_digit(c: char) -> bool {
    static DIGIT: LazyLock<regex::Regex> = LazyLock::new(|| class(r"^\d$"));
    if c.is_ascii() { c.is_ascii_digit() } else { DIGIT.is_match(c.encode_utf8(&mut [0; 4])) }
}

#[expect(clippy::expect_used, reason = "constants, compiled by every test")]
fn class(pattern: &str) -> regex::Regex {
    regex::Regex::new(pattern).expect("compiles")
}

/// What is looked for and what stands instead of it.
type Rule = (&'static str, &'static str);

/// In order; most set something apart with spaces.
const OPENING: [Rule; 19] = [
    // Opening quotation marks.
    ("[«“‘„]|`+", " $0 "),
    (r#"\A""#, "``"),
    ("``", " $0 "),
    (r#"([ (\[{<])(?:"|'')"#, "$1 `` "),
    (r"(?i)(?<!\w)'(?!(?:re|ve|ll|m|t|s|d|n)\b)(?=\w)", "' "),
    // The final period, with what closes after it, and other punctuation.
    (r#"([^.])\.([\])}>"'»”’ ]*)\s*\z"#, "$1 . $2 "),
    (r"([:,])([^\d])", " $1 $2"),
    (r"[:,]\z", " $0 "),
    (r"\.{2,}", " $0 "),
    ("[;@#$%&]", " $0 "),
    (r"[\x{2012}-\x{2015}]", " $0 "),
    (r#"([^.])\.([\])}>"']*)\s*\z"#, "$1 .$2 "),
    ("[?!]", " $0 "),
    ("([^'])' ", "$1 ' "),
    (r"\*", " $0 "),
    (r"[\]\[(){}<>]", " $0 "),
    ("--", " $0 "),
    // Room for the rules that want a space.
    (r"\A", " "),
    (r"\z", " "),
];

const CLOSING: [Rule; 16] = [
    ("[»”’]", " $0 "),
    ("''", " $0 "),
    ("\"", " '' "),
    (r"\s+", " "),
    // Possessives and contractions.
    ("([^' ])('[sSmMdD]?) ", "$1 $2 "),
    ("([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) ", "$1 $2 "),
    (r"(?i)\b(can)(not)\b", " $1 $2 "),
    (r"(?i)\b(d)('ye)\b", " $1 $2 "),
    (r"(?i)\b(gim)(me)\b", " $1 $2 "),
    (r"(?i)\b(gon)(na)\b", " $1 $2 "),
    (r"(?i)\b(got)(ta)\b", " $1 $2 "),
    (r"(?i)\b(lem)(me)\b", " $1 $2 "),
    (r"(?i)\b(more)('n)\b", " $1 $2 "),
    (r"(?i)\b(wan)(na)(?=\s)", " $1 $2 "),
    (r"(?i) ('t)(is)\b", " $1 $2 "),
    (r"(?i) ('t)(was)\b", " $1 $2 "),
];

fn cut_sentence(sentence: &str) -> Vec<String> {
    #[expect(clippy::expect_used, reason = "constants, compiled by every test")]
    static RULES: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        let compiled = |(pattern, with): &Rule| (Regex::new(pattern).expect("compiles"), *with);
        OPENING.iter().chain(&CLOSING).map(compiled).collect()
    });
    let mut text = sentence.to_owned();
    for (pattern, with) in RULES.iter() {
        // A rule that gave up would leave the text as it is; none of them backtracks.
        if let Ok(changed) = pattern.try_replacen(&text, 0, *with) {
            text = changed.into_owned();
        }
    }
    python::words(&text).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_counted_as_runs() {
        assert_eq!(count("don't stop-gap 1,000 a_b हिन्दी e\u{301}te\u{301}"), 9);
        assert_eq!(count(" ... "), 0);
    }

    /// As NLTK 3.10.4 cuts them.
    #[test]
    fn words_are_cut_as_the_treebank_does() {
        let cases = [
            ("DON'T STOP, OK?", "DO N'T STOP , OK ?"),
            ("I CANNOT. We're gonna go.", "I CAN NOT . We 're gon na go ."),
            ("\"A-B\" costs $3.50 (50%).", "`` A-B '' costs $ 3.50 ( 50 % ) ."),
            ("JOHN'S 'Tis 10:30; A/B--C...", "JOHN 'S ' Tis 10:30 ; A/B -- C ..."),
            ("«Oui», dit-il: “No.”", "« Oui » , dit-il : “ No . ”"),
        ];
        for (text, words) in cases {
            assert_eq!(cut(text, &Punkt::own()).join(" "), words, "{text}");
        }
    }
}
