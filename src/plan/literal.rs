//! Lists of texts as Python writes them. lm-eval's templates print `['a', "b"]` and read it back with
//! `ast.literal_eval`.

/// The texts of a list or tuple; none if the text is anything else.
pub fn texts(source: &str) -> Option<Vec<String>> {
    let mut rest = source.trim();
    let close = match rest.chars().next()? {
        '[' => ']',
        '(' => ')',
        _ => return None,
    };
    rest = rest.get(1..)?.trim_start();
    let mut texts = Vec::new();
    loop {
        if let Some(end) = rest.strip_prefix(close) {
            return end.is_empty().then_some(texts);
        }
        let (text, after) = quoted(rest)?;
        texts.push(text);
        rest = after.trim_start();
        match rest.strip_prefix(',') {
            Some(after) => rest = after.trim_start(),
            None if rest.starts_with(close) => {}
            None => return None,
        }
    }
}

/// A text in quotation marks, and what follows it.
fn quoted(source: &str) -> Option<(String, &str)> {
    let mark = ["'''", "\"\"\"", "'", "\""].into_iter().find(|mark| source.starts_with(mark))?;
    let mut text = String::new();
    let mut rest = source.get(mark.len()..)?;
    loop {
        if let Some(after) = rest.strip_prefix(mark) {
            return Some((text, after));
        }
        let mut chars = rest.chars();
        match chars.next()? {
            '\\' => {
                let (escaped, after) = escape(chars.as_str())?;
                text.push_str(&escaped);
                rest = after;
            }
            '\n' if mark.len() == 1 => return None,
            c => {
                text.push(c);
                rest = chars.as_str();
            }
        }
    }
}

/// What stands behind a backslash, and what follows that.
fn escape(source: &str) -> Option<(String, &str)> {
    let mut chars = source.chars();
    let first = chars.next()?;
    let rest = chars.as_str();
    let hex = |digits: usize| {
        let code = rest.get(..digits).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
        let c = char::from_u32(u32::from_str_radix(code, 16).ok()?)?;
        Some((c.to_string(), rest.get(digits..)?))
    };
    let plain = match first {
        'x' => return hex(2),
        'u' => return hex(4),
        'U' => return hex(8),
        '0'..='7' => {
            let digits = source.bytes().take(3).take_while(|b| (b'0'..=b'7').contains(b)).count();
            let code = u32::from_str_radix(source.get(..digits)?, 8).ok()?;
            return Some((char::from_u32(code)?.to_string(), source.get(digits..)?));
        }
        '\n' => String::new(),
        'n' => "\n".to_owned(),
        't' => "\t".to_owned(),
        'r' => "\r".to_owned(),
        'a' => "\u{7}".to_owned(),
        'b' => "\u{8}".to_owned(),
        'f' => "\u{c}".to_owned(),
        'v' => "\u{b}".to_owned(),
        '\\' | '\'' | '"' => first.to_string(),
        // Names of characters.
        'N' => return None,
        other => format!("\\{other}"),
    };
    Some((plain, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lists_are_read_as_python_reads_them() {
        for (source, expected) in [
            ("[]", Some(vec![])),
            (r#"['a', "b'c",]"#, Some(vec!["a", "b'c"])),
            (r"('it\'s', 'a\\b\n\x41\u00e9\101\q')", Some(vec!["it's", "a\\b\nAéA\\q"])),
            ("['''one\n'two' ''', ' ']", Some(vec!["one\n'two' ", " "])),
            ("[1]", None),
            ("['a' 'b']", None),
            ("['a'", None),
            ("['a\nb']", None),
            ("['a'] x", None),
            ("'a'", None),
        ] {
            let expected = expected.map(|texts| texts.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(texts(source), expected, "{source}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_list_or_none(source in "[\\[(]['\"\\\\a-zé,\\n0-9 \\])]{0,24}") {
            let _ = texts(&source);
        }
    }
}
