//! Trials handed out: one by one through `run-trial`, and by the coordinator to a Slurm that is a small script. Whatever hands
//! them out and whatever is lost on the way, the tables are those of a sweep on one machine. A real Slurm: `scripts/slurm`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::records::{self, find, losses};
use crate::sandbox::{Outcome, Sandbox, sweep_args};
use crate::table::Table;

const WHAT: [&str; 6] = ["--recipes", "Q8_0", "Q8_0/kv=q8_0", "--suites", "prose.toml", "quiz.toml"];

/// What depends on the machine's mood.
const TIMED: [&str; 7] =
    ["quantize_s", "load_s", "pp512_tps", "pp512_tps_sd", "tg128_tps", "tg128_tps_sd", "peak_rss_bytes"];

/// The tables that must come out the same.
fn tables(sandbox: &Sandbox, out: &str) -> Vec<String> {
    let exact = ["metrics.csv", "comparisons.csv", "frontier.csv", "fallbacks.csv"];
    let exact = exact.into_iter().map(|name| sandbox.read(&format!("{out}/{name}")));
    let timed = ["variants.csv", "summary.csv"].into_iter();
    let timed = timed.map(|name| Table::read(&sandbox.path(out).join(name)).without(&TIMED));
    exact.chain(timed.map(|table| format!("{table:?}"))).collect()
}

/// The ids of each stage, in its order.
fn stages(sandbox: &Sandbox, out: &str) -> Vec<Vec<String>> {
    let lines =
        |name: &&str| sandbox.read(&format!("{out}/stages/{name}")).lines().map(str::to_owned).collect();
    ["1-files.txt", "2-base.txt", "3-variants.txt", "4-timed.txt"].iter().map(lines).collect()
}

fn plan(sandbox: &Sandbox, args: &[&str]) -> Outcome {
    let mut all = sweep_args(args);
    all.retain(|word| *word != "--quiet");
    all[0] = "plan";
    all.extend(["--json", "--write"]);
    sandbox.run(&all)
}

#[test]
fn trials_one_by_one_make_the_tables_of_a_sweep() {
    let sandbox = Sandbox::new();
    sandbox.sweep(&[&WHAT[..], &["--out", "whole"]].concat()).ends(0);
    let planned = plan(&sandbox, &WHAT).ends(0);
    let planned: Value = serde_json::from_str(&planned.stdout).expect("JSON");
    let stages = stages(&sandbox, "out");
    assert_eq!(stages.iter().map(Vec::len).collect::<Vec<_>>(), [3, 4, 4, 3]);
    steps_wait_for_their_files(&planned, &stages);

    // All of a stage at once: the two variants share a file, which is made once.
    for stage in &stages {
        let started: Vec<_> = stage.iter().map(|id| sandbox.start(&["run-trial", "out", id])).collect();
        for program in started {
            let outcome = Outcome::of(&program.wait_with_output().expect("waited")).ends(0);
            assert!(outcome.stdout.ends_with(" done\n"), "{}", outcome.stdout);
        }
    }
    assert_eq!(sandbox.files("cache/variants").len(), 1, "no other file, and no part of one");
    sandbox.run(&["report", "out"]).ends(0);
    assert_eq!(losses(&sandbox.path("out")), Vec::<String>::new());
    assert_eq!(tables(&sandbox, "out"), tables(&sandbox, "whole"));
    let trials = Table::read(&sandbox.path("out/trials.csv"));
    assert!(trials.column("node").iter().all(|node| !node.is_empty()));
    assert_eq!(trials.column("id"), Table::read(&sandbox.path("whole/trials.csv")).column("id"));

    // A finished trial is not run again.
    let record = |id: &str| sandbox.read(&format!("out/trials/{id}/trial.json"));
    for id in stages.iter().flatten() {
        let before = record(id);
        sandbox.run(&["run-trial", "out", id]).ends(0);
        assert_eq!(record(id), before);
    }
}

/// A sweep of what needs more than its own file: a recipe that is searched, and a variant that drafts for it.
const PAIRED: &str = r#"base = "tiny.gguf"
out = "out"
threads = 1
suites = ["quiz.toml"]
limit = 2
recipes = ["Q4_0", "auto@6bpw"]

[imatrix]
text = "calibration.txt"
chunks = 4

[speed]
repetitions = 1

[[speculate]]
target = "auto@6bpw"
draft = "Q4_0"
lengths = [2]
tokens = 16
prompts = "p.jsonl"
"#;

#[test]
fn searched_recipes_and_drafts_are_carried_out_one_by_one_too() {
    let sandbox = Sandbox::new();
    sandbox.write("night.toml", PAIRED);
    sandbox.write("calibration.txt", sandbox.read("text.txt").repeat(4));
    sandbox.write("p.jsonl", "{\"prompt\": \"It was night and\"}\n");
    sandbox.run(&["plan", "night.toml", "--write"]).ends(0);
    for id in stages(&sandbox, "out").iter().flatten() {
        sandbox.run(&["run-trial", "out", id]).ends(0);
    }
    sandbox.run(&["report", "out"]).ends(0);
    // What was searched for the plan is in the cache.
    sandbox.run(&["sweep", "night.toml", "--out", "whole", "--quiet"]).ends(0);
    assert_eq!(losses(&sandbox.path("out")), Vec::<String>::new());
    assert_eq!(tables(&sandbox, "out"), tables(&sandbox, "whole"));
    let pair = |out: &str| {
        let table = Table::read(&sandbox.path(out).join("speculation.csv"));
        ["target", "draft", "length", "tokens", "drafted", "accepted", "status"]
            .map(|name| table.cell(&[("draft", "Q4_0")], name).to_owned())
    };
    assert_eq!(pair("out"), pair("whole"));
    assert_eq!(pair("out")[6], "done");
}

fn steps_wait_for_their_files(planned: &Value, stages: &[Vec<String>]) {
    let steps = planned["steps"].as_array().expect("steps");
    assert_eq!(steps.len(), stages.iter().flatten().count());
    let order: Vec<&str> = steps.iter().map(|step| step["id"].as_str().expect("an id")).collect();
    assert_eq!(order, stages.concat(), "the plan's order is that of the stages");
    for step in steps {
        let place = |id: &Value| order.iter().position(|other| Some(*other) == id.as_str()).expect("planned");
        let after = step["after"].as_array().expect("a list");
        assert!(after.iter().all(|id| place(id) < place(&step["id"])), "{step}");
        assert_eq!(step["file"].is_string(), step["variant"] != "base", "{step}");
        assert!(step["seconds"].as_f64().is_some_and(|s| s >= 0.0), "{step}");
        let expected = match (step["kind"].as_str(), step["variant"].as_str(), step["suite"].as_str()) {
            (Some("quantize"), Some("base" | "Q8_0"), _) => 0,
            // Its file, or the variant that makes the same; and of a text the base's distributions.
            (Some("suite"), Some(variant), Some("prose")) if variant != "base" => 2,
            (Some("noise"), _, Some("prose")) => 2,
            _ => 1,
        };
        assert_eq!(after.len(), expected, "{step}");
    }
}

#[test]
fn what_no_trial_can_be_made_of_is_told() {
    let sandbox = Sandbox::new();
    sandbox.run(&["run-trial", "none", "x"]).ends(3).tells(&["none/manifest.json"]);
    let few = ["--recipes", "Q8_0", "IQ2_XS", "--suites", "quiz.toml", "--limit", "3"];
    sandbox.sweep(&[&few[..], &["--out", "swept"]].concat()).ends(8);
    let id = find(&sandbox.path("swept"), "Q8_0", "quiz").id;
    sandbox
        .run(&["run-trial", "swept", &id])
        .ends(3)
        .tells(&["swept has no plan", "plan ... --out DIR --write"]);
    plan(&sandbox, &[&few[..], &["--decide"]].concat()).ends(3).tells(&["early stopping and a budget"]);
    plan(&sandbox, &few).ends(0);
    sandbox
        .run(&["run-trial", "out", "0123"])
        .ends(3)
        .tells(&["no trial of out has the id \"0123\"", "stages/"]);

    // A file that cannot be made is a row, as in a sweep.
    let out = sandbox.path("out");
    for what in ["quantize", "quiz"] {
        sandbox.run(&["run-trial", "out", &find(&out, "IQ2_XS", what).id]).ends(8);
        let (ours, theirs) = (find(&out, "IQ2_XS", what), find(&sandbox.path("swept"), "IQ2_XS", what));
        assert_eq!((&ours.status, &ours.reason), (&theirs.status, &theirs.reason), "{what}");
    }

    // Another base under the same name is not measured in the first one's place.
    let mut bytes = fs::read(sandbox.path("tiny.gguf")).expect("read");
    *bytes.last_mut().expect("a byte") ^= 1;
    sandbox.write("tiny.gguf", bytes);
    let id = find(&out, "Q8_0", "quiz").id;
    sandbox
        .run(&["run-trial", "out", &id])
        .ends(3)
        .tells(&["not be here what was planned", "base_sha256 is"]);
    sandbox.write("out/plan.json", "{");
    sandbox.run(&["run-trial", "out", &id]).ends(3).tells(&["out/plan.json is not a plan"]);
}

/// A sandbox whose Slurm is the small script, with a sweep file.
struct Cluster {
    sandbox: Sandbox,
}

impl Cluster {
    fn new(slurm: &str) -> Self {
        let sandbox = Sandbox::new();
        for name in ["bin", "slurm"] {
            fs::create_dir(sandbox.path(name)).expect("made");
        }
        let fake = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/fake-slurm");
        for name in ["sbatch", "squeue", "scancel"] {
            symlink(&fake, sandbox.path("bin").join(name)).expect("linked");
        }
        let sweep = format!(
            "base = \"tiny.gguf\"\nout = \"out\"\nrecipes = [\"Q8_0\", \"Q8_0/kv=q8_0\"]\n\
             suites = [\"prose.toml\", \"quiz.toml\"]\nthreads = 1\nexecutor = \"slurm\"\n\
             [speed]\nrepetitions = 1\n[slurm]\npoll_seconds = 1\n{slurm}"
        );
        sandbox.write("night.toml", sweep);
        Self { sandbox }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.sandbox.command(&[&["sweep", "night.toml"][..], args].concat());
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", self.sandbox.path("bin").display()));
        command.env("FAKE_SLURM", self.sandbox.path("slurm"));
        command
    }

    fn sweep(&self, args: &[&str]) -> Outcome {
        Outcome::of(&self.command(args).output().expect("started"))
    }

    fn faults(&self, faults: &str) {
        self.sandbox.write("slurm/faults", faults);
    }

    /// Ids of trials, each as often as a task carried it out.
    fn carried_out(&self) -> Vec<String> {
        let text = fs::read_to_string(self.sandbox.path("slurm/carried-out")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Ids of the trials of all batches, sorted.
    fn handed_out(&self) -> Vec<String> {
        let batches = self.sandbox.files("out/cluster").into_iter().filter(|name| name.ends_with(".trials"));
        let lists: String = batches.map(|name| self.sandbox.read(&format!("out/cluster/{name}"))).collect();
        let mut ids: Vec<String> = lists.lines().map(str::to_owned).collect();
        ids.sort();
        ids
    }

    /// What the batches were submitted with.
    fn jobs(&self) -> Vec<String> {
        let jobs = self.sandbox.files("slurm").into_iter().filter(|name| name.starts_with("job-"));
        jobs.map(|name| self.sandbox.read(&format!("slurm/{name}"))).collect()
    }

    /// The id of a trial, which is that of the same sweep on this machine.
    fn id(&self, variant: &str, what: &str) -> String {
        find(&self.sandbox.path("whole"), variant, what).id
    }

    fn whole(&self) {
        self.sweep(&["--executor", "local", "--out", "whole", "--quiet"]).ends(0);
    }
}

#[test]
fn a_cluster_makes_the_tables_of_one_machine_whatever_is_lost() {
    let cluster = Cluster::new("partition = \"cpu\"\nthrottle = 9\noptions = [\"--account=mine\"]\n");
    cluster.whole();
    cluster.faults(&format!(
        "{} 1 NODE_FAIL\n{} 2 TIMEOUT\nnode 1 BOOT_FAIL\n{} 1 PREEMPTED\n",
        cluster.id("Q8_0", "quantize"),
        cluster.id("Q8_0/kv=q8_0", "prose"),
        cluster.id("base", "speed"),
    ));
    cluster.sandbox.write("slurm/busy", "");
    let swept = cluster.sweep(&["--json-events"]).ends(0);
    assert_eq!(losses(&cluster.sandbox.path("out")), Vec::<String>::new());
    assert_eq!(tables(&cluster.sandbox, "out"), tables(&cluster.sandbox, "whole"));
    assert_eq!(cluster.sandbox.files("cache/variants"), Vec::<String>::new(), "nothing needs them any more");

    let events = swept.events();
    let ended = events.iter().filter(|event| event["event"] == "trial_ended").count();
    assert_eq!(ended, 14, "each once");
    let noted = |text: &str| events.iter().any(|e| e["message"].as_str().is_some_and(|m| m.contains(text)));
    assert!(noted("Slurm does not answer, and is asked again: sbatch: sbatch: error: Batch job"));
    assert!(noted("suite Q8_0/kv=q8_0 prose is submitted again") && noted("variants are timed on n1"));

    let jobs = cluster.jobs();
    assert!(jobs.iter().all(|job| job.contains(" --partition=cpu --") && job.contains("--account=mine")));
    let timed: Vec<&String> = jobs.iter().filter(|job| job.contains("--exclusive")).collect();
    let bound = timed.iter().filter(|job| job.contains("--nodelist=n1")).count();
    assert_eq!(timed.len() - bound, 2, "the look at a node, lost once, is bound to none: {timed:?}");
    assert!(jobs.iter().any(|job| job.contains("--dependency=afterany:")));
    let trials = Table::read(&cluster.sandbox.path("out/trials.csv"));
    assert!(trials.column("node").iter().all(|node| *node == "n1"), "{trials:?}");
    let cpu = |kind| trials.cell(&[("kind", kind), ("variant", "Q8_0")], "cpu").to_owned();
    assert!(!cpu("speed").is_empty() && cpu("quantize").is_empty());

    // What is done is not handed out again.
    let before = (cluster.jobs().len(), cluster.carried_out());
    cluster.sweep(&["--quiet"]).ends(0);
    assert_eq!((cluster.jobs().len(), cluster.carried_out()), before);
}

/// Waits until there is what is waited for.
#[track_caller]
fn wait_until(is_there: impl Fn() -> bool, missing: &str) {
    let end = Instant::now() + Duration::from_mins(5);
    while !is_there() {
        assert!(Instant::now() < end, "{missing}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until so many tasks were carried out.
fn wait_for(cluster: &Cluster, tasks: usize) {
    wait_until(|| cluster.carried_out().len() >= tasks, "nothing is carried out");
}

#[test]
fn a_coordinator_that_is_killed_leaves_its_jobs_to_the_next() {
    let cluster = Cluster::new("");
    let mut first = cluster.command(&["--quiet"]).stdout(Stdio::null()).spawn().expect("started");
    wait_for(&cluster, 3);
    first.kill().expect("killed");
    first.wait().expect("waited");
    let jobs = cluster.jobs().len();
    assert!(jobs > 0);

    // One that is interrupted says how to go on, and leaves the jobs alone as well.
    let had = cluster.carried_out().len();
    let second = cluster.command(&[]).spawn().expect("started");
    wait_for(&cluster, had + 4);
    let pid = rustix::process::Pid::from_child(&second);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("signalled");
    let second = Outcome::of(&second.wait_with_output().expect("waited")).ends(130);
    assert!(second.stderr.contains("scancel --name=bitfrontier-"), "{}", second.stderr);

    cluster.sweep(&["--quiet"]).ends(0);
    assert_eq!(losses(&cluster.sandbox.path("out")), Vec::<String>::new());
    let mut carried_out = cluster.carried_out();
    // The killed one may have taken the queue's script with it in the midst of a task, which then was begun twice.
    carried_out.sort();
    carried_out.dedup();
    assert_eq!(carried_out.len(), 15, "every trial, and the look at a node");
    let handed_out = cluster.handed_out();
    assert_eq!(handed_out, carried_out, "no trial is submitted twice");
    assert!(!cluster.sandbox.path("slurm/cancelled").exists());
}

#[test]
fn what_cannot_pass_is_a_row_and_what_slurm_refuses_is_told() {
    let cluster = Cluster::new("resubmits = 1\n");
    cluster.whole();
    let (lost, cancelled) = (cluster.id("Q8_0", "quiz"), cluster.id("Q8_0", "speed"));
    cluster.faults(&format!("{lost} 9 NODE_FAIL\n{cancelled} 1 CANCELLED\n"));
    let swept = cluster.sweep(&["--quiet"]).ends(8);
    assert!(swept.stderr.contains("2 of 14 trials failed"), "{}", swept.stderr);
    let out = cluster.sandbox.path("out");
    let trial = find(&out, "Q8_0", "quiz");
    assert_eq!(trial.status, "crashed");
    assert!(trial.reason.starts_with("its task was lost 2 times, at last "), "{}", trial.reason);
    assert!(trial.reason.ends_with(" on n1 (NODE_FAIL)"), "{}", trial.reason);
    let trial = find(&out, "Q8_0", "speed");
    assert!(trial.status == "skipped" && trial.reason.starts_with("its job was cancelled: "), "{trial:?}");
    let others = records::trials(&out).into_iter().filter(|t| t.id != lost && t.id != cancelled);
    assert!(others.into_iter().all(|trial| trial.status == "done"));

    // The same command tries them again.
    cluster.faults("");
    cluster.sweep(&["--quiet"]).ends(0);
    assert_eq!(tables(&cluster.sandbox, "out"), tables(&cluster.sandbox, "whole"));

    let wrong = Cluster::new("partition = \"gone\"\n");
    wrong.sweep(&["--quiet"]).ends(3).tells(&["invalid partition specified: gone", "correct [slurm]"]);
    let mut none = wrong.sandbox.command(&["sweep", "night.toml", "--quiet"]);
    let none = Outcome::of(&none.env("PATH", wrong.sandbox.path("cache")).output().expect("started"));
    none.ends(3).tells(&["sbatch cannot be run", "on the PATH"]);
}

/// Runs one of the small script's programs as a user would.
fn as_user(cluster: &Cluster, program: &str, args: &[&str]) -> String {
    let mut command = Command::new(cluster.sandbox.path("bin").join(program));
    command.args(args).env("FAKE_SLURM", cluster.sandbox.path("slurm"));
    String::from_utf8(command.output().expect("started").stdout).expect("text")
}

#[test]
fn what_the_user_cancels_stays_cancelled() {
    let cluster = Cluster::new("");
    cluster.whole();
    let held =
        |cluster: &Cluster| cluster.command(&["--quiet"]).env("FAKE_TASKS", "0").spawn().expect("started");
    // One task that waits: Slurm forgets it at once.
    let sweep = held(&cluster);
    wait_until(|| cluster.jobs().len() >= 4, "nothing is submitted");
    std::thread::sleep(Duration::from_secs(3));
    let tasks = cluster.sandbox.files("slurm/tasks");
    let script = cluster.sandbox.read(&format!("slurm/tasks/{}", tasks[0]));
    assert!(script.starts_with("PENDING|"), "{script}");
    as_user(&cluster, "scancel", &[&tasks[0]]);
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(cluster.sandbox.files("slurm/tasks").len(), tasks.len() - 1, "it is not submitted again");
    // Then all of them.
    as_user(&cluster, "scancel", &["--name=x"]);
    let swept = Outcome::of(&sweep.wait_with_output().expect("waited")).ends(8);
    assert!(swept.stderr.contains("trials failed"), "{}", swept.stderr);
    let trials = records::trials(&cluster.sandbox.path("out"));
    let cancelled = trials.iter().filter(|t| t.reason.starts_with("its job was cancelled: ")).count();
    assert!(cancelled >= 7, "{trials:?}");
    assert!(trials.iter().all(|t| ["done", "skipped", "pending"].contains(&t.status.as_str())), "{trials:?}");
    assert!(cluster.carried_out().is_empty());

    // The same command tries them all again.
    cluster.sweep(&["--quiet"]).ends(0);
    assert_eq!(tables(&cluster.sandbox, "out"), tables(&cluster.sandbox, "whole"));
}

#[test]
fn limits_of_a_cluster_are_kept_and_what_hides_jobs_is_told() {
    let cluster = Cluster::new("");
    cluster.whole();
    cluster.sandbox.write("slurm/limit", "3");
    cluster.sandbox.write("slurm/largest", "2");
    cluster.sandbox.write("slurm/comments", "by-the-cluster");
    let swept = cluster.sweep(&["--json-events"]).ends(0);
    assert_eq!(tables(&cluster.sandbox, "out"), tables(&cluster.sandbox, "whole"));
    let noted =
        |text: &str| swept.events().iter().any(|e| e["message"].as_str().is_some_and(|m| m.contains(text)));
    assert!(noted("Slurm takes no more for now: sbatch: sbatch: error") && !noted("submitted again"));
    let times = |text: &str| {
        let told =
            swept.events().into_iter().filter(|e| e["message"].as_str().is_some_and(|m| m.contains(text)));
        told.count()
    };
    assert_eq!(times("Slurm takes no more for now"), 1, "it is told once");
    let (mut once, all) = (cluster.carried_out(), cluster.carried_out().len());
    once.sort();
    once.dedup();
    // What two variants share is done before the second asks for it.
    assert_eq!((once.len(), all), (14, 14), "every trial, and the look at a node, once");
    let of =
        |ending: &str| cluster.sandbox.files("out/cluster").iter().filter(|f| f.ends_with(ending)).count();
    assert_eq!(
        (of(".trials"), of(".sh")),
        (cluster.jobs().len(), cluster.jobs().len()),
        "nothing is left of refusals"
    );

    let none = Cluster::new("");
    none.sandbox.write("slurm/limit", "0");
    none.sweep(&["--quiet"]).ends(3).tells(&["Slurm takes not even one task: sbatch: ", "your limits"]);
    let hidden = Cluster::new("");
    hidden.sandbox.write("slurm/hidden", "");
    hidden.sweep(&["--quiet"]).ends(3).tells(&["shows none: squeue --name=bitfrontier-", "what hides them"]);
    let (mut once, all) = (hidden.handed_out(), hidden.handed_out().len());
    once.dedup();
    assert_eq!(once.len(), all, "no trial is submitted twice");
}

#[test]
fn the_files_for_other_schedulers_call_the_program_as_it_is() {
    let sandbox = Sandbox::new();
    plan(&sandbox, &["--recipes", "Q8_0", "--suites", "quiz.toml", "--limit", "3"]).ends(0);
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/cluster/kubernetes.yaml"));
    let text = text.expect("read");
    let program = sandbox.command(&[]).get_program().to_string_lossy().into_owned();
    let out = sandbox.path("out").display().to_string();
    // The command of each of the four jobs, as a pod with this index would run it.
    let script = |rest: &str| -> String {
        let lines = rest.lines().skip(1).take_while(|line| line.starts_with("                "));
        lines.map(str::trim).collect::<Vec<_>>().join("\n")
    };
    let scripts: Vec<String> = text.split("args:\n").skip(1).map(script).collect();
    assert_eq!(scripts.len(), 4);
    let stages = stages(&sandbox, "out");
    for (script, ids) in scripts.iter().zip(&stages) {
        for (index, id) in ids.iter().enumerate() {
            let script = script.replace("/shared/results", &out);
            let script = script.replace("bitfrontier run-trial", &format!("{program} run-trial"));
            let mut shell = Command::new("sh");
            shell.arg("-c").arg(&script).current_dir(sandbox.path("."));
            shell.env("JOB_COMPLETION_INDEX", index.to_string());
            shell.env("BITFRONTIER_CACHE", sandbox.path("cache"));
            let outcome = Outcome::of(&shell.output().expect("started")).ends(0);
            assert!(outcome.stdout.starts_with(&format!("{id} done")), "{script}: {outcome:?}");
        }
    }
    sandbox.run(&["report", "out"]).ends(0);
    assert_eq!(losses(&sandbox.path("out")), Vec::<String>::new());
}
