//! `sentinel health`, asked about a real node.

use std::fs;

use rustix::process::Signal;

use super::node::{LONG, Node, run};
use super::outside::wait_for;
use super::site::Site;

const ASK: [&str; 3] = ["health", "--state", "state"];

#[test]
fn a_node_at_work_is_healthy_and_one_that_has_ended_is_not() {
    let site = Site::long();
    run(site.path(), ASK).expect(1).complains(&["health.json is missing"]);
    let mut node = Node::start(site.path(), site.args());
    node.wait_for("a health file", |_| site.state().join("health.json").exists());
    run(site.path(), ASK).expect(0).says(&["working", "1 pipelines", "last slot 2017-01-"]);
    node.signal(Signal::TERM);
    node.end().expect(0);
    run(site.path(), ASK).expect(1).complains(&["health.json is missing"]);
}

#[test]
fn a_node_that_stands_still_is_not_healthy_for_long() {
    let site = Site::long();
    let mut node = Node::start(site.path(), site.args());
    node.wait_for("a health file", |_| site.state().join("health.json").exists());
    node.signal(Signal::STOP);
    let ask = || {
        let answer = run(site.path(), ASK);
        (answer.status.code() == Some(1)).then_some(answer)
    };
    wait_for("verdict", LONG, ask, String::new).complains(&["has shown no progress for 15 s"]);
    node.signal(Signal::CONT);
    wait_for(
        "recovery",
        LONG,
        || run(site.path(), ASK).status.success().then_some(()),
        || fs::read_to_string(site.state().join("health.json")).unwrap_or_default(),
    );
}
