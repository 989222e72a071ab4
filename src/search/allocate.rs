//! Bytes given to groups so that the sum of their divergences is least: on each group's lower convex hull the type is
//! taken that minimises divergence plus a price a byte; the price is bisected to the bytes there are. What is left over
//! is filled step by step with whatever saves most for its bytes, hull or not.

use crate::search::curve::Point;

/// Halvings of the interval of prices: beyond the precision of f64.
const HALVINGS: u32 = 200;

/// For each group the index of its point. `None` if not even the smallest points fit.
pub fn allocate(curves: &[Vec<Point>], budget: u64) -> Option<Vec<usize>> {
    let smallest: Option<Vec<usize>> = curves.iter().map(|c| smallest(c)).collect();
    let smallest = smallest?;
    if bytes(curves, &smallest)? > budget {
        return None;
    }
    let hulls: Vec<Vec<usize>> = curves.iter().map(|c| hull(c)).collect();
    let at = |price: f64| -> Vec<usize> {
        curves.iter().zip(&hulls).map(|(c, h)| cheapest(c, h, price)).collect()
    };
    let mut chosen = smallest;
    let (mut low, mut high) = (0.0_f64, 1.0_f64);
    if bytes(curves, &at(low)).is_some_and(|b| b <= budget) {
        chosen = at(low);
    } else {
        for _ in 0..HALVINGS {
            let middle = if low > 0.0 { (low * high).sqrt() } else { high * 1e-18 };
            let mix = at(middle);
            if bytes(curves, &mix).is_some_and(|b| b <= budget) {
                high = middle;
                chosen = mix;
            } else {
                low = middle;
            }
        }
    }
    fill(curves, &mut chosen, budget);
    Some(chosen)
}

/// Bytes of a choice; `None` if an index is none or the sum overflows.
pub fn bytes(curves: &[Vec<Point>], chosen: &[usize]) -> Option<u64> {
    curves.iter().zip(chosen).try_fold(0_u64, |sum, (curve, i)| sum.checked_add(curve.get(*i)?.bytes))
}

fn smallest(curve: &[Point]) -> Option<usize> {
    (0..curve.len()).min_by(|a, b| {
        let of = |i: &usize| curve.get(*i).map_or((u64::MAX, f64::MAX), |p| (p.bytes, p.kld));
        of(a).0.cmp(&of(b).0).then(of(a).1.total_cmp(&of(b).1))
    })
}

/// Points of the lower convex hull of (bytes, divergence), from few bytes to many.
pub fn hull(curve: &[Point]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..curve.len()).collect();
    let of = |i: usize| curve.get(i).map_or((0.0, 0.0), |p| (p.bytes as f64, p.kld));
    order.sort_by(|a, b| of(*a).0.total_cmp(&of(*b).0).then(of(*a).1.total_cmp(&of(*b).1)));
    let mut hull: Vec<usize> = Vec::new();
    for next in order {
        let (x, y) = of(next);
        if hull.last().is_some_and(|last| y >= of(*last).1) {
            continue;
        }
        while let [.., a, b] = hull.as_slice() {
            let (ax, ay) = of(*a);
            let (bx, by) = of(*b);
            // b lies on or above the line from a to the next.
            if (by - ay) * (x - ax) >= (y - ay) * (bx - ax) {
                hull.pop()
            } else {
                break;
            };
        }
        hull.push(next);
    }
    hull
}

fn cheapest(curve: &[Point], hull: &[usize], price: f64) -> usize {
    let total = |i: &usize| curve.get(*i).map_or(f64::MAX, |p| p.kld + price * p.bytes as f64);
    hull.iter().copied().min_by(|a, b| total(a).total_cmp(&total(b))).unwrap_or(0)
}

/// Spends what is left: the step that saves most a byte, as long as one fits.
pub fn fill(curves: &[Vec<Point>], chosen: &mut [usize], budget: u64) {
    while let Some(used) = bytes(curves, chosen).filter(|b| *b <= budget) {
        let mut best: Option<(f64, usize, usize)> = None;
        for (group, (curve, now)) in curves.iter().zip(chosen.iter()).enumerate() {
            let Some(now) = curve.get(*now) else { continue };
            for (index, point) in curve.iter().enumerate() {
                let saved = now.kld - point.kld;
                let more = point.bytes.saturating_sub(now.bytes);
                if saved <= 0.0 || more > budget - used {
                    continue;
                }
                let rate = saved / more.max(1) as f64;
                if best.is_none_or(|(most, ..)| rate > most) {
                    best = Some((rate, group, index));
                }
            }
        }
        let Some((_, group, index)) = best else { return };
        if let Some(place) = chosen.get_mut(group) {
            *place = index;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn point(bytes: u64, kld: f64) -> Point {
        Point { kind: bytes.to_string(), bytes, kld }
    }

    /// Sum of the divergences of a choice.
    fn cost(curves: &[Vec<Point>], chosen: &[usize]) -> f64 {
        curves.iter().zip(chosen).filter_map(|(curve, i)| curve.get(*i)).map(|p| p.kld).sum()
    }

    /// Every combination.
    fn best(curves: &[Vec<Point>], budget: u64) -> Option<f64> {
        let mut all = vec![(0_u64, 0.0_f64)];
        for curve in curves {
            let add =
                |(b, k): &(u64, f64)| curve.iter().map(move |p| (b + p.bytes, k + p.kld)).collect::<Vec<_>>();
            all = all.iter().flat_map(add).collect();
        }
        all.into_iter().filter(|(b, _)| *b <= budget).map(|(_, k)| k).min_by(f64::total_cmp)
    }

    #[test]
    fn bits_go_where_they_matter() {
        let precious = vec![point(100, 8.0), point(200, 1.0), point(400, 0.1)];
        let robust = vec![point(100, 0.3), point(200, 0.1), point(400, 0.05)];
        let curves = [precious, robust];
        assert_eq!(allocate(&curves, 500), Some(vec![2, 0]));
        assert_eq!(allocate(&curves, 300), Some(vec![1, 0]));
        assert_eq!(allocate(&curves, 200), Some(vec![0, 0]));
        assert_eq!(allocate(&curves, 199), None);
        assert_eq!(allocate(&curves, 10_000), Some(vec![2, 2]));
    }

    #[test]
    fn dominated_points_are_not_on_the_hull() {
        let curve = [point(400, 0.1), point(100, 1.0), point(200, 0.9), point(250, 0.2), point(300, 0.3)];
        assert_eq!(hull(&curve), [1, 3, 0]);
        assert_eq!(hull(&[]), Vec::<usize>::new());
    }

    proptest! {
        #[test]
        fn the_bytes_are_kept_and_the_best_is_near(
            curves in prop::collection::vec(prop::collection::vec((1_u64..1000, 0.0_f64..1.0), 1..5), 1..6),
            share in 0.0_f64..1.2,
        ) {
            let curves: Vec<Vec<Point>> = curves
                .into_iter()
                .map(|c| c.into_iter().map(|(b, k)| point(b, k)).collect())
                .collect();
            let most: u64 = curves.iter().filter_map(|c| c.iter().map(|p| p.bytes).max()).sum();
            let budget = (share * most as f64) as u64;
            match (allocate(&curves, budget), best(&curves, budget)) {
                (Some(chosen), Some(least)) => {
                    prop_assert!(bytes(&curves, &chosen).expect("a choice") <= budget);
                    // Lagrange's gap is at most what one group's largest step is worth.
                    let step = |c: &Vec<Point>| {
                        let klds = c.iter().map(|p| p.kld);
                        klds.clone().fold(0.0, f64::max) - klds.fold(f64::MAX, f64::min)
                    };
                    let gap = curves.iter().map(step).fold(0.0, f64::max);
                    let got = cost(&curves, &chosen);
                    prop_assert!(got >= least - 1e-12 && got <= least + gap + 1e-12, "{got} {least} {gap}");
                }
                (None, None) => {}
                (got, least) => prop_assert!(false, "{got:?} {least:?}"),
            }
        }

        #[test]
        fn on_convex_curves_with_equal_steps_it_is_the_best(
            drops in prop::collection::vec(prop::collection::vec(0.01_f64..1.0, 3), 2..5),
            steps in 0_u64..12,
        ) {
            let curves: Vec<Vec<Point>> = drops
                .into_iter()
                .map(|mut d| {
                    d.sort_by(|a, b| b.total_cmp(a));
                    let total: f64 = d.iter().sum();
                    let mut left = total;
                    let mut points = vec![point(100, total)];
                    for (i, drop) in d.iter().enumerate() {
                        left -= drop;
                        points.push(point(200 + 100 * i as u64, left.max(0.0)));
                    }
                    points
                })
                .collect();
            let budget = 100 * (curves.len() as u64 + steps);
            let chosen = allocate(&curves, budget).expect("fits");
            let least = best(&curves, budget).expect("fits");
            prop_assert!((cost(&curves, &chosen) - least).abs() < 1e-9);
        }
    }
}
