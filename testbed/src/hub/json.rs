//! Reads a request's JSON. MLflow reads with Python, which takes the bare words `NaN`, `Infinity` and `-Infinity` for
//! numbers; they become strings here, and [`number`](super::numbers::number) reads strings as numbers, as MLflow does.

use std::borrow::Cow;

use serde_json::Value;

/// Python's spelling of numbers that JSON does not have. The longer one first: it contains the shorter one.
const WORDS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

pub(super) fn read(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => serde_json::from_str(&quote_words(text)),
        Err(_) => serde_json::from_slice(bytes),
    }
}

/// Puts quotes around Python's words, outside of strings.
fn quote_words(text: &str) -> Cow<'_, str> {
    if !WORDS.iter().any(|word| text.contains(word)) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 16);
    let (mut rest, mut in_string) = (text, false);
    while let Some(char) = rest.chars().next() {
        let word = WORDS.iter().find(|word| !in_string && rest.starts_with(**word));
        let length = match (word, char) {
            (Some(word), _) => {
                out.extend(["\"", word, "\""]);
                rest = &rest[word.len()..];
                continue;
            }
            // An escape and what it escapes: a quote there does not end the string.
            (None, '\\') if in_string => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            (None, char) => {
                in_string ^= char == '"';
                char.len_utf8()
            }
        };
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_words_are_numbers_and_words_in_strings_are_not() {
        let value = read(br#"{"a": [NaN, -Infinity, Infinity], "NaN \"": "Infinity\\", "b": 1}"#).unwrap();
        assert_eq!(value, serde_json::json!({ "a": ["NaN", "-Infinity", "Infinity"], "NaN \"": "Infinity\\", "b": 1 }));
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for bytes in [&b"{} x"[..], b"{\"a\":1,}", b"[1 2]", b"{\"a", b"{\"a\xff\":1}", b"", b"[\"NaN", b"[\"\\"] {
            assert!(read(bytes).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
        assert!(read("[".repeat(100_000).as_bytes()).is_err());
    }
}
