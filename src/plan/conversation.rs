//! Conversations with tools: the messages of a suite's item, and how they and the tools are put to a model. Where the
//! base's chat template has a place for tools they stand there; where it has none they are described in the system's
//! message, as BFCL does with models that were not trained on tools (its "prompting" mode), in words of our own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::answers::calls::expected::Reference;
use crate::answers::calls::format::Format;
use crate::answers::calls::schema;
use crate::answers::calls::value::{Call, Value as Argument};
use crate::plan::chat::ChatTemplate;

/// What is said in front of functions where a chat template has no place for them.
const ASKED_FOR: &str = "You can call functions. Answer a request that they can serve with calls and nothing else, in a \
    list like this: [first_function(argument=value, other=value), second_function(argument=value)]. Texts stand in \
    quotation marks. Where no function fits, or an argument that is needed is not known, say so in words.\n\n\
    The functions, in JSON:\n";

/// A turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// What is said; of a tool, its result.
    #[serde(default, deserialize_with = "text_or_null")]
    pub content: String,
    /// What the assistant calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<Called>,
}

/// A call in a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Called {
    /// The function.
    pub name: String,
    /// Its arguments.
    #[serde(default)]
    pub arguments: Map<String, Value>,
}

/// How calls are asked for and written: `"auto"`, `"prompted"`, or a format's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum CallStyle {
    /// As the base's chat template tells.
    #[default]
    Auto,
    /// In words of our own, even where the chat template has a place for tools.
    Prompted,
    /// By the chat template, and written so.
    As(Format),
}

impl CallStyle {
    /// Whether it is what suites have that say nothing of it.
    pub fn is_default(&self) -> bool {
        *self == Self::Auto
    }
}

impl TryFrom<String> for CallStyle {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "auto" => Ok(Self::Auto),
            "prompted" => Ok(Self::Prompted),
            name => serde_json::from_value(name.into()).map(Self::As).map_err(|_| {
                format!(
                    "{text:?} is no format of calls: \"auto\", \"prompted\", \"hermes\", \"qwen_xml\", \"glm\", \"llama\", \
                     \"mistral\", \"deepseek\", \"kimi\", \"harmony\", \"function_tag\", \"tool_code\", \"pythonic\" or \"json\""
                )
            }),
        }
    }
}

impl From<CallStyle> for String {
    fn from(style: CallStyle) -> Self {
        match style {
            CallStyle::Auto => "auto",
            CallStyle::Prompted => "prompted",
            CallStyle::As(format) => format.name(),
        }
        .to_owned()
    }
}

/// Some data sets have `null` where nothing is said.
fn text_or_null<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Message {
    /// Something said.
    pub fn new(role: &str, content: impl Into<String>) -> Self {
        Self { role: role.to_owned(), content: content.into(), tool_calls: Vec::new() }
    }
}

/// The messages that a template printed.
pub(super) fn messages(text: &str) -> Result<Vec<Message>, String> {
    let messages: Vec<Message> = serde_json::from_str(text)
        .map_err(|error| format!("doc_to_messages is not a list of messages: {error}"))?;
    let roles = ["system", "user", "assistant", "tool"];
    if let Some(message) = messages.iter().find(|message| !roles.contains(&message.role.as_str())) {
        return Err(format!("doc_to_messages has the role {:?}, which is none of {roles:?}", message.role));
    }
    if messages.is_empty() {
        return Err("doc_to_messages is an empty list".to_owned());
    }
    Ok(messages)
}

/// What an answer with calls is graded by: the tools that one template printed, and what is right, that another did.
pub(super) fn reference(tools: &str, target: &str) -> Result<String, String> {
    let tools: Vec<Value> = serde_json::from_str(tools)
        .map_err(|error| format!("doc_to_tools is not a list of tools: {error}"))?;
    let mut target: Map<String, Value> = serde_json::from_str(target)
        .map_err(|error| format!("doc_to_target is not what calls are graded by: {error}"))?;
    target.insert("tools".to_owned(), tools.into());
    let reference = Value::Object(target).to_string();
    Reference::read(&reference, false).map_err(|error| format!("{error} (hint: {})", error.hint()))?;
    Ok(reference)
}

/// The tools of a reference, as JSON; empty where it has none.
pub fn tools(reference: &str) -> String {
    let reference: Value = serde_json::from_str(reference).unwrap_or_default();
    reference.get("tools").map(ToString::to_string).unwrap_or_default()
}

/// How a base is told of tools.
#[derive(Debug)]
pub struct Toolbox<'a> {
    template: &'a ChatTemplate,
    args: &'a BTreeMap<String, Value>,
    /// How the base writes calls.
    pub format: Format,
    /// Whether the tools are described in words of ours.
    pub prompted: bool,
}

impl<'a> Toolbox<'a> {
    /// For a chat template and its source.
    pub fn new(
        template: &'a ChatTemplate,
        source: &str,
        args: &'a BTreeMap<String, Value>,
        style: CallStyle,
    ) -> Self {
        let prompted = match style {
            CallStyle::Auto => !shows_tools(template, args),
            CallStyle::Prompted => true,
            CallStyle::As(_) => false,
        };
        let format = match style {
            CallStyle::As(format) => format,
            _ if prompted => Format::Pythonic,
            _ => Format::of(source),
        };
        Self { template, args, format, prompted }
    }

    /// What a model reads that has these messages, and the tools of this reference.
    ///
    /// # Errors
    /// If the reference is none, or the template cannot render it.
    pub fn prompt(&self, messages: &[Message], reference: &str) -> Result<String, String> {
        let Reference { tools, language, .. } =
            Reference::read(reference, false).map_err(|error| error.to_string())?;
        let tools = schema::openai(&tools, language, self.format.plain_names());
        if self.prompted {
            return self.in_words(messages, &tools);
        }
        let with =
            |as_text| self.template.prompt(&templated(messages, as_text, self.format), &tools, self.args);
        // Templates disagree whether a call's arguments are an object or its JSON.
        with(false).or_else(|error| {
            let has_calls = messages.iter().any(|message| !message.tool_calls.is_empty());
            if has_calls { with(true).map_err(|_| error) } else { Err(error) }
        })
    }

    fn in_words(&self, messages: &[Message], tools: &[Value]) -> Result<String, String> {
        let with = |role| self.template.prompt(&worded(messages, tools, role), &[], self.args);
        // Some templates have no place for a system's message.
        with("system").or_else(|error| with("user").map_err(|_| error))
    }
}

/// Messages with the tools described in what this role says first.
fn worded(messages: &[Message], tools: &[Value], role: &str) -> Vec<Message> {
    let functions: Vec<&Value> = tools.iter().filter_map(|tool| tool.get("function")).collect();
    // Values print themselves as JSON.
    let functions: Vec<String> = functions.into_iter().map(Value::to_string).collect();
    said_first(&as_text(messages), role, &format!("{ASKED_FOR}[{}]", functions.join(",")))
}

/// Whether it says something else with tools than without. Where it fails on one, items tell.
fn shows_tools(template: &ChatTemplate, args: &BTreeMap<String, Value>) -> bool {
    let hello = [Message::new("user", "Hello")];
    let tool = json!({"type": "function", "function": {"name": "probe", "description": "Probe", "parameters":
        {"type": "object", "properties": {"a": {"type": "string", "description": "A"}}, "required": ["a"]}}});
    let with = template.prompt(&hello, &[tool], args);
    with.is_err() || with != template.prompt(&hello, &[], args)
}

/// Messages as OpenAI's interface takes them, arguments as text and names of functions without dots.
pub fn api_messages(messages: &[Message]) -> Vec<Value> {
    templated(messages, true, Format::Mistral)
}

/// The same with the tools described in words, for a suite whose calls are `"prompted"`.
pub fn api_worded(messages: &[Message], tools: &[Value]) -> Vec<Value> {
    api_messages(&worded(messages, tools, "system"))
}

/// Messages as chat templates take them: calls in OpenAI's form, each with an id that its result repeats.
fn templated(messages: &[Message], as_text: bool, format: Format) -> Vec<Value> {
    let mut open: Vec<(String, String)> = Vec::new();
    let mut count = 0;
    let one = |message: &Message| {
        let mut out = json!({"role": message.role, "content": message.content});
        if message.role == "tool" && !open.is_empty() {
            let (id, name) = open.remove(0);
            out["tool_call_id"] = id.into();
            out["name"] = name.into();
        }
        let calls = message.tool_calls.iter().map(|call| {
            count += 1;
            // Mistral's templates want nine letters and digits.
            let id = format!("call{count:05}");
            let name = if format.plain_names() { schema::plain_name(&call.name) } else { call.name.clone() };
            open.push((id.clone(), name.clone()));
            let arguments = Value::Object(call.arguments.clone());
            let arguments = if as_text { arguments.to_string().into() } else { arguments };
            json!({"type": "function", "id": id, "function": {"name": name, "arguments": arguments}})
        });
        let calls: Vec<Value> = calls.collect();
        if !calls.is_empty() {
            out["tool_calls"] = calls.into();
        }
        out
    };
    messages.iter().map(one).collect()
}

/// Messages for a template that knows of no tools: calls as they are asked for, results as what the user says.
fn as_text(messages: &[Message]) -> Vec<Message> {
    let mut out: Vec<Message> = Vec::new();
    let mut after_result = false;
    for message in messages {
        let is_result = message.role == "tool";
        let said = match (is_result, message.tool_calls.as_slice()) {
            (true, _) => Message::new("user", format!("Result: {}", message.content)),
            (false, []) => Message::new(&message.role, message.content.as_str()),
            (false, calls) => {
                let calls: Vec<String> = calls.iter().map(written).collect();
                Message::new(&message.role, format!("[{}]", calls.join(", ")))
            }
        };
        match out.last_mut() {
            Some(last) if is_result && after_result => {
                last.content = format!("{}\n{}", last.content, said.content);
            }
            _ => out.push(said),
        }
        after_result = is_result;
    }
    out
}

/// A call in Python's notation.
fn written(call: &Called) -> String {
    let arguments = call.arguments.iter().map(|(name, value)| (name.clone(), Argument::of(value)));
    Call { name: call.name.clone(), arguments: arguments.collect() }.to_string()
}

/// Says something in front of all: before what the first message of this role says, or in a message of its own.
fn said_first(messages: &[Message], role: &str, said: &str) -> Vec<Message> {
    let mut messages = messages.to_vec();
    match messages.iter_mut().find(|message| message.role == role) {
        Some(first) => first.content = format!("{said}\n\n{}", first.content),
        None => messages.insert(0, Message::new(role, said)),
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFERENCE: &str = r#"{"tools": [{"name": "a.f", "description": "F", "parameters": {"type": "dict",
        "properties": {"x": {"type": "float"}}, "required": ["x"]}}], "calls": []}"#;
    const TALK: &str = r#"[{"role": "user", "content": "Do."},
        {"role": "assistant", "content": null, "tool_calls": [{"name": "a.f", "arguments": {"x": 1.5}}]},
        {"role": "tool", "content": "7"}, {"role": "user", "content": "And?"}]"#;
    const KNOWS: &str = "{% for t in tools %}<tool_call>{{ t.function.name }}:{{ t.function.parameters.properties.x.type }}\n\
        {% endfor %}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% for c in m.tool_calls or [] %}\
        {{ c.id }} {{ c.function.name }} {{ c.function.arguments | tojson }}{% endfor %}\
        {% if m.tool_call_id %} for {{ m.tool_call_id }}{% endif %}{% endfor %}";
    const PLAIN: &str = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}";

    fn prompt(template: &str, style: CallStyle) -> (String, Format, bool) {
        let compiled = ChatTemplate::new(template, "<s>", "</s>").expect("compiles");
        let args = BTreeMap::new();
        let toolbox = Toolbox::new(&compiled, template, &args, style);
        let prompt = toolbox.prompt(&messages(TALK).expect("messages"), REFERENCE).expect("rendered");
        (prompt, toolbox.format, toolbox.prompted)
    }

    #[test]
    fn a_template_with_a_place_for_tools_is_given_them() {
        let (text, format, prompted) = prompt(KNOWS, CallStyle::Auto);
        assert_eq!((format, prompted), (Format::Hermes, false));
        let expected = "<tool_call>a.f:number\n[user]Do.[assistant]call00001 a.f {\"x\": 1.5}[tool]7 for call00001[user]And?";
        assert_eq!(text, expected);
        let (text, ..) = prompt(KNOWS, CallStyle::As(Format::Mistral));
        assert!(text.starts_with("<tool_call>a_f:number") && text.contains("call00001 a_f "), "{text}");
    }

    #[test]
    fn elsewhere_tools_are_described_in_words() {
        let (text, format, prompted) = prompt(PLAIN, CallStyle::Auto);
        assert_eq!((format, prompted), (Format::Pythonic, true));
        assert!(text.starts_with("[system]You can call functions."), "{text}");
        assert!(text.contains("\"name\":\"a.f\"") && text.contains("\"type\":\"number\""), "{text}");
        assert!(text.ends_with("[user]Do.[assistant][a.f(x=1.5)][user]Result: 7[user]And?"), "{text}");
        assert!(prompt(KNOWS, CallStyle::Prompted).2);
        let no_system = "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no') }}{% endif %}\
            [{{ m.role }}]{{ m.content }}{% endfor %}";
        assert!(prompt(no_system, CallStyle::Auto).0.starts_with("[user]You can call functions."));
    }

    #[test]
    fn arguments_are_texts_where_a_template_wants_texts() {
        let joins = "{% if tools %}T{% endif %}{% for m in messages %}{% for c in m.tool_calls or [] %}\
            {{ c.function.arguments.strip() }}{% endfor %}{% endfor %}";
        assert_eq!(prompt(joins, CallStyle::Auto).0, "T{\"x\":1.5}");
    }

    #[test]
    fn what_cannot_be_rendered_says_why() {
        let source = "{% if tools %}{{ raise_exception('no tools here') }}{% endif %}";
        let compiled = ChatTemplate::new(source, "", "").expect("compiles");
        let args = BTreeMap::new();
        let toolbox = Toolbox::new(&compiled, source, &args, CallStyle::Auto);
        let asked = messages(TALK).expect("messages");
        assert!(toolbox.prompt(&asked, REFERENCE).expect_err("refused").contains("no tools here"));
        assert!(toolbox.prompt(&asked, "{}").is_err());
    }

    #[test]
    fn styles_and_messages_are_checked() {
        for text in ["auto", "prompted", "hermes", "deepseek"] {
            let style = CallStyle::try_from(text.to_owned()).expect(text);
            assert_eq!(String::from(style), text);
        }
        assert!(CallStyle::try_from("loud".to_owned()).expect_err("none").contains("\"qwen_xml\""));
        for (text, says) in [
            ("[]", "an empty list"),
            ("{}", "not a list of messages"),
            (r#"[{"role": "judge", "content": "x"}]"#, "the role \"judge\""),
            (r#"[{"role": "user", "content": "x", "calls": []}]"#, "calls"),
        ] {
            let error = messages(text).expect_err(text);
            assert!(error.contains(says), "{error}");
        }
        assert!(reference("{}", "{}").expect_err("tools").contains("doc_to_tools"));
        assert!(reference("[]", "5").expect_err("target").contains("doc_to_target"));
        let both = reference(r#"[{"name": "f"}]"#, r#"{"calls": []}"#).expect("read");
        assert_eq!(tools(&both), r#"[{"name":"f"}]"#);
        assert!(reference("[]", "{}").expect_err("nothing").contains("it needs one of"));
    }
}
