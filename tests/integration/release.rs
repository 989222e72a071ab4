//! What a release ships beside the program: what it says of itself, man pages, completions, and its face as a library.

use std::path::Path;
use std::process::Command;

use crate::sandbox::{Outcome, Sandbox};
use crate::table::Table;

#[test]
fn the_version_is_one_line_or_all_there_is_to_know_of_the_build() {
    let sandbox = Sandbox::new();
    let short = sandbox.run(&["-V"]).ends(0).stdout;
    assert_eq!(short, concat!("bitfrontier ", env!("CARGO_PKG_VERSION"), "\n"));
    let long = sandbox.run(&["--version"]).ends(0).stdout;
    let lines: Vec<&str> = long.lines().collect();
    let starts = [short.trim_end(), "commit: ", "llama.cpp: ", "build: ", "cpu features: "];
    assert_eq!(lines.len(), starts.len(), "{long}");
    assert!(lines.iter().zip(starts).all(|(line, start)| line.starts_with(start)), "{long}");
    // The same llama.cpp that a worker says it is.
    let doctor: serde_json::Value =
        serde_json::from_str(&sandbox.run(&["doctor", "--json"]).stdout).expect("JSON");
    let said = doctor["checks"][1]["found"].as_str().expect("found").to_owned();
    let version = lines[2].strip_prefix("llama.cpp: ").expect("a version");
    let (number, package) = version.split_once(' ').expect("number and package");
    assert!(said.starts_with(number) && said.contains(package), "{said:?} is not {version:?}");
}

#[test]
fn man_pages_and_completions_come_from_the_program_itself() {
    let sandbox = Sandbox::new();
    let page = sandbox.run(&["man"]).ends(0).stdout;
    assert!(page.contains(".TH bitfrontier 1") && page.contains("Exit codes"), "{page}");
    sandbox.run(&["man", "--out", "share/man1"]).ends(0);
    let pages = sandbox.files("share/man1");
    assert!(pages.iter().any(|name| name == "bitfrontier-sweep.1") && pages.len() > 20, "{pages:?}");
    sandbox.write("taken", "");
    sandbox
        .run(&["man", "--out", "taken"])
        .ends(7)
        .tells(&["taken cannot be written", "check who may write there"]);
    let bash = sandbox.run(&["completions", "bash"]).ends(0).stdout;
    assert!(
        bash.contains("complete -F _bitfrontier") && !bash.contains("sandbox-stage"),
        "hidden commands stay so"
    );
    sandbox.write("bitfrontier.bash", &bash);
    let checked =
        Command::new("bash").args(["-n", "bitfrontier.bash"]).current_dir(sandbox.path("")).status();
    assert!(checked.expect("bash").success());
    sandbox.run(&["completions", "klingon"]).ends(2);
}

#[test]
fn a_program_that_embeds_the_crate_sweeps_by_itself() {
    let built = Path::new(env!("CARGO_BIN_EXE_bitfrontier")).with_file_name("examples").join("embed");
    assert!(
        built.is_file(),
        "{} is not there: a whole `cargo test`, or --example embed, builds it",
        built.display()
    );
    let sandbox = Sandbox::new();
    let run = |args: &[&str]| {
        let mut command = Command::new(&built);
        command.args(args).current_dir(sandbox.path("")).env("BITFRONTIER_CACHE", sandbox.path("cache"));
        Outcome::of(&command.env_remove("BITFRONTIER_WORKER").output().expect("started"))
    };
    let told = run(&["tiny.gguf", "quiz.toml", "out"]).ends(0).stdout;
    let variants: Vec<&str> = told.lines().filter_map(|line| line.split('\t').next()).collect();
    assert_eq!(variants, ["base", "Q8_0", "Q4_0"]);
    assert_eq!(Table::read(&sandbox.path("out/variants.csv")).column("status"), ["done"; 3]);
    run(&["nothing.gguf", "quiz.toml", "out"]).ends(3).tells(&["nothing.gguf"]);
    run(&["tiny.gguf"]).ends(2);
}
