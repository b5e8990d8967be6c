//! What `sentinel health` says of a node that runs and does no useful work, and what the log says of a held order.

use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;

use super::config::Site;
use super::facts::Facts;
use super::gateway::{free_port, gateway};
use super::node::{LONG, Node, run};

const ASK: [&str; 3] = ["health", "--state", "state"];

/// Waits until `sentinel health` complains with all these words.
#[track_caller]
fn wait_until_unhealthy(node: &mut Node, dir: &Path, words: &[&str]) {
    node.wait_for(&format!("verdict with {words:?}"), |_| {
        let answer = run(dir, ASK);
        answer.status.code() == Some(1) && words.iter().all(|word| answer.err.contains(word))
    });
}

/// Lines of `log.format = "json"` with this event.
fn logged(text: &str, event: &str) -> Vec<Value> {
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["event"] == event).collect()
}

/// How often a held order is logged up to the first heartbeat after the first time.
fn until_heartbeat(text: &str) -> Option<usize> {
    let (_, rest) = text.split_once("\"order_held\"")?;
    let (between, _) = rest.split_once("\"heartbeat\"")?;
    Some(1 + between.matches("\"order_held\"").count())
}

#[test]
fn a_replay_whose_only_pipeline_is_parked_is_unhealthy_and_says_so() {
    let supervision =
        "[supervision]\nchild_restarts = 1\npipeline_failures = 1\nbackoff_max = \"100ms\"\n\n[[pipeline]]";
    let site = Site::new().with("[[pipeline]]", supervision);
    let mut node = site.start(&["--panic-from", "predictor"]);
    wait_until_unhealthy(&mut node, site.path(), &["not working", "eurusd is parked"]);
    node.signal(Signal::TERM);
    node.end();
}

#[test]
fn a_node_in_safe_mode_is_unhealthy_until_sentinel_resume() {
    let site = super::crash_loop::after_five_crashes();
    let mut node = Node::start(site.path(), site.args());
    wait_until_unhealthy(&mut node, site.path(), &["safe mode", "sentinel resume"]);
    run(site.path(), ["resume", "--state", "state"]).expect(0);
    node.wait_for("health after the resume", |_| run(site.path(), ASK).status.success());
    node.signal(Signal::TERM);
    node.end().expect(0);
}

/// Its gateway forgot what it was asked, so only the operator can find out what became of the order.
#[test]
fn a_held_order_is_logged_with_settle_commands_and_unhealthy() {
    let port = free_port();
    let site = Site::new().with_decisions(250).through_gateway(port);
    let site = site.with("speed = \"max\"", "speed = 20").with("heartbeat = \"10s\"", "heartbeat = \"1s\"");
    let mut dying = gateway(site.path(), port, &["die@1"]);
    let mut node = site.start_live(&["--die-at", "after-outcome"]);
    dying.ended_within(LONG).unwrap();
    assert!(node.ended_within(LONG).unwrap().was_killed());
    let _gateway = gateway(site.path(), port, &[]);

    let mut held = Value::Null;
    for _ in 0..2 {
        let mut node = site.start_live(&[]);
        node.wait_for("heartbeat after the held order", |node| until_heartbeat(&node.said().1).is_some());
        let key = Facts::read(&site.state()).intents.iter().find(|i| i.state == "held").unwrap().key.clone();
        wait_until_unhealthy(&mut node, site.path(), &["holds the order", &key, "sentinel settle"]);
        node.signal(Signal::TERM);
        let text = node.end().expect(0).err;
        let lines = logged(&text, "order_held");
        assert!(lines.iter().all(|line| line["level"] == "ERROR" && line["key"] == key.as_str()), "{lines:#?}");
        assert!(until_heartbeat(&text).unwrap() >= 2, "once at once, and once with the heartbeat: {lines:#?}");
        held = lines[0].clone();
    }
    let settle = |field: &str| {
        let command = held[field].as_str().unwrap().replace("TICKET", "7").replace("TEXT", "seen");
        run(Path::new("/"), command.strip_prefix("sentinel ").unwrap().split(' '))
    };
    settle("if_absent").expect(0).says(&["absent"]);
    settle("if_filled").expect(1).complains(&["is absent"]);
    let mut node = site.start_live(&[]);
    node.wait_for("health after it was settled", |_| run(site.path(), ASK).status.success());
    node.signal(Signal::TERM);
    assert!(logged(&node.end().expect(0).err, "order_held").is_empty());
}

#[test]
fn the_first_slot_that_a_fault_keeps_from_a_decision_is_a_warning() {
    let site = Site::new()
        .with_decisions(3)
        .with("kind = \"onnx\"\npath = \"model.onnx\"", &format!("kind = \"mlflow\"\nport = {}", free_port()));
    let site = site.with("level = \"warn\" ", "level = \"info\"\nformat = \"json\" ");
    let lines = logged(&site.start(&[]).end().expect(0).err, "slot_ended");
    let first = lines.iter().find(|line| line["reason"] == "model_unavailable").unwrap();
    assert_eq!(first["level"], "WARN", "{first}");
}
