//! What a search found, for people and as JSON, and its recipe as a file that anybody can apply.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;

use crate::plan::recipe::{ImatrixUse, Weights};
use crate::stats;
use crate::units::Bytes;

/// A divergence that was measured in memory, with its uncertainty over chunks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// Of what.
    pub what: String,
    /// KL divergence from the base, nats a position, mean over chunks.
    pub kld: f64,
    /// Standard error over chunks; absent for one.
    pub standard_error: Option<f64>,
    /// 95% interval from a bootstrap over chunks; absent for one.
    pub interval: Option<(f64, f64)>,
}

impl Measured {
    /// From the chunks' own means.
    pub fn new(what: String, klds: &[f64]) -> Self {
        let clusters: Vec<[f64; 2]> = klds.iter().map(|kld| [1.0, *kld]).collect();
        let [interval] = stats::bootstrap_intervals(&clusters, 1, |sums| [sums[1] / sums[0]]);
        let n = klds.len() as f64;
        let error = stats::sample_sd(klds).filter(|_| n > 1.0).map(|sd| sd / n.sqrt());
        Self { what, kld: klds.iter().sum::<f64>() / n.max(1.0), standard_error: error, interval }
    }

    fn text(&self) -> String {
        let interval = self.interval.map_or(String::new(), |(low, high)| format!(" ({low:.4} to {high:.4})"));
        format!("{:.4}{interval}", self.kld)
    }
}

/// How far the search had come at some time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// What was measured.
    pub what: String,
    /// Its divergence on the text of the probes.
    pub kld: f64,
    /// Seconds since the search began.
    pub seconds: f64,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// The recipe.
    pub weights: Weights,
    /// Bytes of its file, exactly.
    pub file_bytes: u64,
    /// Bytes that were allowed.
    pub allowed_bytes: u64,
    /// The stock type that it is compared with: the largest that fits.
    pub stock: Option<String>,
    /// Bytes of that type's file.
    pub stock_bytes: Option<u64>,
    /// Whether nothing was found that is better than it.
    pub is_stock: bool,
    /// The mix, on text that nothing was chosen by.
    pub checked: Measured,
    /// The stock type's mix, on the same.
    pub checked_stock: Option<Measured>,
    /// The type of each group.
    pub groups: Vec<(String, String)>,
    /// Exchanges between groups that helped.
    pub exchanges: usize,
    /// The way.
    pub steps: Vec<Step>,
    /// Every probe, on the text of the probes.
    pub probes: Vec<Measured>,
    /// Chunks that were measured now.
    pub chunks_measured: u64,
    /// Chunks that an earlier search had measured.
    pub chunks_at_hand: u64,
    /// Seconds in all.
    pub seconds: f64,
    /// Where the probes are kept.
    pub probes_in: PathBuf,
}

impl Outcome {
    /// The answer for people.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "{} of {} allowed ({} of {} bytes); {} chunks measured, {} at hand, {:.0} s",
            Bytes(self.file_bytes),
            Bytes(self.allowed_bytes),
            self.file_bytes,
            self.allowed_bytes,
            self.chunks_measured,
            self.chunks_at_hand,
            self.seconds
        );
        for step in &self.steps {
            let _ = writeln!(out, "  {:>5.0} s  KLD {:.4}  {}", step.seconds, step.kld, step.what);
        }
        let _ = writeln!(out, "KLD on text that nothing was chosen by, in memory: {}", self.checked.text());
        if let (Some(name), Some(stock)) = (&self.stock, &self.checked_stock) {
            let change = 100.0 * (self.checked.kld / stock.kld - 1.0);
            let _ = writeln!(out, "of {name}: {}; {change:+.0}%", stock.text());
        }
        if self.is_stock {
            let _ = writeln!(out, "nothing better than the stock type was found: this is its mix");
        }
        for (group, kind) in &self.groups {
            let _ = writeln!(out, "  {group:<28} {kind}");
        }
        out
    }

    /// The recipe as a file.
    pub fn recipe(&self) -> String {
        let weights = &self.weights;
        let mut out = format!(
            "# Found by bitfrontier search; every type was chosen by measurement.\nabout = \"searched: {} bytes{}\"\ntype = \"{}\"\n",
            self.file_bytes,
            self.stock.as_ref().map_or(String::new(), |name| format!(", compared with {name}")),
            weights.type_name
        );
        if let ImatrixUse::File(path) = &weights.imatrix {
            let path = toml::Value::String(path.display().to_string());
            let _ = writeln!(out, "imatrix = {path}");
        }
        for (key, kind) in [("output", &weights.output), ("embedding", &weights.embedding)] {
            if let Some(kind) = kind {
                let _ = writeln!(out, "{key} = \"{kind}\"");
            }
        }
        for rule in &weights.overrides {
            let _ = writeln!(out, "\n[[tensors]]\nmatch = '{}'", rule.tensors);
            if let Some(layers) = &rule.layers {
                let _ = writeln!(out, "layers = \"{layers}\"");
            }
            let _ = writeln!(out, "type = \"{}\"", rule.type_name);
        }
        out
    }
}
