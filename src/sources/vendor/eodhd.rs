//! EODHD: `GET /api/intraday/{TICKER}` (<https://eodhd.com/financial-apis/intraday-historical-data-api>).
//!
//! Bars of 1m, 5m and 1h. `timestamp` is the bar's open in unix seconds, UTC. Prices are null as a matter of routine; the
//! volume of an FX bar means nothing. Two documents of the vendor disagree about defaults, so every parameter is sent.

use std::time::Duration;

use sentinel_actors::domain::bar::{Interval, RawBar};
use sentinel_actors::domain::time::UtcMs;
use serde::Deserialize;

use super::refusal::{Refusal, by_status, text};
use super::{Ask, Market};
use crate::http::{Answer, Url};

/// Lengths of bars that there are, with their names and the longest range of a request. The vendor allows four to five
/// times as much, which would be more than an answer may have in bytes.
const INTERVALS: [(u64, &str, u64); 3] = [(60, "1m", 30), (300, "5m", 150), (3600, "1h", 1800)];

#[derive(Deserialize)]
struct Row {
    timestamp: i64,
    #[serde(default)]
    open: Option<f64>,
    #[serde(default)]
    high: Option<f64>,
    #[serde(default)]
    low: Option<f64>,
    #[serde(default)]
    close: Option<f64>,
    #[serde(default)]
    volume: Option<f64>,
}

#[derive(Deserialize)]
struct Coded {
    code: u16,
}

/// The ticker of a symbol such as `EURUSD`.
pub(super) fn ticker(symbol: &str, market: Market) -> String {
    match market {
        Market::Fx => format!("{symbol}.FOREX"),
        Market::Crypto => match symbol.split_at_checked(3) {
            Some((base, quote)) if !quote.is_empty() => format!("{base}-{quote}.CC"),
            _ => format!("{symbol}.CC"),
        },
    }
}

fn named(interval: Interval) -> Option<(&'static str, Duration)> {
    let (_, name, days) = INTERVALS.iter().find(|(seconds, ..)| *seconds == interval.length().as_secs())?;
    Some((name, Duration::from_secs(days * 86_400)))
}

/// The longest range of one request; `None`: there are no bars of this length.
pub(super) fn span_max(interval: Interval) -> Option<Duration> {
    named(interval).map(|(_, span)| span)
}

pub(super) fn url(base: &Url, ask: &Ask<'_>) -> Url {
    let mut url = base.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(["api", "intraday", ask.ticker]);
    }
    let interval = named(ask.interval).map_or("", |(name, _)| name);
    // Both ends count as inside; this end names no bar but the last one, whichever way the vendor rounds.
    let to = ask.interval.close_of(ask.last).secs() - 1;
    url.query_pairs_mut()
        .append_pair("interval", interval)
        .append_pair("from", &ask.first.secs().to_string())
        .append_pair("to", &to.to_string())
        .append_pair("fmt", "json");
    url
}

/// The bars of an answer.
///
/// # Errors
/// What it says instead.
pub(super) fn read(answer: &Answer) -> Result<Vec<RawBar>, Refusal> {
    let body = &answer.body;
    if answer.status != 200 {
        return Err(refusal(answer.status, body));
    }
    if let Ok(rows) = serde_json::from_slice::<Vec<Row>>(body) {
        return Ok(rows.into_iter().map(RawBar::from).collect());
    }
    match serde_json::from_slice::<serde_json::Value>(body) {
        Ok(serde_json::Value::Object(_)) => Err(serde_json::from_slice::<Coded>(body)
            .map_or_else(|_| Refusal::Words(text(body)), |coded| refusal(coded.code, body))),
        Err(_) if looks_like_words(body) => Err(Refusal::Words(text(body))),
        _ => Err(Refusal::Unreadable(text(body))),
    }
}

/// Neither the beginning of a list nor of an object: a sentence, or a page.
pub(super) fn looks_like_words(body: &[u8]) -> bool {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    first.is_some_and(|byte| !matches!(byte, b'[' | b'{'))
}

fn refusal(status: u16, body: &[u8]) -> Refusal {
    match by_status(status, body) {
        // The day's calls are used up, until midnight GMT.
        Refusal::Request(said) if status == 402 => Refusal::DayUsedUp(said),
        other => other,
    }
}

impl From<Row> for RawBar {
    fn from(row: Row) -> Self {
        let Row { timestamp, open, high, low, close, volume } = row;
        Self { time: UtcMs(timestamp.saturating_mul(1000)), open, high, low, close, volume }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::refusal::Refusal::{
        Credentials, DayUsedUp, Request, Ticker, TooOften, Trouble, Unreadable, Words,
    };
    use super::*;

    fn answer(status: u16, body: &str) -> Result<Vec<RawBar>, Refusal> {
        read(&Answer::new(status, body.as_bytes().to_vec()))
    }

    fn minute() -> Interval {
        Interval::new(Duration::from_secs(60)).unwrap()
    }

    #[test]
    fn every_parameter_is_sent_and_the_end_is_inside_the_last_bar() {
        let ask = Ask {
            ticker: "EURUSD.FOREX",
            market: Market::Fx,
            interval: minute(),
            first: UtcMs::from_secs(600),
            last: UtcMs::from_secs(660),
        };
        let base = "https://eodhd.com".parse().unwrap();
        assert_eq!(
            url(&base, &ask).as_str(),
            "https://eodhd.com/api/intraday/EURUSD.FOREX?interval=1m&from=600&to=719&fmt=json"
        );
    }

    #[test]
    fn tickers_follow_the_vendors_two_lists() {
        assert_eq!(ticker("EURUSD", Market::Fx), "EURUSD.FOREX");
        assert_eq!(ticker("BTCUSD", Market::Crypto), "BTC-USD.CC");
        assert_eq!(ticker("BTC", Market::Crypto), "BTC.CC");
    }

    #[test]
    fn a_row_is_a_bar_with_its_nulls() {
        let row = |values: &str| {
            format!(r#"[{{"timestamp":1756872000,"gmtoffset":0,"datetime":"2025-09-03 04:00:00",{values}}}]"#)
        };
        let whole = answer(200, &row(r#""open":1.16,"high":1.17,"low":1.15,"close":1.165,"volume":12"#)).unwrap();
        let time = "2025-09-03T04:00:00Z".parse().unwrap();
        let bar = RawBar {
            time,
            open: Some(1.16),
            high: Some(1.17),
            low: Some(1.15),
            close: Some(1.165),
            volume: Some(12.0),
        };
        assert_eq!(whole, [bar]);
        let null = answer(200, &row(r#""open":null,"high":null,"low":null,"close":null,"volume":null"#)).unwrap();
        assert_eq!(null, [RawBar { time, open: None, high: None, low: None, close: None, volume: None }]);
        assert_eq!(answer(200, "[]"), Ok(Vec::new()));
    }

    #[test]
    fn every_refusal_has_its_meaning() {
        let meaning = |status, body: &str| std::mem::discriminant(&answer(status, body).unwrap_err());
        let is = |refusal: Refusal| std::mem::discriminant(&refusal);
        let none = String::new;
        for (status, body, expected) in [
            (401, r#"{"message":"Unauthenticated"}"#, Credentials(none())),
            (402, "You exceeded your daily API requests limit", DayUsedUp(none())),
            (403, "Only EOD data allowed for free users", Credentials(none())),
            (200, r#"{"error":"Only EOD data allowed for free users","code":403}"#, Credentials(none())),
            (404, "Ticker Not Found.", Ticker(none())),
            (422, r#"{"errors":{"to":["Max period length is 600 days"]}}"#, Request(none())),
            (429, "", TooOften(none())),
            (302, "", Request(none())),
            (503, "", Trouble(none())),
            (200, r#"{"message":"anything"}"#, Words(none())),
            (200, "Service is under maintenance", Words(none())),
            (200, "<html>", Words(none())),
            (200, r#"[{"timestamp":17"#, Unreadable(none())),
            (200, r#"[{"time":1}]"#, Unreadable(none())),
            (200, "", Unreadable(none())),
        ] {
            assert_eq!(meaning(status, body), is(expected), "{status} {body}");
        }
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(status in 100_u16..600, body in "[\\[\\]{}\":,a-z0-9.\\- ]{0,60}") {
            let _ = answer(status, &body);
        }
    }
}
