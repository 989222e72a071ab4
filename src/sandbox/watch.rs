//! Runs the program and ends it, and all that it started, at its end or at the first limit.
//!
//! Limits of the kernel hold for each process (`limit`); what all have together is looked at every few milliseconds.
//! Seconds count only while the watch itself runs: a machine that sleeps, or a process group that is stopped, times
//! nothing out.

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitOptions, getrlimit, kill_process_group, setrlimit, wait,
};

use super::job::{End, Job, Limits, Ran};
use super::output::Output;
use super::scratch;
use super::usage::{Usage, Whose, usage};
use std::path::Path;

/// How often a program is looked at while it is young, and later.
const GLANCES: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(10)];
const YOUNG: Duration = Duration::from_millis(200);
/// What a longer gap between two glances counts.
const LONGEST_GAP: Duration = Duration::from_millis(250);
/// Files and folders that a program may have. A file system in memory that is our own has no room for more.
const MOST_NAMES: u64 = 25_000;
/// Threads of the watch itself, which the kernel counts too.
const OWN_TASKS: u64 = 8;

/// Where a program runs.
pub(super) struct Place<'a> {
    /// The folder it begins in.
    pub(super) folder: &'a Path,
    /// Where it may leave temporary files.
    pub(super) temporary: &'a Path,
    /// Where programs are looked for.
    pub(super) path: String,
    /// Which processes are its.
    pub(super) is_alone: bool,
}

/// Sets what the kernel holds each process to, this one included.
pub(super) fn limit(limits: &Limits, is_alone: bool) -> io::Result<()> {
    let cpu = limits.cpu.as_secs() + 1;
    let mut all = vec![
        (Resource::Core, 0),
        (Resource::Fsize, limits.disk),
        (Resource::Nofile, 128),
        // What is mapped is not all used: interpreters reserve more than they touch.
        (Resource::As, limits.memory.saturating_mul(2)),
        (Resource::Cpu, cpu + 1),
    ];
    if is_alone {
        // Elsewhere it counts all processes of the user.
        all.push((Resource::Nproc, limits.processes + OWN_TASKS));
    }
    for (resource, most) in all {
        let had = getrlimit(resource).maximum;
        let most = had.map_or(most, |had| had.min(most));
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    Ok(())
}

/// Runs a job to its end. `answer` is where its result will be sent: once nobody waits there, all is over.
pub(super) fn run(job: &Job, place: &Place<'_>, answer: &io::Stdout) -> io::Result<Ran> {
    let begun = Instant::now();
    let mut child = match start(job, place) {
        Ok(child) => child,
        Err(error) => return Ok(not_started(job, &error)),
    };
    let id = child.id().cast_signed();
    let whose = if place.is_alone { Whose::Namespace } else { Whose::Group(id) };
    let stdin = child.stdin.take();
    let text = job.stdin.0.clone();
    std::thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(&text)));
    let stdout = child.stdout.take().map(|stream| Output::of(stream, job.limits.output));
    let stderr = child.stderr.take().map(|stream| Output::of(stream, job.limits.output));
    let (end, cpu_s) = watch(id, whose, (place, &job.limits), answer)?;
    let wall_s = begun.elapsed().as_secs_f64();
    end_all(id, place.is_alone);
    let (stdout, stdout_cut) = stdout.map(Output::end).unwrap_or_default();
    let (stderr, stderr_cut) = stderr.map(Output::end).unwrap_or_default();
    let (files, files_left_out) =
        if job.keep { scratch::gather(place.folder, job.limits.disk) } else { Default::default() };
    Ok(Ran { end, stdout, stderr, stdout_cut, stderr_cut, files, files_left_out, cpu_s, wall_s })
}

fn start(job: &Job, place: &Place<'_>) -> io::Result<Child> {
    let nothing = || io::Error::new(io::ErrorKind::NotFound, "no program was named");
    let (program, arguments) = job.argv.split_first().ok_or_else(nothing)?;
    Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", &place.path)
        .env("HOME", place.folder)
        .env("TMPDIR", place.temporary)
        .env("LANG", "C.UTF-8")
        // The same program has the same output every time, and leaves no compiled files.
        .env("PYTHONHASHSEED", "0")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(place.folder)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

fn not_started(job: &Job, error: &io::Error) -> Ran {
    let program = job.argv.first().map_or("", String::as_str);
    Ran {
        end: End::Exited(127),
        stdout: Vec::new().into(),
        stderr: format!("{program} cannot be started: {error}\n").into(),
        stdout_cut: false,
        stderr_cut: false,
        files: job.files.clone(),
        files_left_out: 0,
        cpu_s: 0.0,
        wall_s: 0.0,
    }
}

/// Waits for the end, or for the first limit. Gives the seconds of processors, too.
fn watch(
    id: i32,
    whose: Whose,
    (place, limits): (&Place<'_>, &Limits),
    answer: &io::Stdout,
) -> io::Result<(End, f64)> {
    let (mut ran, mut last) = (Duration::ZERO, Instant::now());
    loop {
        let now = usage(whose);
        if let Some(end) = reap(id) {
            let is_up = matches!(end, End::Signalled(signal) if signal == Signal::XCPU.as_raw());
            // What ended between the two lines above is counted only now.
            return Ok((if is_up { End::TimedOut } else { end }, now.cpu_s.max(usage(whose).cpu_s)));
        }
        if let Some(end) = excess(&now, ran, limits) {
            return Ok((end, now.cpu_s));
        }
        // Names take memory that no process has.
        if place.is_alone && names(place.folder) > MOST_NAMES {
            return Ok((End::OutOfMemory, now.cpu_s));
        }
        let glance = if ran < YOUNG { GLANCES[0] } else { GLANCES[1] };
        if is_deserted(answer, glance) {
            return Err(io::Error::other("nobody waits for the answer"));
        }
        ran += last.elapsed().min(LONGEST_GAP);
        last = Instant::now();
    }
}

fn excess(usage: &Usage, ran: Duration, limits: &Limits) -> Option<End> {
    if usage.tasks > limits.processes {
        return Some(End::TooManyProcesses);
    }
    if usage.resident > limits.memory {
        return Some(End::OutOfMemory);
    }
    (ran > limits.wall || usage.cpu_s > limits.cpu.as_secs_f64()).then_some(End::TimedOut)
}

/// Files and folders in the file system of this one.
fn names(folder: &Path) -> u64 {
    rustix::fs::statvfs(folder).map_or(0, |about| about.f_files.saturating_sub(about.f_ffree))
}

/// Takes leave of whatever has ended, orphans of the program among it; how the program did, if it did.
fn reap(id: i32) -> Option<End> {
    let mut end = None;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if pid.as_raw_nonzero().get() != id {
            continue;
        }
        end = match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Some(End::Exited(code)),
            (_, Some(signal)) => Some(End::Signalled(signal)),
            _ => None,
        };
    }
    end
}

/// Waits a moment; whether the other end of the stream was closed meanwhile.
fn is_deserted(answer: &io::Stdout, glance: Duration) -> bool {
    let mut streams = [PollFd::new(answer, PollFlags::empty())];
    let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(glance.subsec_nanos()) };
    let _ = poll(&mut streams, Some(&timeout));
    streams.iter().any(|stream| stream.revents().contains(PollFlags::ERR))
}

/// Ends whatever is left, and waits until it is gone.
fn end_all(id: i32, is_alone: bool) {
    loop {
        if is_alone {
            // Everything in the namespace but this process.
            let all = nix::unistd::Pid::from_raw(-1);
            if nix::sys::signal::kill(all, nix::sys::signal::Signal::SIGKILL).is_err() {
                return;
            }
        } else if Pid::from_raw(id).is_none_or(|group| kill_process_group(group, Signal::KILL).is_err()) {
            return;
        }
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_has_its_end() {
        let limits = Limits::default();
        let usage = Usage { tasks: 1, resident: 1, cpu_s: 0.1 };
        assert_eq!(excess(&usage, Duration::ZERO, &limits), None);
        assert_eq!(excess(&usage, limits.wall * 2, &limits), Some(End::TimedOut));
        let over = Usage { cpu_s: 11.0, ..usage };
        assert_eq!(excess(&over, Duration::ZERO, &limits), Some(End::TimedOut));
        let over = Usage { resident: (1 << 30) + 1, ..usage };
        assert_eq!(excess(&over, Duration::ZERO, &limits), Some(End::OutOfMemory));
        let over = Usage { tasks: 33, ..usage };
        assert_eq!(excess(&over, Duration::ZERO, &limits), Some(End::TooManyProcesses));
    }
}
