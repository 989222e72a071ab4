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
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::plan::import::task;

    fn converted(text: &str) -> Converted {
        let given = Given { data: Some("q.jsonl"), ..Given::default() };
        convert(&task::of(text), given)
    }

    fn lines(converted: &Converted) -> Vec<String> {
        converted.findings.iter().map(ToString::to_string).collect()
    }

    const BIRDS: &str = r#"
task: birds
dataset_path: our/birds
test_split: test
training_split: train
output_type: multiple_choice
description: "What birds do.\n\n"
doc_to_text: "Q: {{question.strip()}}\nA:"
doc_to_choice: [no, "yes"]
doc_to_target: "{{ label }}"
num_fewshot: 2
fewshot_config:
  sampler: first_n
metric_list:
  - metric: acc
    aggregation: mean
  - metric: f1
metadata:
  version: 2.0
"#;

    #[test]
    fn a_multiple_choice_task_is_a_suite() {
        let quoted = BIRDS.replace("[no,", "[\"no\",");
        let done = converted(&quoted);
        let expected = r#"name = "birds"
title = "birds, as lm-eval's task file has it"
version = 2
licence = "not known: that of the data"
note = 'num_fewshot: examples are of the split "train": name a file of it with --examples; without one they are the last of the items, which are then not asked. metric_list: there is no metric f1 here; of these tasks there is acc, acc_norm, acc_bytes; it is left out'

[[source]]
from = "q.jsonl"

[choice]
doc_to_id = ""
doc_to_text = """
Q: {{question.strip()}}
A:"""
doc_to_choice = '["no","yes"]'
doc_to_target = '{{ label | string | index_in(["no","yes"], digits=true) }}'
description = """
What birds do.

"""
fewshot = 2

[[metric]]
name = "acc"
chance = 0.5
"#;
        assert_eq!(done.suite.as_deref(), Some(expected), "{:?}", done.findings);
        let unquoted = converted(BIRDS);
        assert_eq!(unquoted.suite, None);
        assert_eq!(
            lines(&unquoted)[0],
            "cannot be taken: doc_to_choice (t/task.yaml, line 9): has entries that are not texts (words such as no and 1 need quotation marks)"
        );
    }

    #[test]
    fn a_task_that_is_written_is_a_suite() {
        let done = converted(
            r#####"
task: sums
output_type: generate_until
doc_to_text: question
doc_to_target: "{{answer.split('### ')[-1]}}"
gen_prefix: " So"
generation_kwargs: {until: ["\n\n", "Q:"], max_gen_toks: 5000, do_sample: true, temperature: 0.5}
repeats: 8
filter_list:
  - name: maj
    filter:
      - {function: regex, regex_pattern: "(-?[0-9]+)", group_select: -1}
      - {function: majority_vote}
      - {function: take_first}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true, ignore_case: true, regexes_to_ignore: [","]}
"#####,
        );
        let text = done.suite.as_deref().unwrap_or_else(|| panic!("{:?}", done.findings));
        let file = SuiteText { path: "x".to_owned(), text: text.to_owned() };
        let suite::Scoring::Generate(suite) = suite::parse(&file).expect("parses").scoring else {
            panic!("{text}")
        };
        assert_eq!(suite.doc_to_text, "{{ question }} So");
        assert_eq!(suite.doc_to_target, "{{ (answer.split('### ')[-1]) | one_text }}");
        assert_eq!((suite.tokens, suite.ctx, suite.samples), (5000, 9096, 8));
        assert_eq!(suite.stop, ["\n\n", "Q:"]);
        assert!((suite.sampling.temperature - 0.5).abs() < 1e-9 && suite.exact_match.ignore_case);
        assert_eq!(suite.filter_list[0].steps.len(), 3);
        assert_eq!(suite.metrics(), ["exact_match/maj"]);
    }

    #[test]
    fn a_lone_continuation_is_a_suite() {
        let done = converted(
            "output_type: loglikelihood\ndoc_to_text: \"{{text[:3]}}\"\ndoc_to_target: \"{{' ' + text[3:]}}\"\nmetric_list:\n  - metric: perplexity\n    aggregation: perplexity\n",
        );
        let text = done.suite.clone().unwrap_or_else(|| panic!("{:?}", done.findings));
        for part in ["name = \"task\"", "only = true", "target_delimiter = \"\"", "name = \"ppl\""] {
            assert!(text.contains(part), "{text}");
        }
        assert!(text.contains("doc_to_choice = \"{{ [' ' + text[3:]] | tojson }}\""), "{text}");
    }

    #[test]
    fn defaults_are_lm_evals() {
        let done = converted("task: x\ndoc_to_text: q\ndoc_to_target: a\nfewshot_delimiter: \"\\n\"\n");
        let text = done.suite.clone().unwrap_or_else(|| panic!("{:?}", done.findings));
        assert!(text.contains("tokens = 256\n") && text.contains("name = \"exact_match\""), "{text}");
        assert!(text.contains("stop = [\"\"\"\n\n\"\"\"]") || text.contains("stop = [\"\\n\"]"), "{text}");
        assert!(lines(&done).is_empty(), "{:?}", done.findings);
    }

    #[test]
    fn all_that_cannot_be_taken_is_listed_at_once() {
        let done = converted(
            r"
output_type: multiple_choice
process_docs: !function lib.docs
doc_to_text: !function lib.text
doc_to_choice: choices
doc_to_target: [0, 1]
metric_list:
  - metric: !function lib.score
  - metric: acc
    aggregation: !function lib.mean
filter_list:
  - {name: x, filter: [{function: lowercase}]}
fewshot_config: {sampler: best}
colour: red
",
        );
        assert_eq!(done.suite, None);
        let expected = [
            "cannot be taken: process_docs (t/task.yaml, line 3): the data are changed by Python: the Python function lib.docs",
            "cannot be taken: filter_list (t/task.yaml, line 12): filters texts, and choices are scored by their probabilities",
            "cannot be taken: metric_list (t/task.yaml, line 8): the metric is the Python function lib.score",
            "cannot be taken: metric_list (t/task.yaml, line 9): the metric acc is averaged by the Python function lib.mean",
            "cannot be taken: doc_to_text (t/task.yaml, line 4): the Python function lib.text",
            "cannot be taken: doc_to_target (t/task.yaml, line 6): has entries that are not texts (words such as no and 1 need quotation marks)",
            "left out: colour (t/task.yaml, line 14): is no key that lm-eval reads",
            "left out: fewshot_config.sampler (t/task.yaml, line 13): there is no sampler best",
        ];
        assert_eq!(lines(&done), expected);
    }

    #[test]
    fn single_reasons() {
        for (text, says) in [
            ("task: [a, b]\n", "a group of other tasks"),
            ("task: x\n", "it is no task"),
            ("output_type: loglikelihood_rolling\n", "nothing here for \"loglikelihood_rolling\""),
            ("doc_to_text: a\n", "doc_to_target: is missing"),
            ("doc_to_text: 0\ndoc_to_target: a\n", "index of a context"),
            ("doc_to_text: \"{% if %}\"\ndoc_to_target: a\n", "does not compile"),
            ("doc_to_text: q\ndoc_to_target: a\ngen_prefix: So\n", "whose end is not known"),
            ("doc_to_text: q\ndoc_to_target: a\nunsafe_code: true\n", "programs that would be run"),
            ("doc_to_text: q\ndoc_to_target: a\ngeneration_kwargs: {num_beams: 4}\n", "no num_beams"),
            ("doc_to_text: q\ndoc_to_target: a\ngeneration_kwargs: {max_gen_toks: many}\n", "above 0"),
            ("doc_to_text: q\ndoc_to_target: a\nnum_fewshot: some\n", "not a number from 0"),
            ("doc_to_text: q\ndoc_to_target: a\nmetric_list: [{metric: bleu}]\n", "there is no metric bleu"),
            ("doc_to_text: q\ndoc_to_target: a\nfilter_list: [{name: x, filter: [{function: y}]}]\n", "`y`"),
            (
                "doc_to_text: q\ndoc_to_target: a\nmetric_list: [{metric: exact_match, ignore_accents: true}]\n",
                "ignore_accents",
            ),
            (
                "output_type: loglikelihood\ndoc_to_text: q\ndoc_to_target: a\nnum_fewshot: 1\n",
                "before the answers of examples",
            ),
            (
                "doc_to_text: q\ndoc_to_target: a\nnum_fewshot: 1\nfewshot_config: {samples: [{q: 1}]}\n",
                "with -o they are written",
            ),
        ] {
            let done = converted(text);
            assert_eq!(done.suite, None, "{text}");
            assert!(lines(&done).iter().any(|line| line.contains(says)), "{text}: {:?}", lines(&done));
        }
    }

    #[test]
    fn data_are_found_or_asked_for() {
        let suite = |more: &str| {
            let text = format!("doc_to_text: q\ndoc_to_target: a\ntest_split: test\nnum_fewshot: 1\n{more}");
            let given = Given { beside: Some("out.examples.jsonl"), ..Given::default() };
            let done = convert(&task::of(&text), given);
            let suite = done.suite.clone().unwrap_or_else(|| panic!("{:?}", done.findings));
            let file = SuiteText { path: "x".to_owned(), text: suite };
            let suite = suite::parse(&file).expect("parses");
            let from = |sources: &[suite::DataSource]| {
                sources.first().map_or(String::new(), |source| source.from.clone())
            };
            (from(&suite.sources), from(&suite.fewshot_sources), done)
        };
        let files =
            "dataset_kwargs: {data_files: {test: d/t.jsonl, train: d/e.jsonl}}\ntraining_split: train\n";
        let (data, examples, _) = suite(&format!("dataset_path: json\n{files}"));
        assert_eq!((data.as_str(), examples.as_str()), ("d/t.jsonl", "d/e.jsonl"));
        let (data, ..) = suite(&format!("dataset_path: our/set\n{files}"));
        assert_eq!(data, "hf:datasets/our/set/d/t.jsonl");
        let (data, _, done) = suite("dataset_path: our/set\ndataset_name: small\n");
        assert_eq!(data, data::UNNAMED);
        assert!(
            lines(&done).iter().any(|l| l.contains("\"our/set\" and \"small\" alone")),
            "{:?}",
            lines(&done)
        );
        let (_, examples, done) = suite("fewshot_config: {sampler: first_n, samples: [{q: 1, a: two}]}\n");
        assert_eq!(examples, "out.examples.jsonl");
        assert_eq!(done.examples.as_deref(), Some("{\"q\":1,\"a\":\"two\"}\n"));
    }

    proptest! {
        #[test]
        fn any_task_becomes_a_suite_or_a_list(
            keys in proptest::collection::vec((0..READ.len(), "[a-z0-9{}\\[\\]:, '%|!-]{0,14}"), 0..8),
        ) {
            let text: String = keys.iter().map(|(key, value)| format!("{}: {value}\n", READ[*key])).collect();
            let read = Task::read(std::path::Path::new("t.yaml"), &mut |_| Ok(text.clone()));
            if let Ok(task) = read {
                let done = convert(&task, Given::default());
                prop_assert!(done.suite.is_some() || !done.findings.is_empty());
            }
        }
    }
}
