//! Conversations rendered by a model's own chat template, as the model saw them when it was tuned. A template is a
//! stranger's program: its steps and its output are bounded here, and the worker that runs it bounds its memory.
//!
//! The dialect is that of Hugging Face's `apply_chat_template`: jinja with `trim_blocks` and `lstrip_blocks`,
//! Python's string methods, `raise_exception`, `strftime_now` (a fixed day, so that a text stays the same from day
//! to day), `tojson` as Python writes JSON, and no generation prompt.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use jiff::civil::date;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Value, context};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde::{Deserialize, Serialize};
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

use crate::plan::error::PlanError;
use crate::plan::template::shallow;

/// Steps a template may take for one conversation.
const FUEL: u64 = 1_000_000;
/// Bytes that one conversation may become.
const LONGEST: usize = 16 << 20;
/// Name of the template in messages.
const NAME: &str = "chat_template";

/// A line of a file of conversations. What else stands in it is left alone.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Line {
    Object { messages: Vec<Value>, tools: Option<Value> },
    Messages(Vec<Value>),
}

/// A compiled chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

impl ChatTemplate {
    /// Compiles a template for a vocabulary with these tokens at the beginning and the end of a text.
    pub fn new(source: &str, bos: &str, eos: &str) -> Result<Self, String> {
        shallow(source).map_err(|what| format!("it does not compile: {what}"))?;
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| error.to_string())?);
        environment.set_unknown_method_callback(unknown_method_callback);
        environment.set_fuel(Some(FUEL));
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", strftime_now);
        environment.add_filter("tojson", python_json);
        environment
            .add_template_owned(NAME, without_generation_tags(source))
            .map_err(|error| format!("it does not compile: {error}"))?;
        Ok(Self { environment, bos: bos.to_owned(), eos: eos.to_owned() })
    }

    /// The text of one conversation.
    fn text(&self, messages: &[Value], tools: Option<&Value>) -> Result<String, String> {
        self.rendered(context! {
            messages => messages,
            tools => tools.cloned().unwrap_or_else(|| Value::from(())),
            add_generation_prompt => false,
        })
    }

    /// The text that the model is to answer: messages, the tools that it may call, and the beginning of the answer.
    /// `args` are what the template is told besides, such as `enable_thinking`.
    pub fn prompt<M: Serialize>(
        &self,
        messages: &[M],
        tools: &[serde_json::Value],
        args: &BTreeMap<String, serde_json::Value>,
    ) -> Result<String, String> {
        self.rendered(context! {
            messages => Value::from(Serde(messages)),
            tools => if tools.is_empty() { Value::from(()) } else { Value::from(Serde(tools)) },
            add_generation_prompt => true,
            ..Value::from(Serde(args))
        })
    }

    fn rendered(&self, said: Value) -> Result<String, String> {
        let context = context! {
            documents => (),
            bos_token => self.bos.as_str(),
            eos_token => self.eos.as_str(),
            ..said
        };
        let mut out = Bounded(Vec::new());
        let template = self.environment.get_template(NAME).map_err(|error| error.to_string())?;
        template.render_captured_to(context, &mut out).map_err(|error| error.to_string())?;
        String::from_utf8(out.0).map_err(|error| error.to_string())
    }
}

/// Renders a file of conversations, one a line, one after another.
pub fn render(path: &Path, lines: &str, template: &ChatTemplate) -> Result<String, PlanError> {
    let mut out = String::new();
    for (number, line) in lines.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let bad = |message| PlanError::Data { path: path.to_owned(), line: number + 1, message };
        let (messages, tools) = conversation(line).map_err(bad)?;
        out += &template
            .text(&messages, tools.as_ref())
            .map_err(|error| bad(format!("the model's chat template cannot render it: {error}")))?;
    }
    Ok(out)
}

fn conversation(line: &str) -> Result<(Vec<Value>, Option<Value>), String> {
    let expected =
        "a conversation is {\"messages\": [{\"role\": ..., \"content\": ...}, ...]} or the bare list";
    let (messages, tools) = match serde_json::from_str(line) {
        Ok(Line::Object { messages, tools }) => (messages, tools),
        Ok(Line::Messages(messages)) => (messages, None),
        Err(error) if error.is_data() => return Err(expected.to_owned()),
        Err(error) => return Err(format!("not valid JSON: {error}")),
    };
    let has_role = |message: &Value| {
        message.kind() == ValueKind::Map && message.get_attr("role").is_ok_and(|role| role.as_str().is_some())
    };
    if messages.is_empty() || !messages.iter().all(has_role) {
        return Err(expected.to_owned());
    }
    Ok((messages, tools))
}

/// `{% generation %}` marks what a model is trained on and prints nothing; it becomes a condition that holds.
fn without_generation_tags(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some((before, (inside, after))) =
        rest.split_once("{%").and_then(|(before, tag)| Some((before, tag.split_once("%}")?)))
    {
        let word = inside.trim_matches(|c: char| c == '-' || c == '+' || c.is_whitespace());
        let inside = match word {
            "generation" => inside.replace(word, "if true"),
            "endgeneration" => inside.replace(word, "endif"),
            _ => inside.to_owned(),
        };
        out.extend([before, "{%", &inside, "%}"]);
        rest = after;
    }
    out + rest
}

fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

/// The day that Llama 3's templates name where no clock is given.
fn strftime_now(format: &str) -> Result<String, Error> {
    let day = date(2024, 7, 26).at(12, 0, 0, 0);
    jiff::fmt::strtime::format(format, day)
        .map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))
}

/// JSON as Python's `json.dumps(..., ensure_ascii=False)` writes it.
#[expect(clippy::needless_pass_by_value, reason = "a filter takes its arguments so")]
fn python_json(value: Value, options: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let failed = |error: serde_json::Error| Error::new(ErrorKind::BadSerialization, error.to_string());
    let mut out = Vec::new();
    match indent {
        Some(width) => {
            let indent = " ".repeat(width.min(16));
            let mut json =
                Serializer::with_formatter(&mut out, PrettyFormatter::with_indent(indent.as_bytes()));
            value.serialize(&mut json).map_err(failed)?;
        }
        None => value.serialize(&mut Serializer::with_formatter(&mut out, Spaced)).map_err(failed)?,
    }
    Ok(Value::from_safe_string(String::from_utf8_lossy(&out).into_owned()))
}

/// A space after each comma and colon.
struct Spaced;

impl Spaced {
    fn comma<W: ?Sized + Write>(writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }
}

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        Self::comma(writer, first)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        Self::comma(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

/// Output that ends in an error where it grows too long.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > LONGEST {
            return Err(io::Error::other(format!("the text grows beyond {LONGEST} bytes")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::conversation::Message;

    /// The template in SmolLM2-135M-Instruct's GGUF.
    const SMOLLM2: &str = "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}\
        {{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}\
        {% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}\
        {% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

    fn rendered(template: &str, lines: &str) -> Result<String, PlanError> {
        let template = ChatTemplate::new(template, "<s>", "</s>").expect("compiles");
        render(Path::new("c.jsonl"), lines, &template)
    }

    fn hello(template: &str) -> Result<String, PlanError> {
        rendered(
            template,
            r#"[{"role": "user", "content": " Hello "}, {"role": "assistant", "content": "Hi"}]"#,
        )
    }

    #[test]
    fn smollm2_s_own_template() {
        let lines = r#"
            {"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}], "id": 7}
            [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "{{ 1 }}"}]"#;
        let expected = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging \
                        Face<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\nSo.<|im_end|>\n\
                        <|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n{{ 1 }}<|im_end|>\n";
        assert_eq!(rendered(SMOLLM2, lines).expect("rendered"), expected);
    }

    #[test]
    fn a_prompt_ends_where_the_answer_begins() {
        let template = ChatTemplate::new(SMOLLM2, "<s>", "</s>").expect("compiles");
        let asked = [Message::new("user", "Why?")];
        let prompt = template.prompt(&asked, &[], &BTreeMap::new()).expect("rendered");
        assert!(prompt.ends_with("<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"), "{prompt}");
        let told = "{{ bos_token }}{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}";
        let template = ChatTemplate::new(told, "<s>", "</s>").expect("compiles");
        let args = BTreeMap::from([("enable_thinking".to_owned(), false.into())]);
        assert_eq!(template.prompt(&asked, &[], &args).expect("rendered"), "<s><think></think>");
        assert_eq!(template.prompt(&asked, &[], &BTreeMap::new()).expect("rendered"), "<s>");
    }

    #[test]
    fn what_templates_in_the_wild_use() {
        let blocks = "{%- for m in messages %}\n    {%- if m.role == 'user' %}\n        {{- '[INST]' + m['content'].strip() \
                      + '[/INST]' }}\n    {%- else %}\n        {%- generation %}{{ m.content }}{{ eos_token }}\
                      {% endgeneration %}\n    {%- endif %}\n{%- endfor %}\n";
        assert_eq!(hello(blocks).expect("rendered"), "[INST]Hello[/INST]Hi</s>");
        // A line with nothing but a block leaves nothing: trim_blocks and lstrip_blocks.
        let lines = "{{ bos_token }}\n  {% if tools %}\nno\n  {% endif %}\n{{ messages | length }}\n";
        assert_eq!(hello(lines).expect("rendered"), "<s>\n2");
        let state = "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}";
        assert_eq!(hello(state).expect("rendered"), "2");
        assert_eq!(hello("{{ strftime_now('%d %b %Y') }}").expect("rendered"), "26 Jul 2024");
        assert_eq!(hello("{{ nothing }}{{ add_generation_prompt }}").expect("rendered"), "False");
        let skip = "{% for m in messages %}{% if m.role == 'user' %}{% continue %}{% endif %}{{ m.role }}{% endfor %}";
        assert_eq!(hello(skip).expect("rendered"), "assistant");
    }

    #[test]
    fn tools_are_written_as_python_writes_them() {
        let line = r#"{"messages": [{"role": "user", "content": "x"}], "tools": [{"name": "<f> é", "args": [1, 2.5, null]}]}"#;
        let json = |template| rendered(template, line).expect("rendered");
        assert_eq!(json("{{ tools | tojson }}"), r#"[{"name": "<f> é", "args": [1, 2.5, null]}]"#);
        assert_eq!(json("{{ tools[0].args | tojson(indent=2) }}"), "[\n  1,\n  2.5,\n  null\n]");
    }

    #[test]
    fn a_template_that_never_ends_or_writes_without_end_is_stopped() {
        let loops = "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}";
        let error = hello(loops).expect_err("stopped").to_string();
        assert!(
            error.starts_with("c.jsonl, line 1: the model's chat template cannot render it: "),
            "{error}"
        );
        assert!(error.contains("fuel"), "{error}");
        let error = hello("{% for a in range(20) %}{{ 'x' * 1000000 }}{% endfor %}").expect_err("stopped");
        assert!(
            error.to_string().contains("beyond 16777216 bytes") || error.to_string().contains("write"),
            "{error}"
        );
    }

    #[test]
    fn what_a_template_objects_to_names_its_line() {
        let error = hello("{{ raise_exception('roles must alternate') }}").expect_err("refused").to_string();
        assert!(error.contains("c.jsonl, line 1") && error.contains("roles must alternate"), "{error}");
        assert!(ChatTemplate::new("{% for %}", "", "").expect_err("refused").contains("does not compile"));
    }

    #[test]
    fn lines_that_are_no_conversations_are_refused() {
        for (lines, expected) in [
            ("{", "c.jsonl, line 1: not valid JSON"),
            ("\n{\"message\": []}", "c.jsonl, line 2: a conversation is"),
            ("[]", "c.jsonl, line 1: a conversation is"),
            ("[{\"content\": \"x\"}]", "c.jsonl, line 1: a conversation is"),
            ("[3]", "c.jsonl, line 1: a conversation is"),
        ] {
            let error = rendered(SMOLLM2, lines).expect_err(lines).to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
