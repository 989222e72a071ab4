//! Throughput with a fixed workload: prompt tokens a second and generated tokens a second, every sample kept.
//!
//! The workload is llama-bench's: a prompt decoded from an empty cache, and single tokens decoded one after the
//! other from an empty cache, each after one warm-up. Token ids are fixed, so that every variant and every
//! repetition does the same work.

use std::time::Instant;

use crate::llama::context::Context;
use crate::llama::ffi::{Batch, ContextOptions};
use crate::llama::log;
use crate::llama::model::{LlamaError, Model};
use crate::worker::memory;
use crate::worker::protocol::{Speed, SpeedWork};

/// Times the workload. `on_sample` is called after every repetition with (done, in all).
pub fn measure(
    model: &Model,
    work: SpeedWork,
    template: ContextOptions,
    mut on_sample: impl FnMut(u64, u64),
) -> Result<Speed, LlamaError> {
    let longest = work.prompt.max(work.generate);
    let options = ContextOptions {
        n_ctx: longest,
        n_batch: longest.max(512),
        n_ubatch: 512,
        n_seq_max: 1,
        kv_unified: false,
        ..template
    };
    let mut context = Context::new(model, options)?;
    let total = u64::from(work.repetitions + 1) * 2;
    let mut done = 0;
    let mut samples = |context: &mut Context<'_>,
                       run: fn(&mut Context<'_>, u32, i32) -> Result<(), LlamaError>,
                       tokens: u32| {
        let mut rates = Vec::new();
        for repetition in 0..=work.repetitions {
            context.clear();
            let begun = Instant::now();
            run(context, tokens, model.vocabulary().cast_signed())?;
            let seconds = begun.elapsed().as_secs_f64();
            if repetition > 0 {
                rates.push(f64::from(tokens) / seconds);
            }
            done += 1;
            on_sample(done, total);
        }
        Ok::<_, LlamaError>(rates)
    };
    let pp512_tps = samples(&mut context, prompt, work.prompt)?;
    let tg128_tps = samples(&mut context, generate, work.generate)?;
    let device = log::device_buffer_bytes(&model.log) + log::device_buffer_bytes(&context.log);
    Ok(Speed {
        pp512_tps,
        tg128_tps,
        load_s: model.load_s,
        peak_rss_bytes: memory::peak_rss_bytes(),
        model_buffer_bytes: log::buffer_bytes(&model.log, &["model"]),
        context_buffer_bytes: log::buffer_bytes(&context.log, &["KV", "RS"]),
        compute_buffer_bytes: log::buffer_bytes(&context.log, &["compute", "output"]),
        device_bytes: (device > 0).then_some(device),
    })
}

/// A fixed, spread-out sequence of token ids.
fn token(i: u32, vocabulary: i32) -> i32 {
    (i64::from(i) * 7_919 % i64::from(vocabulary.max(1))) as i32
}

fn prompt(context: &mut Context<'_>, tokens: u32, vocabulary: i32) -> Result<(), LlamaError> {
    let mut batch = Batch::default();
    for i in 0..tokens {
        batch.push(token(i, vocabulary), i.cast_signed(), &[0], i + 1 == tokens);
    }
    context.decode(&batch)
}

fn generate(context: &mut Context<'_>, tokens: u32, vocabulary: i32) -> Result<(), LlamaError> {
    let mut batch = Batch::default();
    for i in 0..tokens {
        batch.clear();
        batch.push(token(i, vocabulary), i.cast_signed(), &[0], true);
        context.decode(&batch)?;
    }
    Ok(())
}
