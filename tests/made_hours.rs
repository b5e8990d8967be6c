//! Hours made from minutes, against hours that a program apart from the node makes (`tests/data/made-hours/make_hours.py`).
//!
//! The minutes cover both changes of New York's clocks and the weeks after them, Saturday minutes, Christmas and New Year,
//! gaps, nulls, duplicates, and hours whose last minute or last five minutes are missing. With Python, the golden hours are
//! made again, and the hours of three weeks more of minutes (`make_minutes.py`) compared.

#![expect(clippy::unwrap_used, reason = "clippy exempts test functions, but not the helpers beside them")]

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sentinel::config::FX_CALENDAR;
use sentinel::sources::csv::read_bars;
use sentinel_actors::domain::bar::RawBar;
use sentinel_actors::domain::made_bars::{Made, Making, make};
use sentinel_actors::domain::time::UtcMs;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/made-hours").join(name)
}

/// What the node makes of a file of minutes.
fn made_of(minutes: &Path) -> Made {
    let calendar = FX_CALENDAR.parse().unwrap();
    let (interval, made_from) = ("1h".parse().unwrap(), "1m".parse().unwrap());
    let now = UtcMs::from_secs(1_600_000_000);
    let how = Making { interval, made_from, calendar: &calendar, least_parts: 50, tick: 1e-5, now };
    make(&read_bars(minutes).unwrap(), &how)
}

fn hours(made: &Made) -> Vec<RawBar> {
    made.bars.iter().copied().map(RawBar::from).collect()
}

fn python(script: &str, argument: Option<&OsStr>) -> String {
    let python = std::env::var_os("SENTINEL_PYTHON").unwrap_or_else(|| OsString::from("python3"));
    let output = Command::new(python).arg(data(script)).args(argument).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn made_hours_are_those_of_another_implementation() {
    assert_eq!(hours(&made_of(&data("minutes.csv"))), read_bars(&data("hours.csv")).unwrap());
}

#[test]
#[cfg_attr(not(has_program = "python3"), ignore = "needs Python: see CONTRIBUTING.md")]
fn the_golden_hours_are_what_the_other_implementation_makes() {
    let golden = fs::read_to_string(data("hours.csv")).unwrap();
    assert_eq!(python("make_hours.py", Some(data("minutes.csv").as_os_str())), golden);
}

#[test]
#[cfg_attr(not(has_program = "python3"), ignore = "needs Python: see CONTRIBUTING.md")]
fn hours_around_clock_changes_and_holidays_are_made_alike() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let minutes = file("minutes.csv", python("make_minutes.py", None));
    let expected = read_bars(&file("hours.csv", python("make_hours.py", Some(minutes.as_os_str())))).unwrap();
    let made = made_of(&minutes);
    assert_eq!(hours(&made), expected);
    assert!(made.bars.len() > 200 && made.incomplete.len() > 20, "{} and {}", made.bars.len(), made.incomplete.len());
    assert!(made.incomplete.iter().any(|bar| bar.have >= 50), "one without its last five minutes only");
    // By local time New York's week ends and begins in the same hours; by UTC it does not.
    let opened: BTreeSet<_> = made.bars.iter().map(|bar| bar.time.to_string()).collect();
    for (time, is_open) in [
        ("2017-03-10T21:00:00Z", true),
        ("2017-03-12T20:00:00Z", false),
        ("2017-03-12T21:00:00Z", true),
        ("2017-11-03T21:00:00Z", false),
        ("2017-11-05T21:00:00Z", false),
        ("2017-12-25T21:00:00Z", false),
        ("2018-01-01T21:00:00Z", false),
    ] {
        let is_made_or_incomplete =
            opened.contains(time) || made.incomplete.iter().any(|bar| bar.time.to_string() == time);
        assert_eq!(is_made_or_incomplete, is_open, "{time}");
    }
}
