//! Grids: a number for every pair of a suite and a variant, coloured. Variants stand across in blocks of as many as have room
//! for their names.

use super::label::{Lean, Rect};
use super::scatter::{Key, Scene, Shape, Sheet, Text};
use super::theme::{
    AXIS_EM, CAPTION_EM, GRID, INK, MARGIN, PAPER, QUIET, WIDTH, luminance, mixed, text_width,
};
use plotters::style::RGBColor;

/// What a figure shows.
#[derive(Debug, Clone)]
pub(super) struct Grid {
    /// File name without extension.
    pub name: String,
    /// What is seen.
    pub title: String,
    /// What one must know to read it.
    pub subtitle: String,
    /// Names of the columns, with their cells from top to bottom.
    pub columns: Vec<(String, Vec<Option<Cell>>)>,
    /// Names of the lines.
    pub down: Vec<String>,
    /// Colours and what they mean.
    pub legend: Vec<(RGBColor, String)>,
    /// What a frame means.
    pub framed: String,
    /// Lines of the caption.
    pub notes: Vec<String>,
}

/// A number and how it is shown.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cell {
    /// The number.
    pub words: String,
    /// Behind it.
    pub color: RGBColor,
    /// Whether it is set off from the others.
    pub is_framed: bool,
}

/// Height of a cell.
const HIGH: f64 = 24.0;
/// Most width of a cell.
const WIDEST: f64 = 90.0;
/// Least room beside a name.
const AIR: f64 = 8.0;

/// Lays a figure out.
pub(super) fn lay_out(grid: &Grid) -> Scene {
    let mut sheet = Sheet::titled(&grid.title, &grid.subtitle);
    legend(&mut sheet, grid);
    let names = grid.down.iter().map(|name| text_width(name, AXIS_EM, false)).fold(0.0, f64::max) + AIR;
    let room = WIDTH - 2.0 * MARGIN - names;
    let words = |(name, cells): &(String, Vec<Option<Cell>>)| {
        let numbers = cells.iter().flatten().map(|cell| text_width(&cell.words, AXIS_EM, true));
        numbers.fold(text_width(name, AXIS_EM, false), f64::max)
    };
    let widest = grid.columns.iter().map(words).fold(0.0, f64::max) + AIR;
    let a_block = ((room / widest).floor() as usize).max(1);
    // Blocks of about the same width.
    let blocks = grid.columns.len().div_ceil(a_block).max(1);
    let a_block = grid.columns.len().div_ceil(blocks).max(1);
    let wide = (room / a_block as f64).min(widest.max(WIDEST));
    for block in grid.columns.chunks(a_block) {
        draw(&mut sheet, grid, block, (names, wide));
    }
    for note in &grid.notes {
        sheet.paragraph(note, CAPTION_EM, false, QUIET);
    }
    sheet.scene(&grid.name, &grid.title)
}

fn draw(sheet: &mut Sheet, grid: &Grid, block: &[(String, Vec<Option<Cell>>)], (names, wide): (f64, f64)) {
    let x = MARGIN + names;
    let heading = sheet.y + AXIS_EM;
    for (column, (name, _)) in block.iter().enumerate() {
        sheet.text(name, (x + wide * (column as f64 + 0.5), heading), AXIS_EM, INK, Lean::Middle);
    }
    let top = heading + AIR;
    for (line, down) in grid.down.iter().enumerate() {
        let y0 = top + HIGH * line as f64;
        let baseline = y0 + HIGH / 2.0 + AXIS_EM * 0.36;
        sheet.text(down, (x - AIR, baseline), AXIS_EM, QUIET, Lean::Right);
        for (column, (_, cells)) in block.iter().enumerate() {
            let x0 = x + wide * column as f64;
            let rect = |inset: f64| Rect {
                x0: x0 + inset,
                y0: y0 + inset,
                x1: x0 + wide - inset,
                y1: y0 + HIGH - inset,
            };
            let Some(cell) = cells.get(line).and_then(Option::as_ref) else {
                sheet.shapes.push(Shape::Block(rect(0.5), GRID));
                continue;
            };
            if cell.is_framed {
                sheet.shapes.push(Shape::Block(rect(0.5), INK));
            }
            sheet.shapes.push(Shape::Block(rect(if cell.is_framed { 2.0 } else { 0.5 }), cell.color));
            sheet.shapes.push(Shape::Text(Text {
                words: cell.words.clone(),
                at: (x0 + wide / 2.0, baseline),
                em: AXIS_EM,
                bold: cell.is_framed,
                color: if luminance(cell.color) < DARK { PAPER } else { INK },
                lean: Lean::Middle,
            }));
        }
    }
    sheet.y = top + HIGH * grid.down.len() as f64 + 18.0;
}

fn legend(sheet: &mut Sheet, grid: &Grid) {
    let mut keys: Vec<Key> = grid.legend.iter().map(|(color, words)| Key::new(*color, words)).collect();
    if !grid.framed.is_empty() {
        keys.push(Key { is_framed: true, ..Key::new(PAPER, &grid.framed) });
    }
    keys.push(Key::new(GRID, "not measured"));
    sheet.keys(&keys);
    sheet.y += AXIS_EM + 16.0;
}

/// Below this luminance white letters are easier to read on a colour than black ones.
const DARK: f64 = 0.21;

/// A colour between white and this one.
pub(super) fn shade(color: RGBColor, share: f64) -> RGBColor {
    mixed(PAPER, color, share)
}
