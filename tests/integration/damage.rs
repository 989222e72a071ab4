//! Bits that flip in records: whichever it is, it is noticed, told, and only what it hit is done again; the tables then
//! end as they were.
//!
//! The long form is `scripts/faults`, which sets the two variables below.

use std::fs;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;

use crate::kill::tables;
use crate::mutate::Dice;
use crate::records::{find, losses, trials};
use crate::sandbox::{Outcome, Sandbox};
use crate::targets::copy_folder;

/// How many flips of each kind of record, and the seed of their places.
const FLIPS: &str = "BITFRONTIER_FLIPS";
const SEED: &str = "BITFRONTIER_FLIP_SEED";

const WHAT: [&str; 6] = ["--recipes", "Q8_0", "--suites", "prose.toml", "quiz.toml", "--json-events"];

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

fn notes(swept: &Outcome) -> Vec<String> {
    let notes = swept.events().into_iter().filter(|e| e["event"] == "note");
    notes.filter_map(|e| e["message"].as_str().map(str::to_owned)).collect()
}

fn begun(swept: &Outcome) -> Vec<Value> {
    swept.events().into_iter().filter(|e| e["event"] == "trial_started").collect()
}

/// Flips a bit of a file. Nothing if the bit says the same either way: upper and lower case of a checksum's digits.
fn flip(dice: &mut Dice, path: &Path) -> Option<()> {
    let mut bytes = fs::read(path).expect("read");
    let (at, bit) = (dice.below(bytes.len()), dice.below(8));
    let is_case = bit == 5 && bytes[at].is_ascii_alphabetic();
    bytes[at] ^= 1 << bit;
    fs::write(path, bytes).expect("written");
    (!is_case).then_some(())
}

/// What is wrong after a flip in one of the records that `is_kind` names.
fn flipped(
    sandbox: &Sandbox,
    dice: &mut Dice,
    is_kind: impl Fn(&str) -> bool,
    expected: &[(&'static str, String)],
) -> Vec<String> {
    // As it was: a bit of a line that an earlier flip made worthless would rightly be nobody's concern.
    fs::remove_dir_all(sandbox.path("out")).expect("removed");
    copy_folder(&sandbox.path("whole"), &sandbox.path("out"));
    let names: Vec<String> = sandbox.files("out").into_iter().filter(|name| is_kind(name)).collect();
    let name = &names[dice.below(names.len())];
    let told = flip(dice, &sandbox.path("out").join(name));
    let swept = sandbox.sweep(&WHAT);
    let mut wrong = Vec::new();
    let mut check = |good: bool, what: String| {
        if !good {
            wrong.push(format!("{name}: {what}"));
        }
    };
    check(swept.code == Some(0), format!("{swept:?}"));
    if swept.code != Some(0) {
        return wrong;
    }
    let about = notes(&swept);
    let is_told = about.iter().any(|note| note.contains("damaged"));
    check(told.is_none() || is_told, format!("nothing was told: {about:?}"));
    let id = name.split('/').nth(1).unwrap_or_default();
    // A variant's file is gone when its sweep is done, and has to be there for a trial of it.
    let is_other = |event: &Value| event["id"] != id && event["kind"] != "quantize";
    let others: Vec<Value> = begun(&swept).into_iter().filter(is_other).collect();
    check(others.is_empty(), format!("other trials were done again: {others:?}, {about:?}"));
    if is_told && !name.starts_with("trials/") {
        let aside = sandbox.files("out").iter().any(|n| n.starts_with(&format!("{name}.damaged-")));
        check(aside, "it was not set aside".to_owned());
    }
    for lost in losses(&sandbox.path("out")) {
        check(false, lost);
    }
    for (ours, theirs) in tables(sandbox).iter().zip(expected) {
        check(ours == theirs, format!("{} differs", ours.0));
    }
    // Nothing is told twice.
    let again = notes(&sandbox.sweep(&WHAT));
    check(again.iter().all(|note| !note.contains("damaged")), format!("it is told again: {again:?}"));
    wrong
}

#[test]
fn flipped_bits_in_any_record_are_told_and_made_good() {
    let (flips, seed) = (setting(FLIPS, 2), setting(SEED, 1));
    let sandbox = Sandbox::new();
    sandbox.sweep(&WHAT).ends(0);
    let expected = tables(&sandbox);
    copy_folder(&sandbox.path("out"), &sandbox.path("whole"));
    let mut dice = Dice::new(seed, "flips");
    let mut wrong = Vec::new();
    for _ in 0..flips {
        wrong.extend(flipped(&sandbox, &mut dice, |name| name == "manifest.json", &expected));
        wrong.extend(flipped(&sandbox, &mut dice, |name| name.ends_with("/trial.json"), &expected));
        wrong.extend(flipped(
            &sandbox,
            &mut dice,
            |name| name.starts_with("trials/") && Path::new(name).extension().is_some_and(|e| e == "jsonl"),
            &expected,
        ));
    }
    for what in &wrong {
        println!("{what}");
    }
    println!("flips, seed {seed}: {} runs, 0 losses, {} failures", 3 * flips, wrong.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Clocks that jump between two runs: what is on record counts, and not when it was written.
#[test]
fn times_of_records_do_not_matter() {
    let sandbox = Sandbox::new();
    sandbox.sweep(&WHAT).ends(0);
    let expected = tables(&sandbox);
    let far = Duration::from_secs(1 << 32);
    for time in [UNIX_EPOCH + Duration::from_secs(1), UNIX_EPOCH + far] {
        for folder in ["out", "cache", ""] {
            for name in sandbox.files(folder) {
                let path = sandbox.path(folder).join(name);
                let file = fs::File::options().append(true).open(path).expect("open");
                file.set_modified(time).expect("set");
            }
        }
        let swept = sandbox.sweep(&WHAT).ends(0);
        assert_eq!(begun(&swept), Vec::<Value>::new());
        assert!(tables(&sandbox) == expected);
    }
}

#[test]
fn a_damaged_record_is_told_by_every_reader() {
    let sandbox = Sandbox::new();
    sandbox.sweep(&WHAT).ends(0);
    let damage = |name: &str| {
        let path = sandbox.path("out").join(name);
        let mut bytes = fs::read(&path).expect("read");
        // A digit of the last number: it would be believed without a checksum.
        let at = bytes.iter().rposition(u8::is_ascii_digit).expect("a digit");
        bytes[at] ^= 1;
        fs::write(path, bytes).expect("written");
    };
    damage("manifest.json");
    for args in [&["report", "out"][..], &["show", "out"], &["export", "out"]] {
        sandbox.run(args).ends(3).tells(&["out/manifest.json is damaged", "its checksum does not fit"]);
    }
    sandbox.sweep(&WHAT).ends(0);
    // A trial whose file is damaged is told as one that is still to be done.
    let speed = trials(&sandbox.path("out")).into_iter().find(|t| t.kind == "speed").expect("one");
    damage(&format!("trials/{}/trial.json", speed.id));
    sandbox.run(&["report", "out"]).ends(0);
    let variants = sandbox.read("out/variants.csv");
    assert!(variants.contains("speed: pending"), "{variants}");
}

/// Every third line of the journals of one trial is lost: those questions are asked again, and to the last digit they score as
/// they did beside their neighbours.
#[test]
fn questions_asked_again_score_to_the_last_digit_as_before() {
    let sandbox = Sandbox::new();
    sandbox.sweep(&WHAT).ends(0);
    let quiz = find(&sandbox.path("out"), "Q8_0", "quiz");
    let folder = format!("out/trials/{}", quiz.id);
    let journals = |sandbox: &Sandbox| -> Vec<String> {
        let is_journal = |name: &String| Path::new(name).extension().is_some_and(|ext| ext == "jsonl");
        sandbox.files(&folder).into_iter().filter(is_journal).map(|name| format!("{folder}/{name}")).collect()
    };
    let lines = |sandbox: &Sandbox| -> Vec<String> {
        let text: String = journals(sandbox).iter().map(|name| sandbox.read(name)).collect();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    let before = lines(&sandbox);
    let kept: Vec<&str> =
        before.iter().enumerate().filter(|(at, _)| at % 3 > 0).map(|(_, line)| line.as_str()).collect();
    fs::write(sandbox.path(&journals(&sandbox)[0]), kept.join("\n") + "\n").expect("written");
    let swept = sandbox.sweep(&WHAT).ends(0);
    assert!(begun(&swept).iter().any(|event| event["id"] == quiz.id), "{swept:?}");
    assert_eq!(lines(&sandbox), before);
}
