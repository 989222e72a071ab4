//! What one text says about one model, perhaps against a base: the answer of `bitfrontier perplexity`.

use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::text::{Figure, Usable};
use crate::journal::record::ItemRecord;

/// Seed of the resamples behind the intervals: the same text always has the same ones.
const SEED: u64 = 1;

/// One model on one text.
#[derive(Debug, Clone, PartialEq)]
pub struct TextReport {
    /// Tokens a chunk.
    pub n_ctx: u32,
    /// Which positions of a chunk are scored, if not the second half.
    pub scored: Option<&'static str>,
    /// Tokens between the beginnings of two chunks, if they overlap.
    pub stride: Option<u32>,
    /// Chunks scored.
    pub chunks: u64,
    /// Tokens scored.
    pub tokens: u64,
    /// Tokens left out because a logit was not finite.
    pub nonfinite: u64,
    /// Figures in the order in which they are shown; without a base only those of the model itself.
    pub figures: Vec<Figure>,
    /// Where the base's distributions were kept or came from.
    pub store: Option<StoreUsed>,
    /// Wall seconds of the whole command.
    pub wall_s: f64,
    /// Seconds of these within `llama_decode`, of all models.
    pub decode_s: f64,
}

/// Where a base's distributions were kept or came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreUsed {
    /// `hidden` or `logits`, or `llama.cpp` for its own file.
    pub kind: String,
    /// Bytes on disk.
    pub bytes: u64,
}

impl TextReport {
    /// Makes a report of scored chunks. Without `against` a base, the model was compared with itself and only its
    /// perplexity says anything.
    pub fn new(n_ctx: u32, items: &[ItemRecord], against: bool) -> Self {
        let usable = Usable::of(items);
        let mut figures = usable.figures(SEED);
        figures.retain(|figure| against || figure.key == "ppl");
        Self {
            n_ctx,
            scored: None,
            stride: None,
            chunks: items.len() as u64,
            tokens: usable.tokens(),
            nonfinite: usable.nonfinite,
            figures,
            store: None,
            wall_s: 0.0,
            decode_s: 0.0,
        }
    }

    /// A figure by its key.
    pub fn figure(&self, key: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.key == key)
    }
}

/// A flat object: a figure is its key, and where it has them `_stderr`, `_ci_low` and `_ci_high`. A number that is
/// not finite is null.
impl Serialize for TextReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("n_ctx", &self.n_ctx)?;
        if let Some(scored) = self.scored {
            map.serialize_entry("scored", scored)?;
        }
        if let Some(stride) = self.stride {
            map.serialize_entry("stride", &stride)?;
        }
        map.serialize_entry("chunks", &self.chunks)?;
        map.serialize_entry("tokens", &self.tokens)?;
        if self.nonfinite > 0 {
            map.serialize_entry("nonfinite", &self.nonfinite)?;
        }
        for Figure { key, value, stderr, interval } in &self.figures {
            map.serialize_entry(key, value)?;
            if let Some(stderr) = stderr {
                map.serialize_entry(&format!("{key}_stderr"), stderr)?;
            }
            if let Some((low, high)) = interval {
                map.serialize_entry(&format!("{key}_ci_low"), low)?;
                map.serialize_entry(&format!("{key}_ci_high"), high)?;
            }
        }
        if let Some(store) = &self.store {
            map.serialize_entry("store", &store.kind)?;
            map.serialize_entry("store_bytes", &store.bytes)?;
        }
        map.serialize_entry("wall_s", &self.wall_s)?;
        map.serialize_entry("decode_s", &self.decode_s)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::record::{ChunkScore, F32Array, ItemScore};

    fn items() -> Vec<ItemRecord> {
        let chunk = |c: u64| {
            let column = |f: fn(u64) -> f32| F32Array((c * 7..c * 7 + 7).map(f).collect());
            let score = ChunkScore {
                nll: column(|i| (i % 5) as f32),
                nll_base: column(|i| (i % 3) as f32),
                kld: column(|i| i as f32 / 8.0),
                delta_p: column(|i| i as f32 / 64.0),
                same_top: vec![1, 1, 0, 1, 1, 1, 0],
                nonfinite: u32::from(c == 1),
                moments: None,
            };
            ItemRecord { index: c, id: c.to_string(), score: ItemScore::Chunk(Box::new(score)) }
        };
        vec![chunk(0), chunk(1)]
    }

    fn keys(report: &TextReport) -> Vec<String> {
        let json = serde_json::to_string_pretty(report).expect("JSON");
        json.lines()
            .filter_map(|line| Some(line.trim().split_once(':')?.0.trim_matches('"').to_owned()))
            .collect()
    }

    #[test]
    fn the_keys_are_a_contract() {
        let mut report = TextReport::new(16, &items(), true);
        assert_eq!((report.chunks, report.tokens, report.nonfinite), (2, 14, 1));
        report.nonfinite = 0;
        (report.scored, report.stride) = (Some("all"), Some(5));
        assert_eq!(keys(&report)[..4], ["n_ctx", "scored", "stride", "chunks"]);
        (report.scored, report.stride) = (None, None);
        report.store = Some(StoreUsed { kind: "logits".to_owned(), bytes: 5 });
        let with_interval =
            |key: &str| ["", "_stderr", "_ci_low", "_ci_high"].map(|end| format!("{key}{end}"));
        let mut expected: Vec<String> = ["n_ctx", "chunks", "tokens"].map(str::to_owned).into();
        for key in ["ppl", "ppl_base", "ppl_diff", "ppl_ratio", "ln_ratio"] {
            expected.extend(with_interval(key));
        }
        expected.push("cor".to_owned());
        expected.extend(with_interval("kld_mean"));
        let ends = ["max", "p99_9", "p99", "p95", "p90", "median", "p10", "p5", "p1", "p0_1", "min"];
        expected.extend(ends.map(|end| format!("kld_{end}")));
        expected.extend(with_interval("delta_p_mean"));
        expected.extend(with_interval("delta_p_rms"));
        let ends =
            ["max", "p99_9", "p99", "p95", "p90", "p75", "median", "p25", "p10", "p5", "p1", "p0_1", "min"];
        expected.extend(ends.map(|end| format!("delta_p_{end}")));
        expected.extend(with_interval("same_top_p"));
        expected.extend(["store", "store_bytes", "wall_s", "decode_s"].map(str::to_owned));
        assert_eq!(keys(&report), expected);
    }

    #[test]
    fn without_a_base_there_is_only_the_perplexity() {
        let report = TextReport::new(16, &items(), false);
        let expected = [
            "n_ctx",
            "chunks",
            "tokens",
            "nonfinite",
            "ppl",
            "ppl_stderr",
            "ppl_ci_low",
            "ppl_ci_high",
            "wall_s",
            "decode_s",
        ];
        assert_eq!(keys(&report), expected);
        let ppl = report.figure("ppl").expect("a perplexity");
        assert!((ppl.value - (26.0_f64 / 14.0).exp()).abs() < 1e-12, "{ppl:?}");
    }

    #[test]
    fn what_is_not_finite_is_null() {
        let mut items = items();
        if let ItemScore::Chunk(chunk) = &mut items[0].score {
            chunk.kld.0[0] = f32::INFINITY;
        }
        let json = serde_json::to_value(TextReport::new(16, &items, true)).expect("JSON");
        assert!(json["kld_mean"].is_null() && json["kld_max"].is_null() && json["ppl"].is_number());
    }
}
