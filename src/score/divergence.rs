//! One position's numbers from two rows of logits: negative log-likelihoods, KL divergence, top-1 agreement.
//!
//! Definitions are llama-perplexity's without its 16-nat floor and 16-bit rounding. Both rows are read once
//! for their maxima and once for the sums, in a form that compilers vectorise; sums are kept in f64.
//! Nothing here uses fused multiply-adds, so that results do not depend on the CPU.

/// What one scored position yields, in nats where it is not a probability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Divergence {
    /// -ln p of the true token, variant.
    pub nll: f64,
    /// -ln p of the true token, base.
    pub nll_base: f64,
    /// Sum over the vocabulary of `p_base * (ln p_base - ln p)`.
    pub kld: f64,
    /// p(true token) of the variant minus that of the base.
    pub delta_p: f64,
    /// Whether both have the same most likely token (the first of equals).
    pub same_top: bool,
}

/// Compares a variant's row of logits with the base's at one position; `None` if a logit is not finite.
/// Rows have one entry a token of the vocabulary; `token` is the true next one.
pub fn divergence(base: &[f32], variant: &[f32], token: usize) -> Option<Divergence> {
    let (max_base, max) = (finite_max(base)?, finite_max(variant)?);
    let (at_base, at) = (*base.get(token)?, *variant.get(token)?);
    let (z_base, z, weighted) = sums(base, variant, max_base, max);
    let (log_z_base, log_z) = (z_base.ln(), z.ln());
    let nll_base = log_z_base + f64::from(max_base) - f64::from(at_base);
    let nll = log_z + f64::from(max) - f64::from(at);
    Some(Divergence {
        nll,
        nll_base,
        // sum p_b ((lb - max_b) - (l - max)) - (ln Z_b - ln Z)
        kld: weighted / z_base - (log_z_base - log_z),
        delta_p: (-nll).exp() - (-nll_base).exp(),
        same_top: position(base, max_base) == position(variant, max),
    })
}

/// ln p of several tokens under one row of logits, and whether each is the most likely; `None` if a logit is not finite.
pub fn log_probs(row: &[f32], tokens: impl Iterator<Item = usize>) -> Option<Vec<(f64, bool)>> {
    let max = finite_max(row)?;
    let (z, _, _) = sums(row, row, max, max);
    let log_z = z.ln();
    tokens.map(|t| row.get(t).map(|l| (f64::from(*l) - f64::from(max) - log_z, *l >= max))).collect()
}

const LANES: usize = 16;

/// The largest entry, or `None` if one is infinite or not a number, or there is none.
pub(super) fn finite_max(row: &[f32]) -> Option<f32> {
    let mut max = [f32::NEG_INFINITY; LANES];
    let mut poison = [0.0_f32; LANES];
    let (blocks, rest) = row.as_chunks::<LANES>();
    for block in blocks {
        for i in 0..LANES {
            max[i] = if block[i] > max[i] { block[i] } else { max[i] };
            poison[i] += block[i] * 0.0;
        }
    }
    let mut best = max.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut bad: f32 = poison.iter().sum();
    for x in rest {
        best = best.max(*x);
        bad += x * 0.0;
    }
    (bad == 0.0 && best.is_finite()).then_some(best)
}

/// The first entry that is at least `value`.
pub(super) fn position(row: &[f32], value: f32) -> Option<usize> {
    row.iter().position(|x| *x >= value)
}

/// (sum e^(b - `max_b`), sum e^(v - `max_v`), sum e^(b - `max_b`) * ((b - `max_b`) - (v - `max_v`))).
fn sums(base: &[f32], variant: &[f32], max_base: f32, max: f32) -> (f64, f64, f64) {
    let mut z_base = [0.0_f64; LANES];
    let mut z = [0.0_f64; LANES];
    let mut weighted = [0.0_f64; LANES];
    let (base_blocks, base_rest) = base.as_chunks::<LANES>();
    let (variant_blocks, variant_rest) = variant.as_chunks::<LANES>();
    for (b, v) in base_blocks.iter().zip(variant_blocks) {
        for i in 0..LANES {
            let (db, dv) = (b[i] - max_base, v[i] - max);
            let (eb, ev) = (exp_nonpositive(db), exp_nonpositive(dv));
            z_base[i] += f64::from(eb);
            z[i] += f64::from(ev);
            weighted[i] += f64::from(eb * (db - dv));
        }
    }
    let mut total = (z_base.iter().sum::<f64>(), z.iter().sum::<f64>(), weighted.iter().sum::<f64>());
    for (b, v) in base_rest.iter().zip(variant_rest) {
        let (db, dv) = (b - max_base, v - max);
        let (eb, ev) = (exp_nonpositive(db), exp_nonpositive(dv));
        total.0 += f64::from(eb);
        total.1 += f64::from(ev);
        total.2 += f64::from(eb * (db - dv));
    }
    total
}

/// e^x for x <= 0 with a relative error below 3e-7; 0 below -87, where f32 has no normal number left.
///
/// x = n ln 2 + r with |r| <= ln 2 / 2; e^r by its Taylor polynomial of degree 7, 2^n by its bits. No branches
/// and no table, so that a loop of it is vectorised.
#[inline(always)]
fn exp_nonpositive(x: f32) -> f32 {
    // Adding and taking off 1.5 * 2^23 rounds to the nearest integer.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts, so that n ln 2 is exact in the first.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let clamped = if x < -87.0 { -87.0 } else { x };
    let n = (clamped * std::f32::consts::LOG2_E + ROUND) - ROUND;
    let r = (clamped - n * LN2_HIGH) - n * LN2_LOW;
    let mut p = 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    let scale = f32::from_bits((((n as i32) + 127) << 23).cast_unsigned());
    if x < -87.0 { 0.0 } else { p * scale }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn exact(base: &[f32], variant: &[f32], token: usize) -> Divergence {
        let log_softmax = |row: &[f32]| -> Vec<f64> {
            let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let z: f64 = row.iter().map(|x| (f64::from(*x) - f64::from(max)).exp()).sum();
            row.iter().map(|x| f64::from(*x) - f64::from(max) - z.ln()).collect()
        };
        let (b, v) = (log_softmax(base), log_softmax(variant));
        let top = |row: &[f32]| (0..row.len()).rev().max_by(|i, j| row[*i].total_cmp(&row[*j]));
        Divergence {
            nll: -v[token],
            nll_base: -b[token],
            kld: b.iter().zip(&v).map(|(b, v)| b.exp() * (b - v)).sum(),
            delta_p: v[token].exp() - b[token].exp(),
            same_top: top(base) == top(variant),
        }
    }

    proptest! {
        #[test]
        fn equals_the_definition_in_f64(
            rows in prop::collection::vec((-30.0_f32..30.0, -30.0_f32..30.0), 1..200),
            pick: prop::sample::Index,
        ) {
            let (base, variant): (Vec<f32>, Vec<f32>) = rows.into_iter().unzip();
            let token = pick.index(base.len());
            let ours = divergence(&base, &variant, token).expect("finite");
            let theirs = exact(&base, &variant, token);
            prop_assert!((ours.nll - theirs.nll).abs() < 2e-6);
            prop_assert!((ours.nll_base - theirs.nll_base).abs() < 2e-6);
            prop_assert!((ours.kld - theirs.kld).abs() < 1e-5 * (1.0 + theirs.kld));
            prop_assert!((ours.delta_p - theirs.delta_p).abs() < 2e-6);
            prop_assert_eq!(ours.same_top, theirs.same_top);
        }

        #[test]
        fn a_row_against_itself_is_exactly_zero(row in prop::collection::vec(-50.0_f32..50.0, 1..300)) {
            let d = divergence(&row, &row, 0).expect("finite");
            prop_assert_eq!((d.kld, d.delta_p, d.same_top), (0.0, 0.0, true));
            prop_assert_eq!(d.nll.to_bits(), d.nll_base.to_bits());
        }

        #[test]
        fn exp_is_close(x in -87.0_f32..0.0) {
            let exact = f64::from(x).exp();
            prop_assert!(((f64::from(exp_nonpositive(x)) - exact) / exact).abs() < 3e-7);
        }
    }

    #[test]
    fn what_is_not_finite_is_refused() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for place in [0, 7, 16, 18] {
                let mut row = vec![0.5_f32; 19];
                row[place] = bad;
                assert_eq!(divergence(&row, &[0.0; 19], 1), None, "{bad} at {place}");
                assert_eq!(log_probs(&row, [1_usize].into_iter()), None);
            }
        }
        assert_eq!(finite_max(&[]), None);
    }
}
