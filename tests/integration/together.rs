//! Two sweeps, and three, on the same folder and cache at once: whatever they do twice, nothing is torn or lost, and the
//! tables end as those of one.
//!
//! The long form is `scripts/faults`, which sets the two variables below.

use std::time::Duration;

use crate::kill::tables;
use crate::mutate::Dice;
use crate::records::{losses, manifest, trials};
use crate::sandbox::{Outcome, Sandbox, sweep_args};

const ROUNDS: &str = "BITFRONTIER_TOGETHER";
const SEED: &str = "BITFRONTIER_TOGETHER_SEED";

const WHAT: [&str; 7] = ["--recipes", "Q8_0", "Q4_K_M", "TQ2_0", "--suites", "prose.toml", "quiz.toml"];

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

/// Starts them with a pause between, and waits for all.
fn at_once(sandbox: &Sandbox, sweeps: &[&[&str]], pause: Duration) -> Vec<Outcome> {
    let mut running = Vec::new();
    for args in sweeps {
        running.push(sandbox.start(&sweep_args(args)));
        std::thread::sleep(pause);
    }
    running.into_iter().map(|program| Outcome::of(&program.wait_with_output().expect("waited"))).collect()
}

/// What was measured twice is no loss; what is missing or torn is.
fn lost(sandbox: &Sandbox) -> Vec<String> {
    let mut wrong = losses(&sandbox.path("out"));
    wrong.retain(|what| !what.ends_with(" times"));
    let torn = trials(&sandbox.path("out")).into_iter().filter(|t| t.torn > 0);
    wrong.extend(torn.map(|t| format!("{} {} has {} torn lines", t.variant, t.suite, t.torn)));
    wrong
}

#[test]
fn sweeps_of_one_folder_at_once_end_as_one() {
    let (rounds, seed) = (setting(ROUNDS, 2), setting(SEED, 1));
    let alone = Sandbox::new();
    alone.sweep(&WHAT).ends(0);
    let expected = tables(&alone);
    let mut dice = Dice::new(seed, "together");
    let (mut lost_in_all, mut wrong) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let sandbox = Sandbox::new();
        let pause = Duration::from_millis(dice.below(1500) as u64);
        let count = 2 + dice.below(2);
        let sweeps = vec![&WHAT[..]; count];
        for outcome in at_once(&sandbox, &sweeps, pause) {
            if outcome.code != Some(0) {
                wrong.push(format!("round {round}: {outcome:?}"));
            }
        }
        lost_in_all.extend(lost(&sandbox));
        for (ours, theirs) in tables(&sandbox).iter().zip(&expected) {
            if ours != theirs {
                wrong.push(format!("round {round}: {} differs:\n{}\nalone:\n{}", ours.0, ours.1, theirs.1));
            }
        }
        let hidden = sandbox.files("cache").into_iter().filter(|n| n.contains("/."));
        wrong.extend(hidden.map(|name| format!("round {round}: {name} was left behind")));
    }
    for what in lost_in_all.iter().chain(&wrong) {
        println!("{what}");
    }
    println!("together, seed {seed}: {rounds} runs, {} losses, {} failures", lost_in_all.len(), wrong.len());
    assert!(lost_in_all.is_empty() && wrong.is_empty());
}

#[test]
fn two_plans_of_one_folder_at_once_are_both_in_the_tables() {
    let sandbox = Sandbox::new();
    let one = ["--recipes", "Q8_0", "--suites", "quiz.toml", "--limit", "6"];
    let other = ["--recipes", "Q4_0", "--suites", "prose.toml", "--limit", "3"];
    for outcome in at_once(&sandbox, &[&one, &other], Duration::ZERO) {
        outcome.ends(0);
    }
    let record = manifest(&sandbox.path("out"));
    let names = |key: &str| {
        let mut names: Vec<_> =
            record[key].as_array().expect("a list").iter().map(|v| v["name"].to_string()).collect();
        names.sort();
        names
    };
    assert_eq!(names("variants"), [r#""Q4_0""#, r#""Q8_0""#, r#""base""#]);
    assert_eq!(names("suites"), [r#""prose""#, r#""quiz""#]);
    assert_eq!(lost(&sandbox), Vec::<String>::new());
}
