//! A file of minutes, replayed as the hours that are made from them.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use rusqlite::Connection;

use super::config::{Site, demo_file};
use super::node::run;

const BARS: &str = "eurusd_1h_2017.csv";

/// A site whose hours are minutes instead: the first has the hour's open, high, low and volume, the others its close.
fn minutes() -> Site {
    let site = Site::new().with("[pipeline.source]", "made_from = \"1m\"\n\n[pipeline.source]");
    let hours = fs::read_to_string(site.path().join(BARS)).unwrap();
    let mut minutes = "timestamp,open,high,low,close,volume\n".to_owned();
    for hour in hours.lines().skip(1).take(230) {
        let [time, open, high, low, close, volume] = hour.split(',').collect::<Vec<_>>()[..] else { panic!("{hour}") };
        let start = time.parse::<jiff::Timestamp>().unwrap().as_second();
        writeln!(minutes, "{start},{open},{high},{low},{close},{volume}").unwrap();
        for minute in 1..60 {
            writeln!(minutes, "{},{close},{close},{close},{close},", start + minute * 60).unwrap();
        }
    }
    fs::write(site.path().join(BARS), minutes).unwrap();
    site.with_decisions(5)
}

/// Lets the manifest say that the model's bars were made from minutes.
fn trained_on_made_bars(site: &Site) {
    let manifest = site.path().join("model.json");
    let mut json: serde_json::Value = serde_json::from_str(&fs::read_to_string(&manifest).unwrap()).unwrap();
    json["features"]["made_from"] = "1m".into();
    fs::write(&manifest, json.to_string()).unwrap();
}

/// Of each row with features: bars digest, features digest, feature set.
fn rows(site: &Site) -> Vec<(String, String, String)> {
    run(site.path(), site.args()).expect(0);
    let journal = Connection::open(site.state().join("journal.db")).unwrap();
    let sql = "SELECT bars_digest, features_digest, feature_set FROM slots WHERE features_digest IS NOT NULL ORDER BY slot_ms";
    let mut query = journal.prepare(sql).unwrap();
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn minutes_are_decided_as_the_hours_made_from_them() {
    let site = minutes();
    trained_on_made_bars(&site);
    let made = rows(&site);
    assert_eq!(made.len(), 5);
    assert!(made.iter().all(|(_, _, set)| set == "fx23/200 of bars made from 1m"), "{made:?}");
    let delivered = rows(&Site::new().with_decisions(5));
    let digests = |rows: Vec<(String, String, String)>| rows.into_iter().map(|row| (row.0, row.1)).collect::<Vec<_>>();
    assert_eq!(digests(made), digests(delivered));
}

#[test]
fn a_model_of_delivered_hours_is_refused_for_made_ones() {
    let site = minutes();
    run(site.path(), site.args()).expect(78).complains(&["features.made_from", "as delivered", "made from 1m"]);
}

#[test]
fn a_file_of_hours_is_no_file_of_minutes() {
    let site = Site::new().with("[pipeline.source]", "made_from = \"1m\"\n\n[pipeline.source]");
    trained_on_made_bars(&site);
    run(site.path(), site.args()).expect(78).complains(&["its bars are 1h apart", "`made_from` is 1m"]);
}

#[test]
fn features_of_minutes_are_those_of_the_hours_made_from_them() {
    let site = minutes();
    let market = "America/New_York; Sun 17:00-Fri 17:00; closed 12-25 00:00-17:00, 01-01 00:00-17:00";
    let made = ["--made-from", "1m", "--interval", "1h", "--calendar", market, "--made-bars", "made.csv"];
    let features = |folder: &Path, more: &[&str]| {
        run(folder, ["features", "--input", BARS, "--output", "features.csv"].iter().chain(more)).expect(0);
        let text = fs::read_to_string(folder.join("features.csv")).unwrap();
        text.lines().take(230).map(str::to_owned).collect::<Vec<_>>()
    };
    let rows = features(site.path(), &made);
    assert_eq!(rows.len(), 230);
    assert_eq!(rows, features(Site::new().path(), &[]));
    // The made bars are what a replay takes as bars that are made already, and what labels come from.
    let prices = |file: &Path| {
        let bars = sentinel::sources::csv::read_bars(file).unwrap();
        bars.into_iter().take(230).map(|bar| (bar.time, bar.open, bar.high, bar.low, bar.close)).collect::<Vec<_>>()
    };
    assert_eq!(prices(&site.path().join("made.csv")), prices(&demo_file(BARS)));
    let half = ["features", "--input", BARS, "--output", "features.csv", "--made-from", "1m"];
    run(site.path(), half).expect(64).complains(&["--interval", "--calendar"]);
}

#[test]
fn why_says_how_many_minutes_there_are_of_an_hour_that_was_not_made() {
    let site = minutes();
    trained_on_made_bars(&site);
    let file = site.path().join(BARS);
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    // The third hour that is decided lacks its first sixteen minutes.
    let first = 1 + 201 * 60;
    let start: i64 = lines[first].split(',').next().unwrap().parse().unwrap();
    let kept: Vec<&str> = lines[..first].iter().chain(&lines[first + 16..]).copied().collect();
    fs::write(&file, kept.join("\n")).unwrap();
    run(site.path(), site.args()).expect(0);
    let slot = jiff::Timestamp::from_second(start + 3602).unwrap().to_string();
    let hour = jiff::Timestamp::from_second(start).unwrap();
    let told = format!("the bar {hour} is incomplete: 44 of 60 parts are there");
    run(site.path(), ["why", "eurusd", &slot, "--state", "state"]).expect(0).says(&["incomplete=1", &told]);
}
