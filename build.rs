//! Tells the program which commit it was built from (nothing outside a checkout), with which llama.cpp and for which
//! processors, and brings it the charting library of
//! `report.html`: Apache `ECharts`, as the package `charming` ships it. That crate gives its script away only together with a
//! whole JavaScript engine, so it is read from the package's folder.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const PACKAGE: &str = "charming";
const LLAMA: &str = "llama-cpp-sys-2";
/// Where cargo notes the commit in a package that it makes.
const PACKED: &str = ".cargo_vcs_info.json";
const SCRIPT: &str = "src/asset/echarts-5.5.1.min.js";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=Cargo.lock");
    let commit = commit();
    let packages = packages()?;
    let script = package(&packages, PACKAGE)?.0.join(SCRIPT);
    let (folder, version) = package(&packages, LLAMA)?;
    let commit = if commit.is_empty() { "unknown, built outside a checkout" } else { &commit };
    println!("cargo:rustc-env=BITFRONTIER_COMMIT_SHOWN={commit}");
    println!("cargo:rustc-env=BITFRONTIER_LLAMA_CPP={} ({LLAMA} {version})", llama_cpp(&folder)?);
    println!("cargo:rustc-env=BITFRONTIER_BUILD={}", features());
    println!("cargo:rustc-env=BITFRONTIER_CPU_FEATURES={}", cpu_features());
    let target = PathBuf::from(env::var("OUT_DIR")?).join("echarts.js");
    fs::copy(&script, target).map_err(|error| format!("{} cannot be copied: {error}", script.display()))?;
    Ok(())
}

fn commit() -> String {
    let head = fs::read_to_string(".git/HEAD").unwrap_or_default();
    let branch = head.trim().strip_prefix("ref: ").unwrap_or("HEAD");
    for file in [".git/HEAD", ".git/packed-refs", &format!(".git/{branch}")] {
        // A file that is not there would have the program built anew every time.
        if Path::new(file).exists() {
            println!("cargo:rerun-if-changed={file}");
        }
    }
    // As above.
    if Path::new(PACKED).exists() {
        println!("cargo:rerun-if-changed={PACKED}");
    }
    let commit = packed_commit().or_else(|| {
        let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output().ok()?;
        String::from_utf8(output.stdout).ok().filter(|_| output.status.success())
    });
    let commit = commit.unwrap_or_default().trim().to_owned();
    println!("cargo:rustc-env=BITFRONTIER_COMMIT={commit}");
    commit
}

/// The commit that a package was made from, in which cargo leaves this file.
fn packed_commit() -> Option<String> {
    let told: serde_json::Value = serde_json::from_str(&fs::read_to_string(PACKED).ok()?).ok()?;
    told["git"]["sha1"].as_str()?.get(..12).map(str::to_owned)
}

/// llama.cpp's own version, as its build file states it.
fn llama_cpp(folder: &Path) -> Result<String, Box<dyn Error>> {
    let path = folder.join("llama.cpp/CMakeLists.txt");
    let text =
        fs::read_to_string(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    let part = |name: &str| {
        let line =
            text.lines().find_map(|line| line.trim().strip_prefix(&format!("set(LLAMA_VERSION_{name} ")));
        line.and_then(|rest| rest.strip_suffix(')'))
            .ok_or_else(|| format!("{} states no {name}", path.display()))
    };
    // What is not built by a release of its own calls itself this.
    let dev = if text.contains("option(LLAMA_BUILD_IS_DEV \"llama: dev build\" ON)") { "-dev" } else { "" };
    Ok(format!("{}.{}.{}{dev}", part("MAJOR")?, part("MINOR")?, part("PATCH")?))
}

/// `native` or `portable`, and the kinds of GPUs.
fn features() -> String {
    let has = |name: &str| env::var_os(format!("CARGO_FEATURE_{}", name.to_uppercase())).is_some();
    let kind = if has("portable") { "portable" } else { "native" };
    let gpus = ["cuda", "vulkan", "metal"].into_iter().filter(|name| has(name));
    std::iter::once(kind).chain(gpus).collect::<Vec<_>>().join(" ")
}

/// What the program's own code may take for granted of a processor.
fn cpu_features() -> String {
    let features = env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    let mut features: Vec<&str> = features.split(',').filter(|name| !name.is_empty()).collect();
    features.sort_unstable();
    features.join(" ")
}

/// All packages that this one is built with.
fn packages() -> Result<Vec<serde_json::Value>, Box<dyn Error>> {
    // `cargo build` brings no packages that only tests need, but the question cannot be asked without them.
    let about = metadata(&["--offline"]).or_else(|_| metadata(&[]))?;
    Ok(about["packages"].as_array().ok_or("cargo metadata names no packages")?.clone())
}

/// The folder and the version of one of them.
fn package(packages: &[serde_json::Value], name: &str) -> Result<(PathBuf, String), Box<dyn Error>> {
    let found = packages.iter().find(|package| package["name"] == name);
    let manifest = found.and_then(|package| package["manifest_path"].as_str());
    let folder = manifest.and_then(|path| Path::new(path).parent());
    let version = found.and_then(|package| package["version"].as_str()).unwrap_or_default();
    Ok((folder.ok_or_else(|| format!("{name} is not among the packages"))?.to_owned(), version.to_owned()))
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
