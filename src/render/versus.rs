//! Two variants or sweeps side by side, as lines for people: what moved, what could not be compared, what flipped.

use super::aligned;
use crate::analyze::versus::{Flipped, Versus, VersusRow};

/// Characters of an item's texts that are shown.
const SHOWN: usize = 400;

/// A table of the suites' main metrics, and up to `items` flipped items of each suite and pair of variants.
#[must_use]
pub fn lines(versus: &Versus, items: usize) -> String {
    let mut lines = vec![format!("A: {}", clean(&versus.a)), format!("B: {}", clean(&versus.b))];
    lines.extend(versus.differs.iter().map(|what| format!("differs in {}", clean(what))));
    lines.push(String::new());
    let main: Vec<&VersusRow> = versus.rows.iter().filter(|row| row.is_main).collect();
    if !main.is_empty() {
        lines.extend(table(&main));
        let open = main.iter().filter(|row| row.difference.shown == "open").count();
        if open > 0 {
            lines.push("open: so many items show neither that they are equal nor that one is worse; detectable: the smallest difference they could have shown".to_owned());
        }
    }
    lines.extend(
        versus.refused.iter().map(|r| format!("{} is not compared: {}", clean(&r.suite), clean(&r.reason))),
    );
    let mut told = 0;
    let mut last = None;
    for flip in &versus.flipped {
        let key = (&flip.suite, &flip.variant_a, &flip.variant_b);
        if last != Some(key) {
            (last, told) = (Some(key), 0);
        }
        if told < items {
            lines.extend(flip_lines(flip));
        }
        told += 1;
    }
    lines.join("\n") + "\n"
}

const HEADER: [&str; 12] = [
    "A",
    "B",
    "suite",
    "metric",
    "n",
    "value A",
    "value B",
    "B - A",
    "95% interval",
    "lost/won",
    "p (Holm)",
    "shown",
];

fn table(rows: &[&VersusRow]) -> Vec<String> {
    let header = std::iter::once(HEADER.map(str::to_owned).to_vec());
    let rows: Vec<Vec<String>> = header.chain(rows.iter().map(|row| cells(row))).collect();
    aligned::lines(&rows, |column| column < 4 || column == 11)
}

fn cells(row: &VersusRow) -> Vec<String> {
    let difference = &row.difference;
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:.4}"));
    let signed = |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:+.4}"));
    let interval = difference.ci_low.zip(difference.ci_high);
    let p = |p: f64| if p < 0.0001 { "<.0001".to_owned() } else { format!("{p:.4}") };
    let shown = match (difference.shown.as_str(), difference.detectable) {
        ("open", Some(least)) => format!("open (detectable {least:.3})"),
        (word, _) => word.to_owned(),
    };
    vec![
        clean(&row.variant_a),
        clean(&difference.variant),
        clean(&difference.suite),
        clean(&difference.metric),
        difference.n.to_string(),
        number(row.value_a),
        number(row.value_b),
        signed(difference.delta),
        interval.map_or("-".to_owned(), |(low, high)| format!("{low:+.4} to {high:+.4}")),
        difference.flips_lost.zip(difference.flips_won).map_or("-".to_owned(), |(l, w)| format!("{l}/{w}")),
        match (difference.p, difference.p_holm) {
            (Some(raw), Some(holm)) => format!("{} ({})", p(raw), p(holm)),
            (Some(raw), None) => p(raw),
            _ => "-".to_owned(),
        },
        shown,
    ]
}

fn flip_lines(flip: &Flipped) -> Vec<String> {
    let (a, b) = if flip.lost { ("right", "wrong") } else { ("wrong", "right") };
    let mut lines = vec![
        String::new(),
        format!(
            "{} {}: {} {a}, {} {b}",
            clean(&flip.suite),
            clean(&flip.id),
            clean(&flip.variant_a),
            clean(&flip.variant_b)
        ),
        format!("  asked: {}", ending(&flip.prompt)),
        format!("  A: {}", beginning(&flip.answer_a)),
        format!("  B: {}", beginning(&flip.answer_b)),
    ];
    if !flip.right.is_empty() {
        lines.push(format!("  right: {}", beginning(&flip.right)));
    }
    lines
}

/// In one line.
fn clean(text: &str) -> String {
    let spaced: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    aligned::clean(&spaced).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn beginning(text: &str) -> String {
    let text = clean(text);
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}...", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

/// A question stands at the end of its prompt, behind the examples.
fn ending(text: &str) -> String {
    let text = clean(text);
    let count = text.chars().count();
    if count <= SHOWN {
        return text;
    }
    let tail: String = text.chars().skip(count - SHOWN).collect();
    format!("...{tail}")
}
