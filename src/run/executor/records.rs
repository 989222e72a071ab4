//! What is written down: the trial, its items, and after every trial everything that is derived from them.

use std::time::{Duration, Instant};

use super::{Executor, Outcomes, bad_protocol};
use crate::analyze::report::{FrontierRow, Report};
use crate::error::Error;
use crate::journal::reader::{JournalError, read_trial, trial_file};
use crate::journal::record::Outcome;
use crate::journal::sealed::set_aside;
use crate::journal::writer::write_trial;
use crate::plan::matrix::{TrialKind, TrialSpec};
use crate::plan::recipe::BASE;
use crate::run::derive;
use crate::run::estimate;
use crate::run::event::{Event, Learnt};
use crate::worker::protocol::Status;

/// Charts are drawn again at the earliest after this long, and at the end of the sweep.
const REDRAW: Duration = Duration::from_mins(1);

/// Tables that are written in less than this are written after every trial.
const AT_ONCE: Duration = Duration::from_millis(250);

impl Executor<'_> {
    /// Moves damaged trial files out of the way and says what is done again because of damage. Damaged lines stay in
    /// their journals, which others may be writing; once their items were measured again there is nothing to tell.
    pub(super) fn tell_damage(&mut self) -> Result<(), Error> {
        let mut lines = 0;
        for trial in &self.trials {
            if trial.damaged.file {
                let path = trial_file(self.folder, &trial.spec.id);
                let aside = set_aside(&path, &self.writer)
                    .map_err(|source| JournalError::Write { path: path.clone(), source })?;
                let aside = aside.map_or_else(String::new, |aside| format!(" as {}", aside.display()));
                let message = format!(
                    "{} is damaged and was set aside{aside}; that trial alone is done again",
                    path.display()
                );
                (self.events)(&Event::Note { message });
            }
            let is_short = self.planned.contains(&trial.spec.id) && !self.is_done(trial);
            lines += if is_short { trial.damaged.lines } else { 0 };
        }
        if lines > 0 {
            let message =
                format!("{lines} damaged journal lines are left out; their items are measured again");
            (self.events)(&Event::Note { message });
        }
        Ok(())
    }

    pub(super) fn skip(&mut self, index: usize, reason: &str) -> Result<(), Error> {
        self.set(index, Status::Skipped, reason, 0, None)?;
        self.ended(index)
    }

    /// Writes a trial's file and takes it in. `failures` are added to those on record.
    pub(super) fn set(
        &mut self,
        index: usize,
        status: Status,
        reason: &str,
        failures: u32,
        outcome: Option<Outcome>,
    ) -> Result<(), Error> {
        let Some(trial) = self.trials.get_mut(index) else { return Ok(()) };
        trial.status = status;
        reason.clone_into(&mut trial.reason);
        trial.failures += failures;
        trial.outcome = outcome.or(trial.outcome.take());
        trial.node = self.alone.as_ref().map(|alone| alone.node.clone());
        let file = trial.file();
        write_trial(self.folder, &file).map_err(|source| {
            Error::Journal(JournalError::Write {
                path: self.folder.join("trials").join(&file.spec.id),
                source,
            })
        })
    }

    /// Takes in what the journals hold now.
    pub(super) fn reread(&mut self, index: usize) -> Outcomes<()> {
        if let Some(trial) = self.trials.get_mut(index) {
            let fresh = read_trial(self.folder, &trial.spec)
                .map_err(|e| bad_protocol(&format!("the journal cannot be read back: {e}")))?;
            trial.items = fresh.items;
            derive::lean(self.manifest, trial);
        }
        Ok(())
    }

    /// Whether another sweep of the same folder has finished a trial meanwhile; then it is taken in. Trials that go on in
    /// rounds are left to their rounds.
    pub(super) fn is_done_elsewhere(&mut self, index: usize) -> Result<bool, Error> {
        let Some(trial) = self.trials.get(index).filter(|_| self.rounds.is_none()) else { return Ok(false) };
        let fresh = read_trial(self.folder, &trial.spec)?;
        if !self.is_done(&fresh) {
            return Ok(false);
        }
        if let Some(trial) = self.trials.get_mut(index) {
            *trial = fresh;
            derive::lean(self.manifest, trial);
        }
        self.ended(index)?;
        Ok(true)
    }

    pub(super) fn started(&mut self, index: usize, done: u64, total: u64) {
        if let Some(spec) = self.trials.get(index).map(|t| t.spec.clone()) {
            let work = estimate::work(self.prepared, &spec);
            let TrialSpec { id, kind, variant, suite, .. } = spec;
            (self.events)(&Event::TrialStarted { id, kind, variant, suite, total, done, work });
        }
    }

    pub(super) fn retrying(&mut self, index: usize, reason: &str) {
        if let Some(id) = self.trials.get(index).map(|t| t.spec.id.clone()) {
            (self.events)(&Event::Retry { id, reason: reason.to_owned() });
        }
    }

    pub(super) fn note(&mut self, message: String) {
        (self.events)(&Event::Note { message });
    }

    /// A trial ended: what is derived is rewritten, so that a sweep stopped now leaves valid tables.
    pub(super) fn ended(&mut self, index: usize) -> Result<(), Error> {
        let Some(trial) = self.trials.get(index) else { return Ok(()) };
        // Between two rounds there is nothing to tell of one trial.
        if self.rounds.is_some() && trial.status == Status::Pending {
            return Ok(());
        }
        // Beside many others, each would rewrite what the others do as well.
        let report = if self.alone.is_none() {
            derive::items(self.folder, &trial.spec)?;
            self.tell_soon()?
        } else {
            None
        };
        self.tell_end(index, report.as_ref());
        if let Some(report) = report {
            self.tell_standing(&report);
        }
        Ok(())
    }

    /// Says who is on the frontier by now.
    pub(super) fn tell_standing(&mut self, report: &Report) {
        if let Some(standing) = standing(report) {
            (self.events)(&standing);
        }
    }

    /// Says how a trial ended, and what the tables say of it.
    pub(super) fn tell_end(&mut self, index: usize, report: Option<&Report>) {
        let Some(trial) = self.trials.get(index) else { return };
        let TrialSpec { id, kind, variant, suite, .. } = trial.spec.clone();
        let event = Event::TrialEnded {
            id,
            kind,
            variant,
            suite,
            status: trial.status,
            reason: trial.stopped.map_or(trial.reason.clone(), |stopped| stopped.rule.sentence(stopped.look)),
            work: estimate::work(self.prepared, &trial.spec),
            learnt: report.and_then(|report| learnt(report, &trial.spec)),
        };
        (self.events)(&event);
    }

    /// Rewrites the tables, unless that would take more than a tenth of the time, as with tens of thousands of trials.
    fn tell_soon(&mut self) -> Result<Option<Report>, Error> {
        self.is_stale = true;
        let is_due = |(last, took): (Instant, Duration)| took < AT_ONCE || last.elapsed() >= took * 9;
        if self.told.is_none_or(is_due) { self.tell_all().map(Some) } else { Ok(None) }
    }

    /// Rewrites the tables, and now and then the charts, which take some seconds.
    pub(super) fn tell_all(&mut self) -> Result<Report, Error> {
        let begun = Instant::now();
        let report = derive::tables(self.folder, self.manifest, &self.trials)?;
        self.told = Some((Instant::now(), begun.elapsed()));
        self.is_stale = false;
        if self.drawn.is_none_or(|drawn| drawn.elapsed() >= REDRAW) {
            derive::charts(self.folder, &report)?;
            self.drawn = Some(Instant::now());
        }
        Ok(report)
    }
}

/// The number that a trial was for: a suite's first metric, a file's size, a speed.
fn learnt(report: &Report, trial: &TrialSpec) -> Option<Learnt> {
    let row = |name: &str| report.variants.iter().find(|row| row.variant == name);
    let of = |metric: &str, value: &dyn Fn(&str) -> Option<f64>| {
        let base = (trial.variant != BASE).then(|| value(BASE)).flatten();
        Some(Learnt { metric: metric.to_owned(), value: value(&trial.variant)?, base })
    };
    match trial.kind {
        TrialKind::Suite => {
            let metric = &report.suites.iter().find(|suite| suite.name == trial.suite)?.main_metric;
            of(metric, &|variant| report.metric(variant, &trial.suite, metric)?.value)
        }
        TrialKind::Quantize => of("bpw", &|variant| row(variant)?.bpw),
        TrialKind::Speed => of("tg128_tps", &|variant| row(variant)?.tg128_tps),
        TrialKind::Noise | TrialKind::Speculate => None,
    }
}

/// Who is on the frontier by now; nothing before two variants can be compared.
fn standing(report: &Report) -> Option<Event> {
    let axis = report.headline_axis()?;
    let mut rows: Vec<&FrontierRow> = report.frontier.iter().filter(|row| row.axis_y == axis).collect();
    rows.sort_by(|a, b| a.x.total_cmp(&b.x));
    let frontier = rows.iter().filter(|row| row.on_frontier).map(|row| row.variant.clone()).collect();
    (rows.len() > 1).then_some(Event::Standing { axis, frontier })
}
