//! One row a variant: the facts of its file, its speed and memory, and whether all of its trials are done.

use super::energy::joules_per_token;
use super::planned::{Planned, Sheet};
use super::report::{FallbackRow, VariantRow};
use crate::journal::record::{Manifest, Outcome, Quantized, Speed, Status, TrialKind, VariantRecord};
use crate::stats;
use crate::units::BitsPerWeight;
use std::collections::{BTreeMap, BTreeSet};

/// Rows of `variants.csv`, in plan order.
pub(super) fn rows(sheet: &Sheet) -> Vec<VariantRow> {
    // The first recipe of each content, in plan order.
    let mut first: BTreeMap<&str, &str> = BTreeMap::new();
    let mut rows = Vec::new();
    for variant in &sheet.manifest.variants {
        let mut row = row(sheet, variant);
        let file = file_of(sheet, variant).filter(|file| !file.tensor_digest.is_empty());
        if let Some(file) = file {
            let same = *first.entry(&file.tensor_digest).or_insert(&variant.recipe);
            same.clone_into(&mut row.same_as);
            if row.same_as == variant.recipe {
                row.same_as.clear();
            }
        }
        rows.push(row);
    }
    rows
}

/// Rows of `fallbacks.csv`, recipe by recipe in plan order.
pub(super) fn fallbacks(sheet: &Sheet) -> Vec<FallbackRow> {
    let mut seen = BTreeSet::new();
    let variants = sheet.manifest.variants.iter().filter(|v| seen.insert(v.recipe.as_str()));
    let files = variants.filter_map(|v| Some((v, file_of(sheet, v)?)));
    files
        .flat_map(|(variant, file)| {
            file.fallbacks.iter().map(|f| FallbackRow {
                recipe: variant.recipe.clone(),
                tensor: f.tensor.clone(),
                columns: f.columns,
                block: f.block,
                wanted: f.wanted.clone(),
                got: f.got.clone(),
            })
        })
        .collect()
}

/// `211 Q4_K, 61 F32`: the commonest type first.
fn histogram(tensors: &[(String, String)]) -> String {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for (_, kind) in tensors {
        *counts.entry(kind).or_default() += 1;
    }
    let mut counts: Vec<(&str, u64)> = counts.into_iter().collect();
    counts.sort_by_key(|(kind, n)| (std::cmp::Reverse(*n), *kind));
    counts.iter().map(|(kind, n)| format!("{n} {kind}")).collect::<Vec<_>>().join(", ")
}

fn row(sheet: &Sheet, variant: &VariantRecord) -> VariantRow {
    let mut row = VariantRow {
        variant: variant.name.clone(),
        recipe: variant.recipe.clone(),
        type_name: variant.type_name.clone(),
        imatrix: variant.imatrix,
        nominal_bpw: variant.nominal_bpw,
        status: status(sheet, &variant.name),
        imatrix_from: variant.imatrix_from.clone(),
        gguf: variant.gguf.clone(),
        ..VariantRow::default()
    };
    if is_base_file(sheet.manifest, variant) {
        fill_from_manifest(&mut row, sheet.manifest);
    }
    if let Some(quantized) = file_of(sheet, variant) {
        fill_file(&mut row, quantized);
    }
    if let Some(speed) = speed_of(sheet, &variant.name) {
        fill_speed(&mut row, speed);
    }
    row
}

/// The variant's file, or the same recipe's under another variant: KV types change how a file is run, not the
/// file.
fn file_of<'a>(sheet: &Sheet<'a>, variant: &VariantRecord) -> Option<&'a Quantized> {
    let same_recipe = sheet.manifest.variants.iter().filter(|v| v.recipe == variant.recipe);
    let names = std::iter::once(variant).chain(same_recipe).map(|v| v.name.as_str());
    names.flat_map(|name| sheet.of_variant(name)).find_map(|trial| match trial.outcome()? {
        Outcome::Quantize(quantized) => Some(quantized),
        Outcome::Speed(_) | Outcome::Suite(_) | Outcome::Speculate(_) => None,
    })
}

fn speed_of<'a>(sheet: &Sheet<'a>, variant: &str) -> Option<&'a Speed> {
    sheet.of_variant(variant).find_map(|trial| match trial.outcome()? {
        Outcome::Speed(speed) => Some(speed),
        Outcome::Quantize(_) | Outcome::Suite(_) | Outcome::Speculate(_) => None,
    })
}

fn is_base_file(manifest: &Manifest, variant: &VariantRecord) -> bool {
    manifest.variants.first().is_some_and(|base| base.recipe == variant.recipe)
}

/// The base's file is known before any trial.
fn fill_from_manifest(row: &mut VariantRow, manifest: &Manifest) {
    row.file_bytes = known(manifest.base.file_bytes);
    row.bpw = finite(manifest.base.bpw).filter(|&bpw| bpw > 0.0);
    row.sha256.clone_from(&manifest.base.sha256);
}

fn fill_file(row: &mut VariantRow, file: &Quantized) {
    row.file_bytes = known(file.file_bytes);
    row.bpw = known(file.weights).map(|weights| BitsPerWeight::of(file.tensor_bytes, weights).0);
    row.fallback_tensors = Some(file.fallbacks.len() as u64);
    row.quantize_s = file.quantize_s.and_then(finite);
    row.sha256.clone_from(&file.sha256);
    row.tensor_types = histogram(&file.tensors);
}

fn fill_speed(row: &mut VariantRow, speed: &Speed) {
    row.peak_rss_bytes = known(speed.peak_rss_bytes);
    row.model_buffer_bytes = known(speed.model_buffer_bytes);
    row.context_buffer_bytes = known(speed.context_buffer_bytes);
    row.compute_buffer_bytes = known(speed.compute_buffer_bytes);
    row.device_bytes = speed.device_bytes;
    row.load_s = finite(speed.load_s);
    row.pp512_tps = stats::mean(&speed.pp512_tps).and_then(|e| finite(e.point));
    row.pp512_tps_sd = stats::sample_sd(&speed.pp512_tps).and_then(finite);
    row.tg128_tps = stats::mean(&speed.tg128_tps).and_then(|e| finite(e.point));
    row.tg128_tps_sd = stats::sample_sd(&speed.tg128_tps).and_then(finite);
    row.pp512_joules_per_token = joules_per_token(&speed.pp512_joules_per_token);
    row.tg128_joules_per_token = joules_per_token(&speed.tg128_joules_per_token);
    row.energy_meter.clone_from(&speed.energy_meter);
}

/// A size that cannot be 0: then it was not measured.
fn known(size: u64) -> Option<u64> {
    Some(size).filter(|&size| size > 0)
}

fn finite(value: f64) -> Option<f64> {
    Some(value).filter(|v| v.is_finite())
}

/// `done`, or the first trial that is not and its status, as `hellaswag: crashed`.
fn status(sheet: &Sheet, variant: &str) -> String {
    let unfinished = sheet.of_variant(variant).find(|trial| trial.status() != Status::Done);
    unfinished.map_or_else(
        || Status::Done.word().to_owned(),
        |trial| format!("{}: {}", work(trial), trial.status().word()),
    )
}

fn work(trial: &Planned) -> String {
    match trial.spec.kind {
        TrialKind::Quantize => "quantize".to_owned(),
        TrialKind::Speed => "speed".to_owned(),
        TrialKind::Suite => trial.spec.suite.clone(),
        TrialKind::Noise => format!("noise of {}", trial.spec.suite),
        TrialKind::Speculate => format!("drafted by {}", trial.spec.suite),
    }
}
