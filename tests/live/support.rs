//! A node on live bars: the whole of it in this process, over real sockets, on a clock that moves when it is waited for.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use sentinel::config::{Config, Env, Flags};
use sentinel::node::{self, RunOptions, RunReport};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{Clock, PortFuture, elapsed_now};
use sentinel_testbed::vendors::{Fault, Market, Options, Vendors};

pub const MINUTE: i64 = 60_000;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;
pub const KEY: &str = "c4nary-key-77";

/// New York's FX week in UTC minutes of a summer week: closed from Friday 21:00 to Sunday 21:00.
pub const SUMMER_WEEKEND: (i64, i64) = ((4 * 24 + 21) * 60, (6 * 24 + 21) * 60);

/// Unix milliseconds.
pub fn at(text: &str) -> i64 {
    text.parse::<UtcMs>().unwrap().0
}

/// A clock that nothing but waiting moves.
#[derive(Clone)]
pub struct TestClock(Arc<AtomicI64>);

impl TestClock {
    pub fn new(start: i64) -> Self {
        Self(Arc::new(AtomicI64::new(start)))
    }

    pub fn set(&self, time: i64) {
        self.0.store(time, Ordering::SeqCst);
    }

    pub fn closure(&self) -> Arc<dyn Fn() -> i64 + Send + Sync> {
        let time = self.0.clone();
        Arc::new(move || time.load(Ordering::SeqCst))
    }
}

impl Clock for TestClock {
    fn now(&self) -> UtcMs {
        UtcMs(self.0.load(Ordering::SeqCst))
    }

    fn wait_until(&self, until: UtcMs) -> PortFuture<'_, ()> {
        Box::pin(async move {
            self.0.fetch_max(until.0, Ordering::SeqCst);
            tokio::task::yield_now().await;
        })
    }

    fn follows_cycles(&self) -> bool {
        true
    }
}

/// A clock that runs faster than time, for pipelines that wait beside each other.
#[derive(Clone, Copy)]
pub struct FastClock {
    start: i64,
    began: tokio::time::Instant,
}

impl FastClock {
    const SPEED: u32 = 20;

    pub fn new(start: i64) -> Self {
        Self { start, began: elapsed_now() }
    }

    fn time(&self) -> i64 {
        self.start + i64::try_from((self.began.elapsed() * Self::SPEED).as_millis()).unwrap()
    }

    pub fn closure(self) -> Arc<dyn Fn() -> i64 + Send + Sync> {
        Arc::new(move || self.time())
    }
}

impl Clock for FastClock {
    fn now(&self) -> UtcMs {
        UtcMs(self.time())
    }

    fn wait_until(&self, until: UtcMs) -> PortFuture<'_, ()> {
        Box::pin(
            async move { tokio::time::sleep(until.since(self.now()).min(Duration::from_secs(5)) / Self::SPEED).await },
        )
    }
}

/// A vendor whose requests meet `plan`.
pub fn vendor(
    market: Market,
    clock: &TestClock,
    plan: impl Fn(u64, i64) -> Option<Fault> + Send + Sync + 'static,
) -> Vendors {
    vendor_at(market, clock.closure(), plan)
}

/// The same by any clock.
pub fn vendor_at(
    market: Market,
    now: Arc<dyn Fn() -> i64 + Send + Sync>,
    plan: impl Fn(u64, i64) -> Option<Fault> + Send + Sync + 'static,
) -> Vendors {
    Vendors::start(Options { market, now, key: KEY.to_owned(), plan: Arc::new(plan) }).unwrap()
}

/// Without trouble.
pub fn no_fault(_: u64, _: i64) -> Option<Fault> {
    None
}

pub fn demo(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/demo").join(file)
}

/// A pipeline that trades on paper; `keys` are more of its keys, and `source` more of its source's.
pub fn order_pipeline(name: &str, base_url: &str, keys: &str, source: &str, model: &Path) -> String {
    format!(
        r#"
[[pipeline]]
name = "{name}"
symbol = "EURUSD"
{keys}
[pipeline.source]
base_url = "{base_url}"
{source}
[pipeline.model]
path = "{}"
[pipeline.decision]
volume_lots = "0.10"
stop_distance = "0.0050"
target_distance = "0.0100"
[pipeline.paper]
account = "{name}"
"#,
        model.display()
    )
}

/// The demo's model, as one that was trained on hours made from minutes.
pub fn model_of_made_hours(dir: &Path) -> PathBuf {
    of_parts(dir, "1m")
}

/// The demo's model, as one that was trained on bars made from shorter ones.
pub fn of_parts(dir: &Path, made_from: &str) -> PathBuf {
    let model = dir.join(format!("made-{made_from}.onnx"));
    std::fs::copy(demo("model.onnx"), &model).unwrap();
    let mut manifest: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(demo("model.json")).unwrap()).unwrap();
    manifest["features"]["made_from"] = made_from.into();
    std::fs::write(model.with_extension("json"), manifest.to_string()).unwrap();
    model
}

pub fn config(text: &str, dir: &Path) -> Config {
    let env: Env = [("EODHD_API_TOKEN", KEY), ("TIINGO_API_KEY", KEY)].into_iter().collect();
    let text = format!("[node]\nstate = \"{}\"\n[log]\nfile = \"none\"\n{text}", dir.join("state").display());
    Config::from_str_at(&text, "test.toml", dir, &env, &Flags::default()).unwrap_or_else(|errors| panic!("{errors}"))
}

pub fn run(config: &Config, clock: &(impl Clock + Clone + 'static)) -> RunReport {
    node::run(config.clone(), RunOptions { clock: Arc::new(clock.clone()), ..RunOptions::default() }).unwrap()
}

#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub slot: i64,
    pub outcome: String,
    pub reason: String,
    pub detail: String,
    pub decided: Option<i64>,
    pub bars_digest: Option<String>,
    pub dropped: String,
}

/// The rows of a pipeline, oldest first.
pub fn rows(dir: &Path, pipeline: &str) -> Vec<Row> {
    let file = dir.join("state/journal.db");
    let journal = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut rows = journal
        .prepare(
            "SELECT slot_ms, outcome, reason, detail, decided_bar_ms, bars_digest, dropped FROM slots WHERE pipeline = ?1 ORDER BY slot_ms",
        )
        .unwrap();
    let row = |row: &rusqlite::Row<'_>| {
        Ok(Row {
            slot: row.get(0)?,
            outcome: row.get(1)?,
            reason: row.get(2)?,
            detail: row.get(3)?,
            decided: row.get(4)?,
            bars_digest: row.get(5)?,
            dropped: row.get(6)?,
        })
    };
    rows.query_map([pipeline], row).unwrap().map(Result::unwrap).collect()
}

/// Of each decided slot: its bar, and the digests of its bars and features, with the model's answer.
pub fn decisions(dir: &Path) -> Vec<(i64, String, String, String)> {
    let journal = Connection::open_with_flags(dir.join("state/journal.db"), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let sql = "SELECT decided_bar_ms, bars_digest, features_digest, raw_output FROM slots WHERE decided_bar_ms IS NOT NULL ORDER BY slot_ms";
    let mut rows = journal.prepare(sql).unwrap();
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
    rows.query_map([], row).unwrap().map(Result::unwrap).collect()
}
