//! What a program and all that it started have at this moment, from `/proc`.

use std::fs;

/// What processes have, added up.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Usage {
    /// Processes and threads.
    pub(super) tasks: u64,
    /// Resident bytes; memory that two share counts twice.
    pub(super) resident: u64,
    /// Seconds of processors, those of ended children included.
    pub(super) cpu_s: f64,
}

/// Which processes are the program's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// All of the namespace but process 1, which asks.
    Namespace,
    /// Those of a process group: where there is no namespace.
    Group(i32),
}

/// One line of `/proc/PID/stat`.
#[derive(Debug, PartialEq)]
struct Stat {
    group: i32,
    ticks: u64,
    ticks_of_children: u64,
    threads: u64,
    pages: u64,
}

impl Stat {
    /// The command's name in it may hold anything, blanks and brackets too.
    fn parse(line: &str) -> Option<Self> {
        let (_, rest) = line.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // The first field behind the name is the third of all.
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Self {
            group: fields.get(2)?.parse().ok()?,
            ticks: number(14)? + number(15)?,
            ticks_of_children: number(16)? + number(17)?,
            threads: number(20)?,
            pages: number(24)?,
        })
    }
}

/// Asks. Where there is no `/proc`, nothing is known.
pub(super) fn usage(whose: Whose) -> Usage {
    let me = std::process::id();
    let mut sum = Usage::default();
    let mut ticks = 0;
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Some(stat) = fs::read_to_string(entry.path().join("stat")).ok().and_then(|s| Stat::parse(&s))
        else {
            continue;
        };
        if id == me {
            // Of its own it has little; its children's are those that have ended.
            ticks += stat.ticks_of_children;
            continue;
        }
        if matches!(whose, Whose::Group(group) if group != stat.group) {
            continue;
        }
        sum.tasks += stat.threads;
        sum.resident += stat.pages * rustix::param::page_size() as u64;
        ticks += stat.ticks + stat.ticks_of_children;
    }
    sum.cpu_s = ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_is_no_harm() {
        let line = "42 (a) b) R 1 40 40 0 -1 4194304 9 0 0 0 7 3 2 1 20 0 5 0 100 9999 321 0";
        let expected = Stat { group: 40, ticks: 10, ticks_of_children: 3, threads: 5, pages: 321 };
        assert_eq!(Stat::parse(line), Some(expected));
        assert_eq!(Stat::parse("42 (a"), None);
        assert_eq!(Stat::parse("42 (a) R 1"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_not_its_own_program() {
        // Nobody's group.
        assert_eq!(usage(Whose::Group(-1)).tasks, 0);
        assert!(usage(Whose::Namespace).resident > 0);
    }
}
