//! A sweep in a program of one's own: quantizes a base model by two recipes, evaluates them on one suite and prints what each
//! variant weighs and loses.
//!
//! ```text
//! cargo run --release --example embed -- BASE.gguf SUITE RESULTS
//! ```
//!
//! The first line of `main` is what an embedding program must not forget: bitfrontier starts the running program again as
//! its workers, which is how a crash inside llama.cpp stays one row of a table.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use bitfrontier::error::Error;
use bitfrontier::plan::config::{self, SweepFlags};
use bitfrontier::run::event::Event;
use bitfrontier::run::machine;
use bitfrontier::sweep::sweep;

fn main() -> ExitCode {
    if let Some(code) = bitfrontier::child::enter() {
        return code;
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [base, suite, results] = args.as_slice() else {
        eprintln!("usage: embed BASE.gguf SUITE RESULTS");
        return ExitCode::from(2);
    };
    match frontier(base, suite, results.into()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error} (hint: {})", error.hint().unwrap_or_default());
            ExitCode::from(error.exit_code())
        }
    }
}

fn frontier(base: &str, suite: &str, results: PathBuf) -> Result<(), Error> {
    // What is not said here is as on the command line without the flag.
    let flags = SweepFlags {
        base: Some(base.to_owned()),
        recipes: vec!["Q8_0".to_owned(), "Q4_0".to_owned()],
        suites: vec![suite.to_owned()],
        out: Some(results),
        repetitions: Some(1),
        ..SweepFlags::default()
    };
    let config = config::read(None, &flags, machine::cores())?;
    // Set to true, from a handler of signals or another thread, it ends the sweep so that it can go on later.
    let interrupted = AtomicBool::new(false);
    let swept = sweep(config, &interrupted, &mut |event| {
        if let Event::Note { message } = event {
            eprintln!("{message}");
        }
    })?;
    for variant in &swept.report.variants {
        let on_frontier = swept.report.on_frontier(&variant.variant).unwrap_or(false);
        let bpw = variant.bpw.unwrap_or(f64::NAN);
        println!("{}\t{bpw:.2}\t{}", variant.variant, if on_frontier { "frontier" } else { "" });
    }
    Ok(())
}
