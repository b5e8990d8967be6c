//! The command as a person types it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use sentinel::parity::record::{PARITY_FILE, read};

use crate::support::{demo_files, orders, run as run_tree};

fn parity(dir: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sentinel"));
    command.current_dir(dir).env_clear().arg("parity").args(["--config", "sentinel.toml"]).args(words).output().unwrap()
}

fn said(output: &Output) -> String {
    let text = String::from_utf8(output.stdout.clone()).unwrap() + &String::from_utf8_lossy(&output.stderr);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The order job's state on the first bars, and its configuration beside the demo's files.
fn site() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in fs::read_dir(demo_files()).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), dir.path().join(file.file_name())).unwrap();
    }
    fs::write(dir.path().join("sentinel.toml"), include_str!("../data/local.toml")).unwrap();
    run_tree(&orders(400), &dir.path().join("state"));
    dir
}

#[test]
fn a_whole_verdict_is_kept_and_one_on_a_range_or_without_slots_is_not_taken_for_it() {
    let site = site();
    let none = parity(site.path(), &["--state", "elsewhere"]);
    assert_eq!(none.status.code(), Some(78), "{}", said(&none));
    let output = parity(site.path(), &["--from", "2017-01-20T00:00:00Z"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("Recorded: nothing") && !site.path().join("state").join(PARITY_FILE).exists());
    let output = parity(site.path(), &[]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    for sentence in ["Parity: eurusd", "Compared:", "Agrees: every value", "Recorded: in state/parity.json"] {
        assert!(text.contains(sentence), "'{sentence}' is not in:\n{text}");
    }
    let kept = read(&site.path().join("state")).unwrap();
    let of = &kept.pipelines["eurusd"];
    assert!(of.differing == 0 && of.compared > 200 && of.model.is_some(), "{kept:?}");
}

#[test]
fn a_bar_that_was_changed_in_the_file_ends_it_with_1_and_is_named_by_slot_and_value() {
    let site = site();
    let bars = site.path().join("eurusd_1h_2017.csv");
    let mut lines: Vec<String> = fs::read_to_string(&bars).unwrap().lines().map(str::to_owned).collect();
    let cells: Vec<&str> = lines[301].split(',').collect();
    let high: f64 = cells[2].parse().unwrap();
    lines[301] = format!("{},{},{:.5},{},{},{}", cells[0], cells[1], high + 0.00001, cells[3], cells[4], cells[5]);
    fs::write(&bars, lines.join("\n")).unwrap();
    let output = parity(site.path(), &[]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("bars_digest: recorded Some(") && text.contains(", computed again Some("), "{text}");
    assert!(!text.contains("another effective configuration"), "{text}");
    assert!(read(&site.path().join("state")).unwrap().pipelines["eurusd"].differing > 50);
    let other = said(&parity(site.path(), &["--threshold", "0.65"]));
    assert!(other.contains("slots were written under another effective configuration"), "{other}");
    assert!(other.contains("decided with the threshold 0.6, which is not the configured one"), "{other}");
}
