//! How many tokens a question takes, and how often it is solved.
//!
//! Of a question with an answer the prompt is read and the answer is written. Of one with turns the record has the last
//! prompt, which holds all that was said before: a box that keeps the conversation in its cache reads it once, without
//! the answers that it wrote itself. An API is sent the whole conversation each turn and counts what it has seen before
//! as cached input: about half the last prompt for every turn but the last.

use crate::analyze::generated;
use crate::analyze::planned::{Sheet, SuiteKind};
use crate::analyze::report::MetricRow;
use crate::journal::record::{ItemRecord, ItemScore};

/// Of items with several turns, how many there were.
const TURNS: &str = "turns";

/// What a question takes, on average.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Task {
    /// Variant.
    pub variant: String,
    /// Suite.
    pub suite: String,
    /// Tokens read.
    pub input: f64,
    /// Tokens that an API counts as cached on top.
    pub cached: f64,
    /// Tokens written.
    pub output: f64,
    /// Share of the questions that are solved: the suite's main metric.
    pub solved: f64,
}

/// Every variant on every suite of written answers that has a value.
pub(super) fn tasks(sheet: &Sheet, metrics: &[MetricRow]) -> Vec<Task> {
    let mut tasks = Vec::new();
    for variant in &sheet.manifest.variants {
        for suite in sheet.manifest.suites.iter().filter(|s| sheet.kind_of(s) == SuiteKind::Answers) {
            let own = |m: &&MetricRow| {
                m.variant == variant.name && m.suite == suite.name && m.metric == suite.main_metric
            };
            let solved = metrics.iter().find(own).and_then(|m| m.value);
            let trial = sheet.suite_trial(&variant.name, &suite.name);
            let tokens = trial.and_then(|trial| mean(trial.items()));
            if let Some((solved, [input, cached, output])) = solved.zip(tokens) {
                let (variant, suite) = (variant.name.clone(), suite.name.clone());
                tasks.push(Task { variant, suite, input, cached, output, solved });
            }
        }
    }
    tasks
}

/// Mean over the items that could be scored: read, cached, written.
fn mean(items: &[ItemRecord]) -> Option<[f64; 3]> {
    let each: Vec<[f64; 3]> = items.iter().filter_map(tokens).collect();
    let count = each.len() as f64;
    let sum = each.iter().fold([0.0; 3], |sum, one| [0, 1, 2].map(|i: usize| at(sum, i) + at(*one, i)));
    (count > 0.0).then(|| sum.map(|total| total / count))
}

fn at(values: [f64; 3], place: usize) -> f64 {
    values.get(place).copied().unwrap_or(0.0)
}

fn tokens(item: &ItemRecord) -> Option<[f64; 3]> {
    let ItemScore::Generated(score) = &item.score else { return None };
    let (prompt, answers) = (score.prompt_tokens as f64, &score.answers);
    let written: f64 = answers.iter().map(|answer| answer.tokens as f64).sum();
    let count = answers.len() as f64;
    let last = answers.last()?.tokens as f64;
    Some(if generated::part(item, TURNS).is_some() {
        let earlier = written - last;
        [(prompt - earlier).max(0.0), (count - 1.0) * prompt / 2.0, written]
    } else {
        // Several answers are several tries at the task.
        [prompt, 0.0, written / count]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::record::GeneratedScore;
    use crate::journal::record::{GeneratedAnswer, Grade, Stop};

    fn item(prompt_tokens: u64, answers: &[u64], turns: bool) -> ItemRecord {
        let answer = |tokens: &u64| GeneratedAnswer {
            output: String::new(),
            graded: None,
            tokens: *tokens,
            seconds: 1.0,
            stop: Stop::End,
        };
        let metric = if turns { TURNS } else { "exact_match" };
        let score = ItemScore::Generated(Box::new(GeneratedScore {
            prompt: String::new(),
            prompt_tokens,
            reference: String::new(),
            answers: answers.iter().map(answer).collect(),
            extracted: Vec::new(),
            outcomes: Vec::new(),
            grades: vec![Grade { metric: metric.to_owned(), right: 1.0, of: 1.0 }],
        }));
        ItemRecord { index: 0, id: String::new(), score }
    }

    #[test]
    fn answers_are_tries_and_turns_are_one_task() {
        // Two answers of 20 and 40 tokens to a prompt of 100: 100 read, 30 written.
        assert_eq!(tokens(&item(100, &[20, 40], false)), Some([100.0, 0.0, 30.0]));
        // Three turns of 50, 30 and 10 tokens, the last prompt 400: 400 - 80 read once; two turns re-send about 200 each.
        assert_eq!(tokens(&item(400, &[50, 30, 10], true)), Some([320.0, 400.0, 90.0]));
        assert_eq!(tokens(&item(100, &[], false)), None);
        let failed = ItemRecord {
            index: 1,
            id: String::new(),
            score: ItemScore::Failed { reason: "too long".to_owned() },
        };
        assert_eq!(
            mean(&[item(100, &[20], false), failed, item(200, &[40], false)]),
            Some([150.0, 0.0, 30.0])
        );
        assert_eq!(mean(&[]), None);
    }
}
