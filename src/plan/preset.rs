//! Recipes that come with the program: mixes in the spirit of those that circulate, as the recipe files in
//! `presets/`, embedded. Whoever wants another starts from one of them: `bitfrontier recipes show NAME`.

/// A recipe file that comes with the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset {
    /// Its name: the file's stem.
    pub name: &'static str,
    /// The file.
    pub text: &'static str,
}

/// From many bits to few.
pub const PRESETS: [Preset; 6] = [
    Preset { name: "Q6_K-io8", text: include_str!("presets/Q6_K-io8.toml") },
    Preset { name: "Q4_K_M-io8", text: include_str!("presets/Q4_K_M-io8.toml") },
    Preset { name: "attn6-ffn4", text: include_str!("presets/attn6-ffn4.toml") },
    Preset { name: "edges6-core4", text: include_str!("presets/edges6-core4.toml") },
    Preset { name: "attn5-ffn3", text: include_str!("presets/attn5-ffn3.toml") },
    Preset { name: "experts3", text: include_str!("presets/experts3.toml") },
];

/// A preset by its name, in any case.
pub fn find(name: &str) -> Option<Preset> {
    PRESETS.iter().find(|p| p.name.eq_ignore_ascii_case(name)).copied()
}

/// All names.
pub fn names() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().map(|p| p.name)
}
