//! The worst day of the daemon that this node replaces. It hung while its gateway was down, delivered the stale order when that came
//! back, took any reply for a trade, and sent the same hour's order again every minute.
//!
//! Real processes and sockets on the real clock, with shorter waits: a slot each second instead of each minute, so that the same
//! bar is due 60 times in a minute.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OpenFlags};
use rustix::process::Signal;
use sentinel_testbed::vendors::{Fault, Market, Options, Vendors};

use super::config::Site;
use super::evidence::order_faults;
use super::facts::{Facts, Slot};
use super::gateway::{free_port, handed_over_well, ledger};
use super::hub_faults::{hub, set_fault};
use super::node::{LONG, Node, run};

const HOUR_MS: i64 = 3_600_000;
const SLOT_MS: i64 = 1_000;
/// So often is the bar due that is decided.
const DUE: usize = 60;
/// The node's deadlines.
const STAGES: [(&str, i64); 4] = [("fetch", 800), ("features", 800), ("predict", 400), ("execute", 500)];
const CYCLE_MS: i64 = 2_500;
const KEY: &str = "c4nary-key-78";

fn wall_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// A vendor, and what its next requests meet.
struct Vendor {
    server: Vendors,
    market: Market,
    troubles: Arc<Mutex<VecDeque<Fault>>>,
}

impl Vendor {
    fn start() -> Self {
        let troubles: Arc<Mutex<VecDeque<Fault>>> = Arc::default();
        let (next, market) = (troubles.clone(), Market::plain("EURUSD.FOREX", 1.1, 5));
        let server = Vendors::start(Options {
            market: market.clone(),
            now: Arc::new(wall_ms),
            key: KEY.to_owned(),
            plan: Arc::new(move |_, _| next.lock().unwrap_or_else(PoisonError::into_inner).pop_front()),
        });
        Self { server: server.unwrap(), market, troubles }
    }

    /// The close of the bar that is due.
    fn price(&self) -> f64 {
        let now = wall_ms();
        self.market.bar((now / HOUR_MS - 1) * HOUR_MS, HOUR_MS, now).and_then(|bar| bar.close).unwrap()
    }
}

/// A node between this vendor, this hub and this gateway; `classes` is what the model's outputs mean.
fn site(vendor: &Vendor, hub: u16, gateway: u16, classes: [&str; 3]) -> Site {
    let deadlines: String = STAGES.iter().map(|(stage, ms)| format!("{stage} = \"{ms}ms\"\n")).collect();
    let mut site = Site::new();
    site.text = format!(
        r#"
[node]
name = "worst-day"
[log]
level = "debug"
format = "json"
[deadlines]
{deadlines}cycle = "{CYCLE_MS}ms"
[[pipeline]]
name = "eurusd"
symbol = "EURUSD"
schedule = "every 1s"
calendar = "always"
made_from = "native"
[pipeline.source]
kind = "eodhd"
base_url = "{}"
token_file = "eodhd.token"
[pipeline.model]
kind = "mlflow"
port = {hub}
[pipeline.decision]
classes = {classes:?}
threshold = 0.34
volume_lots = "0.10"
stop_distance = "none"
target_distance = "none"
on_opposite = "ignore"
[pipeline.venue]
kind = "gateway"
port = {gateway}
dialect = "command"
least_evidence = "position delta"
account = "test"
account_mode = "netting"
magic = 7
"#,
        vendor.server.base_url()
    );
    let token = site.path().join("eodhd.token");
    fs::write(&token, KEY).unwrap();
    fs::set_permissions(token, fs::Permissions::from_mode(0o600)).unwrap();
    site
}

/// Waits for the next hour at the end of one: the day begins and decides within one bar.
fn leave_the_end_of_an_hour() {
    while HOUR_MS - wall_ms() % HOUR_MS < 60_000 || wall_ms() % HOUR_MS < 3_000 {
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What the model's outputs are to mean so that it says buy of the newest bar: it was made for another market.
fn classes(vendor: &Vendor, hub_port: u16) -> [&'static str; 3] {
    let site = site(vendor, hub_port, free_port(), ["sell", "hold", "buy"]);
    run(site.path(), site.args_and(&["--once"])).expect(0);
    let journal = Connection::open(site.state().join("journal.db")).unwrap();
    let sql = "SELECT raw_output FROM slots WHERE raw_output IS NOT NULL";
    let output: String = journal.query_row(sql, [], |row| row.get(0)).unwrap();
    let chances: Vec<f64> = serde_json::from_str(&output).unwrap();
    let mut order = [0, 1, 2];
    order.sort_by(|one, other| chances[*other].total_cmp(&chances[*one]));
    let mut classes = ["hold"; 3];
    (classes[order[0]], classes[order[1]]) = ("buy", "sell");
    classes
}

fn gateway(site: &Site, vendor: &Vendor, port: u16, faults: &[&str]) -> Node {
    let (ledger, port) = (ledger(site.path()).display().to_string(), port.to_string());
    let price = format!("EURUSD={:.5}", vendor.price());
    let mut args = vec!["gateway", "--paper", "--port", &port, "--ledger", &ledger, "--price", &price];
    args.extend(faults.iter().flat_map(|fault| ["--fault", fault]));
    let mut node = Node::start(site.path(), args);
    node.wait_for("listening gateway", |node| node.said().0.contains("listening on"));
    node
}

fn rows(site: &Site) -> Vec<Slot> {
    if Facts::rows_so_far(&site.state()) == 0 { Vec::new() } else { Facts::slots(&site.state()) }
}

fn ended_as(site: &Site, reason: &str) -> usize {
    rows(site).iter().filter(|row| row.reason == reason).count()
}

#[test]
fn the_old_daemons_worst_day_has_one_order_and_one_row_for_each_slot() {
    leave_the_end_of_an_hour();
    let (vendor, hub_port, port) = (Vendor::start(), free_port(), free_port());
    let dir = tempfile::tempdir().unwrap();
    let _hub = hub(dir.path(), hub_port, "none");
    let site = site(&vendor, hub_port, port, classes(&vendor, hub_port));
    let first = gateway(&site, &vendor, port, &[]);
    site.arm();

    // The vendor hangs, and then it limits. The hub dribbles an answer.
    let limit = Fault::Status { code: 429, headers: vec![("Retry-After", "1".to_owned())], body: String::new() };
    *vendor.troubles.lock().unwrap() = VecDeque::from([Fault::Hang, limit]);
    set_fault(hub_port, "dribble=15s");
    let mut node = site.start_as_armed(&[]);
    node.wait_for("slots in which vendor and hub fail", |_| ended_as(&site, "model_timeout") >= 2);

    // The gateway dies while the signal is pending, and is gone for several slots.
    first.killed_after(Duration::ZERO);
    set_fault(hub_port, "none");
    node.wait_for("slots without a gateway", |_| ended_as(&site, "venue_unavailable") >= 4);

    // It comes back, and dies again with the order in its hands: filled, and nobody was told.
    let mut second = gateway(&site, &vendor, port, &["die@1"]);
    second.ended_within(LONG).unwrap();
    let before = rows(&site).len();
    node.wait_for("more slots without a gateway", |_| rows(&site).len() > before + 4);
    let _third = gateway(&site, &vendor, port, &[]);

    // The bar is due again and again.
    let bar = |row: &Slot| (row.at_ms - 2_000).div_euclid(HOUR_MS);
    let due = |rows: &[Slot]| {
        let decided = rows.iter().filter(|row| row.decided_bar_ms.is_some()).map(bar).next();
        rows.iter().filter(|row| Some(bar(row)) == decided).count()
    };
    node.wait_for("a bar that is due often", |_| due(&rows(&site)) > DUE);
    node.signal(Signal::TERM);
    node.end().expect(0);

    judge(&site, &vendor);
}

fn judge(site: &Site, vendor: &Vendor) {
    let facts = Facts::with_ledger(&site.state(), &ledger(site.path()));
    let mut faults = order_faults(&facts);
    handed_over_well(site, &facts, &mut faults);
    assert!(faults.is_empty(), "{faults:#?}");
    assert_eq!(facts.orders.len(), 1, "{:#?}", facts.orders);
    assert_eq!(facts.intents.iter().filter(|intent| intent.state == "acked").count(), 1, "{:#?}", facts.intents);

    let times: Vec<i64> = facts.slots.iter().map(|slot| slot.at_ms).collect();
    let due: Vec<i64> = (times[0]..=times[times.len() - 1]).step_by(usize::try_from(SLOT_MS).unwrap()).collect();
    assert_eq!(times, due, "every slot has one row");
    let mut decided: Vec<i64> = facts.slots.iter().filter_map(|slot| slot.decided_bar_ms).collect();
    let decisions = decided.len();
    decided.dedup();
    assert_eq!(decided.len(), decisions, "a bar is decided once");
    let reasons: BTreeSet<&str> = facts.slots.iter().map(|slot| &*slot.reason).collect();
    for reason in [
        "source_timeout",
        "source_rate_limited",
        "model_timeout",
        "venue_unavailable",
        "order_unknown",
        "bar_already_decided",
    ] {
        assert!(reasons.contains(reason), "no {reason} in {reasons:?}");
    }
    assert!(vendor.troubles.lock().unwrap().is_empty());
    stages_keep_their_deadlines(site);
}

/// Supervision grants a fifth beyond a deadline.
fn stages_keep_their_deadlines(site: &Site) {
    let journal = site.state().join("journal.db");
    let journal = Connection::open_with_flags(journal, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    for (stage, deadline_ms) in STAGES {
        let sql = format!("SELECT coalesce(max({stage}_us), 0) / 1000 FROM slots");
        let longest_ms: i64 = journal.query_row(&sql, [], |row| row.get(0)).unwrap();
        println!("{stage}: at most {longest_ms} ms of {deadline_ms}");
        assert!(longest_ms <= deadline_ms + deadline_ms / 5, "{stage} took {longest_ms} ms of {deadline_ms}");
    }
}
