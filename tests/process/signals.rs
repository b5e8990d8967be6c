//! Orderly ends: by a signal, by the end of a competition, after one slot; and what a second start makes of them.

use std::time::Duration;

use rustix::process::Signal;

use super::config::{Site, demo_span};
use super::evidence::{Span, accept};
use super::facts::Facts;
use super::node::{Node, run};

/// Far below the 20 s after which a node is ended by force.
const SOON: Duration = Duration::from_secs(6);
const HOUR_MS: i64 = 3_600_000;

fn utc_ms(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

fn ends_in_order_and_goes_on(signal: Signal) {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let mut node = Node::start(folder.path(), ["demo", "--speed", "50", "--bars", "400", "--state", "state"]);
    node.wait_for("ten rows", |_| Facts::rows_so_far(&state) >= 10);
    node.signal(signal);
    let ended = node.ended_within(SOON).unwrap_or_else(|| panic!("{signal:?} did not end it: {:?}", node.said()));
    let ended = ended.expect(0).says(&["Interrupted after", "holds"]);
    let rows = Facts::read(&state).slots;
    let so_far = Span { first_ms: demo_span(400).first_ms, last_ms: rows.last().unwrap().at_ms };
    let before = accept(&state, so_far);
    assert!(before.intents.iter().all(|intent| intent.state == "acked"), "an orderly end leaves nothing open");
    assert!(so_far.last_ms < demo_span(400).last_ms, "it was over before the signal: {ended:#?}");

    run(folder.path(), ["demo", "--speed", "max", "--bars", "400", "--state", "state"]).expect(0);
    let after = accept(&state, demo_span(400));
    assert_eq!(after.slots[..before.slots.len()], before.slots, "a second start goes on after the last slot");
    assert!(after.slots.iter().all(|slot| slot.outcome != "missed"));
}

#[test]
fn sigterm_ends_a_run_in_order_and_the_next_start_goes_on() {
    ends_in_order_and_goes_on(Signal::TERM);
}

#[test]
fn sigint_ends_a_run_in_order_and_the_next_start_goes_on() {
    ends_in_order_and_goes_on(Signal::INT);
}

#[test]
fn sighup_ends_a_run_in_order_and_the_next_start_goes_on() {
    ends_in_order_and_goes_on(Signal::HUP);
}

#[test]
fn sigterm_at_any_moment_of_the_start_does_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let args = ["demo", "--speed", "max", "--bars", "60", "--state", "state"];
    for delay_ms in [0, 5, 20, 60, 150] {
        let mut node = Node::start(folder.path(), args);
        if node.ended_within(Duration::from_millis(delay_ms)).is_some() {
            break;
        }
        node.signal(Signal::TERM);
        let ended = node.ended_within(SOON).unwrap_or_else(|| panic!("after {delay_ms} ms: {:?}", node.said()));
        // Before the node listens, the signal ends it as it ends any program; afterwards in order.
        let by_signal = std::os::unix::process::ExitStatusExt::signal(&ended.status) == Some(Signal::TERM.as_raw());
        assert!(by_signal || ended.status.code() == Some(0), "after {delay_ms} ms: {ended:#?}");
    }
    run(folder.path(), args).expect(0);
    accept(&state, demo_span(60));
}

#[test]
fn once_runs_one_slot_after_the_other_and_ends_0_when_it_was_decided() {
    let site = Site::new();
    let first_ms = demo_span(1).first_ms;
    for count in 0..3 {
        run(site.path(), site.args_and(&["--once"])).expect(0).says(&["eurusd 2017-01-12T0"]);
        let last_ms = first_ms + i64::from(count) * HOUR_MS;
        accept(&site.state(), Span { first_ms, last_ms });
    }
}

#[test]
fn once_ends_69_with_the_reason_when_the_slot_could_not_be_decided() {
    let site = Site::new().adding("schedule = \"on bar close + 2s\"", "start = \"2017-01-14T12:00:00Z\"");
    run(site.path(), site.args_and(&["--once"])).expect(69).says(&["skipped (market_closed)"]);
}

#[test]
fn a_competition_inside_the_data_ends_0_and_takes_no_slot_outside() {
    let window = "start = \"2017-02-01T00:00:00Z\"\nend = \"2017-02-03T00:00:00Z\"";
    let site = Site::new().adding("schedule = \"on bar close + 2s\"", window);
    for _ in 0..2 {
        run(site.path(), site.args()).expect(0);
        let (first_ms, last_ms) = (utc_ms("2017-02-01T00:00:02Z"), utc_ms("2017-02-02T23:00:02Z"));
        let facts = accept(&site.state(), Span { first_ms, last_ms });
        assert_eq!(facts.slots.len(), 48);
        assert!(facts.orders.iter().all(|order| (first_ms..=last_ms).contains(&order.at_ms)));
    }
}
