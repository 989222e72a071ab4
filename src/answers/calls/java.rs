//! What a text says in Java, as bfcl-eval reads it.

use std::sync::LazyLock;

use fancy_regex::Regex;

use super::source::{all_groups, constant, decimal, groups, inner, is_between, number_or_text, whole};
use super::value::{Type, Value};

static AS_LIST: LazyLock<Regex> =
    LazyLock::new(|| constant(r"new\s+ArrayList<\w*>\(Arrays\.asList\((.+?)\)\)"));
static ADDED: LazyLock<Regex> =
    LazyLock::new(|| constant(r"(?s)new\s+ArrayList<\w*>\(\)\s*\{\{\s*(.+?)\s*\}\}"));
static ADD: LazyLock<Regex> = LazyLock::new(|| constant(r"add\((.+?)\)"));
static EMPTY_LIST: LazyLock<Regex> = LazyLock::new(|| constant(r"new\s+ArrayList<\w*>\(\)"));
static ARRAY: LazyLock<Regex> = LazyLock::new(|| constant(r"new\s+\w+\[\]\s*\{(.*?)\}"));
static MAP: LazyLock<Regex> =
    LazyLock::new(|| constant(r"(?s)new\s+HashMap<.*?>\s*\(\)\s*\{\s*\{?\s*(.*?)\s*\}?\s*\}"));
static PUT: LazyLock<Regex> = LazyLock::new(|| constant(r#"put\("(.*?)",\s*(.*?)\)"#));
static EMPTY_MAP: LazyLock<Regex> = LazyLock::new(|| constant(r"new\s+HashMap<.*?>\s*\(\)"));

/// The type of a parameter of this kind.
pub(super) fn kind(name: &str) -> Option<Type> {
    Some(match name {
        "byte" | "short" | "integer" | "long" => Type::Int,
        "float" | "double" => Type::Float,
        "boolean" => Type::Bool,
        "char" | "String" | "any" => Type::Text,
        "Array" | "ArrayList" | "Queue" | "Stack" => Type::List,
        "HashMap" | "Hashtable" => Type::Dict,
        _ => return None,
    })
}

/// The value that a text has for a parameter of this kind; `nested` is the kind of an array's elements. None where
/// bfcl-eval has no way to read it.
pub(super) fn value(text: &str, kind: &str, nested: Option<&str>) -> Option<Value> {
    let or_text = |value: Option<Value>| value.unwrap_or_else(|| Value::Text(text.to_owned()));
    Some(match kind {
        "byte" | "short" | "integer" => or_text(whole(text, &[]).map(Value::Int)),
        "long" => or_text(whole(text, &['l', 'L']).map(Value::Int)),
        "float" => or_text(text.strip_suffix(['f', 'F']).and_then(|t| decimal(t, true)).map(Value::Float)),
        "double" => or_text(decimal(text, true).map(Value::Float)),
        "boolean" => or_text(boolean(text)),
        "char" | "String" | "any" => Value::Text(text.to_owned()),
        "ArrayList" => list(text, nested)?,
        "Array" => array(text, nested)?,
        "HashMap" => map(text),
        _ => return None,
    })
}

fn boolean(text: &str) -> Option<Value> {
    match text {
        "true" => Some(Value::Bool(true)),
        "false" => Some(Value::Bool(false)),
        _ => None,
    }
}

fn list(text: &str, nested: Option<&str>) -> Option<Value> {
    let element = |part: &str| match nested {
        Some("char" | "String") => Some(Value::Text(inner(part.trim()).to_owned())),
        Some(kind) => value(part.trim(), kind, None),
        None => Some(untyped(part.trim())),
    };
    if let Some(elements) = first(&AS_LIST, text) {
        return elements.split(',').map(element).collect::<Option<_>>().map(Value::List);
    }
    if let Some(adds) = first(&ADDED, text) {
        let parts = all_groups(&ADD, adds);
        let parts = parts.iter().filter_map(|groups| groups.get(1).copied().flatten());
        return parts.map(element).collect::<Option<_>>().map(Value::List);
    }
    let is_empty = EMPTY_LIST.is_match(text).unwrap_or(false);
    Some(if is_empty { Value::List(Vec::new()) } else { Value::Text(text.to_owned()) })
}

fn array(text: &str, nested: Option<&str>) -> Option<Value> {
    let Some(elements) = first(&ARRAY, text) else { return Some(Value::Text(text.to_owned())) };
    let parts = elements.split(',').map(str::trim).filter(|part| !part.is_empty());
    let element = |part| match nested {
        Some(kind) => value(part, kind, None),
        None => Some(untyped(part)),
    };
    parts.map(element).collect::<Option<_>>().map(Value::List)
}

fn map(text: &str) -> Value {
    if let Some(puts) = first(&MAP, text) {
        let mut pairs: Vec<(Value, Value)> = Vec::new();
        for groups in all_groups(&PUT, puts) {
            let [_, Some(key), Some(put)] = groups.as_slice() else { continue };
            pairs.retain(|(known, _)| known.text() != Some(key));
            pairs.push((Value::Text((*key).to_owned()), untyped(put.trim())));
        }
        return Value::Dict(pairs);
    }
    let is_empty = EMPTY_MAP.is_match(text).unwrap_or(false);
    if is_empty { Value::Dict(Vec::new()) } else { Value::Text(text.to_owned()) }
}

/// A value of which nobody says what it is.
fn untyped(text: &str) -> Value {
    if let Some(word) = boolean(text) {
        return word;
    }
    if is_between(text, '"') {
        return Value::Text(inner(text).to_owned());
    }
    let long = whole(text, &['l', 'L']).map(Value::Int);
    let float = || text.strip_suffix(['f', 'F']).and_then(|t| decimal(t, true)).map(Value::Float);
    long.or_else(float).unwrap_or_else(|| number_or_text(text))
}

fn first<'t>(pattern: &Regex, text: &'t str) -> Option<&'t str> {
    groups(pattern, text)?.get(1).copied().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn read(text: &str, kind: &str, nested: Option<&str>) -> Value {
        value(text, kind, nested).expect("read")
    }

    #[test]
    fn simple_values() {
        let cases: [(&str, &str, Json); 12] = [
            ("5", "integer", json!(5)),
            ("-5", "long", json!("-5")),
            ("-5L", "long", json!(-5)),
            ("5.0", "integer", json!("5.0")),
            ("3.25f", "float", json!(3.25)),
            ("3.25", "float", json!("3.25")),
            ("3e-2", "double", json!(0.03)),
            ("3.", "double", json!("3.")),
            ("true", "boolean", json!(true)),
            ("True", "boolean", json!("True")),
            ("'a'", "char", json!("'a'")),
            ("x.y()", "any", json!("x.y()")),
        ];
        for (text, kind, expected) in cases {
            let (found, expected) = (read(text, kind, None), Value::of(&expected));
            assert!(found == expected && found.kind() == expected.kind(), "{text}: {found}");
        }
        assert!(value("x", "Queue", None).is_none());
    }

    #[test]
    fn collections() {
        let cases: [(&str, &str, Option<&str>, Json); 9] = [
            ("new int[]{1, 2, 3}", "Array", Some("integer"), json!([1, 2, 3])),
            (r#"new String[]{"a"}"#, "Array", Some("String"), json!(["\"a\""])),
            ("[1]", "Array", Some("integer"), json!("[1]")),
            (
                r#"new ArrayList<String>(Arrays.asList("a", "b"))"#,
                "ArrayList",
                Some("String"),
                json!(["a", "b"]),
            ),
            ("new ArrayList<Integer>() {{ add(1); add(2); }}", "ArrayList", Some("integer"), json!([1, 2])),
            ("new ArrayList<>()", "ArrayList", Some("any"), json!([])),
            (
                r#"new HashMap<String, Object>() {{ put("a", 1); put("b", "x"); put("c", 2L); }}"#,
                "HashMap",
                None,
                json!({"a": 1, "b": "x", "c": 2}),
            ),
            ("new HashMap<>()", "HashMap", None, json!({})),
            ("map", "HashMap", None, json!("map")),
        ];
        for (text, kind, nested, expected) in cases {
            assert_eq!(read(text, kind, nested), Value::of(&expected), "{text}");
        }
    }
}
