//! Whether a text is JSON as Python's `json.loads` takes it: with `NaN` and `Infinity`, with half of a surrogate pair,
//! to any depth. A parser that keeps to the standard would call such answers wrong that the reference calls right.

/// Digits that Python turns into a whole number at most.
const MAX_DIGITS: usize = 4300;

/// Whether the text is one JSON value, with white space around it or not.
pub(super) fn is_json(text: &str) -> bool {
    let mut rest = Rest(text.as_bytes());
    rest.value().is_some() && rest.next_token().is_none()
}

/// What is left to read.
struct Rest<'a>(&'a [u8]);

/// What may come next.
#[derive(Clone, Copy, PartialEq)]
enum Expected {
    /// A value, or the end of the array that has just begun.
    FirstElement,
    Value,
    /// A key, or the end of the object that has just begun.
    FirstKey,
    Key,
    /// `,` or the end of what is open.
    Separator,
}

impl Rest<'_> {
    fn skip(&mut self, bytes: usize) {
        self.0 = self.0.get(bytes..).unwrap_or_default();
    }

    fn skip_space(&mut self) {
        self.skip(self.0.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r')).count());
    }

    fn next_token(&mut self) -> Option<u8> {
        self.skip_space();
        self.0.first().copied()
    }

    fn take(&mut self, text: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(text.as_bytes())?;
        Some(())
    }

    /// Reads a value with all that is in it. What is open is kept in a list, not on the stack, so that no answer is
    /// too deep.
    fn value(&mut self) -> Option<()> {
        let mut open: Vec<u8> = Vec::new();
        let mut expected = Expected::Value;
        loop {
            let byte = self.next_token()?;
            expected = match (expected, byte) {
                (Expected::FirstElement, b']') | (Expected::FirstKey, b'}') => self.close(&mut open, byte)?,
                (Expected::FirstElement | Expected::Value, b'[') => {
                    self.skip(1);
                    open.push(b']');
                    Expected::FirstElement
                }
                (Expected::FirstElement | Expected::Value, b'{') => {
                    self.skip(1);
                    open.push(b'}');
                    Expected::FirstKey
                }
                (Expected::FirstElement | Expected::Value, _) => {
                    self.scalar(byte)?;
                    Expected::Separator
                }
                (Expected::FirstKey | Expected::Key, b'"') => {
                    self.string()?;
                    self.skip_space();
                    self.take(":")?;
                    Expected::Value
                }
                (Expected::Separator, b',') => {
                    self.skip(1);
                    if open.last() == Some(&b'}') { Expected::Key } else { Expected::Value }
                }
                (Expected::Separator, _) => self.close(&mut open, byte)?,
                _ => return None,
            };
            if open.is_empty() && expected == Expected::Separator {
                return Some(());
            }
        }
    }

    fn close(&mut self, open: &mut Vec<u8>, byte: u8) -> Option<Expected> {
        if open.pop()? != byte {
            return None;
        }
        self.skip(1);
        Some(Expected::Separator)
    }

    fn scalar(&mut self, first: u8) -> Option<()> {
        match first {
            b'"' => self.string(),
            b't' => self.take("true"),
            b'f' => self.take("false"),
            b'n' => self.take("null"),
            b'N' => self.take("NaN"),
            b'I' => self.take("Infinity"),
            b'-' if self.0.starts_with(b"-I") => self.take("-Infinity"),
            _ => self.number(),
        }
    }

    fn digits(&mut self) -> usize {
        let digits = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        self.skip(digits);
        digits
    }

    fn number(&mut self) -> Option<()> {
        if self.0.first() == Some(&b'-') {
            self.skip(1);
        }
        let zero = self.0.first() == Some(&b'0');
        let whole = if zero { 1 } else { self.digits() };
        if zero {
            self.skip(1);
        }
        let fraction = self.part(1, |bytes| matches!(bytes, [b'.', b'0'..=b'9', ..]));
        let exponent = self.part(1, |bytes| matches!(bytes, [b'e' | b'E', b'0'..=b'9', ..]))
            || self.part(2, |bytes| matches!(bytes, [b'e' | b'E', b'-' | b'+', b'0'..=b'9', ..]));
        (whole > 0 && (fraction || exponent || whole <= MAX_DIGITS)).then_some(())
    }

    /// A sign of `skipped` bytes and the digits behind it, if they are there.
    fn part(&mut self, skipped: usize, begins: fn(&[u8]) -> bool) -> bool {
        let there = begins(self.0);
        if there {
            self.skip(skipped);
            self.digits();
        }
        there
    }

    fn string(&mut self) -> Option<()> {
        self.skip(1);
        loop {
            let byte = *self.0.first()?;
            self.skip(1);
            match byte {
                b'"' => return Some(()),
                b'\\' => self.escape()?,
                ..0x20 => return None,
                _ => {}
            }
        }
    }

    fn escape(&mut self) -> Option<()> {
        let kind = *self.0.first()?;
        self.skip(1);
        if kind == b'u' {
            let digits = self.0.get(..4)?;
            self.skip(4);
            return digits.iter().all(u8::is_ascii_hexdigit).then_some(());
        }
        matches!(kind, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't').then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn python_takes_more_than_the_standard() {
        for text in
            ["NaN", "[Infinity, -Infinity]", r#""\ud800""#, " {\"a\" : [1, {}]}\n", "-0.5e+3", "1E5", "[]"]
        {
            assert!(is_json(text), "{text}");
        }
        assert!(is_json(&"[".repeat(100_000).chain_closed(100_000)));
    }

    #[test]
    fn what_is_wrong_is_wrong() {
        let wrong = [
            "",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "{a:1}",
            "'a'",
            "01",
            "1.",
            ".5",
            "+1",
            "-",
            "1 2",
            "\"a\nb\"",
            "tru",
        ];
        for text in wrong.into_iter().chain([
            "\u{feff}1",
            "[1}",
            "{\"a\"}",
            "\"\\x41\"",
            "\u{a0}1",
            "]",
            "1e",
            "-Inf",
        ]) {
            assert!(!is_json(text), "{text}");
        }
        assert!(is_json(&"9".repeat(4300)) && !is_json(&"9".repeat(4301)));
        assert!(is_json(&format!("{}.5", "9".repeat(5000))));
    }

    trait ChainClosed {
        fn chain_closed(self, n: usize) -> String;
    }

    impl ChainClosed for String {
        fn chain_closed(self, n: usize) -> String {
            self + &"]".repeat(n)
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_standard_parser(text in r#"[\[\]{}:,"0-9eE.\-+ a\\tnul]{0,16}"#) {
            prop_assert_eq!(is_json(&text), serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok());
        }
    }
}
