//! What a page for people needs beside the [`Report`](super::Report): which variant to take, the questions that flipped, and
//! under which conditions everything was measured.

use super::flips::{self, Flips};
use super::lean::Reread;
use super::planned::Sheet;
use super::recommend::{Limits, Recommendation, recommend};
use super::summary::Analysis;
use crate::journal::reader::TrialData;
use crate::journal::record::Manifest;
use crate::units::Bytes;

/// What stands around the tables of a page.
#[derive(Debug, Clone, PartialEq)]
pub struct Background {
    /// Which variant to take where nothing limits memory or speed.
    pub recommendation: Recommendation,
    /// The questions that flipped.
    pub flips: Flips,
    /// What everything was measured with and on: a name and its value.
    pub facts: Vec<(&'static str, String)>,
    /// A score so near to the base's counts as equal; a fraction.
    pub tolerance: f64,
    /// The whole manifest, as JSON.
    pub manifest: String,
}

/// The background of a sweep; texts of questions that flipped are read again.
#[must_use]
pub fn background(
    manifest: &Manifest,
    trials: &[TrialData],
    analysis: &Analysis,
    reread: &Reread,
) -> Background {
    Background {
        recommendation: recommend(manifest, analysis, &Limits::default()),
        flips: flips::all(&Sheet::new(manifest, trials), reread),
        facts: facts(manifest),
        tolerance: manifest.judging.tolerance,
        // Numbers, texts and lists: there is nothing in it that JSON could not say.
        manifest: serde_json::to_string_pretty(manifest).unwrap_or_default(),
    }
}

/// Those that are known.
fn facts(manifest: &Manifest) -> Vec<(&'static str, String)> {
    let (base, machine, software) = (&manifest.base, &manifest.machine, &manifest.software);
    let commit = Some(&software.commit).filter(|c| !c.is_empty());
    let facts = [
        ("Base model", base.source.clone()),
        ("Its SHA-256", base.sha256.clone()),
        ("Its size", format!("{}, {:.2} bits per weight", Bytes(base.file_bytes), base.bpw)),
        ("Architecture", base.architecture.clone()),
        ("Begun", manifest.created.clone()),
        (
            "bitfrontier",
            commit.map_or(software.bitfrontier.clone(), |c| format!("{} ({c})", software.bitfrontier)),
        ),
        ("llama.cpp", software.llama_cpp.clone()),
        ("Build", software.build.clone()),
        ("CPU", machine.cpu.clone()),
        ("CPU features", machine.cpu_features.join(" ")),
        ("Devices", machine.devices.join(", ")),
        ("Cores, threads", format!("{}, {}", machine.cores, manifest.threads)),
        ("Memory", Bytes(machine.ram_bytes).to_string()),
        ("System", machine.os.clone()),
        ("Seed", manifest.seed.to_string()),
        ("Variants, suites, trials", {
            let counts = [manifest.variants.len(), manifest.suites.len(), manifest.trials.len()];
            counts.map(|n| n.to_string()).join(", ")
        }),
    ];
    facts.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}
