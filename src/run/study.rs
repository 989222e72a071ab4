//! What a search works on, looked at before anything is measured: the base, its groups of weights and what each takes as
//! each type, the bytes there are, the stock type that is to be beaten, and the parts of the text that decide. All bad
//! input is told here.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tempfile::NamedTempFile;

use crate::error::Error;
use crate::fetch::{Cache, sha256_file};
use crate::gguf::imatrix::Imatrix;
use crate::gguf::{self, Described as _, TensorType};
use crate::plan::fingerprint;
use crate::plan::ladder::{self, NEED_IMPORTANCES, NEVER_OUTSIDE_BLOCKS, StockType};
use crate::plan::overlap::overlap;
use crate::plan::recipe::{self, ImatrixUse, Weights};
use crate::plan::suite;
use crate::plan::target::Target;
use crate::run::data;
use crate::run::file_plan::Source;
use crate::run::imatrix::{Calibration, DEFAULT_TEXT};
use crate::run::inputs::sha256_of;
use crate::run::prepare::{open_base, stopped};
use crate::search::group::{self, Group};
use crate::units::{BitsPerWeight, Bytes};
use crate::worker::client::{WorkFailure, Worker};
use crate::worker::protocol::{BenchSpec, CountWork, Finished, Request, Scored, TextFile, TextSuite};

/// Chunks that probes are measured on, and chunks that are kept for the end: what was chosen by a text looks better on
/// it than it is.
const PROBED: u64 = 4;
const CHECKED: u64 = 6;
/// Longest silence of a worker that only decides types.
const PATIENCE: Duration = Duration::from_mins(2);
/// Text suites that variants are judged by; a search must not see them.
const JUDGES: [&str; 1] = ["perplexity"];

/// What is asked.
#[derive(Debug, Clone)]
pub struct Order {
    /// The base's file (first part, if split).
    pub base: PathBuf,
    /// How large the file may be.
    pub target: Target,
    /// The importance matrix.
    pub imatrix: Option<PathBuf>,
    /// The text that decides; absent: the default one.
    pub text: Option<PathBuf>,
    /// Tokens a chunk.
    pub n_ctx: u32,
    /// Threads.
    pub threads: u32,
    /// Whether files tell the whole path of the importance matrix, or its name only.
    pub tells_path: bool,
}

/// What a search works on.
#[derive(Debug)]
pub struct Study {
    /// The base's header.
    pub model: gguf::Model,
    /// Groups of weights.
    pub groups: Vec<Group>,
    /// Bytes that the groups may take together.
    pub budget: u64,
    /// Bytes of everything else in the file.
    pub fixed: u64,
    /// The largest stock type that fits, or the one that was named.
    pub stock: Option<Stock>,
    /// What the bench is told.
    pub bench: BenchSpec,
    /// Chunks that probes are measured on.
    pub probed: Vec<u64>,
    /// Chunks that the end is judged by.
    pub checked: Vec<u64>,
    /// Where probes are kept.
    pub probes: PathBuf,
}

/// A stock type's own mix.
#[derive(Debug, Clone, PartialEq)]
pub struct Stock {
    /// Its name.
    pub name: String,
    /// Bytes of its file.
    pub file_bytes: u64,
    /// Of each group the name of the choice that is the stock type's.
    pub choice: Vec<String>,
}

impl Study {
    /// Looks at everything.
    pub fn prepare(order: &Order, cache: &Cache, interrupted: &AtomicBool) -> Result<Self, Error> {
        let model = open_base(&order.base, false)?;
        let source = source(order, &model);
        let imatrix = source.importances(order.imatrix.as_deref())?;
        let base_sha256 = sha256_of(&model, cache)?;
        let text = find_text(order, cache)?;
        let log = NamedTempFile::new().map_err(|source| Error::Io { path: std::env::temp_dir(), source })?;
        let ended = |failure| stopped(failure, &order.base);
        let mut worker = Worker::start(log.path(), interrupted).map_err(ended)?;
        let mut ask = |request: &Request| worker.ask(request, PATIENCE, interrupted, |_| Ok(()));

        let eight = plain_weights("Q8_0", order)?;
        let (_, types) =
            source.forecast_types(&eight, order.imatrix.as_deref(), &mut ask).map_err(ended)??;
        let own: HashMap<&str, &str> = model.tensors().map(|t| (t.name.as_str(), t.kind.ggml_name)).collect();
        let changed = types.iter().filter(|(name, kind)| own.get(name.as_str()) != Some(&kind.as_str()));
        let names: Vec<String> = changed.map(|(name, _)| name.clone()).collect();
        let allow = |tensor: &str, kind: &str| allows(imatrix.as_ref(), tensor, kind);
        let mut groups = group::groups(&model, &names, &allow);
        if groups.is_empty() {
            return Err(Error::Refused {
                reason: format!("{} has no weights that could be quantized", order.base.display()),
                hint: None,
            });
        }
        let told = imatrix.as_ref().zip(order.imatrix.as_deref());
        let told = told.map_or(Vec::new(), |(matrix, path)| source.told(matrix, path));
        let fixed = fixed_bytes(&model, &groups, &told)?;

        let candidates = stock_types(order, &source, &mut ask).map_err(ended)??;
        let budget = match &order.target {
            Target::Like(_) => candidates.first().map_or(0, |(_, bytes, _)| bytes.saturating_sub(fixed)),
            target => budget(&model, target, &groups, fixed),
        };
        let stock = candidates
            .into_iter()
            .filter(|(_, bytes, _)| *bytes <= fixed + budget)
            .max_by_key(|(_, bytes, _)| *bytes)
            .and_then(|(name, file_bytes, types)| Stock::of(name, file_bytes, &types, &model, &mut groups));
        check_limits(&model, order, &groups, fixed, budget)?;

        let cut = TextSuite { ctx: order.n_ctx, scored: Scored::All, stride: None };
        let count = CountWork { model: order.base.clone(), texts: vec![TextFile::plain(&text)] };
        let tokens = match ask(&Request::CountTokens(count)).map_err(ended)? {
            Finished::Tokens { counts } => counts.first().copied().unwrap_or(0),
            _ => return Err(Error::Worker("the worker answered another question".to_owned())),
        };
        let (probed, checked) = chunks(&text, tokens, cut, seen(imatrix.as_ref(), &text))?;
        let hash =
            |path: &Path| sha256_file(path).map_err(|source| Error::Io { path: path.to_owned(), source });
        let imatrix_sha256 = order.imatrix.as_deref().map(hash).transpose()?.unwrap_or_default();
        let text_sha256 = hash(&text)?;
        let ctx = order.n_ctx.to_string();
        let llama_cpp = worker.native.llama_cpp.clone();
        let about = [&base_sha256, &text_sha256, &ctx, &llama_cpp].map(String::as_str);
        let bases = fingerprint::of_texts(about);
        let key = fingerprint::of_texts(about.into_iter().chain([imatrix_sha256.as_str()]));
        let folder = cache.root().join("search");
        let mut all: Vec<u64> = probed.iter().chain(&checked).copied().collect();
        all.sort_unstable();
        Ok(Self {
            bench: BenchSpec {
                model: order.base.clone(),
                base_sha256,
                threads: order.threads,
                text: TextFile::plain(&text),
                cut,
                chunks: all,
                base_store: folder.join(format!("base-{bases}")),
                imatrix: order.imatrix.clone(),
            },
            probes: folder.join(format!("probes-{key}")),
            model,
            groups,
            budget,
            fixed,
            stock,
            probed,
            checked,
        })
    }

    /// Smallest and largest file there can be.
    pub fn limits(&self) -> (u64, u64) {
        limits(&self.groups, self.fixed)
    }
}

/// A stock type's name, the bytes of its file and the types of its tensors.
type StockFile = (&'static str, u64, Vec<(String, String)>);

/// What the stock types' files would be: that of the one that was named, or of all that can be made.
fn stock_types(
    order: &Order,
    source: &Source<'_>,
    ask: &mut dyn FnMut(&Request) -> Result<Finished, WorkFailure>,
) -> Result<Result<Vec<StockFile>, Error>, WorkFailure> {
    let named = match &order.target {
        Target::Like(name) => ladder::find(name),
        _ => None,
    };
    let plain =
        |t: &&StockType| named.is_none_or(|n| n.name == t.name) && !["F32", "F16", "BF16"].contains(&t.name);
    let mut found = Vec::new();
    for stock in ladder::STOCK.iter().filter(plain) {
        let weights = with_imatrix(Weights::stock(stock), order);
        match source.forecast_types(&weights, order.imatrix.as_deref(), &mut *ask)? {
            Ok((forecast, types)) => found.push((stock.name, forecast.file_bytes, types)),
            Err(refusal) if named.is_some() => return Ok(Err(refusal.into())),
            Err(_) => {}
        }
    }
    Ok(Ok(found))
}

/// The base as quantizing sees it.
pub fn source<'a>(order: &'a Order, model: &'a gguf::Model) -> Source<'a> {
    Source {
        path: &order.base,
        model,
        allow_requantize: false,
        threads: order.threads,
        tells_path: order.tells_path,
    }
}

/// A stock type with the search's importance matrix.
pub fn plain_weights(name: &str, order: &Order) -> Result<Weights, Error> {
    Ok(with_imatrix(Weights::stock(recipe::find(name, "search")?), order))
}

fn with_imatrix(weights: Weights, order: &Order) -> Weights {
    match &order.imatrix {
        Some(path) => weights.with_imatrix(ImatrixUse::File(path.clone())),
        None => weights,
    }
}

/// Whether llama.cpp makes this type of this tensor.
fn allows(imatrix: Option<&Imatrix>, tensor: &str, kind: &str) -> bool {
    let has = imatrix.is_some_and(|m| m.entries.contains_key(tensor));
    if ["token_embd.weight", "per_layer_token_embd.weight", "output.weight"].contains(&tensor) {
        return !NEVER_OUTSIDE_BLOCKS.contains(&kind);
    }
    has || !NEED_IMPORTANCES.contains(&kind)
}

/// Bytes of the file beside the groups' tensors: header, norms and whatever stays as it is.
fn fixed_bytes(model: &gguf::Model, groups: &[Group], told: &[(String, u64)]) -> Result<u64, Error> {
    let mut types = HashMap::new();
    let mut grouped = 0;
    for group in groups {
        let Some((kind, bytes)) = group.sizes.first() else { continue };
        grouped += bytes;
        if let Some(kind) = TensorType::from_name(kind) {
            types.extend(group.tensors.iter().map(|name| (name.clone(), kind)));
        }
    }
    Ok(gguf::quantized_file_bytes_with(model, &types, told)?.saturating_sub(grouped))
}

fn limits(groups: &[Group], fixed: u64) -> (u64, u64) {
    let sum = |pick: fn(&Group) -> Option<u64>| groups.iter().filter_map(pick).sum::<u64>();
    let least = sum(|g| g.sizes.iter().map(|(_, b)| *b).min());
    let most = sum(|g| g.sizes.iter().map(|(_, b)| *b).max());
    (fixed + least, fixed + most)
}

/// Bytes for the groups.
fn budget(model: &gguf::Model, target: &Target, groups: &[Group], fixed: u64) -> u64 {
    match target {
        Target::Bytes(bytes) => bytes.saturating_sub(fixed),
        Target::Bpw(bpw) => {
            let grouped: Vec<&String> = groups.iter().flat_map(|g| &g.tensors).collect();
            let rest: u64 = model.tensors().filter(|t| !grouped.contains(&&t.name)).map(|t| t.bytes).sum();
            ((bpw * model.weights() as f64 / 8.0) as u64).saturating_sub(rest)
        }
        Target::Like(_) => 0,
    }
}

/// Refuses what no mix can be: both limits are told.
fn check_limits(
    model: &gguf::Model,
    order: &Order,
    groups: &[Group],
    fixed: u64,
    budget: u64,
) -> Result<(), Error> {
    let (least, _) = limits(groups, fixed);
    let base = model.file_bytes();
    let bpw =
        |bytes: u64| BitsPerWeight(bytes.saturating_sub(fixed) as f64 * 8.0 / model.weights().max(1) as f64);
    let too = match &order.target {
        _ if fixed + budget < least => "below the smallest mix",
        Target::Bytes(bytes) if *bytes > base => "above the base",
        Target::Bpw(asked) if *asked > model.bpw().0 => "above the base",
        _ => return Ok(()),
    };
    let asked = match &order.target {
        Target::Bytes(bytes) => format!("{} ({bytes} bytes)", Bytes(*bytes)),
        Target::Bpw(asked) => BitsPerWeight(*asked).to_string(),
        Target::Like(name) => format!("the size of {name}"),
    };
    let without = if order.imatrix.is_none() { "; with --imatrix smaller types can be had" } else { "" };
    Err(Error::Refused {
        reason: format!(
            "{asked} is {too}: {} can have {} ({least} bytes, {}) to {} ({base} bytes, {})",
            order.base.display(),
            Bytes(least),
            bpw(least),
            Bytes(base),
            model.bpw()
        ),
        hint: Some(format!("ask for something between{without}")),
    })
}

impl Stock {
    fn of(
        name: &str,
        file_bytes: u64,
        types: &[(String, String)],
        model: &gguf::Model,
        groups: &mut [Group],
    ) -> Option<Self> {
        let upper = |ggml: &str| TensorType::from_name(ggml).map(|t| t.name.to_owned());
        let types: Option<BTreeMap<String, String>> =
            types.iter().map(|(name, kind)| Some((name.clone(), upper(kind)?))).collect();
        let types = types?;
        let choice: Option<Vec<String>> = groups.iter_mut().map(|g| g.add_stock(model, &types)).collect();
        Some(Self { name: name.to_owned(), file_bytes, choice: choice? })
    }
}

/// The text: the one that was named, or the default, and neither may be what variants are judged by.
fn find_text(order: &Order, cache: &Cache) -> Result<PathBuf, Error> {
    let text = Calibration::find(order.text.as_deref(), None, cache)?.text;
    let read = |path: &Path| {
        let bytes = std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
        Ok::<_, Error>(String::from_utf8_lossy(&bytes).into_owned())
    };
    if !text.is_file() {
        return Err(Error::Refused {
            reason: format!("there is no text {}", text.display()),
            hint: Some("name another with --text, or leave it out for the default".to_owned()),
        });
    }
    let own = read(&text)?;
    for name in JUDGES {
        let suite = suite::parse(&suite::find(name, "search")?)?;
        // A suite that was never fetched has judged nothing here.
        let Ok(paths) = data::locate_all(&suite, cache, false) else { continue };
        for path in paths {
            let found = overlap(&own, &read(&path)?);
            if found.is_overlap() {
                return Err(Error::Refused {
                    reason: format!(
                        "{} has {:.1}% of the text of the suite {name} in it: the result would be judged by what it was \
                         chosen with",
                        text.display(),
                        100.0 * found.share()
                    ),
                    hint: Some("search with another text".to_owned()),
                });
            }
        }
    }
    Ok(text)
}

/// Tokens at the text's beginning that the importance matrix was computed with, as far as it tells.
fn seen(imatrix: Option<&Imatrix>, text: &Path) -> u64 {
    let Some(matrix) = imatrix else { return 0 };
    let name = text.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let same =
        |dataset: &String| *dataset == DEFAULT_TEXT || dataset.rsplit('/').next() == Some(name.as_str());
    let tokens = u64::from(matrix.chunk_count) * u64::from(matrix.chunk_size);
    if matrix.datasets.iter().any(same) { tokens } else { 0 }
}

/// Chunks of the text past what was seen, spread evenly: those for probes and those for the end.
fn chunks(text: &Path, tokens: u64, cut: TextSuite, seen: u64) -> Result<(Vec<u64>, Vec<u64>), Error> {
    let all = cut.chunks(tokens);
    let first = seen.div_ceil(u64::from(cut.ctx.max(1)));
    let there = all.saturating_sub(first);
    if there < 4 {
        let past = if seen > 0 {
            format!(" past the {seen} that the importance matrix was made with")
        } else {
            String::new()
        };
        return Err(Error::Refused {
            reason: format!(
                "{} has {tokens} tokens, which leaves {there} chunks of {}{past}; a search takes at least 4",
                text.display(),
                cut.ctx
            ),
            hint: Some("give a longer text with --text".to_owned()),
        });
    }
    let wanted = (PROBED + CHECKED).min(there);
    let spread: Vec<u64> = (0..wanted).map(|i| first + i * there / wanted).collect();
    // Two of five, in turn.
    let of = |probed: bool| -> Vec<u64> {
        let pairs = spread.iter().enumerate().filter(|(i, _)| [1, 3].contains(&(i % 5)) == probed);
        pairs.map(|(_, chunk)| *chunk).collect()
    };
    Ok((of(true), of(false)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_lie_past_what_was_seen_and_none_is_used_twice() {
        let cut = TextSuite { ctx: 512, scored: Scored::All, stride: None };
        let (probed, checked) = chunks(Path::new("t"), 512 * 100, cut, 512 * 50).expect("long enough");
        assert_eq!((probed.len(), checked.len()), (4, 6));
        let mut all: Vec<u64> = probed.iter().chain(&checked).copied().collect();
        all.sort_unstable();
        all.dedup();
        assert!(all.len() == 10 && all[0] >= 50 && all[9] < 100, "{all:?}");
        let (probed, checked) = chunks(Path::new("t"), 512 * 4, cut, 0).expect("just long enough");
        assert_eq!((probed.len(), checked.len()), (2, 2));
        let error = chunks(Path::new("t"), 512 * 53, cut, 512 * 50).expect_err("too short");
        assert!(error.to_string().contains("leaves 3 chunks of 512 past the 25600"), "{error}");
    }
}
