//! Hostile input: files, lines and texts of strangers, changed at random places, must end in a result or in one error.
//! No panic, no hang, no memory without bound, and no write but into the folder named.
//!
//! In short form here; the long form is `scripts/fuzz`, which sets the variables below and runs each test in a process
//! of its own. Inputs that once failed are kept in `tests/fixtures/fuzz/TARGET/` and are tried first.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::from_afar;
use crate::mutate::{Dice, mutated};
use crate::sandbox::{FIXTURES, Outcome, Sandbox, sweep_args};
use crate::targets::{self, Target};

/// How many inputs of each target, the seed, and where the input that is being tried is kept, so that one that ends the
/// process is not lost.
const COUNT: &str = "BITFRONTIER_FUZZ_COUNT";
const SEED: &str = "BITFRONTIER_FUZZ_SEED";
const KEEP: &str = "BITFRONTIER_FUZZ_DIR";

/// Longest that an input may take.
const LONGEST: Duration = Duration::from_secs(10);
/// After this long it hangs, and the process is ended.
const HANG: Duration = Duration::from_mins(2);
/// Memory that trying all inputs may take at its peak.
const MOST_MEMORY: u64 = 3 << 30;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

/// Ends the process when an input takes for ever.
struct Watch(Arc<AtomicBool>);

impl Watch {
    fn over(name: &str, run: u64) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&done);
        let name = name.to_owned();
        std::thread::spawn(move || {
            let begun = Instant::now();
            while !seen.load(Ordering::Relaxed) {
                if begun.elapsed() > HANG {
                    eprintln!("fuzz {name}: input {run} hangs");
                    std::process::abort();
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        Self(done)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What stands in a folder: names and sizes of all files.
pub fn listing(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(place) = open.pop() {
        for entry in fs::read_dir(&place).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(about) if about.is_dir() => open.push(entry.path()),
                Ok(about) => found.push((entry.path(), about.len())),
                Err(_) => {}
            }
        }
    }
    found.sort();
    found
}

/// Inputs that once failed.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(FIXTURES).join("fuzz").join(name);
    let mut paths: Vec<_> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("read")).collect()
}

fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    field.and_then(|f| f.trim().trim_end_matches(" kB").parse::<u64>().ok()).map_or(0, |kib| kib << 10)
}

/// Tries inputs, `short` of them unless the variable says how many. `aside` is a folder beside those that targets may
/// write to.
fn fuzz(target: &Target, short: u64) {
    let (count, seed) = (number(COUNT, short), number(SEED, 1));
    let keep = std::env::var_os(KEEP).map(PathBuf::from);
    let mut dice = Dice::new(seed, target.name);
    let mut old = corpus(target.name).into_iter();
    let (mut failures, mut losses) = (Vec::new(), Vec::new());
    let mut runs = 0;
    let mut slowest = Duration::ZERO;
    while let Some(input) =
        old.next().or_else(|| (runs < count).then(|| mutated(&mut dice, &target.seeds, target.words)))
    {
        runs += 1;
        let last = keep.as_ref().map(|folder| folder.join(format!("{}.last", target.name)));
        if let Some(last) = &last {
            fs::write(last, &input).expect("kept");
        }
        let before = listing(&target.watched);
        let begun = Instant::now();
        let watch = Watch::over(target.name, runs);
        let ended = catch_unwind(AssertUnwindSafe(|| (target.run)(&input)));
        drop(watch);
        slowest = slowest.max(begun.elapsed());
        let mut wrong = Vec::new();
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => wrong.push(reason),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                wrong.push(format!("a panic: {}", text.unwrap_or_default()));
            }
        }
        if begun.elapsed() > LONGEST {
            wrong.push(format!("it took {:?}", begun.elapsed()));
        }
        if listing(&target.watched) != before {
            losses.push(format!("input {runs}: a file beside the folder was written or changed"));
        }
        for reason in wrong {
            if let Some(folder) = &keep {
                let _ = fs::write(folder.join(format!("{}.failed-{runs}", target.name)), &input);
            }
            failures.push(format!("input {runs}: {reason}"));
        }
    }
    let peak = peak_memory();
    if peak > MOST_MEMORY {
        failures.push(format!("at its peak it took {} MiB", peak >> 20));
    }
    for what in losses.iter().chain(&failures) {
        println!("{}: {what}", target.name);
    }
    println!(
        "fuzz {}, seed {seed}: {runs} runs, {} losses, {} failures, slowest {} ms, peak {} MiB",
        target.name,
        losses.len(),
        failures.len(),
        slowest.as_millis(),
        peak >> 20
    );
    assert!(losses.is_empty() && failures.is_empty());
}

#[test]
fn fuzz_gguf() {
    fuzz(&targets::gguf(), 1500);
}

#[test]
fn fuzz_imatrix() {
    fuzz(&targets::imatrix(), 600);
}

#[test]
fn fuzz_kld() {
    fuzz(&targets::kld(), 600);
}

#[test]
fn fuzz_stores() {
    fuzz(&targets::stores(), 400);
}

#[test]
fn fuzz_suite() {
    fuzz(&targets::suite(), 300);
}

#[test]
fn fuzz_plans() {
    fuzz(&targets::plans(), 300);
}

#[test]
fn fuzz_tasks() {
    fuzz(&targets::tasks(), 300);
}

#[test]
fn fuzz_jsonl() {
    fuzz(&targets::rows("jsonl"), 400);
}

#[test]
fn fuzz_json() {
    fuzz(&targets::rows("json"), 400);
}

#[test]
fn fuzz_csv() {
    fuzz(&targets::rows("csv"), 400);
}

#[test]
fn fuzz_parquet() {
    fuzz(&targets::rows("parquet"), 400);
}

#[test]
fn fuzz_gz() {
    fuzz(&targets::rows("jsonl.gz"), 200);
}

#[test]
fn fuzz_wheel() {
    fuzz(&from_afar::wheel(), 200);
}

#[test]
fn fuzz_tarball() {
    fuzz(&from_afar::tarball(), 200);
}

#[test]
fn fuzz_endpoint() {
    fuzz(&from_afar::endpoint(), 200);
}

#[test]
fn fuzz_prompts() {
    fuzz(&targets::prompts(), 200);
}

#[test]
fn fuzz_costs() {
    fuzz(&targets::costs(), 200);
}

#[test]
fn fuzz_protocol() {
    fuzz(&targets::protocol(), 1000);
}

#[test]
fn fuzz_chat() {
    fuzz(&targets::chat(), 300);
}

#[test]
fn fuzz_calls() {
    fuzz(&targets::calls(), 600);
}

#[test]
fn fuzz_answers() {
    fuzz(&targets::answers(), 300);
}

#[test]
fn fuzz_foreign() {
    fuzz(&targets::foreign(), 400);
}

#[test]
fn fuzz_results() {
    fuzz(&targets::results(), 40);
}

/// Weights of which some are others: at any place a run of random bytes, of 16-bit NaN, or of infinities.
fn damaged(dice: &mut Dice, weights: &[u8]) -> Vec<u8> {
    let mut weights = weights.to_vec();
    for _ in 0..=dice.below(4) {
        let (begin, length) = (dice.below(weights.len()), 2 + dice.below(4000));
        let (kind, end) = (dice.below(3), (begin + length).min(weights.len()));
        for (place, byte) in weights[begin..end].iter_mut().enumerate() {
            *byte = match kind {
                0 => dice.below(256) as u8,
                1 => [0x01, 0x7e][(begin + place) % 2],
                _ => [0x00, 0xfc][(begin + place) % 2],
            };
        }
    }
    weights
}

/// What a whole program makes of a mutated model: the parent's reader, and llama.cpp in a worker, whose abort is an
/// error like any other.
#[test]
fn fuzz_worker() {
    let (count, seed) = (number(COUNT, 6), number(SEED, 1));
    let sandbox = Sandbox::new();
    let tiny = fs::read(sandbox.path("tiny.gguf")).expect("read");
    let header = bitfrontier::gguf::open_model(sandbox.path("tiny.gguf")).expect("read").first().data_offset;
    let mut dice = Dice::new(seed, "worker");
    let mut wrong = Vec::new();
    // How many sweeps got past the parent's reader: in the rest a worker has seen the model.
    let mut codes: BTreeMap<i32, u64> = BTreeMap::new();
    for run in 0..count {
        // One in four has its header as it was and other weights, NaN and infinities among them. Of the others what is behind the
        // header stays, so that some get as far as the worker, and half of all headers as long as it.
        let (head, weights) = tiny.split_at(header as usize);
        let model = if run % 4 == 3 {
            [head, &damaged(&mut dice, weights)].concat()
        } else {
            let mut changed = mutated(&mut dice, &[head.to_vec()], targets::MODEL_WORDS);
            if run % 2 == 0 {
                changed.resize(header as usize, 0);
            }
            [changed.as_slice(), weights].concat()
        };
        sandbox.write("bad.gguf", &model);
        let what = ["--base", "bad.gguf", "--recipes", "Q8_0", "--suites", "quiz.toml", "--limit", "2"];
        let plan = [&["plan", "--out", "planned"], &what[..]].concat();
        for args in [sweep_args(&what), plan, vec!["fit", "bad.gguf", "--ram", "1GiB", "--recipes", "Q4_0"]] {
            let mut command = sandbox.command(&args);
            let begun = Instant::now();
            let ended = catch_unwind(AssertUnwindSafe(|| Outcome::of(&command.output().expect("started"))));
            let Ok(outcome) = ended else {
                wrong.push(format!("input {run}: {} panics", args[0]));
                continue;
            };
            if args[0] == "sweep" {
                *codes.entry(outcome.code.unwrap_or(-1)).or_default() += 1;
            }
            let told = outcome.code == Some(0)
                || outcome.stderr.starts_with("error: ") && outcome.stderr.trim_end().lines().count() == 1;
            if !told || !matches!(outcome.code, Some(0 | 3 | 6 | 8)) {
                wrong.push(format!("input {run}: {} ended with {outcome:?}", args[0]));
            }
            if begun.elapsed() > Duration::from_mins(2) {
                wrong.push(format!("input {run}: {} took {:?}", args[0], begun.elapsed()));
            }
        }
        if let (Some(folder), false) = (std::env::var_os(KEEP), wrong.is_empty()) {
            fs::write(Path::new(&folder).join(format!("worker.failed-{run}")), &model).expect("kept");
        }
        let _ = fs::remove_dir_all(sandbox.path("out"));
        let _ = fs::remove_dir_all(sandbox.path("planned"));
    }
    for what in &wrong {
        println!("worker: {what}");
    }
    println!(
        "fuzz worker, seed {seed}: {count} runs, 0 losses, {} failures, sweeps by exit code {codes:?}",
        wrong.len()
    );
    assert!(wrong.is_empty());
}
