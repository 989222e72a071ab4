//! Whole sweeps with early stopping, simulated: how often a decision is wrong, how often an interval misses, and how many items
//! are saved. The short form runs with the tests, the long one by `scripts/simulate-decide`.

use proptest::prelude::*;

use super::*;
use crate::stats::SplitMix64;

const TOLERANCE: f64 = 0.02;
/// As a sweep that is not told otherwise.
const PRECISION: f64 = TOLERANCE / 2.0;
/// What the comparisons with the base have of the level, all together.
const LEVEL: f64 = 0.04;
/// What those between variants have.
const LEVEL_OF_PAIRS: f64 = 0.01;

/// What share of the base's answers a variant loses, and what share it wins.
#[derive(Clone, Copy)]
struct Rung {
    lost: f64,
    won: f64,
}

const fn rung(lost: f64, won: f64) -> Rung {
    Rung { lost, won }
}

/// The default ladder: nearly nothing flips at its top, and much is lost at its foot.
const LADDER: [Rung; 12] = [
    rung(0.006, 0.006),
    rung(0.013, 0.012),
    rung(0.018, 0.017),
    rung(0.022, 0.020),
    rung(0.038, 0.033),
    rung(0.048, 0.038),
    rung(0.042, 0.035),
    rung(0.075, 0.050),
    rung(0.110, 0.055),
    rung(0.180, 0.080),
    rung(0.350, 0.100),
    rung(0.350, 0.100),
];
/// Nothing is lost that is not won elsewhere.
const NOTHING: [Rung; 4] = [rung(0.03, 0.03); 4];
/// Just as much is lost as is tolerated.
const EDGE: [Rung; 4] = [rung(0.06, 0.04); 4];

/// What came of a simulated sweep.
#[derive(Default)]
struct Outcome {
    /// A variant was judged otherwise than all its items say, or shown to be better than one it is not better than.
    wrong: bool,
    /// An interval did not hold the mean over all items, at whatever look.
    missed: bool,
    /// Items of all variants and the base, and how many there are.
    items: (u64, u64),
    /// The lowest rung within the tolerance is another than all items say.
    other: bool,
}

/// A sweep's differences: by variant and suite, in the order of evaluation.
struct Data {
    sizes: Vec<u64>,
    variants: Vec<Vec<Vec<f64>>>,
}

impl Data {
    fn draw(sizes: &[u64], ladder: &[Rung], random: &mut SplitMix64) -> Self {
        let mut one = |rung: &Rung| match random.unit() {
            u if u < rung.lost => -1.0,
            u if u < rung.lost + rung.won => 1.0,
            _ => 0.0,
        };
        let mut suites =
            |rung: &Rung| sizes.iter().map(|n| (0..*n).map(|_| one(rung)).collect()).collect::<Vec<_>>();
        Self { sizes: sizes.to_vec(), variants: ladder.iter().map(&mut suites).collect() }
    }

    fn truth(&self) -> Vec<f64> {
        let mean = |d: &Vec<f64>| d.iter().sum::<f64>() / d.len() as f64;
        let of = |suites: &Vec<Vec<f64>>| suites.iter().map(mean).sum::<f64>() / suites.len() as f64;
        self.variants.iter().map(of).collect()
    }

    /// Strata of a variant at a look.
    fn strata(&self, variant: usize, targets: &[u64]) -> Vec<Stratum> {
        let suites = self.variants[variant].iter().zip(targets).zip(&self.sizes);
        suites.map(|((d, n), of)| Stratum::of(1.0, Some(*of), &d[..*n as usize])).collect()
    }

    /// Whether any of these variants is shown to be better than another, on other items too.
    fn ranked(&self, variants: &[usize], targets: &[u64]) -> bool {
        let pairs = (variants.len() * (variants.len() - 1) / 2).max(1);
        let shown = |a: usize, b: usize| {
            let difference = |(one, other): (&Vec<f64>, &Vec<f64>), n: u64| {
                let d: Vec<f64> = one.iter().zip(other).take(n as usize).map(|(a, b)| a - b).collect();
                Stratum::of(1.0, None, &d)
            };
            let suites = self.variants[a].iter().zip(&self.variants[b]).zip(targets);
            let strata: Vec<Stratum> = suites.map(|(pair, n)| difference(pair, *n)).collect();
            let look = pooled_look(&strata, LEVEL_OF_PAIRS / pairs as f64, TOLERANCE);
            look.is_some_and(|look| look.interval.0 > 0.0 || look.interval.1 < 0.0)
        };
        variants.iter().any(|a| variants.iter().any(|b| a < b && shown(*a, *b)))
    }
}

/// A whole sweep: variants go on together, look by look, until each is decided or out of items. Where `alike`, no variant
/// is better than another.
fn sweep(data: &Data, alike: bool) -> Outcome {
    let (variants, truth) = (data.variants.len(), data.truth());
    let mut outcome = Outcome::default();
    let mut targets: Vec<u64> = data.sizes.iter().map(|n| FIRST_LOOK.min(*n)).collect();
    let (mut taken, mut seen) = (vec![0_u64; variants], vec![0.0; variants]);
    let mut narrowest = vec![(-1.0_f64, 1.0_f64); variants];
    let mut open: Vec<usize> = (0..variants).collect();
    loop {
        outcome.wrong |= alike && data.ranked(&open, &targets);
        let mut spread = vec![0.0; targets.len()];
        open.retain(|&v| {
            let strata = data.strata(v, &targets);
            let look = pooled_look(&strata, LEVEL / variants as f64, TOLERANCE).expect("enough items");
            (taken[v], seen[v]) = (targets.iter().sum(), look.mean);
            let own = &mut narrowest[v];
            *own = (own.0.max(look.interval.0), own.1.min(look.interval.1));
            outcome.missed |= own.0 > truth[v] + 1e-9 || own.1 < truth[v] - 1e-9;
            let decided = decision(*own, TOLERANCE, PRECISION);
            outcome.wrong |= match decided {
                Some(Decision::Equal) => truth[v].abs() > TOLERANCE + 1e-9,
                Some(Decision::Worse) => truth[v] > -TOLERANCE + 1e-9,
                Some(Decision::Better) => truth[v] < TOLERANCE - 1e-9,
                Some(Decision::Precise) | None => false,
            };
            for (spread, stratum) in spread.iter_mut().zip(&strata) {
                *spread += stratum.variance() + 1.0 / stratum.n as f64;
            }
            decided.is_none()
        });
        let suites = spread.iter().zip(&targets).zip(&data.sizes);
        let efforts: Vec<Effort> =
            suites.map(|((s, n), of)| Effort { spread: s.sqrt(), cost: 1.0, n: *n, of: *of }).collect();
        let next = next_look(&efforts, None);
        if open.is_empty() || next == targets {
            break;
        }
        targets = next;
    }
    let lowest = |means: &[f64]| means.iter().rposition(|mean| *mean >= -TOLERANCE - 1e-9);
    outcome.other = lowest(&truth) != lowest(&seen);
    let all = data.sizes.iter().sum::<u64>() * (variants as u64 + 1);
    outcome.items = (taken.iter().sum::<u64>() + targets.iter().sum::<u64>(), all);
    outcome
}

/// Shares of the sweeps that were wrong, that missed and that recommend another variant, and of the items taken.
fn simulate(sizes: &[u64], ladder: &[Rung], alike: bool, sweeps: u64, seed: u64) -> [f64; 4] {
    let mut random = SplitMix64::new(seed);
    let mut sums = [0.0; 4];
    for _ in 0..sweeps {
        let Outcome { wrong, missed, items, other } = sweep(&Data::draw(sizes, ladder, &mut random), alike);
        let share = items.0 as f64 / items.1 as f64;
        for (sum, one) in sums.iter_mut().zip([wrong, missed, other].map(|is| f64::from(u8::from(is)))) {
            *sum += one;
        }
        sums[3] += share;
    }
    sums.map(|sum| sum / sweeps as f64)
}

/// Suites as they come with the program, small ones among them.
const UNLIKE: [u64; 12] = [20, 40, 164, 500, 541, 600, 1000, 1221, 1267, 1838, 2850, 3270];

/// The short form.
#[test]
fn early_stopping_is_seldom_wrong_and_saves_most_items() {
    for (sizes, ladder, alike, sweeps, most_items) in [
        (&[300; 5][..], &NOTHING[..], true, 300, 1.0),
        (&[300; 5], &EDGE, true, 300, 1.0),
        (&UNLIKE, &LADDER, false, 40, 0.25),
        (&[10_000; 8], &LADDER, false, 8, 0.1),
    ] {
        let [wrong, missed, _, items] = simulate(sizes, ladder, alike, sweeps, 1);
        assert!(wrong <= 0.05 && missed <= 0.05, "{sizes:?}: {wrong} wrong, {missed} missed");
        assert!(items <= most_items, "{sizes:?}: {items} of the items");
    }
}

#[test]
#[ignore = "the long form, run by scripts/simulate-decide"]
fn thousands_of_sweeps() {
    let setting = |name: &str, default: u64| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (sweeps, seed) = (setting("SWEEPS", 10_000), setting("SEED", 1));
    println!("{:<34} {:>7} {:>7} {:>7} {:>7}", "", "wrong", "missed", "other", "items");
    for (name, sizes, ladder, alike) in [
        ("nothing differs, 5 x 600", &[600; 5][..], &NOTHING[..], true),
        ("at the tolerance, 5 x 600", &[600; 5], &EDGE, true),
        ("the default ladder, 5 x 600", &[600; 5], &LADDER, false),
        ("the default ladder, 12 suites", &UNLIKE, &LADDER, false),
        ("the default ladder, 8 x 10000", &[10_000; 8], &LADDER, false),
    ] {
        let shares = simulate(sizes, ladder, alike, sweeps, seed);
        let [wrong, missed, other, items] = shares.map(|share| share * 100.0);
        println!("{name:<34} {wrong:>6.2}% {missed:>6.2}% {other:>6.2}% {items:>6.1}%");
        assert!(wrong <= 5.0 && missed <= 5.0, "{name}");
    }
}

#[test]
fn an_interval_decides_one_thing() {
    for (interval, decided) in [
        ((-0.01, 0.02), Some(Decision::Equal)),
        ((-0.05, -0.021), Some(Decision::Worse)),
        ((0.021, 0.05), Some(Decision::Better)),
        ((-0.025, -0.015), Some(Decision::Precise)),
        ((-0.05, -0.01), None),
    ] {
        assert_eq!(decision(interval, 0.02, 0.01), decided, "{interval:?}");
    }
}

/// Cochran's allocation: twice the spread is worth twice the items, four times the price half of them.
#[test]
fn items_go_where_they_tell_most() {
    let effort = |spread, cost, n, of| Effort { spread, cost, n, of };
    let goals =
        allocate(&[effort(0.2, 1.0, 0, 1000), effort(0.1, 1.0, 0, 1000), effort(0.2, 4.0, 0, 1000)], 700.0);
    assert_eq!(goals, [200, 100, 100]);
    // A suite at its end leaves the rest to others, one that is ahead waits, and one that tells nothing gets nothing.
    assert_eq!(allocate(&[effort(0.2, 1.0, 10, 50), effort(0.2, 1.0, 10, 1000)], 140.0), [50, 110]);
    assert_eq!(allocate(&[effort(0.2, 1.0, 90, 1000), effort(0.2, 1.0, 10, 1000)], 60.0), [90, 70]);
    assert_eq!(allocate(&[effort(0.0, 1.0, 10, 1000), effort(f64::NAN, 1.0, 10, 1000)], 60.0), [10, 10]);
    assert_eq!(allocate(&[effort(0.2, 1.0, 10, 50)], 1e9), [50]);
    assert_eq!(allocate(&[], 1.0), Vec::<u64>::new());
}

/// A suite that is known whole adds no uncertainty, and all of them known leave none.
#[test]
fn what_is_known_is_certain() {
    let half = Stratum::of(1.0, Some(100), &[vec![0.0; 45], vec![-1.0; 5]].concat());
    let whole = Stratum::of(1.0, Some(50), &[vec![0.0; 45], vec![-1.0; 5]].concat());
    let look = |strata: &[Stratum]| pooled_look(strata, 0.05, 0.02).expect("a look");
    let known = look(&[whole, whole]);
    assert_eq!(known.interval, (known.mean, known.mean));
    let width = |look: Look| look.interval.1 - look.interval.0;
    assert!(width(look(&[half, whole])) < width(look(&[half, half])));
    assert!(pooled_look(&[Stratum::of(1.0, None, &[0.0])], 0.05, 0.02).is_none());
    assert!(pooled_look(&[], 0.05, 0.02).is_none());
}

proptest! {
    #[test]
    fn allocation_spends_no_more_than_it_may(
        suites in prop::collection::vec((0.0..1.0_f64, 0.01..10.0_f64, 0_u64..100, 0_u64..1000), 1..8), spend in 0.0..1e4_f64,
    ) {
        let efforts: Vec<Effort> =
            suites.iter().map(|&(spread, cost, n, more)| Effort { spread, cost, n, of: n + more }).collect();
        let goals = allocate(&efforts, spend);
        let price: f64 = goals.iter().zip(&efforts).map(|(goal, e)| (goal - e.n) as f64 * e.cost).sum();
        prop_assert!(price <= spend + 1e-9);
        prop_assert!(goals.iter().zip(&efforts).all(|(goal, e)| (e.n..=e.of).contains(goal)));
        // Unless all that matters is taken, less than the dearest item's price is left over.
        let dearest = efforts.iter().map(|e| e.cost).sum::<f64>();
        let is_all = goals.iter().zip(&efforts).all(|(goal, e)| *goal == e.of || e.spread <= 1e-9);
        prop_assert!(is_all || spend - price <= dearest + 1e-6);
    }

    #[test]
    fn more_items_narrow_and_less_error_widens(
        flips in prop::collection::vec(-1_i8..=1, 20..200), alpha in 0.001..0.2_f64,
    ) {
        let d: Vec<f64> = flips.iter().map(|f| f64::from(*f)).collect();
        let look = |d: &[f64], of: Option<u64>, alpha: f64| {
            let strata = [Stratum::of(2.0, of, d), Stratum::of(1.0, of, d)];
            pooled_look(&strata, alpha, 0.02).expect("a look").interval
        };
        let width = |(low, high): (f64, f64)| high - low;
        let twice = [d.clone(), d.clone()].concat();
        prop_assert!(width(look(&twice, None, alpha)) <= width(look(&d, None, alpha)) + 1e-12);
        prop_assert!(width(look(&d, None, alpha)) <= width(look(&d, None, alpha / 2.0)) + 1e-12);
        prop_assert!(width(look(&d, Some(300), alpha)) <= width(look(&d, None, alpha)) + 1e-12);
    }
}
