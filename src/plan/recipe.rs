//! A recipe: how to make a variant's file, and with which KV cache it is run.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::plan::error::{PlanError, nearest};
use crate::plan::ladder::{self, KV_TYPES, StockType};
use crate::plan::layers::Layers;
use crate::plan::target::{SEARCHED, Target};
use crate::plan::{preset, recipe_file};

/// Name of the variant that is the base itself.
pub const BASE: &str = "base";

/// What follows the name of a type that is made with an importance matrix.
const WITH_IMATRIX: &str = "+imatrix";

/// The matrices of all blocks, also of encoders; not the embedding, the output or what lies beside them.
const BLOCKS: &str = r"blk\.";

/// How to make a file. Only what is in here decides the file's bytes, given base and llama.cpp.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Weights {
    /// Name without KV types: `base`, a stock type, or the user's.
    pub name: String,
    /// The stock type; empty for the base and for somebody else's file.
    pub type_name: String,
    /// llama.cpp's file type number; absent for the base and for somebody else's file.
    pub ftype: Option<u32>,
    /// Bits per weight of the type.
    pub nominal_bpw: Option<f64>,
    /// Tensor type of the output matrix, if the stock type does not decide it.
    #[serde(default)]
    pub output: Option<String>,
    /// Tensor type of the token embedding, likewise. Where the two are one tensor, either sets it.
    #[serde(default)]
    pub embedding: Option<String>,
    /// Types of single tensors; the first that matches a tensor decides.
    #[serde(default)]
    pub overrides: Vec<Override>,
    /// Which importance matrix it is made with.
    #[serde(default)]
    pub imatrix: ImatrixUse,
    /// Somebody else's GGUF file that is the variant: its source.
    #[serde(default)]
    pub file: Option<String>,
    /// How large it may be, if its types are to be searched. They are known only once there is a base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<Target>,
}

/// Types of the tensors that a pattern matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// Regular expression, searched for anywhere in a tensor's name.
    pub tensors: String,
    /// Only in these blocks.
    pub layers: Option<Layers>,
    /// Tensor type, as in [`ladder::TENSOR_TYPES`].
    pub type_name: String,
}

impl Override {
    /// The regular expression for a model of so many blocks, layers included, as llama.cpp takes it.
    ///
    /// # Errors
    /// A sentence, if the layers go beyond the model's blocks.
    pub fn pattern(&self, blocks: u64) -> Result<String, String> {
        let Some(layers) = &self.layers else { return Ok(self.tensors.clone()) };
        let numbers: Vec<String> = layers.of(blocks)?.iter().map(u64::to_string).collect();
        Ok(format!(r"blk\.(?:{})\..*(?:{})", numbers.join("|"), self.tensors))
    }
}

/// Which importance matrix a recipe is made with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImatrixUse {
    /// None.
    #[default]
    None,
    /// The sweep's own, made from its calibration text.
    Sweep,
    /// A file; its content, not its name, decides the bytes.
    File(PathBuf),
}

impl ImatrixUse {
    /// Whether there is one.
    pub fn is_used(&self) -> bool {
        *self != Self::None
    }
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
        Self { weights: Weights { name: BASE.to_owned(), ..Weights::default() }, kv: KvTypes::default() }
    }

    /// Reads a recipe's name: `Q4_K_M`, `Q4_K_M+imatrix`, `Q4_K_M/kv=q8_0`, `base/kv=q8_0,q4_0`, a preset's name, or the
    /// path of a recipe file (`.toml`) or of a model (`.gguf`).
    pub fn parse(text: &str, place: &str) -> Result<Self, PlanError> {
        let (name, kv) = match text.split_once("/kv=") {
            Some((name, kv)) => (name, Some(KvTypes::parse(kv, place)?)),
            None => (text, None),
        };
        let mut recipe = Self::named(name, place)?;
        recipe.kv = kv.unwrap_or(recipe.kv);
        Ok(recipe)
    }

    fn named(name: &str, place: &str) -> Result<Self, PlanError> {
        if name == BASE {
            return Ok(Self::base());
        }
        let is =
            |extension: &str| Path::new(name).extension().is_some_and(|e| e.eq_ignore_ascii_case(extension));
        if is("toml") {
            return recipe_file::read(Path::new(name));
        }
        if is("gguf") {
            return Ok(Self { weights: Weights::existing(name), kv: KvTypes::default() });
        }
        let (plain, imatrix) = match name.strip_suffix(WITH_IMATRIX) {
            Some(plain) => (plain, ImatrixUse::Sweep),
            None => (name, ImatrixUse::None),
        };
        if let Some(target) = plain.strip_prefix(SEARCHED) {
            let weights = Weights::searched(plain, Target::parse(target, place)?);
            return Ok(Self { weights: weights.with_imatrix(imatrix), kv: KvTypes::default() });
        }
        let mut recipe = match ladder::find(plain) {
            Some(stock) => Self { weights: Weights::stock(stock), kv: KvTypes::default() },
            None => preset::find(plain).map_or_else(|| Err(unknown(name, place)), recipe_file::preset)?,
        };
        if imatrix.is_used() {
            recipe.weights = recipe.weights.with_imatrix(imatrix);
        }
        Ok(recipe)
    }

    /// The variant's name.
    pub fn variant(&self) -> String {
        format!("{}{}", self.weights.name, self.kv.suffix())
    }

    /// Whether this is the base's own file.
    pub fn is_base(&self) -> bool {
        self.weights.is_base()
    }
}

impl Weights {
    /// Whether both make the same file: names don't matter.
    pub fn same_file(&self, other: &Self) -> bool {
        self.ftype == other.ftype
            && self.output == other.output
            && self.embedding == other.embedding
            && self.overrides == other.overrides
            && self.imatrix == other.imatrix
            && self.file == other.file
            // What was found says it all.
            && (self.ftype.is_some() || self.search == other.search)
    }

    /// Whether this is the base's own file.
    pub fn is_base(&self) -> bool {
        self.ftype.is_none() && self.file.is_none() && self.search.is_none()
    }

    /// Whether single tensors have types of their own.
    pub fn is_mixed(&self) -> bool {
        self.output.is_some() || self.embedding.is_some() || !self.overrides.is_empty()
    }

    /// A stock type.
    pub fn stock(stock: &StockType) -> Self {
        let weights = Self {
            name: stock.name.to_owned(),
            type_name: stock.name.to_owned(),
            ftype: Some(stock.ftype),
            nominal_bpw: Some(stock.nominal_bpw),
            ..Self::default()
        };
        let Some(blocks) = stock.blocks else { return weights };
        Self {
            output: Some("Q8_0".to_owned()),
            embedding: Some("Q8_0".to_owned()),
            overrides: vec![Override {
                tensors: BLOCKS.to_owned(),
                layers: None,
                type_name: blocks.to_owned(),
            }],
            ..weights
        }
    }

    /// Types that are to be searched.
    pub fn searched(name: &str, target: Target) -> Self {
        Self { name: name.to_owned(), search: Some(target), ..Self::default() }
    }

    /// Somebody else's file, called after it.
    pub fn existing(source: &str) -> Self {
        let file = source.rsplit(['/', '\\']).next().unwrap_or(source);
        let name = file.get(..file.len().saturating_sub(".gguf".len())).unwrap_or(file);
        Self { name: name.to_owned(), file: Some(source.to_owned()), ..Self::default() }
    }

    /// The same with an importance matrix, and with a name that says so.
    #[must_use]
    pub fn with_imatrix(self, imatrix: ImatrixUse) -> Self {
        let name = if imatrix.is_used() && !self.imatrix.is_used() {
            format!("{}{WITH_IMATRIX}", self.name)
        } else {
            self.name
        };
        Self { name, imatrix, ..self }
    }
}

fn unknown(name: &str, place: &str) -> PlanError {
    let names = ladder::STOCK.iter().map(|t| t.name).chain(preset::names());
    PlanError::Unknown {
        place: place.to_owned(),
        kind: "recipe",
        name: name.to_owned(),
        nearest: nearest(name, names),
    }
}

/// A stock type, or an error that lists the nearest.
pub fn find(name: &str, place: &str) -> Result<&'static StockType, PlanError> {
    ladder::find(name).ok_or_else(|| unknown(name, place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_a_round_trip() {
        let names = [
            "base",
            "Q4_K_M",
            "Q8_0/kv=q8_0",
            "Q4_0/kv=q8_0,q4_0",
            "base/kv=q4_0",
            "IQ2_XS+imatrix",
            "NVFP4",
            "auto@4.5bpw",
            "auto@=Q4_K_M+imatrix/kv=q8_0",
        ];
        for name in names {
            assert_eq!(Recipe::parse(name, "test").map(|r| r.variant()).ok().as_deref(), Some(name));
        }
    }

    #[test]
    fn f16_cache_is_not_named() {
        assert_eq!(Recipe::parse("Q4_0/kv=f16", "test").map(|r| r.variant()).ok().as_deref(), Some("Q4_0"));
    }

    #[test]
    fn a_file_of_somebody_else_is_called_after_it() {
        let recipe = Recipe::parse("hf:a/b/x-Q4_K_M.gguf/kv=q8_0", "test").expect("valid");
        assert_eq!(recipe.variant(), "x-Q4_K_M/kv=q8_0");
        assert_eq!(recipe.weights.file.as_deref(), Some("hf:a/b/x-Q4_K_M.gguf"));
        assert!(!recipe.is_base());
    }

    #[test]
    fn dense_float_types_are_overrides_of_q8_0() {
        let weights = Recipe::parse("mxfp4", "test").expect("valid").weights;
        assert_eq!((weights.name.as_str(), weights.ftype), ("MXFP4", Some(7)));
        assert_eq!(weights.overrides[0].pattern(30).as_deref(), Ok(r"blk\."));
        assert!(!weights.same_file(&Recipe::parse("NVFP4", "test").expect("valid").weights));
        assert!(!weights.same_file(&Recipe::parse("Q8_0", "test").expect("valid").weights));
    }

    #[test]
    fn layers_become_part_of_the_pattern() {
        let layers = Layers::try_from("0,last 1".to_owned()).ok();
        let rule = Override { tensors: "attn_v|ffn_down".to_owned(), layers, type_name: "Q6_K".to_owned() };
        assert_eq!(rule.pattern(4).as_deref(), Ok(r"blk\.(?:0|3)\..*(?:attn_v|ffn_down)"));
    }

    #[test]
    fn an_unknown_name_lists_the_nearest() {
        let error = Recipe::parse("Q4_KM", "--recipes").expect_err("unknown");
        assert_eq!(error.to_string(), "--recipes: no recipe is called \"Q4_KM\"");
        assert!(error.hint().expect("a hint").contains("Q4_K_M"));
    }
}
