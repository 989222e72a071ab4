//! What llama.cpp would allocate for a context, laid out by itself without allocating: it is the only one that knows its
//! compute buffers. (Recurrent states it does allocate; whoever asks bounds them first.)

use std::path::Path;

use crate::llama::ffi::{ContextHandle, ContextOptions, ModelOptions};
use crate::llama::log;
use crate::llama::model::{LlamaError, Model};

/// Bytes of a context's buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Buffers {
    /// Keys and values.
    pub kv: u64,
    /// Recurrent states.
    pub state: u64,
    /// Compute and output buffers.
    pub compute: u64,
}

/// Opens a model for layouts alone: no weight is read.
pub fn open(path: &Path) -> Result<Model, LlamaError> {
    Model::load(path, &ModelOptions { no_alloc: true, gpu_layers: -1, ..ModelOptions::default() })
}

/// Lays a context out.
pub fn lay_out(model: &Model, options: &ContextOptions) -> Result<Buffers, LlamaError> {
    let (context, log) = log::captured(|_| {}, || ContextHandle::new(model.handle(), options, None));
    context.ok_or_else(|| LlamaError::Context { n_ctx: options.n_ctx, reason: log::reason(&log) })?;
    Ok(Buffers {
        kv: log::cache_bytes(&log),
        state: log::buffer_bytes(&log, &["RS"]),
        compute: log::buffer_bytes(&log, &["compute", "output"]),
    })
}
