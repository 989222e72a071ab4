//! Which recipes get a row, and what their weights take.

use std::collections::HashMap;
use std::path::Path;

use super::native::Native;
use super::question::Question;
use super::stretched::Openable;
use crate::analyze::fit::WeightBytes;
use crate::error::Error;
use crate::gguf::{self, Described as _, TensorType};
use crate::journal::record::{Quantized, VariantRecord};
use crate::plan::error::{PlanError, nearest};
use crate::plan::ladder::{self, Imatrix};
use crate::plan::recipe::{BASE, KvTypes, Recipe, Weights};
use crate::run::file_plan::Source;
use crate::run::prepare::stopped;

/// Types of as many bits are no rung of the ladder.
const FULL_PRECISION: f64 = 16.0;

/// A recipe on its way to a row.
#[derive(Debug)]
pub(super) struct Candidate {
    pub name: String,
    pub weights: Result<WeightBytes, String>,
    /// Its own cache types, where it has any.
    pub kv: Option<KvTypes>,
    pub note: String,
}

/// The model that recipes are applied to.
#[derive(Debug)]
pub(super) struct Bench<'a, 'b> {
    pub model: &'a gguf::Model,
    pub file: &'a Openable,
    pub layers: usize,
    pub native: &'a mut Native<'b>,
}

impl Bench<'_, '_> {
    /// The file as it is and every type of the ladder, or the recipes that were named.
    pub fn of_ladder(&mut self, question: &Question) -> Result<Vec<Candidate>, Error> {
        let recipes = if question.recipes.is_empty() {
            let rungs = ladder::STOCK.iter().filter(|t| t.nominal_bpw < FULL_PRECISION);
            let rungs = rungs.map(|t| Recipe { weights: Weights::stock(t), kv: KvTypes::default() });
            std::iter::once(Recipe::base()).chain(rungs).collect()
        } else {
            let parsed = question.recipes.iter().map(|text| Recipe::parse(text, "--recipes"));
            parsed.collect::<Result<Vec<_>, _>>()?
        };
        recipes.iter().map(|recipe| self.candidate(recipe)).collect()
    }

    fn candidate(&mut self, recipe: &Recipe) -> Result<Candidate, Error> {
        let weights = &recipe.weights;
        let kv = Some(recipe.kv.clone()).filter(|kv| *kv != KvTypes::default());
        let (name, note, bytes) = if weights.is_base() {
            let (name, note) = as_it_is(self.model);
            (name, note, self.own(self.model))
        } else if let Some(file) = &weights.file {
            let other = gguf::open_header(Path::new(file))?;
            let same =
                other.weights() == self.model.weights() && other.architecture() == self.model.architecture();
            let bytes = if same { self.own(&other) } else { Err("it is another model's file".to_owned()) };
            (weights.name.clone(), String::new(), bytes)
        } else {
            (weights.name.clone(), note(weights, self.model), self.made(weights)?)
        };
        Ok(Candidate { name: format!("{name}{}", recipe.kv.suffix()), weights: bytes, kv, note })
    }

    /// What a file's own types take.
    fn own(&self, model: &gguf::Model) -> Result<WeightBytes, String> {
        WeightBytes::of(model, self.layers, &HashMap::<String, TensorType>::new())
    }

    /// What the types take that llama.cpp would choose.
    fn made(&mut self, weights: &Weights) -> Result<Result<WeightBytes, String>, Error> {
        if weights.search.is_some() {
            return Ok(Err("its types are yet to be searched".to_owned()));
        }
        // A quantized file gives the same types as the one it was made from, which is all that is asked.
        let (path, model) = (&self.file.path, self.model);
        let source = Source { path, model, allow_requantize: true, threads: 1, tells_path: false };
        let native = &mut *self.native;
        let types = source.types(weights, |request| native.ask(request)).map_err(|f| stopped(f, path))?;
        Ok(types
            .map_err(|refusal| self.file.in_its_name(&refusal.line()))
            .and_then(|types| self.with_types(&types)))
    }

    fn with_types(&self, types: &[(String, String)]) -> Result<WeightBytes, String> {
        let numbered = types.iter().map(|(tensor, name)| {
            let kind = TensorType::from_name(name).ok_or_else(|| format!("unknown tensor type {name}"))?;
            Ok((tensor.clone(), kind))
        });
        WeightBytes::of(self.model, self.layers, &numbered.collect::<Result<HashMap<_, _>, String>>()?)
    }

    /// The variants of a results folder, with their files' own types, or those of them that were named.
    pub fn of_results(
        &self,
        question: &Question,
        variants: &[(VariantRecord, Option<Quantized>)],
    ) -> Result<Vec<Candidate>, Error> {
        let known = |name: &&String| !variants.iter().any(|(v, _)| v.name == **name);
        if let Some(unknown) = question.recipes.iter().find(known) {
            return Err(Error::Plan(PlanError::Unknown {
                place: format!("--recipes, of {}", question.model),
                kind: "variant",
                name: unknown.clone(),
                nearest: nearest(unknown, variants.iter().map(|(v, _)| v.name.as_str())),
            }));
        }
        let wanted = |name: &String| question.recipes.is_empty() || question.recipes.contains(name);
        Ok(variants
            .iter()
            .filter(|(v, _)| wanted(&v.name))
            .map(|(v, file)| self.measured(v, file.as_ref()))
            .collect())
    }

    fn measured(&self, variant: &VariantRecord, file: Option<&Quantized>) -> Candidate {
        let (k, v) = variant.kv.clone();
        let kv = Some(KvTypes { k, v }).filter(|kv| *kv != KvTypes::default());
        let weights = match file {
            _ if variant.recipe == BASE => self.own(self.model),
            Some(file) => self.of_file(file),
            None => Err("its file was not made".to_owned()),
        };
        Candidate { name: variant.name.clone(), weights, kv, note: String::new() }
    }

    /// Somebody else's file may have other tensors than the base; their bytes are known all the same.
    fn of_file(&self, file: &Quantized) -> Result<WeightBytes, String> {
        let ours = |name: &String| self.model.tensors().any(|tensor| tensor.name == *name);
        let shared: Vec<_> = file.tensors.iter().filter(|(name, _)| ours(name)).cloned().collect();
        let all = shared.len() == file.tensors.len();
        let mut bytes = self.with_types(&shared)?;
        if !all && file.tensor_bytes > 0 {
            bytes.total = file.tensor_bytes;
        }
        Ok(bytes)
    }
}

/// The row of the file itself: a full-precision one is the base of the others.
fn as_it_is(model: &gguf::Model) -> (String, String) {
    if model.quantized_share() <= 0.0 {
        return (BASE.to_owned(), String::new());
    }
    let number = model.file_type().and_then(|number| u32::try_from(number).ok());
    let name =
        number.and_then(ladder::name_of).map_or("the file".to_owned(), |name| format!("the file ({name})"));
    (name, "the file as it is".to_owned())
}

fn note(weights: &Weights, model: &gguf::Model) -> String {
    let needs = ladder::find(&weights.type_name).is_some_and(|stock| stock.imatrix == Imatrix::Needs);
    let mut notes = Vec::new();
    if needs && weights.overrides.is_empty() {
        notes.push("needs an importance matrix");
    }
    if model.quantized_share() > 0.0 {
        notes.push("made from full precision; from this file it would be requantized");
    }
    notes.join("; ")
}
