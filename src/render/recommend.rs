//! A recommendation, as lines for people.

use crate::analyze::recommend::{Recommendation, RuledOut};
use crate::units::Bytes;

/// The variant, the reasons, the runners-up and what was ruled out.
#[must_use]
pub fn lines(answer: &Recommendation) -> String {
    let mut lines = Vec::new();
    match &answer.variant {
        Some(variant) => lines.push(format!("{variant}  ({:.0}% sure)\n", answer.confidence * 100.0)),
        None => lines.push("no variant\n".to_owned()),
    }
    lines.push(answer.reasons.join("\n"));
    if !answer.runners_up.is_empty() {
        lines.push("\nRunners-up:".to_owned());
        let width = answer.runners_up.iter().map(|r| r.variant.chars().count()).max().unwrap_or(0);
        let line = |r: &crate::analyze::recommend::RunnerUp| {
            format!("  {:<width$}  {:>3.0}%  {}", r.variant, r.share * 100.0, r.trade)
        };
        lines.extend(answer.runners_up.iter().map(line));
    }
    if !answer.ruled_out.is_empty() {
        lines.push("\nRuled out:".to_owned());
        let width = answer.ruled_out.iter().map(|r| r.variant.chars().count()).max().unwrap_or(0);
        lines.extend(answer.ruled_out.iter().map(|r| format!("  {:<width$}  {}", r.variant, why(r))));
    }
    lines.join("\n") + "\n"
}

fn why(out: &RuledOut) -> String {
    let value = |unit: fn(f64) -> String| {
        let (own, limit) =
            (out.value.map_or("unknown".to_owned(), unit), out.allowed.map_or(String::new(), unit));
        format!("{}: {own}, allowed {limit}", out.limit)
    };
    match out.limit.as_str() {
        "failed" => "failed: it has no file or no score".to_owned(),
        "min_tg" => value(|tg| format!("{tg:.1} tokens/s")),
        "monthly_tokens" => value(|tokens| format!("{:.1} Mtok", tokens / 1e6)),
        "max_drop" => value(|drop| format!("{drop:.4}")),
        _ => value(|bytes| Bytes(bytes.max(0.0) as u64).to_string()),
    }
}
