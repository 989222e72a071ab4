//! The parent's side of a worker: start it, ask it, and turn every way it can fail into a [`WorkFailure`].

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, PipeWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt as _, FdMapping};

use crate::files;
use crate::worker::memory;
use crate::worker::protocol::{
    Finished, NativeBuild, PROTOCOL, REPLY_FD, REQUEST_FD, Reply, Request, Status,
};

/// Names the program to start instead of this one: how tests put a crashing, hanging or lying worker in place.
pub const WORKER_VARIABLE: &str = "BITFRONTIER_WORKER";

/// How often a waiting parent looks whether it was interrupted.
const GLANCE: Duration = Duration::from_millis(100);
/// How long a worker may take to say that it is ready.
const START: Duration = Duration::from_mins(1);
/// Longest line a worker may write; anything longer is a broken protocol, not a reason to run out of memory.
const LONGEST_LINE: u64 = 256 << 20;

/// A log that has grown beyond this is begun anew with the next worker.
const LONGEST_LOG: u64 = 64 << 20;

/// Why a piece of work was not done.
#[derive(Debug, Clone, PartialEq)]
pub enum WorkFailure {
    /// The trial failed; recorded and perhaps tried again.
    Trial {
        /// How.
        status: Status,
        /// Why, in one sentence.
        reason: String,
        /// Whether the worker is still of use.
        alive: bool,
    },
    /// The base model cannot be loaded: the sweep ends.
    Base(String),
    /// The disk is full: the sweep ends.
    NoSpace(String),
    /// The user asked to stop.
    Interrupted,
}

/// A running worker.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    requests: Option<PipeWriter>,
    replies: Receiver<Result<Reply, String>>,
    oom_kills: u64,
    log: PathBuf,
    /// What the worker was built from.
    pub native: NativeBuild,
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Hanging up ends a healthy worker; one that does not listen is killed.
        self.requests = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Worker {
    /// Starts a worker whose stdout and stderr go to the end of `log`.
    ///
    /// Must be called from a thread that lives as long as the worker shall: the kernel ends the worker with
    /// the thread that started it.
    pub fn start(log: &Path, interrupted: &AtomicBool) -> Result<Self, WorkFailure> {
        let oom_kills = memory::kernel_oom_kills();
        let (child, requests, replies) = spawn(log).map_err(|error| {
            if files::is_full(&error) {
                return WorkFailure::NoSpace(error.to_string());
            }
            let reason = format!("the worker cannot be started: {error}");
            WorkFailure::Trial { status: Status::Crashed, reason, alive: false }
        })?;
        let native = NativeBuild::default();
        let mut worker =
            Self { child, requests: Some(requests), replies, oom_kills, log: log.to_owned(), native };
        match worker.next(START, interrupted)? {
            Reply::Ready { protocol: PROTOCOL, native } => worker.native = native,
            Reply::Ready { protocol, .. } => {
                return Err(worker.broken(&format!("speaks protocol {protocol}, this program {PROTOCOL}")));
            }
            _ => return Err(worker.broken("did not begin by saying that it is ready")),
        }
        Ok(worker)
    }

    /// Sends a request and waits for its end. `on_reply` sees every item and sign of life; its error ends the
    /// work. `patience` is the longest silence that is not yet a hang.
    pub fn ask(
        &mut self,
        request: &Request,
        patience: Duration,
        interrupted: &AtomicBool,
        mut on_reply: impl FnMut(Reply) -> Result<(), WorkFailure>,
    ) -> Result<Finished, WorkFailure> {
        self.send(request)?;
        loop {
            match self.next(patience, interrupted)? {
                Reply::Finished(finished) => return Ok(finished),
                Reply::Failed { reason, no_space: true, .. } => return Err(WorkFailure::NoSpace(reason)),
                Reply::Failed { status, reason, .. } => {
                    return Err(WorkFailure::Trial { status, reason, alive: true });
                }
                Reply::Ready { .. } => return Err(self.broken("said twice that it is ready")),
                reply @ (Reply::Item(_) | Reply::Progress { .. }) => on_reply(reply)?,
            }
        }
    }

    /// Writes the request from a thread of its own, so that a worker that does not read cannot hold us up.
    fn send(&mut self, request: &Request) -> Result<(), WorkFailure> {
        let failed = |error: &dyn std::fmt::Display| WorkFailure::Trial {
            status: Status::BadProtocol,
            reason: format!("the request could not be sent: {error}"),
            alive: false,
        };
        let mut line = serde_json::to_string(request).map_err(|e| failed(&e))?;
        line.push('\n');
        let requests = self.requests.as_ref().ok_or_else(|| failed(&"closed"))?;
        let mut out = requests.try_clone().map_err(|e| failed(&e))?;
        // A write that fails shows as the end of the replies.
        let writer = std::thread::Builder::new().spawn(move || out.write_all(line.as_bytes()));
        writer.map(|_| ()).map_err(|e| failed(&e))
    }

    fn next(&mut self, patience: Duration, interrupted: &AtomicBool) -> Result<Reply, WorkFailure> {
        // As long as a clock can tell, where that is not enough.
        let longest = Duration::from_secs(1 << 32);
        let deadline = Instant::now() + patience.min(longest);
        loop {
            if interrupted.load(Ordering::Relaxed) {
                return Err(WorkFailure::Interrupted);
            }
            bound_log(&self.log);
            let wait = deadline.saturating_duration_since(Instant::now()).min(GLANCE);
            match self.replies.recv_timeout(wait) {
                Ok(Ok(reply)) => return Ok(reply),
                Ok(Err(what)) => return Err(self.broken(&what)),
                Err(RecvTimeoutError::Disconnected) => return Err(self.ended()),
                Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => {}
                Err(RecvTimeoutError::Timeout) => return Err(self.hung(patience)),
            }
        }
    }

    fn broken(&mut self, what: &str) -> WorkFailure {
        let _ = self.child.kill();
        WorkFailure::Trial { status: Status::BadProtocol, reason: format!("the worker {what}"), alive: false }
    }

    fn hung(&mut self, patience: Duration) -> WorkFailure {
        let _ = self.child.kill();
        let reason = format!("the worker gave no sign of life for {:.0} s", patience.as_secs_f64());
        WorkFailure::Trial { status: Status::TimedOut, reason, alive: false }
    }

    /// The reply stream ended by itself: the worker is dead or dying.
    fn ended(&mut self) -> WorkFailure {
        let exit = wait_a_little(&mut self.child);
        let oom = memory::kernel_oom_kills() > self.oom_kills;
        let (status, reason) = match exit {
            Some(exit) => {
                let (status, reason) = exit_reason(exit, oom);
                (status, format!("{reason}{}", last_words(&self.log)))
            }
            None => (Status::BadProtocol, "the worker closed its replies and went on".to_owned()),
        };
        WorkFailure::Trial { status, reason, alive: false }
    }
}

fn exit_reason(exit: ExitStatus, oom: bool) -> (Status, String) {
    match exit.signal() {
        Some(9) if oom => {
            (Status::OutOfMemory, "the worker was killed because memory ran out (signal 9)".to_owned())
        }
        Some(signal) => {
            let name = match signal {
                4 => " (illegal instruction)",
                6 => " (abort)",
                8 => " (arithmetic)",
                9 => " (killed)",
                11 => " (segmentation fault)",
                7 => " (bus error)",
                _ => "",
            };
            (Status::Crashed, format!("the worker died by signal {signal}{name}"))
        }
        None => {
            (Status::Crashed, format!("the worker ended early with exit code {}", exit.code().unwrap_or(-1)))
        }
    }
}

/// The last line of a worker's log, which is often the assertion that ended it.
fn last_words(log: &Path) -> String {
    const TAIL: i64 = 4096;
    let mut text = Vec::new();
    let read = File::open(log).and_then(|mut file| {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::End(-TAIL.min(length.cast_signed())))?;
        file.read_to_end(&mut text)
    });
    let text = String::from_utf8_lossy(&text);
    // Rust ends an abort with a note on how to see a backtrace.
    let telling = |line: &&str| !line.trim().is_empty() && !line.starts_with("note: ");
    match text.lines().rev().find(telling) {
        Some(line) if read.is_ok() => format!("; its last words: {}", line.trim()),
        _ => String::new(),
    }
}

fn wait_a_little(child: &mut Child) -> Option<ExitStatus> {
    for _ in 0..50 {
        if let Ok(Some(exit)) = child.try_wait() {
            return Some(exit);
        }
        std::thread::sleep(Duration::from_millis(40));
    }
    let _ = child.kill();
    None
}

/// Empties a log that has grown beyond all use, also while its worker lives, which goes on at its end.
fn bound_log(log: &Path) {
    if std::fs::symlink_metadata(log).is_ok_and(|about| about.is_file() && about.len() > LONGEST_LOG) {
        // Best effort: a log is no result.
        let _ = files::append_to_log(log).and_then(|file| file.set_len(0));
    }
}

type Spawned = (Child, PipeWriter, Receiver<Result<Reply, String>>);

fn spawn(log: &Path) -> io::Result<Spawned> {
    let (request_reader, request_writer) = io::pipe()?;
    let (reply_reader, reply_writer) = io::pipe()?;
    bound_log(log);
    let log = files::append_to_log(log)?;
    let mut command = Command::new(program()?);
    command
        .arg("worker")
        .arg("--parent")
        .arg(std::process::id().to_string())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        // An abort's last words shall be the assertion, not those of a debugger that ggml would start.
        .env("GGML_NO_BACKTRACE", "1")
        // Its last words are shown to people.
        .env("RUST_BACKTRACE", "0")
        // Ctrl-C in a terminal is for the parent, which ends its workers itself.
        .process_group(0);
    command
        .fd_mappings(vec![
            FdMapping { parent_fd: OwnedFd::from(request_reader), child_fd: REQUEST_FD },
            FdMapping { parent_fd: OwnedFd::from(reply_writer), child_fd: REPLY_FD },
        ])
        .map_err(io::Error::other)?;
    let mut child = command.spawn()?;
    // Holds the worker's ends of the pipes; without this the end of the stream would never be seen.
    drop(command);
    let (sender, receiver) = sync_channel(64);
    let reader = std::thread::Builder::new().spawn(move || read_replies(reply_reader, &sender));
    if let Err(error) = reader {
        // Nobody would hear it.
        let _ = child.kill().and_then(|()| child.wait().map(|_| ()));
        return Err(error);
    }
    Ok((child, request_writer, receiver))
}

/// This very program, even if its file has been replaced since it was started.
fn program() -> io::Result<PathBuf> {
    if let Some(other) = std::env::var_os(WORKER_VARIABLE) {
        return Ok(PathBuf::from(other));
    }
    if cfg!(target_os = "linux") { Ok(PathBuf::from("/proc/self/exe")) } else { std::env::current_exe() }
}

fn read_replies(stream: impl io::Read, sender: &SyncSender<Result<Reply, String>>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        let read = reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line);
        let reply = match read {
            Ok(0) | Err(_) => return,
            // A line without its end was cut off by the worker's death, which the end of the stream tells.
            Ok(_) if !line.ends_with(b"\n") && (line.len() as u64) < LONGEST_LINE => return,
            Ok(_) => serde_json::from_slice(&line).map_err(|error| {
                let shown: String =
                    String::from_utf8_lossy(&line).chars().filter(|c| !c.is_control()).take(60).collect();
                format!("wrote a line that is not of the protocol ({error}): {shown}")
            }),
        };
        let over = reply.is_err();
        if sender.send(reply).is_err() || over {
            return;
        }
    }
}
