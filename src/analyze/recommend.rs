//! One variant to run, why, what else there is, and what was ruled out. The rule: of the variants that keep every limit,
//! the one of fewest bytes whose quality lies within the drop that is allowed below the base's. How sure that is, is the
//! share of the joint resamples in which the same rule takes the same variant.

use std::collections::BTreeMap;

use serde::Serialize;

use super::frontier::quality_metric;
use super::joint::Joint;
use super::report::{ComparisonRow, Report, SuiteSummary, VariantRow};
use super::summary::Analysis;
use crate::journal::record::Manifest;
use crate::units::Bytes;

/// Where there is no accuracy but only texts: nats of divergence that are allowed.
const MAX_DIVERGENCE: f64 = 0.05;
/// Runners-up that are told.
const RUNNERS_UP: usize = 3;
/// Less sure than this is said to be unsure.
const SURE: f64 = 0.8;

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
}

/// What memory there is, and what it is asked to hold.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Memory {
    /// The limit's name: `vram` or `ram`.
    pub limit: String,
    /// Bytes there are, without the margin.
    pub bytes: u64,
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
    /// Share of the joint resamples in which the rule takes it; 0 without a variant.
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
    /// What is allowed.
    pub allowed: Option<f64>,
}

/// A variant with what it is judged by.
struct Candidate<'a> {
    row: &'a VariantRow,
    bytes: u64,
    /// Quality below the base, less being better, and the same in every resample.
    drop: f64,
    draws: Vec<f64>,
}

/// Recommends a variant of a sweep, whose costs are those of the volume asked for.
#[must_use]
pub fn recommend(manifest: &Manifest, analysis: &Analysis, limits: &Limits) -> Recommendation {
    let Analysis { report, joint } = analysis;
    let Some(suite) = quality(report, joint) else { return nothing_measured() };
    let asked = Asked { report, suite, limits, allowed: allowed(suite, limits, manifest) };
    let (candidates, mut ruled_out) = asked.candidates(joint);
    let (kept, dropped): (Vec<&Candidate>, Vec<&Candidate>) =
        candidates.iter().partition(|c| c.drop <= asked.allowed);
    ruled_out.extend(dropped.iter().map(|c| asked.drops(c)));
    let chosen = kept.iter().min_by(|a, b| a.bytes.cmp(&b.bytes)).copied();
    let shares = shares(&candidates, asked.allowed);
    let of = |name: &str| shares.get(name).copied().unwrap_or(0.0);
    let Some(chosen) = chosen else {
        return Recommendation {
            variant: None,
            confidence: 0.0,
            reasons: asked.loosen(&ruled_out),
            runners_up: Vec::new(),
            ruled_out,
            quality: asked.axis(),
            max_drop: asked.allowed,
        };
    };
    let name = &chosen.row.variant;
    let mut others: Vec<&Candidate> = kept.iter().copied().filter(|c| c.row.variant != *name).collect();
    others.sort_by(|a, b| of(&b.row.variant).total_cmp(&of(&a.row.variant)).then(a.bytes.cmp(&b.bytes)));
    let runner = |other: &Candidate| RunnerUp {
        variant: other.row.variant.clone(),
        share: of(&other.row.variant),
        trade: asked.trade(chosen, other),
    };
    Recommendation {
        variant: Some(name.clone()),
        confidence: of(name),
        reasons: asked.reasons(chosen, &candidates, of(name)),
        runners_up: others.into_iter().take(RUNNERS_UP).map(runner).collect(),
        ruled_out,
        quality: asked.axis(),
        max_drop: asked.allowed,
    }
}

fn nothing_measured() -> Recommendation {
    Recommendation {
        variant: None,
        confidence: 0.0,
        reasons: vec![
            "No suite tells the variants apart: nothing is measured yet, or the base only guesses."
                .to_owned(),
        ],
        runners_up: Vec::new(),
        ruled_out: Vec::new(),
        quality: String::new(),
        max_drop: 0.0,
    }
}

/// What stands for quality: the composite, the only suite of questions with a signal, or the first text.
fn quality<'a>(report: &'a Report, joint: &Joint) -> Option<&'a SuiteSummary> {
    let drawn = || report.suites.iter().filter(|suite| joint.suite(&suite.name).is_some());
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
    let mut counts: BTreeMap<String, f64> = BTreeMap::new();
    for resample in 0..resamples {
        let drop =
            |c: &Candidate| c.draws.get(resample).copied().filter(|d| d.is_finite()).unwrap_or(f64::INFINITY);
        let within = candidates.iter().filter(|c| drop(c) <= allowed).min_by_key(|c| c.bytes);
        let best = || candidates.iter().min_by(|a, b| drop(a).total_cmp(&drop(b)));
        if let Some(taken) = within.or_else(best) {
            *counts.entry(taken.row.variant.clone()).or_default() += 1.0 / resamples as f64;
        }
    }
    counts
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

    /// Variants that keep the limits of memory, speed and volume, and why others do not.
    fn candidates(&self, joint: &Joint) -> (Vec<Candidate<'a>>, Vec<RuledOut>) {
        let (mut kept, mut out) = (Vec::new(), Vec::new());
        for row in &self.report.variants {
            match self.judged(row, joint) {
                Ok(candidate) => kept.push(candidate),
                Err(reason) => out.push(reason),
            }
        }
        (kept, out)
    }

    fn judged(&self, row: &'a VariantRow, joint: &Joint) -> Result<Candidate<'a>, RuledOut> {
        let out = |limit: &str, value: Option<f64>, allowed: Option<f64>| RuledOut {
            variant: row.variant.clone(),
            limit: limit.to_owned(),
            value,
            allowed,
        };
        let measured = joint.suite(&self.suite.name).zip(joint.column(&row.variant));
        let drawn = measured.and_then(|(all, column)| {
            Some((all.points.first()?, all.points.get(column)?, all.draws.first()?, all.draws.get(column)?))
        });
        let found = drawn.filter(|(_, own, ..)| own.is_finite()).zip(row.file_bytes);
        let Some(((base, own, base_draws, own_draws), bytes)) = found else {
            return Err(out("failed", None, None));
        };
        if let Some(memory) = &self.limits.memory {
            let (needs, fits) = memory.needs.get(&row.variant).copied().unwrap_or((None, false));
            if !fits {
                return Err(out(&memory.limit, needs.map(|n| n as f64), Some(memory.bytes as f64)));
            }
        }
        if let Some(least) = self.limits.min_tg
            && row.tg128_tps.is_none_or(|tg| tg < least)
        {
            return Err(out("min_tg", row.tg128_tps, Some(least)));
        }
        if let Some(tokens) = self.limits.monthly_tokens
            && let Some(most) = self.capacity(&row.variant).filter(|most| *most < tokens)
        {
            return Err(out("monthly_tokens", Some(most), Some(tokens)));
        }
        // Of divergences the base has none; of scores what is lost is the base's less its own.
        let lost = |base: f64, own: f64| if self.is_text() { own - base } else { base - own };
        Ok(Candidate {
            row,
            bytes,
            drop: lost(*base, *own),
            draws: base_draws.iter().zip(own_draws).map(|(b, v)| lost(*b, *v)).collect(),
        })
    }

    fn drops(&self, candidate: &Candidate) -> RuledOut {
        RuledOut {
            variant: candidate.row.variant.clone(),
            limit: "max_drop".to_owned(),
            value: Some(candidate.drop),
            allowed: Some(self.allowed),
        }
    }

    /// The row of a variant's price on this machine.
    fn price(&self, variant: &str) -> Option<&super::cost::CostRow> {
        let sheet = &self.report.costs;
        sheet.rows.iter().find(|r| r.variant == variant && r.scenario == sheet.scenario && r.kind == "price")
    }

    /// Output tokens a month that this machine can produce with a variant.
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

    /// The reason in three sentences, and what makes it unsure.
    fn reasons(&self, chosen: &Candidate, all: &[Candidate], confidence: f64) -> Vec<String> {
        let mut reasons =
            vec![self.quality_sentence(chosen), self.takes(chosen), self.next_smaller(chosen, all)];
        if let Some(tokens) = self.limits.monthly_tokens {
            reasons.extend(self.costs_sentence(chosen, tokens));
        }
        let least = self.comparison(&chosen.row.variant).and_then(|c| c.detectable);
        reasons.push(match least {
            _ if confidence >= SURE => {
                format!("In {:.0}% of the resamples the same rule takes the same variant.", confidence * 100.0)
            }
            Some(least) => format!(
                "That is not sure: only in {:.0}% of the resamples the rule takes it, and so few items could have shown \
                 no difference smaller than {}.",
                confidence * 100.0,
                self.points(least)
            ),
            None => format!(
                "That is not sure: only in {:.0}% of the resamples the rule takes it; more items would tell.",
                confidence * 100.0
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
        let points = -chosen.drop * 100.0;
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
        let smaller = all.iter().filter(|c| c.bytes < chosen.bytes).max_by_key(|c| c.bytes);
        match smaller {
            Some(next) => format!(
                "The next smaller, {} ({}), loses {}.",
                next.row.variant,
                Bytes(next.bytes),
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
        Some(format!(
            "{:.1} million output tokens a month cost ${ours:.2} on {}{beside}.",
            tokens / 1e6,
            own.scenario
        ))
    }

    fn trade(&self, chosen: &Candidate, other: &Candidate) -> String {
        let (more, less) = if other.bytes >= chosen.bytes {
            ("larger", other.bytes - chosen.bytes)
        } else {
            ("smaller", chosen.bytes - other.bytes)
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
        format!("{} {more}, {quality}{speed}", Bytes(less))
    }

    fn base(&self) -> &str {
        self.report.variants.first().map_or("base", |row| row.variant.as_str())
    }

    /// Which limit to loosen, and how far: for each limit the variant that comes nearest to it.
    fn loosen(&self, ruled_out: &[RuledOut]) -> Vec<String> {
        let mut reasons = vec!["No variant fits.".to_owned()];
        let mut limits: Vec<&str> = Vec::new();
        for out in ruled_out.iter().filter(|out| out.limit != "failed") {
            if !limits.contains(&out.limit.as_str()) {
                limits.push(&out.limit);
            }
        }
        for limit in limits {
            let own = ruled_out.iter().filter(|out| out.limit == limit);
            let valued = own.clone().filter_map(|out| Some((out, out.value?)));
            let wants_more = matches!(limit, "min_tg" | "monthly_tokens");
            let nearest =
                valued.min_by(|a, b| if wants_more { b.1.total_cmp(&a.1) } else { a.1.total_cmp(&b.1) });
            let count = own.count();
            let Some((out, value)) = nearest else {
                reasons.push(format!(
                    "--{} rules out {count} of which it is not known what they need.",
                    limit.replace('_', "-")
                ));
                continue;
            };
            let value = match limit {
                "min_tg" => format!("--min-tg to {value:.1}"),
                "monthly_tokens" => format!("--monthly-tokens to {value:.0}, what this machine can produce"),
                "max_drop" if self.is_text() => format!("--max-drop to {value:.3}"),
                "max_drop" => format!("--max-drop to {:.3}", value + 5e-4),
                _ => format!("--{limit} to {} and the margin, or ask for less --ctx", Bytes(value as u64)),
            };
            reasons.push(format!("{count} ruled out by this limit: loosen {value} for {}.", out.variant));
        }
        reasons
    }
}
