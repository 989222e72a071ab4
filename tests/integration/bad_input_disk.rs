//! A disk that runs full, in the middle of quantizing and of writing a journal: the sweep stops with its own
//! exit code, nothing is torn, and once there is space the same command goes on.
//!
//! The disks are small tmpfs mounts, which only root can make; without them these tests say so and pass.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::records::{losses, trials};
use crate::sandbox::{Outcome, sweep_args};
use crate::table::Table;
use crate::worker::Faulty;

/// A small disk, unmounted in the end.
struct Disk(PathBuf);

impl Disk {
    /// `None` where this user cannot mount.
    fn mount(at: &Path, megabytes: u32) -> Option<Self> {
        fs::create_dir_all(at).expect("made");
        let size = format!("size={megabytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(at.to_owned()));
        }
        println!("skipped: a small disk can only be mounted by root, where there is tmpfs");
        None
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

const WHAT: [&str; 4] = ["--recipes", "Q8_0", "--suites", "quiz.toml"];
const HINT: &str = "free some space; the same command then goes on where it stopped";

/// A sweep with `cache` as its cache, in which the disk of `fill` runs full at a request.
fn sweep(faulty: &Faulty, cache: &str, fill: Option<(&str, &str, &str)>) -> Outcome {
    let path = fill.map(|(_, _, folder)| faulty.sandbox.path(folder).join("filler"));
    let path = path.as_ref().map_or("", |p| p.to_str().expect("text"));
    let settings = fill.map_or(Vec::new(), |(request, model, _)| {
        vec![
            ("FAULT", "full_disk"),
            ("REQUEST", request),
            ("MODEL", model),
            ("AFTER", "4"),
            ("TIMES", "1"),
            ("FILL", path),
        ]
    });
    let mut command = faulty.command(&sweep_args(&WHAT), &settings);
    command.env("BITFRONTIER_CACHE", faulty.sandbox.path(cache));
    Outcome::of(&command.output().expect("started"))
}

/// With a text too, whose base goes into a store of its own.
fn sweep_with_text(faulty: &Faulty) -> Outcome {
    let what = ["--recipes", "Q8_0", "--suites", "prose.toml", "quiz.toml"];
    Outcome::of(&faulty.command(&sweep_args(&what), &[]).output().expect("started"))
}

fn torn_or_temporary(faulty: &Faulty, folder: &str) -> Vec<String> {
    let names = faulty.sandbox.files(folder).into_iter();
    names.filter(|name| name.rsplit('/').next().is_some_and(|n| n.starts_with('.'))).collect()
}

#[test]
fn a_disk_that_runs_full_while_a_variant_is_made() {
    let faulty = Faulty::new();
    // 64 MiB are left free as a margin before a file is begun.
    let Some(_disk) = Disk::mount(&faulty.sandbox.path("disk"), 80) else { return };
    let stopped = sweep(&faulty, "disk/cache", Some(("quantize", "Q8_0-", "disk"))).ends(7);
    stopped.tells(&[HINT]);
    assert_eq!(
        faulty.sandbox.files("disk/cache/variants"),
        Vec::<String>::new(),
        "no part of a file is left"
    );
    let out = faulty.sandbox.path("out");
    for trial in trials(&out).iter().filter(|t| t.variant == "base") {
        assert_eq!(trial.status, "done", "{trial:?}");
    }
    assert!(!Table::read(&out.join("metrics.csv")).rows.is_empty(), "the tables are whole");

    // Still full: refused before anything is tried.
    sweep(&faulty, "disk/cache", None)
        .ends(6)
        .tells(&["error: the sweep does not fit: the cache needs ", "free"]);
    fs::remove_file(faulty.sandbox.path("disk/filler")).expect("freed");
    sweep(&faulty, "disk/cache", None).ends(0);
    assert_eq!(losses(&out), Vec::<String>::new());
}

#[test]
fn a_disk_that_runs_full_while_one_file_is_made() {
    let faulty = Faulty::new();
    let Some(_disk) = Disk::mount(&faulty.sandbox.path("disk"), 80) else { return };
    let filler = faulty.sandbox.path("disk/filler");
    let settings = [
        ("FAULT", "full_disk"),
        ("REQUEST", "quantize"),
        ("TIMES", "1"),
        ("FILL", filler.to_str().expect("text")),
    ];
    let args = ["quantize", "tiny.gguf", "Q8_0", "disk/x.gguf", "--threads", "1"];
    let full = Outcome::of(&faulty.command(&args, &settings).output().expect("started")).ends(7);
    full.tells(&["x.gguf", "free some space"]);
    assert_eq!(faulty.sandbox.files("disk"), ["filler"], "no part of a file is left");
    fs::remove_file(filler).expect("freed");
    faulty.sandbox.run(&args).ends(0);
}

#[test]
fn a_cache_disk_without_its_margin() {
    let faulty = Faulty::new();
    let Some(_disk) = Disk::mount(&faulty.sandbox.path("disk"), 16) else { return };
    sweep(&faulty, "disk/cache", None)
        .ends(7)
        .tells(&["error: no space for variant Q8_0: it takes 969.6 KiB, and ", HINT]);
    assert_eq!(torn_or_temporary(&faulty, "disk"), Vec::<String>::new());
}

#[test]
fn a_disk_that_runs_full_while_items_are_journalled() {
    let faulty = Faulty::new();
    let out = faulty.sandbox.path("out");
    let Some(_disk) = Disk::mount(&out, 8) else { return };
    sweep(&faulty, "cache", Some(("choice", "Q8_0-", "out"))).ends(7).tells(&[HINT]);
    for trial in trials(&out) {
        assert_eq!(trial.torn, 0, "the journal ends with a whole line: {trial:?}");
    }
    assert_eq!(torn_or_temporary(&faulty, "out"), Vec::<String>::new());
    assert!(!Table::read(&out.join("metrics.csv")).rows.is_empty(), "the tables are whole");
    assert!(!Table::read(&out.join("summary.csv")).rows.is_empty(), "the tables are whole");

    // Still full: the same answer.
    sweep(&faulty, "cache", None).ends(7).tells(&[HINT]);
    fs::remove_file(out.join("filler")).expect("freed");
    sweep(&faulty, "cache", None).ends(0);
    assert_eq!(losses(&out), Vec::<String>::new());
}

/// Whichever write comes first when there is no more space: the same answer, nothing torn, and it goes on.
#[test]
fn disks_with_so_little_left_that_each_write_fails_once() {
    for folder in ["out", "cache"] {
        for left_kib in [0, 8, 100, 600, 1400] {
            let faulty = Faulty::new();
            let Some(_disk) = Disk::mount(&faulty.sandbox.path(folder), 72) else { return };
            let filler = faulty.sandbox.path(folder).join("filler");
            let free = bitfrontier::files::free_bytes(&filler).expect("asked");
            fs::write(&filler, vec![0; (free - left_kib * 1024) as usize]).expect("filled");
            let full = sweep_with_text(&faulty);
            let clear = full.stderr.starts_with("error: ") && full.stderr.trim_end().lines().count() == 1;
            assert!(matches!(full.code, Some(0 | 6 | 7)), "{folder} with {left_kib} KiB: {full:?}");
            assert!(full.code == Some(0) || clear, "{folder} with {left_kib} KiB: {full:?}");
            assert_eq!(
                torn_or_temporary(&faulty, folder),
                Vec::<String>::new(),
                "{folder} with {left_kib} KiB"
            );
            fs::remove_file(filler).expect("freed");
            sweep_with_text(&faulty).ends(0);
            assert_eq!(
                losses(&faulty.sandbox.path("out")),
                Vec::<String>::new(),
                "{folder} with {left_kib} KiB"
            );
        }
    }
}

/// Commands that write one thing: one error that names it and says what to do, whatever is full, and no part of it is left.
#[test]
fn a_full_disk_under_what_single_commands_write() {
    let faulty = Faulty::new();
    let sandbox = &faulty.sandbox;
    let what = ["--recipes", "Q8_0", "--suites", "quiz.toml", "--limit", "4"];
    sandbox.sweep(&what).ends(0);
    let Some(_disk) = Disk::mount(&sandbox.path("disk"), 8) else { return };
    let filler = sandbox.path("disk/filler");
    let free = bitfrontier::files::free_bytes(&filler).expect("asked");
    fs::write(&filler, vec![0; free as usize]).expect("filled");
    let plan = [&["plan", "--write", "--out", "disk/plan", "--base", "tiny.gguf"], &what[..]].concat();
    let commands: [&[&str]; 8] = [
        &["export", "out", "--out", "disk/export"],
        &["eval", "tiny.gguf", "quiz.toml", "--limit", "2", "--records", "disk/records.jsonl"],
        &["quantize", "tiny.gguf", "Q8_0", "disk/x.gguf"],
        &[
            "perplexity",
            "tiny.gguf",
            "--text",
            "text.txt",
            "--chunks",
            "2",
            "--save-base-logits",
            "disk/x.kld",
        ],
        &[
            "perplexity",
            "tiny.gguf",
            "--text",
            "text.txt",
            "--chunks",
            "2",
            "--save-base-store",
            "disk/x.store",
        ],
        &["imatrix", "tiny.gguf", "--text", "text.txt", "--chunks", "1", "-o", "disk/x.imatrix"],
        &["man", "--out", "disk/man"],
        &plan,
    ];
    for args in commands {
        let ended = sandbox.run(args).ends(7);
        let whole = ended.stderr.starts_with("error: ") && ended.stderr.trim_end().lines().count() == 1;
        assert!(whole && ended.stderr.contains("(hint: "), "{args:?}: {}", ended.stderr);
        let mut left = sandbox.files("disk");
        // The first bytes of what was not finished may stay under a temporary name that the next run clears, never its own.
        left.retain(|name| {
            name != "filler" && fs::metadata(sandbox.path("disk").join(name)).is_ok_and(|m| m.len() > 0)
        });
        assert_eq!(left, Vec::<String>::new(), "{args:?}");
    }
}
