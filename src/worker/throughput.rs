//! Throughput with a fixed workload: tokens read and generated a second and the time to the first token, alone and by
//! several sequences together, with any number of tokens in the cache. Every sample is kept.
//!
//! The workload is llama-bench's: a prompt decoded after the tokens in the cache, and single tokens decoded one after
//! the other after them, each repetition from the same cache and after one warm-up. Token ids are fixed, so that every
//! variant and every repetition does the same work. Where the machine counts energy, the counters are read before and after
//! each timed repetition.

use std::time::Instant;

use crate::llama::context::Context;
use crate::llama::ffi::{Batch, ContextOptions};
use crate::llama::log;
use crate::llama::model::{LlamaError, Model};
use crate::plan::speed::{SpeedKind, SpeedPoint, SpeedShape};
use crate::worker::energy::{Meter, Reading};
use crate::worker::memory;
use crate::worker::protocol::{Measured, Speed, SpeedWork, SurfaceWork};

/// Most tokens handed over at once, and computed at once: llama-bench's, and llama.cpp's own defaults.
const N_BATCH: u32 = 2048;
/// See [`N_BATCH`].
const N_UBATCH: u32 = 512;

/// Times the point that every sweep measures, and tells what memory it takes. `on_sample` is called after every
/// repetition with (done, in all).
pub fn measure(
    model: &Model,
    work: SpeedWork,
    template: ContextOptions,
    meter: &Meter,
    on_sample: impl FnMut(u64, u64),
) -> Result<Speed, LlamaError> {
    let longest = work.prompt.max(work.generate);
    let options = ContextOptions {
        n_ctx: longest,
        n_batch: longest.max(N_UBATCH),
        n_ubatch: N_UBATCH,
        n_seq_max: 1,
        kv_unified: false,
        ..template
    };
    let shape = SpeedShape { depth: 0, parallel: 1, prompt: vec![work.prompt], generate: work.generate };
    let mut bench = Bench::new(model, options, shape, work.repetitions, meter, on_sample)?;
    let (read, ttft512_s) = bench.read(work.prompt)?;
    let generated = bench.generate(work.generate)?;
    let log = &bench.context.log;
    let device = log::device_buffer_bytes(&model.log) + log::device_buffer_bytes(log);
    Ok(Speed {
        energy_meter: meter_of(&[&read, &generated], meter).to_owned(),
        pp512_tps: read.tps,
        tg128_tps: generated.tps,
        pp512_joules_per_token: read.joules_per_token,
        tg128_joules_per_token: generated.joules_per_token,
        ttft512_s,
        load_s: model.load_s,
        peak_rss_bytes: memory::peak_rss_bytes(),
        model_buffer_bytes: log::buffer_bytes(&model.log, &["model"]),
        context_buffer_bytes: log::buffer_bytes(log, &["KV", "RS"]),
        compute_buffer_bytes: log::buffer_bytes(log, &["compute", "output"]),
        device_bytes: (device > 0).then_some(device),
        surface: Vec::new(),
    })
}

/// Times the points of one shape of context, each sequence with a cache of its own as a server's slots have.
pub fn surface(
    model: &Model,
    work: &SurfaceWork,
    template: ContextOptions,
    meter: &Meter,
    on_sample: impl FnMut(u64, u64),
) -> Result<Vec<Measured>, LlamaError> {
    let shape = &work.shape;
    let options = ContextOptions {
        n_ctx: shape.n_ctx() * shape.parallel,
        n_batch: N_BATCH,
        n_ubatch: N_UBATCH,
        n_seq_max: shape.parallel,
        kv_unified: false,
        // One row of logits a sequence is ever asked for.
        n_outputs_max: shape.parallel,
        ..template
    };
    let mut bench = Bench::new(model, options, shape.clone(), work.repetitions, meter, on_sample)?;
    let mut points = Vec::new();
    for prompt in &shape.prompt {
        let (rates, firsts) = bench.read(*prompt)?;
        let own = |point: &SpeedPoint| point.prompt() == Some(*prompt);
        for point in shape.points().into_iter().filter(own) {
            points.push(match point.kind {
                SpeedKind::Ttft => Measured::done(point, firsts.clone()),
                _ => rates.measured(point, meter),
            });
        }
    }
    if shape.generate > 0 {
        let rates = bench.generate(shape.generate)?;
        let own = shape.points().into_iter().filter(|p| p.generate().is_some());
        points.extend(own.map(|point| rates.measured(point, meter)));
    }
    Ok(points)
}

/// One timed repetition.
struct Sample {
    tps: f64,
    /// Absent where no energy is measured.
    joules_per_token: Option<f64>,
}

/// All timed repetitions of one workload.
struct Rates {
    tps: Vec<f64>,
    joules_per_token: Vec<f64>,
}

impl Rates {
    fn new(samples: &[Sample]) -> Self {
        Self {
            tps: samples.iter().map(|sample| sample.tps).collect(),
            joules_per_token: samples.iter().filter_map(|sample| sample.joules_per_token).collect(),
        }
    }

    fn measured(&self, point: SpeedPoint, meter: &Meter) -> Measured {
        Measured {
            joules_per_token: self.joules_per_token.clone(),
            energy_meter: meter_of(&[self], meter).to_owned(),
            ..Measured::done(point, self.tps.clone())
        }
    }
}

/// The meter's name, if it gave a figure of any of these.
fn meter_of(rates: &[&Rates], meter: &Meter) -> &'static str {
    if rates.iter().all(|rates| rates.joules_per_token.is_empty()) { "" } else { meter.name() }
}

/// A context and the cache that every repetition begins with.
struct Bench<'model, F> {
    context: Context<'model>,
    meter: &'model Meter,
    vocabulary: i32,
    shape: SpeedShape,
    repetitions: u32,
    /// The cache holds the tokens of the depth, and perhaps more after them.
    filled: bool,
    on_sample: F,
    done: u64,
}

impl<'model, F: FnMut(u64, u64)> Bench<'model, F> {
    fn new(
        model: &'model Model,
        options: ContextOptions,
        shape: SpeedShape,
        repetitions: u32,
        meter: &'model Meter,
        on_sample: F,
    ) -> Result<Self, LlamaError> {
        let context = Context::new(model, options)?;
        let vocabulary = model.vocabulary().cast_signed();
        Ok(Self { context, meter, vocabulary, shape, repetitions, filled: false, on_sample, done: 0 })
    }

    fn sequences(&self) -> std::ops::Range<i32> {
        0..self.shape.parallel.cast_signed()
    }

    /// What every timed repetition of `run` returns, after one that is not kept.
    fn samples<T>(
        &mut self,
        mut run: impl FnMut(&mut Self) -> Result<T, LlamaError>,
    ) -> Result<Vec<T>, LlamaError> {
        let timings = self.shape.prompt.len() as u64 + u64::from(self.shape.generate > 0);
        let total = u64::from(self.repetitions + 1) * timings;
        let mut samples = Vec::new();
        for repetition in 0..=self.repetitions {
            self.rewind()?;
            let sample = run(self)?;
            if repetition > 0 {
                samples.push(sample);
            }
            self.done += 1;
            (self.on_sample)(self.done, total);
        }
        Ok(samples)
    }

    /// Tokens a second of reading a prompt a sequence, and seconds until the first token after it is chosen.
    fn read(&mut self, tokens: u32) -> Result<(Rates, Vec<f64>), LlamaError> {
        let all = f64::from(tokens) * f64::from(self.shape.parallel);
        let samples = self.samples(|bench| {
            let before = bench.meter.reading();
            let begun = Instant::now();
            let last = bench.prompt(bench.shape.depth, tokens)?;
            let read_s = begun.elapsed().as_secs_f64();
            let chosen = most_probable(bench.context.logits(last)?);
            std::hint::black_box(chosen);
            let first_s = begun.elapsed().as_secs_f64();
            Ok((bench.sample(all, read_s, before.as_ref()), first_s))
        })?;
        let (samples, firsts): (Vec<Sample>, Vec<f64>) = samples.into_iter().unzip();
        Ok((Rates::new(&samples), firsts))
    }

    /// Tokens a second of generating so many a sequence.
    fn generate(&mut self, tokens: u32) -> Result<Rates, LlamaError> {
        let all = f64::from(tokens) * f64::from(self.shape.parallel);
        let samples = self.samples(|bench| {
            let before = bench.meter.reading();
            let begun = Instant::now();
            let mut batch = Batch::default();
            for i in bench.shape.depth..bench.shape.depth + tokens {
                batch.clear();
                for sequence in bench.sequences() {
                    batch.push(token(i, bench.vocabulary), i.cast_signed(), &[sequence], true);
                }
                bench.context.decode(&batch)?;
            }
            Ok(bench.sample(all, begun.elapsed().as_secs_f64(), before.as_ref()))
        })?;
        Ok(Rates::new(&samples))
    }

    /// A repetition that took so many seconds, and ends now, for so many tokens.
    fn sample(&self, tokens: f64, seconds: f64, before: Option<&Reading>) -> Sample {
        let joules = self.meter.joules_since(before);
        Sample { tps: tokens / seconds, joules_per_token: joules.map(|joules| joules / tokens) }
    }

    /// Brings the cache back to where every repetition begins.
    fn rewind(&mut self) -> Result<(), LlamaError> {
        let depth = self.shape.depth;
        if depth == 0 {
            self.context.clear();
            return Ok(());
        }
        // Recurrent states can't be cut back: then the cache is filled once more.
        let cut = self.filled && self.sequences().all(|s| self.context.cut(s, depth.cast_signed()));
        if !cut {
            self.context.clear();
            self.fill(depth)?;
            self.filled = true;
        }
        Ok(())
    }

    /// Fills the first sequence's cache and copies it to the others; what lies in it makes no difference to time.
    fn fill(&mut self, depth: u32) -> Result<(), LlamaError> {
        let step = N_BATCH.min(self.context.n_batch() as u32);
        let mut batch = Batch::default();
        for i in 0..depth {
            batch.push(token(i, self.vocabulary), i.cast_signed(), &[0], false);
            if batch.len() == step as usize || i + 1 == depth {
                self.context.decode(&batch)?;
                batch.clear();
            }
        }
        for sequence in self.sequences().skip(1) {
            self.context.copy(0, sequence);
        }
        Ok(())
    }

    /// Decodes a prompt a sequence from a position on, in batches as large as may be. Returns where in the last batch
    /// the last token is.
    fn prompt(&mut self, from: u32, tokens: u32) -> Result<usize, LlamaError> {
        let mut batch = Batch::default();
        let mut last = 0;
        for sequence in self.sequences() {
            for i in from..from + tokens {
                if batch.len() == self.context.n_batch() {
                    self.context.decode(&batch)?;
                    batch.clear();
                }
                last = batch.len();
                batch.push(token(i, self.vocabulary), i.cast_signed(), &[sequence], i + 1 == from + tokens);
            }
        }
        self.context.decode(&batch)?;
        Ok(last)
    }
}

/// A fixed, spread-out sequence of token ids.
fn token(i: u32, vocabulary: i32) -> i32 {
    (i64::from(i) * 7_919 % i64::from(vocabulary.max(1))) as i32
}

/// Greedy sampling.
fn most_probable(logits: &[f32]) -> Option<usize> {
    logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(token, _)| token)
}
