//! What divergence a group costs at each type. Measured at a few types; at the others from the loss of coding, which
//! is cheap to measure: ln KLD is taken to be linear in ln loss between measured points, and beyond them with the slope
//! that the nearest two say, or 1.

/// A type of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Type.
    pub kind: String,
    /// Bytes of the group's tensors.
    pub bytes: u64,
    /// KL divergence in nats a position that the group alone costs; never more than at a type that loses more.
    pub kld: f64,
}

/// Slopes beyond this are noise: divergence grows with the loss, and not with its cube.
const SLOPES: (f64, f64) = (0.5, 2.0);
/// Least divergence that is told from rounding.
const FLOOR: f64 = 1e-9;

/// KLD at `loss`, from measured (loss, KLD) pairs; 0 if nothing was measured.
pub fn interpolate(measured: &[(f64, f64)], loss: f64) -> f64 {
    let mut points: Vec<(f64, f64)> = measured
        .iter()
        .filter(|(loss, kld)| *loss > 0.0 && kld.is_finite())
        .map(|(loss, kld)| (loss.ln(), kld.max(FLOOR).ln()))
        .collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let Some(&(first, _)) = points.first() else { return 0.0 };
    if loss <= 0.0 {
        return 0.0;
    }
    let x = loss.ln();
    let slope = |a: (f64, f64), b: (f64, f64)| {
        if b.0 - a.0 < 1e-6 { 1.0 } else { ((b.1 - a.1) / (b.0 - a.0)).clamp(SLOPES.0, SLOPES.1) }
    };
    let y = match points.as_slice() {
        [] => return 0.0,
        [one] => one.1 + (x - one.0),
        [a, b, ..] if x <= first => a.1 + slope(*a, *b) * (x - a.0),
        _ => {
            let right = points.iter().position(|p| p.0 >= x);
            match right.and_then(|at| Some((points.get(at.checked_sub(1)?)?, points.get(at)?))) {
                Some((a, b)) => a.1 + (b.1 - a.1) * (x - a.0) / (b.0 - a.0).max(1e-12),
                None => match points.as_slice() {
                    [.., a, b] => b.1 + slope(*a, *b) * (x - b.0),
                    _ => return 0.0,
                },
            }
        }
    };
    y.exp()
}

/// The curve of a group: its types with their losses and bytes, and what was measured at some of them.
pub fn curve(types: &[(String, u64, f64)], measured: &[(String, f64)]) -> Vec<Point> {
    let loss_of = |kind: &str| types.iter().find(|(name, ..)| name == kind).map(|(.., loss)| *loss);
    let anchors: Vec<(f64, f64)> =
        measured.iter().filter_map(|(kind, kld)| Some((loss_of(kind)?, *kld))).collect();
    let mut sorted: Vec<&(String, u64, f64)> = types.iter().collect();
    sorted.sort_by(|a, b| a.2.total_cmp(&b.2));
    let mut least = 0.0_f64;
    let point = |(kind, bytes, loss): &(String, u64, f64)| {
        let own = measured.iter().find(|(name, _)| name == kind).map(|(_, kld)| *kld);
        // What loses more costs no less: otherwise noise would choose.
        least = least.max(own.unwrap_or_else(|| interpolate(&anchors, *loss)));
        Point { kind: kind.clone(), bytes: *bytes, kld: least }
    };
    sorted.into_iter().map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_power_law_is_found_again() {
        let law = |loss: f64| 3.0 * loss.powf(1.2);
        let measured = [(0.1, law(0.1)), (0.01, law(0.01))];
        for loss in [0.001, 0.01, 0.03, 0.1, 0.5] {
            assert!((interpolate(&measured, loss) / law(loss) - 1.0).abs() < 1e-9, "{loss}");
        }
        assert!((interpolate(&[(0.1, 0.2)], 0.05) - 0.1).abs() < 1e-12, "one point: in proportion");
        assert!(interpolate(&[], 0.1) == 0.0 && interpolate(&measured, 0.0) == 0.0);
    }

    proptest! {
        #[test]
        fn what_loses_more_never_costs_less(
            losses in prop::collection::vec(1e-6_f64..1.0, 2..10),
            klds in prop::collection::vec(0.0_f64..2.0, 0..4),
        ) {
            let types: Vec<_> = losses.iter().enumerate().map(|(i, l)| (format!("T{i}"), 100, *l)).collect();
            let measured: Vec<_> = klds.iter().enumerate().map(|(i, k)| (format!("T{i}"), *k)).collect();
            let points = curve(&types, &measured);
            prop_assert_eq!(points.len(), types.len());
            prop_assert!(points.windows(2).all(|p| p[0].kld <= p[1].kld));
            prop_assert!(points.iter().all(|p| p.kld.is_finite() && p.kld >= 0.0));
        }
    }
}
