//! Headers of an operator's choice that go with every call, such as those that a proxy in front of a server wants.
//!
//! They are lines of a file, `Name: value`, and every value is a secret: what a proxy wants is often one. No error shows a
//! value, or a line that may be one.

use reqwest::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST,
    HeaderMap, HeaderName, HeaderValue, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, USER_AGENT,
};

use super::secret::Secret;

/// Lines of a file.
const HEADERS_MAX: usize = 32;

/// What the client says itself, or what would change how a call is read.
const RESERVED: [HeaderName; 14] = [
    ACCEPT_ENCODING,
    AUTHORIZATION,
    CONNECTION,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    EXPECT,
    HOST,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    USER_AGENT,
];

/// Headers with every call, each name once.
#[derive(Debug, Clone, Default)]
pub struct Headers(Vec<(HeaderName, Secret)>);

/// Why a file of headers is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeadersError {
    #[error("line {line} of the file of headers is none: write one header a line, as `Name: value`")]
    Line { line: usize },
    #[error(
        "the value in line {line} of the file of headers is empty or not plain ASCII: write visible text behind the colon, or \
         remove the line"
    )]
    Value { line: usize },
    #[error(
        "line {line} of the file of headers has '{name}', which is not for it: the client writes that one itself, or takes it \
         from bearer_file, or from user and password_file"
    )]
    Reserved { line: usize, name: String },
    #[error("line {line} of the file of headers has '{name}' a second time: write each name once")]
    Twice { line: usize, name: String },
    #[error("the file of headers has more than {HEADERS_MAX}: remove some")]
    TooMany,
}

impl Headers {
    /// Reads a file's text. Empty lines do not count.
    ///
    /// # Errors
    /// When a line is no header, or one that is not the operator's to choose.
    pub fn parse(text: &str) -> Result<Self, HeadersError> {
        let mut headers: Vec<(HeaderName, Secret)> = Vec::new();
        for (line, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
            let (name, value) = text.split_once(':').ok_or(HeadersError::Line { line })?;
            let name: HeaderName = name.trim().parse().map_err(|_| HeadersError::Line { line })?;
            let value = value.trim();
            if value.is_empty() || !value.is_ascii() || HeaderValue::from_str(value).is_err() {
                return Err(HeadersError::Value { line });
            }
            if RESERVED.contains(&name) {
                return Err(HeadersError::Reserved { line, name: name.to_string() });
            }
            if headers.iter().any(|(other, _)| *other == name) {
                return Err(HeadersError::Twice { line, name: name.to_string() });
            }
            if headers.len() == HEADERS_MAX {
                return Err(HeadersError::TooMany);
            }
            headers.push((name, Secret::new(value.to_owned())));
        }
        Ok(Self(headers))
    }

    /// What no text may show.
    pub(super) fn secrets(&self) -> impl Iterator<Item = Secret> {
        self.0.iter().map(|(_, value)| value.clone())
    }

    /// Adds them to those of every call.
    pub(super) fn add_to(&self, map: &mut HeaderMap) {
        for (name, value) in &self.0 {
            // Every value was one when it was read.
            if let Ok(mut value) = HeaderValue::from_str(value.reveal()) {
                value.set_sensitive(true);
                map.insert(name.clone(), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(text: &str) -> HeadersError {
        Headers::parse(text).unwrap_err()
    }

    #[test]
    fn each_line_is_a_header_whose_value_is_never_printed() {
        let headers = Headers::parse("X-Tenant: fx\r\n\n  x-api-key :  k3y:with colons \n").unwrap();
        let mut map = HeaderMap::new();
        headers.add_to(&mut map);
        let sent: Vec<_> = map.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(sent, [("x-tenant", "fx"), ("x-api-key", "k3y:with colons")]);
        assert_eq!(format!("{headers:?}"), r#"Headers([("x-tenant", ***), ("x-api-key", ***)])"#);
        assert!(map.values().all(HeaderValue::is_sensitive));
    }

    #[test]
    fn a_line_that_cannot_be_sent_is_refused_without_its_value() {
        assert_eq!(refused("a: 1\n\nk3y-without-a-name"), HeadersError::Line { line: 3 });
        assert_eq!(refused("k3y with spaces: 1"), HeadersError::Line { line: 1 });
        assert_eq!(refused("a:  "), HeadersError::Value { line: 1 });
        assert_eq!(refused("a: k3\u{7}y"), HeadersError::Value { line: 1 });
        assert_eq!(refused("a: k3\u{e9}y"), HeadersError::Value { line: 1 });
        assert_eq!(refused("a: 1\nA: 2"), HeadersError::Twice { line: 2, name: "a".to_owned() });
        for name in ["Authorization", "host", "CONTENT-TYPE", "content-length", "accept-encoding", "user-agent"] {
            let name_in_error = name.to_ascii_lowercase();
            assert_eq!(refused(&format!("{name}: k3y")), HeadersError::Reserved { line: 1, name: name_in_error });
        }
        let lines = |count: usize| (0..count).map(|nth| format!("a{nth}: 1\n")).collect::<String>();
        assert!(Headers::parse(&lines(HEADERS_MAX)).is_ok());
        assert_eq!(refused(&lines(HEADERS_MAX + 1)), HeadersError::TooMany);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_what_is_taken_is_sent(text in "[a-cA-C:\r\n \t\u{e9}\u{7}0-9-]{0,60}") {
            if let Ok(headers) = Headers::parse(&text) {
                let mut map = HeaderMap::new();
                headers.add_to(&mut map);
                prop_assert_eq!(map.len(), headers.0.len());
            }
        }
    }
}
