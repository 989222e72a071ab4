//! Sums over the scored tokens of a text, and the figures of `llama-perplexity` that follow from them. Sums of
//! several chunks add up, which is all that the bootstrap over chunks needs.
//!
//! Errors here treat tokens as independent, as `llama-perplexity` does; intervals that do not come from the
//! bootstrap.

use std::iter::Sum;
use std::ops::Add;

use serde::{Deserialize, Serialize};

/// Sums over tokens; q is -ln p of the true token under the variant, b the same under the base.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Moments {
    /// Scored tokens.
    pub tokens: u64,
    /// Sum of q, in nats.
    pub q: f64,
    /// Sum of q^2.
    pub qq: f64,
    /// Sum of b, in nats.
    pub b: f64,
    /// Sum of b^2.
    pub bb: f64,
    /// Sum of q b.
    pub qb: f64,
    /// Sum of the KL divergences, in nats.
    pub kld: f64,
    /// Sum of their squares.
    pub kld2: f64,
    /// Sum of the differences of the true token's probability, variant minus base.
    pub delta_p: f64,
    /// Sum of their squares.
    pub delta_p2: f64,
    /// Sum of their fourth powers.
    pub delta_p4: f64,
    /// Tokens whose most likely successor is the same under both.
    pub same_top: u64,
}

/// A value and its standard error; the error is NaN where one token is all there is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlusMinus {
    /// The value.
    pub value: f64,
    /// Its standard error.
    pub error: f64,
}

/// What a text says about a variant, with errors to first order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TextFigures {
    /// e^mean(q).
    pub ppl: PlusMinus,
    /// e^mean(b).
    pub ppl_base: PlusMinus,
    /// Perplexity of the variant minus that of the base.
    pub ppl_diff: PlusMinus,
    /// Perplexity of the variant over that of the base.
    pub ppl_ratio: PlusMinus,
    /// mean(q) - mean(b), in nats.
    pub ln_ratio: PlusMinus,
    /// Correlation of q and b; NaN where either does not vary.
    pub cor: f64,
    /// Mean KL divergence, in nats.
    pub kld_mean: PlusMinus,
    /// Mean difference of the true token's probability.
    pub delta_p_mean: PlusMinus,
    /// Root of its mean square.
    pub delta_p_rms: PlusMinus,
    /// Share of tokens with the same most likely successor.
    pub same_top_p: PlusMinus,
}

impl Moments {
    /// Adds a token.
    pub fn push(&mut self, q: f64, b: f64, kld: f64, delta_p: f64, same_top: bool) {
        let delta_p2 = delta_p * delta_p;
        self.add_token([q, q * q, b, b * b, q * b, kld, delta_p, delta_p2], same_top);
    }

    /// Adds a token as `llama-perplexity` does when it compares with a file: products of its 32-bit values are
    /// rounded to 32 bits before they are summed, which moves the last digits of large perplexities.
    pub fn push_rounded(&mut self, q: f32, b: f32, kld: f64, delta_p: f32, same_top: bool) {
        let products = [q, q * q, b, b * b, q * b].map(f64::from);
        let [q, qq, b, bb, qb] = products;
        self.add_token([q, qq, b, bb, qb, kld, f64::from(delta_p), f64::from(delta_p * delta_p)], same_top);
    }

    fn add_token(&mut self, [q, qq, b, bb, qb, kld, delta_p, delta_p2]: [f64; 8], same_top: bool) {
        let token = Self {
            tokens: 1,
            q,
            qq,
            b,
            bb,
            qb,
            kld,
            kld2: kld * kld,
            delta_p,
            delta_p2,
            delta_p4: delta_p2 * delta_p2,
            same_top: u64::from(same_top),
        };
        *self = *self + token;
    }

    /// Whether no sum has overflown or is not a number.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        [self.q, self.qq, self.b, self.bb, self.qb, self.kld, self.kld2, self.delta_p, self.delta_p4]
            .iter()
            .all(|sum| sum.is_finite())
    }

    /// The figures. `None` without tokens.
    #[must_use]
    pub fn figures(&self) -> Option<TextFigures> {
        if self.tokens == 0 {
            return None;
        }
        let (q, b) = (self.mean(self.q, self.qq), self.mean(self.b, self.bb));
        let (ppl, ppl_base) = (exponential(q), exponential(b));
        let (var_q, var_b) =
            (self.covariance(self.q, self.q, self.qq), self.covariance(self.b, self.b, self.bb));
        let cov = self.covariance(self.q, self.b, self.qb);
        // Two differences, so that a variant that is the base has an error of exactly 0.
        let var_ratio = (var_q - cov) + (var_b - cov);
        let ln_ratio = PlusMinus { value: q.value - b.value, error: root(var_ratio) };
        // p^2 var_q + r^2 var_b - 2 p r cov for p, r the two perplexities, likewise.
        let (p, r) = (ppl.value, ppl_base.value);
        let var_diff = p * r * var_ratio + (p - r) * (p * var_q - r * var_b);
        let squares = self.mean(self.delta_p2, self.delta_p4);
        Some(TextFigures {
            ppl,
            ppl_base,
            ppl_diff: PlusMinus { value: p - r, error: root(var_diff) },
            ppl_ratio: exponential(ln_ratio),
            ln_ratio,
            cor: cov / (q.error * b.error),
            kld_mean: self.mean(self.kld, self.kld2),
            delta_p_mean: self.mean(self.delta_p, self.delta_p2),
            delta_p_rms: square_root(squares),
            // The square of a 0 or a 1 is itself.
            same_top_p: self.mean(self.same_top as f64, self.same_top as f64),
        })
    }

    /// S/n with sqrt((S2/n - (S/n)^2) / (n - 1)).
    fn mean(&self, sum: f64, squares: f64) -> PlusMinus {
        PlusMinus { value: sum / self.tokens as f64, error: root(self.covariance(sum, sum, squares)) }
    }

    /// Covariance of two means: (Sab/n - Sa Sb / n^2) / (n - 1); NaN for fewer than two tokens.
    fn covariance(&self, a: f64, b: f64, products: f64) -> f64 {
        let n = self.tokens as f64;
        if self.tokens < 2 { f64::NAN } else { (products / n - (a / n) * (b / n)) / (n - 1.0) }
    }
}

impl Add for Moments {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            tokens: self.tokens + other.tokens,
            q: self.q + other.q,
            qq: self.qq + other.qq,
            b: self.b + other.b,
            bb: self.bb + other.bb,
            qb: self.qb + other.qb,
            kld: self.kld + other.kld,
            kld2: self.kld2 + other.kld2,
            delta_p: self.delta_p + other.delta_p,
            delta_p2: self.delta_p2 + other.delta_p2,
            delta_p4: self.delta_p4 + other.delta_p4,
            same_top: self.same_top + other.same_top,
        }
    }
}

impl Sum for Moments {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::default(), Self::add)
    }
}

/// The root of a variance; rounding may leave a variance of 0 a hair below it.
fn root(variance: f64) -> f64 {
    if variance < 0.0 { 0.0 } else { variance.sqrt() }
}

/// e^x, with the error of x carried over to first order.
fn exponential(x: PlusMinus) -> PlusMinus {
    let value = x.value.exp();
    PlusMinus { value, error: value * x.error }
}

/// The root of a mean square, likewise; exact where every square is 0.
fn square_root(x: PlusMinus) -> PlusMinus {
    let value = root(x.value);
    PlusMinus { value, error: if value > 0.0 { 0.5 / value * x.error } else { x.error } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-9 * (1.0 + a.abs().max(b.abs()))
    }

    fn of(tokens: &[(f64, f64)]) -> Moments {
        let mut moments = Moments::default();
        for &(q, b) in tokens {
            moments.push(q, b, q, q - b, q > b);
        }
        moments
    }

    #[test]
    fn nothing_has_no_figures_and_one_token_no_error() {
        assert_eq!(Moments::default().figures(), None);
        let figures = of(&[(1.0, 2.0)]).figures().expect("a token");
        assert!(figures.ppl.error.is_nan() && figures.ln_ratio.error.is_nan());
        assert!(close(figures.ppl.value, std::f64::consts::E));
    }

    #[test]
    fn products_are_rounded_where_llama_perplexity_rounds_them() {
        let (mut exact, mut rounded) = (Moments::default(), Moments::default());
        exact.push(f64::from(1.1_f32), f64::from(2.3_f32), 0.5, f64::from(0.1_f32), true);
        rounded.push_rounded(1.1, 2.3, 0.5, 0.1, true);
        assert_eq!(rounded.qb.to_bits(), f64::from(1.1_f32 * 2.3_f32).to_bits());
        assert_ne!(rounded.qb.to_bits(), exact.qb.to_bits());
        assert_eq!((rounded.q.to_bits(), rounded.kld2.to_bits()), (exact.q.to_bits(), exact.kld2.to_bits()));
    }

    proptest! {
        #[test]
        fn the_error_of_the_ratio_is_that_of_the_differences(
            tokens in prop::collection::vec((0.0..20.0_f64, 0.0..20.0_f64), 2..100),
        ) {
            let figures = of(&tokens).figures().expect("tokens");
            let expected = crate::stats::difference(&tokens.iter().map(|&(q, b)| (b, q)).collect::<Vec<_>>());
            let expected = expected.expect("tokens");
            prop_assert!(close(figures.ln_ratio.value, expected.point));
            prop_assert!((figures.ln_ratio.error - expected.standard_error).abs() < 1e-6);
        }

        #[test]
        fn a_variant_that_is_the_base_differs_by_exactly_nothing(
            nlls in prop::collection::vec(0.0..30.0_f64, 2..100),
        ) {
            let same: Vec<(f64, f64)> = nlls.iter().map(|&q| (q, q)).collect();
            let figures = of(&same).figures().expect("tokens");
            let none = PlusMinus { value: 0.0, error: 0.0 };
            prop_assert_eq!((figures.ln_ratio, figures.ppl_diff), (none, none));
            prop_assert_eq!(figures.ppl_ratio, PlusMinus { value: 1.0, error: 0.0 });
        }

        #[test]
        fn chunks_add_up(tokens in prop::collection::vec((0.0..20.0_f64, 0.0..20.0_f64), 4..60)) {
            let (first, second) = tokens.split_at(tokens.len() / 2);
            let parts: Moments = [of(first), of(second)].into_iter().sum();
            let whole = of(&tokens);
            prop_assert_eq!((parts.tokens, parts.same_top), (whole.tokens, whole.same_top));
            prop_assert!(close(parts.qb, whole.qb) && close(parts.delta_p4, whole.delta_p4));
        }
    }
}
