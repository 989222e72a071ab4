//! Texts of models, data sets and files as a terminal shows them: nothing in them steers it. Imports nothing of the
//! pipeline.

use std::fmt::Write as _;

/// Whether a character moves the cursor, starts an escape sequence or turns the direction of writing.
fn steers(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns
}

/// A text without such characters, its line ends among them.
pub fn line(text: &str) -> String {
    text.chars().filter(|&c| !steers(c)).collect()
}

/// A text without such characters, but for the ends of its lines and tabs.
pub fn lines(text: &str) -> String {
    text.chars().filter(|&c| matches!(c, '\n' | '\t') || !steers(c)).collect()
}

/// JSON with such characters written as escapes, which mean the same: its own line ends stay, and in its texts there are none.
pub fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push(c),
            // Writing to a text cannot fail.
            c if steers(c) => _ = write!(out, "\\u{:04x}", u32::from(c)),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(line("a\u{1b}[2Jb\n\u{202e}c\u{9b}d\r"), "a[2Jbcd");
        let value = serde_json::json!({ "a\u{9b}": "b\u{202e}\u{7f}\u{1b}\n" });
        let told = json(&serde_json::to_string_pretty(&value).expect("JSON"));
        assert_eq!(told, "{\n  \"a\\u009b\": \"b\\u202e\\u007f\\u001b\\n\"\n}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&told).expect("JSON"), value);
        assert_eq!(lines("a\u{1b}[2J\n\tb\r\u{7}\u{2066}"), "a[2J\n\tb");
    }
}
