//! One model on one text, perhaps against a base: what `bitfrontier perplexity` asks of a worker, pass by pass.
//!
//! Plain perplexity and llama.cpp's own files are decoded in the batches of `llama-perplexity`, so that every
//! figure can be compared with the tool's. Against a base model or a store of ours each chunk is decoded alone,
//! as in a sweep, and both sides alike: a model against itself differs by exactly nothing.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use tempfile::{NamedTempFile, TempDir};

use crate::analyze::{StoreUsed, TextReport};
use crate::error::Error;
use crate::fetch::{Cache, sha256_file};
use crate::files;
use crate::gguf::{self, Described as _};
use crate::plan::config::Offload;
use crate::plan::text::{Scored, TextSuite};
use crate::run::ending::without_result;
use crate::run::{corpora, estimate, machine};
use crate::score::base_store::{StoreChoice, StoreUse};
use crate::score::kld_file::KldReader;
use crate::worker::client::Worker;
use crate::worker::protocol::{
    BatchedWork, ChatWork, CountWork, Finished, ItemRecord, LoadSpec, Loaded, LogitsFile, Reply, Request,
    TextFile, TextKind, TextWork,
};

/// Tokens a chunk where nothing says otherwise.
const N_CTX: u32 = 512;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// The model's file.
    pub model: PathBuf,
    /// The text.
    pub text: PathBuf,
    /// It is conversations, which the model's own chat template renders.
    pub chat: bool,
    /// Tokens a chunk; absent: 512, or those of the base's file.
    pub n_ctx: Option<u32>,
    /// Which positions of a chunk are scored.
    pub scored: Scored,
    /// Tokens between the beginnings of two chunks; absent: they lie side by side.
    pub stride: Option<u32>,
    /// Most chunks, from the beginning; absent: all.
    pub chunks: Option<u64>,
    /// What the model is compared with.
    pub base: Base,
    /// Where the base's distributions (without a base: the model's) are kept as a store.
    pub save_store: Option<PathBuf>,
    /// Where they are kept as a file of llama.cpp's.
    pub save_logits: Option<PathBuf>,
    /// Threads given to llama.cpp.
    pub threads: u32,
    /// What goes to a GPU.
    pub offload: Offload,
    /// Stretch contexts beyond the model's by YaRN.
    pub yarn: bool,
    /// What a store shall keep of the base.
    pub store: StoreChoice,
}

/// What a model is compared with.
#[derive(Debug, Clone)]
pub enum Base {
    /// Nothing.
    None,
    /// A model, evaluated first.
    Model(PathBuf),
    /// A store of ours.
    Store(PathBuf),
    /// A file of llama.cpp's.
    Logits(PathBuf),
}

/// Carries it out. `progress` hears of chunks done, of how many if that is known.
pub fn evaluate(
    question: &Question,
    cache: &Cache,
    interrupted: &AtomicBool,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<TextReport, Error> {
    let begun = Instant::now();
    let (n_ctx, chunks, bytes) = match &question.base {
        Base::Logits(path) => with_file(question, path)?,
        _ => (question.n_ctx.unwrap_or(N_CTX), question.chunks, 0),
    };
    let cut = TextSuite { ctx: n_ctx, scored: question.scored, stride: question.stride };
    cut.check().map_err(|(what, hint)| refused(format!("the text cannot be cut with {what}"), hint))?;
    if !cut.is_halves() && (question.save_logits.is_some() || matches!(question.base, Base::Logits(_))) {
        let reason =
            "llama.cpp's files of log-probabilities hold the second half of every chunk, nothing else";
        return Err(refused(reason.to_owned(), "leave out --scored and --stride, or use a base store"));
    }
    for path in [&question.save_store, &question.save_logits].into_iter().flatten() {
        files::try_place(path).map_err(|source| Error::Write { path: path.clone(), source })?;
    }
    let mut passes = Passes::start(question, cut, chunks, interrupted, progress)?;
    let items = match &question.base {
        Base::None => passes.alone()?,
        Base::Logits(path) => {
            passes.load(&question.model)?;
            passes.batched(LogitsFile::Read(path.clone()))?
        }
        Base::Store(path) => {
            passes.load(&question.model)?;
            passes.stored(path, false)?
        }
        Base::Model(base) => {
            let temporary: Option<TempDir>;
            let path = if let Some(path) = &question.save_store {
                temporary = None;
                path.clone()
            } else {
                let folder = folder_in(cache)?;
                let path = folder.path().join("base");
                temporary = Some(folder);
                path
            };
            let result = passes.against(base, &path)?;
            drop(temporary);
            result
        }
    };
    let mut report = TextReport::new(n_ctx, &items, !matches!(question.base, Base::None));
    report.scored = (question.scored == Scored::All).then_some("all");
    report.stride = question.stride;
    let foreign = (bytes > 0).then(|| StoreUsed { kind: "llama.cpp".to_owned(), bytes });
    report.store = passes.used.take().or(foreign);
    report.decode_s = passes.decode_s;
    report.wall_s = begun.elapsed().as_secs_f64();
    Ok(report)
}

/// Context length and chunks of a comparison with llama.cpp's file, and its bytes.
fn with_file(question: &Question, path: &Path) -> Result<(u32, Option<u64>, u64), Error> {
    let unusable = |error: crate::score::kld_file::KldFileError| Error::Refused {
        hint: error.hint(),
        reason: error.to_string(),
    };
    let reader = KldReader::open(path).map_err(unusable)?;
    let shape = reader.shape();
    let chunks = question.chunks.map_or(u64::from(shape.chunks), |n| n.min(shape.chunks.into()));
    Ok((question.n_ctx.unwrap_or(shape.n_ctx), Some(chunks), reader.bytes()))
}

/// A folder that is gone with the command, where base stores lie.
fn folder_in(cache: &Cache) -> Result<TempDir, Error> {
    let place = cache.base_store();
    std::fs::create_dir_all(&place)
        .and_then(|()| tempfile::Builder::new().prefix("perplexity-").tempdir_in(&place))
        .map_err(|source| Error::Io { path: place, source })
}

/// A base's file with its SHA-256, by which a store of another model is told.
fn known(base: &Path) -> Result<(PathBuf, String), Error> {
    let sha256 = sha256_file(base).map_err(|source| Error::Io { path: base.to_owned(), source })?;
    Ok((base.to_owned(), sha256))
}

/// A worker and what its passes have cost.
struct Passes<'a> {
    question: &'a Question,
    cut: TextSuite,
    chunks: Option<u64>,
    worker: Worker,
    text: TextFile,
    /// Where the conversations are rendered.
    _rendered: Option<NamedTempFile>,
    /// The worker's output; its last lines tell why it died.
    _log: NamedTempFile,
    interrupted: &'a AtomicBool,
    progress: &'a mut dyn FnMut(u64, Option<u64>),
    /// Weights and bytes of the loaded model.
    size: (u64, u64),
    used: Option<StoreUsed>,
    /// The base's file and its SHA-256; empty where only its store is known.
    base: (PathBuf, String),
    decode_s: f64,
}

impl<'a> Passes<'a> {
    fn start(
        question: &'a Question,
        cut: TextSuite,
        chunks: Option<u64>,
        interrupted: &'a AtomicBool,
        progress: &'a mut dyn FnMut(u64, Option<u64>),
    ) -> Result<Self, Error> {
        let log = machine::scratch_file()?;
        let mut worker = Worker::start(log.path(), interrupted).map_err(without_result)?;
        let (text, rendered) = if question.chat {
            let rendered = render(question, &mut worker, interrupted)?;
            (TextFile { path: rendered.path().to_owned(), kind: TextKind::Rendered }, Some(rendered))
        } else {
            (TextFile::plain(&question.text), None)
        };
        Ok(Self {
            question,
            cut,
            chunks,
            worker,
            text,
            _rendered: rendered,
            _log: log,
            interrupted,
            progress,
            size: (0, 0),
            used: None,
            base: (PathBuf::new(), String::new()),
            decode_s: 0.0,
        })
    }

    /// The model by itself, and what is to be kept of it.
    fn alone(&mut self) -> Result<Vec<ItemRecord>, Error> {
        self.load(&self.question.model)?;
        let kept = match &self.question.save_store {
            Some(path) => {
                self.base = known(&self.question.model)?;
                Some(self.stored(path, true)?)
            }
            None => None,
        };
        match (&self.question.save_logits, kept) {
            (Some(path), _) => self.batched(LogitsFile::Write(path.clone())),
            (None, Some(items)) => Ok(items),
            (None, None) => self.batched(LogitsFile::None),
        }
    }

    /// The base, then the model against it.
    fn against(&mut self, base: &Path, store: &Path) -> Result<Vec<ItemRecord>, Error> {
        let of_base = self.load(base)?.vocabulary;
        if let Some(path) = &self.question.save_logits {
            self.batched(LogitsFile::Write(path.clone()))?;
        }
        self.base = known(base)?;
        self.stored(store, true)?;
        let vocabulary = self.load(&self.question.model)?.vocabulary;
        if vocabulary != of_base {
            let reason = format!(
                "{} has a vocabulary of {vocabulary} tokens and the base {} one of {of_base}",
                self.question.model.display(),
                base.display()
            );
            return Err(refused(reason, "a variant can only be compared with the model it was made from"));
        }
        self.stored(store, false)
    }

    fn load(&mut self, model: &Path) -> Result<Loaded, Error> {
        let about = gguf::open_model(model)?;
        self.size = (about.weights(), about.file_bytes());
        let spec = LoadSpec {
            model: model.to_owned(),
            threads: self.question.threads,
            offload: self.question.offload.clone(),
            kv: ("f16".to_owned(), "f16".to_owned()),
            yarn: self.question.yarn,
        };
        match self.ask(&Request::Load(spec), &mut Vec::new())? {
            Finished::Load(loaded) => Ok(loaded),
            _ => Err(another_question()),
        }
    }

    /// The loaded model in llama-perplexity's batches.
    fn batched(&mut self, file: LogitsFile) -> Result<Vec<ItemRecord>, Error> {
        self.score(&Request::Batched(BatchedWork {
            text: self.text.clone(),
            cut: self.cut,
            chunks: self.chunks,
            file,
        }))
    }

    /// The loaded model chunk by chunk, which fills a store or is compared with it.
    fn stored(&mut self, store: &Path, is_base: bool) -> Result<Vec<ItemRecord>, Error> {
        let chunks = self.count()?;
        self.score(&Request::Text(TextWork {
            text: self.text.clone(),
            label: String::new(),
            first: 0,
            cut: self.cut,
            chunks: (0..chunks).collect(),
            base_store: store.to_owned(),
            store: self.question.store,
            base_model: self.base.0.clone(),
            base_sha256: self.base.1.clone(),
            is_base,
            store_only: false,
            noise: None,
        }))
    }

    /// Chunks that are to be scored.
    fn count(&mut self) -> Result<u64, Error> {
        let texts = vec![self.text.clone()];
        let work = CountWork { model: self.question.model.clone(), texts };
        let Finished::Tokens { counts } = self.ask(&Request::CountTokens(work), &mut Vec::new())? else {
            return Err(another_question());
        };
        let there = counts.first().map_or(0, |tokens| self.cut.chunks(*tokens));
        // A text that is too short is refused by whoever scores it.
        Ok(self.chunks.unwrap_or(u64::MAX).min(there.max(1)))
    }

    fn score(&mut self, request: &Request) -> Result<Vec<ItemRecord>, Error> {
        let mut items = Vec::new();
        match self.ask(request, &mut items)? {
            Finished::Items(cost) => {
                self.decode_s += cost.decode_s;
                let used = |store: StoreUse| StoreUsed { kind: store.kind.to_string(), bytes: store.bytes };
                self.used = cost.store.map(used).or(self.used.take());
            }
            _ => return Err(another_question()),
        }
        Ok(items)
    }

    fn ask(&mut self, request: &Request, items: &mut Vec<ItemRecord>) -> Result<Finished, Error> {
        let patience: Duration = estimate::silence(self.size.0, self.size.1, request);
        let (progress, chunks) = (&mut self.progress, self.chunks);
        let heard = |reply| {
            if let Reply::Item(item) = reply {
                items.push(item);
                progress(items.len() as u64, chunks);
            }
            Ok(())
        };
        self.worker.ask(request, patience, self.interrupted, heard).map_err(without_result)
    }
}

/// The conversations as the model's chat template renders them.
fn render(
    question: &Question,
    worker: &mut Worker,
    interrupted: &AtomicBool,
) -> Result<NamedTempFile, Error> {
    let template = corpora::template_of(&gguf::open_model(&question.model)?, "--chat needs a chat template")?;
    let file = machine::scratch_file()?;
    let request = Request::RenderChat(ChatWork {
        model: question.model.clone(),
        template,
        conversations: question.text.clone(),
        output: file.path().to_owned(),
    });
    let patience = estimate::silence(0, 0, &request);
    worker.ask(&request, patience, interrupted, |_| Ok(())).map_err(corpora::not_rendered)?;
    Ok(file)
}

fn refused(reason: String, hint: &str) -> Error {
    Error::Refused { reason, hint: Some(hint.to_owned()) }
}

fn another_question() -> Error {
    Error::Worker("the worker answered another question".to_owned())
}
