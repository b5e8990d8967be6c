//! Lines for people: at most 80 columns wide, broken between words.

/// The width that every terminal has.
pub const WIDTH: usize = 80;
/// Where the text behind a label begins.
pub const LABEL: usize = 11;

/// A space at which no line breaks.
pub const TIED: char = '\u{a0}';

/// `text` behind `label`, as many lines as it takes, aligned with one another.
#[must_use]
pub fn labelled(label: &str, text: &str) -> String {
    let label = if label.is_empty() { String::new() } else { format!("{label}:") };
    wrapped(&format!("{label:<LABEL$}"), &" ".repeat(LABEL), text)
}

/// `text` in lines, the first one after `first` and all others after `next`. Words that [`TIED`] holds together stay so, and a
/// word that is longer than a line stays whole: a path that is cut cannot be used.
#[must_use]
pub fn wrapped(first: &str, next: &str, text: &str) -> String {
    let mut lines = first.to_owned();
    let (mut column, mut is_empty) = (width(first), true);
    for word in text.split([' ', '\n', '\t']).filter(|word| !word.is_empty()) {
        if !is_empty && column + 1 + width(word) > WIDTH {
            lines.push('\n');
            lines.push_str(next);
            (column, is_empty) = (width(next), true);
        }
        if !is_empty {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += width(word);
        is_empty = false;
    }
    lines.trim_end().replace(TIED, " ")
}

/// `text` in `columns` columns: padded with spaces, or cut and marked as cut.
#[must_use]
pub fn cell(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return format!("{text:<columns$}");
    }
    let mut cut: String = text.chars().take(columns.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_hang_under_their_label() {
        let text = "one two ".repeat(30);
        let lines = labelled("Label", &text);
        assert!(lines.lines().all(|line| line.chars().count() <= WIDTH), "{lines}");
        assert!(lines.starts_with("Label:     one two") && lines.lines().nth(1).unwrap().starts_with("           "));
        assert_eq!(lines.split_whitespace().count(), 61);
    }

    #[test]
    fn a_word_that_is_longer_than_a_line_stays_whole() {
        let path = "x".repeat(100);
        assert_eq!(wrapped("", "  ", &format!("see {path} there")), format!("see\n  {path}\n  there"));
    }

    #[test]
    fn a_cell_is_as_wide_as_its_column_and_shows_that_it_was_cut() {
        assert_eq!(cell("eurusd", 8), "eurusd  ");
        assert_eq!(cell("eurusd_hourly", 8), "eurusd_…");
    }
}
