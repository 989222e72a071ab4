//! One variant to run, why, what else there is, and what was ruled out. The rule: of the variants that keep every limit,
//! the one of fewest bytes (of its file; of all it needs, where memory is limited) whose quality lies within the drop that
//! is allowed below the base's, and of several of the same size the best. How sure that is, is the share of the joint
//! resamples in which the same rule takes the same variant, but never more than the interval of its loss allows.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::Serialize;

use super::frontier::quality_metric;
use super::joint::Joint;
use super::report::{ComparisonRow, Report, SuiteSummary, VariantRow};
use super::summary::Analysis;
use crate::journal::record::Manifest;
use crate::stats;
use crate::units::Bytes;

/// Where there is no accuracy but only texts: nats of divergence that are allowed.
const MAX_DIVERGENCE: f64 = 0.05;
/// Runners-up that are told.
const RUNNERS_UP: usize = 3;
/// Less sure than this, in percent, is said to be unsure.
const SURE: f64 = 80.0;
/// What losses are counted in.
const FRACTION: &str = "fraction";
const NATS: &str = "nats";

/// What the user asks of a variant.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Limits {
    /// Bytes that each variant needs, its context and margin included, by name; absent where memory was not asked for.
    pub memory: Option<Memory>,
    /// Least tokens a second generated.
    pub min_tg: Option<f64>,
    /// Most that may be lost against the base: a fraction, or nats where there are only texts. Absent: the sweep's
    /// tolerance, or 0.05 nats.
    pub max_drop: Option<f64>,
    /// Output tokens a month.
    pub monthly_tokens: Option<f64>,
    /// The scenario of the costs in which they are produced; absent: this machine.
    pub scenario: Option<String>,
    /// What else the user has to know of the limits, in sentences.
    pub notes: Vec<String>,
}

/// What memory there is, and what it is asked to hold.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Memory {
    /// The limit's name: `vram` or `ram`.
    pub limit: String,
    /// Bytes there are, without the margin.
    pub bytes: u64,
    /// Bytes that stay free.
    pub margin: u64,
    /// Tokens of context.
    pub ctx: u64,
    /// By variant: bytes of everything, and whether it fits.
    pub needs: BTreeMap<String, (Option<u64>, bool)>,
}

/// The answer; its JSON form is `recommend --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Recommendation {
    /// The variant; absent if none keeps the limits.
    pub variant: Option<String>,
    /// Share of the joint resamples in which the rule takes it, and no more than the chance that its loss is within what is
    /// allowed, as far as the interval of the loss tells; 0 without a variant.
    pub confidence: f64,
    /// Why, in sentences; without a variant, which limit to loosen.
    pub reasons: Vec<String>,
    /// Others that keep the limits.
    pub runners_up: Vec<RunnerUp>,
    /// Those that do not.
    pub ruled_out: Vec<RuledOut>,
    /// What quality is, as `suite.metric`.
    pub quality: String,
    /// What may be lost.
    pub max_drop: f64,
    /// Of what: `fraction` of the score, or `nats` a token where there are only texts.
    pub max_drop_unit: String,
}

/// Another variant, and what it would trade.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunnerUp {
    /// Its name.
    pub variant: String,
    /// Share of the joint resamples in which the rule takes it.
    pub share: f64,
    /// Against the recommended one.
    pub trade: String,
}

/// A variant that a limit rules out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RuledOut {
    /// Its name.
    pub variant: String,
    /// `failed`, `vram`, `ram`, `min_tg`, `monthly_tokens` or `max_drop`.
    pub limit: String,
    /// What it has of that: bytes, tokens a second, output tokens a month, or the drop; absent if it is not known.
    pub value: Option<f64>,
    /// What is allowed; of memory what the margin leaves.
    pub allowed: Option<f64>,
    /// Why it failed; empty otherwise.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl RuledOut {
    fn option(&self) -> String {
        format!("--{}", self.limit.replace('_', "-"))
    }
}

/// A variant that does not keep limits, in the order in which they are told.
struct Excluded<'a> {
    row: &'a VariantRow,
    broken: Vec<RuledOut>,
}

/// A variant with what it is judged by.
struct Candidate<'a> {
    row: &'a VariantRow,
    /// Bytes of its file.
    bytes: u64,
    /// What the rule wants least of: bytes of all it needs where memory is limited, of its file otherwise.
    size: u64,
    /// Quality below the base, less being better, and the same in every resample.
    drop: f64,
    draws: Vec<f64>,
}

impl Candidate<'_> {
    /// Smaller first; of the same size the one that loses less.
    fn order(&self, own: f64, other: &Self, its: f64) -> Ordering {
        self.size.cmp(&other.size).then(own.total_cmp(&its))
    }
}

/// Recommends a variant of a sweep, whose costs are those of the volume asked for.
#[must_use]
pub fn recommend(manifest: &Manifest, analysis: &Analysis, limits: &Limits) -> Recommendation {
    let Analysis { report, joint } = analysis;
    let Some(suite) = quality(report, joint) else { return nothing_measured() };
    let asked = Asked { report, suite, limits, allowed: allowed(suite, limits, manifest) };
    let (candidates, excluded) = asked.candidates(joint);
    // Those that keep all but the drop are drawn too: which variant is taken depends on all that could be.
    let (kept, dropped): (Vec<&Candidate>, Vec<&Candidate>) =
        candidates.iter().partition(|c| is_within(c.drop, asked.allowed));
    let first = |out: &Excluded| out.broken.first().cloned();
    let ruled_out: Vec<RuledOut> =
        excluded.iter().filter_map(first).chain(dropped.iter().map(|c| asked.drops(c))).collect();
    let chosen = kept.iter().min_by(|a, b| a.order(a.drop, b, b.drop)).copied();
    let shares = shares(&candidates, asked.allowed);
    let of = |name: &str| shares.get(name).copied().unwrap_or(0.0);
    let told = |taken: Option<(&str, f64)>, reasons: Vec<String>, runners_up: Vec<RunnerUp>| Recommendation {
        variant: taken.map(|(variant, _)| variant.to_owned()),
        confidence: taken.map_or(0.0, |(_, confidence)| confidence),
        reasons: [reasons, asked.failures(&ruled_out), limits.notes.clone()].concat(),
        runners_up,
        ruled_out: ruled_out.clone(),
        quality: asked.axis(),
        max_drop: asked.allowed,
        max_drop_unit: asked.unit().to_owned(),
    };
    let Some(chosen) = chosen else {
        let all = excluded.into_iter().chain(dropped.iter().map(|c| asked.excluded(c))).collect::<Vec<_>>();
        return told(None, asked.loosen(&all), Vec::new());
    };
    let name = &chosen.row.variant;
    let mut others: Vec<&Candidate> = kept.iter().copied().filter(|c| c.row.variant != *name).collect();
    let share_of = |candidate: &Candidate| of(&candidate.row.variant);
    others.sort_by(|a, b| share_of(b).total_cmp(&share_of(a)).then(a.order(a.drop, b, b.drop)));
    let runner = |other: &Candidate| RunnerUp {
        variant: other.row.variant.clone(),
        share: share_of(other),
        trade: asked.trade(chosen, other),
    };
    let runners = others.into_iter().take(RUNNERS_UP).map(runner).collect();
    let (share, within) = (of(name), asked.chance_within(chosen));
    told(Some((name, share.min(within))), asked.reasons(chosen, &candidates, share, within), runners)
}

fn nothing_measured() -> Recommendation {
    let why = "No suite tells the variants apart: nothing is measured yet, the base's own trials failed, or the base only \
               guesses.";
    Recommendation {
        variant: None,
        confidence: 0.0,
        reasons: vec![why.to_owned()],
        runners_up: Vec::new(),
        ruled_out: Vec::new(),
        quality: String::new(),
        max_drop: 0.0,
        max_drop_unit: FRACTION.to_owned(),
    }
}

/// What stands for quality: the composite, the only suite of questions with a signal, or the first text. Only where the base
/// has a score, by which the others are judged.
fn quality<'a>(report: &'a Report, joint: &Joint) -> Option<&'a SuiteSummary> {
    let base = |suite: &SuiteSummary| joint.suite(&suite.name)?.points.first().copied();
    let drawn = || report.suites.iter().filter(|suite| base(suite).is_some_and(f64::is_finite));
    let questions = drawn().rfind(|suite| suite.n_unit == "items");
    questions.or_else(|| drawn().next())
}

fn allowed(suite: &SuiteSummary, limits: &Limits, manifest: &Manifest) -> f64 {
    let usual = if suite.n_unit == "tokens" { MAX_DIVERGENCE } else { manifest.judging.tolerance };
    limits.max_drop.unwrap_or(usual)
}

/// How often the rule takes which variant. Where none is within the drop, the best is taken.
fn shares(candidates: &[Candidate], allowed: f64) -> BTreeMap<String, f64> {
    let resamples = candidates.iter().map(|c| c.draws.len()).min().unwrap_or(0);
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for resample in 0..resamples {
        let drop =
            |c: &Candidate| c.draws.get(resample).copied().filter(|d| d.is_finite()).unwrap_or(f64::INFINITY);
        let within = candidates
            .iter()
            .filter(|c| is_within(drop(c), allowed))
            .min_by(|a, b| a.order(drop(a), b, drop(b)));
        let best = || candidates.iter().min_by(|a, b| drop(a).total_cmp(&drop(b)));
        if let Some(taken) = within.or_else(best) {
            *counts.entry(taken.row.variant.clone()).or_default() += 1;
        }
    }
    counts.into_iter().map(|(name, count)| (name, count as f64 / resamples as f64)).collect()
}

/// The question, with all that it is answered from.
struct Asked<'a> {
    report: &'a Report,
    suite: &'a SuiteSummary,
    limits: &'a Limits,
    allowed: f64,
}

impl<'a> Asked<'a> {
    fn axis(&self) -> String {
        format!("{}.{}", self.suite.name, quality_metric(self.suite))
    }

    fn is_text(&self) -> bool {
        self.suite.n_unit == "tokens"
    }

    fn unit(&self) -> &'static str {
        if self.is_text() { NATS } else { FRACTION }
    }

    /// Variants that keep the limits of memory, speed and volume, and why others do not.
    fn candidates(&self, joint: &Joint) -> (Vec<Candidate<'a>>, Vec<Excluded<'a>>) {
        let (mut kept, mut out) = (Vec::new(), Vec::new());
        for row in &self.report.variants {
            let Some(candidate) = self.candidate(row, joint) else {
                let reason = self.failure(&row.variant);
                out.push(Excluded { row, broken: vec![RuledOut { reason, ..ruled_out(row, "failed") }] });
                continue;
            };
            let mut broken = self.broken(row);
            if broken.is_empty() {
                kept.push(candidate);
            } else {
                // What else would have to be loosened, too.
                broken.extend((!is_within(candidate.drop, self.allowed)).then(|| self.drops(&candidate)));
                out.push(Excluded { row, broken });
            }
        }
        (kept, out)
    }

    /// A variant with its quality; `None` if it has no file or no score.
    fn candidate(&self, row: &'a VariantRow, joint: &Joint) -> Option<Candidate<'a>> {
        let (all, column) = joint.suite(&self.suite.name).zip(joint.column(&row.variant))?;
        let (base, own) = (all.points.first()?, all.points.get(column).filter(|own| own.is_finite())?);
        let (base_draws, own_draws) = (all.draws.first()?, all.draws.get(column)?);
        let bytes = row.file_bytes?;
        let needs = self.limits.memory.as_ref().and_then(|memory| memory.needs.get(&row.variant)?.0);
        // Of divergences the base has none; of scores what is lost is the base's less its own.
        let lost = |base: f64, own: f64| if self.is_text() { own - base } else { base - own };
        Some(Candidate {
            row,
            bytes,
            size: needs.unwrap_or(bytes),
            drop: lost(*base, *own),
            draws: base_draws.iter().zip(own_draws).map(|(b, v)| lost(*b, *v)).collect(),
        })
    }

    /// Limits of memory, speed and volume that a variant does not keep.
    fn broken(&self, row: &VariantRow) -> Vec<RuledOut> {
        let out = |limit: &str, value: Option<f64>, allowed: f64| RuledOut {
            value,
            allowed: Some(allowed),
            ..ruled_out(row, limit)
        };
        let Limits { memory, min_tg, monthly_tokens, .. } = self.limits;
        let memory = memory.as_ref().and_then(|memory| {
            let (needs, fits) = memory.needs.get(&row.variant).copied().unwrap_or((None, false));
            (!fits).then(|| out(&memory.limit, needs.map(|n| n as f64), memory.bytes as f64))
        });
        let speed = min_tg
            .filter(|least| row.tg128_tps.is_none_or(|tg| tg < *least))
            .map(|least| out("min_tg", row.tg128_tps, least));
        let volume = monthly_tokens.and_then(|tokens| {
            let most = self.capacity(&row.variant).filter(|most| *most < tokens)?;
            Some(out("monthly_tokens", Some(most), tokens))
        });
        [memory, speed, volume].into_iter().flatten().collect()
    }

    /// Why a variant has no score: what its trials say, of the file or of the suites that quality is made of.
    fn failure(&self, variant: &str) -> String {
        let own = self.report.metrics.iter().filter(|m| m.variant == variant && m.value.is_none());
        let mut why = own.filter(|m| !matches!(m.status.as_str(), "done" | "pending"));
        why.next().map_or(String::new(), |m| {
            let reason = if m.reason.is_empty() { String::new() } else { format!(", {}", m.reason) };
            format!("{}: {}{reason}", m.suite, m.status)
        })
    }

    /// Variants without a score are no worse ones: said, whatever is recommended.
    fn failures(&self, ruled_out: &[RuledOut]) -> Vec<String> {
        let failed: Vec<&RuledOut> = ruled_out.iter().filter(|out| out.limit == "failed").collect();
        let Some(first) = failed.first() else { return Vec::new() };
        let names = failed.iter().map(|out| out.variant.as_str()).collect::<Vec<_>>().join(", ");
        let why = if first.reason.is_empty() { String::new() } else { format!(" ({})", first.reason) };
        let all = self.report.variants.len();
        let (have, are) = if failed.len() == 1 { ("has", "is") } else { ("have", "are") };
        vec![format!(
            "{} of {all} variants {have} no score and {are} not judged: {names}{why}.",
            failed.len()
        )]
    }

    fn drops(&self, candidate: &Candidate) -> RuledOut {
        let (value, allowed) = (Some(candidate.drop), Some(self.allowed));
        RuledOut { value, allowed, ..ruled_out(candidate.row, "max_drop") }
    }

    fn excluded(&self, candidate: &Candidate<'a>) -> Excluded<'a> {
        Excluded { row: candidate.row, broken: vec![self.drops(candidate)] }
    }

    /// The row of a variant's price where it is produced, with as many streams as produce most.
    fn price(&self, variant: &str) -> Option<&super::cost::CostRow> {
        let sheet = &self.report.costs;
        let scenario = self.limits.scenario.as_ref().unwrap_or(&sheet.scenario);
        let own = sheet
            .rows
            .iter()
            .filter(|r| r.variant == variant && r.scenario == *scenario && r.kind == "price");
        let most = |row: &super::cost::CostRow| row.capacity_mtok.unwrap_or(0.0);
        own.max_by(|a, b| most(a).total_cmp(&most(b)))
    }

    /// Output tokens a month that can be produced with a variant.
    fn capacity(&self, variant: &str) -> Option<f64> {
        Some(self.price(variant)?.capacity_mtok? * 1e6)
    }

    fn points(&self, drop: f64) -> String {
        if self.is_text() { format!("{drop:.3} nats") } else { format!("{:.1} points", drop * 100.0) }
    }

    fn comparison(&self, variant: &str) -> Option<&ComparisonRow> {
        let metric = quality_metric(self.suite);
        self.report.comparison(variant, &self.suite.name, metric)
    }

    /// How likely a variant's loss is one that is allowed, as far as its interval tells; 1 where none reaches beyond what is.
    /// Resamples know only what happened: where no answer changed, they all say the same, however few questions were asked.
    fn chance_within(&self, candidate: &Candidate) -> f64 {
        let interval = self.comparison(&candidate.row.variant).and_then(|c| c.ci_low.zip(c.ci_high));
        let worst = interval.map(|(low, high)| if self.is_text() { high } else { -low });
        let Some(worst) = worst.filter(|worst| !is_within(*worst, self.allowed)) else { return 1.0 };
        let stderr = (worst - candidate.drop) / stats::Z95;
        if stderr > 0.0 { stats::normal_below((self.allowed - candidate.drop) / stderr) } else { 1.0 }
    }

    /// The reason in three sentences, and what makes it unsure.
    fn reasons(&self, chosen: &Candidate, all: &[Candidate], share: f64, within: f64) -> Vec<String> {
        let mut reasons =
            vec![self.quality_sentence(chosen), self.takes(chosen), self.next_smaller(chosen, all)];
        if let Some(tokens) = self.limits.monthly_tokens {
            reasons.extend(self.costs_sentence(chosen, tokens));
        }
        let least = self.comparison(&chosen.row.variant).and_then(|c| c.detectable);
        reasons.push(match least {
            _ if within < share && (within * 100.0).round() < SURE => format!(
                "That is not sure: in {:.0}% of the resamples the rule takes it, but the interval of its loss leaves a chance of \
                 {:.0}% that more than {} are lost.",
                share * 100.0,
                (1.0 - within) * 100.0,
                self.points(self.allowed)
            ),
            _ if (share * 100.0).round() >= SURE => {
                format!("In {:.0}% of the resamples the same rule takes the same variant.", share * 100.0)
            }
            Some(least) => format!(
                "That is not sure: only in {:.0}% of the resamples the rule takes it, and so few items could have shown \
                 no difference smaller than {}.",
                share * 100.0,
                self.points(least)
            ),
            None => format!(
                "That is not sure: only in {:.0}% of the resamples the rule takes it; more items would tell.",
                share * 100.0
            ),
        });
        reasons
    }

    fn quality_sentence(&self, chosen: &Candidate) -> String {
        let name = &chosen.row.variant;
        let axis = self.axis();
        if chosen.row.variant == self.base() {
            return format!(
                "{name} is the full-precision base: nothing smaller that keeps the limits is within {} of it ({axis}).",
                self.points(self.allowed)
            );
        }
        let interval = self.comparison(name).and_then(|c| c.ci_low.zip(c.ci_high));
        if self.is_text() {
            let interval =
                interval.map_or(String::new(), |(low, high)| format!(" (95% {low:.3} to {high:.3})"));
            return format!(
                "{name} diverges from the base by {:.3} nats a token on {}{interval}; {:.3} are allowed.",
                chosen.drop, self.suite.name, self.allowed
            );
        }
        let interval = interval.map_or(String::new(), |(low, high)| {
            format!(" (95% {:+.1} to {:+.1})", low * 100.0, high * 100.0)
        });
        // No minus before what is rounded to nothing.
        let points = (-chosen.drop * 1000.0).round() / 10.0 + 0.0;
        format!(
            "{name} scores {points:+.1} points against the base{interval} on {axis}; a loss of {} is allowed.",
            self.points(self.allowed)
        )
    }

    fn takes(&self, chosen: &Candidate) -> String {
        let row = chosen.row;
        let bpw = row.bpw.map_or(String::new(), |bpw| format!(" at {bpw:.2} bits per weight"));
        let speed = row.tg128_tps.map_or(String::new(), |tg| {
            format!(", and generates {tg:.0} tokens a second on {}", self.report.about.machine)
        });
        let memory = self.limits.memory.as_ref().and_then(|memory| {
            let needs = memory.needs.get(&row.variant)?.0?;
            Some(format!(
                ", needs {} with a context of {} tokens, of {}",
                Bytes(needs),
                memory.ctx,
                Bytes(memory.bytes)
            ))
        });
        format!("Its file takes {}{bpw}{}{speed}.", Bytes(chosen.bytes), memory.unwrap_or_default())
    }

    fn next_smaller(&self, chosen: &Candidate, all: &[Candidate]) -> String {
        let smaller = all.iter().filter(|c| c.size < chosen.size).max_by_key(|c| c.size);
        let of_all = if self.limits.memory.is_some() { " in all" } else { "" };
        match smaller {
            Some(next) => format!(
                "The next smaller, {} ({}{of_all}), loses {}.",
                next.row.variant,
                Bytes(next.size),
                self.points(next.drop)
            ),
            None => "No smaller variant was measured that keeps the other limits.".to_owned(),
        }
    }

    fn costs_sentence(&self, chosen: &Candidate, tokens: f64) -> Option<String> {
        let own = self.price(&chosen.row.variant)?;
        let ours = own.usd_per_month?;
        let sheet = &self.report.costs;
        let is_api = |row: &&super::cost::CostRow| row.kind == "price" && row.variant.is_empty();
        let cheapest = sheet.rows.iter().filter(is_api).filter_map(|row| Some((row, row.usd_per_month?)));
        let cheapest = cheapest.min_by(|a, b| a.1.total_cmp(&b.1));
        let beside = cheapest.map_or(String::new(), |(row, usd)| {
            let verdict = if ours <= usd { "more" } else { "less" };
            format!("; {} costs {verdict}: ${usd:.2}, with another model", row.scenario)
        });
        let streams = own.streams.filter(|streams| *streams > 1);
        let streams = streams.map_or(String::new(), |streams| format!(", {streams} streams together"));
        Some(format!(
            "{} million output tokens a month cost ${ours:.2} on {}{streams}{beside}.",
            significant(tokens / 1e6),
            own.scenario
        ))
    }

    fn trade(&self, chosen: &Candidate, other: &Candidate) -> String {
        let size = match other.size.cmp(&chosen.size) {
            Ordering::Equal => "the same size".to_owned(),
            Ordering::Greater => format!("{} larger", Bytes(other.size - chosen.size)),
            Ordering::Less => format!("{} smaller", Bytes(chosen.size - other.size)),
        };
        let quality = other.drop - chosen.drop;
        let quality = match quality {
            q if q.abs() < 5e-4 => "the same quality".to_owned(),
            q if q > 0.0 => format!("{} worse", self.points(q)),
            q => format!("{} better", self.points(-q)),
        };
        let speed = other
            .row
            .tg128_tps
            .zip(chosen.row.tg128_tps)
            .map_or(String::new(), |(own, its)| format!(", {:.2} times the speed", own / its));
        format!("{size}, {quality}{speed}")
    }

    fn base(&self) -> &str {
        self.report.variants.first().map_or("base", |row| row.variant.as_str())
    }

    /// Which limit to loosen, and how far: for each that is told of a variant, the variant that keeps all others and comes
    /// nearest to it; where every variant breaks several, those of the variant that breaks the fewest.
    fn loosen(&self, all: &[Excluded]) -> Vec<String> {
        let mut reasons = vec!["No variant fits.".to_owned()];
        let mut limits: Vec<&str> = Vec::new();
        let first = all.iter().filter_map(|out| out.broken.first());
        let told: Vec<&RuledOut> = first.filter(|out| out.limit != "failed").collect();
        for out in &told {
            if !limits.contains(&out.limit.as_str()) {
                limits.push(&out.limit);
            }
        }
        let mut advised = false;
        for limit in limits {
            let alone = all.iter().filter_map(|out| match out.broken.as_slice() {
                [only] if only.limit == limit => Some((out, only, only.value?)),
                _ => None,
            });
            let wants_more = matches!(limit, "min_tg" | "monthly_tokens");
            let nearest =
                alone.min_by(|a, b| if wants_more { b.2.total_cmp(&a.2) } else { a.2.total_cmp(&b.2) });
            let count = told.iter().filter(|out| out.limit == limit).count();
            let option = limit.replace('_', "-");
            reasons.push(match nearest {
                Some((out, only, value)) => {
                    advised = true;
                    let to = self.enough(only, value);
                    format!("{count} ruled out by --{option}: loosen it to {to} for {}.", out.row.variant)
                }
                None => {
                    format!("{count} ruled out by --{option}, none of them by it alone with a known value.")
                }
            });
        }
        if !advised {
            reasons.extend(self.loosen_several(all));
        }
        reasons
    }

    fn loosen_several(&self, all: &[Excluded]) -> Option<String> {
        let known = |out: &&Excluded| out.broken.iter().all(|out| out.value.is_some());
        let fewest = all.iter().filter(known).min_by_key(|out| (out.broken.len(), out.row.file_bytes))?;
        let each = fewest
            .broken
            .iter()
            .filter_map(|out| Some(format!("{} to {}", out.option(), self.enough(out, out.value?))));
        let each = each.collect::<Vec<_>>().join(" and ");
        Some(format!("Together: loosen {each} for {}.", fewest.row.variant))
    }

    /// The value of a limit that lets a variant in, as the option takes it: rounded to where it is still let in.
    fn enough(&self, out: &RuledOut, value: f64) -> String {
        match out.limit.as_str() {
            "min_tg" => format!("{}", down(value)),
            "monthly_tokens" => format!("{:.0}, what {} can produce", value.floor(), self.produced_on()),
            "max_drop" => format!("{}", up(value)),
            _ => {
                let margin = self.limits.memory.as_ref().map_or(0, |memory| memory.margin);
                format!("{}, the margin included, or ask for less --ctx", at_least(value as u64 + margin))
            }
        }
    }

    fn produced_on(&self) -> &str {
        self.limits.scenario.as_deref().unwrap_or("this machine")
    }
}

fn ruled_out(row: &VariantRow, limit: &str) -> RuledOut {
    let variant = row.variant.clone();
    RuledOut { variant, limit: limit.to_owned(), value: None, allowed: None, reason: String::new() }
}

/// Whether no more is lost than is allowed; a loss of exactly that is, though 0.8 - 0.75 is a little more than 0.05.
fn is_within(drop: f64, allowed: f64) -> bool {
    drop <= allowed + 1e-9
}

/// A step in the fourth significant digit.
fn step(value: f64) -> f64 {
    10_f64.powf(value.abs().max(1e-9).log10().floor() - 3.0)
}

/// The number of four digits that is not above.
fn down(value: f64) -> f64 {
    let steps = (value / step(value)).round();
    let nearest = trimmed(steps, value);
    if nearest <= value { nearest } else { trimmed(steps - 1.0, value) }
}

/// The number of four digits that is not below.
fn up(value: f64) -> f64 {
    let steps = (value / step(value)).round();
    let nearest = trimmed(steps, value);
    if nearest >= value { nearest } else { trimmed(steps + 1.0, value) }
}

/// So many steps of a value, without what a product leaves behind the last digit.
fn trimmed(steps: f64, value: f64) -> f64 {
    let rounded = steps * step(value);
    let digits = (3.0 - value.abs().max(1e-9).log10().floor()).max(0.0) as usize;
    format!("{rounded:.digits$}").parse().unwrap_or(rounded)
}

/// With three digits, as people write it.
fn significant(value: f64) -> String {
    let digits = (2.0 - value.max(1e-12).log10().floor()).max(0.0) as usize;
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// So many bytes or a little more, as `--vram` takes them.
fn at_least(bytes: u64) -> String {
    const MEBI: u64 = 1 << 20;
    const GIBI: u64 = 1 << 30;
    // Tenths of the unit.
    let (unit, name) = if bytes >= GIBI { (GIBI, "GiB") } else { (MEBI, "MiB") };
    let tenths = bytes.saturating_mul(10).div_ceil(unit);
    format!("{}.{}{name}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_rounded_to_where_the_limit_lets_a_variant_in() {
        let told = |number: f64| number.to_string();
        assert_eq!([7247.354, 0.123_46, 12.0].map(down).map(told), ["7247", "0.1234", "12"]);
        assert_eq!(
            [0.627_61, 0.000_123_41, 0.05, 0.0].map(up).map(told),
            ["0.6277", "0.0001235", "0.05", "0"]
        );
        assert_eq!((at_least(1 << 30), at_least((1 << 30) + 1)), ("1.0GiB".to_owned(), "1.1GiB".to_owned()));
        assert_eq!(at_least(15_800_000), "15.1MiB");
        assert_eq!([significant(0.1), significant(3000.0), significant(1e-6)], ["0.1", "3000", "0.000001"]);
    }

    proptest! {
        #[test]
        fn rounding_never_shuts_out(value in 1e-7..1e13_f64, bytes in any::<u32>()) {
            prop_assert!(down(value) <= value && down(value) > value * 0.998, "{} {value}", down(value));
            prop_assert!(up(value) >= value && up(value) < value * 1.002, "{} {value}", up(value));
            let told = at_least(u64::from(bytes) * 64);
            let (number, unit) = told.split_at(told.len() - 3);
            let unit = if unit == "GiB" { 1_073_741_824.0 } else { 1_048_576.0 };
            prop_assert!(number.parse::<f64>().expect("a number") * unit + 1e-3 >= f64::from(bytes) * 64.0);
        }
    }
}
