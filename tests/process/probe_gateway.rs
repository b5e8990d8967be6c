//! `probe-gateway` against fakes of all dialects and of both public advisors. Each trades on whatever the real one trades on, and
//! counts it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::{Value, json};

use super::config::Site;
use super::gateway::{free_port, gateway, order_count};
use super::node::{Ended, run};

fn probe(args: &[&str]) -> Ended {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), [&["probe-gateway"], args].concat())
}

/// A far side: its reply, and whether the message was a trade.
type Answer = fn(&str) -> (Option<String>, bool);

struct Fake {
    port: u16,
    heard: Arc<Mutex<Vec<String>>>,
    trades: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    fn start(answer: Answer) -> Self {
        let socket = zmq::Context::new().socket(zmq::ROUTER).unwrap();
        socket.set_linger(0).unwrap();
        socket.set_rcvtimeo(5).unwrap();
        socket.bind("tcp://127.0.0.1:*").unwrap();
        let port = socket.get_last_endpoint().unwrap().unwrap().rsplit(':').next().unwrap().parse().unwrap();
        let (heard, trades, stop) =
            (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicUsize>::default(), Arc::default());
        let (told, traded, stopped) = (heard.clone(), trades.clone(), Arc::<AtomicBool>::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let Ok(parts) = socket.recv_multipart(0) else { continue };
                let text = String::from_utf8(parts.last().unwrap().clone()).unwrap();
                let (reply, is_trade) = answer(&text);
                traded.fetch_add(usize::from(is_trade), Ordering::Relaxed);
                told.lock().unwrap().push(text);
                if let Some(reply) = reply {
                    socket.send_multipart([&parts[0][..], b"", reply.as_bytes()], 0).unwrap();
                }
            }
        });
        Self { port, heard, trades, stop, thread: Some(thread) }
    }

    /// Probes it; whatever comes of it, it was asked once at most and has not traded.
    fn probe(&self) -> Ended {
        let ended = probe(&[&format!("127.0.0.1:{}", self.port)]);
        let heard = self.heard.lock().unwrap();
        assert_eq!((self.trades.load(Ordering::Relaxed), heard.len()), (0, 1), "{heard:?}");
        ended
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

fn action_of(text: &str) -> Option<String> {
    serde_json::from_str::<Value>(text).ok()?.get("action")?.as_str().map(str::to_owned)
}

fn order_send(text: &str) -> (Option<String>, bool) {
    let reply = json!({"error": true, "ticket": 0, "msg": "Missing field: action", "retcode": -2});
    (Some(reply.to_string()), action_of(text).as_deref() == Some("ORDER_SEND"))
}

fn command(text: &str) -> (Option<String>, bool) {
    let reply = json!({"req_id": "", "status": "ERROR", "timestamp": 1.5, "data": null, "error": "Missing keys"});
    let trades = ["OPEN_ORDER", "CLOSE_POSITION", "KILL_SWITCH"];
    (Some(reply.to_string()), action_of(text).is_some_and(|action| trades.contains(&&*action)))
}

fn zero_trust(text: &str) -> (Option<String>, bool) {
    let reply = json!({"status": "REJECTED", "error_code": "INVALID", "error_msg": "uuid is missing"});
    (Some(reply.to_string()), matches!(action_of(text).as_deref(), Some("OPEN" | "CLOSE")))
}

fn signal(text: &str) -> (Option<String>, bool) {
    (Some(json!({"status": "error"}).to_string()), text.contains("signal") || text.contains("place_order"))
}

/// A text search for the words, as it does it.
fn newer_advisor(text: &str) -> (Option<String>, bool) {
    if text.contains("\"magic\"") || text.contains("\"action\"") {
        return (Some(json!({"status": "FILLED", "ticket": 1}).to_string()), true);
    }
    let quote = json!({"status": "OK", "data": {"bid": 1.1, "ask": 1.1001}});
    let reply = if text.contains("GET_SYMBOL_INFO") { quote } else { json!({"status": "ERROR", "msg": "unknown"}) };
    (Some(reply.to_string()), false)
}

fn older_advisor(text: &str) -> (Option<String>, bool) {
    let is_trade = text.contains("TRADE") || text.contains("EXECUTION");
    (Some(if is_trade { "{\"status\":\"FILLED\"}" } else { "{\"status\":\"ERROR\"}" }.to_owned()), is_trade)
}

#[test]
fn probing_names_each_dialect_from_one_question_and_no_gateway_or_advisor_trades_on_it() {
    Fake::start(order_send).probe().expect(0).says(&["speaks order-send", "dialect = \"order-send\""]);
    Fake::start(command).probe().expect(0).says(&["speaks command"]);
    Fake::start(zero_trust).probe().expect(0).says(&["speaks zero-trust"]);
    Fake::start(newer_advisor).probe().expect(0).says(&["speaks expert-advisor"]);
    for unclear in [signal, older_advisor] {
        Fake::start(unclear).probe().expect(76).complains(&["cannot be told without risk", "Nothing more was sent"]);
    }
}

/// What the fakes would have done with the questions that a careless program asks.
#[test]
fn the_fakes_trade_on_what_the_real_ones_trade_on() {
    assert!(newer_advisor(r#"{"action":"HEARTBEAT"}"#).1 && newer_advisor(r#"{"magic":1}"#).1);
    assert!(older_advisor("TRADE").1 && older_advisor("{\"x\":\"EXECUTION\"}").1);
    assert!(order_send(r#"{"action":"ORDER_SEND"}"#).1 && command(r#"{"action":"KILL_SWITCH"}"#).1);
}

#[test]
fn one_that_is_silent_or_says_nonsense_is_asked_nothing_more() {
    Fake::start(|_| (None, false)).probe().expect(76).complains(&["did not reply", "Nothing more was sent"]);
    Fake::start(|_| (Some("hello".to_owned()), false)).probe().expect(76).complains(&["JSON object"]);
    let filled = |_: &str| (Some("{\"status\":\"FILLED\",\"ticket\":12345}".to_owned()), false);
    Fake::start(filled).probe().expect(76).complains(&["its reply names", "look at the account"]);
}

#[test]
fn where_nothing_listens_nothing_is_asked_and_nothing_arrives_later() {
    let port = free_port();
    let ended = probe(&[&format!("127.0.0.1:{port}")]);
    ended.expect(69).complains(&["nothing was asked"]);
    probe(&["127.0.0.1:5555", "--symbol", "TRADE"]).expect(64).complains(&["--symbol"]);
    probe(&["nowhere"]).expect(64);
}

#[test]
fn the_paper_gateway_is_named_and_has_no_order() {
    let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
    let _gateway = gateway(dir.path(), port, &[]);
    probe(&[&format!("127.0.0.1:{port}")]).expect(0).says(&["speaks order-send"]);
    assert_eq!(order_count(dir.path()), 0);
}

/// The doctor of a node that is configured for `dialect` at this port.
fn doctor(dialect: &str, port: u16) -> Ended {
    let venue = format!("replay = true\ndialect = \"{dialect}\"\n");
    let site = Site::new().through_gateway(port).with("replay = true\n", &venue);
    let [_, config, file] = site.args();
    run(site.path(), ["check", &config, &file, "--probe", "--live"])
}

#[test]
fn the_doctor_has_no_effect_on_any_gateway_or_advisor_whatever_is_configured() {
    let fakes: [(Answer, &str); 6] = [
        (order_send, "order-send"),
        (command, "command"),
        (newer_advisor, "expert-advisor"),
        (zero_trust, "zero-trust"),
        (signal, ""),
        (older_advisor, ""),
    ];
    for (answer, speaks) in fakes {
        for dialect in ["order-send", "command", "expert-advisor"] {
            let fake = Fake::start(answer);
            let ended = doctor(dialect, fake.port);
            let heard = fake.heard.lock().unwrap();
            // More than what it is is asked only of the dialect that tells an account, when it is the configured one.
            let questions = if (dialect, speaks) == ("command", "command") { 2 } else { 1 };
            assert_eq!((fake.trades.load(Ordering::Relaxed), heard.len()), (0, questions), "{dialect}: {heard:?}");
            let (code, expected) = match speaks {
                "" => (0, "cannot be told without risk"),
                "command" if dialect == "command" => (69, "does not tell what is open"),
                "order-send" if dialect != "order-send" => (0, "as the paper gateway does"),
                speaks if speaks == dialect => (0, "tells nothing of the account"),
                _ => (69, "correct it before anything is sent there"),
            };
            ended.expect(code).says(&[expected]);
        }
    }
}

#[test]
fn the_doctor_says_what_a_gateway_tells_of_its_account_and_where_none_listens() {
    let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
    doctor("command", port).expect(69).says(&["PROBLEM  orders of eurusd", "was asked nothing"]);
    let _gateway = gateway(dir.path(), port, &[]);
    // The paper gateway answers what no dialect knows as `order-send` does.
    doctor("order-send", port).expect(0).says(&["ok       orders of eurusd", "speaks order-send"]);
    assert_eq!(order_count(dir.path()), 0);
}
