//! What a draft is worth, as lines for people.

use crate::analyze::speculation::SpeculationRow;

/// A table of the draft lengths, and what it says.
#[must_use]
pub fn lines(rows: &[SpeculationRow]) -> String {
    let Some(first) = rows.first() else { return String::new() };
    let mut lines = vec![
        format!("target {}, draft {}, {} prompts", first.target, first.draft, first.prompts),
        format!("plain  {} tokens/s\n", number(first.plain_tps, 1)),
        "length  accepted  tokens/step  tokens/s   ratio  95% interval  same output  near-ties".to_owned(),
    ];
    lines.extend(rows.iter().map(line));
    lines.push(format!("\n{}", verdict(rows)));
    lines.push(told_of_ties(rows));
    lines.join("\n") + "\n"
}

fn line(row: &SpeculationRow) -> String {
    let share = row.acceptance.map_or(String::new(), |a| format!("{:.1} %", 100.0 * a));
    let interval = match (row.ratio_ci_low, row.ratio_ci_high) {
        (Some(low), Some(high)) => format!("{low:.2} to {high:.2}"),
        _ => String::new(),
    };
    let same = row.same_outputs.map_or(String::new(), |n| format!("{n} of {}", row.prompts));
    let line = format!(
        "{:>6}  {share:>8}  {:>11}  {:>8}  {:>6}  {interval:>12}  {same:>11}  {:>9}  {}",
        row.length.map_or(String::new(), |n| n.to_string()),
        number(row.tokens_per_step, 2),
        number(row.speculative_tps, 1),
        number(row.ratio, 3),
        row.near_ties.map_or(String::new(), |n| n.to_string()),
        if row.status == "done" { &row.verdict } else { &row.status },
    );
    line.trim_end().to_owned()
}

fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or(String::new(), |v| format!("{v:.decimals$}"))
}

fn verdict(rows: &[SpeculationRow]) -> String {
    let lengths = |verdict: &str| -> Vec<String> {
        rows.iter().filter(|r| r.verdict == verdict).filter_map(|r| r.length).map(|n| n.to_string()).collect()
    };
    let Some(best) = rows.iter().find(|r| r.verdict == "best") else {
        return "nothing was written".to_owned();
    };
    let tied = lengths("tied");
    let beside =
        if tied.is_empty() { String::new() } else { format!(" (cannot be told from {})", tied.join(", ")) };
    let worth = match (best.ratio_ci_low, best.ratio_ci_high) {
        (Some(low), _) if low > 1.0 => "faster than plain decoding",
        (_, Some(high)) if high < 1.0 => "slower than plain decoding",
        _ => "not to be told from plain decoding",
    };
    format!("best draft length: {}{beside}; {worth}", lengths("best").join(", "))
}

fn told_of_ties(rows: &[SpeculationRow]) -> String {
    let tolerance = rows.first().map_or(0.0, |row| row.tolerance);
    match rows.iter().filter_map(|row| row.largest_gap).reduce(f64::max) {
        None => "every output is the plain one, token for token".to_owned(),
        Some(gap) => {
            format!("largest distance of two logits that changed places: {gap:.4} (tolerance {tolerance})")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(length: u32, ratio: f64, verdict: &str) -> SpeculationRow {
        SpeculationRow {
            target: "F16".to_owned(),
            draft: "Q4_0".to_owned(),
            length: Some(length),
            prompts: 8,
            acceptance: Some(0.765),
            tokens_per_step: Some(2.5),
            plain_tps: Some(40.0),
            speculative_tps: Some(40.0 * ratio),
            ratio: Some(ratio),
            ratio_ci_low: Some(ratio - 0.1),
            ratio_ci_high: Some(ratio + 0.1),
            verdict: verdict.to_owned(),
            same_outputs: Some(7),
            near_ties: Some(1),
            largest_gap: Some(0.0123),
            tolerance: 0.1,
            status: "done".to_owned(),
            ..SpeculationRow::default()
        }
    }

    #[test]
    fn a_report_reads_like_this() {
        assert_eq!(
            lines(&[row(2, 1.25, "best"), row(4, 1.2, "tied"), row(8, 0.8, "")]),
            "target F16, draft Q4_0, 8 prompts\n\
             plain  40.0 tokens/s\n\
             \n\
             length  accepted  tokens/step  tokens/s   ratio  95% interval  same output  near-ties\n     \
             2    76.5 %         2.50      50.0   1.250  1.15 to 1.35       7 of 8          1  best\n     \
             4    76.5 %         2.50      48.0   1.200  1.10 to 1.30       7 of 8          1  tied\n     \
             8    76.5 %         2.50      32.0   0.800  0.70 to 0.90       7 of 8          1\n\
             \n\
             best draft length: 2 (cannot be told from 4); faster than plain decoding\n\
             largest distance of two logits that changed places: 0.0123 (tolerance 0.1)\n"
        );
        assert!(lines(&[row(2, 0.8, "best")]).contains("best draft length: 2; slower than plain decoding\n"));
        assert!(lines(&[row(2, 1.05, "best")]).contains("2; not to be told from plain decoding\n"));
        assert_eq!(lines(&[]), "");
    }
}
