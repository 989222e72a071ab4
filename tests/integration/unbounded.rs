//! What strangers write may be of any length, or never end: nothing that is ours hangs, ends by it, or loses what was measured.

use std::fs;
use std::process::Command;
use std::time::Instant;

use crate::corpora::with_text;
use crate::records::{find, losses};
use crate::sandbox::{Outcome, QUIZ, Sandbox, sweep_args};

const WHAT: [&str; 6] = ["--recipes", "Q8_0", "--suites", "quiz.toml", "--limit", "2"];

#[test]
fn a_description_of_a_million_letters_is_shortened() {
    let sandbox = Sandbox::new();
    let mut tiny = fs::read(sandbox.path("tiny.gguf")).expect("read");
    // Its own is put out of the way, under a name of the same length.
    let own = tiny.windows(19).position(|word| word == b"general.description").expect("there");
    tiny[own + 18] = b'm';
    sandbox.write("tiny.gguf", with_text(&tiny, "general.description", &"many words ".repeat(90_000)));
    let begun = Instant::now();
    let args: Vec<&str> = sweep_args(&WHAT).into_iter().filter(|arg| *arg != "--quiet").collect();
    let swept = sandbox.run(&args).ends(0);
    assert!(begun.elapsed().as_secs() < 120, "{:?}", begun.elapsed());
    assert!(swept.stdout.len() < 20_000, "{} bytes are printed", swept.stdout.len());
    let page = sandbox.read("out/charts/speed.svg");
    assert!(page.contains("many words") && page.len() < 200_000);
}

#[test]
fn a_pipe_in_the_place_of_a_log_ends_a_trial_and_not_the_sweep() {
    let sandbox = Sandbox::new();
    sandbox.sweep(&WHAT).ends(0);
    let out = sandbox.path("out");
    fs::remove_dir_all(out.join("trials").join(find(&out, "Q8_0", "quiz").id)).expect("removed");
    let log = out.join("logs/Q8_0.log");
    fs::remove_file(&log).expect("removed");
    assert!(Command::new("mkfifo").arg(&log).status().expect("started").success());
    sandbox.sweep(&WHAT).ends(8).tells(&["trials failed"]);
    let trial = find(&out, "Q8_0", "quiz");
    assert!(trial.reason.contains("logs/Q8_0.log"), "{trial:?}");
    fs::remove_file(&log).expect("removed");
    sandbox.sweep(&WHAT).ends(0);
    assert_eq!(losses(&out), Vec::<String>::new());
}

#[test]
fn names_and_numbers_without_bound_are_told_at_once() {
    let sandbox = Sandbox::new();
    sandbox.write("long.toml", QUIZ.replace("name = \"quiz\"", &format!("name = \"{}\"", "n".repeat(300))));
    let args = ["--recipes", "Q8_0", "--suites", "long.toml"];
    sandbox.sweep(&args).ends(3).tells(&["has a name that is no name of a file", "at most 100 letters"]);
    sandbox.sweep(&[&WHAT[..], &["--threads", "4000"]].concat()).ends(2);
    sandbox.write("many.toml", "base = \"tiny.gguf\"\nout = \"out\"\nthreads = 2147483648\n");
    sandbox.run(&["plan", "many.toml"]).ends(3).tells(&["2147483648 threads are more than 1024"]);
    // A pattern of a million letters is not repeated whole.
    let pattern = format!(
        "[[recipe]]\nname = \"x\"\ntype = \"Q8_0\"\n[[recipe.tensors]]\nmatch = \"({}\"\ntype = \"F16\"\n",
        "a".repeat(1_000_000)
    );
    sandbox.write("pattern.toml", format!("base = \"tiny.gguf\"\nout = \"out\"\n{pattern}"));
    let told = sandbox.run(&["plan", "pattern.toml"]).ends(3);
    assert!(told.stderr.len() < 5000, "{} bytes", told.stderr.len());
}

#[test]
fn what_is_not_utf_8_is_told_by_its_line() {
    let sandbox = Sandbox::new();
    sandbox.sweep(&WHAT).ends(0);
    sandbox.write("out/costs.toml", b"# prices\nx = \"\xe9\"\n");
    for command in ["report", "show", "recommend", "cost"] {
        let told = ["out/costs.toml", "line 2 is not UTF-8; save the file as UTF-8"];
        sandbox.run(&[command, "out"]).ends(3).tells(&told);
    }
    sandbox.write("latin.toml", b"name = \"\xe9\"\n");
    let told = ["latin.toml", "line 1 is not UTF-8"];
    sandbox.run(&["suites", "check", "latin.toml"]).ends(3).tells(&told);
    sandbox.run(&["plan", "latin.toml"]).ends(3).tells(&told);
}

#[test]
fn where_there_is_no_folder_for_what_is_needed_for_a_moment() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(&["fit", "tiny.gguf", "--ram", "1GiB"]);
    let ended = Outcome::of(&command.env("TMPDIR", sandbox.path("nowhere")).output().expect("started"));
    ended.ends(7).tells(&["nowhere cannot be written: ", "set TMPDIR"]);
}
