//! Regular expressions as Python's `re` finds them.

use std::ops::Range;

use fancy_regex::Regex;
use serde::{Deserialize, Serialize};

use super::error::AnswerError;
pub use super::translate::Flags;
use super::translate::translate;

/// A compiled regular expression, written in Python's notation.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    python: String,
    anywhere: Regex,
    /// The same, but an empty match must lie behind the place where the search begins.
    onward: Regex,
}

/// The places of one match in a text: the whole of it, then its groups.
type Places = Vec<Option<Range<usize>>>;

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// If it is none, or has something that there is no equal for.
    pub fn new(python: &str) -> Result<Self, AnswerError> {
        Self::with_flags(python, Flags::default())
    }

    /// Compiles a pattern with flags.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_flags(python: &str, flags: Flags) -> Result<Self, AnswerError> {
        let refused = |reason| AnswerError::Pattern { pattern: python.to_owned(), reason };
        let ours = translate(python, flags).map_err(refused)?;
        let compiled = |text: &str| {
            Regex::new(text).map_err(|error| refused(format!("does not compile ({})", first_line(&error))))
        };
        let onward = format!(r"(?:{ours})(?!\G)");
        Ok(Self { python: python.to_owned(), anywhere: compiled(&ours)?, onward: compiled(&onward)? })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.python
    }

    /// Whether it matches anywhere (`re.search`).
    ///
    /// # Errors
    /// If it needs too many steps.
    pub fn is_in(&self, text: &str) -> Result<bool, AnswerError> {
        self.anywhere.is_match(text).map_err(|_| self.too_slow(text))
    }

    /// How often it matches (the length of `re.findall`).
    ///
    /// # Errors
    /// If it needs too many steps.
    pub fn count(&self, text: &str) -> Result<usize, AnswerError> {
        Ok(self.places(text)?.len())
    }

    /// Its matches (`re.findall`): the groups of each, a missing one empty, or the whole match if there are none.
    ///
    /// # Errors
    /// If it needs too many steps.
    pub fn find_all<'t>(&self, text: &'t str) -> Result<Vec<Vec<&'t str>>, AnswerError> {
        let slice =
            |place: &Option<Range<usize>>| place.clone().and_then(|p| text.get(p)).unwrap_or_default();
        let groups = |places: Places| match places.as_slice() {
            [_, groups @ ..] if !groups.is_empty() => groups.iter().map(slice).collect(),
            whole => whole.iter().map(slice).collect(),
        };
        Ok(self.places(text)?.into_iter().map(groups).collect())
    }

    /// What stands between its matches (`re.split` of a pattern without groups).
    ///
    /// # Errors
    /// If it needs too many steps.
    pub fn split<'t>(&self, text: &'t str) -> Result<Vec<&'t str>, AnswerError> {
        let mut parts = Vec::new();
        let mut end = 0;
        for places in self.places(text)? {
            if let Some(Some(place)) = places.into_iter().next() {
                parts.extend(text.get(end..place.start));
                end = place.end;
            }
        }
        parts.extend(text.get(end..));
        Ok(parts)
    }

    /// The text without its matches (`re.sub` with nothing).
    ///
    /// # Errors
    /// If it needs too many steps.
    pub fn remove(&self, text: &str) -> Result<String, AnswerError> {
        Ok(self.split(text)?.concat())
    }

    /// The text with its first `count` matches (0: all) replaced (`re.sub`); `\1` and `\g<1>` stand for groups.
    ///
    /// # Errors
    /// If it needs too many steps, or the replacement names what there is not.
    pub fn replace(&self, text: &str, replacement: &str, count: usize) -> Result<String, AnswerError> {
        let refused = |reason: String| AnswerError::Pattern {
            pattern: self.python.clone(),
            reason: format!("{reason} in its replacement"),
        };
        let parts = replacement_parts(replacement).map_err(refused)?;
        let mut out = String::new();
        let mut end = 0;
        let most = if count == 0 { usize::MAX } else { count };
        for places in self.places(text)?.into_iter().take(most) {
            let Some(whole) = places.first().cloned().flatten() else { continue };
            out.extend(text.get(end..whole.start));
            for part in &parts {
                match part {
                    Part::Text(text) => out.push_str(text),
                    Part::Group(group) => {
                        let place =
                            places.get(*group).ok_or_else(|| refused(format!("has no group {group}")))?;
                        out.push_str(place.clone().and_then(|p| text.get(p)).unwrap_or_default());
                    }
                }
            }
            end = whole.end;
        }
        out.extend(text.get(end..));
        Ok(out)
    }

    /// Python's order of matches: the next search begins where the last match ended, and an empty match is
    /// followed by anything but the same again.
    fn places(&self, text: &str) -> Result<Vec<Places>, AnswerError> {
        let mut found = Vec::new();
        let (mut at, mut after_empty) = (0, false);
        loop {
            let regex = if after_empty { &self.onward } else { &self.anywhere };
            let captures = regex.captures_from_pos(text, at).map_err(|_| self.too_slow(text))?;
            let Some(captures) = captures else { return Ok(found) };
            let places: Places = captures.iter().map(|group| group.map(|g| g.start()..g.end())).collect();
            let Some(Some(whole)) = places.first() else { return Ok(found) };
            (at, after_empty) = (whole.end, whole.is_empty());
            found.push(places);
        }
    }

    fn too_slow(&self, text: &str) -> AnswerError {
        AnswerError::Backtracking { pattern: self.python.clone(), chars: text.chars().count() }
    }
}

/// A piece of what matches are replaced by.
enum Part {
    Text(String),
    Group(usize),
}

fn replacement_parts(replacement: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut rest = replacement;
    while let Some((before, after)) = rest.split_once('\\') {
        parts.push(Part::Text(before.to_owned()));
        let mut chars = after.chars();
        let next = chars.next().ok_or("ends with a backslash")?;
        rest = chars.as_str();
        parts.push(match next {
            'n' => Part::Text("\n".to_owned()),
            't' => Part::Text("\t".to_owned()),
            'r' => Part::Text("\r".to_owned()),
            '\\' => Part::Text("\\".to_owned()),
            '1'..='9' => {
                let digits = after.bytes().take(2).take_while(u8::is_ascii_digit).count();
                rest = after.get(digits..).unwrap_or_default();
                Part::Group(after.get(..digits).and_then(|d| d.parse().ok()).unwrap_or(0))
            }
            'g' => {
                let named = rest.strip_prefix('<').and_then(|inside| inside.split_once('>'));
                let (group, after) = named.ok_or(r"has a \g without <number>")?;
                rest = after;
                let refused = |_| format!("names the group {group:?}, not a number,");
                Part::Group(group.parse().map_err(refused)?)
            }
            other if other.is_ascii_alphanumeric() => return Err(format!("has the escape `\\{other}`")),
            other => Part::Text(format!("\\{other}")),
        });
    }
    parts.push(Part::Text(rest.to_owned()));
    Ok(parts)
}

fn first_line(error: &fancy_regex::Error) -> String {
    let text = error.to_string();
    text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned()
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.python == other.python && self.anywhere.as_str() == other.anywhere.as_str()
    }
}

impl Eq for Pattern {}

impl TryFrom<String> for Pattern {
    type Error = AnswerError;

    fn try_from(python: String) -> Result<Self, AnswerError> {
        Self::new(&python)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.python
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pattern(python: &str) -> Pattern {
        Pattern::new(python).unwrap_or_else(|e| panic!("{e}"))
    }

    fn escape(code: u32) -> Vec<char> {
        format!("\\U{code:08x}").chars().collect()
    }

    /// Groups of each match, as `re.findall` of Python 3.11 gives them.
    #[test]
    fn matches_are_pythons() {
        let cases: &[(&str, &str, &[&[&str]])] = &[
            (r"(-?[$0-9.,]{2,})|(-?[0-9]+)", "5 for $1,000.", &[&["", "5"], &["$1,000.", ""]]),
            (r"a*", "ab", &[&["a"], &[""], &[""]]),
            (r"|a", "a", &[&[""], &["a"], &[""]]),
            (r"\w+", "हिन्दी a_1", &[&["ह"], &["न"], &["द"], &["a_1"]]),
            (r"a\s", "a\u{1c}a\u{200b}", &[&["a\u{1c}"]]),
            (r"\bé\b", "é é\u{301} xé", &[&["é"], &["é"]]),
            (r"a$", "a\na\n", &[&["a"]]),
            (r"(?m)^a$", "a\na\n", &[&["a"], &["a"]]),
            (r"a.b", "a\nba\rb", &[&["a\rb"]]),
            (r"(?s)a.b", "a\nb", &[&["a\nb"]]),
            (r"x{,2}y", "xxxy y", &[&["xxy"], &["y"]]),
            (r"x{a}|{,", "x{a} {,", &[&["x{a}"], &["{,"]]),
            (r"[]a]+|[^]b]", "]a]b", &[&["]a]"]]),
            (r"[[&&~~a-]+", "[&a~-", &[&["[&a~-"]]),
            (r"(?i)\x41\u0042\103", "abc", &[&["abc"]]),
            (r"(?i)i+", "iIİı", &[&["iIİı"]]),
            (r"(?i)[h-j]+", "İK\u{131}", &[&["İ"], &["\u{131}"]]),
            (r"(a)(?P<n>b)?\1(?P=n)", "aa abab", &[&["a", "b"]]),
            (r"(?<=is )(.*)(?=.)", "it is ok.", &[&["ok"]]),
            (r"a(?#a comment)b(?i:c)", "abC ABC", &[&["abC"]]),
            (r"(a)?(?(1)b|c)", "ab c", &[&["a"], &[""]]),
            (r"\<\d\>", "<7> <٣>", &[&["<7>"], &["<٣>"]]),
            (r"a\Z", "a\n a", &[&["a"]]),
        ];
        for (python, text, matches) in cases {
            assert_eq!(&pattern(python).find_all(text).expect("finds"), matches, "{python} in {text:?}");
        }
    }

    #[test]
    fn what_cannot_be_taken_is_refused_with_its_reason() {
        let cases = [
            (r"(?x) a", "has the flag `x`"),
            (r"a(?i)b", "has flags that are not at its start"),
            (r"\p{L}", "has the escape `\\p`"),
            (r"(a", "has a group that does not end"),
            (r"a)", "has a `)` too many"),
            (r"[a", "has a `[` without its `]`"),
            (r"[z-a]", "has the range `z-a`, which is empty"),
            (r"\", "ends with a backslash"),
            (r"*a", "does not compile"),
            (r"(?<n>a)", "has a group that begins with `(?` and is of no known kind"),
        ];
        for (python, reason) in cases {
            let error = Pattern::new(python).expect_err(python);
            assert!(error.to_string().contains(reason), "{error}");
        }
    }

    #[test]
    fn an_endless_search_is_an_error() {
        let endless = pattern(r"((a+)+?\2)+b");
        let error = endless.count(&format!("{}cb", "a".repeat(60))).expect_err("gives up");
        assert!(matches!(error, AnswerError::Backtracking { chars: 62, .. }), "{error}");
    }

    #[test]
    fn text_is_split_and_removed_as_python_does() {
        assert_eq!(pattern(r"\s?,").split("a ,b,,c").expect("splits"), ["a", "b", "", "c"]);
        assert_eq!(pattern(r"(?s).*#### ").remove("a\n#### 1 #### 2").expect("removes"), "2");
        assert_eq!(pattern(r"\.$").remove("1.5.\n").expect("removes"), "1.5\n");
    }

    #[test]
    fn matches_are_replaced_as_python_does() {
        for (python, replacement, text, count, result) in [
            (r"\s+", " ", "a \n b  c", 0, "a b c"),
            (r"(a)(b)?", r"[\1\g<2>]", "ab a", 0, "[ab] [a]"),
            (r"x*", "-", "abxd", 0, "-a-b--d-"),
            (r"a", r"\n\\\.", "aa", 1, "\n\\\\.a"),
        ] {
            let replaced = pattern(python).replace(text, replacement, count).expect("replaces");
            assert_eq!(replaced, result, "{python}");
        }
        for (replacement, says) in [
            (r"\2", "has no group 2"),
            (r"\q", r"has the escape `\q`"),
            (r"\g<n>", "not a number"),
            ("\\", "ends with a backslash"),
        ] {
            let error = pattern("(a)").replace("a", replacement, 0).expect_err(replacement).to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_compiled_or_refused(python in r"[\\(\[){}\]?*+|^$.a-z0-9:<>=!P,#-]{0,12}", text in ".{0,8}") {
            if let Ok(pattern) = Pattern::new(&python) {
                let _ = pattern.find_all(&text);
            }
        }

        #[test]
        fn a_quoted_text_finds_itself(text in ".{1,8}") {
            let quoted: String = text.chars().flat_map(|c| escape(u32::from(c))).collect();
            prop_assert!(pattern(&quoted).is_in(&text).expect("finds"));
        }
    }
}
