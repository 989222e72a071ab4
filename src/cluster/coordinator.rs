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
use super::verdict::{Verdict, Words, judge};
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
/// Rounds in a row in which Slurm may give no answer.
const PATIENCE: u32 = 20;
/// Rounds in which a trial may be neither in the queue nor on record: a shared folder may show records some seconds late.
const GRACE: u32 = 2;
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
            told: String::new(),
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
}

/// Tasks in the queue that are not over, by what they carry out.
type Live = BTreeMap<String, Vec<Task>>;

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
    /// What was said last of the queue.
    told: String,
    derived: Option<Instant>,
}

impl Campaign<'_> {
    /// What is to be done, and what is done already.
    fn begin(&mut self) -> Result<(), Error> {
        let wanted = self.coordinator.options.speed_node.clone();
        let known = node::known(&self.coordinator.folder);
        if let Some(node) = known.filter(|node| wanted.is_none_or(|wanted| wanted == node.name)) {
            self.plan_timed(node)?;
        }
        self.steps = order::steps(&self.prepared).into_iter().map(|step| (step.id.clone(), step)).collect();
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
        self.steps = order::steps(&self.prepared).into_iter().map(|step| (step.id.clone(), step)).collect();
        self.node = Some(node);
        Ok(())
    }

    /// Round after round, until nothing is left.
    fn run(&mut self) -> Result<(), Error> {
        let mut troubles = 0;
        while !self.open.is_empty() {
            match self.round() {
                Ok(()) => troubles = 0,
                Err(Trouble::Lasting(error)) => return Err(error),
                Err(Trouble::Passing(what)) => {
                    troubles += 1;
                    if troubles > PATIENCE {
                        return Err(Error::Worker(format!("Slurm does not answer: {what}")));
                    }
                    self.note(format!("Slurm does not answer, and is asked again: {what}"));
                }
            }
            if !self.open.is_empty() {
                self.wait()?;
            }
        }
        Ok(())
    }

    /// Waits until the queue is looked at again.
    fn wait(&mut self) -> Result<(), Error> {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(self.coordinator.options.poll_s) {
            if self.interrupted.load(Ordering::Relaxed) {
                let jobs = &self.scheduler.jobs;
                self.note(format!("the jobs go on without a coordinator; `scancel --name={jobs}` ends them"));
                return Err(Error::Interrupted { resume: "run the same command again".to_owned() });
            }
            thread::sleep(GLANCE);
        }
        Ok(())
    }

    /// One look at the queue, and what follows from it.
    fn round(&mut self) -> Result<(), Trouble> {
        let queue = self.scheduler.queue()?;
        let live = self.live(&queue);
        self.tell_queue(&live);
        self.clear(&live)?;
        self.settle(&queue, &live)?;
        self.submit(&live)?;
        self.derive()?;
        Ok(())
    }

    /// What a task carries out; nothing of a batch that is not known in this folder.
    fn id_of(&mut self, task: &Task) -> Option<String> {
        let batches = &self.batches;
        let ids = self.known.entry(task.batch.clone()).or_insert_with(|| batches.ids(&task.batch));
        ids.get(task.index).cloned()
    }

    fn live(&mut self, queue: &[Task]) -> Live {
        let mut live = Live::new();
        for task in queue.iter().filter(|task| !task.is_over()) {
            if let Some(id) = self.id_of(task) {
                live.entry(id).or_default().push(task.clone());
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
                open.freed = true;
                ended.extend(tasks.first().map(Task::name));
            }
        }
        if ended.is_empty() {
            return Ok(());
        }
        self.note(format!("ending jobs that are of no use: {}", ended.join(", ")));
        Scheduler::cancel(&ended)
    }

    /// What has come of the trials that are not in the queue.
    fn settle(&mut self, queue: &[Task], live: &Live) -> Result<(), Trouble> {
        for id in self.open.keys().cloned().collect::<Vec<_>>() {
            let Some(open) = self.open.get_mut(&id) else { continue };
            if live.contains_key(&id) {
                (open.submitted, open.absent) = (true, 0);
            } else if id == NODE {
                self.settle_node(queue)?;
            } else {
                self.settle_trial(&id, queue)?;
            }
        }
        Ok(())
    }

    fn settle_trial(&mut self, id: &str, queue: &[Task]) -> Result<(), Error> {
        let Some(spec) = self.prepared.trials.iter().find(|spec| spec.id == id) else {
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
        let Some((task, words)) = self.over(id, queue) else { return Ok(()) };
        // The time that the plan gives a trial is up: the same command goes on with it.
        if words.code == Some(0) && self.prepared.config.run.time_s.is_some() {
            self.open.remove(id);
            return Ok(());
        }
        let (items, resubmits) = (trial.items.len(), self.coordinator.options.resubmits);
        let Some(open) = self.open.get_mut(id) else { return Ok(()) };
        if items > open.items {
            // It gets further, if slowly.
            open.lost = 0;
        }
        match judge(task.as_ref().filter(|_| !open.freed), &words, open.lost, resubmits) {
            Verdict::Again => {
                *open = Open { lost: open.lost + 1, items, ..Open::default() };
                let what = task.map_or_else(|| "its task".to_owned(), |task| task.told());
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
    fn settle_node(&mut self, queue: &[Task]) -> Result<(), Error> {
        let wanted = self.coordinator.options.speed_node.clone();
        let known = node::known(&self.coordinator.folder);
        if let Some(node) = known.filter(|node| wanted.is_none_or(|wanted| wanted == node.name)) {
            self.open.remove(NODE);
            self.note(format!("variants are timed on {} ({})", node.name, node.machine.cpu));
            self.plan_timed(node)?;
            return self.enter_timed();
        }
        let Some((task, words)) = self.over(NODE, queue) else { return Ok(()) };
        let resubmits = self.coordinator.options.resubmits;
        let Some(open) = self.open.get_mut(NODE) else { return Ok(()) };
        match judge(task.as_ref().filter(|_| !open.freed), &words, open.lost, resubmits) {
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

    /// The last task of something that was submitted and is not in the queue any more, and its words; nothing while it may
    /// still be on record in a moment.
    fn over(&mut self, id: &str, queue: &[Task]) -> Option<(Option<Task>, Words)> {
        let open = self.open.get_mut(id).filter(|open| open.submitted)?;
        open.absent += 1;
        if open.absent < GRACE {
            return None;
        }
        let mut last: Option<&Task> = None;
        for task in queue {
            if self.id_of(task).as_deref() == Some(id) && last.is_none_or(|last| last.job < task.job) {
                last = Some(task);
            }
        }
        let log = last.and_then(|task| fs::read(self.batches.log(&task.batch, task.index)).ok());
        let words = log.map(|log| Words::read(&String::from_utf8_lossy(&log))).unwrap_or_default();
        Some((last.cloned(), words))
    }

    /// Submits what is not in the queue, after what it waits for.
    fn submit(&mut self, live: &Live) -> Result<(), Trouble> {
        let task_of = |tasks: &Vec<Task>| tasks.first().map(Task::name);
        let mut tasks: BTreeMap<String, String> =
            live.iter().filter_map(|(id, tasks)| Some((id.clone(), task_of(tasks)?))).collect();
        loop {
            let groups = self.ready(&tasks);
            if groups.is_empty() {
                return Ok(());
            }
            for ((class, after), ids) in groups {
                for ids in ids.chunks(MOST) {
                    let job = self.submit_batch(class, &after, ids)?;
                    let named = ids.iter().enumerate().map(|(at, id)| (id.clone(), format!("{job}_{at}")));
                    tasks.extend(named);
                }
            }
        }
    }

    /// What can be submitted now, by what it needs and waits for: nothing of which something else would first be submitted.
    fn ready(&self, tasks: &BTreeMap<String, String>) -> BTreeMap<(Class, Vec<String>), Vec<String>> {
        let mut groups: BTreeMap<(Class, Vec<String>), Vec<String>> = BTreeMap::new();
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
                groups.entry((class, after)).or_default().push(id);
            }
        }
        groups
    }

    fn submit_batch(&mut self, class: Class, after: &[String], ids: &[String]) -> Result<u64, Trouble> {
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
            threads: self.prepared.config.run.threads,
            options: &self.coordinator.options,
            home: &self.home,
        };
        let job = Scheduler::submit(&self.batches.arguments(&order), &script, &self.coordinator.turn)?;
        for id in ids {
            if let Some(open) = self.open.get_mut(id) {
                (open.submitted, open.absent) = (true, 0);
            }
        }
        self.note(format!("job {job}: {}", contents(class, is_look, ids.len())));
        Ok(job)
    }

    /// A trial that failed before is to be told from one that fails now.
    fn reset(&self, id: &str) -> Result<(), Error> {
        let Some(spec) = self.prepared.trials.iter().find(|spec| spec.id == id) else { return Ok(()) };
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
