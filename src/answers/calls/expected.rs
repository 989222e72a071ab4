//! What is right: the reference of an item whose answer is calls, as a suite's `doc_to_tools` and `doc_to_target` print
//! it together.

use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::schema::{Function, Language, plain_name};
use super::value::Value;
use crate::answers::error::AnswerError;

/// The reference, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// The tools as they were described.
    pub tools: Vec<Json>,
    /// The same, as far as calls are checked against them.
    pub functions: Vec<Function>,
    /// The language of arguments.
    pub language: Language,
    /// What is wanted.
    pub wanted: Wanted,
}

/// What an answer is to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Wanted {
    /// These calls, in any order.
    Calls(Vec<Expected>),
    /// Some call, whichever.
    SomeCall,
    /// No call, but a text with all of these in it.
    Text(Vec<String>),
}

/// A call with what its arguments may be. Where `""` is among an argument's values it may be left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    /// The function.
    pub name: String,
    /// Values by argument.
    pub arguments: Vec<(String, Vec<Value>)>,
}

/// As it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    tools: Vec<Json>,
    #[serde(default)]
    language: Language,
    /// BFCL's possible answers.
    #[serde(default)]
    answers: Option<Vec<Map<String, Json>>>,
    /// Calls with one value for each argument.
    #[serde(default)]
    calls: Option<Vec<Exact>>,
    /// `true` where any call is right.
    #[serde(default)]
    any_call: bool,
    /// Where no call is right: what the text must have in it.
    #[serde(default)]
    says: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exact {
    name: String,
    #[serde(default)]
    arguments: Map<String, Json>,
}

impl Reference {
    /// Reads a reference; `plain_names` where the model is shown names without dots.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str, plain_names: bool) -> Result<Self, AnswerError> {
        let wrong = |reason: String| AnswerError::Calls { reason };
        let written: Written = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        let functions =
            written.tools.iter().map(Function::read).collect::<Result<Vec<_>, _>>().map_err(wrong)?;
        let mut reference = Self {
            wanted: written.wanted().map_err(wrong)?,
            tools: written.tools,
            functions,
            language: written.language,
        };
        if plain_names {
            reference.without_dots();
        }
        Ok(reference)
    }

    fn without_dots(&mut self) {
        for function in &mut self.functions {
            function.name = plain_name(&function.name);
        }
        if let Wanted::Calls(calls) = &mut self.wanted {
            for call in calls {
                call.name = plain_name(&call.name);
            }
        }
    }

    /// The function of this name.
    pub fn function(&self, name: &str) -> Option<&Function> {
        self.functions.iter().find(|function| function.name == name)
    }
}

impl Written {
    fn wanted(&self) -> Result<Wanted, String> {
        let calls: Vec<Expected> = match (&self.answers, &self.calls, self.any_call) {
            (Some(answers), None, false) => answers.iter().map(possible).collect::<Result<_, _>>()?,
            (None, Some(calls), false) => calls.iter().map(Exact::expected).collect(),
            (None, None, true) => return Ok(Wanted::SomeCall),
            _ => return Err("it needs one of `answers`, `calls` and `any_call`".to_owned()),
        };
        match calls.is_empty() {
            true => Ok(Wanted::Text(self.says.clone())),
            false if !self.says.is_empty() => Err("`says` is for answers without a call".to_owned()),
            false => Ok(Wanted::Calls(calls)),
        }
    }
}

/// `{"f": {"a": [1, ""]}}`.
fn possible(answer: &Map<String, Json>) -> Result<Expected, String> {
    let shape = || "an answer is {\"FUNCTION\": {\"ARGUMENT\": [VALUE, ...], ...}}".to_owned();
    let (name, arguments) = answer.iter().next().filter(|_| answer.len() == 1).ok_or_else(shape)?;
    let arguments = arguments.as_object().ok_or_else(shape)?.iter().map(|(argument, values)| {
        let values = values.as_array().ok_or_else(shape)?;
        Ok::<_, String>((argument.clone(), values.iter().map(Value::of).collect()))
    });
    Ok(Expected { name: name.clone(), arguments: arguments.collect::<Result<_, _>>()? })
}

impl Exact {
    fn expected(&self) -> Expected {
        let arguments = self.arguments.iter();
        let only = |(name, value): (&String, &Json)| (name.clone(), vec![as_only(&Value::of(value))]);
        Expected { name: self.name.clone(), arguments: arguments.map(only).collect() }
    }
}

/// In dicts each key has a list of possible values.
fn as_only(value: &Value) -> Value {
    match value {
        Value::Dict(pairs) => {
            let one = |(key, value): &(Value, Value)| (key.clone(), Value::List(vec![value.clone()]));
            Value::Dict(pairs.iter().map(one).collect())
        }
        Value::List(values) if values.iter().any(|value| matches!(value, Value::Dict(_))) => {
            Value::List(values.iter().map(as_only).collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Reference, AnswerError> {
        Reference::read(text, false)
    }

    #[test]
    fn a_reference_is_possible_answers_or_exact_calls() {
        let possible = read(r#"{"tools": [], "answers": [{"f": {"a": [1], "b": [{"k": [2]}]}}]}"#);
        let exact = read(r#"{"tools": [], "calls": [{"name": "f", "arguments": {"a": 1, "b": {"k": 2}}}]}"#);
        assert_eq!(possible, exact);
        assert!(matches!(possible.expect("read").wanted, Wanted::Calls(calls) if calls.len() == 1));
        let none = read(r#"{"tools": [], "calls": [], "says": ["rain"]}"#).expect("read");
        assert_eq!(none.wanted, Wanted::Text(vec!["rain".to_owned()]));
        assert_eq!(read(r#"{"tools": [], "any_call": true}"#).expect("read").wanted, Wanted::SomeCall);
    }

    #[test]
    fn what_is_none_is_refused() {
        for (text, reason) in [
            ("[]", "tools"),
            (r#"{"tools": []}"#, "it needs one of"),
            (r#"{"tools": [{}], "calls": []}"#, "a tool has no name"),
            (r#"{"tools": [], "answers": [{"f": 1}]}"#, "an answer is"),
            (r#"{"tools": [], "answers": [{"f": {}, "g": {}}]}"#, "an answer is"),
            (r#"{"tools": [], "calls": [{"name": "f"}], "says": ["x"]}"#, "without a call"),
            (r#"{"tools": [], "calls": [], "sais": ["x"]}"#, "sais"),
        ] {
            let error = read(text).expect_err(text).to_string();
            assert!(error.contains(reason) || text == "[]", "{error}");
        }
    }

    #[test]
    fn dots_are_taken_out_of_all_names() {
        let text = r#"{"tools": [{"name": "a.b", "parameters": {}}], "calls": [{"name": "a.b"}]}"#;
        let reference = Reference::read(text, true).expect("read");
        assert!(reference.function("a_b").is_some());
        assert!(matches!(reference.wanted, Wanted::Calls(calls) if calls[0].name == "a_b"));
    }
}
