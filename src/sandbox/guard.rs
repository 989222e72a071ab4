//! The host's side of a sandbox: find what this machine has, hand a job in, wait for what came of it.

use std::env;
use std::io::{self, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::error::SandboxError;
use super::job::{Answer, End, Files, Job, Limits, Ran, check_paths};
use super::stage::{Depth, Guard, Setting};

/// How much longer than the program itself its stages may take.
const GRACE: Duration = Duration::from_mins(1);
/// How often a waiting thread wakes, and what a longer gap counts.
const GLANCE: Duration = Duration::from_millis(200);
/// Most bytes of an answer beside files and output.
const ANSWER: u64 = 8 << 20;
/// What asks an interpreter where it lives.
const WHERE: &str = "import sys, json; print(json.dumps([sys.base_prefix, sys.version.split()[0]]))";

/// A way to run programs, found out to work.
#[derive(Debug, Clone)]
pub struct Sandbox {
    guard: Guard,
    program: PathBuf,
    prefix: Option<PathBuf>,
    /// Python's version.
    pub python: String,
}

#[derive(Debug, Deserialize)]
struct Python(PathBuf, String);

impl Sandbox {
    /// The best that this machine has, tried with a small program: bubblewrap, else namespaces of our own. With
    /// `unsafe_exec` none is looked for: programs run with limits, but unguarded.
    ///
    /// # Errors
    /// If there is no sandbox here, or no Python.
    pub fn find(unsafe_exec: bool) -> Result<Self, SandboxError> {
        Self::find_by(program()?, unsafe_exec)
    }

    /// As [`Self::find`], with the stages of another program than this one: tests are none that has stages.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub fn find_by(program: PathBuf, unsafe_exec: bool) -> Result<Self, SandboxError> {
        let Python(prefix, version) = python()?;
        let is_system = prefix.starts_with("/usr") || prefix == Path::new("/");
        let sandbox = Self {
            guard: Guard::None,
            program,
            prefix: Some(prefix).filter(|_| !is_system),
            python: version,
        };
        if unsafe_exec {
            return sandbox.tried().map_err(|reason| SandboxError::Refused { reason });
        }
        if !cfg!(target_os = "linux") {
            return Err(SandboxError::Unsupported);
        }
        let mut reasons = Vec::new();
        for guard in bubblewrap().map(Guard::Bubblewrap).into_iter().chain([Guard::Namespaces]) {
            let name = if guard == Guard::Namespaces { "namespaces" } else { "bubblewrap" };
            match (Self { guard, ..sandbox.clone() }).tried() {
                Ok(found) => return Ok(found),
                Err(reason) => reasons.push(format!("{name}: {reason}")),
            }
        }
        Err(SandboxError::Refused { reason: reasons.join("; ") })
    }

    /// Whether programs are kept in, or only limited.
    pub fn is_guarded(&self) -> bool {
        self.guard != Guard::None
    }

    /// What keeps programs in: `bubblewrap`, `namespaces` or `none`.
    pub fn kind(&self) -> &'static str {
        match self.guard {
            Guard::Bubblewrap(_) => "bubblewrap",
            Guard::Namespaces => "namespaces",
            Guard::None => "none",
        }
    }

    /// This sandbox, if a small program runs in it.
    fn tried(self) -> Result<Self, String> {
        let job = Job {
            files: Files::new(),
            argv: ["python3", "-I", "-c", "print(6 * 7)"].map(str::to_owned).to_vec(),
            stdin: Vec::new().into(),
            limits: Limits::default(),
            keep: false,
        };
        match self.run(&job) {
            Ok(Ran { end: End::Exited(0), stdout, .. }) if stdout.0 == b"42\n" => Ok(self),
            Ok(ran) => {
                Err(format!("a small program {:?}: {}", ran.end, String::from_utf8_lossy(&ran.stderr.0)))
            }
            Err(SandboxError::Refused { reason }) => Err(reason),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Runs a job and waits for its end. The calling thread must live as long: the sandbox dies with it.
    ///
    /// # Errors
    /// If the job could not be run; however the program itself ended is no error.
    pub fn run(&self, job: &Job) -> Result<Ran, SandboxError> {
        check_paths(&job.files)?;
        let setting = Setting {
            depth: if self.is_guarded() { Depth::Outer } else { Depth::Inner },
            guard: self.guard.clone(),
            parent: std::process::id(),
            prefix: self.prefix.clone(),
            disk: job.limits.disk,
        };
        let told = serde_json::to_string(&setting).map_err(io::Error::other)?;
        let message = serde_json::to_vec(job).map_err(io::Error::other)?;
        let mut child = Command::new(&self.program)
            .args(["sandbox-stage", &told])
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let answer = exchange(&mut child, message, &job.limits);
        let _ = child.kill();
        let status = child.wait()?;
        let answer = answer.ok_or_else(|| SandboxError::Broken("it took too long".to_owned()))?;
        match serde_json::Deserializer::from_slice(&answer).into_iter().next() {
            Some(Ok(Answer::Ran(ran))) => check_paths(&ran.files).map(|()| *ran),
            Some(Ok(Answer::Refused(reason))) => Err(SandboxError::Refused { reason }),
            Some(Err(_)) | None => Err(SandboxError::Broken(status.to_string())),
        }
    }
}

/// Hands the job in and waits for the answer; `None` if there is none in time.
fn exchange(child: &mut Child, message: Vec<u8>, limits: &Limits) -> Option<Vec<u8>> {
    let stdin = child.stdin.take();
    std::thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(&message)));
    // Base64 makes four bytes of three.
    let most = ANSWER + 2 * (limits.disk + 2 * limits.output);
    let stdout = child.stdout.take()?;
    let (sender, receiver) = sync_channel(1);
    std::thread::spawn(move || {
        let mut answer = Vec::new();
        let read = stdout.take(most).read_to_end(&mut answer);
        // Nobody listens any more if it took too long.
        let _ = sender.send(read.map(|_| answer));
    });
    let (mut waited, mut last) = (Duration::ZERO, Instant::now());
    while waited < limits.wall + GRACE {
        match receiver.recv_timeout(GLANCE) {
            Ok(answer) => return answer.ok(),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => {}
        }
        waited += last.elapsed().min(2 * GLANCE);
        last = Instant::now();
    }
    None
}

/// This very program, even if its file has been replaced since it was started.
fn program() -> io::Result<PathBuf> {
    if cfg!(target_os = "linux") { Ok(PathBuf::from("/proc/self/exe")) } else { env::current_exe() }
}

/// Asks the machine's own Python; what the PATH names may be a script that picks one.
fn python() -> Result<Python, SandboxError> {
    let no = |reason: String| SandboxError::NoPython { reason };
    let output = Command::new("python3").args(["-I", "-S", "-c", WHERE]).stdin(Stdio::null()).output();
    let output = output.map_err(|error| no(error.to_string()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout)
        .map_err(|_| no(format!("{} {}", output.status, said.lines().last().unwrap_or_default())))
}

fn bubblewrap() -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join("bwrap")).find(|file| file.is_file())
}
