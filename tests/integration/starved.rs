//! Too little of something: files that may be open, bytes that a file may have, memory, the right to write. Each ends in
//! one error or in rows with their reason, and the same command goes on when there is enough.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use crate::records::{losses, trials};
use crate::sandbox::{Outcome, Sandbox, sweep_args};
use crate::table::Table;

const WHAT: [&str; 6] = ["--recipes", "Q8_0", "--suites", "quiz.toml", "--limit", "6"];

/// The program under a shell's limit.
fn limited(sandbox: &Sandbox, limit: &str, args: &[&str]) -> Outcome {
    let plain = sandbox.command(args);
    let mut command = Command::new("sh");
    // Where a file may not grow a signal would come before the error.
    command
        .arg("-c")
        .arg(format!("trap '' XFSZ; ulimit {limit} && exec \"$0\" \"$@\""))
        .arg(plain.get_program())
        .args(plain.get_args())
        .current_dir(plain.get_current_dir().expect("set"))
        .stdin(Stdio::null());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Outcome::of(&command.output().expect("started"))
}

/// One error line with a hint or without, or nothing where it went well.
#[track_caller]
fn is_clear(outcome: &Outcome, codes: &[i32]) {
    let code = outcome.code.unwrap_or(-1);
    assert!(code == 0 || codes.contains(&code), "{outcome:?}");
    let line = outcome.stderr.strip_prefix("error: ").and_then(|rest| rest.strip_suffix('\n'));
    assert!(code == 0 || line.is_some_and(|line| !line.contains('\n')), "not one error line: {outcome:?}");
}

/// Then, with enough of everything, the same command ends well and nothing is missing.
#[track_caller]
fn goes_on(sandbox: &Sandbox) {
    sandbox.sweep(&WHAT).ends(0);
    let mut lost = losses(&sandbox.path("out"));
    // A line that could not be written to its end is torn, and its item is there once more.
    lost.retain(|what| !what.ends_with(" times"));
    assert_eq!(lost, Vec::<String>::new());
}

#[test]
fn too_few_files_may_be_open() {
    let mut worked = false;
    for files in [5, 8, 10, 11, 12, 13, 14, 16, 20, 64] {
        let sandbox = Sandbox::new();
        let outcome = limited(&sandbox, &format!("-n {files}"), &sweep_args(&WHAT));
        if outcome.code == Some(127) || outcome.stderr.contains("error while loading shared libraries") {
            // The program did not even begin.
            continue;
        }
        is_clear(&outcome, &[1, 3, 5, 7, 8]);
        worked |= outcome.code == Some(0);
        assert!(worked || files < 64, "64 files are enough: {outcome:?}");
        goes_on(&sandbox);
    }
}

#[test]
fn files_may_not_grow() {
    // In blocks of 512 bytes: another write fails first each time. In some the model itself does not fit.
    for blocks in [0, 1, 4, 10, 30, 80, 300, 1000, 4000] {
        let sandbox = Sandbox::new();
        let outcome = limited(&sandbox, &format!("-f {blocks}"), &sweep_args(&WHAT));
        is_clear(&outcome, &[1, 3, 7, 8]);
        if sandbox.path("out/manifest.json").exists() {
            for trial in trials(&sandbox.path("out")) {
                assert_eq!(trial.torn, 0, "{blocks}: the journal ends with a whole line: {trial:?}");
            }
        }
        goes_on(&sandbox);
    }
}

#[test]
fn a_worker_without_memory() {
    for kib in [120_000, 250_000, 400_000, 700_000] {
        let sandbox = Sandbox::new();
        let program = sandbox.command(&[]).get_program().to_string_lossy().into_owned();
        let script = format!("#!/bin/sh\nulimit -v {kib}\nexec '{program}' \"$@\"\n");
        sandbox.write("starved.sh", script);
        fs::set_permissions(sandbox.path("starved.sh"), fs::Permissions::from_mode(0o755)).expect("set");
        let mut command = sandbox.command(&sweep_args(&WHAT));
        command.env("BITFRONTIER_WORKER", sandbox.path("starved.sh"));
        let outcome = Outcome::of(&command.output().expect("started"));
        is_clear(&outcome, &[3, 8]);
        if outcome.code == Some(8) {
            let failed: Vec<_> =
                trials(&sandbox.path("out")).into_iter().filter(|t| t.status != "done").collect();
            assert!(!failed.is_empty());
            for trial in failed {
                let known = ["crashed", "out_of_memory", "refused", "skipped", "pending", "bad_protocol"];
                assert!(known.contains(&trial.status.as_str()) && !trial.reason.is_empty(), "{trial:?}");
            }
            assert!(!Table::read(&sandbox.path("out/metrics.csv")).rows.is_empty(), "the tables are whole");
        }
        goes_on(&sandbox);
    }
}

/// Makes a folder that cannot be written; nothing where this user can write everywhere and cannot mount.
struct ReadOnly<'a> {
    sandbox: &'a Sandbox,
    folder: &'static str,
    mounted: bool,
}

impl<'a> ReadOnly<'a> {
    fn make(sandbox: &'a Sandbox, folder: &'static str) -> Option<Self> {
        let path = sandbox.path(folder);
        fs::create_dir_all(&path).expect("made");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o555)).expect("set");
        if fs::write(path.join("probe"), "").is_err() {
            return Some(Self { sandbox, folder, mounted: false });
        }
        fs::remove_file(path.join("probe")).expect("removed");
        let mount = |args: &[&str]| {
            Command::new("mount").args(args).arg(&path).output().is_ok_and(|output| output.status.success())
        };
        let bound = path.to_str().expect("text");
        if mount(&["--bind", bound]) && mount(&["-o", "remount,bind,ro"]) {
            return Some(Self { sandbox, folder, mounted: true });
        }
        println!("skipped: this user can write everywhere and cannot mount");
        None
    }
}

impl Drop for ReadOnly<'_> {
    fn drop(&mut self) {
        let path = self.sandbox.path(self.folder);
        if self.mounted {
            // Twice, where the second mount failed.
            let _ = Command::new("umount").arg("-l").arg(&path).output();
        }
        let _ = fs::set_permissions(&path, fs::Permissions::from_mode(0o755));
    }
}

#[test]
fn folders_that_can_only_be_read() {
    let sandbox = Sandbox::new();
    sandbox.sweep(&WHAT).ends(0);
    if let Some(_out) = ReadOnly::make(&sandbox, "out") {
        sandbox.sweep(&WHAT).ends(7).tells(&["cannot write out", "(hint: check who may write there"]);
        sandbox.run(&["report", "out"]).ends(7).tells(&["out/", "(hint: "]);
        // What only reads goes on reading.
        sandbox.run(&["show", "out"]).ends(0);
        for args in [
            &["export", "out"][..],
            &["cost", "out", "--cost", "owned.3090.watts_idle=1"],
            &["eval", "tiny.gguf", "quiz.toml", "--limit", "1", "--records", "out/records.jsonl"],
            &["quantize", "tiny.gguf", "Q8_0", "out/x.gguf"],
            &["man", "--out", "out/man"],
            &[
                "perplexity",
                "tiny.gguf",
                "--text",
                "text.txt",
                "--chunks",
                "1",
                "--save-base-logits",
                "out/x.kld",
            ],
        ] {
            sandbox.run(args).ends(7).tells(&["out", "(hint: check who may write there"]);
        }
    }
    if let Some(cache) = ReadOnly::make(&sandbox, "cache") {
        let more = ["--recipes", "Q4_0", "--suites", "quiz.toml", "--limit", "6"];
        // A row with its reason, or the end, by what comes first.
        let refused = sandbox.sweep(&more);
        is_clear(&refused, &[7, 8]);
        assert_ne!(refused.code, Some(0));
        if refused.code == Some(7) {
            refused.tells(&["(hint: check who may write there"]);
        }
        drop(cache);
        sandbox.sweep(&more).ends(0);
    }
    goes_on(&sandbox);
}

#[test]
fn what_cannot_be_printed_is_an_error_and_a_closed_pipe_is_none() {
    let sandbox = Sandbox::new();
    sandbox.sweep(&WHAT).ends(0);
    let printed = |args: &[&str]| {
        let full = fs::File::options().write(true).open("/dev/full").expect("open");
        Outcome::of(&sandbox.command(args).stdout(full).output().expect("started"))
    };
    for args in [&["show", "out"][..], &["show", "out", "--json"], &["recipes"]] {
        printed(args)
            .ends(7)
            .tells(&["what was to be printed could not be written: No space left on device"]);
    }
    let mut shown = sandbox.command(&["show", "out", "--json"]).spawn().expect("started");
    drop(shown.stdout.take());
    let status = shown.wait().expect("waited");
    assert_eq!(status.code(), Some(0), "nobody wanted more");
}
