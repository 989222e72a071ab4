//! How Python's `str` reads text, where Rust's `str` reads it otherwise.

/// Python's `str.isspace` of one character: Unicode's white space and the four separators of ASCII.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Python's `str.strip()`.
pub(super) fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// Python's `str.split()`.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

/// Letters such as `ǅ`, of which only the first part is a capital.
fn is_title(c: char) -> bool {
    matches!(c, '\u{1c5}' | '\u{1c8}' | '\u{1cb}' | '\u{1f2}')
        || matches!(c, '\u{1f88}'..='\u{1f8f}' | '\u{1f98}'..='\u{1f9f}' | '\u{1fa8}'..='\u{1faf}')
        || matches!(c, '\u{1fbc}' | '\u{1fcc}' | '\u{1ffc}')
}

/// Python's `str.isupper`: has a capital, and no letter that is not one.
pub(super) fn is_upper(text: &str) -> bool {
    text.chars().any(is_capital) && !text.chars().any(|c| c.is_lowercase() || is_title(c))
}

/// Python's `str.islower`: has a small letter, and no letter that is not one.
pub(super) fn is_lower(text: &str) -> bool {
    text.chars().any(char::is_lowercase) && !text.chars().any(|c| is_capital(c) || is_title(c))
}

fn is_capital(c: char) -> bool {
    c.is_uppercase() && !is_title(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_stripped_and_split_as_python_does() {
        assert_eq!(strip("\u{1c}\u{a0} a b\u{3000}\u{1f}"), "a b");
        assert_eq!(words("\u{1d}a\u{1e}b \n c").collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(strip("\u{200b}a"), "\u{200b}a", "a zero-width space is no space");
    }

    #[test]
    fn case_is_that_of_letters_only() {
        assert!(is_upper("A-1!") && is_upper("ÀÉ") && !is_upper("12") && !is_upper("Aª"));
        assert!(is_lower("a-1!") && is_lower("ª") && !is_lower("12") && !is_lower("aB"));
        assert!(!is_upper("ǅ") && !is_lower("ǅ"));
    }
}
