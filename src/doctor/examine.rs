//! Looks at one thing after the other. What a check cannot find out is a finding, never an error.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::check::{Check, Examined};
use super::cpu;
use crate::fetch::{Cache, Hub};
use crate::files;
use crate::render::chart::register_fonts;
use crate::run::machine;
use crate::sandbox::{Sandbox, SandboxError};
use crate::units::Bytes;
use crate::worker::client::{WorkFailure, Worker};
use crate::worker::protocol::NativeBuild;

/// How long a cluster's controller is waited for.
const LONGEST_ANSWER: Duration = Duration::from_secs(8);

const GIB: u64 = 1 << 30;
/// Less than this is no room for one small model and its variants.
const LEAST_DISK: u64 = GIB;
/// Less than this is soon full.
const LITTLE_DISK: u64 = 10 * GIB;
/// Less than this holds no model of use beside its cache.
const LEAST_MEMORY: u64 = GIB / 2;
/// Less than this holds small models only.
const LITTLE_MEMORY: u64 = 2 * GIB;
/// What `results/compare.ipynb` imports.
const NOTEBOOK: [&str; 4] = ["pandas", "polars", "scipy", "matplotlib"];
/// Prints Python's version, and which modules named after it are not there.
const PYTHON: &str = "import importlib.util as u, sys\n\
                      print(sys.version.split()[0], *[m for m in sys.argv[1:] if not u.find_spec(m)])";

/// Looks at everything; at the hub, over the network, only if asked to.
pub fn examine(network: bool, interrupted: &AtomicBool) -> Examined {
    let native = native(interrupted);
    let machine = machine::look(Vec::new());
    let system_info = native.as_ref().map_or("", |native| native.system_info.as_str());
    let cache = Cache::from_env();
    let root = cache.as_ref().map(|cache| cache.root().to_owned());
    let mut checks = vec![
        cpu::check(&machine.cpu, &machine.cpu_features, system_info),
        llama(native),
        fonts(),
        root.as_ref().map_or_else(|error| no_cache(&error.to_string()), |root| writable(root)),
    ];
    checks.extend(root.iter().map(|root| disk(root, files::free_bytes(root).ok())));
    checks.extend([
        memory(machine::available_memory(), machine::total_memory()),
        sandbox(Sandbox::find(false)),
        python(Path::new("python3")),
        scheduler(&env::var_os("PATH").map_or_else(Vec::new, |path| env::split_paths(&path).collect())),
    ]);
    if network {
        checks.push(hub(&Hub::from_env()));
    }
    Examined::new(checks)
}

/// Asks a worker what it was built from: the parent never enters llama.cpp, and a build that this processor cannot run
/// dies here and not in the first trial.
fn native(interrupted: &AtomicBool) -> Result<NativeBuild, String> {
    let log = tempfile::NamedTempFile::new().map_err(|error| format!("no file for its log: {error}"))?;
    match Worker::start(log.path(), interrupted) {
        Ok(worker) => Ok(worker.native.clone()),
        Err(WorkFailure::Trial { reason, .. } | WorkFailure::Base(reason) | WorkFailure::NoSpace(reason)) => {
            Err(reason)
        }
        Err(WorkFailure::Interrupted) => Err("interrupted".to_owned()),
    }
}

fn llama(native: Result<NativeBuild, String>) -> Check {
    const NAME: &str = "llama.cpp";
    match native {
        Ok(native) => {
            let devices = if native.devices.is_empty() {
                "CPU only".to_owned()
            } else {
                format!("devices: {}", native.devices.join(", "))
            };
            let found = format!("{}, {devices}", native.llama_cpp);
            let with_gpu = cfg!(any(feature = "cuda", feature = "vulkan", feature = "metal"));
            if with_gpu && native.devices.is_empty() {
                return Check::warn(
                    NAME,
                    format!("{found}, though built for a GPU"),
                    "check the GPU's driver, or go on with the CPU",
                );
            }
            Check::ok(NAME, found)
        }
        Err(reason) => Check::fail(
            NAME,
            format!("the worker cannot be started: {reason}"),
            "build on this machine (cargo build --release), or take the portable build with all its libraries",
        ),
    }
}

fn fonts() -> Check {
    match register_fonts() {
        Ok(()) => Check::ok("fonts", "DejaVu Sans, built in; charts need none of the machine's"),
        Err(error) => Check::fail("fonts", error.to_string(), error.hint().unwrap_or_default()),
    }
}

fn no_cache(error: &str) -> Check {
    Check::fail("cache", error, "name a folder with BITFRONTIER_CACHE")
}

/// Whether the cache can be written: the nearest folder of its path that is there, since the rest is made when needed.
fn writable(root: &Path) -> Check {
    let there = root.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    match tempfile::Builder::new().prefix(".probe-").tempfile_in(there) {
        Ok(_) if there == root => Check::ok("cache", format!("{} can be written", root.display())),
        Ok(_) => Check::ok("cache", format!("{} is yet to be made, and can be", root.display())),
        Err(error) => Check::fail(
            "cache",
            format!("{} cannot be written: {error}", there.display()),
            "let yourself write there, or name another folder with BITFRONTIER_CACHE",
        ),
    }
}

fn disk(root: &Path, free: Option<u64>) -> Check {
    const NAME: &str = "disk";
    const ADVICE: &str =
        "free some space, or move the cache with BITFRONTIER_CACHE; bitfrontier plan says what a sweep takes";
    let Some(free) = free else {
        return Check::warn(NAME, format!("what is free for {} is not known", root.display()), ADVICE);
    };
    let found = format!("{} free for {}", Bytes(free), root.display());
    match free {
        ..LEAST_DISK => Check::fail(NAME, found, ADVICE),
        LEAST_DISK..LITTLE_DISK => Check::warn(NAME, found, ADVICE),
        LITTLE_DISK.. => Check::ok(NAME, found),
    }
}

fn memory(available: Option<u64>, total: Option<u64>) -> Check {
    const NAME: &str = "memory";
    const ADVICE: &str = "end what takes it, or take smaller models; bitfrontier fit says what a model needs";
    let (Some(available), Some(total)) = (available, total) else {
        return Check::warn(NAME, "this system does not say", ADVICE);
    };
    let found = format!("{} of {} can be had", Bytes(available), Bytes(total));
    match available {
        ..LEAST_MEMORY => Check::fail(NAME, found, ADVICE),
        LEAST_MEMORY..LITTLE_MEMORY => Check::warn(NAME, found, ADVICE),
        LITTLE_MEMORY.. => Check::ok(NAME, found),
    }
}

/// Without one only suites whose answers are programs cannot run.
fn sandbox(found: Result<Sandbox, SandboxError>) -> Check {
    const NAME: &str = "sandbox";
    match found {
        Ok(sandbox) => Check::ok(NAME, format!("a program ran in it, by {}", sandbox.kind())),
        Err(error) => {
            let hint = error.hint().unwrap_or_default();
            Check::warn(NAME, format!("suites of code cannot run: {error}"), hint)
        }
    }
}

/// Python runs what models write, and the notebook.
fn python(program: &Path) -> Check {
    const NAME: &str = "python";
    let run = Command::new(program).args(["-I", "-c", PYTHON]).args(NOTEBOOK).stdin(Stdio::null()).output();
    let said = run.ok().filter(|output| output.status.success());
    let Some(said) = said else {
        return Check::warn(
            NAME,
            "there is no python3; suites of code and the notebook need it, sweeps of others do not",
            "install Python 3 and put python3 on the PATH",
        );
    };
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let mut words = said.split_whitespace();
    let version = words.next().unwrap_or("of unknown version");
    let missing: Vec<&str> = words.collect();
    if missing.is_empty() {
        return Check::ok(NAME, format!("{version}, with what results/compare.ipynb needs"));
    }
    Check::warn(
        NAME,
        format!("{version}; results/compare.ipynb needs {}, and nothing else does", missing.join(", ")),
        format!("for the notebook: pip install {}", missing.join(" ")),
    )
}

/// Slurm's commands, by which a sweep is spread over machines.
fn scheduler(path: &[PathBuf]) -> Check {
    const NAME: &str = "scheduler";
    let is_there = |command: &str| path.iter().any(|folder| folder.join(command).is_file());
    let (there, missing): (Vec<&str>, Vec<&str>) =
        ["sbatch", "squeue", "scancel"].iter().partition(|command| is_there(command));
    match (there.is_empty(), missing.is_empty()) {
        (true, _) => Check::ok(NAME, "none on the PATH; sweeps run on this machine"),
        (false, true) => answers(NAME, path),
        (false, false) => {
            let (there, missing) = (there.join(" and "), missing.join(" and "));
            let advice = format!("put Slurm's {missing} on the PATH, or run on this machine");
            Check::warn(NAME, format!("Slurm's {there} on the PATH, without {missing}"), advice)
        }
    }
}

/// Whether Slurm's controller can be asked.
fn answers(name: &'static str, path: &[PathBuf]) -> Check {
    let squeue = path.iter().map(|folder| folder.join("squeue")).find(|command| command.is_file());
    match squeue.map_or_else(|| Err(String::new()), |command| asked(&command)) {
        Ok(()) => Check::ok(name, "Slurm: its commands are on the PATH, and its controller answers"),
        Err(reason) => {
            let advice = "start Slurm's controller, or set SLURM_CONF, or run on this machine";
            Check::warn(name, format!("squeue does not answer: {reason}"), advice)
        }
    }
}

/// Runs it, for some seconds at most: a controller that is gone is asked for again and again.
fn asked(squeue: &Path) -> Result<(), String> {
    let mut command = Command::new(squeue);
    command.arg("--noheader").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let end = Instant::now() + LONGEST_ANSWER;
    while child.try_wait().map_err(|error| error.to_string())?.is_none() {
        if Instant::now() > end {
            // It may have ended meanwhile.
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("nothing for {} seconds", LONGEST_ANSWER.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let told = child.wait_with_output().map_err(|error| error.to_string())?;
    let reason = String::from_utf8_lossy(&told.stderr).lines().next().unwrap_or_default().to_owned();
    if told.status.success() { Ok(()) } else { Err(reason) }
}

/// Over the network.
fn hub(hub: &Hub) -> Check {
    const ADVICE: &str =
        "check the network, proxy variables and HF_ENDPOINT; what is in the cache needs no network";
    match hub.status() {
        Ok(status @ ..400) => Check::ok("hub", format!("{} answers ({status})", hub.endpoint())),
        Ok(status) => Check::warn("hub", format!("{} answers with {status}", hub.endpoint()), ADVICE),
        Err(error) => Check::warn("hub", error.to_string(), ADVICE),
    }
}

#[cfg(test)]
mod tests;
