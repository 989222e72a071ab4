//! Suites whose answers are written by the model (lm-eval's `generate_until`): the table of the suite file, and its
//! items as they are asked.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::answers::exact_match::ExactMatch;
use crate::answers::execute::{Around, Execute};
use crate::answers::filter::Filters;
use crate::answers::grade::{self, Measure};
use crate::answers::thought;
use crate::plan::agent::{self, AgentTable, Repository};
use crate::plan::conversation::{CallStyle, Message, messages, reference};
use crate::plan::error::PlanError;
use crate::plan::items::{Data, Grouped, Rendered, Shots, asked};
use crate::plan::rows::bad;
use crate::plan::suite::{blank_line, space};
use crate::plan::template::Template;

/// Most samples an item may have.
const MOST_SAMPLES: u32 = 1024;
/// Most answers that may be written at once.
const MOST_PARALLEL: u32 = 64;
/// Chat templates take this argument where a model can be told not to think.
const ENABLE_THINKING: &str = "enable_thinking";

/// What tokens are drawn with.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sampling {
    /// What logits are divided by; 0 takes the likeliest token.
    pub temperature: f64,
    /// Tokens that are kept; 0 keeps all.
    pub top_k: u32,
    /// The likeliest tokens are kept until their probabilities reach this sum; 1 keeps all.
    pub top_p: f64,
    /// Tokens are kept that have at least this share of the likeliest one's probability; 0 keeps all.
    pub min_p: f64,
    /// Seed.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, seed: 0 }
    }
}

impl Sampling {
    /// What is wrong with it, if anything.
    pub fn fault(&self) -> Option<String> {
        if !(0.0..=100.0).contains(&self.temperature) {
            return Some(format!("a temperature of {} is not between 0 and 100", self.temperature));
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return Some(format!("a top_p of {} is not above 0 and at most 1", self.top_p));
        }
        if !(0.0..=1.0).contains(&self.min_p) {
            return Some(format!("a min_p of {} is not between 0 and 1", self.min_p));
        }
        None
    }
}

/// The `[generate]` table of a suite file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenerateSuite {
    /// Template of an item's id.
    pub doc_to_id: String,
    /// Template of the question.
    #[serde(default)]
    pub doc_to_text: String,
    /// Instead, template of a conversation that ends in the question, as a JSON list of messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doc_to_messages: Option<String>,
    /// Template of the tools that can be called, as a JSON list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doc_to_tools: Option<String>,
    /// How calls are asked for and written.
    #[serde(default, skip_serializing_if = "CallStyle::is_default")]
    pub calls: CallStyle,
    /// Template of the reference: the right answer, or as JSON `IFEval`'s instructions or the right calls. Of programs
    /// only what examples show; they are graded by what `execute` puts around them.
    #[serde(default)]
    pub doc_to_target: String,
    /// What stands between an example's question and its answer.
    #[serde(default = "space")]
    pub target_delimiter: String,
    /// Template of the group whose examples an item gets; absent: all are one.
    #[serde(default)]
    pub doc_to_group: Option<String>,
    /// Template of what several items share, such as their passage: errors then count clusters of items. Absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doc_to_cluster: Option<String>,
    /// Template of what stands in front of the examples; in a chat, the system's message.
    #[serde(default)]
    pub description: String,
    /// Examples in front of every item.
    #[serde(default)]
    pub fewshot: u32,
    /// What stands between examples.
    #[serde(default = "blank_line")]
    pub fewshot_delimiter: String,
    /// Tokens that a prompt and its answer may take.
    #[serde(default = "ctx")]
    pub ctx: u32,
    /// Most tokens of an answer, a thought included.
    #[serde(default = "tokens")]
    pub tokens: u32,
    /// An answer ends before any of these.
    #[serde(default)]
    pub stop: Vec<String>,
    /// Answers to each item.
    #[serde(default = "one")]
    pub samples: u32,
    /// How tokens are chosen.
    #[serde(default)]
    pub sampling: Sampling,
    /// Put prompts into the base's chat template, examples as turns.
    #[serde(default)]
    pub chat: bool,
    /// What the chat template is told besides.
    #[serde(default)]
    pub template_args: BTreeMap<String, Value>,
    /// Whether the model thinks first; absent: as its chat template has it.
    #[serde(default)]
    pub thinking: Option<Thinking>,
    /// The tags of a thought.
    #[serde(default = "tags")]
    pub think_tags: [String; 2],
    /// Answers written at once. Which may move near-ties, so that it is part of a trial's settings.
    #[serde(default = "parallel")]
    pub parallel: u32,
    /// By what answers are measured.
    #[serde(default)]
    pub measure: Measure,
    /// Pipelines of filters, each a metric of its own.
    #[serde(default)]
    pub filter_list: Vec<Filters>,
    /// What does not count when answers are compared.
    #[serde(default)]
    pub exact_match: ExactMatch,
    /// Instead of one answer: a repository, mended turn by turn with tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentTable>,
    /// How answers become programs, where that is what they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execute: Option<Execute>,
}

/// Whether the model thinks first: `"on"`, `"off"`, or a number of tokens after which its thought is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub enum Thinking {
    /// As long as it likes.
    On,
    /// Not at all.
    Off,
    /// At most so many tokens.
    Budget(u32),
}

impl TryFrom<Value> for Thinking {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match &value {
            Value::String(word) => word.parse(),
            Value::Number(number) => number.to_string().parse(),
            _ => Err(format!("{value} is not a way of thinking: \"on\", \"off\", or a number of tokens")),
        }
    }
}

impl From<Thinking> for Value {
    fn from(thinking: Thinking) -> Self {
        match thinking {
            Thinking::On => "on".into(),
            Thinking::Off => "off".into(),
            Thinking::Budget(tokens) => tokens.into(),
        }
    }
}

impl std::str::FromStr for Thinking {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            number => number.parse().map(Self::Budget).map_err(|_| {
                format!("{text:?} is not a way of thinking: \"on\", \"off\", or a number of tokens")
            }),
        }
    }
}

/// An item to be answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerateItem {
    /// Position in the data file, from 0.
    pub index: u64,
    /// The item's own id.
    pub id: String,
    /// What is asked.
    pub prompt: Prompt,
    /// What the answer is graded by.
    pub reference: String,
    /// The group it belongs to, such as a category; empty where the suite has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// What it shares with others; empty where the suite says nothing of it. Scoring does not know it.
    #[serde(skip)]
    pub cluster: String,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prompt {
    /// A text that the model continues.
    Raw(String),
    /// Messages, to be put into a chat template.
    Chat(Vec<Message>),
}

impl Prompt {
    /// Its texts, one after another.
    pub fn texts(&self) -> Vec<&str> {
        match self {
            Self::Raw(text) => vec![text],
            Self::Chat(messages) => messages.iter().map(|message| message.content.as_str()).collect(),
        }
    }
}

fn ctx() -> u32 {
    4096
}

/// lm-eval's `max_gen_toks`.
fn tokens() -> u32 {
    256
}

fn one() -> u32 {
    1
}

fn parallel() -> u32 {
    8
}

fn tags() -> [String; 2] {
    thought::TAGS.map(str::to_owned)
}

impl GenerateSuite {
    /// What is wrong with it: the fault, after "has", and what to do.
    pub fn check(&self) -> Result<(), (String, &'static str)> {
        let within = |name: &str, value: u32, most: u32| {
            let fault = format!("{name} = {value}, which is not between 1 and {most}");
            if (1..=most).contains(&value) { Ok(()) } else { Err((fault, "correct it, or leave it out")) }
        };
        within("samples", self.samples, MOST_SAMPLES)?;
        within("parallel", self.parallel, MOST_PARALLEL)?;
        within("tokens", self.tokens, u32::MAX)?;
        if self.ctx <= self.tokens {
            let fault = format!("a ctx of {}, which {} tokens of an answer fill", self.ctx, self.tokens);
            return Err((fault, "raise `ctx`, or lower `tokens`"));
        }
        if let Some(fault) = self.sampling.fault() {
            return Err((fault, "correct `sampling`"));
        }
        if self.samples > 1 && self.sampling.temperature <= 0.0 {
            let fault = format!("{} samples, which are all the same at temperature 0", self.samples);
            return Err((fault, "set `sampling = { temperature = ... }`, or leave `samples` out"));
        }
        if self.stop.iter().chain(&self.think_tags).any(String::is_empty) {
            return Err(("an empty text among `stop` or `think_tags`".to_owned(), "leave it out"));
        }
        self.check_calls()?;
        self.check_agent()?;
        if !self.chat && (self.thinking.is_some() || !self.template_args.is_empty()) {
            let fault = "`thinking` or `template_args`, which only a chat template can be told".to_owned();
            return Err((fault, "set `chat = true`, or leave them out"));
        }
        if self.thinking.is_some() && self.template_args.contains_key(ENABLE_THINKING) {
            let fault = format!("both `thinking` and `{ENABLE_THINKING}`");
            return Err((fault, "leave one of them out"));
        }
        if !self.measure.takes_filters() && !self.filter_list.is_empty() {
            return Err((
                "filters, and another measure than exact_match".to_owned(),
                "leave `filter_list` out",
            ));
        }
        self.check_code()
    }

    fn check_code(&self) -> Result<(), (String, &'static str)> {
        let is_code = self.measure == Measure::Code;
        match &self.execute {
            Some(execute) if is_code => execute.check(self.samples)?,
            None if !is_code => {}
            Some(_) => {
                let fault = "a [generate.execute] table, and runs nothing".to_owned();
                return Err((fault, "set `measure = \"code\"`, or leave the table out"));
            }
            None => {
                let fault = "`measure = \"code\"` without a [generate.execute] table".to_owned();
                return Err((fault, "say in it what stands behind an answer: `after`"));
            }
        }
        if is_code && self.filter_list.len() > 1 {
            let fault =
                format!("{} pipelines of filters, and runs one program an answer", self.filter_list.len());
            return Err((fault, "keep one of them"));
        }
        Ok(())
    }

    /// Whether what it says of repositories fits together.
    fn check_agent(&self) -> Result<(), (String, &'static str)> {
        let Some(agent) = &self.agent else {
            let graded = self.execute.is_some() || !self.doc_to_target.is_empty();
            let fault = "no `doc_to_target`, which answers are graded by".to_owned();
            return if graded { Ok(()) } else { Err((fault, "add it, see suites/gsm8k.toml")) };
        };
        if !self.chat {
            let fault = "[generate.agent], whose tools only a chat template can be told".to_owned();
            return Err((fault, "set `chat = true`"));
        }
        let other =
            self.measure != Measure::default() || self.execute.is_some() || self.doc_to_tools.is_some();
        if other || !self.doc_to_target.is_empty() || !self.filter_list.is_empty() {
            let fault = "[generate.agent] beside another way of grading".to_owned();
            return Err((fault, "repositories are graded by their tests: leave the other out"));
        }
        if self.samples > 1 || self.fewshot > 0 || self.doc_to_messages.is_some() {
            let fault = "[generate.agent] beside `samples`, `fewshot` or `doc_to_messages`".to_owned();
            return Err((fault, "leave them out"));
        }
        agent.check()
    }

    /// Whether what it says of messages and tools fits together.
    fn check_calls(&self) -> Result<(), (String, &'static str)> {
        let [messages, tools] = [self.doc_to_messages.is_some(), self.doc_to_tools.is_some()];
        if messages != self.doc_to_text.is_empty() {
            let fault = "not one of `doc_to_text` and `doc_to_messages`".to_owned();
            return Err((fault, "say what is asked in one of them"));
        }
        if (messages || tools) && !self.chat {
            let fault = "messages or tools, which only a chat template can render".to_owned();
            return Err((fault, "set `chat = true`"));
        }
        if messages && self.fewshot > 0 {
            let fault = "both `doc_to_messages` and `fewshot`".to_owned();
            return Err((fault, "put the examples into the messages"));
        }
        if tools != (self.measure == Measure::Calls) {
            let fault = "not both of `doc_to_tools` and `measure = \"calls\"`".to_owned();
            return Err((fault, "add the other, see suites/bfcl.toml"));
        }
        if tools && !self.filter_list.is_empty() {
            return Err(("filters, and measures calls".to_owned(), "leave `filter_list` out"));
        }
        if !tools && self.agent.is_none() && !self.calls.is_default() {
            return Err(("`calls`, and no tools".to_owned(), "leave it out"));
        }
        Ok(())
    }

    /// Names of its metrics.
    pub fn metrics(&self) -> Vec<String> {
        if self.agent.is_some() {
            return agent::METRICS.map(str::to_owned).to_vec();
        }
        grade::metrics(self.measure, &self.filter_list, self.execute.as_ref())
    }

    /// What the chat template is told.
    pub fn template_args(&self) -> BTreeMap<String, Value> {
        let mut args = self.template_args.clone();
        if let Some(thinking) = self.thinking {
            args.insert(ENABLE_THINKING.to_owned(), Value::Bool(thinking != Thinking::Off));
        }
        args
    }

    /// The tags of a thought.
    pub fn tags(&self) -> [&str; 2] {
        let [open, close] = &self.think_tags;
        [open, close]
    }
}

/// The items of a file.
pub fn generate_items(
    data: Data<'_>,
    examples: Option<Data<'_>>,
    suite: &GenerateSuite,
) -> Result<Vec<GenerateItem>, PlanError> {
    rendered(data, examples, suite)?.into_iter().map(|(_, item)| item).collect()
}

/// Every item of a file, or why it cannot be rendered.
pub fn rendered(
    data: Data<'_>,
    examples: Option<Data<'_>>,
    suite: &GenerateSuite,
) -> Result<Vec<Rendered<GenerateItem>>, PlanError> {
    let render = Renderer::new(suite)?;
    let shots = Shots { count: suite.fewshot as usize, group: render.group.as_ref() };
    asked(
        data,
        examples,
        &shots,
        |path, row| Ok((text_of(path, row, &render.question)?, text_of(path, row, &render.target)?)),
        |path, row, index, examples| {
            let line = |template| text_of(path, row, template);
            let fail = |message| bad(path, row.row.line, message);
            let id = line(&render.id)?;
            let id = if id.is_empty() { index.to_string() } else { id };
            let group = row.group.clone();
            let question = match &render.messages {
                Some(template) => messages(&line(template)?).map_err(fail)?,
                None => vec![Message::new("user", line(&render.question)?)],
            };
            let reference = match (&render.tools, &render.around, &render.repository) {
                (Some(tools), ..) => reference(&line(tools)?, &line(&render.target)?).map_err(fail)?,
                (_, Some((before, after)), _) => {
                    around(&Around { before: line(before)?, after: line(after)? })
                }
                (.., Some((files, tests))) => {
                    Repository::printed(&line(files)?, &line(tests)?).map_err(fail)?.as_reference()
                }
                _ => line(&render.target)?,
            };
            Ok(GenerateItem {
                index,
                // Tables tell a group's items by their ids.
                id: if group.is_empty() { id } else { format!("{group}/{id}") },
                prompt: render.prompt(&line(&render.description)?, examples, question),
                reference,
                group,
                cluster: render.cluster.as_ref().map(line).transpose()?.unwrap_or_default(),
            })
        },
    )
}

fn text_of(path: &Path, row: &Grouped<'_>, template: &Template) -> Result<String, PlanError> {
    template.text(&row.row.value).map_err(|message| bad(path, row.row.line, message))
}

/// What stands around a program, as a reference.
fn around(around: &Around) -> String {
    serde_json::json!(around).to_string()
}

struct Renderer<'suite> {
    suite: &'suite GenerateSuite,
    id: Template,
    description: Template,
    question: Template,
    messages: Option<Template>,
    tools: Option<Template>,
    target: Template,
    group: Option<Template>,
    cluster: Option<Template>,
    /// Of a program: what stands before an answer and behind it.
    around: Option<(Template, Template)>,
    /// Of a repository: its files and its tests.
    repository: Option<(Template, Template)>,
}

impl<'suite> Renderer<'suite> {
    fn new(suite: &'suite GenerateSuite) -> Result<Self, PlanError> {
        let optional = |name, source: &Option<String>| {
            source.as_ref().map(|source| Template::new(name, source)).transpose()
        };
        let around = suite.execute.as_ref().map(|execute| {
            let before = Template::new("execute.before", &execute.before)?;
            Ok::<_, PlanError>((before, Template::new("execute.after", &execute.after)?))
        });
        let repository = suite.agent.as_ref().map(|agent| {
            let files = Template::new("agent.doc_to_files", &agent.doc_to_files)?;
            Ok::<_, PlanError>((files, Template::new("agent.doc_to_tests", &agent.doc_to_tests)?))
        });
        Ok(Self {
            suite,
            around: around.transpose()?,
            repository: repository.transpose()?,
            id: Template::new("doc_to_id", &suite.doc_to_id)?,
            description: Template::new("description", &suite.description)?,
            question: Template::new("doc_to_text", &suite.doc_to_text)?,
            messages: optional("doc_to_messages", &suite.doc_to_messages)?,
            tools: optional("doc_to_tools", &suite.doc_to_tools)?,
            target: Template::new("doc_to_target", &suite.doc_to_target)?,
            group: optional("doc_to_group", &suite.doc_to_group)?,
            cluster: optional("doc_to_cluster", &suite.doc_to_cluster)?,
        })
    }

    /// As lm-eval has it: one text, or, in a chat, its parts as messages (`fewshot_as_multiturn`).
    fn prompt(&self, description: &str, examples: &[(String, String)], question: Vec<Message>) -> Prompt {
        if self.suite.chat {
            let system = Some(description).filter(|text| !text.trim().is_empty());
            let system = system.map(|content| Message::new("system", content));
            let turns = examples
                .iter()
                .flat_map(|(question, answer)| [("user", question.clone()), ("assistant", answer.clone())])
                .map(|(role, content)| Message::new(role, content));
            return Prompt::Chat(system.into_iter().chain(turns).chain(question).collect());
        }
        let question: String = question.into_iter().map(|message| message.content).collect();
        let suite = self.suite;
        let header: String = examples
            .iter()
            .flat_map(|(question, answer)| {
                [question.as_str(), &suite.target_delimiter, answer, &suite.fewshot_delimiter]
            })
            .collect();
        Prompt::Raw(format!("{description}{header}{question}"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::rows::Row;

    const TABLE: &str = r#"
        doc_to_id = "{{ q }}"
        doc_to_text = "Q: {{ q }}\nA:"
        doc_to_target = "{{ a }}"
        fewshot = 1
    "#;

    fn suite(more: &str) -> GenerateSuite {
        toml::from_str(&format!("{TABLE}{more}")).expect("parses")
    }

    fn items(suite: &GenerateSuite) -> Vec<GenerateItem> {
        let row = |(line, value)| Row { line, value };
        let rows = [(1, json!({"q": "1+1", "a": 2})), (2, json!({"q": "2+2", "a": 4}))].map(row);
        generate_items(Data { path: Path::new("d.jsonl"), rows: &rows }, None, suite).expect("rendered")
    }

    #[test]
    fn prompts_are_one_text_or_turns() {
        let raw = items(&suite("description = \"Sums.\\n\""));
        assert_eq!(raw.len(), 1);
        assert_eq!(raw[0].prompt, Prompt::Raw("Sums.\nQ: 2+2\nA: 4\n\nQ: 1+1\nA:".to_owned()));
        assert_eq!((raw[0].id.as_str(), raw[0].reference.as_str()), ("1+1", "2"));
        let chat = items(&suite("chat = true\ndescription = \"Sums.\""));
        let Prompt::Chat(messages) = &chat[0].prompt else { panic!("{chat:?}") };
        let shown: Vec<_> = messages.iter().map(|m| (m.role.as_str(), m.content.as_str())).collect();
        let turns = [("system", "Sums."), ("user", "Q: 2+2\nA:"), ("assistant", "4"), ("user", "Q: 1+1\nA:")];
        assert_eq!(shown, turns);
    }

    #[test]
    fn what_stands_around_a_program_is_its_reference() {
        let code = "measure = \"code\"\nexecute = { before = \"{{ q }}\\n\", after = \"\\ncheck({{ a }})\" }";
        let suite = suite(code);
        suite.check().expect("sound");
        assert_eq!(suite.metrics(), ["pass@1", "well_formed"]);
        let items = items(&suite);
        let expected = Around { before: "1+1\n".to_owned(), after: "\ncheck(2)".to_owned() };
        assert_eq!(serde_json::from_str::<Around>(&items[0].reference).expect("read"), expected);
        assert_eq!(items[0].prompt, Prompt::Raw("Q: 2+2\nA: 4\n\nQ: 1+1\nA:".to_owned()));
    }

    #[test]
    fn thinking_is_on_off_or_a_budget_and_told_to_the_template() {
        for (text, thinking, told) in [
            ("\"on\"", Thinking::On, true),
            ("\"off\"", Thinking::Off, false),
            ("64", Thinking::Budget(64), true),
        ] {
            let suite = suite(&format!("chat = true\nthinking = {text}"));
            assert_eq!(suite.thinking, Some(thinking));
            assert_eq!(suite.template_args(), BTreeMap::from([("enable_thinking".to_owned(), told.into())]));
            suite.check().expect("sound");
            let written = serde_json::to_value(&suite).expect("written");
            assert_eq!(serde_json::from_value::<GenerateSuite>(written).expect("read"), suite);
        }
        assert!(toml::from_str::<GenerateSuite>(&format!("{TABLE}thinking = \"a lot\"")).is_err());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (more, fault) in [
            ("samples = 0", "samples = 0"),
            ("samples = 4", "4 samples, which are all the same"),
            ("parallel = 1000", "parallel = 1000"),
            ("ctx = 256", "a ctx of 256"),
            ("stop = [\"\"]", "an empty text"),
            ("thinking = \"on\"", "only a chat template"),
            ("sampling = { top_p = 0.0 }", "a top_p of 0"),
            ("measure = \"code\"", "without a [generate.execute]"),
            ("execute = { after = \"\" }", "runs nothing"),
            ("measure = \"code\"\nexecute = { after = \"\", pass_at = [2] }", "pass_at = [2]"),
            (
                "measure = \"ifeval\"\nfilter_list = [{ name = \"x\", filter = [] }]",
                "filters, and another measure",
            ),
        ] {
            let (found, _) = suite(more).check().expect_err(more);
            assert!(found.contains(fault), "{found}");
        }
    }
}
