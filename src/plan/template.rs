//! Prompt templates in jinja, as lm-eval's task files write them, over one row of data.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde_json::Value;

use crate::answers::pattern::Pattern;
use crate::plan::error::PlanError;
use crate::plan::literal;

/// Most words and signs of a tag.
const MOST_SIGNS: usize = 1000;
/// Most branches of a template.
const MOST_BRANCHES: usize = 200;

/// A compiled template. Names that a row does not have are errors, not empty text.
#[derive(Debug)]
pub struct Template {
    environment: Environment<'static>,
    name: &'static str,
}

impl Template {
    /// Compiles `source`; `name` is the suite key it came from.
    pub fn new(name: &'static str, source: &str) -> Result<Self, PlanError> {
        shallow(source).map_err(|what| PlanError::Missing {
            place: name.to_owned(),
            what: format!("the template does not compile: {what}"),
            hint: "write it in smaller steps".to_owned(),
        })?;
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let mut syntax = SyntaxConfig::builder();
        syntax.keep_trailing_newline(true);
        environment.set_syntax(syntax.build().map_err(|error| wrong(&error, source, name))?);
        environment.set_unknown_method_callback(python_method);
        environment.add_filter("regex_replace", regex_replace);
        environment.add_filter("index_in", index_in);
        environment.add_filter("one_text", one_text);
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
            .and_then(|template| template.render(context(row)))
            .map_err(|error| format!("{} cannot be rendered: {error}", self.name))
    }

    /// The list of texts for one row: the template prints a JSON array (`{{ choices | tojson }}`), or a list as Python
    /// writes it (`{{ choices }}`), as in lm-eval's task files.
    pub fn list(&self, row: &Value) -> Result<Vec<String>, String> {
        let text = self.text(row)?;
        listed(&text).ok_or_else(|| format!("{} is not a list of texts: {text:?}", self.name))
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

/// Refuses what would take the parser deeper than a stack goes: it follows each sign (`- - - 1`) and each branch by a call.
/// Templates in the wild have some dozens of either.
pub(super) fn shallow(source: &str) -> Result<(), String> {
    let mut rest = source;
    let mut branches = 0;
    while let Some((_, inside)) = rest.split_once('{') {
        rest = inside;
        let Some(mark @ ('{' | '%')) = inside.chars().next() else { continue };
        let (signs, words, behind) =
            tag(inside.get(1..).unwrap_or_default(), if mark == '{' { "}}" } else { "%}" });
        branches += words;
        if signs > MOST_SIGNS || branches > MOST_BRANCHES {
            return Err(format!(
                "it has more than {MOST_SIGNS} words and signs between two braces, or more than {MOST_BRANCHES} branches"
            ));
        }
        rest = behind;
    }
    Ok(())
}

/// Words and signs of a tag, texts counting as one, how many of them are `elif`, and what stands behind its end.
fn tag<'t>(text: &'t str, end: &str) -> (usize, usize, &'t str) {
    let (mut signs, mut branches, mut rest) = (0, 0, text);
    while let Some(first) = rest.chars().next() {
        if let Some(behind) = rest.strip_prefix(end) {
            return (signs, branches, behind);
        }
        signs += usize::from(!first.is_whitespace());
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let length = match first {
            '"' | '\'' => quoted(rest, first),
            c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        let (word, behind) = rest.split_at_checked(length).unwrap_or((rest, ""));
        branches += usize::from(word == "elif");
        rest = behind;
    }
    (signs, branches, "")
}

/// Bytes of a text in quotation marks at the beginning.
fn quoted(text: &str, mark: char) -> usize {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|(_, c)| {
        let ends = *c == mark && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

/// A label of a choice: true or false, 1 or 0.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Label {
    Word(bool),
    Number(u8),
}

/// The fields of a row by their names, and the row as `doc`, for fields whose names are none of jinja's.
fn context(row: &Value) -> minijinja::Value {
    let row = minijinja::Value::from(Serde(row));
    minijinja::context! { ..row.clone(), ..minijinja::context! { doc => row } }
}

fn listed(text: &str) -> Option<Vec<String>> {
    serde_json::from_str(text).ok().or_else(|| literal::texts(text))
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

fn failed(message: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

/// lm-eval's filter: `re.sub(pattern, replacement, text, count)`.
#[expect(clippy::needless_pass_by_value, reason = "a filter takes its arguments so")]
fn regex_replace(
    text: String,
    pattern: String,
    replacement: String,
    count: Option<usize>,
) -> Result<String, Error> {
    Pattern::new(&pattern)
        .and_then(|pattern| pattern.replace(&text, &replacement, count.unwrap_or(0)))
        .map_err(|error| failed(error.to_string()))
}

/// The index of the right choice, as lm-eval finds it: an index stays, a text is looked up among the choices. With
/// `digits` a text of nothing but digits is an index too: so lm-eval reads what a template prints, and not what a
/// field holds.
#[expect(clippy::needless_pass_by_value, reason = "a filter takes its arguments so")]
fn index_in(
    right: minijinja::Value,
    choices: minijinja::Value,
    options: Kwargs,
) -> Result<minijinja::Value, Error> {
    let digits = options.get::<Option<bool>>("digits")?.unwrap_or(false);
    options.assert_all_used()?;
    let text = match right.kind() {
        ValueKind::Number => return Ok(right),
        ValueKind::Bool => return Ok(minijinja::Value::from(i64::from(right.is_true()))),
        ValueKind::String => right.to_string(),
        kind => {
            return Err(failed(format!(
                "the right choice is a {kind}, neither a text nor an index: {right}"
            )));
        }
    };
    if digits && !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(minijinja::Value::from(text));
    }
    let choices = texts_of(&choices)?;
    choices
        .iter()
        .position(|choice| *choice == text)
        .map(minijinja::Value::from)
        .ok_or_else(|| failed(format!("{text:?} is not among the choices {choices:?}")))
}

fn texts_of(choices: &minijinja::Value) -> Result<Vec<String>, Error> {
    match choices.as_str() {
        Some(text) => listed(text).ok_or_else(|| failed(format!("{text:?} is not a list of texts"))),
        None => Ok(choices.try_iter()?.map(|choice| choice.to_string()).collect()),
    }
}

/// A right answer that is a text. Where lm-eval has a list of right answers, this takes a list of one.
fn one_text(right: minijinja::Value) -> Result<minijinja::Value, Error> {
    let several = match (right.kind(), right.as_str().and_then(literal::texts)) {
        (_, Some(texts)) => texts.into_iter().map(minijinja::Value::from).collect(),
        (ValueKind::Seq, None) => right.try_iter()?.collect::<Vec<_>>(),
        _ => return Ok(right),
    };
    match several.as_slice() {
        [only] => Ok(only.clone()),
        _ => Err(failed(format!("{right} are {} right answers, and there can be one", several.len()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_template_that_goes_too_deep_is_refused_before_it_is_parsed() {
        let deep = [
            format!("{{{{ {}1 }}}}", "-".repeat(20_000)),
            format!("{{{{ {}1 }}}}", "not ".repeat(20_000)),
            format!("{{% if a %}}{}{{% endif %}}", "{% elif a %}".repeat(20_000)),
            format!("{{{{ 1{} }}}}", " + 1".repeat(20_000)),
        ];
        for source in deep {
            assert!(Template::new("doc_to_text", &source).is_err());
        }
        // Texts count once, and what is no tag does not.
        let long =
            format!("{{{{ '{}' ~ \"{}\" }}}}{}", "-\\'".repeat(3000), "+".repeat(3000), "--{ }".repeat(3000));
        assert_eq!(shallow(&long), Ok(()));
    }

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

    fn rendered(source: &str, row: &Value) -> Result<String, String> {
        Template::new("doc_to_target", source).expect("compiles").text(row)
    }

    #[test]
    fn a_field_of_any_name_is_reached_through_the_row() {
        let row = json!({"Answer Key": "B", "é": 1});
        assert_eq!(
            rendered("{{ doc['Answer Key'] }}{{ doc.get('x', 'y') }}{{ é }}", &row).as_deref(),
            Ok("By1")
        );
        assert_eq!(rendered("{{ doc }}", &json!({"doc": "mine"})).as_deref(), Ok("mine"));
        assert!(rendered("{{ nope }}", &row).is_err());
    }

    #[test]
    fn lists_may_be_pythons() {
        let row = json!({"good": "it's \"so\"\n", "bad": "<no> é", "n": 3});
        for source in ["{{[good, bad]}}", "{{ [good, bad] | tojson }}", r#"['''it's "so"\n''', '<no> é']"#] {
            let list = Template::new("doc_to_choice", source).expect("compiles").list(&row);
            assert_eq!(list, Ok(vec!["it's \"so\"\n".to_owned(), "<no> é".to_owned()]), "{source}");
        }
        assert!(Template::new("doc_to_choice", "{{ [n] }}").expect("compiles").list(&row).is_err());
    }

    #[test]
    fn the_right_choice_is_an_index_or_a_text() {
        let row =
            json!({"i": 1, "t": "no", "d": "1", "b": true, "c": ["yes", "no", "1"], "l": ["yes"], "x": "?"});
        for (source, expected) in [
            ("{{ i | index_in(c) }}", "1"),
            ("{{ t | index_in(c) }}", "1"),
            ("{{ b | index_in(c) }}", "1"),
            ("{{ d | index_in(c) }}", "2"),
            ("{{ d | index_in(c, digits=true) }}", "1"),
            ("{{ t | index_in('[\"a\", \"no\"]') }}", "1"),
        ] {
            assert_eq!(rendered(source, &row).as_deref(), Ok(expected), "{source}");
        }
        for (source, says) in [
            ("{{ x | index_in(c) }}", "\"?\" is not among the choices"),
            ("{{ l | index_in(c) }}", "neither a text nor an index"),
            ("{{ t | index_in(c, digit=true) }}", "digit"),
        ] {
            let error = rendered(source, &row).expect_err(source);
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn of_right_answers_there_is_one() {
        let row = json!({"a": ["x"], "b": ["x", "y"], "t": "[x]", "n": 3, "p": "['z']"});
        for (source, expected) in [
            ("{{ a | one_text }}", "x"),
            ("{{ t | one_text }}", "[x]"),
            ("{{ n | one_text }}", "3"),
            ("{{ p | one_text }}", "z"),
        ] {
            assert_eq!(rendered(source, &row).as_deref(), Ok(expected), "{source}");
        }
        assert!(rendered("{{ b | one_text }}", &row).expect_err("two").contains("2 right answers"));
    }

    #[test]
    fn what_task_files_use_of_python_is_there() {
        let row =
            json!({"s": " a-b c ", "l": ["p", "q"], "yes": true, "no": null, "f": 1.0, "o": {"k": [1, 2]}});
        for (source, expected) in [
            ("{{ s.strip().split('-')[1:] }}", "['b c']"),
            ("{{ s.lstrip() ~ s.rstrip() }}", "a-b c  a-b c"),
            (r"{{ s | regex_replace('(\\w)-(\\w)', '\\2_\\g<1>') }}", " b_a c "),
            ("{{ ', '.join(l) + '!' }}", "p, q!"),
            ("{{ yes }} {{ no }} {{ f }} {{ l }} {{ o.k }}", "True None 1.0 ['p', 'q'] [1, 2]"),
            ("{% for x in l %}{{ loop.index }}{{ 'AB'[loop.index0] }}{% endfor %}", "1A2B"),
            ("{{ 'x' if no is none else 'y' }}{{ range(3) | list | length }}", "x3"),
            (
                "{{ s.replace('a', '').capitalize() }}|{{ l + ['r'] }}|{{ s[2:4] }}",
                " -b c |['p', 'q', 'r']|-b",
            ),
            ("{{ ['A', 'B'].index('B') }}{{ l.index('q') }}{{ l[-1] }}", "11q"),
        ] {
            assert_eq!(rendered(source, &row).as_deref(), Ok(expected), "{source}");
        }
    }
}
