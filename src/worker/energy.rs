//! Energy that a piece of work took, as the machine's own counters tell it: RAPL for CPU packages, NVML for NVIDIA cards.
//!
//! A counter knows nothing of processes. RAPL's figure is all that the package took between two readings: every core, the
//! caches and the memory controller, whoever kept them busy, and what the package draws when it does nothing. It leaves out
//! the memory modules, disks, fans and what the power supply loses. NVML's is all that a card took, its memory included,
//! summed over every card that the driver shows and that counts. What is idle is therefore part of the figure and is not
//! taken off; on a machine that does something else at the same time the figure is too high.
//!
//! A counter that is not there, that may not be read (most systems keep RAPL's to root), or that does not move is not
//! offered, and no error: costs are then computed from watts. So are they where layers are on a GPU that NVML does not know.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nvml_wrapper::Nvml;

/// Where Linux shows RAPL's counters.
pub const POWERCAP: &str = "/sys/class/powercap";

/// No package draws more. A counter that could have run over more than once at that tells nothing.
const MOST_WATTS: f64 = 500.0;

/// Reads a small file.
type Read = fn(&Path) -> io::Result<String>;

/// The energy counters of this machine.
#[derive(Debug)]
pub struct Meter {
    packages: Vec<Package>,
    cards: Option<Cards>,
    read: Read,
}

/// What the counters said at one moment.
#[derive(Debug, Clone)]
pub struct Reading {
    at: Instant,
    packages_uj: Vec<u64>,
    cards_mj: Vec<u64>,
}

/// A CPU package and its counter in microjoules.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Package {
    counter: PathBuf,
    /// The value after which the counter begins at 0 again.
    range_uj: u64,
}

/// The cards that count.
#[derive(Debug)]
struct Cards {
    nvml: Nvml,
    indices: Vec<u32>,
}

impl Meter {
    /// What there is below `powercap` (on a real machine [`POWERCAP`]) and, if layers may be on a GPU, of NVIDIA's cards.
    #[must_use]
    pub fn open(powercap: &Path, gpu: bool) -> Self {
        let read: Read = |path| fs::read_to_string(path);
        if !gpu {
            return Self::of_packages(powercap, read);
        }
        Self::with_cards(powercap, Nvml::init().ok().and_then(Cards::new), read)
    }

    fn of_packages(powercap: &Path, read: Read) -> Self {
        Self { packages: packages(powercap, read).unwrap_or_default(), cards: None, read }
    }

    /// With layers on a GPU that counts nothing there is no figure: the packages' alone would be taken for the whole.
    fn with_cards(powercap: &Path, cards: Option<Cards>, read: Read) -> Self {
        if cards.is_none() {
            return Self { packages: Vec::new(), cards, read };
        }
        Self { cards, ..Self::of_packages(powercap, read) }
    }

    /// `rapl`, `nvml`, `rapl+nvml`, or empty if there is no counter.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match (!self.packages.is_empty(), self.cards.is_some()) {
            (true, true) => "rapl+nvml",
            (true, false) => "rapl",
            (false, true) => "nvml",
            (false, false) => "",
        }
    }

    /// What the counters say now; absent if there is none, or if one of them cannot be read any more.
    #[must_use]
    pub fn reading(&self) -> Option<Reading> {
        if self.name().is_empty() {
            return None;
        }
        let packages_uj: Option<Vec<u64>> =
            self.packages.iter().map(|package| number(&package.counter, self.read)).collect();
        let cards_mj = self.cards.as_ref().map_or(Some(Vec::new()), Cards::reading);
        Some(Reading { at: Instant::now(), packages_uj: packages_uj?, cards_mj: cards_mj? })
    }

    /// Joules since a reading, of all counters together. Absent where that cannot be said: a counter cannot be read, was
    /// set back, did not move, or may have run over twice.
    #[must_use]
    pub fn joules_since(&self, before: Option<&Reading>) -> Option<f64> {
        let (before, after) = (before?, self.reading()?);
        self.joules(before, &after, after.at.duration_since(before.at))
    }

    fn joules(&self, before: &Reading, after: &Reading, elapsed: Duration) -> Option<f64> {
        let mut joules = 0.0;
        for ((package, from), to) in self.packages.iter().zip(&before.packages_uj).zip(&after.packages_uj) {
            joules += package.microjoules(*from, *to, elapsed)? as f64 / 1e6;
        }
        for (from, to) in before.cards_mj.iter().zip(&after.cards_mj) {
            joules += to.checked_sub(*from)? as f64 / 1e3;
        }
        Some(joules).filter(|joules| *joules > 0.0)
    }
}

impl Package {
    /// Microjoules between two values of the counter, which may have begun at 0 again once.
    fn microjoules(&self, from: u64, to: u64, elapsed: Duration) -> Option<u64> {
        if elapsed.as_secs_f64() * MOST_WATTS * 1e6 >= self.range_uj as f64 {
            return None;
        }
        if to >= from { Some(to - from) } else { Some(self.range_uj.checked_sub(from)? + to) }
    }
}

impl Cards {
    fn new(nvml: Nvml) -> Option<Self> {
        let mut cards = Self { nvml, indices: Vec::new() };
        let all = 0..cards.nvml.device_count().ok()?;
        cards.indices = all.filter(|index| cards.millijoules(*index).is_some()).collect();
        Some(cards).filter(|cards| !cards.indices.is_empty())
    }

    fn millijoules(&self, index: u32) -> Option<u64> {
        self.nvml.device_by_index(index).ok()?.total_energy_consumption().ok()
    }

    fn reading(&self) -> Option<Vec<u64>> {
        self.indices.iter().map(|index| self.millijoules(*index)).collect()
    }
}

/// Every package of the machine, in the order of their names; absent if one of them cannot be read, since a sum without it
/// would be taken for the whole. What lies below a package (`intel-rapl:0:0`: its cores) is part of it, `psys` contains it,
/// and `intel-rapl-mmio` is the same counter once more.
fn packages(powercap: &Path, read: Read) -> Option<Vec<Package>> {
    let mut zones: Vec<PathBuf> =
        fs::read_dir(powercap).ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    zones.retain(|zone| is_top_zone(zone));
    zones.sort();
    let mut packages = Vec::new();
    for zone in zones {
        if read(&zone.join("name")).ok()?.starts_with("package") {
            let counter = zone.join("energy_uj");
            number(&counter, read)?;
            packages.push(Package { counter, range_uj: number(&zone.join("max_energy_range_uj"), read)? });
        }
    }
    Some(packages)
}

fn is_top_zone(zone: &Path) -> bool {
    let name = zone.file_name().and_then(|name| name.to_str());
    let index = name.and_then(|name| name.strip_prefix("intel-rapl:"));
    index.is_some_and(|index| !index.is_empty() && index.bytes().all(|b| b.is_ascii_digit()))
}

fn number(path: &Path, read: Read) -> Option<u64> {
    read(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests;
