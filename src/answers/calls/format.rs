//! How a model writes calls: told by what stands in its chat template.

use serde::{Deserialize, Serialize};

/// A format of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// `<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>`: Hermes, Qwen 2.5 and 3, Granite 4, SmolLM3.
    Hermes,
    /// `<tool_call><function=f><parameter=a>1</parameter></function></tool_call>`: Qwen3-Coder, Nemotron 3.
    QwenXml,
    /// `<tool_call>f<arg_key>a</arg_key><arg_value>1</arg_value></tool_call>`: GLM from 4.5 on.
    Glm,
    /// `{"name": "f", "parameters": {"a": 1}}`, perhaps behind `<|python_tag|>`, several with `;` between: Llama 3.
    Llama,
    /// `[TOOL_CALLS][{"name": "f", "arguments": {"a": 1}}]`, or `[TOOL_CALLS]f[ARGS]{"a": 1}`: Mistral.
    Mistral,
    /// Between `<｜tool▁call▁begin｜>` and `<｜tool▁call▁end｜>`: DeepSeek V3 and R1.
    #[serde(rename = "deepseek")]
    DeepSeek,
    /// Between `<|tool_call_begin|>` and `<|tool_call_end|>`: Kimi K2.
    Kimi,
    /// `<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"a": 1}<|call|>`: Harmony, gpt-oss.
    Harmony,
    /// `<function=f>{"a": 1}</function>`: Functionary, Llama 3's custom tools.
    FunctionTag,
    /// Python in a block marked `tool_code`: Gemma.
    ToolCode,
    /// `[f(a=1), g()]`, with or without marks around it: Llama 4, LFM2, BFCL's own prompt.
    Pythonic,
    /// `[{"name": "f", "arguments": {"a": 1}}]`: xLAM, Hammer, Granite 3, Phi-4-mini.
    Json,
}

/// What a template must have in it to be of a format; the first that fits is it.
const MARKS: [(&[&str], Format); 14] = [
    (&["<|channel|>", "to=functions."], Format::Harmony),
    (&["<｜tool▁call▁begin｜>"], Format::DeepSeek),
    (&["<|tool_call_begin|>"], Format::Kimi),
    (&["[TOOL_CALLS]"], Format::Mistral),
    (&["<arg_key>"], Format::Glm),
    (&["<function=", "<parameter="], Format::QwenXml),
    (&["<|tool_call_start|>"], Format::Pythonic),
    (&["<|python_start|>"], Format::Pythonic),
    (&["<tool_call>"], Format::Hermes),
    (&["tool_code"], Format::ToolCode),
    (&["<function="], Format::FunctionTag),
    (&["<|python_tag|>"], Format::Llama),
    (&["\"parameters\": "], Format::Llama),
    (&["func_name1(params_name1"], Format::Pythonic),
];

impl Format {
    /// Every format.
    pub const ALL: [Self; 12] = [
        Self::Hermes,
        Self::QwenXml,
        Self::Glm,
        Self::Llama,
        Self::Mistral,
        Self::DeepSeek,
        Self::Kimi,
        Self::Harmony,
        Self::FunctionTag,
        Self::ToolCode,
        Self::Pythonic,
        Self::Json,
    ];

    /// The format of a model with this chat template; JSON where nothing in it tells.
    pub fn of(template: &str) -> Self {
        let fits = |(marks, _): &&(&[&str], Self)| marks.iter().all(|mark| template.contains(mark));
        MARKS.iter().find(fits).map_or(Self::Json, |(_, format)| *format)
    }

    /// Its name in suite files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hermes => "hermes",
            Self::QwenXml => "qwen_xml",
            Self::Glm => "glm",
            Self::Llama => "llama",
            Self::Mistral => "mistral",
            Self::DeepSeek => "deepseek",
            Self::Kimi => "kimi",
            Self::Harmony => "harmony",
            Self::FunctionTag => "function_tag",
            Self::ToolCode => "tool_code",
            Self::Pythonic => "pythonic",
            Self::Json => "json",
        }
    }

    /// Whether names of functions cannot have dots, as in Mistral's family.
    pub fn plain_names(self) -> bool {
        self == Self::Mistral
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_tells_its_format() {
        for (template, format) in [
            ("<tool_call>\\n{\"name\": <function-name>", Format::Hermes),
            ("<tool_call>\n<function=example>\n<parameter=x>", Format::QwenXml),
            ("<tool_call>{name}\n<arg_key>", Format::Glm),
            ("{{- \"<|python_tag|>\" }} {\"name\": ..., \"parameters\": ...}", Format::Llama),
            ("\"[TOOL_CALLS][\"", Format::Mistral),
            ("<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>", Format::DeepSeek),
            ("<|tool_calls_section_begin|><|tool_call_begin|>", Format::Kimi),
            (
                "<|start|>assistant to=functions.{{ name }}<|channel|>commentary json<|message|>",
                Format::Harmony,
            ),
            ("<|tool_call_start|>", Format::Pythonic),
            ("<|tool_call|>", Format::Json),
        ] {
            assert_eq!(Format::of(template), format, "{template}");
        }
    }

    #[test]
    fn names_are_those_of_suite_files() {
        for (_, format) in MARKS {
            assert_eq!(serde_json::to_value(format).expect("written"), format.name());
        }
    }
}
