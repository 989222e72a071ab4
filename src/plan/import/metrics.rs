//! `metric_list` and `filter_list`: the metrics that a suite has, and what is said of the others.

use serde_json::{Map, Value};

use crate::answers::exact_match::ExactMatch;
use crate::answers::filter::{Filters, Step};
use crate::answers::grade::EXACT_MATCH;
use crate::plan::import::draft::Metric;
use crate::plan::import::finding::Weight;
use crate::plan::import::reading::{Reading, python};
use crate::plan::import::yaml::{Data, Node};

/// Keys of a metric that are not about comparing.
const NOT_OPTIONS: [&str; 5] = ["metric", "aggregation", "higher_is_better", "hf_evaluate", "weight_by_size"];

/// A metric of lm-eval, ours, and how it is averaged.
type Known = (&'static str, &'static str, &'static str);

/// Metrics of multiple choice.
pub(super) const CHOICE: [Known; 3] =
    [("acc", "acc", "mean"), ("acc_norm", "acc_norm", "mean"), ("acc_bytes", "acc_bytes", "mean")];
/// Metrics of a lone continuation.
pub(super) const ONLY: [Known; 2] = [("acc", "acc", "mean"), ("perplexity", "ppl", "perplexity")];
/// Metrics of what is written.
const WRITTEN: [Known; 1] = [(EXACT_MATCH, EXACT_MATCH, "mean")];

/// Metrics of multiple choice that a suite has, in the order of the file; `defaults` if the file names none.
pub(super) fn of_choices(reading: &mut Reading<'_>, known: &[Known], defaults: &[&str]) -> Vec<Metric> {
    let metric = |name: &str| Metric { name: name.to_owned(), chance: None };
    let Some(list) = reading.get("metric_list") else { return defaults.iter().map(|n| metric(n)).collect() };
    taken(reading, list, known).into_iter().map(|(name, _)| metric(name)).collect()
}

/// Metrics of what is written: one for each pipeline of filters, and what does not count in comparing.
pub(super) fn of_answers(reading: &mut Reading<'_>) -> (Vec<Metric>, ExactMatch, Vec<Filters>) {
    let filters = filters(reading);
    let compare = match reading.get("metric_list") {
        None => ExactMatch::default(),
        Some(list) => {
            let exact = taken(reading, list, &WRITTEN).into_iter().next_back();
            exact.map_or_else(ExactMatch::default, |(_, node)| comparison(reading, node))
        }
    };
    let names = match filters.as_slice() {
        [] => vec![EXACT_MATCH.to_owned()],
        some => some.iter().map(|f| format!("{EXACT_MATCH}/{}", f.name)).collect(),
    };
    // A guesser writes no right answer.
    (names.into_iter().map(|name| Metric { name, chance: Some(0.0) }).collect(), compare, filters)
}

/// The metrics that are known, with where they stand. The others are refused if none is.
fn taken<'t>(reading: &mut Reading<'t>, list: &'t Node, known: &[Known]) -> Vec<(&'static str, &'t Node)> {
    let nodes = match &list.data {
        Data::List(nodes) => nodes.as_slice(),
        _ => &[],
    };
    let mut taken: Vec<(&str, &Node)> = Vec::new();
    let mut others = Vec::new();
    for node in nodes {
        match known_as(node, known) {
            Ok(ours) => taken.push((ours, node)),
            Err(what) => others.push((node, what)),
        }
    }
    if taken.is_empty() && others.is_empty() {
        reading.refuse("metric_list", Some(list), "names no metric");
    }
    let weight = if taken.is_empty() { Weight::Refused } else { Weight::Differs };
    for (node, what) in others {
        let what = if taken.is_empty() { what } else { format!("{what}; it is left out") };
        reading.find(weight, "metric_list", Some(node), what);
    }
    taken
}

fn known_as(node: &Node, known: &[Known]) -> Result<&'static str, String> {
    let name = match node.get("metric").map(|metric| &metric.data) {
        Some(Data::Text(name)) => name,
        Some(Data::Function(name)) => return Err(format!("the metric is {}", python(name))),
        _ => return Err("an entry has no `metric`".to_owned()),
    };
    let Some((_, ours, mean)) = known.iter().find(|(theirs, ..)| theirs == name) else {
        let names: Vec<_> = known.iter().map(|(theirs, ..)| *theirs).collect();
        return Err(format!("there is no metric {name} here; of these tasks there is {}", names.join(", ")));
    };
    match node.get("aggregation").map(|aggregation| &aggregation.data) {
        None => Ok(ours),
        Some(Data::Text(text)) if text == mean => Ok(ours),
        Some(Data::Function(function)) => {
            Err(format!("the metric {name} is averaged by {}", python(function)))
        }
        Some(_) => Err(format!("the metric {name} is not averaged by `{mean}`")),
    }
}

fn comparison(reading: &mut Reading<'_>, node: &Node) -> ExactMatch {
    let options: Map<String, Value> = node
        .entries()
        .iter()
        .filter(|(key, node)| !NOT_OPTIONS.contains(&key.as_str()) && node.data != Data::Null)
        .map(|(key, node)| (key.clone(), node.json()))
        .collect();
    serde_json::from_value(Value::Object(options)).unwrap_or_else(|error| {
        reading.refuse("metric_list", Some(node), format!("of exact_match: {error}"));
        ExactMatch::default()
    })
}

/// The pipelines of filters of a task whose answers are written.
fn filters(reading: &mut Reading<'_>) -> Vec<Filters> {
    let Some(list) = reading.get("filter_list") else { return Vec::new() };
    let Data::List(nodes) = &list.data else {
        reading.refuse("filter_list", Some(list), "is not a list");
        return Vec::new();
    };
    let read = |node: &Node| match node.function() {
        Some(name) => Err(format!("a filter is {}", python(name))),
        None => serde_json::from_value::<Filters>(node.json()).map_err(|error| error.to_string()),
    };
    let mut filters = Vec::new();
    for node in nodes {
        match read(node) {
            Ok(pipeline) => filters.push(pipeline),
            Err(what) => reading.refuse("filter_list", Some(node), what),
        }
    }
    filters
}

/// Filters of multiple choice choose among log-probabilities, of which there is one set.
pub(super) fn only_take_first(reading: &mut Reading<'_>) {
    let is_first = |pipeline: &Filters| pipeline.steps.iter().all(|step| *step == Step::TakeFirst);
    if !filters(reading).iter().all(is_first) {
        let node = reading.get("filter_list");
        reading.refuse("filter_list", node, "filters texts, and choices are scored by their probabilities");
    }
}

/// Whether a pipeline looks at more than the first of an item's samples.
pub(super) fn looks_at_samples(filters: &[Filters]) -> bool {
    let chooses = |step: &Step| matches!(step, Step::TakeFirstK { .. } | Step::MajorityVote);
    filters.iter().any(|pipeline| pipeline.steps.iter().any(chooses))
}
