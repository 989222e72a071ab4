//! What is to be fitted: a model, or the variants of a results folder, whose base must still be there for its header.

use std::path::Path;

use crate::error::Error;
use crate::fetch::{Cache, Source};
use crate::gguf::{self, Described as _};
use crate::journal::reader::read_trial;
use crate::journal::record::{Manifest, Outcome, Quantized, TrialKind, VariantRecord};
use crate::run::derive;
use crate::run::prepare::locate_model;

/// A model's header, and whose weights are asked for.
#[derive(Debug)]
pub(super) struct Subject {
    pub model: gguf::Model,
    /// Of a results folder, its variants with their files.
    pub variants: Option<Vec<(VariantRecord, Option<Quantized>)>>,
}

impl Subject {
    /// Opens a model by its source, or the base of a results folder.
    pub fn open(name: &str, cache: &Cache) -> Result<Self, Error> {
        if Path::new(name).is_dir() {
            return Self::of_results(Path::new(name), cache);
        }
        let path = locate_model("model", &name.parse()?, cache, false)?;
        Ok(Self { model: gguf::open_header(path)?, variants: None })
    }

    fn of_results(folder: &Path, cache: &Cache) -> Result<Self, Error> {
        let manifest = derive::manifest(folder)?;
        let model = base_of(folder, &manifest, cache)?;
        let files = files(folder, &manifest)?;
        let of = |variant: &VariantRecord| files.iter().find(|(recipe, _)| *recipe == variant.recipe);
        let variants = manifest.variants.iter().map(|v| (v.clone(), of(v).map(|(_, file)| file.clone())));
        Ok(Self { model, variants: Some(variants.collect()) })
    }
}

/// The header of the base, if its file is still there and still the same model.
fn base_of(folder: &Path, manifest: &Manifest, cache: &Cache) -> Result<gguf::Model, Error> {
    let base = &manifest.base;
    let refused = |what: &str, hint: &str| Error::Refused {
        reason: format!("the base of {}, {}, {what}", folder.display(), base.source),
        hint: Some(hint.to_owned()),
    };
    let source: Source = base.source.parse()?;
    let path = cache.locate(&source).ok_or_else(|| {
        refused("is not found from this folder", "run this where the sweep was started, or put the base back")
    })?;
    let model = gguf::open_header(path)?;
    if model.weights() != base.weights || model.architecture().unwrap_or_default() != base.architecture {
        return Err(refused("is another model now", "put the one back that was swept"));
    }
    Ok(model)
}

/// The files that were made, by recipe.
fn files(folder: &Path, manifest: &Manifest) -> Result<Vec<(String, Quantized)>, Error> {
    let mut files = Vec::new();
    for spec in manifest.trials.iter().filter(|t| t.kind == TrialKind::Quantize) {
        let made = read_trial(folder, spec)?.outcome;
        let variant = manifest.variants.iter().find(|v| v.name == spec.variant);
        if let (Some(Outcome::Quantize(file)), Some(variant)) = (made, variant) {
            files.push((variant.recipe.clone(), file));
        }
    }
    Ok(files)
}
