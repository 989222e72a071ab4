//! Every item's raw scores, one compressed CSV file a trial: what the aggregates can be computed from again, in
//! any language. Questions have one line each, or one an answer that was written; texts have one line a scored token.

use super::csv::table;
use super::file::{RenderError, replace};
use crate::analyze::choice::{judge, mass};
use crate::analyze::{ChunkScore, ItemRecord, ItemScore, Stop, Verdict};
use crate::files;
use flate2::read::GzDecoder;
use flate2::{Compression, GzBuilder};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::Path;

const QUESTIONS: [&str; 16] = [
    "index",
    "id",
    "answer",
    "picked",
    "picked_norm",
    "picked_bytes",
    "acc",
    "acc_norm",
    "acc_bytes",
    "truncated",
    "prompt",
    "choices",
    "logprobs",
    "status",
    "reason",
    "true_mass",
];
const ANSWERS: [&str; 18] = [
    "index",
    "id",
    "sample",
    "reference",
    "output",
    "graded",
    "extracted",
    "grades",
    "tokens",
    "seconds",
    "stop",
    "prompt_tokens",
    "prompt",
    "status",
    "reason",
    "verdict",
    "error",
    "sandbox",
];
const TOKENS: [&str; 7] = ["index", "position", "nll", "nll_base", "kld", "delta_p", "same_top"];

/// A question. What a failed one lacks is empty; `choices` and `logprobs` are JSON arrays.
#[derive(Debug, Default, Serialize)]
struct QuestionRow<'a> {
    index: u64,
    id: &'a str,
    answer: Option<u32>,
    picked: Option<usize>,
    picked_norm: Option<usize>,
    picked_bytes: Option<usize>,
    acc: Option<u8>,
    acc_norm: Option<u8>,
    acc_bytes: Option<u8>,
    truncated: Option<u32>,
    prompt: Option<&'a str>,
    choices: Option<String>,
    logprobs: Option<String>,
    status: &'static str,
    reason: String,
    /// What the true choices have of the probability, where several may be true; all that such an item is judged by.
    true_mass: Option<f64>,
}

/// An answer that was written; `graded` is what was left of it without a thought, if there was one. `extracted` and
/// `grades` belong to the item, and are JSON: answers by filter, and `[right, of]` by metric.
#[derive(Debug, Default, Serialize)]
struct AnswerRow<'a> {
    index: u64,
    id: &'a str,
    sample: Option<usize>,
    reference: Option<&'a str>,
    output: Option<&'a str>,
    graded: Option<&'a str>,
    extracted: Option<String>,
    grades: Option<String>,
    tokens: Option<u64>,
    seconds: Option<f64>,
    stop: Option<Stop>,
    prompt_tokens: Option<u64>,
    prompt: Option<&'a str>,
    status: &'static str,
    reason: &'a str,
    /// What came of the answer's program, and what kept it in, where answers are programs.
    verdict: Option<Verdict>,
    error: Option<&'a str>,
    sandbox: Option<&'a str>,
}

/// A scored token; `position` counts the scored positions of its chunk from 0. A chunk that failed is one line
/// with nothing but its index.
#[derive(Debug, Serialize)]
struct TokenRow {
    index: u64,
    position: Option<u64>,
    nll: Option<f32>,
    nll_base: Option<f32>,
    kld: Option<f32>,
    delta_p: Option<f32>,
    same_top: Option<u8>,
}

/// Writes `items/<trial_id>.csv.gz` into `folder`. The same items give the same bytes: the compressed file
/// carries neither a time nor a name. Without any chunk the file has the columns of questions.
///
/// # Errors
/// If the file cannot be written, or the id is not a plain file name.
pub fn write_items(folder: &Path, trial_id: &str, items: &[ItemRecord]) -> Result<(), RenderError> {
    if !is_file_name(trial_id) {
        return Err(RenderError::TrialId { id: trial_id.to_owned() });
    }
    let path = folder.join("items").join(format!("{trial_id}.csv.gz"));
    let text = items.iter().any(|item| matches!(item.score, ItemScore::Chunk(_)));
    let written = items.iter().any(|item| matches!(item.score, ItemScore::Generated(_)));
    let plain = if text {
        table(&TOKENS, &items.iter().flat_map(token_rows).collect::<Vec<_>>())
    } else if written {
        table(&ANSWERS, &items.iter().flat_map(answer_rows).collect::<Vec<_>>())
    } else {
        table(&QUESTIONS, &items.iter().map(question_row).collect::<Vec<_>>())
    };
    let plain = plain.map_err(|source| RenderError::Format { path: path.clone(), source })?;
    if is_there(&path, &plain) {
        return Ok(());
    }
    let packed = gzip(&plain).map_err(|source| RenderError::Write { path: path.clone(), source })?;
    replace(&path, &packed)
}

/// Whether a file has this content already: tens of thousands are sooner unpacked than packed and written.
fn is_there(path: &Path, plain: &[u8]) -> bool {
    let Ok(packed) = files::read_record(path) else { return false };
    let mut there = Vec::with_capacity(plain.len() + 1);
    // One that grows beyond what is to be there need not be unpacked to its end.
    let read = GzDecoder::new(packed.as_slice()).take(plain.len() as u64 + 1).read_to_end(&mut there);
    read.is_ok() && there == plain
}

/// Ids are hashes; anything else could lead out of the folder.
fn is_file_name(id: &str) -> bool {
    !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

fn gzip(plain: &[u8]) -> std::io::Result<Vec<u8>> {
    // 255 says "unknown system": the same byte wherever it is written.
    let mut packer = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::new(6));
    packer.write_all(plain)?;
    packer.finish()
}

fn question_row(item: &ItemRecord) -> QuestionRow<'_> {
    let true_mass = mass(&item.score);
    let verdict = judge(&item.score).map(|verdict| Some(verdict).filter(|_| true_mass.is_none()));
    let failed = verdict.as_ref().err().cloned();
    let verdict = verdict.ok().flatten();
    let picked = verdict.map(|v| v.picked);
    let right = verdict.map(|v| v.right().map(u8::from));
    let row = QuestionRow {
        index: item.index,
        id: &item.id,
        picked: picked.map(|[sum, _, _]| sum),
        picked_norm: picked.map(|[_, norm, _]| norm),
        picked_bytes: picked.map(|[_, _, bytes]| bytes),
        acc: right.map(|[sum, _, _]| sum),
        acc_norm: right.map(|[_, norm, _]| norm),
        acc_bytes: right.map(|[_, _, bytes]| bytes),
        status: if failed.is_some() { "failed" } else { "scored" },
        reason: failed.unwrap_or_default(),
        true_mass,
        ..QuestionRow::default()
    };
    let Some(question) = item.score.question() else { return row };
    let texts: Vec<&str> = question.choices.iter().map(|c| c.text.as_str()).collect();
    // JSON has no infinity: serde_json writes null for it.
    let logprobs: Vec<f64> = question.choices.iter().map(|c| c.logprob).collect();
    QuestionRow {
        answer: Some(question.answer),
        truncated: Some(question.truncated),
        prompt: Some(&question.prompt),
        choices: serde_json::to_string(&texts).ok(),
        logprobs: serde_json::to_string(&logprobs).ok(),
        ..row
    }
}

fn answer_rows(item: &ItemRecord) -> Vec<AnswerRow<'_>> {
    let empty = || AnswerRow { index: item.index, id: &item.id, ..AnswerRow::default() };
    let score = match &item.score {
        ItemScore::Generated(score) => score,
        ItemScore::Failed { reason } => return vec![AnswerRow { status: "failed", reason, ..empty() }],
        ItemScore::Choice(_) | ItemScore::Judged(_) | ItemScore::Chunk(_) => {
            let reason = "it is no written answer";
            return vec![AnswerRow { status: "failed", reason, ..empty() }];
        }
    };
    let extracted: BTreeMap<&str, &[String]> =
        score.extracted.iter().map(|one| (one.filter.as_str(), one.answers.as_slice())).collect();
    let grades: BTreeMap<&str, [f64; 2]> =
        score.grades.iter().map(|grade| (grade.metric.as_str(), [grade.right, grade.of])).collect();
    let answers = score.answers.iter().enumerate();
    let outcome = |sample: usize| score.outcomes.get(sample);
    answers
        .map(|(sample, answer)| AnswerRow {
            verdict: outcome(sample).map(|outcome| outcome.verdict),
            error: outcome(sample).map(|outcome| outcome.error.as_str()),
            sandbox: outcome(sample).map(|outcome| outcome.guard.as_str()),
            sample: Some(sample),
            reference: Some(&score.reference),
            output: Some(&answer.output),
            graded: answer.graded.as_deref(),
            extracted: serde_json::to_string(&extracted).ok(),
            grades: serde_json::to_string(&grades).ok(),
            tokens: Some(answer.tokens),
            seconds: Some(answer.seconds),
            stop: Some(answer.stop),
            prompt_tokens: Some(score.prompt_tokens),
            prompt: Some(&score.prompt),
            status: "scored",
            ..empty()
        })
        .collect()
}

fn token_rows(item: &ItemRecord) -> Vec<TokenRow> {
    match &item.score {
        ItemScore::Chunk(chunk) => chunk_rows(item.index, chunk),
        ItemScore::Choice(_) | ItemScore::Judged(_) | ItemScore::Generated(_) | ItemScore::Failed { .. } => {
            vec![TokenRow {
                index: item.index,
                position: None,
                nll: None,
                nll_base: None,
                kld: None,
                delta_p: None,
                same_top: None,
            }]
        }
    }
}

fn chunk_rows(index: u64, chunk: &ChunkScore) -> Vec<TokenRow> {
    let at = |column: &[f32], place: usize| column.get(place).copied();
    let row = |place: usize| TokenRow {
        index,
        position: Some(place as u64),
        nll: at(&chunk.nll.0, place),
        nll_base: at(&chunk.nll_base.0, place),
        kld: at(&chunk.kld.0, place),
        delta_p: at(&chunk.delta_p.0, place),
        same_top: chunk.same_top.get(place).copied(),
    };
    (0..chunk.nll.0.len()).map(row).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::analyze::{ChoiceScore, ChoiceScoring, F32Array, QuestionScore};

    fn item(index: u64, score: ItemScore) -> ItemRecord {
        ItemRecord { index, id: format!("q{index}"), score }
    }

    fn question(logprobs: [f64; 2]) -> ItemScore {
        let choices = ["a, \"b\"", "line\nbreak"].into_iter().zip(logprobs).map(|(text, logprob)| {
            ChoiceScore { text: text.to_owned(), logprob, tokens: 1, chars: 2, bytes: 20, greedy: None }
        });
        ItemScore::Choice(Box::new(QuestionScore {
            prompt: "Q?".to_owned(),
            answer: 1,
            choices: choices.collect(),
            truncated: 3,
            scoring: ChoiceScoring::default(),
            labels: Vec::new(),
        }))
    }

    fn unpacked(items: &[ItemRecord]) -> String {
        let folder = tempfile::tempdir().unwrap();
        write_items(folder.path(), "ab12", items).unwrap();
        let packed = fs::read(folder.path().join("items/ab12.csv.gz")).unwrap();
        assert_eq!(packed[4..8], [0; 4], "no time in the header");
        let mut text = String::new();
        GzDecoder::new(packed.as_slice()).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn questions_have_a_line_each_and_failed_ones_their_reason() {
        let failed = ItemScore::Failed { reason: "too long".to_owned() };
        let items =
            [item(0, question([-2.0, -1.5])), item(1, failed), item(2, question([-1.0, f64::NEG_INFINITY]))];
        let text = unpacked(&items);
        let expected = QUESTIONS.join(",")
            + "\n"
            + r#"0,q0,1,1,1,1,1,1,1,3,Q?,"[""a, \""b\"""",""line\nbreak""]","[-2.0,-1.5]",scored,,"#
            + "\n1,q1,,,,,,,,,,,,failed,too long,\n"
            + r#"2,q2,1,,,,,,,3,Q?,"[""a, \""b\"""",""line\nbreak""]","[-1.0,null]",failed,"#
            + "\"the log-probability of choice 1, counted from 0, is not finite\",\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn texts_have_a_line_a_token() {
        let chunk = ChunkScore {
            nll: F32Array(vec![0.1, 2.0]),
            nll_base: F32Array(vec![0.5, 1e-9]),
            kld: F32Array(vec![0.0, 0.25]),
            delta_p: F32Array(vec![-0.5, 0.125]),
            same_top: vec![1, 0],
            nonfinite: 0,
            moments: None,
        };
        let items = [
            item(0, ItemScore::Chunk(Box::new(chunk))),
            item(1, ItemScore::Failed { reason: String::new() }),
        ];
        assert_eq!(
            unpacked(&items),
            "index,position,nll,nll_base,kld,delta_p,same_top\n\
             0,0,0.1,0.5,0.0,-0.5,1\n\
             0,1,2.0,1e-9,0.25,0.125,0\n\
             1,,,,,,\n"
        );
    }

    #[test]
    fn no_items_is_a_header() {
        assert_eq!(unpacked(&[]), QUESTIONS.join(",") + "\n");
    }

    #[test]
    fn an_id_that_is_a_path_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for id in ["../x", "a/b", "", "a b", "."] {
            let error = write_items(folder.path(), id, &[]).unwrap_err();
            assert!(matches!(error, RenderError::TrialId { .. }));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
