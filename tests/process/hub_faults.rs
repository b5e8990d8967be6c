//! A model hub that fails in every way it can: each fault is a reason of its own, never a HOLD, and never costs more than the
//! deadline.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::config::{Site, demo_file, demo_span, model_fixture};
use super::evidence::accept;
use super::facts::Facts;
use super::gateway::free_port;
use super::node::Node;

/// The node's deadline for validation and question together, and what supervision grants beyond it.
const PREDICT_MS: i64 = 400;
const GRACE_MS: i64 = PREDICT_MS / 5;
const DECISIONS: usize = 3;

pub fn hub(dir: &Path, port: u16, fault: &str) -> Node {
    let (port, model) = (port.to_string(), demo_file("model.onnx").display().to_string());
    let mut node = Node::start(dir, ["hub", "--model", &model, "--port", &port, "--fault", fault]);
    node.wait_for("listening hub", |node| node.said().0.contains("listening on"));
    node
}

/// The demo's configuration with its model behind a hub.
fn asking(port: u16) -> Site {
    Site::new().with("kind = \"onnx\"\npath = \"model.onnx\"", &format!("kind = \"mlflow\"\nport = {port}"))
}

/// A dry run that asks the hub on `port`.
pub fn site(port: u16) -> Site {
    asking(port)
        .with("threshold = 0.6", "threshold = 0.45")
        .with("[[pipeline]]", &format!("[deadlines]\npredict = \"{PREDICT_MS}ms\"\n\n[[pipeline]]"))
}

/// The reason of every slot whose bar could have been decided, and the longest time that asking the hub took.
fn asked(site: &Site) -> (Vec<String>, i64) {
    let journal = site.state().join("journal.db");
    let journal = Connection::open_with_flags(journal, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let sql = "SELECT reason, predict_us / 1000 FROM slots WHERE features_digest IS NOT NULL ORDER BY slot_ms";
    let mut query = journal.prepare(sql).unwrap();
    let rows = query.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Option<i64>>(1)?))).unwrap();
    let rows: Vec<(String, Option<i64>)> = rows.map(Result::unwrap).collect();
    let longest = rows.iter().filter_map(|(_, took_ms)| *took_ms).max().unwrap_or(0);
    (rows.into_iter().map(|(reason, _)| reason).collect(), longest)
}

#[test]
fn every_fault_of_the_hub_is_a_reason_of_its_own_and_keeps_the_deadline() {
    // The first three calls are the probes that a hub is recognised by; a fault there is that slot's reason as well.
    let cases = [
        ("none", ["below_threshold", "hold", "order_acked", "risk_max_positions"].as_slice()),
        ("error=500", &["answer_status"]),
        ("error=504", &["answer_status"]),
        ("hang", &["model_timeout"]),
        ("dribble=15s", &["model_timeout"]),
        ("drop", &["model_unavailable"]),
        ("not-json", &["answer_unparseable"]),
        ("huge", &["answer_unparseable"]),
    ];
    for (fault, reasons) in cases {
        let port = free_port();
        let site = site(port).with_decisions(DECISIONS);
        let _hub = hub(site.path(), port, fault);
        let ended = site.start(&[]).end().expect(0);
        accept(&site.state(), demo_span(DECISIONS));
        let (seen, longest_ms) = asked(&site);
        assert_eq!(seen.len(), DECISIONS, "{fault}: {seen:?} {ended:#?}");
        assert!(seen.iter().all(|reason| reasons.contains(&reason.as_str())), "{fault}: {seen:?}");
        assert!(longest_ms <= PREDICT_MS + GRACE_MS, "{fault}: {longest_ms} ms");
    }
}

#[test]
fn an_unreachable_hub_opens_the_circuit_after_five_failures() {
    let site = site(free_port()).with_decisions(8);
    site.start(&[]).end().expect(0);
    let facts = accept(&site.state(), demo_span(8));
    let details: Vec<&str> =
        facts.slots.iter().filter(|slot| slot.reason == "model_unavailable").map(|slot| &*slot.detail).collect();
    assert_eq!(details.len(), 8, "{details:?}");
    assert!(asked(&site).1 <= PREDICT_MS + GRACE_MS, "{:?}", asked(&site));
    assert!(details[..5].iter().all(|detail| detail.contains("refused")), "{details:#?}");
    assert!(details[5..].iter().all(|detail| detail.contains("not asked")), "{details:#?}");
}

/// Answers that come in time and are no probabilities. The hub is in order while it is recognised, and turns bad after that.
#[test]
fn answers_that_are_no_probabilities_are_never_a_decision() {
    let cases = [
        ("nan", "answer_not_finite"),
        ("two-rows", "answer_rows"),
        ("scalar", "answer_classes"),
        ("sum", "answer_sum"),
        ("four-classes", "answer_classes"),
        ("negative", "answer_range"),
    ];
    for (fault, reason) in cases {
        let port = free_port();
        let site = site(port).with_decisions(DECISIONS + 1);
        let dir = site.path();
        let (port, model) = (port.to_string(), demo_file("model.onnx").display().to_string());
        // Three probes and one question go well.
        let args = ["hub", "--model", &model, "--port", &port, "--fault", "none@1-4", "--fault", fault];
        let mut hub = Node::start(dir, args);
        hub.wait_for("listening hub", |node| node.said().0.contains("listening on"));
        site.start(&[]).end().expect(0);
        let facts = accept(&site.state(), demo_span(DECISIONS + 1));
        let (seen, longest_ms) = asked(&site);
        assert!(longest_ms <= PREDICT_MS + GRACE_MS, "{fault}: {longest_ms} ms");
        assert!(seen.len() == DECISIONS + 1 && seen[0] != reason, "{fault}: {seen:?}");
        assert!(seen[1..].iter().all(|seen| seen == reason), "{fault}: {seen:?}");
        let judged: Vec<_> = facts.slots.iter().filter(|slot| slot.reason == reason && slot.signal.is_some()).collect();
        assert!(judged.is_empty(), "{fault} became a decision: {judged:?}");
    }
}

/// Tells a running hub its fault.
pub fn set_fault(port: u16, fault: &str) {
    let body = format!("{{\"fault\":{}}}", serde_json::Value::from(fault));
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(
        stream,
        "POST /testbed/fault HTTP/1.1\r\nHost: hub\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// The connection stays, and so only its answers show that another model is there.
#[test]
fn a_model_that_was_swapped_behind_a_kept_connection_decides_no_further_bar() {
    let port = free_port();
    let site = site(port).with_decisions(400).with("speed = \"max\"", "speed = 60");
    let hub = hub(site.path(), port, "none");
    let mut node = site.start(&[]);
    node.wait_for("some decided bars", |_| Facts::rows_so_far(&site.state()) > 20);
    set_fault(port, &format!("swap={}", model_fixture("root_fx23.onnx").display()));
    let before = asked(&site).0.len();
    node.wait_for("ten slots more", |_| asked(&site).0.iter().filter(|reason| *reason == "model_invalid").count() > 10);
    // What was in hand was answered before, and its row may have come after the look. The first strange answer is no decision either.
    let mut seen = asked(&site).0.split_off(before);
    let first =
        seen.iter().position(|reason| matches!(reason.as_str(), "answer_not_finite" | "model_invalid")).unwrap();
    assert!(first <= 2, "{seen:?}");
    let seen = seen.split_off(first + 1);
    assert!(seen.iter().all(|reason| reason == "model_invalid"), "{seen:?}");
    assert!(node.said().1.contains("hub_model_changed"), "{:?}", node.said());
    drop((node, hub));
}

/// Nothing is decided by it, so that the deadline of a cycle is not its limit.
#[test]
fn a_slow_hub_is_waited_for_when_a_run_is_armed() {
    let port = free_port();
    let site = asking(port).with_decisions(DECISIONS).through_gateway(free_port());
    // A cycle gives it a second.
    let _hub = hub(site.path(), port, "dribble=1500ms");
    site.arm_with(&[]).expect(1).says(&["gateway 127.0.0.1:", "digest"]);
}
