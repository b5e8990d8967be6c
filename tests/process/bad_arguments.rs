//! What the program says to wrong, missing and curious arguments, and the exit codes that it documents.

use std::fs;

use super::node::run;

#[test]
fn without_arguments_it_shows_where_to_start_and_ends_64() {
    let folder = tempfile::tempdir().unwrap();
    let none: [&str; 0] = [];
    run(folder.path(), none).expect(64).complains(&["Usage:", "sentinel demo", "Exit codes"]);
}

#[test]
fn wrong_words_are_named_with_what_would_be_right_and_end_64() {
    let folder = tempfile::tempdir().unwrap();
    let cases: [(&[&str], &[&str]); 12] = [
        (&["dmeo"], &["dmeo", "'demo'"]),
        (&["bogus"], &["bogus", "--help"]),
        (&["demo", "--sped", "max"], &["--sped", "'--speed'"]),
        (&["demo", "--speed", "0"], &["--speed", "a number above 0", "'max'"]),
        (&["demo", "--bars", "0"], &["--bars", "1 up"]),
        (&["demo", "--seed", "3"], &["--chaos"]),
        (&["demo", "--job", "forcast"], &["forcast", "order, forecast, allora"]),
        (&["demo", "--die-at", "lunch"], &["no such fault point", "after-sent"]),
        (&["why", "eurusd", "yesterday"], &["yesterday", "2017-06-01T13:00:00Z"]),
        (
            &["features", "--input", "a.csv", "--output", "b.csv", "--window", "5"],
            &["5 bars", "too short", "fx23", "21"],
        ),
        (
            &["hub", "--model", "m.onnx", "--fault", "drop", "--fault", "nan@3"],
            &["'nan@3' would never apply", "before"],
        ),
        (&["gateway", "--paper", "--fault", "placed", "--fault", "die@2"], &["'die@2' would never apply", "before"]),
    ];
    for (args, words) in cases {
        run(folder.path(), args).expect(64).complains(words);
    }
    assert!(!folder.path().join("state").exists(), "a wrong command line must leave nothing behind");
}

#[test]
fn run_without_a_configuration_names_the_demo_and_the_example_and_ends_64() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), ["run"]).expect(64).complains(&[
        "sentinel demo",
        "sentinel try",
        "sentinel config mt5",
        "--config",
    ]);
}

#[test]
fn help_and_version_end_0_and_version_names_the_commit() {
    let folder = tempfile::tempdir().unwrap();
    for args in [&["help"][..], &["--help"], &["help", "demo"], &["demo", "--help"], &["journal", "--help"]] {
        run(folder.path(), args).expect(0).says(&["Usage:"]);
    }
    let version = run(folder.path(), ["--version"]).expect(0).out;
    let (name, rest) = version.trim().split_once(' ').unwrap();
    let commit = rest.split_once(" (").map(|(_, commit)| commit.trim_end_matches(')'));
    let is_commit = commit.is_some_and(|text| text == "unknown commit" || text.chars().all(|c| c.is_ascii_hexdigit()));
    assert!(name == "sentinel" && is_commit, "{version}");
}

#[test]
fn the_hidden_fault_flags_stay_out_of_the_help() {
    let folder = tempfile::tempdir().unwrap();
    let help = run(folder.path(), ["demo", "--help"]).expect(0).out;
    assert!(!help.contains("--die-at") && !help.contains("--hang-at"), "{help}");
}

#[test]
fn why_of_an_unknown_slot_ends_1_with_the_slots_nearby() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), ["demo", "--speed", "max", "--bars", "30", "--state", "state"]).expect(0);
    let why = |pipeline, time| run(folder.path(), ["why", pipeline, time, "--state", "state"]);
    why("eurusd", "2017-01-01T00:00:00Z").expect(1).complains(&["nearby", "2017-01-12T06:00:02Z"]);
    why("eurusd", "2017-01-12T06:30:00Z").expect(1).complains(&["06:00:02Z", "07:00:02Z"]);
    why("gbpusd", "2017-01-12T06:00:02Z").expect(1).complains(&["gbpusd", "eurusd"]);
    why("eurusd", "2017-01-12T06:00:02Z").expect(0).says(&["2017-01-12T06:00:02Z"]);
    why("eurusd", "2017-01-12T05:00:00Z").expect(0).says(&["2017-01-12T06:00:02Z"]);
}

#[test]
fn a_directory_without_a_journal_ends_78_and_says_which_to_give() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("empty")).unwrap();
    for args in [&["journal", "cycles"][..], &["journal", "intents"], &["why", "eurusd", "2017-01-12T06:00:02Z"]] {
        let args = args.iter().copied().chain(["--state", "empty"]);
        run(folder.path(), args).expect(78).complains(&["no journal at empty/journal.db", "--state"]);
    }
    assert!(!folder.path().join("empty/journal.db").exists(), "a question must not create a journal");
}

#[test]
fn resume_of_a_directory_that_is_no_nodes_ends_78() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), ["resume", "--state", "nowhere"]).expect(78).complains(&["nowhere", "--state"]);
    fs::write(folder.path().join("file"), "").unwrap();
    run(folder.path(), ["resume", "--state", "file/below"]).expect(78).complains(&["file/below", "--state"]);
}

#[test]
fn features_of_a_missing_or_empty_bar_file_name_it_and_write_nothing() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("empty.csv"), "").unwrap();
    fs::write(folder.path().join("header.csv"), "timestamp,open,high,low,close,volume\n").unwrap();
    let cases = [("missing.csv", "cannot be opened"), ("empty.csv", "is empty"), ("header.csv", "no bars")];
    for (input, word) in cases {
        let args = ["features", "--input", input, "--output", "out.csv"];
        run(folder.path(), args).expect(1).complains(&[input, word]);
        assert!(!folder.path().join("out.csv").exists());
    }
}
