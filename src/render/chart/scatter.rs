//! The shared drawing: a figure's axes, marks, lines and notes become plain shapes at fixed places, in design
//! units. Nothing here knows a file format, so PNG and SVG are the same picture and a test can measure it.

use super::axis::Axis;
use super::label::{Anchor, CAP, Lean, Placed, Point, Rect, Segment, place};
use super::theme::{
    AXIS, AXIS_EM, BAR, BASE, BASE_BAND, CAPTION_EM, FAINT, FOURTH, GRID, INK, MARGIN, MARK, MARK_RADIUS,
    NAME_EM, PAPER, QUIET, SECOND, SUBTITLE_EM, TITLE_EM, WIDTH, text_width, wrap,
};
use plotters::style::RGBColor;

/// What a figure shows.
#[derive(Debug, Clone)]
pub(super) struct Figure {
    /// File name without extension.
    pub name: String,
    /// What is seen.
    pub title: String,
    /// What one must know to read it.
    pub subtitle: String,
    /// One, several under each other, or from four on in two columns.
    pub panels: Vec<Panel>,
    /// Lines of the caption.
    pub notes: Vec<String>,
}

/// One pair of axes.
#[derive(Debug, Clone)]
pub(super) struct Panel {
    /// Across.
    pub x: Axis,
    /// Up.
    pub y: Axis,
    /// Points.
    pub marks: Vec<Mark>,
    /// Levels to compare with.
    pub levels: Vec<Level>,
    /// A line behind the points, in values of the axes.
    pub path: Vec<Point>,
    /// Straight lines from point to point behind the marks, in values of the axes.
    pub lines: Vec<Vec<Point>>,
    /// Lines of several kinds, in values of the axes; names of kinds stand in the heading.
    pub curves: Vec<Curve>,
    /// What the kinds of marks mean.
    pub legend: Vec<(Look, &'static str)>,
}

/// A line with a look of its own.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Curve {
    /// From point to point.
    pub points: Vec<Point>,
    /// What it is.
    pub kind: Stroke,
}

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stroke {
    /// In the marks' colour.
    Mark,
    /// In the second colour.
    Second,
    /// In the base's colour.
    Base,
    /// In a fourth.
    Fourth,
    /// In grey.
    Quiet,
}

impl Stroke {
    fn color(self) -> RGBColor {
        match self {
            Self::Mark => MARK,
            Self::Second => SECOND,
            Self::Base => BASE,
            Self::Fourth => FOURTH,
            Self::Quiet => FAINT,
        }
    }
}

/// How a mark looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Filled.
    Solid,
    /// A ring.
    Open,
    /// A ring in the second colour.
    Second,
    /// Filled, in grey: it says nothing.
    Grey,
    /// No mark, only its name.
    Bare,
    /// No mark but a piece of a line, in a legend.
    Line(Stroke),
}

/// A point with its name.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mark {
    /// Shown beside it; empty for none.
    pub name: String,
    /// On the x axis.
    pub x: f64,
    /// On the y axis.
    pub y: f64,
    /// Ends of a bar, in values of the y axis.
    pub bar: Option<(f64, f64)>,
    /// How it looks.
    pub look: Look,
    /// Its size.
    pub radius: f64,
}

/// A level across the panel.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Level {
    /// On the y axis.
    pub y: f64,
    /// Its interval, as a light band.
    pub band: Option<(f64, f64)>,
    /// Lines of text in the right margin.
    pub label: Vec<String>,
    /// What it is.
    pub kind: LevelKind,
}

/// What a level is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LevelKind {
    /// The base model: dashed.
    Base,
    /// A guesser: dotted.
    Chance,
    /// What the base differs from itself by: dotted.
    Floor,
    /// A model that is not of the sweep: dashed, in the second colour.
    Reference,
}

impl Mark {
    /// A filled mark without a bar.
    pub fn new(name: &str, x: f64, y: f64) -> Self {
        Self { name: name.to_owned(), x, y, bar: None, look: Look::Solid, radius: MARK_RADIUS }
    }
}

impl Panel {
    /// A panel of marks only.
    pub fn new(x: Axis, y: Axis, marks: Vec<Mark>) -> Self {
        Self {
            x,
            y,
            marks,
            levels: Vec::new(),
            path: Vec::new(),
            lines: Vec::new(),
            curves: Vec::new(),
            legend: Vec::new(),
        }
    }
}

/// Every y value that marks and their bars need room for.
pub(super) fn heights(marks: &[Mark]) -> Vec<f64> {
    marks.iter().flat_map(|m| [Some(m.y), m.bar.map(|b| b.0), m.bar.map(|b| b.1)]).flatten().collect()
}

/// The x values of marks.
pub(super) fn breadths(marks: &[Mark]) -> Vec<f64> {
    marks.iter().map(|m| m.x).collect()
}

/// A figure as shapes, in the order of drawing.
#[derive(Debug, Clone)]
pub(super) struct Scene {
    /// File name without extension.
    pub name: String,
    /// For readers who cannot see the picture.
    pub title: String,
    /// Height; the width is the theme's.
    pub height: f64,
    /// What to draw.
    pub shapes: Vec<Shape>,
}

/// Something to draw.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    /// A filled box.
    Block(Rect, RGBColor),
    /// A line and its width.
    Line(Segment, f64, RGBColor),
    /// A filled circle.
    Disc(Point, f64, RGBColor),
    /// A line of text.
    Text(Text),
}

/// A line of text at its baseline.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Text {
    /// The words.
    pub words: String,
    /// Left, middle or right end of the baseline, by `lean`.
    pub at: Point,
    /// Size.
    pub em: f64,
    /// Weight.
    pub bold: bool,
    /// Colour.
    pub color: RGBColor,
    /// Which end `at` is.
    pub lean: Lean,
}

/// Longest paragraph that is drawn, in letters.
const LONGEST_PARAGRAPH: usize = 1500;
/// Height of the plot area of a figure with one panel.
const TALL: f64 = 410.0;
/// Height of the plot area of each of several panels.
const SHORT: f64 = 290.0;
/// Height of the plot area of each panel in columns.
const SMALL: f64 = 170.0;
/// From how many panels on they stand in two columns.
const MANY: usize = 4;
/// Between two columns.
const GUTTER: f64 = 24.0;
/// Longest name shown whole.
const LONGEST_NAME: usize = 30;

/// Lays a figure out.
pub(super) fn lay_out(figure: &Figure) -> Scene {
    let mut sheet = Sheet::titled(&figure.title, &figure.subtitle);
    let (columns, height) = match figure.panels.len() {
        0 | 1 => (1, TALL),
        2..MANY => (1, SHORT),
        _ => (2, SMALL),
    };
    // Panels under each other share their left and right edges.
    let left = figure.panels.iter().map(tick_width).fold(24.0, f64::max) + 8.0;
    let right = figure.panels.iter().map(level_width).fold(0.0, f64::max);
    let width = (WIDTH - 2.0 * MARGIN - GUTTER * (columns - 1) as f64) / columns as f64;
    let mut unnamed = Vec::new();
    for (i, row) in figure.panels.chunks(columns).enumerate() {
        sheet.y += if i == 0 { 0.0 } else { 14.0 };
        let top = sheet.y;
        let heading = row.iter().map(|panel| heading_height(panel, width)).fold(0.0, f64::max);
        for (column, panel) in row.iter().enumerate() {
            sheet.y = top;
            let start = MARGIN + column as f64 * (width + GUTTER);
            let place =
                Place { start, end: start + width, plot: (start + left, start + width - right), heading };
            unnamed.extend(sheet.panel(panel, &place, height));
        }
        sheet.y += 12.0;
    }
    for note in &figure.notes {
        sheet.paragraph(note, CAPTION_EM, false, QUIET);
    }
    if !unnamed.is_empty() {
        sheet.paragraph(&format!("No room to name: {}.", unnamed.join(", ")), CAPTION_EM, false, QUIET);
    }
    sheet.scene(&figure.name, &figure.title)
}

fn tick_width(panel: &Panel) -> f64 {
    panel.y.ticks().iter().map(|(_, text)| text_width(text, AXIS_EM, false)).fold(0.0, f64::max)
}

fn level_width(panel: &Panel) -> f64 {
    let texts = panel.levels.iter().flat_map(|l| &l.label);
    texts.map(|text| text_width(text, NAME_EM, false) + 8.0).fold(0.0, f64::max)
}

/// Lines of a panel's label, beside its legend.
fn heading_lines(panel: &Panel, width: f64) -> Vec<String> {
    let legend: f64 =
        panel.legend.iter().map(|(_, meaning)| text_width(meaning, AXIS_EM, false) + 28.0).sum();
    wrap(&panel.y.label, AXIS_EM, false, width - legend)
}

/// Height of what stands above a panel's plot area.
fn heading_height(panel: &Panel, width: f64) -> f64 {
    heading_lines(panel, width).len() as f64 * AXIS_EM * 1.35 + 8.0
}

/// Where a panel stands across, and how high what is above its plot area may be.
struct Place {
    start: f64,
    end: f64,
    plot: (f64, f64),
    heading: f64,
}

/// Shapes so far and how far down the paper is filled.
pub(super) struct Sheet {
    pub shapes: Vec<Shape>,
    pub y: f64,
}

/// A colour and what it means.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key<'a> {
    pub color: RGBColor,
    pub words: &'a str,
    /// Whether it is set off from the others.
    pub is_framed: bool,
}

impl<'a> Key<'a> {
    /// A plain colour.
    pub fn new(color: RGBColor, words: &'a str) -> Self {
        Self { color, words, is_framed: false }
    }
}

/// The plot area of a panel with its axes.
struct Frame<'a> {
    area: Rect,
    panel: &'a Panel,
}

impl Frame<'_> {
    fn x(&self, value: f64) -> f64 {
        self.area.x0 + self.panel.x.at(value) * (self.area.x1 - self.area.x0)
    }

    fn y(&self, value: f64) -> f64 {
        self.area.y1 - self.panel.y.at(value) * (self.area.y1 - self.area.y0)
    }

    fn anchor(&self, mark: &Mark) -> Anchor {
        let size = (text_width(&shown_name(&mark.name), NAME_EM, false) + 1.0, NAME_EM * 1.12);
        Anchor {
            at: (self.x(mark.x), self.y(mark.y)),
            radius: if mark.look == Look::Bare { 1.0 } else { mark.radius },
            bar: mark.bar.map(|(low, high)| (self.y(high), self.y(low))),
            size,
        }
    }

    /// The path as lines: a staircase, as between two sizes only the smaller file's quality can be had.
    fn stairs(&self) -> Vec<Segment> {
        let corner = |pair: &[Point]| match pair {
            [a, b] => {
                let (ax, ay, bx, by) = (self.x(a.0), self.y(a.1), self.x(b.0), self.y(b.1));
                vec![((ax, ay), (bx, ay)), ((bx, ay), (bx, by))]
            }
            _ => Vec::new(),
        };
        self.panel.path.windows(2).flat_map(corner).collect()
    }
}

impl Frame<'_> {
    /// The straight lines of the panel.
    fn lines(&self) -> Vec<Segment> {
        let place = |point: &Point| (self.x(point.0), self.y(point.1));
        let pairs = self.panel.lines.iter().flat_map(|line| line.windows(2));
        pairs.filter_map(|pair| Some((place(pair.first()?), place(pair.last()?)))).collect()
    }

    /// The lines that have a look of their own.
    fn curves(&self) -> Vec<(Segment, RGBColor)> {
        let place = |point: &Point| (self.x(point.0), self.y(point.1));
        let pairs = self.panel.curves.iter().flat_map(|c| c.points.windows(2).map(|pair| (pair, c.kind)));
        pairs
            .filter_map(|(pair, kind)| Some(((place(pair.first()?), place(pair.last()?)), kind.color())))
            .collect()
    }
}

impl Sheet {
    /// A sheet with its title and the line under it.
    pub fn titled(title: &str, subtitle: &str) -> Self {
        let mut sheet = Self { shapes: Vec::new(), y: MARGIN };
        sheet.paragraph(title, TITLE_EM, true, INK);
        sheet.y += 3.0;
        sheet.paragraph(subtitle, SUBTITLE_EM, false, QUIET);
        sheet.y += 16.0;
        sheet
    }

    /// The sheet, finished.
    pub fn scene(self, name: &str, title: &str) -> Scene {
        let height = (self.y + MARGIN * 0.6).ceil();
        Scene { name: name.to_owned(), title: title.to_owned(), height, shapes: self.shapes }
    }

    /// A row of colours and what they mean, with its top where the sheet is.
    pub fn keys(&mut self, keys: &[Key]) {
        const WIDE: f64 = 18.0;
        let (mut x, y) = (MARGIN, self.y);
        for key in keys {
            let rect = |inset: f64| Rect {
                x0: x + inset,
                y0: y + inset,
                x1: x + WIDE - inset,
                y1: y + AXIS_EM - inset,
            };
            if key.is_framed {
                self.shapes.push(Shape::Block(rect(0.0), INK));
            }
            self.shapes.push(Shape::Block(rect(if key.is_framed { 1.5 } else { 0.0 }), key.color));
            self.text(key.words, (x + WIDE + 5.0, y + AXIS_EM * 0.86), AXIS_EM, QUIET, Lean::Left);
            x += WIDE + 5.0 + text_width(key.words, AXIS_EM, false) + 14.0;
        }
    }

    pub fn text(&mut self, text: &str, at: Point, em: f64, color: RGBColor, lean: Lean) {
        self.shapes.push(Shape::Text(Text { words: text.to_owned(), at, em, bold: false, color, lean }));
    }

    pub fn paragraph(&mut self, text: &str, em: f64, bold: bool, color: RGBColor) {
        // Names and notes may be a stranger's.
        let text: String = printable(text).chars().take(LONGEST_PARAGRAPH).collect();
        for line in wrap(&text, em, bold, WIDTH - 2.0 * MARGIN) {
            self.y += em * 1.4;
            let at = (MARGIN, self.y - em * 0.36);
            self.shapes.push(Shape::Text(Text { words: line, at, em, bold, color, lean: Lean::Left }));
        }
    }

    /// Draws a panel; returns the names that found no room.
    fn panel(&mut self, panel: &Panel, place: &Place, height: f64) -> Vec<String> {
        let top = self.y;
        self.panel_heading(panel, place);
        // Plots beside each other begin at the same height.
        self.y = top + place.heading;
        let (x0, x1) = place.plot;
        let area = Rect { x0, y0: self.y, x1, y1: self.y + height };
        let frame = Frame { area, panel };
        self.levels_band(&frame);
        self.grid(&frame);
        self.levels(&frame);
        self.shapes.extend(frame.lines().into_iter().map(|s| Shape::Line(s, 1.5, AXIS)));
        self.shapes.extend(frame.curves().into_iter().map(|(s, color)| Shape::Line(s, 2.0, color)));
        let stairs = frame.stairs();
        self.shapes.extend(stairs.iter().map(|s| Shape::Line(*s, 1.5, BAR)));
        let unnamed = self.marks(&frame, &stairs);
        self.y = area.y1 + 2.6 * AXIS_EM + 10.0;
        unnamed
    }

    /// The y axis's label, level and above the axis where it reads without turning one's head, and the
    /// legend.
    fn panel_heading(&mut self, panel: &Panel, place: &Place) {
        let baseline = self.y + AXIS_EM;
        let mut width = 0.0;
        for (look, meaning) in panel.legend.iter().rev() {
            width += text_width(meaning, AXIS_EM, false);
            let x = place.end - width;
            self.text(meaning, (x, baseline), AXIS_EM, QUIET, Lean::Left);
            width += 14.0;
            self.mark((x - 9.0, baseline - 0.35 * AXIS_EM), *look, MARK_RADIUS);
            width += 14.0;
        }
        for line in heading_lines(panel, place.end - place.start) {
            let at = (place.start, self.y + AXIS_EM);
            self.text(&line, at, AXIS_EM, INK, Lean::Left);
            self.y += AXIS_EM * 1.35;
        }
    }

    fn levels_band(&mut self, frame: &Frame) {
        for (low, high) in frame.panel.levels.iter().filter_map(|l| l.band) {
            let band = Rect { y0: frame.y(high), y1: frame.y(low), ..frame.area };
            self.shapes.push(Shape::Block(band, BASE_BAND));
        }
    }

    fn grid(&mut self, frame: &Frame) {
        let area = frame.area;
        for (value, text) in frame.panel.y.ticks() {
            let y = frame.y(value);
            self.shapes.push(Shape::Line(((area.x0, y), (area.x1, y)), 1.0, GRID));
            self.text(&text, (area.x0 - 7.0, y + AXIS_EM * 0.36), AXIS_EM, QUIET, Lean::Right);
        }
        for (value, text) in frame.panel.x.ticks() {
            let x = frame.x(value);
            self.shapes.push(Shape::Line(((x, area.y0), (x, area.y1)), 1.0, GRID));
            self.shapes.push(Shape::Line(((x, area.y1), (x, area.y1 + 4.0)), 1.0, AXIS));
            self.text(&text, (x, area.y1 + 6.0 + AXIS_EM), AXIS_EM, QUIET, Lean::Middle);
        }
        self.shapes.push(Shape::Line(((area.x0, area.y1), (area.x1, area.y1)), 1.0, AXIS));
        let middle = f64::midpoint(area.x0, area.x1);
        let baseline = area.y1 + 10.0 + 2.4 * AXIS_EM;
        self.text(&frame.panel.x.label, (middle, baseline), AXIS_EM, INK, Lean::Middle);
    }

    /// The levels' lines, and their texts in the right margin, pushed apart where they would touch.
    fn levels(&mut self, frame: &Frame) {
        let area = frame.area;
        let mut levels: Vec<&Level> = frame.panel.levels.iter().collect();
        levels.sort_by(|a, b| b.y.total_cmp(&a.y));
        let step = NAME_EM * 1.2;
        let tall = |level: &Level| level.label.len() as f64 * step;
        let mut below: f64 = levels.iter().map(|l| tall(l) + 4.0).sum();
        let mut top = area.y0;
        for level in levels {
            let y = frame.y(level.y);
            let (color, dash) = match level.kind {
                LevelKind::Base => (BASE, 7.0),
                LevelKind::Reference => (SECOND, 7.0),
                LevelKind::Chance | LevelKind::Floor => (QUIET, 2.0),
            };
            let dashes = dashes((area.x0, area.x1), y, dash);
            self.shapes.extend(dashes.into_iter().map(|d| Shape::Line(d, 1.5, color)));
            let lowest = area.y1 - below;
            let start = (y - tall(level) / 2.0).min(lowest).max(top);
            for (i, line) in level.label.iter().enumerate() {
                let baseline = start + (i as f64 + 0.5) * step + NAME_EM * 0.36;
                self.text(line, (area.x1 + 8.0, baseline), NAME_EM, color, Lean::Left);
            }
            top = start + tall(level) + 4.0;
            below -= tall(level) + 4.0;
        }
    }

    /// Bars, leaders, marks and names, in this order; returns the names that found no room.
    fn marks(&mut self, frame: &Frame, stairs: &[Segment]) -> Vec<String> {
        let marks = &frame.panel.marks;
        let (named, silent): (Vec<&Mark>, Vec<&Mark>) = marks.iter().partition(|m| !m.name.is_empty());
        let anchors: Vec<Anchor> = named.iter().map(|m| frame.anchor(m)).collect();
        let blocked: Vec<Rect> = silent.iter().flat_map(|m| frame.anchor(m).body()).collect();
        let level = |l: &Level| ((frame.area.x0, frame.y(l.y)), (frame.area.x1, frame.y(l.y)));
        let lines: Vec<Segment> = frame
            .panel
            .levels
            .iter()
            .map(level)
            .chain(stairs.iter().copied())
            .chain(frame.lines())
            .chain(frame.curves().into_iter().map(|c| c.0))
            .collect();
        let places = place(frame.area, &anchors, &blocked, &lines);

        for (mark, anchor) in marks.iter().map(|m| (m, frame.anchor(m))) {
            self.bar(mark, &anchor);
        }
        let leaders = places.iter().flatten().filter_map(|p| p.leader);
        self.shapes.extend(leaders.map(|l| Shape::Line(l, 1.0, FAINT)));
        for mark in marks {
            self.mark((frame.x(mark.x), frame.y(mark.y)), mark.look, mark.radius);
        }
        let mut unnamed = Vec::new();
        for (mark, place) in named.iter().zip(&places) {
            match place {
                Some(found) => self.name(&shown_name(&mark.name), found),
                None => unnamed.push(mark.name.clone()),
            }
        }
        unnamed
    }

    fn bar(&mut self, mark: &Mark, anchor: &Anchor) {
        let Some((top, bottom)) = anchor.bar else { return };
        let color = match mark.look {
            Look::Second => SECOND,
            Look::Grey => AXIS,
            Look::Solid | Look::Open | Look::Bare | Look::Line(_) => BAR,
        };
        let (x, _) = anchor.at;
        self.shapes.push(Shape::Line(((x, top), (x, bottom)), 1.5, color));
        for y in [top, bottom] {
            self.shapes.push(Shape::Line(((x - CAP, y), (x + CAP, y)), 1.5, color));
        }
    }

    fn mark(&mut self, at: Point, look: Look, radius: f64) {
        let color = match look {
            Look::Bare => return,
            Look::Line(stroke) => {
                let piece = ((at.0 - 8.0, at.1), (at.0 + 6.0, at.1));
                return self.shapes.push(Shape::Line(piece, 2.5, stroke.color()));
            }
            Look::Second => SECOND,
            Look::Grey => FAINT,
            Look::Solid | Look::Open => MARK,
        };
        // A white rim keeps marks apart that lie over each other.
        self.shapes.push(Shape::Disc(at, radius + 1.0, PAPER));
        self.shapes.push(Shape::Disc(at, radius, color));
        if matches!(look, Look::Open | Look::Second) {
            self.shapes.push(Shape::Disc(at, radius - 1.5, PAPER));
        }
    }

    fn name(&mut self, name: &str, placed: &Placed) {
        let rect = placed.rect;
        let x = match placed.lean {
            Lean::Left => rect.x0,
            Lean::Middle => f64::midpoint(rect.x0, rect.x1),
            Lean::Right => rect.x1,
        };
        // Capitals fill most of the box; what is left below is for underscores.
        self.text(name, (x, rect.y0 + NAME_EM * 0.86), NAME_EM, INK, placed.lean);
    }
}

fn dashes((from, to): (f64, f64), y: f64, length: f64) -> Vec<Segment> {
    let step = length + 4.0_f64.min(length + 1.5);
    let count = ((to - from) / step).ceil().max(0.0) as u32;
    let dash = |i: u32| {
        let x = from + f64::from(i) * step;
        ((x, y), ((x + length).min(to), y))
    };
    (0..count).map(dash).collect()
}

/// A name short enough to stand beside a point: long ones lose their middle, as their ends tell them apart.
fn shown_name(name: &str) -> String {
    let letters: Vec<char> = printable(name).chars().collect();
    if letters.len() <= LONGEST_NAME {
        return letters.into_iter().collect();
    }
    let half = LONGEST_NAME / 2 - 1;
    let (head, tail) = (&letters[..half], &letters[letters.len() - half..]);
    head.iter().chain(&['…']).chain(tail).collect()
}

/// Control characters would make an SVG unreadable; runs of white space collapse as they do in an SVG.
fn printable(text: &str) -> String {
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(visible).collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_keep_their_ends() {
        assert_eq!(shown_name("Q4_K_M"), "Q4_K_M");
        let long = shown_name("auto@4.50bpw-with-a-very-long-recipe-name+imatrix");
        assert!(
            long.chars().count() <= LONGEST_NAME && long.starts_with("auto@4.5") && long.ends_with("imatrix")
        );
        assert_eq!(printable("a\u{0}b\n c"), "a b c");
    }

    #[test]
    fn dashes_stay_inside() {
        let all = dashes((10.0, 100.0), 5.0, 7.0);
        assert!(all.iter().all(|((a, _), (b, _))| *a >= 10.0 && *b <= 100.0 && a < b));
    }
}
