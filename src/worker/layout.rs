//! Contexts laid out without allocating, for the parent's arithmetic of memory.

use crate::llama::ffi::ContextOptions;
use crate::llama::layout::{self, Buffers};
use crate::llama::model::{LlamaError, cache_type};
use crate::worker::protocol::{ContextBuffers, LayoutWork};

/// llama.cpp's own defaults, with which its server and its tools run.
const BATCH: u32 = 2048;
const UBATCH: u32 = 512;

/// Lays out every context asked for; `step` hears of each.
pub fn lay_out(work: &LayoutWork, mut step: impl FnMut(u64, u64)) -> Result<Vec<ContextBuffers>, LlamaError> {
    let kv = (cache_type(&work.kv.0)?, cache_type(&work.kv.1)?);
    let model = layout::open(&work.model)?;
    let all = work.contexts.len() as u64;
    let mut laid_out = Vec::new();
    for ctx in &work.contexts {
        let options = ContextOptions {
            n_ctx: ctx.saturating_mul(work.parallel),
            n_batch: BATCH,
            n_ubatch: UBATCH,
            n_seq_max: work.parallel,
            threads: 1,
            flash_attn: -1,
            kv,
            kv_unified: false,
            swa_full: false,
            yarn_from: None,
            yarn_to: None,
            n_outputs_max: 0,
        };
        let Buffers { kv: kv_bytes, state: state_bytes, compute: compute_bytes } =
            layout::lay_out(&model, &options)?;
        laid_out.push(ContextBuffers { ctx: *ctx, kv_bytes, state_bytes, compute_bytes });
        step(laid_out.len() as u64, all);
    }
    Ok(laid_out)
}
