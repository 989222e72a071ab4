//! Compute buffers: what lies between inputs and outputs of the largest graph. llama.cpp lays it out for a few contexts
//! and the rest is interpolated; where it cannot, they are estimated from the widest rows of the graph.

use super::memory::{UBATCH, padded};
use super::shape::Shape;

/// What llama.cpp would allocate for a context of so many tokens, in its own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaidOut {
    /// Tokens of context of each sequence.
    pub ctx: u64,
    /// Bytes of keys and values.
    pub kv_bytes: u64,
    /// Bytes of recurrent states.
    pub state_bytes: u64,
    /// Bytes of compute and output buffers.
    pub compute_bytes: u64,
}

/// Where the bytes of compute buffers come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compute {
    /// llama.cpp's own layouts, at least one, contexts rising.
    LaidOut(Vec<LaidOut>),
    /// Nobody laid anything out.
    Estimate,
}

impl Compute {
    /// The word of the tables.
    pub fn word(&self) -> &'static str {
        match self {
            Self::LaidOut(_) => "llama.cpp",
            Self::Estimate => "estimate",
        }
    }

    /// Bytes of compute buffers for a context of so many tokens.
    pub fn bytes(&self, shape: &Shape, ctx: u64, parallel: u64) -> u64 {
        match self {
            Self::LaidOut(points) => interpolated(points, padded(ctx), |point| point.compute_bytes),
            Self::Estimate => estimate(shape, ctx, parallel),
        }
    }

    /// llama.cpp's own figure for keys and values, and for states, if there is one.
    pub(super) fn kept(&self, ctx: u64) -> Option<(u64, u64)> {
        let Self::LaidOut(points) = self else { return None };
        let ctx = padded(ctx);
        Some((interpolated(points, ctx, |p| p.kv_bytes), interpolated(points, ctx, |p| p.state_bytes)))
    }
}

/// The value on the line between the two points around `ctx`, or on the last line beyond them.
fn interpolated(points: &[LaidOut], ctx: u64, value: impl Fn(&LaidOut) -> u64) -> u64 {
    let after = points.iter().position(|p| p.ctx >= ctx).unwrap_or(points.len().saturating_sub(1)).max(1);
    let (Some(right), Some(left)) = (points.get(after), points.get(after - 1)) else {
        return points.first().map_or(0, value);
    };
    let (x0, x1) = (left.ctx as f64, right.ctx as f64);
    let (y0, y1) = (value(left) as f64, value(right) as f64);
    if ctx <= left.ctx || x1 <= x0 {
        return value(left);
    }
    (y0 + (y1 - y0) * (ctx as f64 - x0) / (x1 - x0)).max(0.0).round() as u64
}

/// Logits of a batch, the widest activations of a layer at the same time, and the mask of attention.
fn estimate(shape: &Shape, ctx: u64, parallel: u64) -> u64 {
    let tokens = UBATCH.min(ctx.saturating_mul(parallel));
    let widest = shape.vocabulary.max(shape.feed_forward.saturating_mul(2));
    let row = widest.saturating_add(shape.width.saturating_mul(4)).saturating_mul(4);
    let mask = if shape.attention_layers() > 0 { ctx.saturating_mul(6) } else { 0 };
    tokens.saturating_mul(row.saturating_add(mask))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(ctx: u64, compute_bytes: u64) -> LaidOut {
        LaidOut { ctx, compute_bytes, kv_bytes: 0, state_bytes: 0 }
    }

    #[test]
    fn lines_between_points_and_beyond() {
        let points = [point(256, 100), point(512, 200), point(1024, 600)];
        let at = |ctx| interpolated(&points, ctx, |p| p.compute_bytes);
        assert_eq!([at(1), at(256), at(384), at(512), at(768)], [100, 100, 150, 200, 400]);
        assert_eq!(at(2048), 600 + 800, "beyond the last point its line goes on");
        assert_eq!(interpolated(&points[..1], 9999, |p| p.compute_bytes), 100);
        assert_eq!(interpolated(&[], 1, |p| p.compute_bytes), 0);
    }
}
