//! Makes hostile input out of good input: a few changes at random places, of the kinds that break readers of files. The
//! same seed makes the same input.

use bitfrontier::stats::SplitMix64;

/// Longest input that is made.
const LONGEST: usize = 4 << 20;
/// Numbers at which sums, products and sizes go wrong.
const NUMBERS: [u64; 12] = [
    0,
    1,
    0x7f,
    0xff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 40,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];
/// The same as texts write them, and what is no number.
const WORDS: [&str; 22] = [
    "0",
    "-1",
    "1e309",
    "-0.0",
    "NaN",
    "null",
    "true",
    "18446744073709551615",
    "99999999999999999999",
    "1e18",
    "9007199254740993",
    "\"\"",
    "[]",
    "{}",
    "\\",
    "\0",
    "\u{1b}[2J",
    "\u{202e}",
    "../../escape",
    "/etc/passwd",
    "=1+1",
    "<script>",
];
/// What opens something; many of them make readers go deep.
const OPENING: [&str; 9] = ["[", "{", "(", "{\"a\":", "\"", "'", "-", "<", "{{"];

/// Chooses.
pub struct Dice(SplitMix64);

impl Dice {
    pub fn new(seed: u64, name: &str) -> Self {
        Self(SplitMix64::new(seed ^ u64::from(crc32fast::hash(name.as_bytes())) << 20))
    }

    /// One of `0..n`; 0 for nothing to choose from.
    pub fn below(&mut self, n: usize) -> usize {
        (self.0.next_u64() % n.max(1) as u64) as usize
    }

    fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}

/// One of `seeds`, changed at some places. `words` are those of its language.
pub fn mutated(dice: &mut Dice, seeds: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
    let mut bytes = seeds[dice.below(seeds.len())].clone();
    for _ in 0..=dice.below(6) {
        change(dice, &mut bytes, seeds, words);
        bytes.truncate(LONGEST);
    }
    bytes
}

fn change(dice: &mut Dice, bytes: &mut Vec<u8>, seeds: &[Vec<u8>], words: &[&str]) {
    let at = dice.below(bytes.len() + 1);
    match dice.below(11) {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << dice.below(8);
            }
        }
        1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = dice.0.next_u64() as u8;
            }
        }
        2 | 3 => number(dice, bytes, at),
        4 => bytes.truncate(at),
        5 => {
            let end = (at + 1 + dice.below(40)).min(bytes.len());
            bytes.drain(at..end);
        }
        6 => {
            let piece = bytes[at..(at + 1 + dice.below(200)).min(bytes.len())].to_vec();
            let times = 1 + dice.below(4);
            bytes.splice(at..at, piece.repeat(times));
        }
        7 => {
            let other = &seeds[dice.below(seeds.len())];
            let from = dice.below(other.len() + 1);
            let piece = other[from..(from + dice.below(400)).min(other.len())].to_vec();
            bytes.splice(at..at, piece);
        }
        8 => {
            let word = dice.one(&WORDS);
            digits(bytes, at, word);
        }
        9 => {
            let word = if words.is_empty() { dice.one(&WORDS) } else { dice.one(words) };
            bytes.splice(at..at, word.bytes());
        }
        _ => {
            let times = [3, 70, 200, 20_000][dice.below(4)];
            let deep = dice.one(&OPENING).repeat(times);
            bytes.splice(at..at, deep.bytes());
        }
    }
}

/// A number in place of the four or eight bytes at a place.
fn number(dice: &mut Dice, bytes: &mut [u8], at: usize) {
    let number = NUMBERS[dice.below(NUMBERS.len())].wrapping_add(dice.below(3) as u64).wrapping_sub(1);
    let width = [1, 2, 4, 8][dice.below(4)];
    for (to, from) in bytes.iter_mut().skip(at).zip(&number.to_le_bytes()[..width]) {
        *to = *from;
    }
}

/// A word in place of the digits nearest behind a place.
fn digits(bytes: &mut Vec<u8>, at: usize, word: &str) {
    let is_digit = |b: &u8| b.is_ascii_digit() || *b == b'.';
    let begin = bytes[at..].iter().position(is_digit).map_or(at, |found| at + found);
    let end = bytes[begin..].iter().position(|b| !is_digit(b)).map_or(bytes.len(), |found| begin + found);
    bytes.splice(begin..end, word.bytes());
}
