//! Regular expressions from Python's notation into ours.
//!
//! Both look alike and mean different things: Python's `\w` has no combining marks, its `\s` has the separators of
//! ASCII, its `$` stands before a last line break too, its `[[]` is a bracket and its `{,3}` a repetition. Suites
//! are written for Python, so every pattern is rewritten, piece by piece; what has no equal is refused.

/// How a pattern is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags {
    /// `re.IGNORECASE`.
    pub ignore_case: bool,
    /// `re.MULTILINE`.
    pub multi_line: bool,
    /// `re.DOTALL`.
    pub dot_all: bool,
}

const WORD: &str = r"\p{L}\p{N}_";
const SPACE: &str = r"\s\x{1C}-\x{1F}";
/// What Python takes for one letter where case is ignored; Unicode's folding keeps the last two apart.
const ALL_I: &str = "iI\u{130}\u{131}";

/// Rewrites a pattern; the error says what it has or lacks, after "it".
pub(super) fn translate(python: &str, flags: Flags) -> Result<String, String> {
    let mut translator =
        Translator { pattern: python.chars().collect(), at: 0, out: String::new(), flags, open: Vec::new() };
    translator.global_flags()?;
    // The flag holds for all that follows, as Python's argument does.
    if translator.flags.ignore_case {
        translator.out.push_str("(?i)");
    }
    while let Some(c) = translator.next() {
        translator.piece(c)?;
    }
    if translator.open.is_empty() { Ok(translator.out) } else { Err("has a group that does not end".into()) }
}

struct Translator {
    pattern: Vec<char>,
    at: usize,
    out: String,
    flags: Flags,
    /// Flags outside of each open group.
    open: Vec<Flags>,
}

/// One member of a character class.
enum Member {
    One(char),
    Set(String),
}

impl Translator {
    fn peek(&self) -> Option<char> {
        self.pattern.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        Some(c)
    }

    fn rest_begins(&self, with: &str) -> bool {
        let rest = self.pattern.get(self.at..).unwrap_or_default();
        with.chars().enumerate().all(|(i, c)| rest.get(i) == Some(&c))
    }

    fn skip(&mut self, text: &str) -> bool {
        let there = self.rest_begins(text);
        if there {
            self.at += text.chars().count();
        }
        there
    }

    /// What stands before the next `end`, which is skipped too.
    fn until(&mut self, end: char) -> Result<String, String> {
        let mut text = String::new();
        loop {
            match self.next() {
                None => return Err(format!("lacks a `{end}`")),
                Some(c) if c == end => return Ok(text),
                Some(c) => text.push(c),
            }
        }
    }

    fn emit(&mut self, piece: &str) {
        self.out.push_str(piece);
    }

    fn global_flags(&mut self) -> Result<(), String> {
        loop {
            let begin = self.at;
            if !self.skip("(?") {
                return Ok(());
            }
            let (on, off, end) = self.flag_letters();
            if end != Some(')') || on.is_empty() || !off.is_empty() {
                self.at = begin;
                return Ok(());
            }
            self.flags = with_flags(self.flags, &on, true)?;
        }
    }

    /// Letters to switch on, letters to switch off, and what ends them.
    fn flag_letters(&mut self) -> (String, String, Option<char>) {
        let (mut on, mut off, mut minus) = (String::new(), String::new(), false);
        loop {
            match self.next() {
                Some('-') if !minus => minus = true,
                Some(c) if c.is_ascii_alphabetic() => if minus { &mut off } else { &mut on }.push(c),
                end => return (on, off, end),
            }
        }
    }

    fn piece(&mut self, c: char) -> Result<(), String> {
        match c {
            '\\' => self.escape()?,
            '[' => self.class()?,
            '(' => self.group()?,
            ')' => {
                self.flags = self.open.pop().ok_or("has a `)` too many")?;
                self.out.push(')');
            }
            '.' => self.out.push_str(if self.flags.dot_all { "(?s:.)" } else { r"[^\n]" }),
            '^' => self.out.push_str(if self.flags.multi_line { "(?m:^)" } else { r"\A" }),
            '$' => self.out.push_str(if self.flags.multi_line { "(?m:$)" } else { r"(?=\n?\z)" }),
            '{' => self.repetition(),
            '*' | '+' | '?' | '|' => self.out.push(c),
            _ => self.literal(c),
        }
        Ok(())
    }

    fn literal(&mut self, c: char) {
        if self.flags.ignore_case && ALL_I.contains(c) {
            self.emit(&format!("[{ALL_I}]"));
        } else {
            self.out.push_str(&quoted(c));
        }
    }

    /// `{2}`, `{2,}`, `{,2}` or `{1,2}`; anything else is a brace.
    fn repetition(&mut self) {
        let rest = self.pattern.get(self.at..).unwrap_or_default();
        let inside: String = rest.iter().take_while(|c| **c != '}').collect();
        let (least, most) = match inside.split_once(',') {
            Some((least, most)) => (least, Some(most)),
            None => (inside.as_str(), None),
        };
        let number = |text: &str| text.chars().all(|c| c.is_ascii_digit());
        let counts = inside.len() < rest.len() && !inside.is_empty();
        if !counts || !number(least) || !most.is_none_or(number) {
            self.out.push_str(&quoted('{'));
            return;
        }
        self.at += inside.chars().count() + 1;
        let least = if least.is_empty() { "0" } else { least };
        match most {
            None => self.emit(&format!("{{{least}}}")),
            Some(most) => self.emit(&format!("{{{least},{most}}}")),
        }
    }

    fn group(&mut self) -> Result<(), String> {
        if !self.skip("?") {
            self.out.push('(');
        } else if self.skip("#") {
            self.until(')')?;
            return Ok(());
        } else if self.skip("P=") {
            let name = self.until(')')?;
            self.emit(&format!("(?:\\k<{name}>)"));
            return Ok(());
        } else if self.skip("P<") {
            let name = self.until('>')?;
            self.emit(&format!("(?P<{name}>"));
        } else if self.skip("(") {
            let condition = self.until(')')?;
            self.emit(&format!("(?({condition})"));
        } else if let Some(kind) = [":", "=", "!", "<=", "<!", ">"].into_iter().find(|kind| self.skip(kind)) {
            self.emit(&format!("(?{kind}"));
        } else {
            return self.scoped_flags();
        }
        self.open.push(self.flags);
        Ok(())
    }

    fn scoped_flags(&mut self) -> Result<(), String> {
        let (on, off, end) = self.flag_letters();
        match end {
            Some(')') if !on.is_empty() => return Err("has flags that are not at its start".into()),
            Some(':') => {}
            _ => return Err("has a group that begins with `(?` and is of no known kind".into()),
        }
        let inner = with_flags(with_flags(self.flags, &on, true)?, &off, false)?;
        self.open.push(self.flags);
        self.flags = inner;
        self.out.push_str(if inner.ignore_case { "(?i:" } else { "(?-i:" });
        Ok(())
    }

    fn escape(&mut self) -> Result<(), String> {
        let c = self.next().ok_or("ends with a backslash")?;
        match c {
            'b' => self.emit(&format!("(?:(?<=[{WORD}])(?![{WORD}])|(?<![{WORD}])(?=[{WORD}]))")),
            'B' => self.emit(&format!("(?:(?<=[{WORD}])(?=[{WORD}])|(?<![{WORD}])(?![{WORD}]))")),
            'A' => self.out.push_str(r"\A"),
            'Z' => self.out.push_str(r"\z"),
            '1'..='9' => return self.back_reference(c),
            _ => match self.escaped(c, false)? {
                Member::One(c) => self.literal(c),
                Member::Set(set) => self.emit(&format!("[{set}]")),
            },
        }
        Ok(())
    }

    fn back_reference(&mut self, first: char) -> Result<(), String> {
        let mut digits = String::from(first);
        while digits.len() < 3 && self.peek().is_some_and(|c| c.is_ascii_digit()) {
            digits.extend(self.next());
        }
        // Three octal digits name a character; a group's number has at most two digits.
        if digits.len() == 3 {
            if digits.chars().all(|c| c.is_digit(8)) {
                let c = character(&digits, 8).filter(|c| u32::from(*c) <= 0o377);
                self.literal(c.ok_or("has an octal escape above \\377")?);
                return Ok(());
            }
            digits.pop();
            self.at -= 1;
        }
        self.emit(&format!("(?:\\{digits})"));
        Ok(())
    }

    /// An escape that stands for a character or a set of them.
    fn escaped(&mut self, c: char, in_class: bool) -> Result<Member, String> {
        let set = |text: &str| Ok(Member::Set(text.to_owned()));
        match c {
            'w' => return set(WORD),
            'W' => return Ok(Member::Set(format!("[^{WORD}]"))),
            's' => return set(SPACE),
            'S' => return Ok(Member::Set(format!("[^{SPACE}]"))),
            'd' => return set(r"\p{Nd}"),
            'D' => return set(r"\P{Nd}"),
            _ => {}
        }
        let one = match c {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'f' => '\u{c}',
            'v' => '\u{b}',
            'a' => '\u{7}',
            'b' if in_class => '\u{8}',
            'x' => self.code(2)?,
            'u' => self.code(4)?,
            'U' => self.code(8)?,
            '0'..='7' if in_class || c == '0' => self.octal(c)?,
            c if c.is_ascii_alphanumeric() => return Err(format!("has the escape `\\{c}`")),
            c => c,
        };
        Ok(Member::One(one))
    }

    fn code(&mut self, digits: usize) -> Result<char, String> {
        let text: String = (0..digits).filter_map(|_| self.next()).collect();
        let whole = text.chars().count() == digits && text.chars().all(|c| c.is_ascii_hexdigit());
        whole.then(|| character(&text, 16)).flatten().ok_or_else(|| format!("has the escape `\\…{text}`"))
    }

    fn octal(&mut self, first: char) -> Result<char, String> {
        let mut digits = String::from(first);
        while digits.len() < 3 && self.peek().is_some_and(|c| c.is_digit(8)) {
            digits.extend(self.next());
        }
        character(&digits, 8).ok_or_else(|| format!("has the escape `\\{digits}`"))
    }

    fn class(&mut self) -> Result<(), String> {
        let mut out = String::from(if self.skip("^") { "[^" } else { "[" });
        let mut has_i = false;
        let mut first = true;
        loop {
            let c = self.next().ok_or("has a `[` without its `]`")?;
            if c == ']' && !first {
                break;
            }
            first = false;
            let low = match self.member(c)? {
                Member::Set(set) => {
                    out.push_str(&set);
                    continue;
                }
                Member::One(low) => low,
            };
            let high = if self.peek() == Some('-') { self.range_end()? } else { None };
            let high = high.unwrap_or(low);
            if high < low {
                return Err(format!("has the range `{low}-{high}`, which is empty"));
            }
            has_i |= ALL_I.chars().any(|i| (low..=high).contains(&i));
            out.push_str(&quoted(low));
            if high > low {
                out.push('-');
                out.push_str(&quoted(high));
            }
        }
        if has_i && self.flags.ignore_case {
            out.push_str(ALL_I);
        }
        self.out.push_str(&out);
        self.out.push(']');
        Ok(())
    }

    fn member(&mut self, c: char) -> Result<Member, String> {
        if c != '\\' {
            return Ok(Member::One(c));
        }
        let c = self.next().ok_or("ends with a backslash")?;
        self.escaped(c, true)
    }

    /// The end of a range, from its `-` on; none if the `-` is the last of its class.
    fn range_end(&mut self) -> Result<Option<char>, String> {
        if self.rest_begins("-]") {
            return Ok(None);
        }
        self.at += 1;
        let c = self.next().ok_or("has a `[` without its `]`")?;
        match self.member(c)? {
            Member::One(high) => Ok(Some(high)),
            Member::Set(_) => Err("has a range that ends with a set".into()),
        }
    }
}

fn with_flags(mut flags: Flags, letters: &str, on: bool) -> Result<Flags, String> {
    for letter in letters.chars() {
        match letter {
            'i' => flags.ignore_case = on,
            'm' => flags.multi_line = on,
            's' => flags.dot_all = on,
            // How text is read anyway.
            'u' if on => {}
            other => return Err(format!("has the flag `{other}`")),
        }
    }
    Ok(flags)
}

fn character(digits: &str, radix: u32) -> Option<char> {
    u32::from_str_radix(digits, radix).ok().and_then(char::from_u32)
}

/// A character that stands for itself, inside of a class and outside.
fn quoted(c: char) -> String {
    if c.is_ascii() && !c.is_ascii_alphanumeric() {
        format!("\\x{{{:X}}}", u32::from(c))
    } else {
        c.to_string()
    }
}
