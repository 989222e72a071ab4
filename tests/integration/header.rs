//! Headers of models of many architectures, without any weights: what `fit` must be able to live on. Shapes of layers
//! follow what llama.cpp's loader asks of each architecture; Qwen3.6-27B's are its own, the others are small.

use std::fs;
use std::path::Path;

/// A GGUF header to be written.
#[derive(Debug, Clone, Default)]
pub struct Header {
    architecture: &'static str,
    keys: Vec<(String, Vec<u8>)>,
    tensors: Vec<(String, Vec<u64>)>,
}

fn text(value: &str) -> Vec<u8> {
    [&(value.len() as u64).to_le_bytes()[..], value.as_bytes()].concat()
}

/// A value with its type before it.
fn typed(id: u32, encoded: &[u8]) -> Vec<u8> {
    [&id.to_le_bytes()[..], encoded].concat()
}

fn array(element: u32, count: usize, encoded: &[u8]) -> Vec<u8> {
    typed(9, &[&element.to_le_bytes()[..], &(count as u64).to_le_bytes(), encoded].concat())
}

impl Header {
    /// A model with the keys that every architecture has.
    pub fn new(architecture: &'static str, layers: u32, width: u32, context: u32) -> Self {
        let mut header = Self { architecture, ..Self::default() };
        header.set("general.architecture", typed(8, &text(architecture)));
        header.set("tokenizer.ggml.model", typed(8, &text("none")));
        header
            .number("block_count", layers)
            .number("embedding_length", width)
            .number("context_length", context)
            .float("attention.layer_norm_rms_epsilon", 1e-6)
    }

    fn set(&mut self, key: &str, value: Vec<u8>) {
        self.keys.retain(|(name, _)| name != key);
        self.keys.push((key.to_owned(), value));
    }

    fn with(mut self, key: &str, value: Vec<u8>) -> Self {
        self.set(&format!("{}.{key}", self.architecture), value);
        self
    }

    /// A key of the architecture; it replaces an earlier one.
    pub fn number(self, key: &str, value: u32) -> Self {
        self.with(key, typed(4, &value.to_le_bytes()))
    }

    /// Likewise, 64 bits wide.
    pub fn wide(self, key: &str, value: u64) -> Self {
        self.with(key, typed(10, &value.to_le_bytes()))
    }

    /// Likewise, with a fraction.
    pub fn float(self, key: &str, value: f32) -> Self {
        self.with(key, typed(6, &value.to_le_bytes()))
    }

    /// Likewise, one number a layer.
    pub fn numbers(self, key: &str, values: &[u32]) -> Self {
        let encoded: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.with(key, array(4, values.len(), &encoded))
    }

    /// Likewise, one truth value a layer.
    pub fn truths(self, key: &str, values: &[bool]) -> Self {
        let encoded: Vec<u8> = values.iter().map(|v| u8::from(*v)).collect();
        self.with(key, array(7, values.len(), &encoded))
    }

    /// Likewise; signed numbers, as the sections of a rope are.
    fn signed(self, key: &str, values: [i32; 4]) -> Self {
        let encoded: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.with(key, array(5, values.len(), &encoded))
    }

    /// Attention of so many heads, key-value heads and entries a head.
    pub fn heads(self, heads: u32, kv: u32, width: u32) -> Self {
        self.number("attention.head_count", heads)
            .number("attention.head_count_kv", kv)
            .number("attention.key_length", width)
            .number("attention.value_length", width)
    }

    /// A matrix (F16) or a vector (F32).
    pub fn tensor(&mut self, name: impl Into<String>, dims: &[u64]) {
        self.tensors.push((name.into(), dims.to_vec()));
    }

    /// Embedding, last norm and, unless it is the embedding, the output.
    pub fn outside(&mut self, width: u64, vocabulary: u64, tied: bool) {
        let key = format!("{}.vocab_size", self.architecture);
        self.set(&key, typed(4, &(vocabulary as u32).to_le_bytes()));
        self.tensor("token_embd.weight", &[width, vocabulary]);
        self.tensor("output_norm.weight", &[width]);
        if !tied {
            self.tensor("output.weight", &[width, vocabulary]);
        }
    }

    /// Tensors of a layer.
    pub fn layer(&mut self, layer: u32, tensors: &[(&'static str, Vec<u64>)]) {
        for (name, dims) in tensors {
            self.tensor(format!("blk.{layer}.{name}"), dims);
        }
    }

    /// Writes the header and nothing behind it; the bytes that the whole file would have.
    pub fn write(&self, path: &Path) -> u64 {
        let mut out = b"GGUF".to_vec();
        out.extend(3_u32.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.keys.len() as u64).to_le_bytes());
        for (key, value) in &self.keys {
            out.extend(text(key));
            out.extend(value);
        }
        let mut offset = 0_u64;
        for (name, dims) in &self.tensors {
            let half = dims.len() > 1 && name.ends_with(".weight") && !name.contains("conv");
            let bytes = dims.iter().product::<u64>() * if half { 2 } else { 4 };
            out.extend(text(name));
            out.extend((dims.len() as u32).to_le_bytes());
            out.extend(dims.iter().flat_map(|size| size.to_le_bytes()));
            out.extend(u32::from(half).to_le_bytes());
            out.extend(offset.to_le_bytes());
            offset += bytes.next_multiple_of(32);
        }
        fs::write(path, &out).expect("written");
        (out.len() as u64).next_multiple_of(32) + offset
    }
}

/// Attention of a layer: width, heads, key-value heads and entries a head.
pub fn attention(width: u64, heads: u64, kv: u64, head: u64) -> [(&'static str, Vec<u64>); 5] {
    [
        ("attn_norm.weight", vec![width]),
        ("attn_q.weight", vec![width, heads * head]),
        ("attn_k.weight", vec![width, kv * head]),
        ("attn_v.weight", vec![width, kv * head]),
        ("attn_output.weight", vec![heads * head, width]),
    ]
}

/// A gated network of a layer.
pub fn network(width: u64, hidden: u64) -> [(&'static str, Vec<u64>); 4] {
    [
        ("ffn_norm.weight", vec![width]),
        ("ffn_gate.weight", vec![width, hidden]),
        ("ffn_up.weight", vec![width, hidden]),
        ("ffn_down.weight", vec![hidden, width]),
    ]
}

/// Qwen3.6-27B: 64 layers, every fourth of which has full attention, the others a gated delta net.
pub fn qwen36_27b() -> Header {
    qwen35(64, 5120, 17_408, [24, 4, 256], [6144, 128, 48, 16], 248_320, 262_144)
}

/// The same kind with other sizes: heads, key-value heads and their width; inner size, state, time steps and groups.
pub fn qwen35(
    layers: u32,
    width: u32,
    hidden: u32,
    [heads, kv, head]: [u32; 3],
    [inner, state, steps, groups]: [u32; 4],
    vocabulary: u64,
    context: u32,
) -> Header {
    let mut header = Header::new("qwen35", layers, width, context)
        .heads(heads, kv, head)
        .number("feed_forward_length", hidden)
        .number("rope.dimension_count", head / 4)
        .signed("rope.dimension_sections", [11, 11, 10, 0])
        .number("full_attention_interval", 4)
        .number("ssm.conv_kernel", 4)
        .number("ssm.inner_size", inner)
        .number("ssm.state_size", state)
        .number("ssm.time_step_rank", steps)
        .number("ssm.group_count", groups);
    let [width, hidden, heads, kv, head] = [width, hidden, heads, kv, head].map(u64::from);
    let [inner, state, steps, groups] = [inner, state, steps, groups].map(u64::from);
    header.outside(width, vocabulary, false);
    for layer in 0..layers {
        header
            .layer(layer, &[("attn_norm.weight", vec![width]), ("post_attention_norm.weight", vec![width])]);
        if (layer + 1) % 4 == 0 {
            let mut tensors = attention(width, heads, kv, head).to_vec();
            // Queries come with their gates.
            tensors[1].1[1] *= 2;
            tensors.extend([("attn_q_norm.weight", vec![head]), ("attn_k_norm.weight", vec![head])]);
            header.layer(layer, &tensors[1..]);
        } else {
            let channels = 2 * groups * state + inner;
            header.layer(
                layer,
                &[
                    ("attn_qkv.weight", vec![width, channels]),
                    ("attn_gate.weight", vec![width, inner]),
                    ("ssm_conv1d.weight", vec![4, channels]),
                    ("ssm_dt.bias", vec![steps]),
                    ("ssm_a", vec![steps]),
                    ("ssm_beta.weight", vec![width, steps]),
                    ("ssm_alpha.weight", vec![width, steps]),
                    ("ssm_norm.weight", vec![state]),
                ],
            );
            header.tensor(format!("blk.{layer}.ssm_out.weight"), &[inner, width]);
        }
        header.layer(layer, &network(width, hidden)[1..]);
    }
    header
}
