//! Whether a response follows its instructions: as it is (strict), or in any of eight forms in which an introduction,
//! a farewell or Markdown's asterisks are taken away (loose).

use std::sync::LazyLock;

use super::instruction::Instruction;
use super::json::is_json;
use super::language;
use crate::answers::english::sentences::Punkt;
use crate::answers::english::words;
use crate::answers::error::AnswerError;
use crate::answers::pattern::{Flags, Pattern};
use crate::answers::python;

/// What the response is found to follow, one entry an instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// As it is.
    pub strict: Vec<bool>,
    /// In one of eight forms.
    pub loose: Vec<bool>,
}

impl Verdict {
    /// Whether all instructions are followed: the prompt's strict verdict.
    pub fn prompt_strict(&self) -> bool {
        self.strict.iter().all(|followed| *followed)
    }

    /// Whether all instructions are followed in one of eight forms, each perhaps in another: the loose verdict.
    pub fn prompt_loose(&self) -> bool {
        self.loose.iter().all(|followed| *followed)
    }
}

/// Checks responses.
#[derive(Debug, Clone)]
pub struct Checker {
    punkt: Punkt,
}

impl Checker {
    /// A checker that splits sentences so.
    pub fn new(punkt: Punkt) -> Self {
        Self { punkt }
    }

    /// Checks a response against all instructions of its prompt.
    ///
    /// # Errors
    /// If a keyword is a pattern that needs too many steps.
    pub fn check(&self, instructions: &[Instruction], response: &str) -> Result<Verdict, AnswerError> {
        let forms = forms(response);
        let mut verdict = Verdict { strict: Vec::new(), loose: Vec::new() };
        for instruction in instructions {
            let strict = self.follows(instruction, response)?;
            let mut loose = strict;
            for form in &forms {
                loose = loose || self.follows(instruction, form)?;
            }
            verdict.strict.push(strict);
            verdict.loose.push(loose);
        }
        Ok(verdict)
    }

    fn follows(&self, instruction: &Instruction, text: &str) -> Result<bool, AnswerError> {
        let stripped = python::strip(text);
        if stripped.is_empty() {
            return Ok(false);
        }
        Ok(match instruction {
            Instruction::Keywords(words) => all(words, |word| word.is_in(text))?,
            Instruction::KeywordFrequency(word, bound) => bound.holds(word.count(text)?),
            Instruction::ForbiddenWords(words) => all(words, |word| Ok(!word.is_in(text)?))?,
            Instruction::LetterFrequency(letter, bound) => {
                bound.holds(text.to_lowercase().chars().filter(|c| c == letter).count())
            }
            Instruction::Language(code) => language::of(text).is_none_or(|found| found == *code),
            Instruction::Sentences(bound) => bound.holds(self.punkt.split(text).len()),
            Instruction::Paragraphs(count) => paragraphs(text)? == Some(*count),
            Instruction::Words(bound) => bound.holds(words::count(text)),
            Instruction::FirstWord { paragraphs, nth, word } => first_word(text, *paragraphs, *nth, word),
            Instruction::Placeholders(count) => PLACEHOLDER.count(text)? as u64 >= *count,
            Instruction::Postscript(pattern) => pattern.is_in(&text.to_lowercase())?,
            Instruction::Bullets(count) => (STARS.count(text)? + DASHES.count(text)?) as u64 == *count,
            Instruction::ConstrainedResponse => {
                ["yes", "no", "maybe"].iter().any(|answer| text.contains(&format!("My answer is {answer}.")))
            }
            Instruction::Highlights(count) => highlights(text)? >= *count,
            Instruction::Sections(heading, count) => heading.count(text)? as u64 >= *count,
            Instruction::Json => is_json(unfenced(stripped)),
            Instruction::Title => has_title(text)?,
            Instruction::TwoResponses => two_responses(text),
            Instruction::RepeatPrompt(prompt) => stripped.to_lowercase().starts_with(prompt.as_str()),
            Instruction::End(phrase) => stripped.trim_matches('"').to_lowercase().ends_with(phrase.as_str()),
            Instruction::Quotation => {
                stripped.len() > 1 && stripped.starts_with('"') && stripped.ends_with('"')
            }
            Instruction::CapitalWords(bound) => bound
                .holds(words::cut(text, &self.punkt).iter().filter(|word| python::is_upper(word)).count()),
            Instruction::EnglishCapitals => python::is_upper(text) && is_english(text),
            Instruction::EnglishLowercase => python::is_lower(text) && is_english(text),
            Instruction::NoComma => !text.contains(','),
        })
    }
}

static PLACEHOLDER: LazyLock<Pattern> = LazyLock::new(|| constant(r"\[.*?\]"));
static STARS: LazyLock<Pattern> = LazyLock::new(|| constant(r"^\s*\*[^\*].*$"));
static DASHES: LazyLock<Pattern> = LazyLock::new(|| constant(r"^\s*-.*$"));
static DIVIDER: LazyLock<Pattern> = LazyLock::new(|| constant(r"\s?\*\*\*\s?"));
static SINGLE_STARS: LazyLock<Pattern> = LazyLock::new(|| constant(r"\*[^\n\*]*\*"));
static DOUBLE_STARS: LazyLock<Pattern> = LazyLock::new(|| constant(r"\*\*[^\n\*]*\*\*"));
static ANGULAR: LazyLock<Pattern> = LazyLock::new(|| constant(r"<<[^\n]+>>"));

fn constant(pattern: &str) -> Pattern {
    #[expect(clippy::expect_used, reason = "constants, compiled by every test")]
    Pattern::with_flags(pattern, Flags { multi_line: true, ..Flags::default() }).expect("compiles")
}

fn all(
    patterns: &[Pattern],
    holds: impl Fn(&Pattern) -> Result<bool, AnswerError>,
) -> Result<bool, AnswerError> {
    for pattern in patterns {
        if !holds(pattern)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The forms other than the response itself: without asterisks, without its first line, its last line or both.
fn forms(response: &str) -> Vec<String> {
    let lines: Vec<&str> = response.split('\n').collect();
    let without_first = lines.get(1..).unwrap_or_default();
    let last = |lines: &[&str]| lines.len().saturating_sub(1);
    let without_last = lines.get(..last(&lines)).unwrap_or_default();
    let without_both = without_first.get(..last(without_first)).unwrap_or_default();
    let cut =
        [without_first, without_last, without_both].map(|lines| python::strip(&lines.join("\n")).to_owned());
    let mut forms = vec![response.replace('*', "")];
    for form in cut {
        forms.push(form.replace('*', ""));
        forms.push(form);
    }
    forms
}

/// A text too short to tell counts as English.
fn is_english(text: &str) -> bool {
    language::of(text).is_none_or(|found| found == "en")
}

/// How many paragraphs there are, not counting empty ones at the ends; `None` if there is one in between.
fn paragraphs(text: &str) -> Result<Option<u64>, AnswerError> {
    let parts = DIVIDER.split(text)?;
    let last = parts.len() - 1;
    let empty = |part: &&str| python::strip(part).is_empty();
    let inside = parts.iter().take(last).skip(1);
    if inside.clone().any(&empty) {
        return Ok(None);
    }
    let ends = [0, last].into_iter().take(parts.len()).filter(|i| parts.get(*i).is_some_and(empty)).count();
    Ok(Some((parts.len() - ends) as u64))
}

fn first_word(text: &str, paragraphs: u64, nth: u64, word: &str) -> bool {
    let parts: Vec<&str> = text.split("\n\n").collect();
    let filled = parts.iter().filter(|part| !python::strip(part).is_empty()).count() as u64;
    // As in the reference, empty paragraphs are not counted, and yet the nth is looked up among all.
    let paragraph = parts.get(nth as usize - 1).and_then(|part| python::words(part).next());
    let Some(first) = paragraph.filter(|_| nth <= filled && filled == paragraphs) else {
        return false;
    };
    let first = first.trim_start_matches('\'').trim_start_matches('"');
    let end = first.find(['.', ',', '?', '!', '\'', '"']).unwrap_or(first.len());
    first.get(..end).is_some_and(|first| first.chars().flat_map(char::to_lowercase).eq(word.chars()))
}

/// What stands between single asterisks and what stands between double ones; `**a**` counts as both where both fit.
fn highlights(text: &str) -> Result<u64, AnswerError> {
    let filled = |inside: &str| !python::strip(inside).is_empty();
    let single = SINGLE_STARS.find_all(text)?;
    let single = single.iter().flatten().filter(|found| filled(found.trim_matches('*'))).count();
    let double = DOUBLE_STARS.find_all(text)?;
    let inside = |found: &&str| found.get(2..found.len() - 2).is_some_and(filled);
    Ok((single + double.iter().flatten().filter(|found| inside(found)).count()) as u64)
}

/// JSON without the fence of a Markdown code block; both have been stripped.
fn unfenced(text: &str) -> &str {
    let mut text = text;
    for fence in ["```json", "```Json", "```JSON", "```"] {
        text = text.strip_prefix(fence).unwrap_or(text);
    }
    python::strip(text.strip_suffix("```").unwrap_or(text))
}

fn has_title(text: &str) -> Result<bool, AnswerError> {
    let inside = |found: &str| {
        let title = found.trim_start_matches('<').trim_end_matches('>');
        !python::strip(title).is_empty()
    };
    Ok(ANGULAR.find_all(text)?.iter().flatten().any(|found| inside(found)))
}

fn two_responses(text: &str) -> bool {
    let parts: Vec<&str> = text.split("******").map(python::strip).collect();
    let last = parts.len() - 1;
    let hole = parts.iter().enumerate().any(|(i, part)| part.is_empty() && i != 0 && i != last);
    let filled: Vec<&&str> = parts.iter().filter(|part| !part.is_empty()).collect();
    !hole && matches!(filled.as_slice(), [first, second] if first != second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn verdict(id: &str, kwargs: &serde_json::Value, response: &str) -> (bool, bool) {
        let instruction = Instruction::parse(id, kwargs.as_object().expect("an object")).expect("parses");
        let verdict = Checker::new(Punkt::own()).check(&[instruction], response).expect("checks");
        (verdict.prompt_strict(), verdict.prompt_loose())
    }

    #[test]
    fn loose_forms_leave_out_lines_and_asterisks() {
        let quoted = |response: &str| verdict("startend:quotation", &json!({}), response);
        assert_eq!(quoted("\"a\""), (true, true));
        assert_eq!(quoted("Sure:\n\"a\""), (false, true));
        assert_eq!(quoted("\"a\"\nBye"), (false, true));
        assert_eq!(quoted("Sure:\n*\"a\"*\nBye"), (false, true));
        assert_eq!(quoted("Sure:\nok\n\"a\"\nBye"), (false, false));
        assert_eq!(quoted("  "), (false, false), "nothing follows no instruction");
    }

    #[test]
    fn each_instruction_may_be_followed_in_another_form() {
        let instructions = [
            Instruction::parse("startend:quotation", &serde_json::Map::new()).expect("parses"),
            Instruction::parse(
                "startend:end_checker",
                json!({"end_phrase": "Bye"}).as_object().expect("map"),
            )
            .expect("parses"),
        ];
        let verdict = Checker::new(Punkt::own()).check(&instructions, "\"a\"\nBye").expect("checks");
        assert_eq!(verdict, Verdict { strict: vec![false, true], loose: vec![true, true] });
    }

    /// lm-eval counts any letter but a to z as one it draws at random; the prompt's is counted here.
    #[test]
    fn a_character_that_is_no_letter_is_counted() {
        let kwargs = json!({"letter": "!", "let_relation": "at least", "let_frequency": 2});
        assert_eq!(verdict("keywords:letter_frequency", &kwargs, "a! b!"), (true, true));
        assert_eq!(verdict("keywords:letter_frequency", &kwargs, "a! b"), (false, false));
    }
}
