//! The metric `exact_match`: an answer and its reference are equal once what does not count is taken away.

use serde::{Deserialize, Serialize};

use super::error::AnswerError;
use super::pattern::Pattern;

/// What does not count. As in lm-eval, patterns go first, then case, punctuation and digits.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExactMatch {
    /// Patterns whose matches are taken out of both, in order.
    pub regexes_to_ignore: Vec<Pattern>,
    /// Capitals are small letters.
    pub ignore_case: bool,
    /// The punctuation of ASCII is taken out.
    pub ignore_punctuation: bool,
    /// The digits of ASCII are taken out.
    pub ignore_numbers: bool,
}

impl ExactMatch {
    /// Whether the answer is the reference.
    ///
    /// # Errors
    /// If a pattern needs too many steps.
    pub fn matches(&self, answer: &str, reference: &str) -> Result<bool, AnswerError> {
        Ok(self.bare(answer)? == self.bare(reference)?)
    }

    /// What is left of a text to compare.
    ///
    /// # Errors
    /// If a pattern needs too many steps.
    pub fn bare(&self, text: &str) -> Result<String, AnswerError> {
        let mut text = text.to_owned();
        for pattern in &self.regexes_to_ignore {
            text = pattern.remove(&text)?;
        }
        if self.ignore_case {
            text = text.to_lowercase();
        }
        text.retain(|c| {
            let ignored = (self.ignore_punctuation && c.is_ascii_punctuation())
                || (self.ignore_numbers && c.is_ascii_digit());
            !ignored
        });
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gsm8k_compares_numbers_without_their_dress() {
        let gsm8k: ExactMatch = toml::from_str(
            r#"regexes_to_ignore = [",", "\\$", "(?s).*#### ", "\\.$"]
                ignore_case = true"#,
        )
        .expect("parses");
        for (answer, reference, equal) in [
            ("$1,200.", "so\n#### 1200", true),
            ("1200.5", "1200", false),
            ("1200.0", "1200", false),
            ("[INVALID]", "[invalid]", true),
            (" 12", "12", false),
        ] {
            assert_eq!(gsm8k.matches(answer, reference).expect("matches"), equal, "{answer} {reference}");
        }
    }

    #[test]
    fn what_is_not_named_counts() {
        let strict = ExactMatch::default();
        assert!(strict.matches("a", "a").expect("matches") && !strict.matches("A", "a").expect("matches"));
        let loose = ExactMatch { ignore_punctuation: true, ignore_numbers: true, ..ExactMatch::default() };
        assert!(
            loose.matches("a-1_b!", "ab2").expect("matches") && !loose.matches("a…", "a").expect("matches")
        );
    }
}
