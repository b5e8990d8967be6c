//! What the vendors answer to a request that meets no trouble.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::Options;
use super::market::Prices;

const DAY_MS: i64 = 86_400_000;
/// Tiingo's largest answer.
const ROWS_MAX: usize = 10_000;

/// An answer.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: String,
    pub(super) rows: usize,
}

impl Reply {
    fn refused(status: u16, body: &str) -> Self {
        Self { status, body: body.to_owned(), rows: 0 }
    }
}

/// The answer to a path with its parameters.
pub(super) fn reply(options: &Options, path: &str, query: &[(String, String)], has_key: bool) -> Reply {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let get = |name: &str| query.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
    match parts.as_slice() {
        ["api", "intraday", _] if !has_key => Reply::refused(401, r#"{"message":"Unauthenticated"}"#),
        ["api", "intraday", ticker] => eodhd(options, ticker, &get),
        ["tiingo", ..] if !has_key => Reply::refused(401, r#"{"detail":"Invalid token."}"#),
        ["tiingo", "crypto", "prices"] => tiingo(options, get("tickers"), true, &get),
        ["tiingo", "fx", ticker, "prices"] => tiingo(options, ticker, false, &get),
        _ => Reply::refused(404, "Not Found"),
    }
}

fn eodhd<'q>(options: &Options, ticker: &str, get: &impl Fn(&str) -> &'q str) -> Reply {
    if !options.market.tickers.iter().any(|known| known == ticker) {
        return Reply::refused(404, "Ticker Not Found.");
    }
    let (length, days) = match get("interval") {
        "1m" => (60, 120),
        "5m" => (300, 600),
        "1h" => (3600, 7200),
        _ => return Reply::refused(422, r#"{"errors":{"interval":["The selected interval is invalid."]}}"#),
    };
    let (Ok(from), Ok(to)) = (get("from").parse::<i64>(), get("to").parse::<i64>()) else {
        return Reply::refused(422, r#"{"errors":{"from":["The from must be an integer."]}}"#);
    };
    let (Some(from_ms), Some(to_ms), Some(span)) = (from.checked_mul(1000), to.checked_mul(1000), to.checked_sub(from))
    else {
        return Reply::refused(422, r#"{"errors":{"from":["The from is too large."]}}"#);
    };
    if span > days * 86_400 {
        let text = format!(
            r#"{{"errors":{{"to":["Max period length is {days} days"],"from":["Max period length is {days} days"]}}}}"#
        );
        return Reply::refused(422, &text);
    }
    let (mut body, mut rows) = ("[".to_owned(), 0);
    for (open, prices) in bars(options, from_ms, to_ms, length * 1000) {
        let separator = if rows == 0 { "" } else { "," };
        let time = Timestamp::from_millisecond(open).unwrap_or_default();
        let Prices { open: o, high, low, close, volume } = prices;
        let _ = write!(
            body,
            r#"{separator}{{"timestamp":{},"gmtoffset":0,"datetime":"{}","open":{},"high":{},"low":{},"close":{},"volume":{}}}"#,
            open / 1000,
            time.strftime("%Y-%m-%d %H:%M:%S"),
            json(o),
            json(high),
            json(low),
            json(close),
            json(volume)
        );
        rows += 1;
    }
    Reply { status: 200, body: body + "]", rows }
}

fn tiingo<'q>(options: &Options, ticker: &str, is_crypto: bool, get: &impl Fn(&str) -> &'q str) -> Reply {
    if !options.market.tickers.iter().any(|known| known == ticker) {
        return Reply { status: 200, body: format!("Error: Ticker '{ticker}' not found"), rows: 0 };
    }
    let length = match get("resampleFreq") {
        "1min" => 60,
        "5min" => 300,
        "15min" => 900,
        "30min" => 1800,
        "1hour" => 3600,
        "4hour" => 14_400,
        _ => return Reply::refused(400, r#"{"detail":"Invalid resampleFreq."}"#),
    };
    let day = |name: &str| {
        let date: Date = get(name).parse().ok()?;
        Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond())
    };
    let (Some(from), Some(to)) = (day("startDate"), day("endDate")) else {
        return Reply::refused(400, r#"{"detail":"Invalid date."}"#);
    };
    let mut list = String::new();
    let mut rows = 0;
    for (open, prices) in bars(options, from, to + DAY_MS - 1, length * 1000).take(ROWS_MAX) {
        let separator = if rows == 0 { "" } else { "," };
        let time = Timestamp::from_millisecond(open).unwrap_or_default();
        let date = if is_crypto {
            time.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string()
        } else {
            time.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string()
        };
        let Prices { open: o, high, low, close, .. } = prices;
        let more = if is_crypto {
            r#","volume":3.5,"volumeNotional":1000.25,"tradesDone":284.0"#.to_owned()
        } else {
            format!(r#","ticker":"{ticker}""#)
        };
        let _ = write!(
            list,
            r#"{separator}{{"date":"{date}","open":{},"high":{},"low":{},"close":{}{more}}}"#,
            json(o),
            json(high),
            json(low),
            json(close)
        );
        rows += 1;
    }
    let body = if is_crypto {
        format!(r#"[{{"ticker":"{ticker}","baseCurrency":"btc","quoteCurrency":"usd","priceData":[{list}]}}]"#)
    } else {
        format!("[{list}]")
    };
    Reply { status: 200, body, rows }
}

/// The bars that open from `from` to `to`, oldest first.
fn bars(options: &Options, from: i64, to: i64, length: i64) -> impl Iterator<Item = (i64, Prices)> + '_ {
    let now = (options.now)();
    let first = from.div_euclid(length) + i64::from(from.rem_euclid(length) != 0);
    let last = to.min(now).div_euclid(length);
    (first..=last).filter_map(move |number| {
        let open = number * length;
        Some((open, options.market.bar(open, length, now)?))
    })
}

fn json(value: Option<f64>) -> String {
    value.map_or_else(|| "null".to_owned(), |value| value.to_string())
}
