//! A folder of its own for each test: its own cache, the tiny model, a text and a quiz, and the program run
//! inside it, so that paths in messages are short and the same on every machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// `tests/fixtures`.
pub const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");

/// The base model's name in a sandbox.
pub const BASE: &str = "tiny.gguf";

/// A suite of a text: 12 chunks of 128 tokens.
pub const PROSE: &str = r#"name = "prose"
title = "A keeper's two books"
version = 1
licence = "bitfrontier's own"

[[source]]
from = "text.txt"

[text]
ctx = 128

[[metric]]
name = "kld_mean"

[[metric]]
name = "ppl"
"#;

/// A suite of 24 questions with four choices each.
pub const QUIZ: &str = r#"name = "quiz"
title = "Twenty-four easy questions"
version = 1
licence = "bitfrontier's own"

[[source]]
from = "questions.jsonl"

[choice]
doc_to_id = "{{ id }}"
doc_to_text = "Question: {{ question }}\nAnswer:"
doc_to_choice = "{{ choices | tojson }}"
doc_to_target = "{{ answer }}"
ctx = 256

[[metric]]
name = "acc_norm"
chance = 0.25

[[metric]]
name = "acc"
chance = 0.25
"#;

/// A folder with everything a sweep of the tiny model needs.
pub struct Sandbox {
    root: TempDir,
}

/// How a run of the program ended.
#[derive(Debug)]
pub struct Outcome {
    /// Exit code; `None` after a signal.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Sandbox {
    pub fn new() -> Self {
        let root = tempfile::Builder::new().prefix("bitfrontier-test-").tempdir().expect("a folder");
        let sandbox = Self { root };
        for (from, to) in
            [("tiny-f16.gguf", BASE), ("text.txt", "text.txt"), ("questions.jsonl", "questions.jsonl")]
        {
            fs::copy(Path::new(FIXTURES).join(from), sandbox.path(to)).expect("copied");
        }
        sandbox.write("prose.toml", PROSE);
        sandbox.write("quiz.toml", QUIZ);
        sandbox
    }

    /// A path inside.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).expect("written");
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// The program with these arguments, at home in the sandbox.
    pub fn command(&self, args: &[&str]) -> Command {
        // Another binary than cargo's: a portable build, or one that was installed.
        let program = std::env::var_os("BITFRONTIER_TEST_BINARY")
            .unwrap_or_else(|| env!("CARGO_BIN_EXE_bitfrontier").into());
        let mut command = Command::new(program);
        command
            .args(args)
            .current_dir(self.root.path())
            .env("BITFRONTIER_CACHE", self.path("cache"))
            .env_remove("BITFRONTIER_WORKER")
            .env("RUST_BACKTRACE", "1")
            // Tests run side by side: threads that wait for each other by spinning would take the others' time.
            .env("OMP_WAIT_POLICY", "passive")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn run(&self, args: &[&str]) -> Outcome {
        Outcome::of(&self.command(args).output().expect("started"))
    }

    pub fn start(&self, args: &[&str]) -> Child {
        self.command(args).spawn().expect("started")
    }

    /// What `eval --json` says. Items that could not be scored end it with exit code 8, and their reason.
    pub fn evaluated(&self, args: &[&str]) -> serde_json::Value {
        let outcome = self.run(args);
        let answer: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("JSON");
        let failed = answer["failed"].as_u64().expect("a count");
        assert_eq!(answer["failed_because"].is_string(), failed > 0, "{answer}");
        if failed > 0 {
            outcome.ends(8).tells(&[&format!("{failed} of "), " items could not be scored: ", "--records"]);
        } else {
            outcome.ends(0);
        }
        answer
    }

    /// A sweep of the tiny model into `out`, with few words and few threads; `args` say the rest.
    pub fn sweep(&self, args: &[&str]) -> Outcome {
        self.run(&sweep_args(args))
    }

    /// Every file under a folder, as paths relative to it, sorted.
    pub fn files(&self, folder: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut open = vec![self.path(folder)];
        while let Some(place) = open.pop() {
            for entry in fs::read_dir(&place).into_iter().flatten() {
                let path = entry.expect("listed").path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    let inside = path.strip_prefix(self.path(folder)).expect("inside");
                    found.push(inside.to_string_lossy().into_owned());
                }
            }
        }
        found.sort();
        found
    }
}

/// `sweep` with the tiny model, quick settings and `args`.
pub fn sweep_args<'a>(args: &[&'a str]) -> Vec<&'a str> {
    let mut all = vec!["sweep"];
    let defaults = [("--base", BASE), ("--out", "out"), ("--repetitions", "1"), ("--threads", "1")];
    for (flag, value) in defaults {
        if !args.contains(&flag) {
            all.extend([flag, value]);
        }
    }
    if !args.contains(&"--json-events") {
        all.push("--quiet");
    }
    all.extend(args);
    all
}

impl Outcome {
    /// Takes what a run left; a panic is never an answer.
    pub fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let outcome =
            Self { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) };
        assert!(!outcome.stderr.contains("panicked"), "a panic: {}", outcome.stderr);
        assert!(!outcome.stderr.contains("RUST_BACKTRACE"), "a panic: {}", outcome.stderr);
        outcome
    }

    /// Asserts the exit code.
    #[track_caller]
    pub fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// Asserts one line `error: SENTENCE (hint: HINT)` and nothing else on stderr.
    #[track_caller]
    pub fn says(self, sentence: &str, hint: &str) -> Self {
        assert_eq!(self.stderr, format!("error: {sentence} (hint: {hint})\n"));
        self
    }

    /// Asserts one line `error: ... (hint: ...)` on stderr that contains all of `parts`.
    #[track_caller]
    pub fn tells(self, parts: &[&str]) -> Self {
        let line = self.stderr.strip_prefix("error: ").and_then(|l| l.strip_suffix('\n'));
        let whole = line.is_some_and(|l| !l.contains('\n') && l.contains(" (hint: ") && l.ends_with(')'));
        assert!(whole, "not one error line with a hint: {:?}", self.stderr);
        for part in parts {
            assert!(self.stderr.contains(part), "{:?} lacks {part:?}", self.stderr);
        }
        self
    }

    /// The JSON objects of `--json-events`.
    pub fn events(&self) -> Vec<serde_json::Value> {
        self.stdout.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect()
    }
}
