//! A recommendation, as lines for people.

use super::aligned::{self, clean};
use crate::analyze::recommend::{Recommendation, RuledOut};
use crate::units::Bytes;

/// The variant, the reasons, the runners-up and what was ruled out.
#[must_use]
pub fn lines(answer: &Recommendation) -> String {
    let mut lines = Vec::new();
    match &answer.variant {
        Some(variant) => {
            lines.push(format!("{}  ({:.0}% sure)\n", clean(variant), answer.confidence * 100.0));
        }
        None => lines.push("no variant\n".to_owned()),
    }
    lines.extend(answer.reasons.iter().map(|reason| clean(reason)));
    let share = |share: f64| format!("{:.0}%", share * 100.0);
    let runners: Vec<Vec<String>> =
        answer.runners_up.iter().map(|r| vec![clean(&r.variant), share(r.share), r.trade.clone()]).collect();
    let out: Vec<Vec<String>> = answer.ruled_out.iter().map(|r| vec![clean(&r.variant), why(r)]).collect();
    for (title, rows) in
        [("\nRunners-up:", runners), ("\nRuled out:", out)].into_iter().filter(|(_, rows)| !rows.is_empty())
    {
        lines.push(title.to_owned());
        // Only shares stand at the right.
        let left = |column| column != 1 || rows.iter().all(|row| row.len() == 2);
        lines.extend(aligned::lines(&rows, left).iter().map(|line| format!("  {line}")));
    }
    lines.join("\n") + "\n"
}

/// Why a variant is ruled out, with what it has and what is allowed.
pub(super) fn why(out: &RuledOut) -> String {
    let value = |unit: fn(f64) -> String| {
        let (own, limit) =
            (out.value.map_or("unknown".to_owned(), unit), out.allowed.map_or(String::new(), unit));
        format!("{}: {own}, allowed {limit}", out.limit)
    };
    match out.limit.as_str() {
        "failed" if out.reason.is_empty() => "failed: it has no file or no score".to_owned(),
        "failed" => format!("failed: {}", clean(&out.reason)),
        "min_tg" => value(|tg| format!("{tg:.1} tokens/s")),
        "monthly_tokens" => value(|tokens| format!("{:.1} Mtok", tokens / 1e6)),
        "max_drop" => value(|drop| format!("{drop:.4}")),
        _ => value(|bytes| Bytes(bytes.max(0.0) as u64).to_string()),
    }
}
