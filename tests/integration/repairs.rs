//! Repositories that are mended with tools: every packaged task can be done, in the sandbox, and a course is recorded.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use bitfrontier::answers::calls::expected::Reference;
use bitfrontier::answers::calls::format::Format;
use bitfrontier::plan::agent::Repository;
use bitfrontier::plan::conversation::Message;
use bitfrontier::plan::suite::built_in_data;
use bitfrontier::sandbox::{End, Job, Limits};
use bitfrontier::score::agent::{Course, Ended, Tested, reference};
use serde_json::{Value, json};

use crate::escape::guarded;
use crate::records::{find, losses};
use crate::sandbox::{FIXTURES, Sandbox};
use crate::table::Table;

fn tasks() -> Vec<Value> {
    let data = built_in_data("repairs.jsonl").expect("packaged");
    let text = std::str::from_utf8(data).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("a task")).collect()
}

/// Plays a task with a model that looks, tests, writes the repair and tests again.
fn played(task: &Value, sandbox: &bitfrontier::sandbox::Sandbox) -> Course {
    let reference = Reference::read(&reference(), false).expect("tools");
    let printed = |key: &str| task[key].to_string();
    let repository = Repository::printed(&printed("files"), &printed("tests")).expect("a repository");
    let mut test = |repository: &Repository| {
        let ran = sandbox.run(&Job {
            files: repository.all().map(|(path, text)| (path.clone(), text.as_str().into())).collect(),
            argv: ["python3", "-m", "unittest", "-q"].map(str::to_owned).to_vec(),
            stdin: Vec::new().into(),
            limits: Limits::default(),
            keep: false,
        })?;
        let said = String::from_utf8_lossy(&ran.stderr.0).into_owned();
        Ok::<_, bitfrontier::sandbox::SandboxError>(Tested { pass: ran.end == End::Exited(0), said })
    };
    let call = |name: &str, arguments: Value| {
        format!("<tool_call>{}</tool_call>", json!({"name": name, "arguments": arguments}))
    };
    let mut answers = vec![call("list_files", json!({})), call("run_tests", json!({}))];
    for (path, content) in task["repair"].as_object().expect("files") {
        answers.push(call("write_file", json!({"path": path, "content": content})));
    }
    answers.push(call("run_tests", json!({})));
    let mut course = Course::new(repository, vec![Message::new("user", "Mend it.")], 12, 3000);
    for answer in &answers {
        assert_eq!(course.ended, None, "{}: {:?}", task["id"], course.results);
        course.take(answer, Format::Hermes, &reference, &mut test).expect("run");
    }
    course
}

#[test]
fn every_task_fails_at_first_and_can_be_mended() {
    let tasks = tasks();
    assert!(tasks.len() >= 20);
    let levels: Vec<u64> = tasks.iter().filter_map(|task| task["level"].as_u64()).collect();
    assert!(levels.is_sorted() && levels.first() == Some(&1) && levels.last() == Some(&5));
    let Some(sandbox) = guarded() else { return };
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let course = played(task, &sandbox);
                    let (name, results) = (&task["id"], &course.results);
                    assert!(results[1].starts_with("The tests fail:"), "{name}: {results:?}");
                    assert_eq!(
                        (course.ended, course.invalid),
                        (Some(Ended::Passed), 0),
                        "{name}: {results:?}"
                    );
                }
            });
        }
    });
}

#[test]
fn courses_are_recorded_limited_in_time_and_gone_on_with() {
    if guarded().is_none() {
        return;
    }
    let sandbox = Sandbox::new();
    let base = format!("{FIXTURES}/fixture-f16.gguf");
    let suite =
        std::fs::read_to_string(format!("{}/suites/repairs.toml", env!("CARGO_MANIFEST_DIR"))).expect("read");
    let short = suite.replace("tokens = 768", "tokens = 24").replace("ctx = 8192", "ctx = 2048");
    sandbox.write("repairs.toml", short.replace("parallel = 4", "parallel = 1"));
    let what = [
        "--base",
        &base,
        "--recipes",
        "base",
        "--suites",
        "repairs.toml",
        "--limit",
        "3",
        "--repetitions",
        "1",
    ];
    let all = |more: &[&str]| {
        let args = [&["sweep", "--out", "out", "--quiet"], &what[..], more].concat();
        sandbox.run(&args).ends(0)
    };
    let limited = all(&["--time", "0.00001"]);
    assert!(
        limited.stderr.contains("the time was up for 1 of 3 trials; the same command goes on"),
        "{}",
        limited.stderr
    );
    let first = find(&sandbox.path("out"), "base", "repairs");
    assert_eq!((first.status.as_str(), first.lines.len()), ("pending", 1), "{first:?}");
    assert_eq!(first.reason, "the time was up with 2 of 3 items left");
    let metrics = Table::read(&sandbox.path("out/metrics.csv"));
    let row = [("variant", "base"), ("suite", "repairs"), ("metric", "solved")];
    assert_eq!([metrics.cell(&row, "n"), metrics.cell(&row, "status")], ["1", "pending"]);

    all(&[]);
    assert_eq!(losses(&sandbox.path("out")), Vec::<String>::new());
    let metrics = Table::read(&sandbox.path("out/metrics.csv"));
    assert_eq!([metrics.cell(&row, "n"), metrics.cell(&row, "status")], ["3", "done"]);
    assert_eq!(metrics.cell(&[("variant", "base"), ("suite", "repairs"), ("metric", "turns")], "n"), "3");
    let capabilities = Table::read(&sandbox.path("out/capabilities.csv"));
    assert_eq!(capabilities.cell(&[("capability", "agent")], "left_out"), "repairs: no signal");
}
