//! What a text says in JavaScript, as bfcl-eval reads it.

use std::sync::LazyLock;

use fancy_regex::Regex;

use super::source::{all_groups, constant, decimal, groups, inner, is_between, number_or_text, whole};
use super::value::{Type, Value};

static ARRAYS: LazyLock<Regex> = LazyLock::new(|| {
    constant(r"^(?:\[\s*\[.*?\]\s*(,\s*\[.*?\]\s*)*\]|\bnew\s+Array\(\s*\[.*?\]\s*(,\s*\[.*?\]\s*)*\))")
});
static INNER_ARRAY: LazyLock<Regex> = LazyLock::new(|| constant(r"\[(.*?)\]"));
static ARRAY: LazyLock<Regex> = LazyLock::new(|| constant(r"^(?:\[(.*?)\]|\bnew\s+Array\((.*?)\))"));
static OBJECT: LazyLock<Regex> = LazyLock::new(|| constant(r"^\{(.*?)\}"));
static PAIR: LazyLock<Regex> = LazyLock::new(|| constant(r"([^:]+):\s*(.*?)(?:,\s*(?=[^,]+:)|$)"));

/// The type of a parameter of this kind.
pub(super) fn kind(name: &str) -> Option<Type> {
    Some(match name {
        "String" | "any" => Type::Text,
        "integer" | "Bigint" => Type::Int,
        "float" => Type::Float,
        "Boolean" => Type::Bool,
        "dict" => Type::Dict,
        "array" => Type::List,
        _ => return None,
    })
}

/// The value that a text has for a parameter of this kind; `nested` is the kind of an array's elements. None where
/// bfcl-eval has no way to read it.
pub(super) fn value(text: &str, kind: &str, nested: Option<&str>) -> Option<Value> {
    let or_text = |value: Option<Value>| value.unwrap_or_else(|| Value::Text(text.to_owned()));
    let boolean = |text: &str| match text {
        "true" => Some(Value::Bool(true)),
        "false" => Some(Value::Bool(false)),
        _ => None,
    };
    Some(match kind {
        "String" if is_between(text, '"') || is_between(text, '\'') => Value::Text(inner(text).to_owned()),
        "String" | "any" => Value::Text(text.to_owned()),
        "integer" => or_text(whole(text, &[]).map(Value::Int)),
        "float" => or_text(decimal(text, false).map(Value::Float)),
        "Bigint" => or_text(whole(text, &['n']).map(Value::Int)),
        "Boolean" => or_text(boolean(text)),
        "dict" => object(text.trim()),
        "array" => array(text.trim(), nested),
        _ => return None,
    })
}

fn array(code: &str, nested: Option<&str>) -> Value {
    let as_text = || Value::Text(code.to_owned());
    if let Some(whole) = groups(&ARRAYS, code).and_then(|groups| groups.first().copied().flatten()) {
        let arrays = all_groups(&INNER_ARRAY, whole);
        let arrays = arrays.iter().enumerate().filter_map(|(i, groups)| {
            let text = groups.get(1).copied().flatten()?.trim();
            let text = if i == 0 { text.strip_prefix('[').unwrap_or(text) } else { text };
            Some(Value::List(text.split(',').map(untyped).collect()))
        });
        return Value::List(arrays.collect());
    }
    let Some(groups) = groups(&ARRAY, code) else { return as_text() };
    let elements = groups.get(1..).unwrap_or_default().iter().flatten().next().map_or("", |text| text.trim());
    if elements.is_empty() {
        return Value::List(Vec::new());
    }
    let element = |part: &str| match nested {
        Some(kind) => value(part.trim(), kind, None),
        None => Some(untyped(part)),
    };
    elements.split(',').map(element).collect::<Option<_>>().map_or_else(as_text, Value::List)
}

fn object(code: &str) -> Value {
    if code == "{}" {
        return Value::Dict(Vec::new());
    }
    let Some(content) = groups(&OBJECT, code).and_then(|groups| groups.get(1).copied().flatten()) else {
        return Value::Text(code.to_owned());
    };
    let quotes = ['\'', '"'];
    let mut pairs: Vec<(Value, Value)> = Vec::new();
    for groups in all_groups(&PAIR, content) {
        let [_, Some(key), Some(said)] = groups.as_slice() else { continue };
        let (key, said) = (key.trim().trim_matches(quotes), said.trim());
        let value = if said.starts_with('[') && said.ends_with(']') {
            array(said, None)
        } else if said.starts_with('{') && said.ends_with('}') {
            object(said)
        } else {
            untyped(said.trim_matches(quotes))
        };
        match pairs.iter_mut().find(|(known, _)| known.text() == Some(key)) {
            Some((_, before)) => *before = value,
            None => pairs.push((Value::Text(key.to_owned()), value)),
        }
    }
    Value::Dict(pairs)
}

/// A value of which nobody says what it is.
fn untyped(text: &str) -> Value {
    match text.trim() {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        text if is_between(text, '"') || is_between(text, '\'') => Value::Text(inner(text).to_owned()),
        text => number_or_text(text),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    #[test]
    fn values_are_read_as_bfcl_eval_reads_them() {
        let cases: [(&str, &str, Option<&str>, Json); 20] = [
            ("'a'", "String", None, json!("a")),
            ("a", "String", None, json!("a")),
            ("12", "integer", None, json!(12)),
            ("12.5", "integer", None, json!("12.5")),
            ("12", "float", None, json!(12.0)),
            ("1e3", "float", None, json!("1e3")),
            ("12n", "Bigint", None, json!(12)),
            ("true", "Boolean", None, json!(true)),
            ("x => x", "any", None, json!("x => x")),
            ("[1, 2]", "array", Some("integer"), json!([1, 2])),
            ("['a', \"b\", c]", "array", Some("String"), json!(["a", "b", "c"])),
            ("new Array(1, 2)", "array", None, json!([1, 2])),
            ("[]", "array", None, json!([])),
            ("[[1, 2], [3]]", "array", None, json!([[1, 2], [3]])),
            ("new Array([1], [2])", "array", None, json!([[1], [2]])),
            ("items", "array", None, json!("items")),
            ("[1]", "array", Some("object"), json!("[1]")),
            ("{}", "dict", None, json!({})),
            ("{a: 1, 'b': '2', c: [x, true]}", "dict", None, json!({"a": 1, "b": 2, "c": ["x", true]})),
            ("store", "dict", None, json!("store")),
        ];
        for (text, kind, nested, expected) in cases {
            let found = value(text, kind, nested).expect("read");
            let expected = Value::of(&expected);
            assert!(found == expected && found.kind() == expected.kind(), "{text}: {found}");
        }
    }
}
