//! How fast a backtest is, and what it takes: `cargo test --release --test backtest -- --ignored --nocapture figures`.

use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use sentinel::backtest::engine::{Course, Digests, Market, Step, Visitor, walk};
use sentinel::config::Config;
use sentinel_actors::domain::feature::FeatureFrame;
use sentinel_actors::domain::prediction::{ModelIdentity, RawAnswer};
use sentinel_actors::domain::reason::Outcome;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{Model, ModelError, PortFuture};

use crate::support::{parsed, plan};

/// Answers that cost nothing: one in fifty is sure enough to trade.
struct Given;

impl Model for Given {
    fn validate(&self, _: Duration) -> PortFuture<'_, Result<ModelIdentity, ModelError>> {
        Box::pin(std::future::ready(Ok(ModelIdentity { id: "given".to_owned(), hash: String::new() })))
    }

    fn predict<'a>(&'a self, frame: &'a FeatureFrame, _: Duration) -> PortFuture<'a, Result<RawAnswer, ModelError>> {
        let answer = match frame.newest.0 / 60_000 % 100 {
            0 => vec![0.8, 0.1, 0.1],
            50 => vec![0.1, 0.1, 0.8],
            _ => vec![0.2, 0.6, 0.2],
        };
        Box::pin(std::future::ready(Ok(RawAnswer { rows: vec![answer] })))
    }
}

#[derive(Default)]
struct Count {
    slots: u64,
    decided: u64,
    acted: u64,
}

impl Visitor for Count {
    fn begin(&mut self, _: Course) {}

    fn step(&mut self, step: Step, _: &Market<'_>) {
        self.slots += 1;
        self.decided += u64::from(step.record.decided_bar.is_some());
        self.acted += u64::from(step.record.outcome() == Outcome::Acted);
    }
}

/// Minutes of a market that never closes.
fn minutes(bars: usize) -> String {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut text = "timestamp,open,high,low,close,volume\n".to_owned();
    let mut price = 1.1_f64;
    for bar in 0..bars {
        let open = price;
        price = (price + (rng.f64() - 0.5) * 0.0004).clamp(0.9, 1.3);
        let time = UtcMs(1_577_836_800_000 + i64::try_from(bar).unwrap() * 60_000);
        let (high, low) = (open.max(price) + 0.0001, open.min(price) - 0.0001);
        writeln!(text, "{time},{open:.5},{high:.5},{low:.5},{price:.5},100").unwrap();
    }
    text
}

fn cpu() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap()).as_secs_f64()
}

fn most_memory_mb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

fn measure(name: &str, config: &Config, answers: Option<Arc<dyn Model>>, digests: Digests) {
    let dir = tempfile::tempdir().unwrap();
    let (began, mut count) = (cpu(), Count::default());
    walk(&plan(config, dir.path()), (answers, digests), &mut count).unwrap();
    let took = cpu() - began;
    let Count { slots, decided, acted } = count;
    let per_second = decided as f64 / took;
    println!(
        "{name}: {slots} slots, {decided} decided, {acted} acted in {took:.2} s of CPU: {per_second:.0}/s, at most {} MB",
        most_memory_mb()
    );
}

#[test]
#[ignore = "it measures, and takes a minute"]
fn figures() {
    let bars = std::env::var("SENTINEL_BACKTEST_BARS").map_or(1_000_000, |bars| bars.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("minutes.csv");
    fs::write(&file, minutes(bars)).unwrap();
    let text = include_str!("../data/local.toml")
        .replace("\"eurusd_1h_2017.csv\"", &format!("{file:?}"))
        .replace("interval = \"1h\"", "interval = \"1m\"\ncalendar = \"always\"");
    let config = parsed(&text);
    measure("answers given", &config, Some(Arc::new(Given)), Digests::LeftOut);
    measure("the demo's model", &config, None, Digests::LeftOut);
    measure("the demo's model, with digests", &config, None, Digests::Kept);
}
