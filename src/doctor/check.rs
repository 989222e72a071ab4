//! What was looked at, how it is, and what to do about it.

use std::fmt::Write as _;

use serde::Serialize;

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// As it should be.
    Ok,
    /// Something will be slower, or one thing cannot be done.
    Warn,
    /// Sweeps cannot run.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What: `cpu`, `cache`, ...
    pub name: &'static str,
    /// How it is.
    pub mark: Mark,
    /// What was found.
    pub found: String,
    /// What the user can do; empty if all is well.
    pub advice: String,
}

/// Everything that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Examined {
    /// In the order of the text.
    pub checks: Vec<Check>,
    /// How many keep sweeps from running.
    pub failed: usize,
    /// How many are worth a look.
    pub warned: usize,
}

impl Check {
    pub(super) fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, mark: Mark::Ok, found: found.into(), advice: String::new() }
    }

    pub(super) fn warn(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, mark: Mark::Warn, found: found.into(), advice: advice.into() }
    }

    pub(super) fn fail(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, mark: Mark::Fail, found: found.into(), advice: advice.into() }
    }
}

impl Examined {
    pub(super) fn new(checks: Vec<Check>) -> Self {
        let count = |mark| checks.iter().filter(|check| check.mark == mark).count();
        Self { failed: count(Mark::Fail), warned: count(Mark::Warn), checks }
    }

    /// For people: a line a check, with what to do below it.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for check in &self.checks {
            let mark = match check.mark {
                Mark::Ok => "ok",
                Mark::Warn => "warn",
                Mark::Fail => "fail",
            };
            let _ = writeln!(out, "{mark:<4}  {:<9}  {}", check.name, check.found);
            if !check.advice.is_empty() {
                let _ = writeln!(out, "{:17}to do: {}", "", check.advice);
            }
        }
        out + &format!("\n{}\n", self.verdict())
    }

    fn verdict(&self) -> String {
        match (self.failed, self.warned) {
            (0, 0) => "Nothing stands in the way of a sweep.".to_owned(),
            (0, warned) => format!("Nothing stands in the way of a sweep; {warned} to look at."),
            (failed, warned) => format!("{failed} in the way of a sweep, {warned} to look at."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_is_a_line_and_what_to_do_stands_below_it() {
        let examined = Examined::new(vec![
            Check::ok("cpu", "Fast 9000"),
            Check::warn("memory", "1.0 GiB", "close something"),
            Check::fail("cache", "/x cannot be written", "move it"),
        ]);
        assert_eq!(
            examined.text(),
            "ok    cpu        Fast 9000\nwarn  memory     1.0 GiB\n                 to do: close something\n\
             fail  cache      /x cannot be written\n                 to do: move it\n\n\
             1 in the way of a sweep, 1 to look at.\n"
        );
        assert_eq!((examined.failed, examined.warned), (1, 1));
        let well = Examined::new(vec![Check::ok("cpu", "Fast 9000")]);
        assert!(well.text().ends_with("\nNothing stands in the way of a sweep.\n"));
    }
}
