//! What the hidden subcommand `sandbox-stage` runs: the way from the host into the sandbox, and process 1 in it.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::job::{Answer, Job, Ran};
use super::scratch;
use super::watch::{self, Place};

/// The one folder that can be written, inside.
pub(super) const SCRATCH: &str = "/scratch";

/// What keeps a program in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Guard {
    /// Namespaces that bubblewrap makes, by its path.
    Bubblewrap(PathBuf),
    /// Namespaces of our own making.
    Namespaces,
    /// Nothing but limits: a plain folder of the host.
    None,
}

/// How far in a stage is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Depth {
    /// On the host.
    Outer,
    /// Process 1 of the new namespaces.
    Inner,
}

/// What a stage is told on its command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Setting {
    pub(super) depth: Depth,
    pub(super) guard: Guard,
    /// The process that waits for the answer; the outer stage dies with it.
    pub(super) parent: u32,
    /// The interpreter's folder, where that is not the system's.
    pub(super) prefix: Option<PathBuf>,
    /// Bytes of the scratch folder.
    pub(super) disk: u64,
}

/// Runs a stage to its end, and with it the job.
///
/// # Errors
/// Only if the setting is none or the answer cannot be sent: somebody started a stage by hand.
pub fn run(setting: &str) -> io::Result<()> {
    let setting: Setting = serde_json::from_str(setting)?;
    let answer = match setting.depth {
        Depth::Outer => match enter(&setting) {
            // Process 1 has answered, or died without: the parent sees which.
            Ok(()) => return Ok(()),
            Err(reason) => Answer::Refused(reason),
        },
        Depth::Inner => inside(&setting)?,
    };
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, &answer)?;
    out.flush()
}

/// The outer stage: into the namespaces, and wait for process 1.
#[cfg(target_os = "linux")]
fn enter(setting: &Setting) -> Result<(), String> {
    use super::namespaces;
    namespaces::close_inherited();
    if let Some(prefix) = &setting.prefix {
        // While it can still be reached.
        std::env::set_current_dir(prefix).map_err(|error| format!("{}: {error}", prefix.display()))?;
    }
    namespaces::drop_root()?;
    let _ = rustix::process::setsid();
    die_with_parent(Some(setting.parent)).map_err(|error| error.to_string())?;
    let inner = Setting { depth: Depth::Inner, ..setting.clone() };
    let told = serde_json::to_string(&inner).map_err(|error| error.to_string())?;
    let mut command = match &setting.guard {
        Guard::Bubblewrap(program) => bubblewrap(program, setting)?,
        Guard::Namespaces => {
            namespaces::unshare()?;
            // Making namespaces takes the parent's death back.
            die_with_parent(Some(setting.parent)).map_err(|error| error.to_string())?;
            Command::new("/proc/self/exe")
        }
        Guard::None => return Err("nothing to enter".to_owned()),
    };
    let status = command.args(["sandbox-stage", &told]).env_clear().status();
    match status.map_err(|error| format!("process 1 of the sandbox: {error}"))? {
        done if done.success() => Ok(()),
        failed => Err(format!("process 1 of the sandbox: {failed}")),
    }
}

#[cfg(not(target_os = "linux"))]
fn enter(_setting: &Setting) -> Result<(), String> {
    Err("there are no namespaces on this system".to_owned())
}

/// bubblewrap with the mounts of `namespaces`; behind it comes what it shall run.
#[cfg(target_os = "linux")]
fn bubblewrap(program: &Path, setting: &Setting) -> Result<Command, String> {
    use super::namespaces::{PREFIX_PARTS, SYSTEM};
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command.args(["--unshare-all", "--unshare-user", "--die-with-parent", "--as-pid-1", "--clearenv"]);
    command.args(["--uid", "0", "--gid", "0", "--cap-drop", "ALL", "--disable-userns"]);
    for path in SYSTEM {
        match std::fs::symlink_metadata(path) {
            Ok(about) if about.is_symlink() => {
                let to = std::fs::read_link(path).map_err(|error| error.to_string())?;
                command.arg("--symlink").arg(to).arg(path);
            }
            Ok(_) => _ = command.args(["--ro-bind", path, path]),
            Err(_) => {}
        }
    }
    for path in PREFIX_PARTS.iter().filter_map(|part| Some(setting.prefix.as_ref()?.join(part))) {
        command.arg("--ro-bind-try").arg(&path).arg(&path);
    }
    command.args(["--proc", "/proc", "--dev", "/dev", "--size", &setting.disk.to_string()]);
    command.args(["--tmpfs", SCRATCH, "--symlink", "/scratch/tmp", "/tmp"]);
    command.arg("--ro-bind").arg(own).arg("/.stage");
    // Its /dev holds a file system in memory that has no limit.
    command.args(["--remount-ro", "/proc", "--remount-ro", "/dev", "--remount-ro", "/", "--", "/.stage"]);
    Ok(command)
}

/// The inner stage: the program.
fn inside(setting: &Setting) -> io::Result<Answer> {
    #[cfg(target_os = "linux")]
    die_with_parent((setting.guard == Guard::None).then_some(setting.parent))?;
    let mut text = Vec::new();
    io::stdin().lock().read_to_end(&mut text)?;
    let job: Job = serde_json::from_slice(&text)?;
    Ok(match prepare(setting, &job).and_then(|folder| carry_out(setting, &job, &folder.path)) {
        Ok(ran) => Answer::Ran(Box::new(ran)),
        Err(reason) => Answer::Refused(reason),
    })
}

/// The folder of a job; on the host it goes with this.
struct Folder {
    path: PathBuf,
    _on_host: Option<tempfile::TempDir>,
}

/// Builds what is around the job, and lets go of all rights.
fn prepare(setting: &Setting, job: &Job) -> Result<Folder, String> {
    let folder = match setting.guard {
        Guard::None => {
            let folder = tempfile::Builder::new().prefix("bitfrontier-job-").tempdir();
            let folder = folder.map_err(|error| error.to_string())?;
            Folder { path: folder.path().to_owned(), _on_host: Some(folder) }
        }
        _ => Folder { path: PathBuf::from(SCRATCH), _on_host: None },
    };
    #[cfg(target_os = "linux")]
    if setting.guard == Guard::Namespaces {
        super::namespaces::build_root(setting)?;
    }
    for inner in ["work", "tmp"] {
        std::fs::create_dir(folder.path.join(inner))
            .map_err(|error| format!("the scratch folder: {error}"))?;
    }
    scratch::fill(&folder.path.join("work"), &job.files)
        .map_err(|error| format!("the job's files: {error}"))?;
    #[cfg(target_os = "linux")]
    match setting.guard {
        Guard::Namespaces => super::namespaces::drop_rights()?,
        Guard::Bubblewrap(_) | Guard::None => super::namespaces::harden()?,
    }
    // Without a guard there are limits only, also where the kernel has no filters.
    #[cfg(target_os = "linux")]
    if setting.guard != Guard::None {
        super::filter::apply()?;
    }
    Ok(folder)
}

fn carry_out(setting: &Setting, job: &Job, folder: &Path) -> Result<Ran, String> {
    let is_alone = setting.guard != Guard::None;
    let system = "/usr/local/bin:/usr/bin:/bin";
    let place = Place {
        folder: &folder.join("work"),
        temporary: &folder.join("tmp"),
        path: setting
            .prefix
            .as_ref()
            .map_or_else(|| system.to_owned(), |prefix| format!("{}:{system}", prefix.join("bin").display())),
        is_alone,
    };
    watch::limit(&job.limits, is_alone).map_err(|error| format!("the limits: {error}"))?;
    watch::run(job, &place, &io::stdout()).map_err(|error| error.to_string())
}

/// The kernel ends this process with the one that started it; `parent` is its id, where it can be seen.
#[cfg(target_os = "linux")]
fn die_with_parent(parent: Option<u32>) -> io::Result<()> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // The parent may have died before the line above.
    let now = getppid().map_or(0, |pid| pid.as_raw_nonzero().get().unsigned_abs());
    let is_there = parent.is_none_or(|parent| parent == now);
    if is_there { Ok(()) } else { Err(io::Error::other("the parent is gone")) }
}
