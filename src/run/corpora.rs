//! The texts of suites made ready: found, rendered by the model's chat template, named if the base is yet to write
//! them, counted, and limited.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::error::Error;
use crate::fetch::{Cache, sha256_file};
use crate::files;
use crate::gguf::{self, Described as _};
use crate::journal::record::Software;
use crate::plan::config::SweepConfig;
use crate::plan::corpus::{Corpus, LoadedCorpus, Matter, Sampling, TextFile, TextKind, spread};
use crate::plan::error::PlanError;
use crate::plan::fingerprint;
use crate::plan::suite::{Scoring, Suite};
use crate::plan::text::TextSuite;
use crate::run::data;
use crate::run::prepare::Inspector;
use crate::worker::client::WorkFailure;
use crate::worker::protocol::{ChatWork, Finished, Request, Status};

/// Version of how the base writes texts. Raised whenever the same model and seed would write another.
const WRITER: u32 = 1;

/// What the texts of a sweep are made of, beside the suites.
pub(super) struct Materials<'a> {
    pub config: &'a SweepConfig,
    pub cache: &'a Cache,
    pub base: &'a gguf::Model,
    pub base_sha256: &'a str,
    pub software: &'a Software,
}

impl Materials<'_> {
    /// The texts of all suites, in their order; none for questions.
    pub fn texts(
        &self,
        suites: &[Suite],
        inspector: &mut Inspector<'_>,
    ) -> Result<Vec<Vec<LoadedCorpus>>, Error> {
        let mut all = Vec::new();
        for suite in suites {
            let corpora = suite.corpora.iter().map(|corpus| self.text(suite, corpus, inspector));
            all.push(corpora.collect::<Result<Vec<_>, _>>()?);
        }
        // Asked even without a text, because it tells whether llama.cpp knows this kind of model at all.
        let files = all.iter().flatten().filter(|c| c.sampling.is_none()).map(|c| c.text.clone()).collect();
        let mut counts = inspector.count(files)?.into_iter();
        let mut seen = BTreeSet::new();
        for (suite, corpora) in suites.iter().zip(&mut all) {
            let Scoring::Text(text) = &suite.scoring else { continue };
            for corpus in corpora.iter_mut() {
                let tokens = match corpus.sampling {
                    Some(sampling) => sampling.tokens,
                    None => counts.next().unwrap_or(0),
                };
                // Suites that share such a text share the work.
                if corpus.sampling.is_some()
                    && !corpus.text.path.is_file()
                    && seen.insert(corpus.text.path.clone())
                {
                    corpus.unwritten = tokens;
                }
                corpus.chunks = chunks(suite, corpus, tokens, *text)?;
            }
            self.limit(suite, corpora);
        }
        Ok(all)
    }

    /// A text as it will be read; its chunks are not counted yet.
    fn text(
        &self,
        suite: &Suite,
        corpus: &Corpus,
        inspector: &mut Inspector<'_>,
    ) -> Result<LoadedCorpus, Error> {
        let find = |places| data::locate(suite, places, self.cache, self.config.fetch);
        let (text, sampling) = match &corpus.matter {
            Matter::Text(places) => (TextFile::plain(find(places)?), None),
            Matter::Chat(places) => {
                let path = self.rendered(suite, find(places)?, inspector)?;
                (TextFile { path, kind: TextKind::Rendered }, None)
            }
            Matter::Sampled(sampling) => {
                let path = self.cache.data().join("sampled").join(self.sampled_name(suite, sampling));
                (TextFile { path, kind: TextKind::Tokens }, Some(*sampling))
            }
        };
        let key = match sampling {
            Some(_) => format!("sampled:{}", text.path.file_stem().unwrap_or_default().to_string_lossy()),
            None => sha256(&text.path)?,
        };
        let label = if suite.corpora.len() > 1 { corpus.name.clone() } else { String::new() };
        Ok(LoadedCorpus { label, text, sampling, unwritten: 0, key, chunks: 0, first: 0, planned: 0 })
    }

    /// Named after all that decides what the base writes.
    fn sampled_name(&self, suite: &Suite, sampling: &Sampling) -> String {
        let n_ctx = suite.scoring.ctx();
        let key = fingerprint::of(&json!({
            "base_sha256": self.base_sha256,
            "sampling": sampling,
            "n_ctx": n_ctx,
            "llama_cpp": self.software.llama_cpp,
            "build": self.software.build,
            "offload": self.config.run.offload,
            "yarn": self.config.run.yarn,
            "writer": WRITER,
        }));
        format!("{key}.jsonl")
    }

    /// The conversations as the base's own chat template renders them, in a file named after its content.
    fn rendered(
        &self,
        suite: &Suite,
        conversations: PathBuf,
        inspector: &mut Inspector<'_>,
    ) -> Result<PathBuf, Error> {
        let whose = format!("suite {} needs a chat template", suite.name);
        let template = template_of(self.base, &whose)?;
        let folder = self.cache.data().join("chat");
        let io = |source| Error::Io { path: folder.clone(), source };
        fs::create_dir_all(&folder).map_err(io)?;
        let output = files::temporary(&folder.join("rendered"));
        let work = ChatWork {
            model: self.base.first().path.clone(),
            template,
            conversations,
            output: output.clone(),
        };
        match inspector.ask(&Request::RenderChat(work)) {
            Ok(Finished::File) => {}
            Ok(_) => return Err(Error::Worker("the worker answered another question".to_owned())),
            Err(failure) => {
                let _ = fs::remove_file(&output);
                return Err(not_rendered(failure));
            }
        }
        let path = folder.join(format!("{}.txt", sha256(&output)?));
        fs::rename(&output, &path).map_err(io)?;
        Ok(path)
    }

    /// Numbers the chunks through and spreads the limit over the corpora.
    fn limit(&self, suite: &Suite, corpora: &mut [LoadedCorpus]) {
        let chunks: Vec<u64> = corpora.iter().map(|c| c.chunks).collect();
        let limit = self.config.limit_of(&suite.name).unwrap_or(u64::MAX);
        let mut first = 0;
        for (corpus, planned) in corpora.iter_mut().zip(spread(limit, &chunks)) {
            (corpus.first, corpus.planned) = (first, planned);
            first += corpus.chunks;
        }
    }
}

/// The chat template in a model's file.
pub(super) fn template_of(model: &gguf::Model, whose: &str) -> Result<String, Error> {
    model.chat_template().map(str::to_owned).ok_or_else(|| Error::Refused {
        reason: format!("{whose}, and {} has none", model.first().path.display()),
        hint: Some("use a model that is tuned for conversations, or a plain text".to_owned()),
    })
}

/// Why conversations could not be rendered.
pub(super) fn not_rendered(failure: WorkFailure) -> Error {
    match failure {
        WorkFailure::Trial { status: Status::Refused, reason, .. } | WorkFailure::Base(reason) => {
            let hint = "correct that file, or leave the conversations out";
            Error::Refused { reason, hint: Some(hint.to_owned()) }
        }
        WorkFailure::Trial { reason, .. } => Error::Refused {
            reason: format!("the model's chat template takes too much memory or time: {reason}"),
            hint: Some("leave the conversations out: this template cannot be trusted".to_owned()),
        },
        WorkFailure::NoSpace(what) => Error::NoSpace(what),
        WorkFailure::Interrupted => Error::Interrupted { resume: "the same command".to_owned() },
    }
}

fn sha256(path: &Path) -> Result<String, Error> {
    sha256_file(path).map_err(|source| Error::Io { path: path.to_owned(), source })
}

fn chunks(suite: &Suite, corpus: &LoadedCorpus, tokens: u64, text: TextSuite) -> Result<u64, Error> {
    let count = text.chunks(tokens);
    if count >= 2 {
        return Ok(count);
    }
    let what =
        if corpus.label.is_empty() { "its text".to_owned() } else { format!("corpus {}", corpus.label) };
    Err(Error::Plan(PlanError::Missing {
        place: format!("suite {}", suite.name),
        what: format!("{what} has {tokens} tokens, fewer than two chunks of {}", text.ctx),
        hint: "use a longer text or a smaller `ctx`".to_owned(),
    }))
}
