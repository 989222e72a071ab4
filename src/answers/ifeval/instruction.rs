//! The 25 kinds of instruction, read from an item of the data file.

use serde_json::{Map, Value};

use crate::answers::error::AnswerError;
use crate::answers::pattern::{Flags, Pattern};

/// How a count is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// Fewer than that many.
    LessThan,
    /// That many or more.
    AtLeast,
}

/// A count that a response must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// On which side of it.
    pub relation: Relation,
    /// The number.
    pub count: u64,
}

impl Bound {
    /// Whether a count is on the right side.
    pub fn holds(self, count: usize) -> bool {
        match self.relation {
            Relation::LessThan => (count as u64) < self.count,
            Relation::AtLeast => count as u64 >= self.count,
        }
    }
}

/// One instruction with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instruction {
    /// `keywords:existence`: all of these patterns are there.
    Keywords(Vec<Pattern>),
    /// `keywords:frequency`: a pattern is there so often.
    KeywordFrequency(Pattern, Bound),
    /// `keywords:forbidden_words`: none of these patterns is there as a word.
    ForbiddenWords(Vec<Pattern>),
    /// `keywords:letter_frequency`: a small letter is there so often, whatever its case.
    LetterFrequency(char, Bound),
    /// `language:response_language`: the whole is in this language, an ISO 639-1 code.
    Language(String),
    /// `length_constraints:number_sentences`.
    Sentences(Bound),
    /// `length_constraints:number_paragraphs`: so many, parted by `***`.
    Paragraphs(u64),
    /// `length_constraints:number_words`.
    Words(Bound),
    /// `length_constraints:nth_paragraph_first_word`: so many paragraphs, parted by empty lines, one of which begins
    /// with a word.
    FirstWord {
        /// How many.
        paragraphs: u64,
        /// Which one, from 1.
        nth: u64,
        /// The word, in small letters.
        word: String,
    },
    /// `detectable_content:number_placeholders`: at least so many in square brackets.
    Placeholders(u64),
    /// `detectable_content:postscript`: a line has this pattern, in small letters.
    Postscript(Pattern),
    /// `detectable_format:number_bullet_lists`: so many lines with a bullet.
    Bullets(u64),
    /// `detectable_format:constrained_response`: one of three answers.
    ConstrainedResponse,
    /// `detectable_format:number_highlighted_sections`: at least so many between asterisks.
    Highlights(u64),
    /// `detectable_format:multiple_sections`: at least so many headings that match this pattern.
    Sections(Pattern, u64),
    /// `detectable_format:json_format`.
    Json,
    /// `detectable_format:title`: in double angular brackets.
    Title,
    /// `combination:two_responses`: two that differ, parted by six asterisks.
    TwoResponses,
    /// `combination:repeat_prompt`: begins with this text, in small letters.
    RepeatPrompt(String),
    /// `startend:end_checker`: ends with this text, in small letters.
    End(String),
    /// `startend:quotation`: in double quotation marks.
    Quotation,
    /// `change_case:capital_word_frequency`: words in capitals.
    CapitalWords(Bound),
    /// `change_case:english_capital`: English, in capitals.
    EnglishCapitals,
    /// `change_case:english_lowercase`: English, in small letters.
    EnglishLowercase,
    /// `punctuation:no_comma`.
    NoComma,
}

impl Instruction {
    /// Reads an instruction of an item. Arguments that are null, empty or 0 are as good as missing.
    ///
    /// lm-eval draws a missing argument at random, anew for every response; here it is an error. It also draws a
    /// letter at random where `letter_frequency` names something else (two of IFEval's items name `#` and `!`); here
    /// that character is counted, as the prompt asks.
    ///
    /// # Errors
    /// If the id is none of the 25, or an argument is missing, unknown or of the wrong kind.
    pub fn parse(id: &str, kwargs: &Map<String, Value>) -> Result<Self, AnswerError> {
        let mut arguments = Arguments { id, kwargs, used: Vec::new() };
        let instruction = arguments.instruction()?;
        arguments.all_used()?;
        Ok(instruction)
    }

    /// Reads all instructions of an item.
    ///
    /// # Errors
    /// As [`Self::parse`], or if there are more of one than of the other.
    pub fn parse_all<T: AsRef<str>>(
        ids: &[T],
        kwargs: &[Map<String, Value>],
    ) -> Result<Vec<Self>, AnswerError> {
        if ids.len() != kwargs.len() {
            return Err(AnswerError::Unpaired { ids: ids.len(), kwargs: kwargs.len() });
        }
        ids.iter().zip(kwargs).map(|(id, kwargs)| Self::parse(id.as_ref(), kwargs)).collect()
    }
}

/// The arguments of one instruction, and which of them have been asked for.
struct Arguments<'a> {
    id: &'a str,
    kwargs: &'a Map<String, Value>,
    used: Vec<&'static str>,
}

impl Arguments<'_> {
    fn instruction(&mut self) -> Result<Instruction, AnswerError> {
        Ok(match self.id {
            "keywords:existence" => Instruction::Keywords(self.patterns("keywords", str::to_owned)?),
            "keywords:frequency" => {
                let keyword = self.text("keyword")?;
                Instruction::KeywordFrequency(in_any_case(&keyword)?, self.bound("relation", "frequency")?)
            }
            "keywords:forbidden_words" => {
                Instruction::ForbiddenWords(self.patterns("forbidden_words", |word| format!(r"\b{word}\b"))?)
            }
            "keywords:letter_frequency" => {
                let letter = self.text("letter")?.to_lowercase();
                let one = letter.chars().next().filter(|c| letter.len() == c.len_utf8());
                let one = one.ok_or_else(|| self.wrong(format!("has {letter:?} as its letter")))?;
                Instruction::LetterFrequency(one, self.bound("let_relation", "let_frequency")?)
            }
            "language:response_language" => Instruction::Language(self.raw_text("language")?),
            "length_constraints:number_sentences" => {
                Instruction::Sentences(self.bound("relation", "num_sentences")?)
            }
            "length_constraints:number_paragraphs" => Instruction::Paragraphs(self.number("num_paragraphs")?),
            "length_constraints:number_words" => Instruction::Words(self.bound("relation", "num_words")?),
            "length_constraints:nth_paragraph_first_word" => self.first_word()?,
            "detectable_content:number_placeholders" => {
                Instruction::Placeholders(self.number("num_placeholders")?)
            }
            "detectable_content:postscript" => {
                let marker = self.text("postscript_marker")?;
                Instruction::Postscript(postscript(&marker)?)
            }
            "detectable_format:number_bullet_lists" => Instruction::Bullets(self.number("num_bullets")?),
            "detectable_format:constrained_response" => Instruction::ConstrainedResponse,
            "detectable_format:number_highlighted_sections" => {
                Instruction::Highlights(self.number("num_highlights")?)
            }
            "detectable_format:multiple_sections" => {
                let heading = format!(r"\s?{}\s?\d+\s?", self.text("section_spliter")?);
                Instruction::Sections(Pattern::new(&heading)?, self.number("num_sections")?)
            }
            "detectable_format:json_format" => Instruction::Json,
            "detectable_format:title" => Instruction::Title,
            "combination:two_responses" => Instruction::TwoResponses,
            "combination:repeat_prompt" => {
                Instruction::RepeatPrompt(self.text("prompt_to_repeat")?.to_lowercase())
            }
            "startend:end_checker" => Instruction::End(self.text("end_phrase")?.to_lowercase()),
            "startend:quotation" => Instruction::Quotation,
            "change_case:capital_word_frequency" => {
                Instruction::CapitalWords(self.bound("capital_relation", "capital_frequency")?)
            }
            "change_case:english_capital" => Instruction::EnglishCapitals,
            "change_case:english_lowercase" => Instruction::EnglishLowercase,
            "punctuation:no_comma" => Instruction::NoComma,
            id => return Err(AnswerError::UnknownInstruction { id: id.to_owned() }),
        })
    }

    fn first_word(&mut self) -> Result<Instruction, AnswerError> {
        let (paragraphs, nth) = (self.number("num_paragraphs")?, self.number("nth_paragraph")?);
        if nth > paragraphs {
            return Err(self.wrong(format!("wants paragraph {nth} of {paragraphs}")));
        }
        Ok(Instruction::FirstWord { paragraphs, nth, word: self.raw_text("first_word")?.to_lowercase() })
    }

    fn wrong(&self, reason: String) -> AnswerError {
        AnswerError::Argument { id: self.id.to_owned(), reason }
    }

    fn value(&mut self, name: &'static str) -> Result<&Value, AnswerError> {
        self.used.push(name);
        let value = self.kwargs.get(name).filter(|value| !is_missing(value));
        value.ok_or_else(|| self.wrong(format!("lacks its argument {name}")))
    }

    fn number(&mut self, name: &'static str) -> Result<u64, AnswerError> {
        let value = self.value(name)?.clone();
        // Data files made with pandas write whole numbers as 3.0.
        let whole = value.as_f64().filter(|x| x.fract() == 0.0 && (1.0..1e15).contains(x)).map(|x| x as u64);
        whole.ok_or_else(|| self.wrong(format!("has {value} for {name}, which is no count")))
    }

    fn raw_text(&mut self, name: &'static str) -> Result<String, AnswerError> {
        let value = self.value(name)?.clone();
        let text = value.as_str().map(str::to_owned);
        text.ok_or_else(|| self.wrong(format!("has {value} for {name}, which is no text")))
    }

    fn text(&mut self, name: &'static str) -> Result<String, AnswerError> {
        Ok(crate::answers::python::strip(&self.raw_text(name)?).to_owned())
    }

    fn bound(&mut self, relation: &'static str, count: &'static str) -> Result<Bound, AnswerError> {
        let relation = match self.raw_text(relation)?.as_str() {
            "less than" => Relation::LessThan,
            "at least" => Relation::AtLeast,
            other => return Err(self.wrong(format!("has the relation {other:?}"))),
        };
        Ok(Bound { relation, count: self.number(count)? })
    }

    fn patterns(&mut self, name: &'static str, to: fn(&str) -> String) -> Result<Vec<Pattern>, AnswerError> {
        let value = self.value(name)?.clone();
        let words =
            value.as_array().and_then(|words| words.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
        let words =
            words.ok_or_else(|| self.wrong(format!("has {value} for {name}, which is no list of words")))?;
        words.into_iter().map(|word| in_any_case(&to(word))).collect()
    }

    fn all_used(&self) -> Result<(), AnswerError> {
        let unknown =
            |(name, value): &(&String, &Value)| !self.used.contains(&name.as_str()) && !is_missing(value);
        match self.kwargs.iter().find(unknown) {
            Some((name, _)) => Err(self.wrong(format!("knows no argument {name}"))),
            None => Ok(()),
        }
    }
}

fn in_any_case(pattern: &str) -> Result<Pattern, AnswerError> {
    Pattern::with_flags(pattern, Flags { ignore_case: true, ..Flags::default() })
}

/// What Python takes for false.
fn is_missing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(there) => !there,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

/// The marker may be written with a space in it, if it is one of the two usual ones.
fn postscript(marker: &str) -> Result<Pattern, AnswerError> {
    let pattern = match marker {
        "P.P.S" => r"\s*p\.\s?p\.\s?s.*$".to_owned(),
        "P.S." => r"\s*p\.\s?s\..*$".to_owned(),
        other => format!(r"\s*{}.*$", other.to_lowercase()),
    };
    Pattern::with_flags(&pattern, Flags { multi_line: true, ..Flags::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(id: &str, kwargs: &Value) -> Result<Instruction, AnswerError> {
        Instruction::parse(id, kwargs.as_object().expect("an object"))
    }

    #[test]
    fn an_item_has_an_instruction_for_each_id() {
        let kwargs = json!([{"relation": "at least", "num_words": 300, "keyword": null}, {}]);
        let kwargs: Vec<Map<String, Value>> = serde_json::from_value(kwargs).expect("maps");
        let all =
            Instruction::parse_all(&["length_constraints:number_words", "punctuation:no_comma"], &kwargs);
        let bound = Bound { relation: Relation::AtLeast, count: 300 };
        assert_eq!(all.expect("parses"), [Instruction::Words(bound), Instruction::NoComma]);
        assert!(Instruction::parse_all(&["punctuation:no_comma"], &kwargs).is_err());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            ("a:b", json!({}), "no IFEval instruction is called \"a:b\""),
            (
                "punctuation:no_comma",
                json!({"n": 1}),
                "the IFEval instruction punctuation:no_comma knows no argument n",
            ),
            (
                "length_constraints:number_words",
                json!({"relation": "at least", "num_words": 0}),
                "lacks its argument num_words",
            ),
            (
                "length_constraints:number_words",
                json!({"relation": "at most", "num_words": 2}),
                "has the relation \"at most\"",
            ),
            (
                "detectable_format:number_bullet_lists",
                json!({"num_bullets": 2.5}),
                "has 2.5 for num_bullets, which is no count",
            ),
            ("keywords:existence", json!({"keywords": ["a", 1]}), "which is no list of words"),
            ("keywords:existence", json!({"keywords": ["(a"]}), "it has a group that does not end"),
            (
                "keywords:letter_frequency",
                json!({"letter": "ab", "let_relation": "at least", "let_frequency": 1}),
                "has \"ab\" as its letter",
            ),
            (
                "length_constraints:nth_paragraph_first_word",
                json!({"num_paragraphs": 2, "nth_paragraph": 3, "first_word": "a"}),
                "wants paragraph 3 of 2",
            ),
        ];
        for (id, kwargs, message) in cases {
            let error = parse(id, &kwargs).expect_err(id);
            assert!(error.to_string().contains(message), "{error}");
            assert!(!error.hint().is_empty());
        }
    }

    #[test]
    fn whole_numbers_may_have_a_point() {
        let bullets = parse("detectable_format:number_bullet_lists", &json!({"num_bullets": 3.0}));
        assert_eq!(bullets.expect("parses"), Instruction::Bullets(3));
    }
}
