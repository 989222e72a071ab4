//! Calls in a model's raw output, in the format its family writes.
//!
//! Blocks that are not JSON are passed over, as bfcl-eval's own readers do, and make the output ill-formed. A block that
//! is JSON and no call voids all of them. More is taken than its readers take: white space around a block, a list in
//! it, arguments called `parameters`.

use serde_json::Value as Json;

use super::expected::Reference;
use super::format::Format;
use super::python;
use super::value::{Call, Type, Value};

/// What was found in an output.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parsed {
    /// The calls.
    pub calls: Vec<Call>,
    /// Why they are not all that was meant as a call, if so.
    pub fault: Option<String>,
}

/// Why a block gives no call.
enum Bad {
    /// It cannot be read.
    Unread(String),
    /// It can, and is something else.
    Else(String),
}

type Read = Result<Vec<Call>, Bad>;

impl Parsed {
    /// All of one reading.
    fn all(read: Read) -> Self {
        match read {
            Ok(calls) => Self { calls, fault: None },
            Err(Bad::Unread(why) | Bad::Else(why)) => Self { calls: Vec::new(), fault: Some(why) },
        }
    }

    /// What several blocks have; none are no calls.
    fn blocks(blocks: impl IntoIterator<Item = Read>) -> Self {
        let mut parsed = Self::default();
        for block in blocks {
            match block {
                Ok(calls) => parsed.calls.extend(calls),
                Err(Bad::Unread(why)) => parsed.fault = parsed.fault.or(Some(why)),
                Err(Bad::Else(why)) => return Self { calls: Vec::new(), fault: Some(why) },
            }
        }
        parsed
    }
}

/// Reads the calls of an output. Where values are written without their type, `reference` tells it.
pub fn parse(format: Format, output: &str, reference: &Reference) -> Parsed {
    match format {
        Format::Hermes => {
            Parsed::blocks(between(output, "<tool_call>", "</tool_call>").map(|block| json(block?)))
        }
        Format::QwenXml => {
            let blocks = between(output, "<function=", "</function>");
            Parsed::blocks(blocks.map(|block| tagged(block?, reference)))
        }
        Format::Glm => {
            let blocks = between(output, "<tool_call>", "</tool_call>");
            Parsed::blocks(blocks.map(|block| keyed(block?, reference)))
        }
        Format::Mistral => match output.split_once("[TOOL_CALLS]") {
            Some((_, calls)) => Parsed::blocks(calls.split("[TOOL_CALLS]").map(mistral)),
            None => Parsed::default(),
        },
        Format::DeepSeek => {
            let blocks = between(output, "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>");
            Parsed::blocks(blocks.map(|block| deepseek(block?)))
        }
        Format::Kimi => {
            let blocks = between(output, "<|tool_call_begin|>", "<|tool_call_end|>");
            Parsed::blocks(blocks.map(|block| kimi(block?)))
        }
        Format::Harmony => Parsed::blocks(output.split(RECIPIENT).skip(1).map(harmony)),
        Format::FunctionTag => {
            let blocks = between(output, "<function=", "</function>");
            Parsed::blocks(blocks.map(|block| {
                let block = block?;
                let (name, arguments) = block.split_once('>').ok_or_else(|| no_json(block))?;
                named(name, arguments)
            }))
        }
        Format::ToolCode => {
            let blocks = between(output, "```tool_code", "```");
            Parsed::blocks(blocks.map(|block| tool_code(block?)))
        }
        Format::Pythonic => pythonic(output),
        Format::Llama | Format::Json => bare(output),
    }
}

/// What a function's name follows in Harmony.
const RECIPIENT: &str = "to=functions.";

/// The texts between two marks; an error for one that is opened and not closed.
fn between<'t>(text: &'t str, open: &'t str, close: &'t str) -> impl Iterator<Item = Result<&'t str, Bad>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (_, inside) = rest.split_once(open)?;
        let Some((block, behind)) = inside.split_once(close) else {
            rest = "";
            return Some(Err(Bad::Unread(format!("{open} is not closed"))));
        };
        rest = behind;
        Some(Ok(block))
    })
}

fn no_json(text: &str) -> Bad {
    let beginning: String = text.trim().chars().take(40).collect();
    Bad::Unread(format!("what is meant as a call cannot be read: {beginning:?}"))
}

/// A call in JSON, or a list of them.
fn json(text: &str) -> Read {
    let value: Json = serde_json::from_str(text.trim()).map_err(|_| no_json(text))?;
    calls(&Value::of(&value))
}

/// A call as a dict, or a list of them.
fn calls(value: &Value) -> Read {
    let no_call = |value: &Value| Bad::Else(format!("this is no call: {value}"));
    let one = |value: &Value| {
        let name = value.get("name").and_then(Value::text);
        let arguments = value.get("arguments").or_else(|| value.get("parameters"));
        let (Some(name), Some(Value::Dict(pairs))) = (name, arguments) else { return Err(no_call(value)) };
        call(name, pairs).ok_or_else(|| no_call(value))
    };
    match value {
        Value::List(values) | Value::Tuple(values) => values.iter().map(one).collect(),
        value => Ok(vec![one(value)?]),
    }
}

fn call(name: &str, arguments: &[(Value, Value)]) -> Option<Call> {
    let arguments = arguments.iter().map(|(key, value)| Some((key.text()?.to_owned(), value.clone())));
    Some(Call { name: name.to_owned(), arguments: arguments.collect::<Option<_>>()? })
}

/// A name, and arguments in JSON.
fn named(name: &str, arguments: &str) -> Read {
    let value: Json = serde_json::from_str(arguments.trim()).map_err(|_| no_json(arguments))?;
    match Value::of(&value) {
        Value::Dict(pairs) => Ok(call(name.trim(), &pairs).into_iter().collect()),
        other => Err(Bad::Else(format!("these are no arguments: {other}"))),
    }
}

/// `f>\n<parameter=a>\n1\n</parameter>`.
fn tagged(block: &str, reference: &Reference) -> Read {
    let (name, rest) = block.split_once('>').ok_or_else(|| no_json(block))?;
    let mut call = Call { name: name.trim().to_owned(), arguments: Vec::new() };
    for parameter in between(rest, "<parameter=", "</parameter>") {
        let parameter = parameter?;
        let (key, text) = parameter.split_once('>').ok_or_else(|| no_json(parameter))?;
        let text = text.strip_prefix('\n').unwrap_or(text);
        let text = text.strip_suffix('\n').unwrap_or(text);
        let value = typed(text, &call.name, key.trim(), reference);
        call.set(key.trim().to_owned(), value);
    }
    Ok(vec![call])
}

/// `f\n<arg_key>a</arg_key>\n<arg_value>1</arg_value>`.
fn keyed(block: &str, reference: &Reference) -> Read {
    let (name, rest) = block.split_at(block.find("<arg_key>").unwrap_or(block.len()));
    let name = name.trim();
    if name.is_empty() || name.contains(['{', '<', '\n']) {
        return Err(no_json(block));
    }
    let mut call = Call { name: name.to_owned(), arguments: Vec::new() };
    let keys = between(rest, "<arg_key>", "</arg_key>");
    let mut values = between(rest, "<arg_value>", "</arg_value>");
    for key in keys {
        let key = key?.trim();
        let text = values.next().unwrap_or_else(|| Err(no_json(block)))?;
        let value = typed(text, &call.name, key, reference);
        call.set(key.to_owned(), value);
    }
    Ok(vec![call])
}

/// A value that stands there as text: as it is where a text is wanted, otherwise in JSON or in Python's notation.
fn typed(text: &str, function: &str, parameter: &str, reference: &Reference) -> Value {
    let parameter = reference.function(function).and_then(|function| function.parameters.get(parameter));
    let wanted = parameter.and_then(|parameter| reference.language.kind(&parameter.kind));
    let is_source = reference.language != super::schema::Language::Python;
    if wanted == Some(Type::Text) || is_source {
        return Value::Text(text.to_owned());
    }
    let json = serde_json::from_str::<Json>(text.trim()).ok().map(|json| Value::of(&json));
    json.or_else(|| python::value(text)).unwrap_or_else(|| Value::Text(text.to_owned()))
}

/// A list in JSON, which some versions write with Python's quotation marks; or a name and its arguments.
fn mistral(text: &str) -> Read {
    let text = text.trim();
    if text.starts_with(['[', '{']) {
        return json(text).or_else(|bad| python::value(text).map_or(Err(bad), |value| calls(&value)));
    }
    let (name, rest) = text.split_at(text.find(['[', '{']).unwrap_or(text.len()));
    let arguments = rest.find('{').and_then(|at| rest.get(at..)).ok_or_else(|| no_json(text))?;
    named(name, arguments)
}

/// The word `function`, then `f` and its arguments in a block of JSON; or `f<｜tool▁sep｜>{"a": 1}`.
fn deepseek(block: &str) -> Read {
    let (kind, rest) = block.split_once("<｜tool▁sep｜>").ok_or_else(|| no_json(block))?;
    let Some((name, fenced)) = rest.split_once("```json") else { return named(kind, rest) };
    named(name, fenced.trim().trim_end_matches('`'))
}

/// `functions.f:0<|tool_call_argument_begin|>{"a": 1}`.
fn kimi(block: &str) -> Read {
    let (id, arguments) = block.split_once("<|tool_call_argument_begin|>").ok_or_else(|| no_json(block))?;
    let name = id.trim().strip_prefix("functions.").unwrap_or(id.trim());
    named(name.rsplit_once(':').map_or(name, |(name, _)| name), arguments)
}

/// `f <|constrain|>json<|message|>{"a": 1}<|call|>`, behind the recipient's mark. What ends a call ends the answer too, so
/// that it may be missing.
fn harmony(text: &str) -> Read {
    let name: &str = text.split(|c: char| c.is_whitespace() || c == '<').next().unwrap_or_default();
    let (_, message) = text.split_once("<|message|>").ok_or_else(|| no_json(text))?;
    let ends = ["<|call|>", "<|end|>", "<|return|>", "<|start|>"];
    let end = ends.iter().filter_map(|mark| message.find(mark)).min().unwrap_or(message.len());
    named(name, message.get(..end).unwrap_or_default())
}

/// Python's calls, one a line or in a list, which may be printed.
fn tool_code(block: &str) -> Read {
    let unprinted = |line: &str| {
        let inside = line.strip_prefix("print(").and_then(|line| line.strip_suffix(')'));
        inside.unwrap_or(line).to_owned()
    };
    let read = |text: &str| python::calls(&unprinted(text.trim())).map_err(Bad::Unread);
    read(block).or_else(|whole| {
        let lines = block.lines().filter(|line| !line.trim().is_empty());
        let several: Option<Vec<_>> = lines.map(|line| read(line).ok()).collect();
        several.map(|several| several.concat()).ok_or(whole)
    })
}

/// A list of calls and nothing else, as BFCL reads it: closing and opening brackets may be missing.
fn pythonic(output: &str) -> Parsed {
    let marked = [("<|tool_call_start|>", "<|tool_call_end|>"), ("<|python_start|>", "<|python_end|>")];
    let text = marked.iter().find_map(|(open, close)| {
        let (_, inside) = output.split_once(open)?;
        Some(inside.split_once(close).map_or(inside, |(inside, _)| inside))
    });
    let text = text.unwrap_or(output).trim_matches(['`', '\n', ' ']);
    let open = if text.starts_with('[') { "" } else { "[" };
    let close = if text.ends_with(']') { "" } else { "]" };
    match python::calls(&format!("{open}{text}{close}")) {
        Ok(calls) => Parsed { calls, fault: None },
        Err(why) if is_meant(text) => Parsed { calls: Vec::new(), fault: Some(why) },
        Err(_) => Parsed::default(),
    }
}

/// Whether a text begins as calls do.
fn is_meant(text: &str) -> bool {
    let is_part = |c: char| c == '_' || c == '.' || c.is_alphanumeric();
    let name = text.trim_start_matches(['[', ' ', '\n']);
    let behind = name.trim_start_matches(is_part);
    text.starts_with('[') || behind.len() < name.len() && behind.starts_with('(')
}

/// Calls in JSON and nothing else: a list of them, or some with `;`, a comma or white space between.
fn bare(output: &str) -> Parsed {
    let mut text = output.trim();
    for mark in ["<|python_tag|>", "<|tool_call|>", "<tool_call>", "```json", "```"] {
        text = text.strip_prefix(mark).unwrap_or(text).trim_start();
    }
    for mark in ["```", "<|/tool_call|>", "</tool_call>"] {
        text = text.strip_suffix(mark).unwrap_or(text).trim_end();
    }
    if !text.starts_with(['{', '[']) {
        return Parsed::default();
    }
    let several = || {
        let mut found = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Json>();
            let value = values.next().and_then(Result::ok).ok_or_else(|| no_json(rest))?;
            found.extend(calls(&Value::of(&value))?);
            let behind = rest.get(values.byte_offset()..).unwrap_or_default();
            rest = behind.trim_start_matches([';', ',', ' ', '\n', '\t', '\r']);
        }
        Ok(found)
    };
    Parsed::all(several().or_else(|bad| match bad {
        Bad::Unread(_) => python::value(text).map_or(Err(bad), |value| calls(&value)),
        other @ Bad::Else(_) => Err(other),
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reference() -> Reference {
        let text = r#"{"tools": [{"name": "f", "parameters": {"properties": {"a": {"type": "integer"},
            "s": {"type": "string"}, "l": {"type": "array", "items": {"type": "integer"}}}}}], "calls": []}"#;
        Reference::read(text, false).expect("read")
    }

    /// The calls as Python would write them; behind them a `!` where there is a fault.
    fn shown(format: Format, output: &str) -> String {
        let Parsed { calls, fault } = parse(format, output, &reference());
        let calls: Vec<String> = calls.iter().map(ToString::to_string).collect();
        format!("{}{}", calls.join("; "), if fault.is_some() { "!" } else { "" })
    }

    #[test]
    fn every_format_is_read() {
        let two = "f(a=1, s=\"2\"); g()";
        for (format, output) in [
            (
                Format::Hermes,
                "Yes.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1, \"s\": \"2\"}}\n</tool_call>\n<tool_call>{\"name\": \"g\", \"arguments\": {}}</tool_call>",
            ),
            (
                Format::Hermes,
                "<tool_call>[{\"name\": \"f\", \"arguments\": {\"a\": 1, \"s\": \"2\"}}, {\"name\": \"g\", \"arguments\": {}}]</tool_call>",
            ),
            (
                Format::QwenXml,
                "<tool_call>\n<function=f>\n<parameter=a>\n1\n</parameter>\n<parameter=s>\n2\n</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=g>\n</function>\n</tool_call>",
            ),
            (
                Format::Glm,
                "<tool_call>f\n<arg_key>a</arg_key>\n<arg_value>1</arg_value>\n<arg_key>s</arg_key>\n<arg_value>2</arg_value>\n</tool_call><tool_call>g</tool_call>",
            ),
            (
                Format::Llama,
                "<|python_tag|>{\"name\": \"f\", \"parameters\": {\"a\": 1, \"s\": \"2\"}}; {\"name\": \"g\", \"parameters\": {}}",
            ),
            (
                Format::Llama,
                "[{'name': 'f', 'parameters': {'a': 1, 's': '2'}}, {'name': 'g', 'parameters': {}}]",
            ),
            (
                Format::Mistral,
                "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {\"a\": 1, \"s\": \"2\"}}, {\"name\": \"g\", \"arguments\": {}}]",
            ),
            (Format::Mistral, "[TOOL_CALLS]f[CALL_ID]123456789[ARGS]{\"a\": 1, \"s\": \"2\"}[TOOL_CALLS]g{}"),
            (
                Format::DeepSeek,
                "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"a\": 1, \"s\": \"2\"}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>g<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
            ),
            (
                Format::Kimi,
                "<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{\"a\": 1, \"s\": \"2\"}<|tool_call_end|><|tool_call_begin|>g:1<|tool_call_argument_begin|>{}<|tool_call_end|>",
            ),
            (
                Format::Harmony,
                "<|channel|>analysis<|message|>Both are needed.<|end|><|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>{\"a\": 1, \"s\": \"2\"}<|call|><|start|>assistant to=functions.g<|channel|>commentary json<|message|>{}",
            ),
            (Format::FunctionTag, "<function=f>{\"a\": 1, \"s\": \"2\"}</function><function=g>{}</function>"),
            (Format::ToolCode, "Sure:\n```tool_code\nprint(f(a=1, s='2'))\ng()\n```"),
            (Format::ToolCode, "```tool_code\n[f(a=1, s='2'), g()]\n```"),
            (Format::Pythonic, "[f(a=1, s='2'), g()]"),
            (Format::Pythonic, "`f(a=1, s='2'), g()`\n"),
            (Format::Pythonic, "<|tool_call_start|>[f(a=1, s='2'), g()]<|tool_call_end|>Done."),
            (
                Format::Json,
                "```json\n[{\"name\": \"f\", \"arguments\": {\"a\": 1, \"s\": \"2\"}}, {\"name\": \"g\", \"arguments\": {}}]\n```",
            ),
            (
                Format::Json,
                "<|tool_call|>[{\"name\": \"f\", \"arguments\": {\"a\": 1, \"s\": \"2\"}}, {\"name\": \"g\", \"arguments\": {}}]",
            ),
        ] {
            assert_eq!(shown(format, output), two, "{format:?}: {output}");
        }
    }

    #[test]
    fn prose_is_no_call_and_no_fault() {
        for format in Format::ALL {
            assert_eq!(shown(format, "None of the tools (a or b) can do that."), "", "{format:?}");
            assert_eq!(shown(format, ""), "", "{format:?}");
        }
    }

    #[test]
    fn what_is_meant_as_a_call_and_is_none_is_a_fault() {
        for (format, output, expected) in [
            (Format::Hermes, "<tool_call>\n{\"name\": \"f\", \"arguments\": {}\n</tool_call>", "!"),
            (Format::Hermes, "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}", "!"),
            (Format::Hermes, "<tool_call>\n{\"name\": \"f\"}\n</tool_call>", "!"),
            (
                Format::Hermes,
                "<tool_call>{</tool_call><tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>",
                "f()!",
            ),
            (
                Format::Hermes,
                "<tool_call>[1]</tool_call><tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>",
                "!",
            ),
            (Format::QwenXml, "<tool_call><function=f><parameter=a>1</function>", "!"),
            (Format::Glm, "<tool_call>f<arg_key>a</arg_key></tool_call>", "!"),
            (Format::Llama, "{\"name\": \"f\", \"parameters\": {\"a\": }}", "!"),
            (Format::Llama, "{\"answer\": 3}", "!"),
            (Format::Mistral, "[TOOL_CALLS]f", "!"),
            (Format::DeepSeek, "<｜tool▁call▁begin｜>f<｜tool▁call▁end｜>", "!"),
            (Format::Kimi, "<|tool_call_begin|>f<|tool_call_end|>", "!"),
            (Format::Harmony, "<|channel|>commentary to=functions.f", "!"),
            (Format::Harmony, "<|channel|>commentary to=functions.f<|message|>{\"a\":<|call|>", "!"),
            (Format::FunctionTag, "<function=f>{", "!"),
            (Format::ToolCode, "```tool_code\nx = 3\n```", "!"),
            (Format::Pythonic, "[f(a=)]", "!"),
            (Format::Pythonic, "f(a=", "!"),
            (Format::Json, "[{\"name\": 3, \"arguments\": {}}]", "!"),
        ] {
            assert_eq!(shown(format, output), expected, "{format:?}: {output}");
        }
    }

    #[test]
    fn values_without_types_get_those_of_the_schema() {
        let output = "<tool_call><function=f><parameter=s>\n1\n</parameter><parameter=l>[1, 2]</parameter><parameter=a>x</parameter><parameter=n>True</parameter></function></tool_call>";
        assert_eq!(shown(Format::QwenXml, output), "f(s=\"1\", l=[1, 2], a=\"x\", n=True)");
    }

    proptest! {
        #[test]
        fn any_output_is_read(output in "(<tool_call>|</tool_call>|\\{|\\}|\"name\"|: |\"f\"|\"arguments\"|, |é|\\[TOOL_CALLS\\]|\n|```|f\\(a=1\\)|<function=|<arg_key>){0,12}") {
            for format in [Format::Hermes, Format::QwenXml, Format::Glm, Format::Llama, Format::Mistral, Format::Pythonic] {
                let _ = parse(format, &output, &reference());
            }
        }
    }
}
