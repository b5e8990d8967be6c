//! The bars of a vendor's pipeline are those that the bar cache has.

use sentinel::backtest::plan::{Plan, PlanError};
use sentinel::backtest::verify::{compare, run_tree};
use sentinel::config::{Config, SourceConfig};
use sentinel::sources::cache::{BARS_FILE, BarCache, News, SeriesKey};
use sentinel::sources::csv::read_bars;
use sentinel_actors::domain::time::UtcMs;

use crate::support::{ALL, demo_files, parsed, require_agreement};

fn of_vendor(state: &std::path::Path) -> Config {
    let text = include_str!("../data/local.toml")
        .replace("kind = \"csv\"\npath = \"eurusd_1h_2017.csv\"\nspeed = \"max\"", "kind = \"eodhd\"");
    let text = text.replace("interval = \"1h\"", "interval = \"1h\"\nmade_from = \"native\"");
    let mut config = parsed(&text);
    config.node.state = state.to_owned();
    config
}

#[test]
fn a_pipeline_of_a_vendor_is_tested_on_the_bars_of_its_cache() {
    let dir = tempfile::tempdir().unwrap();
    let config = of_vendor(dir.path());
    let none = Plan::new(&config, &config.pipelines[0], ALL, dir.path()).unwrap_err();
    assert!(matches!(none, PlanError::Node(_)), "{none:?}");
    let (cache, _) = BarCache::open(&dir.path().join(BARS_FILE)).unwrap();
    let other = Plan::new(&config, &config.pipelines[0], ALL, dir.path()).unwrap_err();
    assert!(matches!(other, PlanError::NoCachedBars { .. }), "{other:?}");
    let mut bars = read_bars(&demo_files().join("eurusd_1h_2017.csv")).unwrap();
    bars.truncate(400);
    (bars[300].close, bars[310].volume) = (None, None);
    let SourceConfig::Vendor(vendor) = &config.pipelines[0].source else { panic!("a vendor's bars") };
    let key = SeriesKey {
        vendor: vendor.vendor.name().to_owned(),
        base_url: vendor.base_url.to_string(),
        ticker: vendor.ticker.clone(),
        interval: config.pipelines[0].interval,
    };
    let covered = (bars[0].time, bars[399].time);
    let news = News { rows: &bars, revisions: &[], covered, at: UtcMs(covered.1.0 + 3_600_000), asked_before: None };
    cache.keep(cache.series(&key).unwrap(), &news).unwrap();
    let plan = Plan::new(&config, &config.pipelines[0], ALL, dir.path()).unwrap();
    assert_eq!(read_bars(&plan.csv.path).unwrap(), bars, "each number is the same again");
    let state = dir.path().join("tree");
    run_tree(&config, &plan, &state).unwrap();
    let verdict = compare(&plan, None, &state).unwrap();
    require_agreement(&verdict);
    assert!(verdict.slots > 150, "{verdict:?}");
}
