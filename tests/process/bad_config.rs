//! Configurations, models and data that cannot be used: each is refused at the start with everything that is wrong, where,
//! and what to do; and a model that turns bad while the node runs never becomes a decision.

use std::fs;

use super::config::{Site, demo_file, model_fixture};
use super::facts::Facts;
use super::node::run;

#[test]
fn a_missing_configuration_is_named() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), ["run", "--config", "nope.toml"]).expect(78).complains(&["nope.toml", "cannot be read"]);
    run(folder.path(), ["check", "--config", "nope.toml"]).expect(78).says(&["nope.toml", "cannot be read"]);
}

#[test]
fn every_wrong_key_is_reported_at_once_with_line_and_suggestion() {
    let site = Site::new()
        .with("heartbeat = ", "hartbeat = ")
        .with("threshold = 0.6", "threshold = 1.6")
        .with("interval = \"1h\"", "interval = \"7h\"")
        .adding("[pipeline.model]", "kindd = \"onnx\"");
    let words = ["node.toml:5", "hartbeat", "'heartbeat'", "threshold", "1.6", "interval", "kindd", "'kind'"];
    let ended = run(site.path(), site.args()).expect(78).complains(&words);
    assert!(ended.err.lines().filter(|line| line.contains("node.toml:")).count() >= 4, "{}", ended.err);
    run(site.path(), ["check", "--config", "node.toml"]).expect(78).says(&words);
    assert!(!site.state().exists(), "a refused configuration must leave nothing behind");
}

#[test]
fn a_configuration_that_is_no_toml_is_refused_with_its_line() {
    let site = Site::new().with("name = \"demo\"", "name = \"demo");
    run(site.path(), site.args()).expect(78).complains(&["node.toml:4"]);
}

#[test]
fn live_trading_is_refused_rather_than_faked() {
    let site = Site::new().adding("[node]", "mode = \"live\"");
    run(site.path(), site.args()).expect(78).complains(&["mode", "live", "--live"]);
}

#[test]
fn a_model_that_cannot_be_used_is_named_with_the_way_out() {
    let cut_off = |bytes: Vec<u8>| bytes[..bytes.len() / 2].to_vec();
    let good = fs::read(model_fixture("root_fx23.onnx")).unwrap();
    let cases: Vec<(&str, Site, &[&str])> = vec![
        ("cut off", Site::new().with_model_bytes(&cut_off(good)), &["cut off", "export"]),
        ("no onnx", Site::new().with_model_bytes(b"not a model"), &["ONNX", "export"]),
        ("operator", Site::new().with_model("tree.onnx"), &["TreeEnsembleClassifier", "MLflow"]),
        ("width", Site::new().with_model("wide.onnx"), &["4", "23"]),
        ("features", Site::new().with_model_pair("good_a"), &["test3", "fx23"]),
    ];
    for (what, site, words) in cases {
        let words = [&["model.", "pipeline"], words].concat();
        let ended = run(site.path(), site.args()).expect(78).complains(&words);
        assert!(!ended.err.contains("WARN"), "{what}: {}", ended.err);
        run(site.path(), ["check", "--config", "node.toml"]).expect(78).says(&words);
    }
}

#[test]
fn a_missing_model_or_manifest_is_named() {
    for missing in ["model.onnx", "model.json"] {
        let site = Site::new();
        fs::remove_file(site.path().join(missing)).unwrap();
        run(site.path(), site.args()).expect(78).complains(&[missing, "eurusd"]);
    }
}

#[test]
fn a_model_with_another_hash_than_its_manifest_says_is_refused() {
    let site = Site::new();
    fs::copy(model_fixture("root_fx23.onnx"), site.path().join("model.onnx")).unwrap();
    run(site.path(), site.args()).expect(78).complains(&["model.onnx", "SHA-256", "manifest"]);
}

#[test]
fn missing_empty_and_short_bar_files_are_named() {
    let header = "timestamp,open,high,low,close,volume\n";
    let line = "2017-01-01T22:00:00Z,1,1,1,1,1\n";
    let cases: [(Option<String>, &[&str]); 5] = [
        (None, &["there is no file", "node.toml:18"]),
        (Some(String::new()), &["is empty", "timestamp,open"]),
        (Some(header.to_owned()), &["no bars"]),
        (Some(format!("{header}{line}")), &["too few", "200"]),
        (Some(format!("{header}{line}2017-01-01T23:00:00Z,1,oops,1,1,1\n")), &["line 3", "oops"]),
    ];
    for (content, words) in cases {
        let site = Site::new();
        let file = site.path().join("eurusd_1h_2017.csv");
        match content {
            None => fs::remove_file(file).unwrap(),
            Some(text) => fs::write(file, text).unwrap(),
        }
        run(site.path(), site.args()).expect(78).complains(words).complains(&["eurusd"]);
    }
}

#[test]
fn a_model_that_answers_nan_costs_its_slots_and_nothing_else() {
    let site = Site::new().with_model_pair("root_fx23").with_bars(500);
    run(site.path(), site.args()).expect(0);
    let facts = Facts::read(&site.state());
    let of = |reason: &str| facts.slots.iter().filter(|slot| slot.reason == reason).count();
    assert!(of("answer_not_finite") > 50, "the model answers NaN after every hour that fell");
    assert!(of("order_acked") > 0, "and is sure after some that rose");
    for slot in facts.slots.iter().filter(|slot| slot.reason == "answer_not_finite") {
        let judged = (slot.outcome.as_str(), slot.decided_bar_ms, slot.signal.as_deref(), slot.intents.as_str());
        assert_eq!(judged, ("skipped", None, None, "[]"), "NaN became a decision: {slot:?}");
    }
    assert_eq!(of("hold"), 0, "this model never says hold; a hold was made up");
}

/// Both judge the same: `check` says it beforehand, and `run` starts nothing.
#[track_caller]
fn refused_by_both(site: &Site, words: &[&str]) {
    run(site.path(), site.args()).expect(78).complains(words);
    run(site.path(), ["check", "--config", "node.toml"]).expect(78).says(words);
}

/// The demo's bars, with one more at the end of the file that opens then.
fn with_a_bar_of(time: &str) -> Site {
    let site = Site::new();
    let mut bars = fs::read_to_string(demo_file("eurusd_1h_2017.csv")).unwrap();
    bars.push_str(&format!("{time},1.1,1.1,1.1,1.1,1\n"));
    fs::write(site.path().join("eurusd_1h_2017.csv"), bars).unwrap();
    site
}

#[test]
fn one_bar_of_a_year_far_away_is_refused_with_its_line_and_walks_nowhere() {
    for time in ["9999-12-30T00:00:00Z", "-009999-01-03T00:00:00Z", "1970-01-18T05:00:00Z", "2500-01-01T00:00:00Z", "0"]
    {
        refused_by_both(&with_a_bar_of(time), &["eurusd_1h_2017.csv", "line 6227", "no plausible open time of a bar"]);
    }
    let hole = ["line 6227", "lies 63d 1h", "the bar before it, 2017-12-29T21:00:00Z in line 6226", "31d at most"];
    refused_by_both(&with_a_bar_of("2018-03-02T22:00:00Z"), &hole);
}

#[test]
fn bars_of_1h_under_the_interval_4h_are_refused_by_check_as_by_run() {
    let site = Site::new().with("interval = \"1h\"", "interval = \"4h\"");
    refused_by_both(&site, &["its bars are 1h apart (6172 of 6224 times)", "`interval` is 4h"]);
}

#[test]
fn an_fx_pair_whose_market_never_closes_is_refused_with_the_hours_to_write() {
    let site = Site::new().with("interval = \"1h\"", "interval = \"1h\"\ncalendar = \"always\"");
    let calendar = "calendar = \"America/New_York; Sun 17:00-Fri 17:00; closed 12-25 00:00-17:00, 01-01 00:00-17:00\"";
    refused_by_both(&site, &["`calendar` expects", "in 51 holes", calendar]);
}

#[test]
fn fewer_bars_than_a_window_are_refused_by_check_as_by_run() {
    refused_by_both(&Site::new().with_bars(100), &["100 usable bars are too few", "look at 200", "a smaller window"]);
}

#[test]
fn a_state_directory_that_cannot_be_made_is_refused_by_check_which_makes_none() {
    let site = Site::new().adding("[node]", "state = \"model.json/state\"");
    refused_by_both(&site, &["model.json/state cannot be used", "creating it failed", "what to do"]);
    let site = Site::new();
    site.args();
    run(site.path(), ["check", "--config", "node.toml"]).expect(0).says(&[
        "6225 bars from 2017-01-01T22:00:00Z to 2017-12-29T21:00:00Z, 1h apart 6172 times; the longest hole, 50h, follows",
    ]);
    assert!(!site.state().exists());
}
