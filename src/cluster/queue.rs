//! What `squeue` says of a sweep's tasks. Nothing else of Slurm's is read, so that a cluster without an accounting database
//! does.

/// What is asked of `squeue`, a task a line: its id, state, comment (the batch), nodes and reason, which may hold anything.
pub const FORMAT: &str = "--format=%i|%T|%k|%N|%r";

/// States in which a task is over. Anything else, also what a newer Slurm may call it, is still to come to an end.
const OVER: [&str; 10] = [
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PREEMPTED",
    "REVOKED",
    "TIMEOUT",
];

/// A task of an array, as the queue has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Number of the array.
    pub job: u64,
    /// Its place in the array; absent in the line that a whole array leaves that was ended before any of it began.
    pub index: Option<usize>,
    /// Slurm's word for where it stands.
    pub state: String,
    /// The batch of trials that it belongs to.
    pub batch: String,
    /// Where it runs or ran; empty if it never did.
    pub nodes: String,
    /// Why it waits, or how it ended.
    pub reason: String,
}

impl Task {
    /// One that was submitted a moment ago.
    pub fn submitted(job: u64, index: usize, batch: &str) -> Self {
        let (state, batch) = ("PENDING".to_owned(), batch.to_owned());
        Self { job, index: Some(index), state, batch, nodes: String::new(), reason: String::new() }
    }

    /// Whether the queue showed it: of whatever waits it says why.
    pub fn was_shown(&self) -> bool {
        !self.is_waiting() || !self.reason.is_empty()
    }

    /// As Slurm calls it: `12_3`.
    pub fn name(&self) -> String {
        self.index.map_or_else(|| self.job.to_string(), |index| format!("{}_{index}", self.job))
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        OVER.contains(&self.state.as_str())
    }

    /// Whether it waits.
    pub fn is_waiting(&self) -> bool {
        self.state == "PENDING"
    }

    /// Whether Slurm holds it because it could not be started: it would wait for ever.
    pub fn is_stuck(&self) -> bool {
        let reason = self.reason.replace('_', " ");
        let is_held = reason.contains("requeued held") || reason.contains("JobHoldMaxRequeue");
        self.state == "SPECIAL_EXIT" || self.is_waiting() && is_held
    }

    /// Whether another node may do better.
    pub fn may_be_its_nodes_fault(&self) -> bool {
        !self.nodes.is_empty()
            && ["BOOT_FAIL", "COMPLETED", "FAILED", "NODE_FAIL"].contains(&self.state.as_str())
    }

    /// For people: `12_3 on n1 (NODE_FAIL)`.
    pub fn told(&self) -> String {
        let nodes = if self.nodes.is_empty() { String::new() } else { format!(" on {}", self.nodes) };
        format!("{}{nodes} ({})", self.name(), self.state)
    }
}

/// Reads what `squeue` printed. Lines that are no job are left out.
pub fn parse(text: &str) -> Vec<Task> {
    text.lines().flat_map(tasks).collect()
}

/// The tasks of a line: one, several that never began and still stand together (`12_[3-5,9%2]`), or a whole array (`12`).
fn tasks(line: &str) -> Vec<Task> {
    let mut fields = line.splitn(5, '|');
    let mut next = || fields.next().map(str::trim);
    let (Some(id), Some(state), Some(batch), Some(nodes), Some(reason)) =
        (next(), next(), next(), next(), next())
    else {
        return Vec::new();
    };
    let (job, places) = id.split_once('_').map_or((id, None), |(job, places)| (job, Some(places)));
    let Ok(job) = job.parse() else { return Vec::new() };
    let task = |index| Task {
        job,
        index,
        state: state.to_owned(),
        batch: batch.to_owned(),
        nodes: nodes.to_owned(),
        reason: reason.to_owned(),
    };
    let Some(places) = places else { return vec![task(None)] };
    indices(places).into_iter().map(|index| task(Some(index))).collect()
}

/// `7`, or `[3-5,9%2]`: ranges, and how many may run at a time. Nothing if it is something else.
fn indices(places: &str) -> Vec<usize> {
    let inside = places.strip_prefix('[').and_then(|p| p.strip_suffix(']')).unwrap_or(places);
    let inside = inside.split('%').next().unwrap_or_default();
    let range = |part: &str| -> Option<std::ops::RangeInclusive<usize>> {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        // A batch is never that long; a line that says so is damaged.
        (last < LONGEST).then_some(first..=last)
    };
    inside.split(',').filter_map(range).flatten().collect()
}

/// No array of a cluster has so many places.
const LONGEST: usize = 1 << 22;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_of_squeue() {
        let text = "12_0|RUNNING|0001-aa|n1|None\n\
                    12_1|PENDING|0001-aa||JobArrayTaskLimit\n\
                    13_[2-4,7%2]|PENDING|0002-bb||(ReqNodeNotAvail, UnavailableNodes:n1|n2)\n\
                    14|RUNNING|other|n2|None\n\
                    slurm_load_jobs error: x\n\n\
                    9_0|NODE_FAIL|0000-cc|n2|NodeDown\n";
        let tasks = parse(text);
        let named: Vec<_> = tasks.iter().map(|t| (t.name(), t.batch.as_str(), t.is_over())).collect();
        let expected = [
            ("12_0", "0001-aa", false),
            ("12_1", "0001-aa", false),
            ("13_2", "0002-bb", false),
            ("13_3", "0002-bb", false),
            ("13_4", "0002-bb", false),
            ("13_7", "0002-bb", false),
            ("14", "other", false),
            ("9_0", "0000-cc", true),
        ];
        assert_eq!(named, expected.map(|(name, batch, over)| (name.to_owned(), batch, over)));
        assert_eq!(tasks[2].reason, "(ReqNodeNotAvail, UnavailableNodes:n1|n2)");
        assert_eq!(tasks[7].told(), "9_0 on n2 (NODE_FAIL)");
        assert_eq!(tasks[1].told(), "12_1 (PENDING)");
    }

    #[test]
    fn a_state_that_nobody_knows_is_not_over() {
        let task = |state: &str, reason: &str| parse(&format!("1_0|{state}|b||{reason}")).remove(0);
        assert!(!task("TELEPORTING", "").is_over() && task("TIMEOUT", "").is_over());
        assert!(task("PENDING", "launch failed requeued held").is_stuck());
        assert!(task("PENDING", "launch_failed_requeued_held").is_stuck());
        assert!(task("PENDING", "JobHoldMaxRequeue").is_stuck());
        assert!(!task("PENDING", "JobHeldUser").is_stuck() && !task("RUNNING", "None").is_stuck());
    }

    proptest! {
        #[test]
        fn nothing_that_squeue_could_print_breaks_the_reader(text in "[0-9_\\[\\]%,|\\-A-Z\n]{0,80}") {
            let _ = parse(&text);
        }
    }
}
