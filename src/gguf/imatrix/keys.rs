//! What a file quantized with an importance matrix says about it: the keys of `llama-quantize --imatrix`, in its order.

use super::means::Imatrix;
use crate::gguf::{Described, Metadata};

/// llama.cpp keeps a text in 128 bytes with a closing zero.
const LONGEST_TEXT: usize = 127;

/// A value of the metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyValue {
    /// A text, cut where llama.cpp cuts it.
    Text(Vec<u8>),
    /// A number.
    Number(u32),
}

impl Imatrix {
    /// The keys. `told` is what the file shall call the matrix.
    pub fn keys(&self, told: &str) -> Vec<(String, KeyValue)> {
        let key = |name: &str| format!("quantize.imatrix.{name}");
        let text = |text: &str| KeyValue::Text(text.bytes().take(LONGEST_TEXT).collect());
        let mut keys = vec![(key("file"), text(told))];
        keys.extend(self.datasets.first().map(|dataset| (key("dataset"), text(dataset))));
        keys.push((key("entries_count"), KeyValue::Number(self.entries.len() as u32)));
        if self.chunk_count > 0 {
            keys.push((key("chunks_count"), KeyValue::Number(self.chunk_count)));
        }
        keys
    }

    /// Bytes by which the keys lengthen the header of a file made from `base`, which may have some of them already.
    pub fn added_bytes(&self, told: &str, base: &impl Described) -> u64 {
        let metadata: &Metadata = base.metadata();
        let has = |key: &str| metadata.get(key).is_some();
        let length = |(key, value): &(String, KeyValue)| match value {
            KeyValue::Text(text) => 8 + key.len() + 4 + 8 + text.len(),
            KeyValue::Number(_) => 8 + key.len() + 4 + 4,
        };
        self.keys(told).iter().filter(|(key, _)| !has(key)).map(length).sum::<usize>() as u64
    }
}
