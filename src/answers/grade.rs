//! Grades: what an item's written answers are worth, by the suite's measure.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::calls::expected::Reference;
use super::calls::format::Format;
use super::calls::verdict::{Verdict as CallVerdict, judge};
use super::english::sentences::Punkt;
use super::error::AnswerError;
use super::exact_match::ExactMatch;
use super::execute::{Execute, Outcome, Runner};
use super::filter::Filters;
use super::ifeval::check::{Checker, Verdict};
use super::ifeval::instruction::Instruction;

/// Metrics of [`Measure::Ifeval`], as lm-eval calls them.
pub const IFEVAL: [&str; 4] =
    ["prompt_level_strict_acc", "inst_level_strict_acc", "prompt_level_loose_acc", "inst_level_loose_acc"];

/// The metric of [`Measure::ExactMatch`]; with filters their name follows behind a slash.
pub const EXACT_MATCH: &str = "exact_match";

/// Metrics of [`Measure::Calls`]: the share of answers whose calls are right, of answers meant as calls that can be read
/// as such, and of calls that no program could carry out.
pub const CALLS: [&str; 3] = ["acc", "well_formed", "invalid_calls"];
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
    /// The calls of the reference are made.
    Calls,
    /// The answer, between what the reference puts around it, is a program whose tests pass.
    Code,
    /// The share of the reference's texts, a JSON list, that stand in the answer (RULER's `string_match_all`).
    Contains,
    /// Any of them stands in it (RULER's `string_match_part`).
    ContainsPart,
}

impl Measure {
    /// Whether what filters leave of an answer is what is measured.
    #[must_use]
    pub fn takes_filters(self) -> bool {
        matches!(self, Self::ExactMatch | Self::Code)
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
    /// What came of each sample's program, where answers are programs.
    pub outcomes: Vec<Outcome>,
}

/// The names of a measure's metrics.
pub fn metrics(measure: Measure, filters: &[Filters], execute: Option<&Execute>) -> Vec<String> {
    match measure {
        Measure::Code => execute.map(Execute::metrics).unwrap_or_default(),
        Measure::Ifeval => IFEVAL.map(str::to_owned).to_vec(),
        Measure::Calls => CALLS.map(str::to_owned).to_vec(),
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
    /// Reads calls in a format and compares them.
    Calls {
        /// How the base writes calls.
        format: Format,
        /// Whether it was asked for them in words; recorded with what was read.
        prompted: bool,
    },
    /// Runs programs.
    Code(Box<Runner>),
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
    /// A grader that compares.
    pub fn exact_match(filters: &[Filters], compare: &ExactMatch) -> Self {
        Self::ExactMatch { filters: filters.to_vec(), compare: compare.clone() }
    }

    /// A grader that checks instructions; `punkt` splits sentences, where they are counted.
    pub fn ifeval(punkt: Option<Punkt>) -> Self {
        Self::Ifeval(Box::new(Checker::new(punkt.unwrap_or_else(Punkt::own))))
    }

    /// Grades an item's samples.
    ///
    /// # Errors
    /// If a pattern needs too many steps, the reference is none, or a program cannot be run.
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
            Self::Calls { format, prompted } => calls(*format, *prompted, reference, samples),
            Self::Code(runner) => runner.grade(reference, samples),
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
    Ok(Graded { grades: vec![Grade { metric, right, of: 1.0 }], extracted: Vec::new(), outcomes: Vec::new() })
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
    let grades = vec![Grade { metric, right, of: 1.0 }];
    Ok(Graded { grades, extracted: vec![extracted], outcomes: Vec::new() })
}

/// Calls are right or not, one answer after another; the calls of all answers are counted together.
fn calls<T: AsRef<str>>(
    format: Format,
    prompted: bool,
    reference: &str,
    samples: &[T],
) -> Result<Graded, AnswerError> {
    let reference = Reference::read(reference, format.plain_names())?;
    let verdicts: Vec<CallVerdict> =
        samples.iter().map(|sample| judge(&reference, format, sample.as_ref())).collect();
    let share = |which: fn(&CallVerdict) -> bool| {
        verdicts.iter().filter(|verdict| which(verdict)).count() as f64 / verdicts.len().max(1) as f64
    };
    let counts = [
        (share(|verdict| verdict.fault.is_none()), 1.0),
        (share(|verdict| verdict.well_formed == Some(true)), share(|verdict| verdict.well_formed.is_some())),
        (
            verdicts.iter().map(|verdict| verdict.invalid as f64).sum(),
            verdicts.iter().map(|verdict| verdict.calls.len() as f64).sum(),
        ),
    ];
    let grades = CALLS.iter().zip(counts);
    let grades = grades.map(|(metric, (right, of))| Grade { metric: (*metric).to_owned(), right, of });
    let read = |verdict: &CallVerdict| {
        let calls: Vec<String> = verdict.calls.iter().map(ToString::to_string).collect();
        calls.join("; ")
    };
    let why = |verdict: &CallVerdict| verdict.fault.clone().unwrap_or_else(|| "right".to_owned());
    let asked = if prompted { ", prompted" } else { "" };
    let extracted = vec![
        Extracted {
            filter: format!("{}{asked}", format.name()),
            answers: verdicts.iter().map(read).collect(),
        },
        Extracted { filter: "verdict".to_owned(), answers: verdicts.iter().map(why).collect() },
    ];
    Ok(Graded { grades: grades.collect(), extracted, outcomes: Vec::new() })
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
    Ok(Graded { grades: grades.collect(), ..Graded::default() })
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
            metrics(Measure::ExactMatch, &filters, None),
            ["exact_match/first", "exact_match/vote", "exact_match/all"]
        );
        let judge = Grader::exact_match(&filters, &ExactMatch::default());
        let graded = judge.grade("4", &["so #### 5", "#### 4", "#### 4", "none"]).expect("graded");
        assert_eq!(graded.grades.iter().map(|g| g.right).collect::<Vec<_>>(), [0.0, 1.0, 0.5]);
        assert_eq!(graded.extracted[0].answers, ["5"]);
        assert_eq!(graded.extracted[2].answers, ["5", "4", "4", "[invalid]"]);
    }

    #[test]
    fn without_filters_answers_are_compared_as_they_are() {
        let judge = Grader::exact_match(&[], &ExactMatch::default());
        assert_eq!(metrics(Measure::ExactMatch, &[], None), ["exact_match"]);
        assert!((judge.grade("a", &["a", "b"]).expect("graded").grades[0].right - 0.5).abs() < 1e-12);
    }

    #[test]
    fn calls_are_judged_and_counted() {
        let judge = Grader::Calls { format: Format::Json, prompted: false };
        let tool =
            r#"{"name": "f", "parameters": {"properties": {"a": {"type": "integer"}}, "required": ["a"]}}"#;
        let reference =
            format!(r#"{{"tools": [{tool}], "calls": [{{"name": "f", "arguments": {{"a": 1}}}}]}}"#);
        let call = |a: &str| format!(r#"[{{"name": "f", "arguments": {{{a}}}}}]"#);
        let samples = [call("\"a\": 1"), call("\"b\": 1"), "[{".to_owned(), "No.".to_owned()];
        let graded = judge.grade(&reference, &samples).expect("graded");
        let shown: Vec<(f64, f64)> = graded.grades.iter().map(|g| (g.right, g.of)).collect();
        assert_eq!(shown, [(0.25, 1.0), (0.5, 1.0), (1.0, 2.0)]);
        assert_eq!(graded.extracted[0].filter, "json");
        assert_eq!(graded.extracted[0].answers, ["f(a=1)", "f(b=1)", "", ""]);
        assert_eq!(graded.extracted[1].answers[0], "right");
        // Where no call is wanted, and none is made, there is nothing to be well-formed.
        let none = format!(r#"{{"tools": [{tool}], "calls": []}}"#);
        let graded = judge.grade(&none, &["No."]).expect("graded");
        assert_eq!(
            graded.grades.iter().map(|g| (g.right, g.of)).collect::<Vec<_>>(),
            [(1.0, 1.0), (0.0, 0.0), (0.0, 0.0)]
        );
        assert!(judge.grade("{}", &["x"]).is_err());
    }

    #[test]
    fn instructions_count_one_by_one_and_together() {
        let judge = Grader::ifeval(None);
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
            let grader = Grader::Contains { any: measure == Measure::ContainsPart };
            let found = grader.grade(reference, samples).map(|graded| graded.grades);
            found.map(|grades| (grades[0].metric.clone(), grades[0].right))
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
