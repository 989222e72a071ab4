//! Questions that are spread over several files, such as one a category, each perhaps with its answers in a file of their
//! own: `[[part]]` tables of a suite file. Answers are joined to questions by a key; all rows get the part's name as a
//! column called `part`.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::plan::error::PlanError;
use crate::plan::items::Data;
use crate::plan::rows::{self, Row, bad};
use crate::plan::suite::DataSource;

/// A `[[part]]` table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataPart {
    /// Its name.
    pub name: String,
    /// Where its questions can be had; the first that can be reached and checks out wins.
    pub source: Vec<DataSource>,
    /// Where the answers can be had, if they have a file of their own.
    #[serde(default)]
    pub answers: Vec<DataSource>,
    /// The column by which a question's answer is found.
    #[serde(default = "id")]
    pub key: String,
}

/// A file of questions, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Questions {
    /// The file.
    pub path: PathBuf,
    /// Its rows, with their answers.
    pub rows: Vec<Row>,
}

fn id() -> String {
    "id".to_owned()
}

impl Questions {
    /// To be rendered.
    pub fn data(&self) -> Data<'_> {
        Data { path: &self.path, rows: &self.rows }
    }
}

/// What is wrong with parts: the fault, and what to do. `sourced` where there is a `[[source]]` too.
pub(super) fn check(parts: &[DataPart], sourced: bool) -> Result<(), (String, &'static str)> {
    if sourced && !parts.is_empty() {
        let fault = "has both [[source]] and [[part]] tables".to_owned();
        return Err((fault, "questions are in one file, or in parts with a `source` each"));
    }
    let mut known = BTreeSet::new();
    for DataPart { name, source, .. } in parts {
        if name.is_empty() || name.contains('/') || !known.insert(name) {
            let fault =
                format!("has a part called {name:?}, which is empty, has a slash in it, or stands twice");
            return Err((fault, "give every part a name of its own"));
        }
        if source.is_empty() {
            return Err((format!("names no source of the part {name:?}"), "add `source = [{ from = ... }]`"));
        }
    }
    Ok(())
}

/// Reads the files of a suite's questions: those of its parts in their order, answers behind questions, or the only one.
///
/// # Errors
/// What is wrong with a file, or the first question without an answer.
pub fn read(parts: &[DataPart], files: &[PathBuf]) -> Result<Vec<Questions>, PlanError> {
    if parts.is_empty() {
        let read = |path: &PathBuf| Ok(Questions { path: path.clone(), rows: rows::read(path)? });
        return files.iter().map(read).collect();
    }
    let mut files = files.iter();
    let mut all = Vec::with_capacity(parts.len());
    for part in parts {
        let Some(path) = files.next() else { break };
        let answers = if part.answers.is_empty() { None } else { files.next() };
        let mut rows = rows::read(path)?;
        if let Some(answers) = answers {
            join(path, &mut rows, rows::read(answers)?, &part.key)?;
        }
        for row in &mut rows {
            row.value["part"] = part.name.as_str().into();
        }
        all.push(Questions { path: path.clone(), rows });
    }
    Ok(all)
}

/// Gives every row what else stands in the answer with its key.
fn join(path: &std::path::Path, rows: &mut [Row], answers: Vec<Row>, key: &str) -> Result<(), PlanError> {
    let by = |value: &Value| value.get(key).map(ToString::to_string);
    let mut known: HashMap<String, Value> =
        answers.into_iter().filter_map(|row| Some((by(&row.value)?, row.value))).collect();
    for row in rows {
        let answer = by(&row.value).and_then(|id| known.remove(&id));
        let (Some(Value::Object(answer)), Some(question)) = (answer, row.value.as_object_mut()) else {
            return Err(bad(path, row.line, format!("there is no answer with the same `{key}`")));
        };
        for (name, value) in answer {
            question.entry(name).or_insert(value);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    fn part(toml: &str) -> DataPart {
        toml::from_str(&format!("source = [{{ from = \"a\" }}]\n{toml}")).expect("parses")
    }

    #[test]
    fn answers_are_joined_by_their_key() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).expect("written");
            path
        };
        let asked = write("q.jsonl", "{\"id\": 1, \"q\": \"x\"}\n{\"id\": 2, \"q\": \"y\"}\n");
        let answers = write("a.jsonl", "{\"id\": 2, \"q\": \"z\", \"a\": 20}\n{\"id\": 1, \"a\": 10}\n");
        let alone = write("b.jsonl", "{\"q\": \"w\"}\n");
        let parts = [part("name = \"one\"\nanswers = [{ from = \"b\" }]"), part("name = \"two\"")];
        let read = |files: &[PathBuf]| read(&parts, files);
        let [one, two] =
            read(&[asked.clone(), answers, alone.clone()]).expect("read").try_into().expect("two");
        assert_eq!(one.rows[1].value, json!({"id": 2, "q": "y", "a": 20, "part": "one"}));
        assert_eq!(two.rows[0].value, json!({"q": "w", "part": "two"}));
        let error =
            read(&[asked, write("few.jsonl", "{\"id\": 1}\n"), alone]).expect_err("too few").to_string();
        assert!(error.contains("line 2: there is no answer with the same `id`"), "{error}");
    }

    #[test]
    fn names_are_told_apart() {
        for (parts, sourced, says) in [
            (vec![part("name = \"a\""), part("name = \"a\"")], false, "stands twice"),
            (vec![part("name = \"a/b\"")], false, "has a slash"),
            (vec![part("name = \"a\"")], true, "both [[source]] and [[part]]"),
        ] {
            assert!(check(&parts, sourced).expect_err(says).0.contains(says));
        }
        assert!(check(&[part("name = \"a\""), part("name = \"b\"")], false).is_ok());
    }
}
