//! The arithmetic, on headers without weights. That llama.cpp allocates the same is the integration tests' to say.

use super::*;
use crate::gguf::{self, TensorType};
use header::Header;
use proptest::prelude::*;

#[path = "../../../tests/integration/header.rs"]
mod header;

const MIB: f64 = 1_048_576.0;

fn shape(header: &Header) -> Result<Shape, FitError> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("header.gguf");
    header.write(&path);
    Shape::of(&gguf::open_header(&path).expect("a header"))
}

fn kv(k: &str, v: &str) -> Kv {
    let find = |name| TensorType::from_name(name).expect("a type");
    Kv { k: find(k), v: find(v) }
}

fn setting(ctx: u64, parallel: u64, types: &str) -> Setting {
    Setting { ctx, parallel, kv: kv(types, types) }
}

/// Attention with 2 key-value heads of 64: 512 bytes a token and layer at f16.
fn plain(architecture: &'static str, layers: u32) -> Header {
    Header::new(architecture, layers, 512, 32_768)
        .number("attention.head_count", 8)
        .number("attention.head_count_kv", 2)
        .number("feed_forward_length", 1024)
}

/// Which layers keep keys, and which of those only a window's.
fn pattern(header: &Header) -> String {
    let letter = |layer: &Layer| match (layer.key > 0, layer.windowed, layer.state > 0) {
        (true, true, false) => 'w',
        (true, false, false) => 'k',
        (false, _, true) => 's',
        (true, false, true) => 'b',
        (false, _, false) => '-',
        (true, true, true) => '?',
    };
    shape(header).expect("a shape").layers.iter().map(letter).collect()
}

#[test]
fn the_27b_is_as_its_makers_say() {
    let shape = shape(&header::qwen36_27b()).expect("a shape");
    assert_eq!((shape.layers.len(), shape.attention_layers()), (64, 16));
    let token = |types| shape.token_bytes(kv(types, types)) / 1024;
    assert_eq!([token("F16"), token("Q8_0"), token("Q4_0")], [64, 34, 18]);
    assert!((shape.state_bytes(1) as f64 / MIB - 149.6).abs() < 0.05, "{}", shape.state_bytes(1));
    assert_eq!(shape.kv_bytes(&setting(131_072, 1, "F16")), 8 << 30);
    assert_eq!(shape.kv_bytes(&setting(32_768, 4, "Q8_0")), 4 * 32_768 * 34 * 1024);
    assert_eq!((shape.vocabulary, shape.width, shape.feed_forward), (248_320, 5120, 17_408));
}

#[test]
fn cells_are_rounded_up_and_windows_have_their_own() {
    let dense = shape(&plain("llama", 6)).expect("a shape");
    let cells = |shape: &Shape, ctx, parallel| shape.kv_bytes(&setting(ctx, parallel, "F16")) / 512;
    assert_eq!(
        [cells(&dense, 1, 1), cells(&dense, 257, 1), cells(&dense, 257, 3)],
        [6 * 256, 6 * 512, 18 * 512]
    );
    let window = shape(&plain("gemma3", 6).number("attention.sliding_window", 1000)).expect("a shape");
    // 5 windows of 1000 and a batch of 512, rounded to 1536; 1 of all.
    assert_eq!(cells(&window, 8192, 1), 5 * 1536 + 8192);
    assert_eq!(cells(&window, 8192, 2), 2 * (5 * 1536 + 8192));
    assert_eq!(cells(&window, 1024, 1), 6 * 1024, "no window is longer than the context");
    assert_eq!(
        window.token_bytes(kv("F16", "F16")),
        512,
        "a further token costs only the layer without a window"
    );
}

#[test]
fn windows_go_by_the_architecture() {
    let with = |architecture, layers| plain(architecture, layers).number("attention.sliding_window", 512);
    assert_eq!(pattern(&with("gemma3", 12)), "wwwwwkwwwwwk");
    assert_eq!(pattern(&with("gpt-oss", 4)), "wkwk");
    assert_eq!(pattern(&with("cohere2moe", 8)), "kwwwkwww");
    assert_eq!(pattern(&plain("gemma2", 4)), "wkwk", "4096 without a key");
    assert_eq!(pattern(&plain("gemma3", 4)), "kkkk");
    assert_eq!(pattern(&plain("llama4", 4)), "wwwk", "8192 without a key");
    assert_eq!(pattern(&plain("llama4", 4).number("attention.sliding_window", 0)), "kkkk");
    assert_eq!(pattern(&with("phi3", 4)), "kkkk", "llama.cpp does not use what that header says");
    assert_eq!(pattern(&with("exaone4", 30)).matches('w').count(), 0);
    assert_eq!(pattern(&with("exaone4", 64)).matches('w').count(), 48);
    let listed = with("gemma4", 4).truths("attention.sliding_window_pattern", &[true, false, false, true]);
    assert_eq!(pattern(&listed), "wkkw");
    assert_eq!(pattern(&listed.number("attention.shared_kv_layers", 2)), "wk--");
    assert_eq!(pattern(&with("gemma3", 4).number("attention.sliding_window_pattern", 2)), "wkwk");
    assert_eq!(
        pattern(&with("gemma3n", 22)),
        "wwwwkwwwwkwwwwkwwwwk--",
        "the last share the tokens of others"
    );
}

#[test]
fn states_go_by_the_architecture() {
    let states = |architecture, layers| {
        plain(architecture, layers)
            .number("ssm.conv_kernel", 4)
            .number("ssm.inner_size", 1024)
            .number("ssm.state_size", 16)
    };
    assert_eq!(pattern(&states("mamba", 3)), "sss");
    assert_eq!(pattern(&states("falcon-h1", 3)), "bbb");
    assert_eq!(pattern(&states("qwen3next", 8)), "sssksssk");
    assert_eq!(pattern(&states("qwen35", 6).number("full_attention_interval", 3)), "sskssk");
    let listed = states("qwen35moe", 3).truths("attention.recurrent_layers", &[false, true, false]);
    assert_eq!(pattern(&listed), "ksk");
    let kv = [0, 2, 0, 0];
    assert_eq!(pattern(&states("granitehybrid", 4).numbers("attention.head_count_kv", &kv)), "skss");
    let networks = states("nemotron_h", 4).numbers("attention.head_count_kv", &kv);
    assert_eq!(pattern(&networks.numbers("feed_forward_length", &[0, 0, 64, 0])), "sk-s");
    assert_eq!(pattern(&plain("bert", 2)), "--");
    assert_eq!(pattern(&plain("glm4moe", 4).number("nextn_predict_layers", 1)), "kkk-");
    let state = |header: &Header| shape(header).expect("a shape").state_bytes(1) / 4;
    assert_eq!(state(&states("mamba", 1)), 3 * 1024 + 16 * 1024);
    assert_eq!(state(&states("mamba2", 1).number("ssm.group_count", 8)), 3 * (1024 + 2 * 8 * 16) + 16 * 1024);
    assert_eq!(state(&plain("rwkv6", 1).number("wkv.head_size", 64)), 2 * 512 + 512 * 64);
    assert_eq!(state(&plain("kimi-linear", 1).number("kda.head_dim", 64)), 0, "its layer has heads");
}

#[test]
fn latent_attention_keeps_no_values() {
    let header = plain("deepseek2", 2)
        .number("attention.head_count_kv", 1)
        .number("attention.key_length", 576)
        .number("attention.value_length", 512);
    let token = |header: &Header| shape(header).expect("a shape").token_bytes(kv("F16", "F16"));
    assert_eq!(token(&header), 2 * 2 * (576 + 512));
    let latent = header.number("attention.key_length_mla", 192).number("attention.value_length_mla", 128);
    assert_eq!(token(&latent), 2 * 2 * 576);
}

#[test]
fn types_must_divide_the_heads() {
    let shape = shape(&plain("llama", 2).number("attention.key_length", 48)).expect("a shape");
    assert_eq!(shape.check_kv(kv("F16", "Q8_0")), Ok(()));
    let error = shape.check_kv(kv("Q8_0", "F16")).expect_err("48 are no blocks of 32");
    assert_eq!(error, FitError::KvType { kind: "q8_0", width: 48, block: 32 });
}

#[test]
fn hostile_numbers_are_refused_or_saturate() {
    let layers = |n| shape(&plain("llama", 1).wide("block_count", n)).expect_err("refused");
    for n in [0, 513, u64::MAX] {
        assert_eq!(layers(n), FitError::Layers { key: "llama.block_count".to_owned(), found: n, most: 512 });
    }
    let missing = shape(&Header::new("llama", 2, 512, 1024)).expect_err("refused");
    assert_eq!(missing, FitError::Missing { key: "llama.attention.head_count".to_owned() });
    let huge = plain("llama", 2)
        .wide("attention.head_count_kv", u64::MAX)
        .wide("attention.key_length", u64::MAX - 15);
    let shape = shape(&huge).expect("a shape");
    assert_eq!(shape.kv_bytes(&setting(u64::MAX, u64::MAX, "F16")), u64::MAX);
    assert!(Compute::Estimate.bytes(&shape, u64::MAX, u64::MAX) > 1 << 60);
}

proptest! {
    #[test]
    fn no_header_makes_it_panic_and_longer_is_never_less(
        architecture in prop::sample::select(vec!["llama", "gemma3", "qwen35", "mamba", "falcon-h1", "lfm2", "minimax-01", "gemma4", "kimi-linear", "rwkv7"]),
        numbers in prop::collection::vec(prop_oneof![0_u64..70, any::<u64>()], 12),
        ctx in any::<u64>(),
        parallel in 1_u64..300,
    ) {
        let keys = [
            "attention.head_count", "attention.head_count_kv", "attention.key_length", "attention.sliding_window",
            "attention.sliding_window_pattern", "full_attention_interval", "nextn_predict_layers", "ssm.inner_size",
            "ssm.state_size", "shortconv.l_cache", "kda.head_dim", "attention.shared_kv_layers",
        ];
        let filled = keys.iter().zip(&numbers).fold(Header::new(architecture, 5, 512, 1024), |h, (key, n)| h.wide(key, *n));
        let shape = shape(&filled).expect("a shape");
        let at = |ctx| shape.kv_bytes(&setting(ctx, parallel, "F16"));
        prop_assert!(at(ctx) >= at(ctx / 2));
        prop_assert!(shape.state_bytes(parallel) >= shape.state_bytes(1));
    }
}

#[test]
fn the_answer_of_a_row_adds_up() {
    let shape = shape(&header::qwen36_27b()).expect("a shape");
    let gib = |n: f64| (n * 1024.0 * MIB) as u64;
    let weights = WeightBytes {
        total: gib(14.2),
        bpw: 4.5,
        layers: vec![gib(0.2); 64],
        output: gib(0.7),
        input: gib(0.7),
    };
    let points = [1024, 262_144].map(|ctx| LaidOut {
        ctx,
        kv_bytes: shape.kv_bytes(&setting(ctx, 1, "F16")),
        state_bytes: shape.state_bytes(1),
        compute_bytes: 512 << 20,
    });
    let computes = [Compute::LaidOut(points.to_vec())];
    let row = |ctx, margin: f64| {
        let budget = Budget { gpu: Some(24 << 30), ram: None, margin: gib(margin) };
        let variant = Variant {
            recipe: "IQ4_XS".to_owned(),
            weights: Ok(weights.clone()),
            kv: kv("F16", "F16"),
            compute: 0,
            note: String::new(),
        };
        let measured = Measured { shape: &shape, computes: &computes, ctx, parallel: 1, budget };
        rows(&measured, &[variant]).remove(0)
    };
    for ctx in [32_768, 65_536] {
        assert!(row(ctx, 1.0).fits);
    }
    // At 128K the margin decides.
    let tight = row(131_072, 1.0);
    assert_eq!(tight.total_bytes, Some(gib(14.2) + (8 << 30) + shape.state_bytes(1) + (512 << 20)));
    assert_eq!((tight.fits, tight.kv_source, tight.place), (true, "header", Place::Gpu));
    let wide = row(131_072, 1.5);
    assert_eq!((wide.fits, wide.place), (false, Place::Split));
    let longest = wide.max_ctx.expect("some");
    let total = |ctx| row(ctx, 1.5).total_bytes.expect("some") + gib(1.5);
    assert!(total(longest) <= 24 << 30 && total(longest + 1) > 24 << 30, "{longest}");
    // All layers go to the GPU as long as the embedding stays behind, and not with 8 GiB more of cache.
    assert_eq!(wide.gpu_layers, Some(65));
    assert_eq!(wide.note, "all layers fit the GPU, the embedding stays in RAM");
    assert_eq!(tight.note, "");
    let longer = row(262_144, 1.5);
    assert!(longer.gpu_layers < Some(65) && longer.gpu_layers > Some(32), "{:?}", longer.gpu_layers);
}
