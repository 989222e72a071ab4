//! Repositories mended with tools: plan, edit, test, until the tests pass, a turn limit is reached or the model has no
//! more to say. Many at once, each a conversation in its own sequence, so that of every turn only what is new is read.
//!
//! This file is one repository's course: what an answer calls, what the tools answer, and when it ends. It knows no
//! model; `crate::score::mending` plays it with one.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::answers::calls::expected::Reference;
use crate::answers::calls::format::Format;
use crate::answers::calls::parse::parse;
use crate::answers::calls::value::{Call, Value as Argument};
use crate::plan::agent::Repository;
use crate::plan::conversation::{Called, Message};

/// A call that was made this often with the same answer ends it: nothing new will come.
const CIRCLE: u32 = 4;

/// What came of running the tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tested {
    /// Whether they pass.
    pub pass: bool,
    /// What they said.
    pub said: String,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The model ran the tests and they pass.
    Passed,
    /// An answer had no call.
    Stopped,
    /// The turns are up.
    Turns,
    /// The next prompt would not fit.
    Context,
    /// The same call again and again.
    Circle,
}

impl Ended {
    /// As in records.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Stopped => "stopped",
            Self::Turns => "turns",
            Self::Context => "context",
            Self::Circle => "circle",
        }
    }
}

/// The tools, described as chat templates take them.
#[must_use]
pub fn tools() -> Vec<Value> {
    let text = |about: &str| json!({"type": "string", "description": about});
    let tool = |name: &str, about: &str, arguments: &[(&str, Value)]| {
        let properties: Map<String, Value> =
            arguments.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
        let required: Vec<&str> = arguments.iter().map(|(name, _)| *name).collect();
        json!({"name": name, "description": about,
            "parameters": {"type": "object", "properties": properties, "required": required}})
    };
    let path = || text("Path of a file, such as stats.py");
    vec![
        tool("list_files", "Names all files of the repository.", &[]),
        tool("read_file", "Shows the whole text of a file.", &[("path", path())]),
        tool(
            "write_file",
            "Writes a file: all of its text, in place of what it was.",
            &[("path", path()), ("content", text("The file's whole new text"))],
        ),
        tool(
            "replace_in_file",
            "Replaces a piece of a file that occurs exactly once.",
            &[
                ("path", path()),
                ("old", text("The piece as it stands there")),
                ("new", text("What takes its place")),
            ],
        ),
        tool("run_tests", "Runs the tests and shows what they say.", &[]),
    ]
}

/// What calls are read by.
#[must_use]
pub fn reference() -> String {
    json!({"tools": tools(), "calls": []}).to_string()
}

/// One repository's course.
#[derive(Debug, Clone)]
pub struct Course {
    repository: Repository,
    /// Messages so far: the next prompt.
    pub messages: Vec<Message>,
    turns: u32,
    most_turns: u32,
    most_chars: usize,
    /// Calls made, and those that no tool could carry out.
    pub calls: u64,
    /// Calls that could not be read, named no tool, or lacked an argument.
    pub invalid: u64,
    /// What the tools answered, turn by turn.
    pub results: Vec<String>,
    seen: BTreeMap<(String, String), u32>,
    /// How it ended; none while it goes on.
    pub ended: Option<Ended>,
}

impl Course {
    /// Begins with what the suite says.
    #[must_use]
    pub fn new(repository: Repository, messages: Vec<Message>, most_turns: u32, most_chars: usize) -> Self {
        Self {
            repository,
            messages,
            turns: 0,
            most_turns,
            most_chars,
            calls: 0,
            invalid: 0,
            results: Vec::new(),
            seen: BTreeMap::new(),
            ended: None,
        }
    }

    /// The repository as it is now.
    #[must_use]
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Takes an answer in, a thought taken out of it. `test` runs the tests.
    ///
    /// # Errors
    /// Those of `test`.
    pub fn take<E>(
        &mut self,
        answer: &str,
        format: Format,
        reference: &Reference,
        test: &mut dyn FnMut(&Repository) -> Result<Tested, E>,
    ) -> Result<(), E> {
        self.turns += 1;
        let parsed = parse(format, answer, reference);
        let mut said = Vec::new();
        if !parsed.calls.is_empty() {
            let called = parsed.calls.iter().map(called).collect();
            self.messages.push(Message { tool_calls: called, ..Message::new("assistant", "") });
            for call in &parsed.calls {
                said.push(self.carry_out(call, reference, test)?);
            }
        } else if let Some(fault) = parsed.fault {
            (self.calls, self.invalid) = (self.calls + 1, self.invalid + 1);
            self.messages.push(Message::new("assistant", answer));
            let told = format!("That call cannot be read: {fault}.");
            self.messages.push(Message::new("user", told.clone()));
            self.note(answer, &told);
            said.push(told);
        } else {
            self.messages.push(Message::new("assistant", answer));
            self.ended = Some(Ended::Stopped);
        }
        self.results.push(said.join("\n"));
        if self.ended.is_none() && self.turns >= self.most_turns {
            self.ended = Some(Ended::Turns);
        }
        Ok(())
    }

    fn carry_out<E>(
        &mut self,
        call: &Call,
        reference: &Reference,
        test: &mut dyn FnMut(&Repository) -> Result<Tested, E>,
    ) -> Result<String, E> {
        self.calls += 1;
        let told = if let Some(fault) = fault(call, reference) {
            self.invalid += 1;
            fault
        } else if call.name == "run_tests" {
            let Tested { pass, said } = test(&self.repository)?;
            if pass {
                self.ended = Some(Ended::Passed);
            }
            if pass { "All tests pass.".to_owned() } else { format!("The tests fail:\n{said}") }
        } else {
            self.edit(call).unwrap_or_else(|refusal| refusal)
        };
        let told = shortened(&told, self.most_chars);
        self.messages.push(Message::new("tool", told.clone()));
        self.note(&call.to_string(), &told);
        Ok(told)
    }

    /// What a tool answers that needs nothing run.
    fn edit(&mut self, call: &Call) -> Result<String, String> {
        let text = |name: &str| call.argument(name).and_then(Argument::text).unwrap_or_default();
        let path = text("path").trim_start_matches("./");
        let there = |repository: &Repository| {
            repository.text(path).map(str::to_owned).ok_or_else(|| format!("there is no file {path}"))
        };
        match call.name.as_str() {
            "read_file" => there(&self.repository),
            "write_file" => {
                self.repository.write(path, text("content").to_owned())?;
                Ok(format!("{path} is written."))
            }
            "replace_in_file" => {
                let (whole, old) = (there(&self.repository)?, text("old"));
                match whole.matches(old).count() {
                    _ if old.is_empty() => Err("the old piece is empty".to_owned()),
                    1 => {
                        self.repository.write(path, whole.replacen(old, text("new"), 1))?;
                        Ok(format!("{path} is changed."))
                    }
                    count => Err(format!("that piece occurs {count} times in {path}, not once")),
                }
            }
            _ => {
                let names: Vec<&str> = self.repository.all().map(|(path, _)| path.as_str()).collect();
                Ok(names.join("\n"))
            }
        }
    }

    /// Sees a circle: the same call with the same answer.
    fn note(&mut self, call: &str, told: &str) {
        let times = self.seen.entry((call.to_owned(), told.to_owned())).or_default();
        *times += 1;
        if *times >= CIRCLE && self.ended.is_none() {
            self.ended = Some(Ended::Circle);
        }
    }
}

/// Why no tool can carry a call out.
fn fault(call: &Call, reference: &Reference) -> Option<String> {
    let Some(function) = reference.function(&call.name) else {
        let names: Vec<&str> = reference.functions.iter().map(|function| function.name.as_str()).collect();
        return Some(format!("there is no tool {}; there are {}", call.name, names.join(", ")));
    };
    if let Some((name, _)) = call.arguments.iter().find(|(name, _)| !function.parameters.contains_key(name)) {
        return Some(format!("{} has no argument {name}", call.name));
    }
    let lacks = |name: &&String| call.argument(name).and_then(Argument::text).is_none();
    function.required.iter().find(lacks).map(|name| format!("{} needs {name}, a text", call.name))
}

fn called(call: &Call) -> Called {
    let arguments = call.arguments.iter().map(|(name, value)| (name.clone(), plain(value)));
    Called { name: call.name.clone(), arguments: arguments.collect() }
}

/// A value as JSON.
fn plain(value: &Argument) -> Value {
    match value {
        Argument::None => Value::Null,
        Argument::Bool(word) => json!(word),
        Argument::Int(number) => {
            i64::try_from(*number).map_or_else(|_| json!(number.to_string()), |n| json!(n))
        }
        Argument::Float(number) => json!(number),
        Argument::Text(text) => json!(text),
        Argument::List(all) | Argument::Tuple(all) => all.iter().map(plain).collect(),
        Argument::Dict(pairs) => {
            let pair = |(key, value): &(Argument, Argument)| {
                (key.text().map_or_else(|| key.to_string(), str::to_owned), plain(value))
            };
            Value::Object(pairs.iter().map(pair).collect())
        }
    }
}

/// The beginning and the end of a long text: what failed stands at the end of what tests say.
fn shortened(text: &str, most: usize) -> String {
    let letters: Vec<char> = text.chars().collect();
    if letters.len() <= most {
        return text.to_owned();
    }
    let (head, tail) = (most / 3, most - most / 3);
    let ends = [letters.get(..head), letters.get(letters.len() - tail..)];
    let [head, tail] = ends.map(|part| part.unwrap_or_default().iter().collect::<String>());
    format!("{head}\n[...]\n{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course() -> Course {
        let files = r#"{"calc.py": "def add(a, b):\n    return a - b\n"}"#;
        let repository = Repository::printed(files, r#"{"test_it.py": "..."}"#).expect("a repository");
        Course::new(repository, vec![Message::new("user", "Mend it.")], 6, 200)
    }

    fn call(name: &str, arguments: &Value) -> String {
        format!("<tool_call>{}</tool_call>", json!({"name": name, "arguments": arguments}))
    }

    /// Passes once the minus is a plus.
    #[expect(clippy::unnecessary_wraps, reason = "the sandbox may fail")]
    fn test(repository: &Repository) -> Result<Tested, ()> {
        let pass = repository.text("calc.py").is_some_and(|text| text.contains("a + b"));
        Ok(Tested { pass, said: "AssertionError: -1 != 5\n".repeat(40) })
    }

    fn play(course: &mut Course, answers: &[String]) {
        let reference = Reference::read(&reference(), false).expect("tools");
        for answer in answers {
            assert_eq!(course.ended, None, "before {answer}");
            course.take(answer, Format::Hermes, &reference, &mut test).expect("taken");
        }
    }

    #[test]
    fn look_edit_test_until_green() {
        let mut course = course();
        play(
            &mut course,
            &[
                call("list_files", &json!({})),
                call("read_file", &json!({"path": "./calc.py"})),
                call("run_tests", &json!({})),
                call("replace_in_file", &json!({"path": "calc.py", "old": "a - b", "new": "a + b"})),
                format!("Now the tests. {}", call("run_tests", &json!({}))),
            ],
        );
        assert_eq!((course.ended, course.calls, course.invalid), (Some(Ended::Passed), 5, 0));
        assert_eq!(course.results[0], "calc.py\ntest_it.py");
        assert_eq!(course.results[1], "def add(a, b):\n    return a - b\n");
        assert!(course.results[2].starts_with("The tests fail:") && course.results[2].contains("[...]"));
        assert!(course.results[2].chars().count() <= 200 + "\n[...]\n".len());
        assert_eq!(&course.results[3..], ["calc.py is changed.", "All tests pass."]);
        let roles: Vec<&str> = course.messages.iter().map(|message| message.role.as_str()).collect();
        assert_eq!(roles[..3], ["user", "assistant", "tool"]);
        assert_eq!(course.messages[1].tool_calls[0].name, "list_files");
        assert_eq!(course.messages.last().map(|m| m.content.as_str()), Some("All tests pass."));
    }

    #[test]
    fn what_no_tool_can_carry_out_is_told_and_counted() {
        let mut course = course();
        play(
            &mut course,
            &[
                call("delete_file", &json!({"path": "calc.py"})),
                call("read_file", &json!({})),
                call("read_file", &json!({"path": "calc.py", "line": 3})),
                "<tool_call>{\"name\": \"run_tests\"".to_owned(),
                call("write_file", &json!({"path": "test_it.py", "content": "pass"})),
                call("replace_in_file", &json!({"path": "calc.py", "old": "a", "new": "b"})),
            ],
        );
        assert_eq!((course.ended, course.calls, course.invalid), (Some(Ended::Turns), 6, 4));
        for (result, says) in course.results.iter().zip([
            "there is no tool delete_file; there are list_files, read_file",
            "read_file needs path",
            "read_file has no argument line",
            "cannot be read",
            "is a test and cannot be edited",
            "occurs 3 times",
        ]) {
            assert!(result.contains(says), "{result}");
        }
        assert_eq!(course.repository().text("calc.py"), Some("def add(a, b):\n    return a - b\n"));
    }

    #[test]
    fn circles_and_words_end_it() {
        let mut circling = course();
        play(&mut circling, &vec![call("list_files", &json!({})); 4]);
        assert_eq!(circling.ended, Some(Ended::Circle));
        let mut talking = course();
        play(&mut talking, &["I have mended it.".to_owned()]);
        assert_eq!((talking.ended, talking.calls), (Some(Ended::Stopped), 0));
    }

    #[test]
    fn several_calls_of_one_answer_are_carried_out_in_turn() {
        let mut course = course();
        let edit =
            call("write_file", &json!({"path": "calc.py", "content": "def add(a, b):\n    return a + b\n"}));
        play(&mut course, &[format!("{edit}\n{}", call("run_tests", &json!({})))]);
        assert_eq!((course.ended, course.calls), (Some(Ended::Passed), 2));
        assert_eq!(course.results, ["calc.py is written.\nAll tests pass."]);
    }
}
