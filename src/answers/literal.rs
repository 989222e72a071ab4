//! Texts in quotation marks as Python writes them.

/// A text in quotation marks, and what follows it.
pub fn quoted(source: &str) -> Option<(String, &str)> {
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
