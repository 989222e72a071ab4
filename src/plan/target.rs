//! How large a searched file may be: `4.5bpw`, `5.0GiB`, or `=Q4_K_M` for as many bytes as that stock type's file.

use serde::{Deserialize, Serialize};

use crate::plan::error::PlanError;
use crate::plan::recipe;

/// What a searched recipe's name begins with.
pub const SEARCHED: &str = "auto@";

/// How large the file may be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Bits per weight, of the tensors.
    Bpw(f64),
    /// Bytes of the file.
    Bytes(u64),
    /// As many bytes as the file of this stock type has.
    Like(String),
}

impl Target {
    /// Reads what follows `auto@` in a recipe's name.
    pub fn parse(text: &str, place: &str) -> Result<Self, PlanError> {
        if let Some(name) = text.strip_prefix('=') {
            return Self::like(name, place);
        }
        match text.strip_suffix("bpw") {
            Some(number) => Self::bpw(number.trim().parse().unwrap_or(f64::NAN), place),
            None => Self::bytes(text, place),
        }
    }

    /// As many bytes as a stock type's file.
    pub fn like(name: &str, place: &str) -> Result<Self, PlanError> {
        Ok(Self::Like(recipe::find(name, place)?.name.to_owned()))
    }

    /// Bits per weight, if they mean something.
    pub fn bpw(bpw: f64, place: &str) -> Result<Self, PlanError> {
        if bpw.is_finite() && bpw > 0.0 {
            return Ok(Self::Bpw(bpw));
        }
        Err(wrong(place, "a size that is no number of bits per weight".to_owned(), "such as 4.5"))
    }

    /// Bytes as people write them: `5368709120`, `5.0GiB`, `900MiB`.
    pub fn bytes(text: &str, place: &str) -> Result<Self, PlanError> {
        let units = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];
        let plain = text.trim();
        let parsed = match units.iter().find_map(|(unit, power)| Some((plain.strip_suffix(unit)?, power))) {
            Some((number, power)) => {
                let number = number.trim().parse::<f64>().ok().filter(|n| (0.0..1e6).contains(n));
                number.map(|n| (n * 2_f64.powi(*power)) as u64)
            }
            None => plain.parse::<u64>().ok(),
        };
        let bytes = parsed.filter(|bytes| *bytes > 0).map(Self::Bytes);
        let hint = "such as 5368709120, 5.0GiB or 900MiB; 4.5bpw and =Q4_K_M in the name of a recipe";
        bytes.ok_or_else(|| wrong(place, format!("{text:?} is no number of bytes"), hint))
    }
}

fn wrong(place: &str, what: String, hint: &str) -> PlanError {
    PlanError::Missing { place: place.to_owned(), what, hint: hint.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_as_people_write_them() {
        let parse = |text: &str| Target::parse(text, "test").ok();
        assert_eq!(parse("5.0GiB"), Some(Target::Bytes(5 << 30)));
        assert_eq!(parse(" 900 MiB"), Some(Target::Bytes(900 << 20)));
        assert_eq!(parse("123"), Some(Target::Bytes(123)));
        assert_eq!(parse("4.5bpw"), Some(Target::Bpw(4.5)));
        assert_eq!(parse("=q4_k_m"), Some(Target::Like("Q4_K_M".to_owned())));
        for text in
            ["", "0", "-1", "5GB", "1e9", "nanGiB", "infGiB", "-3MiB", "MiB", "bpw", "-1bpw", "infbpw", "=Q4"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,20}") {
            let _ = Target::parse(&text, "test");
        }
    }
}
