//! The questions that flipped, with their texts, for people to read: each question of a suite once, and beside it what
//! every variant made of it. As many as a page can hold: the caps are told, and the files of items have the rest.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use serde::Serialize;

use super::lean::Reread;
use super::planned::{Planned, Sheet, SuiteKind};
use super::versus::{answer, flips, prompt, right};
use crate::journal::record::{ItemRecord, SuiteRecord};

/// Flips of one variant on one suite that are shown; the largest of these with which there are no more than [`MOST`] and
/// all texts are within [`BUDGET`].
const CAPS: [usize; 7] = [40, 20, 10, 5, 2, 1, 0];
/// Bytes of all texts together, so that a page stays under 25 MB however badly they compress.
pub const BUDGET: usize = 11 << 20;
/// Flips that are shown of all variants on all suites, at most: each has to be read again.
const MOST: usize = 20_000;
/// Characters of one text that are shown, half of them from its end.
pub const TEXT_CAP: usize = 4000;

/// What flipped in a sweep.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Flips {
    /// Most flips that are shown of one variant on one suite.
    pub cap: usize,
    /// Suites of questions, in plan order.
    pub suites: Vec<SuiteFlips>,
}

/// What flipped on a suite, by its main metric.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SuiteFlips {
    /// Suite.
    pub suite: String,
    /// Questions that are shown, in the order of the data.
    pub items: Vec<FlippedItem>,
    /// Variants that were asked, in plan order.
    pub variants: Vec<VariantFlips>,
}

/// A question, and what the base made of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FlippedItem {
    /// The item's id.
    pub id: String,
    /// What was asked.
    pub prompt: String,
    /// What is right, where that is one text.
    pub right: String,
    /// The base's answer.
    pub base: String,
}

/// What flipped from the base to a variant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VariantFlips {
    /// Variant.
    pub variant: String,
    /// The trial, as its file of items is called.
    pub trial: String,
    /// Items that the base had right and the variant wrong, shown or not.
    pub lost: u64,
    /// The other way round.
    pub won: u64,
    /// Those that are shown, in the order of the data.
    pub shown: Vec<ShownFlip>,
}

/// A flip that is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShownFlip {
    /// Place of the question in [`SuiteFlips::items`].
    pub item: usize,
    /// Whether the base had it right.
    pub lost: bool,
    /// The variant's answer.
    pub answer: String,
}

/// A flip before its texts are read: the item's place in the data, and whether it is lost.
type Flip = (u64, bool);

/// A suite's trials with their flips.
struct Found<'a> {
    suite: &'a SuiteRecord,
    base: &'a Planned<'a>,
    /// Trial, lost, won, and the first flips.
    variants: Vec<(&'a Planned<'a>, u64, u64, Vec<Flip>)>,
}

/// Records of some items, by place.
type Read = BTreeMap<u64, ItemRecord>;

/// What flipped from the base to each variant; texts are read again.
pub(super) fn all(sheet: &Sheet, reread: &Reread) -> Flips {
    let found: Vec<Found> =
        sheet.manifest.suites.iter().filter_map(|suite| Found::of(sheet, suite)).collect();
    let shown = |cap: usize| -> usize {
        let kept = found.iter().flat_map(|suite| &suite.variants);
        kept.map(|(.., flips)| flips.len().min(cap)).sum()
    };
    let mut fitting = CAPS.into_iter().filter(|cap| shown(*cap) <= MOST);
    let most = fitting.next().unwrap_or_default();
    let read: Vec<Texts> = found.par_iter().map(|suite| suite.read(most, reread)).collect();
    let capped = |cap: usize| {
        let told = found.iter().zip(&read).map(|(suite, texts)| suite.told(cap, texts));
        Flips { cap, suites: told.collect() }
    };
    std::iter::once(most).chain(fitting).map(capped).find(|flips| flips.bytes() <= BUDGET).unwrap_or_default()
}

/// Records of the questions of a suite that flipped: the base's, and of each variant.
struct Texts {
    base: Read,
    variants: Vec<Read>,
}

impl<'a> Found<'a> {
    /// Nothing for texts, and for suites that the base was not asked.
    fn of(sheet: &'a Sheet<'a>, suite: &'a SuiteRecord) -> Option<Self> {
        let kind = sheet.kind_of(suite);
        let base = sheet.suite_trial(sheet.base(), &suite.name).filter(|_| kind != SuiteKind::Text)?;
        let others = sheet.manifest.variants.iter().filter(|v| v.name != sheet.base());
        let trials = others.filter_map(|v| sheet.suite_trial(&v.name, &suite.name));
        let variants = trials.map(|trial| {
            let (mut lost, mut won, mut kept) = (0, 0, Vec::new());
            for (item, _, is_lost) in flips(kind, &suite.main_metric, base, trial) {
                *(if is_lost { &mut lost } else { &mut won }) += 1;
                if kept.len() < CAPS[0] {
                    kept.push((item.index, is_lost));
                }
            }
            (trial, lost, won, kept)
        });
        Some(Self { suite, base, variants: variants.collect() })
    }

    fn read(&self, cap: usize, reread: &Reread) -> Texts {
        let read = |trial: &Planned, places: &BTreeSet<u64>| -> Read {
            let items = if places.is_empty() { Vec::new() } else { reread(&trial.spec.id, places) };
            items.into_iter().map(|item| (item.index, item)).collect()
        };
        let places =
            |flips: &[Flip]| flips.iter().take(cap).map(|(index, _)| *index).collect::<BTreeSet<_>>();
        let all = self.variants.iter().flat_map(|(.., flips)| places(flips)).collect();
        let variants = self.variants.iter().map(|(trial, .., flips)| read(trial, &places(flips)));
        Texts { base: read(self.base, &all), variants: variants.collect() }
    }

    fn told(&self, cap: usize, texts: &Texts) -> SuiteFlips {
        let metric = &self.suite.main_metric;
        let kept: BTreeSet<u64> = self
            .variants
            .iter()
            .flat_map(|(.., flips)| flips.iter().take(cap))
            .map(|(index, _)| *index)
            .collect();
        let questions: Vec<&ItemRecord> = kept.iter().filter_map(|index| texts.base.get(index)).collect();
        let place: BTreeMap<u64, usize> =
            questions.iter().enumerate().map(|(place, item)| (item.index, place)).collect();
        let shown = |read: &Read, (index, lost): &Flip| {
            let answer = cut(&answer(&read.get(index)?.score, metric));
            Some(ShownFlip { item: *place.get(index)?, lost: *lost, answer })
        };
        let variants = self.variants.iter().zip(&texts.variants);
        SuiteFlips {
            suite: self.suite.name.clone(),
            items: questions
                .into_iter()
                .map(|item| FlippedItem {
                    id: item.id.clone(),
                    prompt: cut(&prompt(&item.score)),
                    right: cut(&right(&item.score)),
                    base: cut(&answer(&item.score, metric)),
                })
                .collect(),
            variants: variants
                .map(|((trial, lost, won, flips), read)| VariantFlips {
                    variant: trial.spec.variant.clone(),
                    trial: trial.spec.id.clone(),
                    lost: *lost,
                    won: *won,
                    shown: flips.iter().take(cap).filter_map(|flip| shown(read, flip)).collect(),
                })
                .collect(),
        }
    }
}

impl Flips {
    /// Bytes of all texts.
    fn bytes(&self) -> usize {
        let items = self.suites.iter().flat_map(|suite| &suite.items);
        let questions = items.map(|i| i.id.len() + i.prompt.len() + i.right.len() + i.base.len());
        let variants = self.suites.iter().flat_map(|suite| &suite.variants);
        let answers = variants.flat_map(|v| &v.shown).map(|shown| shown.answer.len());
        questions.chain(answers).sum()
    }
}

/// The beginning and the end of a long text, and how much is missing between them: a question often stands at the end of
/// its examples.
fn cut(text: &str) -> String {
    let length = text.chars().count();
    if length <= TEXT_CAP {
        return text.to_owned();
    }
    let half = TEXT_CAP / 2;
    let head: String = text.chars().take(half).collect();
    let tail: String = text.chars().skip(length - half).collect();
    format!("{head}\n[… {} characters left out …]\n{tail}", length - 2 * half)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_keep_both_ends_and_tell_what_is_missing() {
        assert_eq!(cut("short"), "short");
        let whole = "é".repeat(TEXT_CAP);
        assert_eq!(cut(&whole), whole);
        let long = format!("begin{}end", "x".repeat(TEXT_CAP));
        let told = cut(&long);
        assert!(told.starts_with("beginx") && told.ends_with("xend"));
        assert!(told.contains("[… 8 characters left out …]"), "{told}");
    }
}
