//! The system's `expf` for many arguments at once: glibc's algorithm (Szabolcs Nagy's, from ARM's optimized routines:
//! e^x = 2^(k/32) * 2^(r/32) with a table of 32 entries and a polynomial of degree 3 in double precision) in a form
//! that compilers vectorise. Where the system has another `expf`, which a few thousand arguments show, that one is
//! called instead: whoever compares with `llama-perplexity` to the digit needs the same roundings.

use std::sync::OnceLock;

/// Entries of the table.
const N: f64 = 32.0;
/// Arguments below this give 0 in single precision.
const LEAST: f32 = -104.0;
/// Adding and taking off 1.5 * 2^52 rounds to the nearest integer.
const ROUND: f64 = 6_755_399_441_055_744.0;
/// 32 / ln 2.
const PER_STEP: f64 = std::f64::consts::LOG2_E * N;
/// The polynomial for 2^(r/32), glibc's `exp2f_data`: coefficients of r^3, r^2 and r.
const CUBIC: [f64; 3] =
    [0.055_503_615_593_415_35 / N / N / N, 0.240_228_452_244_572_2 / N / N, 0.693_147_180_691_620_3 / N];

/// Bits of 2^(i/32) less i in the place where k is added.
const TABLE: [u64; 32] = [
    0x3ff0_0000_0000_0000,
    0x3fef_d9b0_d315_8574,
    0x3fef_b558_6cf9_890f,
    0x3fef_9301_d012_5b51,
    0x3fef_72b8_3c7d_517b,
    0x3fef_5487_3168_b9aa,
    0x3fef_387a_6e75_6238,
    0x3fef_1e9d_f51f_dee1,
    0x3fef_06fe_0a31_b715,
    0x3fee_f1a7_373a_a9cb,
    0x3fee_dea6_4c12_3422,
    0x3fee_ce08_6061_892d,
    0x3fee_bfda_d536_2a27,
    0x3fee_b42b_569d_4f82,
    0x3fee_ab07_dd48_5429,
    0x3fee_a47e_b03a_5585,
    0x3fee_a09e_667f_3bcd,
    0x3fee_9f75_e8ec_5f74,
    0x3fee_a114_73eb_0187,
    0x3fee_a589_994c_ce13,
    0x3fee_ace5_422a_a0db,
    0x3fee_b737_b0cd_c5e5,
    0x3fee_c491_82a3_f090,
    0x3fee_d503_b23e_255d,
    0x3fee_e89f_995a_d3ad,
    0x3fee_ff76_f2fb_5e47,
    0x3fef_199b_dd85_529c,
    0x3fef_3720_dcef_9069,
    0x3fef_5818_dcfb_a487,
    0x3fef_7c97_337b_9b5f,
    0x3fef_a4af_a2a4_90da,
    0x3fef_d076_5b6e_4540,
];

/// Replaces every x <= 0 by e^x, as the system's `expf` has it.
pub fn exp_all(values: &mut [f32]) {
    if is_the_systems() {
        for x in values {
            *x = exp(*x);
        }
    } else {
        for x in values {
            *x = x.exp();
        }
    }
}

/// Whether the algorithm gives what the system gives.
fn is_the_systems() -> bool {
    static KNOWN: OnceLock<bool> = OnceLock::new();
    const SAMPLES: u32 = 4096;
    let sample = |i: u32| LEAST * (i as f32 + 0.37) / SAMPLES as f32 * (i as f32 / SAMPLES as f32);
    *KNOWN.get_or_init(|| (0..SAMPLES).map(sample).all(|x| exp(x).to_bits() == x.exp().to_bits()))
}

#[inline]
fn fused(a: f64, b: f64, c: f64) -> f64 {
    if cfg!(target_feature = "fma") { a.mul_add(b, c) } else { a * b + c }
}

/// e^x for x <= 0.
#[inline]
fn exp(x: f32) -> f32 {
    let wide = f64::from(if x < LEAST { LEAST } else { x });
    let rounded = fused(PER_STEP, wide, ROUND);
    let bits = rounded.to_bits();
    let k = rounded - ROUND;
    let r = fused(PER_STEP, wide, -k);
    let scale = f64::from_bits(TABLE[(bits % 32) as usize].wrapping_add(bits << 47));
    let high = fused(CUBIC[0], r, CUBIC[1]);
    let low = fused(CUBIC[2], r, 1.0);
    (fused(high, r * r, low) * scale) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bits of -0.0 and of the least argument.
    const ARGUMENTS: std::ops::Range<u32> = 0x8000_0000..0xc2d0_0000;

    fn differing(step: usize) -> usize {
        use rayon::prelude::*;
        let all: Vec<u32> = (0..64).map(|i| ARGUMENTS.start + i).collect();
        let each = |first: u32| {
            let arguments = (first..ARGUMENTS.end).step_by(64 * step).map(f32::from_bits);
            arguments.filter(|x| exp(*x).to_bits() != x.exp().to_bits()).count()
        };
        all.into_par_iter().map(each).sum()
    }

    #[test]
    fn equals_the_systems() {
        let found = differing(97);
        assert_eq!(is_the_systems(), found == 0, "{found}");
        let mut values = [0.0, -1.0, -50.5, -200.0, f32::NEG_INFINITY];
        let expected = values.map(f32::exp);
        exp_all(&mut values);
        assert_eq!(values.map(f32::to_bits), expected.map(f32::to_bits));
    }

    /// A minute: `cargo test --release --lib expf -- --ignored`.
    #[test]
    #[ignore = "a billion arguments"]
    fn equals_the_systems_for_every_argument() {
        assert_eq!(is_the_systems(), differing(1) == 0);
    }
}
