//! `doc_to_text`, `doc_to_choice` and `doc_to_target` as templates of a suite. lm-eval takes each as the name of a
//! field, as a jinja template or as a plain value; a suite knows templates.

use crate::plan::import::reading::{Reading, python};
use crate::plan::import::yaml::{Data, Node};

/// What a key of a prompt is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Said {
    /// The name of a field.
    Field(String),
    /// A template.
    Template(String),
    /// Texts, the same for every item.
    List(Vec<String>),
    /// A whole number.
    Number(i64),
}

/// A value as an expression of jinja, and what must stand in front of it.
struct Expression {
    before: String,
    value: String,
}

impl Said {
    /// Reads a key; what cannot be taken is refused.
    pub fn read(reading: &mut Reading<'_>, key: &str) -> Option<Self> {
        let node = reading.get(key)?;
        match Self::of(node) {
            Ok(said) => Some(said),
            Err(what) => {
                reading.refuse(key, Some(node), what);
                None
            }
        }
    }

    fn of(node: &Node) -> Result<Self, String> {
        let texts = |nodes: &mut dyn Iterator<Item = &Node>| {
            nodes.map(|node| node.text().map(str::to_owned)).collect::<Option<Vec<_>>>().ok_or_else(|| {
                "has entries that are not texts (words such as no and 1 need quotation marks)".to_owned()
            })
        };
        match &node.data {
            Data::Text(text) if is_name(text) => Ok(Self::Field(text.clone())),
            // A field with blanks in its name, or a text.
            Data::Text(text) if !text.is_empty() && !text.contains(['{', '[']) && !is_number(text) => {
                let text = serde_json::Value::from(text.as_str());
                Ok(Self::Template(format!("{{{{ doc.get({text}, {text}) }}}}")))
            }
            Data::Text(text) => Ok(Self::Template(text.clone())),
            Data::Integer(number) => Ok(Self::Number(*number)),
            Data::List(nodes) => texts(&mut nodes.iter()).map(Self::List),
            Data::Map(entries) => texts(&mut entries.iter().map(|(_, node)| node)).map(Self::List),
            Data::Function(name) => Err(python(name)),
            Data::Bool(_) | Data::Float(_) | Data::Null => {
                Err("is neither a field, a template nor a list of texts".to_owned())
            }
        }
    }

    /// The template of a question.
    pub fn question(&self) -> Option<String> {
        match self {
            Self::Field(name) => Some(format!("{{{{ {name} }}}}")),
            Self::Template(text) => Some(text.clone()),
            Self::List(_) | Self::Number(_) => None,
        }
    }

    /// The template of a list of choices.
    pub fn choices(&self) -> Option<String> {
        match self {
            Self::Field(name) => Some(format!("{{{{ {name} | tojson }}}}")),
            Self::Template(text) => Some(text.clone()),
            Self::List(texts) => {
                let json = json(texts);
                let is_plain = !["{{", "{%", "{#"].iter().any(|mark| json.contains(mark));
                Some(if is_plain { json } else { format!("{{{{ {json} | tojson }}}}") })
            }
            Self::Number(_) => None,
        }
    }

    /// The template of the index of the right choice.
    pub fn right_choice(&self, choices: &Said) -> Option<String> {
        let all = choices.expression("choices_")?;
        let index = |before: &str, value: &str, options: &str| {
            format!("{}{before}{{{{ {value} | index_in({}{options}) }}}}", all.before, all.value)
        };
        Some(match self {
            Self::Number(number) => number.to_string(),
            Self::Field(name) => index("", name, ""),
            Self::Template(text) => match single(text) {
                _ if !text.is_empty() && is_number(text) => text.clone(),
                // An index that the task looks up itself.
                Some(value) if value.contains(".index(") => text.clone(),
                Some(value) => index("", &format!("{} | string", grouped(value)), ", digits=true"),
                None => index(&set("target_", text), "target_", ", digits=true"),
            },
            Self::List(_) => return None,
        })
    }

    /// The template of a right answer that is written.
    pub fn right_answer(&self) -> Option<String> {
        match self {
            Self::Number(number) => Some(number.to_string()),
            Self::Field(name) => Some(format!("{{{{ {name} | one_text }}}}")),
            Self::Template(text) => Some(match single(text) {
                Some(value) => format!("{{{{ {} | one_text }}}}", grouped(value)),
                None => text.clone(),
            }),
            Self::List(_) => None,
        }
    }

    /// The same where it is one of the choices, by its index.
    pub fn right_answer_of(&self, choices: &Said) -> Option<String> {
        let all = choices.expression("")?;
        let index = match self {
            Self::Number(number) => number.to_string(),
            Self::Field(name) => format!("{name} | int"),
            Self::Template(text) => format!("{} | int", grouped(single(text)?)),
            Self::List(_) => return None,
        };
        all.before.is_empty().then(|| format!("{{{{ {}[{index}] }}}}", grouped(&all.value)))
    }

    /// The template of a list of the one continuation that there is.
    pub fn only_choice(&self) -> Option<String> {
        match self {
            Self::Field(name) => Some(format!("{{{{ [{name}] | tojson }}}}")),
            Self::Template(text) => Some(match single(text) {
                Some(value) => format!("{{{{ [{value}] | tojson }}}}"),
                None => format!("{}{{{{ [target_] | tojson }}}}", set("target_", text)),
            }),
            Self::List(_) | Self::Number(_) => None,
        }
    }

    fn expression(&self, name: &str) -> Option<Expression> {
        let bare = |value: String| Expression { before: String::new(), value };
        match self {
            Self::Field(name) => Some(bare(name.clone())),
            Self::List(texts) => Some(bare(json(texts))),
            Self::Template(text) => Some(match single(text) {
                Some(value) => bare(value.to_owned()),
                None => Expression { before: set(name, text), value: name.to_owned() },
            }),
            Self::Number(_) => None,
        }
    }
}

/// A prefix of the answer that stands behind the question, joined as lm-eval joins it: the question's new template.
pub(super) fn with_prefix(
    reading: &mut Reading<'_>,
    question: &str,
    delimiter: &str,
    fewshot: u32,
) -> Option<String> {
    let prefix = match reading.text("gen_prefix") {
        Some(prefix) if !prefix.is_empty() => prefix,
        _ => return None,
    };
    let node = reading.get("gen_prefix");
    let is_spaced = |c: Option<char>| c.is_some_and(char::is_whitespace);
    let ends_open = question.ends_with('}') || question.is_empty();
    if prefix.contains('{') || is_name(prefix) || (ends_open && !is_spaced(prefix.chars().next())) {
        reading.refuse("gen_prefix", node, "stands behind a question whose end is not known beforehand");
        return None;
    }
    let ends_spaced = is_spaced(prefix.chars().last());
    if fewshot > 0 && delimiter != if ends_spaced { "" } else { " " } {
        reading.refuse("gen_prefix", node, "is joined to examples otherwise than `target_delimiter` joins");
        return None;
    }
    let joined = is_spaced(question.chars().last()) || is_spaced(prefix.chars().next());
    Some(format!("{question}{}{prefix}", if joined { "" } else { delimiter }))
}

fn set(name: &str, template: &str) -> String {
    format!("{{% set {name} %}}{template}{{% endset %}}")
}

/// An expression that a filter may follow.
fn grouped(value: &str) -> String {
    if is_name(value) { value.to_owned() } else { format!("({value})") }
}

fn json(texts: &[String]) -> String {
    serde_json::to_string(texts).unwrap_or_default()
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_alphanumeric() || c == '_')
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

/// The expression of a template that is nothing but one.
fn single(template: &str) -> Option<&str> {
    let inside = template.strip_prefix("{{")?.strip_suffix("}}")?;
    let inside = inside.strip_prefix('-').unwrap_or(inside);
    let inside = inside.strip_suffix('-').unwrap_or(inside).trim();
    let is_one =
        !inside.is_empty() && !["{{", "}}", "{%", "%}", "{#", "#}"].iter().any(|m| inside.contains(m));
    is_one.then_some(inside)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::plan::template::Template;

    fn template(text: &str) -> Said {
        Said::Template(text.to_owned())
    }

    fn field(name: &str) -> Said {
        Said::Field(name.to_owned())
    }

    fn list(texts: &[&str]) -> Said {
        Said::List(texts.iter().map(|&t| t.to_owned()).collect())
    }

    fn row() -> Value {
        json!({"q": "Why?", "c": ["yes", "no"], "label": 1, "word": "no", "digit": "0", "a": "x", "b": "y"})
    }

    fn shown(source: &str) -> String {
        Template::new("doc_to_target", source).expect("compiles").text(&row()).expect(source)
    }

    #[test]
    fn the_right_choice_is_found_whatever_it_is() {
        for (choices, target, index) in [
            (field("c"), field("label"), "1"),
            (field("c"), field("word"), "1"),
            (list(&["no", "{{ braces }}"]), field("word"), "0"),
            (field("c"), Said::Number(1), "1"),
            (field("c"), template("1"), "1"),
            (field("c"), template("no"), "1"),
            (field("c"), template("{{label}}"), "1"),
            (field("c"), template("{{ digit }}"), "0"),
            (field("c"), template("{{c.index(word)}}"), "1"),
            (template("{{[a, word]}}"), template("{{ word }}"), "1"),
            (template("['{{a}}', 'n{{b}}']"), template("n{{b}}"), "1"),
            (template("{{c}}"), template("{% if label == 1 %}no{% endif %}"), "1"),
        ] {
            let source = target.right_choice(&choices).expect("there");
            assert_eq!(shown(&source), index, "{source}");
        }
        assert_eq!(list(&["a"]).right_choice(&field("c")), None);
    }

    #[test]
    fn answers_and_choices_are_templates() {
        assert_eq!(field("q").question().as_deref(), Some("{{ q }}"));
        assert_eq!(shown(&list(&["a{{", "\"b"]).choices().expect("there")), r#"["a{{", "\"b"]"#);
        for (source, text) in [
            (field("label").right_answer(), "1"),
            (template("{{a}}{{b}}").right_answer(), "xy"),
            (template("{{ b }}").right_answer(), "y"),
            (field("label").right_answer_of(&list(&["p", "q"])), "q"),
            (Said::Number(0).right_answer_of(&template("{{[a, b]}}")), "x"),
            (template("{{label}}").right_answer_of(&field("c")), "no"),
            (template(" {{a}}").only_choice(), r#"[" x"]"#),
            (template("{{' ' + a}}").only_choice(), r#"[" x"]"#),
            (field("a").only_choice(), r#"["x"]"#),
        ] {
            assert_eq!(shown(&source.expect("there")), text);
        }
    }
}
