//! Workers that crash, hang, lie and talk nonsense. A script stands between the program and its real worker and
//! passes everything on but for one fault; the sweep must end, tell the reason, and be whole after the next run.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use bitfrontier::worker::protocol::PROTOCOL;
use rustix::process::{Pid, Signal, kill_process};

use crate::records::{Trial, find, losses, trials};
use crate::sandbox::{Outcome, Sandbox, sweep_args};
use crate::table::Table;

/// Passes requests and replies between the program and its real worker. At the requests of kind `REQUEST`, for
/// models whose path holds `MODEL`, it commits `FAULT` after `AFTER` items, in all `TIMES` times at most; at its
/// own start only from the `FROM`th start on. With `ECHO`, what is to be written is answered by `echo.py` beside it.
const SCRIPT: &str = r#"#!/usr/bin/env python3
import json, os, random, signal, subprocess, sys, time

def setting(name, default):
    return type(default)(os.environ.get("TEST_" + name, default))

def count(name):
    """How often this was called, over all processes."""
    with open(os.path.join(os.environ["TEST_STATE"], name), "a+") as file:
        file.write("x")
        return file.tell()

fault = setting("FAULT", "none")
starts = count("starts")
armed = starts >= setting("FROM", 1)

def commits(name):
    return armed and fault == name and count("faults") <= setting("TIMES", 1 << 30)

if commits("crash_at_start"):
    sys.exit(70)
if commits("silent_at_start"):
    time.sleep(600)

requests, replies = os.fdopen(os.dup(3), "rb"), os.fdopen(os.dup(4), "wb")
request_reader, request_writer = os.pipe()
reply_reader, reply_writer = os.pipe()

def descriptors():
    os.dup2(request_reader, 3)
    os.dup2(reply_writer, 4)

real = subprocess.Popen([os.environ["TEST_REAL"], "worker", "--parent", str(os.getpid())],
                        preexec_fn=descriptors, pass_fds=(3, 4))
os.close(request_reader), os.close(reply_writer)
to_real, from_real = os.fdopen(request_writer, "wb"), os.fdopen(reply_reader, "rb")

def say(reply):
    line = reply if isinstance(reply, bytes) else json.dumps(reply).encode() + b"\n"
    replies.write(line)
    replies.flush()

def abort():
    # The real worker's own last words would come in between.
    real.kill(), real.wait()
    print("GGML_ASSERT(the moon is full) failed", flush=True)
    os.kill(os.getpid(), signal.SIGABRT)

def misbehave(reply):
    """Commits the fault in place of an item; what it returns is said."""
    if commits("abort"):
        abort()
    if commits("leave"):
        real.kill(), real.wait()
        sys.exit(3)
    if commits("hang"):
        time.sleep(600)
    if commits("garbage"):
        return b"\x00\xff not of this world \x07" * 1000 + b"\n"
    if commits("mutate"):
        random.seed(setting("SEED", 1) * 1000 + items)
        line = bytearray(json.dumps(reply).encode())
        for _ in range(3):
            line[random.randrange(len(line))] = random.choice(b'{}[]",:019-eE\\\x00 null')
        return bytes(line) + b"\n"
    if commits("flood"):
        while True:
            replies.write(b"x" * (1 << 16))
    if commits("chatter"):
        while True:
            say({"reply": "progress", "done": 1, "total": 2})
    if commits("half_line"):
        replies.write(json.dumps(reply).encode()[:40])
        replies.flush()
        os._exit(0)
    if commits("foreign"):
        return reply | {"index": reply["index"] + 1000}
    if commits("twice"):
        say(reply)
    if commits("left_out"):
        return b""
    if commits("other_answer"):
        return {"reply": "finished", "finished": "tokens", "counts": [1]}
    if commits("full_disk"):
        fill()
    return reply

def fill():
    """Leaves no byte on the disk that holds TEST_FILL."""
    with open(os.environ["TEST_FILL"], "wb", buffering=0) as file:
        try:
            while file.write(bytes(1 << 16)):
                pass
        except OSError:
            pass

ready = json.loads(from_real.readline())
if commits("other_protocol"):
    ready["protocol"] = 99
say(ready)

model = ""
for line in requests:
    request = json.loads(line)
    kind = request["request"]
    model = request["model"] if kind == "load" else request.get("output", model)
    faulty = kind == setting("REQUEST", "choice") and setting("MODEL", "") in model
    faulty = faulty and not request.get("dry_run", False)
    if faulty and kind != "choice" and commits("full_disk"):
        fill()
    if faulty and kind != "choice" and commits("abort"):
        abort()
    if faulty and kind != "choice" and commits("hang"):
        time.sleep(600)
    if kind == "generate" and setting("ECHO", ""):
        import echo
        for reply in echo.items(request, setting("ECHO", "") == "yes"):
            say(reply)
        continue
    to_real.write(line)
    to_real.flush()
    items = 0
    while True:
        line = from_real.readline()
        if not line:
            sys.exit(71)
        reply = json.loads(line)
        if reply["reply"] == "item":
            items += 1
            say(misbehave(reply) if faulty and items > setting("AFTER", 2) else line)
        else:
            say(line)
            if reply["reply"] in ("finished", "failed"):
                break
"#;

/// The script and its sandbox.
pub struct Faulty {
    pub sandbox: Sandbox,
}

impl Faulty {
    pub fn new() -> Self {
        let sandbox = Sandbox::new();
        sandbox.write("worker.py", SCRIPT);
        let script = sandbox.path("worker.py");
        std::fs::set_permissions(script, PermissionsExt::from_mode(0o755)).expect("executable");
        std::fs::create_dir(sandbox.path("state")).expect("made");
        Self { sandbox }
    }

    /// The program with the script as its worker.
    pub fn command(&self, args: &[&str], settings: &[(&str, &str)]) -> Command {
        let mut command = self.sandbox.command(args);
        let real = command.get_program().to_owned();
        command
            .env("BITFRONTIER_WORKER", self.sandbox.path("worker.py"))
            .env("TEST_REAL", real)
            .env("TEST_STATE", self.sandbox.path("state"))
            .envs(settings.iter().map(|(name, value)| (format!("TEST_{name}"), value)));
        command
    }

    pub fn sweep(&self, args: &[&str], settings: &[(&str, &str)]) -> Outcome {
        Outcome::of(&self.command(&sweep_args(args), settings).output().expect("started"))
    }
}

/// A quiz on the base and on two variants, the first of which the fault hits.
const WHAT: [&str; 6] = ["--recipes", "Q8_0", "Q4_0", "--suites", "quiz.toml", "--json-events"];
const HIT: (&str, &str) = ("MODEL", "Q8_0-");

fn of_sweep(events: &Outcome, kind: &str) -> usize {
    events.events().iter().filter(|e| e["event"] == kind).count()
}

/// A sweep in which the fault hits every attempt at `Q8_0`'s quiz: that trial alone fails, is told with its reason,
/// and is made good by the next run with a healthy worker. Returns the failed trial.
#[track_caller]
fn hits_one_trial(fault: &str, after: &str, more: &[&str], status: &str, reason: &str) -> Trial {
    let faulty = Faulty::new();
    let out = faulty.sandbox.path("out");
    let what = [&WHAT[..], more].concat();
    let swept = faulty.sweep(&what, &[("FAULT", fault), HIT, ("AFTER", after)]).ends(8);
    assert_eq!(
        swept.stderr,
        "error: 1 of 10 trials failed; they are rows with their reason in the tables (hint: the same command tries \
         them again; the worker's words are in logs/)\n"
    );
    assert_eq!(of_sweep(&swept, "retry"), 1, "tried once more, at once");

    let failed = find(&out, "Q8_0", "quiz");
    assert_eq!((failed.status.as_str(), failed.failures), (status, 2), "{failed:?}");
    assert!(failed.reason.contains(reason), "{:?} lacks {reason:?}", failed.reason);
    assert!(failed.lines.values().all(|count| *count == 1), "{failed:?}");
    for trial in trials(&out).iter().filter(|t| t.id != failed.id) {
        assert_eq!(trial.status, "done", "{trial:?}");
    }
    let metrics = Table::read(&out.join("metrics.csv"));
    let rows = metrics.find(&[("variant", "Q8_0"), ("suite", "quiz")]);
    assert!(!rows.is_empty());
    for row in rows {
        assert_eq!((row["status"].as_str(), row["reason"].as_str()), (status, failed.reason.as_str()));
        assert_eq!(row["n"], failed.lines.len().to_string(), "what was measured counts");
    }
    let variants = Table::read(&out.join("variants.csv"));
    assert_eq!(variants.column("status"), ["done", &format!("quiz: {status}"), "done"]);

    let again = faulty.sweep(&[&what[..], &["--no-retry"]].concat(), &[]).ends(8);
    assert_eq!(of_sweep(&again, "trial_started"), 0, "--no-retry leaves it");

    let healed = faulty.sweep(&what, &[]).ends(0);
    // Q8_0's file was deleted, because a failed trial needs none, and is made again.
    let begun: Vec<_> = healed.events().into_iter().filter(|e| e["event"] == "trial_started").collect();
    assert!(begun.iter().all(|e| e["variant"] == "Q8_0"), "only what failed is done: {begun:?}");
    assert_eq!(begun.iter().filter(|e| e["kind"] != "quantize").count(), 1, "{begun:?}");
    assert_eq!(losses(&out), Vec::<String>::new());
    failed
}

#[test]
fn a_worker_that_aborts() {
    let reason = "the worker died by signal 6 (abort); its last words: GGML_ASSERT(the moon is full) failed";
    let failed = hits_one_trial("abort", "2", &[], "crashed", reason);
    assert_eq!(failed.lines.len(), 4, "both attempts' items are kept");
}

#[test]
fn a_worker_that_leaves() {
    hits_one_trial("leave", "2", &[], "crashed", "the worker ended early with exit code 3");
}

#[test]
fn a_worker_that_hangs() {
    let hang = ["--hang-seconds", "3"];
    hits_one_trial("hang", "1", &hang, "timed_out", "the worker gave no sign of life for 3 s");
}

#[test]
fn a_worker_that_talks_nonsense() {
    let reason = "the worker wrote a line that is not of the protocol";
    let failed = hits_one_trial("garbage", "1", &[], "bad_protocol", reason);
    assert!(failed.reason.len() < 200, "a reason is a sentence: {}", failed.reason);
}

#[test]
fn a_worker_that_writes_a_line_without_end() {
    hits_one_trial("flood", "2", &[], "bad_protocol", "the worker wrote a line that is not of the protocol");
}

#[test]
fn a_worker_whose_lines_are_changed_on_their_way() {
    for seed in ["1", "2", "3", "4"] {
        let faulty = Faulty::new();
        let swept = faulty.sweep(&WHAT, &[("FAULT", "mutate"), HIT, ("SEED", seed)]);
        assert!(matches!(swept.code, Some(0 | 8)), "{swept:?}");
        let out = faulty.sandbox.path("out");
        for trial in trials(&out) {
            assert_eq!(trial.torn, 0, "{trial:?}");
            assert!(
                trial.lines.keys().all(|index| *index < 24),
                "what was not asked for is on record: {trial:?}"
            );
        }
        faulty.sweep(&WHAT, &[]).ends(0);
        assert_eq!(losses(&out), Vec::<String>::new());
    }
}

/// Signs of life keep a worker from being ended as one that hangs; they take no memory, and Ctrl-C is heard.
#[test]
fn a_worker_that_says_without_end_that_it_lives() {
    let faulty = Faulty::new();
    let settings = [("FAULT", "chatter"), HIT];
    let program = faulty.command(&sweep_args(&WHAT[..5]), &settings).spawn().expect("started");
    let end = Instant::now() + Duration::from_mins(1);
    while !faulty.sandbox.path("state/faults").exists() {
        assert!(Instant::now() < end, "nothing was begun");
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_secs(2));
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.id())).expect("it lives");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let kib: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(kib < 400_000, "it took {kib} KiB");
    kill_process(Pid::from_child(&program), Signal::TERM).expect("sent");
    Outcome::of(&program.wait_with_output().expect("waited")).ends(130).tells(&["to go on: "]);
}

#[test]
fn a_worker_that_ends_within_a_line() {
    hits_one_trial("half_line", "1", &[], "crashed", "the worker ended early with exit code 0");
}

#[test]
fn a_worker_that_sends_what_nobody_asked_for() {
    let reason = ", which was not asked for";
    let failed = hits_one_trial("foreign", "2", &[], "bad_protocol", reason);
    assert!(failed.lines.keys().all(|index| *index < 24), "it is not on record: {failed:?}");
}

#[test]
fn a_worker_that_sends_an_item_twice() {
    let failed = hits_one_trial("twice", "2", &[], "bad_protocol", ", which was not asked for");
    assert_eq!(failed.lines.len(), 6, "the first of each pair counts");
}

#[test]
fn a_worker_that_answers_another_question() {
    let reason = "the worker answered another question";
    hits_one_trial("other_answer", "2", &[], "bad_protocol", reason);
}

#[test]
fn a_worker_that_leaves_items_out() {
    let failed = hits_one_trial("left_out", "2", &[], "bad_protocol", "the worker left out 20 items");
    assert_eq!(failed.lines.len(), 4, "both attempts' items are kept");
}

#[test]
fn a_fault_that_passes_is_no_failure() {
    let faulty = Faulty::new();
    let swept = faulty.sweep(&WHAT, &[("FAULT", "abort"), HIT, ("TIMES", "1")]).ends(0);
    assert_eq!(of_sweep(&swept, "retry"), 1);
    assert_eq!(losses(&faulty.sandbox.path("out")), Vec::<String>::new());
}

#[test]
fn a_worker_that_fails_before_the_sweep_begins() {
    for (fault, parts) in [
        ("crash_at_start", "the worker ended early with exit code 70"),
        ("other_protocol", format!("the worker speaks protocol 99, this program {PROTOCOL}").as_str()),
    ] {
        let faulty = Faulty::new();
        let swept = faulty.sweep(&WHAT, &[("FAULT", fault)]).ends(3);
        swept.tells(&[parts]);
        assert_eq!(faulty.sandbox.files("out"), Vec::<String>::new(), "nothing is written");
    }
}

#[test]
fn one_worker_that_dies_before_the_sweep_begins_is_replaced() {
    let faulty = Faulty::new();
    faulty.sweep(&WHAT, &[("FAULT", "crash_at_start"), ("TIMES", "1")]).ends(0);
    assert_eq!(losses(&faulty.sandbox.path("out")), Vec::<String>::new());
}

#[test]
fn a_worker_that_cannot_be_started() {
    let sandbox = Sandbox::new();
    let args = sweep_args(&WHAT);
    let command = |sandbox: &Sandbox| {
        let mut command = sandbox.command(&args);
        command.env("BITFRONTIER_WORKER", sandbox.path("nowhere"));
        command
    };
    let swept = Outcome::of(&command(&sandbox).output().expect("started")).ends(3);
    swept.tells(&["the worker cannot be started: No such file or directory"]);
}

#[test]
fn a_worker_that_is_silent_from_its_start_on() {
    let faulty = Faulty::new();
    // The third is the first that has a trial to do: it is given up after a minute, and another one is started.
    let once = [("FAULT", "silent_at_start"), ("FROM", "3"), ("TIMES", "1")];
    let swept = faulty.sweep(&WHAT, &once).ends(0);
    let told = swept.events().into_iter().find(|e| e["event"] == "retry").expect("tried again");
    assert_eq!(told["reason"], "the worker gave no sign of life for 60 s", "{told}");
    assert_eq!(of_sweep(&swept, "retry"), 1);
    assert_eq!(losses(&faulty.sandbox.path("out")), Vec::<String>::new());
}

#[test]
fn workers_that_crash_at_every_start_fail_every_trial() {
    let faulty = Faulty::new();
    let out = faulty.sandbox.path("out");
    // The first worker is the one that inspects the base, the second tries the quiz's templates.
    let all = [("FAULT", "crash_at_start"), ("FROM", "3")];
    faulty.sweep(&WHAT, &all).ends(8).tells(&["9 of 10 trials failed"]);
    let status = |variant, what| find(&out, variant, what).status;
    assert_eq!(status("base", "quantize"), "done", "the base needs no making");
    for what in ["quiz", "speed"] {
        assert_eq!(status("base", what), "crashed");
        for variant in ["Q8_0", "Q4_0"] {
            let skipped = find(&out, variant, what);
            assert_eq!(skipped.status, "skipped");
            assert!(
                skipped.reason.starts_with("its file could not be made: the worker ended early"),
                "{skipped:?}"
            );
        }
    }
    for variant in ["Q8_0", "Q4_0"] {
        let made = find(&out, variant, "quantize");
        assert_eq!((made.status.as_str(), made.failures), ("crashed", 2), "{made:?}");
        assert!(made.reason.starts_with("the worker ended early with exit code 70"), "{made:?}");
    }
    let metrics = Table::read(&out.join("metrics.csv"));
    let row = [("variant", "Q4_0"), ("suite", "quiz")];
    assert_eq!((metrics.cell(&row, "value"), metrics.cell(&row, "status")), ("", "skipped"));

    let quiet = faulty.sweep(&[&WHAT[..], &["--no-retry"]].concat(), &[]).ends(8);
    assert_eq!(of_sweep(&quiet, "trial_started"), 0, "{}", quiet.stdout);
    faulty.sweep(&WHAT, &[]).ends(0);
    assert_eq!(losses(&out), Vec::<String>::new());
}

#[test]
fn a_quantizing_and_a_timing_that_crash() {
    let faulty = Faulty::new();
    let out = faulty.sandbox.path("out");
    let making = [("FAULT", "abort"), ("REQUEST", "quantize"), HIT];
    faulty.sweep(&WHAT, &making).ends(8).tells(&["3 of 10 trials failed"]);
    let made = find(&out, "Q8_0", "quantize");
    assert_eq!((made.status.as_str(), made.failures), ("crashed", 2), "{made:?}");
    assert_eq!(find(&out, "Q8_0", "speed").status, "skipped");
    assert_eq!(find(&out, "Q4_0", "speed").status, "done");

    let timing = [("FAULT", "abort"), ("REQUEST", "speed"), HIT];
    faulty.sweep(&WHAT, &timing).ends(8).tells(&["1 of 10 trials failed"]);
    let timed = find(&out, "Q8_0", "speed");
    assert_eq!((timed.status.as_str(), timed.failures), ("crashed", 2), "{timed:?}");
    assert_eq!(faulty.sandbox.files("cache/variants"), Vec::<String>::new());

    faulty.sweep(&WHAT, &[]).ends(0);
    assert_eq!(losses(&out), Vec::<String>::new());
}
