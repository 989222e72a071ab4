//! Reading what was measured. Torn or flipped lines are left out and counted, never half believed; that item is
//! then missing and is measured again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

use crate::files;
use crate::journal::record::{
    ChoiceScore, ChoiceScoring, FORMAT, ItemRecord, ItemScore, Manifest, Outcome, QuestionScore, Status,
    Stopped, SuiteRecord, TrialFile, TrialSpec,
};
use crate::journal::sealed::{self, Unreadable};

/// Most items of a suite: as many rows as a data file may have.
const MOST_ITEMS: u64 = 10_000_000;

/// Longest name of a variant or a suite, in bytes: charts and tables are laid out by them.
const LONGEST_NAME: usize = 1000;

/// A results folder that cannot be read.
#[derive(Debug, Error)]
pub enum JournalError {
    /// Not a results folder, or not readable.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Torn, changed since it was written, or something else.
    #[error("{path} is damaged, or not a manifest of bitfrontier: {reason}")]
    Manifest {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A plan that is none.
    #[error("{path} is not a plan of bitfrontier: {reason}")]
    Plan {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// No plan was kept.
    #[error("{folder} has no plan that single trials can be carried out from")]
    NotPlanned {
        /// The results folder.
        folder: PathBuf,
    },
    /// A link in a results folder leads out of it.
    #[error("{path} is a link that leads out of the results folder")]
    LeadsOut {
        /// The link.
        path: PathBuf,
    },
    /// Written by a newer program.
    #[error("{path} has format {found}; this program reads up to {FORMAT}")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
    /// Results of another base model.
    #[error("{folder} holds results of another base model: {theirs}, not {ours}")]
    OtherBase {
        /// The results folder.
        folder: PathBuf,
        /// Its base.
        theirs: String,
        /// The base asked for.
        ours: String,
    },
}

impl JournalError {
    /// What the user can do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Some("name a folder that `bitfrontier sweep` wrote, such as results/quickstart".to_owned())
            }
            Self::Read { source, .. } if source.kind() == io::ErrorKind::InvalidData => {
                Some("take the folder as its sweep wrote it: links, pipes and devices are not read".to_owned())
            }
            Self::Write { source, .. } if files::is_full(source) => {
                Some("free some space; the same command then goes on where it stopped".to_owned())
            }
            Self::Write { .. } => {
                Some("check who may write there, or choose another folder with --out".to_owned())
            }
            Self::Newer { .. } => {
                Some("install a newer bitfrontier, or choose another folder with --out".to_owned())
            }
            Self::LeadsOut { .. } => Some(
                "what is written there would be written elsewhere: remove the link, or link the whole results folder".to_owned(),
            ),
            Self::OtherBase { .. } => Some("choose another folder with --out".to_owned()),
            Self::Manifest { .. } => Some(
                "the command that swept into this folder sets it aside and writes it anew; what was measured is kept"
                    .to_owned(),
            ),
            Self::Plan { .. } | Self::NotPlanned { .. } => {
                Some("write it with `bitfrontier plan ... --out DIR --write`".to_owned())
            }
            Self::Read { .. } => None,
        }
    }

    /// Whether the disk is full.
    pub fn no_space(&self) -> bool {
        matches!(self, Self::Write { source, .. } if files::is_full(source))
    }
}

/// Folders of a results folder in which files or folders are written.
const WRITTEN_TO: [&str; 7] = ["charts", "cluster", "export", "items", "logs", "stages", "trials"];

/// How much of a journal is in memory at a time, beside a line.
const BUFFER: usize = 64 << 10;
/// Longest line of a journal: of a longer one its pieces are damaged lines.
const LONGEST_LINE: u64 = 256 << 20;
/// Checksum and space before the JSON text of a journal line.
const LINE_HEAD: usize = 9;

/// All that is known of one trial.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialData {
    /// The trial.
    pub spec: TrialSpec,
    /// Where it stands.
    pub status: Status,
    /// Why it failed; empty otherwise.
    pub reason: String,
    /// Pieces of work that failed, over all invocations.
    pub failures: u32,
    /// Result of a quantize or speed trial, or what a suite cost.
    pub outcome: Option<Outcome>,
    /// Items by position, each once.
    pub items: Vec<ItemRecord>,
    /// Items there were at each look of a sweep that goes on in rounds.
    pub looks: Vec<u64>,
    /// How far each round after the first was to go.
    pub goals: Vec<u64>,
    /// Why it was stopped before its last item.
    pub stopped: Option<Stopped>,
    /// The node that carried it out last, where trials are spread over several.
    pub node: Option<String>,
    /// What was damaged and is left out.
    pub damaged: Damage,
}

/// Records that were torn or changed since they were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Damage {
    /// Lines of item journals.
    pub lines: u64,
    /// Whether the trial file is among them.
    pub file: bool,
}

/// Where a trial's file lies.
pub fn trial_file(folder: &Path, id: &str) -> PathBuf {
    trial_folder(folder, id).join("trial.json")
}

/// Where the plan of a results folder lies.
pub fn manifest_file(folder: &Path) -> PathBuf {
    folder.join("manifest.json")
}

/// Where a trial's records lie.
pub fn trial_folder(folder: &Path, id: &str) -> PathBuf {
    folder.join("trials").join(id)
}

/// Reads `manifest.json`; `None` if the folder has none.
///
/// # Errors
/// If it is damaged, or something of the folder is a link that leads out of it.
pub fn read_manifest(folder: &Path) -> Result<Option<Manifest>, JournalError> {
    let manifest = read_own_manifest(folder)?;
    match files::leads_out(folder, &WRITTEN_TO).filter(|_| manifest.is_some()) {
        Some(path) => Err(JournalError::LeadsOut { path }),
        None => Ok(manifest),
    }
}

/// Reads `manifest.json` of a folder that is one's own, whose links are: tasks of a cluster need not look at all its files.
pub fn read_own_manifest(folder: &Path) -> Result<Option<Manifest>, JournalError> {
    let path = manifest_file(folder);
    let bytes = match files::read_record(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(JournalError::Read { path, source }),
    };
    let manifest = sealed::open(&bytes, FORMAT).map_err(|why| match why {
        Unreadable::Newer(found) => JournalError::Newer { path: path.clone(), found },
        Unreadable::Damaged(reason) => JournalError::Manifest { path: path.clone(), reason },
    })?;
    match nonsense(&manifest) {
        None => Ok(Some(manifest)),
        Some(reason) => Err(JournalError::Manifest { path, reason }),
    }
}

/// What no plan of this program has: results may come from strangers. An id names a folder; orders of so many items are
/// computed.
fn nonsense(manifest: &Manifest) -> Option<String> {
    let is_plain =
        |id: &str| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if let Some(trial) = manifest.trials.iter().find(|trial| !is_plain(&trial.id)) {
        return Some(format!("{:?} is no trial's id", trial.id));
    }
    let mut names = manifest.variants.iter().map(|v| &v.name).chain(manifest.suites.iter().map(|s| &s.name));
    if names.any(|name| name.len() > LONGEST_NAME) {
        return Some(format!("a name is longer than {LONGEST_NAME} bytes"));
    }
    let most = |suite: &&SuiteRecord| suite.items_total.max(suite.items_planned) > MOST_ITEMS;
    let suite = manifest.suites.iter().find(most)?;
    Some(format!("suite {:?} has more than {MOST_ITEMS} items", suite.name))
}

/// What is read of items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Texts {
    /// Everything.
    Kept,
    /// Questions and their choices are read without their texts, which is somewhat sooner.
    LeftOut,
}

/// Reads what is known of a trial; one that was never begun is pending.
pub fn read_trial(folder: &Path, spec: &TrialSpec) -> Result<TrialData, JournalError> {
    read_with(folder, spec, Texts::Kept)
}

/// The same for analysis, which looks at no text of a question: those are left empty.
pub fn read_trial_textless(folder: &Path, spec: &TrialSpec) -> Result<TrialData, JournalError> {
    read_with(folder, spec, Texts::LeftOut)
}

fn read_with(folder: &Path, spec: &TrialSpec, texts: Texts) -> Result<TrialData, JournalError> {
    let place = trial_folder(folder, &spec.id);
    let read = read_trial_file(&trial_file(folder, &spec.id))?;
    let (items, lines) = read_items(&place, texts, |_| true)?;
    let fresh = TrialData {
        spec: spec.clone(),
        status: Status::Pending,
        reason: String::new(),
        failures: 0,
        outcome: None,
        items,
        looks: Vec::new(),
        goals: Vec::new(),
        stopped: None,
        node: None,
        damaged: Damage { lines, file: read.is_err() },
    };
    let Ok(Some(file)) = read else { return Ok(fresh) };
    let TrialFile { status, reason, failures, outcome, looks, goals, stopped, node, .. } = file;
    Ok(TrialData { status, reason, failures, outcome, looks, goals, stopped, node, ..fresh })
}

impl TrialData {
    /// Its file, as it is kept.
    pub fn file(&self) -> TrialFile {
        TrialFile {
            format: FORMAT,
            spec: self.spec.clone(),
            status: self.status,
            reason: self.reason.clone(),
            failures: self.failures,
            outcome: self.outcome.clone(),
            looks: self.looks.clone(),
            goals: self.goals.clone(),
            stopped: self.stopped,
            node: self.node.clone(),
        }
    }

    /// Whether it was tried and failed.
    pub fn has_failed(&self) -> bool {
        !matches!(self.status, Status::Pending | Status::Done | Status::Skipped)
    }
}

/// The items of a trial at these places, whole; those that are not there or damaged are left out.
pub fn read_some(folder: &Path, id: &str, wanted: &BTreeSet<u64>) -> Result<Vec<ItemRecord>, JournalError> {
    Ok(read_items(&trial_folder(folder, id), Texts::Kept, |index| wanted.contains(&index))?.0)
}

/// A trial file, if there is one; one that is damaged counts as none, so that its trial is run again.
fn read_trial_file(path: &Path) -> Result<Result<Option<TrialFile>, Unreadable>, JournalError> {
    match files::read_record(path) {
        Ok(bytes) => match sealed::open(&bytes, FORMAT) {
            Err(Unreadable::Newer(found)) => Err(JournalError::Newer { path: path.to_owned(), found }),
            read => Ok(read.map(Some)),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Ok(None)),
        Err(source) => Err(JournalError::Read { path: path.to_owned(), source }),
    }
}

/// Whether a file of a trial's folder is a journal of items, by its name.
pub fn is_journal(name: &str) -> bool {
    name.strip_prefix("items-").is_some_and(|rest| rest.strip_suffix(".jsonl").is_some())
}

/// Items of all writers, by position. Of an item that two writers measured the first journal's counts.
fn read_items(
    place: &Path,
    texts: Texts,
    is_wanted: impl Fn(u64) -> bool,
) -> Result<(Vec<ItemRecord>, u64), JournalError> {
    let mut journals = Vec::new();
    match fs::read_dir(place) {
        Ok(entries) => {
            for entry in entries {
                let path =
                    entry.map_err(|source| JournalError::Read { path: place.to_owned(), source })?.path();
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                if is_journal(&name) {
                    journals.push(path);
                }
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(JournalError::Read { path: place.to_owned(), source }),
    }
    journals.sort();
    let (mut items, mut damaged) = (BTreeMap::new(), 0);
    for path in journals {
        let odd = |source| JournalError::Read { path: path.clone(), source };
        let mut file = BufReader::with_capacity(BUFFER, files::open_record(&path).map_err(odd)?);
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            if file.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut bytes).map_err(odd)? == 0 {
                break;
            }
            let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
            if line.is_empty() {
                continue;
            }
            // What is not wanted need not be taken apart.
            if place_of(line).is_some_and(|index| !is_wanted(index)) {
                continue;
            }
            match parse(line, texts) {
                Some(item) => _ = items.entry(item.index).or_insert(item),
                None => damaged += 1,
            }
        }
    }
    Ok((items.into_values().collect(), damaged))
}

/// The place of a journal line's item, which stands at its beginning.
fn place_of(line: &[u8]) -> Option<u64> {
    let digits = line.get(LINE_HEAD..)?.strip_prefix(br#"{"index":"#)?;
    let end = digits.iter().position(|b| !b.is_ascii_digit())?;
    std::str::from_utf8(digits.get(..end)?).ok()?.parse().ok()
}

/// The item of a journal line; nothing if it is torn or damaged.
pub(super) fn parse_line(line: &[u8]) -> Option<ItemRecord> {
    parse(line, Texts::Kept)
}

fn parse(line: &[u8], texts: Texts) -> Option<ItemRecord> {
    let (sum, json) = line.split_at_checked(LINE_HEAD)?;
    let sum = u32::from_str_radix(std::str::from_utf8(sum).ok()?.strip_suffix(' ')?, 16).ok()?;
    (crc32fast::hash(json) == sum).then(|| parse_item(json, texts))?
}

/// An item whose score is still text.
#[derive(Deserialize)]
struct Unparsed<'a> {
    index: u64,
    id: String,
    #[serde(borrow)]
    score: &'a RawValue,
}

/// A [`QuestionScore`] without its texts: they are passed over, and nothing is kept of them.
#[derive(Deserialize)]
struct TextlessQuestion {
    answer: u32,
    choices: Vec<TextlessChoice>,
    #[serde(default)]
    truncated: u32,
    #[serde(default)]
    scoring: ChoiceScoring,
    #[serde(default)]
    labels: Vec<bool>,
}

/// A [`ChoiceScore`] without its text.
#[derive(Deserialize)]
struct TextlessChoice {
    logprob: f64,
    tokens: u32,
    chars: u32,
    bytes: u32,
    #[serde(default)]
    greedy: Option<bool>,
}

impl From<TextlessQuestion> for QuestionScore {
    fn from(read: TextlessQuestion) -> Self {
        let TextlessQuestion { answer, choices, truncated, scoring, labels } = read;
        let choices = choices.into_iter().map(Into::into).collect();
        Self { prompt: String::new(), answer, choices, truncated, scoring, labels }
    }
}

impl From<TextlessChoice> for ChoiceScore {
    fn from(read: TextlessChoice) -> Self {
        let TextlessChoice { logprob, tokens, chars, bytes, greedy } = read;
        Self { text: String::new(), logprob, tokens, chars, bytes, greedy }
    }
}

/// An item. serde keeps all fields of a tagged enum in a form of its own before it knows which kind they are of: millions of
/// questions, whose kind stands first, are read without that.
fn parse_item(json: &[u8], texts: Texts) -> Option<ItemRecord> {
    let Unparsed { index, id, score } = serde_json::from_slice(json).ok()?;
    let is_question = score.get().starts_with(r#"{"kind":"choice","#);
    let score = match texts {
        Texts::LeftOut if is_question => {
            ItemScore::Choice(Box::new(serde_json::from_str::<TextlessQuestion>(score.get()).ok()?.into()))
        }
        Texts::Kept if is_question => ItemScore::Choice(serde_json::from_str(score.get()).ok()?),
        _ => serde_json::from_str(score.get()).ok()?,
    };
    Some(ItemRecord { index, id, score })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::record::{StopRule, TrialKind};
    use crate::journal::writer::{ItemJournal, line, write_trial};
    use proptest::prelude::*;

    fn item(index: u64) -> ItemRecord {
        let choice = |logprob| ChoiceScore {
            text: "a\n\"b\"".to_owned(),
            logprob,
            tokens: 2,
            chars: 5,
            bytes: 5,
            greedy: None,
        };
        ItemRecord {
            index,
            id: format!("x/{index}"),
            score: ItemScore::Choice(Box::new(QuestionScore {
                prompt: "p\u{1f600}".to_owned(),
                answer: 1,
                choices: vec![choice(-1.5), choice(-0.1)],
                truncated: 0,
                scoring: ChoiceScoring::default(),
                labels: Vec::new(),
            })),
        }
    }

    fn spec() -> TrialSpec {
        TrialSpec {
            id: "abc".to_owned(),
            kind: TrialKind::Suite,
            variant: "base".to_owned(),
            suite: "piqa".to_owned(),
            items_planned: 3,
            settings: std::sync::Arc::default(),
        }
    }

    #[test]
    fn without_texts_all_else_is_the_same() {
        let mut labelled = item(2);
        if let ItemScore::Choice(question) = &mut labelled.score {
            question.scoring = ChoiceScoring::LlamaPerplexity;
            question.labels = vec![true, false];
            question.truncated = 3;
            question.choices[0].greedy = Some(true);
        }
        let failed = ItemRecord { score: ItemScore::Failed { reason: "boom".to_owned() }, ..item(1) };
        let folder = tempfile::tempdir().expect("a folder");
        let mut journal = ItemJournal::new(folder.path(), "abc", "a");
        for item in [item(0), failed, labelled] {
            journal.append(&item).expect("appended");
        }
        journal.sync().expect("synced");
        let mut whole = read_trial(folder.path(), &spec()).expect("read");
        for item in &mut whole.items {
            if let ItemScore::Choice(question) = &mut item.score {
                question.prompt = String::new();
                question.choices.iter_mut().for_each(|choice| choice.text = String::new());
            }
        }
        assert_eq!(whole.items.len(), 3);
        assert_eq!(read_trial_textless(folder.path(), &spec()).expect("read"), whole);
    }

    #[test]
    fn two_writers_of_one_trial_count_once() {
        let folder = tempfile::tempdir().expect("a folder");
        for (writer, items) in [("a", [0, 2]), ("b", [2, 1])] {
            let mut journal = ItemJournal::new(folder.path(), "abc", writer);
            for index in items {
                journal.append(&item(index)).expect("appended");
            }
            journal.sync().expect("synced");
        }
        let data = read_trial(folder.path(), &spec()).expect("read");
        assert_eq!(data.items, vec![item(0), item(1), item(2)]);
        assert_eq!((data.status, data.damaged), (Status::Pending, Damage::default()));
    }

    #[test]
    fn a_torn_line_and_a_damaged_trial_file_are_left_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = trial_folder(folder.path(), "abc");
        fs::create_dir_all(&place).expect("made");
        let whole = line(&serde_json::to_string(&item(7)).expect("json"));
        let torn = &whole[..whole.len() / 2];
        fs::write(place.join("items-w.jsonl"), format!("{whole}{torn}")).expect("written");
        fs::write(place.join("trial.json"), "{\"format\": 1, \"spec\"").expect("written");
        let data = read_trial(folder.path(), &spec()).expect("read");
        let damaged = Damage { lines: 1, file: true };
        assert_eq!((data.items, data.damaged, data.status), (vec![item(7)], damaged, Status::Pending));
    }

    #[test]
    fn a_trial_file_comes_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = TrialFile {
            format: FORMAT,
            spec: spec(),
            status: Status::TimedOut,
            reason: "no sign of life".to_owned(),
            failures: 2,
            outcome: None,
            looks: vec![64, 90],
            goals: vec![90, 120],
            stopped: Some(Stopped { rule: StopRule::Equal, look: 2 }),
            node: Some("n2".to_owned()),
        };
        write_trial(folder.path(), &file).expect("written");
        let data = read_trial(folder.path(), &spec()).expect("read");
        assert_eq!(data.file(), file);
    }

    #[test]
    fn a_newer_manifest_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("manifest.json"), "{\"format\": 999}").expect("written");
        let error = read_manifest(folder.path()).expect_err("refused");
        assert!(error.to_string().contains("format 999"), "{error}");
        assert!(read_manifest(&folder.path().join("none")).expect("nothing there").is_none());
    }

    proptest! {
        #[test]
        fn any_flipped_bit_is_seen(position: prop::sample::Index, bit in 0_u8..8) {
            let whole = line(&serde_json::to_string(&item(7)).expect("json"));
            let mut bytes = whole.trim_end().as_bytes().to_vec();
            let at = position.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let parsed = parse_line(&bytes);
            // Upper and lower case of a hex digit of the checksum are the same digit.
            prop_assert!(parsed.is_none() || (at < 8 && parsed == Some(item(7))));
        }
    }
}
