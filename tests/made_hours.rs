//! Hours made from minutes, against hours that a program apart from the node makes (`tests/data/made-hours/make_hours.py`).
//!
//! The minutes cover both changes of New York's clocks and the weeks after them, Saturday minutes, Christmas, gaps, nulls,
//! duplicates, and hours whose last minute or last five minutes are missing.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use sentinel::config::FX_CALENDAR;
use sentinel::sources::csv::read_bars;
use sentinel_actors::domain::bar::RawBar;
use sentinel_actors::domain::made_bars::{Making, make};
use sentinel_actors::domain::time::UtcMs;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/made-hours").join(name)
}

#[test]
fn made_hours_are_those_of_another_implementation() {
    let calendar = FX_CALENDAR.parse().unwrap();
    let (interval, made_from) = ("1h".parse().unwrap(), "1m".parse().unwrap());
    let how = Making {
        interval,
        made_from,
        calendar: &calendar,
        least_parts: 50,
        tick: 1e-5,
        now: UtcMs::from_secs(1_600_000_000),
    };
    let made: Vec<RawBar> =
        make(&read_bars(&data("minutes.csv")).unwrap(), &how).bars.into_iter().map(RawBar::from).collect();
    assert_eq!(made, read_bars(&data("hours.csv")).unwrap());
}

#[test]
#[cfg_attr(not(has_program = "python3"), ignore = "needs Python: see CONTRIBUTING.md")]
fn the_golden_hours_are_what_the_other_implementation_makes() {
    let python = std::env::var_os("SENTINEL_PYTHON").unwrap_or_else(|| OsString::from("python3"));
    let output = Command::new(python).arg(data("make_hours.py")).arg(data("minutes.csv")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let golden = std::fs::read_to_string(data("hours.csv")).unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), golden);
}
