//! Prompts sorted by length, so that long ones share neither a context nor a stretch with short ones: how many are
//! answered at once follows from the length alone, the same on every machine, and whatever fits the context that the
//! model was trained for is answered unstretched.

use std::collections::BTreeMap;

use crate::llama::ffi::ContextOptions;
use crate::llama::model::Model;
use crate::units::Bytes;

/// Prompts of so many tokens count as short.
const SHORT: usize = 4096;
/// Cells that long prompts may take together, unless a single one needs more.
const TOGETHER: usize = 32_768;

/// Prompts that are answered with one context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// Positions in the list.
    pub members: Vec<usize>,
    /// Answers at once.
    pub together: u32,
    /// Tokens that the model's context is stretched to; absent where it need not be.
    pub stretched: Option<u32>,
}

/// Sorts prompts, given as their tokens and those with their longest answers, by length, the short ones first.
#[must_use]
pub fn classes(prompts: &[(usize, usize)], trained: u32, parallel: u32) -> Vec<Class> {
    let mut by_length: BTreeMap<(usize, Option<u32>), (usize, Vec<usize>)> = BTreeMap::new();
    for (index, (prompt, need)) in prompts.iter().enumerate() {
        let key = (prompt.next_power_of_two().max(SHORT), stretched(*need, trained));
        let (longest, members) = by_length.entry(key).or_default();
        *longest = (*need).max(*longest);
        members.push(index);
    }
    let class = |((size, stretched), (longest, members)): ((usize, Option<u32>), (usize, Vec<usize>))| {
        let most = if size > SHORT { (TOGETHER / longest).max(1) } else { usize::MAX };
        let together = parallel.min(u32::try_from(most).unwrap_or(u32::MAX));
        Class { members, together, stretched }
    };
    by_length.into_iter().map(class).collect()
}

/// The context times a power of two, if it has to be longer than it was trained for.
fn stretched(need: usize, trained: u32) -> Option<u32> {
    let need = u32::try_from(need).unwrap_or(u32::MAX);
    let times = need.div_ceil(trained.max(1)).next_power_of_two();
    (times > 1 && trained > 0).then(|| trained.saturating_mul(times))
}

/// Why a cache of so many cells clearly does not fit into the memory that is free.
#[must_use]
pub fn too_large(model: &Model, cells: u32, options: ContextOptions, free: Option<u64>) -> Option<String> {
    let (each, free) = (model.cache_bytes(options.kv)?, free?);
    let needed = each * u64::from(cells);
    (needed > free).then(|| {
        let (needed, free) = (Bytes(needed), Bytes(free));
        format!("a KV cache of {cells} tokens takes about {needed}, and {free} of memory are free")
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::llama::ffi::{self, ModelOptions};

    #[test]
    fn short_prompts_are_answered_as_many_at_once_as_asked_for() {
        let short = classes(&[(100, 9000), (4096, 4160), (1, 2)], 16_384, 8);
        assert_eq!(short, [Class { members: vec![0, 1, 2], together: 8, stretched: None }]);
    }

    #[test]
    fn long_ones_are_fewer_and_stretched_only_where_they_must_be() {
        let prompts = [(16_000, 16_064), (900, 1024), (7000, 8192), (65_000, 65_536), (12_000, 12_064)];
        let class =
            |members: &[usize], together, stretched| Class { members: members.to_vec(), together, stretched };
        assert_eq!(
            classes(&prompts, 8192, 8),
            [
                class(&[1], 8, None),
                class(&[2], 4, None),
                class(&[0, 4], 2, Some(16_384)),
                class(&[3], 1, Some(65_536)),
            ]
        );
        assert_eq!(stretched(20_000, 8192), Some(32_768));
        assert_eq!(stretched(5, 0), None);
    }

    #[test]
    fn a_cache_beyond_what_is_free_is_refused_with_its_size() {
        ffi::init();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-f16.gguf");
        let model = Model::load(&path, &ModelOptions::default()).expect("loaded");
        let options = ContextOptions::PLAIN;
        let each = model.cache_bytes(options.kv).expect("known");
        let refused = |free| too_large(&model, 1 << 20, options, free);
        let reason = refused(Some((each << 20) - 1)).expect("too large");
        assert!(
            reason.starts_with("a KV cache of 1048576 tokens takes about ")
                && reason.ends_with(" of memory are free"),
            "{reason}"
        );
        assert_eq!((refused(Some(each << 20)), refused(None)), (None, None));
    }
}
