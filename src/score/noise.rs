//! Decoding in another shape than a sweep's own, for the noise floor. A batch is handed over and scored as ever and only
//! computed in other pieces by other threads, so that what comes out differs from the base's stored distributions by the
//! order of sums alone.

use crate::llama::ffi::ContextOptions;
use crate::plan::noise::NoiseShape;

/// A text's context in the other shape.
pub fn reshaped(usual: ContextOptions, shape: NoiseShape) -> ContextOptions {
    ContextOptions { n_ubatch: shape.n_ubatch, threads: shape.threads, ..usual }
}
