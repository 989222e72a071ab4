//! When a sweep over several suites may stop: what is known of the weighted mean of their paired differences at a look, what
//! that decides, and how many items of which suite the next look takes.
//!
//! Suites of a composite are strata of one sample, drawn without replacement. Exact confidence sequences of several strata
//! would have to be joined by a union bound, whose widths add up where errors would cancel: with ten suites three times as
//! wide. So the composite has an asymptotic one (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, arXiv 2103.06476): the
//! error of a stratified mean is a Brownian motion in the information `I = 1 / variance`, and with the normal mixture of
//! Robbins (1970) `|error| < sqrt((I + rho) (ln((I + rho) / rho) + 2 ln(1 / alpha))) / I` at all looks together with
//! probability 1 - alpha. That it holds with as few items as sweeps begin with is shown by simulation, in the tests.

/// Items of each suite that a sweep begins with: fewer tell little of a variance.
pub const FIRST_LOOK: u64 = 64;

/// What the next look may take, as a share of what all before it took.
const GROWTH: f64 = 0.4;

/// Flips that are always assumed beside those seen, in all suites together: none seen yet does not mean that there are none.
const ASSUMED_FLIPS: f64 = 2.0;

/// The paired differences of one suite, as far as they are known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stratum {
    /// What the suite counts in the mean.
    pub weight: f64,
    /// Items of the whole suite; absent where other items of the same kind are asked about too.
    pub of: Option<u64>,
    /// Items compared.
    pub n: u64,
    /// Sum of their differences.
    pub sum: f64,
    /// Sum of the squares of their differences.
    pub squares: f64,
    /// How many times larger the error of their mean is than if the items shared nothing.
    pub effect: f64,
}

impl Stratum {
    /// Of these differences, in any order.
    #[must_use]
    pub fn of(weight: f64, of: Option<u64>, differences: &[f64]) -> Self {
        Self {
            weight,
            of,
            n: differences.len() as u64,
            sum: differences.iter().sum(),
            squares: differences.iter().map(|d| d * d).sum(),
            effect: 1.0,
        }
    }

    /// Of items that share something, as much as [`cluster_effect`](super::cluster_effect) says.
    #[must_use]
    pub fn sharing(self, effect: f64) -> Self {
        Self { effect, ..self }
    }

    /// Variance of one difference.
    #[must_use]
    pub fn variance(&self) -> f64 {
        let n = self.n as f64;
        if self.n < 2 { f64::NAN } else { ((self.squares - self.sum * self.sum / n) / (n - 1.0)).max(0.0) }
    }

    /// The share of the suite that is still unknown.
    fn unseen(&self) -> f64 {
        self.of.map_or(1.0, |of| 1.0 - self.n.min(of) as f64 / of.max(1) as f64)
    }
}

/// A mean difference at a look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// The difference seen.
    pub mean: f64,
    /// Lower and upper end of an interval that holds the true one at all looks together.
    pub interval: (f64, f64),
}

/// The weighted mean difference over whole suites, with an interval that holds at every look with probability
/// `1 - alpha`. `width` is the half-width at which it is narrowest for its items: the tolerance. `None` if a suite has
/// fewer than two items.
#[must_use]
pub fn pooled_look(strata: &[Stratum], alpha: f64, width: f64) -> Option<Look> {
    let total: f64 = strata.iter().map(|s| s.weight).sum();
    let all: u64 = strata.iter().map(|s| s.n).sum();
    let (mut mean, mut variance) = (0.0, 0.0);
    for stratum in strata {
        let (share, n) = (stratum.weight / total, stratum.n as f64);
        mean += share * stratum.sum / n;
        let one = (stratum.variance() + ASSUMED_FLIPS / all as f64) * stratum.effect * stratum.effect;
        variance += share * share * one / n * stratum.unseen();
    }
    if strata.is_empty() || !mean.is_finite() || !variance.is_finite() {
        return None;
    }
    let radius = if variance > 0.0 {
        // The mixture's own scale, in the units of information.
        let (information, rho) = (1.0 / variance, width.powi(-2));
        let ratio = (information + rho) / rho;
        ((information + rho) * (ratio.ln() - 2.0 * alpha.ln())).sqrt() / information
    } else {
        0.0
    };
    Some(Look { mean, interval: ((mean - radius).max(-1.0), (mean + radius).min(1.0)) })
}

/// What a look decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The difference is within the tolerance, whichever way.
    Equal,
    /// More than the tolerance is lost.
    Worse,
    /// More than the tolerance is won.
    Better,
    /// It is known as precisely as was asked.
    Precise,
}

/// What an interval decides; `None` if nothing yet.
#[must_use]
pub fn decision((low, high): (f64, f64), tolerance: f64, precision: f64) -> Option<Decision> {
    if -tolerance <= low && high <= tolerance {
        Some(Decision::Equal)
    } else if high < -tolerance {
        Some(Decision::Worse)
    } else if low > tolerance {
        Some(Decision::Better)
    } else if (high - low) / 2.0 <= precision {
        Some(Decision::Precise)
    } else {
        None
    }
}

/// A suite that the next look may take more items of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effort {
    /// What an item of it contributes to the error of what is asked: the suite's weight times the standard deviation of
    /// a difference.
    pub spread: f64,
    /// What an item takes: seconds, or anything else that adds up.
    pub cost: f64,
    /// Items taken.
    pub n: u64,
    /// Items of the whole suite.
    pub of: u64,
}

/// How many items of each suite to go on to, for at most `spend` more: the split that narrows the weighted mean most,
/// `n` proportional to `spread / sqrt(cost)` (Neyman's allocation with costs, Cochran 1977, section 5.5), as far as suites
/// go. Never fewer than were taken.
#[must_use]
pub fn allocate(efforts: &[Effort], spend: f64) -> Vec<u64> {
    let goal = |scale: f64| -> Vec<u64> {
        // A spread that is not a number tells as little as none.
        let want = |e: &Effort| (scale * e.spread.max(0.0) / e.cost.sqrt()).min(e.of as f64).floor() as u64;
        efforts.iter().map(|e| want(e).max(e.n)).collect()
    };
    let price = |goal: &[u64]| -> f64 {
        goal.iter().zip(efforts).map(|(goal, e)| (goal - e.n.min(*goal)) as f64 * e.cost).sum()
    };
    let (mut low, mut high) = (0.0, 1.0);
    while price(&goal(high)) <= spend {
        low = high;
        high *= 2.0;
        if goal(high).iter().zip(efforts).all(|(goal, e)| *goal >= e.of || e.spread.max(0.0) <= 0.0) {
            // All that is left may be taken, or the rest does not matter.
            if price(&goal(high)) <= spend {
                return goal(high);
            }
            break;
        }
    }
    for _ in 0..64 {
        let middle = f64::midpoint(low, high);
        if price(&goal(middle)) <= spend {
            low = middle;
        } else {
            high = middle;
        }
    }
    goal(low)
}

/// The items of each suite at the next look: [`allocate`] of a share of what has been taken so far, and of no more than
/// `left`, if that is given.
#[must_use]
pub fn next_look(efforts: &[Effort], left: Option<f64>) -> Vec<u64> {
    let taken: f64 = efforts.iter().map(|e| e.n as f64 * e.cost).sum();
    let dearest = efforts.iter().map(|e| e.cost).fold(0.0, f64::max);
    let share = (GROWTH * taken).max(FIRST_LOOK as f64 * dearest);
    allocate(efforts, left.map_or(share, |left| share.min(left)))
}

#[cfg(test)]
mod tests;
