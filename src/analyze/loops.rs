//! Answers that run in circles. A model that has lost too many bits repeats a line, a phrase or a word until its tokens
//! are spent, often before its accuracy falls.

/// Characters at the end of an answer that are looked at.
const TAIL: usize = 2000;
/// The repeated part is at least so long, in characters.
const LEAST: usize = 60;
/// And holds its period at least so often.
const TIMES: usize = 3;

/// Whether a text ends in a piece that is repeated: at least three times, over 60 characters or more.
pub(super) fn ends_in_a_loop(text: &str) -> bool {
    let tail: Vec<char> = text.trim_end().chars().rev().take(TAIL).collect();
    let borders = borders(&tail);
    borders.iter().enumerate().any(|(last, border)| {
        let length = last + 1;
        let period = length - border;
        length >= LEAST.max(TIMES * period)
    })
}

/// For every prefix the length of its longest proper prefix that is its suffix too (Knuth, Morris and Pratt): a prefix
/// of length n repeats itself every n - border.
fn borders(text: &[char]) -> Vec<usize> {
    let mut borders = Vec::with_capacity(text.len());
    for (place, letter) in text.iter().enumerate() {
        let mut border = borders.last().copied().unwrap_or(0);
        while place > 0 && border > 0 && text.get(border) != Some(letter) {
            border = borders.get(border - 1).copied().unwrap_or(0);
        }
        let grows = place > 0 && text.get(border) == Some(letter);
        borders.push(if grows { border + 1 } else { 0 });
    }
    borders
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn circles_are_seen_and_lists_are_not() {
        assert!(ends_in_a_loop(&format!("Well. {}", "I do not know. ".repeat(5))));
        assert!(ends_in_a_loop(&format!("x = {}", "0".repeat(60))));
        assert!(ends_in_a_loop(&"the answer is 4, so the answer is".repeat(3)));
        assert!(!ends_in_a_loop(&"0".repeat(59)));
        assert!(!ends_in_a_loop(&"A sentence of thirty-two letters.".repeat(2)));
        let list: Vec<String> = (0..40).map(|i| format!("{i}. The square of {i} is {}.", i * i)).collect();
        assert!(!ends_in_a_loop(&list.join("\n")));
        assert!(!ends_in_a_loop(""));
    }

    proptest! {
        #[test]
        fn any_piece_often_enough_is_a_loop(head in ".{0,40}", piece in "[a-z é]{0,30}[a-z]") {
            let times = 3.max(LEAST.div_ceil(piece.chars().count())) + 1;
            let text = format!("{head}{}", piece.repeat(times));
            prop_assert!(ends_in_a_loop(&text));
        }

        #[test]
        fn a_loop_is_a_repetition_indeed(text in "[ab]{0,80}") {
            let letters: Vec<char> = text.chars().collect();
            let holds = (1..=letters.len() / TIMES).any(|period| {
                (LEAST.max(TIMES * period)..=letters.len()).any(|length| {
                    let tail = &letters[letters.len() - length..];
                    (period..length).all(|i| tail[i] == tail[i - period])
                })
            });
            prop_assert_eq!(ends_in_a_loop(&text), holds);
        }
    }
}
