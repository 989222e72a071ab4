//! What was planned beside what is known of it. The manifest decides which trials count; a trial without a
//! record of its own is pending, not missing.

use crate::journal::reader::TrialData;
use crate::journal::record::{
    ItemRecord, ItemScore, Manifest, Outcome, Status, Stopped, SuiteRecord, TrialKind, TrialSpec,
};
use std::collections::HashMap;

/// The planned trials of a sweep, in plan order, each with its data.
pub(super) struct Sheet<'a> {
    /// The plan.
    pub manifest: &'a Manifest,
    /// Its trials.
    pub trials: Vec<Planned<'a>>,
}

/// A planned trial and what is known of it.
pub(super) struct Planned<'a> {
    /// The trial as planned.
    pub spec: &'a TrialSpec,
    data: Option<&'a TrialData>,
}

/// What the items of a suite are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SuiteKind {
    /// Multiple-choice questions.
    Questions,
    /// Questions whose answers are written.
    Answers,
    /// Chunks of a text.
    Text,
}

impl<'a> Sheet<'a> {
    /// Joins plan and data on the trial id. Variants that share a file share its trial: the id is what counts.
    pub fn new(manifest: &'a Manifest, trials: &'a [TrialData]) -> Self {
        let by_id: HashMap<&str, &TrialData> = trials.iter().map(|t| (t.spec.id.as_str(), t)).collect();
        let trials = manifest
            .trials
            .iter()
            .map(|spec| Planned { spec, data: by_id.get(spec.id.as_str()).copied() })
            .collect();
        Self { manifest, trials }
    }

    /// Name of the variant that the others are compared with: the first of the plan.
    pub fn base(&self) -> &str {
        self.manifest.variants.first().map_or("base", |v| v.name.as_str())
    }

    /// Trials of one variant, in plan order.
    pub fn of_variant(&self, variant: &str) -> impl Iterator<Item = &Planned<'a>> {
        self.trials.iter().filter(move |t| t.spec.variant == variant)
    }

    /// The trial of a variant on a suite, if one is planned.
    pub fn suite_trial(&self, variant: &str, suite: &str) -> Option<&Planned<'a>> {
        self.of_variant(variant).find(|t| t.spec.kind == TrialKind::Suite && t.spec.suite == suite)
    }

    /// The trial that measured the noise floor of a suite, if one is planned.
    pub fn noise_trial(&self, suite: &str) -> Option<&Planned<'a>> {
        self.trials.iter().find(|t| t.spec.kind == TrialKind::Noise && t.spec.suite == suite)
    }

    /// What the items of a suite are: seen on the items, or, before there are any, told by the main metric.
    pub fn kind_of(&self, suite: &SuiteRecord) -> SuiteKind {
        let items = self.trials.iter().filter(|t| t.spec.suite == suite.name).flat_map(Planned::items);
        let seen = items.into_iter().find_map(|item| match item.score {
            ItemScore::Chunk(_) => Some(SuiteKind::Text),
            ItemScore::Choice { .. } => Some(SuiteKind::Questions),
            ItemScore::Generated(_) => Some(SuiteKind::Answers),
            ItemScore::Failed { .. } => None,
        });
        let main = suite.main_metric.as_str();
        seen.unwrap_or(match main {
            _ if super::perplexity::METRICS.contains(&main) => SuiteKind::Text,
            _ if super::generated::is_accuracy(main) => SuiteKind::Answers,
            _ => SuiteKind::Questions,
        })
    }
}

/// One of several texts, or groups, of a suite: its name and its items.
pub(super) type Part<'a> = (&'a str, Vec<&'a ItemRecord>);

/// The items of each text, or group, of a suite that has several and asks for it; nothing for other suites.
pub(super) fn by_corpus<'a>(suite: &'a SuiteRecord, items: &'a [ItemRecord]) -> Vec<Part<'a>> {
    let of = |name: &str| -> Vec<&'a ItemRecord> {
        let own = |item: &&ItemRecord| item.id.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'));
        items.iter().filter(own).collect()
    };
    let asked_for = suite.corpora.iter().filter(|corpus| corpus.items_planned > 0);
    asked_for.map(|corpus| (corpus.name.as_str(), of(&corpus.name))).collect()
}

/// The texts of a suite with their items; of a suite of one text, that one, without a name.
pub(super) fn texts<'a>(suite: &'a SuiteRecord, items: &'a [ItemRecord]) -> Vec<Part<'a>> {
    if suite.corpora.is_empty() { vec![("", items.iter().collect())] } else { by_corpus(suite, items) }
}

impl<'a> Planned<'a> {
    /// Where the trial stands; pending without a record.
    pub fn status(&self) -> Status {
        self.data.map_or(Status::Pending, |d| d.status)
    }

    /// Why it is not done; empty if it is.
    pub fn reason(&self) -> &'a str {
        self.data.map_or("not begun", |d| d.reason.as_str())
    }

    /// The scored items there are, by index.
    pub fn items(&self) -> &'a [ItemRecord] {
        self.data.map_or(&[], |d| d.items.as_slice())
    }

    /// Pieces of its work that failed, over all invocations.
    pub fn failures(&self) -> u32 {
        self.data.map_or(0, |d| d.failures)
    }

    /// Items there were at each look.
    pub fn looks(&self) -> &'a [u64] {
        self.data.map_or(&[], |d| d.looks.as_slice())
    }

    /// The node that carried it out; empty on one machine.
    pub fn node(&self) -> &'a str {
        self.data.and_then(|d| d.node.as_deref()).unwrap_or_default()
    }

    /// Why it was stopped before its last item.
    pub fn stopped(&self) -> Option<Stopped> {
        self.data.and_then(|d| d.stopped)
    }

    /// Its result beside the items.
    pub fn outcome(&self) -> Option<&'a Outcome> {
        self.data.and_then(|d| d.outcome.as_ref())
    }
}
