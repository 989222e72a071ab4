//! A task becomes a suite file, or a list of what stands in the way. All keys are looked at before anything is
//! refused, so that the list is whole.

use crate::plan::error::PlanError;
use crate::plan::import::data;
use crate::plan::import::draft::{Choice, Common, Draft, Generate, Metric};
use crate::plan::import::fewshot::{Examples, examples};
use crate::plan::import::finding::{Finding, Weight};
use crate::plan::import::generation::writing;
use crate::plan::import::metrics::{self, of_answers, of_choices};
use crate::plan::import::prompt::{Said, with_prefix};
use crate::plan::import::reading::{Reading, python};
use crate::plan::import::task::Task;
use crate::plan::import::yaml::{Data, Node};
use crate::plan::suite::{self, SuiteText};
use crate::plan::template::Template;

/// Keys that are read, here and in the other files of this folder.
const READ: [&str; 23] = [
    "task",
    "task_alias",
    "output_type",
    "dataset_path",
    "dataset_name",
    "dataset_kwargs",
    "training_split",
    "validation_split",
    "test_split",
    "fewshot_split",
    "fewshot_config",
    "num_fewshot",
    "doc_to_text",
    "doc_to_choice",
    "doc_to_target",
    "description",
    "target_delimiter",
    "fewshot_delimiter",
    "gen_prefix",
    "generation_kwargs",
    "repeats",
    "filter_list",
    "metric_list",
];
/// Keys that say nothing of scores.
const SILENT: [&str; 6] =
    ["tag", "group", "metadata", "should_decontaminate", "doc_to_decontamination_query", "unsafe_code"];
/// Keys that only Python can carry out, and what they do.
const PYTHON: [(&str, &str); 8] = [
    ("class", "the task is written in Python"),
    ("custom_dataset", "the data are made by Python"),
    ("process_docs", "the data are changed by Python"),
    ("process_results", "answers are graded by Python"),
    ("use_prompt", "the prompt is one of promptsource"),
    ("doc_to_image", "there are images in the prompt"),
    ("doc_to_audio", "there is sound in the prompt"),
    ("task_list", "a task in several variants"),
];

/// What the user names beside the task.
#[derive(Debug, Clone, Copy, Default)]
pub struct Given<'a> {
    /// A file of the questions.
    pub data: Option<&'a str>,
    /// A file of the examples.
    pub examples: Option<&'a str>,
    /// Where examples that stand in the task file would be written.
    pub beside: Option<&'a str>,
}

/// What became of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converted {
    /// The suite file; none if something in the task cannot be taken.
    pub suite: Option<String>,
    /// Examples that stood in the task file, as JSON lines.
    pub examples: Option<String>,
    /// What is said of its keys.
    pub findings: Vec<Finding>,
}

/// Makes a suite file of a task.
pub fn convert(task: &Task, given: Given<'_>) -> Converted {
    let mut reading = Reading { task, findings: Vec::new() };
    let is_task = !is_group(&mut reading);
    if is_task {
        other_keys(&mut reading);
    }
    let (draft, lines) =
        if is_task && asks(&mut reading) { draft(&mut reading, given) } else { (None, None) };
    let suite = draft.filter(|_| !reading.is_refused()).and_then(|draft| written(&mut reading, &draft));
    reading.findings.sort_by_key(|finding| match finding.weight {
        Weight::Refused => 0,
        Weight::Differs => 1,
        Weight::Ignored => 2,
    });
    let examples = lines.filter(|_| suite.is_some());
    Converted { suite, examples, findings: reading.findings }
}

/// Whether the file names other tasks.
fn is_group(reading: &mut Reading<'_>) -> bool {
    let node = reading.get("task").filter(|node| matches!(node.data, Data::List(_)));
    if node.is_some() {
        reading.refuse("task", node, "the file is a group of other tasks: import the files of those");
    }
    node.is_some()
}

/// Whether the file says anything of what is asked.
fn asks(reading: &mut Reading<'_>) -> bool {
    let asks = ["doc_to_text", "doc_to_target", "output_type"].iter().any(|key| reading.get(key).is_some());
    if !asks && !is_python(reading) {
        reading.refuse("doc_to_text", None, "the file says nothing of what is asked: it is no task");
    }
    asks
}

fn is_python(reading: &Reading<'_>) -> bool {
    PYTHON.iter().any(|(key, _)| reading.get(key).is_some())
}

fn other_keys(reading: &mut Reading<'_>) {
    let names: Vec<String> = reading.task.names().map(str::to_owned).collect();
    for key in names.iter().map(String::as_str).filter(|key| !READ.contains(key)) {
        let Some(node) = reading.get(key) else { continue };
        if let Some((_, what)) = PYTHON.iter().find(|(name, _)| *name == key) {
            let by = node.function().map_or(String::new(), |name| format!(": {}", python(name)));
            reading.refuse(key, Some(node), format!("{what}{by}"));
        } else if key == "unsafe_code" && node.data == Data::Bool(true) {
            reading.refuse(key, Some(node), "answers are programs that would be run");
        } else if !SILENT.contains(&key) {
            reading.ignored(key, Some(node), "is no key that lm-eval reads");
        }
    }
}

fn draft(reading: &mut Reading<'_>, given: Given<'_>) -> (Option<Draft>, Option<String>) {
    let shots = examples(reading, given.examples, given.beside);
    let delimiter = |reading: &mut Reading<'_>, key, otherwise: &str| {
        reading.text(key).map_or_else(|| otherwise.to_owned(), str::to_owned)
    };
    let common = Common {
        target_delimiter: delimiter(reading, "target_delimiter", " "),
        description: delimiter(reading, "description", ""),
        fewshot: shots.count,
        fewshot_delimiter: delimiter(reading, "fewshot_delimiter", "\n\n"),
    };
    let kind = reading.get("output_type").map_or(Some("generate_until"), Node::text).unwrap_or("");
    let (choice, generate, metric) = match kind {
        "multiple_choice" => {
            let (choice, metric) = multiple_choice(reading, common);
            (choice, None, metric)
        }
        "loglikelihood" => {
            let (choice, metric) = loglikelihood(reading, common);
            (choice, None, metric)
        }
        "generate_until" => {
            let (generate, metric) = generate_until(reading, common);
            (None, generate, metric)
        }
        other => {
            let what = format!(
                "there is nothing here for {other:?}; for the perplexity of texts see `bitfrontier perplexity`"
            );
            reading.refuse("output_type", reading.get("output_type"), what);
            (None, None, Vec::new())
        }
    };
    let source = data::questions(reading, given.data);
    let Examples { places, lines, .. } = shots;
    let named = |key| reading.get(key).and_then(Node::text).filter(|text| !text.trim().is_empty());
    let name = reading.task.name().to_owned();
    let title = format!("{}, as lm-eval's task file has it", named("task_alias").unwrap_or(&name));
    let differing =
        reading.findings.iter().filter(|f| f.weight == Weight::Differs && f.key != "dataset_path");
    let note: Vec<String> = differing.map(|finding| format!("{}: {}", finding.key, finding.what)).collect();
    let is_whole = choice.is_some() || generate.is_some();
    let draft = Draft {
        name,
        title,
        version: version(reading),
        licence: "not known: that of the data".to_owned(),
        note: note.join(". "),
        source,
        fewshot_source: places,
        choice,
        generate,
        metric,
    };
    (is_whole.then_some(draft), lines)
}

fn multiple_choice(reading: &mut Reading<'_>, common: Common) -> (Option<Choice>, Vec<Metric>) {
    metrics::only_take_first(reading);
    let mut metric = of_choices(reading, &metrics::CHOICE, &["acc", "acc_norm"]);
    let question = question(reading, &common);
    let choices = required(reading, "doc_to_choice");
    let target = required(reading, "doc_to_target");
    if let (Some(Said::List(texts)), Some(first)) = (&choices, metric.first_mut())
        && texts.len() > 1
    {
        first.chance = Some(1.0 / texts.len() as f64);
    }
    let listed = choices.as_ref().and_then(|choices| checked(reading, "doc_to_choice", choices.choices()));
    let right = choices
        .zip(target)
        .and_then(|(choices, target)| checked(reading, "doc_to_target", target.right_choice(&choices)));
    let choice = question.zip(listed).zip(right).map(|((question, listed), right)| Choice {
        doc_to_id: String::new(),
        doc_to_text: question,
        doc_to_choice: listed,
        doc_to_target: right,
        common,
        only: false,
    });
    (choice, metric)
}

fn loglikelihood(reading: &mut Reading<'_>, mut common: Common) -> (Option<Choice>, Vec<Metric>) {
    metrics::only_take_first(reading);
    let metric = of_choices(reading, &metrics::ONLY, &["ppl", "acc"]);
    let question = question(reading, &common);
    let target = required(reading, "doc_to_target");
    let only = target.and_then(|target| checked(reading, "doc_to_target", target.only_choice()));
    if common.fewshot > 0 && !common.target_delimiter.is_empty() {
        let what = "lm-eval puts `target_delimiter` before the answers of examples and not before the one that is scored";
        reading.refuse("num_fewshot", None, what);
    }
    // The continuation follows as it stands.
    common.target_delimiter = String::new();
    let choice = question.zip(only).map(|(question, only)| Choice {
        doc_to_id: String::new(),
        doc_to_text: question,
        doc_to_choice: only,
        doc_to_target: "0".to_owned(),
        common,
        only: true,
    });
    (choice, metric)
}

fn generate_until(reading: &mut Reading<'_>, common: Common) -> (Option<Generate>, Vec<Metric>) {
    let (metric, exact_match, filter_list) = of_answers(reading);
    let writing = writing(reading, &filter_list, &common.fewshot_delimiter);
    let question = question(reading, &common);
    let target = required(reading, "doc_to_target");
    let choices = Said::read(reading, "doc_to_choice");
    let right = target.and_then(|target| {
        let source = match &choices {
            Some(choices) => target.right_answer_of(choices),
            None => target.right_answer(),
        };
        checked(reading, "doc_to_target", source)
    });
    let generate = question.zip(right).map(|(question, right)| Generate {
        doc_to_id: String::new(),
        doc_to_text: question,
        doc_to_target: right,
        common,
        writing,
        exact_match,
        filter_list,
    });
    (generate, metric)
}

fn question(reading: &mut Reading<'_>, common: &Common) -> Option<String> {
    let said = required(reading, "doc_to_text")?;
    if matches!(said, Said::Number(_)) {
        let what =
            "is the index of a context among the choices; see `doc_to_continuation` in suites/README.md";
        reading.refuse("doc_to_text", reading.get("doc_to_text"), what);
        return None;
    }
    let source = checked(reading, "doc_to_text", said.question())?;
    Some(with_prefix(reading, &source, &common.target_delimiter, common.fewshot).unwrap_or(source))
}

fn required(reading: &mut Reading<'_>, key: &str) -> Option<Said> {
    // A task in Python says so at another key.
    if reading.get(key).is_none() && !is_python(reading) {
        reading.refuse(key, None, "is missing");
    }
    Said::read(reading, key)
}

/// A template that compiles.
fn checked(reading: &mut Reading<'_>, key: &'static str, source: Option<String>) -> Option<String> {
    let node = reading.get(key);
    let Some(source) = source else {
        reading.refuse(key, node, "there is no one right answer or text in it");
        return None;
    };
    match Template::new(key, &source) {
        Ok(_) => Some(source),
        Err(PlanError::Missing { what, .. }) => {
            reading.refuse(key, node, what);
            None
        }
        Err(error) => {
            reading.refuse(key, node, error.to_string());
            None
        }
    }
}

fn version(reading: &Reading<'_>) -> u32 {
    let version = reading.get("metadata").and_then(|node| node.get("version"));
    match version.map(|node| &node.data) {
        Some(Data::Integer(number)) => u32::try_from(*number).unwrap_or(1),
        Some(Data::Float(number)) if (0.0..1e6).contains(number) => *number as u32,
        _ => 1,
    }
}

/// The text of the suite file, which must be one that this program reads.
fn written(reading: &mut Reading<'_>, draft: &Draft) -> Option<String> {
    let text = match toml::to_string_pretty(draft) {
        Ok(text) => text,
        Err(error) => {
            reading.refuse("task", None, format!("the suite cannot be written: {error}"));
            return None;
        }
    };
    match suite::parse(&SuiteText { path: "the suite".to_owned(), text: text.clone() }) {
        Ok(_) => Some(text),
        Err(error) => {
            reading.refuse("task", None, error.to_string());
            None
        }
    }
}

#[cfg(test)]
mod tests;
