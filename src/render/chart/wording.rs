//! What metrics are called in charts, in which unit they are shown, and the caption lines that every figure
//! ends with.

use crate::analyze::report::{About, MetricRow, Report, SuiteSummary};

use super::axis::thousands;

/// How a metric is shown.
pub(super) struct MetricText {
    /// For titles: `accuracy`.
    pub name: String,
    /// For axes: `accuracy, % of items`.
    pub label: String,
    /// The report's value times this is what is shown.
    pub factor: f64,
    /// Follows a number: `%`.
    pub suffix: &'static str,
}

/// How a metric of `metrics.csv` is shown.
pub(super) fn metric_text(metric: &str, unit: &str) -> MetricText {
    let share_of = |name: &str, unit: &str| MetricText {
        name: name.to_owned(),
        label: format!("{name}, % of {unit}"),
        factor: 100.0,
        suffix: "%",
    };
    let share = |name: &str| share_of(name, unit);
    let plain = |name: &str, label: &str| MetricText {
        name: name.to_owned(),
        label: label.to_owned(),
        factor: 1.0,
        suffix: "",
    };
    match metric {
        "acc" => share("accuracy"),
        "acc_norm" => share("length-normalised accuracy"),
        "acc_bytes" => share("byte-normalised accuracy"),
        "exact_match" => share("exact match"),
        "prompt_level_strict_acc" => share("prompt-level strict accuracy"),
        "prompt_level_loose_acc" => share("prompt-level loose accuracy"),
        "inst_level_strict_acc" => share_of("instruction-level strict accuracy", "instructions"),
        "inst_level_loose_acc" => share_of("instruction-level loose accuracy", "instructions"),
        "well_formed" => share("well-formed answers"),
        "invalid_calls" => share_of("calls that cannot be carried out", "calls"),
        "mean_score" => MetricText {
            name: "mean score of the suites with a signal".to_owned(),
            label: "mean score, %".to_owned(),
            factor: 100.0,
            suffix: "%",
        },
        "solved" => share_of("mended", "repositories"),
        "same_top_p" => share("same top token as the base"),
        "kld_mean" => plain("mean KL divergence from base", "mean KL divergence from base, nats per token"),
        "kld_median" => {
            plain("median KL divergence from base", "median KL divergence from base, nats per token")
        }
        "kld_p99" => {
            plain("99th percentile of KL divergence", "99th percentile of KL divergence from base, nats")
        }
        "ppl" => plain("perplexity", "perplexity"),
        "ppl_ratio" => plain("perplexity ratio", "perplexity / perplexity of the base"),
        other => match other.strip_prefix("exact_match/") {
            Some(filter) => share(&format!("exact match, {filter}")),
            None if other.starts_with("pass@") => share(other),
            None => plain(other, other),
        },
    }
}

/// `label (lower is better)`.
pub(super) fn with_direction(label: &str, higher_is_better: bool) -> String {
    format!("{label} ({} is better)", if higher_is_better { "higher" } else { "lower" })
}

/// Why the base has no point among divergences.
pub(super) const BASE_LEFT_OUT: &str =
    "The base is left out: its divergence from itself is 0, which a log axis cannot show.";

/// The x axis of most figures.
pub(super) const BPW: &str = "bits per weight, measured from the file (lower is better)";

/// Which suite a figure is about: its title, and why it is partial.
pub(super) fn suite_line(suite: &SuiteSummary) -> String {
    match partial(suite) {
        Some(why) => format!("{}; {why}", suite.title),
        None => suite.title.clone(),
    }
}

/// `partial: ` and why, unless the suite is whole.
pub(super) fn partial(suite: &SuiteSummary) -> Option<String> {
    let why = suite.partial.trim().trim_end_matches('.');
    if why.is_empty() { None } else { Some(format!("partial: {why}")) }
}

/// `Partial sets: mmlu, hellaswag.`, or nothing.
pub(super) fn partial_sets<'a>(suites: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut names: Vec<&str> = Vec::new();
    for name in suites.filter(|name| !name.is_empty()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    (!names.is_empty()).then(|| format!("Partial sets: {}.", names.join(", ")))
}

/// A title's first letter in upper case.
pub(super) fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// `n = 1,172 items`, or the range if variants differ; `None` without rows.
pub(super) fn sample_size<'a>(rows: impl Iterator<Item = &'a MetricRow>, unit: &str) -> Option<String> {
    let (mut low, mut high) = (u64::MAX, 0);
    for row in rows {
        low = low.min(row.n);
        high = high.max(row.n);
    }
    let number = |n: u64| thousands(&n.to_string());
    match (low, high) {
        (low, high) if low > high => None,
        (low, high) if low == high => Some(format!("n = {} {unit}", number(low))),
        (low, high) => Some(format!("n = {} to {} {unit}, by variant", number(low), number(high))),
    }
}

/// A suite's rows of one metric that have a value.
pub(super) fn rows<'a>(report: &'a Report, suite: &str, metric: &str) -> impl Iterator<Item = &'a MetricRow> {
    report.metrics.iter().filter(move |m| m.suite == suite && m.metric == metric && m.value.is_some())
}

/// Who, what, when and where: the last lines of every caption.
pub(super) fn origin(about: &About) -> Vec<String> {
    let build = about.llama_cpp.trim();
    let build = if build.starts_with("llama.cpp") { build.to_owned() } else { format!("llama.cpp {build}") };
    let mut lines = vec![
        format!(
            "Sweep {}, {}. {}. {build}, bitfrontier {}.",
            about.sweep, about.date, about.machine, about.bitfrontier
        ),
        format!("Base: {}.", about.base),
    ];
    if !about.base_note.is_empty() {
        lines[1] = format!("Base: {}. {}", about.base, capitalised(&about.base_note));
    }
    if !about.drawn.is_empty() {
        lines.insert(0, about.drawn.clone());
    }
    lines
}
