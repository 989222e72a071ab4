//! Tells the program which commit it was built from (nothing outside a checkout), and brings it the charting library of
//! `report.html`: Apache `ECharts`, as the package `charming` ships it. That crate gives its script away only together with a
//! whole JavaScript engine, so it is read from the package's folder.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const PACKAGE: &str = "charming";
const SCRIPT: &str = "src/asset/echarts-5.5.1.min.js";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=Cargo.lock");
    commit();
    let script = package(PACKAGE)?.join(SCRIPT);
    let target = PathBuf::from(env::var("OUT_DIR")?).join("echarts.js");
    fs::copy(&script, target).map_err(|error| format!("{} cannot be copied: {error}", script.display()))?;
    Ok(())
}

fn commit() {
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

/// The folder of a package that this one is built with.
fn package(name: &str) -> Result<PathBuf, Box<dyn Error>> {
    // `cargo build` brings no packages that only tests need, but the question cannot be asked without them.
    let about = metadata(&["--offline"]).or_else(|_| metadata(&[]))?;
    let packages = about["packages"].as_array().ok_or("cargo metadata names no packages")?;
    let found = packages.iter().find(|package| package["name"] == name);
    let manifest = found.and_then(|package| package["manifest_path"].as_str());
    let folder = manifest.and_then(|path| Path::new(path).parent());
    Ok(folder.ok_or_else(|| format!("{name} is not among the packages"))?.to_owned())
}

/// What cargo knows of the packages; those of other platforms are left out.
fn metadata(options: &[&str]) -> Result<serde_json::Value, Box<dyn Error>> {
    let platform = env::var("TARGET")?;
    let output = Command::new(env::var("CARGO")?)
        .args(["metadata", "--format-version", "1", "--filter-platform", &platform])
        .args(options)
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
