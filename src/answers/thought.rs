//! What a model thinks before it answers, parted from the answer.

/// The tags that DeepSeek-R1 began and most others took over.
pub const TAGS: [&str; 2] = ["<think>", "</think>"];

/// The answer in what a model wrote: what stands behind the last closing tag, as lm-eval's `think_end_token` has it. A
/// thought that does not end (it had opened in the prompt, or opens the text) leaves nothing.
pub fn without<'t>(text: &'t str, [open, close]: [&str; 2], opened: bool) -> &'t str {
    if let Some((_, answer)) = text.rsplit_once(close) {
        return answer.trim_start();
    }
    if opened || text.trim_start().starts_with(open) { "" } else { text }
}

/// Whether a prompt ends inside a thought.
pub fn is_open(prompt: &str, [open, close]: [&str; 2]) -> bool {
    match (prompt.rfind(open), prompt.rfind(close)) {
        (Some(opened), Some(closed)) => opened > closed,
        (opened, _) => opened.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_stand_behind_the_thought() {
        for (text, opened, answer) in [
            (" 4", false, " 4"),
            ("<think>\n2 and 2\n</think>\n\n4", false, "4"),
            ("2 and 2</think>4", true, "4"),
            ("<think>a</think>b<think>c</think> d", false, "d"),
            ("\n<think>2 and", false, ""),
            ("2 and", true, ""),
            ("4 <think>", false, "4 <think>"),
        ] {
            assert_eq!(without(text, TAGS, opened), answer, "{text}");
        }
    }

    #[test]
    fn a_prompt_may_end_inside_one() {
        assert!(is_open("<|assistant|><think>\n", TAGS));
        assert!(!is_open("<|assistant|><think>\n\n</think>\n\n", TAGS));
        assert!(!is_open("<|assistant|>", TAGS));
    }
}
