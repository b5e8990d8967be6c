//! Halts of real processes: by command, by file, on a stopped and on a running node. Nothing leaves, and only `resume` ends that.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;

use super::config::Site;
use super::facts::Facts;
use super::node::{Ended, Node, run, setting};

/// A run that would send many orders, and that lasts until it is stopped.
fn slow() -> Site {
    Site::new().with_model_pair("root_fx23").with("speed = \"max\"", "speed = 100")
}

fn short() -> Site {
    Site::new().with_model_pair("root_fx23").with_decisions(40)
}

fn halt(site: &Site, more: &[&str]) -> Ended {
    run(site.path(), ["halt", "--reason", "Ann: strange fills", "--state", "state"].iter().chain(more))
}

fn resume(site: &Site, more: &[&str]) -> Ended {
    run(site.path(), ["resume", "--state", "state"].iter().chain(more))
}

fn reasons(site: &Site) -> Vec<String> {
    Facts::read(&site.state()).slots.into_iter().map(|slot| slot.reason).collect()
}

/// The next start goes on with more bars.
fn with_more_bars(site: Site) -> Site {
    let bars = site.text.lines().find(|line| line.starts_with("bars = ")).unwrap().to_owned();
    let number: usize = bars.trim_start_matches("bars = ").parse().unwrap();
    site.with(&bars, &format!("bars = {}", number + 40))
}

#[test]
fn a_stopped_node_is_halted_and_sends_nothing_until_the_halt_is_lifted_by_its_id() {
    let site = short();
    run(site.path(), site.args()).expect(0);
    let before = Facts::read(&site.state());
    assert!(!before.orders.is_empty());
    halt(&site, &["eurusdd"]).expect(1).complains(&["no pipeline 'eurusdd'", "it knows: eurusd"]);
    halt(&site, &["eurusd"]).expect(0).says(&["halt-1: the pipeline eurusd is halted", "Ann: strange fills"]);
    let site = with_more_bars(site);
    let ended = run(site.path(), site.args()).expect(0);
    assert!(ended.err.contains("event=halt_stands"), "{}", ended.err);
    let halted = Facts::read(&site.state());
    assert_eq!((halted.orders.len(), halted.intents.len()), (before.orders.len(), before.intents.len()));
    let last = halted.slots.iter().rfind(|slot| slot.reason == "halted").unwrap();
    assert!(last.detail.starts_with("halt-1: the pipeline eurusd"), "{last:?}");
    let at = jiff::Timestamp::from_millisecond(last.at_ms).unwrap().to_string();
    let why = ["why", "eurusd", &at, "--state", "state"];
    run(site.path(), why).expect(0).says(&["halt-1 was raised at", "by uid", "Ann: strange fills", "It stands"]);

    resume(&site, &[]).expect(0).says(&["forgotten", "halt-1", "sentinel resume halt-1"]);
    resume(&site, &["halt-2"]).expect(1).complains(&["there is no halt-2", "there stands halt-1"]);
    resume(&site, &["halt-1", "--reason", "Ann: mended"]).expect(0).says(&["halt-1 is lifted"]);
    resume(&site, &["halt-1"]).expect(1).complains(&["halt-1 was lifted at"]);
    run(site.path(), why).expect(0).says(&["It was lifted at", "Ann: mended"]);
    let site = with_more_bars(site);
    run(site.path(), site.args()).expect(0);
    assert!(Facts::read(&site.state()).orders.len() > before.orders.len());
}

#[test]
fn a_kill_file_halts_a_running_node_and_its_removal_lifts_nothing() {
    let site = slow();
    let mut node = Node::start(site.path(), site.args());
    node.wait_for("order", |_| Facts::rows_so_far(&site.state()) > 0 && reasons(&site).contains(&"order_acked".into()));
    fs::write(site.state().join("HALT"), "Ben: margin call\n").unwrap();
    node.wait_for("halted row", |_| reasons(&site).contains(&"halted".into()));
    let orders = Facts::read(&site.state()).orders.len();
    resume(&site, &["halt-1"]).expect(1).complains(&["the kill file", "rm "]);
    fs::remove_file(site.state().join("HALT")).unwrap();
    let rows = Facts::rows_so_far(&site.state());
    node.wait_for("more rows", |_| Facts::rows_so_far(&site.state()) > rows + 20);
    node.signal(Signal::TERM);
    let ended = node.end().expect(0);
    assert!(ended.err.contains("event=halt_raised") && ended.err.contains("Ben: margin call"), "{}", ended.err);
    let facts = Facts::read(&site.state());
    assert_eq!(facts.orders.len(), orders);
    let mut halted = facts.slots.iter().filter(|slot| slot.reason == "halted");
    assert!(halted.all(|slot| slot.detail.starts_with("halt-1: all pipelines")), "{:?}", facts.slots.last());
    resume(&site, &["halt-1"]).expect(0);
}

#[test]
fn a_kill_file_that_is_there_at_the_start_is_in_the_journal_before_anything_leaves() {
    let site = short();
    fs::create_dir(site.state()).unwrap();
    fs::write(site.state().join("HALT"), "").unwrap();
    run(site.path(), site.args()).expect(0);
    let facts = Facts::read(&site.state());
    assert!(facts.orders.is_empty() && facts.intents.is_empty());
    assert!(facts.slots.iter().any(|slot| slot.reason == "halted" && slot.detail.starts_with("halt-1: ")));
}

/// `.ci/run` and the nightly run ask for more.
#[test]
fn no_number_of_kills_lifts_a_halt() {
    let site = slow();
    let mut node = Node::start(site.path(), site.args());
    node.wait_for("order", |_| Facts::rows_so_far(&site.state()) > 0 && reasons(&site).contains(&"order_acked".into()));
    drop(node.killed_after(Duration::ZERO));
    halt(&site, &[]).expect(0);
    let before = Facts::read(&site.state());
    let kills = setting("SENTINEL_KILLS").unwrap_or(8);
    let mut chance = fastrand::Rng::with_seed(14);
    for kill in 0..kills {
        let after = Duration::from_millis(chance.u64(0..250));
        site.start(&[]).killed_after(after);
        let now = Facts::read(&site.state());
        let orders = |facts: &Facts| facts.orders.len();
        assert_eq!(orders(&now), orders(&before), "kill {kill}, after {after:?}");
    }
    let rows = Facts::rows_so_far(&site.state());
    assert!(Facts::read(&site.state()).slots.len() > before.slots.len(), "the runs got to work");
    let mut node = site.start(&[]);
    node.wait_for("row", |_| Facts::rows_so_far(&site.state()) > rows);
    node.signal(Signal::TERM);
    assert!(node.end().expect(0).err.contains("halt=halt-1"));
    assert_eq!(Facts::read(&site.state()).orders.len(), before.orders.len());
    resume(&site, &["halt-1"]).expect(0);
}
