//! How fast a variant is: as measured on the machine of the sweep, by one stream and by several together, and what that
//! means for another device, where memory bandwidth decides.

use super::formulas::{Shape, Speed, busy_hours};
use super::prices::Machine;
use crate::analyze::device;
use crate::analyze::report::{SpeedRow, VariantRow};
use crate::units::Bytes;

/// 10^9 bytes.
const GB: f64 = 1e9;

/// A throughput, and where it is from.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Throughput {
    /// Streams together.
    pub streams: u32,
    /// What they do.
    pub speed: Speed,
    /// `measured, one stream`, `scaled by bandwidth ...`.
    pub source: String,
}

/// Bandwidth of the machine's memory.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bandwidth {
    /// 10^9 bytes a second.
    pub gb_per_s: f64,
    /// The variant that it is estimated from; absent if it was given.
    pub from: Option<String>,
}

/// A usable rate.
fn rate(value: Option<f64>) -> Option<f64> {
    value.filter(|v| v.is_finite() && *v > 0.0)
}

/// Throughputs of a variant: by one stream, and by as many together as take least time for this workload, where several
/// were timed.
pub(super) fn measured(variant: &VariantRow, rows: &[SpeedRow], shape: Shape) -> Vec<Throughput> {
    let one = rate(variant.pp512_tps).zip(rate(variant.tg128_tps));
    let Some((pp_tps, tg_tps)) = one else { return Vec::new() };
    let several = several(variant, rows, pp_tps);
    let source = if several.is_empty() {
        "measured, one stream; several together were not timed"
    } else {
        "measured, one stream"
    };
    let speed = Speed { pp_tps, tg_tps };
    let mut all = vec![Throughput { streams: 1, speed, source: source.to_owned() }];
    let hours = |t: &Throughput| busy_hours(t.speed, shape);
    let best = several.into_iter().min_by(|a, b| hours(a).total_cmp(&hours(b)));
    all.extend(best.filter(|best| all.iter().all(|one| hours(best) < hours(one))));
    all
}

/// Every number of streams above one that generation was timed with, at the least depth there is.
fn several(variant: &VariantRow, rows: &[SpeedRow], one_pp_tps: f64) -> Vec<Throughput> {
    let of = |kind: &'static str| {
        rows.iter().filter(move |row| row.variant == variant.variant && row.kind == kind && row.parallel > 1)
    };
    let Some(depth) = of("parallel_tg").filter(|row| rate(row.mean).is_some()).map(|row| row.depth).min()
    else {
        return Vec::new();
    };
    let at_depth = |row: &&SpeedRow| row.depth == depth;
    let throughput = |row: &SpeedRow| {
        let tg_tps = rate(row.mean)?;
        let read = of("parallel_pp").filter(at_depth).find(|other| other.parallel == row.parallel);
        let read = read.and_then(|row| rate(row.mean));
        let by = if read.is_some() { "" } else { ", prompts by one" };
        Some(Throughput {
            streams: row.parallel,
            speed: Speed { pp_tps: read.unwrap_or(one_pp_tps), tg_tps },
            source: format!("measured, {} streams together{by}", row.parallel),
        })
    };
    of("parallel_tg").filter(at_depth).filter_map(throughput).collect()
}

/// The machine's bandwidth: as given, or the most that any variant's generation shows, each token reading the whole file.
pub(super) fn bandwidth(machine: &Machine, variants: &[VariantRow]) -> Option<Bandwidth> {
    if let Some(gb_per_s) = machine.bandwidth_gb_per_s {
        return Some(Bandwidth { gb_per_s, from: None });
    }
    let of = |v: &VariantRow| Some((v.file_bytes? as f64 * rate(v.tg128_tps)? / GB, v.variant.clone()));
    let most = variants.iter().filter_map(of).max_by(|a, b| a.0.total_cmp(&b.0));
    most.map(|(gb_per_s, from)| Bandwidth { gb_per_s, from: Some(from) })
}

/// The same on another device, or why it cannot be said.
pub(super) fn scaled(
    throughput: &Throughput,
    variant: &VariantRow,
    device: &str,
    machine: &Machine,
    bandwidth: Option<&Bandwidth>,
) -> Result<Throughput, String> {
    let device = device::find(device).map_err(|unknown| unknown.to_string())?;
    let bandwidth = bandwidth.ok_or("the bandwidth of this machine is not known")?;
    let file = variant.file_bytes.ok_or("the size of the file is not known")?;
    if file > device.gpu_bytes {
        let room = Bytes(device.gpu_bytes);
        return Err(format!("does not fit: {} in {room} of {}", Bytes(file), device.name));
    }
    let theirs = device.bandwidth_bytes_per_s / GB;
    // What is estimated from generation is what is reached; beside it stands what the device reaches, not what it could.
    let (reached, how) = match &bandwidth.from {
        None => (theirs, format!("{theirs}/{} GB/s", bandwidth.gb_per_s)),
        Some(from) => (
            theirs * machine.device_efficiency,
            format!(
                "{theirs} x {}/{:.1} GB/s, the latter estimated: file bytes x tg128 of {from}",
                machine.device_efficiency, bandwidth.gb_per_s
            ),
        ),
    };
    let factor = reached / bandwidth.gb_per_s;
    let Speed { pp_tps, tg_tps } = throughput.speed;
    Ok(Throughput {
        streams: throughput.streams,
        speed: Speed { pp_tps: pp_tps * factor, tg_tps: tg_tps * factor },
        source: format!("scaled by bandwidth {how}; {}", throughput.source),
    })
}
