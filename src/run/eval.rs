//! One suite on one file: what `bitfrontier eval` asks of a worker. Items are those of a sweep, and so are their scores;
//! nothing is journalled, because a suite on one file takes minutes.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use serde::Serialize;
use tempfile::NamedTempFile;

use crate::analyze::{ChoiceNoise, Metric, choice_noise, metrics};
use crate::error::Error;
use crate::fetch::Cache;
use crate::files;
use crate::gguf::{self, Described as _};
use crate::plan::config::Offload;
use crate::plan::fingerprint;
use crate::plan::generate::{GenerateItem, GenerateSuite, Thinking};
use crate::plan::suite::{self, ChoiceScoring, ChoiceSuite, Items, Scoring, Suite, picked};
use crate::run::ending::without_result;
use crate::run::{corpora, data, estimate, haystack};
use crate::worker::client::Worker;
use crate::worker::protocol::{
    ChoiceItem, ChoiceWork, Finished, GenerateWork, ItemRecord, ItemScore, LoadSpec, Reply, Request,
    SuiteCost,
};

/// Seed of the order of items, as in a sweep that is not told another.
const SEED: u64 = 1;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// The model's file.
    pub model: PathBuf,
    /// The suite's name, or its file.
    pub suite: String,
    /// Which of its items.
    pub pick: Pick,
    /// Examples in front of every item, if not as many as the suite says.
    pub fewshot: Option<u32>,
    /// By whose definition, if not by the suite's.
    pub scoring: Option<ChoiceScoring>,
    /// How answers are written, where the suite lets them be.
    pub writing: Writing,
    /// Every choice decoded by itself, every answer written alone.
    pub exact: bool,
    /// Items that are scored once more, every choice by itself.
    pub noise: usize,
    /// Threads given to llama.cpp.
    pub threads: u32,
    /// What goes to a GPU.
    pub offload: Offload,
    /// Stretch contexts beyond the model's by YaRN.
    pub yarn: bool,
    /// Run programs that the model writes without a sandbox.
    pub unsafe_exec: bool,
}

/// How answers are written, where that shall not be as the suite says.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Writing {
    /// Put prompts into the model's chat template.
    pub chat: bool,
    /// Whether the model thinks first.
    pub thinking: Option<Thinking>,
    /// Most tokens of an answer.
    pub tokens: Option<u32>,
    /// Answers to each item.
    pub samples: Option<u32>,
    /// What logits are divided by.
    pub temperature: Option<f64>,
    /// Seed of drawn tokens.
    pub seed: Option<u64>,
}

/// Which items of a suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pick {
    /// All.
    All,
    /// So many: the sample that a sweep takes.
    Sample(u64),
    /// These, in the order of the file.
    Range(Range<u64>),
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluated {
    /// The model's file.
    pub model: String,
    /// The suite.
    pub suite: String,
    /// Its title.
    pub title: String,
    /// Why the data are only part of the original; absent if whole.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub partial: String,
    /// What else to know of the suite.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// By whose definition choices are scored; absent where answers are written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scoring: Option<ChoiceScoring>,
    /// Examples in front of every item.
    pub fewshot: u32,
    /// Whether every choice was decoded by itself, or every answer written alone.
    pub exact: bool,
    /// Items evaluated, of all there are.
    pub items: u64,
    /// Items of the suite.
    pub of: u64,
    /// Of those evaluated, how many could not be scored.
    pub failed: u64,
    /// Why the first of them could not; absent if none failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_because: Option<String>,
    /// Score of a guesser on the first metric.
    pub chance: Option<f64>,
    /// What came of it, the suite's main metric first.
    pub metrics: Vec<Metric>,
    /// How far scores move when nothing is shared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise: Option<ChoiceNoise>,
    /// What kept the programs in that the model wrote: `bubblewrap`, `namespaces`, or `none`; absent if there were none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<String>,
    /// Tokens decoded.
    pub tokens_decoded: u64,
    /// Tokens that item-by-item, choice-by-choice work would have decoded.
    pub tokens_naive: u64,
    /// Wall seconds of the whole command.
    pub wall_s: f64,
    /// Seconds within `llama_decode`.
    pub decode_s: f64,
    /// llama.cpp's version.
    pub llama_cpp: String,
}

impl Pick {
    /// What `--limit` and `--items` say, of which one may be given.
    pub fn new(limit: Option<u64>, items: Option<&str>) -> Result<Self, Error> {
        let Some(text) = items else { return Ok(limit.map_or(Self::All, Self::Sample)) };
        let ends = text.split_once("..").and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        let range = ends.map(|(first, end): (u64, u64)| first..end).filter(|range| !range.is_empty());
        range.map(Self::Range).ok_or_else(|| {
            let hint = "write --items 0..200: from 0, the end excluded".to_owned();
            Error::Refused { reason: format!("--items {text:?} is no range of items"), hint: Some(hint) }
        })
    }

    /// Positions in the file.
    pub(super) fn of(&self, total: u64, suite: &str) -> Result<Vec<u64>, Error> {
        let limit = match self {
            Self::Range(range) if range.end > total => {
                let reason =
                    format!("--items {}..{}: suite {suite} has {total} items", range.start, range.end);
                return Err(Error::Refused { reason, hint: Some(format!("--items 0..{total} is all")) });
            }
            Self::Range(range) => return Ok(range.clone().collect()),
            Self::All => total,
            Self::Sample(limit) => *limit,
        };
        let order = fingerprint::seeded_order(total, SEED, suite);
        Ok(order.into_iter().take(usize::try_from(limit).unwrap_or(usize::MAX)).collect())
    }
}

/// The answer, and what was found on each item, in the order of the file.
pub type Answer = (Evaluated, Vec<ItemRecord>);

/// Carries it out. `progress` hears of items done, of how many.
pub fn evaluate(
    question: &Question,
    cache: &Cache,
    interrupted: &AtomicBool,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Answer, Error> {
    let begun = Instant::now();
    let mut suite = asked(question)?;
    haystack::settle_for(&mut suite, &question.model, cache, interrupted)?;
    data::locate_all(&suite, cache, false)?;
    let all = data::items(&suite, cache, interrupted)?;
    let positions = question.pick.of(all.len() as u64, &suite.name)?;
    if positions.is_empty() {
        return Err(crate::plan::error::PlanError::NoItems { suite: suite.name }.into());
    }
    let total = (positions.len() + question.noise.min(positions.len())) as u64;
    let mut done = 0;
    let mut tell = || {
        done += 1;
        progress(done, total);
    };
    let mut asking = Asking::start(question, interrupted)?;
    let (records, cost, exact) = match (&suite.scoring, &all) {
        (Scoring::Choice(choice), Items::Choices(all)) => {
            let items = picked(all, &positions);
            let again: Vec<ChoiceItem> = items.iter().take(question.noise).cloned().collect();
            let (records, cost) = asking.score(choice, items, choice.exact, &mut tell)?;
            let exact =
                if again.is_empty() { Vec::new() } else { asking.score(choice, again, true, &mut tell)?.0 };
            (records, cost, exact)
        }
        (Scoring::Generate(generate), Items::Prompts(all)) => {
            let (records, cost) =
                asking.write(&suite, generate, picked(all, &positions), cache, &mut tell)?;
            (records, cost, Vec::new())
        }
        _ => return Err(no_items(&suite)),
    };
    let mut metrics = metrics(&records, &all.clusters());
    metrics.sort_by_key(|metric| metric.name != suite.main_metric());
    let (scoring, fewshot, is_exact) = match &suite.scoring {
        Scoring::Choice(choice) => (Some(choice.scoring), choice.fewshot, choice.exact),
        Scoring::Generate(generate) => (None, generate.fewshot, generate.parallel == 1),
        Scoring::Text(_) => (None, 0, false),
    };
    let evaluated = Evaluated {
        model: question.model.display().to_string(),
        partial: suite.partial(),
        title: suite.title.clone(),
        note: suite.note.clone(),
        scoring,
        fewshot,
        exact: is_exact,
        items: records.len() as u64,
        of: all.len() as u64,
        failed: failures(&records).count() as u64,
        failed_because: failures(&records).next().map(str::to_owned),
        chance: suite.chance(),
        noise: choice_noise(&records, &exact, suite.main_metric()),
        sandbox: records.iter().find_map(guard),
        metrics,
        tokens_decoded: cost.tokens_decoded,
        tokens_naive: cost.tokens_naive,
        wall_s: begun.elapsed().as_secs_f64(),
        decode_s: cost.decode_s,
        llama_cpp: asking.worker.native.llama_cpp.clone(),
        suite: suite.name,
    };
    Ok((evaluated, records))
}

/// Writes what was found on each item, one a line.
pub fn write_records(path: &Path, records: &[ItemRecord]) -> Result<(), Error> {
    let lines: Result<Vec<String>, _> = records.iter().map(serde_json::to_string).collect();
    let text = lines.map_err(|error| Error::Worker(error.to_string()))?.join("\n") + "\n";
    files::replace(path, text.as_bytes()).map_err(|source| Error::Write { path: path.to_owned(), source })
}

/// Whether records could be written there.
pub fn check_place(path: &Path) -> Result<(), Error> {
    files::try_place(path).map_err(|source| Error::Write { path: path.to_owned(), source })
}

fn no_items(suite: &Suite) -> Error {
    Error::Refused {
        reason: format!("suite {} is a text, which `eval` does not score", suite.name),
        hint: Some("`bitfrontier perplexity MODEL --text FILE` does".to_owned()),
    }
}

/// The suite as it was asked for.
fn asked(question: &Question) -> Result<Suite, Error> {
    let mut suite = suite::parse(&suite::find(&question.suite, "SUITE")?)?;
    let refused = |what: &str, hint: &str| Error::Refused {
        reason: format!("suite {} {what}", suite.name),
        hint: Some(hint.to_owned()),
    };
    match &mut suite.scoring {
        Scoring::Text(_) => return Err(no_items(&suite)),
        Scoring::Choice(_) if question.writing != Writing::default() => {
            let what = "asks for choices, and nothing is written";
            return Err(refused(what, "leave out the options about writing answers"));
        }
        Scoring::Choice(choice) => {
            choice.fewshot = question.fewshot.unwrap_or(choice.fewshot);
            choice.scoring = question.scoring.unwrap_or(choice.scoring);
            choice.exact |= question.exact;
            choice.check().map_err(|(what, hint)| refused(what, hint))?;
        }
        Scoring::Generate(_) if question.scoring.is_some() || question.noise > 0 => {
            let what = "has its answers written, and there are no choices to score";
            return Err(refused(what, "leave out --scoring and --noise"));
        }
        Scoring::Generate(generate) => {
            generate.fewshot = question.fewshot.unwrap_or(generate.fewshot);
            question.writing.apply(generate);
            if question.exact {
                generate.parallel = 1;
            }
            generate.check().map_err(|(what, hint)| refused(&format!("would have {what}"), hint))?;
        }
    }
    Ok(suite)
}

impl Writing {
    pub(super) fn apply(&self, suite: &mut GenerateSuite) {
        suite.chat |= self.chat;
        suite.thinking = self.thinking.or(suite.thinking);
        suite.tokens = self.tokens.unwrap_or(suite.tokens);
        suite.samples = self.samples.unwrap_or(suite.samples);
        suite.sampling.temperature = self.temperature.unwrap_or(suite.sampling.temperature);
        suite.sampling.seed = self.seed.unwrap_or(suite.sampling.seed);
    }
}

/// What kept an item's programs in, if there were any.
fn guard(item: &ItemRecord) -> Option<String> {
    let ItemScore::Generated(score) = &item.score else { return None };
    score.outcomes.first().map(|outcome| outcome.guard.clone())
}

/// A worker with the model.
struct Asking<'a> {
    worker: Worker,
    about: gguf::Model,
    interrupted: &'a AtomicBool,
    unsafe_exec: bool,
    /// The worker's output; its last lines tell why it died.
    _log: NamedTempFile,
}

impl<'a> Asking<'a> {
    fn start(question: &Question, interrupted: &'a AtomicBool) -> Result<Self, Error> {
        let about = gguf::open_model(&question.model)?;
        let log = NamedTempFile::new().map_err(|source| Error::Io { path: std::env::temp_dir(), source })?;
        let worker = Worker::start(log.path(), interrupted).map_err(without_result)?;
        let mut asking = Self { worker, about, interrupted, unsafe_exec: question.unsafe_exec, _log: log };
        let request = Request::Load(LoadSpec {
            model: question.model.clone(),
            threads: question.threads,
            offload: question.offload.clone(),
            kv: ("f16".to_owned(), "f16".to_owned()),
            yarn: question.yarn,
        });
        asking.ask(&request, &mut |_| {})?;
        Ok(asking)
    }

    fn ask(&mut self, request: &Request, item: &mut dyn FnMut(ItemRecord)) -> Result<Finished, Error> {
        let patience = estimate::silence(self.about.weights(), self.about.file_bytes(), request);
        let answer = self.worker.ask(request, patience, self.interrupted, |reply| {
            if let Reply::Item(record) = reply {
                item(record);
            }
            Ok(())
        });
        answer.map_err(without_result)
    }

    /// Scores items; what they are in the order of the file.
    fn score(
        &mut self,
        suite: &ChoiceSuite,
        items: Vec<ChoiceItem>,
        exact: bool,
        tell: &mut dyn FnMut(),
    ) -> Result<(Vec<ItemRecord>, SuiteCost), Error> {
        let asked = items.len();
        let work =
            ChoiceWork { n_ctx: suite.ctx, items, known: BTreeSet::new(), scoring: suite.scoring, exact };
        self.items(&Request::Choice(work), asked, tell)
    }

    /// Has answers written; what they are worth in the order of the file.
    fn write(
        &mut self,
        suite: &Suite,
        generate: &GenerateSuite,
        items: Vec<GenerateItem>,
        cache: &Cache,
        tell: &mut dyn FnMut(),
    ) -> Result<(Vec<ItemRecord>, SuiteCost), Error> {
        let asked = items.len();
        let whose = format!("suite {} needs a chat template", suite.name);
        let template = generate.chat.then(|| corpora::template_of(&self.about, &whose)).transpose()?;
        let resources = data::resources(suite, cache)?;
        let (suite, unsafe_exec) = (generate.clone(), self.unsafe_exec);
        let work = Box::new(GenerateWork { items, suite, template, resources, unsafe_exec, seconds: None });
        self.items(&Request::Generate(work), asked, tell)
    }

    fn items(
        &mut self,
        request: &Request,
        asked: usize,
        tell: &mut dyn FnMut(),
    ) -> Result<(Vec<ItemRecord>, SuiteCost), Error> {
        let mut records = Vec::with_capacity(asked);
        let finished = self.ask(request, &mut |record| {
            records.push(record);
            tell();
        })?;
        let Finished::Items(cost) = finished else {
            return Err(Error::Worker("the worker answered another question".to_owned()));
        };
        if records.len() != asked {
            return Err(Error::Worker(format!("the worker scored {} of {asked} items", records.len())));
        }
        records.sort_by_key(|record| record.index);
        Ok((records, cost))
    }
}

/// Why items could not be scored, one sentence an item.
fn failures(records: &[ItemRecord]) -> impl Iterator<Item = &str> {
    records.iter().filter_map(|record| match &record.score {
        ItemScore::Failed { reason } => Some(reason.as_str()),
        _ => None,
    })
}

impl Evaluated {
    /// The answer for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut lines = vec![format!("{}: {}", self.suite, self.title)];
        lines.extend(
            [("partial", &self.partial), ("note", &self.note)]
                .into_iter()
                .filter(|(_, text)| !text.is_empty())
                .map(|(what, text)| format!("{what}: {text}")),
        );
        let failed =
            if self.failed > 0 { format!(", {} could not be scored", self.failed) } else { String::new() };
        lines.push(format!("{} of {} items, {} shots{failed}", self.items, self.of, self.fewshot));
        let width = self.metrics.iter().map(|metric| metric.name.len()).max().unwrap_or(0);
        for metric in &self.metrics {
            let stderr = metric.stderr.map_or(String::new(), |e| format!(" +- {e:.4}"));
            lines.push(format!("{:<width$} {:.4}{stderr}  (n {})", metric.name, metric.value, metric.n));
        }
        if let Some(chance) = self.chance {
            lines.push(format!("a guesser scores {chance:.4}"));
        }
        match self.sandbox.as_deref() {
            Some("none") => {
                lines.push("sandbox: none; programs of the model ran with limits only".to_owned());
            }
            Some(guard) => lines.push(format!("sandbox: {guard}")),
            None => {}
        }
        if let Some(noise) = self.noise {
            lines.push(format!(
                "numeric noise, {} items decoded alone: ln p moves by {:.4} on average, {:.4} at most; {} answers flip",
                noise.items, noise.logprob_mean, noise.logprob_max, noise.flips
            ));
        }
        lines.push(format!(
            "{} tokens decoded, {} {}; {:.1} s, of which {:.1} s decoding",
            self.tokens_decoded,
            self.tokens_naive,
            if self.scoring.is_some() { "choice by choice" } else { "item by item" },
            self.wall_s,
            self.decode_s
        ));
        lines.join("\n") + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_in_file_order_and_samples_are_a_sweeps() {
        let range = Pick::new(None, Some("2..5")).expect("a range");
        assert_eq!(range.of(9, "piqa").expect("there"), [2, 3, 4]);
        assert!(range.of(4, "piqa").is_err());
        for wrong in ["", "3", "5..2", "2..2", "a..b", "-1..2"] {
            assert!(Pick::new(None, Some(wrong)).is_err(), "{wrong}");
        }
        let sample = Pick::new(Some(3), None).expect("a sample").of(9, "piqa").expect("there");
        assert_eq!(sample, fingerprint::seeded_order(9, SEED, "piqa")[..3]);
    }
}
