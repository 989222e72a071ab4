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
    /// Places of the trials of each variant.
    of_variant: HashMap<&'a str, Vec<usize>>,
    /// Places of the first trials on suites, by variant and suite.
    on_suite: HashMap<(&'a str, &'a str), usize>,
    /// What the items of each suite are.
    kinds: HashMap<&'a str, SuiteKind>,
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
        let trials: Vec<Planned> = manifest
            .trials
            .iter()
            .map(|spec| Planned { spec, data: by_id.get(spec.id.as_str()).copied() })
            .collect();
        let (mut of_variant, mut on_suite) = (HashMap::<_, Vec<usize>>::new(), HashMap::new());
        for (place, TrialSpec { kind, variant, suite, .. }) in trials.iter().map(|t| t.spec).enumerate() {
            of_variant.entry(variant.as_str()).or_default().push(place);
            if *kind == TrialKind::Suite {
                on_suite.entry((variant.as_str(), suite.as_str())).or_insert(place);
            }
        }
        let kinds = kinds(manifest, &trials);
        Self { manifest, trials, of_variant, on_suite, kinds }
    }

    /// Name of the variant that the others are compared with: the first of the plan.
    pub fn base(&self) -> &str {
        self.manifest.variants.first().map_or("base", |v| v.name.as_str())
    }

    /// Trials of one variant, in plan order.
    pub fn of_variant(&self, variant: &str) -> impl Iterator<Item = &Planned<'a>> {
        let places = self.of_variant.get(variant).map_or(&[][..], Vec::as_slice);
        places.iter().filter_map(|place| self.trials.get(*place))
    }

    /// The trial of a variant on a suite, if one is planned.
    pub fn suite_trial(&self, variant: &str, suite: &str) -> Option<&Planned<'a>> {
        self.trials.get(*self.on_suite.get(&(variant, suite))?)
    }

    /// The trial that measured the noise floor of a suite, if one is planned.
    pub fn noise_trial(&self, suite: &str) -> Option<&Planned<'a>> {
        // It is a trial of the base.
        self.of_variant(self.base()).find(|t| t.spec.kind == TrialKind::Noise && t.spec.suite == suite)
    }

    /// What the items of a suite are: seen on the items, or, before there are any, told by the main metric.
    pub fn kind_of(&self, suite: &SuiteRecord) -> SuiteKind {
        self.kinds.get(suite.name.as_str()).copied().unwrap_or_else(|| told_kind(&suite.main_metric))
    }
}

/// What the items of each suite are, as far as they show it.
fn kinds<'a>(manifest: &'a Manifest, trials: &[Planned<'a>]) -> HashMap<&'a str, SuiteKind> {
    let mut kinds = HashMap::new();
    for trial in trials {
        if kinds.len() == manifest.suites.len() {
            break;
        }
        let name = trial.spec.suite.as_str();
        if !name.is_empty()
            && !kinds.contains_key(name)
            && let Some(kind) = trial.items().iter().find_map(seen_kind)
        {
            kinds.insert(name, kind);
        }
    }
    kinds
}

fn seen_kind(item: &ItemRecord) -> Option<SuiteKind> {
    match item.score {
        ItemScore::Chunk(_) => Some(SuiteKind::Text),
        ItemScore::Choice(_) | ItemScore::Judged(_) => Some(SuiteKind::Questions),
        ItemScore::Generated(_) => Some(SuiteKind::Answers),
        ItemScore::Failed { .. } => None,
    }
}

fn told_kind(main_metric: &str) -> SuiteKind {
    match main_metric {
        _ if super::perplexity::METRICS.contains(&main_metric) => SuiteKind::Text,
        _ if super::generated::is_accuracy(main_metric) => SuiteKind::Answers,
        _ => SuiteKind::Questions,
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
