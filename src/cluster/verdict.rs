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
    /// The exit code; absent if the task was ended before it could tell.
    pub code: Option<u8>,
    /// The last error, without its introduction.
    pub error: String,
}

impl Words {
    /// Reads what a task's log says of its last start.
    pub fn read(log: &str) -> Self {
        let last = log.rfind("task begins: ").map_or("", |at| log.get(at..).unwrap_or_default());
        let told = |start: &str| last.lines().rev().find_map(|line| line.strip_prefix(start));
        let error = told("error: ").unwrap_or_default().chars().take(LONGEST).collect();
        Self { code: told("task ends: ").and_then(|code| code.trim().parse().ok()), error }
    }
}

/// What becomes of a trial whose task is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The node, the time or the machine was lost: it is submitted again.
    Again,
    /// It is a row with this status and reason.
    Row(Status, String),
}

/// Judges a trial that is not done although its task is over. `task` is what the queue still knows of it, `lost` how often it
/// was lost before without getting any further.
pub fn judge(task: Option<&Task>, words: &Words, lost: u32, resubmits: u32) -> Verdict {
    let name = task.map_or_else(|| "its task".to_owned(), Task::told);
    if let Some(code) = words.code.filter(|code| LASTING.contains(code)) {
        let why = if words.error.is_empty() { format!("exit code {code}") } else { words.error.clone() };
        return Verdict::Row(Status::Refused, format!("it could not be begun: {why}"));
    }
    let state = task.map_or("", |task| task.state.as_str());
    if state == "CANCELLED" {
        return Verdict::Row(Status::Skipped, format!("its job was cancelled: {name}"));
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
    let error = if words.error.is_empty() { String::new() } else { format!(": {}", words.error) };
    Verdict::Row(status, format!("its task was lost {times}, at last {name}{error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::queue::parse;

    fn task(state: &str) -> Task {
        parse(&format!("12_3|{state}|b|n1|None")).remove(0)
    }

    fn words(code: Option<u8>, error: &str) -> Words {
        Words { code, error: error.to_owned() }
    }

    #[test]
    fn only_the_last_start_counts() {
        let log = "task begins: a on n1, start 0\nerror: old\ntask ends: 3\ntask begins: a on n2, start 1\nsome words\n";
        assert_eq!(Words::read(log), Words::default());
        let log = format!("{log}error: x (hint: y)\ntask ends: 130\nslurmstepd: error: gone\n");
        assert_eq!(Words::read(&log), words(Some(130), "x (hint: y)"));
        assert_eq!(Words::read("sbatch never began\ntask ends: 3\n"), Words::default());
    }

    #[test]
    fn what_can_pass_is_tried_again_and_not_for_ever() {
        let none = Words::default();
        for state in
            ["NODE_FAIL", "TIMEOUT", "PREEMPTED", "BOOT_FAIL", "FAILED", "COMPLETED", "OUT_OF_MEMORY"]
        {
            assert_eq!(judge(Some(&task(state)), &none, 2, 3), Verdict::Again, "{state}");
        }
        assert_eq!(judge(None, &none, 0, 1), Verdict::Again, "the queue has forgotten it");
        let row = |state: &str, lost| judge(Some(&task(state)), &none, lost, lost);
        let told = |status, text: &str| Verdict::Row(status, text.to_owned());
        let lost = "its task was lost 4 times, at last 12_3 on n1 (NODE_FAIL)";
        assert_eq!(row("NODE_FAIL", 3), told(Status::Crashed, lost));
        assert_eq!(
            row("TIMEOUT", 0),
            told(Status::TimedOut, "its task was lost once, at last 12_3 on n1 (TIMEOUT)")
        );
        let memory = "its task was lost once, at last 12_3 on n1 (OUT_OF_MEMORY)";
        assert_eq!(row("OUT_OF_MEMORY", 0), told(Status::OutOfMemory, memory));
    }

    #[test]
    fn what_cannot_pass_is_a_row_at_once() {
        let verdict = judge(Some(&task("FAILED")), &words(Some(4), "no data (hint: fetch)"), 0, 3);
        let reason = "it could not be begun: no data (hint: fetch)".to_owned();
        assert_eq!(verdict, Verdict::Row(Status::Refused, reason));
        let verdict = judge(Some(&task("CANCELLED")), &words(Some(130), "interrupted"), 0, 3);
        assert_eq!(
            verdict,
            Verdict::Row(Status::Skipped, "its job was cancelled: 12_3 on n1 (CANCELLED)".to_owned())
        );
        // The disk ran full, or an end that nobody expected: it may pass.
        assert_eq!(judge(Some(&task("FAILED")), &words(Some(7), ""), 0, 3), Verdict::Again);
    }
}
