//! One position's numbers exactly as `llama-perplexity` computes them, for comparisons to the digit: with the
//! base's distributions in its own 16 bits and with its floor of 16 nats, in its mix of 32 and 64 bits, and with
//! the system's `expf`. `divergence` is better in all of this but its equality.

use super::divergence::{Divergence, finite_max, position};
use super::expf::exp_all;

/// What a base's probabilities may be below its largest, in nats.
const FLOOR: f32 = 16.0;
/// The largest 16-bit step.
const STEPS: f32 = 65535.0;
/// Exponentials computed at once.
const BLOCK: usize = 256;
/// Bytes before a row's steps: scale and least log-probability.
const HEAD: usize = 8;

/// Bytes of one encoded row: two f32, then a u16 a token, rounded up to an even number of them.
pub fn row_bytes(vocabulary: u32) -> usize {
    HEAD + 4 * (vocabulary as usize).div_ceil(2)
}

/// -ln p of the true next token, in nats; `None` if a logit is not finite.
pub fn nll(row: &[f32], token: usize) -> Option<f64> {
    let max = finite_max(row)?;
    let at = *row.get(token)?;
    Some(-(f64::from(at - max) - exponentials(row, max).ln()))
}

/// Appends the row of a base file for these logits to `out` and returns -ln p of the true next token. A row with
/// a logit that is not finite is marked as one that cannot be read.
pub fn encode(row: &[f32], token: usize, out: &mut Vec<u8>) -> Option<f32> {
    let begin = out.len();
    let end = begin + row_bytes(row.len() as u32);
    let (Some(max), Some(at)) = (finite_max(row), row.get(token)) else {
        out.extend_from_slice(&0.0_f32.to_le_bytes());
        out.extend_from_slice(&f32::NAN.to_le_bytes());
        out.resize(end, 0);
        return None;
    };
    let least = row.iter().copied().fold(f32::INFINITY, f32::min).max(max - FLOOR);
    let log_sum = exponentials(row, max).ln() as f32;
    let scale = (max - least) / STEPS;
    out.extend_from_slice(&scale.to_le_bytes());
    out.extend_from_slice(&(least - max - log_sum).to_le_bytes());
    if scale != 0.0 {
        let inverse = 1.0 / scale;
        for logit in row {
            let step = if *logit > least { nearest(inverse * (logit - least)) } else { 0 };
            out.extend_from_slice(&step.to_le_bytes());
        }
    }
    out.resize(end, 0);
    Some(max + log_sum - at)
}

/// Rounds to the nearest integer, ties to even, below 2^22: by the bits of 1.5 * 2^23 + x.
fn nearest(x: f32) -> u16 {
    const ROUND: f32 = 12_582_912.0;
    (((x + ROUND).to_bits() & 0x007f_ffff).wrapping_sub(0x0040_0000)) as u16
}

/// One row of a base file.
#[derive(Debug, Clone, Copy)]
pub struct BaseRow<'a> {
    scale: f32,
    least: f32,
    steps: &'a [[u8; 2]],
}

impl<'a> BaseRow<'a> {
    /// Reads a row of [`row_bytes`] bytes; `None` if it has another length or marks logits that were not finite.
    pub fn read(bytes: &'a [u8], vocabulary: u32) -> Option<Self> {
        let (scale, rest) = bytes.split_first_chunk::<4>()?;
        let (least, rest) = rest.split_first_chunk::<4>()?;
        let (scale, least) = (f32::from_le_bytes(*scale), f32::from_le_bytes(*least));
        let steps = rest.as_chunks::<2>().0.get(..vocabulary as usize)?;
        (scale.is_finite() && least.is_finite() && bytes.len() == row_bytes(vocabulary)).then_some(Self {
            scale,
            least,
            steps,
        })
    }

    fn log_prob(&self, step: [u8; 2]) -> f32 {
        self.scale * f32::from(u16::from_le_bytes(step)) + self.least
    }

    /// Compares a variant's logits with this row; `None` if a logit is not finite or the row is of another
    /// vocabulary. `nll`, `nll_base` and `delta_p` are 32-bit values.
    pub fn compare(&self, row: &[f32], token: usize) -> Option<Divergence> {
        let max = finite_max(row)?;
        let (at, at_base) = (*row.get(token)?, *self.steps.get(token)?);
        if row.len() != self.steps.len() {
            return None;
        }
        let log_z = max + exponentials(row, max).ln() as f32;
        let nll = log_z - at;
        let nll_base = -self.log_prob(at_base);
        let mut kld = 0.0_f64;
        let (mut top_base, mut best) = (0, f32::NEG_INFINITY);
        for (i, (step, logit)) in self.steps.iter().zip(row).enumerate() {
            let log_p = self.log_prob(*step);
            if log_p > best {
                (top_base, best) = (i, log_p);
            }
            if log_p > -FLOOR {
                kld += f64::from(log_p.exp() * (log_p - logit + log_z));
            }
        }
        Some(Divergence {
            nll: f64::from(nll),
            nll_base: f64::from(nll_base),
            kld,
            delta_p: f64::from((-nll).exp() - (-nll_base).exp()),
            same_top: position(row, max) == Some(top_base),
        })
    }
}

/// Sum of e^(l - max), one after the other as the tool sums them.
fn exponentials(row: &[f32], max: f32) -> f64 {
    let mut block = [0.0_f32; BLOCK];
    let mut sum = 0.0;
    for logits in row.chunks(BLOCK) {
        let (exps, _) = block.split_at_mut(logits.len());
        for (x, logit) in exps.iter_mut().zip(logits) {
            *x = logit - max;
        }
        exp_all(exps);
        sum = exps.iter().fold(sum, |sum, x| sum + f64::from(*x));
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::divergence::divergence;
    use proptest::prelude::*;

    fn encoded(row: &[f32]) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(row, 0, &mut bytes);
        bytes
    }

    fn read(bytes: &[u8], vocabulary: usize) -> BaseRow<'_> {
        BaseRow::read(bytes, vocabulary as u32).expect("a row")
    }

    /// By hand: 3 tokens, so that there is a pad; the third lies below the floor.
    #[test]
    fn a_small_row_has_the_bytes_of_the_format() {
        let mut bytes = Vec::new();
        let nll = encode(&[1.0, -7.0, -40.0], 1, &mut bytes).expect("finite");
        let scale = 16.0_f32 / 65535.0;
        let log_sum = ((1.0 + f64::from((-8.0_f32).exp()) + f64::from((-41.0_f32).exp())).ln()) as f32;
        let mut expected = scale.to_le_bytes().to_vec();
        expected.extend((-16.0_f32 - log_sum).to_le_bytes());
        // Half of 65535 is a tie, to even: 32768.
        for step in [65535_u16, 32768, 0, 0] {
            expected.extend(step.to_le_bytes());
        }
        assert_eq!(bytes, expected);
        assert_eq!(nll.to_bits(), (1.0 + log_sum + 7.0).to_bits());
        assert_eq!((row_bytes(3), row_bytes(4), row_bytes(49_152)), (16, 16, 98_312));
    }

    #[test]
    fn equal_logits_have_no_scale() {
        let bytes = encoded(&[2.5; 4]);
        assert_eq!(bytes[..4], [0; 4]);
        let d = read(&bytes, 4).compare(&[7.0; 4], 2).expect("finite");
        assert!(d.kld.abs() < 1e-6 && d.same_top);
    }

    #[test]
    fn rows_that_are_not_finite_are_marked_and_not_compared() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let row = [0.0, bad, 1.0];
            let mut bytes = Vec::new();
            assert_eq!(encode(&row, 0, &mut bytes), None);
            assert_eq!(bytes.len(), row_bytes(3));
            assert!(BaseRow::read(&bytes, 3).is_none());
            assert_eq!(nll(&row, 0), None);
            assert_eq!(read(&encoded(&[0.0, 1.0, 2.0]), 3).compare(&row, 0), None);
        }
        assert!(BaseRow::read(&[0; 15], 3).is_none() && BaseRow::read(&[], 0).is_none());
        assert_eq!(read(&encoded(&[0.0; 3]), 3).compare(&[0.0; 4], 0), None, "another vocabulary");
    }

    proptest! {
        #[test]
        fn what_is_read_is_within_half_a_step_of_what_was_written(
            row in prop::collection::vec(-40.0_f32..40.0, 1..200),
        ) {
            let bytes = encoded(&row);
            prop_assert_eq!(bytes.len(), row_bytes(row.len() as u32));
            let read = read(&bytes, row.len());
            let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let log_z = f64::from(max) + exponentials(&row, max).ln();
            for (step, logit) in read.steps.iter().zip(&row) {
                let exact = (f64::from(*logit) - log_z).max(f64::from(max) - log_z - f64::from(FLOOR));
                let error = (f64::from(read.log_prob(*step)) - exact).abs();
                prop_assert!(error <= 0.5 * f64::from(read.scale) + 2e-5, "{error}");
            }
        }

        #[test]
        fn above_the_floor_it_is_the_exact_divergence_but_for_rounding(
            rows in prop::collection::vec((-7.0_f32..7.0, -7.0_f32..7.0), 1..200),
            pick: prop::sample::Index,
        ) {
            let (base, variant): (Vec<f32>, Vec<f32>) = rows.into_iter().unzip();
            let token = pick.index(base.len());
            let theirs = read(&encoded(&base), base.len()).compare(&variant, token).expect("finite");
            let exact = divergence(&base, &variant, token).expect("finite");
            prop_assert!((theirs.nll - exact.nll).abs() < 1e-5);
            prop_assert!((theirs.nll_base - exact.nll_base).abs() < 2e-4);
            prop_assert!((theirs.kld - exact.kld).abs() < 2e-3 * (1.0 + exact.kld));
            prop_assert!((theirs.delta_p - exact.delta_p).abs() < 2e-4);
            prop_assert!((nll(&variant, token).expect("finite") - exact.nll).abs() < 1e-6);
        }
    }
}
