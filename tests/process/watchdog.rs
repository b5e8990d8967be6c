//! Threads that never return: the watchdog ends what nothing else can.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use super::config::demo_span;
use super::evidence::accept;
use super::node::{Node, SENTINEL, program, run};

const BARS: usize = 100;
/// The watchdog of `--hang-at` has two seconds of patience.
const SOON: Duration = Duration::from_secs(15);

fn args(more: &[&'static str]) -> Vec<&'static str> {
    [&["demo", "--speed", "max", "--bars", "100", "--state", "state"], more].concat()
}

fn has_core_file(folder: &Path) -> bool {
    let is_core = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with("core");
    fs::read_dir(folder).unwrap().any(|entry| is_core(entry.unwrap()))
}

fn a_hang_is_ended(place: &'static str, culprit: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut node = Node::start(folder.path(), args(&["--hang-at", place]));
    let ended = node.ended_within(SOON).unwrap_or_else(|| panic!("no watchdog: {:?}", node.said()));
    assert_eq!(ended.status.signal(), Some(Signal::ABORT.as_raw()), "{ended:#?}");
    assert!(!ended.status.core_dumped() && !has_core_file(folder.path()), "memory must not end in a file");
    assert!(ended.err.contains(culprit), "the cause is not logged: {}", ended.err);
    let last = ended.err.lines().last().unwrap();
    assert!(last.contains("event=node_ended") && last.contains("exit_code=134"), "{last}");
    let exit = fs::read_to_string(folder.path().join("state/last_exit")).unwrap();
    assert!(exit.contains("134"), "{exit}");

    run(folder.path(), args(&[])).expect(0);
    accept(&folder.path().join("state"), demo_span(BARS));
    assert!(fs::read_to_string(folder.path().join("state/boots")).unwrap().contains("134"));
}

#[test]
fn a_control_plane_that_hangs_is_ended_with_134_and_the_next_start_goes_on() {
    a_hang_is_ended("before-end-slot:20", "control runtime");
}

#[test]
fn a_journal_that_hangs_is_ended_with_134_and_the_next_start_goes_on() {
    // Rows gather, so that a short demo has few commits.
    a_hang_is_ended("before-commit:5", "journal");
}

/// The servers of a demo that was killed end a moment after it; a demo that is started at once waits for the ledger.
#[test]
fn a_demo_that_was_killed_can_be_started_again_at_once() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..5 {
        let node = Node::start(folder.path(), args(&["--die-at", "after-end-slot:5"]));
        assert!(node.end().was_killed());
    }
    run(folder.path(), args(&[])).expect(0);
    accept(&folder.path().join("state"), demo_span(BARS));
}

#[test]
fn a_service_manager_sees_134() {
    let folder = tempfile::tempdir().unwrap();
    let mut shell = program("sh", folder.path());
    shell.args(["-c", "\"$0\" \"$@\"; exit $?", SENTINEL]).args(args(&["--hang-at", "before-end-slot:2"]));
    Node::spawn(folder.path(), &mut shell).end().expect(134);
}

/// No supervisor can free a thread; a new process can.
#[test]
fn a_blocked_worker_thread_ends_the_process_and_the_next_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut node = Node::start(folder.path(), args(&["--hang-at", "predictor:20"]));
    let ended = node.ended_within(Duration::from_secs(120)).unwrap_or_else(|| panic!("it waits: {:?}", node.said()));
    assert_eq!(ended.status.signal(), Some(6), "{ended:#?}");
    run(folder.path(), args(&[])).expect(0);
    accept(&folder.path().join("state"), demo_span(BARS));
}
