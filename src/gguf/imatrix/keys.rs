//! What a file quantized with an importance matrix says about it: the keys of `llama-quantize --imatrix`, in its order.

use super::means::Imatrix;

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

impl KeyValue {
    /// Bytes of the value in a GGUF header.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Text(text) => 8 + text.len() as u64,
            Self::Number(_) => 4,
        }
    }
}

impl Imatrix {
    /// The keys. `told` is what the file shall call the matrix.
    pub fn keys(&self, told: &str) -> Vec<(String, KeyValue)> {
        let key = |name: &str| format!("quantize.imatrix.{name}");
        let text =
            |text: &str| KeyValue::Text(text.bytes().take(LONGEST_TEXT).take_while(|b| *b != 0).collect());
        let mut keys = vec![(key("file"), text(told))];
        keys.extend(self.datasets.first().map(|dataset| (key("dataset"), text(dataset))));
        keys.push((key("entries_count"), KeyValue::Number(self.entries.len() as u32)));
        if self.chunk_count > 0 {
            keys.push((key("chunks_count"), KeyValue::Number(self.chunk_count)));
        }
        keys
    }
}
