//! Calls in Python's notation, `[f(a=1, b="x"), g()]`, read as bfcl-eval reads them through Python's `ast`: arguments
//! with names count, others are passed over; a bare name is its own text; a call without named arguments, or a
//! subscript, within an argument is its source text.

use super::value::{Call, Value};
use crate::answers::literal::quoted;

/// Deepest nesting that is followed.
const DEEPEST: usize = 64;
/// Longest text that is read, in bytes: keys of a dict are compared with each other.
const LONGEST: usize = 128 << 10;
/// Largest exponent that is computed.
const LARGEST_POWER: i128 = 64;

/// Words that cannot be names.
const KEYWORDS: [&str; 32] = [
    "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del", "elif", "else",
    "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal", "not",
    "or", "pass", "raise", "return", "try", "while", "with", "yield",
];

/// The calls of a list, or one call.
///
/// # Errors
/// Why the text is neither.
pub fn calls(text: &str) -> Result<Vec<Call>, String> {
    let called = |node| match node {
        Node::Call { call, .. } => Ok(call),
        _ => Err("there is something else than a call in the list".to_owned()),
    };
    match whole(text)? {
        Node::Call { call, .. } => Ok(vec![call]),
        Node::List(nodes) | Node::Tuple(nodes) => nodes.into_iter().map(called).collect(),
        _ => Err("it is no list of calls".to_owned()),
    }
}

/// A value as Python writes it.
pub fn value(text: &str) -> Option<Value> {
    whole(text).ok()?.value().ok()
}

fn whole(text: &str) -> Result<Node, String> {
    if text.len() > LONGEST {
        return Err(format!("it is longer than {} KiB", LONGEST >> 10));
    }
    let mut reader = Reader { source: text, rest: text.trim(), depth: 0 };
    let node = reader.expression()?;
    reader.blank();
    if reader.rest.is_empty() { Ok(node) } else { Err(reader.unexpected()) }
}

/// What was read, before it is clear what it is good for.
#[derive(Debug, Clone)]
enum Node {
    Constant(Value),
    Name(String),
    /// A name behind names, as of a method.
    Path(String),
    /// A call; its source, and whether it has named arguments.
    Call {
        call: Call,
        source: String,
        named: bool,
    },
    Subscript(String),
    List(Vec<Node>),
    Tuple(Vec<Node>),
    Dict(Vec<(Node, Node)>),
}

impl Node {
    /// What it is as an argument.
    fn value(self) -> Result<Value, String> {
        let all = |nodes: Vec<Self>| nodes.into_iter().map(Self::value).collect::<Result<Vec<_>, _>>();
        Ok(match self {
            Self::Constant(value) => value,
            Self::Call { call, named: true, .. } => {
                let arguments = call.arguments.into_iter().map(|(name, value)| (Value::Text(name), value));
                Value::Dict(vec![(Value::Text(call.name), Value::Dict(arguments.collect()))])
            }
            Self::Name(source) | Self::Subscript(source) | Self::Call { source, .. } => Value::Text(source),
            Self::List(nodes) => Value::List(all(nodes)?),
            Self::Tuple(nodes) => Value::Tuple(all(nodes)?),
            Self::Dict(pairs) => {
                let mut read: Vec<(Value, Value)> = Vec::with_capacity(pairs.len());
                for (key, value) in pairs {
                    let (key, value) = (key.value()?, value.value()?);
                    match read.iter_mut().find(|(known, _)| *known == key) {
                        Some((_, before)) => *before = value,
                        None => read.push((key, value)),
                    }
                }
                Value::Dict(read)
            }
            Self::Path(path) => return Err(format!("{path} is no value")),
        })
    }

    /// A constant, which operators work on.
    fn constant(self) -> Result<Value, String> {
        match self {
            Self::Constant(value) => Ok(value),
            _ => Err("an operator works on something else than constants".to_owned()),
        }
    }
}

struct Reader<'t> {
    /// All of it.
    source: &'t str,
    /// What is left.
    rest: &'t str,
    depth: usize,
}

impl Reader<'_> {
    /// Passes over white space and comments. Everything is read as within brackets, where line ends do not count.
    fn blank(&mut self) {
        loop {
            self.rest = self.rest.trim_start();
            let Some(comment) = self.rest.strip_prefix('#') else { return };
            self.rest = comment.find('\n').and_then(|end| comment.get(end..)).unwrap_or_default();
        }
    }

    fn unexpected(&self) -> String {
        match self.rest.chars().next() {
            Some(_) => format!(
                "there is something unexpected at {:?}",
                self.rest.chars().take(20).collect::<String>()
            ),
            None => "it ends too early".to_owned(),
        }
    }

    /// Takes a mark if it comes next.
    fn takes(&mut self, mark: &str) -> bool {
        self.blank();
        match self.rest.strip_prefix(mark) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expects(&mut self, mark: &str) -> Result<(), String> {
        if self.takes(mark) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn expression(&mut self) -> Result<Node, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("it is nested too deeply".to_owned());
        }
        let mut left = self.product()?;
        loop {
            self.blank();
            let Some(operator @ ('+' | '-')) = self.rest.chars().next() else { break };
            self.takes(&operator.to_string());
            let right = self.product()?;
            left = Node::Constant(computed(&left.constant()?, &operator.to_string(), &right.constant()?)?);
        }
        self.depth -= 1;
        Ok(left)
    }

    fn product(&mut self) -> Result<Node, String> {
        let mut left = self.signed()?;
        loop {
            self.blank();
            let Some(operator) = ["//", "*", "/", "%"].into_iter().find(|mark| self.rest.starts_with(mark))
            else {
                return Ok(left);
            };
            self.takes(operator);
            let right = self.signed()?;
            left = Node::Constant(computed(&left.constant()?, operator, &right.constant()?)?);
        }
    }

    /// bfcl-eval takes any sign for a minus; here a plus is one.
    fn signed(&mut self) -> Result<Node, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("it is nested too deeply".to_owned());
        }
        let node = if self.takes("-") {
            match self.signed()?.constant()? {
                Value::Int(whole) => Ok(Node::Constant(Value::Int(-whole))),
                Value::Float(float) => Ok(Node::Constant(Value::Float(-float))),
                other => Err(format!("{other} has no sign")),
            }
        } else if self.takes("+") {
            self.signed()?.constant().map(Node::Constant)
        } else {
            self.power()
        };
        self.depth -= 1;
        node
    }

    fn power(&mut self) -> Result<Node, String> {
        let base = self.postfix()?;
        if !self.takes("**") {
            return Ok(base);
        }
        let exponent = self.signed()?;
        Ok(Node::Constant(computed(&base.constant()?, "**", &exponent.constant()?)?))
    }

    /// A primary, and what is called, looked up or taken out of it.
    fn postfix(&mut self) -> Result<Node, String> {
        self.blank();
        let begin = self.source.len() - self.rest.len();
        let mut node = self.primary()?;
        loop {
            self.blank();
            let so_far = |me: &Self| {
                let end = me.source.len() - me.rest.len();
                me.source.get(begin..end).unwrap_or_default().trim_end().to_owned()
            };
            if self.rest.starts_with('.') && !self.rest.starts_with("..") {
                self.takes(".");
                let name = self.name()?;
                node = match node {
                    Node::Name(path) | Node::Path(path) => Node::Path(format!("{path}.{name}")),
                    _ => Node::Path(name),
                };
            } else if self.takes("(") {
                let name = match node {
                    Node::Name(path) | Node::Path(path) => path,
                    _ => String::new(),
                };
                let arguments = self.arguments()?;
                let named = !arguments.is_empty();
                let mut call = Call { name, arguments: Vec::new() };
                for (name, value) in arguments {
                    call.set(name, value);
                }
                node = Node::Call { call, source: so_far(self), named };
            } else if !matches!(node, Node::Constant(_) | Node::List(_)) && self.takes("[") {
                self.expression()?;
                while self.takes(":") || self.takes(",") {
                    self.blank();
                    if !self.rest.starts_with([']', ':', ',']) {
                        self.expression()?;
                    }
                }
                self.expects("]")?;
                node = Node::Subscript(so_far(self));
            } else {
                return Ok(node);
            }
        }
    }

    /// Those with names.
    fn arguments(&mut self) -> Result<Vec<(String, Value)>, String> {
        let mut named = Vec::new();
        loop {
            if self.takes(")") {
                return Ok(named);
            }
            if self.takes("**") {
                let value = self.expression()?.value()?;
                named.push(("**".to_owned(), value));
            } else if self.takes("*") {
                self.expression()?;
            } else {
                match self.expression()? {
                    Node::Name(name) if self.is_assignment() => {
                        self.takes("=");
                        named.push((name, self.expression()?.value()?));
                    }
                    _ if named.is_empty() => {}
                    _ => return Err("an argument without a name stands behind one with a name".to_owned()),
                }
            }
            if !self.takes(",") {
                self.expects(")")?;
                return Ok(named);
            }
        }
    }

    fn is_assignment(&mut self) -> bool {
        self.blank();
        self.rest.starts_with('=') && !self.rest.starts_with("==")
    }

    fn primary(&mut self) -> Result<Node, String> {
        self.blank();
        let first = self.rest.chars().next().ok_or_else(|| self.unexpected())?;
        match first {
            '[' => {
                self.takes("[");
                Ok(Node::List(self.elements("]")?.0))
            }
            '(' => {
                self.takes("(");
                let (mut nodes, comma) = self.elements(")")?;
                // Brackets around one value do nothing.
                match nodes.len() {
                    1 if !comma => nodes.pop().ok_or_else(|| self.unexpected()),
                    _ => Ok(Node::Tuple(nodes)),
                }
            }
            '{' => self.dict(),
            '"' | '\'' => self.texts(),
            '.' if self.takes("...") => Ok(Node::Constant(Value::Text("...".to_owned()))),
            '0'..='9' | '.' => self.number(),
            _ if self.is_text() => self.texts(),
            _ => Ok(match self.name()? {
                word if word == "True" => Node::Constant(Value::Bool(true)),
                word if word == "False" => Node::Constant(Value::Bool(false)),
                word if word == "None" => Node::Constant(Value::None),
                name => Node::Name(name),
            }),
        }
    }

    /// What stands up to the closing bracket, and whether a comma stands in front of that.
    fn elements(&mut self, close: &str) -> Result<(Vec<Node>, bool), String> {
        let mut nodes = Vec::new();
        loop {
            if self.takes(close) {
                return Ok((nodes, true));
            }
            nodes.push(self.expression()?);
            if !self.takes(",") {
                self.expects(close)?;
                return Ok((nodes, false));
            }
        }
    }

    fn dict(&mut self) -> Result<Node, String> {
        self.takes("{");
        let mut pairs = Vec::new();
        loop {
            if self.takes("}") {
                return Ok(Node::Dict(pairs));
            }
            let key = self.expression()?;
            self.expects(":")?;
            pairs.push((key, self.expression()?));
            if !self.takes(",") {
                self.expects("}")?;
                return Ok(Node::Dict(pairs));
            }
        }
    }

    fn name(&mut self) -> Result<String, String> {
        self.blank();
        let is_part = |c: char| c == '_' || c.is_alphanumeric();
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        if name.is_empty() || name.starts_with(|c: char| c.is_numeric()) || KEYWORDS.contains(&name) {
            return Err(self.unexpected());
        }
        self.rest = rest;
        Ok(name.to_owned())
    }

    /// Whether a text with a prefix comes next.
    fn is_text(&self) -> bool {
        let behind = self.rest.trim_start_matches(['r', 'R', 'u', 'U']);
        self.rest.len() - behind.len() <= 1 && behind.starts_with(['"', '\''])
    }

    /// Texts beside each other are one.
    fn texts(&mut self) -> Result<Node, String> {
        let mut all = String::new();
        loop {
            self.blank();
            let (text, rest) = match self.rest.strip_prefix(['r', 'R']) {
                Some(raw) if raw.starts_with(['"', '\'']) => as_written(raw),
                _ => quoted(self.rest.strip_prefix(['u', 'U']).unwrap_or(self.rest)),
            }
            .ok_or_else(|| "a text does not end".to_owned())?;
            all.push_str(&text);
            self.rest = rest;
            self.blank();
            if !self.rest.starts_with(['"', '\'']) && !self.is_text() {
                return Ok(Node::Constant(Value::Text(all)));
            }
        }
    }

    fn number(&mut self) -> Result<Node, String> {
        let is_exponent = |i: usize| {
            self.rest.get(..i).is_some_and(|before| before.ends_with(['e', 'E']) && !before.starts_with("0x"))
        };
        let is_part = |(i, c): (usize, char)| {
            c.is_ascii_alphanumeric() || matches!(c, '_' | '.') || (matches!(c, '+' | '-') && is_exponent(i))
        };
        let end = self.rest.char_indices().find(|at| !is_part(*at)).map_or(self.rest.len(), |(i, _)| i);
        let (digits, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        let value = number(digits).ok_or_else(|| self.unexpected())?;
        self.rest = rest;
        Ok(Node::Constant(value))
    }
}

/// A text in quotation marks in which backslashes are nothing but themselves.
fn as_written(source: &str) -> Option<(String, &str)> {
    let mark = ["'''", "\"\"\"", "'", "\""].into_iter().find(|mark| source.starts_with(mark))?;
    let inside = source.get(mark.len()..)?;
    let end = inside.find(mark)?;
    Some((inside.get(..end)?.to_owned(), inside.get(end + mark.len()..)?))
}

/// A number as Python writes it.
fn number(text: &str) -> Option<Value> {
    if text.starts_with('_') || text.ends_with('_') || text.contains("__") {
        return None;
    }
    let plain = text.replace('_', "").to_ascii_lowercase();
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = plain.strip_prefix(prefix) {
            return i128::from_str_radix(digits, radix).ok().map(Value::Int);
        }
    }
    let is_whole = plain.bytes().all(|b| b.is_ascii_digit());
    if is_whole && plain.len() > 1 && plain.starts_with('0') && plain.bytes().any(|b| b != b'0') {
        return None;
    }
    // What is too large to be counted exactly is none of the answers, either way.
    let float = || plain.parse().ok().map(Value::Float);
    if is_whole { plain.parse().ok().map(Value::Int).or_else(float) } else { float() }
}

/// What an operator makes of two constants.
fn computed(left: &Value, operator: &str, right: &Value) -> Result<Value, String> {
    let result = match (left, right) {
        (Value::Text(a), Value::Text(b)) if operator == "+" => Some(Value::Text(format!("{a}{b}"))),
        (Value::Int(a), Value::Int(b)) => of_wholes(*a, operator, *b),
        (Value::Int(a), Value::Float(b)) => of_floats(*a as f64, operator, *b),
        (Value::Float(a), Value::Int(b)) => of_floats(*a, operator, *b as f64),
        (Value::Float(a), Value::Float(b)) => of_floats(*a, operator, *b),
        _ => None,
    };
    result.ok_or_else(|| format!("{left} {operator} {right} is not computed"))
}

fn of_wholes(a: i128, operator: &str, b: i128) -> Option<Value> {
    let rounded_down = || {
        let quotient = a.checked_div(b)?;
        let inexact = a.checked_rem(b)? != 0;
        Some(if inexact && (a < 0) != (b < 0) { quotient - 1 } else { quotient })
    };
    let whole = match operator {
        "+" => a.checked_add(b),
        "-" => a.checked_sub(b),
        "*" => a.checked_mul(b),
        "//" => rounded_down(),
        "%" => a.checked_sub(rounded_down()?.checked_mul(b)?),
        "**" if (0..=LARGEST_POWER).contains(&b) => a.checked_pow(b as u32),
        _ => return of_floats(a as f64, operator, b as f64),
    };
    whole.map(Value::Int)
}

fn of_floats(a: f64, operator: &str, b: f64) -> Option<Value> {
    let divides = b != 0.0;
    let float = match operator {
        "+" => a + b,
        "-" => a - b,
        "*" => a * b,
        "/" if divides => a / b,
        "//" if divides => (a / b).floor(),
        "%" if divides => a - (a / b).floor() * b,
        "**" => a.powf(b),
        _ => return None,
    };
    Some(Value::Float(float))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> String {
        match calls(text) {
            Ok(calls) => calls.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
            Err(why) => format!("error: {why}"),
        }
    }

    #[test]
    fn calls_are_read_as_bfcl_eval_reads_them() {
        for (text, expected) in [
            ("[]", ""),
            ("[f()]", "f()"),
            ("f(a=1)", "f(a=1)"),
            (
                "[a.b.c(x='y', z=[1, 2.5, -3],), g(k={'a': None, 'b': (1, True)})]",
                "a.b.c(x=\"y\", z=[1, 2.5, -3]); g(k={\"a\": None, \"b\": (1, True)})",
            ),
            ("f(1, a=2)", "f(a=2)"),
            ("f(a=1, a=2)", "f(a=2)"),
            ("f(a=x)", "f(a=\"x\")"),
            ("f(a=g(1, 'x'))", "f(a=\"g(1, 'x')\")"),
            ("f(a=g(b=1))", "f(a={\"g\": {\"b\": 1}})"),
            ("f(a=x[0])", "f(a=\"x[0]\")"),
            ("f(a=2 * 3 + 4, b=1/2, c=7 // 2, d=-7 % 3, e=2 ** 10)", "f(a=10, b=0.5, c=3, d=2, e=1024)"),
            ("f(a='x' \"y\", b=r'\\d', c='a\\n')", "f(a=\"xy\", b=\"\\\\d\", c=\"a\\n\")"),
            ("f(a=1_000, b=0x1F, c=1e3, d=.5, e=5., f=(1))", "f(a=1000, b=31, c=1000.0, d=0.5, e=5.0, f=1)"),
            ("[\n  f(  # the first\n    a = 1 ),\n]", "f(a=1)"),
            ("f(a=(1,), b=())", "f(a=(1,), b=())"),
            ("[f(a=1e-5)]", "f(a=1e-5)"),
            ("f(a=...)", "f(a=\"...\")"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_list_of_calls_is_none() {
        for text in [
            "",
            "[",
            "f",
            "[f]",
            "[1]",
            "'f()'",
            "f(a=)",
            "f(a=1",
            "f(a=1)]",
            "f(a=1, 2)",
            "f(class=1)",
            "f(a=x.y)",
            "f(a=lambda: 1)",
            "f(a=f'x')",
            "f(a=007)",
            "I would call f(a=1).",
            "f(a=1) and g()",
            "f(a={1})",
            "f(a=x + 1)",
            "f(a=1/0)",
            "f(a='x)",
            "f(a=[i for i in x])",
            "{f(): 1}",
        ] {
            assert!(shown(text).starts_with("error: "), "{text}: {}", shown(text));
        }
        assert!(shown(&"[".repeat(10_000)).contains("too deeply"));
        assert!(shown(&format!("f(a={})", "-".repeat(10_000))).contains("too deeply"));
    }

    proptest! {
        #[test]
        fn any_text_is_calls_or_an_error(text in "[\\[\\](){}f.a=,'\"\\\\0-9e+*/ -]{0,40}") {
            let _ = calls(&text);
        }

        #[test]
        fn values_are_read_back(text in "[ -~é\n]{0,12}", whole in any::<i64>(), float in -1e6..1e6_f64) {
            let call = Call { name: "f".to_owned(), arguments: vec![
                ("a".to_owned(), Value::List(vec![Value::Int(whole.into()), Value::Float(float)])),
                ("b".to_owned(), Value::Dict(vec![(Value::Text("k".to_owned()), Value::Bool(true))])),
                ("c".to_owned(), Value::Text(text.replace(['\\', '\''], ""))),
            ] };
            prop_assert_eq!(calls(&call.to_string()), Ok(vec![call]));
        }
    }
}
