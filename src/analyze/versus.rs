//! Two variants, or two sweeps, against each other: which suites moved, and which items flipped. Always on the items both
//! have, and only where both were asked the same: another version of a suite is another suite.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::comparison::{Pair, judge_all};
use super::planned::{Planned, Sheet, SuiteKind, texts};
use super::report::ComparisonRow;
use super::text::chunk_sums;
use super::{choice, generated, scores};
use crate::journal::reader::TrialData;
use crate::journal::record::{ItemRecord, ItemScore, Manifest, SuiteRecord, TrialSpec};
use crate::stats;

/// Settings of a trial that change nothing but speed: how much is shared, how many are decoded together.
const HOW_FAST: [&str; 3] = ["together", "shares", "base_sha256"];

/// One of the two.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// What the user calls it.
    pub name: &'a str,
    /// Its plan.
    pub manifest: &'a Manifest,
    /// What was measured.
    pub trials: &'a [TrialData],
    /// A variant; absent: all that both have.
    pub variant: Option<&'a str>,
}

/// What comes of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Versus {
    /// The first.
    pub a: String,
    /// The second; differences are the second minus the first.
    pub b: String,
    /// Conditions that are not the same in both.
    pub differs: Vec<String>,
    /// One row a pair of variants, suite and metric.
    pub rows: Vec<VersusRow>,
    /// Suites that are not compared, and why.
    pub refused: Vec<Refused>,
    /// Items that were right in one and wrong in the other.
    pub flipped: Vec<Flipped>,
}

/// A suite on which a pair is compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VersusRow {
    /// Variant of the first.
    pub variant_a: String,
    /// Whether it is the suite's main metric.
    pub is_main: bool,
    /// Value of the first, on the items both have.
    pub value_a: Option<f64>,
    /// Value of the second.
    pub value_b: Option<f64>,
    /// The difference; `variant` is that of the second.
    #[serde(flatten)]
    pub difference: ComparisonRow,
}

/// A suite that cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// Suite.
    pub suite: String,
    /// Why.
    pub reason: String,
}

/// An item that flipped on the suite's main metric.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Flipped {
    /// Variant of the first.
    pub variant_a: String,
    /// Variant of the second.
    pub variant_b: String,
    /// Suite.
    pub suite: String,
    /// The item's id.
    pub id: String,
    /// Whether the first had it right (and the second wrong).
    pub lost: bool,
    /// What was asked.
    pub prompt: String,
    /// What the first answered.
    pub answer_a: String,
    /// What the second answered.
    pub answer_b: String,
    /// What is right, where that is one text.
    pub right: String,
}

/// Compares two variants, or all variants that two sweeps have in common.
#[must_use]
pub fn versus(a: Side<'_>, b: Side<'_>) -> Versus {
    let (sheet_a, sheet_b) = (Sheet::new(a.manifest, a.trials), Sheet::new(b.manifest, b.trials));
    let mut told = Versus {
        a: a.name.to_owned(),
        b: b.name.to_owned(),
        differs: differs(a.manifest, b.manifest),
        rows: Vec::new(),
        refused: Vec::new(),
        flipped: Vec::new(),
    };
    for suite in &a.manifest.suites {
        let Some(other) = b.manifest.suites.iter().find(|other| other.name == suite.name) else {
            told.refuse(suite, format!("{} has no such suite", b.name));
            continue;
        };
        if let Err(reason) = same_suite(suite, other) {
            told.refuse(suite, reason);
            continue;
        }
        for (one, two) in pairs(a, b) {
            let both = sheet_a.suite_trial(one, &suite.name).zip(sheet_b.suite_trial(two, &suite.name));
            let Some((first, second)) = both else { continue };
            if let Err(reason) = same_shape(first.spec, second.spec) {
                told.refuse(suite, format!("{one} and {two}: {reason}"));
                continue;
            }
            match unscored(suite, first).or_else(|| unscored(suite, second)) {
                Some(reason) => told.refuse(suite, reason),
                None => told.compare(&sheet_a, suite, first, second),
            }
        }
    }
    let missing = b.manifest.suites.iter().filter(|s| !a.manifest.suites.iter().any(|o| o.name == s.name));
    for suite in missing {
        told.refuse(suite, format!("{} has no such suite", a.name));
    }
    let rows = told.rows.iter_mut().map(|row| (row.is_main, &mut row.difference));
    judge_all(rows, a.manifest.judging.tolerance);
    told
}

/// Why a trial has nothing to compare, if it has not.
fn unscored(suite: &SuiteRecord, trial: &Planned) -> Option<String> {
    let failed = |item: &ItemRecord| matches!(item.score, ItemScore::Failed { .. });
    if trial.items().iter().any(|item| !failed(item)) {
        return None;
    }
    let why = if trial.reason().is_empty() { String::new() } else { format!(": {}", trial.reason()) };
    Some(format!(
        "{} has no scores of {}, it is {}{why}",
        trial.spec.variant,
        suite.name,
        trial.status().word()
    ))
}

/// Pairs of variants that are compared.
fn pairs<'a>(a: Side<'a>, b: Side<'a>) -> Vec<(&'a str, &'a str)> {
    if let (Some(one), Some(two)) = (a.variant, b.variant) {
        return vec![(one, two)];
    }
    let names = |side: Side<'a>| side.manifest.variants.iter().map(|v| v.name.as_str());
    let theirs: BTreeSet<&str> = names(b).collect();
    names(a).filter(|name| theirs.contains(name)).map(|name| (name, name)).collect()
}

impl Versus {
    fn refuse(&mut self, suite: &SuiteRecord, reason: String) {
        self.refused.push(Refused { suite: suite.name.clone(), reason });
    }

    fn compare(&mut self, sheet: &Sheet, suite: &SuiteRecord, first: &Planned, second: &Planned) {
        let pair = Pair { suite, trial: second, base: first.items() };
        let kind = sheet.kind_of(suite);
        let rows = match kind {
            SuiteKind::Text => text_rows(sheet, suite, first, second),
            SuiteKind::Questions => pair.question_rows(),
            SuiteKind::Answers => pair.answer_rows(),
        };
        for difference in rows {
            let values = values(kind, &difference, first, second);
            self.rows.push(VersusRow {
                variant_a: first.spec.variant.clone(),
                is_main: difference.metric == suite.main_metric || kind == SuiteKind::Text,
                value_a: values.map(|(a, _)| a),
                value_b: values.map(|(_, b)| b),
                difference,
            });
        }
        if kind != SuiteKind::Text {
            self.flipped.extend(flipped(kind, &suite.main_metric, first, second));
        }
    }
}

/// Why two records of a suite are not of the same questions, if they are not.
fn same_suite(a: &SuiteRecord, b: &SuiteRecord) -> Result<(), String> {
    if a.version != b.version {
        return Err(format!("its versions differ: {} and {}", a.version, b.version));
    }
    if a.file_sha256 != b.file_sha256 {
        return Err(format!("its file differs, though both are version {}", a.version));
    }
    if a.data_sha256 != b.data_sha256 {
        return Err("its data differ".to_owned());
    }
    Ok(())
}

/// Why two trials of a suite did not ask alike, if they did not.
fn same_shape(a: &TrialSpec, b: &TrialSpec) -> Result<(), String> {
    let of = |spec: &TrialSpec, key: &str| spec.settings.get(key).cloned().unwrap_or(Value::Null);
    if of(a, "scorer") != of(b, "scorer") {
        return Err(format!("scored by versions {} and {}", of(a, "scorer"), of(b, "scorer")));
    }
    let shape = |spec: &TrialSpec| -> BTreeMap<String, Value> {
        let shape = of(spec, "shape").as_object().cloned().unwrap_or_default();
        shape.into_iter().filter(|(key, _)| !HOW_FAST.contains(&key.as_str())).collect()
    };
    let (one, two) = (shape(a), shape(b));
    let keys: BTreeSet<&String> = one.keys().chain(two.keys()).collect();
    let told = |key: &&String| {
        let value = |of: &BTreeMap<String, Value>| of.get(*key).map_or("none".to_owned(), Value::to_string);
        format!("{key} {} and {}", value(&one), value(&two))
    };
    let apart: Vec<String> = keys.iter().filter(|key| one.get(**key) != two.get(**key)).map(told).collect();
    if apart.is_empty() { Ok(()) } else { Err(format!("asked in other ways: {}", apart.join(", "))) }
}

/// Conditions of two sweeps that are not the same.
fn differs(a: &Manifest, b: &Manifest) -> Vec<String> {
    let short = |sha: &str| sha.chars().take(12).collect::<String>();
    let pairs = [
        ("base model", short(&a.base.sha256), short(&b.base.sha256)),
        ("llama.cpp", a.software.llama_cpp.clone(), b.software.llama_cpp.clone()),
        ("bitfrontier", a.software.bitfrontier.clone(), b.software.bitfrontier.clone()),
        ("build", a.software.build.clone(), b.software.build.clone()),
        ("CPU", a.machine.cpu.clone(), b.machine.cpu.clone()),
        ("threads", a.threads.to_string(), b.threads.to_string()),
    ];
    let apart = pairs.into_iter().filter(|(_, one, two)| one != two);
    apart.map(|(what, one, two)| format!("{what}: {one} and {two}")).collect()
}

/// Means over the items that both have.
fn values(kind: SuiteKind, row: &ComparisonRow, first: &Planned, second: &Planned) -> Option<(f64, f64)> {
    if kind == SuiteKind::Text {
        return None;
    }
    let of = |trial: &Planned| -> BTreeMap<u64, f64> {
        let sign = |item: &ItemRecord| Some((item.index, generated::sign(item, &row.metric)?));
        if kind == SuiteKind::Answers && generated::sign_names().any(|name| name == row.metric) {
            trial.items().iter().filter_map(sign).collect()
        } else {
            scores::of(kind, trial.items(), &row.metric)
        }
    };
    let (one, two) = (of(first), of(second));
    let both: Vec<(f64, f64)> = one.iter().filter_map(|(index, a)| Some((*a, *two.get(index)?))).collect();
    let n = both.len() as f64;
    let sums = both.iter().fold((0.0, 0.0), |sums, (a, b)| (sums.0 + a, sums.1 + b));
    (!both.is_empty()).then(|| (sums.0 / n, sums.1 / n))
}

/// Perplexity, on the chunks both have, and divergence from the base where that is the same.
fn text_rows(sheet: &Sheet, suite: &SuiteRecord, first: &Planned, second: &Planned) -> Vec<ComparisonRow> {
    let parts = texts(suite, first.items()).into_iter().zip(texts(suite, second.items()));
    let strata: Vec<Vec<[f64; 5]>> = parts.map(|((_, a), (_, b))| clusters(&a, &b)).collect();
    let n: f64 = strata.iter().flatten().map(|cluster| cluster[0]).sum();
    let figures =
        |&[n, q_a, q_b, kld_a, kld_b]: &[f64; 5]| [(q_b / n).exp() - (q_a / n).exp(), (kld_b - kld_a) / n];
    let total = |clusters: &Vec<[f64; 5]>| {
        clusters.iter().fold([0.0; 5], |sums, cluster| std::array::from_fn(|i| sums[i] + cluster[i]))
    };
    let points: Vec<[f64; 2]> = strata.iter().map(|clusters| figures(&total(clusters))).collect();
    let parts: Vec<&[[f64; 5]]> = strata.iter().map(Vec::as_slice).collect();
    let intervals = stats::stratified_intervals(&parts, sheet.manifest.seed, figures);
    let of_one_base = first.spec.settings.pointer("/weights/base_sha256")
        == second.spec.settings.pointer("/weights/base_sha256");
    let metrics = ["ppl", "kld_mean"].into_iter().zip(intervals).enumerate();
    let rows = metrics.filter(|(place, _)| *place == 0 || of_one_base).map(|(place, (metric, interval))| {
        let mean = points.iter().filter_map(|p| p.get(place)).sum::<f64>() / points.len() as f64;
        ComparisonRow {
            variant: second.spec.variant.clone(),
            suite: suite.name.clone(),
            metric: metric.to_owned(),
            delta: Some(mean).filter(|d| d.is_finite()),
            n: n as u64,
            ci_low: interval.map(|(low, _)| low),
            ci_high: interval.map(|(_, high)| high),
            ..ComparisonRow::default()
        }
    });
    rows.collect()
}

/// Of each chunk that both have: tokens, nats of the first and of the second, and their divergences.
fn clusters(a: &[&ItemRecord], b: &[&ItemRecord]) -> Vec<[f64; 5]> {
    let sums = |item: &&ItemRecord| Some((item.index, chunk_sums(item)?));
    let other: BTreeMap<u64, _> = b.iter().filter_map(sums).collect();
    let both = a.iter().filter_map(sums).filter_map(|(index, one)| Some((one, other.get(&index)?)));
    let alike = both.filter(|(one, two)| one.tokens == two.tokens);
    alike.map(|(one, two)| [one.tokens as f64, one.q, two.q, one.kld, two.kld]).collect()
}

/// The items that are right in one and wrong in the other, with their texts.
fn flipped<'a>(
    kind: SuiteKind,
    metric: &'a str,
    first: &'a Planned<'a>,
    second: &'a Planned<'a>,
) -> impl Iterator<Item = Flipped> + use<'a> {
    flips(kind, metric, first, second).map(move |(item, other, lost)| Flipped {
        variant_a: first.spec.variant.clone(),
        variant_b: second.spec.variant.clone(),
        suite: first.spec.suite.clone(),
        id: item.id.clone(),
        lost,
        prompt: prompt(&item.score),
        answer_a: answer(&item.score, metric),
        answer_b: answer(&other.score, metric),
        right: right(&item.score),
    })
}

/// The items that are right in one and wrong in the other: the first's record, the second's, and whether the first had it
/// right.
pub(super) fn flips<'a>(
    kind: SuiteKind,
    metric: &str,
    first: &'a Planned<'a>,
    second: &'a Planned<'a>,
) -> impl Iterator<Item = (&'a ItemRecord, &'a ItemRecord, bool)> + use<'a> {
    let score = |items: &[ItemRecord]| scores::of(kind, items, metric);
    let (one, two) = (score(first.items()), score(second.items()));
    let items: BTreeMap<u64, &ItemRecord> = second.items().iter().map(|item| (item.index, item)).collect();
    first.items().iter().filter_map(move |item| {
        let (a, b) = (*one.get(&item.index)?, *two.get(&item.index)?);
        // Of what is neither right nor wrong, nothing flips.
        let is_flip = (a - b).abs() >= 1.0 - 1e-9;
        is_flip.then_some((item, *items.get(&item.index)?, a > b))
    })
}

/// What was asked.
pub(super) fn prompt(score: &ItemScore) -> String {
    match score {
        ItemScore::Choice(question) => question.prompt.clone(),
        ItemScore::Generated(score) => score.prompt.clone(),
        ItemScore::Judged(_) | ItemScore::Chunk(_) | ItemScore::Failed { .. } => String::new(),
    }
}

/// What was answered.
pub(super) fn answer(score: &ItemScore, metric: &str) -> String {
    match score {
        ItemScore::Choice(question) => {
            let picked = choice::picked(score, metric).and_then(|place| question.choices.get(place));
            picked.map_or(String::new(), |choice| choice.text.clone())
        }
        ItemScore::Generated(score) => score.answers.first().map_or(String::new(), |a| a.output.clone()),
        ItemScore::Judged(_) | ItemScore::Chunk(_) | ItemScore::Failed { .. } => String::new(),
    }
}

/// What is right, where that is one text.
pub(super) fn right(score: &ItemScore) -> String {
    match score {
        ItemScore::Choice(question) => {
            question.choices.get(question.answer as usize).map_or(String::new(), |choice| choice.text.clone())
        }
        ItemScore::Generated(score) => score.reference.clone(),
        ItemScore::Judged(_) | ItemScore::Chunk(_) | ItemScore::Failed { .. } => String::new(),
    }
}
