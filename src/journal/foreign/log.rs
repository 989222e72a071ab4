//! llama-perplexity: what one run printed, with or without the time before each line. A plain run ends by a final estimate,
//! one against a base by statistics of the divergence.

use super::read::Fault;
use super::record::{ForeignModel, ForeignScore};

/// A line of the statistics: its label with single spaces, our metric, and what its number is multiplied by.
const STATISTICS: [(&str, &str, f64); 11] = [
    ("Mean PPL(Q)", "ppl", 1.0),
    ("Mean PPL(Q)/PPL(base)", "ppl_ratio", 1.0),
    ("Mean KLD", "kld_mean", 1.0),
    ("Maximum KLD", "kld_max", 1.0),
    ("99.9% KLD", "kld_p99_9", 1.0),
    ("99.0% KLD", "kld_p99", 1.0),
    ("90.0% KLD", "kld_p90", 1.0),
    ("Median KLD", "kld_median", 1.0),
    ("Mean Δp", "delta_p_mean", 0.01),
    ("RMS Δp", "delta_p_rms", 0.01),
    ("Same top p", "same_top_p", 0.01),
];
/// Before perplexity and its error.
const FINAL: &str = "Final estimate: PPL =";
/// Between a number and its error; the last is what is left of the first in a file that is not UTF-8.
const SIGNS: [&str; 3] = ["±", "+/-", "\u{fffd}"];

/// Reads a log.
pub(super) fn parse(text: &str) -> Result<ForeignModel, Fault> {
    let mut model = ForeignModel::default();
    let mut last = 1;
    for (at, line) in text.lines().enumerate() {
        last = at + 1;
        facts(line, &mut model);
        if let Some((chunks, context)) = chunks(line) {
            model.tokens = chunks.saturating_mul(scored(context));
            model.settings = joined(&model.settings, &format!("{chunks} chunks of {context} tokens"));
        }
        if let Some(score) = score(line, last)? {
            if model.scores.iter().any(|known| known.metric == score.metric) {
                return Err(Fault::new(last, "a second result; each run needs a file of its own"));
            }
            model.scores.push(score);
        }
    }
    let whole = model.scores.iter().any(|score| score.metric == "ppl" || score.metric == "kld_mean");
    if !whole {
        return Err(Fault::new(
            last,
            "the end of the file, and neither a final estimate of llama-perplexity nor statistics of its divergence",
        ));
    }
    // What is not finite is missing.
    model.scores.retain(|score| score.value.is_finite());
    Ok(model)
}

/// Model and build, where a line tells them.
fn facts(line: &str, model: &mut ForeignModel) {
    if let Some(path) =
        line.split_once("loaded meta data with ").and_then(|(_, rest)| rest.split_once(" from "))
    {
        let path = path.1.split(" (version").next().unwrap_or_default().trim();
        let name = path.rsplit(['/', '\\']).next().unwrap_or_default();
        name.strip_suffix(".gguf").unwrap_or(name).clone_into(&mut model.name);
    }
    // `print_info: file size = 256.63 MiB (16.00 BPW)`; older versions say `model size`.
    if let Some(bits) = line.split_once(" BPW)").and_then(|(before, _)| before.rsplit_once('(')) {
        model.bpw = bits.1.trim().parse().ok().filter(|bits: &f64| bits.is_finite() && *bits > 0.0);
    }
    for label in ["file type", "model ftype"] {
        let value = line.split_once(label).and_then(|(_, rest)| rest.trim_start().strip_prefix('='));
        if let Some(value) = value {
            value.trim().clone_into(&mut model.type_name);
        }
    }
    for label in ["build: ", "build = "] {
        if let Some((_, build)) = line.split_once(label) {
            let build = build.split(" with ").next().unwrap_or_default().trim();
            model.settings = joined(&model.settings, &format!("build {build}"));
        }
    }
}

fn joined(parts: &str, part: &str) -> String {
    if parts.is_empty() { part.to_owned() } else { format!("{parts}, {part}") }
}

/// `calculating perplexity over 7 chunks, n_ctx=512`, or `computing over 7 chunks, n_ctx=512`.
fn chunks(line: &str) -> Option<(u64, u64)> {
    let (_, rest) = line.split_once(" over ")?;
    let (chunks, rest) = rest.split_once(" chunks, n_ctx=")?;
    let context = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((chunks.trim().parse().ok()?, context.parse().ok()?))
}

/// Tokens of a chunk that are scored: its second half.
fn scored(context: u64) -> u64 {
    context.saturating_sub(1 + context / 2)
}

fn score(line: &str, number: usize) -> Result<Option<ForeignScore>, Fault> {
    if let Some((_, rest)) = line.split_once(FINAL) {
        let (value, stderr) = estimate(rest, 1.0, number)?;
        return Ok(Some(ForeignScore { metric: "ppl".to_owned(), value, stderr }));
    }
    let Some((label, rest)) = line.split_once(':') else { return Ok(None) };
    let label = label.split_whitespace().collect::<Vec<_>>().join(" ");
    // A time may stand before the label.
    let known = STATISTICS.iter().find(|(name, ..)| {
        label.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with(' '))
    });
    let Some((_, metric, factor)) = known else { return Ok(None) };
    let (value, stderr) = estimate(rest, *factor, number)?;
    Ok(Some(ForeignScore { metric: (*metric).to_owned(), value, stderr }))
}

/// `0.333 ± 0.007`, `65.784 ± 1.051 %` or `6.28`.
fn estimate(text: &str, factor: f64, line: usize) -> Result<(f64, Option<f64>), Fault> {
    let parsed = |part: &str| {
        let plain = part.trim().trim_end_matches('%').trim();
        let value: Result<f64, _> = plain.parse();
        value.map(|value| value * factor).map_err(|_| Fault::new(line, format!("{plain:?} is not a number")))
    };
    match SIGNS.iter().find_map(|sign| text.split_once(sign)) {
        Some((value, error)) => Ok((parsed(value)?, Some(parsed(error)?).filter(|error| error.is_finite()))),
        None => Ok((parsed(text)?, None)),
    }
}
