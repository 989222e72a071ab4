//! Small models of every kind of memory, as headers without weights.

use crate::header::{Header, attention, network, qwen35};

/// A small one of every kind of memory: name and header.
pub fn kinds() -> Vec<(&'static str, Header)> {
    vec![
        ("dense", llama(&[4; 6])),
        ("heads by layer", deci(&[4, 2, 1, 2, 4, 1])),
        ("sliding window", gemma3()),
        ("mixture of experts", qwen3moe()),
        ("hybrid", qwen35(8, 512, 1024, [4, 2, 64], [512, 64, 8, 4], 4096, 32_768)),
        ("hybrid by a list", listed()),
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
    transformer(&mut header, kv);
    header
}

fn transformer(header: &mut Header, kv: &[u32]) {
    header.outside(512, 4096, true);
    for (layer, kv) in kv.iter().enumerate() {
        header.layer(layer as u32, &attention(512, 8, u64::from(*kv), 64));
        header.layer(layer as u32, &network(512, 1024));
    }
}

/// The same with key-value heads that differ from layer to layer.
fn deci(kv: &[u32]) -> Header {
    let layers = kv.len();
    let mut header = Header::new("deci", layers as u32, 512, 32_768)
        .heads(8, 4, 64)
        .numbers("attention.head_count", &vec![8; layers])
        .numbers("attention.head_count_kv", kv)
        .numbers("feed_forward_length", &vec![1024; layers])
        .number("rope.dimension_count", 64);
    transformer(&mut header, kv);
    header
}

fn gemma3() -> Header {
    let mut header = Header::new("gemma3", 12, 512, 32_768)
        .heads(4, 2, 128)
        .number("feed_forward_length", 1024)
        .number("attention.sliding_window", 1024);
    header.outside(512, 4096, true);
    for layer in 0..12 {
        header.layer(layer, &attention(512, 4, 2, 128));
        header.layer(layer, &network(512, 1024));
        let norms = ["post_attention_norm.weight", "post_ffw_norm.weight"].map(|name| (name, vec![512]));
        header.layer(layer, &norms);
        header.layer(layer, &[("attn_q_norm.weight", vec![128]), ("attn_k_norm.weight", vec![128])]);
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
        header.layer(layer, &attention(512, 8, 2, 64));
        header.layer(
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

/// The list of layers with a state counts, whatever the interval says.
fn listed() -> Header {
    let state: Vec<bool> = (1..=8).map(|layer| layer % 4 != 0).collect();
    qwen35(8, 512, 1024, [4, 2, 64], [512, 64, 8, 4], 4096, 32_768)
        .number("full_attention_interval", 3)
        .truths("attention.recurrent_layers", &state)
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
        header.layer(
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
        header.layer(layer, &attention(512, 8, 2, 64));
        header.layer(layer, &network(512, 1024)[1..]);
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
        header.layer(layer, &mamba_layer(512));
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
            header.layer(layer, &mamba_layer(512));
            let norms = [
                ("ssm_dt_norm.weight", vec![32]),
                ("ssm_b_norm.weight", vec![16]),
                ("ssm_c_norm.weight", vec![16]),
            ];
            header.layer(layer, &norms);
        } else {
            header.layer(layer, &attention(512, 8, u64::from(*kv), 64));
        }
        header.layer(layer, &network(512, 1024));
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
        header.layer(
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
        header.layer(layer, &network(512, 1024));
    }
    header
}

fn lfm2() -> Header {
    let kv = [0, 0, 2, 0, 2];
    let header = Header::new("lfm2", 5, 512, 32_768)
        .number("attention.head_count", 8)
        .numbers("attention.head_count_kv", &kv)
        .number("feed_forward_length", 1024)
        .number("shortconv.l_cache", 3);
    // Its last norm has the embedding's name.
    let mut header = header.number("vocab_size", 4096);
    header.tensor("token_embd.weight", &[512, 4096]);
    header.tensor("token_embd_norm.weight", &[512]);
    for (layer, kv) in kv.iter().enumerate() {
        let layer = layer as u32;
        if *kv == 0 {
            header.layer(
                layer,
                &[
                    ("attn_norm.weight", vec![512]),
                    ("shortconv.conv.weight", vec![3, 512]),
                    ("shortconv.in_proj.weight", vec![512, 3 * 512]),
                    ("shortconv.out_proj.weight", vec![512, 512]),
                ],
            );
        } else {
            header.layer(layer, &attention(512, 8, u64::from(*kv), 64));
            header.layer(layer, &[("attn_q_norm.weight", vec![64]), ("attn_k_norm.weight", vec![64])]);
        }
        header.layer(layer, &network(512, 1024));
    }
    header
}
