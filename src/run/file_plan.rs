//! A variant's file before it is there: how it is asked of llama.cpp, what it will be to the byte, and why it cannot be
//! made, found out before any weight is touched. Whatever would crash llama.cpp, or would come out as something else
//! than was asked for, is refused here.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use regex::Regex;

use crate::error::Error;
use crate::gguf::imatrix::{self, Imatrix, ImatrixError};
use crate::gguf::{self, Described as _, TensorType};
use crate::plan::ladder::{NEED_IMPORTANCES, NEVER_OUTSIDE_BLOCKS};
use crate::plan::recipe::{ImatrixUse, Override, Weights};
use crate::worker::client::WorkFailure;
use crate::worker::protocol::{Fallback, Finished, QuantizeSpec, Request};

/// llama.cpp's number of `Q2_K_S`, in which `Q2_K` needs importances.
const Q2_K_S: u32 = 21;
/// Tensors that have no importances unless they were asked for.
const OUTSIDE_BLOCKS: [&str; 3] = ["token_embd.weight", "per_layer_token_embd.weight", "output.weight"];
/// Most tensors that a message names.
const NAMED: usize = 3;

/// A variant's file before it is there.
#[derive(Debug, Clone, PartialEq)]
pub struct FilePlan {
    /// The recipe's weights.
    pub weights: Weights,
    /// Content key of the file.
    pub key: String,
    /// What it will be, or why it cannot be.
    pub forecast: Result<Forecast, Refusal>,
    /// The importance matrix it is made with.
    pub imatrix: Option<PathBuf>,
    /// Of somebody else's file, what it is.
    pub found: Option<Found>,
}

/// What a file will be.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    /// Bytes of the file, exactly.
    pub file_bytes: u64,
    /// Bits per weight.
    pub bpw: f64,
    /// Tensors whose shape does not allow the type asked for.
    pub fallbacks: Vec<Fallback>,
}

/// Why a file cannot be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// One sentence.
    pub reason: String,
    /// What the user can do.
    pub hint: Option<String>,
}

/// Somebody else's file, read from its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where it lies (the first part, if split).
    pub path: PathBuf,
    /// SHA-256, of the parts' hashes if split.
    pub sha256: String,
    /// Its file type, or the type that most of its weights have.
    pub type_name: String,
    /// What its importance matrix was made from; empty if it tells of none.
    pub imatrix_from: String,
}

impl Refusal {
    /// A reason without advice.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), hint: None }
    }

    fn with(reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { reason: reason.into(), hint: Some(hint.into()) }
    }

    /// Reason and advice in one line, for tables.
    pub fn line(&self) -> String {
        self.hint.as_ref().map_or(self.reason.clone(), |hint| format!("{}; {hint}", self.reason))
    }
}

impl From<ImatrixError> for Refusal {
    fn from(error: ImatrixError) -> Self {
        Self { reason: error.to_string(), hint: error.hint() }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused { reason: refusal.reason, hint: refusal.hint }
    }
}

/// The base as quantizing sees it.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Its file (the first part, if split).
    pub path: &'a Path,
    /// Its header.
    pub model: &'a gguf::Model,
    /// Whether tensors that are quantized already may be quantized again.
    pub allow_requantize: bool,
    /// Threads.
    pub threads: u32,
    /// Whether the file tells the whole path of its importance matrix, as llama-quantize does, or only the name, so
    /// that its bytes don't depend on where the matrix lies.
    pub tells_path: bool,
}

/// Tensors with the types they get, as ggml names them.
pub type TensorTypes = Vec<(String, String)>;

impl Source<'_> {
    /// How a file is asked of a worker; without an output, only what it would be.
    pub fn spec(
        &self,
        weights: &Weights,
        imatrix: Option<&Path>,
        output: Option<PathBuf>,
    ) -> Result<QuantizeSpec, Refusal> {
        let ftype = weights.ftype.ok_or_else(|| Refusal::new("it is no recipe to make a file by"))?;
        if weights.imatrix == ImatrixUse::Sweep && imatrix.is_none() {
            return Err(Refusal::with(
                "it asks for the sweep's importance matrix, and there is none",
                "name a file: imatrix = \"x.imatrix\" in the recipe, or --imatrix x.imatrix",
            ));
        }
        let fits = |name: &Option<String>, tensor: &str| {
            name.as_deref().map(|name| self.outside_blocks(name, tensor)).transpose()
        };
        Ok(QuantizeSpec {
            input: self.path.to_owned(),
            dry_run: output.is_none(),
            output: output.unwrap_or_default(),
            ftype,
            overrides: weights.overrides.iter().map(|rule| self.rule(rule)).collect::<Result<_, _>>()?,
            output_type: fits(&weights.output, "output.weight")?,
            embedding_type: fits(&weights.embedding, "token_embd.weight")?,
            allow_requantize: self.allow_requantize,
            threads: self.threads,
            imatrix: imatrix.map(Path::to_owned),
            imatrix_name: imatrix.map(|path| self.imatrix_name(path)),
        })
    }

    fn imatrix_name(&self, path: &Path) -> String {
        let name = if self.tells_path { path.as_os_str() } else { path.file_name().unwrap_or_default() };
        name.to_string_lossy().into_owned()
    }

    /// Keys that tell of the importance matrix, with the bytes of their values.
    pub fn told(&self, matrix: &Imatrix, path: &Path) -> Vec<(String, u64)> {
        let keys = matrix.keys(&self.imatrix_name(path)).into_iter();
        keys.map(|(key, value)| (key, value.bytes())).collect()
    }

    /// A rule as llama.cpp takes it: pattern and type number. One that matches nothing is a slip.
    fn rule(&self, rule: &Override) -> Result<(String, u32), Refusal> {
        let pattern = rule.pattern(self.model.block_count().unwrap_or(0)).map_err(|reason| {
            Refusal::with(reason, "count from the end, as in last 4, or leave the end open, as in 3-")
        })?;
        let regex = Regex::new(&pattern).map_err(|e| Refusal::new(e.to_string()))?;
        if !self.model.tensors().any(|t| regex.is_match(&t.name)) {
            let layers =
                rule.layers.as_ref().map_or(String::new(), |l| format!(" in layers {:?}", l.to_string()));
            return Err(Refusal::with(
                format!("its pattern {:?}{layers} matches no tensor of the base", rule.tensors),
                "patterns are searched for in names such as blk.0.ffn_down.weight",
            ));
        }
        Ok((pattern, tensor_type(&rule.type_name)?.id))
    }

    /// The number of the type of a tensor for which llama.cpp asks no whole blocks before it aborts for want of them.
    fn outside_blocks(&self, name: &str, tensor: &str) -> Result<u32, Refusal> {
        let kind = tensor_type(name)?;
        let columns = self.model.tensors().find(|t| t.name == tensor).map_or(0, gguf::TensorInfo::columns);
        if !columns.is_multiple_of(kind.block_size) {
            return Err(Refusal::with(
                format!(
                    "{tensor} cannot be {name}: its {columns} columns don't divide by {}",
                    kind.block_size
                ),
                "take a type with a smaller block, such as Q8_0",
            ));
        }
        Ok(kind.id)
    }

    /// What a file will be. `ask` hands a request to a worker.
    pub fn forecast(
        &self,
        weights: &Weights,
        imatrix: Option<&Path>,
        ask: impl FnOnce(&Request) -> Result<Finished, WorkFailure>,
    ) -> Result<Result<Forecast, Refusal>, WorkFailure> {
        Ok(self.forecast_types(weights, imatrix, ask)?.map(|(forecast, _)| forecast))
    }

    /// What a file will be, and each tensor's type in it, as ggml names it. `ask` hands a request to a worker.
    pub fn forecast_types(
        &self,
        weights: &Weights,
        imatrix: Option<&Path>,
        ask: impl FnOnce(&Request) -> Result<Finished, WorkFailure>,
    ) -> Result<Result<(Forecast, TensorTypes), Refusal>, WorkFailure> {
        let checked =
            self.spec(weights, imatrix, None).and_then(|spec| Ok((spec, self.importances(imatrix)?)));
        let (spec, importances) = match checked {
            Ok(checked) => checked,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let done = match ask(&Request::Quantize(spec)) {
            Ok(Finished::Quantize(done)) => done,
            Ok(_) => return Ok(Err(Refusal::new("the worker answered another question"))),
            Err(WorkFailure::Trial { reason, .. }) => return Ok(Err(Refusal::new(reason))),
            Err(failure) => return Err(failure),
        };
        let lacking = lacking(weights, &done.tensors, importances.as_ref());
        let told = importances.as_ref().zip(imatrix).map_or(Vec::new(), |(m, path)| self.told(m, path));
        Ok(match self.without_importances(&lacking, imatrix) {
            Some(refusal) => Err(refusal),
            None => size(self.model, &done.tensors, &told)
                .map_err(Refusal::new)
                .map(|(file_bytes, bpw)| Forecast { file_bytes, bpw, fallbacks: done.fallbacks })
                .map(|forecast| (forecast, done.tensors)),
        })
    }

    /// Each tensor's type in a file, as ggml names it, whether or not it could be made: llama.cpp decides types without
    /// looking for the importances that some of them need.
    pub fn types(
        &self,
        weights: &Weights,
        ask: impl FnOnce(&Request) -> Result<Finished, WorkFailure>,
    ) -> Result<Result<TensorTypes, Refusal>, WorkFailure> {
        let plain = Weights { imatrix: ImatrixUse::None, ..weights.clone() };
        let spec = match self.spec(&plain, None, None) {
            Ok(spec) => spec,
            Err(refusal) => return Ok(Err(refusal)),
        };
        match ask(&Request::Quantize(spec)) {
            Ok(Finished::Quantize(done)) => Ok(Ok(done.tensors)),
            Ok(_) => Ok(Err(Refusal::new("the worker answered another question"))),
            Err(WorkFailure::Trial { reason, .. }) => Ok(Err(Refusal::new(reason))),
            Err(failure) => Err(failure),
        }
    }

    /// The importance matrix, if it is of this model.
    pub fn importances(&self, path: Option<&Path>) -> Result<Option<Imatrix>, Refusal> {
        let Some(path) = path else { return Ok(None) };
        let matrix = imatrix::read(path)?;
        matrix.check(path, self.model, self.path)?;
        Ok(Some(matrix))
    }

    fn without_importances(&self, lacking: &[(&str, &str)], imatrix: Option<&Path>) -> Option<Refusal> {
        let (_, kind) = lacking.first()?;
        let mut names: Vec<&str> = lacking.iter().take(NAMED).map(|(name, _)| *name).collect();
        let more = format!("and {} more", lacking.len().saturating_sub(NAMED));
        if lacking.len() > NAMED {
            names.push(&more);
        }
        let (tensors, names) = (if lacking.len() == 1 { "tensor" } else { "tensors" }, names.join(", "));
        let what = format!("{} {tensors} ({names}) as {}", lacking.len(), kind.to_uppercase());
        let base = self.path.display();
        let make = format!("`bitfrontier imatrix {base} --text FILE -o x.imatrix` makes one");
        Some(match imatrix {
            None => Refusal::with(
                format!("it needs an importance matrix for {what}"),
                format!("{make}; then --imatrix x.imatrix, or imatrix = \"x.imatrix\" in the recipe"),
            ),
            Some(path) => Refusal::with(
                format!("{} has no importances for {what}, which needs them", path.display()),
                make,
            ),
        })
    }
}

fn tensor_type(name: &str) -> Result<TensorType, Refusal> {
    TensorType::from_name(name).ok_or_else(|| Refusal::new(format!("no tensor type is called {name:?}")))
}

/// Tensors (with their types) that llama.cpp refuses, or aborts on, because they have no importances.
fn lacking<'a>(
    weights: &Weights,
    tensors: &'a [(String, String)],
    importances: Option<&Imatrix>,
) -> Vec<(&'a str, &'a str)> {
    let among = |list: &[&str], kind: &str| list.iter().any(|t| t.eq_ignore_ascii_case(kind));
    let needs = |name: &str, kind: &str| {
        if OUTSIDE_BLOCKS.contains(&name) {
            return among(&NEVER_OUTSIDE_BLOCKS, kind);
        }
        among(&NEED_IMPORTANCES, kind) || (weights.ftype == Some(Q2_K_S) && among(&["Q2_K"], kind))
    };
    let has = |name: &str| importances.is_some_and(|m| m.entries.contains_key(name));
    let all = tensors.iter().map(|(name, kind)| (name.as_str(), kind.as_str()));
    all.filter(|(name, kind)| needs(name, kind) && !has(name)).collect()
}

/// Exact bytes of the file and its bpw, from the types llama.cpp chose.
fn size(
    model: &gguf::Model,
    tensors: &[(String, String)],
    told: &[(String, u64)],
) -> Result<(u64, f64), String> {
    let types = tensors
        .iter()
        .map(|(name, ggml)| {
            let kind = TensorType::from_name(ggml).ok_or_else(|| format!("unknown tensor type {ggml}"))?;
            Ok((name.clone(), kind))
        })
        .collect::<Result<HashMap<_, _>, String>>()?;
    let file = gguf::quantized_file_bytes_with(model, &types, told).map_err(|e| e.to_string())?;
    let tensor_bytes = gguf::tensor_bytes_as(model, &types).map_err(|e| e.to_string())?;
    Ok((file, tensor_bytes as f64 * 8.0 / model.weights().max(1) as f64))
}

/// `180 tensors: 576 columns don't divide by 256, so 166 q4_K become q5_0, 14 q6_K become q8_0`.
pub fn fallback_text(fallbacks: &[Fallback]) -> String {
    let Some(first) = fallbacks.first() else { return "none".to_owned() };
    let mut kinds: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for fallback in fallbacks {
        *kinds.entry((&fallback.wanted, &fallback.got)).or_default() += 1;
    }
    let kinds: Vec<String> =
        kinds.iter().map(|((wanted, got), n)| format!("{n} {wanted} become {got}")).collect();
    format!(
        "{} tensors: {} columns don't divide by {}, so {}",
        fallbacks.len(),
        first.columns,
        first.block,
        kinds.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny-f16.gguf");

    fn spec(rules: &[(&str, &str)], embedding: Option<&str>) -> Result<QuantizeSpec, Refusal> {
        let model = gguf::open_model(TINY).expect("a model");
        let source = Source {
            path: Path::new(TINY),
            model: &model,
            allow_requantize: false,
            threads: 1,
            tells_path: false,
        };
        let overrides = rules.iter().map(|(tensors, type_name)| Override {
            tensors: (*tensors).to_owned(),
            layers: None,
            type_name: (*type_name).to_owned(),
        });
        let weights = Weights {
            ftype: Some(7),
            embedding: embedding.map(str::to_owned),
            overrides: overrides.collect(),
            ..Weights::default()
        };
        source.spec(&weights, None, None)
    }

    #[test]
    fn rules_become_patterns_and_numbers() {
        let spec = spec(&[("ffn_down", "Q6_K"), ("attn_", "MXFP4")], Some("Q8_0")).expect("valid");
        assert_eq!(spec.overrides, [("ffn_down".to_owned(), 14), ("attn_".to_owned(), 39)]);
        assert_eq!((spec.embedding_type, spec.dry_run), (Some(8), true));
    }

    #[test]
    fn a_pattern_that_matches_nothing_is_named() {
        let refusal = spec(&[("ffn_dwon", "Q6_K")], None).expect_err("refused");
        assert_eq!(refusal.reason, "its pattern \"ffn_dwon\" matches no tensor of the base");
    }

    #[test]
    fn tensors_that_need_importances() {
        let tensors = [
            ("token_embd.weight", "iq2_s"),
            ("blk.0.ffn_up.weight", "iq2_s"),
            ("blk.0.ffn_down.weight", "q2_K"),
            ("output.weight", "iq2_xs"),
        ];
        let tensors = tensors.map(|(name, kind)| (name.to_owned(), kind.to_owned()));
        let names = |ftype, matrix: Option<&Imatrix>| -> Vec<String> {
            let weights = Weights { ftype: Some(ftype), ..Weights::default() };
            lacking(&weights, &tensors, matrix).iter().map(|(name, _)| (*name).to_owned()).collect()
        };
        assert_eq!(names(28, None), ["blk.0.ffn_up.weight", "output.weight"]);
        assert_eq!(names(Q2_K_S, None), ["blk.0.ffn_up.weight", "blk.0.ffn_down.weight", "output.weight"]);
        let mut matrix = Imatrix::default();
        matrix.entries.insert("blk.0.ffn_up.weight".to_owned(), imatrix::Entry::default());
        assert_eq!(names(28, Some(&matrix)), ["output.weight"]);
    }

    #[test]
    fn fallbacks_are_told_by_kind() {
        let fallback = |wanted: &str, got: &str| Fallback {
            tensor: "blk.0.attn_q.weight".to_owned(),
            wanted: wanted.to_owned(),
            got: got.to_owned(),
            columns: 576,
            block: 256,
        };
        let all = [fallback("q4_K", "q5_0"), fallback("q6_K", "q8_0"), fallback("q4_K", "q5_0")];
        assert_eq!(
            fallback_text(&all),
            "3 tensors: 576 columns don't divide by 256, so 2 q4_K become q5_0, 1 q6_K become q8_0"
        );
        assert_eq!(fallback_text(&[]), "none");
    }
}
