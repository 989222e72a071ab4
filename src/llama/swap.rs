//! Weights of a loaded model, exchanged for what quantizing leaves of them and put back: a probe of a mixed precision
//! then costs its evaluation and no file.
//!
//! Rows are coded by llama.cpp's own quantizers from the numbers that are in the file, decoded, and written over the
//! weight in the base's own float type. What a real file adds is missing: its kernels round activations too, so
//! divergences come out some per cent too small. While a weight is exchanged its original bytes are kept, and put back
//! they are the same bytes.

use std::collections::{BTreeMap, HashMap};

use rayon::prelude::*;
use thiserror::Error;

use crate::llama::ffi::{self, Weight, from_floats, quantize_rows, to_floats};
use crate::llama::model::{LlamaError, Model};

/// Rows coded at once by one thread.
const ROWS_AT_ONCE: usize = 32;

/// Why a weight could not be exchanged.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum SwapError {
    /// No decode showed it, or it lies on a device.
    #[error("the loaded model has no weight {0} in the CPU's memory that could be exchanged")]
    Unknown(String),
    /// Its shape, or a lack of importances, does not allow the type.
    #[error("{tensor} cannot be coded as {kind}")]
    Uncoded {
        /// Tensor.
        tensor: String,
        /// Type, as ggml names it.
        kind: String,
    },
    /// The model cannot be decoded at all.
    #[error(transparent)]
    Llama(#[from] LlamaError),
}

/// What coding does to a weight, weighed by importances: of its columns, or 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct CodingLoss {
    /// Sum over entries of importance times squared difference.
    pub error: f64,
    /// Sum over entries of importance times square.
    pub norm: f64,
}

/// The weights of a model, by name.
#[derive(Debug)]
pub struct Swapper<'model> {
    slots: BTreeMap<String, Slot<'model>>,
    importances: BTreeMap<String, Vec<f32>>,
    /// Coded weights, so that going back and forth between two mixes costs decoding only.
    coded: HashMap<(String, u32), Vec<u8>>,
    coded_bytes: usize,
    /// Most bytes of coded weights that are kept.
    room: usize,
}

#[derive(Debug)]
struct Slot<'model> {
    weight: Weight<'model>,
    /// The type it is exchanged for, and its own bytes.
    exchanged: Option<(u32, Vec<u8>)>,
}

/// The rows of a weight.
struct Rows<'a> {
    kind: u32,
    bytes: &'a [u8],
    columns: usize,
    /// Rows that share importances: those of one expert.
    together: usize,
    importances: Option<&'a [f32]>,
}

impl<'model> Swapper<'model> {
    /// Finds the weights of a model that was loaded to be written. `importances` are mean squares by tensor, for merged
    /// experts one row of columns after the other.
    pub fn new(
        model: &'model Model,
        threads: u32,
        importances: BTreeMap<String, Vec<f32>>,
    ) -> Result<Self, SwapError> {
        let weights = ffi::weights(model.handle(), threads);
        let weights = weights.ok_or(LlamaError::Decode { status: -1, tokens: 1 })?;
        let slots: BTreeMap<_, _> =
            weights.into_iter().map(|w| (w.name(), Slot { weight: w, exchanged: None })).collect();
        let entries = |slot: &Slot<'_>| slot.weight.shape().iter().product::<usize>();
        let room = slots.values().map(entries).sum();
        Ok(Self { slots, importances, coded: HashMap::new(), coded_bytes: 0, room })
    }

    /// Names of all weights that can be exchanged.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.slots.keys().map(String::as_str)
    }

    /// Gives every weight named the type given (a ggml type id), and all others their own bytes again.
    pub fn apply(&mut self, types: &BTreeMap<String, u32>) -> Result<(), SwapError> {
        if let Some(unknown) = types.keys().find(|name| !self.slots.contains_key(*name)) {
            return Err(SwapError::Unknown(unknown.clone()));
        }
        let differs =
            |name: &String, slot: &Slot<'_>| slot.exchanged.as_ref().map(|(k, _)| k) != types.get(name);
        let changed: Vec<String> =
            self.slots.iter().filter(|(n, s)| differs(n, s)).map(|(n, _)| n.clone()).collect();
        changed.iter().try_for_each(|name| self.exchange(name, types.get(name).copied()))
    }

    fn exchange(&mut self, name: &str, kind: Option<u32>) -> Result<(), SwapError> {
        let unknown = || SwapError::Unknown(name.to_owned());
        let slot = self.slots.get_mut(name).ok_or_else(unknown)?;
        let original = match slot.exchanged.take() {
            Some((_, bytes)) => bytes,
            None => slot.weight.read().ok_or_else(unknown)?,
        };
        let Some(kind) = kind else {
            return if slot.weight.write(&original) { Ok(()) } else { Err(unknown()) };
        };
        let uncoded = || SwapError::Uncoded { tensor: name.to_owned(), kind: ffi::type_name(kind) };
        let key = (name.to_owned(), kind);
        if !self.coded.contains_key(&key) {
            let rows = Rows::of(&slot.weight, &original, self.importances.get(name).map(Vec::as_slice));
            let coded = rows.and_then(|rows| rows.coded(kind));
            let Some(coded) = coded else {
                // It keeps what it had: its own bytes, which must not be lost.
                slot.weight.write(&original);
                return Err(uncoded());
            };
            if self.coded_bytes + coded.len() > self.room {
                self.coded.clear();
                self.coded_bytes = 0;
            }
            self.coded_bytes += coded.len();
            self.coded.insert(key.clone(), coded);
        }
        let own = slot.weight.kind();
        let written = self.coded.get(&key).and_then(|coded| decoded(kind, coded, own));
        if written.is_some_and(|bytes| slot.weight.write(&bytes)) {
            slot.exchanged = Some((kind, original));
            return Ok(());
        }
        slot.weight.write(&original);
        Err(uncoded())
    }

    /// What coding a weight as a type loses, from every `every`th row on.
    pub fn loss(&self, name: &str, kind: u32, every: usize) -> Result<CodingLoss, SwapError> {
        let unknown = || SwapError::Unknown(name.to_owned());
        let slot = self.slots.get(name).ok_or_else(unknown)?;
        let read;
        let original = if let Some((_, bytes)) = &slot.exchanged {
            bytes
        } else {
            read = slot.weight.read().ok_or_else(unknown)?;
            &read
        };
        let rows = Rows::of(&slot.weight, original, self.importances.get(name).map(Vec::as_slice));
        let loss = rows.and_then(|rows| rows.loss(kind, every.max(1)));
        loss.ok_or_else(|| SwapError::Uncoded { tensor: name.to_owned(), kind: ffi::type_name(kind) })
    }
}

/// Coded rows as numbers of a float type.
fn decoded(kind: u32, coded: &[u8], own: u32) -> Option<Vec<u8>> {
    let block = ffi::type_bytes(kind)?;
    // Pieces of whole blocks; their number only balances threads.
    let parts: Option<Vec<Vec<u8>>> = coded
        .par_chunks(block * 4096)
        .map(|piece| to_floats(kind, piece).and_then(|values| from_floats(own, &values)))
        .collect();
    parts.map(|parts| parts.concat())
}

impl<'a> Rows<'a> {
    fn of(weight: &Weight<'_>, bytes: &'a [u8], importances: Option<&'a [f32]>) -> Option<Self> {
        let [columns, rows, planes, cubes] = weight.shape();
        let fits = importances.is_none_or(|all| all.len() == columns * planes * cubes);
        let whole = columns > 0 && rows > 0 && !bytes.is_empty() && fits;
        whole.then(|| Self { kind: weight.kind(), bytes, columns, together: rows, importances })
    }

    fn row_bytes(&self) -> usize {
        ffi::row_bytes(self.kind, self.columns).unwrap_or(usize::MAX)
    }

    /// Importances of the `expert`th matrix's columns, where there are any.
    fn importances_of(&self, expert: usize) -> Option<&'a [f32]> {
        self.importances?.get(expert * self.columns..(expert + 1) * self.columns)
    }

    fn coded(&self, kind: u32) -> Option<Vec<u8>> {
        let matrix = self.row_bytes().checked_mul(self.together)?;
        let mut all = Vec::new();
        for (expert, bytes) in self.bytes.chunks(matrix).enumerate() {
            let importances = self.importances_of(expert);
            let parts: Option<Vec<Vec<u8>>> = bytes
                .par_chunks(self.row_bytes().checked_mul(ROWS_AT_ONCE)?)
                .map(|piece| quantize_rows(kind, &to_floats(self.kind, piece)?, self.columns, importances))
                .collect();
            all.append(&mut parts?.concat());
        }
        Some(all)
    }

    fn loss(&self, kind: u32, every: usize) -> Option<CodingLoss> {
        let row = self.row_bytes();
        let losses: Option<Vec<CodingLoss>> = self
            .bytes
            .par_chunks(row)
            .enumerate()
            .filter(|(number, _)| number % every == 0)
            .map(|(number, bytes)| {
                let importances = self.importances_of(number / self.together);
                let values = to_floats(self.kind, bytes)?;
                let left = to_floats(kind, &quantize_rows(kind, &values, self.columns, importances)?)?;
                Some(loss_of(&values, &left, importances))
            })
            .collect();
        let losses = losses?;
        let rows = self.bytes.len() / row.max(1);
        let scale = rows as f64 / losses.len().max(1) as f64;
        let sum = |part: fn(&CodingLoss) -> f64| losses.iter().map(part).sum::<f64>() * scale;
        Some(CodingLoss { error: sum(|l| l.error), norm: sum(|l| l.norm) })
    }
}

fn loss_of(values: &[f32], left: &[f32], importances: Option<&[f32]>) -> CodingLoss {
    let mut loss = CodingLoss::default();
    for (column, (x, y)) in values.iter().zip(left).enumerate() {
        let weight = importances.and_then(|w| w.get(column)).map_or(1.0, |w| f64::from(*w));
        loss.error += weight * f64::from(x - y).powi(2);
        loss.norm += weight * f64::from(*x).powi(2);
    }
    loss
}
