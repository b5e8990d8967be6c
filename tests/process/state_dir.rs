//! What a node does with a state directory that it cannot have, does not know, or cannot write any more.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rustix::process::Signal;

use super::config::{Site, demo_span};
use super::evidence::{Span, accept, faults};
use super::facts::Facts;
use super::node::{Node, SENTINEL, program, run};

#[test]
fn a_state_directory_below_a_regular_file_is_refused_and_named() {
    let site = Site::new();
    fs::write(site.path().join("file"), "").unwrap();
    let words = ["file/state", "cannot be used", "what to do"];
    run(site.path(), site.args_and(&["--state", "file/state"])).expect(78).complains(&words);
    run(site.path(), ["demo", "--state", "file/state"]).expect(78).complains(&words).complains(&["--state"]);
}

#[test]
fn a_second_node_on_the_same_state_is_turned_away_and_the_first_goes_on() {
    let site = Site::new().with("speed = \"max\"", "speed = 40");
    let args = site.args();
    let mut first = Node::start(site.path(), &args);
    first.wait_for("row", |_| Facts::rows_so_far(&site.state()) > 0);
    let (process, kill) = (format!("process {}", first.id()), format!("kill {}", first.id()));
    run(site.path(), &args).expect(75).complains(&["another node", "state", "stop the other node", &process, &kill]);
    run(site.path(), ["demo", "--state", "state"]).expect(75).complains(&["another node", &process]);
    let rows = Facts::rows_so_far(&site.state());
    first.wait_for("row after the second node", |_| Facts::rows_so_far(&site.state()) > rows);
    first.signal(Signal::TERM);
    first.end().expect(0);
}

#[test]
fn a_second_demo_on_one_state_is_refused_and_the_first_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let mut first = Node::start(folder.path(), ["demo", "--speed", "30", "--state", "state"]);
    first.wait_for("row", |_| Facts::rows_so_far(&state) > 0);
    let kill = format!("kill {}", first.id());
    run(folder.path(), ["demo", "--state", "state"]).expect(75).complains(&[
        "another gateway",
        "another --state",
        &kill,
    ]);
    let rows = Facts::rows_so_far(&state);
    first.wait_for("row after the second demo", |_| Facts::rows_so_far(&state) > rows);
    first.signal(Signal::TERM);
    first.end().expect(0);
}

/// The journal of a short run, for changes.
fn journal_of_a_run() -> (Site, std::path::PathBuf) {
    let site = Site::new().with_bars(210);
    run(site.path(), site.args()).expect(0);
    let journal = site.state().join("journal.db");
    (site, journal)
}

#[test]
fn a_journal_of_a_newer_version_is_refused_and_left_as_it_is() {
    let (site, journal) = journal_of_a_run();
    Connection::open(&journal).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let before = fs::read(&journal).unwrap();
    run(site.path(), site.args()).expect(78).complains(&["99", "schema version", "what to do"]);
    let why = ["why", "eurusd", "2017-01-12T06:00:02Z", "--state", "state"];
    run(site.path(), why).expect(78).complains(&["99", "schema version"]);
    assert_eq!(fs::read(&journal).unwrap(), before);
}

#[test]
fn a_database_of_another_program_is_refused_and_left_as_it_is() {
    let site = Site::new();
    fs::create_dir(site.state()).unwrap();
    let journal = site.state().join("journal.db");
    Connection::open(&journal).unwrap().execute_batch("CREATE TABLE recipes (name TEXT)").unwrap();
    let before = fs::read(&journal).unwrap();
    run(site.path(), site.args()).expect(78).complains(&["not a journal", "what to do"]);
    assert_eq!(fs::read(&journal).unwrap(), before);
}

#[test]
fn a_damaged_journal_stops_the_node_before_it_acts() {
    let (site, journal) = journal_of_a_run();
    let mut bytes = fs::read(&journal).unwrap();
    let middle = bytes.len() / 2;
    bytes[4096..middle].fill(0xA5);
    fs::write(&journal, bytes).unwrap();
    run(site.path(), site.args()).expect(74).complains(&["damaged", "what to do", "backup"]);
}

/// Starts the demo under a limit on the size of each of its files, which every write beyond meets with an error.
fn with_small_files(folder: &Path, kib: usize, args: &[&str]) -> Node {
    // In units of 512 bytes. The signal is ignored, as for a full disk there is none.
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", kib * 2);
    Node::spawn(folder, program("sh", folder).arg("-c").arg(script).arg(SENTINEL).args(args))
}

#[test]
fn a_full_disk_ends_the_node_with_74_and_nothing_is_sent_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let args = ["demo", "--speed", "max", "--bars", "400", "--state", "state"];
    let ended = with_small_files(folder.path(), 900, &args).end().expect(74);
    assert!(ended.err.contains("the journal"), "{}", ended.err);

    let facts = Facts::read(&state);
    let (Some(first), Some(last)) = (facts.slots.first(), facts.slots.last()) else { panic!("{ended:#?}") };
    let so_far = Span { first_ms: first.at_ms, last_ms: last.at_ms };
    let unfinished = |fault: &String| fault.starts_with("its slot has no row");
    let faults: Vec<_> = faults(&facts, so_far).into_iter().filter(|fault| !unfinished(fault)).collect();
    assert!(faults.is_empty(), "{faults:#?}");
    // By the market's own time, which goes on while an order is on its way.
    let next_slot_is_over = last.at_ms + 2 * 3_600_000;
    let after_the_end = facts.orders.iter().filter(|order| order.at_ms >= next_slot_is_over).count();
    assert_eq!(after_the_end, 0, "an order without a journal");
    let exit = fs::read_to_string(state.join("last_exit")).unwrap();
    assert!(exit.contains("74"), "{exit}");

    run(folder.path(), args).expect(0);
    accept(&state, demo_span(400));
    let boots = fs::read_to_string(state.join("boots")).unwrap();
    assert!(boots.contains("74"), "the next start knows how this one ended: {boots}");
}

#[test]
fn a_disk_that_is_full_at_the_start_is_reported_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["demo", "--speed", "max", "--bars", "50", "--state", "state"];
    let mut node = with_small_files(folder.path(), 4, &args);
    let ended = node.ended_within(Duration::from_secs(30)).unwrap();
    assert_eq!(ended.status.code(), Some(74), "{ended:#?}");
    assert!(ended.err.contains("what to do"), "{}", ended.err);
}
