//! The vendors' stand-in: its replies have the documented shapes, and each trouble is what its name says. The client here is a plain
//! socket.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a failing test should panic")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use sentinel_testbed::vendors::{Fault, Market, Options, Vendors};
use serde_json::{Value, json};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// 2017-06-14T12:30:00Z, a Wednesday.
const NOW: i64 = 1_497_443_400_000;

fn market() -> Market {
    let tickers = ["EURUSD.FOREX", "eurusd", "btcusd"].map(str::to_owned).to_vec();
    Market { tickers, ..Market::plain("", 1.1, 5) }
}

fn start(market: Market, fault: Option<Fault>) -> Vendors {
    let options =
        Options { market, now: Arc::new(|| NOW), key: "k3y".to_owned(), plan: Arc::new(move |_, _| fault.clone()) };
    Vendors::start(options).unwrap()
}

/// All bytes of the answer to a request, with these lines of its head.
fn raw(vendors: &Vendors, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(vendors.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(vendors: &Vendors, target: &str, authorization: &str) -> (u16, String, String) {
    let request =
        format!("GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\nConnection: close\r\n\r\n");
    let answer = raw(vendors, request.as_bytes());
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, head.to_owned(), body.to_owned())
}

fn rows(body: &str) -> Vec<Value> {
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

fn eodhd(interval: &str, from: i64, to: i64) -> String {
    format!("/api/intraday/EURUSD.FOREX?interval={interval}&from={}&to={}&fmt=json", from / 1000, to / 1000)
}

#[test]
fn a_row_of_eodhd_has_its_fields_and_the_newest_one_is_forming() {
    let vendors = start(market(), None);
    let (status, head, body) = get(&vendors, &eodhd("1h", NOW - 3 * HOUR, NOW), "Bearer k3y");
    assert_eq!(status, 200);
    assert!(head.contains("Date: Wed, 14 Jun 2017 12:30:00 GMT") && head.contains("X-RateLimit-Remaining: "), "{head}");
    let rows = rows(&body);
    let times: Vec<_> = rows.iter().map(|row| row["datetime"].as_str().unwrap()).collect();
    assert_eq!(times, ["2017-06-14 10:00:00", "2017-06-14 11:00:00", "2017-06-14 12:00:00"]);
    assert_eq!(rows[0]["timestamp"], json!(1_497_434_400));
    assert_eq!((&rows[0]["gmtoffset"], &rows[0]["volume"]), (&json!(0), &Value::Null));
    let price = |row: &Value, name: &str| row[name].as_f64().unwrap();
    for row in &rows {
        assert!(price(row, "low") < price(row, "open") && price(row, "close") < price(row, "high"), "{row}");
    }
    let later = start(market(), None);
    let (_, _, whole) = get(&later, &eodhd("1h", NOW - 3 * HOUR, NOW - HOUR), "Bearer k3y");
    assert_eq!(self::rows(&whole)[..], rows[..2], "a closed bar is the same for everyone");
}

#[test]
fn a_key_is_taken_where_the_vendor_takes_it_and_is_not_logged() {
    let vendors = start(market(), None);
    let target = eodhd("1m", NOW - HOUR, NOW);
    assert_eq!(get(&vendors, &target, "Bearer wrong").2, r#"{"message":"Unauthenticated"}"#);
    assert_eq!(get(&vendors, &format!("{target}&api_token=k3y"), "").0, 200);
    assert_eq!(get(&vendors, "/tiingo/fx/eurusd/prices", "Bearer wrong").0, 401);
    let log = vendors.log().all();
    assert_eq!(log.iter().map(|asked| asked.has_key).collect::<Vec<_>>(), [false, true, false]);
    // Each vendor has its own scheme.
    assert_eq!(get(&vendors, &target, "Token k3y").0, 401);
    assert_eq!(get(&vendors, "/tiingo/fx/eurusd/prices", "Bearer k3y").0, 401);
    assert_eq!(get(&vendors, "/tiingo/fx/eurusd/prices?api_token=k3y", "").0, 401);
    assert!(log.iter().all(|asked| asked.query.iter().all(|(name, _)| name != "api_token")));
}

#[test]
fn eodhd_refuses_what_it_does_not_have() {
    let vendors = start(market(), None);
    let status = |target: &str| get(&vendors, target, "Bearer k3y");
    let (code, _, body) = status(&eodhd("5m", NOW - 601 * 24 * HOUR, NOW));
    assert_eq!((code, body.contains("Max period length is 600 days")), (422, true));
    assert_eq!(status(&eodhd("15m", NOW - HOUR, NOW)).0, 422);
    assert_eq!(status("/api/intraday/NONE.FOREX?interval=1m&from=0&to=1").0, 404);
    assert_eq!(status("/api/intraday/EURUSD.FOREX?interval=1m&from=a&to=1").0, 422);
    for (from, to) in [(i64::MIN, i64::MAX), (i64::MAX, i64::MAX), (i64::MIN, i64::MIN)] {
        assert_eq!(status(&format!("/api/intraday/EURUSD.FOREX?interval=1m&from={from}&to={to}")).0, 422);
    }
}

#[test]
fn tiingo_has_crypto_in_a_list_of_tickers_and_fx_in_a_list_of_rows() {
    let vendors = start(market(), None);
    let days = "startDate=2017-06-14&endDate=2017-06-15&resampleFreq=1hour";
    let (_, _, crypto) = get(&vendors, &format!("/tiingo/crypto/prices?tickers=btcusd&{days}"), "Token k3y");
    let crypto = rows(&crypto);
    assert_eq!((crypto.len(), &crypto[0]["ticker"]), (1, &json!("btcusd")));
    let prices = crypto[0]["priceData"].as_array().unwrap();
    assert_eq!((prices.len(), &prices[0]["date"]), (13, &json!("2017-06-14T00:00:00+00:00")));
    assert_eq!(prices[0]["tradesDone"], json!(284.0));
    let (_, _, fx) = get(&vendors, &format!("/tiingo/fx/eurusd/prices?{days}"), "Token k3y");
    let fx = rows(&fx);
    assert_eq!(
        (fx.len(), &fx[0]["date"], &fx[0]["ticker"]),
        (13, &json!("2017-06-14T00:00:00.000Z"), &json!("eurusd"))
    );
    assert!(fx[0].get("volume").is_none());
    let (status, _, words) = get(&vendors, &format!("/tiingo/fx/none/prices?{days}"), "Token k3y");
    assert_eq!((status, words.as_str()), (200, "Error: Ticker 'none' not found"));
    let minutes = "startDate=2017-01-01&endDate=2017-06-15&resampleFreq=1min";
    let (_, _, many) = get(&vendors, &format!("/tiingo/fx/eurusd/prices?{minutes}"), "Token k3y");
    assert_eq!(rows(&many).len(), 10_000);
}

#[test]
fn oddities_are_where_the_test_has_put_them() {
    let odd = Market {
        gaps: vec![(NOW - 10 * HOUR, NOW - 9 * HOUR)],
        late: vec![(NOW - 3 * HOUR, NOW - 2 * HOUR, 5 * HOUR)],
        revisions: vec![(NOW - 6 * HOUR, NOW - 5 * HOUR, NOW), (NOW - 8 * HOUR, NOW - 7 * HOUR, NOW + 1)],
        weekend: Some(((4 * 24 + 21) * 60, (6 * 24 + 21) * 60)),
        nulls: 100,
        zeros: 100,
        ..market()
    };
    let minute = |hours: i64| NOW - hours * HOUR;
    assert_eq!(odd.bar(minute(10), MINUTE, NOW), None);
    assert_eq!(odd.bar(minute(3), MINUTE, NOW), None);
    assert!(odd.bar(minute(3), MINUTE, NOW + 3 * HOUR).is_some());
    assert_eq!(odd.bar(NOW, MINUTE, NOW - 1), None, "it has not opened yet");
    let plain = Market { nulls: 0, zeros: 0, ..odd.clone() };
    assert_ne!(plain.bar(minute(6), MINUTE, NOW), plain.bar(minute(6), MINUTE, NOW - 1));
    assert_eq!(plain.bar(minute(8), MINUTE, NOW), plain.bar(minute(8), MINUTE, NOW - 1));
    let saturday = NOW + 3 * 24 * HOUR;
    assert_eq!(plain.bar(saturday, MINUTE, saturday + HOUR), None);
    assert!(Market { has_weekend_rows: true, ..plain }.bar(saturday, MINUTE, saturday + HOUR).is_some());
    let of = |pick: fn(Option<f64>) -> bool| {
        let bars = (0..5000).filter_map(|back| odd.bar(NOW - 20 * HOUR - back * MINUTE, MINUTE, NOW));
        bars.filter(|bar| pick(bar.close)).count()
    };
    assert!((180..400).contains(&of(|close| close.is_none())), "{}", of(|close| close.is_none()));
    assert!((180..400).contains(&of(|close| close == Some(0.0))));
}

#[test]
fn each_trouble_is_what_its_name_says() {
    let target = eodhd("1m", NOW - HOUR, NOW);
    let with = |fault: Fault| {
        let vendors = start(market(), Some(fault));
        get(&vendors, &target, "Bearer k3y")
    };
    let (_, _, whole) = get(&start(market(), None), &target, "Bearer k3y");
    let limit = Fault::Status { code: 429, headers: vec![("Retry-After", "7".to_owned())], body: "slow".to_owned() };
    let (status, head, body) = with(limit);
    assert_eq!((status, head.contains("Retry-After: 7"), body.as_str()), (429, true, "slow"));
    let (status, head, body) = with(Fault::Truncated);
    assert!(status == 200 && head.contains(&format!("Content-Length: {}", whole.len())));
    assert_eq!(body, whole[..whole.len() / 2]);
    assert!(with(Fault::Oversized).2.len() > 16 << 20);
    let vendors = start(market(), Some(Fault::Compressed));
    let request = format!("GET {target} HTTP/1.1\r\nAuthorization: Bearer k3y\r\nConnection: close\r\n\r\n");
    let answer = raw(&vendors, request.as_bytes());
    // Stored blocks hold the right answer as it is.
    assert!(answer.contains("Content-Encoding: gzip") && answer.contains(&whole), "{answer}");
    assert_eq!(with(Fault::Reset), (0, String::new(), String::new()));
    assert!(with(Fault::DateOff(-45)).1.contains("Date: Wed, 14 Jun 2017 12:29:15 GMT"));
    assert_eq!(with(Fault::words("later")), (200, with(Fault::words("later")).1, "later".to_owned()));
    let short = eodhd("1h", NOW - HOUR, NOW - HOUR);
    let vendors = start(market(), Some(Fault::Dribble));
    assert_eq!(get(&vendors, &short, "Bearer k3y").2, get(&start(market(), None), &short, "Bearer k3y").2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_request_ends_the_server(bytes in prop::collection::vec(any::<u8>(), 0..300), path in "[/a-z0-9?&=.%-]{0,60}") {
        thread_local! { static VENDORS: Vendors = start(market(), None); }
        VENDORS.with(|vendors| {
            let mut request = bytes.clone();
            request.extend_from_slice(b"\r\n\r\n");
            let mut stream = TcpStream::connect(vendors.address()).unwrap();
            stream.write_all(&request).unwrap();
            drop(stream);
            let _ = get(vendors, &format!("/{path}"), "Bearer k3y");
            assert_eq!(get(vendors, &eodhd("1h", NOW - HOUR, NOW), "Bearer k3y").0, 200);
        });
    }
}
