//! Finds room for the names of points. Every label has a long list of candidate places, cheapest first:
//! beside its mark, at the ends of its bar, then on wider and wider rings with a leader line. Labels are
//! placed one after the other, the most crowded first, each at the cheapest place that touches no other
//! label, mark or bar; a few rounds then let each one move to a better place if the others left one. This is
//! done again with the label that came off worst choosing first, and the cheapest outcome of all is kept. No
//! chance is involved: same input, same places.

/// An upright rectangle in design units, y downwards.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rect {
    /// Left.
    pub x0: f64,
    /// Top.
    pub y0: f64,
    /// Right.
    pub x1: f64,
    /// Bottom.
    pub y1: f64,
}

/// A point.
pub(super) type Point = (f64, f64);

/// A straight line between two points.
pub(super) type Segment = (Point, Point);

/// Which way the text of a label leans: towards its point, should the reader's font be narrower than ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lean {
    /// The text starts at the box's left.
    Left,
    /// The text is centred in the box.
    Middle,
    /// The text ends at the box's right.
    Right,
}

/// A point that wants a label.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Anchor {
    /// Centre of the mark.
    pub at: Point,
    /// Radius of the mark.
    pub radius: f64,
    /// Top and bottom of the bar, if there is one.
    pub bar: Option<(f64, f64)>,
    /// Width and height of the label.
    pub size: (f64, f64),
}

/// A label's place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Placed {
    /// Box of the text.
    pub rect: Rect,
    /// Which way the text leans.
    pub lean: Lean,
    /// A line from the label to its point, if it had to go away.
    pub leader: Option<Segment>,
}

impl Rect {
    /// A box around a centre.
    pub fn around((x, y): Point, half_width: f64, half_height: f64) -> Self {
        Self { x0: x - half_width, y0: y - half_height, x1: x + half_width, y1: y + half_height }
    }

    /// Whether two boxes share more than an edge.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.x0 < other.x1 && other.x0 < self.x1 && self.y0 < other.y1 && other.y0 < self.y1
    }

    /// Whether the other lies wholly inside.
    pub fn contains(&self, other: &Self) -> bool {
        self.x0 <= other.x0 && self.y0 <= other.y0 && self.x1 >= other.x1 && self.y1 >= other.y1
    }

    /// Larger by so much on every side.
    pub fn grown(&self, by: f64) -> Self {
        Self { x0: self.x0 - by, y0: self.y0 - by, x1: self.x1 + by, y1: self.y1 + by }
    }

    fn nearest(&self, (x, y): Point) -> Point {
        (x.clamp(self.x0, self.x1), y.clamp(self.y0, self.y1))
    }

    /// Whether a line passes through the box (Liang and Barsky's clipping).
    pub fn crossed_by(&self, ((x0, y0), (x1, y1)): Segment) -> bool {
        let (dx, dy) = (x1 - x0, y1 - y0);
        let (mut enter, mut leave) = (0.0f64, 1.0f64);
        for (towards, room) in
            [(-dx, x0 - self.x0), (dx, self.x1 - x0), (-dy, y0 - self.y0), (dy, self.y1 - y0)]
        {
            if towards == 0.0 {
                if room <= 0.0 {
                    return false;
                }
            } else if towards < 0.0 {
                enter = enter.max(room / towards);
            } else {
                leave = leave.min(room / towards);
            }
        }
        enter < leave
    }
}

impl Anchor {
    /// The boxes that no label may touch: the mark and the bar with its caps.
    pub fn body(&self) -> Vec<Rect> {
        let (x, _) = self.at;
        let mut boxes = vec![Rect::around(self.at, self.radius, self.radius)];
        if let Some((top, bottom)) = self.bar {
            boxes.push(Rect { x0: x - CAP, y0: top, x1: x + CAP, y1: bottom });
        }
        boxes
    }
}

/// Half the width of a bar's caps.
pub(super) const CAP: f64 = 3.0;

/// Space between labels and anything else.
const GAP: f64 = 1.5;
/// Space between a mark and a label beside it.
const BESIDE: f64 = 3.5;
/// From here on a label needs a leader line.
const FAR: f64 = 5.0;
/// Bars closer than this cannot be told apart at their ends.
const CLOSE_BARS: f64 = 11.0;

// Costs, in design units of distance that avoiding the fault is worth.
const CROSSES_LINE: f64 = 40.0;
const NEAR_OTHER: f64 = 60.0;
const LED_NEAR_OTHER: f64 = 15.0;
const LEADER: f64 = 14.0;
const LEADER_OVER_BAR: f64 = 12.0;
const LEADER_OVER_MARK: f64 = 80.0;
const LEADER_OVER_LEADER: f64 = 60.0;
const LEADER_OVER_LABEL: f64 = 300.0;

struct Candidate {
    placed: Placed,
    cost: f64,
}

/// Everything on the paper while labels are placed.
struct Board<'a> {
    anchors: &'a [Anchor],
    bodies: Vec<(usize, Rect)>,
    lines: &'a [Segment],
    placed: Vec<Option<Placed>>,
}

/// A place within `area` for the label of every anchor. `blocked` are further boxes to keep clear of, `lines`
/// may be crossed if there is no better place. `None` only if there is no room at all in the area.
pub(super) fn place(
    area: Rect,
    anchors: &[Anchor],
    blocked: &[Rect],
    lines: &[Segment],
) -> Vec<Option<Placed>> {
    let own = anchors.iter().enumerate().flat_map(|(i, a)| a.body().into_iter().map(move |b| (i, b)));
    let others = blocked.iter().map(|b| (usize::MAX, *b));
    let mut board =
        Board { anchors, bodies: own.chain(others).collect(), lines, placed: vec![None; anchors.len()] };
    // Marks and bars stay where they are, so places they rule out are ruled out for good.
    let candidates: Vec<Vec<Candidate>> = anchors.iter().map(|a| board.candidates(area, a)).collect();
    let mut order = by_crowding(anchors);
    let mut best: Option<(f64, Vec<Option<Placed>>)> = None;
    for _ in 0..RESTARTS {
        let costs = board.settle(&order, &candidates);
        let total: f64 = costs.iter().sum();
        if best.as_ref().is_none_or(|(least, _)| total < *least) {
            best = Some((total, board.placed.clone()));
        }
        // Whoever came off worst chooses first next time.
        let Some(worst) = (0..costs.len()).max_by(|a, b| costs[*a].total_cmp(&costs[*b])) else { break };
        if costs[worst] < LEADER || order.first() == Some(&worst) {
            break;
        }
        order.retain(|i| *i != worst);
        order.insert(0, worst);
    }
    best.map(|(_, placed)| placed).unwrap_or_default()
}

/// How often all labels are placed anew, each time in another order.
const RESTARTS: usize = 24;
/// Rounds in which labels may move; they mostly come to rest after three.
const ROUNDS: usize = 6;
/// Cost of a label without a place.
const NOWHERE: f64 = 1e6;

/// Indices of the anchors, those with most neighbours first, so that they choose while there is room.
fn by_crowding(anchors: &[Anchor]) -> Vec<usize> {
    let neighbours = |a: &Anchor| {
        let (reach_x, reach_y) = (a.size.0 * 1.2, a.size.1 * 3.0);
        anchors
            .iter()
            .filter(|b| (a.at.0 - b.at.0).abs() < reach_x && (a.at.1 - b.at.1).abs() < reach_y)
            .count()
    };
    let mut order: Vec<(usize, usize)> = anchors.iter().map(neighbours).enumerate().collect();
    order.sort_by_key(|&(i, crowd)| (std::cmp::Reverse(crowd), i));
    order.into_iter().map(|(i, _)| i).collect()
}

impl Board<'_> {
    /// The candidates of an anchor that lie in the area and touch no mark or bar, cheapest first.
    fn candidates(&self, area: Rect, anchor: &Anchor) -> Vec<Candidate> {
        let mut all = Vec::new();
        let (x, y) = anchor.at;
        around_point(anchor, anchor.at, anchor.radius, 0.0, &mut all);
        if let Some((top, bottom)) = anchor.bar {
            // The end of a bar belongs to the point as much as the mark does, but only where it is the only
            // bar, and only if it shows at all.
            let alone = self.anchors.iter().filter(|a| (a.at.0 - x).abs() < CLOSE_BARS).count() == 1;
            if alone && top < y - anchor.radius {
                around_point(anchor, (x, top), 0.0, 1.0, &mut all);
            }
            if alone && bottom > y + anchor.radius {
                around_point(anchor, (x, bottom), 0.0, 1.5, &mut all);
            }
        }
        all.retain(|c| {
            let clear = c.placed.rect.grown(GAP);
            area.contains(&c.placed.rect) && !self.bodies.iter().any(|(_, body)| body.overlaps(&clear))
        });
        for candidate in &mut all {
            let rect = candidate.placed.rect;
            let crossed = self.lines.iter().filter(|line| rect.grown(1.0).crossed_by(**line)).count();
            candidate.cost += CROSSES_LINE * crossed as f64;
        }
        all.sort_by(|a, b| a.cost.total_cmp(&b.cost));
        all
    }

    /// Places all labels anew in this order, lets them move to better places, and returns what each one's
    /// place costs.
    fn settle(&mut self, order: &[usize], candidates: &[Vec<Candidate>]) -> Vec<f64> {
        let mut costs = vec![NOWHERE; self.anchors.len()];
        self.placed.fill(None);
        for _ in 0..ROUNDS {
            let before = self.placed.clone();
            for &i in order {
                self.placed[i] = None;
                let best = self.best(i, &candidates[i]);
                costs[i] = best.map_or(NOWHERE, |(cost, _)| cost);
                self.placed[i] = best.map(|(_, placed)| placed);
            }
            if self.placed == before {
                break;
            }
        }
        costs
    }

    /// The cheapest candidate that touches no label placed so far, with its cost.
    fn best(&self, index: usize, candidates: &[Candidate]) -> Option<(f64, Placed)> {
        let mut best: Option<(f64, Placed)> = None;
        for candidate in candidates {
            if best.is_some_and(|(cost, _)| candidate.cost >= cost) {
                break;
            }
            let Some(extra) = self.conflicts(index, &candidate.placed) else { continue };
            let cost = candidate.cost + extra;
            if best.is_none_or(|(least, _)| cost < least) {
                best = Some((cost, candidate.placed));
            }
        }
        best
    }

    /// What a place costs beyond its own merits; `None` if it touches another label.
    fn conflicts(&self, index: usize, place: &Placed) -> Option<f64> {
        let mut cost = 0.0;
        for (_, other) in self.placed.iter().enumerate().filter(|(i, _)| *i != index) {
            let Some(other) = other else { continue };
            if other.rect.overlaps(&place.rect.grown(GAP)) {
                return None;
            }
            let over =
                |leader: Option<Segment>, rect: Rect| leader.is_some_and(|l| rect.grown(GAP).crossed_by(l));
            if over(place.leader, other.rect) || over(other.leader, place.rect) {
                cost += LEADER_OVER_LABEL;
            }
            if let (Some(a), Some(b)) = (place.leader, other.leader)
                && crosses(a, b)
            {
                cost += LEADER_OVER_LEADER;
            }
        }
        for (owner, body) in self.bodies.iter().filter(|(owner, _)| *owner != index) {
            let is_bar = self
                .anchors
                .get(*owner)
                .is_some_and(|a| a.bar.is_some() && body.y1 - body.y0 > 2.0 * a.radius);
            if place.leader.is_some_and(|leader| body.crossed_by(leader)) {
                cost += if is_bar { LEADER_OVER_BAR } else { LEADER_OVER_MARK };
            }
            // A label close to another mark reads as that mark's name, less so if a line leads elsewhere.
            if !is_bar && body.grown(BESIDE + 2.0).overlaps(&place.rect) {
                cost += if place.leader.is_some() { LED_NEAR_OTHER } else { NEAR_OTHER };
            }
        }
        Some(cost)
    }
}

/// Adds the places around a point: beside it, then rings with leaders.
fn around_point(anchor: &Anchor, from: Point, radius: f64, handicap: f64, all: &mut Vec<Candidate>) {
    let (half_width, half_height) = (anchor.size.0 / 2.0, anchor.size.1 / 2.0);
    let mut add = |cos: f64, sin: f64, reach: f64, cost: f64| {
        let centre = (from.0 + cos * (reach + half_width), from.1 + sin * (reach + half_height));
        let rect = Rect::around(centre, half_width, half_height);
        let lean = if cos > 0.4 {
            Lean::Left
        } else if cos < -0.4 {
            Lean::Right
        } else {
            Lean::Middle
        };
        let end = rect.nearest(from);
        let away = distance(end, from);
        let far = away > radius + FAR;
        let leader = far.then(|| {
            let start = if away > 0.0 { radius / away } else { 0.0 };
            ((from.0 + (end.0 - from.0) * start, from.1 + (end.1 - from.1) * start), end)
        });
        let cost = cost + handicap + if far { LEADER + away } else { 0.0 };
        all.push(Candidate { placed: Placed { rect, lean, leader }, cost });
    };
    let beside = radius + BESIDE;
    for (cos, sin, cost) in [
        (1.0, 0.0, 0.0),
        (0.0, -1.0, 1.0),
        (-1.0, 0.0, 1.5),
        (0.0, 1.0, 2.0),
        (0.8, -0.8, 2.0),
        (0.8, 0.8, 2.5),
        (-0.8, -0.8, 3.0),
        (-0.8, 0.8, 3.5),
    ] {
        // Beside the end of a bar a name is less clearly the bar's than above or below it.
        let aside = if handicap > 0.0 && sin == 0.0 { 8.0 } else { 0.0 };
        add(cos, sin, beside, cost + aside);
    }
    let mut reach = radius + 5.0;
    while reach < FARTHEST {
        for turn in 0..DIRECTIONS {
            let angle = f64::from(turn) * std::f64::consts::TAU / f64::from(DIRECTIONS);
            add(angle.cos(), angle.sin(), reach, 4.0);
        }
        reach += 6.0;
    }
}

/// Directions on a ring.
const DIRECTIONS: u32 = 32;
/// Radius of the last ring: more than any panel is wide.
const FARTHEST: f64 = 900.0;

fn distance(a: Point, b: Point) -> f64 {
    (a.0 - b.0).hypot(a.1 - b.1)
}

/// Whether two lines cross, ends included.
fn crosses((a, b): Segment, (c, d): Segment) -> bool {
    let side = |p: Point, q: Point, r: Point| (q.0 - p.0) * (r.1 - p.1) - (q.1 - p.1) * (r.0 - p.0);
    side(a, b, c) * side(a, b, d) <= 0.0 && side(c, d, a) * side(c, d, b) <= 0.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const AREA: Rect = Rect { x0: 60.0, y0: 80.0, x1: 780.0, y1: 480.0 };

    fn check(anchors: &[Anchor]) {
        let places = place(AREA, anchors, &[], &[]);
        let rects: Vec<Rect> = places.iter().map(|p| p.expect("room for every label").rect).collect();
        for (i, rect) in rects.iter().enumerate() {
            assert!(AREA.contains(rect));
            assert!(rects[..i].iter().all(|other| !rect.overlaps(other)), "labels touch");
            assert!(
                anchors.iter().flat_map(Anchor::body).all(|body| !rect.overlaps(&body)),
                "label on a point"
            );
        }
    }

    #[test]
    fn a_lone_label_stands_to_the_right() {
        let anchor = Anchor { at: (300.0, 300.0), radius: 4.0, bar: None, size: (50.0, 12.0) };
        let placed = place(AREA, &[anchor], &[], &[])[0].unwrap();
        assert!(placed.leader.is_none() && placed.rect.x0 > 304.0 && placed.rect.x0 < 310.0);
        let edge = Anchor { at: (775.0, 300.0), ..anchor };
        assert!(place(AREA, &[edge], &[], &[])[0].unwrap().rect.x1 < 775.0);
    }

    #[test]
    fn no_room_is_said() {
        let anchor = Anchor { at: (300.0, 300.0), radius: 4.0, bar: None, size: (5000.0, 12.0) };
        assert_eq!(place(AREA, &[anchor], &[], &[]), [None]);
    }

    #[test]
    fn twenty_points_in_one_place() {
        check(
            &[Anchor { at: (400.0, 250.0), radius: 4.5, bar: Some((200.0, 300.0)), size: (70.0, 12.0) }; 20],
        );
    }

    prop_compose! {
        /// Points along a falling ladder, bits per weight clustered as real types are, with bars of all
        /// lengths.
        fn ladder()(
            points in proptest::collection::vec((0usize..7, -0.15f64..0.15, -12.0f64..12.0, 0.0f64..90.0, 30.0f64..100.0), 1..=20)
        ) -> Vec<Anchor> {
            const CLUSTERS: [f64; 7] = [2.1, 2.7, 3.5, 4.5, 4.9, 5.6, 8.5];
            points.into_iter().map(|(cluster, shift, up, bar, width)| {
                let x = AREA.x0 + (CLUSTERS[cluster] + shift - 1.5) / 7.6 * 720.0;
                let y = (AREA.y0 + (x - AREA.x0) * 0.5 + up).clamp(AREA.y0 + 5.0, AREA.y1 - 5.0);
                let bar = (bar > 10.0).then(|| ((y - bar).max(AREA.y0), (y + bar).min(AREA.y1)));
                Anchor { at: (x, y), radius: 4.5, bar, size: (width, 12.0) }
            }).collect()
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn labels_never_touch(anchors in ladder()) {
            check(&anchors);
            prop_assert_eq!(place(AREA, &anchors, &[], &[]), place(AREA, &anchors, &[], &[]));
        }
    }
}
