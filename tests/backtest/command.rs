//! The command as a person types it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::demo_files;

fn run(dir: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sentinel"));
    command.current_dir(dir).env_clear().env("TMPDIR", dir.join("tmp")).arg("backtest").args(words).output().unwrap()
}

/// A directory with the demo's files, and the configuration as `sentinel.toml`.
fn site(configuration: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in fs::read_dir(demo_files()).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), dir.path().join(file.file_name())).unwrap();
    }
    fs::create_dir(dir.path().join("tmp")).unwrap();
    fs::write(dir.path().join("sentinel.toml"), configuration).unwrap();
    dir
}

fn said(output: &Output) -> String {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_backtest_says_what_was_trained_on_and_writes_the_forms_of_a_report_and_nothing_else() {
    // A node with this configuration would go live; a backtest never does.
    let live = include_str!("../data/local.toml").replace("[node]", "[node]\nmode = \"live\"");
    let site = site(&live);
    let output = run(site.path(), &["--config", "sentinel.toml", "--html", "backtest.html", "--csv", "tables"]);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(0), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    for sentence in [
        "The model was trained on 4,211 of these 6,026 decided bars",
        "Training: 54 trades (53.7 % won), profit +1107.90 after costs",
        "Unseen: 21 trades (38.1 % won), profit -341.50 after costs, largest drawdown 433.40",
        "in unseen bars: 1,260 bars said a side; hit rate 51.4 %, base rate 51.7 %; log loss 0.7249, of the prior 0.6925",
    ] {
        assert!(said.contains(sentence), "'{sentence}' is not in:\n{said}");
    }
    let html = fs::read_to_string(site.path().join("backtest.html")).unwrap();
    assert!(html.contains("Sentinel backtest") && html.contains("Look at the unseen part") && html.contains("-341.50"));
    let rows = |name: &str| fs::read_to_string(site.path().join("tables").join(name)).unwrap().lines().count() - 1;
    assert_eq!((rows("slots.csv"), rows("positions.csv")), (8_441, 75));
    assert!(rows("orders.csv") >= 75 && rows("profit.csv") == 2);
    assert!(!site.path().join("state").exists(), "it has no state");
    assert_eq!(fs::read_dir(site.path().join("tmp")).unwrap().count(), 0, "what it needs on the way is gone");
}

#[test]
fn a_range_holds_its_slots_and_the_proof_is_said() {
    let site = site(include_str!("../../config/demo/forecast.toml"));
    let range = ["--from", "2018-07-01T00:00:00Z", "--to", "2018-07-03T00:00:00Z"];
    let output = run(site.path(), &[&["--config", "sentinel.toml", "--verify"], &range[..]].concat());
    let said = said(&output);
    assert_eq!(output.status.code(), Some(0), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("Slots: 48, from 2018-07-01T00:00:02Z to 2018-07-02T23:00:02Z: 48 acted"), "{said}");
    assert!(said.contains("agree in every value of 48 rows, 48 intents, 0 positions and 48 forecasts"), "{said}");
    assert_eq!(fs::read_dir(site.path().join("tmp")).unwrap().count(), 0);
}

#[test]
fn what_cannot_be_walked_through_is_said_with_what_to_do() {
    let site = site(include_str!("../../config/demo/forecast.toml"));
    let beyond = ["--from", "2030-01-01T00:00:00Z"];
    let backwards = ["--from", "2018-07-03T00:00:00Z", "--to", "2018-07-01T00:00:00Z"];
    for (words, sentence) in [(&beyond[..], "has no slot in the range"), (&backwards[..], "is not before --to")] {
        let output = run(site.path(), &[&["--config", "sentinel.toml"], words].concat());
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{text}");
        assert!(text.contains(sentence) && text.contains("what to do"), "{text}");
    }
    let hub = include_str!("../../config/demo/demo.toml");
    fs::write(site.path().join("sentinel.toml"), hub).unwrap();
    let output = run(site.path(), &["--config", "sentinel.toml", "--to", "2017-01-12T12:00:00Z"]);
    // Nobody serves the model: each slot says so, as a node's would.
    assert!(said(&output).contains("model_unavailable"), "{}", said(&output));
}
