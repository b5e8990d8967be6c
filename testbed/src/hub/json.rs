//! Reads JSON as Python's `json.loads` does: it takes bare `NaN` and `Infinity`, and says in the same words where and why
//! it stopped. A strict reader would refuse what a real MLflow accepts, and a client would never learn of it.
//!
//! It never recurses deeper than [`DEPTH_MAX`].

use std::collections::HashSet;

use super::python::{float, repr, repr_bytes};

/// Python gives up at about a thousand levels, with an error that MLflow does not catch.
pub(super) const DEPTH_MAX: usize = 950;

/// A JSON value. An integer is kept apart from a float only to be named as Python names it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number without point and exponent; infinite when too large for a float.
    Int(f64),
    /// Any other number.
    Float(f64),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Json>),
    /// An object in the order in which it was written, without the keys that a later one repeats.
    Dict(Vec<(String, Json)>),
}

impl Json {
    /// The value of a key of an object.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let Self::Dict(entries) = self else { return None };
        entries.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The name of its Python class.
    pub(super) fn class(&self) -> &'static str {
        match self {
            Self::Null => "NoneType",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Text(_) => "str",
            Self::List(_) => "list",
            Self::Dict(_) => "dict",
        }
    }

    /// Its beginning as Python's `repr` writes it, at least `enough` characters of it when it is longer.
    pub(super) fn echo(&self, enough: usize) -> String {
        let mut out = String::new();
        self.write(&mut out, enough);
        if out.len() > enough {
            out.push_str(" ...");
        }
        out
    }

    fn write(&self, out: &mut String, enough: usize) {
        if out.len() > enough {
            return;
        }
        match self {
            Self::Null => out.push_str("None"),
            Self::Bool(true) => out.push_str("True"),
            Self::Bool(false) => out.push_str("False"),
            Self::Int(value) => out.push_str(&format!("{value:.0}")),
            Self::Float(value) => out.push_str(&float(*value)),
            Self::Text(text) => out.push_str(&repr(text)),
            Self::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate().take(enough) {
                    out.push_str(if index == 0 { "" } else { ", " });
                    item.write(out, enough);
                }
                out.push(']');
            }
            Self::Dict(entries) => {
                out.push('{');
                for (index, (name, value)) in entries.iter().enumerate().take(enough) {
                    out.push_str(if index == 0 { "" } else { ", " });
                    out.push_str(&repr(name));
                    out.push_str(": ");
                    value.write(out, enough);
                }
                out.push('}');
            }
        }
    }
}

/// Why something is no JSON.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// The `repr` of the exception that `json.loads` raises.
    Malformed(String),
    /// Deeper than Python's stack.
    TooDeep,
}

/// Reads a whole document.
pub(super) fn read(bytes: &[u8]) -> Result<Json, Unreadable> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let start = error.valid_up_to();
        let (end, reason) = match (error.error_len(), bytes[start]) {
            (None, _) => (bytes.len(), "unexpected end of data"),
            (Some(_), 0x80..=0xc1 | 0xf5..) => (start + 1, "invalid start byte"),
            (Some(length), _) => (start + length, "invalid continuation byte"),
        };
        let echo = repr_bytes(bytes);
        Unreadable::Malformed(format!("UnicodeDecodeError('utf-8', {echo}, {start}, {end}, '{reason}')"))
    })?;
    let mut reader = Reader { text, at: 0 };
    let outcome = reader.skip_space().value(0).and_then(|value| {
        reader.skip_space();
        if reader.at == text.len() { Ok(value) } else { Err(Stop::At(reader.at, "Extra data")) }
    });
    outcome.map_err(|stop| match stop {
        Stop::TooDeep => Unreadable::TooDeep,
        Stop::At(at, what) => Unreadable::Malformed(decode_error(text, at, what)),
    })
}

fn decode_error(text: &str, at: usize, what: &str) -> String {
    let before = &text[..at];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let message = format!("{what}: line {line} column {column} (char {})", before.chars().count());
    format!("JSONDecodeError({})", repr(&message))
}

enum Stop {
    /// Byte position, which is always the start of a character, and the reason.
    At(usize, &'static str),
    TooDeep,
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) -> &mut Self {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self
    }

    fn stop<T>(&self, what: &'static str) -> Result<T, Stop> {
        Err(Stop::At(self.at, what))
    }

    fn value(&mut self, depth: usize) -> Result<Json, Stop> {
        if depth > DEPTH_MAX {
            return Err(Stop::TooDeep);
        }
        for (word, value) in [
            ("null", Json::Null),
            ("true", Json::Bool(true)),
            ("false", Json::Bool(false)),
            ("NaN", Json::Float(f64::NAN)),
            ("Infinity", Json::Float(f64::INFINITY)),
            ("-Infinity", Json::Float(f64::NEG_INFINITY)),
        ] {
            if self.text[self.at..].starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        match self.peek() {
            Some(b'"') => self.string().map(Json::Text),
            Some(b'[') => self.list(depth),
            Some(b'{') => self.dict(depth),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.stop("Expecting value"),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Json, Stop> {
        self.at += 1;
        let mut items = Vec::new();
        if self.skip_space().peek() == Some(b']') {
            self.at += 1;
            return Ok(Json::List(items));
        }
        loop {
            items.push(self.skip_space().value(depth + 1)?);
            match self.skip_space().peek() {
                Some(b']') => break,
                Some(b',') => self.at += 1,
                _ => return self.stop("Expecting ',' delimiter"),
            }
        }
        self.at += 1;
        Ok(Json::List(items))
    }

    fn dict(&mut self, depth: usize) -> Result<Json, Stop> {
        self.at += 1;
        let mut entries: Vec<(String, Json)> = Vec::new();
        if self.skip_space().peek() == Some(b'}') {
            self.at += 1;
            return Ok(Json::Dict(entries));
        }
        loop {
            if self.skip_space().peek() != Some(b'"') {
                return self.stop("Expecting property name enclosed in double quotes");
            }
            let name = self.string()?;
            if self.skip_space().peek() != Some(b':') {
                return self.stop("Expecting ':' delimiter");
            }
            self.at += 1;
            entries.push((name, self.skip_space().value(depth + 1)?));
            match self.skip_space().peek() {
                Some(b'}') => break,
                Some(b',') => self.at += 1,
                _ => return self.stop("Expecting ',' delimiter"),
            }
        }
        self.at += 1;
        let mut seen = HashSet::new();
        let mut last: Vec<bool> = entries.iter().rev().map(|(name, _)| seen.insert(name.as_str())).collect();
        entries.retain(|_| last.pop().unwrap_or(true));
        Ok(Json::Dict(entries))
    }

    fn number(&mut self) -> Result<Json, Stop> {
        let rest = &self.text.as_bytes()[self.at..];
        let digits = |from: usize| rest[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let sign = usize::from(rest[0] == b'-');
        let mut end = match rest.get(sign) {
            Some(b'0') => sign + 1,
            Some(b'1'..=b'9') => sign + digits(sign),
            _ => return self.stop("Expecting value"),
        };
        let whole = end;
        if rest.get(end) == Some(&b'.') && digits(end + 1) > 0 {
            end += 1 + digits(end + 1);
        }
        if matches!(rest.get(end), Some(b'e' | b'E')) {
            let exponent = end + 1 + usize::from(matches!(rest.get(end + 1), Some(b'+' | b'-')));
            if exponent <= rest.len() && digits(exponent) > 0 {
                end = exponent + digits(exponent);
            }
        }
        let Ok(value) = self.text[self.at..self.at + end].parse() else { return self.stop("Expecting value") };
        self.at += end;
        Ok(if end == whole { Json::Int(value) } else { Json::Float(value) })
    }

    fn string(&mut self) -> Result<String, Stop> {
        let begin = self.at;
        let mut out = String::new();
        self.at += 1;
        loop {
            let plain = self.text[self.at..].find(|char: char| char == '"' || char == '\\' || char < ' ');
            let Some(length) = plain else { return Err(Stop::At(begin, "Unterminated string starting at")) };
            out.push_str(&self.text[self.at..self.at + length]);
            self.at += length;
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => out.push(self.escape(begin)?),
                _ => return self.stop("Invalid control character at"),
            }
        }
        self.at += 1;
        Ok(out)
    }

    /// The character that an escape stands for.
    fn escape(&mut self, begin: usize) -> Result<char, Stop> {
        let Some(kind) = self.text.as_bytes().get(self.at + 1) else {
            return Err(Stop::At(begin, "Unterminated string starting at"));
        };
        let char = match kind {
            b'"' | b'\\' | b'/' => char::from(*kind),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(),
            _ => return self.stop("Invalid \\escape"),
        };
        self.at += 2;
        Ok(char)
    }

    /// A `\uXXXX`, or two that are a pair. What is no character becomes the replacement character.
    fn unicode(&mut self) -> Result<char, Stop> {
        let Some(first) = self.unit(self.at) else { return Err(Stop::At(self.at + 1, "Invalid \\uXXXX escape")) };
        self.at += 6;
        if (0xd800..0xdc00).contains(&first)
            && let Some(second @ 0xdc00..0xe000) = self.unit(self.at)
        {
            self.at += 6;
            let code = 0x1_0000 + ((u32::from(first) - 0xd800) << 10) + (u32::from(second) - 0xdc00);
            return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        Ok(char::from_u32(u32::from(first)).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn unit(&self, at: usize) -> Option<u16> {
        let escape = self.text.get(at..at + 6)?;
        let digits = escape.strip_prefix("\\u").filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        u16::from_str_radix(digits, 16).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_json_is_refused_in_the_words_of_python() {
        // Each was asked of a real MLflow 3.17.2.
        let cases: [(&[u8], &str); 14] = [
            (b"{} x", "JSONDecodeError('Extra data: line 1 column 4 (char 3)')"),
            (
                b"{\"a\":1,}",
                "JSONDecodeError('Expecting property name enclosed in double quotes: line 1 column 8 (char 7)')",
            ),
            (b"{\"a\" 1}", "JSONDecodeError(\"Expecting ':' delimiter: line 1 column 6 (char 5)\")"),
            (b"{\"a\":1 2}", "JSONDecodeError(\"Expecting ',' delimiter: line 1 column 8 (char 7)\")"),
            (b"[1 2]", "JSONDecodeError(\"Expecting ',' delimiter: line 1 column 4 (char 3)\")"),
            (b"[1,]", "JSONDecodeError('Expecting value: line 1 column 4 (char 3)')"),
            (b"{\"a", "JSONDecodeError('Unterminated string starting at: line 1 column 2 (char 1)')"),
            (b"{\"a\n\":1}", "JSONDecodeError('Invalid control character at: line 1 column 4 (char 3)')"),
            (b"{\"\\q\":1}", "JSONDecodeError('Invalid \\\\escape: line 1 column 3 (char 2)')"),
            (b"{\"\\u12\":1}", "JSONDecodeError('Invalid \\\\uXXXX escape: line 1 column 4 (char 3)')"),
            ("{\"é\":é}".as_bytes(), "JSONDecodeError('Expecting value: line 1 column 6 (char 5)')"),
            (b"{\"a\xff\":1}", "UnicodeDecodeError('utf-8', b'{\"a\\xff\":1}', 3, 4, 'invalid start byte')"),
            (b"{\"a\xc3", "UnicodeDecodeError('utf-8', b'{\"a\\xc3', 3, 4, 'unexpected end of data')"),
            (b"", "JSONDecodeError('Expecting value: line 1 column 1 (char 0)')"),
        ];
        for (bytes, error) in cases {
            assert_eq!(read(bytes), Err(Unreadable::Malformed(error.to_owned())));
        }
    }

    #[test]
    fn what_python_takes_is_taken() {
        let document = "\u{feff} {\"a\": 1, \"\\u00e9\\ud83d\\ude00\\n\": \"\\ud800\", \"a\": {}, \"b\": [1, -2.5e-1, 1e999, null, true]}";
        let Ok(value) = read(document.as_bytes()) else { panic!("{document}") };
        assert_eq!(value.get("a"), Some(&Json::Dict(vec![])));
        assert_eq!(value.get("é😀\n"), Some(&Json::Text("\u{fffd}".to_owned())));
        assert_eq!(value.echo(1000), "{'é😀\\n': '\u{fffd}', 'a': {}, 'b': [1, -0.25, Infinity, None, True]}");
        assert!(matches!(read(b"[NaN, -Infinity]"), Ok(Json::List(items)) if items.len() == 2));
    }

    #[test]
    fn depth_is_bounded() {
        assert_eq!(read("[".repeat(2000).as_bytes()), Err(Unreadable::TooDeep));
        assert!(read(format!("{}{}", "[".repeat(900), "]".repeat(900)).as_bytes()).is_ok());
    }
}
