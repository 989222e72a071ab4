//! Cards and machines by name: how much memory they have, how fast it is and what they draw. The table is
//! `devices.toml`, embedded; each row says where its numbers are from and of when they are.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

/// The table.
const TABLE: &str = include_str!("devices.toml");
/// Most names that an error offers.
const OFFERED: usize = 3;
/// Bytes of a GiB.
const GIB: f64 = 1_073_741_824.0;

/// Whether the memory is a GPU's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A card with memory of its own, in a machine with other memory.
    Gpu,
    /// A machine whose processor and GPU share one memory.
    Unified,
}

/// A card or a machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Device {
    /// As it is sold.
    pub name: String,
    /// Whether the memory is a GPU's own.
    pub kind: Kind,
    /// All memory, in bytes.
    pub memory_bytes: u64,
    /// What the GPU is given without changing a setting, in bytes; of a card all memory.
    pub gpu_bytes: u64,
    /// Peak bandwidth of the memory as published, in bytes a second.
    pub bandwidth_bytes_per_s: f64,
    /// Watts when nothing is computed; absent where nobody published them.
    pub watts_idle: Option<f64>,
    /// Watts at most: of a card its board's limit, of a machine what it takes at the wall.
    pub watts_busy: f64,
    /// Where the numbers are from.
    pub source: String,
    /// Of when: year and month.
    pub date: String,
}

/// A name that is not in the table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no device is called {name:?}")]
pub struct UnknownDevice {
    /// What was asked for.
    pub name: String,
    /// The nearest names, best first.
    pub nearest: Vec<&'static str>,
}

impl UnknownDevice {
    /// What the user can do.
    pub fn hint(&self) -> String {
        format!(
            "the nearest are {}; or give the memory itself, such as --vram 24GiB",
            self.nearest.join(", ")
        )
    }
}

/// A row of the table as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    kind: Kind,
    memory_gib: u64,
    gpu_gib: Option<u64>,
    bandwidth_gbs: f64,
    watts_busy: f64,
    watts_idle: Option<f64>,
    source: String,
    date: String,
}

#[derive(Debug, Deserialize)]
struct Rows {
    device: Vec<Row>,
}

/// Every device, in the order of the table.
pub fn all() -> &'static [Device] {
    static DEVICES: OnceLock<Vec<Device>> = OnceLock::new();
    // The table is part of the program, and a test reads it.
    DEVICES.get_or_init(|| parse(TABLE).unwrap_or_default())
}

fn parse(text: &str) -> Result<Vec<Device>, toml::de::Error> {
    let rows: Rows = toml::from_str(text)?;
    Ok(rows.device.into_iter().map(device).collect())
}

fn device(row: Row) -> Device {
    let bytes = |gib: u64| gib << 30;
    Device {
        memory_bytes: bytes(row.memory_gib),
        gpu_bytes: bytes(row.gpu_gib.unwrap_or(row.memory_gib)),
        bandwidth_bytes_per_s: row.bandwidth_gbs * 1e9,
        name: row.name,
        kind: row.kind,
        watts_idle: row.watts_idle,
        watts_busy: row.watts_busy,
        source: row.source,
        date: row.date,
    }
}

/// A device by its name, whatever the case, the spaces and the maker's words before it.
pub fn find(name: &str) -> Result<&'static Device, UnknownDevice> {
    let wanted = plain(name);
    all()
        .iter()
        .find(|d| plain(&d.name) == wanted)
        .ok_or_else(|| UnknownDevice { name: name.to_owned(), nearest: nearest(&wanted) })
}

/// Lower case, letters and digits only, without words that are on every box.
fn plain(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    let words = lower.split(|c: char| !c.is_ascii_alphanumeric());
    words.filter(|w| !["nvidia", "geforce", "amd", "intel", "apple", ""].contains(w)).collect()
}

fn nearest(wanted: &str) -> Vec<&'static str> {
    let mut names: Vec<(f64, &str)> =
        all().iter().map(|d| (strsim::jaro_winkler(wanted, &plain(&d.name)), d.name.as_str())).collect();
    names.sort_by(|a, b| b.0.total_cmp(&a.0));
    names.into_iter().take(OFFERED).map(|(_, name)| name).collect()
}

impl Device {
    /// `24 GiB at 936 GB/s`.
    pub fn line(&self) -> String {
        format!("{} GiB at {} GB/s", self.memory_bytes as f64 / GIB, self.bandwidth_bytes_per_s / 1e9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole_and_plausible() {
        let devices = parse(TABLE).expect("the table is TOML of these columns");
        assert!(devices.len() >= 25);
        for d in &devices {
            assert!((8..=512).contains(&(d.memory_bytes >> 30)), "{}", d.name);
            assert!(d.gpu_bytes <= d.memory_bytes, "{}", d.name);
            assert!(d.kind == Kind::Unified || d.gpu_bytes == d.memory_bytes, "{}", d.name);
            assert!((200e9..5000e9).contains(&d.bandwidth_bytes_per_s), "{}", d.name);
            assert!(d.watts_idle.is_none_or(|idle| idle > 0.0 && idle < d.watts_busy), "{}", d.name);
            assert!(!d.source.is_empty() && d.date.len() == 7, "{}", d.name);
            assert_eq!(devices.iter().filter(|other| plain(&other.name) == plain(&d.name)).count(), 1);
        }
    }

    #[test]
    fn a_name_is_found_however_it_is_written() {
        for name in ["RTX 3090", "rtx 3090", "NVIDIA GeForce RTX 3090", "rtx3090"] {
            let card = find(name).expect(name);
            assert_eq!((card.memory_bytes, card.bandwidth_bytes_per_s), (24 << 30, 936e9));
        }
        assert_eq!(find("rtx 3090 ti").expect("found").watts_busy.to_bits(), 450_f64.to_bits());
    }

    #[test]
    fn an_unknown_name_is_told_the_nearest() {
        let unknown = find("RTX 3091").expect_err("no such card");
        assert!(unknown.nearest.contains(&"RTX 3090"), "{:?}", unknown.nearest);
        assert!(find("").is_err());
    }
}
