//! The venue against another implementation of the far side: `gateway.py`, a REP socket of pyzmq with an id memory.
//!
//! `SENTINEL_PYTHON` names an interpreter that has pyzmq, if `python3` has none.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use sentinel::venues::gateway::values::req_id;
use sentinel_actors::domain::action::Receipt;
use sentinel_actors::domain::order::Ticket;
use sentinel_actors::ports::{Evidence, Sink as _, Submission};

use super::{SHORT, SOON, acked, d, intent, key, settle, submit, undecidable, unknown, venue};

/// The interpreter; a build that found none with pyzmq ignores these tests.
fn python() -> OsString {
    std::env::var_os("SENTINEL_PYTHON").unwrap_or_else(|| "python3".into())
}

pub struct Gateway {
    pub port: u16,
    process: Child,
    /// Its end is the gateway's.
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
}

impl Gateway {
    pub fn start(arguments: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gateway_venue/gateway.py");
        let mut command = Command::new(python());
        command.arg(script).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let input = process.stdin.take();
        let mut output = BufReader::new(process.stdout.take().unwrap()).lines();
        let first = output.next().unwrap_or_else(|| panic!("the script did not start: has its Python pyzmq?")).unwrap();
        let port = first.strip_prefix("port ").unwrap().parse().unwrap();
        Self { port, process, input, output }
    }

    /// Ends it and returns which orders it carried out.
    pub fn orders(mut self) -> Vec<String> {
        drop(self.input.take());
        self.output.by_ref().map(Result::unwrap).collect()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.input.take());
        self.process.wait().unwrap();
    }
}

#[tokio::test]
#[cfg_attr(not(has_program = "pyzmq"), ignore = "needs pyzmq: see CONTRIBUTING.md")]
async fn pyzmq_fills_an_order_and_remembers_its_id() {
    let gateway = Gateway::start(&["0"]);
    let venue = venue(gateway.port);
    let receipt = acked(submit(&venue, &key(9), SOON).await);
    assert_eq!((receipt.ticket, receipt.volume_lots, receipt.price), (Ticket(50_001), d("0.1"), Some(d("1.10007"))));
    let Evidence::Found(Receipt::Fill(found)) = settle(&venue, &key(9), SOON).await else { panic!("not found") };
    assert_eq!(found.ticket, receipt.ticket);
    undecidable(settle(&venue, &key(10), SOON).await);
    assert_eq!(gateway.orders(), [format!("order {} 50001", req_id(&key(9)))]);
}

#[tokio::test]
#[cfg_attr(not(has_program = "pyzmq"), ignore = "needs pyzmq: see CONTRIBUTING.md")]
async fn an_order_whose_reply_pyzmq_lost_is_found_by_its_id_and_never_doubled() {
    let gateway = Gateway::start(&["0", "swallow"]);
    let venue = venue(gateway.port);
    unknown(submit(&venue, &key(9), SHORT).await);
    // Another process asks: it has nothing but the journal's intent.
    let after_restart = super::venue(gateway.port);
    let Evidence::Found(Receipt::Fill(found)) = after_restart.settle(&intent(&key(9)), SOON).await else {
        panic!("not found")
    };
    assert_eq!(found.ticket, Ticket(50_001));
    assert_eq!(gateway.orders(), [format!("order {} 50001", req_id(&key(9)))]);
}

#[tokio::test]
#[cfg_attr(not(has_program = "pyzmq"), ignore = "needs pyzmq: see CONTRIBUTING.md")]
async fn a_restarted_gateway_has_forgotten_and_the_operator_decides() {
    let first = Gateway::start(&["0"]);
    let port = first.port;
    let venue = venue(port);
    acked(submit(&venue, &key(9), SOON).await);
    assert_eq!(first.orders().len(), 1);
    let second = Gateway::start(&[&port.to_string()]);
    undecidable(settle(&venue, &key(9), SOON).await);
    assert_eq!(second.orders(), Vec::<String>::new());
}

#[tokio::test]
#[cfg_attr(not(has_program = "pyzmq"), ignore = "needs pyzmq: see CONTRIBUTING.md")]
async fn pyzmq_refuses_what_is_out_of_its_range() {
    let gateway = Gateway::start(&["0"]);
    let settings = sentinel::venues::gateway::GatewaySettings {
        dialect: &sentinel::venues::gateway::dialect::DIALECTS[0],
        account: "demo-1".to_owned(),
        magic: u32::MAX,
        least_evidence: sentinel_actors::domain::evidence::Grade::Id,
        exits: sentinel::venues::gateway::Exits::ByOrders,
        is_hedging: false,
        max_spread: None,
    };
    let faults = std::sync::Arc::new(sentinel_actors::ports::NoFaults);
    let venue = sentinel::venues::gateway::open(super::link_to(gateway.port), settings, faults, "eurusd/executor");
    let submission = venue.submit(&super::intent(&key(9)), SOON, &|| true).await;
    assert!(matches!(submission, Submission::Rejected { code: Some(-3), lasting: true, .. }), "{submission:?}");
    assert_eq!(gateway.orders(), Vec::<String>::new());
}
