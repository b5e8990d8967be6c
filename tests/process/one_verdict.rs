//! A part stalls without a word, and everybody who is asked about the node says the same: `health`, `status`, `/readyz`, and the
//! heartbeat's line.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use super::gateway::free_port;
use super::hub_faults::{hub, set_fault, site};
use super::node::{Node, run};

/// What a surface may be behind another one: `health.json` is written every five seconds.
const APART: Duration = Duration::from_secs(5);
/// For the processes that ask, on a busy machine.
const SLACK: Duration = Duration::from_secs(5);

fn status(dir: &Path) -> Value {
    let answer = run(dir, ["status", "--state", "state", "--format", "json"]).expect(0);
    serde_json::from_str(&answer.out).unwrap()
}

/// What the newest heartbeat said.
fn heartbeat(node: &Node) -> String {
    let lines = node.said().1;
    let last = lines.lines().rfind(|line| line.contains("event=heartbeat ") && line.contains(" verdict="));
    last.and_then(|line| line.split_once(" verdict=")).map_or(String::new(), |(_, verdict)| verdict.replace('"', ""))
}

/// What the page's server answers: code and text.
fn ready(page: u16) -> (bool, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", page)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: localhost:{page}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    (answer.starts_with("HTTP/1.1 503"), answer)
}

/// Which surfaces say that the node is not working for this reason: `status`, `health`, `/readyz`, the heartbeat.
fn not_working(node: &Node, dir: &Path, page: u16, why: &str) -> [bool; 4] {
    let is_said = |text: &str| text.contains("not working") && text.contains(why);
    let status = status(dir);
    let needs = status["needs"].as_array().unwrap();
    let by_status = status["verdict"] == "not working" && needs.iter().any(|need| is_in(need, why));
    let health = run(dir, ["health", "--state", "state"]);
    let by_health = health.status.code() == Some(1) && is_said(&health.err);
    let (is_bad, answer) = ready(page);
    [by_status, by_health, is_bad && is_said(&answer), is_said(&heartbeat(node))]
}

fn is_in(need: &Value, why: &str) -> bool {
    need["severity"] == "now" && need["what"].as_str().is_some_and(|what| what.contains(why))
}

#[test]
fn a_model_server_that_hangs_is_told_by_every_surface_within_five_seconds_of_the_first() {
    let port = free_port();
    let site = site(port).with_decisions(900).with("speed = \"max\"", "speed = 3");
    let site = site.with("heartbeat = \"10s\"", "heartbeat = \"1s\"").with("level = \"warn\"", "level = \"info\"");
    let page = free_port();
    let site = site.with("[[pipeline]]", &format!("[http]\nlisten = \"127.0.0.1:{page}\"\n\n[[pipeline]]"));
    let _hub = hub(site.path(), port, "none");
    let mut node = site.start(&[]);
    node.wait_for("a verdict of every surface on a node that works", |node| {
        let health = run(site.path(), ["health", "--state", "state"]);
        health.status.success() && health.out.starts_with("working") && heartbeat(node).starts_with("working")
    });
    assert_eq!((status(site.path())["verdict"].as_str(), ready(page).0), (Some("working"), false));
    set_fault(port, "hang");
    let mut first: [Option<Instant>; 4] = [None; 4];
    node.wait_for("a verdict of every surface on a node that decides nothing", |node| {
        let said = not_working(node, site.path(), page, "decided none of its last");
        for (first, is_said) in first.iter_mut().zip(said) {
            if is_said {
                first.get_or_insert_with(Instant::now);
            }
        }
        said.iter().all(|is_said| *is_said)
    });
    let first: Vec<Instant> = first.into_iter().flatten().collect();
    let apart = *first.iter().max().unwrap() - *first.iter().min().unwrap();
    assert!(apart <= APART + SLACK, "{apart:?}");
    assert!(
        run(site.path(), ["health", "--live", "--state", "state"]).status.success(),
        "a restart would help nothing"
    );
    node.signal(Signal::TERM);
    node.end().expect(0);
}
