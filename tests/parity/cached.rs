//! A vendor's bars, computed again from the bar cache.

use std::path::Path;
use std::time::Duration;

use sentinel::config::{Config, SourceConfig};
use sentinel::parity::limits::Why;
use sentinel::sources::cache::{BARS_FILE, BarCache, News, Revision, SeriesKey};
use sentinel::sources::csv::read_bars;
use sentinel_actors::domain::bar::RawBar;
use sentinel_actors::domain::time::UtcMs;

use crate::support::{again, demo_files, parsed, require_agreement, run, slots_that_saw};

const HOUR: Duration = Duration::from_secs(3600);

/// The order job on a vendor's bars.
fn orders() -> (Config, Vec<RawBar>) {
    let text = include_str!("../data/local.toml")
        .replace("kind = \"csv\"\npath = \"eurusd_1h_2017.csv\"\nspeed = \"max\"", "kind = \"eodhd\"")
        .replace("interval = \"1h\"", "interval = \"1h\"\nmade_from = \"native\"");
    (parsed(&text), first(read_bars(&demo_files().join("eurusd_1h_2017.csv")).unwrap(), 600))
}

/// The forecast job on a vendor's bars.
fn forecasts() -> (Config, Vec<RawBar>) {
    let whole = include_str!("../../config/demo/forecast.toml");
    let source = whole.find("[pipeline.source]").unwrap();
    let end = source + whole[source..].find("\n\n").unwrap();
    let text = format!("{}[pipeline.source]\nkind = \"tiingo\"{}", &whole[..source], &whole[end..]);
    let text = text.replace("interval = \"1h\"", "interval = \"1h\"\nmade_from = \"native\"");
    let config = parsed(&text);
    let file = std::fs::read_dir(demo_files()).unwrap().map(|file| file.unwrap().path());
    let bars = file
        .filter(|path| path.to_string_lossy().contains("btcusd"))
        .find(|path| path.extension().is_some_and(|end| end == "csv"));
    (config, first(read_bars(&bars.unwrap()).unwrap(), 600))
}

fn first(mut bars: Vec<RawBar>, count: usize) -> Vec<RawBar> {
    bars.sort_by_key(|bar| bar.time);
    bars.dedup_by_key(|bar| bar.time);
    bars.truncate(count);
    bars
}

fn key(config: &Config) -> SeriesKey {
    let SourceConfig::Vendor(vendor) = &config.pipelines[0].source else { panic!("a vendor's bars") };
    SeriesKey {
        vendor: vendor.vendor.name().to_owned(),
        base_url: vendor.base_url.to_string(),
        ticker: vendor.ticker.clone(),
        interval: config.pipelines[0].interval,
    }
}

/// Keeps what a fetch at `at` brought. All bars since the year before were asked for.
fn keep(state: &Path, config: &Config, rows: &[RawBar], revisions: &[Revision], last: UtcMs, at: UtcMs) {
    std::fs::create_dir_all(state).unwrap();
    let (cache, _) = BarCache::open(&state.join(BARS_FILE)).unwrap();
    let covered = (UtcMs(last.0 - 400 * 86_400_000), last);
    let news = News { rows, revisions, covered, at, asked_before: None };
    cache.keep(cache.series(&key(config)).unwrap(), &news).unwrap();
}

/// A state directory in which the tree has decided the bars of its cache.
fn site((mut config, bars): (Config, Vec<RawBar>)) -> (tempfile::TempDir, Config, Vec<RawBar>) {
    let dir = tempfile::tempdir().unwrap();
    config.node.state = dir.path().to_owned();
    let last = bars.last().unwrap().time;
    keep(dir.path(), &config, &bars, &[], last, last.plus(HOUR));
    run(&config, dir.path());
    (dir, config, bars)
}

fn one_tick_higher(bar: &RawBar) -> RawBar {
    let high = bar.high.unwrap();
    RawBar { high: Some(high + high * 1e-5), ..*bar }
}

/// The bar is changed as a cache with a fault would: with a checksum that fits, and without a word of it.
fn change_one_tick(job: (Config, Vec<RawBar>)) {
    let (dir, config, bars) = site(job);
    require_agreement(&again(&config, dir.path()));
    let (changed, last) = (one_tick_higher(&bars[300]), bars.last().unwrap().time);
    keep(dir.path(), &config, &[changed], &[], last, last.plus(HOUR));
    let found = again(&config, dir.path());
    let times: Vec<UtcMs> = bars.iter().map(|bar| bar.time).collect();
    let saw = slots_that_saw(&config, dir.path(), &times, changed.time);
    assert!(saw.len() > 100, "{}", saw.len());
    assert_eq!(found.verdict.differing, saw.len() as u64, "exactly those that saw it");
    let named = &found.verdict.first[0];
    assert_eq!((named.slot, named.field.as_str()), (saw[0], "bars_digest"), "{named}");
    // Each of them by itself, and none of the others.
    let (before, after) = (saw[0].before(), UtcMs(saw[saw.len() - 1].0 + 1));
    for (start, end) in [(None, Some(saw[0])), (Some(after), None)] {
        let range = sentinel_actors::domain::schedule::Window { start, end };
        let found = sentinel::parity::engine::recompute(&config.pipelines[0], dir.path(), range, "").unwrap();
        require_agreement(&found);
        assert!(found.compared > 0, "{start:?} {end:?} {found:?}");
    }
    assert!(before < saw[0]);
}

#[test]
fn a_tick_in_the_cache_is_named_in_exactly_the_slots_of_the_order_job_that_saw_it() {
    change_one_tick(orders());
}

#[test]
fn a_tick_in_the_cache_is_named_in_exactly_the_slots_of_the_forecast_job_that_saw_it() {
    change_one_tick(forecasts());
}

#[test]
fn a_bar_that_the_vendor_revised_later_is_compared_as_it_was_known() {
    let (dir, config, bars) = site(orders());
    let (is, last) = (one_tick_higher(&bars[300]), bars.last().unwrap().time);
    let seen = last.plus(HOUR * 5);
    let revision = Revision { time: is.time, was: bars[300], is, seen };
    keep(dir.path(), &config, &[is], &[revision], last, seen);
    let found = again(&config, dir.path());
    require_agreement(&found);
    assert!(found.compared == found.slots && found.frames > 300, "{found:?}");
}

#[test]
fn slots_whose_bars_the_cache_has_forgotten_are_counted_apart_and_none_is_passed_over() {
    let (dir, config, bars) = site(orders());
    let whole = again(&config, dir.path());
    let (cache, _) = BarCache::open(&dir.path().join(BARS_FILE)).unwrap();
    let covered = (bars[150].time, bars.last().unwrap().time);
    let news = News { rows: &[], revisions: &[], covered, at: covered.1.plus(HOUR), asked_before: None };
    cache.keep(cache.series(&key(&config)).unwrap(), &news).unwrap();
    let whole_again = again(&config, dir.path());
    // A restart asks for less than before, and forgets no bar: only windows that begin before the first bar are in doubt.
    assert!(whole_again.verdict.agrees() && whole_again.frames > 300, "{whole_again:?}");
    let file = rusqlite::Connection::open(dir.path().join(BARS_FILE)).unwrap();
    file.execute("DELETE FROM bar WHERE time < ?1", [covered.0.0]).unwrap();
    let found = again(&config, dir.path());
    require_agreement(&found);
    let forgotten = found.apart[&Why::Forgotten];
    assert!(forgotten > 100 && found.frames > 100 && found.frames < whole.frames, "{found:?}");
    assert_eq!(forgotten + found.compared, found.slots);
    drop(cache);
    std::fs::remove_file(dir.path().join(BARS_FILE)).unwrap();
    let none = again(&config, dir.path());
    // What was decided before needs no bars.
    assert!(none.frames == 0 && none.apart[&Why::Forgotten] >= whole.frames, "{none:?}");
}
