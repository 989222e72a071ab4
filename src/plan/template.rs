//! Prompt templates in jinja, as lm-eval's task files write them, over one row of data.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde_json::Value;

use crate::plan::error::PlanError;

/// A compiled template. Names that a row does not have are errors, not empty text.
#[derive(Debug)]
pub struct Template {
    environment: Environment<'static>,
    name: &'static str,
}

impl Template {
    /// Compiles `source`; `name` is the suite key it came from.
    pub fn new(name: &'static str, source: &str) -> Result<Self, PlanError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let mut syntax = SyntaxConfig::builder();
        syntax.keep_trailing_newline(true);
        environment.set_syntax(syntax.build().map_err(|error| wrong(&error, source, name))?);
        environment.set_unknown_method_callback(python_method);
        // A template of a stranger must not run for ever.
        environment.set_fuel(Some(100_000));
        environment
            .add_template_owned(name, source.to_owned())
            .map_err(|error| wrong(&error, source, name))?;
        Ok(Self { environment, name })
    }

    /// The text for one row.
    pub fn text(&self, row: &Value) -> Result<String, String> {
        self.environment
            .get_template(self.name)
            .and_then(|template| template.render(Serde(row)))
            .map_err(|error| format!("{} cannot be rendered: {error}", self.name))
    }

    /// The list of texts for one row: the template prints a JSON array (`{{ choices | tojson }}`).
    pub fn list(&self, row: &Value) -> Result<Vec<String>, String> {
        let text = self.text(row)?;
        serde_json::from_str(&text).map_err(|_| format!("{} is not a list of texts: {text:?}", self.name))
    }

    /// Which of so many choices are true: the template prints a JSON array of 0 and 1, or of false and true. At least
    /// one is, and at least one is not.
    pub fn labels(&self, row: &Value, choices: usize) -> Result<Vec<bool>, String> {
        let text = self.text(row)?;
        let labels: Vec<Label> = serde_json::from_str(&text)
            .map_err(|_| format!("{} is not a list of 0 and 1: {text:?}", self.name))?;
        let label = |label: &Label| match label {
            Label::Word(word) => *word,
            Label::Number(number) => *number != 0,
        };
        let labels: Vec<bool> = labels.iter().map(label).collect();
        if labels.len() != choices {
            return Err(format!("{} labels for {choices} choices", labels.len()));
        }
        if labels.iter().all(|l| *l) || !labels.contains(&true) {
            return Err("no choice is true, or all are".to_owned());
        }
        Ok(labels)
    }
}

/// A label of a choice: true or false, 1 or 0.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Label {
    Word(bool),
    Number(u8),
}

fn wrong(error: &Error, source: &str, name: &str) -> PlanError {
    PlanError::Missing {
        place: name.to_owned(),
        what: format!("the template does not compile: {error}"),
        hint: format!("it reads {source:?}"),
    }
}

/// `list.index(x)` and what else lm-eval's task files use of what jinja inherits from Python.
fn python_method(
    state: &mut State<'_, '_>,
    value: &minijinja::Value,
    method: &str,
    args: &[minijinja::Value],
) -> Result<minijinja::Value, Error> {
    match (value.kind(), method, args) {
        (ValueKind::Seq, "index", [wanted]) => {
            value.try_iter()?.position(|v| v == *wanted).map(minijinja::Value::from).ok_or_else(|| {
                Error::new(ErrorKind::InvalidOperation, format!("{wanted} is not in the list"))
            })
        }
        _ => unknown_method_callback(state, value, method, args),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_and_lists() {
        let row =
            json!({"question": "Why? ", "choices": ["a \"b\"", "<c>"], "labels": ["A", "B"], "answer": "B"});
        let text = Template::new("doc_to_text", "Q: {{ question }}\nA:").expect("compiles");
        assert_eq!(text.text(&row).as_deref(), Ok("Q: Why? \nA:"));
        let list = Template::new("doc_to_choice", "{{ choices | tojson }}").expect("compiles");
        assert_eq!(list.list(&row), Ok(vec!["a \"b\"".to_owned(), "<c>".to_owned()]));
    }

    #[test]
    fn a_missing_field_is_an_error() {
        let text = Template::new("doc_to_text", "{{ nope }}").expect("compiles");
        assert!(text.text(&json!({"a": 1})).is_err());
    }

    #[test]
    fn an_endless_template_ends() {
        let text = Template::new(
            "doc_to_text",
            "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}",
        );
        assert!(text.expect("compiles").text(&json!({})).is_err());
    }
}
