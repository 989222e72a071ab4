//! Heat maps: shares as colours, a small map for each variant, all with the same axes. The darker the more; grey where
//! nothing was measured.

use super::label::{Lean, Rect};
use super::scatter::{Key, Scene, Shape, Sheet, Text};
use super::theme::{
    AXIS_EM, CAPTION_EM, GRID, INK, MARGIN, MARK, NAME_EM, PAPER, QUIET, WIDTH, mixed, text_width,
};
use plotters::style::RGBColor;

/// What a figure shows.
#[derive(Debug, Clone)]
pub(super) struct Heat {
    /// File name without extension.
    pub name: String,
    /// What is seen.
    pub title: String,
    /// What one must know to read it.
    pub subtitle: String,
    /// One for each variant.
    pub maps: Vec<Map>,
    /// Names of the columns.
    pub across: Vec<String>,
    /// Names of the lines.
    pub down: Vec<String>,
    /// Lines of the caption.
    pub notes: Vec<String>,
}

/// A variant's map.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Map {
    /// Whose.
    pub name: String,
    /// Shares from 0 to 1, line by line; none where nothing was measured.
    pub cells: Vec<Vec<Option<f64>>>,
}

/// Height of a cell.
const HIGH: f64 = 22.0;
/// Least and most width of a cell.
const WIDE: (f64, f64) = (38.0, 84.0);
/// Space between maps.
const GAP: f64 = 22.0;
/// Nothing is found.
const NONE: RGBColor = RGBColor(240, 246, 251);
/// From here on letters are white.
const DARK: f64 = 0.55;
/// Steps of the legend.
const STEPS: u32 = 4;

/// Lays a figure out.
pub(super) fn lay_out(heat: &Heat) -> Scene {
    let mut sheet = Sheet::titled(&heat.title, &heat.subtitle);
    legend(&mut sheet);
    let names = heat.down.iter().map(|name| text_width(name, AXIS_EM, false)).fold(0.0, f64::max) + 8.0;
    let (room, columns) = (WIDTH - 2.0 * MARGIN, heat.across.len().max(1) as f64);
    let least = names + columns * WIDE.0 + GAP;
    let a_line = (((room + GAP) / least).floor() as usize).clamp(1, heat.maps.len().max(1));
    let width = (room + GAP) / a_line as f64 - GAP;
    let wide = ((width - names) / columns).min(WIDE.1);
    for line in heat.maps.chunks(a_line) {
        let top = sheet.y;
        for (number, map) in line.iter().enumerate() {
            let left = MARGIN + number as f64 * (names + columns * wide + GAP);
            draw(&mut sheet, heat, map, (left, top), (names, wide));
        }
        sheet.y = top + 2.0 * AXIS_EM + HIGH * heat.down.len() as f64 + 26.0;
    }
    for note in &heat.notes {
        sheet.paragraph(note, CAPTION_EM, false, QUIET);
    }
    sheet.scene(&heat.name, &heat.title)
}

/// A map with its upper left corner here; `names` wide are the names of the lines.
fn draw(sheet: &mut Sheet, heat: &Heat, map: &Map, (left, top): (f64, f64), (names, wide): (f64, f64)) {
    let width = names + wide * heat.across.len() as f64;
    let name = Text {
        words: fitting(&map.name, width),
        at: (left, top + NAME_EM),
        em: NAME_EM,
        bold: true,
        color: INK,
        lean: Lean::Left,
    };
    sheet.shapes.push(Shape::Text(name));
    let (x, y) = (left + names, top + NAME_EM + 8.0);
    for (line, (down, cells)) in heat.down.iter().zip(&map.cells).enumerate() {
        let y0 = y + HIGH * line as f64;
        let baseline = y0 + HIGH / 2.0 + AXIS_EM * 0.36;
        sheet.text(down, (x - 6.0, baseline), AXIS_EM, QUIET, Lean::Right);
        for (column, share) in cells.iter().enumerate() {
            let x0 = x + wide * column as f64;
            let cell = Rect { x0: x0 + 0.5, y0: y0 + 0.5, x1: x0 + wide - 0.5, y1: y0 + HIGH - 0.5 };
            sheet.shapes.push(Shape::Block(cell, share.map_or(GRID, shade)));
            if let Some(share) = share {
                let color = if *share < DARK { INK } else { PAPER };
                let words = format!("{:.0}", 100.0 * share);
                sheet.text(&words, (x0 + wide / 2.0, baseline), AXIS_EM, color, Lean::Middle);
            }
        }
    }
    let under = y + HIGH * heat.down.len() as f64 + AXIS_EM + 3.0;
    for (column, across) in heat.across.iter().enumerate() {
        sheet.text(across, (x + wide * (column as f64 + 0.5), under), AXIS_EM, QUIET, Lean::Middle);
    }
}

fn legend(sheet: &mut Sheet) {
    let shares = (0..=STEPS).map(|step| f64::from(step) / f64::from(STEPS));
    let words: Vec<(f64, String)> = shares.map(|share| (share, format!("{:.0}%", 100.0 * share))).collect();
    let mut keys: Vec<Key> = words.iter().map(|(share, words)| Key::new(shade(*share), words)).collect();
    keys.push(Key::new(GRID, "not run"));
    sheet.keys(&keys);
    sheet.y += AXIS_EM + 18.0;
}

/// The colour of a share.
fn shade(share: f64) -> RGBColor {
    mixed(NONE, MARK, share)
}

/// A name cut to a width.
fn fitting(name: &str, width: f64) -> String {
    let fits = |text: &str| text_width(text, NAME_EM, true) <= width;
    if fits(name) {
        return name.to_owned();
    }
    let mut kept: Vec<char> = name.chars().collect();
    while kept.pop().is_some() {
        let text: String = kept.iter().chain(['…'].iter()).collect();
        if fits(&text) {
            return text;
        }
    }
    String::new()
}
