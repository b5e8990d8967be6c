//! What a server says, made fit for a log: one short line.

/// Characters that are kept.
const CHARS_MAX: usize = 300;

/// One short line: control characters become spaces, and what is long is cut.
pub(super) fn shortened(text: &str) -> String {
    let printable = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    printable.take(CHARS_MAX).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_becomes_one_line_of_at_most_300_characters() {
        assert_eq!(shortened("\r\nline\tone\nline\u{1b}[31mtwo\n"), "line one line [31mtwo");
        assert_eq!(shortened(&"é".repeat(301)), "é".repeat(300));
    }
}
