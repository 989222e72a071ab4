//! Where a model goes: wholly to the GPU, with some layers only, or not at all, and how long its context may be.

use serde::Serialize;

use super::memory::padded;
use super::weights::WeightBytes;

/// Step in which contexts are tried: llama.cpp rounds up to it.
const STEP: u64 = 256;

/// Memory that there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Bytes of the GPU, if there is one.
    pub gpu: Option<u64>,
    /// Bytes of the machine, if they are known.
    pub ram: Option<u64>,
    /// Bytes of either that stay free.
    pub margin: u64,
}

/// Where a model goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// All of it on the GPU.
    Gpu,
    /// All of it in the machine's memory; there is no GPU.
    Ram,
    /// Some layers on the GPU, the others in the machine's memory.
    Split,
    /// It doesn't fit.
    Nowhere,
}

/// What a model needs, layer by layer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Need<'a> {
    pub weights: &'a WeightBytes,
    /// Bytes of caches and states, layer by layer.
    pub kept: Vec<u64>,
    /// Bytes of compute buffers.
    pub compute: u64,
    /// Bytes of everything.
    pub total: u64,
}

impl Budget {
    /// The memory that a model shall fit wholly: the GPU's, or the machine's where there is none.
    pub fn whole(&self) -> Option<u64> {
        self.gpu.or(self.ram)
    }

    /// Whether so many bytes and the margin are there.
    pub fn holds(&self, bytes: u64) -> bool {
        self.whole().is_some_and(|memory| bytes.saturating_add(self.margin) <= memory)
    }
}

impl Need<'_> {
    /// Bytes on the GPU with so many layers there, as llama.cpp counts them for `--gpu-layers`: the output is the first,
    /// then the layers from the last one back. The embedding never goes there.
    fn on_gpu(&self, layers: usize) -> u64 {
        if layers == 0 {
            return 0;
        }
        let own =
            self.weights.layers.iter().zip(&self.kept).map(|(weights, kept)| weights.saturating_add(*kept));
        let last = own.rev().take(layers - 1).fold(0, u64::saturating_add);
        self.weights.output.saturating_add(self.compute).saturating_add(last)
    }

    /// The most layers that a GPU can take.
    pub fn gpu_layers(&self, budget: &Budget) -> Option<u64> {
        let memory = budget.gpu?;
        let fits = |layers: &usize| self.on_gpu(*layers).saturating_add(budget.margin) <= memory;
        (0..=self.weights.layers.len() + 1).rev().find(fits).map(|layers| layers as u64)
    }

    /// Where it goes. Without knowing the machine's memory a split is as good as possible.
    pub fn place(&self, budget: &Budget) -> Place {
        if budget.holds(self.total) {
            return if budget.gpu.is_some() { Place::Gpu } else { Place::Ram };
        }
        let layers = self.gpu_layers(budget).unwrap_or(0);
        let on_gpu = self.on_gpu(usize::try_from(layers).unwrap_or(0));
        // Both need compute buffers.
        let rest =
            self.total.saturating_sub(on_gpu).saturating_add(if layers > 0 { self.compute } else { 0 });
        match (budget.gpu, budget.ram) {
            (Some(_), Some(ram)) if rest.saturating_add(budget.margin) <= ram => Place::Split,
            (Some(_), None) if layers > 0 => Place::Split,
            _ => Place::Nowhere,
        }
    }
}

/// The longest context up to `most` tokens with which everything fits; 0 if none does.
pub(super) fn longest(budget: &Budget, most: u64, total: impl Fn(u64) -> u64) -> u64 {
    let fits = |steps: u64| budget.holds(total(steps.saturating_mul(STEP)));
    // Always fits below, never above.
    let (mut low, mut high) = (0, padded(most) / STEP + 1);
    while low + 1 < high {
        let middle = low + (high - low) / 2;
        if fits(middle) { low = middle } else { high = middle }
    }
    low.saturating_mul(STEP).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEIGHTS: [u64; 4] = [10, 10, 10, 10];

    fn weights() -> WeightBytes {
        WeightBytes { total: 70, bpw: 4.0, layers: WEIGHTS.to_vec(), output: 20, input: 10 }
    }

    #[test]
    fn layers_go_to_the_gpu_from_the_last_one_back() {
        let weights = weights();
        let need = Need { weights: &weights, kept: vec![1, 2, 3, 4], compute: 5, total: 85 };
        let budget = |gpu, ram| Budget { gpu: Some(gpu), ram, margin: 0 };
        let layers = |gpu| need.gpu_layers(&budget(gpu, None));
        assert_eq!([layers(24), layers(25), layers(38), layers(39)], [Some(0), Some(1), Some(1), Some(2)]);
        assert_eq!([layers(75), layers(74)], [Some(5), Some(4)]);
        assert_eq!(need.place(&budget(85, None)), Place::Gpu);
        assert_eq!(need.place(&budget(84, None)), Place::Split);
        assert_eq!(need.place(&budget(24, None)), Place::Nowhere);
        // 39 on the GPU leaves 46 and another compute buffer.
        assert_eq!(need.place(&budget(39, Some(51))), Place::Split);
        assert_eq!(need.place(&budget(39, Some(50))), Place::Nowhere);
        assert_eq!(need.place(&Budget { gpu: None, ram: Some(85), margin: 0 }), Place::Ram);
        assert_eq!(need.place(&Budget { gpu: None, ram: Some(85), margin: 1 }), Place::Nowhere);
    }

    #[test]
    fn the_longest_context_is_exact() {
        let budget = Budget { gpu: None, ram: Some(10_000), margin: 1_000 };
        let total = |ctx: u64| 1_000 + ctx;
        assert_eq!(longest(&budget, 32_768, total), 7_936);
        assert_eq!(longest(&budget, 4_096, total), 4_096);
        assert_eq!(longest(&budget, 1_000, total), 1_000, "the model's own, though it is no multiple of 256");
        assert_eq!(longest(&budget, 32_768, |_| 9_001), 0);
        assert_eq!(longest(&budget, u64::MAX, |ctx| ctx), 8_960, "no context is too long to be asked for");
    }
}
