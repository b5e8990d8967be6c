//! An answer of any status, with what its headers say about time and limits.

use std::time::Duration;

use jiff::fmt::rfc2822;
use reqwest::header::{AGE, DATE, HeaderMap, HeaderName, RETRY_AFTER};
use sentinel_actors::domain::time::UtcMs;

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    pub(super) headers: HeaderMap,
    /// As sent, at most what the client reads.
    pub body: Vec<u8>,
}

/// When a server wants to be asked again (RFC 9110, section 10.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    /// Counted from its answer.
    Wait(Duration),
    /// By its clock.
    At(UtcMs),
}

impl Answer {
    /// An answer without headers.
    #[must_use]
    pub fn new(status: u16, body: Vec<u8>) -> Self {
        Self { status, headers: HeaderMap::new(), body }
    }

    /// The server's clock when it answered, to the second. `None` also for an answer that a cache on the way has kept.
    #[must_use]
    pub fn date(&self) -> Option<UtcMs> {
        date_of(&self.headers)
    }

    /// The header of that name; `None` when it cannot be read.
    #[must_use]
    pub fn retry_after(&self) -> Option<RetryAfter> {
        let text = self.text(&RETRY_AFTER)?.trim();
        let seconds = || text.parse().ok().map(|seconds| RetryAfter::Wait(Duration::from_secs(seconds)));
        seconds().or_else(|| http_date(text).map(RetryAfter::At))
    }

    /// A header that is a whole number.
    #[must_use]
    pub fn number(&self, name: &'static str) -> Option<u64> {
        self.text(&HeaderName::from_static(name))?.trim().parse().ok()
    }

    fn text(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

pub(super) fn date_of(headers: &HeaderMap) -> Option<UtcMs> {
    if headers.contains_key(AGE) { None } else { http_date(headers.get(DATE)?.to_str().ok()?) }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(text: &str) -> Option<UtcMs> {
    let date = rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(UtcMs(date.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(headers: &[(&'static str, &str)]) -> Answer {
        let pairs = headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        Answer { status: 200, headers: pairs.collect(), body: Vec::new() }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let read = |text: &str| answer(&[("retry-after", text)]).retry_after();
        assert_eq!(read(" 120 "), Some(RetryAfter::Wait(Duration::from_secs(120))));
        // The example of RFC 9110, section 5.6.7.
        let at = "1994-11-06T08:49:37Z".parse().unwrap();
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(RetryAfter::At(at)));
        for none in ["", "soon", "-5", "1.5", "Sun, 99 Nov 1994 08:49:37 GMT"] {
            assert_eq!(read(none), None, "{none}");
        }
        assert_eq!(answer(&[]).retry_after(), None);
    }

    #[test]
    fn the_date_of_a_kept_answer_says_nothing_about_now() {
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(answer(&[date]).date(), Some("1994-11-06T08:49:37Z".parse().unwrap()));
        assert_eq!(answer(&[date, ("age", "600")]).date(), None);
        assert_eq!(answer(&[("date", "yesterday")]).date(), None);
    }

    #[test]
    fn a_limit_that_is_no_number_is_none() {
        assert_eq!(answer(&[("x-ratelimit-remaining", "17")]).number("x-ratelimit-remaining"), Some(17));
        assert_eq!(answer(&[("x-ratelimit-remaining", "many")]).number("x-ratelimit-remaining"), None);
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(text in "[ -~]{0,40}") {
            let answer = answer(&[("retry-after", &text), ("date", &text), ("x-left", &text)]);
            let _ = (answer.retry_after(), answer.date(), answer.number("x-left"));
        }
    }
}
