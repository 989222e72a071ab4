//! `generation_kwargs` and `repeats`: how answers are written, with lm-eval's own defaults.

use crate::answers::filter::Filters;
use crate::plan::generate::Sampling;
use crate::plan::import::draft::Writing;
use crate::plan::import::metrics::looks_at_samples;
use crate::plan::import::reading::Reading;
use crate::plan::import::yaml::{Data, Node};

/// Most tokens of an answer where the task does not say.
const TOKENS: u32 = 256;
/// Tokens of a prompt and its answer; more where the answer alone is long.
const CTX: u32 = 4096;
/// Names of the most tokens of an answer, in lm-eval's order.
const TOKEN_KEYS: [&str; 4] = ["max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens"];
/// Keys that are read.
const READ: [&str; 7] = ["until", "do_sample", "temperature", "top_p", "top_k", "min_p", "seed"];
/// Keys that say nothing when they have this value.
const NEUTRAL: [(&str, f64); 3] =
    [("num_beams", 1.0), ("repetition_penalty", 1.0), ("num_return_sequences", 1.0)];
/// The key.
const KEY: &str = "generation_kwargs";

/// How answers are written.
pub(super) fn writing(reading: &mut Reading<'_>, filters: &[Filters], delimiter: &str) -> Writing {
    let kwargs = reading.get(KEY);
    let find = |key: &str| kwargs.and_then(|node| node.get(key));
    let tokens = TOKEN_KEYS.iter().find_map(|key| find(key));
    let tokens = match tokens.map(|node| (node, number(node))) {
        None => TOKENS,
        Some((_, Some(count))) if (1.0..1e9).contains(&count) => count as u32,
        Some((node, _)) => {
            reading.refuse(KEY, Some(node), "the most tokens of an answer are no number above 0");
            TOKENS
        }
    };
    others(reading, kwargs);
    let sampling = sampling(reading, kwargs);
    let repeats = reading.count("repeats").unwrap_or(1).max(1);
    let looked_at = sampling.is_some() && looks_at_samples(filters);
    if repeats > 1 && !looked_at {
        let why = if sampling.is_some() {
            "only the first answer is scored"
        } else {
            "without sampling all answers are the same"
        };
        reading.ignored("repeats", None, format!("{why}, so that one is written and not {repeats}"));
    }
    Writing {
        ctx: if tokens < CTX - 1024 { CTX } else { tokens.saturating_add(CTX) },
        tokens,
        stop: stop(reading, kwargs, delimiter),
        samples: if looked_at { repeats } else { 1 },
        sampling,
    }
}

fn stop(reading: &mut Reading<'_>, kwargs: Option<&Node>, delimiter: &str) -> Vec<String> {
    let until = kwargs.map(|node| (node, node.entries().iter().any(|(key, _)| key == "until")));
    let nodes = match until {
        Some((node, true)) => match node.get("until") {
            Some(Node { data: Data::List(nodes), .. }) => nodes.as_slice(),
            Some(node) => std::slice::from_ref(node),
            None => &[],
        },
        _ => return Some(delimiter.to_owned()).filter(|d| !d.is_empty()).into_iter().collect(),
    };
    let mut stop = Vec::new();
    for node in nodes {
        match node.text() {
            Some("") => reading.ignored(KEY, Some(node), "an empty text among `until`"),
            Some(text) => stop.push(text.to_owned()),
            None => reading.refuse(KEY, Some(node), "`until` has an entry that is not a text"),
        }
    }
    stop
}

/// What tokens are drawn with; nothing where the likeliest is taken.
fn sampling(reading: &mut Reading<'_>, kwargs: Option<&Node>) -> Option<Sampling> {
    let find = |key: &str| kwargs.and_then(|node| node.get(key));
    let temperature = find("temperature").and_then(number);
    let is_sampled = match find("do_sample").map(|node| &node.data) {
        Some(Data::Bool(asked)) => *asked,
        Some(Data::Text(word)) => word.eq_ignore_ascii_case("true"),
        _ => temperature.is_some_and(|t| t > 0.0),
    };
    if !is_sampled || temperature == Some(0.0) {
        if let Some(node) = find("do_sample").filter(|_| is_sampled) {
            reading.ignored(KEY, Some(node), "at temperature 0 the likeliest token is taken");
        }
        return None;
    }
    let share = |key: &str, otherwise: f64| find(key).and_then(number).unwrap_or(otherwise);
    let sampling = Sampling {
        temperature: temperature.unwrap_or(1.0),
        top_k: share("top_k", 0.0).max(0.0) as u32,
        top_p: share("top_p", 1.0),
        min_p: share("min_p", 0.0),
        seed: share("seed", 0.0).max(0.0) as u64,
    };
    if let Some(fault) = sampling.fault() {
        reading.refuse(KEY, kwargs, fault);
        return None;
    }
    reading.differs(KEY, kwargs, "answers are drawn by this program's own generator of random numbers");
    Some(sampling)
}

fn others(reading: &mut Reading<'_>, kwargs: Option<&Node>) {
    let Some(kwargs) = kwargs else { return };
    if !matches!(kwargs.data, Data::Map(_)) {
        reading.refuse(KEY, Some(kwargs), "is not a map");
    }
    for (key, node) in kwargs.entries() {
        let is_neutral = NEUTRAL.iter().any(|(name, value)| name == key && number(node) == Some(*value));
        let is_known = READ.contains(&key.as_str()) || TOKEN_KEYS.contains(&key.as_str());
        if is_known || is_neutral || node.data == Data::Null {
            continue;
        }
        if NEUTRAL.iter().any(|(name, _)| name == key) {
            reading.refuse(KEY, Some(node), format!("there is no {key} here"));
        } else {
            reading.differs(KEY, Some(node), format!("{key} is left out"));
        }
    }
}

fn number(node: &Node) -> Option<f64> {
    match &node.data {
        Data::Integer(number) => Some(*number as f64),
        Data::Float(number) => Some(*number),
        // PyYAML reads 1e-3 as text, and lm-eval makes a number of it.
        Data::Text(text) => text.parse().ok(),
        _ => None,
    }
}
