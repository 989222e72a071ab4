//! A task file with what it includes: keys of the file itself go before those of included ones, as in lm-eval.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::plan::error::PlanError;
use crate::plan::import::finding::{Finding, Weight};
pub use crate::plan::import::yaml::MOST_BYTES;
use crate::plan::import::yaml::{Data, Node, parse};

/// Files that may be included, one in another.
const MOST_FILES: usize = 32;

/// The keys of a task.
#[derive(Debug, Clone)]
pub struct Task {
    /// The file's name without its ending.
    stem: String,
    keys: BTreeMap<String, (String, Node)>,
}

/// How files are read: their text.
pub type Reader<'a> = dyn FnMut(&Path) -> io::Result<String> + 'a;

impl Task {
    /// Reads a file and what it includes.
    pub fn read(path: &Path, read: &mut Reader<'_>) -> Result<Self, PlanError> {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut task = Self { stem, keys: BTreeMap::new() };
        let mut files = 0;
        task.include(path, read, &mut files)?;
        Ok(task)
    }

    fn include(&mut self, path: &Path, read: &mut Reader<'_>, files: &mut usize) -> Result<(), PlanError> {
        let name = path.display().to_string();
        let bad = |line, message| PlanError::Task { path: name.clone(), line, message };
        *files += 1;
        if *files > MOST_FILES {
            return Err(bad(1, format!("more than {MOST_FILES} files include each other")));
        }
        let text = read(path).map_err(|source| PlanError::Read { path: path.to_owned(), source })?;
        let root = parse(&text).map_err(|fault| bad(fault.line, fault.message))?;
        let Data::Map(entries) = root.data else {
            return Err(bad(root.line, "a task file is a map of keys, and this is not".to_owned()));
        };
        let (included, own): (Vec<_>, Vec<_>) = entries.into_iter().partition(|(key, _)| key == "include");
        for node in included.iter().flat_map(|(_, node)| match &node.data {
            Data::List(nodes) => nodes.as_slice(),
            _ => std::slice::from_ref(node),
        }) {
            let Some(other) = node.text() else {
                return Err(bad(node.line, "`include` names a file, or a list of files".to_owned()));
            };
            let other: PathBuf = path.parent().unwrap_or(Path::new("")).join(other);
            self.include(&other, read, files)?;
        }
        self.keys.extend(own.into_iter().map(|(key, node)| (key, (name.clone(), node))));
        Ok(())
    }

    /// What the task is called; by its file, if it does not say.
    pub fn name(&self) -> &str {
        let name = self.get("task").and_then(Node::text).filter(|name| !name.trim().is_empty());
        name.unwrap_or(&self.stem)
    }

    /// The value of a key; none if it is absent or null.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.keys.get(key).map(|(_, node)| node).filter(|node| node.data != Data::Null)
    }

    /// The names of its keys that have a value.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().filter(|(_, (_, node))| node.data != Data::Null).map(|(name, _)| name.as_str())
    }

    /// A word on a key, or on what stands inside it (`metric_list.metric`), at the line of `node`.
    pub(super) fn finding(&self, weight: Weight, key: &str, node: Option<&Node>, what: String) -> Finding {
        let root = key.split('.').next().unwrap_or(key);
        let place = self.keys.get(root);
        Finding {
            weight,
            key: key.to_owned(),
            file: place.map_or(String::new(), |(file, _)| file.clone()),
            line: node.or(place.map(|(_, node)| node)).map_or(0, |node| node.line),
            what,
        }
    }
}

#[cfg(test)]
pub(super) fn of(text: &str) -> Task {
    Task::read(Path::new("t/task.yaml"), &mut |_| Ok(text.to_owned())).expect("reads")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(path: &Path) -> io::Result<String> {
        let text = match path.to_str() {
            Some("d/a.yaml") => "include: sub/b\ntask: a\nx: 1\ngone:\n",
            Some("d/sub/b") => "include: [../c]\ntask: b\ny: 2\ngone: 5\n",
            Some("d/sub/../c") => "z: 3\ny: 4\n",
            Some("d/loop") => "include: loop\n",
            Some("d/list") => "- a\n",
            _ => return Err(io::Error::from(io::ErrorKind::NotFound)),
        };
        Ok(text.to_owned())
    }

    #[test]
    fn the_files_own_keys_win_and_null_is_absent() {
        let task = Task::read(Path::new("d/a.yaml"), &mut reader).expect("reads");
        assert_eq!(task.get("task").and_then(Node::text), Some("a"));
        assert_eq!(task.get("y").map(|n| n.data.clone()), Some(Data::Integer(2)));
        assert_eq!(task.names().collect::<Vec<_>>(), ["task", "x", "y", "z"]);
        let finding = task.finding(Weight::Refused, "y", None, "why".to_owned());
        assert_eq!(finding.to_string(), "cannot be taken: y (d/sub/b, line 3): why");
    }

    #[test]
    fn files_that_are_none_are_refused() {
        for (path, says) in [
            ("d/loop", "d/loop, line 1: more than 32 files include each other"),
            ("d/list", "d/list, line 1: a task file is a map of keys"),
            ("d/none", "cannot read d/none"),
        ] {
            let error = Task::read(Path::new(path), &mut reader).expect_err(path).to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
