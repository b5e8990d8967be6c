//! Hours that are made from minutes, some of which are missing.

use std::fmt::Write as _;
use std::fs;

use sentinel::sources::csv::read_bars;

use crate::support::{demo_files, parsed, require_agreement, verdict_of};

const HOURS: usize = 330;

/// Minutes on a line from each hour's open to its close; some are missing, in some hours too many or the last ones.
fn minutes() -> String {
    let mut rng = fastrand::Rng::with_seed(18);
    let mut minutes = "timestamp,open,high,low,close,volume\n".to_owned();
    for (number, hour) in read_bars(&demo_files().join("eurusd_1h_2017.csv")).unwrap().iter().take(HOURS).enumerate() {
        let (open, close) = (hour.open.unwrap(), hour.close.unwrap());
        let too_few = number > 205 && rng.u32(0..12) == 0;
        for minute in 0..60_i32 {
            if rng.u32(0..20) == 0 || too_few && minute >= 40 {
                continue;
            }
            let at = |minute: i32| open + (close - open) * f64::from(minute) / 60.0;
            let (from, to) = (at(minute), at(minute + 1));
            let time = sentinel_actors::domain::time::UtcMs(hour.time.0 + i64::from(minute) * 60_000);
            let (high, low) = (from.max(to) + 0.0001, from.min(to) - 0.0001);
            writeln!(minutes, "{time},{from},{high},{low},{to},{}", 10 + minute).unwrap();
        }
    }
    minutes
}

#[test]
fn hours_made_of_minutes_give_the_same_rows_also_where_too_few_are_there() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("minutes.csv"), minutes()).unwrap();
    fs::copy(demo_files().join("model.onnx"), dir.path().join("model.onnx")).unwrap();
    let manifest = fs::read_to_string(demo_files().join("model.json")).unwrap();
    let made_from = manifest.replacen("\"window\": 200", "\"window\": 200, \"made_from\": \"1m\"", 1);
    assert_ne!(made_from, manifest);
    fs::write(dir.path().join("model.json"), made_from).unwrap();
    let text = include_str!("../data/local.toml")
        .replace("\"eurusd_1h_2017.csv\"", &format!("{:?}", dir.path().join("minutes.csv")))
        .replace("\"model.onnx\"", &format!("{:?}", dir.path().join("model.onnx")))
        .replace("interval = \"1h\"", "interval = \"1h\"\nmade_from = \"1m\"");
    let config = parsed(&text);
    let verdict = verdict_of(&config, &config);
    require_agreement(&verdict);
    assert!(verdict.slots > 100, "{verdict:?}");
}
