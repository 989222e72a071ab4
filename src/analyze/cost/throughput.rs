//! How fast a variant is: as measured on the machine of the sweep, by one stream and by several together, and what that
//! means for another device, where memory bandwidth decides.

use super::formulas::{Joules, Shape, Speed, busy_hours};
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
    /// What a token takes of electricity; absent where it was not measured, as on any machine but this.
    pub energy: Option<Joules>,
}

/// Bandwidth of the machine's memory.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bandwidth {
    /// 10^9 bytes a second.
    pub gb_per_s: f64,
    /// The variant that it is estimated from; absent if it was given.
    pub from: Option<String>,
}

/// A rate that hours can be computed from.
fn rate(value: Option<f64>) -> Option<f64> {
    value.filter(|v| v.is_finite() && *v > 1e-6)
}

/// Whether a variant has a throughput.
pub(super) fn is_timed(variant: &VariantRow) -> bool {
    rate(variant.pp512_tps).is_some() && rate(variant.tg128_tps).is_some()
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
    let mut all = vec![Throughput { streams: 1, speed, source: source.to_owned(), energy: energy(variant) }];
    let hours = |t: &Throughput| busy_hours(t.speed, shape);
    let best = several.into_iter().min_by(|a, b| hours(a).total_cmp(&hours(b)));
    all.extend(best.filter(|best| all.iter().all(|one| hours(best) < hours(one))));
    all
}

/// Joules of one stream's tokens.
fn energy(variant: &VariantRow) -> Option<Joules> {
    Some(Joules { pp: variant.pp512_joules_per_token?, tg: variant.tg128_joules_per_token? })
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
        let joules = match read.filter(|row| rate(row.mean).is_some()) {
            Some(read) => read.joules_per_token,
            None => variant.pp512_joules_per_token,
        };
        let read = read.and_then(|row| rate(row.mean));
        let by = if read.is_some() { "" } else { ", prompts by one" };
        Some(Throughput {
            streams: row.parallel,
            speed: Speed { pp_tps: read.unwrap_or(one_pp_tps), tg_tps },
            source: format!("measured, {} streams together{by}", row.parallel),
            energy: joules.zip(row.joules_per_token).map(|(pp, tg)| Joules { pp, tg }),
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
        energy: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { input_per_output: 4.0, cached_share: 0.75 };

    fn variant() -> VariantRow {
        VariantRow {
            variant: "Q4_0".to_owned(),
            file_bytes: Some(2_000_000_000),
            pp512_tps: Some(100.0),
            tg128_tps: Some(20.0),
            ..VariantRow::default()
        }
    }

    fn speed(kind: &str, depth: u32, parallel: u32, mean: Option<f64>) -> SpeedRow {
        SpeedRow {
            variant: "Q4_0".to_owned(),
            kind: kind.to_owned(),
            prompt: None,
            generate: None,
            depth,
            parallel,
            mean,
            sd: None,
            n: 1,
            unit: "tokens/s".to_owned(),
            status: "done".to_owned(),
            ..SpeedRow::default()
        }
    }

    fn machine(bandwidth_gb_per_s: Option<f64>) -> Machine {
        let (source, date) = (String::new(), String::new());
        Machine { bandwidth_gb_per_s, device_efficiency: 0.5, source, date }
    }

    #[test]
    fn of_several_streams_the_fastest_number_counts() {
        let rows = [
            speed("parallel_tg", 0, 1, Some(20.0)),
            speed("parallel_tg", 0, 2, Some(35.0)),
            speed("parallel_tg", 0, 4, Some(50.0)),
            speed("parallel_tg", 0, 8, None),
            speed("parallel_tg", 4096, 4, Some(999.0)),
            speed("parallel_pp", 0, 4, Some(110.0)),
        ];
        let told = |rows: &[SpeedRow]| -> Vec<(u32, f64, f64, String)> {
            let all = measured(&variant(), rows, SHAPE);
            all.into_iter().map(|t| (t.streams, t.speed.pp_tps, t.speed.tg_tps, t.source)).collect()
        };
        let one = |how: &str| (1, 100.0, 20.0, how.to_owned());
        let four = (4, 110.0, 50.0, "measured, 4 streams together".to_owned());
        assert_eq!(told(&rows), [one("measured, one stream"), four]);
        assert_eq!(told(&rows[..1]), [one("measured, one stream; several together were not timed")]);
        let two = (2, 100.0, 35.0, "measured, 2 streams together, prompts by one".to_owned());
        assert_eq!(told(&rows[..2]), [one("measured, one stream"), two]);
        // Several that are slower than one are of no use.
        assert_eq!(told(&[speed("parallel_tg", 0, 2, Some(5.0))]), [one("measured, one stream")]);
        let untimed = VariantRow { tg128_tps: None, ..variant() };
        assert!(measured(&untimed, &rows, SHAPE).is_empty());
    }

    #[test]
    fn energy_is_that_of_as_many_streams_and_of_this_machine_only() {
        let variant =
            VariantRow { pp512_joules_per_token: Some(0.1), tg128_joules_per_token: Some(2.0), ..variant() };
        let drawn = |row: SpeedRow, joules| SpeedRow { joules_per_token: joules, ..row };
        let pair = |read, written| {
            let rows = [
                drawn(speed("parallel_tg", 0, 4, Some(50.0)), written),
                drawn(speed("parallel_pp", 0, 4, Some(110.0)), read),
            ];
            let all = measured(&variant, &rows, SHAPE);
            (all[0].energy, all[1].energy)
        };
        let one = Some(Joules { pp: 0.1, tg: 2.0 });
        let four = Some(Joules { pp: 0.09, tg: 0.8 });
        assert_eq!(pair(Some(0.09), Some(0.8)), (one, four));
        assert_eq!(pair(Some(0.09), None), (one, None), "one stream's would be too much");
        assert_eq!(pair(None, Some(0.8)), (one, None));
        // Where prompts are read by one, theirs are one's.
        let alone = [drawn(speed("parallel_tg", 0, 4, Some(50.0)), Some(0.8))];
        assert_eq!(measured(&variant, &alone, SHAPE)[1].energy, Some(Joules { pp: 0.1, tg: 0.8 }));
        let here = measured(&variant, &[], SHAPE).remove(0);
        let given = machine(Some(46.8));
        let card = scaled(&here, &variant, "RTX 3090", &given, bandwidth(&given, &[]).as_ref());
        assert_eq!((here.energy, card.expect("scaled").energy), (one, None));
        let half = VariantRow { pp512_joules_per_token: None, ..variant };
        assert_eq!(measured(&half, &[], SHAPE)[0].energy, None);
    }

    /// Files of 2 GB at 20 tokens/s: 40 GB/s here. Of 936 GB/s half is reached: 468. That is 11.7 times as much.
    #[test]
    fn another_device_is_scaled_by_bandwidth() {
        let here = measured(&variant(), &[], SHAPE).remove(0);
        let estimated = bandwidth(&machine(None), &[variant()]);
        let card = scaled(&here, &variant(), "RTX 3090", &machine(None), estimated.as_ref()).expect("scaled");
        assert!(
            (card.speed.tg_tps - 234.0).abs() < 1e-9 && (card.speed.pp_tps - 1170.0).abs() < 1e-9,
            "{card:?}"
        );
        assert!(
            card.source.starts_with("scaled by bandwidth 936 x 0.5/40.0 GB/s, the latter estimated"),
            "{card:?}"
        );
        // Given: 936/46.8 = 20 times.
        let given = machine(Some(46.8));
        let known = bandwidth(&given, &[variant()]);
        let card = scaled(&here, &variant(), "RTX 3090", &given, known.as_ref()).expect("scaled");
        assert!((card.speed.tg_tps - 400.0).abs() < 1e-9, "{card:?}");
        assert!(
            card.source.starts_with("scaled by bandwidth 936/46.8 GB/s; measured, one stream"),
            "{card:?}"
        );
    }

    #[test]
    fn what_cannot_be_scaled_says_why() {
        let here = measured(&variant(), &[], SHAPE).remove(0);
        let given = machine(Some(46.8));
        let known = bandwidth(&given, &[]);
        let why = |variant: &VariantRow, device: &str, known: Option<&Bandwidth>| {
            scaled(&here, variant, device, &given, known).expect_err("it cannot be scaled")
        };
        let large = VariantRow { file_bytes: Some(30 << 30), ..variant() };
        assert_eq!(why(&large, "RTX 3090", known.as_ref()), "does not fit: 30.0 GiB in 24.0 GiB of RTX 3090");
        let unknown = VariantRow { file_bytes: None, ..variant() };
        assert_eq!(why(&unknown, "RTX 3090", known.as_ref()), "the size of the file is not known");
        assert!(why(&variant(), "RTX 3091", known.as_ref()).contains("RTX 3091"));
        assert_eq!(why(&variant(), "RTX 3090", None), "the bandwidth of this machine is not known");
        assert_eq!(bandwidth(&machine(None), &[VariantRow { tg128_tps: None, ..variant() }]), None);
    }
}
