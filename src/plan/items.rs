//! Items as they are scored: data and template become a context and its choices, in the parent, once for all
//! variants, so that every variant sees the same text.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::plan::error::PlanError;
use crate::plan::rows::{Row, bad};
use crate::plan::suite::ChoiceSuite;
use crate::plan::template::Template;

/// A multiple-choice item, rendered.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ChoiceItem {
    /// Position in the data file, from 0.
    pub index: u64,
    /// The item's own id.
    pub id: String,
    /// Context before the choices.
    pub context: String,
    /// What stands between context and choice.
    pub delimiter: String,
    /// The choices; ends of the context where there is a `continuation`.
    pub choices: Vec<String>,
    /// What is scored behind each choice, in suites of partial evaluation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continuation: Option<String>,
    /// Index of the right one; of several right ones the first.
    pub answer: u32,
    /// Whether each choice is true, where several may be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<bool>,
    /// The group it belongs to, such as a subject; empty where the suite has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// What it shares with others; empty where the suite says nothing of it. Scoring does not know it.
    #[serde(skip)]
    pub cluster: String,
}

/// A data file: its path, for messages, and its rows.
#[derive(Debug, Clone, Copy)]
pub struct Data<'a> {
    /// The file.
    pub path: &'a Path,
    /// What is in it.
    pub rows: &'a [Row],
}

/// Renders every row; [`Data`] of examples gives its first rows, otherwise the last of the data are the examples.
pub fn choice_items(
    data: Data<'_>,
    examples: Option<Data<'_>>,
    suite: &ChoiceSuite,
) -> Result<Vec<ChoiceItem>, PlanError> {
    rendered(data, examples, suite)?
        .into_iter()
        .map(|(line, item)| {
            let item = item?;
            match item.fault(suite.only) {
                Some(message) => Err(bad(data.path, line, message)),
                None => Ok(item),
            }
        })
        .collect()
}

/// An item, or why there is none, with the line of its row.
pub type Rendered<I> = (usize, Result<I, PlanError>);

/// Every item, or why it cannot be rendered. Its choices may be such that it cannot be asked: [`ChoiceItem::fault`].
pub fn rendered(
    data: Data<'_>,
    examples: Option<Data<'_>>,
    suite: &ChoiceSuite,
) -> Result<Vec<Rendered<ChoiceItem>>, PlanError> {
    let render = Renderer::new(suite)?;
    let shots = Shots { count: suite.fewshot as usize, group: render.group.as_ref() };
    asked(
        data,
        examples,
        &shots,
        |path, row| render.example(path, row),
        |path, row, index, header| render.item(path, row, index, &header.concat()),
    )
}

/// Few-shot examples of a suite.
pub(super) struct Shots<'suite> {
    /// So many in front of every item.
    pub count: usize,
    /// Rows of one group share their examples; without it all rows are one group.
    pub group: Option<&'suite Template>,
}

/// The items of a file. Few-shot examples are the first rows of the examples' file; without one they are the last rows
/// of the data, which are then kept out of the items. Where the suite groups its rows, all this group by group.
pub(super) fn asked<E, I>(
    data: Data<'_>,
    examples: Option<Data<'_>>,
    shots: &Shots<'_>,
    example: impl Fn(&Path, &Grouped<'_>) -> Result<E, PlanError>,
    item: impl Fn(&Path, &Grouped<'_>, u64, &[E]) -> Result<I, PlanError>,
) -> Result<Vec<Rendered<I>>, PlanError> {
    let mut rows = grouped(data, shots.group)?;
    let count = shots.count;
    let examples = match examples {
        Some(file) if count > 0 => Some((file.path, grouped(file, shots.group)?)),
        Some(_) => None,
        None => Some((data.path, kept_out(&mut rows, count))),
    };
    let mut headers: BTreeMap<String, Vec<E>> = BTreeMap::new();
    for (path, row) in examples.iter().flat_map(|(path, rows)| rows.iter().map(move |row| (path, row))) {
        let header = headers.entry(row.group.clone()).or_default();
        if header.len() < count {
            header.push(example(path, row)?);
        }
    }
    let none = Vec::new();
    let items = rows.iter().enumerate().map(|(index, row)| {
        let header = headers.get(&row.group).unwrap_or(&none);
        let item = if header.len() < count {
            let of = if row.group.is_empty() { String::new() } else { format!(" of {:?}", row.group) };
            let message = format!("{count} examples{of} are asked for, and there are {}", header.len());
            Err(bad(data.path, row.row.line, message))
        } else {
            item(data.path, row, index as u64, header)
        };
        (row.row.line, item)
    });
    Ok(items.collect())
}

fn grouped<'a>(file: Data<'a>, group: Option<&Template>) -> Result<Vec<Grouped<'a>>, PlanError> {
    let rows = file.rows.iter().map(|row| {
        let group = group.map(|group| group.text(&row.value)).transpose();
        let group = group.map_err(|why| bad(file.path, row.line, why))?;
        Ok(Grouped { row, group: group.unwrap_or_default() })
    });
    rows.collect()
}

impl ChoiceItem {
    /// The longest text that is decoded for it.
    pub fn longest(&self) -> String {
        let choice = self.choices.iter().max_by_key(|choice| choice.len()).map_or("", String::as_str);
        let Self { context, delimiter, .. } = self;
        match &self.continuation {
            Some(end) => format!("{context}{choice}{delimiter}{}", end.trim()),
            None => format!("{context}{delimiter}{choice}"),
        }
    }

    /// Why its choices cannot be asked; `only` where there is to be one.
    pub fn fault(&self, only: bool) -> Option<String> {
        let (count, empty) = (self.choices.len(), self.choices.iter().any(String::is_empty));
        if only && (count != 1 || empty) {
            return Some(format!("{count} choices, or an empty one, where there is only one"));
        }
        if !only && (count < 2 || empty) {
            return Some(format!("{count} choices, some of them empty, or fewer than two"));
        }
        None
    }
}

/// Takes the last `shots` rows of each group out.
fn kept_out<'a>(rows: &mut Vec<Grouped<'a>>, shots: usize) -> Vec<Grouped<'a>> {
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows.iter() {
        *left.entry(&row.group).or_default() += 1;
    }
    let is_item: Vec<bool> = rows
        .iter()
        .map(|row| {
            let left = left.entry(&row.group).or_default();
            *left -= 1;
            *left >= shots
        })
        .collect();
    let mut is_item = is_item.into_iter();
    let (items, examples) = rows.drain(..).partition(|_| is_item.next().unwrap_or(true));
    *rows = items;
    examples
}

/// A row of a file.
pub(super) struct Grouped<'a> {
    /// The row.
    pub row: &'a Row,
    /// Rows of one group share their examples.
    pub group: String,
}

struct Renderer<'suite> {
    suite: &'suite ChoiceSuite,
    description: Template,
    context: Template,
    choices: Template,
    continuation: Option<Template>,
    answer: Option<Template>,
    labels: Option<Template>,
    id: Template,
    group: Option<Template>,
    cluster: Option<Template>,
}

impl<'suite> Renderer<'suite> {
    fn new(suite: &'suite ChoiceSuite) -> Result<Self, PlanError> {
        let optional = |name, source: &Option<String>| {
            source.as_ref().map(|source| Template::new(name, source)).transpose()
        };
        Ok(Self {
            suite,
            description: Template::new("description", &suite.description)?,
            context: Template::new("doc_to_text", &suite.doc_to_text)?,
            choices: Template::new("doc_to_choice", &suite.doc_to_choice)?,
            continuation: optional("doc_to_continuation", &suite.doc_to_continuation)?,
            answer: optional("doc_to_target", &suite.doc_to_target)?,
            labels: optional("doc_to_labels", &suite.doc_to_labels)?,
            id: Template::new("doc_to_id", &suite.doc_to_id)?,
            group: optional("doc_to_group", &suite.doc_to_group)?,
            cluster: optional("doc_to_cluster", &suite.doc_to_cluster)?,
        })
    }

    fn item(
        &self,
        path: &Path,
        row: &Grouped<'_>,
        index: u64,
        header: &str,
    ) -> Result<ChoiceItem, PlanError> {
        let fail = |message| bad(path, row.row.line, message);
        let value = &row.row.value;
        let choices = self.choices.list(value).map_err(fail)?;
        let labels = self.labels.as_ref().map(|labels| labels.labels(value, choices.len())).transpose();
        let labels = labels.map_err(fail)?.unwrap_or_default();
        let answer = match &self.answer {
            Some(template) => index_of(&template.text(value).map_err(fail)?, choices.len()).map_err(fail)?,
            None => labels.iter().position(|label| *label).unwrap_or_default() as u32,
        };
        let continuation = self.continuation.as_ref().map(|c| c.text(value)).transpose().map_err(fail)?;
        let description = self.description.text(value).map_err(fail)?;
        let context = format!("{description}{header}{}", self.context.text(value).map_err(fail)?);
        let id = self.id.text(value).map_err(fail)?;
        let id = if id.is_empty() { index.to_string() } else { id };
        let group = row.group.clone();
        // Tables tell a group's items by their ids.
        let id = if group.is_empty() { id } else { format!("{group}/{id}") };
        let delimiter = self.suite.target_delimiter.clone();
        let cluster = self.cluster.as_ref().map(|cluster| cluster.text(value)).transpose().map_err(fail)?;
        let cluster = cluster.unwrap_or_default();
        Ok(ChoiceItem {
            index,
            id,
            context,
            delimiter,
            choices,
            continuation,
            answer,
            labels,
            group,
            cluster,
        })
    }

    /// An example with its answer, as it stands in the few-shot header.
    fn example(&self, path: &Path, row: &Grouped<'_>) -> Result<String, PlanError> {
        let item = self.item(path, row, 0, "")?;
        let description =
            self.description.text(&row.row.value).map_err(|why| bad(path, row.row.line, why))?;
        let question = item.context.strip_prefix(&description).unwrap_or(&item.context);
        let right = item.choices.get(item.answer as usize).map_or("", String::as_str);
        let answer = match &item.continuation {
            Some(end) => format!("{right}{}{}", item.delimiter, end.trim()),
            None => format!("{}{right}", item.delimiter),
        };
        Ok(format!("{question}{answer}{}", self.suite.fewshot_delimiter))
    }
}

/// The index that a template printed.
fn index_of(answer: &str, choices: usize) -> Result<u32, String> {
    let index = answer.trim().parse::<u32>().ok().filter(|a| (*a as usize) < choices);
    index.ok_or_else(|| format!("the right answer {answer:?} is not the index of a choice"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite(fewshot: u32, group: Option<&str>) -> ChoiceSuite {
        let text = r#"
            doc_to_id = "{{ q }}"
            doc_to_text = "Q: {{ q }}\nA:"
            doc_to_choice = '["yes", "no"]'
            doc_to_target = "{{ a }}"
        "#;
        let mut suite: ChoiceSuite = toml::from_str(text).expect("parses");
        suite.fewshot = fewshot;
        suite.doc_to_group = group.map(str::to_owned);
        suite
    }

    const DATA: &str = r#"{"q": 1, "a": 0, "g": "x"}
{"q": 2, "a": 1, "g": "y"}

{"q": 3, "a": 0, "g": "x"}
{"q": 4, "a": 1, "g": "y"}
"#;

    fn rows(text: &str) -> Vec<Row> {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty());
        let row = |(i, line)| Row { line: i + 1, value: serde_json::from_str(line).expect("JSON") };
        lines.map(row).collect()
    }

    fn data(rows: &[Row]) -> Data<'_> {
        Data { path: Path::new("data.jsonl"), rows }
    }

    fn contexts(items: &[ChoiceItem]) -> Vec<&str> {
        items.iter().map(|item| item.context.as_str()).collect()
    }

    #[test]
    fn the_last_lines_are_the_examples_where_there_are_no_others() {
        let items = choice_items(data(&rows(DATA)), None, &suite(1, None)).expect("rendered");
        let header = "Q: 4\nA: no\n\n";
        assert_eq!(contexts(&items), [1, 2, 3].map(|q| format!("{header}Q: {q}\nA:")));
        let items = choice_items(data(&rows(DATA)), None, &suite(1, Some("{{ g }}"))).expect("rendered");
        assert_eq!(contexts(&items), ["Q: 3\nA: yes\n\nQ: 1\nA:", "Q: 4\nA: no\n\nQ: 2\nA:"]);
        assert_eq!(items.iter().map(|item| item.index).collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn a_file_of_examples_gives_its_first_lines() {
        let mut suite = suite(1, Some("{{ g }}"));
        suite.description = "About {{ g }}.\n".to_owned();
        let items = choice_items(data(&rows(DATA)), Some(data(&rows(DATA))), &suite).expect("rendered");
        assert_eq!(items.len(), 4);
        assert_eq!(items[3].context, "About y.\nQ: 2\nA: no\n\nQ: 4\nA:");
        suite.fewshot = 3;
        let error = choice_items(data(&rows(DATA)), Some(data(&rows(DATA))), &suite)
            .expect_err("too few")
            .to_string();
        assert!(error.contains("line 1") && error.contains("3 examples of \"x\""), "{error}");
    }

    #[test]
    fn several_choices_may_be_true() {
        let mut suite = suite(0, Some("{{ g }}"));
        suite.doc_to_target = None;
        suite.doc_to_labels = Some("{{ t | tojson }}".to_owned());
        let text = r#"{"q": 1, "t": [false, 1], "g": "x"}"#;
        let items = choice_items(data(&rows(text)), None, &suite).expect("rendered");
        assert_eq!((items[0].labels.as_slice(), items[0].answer), (&[false, true][..], 1));
        assert_eq!((items[0].id.as_str(), items[0].group.as_str()), ("x/1", "x"));
        for (text, reason) in [
            (r#"{"q": 1, "t": [0, 0], "g": "x"}"#, "no choice is true, or all are"),
            (r#"{"q": 1, "t": [1, 1], "g": "x"}"#, "no choice is true, or all are"),
            (r#"{"q": 1, "t": [1], "g": "x"}"#, "1 labels for 2 choices"),
            (r#"{"q": 1, "t": "yes", "g": "x"}"#, "not a list"),
        ] {
            let error = choice_items(data(&rows(text)), None, &suite).expect_err(text).to_string();
            assert!(error.contains("line 1") && error.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_shared_continuation_stands_behind_the_right_choice() {
        let mut suite = suite(1, None);
        suite.doc_to_text = String::new();
        suite.doc_to_continuation = Some(" is it.".to_owned());
        let items = choice_items(data(&rows(DATA)), None, &suite).expect("rendered");
        assert_eq!(items[0].context, "no is it.\n\n");
        assert_eq!(items[0].continuation.as_deref(), Some(" is it."));
    }
}
