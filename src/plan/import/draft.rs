//! The suite file that is written: only the keys that say something.

use serde::Serialize;

use crate::answers::exact_match::ExactMatch;
use crate::answers::filter::Filters;
use crate::plan::generate::Sampling;

/// A suite file.
#[derive(Debug, Serialize)]
pub(super) struct Draft {
    pub name: String,
    pub title: String,
    pub version: u32,
    pub licence: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
    pub source: Vec<Place>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fewshot_source: Vec<Place>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub choice: Option<Choice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generate: Option<Generate>,
    pub metric: Vec<Metric>,
}

/// Where a file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Place {
    pub from: String,
}

/// A metric.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Metric {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chance: Option<f64>,
}

/// What both kinds of questions have.
#[derive(Debug, Default, Serialize)]
pub(super) struct Common {
    #[serde(skip_serializing_if = "is_space")]
    pub target_delimiter: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub fewshot: u32,
    #[serde(skip_serializing_if = "is_blank_line")]
    pub fewshot_delimiter: String,
}

/// The table `[choice]`.
#[derive(Debug, Serialize)]
#[expect(clippy::struct_field_names, reason = "the keys of the file")]
pub(super) struct Choice {
    pub doc_to_id: String,
    pub doc_to_text: String,
    pub doc_to_choice: String,
    pub doc_to_target: String,
    #[serde(flatten)]
    pub common: Common,
    #[serde(skip_serializing_if = "is_false")]
    pub only: bool,
}

/// The table `[generate]`.
#[derive(Debug, Serialize)]
pub(super) struct Generate {
    pub doc_to_id: String,
    pub doc_to_text: String,
    pub doc_to_target: String,
    #[serde(flatten)]
    pub common: Common,
    #[serde(flatten)]
    pub writing: Writing,
    #[serde(skip_serializing_if = "is_default")]
    pub exact_match: ExactMatch,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filter_list: Vec<Filters>,
}

/// How answers are written.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Writing {
    pub ctx: u32,
    pub tokens: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    #[serde(skip_serializing_if = "is_one")]
    pub samples: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampling: Option<Sampling>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_one(number: &u32) -> bool {
    *number == 1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

fn is_space(delimiter: &str) -> bool {
    delimiter == " "
}

fn is_blank_line(delimiter: &str) -> bool {
    delimiter == "\n\n"
}

fn is_default(compare: &ExactMatch) -> bool {
    *compare == ExactMatch::default()
}
