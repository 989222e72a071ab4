//! Items as they are scored: data and template become a context and its choices, in the parent, once for all
//! variants, so that every variant sees the same text.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;

use crate::plan::error::PlanError;
use crate::plan::suite::ChoiceSuite;
use crate::plan::template::Template;

/// A multiple-choice item, rendered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChoiceItem {
    /// Position in the data file, from 0.
    pub index: u64,
    /// The item's own id.
    pub id: String,
    /// Context before the choices.
    pub context: String,
    /// What stands between context and choice.
    pub delimiter: String,
    /// The choices.
    pub choices: Vec<String>,
    /// Index of the right one.
    pub answer: u32,
}

/// Renders every line of a JSON-lines file. Few-shot examples are the last `fewshot` lines and are kept out of
/// the items, since the packaged files have no train split.
pub fn choice_items(path: &Path, text: &str, suite: &ChoiceSuite) -> Result<Vec<ChoiceItem>, PlanError> {
    let rows: Vec<(usize, Value)> = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(i, line)| match serde_json::from_str(line) {
            Ok(value @ Value::Object(_)) => Ok((i + 1, value)),
            Ok(_) => Err(bad(path, i + 1, "not a JSON object".to_owned())),
            Err(error) => Err(bad(path, i + 1, format!("not valid JSON: {error}"))),
        })
        .collect::<Result<_, _>>()?;
    let evaluated = rows.len().saturating_sub(suite.fewshot as usize);
    let render = Renderer::new(suite)?;
    let header = rows
        .iter()
        .skip(evaluated)
        .map(|(line, row)| render.example(path, *line, row))
        .collect::<Result<String, _>>()?;
    rows.iter()
        .take(evaluated)
        .enumerate()
        .map(|(index, (line, row))| render.item(path, *line, index as u64, row, &header))
        .collect()
}

fn bad(path: &Path, line: usize, message: String) -> PlanError {
    PlanError::Data { path: path.to_owned(), line, message }
}

struct Renderer<'suite> {
    suite: &'suite ChoiceSuite,
    context: Template,
    choices: Template,
    answer: Template,
    id: Template,
}

impl<'suite> Renderer<'suite> {
    fn new(suite: &'suite ChoiceSuite) -> Result<Self, PlanError> {
        Ok(Self {
            suite,
            context: Template::new("doc_to_text", &suite.doc_to_text)?,
            choices: Template::new("doc_to_choice", &suite.doc_to_choice)?,
            answer: Template::new("doc_to_target", &suite.doc_to_target)?,
            id: Template::new("doc_to_id", &suite.doc_to_id)?,
        })
    }

    fn item(
        &self,
        path: &Path,
        line: usize,
        index: u64,
        row: &Value,
        header: &str,
    ) -> Result<ChoiceItem, PlanError> {
        let fail = |message| bad(path, line, message);
        let choices = self.choices.list(row).map_err(fail)?;
        if choices.len() < 2 || choices.iter().any(String::is_empty) {
            return Err(fail(format!("{} choices, some of them empty, or fewer than two", choices.len())));
        }
        let answer = self.answer.text(row).map_err(fail)?;
        let answer = answer
            .trim()
            .parse::<u32>()
            .ok()
            .filter(|a| (*a as usize) < choices.len())
            .ok_or_else(|| fail(format!("the right answer {answer:?} is not the index of a choice")))?;
        let context = format!("{header}{}", self.context.text(row).map_err(fail)?);
        let id = self.id.text(row).map_err(fail)?;
        let id = if id.is_empty() { index.to_string() } else { id };
        Ok(ChoiceItem { index, id, context, delimiter: self.suite.target_delimiter.clone(), choices, answer })
    }

    /// An example with its answer, as it stands in the few-shot header.
    fn example(&self, path: &Path, line: usize, row: &Value) -> Result<String, PlanError> {
        let item = self.item(path, line, 0, row, "")?;
        let right = item.choices.get(item.answer as usize).cloned().unwrap_or_default();
        Ok(format!("{}{}{right}{}", item.context, item.delimiter, self.suite.fewshot_delimiter))
    }
}
