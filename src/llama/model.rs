//! A loaded model and what loading it took.

use std::path::Path;
use std::time::Instant;

use thiserror::Error;

use crate::llama::ffi::{self, ModelHandle, ModelOptions, Token};
use crate::llama::log;

/// llama.cpp refused something.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum LlamaError {
    /// The model cannot be loaded.
    #[error("llama.cpp cannot load {path}: {reason}")]
    Load {
        /// The file.
        path: String,
        /// Its own words.
        reason: String,
    },
    /// A context cannot be made.
    #[error("llama.cpp cannot make a context of {n_ctx} tokens: {reason}")]
    Context {
        /// Tokens asked for.
        n_ctx: u32,
        /// Its own words.
        reason: String,
    },
    /// More context than the model was trained for.
    #[error("a context of {asked} tokens is longer than the model's {trained} (hint: --yarn stretches it)")]
    ContextTooLong {
        /// Tokens asked for.
        asked: u32,
        /// Tokens the model was trained for.
        trained: u32,
    },
    /// A cache type this llama.cpp does not have.
    #[error("no KV cache type is called {0:?}")]
    CacheType(String),
    /// A text that cannot be tokenised.
    #[error("llama.cpp cannot tokenise a text of {0} bytes")]
    Tokenize(usize),
    /// A vocabulary with which no text can begin.
    #[error("the vocabulary has neither BOS nor EOS nor a line end, so that the model cannot begin to write")]
    NoStart,
    /// Logits from which no token can be drawn.
    #[error("no token can be drawn: a logit of the model is not a number")]
    NoDistribution,
    /// A decode failed.
    #[error("llama_decode failed with status {status} on {tokens} tokens")]
    Decode {
        /// Its return value.
        status: i32,
        /// Tokens of the batch.
        tokens: usize,
    },
    /// A model that does not predict tokens.
    #[error("{0} has no decoder: it does not predict the next token")]
    NoDecoder(String),
    /// A model that cannot forget single tokens.
    #[error(
        "the {0} model cannot take back a token (its memory is recurrent), which speculative decoding needs"
    )]
    NoRollback(&'static str),
    /// Quantizing failed.
    #[error("llama.cpp cannot quantize {path}: {reason}")]
    Quantize {
        /// The input.
        path: String,
        /// Its own words.
        reason: String,
    },
}

/// A model in memory.
#[derive(Debug)]
pub struct Model {
    handle: ModelHandle,
    /// As the file says: llama.cpp changes its own figure with the first context that is stretched.
    trained: u32,
    /// Wall seconds of loading.
    pub load_s: f64,
    /// llama.cpp's log of loading.
    pub log: String,
}

impl Model {
    /// Loads a GGUF file.
    pub fn load(path: &Path, options: &ModelOptions) -> Result<Self, LlamaError> {
        let begun = Instant::now();
        let (handle, log) = log::captured(|_| {}, || ModelHandle::load(path, options));
        let shown = path.display().to_string();
        let handle =
            handle.ok_or_else(|| LlamaError::Load { path: shown.clone(), reason: log::reason(&log) })?;
        if !handle.has_decoder() {
            return Err(LlamaError::NoDecoder(shown));
        }
        let trained = handle.context_length();
        Ok(Self { handle, trained, load_s: begun.elapsed().as_secs_f64(), log })
    }

    /// The native object, for a context.
    pub fn handle(&self) -> &ModelHandle {
        &self.handle
    }

    /// Tokens of a text as plain text: special tokens are not parsed; BOS is added if the vocabulary adds it.
    /// Need not be UTF-8: llama.cpp decides what becomes of other bytes.
    pub fn tokenize(&self, text: impl AsRef<[u8]>) -> Result<Vec<Token>, LlamaError> {
        let text = text.as_ref();
        self.handle.tokenize(text, true, false).ok_or(LlamaError::Tokenize(text.len()))
    }

    /// Tokens of a chat template's output: special tokens are parsed, and none is added.
    pub fn tokenize_rendered(&self, text: impl AsRef<[u8]>) -> Result<Vec<Token>, LlamaError> {
        let text = text.as_ref();
        self.handle.tokenize(text, false, true).ok_or(LlamaError::Tokenize(text.len()))
    }

    /// The token with which the model begins to write: BOS, else EOS, else the line end.
    pub fn start(&self) -> Option<Token> {
        self.handle.bos().or_else(|| self.handle.eos()).or_else(|| self.handle.newline())
    }

    /// Whether its memory is a state (of some layers at least), not one cell a token.
    pub fn is_recurrent(&self) -> bool {
        self.handle.is_recurrent()
    }

    /// Whether a token ends what a model generates.
    pub fn ends_generation(&self, token: Token) -> bool {
        self.handle.ends_generation(token)
    }

    /// The bytes that a token adds to a text; those of a special token only if `special`.
    pub fn piece(&self, token: Token, special: bool) -> Vec<u8> {
        self.handle.piece(token, special)
    }

    /// BOS and EOS as the vocabulary writes them; empty where it has none.
    pub fn bos_and_eos(&self) -> (String, String) {
        let text = |token: Option<Token>| token.and_then(|t| self.handle.token_text(t)).unwrap_or_default();
        (text(self.handle.bos()), text(self.handle.eos()))
    }

    /// Size of the vocabulary.
    pub fn vocabulary(&self) -> u32 {
        self.handle.vocabulary()
    }

    /// Context length the model was trained for, in tokens.
    pub fn context_length(&self) -> u32 {
        self.trained
    }

    /// Bytes that a token takes in a KV cache of these types, roughly; none where memory is no cache alone.
    pub fn cache_bytes(&self, (k, v): (u32, u32)) -> Option<u64> {
        let [layers, heads, width] = self.handle.cache_shape();
        let columns = (heads * width) as usize;
        let row = |kind| ffi::row_bytes(kind, columns).filter(|_| !self.is_recurrent());
        Some(u64::from(layers) * (row(k)? + row(v)?) as u64)
    }

    /// BOS, if the vocabulary adds it by itself.
    pub fn bos(&self) -> Option<Token> {
        self.handle.bos_if_added()
    }
}

/// The ggml type id of a KV cache type's name.
pub fn cache_type(name: &str) -> Result<u32, LlamaError> {
    (0..ffi::GGML_TYPE_COUNT)
        .find(|id| !name.is_empty() && ffi::type_name(*id) == name)
        .ok_or_else(|| LlamaError::CacheType(name.to_owned()))
}
