//! Units of measure, as types where mixing them up would be a silent error, and the way each is shown to people.
//! Imports nothing of the pipeline.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A count of bytes. Shown with binary prefixes: `432.8 MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const STEPS: [(&str, u64); 4] =
            [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        for (unit, size) in STEPS {
            if self.0 >= size {
                return write!(f, "{:.1} {unit}", self.0 as f64 / size as f64);
            }
        }
        write!(f, "{} B", self.0)
    }
}

impl Bytes {
    /// Reads a size as people write memory: `24GiB`, `24 GB`, `24g`, `1.5GiB`, `512MiB`. The letters count in steps of 1024
    /// whether an `i` stands there or not, because cards sold with 24 GB have 24 GiB. None for anything else, also for a
    /// plain number below a MiB, which lacks its unit.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let lower = text.trim().to_ascii_lowercase();
        let digits = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
        let (number, unit) = lower.split_at(digits);
        let power = match unit.trim() {
            "" => return number.parse().ok().filter(|bytes| *bytes >= 1 << 20).map(Self),
            "k" | "kb" | "kib" => 10,
            "m" | "mb" | "mib" => 20,
            "g" | "gb" | "gib" => 30,
            "t" | "tb" | "tib" => 40,
            _ => return None,
        };
        let number: f64 = number.parse().ok().filter(|n: &f64| (0.0..1e6).contains(n))?;
        Some(Self((number * 2_f64.powi(power)).round() as u64))
    }
}

/// A duration in seconds. Shown as `4.2 s`, `3 min 20 s` or `2 h 05 min`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Seconds(pub f64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.is_finite() || self.0 < 0.0 {
            return write!(f, "?");
        }
        if self.0 < 59.95 {
            return write!(f, "{:.1} s", self.0);
        }
        let whole = self.0.round() as u64;
        match (whole / 3600, whole / 60 % 60, whole % 60) {
            (0, minutes, seconds) => write!(f, "{minutes} min {seconds:02} s"),
            (hours, minutes, _) => write!(f, "{hours} h {minutes:02} min"),
        }
    }
}

/// Bits per weight, measured from a file: tensor bits / number of weights.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct BitsPerWeight(pub f64);

impl BitsPerWeight {
    /// `tensor_bytes * 8 / weights`; 0 for a file without weights.
    #[must_use]
    pub fn of(tensor_bytes: u64, weights: u64) -> Self {
        if weights == 0 { Self(0.0) } else { Self(tensor_bytes as f64 * 8.0 / weights as f64) }
    }
}

impl fmt::Display for BitsPerWeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} bpw", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_as_people_write_it() {
        for text in ["24GiB", "24 GiB", "24GB", "24g", "24G", " 24.0gb "] {
            assert_eq!(Bytes::parse(text), Some(Bytes(24 << 30)), "{text}");
        }
        assert_eq!(Bytes::parse("1.5GiB"), Some(Bytes(3 << 29)));
        assert_eq!(Bytes::parse("0GiB"), Some(Bytes(0)));
        assert_eq!(Bytes::parse("25769803776"), Some(Bytes(24 << 30)));
        for text in
            ["", "24", "GiB", "-1GiB", "1e9", "24 GiBs", "nanGiB", "1.2.3GiB", "99999999GiB", "24 apples"]
        {
            assert_eq!(Bytes::parse(text), None, "{text}");
        }
    }
}
