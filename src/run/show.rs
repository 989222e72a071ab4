//! What `bitfrontier suites show` prints: a suite's facts, where its data are, and one question exactly as a model
//! reads it.

use std::fmt::Write as _;
use std::sync::atomic::AtomicBool;

use serde::Serialize;

use crate::error::Error;
use crate::fetch::Cache;
use crate::plan::corpus::{Corpus, Matter};
use crate::plan::generate::{GenerateItem, Prompt};
use crate::plan::items::ChoiceItem;
use crate::plan::suite::{self, DataSource, Items, Metric, Scoring, Suite, picked};
use crate::run::data;

/// A suite's facts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shown {
    /// Its name.
    pub suite: String,
    /// One line for people.
    pub title: String,
    /// Version of data, prompt and scoring together.
    pub version: u32,
    /// Licence of the data.
    pub licence: String,
    /// Why it is only part of the original; absent if whole.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub partial: String,
    /// What else to know.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// How it is scored, in words.
    pub scoring: String,
    /// Metrics, the main one first.
    pub metrics: Vec<Metric>,
    /// Where the data come from.
    pub sources: Vec<Place>,
    /// Questions there are; absent for texts, and where the data are not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<u64>,
    /// One of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<Item>,
}

/// A question, of either kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Item {
    /// With choices.
    Choice(ChoiceItem),
    /// Whose answer is written.
    Prompt(GenerateItem),
}

/// One place that data can be had from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Place {
    /// `questions`, `examples`, or the name of a text.
    pub of: String,
    /// The source.
    pub from: String,
    /// Whether its file is on this machine.
    pub there: bool,
}

/// Shows a suite, by its name or its file, and of its questions the one with this position; the first, if the data are
/// there, where none is asked for.
pub fn show(name: &str, item: Option<u64>, fewshot: Option<u32>, cache: &Cache) -> Result<Shown, Error> {
    let mut suite = suite::parse(&suite::find(name, "suites show")?)?;
    match &mut suite.scoring {
        Scoring::Choice(choice) => choice.fewshot = fewshot.unwrap_or(choice.fewshot),
        Scoring::Generate(generate) => generate.fewshot = fewshot.unwrap_or(generate.fewshot),
        Scoring::Text(_) => {}
    }
    let sources = places(&suite, cache)?;
    let (items, one) = one_item(&suite, item, cache)?;
    Ok(Shown {
        partial: suite.partial(),
        scoring: scoring(&suite),
        suite: suite.name,
        title: suite.title,
        version: suite.version,
        licence: suite.licence,
        note: suite.note,
        metrics: suite.metrics,
        sources,
        items,
        item: one,
    })
}

/// How many questions there are, and the one that is asked for.
fn one_item(suite: &Suite, item: Option<u64>, cache: &Cache) -> Result<(Option<u64>, Option<Item>), Error> {
    if matches!(suite.scoring, Scoring::Text(_)) {
        return match item {
            None => Ok((None, None)),
            Some(_) => Err(Error::Refused {
                reason: format!("suite {} is a text, and has no questions to show", suite.name),
                hint: Some("leave --item out".to_owned()),
            }),
        };
    }
    if suite.haystack.is_some() {
        return match item {
            None => Ok((None, None)),
            Some(_) => Err(Error::Refused {
                reason: format!("the questions of suite {} are made for a model's vocabulary", suite.name),
                hint: Some(
                    "`bitfrontier eval MODEL SUITE --records FILE` keeps them with their answers".to_owned(),
                ),
            }),
        };
    }
    let items = match data::items(suite, cache, &AtomicBool::new(false)) {
        Err(Error::NotFetched { .. }) if item.is_none() => return Ok((None, None)),
        items => items?,
    };
    let total = items.len() as u64;
    let at = item.unwrap_or(0);
    let one = match &items {
        Items::None => None,
        Items::Choices(items) => picked(items, &[at]).pop().map(Item::Choice),
        Items::Prompts(items) => picked(items, &[at]).pop().map(Item::Prompt),
    };
    if one.is_none() && item.is_some() {
        return Err(Error::Refused {
            reason: format!("--item {at}: suite {} has {total} items", suite.name),
            hint: Some("they are counted from 0".to_owned()),
        });
    }
    Ok((Some(total), one))
}

fn places(suite: &Suite, cache: &Cache) -> Result<Vec<Place>, Error> {
    let corpora = suite.corpora.iter().filter_map(|corpus| match &corpus.matter {
        Matter::Text(places) | Matter::Chat(places) => Some((label(corpus), places.as_slice())),
        Matter::Sampled(_) => None,
    });
    let parts = suite.parts.iter().flat_map(|part| {
        let of = |what: &str| format!("{what} of {}", part.name);
        [(of("questions"), part.source.as_slice()), (of("answers"), part.answers.as_slice())]
    });
    let questions =
        [("questions".to_owned(), &suite.sources[..]), ("examples".to_owned(), &suite.fewshot_sources[..])];
    let resources = suite.resources.iter().map(|one| (one.name.clone(), std::slice::from_ref(&one.source)));
    let all = questions.into_iter().chain(parts).chain(corpora).chain(resources);
    all.flat_map(|(of, places)| places.iter().map(move |place| (of.clone(), place)))
        .map(|(of, place): (String, &DataSource)| {
            let there = data::there(suite, place, cache)?.is_some();
            Ok(Place { of, from: place.from.clone(), there })
        })
        .collect()
}

fn label(corpus: &Corpus) -> String {
    if corpus.name.is_empty() { "text".to_owned() } else { corpus.name.clone() }
}

/// What a haystack is, in words.
fn buried(suite: &Suite) -> String {
    let Some(haystack) = &suite.haystack else { return String::new() };
    let list = |all: &[u32]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let kinds: Vec<&str> = haystack.kinds.iter().map(|kind| kind.word()).collect();
    format!(
        "{} in prompts of {} tokens at depths of {} %, {} each, seed {}; ",
        kinds.join(", "),
        list(&haystack.lengths),
        list(&haystack.depths),
        haystack.items,
        haystack.seed
    )
}

/// In words.
fn scoring(suite: &Suite) -> String {
    match &suite.scoring {
        Scoring::Choice(choice) => {
            let by = if choice.scoring.is_default() { "lm-eval" } else { "llama-perplexity" };
            let what = if choice.only { "the only choice" } else { "choices" };
            let exact = if choice.exact { ", each decoded by itself" } else { "" };
            format!(
                "log-likelihood of {what} by {by}'s definition, {} examples, context of {} tokens{exact}",
                choice.fewshot, choice.ctx
            )
        }
        Scoring::Generate(generate) => {
            buried(suite)
                + &format!(
                    "answers of at most {} tokens, {}, {}, {} examples, context of {} tokens",
                    generate.tokens,
                    if generate.sampling.temperature > 0.0 {
                        format!("{} drawn at temperature {}", generate.samples, generate.sampling.temperature)
                    } else {
                        "greedy".to_owned()
                    },
                    if generate.chat { "in the model's chat template" } else { "after the plain prompt" },
                    generate.fewshot,
                    generate.ctx
                )
        }
        Scoring::Text(text) => {
            let kinds = suite.corpora.iter().map(|corpus| match &corpus.matter {
                Matter::Text(_) => label(corpus),
                Matter::Chat(_) => format!("{} (conversations)", label(corpus)),
                Matter::Sampled(how) => {
                    format!(
                        "{} ({} tokens that the base writes, seed {})",
                        label(corpus),
                        how.tokens,
                        how.seed
                    )
                }
            });
            let texts = kinds.collect::<Vec<_>>().join(", ");
            format!("perplexity and divergence from the base on chunks of {} tokens of: {texts}", text.ctx)
        }
    }
}

impl Shown {
    /// For people.
    pub fn text(&self) -> String {
        let mut out = format!("{}: {}\n", self.suite, self.title);
        let mut line = |what: &str, text: &str| {
            if !text.is_empty() {
                // Writing to a String cannot fail.
                let _ = writeln!(out, "{what:<8} {text}");
            }
        };
        line("version", &self.version.to_string());
        line("licence", &self.licence);
        line("partial", &self.partial);
        line("note", &self.note);
        line("scoring", &self.scoring);
        let chance = |m: &Metric| m.chance.map_or(String::new(), |c| format!(" (a guesser: {c})"));
        let metrics: Vec<String> = self.metrics.iter().map(|m| format!("{}{}", m.name, chance(m))).collect();
        line("metrics", &metrics.join(", "));
        for place in &self.sources {
            let there = if place.there { "there" } else { "not fetched" };
            line("source", &format!("{} of the {} ({there})", place.from, place.of));
        }
        if let Some(items) = self.items {
            line("items", &items.to_string());
        }
        if self.item.is_none() && self.sources.iter().any(|place| !place.there) {
            line("", &format!("`bitfrontier suites fetch {}` brings what is missing", self.suite));
        }
        if let Some(item) = &self.item {
            out.push_str(&match item {
                Item::Choice(item) => question(item),
                Item::Prompt(item) => prompt(item),
            });
        }
        out
    }
}

/// The prompt, or its turns, and what the answer is graded by.
fn prompt(item: &GenerateItem) -> String {
    let mut out = format!("\n--- item {} ({}), as the model reads it ---\n", item.index, item.id);
    match &item.prompt {
        Prompt::Raw(text) => out.extend([text, "\n"]),
        Prompt::Chat(messages) => {
            for message in messages {
                let _ = writeln!(out, "[{}]\n{}", message.role, message.content);
                for call in &message.tool_calls {
                    let arguments = serde_json::Value::from(call.arguments.clone());
                    let _ = writeln!(out, "calls {} {arguments}", call.name);
                }
            }
        }
    }
    let _ = writeln!(out, "--- the answer is graded by ---\n{}", item.reference);
    out
}

/// The prompt between two lines, then each choice as it stands in a string of JSON, so that spaces are seen.
fn question(item: &ChoiceItem) -> String {
    let mut out = format!(
        "\n--- item {} ({}), as the model reads it ---\n{}\n--- its end; * is right ---\n",
        item.index, item.id, item.context
    );
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    for (i, choice) in item.choices.iter().enumerate() {
        let star = if i == item.answer as usize { '*' } else { ' ' };
        let text = match &item.continuation {
            None => format!("{}{choice}", item.delimiter),
            Some(_) => choice.clone(),
        };
        let _ = writeln!(out, "{star} {i} {}", quoted(&text));
    }
    if let Some(end) = &item.continuation {
        let _ = writeln!(out, "scored behind each: {}", quoted(&format!("{}{}", item.delimiter, end.trim())));
    }
    out
}
