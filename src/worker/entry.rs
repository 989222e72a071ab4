//! What the hidden `worker` subcommand runs: read a request, carry it out, reply, until the parent hangs up.
//!
//! The worker dies with its parent (`PR_SET_PDEATHSIG`, and the end of the request stream where there is no such
//! thing). llama.cpp's log and whatever else the native library prints go to stderr, which the parent has
//! pointed at a file; the protocol has descriptors of its own.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::files;
use crate::llama::context::{Context, decoded};
use crate::llama::ffi::{self, ContextOptions, ModelOptions, QuantizeOptions};
use crate::llama::model::{LlamaError, Model, cache_type};
use crate::llama::quantize;
use crate::plan::chat::{self, ChatTemplate};
use crate::score::answering::Told;
use crate::score::base_store::{BaseStore, Subject};
use crate::score::batched::{self, Files, Scorer};
use crate::score::compare::score_chunks;
use crate::score::kld_file::{KldReader, KldWriter};
use crate::score::noise;
use crate::score::perplexity::{self, TextError};
use crate::score::reference::{Comparer, Keep, Keeper};
use crate::score::sample::{self, Draw};
use crate::score::token_file::{self, TokenFacts};
use crate::worker::bench::{Bench, BenchError};
use crate::worker::choice;
use crate::worker::energy::{self, Meter};
use crate::worker::generate::{self, GenerateError};
use crate::worker::imatrix::{self, WorkError};
use crate::worker::layout;
use crate::worker::memory;
use crate::worker::protocol::{
    BatchedWork, BenchSpec, ChatWork, ChoiceItem, CountWork, Fallback, Finished, FlashAttn, GenerateWork,
    ImatrixWork, ItemRecord, ItemScore, LayoutWork, LoadSpec, Loaded, LogitsFile, NativeBuild, Offload,
    PROTOCOL, QuantizeDone, QuantizeSpec, REPLY_FD, REQUEST_FD, Reply, Request, SampleWork, SpeculateWork,
    SpeedWork, Status, SuiteCost, SurfaceWork, TextWork,
};
use crate::worker::speculation;
use crate::worker::stranger::try_items;
use crate::worker::texts::Texts;
use crate::worker::throughput;

/// Where replies go; shared with llama.cpp's log callback, which reports progress.
type Replies = Arc<Mutex<File>>;

/// How often a worker that is at a long answer says that it lives.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// Why a request was not carried out.
struct Failure {
    status: Status,
    reason: String,
    no_space: bool,
}

impl Failure {
    /// A store or a file of log-probabilities that cannot be used, with what the user can do.
    fn of_file(error: &dyn std::fmt::Display, hint: Option<String>, no_space: bool) -> Self {
        let hint = hint.map_or(String::new(), |hint| format!(" (hint: {hint})"));
        Self { status: Status::Refused, reason: format!("{error}{hint}"), no_space }
    }
}

impl From<LlamaError> for Failure {
    fn from(error: LlamaError) -> Self {
        let reason = error.to_string();
        let status = if reason.contains("failed to allocate") || reason.contains("out of memory") {
            Status::OutOfMemory
        } else {
            Status::Refused
        };
        Self { status, reason, no_space: false }
    }
}

impl From<TextError> for Failure {
    fn from(error: TextError) -> Self {
        match error {
            TextError::Llama(error) => error.into(),
            TextError::Store(source) => Self::of_file(&source, source.hint(), source.is_full_disk()),
            TextError::File(source) => Self::of_file(&source, source.hint(), source.no_space()),
            TextError::Tokens(source) => Self::of_file(&source, None, source.is_full_disk()),
            // The chunk is written again before the work is tried once more.
            TextError::MissingBase(_) => {
                Self { status: Status::Skipped, reason: error.to_string(), no_space: false }
            }
            other => Self { status: Status::Refused, reason: other.to_string(), no_space: false },
        }
    }
}

impl From<WorkError> for Failure {
    fn from(error: WorkError) -> Self {
        match error {
            WorkError::Llama(error) => error.into(),
            WorkError::Text(error) => error.into(),
            other => Self::of_file(&other, other.hint(), other.no_space()),
        }
    }
}

impl From<GenerateError> for Failure {
    fn from(error: GenerateError) -> Self {
        match error {
            GenerateError::Llama(error) => error.into(),
            other => Self { status: Status::Refused, reason: other.to_string(), no_space: false },
        }
    }
}

impl From<BenchError> for Failure {
    fn from(error: BenchError) -> Self {
        match error {
            BenchError::Llama(error) => error.into(),
            BenchError::Text(error) => error.into(),
            other => Self { status: Status::Refused, reason: other.to_string(), no_space: false },
        }
    }
}

/// Runs the worker until its parent hangs up.
///
/// # Errors
/// Only if the protocol's descriptors are missing or broken: somebody started a worker by hand.
pub fn run(parent: u32) -> io::Result<()> {
    die_with(parent)?;
    let requests = BufReader::new(File::open(format!("/dev/fd/{REQUEST_FD}"))?);
    let replies: Replies =
        Arc::new(Mutex::new(File::options().write(true).open(format!("/dev/fd/{REPLY_FD}"))?));
    ffi::init();
    let native = NativeBuild {
        llama_cpp: format!("{} {}", ffi::version(), package()),
        system_info: ffi::system_info().trim().to_owned(),
        devices: ffi::devices().into_iter().map(|d| d.name).collect(),
    };
    send(&replies, &Reply::Ready { protocol: PROTOCOL, native })?;
    let mut loaded: Option<(Model, LoadSpec)> = None;
    let mut texts = Texts::default();
    let mut requests = requests.lines();
    while let Some(line) = requests.next() {
        let request = serde_json::from_str(&line?).map_err(io::Error::other)?;
        let outcome = match request {
            Request::Quantize(spec) => quantize_file(&spec, &replies),
            Request::Load(spec) => {
                texts = Texts::default();
                load(spec, &mut loaded)
            }
            Request::CountTokens(work) => count_tokens(&work, loaded.as_ref(), &mut texts),
            Request::Layout(work) => lay_out(&work, &replies),
            Request::RenderChat(work) => render_chat(&work),
            Request::TryItems(work) => try_items(&work).map_err(|reason| Failure {
                status: Status::OutOfMemory,
                reason,
                no_space: false,
            }),
            Request::Sample(work) => with_model(loaded.as_ref(), |m, s| write_text(m, s, &work, &replies)),
            Request::Text(work) => {
                with_model(loaded.as_ref(), |m, s| text(m, s, &work, &mut texts, &replies))
            }
            Request::Batched(work) => {
                with_model(loaded.as_ref(), |m, s| batched(m, s, &work, &mut texts, &replies))
            }
            Request::Choice(work) => with_model(loaded.as_ref(), |m, s| {
                set_pool(s.threads);
                let template = template(m, s, work.n_ctx)?;
                let told = |question: &ChoiceItem, score| {
                    let Some(score) = score else {
                        progress(&replies, 0, 0);
                        return Ok(());
                    };
                    item(&replies, question.index, question.id.clone(), score)
                };
                choice::answer(m, s, &work, template, told)
            }),
            Request::Generate(work) => with_model(loaded.as_ref(), |m, s| answer(m, s, &work, &replies)),
            Request::Imatrix(work) => with_model(loaded.as_ref(), |m, s| importance(m, s, &work, &replies)),
            Request::Speculate(work) => with_model(loaded.as_ref(), |m, s| speculate(m, s, &work, &replies)),
            Request::Bench(spec) => {
                // A model at a time.
                loaded = None;
                probe_until_hung_up(&spec, &mut requests, &replies)
            }
            Request::Probe(_) | Request::Losses(_) => Err(no_bench()),
            Request::Speed(work) => with_model(loaded.as_ref(), |m, s| speed(m, s, work, &replies)),
            Request::Surface(work) => with_model(loaded.as_ref(), |m, s| surface(m, s, &work, &replies)),
        };
        let reply = match outcome {
            Ok(finished) => Reply::Finished(finished),
            Err(Failure { status, reason, no_space }) => Reply::Failed { status, reason, no_space },
        };
        send(&replies, &reply)?;
    }
    Ok(())
}

/// The package that llama.cpp comes in: `(llama-cpp-sys-2 0.1.161)`.
fn package() -> &'static str {
    let built = env!("BITFRONTIER_LLAMA_CPP");
    built.split_once(' ').map_or("", |(_, package)| package)
}

#[cfg(target_os = "linux")]
fn die_with(parent: u32) -> io::Result<()> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // The parent may have died before the line above.
    let now = getppid().map_or(0, |pid| pid.as_raw_nonzero().get().unsigned_abs());
    if now == parent { Ok(()) } else { Err(io::Error::other("the parent is gone")) }
}

#[cfg(not(target_os = "linux"))]
fn die_with(_parent: u32) -> io::Result<()> {
    Ok(())
}

fn send(replies: &Replies, reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_string(reply)?;
    line.push('\n');
    let mut out = replies.lock().map_err(|_| io::Error::other("reply stream"))?;
    out.write_all(line.as_bytes())
}

fn with_model(
    loaded: Option<&(Model, LoadSpec)>,
    work: impl FnOnce(&Model, &LoadSpec) -> Result<Finished, Failure>,
) -> Result<Finished, Failure> {
    let Some((model, spec)) = loaded else {
        return Err(Failure {
            status: Status::BadProtocol,
            reason: "no model is loaded".to_owned(),
            no_space: false,
        });
    };
    work(model, spec)
}

fn lay_out(work: &LayoutWork, replies: &Replies) -> Result<Finished, Failure> {
    let contexts = memory::for_header(|| layout::lay_out(work, |done, all| progress(replies, done, all)))?;
    Ok(Finished::Layout { contexts })
}

fn load(spec: LoadSpec, loaded: &mut Option<(Model, LoadSpec)>) -> Result<Finished, Failure> {
    *loaded = None;
    let model = Model::load(&spec.model, &model_options(&spec))?;
    let done = Loaded {
        load_s: model.load_s,
        context_length: model.context_length(),
        vocabulary: model.vocabulary(),
    };
    *loaded = Some((model, spec));
    Ok(Finished::Load(done))
}

fn model_options(spec: &LoadSpec) -> ModelOptions {
    ModelOptions {
        gpu_layers: spec.offload.gpu_layers,
        main_gpu: spec.offload.main_gpu,
        tensor_split: spec.offload.tensor_split.clone(),
        ..ModelOptions::default()
    }
}

/// The part of a context's shape that a sweep decides; each way of scoring fills in the rest.
fn template(model: &Model, spec: &LoadSpec, n_ctx: u32) -> Result<ContextOptions, LlamaError> {
    let trained = model.context_length();
    Ok(ContextOptions {
        n_ctx,
        n_batch: n_ctx,
        n_ubatch: 512,
        n_seq_max: 1,
        threads: spec.threads,
        flash_attn: match spec.offload.flash_attn {
            FlashAttn::Auto => -1,
            FlashAttn::On => 1,
            FlashAttn::Off => 0,
        },
        kv: (cache_type(&spec.kv.0)?, cache_type(&spec.kv.1)?),
        kv_unified: false,
        swa_full: true,
        yarn_from: (spec.yarn && n_ctx > trained).then_some(trained),
        yarn_to: None,
        n_outputs_max: 0,
    })
}

/// Cores that decoding leaves idle.
fn spare_cores(threads: u32) -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    (cores as u32).saturating_sub(threads)
}

fn text(
    model: &Model,
    spec: &LoadSpec,
    work: &TextWork,
    texts: &mut Texts,
    replies: &Replies,
) -> Result<Finished, Failure> {
    let begun = Instant::now();
    set_pool(spec.threads);
    let text = texts.cut(model, &work.text, work.cut)?;
    let options = perplexity::context_options(work.cut, template(model, spec, work.cut.ctx)?);
    let options = work.noise.map_or(options, |shape| noise::reshaped(options, shape));
    let subject = text.subject(&work.base_sha256, model.vocabulary());
    let corpus = if work.label.is_empty() { String::new() } else { format!("{}/", work.label) };
    let scored = |chunk: u64, score| {
        item(replies, work.first + chunk, format!("{corpus}chunk-{chunk}"), ItemScore::Chunk(Box::new(score)))
    };
    if work.is_base {
        let keeper = Keeper::new(keep(work, subject, spec.threads));
        let mut context = Context::capturing(model, options, &keeper.capture)?;
        for (done, chunk) in work.chunks.iter().enumerate() {
            match perplexity::keep_chunk(model, &mut context, &text, *chunk, &keeper, work.store_only)? {
                Some(score) => scored(*chunk, score)?,
                None => progress(replies, done as u64 + 1, work.chunks.len() as u64),
            }
        }
        return Ok(cost(begun, &context, keeper.store()));
    }
    let spare = spare_cores(spec.threads);
    let threads = if spare == 0 { spec.threads } else { spare };
    let mut comparer = Comparer::open(&work.base_store, &subject, &[&work.base_model], threads)?;
    let mut context = Context::new(model, options)?;
    let (context_of, chunks) = (&mut context, &work.chunks);
    score_chunks(model, context_of, &text, chunks, &mut comparer, spare as usize, &mut |c, s| scored(c, s))?;
    Ok(cost(begun, &context, Some(comparer.store())))
}

fn answer(
    model: &Model,
    spec: &LoadSpec,
    work: &GenerateWork,
    replies: &Replies,
) -> Result<Finished, Failure> {
    let template = template(model, spec, work.suite.ctx)?;
    let mut told_at = Instant::now();
    generate::answer(model, spec, work, template, &mut |told| match told {
        Told::Item(question, score) => item(replies, question.index, question.id.clone(), *score),
        // A step takes milliseconds with a small model.
        Told::Step if told_at.elapsed() < SIGN_OF_LIFE => Ok(()),
        Told::Step => {
            told_at = Instant::now();
            progress(replies, 0, 0);
            Ok(())
        }
    })
}

fn keep(work: &TextWork, subject: Subject, threads: u32) -> Keep {
    // Texts are read from their beginning, so the last chunk says how many there will be.
    let chunks = work.chunks.iter().max().map_or(0, |last| last + 1);
    Keep {
        path: work.base_store.clone(),
        choice: work.store,
        positions: chunks * u64::from(subject.rows),
        subject,
        model: work.base_model.clone(),
        threads,
    }
}

fn progress(replies: &Replies, done: u64, total: u64) {
    // A broken stream shows at the next reply.
    let _ = send(replies, &Reply::Progress { done, total, decoded: decoded() });
}

fn batched(
    model: &Model,
    spec: &LoadSpec,
    work: &BatchedWork,
    texts: &mut Texts,
    replies: &Replies,
) -> Result<Finished, Failure> {
    let begun = Instant::now();
    set_pool(spec.threads);
    let text = texts.cut(model, &work.text, work.cut)?;
    let n_ctx = work.cut.ctx;
    let mut chunks = work.chunks.unwrap_or(u64::MAX).min(text.chunks());
    let files = match &work.file {
        LogitsFile::None => Files::None,
        LogitsFile::Write(path) => {
            let writer = KldWriter::create(path, n_ctx, model.vocabulary(), text.tokens(chunks));
            Files::Write(writer.map_err(TextError::File)?)
        }
        LogitsFile::Read(path) => {
            let reader = KldReader::open(path).map_err(TextError::File)?;
            chunks = chunks.min(reader.shape().chunks.into());
            Files::Read(reader)
        }
    };
    let mut scorer = Scorer::new(model, &text, template(model, spec, n_ctx)?, files)?;
    let together = batched::together(n_ctx) as u64;
    let mut first = 0;
    while first < chunks {
        let end = chunks.min(first + together);
        for (chunk, score) in (first..end).zip(scorer.group(first, end)?) {
            item(replies, chunk, format!("chunk-{chunk}"), ItemScore::Chunk(Box::new(score)))?;
        }
        first = end;
    }
    let cost = cost(begun, &scorer.context, None);
    scorer.files.finish()?;
    Ok(cost)
}

fn item(replies: &Replies, index: u64, id: String, score: ItemScore) -> Result<(), Failure> {
    send(replies, &Reply::Item(ItemRecord { index, id, score })).map_err(|error| Failure {
        status: Status::BadProtocol,
        reason: error.to_string(),
        no_space: false,
    })?;
    // What it took.
    progress(replies, 0, 0);
    Ok(())
}

fn cost(begun: Instant, context: &Context<'_>, store: Option<&BaseStore>) -> Finished {
    Finished::Items(SuiteCost {
        wall_s: begun.elapsed().as_secs_f64(),
        decode_s: context.decode_s,
        tokens_decoded: context.tokens_decoded,
        tokens_naive: 0,
        items_cached: 0,
        store: store.map(BaseStore::summary),
    })
}

/// Comparing rows uses as many threads as decoding does; the two take turns.
fn set_pool(threads: u32) {
    // An error means the pool is there already, from an earlier request with the same threads.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(threads as usize).build_global();
}

fn speed(model: &Model, spec: &LoadSpec, work: SpeedWork, replies: &Replies) -> Result<Finished, Failure> {
    let template = template(model, spec, work.prompt.max(work.generate))?;
    let speed = throughput::measure(model, work, template, &meter(spec), |done, total| {
        progress(replies, done, total);
    })?;
    Ok(Finished::Speed(speed))
}

fn surface(
    model: &Model,
    spec: &LoadSpec,
    work: &SurfaceWork,
    replies: &Replies,
) -> Result<Finished, Failure> {
    let template = template(model, spec, work.shape.n_ctx())?;
    let points = throughput::surface(model, work, template, &meter(spec), |done, total| {
        progress(replies, done, total);
    })?;
    Ok(Finished::Surface { points })
}

/// The energy counters of what this model may run on.
fn meter(spec: &LoadSpec) -> Meter {
    let gpu = spec.offload.gpu_layers != 0 && !ffi::devices().is_empty();
    Meter::open(Path::new(energy::POWERCAP), gpu)
}

fn speculate(
    model: &Model,
    spec: &LoadSpec,
    work: &SpeculateWork,
    replies: &Replies,
) -> Result<Finished, Failure> {
    let draft = Model::load(&work.draft.model, &model_options(&work.draft))?;
    let prompts = speculation::tokenized(model, work)?;
    let n_ctx = speculation::context_length(&prompts, work);
    let templates = [template(model, spec, n_ctx)?, template(&draft, &work.draft, n_ctx)?];
    let done = speculation::measure([model, &draft], templates, &prompts, work, |done, total| {
        progress(replies, done, total);
    })?;
    Ok(Finished::Speculate(done))
}

/// Opens a bench and answers what is asked of it. It comes back only if the bench cannot be opened, or another request
/// than for probes was sent: a bench ends with its worker.
fn probe_until_hung_up(
    spec: &BenchSpec,
    requests: &mut io::Lines<BufReader<File>>,
    replies: &Replies,
) -> Result<Finished, Failure> {
    set_pool(spec.threads);
    let options = ModelOptions { writable: true, ..ModelOptions::default() };
    let model = Model::load(&spec.model, &options)?;
    let shape = LoadSpec {
        model: spec.model.clone(),
        threads: spec.threads,
        offload: Offload { gpu_layers: 0, ..Offload::default() },
        kv: ("f16".to_owned(), "f16".to_owned()),
        yarn: false,
    };
    let template = template(&model, &shape, spec.cut.ctx)?;
    let mut bench = Bench::open(&model, spec, template, |done, total| progress(replies, done, total))?;
    let broken = |error: io::Error| Failure {
        status: Status::BadProtocol,
        reason: error.to_string(),
        no_space: false,
    };
    send(replies, &Reply::Finished(Finished::Bench(bench.ready()))).map_err(broken)?;
    for line in requests {
        let request = line.and_then(|line| serde_json::from_str(&line).map_err(io::Error::other));
        let answer = match request.map_err(broken)? {
            Request::Probe(work) => bench.probe(&work, |done, total| progress(replies, done, total)),
            Request::Losses(work) => bench.losses(&work, |done, total| progress(replies, done, total)),
            _ => return Err(no_bench()),
        };
        let reply = match answer.map_err(Failure::from) {
            Ok(finished) => Reply::Finished(finished),
            Err(Failure { status, reason, no_space }) => Reply::Failed { status, reason, no_space },
        };
        send(replies, &reply).map_err(broken)?;
    }
    Err(no_bench())
}

fn no_bench() -> Failure {
    let reason = "probes are asked of an open bench, and a bench is asked nothing else".to_owned();
    Failure { status: Status::BadProtocol, reason, no_space: false }
}

fn importance(
    model: &Model,
    spec: &LoadSpec,
    work: &ImatrixWork,
    replies: &Replies,
) -> Result<Finished, Failure> {
    let shape = template(model, spec, work.n_ctx)?;
    let done = imatrix::compute(model, work, shape, |done, total| progress(replies, done, total))?;
    Ok(Finished::Imatrix(done))
}

fn count_tokens(
    work: &CountWork,
    loaded: Option<&(Model, LoadSpec)>,
    texts: &mut Texts,
) -> Result<Finished, Failure> {
    if let Some((model, _)) = loaded.filter(|(_, spec)| spec.model == work.model) {
        return Ok(Finished::Tokens { counts: texts.count(model, &work.texts)? });
    }
    let options = ModelOptions { vocab_only: true, ..ModelOptions::default() };
    let model = vocabulary(&work.model, &options)?;
    Ok(Finished::Tokens { counts: Texts::default().count(&model, &work.texts)? })
}

/// The template comes from a stranger's model, so that this process runs it, with a bound on what it may allocate.
fn render_chat(work: &ChatWork) -> Result<Finished, Failure> {
    let refused = |reason: String| Failure { status: Status::Refused, reason, no_space: false };
    let options = ModelOptions { vocab_only: true, ..ModelOptions::default() };
    let (bos, eos) = vocabulary(&work.model, &options)?.bos_and_eos();
    let path = &work.conversations;
    let lines = std::fs::read_to_string(path)
        .map_err(|error| refused(format!("cannot read {}: {error}", path.display())))?;
    let text = memory::for_template(lines.len(), || {
        let template = ChatTemplate::new(&work.template, &bos, &eos).map_err(|error| {
            format!("the chat template of {} cannot be used: {error}", work.model.display())
        })?;
        chat::render(path, &lines, &template).map_err(|error| error.to_string())
    });
    std::fs::write(&work.output, text.map_err(refused)?).map_err(|error| Failure {
        status: Status::Refused,
        reason: format!("cannot write {}: {error}", work.output.display()),
        no_space: files::is_full(&error),
    })?;
    Ok(Finished::File)
}

/// The loaded model writes a text.
fn write_text(
    model: &Model,
    spec: &LoadSpec,
    work: &SampleWork,
    replies: &Replies,
) -> Result<Finished, Failure> {
    set_pool(spec.threads);
    let (sampling, n_ctx) = (&work.sampling, u64::from(work.n_ctx.max(1)));
    let draw = Draw {
        n_ctx: work.n_ctx,
        runs: sampling.tokens / n_ctx,
        seed: sampling.seed,
        temperature: sampling.temperature,
    };
    let total = draw.runs * n_ctx;
    let template = template(model, spec, work.n_ctx)?;
    let runs = sample::write(model, template, &draw, |done| progress(replies, done, total))?;
    let start = model.start().unwrap_or_default();
    let facts = TokenFacts::new(model.vocabulary(), start, sampling.seed, sampling.temperature);
    token_file::write(&work.output, facts, &runs).map_err(TextError::Tokens)?;
    Ok(Finished::File)
}

fn vocabulary(path: &Path, options: &ModelOptions) -> Result<Model, Failure> {
    Ok(Model::load(path, options)?)
}

fn quantize_file(spec: &QuantizeSpec, replies: &Replies) -> Result<Finished, Failure> {
    let weights = |path: &PathBuf| imatrix::column_weights(path, spec.imatrix_name.as_deref());
    let columns = spec.imatrix.as_ref().map(weights).transpose();
    let options = QuantizeOptions {
        ftype: spec.ftype,
        overrides: spec.overrides.clone(),
        output_type: spec.output_type,
        embedding_type: spec.embedding_type,
        allow_requantize: spec.allow_requantize,
        threads: spec.threads,
        dry_run: spec.dry_run,
        imatrix: columns.map_err(|error| Failure::from(WorkError::from(error)))?,
    };
    let listener = Arc::clone(replies);
    let log = quantize::quantize(&spec.input, &spec.output, &options, move |done, total| {
        progress(&listener, done, total);
    })
    .map_err(|error| {
        let mut failure = Failure::from(error);
        failure.no_space = !spec.dry_run && disk_is_full(&spec.output);
        failure
    })?;
    let got = |name: &str| log.tensors.iter().find(|(n, _)| n == name).map_or("", |(_, t)| t.as_str());
    let fallbacks = log
        .fallbacks
        .iter()
        .map(|f| Fallback {
            tensor: f.tensor.clone(),
            wanted: f.wanted.clone(),
            got: got(&f.tensor).to_owned(),
            columns: f.columns,
            block: f.block,
        })
        .collect();
    Ok(Finished::Quantize(QuantizeDone { seconds: log.seconds, tensors: log.tensors, fallbacks }))
}

/// llama.cpp only says that a write failed; whether the disk is full is asked of the disk.
fn disk_is_full(file: &Path) -> bool {
    const MARGIN: u64 = 16 << 20;
    let folder = file.parent().unwrap_or(file);
    rustix::fs::statvfs(folder).is_ok_and(|s| s.f_bavail.saturating_mul(s.f_frsize) < MARGIN)
}
