//! What is asked for behind the `?` of an address. What is not known is refused: what it meant would be left out without a word.

use sentinel_actors::domain::reason::{Outcome, Reason};
use sentinel_actors::domain::time::UtcMs;

/// The longest query that is looked at, in bytes.
const QUERY_BYTES: usize = 1024;
/// Rows of an answer when nothing is said, and at most.
pub(super) const LIMIT: u32 = 100;
pub(super) const LIMIT_MAX: u32 = 500;

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum AskedError {
    #[error("the query has more than {QUERY_BYTES} bytes, or is no text")]
    Unreadable,
    #[error("there is no field '{name}' here; there are: {}", known.join(", "))]
    Unknown { name: String, known: &'static [&'static str] },
    #[error("the field '{0}' is there twice")]
    Twice(&'static str),
    #[error("{name}: '{value}' is none; {allowed}")]
    Value { name: &'static str, value: String, allowed: String },
}

/// The fields of a question, each at most once.
#[derive(Debug, Default)]
pub(super) struct Asked(Vec<(&'static str, String)>);

impl Asked {
    /// # Errors
    /// When there is a field that is not one of `known`, or one that is there twice.
    pub(super) fn new(query: &str, known: &'static [&'static str]) -> Result<Self, AskedError> {
        if query.len() > QUERY_BYTES {
            return Err(AskedError::Unreadable);
        }
        let mut fields: Vec<(&'static str, String)> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name)?, decoded(value)?);
            let Some(name) = known.iter().find(|one| **one == name) else {
                return Err(AskedError::Unknown { name, known });
            };
            if fields.iter().any(|(one, _)| one == name) {
                return Err(AskedError::Twice(name));
            }
            fields.push((name, value));
        }
        Ok(Self(fields))
    }

    /// An empty field is one that is not there: a form sends it like that.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(one, _)| *one == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    fn parsed<T>(
        &self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
        allowed: impl FnOnce() -> String,
    ) -> Result<Option<T>, AskedError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let wrong = || AskedError::Value { name, value: text.to_owned(), allowed: allowed() };
        parse(text).map(Some).ok_or_else(wrong)
    }

    pub(super) fn outcome(&self) -> Result<Option<Outcome>, AskedError> {
        let known = || format!("there are: {}", Outcome::ALL.map(Outcome::code).join(", "));
        self.parsed("outcome", |text| Outcome::ALL.into_iter().find(|outcome| outcome.code() == text), known)
    }

    pub(super) fn reason(&self) -> Result<Option<Reason>, AskedError> {
        self.parsed("reason", Reason::from_code, || "docs/reasons.md has them all".to_owned())
    }

    pub(super) fn before(&self) -> Result<Option<UtcMs>, AskedError> {
        self.parsed("before", |text| text.parse().ok(), || "a time is written like 2017-01-20T02:00:02Z".to_owned())
    }

    pub(super) fn open(&self) -> Result<bool, AskedError> {
        let parse = |text: &str| matches!(text, "true" | "false").then_some(text == "true");
        Ok(self.parsed("open", parse, || "there are: true, false".to_owned())?.unwrap_or_default())
    }

    pub(super) fn limit(&self) -> Result<u32, AskedError> {
        let parse = |text: &str| text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
        Ok(self.parsed("limit", parse, || format!("it is from 1 to {LIMIT_MAX}"))?.unwrap_or(LIMIT))
    }
}

/// A name or value as it was before it was put into an address.
fn decoded(text: &str) -> Result<String, AskedError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
                let value = digit().zip(digit()).map(|(high, low)| high * 16 + low);
                value.and_then(|value| u8::try_from(value).ok()).ok_or(AskedError::Unreadable)?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| AskedError::Unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["pipeline", "outcome", "before", "limit", "open"];

    #[test]
    fn fields_are_read_as_a_form_or_a_program_writes_them() {
        let asked =
            Asked::new("pipeline=a%20b%2Bc+d&outcome=&before=2017-01-20T02%3A00%3A02Z&limit=500&open=true", KNOWN);
        let asked = asked.unwrap();
        assert_eq!((asked.text("pipeline"), asked.outcome()), (Some("a b+c d"), Ok(None)));
        assert_eq!(asked.before().unwrap().map(|time| time.to_string()).as_deref(), Some("2017-01-20T02:00:02Z"));
        assert_eq!((asked.limit(), asked.open()), (Ok(500), Ok(true)));
        let nothing = Asked::new("", KNOWN).unwrap();
        assert_eq!((nothing.text("pipeline"), nothing.limit(), nothing.open()), (None, Ok(LIMIT), Ok(false)));
    }

    #[test]
    fn what_is_not_known_is_refused_with_what_is() {
        let asked =
            |query: &str| Asked::new(query, KNOWN).map(|asked| (asked.limit(), asked.outcome(), asked.before()));
        let text = |query: &str| asked(query).unwrap_err().to_string();
        assert_eq!(text("pipe=x"), "there is no field 'pipe' here; there are: pipeline, outcome, before, limit, open");
        assert_eq!(text("limit=1&limit=2"), "the field 'limit' is there twice");
        for query in ["pipeline=%zz", "pipeline=%f", "pipeline=%ff", &"x".repeat(QUERY_BYTES + 1)] {
            assert_eq!(text(query), AskedError::Unreadable.to_string(), "{query}");
        }
        for limit in ["0", "501", "-1", "x", "99999999999999999999"] {
            assert!(asked(&format!("limit={limit}")).unwrap().0.is_err(), "{limit}");
        }
        assert!(asked("outcome=won").unwrap().1.is_err() && asked("before=noon").unwrap().2.is_err());
    }
}
