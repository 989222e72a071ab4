//! The questions that flipped: which are kept, how often each text is, and what is told of the rest.

use super::{chunks, done, failed, manifest, question};
use crate::analyze::analysis;
use crate::analyze::cost::{self, DEFAULT};
use crate::analyze::flips::{BUDGET, all};
use crate::analyze::page::background;
use crate::analyze::planned::Sheet;
use crate::journal::reader::TrialData;
use crate::journal::record::{ItemRecord, ItemScore, TrialKind};
use std::collections::BTreeSet;

const RIGHT: [f64; 3] = [-1.0, -9.0, -9.0];
const WRONG: [f64; 3] = [-9.0, -9.0, -1.0];

/// 200 questions whose answer is the first choice, of which those picked are answered wrongly.
fn answers(is_wrong: impl Fn(u64) -> bool, prompt: &str) -> Vec<ItemRecord> {
    let one = |index| {
        let mut item = question(index, 0, if is_wrong(index) { &WRONG } else { &RIGHT });
        if let ItemScore::Choice(question) = &mut item.score {
            question.prompt = format!("{prompt} {index}");
        }
        item
    };
    (0..200).map(one).collect()
}

#[test]
fn each_question_is_kept_once_and_the_rest_is_counted() {
    let manifest = manifest(&["base", "Q4_0", "Q2_K", "TQ1_0"]);
    let mut damaged = answers(|index| index >= 60, "Well?");
    damaged[199] = failed(199, "too long");
    let trials = [
        done(TrialKind::Suite, "base", "book", chunks()),
        done(TrialKind::Suite, "base", "quiz", answers(|index| index == 5, "Well?")),
        done(TrialKind::Suite, "Q4_0", "quiz", answers(|index| index == 7, "Well?")),
        done(TrialKind::Suite, "Q2_K", "quiz", damaged),
    ];
    let flips = all(&Sheet::new(&manifest, &trials), &reread(&trials));
    assert_eq!(flips.cap, 40);
    // A text has no questions.
    assert_eq!(flips.suites.iter().map(|s| s.suite.as_str()).collect::<Vec<_>>(), ["quiz"]);
    let quiz = &flips.suites[0];
    let counts: Vec<(&str, u64, u64, usize)> =
        quiz.variants.iter().map(|v| (v.variant.as_str(), v.lost, v.won, v.shown.len())).collect();
    assert_eq!(counts, [("Q4_0", 1, 1, 2), ("Q2_K", 139, 1, 40), ("TQ1_0", 0, 0, 0)]);
    assert_eq!(quiz.variants[1].trial, "Suite-Q2_K-quiz");
    // 5 flipped in both.
    assert_eq!(quiz.items.len(), 41);
    let ids: Vec<&str> = quiz.items.iter().take(3).map(|item| item.id.as_str()).collect();
    assert_eq!(ids, ["q5", "q7", "q60"]);
    let first = &quiz.variants[1].shown[0];
    let item = &quiz.items[first.item];
    assert!(!first.lost);
    let texts = [&item.prompt, &item.right, &item.base, &first.answer].map(String::as_str);
    assert_eq!(texts, ["Well? 5", "yes", "no", "yes"]);
}

#[test]
fn long_texts_leave_room_for_fewer() {
    let mut manifest = manifest(&["base", "Q2_K"]);
    let suite = manifest.suites[1].clone();
    let prompt = "word ".repeat(4000);
    let mut trials = Vec::new();
    for place in 0..100 {
        let name = format!("quiz_{place}");
        manifest.suites.push(crate::journal::record::SuiteRecord { name: name.clone(), ..suite.clone() });
        for (variant, is_wrong) in [("base", false), ("Q2_K", true)] {
            let trial = done(TrialKind::Suite, variant, &name, answers(|_| is_wrong, &prompt));
            manifest.trials.push(trial.spec.clone());
            trials.push(trial);
        }
    }
    let costs = cost::parse(DEFAULT, "costs.toml").unwrap();
    let told = background(&manifest, &trials, &analysis(&manifest, &trials, &costs), &reread(&trials));
    // 100 suites of 40 prompts with 4,000 characters are 16 MB, of 20 8 MB.
    assert_eq!(told.flips.cap, 20);
    let texts = told.flips.suites.iter().flat_map(|s| &s.items).map(|item| item.prompt.len());
    let bytes: usize = texts.sum();
    assert!(bytes > BUDGET / 2 && bytes <= BUDGET, "{bytes}");
    assert_eq!(told.flips.suites[1].variants[0].lost, 200);
    assert!(told.manifest.contains("\"quiz_99\"") && told.facts.contains(&("Seed", "1".to_owned())));
}

/// Reads texts again from the trials themselves.
fn reread(trials: &[TrialData]) -> impl Fn(&str, &BTreeSet<u64>) -> Vec<ItemRecord> {
    |id, places| {
        let own = trials.iter().filter(|trial| trial.spec.id == id).flat_map(|trial| &trial.items);
        own.filter(|item| places.contains(&item.index)).cloned().collect()
    }
}
