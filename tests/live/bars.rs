//! A vendor's bars as a file, and what is said about them.

use std::path::Path;
use std::sync::Arc;

use sentinel::cli::bars::fetch::{FetchArgs, FetchError, Found, fetch};
use sentinel::cli::bars::report::report;
use sentinel::config::Config;
use sentinel::sources::cache::{BARS_FILE, BarCache};
use sentinel::sources::csv::read_bars;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::SourceError;
use sentinel_testbed::vendors::{Fault, Market};

use super::support::*;

fn args(dir: &Path, from: &str, to: &str, cached: bool) -> FetchArgs {
    let time = |text: &str| text.parse().unwrap();
    FetchArgs {
        config: dir.join("unused.toml"),
        pipeline: None,
        from: time(from),
        to: time(to),
        output: dir.join("bars.csv"),
        cached,
    }
}

fn fetch_with(config: &Config, args: &FetchArgs, clock: &TestClock) -> Result<Found, FetchError> {
    fetch(args, &config.pipelines[0], &config.node.state, Arc::new(clock.clone()))
}

fn eurusd(dir: &Path, base_url: &str, keys: &str, model: &Path) -> Config {
    config(&order_pipeline("eurusd", base_url, keys, "kind = \"eodhd\"", model), dir)
}

fn week_market() -> Market {
    Market { weekend: Some(SUMMER_WEEKEND), ..Market::plain("EURUSD.FOREX", 1.1, 5) }
}

#[test]
fn a_fetched_range_has_every_bar_and_names_its_holes() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new(at("2017-06-20T00:30:00Z"));
    let gap = (at("2017-06-07T03:00:00Z"), at("2017-06-07T06:00:00Z"));
    let vendor = vendor(Market { gaps: vec![gap], has_weekend_rows: true, ..week_market() }, &clock, no_fault);
    let config = eurusd(dir.path(), &vendor.base_url(), "", &model_of_made_hours(dir.path()));
    let args = args(dir.path(), "2017-06-01T00:00:00Z", "2017-06-15T00:00:00Z", false);
    let found = fetch_with(&config, &args, &clock).unwrap();
    assert_eq!(found.holes, [(UtcMs(gap.0), 3)]);
    assert!(
        found.to_string().contains("3 are missing while the market was open, in 1 holes:\n  3 from 2017-06-07T03:00")
    );
    let bars = read_bars(&args.output).unwrap();
    // 14 days without the two weekends of 48 hours, and without the hole.
    assert_eq!((bars.len(), found.bars), (14 * 24 - 2 * 48 - 3, bars.len()));
    assert!(bars.windows(2).all(|two| two[0].time < two[1].time));
    assert!(matches!(fetch_with(&config, &args, &clock), Err(FetchError::Exists(_))), "no file is overwritten");
}

#[test]
fn a_fetch_that_stops_goes_on_where_it_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new(at("2017-07-20T00:30:00Z"));
    let limit = Fault::Status { code: 429, headers: vec![("Retry-After", "900".to_owned())], body: String::new() };
    let vendor = vendor(week_market(), &clock, move |number, _| (number == 3).then(|| limit.clone()));
    let config = eurusd(dir.path(), &vendor.base_url(), "", &model_of_made_hours(dir.path()));
    let args = args(dir.path(), "2017-06-01T00:00:00Z", "2017-07-11T00:00:00Z", false);
    let stopped = fetch_with(&config, &args, &clock).unwrap_err();
    let FetchError::Stopped { source: SourceError::RateLimited { .. }, at: stopped_at } = stopped else {
        panic!("{stopped:?}")
    };
    assert!(!args.output.exists(), "a file appears when it is whole");
    // What was half written when the process ended is fetched again.
    let part = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
    let part = part.into_iter().find(|path| path.extension().is_some_and(|end| end == "part")).unwrap();
    let half = std::fs::read_to_string(&part).unwrap() + "2017-06-21T00:00:00Z,1.1,1.";
    std::fs::write(&part, half).unwrap();
    clock.set(at("2017-07-20T01:00:00Z"));
    let found = fetch_with(&config, &args, &clock).unwrap();
    assert_eq!(found.holes, []);
    let asked = vendor.log().all();
    assert_eq!(asked.len(), 5, "four parts, and the one that was refused: {asked:#?}");
    let from =
        |number: usize| asked[number].query.iter().find(|(name, _)| name == "from").unwrap().1.parse::<i64>().unwrap();
    assert_eq!((from(2), from(3)), (stopped_at.secs(), stopped_at.secs()));
    assert!(!part.exists());
}

#[test]
fn a_fetch_takes_no_bar_by_a_clock_that_is_off() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new(at("2017-06-20T00:30:00Z"));
    let vendor = vendor(week_market(), &clock, |_, _| Some(Fault::DateOff(-45)));
    let config = eurusd(dir.path(), &vendor.base_url(), "made_from = \"native\"", &demo("model.onnx"));
    let args = args(dir.path(), "2017-06-19T00:00:00Z", "2017-06-20T00:00:00Z", false);
    let stopped = fetch_with(&config, &args, &clock).unwrap_err();
    let is_off = |source: &SourceError| matches!(source, SourceError::ClockOff { ahead_ms } if *ahead_ms > 30_000);
    assert!(
        matches!(&stopped, FetchError::Stopped { at, source } if *at == args.from && is_off(source)),
        "{stopped:?}"
    );
    assert!(!args.output.exists());
}

#[test]
fn an_end_within_a_bar_is_no_hole() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new(at("2017-06-20T00:30:00Z"));
    let vendor = vendor(week_market(), &clock, no_fault);
    let config = eurusd(dir.path(), &vendor.base_url(), "made_from = \"native\"", &demo("model.onnx"));
    let args = args(dir.path(), "2017-06-19T00:00:00Z", "2017-06-19T12:30:00Z", false);
    let found = fetch_with(&config, &args, &clock).unwrap();
    assert_eq!((found.bars, found.holes.as_slice()), (12, &[][..]));
}

#[test]
fn a_day_that_was_run_live_is_replayed_from_the_cache_with_the_same_digests() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new(at("2017-06-13T23:30:00Z"));
    let market = Market { nulls: 30, zeros: 5, ..week_market() };
    let vendor = vendor(market, &clock, no_fault);
    let model = model_of_made_hours(dir.path());
    let times = "start = \"2017-06-14T00:00:00Z\"\nend = \"2017-06-15T00:00:00Z\"";
    let live = eurusd(dir.path(), &vendor.base_url(), times, &model);
    run(&live, &clock);
    let requests = vendor.log().all().len();
    let args = args(dir.path(), "2017-05-30T00:00:00Z", "2017-06-15T00:00:00Z", true);
    fetch_with(&live, &args, &clock).unwrap();
    assert_eq!(vendor.log().all().len(), requests, "nobody is asked");

    let again = dir.path().join("again");
    std::fs::create_dir(&again).unwrap();
    let text = order_pipeline("eurusd", "", &format!("{times}\nmade_from = \"1m\""), "already_made = true", &model)
        .replace("base_url = \"\"", &format!("path = \"{}\"", args.output.display()))
        .replace("[pipeline.source]", "[pipeline.data]\nsettle = \"2s\"\n[pipeline.source]");
    run(&config(&text, &again), &clock);
    let (live, replayed) = (decisions(dir.path()), decisions(&again));
    assert_eq!(live.len(), 24);
    assert_eq!(live, replayed);
}

#[test]
fn the_report_says_how_late_complete_and_stable_the_bars_are() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new(at("2017-06-13T23:30:00Z"));
    let hour = |text: &str| (at(text), at(text) + HOUR);
    let (revised, late, gap) =
        (hour("2017-06-14T04:00:00Z"), hour("2017-06-14T09:00:00Z"), hour("2017-06-14T14:00:00Z"));
    let market = Market {
        nulls: 30,
        zeros: 10,
        has_weekend_rows: true,
        gaps: vec![gap],
        late: vec![(late.0, late.1, 90 * MINUTE)],
        revisions: vec![(revised.0, revised.1, revised.1 + 30 * MINUTE)],
        ..week_market()
    };
    let vendor = vendor(market, &clock, no_fault);
    let keys = "made_from = \"native\"\nend = \"2017-06-15T00:00:00Z\"\n[pipeline.data]\nmax_missing_bars = 60";
    let config = eurusd(dir.path(), &vendor.base_url(), keys, &demo("model.onnx"));
    run(&config, &clock);
    let cache = BarCache::read_only(&config.node.state.join(BARS_FILE)).unwrap();
    let text = report(&cache, Some(&config)).unwrap();
    assert!(text.starts_with("eodhd EURUSD.FOREX, bars of 1h, 2017-"), "{text}");
    assert!(text.contains("lag         half within 2s, 95 % within 2s, worst 2h 2s, of 2"), "{text}");
    assert!(text.contains(" outside market hours\n") && !text.contains(" 0 outside market hours"), "{text}");
    assert!(text.contains("revisions   1; the largest change of a close is 0.0003"), "{text}");
    assert!(text.contains(" gaps while the market was open, the longest "), "{text}");
    assert_eq!(text, report(&cache, None).unwrap(), "FX hours are known without a configuration");
}
