//! The language of a text. IFEval asks `langdetect`, which walks at random over the text's n-grams and, unseeded as the
//! reference runs it, changes its mind about unclear texts from run to run; here the same walk has a seed.

use langdetect::{DetectorFactory, Seed};

/// The walk's seed, so that a verdict can be had again.
const SEED: u128 = 0;

/// The ISO 639-1 code of a text's language (`zh-cn` and `zh-tw` for Chinese), or `unknown`. `None` if there is nothing
/// to tell it by.
pub(super) fn of(text: &str) -> Option<String> {
    let mut detector = DetectorFactory::builtin().create().ok()?;
    detector.seed = Seed::Int(SEED);
    detector.append(text);
    detector.detect().ok()
}
