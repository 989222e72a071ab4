//! From a measured mix to a better one: curves are set right by what groups cost within the mix, and exchanges of bits
//! between two groups are proposed in the order of what they promise. Whether a proposal is better, the measured text
//! says, chunk by chunk.

use crate::search::allocate::bytes;
use crate::search::curve::Point;

/// Within a mix a group costs at most so many times more, or less, than alone.
const RESCALED: (f64, f64) = (0.2, 5.0);
/// Standard errors by which a change must be better.
const SURE: f64 = 1.65;

/// A proposal: other points of one or two groups.
#[derive(Debug, Clone, PartialEq)]
pub struct Move {
    /// (group, point) of what changes.
    pub to: Vec<(usize, usize)>,
    /// Divergence it saves, by the curves.
    pub promises: f64,
}

impl Move {
    /// The choice after the move.
    pub fn from(&self, chosen: &[usize]) -> Vec<usize> {
        let mut next = chosen.to_vec();
        for (group, point) in &self.to {
            if let Some(place) = next.get_mut(*group) {
                *place = *point;
            }
        }
        next
    }
}

/// A curve scaled so that its chosen point costs what was measured within the mix.
pub fn rescaled(curve: &[Point], chosen: usize, within: f64) -> Vec<Point> {
    let alone = curve.get(chosen).map_or(0.0, |p| p.kld);
    let factor = if alone > 0.0 { (within / alone).clamp(RESCALED.0, RESCALED.1) } else { 1.0 };
    curve.iter().map(|p| Point { kld: p.kld * factor, ..p.clone() }).collect()
}

/// Proposals within the bytes, the most promising first, at most `most`: one group gets more bits, and where that takes
/// more bytes than there are left, another one fewer.
pub fn moves(curves: &[Vec<Point>], chosen: &[usize], budget: u64, most: usize) -> Vec<Move> {
    let Some(used) = bytes(curves, chosen) else { return Vec::new() };
    let steps = steps(curves, chosen);
    let mut found = Vec::new();
    for (up, to, more, saved) in &steps {
        if *saved <= 0.0 {
            continue;
        }
        if used.checked_add_signed(*more).is_some_and(|b| b <= budget) {
            found.push(Move { to: vec![(*up, *to)], promises: *saved });
            continue;
        }
        for (down, to_down, less, lost) in &steps {
            let fits = used.checked_add_signed(*more + *less).is_some_and(|b| b <= budget);
            if down != up && *less < 0 && fits && saved + lost > 0.0 {
                found.push(Move { to: vec![(*up, *to), (*down, *to_down)], promises: saved + lost });
            }
        }
    }
    found.sort_by(|a, b| b.promises.total_cmp(&a.promises));
    found.truncate(most);
    found
}

/// (group, point, bytes more, divergence saved) of every other point of every group.
fn steps(curves: &[Vec<Point>], chosen: &[usize]) -> Vec<(usize, usize, i64, f64)> {
    let of_group = |(group, (curve, now)): (usize, (&Vec<Point>, &usize))| {
        let now = curve.get(*now)?.clone();
        let steps = curve.iter().enumerate().map(move |(index, point)| {
            let more = point.bytes.cast_signed() - now.bytes.cast_signed();
            (group, index, more, now.kld - point.kld)
        });
        Some(steps.collect::<Vec<_>>())
    };
    curves.iter().zip(chosen).enumerate().filter_map(of_group).flatten().filter(|s| s.2 != 0).collect()
}

/// Whether `new` is surely below `old`: chunk by chunk, by more than its error.
pub fn is_better(old: &[f64], new: &[f64]) -> bool {
    let (mean, error) = difference(old, new);
    mean + SURE * error < 0.0
}

/// Mean of new - old over chunks, and its standard error.
pub fn difference(old: &[f64], new: &[f64]) -> (f64, f64) {
    let differences: Vec<f64> = old.iter().zip(new).map(|(o, n)| n - o).collect();
    let n = differences.len().max(1) as f64;
    let mean = differences.iter().sum::<f64>() / n;
    let squares: f64 = differences.iter().map(|d| (d - mean).powi(2)).sum();
    (mean, if n > 1.0 { (squares / (n * (n - 1.0))).sqrt() } else { f64::INFINITY })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn curve(points: &[(u64, f64)]) -> Vec<Point> {
        points
            .iter()
            .map(|(bytes, kld)| Point { kind: bytes.to_string(), bytes: *bytes, kld: *kld })
            .collect()
    }

    #[test]
    fn bits_go_from_where_they_do_little_to_where_they_do_much() {
        let curves = [curve(&[(100, 1.0), (200, 0.1)]), curve(&[(100, 0.2), (200, 0.1)])];
        let found = moves(&curves, &[0, 1], 300, 10);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].from(&[0, 1]), [1, 0]);
        assert!((found[0].promises - 0.8).abs() < 1e-12);
        // With bytes to spare nobody has to give.
        assert_eq!(moves(&curves, &[0, 1], 400, 10)[0].to, [(0, 1)]);
    }

    #[test]
    fn a_curve_keeps_its_shape_when_it_is_rescaled() {
        let scaled = rescaled(&curve(&[(100, 1.0), (200, 0.5)]), 1, 1.0);
        assert_eq!(scaled.iter().map(|p| p.kld).collect::<Vec<_>>(), [2.0, 1.0]);
        assert!((rescaled(&scaled, 1, -1.0)[1].kld - 0.2).abs() < 1e-12, "noise does not turn a curve over");
    }

    #[test]
    fn better_means_by_more_than_its_error() {
        assert!(is_better(&[1.0, 2.0, 3.0, 4.0], &[0.9, 1.9, 2.9, 3.9]));
        assert!(!is_better(&[1.0, 2.0, 3.0, 4.0], &[0.9, 2.1, 2.8, 4.1]));
        assert!(!is_better(&[1.0], &[0.5]) && !is_better(&[1.0, 1.0], &[1.0, 1.0]));
    }

    proptest! {
        #[test]
        fn no_move_takes_more_bytes_than_there_are(
            curves in prop::collection::vec(prop::collection::vec((1_u64..1000, 0.0_f64..1.0), 1..5), 1..6),
            more in 0_u64..500,
        ) {
            let curves: Vec<_> = curves.iter().map(|c| curve(c)).collect();
            let chosen = vec![0; curves.len()];
            let budget = bytes(&curves, &chosen).expect("a choice") + more;
            for proposal in moves(&curves, &chosen, budget, 100) {
                prop_assert!(bytes(&curves, &proposal.from(&chosen)).expect("a choice") <= budget);
                prop_assert!(proposal.promises > 0.0);
            }
        }
    }
}
