//! A recipe: how to make a variant's file, and with which KV cache it is run.

use serde::{Deserialize, Serialize};

use crate::plan::error::{PlanError, nearest};
use crate::plan::ladder::{self, KV_TYPES, StockType};

/// Name of the variant that is the base itself.
pub const BASE: &str = "base";

/// How to make a file. Only what is in here decides the file's bytes, given base and llama.cpp.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Weights {
    /// Name without KV types: `base`, a stock type, or the user's.
    pub name: String,
    /// The stock type; empty for the base.
    pub type_name: String,
    /// llama.cpp's file type number; absent for the base.
    pub ftype: Option<u32>,
    /// Bits per weight of the type.
    pub nominal_bpw: Option<f64>,
}

/// KV cache types, as ggml names them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KvTypes {
    /// Type of K.
    pub k: String,
    /// Type of V.
    pub v: String,
}

impl Default for KvTypes {
    fn default() -> Self {
        Self { k: "f16".to_owned(), v: "f16".to_owned() }
    }
}

impl KvTypes {
    /// Reads `q8_0` (both) or `q8_0,q4_0` (K, V).
    pub fn parse(text: &str, place: &str) -> Result<Self, PlanError> {
        let (k, v) = text.split_once(',').unwrap_or((text, text));
        for name in [k, v] {
            if !KV_TYPES.contains(&name) {
                return Err(PlanError::Unknown {
                    place: place.to_owned(),
                    kind: "KV cache type",
                    name: name.to_owned(),
                    nearest: KV_TYPES.map(str::to_owned).to_vec(),
                });
            }
        }
        Ok(Self { k: k.to_owned(), v: v.to_owned() })
    }

    /// What is appended to a variant's name: nothing for f16.
    pub fn suffix(&self) -> String {
        match (self.k.as_str(), self.v.as_str()) {
            ("f16", "f16") => String::new(),
            (k, v) if k == v => format!("/kv={k}"),
            (k, v) => format!("/kv={k},{v}"),
        }
    }
}

/// A recipe: weights and KV types.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// How the file is made.
    pub weights: Weights,
    /// How it is run.
    pub kv: KvTypes,
}

impl Recipe {
    /// The base itself.
    pub fn base() -> Self {
        let weights =
            Weights { name: BASE.to_owned(), type_name: String::new(), ftype: None, nominal_bpw: None };
        Self { weights, kv: KvTypes::default() }
    }

    /// Reads a recipe's name: `Q4_K_M`, `Q4_K_M/kv=q8_0`, `base/kv=q8_0,q4_0`.
    pub fn parse(text: &str, place: &str) -> Result<Self, PlanError> {
        let (name, kv) = match text.split_once("/kv=") {
            Some((name, kv)) => (name, KvTypes::parse(kv, place)?),
            None => (text, KvTypes::default()),
        };
        if name == BASE {
            return Ok(Self { kv, ..Self::base() });
        }
        Ok(Self { weights: Weights::stock(find(name, place)?, None, place)?, kv })
    }

    /// The variant's name.
    pub fn variant(&self) -> String {
        format!("{}{}", self.weights.name, self.kv.suffix())
    }

    /// Whether this is the base's own file.
    pub fn is_base(&self) -> bool {
        self.weights.ftype.is_none()
    }
}

impl Weights {
    /// Whether both make the same file: names don't matter.
    pub fn same_file(&self, other: &Self) -> bool {
        self.ftype == other.ftype
    }

    /// A stock type, under its own name or the user's.
    pub fn stock(stock: &StockType, name: Option<&str>, place: &str) -> Result<Self, PlanError> {
        if stock.needs_imatrix {
            return Err(PlanError::Recipe {
                place: place.to_owned(),
                name: stock.name.to_owned(),
                reason: "needs an importance matrix, which this version does not make yet".to_owned(),
            });
        }
        Ok(Self {
            name: name.unwrap_or(stock.name).to_owned(),
            type_name: stock.name.to_owned(),
            ftype: Some(stock.ftype),
            nominal_bpw: Some(stock.nominal_bpw),
        })
    }
}

/// A stock type, or an error that lists the nearest.
pub fn find(name: &str, place: &str) -> Result<&'static StockType, PlanError> {
    ladder::find(name).ok_or_else(|| PlanError::Unknown {
        place: place.to_owned(),
        kind: "recipe",
        name: name.to_owned(),
        nearest: nearest(name, ladder::STOCK.iter().map(|t| t.name)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_a_round_trip() {
        for name in ["base", "Q4_K_M", "Q8_0/kv=q8_0", "Q4_0/kv=q8_0,q4_0", "base/kv=q4_0"] {
            assert_eq!(Recipe::parse(name, "test").map(|r| r.variant()).ok().as_deref(), Some(name));
        }
    }

    #[test]
    fn f16_cache_is_not_named() {
        assert_eq!(Recipe::parse("Q4_0/kv=f16", "test").map(|r| r.variant()).ok().as_deref(), Some("Q4_0"));
    }

    #[test]
    fn an_unknown_name_lists_the_nearest() {
        let error = Recipe::parse("Q4_KM", "--recipes").expect_err("unknown");
        assert_eq!(error.to_string(), "--recipes: no recipe is called \"Q4_KM\"");
        assert!(error.hint().expect("a hint").contains("Q4_K_M"));
    }
}
