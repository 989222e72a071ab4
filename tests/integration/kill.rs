//! `kill -9` of the parent or of a worker at random moments, then the same command: nothing may be lost or
//! counted twice, and the tables end as if nothing had happened. Also Ctrl-C.
//!
//! The long form is `scripts/faults`; it sets the two variables below.

use std::fs;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use bitfrontier::stats::SplitMix64;
use rustix::process::{Pid, Signal, kill_process};

use crate::records::{self, losses};
use crate::sandbox::{Outcome, Sandbox, sweep_args};
use crate::table::Table;
use crate::worker::Faulty;

/// How many kills, and the seed of their moments.
const KILLS: &str = "BITFRONTIER_KILLS";
const SEED: &str = "BITFRONTIER_KILL_SEED";

const WHAT: [&str; 7] = ["--recipes", "Q8_0", "Q4_K_M", "TQ2_0", "--suites", "prose.toml", "quiz.toml"];

/// What depends on the machine's mood.
const TIMED: [&str; 10] = [
    "quantize_s",
    "load_s",
    "pp512_tps",
    "pp512_tps_sd",
    "tg128_tps",
    "tg128_tps_sd",
    "peak_rss_bytes",
    "pp512_joules_per_token",
    "tg128_joules_per_token",
    "energy_meter",
];

/// A run needs the same command at most this often after its last kill: once to end, once more for trials that
/// failed because their worker was killed twice.
const PATIENCE: usize = 4;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

/// The tables that must come out the same, one line each.
pub fn tables(sandbox: &Sandbox) -> Vec<(&'static str, String)> {
    let exact = ["metrics.csv", "comparisons.csv", "frontier.csv"];
    let timed = ["variants.csv", "summary.csv"];
    let read = |name: &str| sandbox.read(&format!("out/{name}"));
    let partly = |name: &str| {
        let table = Table::read(&sandbox.path("out").join(name)).without(&TIMED);
        format!("{table:?}")
    };
    let exact = exact.into_iter().map(|name| (name, read(name)));
    exact.chain(timed.into_iter().map(|name| (name, partly(name)))).collect()
}

/// Processes that a process started.
fn children(parent: u32) -> Vec<Pid> {
    let is_child = |stat: &str| {
        // After the name, which may hold spaces: state, parent.
        let parent_of = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<u32>().ok()?;
        (parent_of == parent).then_some(())
    };
    let pid = |entry: fs::DirEntry| -> Option<Pid> {
        let pid = entry.file_name().to_string_lossy().parse::<i32>().ok()?;
        is_child(&fs::read_to_string(entry.path().join("stat")).ok()?)?;
        Pid::from_raw(pid)
    };
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(pid).collect()
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// Waits, but not longer than the program lives. Whether it still lives.
fn wait(program: &mut Child, time: Duration) -> bool {
    let end = Instant::now() + time;
    while Instant::now() < end {
        if program.try_wait().expect("asked").is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    program.try_wait().expect("asked").is_none()
}

/// One sweep from nothing to its end with up to `wanted` kills on the way. Returns how many there were.
fn disturbed(
    sandbox: &Sandbox,
    random: &mut SplitMix64,
    length: Duration,
    wanted: u64,
) -> Result<u64, String> {
    let mut kills = 0;
    while kills < wanted {
        let mut program = sandbox.start(&sweep_args(&WHAT));
        loop {
            let moment = length.mul_f64(random.next_u64() as f64 / u64::MAX as f64);
            if kills == wanted || !wait(&mut program, moment) {
                let outcome = Outcome::of(&program.wait_with_output().expect("waited"));
                if !matches!(outcome.code, Some(0 | 8)) {
                    return Err(format!("exit code {:?}: {}", outcome.code, outcome.stderr));
                }
                return finished(sandbox).map(|()| kills);
            }
            kills += 1;
            let workers = children(program.id());
            let whom = random.next_u64() % 3;
            // The parent, its workers, or both. One that ended a moment ago cannot be killed any more.
            if whom > 0 {
                for worker in &workers {
                    let _ = kill_process(*worker, Signal::KILL);
                }
            }
            if whom != 1 || workers.is_empty() {
                let _ = kill_process(pid(&program), Signal::KILL);
                Outcome::of(&program.wait_with_output().expect("waited"));
                workers_are_gone(&workers)?;
                break;
            }
        }
    }
    finished(sandbox).map(|()| kills)
}

/// Workers die with their parent.
fn workers_are_gone(workers: &[Pid]) -> Result<(), String> {
    let end = Instant::now() + Duration::from_secs(10);
    let lives = |worker: &Pid| {
        let stat = fs::read_to_string(format!("/proc/{}/stat", worker.as_raw_nonzero())).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
    };
    while workers.iter().any(lives) {
        if Instant::now() > end {
            return Err("a worker outlived its parent".to_owned());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// The same command until it ends well.
fn finished(sandbox: &Sandbox) -> Result<(), String> {
    let mut last = String::new();
    for _ in 0..PATIENCE {
        let outcome = sandbox.sweep(&WHAT);
        match outcome.code {
            Some(0) => return Ok(()),
            Some(8) => last = outcome.stderr,
            other => return Err(format!("exit code {other:?}: {}", outcome.stderr)),
        }
    }
    Err(last)
}

/// Parts of models and of base stores, which are large. (A part of a small file in the results folder stays,
/// because another machine that shares the folder may be writing it.)
fn leftovers(sandbox: &Sandbox) -> Vec<String> {
    sandbox
        .files("cache")
        .into_iter()
        .filter(|name| name.rsplit('/').next().is_some_and(|n| n.starts_with('.')))
        .collect()
}

#[test]
fn killed_at_random_moments_a_sweep_ends_as_if_undisturbed() {
    let (kills, seed) = (setting(KILLS, 6), setting(SEED, 1));
    let undisturbed = Sandbox::new();
    let begun = Instant::now();
    undisturbed.sweep(&WHAT).ends(0);
    let length = begun.elapsed();
    let expected = tables(&undisturbed);

    let mut random = SplitMix64::new(seed);
    let (mut done, mut runs, mut lost, mut failed) = (0, 0, Vec::new(), Vec::new());
    while done < kills {
        runs += 1;
        let sandbox = Sandbox::new();
        let wanted = (1 + random.next_u64() % 4).min(kills - done);
        match disturbed(&sandbox, &mut random, length, wanted) {
            Ok(kills) => done += kills,
            Err(reason) => {
                done += wanted;
                failed.push(reason);
                continue;
            }
        }
        lost.extend(losses(&sandbox.path("out")));
        for (ours, theirs) in tables(&sandbox).into_iter().zip(&expected) {
            if ours != *theirs {
                failed.push(format!("{} differs:\n{}\nundisturbed:\n{}", ours.0, ours.1, theirs.1));
            }
        }
        failed.extend(leftovers(&sandbox).into_iter().map(|name| format!("{name} was left behind")));
    }
    for what in lost.iter().chain(&failed) {
        println!("{what}");
    }
    println!("{done} kills, seed {seed}: {runs} runs, {} losses, {} failures", lost.len(), failed.len());
    assert!(lost.is_empty() && failed.is_empty());
}

#[test]
fn whenever_it_is_stopped_the_tables_are_whole() {
    const TABLES: [&str; 5] =
        ["variants.csv", "metrics.csv", "summary.csv", "comparisons.csv", "frontier.csv"];
    let sandbox = Sandbox::new();
    let mut program = sandbox.start(&sweep_args(&WHAT));
    // The moment at which the first tables stand: each comes whole, one after the other.
    let end = Instant::now() + Duration::from_mins(1);
    while !TABLES.iter().all(|name| sandbox.path("out").join(name).exists()) {
        assert!(wait(&mut program, Duration::from_millis(5)) && Instant::now() < end, "no tables came");
    }
    kill_process(pid(&program), Signal::KILL).expect("killed");
    program.wait().expect("waited");
    for name in TABLES {
        assert!(!Table::read(&sandbox.path("out").join(name)).header.is_empty(), "{name}");
    }
    let statuses = Table::read(&sandbox.path("out/metrics.csv"));
    assert!(statuses.column("status").contains(&"pending"), "trials that are to come are rows");
    // What stands there is what `report` makes of the records, but for what was measured since.
    sandbox.run(&["report", "out"]).ends(0);
}

#[test]
fn ctrl_c_ends_cleanly_and_says_how_to_go_on() {
    a_signal_ends_cleanly(Signal::INT);
}

/// What schedulers send before they kill, some ten seconds later.
#[test]
fn sigterm_ends_as_ctrl_c_does_within_its_grace() {
    a_signal_ends_cleanly(Signal::TERM);
}

fn a_signal_ends_cleanly(signal: Signal) {
    let sandbox = Sandbox::new();
    let args = sweep_args(&WHAT);
    let mut program = sandbox.start(&args);
    let end = Instant::now() + Duration::from_mins(1);
    while records_begun(&sandbox.path("out")) == 0 {
        assert!(wait(&mut program, Duration::from_millis(5)) && Instant::now() < end, "nothing was begun");
    }
    let workers = children(program.id());
    let sent = Instant::now();
    kill_process(pid(&program), signal).expect("interrupted");
    let stopped = Outcome::of(&program.wait_with_output().expect("waited")).ends(130);
    assert!(sent.elapsed() < Duration::from_secs(8), "it took {:?}", sent.elapsed());
    workers_are_gone(&workers).expect("gone");
    let kept = records_begun(&sandbox.path("out"));
    assert!(kept > 0, "what was measured is kept");
    let line = stopped.tells(&["error: interrupted; what was measured is kept (hint: to go on: "]);
    // The command as it was typed.
    assert!(line.stderr.ends_with(&format!("{})\n", args.join(" "))), "{}", line.stderr);
    assert_eq!(leftovers(&sandbox), Vec::<String>::new());
    sandbox.sweep(&WHAT).ends(0);
    assert_eq!(losses(&sandbox.path("out")), Vec::<String>::new());
}

#[test]
fn ctrl_c_leaves_nothing_of_a_file_that_was_being_made() {
    let faulty = Faulty::new();
    let sandbox = &faulty.sandbox;
    sandbox.write("old.gguf", "what was there before");
    let args = ["quantize", "tiny.gguf", "Q8_0", "old.gguf", "--threads", "1"];
    let settings = [("FAULT", "hang"), ("REQUEST", "quantize")];
    let before = sandbox.files("");
    let mut program = faulty.command(&args, &settings).spawn().expect("started");
    let end = Instant::now() + Duration::from_mins(1);
    while !sandbox.path("state/faults").exists() {
        assert!(wait(&mut program, Duration::from_millis(5)) && Instant::now() < end, "nothing was begun");
    }
    kill_process(pid(&program), Signal::INT).expect("interrupted");
    let stopped = Outcome::of(&program.wait_with_output().expect("waited")).ends(130);
    stopped.tells(&["error: interrupted before there was a result (hint: to begin again: ", "Q8_0 old.gguf"]);
    let mut after = sandbox.files("");
    after.retain(|name| !name.starts_with("state/"));
    assert_eq!(after, before, "no part of a file is left");
    assert_eq!(sandbox.read("old.gguf"), "what was there before");
}

/// Trials that have anything on record.
fn records_begun(out: &Path) -> usize {
    if !out.join("manifest.json").exists() {
        return 0;
    }
    records::trials(out).iter().filter(|t| !t.lines.is_empty() || t.status != "pending").count()
}
