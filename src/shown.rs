//! Texts of models, data sets and files as a terminal shows them: nothing in them steers it. Imports nothing of the
//! pipeline.

/// Whether a character moves the cursor, starts an escape sequence or turns the direction of writing.
fn steers(c: char) -> bool {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(line("a\u{1b}[2Jb\n\u{202e}c\u{9b}d\r"), "a[2Jbcd");
        assert_eq!(lines("a\u{1b}[2J\n\tb\r\u{7}\u{2066}"), "a[2J\n\tb");
    }
}
