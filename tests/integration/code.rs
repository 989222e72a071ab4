//! Answers that are programs: run in the sandbox, graded as human-eval's executor grades them, recorded.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use bitfrontier::answers::execute::{Around, Execute, Runner, Verdict};
use serde::Deserialize;
use serde_json::Value;

use crate::escape::guarded;
use crate::sandbox::{FIXTURES, Outcome, Sandbox};

/// An answer, and whether human-eval 1.0.3's executor lets it pass.
#[derive(Deserialize)]
struct Recorded {
    task: String,
    kind: String,
    before: String,
    after: String,
    answer: String,
    passed: bool,
}

fn runner(sandbox: bitfrontier::sandbox::Sandbox, more: &str) -> Runner {
    let execute: Execute = toml::from_str(&format!("after = \"\"\n{more}")).expect("parses");
    Runner::new(sandbox, &execute, &[])
}

/// Runs recorded answers on all cores; gives how many pass, and those that human-eval judges otherwise.
fn compared(file: &Path) -> Option<(usize, usize, Vec<String>)> {
    let runner = runner(guarded()?, "");
    let text = fs::read_to_string(file).expect("read");
    let rows: Vec<Recorded> = text.lines().map(|line| serde_json::from_str(line).expect("a row")).collect();
    let (next, passed, different) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let around = Around { before: row.before.clone(), after: row.after.clone() };
                    let ours = runner.outcome(&around, &row.answer).expect("run");
                    let is_passed = ours.verdict == Verdict::Passed;
                    passed.fetch_add(usize::from(is_passed), Ordering::Relaxed);
                    if is_passed != row.passed {
                        let line = format!("{} {}: ours {ours:?}, theirs {}", row.task, row.kind, row.passed);
                        different.lock().expect("held").push(line);
                    }
                }
            });
        }
    });
    Some((rows.len(), passed.into_inner(), different.into_inner().expect("held")))
}

#[test]
fn recorded_programs_pass_where_human_eval_lets_them() {
    let Some((all, passed, different)) = compared(&Path::new(FIXTURES).join("answers/programs.jsonl")) else {
        return;
    };
    assert_eq!(different, Vec::<String>::new());
    assert!(passed >= 10 && all - passed >= 50, "{passed} of {all} pass");
}

/// `scripts/check-code` records the answers and runs this.
#[test]
#[ignore = "needs answers that scripts/check-code records"]
fn programs_of_human_eval_pass_where_its_executor_lets_them() {
    let file = std::env::var_os("BITFRONTIER_PROGRAMS").expect("BITFRONTIER_PROGRAMS names the file");
    let (all, passed, different) = compared(Path::new(&file)).expect("a sandbox");
    println!("{all} verdicts, {passed} right, {} different", different.len());
    println!("{}", different.join("\n"));
    assert!(different.is_empty());
}

#[test]
fn programs_have_their_verdict_and_its_reason() {
    let Some(sandbox) = guarded() else { return };
    let runner = runner(sandbox, "timeout_s = 1\nmemory_mib = 128");
    let around = Around {
        before: "def f(x):\n".to_owned(),
        after: "\nprint('noise')\nassert f(2) == 4, 'f of two'\n".to_owned(),
    };
    for (answer, verdict, well_formed, error) in [
        ("    return 2 * x", Verdict::Passed, true, ""),
        ("    return 2 + x", Verdict::Passed, true, ""),
        ("    return x", Verdict::Failed, true, "AssertionError: f of two"),
        ("    return y", Verdict::Failed, true, "NameError: name 'y' is not defined"),
        ("    return (", Verdict::Failed, false, "SyntaxError"),
        ("    raise SystemExit(0)", Verdict::Failed, true, "SystemExit: 0"),
        ("    import os; os._exit(0)", Verdict::Failed, true, "it ended before its tests, with exit code 0"),
        ("    import os; os.abort()", Verdict::Failed, true, "it ended by signal 6"),
        ("    return input()", Verdict::Failed, true, "EOFError"),
        ("    while True: pass", Verdict::TimedOut, true, ""),
        ("    x = [bytearray(10**6) for _ in range(200)]; return 4", Verdict::OutOfMemory, true, ""),
        ("    print('passed'); return 5", Verdict::Failed, true, "AssertionError"),
    ] {
        let outcome = runner.outcome(&around, answer).expect("run");
        assert_eq!((outcome.verdict, outcome.well_formed), (verdict, well_formed), "{answer}: {outcome:?}");
        assert!(outcome.error.starts_with(error), "{answer}: {outcome:?}");
    }
}

fn eval(sandbox: &Sandbox, args: &[&str]) -> Outcome {
    let (model, suite) =
        (format!("{FIXTURES}/fixture-f16.gguf"), format!("{FIXTURES}/suites/functions.toml"));
    let mut command = sandbox.command(&["eval", &model, &suite, "--limit", "16", "--threads", "2", "--json"]);
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).args(args).output();
    Outcome::of(&output.expect("run"))
}

#[test]
fn functions_of_the_fixture_are_run_and_recorded() {
    let Some(kind) = guarded().map(|sandbox| sandbox.kind()) else {
        eval(&Sandbox::new(), &[]).ends(1).tells(&["allows no sandbox", "--unsafe-exec"]);
        return;
    };
    let sandbox = Sandbox::new();
    let records = sandbox.path("records.jsonl");
    let outcome = eval(&sandbox, &["--records", records.to_str().expect("text")]).ends(0);
    let told: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert_eq!((told["sandbox"].as_str(), told["failed"].as_u64()), (Some(kind), Some(0)));
    let value = |name: &str| {
        let metrics = told["metrics"].as_array().expect("metrics");
        metrics.iter().find(|metric| metric["name"] == name).expect(name)["value"].as_f64().expect("a number")
    };
    let items: Vec<Value> =
        sandbox.read("records.jsonl").lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let verdict =
        |item: &Value| item["score"]["outcomes"][0]["verdict"].as_str().expect("a verdict").to_owned();
    let passed = items.iter().filter(|item| verdict(item) == "passed").count();
    assert!((value("pass@1") - passed as f64 / 16.0).abs() < 1e-12 && items.len() == 16);
    // It learnt to write such functions.
    assert!(passed >= 4 && value("well_formed") >= 0.5, "{passed} {}", value("well_formed"));
}

#[test]
fn without_a_guard_it_is_said() {
    let sandbox = Sandbox::new();
    let outcome = eval(&sandbox, &["--unsafe-exec", "--samples", "2", "--temperature", "1"]).ends(0);
    let told: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert_eq!(told["sandbox"], "none");
}

const WELL_FORMED: &str = "[[metric]]\nname = \"well_formed\"\n";

#[test]
fn a_suite_that_runs_no_program_has_no_table_of_them() {
    let sandbox = Sandbox::new();
    let suite = fs::read_to_string(format!("{FIXTURES}/suites/functions.toml")).expect("read");
    sandbox.write(
        "code.toml",
        suite.replace("measure = \"code\"\n", "").replace("pass@1", "exact_match").replace(WELL_FORMED, ""),
    );
    let outcome = sandbox.run(&["eval", "tiny.gguf", "code.toml"]);
    outcome.ends(3).tells(&["code.toml", "[generate.execute] table, and runs nothing"]);
}
