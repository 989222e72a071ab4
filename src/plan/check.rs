//! What can be wrong with questions without anybody noticing: pure functions over what is asked, whatever the way of
//! scoring. A finding names the row it is about, so that whoever wrote the file finds it.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde::Serialize;

use crate::plan::overlap::Known;

/// Most findings of a kind that are listed for people.
const LISTED: usize = 20;
/// So unlikely is chance where answers are said to stand at the same place too often.
const CHANCE: f64 = 0.001;

/// A question.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// Its row.
    pub place: Place,
    /// What the model reads, without examples.
    pub prompt: String,
    /// What is right.
    pub answer: Answer,
}

/// Where a question stands in its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The line, from 1, or a Parquet file's row.
    pub line: usize,
    /// Its own id.
    pub id: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        if self.id.is_empty() { Ok(()) } else { write!(f, " ({})", self.id) }
    }
}

/// What is right.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// One of several texts, by its index.
    Choice {
        /// All of them.
        choices: Vec<String>,
        /// The right one.
        right: usize,
    },
    /// A text that what the model writes is compared with.
    Reference(String),
}

/// Something found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// What it is.
    pub kind: Kind,
    /// The question; absent where it is about all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// In a sentence.
    pub message: String,
}

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The templates make no question of it.
    Unusable,
    /// Asked before.
    Duplicate,
    /// Right answers stand at one place.
    SamePlace,
    /// A choice, or a reference, without a letter in it.
    EmptyChoice,
    /// Two choices are the same.
    DuplicateChoice,
    /// More tokens than the context has.
    TooLong,
    /// Text that is in the calibration text too.
    Overlap,
}

impl Kind {
    /// The heading of its list.
    pub fn heading(self) -> &'static str {
        match self {
            Self::Unusable => "cannot be asked",
            Self::Duplicate => "asked twice",
            Self::SamePlace => "right answers at the same place",
            Self::EmptyChoice => "empty choices",
            Self::DuplicateChoice => "choices that are the same",
            Self::TooLong => "longer than the context",
            Self::Overlap => "in the calibration text",
        }
    }
}

impl Finding {
    /// About one question.
    pub fn of(kind: Kind, place: &Place, message: String) -> Self {
        Self { kind, place: Some(place.clone()), message }
    }

    /// About all of them.
    pub fn of_all(kind: Kind, message: String) -> Self {
        Self { kind, place: None, message }
    }
}

/// All that can be found without a model: duplicates, the places of answers, empty and repeated choices.
pub fn questions(asked: &[Asked]) -> Vec<Finding> {
    let mut found = duplicates(asked);
    found.extend(same_place(asked));
    found.extend(asked.iter().flat_map(choices));
    found
}

/// Questions that were asked before: the same prompt with the same choices, in whatever order.
fn duplicates(asked: &[Asked]) -> Vec<Finding> {
    let mut first: HashMap<(&str, Vec<&str>), &Asked> = HashMap::new();
    let mut found = Vec::new();
    for one in asked {
        let mut choices = one.answer.choices();
        choices.sort_unstable();
        let Some(before) = first.get(&(one.prompt.as_str(), choices.clone())) else {
            first.insert((&one.prompt, choices), one);
            continue;
        };
        let but = if before.answer.right() == one.answer.right() { "" } else { ", with another answer" };
        found.push(Finding::of(Kind::Duplicate, &one.place, format!("as on {}{but}", before.place)));
    }
    found
}

/// Right answers that stand at one place more often than half-way between chance and always, where chance hardly ever
/// does that (Chernoff's bound on a binomial tail).
fn same_place(asked: &[Asked]) -> Option<Finding> {
    let mut places: BTreeMap<usize, u32> = BTreeMap::new();
    let (mut count, mut expected) = (0.0, 0.0);
    for one in asked {
        if let Answer::Choice { choices, right } = &one.answer
            && choices.len() > 1
        {
            *places.entry(*right).or_default() += 1;
            count += 1.0;
            expected += 1.0 / choices.len() as f64;
        }
    }
    let (place, often) = places.into_iter().max_by_key(|(_, often)| *often)?;
    let (share, chance) = (f64::from(often) / count, expected / count);
    let at_random = (-count * divergence(share, chance)).exp();
    (share > f64::midpoint(chance, 1.0) && at_random < CHANCE).then(|| {
        let share = if share < 1.0 { format!("{:.1}% of the", 100.0 * share) } else { "all".to_owned() };
        let message = format!("{share} right answers are choice {place} (counted from 0)");
        Finding::of_all(Kind::SamePlace, format!("{message}; by chance it would be {:.1}%", 100.0 * chance))
    })
}

/// Kullback-Leibler divergence of two coins, in nats.
fn divergence(share: f64, chance: f64) -> f64 {
    let part = |p: f64, q: f64| if p > 0.0 { p * (p / q).ln() } else { 0.0 };
    part(share, chance) + part(1.0 - share, 1.0 - chance)
}

/// Choices without a letter, and choices that are the same.
fn choices(one: &Asked) -> Vec<Finding> {
    let mut found = Vec::new();
    let choices = match &one.answer {
        Answer::Reference(text) if text.trim().is_empty() => {
            return vec![Finding::of(Kind::EmptyChoice, &one.place, "the reference is empty".to_owned())];
        }
        Answer::Reference(_) => return found,
        Answer::Choice { choices, .. } => choices,
    };
    for (i, choice) in choices.iter().enumerate() {
        if choice.trim().is_empty() {
            found.push(Finding::of(Kind::EmptyChoice, &one.place, format!("choice {i} is empty")));
        } else if let Some(before) = choices.iter().take(i).position(|c| c.trim() == choice.trim()) {
            let message = format!("choices {before} and {i} are both {:?}", choice.trim());
            found.push(Finding::of(Kind::DuplicateChoice, &one.place, message));
        }
    }
    found
}

/// Questions that share a passage with a calibration text: a model that was quantized with it has seen them.
pub fn overlaps(asked: &[Asked], calibration: &Known) -> Vec<Finding> {
    let found = asked.iter().filter_map(|one| {
        let text = format!("{}\n{}", one.prompt, one.answer.choices().join("\n"));
        let found = calibration.overlap(&text);
        let example = found.example.as_ref()?;
        let message = format!("{:.1}% of it, such as \"{example}\"", 100.0 * found.share());
        Some(Finding::of(Kind::Overlap, &one.place, message))
    });
    found.collect()
}

impl Answer {
    fn choices(&self) -> Vec<&str> {
        match self {
            Self::Choice { choices, .. } => choices.iter().map(String::as_str).collect(),
            Self::Reference(_) => Vec::new(),
        }
    }

    fn right(&self) -> Option<&str> {
        match self {
            Self::Choice { choices, right } => choices.get(*right).map(String::as_str),
            Self::Reference(text) => Some(text),
        }
    }
}

/// Findings for people, by kind, each list with an end.
pub fn listed(found: &[Finding]) -> String {
    let mut kinds: BTreeMap<Kind, Vec<&Finding>> = BTreeMap::new();
    for one in found {
        kinds.entry(one.kind).or_default().push(one);
    }
    let mut lines = Vec::new();
    for (kind, found) in kinds {
        lines.push(format!("  {} ({}):", kind.heading(), found.len()));
        lines.extend(found.iter().take(LISTED).map(|one| match &one.place {
            Some(place) => format!("    {place}: {}", one.message),
            None => format!("    {}", one.message),
        }));
        if found.len() > LISTED {
            lines.push(format!("    and {} more; --json lists them all", found.len() - LISTED));
        }
    }
    lines.push(String::new());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn asked(line: usize, prompt: &str, choices: &[&str], right: usize) -> Asked {
        let choices = choices.iter().map(|c| (*c).to_owned()).collect();
        let place = Place { line, id: format!("q{line}") };
        Asked { place, prompt: prompt.to_owned(), answer: Answer::Choice { choices, right } }
    }

    fn told(found: &[Finding]) -> Vec<(Kind, usize, &str)> {
        let line = |one: &Finding| one.place.as_ref().map_or(0, |place| place.line);
        found.iter().map(|one| (one.kind, line(one), one.message.as_str())).collect()
    }

    #[test]
    fn what_is_wrong_with_choices_is_found_and_nothing_else() {
        let found = questions(&[
            asked(1, "a", &["x", "y"], 0),
            asked(2, "b", &["x", "y"], 1),
            asked(3, "a", &["y", "x"], 1),
            asked(4, "a", &["y", "x"], 0),
            asked(5, "a", &["x", "y", "z"], 2),
            asked(6, "c", &["x", " ", "x "], 0),
        ]);
        assert_eq!(
            told(&found),
            [
                (Kind::Duplicate, 3, "as on line 1 (q1)"),
                (Kind::Duplicate, 4, "as on line 1 (q1), with another answer"),
                (Kind::EmptyChoice, 6, "choice 1 is empty"),
                (Kind::DuplicateChoice, 6, "choices 0 and 2 are both \"x\""),
            ]
        );
        let text = Answer::Reference(" ".to_owned());
        let blank =
            Asked { place: Place { line: 1, id: String::new() }, prompt: String::new(), answer: text };
        assert_eq!(told(&questions(&[blank])), [(Kind::EmptyChoice, 1, "the reference is empty")]);
    }

    fn answers(at: &[usize], choices: usize) -> Vec<Asked> {
        let texts: Vec<String> = (0..choices).map(|i| i.to_string()).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        at.iter().enumerate().map(|(i, right)| asked(i, &i.to_string(), &texts, *right)).collect()
    }

    #[test]
    fn answers_at_one_place_are_told_with_their_share() {
        let share = |at: &[usize], choices| questions(&answers(at, choices)).pop().map(|f| f.message);
        let all = "all right answers are choice 2 (counted from 0); by chance it would be 25.0%";
        assert_eq!(share(&[2; 6], 4).as_deref(), Some(all));
        let most = [&[1; 18][..], &[0, 2]].concat();
        let most = share(&most, 4).expect("too often");
        assert!(most.starts_with("90.0% of the right answers are choice 1"), "{most}");
        // Too few to tell, even shares, and an uneven one as yes and no have it.
        for (at, choices) in
            [(&[2; 4][..], 4), (&[0, 1, 2, 3].repeat(50), 4), (&[0, 0, 0, 1, 1].repeat(99), 2)]
        {
            assert_eq!(share(at, choices), None);
        }
    }

    #[test]
    fn a_passage_of_the_calibration_text_is_found() {
        let seen =
            "What is the capital of the country that lies between the two longest rivers of the continent?";
        let known = Known::new(&format!("Before. {} After.", seen.to_uppercase()));
        let found =
            overlaps(&[asked(1, seen, &["x", "y"], 0), asked(2, "Something else", &["x", "y"], 0)], &known);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].place.as_ref().map(|p| p.line), Some(1));
        assert!(found[0].message.contains("whatisthecapital"), "{}", found[0].message);
    }

    #[test]
    fn long_lists_end() {
        let text = listed(&questions(&vec![answers(&[0, 1, 0], 2); 10].concat()));
        assert!(
            text.contains("asked twice (27):") && text.ends_with("and 7 more; --json lists them all\n"),
            "{text}"
        );
    }

    proptest! {
        #[test]
        fn fair_answers_are_not_blamed(at in prop::collection::vec(0_usize..4, 200)) {
            prop_assert_eq!(questions(&answers(&at, 4)), vec![]);
        }
    }
}
