//! Where a task's questions and examples are: `dataset_path`, `dataset_kwargs` and the splits. What the hub has under
//! a name alone is not a file, so that the user names one.

use crate::plan::import::draft::Place;
use crate::plan::import::reading::Reading;
use crate::plan::import::yaml::{Data, Node};

/// Stands where the user is to name a file.
pub const UNNAMED: &str = "name-a-file-of-the-questions.jsonl";
/// Loaders of local files.
const LOADERS: [&str; 3] = ["json", "csv", "parquet"];

/// The split that is asked.
pub(super) fn asked_split<'t>(reading: &Reading<'t>) -> Option<&'t str> {
    ["test_split", "validation_split"].into_iter().find_map(|key| reading.get(key).and_then(Node::text))
}

/// Where the questions are.
pub(super) fn questions(reading: &mut Reading<'_>, given: Option<&str>) -> Vec<Place> {
    let place = |from: &str| vec![Place { from: from.to_owned() }];
    if let Some(file) = given {
        return place(file);
    }
    let split = asked_split(reading).unwrap_or("test");
    if let Some(from) = named(reading, split) {
        return place(&from);
    }
    let what = format!(
        "the data cannot be found by {} alone: download the split {split:?} as a file and name it with --data, or in [[source]]",
        dataset(reading)
    );
    let node = reading.get("dataset_path");
    reading.differs("dataset_path", node, what);
    place(UNNAMED)
}

/// The file of a split, if the task names one.
pub(super) fn named(reading: &Reading<'_>, split: &str) -> Option<String> {
    let path = reading.get("dataset_path")?.text()?;
    let kwargs = reading.get("dataset_kwargs")?;
    let files = match &kwargs.get("data_files")?.data {
        Data::Text(file) if split == "train" => file.as_str(),
        Data::Map(_) => match &kwargs.get("data_files")?.get(split)?.data {
            Data::Text(file) => file,
            Data::List(nodes) => match nodes.as_slice() {
                [only] => only.text()?,
                _ => return None,
            },
            _ => return None,
        },
        _ => return None,
    };
    // A loader of parts of files, or of several: not a file of rows.
    if kwargs.get("field").is_some() || files.contains(['*', '[', '?']) || files.contains("://") {
        return None;
    }
    if LOADERS.contains(&path) {
        return Some(files.to_owned());
    }
    let is_repository = path.split('/').count() == 2 && !path.starts_with(['.', '/']);
    let revision = kwargs.get("revision").and_then(Node::text).map_or(String::new(), |r| format!("@{r}"));
    is_repository.then(|| format!("hf:datasets/{path}{revision}/{}", files.trim_start_matches("./")))
}

fn dataset(reading: &Reading<'_>) -> String {
    let text = |key: &str| reading.get(key).and_then(Node::text);
    match (text("dataset_path"), text("dataset_name")) {
        (Some(path), Some(name)) => format!("{path:?} and {name:?}"),
        (Some(path), None) => format!("{path:?}"),
        _ => "what the task file says".to_owned(),
    }
}
