//! What keeps a worker from every window, met by the real program: it is said once, waited for at leisure, and over by itself.

use std::time::Duration;

use rustix::process::Signal;
use sentinel_testbed::chain::{Chain, View};

use super::allora::{ADDRESS, Site, TOPIC, endings};
use super::node::{Node, SENTINEL, program};

/// It lasts for a whole epoch, so that an opening is among its blocks.
const EPOCH: i64 = 20;
const WINDOW_STATUS: &str = "GetWorkerSubmissionWindowStatus";
const RICH: u128 = 10_u128.pow(18);

#[test]
fn an_empty_wallet_is_said_once_and_passes_by_itself() {
    check(
        "for a window: send it ALLO",
        |chain| chain.set_balance(ADDRESS, 1_000),
        |chain| chain.set_balance(ADDRESS, RICH),
    );
}

#[test]
fn a_whitelist_without_the_worker_is_said_once_and_passes_by_itself() {
    check(
        "is not on the whitelist of topic 67: ask the topic's owner",
        |chain| chain.topic(TOPIC, |topic| topic.whitelist = Some(Vec::new())),
        |chain| chain.topic(TOPIC, |topic| topic.whitelist = None),
    );
}

#[test]
fn an_inactive_topic_is_said_once_and_passes_by_itself() {
    check(
        "name another topic if it stays so",
        |chain| chain.topic(TOPIC, |topic| topic.is_active = false),
        |chain| chain.topic(TOPIC, |topic| topic.is_active = true),
    );
}

#[test]
fn a_node_that_catches_up_is_said_once_and_passes_by_itself() {
    check(
        "it is catching up",
        |chain| chain.view(0, |view| view.catching_up = true),
        |chain| chain.view(0, |view| *view = View::default()),
    );
}

/// `begin` keeps the worker from every window until `pass`; `words` say what that is, or what to do.
fn check(words: &str, begin: fn(&Chain), pass: fn(&Chain)) {
    let site = Site::new(Some(Duration::from_millis(500)));
    let chain = &site.chain;
    chain.register(TOPIC, ADDRESS);
    begin(chain);
    let run = ["run", "--config", "node.toml"];
    let mut node = Node::spawn(site.path(), program(SENTINEL, site.path()).args(run).env("SENTINEL_LOG_LEVEL", "info"));
    node.wait_for(words, |node| !obstacles(&node.said().1).is_empty());
    let from = chain.height();
    node.wait_for("an epoch", |_| chain.height() >= from + EPOCH);
    let asked = chain.log().iter().filter(|asked| asked.height >= from && asked.query == WINDOW_STATUS).count();
    assert!(asked <= 2 * EPOCH as usize, "it was asked {asked} times");
    assert_eq!(used(&site), 0);
    pass(chain);
    node.wait_for("a window is used", |_| used(&site) > 0);
    node.signal(Signal::TERM);
    let ended = node.end().expect(0);
    let said = obstacles(&ended.err);
    assert!(said.len() == 1 && said[0].contains(words), "{said:#?}");
}

fn used(site: &Site) -> usize {
    endings(site).iter().filter(|(_, reason)| *reason == "forecast_acked").count()
}

/// The lines that say that something is in the way.
fn obstacles(log: &str) -> Vec<String> {
    let is_one = |line: &&str| line.contains("event=slots_unusable ") || line.contains("event=feed_failed ");
    log.lines().filter(is_one).map(str::to_owned).collect()
}
