//! Values of arguments, with the types and the equality that Python gives them: bfcl-eval compares Python objects, in
//! which `1`, `1.0` and `True` are equal and still of three types.

use std::fmt;

use serde_json::Value as Json;

/// An argument's value.
#[derive(Debug, Clone)]
pub enum Value {
    /// `None`, JSON's `null`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// Any other number.
    Float(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// A tuple, which JSON has not.
    Tuple(Vec<Value>),
    /// Values by their keys, in the order in which they were written.
    Dict(Vec<(Value, Value)>),
}

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// `NoneType`.
    None,
    /// `bool`.
    Bool,
    /// `int`.
    Int,
    /// `float`.
    Float,
    /// `str`.
    Text,
    /// `list`.
    List,
    /// `tuple`.
    Tuple,
    /// `dict`.
    Dict,
}

impl Value {
    /// Its type.
    pub fn kind(&self) -> Type {
        match self {
            Self::None => Type::None,
            Self::Bool(_) => Type::Bool,
            Self::Int(_) => Type::Int,
            Self::Float(_) => Type::Float,
            Self::Text(_) => Type::Text,
            Self::List(_) => Type::List,
            Self::Tuple(_) => Type::Tuple,
            Self::Dict(_) => Type::Dict,
        }
    }

    /// What JSON says, as Python's `json.loads` reads it.
    pub fn of(json: &Json) -> Self {
        match json {
            Json::Null => Self::None,
            Json::Bool(word) => Self::Bool(*word),
            Json::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(whole), _) => Self::Int(whole.into()),
                (None, Some(whole)) => Self::Int(whole.into()),
                (None, None) => Self::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Self::Text(text.clone()),
            Json::Array(list) => Self::List(list.iter().map(Self::of).collect()),
            Json::Object(map) => Self::Dict(
                map.iter().map(|(key, value)| (Self::Text(key.clone()), Self::of(value))).collect(),
            ),
        }
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it is the text `""`, by which bfcl-eval's answers say that an argument may be left out.
    pub fn is_omission(&self) -> bool {
        self.text() == Some("")
    }

    /// The value of a key of a dict.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Dict(pairs) => pairs.iter().find(|(k, _)| k.text() == Some(key)).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The number that Python compares it as, where it is one.
    fn number(&self) -> Option<Number> {
        match self {
            Self::Bool(word) => Some(Number::Whole(i128::from(*word))),
            Self::Int(whole) => Some(Number::Whole(*whole)),
            Self::Float(float) => Some(Number::Float(*float)),
            _ => None,
        }
    }
}

#[derive(Clone, Copy)]
enum Number {
    Whole(i128),
    Float(f64),
}

impl Number {
    #[expect(clippy::float_cmp, reason = "as Python compares")]
    fn equals(self, other: Self) -> bool {
        match (self, other) {
            (Self::Whole(a), Self::Whole(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a == b,
            (Self::Whole(whole), Self::Float(float)) | (Self::Float(float), Self::Whole(whole)) => {
                float == whole as f64 && float as i128 == whole
            }
        }
    }
}

/// Python's `==`.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::None, Self::None) => true,
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::List(a), Self::List(b)) | (Self::Tuple(a), Self::Tuple(b)) => a == b,
            (Self::Dict(a), Self::Dict(b)) => {
                let has = |(key, value): &(Self, Self)| b.iter().any(|(k, v)| k == key && v == value);
                a.len() == b.len() && a.iter().all(has)
            }
            _ => self.number().zip(other.number()).is_some_and(|(a, b)| a.equals(b)),
        }
    }
}

/// As Python's `repr` writes it, roughly: for people.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let several = |f: &mut fmt::Formatter<'_>, values: &[Self]| {
            values.iter().enumerate().try_for_each(|(i, value)| {
                let comma = if i > 0 { ", " } else { "" };
                write!(f, "{comma}{value}")
            })
        };
        match self {
            Self::None => f.write_str("None"),
            Self::Bool(word) => f.write_str(if *word { "True" } else { "False" }),
            Self::Int(whole) => write!(f, "{whole}"),
            Self::Float(float) => write!(f, "{float:?}"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::List(values) => {
                f.write_str("[")?;
                several(f, values)?;
                f.write_str("]")
            }
            Self::Tuple(values) => {
                f.write_str("(")?;
                several(f, values)?;
                f.write_str(if values.len() == 1 { ",)" } else { ")" })
            }
            Self::Dict(pairs) => {
                f.write_str("{")?;
                for (i, (key, value)) in pairs.iter().enumerate() {
                    let comma = if i > 0 { ", " } else { "" };
                    write!(f, "{comma}{key}: {value}")?;
                }
                f.write_str("}")
            }
        }
    }
}

/// A call that a model wrote.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The function's name.
    pub name: String,
    /// Arguments by their names, in the order in which they were written.
    pub arguments: Vec<(String, Value)>,
}

impl Call {
    /// An argument's value.
    pub fn argument(&self, name: &str) -> Option<&Value> {
        self.arguments.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// Gives an argument its value; as in Python's dicts the last one counts.
    pub fn set(&mut self, name: String, value: Value) {
        match self.arguments.iter_mut().find(|(known, _)| *known == name) {
            Some((_, before)) => *before = value,
            None => self.arguments.push((name, value)),
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.name)?;
        for (i, (name, value)) in self.arguments.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            write!(f, "{comma}{name}={value}")?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_equal_as_in_python_and_keep_their_types() {
        let [one, float, word] = [json!(1), json!(1.0), json!(true)].map(|json| Value::of(&json));
        assert!(one == float && float == word && word == one);
        assert_eq!([one.kind(), float.kind(), word.kind()], [Type::Int, Type::Float, Type::Bool]);
        assert!(Value::of(&json!("1")) != one && Value::None != Value::of(&json!(0)));
        assert!(Value::Int(i128::from(i64::MAX)) != Value::Float(i64::MAX as f64));
    }

    #[test]
    fn lists_are_no_tuples_and_dicts_have_no_order() {
        let list = Value::of(&json!([1, [true]]));
        assert_eq!(list, Value::of(&json!([1.0, [1]])));
        assert!(Value::Tuple(vec![Value::Int(1)]) != Value::List(vec![Value::Int(1)]));
        assert_eq!(Value::of(&json!({"a": 1, "b": 2})), Value::of(&json!({"b": 2, "a": 1})));
        assert!(Value::of(&json!({"a": 1})) != Value::of(&json!({"a": 1, "b": 2})));
    }

    #[test]
    fn calls_are_written_as_python_writes_them() {
        let mut call = Call { name: "a.b".to_owned(), arguments: Vec::new() };
        call.set("x".to_owned(), Value::Int(1));
        call.set("x".to_owned(), Value::of(&json!([1.5, null, {"k": "v"}])));
        assert_eq!(call.to_string(), "a.b(x=[1.5, None, {\"k\": \"v\"}])");
    }
}
