//! What `bitfrontier suites check` does: reads a suite's questions as an evaluation would, and looks for what is wrong
//! with them, row by row. The looking itself is `plan::check`; each way of scoring only has to say what it asks.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde::Serialize;
use tempfile::NamedTempFile;

use crate::error::Error;
use crate::fetch::Cache;
use crate::gguf::{self, Described as _};
use crate::plan::check::{self, Answer, Asked, Finding, Kind, Place};
use crate::plan::conversation;
use crate::plan::corpus::Matter;
use crate::plan::error::PlanError;
use crate::plan::generate::{self, GenerateItem, GenerateSuite};
use crate::plan::items::{ChoiceItem, Data, Rendered, rendered};
use crate::plan::overlap::Known;
use crate::plan::part;
use crate::plan::rows::{self, Row};
use crate::plan::suite::{self, ChoiceSuite, Scoring, Suite};
use crate::run::prepare::Inspector;
use crate::run::{data, haystack};
use crate::worker::protocol::TextFile;

/// Bytes of a token, where there is no vocabulary to count with: those of English.
const BYTES_A_TOKEN: usize = 4;
/// A token has a byte at least, but for those that a vocabulary puts around a text.
const AROUND: usize = 8;

/// What questions are checked with.
pub struct Checker<'a> {
    cache: &'a Cache,
    /// The model whose vocabulary counts tokens, and its context.
    base: Option<(PathBuf, u64)>,
    calibration: Option<Known>,
    interrupted: &'a AtomicBool,
}

/// What was found in a suite.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Checked {
    /// The suite.
    pub suite: String,
    /// Questions looked at, those among the examples too; absent for a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<u64>,
    /// What was not looked at, or only guessed.
    pub notes: Vec<String>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// A suite's questions, whatever the way of scoring.
#[derive(Default)]
struct Questions {
    asked: Vec<Asked>,
    /// What is decoded, with its examples.
    decoded: Vec<Decoded>,
    unusable: Vec<Finding>,
    /// Most tokens of what is decoded.
    ctx: u32,
}

/// The files of a suite.
struct Files {
    questions: Vec<part::Questions>,
    examples: Option<part::Questions>,
}

/// What is decoded for a question.
struct Decoded {
    place: Place,
    text: String,
    /// Tokens that the model writes behind it.
    more: u64,
}

impl<'a> Checker<'a> {
    /// `base` counts tokens, `calibration` is the text that questions must not share passages with.
    pub fn new(
        base: Option<&Path>,
        calibration: Option<&Path>,
        cache: &'a Cache,
        interrupted: &'a AtomicBool,
    ) -> Result<Self, Error> {
        let base = base.map(|path| {
            let context = gguf::open_model(path)?.context_length().unwrap_or(u64::MAX);
            Ok::<_, Error>((path.to_owned(), context))
        });
        let calibration = calibration.map(|path| Ok::<_, Error>(Known::new(&read(path)?)));
        Ok(Self { cache, base: base.transpose()?, calibration: calibration.transpose()?, interrupted })
    }

    /// Checks a suite, by its name or its file.
    pub fn check(&self, name: &str) -> Result<Checked, Error> {
        let mut suite = suite::parse(&suite::find(name, "suites check")?)?;
        match &self.base {
            Some((model, _)) => haystack::settle_for(&mut suite, model, self.cache, self.interrupted)?,
            None if suite.haystack.is_some() => return Err(made_for_a_model(&suite)),
            None => {}
        }
        let questions = match &suite.scoring {
            Scoring::Text(_) => return self.texts(suite),
            Scoring::Choice(choice) => choices(&self.files(&suite)?, choice)?,
            Scoring::Generate(generate) => prompts(&self.files(&suite)?, generate)?,
        };
        let mut notes = Vec::new();
        let mut findings = questions.unusable;
        findings.extend(check::questions(&questions.asked));
        findings.extend(self.too_long(&questions.decoded, questions.ctx, &mut notes)?);
        match &self.calibration {
            Some(known) => findings.extend(check::overlaps(&questions.asked, known)),
            None => notes.push("--calibration FILE looks for passages of a calibration text".to_owned()),
        }
        Ok(Checked { suite: suite.name, items: Some(questions.asked.len() as u64), notes, findings })
    }

    /// The questions' files, and the examples' if they have one.
    fn files(&self, suite: &Suite) -> Result<Files, Error> {
        let (files, examples) = data::question_files(suite, self.cache, self.interrupted)?;
        let questions = part::read(&suite.parts, &files)?;
        let rows = examples.as_deref().map(rows::read).transpose()?;
        Ok(Files {
            questions,
            examples: examples.zip(rows).map(|(path, rows)| part::Questions { path, rows }),
        })
    }

    /// Of texts only what they share with the calibration text can be wrong.
    fn texts(&self, suite: Suite) -> Result<Checked, Error> {
        let mut findings = Vec::new();
        for corpus in &suite.corpora {
            let (Matter::Text(places) | Matter::Chat(places)) = &corpus.matter else { continue };
            let text = read(&data::locate(&suite, places, self.cache, false)?)?;
            let Some(found) = self.calibration.as_ref().map(|known| known.overlap(&text)) else { continue };
            if let Some(example) = found.example.as_ref().filter(|_| found.is_overlap()) {
                let of =
                    if corpus.name.is_empty() { "it".to_owned() } else { format!("corpus {}", corpus.name) };
                let message = format!("{:.1}% of {of}, such as \"{example}\"", 100.0 * found.share());
                findings.push(Finding::of_all(Kind::Overlap, message));
            }
        }
        let note = "a text, of which only passages of a calibration text are looked for: --calibration FILE";
        let notes = if self.calibration.is_none() { vec![note.to_owned()] } else { Vec::new() };
        Ok(Checked { suite: suite.name, items: None, notes, findings })
    }

    /// Questions that lose their beginning, or have no room for an answer.
    fn too_long(
        &self,
        decoded: &[Decoded],
        ctx: u32,
        notes: &mut Vec<String>,
    ) -> Result<Vec<Finding>, Error> {
        let most = self.base.as_ref().map_or(u64::MAX, |(_, context)| *context).min(u64::from(ctx));
        let (counts, about) = if let Some((model, _)) = &self.base {
            (self.counts(model, decoded, most)?, "")
        } else {
            notes.push(format!(
                "tokens are guessed, one for {BYTES_A_TOKEN} bytes; --base MODEL counts those of its vocabulary"
            ));
            (decoded.iter().map(|one| (one.text.len() / BYTES_A_TOKEN) as u64).collect(), "about ")
        };
        let long = decoded.iter().zip(counts).filter_map(|(one, tokens)| {
            let tokens = tokens + one.more;
            let message = || format!("{about}{tokens} tokens, and the context has {most}");
            (tokens > most).then(|| Finding::of(Kind::TooLong, &one.place, message()))
        });
        Ok(long.collect())
    }

    /// Tokens of each, or its bytes where these already say that it fits.
    fn counts(&self, model: &Path, decoded: &[Decoded], most: u64) -> Result<Vec<u64>, Error> {
        let io = |source| Error::Io { path: std::env::temp_dir(), source };
        let folder = tempfile::tempdir().map_err(io)?;
        let may_be_long = |one: &&Decoded| (one.text.len() + AROUND) as u64 + one.more > most;
        let mut files = Vec::new();
        for (i, one) in decoded.iter().filter(may_be_long).enumerate() {
            let path = folder.path().join(i.to_string());
            fs::write(&path, &one.text).map_err(io)?;
            files.push(TextFile::plain(path));
        }
        let mut counted = Vec::new();
        if !files.is_empty() {
            let log = NamedTempFile::new().map_err(io)?;
            counted = Inspector::start(log.path(), model, self.interrupted)?.count(files)?;
        }
        let mut counted = counted.into_iter();
        let count = |one: &Decoded| {
            let bytes = one.text.len() as u64;
            if may_be_long(&one) { counted.next().unwrap_or(bytes) } else { bytes }
        };
        Ok(decoded.iter().map(count).collect())
    }
}

fn made_for_a_model(suite: &Suite) -> Error {
    Error::Refused {
        reason: format!("the questions of suite {} are made for a model's vocabulary", suite.name),
        hint: Some("name the model with --base MODEL".to_owned()),
    }
}

/// What a multiple-choice suite asks.
fn choices(files: &Files, suite: &ChoiceSuite) -> Result<Questions, Error> {
    let alone = ChoiceSuite { fewshot: 0, ..suite.clone() };
    let questions = Questions { ctx: suite.ctx, ..Questions::default() };
    questions.read(
        files,
        |data| rendered(data, None, &alone),
        |data, examples| rendered(data, examples, suite),
        |line, item| {
            let one = asked(line, item);
            let fault = fault(&one, suite.only);
            (one, fault)
        },
        |place, item| Decoded { place, text: item.longest(), more: 0 },
    )
}

/// What a suite asks whose answers are written. An answer has to fit behind its prompt.
fn prompts(files: &Files, suite: &GenerateSuite) -> Result<Questions, Error> {
    let alone = GenerateSuite { fewshot: 0, ..suite.clone() };
    // The same words are another question where there are other tools.
    let read = |item: &GenerateItem, between: &str| {
        let tools = suite.doc_to_tools.as_ref().map(|_| conversation::tools(&item.reference));
        let texts = item.prompt.texts();
        texts.into_iter().chain(tools.as_deref()).collect::<Vec<_>>().join(between)
    };
    let more = u64::from(suite.tokens);
    let questions = Questions { ctx: suite.ctx, ..Questions::default() };
    questions.read(
        files,
        |data| generate::rendered(data, None, &alone),
        |data, examples| generate::rendered(data, examples, suite),
        |line, item| {
            let prompt = read(&item, "\n");
            let place = Place { line, id: item.id };
            (Asked { place, prompt, answer: Answer::Reference(item.reference) }, None)
        },
        |place, item| Decoded { place, text: read(&item, ""), more },
    )
}

impl Questions {
    /// Reads a suite's rows. They are rendered twice: alone, because examples are part of no question, and as they are
    /// evaluated. `asked` says what is asked and what makes that unusable.
    fn read<I>(
        mut self,
        files: &Files,
        alone: impl Fn(Data<'_>) -> Result<Vec<Rendered<I>>, PlanError>,
        evaluated: impl Fn(Data<'_>, Option<Data<'_>>) -> Result<Vec<Rendered<I>>, PlanError>,
        asked: impl Fn(usize, I) -> (Asked, Option<String>),
        decoded: impl Fn(Place, I) -> Decoded,
    ) -> Result<Self, Error> {
        let shown = files.examples.as_ref().map(part::Questions::data);
        for file in &files.questions {
            let mut wrong = BTreeSet::new();
            let mut places = BTreeMap::new();
            for (line, item) in alone(file.data())? {
                let fault = match item {
                    Ok(item) => {
                        let (one, fault) = asked(line, item);
                        let fault = fault.map(|fault| Finding::of(Kind::Unusable, &one.place, fault));
                        // What is left out moves the positions of what follows, and these may be its id.
                        places.insert(line, one.place.clone());
                        self.asked.push(one);
                        fault
                    }
                    Err(error) => Some(unusable(line, &error)),
                };
                if let Some(fault) = fault {
                    wrong.insert(line);
                    self.unusable.push(fault);
                }
            }
            let sound: Vec<Row> =
                file.rows.iter().filter(|row| !wrong.contains(&row.line)).cloned().collect();
            for (line, item) in evaluated(Data { path: &file.path, rows: &sound }, shown)? {
                match item {
                    Ok(item) => {
                        // Every sound row was rendered alone before.
                        let place = places.get(&line).cloned().unwrap_or(Place { line, id: String::new() });
                        self.decoded.push(decoded(place, item));
                    }
                    Err(error) => self.unusable.push(unusable(line, &error)),
                }
            }
        }
        Ok(self)
    }
}

fn asked(line: usize, item: ChoiceItem) -> Asked {
    let ChoiceItem { context, continuation, choices, answer, id, .. } = item;
    let prompt = continuation.map_or(context.clone(), |end| format!("{context} ... {}", end.trim()));
    let answer = Answer::Choice { choices, right: answer as usize };
    Asked { place: Place { line, id }, prompt, answer }
}

/// Why a choice suite refuses what it could render.
fn fault(one: &Asked, only: bool) -> Option<String> {
    let Answer::Choice { choices, .. } = &one.answer else { return None };
    ChoiceItem { choices: choices.clone(), ..ChoiceItem::default() }.fault(only)
}

fn unusable(line: usize, error: &PlanError) -> Finding {
    let message = match error {
        PlanError::Data { message, .. } | PlanError::Row { message, .. } => message.clone(),
        other => other.to_string(),
    };
    Finding::of(Kind::Unusable, &Place { line, id: String::new() }, message)
}

fn read(path: &Path) -> Result<String, Error> {
    let bytes = fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

impl Checked {
    /// For people.
    pub fn text(&self) -> String {
        let items = self.items.map_or(String::new(), |items| format!("{items} questions, "));
        let found = match self.findings.len() {
            0 => "nothing found".to_owned(),
            n => format!("{n} found"),
        };
        let mut text = format!("{}: {items}{found}\n{}", self.suite, check::listed(&self.findings));
        for note in &self.notes {
            text.extend(["  (", note, ")\n"]);
        }
        text
    }
}
