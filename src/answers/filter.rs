//! Filters that take the answer out of a generated text, as lm-eval's task files name them (`filter_list`).

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::error::AnswerError;
use super::pattern::Pattern;
use super::python;

/// A pipeline with a name: GSM8K has `strict-match` and `flexible-extract`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filters {
    /// Its name, which tells its metrics from those of the other pipelines.
    pub name: String,
    /// The steps, in order.
    #[serde(rename = "filter")]
    pub steps: Vec<Step>,
}

/// One step. What lm-eval calls `function` is the kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "function", rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// Each answer becomes one of the pattern's matches in it: the first group of it that is not empty, or the whole
    /// of it if there are no groups.
    Regex {
        /// What is looked for.
        #[serde(default = "gsm8k_pattern")]
        regex_pattern: Box<Pattern>,
        /// Which match: 0 is the first, -1 the last.
        #[serde(default)]
        group_select: i64,
        /// What stands for an answer in which there is none.
        #[serde(default = "invalid")]
        fallback: String,
    },
    /// White space at both ends goes.
    RemoveWhitespace,
    /// Letters become small.
    Lowercase,
    /// Letters become capitals.
    Uppercase,
    /// Each answer is looked up.
    Map {
        /// What stands for what.
        mapping_dict: BTreeMap<String, Scalar>,
        /// What stands for all others.
        default_value: Scalar,
    },
    /// Of an item's samples, the first.
    TakeFirst,
    /// Of an item's samples, the first k.
    TakeFirstK {
        /// How many.
        k: usize,
    },
    /// Of an item's samples, the most frequent; among equals the first.
    MajorityVote,
}

/// A value of a lookup table, which task files write with or without quotation marks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// A whole number.
    Integer(i64),
    /// Text.
    Text(String),
}

impl Scalar {
    fn text(&self) -> String {
        match self {
            Self::Integer(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

fn gsm8k_pattern() -> Box<Pattern> {
    #[expect(clippy::expect_used, reason = "a constant, compiled by a test")]
    Box::new(Pattern::new(r"#### (\-?[0-9\.\,]+)").expect("compiles"))
}

fn invalid() -> String {
    "[invalid]".to_owned()
}

impl Filters {
    /// The answer in one generated text.
    ///
    /// # Errors
    /// If a pattern needs too many steps, or a step wants more samples.
    pub fn apply(&self, response: &str) -> Result<String, AnswerError> {
        Ok(self.apply_all(&[response])?.into_iter().next().unwrap_or_default())
    }

    /// What the steps leave of an item's samples. Without a step that chooses there are as many as before; lm-eval
    /// scores the first.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn apply_all<T: AsRef<str>>(&self, responses: &[T]) -> Result<Vec<String>, AnswerError> {
        let samples = responses.iter().map(|r| r.as_ref().to_owned()).collect();
        self.steps.iter().try_fold(samples, |samples, step| step.apply(samples))
    }
}

impl Step {
    fn apply(&self, mut samples: Vec<String>) -> Result<Vec<String>, AnswerError> {
        match self {
            Self::Regex { regex_pattern, group_select, fallback } => {
                return samples.iter().map(|s| extract(s, regex_pattern, *group_select, fallback)).collect();
            }
            Self::RemoveWhitespace => each(&mut samples, |s| python::strip(s).to_owned()),
            Self::Lowercase => each(&mut samples, str::to_lowercase),
            Self::Uppercase => each(&mut samples, str::to_uppercase),
            Self::Map { mapping_dict, default_value } => {
                each(&mut samples, |s| mapping_dict.get(s).unwrap_or(default_value).text());
            }
            Self::TakeFirst => samples.truncate(1),
            Self::TakeFirstK { k } => {
                if samples.len() < *k {
                    return Err(AnswerError::TooFewAnswers { wanted: *k, answers: samples.len() });
                }
                samples.truncate(*k);
            }
            Self::MajorityVote => samples = majority(&samples).into_iter().collect(),
        }
        Ok(samples)
    }
}

fn each(samples: &mut [String], change: impl Fn(&str) -> String) {
    for sample in samples {
        *sample = change(sample);
    }
}

fn extract(text: &str, pattern: &Pattern, select: i64, fallback: &str) -> Result<String, AnswerError> {
    let matches = pattern.find_all(text)?;
    let index = usize::try_from(if select < 0 { select + matches.len() as i64 } else { select });
    let chosen = index.ok().and_then(|i| matches.get(i));
    let answer = match chosen.map(Vec::as_slice) {
        // A lone group may be empty; of several, the first that is not.
        Some([only]) => Some(*only),
        Some(groups) => groups.iter().copied().find(|group| !group.is_empty()),
        None => None,
    };
    Ok(python::strip(answer.unwrap_or(fallback)).to_owned())
}

fn majority(samples: &[String]) -> Option<String> {
    let mut votes: HashMap<&str, usize> = HashMap::new();
    for sample in samples {
        *votes.entry(sample).or_default() += 1;
    }
    let most = votes.values().copied().max()?;
    samples.iter().find(|s| votes.get(s.as_str()) == Some(&most)).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As lm-eval's gsm8k task (version 3) has them.
    const GSM8K: &str = r#####"
        [[filter_list]]
        name = "strict-match"
        filter = [{ function = "regex", regex_pattern = "#### (\\-?[0-9\\.\\,]+)" }, { function = "take_first" }]

        [[filter_list]]
        name = "flexible-extract"
        filter = [
            { function = "regex", group_select = -1, regex_pattern = "(-?[$0-9.,]{2,})|(-?[0-9]+)" },
            { function = "take_first" },
        ]
    "#####;

    #[derive(Deserialize)]
    struct File {
        filter_list: Vec<Filters>,
    }

    fn steps(toml: &str) -> Result<Filters, toml::de::Error> {
        toml::from_str(&format!("name = \"x\"\nfilter = {toml}"))
    }

    #[test]
    fn gsm8k_has_a_strict_and_a_flexible_answer() {
        let file: File = toml::from_str(GSM8K).expect("parses");
        let [strict, flexible] = file.filter_list.as_slice() else { panic!("two pipelines") };
        let cases = [
            ("She has 3 left.\n#### 3", "3", "3"),
            ("#### 1,200.\n#### 7", "1,200.", "7"),
            ("The answer is $18.", "[invalid]", "$18."),
            ("##### -5 apples, 2 pears", "-5", "2"),
            ("####5 and a - b", "[invalid]", "5"),
            ("none", "[invalid]", "[invalid]"),
            ("", "[invalid]", "[invalid]"),
        ];
        for (text, exact, loose) in cases {
            assert_eq!(strict.apply(text).expect("filters"), exact, "{text}");
            assert_eq!(flexible.apply(text).expect("filters"), loose, "{text}");
        }
    }

    #[test]
    fn the_default_pattern_is_gsm8ks() {
        let filters = steps(r#"[{ function = "regex" }]"#).expect("parses");
        assert_eq!(filters.apply("#### 4").expect("filters"), "4");
    }

    #[test]
    fn samples_are_chosen_among() {
        let filters = steps(
            r#"[{ function = "take_first_k", k = 4 }, { function = "remove_whitespace" }, { function = "uppercase" },
                { function = "majority_vote" }, { function = "lowercase" }]"#,
        )
        .expect("parses");
        assert_eq!(filters.apply_all(&["b", " a", "A ", "B", "b"]).expect("filters"), ["b"]);
        let error = filters.apply("a").expect_err("too few");
        assert_eq!(error.to_string(), "the filter take_first_k wants 4 answers, and there are 1");
    }

    #[test]
    fn a_table_is_looked_up() {
        let filters =
            steps(r#"[{ function = "map", mapping_dict = { A = 0, B = "one" }, default_value = -1 }]"#);
        let filters = filters.expect("parses");
        assert_eq!(filters.apply_all(&["A", "B", "C"]).expect("filters"), ["0", "one", "-1"]);
    }

    #[test]
    fn unknown_steps_and_keys_are_refused() {
        for (toml, reason) in [
            (r#"[{ function = "multi_choice_regex" }]"#, "unknown variant `multi_choice_regex`"),
            (r#"[{ function = "regex", group = 1 }]"#, "unknown field `group`"),
            (
                r#"[{ function = "regex", regex_pattern = "(a" }]"#,
                "cannot be taken: it has a group that does not end",
            ),
            (r#"[{ function = "map", mapping_dict = {} }]"#, "missing field `default_value`"),
        ] {
            let error = steps(toml).expect_err(toml).to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
