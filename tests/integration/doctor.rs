//! What `doctor` says of a machine that is well and of such that are not, and that it opens no socket unless it is asked to.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;

use serde_json::Value;

use crate::sandbox::{Outcome, Sandbox};

fn doctor(sandbox: &Sandbox, args: &[&str], change: impl FnOnce(&mut Command)) -> Outcome {
    let mut command = sandbox.command(&[&["doctor"], args].concat());
    change(&mut command);
    Outcome::of(&command.output().expect("started"))
}

fn check<'a>(told: &'a Value, name: &str) -> &'a Value {
    let checks = told["checks"].as_array().expect("checks");
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name} in {told}"))
}

fn json(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.stdout).expect("JSON")
}

#[test]
fn a_machine_that_runs_these_tests_is_fit_and_nothing_is_left_behind() {
    let sandbox = Sandbox::new();
    let before = sandbox.files("");
    let outcome = doctor(&sandbox, &["--json"], |_| ()).ends(0);
    let told = json(&outcome);
    let names: Vec<&str> = told["checks"]
        .as_array()
        .expect("checks")
        .iter()
        .filter_map(|check| check["name"].as_str())
        .collect();
    let all = ["cpu", "llama.cpp", "fonts", "cache", "disk", "memory", "sandbox", "python", "scheduler"];
    assert_eq!(names, all);
    for check in told["checks"].as_array().expect("checks") {
        assert_ne!(check["found"], "", "{check}");
        assert_eq!(check["advice"] == "", check["mark"] == "ok", "what is not well says what to do: {check}");
    }
    assert_eq!(told["failed"], 0);
    assert!(check(&told, "llama.cpp")["found"].as_str().is_some_and(|text| text.contains("llama-cpp-sys-2")));
    assert_eq!(sandbox.files(""), before);
    let text = doctor(&sandbox, &[], |_| ()).ends(0).stdout;
    assert_eq!(
        text.lines().filter(|line| line.starts_with("ok  ") || line.starts_with("warn")).count(),
        all.len()
    );
}

#[test]
fn what_is_in_the_way_is_told_with_what_to_do() {
    let sandbox = Sandbox::new();
    sandbox.write("taken", "a file, where the cache should be");
    let outcome = doctor(&sandbox, &[], |c| {
        c.env("BITFRONTIER_CACHE", "taken");
    });
    assert!(outcome.stdout.contains("\nfail  cache "), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("to do: let yourself write there"), "{}", outcome.stdout);
    outcome.ends(8).tells(&["1 of 9 checks failed", "their lines say what to do"]);
    let outcome = doctor(&sandbox, &["--json"], |c| {
        c.env("BITFRONTIER_WORKER", "/bin/false");
    });
    let told = json(&outcome);
    assert_eq!(
        (check(&told, "llama.cpp")["mark"].as_str(), told["failed"].as_u64()),
        (Some("fail"), Some(1))
    );
    outcome.ends(8);
}

#[test]
fn what_only_some_suites_need_is_a_warning() {
    let sandbox = Sandbox::new();
    let outcome = doctor(&sandbox, &["--json"], |c| {
        c.env("PATH", sandbox.path("nothing"));
    });
    let told = json(&outcome.ends(0));
    for name in ["python", "sandbox"] {
        assert_eq!(check(&told, name)["mark"], "warn", "{told}");
    }
    assert_eq!(check(&told, "scheduler")["mark"], "ok");
}

#[test]
fn the_hub_is_asked_only_with_network() {
    let sandbox = Sandbox::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("set");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let at_hub = |c: &mut Command| {
        c.env("HF_ENDPOINT", &address).env_remove("HF_TOKEN");
        for proxy in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
            c.env_remove(proxy);
        }
    };
    let told = json(&doctor(&sandbox, &["--json"], at_hub).ends(0));
    assert!(told["checks"].as_array().expect("checks").iter().all(|check| check["name"] != "hub"));
    assert_eq!(listener.accept().expect_err("nobody came").kind(), ErrorKind::WouldBlock);

    listener.set_nonblocking(false).expect("set");
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("somebody comes");
        let mut request = [0; 1024];
        let read = stream.read(&mut request).expect("a request");
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .expect("answered");
        String::from_utf8_lossy(&request[..read]).into_owned()
    });
    let told = json(&doctor(&sandbox, &["--json", "--network"], at_hub).ends(0));
    assert_eq!(check(&told, "hub")["mark"], "ok", "{told}");
    assert!(server.join().expect("served").starts_with("HEAD / HTTP/1.1\r\n"));
}
