//! Task files of lm-eval become suites that score as ones written by hand, or say what stands in the way.

use serde_json::Value;

use crate::sandbox::Sandbox;

/// What the quiz of the sandbox would be to lm-eval.
const QUIZ_TASK: &str = r#"
include: shared/base
task: imported
doc_to_text: "Question: {{question}}\nAnswer:"
doc_to_choice: choices
doc_to_target: answer
"#;

const BASE: &str = r"
output_type: multiple_choice
dataset_path: nobody/quiz
test_split: test
metric_list:
  - metric: acc_norm
    aggregation: mean
  - metric: acc
    aggregation: mean
metadata:
  version: 3
";

fn sandbox(task: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("shared")).expect("made");
    sandbox.write("shared/base", BASE);
    sandbox.write("task.yaml", task);
    sandbox
}

fn metrics(sandbox: &Sandbox, suite: &str) -> Value {
    let outcome = sandbox.run(&["eval", "tiny.gguf", suite, "--json", "--threads", "1", "--limit", "8"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let answer: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    answer["metrics"].clone()
}

#[test]
fn an_imported_suite_scores_as_one_written_by_hand() {
    let sandbox = sandbox(QUIZ_TASK);
    let args = ["suites", "import", "task.yaml", "-o", "imported.toml", "--data", "questions.jsonl"];
    let outcome = sandbox.run(&args).ends(0);
    assert_eq!(outcome.stdout, "imported.toml: imported, 24 items\n");
    assert_eq!(outcome.stderr, "");
    let text = sandbox.read("imported.toml");
    assert!(text.contains("doc_to_target = \"{{ answer | index_in(choices) }}\""), "{text}");
    // The order of items, and so which ones, comes of the suite's name.
    sandbox.write("imported.toml", text.replace("\"imported\"", "\"quiz\""));
    let mut by_hand = metrics(&sandbox, "quiz.toml");
    let mut imported = metrics(&sandbox, "imported.toml");
    for metrics in [&mut by_hand, &mut imported] {
        for metric in metrics.as_array_mut().expect("metrics") {
            metric.as_object_mut().expect("a metric").remove("chance");
        }
    }
    assert_eq!(imported, by_hand);
}

#[test]
fn data_that_are_not_named_are_asked_for() {
    let sandbox = sandbox(QUIZ_TASK);
    let outcome = sandbox.run(&["suites", "import", "task.yaml"]).ends(0);
    assert!(outcome.stdout.starts_with("name = \"imported\"\n"), "{}", outcome.stdout);
    assert_eq!(
        outcome.stderr,
        "differs: dataset_path (shared/base, line 3): the data cannot be found by \"nobody/quiz\" alone: download the split \"test\" as a file and name it with --data, or in [[source]]\n"
    );
    sandbox.write("suite.toml", &outcome.stdout);
    sandbox
        .run(&["eval", "tiny.gguf", "suite.toml"])
        .ends(3)
        .tells(&["there is no file name-a-file-of-the-questions.jsonl"]);
}

#[test]
fn examples_of_the_task_file_lie_beside_the_suite() {
    let task = format!(
        "{QUIZ_TASK}num_fewshot: 1\nfewshot_config:\n  sampler: first_n\n  samples:\n  - {{question: Up?, choices: [down, sky], answer: 1}}\n"
    );
    let sandbox = sandbox(&task);
    let out = ["-o", "s/out.toml", "--data", "questions.jsonl"];
    sandbox.run(&[&["suites", "import", "task.yaml"], &out[..]].concat()).ends(0);
    let samples = sandbox.read("s/out.examples.jsonl");
    assert_eq!(samples, "{\"question\":\"Up?\",\"choices\":[\"down\",\"sky\"],\"answer\":1}\n");
    assert!(sandbox.read("s/out.toml").contains("from = \"s/out.examples.jsonl\""));
}

#[test]
fn what_cannot_be_taken_is_listed_and_nothing_written() {
    let task =
        format!("{QUIZ_TASK}process_docs: !function lib.docs\ndoc_to_decontamination_query: question\n");
    let sandbox = sandbox(&task);
    let outcome = sandbox.run(&["suites", "import", "task.yaml", "-o", "out.toml"]).ends(3);
    assert_eq!(outcome.stdout, "");
    assert!(!sandbox.path("out.toml").exists());
    for says in [
        "cannot be taken: process_docs (task.yaml, line 7): the data are changed by Python: the Python function lib.docs\n",
        "error: task.yaml cannot become a suite: 1 of its parts cannot be taken (hint: ",
    ] {
        assert!(outcome.stderr.contains(says), "{}", outcome.stderr);
    }
}

#[test]
fn files_that_are_no_tasks_are_refused() {
    for (task, says) in [
        ("a: [", "task.yaml, line 2: not valid YAML"),
        ("include: nowhere.yaml\n", "cannot read nowhere.yaml"),
        ("include: task.yaml\n", "files include each other"),
        ("- a\n", "is a map of keys"),
    ] {
        let outcome = sandbox(task).run(&["suites", "import", "task.yaml"]).ends(3);
        assert!(outcome.stderr.contains(says) && outcome.stderr.contains("(hint: "), "{}", outcome.stderr);
    }
}

#[test]
fn data_that_do_not_fit_are_told_of() {
    let task = QUIZ_TASK.replace("{{question}}", "{{nothing}}");
    let args = ["suites", "import", "task.yaml", "-o", "out.toml", "--data", "questions.jsonl"];
    sandbox(&task).run(&args).ends(3).tells(&["questions.jsonl, line 1: doc_to_text cannot be rendered"]);
}
