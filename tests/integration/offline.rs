//! A sweep needs no network: it ends well where there is none, and opens no socket of one.

use std::fs;
use std::process::{Command, Stdio};

use crate::records::losses;
use crate::sandbox::{Outcome, Sandbox, sweep_args};

const WHAT: [&str; 5] = ["--recipes", "Q8_0", "--suites", "prose.toml", "quiz.toml"];

/// The sweep, started by other programs with their arguments.
fn under(sandbox: &Sandbox, before: &[&str]) -> Outcome {
    let plain = sandbox.command(&sweep_args(&WHAT));
    let (first, rest) = before.split_first().expect("a program");
    let mut command = Command::new(first);
    command
        .args(rest)
        .arg(plain.get_program())
        .args(plain.get_args())
        .current_dir(plain.get_current_dir().expect("set"))
        .env("BITFRONTIER_CACHE", sandbox.path("cache"))
        .env_remove("BITFRONTIER_WORKER")
        .stdin(Stdio::null());
    Outcome::of(&command.output().expect("started"))
}

fn works(program: &str, args: &[&str]) -> bool {
    Command::new(program).args(args).output().is_ok_and(|output| output.status.success())
}

#[test]
fn a_sweep_ends_well_where_there_is_no_network() {
    const EMPTY: [&str; 2] = ["unshare", "-rn"];
    if !works(EMPTY[0], &[EMPTY[1], "true"]) {
        println!("skipped: this user cannot make an empty network namespace");
        return;
    }
    let sandbox = Sandbox::new();
    under(&sandbox, &EMPTY).ends(0);
    assert_eq!(losses(&sandbox.path("out")), Vec::<String>::new());
}

/// Calls by which a program opens a socket, or locks a file: neither is needed, so that results may lie on any storage
/// that renames and syncs.
#[test]
fn a_sweep_opens_no_socket_of_a_network_and_locks_no_file() {
    if !works("strace", &["-f", "-e", "trace=socket", "true"]) {
        println!("skipped: there is no strace, or it is not permitted");
        return;
    }
    let sandbox = Sandbox::new();
    let trace = sandbox.path("trace");
    let calls = "trace=socket,socketpair,connect,flock,fcntl";
    under(&sandbox, &["strace", "-f", "-qq", "-e", calls, "-o", trace.to_str().expect("text")]).ends(0);
    let traced = fs::read_to_string(&trace).expect("read");
    assert!(traced.contains("fcntl("), "nothing was traced");
    let opens =
        |line: &&str| line.contains("socket") && !line.contains("AF_UNIX") && !line.contains("resumed");
    assert_eq!(traced.lines().filter(opens).collect::<Vec<_>>(), Vec::<&str>::new());
    let locks = |line: &&str| line.contains("flock(") || line.contains("SETLK");
    assert_eq!(traced.lines().filter(locks).collect::<Vec<_>>(), Vec::<&str>::new());
}
