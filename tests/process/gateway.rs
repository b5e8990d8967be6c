//! A paper gateway as a process of its own, and the node that trades through it. Its ledger is the judge: it says what
//! really reached the gateway, and when.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use super::config::{Site, demo_file};
use super::evidence::{Span, faults};
use super::facts::{Facts, request_id};
use super::node::{Ended, Node, run};

/// The node's deadline for one exchange in these tests.
const EXECUTE: Duration = Duration::from_millis(500);
/// The whole cycle: an order that arrives later after its slot than this, and a scheduling hiccup, is a stale order.
const CYCLE: Duration = Duration::from_millis(3_500);
const LATE_AFTER_MS: i64 = 3_500 + 250;
/// An order that arrives later than its deadline, and a scheduling hiccup, is a stale order.
const STALE_AFTER_MS: i64 = 500 + 250;
/// What each dialect trades with.
const TRADES: &str = "action IN ('ORDER_SEND', 'OPEN_ORDER', 'CLOSE_POSITION')";

/// Below the ports that the system gives to whoever connects, which may take one while its gateway is away.
const PORTS: std::ops::Range<u32> = 10_000..32_000;

/// A port that is free at the moment, and that no other test of this process gets.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(97);
    let count = PORTS.end - PORTS.start;
    loop {
        let number = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(PORTS.start + number % count).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

pub fn ledger(dir: &Path) -> PathBuf {
    dir.join("gateway.db")
}

/// Starts a gateway on `port` with its ledger in `dir`, and waits until it listens.
pub fn gateway(dir: &Path, port: u16, faults: &[&str]) -> Node {
    gateway_on(dir, port, "netting", faults)
}

/// The same on an account of this kind.
pub fn gateway_on(dir: &Path, port: u16, account: &str, faults: &[&str]) -> Node {
    gateway_for(dir, port, "eurusd", account, faults)
}

/// The same for a pipeline of this name, and with traps where a fault begins with that word, whose replay gives the market's time.
pub fn gateway_for(dir: &Path, port: u16, pipeline: &str, account: &str, faults: &[&str]) -> Node {
    let bars = format!("EURUSD={}", demo_file("eurusd_1h_2017.csv").display());
    let (ledger, port) = (ledger(dir).display().to_string(), port.to_string());
    let clock = format!("EURUSD={}", dir.join(format!("state/replay/{pipeline}.time")).display());
    let mut args = vec!["gateway", "--paper", "--port", &port, "--ledger", &ledger, "--bars", &bars, "--clock", &clock];
    args.extend(["--seed", "1", "--account", account]);
    args.extend(faults.iter().flat_map(|fault| match fault.strip_prefix("trap ") {
        Some(trap) => ["--trap", trap],
        None => ["--fault", fault],
    }));
    let mut node = Node::start(dir, args);
    node.wait_for("listening gateway", |node| node.said().0.contains("listening on"));
    node
}

impl Site {
    /// The same node with its orders to a gateway on a netting account, a lower threshold for more of them, and every
    /// log line on its console, where even a killed node cannot lose one.
    pub fn through_gateway(self, port: u16) -> Self {
        self.with("stop_distance = \"0.0050\"", "stop_distance = \"none\"")
            .with("target_distance = \"0.0100\"", "target_distance = \"none\"")
            .trading_through(port, "netting")
    }

    /// The same on a hedging account, where each order has a stop and a target and nothing else ends it.
    pub fn through_hedging_gateway(self, port: u16) -> Self {
        self.with("on_opposite = \"reverse\"", "on_opposite = \"ignore\"")
            .with("[pipeline.decision]", "[pipeline.risk]\nmax_open_positions = \"none\"\n\n[pipeline.decision]")
            .trading_through(port, "hedging")
    }

    fn trading_through(self, port: u16, mode: &str) -> Self {
        let venue = format!(
            "\n[pipeline.venue]\nkind = \"gateway\"\nport = {port}\naccount = \"test\"\naccount_mode = \"{mode}\"\n\
             magic = 7\nreplay = true\n"
        );
        let deadlines = format!(
            "[deadlines]\nfetch = \"1s\"\nfeatures = \"1s\"\npredict = \"1s\"\nexecute = \"{}ms\"\ncycle = \"{}ms\"\n\n\
             [[pipeline]]",
            EXECUTE.as_millis(),
            CYCLE.as_millis()
        );
        let mut site = self
            .with("threshold = 0.6", "threshold = 0.45")
            .with("level = \"warn\" ", "level = \"debug\"\nformat = \"json\" ")
            .with("[[pipeline]]", &deadlines);
        site.text.push_str(&venue);
        site
    }

    /// Starts the node live, armed as it is now, whatever it was killed by before.
    pub fn start_live(&self, more: &[&str]) -> Node {
        self.resume();
        self.arm();
        self.start_as_armed(more)
    }

    /// Starts the node live, with the arm that there is.
    pub fn start_as_armed(&self, more: &[&str]) -> Node {
        Node::start(self.path(), self.args_and(&[&["--live"], more].concat()))
    }
}

/// The identity of what `sentinel arm` shows.
pub fn shown_identity(out: &str) -> String {
    let text = out
        .split_once("Type ")
        .or_else(|| out.split_once("Identity: "))
        .unwrap_or_else(|| panic!("no identity: {out}"))
        .1;
    text.split_whitespace().next().unwrap().to_owned()
}

impl Site {
    /// What `sentinel arm` says with these arguments.
    pub fn arm_with(&self, more: &[&str]) -> Ended {
        let args = self.args_and(more);
        run(self.path(), ["arm".to_owned()].into_iter().chain(args.into_iter().skip(1)))
    }

    /// Arms what the node would do live, unless this very configuration was armed for these tests before.
    pub fn arm(&self) {
        self.arm_within(Duration::ZERO);
    }

    /// The same before a venue that may need this long until it says what it is.
    pub fn arm_within(&self, patience: Duration) {
        let armed = self.path().join("armed.toml");
        if fs::read_to_string(&armed).is_ok_and(|armed| armed == self.text) && self.state().join("arm.json").exists() {
            return;
        }
        let began = Instant::now();
        loop {
            let shown = self.arm_with(&[]);
            if shown.err.contains("there is nothing to arm") {
                return;
            }
            let ended = match shown.status.code() {
                Some(1) => self.arm_with(&["--yes", &shown_identity(&shown.out)]),
                _ => shown,
            };
            if ended.status.code() == Some(0) {
                break;
            }
            assert!(began.elapsed() < patience, "{ended:#?}");
        }
        fs::write(armed, &self.text).unwrap();
    }
}

/// What a run through a gateway came to.
#[derive(Debug, Default, Clone, Copy)]
pub struct Books {
    pub fills: usize,
    pub held: usize,
    /// Sent or unknown: the gateway could not be asked before the run ended.
    pub open: usize,
    pub absent: usize,
}

/// A run that is over, and everything that is wrong with it.
pub struct Judged {
    pub facts: Facts,
    pub books: Books,
    pub faults: Vec<String>,
}

/// Reads journal and ledger and accepts them: no order lost, doubled, invented or stale.
#[track_caller]
pub fn accept_live(site: &Site, span: Span) -> (Facts, Books) {
    let Judged { facts, books, faults } = judge_live(site, span);
    if !faults.is_empty() {
        let kept = site.keep();
        panic!("{} faults, kept in {}:\n{}", faults.len(), kept.display(), faults.join("\n"));
    }
    (facts, books)
}

/// Reads journal and ledger and judges them.
pub fn judge_live(site: &Site, span: Span) -> Judged {
    let facts = Facts::with_ledger(&site.state(), &ledger(site.path()));
    let mut faults = faults(&facts, span);
    handed_over_well(site, &facts, &mut faults);
    let count = |states: &[&str]| facts.intents.iter().filter(|intent| states.contains(&&*intent.state)).count();
    let books = Books {
        fills: facts.orders.len(),
        held: count(&["held"]),
        open: count(&["sent", "unknown"]),
        absent: count(&["absent"]),
    };
    Judged { facts, books, faults }
}

fn open(path: &Path) -> Connection {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
}

/// The market time that the replay of `eurusd` has told its gateway last.
pub fn replay_time_ms(dir: &Path) -> i64 {
    let line = fs::read_to_string(dir.join("state/replay/eurusd.time")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// How many orders have reached the gateway's market so far.
pub fn order_count(dir: &Path) -> i64 {
    open(&ledger(dir)).query_row("SELECT count(*) FROM orders", [], |row| row.get(0)).unwrap()
}

/// Every order came to the gateway once, as the one that it is, and in time.
pub fn handed_over_well(site: &Site, facts: &Facts, faults: &mut Vec<String>) {
    ids(site, facts, faults);
    stale(site, faults);
    late(site, facts, faults);
}

/// How often the gateway was asked for each order, by the id of the request.
pub fn requests_for_orders(dir: &Path) -> BTreeMap<String, i64> {
    let ledger = open(&ledger(dir));
    let sql = format!("SELECT req_id, count(*) FROM requests WHERE {TRADES} GROUP BY req_id");
    let mut query = ledger.prepare(&sql).unwrap();
    query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
}

/// Every request for an order carries the id that its key derives, and comes at most once.
fn ids(site: &Site, facts: &Facts, faults: &mut Vec<String>) {
    let asked = requests_for_orders(site.path());
    let known: BTreeMap<String, &str> =
        facts.intents.iter().map(|intent| (request_id(&intent.key), &*intent.key)).collect();
    for (id, count) in asked {
        if count != 1 {
            faults.push(format!("doubled: {:?} was handed to the gateway {count} times", known.get(&id)));
        }
        if !known.contains_key(&id) {
            faults.push(format!("invented: the gateway was asked to fill {id}, which no intent derives"));
        }
    }
}

/// No order reaches the gateway later than its deadline after the node let go of it.
fn stale(site: &Site, faults: &mut Vec<String>) {
    let handed = handed_over(site.path(), "req_id");
    let ledger = open(&ledger(site.path()));
    let mut query = ledger.prepare(&format!("SELECT req_id, arrived_ms FROM requests WHERE {TRADES}")).unwrap();
    let arrived = query.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))).unwrap();
    for (id, arrived_ms) in arrived.map(Result::unwrap) {
        match handed.get(&id) {
            None => {
                faults.push(format!("invented: {id} reached the gateway, and no node ever said that it hands it over"))
            }
            Some(at_ms) if arrived_ms - at_ms > STALE_AFTER_MS => {
                faults.push(format!("stale: {id} arrived {} ms after it was handed over", arrived_ms - at_ms));
            }
            Some(_) => {}
        }
    }
}

/// By the market's own time no order is filled before it reached the gateway. None reaches it later after its slot than a
/// cycle may take, and none is filled later, unless it is the gateway that keeps it waiting.
fn late(site: &Site, facts: &Facts, faults: &mut Vec<String>) {
    let slots: BTreeMap<String, i64> =
        facts.intents.iter().map(|intent| (request_id(&intent.key), intent.slot_ms)).collect();
    let ledger = open(&ledger(site.path()));
    let sql = format!(
        "SELECT r.req_id, r.market_ms, o.market_ms, r.mood FROM requests AS r LEFT JOIN orders AS o ON o.seq = r.seq
               WHERE r.{TRADES}"
    );
    let mut query = ledger.prepare(&sql).unwrap();
    let mut rows = query.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let (id, arrived_ms): (String, Option<i64>) = (row.get(0).unwrap(), row.get(1).unwrap());
        let (filled_ms, fault): (Option<i64>, Option<String>) = (row.get(2).unwrap(), row.get(3).unwrap());
        let Some(slot_ms) = slots.get(&id) else { continue }; // `ids` complains
        let keeps_waiting = fault.is_some_and(|fault| ["slow", "frozen"].contains(&&*fault));
        let in_time = |at_ms: Option<i64>| at_ms.is_some_and(|at_ms| (0..=LATE_AFTER_MS).contains(&(at_ms - slot_ms)));
        if !in_time(arrived_ms) {
            faults.push(format!("stale: the order {id} of slot {slot_ms} arrived at {arrived_ms:?}"));
        }
        if filled_ms.is_some_and(|at_ms| Some(at_ms) < arrived_ms) {
            faults.push(format!(
                "wrong: the order {id} arrived at {arrived_ms:?} and was filled before, at {filled_ms:?}"
            ));
        }
        if filled_ms.is_some() && !keeps_waiting && !in_time(filled_ms) {
            faults.push(format!("stale: the order {id} of slot {slot_ms} was filled at {filled_ms:?}"));
        }
    }
}

/// When each order was handed over, by the nodes' consoles, under the id that this field of the line has.
pub fn handed_over(dir: &Path, id: &str) -> BTreeMap<String, i64> {
    let is_console = |path: &PathBuf| path.extension().is_some_and(|end| end == "err");
    let consoles = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).filter(is_console);
    let mut handed = BTreeMap::new();
    for console in consoles {
        for line in fs::read_to_string(console).unwrap().lines().filter(|line| line.contains("order_handed_over")) {
            // A node that was killed may have been cut off in the middle of its last line.
            let Ok(line) = serde_json::from_str::<serde_json::Value>(line) else { continue };
            let at = line["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond();
            handed.insert(line[id].as_str().unwrap().to_owned(), at);
        }
    }
    handed
}
