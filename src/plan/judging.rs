//! By what differences are judged: how much may be lost, what each suite counts where several are put together, and whether
//! trials stop when that is known.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::plan::error::PlanError;

/// Two points of a hundred: what most people would not notice.
const TOLERANCE: f64 = 0.02;

/// How the differences between variants and the base are judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judging {
    /// A score that is shown to lie within so much of the base's counts as equal; a fraction.
    pub tolerance: f64,
    /// What suites count in the composite score, by name; those not named count 1.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub weights: BTreeMap<String, f64>,
    /// Trials stop when their answer is known; absent: when all their items are done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decide: Option<Deciding>,
}

/// When a trial may stop before its last item.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Deciding {
    /// What is asked about.
    pub scope: Scope,
    /// A difference that is known within so much, either way, is known well enough; a fraction.
    pub precision: f64,
}

/// What the answers are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The composite of all suites: a variant's trials stop together.
    Composite,
    /// Each suite for itself.
    Suites,
}

impl Scope {
    /// As it is given: `composite` or `suites`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "composite" => Some(Self::Composite),
            "suites" => Some(Self::Suites),
            _ => None,
        }
    }
}

impl Default for Judging {
    fn default() -> Self {
        Self { tolerance: TOLERANCE, weights: BTreeMap::new(), decide: None }
    }
}

impl Judging {
    /// Checks what a file and flags say. `suites` are those of the sweep.
    ///
    /// # Errors
    /// A tolerance that is not between 0 and 1, a weight below 0 or not a number, a suite that is not in the sweep, and
    /// weights that are all 0.
    pub fn checked(
        tolerance: Option<f64>,
        mut weights: BTreeMap<String, f64>,
        flags: &[String],
        suites: &[String],
        place: &str,
    ) -> Result<Self, PlanError> {
        let refused = |place: &str, what: String, hint: &str| PlanError::Missing {
            place: place.to_owned(),
            what,
            hint: hint.to_owned(),
        };
        for text in flags {
            let pair =
                text.split_once('=').and_then(|(name, weight)| Some((name, weight.trim().parse().ok()?)));
            let Some((name, weight)) = pair else {
                let what = format!("{text:?} is not a suite and its weight");
                return Err(refused("--weight", what, "write --weight gsm8k=2"));
            };
            weights.insert(name.trim().to_owned(), weight);
        }
        if let Some(name) = weights.keys().find(|name| !suites.contains(name)) {
            return Err(PlanError::Unknown {
                place: format!("{place}, weights"),
                kind: "suite",
                name: name.clone(),
                nearest: suites.to_vec(),
            });
        }
        if let Some((name, weight)) = weights.iter().find(|(_, weight)| !(0.0..=1e6).contains(*weight)) {
            let what = format!("the weight of {name} is {weight}");
            return Err(refused(place, what, "weights are 0 or more; 0 leaves a suite out"));
        }
        if suites.iter().all(|name| weights.get(name).is_some_and(|weight| *weight <= 0.0))
            && !suites.is_empty()
        {
            return Err(refused(place, "all weights are 0".to_owned(), "leave `weights` out for equal ones"));
        }
        let tolerance = tolerance.unwrap_or(TOLERANCE);
        if !(tolerance > 0.0 && tolerance < 1.0) {
            let what = format!("a tolerance of {tolerance} is not between 0 and 1");
            return Err(refused(place, what, "tolerance is a fraction: 0.02 is two points of a hundred"));
        }
        Ok(Self { tolerance, weights, decide: None })
    }

    /// The same, with trials that stop when their answer is known, to `precision` or else to half the tolerance: on which
    /// side of it a variant lies shall be known, or nearly.
    ///
    /// # Errors
    /// A precision that is not between 0 and 1.
    pub fn deciding(self, scope: Scope, precision: Option<f64>, place: &str) -> Result<Self, PlanError> {
        let precision = precision.unwrap_or(self.tolerance / 2.0);
        if precision > 0.0 && precision < 1.0 {
            return Ok(Self { decide: Some(Deciding { scope, precision }), ..self });
        }
        Err(PlanError::Missing {
            place: place.to_owned(),
            what: format!("a precision of {precision} is not between 0 and 1"),
            hint: "precision is a fraction: 0.02 is two points of a hundred, either way".to_owned(),
        })
    }

    /// What a suite counts.
    #[must_use]
    pub fn weight(&self, suite: &str) -> f64 {
        self.weights.get(suite).copied().unwrap_or(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let suites = ["piqa".to_owned(), "gsm8k".to_owned()];
        let checked = |tolerance, flags: &[&str]| {
            let flags: Vec<String> = flags.iter().map(|&f| f.to_owned()).collect();
            Judging::checked(tolerance, BTreeMap::new(), &flags, &suites, "x.toml")
        };
        let judging = checked(None, &["gsm8k=2", "piqa = 0.5"]).expect("fine");
        assert_eq!((judging.tolerance, judging.weight("gsm8k"), judging.weight("piqa")), (0.02, 2.0, 0.5));
        assert!((checked(Some(0.05), &[]).expect("fine").weight("piqa") - 1.0).abs() < 1e-12);
        for (tolerance, flags, reason) in [
            (Some(0.0), &[][..], "tolerance of 0"),
            (Some(2.0), &[], "tolerance of 2"),
            (Some(f64::NAN), &[], "tolerance of NaN"),
            (None, &["gsm8k"], "\"gsm8k\" is not a suite and its weight"),
            (None, &["gsm8k=-1"], "the weight of gsm8k is -1"),
            (None, &["gsm8k=nan"], "the weight of gsm8k is NaN"),
            (None, &["gsm=1"], "gsm"),
            (None, &["gsm8k=0", "piqa=0"], "all weights are 0"),
        ] {
            let error = checked(tolerance, flags).expect_err(reason).to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
