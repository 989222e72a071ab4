//! YAML as lm-eval reads it (PyYAML): plain words are YAML 1.1's, so that `no` is false, and a tag such as
//! `!function` names Python. The files are strangers': bytes, depth and what aliases repeat are bounded. Every value
//! knows its line.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};
use serde_json::Value;

/// Bytes a file may have.
pub const MOST_BYTES: usize = 1 << 20;
/// Lists and maps inside each other.
const MOST_DEPTH: usize = 64;
/// Bytes that a file may become once its aliases are replaced by what they stand for.
const MOST_WEIGHT: usize = 8 << 20;
/// What a value weighs beside its text.
const NODE_WEIGHT: usize = 32;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Line, from 1.
    pub line: usize,
    /// The value.
    pub data: Data,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    /// In the order of the file; of keys that stand twice, the last counts.
    Map(Vec<(String, Node)>),
    /// What a tag that is not YAML's own makes of a text: a Python function.
    Function(String),
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Line, from 1.
    pub line: usize,
    /// One sentence.
    pub message: String,
}

impl Node {
    /// The value of a key, if this is a map that has it and it is not null.
    pub fn get(&self, key: &str) -> Option<&Node> {
        let (_, node) = self.entries().iter().rev().find(|(name, _)| name == key)?;
        (node.data != Data::Null).then_some(node)
    }

    /// The entries of a map; none of anything else.
    pub fn entries(&self) -> &[(String, Node)] {
        match &self.data {
            Data::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match &self.data {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The same as JSON; a Python function becomes its name.
    pub fn json(&self) -> Value {
        match &self.data {
            Data::Null => Value::Null,
            Data::Bool(value) => Value::from(*value),
            Data::Integer(value) => Value::from(*value),
            Data::Float(value) => Value::from(*value),
            Data::Text(text) | Data::Function(text) => Value::from(text.as_str()),
            Data::List(nodes) => nodes.iter().map(Node::json).collect(),
            Data::Map(entries) => {
                Value::Object(entries.iter().map(|(key, node)| (key.clone(), node.json())).collect())
            }
        }
    }

    /// The first Python function anywhere in it.
    pub fn function(&self) -> Option<&str> {
        match &self.data {
            Data::Function(name) => Some(name),
            Data::List(nodes) => nodes.iter().find_map(Node::function),
            Data::Map(entries) => entries.iter().find_map(|(_, node)| node.function()),
            _ => None,
        }
    }

    fn weight(&self) -> usize {
        let inside: usize = match &self.data {
            Data::Text(text) | Data::Function(text) => text.len(),
            Data::List(nodes) => nodes.iter().map(Node::weight).sum(),
            Data::Map(entries) => entries.iter().map(|(key, node)| key.len() + node.weight()).sum(),
            _ => 0,
        };
        inside + NODE_WEIGHT
    }

    fn depth(&self) -> usize {
        match &self.data {
            Data::List(nodes) => 1 + nodes.iter().map(Node::depth).max().unwrap_or(0),
            Data::Map(entries) => 1 + entries.iter().map(|(_, node)| node.depth()).max().unwrap_or(0),
            _ => 0,
        }
    }
}

/// Reads the one document of a file.
pub fn parse(text: &str) -> Result<Node, Fault> {
    let fault = |line: usize, message: String| Fault { line, message };
    if text.len() > MOST_BYTES {
        return Err(fault(1, format!("the file has more than {MOST_BYTES} bytes, too many for a task file")));
    }
    let mut builder = Builder::default();
    let mut line = 1;
    for event in Parser::new_from_str(text) {
        let (event, span) = event
            .map_err(|error| fault(error.marker().line(), format!("not valid YAML: {}", error.info())))?;
        line = span.start.line();
        builder.hear(event, line).map_err(|message| fault(line, message))?;
    }
    builder.root.ok_or_else(|| fault(line, "the file is empty".to_owned()))
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    weight: usize,
    root: Option<Node>,
}

/// A list or a map whose end is still to come.
struct Open {
    line: usize,
    anchor: usize,
    shape: Shape,
}

enum Shape {
    List(Vec<Node>),
    Map { entries: Vec<(String, Node)>, key: Option<String> },
}

impl Builder {
    fn hear(&mut self, event: Event<'_>, line: usize) -> Result<(), String> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let data = scalar(&text, style, tag.as_deref());
                self.complete(Node { line, data }, anchor)
            }
            Event::SequenceStart(anchor, _) => self.begin(line, anchor, Shape::List(Vec::new())),
            Event::MappingStart(anchor, _) => {
                self.begin(line, anchor, Shape::Map { entries: Vec::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.open.pop() else { return Ok(()) };
                let data = match open.shape {
                    Shape::List(nodes) => Data::List(nodes),
                    Shape::Map { entries, .. } => Data::Map(entries),
                };
                self.complete(Node { line: open.line, data }, open.anchor)
            }
            Event::Alias(id) => {
                let node = self.anchors.get(&id).ok_or("an alias stands for nothing that is complete")?;
                self.weight += node.weight();
                self.bounded(node.depth())?;
                let node = Node { line, data: node.data.clone() };
                self.complete(node, 0)
            }
            Event::DocumentStart(_) if self.root.is_some() => {
                Err("a second document begins, and a task file has one".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, line: usize, anchor: usize, shape: Shape) -> Result<(), String> {
        self.bounded(1)?;
        self.open.push(Open { line, anchor, shape });
        Ok(())
    }

    fn bounded(&self, more: usize) -> Result<(), String> {
        if self.open.len() + more > MOST_DEPTH {
            return Err(format!("more than {MOST_DEPTH} lists and maps stand inside each other"));
        }
        if self.weight > MOST_WEIGHT {
            return Err(format!("with its aliases the file is larger than {MOST_WEIGHT} bytes"));
        }
        Ok(())
    }

    fn complete(&mut self, node: Node, anchor: usize) -> Result<(), String> {
        if anchor > 0 {
            self.weight += node.weight();
            self.bounded(0)?;
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.shape) {
            None => self.root = Some(node),
            Some(Shape::List(nodes)) => nodes.push(node),
            Some(Shape::Map { entries, key }) => match key.take() {
                None => *key = Some(key_text(&node)?),
                // What is merged in counts less than what the map says itself.
                Some(name) if name == "<<" && matches!(node.data, Data::Map(_)) => {
                    entries.splice(0..0, node.entries().to_vec());
                }
                Some(name) => entries.push((name, node)),
            },
        }
        Ok(())
    }
}

fn key_text(node: &Node) -> Result<String, String> {
    match &node.data {
        Data::Text(text) => Ok(text.clone()),
        Data::Integer(number) => Ok(number.to_string()),
        Data::Float(number) => Ok(number.to_string()),
        Data::Bool(true) => Ok("True".to_owned()),
        Data::Bool(false) => Ok("False".to_owned()),
        Data::Null => Ok("None".to_owned()),
        Data::List(_) | Data::Map(_) | Data::Function(_) => Err("a key is not a plain word".to_owned()),
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Data {
    match tag {
        Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => Data::Text(text.to_owned()),
        Some(tag) if tag.is_yaml_core_schema() => plain(text),
        Some(tag) if !tag.suffix.is_empty() && tag.suffix != "function" => {
            Data::Function(format!("{tag} {text}"))
        }
        Some(tag) if !tag.suffix.is_empty() => Data::Function(text.to_owned()),
        None if style == ScalarStyle::Plain => plain(text),
        _ => Data::Text(text.to_owned()),
    }
}

/// A word without quotation marks, as YAML 1.1 and `PyYAML` read it. Dates and numbers to base 60 stay text.
fn plain(text: &str) -> Data {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Data::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Data::Bool(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Data::Bool(false),
        _ => number(text).unwrap_or_else(|| Data::Text(text.to_owned())),
    }
}

fn number(text: &str) -> Option<Data> {
    let bare = text.replace('_', "");
    let digits = bare.strip_prefix(['-', '+']).unwrap_or(&bare);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') || text.starts_with('_') {
        return None;
    }
    let sign = if bare.starts_with('-') { -1 } else { 1 };
    let radix =
        |digits: &str, radix| i64::from_str_radix(digits, radix).ok().map(|n| Data::Integer(sign * n));
    if let Some(hex) = digits.strip_prefix("0x") {
        return radix(hex, 16);
    }
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        let octal = digits.len() > 1 && digits.starts_with('0');
        return radix(digits, if octal { 8 } else { 10 });
    }
    match digits {
        ".inf" | ".Inf" | ".INF" => return Some(Data::Float(f64::from(sign as i8) * f64::INFINITY)),
        ".nan" | ".NaN" | ".NAN" => return Some(Data::Float(f64::NAN)),
        _ => {}
    }
    // Without a point it is text: 1e-3 is no number in YAML 1.1.
    let is_float =
        digits.contains('.') && digits.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b));
    is_float.then(|| bare.parse().ok().map(Data::Float))?
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use proptest::prelude::*;

    fn at(text: &str, key: &str) -> Data {
        let node = parse(text).unwrap_or_else(|fault| panic!("{fault:?}"));
        node.get(key).map_or(Data::Null, |node| node.data.clone())
    }

    fn text(text: &str) -> Data {
        Data::Text(text.to_owned())
    }

    #[test]
    fn plain_words_are_those_of_yaml_1_1() {
        let file =
            "a: no\nb: 'no'\nc: 017\nd: 1e-3\ne: 1.0\nf: 1_000\ng: ~\nh: 0x1F\ni: -3\nj: 1.5e+3\nk: 12:30\n";
        for (key, data) in [
            ("a", Data::Bool(false)),
            ("b", text("no")),
            ("c", Data::Integer(15)),
            ("d", text("1e-3")),
            ("e", Data::Float(1.0)),
            ("f", Data::Integer(1000)),
            ("g", Data::Null),
            ("h", Data::Integer(31)),
            ("i", Data::Integer(-3)),
            ("j", Data::Float(1500.0)),
            ("k", text("12:30")),
        ] {
            assert_eq!(at(file, key), data, "{key}");
        }
    }

    #[test]
    fn texts_functions_and_lines() {
        let file = "x: \"a\\n\\u00e9\"\ny: !function lib.f\nz: |\n  one\n  two\nw: !!str 5\n";
        assert_eq!(at(file, "x"), text("a\né"));
        assert_eq!(at(file, "y"), Data::Function("lib.f".to_owned()));
        assert_eq!(at(file, "z"), text("one\ntwo\n"));
        assert_eq!(at(file, "w"), text("5"));
        let node = parse(file).expect("parses");
        let lines: Vec<_> = node.entries().iter().map(|(_, node)| node.line).collect();
        assert_eq!((lines[0], lines[1], lines[3]), (1, 2, 6));
        assert_eq!(node.function(), Some("lib.f"));
    }

    #[test]
    fn aliases_are_replaced_and_maps_merged() {
        let file = "base: &b {p: 1, q: 2}\nother:\n  <<: *b\n  q: 3\n";
        let node = parse(file).expect("parses");
        let other = node.get("other").expect("there");
        assert_eq!(other.get("p").map(|n| n.data.clone()), Some(Data::Integer(1)));
        assert_eq!(other.get("q").map(|n| n.data.clone()), Some(Data::Integer(3)));
    }

    #[test]
    fn bombs_and_broken_files_are_faults() {
        let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for (name, last) in ('b'..='z').zip('a'..) {
            let _ = writeln!(bomb, "{name}: &{name} [*{last}, *{last}, *{last}, *{last}, *{last}, *{last}]");
        }
        for (file, says) in [
            (bomb, "with its aliases the file is larger"),
            ("[".repeat(5000), "recursion limit exceeded"),
            ("[".repeat(100), "inside each other"),
            ("- ".repeat(5000), "inside each other"),
            ("a: b\n  c: : d".to_owned(), "not valid YAML"),
            ("a: *nothing".to_owned(), "not valid YAML"),
            ("a: &x [*x]".to_owned(), "nothing that is complete"),
            ("? [a]\n: b".to_owned(), "a key is not a plain word"),
            ("a: 1\n---\nb: 2".to_owned(), "a second document"),
            (String::new(), "empty"),
            ("#".repeat(MOST_BYTES + 1), "more than"),
        ] {
            let fault = parse(&file).expect_err(says);
            assert!(fault.message.contains(says), "{fault:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-z0-9:\\-\\[\\]{}&*!#|>'\"?,.<\n ]{0,60}") {
            if let Ok(node) = parse(&text) {
                let _ = (node.json(), node.function());
            }
        }
    }
}
