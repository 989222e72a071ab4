//! Writes answers: many prompts at once, each a sequence of its own. A prompt is taken in as soon as another answer
//! ends (continuous batching); what all prompts begin with alike, such as a few-shot header, is decoded once and
//! shared. An answer ends with the model's own end, at a stop string, or at its most tokens. A conversation goes on in
//! its own sequence: of its next prompt only what the cache does not hold yet is decoded.
//!
//! Short prompts share one buffer, in which a header lies once. Every token is then held against all cells of all
//! answers, though, which long prompts pay for: they have a stream each, and a header is copied to it.
//!
//! Logits move in their last digits with the shape of a batch, so that an answer may depend, at near-ties, on what is
//! written beside it. One answer at a time (`together` = 1) is free of that.

use std::collections::VecDeque;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::llama::context::Context;
use crate::llama::ffi::{Batch, ContextOptions, Token};
use crate::llama::model::{LlamaError, Model};
use crate::plan::generate::Sampling;
use crate::score::prefix_tree::common;
use crate::score::sampler::Sampler;

/// Most tokens of one decode; llama.cpp's default.
const PIECE: usize = 512;
/// The sequence of what all prompts begin with.
const HEADER: i32 = 0;
/// Cells are counted out in steps of so many, as llama.cpp pads them.
const CELLS: usize = 256;
/// Prompts and answers of so many tokens of their own do better with a stream each.
const LONG: usize = 1024;

/// A prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Number of the item, for the random numbers of its answer.
    pub item: u64,
    /// Which of its samples.
    pub sample: u32,
    /// Its tokens; at least one.
    pub tokens: Vec<Token>,
    /// Whether it has begun a thought.
    pub opened: bool,
}

/// How answers are written.
#[derive(Debug, Clone, PartialEq)]
pub struct Style {
    /// Most tokens of an answer.
    pub most: usize,
    /// An answer ends before any of these.
    pub stop: Vec<String>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Whether special tokens are part of the text.
    pub special: bool,
    /// Where thinking ends when its budget is spent.
    pub thinking: Option<Thinking>,
}

/// A budget of thinking: when that many tokens stand behind `open` without a `close`, `forced` is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thinking {
    /// Such as `<think>`.
    pub open: String,
    /// Such as `</think>`.
    pub close: String,
    /// Tokens.
    pub budget: usize,
    /// Tokens that close it.
    pub forced: Vec<Token>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// The model ended it.
    End,
    /// A stop string was about to be part of it.
    String,
    /// It has its most tokens.
    Length,
}

/// What was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Position of its prompt in the list.
    pub index: usize,
    /// The text, without the stop string.
    pub text: String,
    /// Tokens written, those of the stop string and of the end included.
    pub tokens: u64,
    /// Why it ended.
    pub stop: Stop,
    /// Seconds from its first decode to its last, others beside it.
    pub seconds: f64,
}

/// What is told while answers are written.
#[derive(Debug, Clone, PartialEq)]
pub enum Written {
    /// Each answer is a token longer, or prompts are further in.
    Step,
    /// An answer has ended.
    Answer(Answer),
}

/// An answer that is being written.
#[derive(Debug)]
struct Running {
    index: usize,
    sampler: Sampler,
    /// Tokens that are not decoded yet: of the prompt, then the last one chosen.
    ahead: VecDeque<Token>,
    /// Tokens that its sequence holds.
    held: Vec<Token>,
    bytes: Vec<u8>,
    written: usize,
    thought: Thought,
    forced: VecDeque<Token>,
    begun: Instant,
}

/// How far thinking has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Thought {
    NotBegun,
    /// Tokens written since it began.
    Since(usize),
    Over,
}

/// Writes answers with one context.
#[derive(Debug)]
pub struct Generator<'model> {
    model: &'model Model,
    /// Where they are decoded.
    pub context: Context<'model>,
    /// From when on no other prompt is taken in.
    pub until: Option<Instant>,
    room: Room,
    together: usize,
}

/// Where the tokens of prompts and answers are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// So many cells for all.
    Shared(u32),
    /// So many cells for each, and as many for what all begin with.
    Streams(u32),
}

impl Room {
    /// For prompts and answers that come to these numbers of tokens, `together` at once, which begin alike for `alike`
    /// tokens. Cells are for the longest that can meet.
    pub fn of(mut needs: Vec<usize>, together: u32, alike: usize) -> Self {
        needs.sort_unstable_by(|a, b| b.cmp(a));
        let longest = needs.first().copied().unwrap_or(0);
        let cells = |tokens: usize| u32::try_from(tokens).unwrap_or(u32::MAX);
        if together > 1 && longest.saturating_sub(alike) >= LONG {
            return Self::Streams(cells(longest));
        }
        // The header has cells of its own beside them; one at a time holds it in its own.
        let most = if together > 1 { together as usize + 1 } else { 1 };
        let sum: usize = needs.iter().take(most).sum();
        Self::Shared(cells(sum.next_multiple_of(CELLS)))
    }

    /// Cells in all.
    pub fn cells(self, together: u32) -> u32 {
        match self {
            Self::Shared(cells) => cells,
            Self::Streams(each) => each.saturating_mul(together.saturating_add(1)),
        }
    }

    /// Most tokens that a prompt and its answer may have.
    fn longest(self) -> usize {
        match self {
            Self::Shared(cells) | Self::Streams(cells) => cells as usize,
        }
    }
}

/// What all prompts begin with, but for the last token of each: the number of its tokens.
pub fn alike(asks: &[Ask]) -> usize {
    let Some((first, rest)) = asks.split_first() else { return 0 };
    let ends = asks.iter().map(|ask| ask.tokens.len().saturating_sub(1)).min().unwrap_or(0);
    rest.iter().map(|ask| common(&first.tokens, &ask.tokens)).min().unwrap_or(0).min(ends)
}

/// How the context is shaped: room for `together` answers at once.
pub fn context_options(room: Room, together: u32, template: ContextOptions) -> ContextOptions {
    let cells = room.cells(together);
    let piece = cells.min(PIECE as u32);
    ContextOptions {
        n_ctx: cells,
        n_batch: piece,
        n_ubatch: piece,
        n_seq_max: together + 1,
        kv_unified: matches!(room, Room::Shared(_)),
        n_outputs_max: together.min(piece),
        ..template
    }
}

impl<'model> Generator<'model> {
    /// Makes the context. `together` is at most 255.
    pub fn new(
        model: &'model Model,
        room: Room,
        together: u32,
        template: ContextOptions,
    ) -> Result<Self, LlamaError> {
        let together = together.clamp(1, 255);
        let context = Context::new(model, context_options(room, together, template))?;
        Ok(Self { model, context, until: None, room, together: together as usize })
    }

    /// Whether a prompt fits with its answer.
    pub fn fits(&self, ask: &Ask, style: &Style) -> bool {
        !ask.tokens.is_empty() && ask.tokens.len() + style.most <= self.room.longest()
    }

    /// Writes an answer to every prompt and hands each over as it ends. Prompts must fit.
    pub fn write<E: From<LlamaError>>(
        &mut self,
        asks: &[Ask],
        style: &Style,
        mut told: impl FnMut(Written) -> Result<(), E>,
    ) -> Result<(), E> {
        let room = |ask: &Ask| ask.tokens.len() + style.most;
        self.converse(asks, style, room, |written| told(written).map(|()| None))
    }

    /// Writes an answer to every prompt, and to each that `told` has follow it in the same conversation. `room` is how
    /// many tokens a conversation may come to, all its turns together, which `told` has to keep to.
    pub fn converse<E: From<LlamaError>>(
        &mut self,
        asks: &[Ask],
        style: &Style,
        room: impl Fn(&Ask) -> usize,
        mut told: impl FnMut(Written) -> Result<Option<Ask>, E>,
    ) -> Result<(), E> {
        let shared = self.header(asks)?;
        let mut waiting: VecDeque<usize> = (0..asks.len()).collect();
        let mut slots: Vec<Option<Running>> = (0..self.together).map(|_| None).collect();
        loop {
            self.admit(asks, &room, style, shared, &mut waiting, &mut slots);
            // The first are taken in whatever the time, so that every invocation comes further.
            if self.until.is_some_and(|until| Instant::now() >= until) {
                waiting.clear();
            }
            let Some(rows) = self.step(&mut slots)? else { return Ok(()) };
            told(Written::Step)?;
            for (slot, row) in rows {
                let Some(running) = slots.get_mut(slot).and_then(Option::as_mut) else { continue };
                let logits = self.context.logits(row)?;
                let Some(answer) = running.go_on(self.model, style, logits)? else { continue };
                let (index, held) = (answer.index, std::mem::take(&mut running.held));
                let next = told(Written::Answer(answer))?;
                let kept = self.keep(sequence(slot), &held, next.as_ref());
                if let Some(place) = slots.get_mut(slot) {
                    *place = next.map(|ask| Running::new(index, &ask, style, kept));
                }
            }
        }
    }

    /// Decodes what all prompts begin with, but for their last tokens. Returns its length.
    fn header(&mut self, asks: &[Ask]) -> Result<usize, LlamaError> {
        self.context.clear();
        let Some(first) = asks.first() else { return Ok(0) };
        let alike = alike(asks);
        // A state of a recurrent model can be copied as a whole, which a header of one length is.
        for (number, piece) in first.tokens.get(..alike).unwrap_or_default().chunks(PIECE).enumerate() {
            let mut batch = Batch::default();
            for (place, token) in piece.iter().enumerate() {
                batch.push(*token, position(number * PIECE + place), &[HEADER], false);
            }
            self.context.decode(&batch)?;
        }
        Ok(alike)
    }

    /// Keeps what a sequence holds of the next prompt, and forgets the rest. Returns how many tokens that is.
    fn keep(&mut self, sequence: i32, held: &[Token], next: Option<&Ask>) -> usize {
        // The last token of a prompt is decoded for its logits.
        let kept = next.map_or(0, |ask| common(held, &ask.tokens).min(ask.tokens.len().saturating_sub(1)));
        if self.context.cut(sequence, position(kept)) {
            return kept;
        }
        // A recurrent state cannot be cut.
        self.context.cut(sequence, 0);
        0
    }

    /// Gives free places to prompts as long as there is room for them and the longest answers to them.
    fn admit(
        &mut self,
        asks: &[Ask],
        room: &impl Fn(&Ask) -> usize,
        style: &Style,
        shared: usize,
        waiting: &mut VecDeque<usize>,
        slots: &mut [Option<Running>],
    ) {
        let need = |index: usize| asks.get(index).map_or(0, |ask| room(ask) - shared);
        let taken: usize = slots.iter().flatten().map(|running| need(running.index)).sum();
        let mut free = match self.room {
            Room::Shared(cells) => (cells as usize).saturating_sub(shared + taken),
            // A free place is a free stream.
            Room::Streams(_) => usize::MAX,
        };
        for (slot, place) in slots.iter_mut().enumerate().filter(|(_, place)| place.is_none()) {
            let Some(index) = waiting.front().copied().filter(|index| need(*index) <= free) else { return };
            let Some(ask) = asks.get(index) else { return };
            waiting.pop_front();
            free = free.saturating_sub(need(index));
            if shared > 0 {
                self.context.copy(HEADER, sequence(slot));
            }
            *place = Some(Running::new(index, ask, style, shared));
        }
    }

    /// Decodes a token of every answer, and of prompts as much as there is room for. Returns the rows of logits by
    /// place, or nothing if nothing is left to do.
    fn step(&mut self, slots: &mut [Option<Running>]) -> Result<Option<Vec<(usize, usize)>>, LlamaError> {
        let mut batch = Batch::default();
        let mut rows = Vec::new();
        let most = self.context.n_batch();
        let busy: Vec<usize> =
            (0..slots.len()).filter(|s| slots.get(*s).is_some_and(Option::is_some)).collect();
        // Answers first: a long prompt must not hold them up for more than one decode.
        for writes in [true, false] {
            for slot in &busy {
                let Some(running) = slots.get_mut(*slot).and_then(Option::as_mut) else { continue };
                if (running.written > 0) != writes {
                    continue;
                }
                while batch.len() < most
                    && let Some(token) = running.ahead.pop_front()
                {
                    let last = running.ahead.is_empty();
                    if last {
                        rows.push((*slot, batch.len()));
                    }
                    batch.push(token, position(running.held.len()), &[sequence(*slot)], last);
                    running.held.push(token);
                }
            }
        }
        if batch.is_empty() {
            return Ok(None);
        }
        self.context.decode(&batch)?;
        Ok(Some(rows))
    }
}

impl Running {
    /// Begins with a sequence that holds the first `kept` tokens of the prompt.
    fn new(index: usize, ask: &Ask, style: &Style, kept: usize) -> Self {
        let (held, ahead) = ask.tokens.split_at(kept.min(ask.tokens.len()));
        Self {
            index,
            sampler: Sampler::new(style.sampling, ask.item, ask.sample),
            ahead: ahead.iter().copied().collect(),
            held: held.to_vec(),
            bytes: Vec::new(),
            written: 0,
            thought: if ask.opened { Thought::Since(0) } else { Thought::NotBegun },
            forced: VecDeque::new(),
            begun: Instant::now(),
        }
    }

    /// Takes the next token in; the answer if it ends.
    fn go_on(&mut self, model: &Model, style: &Style, logits: &[f32]) -> Result<Option<Answer>, LlamaError> {
        let token = match self.forced.pop_front() {
            Some(token) => token,
            None => self.sampler.choose(logits).ok_or(LlamaError::NoDistribution)? as Token,
        };
        self.written += 1;
        if model.ends_generation(token) {
            return Ok(Some(self.answer(self.bytes.len(), Stop::End)));
        }
        let before = self.bytes.len();
        self.bytes.extend(model.piece(token, style.special));
        if let Some(end) = stops_at(&self.bytes, before, &style.stop) {
            return Ok(Some(self.answer(end, Stop::String)));
        }
        if self.written >= style.most {
            return Ok(Some(self.answer(self.bytes.len(), Stop::Length)));
        }
        if let Some(thinking) = &style.thinking {
            self.think(thinking, before);
        }
        self.ahead.push_back(token);
        Ok(None)
    }

    /// Counts the tokens of a thought, and ends one that has spent its budget.
    fn think(&mut self, thinking: &Thinking, before: usize) {
        let ends = |bytes: &[u8], text: &str| found(bytes, before, text.as_bytes()).is_some();
        self.thought = match self.thought {
            Thought::NotBegun if ends(&self.bytes, &thinking.open) => Thought::Since(0),
            Thought::Since(_) if ends(&self.bytes, &thinking.close) => Thought::Over,
            Thought::Since(tokens) => Thought::Since(tokens + 1),
            other => other,
        };
        if self.thought == Thought::Since(thinking.budget) && self.forced.is_empty() {
            self.forced.extend(&thinking.forced);
        }
    }

    fn answer(&self, end: usize, stop: Stop) -> Answer {
        Answer {
            index: self.index,
            text: String::from_utf8_lossy(self.bytes.get(..end).unwrap_or_default()).into_owned(),
            tokens: self.written as u64,
            stop,
            seconds: self.begun.elapsed().as_secs_f64(),
        }
    }
}

/// Where the earliest stop string begins that ends behind `before`.
fn stops_at(bytes: &[u8], before: usize, stop: &[String]) -> Option<usize> {
    stop.iter().filter_map(|text| found(bytes, before, text.as_bytes())).min()
}

/// Where `text` begins, if it ends behind `before`.
fn found(bytes: &[u8], before: usize, text: &[u8]) -> Option<usize> {
    if text.is_empty() {
        return None;
    }
    let from = (before + 1).saturating_sub(text.len());
    bytes.get(from..)?.windows(text.len()).position(|window| window == text).map(|at| from + at)
}

/// The sequence in llama.cpp of a place.
fn sequence(slot: usize) -> i32 {
    position(slot + 1)
}

/// Positions are far below 2^31, since a context's cells are.
fn position(index: usize) -> i32 {
    i32::try_from(index).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::llama::ffi::{self, ModelOptions};

    fn model() -> Model {
        ffi::init();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-f16.gguf");
        Model::load(&path, &ModelOptions::default()).expect("loaded")
    }

    const SHAPE: ContextOptions = ContextOptions::PLAIN;

    fn style(most: usize) -> Style {
        Style { most, stop: Vec::new(), sampling: Sampling::default(), special: false, thinking: None }
    }

    fn asks(model: &Model) -> Vec<Ask> {
        let texts =
            ["The keeper of", "The keep", "The keeper and the sea", "The k", "The keeper went up", "The"];
        let ask = |(item, text): (usize, &&str)| Ask {
            item: item as u64,
            sample: 0,
            tokens: model.tokenize(format!("A common beginning, and then: {text}")).expect("tokens"),
            opened: false,
        };
        texts.iter().enumerate().map(ask).collect()
    }

    fn written(model: &Model, asks: &[Ask], style: &Style, cells: u32, together: u32) -> Vec<Answer> {
        written_in(Room::Shared(cells), model, asks, style, together)
    }

    fn written_in(room: Room, model: &Model, asks: &[Ask], style: &Style, together: u32) -> Vec<Answer> {
        let mut generator = Generator::new(model, room, together, SHAPE).expect("a context");
        let mut answers = Vec::new();
        let take = |written| {
            if let Written::Answer(answer) = written {
                answers.push(answer);
            }
            Ok::<(), LlamaError>(())
        };
        generator.write(asks, style, take).expect("written");
        answers.sort_by_key(|answer: &Answer| answer.index);
        answers
    }

    #[test]
    fn every_prompt_has_its_own_answer_whatever_is_written_beside_it() {
        let model = model();
        let asks = asks(&model);
        let alone = written(&model, &asks, &style(24), 512, 1);
        assert_eq!(alone.iter().map(|a| a.index).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
        assert!(alone.iter().all(|a| a.stop == Stop::Length && a.tokens == 24 || a.stop == Stop::End));
        // More places than room, so that some wait; near-ties may go the other way, but not most.
        for (cells, together) in [(512, 4), (160, 4), (512, 6)] {
            let beside = written(&model, &asks, &style(24), cells, together);
            let same = alone.iter().zip(&beside).filter(|(a, b)| a.text == b.text).count();
            assert!(same >= 4, "{same} of 6 alike with {together} in {cells}");
        }
        assert!(alone.iter().any(|a| a.text != alone[0].text), "answers differ");
        // A stream each, the header copied to all.
        let apart = written_in(Room::Streams(120), &model, &asks, &style(24), 4);
        let same = alone.iter().zip(&apart).filter(|(a, b)| a.text == b.text).count();
        assert!(same >= 4, "{same} of 6 alike in streams");
    }

    #[test]
    fn long_prompts_have_a_stream_each() {
        assert_eq!(Room::of(vec![300, 200, 100], 2, 50), Room::Shared(768));
        assert_eq!(Room::of(vec![300, 200, 100], 1, 50), Room::Shared(512));
        assert_eq!(Room::of(vec![1100, 2000, 100], 2, 0), Room::Streams(2000));
        // What they share is read once, and lies in one buffer once.
        assert_eq!(Room::of(vec![2000, 1900], 2, 1500), Room::Shared(4096));
        assert_eq!((Room::Streams(2000).cells(2), Room::Shared(768).cells(2)), (6000, 768));
        assert_eq!(Room::of(Vec::new(), 4, 0), Room::Shared(0));
    }

    #[test]
    fn the_header_is_decoded_once() {
        let model = model();
        let asks = asks(&model);
        let mut generator = Generator::new(&model, Room::Shared(512), 3, SHAPE).expect("a context");
        let mut tokens = 0;
        let count = |written| {
            if let Written::Answer(answer) = written {
                // The last token of an answer is never decoded.
                tokens += answer.tokens - 1;
            }
            Ok::<(), LlamaError>(())
        };
        generator.write(&asks, &style(4), count).expect("written");
        // The last token of a prompt is its own, for its logits.
        let alike = |a: &Ask| common(&a.tokens, &asks[0].tokens).min(a.tokens.len() - 1);
        let shared = asks.iter().map(alike).min().expect("some");
        assert!(shared > 8, "{shared}");
        let own: usize = asks.iter().map(|a| a.tokens.len() - shared).sum();
        assert_eq!(generator.context.tokens_decoded, (shared + own) as u64 + tokens);
    }

    #[test]
    fn a_conversation_goes_on_where_its_cache_ends() {
        goes_on(Room::Shared(512));
        goes_on(Room::Streams(120));
    }

    fn goes_on(room: Room) {
        let model = model();
        let asks = asks(&model);
        let more = model.tokenize_rendered(" And then?").expect("tokens");
        let mut generator = Generator::new(&model, room, 2, SHAPE).expect("a context");
        // Three turns each; every prompt is what was said so far and a question.
        let mut said: Vec<Vec<Token>> = asks.iter().map(|ask| ask.tokens.clone()).collect();
        let mut answers: Vec<Vec<String>> = vec![Vec::new(); asks.len()];
        let mut written = 0;
        let take = |found| {
            let Written::Answer(answer) = found else { return Ok::<_, LlamaError>(None) };
            written += answer.tokens;
            answers[answer.index].push(answer.text.clone());
            let turn = answers[answer.index].len() as u32;
            let own = &mut said[answer.index];
            own.extend(model.tokenize_rendered(&answer.text)?);
            own.extend(&more);
            let ask = Ask { item: asks[answer.index].item, sample: turn, tokens: own.clone(), opened: false };
            Ok((turn < 3).then_some(ask))
        };
        generator.converse(&asks, &style(8), |_| 120, take).expect("written");
        assert!(answers.iter().all(|own| own.len() == 3), "{answers:?}");
        let naive: usize = said.iter().map(Vec::len).sum();
        let decoded = generator.context.tokens_decoded as usize;
        assert!(decoded < naive + written as usize, "{decoded} of {naive}: nothing is read twice");
        // Decoded anew, the last turns are mostly the same; tokens of a text may be cut otherwise than they were written.
        let last = |index: usize| {
            let own = &said[index];
            let tail = model.tokenize_rendered(&answers[index][2]).expect("tokens").len() + more.len();
            Ask { tokens: own[..own.len() - tail].to_vec(), ..asks[index].clone() }
        };
        let anew: Vec<Ask> = (0..asks.len()).map(last).collect();
        let anew = self::written(&model, &anew, &style(8), 512, 1);
        let same = anew.iter().filter(|answer| answer.text == answers[answer.index][2]).count();
        assert!(same >= 4, "{same} of 6 alike");
    }

    #[test]
    fn an_answer_ends_before_a_stop_string() {
        let model = model();
        let asks = asks(&model);
        let whole = written(&model, &asks[..1], &style(24), 256, 1);
        let text = &whole[0].text;
        let middle: String = text.chars().skip(5).take(4).collect();
        let first = text.find(&middle).expect("there");
        let stopped = Style { stop: vec!["never in it".to_owned(), middle], ..style(24) };
        let answers = written(&model, &asks[..1], &stopped, 256, 1);
        assert_eq!((answers[0].text.as_str(), answers[0].stop), (&text[..first], Stop::String));
    }

    #[test]
    fn samples_are_drawn_again_alike_and_differ_from_each_other() {
        let model = model();
        let sampling = Sampling { temperature: 1.0, seed: 7, ..Sampling::default() };
        let tokens = model.tokenize("The keeper").expect("tokens");
        let asks: Vec<Ask> =
            (0..4).map(|sample| Ask { item: 3, sample, tokens: tokens.clone(), opened: false }).collect();
        let style = Style { sampling, ..style(16) };
        let first = written(&model, &asks, &style, 256, 1);
        let again = written(&model, &asks, &style, 256, 1);
        let texts = |answers: &[Answer]| answers.iter().map(|a| a.text.clone()).collect::<Vec<_>>();
        assert_eq!(texts(&first), texts(&again));
        assert!(texts(&first).windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn a_thought_that_spends_its_budget_is_closed() {
        let model = model();
        let asks = asks(&model);
        let forced = model.tokenize_rendered("</think>").expect("tokens");
        let thinking = Thinking {
            open: "<think>".to_owned(),
            close: "</think>".to_owned(),
            budget: 5,
            forced: forced.clone(),
        };
        let opened = Ask { opened: true, ..asks[0].clone() };
        let closed = Style { thinking: Some(thinking), ..style(24) };
        let answers = written(&model, &[opened], &closed, 256, 1);
        let plain = written(&model, &asks[..1], &style(24), 256, 1);
        let (before, _) = answers[0].text.split_once("</think>").expect("closed");
        assert!(!before.is_empty() && plain[0].text.starts_with(before), "{:?}", answers[0].text);
        assert_eq!(answers[0].text.matches("</think>").count(), 1);
    }

    #[test]
    fn strings_are_found_where_they_end_in_the_new_part() {
        assert_eq!(found(b"abcabc", 4, b"bc"), Some(4));
        assert_eq!(found(b"abcab", 3, b"bc"), None);
        assert_eq!(found(b"abca", 3, b"ca"), Some(2));
        assert_eq!(found(b"a", 0, b"abc"), None);
        assert_eq!(found(b"abc", 0, b""), None);
        assert_eq!(stops_at(b"abcd", 3, &["d".to_owned(), "bcd".to_owned()]), Some(1));
    }
}
