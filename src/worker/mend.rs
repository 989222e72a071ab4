//! Plays repositories that are mended with tools: the chat template renders each turn, the model answers, the sandbox
//! runs the tests. What an answer does is told in [`crate::score::agent`].

use std::time::{Duration, Instant};

use super::generate::GenerateError;
use super::memory;
use crate::answers::calls::expected::Reference;
use crate::answers::grade::{Extracted, Grade};
use crate::answers::thought;
use crate::llama::ffi::ContextOptions;
use crate::llama::model::{LlamaError, Model};
use crate::plan::agent::{AgentTable, METRICS, Repository};
use crate::plan::chat::ChatTemplate;
use crate::plan::conversation::Toolbox;
use crate::plan::generate::{GenerateItem, GenerateSuite, Prompt};
use crate::sandbox::job::Files;
use crate::sandbox::{End, Job, Limits, Ran, Sandbox, SandboxError};
use crate::score::agent::{self, Course, Ended, Tested};
use crate::score::answering::{Told, style};
use crate::score::generate::{Answer, Ask, Generator, Room, Written, alike};
use crate::score::item::{GeneratedAnswer, GeneratedScore, ItemScore};
use crate::worker::protocol::{Finished, GenerateWork, SuiteCost};

/// Bytes beside messages that a rendering may have in hand.
const TOOLS: usize = 1 << 20;

/// An item that is being mended.
struct Mended<'a> {
    item: &'a GenerateItem,
    course: Course,
    first_prompt: String,
    prompt_tokens: usize,
    /// Whether the last prompt has begun a thought.
    opened: bool,
    answers: Vec<GeneratedAnswer>,
}

/// All that a turn takes.
struct Bench<'a> {
    model: &'a Model,
    suite: &'a GenerateSuite,
    table: &'a AgentTable,
    toolbox: Toolbox<'a>,
    reference: Reference,
    tools: String,
    sandbox: Sandbox,
    /// Tokens that a course may come to.
    room: usize,
}

/// What ends a trial.
enum Trouble<E> {
    Told(E),
    Sandbox(SandboxError),
}

impl<E: From<LlamaError>> From<LlamaError> for Trouble<E> {
    fn from(error: LlamaError) -> Self {
        Self::Told(error.into())
    }
}

/// Mends all repositories and tells each.
///
/// # Errors
/// If there is no chat template or no sandbox, llama.cpp's errors, and those of `told`.
pub fn mend<E: From<GenerateError> + From<LlamaError>>(
    model: &Model,
    work: &GenerateWork,
    table: &AgentTable,
    (template, longest, until): (ContextOptions, usize, Option<Instant>),
    told: &mut dyn FnMut(Told<'_>) -> Result<(), E>,
) -> Result<Finished, E> {
    let begun = Instant::now();
    let suite = &work.suite;
    let source = work.template.as_deref().ok_or(GenerateError::NoTemplate)?;
    let (bos, eos) = model.bos_and_eos();
    let chat = memory::for_template(TOOLS, || ChatTemplate::new(source, &bos, &eos));
    let chat = chat.map_err(GenerateError::Template)?;
    let args = suite.template_args();
    let tools = agent::reference();
    let bench = Bench {
        model,
        suite,
        table,
        // To see whether it shows tools, the template is run.
        toolbox: memory::for_template(TOOLS, || Toolbox::new(&chat, source, &args, suite.calls)),
        reference: Reference::read(&tools, false).map_err(GenerateError::Grader)?,
        tools,
        sandbox: Sandbox::find(work.unsafe_exec).map_err(GenerateError::sandbox)?,
        room: longest,
    };
    let mut all = Vec::with_capacity(work.items.len());
    let mut asks = Vec::with_capacity(work.items.len());
    for item in &work.items {
        match bench.begin(item) {
            Ok((mended, ask)) => {
                all.push(mended);
                asks.push(ask);
            }
            Err(reason) => told(Told::Item(item, Box::new(ItemScore::Failed { reason })))?,
        }
    }
    let mut cost = SuiteCost::default();
    if !asks.is_empty() {
        let together = suite.parallel.min(asks.len() as u32);
        let room = Room::of(vec![bench.room; asks.len()], together, alike(&asks));
        let mut generator = Generator::new(model, room, together, template)?;
        generator.until = until;
        let style = style(model, suite, true)?;
        let played = generator.converse(
            &asks,
            &style,
            |_| bench.room,
            |written| {
                let Written::Answer(answer) = written else {
                    return told(Told::Step).map(|()| None).map_err(Trouble::Told);
                };
                let Some(mended) = all.get_mut(answer.index) else { return Ok(None) };
                cost.tokens_naive += mended.prompt_tokens as u64 + answer.tokens;
                let next = bench.turn(mended, answer).map_err(Trouble::Sandbox)?;
                if next.is_none() {
                    let score = bench.score(mended).map_err(Trouble::Sandbox)?;
                    told(Told::Item(mended.item, Box::new(score))).map_err(Trouble::Told)?;
                }
                Ok(next)
            },
        );
        played.map_err(|trouble| match trouble {
            Trouble::Told(error) => error,
            Trouble::Sandbox(error) => GenerateError::sandbox(error).into(),
        })?;
        (cost.decode_s, cost.tokens_decoded) = (generator.context.decode_s, generator.context.tokens_decoded);
    }
    cost.wall_s = begun.elapsed().as_secs_f64();
    Ok(Finished::Items(cost))
}

impl Bench<'_> {
    /// The first prompt; or why the item cannot be asked.
    fn begin<'a>(&self, item: &'a GenerateItem) -> Result<(Mended<'a>, Ask), String> {
        let Prompt::Chat(messages) = &item.prompt else { return Err("it is no conversation".to_owned()) };
        let repository = Repository::of(&item.reference)?;
        let (turns, chars) = (self.table.turns, self.table.result_chars as usize);
        let mut mended = Mended {
            item,
            course: Course::new(repository, messages.clone(), turns, chars),
            first_prompt: String::new(),
            prompt_tokens: 0,
            opened: false,
            answers: Vec::new(),
        };
        let (prompt, ask) = self
            .ask(&mut mended)
            .map_err(|why| format!("the base's chat template cannot render it: {why}"))?;
        mended.first_prompt = prompt;
        match ask {
            Some(ask) => Ok((mended, ask)),
            None => Err(format!(
                "a prompt of {} tokens and an answer of {} do not fit a context of {}",
                mended.prompt_tokens, self.suite.tokens, self.room
            )),
        }
    }

    /// The next prompt, and, if it fits with its answer, what is asked.
    fn ask(&self, mended: &mut Mended<'_>) -> Result<(String, Option<Ask>), String> {
        let messages = &mended.course.messages;
        let bytes: usize = messages.iter().map(|message| message.content.len()).sum();
        let prompt = memory::for_template(bytes + TOOLS, || self.toolbox.prompt(messages, &self.tools))?;
        let tokens = self.model.tokenize_rendered(&prompt).map_err(|error| error.to_string())?;
        mended.prompt_tokens = tokens.len();
        mended.opened = thought::is_open(&prompt, self.suite.tags());
        let fits = !tokens.is_empty() && tokens.len() + self.suite.tokens as usize <= self.room;
        // Each turn draws with random numbers of its own.
        let (item, sample) = (mended.item.index, mended.answers.len() as u32);
        let ask = Ask { item, sample, tokens, opened: mended.opened };
        Ok((prompt, fits.then_some(ask)))
    }

    /// Takes an answer in; what is asked next, if it goes on.
    fn turn(&self, mended: &mut Mended<'_>, answer: Answer) -> Result<Option<Ask>, SandboxError> {
        let bare = thought::without(&answer.text, self.suite.tags(), mended.opened).to_owned();
        let format = self.toolbox.format;
        mended.course.take(&bare, format, &self.reference, &mut |repository| self.test(repository))?;
        mended.answers.push(GeneratedAnswer {
            graded: Some(bare).filter(|bare| *bare != answer.text),
            output: answer.text,
            tokens: answer.tokens,
            seconds: answer.seconds,
            stop: answer.stop,
        });
        if mended.course.ended.is_some() {
            return Ok(None);
        }
        // A conversation that can be rendered no more has come to its end like one that is too long.
        let next = self.ask(mended).ok().and_then(|(_, ask)| ask);
        if next.is_none() {
            mended.course.ended = Some(Ended::Context);
        }
        Ok(next)
    }

    /// Runs the tests.
    fn test(&self, repository: &Repository) -> Result<Tested, SandboxError> {
        let table = self.table;
        let seconds = Duration::from_secs(u64::from(table.seconds));
        let ran = self.sandbox.run(&Job {
            files: repository
                .all()
                .map(|(path, text)| (path.clone(), text.as_str().into()))
                .collect::<Files>(),
            argv: table.command.clone(),
            stdin: Vec::new().into(),
            limits: Limits {
                cpu: seconds,
                wall: seconds * 4,
                memory: table.memory_bytes,
                ..Limits::default()
            },
            keep: false,
        })?;
        Ok(Tested { pass: ran.end == End::Exited(0), said: said(&ran) })
    }

    /// What it came to. Tests that the model has not seen pass may pass all the same.
    fn score(&self, mended: &mut Mended<'_>) -> Result<ItemScore, SandboxError> {
        let course = &mended.course;
        let solved = course.ended == Some(Ended::Passed) || self.test(course.repository())?.pass;
        let answers = std::mem::take(&mut mended.answers);
        let whole = |yes: bool| f64::from(u8::from(yes));
        let values: [(f64, f64); METRICS.len()] = [
            (whole(solved), 1.0),
            (course.invalid as f64, course.calls as f64),
            (whole(course.ended == Some(Ended::Circle)), 1.0),
            (answers.len() as f64, 1.0),
            (answers.iter().map(|answer| answer.tokens as f64).sum(), 1.0),
        ];
        let grades = METRICS.iter().zip(values);
        let grades = grades.map(|(metric, (right, of))| Grade { metric: (*metric).to_owned(), right, of });
        let ended = course.ended.map_or("", Ended::word).to_owned();
        let named = |filter: &str, answers: Vec<String>| Extracted { filter: filter.to_owned(), answers };
        Ok(ItemScore::Generated(Box::new(GeneratedScore {
            prompt: std::mem::take(&mut mended.first_prompt),
            prompt_tokens: mended.prompt_tokens as u64,
            reference: mended.item.reference.clone(),
            extracted: vec![named("ended", vec![ended]), named("tools", course.results.clone())],
            grades: grades.collect(),
            answers,
            outcomes: Vec::new(),
        })))
    }
}

/// What a run of the tests said, for the model.
fn said(ran: &Ran) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let end = match ran.end {
        End::Exited(_) => String::new(),
        End::Signalled(number) => format!("ended by signal {number}"),
        End::TimedOut => "stopped: it took too long".to_owned(),
        End::OutOfMemory => "stopped: it took too much memory".to_owned(),
        End::TooManyProcesses => "stopped: it started too many processes".to_owned(),
    };
    let parts = [text(&ran.stdout.0), text(&ran.stderr.0), end];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}
