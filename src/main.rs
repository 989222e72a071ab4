//! Parse, run, print the error and its hint, exit code.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bitfrontier::analyze::Report;
use bitfrontier::analyze::cost::claims;
use bitfrontier::child;
use bitfrontier::cli::{
    Cli, Command, CostArgs, EvalArgs, ExecutorArg, FitArgs, FlashAttnArg, FormatArg, ImatrixArgs, ImportArgs,
    ModelArgs, PerplexityArgs, PlaceArgs, PlanArgs, QuantizeArgs, RecipesCommand, RecommendArgs,
    ReferenceArgs, ScoredArg, ScoringArg, SearchArgs, SpeculateArgs, SpeedArgs, StoreArg, SuitesCommand,
    SweepArgs, WhatArgs, WritingArgs,
};
use bitfrontier::cluster;
use bitfrontier::doctor;
use bitfrontier::endpoint::ask::Asker;
use bitfrontier::endpoint::{Endpoint, EndpointError, Key};
use bitfrontier::error::Error;
use bitfrontier::fetch::{Cache, Expect, FetchEvent, Fetcher, Source};
use bitfrontier::gguf::{self, Described as _};
use bitfrontier::journal::record::Status;
use bitfrontier::manual;
use bitfrontier::plan::config::{self, FlashAttn, Offload, OffloadFlags, SweepConfig, SweepFlags};
use bitfrontier::plan::generate::Thinking;
use bitfrontier::plan::judging::Scope;
use bitfrontier::plan::native_command::llama_quantize;
use bitfrontier::plan::recipe::{ImatrixUse, KvTypes, Recipe};
use bitfrontier::plan::slurm::Executor;
use bitfrontier::plan::speed::SpeedGrid;
use bitfrontier::plan::suite::ChoiceScoring;
use bitfrontier::plan::target::Target;
use bitfrontier::plan::text::Scored;
use bitfrontier::plan::{catalogue, speculation, suite};
use bitfrontier::progress::{Chunks, Progress, Stages, Tensors};
use bitfrontier::render::terminal::summary_table;
use bitfrontier::render::{
    cost as cost_lines, fit as fit_table, parquet, recommend as recommend_lines,
    speculation as speculation_lines, text_report, versus,
};
use bitfrontier::run::event::Event;
use bitfrontier::run::fit;
use bitfrontier::run::perplexity::{self, Base, Question};
use bitfrontier::run::prepare::Prepared;
use bitfrontier::run::quantize::{Order, quantize};
use bitfrontier::run::reference::Priced;
use bitfrontier::run::study;
use bitfrontier::run::{
    check, compare, cost, data, derive, eval, export, forecast, foreign, found, imatrix, import, machine,
    manifest, one_trial, prepare, recommend, reference, show, speculate, speed,
};
use bitfrontier::score::base_store::StoreChoice;
use bitfrontier::shown;
use bitfrontier::sweep::{Swept, sweep};
use clap::Parser as _;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::LookAtNode { results } => cluster::look(&results, &interruption()),
        Command::Worker { parent } => return child::run_worker(parent),
        Command::SandboxStage { setting } => return child::run_stage(&setting),
        Command::Sweep(args) => run_sweep(&args),
        Command::Plan(args) => run_plan(&args),
        Command::RunTrial { results, id } => run_trial(&results, &id),
        Command::Eval(args) => run_eval(&args),
        Command::Perplexity(args) => run_perplexity(args),
        Command::Imatrix(args) => run_imatrix(args),
        Command::Speed(args) => run_speed(args),
        Command::Speculate(args) => run_speculate(&args),
        Command::Quantize(args) => run_quantize(args),
        Command::Search(args) => run_search(args),
        Command::Recipes { command: None, json } => list_recipes(json),
        Command::Recipes { command: Some(RecipesCommand::Show { recipe, base }), .. } => {
            show_recipe(&recipe, base.as_deref())
        }
        Command::Fit(args) => run_fit(args),
        Command::Report { results, format } => run_report(&results, format),
        Command::Show { results, json } => run_show(&results, json),
        Command::Export { results, out } => run_export(&results, out.as_deref()),
        Command::Import(args) => run_import(args),
        Command::Recommend(args) => run_recommend(args),
        Command::Compare { a, b, items, json } => run_compare(&a, &b, items, json),
        Command::Cost(args) => run_cost(args),
        Command::Reference(args) => run_reference(&args),
        Command::Fetch { sources, sha256 } => run_fetch(&sources, sha256),
        Command::Suites { command } => run_suites(command),
        Command::Doctor { network, json } => run_doctor(network, json),
        Command::Completions { shell } => {
            print_bytes(&manual::completions(shell));
            Ok(())
        }
        Command::Man { out } => run_man(out.as_deref()),
    };
    match result.and_then(|()| printed()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let hint = error.hint().map_or(String::new(), |hint| format!(" (hint: {hint})"));
            say(&format!("error: {error}{hint}"));
            ExitCode::from(error.exit_code())
        }
    }
}

fn run_doctor(network: bool, json: bool) -> Result<(), Error> {
    let examined = doctor::examine::examine(network, &interruption());
    if json {
        print_json(&examined)?;
    } else {
        print(&examined.text());
    }
    match examined.failed {
        0 => Ok(()),
        failed => Err(Error::Unfit { failed, checks: examined.checks.len() }),
    }
}

fn run_man(out: Option<&Path>) -> Result<(), Error> {
    let Some(folder) = out else {
        let page = manual::page().map_err(|error| Error::Worker(error.to_string()))?;
        print_bytes(&page);
        return Ok(());
    };
    let pages =
        manual::write_pages(folder).map_err(|source| Error::Write { path: folder.to_owned(), source })?;
    print(&format!("man pages: {}/*.1 ({pages})\n", folder.display()));
    Ok(())
}

/// Most letters of a line on stderr: it may quote what a stranger wrote.
const LONGEST_LINE: usize = 4000;

/// A line on stderr, in which nothing that a stranger wrote steers the terminal; nobody left to read it is no reason to
/// fail.
fn say(line: &str) {
    let mut line = shown::line(line);
    if line.len() > LONGEST_LINE {
        // What is told stands at both ends.
        let letters: Vec<char> = line.chars().collect();
        let (begin, end) =
            (letters.iter().take(LONGEST_LINE / 2), letters.len().saturating_sub(LONGEST_LINE / 2));
        line = begin.chain(&['…']).chain(letters.iter().skip(end)).collect();
    }
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Text on stdout, in which nothing that a stranger wrote steers the terminal.
fn print(text: &str) {
    print_as_it_is(&shown::lines(text));
}

/// Why stdout could not be written.
static UNPRINTED: OnceLock<std::io::Error> = OnceLock::new();

/// Text on stdout with its colours, or JSON.
fn print_as_it_is(text: &str) {
    print_bytes(text.as_bytes());
}

fn print_bytes(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = out.write_all(bytes).and_then(|()| out.flush()) {
        // The first is the one that matters.
        let _ = UNPRINTED.set(error);
    }
}

/// Whether all that was to be printed was; a closed pipe (`| head`) is the reader's wish, a full disk is not.
fn printed() -> Result<(), Error> {
    match UNPRINTED.get() {
        Some(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::NoSpace(format!("what was to be printed could not be written: {error}")))
        }
        _ => Ok(()),
    }
}

/// Set by Ctrl-C and SIGTERM.
fn interruption() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&flag);
    // Without a handler the signals end the program as they always do.
    let _ = ctrlc::set_handler(move || seen.store(true, Ordering::Relaxed));
    flag
}

fn run_sweep(args: &SweepArgs) -> Result<(), Error> {
    let interrupted = interruption();
    let config = read_config(&args.what)?;
    let folder = config.out.clone();
    let mut progress = Progress::new(args.quiet, args.json_events);
    let result = sweep(config, &interrupted, &mut |event| progress.hear(event));
    progress.finish();
    let swept = result.map_err(with_resume)?;
    write_parquet(&folder, args.format)?;
    if !args.quiet && !args.json_events {
        show_report(&swept.report, &folder);
    }
    if swept.unfinished > 0 {
        let Swept { unfinished, trials, .. } = &swept;
        say(&format!(
            "the time was up for {unfinished} of {trials} trials; the same command goes on with them"
        ));
    }
    if swept.failed > 0 {
        return Err(Error::TrialsFailed { failed: swept.failed, trials: swept.trials });
    }
    Ok(())
}

/// Tables that are written take the Parquet files beside them away; here they come back, if they are asked for.
fn write_parquet(folder: &Path, format: FormatArg) -> Result<(), Error> {
    if format == FormatArg::Parquet {
        parquet::write_all(folder)?;
    }
    Ok(())
}

/// Tells the command that goes on, as it was typed.
fn with_resume(error: Error) -> Error {
    let typed = || {
        let words = std::env::args();
        words
            .map(|w| if w.contains(char::is_whitespace) { format!("'{w}'") } else { w })
            .collect::<Vec<_>>()
            .join(" ")
    };
    match error {
        Error::Interrupted { .. } => Error::Interrupted { resume: typed() },
        Error::Stopped { .. } => Error::Stopped { again: typed() },
        other => other,
    }
}

fn show_report(report: &Report, folder: &Path) {
    let stdout = std::io::stdout();
    let colour = stdout.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let width =
        std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok()).or_else(terminal_width).unwrap_or(120);
    print_as_it_is(&summary_table(report, width, colour));
    if !report.about.base_note.is_empty() {
        print(&format!("\nbase: {}. {}\n", report.about.base, report.about.base_note));
    }
    print(&format!("\ntables: {0}/*.csv\ncharts: {0}/charts/\npage:   {0}/report.html\n", folder.display()));
}

/// Tells what is known of a sweep, and writes nothing.
fn run_show(results: &Path, json: bool) -> Result<(), Error> {
    let (manifest, trials) = derive::read_lean(results)?;
    let report = derive::report(results, &manifest, &trials)?;
    if json {
        print_json(&report)?;
    } else {
        show_report(&report, results);
    }
    Ok(())
}

fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

fn run_plan(args: &PlanArgs) -> Result<(), Error> {
    let interrupted = interruption();
    let config = read_config(&args.what)?;
    if args.write {
        one_trial::in_rounds(&config)?;
    }
    let mut tell = |event: &Event| {
        if let Event::Note { message } = event {
            say(message);
        }
    };
    let prepared =
        prepare::prepare(config, Cache::from_env()?, &interrupted, &mut tell).map_err(with_resume)?;
    let forecast = forecast::forecast(&prepared, &interrupted).map_err(with_resume)?;
    if args.json {
        print_json(&forecast)?;
    } else {
        print(&forecast.text());
    }
    match forecast.refusal {
        // What carries the trials out may be larger than what plans them.
        Some(refusal) if args.write => say(&format!("warning: on this machine {refusal}")),
        Some(refusal) => return Err(Error::DoesNotFit(refusal)),
        None => {}
    }
    if args.write {
        write_plan(&prepared)?;
    }
    Ok(())
}

fn write_plan(prepared: &Prepared) -> Result<(), Error> {
    let folder = &prepared.config.out;
    manifest::writable(folder)?;
    let mut note = |event: &Event| {
        if let Event::Note { message } = event {
            say(message);
        }
    };
    manifest::write(folder, &manifest::of(prepared, folder, &mut note)?)?;
    manifest::write_plan(prepared, folder, &manifest::jobs(folder)?)?;
    say(&format!("the plan is written; each trial: bitfrontier run-trial {} ID", folder.display()));
    Ok(())
}

/// One trial, and what came of it in a line.
fn run_trial(results: &Path, id: &str) -> Result<(), Error> {
    let mut tell = |event: &Event| match event {
        Event::Note { message } => say(message),
        Event::Retry { reason, .. } => say(&format!("once more: {reason}")),
        _ => {}
    };
    let trial = one_trial::run(results, id, &interruption(), &mut tell).map_err(with_resume)?;
    print(&format!("{id} {}{}\n", trial.status.word(), colon(&trial.reason)));
    match trial.status {
        Status::Done | Status::Pending => Ok(()),
        _ => Err(Error::TrialsFailed { failed: 1, trials: 1 }),
    }
}

fn colon(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

fn run_perplexity(args: PerplexityArgs) -> Result<(), Error> {
    let interrupted = interruption();
    let cache = Cache::from_env()?;
    let locate = |model: &str| prepare::locate_model("model", &model.parse()?, &cache, false);
    let base = match (args.base.base, args.base.base_store, args.base.base_logits) {
        (Some(model), ..) => Base::Model(locate(&model)?),
        (_, Some(store), _) => Base::Store(store),
        (.., Some(file)) => Base::Logits(file),
        (None, None, None) => Base::None,
    };
    let question = Question {
        model: locate(&args.gguf)?,
        text: args.text,
        chat: args.chat,
        n_ctx: args.ctx,
        scored: match args.scored {
            ScoredArg::Half => Scored::Half,
            ScoredArg::All => Scored::All,
        },
        stride: args.stride,
        chunks: args.chunks,
        base,
        save_store: args.save_base_store,
        save_logits: args.save_base_logits,
        threads: args.model.threads.unwrap_or_else(machine::cores),
        offload: offload(&args.model).over(Offload::default()),
        yarn: args.model.yarn,
        store: match args.store {
            StoreArg::Auto => StoreChoice::Auto,
            StoreArg::Hidden => StoreChoice::Hidden,
            StoreArg::Logits => StoreChoice::Logits,
        },
    };
    let chunks = Chunks::new();
    let report =
        perplexity::evaluate(&question, &cache, &interrupted, &mut |done, all| chunks.tell(done, all));
    chunks.finish();
    let report = report.map_err(with_resume)?;
    if args.json {
        print_json(&report)?;
    } else {
        print(&text_report::lines(&report));
    }
    Ok(())
}

fn thinking(text: &str) -> Result<Thinking, Error> {
    let hint = Some("write --thinking on, --thinking off or --thinking 512".to_owned());
    text.parse().map_err(|reason| Error::Refused { reason: format!("--thinking: {reason}"), hint })
}

fn writing(args: &WritingArgs) -> Result<eval::Writing, Error> {
    Ok(eval::Writing {
        chat: args.chat,
        thinking: args.thinking.as_deref().map(thinking).transpose()?,
        tokens: args.tokens,
        samples: args.samples,
        temperature: args.temperature,
        seed: args.seed,
    })
}

fn run_eval(args: &EvalArgs) -> Result<(), Error> {
    let interrupted = interruption();
    let cache = Cache::from_env()?;
    let question = eval::Question {
        model: prepare::locate_model("model", &args.gguf.parse()?, &cache, false)?,
        suite: args.suite.clone(),
        pick: eval::Pick::new(args.limit, args.items.as_deref())?,
        fewshot: args.fewshot,
        scoring: args.scoring.map(|scoring| match scoring {
            ScoringArg::LmEval => ChoiceScoring::LmEval,
            ScoringArg::LlamaPerplexity => ChoiceScoring::LlamaPerplexity,
        }),
        writing: writing(&args.writing)?,
        exact: args.exact,
        unsafe_exec: args.unsafe_exec,
        noise: args.noise,
        threads: args.model.threads.unwrap_or_else(machine::cores),
        offload: offload(&args.model).over(Offload::default()),
        yarn: args.model.yarn,
    };
    // Before hours of work, not behind them.
    args.records.as_ref().map_or(Ok(()), |path| eval::check_place(path))?;
    let items = Chunks::counting("item");
    let evaluated =
        eval::evaluate(&question, &cache, &interrupted, &mut |done, all| items.tell(done, Some(all)));
    items.finish();
    let (evaluated, records) = evaluated.map_err(with_resume)?;
    if args.json {
        print_json(&evaluated)?;
    } else {
        print(&evaluated.text());
    }
    // Told before it is written, so that a full disk does not take it all.
    args.records.as_ref().map_or(Ok(()), |path| eval::write_records(path, &records))?;
    match evaluated.failed_because {
        Some(reason) => Err(Error::Unscored { failed: evaluated.failed, items: evaluated.items, reason }),
        None => Ok(()),
    }
}

fn run_imatrix(args: ImatrixArgs) -> Result<(), Error> {
    let interrupted = interruption();
    let cache = Cache::from_env()?;
    let question = imatrix::Question {
        model: prepare::locate_model("base", &args.base.parse()?, &cache, false)?,
        dataset: args.text.to_string_lossy().into_owned(),
        text: args.text,
        n_ctx: args.ctx,
        chunks: args.chunks,
        process_output: args.process_output,
        out: args.out,
        threads: args.model.threads.unwrap_or_else(machine::cores),
        offload: offload(&args.model).over(Offload::default()),
        yarn: args.model.yarn,
    };
    let chunks = Chunks::new();
    let done = imatrix::compute(&question, &interrupted, &mut |done, all| chunks.tell(done, Some(all)));
    chunks.finish();
    let done = done.map_err(with_resume)?;
    if !args.quiet {
        print(&imatrix::told(&question.out, &done));
    }
    Ok(())
}

fn run_speed(args: SpeedArgs) -> Result<(), Error> {
    let interrupted = interruption();
    let question = speed::Question {
        model: prepare::locate_model("model", &args.gguf.parse()?, &Cache::from_env()?, false)?,
        grid: SpeedGrid {
            prompt: args.prompt,
            generate: args.generate,
            depths: args.depths,
            parallel: args.parallel,
        },
        repetitions: args.repetitions,
        threads: args.model.threads.unwrap_or_else(machine::cores),
        offload: offload(&args.model).over(Offload::default()),
        yarn: args.model.yarn,
    };
    let chunks = Chunks::counting("repetition");
    let timed = speed::measure(&question, &interrupted, &mut |done, all| chunks.tell(done, Some(all)));
    chunks.finish();
    let timed = timed.map_err(with_resume)?;
    if args.json {
        print_json(&timed)?;
    } else {
        print(&timed.text());
    }
    match timed.failed() {
        0 => Ok(()),
        failed => {
            let of = timed.points.len();
            Err(Error::Worker(format!("{failed} of {of} points could not be measured; their rows say why")))
        }
    }
}

fn run_speculate(args: &SpeculateArgs) -> Result<(), Error> {
    let interrupted = interruption();
    let cache = Cache::from_env()?;
    let locate = |what: &str, model: &str| prepare::locate_model(what, &model.parse()?, &cache, false);
    let question = speculate::Question {
        target: locate("target", &args.target)?,
        draft: locate("draft", &args.draft)?,
        prompts: match &args.prompts {
            Some(path) => speculation::read(path)?,
            None => speculation::built_in()?,
        },
        lengths: speculation::lengths(&args.draft_lengths).map_err(|reason| Error::Refused {
            reason: format!("--draft-lengths: {reason}"),
            hint: Some("write --draft-lengths 2,4,8".to_owned()),
        })?,
        tokens: args.tokens,
        min_probability: args.min_probability,
        tolerance: args.tolerance,
        repetitions: args.repetitions,
        threads: args.model.threads.unwrap_or_else(machine::cores),
        offload: offload(&args.model).over(Offload::default()),
        yarn: args.model.yarn,
    };
    let runs = Chunks::new();
    let answer = speculate::speculate(&question, &interrupted, &mut |done, all| runs.tell(done, Some(all)));
    runs.finish();
    let answer = answer.map_err(with_resume)?;
    if args.json {
        print_json(&answer)?;
    } else {
        print(&speculation_lines::lines(&answer.rows));
    }
    answer.verified(args.tolerance)
}

fn run_quantize(args: QuantizeArgs) -> Result<(), Error> {
    let interrupted = interruption();
    let cache = Cache::from_env()?;
    let mut weights = Recipe::parse(&args.recipe, "RECIPE")?.weights;
    if weights.search.is_some() {
        return Err(Error::Refused {
            reason: format!("the types of {} are yet to be searched", args.recipe),
            hint: Some("`bitfrontier search` does that and makes the file".to_owned()),
        });
    }
    if weights.ftype.is_none() {
        return Err(Error::Refused {
            reason: format!("{} is a model, not a recipe to make one by", args.recipe),
            hint: Some("`bitfrontier recipes` lists the recipes".to_owned()),
        });
    }
    if let Some(path) = args.imatrix {
        weights = weights.with_imatrix(ImatrixUse::File(path));
    }
    let order = Order {
        base: prepare::locate_model("base model", &args.base.parse()?, &cache, false)?,
        weights,
        output: args.output,
        threads: args.threads.unwrap_or_else(machine::cores),
        allow_requantize: args.allow_requantize,
        dry_run: args.dry_run,
    };
    let tensors = Tensors::new();
    let outcome = quantize(&order, &interrupted, |done, all| tensors.tell(done, all));
    tensors.finish();
    let outcome = outcome.map_err(with_resume)?;
    if args.json {
        return print_json(&outcome);
    }
    print(&outcome.text());
    Ok(())
}

fn run_search(args: SearchArgs) -> Result<(), Error> {
    let interrupted = interruption();
    let cache = Cache::from_env()?;
    let target = match (args.target.bpw, args.target.bytes, args.target.like) {
        (Some(bpw), ..) => Target::bpw(bpw, "--bpw")?,
        (_, Some(text), _) => Target::bytes(&text, "--bytes")?,
        (.., like) => Target::like(&like.unwrap_or_default(), "--like")?,
    };
    let order = study::Order {
        base: prepare::locate_model("base model", &args.base.parse()?, &cache, false)?,
        target,
        imatrix: args.imatrix,
        text: args.text,
        n_ctx: args.ctx,
        threads: args.threads.unwrap_or_else(machine::cores),
        tells_path: true,
    };
    let limit = found::limit(args.minutes)?;
    let bar = Stages::new();
    let found =
        found::find_and_make(&order, &args.out, limit, &cache, &interrupted, &mut |what, done, all| {
            bar.tell(what, done, all);
        });
    bar.finish();
    let found = found.map_err(with_resume)?;
    if args.json {
        return print_json(&found);
    }
    print(&found.text());
    Ok(())
}

fn run_fit(args: FitArgs) -> Result<(), Error> {
    let question = fit::Question {
        model: args.model,
        place: place(args.place)?,
        recipes: args.recipes.iter().flat_map(|r| split_recipes(r)).collect(),
    };
    let answer = fit::fit(&question, &Cache::from_env()?, &interruption()).map_err(with_resume)?;
    if args.json {
        return print_json(&answer);
    }
    print(&fit_table::text(&answer));
    Ok(())
}

fn list_recipes(json: bool) -> Result<(), Error> {
    if json {
        return print_json(&catalogue::rows());
    }
    print(&catalogue::text());
    Ok(())
}

fn show_recipe(name: &str, base: Option<&str>) -> Result<(), Error> {
    let weights = Recipe::parse(name, "recipes show")?.weights;
    let cache = Cache::from_env()?;
    let model = match base {
        Some(base) => {
            Some(gguf::open_model(prepare::locate_model("base model", &base.parse()?, &cache, false)?)?)
        }
        None => None,
    };
    if let Some(file) = catalogue::as_file(name) {
        print(&file);
    }
    let by_layer = weights.overrides.iter().any(|rule| rule.layers.is_some());
    if by_layer && model.is_none() {
        print(
            "\n# its rules for layers depend on the model: --base MODEL prints the llama-quantize command\n",
        );
        return Ok(());
    }
    let blocks = model.and_then(|m| m.block_count()).unwrap_or(0);
    let command = llama_quantize(&weights, blocks, "BASE.gguf", "OUT.gguf")
        .map_err(|reason| Error::Refused { reason, hint: None })?;
    print(&format!("\n# the same with llama.cpp's own tool:\n# {}\n", command.replace('\n', "\n# ")));
    Ok(())
}

fn print_json(value: &impl serde::Serialize) -> Result<(), Error> {
    let json = serde_json::to_string_pretty(value).map_err(|e| Error::Worker(e.to_string()))?;
    print_as_it_is(&format!("{}\n", shown::json(&json)));
    Ok(())
}

fn run_report(results: &Path, format: FormatArg) -> Result<(), Error> {
    let report = derive::all(results)?;
    write_parquet(results, format)?;
    show_report(&report, results);
    Ok(())
}

fn run_export(results: &Path, out: Option<&Path>) -> Result<(), Error> {
    let exported = export::export(results, out)?;
    print(&format!("card: {}\nrecords: {}\n", exported.card.display(), exported.archive.display()));
    if !exported.told.is_empty() {
        say(&format!("note: the records tell paths of this machine: {}", exported.told.join(", ")));
    }
    Ok(())
}

fn run_import(args: ImportArgs) -> Result<(), Error> {
    let order =
        foreign::Order { results: args.results, files: args.files, suite: args.suite, model: args.model };
    let (files, report) = foreign::import(&order)?;
    for file in &files {
        print(&foreign::told(file));
    }
    show_report(&report, &order.results);
    Ok(())
}

fn place(args: PlaceArgs) -> Result<fit::Place, Error> {
    Ok(fit::Place {
        vram: args.vram,
        ram: args.ram,
        device: args.device,
        ctx: args.ctx,
        kv: KvTypes::parse(&args.kv, "--kv")?,
        parallel: args.parallel,
        margin: args.margin,
    })
}

fn run_recommend(args: RecommendArgs) -> Result<(), Error> {
    let question = recommend::Question {
        results: args.results,
        place: place(args.place)?,
        min_tg: args.min_tg,
        max_drop: args.max_drop,
        monthly_tokens: args.monthly_tokens,
    };
    let answer = recommend::recommend(&question, &interruption()).map_err(with_resume)?;
    if args.json {
        return print_json(&answer);
    }
    print(&recommend_lines::lines(&answer));
    Ok(())
}

fn run_compare(a: &str, b: &str, items: usize, json: bool) -> Result<(), Error> {
    let told = compare::compare(a, b)?;
    if json {
        return print_json(&told);
    }
    print(&versus::lines(&told, items));
    Ok(())
}

fn run_cost(args: CostArgs) -> Result<(), Error> {
    let order =
        cost::Order { costs: args.costs, settings: args.cost, workload: args.workload, volume: args.volume };
    let folder = args.results.as_deref();
    let (costs, text) = cost::costs(&order, folder)?;
    if args.print_costs {
        print(&text);
        return Ok(());
    }
    let report = folder.map(|folder| cost::cost(&order, folder)).transpose()?;
    let claims = if args.claims { claims(&costs) } else { Vec::new() };
    if args.json {
        return print_json(
            &serde_json::json!({ "costs": report.map(|report| report.costs), "claims": claims }),
        );
    }
    if let (Some(report), Some(folder)) = (&report, folder) {
        print(&cost_lines::lines(report));
        print(&format!("\ntable: {0}/costs.csv\ncharts: {0}/charts/cost-*\n", folder.display()));
    }
    print(&cost_lines::claim_lines(&claims));
    Ok(())
}

fn run_reference(args: &ReferenceArgs) -> Result<(), Error> {
    let interrupted = interruption();
    let cache = Cache::from_env()?;
    let costs_file = args.costs.clone().or_else(|| args.results.as_ref().map(|dir| dir.join(derive::COSTS)));
    let order =
        cost::Order { costs: costs_file.clone().filter(|path| path.exists()), ..cost::Order::default() };
    let (costs, _) = cost::costs(&order, None)?;
    let given = args.price_in.zip(args.price_out);
    let given = given.map(|(usd_in, usd_out)| [usd_in, args.price_cached.unwrap_or(usd_in), usd_out]);
    let priced = match given {
        Some(given) => Some(Priced::given(&args.model, given)),
        None => Priced::listed(&costs, args.api.as_deref(), &args.model)?,
    };
    let question = reference_question(args)?;
    say(&format!("asking {} over the network", question.asker.endpoint.url()));
    if question.asker.endpoint.tells_its_key() {
        say("warning: the key travels unencrypted (hint: use https)");
    }
    // A file that does not take them is told of before anything is paid.
    if let (Some(_), Some(priced), Some(path)) = (given, &priced, &costs_file) {
        priced.keep(path)?;
    }
    let (mut told, mut failed, mut of) = (Vec::new(), 0, 0);
    for suite in &args.suites {
        let items = Chunks::counting("item");
        let priced = priced.as_ref();
        let result = reference::measure(&question, suite, priced, &cache, &interrupted, &mut |done, all| {
            items.tell(done, Some(all));
        });
        items.finish();
        let found = result.map_err(with_resume)?;
        if let (Some(entry), Some(path)) = (&found.reference, &costs_file) {
            reference::keep(entry, path)?;
        }
        if !args.json {
            print(&found.text());
        }
        (failed, of) = (failed + found.failed, of + found.items);
        told.push(found);
    }
    if args.json {
        print_json(&told)?;
    } else if let Some(path) = &costs_file {
        print(&format!("references: {}\n", path.display()));
    }
    if failed > 0 {
        return Err(Error::ItemsFailed { failed, items: of, folder: args.records.clone() });
    }
    Ok(())
}

fn reference_question(args: &ReferenceArgs) -> Result<reference::Question, Error> {
    let key = match &args.key_env {
        Some(variable) => {
            Some(Key::from_env(variable).ok_or_else(|| EndpointError::NoKey { variable: variable.clone() })?)
        }
        None => Key::from_env("OPENAI_API_KEY"),
    };
    let extra = args.extra.as_deref().map_or(Ok(serde_json::Map::new()), serde_json::from_str);
    let extra = extra.map_err(|error| Error::Refused {
        reason: format!("--extra is no JSON object: {error}"),
        hint: Some("write --extra '{\"reasoning_effort\": \"low\"}'".to_owned()),
    })?;
    let timeout = std::time::Duration::from_secs(args.timeout);
    Ok(reference::Question {
        asker: Asker {
            endpoint: Endpoint::new(&args.endpoint, key, args.retries, timeout)?,
            model: args.model.clone(),
            extra,
        },
        pick: eval::Pick::new(args.limit, None)?,
        writing: writing(&args.writing)?,
        parallel: args.parallel,
        records: args.records.clone(),
        unsafe_exec: args.unsafe_exec,
    })
}

fn run_fetch(sources: &[String], sha256: Option<String>) -> Result<(), Error> {
    let cache = Cache::from_env()?;
    let fetcher = Fetcher::new(&cache);
    let sha256 = sha256.filter(|_| sources.len() == 1);
    for text in sources {
        let source: Source = text.parse()?;
        let expect = Expect { sha256: sha256.clone(), archive_sha256: None };
        let file = fetcher.fetch(&source, &expect, &|event| tell_fetch(&event))?;
        print(&format!("{}\n", file.path.display()));
    }
    Ok(())
}

fn tell_fetch(event: &FetchEvent<'_>) {
    if let Some(line) = event.line() {
        say(&line);
    }
}

fn run_suites(command: SuitesCommand) -> Result<(), Error> {
    match command {
        SuitesCommand::List => list_suites(),
        SuitesCommand::Show { name, item, fewshot, json } => {
            let shown = show::show(&name, item, fewshot, &Cache::from_env()?)?;
            if json {
                return print_json(&shown);
            }
            print(&shown.text());
            Ok(())
        }
        SuitesCommand::Check { names, base, calibration, json } => {
            check_suites(&names, base.as_deref(), calibration.as_deref(), json)
        }
        SuitesCommand::Import { task, out, data, examples } => {
            import_suite(&import::Order { task, out, data, examples })
        }
        SuitesCommand::Fetch { names, all } => fetch_suites(&names, all),
    }
}

fn check_suites(
    names: &[String],
    base: Option<&str>,
    calibration: Option<&Path>,
    json: bool,
) -> Result<(), Error> {
    let cache = Cache::from_env()?;
    let interrupted = interruption();
    let base =
        base.map(|base| prepare::locate_model("base model", &base.parse()?, &cache, false)).transpose()?;
    let checker = check::Checker::new(base.as_deref(), calibration, &cache, &interrupted)?;
    let mut told = Vec::new();
    for name in names {
        let one = checker.check(name)?;
        if !json {
            print(&one.text());
        }
        told.push(one);
    }
    if json {
        print_json(&told)?;
    }
    let wrong: Vec<_> = told.iter().filter(|one| !one.findings.is_empty()).collect();
    if wrong.is_empty() {
        return Ok(());
    }
    let findings = wrong.iter().map(|one| one.findings.len()).sum();
    let suites = wrong.iter().map(|one| one.suite.as_str()).collect::<Vec<_>>().join(", ");
    Err(Error::Found { findings, suites })
}

fn list_suites() -> Result<(), Error> {
    let cache = Cache::from_env()?;
    for name in suite::built_in() {
        let suite = suite::parse(&suite::find(name, "suites list")?)?;
        let there = data::locate_all(&suite, &cache, false).is_ok();
        let partial =
            if suite.partial.is_empty() { String::new() } else { format!(" (partial: {})", suite.partial) };
        print(&format!(
            "{:<16} {:<12} {}{partial}; {}\n",
            suite.name,
            if there { "in the cache" } else { "not fetched" },
            suite.title,
            suite.licence
        ));
    }
    Ok(())
}

fn fetch_suites(names: &[String], all: bool) -> Result<(), Error> {
    let cache = Cache::from_env()?;
    let fetcher = Fetcher::new(&cache);
    let names: Vec<String> =
        if all { suite::built_in().map(str::to_owned).collect() } else { names.to_vec() };
    for name in names {
        let suite = suite::parse(&suite::find(&name, "suites fetch")?)?;
        let paths = data::fetch_all(&suite, &cache, &fetcher, &|event| tell_fetch(&event))?;
        if paths.is_empty() {
            print(&format!("{}: nothing to fetch; the base model writes it\n", suite.name));
        }
        for path in paths {
            print(&format!("{}: {}\n", suite.name, path.display()));
        }
    }
    Ok(())
}

fn import_suite(order: &import::Order) -> Result<(), Error> {
    import::import(order, &say, &print)
}

fn read_config(what: &WhatArgs) -> Result<SweepConfig, Error> {
    Ok(config::read(what.file.as_deref(), &flags(what), machine::cores())?)
}

fn flags(what: &WhatArgs) -> SweepFlags {
    SweepFlags {
        base: what.base.clone(),
        recipes: what.recipes.iter().flat_map(|r| split_recipes(r)).collect(),
        suites: what.suites.clone(),
        out: what.out.clone(),
        threads: what.model.threads,
        limits: what.limit.clone(),
        seed: what.seed,
        keep_variants: what.keep_variants,
        fetch: what.fetch,
        no_retry: what.no_retry,
        allow_requantize: what.allow_requantize,
        yarn: what.model.yarn,
        unsafe_exec: what.unsafe_exec,
        hang_seconds: what.hang_seconds,
        time_minutes: what.time,
        budget: what.budget.clone(),
        decide: what.decide.as_deref().and_then(Scope::parse),
        precision: what.precision,
        repetitions: what.repetitions,
        tolerance: what.tolerance,
        weights: what.weight.clone(),
        offload: offload(&what.model),
        executor: what.executor.map(|executor| match executor {
            ExecutorArg::Local => Executor::Local,
            ExecutorArg::Slurm => Executor::Slurm,
        }),
    }
}

/// Splits at commas, but `Q4_0/kv=q8_0,q4_0` is one recipe: a KV type in lower case goes with what precedes it.
fn split_recipes(text: &str) -> Vec<String> {
    let mut recipes: Vec<String> = Vec::new();
    for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        let is_kv = config::is_kv_type(part);
        match recipes.last_mut() {
            Some(last) if is_kv && last.contains("/kv=") && !last.contains(',') => {
                last.push(',');
                last.push_str(part);
            }
            _ => recipes.push(part.to_owned()),
        }
    }
    recipes
}

fn offload(model: &ModelArgs) -> OffloadFlags {
    OffloadFlags {
        gpu_layers: model.gpu_layers,
        main_gpu: model.main_gpu,
        tensor_split: model.tensor_split.clone(),
        flash_attn: model.flash_attn.map(|flash_attn| match flash_attn {
            FlashAttnArg::Auto => FlashAttn::Auto,
            FlashAttnArg::On => FlashAttn::On,
            FlashAttnArg::Off => FlashAttn::Off,
        }),
    }
}
