//! The kinds of task: a prompt of a cell with so much haystack, and what the answer should hold. Haystack, and what is
//! hidden in it, follow from kind, length and number alone, so that prompts that differ in depth are the same up to
//! the shallower place.

use super::material::{MOST_NAMES, coined, names, number, sentence, variables, words};
use super::random::Draw;
use super::table::{Cell, Kind};

/// Numbers of one thing, or things that are asked for together.
const SEVERAL: usize = 4;
/// Variables of a chain.
const CHAIN: usize = 5;
/// Words that stand in a list most often.
const COMMON: usize = 10;
/// Coined words that are asked for.
const FREQUENT: usize = 3;
/// Coined words of a text.
const COINED: usize = 60;

/// A finished prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Draft {
    /// All up to where the answer begins.
    pub prompt: String,
    /// How the answer begins, for models that continue a text.
    pub lead: String,
    /// What the answer should hold.
    pub answers: Vec<String>,
}

/// Pieces of haystack that a kind has at least and at most.
pub(super) fn bounds(kind: Kind) -> (usize, usize) {
    match kind {
        Kind::CommonWords => (60, usize::MAX),
        Kind::FrequentWords => (40, usize::MAX),
        Kind::MultiKey => (1, MOST_NAMES - 1),
        _ => (2, usize::MAX),
    }
}

/// The prompt of a cell with so many pieces of haystack: sentences, or words of a list.
pub(super) fn draft(seed: u64, cell: &Cell, pieces: usize) -> Draft {
    let numbers = [u64::from(cell.length), u64::from(cell.index)];
    let draw = |what: &str| Draw::new(seed, &format!("{} {what}", cell.kind.word()), &numbers);
    let task = Task { pieces, hidden: draw("hidden"), hay: draw("hay"), place: draw("place") };
    match cell.kind {
        Kind::Needle => task.needle(cell.depth.unwrap_or(50)),
        Kind::MultiKey => task.multi_key(cell.depth.unwrap_or(50)),
        Kind::MultiValue => task.multi_value(),
        Kind::MultiQuery => task.multi_query(),
        Kind::VariableTracking => task.variable_tracking(),
        Kind::CommonWords => task.common_words(),
        Kind::FrequentWords => task.frequent_words(),
    }
}

/// What a prompt is made with.
struct Task {
    pieces: usize,
    /// What is asked for.
    hidden: Draw,
    /// What is around it.
    hay: Draw,
    /// Where it stands.
    place: Draw,
}

fn told(name: &str, number: &str) -> String {
    format!("The number of the {name} is {number}.")
}

/// The text between what is said before and what is asked behind.
fn prompt(before: &str, text: &str, question: &str) -> String {
    format!("{before}\n\n{text}\n\nQuestion: {question}\nAnswer:")
}

const NUMBERS: &str =
    "Numbers are hidden in the text below. Keep them in mind: you will be asked for some of them.";

impl Task {
    fn sentences(&mut self) -> Vec<String> {
        (0..self.pieces).map(|_| sentence(&mut self.hay)).collect()
    }

    fn at_depth(&self, mut lines: Vec<String>, depth: u32, hidden: String) -> String {
        lines.insert(self.pieces * depth.min(100) as usize / 100, hidden);
        lines.join(" ")
    }

    /// The lines in their order, spread over sentences.
    fn spread(&mut self, hidden: Vec<String>) -> String {
        let mut places: Vec<usize> = hidden.iter().map(|_| self.place.below(self.pieces + 1)).collect();
        places.sort_unstable();
        let mut lines = self.sentences();
        for (place, line) in places.into_iter().zip(hidden).rev() {
            lines.insert(place, line);
        }
        lines.join(" ")
    }

    fn needle(mut self, depth: u32) -> Draft {
        let (name, value) = (names(1, &mut self.hidden).concat(), number(&mut self.hidden));
        let lines = self.sentences();
        let text = self.at_depth(lines, depth, told(&name, &value));
        asked_for_one(&text, &name, value)
    }

    fn multi_key(mut self, depth: u32) -> Draft {
        // One too many, should what is asked for be among them.
        let (name, value) = (names(1, &mut self.hidden).concat(), number(&mut self.hidden));
        let others = names(self.pieces + 1, &mut self.hay).into_iter().filter(|other| *other != name);
        let others: Vec<String> = others.take(self.pieces).collect();
        let lines = others.iter().map(|other| told(other, &number(&mut self.place))).collect();
        let text = self.at_depth(lines, depth, told(&name, &value));
        asked_for_one(&text, &name, value)
    }

    fn multi_value(mut self) -> Draft {
        let name = names(1, &mut self.hidden).concat();
        let answers: Vec<String> = (0..SEVERAL).map(|_| number(&mut self.hidden)).collect();
        let hidden = answers.iter().map(|value| format!("A number of the {name} is {value}.")).collect();
        let text = self.spread(hidden);
        Draft {
            prompt: prompt(NUMBERS, &text, &format!("Which {SEVERAL} numbers does the {name} have?")),
            lead: format!(" The numbers of the {name} are"),
            answers,
        }
    }

    fn multi_query(mut self) -> Draft {
        let names = names(SEVERAL, &mut self.hidden);
        let answers: Vec<String> = names.iter().map(|_| number(&mut self.hidden)).collect();
        let mut hidden: Vec<String> =
            names.iter().zip(&answers).map(|(name, value)| told(name, value)).collect();
        // Not in the order in which they are asked for.
        self.place.shuffle(&mut hidden);
        let text = self.spread(hidden);
        let all = names.join(", the ");
        Draft {
            prompt: prompt(NUMBERS, &text, &format!("What are the numbers of the {all}, in this order?")),
            lead: " The numbers are, in this order,".to_owned(),
            answers,
        }
    }

    /// Two chains of variables, one of which is asked for.
    fn variable_tracking(mut self) -> Draft {
        let all = variables(2 * CHAIN, &mut self.hidden);
        let (answers, others) = all.split_at(CHAIN);
        let (value, other) = (number(&mut self.hidden), number(&mut self.hidden));
        let mut chains = [chain(answers, &value), chain(others, &other)];
        let mut hidden = Vec::new();
        while chains.iter().any(|chain| !chain.is_empty()) {
            // Each chain keeps its order.
            let next = self.place.below(2);
            if let Some(line) = chains.get_mut(next).and_then(Vec::pop) {
                hidden.push(line);
            }
        }
        let text = self.spread(hidden);
        let before =
            "Variables get their values in the text below, some from other variables. Keep track of them.";
        Draft {
            prompt: prompt(before, &text, &format!("Which {CHAIN} variables have the value {value}?")),
            lead: format!(" The variables with the value {value} are"),
            answers: answers.to_vec(),
        }
    }

    /// Ten words share a third of the list; of the others none stands there a fifth as often as they do.
    fn common_words(mut self) -> Draft {
        let all = words(&mut self.hidden);
        let (common, others) = all.split_at(COMMON.min(all.len()));
        let often = (self.pieces / (3 * COMMON)).max(2);
        let rest = self.pieces.saturating_sub(often * COMMON);
        let mut list: Vec<&str> = common.iter().flat_map(|word| std::iter::repeat_n(*word, often)).collect();
        list.extend(others.iter().cycle().take(rest));
        self.place.shuffle(&mut list);
        let before = "Below is a list of words. Some of them stand in it again and again.";
        let question = format!("Which {COMMON} words stand in the list most often?");
        Draft {
            prompt: prompt(before, &list.join(", "), &question),
            lead: format!(" The {COMMON} words that stand in the list most often are"),
            answers: common.iter().map(|word| (*word).to_owned()).collect(),
        }
    }

    /// The k-th word stands there as often as one of k squared of the first.
    fn frequent_words(mut self) -> Draft {
        let words = coined(COINED, &mut self.hidden);
        // The sum of 1/k^2 is 1.645.
        let often = |rank: usize| self.pieces * 608 / 1000 / (rank * rank);
        let mut list: Vec<&str> = Vec::new();
        for (rank, word) in words.iter().enumerate() {
            list.extend(std::iter::repeat_n(word.as_str(), often(rank + 1).max(1)));
        }
        self.place.shuffle(&mut list);
        let before = "Below is a text in a secret language. Count how often its words are used.";
        let question = format!("Which {FREQUENT} words are used most often?");
        Draft {
            prompt: prompt(before, &list.join(" "), &question),
            lead: format!(" The {FREQUENT} words that are used most often are"),
            answers: words.into_iter().take(FREQUENT).collect(),
        }
    }
}

fn asked_for_one(text: &str, name: &str, value: String) -> Draft {
    Draft {
        prompt: prompt(NUMBERS, text, &format!("What is the number of the {name}?")),
        lead: format!(" The number of the {name} is"),
        answers: vec![value],
    }
}

/// What is said of a chain's variables, the last first.
fn chain(variables: &[String], value: &str) -> Vec<String> {
    let sources = std::iter::once(value).chain(variables.iter().map(String::as_str));
    let mut lines: Vec<String> = variables
        .iter()
        .zip(sources)
        .map(|(variable, source)| format!("Let {variable} be {source}."))
        .collect();
    lines.reverse();
    lines
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn cell(kind: Kind, depth: u32) -> Cell {
        Cell { kind, length: 1024, depth: kind.has_depth().then_some(depth), index: 0 }
    }

    fn text(draft: &Draft) -> &str {
        draft.prompt.split("\n\n").nth(1).expect("a haystack")
    }

    #[test]
    fn what_is_hidden_stands_at_its_depth() {
        for kind in [Kind::Needle, Kind::MultiKey] {
            for depth in [0, 25, 50, 75, 100] {
                let draft = draft(1, &cell(kind, depth), 200);
                let sentences: Vec<&str> = text(&draft).split_inclusive(". ").collect();
                let at = sentences.iter().position(|s| s.contains(&draft.answers[0])).expect("hidden");
                assert_eq!((sentences.len(), at), (201, 2 * depth as usize), "{kind:?}");
                assert_eq!(text(&draft).matches(&draft.answers[0]).count(), 1);
                let name = draft.lead.trim_start_matches(" The number of the ").trim_end_matches(" is");
                assert_eq!(text(&draft).matches(&format!("the {name} is ")).count(), 1);
            }
        }
    }

    #[test]
    fn prompts_share_all_in_front_of_the_shallower_place() {
        let (half, end) = (draft(1, &cell(Kind::Needle, 50), 100), draft(1, &cell(Kind::Needle, 100), 100));
        let alike = half.prompt.bytes().zip(end.prompt.bytes()).take_while(|(a, b)| a == b).count();
        assert!(alike * 5 > half.prompt.len() * 2 && half.answers == end.answers);
        assert_ne!(draft(2, &cell(Kind::Needle, 50), 100).answers, half.answers);
    }

    #[test]
    fn several_numbers_are_all_hidden() {
        for kind in [Kind::MultiValue, Kind::MultiQuery] {
            let draft = draft(1, &cell(kind, 0), 50);
            assert_eq!(draft.answers.len(), SEVERAL);
            assert!(draft.answers.iter().all(|answer| text(&draft).matches(answer).count() == 1), "{kind:?}");
        }
    }

    #[test]
    fn variables_are_given_in_the_order_of_their_chain() {
        let draft = draft(3, &cell(Kind::VariableTracking, 0), 50);
        let mut values: BTreeMap<&str, &str> = BTreeMap::new();
        for line in text(&draft).split(". ").filter_map(|line| line.strip_prefix("Let ")) {
            let (variable, source) = line.trim_end_matches('.').split_once(" be ").expect("a value");
            values.insert(variable, values.get(source).copied().unwrap_or(source));
        }
        assert_eq!(values.len(), 2 * CHAIN);
        let asked = draft.lead.split_whitespace().nth(5).expect("a value");
        let mut found: Vec<&str> = values.iter().filter(|(_, v)| **v == asked).map(|(k, _)| *k).collect();
        let mut expected: Vec<&str> = draft.answers.iter().map(String::as_str).collect();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_words_asked_for_are_the_most_frequent_and_by_far() {
        for (kind, pieces) in
            [(Kind::CommonWords, 60), (Kind::CommonWords, 9000), (Kind::FrequentWords, 3000)]
        {
            let draft = draft(1, &cell(kind, 0), pieces);
            let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
            for word in text(&draft).split([' ', ',']).filter(|word| !word.is_empty()) {
                *counts.entry(word).or_default() += 1;
            }
            let least = draft.answers.iter().map(|word| counts[word.as_str()]).min().expect("answers");
            let others = counts.iter().filter(|(word, _)| !draft.answers.iter().any(|a| a == *word));
            let most = others.map(|(_, count)| *count).max().expect("others");
            assert!(least as f64 >= 1.7 * most as f64, "{kind:?}: {least} and {most}");
        }
    }
}
