//! A task is over and its trial is not: whether that can pass, and what the tables say if it cannot.

use super::queue::Task;
use crate::journal::record::Status;

/// Exit codes of `run-trial` that the same command would end with again: a wrong command line or input, something that is not
/// in the cache.
const LASTING: [u8; 4] = [2, 3, 4, 5];

/// Most letters of a program's words that a table repeats.
const LONGEST: usize = 400;

/// The words of a task's last start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Words {
    /// Whether there was a start.
    pub begun: bool,
    /// The exit code; absent if the task was ended before it could tell.
    pub code: Option<u8>,
    /// The last error, without its introduction.
    pub error: String,
}

impl Words {
    /// Reads what a task's log says of its last start.
    pub fn read(log: &str) -> Self {
        let begun = log.rfind("task begins: ");
        let last = begun.map_or("", |at| log.get(at..).unwrap_or_default());
        let told = |start: &str| last.lines().rev().find_map(|line| line.strip_prefix(start));
        let error = told("error: ").unwrap_or_default().chars().take(LONGEST).collect();
        let code = told("task ends: ").and_then(|code| code.trim().parse().ok());
        Self { begun: begun.is_some(), code, error }
    }

    /// How it ended, for people; empty where a task that was lost could tell nothing.
    fn told(&self) -> String {
        match self.code {
            _ if !self.error.is_empty() => format!(": {}", self.error),
            Some(code @ 129..) => format!(": it was ended by signal {}", code - 128),
            Some(code @ 1..) => format!(": exit code {code}"),
            Some(0) | None => String::new(),
        }
    }
}

/// A task that is over although its trial is not done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ended {
    /// As the queue had it last; absent if it never did, or if it was ended here.
    pub task: Option<Task>,
    /// Whether it was ended here.
    pub freed: bool,
    /// What its log says of its last start.
    pub words: Words,
    /// Where that log lies, in the results folder.
    pub log: String,
    /// How often the trial was lost before without getting any further.
    pub lost: u32,
    /// Whether other nodes, which carry out tasks of this sweep, may do better than those that lost it.
    pub elsewhere: bool,
}

/// What becomes of a trial whose task is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The node, the time or the machine was lost: it is submitted again.
    Again,
    /// It is a row with this status and reason.
    Row(Status, String),
}

/// Judges a trial that is not done although its task is over.
pub fn judge(ended: &Ended, resubmits: u32) -> Verdict {
    let Ended { task, freed, words, log, lost, elsewhere } = ended;
    let (task, lost) = (task.as_ref(), *lost);
    let name = task.map_or_else(|| "its task".to_owned(), Task::told);
    if words.code.is_some_and(|code| LASTING.contains(&code)) && !(*elsewhere && lost < resubmits) {
        let nodes = task.map_or("", |task| task.nodes.as_str());
        let place = if nodes.is_empty() { String::new() } else { format!(" on {nodes}") };
        return Verdict::Row(Status::Refused, format!("it could not be begun{place}{}", words.told()));
    }
    let state = task.map_or("", |task| task.state.as_str());
    if state == "CANCELLED" {
        return Verdict::Row(Status::Skipped, format!("its job was cancelled: {name}"));
    }
    // Slurm forgets at once what is cancelled while it waits.
    if task.is_none_or(Task::is_waiting) && !words.begun && !freed {
        return Verdict::Row(
            Status::Skipped,
            format!("its job was cancelled: {name} left the queue before it began"),
        );
    }
    if lost < resubmits {
        return Verdict::Again;
    }
    let status = match state {
        "TIMEOUT" | "DEADLINE" => Status::TimedOut,
        "OUT_OF_MEMORY" => Status::OutOfMemory,
        _ => Status::Crashed,
    };
    let times = if lost == 0 { "once".to_owned() } else { format!("{} times", lost + 1) };
    let log = if log.is_empty() { String::new() } else { format!("; its words are in {log}") };
    Verdict::Row(status, format!("its task was lost {times}, at last {name}{}{log}", words.told()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::queue::parse;

    fn task(state: &str) -> Task {
        parse(&format!("12_3|{state}|b|n1|None")).remove(0)
    }

    fn words(code: Option<u8>, error: &str) -> Words {
        Words { begun: true, code, error: error.to_owned() }
    }

    fn ended(state: &str, words: Words, lost: u32) -> Ended {
        Ended { task: Some(task(state)), words, lost, ..Ended::default() }
    }

    fn row(status: Status, reason: &str) -> Verdict {
        Verdict::Row(status, reason.to_owned())
    }

    #[test]
    fn only_the_last_start_counts() {
        let log = "task begins: a on n1, start 0\nerror: old\ntask ends: 3\ntask begins: a on n2, start 1\nsome words\n";
        assert_eq!(Words::read(log), words(None, ""));
        let log = format!("{log}error: x (hint: y)\ntask ends: 130\nslurmstepd: error: gone\n");
        assert_eq!(Words::read(&log), words(Some(130), "x (hint: y)"));
        assert_eq!(Words::read("sbatch never began\ntask ends: 3\n"), Words::default());
    }

    #[test]
    fn what_can_pass_is_tried_again_and_not_for_ever() {
        for state in [
            "NODE_FAIL",
            "TIMEOUT",
            "PREEMPTED",
            "BOOT_FAIL",
            "FAILED",
            "COMPLETED",
            "OUT_OF_MEMORY",
            "RUNNING",
        ] {
            assert_eq!(judge(&ended(state, Words::default(), 2), 3), Verdict::Again, "{state}");
        }
        let freed = Ended { task: None, freed: true, ..ended("PENDING", Words::default(), 0) };
        assert_eq!(judge(&freed, 1), Verdict::Again, "Slurm held it, and it was ended here");
        assert_eq!(
            judge(&ended("PENDING", words(None, ""), 0), 1),
            Verdict::Again,
            "it was requeued, and lost"
        );
        let at_last = |state: &str, lost| judge(&ended(state, Words::default(), lost), lost);
        let lost = "its task was lost 4 times, at last 12_3 on n1 (NODE_FAIL)";
        assert_eq!(at_last("NODE_FAIL", 3), row(Status::Crashed, lost));
        let late = "its task was lost once, at last 12_3 on n1 (TIMEOUT)";
        assert_eq!(at_last("TIMEOUT", 0), row(Status::TimedOut, late));
        let memory = "its task was lost once, at last 12_3 on n1 (OUT_OF_MEMORY)";
        assert_eq!(at_last("OUT_OF_MEMORY", 0), row(Status::OutOfMemory, memory));
        let died = Ended { log: "cluster/b-3.log".to_owned(), ..ended("FAILED", words(Some(132), ""), 0) };
        let told = "its task was lost once, at last 12_3 on n1 (FAILED): it was ended by signal 4; its words are in \
                    cluster/b-3.log";
        assert_eq!(judge(&died, 0), row(Status::Crashed, told));
    }

    #[test]
    fn what_cannot_pass_is_a_row_at_once() {
        let missing = ended("FAILED", words(Some(4), "no data (hint: fetch)"), 0);
        let told = "it could not be begun on n1: no data (hint: fetch)";
        assert_eq!(judge(&missing, 3), row(Status::Refused, told));
        // Where another node may have the data, that one is asked, but not for ever.
        let elsewhere = Ended { elsewhere: true, ..missing };
        assert_eq!(judge(&elsewhere, 3), Verdict::Again);
        assert_eq!(judge(&Ended { lost: 3, ..elsewhere }, 3), row(Status::Refused, told));
        let verdict = judge(&ended("CANCELLED", words(Some(130), "interrupted"), 0), 3);
        assert_eq!(verdict, row(Status::Skipped, "its job was cancelled: 12_3 on n1 (CANCELLED)"));
        let waiting = Task { nodes: String::new(), ..task("PENDING") };
        let waiting = Ended { task: Some(waiting), ..Ended::default() };
        let told = "its job was cancelled: 12_3 (PENDING) left the queue before it began";
        assert_eq!(judge(&waiting, 3), row(Status::Skipped, told));
        // The disk ran full, or an end that nobody expected: it may pass.
        assert_eq!(judge(&ended("FAILED", words(Some(7), ""), 0), 3), Verdict::Again);
    }
}
