//! Grades: what an item's written answers are worth, by the suite's measure.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::english::sentences::Punkt;
use super::error::AnswerError;
use super::exact_match::ExactMatch;
use super::filter::Filters;
use super::ifeval::check::{Checker, Verdict};
use super::ifeval::instruction::Instruction;

/// Metrics of [`Measure::Ifeval`], as lm-eval calls them.
pub const IFEVAL: [&str; 4] =
    ["prompt_level_strict_acc", "inst_level_strict_acc", "prompt_level_loose_acc", "inst_level_loose_acc"];

/// The metric of [`Measure::ExactMatch`]; with filters their name follows behind a slash.
pub const EXACT_MATCH: &str = "exact_match";

/// The metric of [`Measure::Contains`].
pub const CONTAINS: &str = "contains";

/// The metric of [`Measure::ContainsPart`].
pub const CONTAINS_PART: &str = "contains_part";

/// By what answers are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// What the filters leave of an answer equals the reference.
    #[default]
    ExactMatch,
    /// The instructions of the reference are followed.
    Ifeval,
    /// The share of the reference's texts, a JSON list, that stand in the answer (RULER's `string_match_all`).
    Contains,
    /// Any of them stands in it (RULER's `string_match_part`).
    ContainsPart,
}

impl Measure {
    /// Whether what filters leave of an answer is what is measured.
    #[must_use]
    pub fn takes_filters(self) -> bool {
        self == Self::ExactMatch
    }
}

/// What an item scores on a metric: `right` of `of`. Over items both are summed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Grade {
    /// The metric.
    pub metric: String,
    /// What was right; a fraction where several samples were taken.
    pub right: f64,
    /// Of how much: 1, or the number of instructions.
    pub of: f64,
}

/// What a pipeline of filters left of an item's samples.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extracted {
    /// The pipeline; empty where there is none.
    pub filter: String,
    /// One answer a sample, or fewer if a step chooses.
    pub answers: Vec<String>,
}

/// An item's grades.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Graded {
    /// In the order of [`metrics`].
    pub grades: Vec<Grade>,
    /// What was compared; empty where instructions are checked.
    pub extracted: Vec<Extracted>,
}

/// The names of a measure's metrics.
pub fn metrics(measure: Measure, filters: &[Filters]) -> Vec<String> {
    match measure {
        Measure::Ifeval => IFEVAL.map(str::to_owned).to_vec(),
        Measure::Contains => vec![CONTAINS.to_owned()],
        Measure::ContainsPart => vec![CONTAINS_PART.to_owned()],
        Measure::ExactMatch if filters.is_empty() => vec![EXACT_MATCH.to_owned()],
        Measure::ExactMatch => filters.iter().map(|f| format!("{EXACT_MATCH}/{}", f.name)).collect(),
    }
}

/// What answers are graded with.
#[derive(Debug, Clone)]
pub enum Grader {
    /// Compares.
    ExactMatch {
        /// Pipelines, each a metric; none takes answers as they are.
        filters: Vec<Filters>,
        /// What does not count.
        compare: ExactMatch,
    },
    /// Checks instructions.
    Ifeval(Box<Checker>),
    /// Looks for texts: for all of them, or for any.
    Contains {
        /// Whether one is enough.
        any: bool,
    },
}

/// The reference of an item whose instructions are checked, as its suite's `doc_to_target` prints it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Instructions {
    instruction_id_list: Vec<String>,
    kwargs: Vec<Map<String, Value>>,
}

impl Grader {
    /// The grader of a measure; `punkt` splits sentences, where they are counted.
    pub fn new(measure: Measure, filters: &[Filters], compare: &ExactMatch, punkt: Option<Punkt>) -> Self {
        match measure {
            Measure::ExactMatch => Self::ExactMatch { filters: filters.to_vec(), compare: compare.clone() },
            Measure::Contains => Self::Contains { any: false },
            Measure::ContainsPart => Self::Contains { any: true },
            Measure::Ifeval => Self::Ifeval(Box::new(Checker::new(punkt.unwrap_or_else(Punkt::own)))),
        }
    }

    /// Grades an item's samples.
    ///
    /// # Errors
    /// If a pattern needs too many steps, or the reference is none.
    pub fn grade<T: AsRef<str>>(&self, reference: &str, samples: &[T]) -> Result<Graded, AnswerError> {
        match self {
            Self::ExactMatch { filters, compare } if filters.is_empty() => {
                let answers = samples.iter().map(|s| s.as_ref().to_owned()).collect();
                one(EXACT_MATCH.to_owned(), Extracted { filter: String::new(), answers }, reference, compare)
            }
            Self::ExactMatch { filters, compare } => {
                let mut graded = Graded::default();
                for filter in filters {
                    let extracted =
                        Extracted { filter: filter.name.clone(), answers: filter.apply_all(samples)? };
                    let more = one(format!("{EXACT_MATCH}/{}", filter.name), extracted, reference, compare)?;
                    graded.grades.extend(more.grades);
                    graded.extracted.extend(more.extracted);
                }
                Ok(graded)
            }
            Self::Ifeval(checker) => instructions(checker, reference, samples),
            Self::Contains { any } => contained(*any, reference, samples),
        }
    }
}

/// What is left of the reference's texts in the answers, capitals or not.
fn contained<T: AsRef<str>>(any: bool, reference: &str, samples: &[T]) -> Result<Graded, AnswerError> {
    let wanted: Vec<String> =
        serde_json::from_str(reference).map_err(|error| AnswerError::List { reason: error.to_string() })?;
    if wanted.iter().all(String::is_empty) {
        return Err(AnswerError::List { reason: "it holds no text".to_owned() });
    }
    let wanted: Vec<String> = wanted.iter().map(|text| text.to_lowercase()).collect();
    let mut right = 0.0;
    for sample in samples {
        let answer = sample.as_ref().to_lowercase();
        let found = wanted.iter().filter(|text| answer.contains(text.as_str())).count();
        right += if any { f64::from(u8::from(found > 0)) } else { found as f64 / wanted.len() as f64 };
    }
    right /= samples.len().max(1) as f64;
    let metric = if any { CONTAINS_PART } else { CONTAINS }.to_owned();
    Ok(Graded { grades: vec![Grade { metric, right, of: 1.0 }], extracted: Vec::new() })
}

/// The share of answers that are the reference.
fn one(
    metric: String,
    extracted: Extracted,
    reference: &str,
    compare: &ExactMatch,
) -> Result<Graded, AnswerError> {
    let mut right = 0;
    for answer in &extracted.answers {
        right += u32::from(compare.matches(answer, reference)?);
    }
    let right = f64::from(right) / extracted.answers.len().max(1) as f64;
    Ok(Graded { grades: vec![Grade { metric, right, of: 1.0 }], extracted: vec![extracted] })
}

fn instructions<T: AsRef<str>>(
    checker: &Checker,
    reference: &str,
    samples: &[T],
) -> Result<Graded, AnswerError> {
    let read: Instructions = serde_json::from_str(reference)
        .map_err(|error| AnswerError::Reference { reason: error.to_string() })?;
    let wanted = Instruction::parse_all(&read.instruction_id_list, &read.kwargs)?;
    let mut right = [0.0; 4];
    for sample in samples {
        let verdict = checker.check(&wanted, sample.as_ref())?;
        for (sum, more) in right.iter_mut().zip(counts(&verdict)) {
            *sum += more / samples.len() as f64;
        }
    }
    let number = wanted.len() as f64;
    let of = [1.0, number, 1.0, number];
    let grades = IFEVAL.iter().zip(right).zip(of);
    let grades = grades.map(|((metric, right), of)| Grade { metric: (*metric).to_owned(), right, of });
    Ok(Graded { grades: grades.collect(), extracted: Vec::new() })
}

/// In the order of [`IFEVAL`].
fn counts(verdict: &Verdict) -> [f64; 4] {
    let followed = |all: &[bool]| all.iter().filter(|followed| **followed).count() as f64;
    let whole = |all: bool| f64::from(u8::from(all));
    [
        whole(verdict.prompt_strict()),
        followed(&verdict.strict),
        whole(verdict.prompt_loose()),
        followed(&verdict.loose),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(toml: &str) -> Vec<Filters> {
        #[derive(Deserialize)]
        struct File {
            filter_list: Vec<Filters>,
        }
        toml::from_str::<File>(toml).expect("parses").filter_list
    }

    #[test]
    fn every_pipeline_is_a_metric_and_samples_are_averaged() {
        let filters = filters(
            r#"
            filter_list = [
                { name = "first", filter = [{ function = "regex" }, { function = "take_first" }] },
                { name = "vote", filter = [{ function = "regex" }, { function = "majority_vote" }] },
                { name = "all", filter = [{ function = "regex" }] },
            ]"#,
        );
        assert_eq!(
            metrics(Measure::ExactMatch, &filters),
            ["exact_match/first", "exact_match/vote", "exact_match/all"]
        );
        let judge = Grader::new(Measure::ExactMatch, &filters, &ExactMatch::default(), None);
        let graded = judge.grade("4", &["so #### 5", "#### 4", "#### 4", "none"]).expect("graded");
        assert_eq!(graded.grades.iter().map(|g| g.right).collect::<Vec<_>>(), [0.0, 1.0, 0.5]);
        assert_eq!(graded.extracted[0].answers, ["5"]);
        assert_eq!(graded.extracted[2].answers, ["5", "4", "4", "[invalid]"]);
    }

    #[test]
    fn without_filters_answers_are_compared_as_they_are() {
        let judge = Grader::new(Measure::ExactMatch, &[], &ExactMatch::default(), None);
        assert_eq!(metrics(Measure::ExactMatch, &[]), ["exact_match"]);
        assert!((judge.grade("a", &["a", "b"]).expect("graded").grades[0].right - 0.5).abs() < 1e-12);
    }

    #[test]
    fn instructions_count_one_by_one_and_together() {
        let judge = Grader::new(Measure::Ifeval, &[], &ExactMatch::default(), None);
        let reference = r#"{"instruction_id_list": ["punctuation:no_comma", "change_case:english_lowercase"],
                            "kwargs": [{}, {}]}"#;
        let graded = judge.grade(reference, &["No commas here at all."]).expect("graded");
        let shown: Vec<(f64, f64)> = graded.grades.iter().map(|g| (g.right, g.of)).collect();
        assert_eq!(shown, [(0.0, 1.0), (1.0, 2.0), (0.0, 1.0), (1.0, 2.0)]);
        assert!(judge.grade("[]", &["x"]).is_err());
    }

    #[test]
    fn texts_are_looked_for_whatever_their_capitals() {
        let right = |measure, reference: &str, samples: &[&str]| {
            let judge = Grader::new(measure, &[], &ExactMatch::default(), None);
            let graded = judge.grade(reference, samples).map(|graded| graded.grades);
            graded.map(|grades| (grades[0].metric.clone(), grades[0].right))
        };
        let list = r#"["17", "Heron", "42", "ABCDE"]"#;
        let all = |share: f64| Ok(("contains".to_owned(), share));
        assert_eq!(right(Measure::Contains, list, &["the heron: 17, abcde and 42"]), all(1.0));
        assert_eq!(right(Measure::Contains, list, &["42 herons", "none"]), all(0.25));
        let part = Ok(("contains_part".to_owned(), 0.5));
        assert_eq!(right(Measure::ContainsPart, list, &["42 herons", "none"]), part);
        for wrong in ["17", "[]", "[\"\"]", "[17]"] {
            assert!(right(Measure::Contains, wrong, &["17"]).is_err(), "{wrong}");
        }
    }
}
