//! llama.cpp behind safe functions: the only file with `unsafe`.
//!
//! Each handle owns one native object and frees it. Functions check here whatever llama.cpp would only
//! assert (and abort on): sizes of batches, positions of outputs, ids of sequences.
//! They know no policy: what to load, batch or score is decided by their callers.

#![expect(unsafe_code, reason = "the one door to the native library; each block says why it is sound")]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, OsStr, c_char, c_void};
use std::io::{self, Write as _};
use std::marker::PhantomData;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::{Mutex, Once};

use llama_cpp_sys_2 as sys;

use crate::gguf::imatrix::KeyValue;
use crate::llama::strided::Strided;

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

/// Prepares the native library; call it before anything else. Later calls do nothing.
pub fn init() {
    static DONE: Once = Once::new();
    DONE.call_once(init_once);
}

fn init_once() {
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
    /// Weights lie in memory of their own, as they are in the file, so that [`weights`] may change them.
    pub writable: bool,
    /// No weights are read and no memory is taken for them: the model is only good to lay out contexts.
    pub no_alloc: bool,
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
            if options.writable {
                params.load_mode = sys::LLAMA_LOAD_MODE_NONE;
                params.use_extra_bufts = false;
            }
            if options.no_alloc {
                // llama.cpp asserts that nothing is mapped.
                params.load_mode = sys::LLAMA_LOAD_MODE_NONE;
                params.no_alloc = true;
            }
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

    /// Layers, KV heads and the width of a head, those of the first layer.
    pub fn cache_shape(&self) -> [u32; 3] {
        // SAFETY: the model is alive.
        let [layers, heads, kv_heads, width] = unsafe {
            let model = self.0.as_ptr();
            [
                sys::llama_model_n_layer(model),
                sys::llama_model_n_head(model),
                sys::llama_model_n_head_kv(model),
                sys::llama_model_n_embd(model),
            ]
        }
        .map(|n| u32::try_from(n).unwrap_or(0));
        [layers, kv_heads, width.checked_div(heads).unwrap_or(0)]
    }

    /// Whether the model has a decoder that predicts the next token.
    pub fn has_decoder(&self) -> bool {
        // SAFETY: the model is alive.
        unsafe { sys::llama_model_has_decoder(self.0.as_ptr()) }
    }

    /// Whether layers keep a state instead of single tokens, so that sequences can share no part of it.
    pub fn is_recurrent(&self) -> bool {
        // SAFETY: the model is alive.
        unsafe {
            sys::llama_model_is_recurrent(self.0.as_ptr()) || sys::llama_model_is_hybrid(self.0.as_ptr())
        }
    }

    /// The token that begins a text, if the vocabulary adds one by itself.
    pub fn bos_if_added(&self) -> Option<Token> {
        // SAFETY: the vocabulary is alive.
        unsafe { sys::llama_vocab_get_add_bos(self.vocab()).then(|| sys::llama_vocab_bos(self.vocab())) }
    }

    /// The token that begins a text, if the vocabulary has one.
    pub fn bos(&self) -> Option<Token> {
        // SAFETY: the vocabulary is alive.
        self.known(unsafe { sys::llama_vocab_bos(self.vocab()) })
    }

    /// The token that ends a text, if the vocabulary has one.
    pub fn eos(&self) -> Option<Token> {
        // SAFETY: the vocabulary is alive.
        self.known(unsafe { sys::llama_vocab_eos(self.vocab()) })
    }

    /// The line end, if the vocabulary has one.
    pub fn newline(&self) -> Option<Token> {
        // SAFETY: the vocabulary is alive.
        self.known(unsafe { sys::llama_vocab_nl(self.vocab()) })
    }

    /// llama.cpp has a token of -1 where there is none.
    fn known(&self, token: Token) -> Option<Token> {
        u32::try_from(token).ok().filter(|token| *token < self.vocabulary()).map(|_| token)
    }

    /// Whether a token ends what a model generates.
    pub fn ends_generation(&self, token: Token) -> bool {
        // SAFETY: the vocabulary is alive, and the token is one of its own.
        self.known(token).is_some_and(|token| unsafe { sys::llama_vocab_is_eog(self.vocab(), token) })
    }

    /// A token as the vocabulary writes it.
    pub fn token_text(&self, token: Token) -> Option<String> {
        let token = self.known(token)?;
        // SAFETY: the token is one of the vocabulary's, so there is a string that lives as long as it does.
        unsafe {
            let text = sys::llama_vocab_get_text(self.vocab(), token);
            (!text.is_null()).then(|| text_of(text))
        }
    }

    /// The bytes that a token adds to a text; those of a special token only if `special`.
    pub fn piece(&self, token: Token, special: bool) -> Vec<u8> {
        let Some(token) = self.known(token) else { return Vec::new() };
        let mut bytes = vec![0_u8; 32];
        for _ in 0..2 {
            let room = i32::try_from(bytes.len()).unwrap_or(i32::MAX);
            // SAFETY: the buffer is passed with its true length, and the token is one of the vocabulary's.
            let n = unsafe {
                sys::llama_token_to_piece(self.vocab(), token, bytes.as_mut_ptr().cast(), room, 0, special)
            };
            let length = n.unsigned_abs() as usize;
            bytes.resize(length, 0);
            if n >= 0 {
                break;
            }
        }
        bytes
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
    /// How many a sequence shall have then; absent: its share of `n_ctx`.
    pub yarn_to: Option<u32>,
    /// Most outputs in one decode, which bounds the buffer for their logits; 0 for as many as tokens.
    pub n_outputs_max: u32,
}

#[cfg(test)]
impl ContextOptions {
    /// What tests begin with: one sequence, one thread, llama.cpp's own cache types.
    pub const PLAIN: Self = Self {
        n_ctx: 0,
        n_batch: 0,
        n_ubatch: 0,
        n_seq_max: 1,
        threads: 1,
        flash_attn: -1,
        kv: (1, 1),
        kv_unified: false,
        swa_full: true,
        yarn_from: None,
        yarn_to: None,
        n_outputs_max: 0,
    };
}

/// A tensor of the graph that a decode computes.
#[derive(Debug)]
pub struct GraphTensor<'graph> {
    raw: &'graph sys::ggml_tensor,
    computed: bool,
}

impl GraphTensor<'_> {
    /// Whether the tensor has exactly this name.
    pub fn is_named(&self, name: &CStr) -> bool {
        // ggml keeps the null at the end inside the array.
        let bytes = self.raw.name.iter().map(|c| c.cast_unsigned());
        bytes.take_while(|b| *b != 0).eq(name.to_bytes().iter().copied())
    }

    /// Entries a row.
    pub fn columns(&self) -> usize {
        self.raw.ne[0].try_into().unwrap_or(0)
    }

    /// The values, row after row, once they are computed; `None` unless they are f32 and lie without gaps.
    pub fn values(&self) -> Option<Vec<f32>> {
        // SAFETY: the tensor is alive for the duration of the callback that lends it.
        let readable = unsafe {
            self.computed
                && self.raw.type_ == sys::GGML_TYPE_F32
                && !self.raw.data.is_null()
                && sys::ggml_is_contiguous(self.raw)
        };
        if !readable {
            return None;
        }
        // SAFETY: as above; the buffer has as many bytes as are copied, since the tensor has no gaps and
        // `ggml_nbytes` is its size.
        unsafe {
            let bytes = sys::ggml_nbytes(self.raw);
            let mut values = vec![0.0_f32; bytes / size_of::<f32>()];
            sys::ggml_backend_tensor_get(self.raw, values.as_mut_ptr().cast(), 0, bytes);
            Some(values)
        }
    }
}

/// A matrix product of the graph: a weight, what goes into it and, in a mixture of experts, through which of
/// the weight's matrices each row goes.
#[derive(Debug)]
pub struct Product<'graph> {
    weight: &'graph sys::ggml_tensor,
    input: &'graph sys::ggml_tensor,
    routes: Option<&'graph sys::ggml_tensor>,
}

/// Which tensors go into a product; the same for two products of one graph if they share their input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inputs([usize; 4]);

impl GraphTensor<'_> {
    /// The product this tensor is the result of, if it is one.
    pub fn product(&self) -> Option<Product<'_>> {
        let is_routed = self.raw.op == sys::GGML_OP_MUL_MAT_ID;
        if !is_routed && self.raw.op != sys::GGML_OP_MUL_MAT {
            return None;
        }
        let [weight, input, routes, ..] = self.raw.src;
        // SAFETY: the sources of a tensor of a running graph are null or live as long as it does.
        let (weight, input, routes) = unsafe { (weight.as_ref()?, input.as_ref()?, routes.as_ref()) };
        if is_routed && routes.is_none() {
            return None;
        }
        Some(Product { weight, input, routes: routes.filter(|_| is_routed) })
    }
}

impl<'graph> Product<'graph> {
    /// The weight's name.
    pub fn weight(&self) -> String {
        let bytes = self.weight.name.iter().map(|c| c.cast_unsigned()).take_while(|b| *b != 0).collect();
        String::from_utf8(bytes).unwrap_or_default()
    }

    /// Matrices in the weight, along its third and its fourth dimension.
    pub fn matrices(&self) -> [usize; 2] {
        let [_, _, planes, cubes] = shape(self.weight);
        [planes, cubes]
    }

    /// Whether rows choose among the weight's matrices.
    pub fn is_routed(&self) -> bool {
        self.routes.is_some()
    }

    /// Rows of the input's first matrix, if it is f32.
    pub fn f32_rows(&self) -> Option<usize> {
        (self.input.type_ == sys::GGML_TYPE_F32).then(|| shape(self.input)[1])
    }

    /// What goes in.
    pub fn inputs(&self) -> Inputs {
        let place = |t: &sys::ggml_tensor| [ptr::from_ref(t).addr(), t.data.addr()];
        let [a, b] = place(self.input);
        let [c, d] = self.routes.map_or([0, 0], place);
        Inputs([a, b, c, d])
    }

    /// The rows that go in; `None` unless they are f32. They mean something once they are computed.
    pub fn input(&self) -> Option<Strided<'graph, f32>> {
        // SAFETY: the type is checked.
        (self.input.type_ == sys::GGML_TYPE_F32).then(|| unsafe { numbers(self.input) })?
    }

    /// Numbers of the matrices that rows go through: (choices, rows). `None` where there is no choice.
    pub fn routes(&self) -> Option<Strided<'graph, i32>> {
        let routes = self.routes.filter(|r| r.type_ == sys::GGML_TYPE_I32)?;
        // SAFETY: the type is checked.
        unsafe { numbers(routes) }
    }
}

fn shape(tensor: &sys::ggml_tensor) -> [usize; 4] {
    tensor.ne.map(|size| size.try_into().unwrap_or(0))
}

/// The numbers of a tensor of a running graph, during a callback; `None` if they have no place yet.
///
/// # Safety
/// The tensor's elements are `T`s of four bytes, of which every pattern of bits is valid.
unsafe fn numbers<T: Copy + Default>(tensor: &sys::ggml_tensor) -> Option<Strided<'_, T>> {
    let apart = tensor.nb.iter().any(|bytes| bytes % size_of::<T>() != 0);
    if tensor.data.is_null() || apart || shape(tensor).contains(&0) || !tensor.data.cast::<T>().is_aligned() {
        return None;
    }
    // SAFETY: the tensor is alive and has its place; `ggml_nbytes` spans all its elements from `data` on. Where
    // the buffer is host memory, it stays as it is until the callback, which lends the tensor, returns; elsewhere
    // the copy has room for as many bytes as are copied.
    let values = unsafe {
        let count = sys::ggml_nbytes(tensor) / size_of::<T>();
        if !tensor.buffer.is_null() && sys::ggml_backend_buffer_is_host(tensor.buffer) {
            Cow::Borrowed(slice::from_raw_parts(tensor.data.cast::<T>(), count))
        } else {
            let mut copy = vec![T::default(); count];
            let bytes = count * size_of::<T>();
            sys::ggml_backend_tensor_get(tensor, copy.as_mut_ptr().cast(), 0, bytes);
            Cow::Owned(copy)
        }
    };
    Some(Strided::new(values, shape(tensor), tensor.nb.map(|bytes| bytes / size_of::<T>())))
}

/// Looks at tensors while a decode computes them. It is asked for each tensor (`Moment::Ask`) whether it wants
/// the values, and called again with those it wanted (`Moment::Computed`), where `false` ends the decode:
/// nothing that follows is computed, and the decode has no logits.
pub type Observer = Box<dyn FnMut(&GraphTensor<'_>, Moment) -> bool>;

/// When an [`Observer`] is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Before computing: shall the values be shown?
    Ask,
    /// The values are there: shall the decode go on?
    Computed,
}

struct Observing {
    observer: Observer,
    stopped: bool,
}

extern "C" fn on_tensor(tensor: *mut sys::ggml_tensor, ask: bool, user: *mut c_void) -> bool {
    // SAFETY: `user` is the `Observing` of the context that is decoding; it is touched by nobody else
    // meanwhile, because decoding borrows the handle exclusively.
    let (observing, tensor) = unsafe { (user.cast::<Observing>().as_mut(), tensor.as_ref()) };
    let (Some(observing), Some(raw)) = (observing, tensor) else { return !ask };
    let moment = if ask { Moment::Ask } else { Moment::Computed };
    let answer = (observing.observer)(&GraphTensor { raw, computed: !ask }, moment);
    observing.stopped |= !ask && !answer;
    answer
}

/// A context of a model.
#[derive(Debug)]
pub struct ContextHandle<'model> {
    raw: NonNull<sys::llama_context>,
    model: &'model ModelHandle,
    n_batch: u32,
    n_seq_max: u32,
    n_outputs_max: usize,
    kv_unified: bool,
    observing: Option<NonNull<Observing>>,
    /// Whether each token of the last batch has a row of logits.
    outputs: Vec<bool>,
}

impl Drop for ContextHandle<'_> {
    fn drop(&mut self) {
        // SAFETY: both are owned by this handle alone and the context, which knows the observer, goes first;
        // the model outlives it by the borrow.
        unsafe {
            sys::llama_free(self.raw.as_ptr());
            if let Some(observing) = self.observing {
                drop(Box::from_raw(observing.as_ptr()));
            }
        }
    }
}

impl<'model> ContextHandle<'model> {
    /// Makes a context, perhaps observed; `None` if llama.cpp refuses (the log says why).
    pub fn new(
        model: &'model ModelHandle,
        options: &ContextOptions,
        observer: Option<Observer>,
    ) -> Option<Self> {
        let observing = observer
            .map(|observer| NonNull::from(Box::leak(Box::new(Observing { observer, stopped: false }))));
        // SAFETY: default parameters, then plain fields; ids of types are checked by the caller through
        // `type_name`; the model is alive; the observer lives until the context is freed.
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
            if options.n_outputs_max > 0 {
                // llama.cpp reserves a row for every sequence, and aborts if they are more than this.
                params.n_outputs_max = options.n_outputs_max.max(options.n_seq_max);
            }
            if let Some(observing) = observing {
                params.cb_eval = Some(on_tensor);
                params.cb_eval_user_data = observing.as_ptr().cast();
            }
            if let Some(trained) = options.yarn_from {
                params.rope_scaling_type = sys::LLAMA_ROPE_SCALING_TYPE_YARN;
                params.yarn_orig_ctx = trained;
                let sequences = if options.kv_unified { 1 } else { options.n_seq_max.max(1) };
                let to = options.yarn_to.unwrap_or(options.n_ctx / sequences).max(1);
                params.rope_freq_scale = trained as f32 / to as f32;
            }
            sys::llama_init_from_model(model.0.as_ptr(), params)
        };
        let Some(raw) = NonNull::new(raw) else {
            if let Some(observing) = observing {
                // SAFETY: leaked above, and there is no context that knows it.
                drop(unsafe { Box::from_raw(observing.as_ptr()) });
            }
            return None;
        };
        let n_outputs_max = if options.n_outputs_max > 0 { options.n_outputs_max } else { options.n_batch };
        Some(Self {
            raw,
            model,
            n_batch: options.n_batch,
            n_seq_max: options.n_seq_max,
            n_outputs_max: n_outputs_max as usize,
            kv_unified: options.kv_unified,
            observing,
            outputs: Vec::new(),
        })
    }

    /// The model this context runs.
    pub fn model(&self) -> &'model ModelHandle {
        self.model
    }

    /// Forgets all sequences; with `wiped` also what their cells held.
    pub fn clear(&mut self, wiped: bool) {
        // SAFETY: the context is alive; its memory lives as long as it does.
        unsafe { sys::llama_memory_clear(sys::llama_get_memory(self.raw.as_ptr()), wiped) };
    }

    /// Forgets a sequence from a position on; false if the model's memory cannot be cut there.
    pub fn cut(&mut self, sequence: i32, from: i32) -> bool {
        if !(0..self.n_seq_max.cast_signed()).contains(&sequence) {
            return false;
        }
        // SAFETY: the context is alive; its memory lives as long as it does, and the sequence is one of its own.
        unsafe { sys::llama_memory_seq_rm(sys::llama_get_memory(self.raw.as_ptr()), sequence, from, -1) }
    }

    /// Copies all of a sequence to another, which must be empty.
    pub fn copy(&mut self, from: i32, to: i32) {
        let own = 0..self.n_seq_max.cast_signed();
        if from != to && own.contains(&from) && own.contains(&to) {
            // SAFETY: as above; whole sequences may be copied between streams of the cache.
            unsafe { sys::llama_memory_seq_cp(sys::llama_get_memory(self.raw.as_ptr()), from, to, -1, -1) };
        }
    }

    /// Adds a sequence's tokens at these positions to another; nothing is computed and no memory taken. `false` if the
    /// cache is not one for all sequences, since llama.cpp copies only whole sequences between streams.
    pub fn share(&mut self, from: i32, to: i32, positions: Range<i32>) -> bool {
        let own = 0..self.n_seq_max.cast_signed();
        let valid = self.kv_unified && from != to && own.contains(&from) && own.contains(&to);
        if valid && !positions.is_empty() {
            // SAFETY: as above; both sequences lie in the only stream, in which any range may be copied.
            unsafe {
                let memory = sys::llama_get_memory(self.raw.as_ptr());
                sys::llama_memory_seq_cp(memory, from, to, positions.start, positions.end);
            }
        }
        valid
    }

    /// Forgets all sequences but one.
    pub fn keep_only(&mut self, sequence: i32) {
        if (0..self.n_seq_max.cast_signed()).contains(&sequence) {
            // SAFETY: as above; the sequence is one of the context's own.
            unsafe { sys::llama_memory_seq_keep(sys::llama_get_memory(self.raw.as_ptr()), sequence) };
        }
    }

    /// Decodes a batch: 0 is success, 1 no room in the cache, anything else an error of llama.cpp's.
    /// A batch llama.cpp would abort on gives -1 without entering it.
    pub fn decode(&mut self, batch: &Batch) -> i32 {
        let n = batch.tokens.len();
        let vocabulary = self.model.vocabulary().cast_signed();
        let valid = n > 0
            && n <= self.n_batch as usize
            && batch.outputs.iter().filter(|o| **o).count() <= self.n_outputs_max
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
        // SAFETY: the decode is over, so nobody else looks at it.
        let stopped = self.observing.is_some_and(|mut o| unsafe { std::mem::take(&mut o.as_mut().stopped) });
        self.outputs.clear();
        if status == 0 && !stopped {
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

/// f32 to f16 by llama.cpp's own conversion, to the nearest.
pub fn to_f16(values: &[f32]) -> Vec<u16> {
    let mut halves = vec![0_u16; values.len()];
    // SAFETY: both arrays have the length that is passed.
    unsafe { sys::ggml_fp32_to_fp16_row(values.as_ptr(), halves.as_mut_ptr(), values.len() as i64) };
    halves
}

/// f16 to f32, exactly.
pub fn from_f16(halves: &[u16]) -> Vec<f32> {
    let mut values = vec![0.0_f32; halves.len()];
    // SAFETY: both arrays have the length that is passed.
    unsafe { sys::ggml_fp16_to_fp32_row(halves.as_ptr(), values.as_mut_ptr(), halves.len() as i64) };
    values
}

/// A weight of a model that was loaded to be written. It cannot leave the thread of its model, on which nothing is
/// decoded while it is written.
#[derive(Debug)]
pub struct Weight<'model> {
    tensor: NonNull<sys::ggml_tensor>,
    model: PhantomData<&'model ModelHandle>,
}

/// Weights that a callback has seen, by address.
struct Seen(Vec<NonNull<sys::ggml_tensor>>);

extern "C" fn on_weights(tensor: *mut sys::ggml_tensor, ask: bool, user: *mut c_void) -> bool {
    // SAFETY: `user` is the list of the one decode that is running; sources of a tensor of a running graph are null or
    // alive, and so are their buffers.
    unsafe {
        if let (Some(seen), Some(tensor), true) = (user.cast::<Seen>().as_mut(), tensor.as_ref(), ask) {
            for source in tensor.src.into_iter().filter_map(NonNull::new) {
                let raw = source.as_ref();
                let of_model = raw.op == sys::GGML_OP_NONE
                    && raw.view_src.is_null()
                    && !raw.buffer.is_null()
                    && sys::ggml_backend_buffer_get_usage(raw.buffer)
                        == sys::GGML_BACKEND_BUFFER_USAGE_WEIGHTS
                    && sys::ggml_backend_buffer_is_host(raw.buffer);
                if of_model && !seen.0.contains(&source) {
                    seen.0.push(source);
                }
            }
        }
    }
    // Nothing is wanted, so that nothing is waited for.
    !ask
}

/// The weights that a decode of one token takes part in, of a model that was loaded with `writable`. `None` if it
/// cannot be decoded. Devices' weights are not among them.
pub fn weights(model: &ModelHandle, threads: u32) -> Option<Vec<Weight<'_>>> {
    let mut seen = Seen(Vec::new());
    // SAFETY: the list outlives the context, which is freed below; the batch of one token is llama.cpp's own view of a
    // local variable that outlives the call. Tensors in buffers of weights belong to the model.
    unsafe {
        let mut params = sys::llama_context_default_params();
        params.n_ctx = 64;
        params.n_batch = 64;
        params.n_ubatch = 64;
        params.n_threads = threads.cast_signed();
        params.n_threads_batch = threads.cast_signed();
        params.cb_eval = Some(on_weights);
        params.cb_eval_user_data = ptr::from_mut(&mut seen).cast();
        let context = NonNull::new(sys::llama_init_from_model(model.0.as_ptr(), params))?;
        let mut token: Token = 0;
        let status = sys::llama_decode(context.as_ptr(), sys::llama_batch_get_one(&raw mut token, 1));
        sys::llama_synchronize(context.as_ptr());
        sys::llama_free(context.as_ptr());
        if status != 0 {
            return None;
        }
    }
    Some(seen.0.into_iter().map(|tensor| Weight { tensor, model: PhantomData }).collect())
}

impl Weight<'_> {
    fn raw(&self) -> &sys::ggml_tensor {
        // SAFETY: the model, which owns the tensor, is alive by the borrow.
        unsafe { self.tensor.as_ref() }
    }

    /// Its name.
    pub fn name(&self) -> String {
        let bytes = self.raw().name.iter().map(|c| c.cast_unsigned()).take_while(|b| *b != 0).collect();
        String::from_utf8(bytes).unwrap_or_default()
    }

    /// ggml type id.
    pub fn kind(&self) -> u32 {
        self.raw().type_
    }

    /// Entries along each dimension; the first is a row's.
    pub fn shape(&self) -> [usize; 4] {
        shape(self.raw())
    }

    /// Its bytes; `None` if they lie with gaps.
    pub fn read(&self) -> Option<Vec<u8>> {
        // SAFETY: the tensor has memory of its own without gaps, as many bytes as are copied.
        unsafe {
            if !sys::ggml_is_contiguous(self.raw()) || self.raw().data.is_null() {
                return None;
            }
            let mut bytes = vec![0_u8; sys::ggml_nbytes(self.raw())];
            sys::ggml_backend_tensor_get(self.raw(), bytes.as_mut_ptr().cast(), 0, bytes.len());
            Some(bytes)
        }
    }

    /// Replaces its bytes; `false` if they are not as many, or lie with gaps.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        // SAFETY: as for reading; the model was loaded into memory of its own, and nobody else touches it meanwhile,
        // because neither model nor contexts can be sent to another thread.
        unsafe {
            let fits = sys::ggml_is_contiguous(self.raw())
                && !self.raw().data.is_null()
                && sys::ggml_nbytes(self.raw()) == bytes.len();
            if fits {
                sys::ggml_backend_tensor_set(self.tensor.as_ptr(), bytes.as_ptr().cast(), 0, bytes.len());
            }
            fits
        }
    }
}

/// Rows as a type of blocks, as `llama_model_quantize` codes them; `importances` are one a column. `None` if the type
/// codes no rows of this length, or needs importances and has none.
pub fn quantize_rows(
    kind: u32,
    values: &[f32],
    columns: usize,
    importances: Option<&[f32]>,
) -> Option<Vec<u8>> {
    let block = usize::try_from(ggml_block(kind)?).ok()?;
    let coded = kind != sys::GGML_TYPE_Q8_1 && kind != sys::GGML_TYPE_Q8_K;
    let whole = columns > 0 && values.len().is_multiple_of(columns) && columns.is_multiple_of(block);
    if !coded || !whole || importances.is_some_and(|w| w.len() != columns) {
        return None;
    }
    // SAFETY: the type is one that ggml codes; rows are whole blocks; importances have an entry a column where the type
    // needs them; the result has room for all rows.
    unsafe {
        if !(*sys::ggml_get_type_traits(kind)).is_quantized
            || (importances.is_none() && sys::ggml_quantize_requires_imatrix(kind))
        {
            return None;
        }
        let rows = values.len() / columns;
        let mut bytes = vec![0_u8; sys::ggml_row_size(kind, columns as i64) * rows];
        let weights = importances.map_or(ptr::null(), <[f32]>::as_ptr);
        let (source, target) = (values.as_ptr(), bytes.as_mut_ptr().cast());
        let written = sys::ggml_quantize_chunk(kind, source, target, 0, rows as i64, columns as i64, weights);
        (written == bytes.len()).then_some(bytes)
    }
}

/// Numbers of whole blocks, or of a float type; `None` if there is no such type, or the bytes are no whole blocks.
pub fn to_floats(kind: u32, bytes: &[u8]) -> Option<Vec<f32>> {
    if kind == sys::GGML_TYPE_F32 {
        return Some(bytes.as_chunks::<4>().0.iter().map(|b| f32::from_ne_bytes(*b)).collect());
    }
    let block = usize::try_from(ggml_block(kind)?).ok()?;
    // SAFETY: the type exists; source and target hold as many entries as are converted; ggml's blocks are of
    // bytes and 16-bit numbers, for which a vector's memory is aligned.
    unsafe {
        let size = sys::ggml_type_size(kind);
        let convert = (*sys::ggml_get_type_traits(kind)).to_float?;
        if size == 0 || !bytes.len().is_multiple_of(size) {
            return None;
        }
        let mut values = vec![0.0_f32; bytes.len() / size * block];
        convert(bytes.as_ptr().cast(), values.as_mut_ptr(), values.len() as i64);
        Some(values)
    }
}

/// Numbers as a float type, to the nearest; `None` if the type is none.
pub fn from_floats(kind: u32, values: &[f32]) -> Option<Vec<u8>> {
    match kind {
        sys::GGML_TYPE_F32 => Some(values.iter().flat_map(|x| x.to_ne_bytes()).collect()),
        sys::GGML_TYPE_F16 => Some(to_f16(values).into_iter().flat_map(u16::to_ne_bytes).collect()),
        sys::GGML_TYPE_BF16 => {
            let mut halves = vec![sys::ggml_bf16_t { bits: 0 }; values.len()];
            // SAFETY: both arrays have the length that is passed.
            unsafe { sys::ggml_fp32_to_bf16_row(values.as_ptr(), halves.as_mut_ptr(), values.len() as i64) };
            Some(halves.into_iter().flat_map(|half| half.bits.to_ne_bytes()).collect())
        }
        _ => None,
    }
}

/// The header of one GGUF file, for a model that llama.cpp has loaded, or could.
#[derive(Debug)]
pub struct HeaderHandle {
    gguf: NonNull<sys::gguf_context>,
    meta: NonNull<sys::ggml_context>,
}

/// Where a tensor lies in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredTensor {
    /// ggml type id.
    pub kind: u32,
    /// Entries a row, and rows.
    pub shape: (usize, usize),
    /// First byte in the file.
    pub offset: u64,
    /// Bytes.
    pub bytes: usize,
}

impl Drop for HeaderHandle {
    fn drop(&mut self) {
        // SAFETY: both are owned by this handle alone.
        unsafe {
            sys::gguf_free(self.gguf.as_ptr());
            sys::ggml_free(self.meta.as_ptr());
        }
    }
}

impl HeaderHandle {
    /// Reads a header; `None` if llama.cpp cannot.
    pub fn open(path: &Path) -> Option<Self> {
        let path = c_path(path)?;
        let mut meta = ptr::null_mut();
        // SAFETY: the path ends with a null; `meta` receives the tensors' descriptions, without data.
        let gguf = unsafe {
            let params = sys::gguf_init_params { no_alloc: true, ctx: &raw mut meta };
            sys::gguf_init_from_file(path.as_ptr(), params)
        };
        Some(Self { gguf: NonNull::new(gguf)?, meta: NonNull::new(meta)? })
    }

    /// Number of a key, if it has this type.
    fn key(&self, name: &str, kind: sys::gguf_type) -> Option<i64> {
        let name = CString::new(name).ok()?;
        // SAFETY: the header is alive; the number is only used when it is one of its keys.
        unsafe {
            let id = sys::gguf_find_key(self.gguf.as_ptr(), name.as_ptr());
            (id >= 0 && sys::gguf_get_kv_type(self.gguf.as_ptr(), id) == kind).then_some(id)
        }
    }

    /// A key's f32.
    pub fn f32(&self, name: &str) -> Option<f32> {
        let id = self.key(name, sys::GGUF_TYPE_FLOAT32)?;
        // SAFETY: the key exists and has this type.
        Some(unsafe { sys::gguf_get_val_f32(self.gguf.as_ptr(), id) })
    }

    /// A key's u16.
    pub fn u16(&self, name: &str) -> Option<u16> {
        let id = self.key(name, sys::GGUF_TYPE_UINT16)?;
        // SAFETY: the key exists and has this type.
        Some(unsafe { sys::gguf_get_val_u16(self.gguf.as_ptr(), id) })
    }

    /// A key's text.
    pub fn text(&self, name: &str) -> Option<String> {
        let id = self.key(name, sys::GGUF_TYPE_STRING)?;
        // SAFETY: the key exists and has this type; the string lives as long as the header.
        Some(text_of(unsafe { sys::gguf_get_val_str(self.gguf.as_ptr(), id) }))
    }

    /// A tensor of at most two dimensions.
    pub fn tensor(&self, name: &str) -> Option<StoredTensor> {
        let name = CString::new(name).ok()?;
        // SAFETY: header and descriptions are alive; the number is only used when it is one of its tensors.
        unsafe {
            let id = sys::gguf_find_tensor(self.gguf.as_ptr(), name.as_ptr());
            let tensor = sys::ggml_get_tensor(self.meta.as_ptr(), name.as_ptr()).as_ref()?;
            if id < 0 || tensor.ne[2] != 1 || tensor.ne[3] != 1 {
                return None;
            }
            let data = sys::gguf_get_data_offset(self.gguf.as_ptr());
            Some(StoredTensor {
                kind: tensor.type_,
                shape: (tensor.ne[0].try_into().ok()?, tensor.ne[1].try_into().ok()?),
                offset: (data + sys::gguf_get_tensor_offset(self.gguf.as_ptr(), id)) as u64,
                bytes: sys::ggml_nbytes(tensor),
            })
        }
    }
}

/// Path of the `index`th part (from 0) of a model of `count` parts whose first part is `first`, as llama.cpp
/// names them.
pub fn part_path(first: &Path, index: u16, count: u16) -> Option<PathBuf> {
    let first = c_path(first)?;
    let room = first.as_bytes().len() + 64;
    let (mut prefix, mut path) = (vec![0_u8; room], vec![0_u8; room]);
    let count = i32::from(count);
    // SAFETY: both buffers have the length that is passed; both results end with a null.
    unsafe {
        if sys::llama_split_prefix(prefix.as_mut_ptr().cast(), room, first.as_ptr(), 0, count) <= 0 {
            return None;
        }
        let prefix = prefix.as_ptr().cast();
        sys::llama_split_path(path.as_mut_ptr().cast(), room, prefix, i32::from(index), count);
    }
    let path = CStr::from_bytes_until_nul(&path).ok()?;
    Some(PathBuf::from(OsStr::from_bytes(path.to_bytes())))
}

/// What a model does to `matrix x state` before it calls the result logits, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Tail {
    /// Multiply by.
    pub scale: Option<f32>,
    /// `c tanh(x / c)`.
    pub softcap: Option<f32>,
    /// Add the output's bias.
    pub bias: bool,
}

/// An output matrix on the CPU, and the graph that multiplies states by it.
#[derive(Debug)]
pub struct HeadHandle {
    backend: sys::ggml_backend_t,
    // Holds the memory of the two tensors that follow.
    _weights: Arena,
    matrix: *mut sys::ggml_tensor,
    bias: *mut sys::ggml_tensor,
    shape: (usize, usize),
    graph: Option<HeadGraph>,
}

// SAFETY: the handle owns all that it points to, nothing of it is tied to a thread, and one thread at a time has it.
unsafe impl Send for HeadHandle {}

#[derive(Debug)]
struct HeadGraph {
    // Holds the memory of the tensors that follow.
    _arena: Arena,
    states: *mut sys::ggml_tensor,
    logits: *mut sys::ggml_tensor,
    graph: *mut sys::ggml_cgraph,
    rows: usize,
    tail: Tail,
}

/// Tensors and the memory they lie in.
#[derive(Debug)]
struct Arena {
    context: NonNull<sys::ggml_context>,
    buffer: sys::ggml_backend_buffer_t,
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: both are owned by this arena alone; freeing a null buffer does nothing.
        unsafe {
            sys::ggml_backend_buffer_free(self.buffer);
            sys::ggml_free(self.context.as_ptr());
        }
    }
}

impl Arena {
    /// Room for descriptions only.
    fn new() -> Option<Self> {
        const TENSORS: usize = 16;
        // SAFETY: plain allocation; ggml owns the memory.
        let context = unsafe {
            sys::ggml_init(sys::ggml_init_params {
                mem_size: TENSORS * sys::ggml_tensor_overhead() + sys::ggml_graph_overhead(),
                mem_buffer: ptr::null_mut(),
                no_alloc: true,
            })
        };
        Some(Self { context: NonNull::new(context)?, buffer: ptr::null_mut() })
    }

    /// Gives all tensors memory.
    fn fill(&mut self, backend: sys::ggml_backend_t) -> Option<()> {
        // SAFETY: context and backend are alive, and the tensors have no memory yet.
        self.buffer = unsafe { sys::ggml_backend_alloc_ctx_tensors(self.context.as_ptr(), backend) };
        (!self.buffer.is_null()).then_some(())
    }
}

impl Drop for HeadHandle {
    fn drop(&mut self) {
        self.graph = None;
        // SAFETY: the backend is owned by this handle alone; buffers of the CPU do not need it to be freed.
        unsafe { sys::ggml_backend_free(self.backend) };
    }
}

impl HeadHandle {
    /// Memory for a matrix of `matrix.shape` and perhaps a bias of f32; `None` if there is not enough.
    pub fn new(matrix: StoredTensor, bias: bool, threads: u32) -> Option<Self> {
        let mut weights = Arena::new()?;
        let (columns, rows) = matrix.shape;
        let block = usize::try_from(ggml_block(matrix.kind)?).ok()?;
        if columns == 0 || rows == 0 || !columns.is_multiple_of(block) {
            return None;
        }
        // SAFETY: the type exists and its block divides the columns, which is what ggml asserts; all
        // handles were just made. The function's address comes from ggml's own registry under the name
        // that it documents for this type.
        unsafe {
            let backend = sys::ggml_backend_init_by_type(sys::GGML_BACKEND_DEVICE_TYPE_CPU, ptr::null());
            if backend.is_null() {
                return None;
            }
            let registry = sys::ggml_backend_dev_backend_reg(sys::ggml_backend_get_device(backend));
            let address =
                sys::ggml_backend_reg_get_proc_address(registry, c"ggml_backend_set_n_threads".as_ptr());
            let set_threads = std::mem::transmute::<*mut c_void, sys::ggml_backend_set_n_threads_t>(address);
            if let Some(set_threads) = set_threads {
                set_threads(backend, threads.cast_signed());
            }
            let context = weights.context.as_ptr();
            let tensor = sys::ggml_new_tensor_2d(context, matrix.kind, columns as i64, rows as i64);
            let bias = if bias {
                sys::ggml_new_tensor_2d(context, sys::GGML_TYPE_F32, rows as i64, 1)
            } else {
                ptr::null_mut()
            };
            let filled = weights.fill(backend);
            let handle =
                Self { backend, _weights: weights, matrix: tensor, bias, shape: matrix.shape, graph: None };
            filled.map(|()| handle)
        }
    }

    /// Copies bytes of the matrix, or of the bias, to their place; `false` if they lie outside.
    pub fn set(&mut self, bias: bool, offset: usize, bytes: &[u8]) -> bool {
        let tensor = if bias { self.bias } else { self.matrix };
        // SAFETY: a tensor of this handle, or null.
        let size = if tensor.is_null() { 0 } else { unsafe { sys::ggml_nbytes(tensor) } };
        if offset.checked_add(bytes.len()).is_none_or(|end| end > size) {
            return false;
        }
        // SAFETY: the range was just checked and the tensor has memory.
        unsafe { sys::ggml_backend_tensor_set(tensor, bytes.as_ptr().cast(), offset, bytes.len()) };
        true
    }

    /// Multiplies `rows` states (one after the other) and gives `rows` rows of logits, where ggml left them;
    /// `None` if the lengths do not fit, or memory is short.
    pub fn logits(&mut self, states: &[f32], rows: usize, tail: Tail) -> Option<&[f32]> {
        let (columns, vocabulary) = self.shape;
        if rows == 0 || states.len() != rows * columns {
            return None;
        }
        if self.graph.as_ref().is_none_or(|g| g.rows != rows || g.tail != tail) {
            self.graph = None;
            self.graph = self.build(rows, tail);
        }
        let graph = self.graph.as_ref()?;
        // SAFETY: the graph's tensors have memory of the CPU's backend, contiguous and of exactly these shapes; it
        // lives as long as this handle and is written again only through `&mut self`.
        unsafe {
            sys::ggml_backend_tensor_set(graph.states, states.as_ptr().cast(), 0, size_of_val(states));
            if sys::ggml_backend_graph_compute(self.backend, graph.graph) != sys::GGML_STATUS_SUCCESS {
                return None;
            }
            let data: *const f32 = sys::ggml_get_data_f32(graph.logits);
            (!data.is_null()).then(|| slice::from_raw_parts(data, rows * vocabulary))
        }
    }

    fn build(&self, rows: usize, tail: Tail) -> Option<HeadGraph> {
        let mut arena = Arena::new()?;
        let context = arena.context.as_ptr();
        // SAFETY: the arena has room for these few tensors and one graph; shapes agree by construction; the
        // matrix and the bias outlive the graph, which this handle owns.
        unsafe {
            let states =
                sys::ggml_new_tensor_2d(context, sys::GGML_TYPE_F32, self.shape.0 as i64, rows as i64);
            let mut logits = sys::ggml_mul_mat(context, self.matrix, states);
            if let Some(scale) = tail.scale {
                logits = sys::ggml_scale_inplace(context, logits, scale);
            }
            if let Some(cap) = tail.softcap {
                logits = sys::ggml_scale_inplace(context, logits, 1.0 / cap);
                logits = sys::ggml_tanh_inplace(context, logits);
                logits = sys::ggml_scale_inplace(context, logits, cap);
            }
            if tail.bias && !self.bias.is_null() {
                logits = sys::ggml_add_inplace(context, logits, self.bias);
            }
            let graph = sys::ggml_new_graph(context);
            sys::ggml_build_forward_expand(graph, logits);
            arena.fill(self.backend)?;
            Some(HeadGraph { _arena: arena, states, logits, graph, rows, tail })
        }
    }
}

/// Weights a block of a type, for ids that exist.
fn ggml_block(kind: u32) -> Option<i64> {
    if type_name(kind).is_empty() {
        return None;
    }
    // SAFETY: the id is inside ggml's table.
    let block = unsafe { sys::ggml_blck_size(kind) };
    (block > 0).then_some(block)
}

/// Bytes of a block of a type; `None` if there is no such type.
pub fn type_bytes(kind: u32) -> Option<usize> {
    ggml_block(kind)?;
    // SAFETY: the type exists.
    Some(unsafe { sys::ggml_type_size(kind) })
}

/// Bytes of a row of so many entries; `None` if that is no whole number of blocks.
pub fn row_bytes(kind: u32, columns: usize) -> Option<usize> {
    let block = usize::try_from(ggml_block(kind)?).ok()?;
    (columns > 0 && columns.is_multiple_of(block)).then(|| columns / block * type_bytes(kind).unwrap_or(0))
}

/// Most bytes of a tensor's rows, as read, as floats and as written, that llama.cpp holds at once while quantizing (its
/// own limit is 8 GiB). Rows are quantized one by one, so the limit cannot change the result.
const QUANTIZE_BUFFER: usize = 256 << 20;

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
    /// Weights of the columns.
    pub imatrix: Option<ColumnWeights>,
}

/// An importance matrix as quantization takes it, and what the file is to say about it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ColumnWeights {
    /// Mean squares by tensor name; one a column, for merged experts one row of columns after the other.
    pub entries: BTreeMap<String, Vec<f32>>,
    /// Metadata written into the file.
    pub about: Vec<(String, KeyValue)>,
}

/// A key with its value as llama.cpp takes it; `None` for the entry that ends the list.
fn override_of(pair: Option<&(String, KeyValue)>) -> sys::llama_model_kv_override {
    let mut entry = sys::llama_model_kv_override {
        tag: sys::LLAMA_KV_OVERRIDE_TYPE_INT,
        key: [0; 128],
        __bindgen_anon_1: sys::llama_model_kv_override__bindgen_ty_1 { val_str: [0; 128] },
    };
    let Some((key, value)) = pair else { return entry };
    entry.key = c_array(key.as_bytes());
    match value {
        KeyValue::Text(text) => {
            entry.tag = sys::LLAMA_KV_OVERRIDE_TYPE_STR;
            entry.__bindgen_anon_1.val_str = c_array(text);
        }
        KeyValue::Number(number) => entry.__bindgen_anon_1.val_i64 = i64::from(*number),
    }
    entry
}

/// The first 127 bytes of a text and a null.
fn c_array(text: &[u8]) -> [c_char; 128] {
    let mut array = [0; 128];
    for (place, byte) in array.iter_mut().take(127).zip(text) {
        *place = byte.cast_signed();
    }
    array
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
    let columns = options.imatrix.as_ref();
    let names: Option<Vec<CString>> = columns
        .map_or(Some(Vec::new()), |c| c.entries.keys().map(|n| CString::new(n.as_str()).ok()).collect());
    let Some(names) = names else { return false };
    let values = columns.into_iter().flat_map(|c| c.entries.values());
    let mut entries: Vec<sys::llama_model_imatrix_data> = names
        .iter()
        .zip(values)
        .map(|(name, v)| sys::llama_model_imatrix_data {
            name: name.as_ptr(),
            data: v.as_ptr(),
            size: v.len(),
        })
        .collect();
    entries.push(sys::llama_model_imatrix_data { name: ptr::null(), data: ptr::null(), size: 0 });
    let mut about: Vec<_> =
        columns.into_iter().flat_map(|c| &c.about).map(|pair| override_of(Some(pair))).collect();
    about.push(override_of(None));
    // SAFETY: paths, patterns and names are null-terminated and outlive the call, as do the values, which are
    // passed with their true lengths; the lists end with a null pattern, a null name and an empty key as llama.cpp
    // expects; all other fields are plain values over the defaults.
    unsafe {
        let mut params = sys::llama_model_quantize_default_params();
        params.nthread = options.threads.cast_signed();
        params.ftype = options.ftype;
        params.allow_requantize = options.allow_requantize;
        params.dry_run = options.dry_run;
        params.max_buf_size = QUANTIZE_BUFFER;
        params.output_tensor_type = options.output_type.unwrap_or(GGML_TYPE_COUNT);
        params.token_embedding_type = options.embedding_type.unwrap_or(GGML_TYPE_COUNT);
        if !options.overrides.is_empty() {
            params.tt_overrides = overrides.as_ptr();
        }
        if columns.is_some() {
            params.imatrix = entries.as_ptr();
            params.kv_overrides = about.as_ptr();
        }
        sys::llama_model_quantize(input.as_ptr(), output.as_ptr(), &raw const params) == 0
    }
}
