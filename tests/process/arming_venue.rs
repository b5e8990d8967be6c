//! What a venue says of itself, as part of an arm: before a gateway of the dialect `command` whose account a test decides.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::{Value, json};

use super::config::Site;
use super::gateway::{free_port, shown_identity};

struct Gateway {
    port: u16,
    account: Arc<Mutex<Value>>,
    orders: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

fn account(server: &str, equity: u32) -> Value {
    json!({"balance": 1000, "equity": equity, "used_margin": 0, "currency": "EUR", "trade_mode": 0, "server_name": server})
}

impl Gateway {
    fn start(first: Value) -> Self {
        let socket = zmq::Context::new().socket(zmq::REP).unwrap();
        socket.set_linger(0).unwrap();
        socket.set_rcvtimeo(5).unwrap();
        socket.bind("tcp://127.0.0.1:*").unwrap();
        let port = socket.get_last_endpoint().unwrap().unwrap().rsplit(':').next().unwrap().parse().unwrap();
        let (account, orders) = (Arc::new(Mutex::new(first)), Arc::<AtomicUsize>::default());
        let (told, counted) = (account.clone(), orders.clone());
        let stop = Arc::<AtomicBool>::default();
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let Ok(Ok(text)) = socket.recv_string(0) else { continue };
                let asked: Value = serde_json::from_str(&text).unwrap();
                let data = match asked["action"].as_str().unwrap() {
                    "GET_ACCOUNT_INFO" => told.lock().unwrap().clone(),
                    "GET_POSITIONS" => json!([]),
                    "OPEN_ORDER" => {
                        counted.fetch_add(1, Ordering::Relaxed);
                        json!({"status": "ERROR", "error": "market is closed"})
                    }
                    _ => json!({}),
                };
                let reply = json!({"req_id": asked["req_id"], "status": "SUCCESS", "timestamp": 1.5, "data": data, "error": null});
                socket.send(&reply.to_string(), 0).unwrap();
            }
        });
        Self { port, account, orders, stop, thread: Some(thread) }
    }

    fn becomes(&self, account: Value) {
        *self.account.lock().unwrap() = account;
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

fn site(port: u16) -> Site {
    Site::new()
        .with_decisions(900)
        .through_gateway(port)
        .with("speed = \"max\"", "speed = 60")
        .adding("[pipeline.venue]", "dialect = \"command\"")
}

/// Arms the node, lets the account become another one, and starts it: nothing is sent, for this reason.
fn ends_by(gateway: &Gateway, limits: &[&str], later: Value, word: &str) {
    let site = site(gateway.port);
    let id = shown_identity(&site.arm_with(limits).expect(1).out);
    site.arm_with(&[limits, &["--yes", &id]].concat()).expect(0);
    gateway.becomes(later);
    let mut node = site.start_as_armed(&[]);
    node.wait_for("the end of the arm", |node| node.said().1.contains("\"event\":\"arm_ended\""));
    node.wait_for("slots without an arm", |node| node.said().1.matches("\"reason\":\"not_armed\"").count() >= 3);
    node.signal(rustix::process::Signal::TERM);
    let said = node.end().expect(0).err;
    let line = said.lines().find(|line| line.contains("\"event\":\"arm_ended\"")).unwrap();
    assert!(line.contains(word), "{line}");
    assert_eq!(gateway.orders(), 0);
}

#[test]
fn an_account_that_turns_out_to_be_another_one_ends_the_arm_of_a_running_node() {
    let gateway = Gateway::start(account("Broker-Demo", 1000));
    ends_by(&gateway, &[], account("Broker-Real", 1000), "says of itself: server Broker-Real; ");
}

#[test]
fn a_loss_that_the_arm_does_not_allow_ends_it() {
    let gateway = Gateway::start(account("Broker-Demo", 1000));
    let loss = "the account of the pipeline eurusd has lost 60 since it was armed, of at most 50";
    ends_by(&gateway, &["--max-loss", "50"], account("Broker-Demo", 940), loss);
}

#[test]
fn what_the_venue_says_is_shown_and_an_account_that_says_the_same_is_traded_on() {
    let gateway = Gateway::start(account("UNKNOWN", 1000));
    let site = site(gateway.port);
    site.arm_with(&[]).expect(1).says(&["it says", "'UNKNOWN', not to be", "login and margin mode not told"]);
    gateway.becomes(account("Broker-Demo", 1000));
    let shown =
        site.arm_with(&["--max-loss", "50"]).expect(1).says(&["server Broker-Demo", "currency EUR", "at most 50 lost"]);
    site.arm_with(&["--max-loss", "50", "--yes", &shown_identity(&shown.out)]).expect(0);
    let mut node = site.start_as_armed(&[]);
    node.wait_for("an order", |_| gateway.orders() > 0);
    node.signal(rustix::process::Signal::TERM);
    node.end().expect(0);
}

#[test]
fn a_venue_that_cannot_be_asked_or_does_not_tell_its_worth_is_not_armed() {
    let silent = site(free_port());
    silent
        .arm_with(&[])
        .expect(69)
        .complains(&["the venue of the pipeline eurusd does not say what it is", "start the gateway"]);
    let untold = Site::new().with_decisions(30).through_gateway(free_port());
    untold
        .arm_with(&["--max-loss", "50"])
        .expect(78)
        .complains(&["does not tell what the account is worth", "leave --max-loss out"]);
    untold.arm_with(&[]).expect(1).says(&["it says", "nothing: whose account it is"]);
    for wrong in ["0", "-5", "much"] {
        untold.arm_with(&[&format!("--max-loss={wrong}")]).expect(64);
    }
    let without_equity = json!({"balance": 1000, "used_margin": 0, "currency": "EUR"});
    let gateway = Gateway::start(without_equity);
    site(gateway.port)
        .arm_with(&["--max-loss", "50"])
        .expect(78)
        .complains(&["does not tell what the account is worth"]);
}
