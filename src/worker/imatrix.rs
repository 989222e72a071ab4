//! A worker's work on importance matrices: computing one, text group by text group, with what is done so far kept
//! beside the file that is asked for; and reading one for quantization.
//!
//! The unfinished file names what it is a part of: base, text, chunk length, way of computing. Sums are kept exactly
//! and only between groups of chunks that are decoded together, so that a computation that was killed goes on to the
//! very bytes it would have reached.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::files;
use crate::gguf::imatrix::{self, ImatrixError, Sums, TensorSums};
use crate::gguf::{GgufError, GgufFile};
use crate::llama::context::Context;
use crate::llama::ffi::{Batch, ColumnWeights, ContextOptions};
use crate::llama::imatrix::Collector;
use crate::llama::model::{LlamaError, Model};
use crate::score::batched;
use crate::score::perplexity::{Text, TextError, tokenize};
use crate::worker::protocol::{ImatrixDone, ImatrixWork, TextFile, TextSuite, Unreached};

/// Least time between two savings of what is done, which may take a twentieth of the time.
const SAVE_EVERY: Duration = Duration::from_secs(10);
/// Version of the way sums are taken; unfinished files of another are of no use.
const WAY: &str = "1";

/// Why a matrix could not be computed or read.
#[derive(Debug, Error)]
pub enum WorkError {
    /// llama.cpp refused.
    #[error(transparent)]
    Llama(#[from] LlamaError),
    /// The text cannot be used.
    #[error(transparent)]
    Text(#[from] TextError),
    /// A matrix cannot be used.
    #[error(transparent)]
    Matrix(#[from] ImatrixError),
    /// The unfinished file is of something else.
    #[error("{} was left by another computation (of another base, text or chunk length)", .0.display())]
    Foreign(PathBuf),
    /// The unfinished file is damaged.
    #[error("{} was left unfinished and is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How.
        reason: String,
    },
    /// The model computes what cannot be summed.
    #[error("{0}")]
    Sums(String),
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl WorkError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Foreign(_) | Self::Damaged { .. } => {
                Some("delete it to begin anew, or choose another output file".to_owned())
            }
            Self::Matrix(error) => error.hint(),
            Self::Sums(_) => Some("is the model damaged, or of a kind that overflows in F16?".to_owned()),
            Self::Llama(_) | Self::Text(_) | Self::Io { .. } => None,
        }
    }

    /// Whether the disk is full.
    pub fn no_space(&self) -> bool {
        matches!(self, Self::Io { source, .. } if files::is_full(source))
    }
}

/// Where the unfinished matrix of `out` lies.
pub fn unfinished(out: &Path) -> PathBuf {
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    out.with_file_name(format!("{name}.unfinished"))
}

/// Computes a matrix. `shape` is what the sweep decides of a context; `on_step` hears of chunks done, of how many.
pub fn compute(
    model: &Model,
    work: &ImatrixWork,
    shape: ContextOptions,
    on_step: impl FnMut(u64, u64),
) -> Result<ImatrixDone, WorkError> {
    compute_saving(model, work, shape, SAVE_EVERY, on_step)
}

fn compute_saving(
    model: &Model,
    work: &ImatrixWork,
    shape: ContextOptions,
    save_every: Duration,
    mut on_step: impl FnMut(u64, u64),
) -> Result<ImatrixDone, WorkError> {
    let begun = Instant::now();
    let tokens = tokenize(model, &TextFile::plain(&work.text))?;
    let text = Text::new(tokens, &work.text, TextSuite::halves(work.n_ctx))?;
    let chunks = work.chunks.unwrap_or(u64::MAX).min(text.chunks());
    let mut saving = Saving::new(work, &text, shape, save_every);
    let before = saving.resume()?;
    let resumed = before.as_ref().map_or(0, |sums| u64::from(sums.chunk_count).min(chunks));
    // More chunks were done than are now asked for: they cannot be taken out again.
    let (first, sums) = match before {
        Some(sums) if u64::from(sums.chunk_count) <= chunks => (resumed, sums.entries),
        _ => (0, BTreeMap::new()),
    };
    let collector = Collector::new(sums, work.process_output);
    let options = batched::context_options(work.n_ctx, shape);
    let mut context = Context::observed(model, options, Some(collector.observer()))?;
    let together = batched::together(work.n_ctx) as u64;
    let mut done = first;
    on_step(done, chunks);
    while done < chunks {
        let end = chunks.min(done + together);
        decode(model, &mut context, &text, done..end)?;
        if let Some(wrong) = collector.wrong() {
            return Err(WorkError::Sums(wrong));
        }
        done = end;
        on_step(done, chunks);
        // A group that is not full is decoded otherwise than it would be among more chunks.
        if done < chunks && done.is_multiple_of(together) {
            saving.save(&collector.sums(), done as u32)?;
        }
    }
    let sums = matrix(work, collector.sums().clone());
    if sums.entries.is_empty() {
        return Err(WorkError::Sums("no product of this model has a weight of its blocks".to_owned()));
    }
    write(&work.out, &sums)?;
    saving.remove();
    Ok(ImatrixDone {
        chunks,
        resumed_from: first,
        entries: sums.entries.len() as u64,
        unreached: unreached(&sums.entries),
        wall_s: begun.elapsed().as_secs_f64(),
        decode_s: context.decode_s,
    })
}

/// Decodes chunks together, each a sequence of its own and every token an output: otherwise the last layer would be
/// computed for some tokens only.
fn decode(
    model: &Model,
    context: &mut Context<'_>,
    text: &Text,
    chunks: std::ops::Range<u64>,
) -> Result<(), WorkError> {
    let chunks: Vec<_> = chunks.map_while(|chunk| text.chunk(chunk)).collect();
    let n_ctx = text.cut().ctx as usize;
    let length = n_ctx.min(context.n_batch());
    context.clear();
    for begin in (0..n_ctx).step_by(length.max(1)) {
        let mut batch = Batch::default();
        for (sequence, tokens) in chunks.iter().enumerate() {
            for (position, token) in tokens.iter().enumerate().skip(begin).take(length) {
                let token = if position == 0 { model.bos().unwrap_or(*token) } else { *token };
                batch.push(token, position as i32, &[sequence as i32], true);
            }
        }
        context.decode(&batch)?;
    }
    Ok(())
}

/// The whole matrix. Its chunks are counted as llama-imatrix counts them: from the weight that saw most rows.
fn matrix(work: &ImatrixWork, entries: BTreeMap<String, TensorSums>) -> Sums {
    let rows = entries.values().flat_map(|e| &e.counts).max().copied().unwrap_or(0);
    Sums {
        datasets: vec![work.dataset.clone()],
        chunk_count: (rows / u64::from(work.n_ctx)) as u32,
        chunk_size: work.n_ctx,
        resume: None,
        entries,
    }
}

/// Experts that no token of the text was sent to.
fn unreached(entries: &BTreeMap<String, TensorSums>) -> Vec<Unreached> {
    let of = |(name, sums): (&String, &TensorSums)| {
        let without = sums.counts.iter().filter(|c| **c == 0).count() as u64;
        let experts = sums.counts.len() as u64;
        (without > 0).then(|| Unreached { tensor: name.clone(), without, experts })
    };
    entries.iter().filter_map(of).collect()
}

fn write(path: &Path, sums: &Sums) -> Result<(), WorkError> {
    files::replace(path, &sums.encode()).map_err(|source| WorkError::Io { path: path.to_owned(), source })
}

/// What is done so far, kept beside the output.
struct Saving<'a> {
    work: &'a ImatrixWork,
    path: PathBuf,
    /// What is computed, but for the base.
    about: String,
    /// The same with the base, whose hash is taken only when it is needed.
    key: Option<String>,
    every: Duration,
    last: Instant,
    took: Duration,
}

impl<'a> Saving<'a> {
    fn new(work: &'a ImatrixWork, text: &Text, shape: ContextOptions, every: Duration) -> Self {
        let tokens = text.subject("", 0).tokens;
        let ContextOptions { flash_attn, kv, yarn_from, .. } = shape;
        let about = format!(
            "way {WAY}, tokens {tokens}, ctx {}, output {}, flash {flash_attn}, kv {kv:?}, yarn {yarn_from:?}, dataset {}",
            work.n_ctx, work.process_output, work.dataset
        );
        let path = unfinished(&work.out);
        Self { work, path, about, key: None, every, last: Instant::now(), took: Duration::ZERO }
    }

    fn key(&mut self) -> Result<String, WorkError> {
        if let Some(key) = &self.key {
            return Ok(key.clone());
        }
        let mut hash = blake3::Hasher::new();
        hash.update(self.about.as_bytes());
        for path in &self.work.base_files {
            let read = |source| WorkError::Io { path: path.clone(), source };
            hash.update_reader(File::open(path).map_err(read)?).map_err(read)?;
        }
        let key = hash.finalize().to_hex().to_string();
        self.key = Some(key.clone());
        Ok(key)
    }

    /// What an earlier run left of this very computation.
    fn resume(&mut self) -> Result<Option<Sums>, WorkError> {
        let damaged =
            |error: ImatrixError| WorkError::Damaged { path: self.path.clone(), reason: error.to_string() };
        let file = match GgufFile::open(&self.path) {
            Ok(file) => file,
            Err(GgufError::Missing { .. }) => return Ok(None),
            Err(error) => return Err(damaged(error.into())),
        };
        let sums = Sums::read(&file).map_err(damaged)?;
        if sums.resume.as_deref() == Some(&self.key()?) {
            Ok(Some(sums))
        } else {
            Err(WorkError::Foreign(self.path.clone()))
        }
    }

    /// Keeps what is done, if the last time is long enough ago.
    fn save(&mut self, entries: &BTreeMap<String, TensorSums>, chunks: u32) -> Result<(), WorkError> {
        let begun = Instant::now();
        // A disk that is slow to save is not asked more often than is worth it.
        let pause = if self.every.is_zero() { self.every } else { self.every.max(self.took * 20) };
        if begun.duration_since(self.last) < pause {
            return Ok(());
        }
        let mut sums = matrix(self.work, entries.clone());
        sums.chunk_count = chunks;
        sums.resume = Some(self.key()?);
        // Beyond what f32 holds exactly, going on would not reach the same bytes.
        if sums.is_exact() {
            write(&self.path, &sums)?;
        }
        self.last = Instant::now();
        self.took = begun.elapsed();
        Ok(())
    }

    fn remove(&self) {
        // Best effort: the next computation of the same file would tell.
        let _ = fs::remove_file(&self.path);
    }
}

/// Reads a matrix as quantization takes it, with the metadata that `llama-quantize --imatrix` writes. `told` is what
/// the file is called there.
pub fn column_weights(path: &Path, told: Option<&str>) -> Result<ColumnWeights, ImatrixError> {
    let matrix = imatrix::read(path)?;
    let told = told.map_or_else(|| path.to_string_lossy().into_owned(), str::to_owned);
    let about = matrix.keys(&told);
    let entries = matrix.entries.into_iter().map(|(name, entry)| (name, entry.values)).collect();
    Ok(ColumnWeights { entries, about })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llama::ffi::{self, ModelOptions};

    const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    const SHAPE: ContextOptions = ContextOptions { threads: 2, swa_full: false, ..ContextOptions::PLAIN };

    fn model() -> Model {
        ffi::init();
        let path = Path::new(FIXTURES).join("tiny-f16.gguf");
        Model::load(&path, &ModelOptions::default()).expect("loaded")
    }

    /// A text of several groups of four chunks.
    fn work(folder: &Path) -> ImatrixWork {
        let text = folder.join("text.txt");
        let once = fs::read_to_string(Path::new(FIXTURES).join("text.txt")).expect("read");
        fs::write(&text, once.repeat(5)).expect("written");
        ImatrixWork {
            text,
            dataset: "text.txt".to_owned(),
            n_ctx: 512,
            chunks: None,
            base_files: vec![Path::new(FIXTURES).join("tiny-f16.gguf")],
            out: folder.join("out.gguf"),
            process_output: false,
        }
    }

    #[test]
    fn a_computation_that_was_killed_goes_on_to_the_same_bytes() {
        let folder = tempfile::tempdir().expect("a folder");
        let (model, work) = (model(), work(folder.path()));
        let left = unfinished(&work.out);
        let kept = folder.path().join("kept");
        let done = compute_saving(&model, &work, SHAPE, Duration::ZERO, |done, total| {
            if left.exists() {
                fs::copy(&left, &kept).expect("copied");
            }
            assert!(total >= 9 && done <= total, "{done} of {total}");
        });
        let done = done.expect("computed");
        assert!(!left.exists(), "nothing is left beside the finished file");
        let whole = fs::read(&work.out).expect("read");
        assert_eq!((done.resumed_from, done.entries, done.unreached), (0, 14, Vec::new()));
        // As if it had been killed after the last group that was saved.
        fs::copy(&kept, &left).expect("copied");
        fs::remove_file(&work.out).expect("removed");
        let again = compute(&model, &work, SHAPE, |_, _| ()).expect("computed");
        assert!(again.resumed_from >= 4 && again.resumed_from.is_multiple_of(4), "{}", again.resumed_from);
        assert_eq!(again.chunks, done.chunks);
        assert!(fs::read(&work.out).expect("read") == whole, "the same bytes");

        // The same file of another text, and a damaged one, are told and left alone.
        fs::copy(&kept, &left).expect("copied");
        let other = ImatrixWork { dataset: "another.txt".to_owned(), ..work.clone() };
        let error = compute(&model, &other, SHAPE, |_, _| ()).expect_err("refused");
        assert!(matches!(error, WorkError::Foreign(_)), "{error}");
        fs::write(&left, b"GGUF").expect("written");
        let error = compute(&model, &work, SHAPE, |_, _| ()).expect_err("refused");
        assert!(matches!(error, WorkError::Damaged { .. }) && error.hint().is_some(), "{error}");
        assert!(left.exists());
    }

    #[test]
    fn a_matrix_is_of_the_blocks_and_counts_every_token() {
        let folder = tempfile::tempdir().expect("a folder");
        let (model, work) = (model(), ImatrixWork { chunks: Some(4), ..work(folder.path()) });
        compute(&model, &work, SHAPE, |_, _| ()).expect("computed");
        let sums = Sums::read(&GgufFile::open(&work.out).expect("GGUF")).expect("sums");
        assert_eq!((sums.chunk_count, sums.chunk_size, sums.resume), (4, 512, None));
        assert_eq!(sums.datasets, ["text.txt"]);
        for (name, entry) in &sums.entries {
            assert!(name.starts_with("blk."), "{name}");
            assert_eq!((entry.counts.as_slice(), entry.squares.len()), (&[4 * 512][..], 256), "{name}");
            assert!(entry.squares.iter().all(|s| *s > 0.0), "{name}");
        }
        // What Q, K and V are fed is the same; what gate and down are fed is not.
        let of = |name: &str| &sums.entries[&format!("blk.1.{name}.weight")];
        assert_eq!(of("attn_q"), of("attn_v"));
        assert_ne!(of("ffn_gate"), of("ffn_down"));
    }
}
