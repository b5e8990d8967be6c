//! Each vendor serves a node that decides every hour.

use super::support::*;
use sentinel_testbed::vendors::{Fault, Market};

#[test]
fn a_node_decides_every_hour_of_a_day_on_the_hours_of_a_vendor() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new(at("2017-06-13T23:30:00Z"));
    let market = Market { weekend: Some(SUMMER_WEEKEND), ..Market::plain("EURUSD.FOREX", 1.1, 5) };
    let vendor = vendor(market, &clock, no_fault);
    let keys = "made_from = \"native\"\nend = \"2017-06-15T00:00:00Z\"";
    let text = order_pipeline("eurusd", &vendor.base_url(), keys, "kind = \"eodhd\"", &demo("model.onnx"));
    let config = config(&text, dir.path());
    run(&config, &clock);
    let rows = rows(dir.path(), "eurusd");
    assert_eq!(rows.len(), 24, "{rows:#?}");
    for (row, hour) in rows.iter().zip(0..) {
        assert_eq!(row.slot, at("2017-06-14T00:00:02Z") + hour * HOUR);
        assert_eq!(row.decided, Some(row.slot - 2000 - HOUR), "{row:#?}");
    }
    assert_eq!(vendor.log().all().len(), 24, "one request for each hour");
}

#[test]
fn hours_are_made_from_minutes_and_decided_as_soon_as_they_close() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new(at("2017-06-13T23:30:00Z"));
    let market = Market { weekend: Some(SUMMER_WEEKEND), ..Market::plain("EURUSD.FOREX", 1.1, 5) };
    let vendor = vendor(market, &clock, no_fault);
    let keys = "end = \"2017-06-15T00:00:00Z\"";
    let text = order_pipeline("eurusd", &vendor.base_url(), keys, "kind = \"eodhd\"", &model_of_made_hours(dir.path()));
    run(&config(&text, dir.path()), &clock);
    let rows = rows(dir.path(), "eurusd");
    assert_eq!(rows.len(), 24, "{rows:#?}");
    assert!(rows.iter().all(|row| row.decided == Some(row.slot - 2000 - HOUR)), "{rows:#?}");
    let asked = vendor.log().all();
    assert!(asked.iter().all(|asked| asked.query.contains(&("interval".to_owned(), "1m".to_owned()))));
    assert_eq!(asked.len(), 24);
    assert!(asked[0].rows > 12_000 && asked[1..].iter().all(|asked| asked.rows < 430), "{asked:#?}");
}

#[test]
fn the_other_vendor_serves_crypto_and_fx() {
    for (market, symbol, ticker, level, digits) in
        [("crypto", "BTCUSD", "btcusd", 60_000.0, 2), ("fx", "EURUSD", "eurusd", 1.1, 5)]
    {
        let dir = tempfile::tempdir().unwrap();
        let clock = TestClock::new(at("2017-06-13T23:30:00Z"));
        let vendor = vendor(Market::plain(ticker, level, digits), &clock, no_fault);
        let keys = "calendar = \"always\"\nend = \"2017-06-14T12:00:00Z\"";
        let source = format!("kind = \"tiingo\"\nmarket = \"{market}\"");
        let text = order_pipeline("one", &vendor.base_url(), keys, &source, &demo("model.onnx"));
        let config = config(&text.replace("EURUSD\"\n", &format!("{symbol}\"\n")), dir.path());
        run(&config, &clock);
        let rows = rows(dir.path(), "one");
        assert_eq!(rows.len(), 12, "{rows:#?}");
        assert!(rows.iter().all(|row| row.decided == Some(row.slot - 2000 - HOUR)), "{market} {rows:#?}");
    }
}

#[test]
fn a_key_may_be_a_parameter_of_the_address() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new(at("2017-06-13T23:30:00Z"));
    let vendor = vendor(Market::plain("EURUSD.FOREX", 1.1, 5), &clock, no_fault);
    let keys = "made_from = \"native\"\nend = \"2017-06-14T02:00:00Z\"";
    let source = "kind = \"eodhd\"\ntoken_in = \"query\"";
    run(&config(&order_pipeline("eurusd", &vendor.base_url(), keys, source, &demo("model.onnx")), dir.path()), &clock);
    let asked = vendor.log().all();
    assert!(asked.len() == 2 && asked.iter().all(|asked| asked.has_key && asked.status == 200), "{asked:#?}");
}

#[test]
fn a_vendor_that_wants_rest_for_ever_gets_a_day_and_crashes_nothing() {
    for code in [429, 503] {
        let dir = tempfile::tempdir().unwrap();
        let clock = TestClock::new(at("2017-06-13T23:30:00Z"));
        let headers = vec![("Retry-After", u64::MAX.to_string())];
        let for_ever = Fault::Status { code, headers, body: "no".to_owned() };
        let plan = move |number, _| (number == 1).then(|| for_ever.clone());
        let vendor = vendor(Market::plain("EURUSD.FOREX", 1.1, 5), &clock, plan);
        let keys = "made_from = \"native\"\nend = \"2017-06-15T03:00:00Z\"";
        let text = order_pipeline("eurusd", &vendor.base_url(), keys, "kind = \"eodhd\"", &demo("model.onnx"));
        run(&config(&text, dir.path()), &clock);
        let rows = rows(dir.path(), "eurusd");
        assert!(["source_rate_limited", "source_failed"].contains(&rows[0].reason.as_str()), "{:#?}", rows[0]);
        assert!(rows[1..24].iter().all(|row| row.reason == "source_rate_limited"), "{rows:#?}");
        assert!(rows[25..].iter().all(|row| row.decided.is_some()), "{rows:#?}");
    }
}

#[test]
fn bars_that_could_not_be_kept_are_kept_with_the_next_ones() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new(at("2017-06-13T23:30:00Z"));
    let file = dir.path().join("state/bars.db");
    // For one fetch the cache takes no bar.
    let plan = move |number, _| {
        let refuse = "CREATE TRIGGER full BEFORE INSERT ON bar BEGIN SELECT RAISE(ABORT, 'full'); END";
        let sql = match number {
            3 => refuse,
            4 => "DROP TRIGGER full",
            _ => return None,
        };
        rusqlite::Connection::open(&file).unwrap().execute_batch(sql).unwrap();
        None
    };
    let vendor = vendor(Market::plain("EURUSD.FOREX", 1.1, 5), &clock, plan);
    let keys = "made_from = \"native\"\nend = \"2017-06-14T12:00:00Z\"";
    let text = order_pipeline("eurusd", &vendor.base_url(), keys, "kind = \"eodhd\"", &demo("model.onnx"));
    run(&config(&text, dir.path()), &clock);
    assert!(rows(dir.path(), "eurusd").iter().all(|row| row.decided.is_some()), "the node goes on");
    let cache = rusqlite::Connection::open(dir.path().join("state/bars.db")).unwrap();
    let sql =
        "SELECT (last - first) / 3600000 + 1, (SELECT count(*) FROM bar WHERE time BETWEEN first AND last) FROM series";
    let (said, kept): (i64, i64) = cache.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!(said, kept, "the cache says no more than it has");
}

#[test]
fn each_pipeline_of_a_ticker_waits_as_long_as_it_wants_for_a_bar_to_settle() {
    let dir = tempfile::tempdir().unwrap();
    let clock = FastClock::new(at("2017-06-13T23:59:50Z"));
    let vendor = vendor_at(Market::plain("EURUSD.FOREX", 1.1, 5), clock.closure(), no_fault);
    let one = |name: &str, settle: &str| {
        let keys = format!(
            "made_from = \"native\"\nschedule = \"on bar close + 12s\"\nend = \"2017-06-14T00:00:40Z\"\n\
             [pipeline.deadlines]\nslot_lateness = \"10m\"\n[pipeline.data]\nsettle = \"{settle}\""
        );
        order_pipeline(name, &vendor.base_url(), &keys, "kind = \"eodhd\"", &demo("model.onnx"))
    };
    run(&config(&(one("early", "2s") + &one("late", "5m")), dir.path()), &clock);
    let decided = |name: &str| rows(dir.path(), name)[0].decided;
    assert_eq!(decided("early"), Some(at("2017-06-13T23:00:00Z")));
    assert_eq!(decided("late"), Some(at("2017-06-13T22:00:00Z")));
}

#[test]
fn one_file_has_several_symbols_vendors_intervals_and_schedules() {
    let dir = tempfile::tempdir().unwrap();
    let clock = FastClock::new(at("2017-06-13T23:59:50Z"));
    let tickers = ["EURUSD.FOREX", "gbpusd", "BTC-USD.CC"].map(str::to_owned).to_vec();
    let vendor = vendor_at(Market { tickers, ..Market::plain("", 1.1, 5) }, clock.closure(), no_fault);
    let end = "end = \"2017-06-14T00:01:30Z\"\n[pipeline.deadlines]\nslot_lateness = \"10m\"";
    let one = |name: &str, symbol: &str, keys: &str, source: &str, model: &std::path::Path| {
        let keys = format!("{keys}\n{end}");
        order_pipeline(name, &vendor.base_url(), &keys, source, model).replace("\"EURUSD\"", &format!("\"{symbol}\""))
    };
    let made = model_of_made_hours(dir.path());
    let text = [
        one("made", "EURUSD", "schedule = \"on bar close + 5s\"", "kind = \"eodhd\"", &made),
        one(
            "five",
            "EURUSD",
            "interval = \"5m\"\nmade_from = \"native\"\nschedule = \"every 1m at :58\"",
            "kind = \"eodhd\"",
            &demo("model.onnx"),
        ),
        one(
            "other",
            "GBPUSD",
            "schedule = \"hourly at :00\"\ncalendar = \"always\"",
            "kind = \"tiingo\"",
            &demo("model.onnx"),
        ),
        one(
            "btc",
            "BTCUSD",
            "interval = \"15m\"\nmade_from = \"5m\"",
            "kind = \"eodhd\"\nmarket = \"crypto\"",
            &of_parts(dir.path(), "5m"),
        ),
    ];
    // At 00:00:00 no hour has settled yet, so that slot decides the one before.
    run(&config(&text.concat(), dir.path()), &clock);
    let decided = |name: &str| {
        let rows = rows(dir.path(), name);
        let bars: Vec<i64> = rows.iter().filter_map(|row| row.decided).collect();
        assert!(!rows.is_empty() && !bars.is_empty(), "{name}: {rows:#?}");
        (rows[0].slot, bars[0])
    };
    assert_eq!(decided("made"), (at("2017-06-14T00:00:05Z"), at("2017-06-13T23:00:00Z")));
    assert_eq!(decided("five"), (at("2017-06-13T23:59:58Z"), at("2017-06-13T23:50:00Z")));
    assert_eq!(decided("other"), (at("2017-06-14T00:00:00Z"), at("2017-06-13T22:00:00Z")));
    assert_eq!(decided("btc"), (at("2017-06-14T00:00:02Z"), at("2017-06-13T23:45:00Z")));
}

#[test]
fn a_schedule_of_minutes_asks_once_per_hour_when_the_vendor_is_on_time() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new(at("2017-06-13T23:30:00Z"));
    let vendor = vendor(Market::plain("EURUSD.FOREX", 1.1, 5), &clock, no_fault);
    let keys = "made_from = \"native\"\nschedule = \"every 1m at :58\"\nend = \"2017-06-14T06:00:00Z\"";
    let text = order_pipeline("eurusd", &vendor.base_url(), keys, "kind = \"eodhd\"", &demo("model.onnx"));
    run(&config(&text, dir.path()), &clock);
    let rows = rows(dir.path(), "eurusd");
    assert_eq!(rows.len(), 390, "{rows:#?}");
    let decided: Vec<_> = rows.iter().filter(|row| row.decided.is_some()).collect();
    assert_eq!(decided.len(), 7, "{decided:#?}");
    assert_eq!(vendor.log().all().len(), 7);
}

#[test]
fn a_pipeline_that_decides_every_minute_asks_once_for_each_bar() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new(at("2017-06-13T23:30:00Z"));
    let vendor = vendor(Market::plain("EURUSD.FOREX", 1.1, 5), &clock, no_fault);
    let keys = "made_from = \"native\"\nschedule = \"every 1m at :58\"\nend = \"2017-06-14T02:00:00Z\"";
    let text = order_pipeline("eurusd", &vendor.base_url(), keys, "kind = \"eodhd\"", &demo("model.onnx"));
    let text = text.replace("volume_lots", "decide_on = \"slot\"\nvolume_lots");
    run(&config(&text, dir.path()), &clock);
    let rows = rows(dir.path(), "eurusd");
    assert!(rows.len() == 150 && rows.iter().all(|row| row.decided.is_some()), "{rows:#?}");
    assert_eq!(vendor.log().all().len(), 3);
}

/// Twenty pipelines of one series have one slot; their rows, and how often the vendor was asked.
fn twenty(plan: impl Fn(u64, i64) -> Option<Fault> + Send + Sync + 'static) -> (Vec<Row>, usize) {
    let dir = tempfile::tempdir().unwrap();
    let clock = FastClock::new(at("2017-06-13T23:59:50Z"));
    let vendor = vendor_at(Market::plain("EURUSD.FOREX", 1.1, 5), clock.closure(), plan);
    let keys = "made_from = \"native\"\nend = \"2017-06-14T00:00:20Z\"\n[pipeline.deadlines]\nslot_lateness = \"10m\"";
    let pipelines = (0..20).map(|number| {
        order_pipeline(&format!("p{number}"), &vendor.base_url(), keys, "kind = \"eodhd\"", &demo("model.onnx"))
    });
    run(&config(&pipelines.collect::<String>(), dir.path()), &clock);
    let rows = (0..20).flat_map(|number| rows(dir.path(), &format!("p{number}"))).collect();
    (rows, vendor.log().all().len())
}

#[test]
fn twenty_pipelines_of_one_series_ask_once() {
    let (rows, requests) = twenty(no_fault);
    assert_eq!((rows.len(), requests), (20, 1), "{rows:#?}");
    assert!(rows.iter().all(|row| row.bars_digest.is_some() && row.bars_digest == rows[0].bars_digest), "{rows:#?}");
}

#[test]
fn what_a_vendor_refuses_to_one_pipeline_is_refused_to_all_with_one_request() {
    let (rows, requests) = twenty(|_, _| Some(Fault::status(404, "Ticker Not Found.")));
    assert_eq!((rows.len(), requests), (20, 1), "{rows:#?}");
    assert!(rows.iter().all(|row| row.reason == "source_failed"), "{rows:#?}");
}

#[test]
fn a_restart_with_a_warm_cache_asks_only_for_what_is_new() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new(at("2017-06-13T23:30:00Z"));
    let market = Market { weekend: Some(SUMMER_WEEKEND), ..Market::plain("EURUSD.FOREX", 1.1, 5) };
    let vendor = vendor(market, &clock, no_fault);
    let model = model_of_made_hours(dir.path());
    for end in ["2017-06-14T03:00:00Z", "2017-06-14T06:00:00Z"] {
        let keys = format!("end = \"{end}\"");
        let text = order_pipeline("eurusd", &vendor.base_url(), &keys, "kind = \"eodhd\"", &model);
        run(&config(&text, dir.path()), &clock);
    }
    assert_eq!(rows(dir.path(), "eurusd").iter().filter(|row| row.decided.is_some()).count(), 6);
    let rows: Vec<usize> = vendor.log().all().iter().map(|asked| asked.rows).collect();
    assert!(rows[0] > 12_000 && rows[1..].iter().all(|rows| *rows < 430), "{rows:?}");
}
