//! Recipes as tables of TOML: in a sweep file, or a file of their own that `bitfrontier quantize` takes as well.
//!
//! Patterns keep to what Rust's `regex`, llama.cpp (ECMAScript) and llama-quantize (which lower-cases them and splits
//! at `=`) read alike, so that the command that is printed does the same as we do.

use std::path::{Path, PathBuf};

use regex::Regex;
use serde::Deserialize;
use toml::Spanned;

use crate::files;
use crate::plan::error::{PlanError, toml_error};
use crate::plan::ladder::{self, NEVER_OUTSIDE_BLOCKS, TENSOR_TYPES};
use crate::plan::layers::Layers;
use crate::plan::preset::Preset;
use crate::plan::recipe::{self, BASE, ImatrixUse, KvTypes, Override, Recipe, Weights};

/// Characters of a name: it stands in tables, in file names and on command lines.
const IN_NAMES: &str = "._+@-";
/// Longest name and longest pattern.
const LONGEST: usize = 200;

/// A recipe as written.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecipeTable {
    name: Option<String>,
    about: Option<String>,
    r#type: Option<String>,
    gguf: Option<String>,
    output: Option<String>,
    embedding: Option<String>,
    imatrix: Option<ImatrixEntry>,
    kv: Option<KvEntry>,
    #[serde(default)]
    tensors: Vec<Spanned<TensorTable>>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct TensorTable {
    r#match: String,
    layers: Option<String>,
    r#type: String,
}

/// `true`: the sweep's; a text: a file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "imatrix must be true, false or the path of a file")]
enum ImatrixEntry {
    Flag(bool),
    File(PathBuf),
}

/// `"q8_0"`, `"q8_0,q4_0"`, or `{ k = "q8_0", v = "q4_0" }`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "kv must be a type, such as \"q8_0\", or a table of k and v")]
enum KvEntry {
    Both(String),
    Apart { k: String, v: String },
}

/// Reads a recipe file. Its name is the file's stem unless it says another.
pub fn read(path: &Path) -> Result<Recipe, PlanError> {
    let text = files::read_text(path).map_err(|source| PlanError::Read { path: path.to_owned(), source })?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    parse(&text, &stem, &path.display().to_string())
}

/// Reads a preset.
pub fn preset(preset: Preset) -> Result<Recipe, PlanError> {
    parse(preset.text, preset.name, &format!("preset {}", preset.name))
}

/// What a preset says of itself.
pub fn about(text: &str) -> Option<String> {
    toml::from_str::<RecipeTable>(text).ok()?.about
}

fn parse(text: &str, stem: &str, place: &str) -> Result<Recipe, PlanError> {
    let table: RecipeTable = toml::from_str(text).map_err(|e| toml_error(place, text, &e))?;
    let line = |start: usize| {
        let line = text.get(..start).map_or(1, |before| before.matches('\n').count() + 1);
        format!("{place}, line {line}")
    };
    table.recipe(place, Some(stem), &line)
}

impl RecipeTable {
    /// The recipe; `place` is the table's, `line` names the place of a position in the text.
    pub fn recipe(
        &self,
        place: &str,
        stem: Option<&str>,
        line: &impl Fn(usize) -> String,
    ) -> Result<Recipe, PlanError> {
        let kv = match &self.kv {
            None => KvTypes::default(),
            Some(KvEntry::Both(text)) => KvTypes::parse(text, place)?,
            Some(KvEntry::Apart { k, v }) => KvTypes::parse(&format!("{k},{v}"), place)?,
        };
        let weights = match (&self.r#type, &self.gguf) {
            (Some(name), None) => self.made(name, place, stem, line)?,
            (None, Some(source)) => self.found(source, place)?,
            _ => {
                return Err(PlanError::Missing {
                    place: place.to_owned(),
                    what: "a recipe has either `type` or `gguf`".to_owned(),
                    hint: "write type = \"Q4_K_M\", or gguf = \"file.gguf\"".to_owned(),
                });
            }
        };
        Ok(Recipe { weights, kv })
    }

    /// Somebody else's file.
    fn found(&self, source: &str, place: &str) -> Result<Weights, PlanError> {
        let others = self.output.is_some() || self.embedding.is_some() || !self.tensors.is_empty();
        if others || self.imatrix.is_some() {
            return Err(PlanError::Missing {
                place: place.to_owned(),
                what: "a file that is there already takes nothing but `name`, `about` and `kv`".to_owned(),
                hint: "its types and importance matrix are read from it".to_owned(),
            });
        }
        let mut weights = Weights::existing(source);
        if let Some(name) = &self.name {
            weights.name.clone_from(name);
        }
        check_name(&weights.name, place)?;
        Ok(weights)
    }

    fn made(
        &self,
        type_name: &str,
        place: &str,
        stem: Option<&str>,
        line: &impl Fn(usize) -> String,
    ) -> Result<Weights, PlanError> {
        let stock = recipe::find(type_name, place)?;
        let mut weights = Weights::stock(stock);
        if let Some(name) = &self.output {
            weights.output = Some(outside_blocks("output", name, place)?);
        }
        if let Some(name) = &self.embedding {
            weights.embedding = Some(outside_blocks("embedding", name, place)?);
        }
        let own = self.tensors.iter().map(|t| rule(t.get_ref(), &line(t.span().start)));
        // The user's rules come first: the first that matches decides.
        let mut overrides = own.collect::<Result<Vec<_>, _>>()?;
        if !overrides.is_empty() && ["F32", "F16", "BF16"].contains(&stock.name) {
            return Err(PlanError::Missing {
                place: place.to_owned(),
                what: format!("llama.cpp ignores types of single tensors where the type is {}", stock.name),
                hint: "take a quantized type, such as Q8_0, and set the other tensors".to_owned(),
            });
        }
        overrides.append(&mut weights.overrides);
        weights.overrides = overrides;
        match &self.imatrix {
            None | Some(ImatrixEntry::Flag(false)) => {}
            Some(ImatrixEntry::Flag(true)) => weights = weights.with_imatrix(ImatrixUse::Sweep),
            Some(ImatrixEntry::File(path)) => weights = weights.with_imatrix(ImatrixUse::File(path.clone())),
        }
        let plain = weights.same_file(&Weights { imatrix: weights.imatrix.clone(), ..Weights::stock(stock) });
        match self.name.as_deref().or(stem) {
            Some(name) => {
                check_name(name, place)?;
                let stands_for = ladder::find(name);
                if stands_for.is_some_and(|other| other.name != stock.name || !plain) {
                    return Err(wrong_name(name, "is a stock type's, which this is not", place));
                }
                name.clone_into(&mut weights.name);
            }
            None if plain => {}
            None => {
                return Err(PlanError::Missing {
                    place: place.to_owned(),
                    what: "a recipe that is not a stock type needs a name".to_owned(),
                    hint: "write name = \"...\": tables know it by that".to_owned(),
                });
            }
        }
        Ok(weights)
    }
}

fn rule(table: &TensorTable, place: &str) -> Result<Override, PlanError> {
    let wrong = |what: String| PlanError::Missing {
        place: place.to_owned(),
        what,
        hint: "patterns are searched for in names such as blk.12.ffn_down.weight".to_owned(),
    };
    check_pattern(&table.r#match).map_err(|why| wrong(format!("the pattern {:?} {why}", table.r#match)))?;
    let layers = table.layers.clone().map(Layers::try_from).transpose().map_err(wrong)?;
    let type_name = tensor_type(&table.r#type, place)?;
    Ok(Override { tensors: table.r#match.clone(), layers, type_name })
}

fn tensor_type(name: &str, place: &str) -> Result<String, PlanError> {
    ladder::tensor_type(name).map(str::to_owned).ok_or_else(|| PlanError::Unknown {
        place: place.to_owned(),
        kind: "tensor type",
        name: name.to_owned(),
        nearest: crate::plan::error::nearest(name, TENSOR_TYPES.into_iter()),
    })
}

fn outside_blocks(what: &str, name: &str, place: &str) -> Result<String, PlanError> {
    let name = tensor_type(name, place)?;
    if NEVER_OUTSIDE_BLOCKS.contains(&name.as_str()) {
        return Err(PlanError::Missing {
            place: place.to_owned(),
            what: format!(
                "{what} cannot be {name}: that type needs importances, which there are for blocks only"
            ),
            hint: "IQ2_S and IQ3_XXS do without".to_owned(),
        });
    }
    Ok(name)
}

fn check_name(name: &str, place: &str) -> Result<(), PlanError> {
    let fine = |c: char| c.is_alphanumeric() || IN_NAMES.contains(c);
    if name == BASE {
        return Err(wrong_name(name, "is the base's", place));
    }
    if name.is_empty() || name.len() > LONGEST || !name.chars().all(fine) {
        return Err(wrong_name(name, "may have letters, digits and . _ + @ - only", place));
    }
    Ok(())
}

fn wrong_name(name: &str, why: &str, place: &str) -> PlanError {
    PlanError::Missing {
        place: place.to_owned(),
        what: format!("the name {name:?} {why}"),
        hint: "give the recipe another name".to_owned(),
    }
}

/// What all that read a pattern read alike, and what a command line can carry.
fn check_pattern(pattern: &str) -> Result<(), String> {
    if pattern.is_empty() || pattern.len() > LONGEST {
        return Err(format!("must have 1 to {LONGEST} characters"));
    }
    if let Some(c) =
        pattern.chars().find(|c| !c.is_ascii_graphic() || c.is_ascii_uppercase() || "='&~".contains(*c))
    {
        return Err(format!("has {c:?}, which llama-quantize could not be given"));
    }
    let mut rest = pattern;
    while let Some(at) = rest.find(['\\', '(', '[']) {
        let tail = rest.get(at..).unwrap_or_default();
        let unlike = match tail.as_bytes() {
            [b'\\', c, ..] if c.is_ascii_alphabetic() && !b"dwsb".contains(c) => true,
            [b'\\', c, ..] if c.is_ascii_digit() => true,
            [b'(', b'?', c, ..] if *c != b':' => true,
            [b'[', b'[', ..] => true,
            _ => false,
        };
        if unlike {
            let part: String = tail.chars().take(3).collect();
            return Err(format!("uses {part:?}, which llama.cpp reads otherwise or not at all"));
        }
        let step = if tail.starts_with('\\') { 2 } else { 1 };
        rest = tail.get(step..).unwrap_or_default();
    }
    Regex::new(pattern).map(|_| ()).map_err(|error| {
        let text = error.to_string();
        let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
        format!("is no regular expression: {last}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::preset::PRESETS;
    use proptest::prelude::*;

    fn of(text: &str) -> Result<Recipe, PlanError> {
        parse(text, "mine", "mine.toml")
    }

    #[test]
    fn a_whole_recipe() {
        let text = "type = \"q4_k_m\"\noutput = \"q8_0\"\nimatrix = \"x.imatrix\"\nkv = { k = \"q8_0\", v = \"q4_0\" }\n\
                    [[tensors]]\nmatch = \"attn_v\"\nlayers = \"0-3,26-\"\ntype = \"q6_k\"\n";
        let recipe = of(text).expect("valid");
        assert_eq!(recipe.variant(), "mine/kv=q8_0,q4_0");
        assert_eq!(recipe.weights.output.as_deref(), Some("Q8_0"));
        assert_eq!(recipe.weights.imatrix, ImatrixUse::File("x.imatrix".into()));
        assert_eq!(recipe.weights.overrides[0].type_name, "Q6_K");
    }

    #[test]
    fn presets_are_valid_and_say_what_they_are() {
        for p in PRESETS {
            let recipe = preset(p).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(recipe.variant(), p.name);
            assert!(recipe.weights.is_mixed(), "{}", p.name);
            assert!(about(p.text).is_some(), "{}", p.name);
        }
    }

    #[test]
    fn errors_name_file_line_and_key() {
        let rule = |rest: &str| format!("type = \"Q4_0\"\n\n[[tensors]]\n{rest}\n");
        let cases = [
            ("typ = \"Q4_0\"\n".to_owned(), "mine.toml, line 1: unknown field `typ`"),
            ("type = \"Q4_KM\"\n".to_owned(), "mine.toml: no recipe is called \"Q4_KM\""),
            ("output = \"Q8_0\"\n".to_owned(), "mine.toml: a recipe has either `type` or `gguf`"),
            (
                "gguf = \"a.gguf\"\nimatrix = true\n".to_owned(),
                "mine.toml: a file that is there already takes",
            ),
            ("type = \"Q4_0\"\noutput = \"IQ2_XS\"\n".to_owned(), "output cannot be IQ2_XS"),
            ("type = \"Q4_0\"\noutput = \"Q8_K\"\n".to_owned(), "no tensor type is called \"Q8_K\""),
            ("type = \"Q4_0\"\nname = \"Q8_0\"\n".to_owned(), "the name \"Q8_0\" is a stock type's"),
            ("type = \"Q4_0\"\nname = \"a/b\"\n".to_owned(), "the name \"a/b\" may have"),
            ("type = \"Q4_0\"\nimatrix = 3\n".to_owned(), "line 2: imatrix must be true, false or the path"),
            (rule("match = \"a(\"\ntype = \"Q8_0\""), "line 3: the pattern \"a(\" is no regular expression"),
            (rule("match = \"(?i)a\"\ntype = \"Q8_0\""), "uses \"(?i\""),
            (rule("match = \"(?=a)\"\ntype = \"Q8_0\""), "has '='"),
            (rule("match = \"Attn\"\ntype = \"Q8_0\""), "has 'A'"),
            (rule("match = \"\\\\pl\"\ntype = \"Q8_0\""), "uses \"\\\\pl\""),
            (rule("match = \"a\"\ntype = \"Q8_0\"\nlayers = \"x\""), "line 3: \"x\" selects no layers"),
            (
                "type = \"F16\"\n[[tensors]]\nmatch = \"a\"\ntype = \"Q8_0\"\n".to_owned(),
                "where the type is F16",
            ),
        ];
        for (text, expected) in cases {
            let error = of(&text).expect_err(&text);
            assert!(error.to_string().contains(expected), "{error} lacks {expected}");
            assert!(error.hint().is_some());
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,80}") {
            let _ = of(&text);
            let _ = check_pattern(&text);
            let _ = Recipe::parse(&text, "test");
        }

        #[test]
        fn a_pattern_that_is_taken_is_a_regular_expression(pattern in r"[a-z_.()|?:*+\[\]\\0-9^$-]{1,20}") {
            if check_pattern(&pattern).is_ok() {
                prop_assert!(Regex::new(&pattern).is_ok());
            }
        }
    }
}
