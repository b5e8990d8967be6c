//! The gateway as a process of its own that kills itself: an order whose reply was never sent is on its disk.
//!
//! The process is this test binary, started again with one ignored test: a library has no binary that could be asked for.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use sentinel_testbed::gateway::{GatewayOptions, serve};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::server::rows;
use super::socket::Peer;
use super::test_gateway::{order, status};

const LEDGER: &str = "GATEWAY_TEST_LEDGER";
const FAULT: &str = "GATEWAY_TEST_FAULT";

#[test]
#[ignore = "it is the other process of the tests below"]
fn plays_a_gateway() {
    let Ok(ledger) = std::env::var(LEDGER) else { return };
    let faults = vec![std::env::var(FAULT).unwrap().parse().unwrap()];
    let options = GatewayOptions { port: 0, ledger: ledger.into(), faults, ..GatewayOptions::default() };
    serve(options, &CancellationToken::new()).unwrap();
}

struct Process {
    child: Child,
    endpoint: String,
}

impl Process {
    fn start(ledger: &Path, fault: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "process::plays_a_gateway", "--ignored", "--nocapture"])
            .env(LEDGER, ledger)
            .env(FAULT, fault)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // The test harness prints too, on the same line.
        let endpoint =
            lines.map_while(Result::ok).find_map(|line| line.split_once("listening on ").map(|(_, at)| at.to_owned()));
        Self { child, endpoint: endpoint.unwrap() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
fn check_killed(fault: &str, orders: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    let ledger = directory.path().join("ledger.db");
    let mut gateway = Process::start(&ledger, fault);
    let peer = Peer::connect(&gateway.endpoint);
    assert_eq!(peer.ask(&order(1, "OP_BUY", 0.1))["retcode"], json!(10009));
    peer.send(&order(2, "OP_BUY", 0.2));
    assert_eq!(gateway.child.wait().unwrap().signal(), Some(9), "{fault} is not the end that was asked for");
    assert!(!peer.hears_within(0));
    assert_eq!(rows(&ledger, "SELECT volume, state FROM orders"), orders, "{fault}");
    let requests = rows(&ledger, "SELECT seq, mood IS NULL, replied FROM requests");
    assert_eq!(requests, ["1 1 1", "2 0 0"], "{fault}");
    // The lock went with the process.
    let next = Process::start(&ledger, "garbage@9");
    assert_eq!(Peer::connect(&next.endpoint).ask(&status(2))["retcode"], json!(-2));
}

#[test]
fn a_gateway_that_dies_after_the_fill_has_the_order_on_disk() {
    check_killed("die@2", &["0.1 filled", "0.2 filled"]);
}

#[test]
fn a_gateway_that_dies_before_the_fill_has_no_order_but_the_message() {
    check_killed("die-before@2", &["0.1 filled"]);
}
