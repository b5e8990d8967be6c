//! A node that crashed repeatedly sends nothing until the operator confirms that the cause is understood.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::Signal;

use super::config::Site;
use super::facts::Facts;
use super::node::{Node, run};

/// Five crashes, one minute apart, the last of them this many minutes ago: long enough that the next start does not wait,
/// and not so long that the safe mode is over.
const LAST_CRASH_MINUTES: u64 = 12;

/// A run that would send many orders, with the record of a crash loop beside it.
pub fn after_five_crashes() -> Site {
    after(&[(4, "70"), (3, "74"), (2, "134"), (1, "70"), (0, "134")])
}

/// The same with these starts, by minute and exit code before them, oldest first.
fn after(starts: &[(u64, &str)]) -> Site {
    after_last(LAST_CRASH_MINUTES * 60, starts)
}

/// The same, the last of them this many seconds ago.
fn after_last(seconds_ago: u64, starts: &[(u64, &str)]) -> Site {
    let site = Site::new().with_model_pair("root_fx23").with("speed = \"max\"", "speed = 100");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let boot = |(minutes, code): &(u64, &str)| {
        let at_ms = (now - Duration::from_secs(seconds_ago + 60 * minutes)).as_millis();
        format!(r#"{{"at_ms":{at_ms},"after":{code},"worked_slots":null}}"#)
    };
    let boots: Vec<String> = starts.iter().map(boot).collect();
    fs::create_dir(site.state()).unwrap();
    fs::write(site.state().join("boots"), format!("[{}]\n", boots.join(","))).unwrap();
    site
}

fn reasons(site: &Site) -> Vec<String> {
    Facts::read(&site.state()).slots.into_iter().map(|slot| slot.reason).collect()
}

#[test]
fn after_a_crash_loop_nothing_is_sent_until_sentinel_resume() {
    let site = after_five_crashes();
    let mut node = Node::start(site.path(), site.args());
    let has = |reason: &str| {
        let site = &site;
        let reason = reason.to_owned();
        move |_: &Node| Facts::rows_so_far(&site.state()) > 0 && reasons(site).contains(&reason)
    };
    node.wait_for("row of the safe mode", has("safe_mode"));
    let facts = Facts::read(&site.state());
    assert!(facts.intents.is_empty() && facts.orders.is_empty(), "{:?} {:?}", facts.intents, facts.orders);
    assert!(node.said().1.contains("sentinel resume"), "{:?}", node.said());

    run(site.path(), ["resume", "--state", "state"]).expect(0).says(&["forgotten"]);
    node.wait_for("order after the resume", has("order_acked"));
    node.signal(Signal::TERM);
    let ended = node.end().expect(0);
    assert!(ended.err.contains("safe_mode_left") || ended.err.contains("takes effects again"), "{}", ended.err);
    let reasons = reasons(&site);
    let resumed = reasons.iter().position(|reason| reason == "order_acked").unwrap();
    assert!(!reasons[resumed..].contains(&"safe_mode".to_owned()), "the safe mode came back");
}

#[test]
fn a_safe_mode_outlives_a_restart_that_went_well() {
    let site = after_five_crashes().with("speed = 100", "speed = \"max\"").with_bars(300);
    run(site.path(), site.args()).expect(0);
    let facts = Facts::read(&site.state());
    assert!(facts.slots.iter().any(|slot| slot.reason == "safe_mode"));
    assert!(facts.intents.is_empty() && facts.orders.is_empty());
    let site = site.with("bars = 300", "bars = 400");
    run(site.path(), site.args()).expect(0);
    assert!(Facts::read(&site.state()).intents.is_empty());
}

#[test]
fn after_a_crash_loop_of_kills_nothing_is_sent_either() {
    let kills: Vec<(u64, &str)> = (0..6).rev().map(|minute| (minute, "null")).collect();
    let site = after(&kills).with("speed = 100", "speed = \"max\"").with_bars(300);
    run(site.path(), site.args()).expect(0);
    let facts = Facts::read(&site.state());
    assert!(facts.slots.iter().any(|slot| slot.reason == "safe_mode"));
    assert!(facts.intents.is_empty() && facts.orders.is_empty(), "{:?}", facts.intents);
}

fn boots(site: &Site) -> usize {
    fs::read_to_string(site.state().join("boots")).unwrap_or_default().matches("at_ms").count()
}

#[test]
fn seven_times_kill_9_before_the_first_slot_make_each_start_wait_longer() {
    let site = Site::new().with("speed = \"max\"", "speed = 0.001");
    for kills in 1..=7 {
        let mut node = Node::start(site.path(), site.args());
        node.wait_for("note of this start", |_| boots(&site) == kills);
        node.signal(Signal::KILL);
        assert!(node.end().was_killed());
    }
    let mut node = Node::start(site.path(), site.args());
    node.wait_for("line about the wait", |node| node.said().1.contains("boot_backoff"));
    assert!(node.said().1.contains("crashes=7"), "{}", node.said().1);

    // Stopping a node that waits is not a crash.
    node.signal(Signal::TERM);
    node.ended_within(Duration::from_secs(15)).expect("a node that waits does not hear the signal").expect(0);
    let exit = fs::read_to_string(site.state().join("last_exit")).unwrap();
    assert!(exit.contains("\"code\":0"), "{exit}");
}

#[test]
fn a_safe_mode_ends_by_itself_after_half_an_hour() {
    let crashes = [(4, "70"), (3, "70"), (2, "70"), (1, "70"), (0, "70")];
    let site = after_last(30 * 60 - 5, &crashes).with("speed = 100", "speed = 40");
    let mut node = Node::start(site.path(), site.args());
    node.wait_for("safe mode", |node| node.said().1.contains("safe_mode_entered"));
    node.wait_for("order without anybody's word", |_| {
        Facts::rows_so_far(&site.state()) > 0 && reasons(&site).contains(&"order_acked".to_owned())
    });
    assert!(node.said().1.contains("safe_mode_left"), "{}", node.said().1);
    node.signal(Signal::TERM);
    node.end().expect(0);
}
