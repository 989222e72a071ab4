//! What a model behind an API scores on suites of written answers: a point of reference for the charts. Items are those of
//! a sweep, and the graders those of local answers. Every answer is a line of a file as soon as it is there, synced, so
//! that what was paid for is not asked again.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::analyze::cost::{self, Api, Costs, Reference};
use crate::analyze::{Metric, metrics};
use crate::endpoint::EndpointError;
use crate::endpoint::ask::{Asker, Reply, Usage, grader, score};
use crate::error::Error;
use crate::fetch::Cache;
use crate::files;
use crate::plan::error::PlanError;
use crate::plan::fingerprint;
use crate::plan::generate::{GenerateItem, GenerateSuite};
use crate::plan::suite::{self, Items, Scoring, Suite, picked};
use crate::run::data;
use crate::run::eval::{Pick, Writing};
use crate::worker::protocol::{ItemRecord, ItemScore};

/// Items that may fail one after another before the rest is left alone.
const IN_A_ROW: u32 = 10;
/// Between two looks for an interruption.
const LOOK: Duration = Duration::from_millis(100);
/// A metric that is not known where an API does not count tokens.
const ANSWER_TOKENS: &str = "answer_tokens";

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// Where, and of which model.
    pub asker: Asker,
    /// Which items of each suite.
    pub pick: Pick,
    /// How answers are written.
    pub writing: Writing,
    /// Requests at once.
    pub parallel: u32,
    /// The folder of answers.
    pub records: PathBuf,
    /// Run programs without a sandbox.
    pub unsafe_exec: bool,
}

/// What tokens cost.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Priced {
    /// The name of the API in a costs file.
    pub name: String,
    /// What stands there.
    pub api: Api,
}

/// What came of a suite.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Referenced {
    /// The model, as the endpoint knows it.
    pub model: String,
    /// The suite.
    pub suite: String,
    /// Its version.
    pub suite_version: u32,
    /// Items asked.
    pub items: u64,
    /// Items of the suite.
    pub of: u64,
    /// Of those asked, how many failed.
    pub failed: u64,
    /// Why the first of those failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The suite's main metric first.
    pub metrics: Vec<Metric>,
    /// Tokens read and written; absent if the API does not tell.
    pub usage: Option<Usage>,
    /// What they cost at the prices given.
    pub usd: Option<f64>,
    /// The answers.
    pub records: PathBuf,
    /// The entry for a costs file; absent if nothing was scored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<Reference>,
}

/// A line of the file of answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Line {
    index: u64,
    id: String,
    /// What was posted, of the first sample.
    request: Value,
    /// One a sample; none if the item failed.
    replies: Vec<Reply>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failed: Option<String>,
    /// What it was worth when it was written; made again from the replies whenever it is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    score: Option<ItemScore>,
}

/// An item's requests.
#[derive(Debug, Clone)]
struct Task {
    item: GenerateItem,
    path: &'static str,
    bodies: Vec<Value>,
}

impl Priced {
    /// Prices that are given with the command, in dollars a million tokens: an API of the model's name.
    #[must_use]
    pub fn given(model: &str, [input, cached, output]: [f64; 3]) -> Self {
        let api = Api {
            model: model.to_owned(),
            usd_per_mtok_in: input,
            usd_per_mtok_cached: cached,
            usd_per_mtok_out: output,
            source: "given with `bitfrontier reference`".to_owned(),
            date: today(),
        };
        Self { name: model.to_owned(), api }
    }

    /// Prices of a costs file: those of the API of this name, or of the one whose name or model it is.
    pub fn listed(costs: &Costs, api: Option<&str>, model: &str) -> Result<Option<Self>, Error> {
        let named = |name: &str| costs.api.get_key_value(name);
        let found = match api {
            Some(name) => named(name),
            None => named(model).or_else(|| costs.api.iter().find(|(_, api)| api.model == model)),
        };
        match (found, api) {
            (None, Some(name)) => Err(Error::Refused {
                reason: format!("--api {name}: the costs file has no [api.{name}]"),
                hint: Some(format!("it has {}", costs.api.keys().cloned().collect::<Vec<_>>().join(", "))),
            }),
            (found, _) => Ok(found.map(|(name, api)| Self { name: name.clone(), api: api.clone() })),
        }
    }

    /// Dollars.
    fn usd(&self, usage: Usage) -> f64 {
        let fresh = usage.prompt.saturating_sub(usage.cached) as f64;
        (fresh * self.api.usd_per_mtok_in
            + usage.cached as f64 * self.api.usd_per_mtok_cached
            + usage.completion as f64 * self.api.usd_per_mtok_out)
            / 1e6
    }

    /// Puts the prices into a costs file, in place of older ones of that name.
    pub fn keep(&self, path: &Path) -> Result<(), Error> {
        changed(path, |text, place| cost::with_api(text, place, &self.name, &self.api))
    }
}

fn today() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%d").to_string()
}

/// Asks one suite. `progress` hears of items done, of how many.
pub fn measure(
    question: &Question,
    suite: &str,
    priced: Option<&Priced>,
    cache: &Cache,
    interrupted: &Arc<AtomicBool>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Referenced, Error> {
    let (suite, generate) = asked(suite, &question.writing)?;
    data::locate_all(&suite, cache, false)?;
    let all = data::items(&suite, cache, interrupted)?;
    let clusters = all.clusters();
    let Items::Prompts(all) = all else { return Err(unwritten(&suite)) };
    let items = picked(&all, &question.pick.of(all.len() as u64, &suite.name)?);
    let grader =
        grader(&generate, &data::resources(&suite, cache)?, question.unsafe_exec).map_err(|error| {
            Error::Refused { reason: format!("suite {}: {error}", suite.name), hint: Some(error.hint()) }
        })?;
    let tasks =
        items.into_iter().map(|item| task(question, &generate, item)).collect::<Result<Vec<_>, _>>()?;
    let path = question.records.join(file_name(question, &suite));
    let mut lines = kept(&path, &tasks)?;
    let open: Vec<Task> =
        tasks.iter().filter(|task| !lines.contains_key(&task.item.index)).cloned().collect();
    let total = tasks.len() as u64;
    let mut done = total - open.len() as u64;
    progress(done, total);
    let mut file = Appended::open(&path)?;
    let mut in_a_row = 0;
    ask_all(question, open, interrupted, &mut |task, answer| {
        let (replies, failed) = match answer {
            Ok(replies) => (replies, None),
            Err(error) if error.ends_all() => return Err(error.into()),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        in_a_row = if failed.is_some() { in_a_row + 1 } else { 0 };
        let worth = failed.is_none().then(|| score(&generate, &grader, &task.item, &replies));
        let line = Line {
            index: task.item.index,
            id: task.item.id.clone(),
            request: task.bodies.first().cloned().unwrap_or_default(),
            replies,
            failed,
            score: worth,
        };
        file.append(&line)?;
        done += 1;
        progress(done, total);
        let reason = line.failed.clone();
        lines.insert(task.item.index, line);
        match reason {
            Some(reason) if in_a_row >= IN_A_ROW => Err(EndpointError::GivenUp { in_a_row, reason }.into()),
            _ => Ok(()),
        }
    })?;
    let records: Vec<ItemRecord> = tasks
        .iter()
        .filter_map(|task| {
            let line = lines.get(&task.item.index)?;
            let score = match &line.failed {
                Some(reason) => ItemScore::Failed { reason: reason.clone() },
                None => score(&generate, &grader, &task.item, &line.replies),
            };
            Some(ItemRecord { index: line.index, id: line.id.clone(), score })
        })
        .collect();
    let replies: usize = lines.values().map(|line| line.replies.len()).sum();
    let spent = used(lines.values()).map(|usage| (usage, replies));
    let metrics = metrics(&records, &clusters);
    Ok(told(question, &suite, (&records, all.len() as u64), metrics, (spent, priced), path))
}

/// The suite, if its answers are written.
fn asked(name: &str, writing: &Writing) -> Result<(Suite, GenerateSuite), Error> {
    let mut suite = suite::parse(&suite::find(name, "SUITE")?)?;
    let refused = |what: &str, hint: &str| Error::Refused {
        reason: format!("suite {} {what}", suite.name),
        hint: Some(hint.to_owned()),
    };
    if suite.haystack.is_some() {
        return Err(refused("is made for the vocabulary of a model at hand", "ask another suite"));
    }
    let Scoring::Generate(generate) = &mut suite.scoring else { return Err(unwritten(&suite)) };
    if generate.agent.is_some() {
        return Err(refused(
            "mends repositories turn by turn, which is not done through an API",
            "ask another",
        ));
    }
    writing.apply(generate);
    generate.check().map_err(|(what, hint)| refused(&format!("would have {what}"), hint))?;
    let generate = generate.clone();
    Ok((suite, *generate))
}

fn unwritten(suite: &Suite) -> Error {
    Error::Refused {
        reason: format!("suite {} needs the probabilities of texts, which APIs do not tell", suite.name),
        hint: Some("ask a suite whose answers are written, such as gsm8k, ifeval or bfcl".to_owned()),
    }
}

fn task(question: &Question, suite: &GenerateSuite, item: GenerateItem) -> Result<Task, Error> {
    let requests = (0..suite.samples).map(|sample| question.asker.request(suite, &item, sample));
    let requests = requests.collect::<Result<Vec<_>, _>>().map_err(|error| Error::Refused {
        reason: format!("item {}: {error}", item.id),
        hint: Some(error.hint()),
    })?;
    let path = requests.first().map_or("", |(path, _)| *path);
    Ok(Task { item, path, bodies: requests.into_iter().map(|(_, body)| body).collect() })
}

/// The name of the file of answers: one for each endpoint, model and suite.
fn file_name(question: &Question, suite: &Suite) -> String {
    let plain = |text: &str| files::plain_name(text).chars().take(80).collect::<String>();
    let asker = &question.asker;
    let id = fingerprint::of(&json!([asker.endpoint.url(), asker.model, suite.name, suite.version]));
    format!("{}.{}.{}.jsonl", plain(&asker.model), plain(&suite.name), id.get(..8).unwrap_or(&id))
}

/// The answers of a file that are to what is asked now: the same request, word for word. A last line that a kill cut
/// short is none.
fn kept(path: &Path, tasks: &[Task]) -> Result<HashMap<u64, Line>, Error> {
    let text = match fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(HashMap::new()),
        Err(source) => return Err(Error::Io { path: path.to_owned(), source }),
    };
    let wanted: HashMap<u64, &Task> = tasks.iter().map(|task| (task.item.index, task)).collect();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
    let same = |line: &Line| {
        wanted.get(&line.index).is_some_and(|task| {
            line.id == task.item.id
                && line.replies.len() == task.bodies.len()
                && task.bodies.first() == Some(&line.request)
        })
    };
    Ok(lines.filter(|line| line.failed.is_none() && same(line)).map(|line| (line.index, line)).collect())
}

/// A file that lines are appended to, each on disk before the next.
struct Appended {
    path: PathBuf,
    file: File,
}

impl Appended {
    fn open(path: &Path) -> Result<Self, Error> {
        let wrong = |source| Error::Io { path: path.to_owned(), source };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(wrong)?;
        }
        let mut file = OpenOptions::new().create(true).append(true).open(path).map_err(wrong)?;
        // What a kill cut short must not swallow the next line.
        if fs::read(path).map_err(wrong)?.last().is_some_and(|last| *last != b'\n') {
            file.write_all(b"\n").map_err(wrong)?;
        }
        Ok(Self { path: path.to_owned(), file })
    }

    fn append(&mut self, line: &Line) -> Result<(), Error> {
        let text = serde_json::to_string(line).map_err(|error| Error::Worker(error.to_string()))? + "\n";
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data());
        written.map_err(|source| Error::Write { path: self.path.clone(), source })
    }
}

type Answered = Result<Vec<Reply>, EndpointError>;

/// Asks several at once and hears each where it was called. Threads that wait for an answer when all ends are left alone.
fn ask_all(
    question: &Question,
    tasks: Vec<Task>,
    interrupted: &Arc<AtomicBool>,
    hear: &mut dyn FnMut(&Task, Answered) -> Result<(), Error>,
) -> Result<(), Error> {
    let (tasks, asker) = (Arc::new(tasks), Arc::new(question.asker.clone()));
    let (next, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (sender, answers) = channel();
    for _ in 0..question.parallel.max(1).min(tasks.len().try_into().unwrap_or(u32::MAX)) {
        let (tasks, asker, next, sender) = (tasks.clone(), asker.clone(), next.clone(), sender.clone());
        let ended = ended.clone();
        thread::spawn(move || {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(task) = tasks.get(at) else { return };
                let ask = |body| asker.ask(task.path, body, &ended);
                let answer: Answered = task.bodies.iter().map(ask).collect();
                if ended.load(Ordering::Relaxed) || sender.send((at, answer)).is_err() {
                    return;
                }
            }
        });
    }
    drop(sender);
    let result = loop {
        if interrupted.load(Ordering::Relaxed) {
            break Err(Error::Interrupted { resume: String::new() });
        }
        match answers.recv_timeout(LOOK) {
            Ok((at, answer)) => {
                let Some(task) = tasks.get(at) else { continue };
                if let Err(error) = hear(task, answer) {
                    break Err(error);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break Ok(()),
        }
    };
    ended.store(true, Ordering::Relaxed);
    result
}

/// The sum, if every answer tells.
fn used<'a>(lines: impl Iterator<Item = &'a Line>) -> Option<Usage> {
    let mut sum = Usage::default();
    for reply in lines.flat_map(|line| &line.replies) {
        sum += reply.usage?;
    }
    Some(sum)
}

fn told(
    question: &Question,
    suite: &Suite,
    (records, of): (&[ItemRecord], u64),
    mut metrics: Vec<Metric>,
    (spent, priced): (Option<(Usage, usize)>, Option<&Priced>),
    path: PathBuf,
) -> Referenced {
    let reasons = || {
        records.iter().filter_map(|record| match &record.score {
            ItemScore::Failed { reason } => Some(reason.clone()),
            _ => None,
        })
    };
    let usage = spent.map(|(usage, _)| usage);
    let mean = |tokens: fn(Usage) -> u64| {
        spent
            .filter(|(_, replies)| *replies > 0)
            .map(|(usage, replies)| tokens(usage) as f64 / replies as f64)
    };
    metrics.retain(|metric| usage.is_some() || metric.name != ANSWER_TOKENS);
    metrics.sort_by_key(|metric| metric.name != suite.main_metric());
    let failed = reasons().count() as u64;
    let asker = &question.asker;
    let main = metrics.iter().find(|metric| metric.name == suite.main_metric());
    let reference = main.filter(|metric| metric.n > 0).map(|metric| Reference {
        model: asker.model.clone(),
        api: priced.map_or(String::new(), |priced| priced.name.clone()),
        suite: suite.name.clone(),
        metric: metric.name.clone(),
        value: metric.value,
        source: format!(
            "measured through {} on {} of {of} items, {failed} failed",
            asker.endpoint.url(),
            records.len()
        ),
        date: today(),
        n: Some(metric.n),
        stderr: metric.stderr,
        suite_version: Some(suite.version),
        input_tokens: mean(|usage| usage.prompt.saturating_sub(usage.cached)),
        cached_tokens: mean(|usage| usage.cached),
        output_tokens: mean(|usage| usage.completion),
    });
    Referenced {
        model: asker.model.clone(),
        suite: suite.name.clone(),
        suite_version: suite.version,
        items: records.len() as u64,
        of,
        failed,
        reason: reasons().next(),
        metrics,
        usage,
        usd: usage.zip(priced).map(|(usage, priced)| priced.usd(usage)),
        records: path,
        reference,
    }
}

/// Puts an entry into a costs file, in place of an older one of the same model, suite and metric.
pub fn keep(entry: &Reference, path: &Path) -> Result<(), Error> {
    changed(path, |text, place| cost::with_reference(text, place, entry))
}

/// A costs file with something put in; where there is none, the one that comes with the program.
fn changed(path: &Path, put_in: impl Fn(&str, &str) -> Result<String, PlanError>) -> Result<(), Error> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => cost::DEFAULT.to_owned(),
        Err(source) => return Err(PlanError::Read { path: path.to_owned(), source }.into()),
    };
    let text = put_in(&text, &path.display().to_string())?;
    files::replace(path, text.as_bytes()).map_err(|source| Error::Write { path: path.to_owned(), source })
}

impl Referenced {
    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut lines =
            vec![format!("{} on {}, {} of {} items", self.model, self.suite, self.items, self.of)];
        if let Some(reason) = &self.reason {
            lines.push(format!("{} failed, the first with: {reason}", self.failed));
        }
        let width = self.metrics.iter().map(|metric| metric.name.len()).max().unwrap_or(0);
        for metric in &self.metrics {
            let stderr = metric.stderr.map_or(String::new(), |e| format!(" +- {e:.4}"));
            lines.push(format!("{:<width$} {:.4}{stderr}  (n {})", metric.name, metric.value, metric.n));
        }
        lines.push(match self.usage {
            None => "the API does not tell how many tokens it took".to_owned(),
            Some(Usage { prompt, cached, completion }) => {
                let usd = self.usd.map_or("no price known".to_owned(), |usd| format!("${usd:.6}"));
                format!("{prompt} tokens read, {cached} of them cached; {completion} written; {usd}")
            }
        });
        lines.push(format!("answers: {}", self.records.display()));
        lines.join("\n") + "\n"
    }
}
