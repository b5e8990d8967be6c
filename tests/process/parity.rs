//! The parity of each night beside a node's work, and what arming asks of the last one.

use std::collections::BTreeMap;
use std::fs;

use sentinel::parity::record::{LastParity, PARITY_FILE, PipelineParity, read, write};
use sentinel::system::WallClock;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::Clock as _;

use super::config::Site;
use super::gateway::{free_port, shown_identity};
use super::node::{Node, run};

const DAY_MS: i64 = 86_400_000;

/// A node that computes its record again each night, and whose last verdict is two days old.
fn nightly() -> Site {
    let mut site = Site::new().with("speed = \"max\"", "speed = 100").with("level = \"warn\" ", "level = \"info\" ");
    site.text.push_str("\n[parity]\ndaily_at = \"04:00\"\n");
    run(site.path(), site.args_and(&["--once"])).expect(0);
    let at = UtcMs(WallClock.now().0 - 2 * DAY_MS);
    write(&site.state(), LastParity { at, pipelines: BTreeMap::new() }).unwrap();
    site
}

fn end(node: Node) {
    node.signal(rustix::process::Signal::TERM);
    node.end().expect(0);
}

fn of_eurusd(site: &Site) -> PipelineParity {
    read(&site.state()).unwrap().pipelines["eurusd"].clone()
}

#[test]
fn a_node_computes_its_record_again_each_night_and_keeps_the_verdict() {
    let site = nightly();
    let began = WallClock.now();
    let mut node = site.start(&[]);
    node.wait_for("parity", |node| node.said().1.contains("event=parity_checked"));
    let of = of_eurusd(&site);
    assert!(of.compared > 0 && of.compared == of.slots && of.differing == 0, "{of:?}");
    assert!(read(&site.state()).unwrap().at >= began);
    assert!(!node.said().1.contains("parity_differs"));
    end(node);
}

#[test]
fn a_record_that_its_bars_do_not_make_is_said_at_night_and_trading_goes_on() {
    let site = nightly();
    let bars = site.path().join("eurusd_1h_2017.csv");
    let mut lines: Vec<String> = fs::read_to_string(&bars).unwrap().lines().map(str::to_owned).collect();
    let cells: Vec<&str> = lines[100].split(',').collect();
    let high: f64 = cells[2].parse().unwrap();
    lines[100] = format!("{},{},{:.5},{},{},{}", cells[0], cells[1], high + 0.00001, cells[3], cells[4], cells[5]);
    fs::write(&bars, lines.join("\n")).unwrap();
    let mut node = site.start(&[]);
    node.wait_for("difference", |node| node.said().1.contains("event=parity_differs"));
    let line = node.said().1.lines().find(|line| line.contains("parity_differs")).unwrap().to_owned();
    assert!(line.contains("value=bars_digest") && line.contains("pipeline=eurusd"), "{line}");
    let decided = |node: &Node| node.said().1.matches("event=slot_ended").count();
    let before = decided(&node);
    node.wait_for("more slots", |node| decided(node) > before + 5);
    assert_eq!(of_eurusd(&site).differing, 1);
    end(node);
}

#[test]
fn without_the_section_and_before_the_first_night_nothing_is_computed() {
    let mut site = Site::new().with_bars(210).with("level = \"warn\" ", "level = \"info\" ");
    run(site.path(), site.args()).expect(0);
    assert!(!site.state().join(PARITY_FILE).exists());
    site.text.push_str("\n[parity]\ndaily_at = \"04:00\"\n");
    let log = run(site.path(), site.args()).expect(0).err;
    assert!(!log.contains("parity_"), "{log}");
}

/// What is done to a good verdict, and what is said of it then.
type Case = (fn(&mut LastParity), &'static str);

/// The order job through a gateway that nobody may want to connect to.
fn trading() -> Site {
    Site::new().with_decisions(30).through_gateway(free_port())
}

fn parity(site: &Site, more: &[&str]) {
    run(site.path(), [&["parity", "--config", "node.toml"], more].concat()).expect(0).says(&["Agrees:"]);
}

#[test]
fn arming_shows_a_good_parity_of_these_days_and_refuses_every_other_one() {
    let site = trading();
    let hint = ["no parity is recorded", "nothing was armed", "sentinel parity --config", "--without-parity"];
    let refused = site.arm_after_parity(&[]).expect(1).complains(&hint);
    assert!(!refused.out.contains("Type "), "{}", refused.out);
    site.start(&[]).end().expect(0);
    parity(&site, &[]);
    let shown = site.arm_after_parity(&[]).expect(1).says(&["slots compared, none", "Type "]);
    let id = shown_identity(&shown.out);
    site.arm_after_parity(&["--yes", &id]).expect(0).says(&["armed as"]);

    let good = read(&site.state()).unwrap();
    let changed = |change: fn(&mut LastParity)| {
        let mut last = good.clone();
        change(&mut last);
        write(&site.state(), last).unwrap();
    };
    let cases: [Case; 5] = [
        (|last| last.at.0 -= 8 * DAY_MS, "more than 7 days ago"),
        (|last| last.pipelines.get_mut("eurusd").unwrap().differing = 2, "2 of "),
        (|last| last.pipelines.get_mut("eurusd").unwrap().compared = 0, "could be compared"),
        (|last| last.pipelines.get_mut("eurusd").unwrap().model.as_mut().unwrap().hash.push('0'), "another model"),
        (|last| last.pipelines.clear(), "does not have the pipeline eurusd"),
    ];
    for (change, says) in cases {
        changed(change);
        site.arm_after_parity(&["--yes", &id]).expect(1).complains(&[says, "nothing was armed"]);
        site.arm_after_parity(&["--yes", &id, "--without-parity"]).expect(0).says(&["not shown", "armed as"]);
    }
    fs::write(site.state().join(PARITY_FILE), "half of one").unwrap();
    site.arm_after_parity(&["--yes", &id]).expect(1).complains(&["not as it was written"]);
    changed(|_| ());
    // What decides otherwise has not been compared; what only limits has.
    site.arm_after_parity(&["--threshold", "0.5"])
        .expect(1)
        .complains(&["other bars, features, model settings or decision"]);
    site.arm_after_parity(&["--until", "8h"]).expect(1).says(&["slots compared, none", "Type "]);
    parity(&site, &["--threshold", "0.5"]);
    site.arm_after_parity(&["--threshold", "0.5"]).expect(1).says(&["slots compared, none", "Type "]);
}
