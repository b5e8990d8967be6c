//! A vendor's bad week: what it does wrong costs slots, each with its reason, and never a decision on bars that were not there.

use std::collections::BTreeMap;

use sentinel_actors::domain::bar::{Cleaning, RawBar, clean};
use sentinel_actors::domain::time::UtcMs;
use sentinel_testbed::vendors::{Asked, Fault, Market};

use super::support::*;

const MONDAY: &str = "2017-06-12T00:00:00Z";
const WINDOW: usize = 200;

fn hour_of(at: i64) -> i64 {
    (at - self::at(MONDAY)).div_euclid(HOUR)
}

/// By hour of the week: what the vendor does instead of answering, and how the slot ends.
fn troubles(is_eodhd: bool) -> BTreeMap<i64, (Fault, &'static str)> {
    let limit = |retry_after: &str| Fault::Status {
        code: 429,
        headers: vec![("Retry-After", retry_after.to_owned())],
        body: "Too Many Requests".to_owned(),
    };
    let elsewhere = vec![("Location", "http://127.0.0.1:9/".to_owned())];
    let detail = r#"{"detail":"Error: You have run over your hourly request allocation"}"#;
    [
        (Fault::status(401, r#"{"message":"Unauthenticated"}"#), "source_unauthorised"),
        // A key that a vendor echoes must not get anywhere either.
        (Fault::status(403, &format!("Only EOD data allowed for free users, {KEY}")), "source_unauthorised"),
        (Fault::status(404, "Ticker Not Found."), "source_failed"),
        (Fault::status(422, r#"{"errors":{"to":["Max period length is 600 days"]}}"#), "source_failed"),
        (limit("20"), "source_rate_limited"),
        (limit("Mon, 12 Jun 2017 14:30:00 GMT"), "source_rate_limited"),
        // The other vendor says so with status 200.
        (Fault::words(detail), if is_eodhd { "source_failed" } else { "source_rate_limited" }),
        (Fault::words("You have run over your 500 symbol look up for this month."), "source_failed"),
        (Fault::words("[{\"timestamp\":"), "source_failed"),
        (Fault::Hang, "source_timeout"),
        (Fault::Dribble, "source_timeout"),
        (Fault::Truncated, "source_failed"),
        (Fault::Oversized, "source_failed"),
        (Fault::Compressed, "source_failed"),
        (Fault::Reset, "source_failed"),
        (Fault::status(503, "Service Unavailable"), "source_failed"),
        (Fault::Status { code: 302, headers: elsewhere, body: String::new() }, "source_failed"),
        (Fault::DateOff(-45), "clock_off"),
        (Fault::DateOff(45), "clock_off"),
        // By the vendor's clock the due bar is not closed.
        (Fault::DateOff(-20), "clock_off"),
    ]
    .into_iter()
    .zip((3..).step_by(2))
    .map(|(trouble, hour)| (hour, trouble))
    .collect()
}

/// The hour in which the vendor says that the day's calls are used up.
const DAY_USED_UP: i64 = 3 * 24 + 20;
/// Hours whose slots the vendor's wish for rest falls into: after the second 429, and until midnight after 402.
const fn is_rest(hour: i64, is_eodhd: bool) -> bool {
    hour == 14 || (is_eodhd && hour > DAY_USED_UP && hour < 4 * 24)
}

fn market(ticker: &str, has_weekend_rows: bool) -> Market {
    let hour = |number: i64| at(MONDAY) + number * HOUR;
    Market {
        weekend: Some(SUMMER_WEEKEND),
        has_weekend_rows,
        nulls: 50,
        zeros: 10,
        gaps: vec![(hour(61), hour(64))],
        late: vec![(hour(80), hour(81), 150 * MINUTE)],
        revisions: vec![(hour(66), hour(67), hour(67) + 30 * MINUTE), (hour(70), hour(71), hour(71) + 30 * MINUTE)],
        ..Market::plain(ticker, 1.1, 5)
    }
}

fn raw(open: i64, prices: sentinel_testbed::vendors::Prices) -> RawBar {
    let sentinel_testbed::vendors::Prices { open: o, high, low, close, volume } = prices;
    RawBar { time: UtcMs(open), open: o, high, low, close, volume }
}

/// The hour that opens at `open`, as a vendor's own and as it is at `now`.
pub fn native(market: &Market, open: i64, now: i64) -> Option<RawBar> {
    Some(raw(open, market.bar(open, HOUR, now)?))
}

/// The same made of minutes, written from the rule alone: in market hours, 50 of 60, and one of the last five.
fn made(market: &Market, open: i64, now: i64) -> Option<RawBar> {
    let is_open = |minute: &i64| market.is_open(*minute);
    let of_market: Vec<i64> = (0..60).map(|minute| open + minute * MINUTE).filter(is_open).collect();
    let bars: Vec<RawBar> =
        of_market.iter().filter_map(|time| Some(raw(*time, market.bar(*time, MINUTE, now)?))).collect();
    let usable =
        |bar: &&RawBar| [bar.open, bar.high, bar.low, bar.close].iter().all(|price| price.is_some_and(|p| p > 0.0));
    let bars: Vec<&RawBar> = bars.iter().filter(usable).collect();
    let (first, last) = (bars.first()?, bars.last()?);
    let newest = of_market.len().div_ceil(12);
    let is_complete = bars.len() * 60 >= of_market.len() * 50 && last.time.0 >= of_market[of_market.len() - newest];
    let high = bars.iter().filter_map(|bar| bar.high).fold(f64::MIN, f64::max);
    let low = bars.iter().filter_map(|bar| bar.low).fold(f64::MAX, f64::min);
    let hour = RawBar {
        time: UtcMs(open),
        open: first.open,
        high: Some(high),
        low: Some(low),
        close: last.close,
        volume: None,
    };
    is_complete.then_some(hour)
}

/// The digest of the window that was there at `slot`, when its due bar was.
pub fn truth(of: impl Fn(i64, i64) -> Option<RawBar>, slot: i64) -> (bool, String) {
    let due = slot - 2000 - HOUR;
    let bars: Vec<RawBar> = (0..WINDOW as i64 * 3).rev().filter_map(|back| of(due - back * HOUR, slot)).collect();
    let bars = clean(&bars, &Cleaning { tick: 1e-5, times: None, window: Some(WINDOW) });
    (bars.newest().map(|bar| bar.time.0) == Some(due), bars.digest())
}

/// Runs the week, and judges each slot by what the market had.
fn week(source: &str, keys: &str, ticker: &str, is_made: bool, has_weekend_rows: bool) {
    let dir = tempfile::tempdir().unwrap();
    // The first fetch comes before the week begins, so that no trouble is in it.
    let clock = TestClock::new(at(MONDAY) - 30 * MINUTE);
    let market = market(ticker, has_weekend_rows);
    let is_eodhd = ticker == "EURUSD.FOREX";
    let vendor = vendor(market.clone(), &clock, move |_, at| match hour_of(at) {
        DAY_USED_UP if is_eodhd => Some(Fault::status(402, "You exceeded your daily API requests limit.")),
        hour => troubles(is_eodhd).get(&hour).map(|(fault, _)| fault.clone()),
    });
    let model = if is_made { model_of_made_hours(dir.path()) } else { demo("model.onnx") };
    let keys = format!(
        "{keys}\nend = \"2017-06-19T00:00:00Z\"\n[pipeline.deadlines]\nfetch = \"1500ms\"\n[pipeline.data]\nmax_missing_bars = 60"
    );
    run(&config(&order_pipeline("eurusd", &vendor.base_url(), &keys, source, &model), dir.path()), &clock);

    let rows = rows(dir.path(), "eurusd");
    assert_eq!(rows.len(), 7 * 24);
    let log = vendor.log().all();
    let asked_at = |slot: i64| log.iter().filter(|asked| asked.at == slot).count();
    let (mut decided, mut judged) = (0, 0);
    for (row, hour) in rows.iter().zip(0..) {
        assert_eq!(row.slot, at(MONDAY) + hour * HOUR + 2000);
        let of = |open, now| if is_made { made(&market, open, now) } else { native(&market, open, now) };
        let (is_there, digest) = truth(of, row.slot);
        if let Some((fault, reason)) = troubles(is_eodhd).get(&hour) {
            assert_eq!((row.reason.as_str(), row.decided), (*reason, None), "{fault:?} {row:#?}");
            let again = matches!(fault, Fault::Truncated | Fault::Reset | Fault::Status { code: 503, .. });
            let requests = if again { 1..=3 } else { 1..=1 };
            assert!(requests.contains(&asked_at(row.slot)), "{fault:?} {}", asked_at(row.slot));
        } else if is_eodhd && hour == DAY_USED_UP {
            assert_eq!((row.reason.as_str(), asked_at(row.slot)), ("source_rate_limited", 1), "{row:#?}");
        } else if is_rest(hour, is_eodhd) {
            assert_eq!((row.reason.as_str(), asked_at(row.slot)), ("source_rate_limited", 0), "{row:#?}");
        } else if is_there {
            decided += 1;
            assert_eq!(row.decided, Some(row.slot - 2000 - HOUR), "hour {hour}: {row:#?}");
            assert_eq!(row.bars_digest.as_deref(), Some(digest.as_str()), "hour {hour}: {row:#?}");
        } else {
            judged += 1;
            assert_eq!(row.decided, None, "hour {hour}: {row:#?}");
            let reasons = ["stale_data", "bar_already_decided", "market_closed", "gap"];
            assert!(reasons.contains(&row.reason.as_str()), "hour {hour}: {row:#?}");
        }
    }
    assert!(decided > 60 && judged > 5, "{decided} decided, {judged} not");
    requests_are_few(&log);
    the_nodes_count_is_the_vendors(dir.path(), &log);
    no_key_is_anywhere(dir.path());
}

/// Every request was one for a slot, with the key where it belongs.
fn requests_are_few(log: &[Asked]) {
    assert!(log.iter().all(|asked| asked.has_key && (asked.at - at(MONDAY)).rem_euclid(HOUR) == 2000), "{log:#?}");
    assert!(log.len() < 7 * 24 + 10, "{}", log.len());
}

/// Every request was counted, the repeated ones too; the newest ones stay in the file, however old.
fn the_nodes_count_is_the_vendors(dir: &std::path::Path, log: &[Asked]) {
    let cache = rusqlite::Connection::open(dir.join("state/bars.db")).unwrap();
    let counted: u32 = cache.query_row("SELECT sum(requests) FROM request", [], |row| row.get(0)).unwrap();
    assert_eq!(log.len(), counted as usize);
}

pub fn no_key_is_anywhere(dir: &std::path::Path) {
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            no_key_is_anywhere(&entry.path());
        } else {
            let text = std::fs::read(entry.path()).unwrap();
            assert!(!text.windows(KEY.len()).any(|part| part == KEY.as_bytes()), "{}", entry.path().display());
        }
    }
}

#[test]
fn a_bad_week_of_native_hours() {
    week("kind = \"eodhd\"", "made_from = \"native\"", "EURUSD.FOREX", false, false);
}

#[test]
fn a_bad_week_of_hours_made_from_minutes_whose_weekend_has_rows() {
    week("kind = \"eodhd\"", "", "EURUSD.FOREX", true, true);
}

#[test]
fn a_bad_week_of_the_other_vendor() {
    week("kind = \"tiingo\"", "", "eurusd", false, false);
}

#[test]
fn a_budget_is_kept_when_every_minute_wants_a_bar_that_never_comes() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new(at(MONDAY));
    let market = Market {
        late: vec![(at(MONDAY), at(MONDAY) + DAY, DAY)],
        weekend: Some(SUMMER_WEEKEND),
        ..Market::plain("EURUSD.FOREX", 1.1, 5)
    };
    let vendor = vendor(market, &clock, no_fault);
    let keys = "made_from = \"native\"\nschedule = \"every 1m at :58\"\nend = \"2017-06-12T06:00:00Z\"";
    let source = "kind = \"eodhd\"\nrequests_per_hour = 7\nrequests_per_day = 20";
    run(&config(&order_pipeline("eurusd", &vendor.base_url(), keys, source, &demo("model.onnx")), dir.path()), &clock);
    let times: Vec<i64> = vendor.log().all().iter().map(|asked| asked.at).collect();
    assert_eq!(times.len(), 20, "{times:?}");
    assert!(times.windows(8).all(|eight| eight[7] - eight[0] >= HOUR), "{times:?}");
    let rows = rows(dir.path(), "eurusd");
    assert_eq!(rows.len(), 360);
    assert!(rows.iter().filter(|row| row.reason == "source_rate_limited").count() > 250, "{rows:#?}");
}
