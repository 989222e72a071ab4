//! The numeric noise of a suite: the base compared with itself, once more decoded but in another shape (a text), or
//! every choice by itself (questions). Sums are then taken in another order, and what differs is rounding and nothing
//! else. No divergence of a variant at or under it means anything.

use serde::{Deserialize, Serialize};

/// Chunks or questions it is measured on: the first of those planned. It is an order of magnitude, not a result.
pub const NOISE_ITEMS: usize = 16;

/// Tokens computed at once, of longer chunks. A sweep computes up to 512: a quarter of that gives the same numbers to the
/// bit on a CPU, while below 64 llama.cpp's attention sums in another order.
const FEW: u32 = 32;

/// The other shape. All of it can change the floor, so all of it is in the trial's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoiseShape {
    /// Tokens computed at once.
    pub n_ubatch: u32,
    /// Threads that decode.
    pub threads: u32,
}

impl NoiseShape {
    /// The shape for chunks of `n_ctx` tokens in a sweep with so many threads: few tokens at once, and half
    /// of the threads (two instead of one).
    pub fn new(n_ctx: u32, threads: u32) -> Self {
        let threads = if threads > 1 { threads.div_ceil(2) } else { 2 };
        Self { n_ubatch: FEW.min(n_ctx / 2).max(1), threads }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_is_always_another_one() {
        for threads in 1..200 {
            for n_ctx in [4, 5, 128, 512, 513, 8192] {
                let shape = NoiseShape::new(n_ctx, threads);
                assert!(shape.threads > 0 && shape.threads != threads, "{shape:?}");
                assert!((1..n_ctx.min(512)).contains(&shape.n_ubatch), "{shape:?}");
            }
        }
    }
}
