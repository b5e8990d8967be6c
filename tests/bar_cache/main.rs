//! The bar cache: what is kept comes back bit for bit, in whole fetches, and no request is made that is not counted.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a failing test should panic")]

mod budget;
mod killed;

use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use sentinel::sources::cache::{BarCache, CacheError, News, Opened, Review, Revision, SeriesId, SeriesKey};
use sentinel_actors::domain::bar::{Interval, RawBar};
use sentinel_actors::domain::time::UtcMs;

pub const MINUTE: i64 = 60_000;

pub fn file(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("bars.db")
}

pub fn open(path: &Path) -> BarCache {
    BarCache::open(path).unwrap().0
}

pub fn series(cache: &BarCache, ticker: &str) -> SeriesId {
    let interval = Interval::new(Duration::from_secs(60)).unwrap();
    let key = SeriesKey {
        vendor: "eodhd".to_owned(),
        base_url: "https://eodhd.com/".to_owned(),
        ticker: ticker.to_owned(),
        interval,
    };
    cache.series(&key).unwrap()
}

pub fn bar(minute: i64, price: f64) -> RawBar {
    let price = Some(price);
    RawBar { time: UtcMs(minute * MINUTE), open: price, high: price, low: price, close: price, volume: None }
}

pub fn keep(cache: &BarCache, series: SeriesId, rows: &[RawBar], last: i64) -> Result<(), CacheError> {
    let first = UtcMs(0);
    let covered = (first, UtcMs(last * MINUTE));
    let at = UtcMs((last + 1) * MINUTE + 500);
    cache.keep(series, &News { rows, revisions: &[], covered, at, asked_before: Some(first) })
}

fn any_price() -> impl Strategy<Value = Option<f64>> {
    proptest::option::weighted(
        0.9,
        prop_oneof![
            any::<f64>().prop_filter("JSON has no NaN, and SQLite no -0.0", |price| !price.is_nan()
                && price.to_bits() != 1 << 63),
            0.5..2.0
        ],
    )
}

prop_compose! {
    fn any_bar()(time in any::<i64>(), open in any_price(), high in any_price(), low in any_price(), close in any_price(), volume in any_price()) -> RawBar {
        RawBar { time: UtcMs(time), open, high, low, close, volume }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_is_kept_comes_back_bit_for_bit(bars in prop::collection::btree_map(any::<i64>(), any_bar(), 0..40)) {
        let dir = tempfile::tempdir().unwrap();
        let bars: Vec<RawBar> = bars.into_iter().map(|(time, bar)| RawBar { time: UtcMs(time), ..bar }).collect();
        let covered = (UtcMs(i64::MIN), UtcMs(i64::MAX));
        {
            let cache = open(&file(&dir));
            let news = News { rows: &bars, revisions: &[], covered, at: UtcMs(0), asked_before: None };
            cache.keep(series(&cache, "A"), &news).unwrap();
        }
        let cache = open(&file(&dir));
        let stored = cache.load(series(&cache, "A"), UtcMs(i64::MIN)).unwrap();
        let bits = |bar: &RawBar| (bar.time, [bar.open, bar.high, bar.low, bar.close, bar.volume].map(|value| value.map(f64::to_bits)));
        prop_assert_eq!(stored.bars.iter().map(bits).collect::<Vec<_>>(), bars.iter().map(bits).collect::<Vec<_>>());
        prop_assert_eq!(stored.covered, Some(covered));
    }
}

#[test]
fn series_do_not_see_each_other_and_a_later_load_begins_later() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(&file(&dir));
    let (one, other) = (series(&cache, "A"), series(&cache, "B"));
    assert_eq!(cache.load(one, UtcMs(0)).unwrap().covered, None, "nothing was asked for");
    keep(&cache, one, &[bar(1, 1.0), bar(2, 1.1)], 2).unwrap();
    assert_eq!(cache.load(other, UtcMs(0)).unwrap().bars, []);
    assert_eq!(cache.load(one, UtcMs(2 * MINUTE)).unwrap().bars, [bar(2, 1.1)]);
    assert_eq!(series(&cache, "A"), one);
}

#[test]
fn the_oldest_bars_go_when_a_series_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(&file(&dir));
    let series = series(&cache, "A");
    for block in 0..11 {
        let rows: Vec<RawBar> = (block * 10_000..(block + 1) * 10_000).map(|minute| bar(minute, 1.0)).collect();
        keep(&cache, series, &rows, (block + 1) * 10_000 - 1).unwrap();
    }
    let stored = cache.load(series, UtcMs(0)).unwrap();
    assert_eq!((stored.bars.len(), stored.bars[0].time), (100_000, UtcMs(10_000 * MINUTE)));
    assert_eq!(stored.covered, Some((UtcMs(10_000 * MINUTE), UtcMs(109_999 * MINUTE))), "it says no more than it has");
}

/// Counting them at each fetch took more time than all else of a cycle.
#[test]
fn the_bars_of_a_full_series_are_counted_once_in_a_thousand() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(&file(&dir));
    let series = series(&cache, "A");
    let rows: Vec<RawBar> = (0..100_500).map(|minute| bar(minute, 1.0)).collect();
    keep(&cache, series, &rows, 100_499).unwrap();
    let kept = |oldest: i64, last: i64| {
        let stored = cache.load(series, UtcMs(0)).unwrap();
        let bars = usize::try_from(last + 1 - oldest).unwrap();
        assert_eq!((stored.bars.len(), stored.bars[0].time), (bars, UtcMs(oldest * MINUTE)));
        assert_eq!(stored.covered.unwrap().0, UtcMs(oldest * MINUTE), "it says no more than it has");
    };
    kept(500, 100_499);
    // The one who fetches still says that all was asked for from minute 0 on.
    for minute in 100_500..101_000 {
        keep(&cache, series, &[bar(minute, 1.0)], minute).unwrap();
    }
    kept(500, 100_999);
    keep(&cache, series, &[bar(101_000, 1.0)], 101_000).unwrap();
    kept(1_001, 101_000);
    // Another process, which knows nothing of that.
    keep(&open(&file(&dir)), series, &[bar(101_001, 1.0)], 101_001).unwrap();
    kept(1_002, 101_001);
}

#[test]
fn a_bar_that_was_changed_behind_the_caches_back_is_never_served() {
    for change in [
        "UPDATE bar SET close = close + 0.0001 WHERE time = 120000",
        "UPDATE bar SET high = NULL WHERE time = 120000",
        "UPDATE bar SET time = time + 30000 WHERE time = 120000",
        "UPDATE bar SET series = 2 WHERE time = 120000 AND series = 1; UPDATE series SET first = first, last = 120000 WHERE id = 1",
        "UPDATE series SET last = last + 60000 WHERE id = 1",
        "UPDATE series SET first = first - 60000 WHERE id = 1",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (cache, rows) = (open(&file(&dir)), [bar(1, 1.0), bar(2, 1.1), bar(3, 1.2)]);
        let (one, other) = (series(&cache, "A"), series(&cache, "B"));
        keep(&cache, one, &rows, 3).unwrap();
        keep(&cache, other, &rows[..1], 1).unwrap();
        drop(cache);
        rusqlite::Connection::open(file(&dir)).unwrap().execute_batch(change).unwrap();
        let report = BarCache::read_only(&file(&dir)).unwrap().load(one, UtcMs(0));
        assert!(matches!(report, Err(CacheError::Damaged(_))), "{change}: {report:?}");
        let cache = open(&file(&dir));
        let stored = cache.load(one, UtcMs(0)).unwrap();
        assert!(stored.bars.is_empty() && stored.covered.is_none(), "{change}: {stored:?}");
        keep(&cache, one, &rows, 3).unwrap();
        assert_eq!(cache.load(one, UtcMs(0)).unwrap().bars, rows, "{change}: it is fetched again");
    }
}

#[test]
fn a_series_in_use_outlives_a_clock_that_jumps_and_no_id_is_used_twice() {
    let dir = tempfile::tempdir().unwrap();
    let (far, last) = (200 * 24 * 60, 5);
    {
        let cache = open(&file(&dir));
        let (one, other) = (series(&cache, "A"), series(&cache, "B"));
        keep(&cache, one, &[bar(last, 1.0)], last).unwrap();
        keep(&cache, other, &[bar(far, 1.0)], far).unwrap();
        keep(&cache, one, &[bar(last + 1, 1.0)], last + 1).unwrap();
        assert_eq!(cache.load(one, UtcMs(0)).unwrap().bars.len(), 2, "it is in use");
    }
    let cache = open(&file(&dir));
    let other = series(&cache, "B");
    keep(&cache, other, &[bar(far + 1, 1.0)], far + 1).unwrap();
    let again = series(&cache, "A");
    assert_eq!(cache.load(again, UtcMs(0)).unwrap().bars, [], "nobody used it for half a year");
    assert!(again != other);
}

#[test]
fn lag_nulls_zeros_and_revisions_are_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(&file(&dir));
    let series = series(&cache, "A");
    let null = RawBar { close: None, ..bar(3, 1.0) };
    keep(&cache, series, &[bar(1, 1.0), bar(2, 0.0), null, bar(4, 1.0)], 4).unwrap();
    // The null became a price, and one bar another one.
    let revision = Revision { time: UtcMs(MINUTE), was: bar(1, 1.0), is: bar(1, 1.5), seen: UtcMs(6 * MINUTE) };
    let news = News {
        rows: &[bar(1, 1.5), bar(3, 1.0)],
        revisions: &[revision],
        covered: (UtcMs(0), UtcMs(5 * MINUTE)),
        at: UtcMs(6 * MINUTE + 250),
        asked_before: Some(UtcMs(4 * MINUTE)),
    };
    cache.keep(series, &news).unwrap();
    let facts = cache.facts().unwrap();
    let [facts] = facts.as_slice() else { panic!("{facts:?}") };
    // Only of the newest bar is it known that it was not there before.
    assert_eq!((facts.lags_ms.as_slice(), facts.nulls, facts.zeros), (&[500][..], 1, 1));
    assert_eq!((facts.revisions.len(), facts.revisions[0].is), (1, bar(1, 1.5)));
}

#[test]
fn reviews_are_found_by_pipeline_and_bar() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(&file(&dir));
    let review = |pipeline: &str, differs| Review {
        pipeline: pipeline.to_owned(),
        bar: UtcMs(MINUTE),
        seen: UtcMs(3 * MINUTE),
        was_close: 1.0,
        is_close: 1.5,
        differs,
        would_be: "buy with 0.7".to_owned(),
    };
    for (pipeline, differs) in [("a", Some(true)), ("b", None), ("a", Some(false))] {
        cache.note_review(&review(pipeline, differs)).unwrap();
    }
    let found = BarCache::read_only(&file(&dir)).unwrap().reviews("a", UtcMs(MINUTE)).unwrap();
    assert_eq!(found, [review("a", Some(true)), review("a", Some(false))]);
}

#[test]
fn a_file_that_cannot_be_used_is_put_aside() {
    let foreign = |path: &Path| {
        rusqlite::Connection::open(path).unwrap().execute_batch("CREATE TABLE other (id INTEGER)").unwrap();
    };
    let cut = |path: &Path| {
        let cache = open(path);
        let rows: Vec<RawBar> = (0..5000).map(|minute| bar(minute, 1.0)).collect();
        keep(&cache, series(&cache, "A"), &rows, 4999).unwrap();
        drop(cache);
        let length = std::fs::metadata(path).unwrap().len();
        std::fs::File::options().write(true).open(path).unwrap().set_len(length / 2).unwrap();
    };
    let noise = |path: &Path| std::fs::write(path, [7_u8; 9000]).unwrap();
    for damage in [&foreign as &dyn Fn(&Path), &cut, &noise] {
        let dir = tempfile::tempdir().unwrap();
        damage(&file(&dir));
        let (cache, opened) = BarCache::open(&file(&dir)).unwrap();
        assert!(matches!(opened, Opened::Replaced(_)), "{opened:?}");
        assert_eq!(cache.load(series(&cache, "A"), UtcMs(0)).unwrap().bars, []);
        assert!(dir.path().join("bars.db.bad").exists());
        drop(cache);
        assert_eq!(BarCache::open(&file(&dir)).unwrap().1, Opened::Used);
    }
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(BarCache::read_only(&file(&dir)), Err(CacheError::None(_))));
    assert_eq!(BarCache::open(&file(&dir)).unwrap().1, Opened::New);
}

/// Printed only; docs/architecture.md states them.
#[test]
#[ignore = "prints figures; run it in release"]
#[expect(clippy::disallowed_methods, reason = "it measures how long the disk takes")]
fn figures() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(&file(&dir));
    let series = series(&cache, "A");
    let rows: Vec<RawBar> = (0..12_000).map(|minute| bar(minute, 1.0)).collect();
    let began = std::time::Instant::now();
    keep(&cache, series, &rows, 11_999).unwrap();
    println!("12,000 bars kept in {:?}", began.elapsed());
    drop(cache);
    let began = std::time::Instant::now();
    let cache = open(&file(&dir));
    println!("opened in {:?}", began.elapsed());
    let began = std::time::Instant::now();
    assert_eq!(cache.load(series, UtcMs(0)).unwrap().bars.len(), 12_000);
    println!("12,000 bars loaded in {:?}", began.elapsed());
}
