//! A base on the bench: its weights are exchanged in memory for what a type leaves of them, and a text shows what that
//! does, chunk by chunk, against the base's own distributions.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::gguf::imatrix::{self, ImatrixError};
use crate::llama::context::Context;
use crate::llama::ffi::ContextOptions;
use crate::llama::model::{LlamaError, Model};
use crate::llama::swap::{SwapError, Swapper};
use crate::score::base_store;
use crate::score::compare::score_chunks;
use crate::score::item::ChunkScore;
use crate::score::perplexity::{self, Text, TextError, tokenize};
use crate::score::reference::{Comparer, Keep, Keeper};
use crate::worker::protocol::{
    BenchReady, BenchSpec, ChunkDivergence, Finished, Loss, LossWork, ProbeWork, StoreChoice,
};

/// Why a bench cannot be opened, or a probe not be made.
#[derive(Debug, Error)]
pub enum BenchError {
    /// llama.cpp refused.
    #[error(transparent)]
    Llama(#[from] LlamaError),
    /// The text or the base's distributions cannot be used.
    #[error(transparent)]
    Text(#[from] TextError),
    /// A weight cannot be exchanged.
    #[error(transparent)]
    Swap(#[from] SwapError),
    /// The importance matrix cannot be used.
    #[error(transparent)]
    Matrix(#[from] ImatrixError),
}

/// An open bench.
#[derive(Debug)]
pub struct Bench<'model> {
    model: &'model Model,
    text: Text,
    context: Context<'model>,
    comparer: Comparer,
    swapper: Swapper<'model>,
}

impl<'model> Bench<'model> {
    /// Evaluates the base where that is not kept, and finds its weights. `on_step` hears of chunks done, of how many.
    pub fn open(
        model: &'model Model,
        spec: &BenchSpec,
        template: ContextOptions,
        on_step: impl FnMut(u64, u64),
    ) -> Result<Self, BenchError> {
        let text = Text::new(tokenize(model, &spec.text)?, &spec.text.path, spec.cut)?;
        let options = perplexity::context_options(spec.cut, template);
        keep_base(model, &text, spec, options, on_step)?;
        let subject = text.subject(&spec.base_sha256, model.vocabulary());
        let comparer = Comparer::open(&spec.base_store, &subject, &[&spec.model], spec.threads)?;
        let importances = match &spec.imatrix {
            None => BTreeMap::new(),
            Some(path) => {
                imatrix::read(path)?.entries.into_iter().map(|(name, entry)| (name, entry.values)).collect()
            }
        };
        let swapper = Swapper::new(model, spec.threads, importances)?;
        Ok(Self { model, text, context: Context::new(model, options)?, comparer, swapper })
    }

    /// What can be asked of it.
    pub fn ready(&self) -> BenchReady {
        BenchReady { tensors: self.swapper.names().map(str::to_owned).collect() }
    }

    /// Exchanges weights and scores chunks.
    pub fn probe(
        &mut self,
        work: &ProbeWork,
        mut on_step: impl FnMut(u64, u64),
    ) -> Result<Finished, BenchError> {
        self.swapper.apply(&work.types)?;
        let total = work.chunks.len() as u64;
        on_step(0, total);
        let mut chunks = Vec::new();
        let (model, text, context) = (self.model, &self.text, &mut self.context);
        score_chunks(model, context, text, &work.chunks, &mut self.comparer, 0, &mut |chunk, score| {
            chunks.push(divergence(chunk, &score));
            on_step(chunks.len() as u64, total);
            Ok::<(), TextError>(())
        })?;
        Ok(Finished::Probe { chunks })
    }

    /// Measures what coding loses.
    pub fn losses(
        &mut self,
        work: &LossWork,
        mut on_step: impl FnMut(u64, u64),
    ) -> Result<Finished, BenchError> {
        let (total, every) = (work.tensors.len() as u64, work.every as usize);
        let mut losses = Vec::new();
        for (done, tensor) in work.tensors.iter().enumerate() {
            on_step(done as u64, total);
            for kind in &work.types {
                losses.push(match self.swapper.loss(tensor, *kind, every) {
                    Ok(loss) => Some(Loss { error: loss.error, norm: loss.norm }),
                    Err(SwapError::Uncoded { .. }) => None,
                    Err(error) => return Err(error.into()),
                });
            }
        }
        Ok(Finished::Losses { losses })
    }
}

/// Sums of a chunk, in f64.
fn divergence(chunk: u64, score: &ChunkScore) -> ChunkDivergence {
    ChunkDivergence {
        chunk,
        kld: score.kld.0.iter().map(|kld| f64::from(*kld)).sum(),
        positions: score.kld.0.len() as u64,
        nonfinite: score.nonfinite.into(),
    }
}

fn keep_base(
    model: &Model,
    text: &Text,
    spec: &BenchSpec,
    options: ContextOptions,
    mut on_step: impl FnMut(u64, u64),
) -> Result<(), BenchError> {
    let missing = base_store::missing(&spec.base_store, &spec.chunks);
    if missing.is_empty() {
        return Ok(());
    }
    let subject = text.subject(&spec.base_sha256, model.vocabulary());
    let keeper = Keeper::new(Keep {
        path: spec.base_store.clone(),
        choice: StoreChoice::Hidden,
        positions: spec.chunks.len() as u64 * u64::from(subject.rows),
        subject,
        model: spec.model.clone(),
        threads: spec.threads,
    });
    let mut context = Context::capturing(model, options, &keeper.capture)?;
    for (done, chunk) in missing.iter().enumerate() {
        on_step(done as u64, missing.len() as u64);
        perplexity::keep_chunk(model, &mut context, text, *chunk, &keeper, true)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::llama::ffi::{self, ModelOptions};
    use crate::worker::protocol::{Scored, TextFile, TextSuite};

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
    }

    fn kld(finished: &Finished) -> f64 {
        let Finished::Probe { chunks } = finished else { panic!("{finished:?}") };
        assert!(chunks.iter().all(|c| c.positions == 111 && c.nonfinite == 0), "{chunks:?}");
        chunks.iter().map(|c| c.kld).sum()
    }

    #[test]
    fn weights_are_exchanged_and_put_back_to_the_bit() {
        const Q4_0: u32 = 2;
        const Q8_0: u32 = 8;
        const Q2_K: u32 = 10;
        const IQ2_XXS: u32 = 16;
        ffi::init();
        let folder = tempfile::tempdir().expect("a folder");
        let options = ModelOptions { writable: true, ..ModelOptions::default() };
        let model = Model::load(&fixture("tiny-f16.gguf"), &options).expect("loaded");
        let spec = BenchSpec {
            model: fixture("tiny-f16.gguf"),
            base_sha256: "base".to_owned(),
            threads: 1,
            text: TextFile::plain(fixture("text.txt")),
            cut: TextSuite { ctx: 128, scored: Scored::All, stride: None },
            chunks: vec![1, 3],
            base_store: folder.path().join("store"),
            imatrix: None,
        };
        let template = ContextOptions { n_ctx: 128, n_batch: 128, n_ubatch: 128, ..ContextOptions::PLAIN };
        let mut bench = Bench::open(&model, &spec, template, |_, _| ()).expect("open");
        let tensors = bench.ready().tensors;
        assert_eq!(tensors.iter().filter(|t| t.starts_with("blk.1.") && !t.contains("norm")).count(), 7);
        assert!(tensors.iter().any(|t| t == "token_embd.weight"), "{tensors:?}");
        let chunks = vec![1, 3];
        let mut probe = |types: &[(&str, u32)]| {
            let types = types.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
            bench.probe(&ProbeWork { types, chunks: chunks.clone() }, |_, _| ())
        };
        let all = |kind| -> Vec<(&str, u32)> {
            tensors.iter().filter(|t| !t.contains("norm")).map(|t| (t.as_str(), kind)).collect()
        };
        let nothing = kld(&probe(&[]).expect("probed"));
        let one = kld(&probe(&[("blk.0.ffn_down.weight", Q4_0)]).expect("probed"));
        let (fine, coarse) =
            (kld(&probe(&all(Q8_0)).expect("probed")), kld(&probe(&all(Q2_K)).expect("probed")));
        assert!(
            nothing == 0.0 && 0.0 < one && 0.0 < fine && fine < coarse,
            "{nothing} {one} {fine} {coarse}"
        );
        assert!(one < coarse);
        // What cannot be exchanged leaves the weight as it is.
        let error = probe(&[("blk.0.ffn_down.weight", IQ2_XXS)]).expect_err("no importances");
        assert_eq!(error.to_string(), "blk.0.ffn_down.weight cannot be coded as iq2_xxs");
        assert!(probe(&[("blk.9.ffn_down.weight", Q4_0)]).is_err());
        assert_eq!(kld(&probe(&[]).expect("probed")).to_bits(), 0, "to the bit");
        // The same mix, the same numbers, whatever was there before.
        assert_eq!(kld(&probe(&all(Q2_K)).expect("probed")).to_bits(), coarse.to_bits());
        let work = LossWork {
            tensors: vec!["blk.1.attn_q.weight".to_owned()],
            types: vec![Q8_0, Q4_0, IQ2_XXS],
            every: 1,
        };
        let Finished::Losses { losses } = bench.losses(&work, |_, _| ()).expect("measured") else { panic!() };
        let [Some(fine), Some(coarse), None] = losses.as_slice() else { panic!("{losses:?}") };
        assert!(0.0 < fine.error && fine.error < coarse.error && coarse.error < coarse.norm);
        let halves = LossWork { every: 2, types: vec![Q4_0], ..work };
        let Finished::Losses { losses } = bench.losses(&halves, |_, _| ()).expect("measured") else {
            panic!()
        };
        let half = losses[0].expect("coded").error;
        assert!((half / coarse.error - 1.0).abs() < 0.1, "{half} {}", coarse.error);
    }
}
