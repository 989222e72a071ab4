//! Functions as a suite describes them, and as chat templates want them described: JSON schemas in OpenAI's form.
//!
//! BFCL's own notation has other names for types (`dict`, `float`, `ArrayList`), and functions of Java and JavaScript
//! whose arguments are source text.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use super::value::Type;
use super::{java, javascript};

/// The language that arguments are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// JSON's values, or Python's.
    #[default]
    Python,
    /// Texts, in which a value stands as in Java's source.
    Java,
    /// Texts, in which a value stands as in JavaScript's source.
    JavaScript,
}

/// A function that can be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Its parameters.
    pub parameters: BTreeMap<String, Parameter>,
    /// Those that a call must give.
    pub required: Vec<String>,
}

/// A parameter of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// The name of its type.
    pub kind: String,
    /// The name of the type of a list's elements.
    pub nested: Option<String>,
}

impl Language {
    /// The type of a parameter; none where the language does not know its name.
    pub fn kind(self, name: &str) -> Option<Type> {
        match self {
            Self::Java => java::kind(name),
            Self::JavaScript => javascript::kind(name),
            Self::Python => Some(match name {
                "string" | "any" => Type::Text,
                "integer" => Type::Int,
                "float" | "number" => Type::Float,
                "boolean" => Type::Bool,
                "array" | "tuple" => Type::List,
                "dict" | "object" => Type::Dict,
                _ => return None,
            }),
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Python => "Python",
            Self::Java => "Java",
            Self::JavaScript => "JavaScript",
        }
    }
}

impl Function {
    /// A function, described in BFCL's or in OpenAI's form.
    ///
    /// # Errors
    /// What is missing.
    pub fn read(tool: &Json) -> Result<Self, String> {
        let function = bare(tool);
        let name = function.get("name").and_then(Json::as_str).ok_or("a tool has no name")?;
        let empty = Map::new();
        let properties = function.pointer("/parameters/properties").and_then(Json::as_object);
        let parameter = |schema: &Json| Parameter {
            kind: kind_of(schema).unwrap_or_default().to_owned(),
            nested: schema.get("items").and_then(kind_of).map(str::to_owned),
        };
        let parameters = properties.unwrap_or(&empty).iter();
        let required = function.pointer("/parameters/required").and_then(Json::as_array);
        let required = required.into_iter().flatten().filter_map(Json::as_str);
        Ok(Self {
            name: name.to_owned(),
            parameters: parameters.map(|(name, schema)| (name.clone(), parameter(schema))).collect(),
            required: required.map(str::to_owned).collect(),
        })
    }
}

/// OpenAI's form has the function inside.
fn bare(tool: &Json) -> &Json {
    tool.get("function").filter(|function| function.is_object()).unwrap_or(tool)
}

/// The type a schema names; of several the first.
fn kind_of(schema: &Json) -> Option<&str> {
    match schema.get("type")? {
        Json::Array(several) => several.iter().find_map(Json::as_str),
        one => one.as_str(),
    }
}

/// A function's name without dots, for families that cannot have them.
pub fn plain_name(name: &str) -> String {
    name.replace('.', "_")
}

/// Tools as chat templates take them.
pub fn openai(tools: &[Json], language: Language, plain_names: bool) -> Vec<Json> {
    tools
        .iter()
        .map(|tool| json!({"type": "function", "function": described(tool, language, plain_names)}))
        .collect()
}

fn described(tool: &Json, language: Language, plain_names: bool) -> Json {
    let mut function = bare(tool).clone();
    if let Some(name) = function.get("name").and_then(Json::as_str).filter(|_| plain_names).map(plain_name) {
        function["name"] = name.into();
    }
    if let Some(properties) = function.pointer_mut("/parameters/properties").and_then(Json::as_object_mut) {
        for schema in properties.values_mut() {
            match language {
                Language::Python => convert(schema),
                _ => as_source(schema, language),
            }
        }
    }
    if let Some(parameters) = function.get_mut("parameters").and_then(Json::as_object_mut) {
        parameters.insert("type".to_owned(), "object".into());
    }
    function
}

/// JSON schema's names for BFCL's types, all the way down.
fn convert(schema: &mut Json) {
    let Some(map) = schema.as_object_mut() else { return };
    if map.get("type").is_none_or(Json::is_string) {
        let kind = match map.get("type").and_then(Json::as_str).unwrap_or_default() {
            "float" | "number" | "double" => "number",
            "integer" => "integer",
            "boolean" | "bool" => "boolean",
            "array" | "tuple" | "list" => "array",
            "dict" | "object" => "object",
            _ => "string",
        };
        map.insert("type".to_owned(), kind.into());
    }
    if let Some(items) = map.get_mut("items") {
        convert(items);
    }
    for inner in map.get_mut("properties").and_then(Json::as_object_mut).into_iter().flat_map(Map::values_mut)
    {
        convert(inner);
    }
}

/// A parameter whose values are source text of another language.
fn as_source(schema: &mut Json, language: Language) {
    let kind = kind_of(schema).unwrap_or("any").to_owned();
    let of = schema.get("items").and_then(kind_of).map(|of| format!(" of {of}")).unwrap_or_default();
    let inside = schema.get("properties").map(|inside| format!(" with {inside}")).unwrap_or_default();
    let about = schema.get("description").and_then(Json::as_str).unwrap_or_default();
    let kind = if kind == "any" { "value of any type".to_owned() } else { kind };
    let about = format!("{about} ({} {kind}{of}{inside}, written as source text)", language.title());
    *schema = json!({"type": "string", "description": about.trim_start()});
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bfcl() -> Json {
        json!({"name": "math.area", "description": "Area", "parameters": {"type": "dict", "properties": {
            "base": {"type": "float", "description": "Base"},
            "points": {"type": "array", "items": {"type": "tuple", "items": {"type": "float"}}},
            "how": {"type": "dict", "properties": {"unit": {"type": "any"}}},
        }, "required": ["base"]}})
    }

    #[test]
    fn types_become_json_schema_s() {
        let [tool] = openai(&[bfcl()], Language::Python, true).try_into().expect("one");
        let function = &tool["function"];
        assert_eq!((tool["type"].as_str(), function["name"].as_str()), (Some("function"), Some("math_area")));
        assert_eq!(function["parameters"]["type"], "object");
        let properties = &function["parameters"]["properties"];
        assert_eq!(properties["base"]["type"], "number");
        assert_eq!(properties["points"]["items"], json!({"type": "array", "items": {"type": "number"}}));
        assert_eq!(properties["how"]["properties"]["unit"]["type"], "string");
        // What is in OpenAI's form stays in it.
        assert_eq!(openai(std::slice::from_ref(&tool), Language::Python, false), [tool]);
    }

    #[test]
    fn arguments_of_java_are_texts() {
        let tool = json!({"name": "f", "parameters": {"properties": {
            "a": {"type": "ArrayList", "description": "All.", "items": {"type": "String"}}, "b": {"type": "any"}}}});
        let [tool] = openai(&[tool], Language::Java, false).try_into().expect("one");
        let properties = &tool["function"]["parameters"]["properties"];
        assert_eq!(
            properties["a"],
            json!({"type": "string", "description": "All. (Java ArrayList of String, written as source text)"})
        );
        assert_eq!(properties["b"]["description"], "(Java value of any type, written as source text)");
    }

    #[test]
    fn functions_are_read_in_either_form() {
        let function = Function::read(&bfcl()).expect("read");
        assert_eq!(function.required, ["base"]);
        let points = Parameter { kind: "array".to_owned(), nested: Some("tuple".to_owned()) };
        assert_eq!(function.parameters["points"], points);
        let [tool] = openai(&[bfcl()], Language::Python, false).try_into().expect("one");
        assert_eq!(Function::read(&tool).expect("read").name, "math.area");
        assert!(Function::read(&json!({"parameters": {}})).is_err());
    }
}
