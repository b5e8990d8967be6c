//! The demo's two jobs on local models, as plans.

use std::path::{Path, PathBuf};

use sentinel::backtest::plan::Plan;
use sentinel::backtest::verify::{Verdict, compare, run_tree};
use sentinel::config::{Config, CsvSource, Env, Flags, JobConfig, OrderJob, SourceConfig};
use sentinel_actors::domain::schedule::Window;

pub const ALL: Window = Window { start: None, end: None };

pub fn demo_files() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/demo")
}

/// `text` as if it lay beside the demo's files.
pub fn parsed(text: &str) -> Config {
    let flags = Flags { reads_only: true, dry_run: true, ..Flags::default() };
    Config::from_str_at(text, "the test's configuration", &demo_files(), &Env::default(), &flags).unwrap()
}

/// EURUSD by a local model, orders to the paper book.
pub fn orders() -> Config {
    parsed(include_str!("../data/local.toml"))
}

/// BTCUSD, forecasts to the paper book.
pub fn forecasts() -> Config {
    parsed(include_str!("../../config/demo/forecast.toml"))
}

/// The same pipeline on the bars of another file.
pub fn on_bars(mut config: Config, path: &Path) -> Config {
    csv(&mut config).path = path.to_owned();
    config
}

/// Only the first bars of it.
pub fn first_bars(mut config: Config, bars: usize) -> Config {
    csv(&mut config).bars = bars.try_into().ok();
    config
}

fn csv(config: &mut Config) -> &mut CsvSource {
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

pub fn plan(config: &Config, dir: &Path) -> Plan {
    Plan::new(config, &config.pipelines[0], ALL, dir).unwrap()
}

/// The plan of `config` in the tree, and beside it the walk of `beside`.
pub fn verdict_of(config: &Config, beside: &Config) -> Verdict {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    run_tree(config, &plan(config, dir.path()), &state).unwrap();
    compare(&plan(beside, dir.path()), None, &state).unwrap()
}

#[track_caller]
pub fn require_agreement(verdict: &Verdict) {
    let lines: Vec<String> = verdict.first.iter().map(ToString::to_string).collect();
    assert!(verdict.agrees(), "{} differences:\n{}", verdict.differences, lines.join("\n"));
}
