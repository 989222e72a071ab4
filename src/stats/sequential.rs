//! Statistics that hold at every look, so that looking often costs nothing: a trial may stop the moment its answer is
//! known. Items come in one seeded random order, the same for every variant.

use statrs::function::beta::ln_beta;

/// Jeffreys' prior: how the mixture of the e-process weighs what share of the flips is lost.
const PRIOR: f64 = 0.5;
/// Bets are never larger than this.
const LARGEST_BET: f64 = 0.5;

/// Logarithm of the beta-mixture e-process against "as many are lost as won":
/// `E = 2^(b+c) B(b + a, c + a) / B(a, a)`, a = 1/2. Nothing differs is rejected at level alpha when `E >= 1/alpha`, at
/// whatever look.
#[must_use]
pub fn ln_e_process(lost: u64, won: u64) -> f64 {
    let (b, c) = (lost as f64, won as f64);
    (b + c) * std::f64::consts::LN_2 + ln_beta(b + PRIOR, c + PRIOR) - ln_beta(PRIOR, PRIOR)
}

/// A confidence sequence for the mean of differences between -1 and 1: an interval that holds the truth at all looks
/// together with probability 1 - alpha.
///
/// The predictable plug-in empirical Bernstein sequence (Waudby-Smith and Ramdas, arXiv 2010.09686, theorem 2) of
/// `x = (d + 1) / 2`, its intervals intersected as they come. Items of a suite are drawn without replacement: an item's
/// mean, given those before it, is `(N mu - sum) / (N - i + 1)`, so that `x_i + sum / (N - i + 1)` has the mean
/// `mu (1 + (i - 1) / (N - i + 1))` (Waudby-Smith and Ramdas, arXiv 2006.04347, section 3), which narrows the interval as
/// the suite comes to its end; what is told is then the mean over the whole suite.
#[derive(Debug, Clone, PartialEq)]
pub struct Sequence {
    alpha: f64,
    /// Items in all; absent: without end.
    of: Option<u64>,
    seen: u64,
    sum: f64,
    /// Sum of squared distances from the running mean, for the next bet.
    squares: f64,
    weighted: f64,
    weights: f64,
    variation: f64,
    low: f64,
    high: f64,
}

impl Sequence {
    /// Before the first item. `of` is how many there are in all, absent for a stream without end.
    #[must_use]
    pub fn new(alpha: f64, of: Option<u64>) -> Self {
        Self {
            alpha,
            of,
            seen: 0,
            sum: 0.0,
            squares: 0.0,
            weighted: 0.0,
            weights: 0.0,
            variation: 0.0,
            low: 0.0,
            high: 1.0,
        }
    }

    /// Takes the next difference in; one outside -1 to 1 counts as the nearer end.
    pub fn push(&mut self, difference: f64) {
        let x = f64::midpoint(difference.clamp(-1.0, 1.0), 1.0);
        self.seen += 1;
        let t = self.seen as f64;
        // Running mean and variance of what came before, a half and a quarter beforehand.
        let mean = (0.5 + self.sum) / t;
        let variance = (0.25 + self.squares) / t;
        let bet = (2.0 * (2.0 / self.alpha).ln() / (variance * t * (1.0 + t).ln())).sqrt().min(LARGEST_BET);
        let left = self.of.map(|of| of.saturating_sub(self.seen - 1).max(1) as f64);
        let (before, weight) = left.map_or((0.0, 1.0), |left| (self.sum / left, 1.0 + (t - 1.0) / left));
        self.weighted += bet * (x + before);
        self.weights += bet * weight;
        let psi = (-(-bet).ln_1p() - bet) / 4.0;
        self.variation += 4.0 * (x - mean).powi(2) * psi;
        self.sum += x;
        let after = (0.5 + self.sum) / (t + 1.0);
        self.squares += (x - after).powi(2);
        self.narrow();
    }

    fn narrow(&mut self) {
        let centre = self.weighted / self.weights;
        let radius = ((2.0 / self.alpha).ln() + self.variation) / self.weights;
        // What is not seen of a suite lies between 0 and 1 each, with certainty.
        let certain = self.of.map_or((0.0, 1.0), |of| {
            let unseen = of.saturating_sub(self.seen) as f64;
            (self.sum / of as f64, (self.sum + unseen) / of as f64)
        });
        self.low = self.low.max(centre - radius).max(certain.0);
        self.high = self.high.min(centre + radius).min(certain.1);
        // Rounding may cross what has become a point, and so may the one sequence in twenty that is wrong.
        if self.low > self.high {
            let middle = f64::midpoint(self.low, self.high).clamp(certain.0, certain.1);
            (self.low, self.high) = (middle, middle);
        }
    }

    /// The interval of the mean difference.
    #[must_use]
    pub fn interval(&self) -> (f64, f64) {
        (2.0 * self.low - 1.0, 2.0 * self.high - 1.0)
    }

    /// Items seen.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::SplitMix64;
    use proptest::prelude::*;

    /// A difference: lost with this probability, won with that.
    fn draw(random: &mut SplitMix64, lost: f64, won: f64) -> f64 {
        match random.unit() {
            u if u < lost => -1.0,
            u if u < lost + won => 1.0,
            _ => 0.0,
        }
    }

    /// `exp((b + c) * ln 2 + scipy.special.betaln(b + .5, c + .5) - betaln(.5, .5))` (scipy 1.17.1).
    #[test]
    fn the_e_process_is_the_mixture() {
        for (lost, won, e) in [
            (0, 0, 1.0),
            (1, 0, 1.0),
            (5, 5, 0.246_093_75),
            (12, 0, 660.194_335_937_5),
            (30, 10, 23.443_986_560_730_9),
        ] {
            assert!((ln_e_process(lost, won).exp() / e - 1.0).abs() < 1e-9, "{lost} {won}");
            assert!((ln_e_process(lost, won) - ln_e_process(won, lost)).abs() < 1e-9);
        }
        assert!(ln_e_process(100_000, 100_000).is_finite());
    }

    /// Ten thousand sweeps in which nothing differs, looked at after every item: no more than one in twenty says so.
    #[test]
    fn looking_after_every_item_rejects_no_more_than_one_in_twenty() {
        let mut random = SplitMix64::new(7);
        let rejected = (0..10_000)
            .filter(|_| {
                let (mut lost, mut won) = (0, 0);
                (0..200).any(|_| {
                    if random.unit() < 0.5 {
                        lost += 1;
                    } else {
                        won += 1;
                    }
                    ln_e_process(lost, won) >= 20.0_f64.ln()
                })
            })
            .count();
        assert!((50..=500).contains(&rejected), "{rejected} of 10000");
    }

    /// At all looks together the interval holds the truth in at least 95% of the sweeps, drawn without end.
    #[test]
    fn sequences_hold_the_truth_at_every_look() {
        let mut random = SplitMix64::new(11);
        for (lost, won) in [(0.025, 0.025), (0.2, 0.05), (0.5, 0.5)] {
            let held = (0..2_000)
                .filter(|_| {
                    let mut sequence = Sequence::new(0.05, None);
                    (0..400).all(|_| {
                        sequence.push(draw(&mut random, lost, won));
                        let (low, high) = sequence.interval();
                        low <= won - lost && won - lost <= high
                    })
                })
                .count();
            assert!(held >= 1_900, "{held} of 2000 at {lost} {won}");
        }
    }

    /// The same of a suite that comes to its end: then the interval is the suite's own mean.
    #[test]
    fn a_suite_drawn_to_its_end_is_known() {
        let mut random = SplitMix64::new(13);
        let (mut held, mut narrower) = (0, 0);
        for _ in 0..1_000 {
            let mut suite: Vec<f64> = (0..300).map(|_| draw(&mut random, 0.06, 0.04)).collect();
            for i in (1..suite.len()).rev() {
                suite.swap(i, random.below(i + 1));
            }
            let truth = suite.iter().sum::<f64>() / 300.0;
            let (mut whole, mut endless) = (Sequence::new(0.05, Some(300)), Sequence::new(0.05, None));
            let mut holds = true;
            for (place, d) in suite.iter().enumerate() {
                whole.push(*d);
                endless.push(*d);
                let (low, high) = whole.interval();
                holds &= low <= truth + 1e-9 && truth <= high + 1e-9;
                if place == 249 {
                    let width = |s: &Sequence| s.interval().1 - s.interval().0;
                    narrower += u32::from(width(&whole) < width(&endless));
                }
            }
            let (low, high) = whole.interval();
            assert!((low - truth).abs() < 1e-9 && (high - truth).abs() < 1e-9, "{low} {high} {truth}");
            held += u32::from(holds);
        }
        assert!(held >= 950 && narrower >= 990, "{held} hold and {narrower} are narrower, of 1000");
    }

    /// The design's own figure: to show equality within 2 points at 5% of flips takes about 2,400 items.
    #[test]
    fn equality_within_two_points_takes_as_many_items_as_the_design_says() {
        let mut random = SplitMix64::new(3);
        let mut taken: Vec<u64> = (0..60)
            .map(|_| {
                let mut sequence = Sequence::new(0.05, None);
                while sequence.interval().0 < -0.02 || sequence.interval().1 > 0.02 {
                    sequence.push(draw(&mut random, 0.025, 0.025));
                }
                sequence.seen()
            })
            .collect();
        taken.sort_unstable();
        assert!((1_800..=3_000).contains(&taken[30]), "{taken:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn intervals_only_narrow_and_stay_within_bounds(
            differences in prop::collection::vec(-1.0..=1.0_f64, 1..200), more in 0_u64..50, ends in any::<bool>(),
        ) {
            let of = ends.then_some(differences.len() as u64 + more);
            let mut sequence = Sequence::new(0.05, of);
            let mut last = (-1.0, 1.0);
            for d in differences {
                sequence.push(d);
                let (low, high) = sequence.interval();
                // Once crossed, a sequence follows what is certain.
                let crossed = last.1 - last.0 < 1e-12;
                prop_assert!(low <= high && (crossed || low >= last.0 - 1e-12 && high <= last.1 + 1e-12));
                last = (low, high);
            }
        }
    }
}
