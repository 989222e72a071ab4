//! The rows of the speed surface: every point that was planned, with its samples' mean or why there is none.

use super::energy::joules_per_token;
use super::planned::{Planned, Sheet};
use super::report::SpeedRow;
use crate::journal::record::{Measured, Outcome, Speed, SpeedPoint, Status, TrialKind};
use crate::stats;

/// Rows of `speed.csv`, variant by variant in plan order.
pub(super) fn rows(sheet: &Sheet) -> Vec<SpeedRow> {
    let variants = sheet.manifest.variants.iter().map(|v| v.name.as_str());
    let trials = variants.flat_map(|v| sheet.of_variant(v).filter(|t| t.spec.kind == TrialKind::Speed));
    trials.flat_map(of_trial).collect()
}

fn of_trial(trial: &Planned) -> Vec<SpeedRow> {
    let speed = trial.outcome().and_then(|outcome| match outcome {
        Outcome::Speed(speed) => Some(speed),
        Outcome::Quantize(_) | Outcome::Suite(_) | Outcome::Speculate(_) => None,
    });
    let points = trial.spec.speed_grid().points();
    let rows = points.into_iter().filter_map(|point| {
        let mut row = SpeedRow::new(&trial.spec.variant, point);
        match speed.and_then(|speed| measured(speed, point.measured_as())) {
            Some(measured) => row.fill(&measured),
            // Done long ago, by a version that did not measure this.
            None if trial.status() == Status::Done => return None,
            None => {
                trial.status().word().clone_into(&mut row.status);
                trial.reason().clone_into(&mut row.reason);
            }
        }
        Some(row)
    });
    rows.collect()
}

/// What is on record of a point.
fn measured(speed: &Speed, point: SpeedPoint) -> Option<Measured> {
    let [pp, ttft, tg] = SpeedPoint::ALWAYS;
    let always = [
        (pp, &speed.pp512_tps, speed.pp512_joules_per_token.as_slice()),
        (ttft, &speed.ttft512_s, &[]),
        (tg, &speed.tg128_tps, &speed.tg128_joules_per_token),
    ];
    let always = always.into_iter().find(|(known, samples, _)| *known == point && !samples.is_empty());
    let always = always.map(|(_, samples, joules)| Measured {
        joules_per_token: joules.to_vec(),
        energy_meter: if joules.is_empty() { String::new() } else { speed.energy_meter.clone() },
        ..Measured::done(point, samples.clone())
    });
    always.or_else(|| speed.surface.iter().find(|m| m.point == point).cloned())
}

/// Rows of points that were measured by themselves, outside of a sweep.
#[must_use]
pub fn rows_of(name: &str, points: &[SpeedPoint], all: &[Measured]) -> Vec<SpeedRow> {
    let row = |point: &SpeedPoint| {
        let mut row = SpeedRow::new(name, *point);
        row.fill(all.iter().find(|m| m.point == point.measured_as())?);
        Some(row)
    };
    points.iter().filter_map(row).collect()
}

impl SpeedRow {
    fn new(variant: &str, point: SpeedPoint) -> Self {
        Self {
            variant: variant.to_owned(),
            kind: point.kind.word().to_owned(),
            prompt: point.prompt(),
            generate: point.generate(),
            depth: point.depth,
            parallel: point.parallel,
            unit: point.kind.unit().to_owned(),
            status: Status::Done.word().to_owned(),
            ..Self::default()
        }
    }

    fn fill(&mut self, measured: &Measured) {
        let finite = |value: &f64| value.is_finite();
        self.mean = stats::mean(&measured.samples).map(|e| e.point).filter(finite);
        self.sd = stats::sample_sd(&measured.samples).filter(finite);
        self.n = measured.samples.len() as u64;
        self.joules_per_token = joules_per_token(&measured.joules_per_token);
        self.energy_meter.clone_from(&measured.energy_meter);
        measured.status.word().clone_into(&mut self.status);
        self.reason.clone_from(&measured.reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::record::{SpeedGrid, SpeedKind};

    fn grid() -> SpeedGrid {
        SpeedGrid { depths: vec![0, 64], parallel: vec![1, 2], ..SpeedGrid::default() }
    }

    #[test]
    fn a_point_has_its_samples_or_its_reason() {
        let point = |kind, tokens, depth, parallel| SpeedPoint { kind, tokens, depth, parallel };
        let slow = point(SpeedKind::ParallelTg, 128, 64, 2);
        let all = [
            Measured::done(point(SpeedKind::Tg, 128, 64, 1), vec![10.0, 14.0]),
            Measured::failed(slow, Status::OutOfMemory, "no room"),
        ];
        let rows = rows_of("x", &grid().points(), &all);
        let cells: Vec<_> = rows.iter().map(|r| (r.kind.as_str(), r.depth, r.parallel, r.mean)).collect();
        // One sequence stands among the several, too.
        let expected =
            [("tg", 64, 1, Some(12.0)), ("parallel_tg", 64, 2, None), ("parallel_tg", 64, 1, Some(12.0))];
        assert_eq!(cells, expected);
        assert_eq!(
            (rows[1].status.as_str(), rows[1].reason.as_str(), rows[1].n),
            ("out_of_memory", "no room", 0)
        );
        assert_eq!((rows[0].sd, rows[0].prompt, rows[0].generate), (Some(8.0_f64.sqrt()), None, Some(128)));
    }

    #[test]
    fn the_point_of_every_sweep_is_found_where_it_always_was() {
        let speed = Speed { pp512_tps: vec![5.0], tg128_tps: vec![7.0], ..Speed::default() };
        let [pp, ttft, tg] = SpeedPoint::ALWAYS;
        assert_eq!(measured(&speed, pp).map(|m| m.samples), Some(vec![5.0]));
        assert_eq!(measured(&speed, tg).map(|m| m.samples), Some(vec![7.0]));
        assert_eq!(measured(&speed, ttft), None, "an old record has none");
    }

    #[test]
    fn energy_stands_beside_the_speed_it_was_measured_with() {
        let speed = Speed {
            pp512_tps: vec![5.0; 3],
            tg128_tps: vec![7.0; 3],
            ttft512_s: vec![1.0; 3],
            tg128_joules_per_token: vec![0.5, 8.0, 0.75],
            energy_meter: "rapl".to_owned(),
            ..Speed::default()
        };
        let cells = SpeedPoint::ALWAYS.map(|point| {
            let mut row = SpeedRow::new("x", point);
            row.fill(&measured(&speed, point).expect("measured"));
            (row.joules_per_token, row.energy_meter)
        });
        let none = || (None, String::new());
        assert_eq!(cells, [none(), none(), (Some(0.75), "rapl".to_owned())]);
    }
}
