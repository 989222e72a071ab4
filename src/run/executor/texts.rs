//! Texts: one request each, with the base's store beside it, and written first if the base has to write it.

use std::fs;

use super::{Executor, Outcomes, Work, bad_protocol};
use crate::files;
use crate::plan::corpus::LoadedCorpus;
use crate::plan::matrix::TrialKind;
use crate::plan::recipe::Recipe;
use crate::plan::suite::LoadedSuite;
use crate::plan::text::TextSuite;
use crate::score::{base_store, token_file};
use crate::worker::client::WorkFailure;
use crate::worker::protocol::{Finished, NoiseShape, Request, SampleWork, StoreChoice, TextWork};

impl Executor<'_> {
    /// One request a text of which chunks are wanted, each with its own store of the base.
    pub(super) fn text_requests(
        &mut self,
        work: &Work<'_>,
        suite: &LoadedSuite,
        text: &TextSuite,
        recipe: &Recipe,
    ) -> Outcomes<Vec<Request>> {
        let is_noise = work.trial.kind == TrialKind::Noise;
        let is_base = *recipe == Recipe::base() && !is_noise;
        let noise = is_noise.then(|| NoiseShape::new(text.ctx, self.prepared.config.run.threads));
        let mut requests = Vec::new();
        for corpus in &suite.corpora {
            let chunks = corpus.own(&work.items);
            if chunks.is_empty() {
                continue;
            }
            self.write_sampled(suite, corpus, text)?;
            let mut wanted = self.text_work(suite, corpus, text, chunks);
            if !is_base {
                self.fill_base_store(&wanted)?;
            }
            (wanted.is_base, wanted.noise) = (is_base, noise);
            requests.push(Request::Text(wanted));
        }
        Ok(requests)
    }

    /// Lets the base write a text that is not in the cache.
    pub(super) fn write_sampled(
        &mut self,
        suite: &LoadedSuite,
        corpus: &LoadedCorpus,
        text: &TextSuite,
    ) -> Outcomes<()> {
        let path = &corpus.text.path;
        let Some(sampling) = corpus.sampling.filter(|_| !token_file::is_whole(path)) else { return Ok(()) };
        self.note(format!("{}: the base writes {} tokens", suite.suite.name, sampling.tokens));
        let io = |error: std::io::Error| WorkFailure::NoSpace(format!("{}: {error}", path.display()));
        fs::create_dir_all(path.parent().unwrap_or(path)).map_err(io)?;
        let output = files::temporary(path);
        let request = Request::Sample(SampleWork { output: output.clone(), sampling, n_ctx: text.ctx });
        let base = self.prepared.base_path.clone();
        match self.ask(&Recipe::base(), &base, &request, None)? {
            Finished::File => fs::rename(&output, path).map_err(io),
            _ => Err(bad_protocol("the worker answered another question")),
        }
    }

    pub(super) fn text_work(
        &self,
        suite: &LoadedSuite,
        corpus: &LoadedCorpus,
        text: &TextSuite,
        chunks: Vec<u64>,
    ) -> TextWork {
        TextWork {
            text: corpus.text.clone(),
            label: corpus.label.clone(),
            first: corpus.first,
            cut: *text,
            chunks,
            base_store: self.prepared.base_store(suite, corpus),
            store: StoreChoice::Auto,
            base_model: self.prepared.base_path.clone(),
            base_sha256: self.prepared.base.sha256.clone(),
            is_base: false,
            store_only: false,
            noise: None,
        }
    }

    /// Evaluates the base on chunks that the cache has lost. Its items are on record already.
    pub(super) fn fill_base_store(&mut self, wanted: &TextWork) -> Outcomes<()> {
        let lost = base_store::missing(&wanted.base_store, &wanted.chunks);
        if lost.is_empty() {
            return Ok(());
        }
        let request =
            Request::Text(TextWork { chunks: lost, is_base: true, store_only: true, ..wanted.clone() });
        let path = self.prepared.base_path.clone();
        self.ask(&Recipe::base(), &path, &request, None)?;
        Ok(())
    }
}
