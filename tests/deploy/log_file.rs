//! The log file of a real run.

use std::fs;

use super::node::run;
use super::site::Site;

const FILE: &str = "logs/sentinel.log";

#[test]
fn the_log_file_has_the_details_that_the_console_leaves_out() {
    let site = Site::short();
    let ended = run(site.path(), site.args()).expect(0);
    let log = fs::read_to_string(site.state().join(FILE)).unwrap();
    for event in ["child_up", "slot_ended", "final_summary"] {
        assert!(log.contains(event) && !ended.err.contains(event), "{event}\n{}", ended.err);
    }
    assert!(log.lines().all(|line| line.starts_with("mode=dry_run ")) && !log.contains('\u{1b}'), "{log}");
}

#[test]
fn why_a_node_could_not_start_is_in_its_log_file_with_every_cause() {
    let site = Site::short();
    fs::create_dir(site.state()).unwrap();
    fs::create_dir(site.state().join("journal.db")).unwrap();
    let ended = run(site.path(), site.args());
    assert!(!ended.status.success(), "{ended:#?}");
    let log = fs::read_to_string(site.state().join(FILE)).unwrap();
    let line = log.lines().find(|line| line.contains("start_failed")).unwrap_or_else(|| panic!("{log}"));
    let causes: Vec<_> = ended.err.lines().filter_map(|line| line.trim().strip_prefix("because: ")).collect();
    assert!(!causes.is_empty() && causes.iter().all(|cause| line.contains(cause)), "{causes:?} in {line}");
}

#[test]
fn an_unwritable_log_file_is_reported_once_and_stops_nothing() {
    let site = Site::short();
    fs::create_dir(site.state()).unwrap();
    fs::write(site.state().join("logs"), "a file where the directory should be").unwrap();
    let ended = run(site.path(), site.args()).expect(0);
    assert_eq!(ended.err.matches("log_file_failed").count(), 1, "{}", ended.err);
}

#[test]
fn a_second_node_writes_nothing_into_the_log_of_the_first() {
    let site = Site::long();
    let mut first = super::node::Node::start(site.path(), site.args());
    let log = site.state().join(FILE);
    first.wait_for("a slot", |_| fs::read_to_string(&log).is_ok_and(|text| text.contains("slot_ended")));
    run(site.path(), site.args()).expect(75);
    let text = fs::read_to_string(&log).unwrap();
    assert!(!text.contains("start_failed") && text.matches("journal_opened").count() == 1, "{text}");
    first.signal(rustix::process::Signal::TERM);
    first.end().expect(0);
}
