//! How a token is chosen: the likeliest, or drawn from what temperature, top-k, top-p and min-p leave of the
//! distribution, in that order of cuts (temperature last, as llama.cpp's own chain has it).
//!
//! Every text has random numbers of its own, from the seed, the item and the number of the sample, so that neither the
//! order of work nor what else is decoded at the time moves them.

use crate::plan::generate::Sampling;
use crate::stats::SplitMix64;

/// Chooses the tokens of one text.
#[derive(Debug, Clone)]
pub struct Sampler {
    sampling: Sampling,
    random: SplitMix64,
}

impl Sampler {
    /// The sampler of a sample of an item.
    pub fn new(sampling: Sampling, item: u64, sample: u32) -> Self {
        let mut hash = blake3::Hasher::new_derive_key("bitfrontier generated answer v1");
        hash.update(&sampling.seed.to_le_bytes()).update(&item.to_le_bytes()).update(&sample.to_le_bytes());
        let mut first = [0_u8; 8];
        hash.finalize_xof().fill(&mut first);
        Self { sampling, random: SplitMix64::new(u64::from_le_bytes(first)) }
    }

    /// The next token; `None` if a logit is not a number, or none is finite.
    pub fn choose(&mut self, logits: &[f32]) -> Option<usize> {
        let best = likeliest(logits)?;
        if self.sampling.temperature <= 0.0 {
            return Some(best);
        }
        let kept = self.kept(logits, best);
        let largest = f64::from(*logits.get(best)?);
        let weight = |token: &usize| {
            let logit = logits.get(*token).copied().map_or(f64::NEG_INFINITY, f64::from);
            ((logit - largest) / self.sampling.temperature).exp()
        };
        let goal = self.random.unit() * kept.iter().map(weight).sum::<f64>();
        let mut sum = 0.0;
        let passed = kept.iter().find(|token| {
            sum += weight(token);
            sum > goal
        });
        passed.or(kept.first()).copied()
    }

    /// Tokens that the cuts leave, the likeliest first; equal ones in the order of the vocabulary.
    fn kept(&self, logits: &[f32], best: usize) -> Vec<usize> {
        let Sampling { top_k, top_p, min_p, .. } = self.sampling;
        let logit = |token: &usize| logits.get(*token).copied().unwrap_or(f32::NEG_INFINITY);
        let largest = f64::from(logit(&best));
        let weight = |token: &usize| (f64::from(logit(token)) - largest).exp();
        let mut kept: Vec<usize> = (0..logits.len()).filter(|token| weight(token) >= min_p).collect();
        kept.sort_by(|a, b| logit(b).total_cmp(&logit(a)).then(a.cmp(b)));
        if top_k > 0 {
            kept.truncate(top_k as usize);
        }
        if top_p < 1.0 {
            let goal = top_p * kept.iter().map(weight).sum::<f64>();
            let mut sum = 0.0;
            let enough = kept.iter().position(|token| {
                sum += weight(token);
                sum >= goal
            });
            kept.truncate(enough.map_or(kept.len(), |last| last + 1));
        }
        kept
    }
}

/// The first of the largest logits; `None` if one is not a number, or none is finite.
fn likeliest(logits: &[f32]) -> Option<usize> {
    let mut best: Option<(usize, f32)> = None;
    for (token, logit) in logits.iter().enumerate() {
        if logit.is_nan() {
            return None;
        }
        if best.is_none_or(|(_, largest)| *logit > largest) {
            best = Some((token, *logit));
        }
    }
    best.filter(|(_, logit)| logit.is_finite()).map(|(token, _)| token)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 5] = [0.0, 2.0, f32::NEG_INFINITY, 1.0, 2.0];

    fn counts(sampling: Sampling) -> [usize; 5] {
        let mut counts = [0; 5];
        for item in 0..4000 {
            counts[Sampler::new(sampling, item, 0).choose(&LOGITS).expect("chosen")] += 1;
        }
        counts
    }

    #[test]
    fn greedy_takes_the_first_of_the_largest() {
        let mut sampler = Sampler::new(Sampling::default(), 0, 0);
        assert_eq!(sampler.choose(&LOGITS), Some(1));
        assert_eq!(sampler.choose(&[1.0, f32::NAN]), None);
        assert_eq!(sampler.choose(&[f32::NEG_INFINITY]), None);
        assert_eq!(sampler.choose(&[]), None);
    }

    #[test]
    fn draws_follow_what_the_cuts_leave() {
        let one = Sampling { temperature: 1.0, ..Sampling::default() };
        let near = |counts: [usize; 5], shares: [f64; 5]| {
            for (count, share) in counts.iter().zip(shares) {
                let expected = 4000.0 * share;
                let sd = (4000.0 * share * (1.0 - share)).sqrt();
                assert!((*count as f64 - expected).abs() <= 4.0 * sd, "{counts:?} {shares:?}");
            }
        };
        let e = |x: f64| x.exp();
        let all = e(0.0) + 2.0 * e(2.0) + e(1.0);
        near(counts(one), [1.0 / all, e(2.0) / all, 0.0, e(1.0) / all, e(2.0) / all]);
        near(counts(Sampling { top_k: 2, ..one }), [0.0, 0.5, 0.0, 0.0, 0.5]);
        near(counts(Sampling { top_k: 1, ..one }), [0.0, 1.0, 0.0, 0.0, 0.0]);
        near(counts(Sampling { top_p: 0.75, ..one }), [0.0, 0.5, 0.0, 0.0, 0.5]);
        let three = 2.0 * e(2.0) + e(1.0);
        let shares = [0.0, e(2.0) / three, 0.0, e(1.0) / three, e(2.0) / three];
        near(counts(Sampling { min_p: 0.3, ..one }), shares);
        let hot = 1.0 + 2.0 * e(1.0) + e(0.5);
        let shares = [1.0 / hot, e(1.0) / hot, 0.0, e(0.5) / hot, e(1.0) / hot];
        near(counts(Sampling { temperature: 2.0, ..one }), shares);
    }

    #[test]
    fn a_seed_an_item_and_a_sample_have_numbers_of_their_own() {
        let one = Sampling { temperature: 1.0, ..Sampling::default() };
        let first = |seed, item, sample| {
            let mut sampler = Sampler::new(Sampling { seed, ..one }, item, sample);
            (0..16).map(|_| sampler.choose(&LOGITS).expect("chosen")).collect::<Vec<_>>()
        };
        assert_eq!(first(1, 2, 3), first(1, 2, 3));
        assert!(first(1, 2, 3) != first(2, 2, 3) && first(1, 2, 3) != first(1, 3, 3));
        assert_ne!(first(1, 2, 3), first(1, 2, 4));
    }

    #[test]
    fn what_no_distribution_has_is_refused() {
        let with = |change: fn(&mut Sampling)| {
            let mut sampling = Sampling::default();
            change(&mut sampling);
            sampling.fault()
        };
        assert_eq!(with(|_| ()), None);
        assert!(with(|s| s.temperature = -1.0).is_some() && with(|s| s.temperature = f64::NAN).is_some());
        assert!(with(|s| s.top_p = 0.0).is_some() && with(|s| s.min_p = 1.5).is_some());
    }
}
