//! What a report costs on a year of hourly slots: its size in every build, its time in release.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::node::run;
use crate::year::{Job, Year};

/// Every command that lists or reports answers within it, on a year of hours.
const LIMIT: Duration = Duration::from_secs(1);
/// A proof reads each row with all of its events.
const PROOF_LIMIT: Duration = Duration::from_secs(3);
const YEAR: i64 = 8_760;

#[test]
fn the_document_hardly_grows_with_its_slots_and_says_what_it_leaves_out() {
    let size = |hours: i64| {
        let folder = tempfile::tempdir().unwrap();
        Year::write(folder.path(), hours, &Job::ALL);
        let args = ["report", "--state", "state", "--ledger", "ledger.db", "--html", "report.html"];
        run(folder.path(), args).expect(0);
        fs::read_to_string(folder.path().join("report.html")).unwrap()
    };
    let (short, long) = (size(700), size(2_100));
    assert!(long.len() < short.len() * 2 && long.len() < 600_000, "{} and {} bytes", short.len(), long.len());
    assert!(long.contains("are left out here; "), "nothing is said of what is left out");
}

#[test]
#[ignore = "a figure, which an optimised build takes: see .ci/run"]
fn figures_of_every_listing_of_a_year_of_hours() {
    let mut late = Vec::new();
    for job in Job::ALL {
        let folder = tempfile::tempdir().unwrap();
        Year::write(folder.path(), YEAR, &[job]);
        let why = Year::slot(YEAR / 2 + 3).to_string();
        for command in commands(job.pipeline(), &why) {
            let took = least(folder.path(), &command);
            let text = format!("{job:?}: {took:>6.0?}  sentinel {}", command.join(" "));
            println!("{text}");
            if took >= if command[0] == "prove" { PROOF_LIMIT } else { LIMIT } {
                late.push(text);
            }
        }
    }
    assert!(late.is_empty(), "{late:#?}");
}

fn commands<'c>(pipeline: &'c str, time: &'c str) -> Vec<Vec<&'c str>> {
    let month = ["--from", "2026-03-01T00:00:00Z", "--to", "2026-04-01T00:00:00Z"];
    let report = |more: &[&'c str]| [&["report", "--ledger", "ledger.db"], more].concat();
    vec![
        report(&[]),
        report(&["--format", "json"]),
        report(&["--html", "report.html"]),
        report(&["--csv", "tables"]),
        report(&month),
        vec!["journal", "cycles"],
        vec!["journal", "cycles", "--format", "csv"],
        vec!["journal", "cycles", "--summary"],
        vec!["journal", "intents"],
        vec!["why", pipeline, time],
        vec!["prove"],
        vec!["status"],
        vec!["health"],
    ]
}

/// The least of three runs. It is the time of the processor: each of these commands waits for nothing else, and what else the machine does
/// is no cost of ours.
fn least(folder: &Path, command: &[&str]) -> Duration {
    let took = (0..3).map(|_| {
        let _ = fs::remove_dir_all(folder.join("tables"));
        let before = processor_time_of_ended_children();
        let ended = run(folder, command.iter().chain(&["--state", "state"]));
        // A node that does not run is not healthy, and has no status.
        let has_answered = ended.status.code() == Some(0) || matches!(command[0], "status" | "health");
        assert!(has_answered, "{command:?}: {ended:#?}");
        processor_time_of_ended_children() - before
    });
    took.min().unwrap()
}

/// In hundredths of a second, as the kernel counts it.
fn processor_time_of_ended_children() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    // Fields 16 and 17 of proc(5); the first one behind the name is 3.
    let ticks: u64 = after_name.split_whitespace().skip(13).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}
