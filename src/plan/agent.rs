//! Suites of small repositories with a failing test, which a model mends with tools: the table of the suite file, and
//! what each item is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

/// Version of the tools and of what they answer. Raised whenever the same answers would come to something else.
pub const HARNESS: u32 = 1;

/// Metrics: the share of repositories whose tests pass in the end, of calls that no tool could carry out, of repositories
/// on which the model went in a circle; turns, and tokens written, a repository.
pub const METRICS: [&str; 5] = ["solved", "invalid_calls", "circles", "turns", "tokens_written"];

/// Most turns an item may be given.
const MOST_TURNS: u32 = 200;
/// Most files of a repository, and most bytes of one.
const MOST_FILES: usize = 64;
const MOST_BYTES: usize = 64 << 10;

/// The `[generate.agent]` table of a suite file. With the suite's prompt, sampling and context it is the harness: scores
/// swing with any of it, so that all of it is part of the suite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentTable {
    /// Template of the repository: a JSON object of texts by path.
    pub doc_to_files: String,
    /// Template of its tests, of the same form: they are run with it, and cannot be edited.
    pub doc_to_tests: String,
    /// What runs the tests; they pass if it ends with exit code 0.
    #[serde(default = "command")]
    pub command: Vec<String>,
    /// Most answers of the model.
    #[serde(default = "turns")]
    pub turns: u32,
    /// Seconds that one run of the tests may take.
    #[serde(default = "seconds")]
    pub seconds: u32,
    /// Bytes of memory that it may take.
    #[serde(default = "memory")]
    pub memory_bytes: u64,
    /// Most characters that a tool answers.
    #[serde(default = "result_chars")]
    pub result_chars: u32,
}

fn command() -> Vec<String> {
    ["python3", "-m", "unittest", "-q"].map(str::to_owned).to_vec()
}

fn turns() -> u32 {
    12
}

fn seconds() -> u32 {
    10
}

fn memory() -> u64 {
    512 << 20
}

fn result_chars() -> u32 {
    3000
}

impl AgentTable {
    /// What is wrong with it: the fault, after "has", and what to do.
    pub fn check(&self) -> Result<(), (String, &'static str)> {
        if !(1..=MOST_TURNS).contains(&self.turns) {
            let fault = format!("{} turns, which is not between 1 and {MOST_TURNS}", self.turns);
            return Err((fault, "correct `turns` of [generate.agent]"));
        }
        if self.seconds == 0 || self.memory_bytes == 0 || self.result_chars == 0 {
            return Err(("a limit of 0".to_owned(), "correct [generate.agent], or leave the limit out"));
        }
        if self.command.first().is_none_or(String::is_empty) {
            return Err(("no command that runs the tests".to_owned(), "correct `command`, or leave it out"));
        }
        Ok(())
    }
}

/// Texts by path, with `/` between the parts.
pub type Texts = BTreeMap<String, String>;

/// A repository to be mended: what an item is graded by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repository {
    /// What may be edited.
    pub files: Texts,
    /// What decides.
    pub tests: Texts,
}

impl Repository {
    /// From what the two templates printed.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn printed(files: &str, tests: &str) -> Result<Self, String> {
        let read = |what: &str, text: &str| -> Result<Texts, String> {
            serde_json::from_str(text)
                .map_err(|error| format!("{what} is no object of texts by path: {error}"))
        };
        let repository = Self { files: read("doc_to_files", files)?, tests: read("doc_to_tests", tests)? };
        if repository.tests.is_empty() {
            return Err("doc_to_tests has no file, so that nothing could fail".to_owned());
        }
        let all = || repository.files.iter().chain(&repository.tests);
        if all().count() > MOST_FILES {
            return Err(format!("the repository has more than {MOST_FILES} files"));
        }
        match all().find_map(|(path, text)| fault(path, text)) {
            Some(fault) => Err(fault),
            None => Ok(repository),
        }
    }

    /// As an item keeps it.
    pub(super) fn as_reference(&self) -> String {
        json!({"files": self.files, "tests": self.tests}).to_string()
    }

    /// From what an item keeps.
    ///
    /// # Errors
    /// If that is none.
    pub fn of(reference: &str) -> Result<Self, String> {
        serde_json::from_str(reference).map_err(|error| format!("the reference is no repository: {error}"))
    }

    /// Writes a file, as a model wants it.
    ///
    /// # Errors
    /// What to tell it instead.
    pub fn write(&mut self, path: &str, text: String) -> Result<(), String> {
        if self.tests.contains_key(path) {
            return Err(format!("{path} is a test and cannot be edited"));
        }
        if let Some(fault) = fault(path, &text) {
            return Err(fault);
        }
        if !self.files.contains_key(path) && self.files.len() + self.tests.len() >= MOST_FILES {
            return Err(format!("there may be no more than {MOST_FILES} files"));
        }
        self.files.insert(path.to_owned(), text);
        Ok(())
    }

    /// The text of a file.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).or_else(|| self.tests.get(path)).map(String::as_str)
    }

    /// All files; the tests win.
    pub fn all(&self) -> impl Iterator<Item = (&String, &String)> {
        self.files.iter().filter(|(path, _)| !self.tests.contains_key(*path)).chain(&self.tests)
    }
}

/// Why a file cannot be part of a repository.
fn fault(path: &str, text: &str) -> Option<String> {
    let good = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains(['\\', '\0']);
    if !path.split('/').all(good) || path.len() > 200 {
        return Some(format!("{path:?} is no path inside the repository"));
    }
    (text.len() > MOST_BYTES).then(|| format!("{path} would be longer than {MOST_BYTES} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_hold_what_may_be_edited_and_what_decides() {
        let printed = |files: &str, tests: &str| Repository::printed(files, tests);
        let mut good =
            printed(r#"{"a.py": "x = 1"}"#, r#"{"t/test_a.py": "import a"}"#).expect("a repository");
        assert_eq!(good.text("t/test_a.py"), Some("import a"));
        assert!(good.write("t/test_a.py", String::new()).expect_err("a test").contains("cannot be edited"));
        assert!(good.write("../a.py", String::new()).expect_err("outside").contains("no path inside"));
        assert!(good.write("b.py", "x".repeat(MOST_BYTES + 1)).expect_err("long").contains("longer than"));
        good.write("b/c.py", "y".to_owned()).expect("written");
        assert_eq!(good.all().count(), 3);
        for (files, tests, says) in [
            ("[]", "{}", "doc_to_files"),
            ("{}", r#"{"a": 1}"#, "doc_to_tests"),
            ("{}", "{}", "nothing could fail"),
            (r#"{"/etc/x": ""}"#, r#"{"t": ""}"#, "no path inside"),
            (r#"{"a//b": ""}"#, r#"{"t": ""}"#, "no path inside"),
        ] {
            let error = printed(files, tests).expect_err(says);
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn limits_are_checked() {
        let table = |more: &str| -> AgentTable {
            toml::from_str(&format!("doc_to_files = \"\"\ndoc_to_tests = \"\"\n{more}")).expect("parses")
        };
        assert!(table("").check().is_ok());
        for wrong in ["turns = 0", "turns = 1000", "seconds = 0", "command = []", "result_chars = 0"] {
            assert!(table(wrong).check().is_err(), "{wrong}");
        }
    }
}
