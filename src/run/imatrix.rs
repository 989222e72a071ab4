//! An importance matrix of a base: what `bitfrontier imatrix` asks of a worker, and what a sweep needs before it makes
//! a file whose recipe wants one. A sweep's matrix is kept in the cache under what it is made of, so that no sweep
//! computes it twice; its text is compared with all that variants are judged by, and must not be among it.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use tempfile::NamedTempFile;

use crate::error::Error;
use crate::fetch::{Cache, sha256_file};
use crate::gguf::imatrix::{self as matrix, ImatrixError};
use crate::gguf::{self, Described as _};
use crate::plan::config::{Offload, SweepConfig};
use crate::plan::overlap::overlap;
use crate::plan::recipe::ImatrixUse;
use crate::plan::suite::{self, LoadedSuite, Scoring};
use crate::run::ending::goes_on;
use crate::run::event::Event;
use crate::run::{data, estimate};
use crate::worker::client::{WorkFailure, Worker};
use crate::worker::protocol::{
    Finished, ImatrixDone, ImatrixWork, LoadSpec, Reply, Request, Status, Unreached,
};

/// Tokens a chunk where nothing says otherwise, as for llama-imatrix.
pub const N_CTX: u32 = 512;
/// The suite whose text a sweep's matrix is computed with where nothing else is named.
pub const DEFAULT_TEXT: &str = "moby_dick";
/// Chunks of the default text: some minutes on a small machine, and where gains level off.
pub const DEFAULT_CHUNKS: u64 = 100;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// The model's file.
    pub model: PathBuf,
    /// The text.
    pub text: PathBuf,
    /// What the matrix calls the text.
    pub dataset: String,
    /// Tokens a chunk.
    pub n_ctx: u32,
    /// Chunks from the beginning; absent: all.
    pub chunks: Option<u64>,
    /// Collect for the output matrix too.
    pub process_output: bool,
    /// File to write.
    pub out: PathBuf,
    /// Threads given to llama.cpp.
    pub threads: u32,
    /// What goes to a GPU.
    pub offload: Offload,
    /// Stretch contexts beyond the model's by YaRN.
    pub yarn: bool,
}

/// Computes a matrix for the command line. `progress` hears of chunks done, of how many.
pub fn compute(
    question: &Question,
    interrupted: &AtomicBool,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<ImatrixDone, Error> {
    check_place(question)?;
    let log = NamedTempFile::new().map_err(|source| Error::Io { path: std::env::temp_dir(), source })?;
    let model = gguf::open_model(&question.model)?;
    work(question, &model, log.path(), interrupted, progress).map_err(goes_on)
}

/// What the command says when it is done.
pub fn told(out: &Path, done: &ImatrixDone) -> String {
    let resumed = match done.resumed_from {
        0 => String::new(),
        chunks => format!(", {chunks} of them by an earlier run"),
    };
    let mut text = format!(
        "{}: {} weights, {} chunks{resumed}, {:.1} s\n",
        out.display(),
        done.entries,
        done.chunks,
        done.wall_s
    );
    for Unreached { tensor, without, experts } in &done.unreached {
        let _ = writeln!(text, "{tensor}: no token of the text reached {without} of {experts} experts");
    }
    if !done.unreached.is_empty() {
        text += "the columns of experts without text will weigh alike; a longer text may reach them\n";
    }
    text
}

/// Refuses to write over what is no matrix, and finds out now whether the folder can be written.
fn check_place(question: &Question) -> Result<(), Error> {
    let out = &question.out;
    let refused = |why: &str, hint: &str| Error::Refused {
        reason: format!("{} {why}", out.display()),
        hint: Some(hint.to_owned()),
    };
    if out.file_name().is_none() || out.is_dir() {
        return Err(refused("is a folder", "name the file to write, such as imatrix.gguf"));
    }
    if let Err(ImatrixError::NotImatrix { .. } | ImatrixError::Gguf(_)) = matrix::read(out)
        && fs::metadata(out).is_ok_and(|about| about.len() > 0)
    {
        return Err(refused("is there and is not an importance matrix", "choose another output file"));
    }
    let folder = out.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let writable = fs::create_dir_all(folder)
        .and_then(|()| tempfile::Builder::new().prefix(".imatrix-").tempfile_in(folder))
        .and_then(|mut file| file.write_all(b"?"));
    writable.map_err(|error| Error::NoSpace(format!("{} cannot be written: {error}", folder.display())))
}

/// Loads the model in a worker of its own and has the matrix computed.
fn work(
    question: &Question,
    model: &gguf::Model,
    log: &Path,
    interrupted: &AtomicBool,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<ImatrixDone, WorkFailure> {
    let mut worker = Worker::start(log, interrupted)?;
    let mut ask = |request: &Request| {
        let patience = estimate::silence(model.weights(), model.file_bytes(), request);
        worker.ask(request, patience, interrupted, |reply| {
            if let Reply::Progress { done, total, .. } = reply {
                progress(done, total);
            }
            Ok(())
        })
    };
    ask(&Request::Load(LoadSpec {
        model: question.model.clone(),
        threads: question.threads,
        offload: question.offload.clone(),
        kv: ("f16".to_owned(), "f16".to_owned()),
        yarn: question.yarn,
    }))?;
    let finished = ask(&Request::Imatrix(ImatrixWork {
        text: question.text.clone(),
        dataset: question.dataset.clone(),
        n_ctx: question.n_ctx,
        chunks: question.chunks,
        base_files: model.paths().map(Path::to_owned).collect(),
        out: question.out.clone(),
        process_output: question.process_output,
    }))?;
    match finished {
        Finished::Imatrix(done) => Ok(done),
        _ => Err(WorkFailure::Trial {
            status: Status::BadProtocol,
            reason: "the worker answered another question".to_owned(),
            alive: false,
        }),
    }
}

/// The text of a sweep's matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calibration {
    /// Its file.
    pub text: PathBuf,
    /// What the matrix, and every file made with it, calls the text: the same on every machine.
    pub dataset: String,
    /// Chunks from its beginning; absent: all.
    pub chunks: Option<u64>,
}

impl Calibration {
    /// The text that was named, or the default one from the cache.
    pub fn find(named: Option<&Path>, chunks: Option<u64>, cache: &Cache) -> Result<Self, Error> {
        if let Some(text) = named {
            let name = text.file_name().unwrap_or_default().to_string_lossy().into_owned();
            return Ok(Self { text: text.to_owned(), dataset: name, chunks });
        }
        let suite = suite::parse(&suite::find(DEFAULT_TEXT, "[imatrix]")?)?;
        let text = data::locate_all(&suite, cache, false)?.swap_remove(0);
        Ok(Self { text, dataset: DEFAULT_TEXT.to_owned(), chunks: chunks.or(Some(DEFAULT_CHUNKS)) })
    }

    /// Refuses a text that shares passages with what variants are judged by.
    pub fn check(&self, suites: &[LoadedSuite]) -> Result<(), Error> {
        let read = |path: &Path| {
            let text = fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
            Ok::<_, Error>(String::from_utf8_lossy(&text).into_owned())
        };
        let own = read(&self.text)?;
        for suite in suites {
            let judged = match &suite.suite.scoring {
                // What the base writes itself is no text that could have been in a file.
                Scoring::Text(_) => {
                    let texts = suite.corpora.iter().filter(|corpus| corpus.sampling.is_none());
                    texts.map(|corpus| read(&corpus.text.path)).collect::<Result<Vec<_>, _>>()?.join("\n")
                }
                Scoring::Choice(_) | Scoring::Generate(_) => {
                    let texts = (0..suite.items.len()).flat_map(|index| suite.items.texts(index));
                    texts.flat_map(|text| [text, "\n"]).collect()
                }
            };
            let found = overlap(&own, &judged);
            if found.is_overlap() {
                return Err(self.overlapping(&suite.suite.name, found.share(), found.example));
            }
        }
        Ok(())
    }

    fn overlapping(&self, suite: &str, share: f64, example: Option<String>) -> Error {
        let example = example.map_or(String::new(), |e| format!(", such as \"{e}\""));
        Error::Refused {
            reason: format!(
                "the importance matrix would be computed with {}, which has {:.1}% of the text of the suite {suite} in \
                 it{example}: variants would be judged by what they were fitted to",
                self.text.display(),
                100.0 * share
            ),
            hint: Some(format!(
                "give another text as `[imatrix] text = \"...\"`, or leave out the suite {suite}"
            )),
        }
    }
}

/// The importance matrix of a sweep whose recipes want one, checked against its suites, and what can be said of
/// matrices that others made. Returns where the sweep's own lies.
pub fn of_sweep(
    config: &SweepConfig,
    base: &Base<'_>,
    suites: &[LoadedSuite],
    cache: &Cache,
    interrupted: &AtomicBool,
    events: &mut dyn FnMut(&Event),
) -> Result<Option<PathBuf>, Error> {
    let mut note = |message: String| events(&Event::Note { message });
    let mut wanted = false;
    for weights in config.recipes.iter().map(|r| &r.weights) {
        match &weights.imatrix {
            ImatrixUse::None => {}
            ImatrixUse::Sweep => wanted = true,
            ImatrixUse::File(path) => note(unchecked(&weights.name, path)),
        }
    }
    if !wanted {
        return Ok(None);
    }
    let chunks = config.imatrix.chunks.map(NonZeroU64::get);
    let calibration = Calibration::find(config.imatrix.text.as_deref(), chunks, cache)?;
    calibration.check(suites)?;
    let log = NamedTempFile::new().map_err(|source| Error::Io { path: std::env::temp_dir(), source })?;
    let mut begun = false;
    let mut progress = |done, total| {
        if !std::mem::replace(&mut begun, true) {
            let text = calibration.text.display();
            events(&Event::Note { message: format!("computing the base's importance matrix from {text}") });
        }
        events(&Event::Step { done, total, decoded: 0 });
    };
    ensure(base, &calibration, cache, log.path(), interrupted, &mut progress).map(Some).map_err(goes_on)
}

/// Of somebody else's matrix only the name of its text is known.
fn unchecked(recipe: &str, path: &Path) -> String {
    let from = match matrix::read(path) {
        Ok(matrix) if !matrix.datasets.is_empty() => format!("from {}", matrix.datasets.join(", ")),
        _ => "from a text it does not name".to_owned(),
    };
    format!(
        "recipe {recipe}: {} was computed {from}; whether that overlaps the suites cannot be checked",
        path.display()
    )
}

/// A base's matrix in the cache, computed if it is not there. A text that overlaps the suites must have been refused
/// before ([`Calibration::check`]).
pub fn ensure(
    base: &Base<'_>,
    calibration: &Calibration,
    cache: &Cache,
    log: &Path,
    interrupted: &AtomicBool,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<PathBuf, WorkFailure> {
    let key = key(base, calibration).map_err(|e| trial(&format!("{}: {e}", calibration.text.display())))?;
    let out = cache.imatrices().join(format!("imatrix-{key}.gguf"));
    if matrix::read(&out).is_err() {
        let question = Question {
            model: base.path.to_owned(),
            text: calibration.text.clone(),
            dataset: calibration.dataset.clone(),
            n_ctx: N_CTX,
            chunks: calibration.chunks,
            process_output: false,
            out: out.clone(),
            threads: base.threads,
            offload: base.offload.clone(),
            yarn: false,
        };
        work(&question, base.model, log, interrupted, progress)?;
    }
    Ok(out)
}

/// The base of a sweep and how it is run.
#[derive(Debug, Clone, Copy)]
pub struct Base<'a> {
    /// Its file (first part, if split).
    pub path: &'a Path,
    /// Its header.
    pub model: &'a gguf::Model,
    /// Its SHA-256.
    pub sha256: &'a str,
    /// llama.cpp's version.
    pub llama_cpp: &'a str,
    /// Threads given to llama.cpp.
    pub threads: u32,
    /// What goes to a GPU.
    pub offload: &'a Offload,
}

/// What a matrix is made of, as a short hash.
fn key(base: &Base<'_>, calibration: &Calibration) -> io::Result<String> {
    let text = sha256_file(&calibration.text)?;
    let about =
        (base.sha256, base.llama_cpp, text, &calibration.dataset, calibration.chunks, N_CTX, base.offload);
    let json = serde_json::to_vec(&about)?;
    Ok(blake3::hash(&json).to_hex().chars().take(20).collect())
}

fn trial(reason: &str) -> WorkFailure {
    WorkFailure::Trial { status: Status::Refused, reason: reason.to_owned(), alive: false }
}
