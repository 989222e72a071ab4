//! Numbers and patterns in the source text of Java and JavaScript, in which languages BFCL has arguments written. Both
//! converters are bfcl-eval's, its oddities included: whatever they cannot read stays a text.

use fancy_regex::Regex;

use super::value::Value;

/// A pattern of ours, which compiles.
pub(super) fn constant(pattern: &str) -> Regex {
    Regex::new(pattern).unwrap_or_else(|error| unreachable!("{pattern}: {error}"))
}

/// The groups of the first match; a pattern that needs too many steps does not match.
pub(super) fn groups<'t>(pattern: &Regex, text: &'t str) -> Option<Vec<Option<&'t str>>> {
    let found = pattern.captures(text).ok()??;
    Some(found.iter().map(|group| group.map(|m| m.as_str())).collect())
}

/// The groups of every match.
pub(super) fn all_groups<'t>(pattern: &Regex, text: &'t str) -> Vec<Vec<Option<&'t str>>> {
    let found = pattern.captures_iter(text).map_while(Result::ok);
    found.map(|found| found.iter().map(|group| group.map(|m| m.as_str())).collect()).collect()
}

/// Digits, in front of them a minus or nothing, behind them one of `ends` or, where there are none, nothing.
pub(super) fn whole(text: &str, ends: &[char]) -> Option<i128> {
    let digits = if ends.is_empty() { text } else { text.strip_suffix(ends)? };
    let bare = digits.strip_prefix('-').unwrap_or(digits);
    if bare.is_empty() || !bare.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// A decimal number: digits, and perhaps a fraction; with `exponent` perhaps an exponent too.
pub(super) fn decimal(text: &str, exponent: bool) -> Option<f64> {
    let (mantissa, power) = match text.find(['e', 'E']) {
        Some(at) if exponent => (text.get(..at)?, text.get(at + 1..)?),
        _ => (text, "0"),
    };
    let bare = mantissa.strip_prefix('-').unwrap_or(mantissa);
    let (digits, fraction) = bare.split_once('.').unwrap_or((bare, "0"));
    let power = power.strip_prefix(['+', '-']).unwrap_or(power);
    let sound = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if sound(digits) && sound(fraction) && sound(power) { text.parse().ok() } else { None }
}

/// What Python's `int()`, and then its `float()`, make of a text; otherwise the text.
pub(super) fn number_or_text(text: &str) -> Value {
    let digits = |text: &str| {
        let sound = !text.starts_with('_') && !text.ends_with('_') && !text.contains("__");
        sound.then(|| text.replace('_', ""))
    };
    let trimmed = text.trim();
    let Some(plain) = digits(trimmed) else { return Value::Text(text.to_owned()) };
    let bare = plain.strip_prefix(['+', '-']).unwrap_or(&plain);
    if !bare.is_empty() && bare.bytes().all(|b| b.is_ascii_digit()) {
        return plain.parse().map_or_else(|_| Value::Text(text.to_owned()), Value::Int);
    }
    // Both languages take `inf`, `nan` and the rest in any case.
    plain.parse().map_or_else(|_| Value::Text(text.to_owned()), Value::Float)
}

/// Text without its first and its last character.
pub(super) fn inner(text: &str) -> &str {
    let mut chars = text.chars();
    chars.next();
    chars.next_back();
    chars.as_str()
}

/// Whether it begins and ends with this mark.
pub(super) fn is_between(text: &str, mark: char) -> bool {
    text.starts_with(mark) && text.ends_with(mark)
}
