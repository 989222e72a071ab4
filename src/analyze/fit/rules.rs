//! What each architecture keeps while it runs, where its header alone does not say it: which layers look back only so
//! far, which keep a state instead of tokens, which keep nothing. Read from `load_arch_hparams` in llama.cpp's
//! `src/models/*.cpp` and from `llama_model::create_memory`. An architecture that is not named here keeps keys and
//! values of all tokens in all layers, as most do, whatever its header says of windows: llama.cpp does not look.

/// What the layers of an architecture keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeps {
    /// Nothing: it reads a text in one go.
    Nothing,
    /// Keys and values in all layers.
    Tokens,
    /// A state in all layers.
    State,
    /// Both in all layers.
    Both,
    /// A state in layers without key-value heads.
    StateWithoutHeads,
    /// As before, and layers with a feed-forward network keep nothing at all.
    StateWithoutHeadsAndNetwork,
    /// A state in all layers but every so many; the number is the default.
    StateBetween(u64),
}

/// Where a window begins and which layers have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Windows {
    /// Tokens where the header has no number.
    pub default: u64,
    /// Tokens whatever number the header has, unless it is 0.
    pub fixed: Option<u64>,
    /// One layer in so many looks at everything.
    pub period: u64,
    /// It is the first of them, not the last.
    pub dense_first: bool,
    /// Only models of so many layers have windows.
    pub only_layers: Option<u64>,
}

/// The rules of one architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rules {
    pub keeps: Keeps,
    pub windows: Option<Windows>,
    /// Layers that predict further tokens keep nothing in ordinary decoding.
    pub trunk_only: bool,
    /// Whether this is all that llama.cpp keeps; some have further caches that are not computed here.
    pub complete: bool,
}

const fn windows(period: u64, dense_first: bool, default: u64) -> Windows {
    Windows { default, fixed: None, period, dense_first, only_layers: None }
}

/// The rules of an architecture, by its name in GGUF files.
pub(super) fn of(architecture: &str) -> Rules {
    let keeps = keeps(architecture);
    let hybrid = !matches!(keeps, Keeps::Tokens | Keeps::Nothing);
    Rules {
        keeps,
        windows: windows_of(architecture),
        trunk_only: !hybrid || matches!(keeps, Keeps::StateBetween(_)),
        complete: !FURTHER_CACHES.contains(&architecture),
    }
}

/// Architectures with caches of an indexer, of compressed tokens, or with layers that run several times.
const FURTHER_CACHES: [&str; 11] = [
    "deepseek32",
    "deepseek4",
    "dflash",
    "dots3note",
    "gemma4-assistant",
    "glm-dsa",
    "glm5-next",
    "hy_v4",
    "minimax-m3",
    "nanbeige",
    "qwen4exp",
];

fn keeps(architecture: &str) -> Keeps {
    match architecture {
        "bert" | "jina-bert-v2" | "jina-bert-v3" | "nomic-bert" | "nomic-bert-moe" | "neo-bert"
        | "eurobert" | "modern-bert" | "gemma-embedding" | "dream" | "llada" | "llada-moe" | "rnd1"
        | "clef" | "wavtokenizer-dec" => Keeps::Nothing,
        "mamba" | "mamba2" | "rwkv6" | "rwkv6qwen2" | "rwkv7" | "arwkv7" => Keeps::State,
        "falcon-h1" => Keeps::Both,
        "jamba" | "granitehybrid" | "plamo2" | "lfm2" | "lfm2moe" | "kimi-linear" | "kimi-k3"
        | "bailingmoe3" | "glm5-next" => Keeps::StateWithoutHeads,
        "nemotron_h" | "nemotron_h_moe" => Keeps::StateWithoutHeadsAndNetwork,
        "qwen3next" | "qwen35" | "qwen35moe" | "qwen4exp" => Keeps::StateBetween(4),
        "minimax-01" => Keeps::StateBetween(8),
        _ => Keeps::Tokens,
    }
}

fn windows_of(architecture: &str) -> Option<Windows> {
    Some(match architecture {
        "afmoe" | "cohere2" | "exaone-moe" | "mellum" | "muse-glimmer" | "olmo2" => windows(4, false, 0),
        "cohere2moe" | "laguna" => windows(4, true, 0),
        "exaone4" => Windows { only_layers: Some(64), ..windows(4, false, 4096) },
        "gemma2" => windows(2, false, 4096),
        "gemma3" => windows(6, false, 0),
        "gemma3n" => windows(5, false, 0),
        "gpt-oss" => windows(2, false, 0),
        "llama4" => Windows { fixed: Some(8192), ..windows(4, false, 8192) },
        "plamo3" => windows(8, false, 0),
        "smallthinker" => Windows { fixed: Some(4096), ..windows(4, true, 0) },
        // The header lists the layers.
        "dots3note" | "gemma4" | "granite_swa" | "maple" | "mimo2" | "spark2_5" | "step35" => {
            windows(1, false, 0)
        }
        // All layers with attention.
        "lfm2" | "lfm2moe" => windows(0, false, 0),
        _ => return None,
    })
}
