//! Examples in front of the items: `num_fewshot`, `fewshot_split` and `fewshot_config`.

use crate::plan::import::data;
use crate::plan::import::draft::Place;
use crate::plan::import::finding::Weight;
use crate::plan::import::reading::{Reading, python};
use crate::plan::import::yaml::{Data, Node};

/// The key.
const KEY: &str = "fewshot_config";
/// Keys that write examples otherwise than items.
const OTHERWISE: [&str; 6] =
    ["doc_to_text", "doc_to_target", "doc_to_choice", "gen_prefix", "target_delimiter", "fewshot_delimiter"];
/// Keys that are read, or that lm-eval itself does not use.
const READ: [&str; 5] = ["sampler", "split", "samples", "process_docs", "fewshot_indices"];

/// Examples of a suite.
pub(super) struct Examples {
    /// How many.
    pub count: u32,
    /// Where they are.
    pub places: Vec<Place>,
    /// Those that stand in the task file, as JSON lines for a file beside the suite.
    pub lines: Option<String>,
}

/// Reads what examples there are. `given` is a file of them, `beside` where those of the task file itself would go.
pub(super) fn examples(reading: &mut Reading<'_>, given: Option<&str>, beside: Option<&str>) -> Examples {
    let count = reading.count("num_fewshot").unwrap_or(0);
    let mut examples = Examples { count, places: Vec::new(), lines: None };
    let config = reading.get(KEY);
    options(reading, config, count);
    let find = |key: &str| config.and_then(|node| node.get(key));
    let place = |from: &str| vec![Place { from: from.to_owned() }];
    let split = find("split").or_else(|| reading.get("fewshot_split")).and_then(Node::text);
    let samples = find("samples").filter(|_| split.is_none());
    if let Some(file) = given {
        examples.places = place(file);
    } else if let Some(node) = samples.filter(|node| node.function().is_none()) {
        match (json_lines(node), beside) {
            (Ok(lines), Some(file)) => {
                examples.places = place(file);
                examples.lines = Some(lines);
            }
            (Ok(_), None) => {
                let what =
                    "examples stand in the task file: with -o they are written to a file beside the suite";
                reading.find(weight(count), "fewshot_config.samples", Some(node), what.to_owned());
            }
            (Err(what), _) => reading.find(weight(count), "fewshot_config.samples", Some(node), what),
        }
    } else if samples.is_none() {
        from_split(reading, split, &mut examples);
    }
    let drawn = find("sampler").and_then(Node::text).unwrap_or("default");
    if count > 0 && drawn == "default" {
        let what = format!(
            "lm-eval draws {count} examples for each item at random; here they are the first {count}, the same for all"
        );
        reading.differs("num_fewshot", None, what);
    }
    examples
}

/// Where nothing is asked for, what cannot be taken changes nothing.
fn weight(count: u32) -> Weight {
    if count > 0 { Weight::Refused } else { Weight::Ignored }
}

fn from_split(reading: &mut Reading<'_>, split: Option<&str>, examples: &mut Examples) {
    let keys = ["training_split", "validation_split", "test_split"];
    let split = split.or_else(|| keys.into_iter().find_map(|key| reading.get(key).and_then(Node::text)));
    let asked = data::asked_split(reading);
    let Some(split) = split.filter(|split| Some(*split) != asked) else {
        if examples.count > 0 {
            let what = "examples are of the split that is asked: here the last of its items, which are then not asked";
            reading.differs("num_fewshot", None, what);
        }
        return;
    };
    if let Some(from) = data::named(reading, split) {
        examples.places = vec![Place { from }];
    } else if examples.count > 0 {
        let what = format!(
            "examples are of the split {split:?}: name a file of it with --examples; without one they are the last of the items, which are then not asked"
        );
        reading.differs("num_fewshot", None, what);
    }
}

fn options(reading: &mut Reading<'_>, config: Option<&Node>, count: u32) {
    let Some(config) = config else { return };
    for (key, node) in config.entries().iter().filter(|(_, node)| node.data != Data::Null) {
        let name = format!("{KEY}.{key}");
        match (&node.data, key.as_str()) {
            (Data::Function(function), _) => reading.find(weight(count), &name, Some(node), python(function)),
            (data, key) if OTHERWISE.contains(&key) => {
                if reading.get(key).is_none_or(|own| own.data != *data) {
                    let what = "examples are written otherwise than items".to_owned();
                    reading.find(weight(count), &name, Some(node), what);
                }
            }
            (Data::Text(sampler), "sampler") if !["default", "first_n"].contains(&sampler.as_str()) => {
                reading.find(weight(count), &name, Some(node), format!("there is no sampler {sampler}"));
            }
            (_, key) if READ.contains(&key) => {}
            _ => reading.ignored(&name, Some(node), "is no key that lm-eval reads"),
        }
    }
}

fn json_lines(samples: &Node) -> Result<String, String> {
    let Data::List(nodes) = &samples.data else { return Err("examples are not a list".to_owned()) };
    let line = |node: &Node| match (&node.data, node.function()) {
        (Data::Map(_), None) => Ok(format!("{}\n", node.json())),
        _ => Err(format!("the example on line {} is not a map of fields", node.line)),
    };
    nodes.iter().map(line).collect()
}
