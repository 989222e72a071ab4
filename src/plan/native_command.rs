//! A recipe as a command line of llama.cpp's own llama-quantize, so that anybody can apply it without this program.

use crate::plan::ladder;
use crate::plan::recipe::{ImatrixUse, Weights};

/// The command, one option a line, for a base of so many blocks. Without their number a rule for some layers cannot be
/// written, unless it names them all.
///
/// # Errors
/// A sentence, if the recipe makes no file or its layers go beyond the blocks.
pub fn llama_quantize(weights: &Weights, blocks: u64, base: &str, output: &str) -> Result<String, String> {
    let name = weights.ftype.and_then(ladder::name_of);
    let name = name.ok_or_else(|| format!("{} is no recipe to make a file by", weights.name))?;
    let mut lines = vec!["llama-quantize".to_owned()];
    match &weights.imatrix {
        ImatrixUse::None => {}
        ImatrixUse::Sweep => lines.push("--imatrix FILE".to_owned()),
        ImatrixUse::File(path) => lines.push(format!("--imatrix {}", quoted(&path.display().to_string()))),
    }
    for (option, kind) in
        [("--output-tensor-type", &weights.output), ("--token-embedding-type", &weights.embedding)]
    {
        lines.extend(kind.as_ref().map(|kind| format!("{option} {}", kind.to_lowercase())));
    }
    for rule in &weights.overrides {
        let pattern = rule.pattern(blocks)?;
        lines.push(format!(
            "--tensor-type {}",
            quoted(&format!("{pattern}={}", rule.type_name.to_lowercase()))
        ));
    }
    lines.push(format!("{} {} {name}", quoted(base), quoted(output)));
    Ok(lines.join(" \\\n    "))
}

/// Quoted for a shell where need be.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:+@=,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::recipe::Recipe;

    fn command(recipe: &str) -> String {
        let weights = Recipe::parse(recipe, "test").expect("valid").weights;
        llama_quantize(&weights, 4, "base.gguf", "out.gguf").expect("a command")
    }

    #[test]
    fn plain_and_mixed_recipes() {
        assert_eq!(command("Q4_K_M"), "llama-quantize \\\n    base.gguf out.gguf Q4_K_M");
        assert_eq!(
            command("MXFP4+imatrix"),
            "llama-quantize \\\n    --imatrix FILE \\\n    --output-tensor-type q8_0 \\\n    \
             --token-embedding-type q8_0 \\\n    --tensor-type 'blk\\.=mxfp4' \\\n    base.gguf out.gguf Q8_0"
        );
        assert!(command("edges6-core4").contains(r"--tensor-type 'blk\.(?:0|1|2|3)\..*(?:attn_|ffn_)=q6_k'"));
    }

    #[test]
    fn a_shell_reads_a_quoted_text_as_it_was() {
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("/a/b-c.gguf"), "/a/b-c.gguf");
    }
}
