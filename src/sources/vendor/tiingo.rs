//! Tiingo: `GET /tiingo/crypto/prices` (<https://www.tiingo.com/documentation/crypto>) and `GET /tiingo/fx/{ticker}/prices`
//! (<https://www.tiingo.com/documentation/forex>).
//!
//! `date` is the bar's open, with `Z` or with an offset. FX has no volume. Ranges are whole days, and an answer has at most
//! 10,000 rows. A refusal may come with status 200, as words or as an object with `detail`.

use std::time::Duration;

use jiff::Timestamp;
use sentinel_actors::domain::bar::{Interval, RawBar};
use sentinel_actors::domain::time::UtcMs;
use serde::Deserialize;

use super::eodhd::looks_like_words;
use super::refusal::{Refusal, by_status, text};
use super::{Ask, Market};
use crate::http::{Answer, Url};

const DAY: Duration = Duration::from_secs(86_400);

/// Rows of an answer.
const ROWS_MAX: u64 = 10_000;

/// Whole days at both ends of a range, and the one after it.
const DAYS_BESIDE: u64 = 3;

/// Lengths of bars that there are, and their names.
const INTERVALS: [(u64, &str); 6] =
    [(60, "1min"), (300, "5min"), (900, "15min"), (1800, "30min"), (3600, "1hour"), (14_400, "4hour")];

#[derive(Deserialize)]
struct Row<'a> {
    #[serde(borrow)]
    date: &'a str,
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
    /// FX: rows of several tickers are in one list.
    #[serde(borrow, default)]
    ticker: Option<&'a str>,
}

/// Crypto: the rows of one ticker.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ticker<'a> {
    ticker: &'a str,
    #[serde(borrow)]
    price_data: Vec<Row<'a>>,
}

/// The ticker of a symbol such as `EURUSD`.
pub(super) fn ticker(symbol: &str) -> String {
    symbol.to_ascii_lowercase()
}

fn named(interval: Interval) -> Option<&'static str> {
    INTERVALS.iter().find(|(seconds, _)| *seconds == interval.length().as_secs()).map(|(_, name)| *name)
}

/// The longest range of one request; `None`: there are no bars of this length.
pub(super) fn span_max(interval: Interval) -> Option<Duration> {
    named(interval)?;
    let days = ROWS_MAX * interval.length().as_secs() / DAY.as_secs();
    Some(DAY * u32::try_from(days.saturating_sub(DAYS_BESIDE)).unwrap_or(1).max(1))
}

pub(super) fn url(base: &Url, ask: &Ask<'_>) -> Url {
    let mut url = base.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().push("tiingo");
        match ask.market {
            Market::Crypto => path.extend(["crypto", "prices"]),
            Market::Fx => path.extend(["fx", ask.ticker, "prices"]),
        };
    }
    let mut query = url.query_pairs_mut();
    if ask.market == Market::Crypto {
        query.append_pair("tickers", ask.ticker);
    }
    // Days are whole; one more at the end, because the last one can be left out.
    query
        .append_pair("startDate", &date(ask.first))
        .append_pair("endDate", &date(ask.last.plus(DAY)))
        .append_pair("resampleFreq", named(ask.interval).unwrap_or_default());
    drop(query);
    url
}

fn date(at: UtcMs) -> String {
    at.timestamp().strftime("%Y-%m-%d").to_string()
}

/// The bars of an answer.
///
/// # Errors
/// What it says instead.
pub(super) fn read(answer: &Answer, ask: &Ask<'_>) -> Result<Vec<RawBar>, Refusal> {
    let body = &answer.body;
    if answer.status != 200 {
        return Err(by_status(answer.status, body));
    }
    let rows = match ask.market {
        Market::Fx => serde_json::from_slice::<Vec<Row<'_>>>(body),
        Market::Crypto => serde_json::from_slice::<Vec<Ticker<'_>>>(body).map(|tickers| {
            let own = tickers.into_iter().filter(|ticker| ticker.ticker.eq_ignore_ascii_case(ask.ticker));
            own.flat_map(|ticker| ticker.price_data).collect()
        }),
    };
    let Ok(rows) = rows else { return Err(refusal(body)) };
    let is_own = |row: &Row<'_>| row.ticker.is_none_or(|ticker| ticker.eq_ignore_ascii_case(ask.ticker));
    let bars: Option<Vec<RawBar>> = rows.into_iter().filter(is_own).map(bar).collect();
    bars.ok_or_else(|| Refusal::Unreadable(text(body)))
}

/// Status 200 and no bars. A limit and an unknown ticker can both be words, so words mean neither.
fn refusal(body: &[u8]) -> Refusal {
    match serde_json::from_slice::<serde_json::Value>(body) {
        Ok(serde_json::Value::Object(object)) if object.contains_key("detail") => Refusal::TooOften(text(body)),
        Ok(serde_json::Value::Array(_)) => Refusal::Unreadable(text(body)),
        Ok(_) => Refusal::Words(text(body)),
        Err(_) if looks_like_words(body) => Refusal::Words(text(body)),
        Err(_) => Refusal::Unreadable(text(body)),
    }
}

fn bar(row: Row<'_>) -> Option<RawBar> {
    let Row { date, open, high, low, close, volume, .. } = row;
    let time = UtcMs(date.parse::<Timestamp>().ok()?.as_millisecond());
    Some(RawBar { time, open, high, low, close, volume })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::refusal::Refusal::{
        Credentials, Request, Ticker as Unknown, TooOften, Trouble, Unreadable, Words,
    };
    use super::*;

    fn ask(market: Market) -> Ask<'static> {
        let ticker = if market == Market::Fx { "eurusd" } else { "btcusd" };
        let at = |text: &str| text.parse().unwrap();
        let interval = Interval::new(Duration::from_secs(3600)).unwrap();
        Ask { ticker, market, interval, first: at("2026-09-03T05:00:00Z"), last: at("2026-09-04T23:00:00Z") }
    }

    fn answer(market: Market, body: &str) -> Result<Vec<RawBar>, Refusal> {
        read(&Answer::new(200, body.as_bytes().to_vec()), &ask(market))
    }

    fn at(hour: u32) -> RawBar {
        let time = format!("2026-09-03T{hour:02}:00:00Z").parse().unwrap();
        RawBar { time, open: Some(1.0), high: Some(2.0), low: Some(0.5), close: Some(1.5), volume: None }
    }

    #[test]
    fn whole_days_are_asked_for_and_one_more() {
        let base = "https://api.tiingo.com/".parse().unwrap();
        assert_eq!(
            url(&base, &ask(Market::Crypto)).as_str(),
            "https://api.tiingo.com/tiingo/crypto/prices?tickers=btcusd&startDate=2026-09-03&endDate=2026-09-05&resampleFreq=1hour"
        );
        assert_eq!(
            url(&base, &ask(Market::Fx)).as_str(),
            "https://api.tiingo.com/tiingo/fx/eurusd/prices?startDate=2026-09-03&endDate=2026-09-05&resampleFreq=1hour"
        );
    }

    #[test]
    fn a_request_with_whole_days_around_it_stays_below_ten_thousand_rows() {
        for seconds in INTERVALS.map(|(seconds, _)| seconds) {
            let interval = Interval::new(Duration::from_secs(seconds)).unwrap();
            assert!((span_max(interval).unwrap() + DAY * 3).as_secs() / seconds <= ROWS_MAX, "{interval}");
        }
    }

    #[test]
    fn crypto_rows_are_in_their_tickers_list_with_either_form_of_date() {
        let prices = r#""open":1.0,"high":2.0,"low":0.5,"close":1.5"#;
        let body = format!(
            r#"[{{"ticker":"ethusd","priceData":[{{"date":"2026-09-03T01:00:00+00:00",{prices}}}]}},
                {{"ticker":"BTCUSD","baseCurrency":"btc","quoteCurrency":"usd","priceData":[
                  {{"date":"2026-09-03T02:00:00+00:00",{prices},"volume":7.5,"volumeNotional":1e9,"tradesDone":284.0}},
                  {{"date":"2026-09-03T05:00:00+02:00",{prices}}}]}}]"#
        );
        let first = RawBar { volume: Some(7.5), ..at(2) };
        assert_eq!(answer(Market::Crypto, &body).unwrap(), [first, at(3)]);
        assert_eq!(answer(Market::Crypto, "[]"), Ok(Vec::new()));
    }

    #[test]
    fn fx_rows_of_other_tickers_are_not_its_bars() {
        let prices = r#""open":1.0,"high":2.0,"low":0.5,"close":1.5"#;
        let row = |hour: u32, ticker: &str| {
            format!(r#"{{"date":"2026-09-03T{hour:02}:00:00.000Z","ticker":"{ticker}",{prices}}}"#)
        };
        let body = format!("[{},{}]", row(4, "eurusd"), row(4, "gbpusd"));
        assert_eq!(answer(Market::Fx, &body).unwrap(), [at(4)]);
    }

    #[test]
    fn words_and_details_with_status_200_are_refusals_and_never_no_bars() {
        let meaning = |answer: Result<Vec<RawBar>, Refusal>| std::mem::discriminant(&answer.unwrap_err());
        let is = |refusal: Refusal| std::mem::discriminant(&refusal);
        let none = String::new;
        for (body, expected) in [
            (r#"{"detail":"You have run over your hourly request allocation"}"#, TooOften(none())),
            ("You have run over your 500 symbol look up for this month.", Words(none())),
            ("Error: Ticker 'XYZ' not found", Words(none())),
            (r#"{"note":"anything"}"#, Words(none())),
            (r#"[{"date":"yesterday","open":1.0}]"#, Unreadable(none())),
            (r#"[{"open":1.0}]"#, Unreadable(none())),
            (r#"[{"date":"2026-09-03T04:00:00.000Z""#, Unreadable(none())),
        ] {
            assert_eq!(meaning(answer(Market::Fx, body)), is(expected), "{body}");
        }
        let status = |status| meaning(read(&Answer::new(status, b"no".to_vec()), &ask(Market::Fx)));
        for (code, expected) in [
            (401, Credentials(none())),
            (403, Credentials(none())),
            (404, Unknown(none())),
            (400, Request(none())),
            (429, TooOften(none())),
            (502, Trouble(none())),
        ] {
            assert_eq!(status(code), is(expected), "{code}");
        }
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(crypto: bool, body in "[\\[\\]{}\":,a-zA-Z0-9.\\- ]{0,60}") {
            let _ = answer(if crypto { Market::Crypto } else { Market::Fx }, &body);
        }
    }
}
