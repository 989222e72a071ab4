//! Tells the program which commit it was built from; nothing outside a checkout.

use std::fs;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let head = fs::read_to_string(".git/HEAD").unwrap_or_default();
    let branch = head.trim().strip_prefix("ref: ").unwrap_or("HEAD");
    for file in [".git/HEAD", ".git/packed-refs", &format!(".git/{branch}")] {
        // A file that is not there would have the program built anew every time.
        if Path::new(file).exists() {
            println!("cargo:rerun-if-changed={file}");
        }
    }
    let commit = Command::new("git")
        .args(["rev-parse", "--short=12", "HEAD"])
        .output()
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .unwrap_or_default();
    println!("cargo:rustc-env=BITFRONTIER_COMMIT={}", commit.trim());
}
