//! The coordinator: round by round it looks at the queue and at the records, and brings the one in line with the other. It keeps
//! nothing that could not be found again in the results folder or in the queue.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::batch::{self, Batches, Class, MOST, NODE, Order};
use super::node::{self, Node};
use super::queue::Task;
use super::scheduler::{self, Scheduler, Trouble};
use super::verdict::{Ended, Verdict, Words, judge};
use crate::error::Error;
use crate::files::Turn;
use crate::journal::plan_file::{self, PlanFile};
use crate::journal::reader::{JournalError, TrialData, read_trial};
use crate::journal::record::{Manifest, Status, TrialKind, TrialSpec};
use crate::plan::slurm::SlurmOptions;
use crate::run::derive;
use crate::run::estimate;
use crate::run::event::Event;
use crate::run::executor::is_whole;
use crate::run::manifest;
use crate::run::one_trial;
use crate::run::order::{self, Stage, Step};
use crate::run::prepare::Prepared;
use crate::run::variant_file;

/// How long a coordinator waits for one that was killed a moment ago to be gone.
const HANDOVER: Duration = Duration::from_secs(15);
/// How often a waiting coordinator looks whether it was interrupted.
const GLANCE: Duration = Duration::from_millis(100);
/// How long Slurm may give no answer. The jobs go on meanwhile.
const PATIENCE: Duration = Duration::from_hours(6);
/// Rounds in which a trial may be neither in the queue nor on record: a shared folder may show records some seconds late.
const GRACE: u32 = 2;
/// The same of one that Slurm took and has not shown yet.
const UNSEEN: u32 = 6;
/// Tables are derived again at the earliest after this long.
const RETELL: Duration = Duration::from_mins(1);

/// The right to hand out a folder's trials.
#[derive(Debug)]
pub struct Coordinator {
    folder: PathBuf,
    options: SlurmOptions,
    turn: Turn,
}

impl Coordinator {
    /// The coordinator of a results folder, if there is no other and Slurm is there.
    pub fn new(options: &SlurmOptions, folder: &Path) -> Result<Self, Error> {
        scheduler::is_there()?;
        let folder = fs::canonicalize(folder)
            .map_err(|source| JournalError::Write { path: folder.to_owned(), source })?;
        if folder.to_string_lossy().contains('\\') {
            return Err(Error::Refused {
                reason: format!("Slurm takes no path with a backslash: {}", folder.display()),
                hint: Some("choose another folder with --out".to_owned()),
            });
        }
        let path = folder.join("cluster").join("coordinator.lock");
        let begun = Instant::now();
        let turn = Turn::take(&path, || begun.elapsed() < HANDOVER)
            .map_err(|source| JournalError::Write { path: path.clone(), source })?;
        let turn = turn.ok_or_else(|| Error::Refused {
            reason: format!("another coordinator hands out the trials of {}", folder.display()),
            hint: Some("let it go on, or end it first; its jobs stay in the queue".to_owned()),
        })?;
        Ok(Self { folder, options: options.clone(), turn })
    }

    /// Carries out all trials that are not done. Returns what is known of every trial of the plan.
    pub fn carry_out(
        self,
        prepared: Prepared,
        manifest: Manifest,
        interrupted: &AtomicBool,
        events: &mut dyn FnMut(&Event),
    ) -> Result<Vec<TrialData>, Error> {
        let jobs = manifest::jobs(&self.folder)?;
        manifest::write_plan(&prepared, &self.folder, &jobs)?;
        let plan = plan_file::read(&self.folder)?
            .ok_or_else(|| JournalError::NotPlanned { folder: self.folder.clone() })?;
        let mut campaign = Campaign {
            jobs: Batches::of(&self.folder).jobs(),
            batches: Batches::of(&self.folder),
            scheduler: Scheduler { jobs },
            home: std::env::current_dir().map_err(|source| Error::Io { path: ".".into(), source })?,
            program: std::env::current_exe()
                .map_err(|source| Error::Io { path: "/proc/self/exe".into(), source })?,
            coordinator: &self,
            prepared,
            manifest,
            plan,
            interrupted,
            events,
            node: None,
            steps: BTreeMap::new(),
            open: BTreeMap::new(),
            known: BTreeMap::new(),
            places: BTreeMap::new(),
            ended: BTreeSet::new(),
            nodes: BTreeSet::new(),
            is_shown: false,
            most: MOST,
            told: String::new(),
            told_trouble: String::new(),
            derived: None,
        };
        campaign.begin()?;
        campaign.run()?;
        campaign.end()
    }
}

/// A trial that is not done.
#[derive(Debug, Clone, Default)]
struct Open {
    /// Whether it was submitted, by this coordinator or one before.
    submitted: bool,
    /// Rounds since it left the queue without a record.
    absent: u32,
    /// How often its task was lost without getting any further.
    lost: u32,
    /// Items there were when it was submitted last.
    items: usize,
    /// Whether its task was ended here, because Slurm could not start it.
    freed: bool,
    /// Its task as the queue had it last: Slurm forgets tasks, some at once.
    seen: Option<Task>,
    /// Nodes that lost it.
    lost_on: BTreeSet<String>,
}

/// Tasks in the queue that are not over, by what they carry out.
type Live = BTreeMap<String, Vec<Task>>;

/// What tasks of one array have in common: what they need, the tasks that they wait for, and the nodes that they are kept from.
type Kind = (Class, Vec<String>, Vec<String>);

/// A sweep on its way.
struct Campaign<'a> {
    coordinator: &'a Coordinator,
    scheduler: Scheduler,
    batches: Batches,
    prepared: Prepared,
    manifest: Manifest,
    plan: PlanFile,
    home: PathBuf,
    program: PathBuf,
    interrupted: &'a AtomicBool,
    events: &'a mut dyn FnMut(&Event),
    /// Where variants are timed, once it is known.
    node: Option<Node>,
    /// Trials by id, with what they wait for.
    steps: BTreeMap<String, Step>,
    open: BTreeMap<String, Open>,
    /// Ids of batches that were read.
    known: BTreeMap<String, Vec<String>>,
    /// Batches by the number of their array.
    jobs: BTreeMap<u64, String>,
    /// Places of trials in the plan, by id.
    places: BTreeMap<String, usize>,
    /// Tasks that were ended here.
    ended: BTreeSet<String>,
    /// Nodes that were seen to carry out tasks of this sweep.
    nodes: BTreeSet<String>,
    /// Whether the queue ever showed a task of this sweep.
    is_shown: bool,
    /// Most tasks of the next array: fewer where the cluster does not take as many.
    most: usize,
    /// What was said last of the queue.
    told: String,
    /// The trouble with Slurm that was told last.
    told_trouble: String,
    derived: Option<Instant>,
}

impl Campaign<'_> {
    /// What is to be done, and what is done already.
    fn begin(&mut self) -> Result<(), Error> {
        match self.known_node() {
            Some(node) => self.plan_timed(node)?,
            None => self.order(),
        }
        let (mut done, mut work, mut work_done) = (0, 0.0, 0.0);
        for spec in self.prepared.trials.clone() {
            let share = estimate::work(&self.prepared, &spec);
            work += share;
            if self.node.is_none() && is_timed(&spec) {
                continue;
            }
            if self.enter(&spec)? {
                (done, work_done) = (done + 1, work_done + share);
            }
        }
        let event = Event::SweepStarted {
            folder: self.coordinator.folder.display().to_string(),
            trials: self.prepared.trials.len() as u64,
            done,
            work,
            work_done,
            stops_early: false,
        };
        (self.events)(&event);
        if self.node.is_none() && self.prepared.trials.iter().any(is_timed) {
            self.open.insert(NODE.to_owned(), Open::default());
        }
        Ok(())
    }

    /// Takes a trial up, if there is something to do. Whether it is done.
    fn enter(&mut self, spec: &TrialSpec) -> Result<bool, Error> {
        let trial = read_trial(&self.coordinator.folder, spec)?;
        if is_whole(&self.prepared, &trial) {
            return Ok(true);
        }
        if trial.has_failed() && self.prepared.config.no_retry {
            return Ok(false);
        }
        if let Some((status, reason)) = one_trial::refused(&self.plan, &self.manifest, spec) {
            let trial = one_trial::record(&self.coordinator.folder, trial, status, &reason)?;
            self.tell_end(&trial);
            return Ok(false);
        }
        self.open.insert(spec.id.clone(), Open::default());
        Ok(false)
    }

    /// The node on which variants are timed is known: timed trials have ids that name its machine.
    fn plan_timed(&mut self, node: Node) -> Result<(), Error> {
        self.prepared.timed_on(node.machine.clone());
        self.manifest = manifest::of(&self.prepared, &self.coordinator.folder, self.events)?;
        manifest::write(&self.coordinator.folder, &self.manifest)?;
        manifest::write_plan(&self.prepared, &self.coordinator.folder, &self.scheduler.jobs)?;
        self.order();
        self.node = Some(node);
        Ok(())
    }

    /// The node to time on, if it was looked at and no other one is wanted.
    fn known_node(&self) -> Option<Node> {
        let wanted = self.coordinator.options.speed_node.as_ref();
        let known = node::known(&self.coordinator.folder);
        known.filter(|node| wanted.is_none_or(|wanted| *wanted == node.name))
    }

    /// Notes where trials stand in the plan, and what they wait for.
    fn order(&mut self) {
        self.steps = order::steps(&self.prepared).into_iter().map(|step| (step.id.clone(), step)).collect();
        let places = self.prepared.trials.iter().enumerate();
        self.places = places.map(|(place, spec)| (spec.id.clone(), place)).collect();
    }

    /// A trial of the plan.
    fn spec(&self, id: &str) -> Option<&TrialSpec> {
        self.prepared.trials.get(*self.places.get(id)?)
    }

    /// Round after round, until nothing is left.
    fn run(&mut self) -> Result<(), Error> {
        let mut silent: Option<Instant> = None;
        while !self.open.is_empty() {
            match self.round() {
                Ok(()) => {
                    if silent.take().is_some() {
                        self.told_trouble = String::new();
                    }
                }
                Err(Trouble::Lasting(error)) => return Err(self.leaving(error)),
                Err(Trouble::Passing(what) | Trouble::TooMany(what)) => {
                    if silent.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                        return Err(self.leaving(Error::Worker(format!("Slurm does not answer: {what}"))));
                    }
                    self.trouble(format!("Slurm does not answer, and is asked again: {what}"));
                }
            }
            if !self.open.is_empty() {
                self.wait()?;
            }
        }
        Ok(())
    }

    /// Says what is wrong with Slurm, once.
    fn trouble(&mut self, what: String) {
        if self.told_trouble != what {
            self.note(what.clone());
            self.told_trouble = what;
        }
    }

    /// Waits until the queue is looked at again.
    fn wait(&mut self) -> Result<(), Error> {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(self.coordinator.options.poll_s) {
            if self.interrupted.load(Ordering::Relaxed) {
                let error = Error::Interrupted { resume: "run the same command again".to_owned() };
                return Err(self.leaving(error));
            }
            thread::sleep(GLANCE);
        }
        Ok(())
    }

    /// The error with which the coordinator ends, before the jobs do.
    fn leaving(&mut self, error: Error) -> Error {
        if self.open.values().any(|open| open.submitted) {
            let jobs = &self.scheduler.jobs;
            self.note(format!("the jobs go on without a coordinator; `scancel --name={jobs}` ends them"));
        }
        error
    }

    /// One look at the queue, and what follows from it.
    fn round(&mut self) -> Result<(), Trouble> {
        let queue = self.scheduler.queue()?;
        let ours = self.ours(queue);
        let live = self.look(&ours);
        self.tell_queue(&live);
        self.clear(&live)?;
        self.settle(&live)?;
        self.submit(&live)?;
        self.derive()?;
        Ok(())
    }

    /// A task's batch, which its comment names, or else the number of its array; none that is not known in this folder.
    fn batch_of(&mut self, task: &Task) -> Option<String> {
        let noted = self.jobs.get(&task.job).cloned();
        let mut named = std::iter::once(task.batch.clone()).chain(noted);
        named.find(|batch| {
            if !self.known.contains_key(batch) {
                let read = self.batches.ids(batch);
                // What could not be read for once is read again.
                if !read.is_empty() {
                    self.known.insert(batch.clone(), read);
                }
            }
            self.known.contains_key(batch)
        })
    }

    /// The sweep's own tasks, with what they carry out. An array that was ended before any of it began is one line, which stands
    /// for each of its tasks that has none.
    fn ours(&mut self, queue: Vec<Task>) -> Vec<(String, Task)> {
        let lines: BTreeSet<(u64, usize)> =
            queue.iter().filter_map(|task| Some((task.job, task.index?))).collect();
        let mut ours = Vec::new();
        for task in queue {
            let Some(batch) = self.batch_of(&task) else { continue };
            let ids = self.known.get(&batch).map_or(&[][..], Vec::as_slice);
            let task = Task { batch, ..task };
            match task.index {
                Some(index) => ours.extend(ids.get(index).map(|id| (id.clone(), task.clone()))),
                None => ours.extend(ids.iter().enumerate().filter_map(|(index, id)| {
                    let each = Task { index: Some(index), ..task.clone() };
                    (!lines.contains(&(task.job, index))).then(|| (id.clone(), each))
                })),
            }
        }
        ours
    }

    /// Takes in what the queue says. Returns the tasks that are not over.
    fn look(&mut self, ours: &[(String, Task)]) -> Live {
        self.is_shown |= !ours.is_empty();
        let mut live = Live::new();
        for (id, task) in ours {
            if !task.nodes.is_empty() {
                self.nodes.insert(task.nodes.clone());
            }
            if !task.is_over() {
                live.entry(id.clone()).or_default().push(task.clone());
            }
            if let Some(open) = self.open.get_mut(id)
                && !self.ended.contains(&task.name())
                && open
                    .seen
                    .as_ref()
                    .is_none_or(|seen| seen.job <= task.job || self.ended.contains(&seen.name()))
            {
                open.seen = Some(task.clone());
            }
        }
        live
    }

    /// Ends tasks that wait for nothing: of trials that are not asked for any more or done, second ones of the same trial, and
    /// those that Slurm could not start and holds.
    fn clear(&mut self, live: &Live) -> Result<(), Trouble> {
        let mut ended = Vec::new();
        for (id, tasks) in live {
            let Some(open) = self.open.get_mut(id) else {
                ended.extend(tasks.iter().filter(|task| task.is_waiting()).map(Task::name));
                continue;
            };
            let others = tasks.len() > 1 && tasks.iter().any(|task| !task.is_waiting());
            let spare =
                tasks.iter().enumerate().filter(|(at, task)| task.is_waiting() && (others || *at > 0));
            ended.extend(spare.map(|(_, task)| task.name()));
            if tasks.iter().all(Task::is_stuck) {
                (open.freed, open.seen) = (true, None);
                ended.extend(tasks.first().map(Task::name));
            } else if others {
                // What was seen last may be one that is ended now.
                open.seen = tasks.iter().rfind(|task| !task.is_waiting()).cloned();
            }
        }
        if ended.is_empty() {
            return Ok(());
        }
        self.ended.extend(ended.iter().cloned());
        self.note(format!("ending jobs that are of no use: {}", ended.join(", ")));
        Scheduler::cancel(&ended)
    }

    /// What has come of the trials that are not in the queue.
    fn settle(&mut self, live: &Live) -> Result<(), Trouble> {
        for id in self.open.keys().cloned().collect::<Vec<_>>() {
            let Some(open) = self.open.get_mut(&id) else { continue };
            if live.contains_key(&id) {
                (open.submitted, open.absent) = (true, 0);
            } else if id == NODE {
                self.settle_node()?;
            } else {
                self.settle_trial(&id)?;
            }
        }
        Ok(())
    }

    fn settle_trial(&mut self, id: &str) -> Result<(), Error> {
        let Some(spec) = self.spec(id) else {
            self.open.remove(id);
            return Ok(());
        };
        let trial = read_trial(&self.coordinator.folder, spec)?;
        let is_whole = is_whole(&self.prepared, &trial);
        let submitted = self.open.get(id).is_some_and(|open| open.submitted);
        let is_open = matches!(trial.status, Status::Pending | Status::Done) && !is_whole;
        if is_whole || submitted && !is_open {
            self.open.remove(id);
            self.tell_end(&trial);
            return Ok(());
        }
        let Some(mut ended) = self.over(id)? else { return Ok(()) };
        // The time that the plan gives a trial is up: the same command goes on with it.
        if ended.words.code == Some(0) && self.prepared.config.run.time_s.is_some() {
            self.open.remove(id);
            return Ok(());
        }
        let (items, resubmits) = (trial.items.len(), self.coordinator.options.resubmits);
        let Some(open) = self.open.get_mut(id) else { return Ok(()) };
        if items > open.items {
            // It gets further, if slowly.
            (open.lost, ended.lost) = (0, 0);
        }
        match judge(&ended, resubmits) {
            Verdict::Again => {
                let mut lost_on = std::mem::take(&mut open.lost_on);
                lost_on.extend(
                    ended.task.as_ref().filter(|task| task.may_be_its_nodes_fault()).map(|t| t.nodes.clone()),
                );
                *open = Open { lost: open.lost + 1, items, lost_on, ..Open::default() };
                let what = ended.task.map_or_else(|| "its task".to_owned(), |task| task.told());
                self.note(format!("{} is submitted again: {what}", named(&trial.spec)));
            }
            Verdict::Row(status, reason) => {
                if is_timed(&trial.spec) && status == Status::Refused {
                    // The node is not what it was.
                    node::forget(&self.coordinator.folder);
                }
                let trial = TrialData { failures: trial.failures + 1, ..trial };
                let trial = one_trial::record(&self.coordinator.folder, trial, status, &reason)?;
                self.open.remove(id);
                self.tell_end(&trial);
            }
        }
        Ok(())
    }

    /// The look at the node is there, is lost, or cannot be had; without it there is nothing to time on.
    fn settle_node(&mut self) -> Result<(), Error> {
        if let Some(node) = self.known_node() {
            self.open.remove(NODE);
            self.note(format!("variants are timed on {} ({})", node.name, node.machine.cpu));
            self.plan_timed(node)?;
            return self.enter_timed();
        }
        let Some(ended) = self.over(NODE)? else { return Ok(()) };
        let resubmits = self.coordinator.options.resubmits;
        let Some(open) = self.open.get_mut(NODE) else { return Ok(()) };
        match judge(&ended, resubmits) {
            Verdict::Again => *open = Open { lost: open.lost + 1, ..Open::default() },
            Verdict::Row(_, reason) => {
                self.open.remove(NODE);
                for spec in self.prepared.trials.clone().iter().filter(|spec| is_timed(spec)) {
                    let trial = read_trial(&self.coordinator.folder, spec)?;
                    let reason = format!("no node to time it on was found: {reason}");
                    let trial = one_trial::record(&self.coordinator.folder, trial, Status::Skipped, &reason)?;
                    self.tell_end(&trial);
                }
            }
        }
        Ok(())
    }

    fn enter_timed(&mut self) -> Result<(), Error> {
        for spec in self.prepared.trials.clone().iter().filter(|spec| is_timed(spec)) {
            if self.enter(spec)? {
                let trial = read_trial(&self.coordinator.folder, spec)?;
                self.tell_end(&trial);
            }
        }
        Ok(())
    }

    /// How something ended that was submitted and is not in the queue any more; nothing while it may still be on record in a
    /// moment.
    fn over(&mut self, id: &str) -> Result<Option<Ended>, Error> {
        let Some(open) = self.open.get_mut(id).filter(|open| open.submitted) else { return Ok(None) };
        open.absent += 1;
        // What Slurm took a moment ago may not be shown at once.
        let grace = if open.seen.as_ref().is_some_and(|task| !task.was_shown()) { UNSEEN } else { GRACE };
        if open.absent < grace {
            return Ok(None);
        }
        let (task, lost, freed) = (open.seen.clone(), open.lost, open.freed);
        let place = task.as_ref().and_then(|task| Some(self.batches.log(&task.batch, task.index?)));
        let log = place.as_ref().and_then(|place| fs::read(place).ok());
        let words = log.as_ref().map(|log| Words::read(&String::from_utf8_lossy(log))).unwrap_or_default();
        if !self.is_shown && !words.begun {
            return Err(Error::Refused {
                reason: format!(
                    "Slurm took jobs of this sweep and shows none: squeue --name={}",
                    self.scheduler.jobs
                ),
                hint: Some("find out what hides them; then the same command goes on".to_owned()),
            });
        }
        let shown = place.filter(|_| log.is_some());
        let shown = shown
            .and_then(|place| Some(place.strip_prefix(&self.coordinator.folder).ok()?.display().to_string()));
        let elsewhere = self.is_elsewhere(id, task.as_ref());
        Ok(Some(Ended { task, words, log: shown.unwrap_or_default(), lost, freed, elsewhere }))
    }

    /// Whether other nodes carry out tasks of this sweep than those that lost a trial, to which it is not bound.
    fn is_elsewhere(&self, id: &str, task: Option<&Task>) -> bool {
        let is_bound = id == NODE || self.spec(id).is_some_and(is_timed);
        let Some(open) = self.open.get(id).filter(|_| !is_bound) else { return false };
        self.nodes
            .iter()
            .any(|node| !open.lost_on.contains(node) && task.is_none_or(|task| task.nodes != *node))
    }

    /// Submits what is not in the queue, after what it waits for.
    fn submit(&mut self, live: &Live) -> Result<(), Trouble> {
        let ended = &self.ended;
        let task_of = |tasks: &Vec<Task>| {
            let stays = tasks.iter().find(|task| !ended.contains(&task.name()));
            stays.or(tasks.first()).map(Task::name)
        };
        let mut tasks: BTreeMap<String, String> =
            live.iter().filter_map(|(id, tasks)| Some((id.clone(), task_of(tasks)?))).collect();
        loop {
            let groups = self.ready(&tasks);
            if groups.is_empty() {
                return Ok(());
            }
            for (kind, ids) in groups {
                let mut rest = ids.as_slice();
                while !rest.is_empty() {
                    let (now, later) = rest.split_at(self.most.min(rest.len()));
                    match self.submit_batch(&kind, now) {
                        Ok(job) => {
                            let named =
                                now.iter().enumerate().map(|(at, id)| (id.clone(), format!("{job}_{at}")));
                            tasks.extend(named);
                            (rest, self.most) = (later, (self.most * 2).min(MOST));
                        }
                        Err(Trouble::TooMany(_)) if now.len() > 1 => self.most = now.len() / 2,
                        // Room comes when some of these are over.
                        Err(Trouble::TooMany(what)) if !tasks.is_empty() => {
                            self.trouble(format!("Slurm takes no more for now: {what}"));
                            return Ok(());
                        }
                        Err(Trouble::TooMany(what)) => return Err(scheduler::refused_at_last(&what).into()),
                        Err(other) => return Err(other),
                    }
                }
            }
        }
    }

    /// What can be submitted now, by what it needs and waits for: nothing of which something else would first be submitted.
    fn ready(&self, tasks: &BTreeMap<String, String>) -> BTreeMap<Kind, Vec<String>> {
        let mut groups: BTreeMap<Kind, Vec<String>> = BTreeMap::new();
        // In the order of the plan, as a sweep on one machine would go.
        let ids =
            std::iter::once(NODE.to_owned()).chain(self.prepared.trials.iter().map(|spec| spec.id.clone()));
        for id in ids.filter(|id| self.open.get(id).is_some_and(|open| !open.submitted)) {
            let step = self.steps.get(&id);
            let waits: BTreeSet<&String> = step
                .iter()
                .flat_map(|step| &step.after)
                .filter(|other| self.open.contains_key(*other))
                .collect();
            let after: Option<Vec<String>> =
                waits.into_iter().map(|other| tasks.get(other).cloned()).collect();
            if let Some(after) = after {
                let class = step.map_or(Class::Timed, |step| class(step.stage));
                let lost_on = self.open.get(&id).map(|open| open.lost_on.clone()).unwrap_or_default();
                let bad =
                    if self.is_elsewhere(&id, None) { lost_on.into_iter().collect() } else { Vec::new() };
                groups.entry((class, after, bad)).or_default().push(id);
            }
        }
        groups
    }

    fn submit_batch(&mut self, kind: &Kind, ids: &[String]) -> Result<u64, Trouble> {
        let (class, after, exclude) = (kind.0, &kind.1, &kind.2);
        for id in ids {
            self.reset(id)?;
        }
        let batch = self.batches.begin(ids)?;
        let folder = &self.coordinator.folder;
        let script =
            batch::script(&self.program, folder, &self.batches.trials(&batch), self.prepared.cache.root());
        let script = self.batches.script(&batch, &script)?;
        let is_look = ids.iter().any(|id| id == NODE);
        let wanted = self.coordinator.options.speed_node.as_deref().filter(|_| is_look);
        let bound = self.node.as_ref().map(|node| node.name.as_str()).filter(|_| class == Class::Timed);
        let order = Order {
            jobs: &self.scheduler.jobs,
            batch: &batch,
            class,
            tasks: ids.len(),
            after,
            node: bound.or(wanted),
            exclude,
            threads: self.prepared.config.run.threads,
            options: &self.coordinator.options,
            home: &self.home,
        };
        let submitted = Scheduler::submit(&self.batches.arguments(&order), &script, &self.coordinator.turn);
        if matches!(submitted, Err(Trouble::TooMany(_))) {
            self.batches.discard(&batch);
        }
        let job = submitted?;
        for (index, id) in ids.iter().enumerate() {
            if let Some(open) = self.open.get_mut(id) {
                (open.submitted, open.absent) = (true, 0);
                open.seen = Some(Task::submitted(job, index, &batch));
            }
        }
        self.jobs.insert(job, batch.clone());
        self.batches.note_job(&batch, job)?;
        self.note(format!("job {job}: {}", contents(class, is_look, ids.len())));
        Ok(job)
    }

    /// A trial that failed before is to be told from one that fails now.
    fn reset(&self, id: &str) -> Result<(), Error> {
        let Some(spec) = self.spec(id) else { return Ok(()) };
        let trial = read_trial(&self.coordinator.folder, spec)?;
        if !matches!(trial.status, Status::Pending | Status::Done) {
            one_trial::record(&self.coordinator.folder, trial, Status::Pending, "")?;
        }
        Ok(())
    }

    /// Rewrites the tables now and then, so that who looks at them sees how far it is.
    fn derive(&mut self) -> Result<(), Error> {
        if self.derived.get_or_insert_with(Instant::now).elapsed() >= RETELL {
            let (manifest, trials) = derive::read_lean(&self.coordinator.folder)?;
            derive::tables(&self.coordinator.folder, &manifest, &trials)?;
            self.derived = Some(Instant::now());
        }
        Ok(())
    }

    /// Deletes files that nothing needs any more.
    fn end(self) -> Result<Vec<TrialData>, Error> {
        let ours = self.prepared.files.iter().filter(|file| file.weights.ftype.is_some());
        for file in ours.filter(|_| !self.prepared.config.keep_variants) {
            variant_file::release(&self.prepared.cache, file)?;
        }
        derive::lean_trials(&self.coordinator.folder, &self.manifest, |_| true)
    }

    fn note(&mut self, message: String) {
        (self.events)(&Event::Note { message });
    }

    fn tell_end(&mut self, trial: &TrialData) {
        let TrialSpec { id, kind, variant, suite, .. } = trial.spec.clone();
        let work = estimate::work(&self.prepared, &trial.spec);
        let (status, reason) = (trial.status, trial.reason.clone());
        // Tables are made now and then, not after each.
        let learnt = None;
        (self.events)(&Event::TrialEnded { id, kind, variant, suite, status, reason, work, learnt });
    }

    /// Says how the queue stands, when that has changed.
    fn tell_queue(&mut self, live: &Live) {
        let tasks = || live.values().flatten();
        let waiting = tasks().filter(|task| task.is_waiting()).count();
        let reasons: BTreeSet<&str> =
            tasks().filter(|task| task.is_waiting()).map(|task| task.reason.as_str()).collect();
        let nodes: BTreeSet<&str> =
            tasks().filter(|task| !task.is_waiting()).map(|task| task.nodes.as_str()).collect();
        let join = |words: BTreeSet<&str>| words.into_iter().collect::<Vec<_>>().join(", ");
        let running = tasks().count() - waiting;
        let told = format!(
            "{running} tasks run ({}), {waiting} wait ({}), {} trials are open",
            join(nodes),
            join(reasons),
            self.open.len()
        )
        .replace(" ()", "");
        if running + waiting > 0 && told != self.told {
            self.note(told.clone());
        }
        self.told = told;
    }
}

/// Whether a trial times something.
fn is_timed(spec: &TrialSpec) -> bool {
    matches!(spec.kind, TrialKind::Speed | TrialKind::Speculate)
}

fn class(stage: Stage) -> Class {
    match stage {
        Stage::Files => Class::Quantize,
        Stage::Base | Stage::Variants => Class::Evaluate,
        Stage::Timed => Class::Timed,
    }
}

/// What a batch is, for people.
fn contents(class: Class, is_look: bool, tasks: usize) -> String {
    let what = match class {
        _ if is_look => "looks at a node to time variants on",
        Class::Quantize => "make files",
        Class::Evaluate => "evaluate",
        Class::Timed => "time",
    };
    if is_look { what.to_owned() } else { format!("{tasks} tasks {what}") }
}

/// A trial for people.
fn named(spec: &TrialSpec) -> String {
    let suite = if spec.suite.is_empty() { String::new() } else { format!(" {}", spec.suite) };
    format!("{} {}{suite}", spec.kind.word(), spec.variant)
}
