//! Why a model's memory cannot be computed.

#![expect(missing_docs, reason = "the messages say what the fields are")]

/// Why a model's memory cannot be computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FitError {
    /// A key that every model has.
    #[error("the header has no {key}")]
    Missing { key: String },
    /// More layers than llama.cpp can hold.
    #[error("the header claims {found} layers in {key}, and llama.cpp holds {most} at most")]
    Layers { key: String, found: u64, most: u64 },
    /// A cache type whose blocks a head does not divide into.
    #[error(
        "a KV cache of {kind} is impossible: heads of {width} are no whole number of its blocks of {block}"
    )]
    KvType { kind: &'static str, width: u64, block: u64 },
    /// Latent attention keeps keys and values in one.
    #[error(
        "a KV cache of {k} and {v} is impossible: the model keeps keys and values in one (latent attention)"
    )]
    Mixed { k: &'static str, v: &'static str },
}

impl FitError {
    /// What the user can do.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Missing { .. } => {
                "is it the header of a language model, as llama.cpp's converter writes it?".to_owned()
            }
            Self::Layers { .. } => "the file is damaged, or was not written by a GGUF tool".to_owned(),
            Self::Mixed { .. } => "give one type".to_owned(),
            Self::KvType { .. } => "take f16, or a type with smaller blocks".to_owned(),
        })
    }
}
