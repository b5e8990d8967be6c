//! `sentinel flatten` on a real node and a real gateway, whose ledger says what was closed.

use std::time::Duration;

use rusqlite::Connection;
use rustix::process::Signal;

use super::config::Site;
use super::facts::{Facts, Intent};
use super::gateway::{free_port, gateway, ledger};
use super::node::{Ended, Node, run};

const YES: [&str; 4] = ["--yes", "EURUSD@test", "--state", "state"];

/// A node whose first position lasts, behind a gateway with these traps.
struct Trading {
    site: Site,
    _gateway: Node,
}

impl Trading {
    fn new(traps: &[&str]) -> Self {
        let port = free_port();
        let venue = "replay = true\ndialect = \"command\"\nleast_evidence = \"position delta\"\n";
        let site = Site::new()
            .through_gateway(port)
            .with("on_opposite = \"reverse\"", "on_opposite = \"ignore\"")
            .with("speed = \"max\"", "speed = 40")
            .with("replay = true\n", venue);
        let gateway = gateway(site.path(), port, traps);
        Self { site, _gateway: gateway }
    }

    /// Starts the node and waits for its first position.
    fn with_a_position(&self) -> Node {
        let mut node = self.site.start_live(&[]);
        node.wait_for("row", |_| Facts::rows_so_far(&self.site.state()) > 0);
        node.wait_for("position", |_| self.intents().iter().any(|intent| intent.state == "acked"));
        node
    }

    fn flatten(&self, more: &[&str]) -> Ended {
        run(self.site.path(), [&["flatten", "eurusd"], more].concat())
    }

    fn flatten_stopped(&self) -> Ended {
        self.site.args();
        self.flatten(&[&["--config", "node.toml"], &YES[..2]].concat())
    }

    fn intents(&self) -> Vec<Intent> {
        self.facts().intents
    }

    fn facts(&self) -> Facts {
        Facts::with_ledger(&self.site.state(), &ledger(self.site.path()))
    }

    fn closes(&self) -> Vec<Intent> {
        self.intents().into_iter().filter(|intent| intent.role.starts_with("close/")).collect()
    }

    fn prove(&self) {
        run(self.site.path(), ["prove", "--state", "state", "--ledger", "gateway.db"]).expect(0);
    }

    /// The order, the slot that opened the position, and one that opened none because of the halt.
    fn why_tells(&self, close: &Intent) {
        let why = |ms: i64| {
            let at = jiff::Timestamp::from_millisecond(ms).unwrap().to_string();
            run(self.site.path(), ["why", "eurusd", &at, "--state", "state"]).expect(0)
        };
        let halted = "halt-1 was raised at";
        why(close.slot_ms).says(&[
            "an operator had everything closed",
            halted,
            "It stands",
            &close.key,
            "confirmed as ticket",
        ]);
        let facts = self.facts();
        let of = |reason: &str| facts.slots.iter().rfind(|slot| slot.reason == reason).unwrap().at_ms;
        why(of("order_acked")).says(&["an operator had its position closed; that order is acked"]);
        why(of("reducing")).says(&["it was skipped (reducing)", halted, "by uid", "flatten"]);
    }

    /// As soon as the node listens again.
    fn flatten_until_answered(&self) -> Ended {
        loop {
            let ended = self.flatten(&YES);
            if ended.status.code() != Some(69) {
                return ended;
            }
        }
    }
}

/// What the ledger says is open, in lots.
fn net_lots(trading: &Trading) -> String {
    trading.facts().net_lots.unwrap().normalize().to_string()
}

fn stopped(node: Node) {
    node.signal(Signal::TERM);
    node.end().expect(0);
}

#[test]
fn a_running_node_closes_what_it_has_opened_once_and_opens_nothing_more() {
    let trading = Trading::new(&[]);
    let mut node = trading.with_a_position();
    trading.flatten(&["--yes", "EURUSD@other", "--state", "state"]).expect(1).complains(&["nothing was changed"]);
    trading.flatten(&["--state", "state"]).expect(1).complains(&["that is not EURUSD@test"]);
    assert!(trading.closes().is_empty());
    let both: Vec<Ended> = std::thread::scope(|scope| {
        let twice: Vec<_> = (0..2).map(|_| scope.spawn(|| trading.flatten(&YES))).collect();
        twice.into_iter().map(|one| one.join().unwrap()).collect()
    });
    for ended in both {
        ended.expect(0).says(&["EURUSD on account test is reducing", "open now, read again: nothing"]);
    }
    let closes = trading.closes();
    assert_eq!((closes.len(), net_lots(&trading).as_str()), (1, "0"));
    assert_eq!(closes[0].history, "planned send_after acked");
    let rows = trading.facts().slots.len();
    node.wait_for("row", |_| trading.facts().slots.len() > rows + 20);
    assert_eq!(trading.facts().orders.len(), 2, "nothing is opened");
    stopped(node);
    trading.prove();
    let report = run(trading.site.path(), ["report", "--state", "state"]).expect(0);
    report.says(&["1 stand, 0 were lifted", "halt-1: EURUSD on account test reducing", "resume halt-1"]);
    trading.why_tells(&closes[0]);
    let at = Connection::open(trading.site.state().join("journal.db")).unwrap();
    let kinds = "SELECT group_concat(DISTINCT basis_kind) FROM intents WHERE role LIKE 'close/%'";
    assert_eq!(at.query_row(kinds, [], |row| row.get::<_, String>(0)).unwrap(), "operator");
}

#[test]
fn a_stopped_node_is_flattened_under_its_lock_and_a_start_opens_nothing() {
    let trading = Trading::new(&[]);
    stopped(trading.with_a_position());
    trading.flatten(&YES).expect(69).complains(&["no node listens on state", "--config"]);
    trading.flatten_stopped().expect(0).says(&["open before: ticket", "open now, read again: nothing"]);
    assert_eq!((trading.closes().len(), net_lots(&trading).as_str()), (1, "0"));
    let slots = trading.facts().slots.len();
    let mut node = trading.site.start_as_armed(&[]);
    node.wait_for("row", |_| trading.facts().slots.len() > slots + 20);
    stopped(node);
    assert_eq!(trading.facts().orders.len(), 2);
    trading.prove();
}

#[test]
fn a_success_that_closed_nothing_is_not_believed_and_not_tried_again() {
    let trading = Trading::new(&["trap says-closed"]);
    let node = trading.with_a_position();
    trading.flatten(&YES).expect(1).says(&["says that it closed the position", "it is NOT flat"]);
    let again = trading.flatten(&YES).expect(1);
    again.says(&["nothing is sent twice"]);
    assert_eq!(trading.closes().len(), 1);
    assert_ne!(net_lots(&trading), "0");
    stopped(node);
}

#[test]
fn a_gateway_that_cannot_close_is_told_of_and_the_position_stays() {
    let trading = Trading::new(&["trap cannot-close"]);
    let node = trading.with_a_position();
    trading.flatten(&YES).expect(1).says(&["order_rejected", "it is NOT flat"]);
    assert_eq!(trading.closes()[0].state, "rejected");
    stopped(node);
}

#[test]
fn a_close_whose_reply_is_lost_is_found_by_the_positions_and_sent_once() {
    let trading = Trading::new(&["trap lost-close"]);
    let node = trading.with_a_position();
    trading.flatten(&YES).expect(0).says(&["order_unknown", "open now, read again: nothing"]);
    assert_eq!((trading.closes().len(), net_lots(&trading).as_str()), (1, "0"));
    stopped(node);
}

/// The gateway has closed the position and does not say so; the node dies while it waits.
#[test]
fn a_node_that_is_killed_between_sent_and_the_reply_never_closes_twice() {
    let trading = Trading::new(&["trap lost-close"]);
    let mut node = trading.with_a_position();
    std::thread::scope(|scope| {
        let flatten = scope.spawn(|| trading.flatten(&YES));
        node.wait_for("close", |_| net_lots(&trading) == "0");
        drop(node.killed_after(Duration::ZERO));
        flatten.join().unwrap().expect(69);
    });
    let node = trading.site.start_live(&[]);
    trading.flatten_until_answered().expect(0).says(&["open now, read again: nothing"]);
    assert_eq!((trading.closes().len(), net_lots(&trading).as_str()), (1, "0"));
    stopped(node);
    trading.prove();
}

#[test]
fn what_cannot_be_flattened_is_refused_before_anything_is_halted() {
    let port = free_port();
    let site = Site::new().through_gateway(port).with("speed = \"max\"", "speed = 40");
    let _gateway = gateway(site.path(), port, &[]);
    let mut node = site.start_live(&[]);
    node.wait_for("row", |_| Facts::rows_so_far(&site.state()) > 0);
    let flatten = || run(site.path(), [&["flatten", "eurusd"], &YES[..]].concat());
    flatten().expect(1).complains(&["the dialect order-send closes no position by its ticket", "in the terminal"]);
    run(site.path(), ["flatten", "gbpusd", "--state", "state"]).expect(1).complains(&["there is: eurusd"]);
    run(site.path(), ["status", "--state", "state"]).expect(0).says(&["halts    none"]);
    stopped(node);
}
