//! Tables and names as a terminal shows them: columns under each other, and nothing that steers the terminal.

use unicode_width::UnicodeWidthStr as _;

use crate::shown;

/// Between columns.
const GAP: &str = "  ";

/// One line a row, as wide as its widest cells ask for; `left` says which columns begin at the left.
pub(super) fn lines(rows: &[Vec<String>], left: impl Fn(usize) -> bool) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            let blanks = " ".repeat(width.saturating_sub(cell.width()));
            if left(column) { format!("{cell}{blanks}") } else { format!("{blanks}{cell}") }
        });
        cells.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// Without characters that steer the terminal.
pub(super) fn clean(text: &str) -> String {
    shown::line(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other_by_their_width() {
        let rows =
            [["a", "b", "c"], ["\u{6f22}\u{5b57}", "1.5", ""]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(lines(&rows, |column| column == 0), ["a       b  c", "\u{6f22}\u{5b57}  1.5"]);
        assert!(lines(&[], |_| true).is_empty());
    }

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\n\u{202e}c"), "a[2Jbc");
    }
}
