//! The server on a thread of the test, and its ledger read with plain SQL.

use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use sentinel_testbed::gateway::{AccountMode, Gateway, GatewayError, GatewayOptions};
use serde_json::json;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::socket::Peer;
use super::test_gateway::{command, d, id, order, status};

/// A running server; it is stopped when it goes.
struct Server {
    endpoint: String,
    shutdown: CancellationToken,
    thread: Option<JoinHandle<Result<(), GatewayError>>>,
}

fn options(directory: &Path, faults: &[&str]) -> GatewayOptions {
    let faults = faults.iter().map(|fault| fault.parse().unwrap()).collect();
    GatewayOptions {
        port: 0,
        ledger: directory.join("gateway/ledger.db"),
        faults,
        seed: Some(1),
        ..GatewayOptions::default()
    }
}

impl Server {
    fn start(options: GatewayOptions) -> Self {
        let gateway = Gateway::bind(options).unwrap();
        let (endpoint, shutdown) = (gateway.endpoint().to_owned(), CancellationToken::new());
        let token = shutdown.clone();
        Self { endpoint, shutdown, thread: Some(std::thread::spawn(move || gateway.run(&token))) }
    }

    fn peer(&self) -> Peer {
        Peer::connect(&self.endpoint)
    }

    fn stop(mut self) {
        self.shutdown.cancel();
        self.thread.take().unwrap().join().unwrap().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The rows that a question gives, as text.
pub fn rows(ledger: &Path, sql: &str) -> Vec<String> {
    let connection = Connection::open_with_flags(ledger, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut statement = connection.prepare(sql).unwrap();
    let columns = statement.column_count();
    let text = |row: &rusqlite::Row| {
        let cell = |column| match row.get::<_, rusqlite::types::Value>(column).unwrap() {
            rusqlite::types::Value::Null => "-".to_owned(),
            rusqlite::types::Value::Integer(number) => number.to_string(),
            rusqlite::types::Value::Text(text) => text,
            other => panic!("{other:?}"),
        };
        Ok((0..columns).map(cell).collect::<Vec<_>>().join(" "))
    };
    statement.query_map([], text).unwrap().collect::<Result<_, _>>().unwrap()
}

fn temporary() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_lost_reply_is_settled_by_asking_the_same_id_on_a_fresh_socket() {
    let directory = temporary();
    let server = Server::start(options(directory.path(), &["lost-reply@2"]));
    let stuck = server.peer();
    assert_eq!(stuck.ask(&order(1, "OP_BUY", 0.1))["retcode"], json!(10009));
    stuck.send(&order(2, "OP_BUY", 0.2));
    let cached = Peer::ask_until(&server.endpoint, &status(2), |reply| reply["retcode"] == json!(10009));
    assert!(cached["msg"].as_str().unwrap().starts_with("Cached"));
    assert_eq!(cached["ticket"], json!(1_000_002));
    assert_eq!(server.peer().ask(&status(1))["ticket"], json!(1_000_001));
    assert!(!stuck.hears_within(0), "the lost reply came after all");
    server.stop();
    let ledger = directory.path().join("gateway/ledger.db");
    let lost = rows(&ledger, "SELECT mood, answered, ticket, replied FROM requests WHERE mood IS NOT NULL");
    assert_eq!(lost, ["lost-reply 10009 1000002 0"]);
}

#[test]
fn the_ledger_goes_on_after_a_restart_and_the_id_memory_does_not() {
    let directory = temporary();
    let ledger = directory.path().join("gateway/ledger.db");
    let server = Server::start(options(directory.path(), &[]));
    server.peer().ask(&order(1, "OP_BUY", 0.5));
    server.peer().ask(&order(2, "OP_SELL", 0.2));
    server.stop();
    let balance = rows(&ledger, "SELECT balance FROM account").remove(0);
    assert!(d(&balance) < d("10000"), "the spread of 0.2 lots was paid: {balance}");

    let server = Server::start(GatewayOptions { balance: d("5"), ..options(directory.path(), &[]) });
    let peer = server.peer();
    assert_eq!(peer.ask(&status(1))["retcode"], json!(-2), "an id was known to a new process");
    let positions = peer.ask(&command("GET_POSITIONS", 0.0, json!({})));
    assert_eq!((&positions["data"][0]["ticket"], &positions["data"][0]["volume"]), (&json!(1_000_001), &json!(0.3)));
    assert_eq!(peer.ask(&order(1, "OP_BUY", 0.5))["ticket"], json!(1_000_003), "the same id trades again");
    server.stop();
    let orders = rows(&ledger, "SELECT ticket, seq, req_id, side, volume, filled, magic, comment, state FROM orders");
    let expected = [
        format!("1000001 1 {} buy 0.5 0.5 7 sn:abc filled", id(1)),
        format!("1000002 2 {} sell 0.2 0.2 7 sn:abc filled", id(2)),
        format!("1000003 5 {} buy 0.5 0.5 7 sn:abc filled", id(1)),
    ];
    assert_eq!(orders, expected);
    let positions = rows(&ledger, "SELECT id, side, volume, closed_ms FROM positions");
    assert_eq!(positions, ["1000001 buy 0.8 -"]);
    assert_eq!(rows(&ledger, "SELECT balance FROM account"), [balance]);
}

#[test]
fn every_message_is_in_the_ledger_while_the_server_runs() {
    let directory = temporary();
    let server = Server::start(options(directory.path(), &["placed@2"]));
    let peer = server.peer();
    let long = json!({ "action": "A".repeat(10_000) });
    for message in
        [order(1, "OP_BUY", 0.1), status(1), order(2, "OP_BUY", 0.1), long, command("HEARTBEAT", 0.0, json!({}))]
    {
        peer.ask(&message);
    }
    let ledger = directory.path().join("gateway/ledger.db");
    let sql = "SELECT seq, dialect, mood, answered, ticket, market_ms = arrived_ms, length(raw) <= 4096 FROM requests ORDER BY seq";
    let expected = [
        "1 order-send - 10009 1000001 1 1",
        "2 order-send - 10009 1000001 - 1",
        "3 order-send placed 10008 1000002 1 1",
        "4 order-send - -2 - - 1",
        "5 command - ok - - 1",
    ];
    assert_eq!(rows(&ledger, sql), expected);
    server.stop();
    assert_eq!(rows(&ledger, "SELECT count(*) FROM requests WHERE replied = 1"), ["5"]);
}

#[test]
fn a_second_gateway_is_kept_from_the_ledger_and_from_the_port() {
    let directory = temporary();
    let server = Server::start(options(directory.path(), &[]));
    let same_ledger = Gateway::bind(options(directory.path(), &[])).map(|_| ());
    assert!(matches!(same_ledger, Err(GatewayError::LedgerInUse { .. })), "{same_ledger:?}");
    let other = temporary();
    let port = server.endpoint.rsplit(':').next().unwrap().parse().unwrap();
    let same_port = Gateway::bind(GatewayOptions { port, ..options(other.path(), &[]) }).map(|_| ());
    assert!(matches!(same_port, Err(GatewayError::Bind { .. })), "{same_port:?}");
    server.stop();
    let hedging = GatewayOptions { account: AccountMode::Hedging, ..options(directory.path(), &[]) };
    assert!(matches!(Gateway::bind(hedging).map(|_| ()), Err(GatewayError::OtherMode { .. })));
    let stray = GatewayOptions { ledger: other.path().join("stray.db"), ..options(other.path(), &[]) };
    Connection::open(&stray.ledger).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    assert!(matches!(Gateway::bind(stray).map(|_| ()), Err(GatewayError::NotALedger(_))));
}

#[test]
fn a_restarted_gateway_listens_on_its_old_port_and_has_forgotten_its_ids() {
    let directory = temporary();
    let server = Server::start(options(directory.path(), &["away=50ms@2"]));
    let stuck = server.peer();
    stuck.ask(&order(1, "OP_BUY", 0.1));
    stuck.send(&order(2, "OP_BUY", 0.1));
    Peer::ask_until(&server.endpoint, &status(1), |reply| reply["retcode"] == json!(-2));
    assert_eq!(server.peer().ask(&status(2))["retcode"], json!(-2));
    assert!(!stuck.hears_within(0));
    assert_eq!(rows(&directory.path().join("gateway/ledger.db"), "SELECT count(*) FROM orders"), ["2"]);
}

/// Sends an order and looks at the ledger until the reply is there: when the order was seen first, and when the reply.
fn watched(fault: &str) -> (Duration, Duration) {
    let directory = temporary();
    let ledger = directory.path().join("gateway/ledger.db");
    let server = Server::start(options(directory.path(), &[fault]));
    let (peer, began, mut seen) = (server.peer(), Instant::now(), None);
    peer.send(&order(1, "OP_BUY", 0.1));
    while !peer.hears_within(2) {
        if seen.is_none() && rows(&ledger, "SELECT count(*) FROM orders") == ["1"] {
            seen = Some(began.elapsed());
        }
    }
    let replied = began.elapsed();
    assert_eq!(rows(&ledger, "SELECT count(*) FROM orders"), ["1"]);
    (seen.unwrap_or(replied), replied)
}

#[test]
fn a_delayed_order_is_in_the_ledger_long_before_its_reply() {
    let (seen, replied) = watched("delay=500ms");
    assert!(seen < replied && replied >= Duration::from_millis(500), "{seen:?} {replied:?}");
}

#[test]
fn a_slow_order_is_not_in_the_ledger_while_it_waits() {
    let (seen, replied) = watched("slow=300ms");
    assert!(seen >= Duration::from_millis(300) && replied >= seen, "{seen:?} {replied:?}");
}

#[test]
fn frames_bytes_and_garbage_do_not_end_the_server() {
    let directory = temporary();
    let server = Server::start(options(directory.path(), &["garbage@1"]));
    let peer = server.peer();
    peer.send(&order(1, "OP_BUY", 0.1));
    assert!(std::str::from_utf8(&peer.reply()).is_err());
    assert_eq!(peer.ask(&json!([]))["retcode"], json!(-1));
    assert_eq!(peer.ask(&status(1))["retcode"], json!(10009));
}
