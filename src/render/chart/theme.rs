//! The one look of all charts: colours that colour-blind readers can tell apart (Okabe and Ito's palette),
//! sizes, and the font. The font is `DejaVu Sans`, embedded through a crate: PNGs need no font on the
//! machine, and as it is the widest of the usual sans-serif fonts, what fits in it also fits in an SVG shown
//! in Arial or Helvetica.

use super::error::ChartError;
use plotters::style::{FontDesc, FontFamily, FontStyle, RGBColor, register_font};
use std::sync::OnceLock;

/// Pixels of the PNG (and units of the SVG's view box) to one unit of the design.
pub(super) const SCALE: f64 = 2.0;
/// Width of every figure, design units.
pub(super) const WIDTH: f64 = 900.0;
/// White space around a figure.
pub(super) const MARGIN: f64 = 26.0;

/// Background.
pub(super) const PAPER: RGBColor = RGBColor(255, 255, 255);
/// Titles and names.
pub(super) const INK: RGBColor = RGBColor(32, 36, 42);
/// Axis labels, ticks, captions.
pub(super) const QUIET: RGBColor = RGBColor(92, 98, 106);
/// Leader lines.
pub(super) const FAINT: RGBColor = RGBColor(150, 156, 164);
/// Axis line.
pub(super) const AXIS: RGBColor = RGBColor(176, 182, 188);
/// Grid lines.
pub(super) const GRID: RGBColor = RGBColor(232, 235, 238);
/// The variants.
pub(super) const MARK: RGBColor = RGBColor(0, 114, 178);
/// Bars of the variants: the marks' hue, lighter.
pub(super) const BAR: RGBColor = RGBColor(122, 178, 214);
/// Second quantity in the same panel, and marks off the frontier.
pub(super) const SECOND: RGBColor = RGBColor(190, 84, 0);
/// Fourth kind of line in the same panel.
pub(super) const FOURTH: RGBColor = RGBColor(204, 121, 167);
/// The base model.
pub(super) const BASE: RGBColor = RGBColor(0, 116, 84);
/// The base model's interval.
pub(super) const BASE_BAND: RGBColor = RGBColor(227, 243, 237);

/// On what a figure is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// On white.
    Light,
    /// On black, or nearly: every colour keeps its hue, and its lightness is mirrored.
    Dark,
}

/// What is left of a lightness when it is mirrored: white becomes not quite black.
const MIRRORED: f64 = 0.92;

impl Tone {
    /// A colour of the light theme as it is in this one.
    pub(super) fn of(self, color: RGBColor) -> RGBColor {
        match self {
            Self::Light => color,
            Self::Dark => mirrored(color),
        }
    }
}

/// Mirrors the lightness of a colour (as HSL has it): red, green and blue keep their distances, as far as there is room.
fn mirrored(RGBColor(r, g, b): RGBColor) -> RGBColor {
    let channels = [r, g, b].map(|channel| f64::from(channel) / 255.0);
    let (least, most) = channels.iter().fold((1.0_f64, 0.0_f64), |(l, m), c| (l.min(*c), m.max(*c)));
    let lightness = f64::midpoint(least, most);
    let room = |lightness: f64| 1.0 - (2.0 * lightness - 1.0).abs();
    let to = 1.0 - MIRRORED * lightness;
    let stretch = if room(lightness) > 0.0 { room(to) / room(lightness) } else { 0.0 };
    let channel = |c: f64| ((to + (c - lightness) * stretch).clamp(0.0, 1.0) * 255.0).round() as u8;
    let [r, g, b] = channels.map(channel);
    RGBColor(r, g, b)
}

/// A colour on the way from one to another: at 0 the first, at 1 the second.
pub(super) fn mixed(from: RGBColor, to: RGBColor, share: f64) -> RGBColor {
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    let mix = |from: u8, to: u8| (f64::from(from) + (f64::from(to) - f64::from(from)) * share).round() as u8;
    RGBColor(mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
}

/// Relative luminance, as WCAG 2 has it.
pub(super) fn luminance(RGBColor(r, g, b): RGBColor) -> f64 {
    let linear = |channel: u8| {
        let c = f64::from(channel) / 255.0;
        if c <= 0.040_45 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
}

/// Em of the title, design units.
pub(super) const TITLE_EM: f64 = 17.0;
/// Em of the line under the title.
pub(super) const SUBTITLE_EM: f64 = 12.0;
/// Em of axis labels, ticks and legends.
pub(super) const AXIS_EM: f64 = 11.5;
/// Em of the variants' names.
pub(super) const NAME_EM: f64 = 11.0;
/// Em of the caption.
pub(super) const CAPTION_EM: f64 = 10.5;
/// Radius of a mark.
pub(super) const MARK_RADIUS: f64 = 4.5;

/// Height of ascent and descent of `DejaVu Sans` in em (1901 + 483 of 2048 units): plotters' bitmap fonts are
/// sized by it.
pub(super) const FONT_HEIGHT: f64 = 2384.0 / 2048.0;

/// Registers the embedded font once a process.
///
/// # Errors
/// If it cannot be read.
pub fn register_fonts() -> Result<(), ChartError> {
    static READY: OnceLock<bool> = OnceLock::new();
    let ready = *READY.get_or_init(|| {
        register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular()).is_ok()
            && register_font("sans-serif", FontStyle::Bold, dejavu::sans::bold()).is_ok()
    });
    if ready { Ok(()) } else { Err(ChartError::Font) }
}

/// The font at a size in plotters' sense.
pub(super) fn font(size: f64, bold: bool) -> FontDesc<'static> {
    let style = if bold { FontStyle::Bold } else { FontStyle::Normal };
    FontDesc::new(FontFamily::SansSerif, size, style)
}

/// Width of a text in design units, `em` in the same units. The fonts must be registered; without them it is
/// a guess.
pub(super) fn text_width(text: &str, em: f64, bold: bool) -> f64 {
    // Plotters answers in whole pixels: ask at a large size.
    const FINER: f64 = 64.0;
    match font(em * FONT_HEIGHT * FINER, bold).layout_box(text) {
        Ok(((left, _), (right, _))) => f64::from(right - left) / FINER,
        Err(_) => 0.6 * em * text.chars().count() as f64,
    }
}

/// Breaks a text between words into lines no wider than `width`; a word that is wider is broken inside.
pub(super) fn wrap(text: &str, em: f64, bold: bool, width: f64) -> Vec<String> {
    let fits = |line: &str| text_width(line, em, bold) <= width;
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
        if fits(&longer) {
            line = longer;
            continue;
        }
        if !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        for letter in word.chars() {
            line.push(letter);
            if line.chars().count() > 1 && !fits(&line) {
                line.pop();
                lines.push(std::mem::replace(&mut line, letter.to_string()));
            }
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the contrasts that WCAG 2 asks of text, and of what is no text.
    #[test]
    fn words_and_marks_can_be_seen_on_both_papers() {
        for tone in [Tone::Light, Tone::Dark] {
            let paper = luminance(tone.of(PAPER)) + 0.05;
            for (color, least) in
                [(INK, 7.0), (QUIET, 4.5), (MARK, 3.0), (SECOND, 3.0), (BASE, 3.0), (AXIS, 1.5), (GRID, 1.05)]
            {
                let other = luminance(tone.of(color)) + 0.05;
                let contrast = (paper / other).max(other / paper);
                assert!(contrast >= least, "{tone:?} {color:?}: {contrast}");
            }
        }
        assert_eq!(Tone::Dark.of(RGBColor(255, 255, 255)), RGBColor(20, 20, 20));
        assert_eq!(Tone::Light.of(MARK), MARK);
    }

    #[test]
    fn wrapped_lines_fit_and_lose_nothing() {
        register_fonts().unwrap();
        let text = "the quick brown fox jumps over a-word-that-is-much-too-long-for-the-line and on";
        let lines = wrap(text, 10.0, false, 120.0);
        assert!(lines.len() > 3);
        assert!(lines.iter().all(|l| text_width(l, 10.0, false) <= 120.0));
        let squeeze = |s: &str| s.chars().filter(|c| !c.is_whitespace()).collect::<String>();
        assert_eq!(squeeze(&lines.concat()), squeeze(text));
    }

    #[test]
    fn width_grows_with_size_and_weight() {
        register_fonts().unwrap();
        let plain = text_width("Q4_K_M", 11.0, false);
        assert!(plain > 35.0 && plain < 60.0, "{plain}");
        assert!(text_width("Q4_K_M", 11.0, true) > plain);
        assert!((text_width("Q4_K_M", 22.0, false) - 2.0 * plain).abs() < 0.1);
    }
}
