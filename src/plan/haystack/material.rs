//! What haystacks are made of: plain words of our own choosing, put together by rule, so that there is no end of
//! sentences and none of them tells anything.

use std::collections::BTreeSet;

use super::random::Draw;

const WHO: [&str; 24] = [
    "baker",
    "gardener",
    "ferryman",
    "clockmaker",
    "postman",
    "weaver",
    "miller",
    "teacher",
    "painter",
    "doctor",
    "farmer",
    "sailor",
    "carpenter",
    "librarian",
    "shepherd",
    "tailor",
    "cook",
    "fisherman",
    "mason",
    "nurse",
    "printer",
    "blacksmith",
    "singer",
    "porter",
];
const WHAT: [&str; 20] = [
    "walked slowly past",
    "rested a while near",
    "looked for a friend beside",
    "swept the path behind",
    "told an old story in front of",
    "ate some bread near",
    "waited for the rain to end beside",
    "hung a lantern above",
    "left a basket next to",
    "mended a coat beside",
    "sang quietly near",
    "counted the birds above",
    "met a neighbour in front of",
    "slept through the noon beside",
    "carried water past",
    "planted a rose behind",
    "lost a glove near",
    "drew a picture of",
    "opened the shutters opposite",
    "heard the bells from",
];
const WHERE: [&str; 24] = [
    "bridge",
    "mill",
    "harbour",
    "school",
    "market",
    "well",
    "orchard",
    "station",
    "chapel",
    "tower",
    "inn",
    "garden",
    "barn",
    "lighthouse",
    "quarry",
    "square",
    "pond",
    "forest",
    "meadow",
    "castle",
    "bakery",
    "library",
    "wharf",
    "gate",
];
const HOW: [&str; 16] = [
    "old", "quiet", "green", "wooden", "narrow", "sunny", "empty", "distant", "white", "small", "crooked",
    "famous", "windy", "painted", "lower", "upper",
];
const WHEN: [&str; 12] = [
    "In the morning",
    "At noon",
    "Before supper",
    "After the storm",
    "On Monday",
    "Late in the year",
    "That evening",
    "Early in spring",
    "On market day",
    "Soon after",
    "Once more",
    "In the long winter",
];

/// What numbers belong to: with an adjective in front there are more than enough of them.
const THINGS: [&str; 60] = [
    "heron", "badger", "falcon", "otter", "salmon", "beetle", "walnut", "lemon", "cherry", "acorn", "violet",
    "tulip", "clover", "thistle", "pebble", "marble", "copper", "silver", "velvet", "cotton", "candle",
    "mirror", "ladder", "hammer", "anchor", "compass", "kettle", "saddle", "trumpet", "violin", "drum",
    "whistle", "comet", "planet", "river", "glacier", "canyon", "island", "desert", "volcano", "tiger",
    "camel", "donkey", "pigeon", "turtle", "lobster", "spider", "cricket", "pepper", "ginger", "mustard",
    "honey", "button", "ribbon", "feather", "basket", "bottle", "barrel", "wagon", "sleigh",
];
const LOOKS: [&str; 40] = [
    "amber", "brave", "calm", "dusty", "eager", "faint", "gentle", "happy", "icy", "jolly", "keen", "lucky",
    "mellow", "noble", "orange", "proud", "quick", "rusty", "silent", "tidy", "urban", "vivid", "warm",
    "young", "bitter", "clever", "double", "early", "frozen", "golden", "hollow", "little", "modern",
    "northern", "polite", "royal", "secret", "tender", "useful", "wild",
];

/// Words of lists: easy, of one kind, and different from each other.
const WORDS: [&str; 222] = [
    "apple", "arrow", "autumn", "bamboo", "banana", "barley", "beach", "bell", "berry", "bicycle", "blanket",
    "boat", "bone", "book", "boot", "bowl", "branch", "brass", "bread", "brick", "broom", "brush", "bucket",
    "bush", "butter", "cabin", "cake", "canal", "canvas", "carpet", "carrot", "cart", "cave", "cellar",
    "chain", "chair", "chalk", "cheese", "chest", "chimney", "cliff", "cloak", "clock", "cloud", "coal",
    "coast", "coffee", "coin", "collar", "corn", "corner", "couch", "cradle", "crane", "cream", "crown",
    "cup", "curtain", "daisy", "dance", "deer", "desk", "diamond", "dish", "ditch", "dough", "dragon",
    "dream", "dress", "dust", "eagle", "echo", "elbow", "engine", "envelope", "fabric", "farm", "fence",
    "fern", "field", "finger", "flag", "flame", "flute", "fog", "fork", "fountain", "fox", "frame", "frog",
    "fruit", "fur", "garlic", "ghost", "giant", "glass", "glove", "goat", "grain", "grape", "grass",
    "guitar", "hall", "harvest", "hat", "hawk", "hazel", "hedge", "helmet", "herb", "hill", "hive", "horn",
    "horse", "ice", "ink", "iron", "ivory", "ivy", "jacket", "jar", "jewel", "juice", "jungle", "key",
    "kite", "knee", "knife", "knot", "lace", "lake", "lamb", "lamp", "lark", "lawn", "leaf", "leather",
    "letter", "lily", "lime", "linen", "lion", "lock", "map", "maple", "mask", "meal", "melon", "metal",
    "milk", "mint", "mist", "moon", "moss", "moth", "mountain", "mouse", "mud", "mule", "nail", "needle",
    "nest", "night", "nut", "oak", "oat", "ocean", "olive", "onion", "owl", "paddle", "page", "paint",
    "palm", "paper", "parrot", "path", "peach", "pearl", "pencil", "piano", "pie", "pillow", "pine", "pipe",
    "plate", "plough", "plum", "pocket", "poem", "pony", "potato", "pottery", "puddle", "pump", "rabbit",
    "rail", "rice", "ring", "road", "robin", "roof", "root", "rope", "sail", "salt", "sand", "scarf", "seed",
    "shadow", "sheep", "shelf", "shell", "ship", "shoe", "shovel", "silk", "skirt", "smoke", "snail", "snow",
    "soap",
];

/// A sentence that tells nothing worth remembering.
pub(super) fn sentence(draw: &mut Draw) -> String {
    let (when, who, what) = (draw.one(&WHEN), draw.one(&WHO), draw.one(&WHAT));
    format!("{when} the {who} {what} the {} {}.", draw.one(&HOW), draw.one(&WHERE))
}

/// Most names there are.
pub(super) const MOST_NAMES: usize = 90_000;

/// So many different names that numbers can belong to, [`MOST_NAMES`] at most. More of them begin with the same ones.
pub(super) fn names(count: usize, draw: &mut Draw) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    while all.len() < count.min(MOST_NAMES) {
        let (one, other) = (draw.one(&LOOKS), draw.one(&LOOKS));
        let name = format!("{one} {other} {}", draw.one(&THINGS));
        if one != other && seen.insert(name.clone()) {
            all.push(name);
        }
    }
    all
}

/// A number of seven digits.
pub(super) fn number(draw: &mut Draw) -> String {
    (1_000_000 + draw.below(9_000_000)).to_string()
}

/// So many different variables: five capital letters.
pub(super) fn variables(count: usize, draw: &mut Draw) -> Vec<String> {
    let mut all: Vec<String> = Vec::with_capacity(count);
    while all.len() < count {
        let name: String =
            (0..5).filter_map(|_| char::from_u32('A' as u32 + draw.below(26) as u32)).collect();
        if !all.contains(&name) {
            all.push(name);
        }
    }
    all
}

/// Words none of which is part of another, in another order.
pub(super) fn words(draw: &mut Draw) -> Vec<&'static str> {
    let part = |word: &str| WORDS.iter().any(|other| *other != word && other.contains(word));
    let mut all: Vec<&str> = WORDS.iter().copied().filter(|word| !part(word)).collect();
    draw.shuffle(&mut all);
    all
}

/// So many different words of no language, none of which is part of another.
pub(super) fn coined(count: usize, draw: &mut Draw) -> Vec<String> {
    const ONSETS: [&str; 16] =
        ["b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "br", "st"];
    const VOWELS: [&str; 5] = ["a", "e", "i", "o", "u"];
    let mut all: Vec<String> = Vec::with_capacity(count);
    while all.len() < count {
        let word: String = (0..3).flat_map(|_| [draw.one(&ONSETS), draw.one(&VOWELS)]).collect();
        if all.iter().all(|other| !other.contains(&word) && !word.contains(other.as_str())) {
            all.push(word);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_is_there_twice_and_none_of_a_list_is_part_of_an_answer_s() {
        for list in [&WORDS[..], &THINGS, &LOOKS] {
            assert_eq!(list.iter().collect::<BTreeSet<_>>().len(), list.len());
        }
        assert!(MOST_NAMES < LOOKS.len() * (LOOKS.len() - 1) * THINGS.len());
        let names = |count| names(count, &mut Draw::new(1, "t", &[]));
        assert_eq!(names(4000)[..100], names(100));
        assert!(words(&mut Draw::new(1, "t", &[])).len() > 190);
        let mut draw = Draw::new(1, "t", &[]);
        let coined = coined(100, &mut draw);
        assert_eq!(coined.iter().collect::<BTreeSet<_>>().len(), 100);
        assert_eq!(variables(40, &mut draw).len(), 40);
    }
}
