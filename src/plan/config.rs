//! What the user asked for: a sweep file, or flags, or both (flags win). Parsed here, checked here, and from
//! then on only read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use toml::Spanned;

use crate::files;
use crate::plan::error::{PlanError, toml_error};
use crate::plan::judging::{Judging, Scope};
use crate::plan::ladder::{DEFAULT_LADDER, KV_TYPES};
use crate::plan::recipe::Recipe;
use crate::plan::recipe_file::RecipeTable;
use crate::plan::slurm::{Executor, SlurmOptions, SlurmTable};
use crate::plan::speculation::{Speculation, SpeculationTable};
use crate::plan::speed::SpeedGrid;
use crate::plan::suite::{self, DEFAULT_SUITES, SuiteText};

/// Longest silence a user may allow, in seconds: some days.
const LONGEST_HANG: f64 = 1e6;

/// What to do with layers where there is a GPU.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Offload {
    /// Layers to put on devices; -1 for all. Ignored by a build without GPU support.
    pub gpu_layers: i32,
    /// The device that holds small tensors and, without a split, all.
    pub main_gpu: i32,
    /// Share of the model on each device; empty for llama.cpp's own choice.
    pub tensor_split: Vec<f32>,
    /// Whether attention is fused.
    pub flash_attn: FlashAttn,
}

impl Default for Offload {
    /// All layers on whatever device there is.
    fn default() -> Self {
        Self { gpu_layers: -1, main_gpu: 0, tensor_split: Vec::new(), flash_attn: FlashAttn::default() }
    }
}

/// The flags of `[offload]`: what is absent is as the file has it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OffloadFlags {
    /// `--gpu-layers`.
    pub gpu_layers: Option<i32>,
    /// `--main-gpu`.
    pub main_gpu: Option<i32>,
    /// `--tensor-split`; empty if it is not given.
    pub tensor_split: Vec<f32>,
    /// `--flash-attn`.
    pub flash_attn: Option<FlashAttn>,
}

impl OffloadFlags {
    /// The flags over the file's table.
    #[must_use]
    pub fn over(&self, file: Offload) -> Offload {
        Offload {
            gpu_layers: self.gpu_layers.unwrap_or(file.gpu_layers),
            main_gpu: self.main_gpu.unwrap_or(file.main_gpu),
            tensor_split: if self.tensor_split.is_empty() {
                file.tensor_split
            } else {
                self.tensor_split.clone()
            },
            flash_attn: self.flash_attn.unwrap_or(file.flash_attn),
        }
    }
}

/// Whether attention is fused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum FlashAttn {
    /// llama.cpp decides.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// How models are run; the same for every trial of a sweep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunOptions {
    /// Threads given to llama.cpp.
    pub threads: u32,
    /// What goes to a GPU.
    pub offload: Offload,
    /// Stretch contexts beyond the model's by YaRN.
    pub yarn: bool,
    /// Quantize a base that is quantized already.
    pub allow_requantize: bool,
    /// Run programs that models write without a sandbox.
    pub unsafe_exec: bool,
    /// Timed repetitions of a speed trial.
    pub repetitions: u32,
    /// Seconds without a sign of life after which a worker is ended; absent: from the plan's estimate.
    pub hang_seconds: Option<f64>,
    /// Seconds after which a trial of written answers begins no other item in this invocation.
    pub time_s: Option<f64>,
    /// Seconds that this invocation may take; trials then go on together, so that what is there can be compared.
    pub budget_s: Option<f64>,
}

/// A sweep as asked for, checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepConfig {
    /// The base model's source.
    pub base: String,
    /// Recipes; the first is the base.
    pub recipes: Vec<Recipe>,
    /// Suite files.
    pub suites: Vec<SuiteText>,
    /// The results folder.
    pub out: PathBuf,
    /// Items of every suite, unless `limits` says otherwise.
    pub limit: Option<u64>,
    /// Items of one suite.
    pub limits: BTreeMap<String, u64>,
    /// Seed of item orders and resamples.
    pub seed: u64,
    /// Keep variants in the cache when no trial needs them.
    pub keep_variants: bool,
    /// Fetch what is missing before the sweep begins.
    pub fetch: bool,
    /// Don't try again what failed in an earlier invocation.
    pub no_retry: bool,
    /// The text of the sweep's importance matrix.
    pub imatrix: CalibrationTable,
    /// What is timed.
    pub speed: SpeedGrid,
    /// Where the user says so: file and line.
    pub speed_place: String,
    /// Pairs of variants of which one drafts for the other.
    pub speculations: Vec<Speculation>,
    /// How models are run.
    pub run: RunOptions,
    /// How differences are judged.
    pub judging: Judging,
    /// The cluster that carries the trials out; absent: this machine.
    pub slurm: Option<SlurmOptions>,
}

impl SweepConfig {
    /// Items asked for of a suite.
    pub fn limit_of(&self, suite: &str) -> Option<u64> {
        self.limits.get(suite).copied().or(self.limit)
    }
}

/// A sweep file as written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SweepFile {
    base: Option<String>,
    recipes: Option<Vec<Spanned<RecipeEntry>>>,
    #[serde(default)]
    recipe: Vec<Spanned<RecipeTable>>,
    suites: Option<Vec<Spanned<String>>>,
    out: Option<PathBuf>,
    threads: Option<u32>,
    limit: Option<u64>,
    #[serde(default)]
    limits: BTreeMap<String, u64>,
    seed: Option<u64>,
    keep_variants: Option<bool>,
    fetch: Option<bool>,
    allow_requantize: Option<bool>,
    yarn: Option<bool>,
    unsafe_exec: Option<bool>,
    hang_seconds: Option<f64>,
    time_minutes: Option<f64>,
    budget: Option<Spanned<String>>,
    decide: Option<Spanned<DecideEntry>>,
    precision: Option<Spanned<f64>>,
    offload: Option<Offload>,
    speed: Option<Spanned<SpeedTable>>,
    #[serde(default)]
    imatrix: CalibrationTable,
    #[serde(default)]
    speculate: Vec<Spanned<SpeculationTable>>,
    tolerance: Option<f64>,
    #[serde(default)]
    weights: BTreeMap<String, f64>,
    executor: Option<Spanned<String>>,
    slurm: Option<Spanned<SlurmTable>>,
}

impl SweepConfig {
    /// Every model that is run: the variants, and drafts that are none.
    pub fn models(&self) -> impl Iterator<Item = &Recipe> {
        self.recipes.iter().chain(self.speculations.iter().filter_map(|s| s.outsider.as_ref()))
    }

    /// Whether all variants are taken to the same items before any goes further.
    pub fn in_rounds(&self) -> bool {
        self.judging.decide.is_some() || self.run.budget_s.is_some()
    }

    /// A model by its name.
    pub fn model(&self, name: &str) -> Option<&Recipe> {
        self.models().find(|r| r.variant() == name)
    }
}

/// `decide = true`, or what the answers are about.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "true, false, \"composite\" or \"suites\"")]
enum DecideEntry {
    Switch(bool),
    Scope(String),
}

/// `[imatrix]`: what the importance matrix of recipes with `imatrix = true` is computed with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibrationTable {
    /// The text; absent: that of a suite that comes with the program.
    pub text: Option<PathBuf>,
    /// Chunks of 512 tokens from its beginning; absent: all, of the program's own text the first hundred.
    pub chunks: Option<std::num::NonZeroU64>,
}

/// `[speed]`: what is timed beside the point of every sweep.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SpeedTable {
    repetitions: Option<u32>,
    prompt: Option<Spanned<Vec<u32>>>,
    generate: Option<Spanned<u32>>,
    depths: Option<Spanned<Vec<u32>>>,
    parallel: Option<Spanned<Vec<u32>>>,
}

/// A name, or a table.
#[derive(Debug, Clone)]
enum RecipeEntry {
    Name(String),
    Table(Box<RecipeTable>),
}

impl<'de> Deserialize<'de> for RecipeEntry {
    /// By hand, because serde's untagged enums forget which key was wrong.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entry;
        impl<'de> Visitor<'de> for Entry {
            type Value = RecipeEntry;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a recipe's name or its table")
            }

            fn visit_str<E>(self, name: &str) -> Result<RecipeEntry, E> {
                Ok(RecipeEntry::Name(name.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RecipeEntry, A::Error> {
                let table = RecipeTable::deserialize(MapAccessDeserializer::new(map))?;
                Ok(RecipeEntry::Table(Box::new(table)))
            }
        }
        deserializer.deserialize_any(Entry)
    }
}

/// What flags say; they win over the file.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct SweepFlags {
    /// `--base`.
    pub base: Option<String>,
    /// `--recipes`.
    pub recipes: Vec<String>,
    /// `--suites`.
    pub suites: Vec<String>,
    /// `--out`.
    pub out: Option<PathBuf>,
    /// `--threads`.
    pub threads: Option<u32>,
    /// `--limit N` and `--limit SUITE=N`.
    pub limits: Vec<String>,
    /// `--seed`.
    pub seed: Option<u64>,
    /// `--keep-variants`.
    pub keep_variants: bool,
    /// `--fetch`.
    pub fetch: bool,
    /// `--no-retry`.
    pub no_retry: bool,
    /// `--allow-requantize`.
    pub allow_requantize: bool,
    /// `--yarn`.
    pub yarn: bool,
    /// `--unsafe-exec`.
    pub unsafe_exec: bool,
    /// `--hang-seconds`.
    pub hang_seconds: Option<f64>,
    /// `--time`.
    pub time_minutes: Option<f64>,
    /// `--budget`.
    pub budget: Option<String>,
    /// `--decide`.
    pub decide: Option<Scope>,
    /// `--precision`.
    pub precision: Option<f64>,
    /// `--repetitions`.
    pub repetitions: Option<u32>,
    /// `--tolerance`.
    pub tolerance: Option<f64>,
    /// `--weight SUITE=W`.
    pub weights: Vec<String>,
    /// `--gpu-layers` and its like.
    pub offload: OffloadFlags,
    /// `--executor`.
    pub executor: Option<Executor>,
}

/// Most threads of a worker: more end programs, and help nowhere.
const MOST_THREADS: u32 = 1024;

/// Reads the file (if any), lays the flags over it and checks every name.
pub fn read(file: Option<&Path>, flags: &SweepFlags, cores: u32) -> Result<SweepConfig, PlanError> {
    let (place, text) = match file {
        Some(path) => {
            let text =
                files::read_text(path).map_err(|source| PlanError::Read { path: path.to_owned(), source })?;
            (path.display().to_string(), text)
        }
        None => ("the command line".to_owned(), String::new()),
    };
    let raw: SweepFile = toml::from_str(&text).map_err(|e| toml_error(&place, &text, &e))?;
    let at = |start: usize| {
        let line = text.get(..start).map_or(1, |before| before.matches('\n').count() + 1);
        format!("{place}, line {line}")
    };
    let missing = |what: &str, hint: &str| PlanError::Missing {
        place: place.clone(),
        what: what.to_owned(),
        hint: hint.to_owned(),
    };
    let recipes = recipes(&raw, flags, &at)?;
    let suites = suites(&raw, flags, &at)?;
    let (limit, limits) = limits(&raw, flags, &suites)?;
    let (speed, speed_place) = speed(raw.speed.as_ref(), &at)?;
    let speculations = speculations(&raw, &recipes, &at)?;
    let base = flags.base.clone().or(raw.base.clone());
    let out = flags.out.clone().or(raw.out.clone()).or_else(|| file.and_then(out_beside));
    let slurm = slurm(&raw, flags, &at)?;
    let threads = flags.threads.or(raw.threads);
    let threads = threads.or(slurm.as_ref().and_then(|slurm| slurm.cpus)).unwrap_or(cores);
    let repetitions =
        flags.repetitions.or(raw.speed.as_ref().and_then(|s| s.get_ref().repetitions)).unwrap_or(5);
    if threads == 0 || repetitions == 0 {
        return Err(missing("threads and repetitions must be at least 1", "leave them out for the default"));
    }
    if threads > MOST_THREADS {
        let what = format!("{threads} threads are more than {MOST_THREADS}");
        return Err(missing(&what, "leave them out for one a core"));
    }
    let hang_seconds = flags.hang_seconds.or(raw.hang_seconds);
    if hang_seconds.is_some_and(|s| !(1.0..=LONGEST_HANG).contains(&s)) {
        return Err(missing("hang_seconds must be between 1 and 1000000", "leave it out for the default"));
    }
    let time_minutes = flags.time_minutes.or(raw.time_minutes);
    if time_minutes.is_some_and(|m| !(m > 0.0 && m <= LONGEST_HANG)) {
        return Err(missing("time_minutes must be above 0", "leave it out for no limit"));
    }
    let names = names(&suites);
    let tolerance = flags.tolerance.or(raw.tolerance);
    let judging = Judging::checked(tolerance, raw.weights.clone(), &flags.weights, &names, &place)?;
    let judging = decided(judging, &raw, flags, &at)?;
    let budget_s = budget(&raw, flags, &at)?;
    if time_minutes.is_some() && (judging.decide.is_some() || budget_s.is_some()) {
        let what = "a time for each trial cuts off what early stopping and a budget compare";
        return Err(missing(what, "leave out --time (time_minutes), or --decide and --budget"));
    }
    if slurm.is_some() && (judging.decide.is_some() || budget_s.is_some()) {
        let what =
            "early stopping and a budget look at all variants together, which trials on a cluster cannot";
        return Err(missing(what, "leave out --decide and --budget, or --executor slurm"));
    }
    Ok(SweepConfig {
        judging,
        base: base.ok_or_else(|| missing("no base model is named", "give `base = ...` or --base MODEL"))?,
        recipes,
        suites,
        out: out.ok_or_else(|| missing("no results folder is named", "give `out = ...` or --out DIR"))?,
        limit,
        limits,
        seed: flags.seed.or(raw.seed).unwrap_or(1),
        keep_variants: flags.keep_variants || raw.keep_variants.unwrap_or(false),
        fetch: flags.fetch || raw.fetch.unwrap_or(false),
        no_retry: flags.no_retry,
        imatrix: raw.imatrix,
        speed,
        speed_place,
        speculations,
        slurm,
        run: RunOptions {
            threads,
            offload: flags.offload.over(raw.offload.unwrap_or_default()),
            yarn: flags.yarn || raw.yarn.unwrap_or(false),
            unsafe_exec: flags.unsafe_exec || raw.unsafe_exec.unwrap_or(false),
            allow_requantize: flags.allow_requantize || raw.allow_requantize.unwrap_or(false),
            repetitions,
            hang_seconds,
            time_s: time_minutes.map(|minutes| minutes * 60.0),
            budget_s,
        },
    })
}

/// The cluster's options, if trials go to one.
fn slurm(
    raw: &SweepFile,
    flags: &SweepFlags,
    at: &impl Fn(usize) -> String,
) -> Result<Option<SlurmOptions>, PlanError> {
    let written = raw.executor.as_ref();
    let asked = match (flags.executor, written) {
        (Some(executor), _) => executor,
        (None, Some(word)) => Executor::parse(word.get_ref()).ok_or_else(|| PlanError::Unknown {
            place: at(word.span().start),
            kind: "executor",
            name: word.get_ref().clone(),
            nearest: Executor::NAMES.map(str::to_owned).to_vec(),
        })?,
        (None, None) => Executor::Local,
    };
    // A table that is wrong is told of wherever the trials go.
    let table = raw.slurm.as_ref().map(|table| table.get_ref().checked(&at(table.span().start), at));
    let options = table.transpose()?.unwrap_or_default();
    Ok((asked == Executor::Slurm).then_some(options))
}

/// Whether trials stop when their answer is known.
fn decided(
    judging: Judging,
    raw: &SweepFile,
    flags: &SweepFlags,
    at: &impl Fn(usize) -> String,
) -> Result<Judging, PlanError> {
    let place = |spanned: Option<usize>| spanned.map_or_else(|| "the command line".to_owned(), at);
    let refused = |place: String, what: String, hint: &str| {
        Err(PlanError::Missing { place, what, hint: hint.to_owned() })
    };
    let entry = raw.decide.as_ref().map(|entry| (entry.get_ref(), entry.span().start));
    let scope = match (flags.decide, entry) {
        (Some(scope), _) => Some(scope),
        (None, None | Some((DecideEntry::Switch(false), _))) => None,
        (None, Some((DecideEntry::Switch(true), _))) => Some(Scope::Composite),
        (None, Some((DecideEntry::Scope(word), start))) => {
            let Some(scope) = Scope::parse(word) else {
                let what = format!("decide = {word:?} is not something to decide about");
                return refused(at(start), what, "write decide = \"composite\" or \"suites\"");
            };
            Some(scope)
        }
    };
    let written = raw.precision.as_ref().filter(|_| flags.precision.is_none()).map(|p| p.span().start);
    let precision = flags.precision.or(raw.precision.as_ref().map(|p| *p.get_ref()));
    match (scope, precision) {
        (Some(scope), precision) => judging.deciding(scope, precision, &place(written)),
        (None, Some(_)) => {
            let what = "a precision is asked for, and nothing stops when it is reached".to_owned();
            refused(place(written), what, "add --decide, or decide = true")
        }
        (None, None) => Ok(judging),
    }
}

/// Seconds of `8h`, `90m` or `1h 30m`.
fn budget(
    raw: &SweepFile,
    flags: &SweepFlags,
    at: &impl Fn(usize) -> String,
) -> Result<Option<f64>, PlanError> {
    let written = raw.budget.as_ref().map(|text| (text.get_ref().as_str(), at(text.span().start)));
    let given = flags.budget.as_deref().map(|text| (text, "--budget".to_owned()));
    let Some((text, place)) = given.or(written) else { return Ok(None) };
    let seconds = text.parse::<jiff::SignedDuration>().map(|time| time.as_secs_f64());
    match seconds {
        Ok(seconds) if seconds > 0.0 && seconds <= LONGEST_HANG => Ok(Some(seconds)),
        _ => Err(PlanError::Missing {
            place,
            what: format!("{text:?} is not a time that a sweep can take"),
            hint: "write 8h, 90m or \"1h 30m\"".to_owned(),
        }),
    }
}

/// The surface to time, and the line of its depths (of the table, if it has none).
fn speed(
    table: Option<&Spanned<SpeedTable>>,
    at: &impl Fn(usize) -> String,
) -> Result<(SpeedGrid, String), PlanError> {
    let Some(spanned) = table else { return Ok((SpeedGrid::default(), String::new())) };
    let (table, default) = (spanned.get_ref(), SpeedGrid::default());
    let list = |given: &Option<Spanned<Vec<u32>>>, default: &[u32]| {
        given.as_ref().map_or_else(|| default.to_vec(), |list| list.get_ref().clone())
    };
    // Key by key, so that an error names its line.
    let mut grid = default.clone();
    let refused = |grid: &SpeedGrid, start: usize| {
        grid.check().map_err(|(what, hint)| PlanError::Missing {
            place: at(start),
            what: format!("[speed] {what}"),
            hint: hint.to_owned(),
        })
    };
    let start = |given: &Option<Spanned<Vec<u32>>>| given.as_ref().map_or(0, |list| list.span().start);
    grid.prompt = list(&table.prompt, &default.prompt);
    refused(&grid, start(&table.prompt))?;
    grid.generate = table.generate.as_ref().map_or(default.generate, |n| *n.get_ref());
    refused(&grid, table.generate.as_ref().map_or(0, |n| n.span().start))?;
    grid.depths = list(&table.depths, &default.depths);
    refused(&grid, start(&table.depths))?;
    grid.parallel = list(&table.parallel, &default.parallel);
    refused(&grid, start(&table.parallel))?;
    let place = table.depths.as_ref().map_or_else(|| spanned.span().start, |depths| depths.span().start);
    Ok((grid, at(place)))
}

/// Whether a word is the name of a KV cache type (and not of a recipe).
pub fn is_kv_type(word: &str) -> bool {
    KV_TYPES.contains(&word)
}

/// `nights/big.toml` writes to `results/big`.
fn out_beside(file: &Path) -> Option<PathBuf> {
    Some(Path::new("results").join(file.file_stem()?))
}

fn recipes(
    raw: &SweepFile,
    flags: &SweepFlags,
    at: &impl Fn(usize) -> String,
) -> Result<Vec<Recipe>, PlanError> {
    let mut named: Vec<(String, Recipe)> = Vec::new();
    if !flags.recipes.is_empty() {
        for name in &flags.recipes {
            named.push(("--recipes".to_owned(), Recipe::parse(name, "--recipes")?));
        }
    } else if raw.recipes.is_some() || !raw.recipe.is_empty() {
        for entry in raw.recipes.iter().flatten() {
            let place = at(entry.span().start);
            let recipe = match entry.get_ref() {
                RecipeEntry::Name(name) => Recipe::parse(name, &place)?,
                RecipeEntry::Table(table) => table.recipe(&place, None, at)?,
            };
            named.push((place, recipe));
        }
        for table in &raw.recipe {
            let place = at(table.span().start);
            named.push((place.clone(), table.get_ref().recipe(&place, None, at)?));
        }
    } else {
        for name in DEFAULT_LADDER {
            named.push((String::new(), Recipe::parse(name, "the default ladder")?));
        }
    }
    let mut recipes = vec![Recipe::base()];
    for (place, recipe) in named {
        if recipe == Recipe::base() {
            continue;
        }
        if recipes.iter().any(|r| r.variant() == recipe.variant()) {
            return Err(PlanError::Twice { place, kind: "recipe", name: recipe.variant() });
        }
        // Trials are known by their content, so that the second would have none of its own.
        if let Some(same) = recipes.iter().find(|r| r.weights.same_file(&recipe.weights) && r.kv == recipe.kv)
        {
            let reason = format!("is the same as {}", same.variant());
            return Err(PlanError::Recipe { place, name: recipe.variant(), reason });
        }
        recipes.push(recipe);
    }
    Ok(recipes)
}

fn speculations(
    raw: &SweepFile,
    recipes: &[Recipe],
    at: &impl Fn(usize) -> String,
) -> Result<Vec<Speculation>, PlanError> {
    let variants: Vec<String> = recipes.iter().map(Recipe::variant).collect();
    let mut found: Vec<Speculation> = Vec::new();
    for table in &raw.speculate {
        let place = at(table.span().start);
        let one = table.get_ref().checked(&place, &variants)?;
        let same = |s: &Speculation| (&s.target, &s.draft) == (&one.target, &one.draft);
        if found.iter().any(|s| same(s) || (s.draft == one.draft && s.outsider != one.outsider)) {
            let name = format!("{} for {}", one.draft, one.target);
            return Err(PlanError::Twice { place, kind: "draft", name });
        }
        found.push(one);
    }
    Ok(found)
}

fn suites(
    raw: &SweepFile,
    flags: &SweepFlags,
    at: &impl Fn(usize) -> String,
) -> Result<Vec<SuiteText>, PlanError> {
    let named: Vec<(String, String)> = if !flags.suites.is_empty() {
        flags.suites.iter().map(|n| ("--suites".to_owned(), n.clone())).collect()
    } else if let Some(entries) = &raw.suites {
        entries.iter().map(|e| (at(e.span().start), e.get_ref().clone())).collect()
    } else {
        DEFAULT_SUITES.iter().map(|n| (String::new(), (*n).to_owned())).collect()
    };
    let mut found: Vec<SuiteText> = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    for (place, name) in named {
        let text = suite::find(&name, &place)?;
        // Tables know a suite by the name in its file, whatever the file is called.
        let name = suite::parse(&text)?.name;
        if seen.contains(&name) {
            return Err(PlanError::Twice { place, kind: "suite", name });
        }
        found.push(text);
        seen.push(name);
    }
    Ok(found)
}

/// The names that suites have in their files.
fn names(suites: &[SuiteText]) -> Vec<String> {
    suites.iter().filter_map(|s| suite::parse(s).ok()).map(|s| s.name).collect()
}

type Limits = (Option<u64>, BTreeMap<String, u64>);

fn limits(raw: &SweepFile, flags: &SweepFlags, suites: &[SuiteText]) -> Result<Limits, PlanError> {
    let mut limit = raw.limit;
    let mut limits = raw.limits.clone();
    for text in &flags.limits {
        let (name, number) = text.split_once('=').map_or((None, text.as_str()), |(n, v)| (Some(n), v));
        let number = number.trim().parse::<u64>().map_err(|_| PlanError::Missing {
            place: "--limit".to_owned(),
            what: format!("{text:?} is not a number of items"),
            hint: "write --limit 100, or --limit piqa=100".to_owned(),
        })?;
        match name {
            Some(name) => _ = limits.insert(name.trim().to_owned(), number),
            None => limit = Some(number),
        }
    }
    let names = names(suites);
    if let Some(unknown) = limits.keys().find(|k| !names.contains(k)) {
        return Err(PlanError::Unknown {
            place: "limits".to_owned(),
            kind: "suite",
            name: unknown.clone(),
            nearest: names,
        });
    }
    Ok((limit, limits))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use std::io::Write as _;

    fn written(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::Builder::new().suffix(".toml").tempfile().expect("a file");
        file.write_all(text.as_bytes()).expect("written");
        file
    }

    #[test]
    fn a_small_file_with_defaults() {
        let file = written("base = \"b.gguf\"\nout = \"r\"\nlimit = 7\n[limits]\nperplexity = 3\n");
        let config = read(Some(file.path()), &SweepFlags::default(), 4).expect("valid");
        assert_eq!(config.recipes.len(), 13);
        assert_eq!(config.suites.len(), 4);
        assert_eq!((config.limit_of("piqa"), config.limit_of("perplexity")), (Some(7), Some(3)));
        assert_eq!(config.run.threads, 4);
    }

    /// Somebody who limits the layers in the file and turns fused attention on by a flag keeps the limit.
    #[test]
    fn a_flag_of_the_offload_leaves_the_rest_of_the_table() {
        let file = written(
            "base = \"b.gguf\"\nout = \"r\"\n[offload]\ngpu_layers = 5\nmain_gpu = 1\ntensor_split = [3, 1]\n",
        );
        let with = |offload: OffloadFlags| {
            let flags = SweepFlags { offload, ..SweepFlags::default() };
            read(Some(file.path()), &flags, 4).expect("valid").run.offload
        };
        let own = with(OffloadFlags::default());
        assert_eq!(
            (own.gpu_layers, own.main_gpu, own.tensor_split.as_slice()),
            (5, 1, [3.0, 1.0].as_slice())
        );
        let fused = OffloadFlags { flash_attn: Some(FlashAttn::On), ..OffloadFlags::default() };
        assert_eq!(with(fused), Offload { flash_attn: FlashAttn::On, ..own.clone() });
        let all = OffloadFlags { gpu_layers: Some(-1), tensor_split: vec![1.0], ..OffloadFlags::default() };
        assert_eq!(with(all), Offload { gpu_layers: -1, tensor_split: vec![1.0], ..own });
    }

    /// What users copy: the night of "A model of your own", every key of "The sweep file", and the recipe that it names.
    #[test]
    fn the_sweep_files_of_the_readme_can_be_read() {
        let readme = include_str!("../../README.md");
        let blocks = || readme.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
        let folder = tempfile::tempdir().expect("a folder");
        let recipe = blocks().find(|block| block.starts_with("type = ")).expect("a recipe");
        fs::write(folder.path().join("mine.toml"), recipe).expect("written");
        let sweeps: Vec<&str> = blocks().filter(|block| block.contains("\nout = ")).collect();
        assert_eq!(sweeps.len(), 2);
        for sweep in sweeps {
            let path = folder.path().join("night.toml");
            let named = format!("{:?}", folder.path().join("mine.toml"));
            fs::write(&path, sweep.replace("\"mine.toml\"", &named)).expect("written");
            let config =
                read(Some(&path), &SweepFlags::default(), 4).unwrap_or_else(|e| panic!("{e}:\n{sweep}"));
            assert!(config.recipes.len() > 6 && config.judging.decide.is_some());
        }
    }

    #[test]
    fn recipes_as_tables() {
        let text = "base = \"b\"\nrecipes = [\"Q8_0\", { type = \"Q4_0\", kv = \"q8_0\" }]\n\
                    [[recipe]]\nname = \"mine\"\ntype = \"Q4_K_M\"\nimatrix = true\n\
                    [[recipe.tensors]]\nmatch = \"ffn_down\"\nlayers = \"first 1\"\ntype = \"Q8_0\"\n\
                    [[recipe]]\ngguf = \"dir/theirs.gguf\"\nkv = { k = \"q8_0\", v = \"f16\" }\n";
        let file = written(text);
        let config = read(Some(file.path()), &SweepFlags::default(), 1).expect("valid");
        let names: Vec<String> = config.recipes.iter().map(Recipe::variant).collect();
        assert_eq!(names, ["base", "Q8_0", "Q4_0/kv=q8_0", "mine", "theirs/kv=q8_0,f16"]);
    }

    #[test]
    fn a_speed_surface() {
        let file =
            written("base = \"b\"\n[speed]\nrepetitions = 2\n\ndepths = [0, 4096]\nparallel = [1, 2]\n");
        let config = read(Some(file.path()), &SweepFlags::default(), 1).expect("valid");
        assert_eq!((config.speed.depths, config.speed.parallel), (vec![0, 4096], vec![1, 2]));
        assert_eq!((config.speed.prompt, config.speed.generate, config.run.repetitions), (vec![512], 128, 2));
        assert!(config.speed_place.ends_with(", line 5"), "{}", config.speed_place);
        let plain = written("base = \"b\"\n[speed]\ngenerate = 128\n");
        let config = read(Some(plain.path()), &SweepFlags::default(), 1).expect("valid");
        assert!(config.speed.is_default() && config.run.repetitions == 5);
    }

    #[test]
    fn early_stopping_and_a_budget() {
        let read = |text: &str, flags: &SweepFlags| {
            let config = read(Some(written(text).path()), flags, 1).expect("valid");
            (config.judging.decide.map(|d| (d.scope, d.precision)), config.run.budget_s)
        };
        let none = SweepFlags::default();
        let head = "base = \"b\"\nout = \"r\"\n";
        assert_eq!(read(&format!("{head}budget = \"1h 30m\"\n"), &none), (None, Some(5400.0)));
        let text = format!("{head}tolerance = 0.03\ndecide = true\n");
        assert_eq!(read(&text, &none), (Some((Scope::Composite, 0.015)), None));
        let text = format!("{head}decide = \"suites\"\nprecision = 0.1\n");
        assert_eq!(read(&text, &none), (Some((Scope::Suites, 0.1)), None));
        let flags = SweepFlags {
            decide: Some(Scope::Composite),
            precision: Some(0.05),
            budget: Some("90m".to_owned()),
            ..SweepFlags::default()
        };
        assert_eq!(read(&text, &flags), (Some((Scope::Composite, 0.05)), Some(5400.0)));
        assert_eq!(read(&format!("{head}decide = false\n"), &none), (None, None));
    }

    #[test]
    fn a_cluster_and_its_threads() {
        let text = "base = \"b\"\nout = \"r\"\nexecutor = \"slurm\"\n[slurm]\ncpus = 3\ntime = \"2h\"\n";
        let file = written(text);
        let config = read(Some(file.path()), &SweepFlags::default(), 8).expect("valid");
        let slurm = config.slurm.expect("a cluster");
        assert_eq!((config.run.threads, slurm.cpus, slurm.time_s), (3, Some(3), Some(7200)));
        let local = SweepFlags { executor: Some(Executor::Local), ..SweepFlags::default() };
        let config = read(Some(file.path()), &local, 8).expect("valid");
        assert_eq!((config.run.threads, config.slurm), (8, None));
    }

    #[test]
    fn flags_win() {
        let file = written("base = \"b.gguf\"\nrecipes = [\"Q8_0\"]\n");
        let flags = SweepFlags { recipes: vec!["Q4_0".to_owned()], ..SweepFlags::default() };
        let config = read(Some(file.path()), &flags, 1).expect("valid");
        assert_eq!(config.recipes[1].variant(), "Q4_0");
    }

    #[test]
    fn errors_name_file_and_line() {
        let cases = [
            ("base = \"b\"\nrecipies = []\n", "line 2: unknown field `recipies`"),
            (
                "base = \"b\"\nrecipes = [\n \"Q8_0\",\n \"Q4_KM\" ]\n",
                "line 4: no recipe is called \"Q4_KM\"",
            ),
            ("base = \"b\"\nsuites = [\"piqqa\"]\n", "line 2: no suite is called \"piqqa\""),
            ("base = \"b\"\nrecipes = [\"Q8_0\", \"q8_0\"]\n", "line 2: recipe \"Q8_0\" is named twice"),
            ("base = 3\n", "line 1: invalid type"),
            ("base = \"b\"\n[speed]\ndepth = [1]\n", "line 3: unknown field `depth`"),
            (
                "base = \"b\"\n[speed]\nprompt = [1]\ndepths = [9, 9]\n",
                "line 4: [speed] depths names 9 twice",
            ),
            ("base = \"b\"\n[speed]\n\ngenerate = 0\n", "line 4: [speed] generate = 0 is not between"),
            ("base = \"b\"\n[speed]\nparallel = []\n", "line 3: [speed] parallel is empty"),
            ("base = \"b\"\n[speed]\nparallel = [-1]\n", "line 3: invalid value"),
            (
                "base = \"b\"\nrecipes = [\"Q4_0\"]\n[[speculate]]\ntarget = \"base\"\ndraft = \"Q4_1\"\n",
                "line 3: no variant is called \"Q4_1\"",
            ),
            (
                "base = \"b\"\nrecipes = [\"Q4_0\"]\n[[speculate]]\ntarget = \"base\"\ndraft = \"Q4_0\"\nlengths = [0]\n",
                "line 3: a draft of 0 tokens",
            ),
            (
                "base = \"b\"\n\ndecide = \"all\"\n",
                "line 3: decide = \"all\" is not something to decide about",
            ),
            ("base = \"b\"\ndecide = 3\n", "line 2: "),
            ("base = \"b\"\nprecision = 0.1\n", "line 2: a precision is asked for, and nothing stops"),
            ("base = \"b\"\ndecide = true\nprecision = 2.0\n", "line 3: a precision of 2 is not between"),
            ("base = \"b\"\nbudget = \"8\"\n", "line 2: \"8\" is not a time that a sweep can take"),
            ("base = \"b\"\nbudget = \"8h\"\ntime_minutes = 3\n", "a time for each trial cuts off"),
            ("base = \"b\"\nexecutor = \"slrum\"\n", "line 2: no executor is called \"slrum\""),
            ("base = \"b\"\nexecutor = \"slurm\"\ndecide = true\n", "which trials on a cluster cannot"),
            ("base = \"b\"\n[slurm]\npartion = \"x\"\n", "line 3: unknown field `partion`"),
            ("base = \"b\"\n[slurm]\ncpus = 1\n\ntime = \"2\"\n", "line 5: \"2\" is not a time"),
            ("base = \"b\"\n[slurm]\n\nmemory = \"lots\"\n", "line 4: "),
            (
                "base = \"b\"\n[slurm]\noptions = [\"--array=1-3\"]\n",
                "line 3: [slurm] the option --array is the sweep's own",
            ),
            ("base = \"b\"\nrecipes = [{ typ = \"Q8_0\" }]\n", "line 2: unknown field `typ`"),
            ("base = \"b\"\n[[recipe]]\nname = \"x\"\ntyp = \"Q8_0\"\n", "line 4: unknown field `typ`"),
            (
                "base = \"b\"\n[[recipe]]\nname = \"x\"\ntype = \"Q8_0\"\n[[recipe.tensors]]\nmatch = \"(\"\ntype = \"Q8_0\"\n",
                "line 5: the pattern \"(\" is no regular expression",
            ),
        ];
        for (text, expected) in cases {
            let file = written(text);
            let error = read(Some(file.path()), &SweepFlags::default(), 1).expect_err(text);
            assert!(error.to_string().contains(expected), "{error} lacks {expected}");
        }
    }
}
