//! A journal that was emptied, taken away or replaced: no node acts on what is left, however it is asked.

use std::fs;

use rustix::process::Signal;

use super::config::{Site, demo_span};
use super::evidence::accept;
use super::facts::Facts;
use super::node::{Node, SENTINEL, program, run};

const ACCEPT: &str = "--accept-lost-journal";

#[test]
fn every_command_refuses_an_emptied_journal_until_the_loss_is_accepted() {
    let site = Site::new().with_bars(210);
    run(site.path(), site.args()).expect(0);
    let orders = Facts::orders_in_book(&site.state());
    assert!(!run(site.path(), ["report", "--state", "state"]).expect(0).out.contains("Lost:"));
    fs::write(site.state().join("journal.db"), "").unwrap();
    let settle = ["settle", "abcdefgh", "--absent", "--evidence", "looked", "--state", "state"].map(str::to_owned);
    let resume = ["resume", "--state", "state"].map(str::to_owned);
    for args in [site.args().to_vec(), settle.to_vec(), resume.to_vec()] {
        run(site.path(), args).expect(78).complains(&["missing or empty", "backup", "sentinel run", ACCEPT]);
    }
    let check = [&["check".to_owned()], &site.args()[1..]].concat();
    run(site.path(), check).expect(78).says(&["missing or empty", ACCEPT]);
    assert_eq!(fs::metadata(site.state().join("journal.db")).unwrap().len(), 0);
    assert_eq!(Facts::orders_in_book(&site.state()), orders, "nothing was sent again");

    let accepted = run(site.path(), site.args_and(&[ACCEPT])).expect(0);
    assert!(accepted.err.contains("lost_journal_accepted") || accepted.err.contains("does not know what it has sent"));
    run(site.path(), site.args_and(&[ACCEPT])).expect(78).complains(&["start without"]);
    run(site.path(), site.args()).expect(0);
    let report = run(site.path(), ["report", "--state", "state"]).expect(0);
    report.says(&["Lost:", "accepted by the operator", "(1 in all)"]);
}

#[test]
fn a_journal_removed_under_a_running_node_ends_it_with_74() {
    let site = Site::new().with("speed = \"max\"", "speed = 40").with_decisions(200);
    let state = site.state();
    let mut node = Node::start(site.path(), site.args());
    node.wait_for("order", |_| Facts::orders_in_book(&state) > 0);
    let away = state.join("away");
    fs::create_dir(&away).unwrap();
    let files = ["journal.db", "journal.db-wal"];
    for file in files {
        fs::rename(state.join(file), away.join(file)).unwrap();
    }
    let ended = node.end().expect(74);
    assert!(ended.err.contains("removed, replaced or cut off"), "{}", ended.err);
    run(site.path(), site.args()).expect(78).complains(&["missing or empty", ACCEPT]);
    assert!(!state.join("journal.db").exists(), "no new one was begun");

    for file in files {
        fs::rename(away.join(file), state.join(file)).unwrap();
    }
    let _ = fs::remove_file(state.join("journal.db-shm"));
    site.start(&[]).end().expect(0);
    accept(&state, demo_span(200));
}

#[test]
#[cfg_attr(not(has_program = "strace"), ignore = "needs strace: see CONTRIBUTING.md")]
fn the_mark_is_on_the_disk_before_each_order_leaves() {
    let site = Site::new().with_decisions(250);
    let trace = site.path().join("trace");
    let strace = std::env::var_os("SENTINEL_STRACE").unwrap_or_else(|| "strace".into());
    let mut command = program(strace.to_str().unwrap(), site.path());
    command.args(["-f", "-qq", "-y", "-e", "trace=fsync,fdatasync", "-o"]).arg(&trace).arg(SENTINEL).args(site.args());
    Node::spawn(site.path(), &mut command).end().expect(0);

    let trace = fs::read_to_string(trace).unwrap();
    let synced: Vec<&str> = trace.lines().filter(|line| line.contains("/journal.") && line.contains("sync(")).collect();
    let marks: Vec<usize> = (0..synced.len()).filter(|n| synced[*n].contains("/journal.mark>")).collect();
    let sent = Facts::read(&site.state()).intents.iter().filter(|intent| intent.history.contains("send")).count();
    assert!(sent > 0 && marks.len() == sent, "{sent} orders, {} durable marks", marks.len());
    // Never ahead of the journal: its log is synced right before.
    assert!(marks.iter().all(|n| synced[n.saturating_sub(1)].contains("/journal.db-wal>")), "{synced:#?}");
}

#[test]
fn a_second_node_is_turned_away_although_the_lock_file_was_removed() {
    let site = Site::new().with("speed = \"max\"", "speed = 40");
    let args = site.args();
    let mut first = Node::start(site.path(), &args);
    first.wait_for("row", |_| Facts::rows_so_far(&site.state()) > 0);
    fs::remove_file(site.state().join("lock")).unwrap();
    run(site.path(), &args).expect(75).complains(&["state"]);
    first.signal(Signal::TERM);
    first.end().expect(0);
}
