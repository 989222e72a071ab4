//! Speculative decoding of one model with another as its draft: what `bitfrontier speculate` asks of a worker.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde::Serialize;
use tempfile::NamedTempFile;

use crate::analyze::speculation::{self, SpeculationRow};
use crate::error::Error;
use crate::gguf::{self, Described as _};
use crate::plan::config::Offload;
use crate::plan::speculation::Prompt;
use crate::run::ending::without_result;
use crate::run::estimate;
use crate::worker::client::Worker;
use crate::worker::protocol::{Finished, LoadSpec, Reply, Request, SpeculateWork, Speculated};

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// The model whose output it is.
    pub target: PathBuf,
    /// The model that proposes.
    pub draft: PathBuf,
    /// The prompts.
    pub prompts: Vec<Prompt>,
    /// Draft lengths.
    pub lengths: Vec<u32>,
    /// Most tokens behind a prompt.
    pub tokens: u32,
    /// The draft stops before a token that it gives less than this probability.
    pub min_probability: f32,
    /// Largest distance of two logits that may change places.
    pub tolerance: f64,
    /// Timed repetitions.
    pub repetitions: u32,
    /// Threads given to llama.cpp.
    pub threads: u32,
    /// What goes to a GPU.
    pub offload: Offload,
    /// Stretch contexts beyond the models' by YaRN.
    pub yarn: bool,
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// One row a draft length.
    pub rows: Vec<SpeculationRow>,
    /// Peak resident set of the worker with both models.
    pub peak_rss_bytes: u64,
    /// What was measured, prompt by prompt.
    pub prompts: Vec<crate::worker::protocol::PromptRuns>,
}

impl Answer {
    /// An error if any output is not the target's own.
    pub fn verified(&self, tolerance: f64) -> Result<(), Error> {
        match speculation::diverged(&self.rows) {
            None => Ok(()),
            Some((count, furthest)) => Err(Error::Diverged { count, tolerance, furthest }),
        }
    }
}

/// Carries it out. `progress` hears of runs done and in all.
pub fn speculate(
    question: &Question,
    interrupted: &AtomicBool,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Answer, Error> {
    let (target, draft) = (gguf::open_model(&question.target)?, gguf::open_model(&question.draft)?);
    if let Some(reason) = other_vocabulary(&target, &draft)? {
        let hint = "a draft must have the target's vocabulary, such as another variant of the same base";
        return Err(Error::Refused { reason, hint: Some(hint.to_owned()) });
    }
    let log = NamedTempFile::new().map_err(|source| Error::Io { path: std::env::temp_dir(), source })?;
    let mut worker = Worker::start(log.path(), interrupted).map_err(without_result)?;
    let sizes = (target.weights() + draft.weights(), target.file_bytes() + draft.file_bytes());
    let mut ask = |request: Request| {
        let patience = estimate::silence(sizes.0, sizes.1, &request);
        let heard = |reply| {
            if let Reply::Progress { done, total, .. } = reply {
                progress(done, total);
            }
            Ok(())
        };
        worker.ask(&request, patience, interrupted, heard).map_err(without_result)
    };
    ask(Request::Load(load(question, &question.target)))?;
    let work = SpeculateWork {
        draft: load(question, &question.draft),
        prompts: question.prompts.clone(),
        lengths: question.lengths.clone(),
        tokens: question.tokens,
        min_probability: question.min_probability,
        repetitions: question.repetitions,
    };
    let Finished::Speculate(Speculated { prompts, peak_rss_bytes }) = ask(Request::Speculate(work))? else {
        return Err(Error::Worker("the worker answered another question".to_owned()));
    };
    let measured = Speculated { prompts, peak_rss_bytes };
    let name = |path: &Path| path.display().to_string();
    let rows =
        speculation::rows(&name(&question.target), &name(&question.draft), question.tolerance, &measured);
    Ok(Answer { rows, peak_rss_bytes, prompts: measured.prompts })
}

fn load(question: &Question, model: &Path) -> LoadSpec {
    LoadSpec {
        model: model.to_owned(),
        threads: question.threads,
        offload: question.offload.clone(),
        kv: ("f16".to_owned(), "f16".to_owned()),
        yarn: question.yarn,
    }
}

/// Whether every token means the same to both models.
pub fn same_vocabulary(a: &gguf::Model, b: &gguf::Model) -> Result<bool, Error> {
    const TOKENS: &str = "tokenizer.ggml.tokens";
    let digest = |m: &gguf::Model| {
        gguf::array_digest(m, TOKENS).map_err(|source| Error::Io { path: m.first().path.clone(), source })
    };
    Ok(digest(a)? == digest(b)?)
}

/// Why one model cannot draft for another: every token must mean the same to both.
pub fn other_vocabulary(target: &gguf::Model, draft: &gguf::Model) -> Result<Option<String>, Error> {
    if same_vocabulary(target, draft)? {
        return Ok(None);
    }
    let count = |m: &gguf::Model| m.vocab_size().unwrap_or(0);
    let (ours, theirs) = (count(target), count(draft));
    let how = if ours == theirs {
        format!("other tokens among its {theirs}")
    } else {
        format!("{theirs} tokens, not {ours}")
    };
    Ok(Some(format!(
        "{} cannot draft for {}: its vocabulary has {how}",
        draft.first().path.display(),
        target.first().path.display()
    )))
}
