//! Hands the shapes of a scene to plotters, at two pixels a design unit, as PNG or SVG.

use super::error::ChartError;
use super::label::{Lean, Point};
use super::scatter::{Scene, Shape, Text};
use super::theme::{FONT_HEIGHT, PAPER, SCALE, Tone, WIDTH, font};
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea};
use plotters::element::{Circle, PathElement, Rectangle, Text as TextElement};
use plotters::prelude::{BitMapBackend, DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, ShapeStyle, TextStyle};

/// How a backend of plotters understands text: both differ from design units, and from each other.
struct TextRules {
    /// plotters' font size for one em.
    size_per_em: f64,
    /// From the top anchor down to the baseline, in em.
    baseline: f64,
}

/// The bitmap backend sizes fonts by ascent plus descent and puts the baseline half of that below the anchor.
const BITMAP: TextRules = TextRules { size_per_em: FONT_HEIGHT, baseline: FONT_HEIGHT / 2.0 };
/// The SVG backend divides sizes by 1.24 and shifts top-anchored text by 0.76 em.
const SVG: TextRules = TextRules { size_per_em: 1.24, baseline: 0.76 };

/// A scene as the bytes of a PNG file.
pub(super) fn png(scene: &Scene, tone: Tone) -> Result<Vec<u8>, ChartError> {
    let (width, height) = pixels(scene);
    let mut colours = vec![0; width as usize * height as usize * 3];
    {
        let root = BitMapBackend::with_buffer(&mut colours, (width, height)).into_drawing_area();
        paint(scene, &root, (&BITMAP, tone)).map_err(|e| refused(scene, &e))?;
    }
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    // Flat colours and sharp edges pack better unfiltered, so that the default effort gives as small a file as the highest
    // with filters does, in a fifth of the time.
    encoder.set_filter(png::FilterType::NoFilter);
    encoder.set_compression(png::Compression::Default);
    let written = encoder.write_header().and_then(|mut writer| {
        writer.write_image_data(&colours)?;
        writer.finish()
    });
    written.map_err(|e| refused(scene, &e))?;
    Ok(bytes)
}

/// A scene as the text of an SVG file.
pub(super) fn svg(scene: &Scene, tone: Tone) -> Result<String, ChartError> {
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, pixels(scene)).into_drawing_area();
        paint(scene, &root, (&SVG, tone)).map_err(|e| refused(scene, &e))?;
    }
    // Shown at design size, whatever the finer units inside; described for those who do not see it.
    let (width, height) = pixels(scene);
    let fine = format!("width=\"{width}\" height=\"{height}\"");
    let title = scene.title.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    let shown = format!("role=\"img\" aria-label=\"{title}\" width=\"{WIDTH}\" height=\"{}\"", scene.height);
    Ok(text.replacen(&fine, &shown, 1))
}

fn refused(scene: &Scene, error: &dyn std::fmt::Display) -> ChartError {
    ChartError::Draw { figure: scene.name.clone(), reason: error.to_string() }
}

fn pixels(scene: &Scene) -> (u32, u32) {
    ((WIDTH * SCALE) as u32, (scene.height * SCALE) as u32)
}

fn pixel((x, y): Point) -> (i32, i32) {
    ((x * SCALE).round() as i32, (y * SCALE).round() as i32)
}

fn paint<DB: DrawingBackend>(
    scene: &Scene,
    root: &DrawingArea<DB, Shift>,
    (rules, tone): (&TextRules, Tone),
) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
    root.fill(&tone.of(PAPER))?;
    for shape in &scene.shapes {
        match shape {
            Shape::Block(rect, color) => {
                let corners = [pixel((rect.x0, rect.y0)), pixel((rect.x1, rect.y1))];
                root.draw(&Rectangle::new(corners, tone.of(*color).filled()))?;
            }
            Shape::Line((from, to), width, color) => {
                let style = ShapeStyle::from(tone.of(*color)).stroke_width((width * SCALE).round() as u32);
                root.draw(&PathElement::new([pixel(*from), pixel(*to)], style))?;
            }
            Shape::Disc(at, radius, color) => {
                root.draw(&Circle::new(
                    pixel(*at),
                    (radius * SCALE).round() as i32,
                    tone.of(*color).filled(),
                ))?;
            }
            Shape::Text(text) => root.draw(&text_element(text, rules, tone))?,
        }
    }
    root.present()
}

fn text_element<'a>(text: &'a Text, rules: &TextRules, tone: Tone) -> TextElement<'a, (i32, i32), &'a str> {
    let (x, baseline) = text.at;
    let anchor = match text.lean {
        Lean::Left => HPos::Left,
        Lean::Middle => HPos::Center,
        Lean::Right => HPos::Right,
    };
    let style = TextStyle::from(font(text.em * SCALE * rules.size_per_em, text.bold));
    let mut style = style.pos(Pos::new(anchor, VPos::Top));
    style.color = tone.of(text.color).to_backend_color();
    TextElement::new(text.words.as_str(), pixel((x, baseline - text.em * rules.baseline)), style)
}
