//! What other programs measured, beside the sweep's own rows. Foreign rows come last, have the status `foreign` and their
//! file in their variant's name; nothing is judged, compared or recommended by them.

use crate::analyze::report::{MetricRow, Report, SpeedRow, VariantRow};
use crate::journal::foreign::record::{ForeignFile, ForeignModel, ForeignScore, ForeignSpeed};
use crate::stats::Z95;

use super::measure::higher_is_better;

/// Status of a foreign row.
pub const FOREIGN: &str = "foreign";

impl VariantRow {
    /// Whether another program measured it.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        self.status.starts_with(FOREIGN)
    }
}

/// Adds the rows of all that was imported.
pub fn join(report: &mut Report, files: &[ForeignFile]) {
    for file in files {
        for (at, model) in file.models.iter().enumerate() {
            let name = name(file, model, at);
            report.variants.push(variant(file, model, &name));
            report.speed.extend(model.speeds.iter().map(|speed| speed_row(file, model, &name, speed)));
            report.metrics.extend(model.scores.iter().map(|score| metric_row(file, model, &name, score)));
        }
    }
}

/// `src-f16 (bench.csv)`; a model that was run by several settings is numbered.
fn name(file: &ForeignFile, model: &ForeignModel, at: usize) -> String {
    let before = file.models.iter().take(at).filter(|other| other.name == model.name).count();
    let number = if before == 0 { String::new() } else { format!(" #{}", before + 1) };
    let stem = if model.name.is_empty() { "model" } else { &model.name };
    format!("{stem}{number} ({})", file.file)
}

fn origin(file: &ForeignFile, model: &ForeignModel) -> String {
    format!("{} by {}; {}", file.file, file.tool, model.settings)
}

fn variant(file: &ForeignFile, model: &ForeignModel, name: &str) -> VariantRow {
    let at = |prompt: u32, generate: u32| {
        let mut points = model.speeds.iter().filter(|speed| speed.depth == 0);
        points.find(|speed| (speed.prompt, speed.generate) == (prompt, generate))
    };
    VariantRow {
        variant: name.to_owned(),
        type_name: model.type_name.clone(),
        file_bytes: model.bytes,
        bpw: model.bpw,
        pp512_tps: at(512, 0).map(|speed| speed.mean),
        pp512_tps_sd: at(512, 0).and_then(|speed| speed.sd),
        tg128_tps: at(0, 128).map(|speed| speed.mean),
        tg128_tps_sd: at(0, 128).and_then(|speed| speed.sd),
        status: format!("{FOREIGN}: {}", file.tool),
        ..VariantRow::default()
    }
}

fn speed_row(file: &ForeignFile, model: &ForeignModel, name: &str, speed: &ForeignSpeed) -> SpeedRow {
    let known = |tokens: u32| Some(tokens).filter(|tokens| *tokens > 0);
    SpeedRow {
        variant: name.to_owned(),
        kind: if speed.prompt > 0 { "pp" } else { "tg" }.to_owned(),
        prompt: known(speed.prompt),
        generate: known(speed.generate),
        depth: speed.depth,
        parallel: 1,
        mean: Some(speed.mean),
        sd: speed.sd,
        n: speed.n,
        unit: "tokens/s".to_owned(),
        status: FOREIGN.to_owned(),
        reason: origin(file, model),
        ..SpeedRow::default()
    }
}

fn metric_row(file: &ForeignFile, model: &ForeignModel, name: &str, score: &ForeignScore) -> MetricRow {
    let half = score.stderr.map(|error| Z95 * error);
    MetricRow {
        variant: name.to_owned(),
        suite: file.suite.clone(),
        metric: score.metric.clone(),
        value: Some(score.value),
        stderr: score.stderr,
        ci_low: half.map(|half| score.value - half),
        ci_high: half.map(|half| score.value + half),
        n: model.tokens,
        higher_is_better: higher_is_better(&score.metric),
        chance: None,
        status: FOREIGN.to_owned(),
        reason: origin(file, model),
        partial: String::new(),
    }
}
