//! What can be asked of a model, be it one file or several parts: who it is, its shape, how large its tensors are.
//! Everything here follows from the metadata and the tensor list, so a file and a set of parts need only give those.

use super::metadata::{Metadata, PerLayer};
use super::reader::TensorInfo;
use crate::units::BitsPerWeight;

/// Questions that a single file and a split model answer alike.
pub trait Described {
    /// The metadata (of a split model, its first part's).
    fn metadata(&self) -> &Metadata;

    /// All tensors, in the order of the file or of the parts.
    fn tensors(&self) -> impl Iterator<Item = &TensorInfo>;

    /// Number of weights in all tensors.
    fn weights(&self) -> u64 {
        self.tensors().fold(0, |sum, tensor| sum.saturating_add(tensor.weights))
    }

    /// Bytes of all tensors, without the padding between them.
    fn tensor_bytes(&self) -> u64 {
        self.tensors().fold(0, |sum, tensor| sum.saturating_add(tensor.bytes))
    }

    /// Measured bits per weight: `tensor_bytes * 8 / weights`.
    fn bpw(&self) -> BitsPerWeight {
        BitsPerWeight::of(self.tensor_bytes(), self.weights())
    }

    /// Share of the weights held in quantized types, 0 to 1; near 1 the file is no full-precision base.
    fn quantized_share(&self) -> f64 {
        let quantized = self
            .tensors()
            .filter(|tensor| tensor.kind.is_quantized)
            .fold(0_u64, |sum, tensor| sum.saturating_add(tensor.weights));
        let weights = self.weights();
        if weights == 0 { 0.0 } else { quantized as f64 / weights as f64 }
    }

    /// `general.architecture`, such as `llama`.
    fn architecture(&self) -> Option<&str> {
        self.metadata().str("general.architecture")
    }

    /// `general.name`.
    fn name(&self) -> Option<&str> {
        self.metadata().str("general.name")
    }

    /// `general.description`.
    fn description(&self) -> Option<&str> {
        self.metadata().str("general.description")
    }

    /// `general.file_type`: the number of llama.cpp's `llama_ftype`.
    fn file_type(&self) -> Option<u64> {
        self.metadata().u64("general.file_type")
    }

    /// The key `suffix` of this architecture: `llama.context_length` for `context_length`.
    fn architecture_key(&self, suffix: &str) -> Option<String> {
        self.architecture().map(|architecture| format!("{architecture}.{suffix}"))
    }

    /// Tokens of context the model was trained for.
    fn context_length(&self) -> Option<u64> {
        self.metadata().u64(&self.architecture_key("context_length")?)
    }

    /// Number of layers.
    fn block_count(&self) -> Option<u64> {
        self.metadata().u64(&self.architecture_key("block_count")?)
    }

    /// Width of the hidden state.
    fn embedding_length(&self) -> Option<u64> {
        self.metadata().u64(&self.architecture_key("embedding_length")?)
    }

    /// Attention heads.
    fn head_count(&self) -> Option<PerLayer> {
        self.metadata().per_layer(&self.architecture_key("attention.head_count")?)
    }

    /// Key-value heads; as many as attention heads where the model doesn't say, as in llama.cpp.
    fn head_count_kv(&self) -> Option<PerLayer> {
        let key = self.architecture_key("attention.head_count_kv")?;
        if self.metadata().get(&key).is_some() { self.metadata().per_layer(&key) } else { self.head_count() }
    }

    /// Width of one head's key; by default `embedding_length / head_count` of the first layer, as in llama.cpp.
    fn key_length(&self) -> Option<u64> {
        head_width(self, "attention.key_length")
    }

    /// Width of one head's value; by default `embedding_length / head_count` of the first layer, as in llama.cpp.
    fn value_length(&self) -> Option<u64> {
        head_width(self, "attention.value_length")
    }

    /// Tokens in the vocabulary: the length of `tokenizer.ggml.tokens`, else what the architecture's key says.
    fn vocab_size(&self) -> Option<u64> {
        let tokens = self.metadata().array("tokenizer.ggml.tokens").map(|tokens| tokens.count);
        tokens.or_else(|| self.metadata().u64(&self.architecture_key("vocab_size")?))
    }

    /// Whether a beginning-of-sequence token goes before each text; none if the tokenizer's kind decides.
    fn add_bos(&self) -> Option<bool> {
        self.metadata().bool("tokenizer.ggml.add_bos_token")
    }

    /// The Jinja template of the chat format.
    fn chat_template(&self) -> Option<&str> {
        self.metadata().str("tokenizer.chat_template")
    }
}

fn head_width(model: &(impl Described + ?Sized), suffix: &str) -> Option<u64> {
    let given = model.metadata().u64(&model.architecture_key(suffix)?);
    given.or_else(|| model.embedding_length()?.checked_div(model.head_count()?.at(0)?))
}
