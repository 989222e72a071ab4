//! What speculative decoding is measured with: prompts, from a file or of our own, and the shape of a run.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files;
use crate::plan::error::{PlanError, nearest};
use crate::plan::recipe::{KvTypes, Recipe, Weights};

/// Draft lengths where nothing says otherwise.
pub const LENGTHS: [u32; 4] = [2, 4, 8, 16];
/// Longest draft that may be asked for.
pub const LONGEST_DRAFT: u32 = 64;
/// Tokens written behind a prompt where nothing says otherwise.
pub const TOKENS: u32 = 128;
/// How far apart two logits may lie that change places between kernels for one row and for several, where nothing
/// says otherwise.
pub const TOLERANCE: f64 = 0.1;

/// Prompts of our own: an answer, a chat, code, a list, a story, facts, a letter, a table.
const BUILT_IN: &str = include_str!("prompts.jsonl");

/// A text to continue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// Its name; in a file without ids, its line.
    #[serde(default)]
    pub id: String,
    /// The text.
    #[serde(rename = "prompt")]
    pub text: String,
}

/// What a sweep asks of a pair of its variants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Speculation {
    /// Name of the variant whose output it is.
    pub target: String,
    /// Name of the variant, or of the other model, that proposes.
    pub draft: String,
    /// The other model, if the draft is no variant of the sweep.
    pub outsider: Option<Recipe>,
    /// Draft lengths.
    pub lengths: Vec<u32>,
    /// Most tokens behind a prompt.
    pub tokens: u32,
    /// The prompts.
    pub prompts: Vec<Prompt>,
    /// Largest distance of two logits that may change places.
    pub tolerance: f64,
}

/// `[[speculate]]` of a sweep file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpeculationTable {
    target: String,
    draft: DraftEntry,
    lengths: Option<Vec<u32>>,
    tokens: Option<std::num::NonZeroU32>,
    prompts: Option<PathBuf>,
    tolerance: Option<f64>,
}

/// A variant by its name, or a file: `{ gguf = "small.gguf" }`.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "draft must be a variant's name, or a table with gguf = \"file.gguf\"")]
enum DraftEntry {
    Variant(String),
    Model(DraftTable),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct DraftTable {
    gguf: String,
    name: Option<String>,
}

impl DraftEntry {
    fn outsider(&self) -> Option<Recipe> {
        let Self::Model(table) = self else { return None };
        let mut weights = Weights::existing(&table.gguf);
        if let Some(name) = &table.name {
            weights.name.clone_from(name);
        }
        Some(Recipe { weights, kv: KvTypes::default() })
    }
}

impl SpeculationTable {
    /// What it asks for; every name must be one of `variants`.
    pub fn checked(&self, place: &str, variants: &[String]) -> Result<Speculation, PlanError> {
        let outsider = self.draft.outsider();
        let draft = match &self.draft {
            DraftEntry::Variant(name) => name.clone(),
            DraftEntry::Model(_) => outsider.as_ref().map(Recipe::variant).unwrap_or_default(),
        };
        if outsider.is_some() && variants.contains(&draft) {
            return Err(PlanError::Twice { place: place.to_owned(), kind: "variant", name: draft });
        }
        for name in std::iter::once(&self.target).chain(outsider.is_none().then_some(&draft)) {
            if !variants.contains(name) {
                return Err(PlanError::Unknown {
                    place: place.to_owned(),
                    kind: "variant",
                    name: name.clone(),
                    nearest: nearest(name, variants.iter().map(String::as_str)),
                });
            }
        }
        let wrong = |what: String| PlanError::Missing {
            place: place.to_owned(),
            what,
            hint: "leave it out for the default".to_owned(),
        };
        let tolerance = self.tolerance.unwrap_or(TOLERANCE);
        if !(tolerance >= 0.0 && tolerance.is_finite()) {
            return Err(wrong("tolerance must be a number of at least 0".to_owned()));
        }
        Ok(Speculation {
            target: self.target.clone(),
            draft,
            outsider,
            lengths: lengths(self.lengths.as_deref().unwrap_or(&LENGTHS)).map_err(wrong)?,
            tokens: self.tokens.map_or(TOKENS, std::num::NonZeroU32::get),
            prompts: self.prompts.as_ref().map_or_else(built_in, |path| read(path))?,
            tolerance,
        })
    }
}

/// The prompts that come with the program.
pub fn built_in() -> Result<Vec<Prompt>, PlanError> {
    parse(Path::new("prompts.jsonl"), BUILT_IN)
}

/// Prompts of a file: one JSON object a line with the key `prompt`, and perhaps `id`.
pub fn read(path: &Path) -> Result<Vec<Prompt>, PlanError> {
    let text = files::read_text(path).map_err(|source| PlanError::Read { path: path.to_owned(), source })?;
    parse(path, &text)
}

fn parse(path: &Path, text: &str) -> Result<Vec<Prompt>, PlanError> {
    let bad = |line, message| PlanError::Data { path: path.to_owned(), line, message };
    let mut prompts = Vec::new();
    let mut ids = BTreeSet::new();
    for (line, content) in (1..).zip(text.lines()).filter(|(_, content)| !content.trim().is_empty()) {
        let mut prompt: Prompt = serde_json::from_str(content)
            .map_err(|error| bad(line, format!("not a JSON object with a text as `prompt`: {error}")))?;
        if prompt.text.is_empty() {
            return Err(bad(line, "the prompt is empty".to_owned()));
        }
        if prompt.id.is_empty() {
            prompt.id = format!("line-{line}");
        }
        if !ids.insert(prompt.id.clone()) {
            return Err(bad(line, format!("the id {:?} is there twice", prompt.id)));
        }
        prompts.push(prompt);
    }
    if prompts.is_empty() {
        return Err(bad(1, "there is no prompt".to_owned()));
    }
    Ok(prompts)
}

/// Draft lengths in ascending order, each once; or what is wrong with them.
pub fn lengths(asked: &[u32]) -> Result<Vec<u32>, String> {
    if let Some(wrong) = asked.iter().find(|length| !(1..=LONGEST_DRAFT).contains(*length)) {
        return Err(format!("a draft of {wrong} tokens is not between 1 and {LONGEST_DRAFT}"));
    }
    if asked.is_empty() {
        return Err("no draft length is named".to_owned());
    }
    Ok(asked.iter().copied().collect::<BTreeSet<u32>>().into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_prompts_are_eight_and_differ() {
        let prompts = built_in().expect("valid");
        assert_eq!(prompts.len(), 8);
        let texts: BTreeSet<&str> = prompts.iter().map(|p| p.text.as_str()).collect();
        assert_eq!(texts.len(), 8);
    }

    #[test]
    fn a_wrong_line_is_named() {
        let parsed = |text| parse(Path::new("p.jsonl"), text);
        let prompts = parsed("\n{\"prompt\": \"a\"}\n{\"prompt\": \"b\", \"id\": \"x\", \"more\": 1}\n")
            .expect("valid");
        assert_eq!(prompts[0], Prompt { id: "line-2".to_owned(), text: "a".to_owned() });
        assert_eq!(prompts[1].id, "x");
        for (text, expected) in [
            (
                "{\"prompt\": \"a\"}\n{\"text\": \"b\"}",
                "line 2: not a JSON object with a text as `prompt`: missing",
            ),
            ("{\"prompt\": \"\"}", "line 1: the prompt is empty"),
            (
                "{\"prompt\": \"a\", \"id\": \"x\"}\n{\"prompt\": \"b\", \"id\": \"x\"}",
                "line 2: the id \"x\" is there twice",
            ),
            ("\n", "line 1: there is no prompt"),
        ] {
            let error = parsed(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn lengths_are_sorted_and_bounded() {
        assert_eq!(lengths(&[8, 2, 8]), Ok(vec![2, 8]));
        for wrong in [&[][..], &[0], &[4, 65]] {
            assert!(lengths(wrong).is_err(), "{wrong:?}");
        }
    }
}
