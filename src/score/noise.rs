//! Decoding in another shape than a sweep's own, for the noise floor. A batch is handed over and scored as ever and only
//! computed in other pieces by other threads, so that what comes out differs from the base's stored distributions by the
//! order of sums alone.

use crate::llama::ffi::ContextOptions;
use crate::plan::noise::NoiseShape;

/// A text's context in the other shape.
pub fn reshaped(usual: ContextOptions, shape: NoiseShape) -> ContextOptions {
    ContextOptions { n_ubatch: shape.n_ubatch, threads: shape.threads, ..usual }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    use crate::llama::context::Context;
    use crate::llama::ffi::{self, ModelOptions};
    use crate::llama::model::Model;
    use crate::plan::corpus::TextFile;
    use crate::plan::text::TextSuite;
    use crate::score::base_store::StoreChoice;
    use crate::score::compare::score_chunks;
    use crate::score::perplexity::{Text, TextError, context_options, keep_chunk, tokenize};
    use crate::score::reference::{Comparer, Keep, Keeper};
    use crate::stats::Moments;

    const N_CTX: u32 = 128;
    const CHUNKS: u64 = 4;

    fn usual() -> ContextOptions {
        let template =
            ContextOptions { n_ctx: N_CTX, n_batch: N_CTX, n_ubatch: N_CTX, ..ContextOptions::PLAIN };
        context_options(TextSuite::halves(N_CTX), template)
    }

    #[test]
    fn the_base_is_exactly_itself_in_its_own_shape_and_nearly_in_another() {
        ffi::init();
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let base = fixtures.join("tiny-f16.gguf");
        let model = Model::load(&base, &ModelOptions::default()).expect("loaded");
        let path = fixtures.join("text.txt");
        let tokens = tokenize(&model, &TextFile::plain(&path)).expect("read");
        let text = Text::new(tokens, &path, TextSuite::halves(N_CTX)).expect("long enough");
        let subject = text.subject("base", model.vocabulary());
        let folder = tempfile::tempdir().expect("a folder");
        for choice in [StoreChoice::Hidden, StoreChoice::Logits] {
            let path = folder.path().join(format!("{choice:?}.bfs"));
            let (subject, model_path) = (subject.clone(), base.clone());
            let keep = Keep {
                path: path.clone(),
                subject: subject.clone(),
                choice,
                positions: 1000,
                model: model_path,
                threads: 1,
            };
            let keeper = Keeper::new(keep);
            let mut context = Context::capturing(&model, usual(), &keeper.capture).expect("a context");
            for chunk in 0..CHUNKS {
                keep_chunk(&model, &mut context, &text, chunk, &keeper, false).expect("kept");
            }
            let divergence = |options| {
                let mut comparer = Comparer::open(&path, &subject, &[&base], 1).expect("opened");
                let mut context = Context::new(&model, options).expect("a context");
                let chunks: Vec<u64> = (0..CHUNKS).collect();
                let mut total = Moments::default();
                score_chunks(&model, &mut context, &text, &chunks, &mut comparer, 0, &mut |_, score| {
                    total = [total, score.sums()].into_iter().sum();
                    Ok::<(), TextError>(())
                })
                .expect("scored");
                total.kld / total.tokens as f64
            };
            let other_threads = ContextOptions { threads: 2, ..usual() };
            assert_eq!((divergence(usual()), divergence(other_threads)), (0.0, 0.0));
            let floor = divergence(reshaped(usual(), NoiseShape::new(N_CTX, 1)));
            assert!(floor > 0.0 && floor < 1e-4, "{floor}");
        }
    }
}
