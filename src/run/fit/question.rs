//! The question and the steps to its answer.

use std::sync::atomic::AtomicBool;

use super::candidates::{Bench, Candidate};
use super::native::{Layouts, Native};
use super::stretched::Openable;
use super::subject::Subject;
use crate::analyze::device::{self, Kind};
use crate::analyze::fit::{About, Budget, Compute, Fit, FitError, Kv, Measured, Shape, Variant, rows};
use crate::error::Error;
use crate::fetch::Cache;
use crate::gguf::TensorType;
use crate::plan::recipe::KvTypes;
use crate::run::machine;
use crate::units::Bytes;

/// Context asked for where nothing is said, if the model has as much.
const CONTEXT: u64 = 32_768;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// A model's source, or a results folder.
    pub model: String,
    /// What it is to fit, and how it is run.
    pub place: Place,
    /// Recipes; empty for the whole ladder, or all variants of the folder.
    pub recipes: Vec<String>,
}

/// Memory, and what it is to hold beside the weights.
#[derive(Debug, Clone)]
pub struct Place {
    /// Bytes of the GPU.
    pub vram: Option<u64>,
    /// Bytes of the machine.
    pub ram: Option<u64>,
    /// A card or machine by name.
    pub device: Option<String>,
    /// Tokens of context of each sequence.
    pub ctx: Option<u64>,
    /// Cache types.
    pub kv: KvTypes,
    /// Sequences.
    pub parallel: u32,
    /// Bytes that stay free.
    pub margin: u64,
}

/// Answers the question.
pub fn fit(question: &Question, cache: &Cache, interrupted: &AtomicBool) -> Result<Fit, Error> {
    let mut about = About { model: question.model.clone(), ..About::default() };
    let budget = budget(question, &mut about)?;
    let subject = Subject::open(&question.model, cache)?;
    let unfit = |error: FitError| Error::Refused {
        reason: format!("{}: {error}", subject.model.first().path.display()),
        hint: error.hint(),
    };
    let shape = Shape::of(&subject.model).map_err(unfit)?;
    about_model(question, &shape, &mut about)?;
    let file = openable(&subject, &mut about)?;
    let mut native = Native::new(interrupted)?;
    let (model, layers) = (&subject.model, shape.layers.len());
    let mut bench = Bench { model, file: &file, layers, native: &mut native };
    let candidates = match &subject.variants {
        None => bench.of_ladder(question)?,
        Some(variants) => bench.of_results(question, variants)?,
    };
    let (ctx, parallel) = (about.ctx, question.place.parallel);
    let mut layouts = Layouts { shape: &shape, file: &file, ctx, parallel, found: Vec::new() };
    let mut variants = Vec::new();
    shape.check_kv(kv_types(&question.place.kv)?).map_err(unfit)?;
    for Candidate { name: recipe, mut weights, kv: own, note } in candidates {
        let mut kv = own.unwrap_or_else(|| question.place.kv.clone());
        // A recipe's own types that are impossible are a row, not the end.
        if let Err(error) = shape.check_kv(kv_types(&kv)?) {
            weights = Err(error.to_string());
            kv = question.place.kv.clone();
        }
        let compute = layouts.of(&kv, &mut native, &mut about.notes)?;
        variants.push(Variant { recipe, weights, kv: kv_types(&kv)?, compute, note });
    }
    let computes: Vec<Compute> = layouts.found.into_iter().map(|(_, compute)| compute).collect();
    let measured = Measured { shape: &shape, computes: &computes, ctx, parallel: about.parallel, budget };
    Ok(Fit::new(about, rows(&measured, &variants)))
}

/// The memory that there is: what was given, what the device has, or this machine's.
fn budget(question: &Question, about: &mut About) -> Result<Budget, Error> {
    let mut budget =
        Budget { gpu: question.place.vram, ram: question.place.ram, margin: question.place.margin };
    if let Some(name) = &question.place.device {
        let device = device::find(name)
            .map_err(|unknown| Error::Refused { reason: unknown.to_string(), hint: Some(unknown.hint()) })?;
        let memory = question.place.vram.unwrap_or(device.gpu_bytes);
        budget.gpu = Some(memory);
        about.device = Some(device.name.clone());
        if device.kind == Kind::Unified {
            // The same memory cannot be used twice.
            budget.ram = None;
            about.notes.push(format!(
                "{} has one memory of {} for all, of which the GPU is given {}",
                device.name,
                Bytes(device.memory_bytes),
                Bytes(memory),
            ));
        }
    }
    if budget.whole().is_none() {
        budget.ram = machine::total_memory();
        about.notes.push("the memory is this machine's; --vram, --ram or --device name another".to_owned());
    }
    (about.vram_bytes, about.ram_bytes, about.margin_bytes) = (budget.gpu, budget.ram, budget.margin);
    Ok(budget)
}

fn about_model(question: &Question, shape: &Shape, about: &mut About) -> Result<(), Error> {
    let trained = shape.context_length;
    about.architecture.clone_from(&shape.architecture);
    about.context_length = trained;
    about.ctx = question.place.ctx.unwrap_or(CONTEXT.min(trained.max(1)));
    about.kv = (question.place.kv.k.clone(), question.place.kv.v.clone());
    about.parallel = u64::from(question.place.parallel);
    about.kv_bytes_per_token = shape.token_bytes(kv_types(&question.place.kv)?);
    about.state_bytes_per_sequence = shape.state_bytes(1);
    if about.ctx > trained {
        about.notes.push(format!(
            "a context of {} tokens is longer than the {trained} that the model was trained for, and would have to be stretched",
            about.ctx
        ));
    }
    if !shape.complete {
        about.notes.push(format!(
            "{} models keep more than keys, values and states; what llama.cpp lays out counts",
            shape.architecture
        ));
    }
    Ok(())
}

fn openable(subject: &Subject, about: &mut About) -> Result<Openable, Error> {
    let file = Openable::of(&subject.model)?;
    if file.header_only {
        about.notes.push("the file lacks weights; its header is enough".to_owned());
    }
    Ok(file)
}

fn kv_types(kv: &KvTypes) -> Result<Kv, Error> {
    let find = |name: &str| {
        let refused =
            || Error::Refused { reason: format!("no KV cache type is called {name:?}"), hint: None };
        TensorType::from_name(name).ok_or_else(refused)
    };
    Ok(Kv { k: find(&kv.k)?, v: find(&kv.v)? })
}
