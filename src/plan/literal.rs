//! Lists of texts as Python writes them. lm-eval's templates print `['a', "b"]` and read it back with
//! `ast.literal_eval`.

use crate::answers::literal::quoted;

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
