//! How a text is cut into chunks, and which positions of a chunk are scored.
//!
//! The default is llama-perplexity's convention: chunks side by side, the second half of each scored. For figures
//! of a variant against its base, context lengths are the same on both sides, so nearly every position can be
//! scored instead: twice the tokens for the same decoding. With a stride chunks overlap and every token of the text
//! past the first chunk is scored once, after a context that is nearly the whole chunk.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Below this nothing is left to score: half of a chunk but for its last token is.
pub const LEAST_CTX: u32 = 4;

/// Positions at the beginning of a chunk that `scored = "all"` leaves out: too little context to mean anything.
const WARM_UP: u32 = 16;

/// The `[text]` table of a suite: perplexity of a text in chunks, and KL divergence from the base
/// (llama-perplexity's definitions).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextSuite {
    /// Tokens a chunk.
    #[serde(default = "text_ctx")]
    pub ctx: u32,
    /// Which positions of a chunk are scored.
    #[serde(default, skip_serializing_if = "Scored::is_half")]
    pub scored: Scored,
    /// Tokens between the beginnings of two chunks, of which so many at the end of each are scored; absent: chunks
    /// lie side by side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stride: Option<u32>,
}

/// Which positions of a chunk are scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scored {
    /// The second half, as llama-perplexity does.
    #[default]
    Half,
    /// All past a short warm-up.
    All,
}

impl Scored {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
    fn is_half(&self) -> bool {
        *self == Self::Half
    }
}

fn text_ctx() -> u32 {
    512
}

impl TextSuite {
    /// llama-perplexity's convention.
    pub fn halves(ctx: u32) -> Self {
        Self { ctx, scored: Scored::Half, stride: None }
    }

    /// Whether this is llama-perplexity's convention, in which its files are written.
    pub fn is_halves(&self) -> bool {
        *self == Self::halves(self.ctx)
    }

    /// What is wrong with it and what to do, if anything.
    pub fn check(&self) -> Result<(), (String, &'static str)> {
        let Self { ctx, scored, stride } = self;
        if *ctx < LEAST_CTX {
            let what = format!("a ctx of {ctx}; at least {LEAST_CTX} tokens are needed");
            return Err((what, "raise `ctx`, or leave it out for the default"));
        }
        match stride {
            Some(stride) if *stride == 0 || stride >= ctx => {
                let what = format!("a stride of {stride}, which is not between 1 and {}", ctx - 1);
                Err((what, "a stride is shorter than the context; leave it out for chunks side by side"))
            }
            Some(_) if *scored == Scored::All => {
                let what = "both a stride and `scored = \"all\"`".to_owned();
                Err((what, "a stride says itself which positions are scored; leave one of the two out"))
            }
            _ => Ok(()),
        }
    }

    /// Tokens between the beginnings of two chunks.
    pub fn step(&self) -> u32 {
        self.stride.unwrap_or(self.ctx).max(1)
    }

    /// Positions of a chunk whose next token is scored.
    pub fn positions(&self) -> Range<usize> {
        let end = self.ctx.saturating_sub(1);
        let first = match (self.stride, self.scored) {
            (Some(stride), _) => end.saturating_sub(stride),
            (None, Scored::Half) => self.ctx / 2,
            (None, Scored::All) => WARM_UP.min(self.ctx / 2),
        };
        first.min(end) as usize..end as usize
    }

    /// Scored positions of a chunk.
    pub fn rows(&self) -> u32 {
        self.positions().len() as u32
    }

    /// Chunks of a text of so many tokens. What is left at its end is dropped.
    pub fn chunks(&self, tokens: u64) -> u64 {
        tokens.checked_sub(u64::from(self.ctx)).map_or(0, |rest| rest / u64::from(self.step()) + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_default_is_llama_perplexitys_convention() {
        let text: TextSuite = toml::from_str("").expect("parsed");
        assert_eq!(text, TextSuite::halves(512));
        assert_eq!((text.positions(), text.rows()), (256..511, 255));
        assert_eq!([1023, 1024, 1535, 1536].map(|tokens| text.chunks(tokens)), [1, 2, 2, 3]);
        // What is not said is not in trial ids either.
        assert_eq!(serde_json::to_string(&text).expect("JSON"), r#"{"ctx":512}"#);
    }

    #[test]
    fn all_positions_are_nearly_twice_as_many() {
        let text: TextSuite = toml::from_str("scored = \"all\"").expect("parsed");
        assert_eq!((text.positions(), text.rows()), (16..511, 495));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (toml, what) in [
            ("ctx = 3", "a ctx of 3"),
            ("ctx = 8\nstride = 8", "a stride of 8"),
            ("stride = 0", "a stride of 0"),
            ("stride = 9\nscored = \"all\"", "both a stride"),
        ] {
            let (found, _) = toml::from_str::<TextSuite>(toml).expect("parsed").check().expect_err(toml);
            assert!(found.starts_with(what), "{found}");
        }
    }

    proptest! {
        #[test]
        fn with_a_stride_every_token_past_the_first_chunks_context_is_scored_once(
            (ctx, stride) in (4_u32..200).prop_flat_map(|ctx| (Just(ctx), 1..ctx)),
            tokens in 1_u64..2000,
        ) {
            let text = TextSuite { stride: Some(stride), ..TextSuite::halves(ctx) };
            prop_assert!(text.check().is_ok());
            let chunks = text.chunks(tokens);
            let scored: Vec<u64> = (0..chunks)
                .flat_map(|c| text.positions().map(move |p| c * u64::from(stride) + p as u64 + 1))
                .collect();
            let expected: Vec<u64> =
                (0..scored.len() as u64).map(|i| u64::from(ctx - stride) + i).collect();
            prop_assert_eq!(&scored, &expected);
            prop_assert!(scored.last().is_none_or(|last| *last < tokens));
            // Another chunk would not fit.
            prop_assert!(chunks * u64::from(stride) + u64::from(ctx) > tokens);
        }
    }
}
