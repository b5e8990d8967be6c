//! Which rows a reader wants to see: `?outcome=&reason=&pipeline=`, as a link or a form asks for them.

use std::fmt::Write as _;

use sentinel_actors::domain::reason::{Outcome, Reason};

/// The longest query that is looked at, in bytes.
const QUERY_BYTES: usize = 1024;

/// What is asked for; nothing in a field means all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asked {
    pub outcome: Option<Outcome>,
    pub reason: Option<Reason>,
    /// Part of a name.
    pub pipeline: Option<String>,
    /// Set where the page is about one pipeline anyway.
    pub path: Option<String>,
}

/// A question that has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskedError {
    #[error("There is no outcome '{0}': there are acted, no_action, skipped and missed.")]
    Outcome(String),
    #[error("There is no reason '{0}'; docs/reasons.md has all of them.")]
    Reason(String),
    #[error("The question is too long.")]
    Long,
}

impl Asked {
    /// From the query of an address; fields that it does not know are nothing to it.
    ///
    /// # Errors
    /// When there is no such outcome or reason.
    pub fn from_query(query: &str) -> Result<Self, AskedError> {
        if query.len() > QUERY_BYTES {
            return Err(AskedError::Long);
        }
        let mut asked = Self::default();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(value);
            if value.is_empty() {
                continue;
            }
            match name {
                "outcome" => {
                    let found = Outcome::ALL.into_iter().find(|outcome| outcome.code() == value);
                    asked.outcome = Some(found.ok_or(AskedError::Outcome(value))?);
                }
                "reason" => asked.reason = Some(Reason::from_code(&value).ok_or(AskedError::Reason(value))?),
                "pipeline" => asked.pipeline = Some(value),
                _ => {}
            }
        }
        Ok(asked)
    }

    /// The same on the page of one pipeline.
    #[must_use]
    pub fn of_pipeline(self, name: &str) -> Self {
        Self { pipeline: None, path: Some(pipeline_path(name)), ..self }
    }

    /// Whether rows are left out: what was looked for is not folded away then.
    #[must_use]
    pub const fn filters_rows(&self) -> bool {
        self.outcome.is_some() || self.reason.is_some()
    }

    /// Whether a pipeline of this name is asked for.
    #[must_use]
    pub fn wants(&self, name: &str) -> bool {
        self.pipeline.as_ref().is_none_or(|part| name.contains(part.as_str()))
    }

    /// The address that asks for this, at the list of slots.
    #[must_use]
    pub fn address(&self) -> String {
        let fields = [
            ("outcome", self.outcome.map(|outcome| outcome.code().to_owned())),
            ("reason", self.reason.map(|reason| reason.code().to_owned())),
            ("pipeline", self.pipeline.clone()),
        ];
        let mut address = self.path.clone().unwrap_or_else(|| "/".to_owned());
        let mut separator = '?';
        for (name, value) in fields {
            let Some(value) = value else { continue };
            let _ = write!(address, "{separator}{name}={}", encoded(&value));
            separator = '&';
        }
        address.push_str("#slots");
        address
    }
}

/// The address of a pipeline's page.
#[must_use]
pub fn pipeline_path(name: &str) -> String {
    format!("/p/{}", encoded(name))
}

/// The address of a slot's page.
#[must_use]
pub fn slot_path(pipeline: &str, slot: sentinel_actors::domain::time::UtcMs) -> String {
    format!("{}/slots/{slot}", pipeline_path(pipeline))
}

/// As it stands in an address.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// What stood in an address; what is not UTF-8 is replaced.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut ahead = rest.clone();
        let hex = |digit: Option<u8>| digit.and_then(|digit| char::from(digit).to_digit(16));
        match (byte, hex(ahead.next()), hex(ahead.next())) {
            (b'%', Some(high), Some(low)) => {
                bytes.extend(u8::try_from(high * 16 + low));
                rest = ahead;
            }
            (b'+', ..) => bytes.push(b' '),
            (other, ..) => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_address_asks_for_is_asked_for_by_the_same_address() {
        let query = "outcome=skipped&reason=gap&pipeline=a%26b%3Cc%3E+d%E2%82%AC&other=1";
        let asked = Asked::from_query(query).unwrap();
        assert_eq!((asked.outcome, asked.reason), (Some(Outcome::Skipped), Some(Reason::Gap)));
        assert_eq!(asked.pipeline.as_deref(), Some("a&b<c> d€"));
        assert_eq!(asked.address(), "/?outcome=skipped&reason=gap&pipeline=a%26b%3Cc%3E%20d%E2%82%AC#slots");
        let again = asked.address();
        let again = again.trim_start_matches("/?").trim_end_matches("#slots");
        assert_eq!(Asked::from_query(again), Ok(asked));
    }

    #[test]
    fn a_broken_address_asks_for_all_or_is_refused_and_never_breaks_anything() {
        for query in ["", "&&=&", "outcome=&reason=", "%", "a=%zz"] {
            assert_eq!(Asked::from_query(query), Ok(Asked::default()), "{query}");
        }
        assert_eq!(Asked::from_query("pipeline=%ff%4").unwrap().pipeline.as_deref(), Some("\u{fffd}%4"));
        assert_eq!(Asked::from_query("outcome=x%00"), Err(AskedError::Outcome("x\0".to_owned())));
        assert_eq!(Asked::from_query("reason=drop"), Err(AskedError::Reason("drop".to_owned())));
        assert_eq!(Asked::from_query(&"a".repeat(1025)), Err(AskedError::Long));
    }
}
