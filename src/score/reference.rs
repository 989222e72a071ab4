//! The base's side of a comparison: where its distributions go when the base itself is evaluated, and where they
//! come from when a variant is.
//!
//! Hidden states are kept only after a check: the logits that the output matrix makes of them must equal the model's
//! own, bit for bit, on the first positions of every run that keeps any. Where no known transform makes them equal
//! (another architecture, a head on a GPU), logits are kept instead and the store says why.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::llama::ffi::{self, Tail};
use crate::llama::head::{BLOCK, Head, HeadError};
use crate::llama::hidden::{Capture, States};
use crate::score::base_store::{
    BaseStore, ChunkReader, ChunkWriter, Element, HeadFacts, Header, StoreChoice, StoreError, StoreKind,
    Subject, choose,
};
use crate::score::divergence::{Divergence, divergence};
use crate::score::perplexity::TextError;

/// Positions compared or kept at once: bounds memory to this many rows of the vocabulary.
pub const ROWS_AT_ONCE: usize = BLOCK;

/// What a decode yields at its scored positions, in order.
#[derive(Debug)]
pub struct Outputs<'context> {
    /// What went into the output matrix; empty if nobody looked.
    pub states: States,
    /// One row a position; empty if the head was not computed.
    pub logits: Vec<&'context [f32]>,
}

/// What is to be kept of the base.
#[derive(Debug, Clone)]
pub struct Keep {
    /// The store.
    pub path: PathBuf,
    /// What it is about.
    pub subject: Subject,
    /// What it shall keep.
    pub choice: StoreChoice,
    /// Positions it will have once all that is planned is done.
    pub positions: u64,
    /// The base's file, for its output matrix.
    pub model: PathBuf,
    /// Threads.
    pub threads: u32,
}

/// Writes the base's distributions. What kind of store it is, the first decode decides.
#[derive(Debug)]
pub struct Keeper {
    keep: Keep,
    store: OnceCell<BaseStore>,
    /// Where the context leaves its states.
    pub capture: Capture,
}

impl Keeper {
    /// Nothing is opened before the first decode.
    pub fn new(keep: Keep) -> Self {
        Self { keep, store: OnceCell::new(), capture: Capture::default() }
    }

    /// The store, once a decode has decided about it.
    pub fn store(&self) -> Option<&BaseStore> {
        self.store.get()
    }

    /// The store; `first` decides what it is, if nothing has before.
    pub fn settled(&self, first: &Outputs<'_>) -> Result<&BaseStore, TextError> {
        if let Some(store) = self.store.get() {
            return Ok(store);
        }
        let store = self.settle(first)?;
        Ok(self.store.get_or_init(|| store))
    }

    fn settle(&self, first: &Outputs<'_>) -> Result<BaseStore, TextError> {
        let Keep { path, subject, choice, positions, .. } = &self.keep;
        let existing = BaseStore::open(path)?;
        if let Some(store) = &existing {
            store.check(subject)?;
        }
        let existing = existing.filter(|store| store.header().serves(*choice, *positions));
        let wanted = match (&existing, choice) {
            (Some(store), _) => store.header().kind,
            (None, StoreChoice::Auto) => choose(*positions, subject.vocabulary),
            (None, StoreChoice::Hidden) => StoreKind::Hidden,
            (None, StoreChoice::Logits) => StoreKind::Logits,
        };
        let made = if wanted == StoreKind::Hidden { self.hidden_header(first) } else { Err(String::new()) };
        match (existing, made) {
            (Some(store), _) if wanted == StoreKind::Logits => Ok(store),
            (Some(store), Ok(header)) if same_states(store.header(), &header) => Ok(store),
            (_, Ok(header)) => Ok(BaseStore::create(path, header)?),
            (_, Err(fallback)) => Ok(BaseStore::create(path, self.logits_header(fallback))?),
        }
    }

    fn logits_header(&self, fallback: String) -> Header {
        Header {
            subject: self.keep.subject.clone(),
            kind: StoreKind::Logits,
            element: Element::F32,
            width: self.keep.subject.vocabulary,
            head: None,
            choice: self.keep.choice,
            fallback,
        }
    }

    /// The header of a store of hidden states, if the check holds; otherwise why it does not.
    fn hidden_header(&self, first: &Outputs<'_>) -> Result<Header, String> {
        let mut head = Head::open(&self.keep.model, self.keep.threads).map_err(|e| e.to_string())?;
        let element = verify(&mut head, first)?;
        let facts = HeadFacts {
            key: head.key.clone(),
            model: std::path::absolute(&self.keep.model).unwrap_or_else(|_| self.keep.model.clone()),
            scale: head.tail.scale,
            softcap: head.tail.softcap,
            bias: head.tail.bias,
        };
        Ok(Header {
            subject: self.keep.subject.clone(),
            kind: StoreKind::Hidden,
            element,
            width: head.width() as u32,
            head: Some(facts),
            choice: self.keep.choice,
            fallback: String::new(),
        })
    }
}

/// Whether states of both headers mean the same. Where the model's file lies does not matter.
fn same_states(a: &Header, b: &Header) -> bool {
    let head = |h: &Header| h.head.clone().map(|f| (f.key, f.scale, f.softcap, f.bias));
    a.element == b.element && a.width == b.width && head(a) == head(b)
}

/// Finds how states become the model's logits again, to the bit: sets the head's tail and returns how states must
/// be kept for it. Otherwise says what differs.
fn verify(head: &mut Head, first: &Outputs<'_>) -> Result<Element, String> {
    let rows = first.logits.len();
    if first.states.rows() != rows || first.states.width != head.width() {
        return Err("the model's graph does not show what goes into its output matrix".to_owned());
    }
    if first.logits.iter().any(|row| row.len() != head.vocabulary()) {
        return Err("the output matrix has another number of rows than the vocabulary".to_owned());
    }
    let elements: &[Element] = if head.takes_f16() { &[Element::F16, Element::F32] } else { &[Element::F32] };
    let mut reason = String::new();
    for element in elements {
        for tail in head.tails() {
            head.tail = tail;
            match differing(head, first, *element) {
                None => return Ok(*element),
                // The likeliest way is tried first, and is the one worth reporting.
                Some(what) if reason.is_empty() => reason = what,
                Some(_) => {}
            }
        }
    }
    Err(reason)
}

/// What differs between the model's logits and those made of its states; nothing if all are equal to the bit.
fn differing(head: &mut Head, first: &Outputs<'_>, element: Element) -> Option<String> {
    let rows = first.logits.len();
    let blocks = first.states.values.chunks(BLOCK * first.states.width.max(1));
    for (states, real) in blocks.zip(first.logits.chunks(BLOCK)) {
        let kept = encode(states, element);
        let Some(made) = head.logits(&decode(&kept, element), rows) else {
            return Some("logits cannot be made of hidden states".to_owned());
        };
        let pairs = || made.iter().zip(real.iter().copied().flatten());
        let differ =
            pairs().filter(|(a, b)| a.to_bits() != b.to_bits() && !(a.is_nan() && b.is_nan())).count();
        if differ > 0 {
            let worst = pairs().map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            return Some(format!(
                "logits made of hidden states differ from the model's in {differ} of {} values, by up to {worst}",
                made.len()
            ));
        }
    }
    None
}

/// Numbers as they are kept, little-endian.
fn encode(values: &[f32], element: Element) -> Cow<'_, [u8]> {
    match element {
        Element::F32 if cfg!(target_endian = "little") => Cow::Borrowed(bytemuck::cast_slice(values)),
        Element::F32 => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Element::F16 => ffi::to_f16(values).iter().flat_map(|x| x.to_le_bytes()).collect(),
    }
}

/// Numbers as they were kept.
fn decode(bytes: &[u8], element: Element) -> Cow<'_, [f32]> {
    match (element, bytemuck::try_cast_slice(bytes)) {
        (Element::F32, Ok(numbers)) if cfg!(target_endian = "little") => Cow::Borrowed(numbers),
        (Element::F32, _) => bytes.as_chunks::<4>().0.iter().map(|w| f32::from_le_bytes(*w)).collect(),
        (Element::F16, _) => {
            let halves: Vec<u16> = bytes.as_chunks::<2>().0.iter().map(|w| u16::from_le_bytes(*w)).collect();
            Cow::Owned(ffi::from_f16(&halves))
        }
    }
}

/// Adds a decode's outputs to a chunk of the store.
pub fn keep(store: &BaseStore, writer: &mut ChunkWriter<'_>, outputs: &Outputs<'_>) -> Result<(), TextError> {
    let element = store.header().element;
    let rows: Vec<Cow<'_, [u8]>> = match store.header().kind {
        StoreKind::Hidden => {
            let states = &outputs.states;
            states.values.chunks(states.width.max(1)).map(|row| encode(row, element)).collect()
        }
        StoreKind::Logits => outputs.logits.iter().map(|row| encode(row, element)).collect(),
    };
    Ok(writer.rows(&rows)?)
}

/// Reads the base's distributions for a variant: chunk by chunk, each from its first scored position to its last.
#[derive(Debug)]
pub struct Comparer {
    store: BaseStore,
    head: Option<Head>,
    reading: Option<(u64, ChunkReader)>,
}

impl Comparer {
    /// Opens a store of this subject. For hidden states the base's output matrix is needed: the first of these models
    /// that has it is taken, and else the one the store was made of.
    pub fn open(path: &Path, subject: &Subject, models: &[&Path], threads: u32) -> Result<Self, TextError> {
        let not_found = || std::io::Error::from(std::io::ErrorKind::NotFound);
        let store = BaseStore::open(path)?.ok_or_else(|| StoreError::Io {
            doing: "open",
            path: path.to_owned(),
            source: not_found(),
        })?;
        store.check(subject)?;
        let head = match &store.header().head {
            Some(facts) => Some(find_head(facts, store.header(), models, threads)?),
            None => None,
        };
        Ok(Self { store, head, reading: None })
    }

    /// The store.
    pub fn store(&self) -> &BaseStore {
        &self.store
    }

    /// Begins a chunk.
    pub fn begin(&mut self, chunk: u64) -> Result<(), TextError> {
        let reader = self.store.read(chunk).ok_or(TextError::MissingBase(chunk))?;
        self.reading = Some((chunk, reader));
        Ok(())
    }

    /// Compares a variant's logits at the next positions (at most [`ROWS_AT_ONCE`]) with the base's; `truth` are the
    /// true tokens. `together` is how many positions the base scored in the same decode.
    pub fn compare(
        &mut self,
        rows: &[&[f32]],
        truth: &[usize],
        together: usize,
    ) -> Result<Vec<Option<Divergence>>, TextError> {
        let failed = TextError::Recompute { rows: rows.len() };
        let Some((_, reader)) = &mut self.reading else { return Err(failed) };
        let element = self.store.header().element;
        let position = |i: usize, base: &[f32]| divergence(base, rows.get(i)?, *truth.get(i)?);
        let Some(head) = &mut self.head else {
            return Ok(self.store.rows(reader, rows.len(), |i, base| position(i, &decode(base, element)))?);
        };
        let states = self.store.rows(reader, rows.len(), |_, state| decode(state, element).into_owned())?;
        let logits = head.logits(&states.concat(), together).ok_or(failed)?;
        let width = (logits.len() / rows.len().max(1)).max(1);
        Ok(logits.par_chunks(width).enumerate().map(|(i, base)| position(i, base)).collect())
    }

    /// Ends a chunk after its last position. One whose rows are not those that were written is marked as missing.
    pub fn end(&mut self) -> Result<(), TextError> {
        match self.reading.take() {
            Some((chunk, reader)) if !reader.is_intact() => {
                self.store.discard(chunk)?;
                Err(TextError::MissingBase(chunk))
            }
            _ => Ok(()),
        }
    }
}

fn find_head(facts: &HeadFacts, header: &Header, models: &[&Path], threads: u32) -> Result<Head, TextError> {
    let shape = (header.width as usize, header.subject.vocabulary as usize);
    let mut refused = None;
    for model in models.iter().copied().chain([facts.model.as_path()]) {
        match Head::open(model, threads) {
            Ok(mut head) if head.key == facts.key && (head.width(), head.vocabulary()) == shape => {
                head.tail = Tail { scale: facts.scale, softcap: facts.softcap, bias: facts.bias };
                return Ok(head);
            }
            Ok(_) => {}
            Err(error) => refused = Some(error),
        }
    }
    let reason = refused.map_or_else(|| "it is another one".to_owned(), |e: HeadError| e.to_string());
    Err(TextError::NoHead { model: facts.model.clone(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::corpus::TextFile;

    use crate::llama::context::Context;
    use crate::llama::ffi::{ContextOptions, ModelOptions, QuantizeOptions};
    use crate::llama::model::Model;
    use crate::llama::quantize::quantize;
    use crate::plan::text::TextSuite;
    use crate::score::base_store::missing;
    use crate::score::compare::score_chunks;
    use crate::score::item::ChunkScore;
    use crate::score::perplexity::{Text, context_options, keep_chunk, tokenize};

    const N_CTX: u32 = 128;
    const CHUNKS: [u64; 3] = [2, 0, 5];
    const Q4_0: u32 = 2;
    const Q8_0: u32 = 7;

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
    }

    fn load(path: &Path) -> Model {
        ffi::init();
        Model::load(path, &ModelOptions::default()).expect("loaded")
    }

    fn quantized(folder: &Path, ftype: u32, head: Option<u32>) -> PathBuf {
        let output = folder.join(format!("q{ftype}-{head:?}.gguf"));
        let options = QuantizeOptions {
            ftype,
            output_type: head,
            embedding_type: head,
            threads: 1,
            ..QuantizeOptions::default()
        };
        quantize(&fixture("tiny-f16.gguf"), &output, &options, |_, _| {}).expect("quantized");
        output
    }

    fn options() -> ContextOptions {
        let template =
            ContextOptions { n_ctx: N_CTX, n_batch: N_CTX, n_ubatch: N_CTX, ..ContextOptions::PLAIN };
        context_options(TextSuite::halves(N_CTX), template)
    }

    fn read(model: &Model) -> Text {
        read_cut(model, &fixture("text.txt"), N_CTX)
    }

    fn read_cut(model: &Model, path: &Path, n_ctx: u32) -> Text {
        let tokens = tokenize(model, &TextFile::plain(path)).expect("read");
        Text::new(tokens, path, TextSuite::halves(n_ctx)).expect("long enough")
    }

    /// Evaluates a base; returns its scores, if they were wanted, and the store's header.
    fn keep_all(
        base: &Path,
        path: &Path,
        choice: StoreChoice,
        store_only: bool,
    ) -> (Vec<Option<ChunkScore>>, Header) {
        let model = load(base);
        let text = read(&model);
        let keeper = Keeper::new(Keep {
            path: path.to_owned(),
            subject: text.subject("base", model.vocabulary()),
            choice,
            positions: 1000,
            model: base.to_owned(),
            threads: 1,
        });
        let mut context = Context::capturing(&model, options(), &keeper.capture).expect("a context");
        let mut keep = |chunk| keep_chunk(&model, &mut context, &text, chunk, &keeper, store_only);
        let scores = CHUNKS.iter().map(|c| keep(*c).expect("kept")).collect();
        (scores, keeper.store().expect("settled").header().clone())
    }

    fn compare(variant: &Path, path: &Path, models: &[&Path]) -> Result<Vec<ChunkScore>, TextError> {
        let model = load(variant);
        let text = read(&model);
        let mut comparer = Comparer::open(path, &text.subject("base", model.vocabulary()), models, 1)?;
        let score = |spare, comparer: &mut Comparer| -> Result<Vec<ChunkScore>, TextError> {
            let mut context = Context::new(&model, options()).expect("a context");
            let mut scores = Vec::new();
            score_chunks(&model, &mut context, &text, &CHUNKS, comparer, spare, &mut |chunk, score| {
                assert_eq!(Some(&chunk), CHUNKS.get(scores.len()));
                scores.push(score);
                Ok::<(), TextError>(())
            })?;
            Ok(scores)
        };
        let inline = score(0, &mut comparer)?;
        assert_eq!(inline, score(1, &mut comparer)?, "with a spare core");
        Ok(inline)
    }

    fn is_exactly_zero(scores: &[ChunkScore]) -> bool {
        scores.iter().all(|s| {
            s.kld.0.len() == 63
                && s.kld.0.iter().chain(&s.delta_p.0).all(|x| *x == 0.0)
                && s.same_top.iter().all(|same| *same == 1)
                && s.nll == s.nll_base
        })
    }

    #[test]
    fn states_and_logits_give_the_same_numbers_and_the_base_itself_exactly_zero() {
        let folder = tempfile::tempdir().expect("a folder");
        let base = fixture("tiny-f16.gguf");
        let variant = quantized(folder.path(), Q4_0, None);
        let (states, logits) = (folder.path().join("states.bfs"), folder.path().join("logits.bfs"));
        let (own, header) = keep_all(&base, &states, StoreChoice::Hidden, false);
        assert_eq!((header.kind, header.element, header.width), (StoreKind::Hidden, Element::F16, 256));
        assert_eq!(header.fallback, "");
        let (_, header) = keep_all(&base, &logits, StoreChoice::Auto, false);
        assert_eq!((header.kind, header.width), (StoreKind::Logits, 512));
        for store in [&states, &logits] {
            let scores = compare(&base, store, &[&base]).expect("compared");
            assert!(is_exactly_zero(&scores));
            assert_eq!(own, scores.into_iter().map(Some).collect::<Vec<_>>());
        }
        let by_states = compare(&variant, &states, &[&base]).expect("compared");
        assert_eq!(by_states, compare(&variant, &logits, &[]).expect("compared"));
        assert!(!is_exactly_zero(&by_states));
    }

    #[test]
    fn a_quantized_head_keeps_f32_states_or_falls_back_and_stays_exact() {
        let folder = tempfile::tempdir().expect("a folder");
        for (ftype, head) in [(Q8_0, None), (Q8_0, Some(Q4_0))] {
            let base = quantized(folder.path(), ftype, head);
            let store = folder.path().join("q.bfs");
            let (_, header) = keep_all(&base, &store, StoreChoice::Hidden, false);
            assert_eq!(header.element, Element::F32);
            // Some CPUs multiply Q4_0 by kernels of the model's own, which a single matrix does not get.
            assert_eq!(header.fallback.is_empty(), header.kind == StoreKind::Hidden, "{}", header.fallback);
            assert!(is_exactly_zero(&compare(&base, &store, &[&base]).expect("compared")));
            std::fs::remove_file(store).expect("removed");
        }
    }

    #[test]
    fn leaving_out_the_head_keeps_the_same_bytes() {
        let folder = tempfile::tempdir().expect("a folder");
        let base = fixture("tiny-f16.gguf");
        let (with, without) = (folder.path().join("with.bfs"), folder.path().join("without.bfs"));
        keep_all(&base, &with, StoreChoice::Hidden, false);
        let (scores, _) = keep_all(&base, &without, StoreChoice::Hidden, true);
        assert!(scores.iter().all(Option::is_none));
        assert_eq!(std::fs::read(&with).expect("read"), std::fs::read(&without).expect("read"));
    }

    #[test]
    fn a_damaged_chunk_is_missing_and_kept_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let base = fixture("tiny-f16.gguf");
        let store = folder.path().join("s.bfs");
        keep_all(&base, &store, StoreChoice::Hidden, false);
        let whole = std::fs::read(&store).expect("read");
        let mut bytes = whole.clone();
        *bytes.last_mut().expect("not empty") ^= 1;
        std::fs::write(&store, bytes).expect("written");
        let error = compare(&base, &store, &[&base]).expect_err("damaged");
        assert!(matches!(error, TextError::MissingBase(5)), "{error}");
        assert_eq!(missing(&store, &CHUNKS), [5]);
        keep_all(&base, &store, StoreChoice::Hidden, true);
        assert_eq!(std::fs::read(&store).expect("read"), whole);
    }

    #[test]
    fn the_output_matrix_is_found_by_its_content() {
        let folder = tempfile::tempdir().expect("a folder");
        let base = folder.path().join("base.gguf");
        std::fs::copy(fixture("tiny-f16.gguf"), &base).expect("copied");
        let variant = quantized(folder.path(), Q8_0, None);
        let store = folder.path().join("s.bfs");
        keep_all(&base, &store, StoreChoice::Hidden, false);
        compare(&variant, &store, &[]).expect("where it was when the store was made");
        std::fs::rename(&base, folder.path().join("moved.gguf")).expect("moved");
        let error = compare(&variant, &store, &[&variant]).expect_err("gone").to_string();
        assert!(error.contains("output matrix of") && error.contains("base.gguf"), "{error}");
        compare(&variant, &store, &[&variant, &folder.path().join("moved.gguf")]).expect("found");
    }

    #[test]
    fn a_store_of_another_base_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let base = fixture("tiny-f16.gguf");
        let store = folder.path().join("s.bfs");
        keep_all(&base, &store, StoreChoice::Auto, false);
        let model = load(&base);
        let text = read(&model);
        let refused =
            |subject: &Subject| Comparer::open(&store, subject, &[], 1).expect_err("foreign").to_string();
        let subject = text.subject("base", model.vocabulary());
        assert!(refused(&Subject { model: "other".to_owned(), ..subject.clone() }).contains("another base"));
        let shorter = read_cut(&model, &fixture("text.txt"), N_CTX / 2);
        assert!(refused(&shorter.subject("base", 512)).contains("chunks of 128 tokens, not 64"));
        let other = folder.path().join("other.txt");
        std::fs::write(&other, "another text ".repeat(400)).expect("written");
        let other = read_cut(&model, &other, N_CTX);
        assert!(refused(&other.subject("base", 512)).contains("another text"));
    }
}
