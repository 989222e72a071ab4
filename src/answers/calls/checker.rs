//! Whether a call is one that is right: names, required and optional arguments, types and values, as bfcl-eval's
//! `ast_checker` has it. Where its code ends in an exception, the call is wrong.

use super::expected::Expected;
use super::schema::{Function, Language, Parameter};
use super::value::{Call, Type, Value};
use super::{java, javascript};

/// Why a call is wrong.
pub type Fault = String;

/// Checks calls against those that are wanted: each of these must be found, in any order.
///
/// # Errors
/// Why they are wrong.
pub fn check(
    functions: &[Function],
    language: Language,
    calls: &[Call],
    wanted: &[Expected],
) -> Result<(), Fault> {
    if calls.len() != wanted.len() {
        return Err(format!("{} calls instead of {}", calls.len(), wanted.len()));
    }
    let mut left: Vec<&Call> = calls.iter().collect();
    for expected in wanted {
        let Some(function) = functions.iter().find(|function| function.name == expected.name) else {
            return Err(format!("there is no function {:?}", expected.name));
        };
        let mut why = None;
        let found = left.iter().position(|call| match check_call(function, language, call, expected) {
            Ok(()) => true,
            Err(fault) => {
                // A call of the same function is nearest to what is wanted.
                if call.name == expected.name || why.is_none() {
                    why = Some(fault);
                }
                false
            }
        });
        match found {
            Some(at) => drop(left.remove(at)),
            None if calls.len() == 1 => return Err(why.unwrap_or_default()),
            None => return Err(format!("no call is {}: {}", expected.name, why.unwrap_or_default())),
        }
    }
    Ok(())
}

/// Checks one call.
fn check_call(
    function: &Function,
    language: Language,
    call: &Call,
    expected: &Expected,
) -> Result<(), Fault> {
    if call.name != function.name {
        return Err(format!("it calls {:?} instead of {:?}", call.name, function.name));
    }
    if let Some(missing) = function.required.iter().find(|name| call.argument(name).is_none()) {
        return Err(format!("the required argument {missing:?} is missing"));
    }
    for (name, value) in &call.arguments {
        let options = expected.arguments.iter().find(|(known, _)| known == name);
        let (Some(parameter), Some((_, options))) = (function.parameters.get(name), options) else {
            return Err(format!("the argument {name:?} is not expected"));
        };
        check_argument(language, parameter, value, options)
            .map_err(|why| format!("the argument {name:?} is {value}, {why}"))?;
    }
    let is_missing = |(name, options): &&(String, Vec<Value>)| {
        call.argument(name).is_none() && !options.iter().any(Value::is_omission)
    };
    match expected.arguments.iter().find(is_missing) {
        Some((name, _)) => Err(format!("the argument {name:?} is missing")),
        None => Ok(()),
    }
}

fn check_argument(
    language: Language,
    parameter: &Parameter,
    value: &Value,
    options: &[Value],
) -> Result<(), Fault> {
    let Parameter { kind, nested } = parameter;
    let Some(expected) = language.kind(kind) else {
        return Err(format!("and the type {kind:?} is not known"));
    };
    let nested = match (language, kind.as_str(), nested) {
        (Language::Python, "array" | "tuple", Some(nested))
        | (Language::Java, "Array" | "ArrayList", Some(nested))
        | (Language::JavaScript, "array", Some(nested)) => Some(nested.as_str()),
        _ => None,
    };
    let converted = convert(language, kind, nested, value).ok_or("which has no source text")?;
    let inner = nested.and_then(|nested| language.kind(nested));
    let not_this = || format!("which is none of {}", Value::List(options.to_vec()));
    let is_variable = typed(&converted, options, expected, inner).ok_or("which is of another type")?;
    let right = match (&converted, expected) {
        _ if is_variable => options.contains(&converted),
        (Value::Dict(pairs), Type::Dict) => is_dict(pairs, options),
        (Value::List(dicts), Type::List) if inner == Some(Type::Dict) => are_dicts(dicts, options),
        (Value::Text(text), Type::Text) => {
            let text = standard(text);
            options.iter().filter_map(Value::text).any(|option| standard(option) == text)
        }
        (Value::List(values), Type::List) => is_list(values, options),
        _ => options.contains(&converted),
    };
    if right { Ok(()) } else { Err(not_this()) }
}

/// The value as the language means it; none where it is no source text, but should be.
fn convert(language: Language, kind: &str, nested: Option<&str>, value: &Value) -> Option<Value> {
    match (language, value) {
        (Language::Python, Value::Tuple(values)) if kind == "tuple" => Some(Value::List(values.clone())),
        // Python takes a whole number for a float.
        (Language::Python, Value::Int(whole)) if matches!(kind, "float" | "number") => {
            Some(Value::Float(*whole as f64))
        }
        (Language::Python, value) => Some(value.clone()),
        (Language::Java, Value::Text(text)) => java::value(text, kind, nested),
        (Language::JavaScript, Value::Text(text)) => javascript::value(text, kind, nested),
        _ => None,
    }
}

/// Whether a value is of the expected type, or of that of the possible answers: `Some(true)` if these are of another
/// type than expected, as the name of a variable is. None where it is of neither.
fn typed(value: &Value, options: &[Value], expected: Type, nested: Option<Type>) -> Option<bool> {
    let named = options.iter().find(|option| !option.is_omission()).map(Value::kind);
    let is_variable = named.is_some_and(|named| named != expected);
    if value.kind() != expected {
        return (named == Some(value.kind())).then_some(true);
    }
    let Some(nested) = nested else { return Some(is_variable) };
    let fits = |option: &Value| match (option, value) {
        (Value::List(inside), Value::List(elements)) => {
            elements.iter().all(|element| typed(element, inside, nested, None).is_some())
        }
        _ => true,
    };
    options.iter().any(fits).then_some(is_variable)
}

/// What does not count in texts: spaces, some punctuation, case, and which quotation marks.
fn standard(text: &str) -> String {
    let kept = text.chars().filter(|c| !matches!(c, ' ' | ',' | '.' | '/' | '-' | '_' | '*' | '^'));
    kept.collect::<String>().to_lowercase().replace('\'', "\"")
}

fn standard_value(value: &Value) -> Value {
    match value {
        Value::Text(text) => Value::Text(standard(text)),
        other => other.clone(),
    }
}

fn standard_values(values: &[Value]) -> Vec<Value> {
    values.iter().map(standard_value).collect()
}

fn is_list(values: &[Value], options: &[Value]) -> bool {
    let values = standard_values(values);
    options.iter().any(|option| match option {
        Value::List(option) => standard_values(option) == values,
        // To Python an empty text is an empty sequence.
        option => option.is_omission() && values.is_empty(),
    })
}

fn is_dict(pairs: &[(Value, Value)], options: &[Value]) -> bool {
    let holds = |option: &[(Value, Value)]| {
        let fits = |(key, value): &(Value, Value)| {
            let possible = option.iter().find(|(known, _)| known == key);
            possible.is_some_and(|(_, possible)| match possible {
                Value::List(possible) => standard_values(possible).contains(&standard_value(value)),
                _ => false,
            })
        };
        let may_be_missing = |(key, possible): &(Value, Value)| {
            let omitted = match possible {
                Value::List(possible) => possible.iter().any(Value::is_omission),
                _ => false,
            };
            omitted || pairs.iter().any(|(known, _)| known == key)
        };
        pairs.iter().all(fits) && option.iter().all(may_be_missing)
    };
    options.iter().any(|option| matches!(option, Value::Dict(option) if holds(option)))
}

fn are_dicts(dicts: &[Value], options: &[Value]) -> bool {
    let holds = |option: &[Value]| {
        let same = |(dict, option): (&Value, &Value)| matches!(dict, Value::Dict(pairs) if is_dict(pairs, std::slice::from_ref(option)));
        dicts.len() == option.len() && dicts.iter().zip(option).all(same)
    };
    options.iter().any(|option| match option {
        Value::List(option) => holds(option),
        option => option.is_omission() && dicts.is_empty(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::answers::calls::expected::{Reference, Wanted};

    /// Whether `f(a=value)` is right, where `a` is of this type and has these possible answers.
    fn right(language: &str, schema: &Json, options: &Json, value: &Json) -> bool {
        right_value(language, schema, options, Value::of(value))
    }

    fn right_value(language: &str, schema: &Json, options: &Json, value: Value) -> bool {
        let tool = json!({"name": "f", "parameters": {"properties": {"a": schema}, "required": ["a"]}});
        let reference =
            json!({"tools": [tool], "language": language, "answers": [{"f": {"a": options}}]}).to_string();
        let reference = Reference::read(&reference, false).expect("read");
        let Wanted::Calls(wanted) = &reference.wanted else { panic!("calls") };
        let call = Call { name: "f".to_owned(), arguments: vec![("a".to_owned(), value)] };
        check(&reference.functions, reference.language, &[call], wanted).is_ok()
    }

    #[test]
    fn types_and_values() {
        let cases = [
            (json!({"type": "integer"}), json!([5]), json!(5), true),
            (json!({"type": "integer"}), json!([5]), json!(5.0), false),
            (json!({"type": "integer"}), json!([5]), json!("5"), false),
            (json!({"type": "integer"}), json!(["n"]), json!("n"), true),
            (json!({"type": "float"}), json!([5.0]), json!(5), true),
            (json!({"type": "float"}), json!([5.0]), json!(true), false),
            (json!({"type": "boolean"}), json!([true]), json!(true), true),
            (json!({"type": "boolean"}), json!([true]), json!(1), false),
            (json!({"type": "string"}), json!(["April 1, 2024"]), json!("april 1 2024"), true),
            (json!({"type": "string"}), json!(["it's"]), json!("it\"s"), true),
            (json!({"type": "string"}), json!(["a"]), json!("b"), false),
            (json!({"type": "string"}), json!([null]), json!(null), true),
            (json!({"type": "any"}), json!([5]), json!(5), true),
            (json!({"type": "array", "items": {"type": "string"}}), json!([["A b"]]), json!(["ab"]), true),
            (json!({"type": "array", "items": {"type": "string"}}), json!([["a"]]), json!([1]), false),
            (
                json!({"type": "array", "items": {"type": "integer"}}),
                json!([[1], [2, 3]]),
                json!([2, 3]),
                true,
            ),
            (json!({"type": "array", "items": {"type": "integer"}}), json!([[1, 2]]), json!([2, 1]), false),
            (json!({"type": "array", "items": {"type": "string"}}), json!([["a"], ""]), json!([]), true),
            (json!({"type": "dict"}), json!([{"k": [1, ""], "l": ["X"]}]), json!({"l": "x"}), true),
            (json!({"type": "dict"}), json!([{"k": [1], "l": ["X"]}]), json!({"l": "x"}), false),
            (json!({"type": "dict"}), json!([{"k": [1]}]), json!({"k": 1, "m": 2}), false),
            (
                json!({"type": "array", "items": {"type": "dict"}}),
                json!([[{"k": [1]}, {"k": [2]}]]),
                json!([{"k": 1}, {"k": 2}]),
                true,
            ),
            (
                json!({"type": "array", "items": {"type": "dict"}}),
                json!([[{"k": [1]}, {"k": [2]}]]),
                json!([{"k": 2}, {"k": 1}]),
                false,
            ),
        ];
        for (schema, options, value, expected) in cases {
            assert_eq!(right("python", &schema, &options, &value), expected, "{schema} {options} {value}");
        }
    }

    #[test]
    fn tuples_stand_for_lists_where_they_are_wanted() {
        let pair = || Value::Tuple(vec![Value::Int(1), Value::Int(2)]);
        let items = json!({"type": "integer"});
        let of = |kind: &str| json!({"type": kind, "items": items});
        assert!(right_value("python", &of("tuple"), &json!([[1, 2]]), pair()));
        assert!(!right_value("python", &of("array"), &json!([[1, 2]]), pair()));
    }

    #[test]
    fn other_languages_have_texts() {
        assert!(right("java", &json!({"type": "integer"}), &json!([5]), &json!("5")));
        assert!(!right("java", &json!({"type": "integer"}), &json!([5]), &json!(5)));
        assert!(right("javascript", &json!({"type": "Boolean"}), &json!([true]), &json!("true")));
        assert!(!right("javascript", &json!({"type": "Boolean"}), &json!([true]), &json!(true)));
        let array = json!({"type": "array", "items": {"type": "String"}});
        assert!(right("javascript", &array, &json!([["a", "b"]]), &json!("['a', 'b']")));
    }

    #[test]
    fn names_and_arguments() {
        let tools = json!([{"name": "f", "parameters": {"properties": {"a": {"type": "integer"},
            "b": {"type": "integer"}, "c": {"type": "integer"}}, "required": ["a"]}}, {"name": "g", "parameters": {}}]);
        let reference =
            json!({"tools": tools, "answers": [{"f": {"a": [1], "b": [2, ""], "c": [3]}}, {"g": {}}]})
                .to_string();
        let reference = Reference::read(&reference, false).expect("read");
        let Wanted::Calls(wanted) = &reference.wanted else { panic!("calls") };
        let call = |name: &str, arguments: &[(&str, i128)]| Call {
            name: name.to_owned(),
            arguments: arguments
                .iter()
                .map(|(name, value)| ((*name).to_owned(), Value::Int(*value)))
                .collect(),
        };
        let g = || call("g", &[]);
        let check = |calls: &[Call]| check(&reference.functions, Language::Python, calls, wanted);
        assert_eq!(check(&[g(), call("f", &[("a", 1), ("c", 3)])]), Ok(()));
        for (calls, why) in [
            (vec![g()], "1 calls instead of 2"),
            (vec![g(), g()], "instead of \"f\""),
            (vec![g(), call("f", &[("c", 3)])], "required argument \"a\""),
            (vec![g(), call("f", &[("a", 1)])], "argument \"c\" is missing"),
            (vec![g(), call("f", &[("a", 1), ("c", 3), ("d", 4)])], "\"d\" is not expected"),
            (vec![g(), call("f", &[("a", 2), ("c", 3)])], "none of [1]"),
            (vec![call("f", &[("a", 1), ("c", 3)]), call("g", &[("x", 0)])], "\"x\" is not expected"),
        ] {
            let fault = check(&calls).expect_err(why);
            assert!(fault.contains(why), "{fault}");
        }
    }
}
