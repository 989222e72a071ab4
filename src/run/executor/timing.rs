//! Carrying out speed trials: the point of every sweep first, then the rest of the surface, context by context. What
//! is measured is on record after each, so that an interruption or a context that does not fit costs no other point.

use std::path::Path;

use crate::error::Error;
use crate::journal::record::Outcome;
use crate::plan::recipe::Recipe;
use crate::plan::speed::{GENERATE, PROMPT, SpeedShape};
use crate::run::executor::{Executor, bad_protocol};
use crate::worker::protocol::{Finished, Measured, Request, Speed, SpeedWork, Status, SurfaceWork};

impl Executor<'_> {
    /// Throughput and memory, in a worker of its own; nothing else of ours runs meanwhile.
    pub(super) fn run_speed(&mut self, index: usize, recipe: &Recipe, path: &Path) -> Result<(), Error> {
        self.running = None;
        let repetitions = self.prepared.config.run.repetitions;
        self.started(index, 0, u64::from(repetitions + 1) * 2);
        let recorded = match self.trials.get(index).and_then(|t| t.outcome.clone()) {
            Some(Outcome::Speed(speed)) => Some(speed),
            _ => None,
        };
        let mut speed = match recorded {
            Some(speed) => speed,
            None => match self.always(index, recipe, path, repetitions)? {
                Some(speed) => speed,
                None => return self.ended(index),
            },
        };
        let failed = self.surface(index, recipe, path, &mut speed)?;
        self.running = None;
        let (status, reason) = failed.unwrap_or((Status::Done, String::new()));
        self.set(index, status, &reason, 0, Some(Outcome::Speed(speed)))?;
        self.ended(index)
    }

    /// The point of every sweep; without it there is no other.
    fn always(
        &mut self,
        index: usize,
        recipe: &Recipe,
        path: &Path,
        repetitions: u32,
    ) -> Result<Option<Speed>, Error> {
        let work = Request::Speed(SpeedWork { prompt: PROMPT, generate: GENERATE, repetitions });
        let (failures, result) = self.attempts(index, |me| {
            let answer = me.ask(recipe, path, &work, None);
            // What it took of memory is known by now, and is not to grow.
            me.running = None;
            match answer? {
                Finished::Speed(speed) => Ok(speed),
                _ => Err(bad_protocol("the worker answered another question")),
            }
        })?;
        let (status, reason, outcome) = match &result {
            Ok(speed) => (Status::Pending, "", Some(Outcome::Speed(speed.clone()))),
            Err((status, reason)) => (*status, reason.as_str(), None),
        };
        self.set(index, status, reason, failures, outcome)?;
        Ok(result.ok())
    }

    /// The points that are missing. Returns the first failure.
    fn surface(
        &mut self,
        index: usize,
        recipe: &Recipe,
        path: &Path,
        speed: &mut Speed,
    ) -> Result<Option<(Status, String)>, Error> {
        let repetitions = self.prepared.config.run.repetitions;
        speed.surface.retain(|measured| measured.status == Status::Done);
        let mut failed = None;
        for shape in self.prepared.config.speed.shapes().into_iter().filter_map(SpeedShape::beyond_default) {
            let points = shape.points();
            if points.iter().all(|point| speed.surface.iter().any(|m| m.point == *point)) {
                continue;
            }
            let name = shape.name();
            let work = Request::Surface(SurfaceWork { shape, repetitions });
            let (failures, result) =
                self.attempts(index, |me| match me.ask(recipe, path, &work, None)? {
                    Finished::Surface { points } => Ok(points),
                    _ => Err(bad_protocol("the worker answered another question")),
                })?;
            match result {
                Ok(measured) => speed.surface.extend(measured),
                Err((status, reason)) => {
                    speed.surface.extend(points.iter().map(|p| Measured::failed(*p, status, &reason)));
                    failed = failed.or(Some((status, format!("{name}: {reason}"))));
                }
            }
            self.set(index, Status::Pending, "", failures, Some(Outcome::Speed(speed.clone())))?;
        }
        Ok(failed)
    }
}
