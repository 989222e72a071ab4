//! Items whose answers the model writes: their prompts become tokens, each sample an answer, and an item's answers a
//! grade. The thought in front of an answer is kept in the record and not graded.

use std::collections::BTreeMap;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::answers::grade::{Graded, Grader};
use crate::answers::thought;
use crate::llama::ffi::{ContextOptions, Token};
use crate::llama::model::{LlamaError, Model};
use crate::plan::generate::{self, GenerateItem, GenerateSuite, Prompt};
use crate::score::generate::{Answer, Ask, Generator, Room, Style, Thinking, Written, alike};
use crate::score::item::{GeneratedAnswer, GeneratedScore, ItemScore};
use crate::score::lengths::{self, Class};

/// Written behind a thought that has spent its budget, the closing tag between.
const FORCED: [&str; 2] = ["\n", "\n\n"];
/// How long a grade may take before there is a sign of life.
const PATIENCE: Duration = Duration::from_millis(500);

/// An item with its prompt as the model sees it.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    /// The item.
    pub item: &'a GenerateItem,
    /// The prompt; of a chat, as the template renders it.
    pub prompt: String,
}

/// A question in tokens.
struct Tokenised<'a> {
    question: &'a Question<'a>,
    tokens: Vec<Token>,
    /// Its answers so far.
    answers: BTreeMap<u32, Answer>,
}

/// What a list of questions has cost.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spent {
    /// Seconds within `llama_decode`.
    pub decode_s: f64,
    /// Tokens decoded.
    pub tokens_decoded: u64,
    /// Tokens that prompts and answers have, nothing shared.
    pub tokens_naive: u64,
}

/// What a run of questions tells.
#[derive(Debug)]
pub enum Told<'a> {
    /// A step is done: a sign of life.
    Step,
    /// An item is scored.
    Item(&'a GenerateItem, Box<ItemScore>),
}

/// Asks all questions. What is wrong with one is its score; only llama.cpp's errors and those of `told` end the trial.
/// `longest` is the most tokens that a prompt and its answer may have; `shows_special` whether special tokens are part
/// of an answer's text; `free` the memory there is for a KV cache; `until` when no
/// other question is begun.
pub fn answer_all<E: From<LlamaError>>(
    model: &Model,
    template: ContextOptions,
    suite: &GenerateSuite,
    questions: &[Question<'_>],
    (longest, shows_special, free, until): (usize, bool, Option<u64>, Option<Instant>),
    grader: &Grader,
    told: &mut dyn FnMut(Told<'_>) -> Result<(), E>,
) -> Result<Spent, E> {
    let mut asked = Vec::with_capacity(questions.len());
    for question in questions {
        let tokens = match &question.item.prompt {
            Prompt::Raw(_) => model.tokenize(&question.prompt)?,
            Prompt::Chat(_) => model.tokenize_rendered(&question.prompt)?,
        };
        match unfit(tokens.len(), suite, longest) {
            Some(reason) => told(Told::Item(question.item, Box::new(ItemScore::Failed { reason })))?,
            None => asked.push(Tokenised { question, tokens, answers: BTreeMap::new() }),
        }
    }
    let style = style(model, suite, shows_special)?;
    let mut spent = Spent::default();
    let samples = suite.samples as usize;
    let needs: Vec<(usize, usize)> =
        asked.iter().map(|one| (one.tokens.len(), one.tokens.len() + style.most)).collect();
    // Programs take a while to run: answers are graded while others are still written.
    thread::scope(|scope| {
        let (finished, ungraded) = channel::<Tokenised<'_>>();
        let (done, scores) = channel();
        scope.spawn(move || {
            for question in ungraded {
                let score = Box::new(question.score(suite, grader));
                if done.send((question.question.item, score)).is_err() {
                    return;
                }
            }
        });
        for class in lengths::classes(&needs, model.context_length(), suite.parallel) {
            let members = || class.members.iter().filter_map(|index| asked.get(*index));
            let asks: Vec<Ask> = members().flat_map(|question| question.asks(suite)).collect();
            let mut generator = match generator(model, &asks, suite, &class, template, free)? {
                Ok(generator) => generator,
                Err(reason) => {
                    for question in members() {
                        let failed = ItemScore::Failed { reason: reason.clone() };
                        told(Told::Item(question.question.item, Box::new(failed)))?;
                    }
                    continue;
                }
            };
            generator.until = until;
            generator.write(&asks, &style, |written| {
                while let Ok((item, score)) = scores.try_recv() {
                    told(Told::Item(item, score))?;
                }
                let Written::Answer(answer) = written else { return told(Told::Step) };
                // Prompts are in the order of their items, all samples of one together.
                let question =
                    class.members.get(answer.index / samples).and_then(|index| asked.get_mut(*index));
                let Some(question) = question else { return Ok(()) };
                spent.tokens_naive += question.tokens.len() as u64 + answer.tokens;
                question.answers.insert((answer.index % samples) as u32, answer);
                if question.answers.len() == samples {
                    // Both ends live as long as this scope.
                    let _ = finished.send(question.taken());
                }
                Ok::<(), E>(())
            })?;
            spent.decode_s += generator.context.decode_s;
            spent.tokens_decoded += generator.context.tokens_decoded;
        }
        drop(finished);
        loop {
            match scores.recv_timeout(PATIENCE) {
                Ok((item, score)) => told(Told::Item(item, score))?,
                Err(RecvTimeoutError::Timeout) => told(Told::Step)?,
                Err(RecvTimeoutError::Disconnected) => return Ok::<(), E>(()),
            }
        }
    })?;
    Ok(spent)
}

/// What writes the answers to prompts of one length, or why no context can be made for them.
fn generator<'model>(
    model: &'model Model,
    asks: &[Ask],
    suite: &GenerateSuite,
    class: &Class,
    template: ContextOptions,
    free: Option<u64>,
) -> Result<Result<Generator<'model>, String>, LlamaError> {
    let needs = asks.iter().map(|ask| ask.tokens.len() + suite.tokens as usize).collect();
    let room = Room::of(needs, class.together, alike(asks));
    let yarn_from = class.stretched.map(|_| model.context_length());
    let template = ContextOptions { yarn_from, yarn_to: class.stretched, ..template };
    if let Some(reason) = lengths::too_large(model, room.cells(class.together), template, free) {
        return Ok(Err(reason));
    }
    match Generator::new(model, room, class.together, template) {
        // Shorter prompts may well find room.
        Err(error @ LlamaError::Context { .. }) => Ok(Err(error.to_string())),
        other => other.map(Ok),
    }
}

/// Why a prompt cannot be asked, if it cannot.
fn unfit(prompt: usize, suite: &GenerateSuite, longest: usize) -> Option<String> {
    if prompt == 0 {
        return Some("the prompt has no tokens".to_owned());
    }
    let answer = suite.tokens as usize;
    (prompt + answer > longest).then(|| {
        let hint = if longest < suite.ctx as usize { " (hint: --yarn stretches it)" } else { "" };
        format!(
            "a prompt of {prompt} tokens and an answer of {answer} do not fit a context of {longest}{hint}"
        )
    })
}

/// How a suite has answers written. `special`: whether special tokens are part of their text.
pub fn style(model: &Model, suite: &GenerateSuite, special: bool) -> Result<Style, LlamaError> {
    let [open, close] = suite.tags();
    let [before, behind] = FORCED;
    let thinking = match suite.thinking {
        Some(generate::Thinking::Budget(budget)) => Some(Thinking {
            open: open.to_owned(),
            close: close.to_owned(),
            budget: budget as usize,
            forced: model.tokenize_rendered(format!("{before}{close}{behind}"))?,
        }),
        _ => None,
    };
    Ok(Style {
        most: suite.tokens as usize,
        stop: suite.stop.clone(),
        sampling: suite.sampling,
        special,
        thinking,
    })
}

impl Tokenised<'_> {
    fn asks(&self, suite: &GenerateSuite) -> Vec<Ask> {
        let opened = thought::is_open(&self.question.prompt, suite.tags());
        let ask =
            |sample| Ask { item: self.question.item.index, sample, tokens: self.tokens.clone(), opened };
        (0..suite.samples).map(ask).collect()
    }

    /// This question with its answers, which are not needed here any more.
    fn taken(&mut self) -> Self {
        let (tokens, answers) = (std::mem::take(&mut self.tokens), std::mem::take(&mut self.answers));
        Self { question: self.question, tokens, answers }
    }

    fn score(&self, suite: &GenerateSuite, grader: &Grader) -> ItemScore {
        let opened = thought::is_open(&self.question.prompt, suite.tags());
        let bare = |answer: &Answer| thought::without(&answer.text, suite.tags(), opened).to_owned();
        let samples: Vec<String> = self.answers.values().map(bare).collect();
        let item = self.question.item;
        let Graded { grades, extracted, outcomes } = match grader.grade(&item.reference, &samples) {
            Ok(found) => found,
            Err(error) => {
                return ItemScore::Failed { reason: format!("{error} (hint: {})", error.hint()) };
            }
        };
        let answers = self.answers.values().zip(samples).map(|(answer, bare)| GeneratedAnswer {
            graded: Some(bare).filter(|bare| *bare != answer.text),
            output: answer.text.clone(),
            tokens: answer.tokens,
            seconds: answer.seconds,
            stop: answer.stop,
        });
        ItemScore::Generated(Box::new(GeneratedScore {
            prompt: self.question.prompt.clone(),
            prompt_tokens: self.tokens.len() as u64,
            reference: item.reference.clone(),
            answers: answers.collect(),
            extracted,
            outcomes,
            grades,
        }))
    }
}
