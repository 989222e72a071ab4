//! The tables of a results folder as CSV files. Column names and order are a contract: later columns go to the
//! end. Floats are in their shortest form that reads back as the same number; missing is empty.

use super::file::{RenderError, replace};
use crate::analyze::Report;
use crate::analyze::report::{SuiteSummary, VariantRow};
use serde::Serialize;
use std::path::Path;

// Written out, because the csv crate derives headers from a first row, and a table without rows has none. A test
// holds them to the row types.
const VARIANTS: [&str; 28] = [
    "variant",
    "recipe",
    "type",
    "imatrix",
    "file_bytes",
    "bpw",
    "nominal_bpw",
    "fallback_tensors",
    "quantize_s",
    "sha256",
    "peak_rss_bytes",
    "model_buffer_bytes",
    "context_buffer_bytes",
    "compute_buffer_bytes",
    "device_bytes",
    "load_s",
    "pp512_tps",
    "pp512_tps_sd",
    "tg128_tps",
    "tg128_tps_sd",
    "status",
    "same_as",
    "tensor_types",
    "imatrix_from",
    "gguf",
    "pp512_joules_per_token",
    "tg128_joules_per_token",
    "energy_meter",
];
const METRICS: [&str; 13] = [
    "variant",
    "suite",
    "metric",
    "value",
    "stderr",
    "ci_low",
    "ci_high",
    "n",
    "higher_is_better",
    "chance",
    "status",
    "reason",
    "partial",
];
const COMPARISONS: [&str; 17] = [
    "variant",
    "suite",
    "metric",
    "delta",
    "delta_stderr",
    "flips_lost",
    "flips_won",
    "n",
    "verdict",
    "partial",
    "ci_low",
    "ci_high",
    "p",
    "p_holm",
    "detectable",
    "clusters",
    "shown",
];
const FRONTIER: [&str; 9] =
    ["variant", "axis_x", "axis_y", "x", "y", "on_frontier", "partial", "share", "tied_with"];
const CLIFFS: [&str; 14] = [
    "scope",
    "name",
    "suites",
    "tolerance",
    "equal_variant",
    "equal_bpw",
    "not_worse_variant",
    "not_worse_bpw",
    "falls_variant",
    "falls_bpw",
    "n",
    "detectable",
    "says",
    "partial",
];
const LOOKS: [&str; 16] = [
    "variant",
    "scope",
    "look",
    "items",
    "of",
    "delta",
    "ci_low",
    "ci_high",
    "rule",
    "by",
    "more_low",
    "more_high",
    "shown",
    "suites",
    "tolerance",
    "precision",
];
const FALLBACKS: [&str; 6] = ["recipe", "tensor", "columns", "block", "wanted", "got"];
const SPEED: [&str; 14] = [
    "variant",
    "kind",
    "prompt",
    "generate",
    "depth",
    "parallel",
    "mean",
    "sd",
    "n",
    "unit",
    "status",
    "reason",
    "joules_per_token",
    "energy_meter",
];
const SPECULATION: [&str; 22] = [
    "target",
    "draft",
    "length",
    "prompts",
    "tokens",
    "drafted",
    "accepted",
    "acceptance",
    "tokens_per_step",
    "plain_tps",
    "speculative_tps",
    "ratio",
    "ratio_ci_low",
    "ratio_ci_high",
    "verdict",
    "same_outputs",
    "near_ties",
    "largest_gap",
    "tolerance",
    "diverged",
    "status",
    "reason",
];
const TRIALS: [&str; 18] = [
    "id",
    "kind",
    "variant",
    "suite",
    "status",
    "reason",
    "failures",
    "items_planned",
    "items_done",
    "items_cached",
    "wall_s",
    "decode_s",
    "tokens_decoded",
    "tokens_naive",
    "stopped",
    "looks",
    "node",
    "cpu",
];
const CAPABILITIES: [&str; 12] = [
    "variant",
    "capability",
    "suites",
    "n",
    "score",
    "base_score",
    "retained",
    "retained_stderr",
    "ci_low",
    "ci_high",
    "left_out",
    "partial",
];
const LONG_CONTEXT: [&str; 16] = [
    "variant", "suite", "kind", "length", "depth", "metric", "value", "stderr", "ci_low", "ci_high", "n",
    "failed", "kv_k", "kv_v", "status", "reason",
];
const COSTS: [&str; 22] = [
    "variant",
    "scenario",
    "usd_per_mtok_out",
    "usd_per_mtok_blended",
    "usd_per_solved_task",
    "monthly_fixed_usd",
    "break_even_mtok",
    "capacity_mtok",
    "source",
    "kind",
    "workload",
    "volume_mtok",
    "usd_per_month",
    "usd_per_mtok_out_full",
    "streams",
    "suite",
    "against",
    "verdict",
    "break_even_uncapped_mtok",
    "input",
    "input_value",
    "energy_source",
];
const SUMMARY: [&str; 7] =
    ["variant", "bpw", "file_bytes", "peak_rss_bytes", "pp512_tps", "tg128_tps", "on_frontier"];
const SUMMARY_END: [&str; 4] =
    ["partial", "pp512_joules_per_token", "tg128_joules_per_token", "energy_meter"];

/// Writes `variants.csv`, `metrics.csv`, `summary.csv`, `comparisons.csv`, `frontier.csv`, `fallbacks.csv`,
/// `speed.csv`, `speculation.csv`, `trials.csv`, `capabilities.csv`, `long_context.csv`, `cliffs.csv` and `costs.csv`
/// into `folder`, each replaced as a whole. The same report gives the same bytes.
///
/// # Errors
/// If a file cannot be written.
pub fn write_all(report: &Report, folder: &Path) -> Result<(), RenderError> {
    write_table(&folder.join("variants.csv"), &VARIANTS, &report.variants)?;
    write_table(&folder.join("metrics.csv"), &METRICS, &report.metrics)?;
    write_summary(&folder.join("summary.csv"), report)?;
    write_table(&folder.join("comparisons.csv"), &COMPARISONS, &report.comparisons)?;
    write_table(&folder.join("frontier.csv"), &FRONTIER, &report.frontier)?;
    write_table(&folder.join("fallbacks.csv"), &FALLBACKS, &report.fallbacks)?;
    write_table(&folder.join("speed.csv"), &SPEED, &report.speed)?;
    write_table(&folder.join("speculation.csv"), &SPECULATION, &report.speculation)?;
    write_table(&folder.join("trials.csv"), &TRIALS, &report.trials)?;
    write_table(&folder.join("capabilities.csv"), &CAPABILITIES, &report.capabilities)?;
    write_table(&folder.join("long_context.csv"), &LONG_CONTEXT, &report.long_context)?;
    write_table(&folder.join("cliffs.csv"), &CLIFFS, &report.cliffs)?;
    write_table(&folder.join("looks.csv"), &LOOKS, &report.looks)?;
    write_table(&folder.join("costs.csv"), &COSTS, &report.costs.rows)
}

/// One wide row a variant: [`SUMMARY`], then the main metric of each suite as `suite.metric`, then [`SUMMARY_END`].
fn write_summary(path: &Path, report: &Report) -> Result<(), RenderError> {
    let main_metrics = report.suites.iter().map(|s| format!("{}.{}", s.name, s.main_metric));
    let ends = [SUMMARY.as_slice(), &SUMMARY_END].map(|part| part.iter().map(ToString::to_string));
    let [begin, end] = ends;
    let headers: Vec<String> = begin.chain(main_metrics).chain(end).collect();
    let rows: Vec<_> = report.variants.iter().map(|variant| summary_row(report, variant)).collect();
    write_table(path, &headers, &rows)
}

fn summary_row<'a>(report: &Report, row: &'a VariantRow) -> impl Serialize + use<'a> {
    let value = |suite: &SuiteSummary| {
        report.metric(&row.variant, &suite.name, &suite.main_metric).and_then(|metric| metric.value)
    };
    (
        &row.variant,
        row.bpw,
        row.file_bytes,
        row.peak_rss_bytes,
        row.pp512_tps,
        row.tg128_tps,
        report.on_frontier(&row.variant),
        report.suites.iter().map(value).collect::<Vec<Option<f64>>>(),
        report.partial_suites().join(" "),
        row.pp512_joules_per_token,
        row.tg128_joules_per_token,
        &row.energy_meter,
    )
}

fn write_table<R: Serialize>(
    path: &Path,
    headers: &[impl AsRef<[u8]>],
    rows: &[R],
) -> Result<(), RenderError> {
    let bytes =
        table(headers, rows).map_err(|source| RenderError::Format { path: path.to_owned(), source })?;
    replace(path, &bytes)
}

/// A header line, then one line a row.
pub(super) fn table<R: Serialize>(headers: &[impl AsRef<[u8]>], rows: &[R]) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    writer.write_record(headers)?;
    for row in rows {
        writer.serialize(row)?;
    }
    writer.into_inner().map_err(|error| csv::Error::from(std::io::Error::other(error.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyze::lookup::Places;
    use crate::analyze::report::{
        About, CapabilityRow, ComparisonRow, CostRow, CostSheet, FallbackRow, FrontierRow, LongContextRow,
        MetricRow, SpeculationRow, SpeedRow, TrialRow,
    };

    fn derived<R: Serialize>(row: &R) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.serialize(row).unwrap();
        let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
        text.lines().next().unwrap().to_owned()
    }

    fn metric(variant: &str, value: Option<f64>) -> MetricRow {
        MetricRow {
            variant: variant.to_owned(),
            suite: "book".to_owned(),
            metric: "kld_mean".to_owned(),
            value,
            stderr: value.map(|_| 1e-7),
            ci_low: None,
            ci_high: None,
            n: 60,
            higher_is_better: false,
            chance: None,
            status: "crashed".to_owned(),
            reason: "said \"no\", twice".to_owned(),
            partial: String::new(),
        }
    }

    fn comparison() -> ComparisonRow {
        ComparisonRow {
            variant: "Q4_0".to_owned(),
            suite: "quiz".to_owned(),
            metric: "acc".to_owned(),
            delta: Some(-0.5),
            delta_stderr: None,
            flips_lost: Some(2),
            flips_won: Some(0),
            n: 4,
            verdict: String::new(),
            partial: String::new(),
            ci_low: Some(-0.9),
            ci_high: Some(0.1),
            p: Some(0.5),
            p_holm: Some(1.0),
            detectable: Some(0.7),
            clusters: Some(3),
            shown: "open".to_owned(),
        }
    }

    fn point(variant: &str, y: f64, on_frontier: bool) -> FrontierRow {
        let (axis_x, axis_y) = ("file_bytes".to_owned(), "book.kld_mean".to_owned());
        FrontierRow {
            variant: variant.to_owned(),
            axis_x,
            axis_y,
            x: 400.0,
            y,
            on_frontier,
            ..FrontierRow::default()
        }
    }

    fn fallback() -> FallbackRow {
        FallbackRow {
            recipe: "Q4_K_M".to_owned(),
            tensor: "blk.0.attn_q.weight".to_owned(),
            columns: 576,
            block: 256,
            wanted: "q4_K".to_owned(),
            got: "q5_0".to_owned(),
        }
    }

    fn speed() -> SpeedRow {
        SpeedRow {
            variant: "Q4_0".to_owned(),
            kind: "parallel_tg".to_owned(),
            prompt: None,
            generate: Some(128),
            depth: 4096,
            parallel: 8,
            mean: Some(101.5),
            sd: Some(0.5),
            n: 5,
            unit: "tokens/s".to_owned(),
            status: "done".to_owned(),
            reason: String::new(),
            joules_per_token: Some(0.25),
            energy_meter: "rapl".to_owned(),
        }
    }

    fn trial() -> TrialRow {
        TrialRow {
            id: "0abc".to_owned(),
            kind: "suite".to_owned(),
            variant: "Q4_0".to_owned(),
            suite: "quiz".to_owned(),
            status: "done".to_owned(),
            reason: String::new(),
            failures: 1,
            items_planned: Some(4),
            items_done: Some(4),
            items_cached: Some(0),
            wall_s: Some(1.5),
            decode_s: Some(1.25),
            tokens_decoded: Some(100),
            tokens_naive: None,
            stopped: String::new(),
            looks: None,
            node: "n1".to_owned(),
            cpu: String::new(),
        }
    }

    fn capability() -> CapabilityRow {
        CapabilityRow {
            variant: "Q4_0".to_owned(),
            capability: "maths".to_owned(),
            suites: "sums stories".to_owned(),
            n: 8,
            score: Some(0.25),
            base_score: Some(0.5),
            retained: Some(0.5),
            retained_stderr: Some(0.125),
            ci_low: None,
            ci_high: None,
            left_out: String::new(),
            partial: String::new(),
        }
    }

    fn report() -> Report {
        let variant = |name: &str| VariantRow { variant: name.to_owned(), ..VariantRow::default() };
        Report {
            about: About {
                sweep: String::new(),
                date: String::new(),
                machine: String::new(),
                llama_cpp: String::new(),
                bitfrontier: String::new(),
                base: String::new(),
                base_note: String::new(),
                drawn: String::new(),
            },
            suites: vec![SuiteSummary {
                name: "book".to_owned(),
                title: String::new(),
                main_metric: "kld_mean".to_owned(),
                higher_is_better: false,
                chance: None,
                partial: String::new(),
                n_unit: "tokens",
                no_signal: false,
            }],
            variants: vec![
                VariantRow {
                    bpw: Some(4.5),
                    imatrix: true,
                    pp512_joules_per_token: Some(0.25),
                    tg128_joules_per_token: Some(0.5),
                    energy_meter: "rapl".to_owned(),
                    ..variant("Q4_0")
                },
                variant("Q2_K"),
            ],
            metrics: vec![metric("Q4_0", Some(0.1)), metric("Q2_K", None)],
            comparisons: vec![comparison()],
            frontier: vec![point("Q4_0", 0.1, true)],
            fallbacks: vec![fallback()],
            speed: vec![speed()],
            speculation: Vec::new(),
            trials: vec![trial()],
            capabilities: vec![capability()],
            long_context: Vec::new(),
            cliffs: Vec::new(),
            looks: Vec::new(),
            metric_places: Places::default(),
            comparison_places: Places::default(),
            costs: CostSheet::default(),
        }
    }

    fn written(report: &Report) -> impl Fn(&str) -> String + use<> {
        let folder = tempfile::tempdir().unwrap();
        write_all(report, folder.path()).unwrap();
        move |name| std::fs::read_to_string(folder.path().join(name)).unwrap()
    }

    #[test]
    fn headers_are_those_of_the_row_types() {
        assert_eq!(derived(&VariantRow::default()), VARIANTS.join(","));
        assert_eq!(derived(&metric("a", None)), METRICS.join(","));
        assert_eq!(derived(&comparison()), COMPARISONS.join(","));
        assert_eq!(derived(&point("a", 1.0, true)), FRONTIER.join(","));
        assert_eq!(derived(&fallback()), FALLBACKS.join(","));
        assert_eq!(derived(&speed()), SPEED.join(","));
        assert_eq!(derived(&SpeculationRow::default()), SPECULATION.join(","));
        assert_eq!(derived(&trial()), TRIALS.join(","));
        assert_eq!(derived(&capability()), CAPABILITIES.join(","));
        assert_eq!(derived(&LongContextRow::default()), LONG_CONTEXT.join(","));
        assert_eq!(derived(&CostRow::default()), COSTS.join(","));
    }

    #[test]
    fn tables_have_their_rows_and_missing_is_empty() {
        let read = written(&report());
        assert_eq!(
            read("summary.csv"),
            "variant,bpw,file_bytes,peak_rss_bytes,pp512_tps,tg128_tps,on_frontier,book.kld_mean,partial,\
             pp512_joules_per_token,tg128_joules_per_token,energy_meter\n\
             Q4_0,4.5,,,,,true,0.1,,0.25,0.5,rapl\n\
             Q2_K,,,,,,,,,,,\n"
        );
        assert_eq!(
            read("metrics.csv"),
            "variant,suite,metric,value,stderr,ci_low,ci_high,n,higher_is_better,chance,status,reason,partial\n\
             Q4_0,book,kld_mean,0.1,1e-7,,,60,false,,crashed,\"said \"\"no\"\", twice\",\n\
             Q2_K,book,kld_mean,,,,,60,false,,crashed,\"said \"\"no\"\", twice\",\n"
        );
        assert_eq!(
            read("comparisons.csv"),
            "variant,suite,metric,delta,delta_stderr,flips_lost,flips_won,n,verdict,partial,ci_low,ci_high,p,\
             p_holm,detectable,clusters,shown\nQ4_0,quiz,acc,-0.5,,2,0,4,,,-0.9,0.1,0.5,1.0,0.7,3,open\n"
        );
        assert_eq!(
            read("frontier.csv"),
            "variant,axis_x,axis_y,x,y,on_frontier,partial,share,tied_with\n\
             Q4_0,file_bytes,book.kld_mean,400.0,0.1,true,,,\n"
        );
        assert_eq!(
            read("speed.csv"),
            SPEED.join(",") + "\nQ4_0,parallel_tg,,128,4096,8,101.5,0.5,5,tokens/s,done,,0.25,rapl\n"
        );
        assert_eq!(
            read("trials.csv"),
            TRIALS.join(",") + "\n0abc,suite,Q4_0,quiz,done,,1,4,4,0,1.5,1.25,100,,,,n1,\n"
        );
        assert!(read("variants.csv").ends_with(
            "\nQ4_0,,,true,,4.5,,,,,,,,,,,,,,,,,,,,0.25,0.5,rapl\nQ2_K,,,false,,,,,,,,,,,,,,,,,,,,,,,,\n"
        ));
    }

    #[test]
    fn a_table_without_rows_still_has_its_headers() {
        let empty = Report {
            suites: Vec::new(),
            variants: Vec::new(),
            metrics: Vec::new(),
            comparisons: Vec::new(),
            frontier: Vec::new(),
            fallbacks: Vec::new(),
            speed: Vec::new(),
            trials: Vec::new(),
            capabilities: Vec::new(),
            ..report()
        };
        let read = written(&empty);
        assert_eq!(read("variants.csv"), VARIANTS.join(",") + "\n");
        assert_eq!(read("metrics.csv"), METRICS.join(",") + "\n");
        assert_eq!(read("summary.csv"), SUMMARY.join(",") + "," + &SUMMARY_END.join(",") + "\n");
        assert_eq!(read("comparisons.csv"), COMPARISONS.join(",") + "\n");
        assert_eq!(read("frontier.csv"), FRONTIER.join(",") + "\n");
        assert_eq!(read("fallbacks.csv"), FALLBACKS.join(",") + "\n");
        assert_eq!(read("speed.csv"), SPEED.join(",") + "\n");
        assert_eq!(read("trials.csv"), TRIALS.join(",") + "\n");
        assert_eq!(read("capabilities.csv"), CAPABILITIES.join(",") + "\n");
    }

    #[test]
    fn the_same_report_gives_the_same_bytes() {
        let (one, two) = (written(&report()), written(&report()));
        for name in ["variants.csv", "metrics.csv", "summary.csv", "comparisons.csv", "frontier.csv"] {
            assert_eq!(one(name), two(name));
        }
    }
}
