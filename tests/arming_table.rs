//! The table of everything that keeps an order here: the real node, once per combination, on one bar that it would trade on, before
//! a gateway that counts what reaches it. Only the one complete combination sends.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a failing test should panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use data_encoding::HEXLOWER;
use proptest::test_runner::{Config as Cases, TestRunner};
use rusqlite::{Connection, OpenFlags};
use sentinel::arming::record::{self, Armed};
use sentinel::arming::{Effects, Limits, Until, VenueSays};
use sentinel::config::{Config, Env, Flags};
use sentinel::node::{self, ArmedBy, RunOptions};
use sentinel::system::WallClock;
use sentinel_actors::ports::Clock as _;
use sha2::{Digest as _, Sha256};

const FILES: [&str; 3] = ["eurusd_1h_2017.csv", "model.onnx", "model.json"];

/// One thing that is not as an operator has armed it, or keeps orders here in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Deviation {
    NoArm,
    DamagedArm,
    OtherAccount,
    OtherBars,
    OtherModel,
    OtherRisk,
    OtherVenue,
    OtherDecision,
    Expired,
    OrdersSpent,
    LossReached,
    /// What the venue said of itself when it was armed it has not said again.
    VenueUnheard,
    OtherJournal,
    DryRun,
    SafeMode,
    Halted,
}

use Deviation::{
    DamagedArm, DryRun, Expired, Halted, LossReached, NoArm, OrdersSpent, OtherAccount, OtherBars, OtherDecision,
    OtherJournal, OtherModel, OtherRisk, OtherVenue, SafeMode, VenueUnheard,
};

const ALL: [Deviation; 16] = [
    NoArm,
    DamagedArm,
    OtherAccount,
    OtherBars,
    OtherModel,
    OtherRisk,
    OtherVenue,
    OtherDecision,
    Expired,
    OrdersSpent,
    LossReached,
    VenueUnheard,
    OtherJournal,
    DryRun,
    SafeMode,
    Halted,
];

/// Fills every order, and counts them.
struct Gateway {
    port: u16,
    orders: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Gateway {
    fn start() -> Self {
        let socket = zmq::Context::new().socket(zmq::REP).unwrap();
        socket.set_linger(0).unwrap();
        socket.set_rcvtimeo(5).unwrap();
        socket.bind("tcp://127.0.0.1:*").unwrap();
        let port = socket.get_last_endpoint().unwrap().unwrap().rsplit(':').next().unwrap().parse().unwrap();
        let (orders, stop) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (count, stopped) = (orders.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let Ok(Ok(text)) = socket.recv_string(0) else { continue };
                let reply = if text.contains("\"ORDER_SEND\"") {
                    let ticket = 1000 + count.fetch_add(1, Ordering::Relaxed);
                    format!("{{\"error\":false,\"ticket\":{ticket},\"msg\":\"done\",\"retcode\":10009}}")
                } else {
                    "{\"error\":true,\"ticket\":0,\"msg\":\"Unknown action\",\"retcode\":-2}".to_owned()
                };
                socket.send(&reply, 0).unwrap();
            }
        });
        Self { port, orders, stop, thread: Some(thread) }
    }

    fn orders(&self) -> usize {
        self.orders.load(Ordering::Relaxed)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// A node that opens a position with every signal.
fn text(port: u16) -> String {
    let mut text = include_str!("data/local.toml").to_owned();
    for (old, new) in [
        ("threshold = 0.6", "threshold = 0.34"),
        ("on_opposite = \"reverse\"", "on_opposite = \"ignore\""),
        ("[pipeline.decision]", "[pipeline.risk]\nmax_open_positions = \"none\"\n\n[pipeline.decision]"),
        ("level = \"warn\"", "level = \"error\""),
    ] {
        assert!(text.contains(old), "{old}");
        text = text.replacen(old, new, 1);
    }
    text + &format!(
        "\n[pipeline.venue]\nkind = \"gateway\"\nport = {port}\naccount = \"test\"\naccount_mode = \"hedging\"\nmagic = 7\n\
         replay = true\n"
    )
}

fn config(dir: &Path, text: &str, live: bool) -> Config {
    let flags = Flags { live, state: Some(dir.join("state").display().to_string()), ..Flags::default() };
    Config::from_str_at(text, "node.toml", dir, &Env::default(), &flags).unwrap()
}

/// Arms what the node would do now. It may send so many orders more than have left.
fn arm(dir: &Path, text: &str, more: u64, armed_ago: Duration) {
    let (config, state) = (config(dir, text, true), dir.join("state"));
    let left = node::live_effects(&state).unwrap().left;
    let max_orders = Some(u32::try_from(left + more).unwrap()).filter(|orders| *orders > 0);
    let limits = Limits { until: Some(Until::AfterMs(3_600_000)), max_orders, max_loss: None };
    let terms = node::live_terms(&config, None, limits).unwrap();
    // As before there was a journal: all that it has counts.
    let effects = Effects::default();
    record::write(&state, Armed { at: WallClock.now().minus(armed_ago), effects, equity: BTreeMap::new(), terms })
        .unwrap();
}

fn run_once(dir: &Path, text: &str, live: bool) {
    let armed_by = ArmedBy::Operator { command: "sentinel arm".to_owned() };
    // Whether it refuses to start or ends its slot without an order is judged by the gateway.
    let _ = node::run(config(dir, text, live), RunOptions { once: true, armed_by, ..RunOptions::default() });
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn orders_in_paper_book(dir: &Path) -> i64 {
    let file = dir.join("state/paper.db");
    let Ok(book) = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY) else { return 0 };
    book.query_row("SELECT count(*) FROM orders", [], |row| row.get(0)).unwrap_or(0)
}

/// A directory whose next bar is traded on when everything is as it was armed, and which has traded before.
fn before_a_trade(gateway: &Gateway) -> tempfile::TempDir {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/demo");
    let mut now = tempfile::tempdir().unwrap();
    for name in FILES {
        fs::copy(demo.join(name), now.path().join(name)).unwrap();
    }
    let text = text(gateway.port);
    for _ in 0..200 {
        let next = tempfile::tempdir().unwrap();
        copy(now.path(), next.path());
        let before = gateway.orders();
        arm(next.path(), &text, 1, Duration::ZERO);
        run_once(next.path(), &text, true);
        if gateway.orders() > before && node::live_effects(&now.path().join("state")).unwrap().left > 0 {
            return now;
        }
        now = next;
    }
    panic!("no bar of the demo is traded on");
}

fn apply(deviation: Deviation, dir: &Path, text: &mut String) {
    let arm_file = record::file_of(&dir.join("state"));
    let mut change = |old: &str, new: &str| {
        assert!(text.contains(old), "{old}");
        *text = text.replacen(old, new, 1);
    };
    match deviation {
        NoArm => drop(fs::remove_file(arm_file)),
        DamagedArm => {
            if let Ok(whole) = fs::read_to_string(&arm_file) {
                fs::write(arm_file, whole.replace("\"venue.magic\": \"7\"", "\"venue.magic\": \"8\"")).unwrap();
            }
        }
        OtherAccount => change("account = \"test\"", "account = \"real\""),
        OtherBars => {
            fs::copy(dir.join(FILES[0]), dir.join("other.csv")).unwrap();
            change(FILES[0], "other.csv");
        }
        OtherModel => {
            // ModelProto.doc_string = "x": it decides the same, and is another file.
            let bytes = [fs::read(dir.join(FILES[1])).unwrap(), vec![0x32, 1, b'x']].concat();
            let mut manifest: serde_json::Value =
                serde_json::from_slice(&fs::read(dir.join(FILES[2])).unwrap()).unwrap();
            manifest["sha256"] = HEXLOWER.encode(&Sha256::digest(&bytes)).into();
            fs::write(dir.join(FILES[1]), bytes).unwrap();
            fs::write(dir.join(FILES[2]), manifest.to_string()).unwrap();
        }
        OtherRisk => change("max_open_positions = \"none\"", "max_open_positions = \"none\"\nmax_orders_per_day = 25"),
        // It is the same gateway, by another name.
        OtherVenue => change("kind = \"gateway\"", "kind = \"gateway\"\nhost = \"localhost\""),
        OtherDecision => change("threshold = 0.34", "threshold = 0.35"),
        Halted => fs::write(dir.join("state/HALT"), "").unwrap(),
        // The others are made with the arm, or at the start.
        Expired | OrdersSpent | LossReached | VenueUnheard | OtherJournal | DryRun | SafeMode => {}
    }
}

/// What is another arm from the beginning.
fn change_arm(state: &Path, deviations: &BTreeSet<Deviation>) {
    let mut armed = record::read(&record::file_of(state)).unwrap();
    if deviations.contains(&OtherJournal) {
        armed.effects.journal = Some("another".to_owned());
    }
    if deviations.contains(&VenueUnheard) {
        armed.terms.pipelines[0].venue_says = VenueSays::Account("server Broker-Demo".to_owned());
    }
    record::write(state, armed.clone()).unwrap();
    if deviations.contains(&LossReached) {
        // As a run before this one has left it.
        let seen = serde_json::json!({
            "identity": armed.terms.id().to_string(), "armed_at": armed.at, "at": armed.at, "lost": "the account has lost 60"
        });
        fs::write(state.join("arm.seen"), seen.to_string()).unwrap();
    }
}

/// Enters safe mode without a wait: the crashes are eleven minutes old.
fn crash_repeatedly(state: &Path) {
    let at = WallClock.now().minus(Duration::from_secs(660)).0;
    let boot = format!("{{\"at_ms\":{at},\"after\":70,\"worked_slots\":null}}");
    fs::write(state.join("boots"), format!("[{}]", vec![boot; 6].join(","))).unwrap();
}

/// Runs one combination; how many orders reached the gateway.
fn sent(gateway: &Gateway, base: &Path, deviations: &BTreeSet<Deviation>) -> usize {
    let dir = tempfile::tempdir().unwrap();
    copy(base, dir.path());
    let (state, mut text) = (dir.path().join("state"), text(gateway.port));
    let more = u64::from(!deviations.contains(&OrdersSpent));
    let ago = if deviations.contains(&Expired) { Duration::from_secs(7200) } else { Duration::ZERO };
    arm(dir.path(), &text, more, ago);
    change_arm(&state, deviations);
    for deviation in deviations {
        apply(*deviation, dir.path(), &mut text);
    }
    if deviations.contains(&SafeMode) {
        crash_repeatedly(&state);
    }
    let (before, in_book) = (gateway.orders(), orders_in_paper_book(dir.path()));
    let is_live = !deviations.contains(&DryRun);
    run_once(dir.path(), &text, is_live);
    assert!(!is_live || orders_in_paper_book(dir.path()) == in_book, "nothing goes to the paper book instead");
    gateway.orders() - before
}

#[test]
fn only_the_complete_combination_sends_an_order() {
    let gateway = Gateway::start();
    let base = before_a_trade(&gateway);
    let sent = |deviations: &BTreeSet<Deviation>| sent(&gateway, base.path(), deviations);
    assert_eq!(sent(&BTreeSet::new()), 1, "as it was armed");
    for deviation in ALL {
        assert_eq!(sent(&BTreeSet::from([deviation])), 0, "{deviation:?}");
    }
    let some = proptest::sample::subsequence(ALL.to_vec(), 0..=ALL.len());
    let cases = Cases { cases: 40, failure_persistence: None, ..Cases::default() };
    TestRunner::new(cases)
        .run(&some, |deviations| {
            let deviations: BTreeSet<Deviation> = deviations.into_iter().collect();
            proptest::prop_assert_eq!(sent(&deviations), usize::from(deviations.is_empty()), "{:?}", deviations);
            Ok(())
        })
        .unwrap();
    assert_eq!(sent(&BTreeSet::new()), 1, "and still as it was armed");
}
