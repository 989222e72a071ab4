//! A search for the mix of types that loses least within its bytes, told from top to bottom: coding losses, sensitivity
//! of every group, the allocation, its measurement, curves set right within the mix, exchanges between pairs of groups,
//! and at the end a comparison on text that nothing was chosen by. It starts from the better of the allocation and the
//! stock type's own mix, and ends with the latter if that is better after all.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::fetch::Cache;
use crate::gguf::{Described as _, TensorType};
use crate::plan::ladder;
use crate::plan::recipe::{ImatrixUse, Weights};
use crate::run::prober::Prober;
use crate::run::probes::Probes;
use crate::run::search_report::{Measured, Outcome, Step};
use crate::run::study::{Order, Study};
use crate::search::allocate::{allocate, bytes, fill};
use crate::search::curve::{Point, curve};
use crate::search::walk::{Move, difference, is_better, moves, rescaled};

/// Types at which every group is measured, and where a shape does not allow them.
const COARSE: [&str; 2] = ["Q2_K", "Q4_0"];
const FINE: [&str; 2] = ["Q4_K", "Q5_0"];
/// Rows of a tensor that coding losses are taken from; a spread of them is plenty for a ratio.
const SAMPLED_ROWS: u64 = 32;
/// Shares of the time after which groups are no more measured at the coarse type, and at the fine one.
const SHARES: [f64; 2] = [0.6, 0.4];
/// Share of the time after which no curve is set right any more.
const SETTING: f64 = 0.75;
/// Rounds of setting curves right.
const ROUNDS: usize = 3;
/// Proposals that fail one after the other before the walk ends.
const PATIENCE: usize = 24;
/// How much curves follow what was measured within the mix; the better of the answers is taken.
const TRUST: [f64; 2] = [1.0, 0.5];

/// What the search tells of while it goes on: what it does, steps done, steps in all if that is known.
pub type Tell<'a> = &'a mut dyn FnMut(&str, u64, Option<u64>);

/// A search that runs.
struct Search<'a> {
    study: &'a Study,
    prober: Prober<'a>,
    tell: Tell<'a>,
    begun: Instant,
    limit: Duration,
    report: Vec<Measured>,
    steps: Vec<Step>,
}

/// A mix and its divergence on the chunks of probes.
#[derive(Debug, Clone)]
struct Mix {
    chosen: Vec<usize>,
    klds: Vec<f64>,
}

impl Mix {
    fn mean(&self) -> f64 {
        self.klds.iter().sum::<f64>() / self.klds.len().max(1) as f64
    }
}

/// Searches. After `limit` no probe is begun but those of the first mixes and of the last comparison.
pub fn search(
    order: &Order,
    limit: Duration,
    cache: &Cache,
    interrupted: &AtomicBool,
    tell: Tell<'_>,
) -> Result<Outcome, Error> {
    let begun = Instant::now();
    let study = Study::prepare(order, cache, interrupted)?;
    let probes =
        Probes::open(&study.probes).map_err(|source| Error::Io { path: study.probes.clone(), source })?;
    let size = (study.model.weights(), study.model.file_bytes());
    let asker = Prober::new(study.bench.clone(), size, probes, interrupted)?;
    let mut search =
        Search { study: &study, prober: asker, tell, begun, limit, report: Vec::new(), steps: Vec::new() };
    let curves = search.curves()?;
    let (stock, start) = search.start(&curves)?;
    let (curves, mix) = search.set_right(curves, start)?;
    let (mix, exchanges) = search.walk(&curves, mix)?;
    search.conclude(order, &curves, &mix, stock.as_ref(), exchanges)
}

impl Search<'_> {
    fn has_time(&self, share: f64) -> bool {
        self.begun.elapsed() < self.limit.mul_f64(share)
    }

    /// Curves of all groups.
    fn curves(&mut self) -> Result<Vec<Vec<Point>>, Error> {
        let mut types = Vec::new();
        let all = self.study.groups.len() as u64;
        for group in 0..self.study.groups.len() {
            (self.tell)("coding losses, group", group as u64, Some(all));
            types.push(self.losses(group)?);
        }
        let mut measured: Vec<Vec<(String, f64)>> = vec![Vec::new(); types.len()];
        // The largest groups first: what is not reached in time is small.
        let mut order: Vec<usize> = (0..types.len()).collect();
        order.sort_by_key(|group| std::cmp::Reverse(types.get(*group).and_then(|t| t.first()).map(|t| t.1)));
        for (pass, (anchors, share)) in [COARSE, FINE].into_iter().zip(SHARES).enumerate() {
            for (done, group) in order.iter().enumerate() {
                let Some(anchor) = types.get(*group).and_then(|t| anchor(t, &anchors)) else { continue };
                if !self.has_time(share) {
                    break;
                }
                (self.tell)("sensitivity of groups, probe", (pass * types.len() + done) as u64, None);
                let kld = self.alone(*group, anchor)?;
                if let Some(of_group) = measured.get_mut(*group) {
                    of_group.push((anchor.to_owned(), kld));
                }
            }
        }
        estimate_the_rest(&types, &mut measured);
        Ok(types.iter().zip(&measured).map(|(types, measured)| curve(types, measured)).collect())
    }

    /// (type, bytes, relative loss) of a group.
    fn losses(&mut self, group: usize) -> Result<Vec<(String, u64, f64)>, Error> {
        let Some(group) = self.study.groups.get(group) else { return Ok(Vec::new()) };
        let single: Vec<(&str, u32)> = ladder::TENSOR_TYPES
            .iter()
            .filter(|kind| group.bytes(kind).is_some() || group.stock.iter().any(|s| s == *kind))
            .filter_map(|kind| Some((*kind, TensorType::from_name(kind)?.id)))
            .collect();
        let ids: Vec<u32> = single.iter().map(|(_, id)| *id).collect();
        let mut sums: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
        for (kind, _) in &group.sizes {
            sums.insert(kind, (0.0, 0.0));
        }
        for tensor in &group.tensors {
            let rows = self
                .study
                .model
                .tensors()
                .find(|t| t.name == *tensor)
                .map_or(1, |t| t.weights / t.columns().max(1));
            let every = (rows / SAMPLED_ROWS).clamp(1, u64::from(u32::MAX)) as u32;
            let losses = self.prober.losses(tensor, &ids, every)?;
            for (kind, sum) in &mut sums {
                let own = group.types(kind).find(|(name, _)| name == tensor).map_or(*kind, |(_, own)| own);
                let at = single.iter().position(|(name, _)| *name == own);
                match at.and_then(|at| losses.get(at).copied().flatten()) {
                    Some(loss) => *sum = (sum.0 + loss.error, sum.1 + loss.norm),
                    None => sum.0 = f64::NAN,
                }
            }
        }
        let of = |(kind, bytes): &(String, u64)| {
            let (error, norm) = sums.get(kind.as_str())?;
            let relative = error / norm.max(f64::MIN_POSITIVE);
            relative.is_finite().then(|| (kind.clone(), *bytes, relative))
        };
        Ok(group.sizes.iter().filter_map(of).collect())
    }

    /// Divergence with only this group at a type.
    fn alone(&mut self, group: usize, kind: &str) -> Result<f64, Error> {
        let Some(group) = self.study.groups.get(group) else { return Ok(0.0) };
        let klds = self.prober.measure(&ids(group.types(kind)), &self.study.probed)?;
        self.report.push(Measured::new(format!("{} alone at {kind}", group.name), &klds));
        Ok(klds.iter().sum::<f64>() / klds.len().max(1) as f64)
    }

    fn measure(&mut self, what: &str, curves: &[Vec<Point>], chosen: Vec<usize>) -> Result<Mix, Error> {
        let types = types_of(self.study, curves, &chosen);
        let klds = self.prober.measure(&types, &self.study.probed)?;
        self.report.push(Measured::new(what.to_owned(), &klds));
        Ok(Mix { chosen, klds })
    }

    fn note(&mut self, what: &str, mix: &Mix) {
        self.steps.push(Step {
            what: what.to_owned(),
            kld: mix.mean(),
            seconds: self.begun.elapsed().as_secs_f64(),
        });
    }

    /// The stock type's mix, and the better of it and the allocation.
    fn start(&mut self, curves: &[Vec<Point>]) -> Result<(Option<Mix>, Mix), Error> {
        (self.tell)("first mixes", 0, None);
        let at = |curve: &Vec<Point>, kind: &String| curve.iter().position(|p| p.kind == *kind);
        let chosen = self.study.stock.as_ref().and_then(|stock| {
            curves.iter().zip(&stock.choice).map(|(c, kind)| at(c, kind)).collect::<Option<Vec<usize>>>()
        });
        let stock = match chosen {
            Some(chosen) => Some(self.measure("the stock type's mix", curves, chosen)?),
            None => None,
        };
        if let Some(stock) = &stock {
            self.note("stock", stock);
        }
        let Some(allocated) = allocate(curves, self.study.budget) else { return Err(too_small()) };
        let allocated = self.measure("the allocation by groups measured alone", curves, allocated)?;
        self.note("allocation", &allocated);
        let best = match &stock {
            Some(stock) if stock.mean() < allocated.mean() => stock.clone(),
            _ => allocated,
        };
        Ok((stock, best))
    }

    /// Measures what each group costs within the mix, scales curves to that, allocates again; as long as that helps.
    fn set_right(
        &mut self,
        mut curves: Vec<Vec<Point>>,
        mut best: Mix,
    ) -> Result<(Vec<Vec<Point>>, Mix), Error> {
        for round in 0..ROUNDS {
            if !self.has_time(SETTING) {
                break;
            }
            let within = self.within(&curves, &best)?;
            let mut improved = None;
            let mut nearest = None;
            for trust in TRUST {
                let scaled = scaled(&curves, &best.chosen, &within, trust);
                let Some(chosen) = allocate(&scaled, self.study.budget) else { continue };
                let mix = self.measure("an allocation by groups measured within a mix", &scaled, chosen)?;
                self.note(&format!("round {}, trust {trust}", round + 1), &mix);
                let least = improved.as_ref().map_or(best.mean(), |(_, m): &(_, Mix)| m.mean());
                if mix.mean() < least {
                    improved = Some((scaled, mix));
                } else {
                    nearest.get_or_insert(scaled);
                }
            }
            match (improved, nearest) {
                (Some((scaled, mix)), _) => (curves, best) = (scaled, mix),
                // The curves are nearer to the truth around the mix all the same: the walk goes by them.
                (None, Some(scaled)) => return Ok((scaled, best)),
                (None, None) => break,
            }
        }
        Ok((curves, best))
    }

    /// What each group costs within a mix: the mix's divergence without that of the mix with the group as in the base.
    fn within(&mut self, curves: &[Vec<Point>], mix: &Mix) -> Result<Vec<Option<f64>>, Error> {
        let types = types_of(self.study, curves, &mix.chosen);
        let all = self.study.groups.len();
        let mut within = Vec::new();
        for (number, group) in self.study.groups.iter().enumerate() {
            if !self.has_time(1.0) {
                within.push(None);
                continue;
            }
            (self.tell)("groups within the mix, probe", number as u64, Some(all as u64));
            let mut others = types.clone();
            others.retain(|name, _| !group.tensors.contains(name));
            let klds = self.prober.measure(&others, &self.study.probed)?;
            self.report.push(Measured::new(format!("a mix with {} as in the base", group.name), &klds));
            within.push(Some(-difference(&mix.klds, &klds).0));
        }
        Ok(within)
    }

    /// Exchanges bits between groups as long as that measurably helps and there is time.
    fn walk(&mut self, curves: &[Vec<Point>], mut best: Mix) -> Result<(Mix, usize), Error> {
        let mut tried: Vec<Vec<usize>> = Vec::new();
        let (mut failed, mut taken) = (0, 0);
        'walk: while self.has_time(1.0) && failed < PATIENCE {
            let proposals: Vec<Move> = moves(curves, &best.chosen, self.study.budget, 400);
            for proposal in proposals {
                let chosen = proposal.from(&best.chosen);
                if tried.contains(&chosen) {
                    continue;
                }
                if !self.has_time(1.0) || failed >= PATIENCE {
                    break 'walk;
                }
                (self.tell)("exchanges between groups, probe", tried.len() as u64, None);
                tried.push(chosen.clone());
                let mix = self.measure("an exchange between groups", curves, chosen)?;
                if is_better(&best.klds, &mix.klds) {
                    (best, failed, taken) = (mix, 0, taken + 1);
                    self.note("exchange", &best);
                    continue 'walk;
                }
                failed += 1;
            }
            break;
        }
        let mut filled = best.chosen.clone();
        fill(curves, &mut filled, self.study.budget);
        if filled != best.chosen {
            let mix = self.measure("the bytes left over filled", curves, filled)?;
            if mix.mean() < best.mean() {
                best = mix;
            }
        }
        Ok((best, taken))
    }

    /// The mix against the stock type's on text that nothing was chosen by.
    fn conclude(
        mut self,
        order: &Order,
        curves: &[Vec<Point>],
        mix: &Mix,
        stock: Option<&Mix>,
        exchanges: usize,
    ) -> Result<Outcome, Error> {
        (self.tell)("comparing with the stock type", 0, None);
        let checked = self.study.checked.clone();
        let mut check =
            |chosen: &[usize]| self.prober.measure(&types_of(self.study, curves, chosen), &checked);
        let own = check(&mix.chosen)?;
        let stock_klds = stock.map(|s| check(&s.chosen)).transpose()?;
        let mean = |klds: &[f64]| klds.iter().sum::<f64>() / klds.len().max(1) as f64;
        let worse = stock_klds.as_ref().is_some_and(|s| mean(s) < mean(&own));
        let chosen = match stock.filter(|_| worse) {
            Some(stock) => stock.chosen.clone(),
            None => mix.chosen.clone(),
        };
        if let Some(left) = self.prober.restored()?.filter(|left| *left > 0.0) {
            return Err(Error::Worker(format!(
                "the base was not itself again after the search (its divergence from itself is {left}): its probes in {} \
                 mean nothing",
                self.study.probes.display()
            )));
        }
        let grouped = bytes(curves, &chosen).unwrap_or(u64::MAX);
        if grouped > self.study.budget {
            return Err(too_small());
        }
        Ok(Outcome {
            weights: weights(order, self.study, curves, &chosen),
            file_bytes: self.study.fixed + grouped,
            allowed_bytes: self.study.fixed + self.study.budget,
            stock: self.study.stock.as_ref().map(|s| s.name.clone()),
            stock_bytes: self.study.stock.as_ref().map(|s| s.file_bytes),
            is_stock: worse,
            checked: Measured::new(
                "the mix, on text that nothing was chosen by".to_owned(),
                if worse { stock_klds.as_deref().unwrap_or(&own) } else { &own },
            ),
            checked_stock: stock_klds
                .map(|s| Measured::new("the stock type, on the same text".to_owned(), &s)),
            groups: self
                .study
                .groups
                .iter()
                .zip(curves.iter().zip(&chosen))
                .filter_map(|(g, (c, at))| Some((g.name.clone(), c.get(*at)?.kind.clone())))
                .collect(),
            exchanges,
            steps: self.steps,
            probes: self.report,
            chunks_measured: self.prober.counts.0,
            chunks_at_hand: self.prober.counts.1,
            seconds: self.begun.elapsed().as_secs_f64(),
            probes_in: self.study.probes.clone(),
        })
    }
}

/// The first of these types that a group may have.
fn anchor<'a>(types: &[(String, u64, f64)], anchors: &[&'a str]) -> Option<&'a str> {
    anchors.iter().find(|a| types.iter().any(|(kind, ..)| kind == *a)).copied()
}

/// Groups that were not reached cost what others do for their loss and their size (the bytes of their largest type).
fn estimate_the_rest(types: &[Vec<(String, u64, f64)>], measured: &mut [Vec<(String, f64)>]) {
    let size = |types: &[(String, u64, f64)]| types.iter().map(|t| t.1).max().unwrap_or(0) as f64;
    let exposure = |types: &[(String, u64, f64)], kind: &str| {
        types.iter().find(|t| t.0 == kind).map(|t| t.2 * size(types)).filter(|e| *e > 0.0)
    };
    let rates = types.iter().zip(measured.iter());
    let rates =
        rates.filter_map(|(types, m)| m.first().and_then(|(kind, kld)| Some(kld / exposure(types, kind)?)));
    let mut rates: Vec<f64> = rates.collect();
    rates.sort_by(f64::total_cmp);
    let all: f64 = types.iter().map(|t| size(t)).sum();
    let rate = rates.get(rates.len() / 2).copied().unwrap_or(1.0 / all.max(1.0));
    for (types, measured) in types.iter().zip(measured).filter(|(_, m)| m.is_empty()) {
        let kind = anchor(types, &COARSE).or(types.last().map(|t| t.0.as_str()));
        let Some(kind) = kind else { continue };
        measured.extend(exposure(types, kind).map(|e| (kind.to_owned(), rate * e)));
    }
}

fn types_of(study: &Study, curves: &[Vec<Point>], chosen: &[usize]) -> BTreeMap<String, u32> {
    let points = curves.iter().zip(chosen).map(|(curve, at)| curve.get(*at));
    let of_group = study.groups.iter().zip(points);
    of_group.filter_map(|(group, point)| Some(ids(group.types(&point?.kind)))).flatten().collect()
}

fn ids<'a>(types: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, u32> {
    types.filter_map(|(tensor, kind)| Some((tensor.to_owned(), TensorType::from_name(kind)?.id))).collect()
}

/// Curves that follow what was measured within the mix, by a power of it.
fn scaled(curves: &[Vec<Point>], chosen: &[usize], within: &[Option<f64>], trust: f64) -> Vec<Vec<Point>> {
    let each = curves.iter().zip(chosen).zip(within);
    each.map(|((curve, at), within)| match within {
        Some(within) => {
            let alone = curve.get(*at).map_or(0.0, |p| p.kld);
            let ratio = if alone > 0.0 { (within / alone).max(1e-3) } else { 1.0 };
            rescaled(curve, *at, alone * ratio.powf(trust))
        }
        None => curve.clone(),
    })
    .collect()
}

fn too_small() -> Error {
    Error::Refused {
        reason: "no mix fits the bytes that were asked for".to_owned(),
        hint: Some("ask for more bytes".to_owned()),
    }
}

/// The recipe of a choice. Every weight has a rule; the file's type is a name for people only.
fn weights(order: &Order, study: &Study, curves: &[Vec<Point>], chosen: &[usize]) -> Weights {
    let bytes = bytes(curves, chosen).unwrap_or(0);
    let bpw = bytes as f64 * 8.0 / study.model.weights().max(1) as f64;
    let nominal = |name: &&str| ladder::find(name).map_or(f64::MAX, |t| (t.nominal_bpw - bpw).abs());
    let plain = ["Q8_0", "Q6_K", "Q5_K_S", "Q4_K_S", "Q3_K_S", "Q2_K"];
    let label = plain.into_iter().min_by(|a, b| nominal(a).total_cmp(&nominal(b))).unwrap_or("Q8_0");
    let stock = ladder::find(label).map(Weights::stock).unwrap_or_default();
    let mut weights = Weights { name: "searched".to_owned(), ..stock };
    for (group, (curve, at)) in study.groups.iter().zip(curves.iter().zip(chosen)) {
        let Some(point) = curve.get(*at) else { continue };
        match group.name.as_str() {
            "token_embd" => weights.embedding = Some(point.kind.clone()),
            "output" => weights.output = Some(point.kind.clone()),
            _ => weights.overrides.extend(group.rules(&point.kind)),
        }
    }
    match &order.imatrix {
        Some(path) => Weights { imatrix: ImatrixUse::File(path.clone()), ..weights },
        None => weights,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_that_were_not_reached_are_judged_by_loss_and_size() {
        let group = |bytes: u64, loss: f64| {
            vec![("Q8_0".to_owned(), bytes, 0.0), ("Q2_K".to_owned(), bytes / 4, loss)]
        };
        let types = [group(1000, 0.1), group(2000, 0.1), group(1000, 0.3)];
        let mut measured = vec![vec![("Q2_K".to_owned(), 0.5)], Vec::new(), Vec::new()];
        estimate_the_rest(&types, &mut measured);
        let kld = |group: usize| measured[group][0].1;
        assert!((kld(0) - 0.5).abs() < 1e-12 && (kld(1) - 1.0).abs() < 1e-12 && (kld(2) - 1.5).abs() < 1e-12);
        let mut nothing = vec![Vec::new(); 3];
        estimate_the_rest(&types, &mut nothing);
        assert!(nothing.iter().all(|m| m.len() == 1 && m[0].1 > 0.0), "{nothing:?}");
    }
}
