//! `memory-stack`: what each variant takes of memory while it is timed, as llama.cpp allocates it: weights, cache and
//! compute buffers on top of each other, beside the sizes that graphics cards have.

use super::axis::short;
use super::label::{Lean, Rect};
use super::scatter::{Key, Scene, Shape, Sheet};
use super::selection::not_shown;
use super::theme::{
    AXIS, AXIS_EM, BASE, CAPTION_EM, FAINT, INK, MARGIN, MARK, NAME_EM, QUIET, SECOND, WIDTH, text_width,
};
use super::wording::origin;
use crate::analyze::report::{Report, VariantRow};
use crate::units::Bytes;
use plotters::style::RGBColor;

const GIB: f64 = (1_u64 << 30) as f64;
/// Memory of common cards, GiB.
const CARDS: [f64; 11] = [2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 16.0, 24.0, 32.0, 48.0, 80.0];
/// A card that is so many times larger than the largest variant is no limit worth a line.
const FAR: f64 = 1.6;
/// Height of a bar, and from one to the next.
const BAR: (f64, f64) = (15.0, 23.0);
/// Room behind a bar for its number.
const NUMBER: f64 = 76.0;

/// The parts of a bar, from the left.
const PARTS: [(&str, RGBColor); 3] =
    [("weights", MARK), ("KV cache and state", SECOND), ("compute buffers", BASE)];

/// The figure, if llama.cpp said what it allocated.
pub(super) fn scene(report: &Report) -> Option<Scene> {
    let (shown, missing): (Vec<&VariantRow>, Vec<&VariantRow>) =
        report.variants.iter().partition(|row| parts(row).is_some());
    let bars: Vec<(&str, [f64; 3])> =
        shown.into_iter().filter_map(|row| Some((row.variant.as_str(), parts(row)?))).collect();
    let largest = bars.iter().map(|(_, parts)| parts.iter().sum::<f64>()).fold(0.0, f64::max);
    if largest <= 0.0 {
        return None;
    }
    let mut sheet = Sheet::titled("What each variant takes of memory", &report.about.machine);
    legend(&mut sheet);
    let names = bars.iter().map(|(name, _)| text_width(name, NAME_EM, false)).fold(0.0, f64::max) + 10.0;
    let cards: Vec<f64> = CARDS.into_iter().filter(|card| card * GIB <= largest * FAR).collect();
    let furthest = cards.last().map_or(largest, |card| largest.max(card * GIB));
    let (left, right) = (MARGIN + names, WIDTH - MARGIN - NUMBER);
    let at = |bytes: f64| left + (right - left) * bytes / furthest;
    let top = sheet.y + 18.0;
    let bottom = top + BAR.1 * bars.len() as f64;
    lines(&mut sheet, &cards, (top, bottom), &at);
    for (number, (name, parts)) in bars.iter().enumerate() {
        let y0 = top + BAR.1 * number as f64 + 4.0;
        let baseline = y0 + BAR.0 / 2.0 + NAME_EM * 0.36;
        sheet.text(name, (left - 8.0, baseline), NAME_EM, INK, Lean::Right);
        let mut sum = 0.0;
        for (bytes, (_, color)) in parts.iter().zip(PARTS) {
            let (x0, x1) = (at(sum), at(sum + bytes));
            sheet.shapes.push(Shape::Block(Rect { x0, y0, x1, y1: y0 + BAR.0 }, color));
            sum += bytes;
        }
        sheet.text(&Bytes(sum as u64).to_string(), (at(sum) + 6.0, baseline), AXIS_EM, QUIET, Lean::Left);
    }
    sheet.shapes.push(Shape::Line(((left, top), (left, bottom)), 1.0, AXIS));
    sheet.y = bottom + 14.0;
    for note in notes(report, &cards, &missing) {
        sheet.paragraph(&note, CAPTION_EM, false, QUIET);
    }
    Some(sheet.scene("memory-stack", "What each variant takes of memory"))
}

/// Weights, cache and compute buffers; nothing where they are not known.
fn parts(row: &VariantRow) -> Option<[f64; 3]> {
    let context = row.context_buffer_bytes.unwrap_or(0);
    let compute = row.compute_buffer_bytes.unwrap_or(0);
    Some([row.model_buffer_bytes? as f64, context as f64, compute as f64])
}

fn legend(sheet: &mut Sheet) {
    sheet.keys(&PARTS.map(|(name, color)| Key::new(color, name)));
    sheet.y += AXIS_EM + 8.0;
}

/// A line for each card, its size above it where there is room beside the one before.
fn lines(sheet: &mut Sheet, cards: &[f64], (top, bottom): (f64, f64), at: &impl Fn(f64) -> f64) {
    let mut free = f64::NEG_INFINITY;
    for card in cards {
        let x = at(card * GIB);
        sheet.shapes.push(Shape::Line(((x, top - 4.0), (x, bottom)), 1.0, FAINT));
        let words = format!("{} GiB", short(*card));
        let half = text_width(&words, AXIS_EM, false) / 2.0;
        if x - half > free {
            sheet.text(&words, (x, top - 8.0), AXIS_EM, QUIET, Lean::Middle);
            free = x + half + 6.0;
        }
    }
}

fn notes(report: &Report, cards: &[f64], missing: &[&VariantRow]) -> Vec<String> {
    let lines = if cards.is_empty() {
        " Every variant fits a card of 2 GiB.".to_owned()
    } else {
        " Lines: sizes of graphics cards, of which a driver and a screen take some.".to_owned()
    };
    let mut notes = vec![format!(
        "As llama.cpp allocated it for the speed trial: a prompt of 512 tokens and 128 generated. A longer context takes \
         more: `bitfrontier fit` says how much.{lines}"
    )];
    let missing: Vec<(String, String)> =
        missing.iter().map(|row| (row.variant.clone(), row.status.clone())).collect();
    notes.extend(not_shown(&missing));
    notes.extend(origin(&report.about));
    notes
}
