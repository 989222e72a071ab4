//! llama.cpp behind safe functions: the only file with `unsafe`.
//!
//! Each handle owns one native object and frees it. Functions check here whatever llama.cpp would only
//! assert (and abort on): sizes of batches, positions of outputs, ids of sequences.
//! They know no policy: what to load, batch or score is decided by their callers.

#![expect(unsafe_code, reason = "the one door to the native library; each block says why it is sound")]

use std::ffi::{CStr, CString, c_char, c_void};
use std::io::{self, Write as _};
use std::path::Path;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Mutex;

use llama_cpp_sys_2 as sys;

/// A token id.
pub type Token = sys::llama_token;

/// Number of ggml types this llama.cpp knows; valid ids are below it (with gaps).
pub const GGML_TYPE_COUNT: u32 = sys::GGML_TYPE_COUNT;

/// Called for every piece of log text.
type LogSink = Box<dyn FnMut(&str) + Send>;

static LOG_SINK: Mutex<Option<LogSink>> = Mutex::new(None);

extern "C" fn on_log(_level: sys::ggml_log_level, text: *const c_char, _user: *mut c_void) {
    if text.is_null() {
        return;
    }
    // SAFETY: llama.cpp passes a null-terminated string that lives for the duration of the call.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    // A full disk must not end the worker: the log is allowed to be lost.
    let _ = io::stderr().write_all(text.as_bytes());
    if let Ok(mut sink) = LOG_SINK.try_lock()
        && let Some(sink) = sink.as_mut()
    {
        sink(&text);
    }
}

/// Sends llama.cpp's log to stderr and also to `sink`, until it is replaced. The sink must not log.
pub fn set_log_sink(sink: Option<LogSink>) {
    if let Ok(mut slot) = LOG_SINK.lock() {
        *slot = sink;
    }
}

/// Prepares the native library; call once, before anything else.
pub fn init() {
    // SAFETY: plain initialisation without arguments; `on_log` has the type asked for and never unwinds
    // (a poisoned or busy lock is passed over).
    unsafe {
        sys::llama_log_set(Some(on_log), ptr::null_mut());
        if cfg!(feature = "portable") {
            sys::ggml_backend_load_all();
        }
        sys::llama_backend_init();
    }
}

fn text_of(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: not null, and llama.cpp's getters return null-terminated static strings.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}

/// llama.cpp's version.
pub fn version() -> String {
    // SAFETY: returns a static string.
    text_of(unsafe { sys::llama_version() })
}

/// llama.cpp's line of CPU features in use.
pub fn system_info() -> String {
    // SAFETY: returns a static string.
    text_of(unsafe { sys::llama_print_system_info() })
}

/// ggml's name of a type, for ids below [`GGML_TYPE_COUNT`]; empty for gaps and others.
pub fn type_name(id: u32) -> String {
    if id >= GGML_TYPE_COUNT {
        return String::new();
    }
    // SAFETY: the id is inside ggml's table; the result is a static string or null.
    text_of(unsafe { sys::ggml_type_name(id) })
}

/// A device other than the CPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Name and description.
    pub name: String,
    /// Bytes free now.
    pub free: u64,
    /// Bytes in all.
    pub total: u64,
}

/// Devices other than the CPU.
pub fn devices() -> Vec<Device> {
    // SAFETY: indices are below the count that was just asked for; the handles are static.
    unsafe {
        (0..sys::ggml_backend_dev_count())
            .map(|i| sys::ggml_backend_dev_get(i))
            .filter(|dev| {
                matches!(
                    sys::ggml_backend_dev_type(*dev),
                    sys::GGML_BACKEND_DEVICE_TYPE_GPU | sys::GGML_BACKEND_DEVICE_TYPE_IGPU
                )
            })
            .map(|dev| {
                let (mut free, mut total) = (0_usize, 0_usize);
                sys::ggml_backend_dev_memory(dev, &raw mut free, &raw mut total);
                let name = text_of(sys::ggml_backend_dev_name(dev));
                let what = text_of(sys::ggml_backend_dev_description(dev));
                Device { name: format!("{name} ({what})"), free: free as u64, total: total as u64 }
            })
            .collect()
    }
}

fn c_path(path: &Path) -> Option<CString> {
    CString::new(path.as_os_str().as_encoded_bytes()).ok()
}

/// How a model is loaded.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ModelOptions {
    /// Layers on devices; negative for all.
    pub gpu_layers: i32,
    /// The main device.
    pub main_gpu: i32,
    /// Share of each device; empty for llama.cpp's own choice.
    pub tensor_split: Vec<f32>,
    /// Only the vocabulary, no weights.
    pub vocab_only: bool,
}

/// A loaded model.
#[derive(Debug)]
pub struct ModelHandle(NonNull<sys::llama_model>);

impl Drop for ModelHandle {
    fn drop(&mut self) {
        // SAFETY: the pointer came from a load, is owned by this handle alone, and every context borrows the
        // handle, so none is left.
        unsafe { sys::llama_model_free(self.0.as_ptr()) };
    }
}

impl ModelHandle {
    /// Loads a model; `None` if llama.cpp refuses (the log says why).
    pub fn load(path: &Path, options: &ModelOptions) -> Option<Self> {
        let path = c_path(path)?;
        // SAFETY: default parameters, then plain fields; the split array has the length llama.cpp reads
        // (`llama_max_devices`) and outlives the call, as does the path.
        unsafe {
            let mut split = options.tensor_split.clone();
            split.resize(sys::llama_max_devices().max(split.len()), 0.0);
            let mut params = sys::llama_model_default_params();
            params.n_gpu_layers = options.gpu_layers;
            params.main_gpu = options.main_gpu;
            params.vocab_only = options.vocab_only;
            if !options.tensor_split.is_empty() {
                params.tensor_split = split.as_ptr();
            }
            NonNull::new(sys::llama_model_load_from_file(path.as_ptr(), params)).map(Self)
        }
    }

    fn vocab(&self) -> *const sys::llama_vocab {
        // SAFETY: the model is alive; the vocabulary lives as long as it does.
        unsafe { sys::llama_model_get_vocab(self.0.as_ptr()) }
    }

    /// Number of tokens of the vocabulary.
    pub fn vocabulary(&self) -> u32 {
        // SAFETY: the vocabulary is alive.
        unsafe { sys::llama_vocab_n_tokens(self.vocab()) }.try_into().unwrap_or(0)
    }

    /// Context length the model was trained for.
    pub fn context_length(&self) -> u32 {
        // SAFETY: the model is alive.
        unsafe { sys::llama_model_n_ctx_train(self.0.as_ptr()) }.try_into().unwrap_or(0)
    }

    /// Whether the model has a decoder that predicts the next token.
    pub fn has_decoder(&self) -> bool {
        // SAFETY: the model is alive.
        unsafe { sys::llama_model_has_decoder(self.0.as_ptr()) }
    }

    /// The token that begins a text, if the vocabulary adds one by itself.
    pub fn bos_if_added(&self) -> Option<Token> {
        // SAFETY: the vocabulary is alive.
        unsafe { sys::llama_vocab_get_add_bos(self.vocab()).then(|| sys::llama_vocab_bos(self.vocab())) }
    }

    /// Tokens of a text; `None` if llama.cpp refuses (more than 2^31 tokens).
    pub fn tokenize(&self, text: &[u8], add_special: bool, parse_special: bool) -> Option<Vec<Token>> {
        let bytes = i32::try_from(text.len()).ok()?;
        let mut tokens: Vec<Token> = vec![0; text.len() + 8];
        for _ in 0..2 {
            let room = i32::try_from(tokens.len()).ok()?;
            // SAFETY: text and token buffer are passed with their true lengths.
            let n = unsafe {
                sys::llama_tokenize(
                    self.vocab(),
                    text.as_ptr().cast(),
                    bytes,
                    tokens.as_mut_ptr(),
                    room,
                    add_special,
                    parse_special,
                )
            };
            if n == i32::MIN {
                return None;
            }
            let needed = n.unsigned_abs() as usize;
            tokens.resize(needed, 0);
            if n >= 0 {
                return Some(tokens);
            }
        }
        None
    }
}

/// How a context is shaped.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ContextOptions {
    /// Tokens of context over all sequences.
    pub n_ctx: u32,
    /// Most tokens in one decode.
    pub n_batch: u32,
    /// Most tokens computed at once.
    pub n_ubatch: u32,
    /// Most sequences.
    pub n_seq_max: u32,
    /// Threads.
    pub threads: u32,
    /// 1 on, 0 off, -1 llama.cpp's choice.
    pub flash_attn: i32,
    /// ggml type ids of K and V.
    pub kv: (u32, u32),
    /// One buffer for all sequences.
    pub kv_unified: bool,
    /// Keep all cells of layers with a sliding window, not only the window's.
    pub swa_full: bool,
    /// Stretch the context by YaRN from this many tokens.
    pub yarn_from: Option<u32>,
}

/// A context of a model.
#[derive(Debug)]
pub struct ContextHandle<'model> {
    raw: NonNull<sys::llama_context>,
    model: &'model ModelHandle,
    n_batch: u32,
    n_seq_max: u32,
    /// Row of the logits buffer for each token of the last batch, -1 where none was asked for.
    outputs: Vec<bool>,
}

impl Drop for ContextHandle<'_> {
    fn drop(&mut self) {
        // SAFETY: owned by this handle alone; the model outlives it by the borrow.
        unsafe { sys::llama_free(self.raw.as_ptr()) };
    }
}

impl<'model> ContextHandle<'model> {
    /// Makes a context; `None` if llama.cpp refuses (the log says why).
    pub fn new(model: &'model ModelHandle, options: &ContextOptions) -> Option<Self> {
        // SAFETY: default parameters, then plain fields; ids of types are checked by the caller through
        // `type_name`; the model is alive.
        let raw = unsafe {
            let mut params = sys::llama_context_default_params();
            params.n_ctx = options.n_ctx;
            params.n_batch = options.n_batch;
            params.n_ubatch = options.n_ubatch;
            params.n_seq_max = options.n_seq_max;
            params.n_threads = options.threads.cast_signed();
            params.n_threads_batch = options.threads.cast_signed();
            params.flash_attn_type = options.flash_attn;
            params.type_k = options.kv.0;
            params.type_v = options.kv.1;
            params.kv_unified = options.kv_unified;
            params.swa_full = options.swa_full;
            params.no_perf = true;
            if let Some(trained) = options.yarn_from {
                params.rope_scaling_type = sys::LLAMA_ROPE_SCALING_TYPE_YARN;
                params.yarn_orig_ctx = trained;
                let sequences = if options.kv_unified { 1 } else { options.n_seq_max.max(1) };
                params.rope_freq_scale = (trained * sequences) as f32 / options.n_ctx as f32;
            }
            sys::llama_init_from_model(model.0.as_ptr(), params)
        };
        Some(Self {
            raw: NonNull::new(raw)?,
            model,
            n_batch: options.n_batch,
            n_seq_max: options.n_seq_max,
            outputs: Vec::new(),
        })
    }

    /// The model this context runs.
    pub fn model(&self) -> &'model ModelHandle {
        self.model
    }

    /// Forgets all sequences.
    pub fn clear(&mut self) {
        // SAFETY: the context is alive; its memory lives as long as it does.
        unsafe { sys::llama_memory_clear(sys::llama_get_memory(self.raw.as_ptr()), false) };
    }

    /// Decodes a batch: 0 is success, 1 no room in the cache, anything else an error of llama.cpp's.
    /// A batch llama.cpp would abort on gives -1 without entering it.
    pub fn decode(&mut self, batch: &Batch) -> i32 {
        let n = batch.tokens.len();
        let vocabulary = self.model.vocabulary().cast_signed();
        let valid = n > 0
            && n <= self.n_batch as usize
            && batch.tokens.iter().all(|t| (0..vocabulary).contains(t))
            && batch
                .sequences
                .iter()
                .all(|s| !s.is_empty() && s.iter().all(|id| (0..self.n_seq_max.cast_signed()).contains(id)));
        if !valid {
            return -1;
        }
        let mut tokens = batch.tokens.clone();
        let mut positions = batch.positions.clone();
        let mut counts: Vec<i32> = batch.sequences.iter().map(|s| s.len() as i32).collect();
        let mut sequences = batch.sequences.clone();
        let mut pointers: Vec<*mut i32> = sequences.iter_mut().map(Vec::as_mut_ptr).collect();
        let mut outputs: Vec<i8> = batch.outputs.iter().map(|o| i8::from(*o)).collect();
        let native = sys::llama_batch {
            n_tokens: n as i32,
            token: tokens.as_mut_ptr(),
            embd: ptr::null_mut(),
            pos: positions.as_mut_ptr(),
            n_seq_id: counts.as_mut_ptr(),
            seq_id: pointers.as_mut_ptr(),
            logits: outputs.as_mut_ptr(),
        };
        // SAFETY: every array has `n_tokens` entries (`Batch` keeps them equally long), each sequence list
        // has the length given beside it, and all outlive the call.
        let status = unsafe { sys::llama_decode(self.raw.as_ptr(), native) };
        self.outputs.clear();
        if status == 0 {
            self.outputs.extend(&batch.outputs);
        }
        status
    }

    /// Waits until the last decode is done on every device.
    pub fn synchronize(&mut self) {
        // SAFETY: the context is alive.
        unsafe { sys::llama_synchronize(self.raw.as_ptr()) };
    }

    /// Logits of the `index`th token of the last batch (one f32 a vocabulary entry), if it was an output.
    pub fn logits(&self, index: usize) -> Option<&[f32]> {
        if !self.outputs.get(index).copied().unwrap_or(false) {
            return None;
        }
        // SAFETY: the token was marked as an output in a decode that succeeded, so the row exists; it has
        // one entry a token of the vocabulary and stays until the next decode, which needs `&mut self`.
        unsafe {
            let row = sys::llama_get_logits_ith(self.raw.as_ptr(), index as i32);
            (!row.is_null()).then(|| slice::from_raw_parts(row, self.model.vocabulary() as usize))
        }
    }
}

/// Tokens to decode together. The arrays are equally long by construction.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    tokens: Vec<Token>,
    positions: Vec<i32>,
    sequences: Vec<Vec<i32>>,
    outputs: Vec<bool>,
}

impl Batch {
    /// Adds a token at a position of one or more sequences; `output` asks for its logits.
    pub fn push(&mut self, token: Token, position: i32, sequences: &[i32], output: bool) {
        self.tokens.push(token);
        self.positions.push(position);
        self.sequences.push(sequences.to_vec());
        self.outputs.push(output);
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Forgets all tokens.
    pub fn clear(&mut self) {
        self.tokens.clear();
        self.positions.clear();
        self.sequences.clear();
        self.outputs.clear();
    }
}

/// How a file is quantized.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct QuantizeOptions {
    /// llama.cpp's number of the file type.
    pub ftype: u32,
    /// (regular expression, ggml type id); the first match wins.
    pub overrides: Vec<(String, u32)>,
    /// ggml type id of the output matrix.
    pub output_type: Option<u32>,
    /// ggml type id of the token embedding.
    pub embedding_type: Option<u32>,
    /// Whether quantized tensors may be quantized again.
    pub allow_requantize: bool,
    /// Threads.
    pub threads: u32,
    /// Decide types, write nothing.
    pub dry_run: bool,
}

/// Runs `llama_model_quantize`; `false` if it failed (the log says why). The caller has checked that input
/// and output differ and that the file type exists: llama.cpp destroys the input or divides by zero otherwise.
pub fn quantize(input: &Path, output: &Path, options: &QuantizeOptions) -> bool {
    let (Some(input), Some(output)) = (c_path(input), c_path(output)) else { return false };
    let patterns: Option<Vec<CString>> =
        options.overrides.iter().map(|(pattern, _)| CString::new(pattern.as_str()).ok()).collect();
    let Some(patterns) = patterns else { return false };
    let mut overrides: Vec<sys::llama_model_tensor_override> = patterns
        .iter()
        .zip(&options.overrides)
        .map(|(pattern, (_, id))| sys::llama_model_tensor_override { pattern: pattern.as_ptr(), type_: *id })
        .collect();
    overrides.push(sys::llama_model_tensor_override { pattern: ptr::null(), type_: GGML_TYPE_COUNT });
    // SAFETY: paths and patterns are null-terminated and outlive the call; the list of overrides ends with a
    // null pattern as llama.cpp expects; all other fields are plain values over the defaults.
    unsafe {
        let mut params = sys::llama_model_quantize_default_params();
        params.nthread = options.threads.cast_signed();
        params.ftype = options.ftype;
        params.allow_requantize = options.allow_requantize;
        params.dry_run = options.dry_run;
        params.output_tensor_type = options.output_type.unwrap_or(GGML_TYPE_COUNT);
        params.token_embedding_type = options.embedding_type.unwrap_or(GGML_TYPE_COUNT);
        if !options.overrides.is_empty() {
            params.tt_overrides = overrides.as_ptr();
        }
        sys::llama_model_quantize(input.as_ptr(), output.as_ptr(), &raw const params) == 0
    }
}
