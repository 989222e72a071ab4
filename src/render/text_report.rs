//! What one text says about one model, as lines for people: values and errors of `llama-perplexity`'s report to
//! its digits, with the intervals that take whole chunks for independent instead of tokens.

use crate::analyze::{Figure, TextReport};

/// How a figure is written.
struct Style {
    label: &'static str,
    /// Shares become per cent.
    percent: bool,
    decimals: usize,
}

/// Lines of a report.
#[must_use]
pub fn lines(report: &TextReport) -> String {
    let mut lines =
        vec![format!("{} tokens scored in {} chunks of {}", report.tokens, report.chunks, report.n_ctx)];
    if report.nonfinite > 0 {
        lines.push(format!("{} tokens left out because a logit was not finite", report.nonfinite));
    }
    let mut section = "";
    for figure in &report.figures {
        let now = section_of(figure.key);
        if now != section {
            section = now;
            lines.push(format!("\n{section}"));
        }
        lines.push(line(figure));
    }
    lines.push(String::new());
    if let Some(store) = &report.store {
        lines.push(format!("base kept as {}, {} bytes", store.kind, store.bytes));
    }
    lines.push(format!("{:.2} s, of which {:.2} s decoding\n", report.wall_s, report.decode_s));
    lines.join("\n")
}

fn line(figure: &Figure) -> String {
    let Style { label, percent, decimals } = style(figure.key);
    let (factor, unit) = if percent { (100.0, " %") } else { (1.0, "") };
    let number = |x: f64| format!("{:.decimals$}", factor * x);
    let value = number(figure.value);
    let stderr = figure.stderr.map_or(String::new(), |error| format!(" ± {:>10}", number(error)));
    let interval = figure
        .interval
        .map_or(String::new(), |(low, high)| format!("   95% {} to {}", number(low), number(high)));
    format!("  {label:<18} {value:>12}{stderr}{unit}{interval}")
}

fn section_of(key: &str) -> &'static str {
    if key.starts_with("kld") {
        "KL divergence from the base, nats"
    } else if key.starts_with("delta_p") || key == "same_top_p" {
        "Probability of the true token, minus the base's"
    } else {
        "Perplexity"
    }
}

fn style(key: &'static str) -> Style {
    let (label, percent, decimals) = match key {
        "ppl" => ("model", false, 6),
        "ppl_base" => ("base", false, 6),
        "ppl_diff" => ("difference", false, 6),
        "ppl_ratio" => ("ratio", false, 6),
        "ln_ratio" => ("ln(ratio)", false, 6),
        "cor" => ("correlation", true, 2),
        "same_top_p" => ("same top token", true, 3),
        _ => match key.split_once("_p_").or_else(|| key.split_once('_')) {
            Some((group, rest)) => (spread_label(rest), group.starts_with("delta"), decimals_of(group)),
            None => (key, false, 6),
        },
    };
    Style { label, percent, decimals }
}

fn decimals_of(group: &str) -> usize {
    if group == "kld" { 6 } else { 3 }
}

fn spread_label(rest: &'static str) -> &'static str {
    match rest {
        "mean" => "mean",
        "rms" => "root mean square",
        "max" => "maximum",
        "p99_9" => "99.9%",
        "p99" => "99%",
        "p95" => "95%",
        "p90" => "90%",
        "p75" => "75%",
        "median" => "median",
        "p25" => "25%",
        "p10" => "10%",
        "p5" => "5%",
        "p1" => "1%",
        "p0_1" => "0.1%",
        "min" => "minimum",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyze::StoreUsed;

    #[test]
    fn a_report_reads_like_this() {
        let figure = |key, value, stderr, interval| Figure { key, value, stderr, interval };
        let report = TextReport {
            n_ctx: 512,
            scored: None,
            stride: None,
            chunks: 2,
            tokens: 509,
            nonfinite: 1,
            figures: vec![
                figure("ppl", 40.023_011_4, Some(1.284_769_4), Some((37.5, 42.0))),
                figure("cor", 0.9995, None, None),
                figure("kld_mean", 0.004_263, Some(0.000_043), None),
                figure("kld_p99_9", 0.046_707_1, None, None),
                figure("delta_p_rms", 0.01427, Some(0.00028), None),
                figure("delta_p_min", -0.145_948, None, None),
                figure("same_top_p", 0.9548, Some(0.00206), Some((0.95, 0.96))),
            ],
            store: Some(StoreUsed { kind: "logits".to_owned(), bytes: 7 }),
            wall_s: 2.0,
            decode_s: 1.25,
        };
        assert_eq!(
            lines(&report),
            "509 tokens scored in 2 chunks of 512\n\
             1 tokens left out because a logit was not finite\n\
             \nPerplexity\n  \
             model                 40.023011 ±   1.284769   95% 37.500000 to 42.000000\n  \
             correlation               99.95 %\n\
             \nKL divergence from the base, nats\n  \
             mean                   0.004263 ±   0.000043\n  \
             99.9%                  0.046707\n\
             \nProbability of the true token, minus the base's\n  \
             root mean square          1.427 ±      0.028 %\n  \
             minimum                 -14.595 %\n  \
             same top token           95.480 ±      0.206 %   95% 95.000 to 96.000\n\
             \nbase kept as logits, 7 bytes\n2.00 s, of which 1.25 s decoding\n"
        );
    }
}
