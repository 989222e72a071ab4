//! Multiple choice by log-likelihood: items become sequences of tokens, which are scored as branches of a prefix tree.
//!
//! By lm-eval's definition spaces at the end of the context move to the continuation, and the continuation is what
//! `tokens(context + continuation)` has beyond the length of `tokens(context)`. By llama-perplexity's it begins where
//! the choices' tokens begin to differ, or, of two contexts with a shared continuation, where its `--winogrande` says.
//! Items are taken in groups whose trees fit into the cache; within a window they are sorted by their tokens, so that
//! neighbours have most in common. Groups that go on from what the one before has decoded are a section, which begins
//! with an empty cache.
//!
//! llama.cpp's kernels round by the shape of a batch and by the places of cells, so that the last digits of an item's
//! numbers depend on its section. Sections follow from the list of items alone. Where some of them are known already, after
//! an interruption, a section is decoded whole if it lacks any, and all numbers are those of an undisturbed run.

use std::collections::BTreeSet;

use crate::llama::ffi::Token;
use crate::llama::model::{LlamaError, Model};
use crate::plan::items::ChoiceItem;
use crate::plan::suite::ChoiceScoring;
use crate::score::branches::{Branches, Likelihood, Room};
use crate::score::item::{ChoiceScore, ItemScore, QuestionScore};
use crate::score::prefix_tree::{Sequence, Tree, common};

/// Most choices an item may have.
pub const MAX_CHOICES: usize = 32;
/// Items that are tokenised and sorted together.
const WINDOW: usize = 1024;
/// Tokens that a group must begin with like the one before to go on from it; fewer are decoded again as soon as kept.
const LEAST_SHARED: usize = 16;
/// Most groups of a section: what an interruption may have to decode again, against a common beginning decoded for each.
const GROUPS: usize = 16;

/// Items in their order, as sequences.
struct Prepared<'a> {
    item: &'a ChoiceItem,
    sequences: Vec<Sequence>,
    truncated: u32,
    /// Tokens and branches of its own tree.
    size: (usize, usize),
}

/// Who hears of each item.
pub type Tell<'a, E> = dyn FnMut(&ChoiceItem, Option<ItemScore>) -> Result<(), E> + 'a;

/// Scores items of which `longest` tokens are decoded at the most, and tells each; those that are `known` by their index
/// without a score, where they were decoded again. What cannot be scored is a [`ItemScore::Failed`]; only llama.cpp's errors
/// and those of `told` end the trial.
pub fn score_items<E: From<LlamaError>>(
    model: &Model,
    branches: &mut Branches<'_>,
    (items, known): (&[ChoiceItem], &BTreeSet<u64>),
    scoring: ChoiceScoring,
    longest: usize,
    told: &mut Tell<'_, E>,
) -> Result<(), E> {
    let is_known = |item: &ChoiceItem| known.contains(&item.index);
    for window in items.chunks(WINDOW).filter(|window| !window.iter().all(is_known)) {
        let mut prepared = Vec::with_capacity(window.len());
        for item in window {
            match prepare(model, item, scoring, longest)? {
                Ok(one) => prepared.push(one),
                Err(_) if is_known(item) => {}
                Err(reason) => told(item, Some(ItemScore::Failed { reason }))?,
            }
        }
        prepared.sort_by(|a, b| a.first().cmp(b.first()));
        for section in sections(&prepared, branches.room()) {
            if section.iter().copied().flatten().all(|one| is_known(one.item)) {
                continue;
            }
            branches.clear();
            for group in section {
                for (one, sums) in group.iter().zip(score_group(branches, group)?) {
                    told(one.item, Some(one.score(scoring, &sums)).filter(|_| !is_known(one.item)))?;
                }
            }
        }
    }
    Ok(())
}

/// Items as groups that are decoded together, and those as sections.
fn sections<'a>(items: &'a [Prepared<'a>], room: Room) -> Vec<Vec<&'a [Prepared<'a>]>> {
    let mut sections: Vec<Vec<&[Prepared<'_>]>> = Vec::new();
    let mut kept: &[Token] = &[];
    let mut left = items;
    while let Some(next) = left.first() {
        let open = sections.last_mut().filter(|section| {
            section.len() < GROUPS && common(kept, next.first()) >= LEAST_SHARED && !next.is_beyond(room)
        });
        kept = if open.is_some() { kept } else { &[] };
        let (group, rest) = left.split_at(group(left, kept, room));
        match open {
            Some(section) => section.push(group),
            None => sections.push(vec![group]),
        }
        // What was decoded choice by choice is not gone on from.
        let is_tree = !group.iter().any(|item| item.is_beyond(room));
        let paths = group.iter().filter(|_| is_tree).flat_map(|item| &item.sequences).map(Sequence::path);
        kept = paths.max().unwrap_or(&[]);
        left = rest;
    }
    sections
}

/// How many items one tree takes, of which `kept` is decoded already; at least one.
fn group(items: &[Prepared<'_>], kept: &[Token], room: Room) -> usize {
    let mut taken = Room { cells: 0, fresh: 0, branches: 0 };
    let mut before: Option<&[Token]> = None;
    let fits = items.iter().take_while(|item| {
        let (tokens, branches) = item.size;
        taken.cells += tokens - before.map_or(0, |before| common(before, item.first()));
        taken.fresh += tokens - common(before.unwrap_or(kept), item.first());
        taken.branches += branches;
        before = Some(item.first());
        taken.cells <= room.cells && taken.fresh <= room.fresh && taken.branches <= room.branches
    });
    fits.count().max(1)
}

/// Likelihoods, item by item and choice by choice.
fn score_group(
    branches: &mut Branches<'_>,
    group: &[Prepared<'_>],
) -> Result<Vec<Vec<Option<Likelihood>>>, LlamaError> {
    let sequences: Vec<&Sequence> = group.iter().flat_map(|item| &item.sequences).collect();
    let room = branches.room();
    let sums = if group.iter().any(|item| item.is_beyond(room)) {
        // A single item: its choices in turn.
        let mut sums = Vec::with_capacity(sequences.len());
        for sequence in sequences {
            sums.extend(branches.score(&[sequence])?);
        }
        sums
    } else {
        branches.score(&sequences)?
    };
    let mut sums = sums.into_iter();
    Ok(group.iter().map(|item| sums.by_ref().take(item.sequences.len()).collect()).collect())
}

/// An item as sequences, or why it cannot be scored.
fn prepare<'a>(
    model: &Model,
    item: &'a ChoiceItem,
    scoring: ChoiceScoring,
    longest: usize,
) -> Result<Result<Prepared<'a>, String>, LlamaError> {
    if item.choices.len() > MAX_CHOICES {
        return Ok(Err(format!("{} choices; at most {MAX_CHOICES} can be scored", item.choices.len())));
    }
    let whole = match scoring {
        ChoiceScoring::LmEval => by_lm_eval(model, item)?,
        ChoiceScoring::LlamaPerplexity => by_llama_perplexity(model, item)?,
    };
    let Some(whole) = whole else {
        return Ok(Err("the context or a choice has no tokens".to_owned()));
    };
    let mut truncated = 0;
    let mut sequences = Vec::with_capacity(whole.len());
    for sequence in whole {
        let (sequence, cut) = cut_left(sequence, longest);
        let Some(sequence) = sequence else {
            return Ok(Err(format!("a choice alone is longer than {longest} tokens")));
        };
        truncated = truncated.max(cut);
        sequences.push(sequence);
    }
    let tree = Tree::grow(&sequences.iter().collect::<Vec<_>>());
    Ok(Ok(Prepared { item, sequences, truncated, size: (tree.nodes.len(), tree.leaves) }))
}

impl Prepared<'_> {
    fn first(&self) -> &[Token] {
        self.sequences.first().map_or(&[], Sequence::path)
    }

    /// Whether its choices do not fit into one tree.
    fn is_beyond(&self, room: Room) -> bool {
        self.size.0 > room.cells || self.size.1 > room.branches
    }

    fn score(&self, scoring: ChoiceScoring, sums: &[Option<Likelihood>]) -> ItemScore {
        if sums.iter().any(Option::is_none) {
            return ItemScore::Failed { reason: "a logit is not finite".to_owned() };
        }
        let alone = sums.len() == 1;
        let parts = self.item.choices.iter().zip(&self.sequences).zip(sums);
        let choices = parts.map(|((text, sequence), sum)| ChoiceScore {
            text: text.clone(),
            logprob: sum.map_or(f64::NAN, |sum| sum.logprob),
            greedy: sum.filter(|_| alone).map(|sum| sum.greedy),
            tokens: sequence.scored().len() as u32,
            chars: text.chars().count() as u32,
            bytes: text.len() as u32,
        });
        ItemScore::Choice(Box::new(QuestionScore {
            prompt: self.item.context.clone(),
            answer: self.item.answer,
            choices: choices.collect(),
            truncated: self.truncated,
            scoring,
            labels: self.item.labels.clone(),
        }))
    }
}

/// lm-eval's `_encode_pair` for each choice; `None` if a part has no tokens. An empty context is the token that texts
/// begin with.
fn by_lm_eval(model: &Model, item: &ChoiceItem) -> Result<Option<Vec<Sequence>>, LlamaError> {
    let mut known: Option<(&str, usize)> = None;
    let mut sequences = Vec::with_capacity(item.choices.len());
    let contexts: Vec<String> = match &item.continuation {
        Some(_) => item.choices.iter().map(|choice| format!("{}{choice}", item.context)).collect(),
        None => vec![item.context.clone(); item.choices.len()],
    };
    for (choice, context) in item.choices.iter().zip(&contexts) {
        let continuation = item.continuation.as_deref().map_or(choice.as_str(), str::trim);
        let continuation = format!("{}{continuation}", item.delimiter);
        let trimmed = context.trim_end();
        let prefix = match known {
            Some((text, tokens)) if text == trimmed => tokens,
            _ => model.tokenize(trimmed)?.len(),
        };
        known = Some((trimmed, prefix));
        let tokens = if context.is_empty() {
            let start = model.start().into_iter().filter(|_| prefix == 0);
            start.chain(model.tokenize(&continuation)?).collect()
        } else {
            model.tokenize(format!("{context}{continuation}"))?
        };
        let prefix = if context.is_empty() { prefix.max(1) } else { prefix };
        if prefix == 0 || prefix >= tokens.len() {
            return Ok(None);
        }
        sequences.push(Sequence { tokens, continuation: prefix });
    }
    Ok(Some(sequences))
}

/// llama-perplexity's: `--hellaswag` and `--multiple-choice` score what is not common to all choices; `--winogrande`
/// scores the shared continuation but for its last token. Where a continuation is too short for that it scores the
/// option too; there the tool takes the second option's first logits from a wrong place, and we from the right one.
fn by_llama_perplexity(model: &Model, item: &ChoiceItem) -> Result<Option<Vec<Sequence>>, LlamaError> {
    const LEAST_TRAILING: usize = 3;
    let end = item.continuation.as_deref().unwrap_or("");
    let delimiter = if item.continuation.is_some() { "" } else { item.delimiter.as_str() };
    let mut all = Vec::with_capacity(item.choices.len());
    let mut bases = Vec::with_capacity(item.choices.len());
    for choice in &item.choices {
        let until_choice = format!("{}{delimiter}{choice}", item.context);
        bases.push(model.tokenize(&until_choice)?.len());
        all.push(model.tokenize(format!("{until_choice}{end}"))?);
    }
    let first = all.first().cloned().unwrap_or_default();
    let alike = all.iter().map(|tokens| common(tokens, &first)).min().unwrap_or(0);
    // A choice that another begins with has at least its last token scored.
    let shortest = all.iter().map(Vec::len).min().unwrap_or(0);
    let alike = alike.min(shortest.saturating_sub(1));
    if alike == 0 {
        return Ok(None);
    }
    let Some(_) = item.continuation else {
        let sequences = all.into_iter().map(|tokens| Sequence { tokens, continuation: alike });
        return Ok(Some(sequences.collect()));
    };
    let skips_option = all.iter().all(|tokens| tokens.len() - alike > LEAST_TRAILING);
    let sequences = all.into_iter().zip(bases).map(|(mut tokens, base)| {
        let continuation = if skips_option { base } else { alike };
        if tokens.len() > continuation + 1 {
            tokens.pop();
        }
        Sequence { tokens, continuation }
    });
    let sequences: Vec<Sequence> = sequences.collect();
    Ok(sequences.iter().all(|s| s.continuation < s.tokens.len()).then_some(sequences))
}

/// Drops tokens from the left until at most `longest` are decoded (the last token never is); `None` if the
/// continuation alone does not fit.
fn cut_left(mut sequence: Sequence, longest: usize) -> (Option<Sequence>, u32) {
    let cut = sequence.path().len().saturating_sub(longest);
    if cut >= sequence.continuation {
        return (None, cut as u32);
    }
    sequence.tokens.drain(..cut);
    sequence.continuation -= cut;
    (Some(sequence), cut as u32)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;
    use crate::llama::ffi::{self, ContextOptions, ModelOptions};
    use crate::stats::SplitMix64;

    fn sequence(tokens: &[Token], continuation: usize) -> Sequence {
        Sequence { tokens: tokens.to_vec(), continuation }
    }

    #[test]
    fn long_items_lose_their_left() {
        let (kept, cut) = cut_left(sequence(&[1, 2, 3, 4, 5, 6], 4), 3);
        assert_eq!((kept, cut), (Some(sequence(&[3, 4, 5, 6], 2)), 2));
        let (kept, _) = cut_left(sequence(&[1, 2, 3, 4, 5, 6], 2), 3);
        assert_eq!(kept, None);
        let (kept, cut) = cut_left(sequence(&[1, 2, 3], 1), 3);
        assert_eq!((kept, cut), (Some(sequence(&[1, 2, 3], 1)), 0));
    }

    #[test]
    fn groups_fill_the_cells_and_hold_one_item_at_least() {
        let item = ChoiceItem::default();
        let prepared = |tokens: &[Token], size| Prepared {
            item: &item,
            sequences: vec![sequence(tokens, 1)],
            truncated: 0,
            size,
        };
        let items = [
            prepared(&[1, 2, 3, 4], (10, 2)),
            prepared(&[1, 2, 9, 4], (10, 2)),
            prepared(&[5, 6, 7, 8], (10, 2)),
        ];
        let taken = |kept, cells, fresh, branches| group(&items, kept, Room { cells, fresh, branches });
        assert_eq!(taken(&[], 5, 99, 9), 1);
        assert_eq!(taken(&[], 17, 99, 9), 1);
        assert_eq!(taken(&[], 18, 99, 9), 2);
        assert_eq!(taken(&[], 28, 99, 9), 3);
        assert_eq!(taken(&[], 28, 99, 5), 2);
        assert_eq!(taken(&[], 28, 17, 9), 1);
        assert_eq!(taken(&[1, 7], 28, 17, 9), 2);
    }

    #[test]
    fn sections_go_on_where_groups_begin_alike_and_follow_from_the_list() {
        let item = ChoiceItem::default();
        let shared: Vec<Token> = (0..20).collect();
        let prepared = |last: Token, size| {
            let tokens = shared.iter().copied().chain([last, 0]).collect::<Vec<_>>();
            Prepared { item: &item, sequences: vec![sequence(&tokens, 1)], truncated: 0, size }
        };
        let room = Room { cells: 30, fresh: 25, branches: 9 };
        let sizes = |items: &[Prepared<'_>]| -> Vec<Vec<usize>> {
            sections(items, room)
                .iter()
                .map(|groups| groups.iter().map(|group| group.len()).collect())
                .collect()
        };
        let alike: Vec<_> = (100..140).map(|last| prepared(last, (21, 1))).collect();
        // The first has room for five tokens beyond what all begin with; those after it for a branch each.
        assert_eq!(sizes(&alike), [[5, 9, 9, 9, 8]]);
        let apart =
            [prepared(100, (21, 1)), prepared(101, (31, 1)), prepared(102, (21, 1)), prepared(103, (21, 1))];
        assert_eq!(sizes(&apart), [vec![1], vec![1], vec![2]]);
        let many: Vec<_> = (100..400).map(|last| prepared(last, (21, 1))).collect();
        let sizes = sizes(&many);
        assert_eq!(sizes.iter().flatten().sum::<usize>(), 300);
        assert!(sizes.iter().rev().skip(1).all(|section| section.len() == GROUPS), "{sizes:?}");
    }

    /// A list of questions of which some begin alike for long, scored but for those known.
    fn scored(
        model: &Model,
        items: &[ChoiceItem],
        known: &BTreeSet<u64>,
        apart: bool,
    ) -> BTreeMap<u64, ItemScore> {
        let template = ContextOptions { n_ctx: 512, ..ContextOptions::PLAIN };
        let mut branches = Branches::new(model, template, apart).expect("a context");
        let mut scores = BTreeMap::new();
        let told = &mut |item: &ChoiceItem, score: Option<ItemScore>| {
            scores.extend(score.map(|score| (item.index, score)));
            Ok::<(), LlamaError>(())
        };
        score_items(model, &mut branches, (items, known), ChoiceScoring::LmEval, 512, told).expect("scored");
        scores
    }

    #[test]
    fn what_is_known_moves_no_digit_of_the_rest() {
        ffi::init();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-f16.gguf");
        let model = Model::load(&path, &ModelOptions::default()).expect("loaded");
        let header = "The keeper wrote each evening what the day had brought. ".repeat(4);
        let items: Vec<ChoiceItem> = (0..60_u64)
            .map(|index| ChoiceItem {
                index,
                context: match index % 3 {
                    0 => format!("Question {index}: which light is it?\nAnswer:"),
                    _ => format!("{header}\nQuestion {index}: what is next?\nAnswer:"),
                },
                delimiter: " ".to_owned(),
                choices: ["the sea", "a lamp that burns", "nothing", "the keeper's book"]
                    .map(str::to_owned)
                    .to_vec(),
                ..ChoiceItem::default()
            })
            .collect();
        let mut random = SplitMix64::new(5);
        for apart in [false, true] {
            let whole = scored(&model, &items, &BTreeSet::new(), apart);
            assert_eq!(whole.len(), 60);
            for share in [2, 8, 30, 59] {
                let known: BTreeSet<u64> = (0..60).filter(|_| random.below(60) < share).collect();
                let rest = scored(&model, &items, &known, apart);
                let expected = whole.iter().filter(|(index, _)| !known.contains(index));
                assert_eq!(rest, expected.map(|(index, score)| (*index, score.clone())).collect());
            }
        }
    }
}
