//! The features against numbers that another implementation computed: `btc9`.

#![expect(clippy::unwrap_used, reason = "clippy exempts test functions, but not the helpers beside them")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sentinel::cli::features::{FeaturesArgs, MadeArgs, Window, export, rows};
use sentinel::features::SetInfo;
use sentinel::features::btc9::{Btc9, COLUMNS, NEED_ROW};
use sentinel::sources::csv::read_bars;
use sentinel_actors::domain::bar::{Bar, Cleaning, RawBar, clean};
use sentinel_actors::domain::feature::FeatureError;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::FeatureSet as _;

const TICK: f64 = 0.01;
const TOLERANCE: f64 = 1e-11;
const HOUR_SECS: i64 = 3600;

/// One window of closes and the features of its newest row.
#[derive(serde::Deserialize)]
struct Case {
    name: Option<String>,
    start: Option<String>,
    timestamps: Option<Vec<Option<String>>>,
    closes: Vec<Option<f64>>,
    last: BTreeMap<String, f64>,
    last_ts: Option<String>,
}

fn in_project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn btc9() -> &'static SetInfo {
    SetInfo::find("btc9").unwrap()
}

fn history() -> Vec<Bar> {
    let delivered = read_bars(&in_project("config/demo/btcusd_1h.csv")).unwrap();
    clean(&delivered, &Cleaning { tick: TICK, times: None, window: None }).bars
}

fn cases() -> Vec<Case> {
    serde_json::from_str(&fs::read_to_string(in_project("tests/data/features/btc9_windows.json")).unwrap()).unwrap()
}

/// `2017-08-20 10:00:00+00:00` or `2017-08-20T10:00:00Z`.
fn time(text: &str) -> UtcMs {
    text.replace(' ', "T").replace("+00:00", "Z").parse().unwrap()
}

fn delivered(case: &Case) -> Vec<RawBar> {
    let times: Vec<UtcMs> = match (&case.timestamps, &case.start) {
        (Some(times), _) => times.iter().map(|text| time(text.as_deref().unwrap())).collect(),
        (None, Some(start)) => {
            let hours = 0..i64::try_from(case.closes.len()).unwrap();
            hours.map(|hour| UtcMs::from_secs(time(start).secs() + hour * HOUR_SECS)).collect()
        }
        (None, None) => panic!("a window without times"),
    };
    let bar = |(time, close): (UtcMs, &Option<f64>)| RawBar {
        time,
        open: *close,
        high: *close,
        low: *close,
        close: *close,
        volume: None,
    };
    times.into_iter().zip(&case.closes).map(bar).collect()
}

/// Bars as they come: what `clean` would drop or merge stays.
fn uncleaned(case: &Case) -> Vec<Bar> {
    let bar = |raw: RawBar| {
        let close = raw.close.unwrap();
        Bar { time: raw.time, open: close, high: close, low: close, close, volume: None }
    };
    delivered(case).into_iter().map(bar).collect()
}

fn check(what: &str, computed: &[f64], golden: &[f64]) {
    assert_eq!(computed.len(), golden.len(), "{what}");
    for ((name, a), b) in COLUMNS.iter().zip(computed).zip(golden) {
        assert!((a - b).abs() <= TOLERANCE * b.abs().max(1.0), "{what}: {name} is {a}, expected {b}");
    }
}

#[test]
fn rows_of_all_public_windows_are_the_golden_ones() {
    let cases = cases();
    assert_eq!(cases.len(), 26);
    // Two were made without cleaning: a bar that comes twice was kept twice, and a price of zero was a price.
    let made_uncleaned = ["duplicate_last", "zero_middle"];
    for case in &cases {
        let what = case.name.as_deref().or(case.start.as_deref()).unwrap();
        let bars = if made_uncleaned.contains(&what) {
            uncleaned(case)
        } else {
            clean(&delivered(case), &Cleaning { tick: TICK, times: None, window: None }).bars
        };
        let golden: Vec<f64> = COLUMNS.iter().map(|name| case.last[*name]).collect();
        check(what, &Btc9::new(bars.len()).newest_row(&bars).unwrap(), &golden);
        match Btc9::new(bars.len()).build(&bars) {
            Ok(frame) => check(what, &frame.row, &golden),
            Err(error) => {
                assert_eq!(error, FeatureError::InsufficientHistory { have: bars.len(), need: NEED_ROW }, "{what}");
                assert!(bars.len() < NEED_ROW, "{what}");
            }
        }
        if let Some(last) = &case.last_ts {
            assert_eq!(bars.last().unwrap().time, time(last), "{what}");
        }
    }
}

#[test]
fn the_whole_history_in_one_pass_is_the_golden_one() {
    let bars = history();
    let computed: BTreeMap<String, Vec<f64>> =
        bars.iter().map(|bar| bar.time.to_string()).zip(rows(btc9(), &bars, Window::All)).collect();
    let golden = fs::read_to_string(in_project("tests/data/features/whole_btcusd_1h.csv")).unwrap();
    let mut checked = 0;
    for line in golden.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let golden: Vec<f64> = cells[2..].iter().map(|cell| cell.parse().unwrap()).collect();
        check(cells[0], &computed[cells[0]], &golden);
        checked += 1;
    }
    assert_eq!((checked, computed.len()), (1107, 10_055));
    // The golden file begins where the longest mean is defined first.
    assert!(rows(btc9(), &bars[..71], Window::All).iter().all(|row| row[3].is_nan()));
}

#[test]
fn an_exported_row_has_the_bits_of_the_live_frame_for_the_same_bar() {
    let bars = &history()[..600];
    let set = btc9().build(168, false);
    for (at, exported) in rows(btc9(), bars, Window::Bars(168)).iter().enumerate() {
        match set.build(&bars[(at + 1).saturating_sub(168)..=at]) {
            Ok(frame) => assert_eq!(
                frame.row.iter().map(|cell| cell.to_bits()).collect::<Vec<_>>(),
                exported.iter().map(|cell| cell.to_bits()).collect::<Vec<_>>()
            ),
            Err(error) => {
                assert_eq!(error, FeatureError::InsufficientHistory { have: at + 1, need: NEED_ROW });
                assert!(at + 1 < NEED_ROW);
            }
        }
    }
}

#[test]
fn an_export_has_a_time_and_the_names_of_the_set_in_its_first_line() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("features.csv");
    let input = in_project("config/demo/btcusd_1h.csv");
    let (set, window, made) = (btc9(), Window::Bars(168), MadeArgs::default());
    let report = export(&FeaturesArgs { set, window, made, input, output: output.clone(), tick: TICK }).unwrap();
    assert_eq!(report.to_string(), "10055 rows, 9984 of them complete; dropped bars: none");
    let text = fs::read_to_string(&output).unwrap();
    assert_eq!(text.lines().next().unwrap(), format!("timestamp,{}", COLUMNS.join(",")));
    assert_eq!(text.lines().count(), 10_056);
}

#[test]
fn a_flat_market_has_no_volatility_and_is_no_reason_to_refuse() {
    let bars: Vec<Bar> = (0..100)
        .map(|hour| Bar {
            time: UtcMs::from_secs(hour * HOUR_SECS),
            open: 4000.0,
            high: 4000.0,
            low: 4000.0,
            close: 4000.0,
            volume: None,
        })
        .collect();
    let frame = Btc9::new(168).build(&bars).unwrap();
    assert_eq!(frame.row, [0.0, 0.0, 4000.0, 4000.0, 0.0, 0.0, 0.0, 0.0, -1.0]);
}
