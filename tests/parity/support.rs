//! State directories that the real tree has written, on the demo's bars.

use std::path::{Path, PathBuf};

use sentinel::backtest::plan::Plan;
use sentinel::backtest::verify::run_tree;
use sentinel::config::{Config, CsvSource, Env, Flags, JobConfig, OrderJob, SourceConfig};
use sentinel::parity::engine::{Found, recompute};
use sentinel_actors::domain::schedule::Window;
use sentinel_actors::domain::time::UtcMs;

pub const ALL: Window = Window { start: None, end: None };

pub fn demo_files() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/demo")
}

/// `text` as if it lay beside the demo's files.
pub fn parsed(text: &str) -> Config {
    let flags = Flags { reads_only: true, dry_run: true, ..Flags::default() };
    Config::from_str_at(text, "the test's configuration", &demo_files(), &Env::default(), &flags).unwrap()
}

/// EURUSD by a local model, orders to the paper book, on the first bars.
pub fn orders(bars: usize) -> Config {
    first_bars(parsed(include_str!("../data/local.toml")), bars)
}

/// BTCUSD, forecasts to the paper book, on the first bars.
pub fn forecasts(bars: usize) -> Config {
    first_bars(parsed(include_str!("../../config/demo/forecast.toml")), bars)
}

fn first_bars(mut config: Config, bars: usize) -> Config {
    csv(&mut config).bars = bars.try_into().ok();
    config
}

pub fn csv(config: &mut Config) -> &mut CsvSource {
    match &mut config.pipelines[0].source {
        SourceConfig::Csv(csv) => csv,
        SourceConfig::Vendor(_) => panic!("recorded bars"),
    }
}

pub fn order_job(config: &mut Config) -> &mut OrderJob {
    match &mut config.pipelines[0].job {
        JobConfig::Order(order) => order,
        JobConfig::Forecast(_) => panic!("an order job"),
    }
}

/// Runs `config` in the real tree, which leaves its rows in `state`.
pub fn run(config: &Config, state: &Path) {
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan::new(config, &config.pipelines[0], ALL, dir.path()).unwrap();
    run_tree(config, &plan, state).unwrap();
}

pub fn again(config: &Config, state: &Path) -> Found {
    recompute(&config.pipelines[0], state, ALL, &config.digest()).unwrap()
}

#[track_caller]
pub fn require_agreement(found: &Found) {
    let lines: Vec<String> = found.verdict.first.iter().map(ToString::to_string).collect();
    assert!(found.verdict.agrees(), "{} differences:\n{}", found.verdict.differences, lines.join("\n"));
}

/// Slots of the rows whose window of bars holds the bar that opened at `bar`: those that have a frame and a newest bar from it on, and
/// that are not further than `window` bars from it.
pub fn slots_that_saw(config: &Config, state: &Path, bars: &[UtcMs], bar: UtcMs) -> Vec<UtcMs> {
    let reader = sentinel::journal::JournalReader::open(state).unwrap();
    let (name, window) = (&config.pipelines[0].name, config.pipelines[0].features.set.window);
    let place = |time: UtcMs| bars.iter().position(|open| *open == time).unwrap();
    let rows = reader.slots_from(name, UtcMs(i64::MIN), UtcMs(i64::MAX), u32::MAX).unwrap();
    let saw = |newest: UtcMs| newest >= bar && place(newest) - place(bar) < window;
    rows.into_iter()
        .map(|row| row.record)
        .filter(|row| row.bars_digest.is_some() && row.newest_bar.is_some_and(saw))
        .map(|row| row.slot)
        .collect()
}
