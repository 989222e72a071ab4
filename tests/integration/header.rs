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

    fn heads(self, heads: u32, kv: u32, width: u32) -> Self {
        self.number("attention.head_count", heads)
            .number("attention.head_count_kv", kv)
            .number("attention.key_length", width)
            .number("attention.value_length", width)
    }

    /// A matrix (F16) or a vector (F32).
    fn tensor(&mut self, name: impl Into<String>, dims: &[u64]) {
        self.tensors.push((name.into(), dims.to_vec()));
    }

    fn outside(&mut self, width: u64, vocabulary: u64, tied: bool) {
        let key = format!("{}.vocab_size", self.architecture);
        self.set(&key, typed(4, &(vocabulary as u32).to_le_bytes()));
        self.tensor("token_embd.weight", &[width, vocabulary]);
        self.tensor("output_norm.weight", &[width]);
        if !tied {
            self.tensor("output.weight", &[width, vocabulary]);
        }
    }

    fn layer(&mut self, layer: u32, tensors: &[(&str, &[u64])]) {
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
            dims.iter().for_each(|size| out.extend(size.to_le_bytes()));
            out.extend(u32::from(half).to_le_bytes());
            out.extend(offset.to_le_bytes());
            offset += bytes.next_multiple_of(32);
        }
        fs::write(path, &out).expect("written");
        (out.len() as u64).next_multiple_of(32) + offset
    }
}

fn attention(width: u64, heads: u64, kv: u64, head: u64) -> [(&'static str, Vec<u64>); 5] {
    [
        ("attn_norm.weight", vec![width]),
        ("attn_q.weight", vec![width, heads * head]),
        ("attn_k.weight", vec![width, kv * head]),
        ("attn_v.weight", vec![width, kv * head]),
        ("attn_output.weight", vec![heads * head, width]),
    ]
}

fn add(header: &mut Header, layer: u32, tensors: &[(&'static str, Vec<u64>)]) {
    let borrowed: Vec<(&str, &[u64])> = tensors.iter().map(|(name, dims)| (*name, &dims[..])).collect();
    header.layer(layer, &borrowed);
}

fn network(width: u64, hidden: u64) -> [(&'static str, Vec<u64>); 4] {
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
fn qwen35(
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
        add(
            &mut header,
            layer,
            &[("attn_norm.weight", vec![width]), ("post_attention_norm.weight", vec![width])],
        );
        if (layer + 1) % 4 == 0 {
            let mut tensors = attention(width, heads, kv, head).to_vec();
            // Queries come with their gates.
            tensors[1].1[1] *= 2;
            tensors.extend([("attn_q_norm.weight", vec![head]), ("attn_k_norm.weight", vec![head])]);
            add(&mut header, layer, &tensors[1..]);
        } else {
            let channels = 2 * groups * state + inner;
            add(
                &mut header,
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
        add(&mut header, layer, &network(width, hidden)[1..]);
    }
    header
}

/// A small one of every kind of memory: name and header.
pub fn kinds() -> Vec<(&'static str, Header)> {
    vec![
        ("dense", llama(&[4; 6])),
        ("heads by layer", deci(&[4, 2, 1, 2, 4, 1])),
        ("sliding window", gemma3()),
        ("mixture of experts", qwen3moe()),
        ("hybrid", qwen35(8, 512, 1024, [4, 2, 64], [512, 64, 8, 4], 4096, 32_768)),
        ("hybrid in each layer", falcon_h1()),
        ("recurrent", mamba()),
        ("hybrid by heads", jamba()),
        ("latent", deepseek2()),
        ("short convolution", lfm2()),
    ]
}

/// Attention and a network in every layer.
fn llama(kv: &[u32]) -> Header {
    let mut header = Header::new("llama", kv.len() as u32, 512, 32_768)
        .heads(8, kv[0], 64)
        .number("feed_forward_length", 1024)
        .number("rope.dimension_count", 64);
    header.outside(512, 4096, true);
    for (layer, kv) in kv.iter().enumerate() {
        add(&mut header, layer as u32, &attention(512, 8, u64::from(*kv), 64));
        add(&mut header, layer as u32, &network(512, 1024));
    }
    header
}

/// The same with key-value heads that differ from layer to layer.
fn deci(kv: &[u32]) -> Header {
    let mut header = llama(kv);
    header.keys.retain(|(key, _)| key.starts_with("tokenizer"));
    header.architecture = "deci";
    header.set("general.architecture", typed(8, &text("deci")));
    let layers = kv.len();
    header
        .number("block_count", layers as u32)
        .number("embedding_length", 512)
        .number("context_length", 32_768)
        .number("vocab_size", 4096)
        .float("attention.layer_norm_rms_epsilon", 1e-6)
        .number("attention.key_length", 64)
        .number("attention.value_length", 64)
        .number("rope.dimension_count", 64)
        .numbers("attention.head_count", &vec![8; layers])
        .numbers("attention.head_count_kv", kv)
        .numbers("feed_forward_length", &vec![1024; layers])
}

fn gemma3() -> Header {
    let mut header = Header::new("gemma3", 12, 512, 32_768)
        .heads(4, 2, 128)
        .number("feed_forward_length", 1024)
        .number("attention.sliding_window", 1024);
    header.outside(512, 4096, true);
    for layer in 0..12 {
        add(&mut header, layer, &attention(512, 4, 2, 128));
        add(&mut header, layer, &network(512, 1024));
        let norms = ["post_attention_norm.weight", "post_ffw_norm.weight"].map(|name| (name, vec![512]));
        add(&mut header, layer, &norms);
        add(&mut header, layer, &[("attn_q_norm.weight", vec![128]), ("attn_k_norm.weight", vec![128])]);
    }
    header
}

fn qwen3moe() -> Header {
    let mut header = Header::new("qwen3moe", 4, 512, 32_768)
        .heads(8, 2, 64)
        .number("feed_forward_length", 1024)
        .number("expert_count", 16)
        .number("expert_used_count", 2)
        .number("expert_feed_forward_length", 256);
    header.outside(512, 4096, false);
    for layer in 0..4 {
        add(&mut header, layer, &attention(512, 8, 2, 64));
        add(
            &mut header,
            layer,
            &[
                ("attn_q_norm.weight", vec![64]),
                ("attn_k_norm.weight", vec![64]),
                ("ffn_norm.weight", vec![512]),
                ("ffn_gate_inp.weight", vec![512, 16]),
                ("ffn_gate_exps.weight", vec![512, 256, 16]),
                ("ffn_down_exps.weight", vec![256, 512, 16]),
                ("ffn_up_exps.weight", vec![512, 256, 16]),
            ],
        );
    }
    header
}

fn falcon_h1() -> Header {
    let mut header = Header::new("falcon-h1", 4, 512, 32_768)
        .heads(8, 2, 64)
        .number("feed_forward_length", 1024)
        .number("ssm.conv_kernel", 4)
        .number("ssm.inner_size", 1024)
        .number("ssm.state_size", 128)
        .number("ssm.time_step_rank", 16)
        .number("ssm.group_count", 1);
    header.outside(512, 4096, false);
    for layer in 0..4 {
        let channels = 1024 + 2 * 128;
        header.tensor(format!("blk.{layer}.ssm_in.weight"), &[512, 1024 + channels + 16]);
        add(
            &mut header,
            layer,
            &[
                ("ssm_conv1d.weight", vec![4, channels]),
                ("ssm_conv1d.bias", vec![channels]),
                ("ssm_dt.bias", vec![16]),
                ("ssm_a", vec![1, 16]),
                ("ssm_d", vec![1, 16]),
                ("ssm_norm.weight", vec![1024, 1]),
                ("ssm_out.weight", vec![1024, 512]),
                // Without the ending, as llama.cpp's loader asks for it.
                ("ffn_norm", vec![512]),
            ],
        );
        add(&mut header, layer, &attention(512, 8, 2, 64));
        add(&mut header, layer, &network(512, 1024)[1..]);
    }
    header
}

fn mamba_layer(width: u64) -> [(&'static str, Vec<u64>); 10] {
    let inner = 2 * width;
    [
        ("attn_norm.weight", vec![width]),
        ("ssm_in.weight", vec![width, 2 * inner]),
        ("ssm_conv1d.weight", vec![4, inner]),
        ("ssm_conv1d.bias", vec![inner]),
        ("ssm_x.weight", vec![inner, 32 + 2 * 16]),
        ("ssm_dt.weight", vec![32, inner]),
        ("ssm_dt.bias", vec![inner]),
        ("ssm_a", vec![16, inner]),
        ("ssm_d", vec![inner]),
        ("ssm_out.weight", vec![inner, width]),
    ]
}

fn with_mamba(header: Header, width: u32) -> Header {
    header
        .number("ssm.conv_kernel", 4)
        .number("ssm.inner_size", 2 * width)
        .number("ssm.state_size", 16)
        .number("ssm.time_step_rank", 32)
}

fn mamba() -> Header {
    let mut header = with_mamba(Header::new("mamba", 8, 512, 32_768), 512)
        .number("attention.head_count", 0)
        .number("feed_forward_length", 0);
    header.outside(512, 4096, true);
    for layer in 0..8 {
        add(&mut header, layer, &mamba_layer(512));
    }
    header
}

fn jamba() -> Header {
    let kv = [0, 0, 2, 0, 0, 2];
    let mut header = with_mamba(Header::new("jamba", 6, 512, 32_768), 512)
        .number("attention.head_count", 8)
        .numbers("attention.head_count_kv", &kv)
        .number("feed_forward_length", 1024);
    header.outside(512, 4096, false);
    for (layer, kv) in kv.iter().enumerate() {
        let layer = layer as u32;
        if *kv == 0 {
            add(&mut header, layer, &mamba_layer(512));
            let norms = [
                ("ssm_dt_norm.weight", vec![32]),
                ("ssm_b_norm.weight", vec![16]),
                ("ssm_c_norm.weight", vec![16]),
            ];
            add(&mut header, layer, &norms);
        } else {
            add(&mut header, layer, &attention(512, 8, u64::from(*kv), 64));
        }
        add(&mut header, layer, &network(512, 1024));
    }
    header
}

fn deepseek2() -> Header {
    let mut header = Header::new("deepseek2", 4, 512, 32_768)
        .number("attention.head_count", 8)
        .number("attention.head_count_kv", 1)
        .number("attention.key_length", 256 + 64)
        .number("attention.value_length", 256)
        .number("attention.key_length_mla", 128 + 64)
        .number("attention.value_length_mla", 128)
        .number("attention.q_lora_rank", 192)
        .number("attention.kv_lora_rank", 256)
        .number("rope.dimension_count", 64)
        .number("feed_forward_length", 1024)
        .number("leading_dense_block_count", 4)
        .number("expert_count", 8)
        .number("expert_used_count", 2)
        .number("expert_shared_count", 1)
        .number("expert_feed_forward_length", 256);
    header.outside(512, 4096, false);
    for layer in 0..4 {
        add(
            &mut header,
            layer,
            &[
                ("attn_norm.weight", vec![512]),
                ("attn_q_a_norm.weight", vec![192]),
                ("attn_kv_a_norm.weight", vec![256]),
                ("attn_q_a.weight", vec![512, 192]),
                ("attn_q_b.weight", vec![192, 8 * 192]),
                ("attn_kv_a_mqa.weight", vec![512, 256 + 64]),
                ("attn_k_b.weight", vec![128, 256, 8]),
                ("attn_v_b.weight", vec![256, 128, 8]),
                ("attn_output.weight", vec![8 * 128, 512]),
            ],
        );
        add(&mut header, layer, &network(512, 1024));
    }
    header
}

fn lfm2() -> Header {
    let kv = [0, 0, 2, 0, 2];
    let mut header = Header::new("lfm2", 5, 512, 32_768)
        .number("attention.head_count", 8)
        .numbers("attention.head_count_kv", &kv)
        .number("feed_forward_length", 1024)
        .number("shortconv.l_cache", 3);
    header.outside(512, 4096, true);
    header.tensors.retain(|(name, _)| name != "output_norm.weight");
    header.tensor("token_embd_norm.weight", &[512]);
    for (layer, kv) in kv.iter().enumerate() {
        let layer = layer as u32;
        if *kv == 0 {
            add(
                &mut header,
                layer,
                &[
                    ("attn_norm.weight", vec![512]),
                    ("shortconv.conv.weight", vec![3, 512]),
                    ("shortconv.in_proj.weight", vec![512, 3 * 512]),
                    ("shortconv.out_proj.weight", vec![512, 512]),
                ],
            );
        } else {
            add(&mut header, layer, &attention(512, 8, u64::from(*kv), 64));
            add(&mut header, layer, &[("attn_q_norm.weight", vec![64]), ("attn_k_norm.weight", vec![64])]);
        }
        add(&mut header, layer, &network(512, 1024));
    }
    header
}
