//! What a server says, made fit for a log: one short line without the secrets that addresses carry.
//!
//! They are found by where they stand, so they need not be this node's. Rather too much is hidden than too little.

use super::secret::HIDDEN;

/// What the name of a parameter ends with whose value is secret.
const SECRET_NAMES: [&str; 4] = ["token", "key", "secret", "password"];

/// Characters that are kept.
const CHARS_MAX: usize = 300;

/// One short line: control characters become spaces, and what is long is cut.
pub(super) fn shortened(text: &str) -> String {
    let printable = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    printable.take(CHARS_MAX).collect::<String>().trim().to_owned()
}

/// The text without the user part of an address, and without the values of parameters such as `api_token=`.
#[must_use]
pub fn redacted(text: &str) -> String {
    without_values(&without_users(text))
}

fn without_users(text: &str) -> String {
    let (mut safe, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + "://".len());
        let authority = until(after, &['/', '?', '#', '\\']);
        safe.push_str(before);
        rest = after;
        if let Some(user) = authority.rfind('@') {
            safe.push_str(HIDDEN);
            rest = &after[user..];
        }
    }
    safe + rest
}

fn without_values(text: &str) -> String {
    let (mut safe, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find('=') {
        let (before, after) = rest.split_at(at + 1);
        let name = before[..at].to_ascii_lowercase();
        safe.push_str(before);
        rest = after;
        let value = until(after, &['&', '#', '"', '<', '>']);
        if !value.is_empty() && SECRET_NAMES.iter().any(|secret| name.ends_with(secret)) {
            safe.push_str(HIDDEN);
            rest = &after[value.len()..];
        }
    }
    safe + rest
}

/// The text up to the first white space or one of `ends`.
fn until<'t>(text: &'t str, ends: &[char]) -> &'t str {
    text.split(|c: char| c.is_whitespace() || ends.contains(&c)).next().unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_becomes_one_line_of_at_most_300_characters() {
        assert_eq!(shortened("\r\nline\tone\nline\u{1b}[31mtwo\n"), "line one line [31mtwo");
        assert_eq!(shortened(&"é".repeat(301)), "é".repeat(300));
    }

    #[test]
    fn the_value_of_a_parameter_with_a_secret_name_is_hidden() {
        for (text, expected) in [
            ("GET /eod?api_token=6f.1a-Zz%2B&fmt=json HTTP/1.1", "GET /eod?api_token=***&fmt=json HTTP/1.1"),
            ("/a?fmt=json&Token=abc=/+d==#top", "/a?fmt=json&Token=***#top"),
            ("<a href=\"/x?apikey=abc\">", "<a href=\"/x?apikey=***\">"),
            ("client-secret=a password=b;c\nkey=d", "client-secret=*** password=***\nkey=***"),
            ("token=&user=me&tokens=3", "token=&user=me&tokens=3"),
        ] {
            assert_eq!(redacted(text), expected);
        }
    }

    #[test]
    fn the_user_part_of_an_address_is_hidden() {
        for (text, expected) in [
            ("see https://me:pa'ss@host/x, ask a@b", "see https://***@host/x, ask a@b"),
            ("http://t0ken@host", "http://***@host"),
            ("http://me:p@ss@[::1]:80?q", "http://***@[::1]:80?q"),
            ("http://host/a@b http://host?a@b ://", "http://host/a@b http://host?a@b ://"),
            ("http://a:b@one,http://c:d@two?token=e", "http://***@one,http://***@two?token=***"),
        ] {
            assert_eq!(redacted(text), expected);
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_no_value_stays(before in "\\PC{0,30}", value in "[a-z0-9]{6}", after in "\\PC{0,30}") {
            prop_assume!(!before.contains(&value) && !after.contains(&value));
            let text = format!("{before} https://u:{value}@h/?api_token={value} {after}");
            let safe = redacted(&text);
            prop_assert!(!safe.contains(&value), "{}", safe);
        }
    }
}
