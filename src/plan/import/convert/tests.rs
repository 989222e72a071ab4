//! Tasks of our own, made into suites or refused.

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
        r#"
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
"#,
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
fn a_name_with_blanks_is_a_field_if_the_data_have_it() {
    let done = converted("doc_to_text: The Question\ndoc_to_target: Answer Key\n");
    let text = done.suite.unwrap_or_default();
    assert!(text.contains(r#"'{{ doc.get("The Question", "The Question") }}'"#), "{text}");
    assert!(text.contains(r#"'{{ (doc.get("Answer Key", "Answer Key")) | one_text }}'"#), "{text}");
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
    let files = "dataset_kwargs: {data_files: {test: d/t.jsonl, train: d/e.jsonl}}\ntraining_split: train\n";
    let (data, examples, _) = suite(&format!("dataset_path: json\n{files}"));
    assert_eq!((data.as_str(), examples.as_str()), ("d/t.jsonl", "d/e.jsonl"));
    let (data, ..) = suite(&format!("dataset_path: our/set\n{files}"));
    assert_eq!(data, "hf:datasets/our/set/d/t.jsonl");
    let (data, _, done) = suite("dataset_path: our/set\ndataset_name: small\n");
    assert_eq!(data, data::UNNAMED);
    assert!(lines(&done).iter().any(|l| l.contains("\"our/set\" and \"small\" alone")), "{:?}", lines(&done));
    let (_, examples, done) = suite("fewshot_config: {sampler: first_n, samples: [{q: 1, a: two}]}\n");
    assert_eq!(examples, "out.examples.jsonl");
    assert_eq!(done.examples.as_deref(), Some("{\"q\":1,\"a\":\"two\"}\n"));
}

proptest! {
    #[test]
    fn any_task_becomes_a_suite_or_a_list(
        keys in proptest::collection::vec((0..READ.len(), "[a-z0-9{}\\[\\]:, '%|!-]{0,14}"), 0..8),
    ) {
        let lines: Vec<String> = keys.iter().map(|(key, value)| format!("{}: {value}", READ[*key])).collect();
            let text = lines.join("\n");
        let read = Task::read(std::path::Path::new("t.yaml"), &mut |_| Ok(text.clone()));
        if let Ok(task) = read {
            let done = convert(&task, Given::default());
            prop_assert!(done.suite.is_some() || !done.findings.is_empty());
        }
    }
}
