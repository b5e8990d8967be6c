//! More slots than the machine can work on: figures to print, with the limits that they must keep. They are taken in release, of a
//! node that is a process of its own: `cargo test --release --test live -- --ignored --nocapture --test-threads 1 overload`.
//!
//! `SENTINEL_LOAD=nightly` takes them at full size.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use sentinel::system::WallClock;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::Clock as _;
use sentinel_testbed::vendors::{Market, Options, Vendors};
use tempfile::TempDir;

use super::support::*;

fn is_nightly() -> bool {
    std::env::vars().any(|(name, size)| name == "SENTINEL_LOAD" && size == "nightly")
}

/// The size for a nightly run, or the one for every change.
fn sized<T>(nightly: T, small: T) -> T {
    if is_nightly() { nightly } else { small }
}

fn now() -> i64 {
    WallClock.now().0
}

fn sleep_until(time: i64) {
    std::thread::sleep(Duration::from_millis(u64::try_from(time - now()).unwrap_or(0)));
}

/// A node as a process, on bars of a vendor, with what makes its machine slow.
struct Node {
    process: Child,
    dir: TempDir,
    _vendor: Vendors,
    _neighbours: Neighbours,
}

/// What a run is made harder by.
#[derive(Default, Clone)]
struct Trouble {
    /// What each fsync takes at least.
    fsync: Option<Duration>,
    /// Processes that do nothing but work.
    neighbours: usize,
}

/// Busy processes; ended when dropped.
struct Neighbours(Vec<Child>);

impl Neighbours {
    fn start(count: usize) -> Self {
        let busy = || Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        Self((0..count).map(|_| busy()).collect())
    }
}

impl Drop for Neighbours {
    fn drop(&mut self) {
        for process in &mut self.0 {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What becomes of a pipeline's slots.
#[derive(Clone)]
struct Load {
    pipelines: usize,
    schedule: String,
    /// When its slots end.
    end: Option<i64>,
}

impl Node {
    fn start(loads: &[Load], trouble: &Trouble) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let market = Market::plain("EURUSD.FOREX", 1.1, 5);
        let options = Options { market, now: Arc::new(now), key: KEY.to_owned(), plan: Arc::new(no_fault) };
        let vendor = Vendors::start(options).unwrap();
        let model = model_that_trades(dir.path());
        let mut text = "[log]\nlevel = \"error\"\n[supervision]\nwatchdog = \"30s\"\n[deadlines]\ncycle = \"60s\"\nexecute = \"30s\"\n".to_owned();
        let mut number = 0;
        for load in loads {
            let end = load.end.map_or_else(String::new, |end| format!("\nend = \"{}\"", UtcMs(end)));
            let keys = format!("calendar = \"always\"\nschedule = \"{}\"{end}", load.schedule);
            for _ in 0..load.pipelines {
                let one = order_pipeline(&format!("p{number}"), &vendor.base_url(), &keys, "kind = \"eodhd\"", &model);
                // Every cycle sends an order.
                let trades =
                    "classes = [\"sell\", \"buy\", \"hold\"]\nthreshold = 0.0\ndecide_on = \"slot\"\nvolume_lots";
                text.push_str(&one.replace("volume_lots", trades));
                let _ = writeln!(
                    text,
                    "[pipeline.risk]\nmax_open_positions = \"none\"\nmax_orders_per_hour = 10000\nmax_orders_per_day = 100000"
                );
                number += 1;
            }
        }
        std::fs::write(dir.path().join("node.toml"), text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sentinel"));
        command.current_dir(dir.path()).args(["run", "--config", "node.toml"]).env("EODHD_API_TOKEN", KEY);
        if let Some(fsync) = trouble.fsync {
            command
                .env("LD_PRELOAD", slow_disk(dir.path()))
                .env("FAULTY_DISK_DELAY", format!("1:{}", fsync.as_millis()));
        }
        let neighbours = Neighbours::start(trouble.neighbours);
        let process = command.spawn().unwrap();
        Self { process, dir, _vendor: vendor, _neighbours: neighbours }
    }

    fn journal(&self) -> Connection {
        self.try_journal().unwrap()
    }

    fn try_journal(&self) -> rusqlite::Result<Connection> {
        let file = self.dir.path().join("state/journal.db");
        let journal = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        journal.busy_timeout(Duration::from_secs(5))?;
        Ok(journal)
    }

    /// How the slots in `[from, until)` ended, by reason.
    fn reasons(&self, from: i64, until: i64) -> BTreeMap<String, u32> {
        let journal = self.journal();
        let mut counts = journal
            .prepare("SELECT reason, count(*) FROM slots WHERE slot_ms >= ?1 AND slot_ms < ?2 GROUP BY reason")
            .unwrap();
        counts.query_map([from, until], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
    }

    /// When the last slot of the instant `slot` ended, and how many have.
    fn ended(&self, slot: i64) -> (i64, u32) {
        let sql = "SELECT coalesce(max(ended_ms), 0), count(*) FROM slots WHERE slot_ms = ?1";
        self.journal().query_row(sql, [slot], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    }

    /// Cycles per second that ended in `[from, until)`.
    fn completed(&self, from: i64, until: i64) -> f64 {
        let sql = "SELECT count(*) FROM slots WHERE ended_ms >= ?1 AND ended_ms < ?2 AND attempts > 0";
        let count: u32 = self.journal().query_row(sql, [from, until], |row| row.get(0)).unwrap();
        f64::from(count) * 1000.0 / (until - from) as f64
    }

    /// Load has restarted nothing, put nothing aside, and made no order unknown.
    fn assert_whole(&self) {
        let log = std::fs::read_to_string(self.dir.path().join("state/logs/sentinel.log")).unwrap();
        for event in ["child_down", "child_stuck", "cycle_rerun", "input_quarantined", "pipeline_parked"] {
            let lines: Vec<&str> = log.lines().filter(|line| line.contains(&format!("event={event} "))).collect();
            assert_eq!(lines.len(), 0, "{} times {event}: {}", lines.len(), lines[0]);
        }
        let reasons = self.reasons(0, i64::MAX);
        for unknown in ["order_unknown", "stage_crashed", "poison_input"] {
            assert_eq!(reasons.get(unknown), None, "{reasons:?}");
        }
        let open = "SELECT count(*) FROM intents WHERE state IN ('unknown', 'held')";
        assert_eq!(self.journal().query_row(open, [], |row| row.get::<_, u32>(0)).unwrap(), 0);
        assert_eq!(std::fs::read_dir(self.dir.path().join("state/quarantine")).unwrap().count(), 0);
    }

    fn resident_mb(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let kb = status.split_once("VmRSS:").unwrap().1.split_whitespace().next().unwrap();
        kb.parse::<f64>().unwrap() * 1024.0 / 1e6
    }
}

/// The demo's model with its classes named so that it never says to hold.
fn model_that_trades(dir: &Path) -> PathBuf {
    let model = model_of_made_hours(dir);
    let manifest = model.with_extension("json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    value["classes"] = serde_json::json!(["SELL", "BUY", "HOLD"]);
    std::fs::write(manifest, value.to_string()).unwrap();
    model
}

/// Compiles the library that slows the disk down.
fn slow_disk(dir: &Path) -> PathBuf {
    let library = dir.join("slow_disk.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/faulty_disk.c");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-O2", "-o"]).arg(&library).arg(source).status().unwrap();
    assert!(built.success());
    library
}

#[test]
#[ignore = "prints figures; run it in release"]
fn overload_of_many_pipelines_that_are_due_at_one_instant() {
    let pipelines = sized(5000, 1000);
    // Late enough for all of them to have started.
    let due = (now() + sized(30_000, 15_000)).div_euclid(1000) * 1000;
    let second = due.div_euclid(1000).rem_euclid(60);
    let node = Node::start(
        &[Load { pipelines, schedule: format!("every 1m at :{second:02}"), end: None }],
        &Trouble::default(),
    );
    sleep_until(due + 12_000);
    let (ended, count) = node.ended(due);
    let reasons = node.reasons(due, due + 1);
    println!(
        "{pipelines} order pipelines due at one instant: all {count} ended within {} ms, {reasons:?}, {:.0} MB",
        ended - due,
        node.resident_mb()
    );
    assert_eq!(usize::try_from(count).unwrap(), pipelines);
    assert!(ended - due <= 5000);
    assert!(!reasons.contains_key("overload"), "all are decided");
    node.assert_whole();
}

impl Node {
    /// Waits until every pipeline was worked on once, and says how long that took.
    fn until_steady(&self, pipelines: usize) -> i64 {
        let began = now();
        let heard_of = || {
            let sql = "SELECT count(*) FROM (SELECT DISTINCT pipeline FROM slots WHERE attempts > 0)";
            let count = self.try_journal().and_then(|journal| journal.query_row(sql, [], |row| row.get::<_, u32>(0)));
            count.unwrap_or(0) as usize
        };
        while heard_of() < pipelines {
            assert!(now() - began < 240_000, "{} of {pipelines} were worked on", heard_of());
            std::thread::sleep(Duration::from_secs(1));
        }
        now() - began
    }
}

/// What a machine can do.
struct Capacity {
    cycles_per_s: f64,
    /// What the start of a pipeline takes.
    start_ms: f64,
}

/// What pipelines that want a cycle every `every` seconds get, once all have begun.
fn throughput(pipelines: usize, every: usize, seconds: i64, trouble: &Trouble) -> Capacity {
    let node = Node::start(&[Load { pipelines, schedule: format!("every {every}s"), end: None }], trouble);
    let start_ms = node.until_steady(pipelines) as f64 / pipelines as f64;
    let from = now();
    sleep_until(from + seconds * 1000);
    let cycles_per_s = node.completed(from, from + seconds * 1000);
    node.assert_whole();
    Capacity { cycles_per_s, start_ms }
}

/// Demand at three times what the machine can do, and then at a quarter of it. What it can do is what `most` pipelines
/// get.
fn three_times_too_much(most: usize, every: usize, seconds: i64, normal_after_s: i64, trouble: &Trouble) {
    let Capacity { cycles_per_s: capacity, start_ms } = throughput(most, every, seconds.min(30), trouble);
    let pipelines = |times: f64| (capacity * times * every as f64) as usize;
    let usual = throughput(pipelines(1.0), every, seconds, trouble).cycles_per_s;
    let start = (pipelines(3.0) as f64 * start_ms * 1.3) as i64 + 5000;
    let ends = (now() + start + seconds * 1000).div_euclid(1000) * 1000;
    let load = |pipelines, end| Load { pipelines, schedule: format!("every {every}s"), end };
    let node = Node::start(&[load(pipelines(0.25), None), load(pipelines(2.75), Some(ends))], trouble);
    sleep_until(ends);
    let overloaded = node.completed(ends - seconds * 1000, ends);
    let during = node.reasons(ends - seconds * 1000, ends);
    let (normal_from, period) = (ends + normal_after_s * 1000, every as i64 * 1000);
    sleep_until(normal_from + 2 * period + 5_000);
    let after = node.reasons(normal_from, normal_from + 2 * period);
    println!(
        "capacity {capacity:.0} cycles/s; at 1 x {usual:.0}, at 3 x for {seconds} s {overloaded:.0} ({:.0} %), {:.0} MB; \
         in the overload {during:?}; from {normal_after_s} s after it on {after:?}",
        overloaded / usual * 100.0,
        node.resident_mb()
    );
    node.assert_whole();
    assert!(during.contains_key("overload"), "it was too much");
    assert!(overloaded >= 0.8 * usual, "{overloaded} of {usual} cycles/s");
    for missed in ["overload", "overrun", "late"] {
        assert_eq!(after.get(missed), None, "back to normal");
    }
}

#[test]
#[ignore = "prints figures; run it in release"]
fn overload_of_three_times_the_capacity() {
    three_times_too_much(sized(5000, 4000), 1, sized(120, 10), 10, &Trouble::default());
}

#[test]
#[ignore = "prints figures; run it in release"]
fn overload_with_a_disk_that_needs_300_ms() {
    let trouble = Trouble { fsync: Some(Duration::from_millis(300)), ..Trouble::default() };
    // A cycle takes five seconds here: those at work and those after them have to end.
    three_times_too_much(700, 10, sized(120, 20), 20, &trouble);
}

#[test]
#[ignore = "prints figures; run it in release"]
fn overload_beside_four_busy_processes() {
    three_times_too_much(3000, 2, sized(120, 10), 10, &Trouble { neighbours: 4, ..Trouble::default() });
}
