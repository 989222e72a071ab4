//! Axes: the range that shows all values with a little room, where a value lies in it, and round numbers for
//! the grid.

/// How values are spread over an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// Equal steps.
    Linear,
    /// Equal factors; values must be above 0.
    Log,
}

/// An axis with its range.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    /// What is measured, its unit, and which way is better.
    pub label: String,
    /// How values are spread.
    pub scale: Scale,
    low: f64,
    high: f64,
}

/// Room beyond the outermost values, as a share of the range.
const ROOM: f64 = 0.07;

impl Axis {
    /// A linear axis over the values, no narrower than `narrowest`.
    pub fn linear(label: &str, values: &[f64], narrowest: f64) -> Self {
        let (low, high) = span(values);
        // Close values of great size must still leave a range that floats can divide.
        let (low, high) = widen((low, high), narrowest.max(1e-6 * low.abs().max(high.abs())));
        let room = (high - low) * ROOM;
        // Where no value is negative, neither is the axis.
        let floor = if low >= 0.0 { 0.0 } else { f64::NEG_INFINITY };
        Self {
            label: label.to_owned(),
            scale: Scale::Linear,
            low: (low - room).max(floor),
            high: high + room,
        }
    }

    /// A linear axis that starts at 0, for quantities whose ratio is what matters.
    pub fn from_zero(label: &str, values: &[f64]) -> Self {
        let (_, high) = span(values);
        let high = if high > 0.0 { high } else { 1.0 };
        Self { label: label.to_owned(), scale: Scale::Linear, low: 0.0, high: high * (1.0 + 1.5 * ROOM) }
    }

    /// A logarithmic axis over the values, all above 0.
    pub fn log(label: &str, values: &[f64]) -> Self {
        let logs: Vec<f64> = values.iter().filter(|v| **v > 0.0).map(|v| v.log10()).collect();
        let (low, high) = widen(span(&logs), 0.3);
        let room = (high - low) * ROOM;
        Self {
            label: label.to_owned(),
            scale: Scale::Log,
            low: 10f64.powf(low - room),
            high: 10f64.powf(high + room),
        }
    }

    /// Where a value lies: 0 at the low end, 1 at the high end; clamped to the axis.
    pub fn at(&self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log if value <= 0.0 => 0.0,
            Scale::Log => (value / self.low).log10() / (self.high / self.low).log10(),
        };
        share.clamp(0.0, 1.0)
    }

    /// Whether a value lies within the axis.
    #[cfg(test)]
    pub fn holds(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// Round values within the axis, with their texts.
    pub fn ticks(&self) -> Vec<(f64, String)> {
        match self.scale {
            Scale::Linear => self.even_ticks(6.0),
            Scale::Log => self.log_ticks(),
        }
    }

    fn even_ticks(&self, wanted: f64) -> Vec<(f64, String)> {
        let raw = (self.high - self.low) / wanted;
        let power = 10f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].iter().map(|m| m * power).find(|s| *s >= raw * 0.999).unwrap_or(raw);
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        (first..=last)
            .map(|i| i as f64 * step)
            .map(|value| (value, thousands(&format!("{:.decimals$}", value + 0.0))))
            .collect()
    }

    fn log_ticks(&self) -> Vec<(f64, String)> {
        let decades = (self.high / self.low).log10();
        if decades < 0.8 {
            return self.even_ticks(5.0);
        }
        let digits: &[f64] = match decades {
            d if d < 2.2 => &[1.0, 2.0, 5.0],
            d if d < 4.5 => &[1.0, 3.0],
            _ => &[1.0],
        };
        let first = self.low.log10().floor() as i32;
        let last = self.high.log10().ceil() as i32;
        (first..=last)
            .step_by((decades / 10.0).ceil().max(1.0) as usize)
            .flat_map(|power| digits.iter().map(move |d| d * 10f64.powi(power)))
            .filter(|v| (self.low..=self.high).contains(v))
            .map(|v| (v, short(v)))
            .collect()
    }
}

/// A mebibyte.
pub(super) const MIB: f64 = 1024.0 * 1024.0;
/// From this size on, GiB read better than MiB.
const LARGE: f64 = 2048.0 * MIB;

/// The unit in which sizes up to this many bytes are told, and its bytes.
pub(super) fn size_unit(largest: f64) -> (&'static str, f64) {
    if largest >= LARGE { ("GiB", 1024.0 * MIB) } else { ("MiB", MIB) }
}

/// A number for people: three figures, no trailing zeros, thousands set apart.
pub(super) fn short(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 {
        return "0".to_owned();
    }
    if !(1e-5..1e9).contains(&size) {
        return format!("{value:.1e}");
    }
    let decimals = (2.0 - size.log10().floor()).max(0.0) as usize;
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    thousands(text)
}

/// Sets thousands apart with commas.
pub(super) fn thousands(number: &str) -> String {
    let (whole, rest) = number.find('.').map_or((number, ""), |dot| number.split_at(dot));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}{rest}")
}

fn span(values: &[f64]) -> (f64, f64) {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if low <= high { (low, high) } else { (0.0, 1.0) }
}

fn widen((low, high): (f64, f64), narrowest: f64) -> (f64, f64) {
    let missing = (narrowest - (high - low)).max(0.0) / 2.0;
    (low - missing, high + missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn round_numbers() {
        let texts = |axis: &Axis| axis.ticks().into_iter().map(|t| t.1).collect::<Vec<_>>();
        assert_eq!(texts(&Axis::linear("", &[1.9, 8.5], 1.0)), ["2", "4", "6", "8"]);
        assert_eq!(
            texts(&Axis::log("", &[0.003, 10.0])),
            ["0.003", "0.01", "0.03", "0.1", "0.3", "1", "3", "10"]
        );
        assert_eq!(texts(&Axis::from_zero("", &[2400.0])), ["0", "500", "1,000", "1,500", "2,000", "2,500"]);
    }

    #[test]
    fn short_numbers() {
        assert_eq!(short(0.003_14), "0.00314");
        assert_eq!(short(12_345.6), "12,346");
        assert_eq!(short(27.0), "27");
        assert_eq!(short(-0.5), "-0.5");
        assert_eq!(short(1e-7), "1.0e-7");
    }

    #[test]
    fn extremes_have_few_ticks() {
        for axis in [
            Axis::linear("", &[1e14], 1e-3),
            Axis::linear("", &[-9e14, 9e14], 1.0),
            Axis::log("", &[1e-15, 1e15]),
            Axis::from_zero("", &[1.8e19]),
            Axis::from_zero("", &[]),
        ] {
            assert!((2..=14).contains(&axis.ticks().len()), "{axis:?}");
        }
    }

    proptest! {
        #[test]
        fn an_axis_holds_its_values_and_has_few_ticks(values in proptest::collection::vec(1e-6f64..1e6, 1..30)) {
            for axis in [Axis::linear("", &values, 1e-3), Axis::from_zero("", &values), Axis::log("", &values)] {
                prop_assert!(values.iter().all(|v| axis.holds(*v)));
                let ticks = axis.ticks();
                prop_assert!((2..=14).contains(&ticks.len()), "{:?}", ticks);
                prop_assert!(ticks.iter().all(|(v, _)| axis.holds(*v)));
                prop_assert!(ticks.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 != w[1].1), "{:?}", ticks);
            }
        }
    }
}
