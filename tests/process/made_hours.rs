//! A file of minutes, replayed as the hours that are made from them.

use std::fmt::Write as _;
use std::fs;

use rusqlite::Connection;

use super::config::Site;
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
