//! An item in the terms of OpenAI's interface: the request that asks it, and what is read out of the answer. Local answers
//! end before a stop string wherever it stands; an API takes four of them, so that all are looked for here again.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::client::Endpoint;
use super::error::EndpointError;
use crate::answers::calls::expected::Reference;
use crate::answers::calls::format::Format;
use crate::answers::calls::schema;
use crate::answers::error::AnswerError;
use crate::answers::execute::Runner;
use crate::answers::grade::{Graded, Grader, Measure};
use crate::answers::thought;
use crate::plan::conversation::{CallStyle, api_messages, api_worded};
use crate::plan::generate::{GenerateItem, GenerateSuite, Prompt};
use crate::sandbox::Sandbox;
use crate::worker::protocol::{GeneratedAnswer, GeneratedScore, ItemScore, Stop};

/// Most stop strings that the interface takes.
const MOST_STOPS: usize = 4;
/// Longest answer that is graded, in bytes: some 64,000 tokens.
const LONGEST_ANSWER: usize = 256 << 10;
/// Calls come in fields of their own, unless the suite has them asked for in words. They are written in the format whose
/// names of functions have no dots, as the interface wants them, and read from there by the reader of all calls.
const CALLS: Format = Format::Mistral;

/// What an API says it has read and written, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Read, cached ones among them.
    pub prompt: u64,
    /// Of those, cached.
    pub cached: u64,
    /// Written, thoughts among them.
    pub completion: u64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, more: Self) {
        self.prompt = self.prompt.saturating_add(more.prompt);
        self.cached = self.cached.saturating_add(more.cached);
        self.completion = self.completion.saturating_add(more.completion);
    }
}

/// An answer as it came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// Of the choice that the API gave: its text or message with the calls in it, and why it ended.
    pub raw: Value,
    /// Its tokens; absent where the API does not tell.
    pub usage: Option<Usage>,
    /// Seconds from the request to the answer, failed tries included.
    pub seconds: f64,
}

/// How a model is asked.
#[derive(Debug, Clone)]
pub struct Asker {
    /// Where.
    pub endpoint: Endpoint,
    /// Its name there.
    pub model: String,
    /// What is set in every request on top; null takes a key out.
    pub extra: Map<String, Value>,
}

impl Asker {
    /// Where an item is posted, and what.
    ///
    /// # Errors
    /// If the item's tools cannot be read.
    pub fn request(
        &self,
        suite: &GenerateSuite,
        item: &GenerateItem,
        sample: u32,
    ) -> Result<(&'static str, Value), AnswerError> {
        let sampling = suite.sampling;
        let mut body = Map::new();
        body.insert("model".to_owned(), self.model.as_str().into());
        let path = match &item.prompt {
            Prompt::Raw(text) => {
                body.insert("prompt".to_owned(), text.as_str().into());
                "/completions"
            }
            Prompt::Chat(messages) => {
                body.insert("messages".to_owned(), api_messages(messages).into());
                "/chat/completions"
            }
        };
        body.insert("max_tokens".to_owned(), suite.tokens.into());
        body.insert("temperature".to_owned(), json!(sampling.temperature));
        if !suite.stop.is_empty() {
            let stop: Vec<&str> = suite.stop.iter().take(MOST_STOPS).map(String::as_str).collect();
            body.insert("stop".to_owned(), stop.into());
        }
        if sampling.temperature > 0.0 {
            body.insert("top_p".to_owned(), json!(sampling.top_p));
            body.insert("seed".to_owned(), (sampling.seed + u64::from(sample)).into());
            // Not of the interface, but of most servers of open weights.
            if sampling.top_k > 0 {
                body.insert("top_k".to_owned(), sampling.top_k.into());
            }
            if sampling.min_p > 0.0 {
                body.insert("min_p".to_owned(), json!(sampling.min_p));
            }
        }
        if suite.measure == Measure::Calls {
            let Reference { tools, language, .. } = Reference::read(&item.reference, false)?;
            let (format, prompted) = calls(suite);
            let tools = schema::openai(&tools, language, format.plain_names());
            match &item.prompt {
                Prompt::Chat(messages) if prompted => {
                    body.insert("messages".to_owned(), api_worded(messages, &tools).into())
                }
                _ => body.insert("tools".to_owned(), tools.into()),
            };
        }
        if suite.chat && !suite.template_args().is_empty() {
            body.insert("chat_template_kwargs".to_owned(), json!(suite.template_args()));
        }
        for (key, value) in &self.extra {
            match value {
                Value::Null => body.remove(key),
                value => body.insert(key.clone(), value.clone()),
            };
        }
        Ok((path, body.into()))
    }

    /// Asks an item once.
    ///
    /// # Errors
    /// Those of the endpoint, and if the answer has no choice.
    pub fn ask(&self, path: &str, body: &Value, interrupted: &AtomicBool) -> Result<Reply, EndpointError> {
        let begun = Instant::now();
        let mut answer = self.endpoint.post(path, body, interrupted)?;
        let usage = usage(&answer);
        let choice = answer.pointer_mut("/choices/0").map(Value::take);
        let raw = choice.ok_or_else(|| EndpointError::Malformed("it has no `choices`".to_owned()))?;
        if raw.get("text").or_else(|| raw.get("message")).is_none() {
            return Err(EndpointError::Malformed("its choice has neither `text` nor `message`".to_owned()));
        }
        let reply = Reply { raw: needed(&raw), usage, seconds: begun.elapsed().as_secs_f64() };
        if reply.text().len() > LONGEST_ANSWER {
            let limit = LONGEST_ANSWER >> 10;
            return Err(EndpointError::Malformed(format!("its answer is longer than {limit} KiB")));
        }
        Ok(reply)
    }
}

/// What is read of a choice. Servers send more, and all answers are kept until the end.
fn needed(choice: &Value) -> Value {
    let only = |object: &Value, keys: &[&str]| -> Map<String, Value> {
        let found = keys.iter().filter_map(|key| Some(((*key).to_owned(), object.get(key)?.clone())));
        found.collect()
    };
    let mut kept = only(choice, &["text", "finish_reason"]);
    if let Some(message) = choice.get("message") {
        kept.insert("message".to_owned(), only(message, &["content", "tool_calls"]).into());
    }
    kept.into()
}

fn usage(answer: &Value) -> Option<Usage> {
    let count = |path: &str| answer.pointer(path).and_then(Value::as_u64);
    let cached = ["/usage/prompt_tokens_details/cached_tokens", "/usage/prompt_cache_hit_tokens"];
    Some(Usage {
        prompt: count("/usage/prompt_tokens")?,
        cached: cached.iter().find_map(|path| count(path)).unwrap_or(0),
        completion: count("/usage/completion_tokens")?,
    })
}

impl Reply {
    /// Everything that was said, calls included.
    pub fn text(&self) -> String {
        let text = |path: &str| self.raw.pointer(path).and_then(Value::as_str);
        let said = text("/text").or_else(|| text("/message/content")).unwrap_or_default();
        let calls = self.raw.pointer("/message/tool_calls").and_then(Value::as_array);
        let calls: Vec<String> = calls.into_iter().flatten().map(written).collect();
        if calls.is_empty() { said.to_owned() } else { format!("{said}[TOOL_CALLS][{}]", calls.join(", ")) }
    }

    /// The answer that is graded: ended before the first of the stop strings, without its thought.
    fn answer(&self, suite: &GenerateSuite) -> GeneratedAnswer {
        let mut output = self.text();
        let cut = suite.stop.iter().filter_map(|stop| output.find(stop.as_str())).min();
        output.truncate(cut.unwrap_or(output.len()));
        let length = self.raw.get("finish_reason").and_then(Value::as_str) == Some("length");
        let bare = thought::without(&output, suite.tags(), false);
        GeneratedAnswer {
            graded: (bare != output).then(|| bare.to_owned()),
            tokens: self.usage.map_or(0, |usage| usage.completion),
            seconds: self.seconds,
            stop: match (cut, length) {
                (Some(_), _) => Stop::String,
                (None, true) => Stop::Length,
                (None, false) => Stop::End,
            },
            output,
        }
    }
}

/// A call as the reader of calls takes it. Arguments that are no JSON stay as they are, and are then a fault.
fn written(call: &Value) -> String {
    let name = call.pointer("/function/name").cloned().unwrap_or_default();
    let arguments = call.pointer("/function/arguments").cloned().unwrap_or_else(|| json!({}));
    let arguments = arguments.as_str().map_or_else(|| arguments.to_string(), str::to_owned);
    format!("{{\"name\": {name}, \"arguments\": {arguments}}}")
}

/// How calls are read, and whether they are asked for in words.
fn calls(suite: &GenerateSuite) -> (Format, bool) {
    if suite.calls == CallStyle::Prompted { (Format::Pythonic, true) } else { (CALLS, false) }
}

/// The grader of a suite, with a sandbox where programs are run.
///
/// # Errors
/// If a resource of the suite cannot be read, or there is no sandbox.
pub fn grader(
    suite: &GenerateSuite,
    resources: &std::collections::BTreeMap<String, std::path::PathBuf>,
    unsafe_exec: bool,
) -> Result<Grader, AnswerError> {
    let grader = suite.grader(resources, |execute| {
        let sandbox = Sandbox::find(unsafe_exec).map_err(|error| AnswerError::sandbox(&error))?;
        Ok::<_, AnswerError>(Runner::new(sandbox, execute, &suite.filter_list))
    })?;
    Ok(match grader {
        Grader::Calls { .. } => {
            let (format, prompted) = calls(suite);
            Grader::Calls { format, prompted }
        }
        other => other,
    })
}

/// What an item's answers are worth; the score that a model of this machine would have for them.
pub fn score(suite: &GenerateSuite, grader: &Grader, item: &GenerateItem, replies: &[Reply]) -> ItemScore {
    let answers: Vec<GeneratedAnswer> = replies.iter().map(|reply| reply.answer(suite)).collect();
    let samples: Vec<&str> =
        answers.iter().map(|answer| answer.graded.as_deref().unwrap_or(&answer.output)).collect();
    match grader.grade(&item.reference, &samples) {
        Err(error) => ItemScore::Failed { reason: format!("{error} (hint: {})", error.hint()) },
        Ok(Graded { grades, extracted, outcomes }) => ItemScore::Generated(Box::new(GeneratedScore {
            prompt: item.prompt.texts().join("\n"),
            prompt_tokens: replies.iter().find_map(|reply| reply.usage).map_or(0, |usage| usage.prompt),
            reference: item.reference.clone(),
            answers,
            extracted,
            outcomes,
            grades,
        })),
    }
}
