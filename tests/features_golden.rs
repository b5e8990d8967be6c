//! The features against numbers that another implementation computed, and the promise that live, replay and export agree.

#![expect(clippy::unwrap_used, reason = "clippy exempts test functions, but not the helpers beside them")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use sentinel::cli::features::{FeaturesArgs, MadeArgs, Window, export, rows};
use sentinel::features::SetInfo;
use sentinel::features::fx23::{Fx23, NAMES, WIDTH};
use sentinel::sources::csv::read_bars;
use sentinel_actors::domain::bar::{Bar, CleanBars, Cleaning, RawBar, clean};
use sentinel_actors::domain::feature::FeatureError;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::FeatureSet as _;

const TICK: f64 = 1e-5;
const TOLERANCE: f64 = 1e-12;

/// Open time in unix seconds, open, high, low, close, volume.
type Delivered = (i64, Option<f64>, Option<f64>, Option<f64>, Option<f64>, Option<f64>);

#[derive(serde::Deserialize)]
struct Case {
    name: String,
    bars: Vec<Delivered>,
    expected: Expected,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    dropped: BTreeMap<String, u32>,
    refuse: Option<String>,
    row: Option<Vec<f64>>,
    sequence: Option<Vec<Vec<f64>>>,
    sequence_refuse: Option<String>,
    volume: Option<String>,
}

fn in_project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn cases(prefix: &str) -> Vec<Case> {
    let mut files: Vec<PathBuf> = fs::read_dir(in_project("tests/data/features"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(prefix))
        .collect();
    files.sort();
    files.iter().map(|file| serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()).collect()
}

fn year() -> Vec<Bar> {
    let delivered = read_bars(&in_project("config/demo/eurusd_1h_2017.csv")).unwrap();
    clean(&delivered, &Cleaning { tick: TICK, times: None, window: None }).bars
}

fn fx23() -> &'static SetInfo {
    SetInfo::find("fx23").unwrap()
}

fn check_cells(what: &str, computed: &[f64], golden: &[f64]) {
    assert_eq!(computed.len(), golden.len(), "{what}");
    for (at, (a, b)) in computed.iter().zip(golden).enumerate() {
        let near = (a - b).abs() <= TOLERANCE * b.abs().max(1.0);
        assert!(near, "{what}: {} of row {} is {a}, expected {b}", NAMES[at % WIDTH], at / WIDTH);
    }
}

fn check_case(case: &Case) {
    let name = &case.name;
    let delivered: Vec<RawBar> = case
        .bars
        .iter()
        .map(|&(time, open, high, low, close, volume)| RawBar {
            time: UtcMs::from_secs(time),
            open,
            high,
            low,
            close,
            volume,
        })
        .collect();
    let cleaned = clean(&delivered, &Cleaning { tick: TICK, times: None, window: Some(200) });
    let dropped: BTreeMap<String, u32> =
        cleaned.dropped.iter().map(|(reason, count)| (reason.code().to_owned(), *count)).collect();
    assert_eq!(dropped, case.expected.dropped, "{name}");
    let newest_is_usable = cleaned.newest().map(|bar| bar.time) == cleaned.newest_delivered;
    assert_eq!(!newest_is_usable, case.expected.refuse.as_deref() == Some("stale"), "{name}");
    if case.expected.refuse.is_none() {
        check_frames(case, &cleaned);
    }
}

fn check_frames(case: &Case, cleaned: &CleanBars) {
    let (name, expected) = (&case.name, &case.expected);
    let alone = Fx23::new(200, false).build(&cleaned.bars).unwrap();
    check_cells(name, &alone.row, expected.row.as_ref().unwrap());
    assert_eq!(alone.volume_absent, expected.volume.as_deref() == Some("absent"), "{name}");
    assert_eq!((alone.sequence, alone.newest), (None, cleaned.newest().unwrap().time), "{name}");
    match (Fx23::new(200, true).build(&cleaned.bars), &expected.sequence_refuse) {
        (Ok(frame), None) => {
            check_cells(name, &frame.sequence.unwrap(), &expected.sequence.as_ref().unwrap().concat());
            assert_eq!(frame.row, alone.row, "{name}");
        }
        (Err(error), Some(refusal)) => assert_eq!(error.to_string(), *refusal, "{name}"),
        (result, refusal) => panic!("{name}: {result:?}, expected {refusal:?}"),
    }
}

#[test]
fn frames_of_ordinary_windows_are_the_golden_ones() {
    let cases = cases("win_");
    assert_eq!(cases.len(), 7);
    cases.iter().for_each(check_case);
}

#[test]
fn frames_of_bars_as_vendors_deliver_them_follow_the_edge_rules() {
    let cases = cases("nasty_");
    assert_eq!(cases.len(), 20);
    cases.iter().for_each(check_case);
}

#[test]
fn a_whole_year_in_one_pass_is_the_golden_one_down_to_its_empty_cells() {
    let bars = year();
    let computed: BTreeMap<String, Vec<f64>> =
        bars.iter().map(|bar| bar.time.to_string()).zip(rows(fx23(), &bars, Window::All)).collect();
    let golden = fs::read_to_string(in_project("tests/data/features/whole_eurusd_1h_2017.csv")).unwrap();
    let mut checked = 0;
    for line in golden.lines().skip(1) {
        let (time, cells) = line.split_once(',').unwrap();
        let row = &computed[time];
        for ((name, computed), text) in NAMES.iter().zip(row).zip(cells.split(',')) {
            assert_eq!(text.is_empty(), computed.is_nan(), "{time} {name}");
            if !text.is_empty() {
                check_cells(&format!("{time} {name}"), &[*computed], &[text.parse().unwrap()]);
            }
        }
        checked += 1;
    }
    assert_eq!((checked, computed.len()), (731, 6225));
}

#[test]
fn an_exported_row_has_the_bits_of_the_live_frame_for_the_same_bar() {
    let bars = year();
    let (row, sequence) = (Fx23::new(200, false), Fx23::new(200, true));
    for (at, exported) in rows(fx23(), &bars, Window::Bars(200)).iter().enumerate() {
        let live = bars[(at + 1).saturating_sub(200)..=at].to_vec();
        let exported_bits: Vec<u64> = exported.iter().map(|cell| cell.to_bits()).collect();
        for (set, need) in [(&row, 21), (&sequence, 80)] {
            match set.build(&live) {
                Ok(frame) => {
                    assert_eq!(frame.row.iter().map(|cell| cell.to_bits()).collect::<Vec<_>>(), exported_bits)
                }
                Err(error) => {
                    assert_eq!(error, FeatureError::InsufficientHistory { have: at + 1, need });
                    assert!(at + 1 < need);
                }
            }
        }
    }
}

#[test]
fn an_exported_file_reads_back_with_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("features.csv");
    let input = in_project("config/demo/eurusd_1h_2017.csv");
    let (set, window, made) = (fx23(), Window::Bars(200), MadeArgs::default());
    let report = export(&FeaturesArgs { set, window, made, input, output: output.clone(), tick: TICK }).unwrap();
    assert_eq!(report.to_string(), "6225 rows, 6205 of them complete; dropped bars: none");
    let text = fs::read_to_string(&output).unwrap();
    let (bars, computed) = (year(), rows(fx23(), &year(), Window::Bars(200)));
    for ((line, bar), row) in text.lines().skip(1).zip(&bars).zip(&computed) {
        let (time, cells) = line.split_once(',').unwrap();
        assert_eq!(time, bar.time.to_string());
        for (text, cell) in cells.split(',').zip(row) {
            let read = if text.is_empty() { f64::NAN } else { text.parse().unwrap() };
            assert!(read.to_bits() == cell.to_bits() || (read.is_nan() && cell.is_nan()), "{time}: {text}");
        }
    }
    assert_eq!(text.lines().count(), 6226);
}

prop_compose! {
    /// Anything that `clean` lets through: any positive finite prices with high >= low and the close within a tick.
    fn any_bar()(
        a in price(), b in price(), open in price(), place in 0.0..=1.0_f64,
        volume in prop_oneof![Just(None), Just(Some(0.0)), (0.0..1e300_f64).prop_map(Some)],
    ) -> RawBar {
        let (low, high) = (a.min(b), a.max(b));
        let close = (low + (high - low) * place).clamp(low, high);
        RawBar { time: UtcMs(0), open: Some(open), high: Some(high), low: Some(low), close: Some(close), volume }
    }
}

fn price() -> impl Strategy<Value = f64> {
    prop_oneof![8 => 0.5..2.0_f64, 1 => Just(1.0), 1 => proptest::num::f64::POSITIVE | proptest::num::f64::SUBNORMAL]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_clean_bars_give_a_finite_frame_or_a_refusal_that_names_a_cell(
        mut bars in prop_oneof![
            proptest::collection::vec(any_bar(), 0..260),
            // Mostly one bar over and over: flat markets, absent volume.
            (any_bar(), 0..260_usize).prop_map(|(bar, count)| vec![bar; count]),
        ],
        start in -4_000_000_000_i64..8_000_000_000,
        window in 0..250_usize,
        with_sequence: bool,
    ) {
        for (at, bar) in bars.iter_mut().enumerate() {
            bar.time = UtcMs::from_secs(start + 3600 * i64::try_from(at).unwrap());
        }
        let bars = clean(&bars, &Cleaning { tick: TICK, times: None, window: None }).bars;
        let set = Fx23::new(window, with_sequence);
        match set.build(&bars) {
            Ok(frame) => {
                let cells = frame.row.iter().chain(frame.sequence.iter().flatten());
                prop_assert!(cells.clone().all(|cell| cell.is_finite()));
                prop_assert_eq!(cells.count(), WIDTH * if with_sequence { 61 } else { 1 });
                prop_assert!((0.0..24.0).contains(&frame.row[18]) && (0.0..7.0).contains(&frame.row[19]));
                prop_assert!((0.0..=100.0).contains(&frame.row[9]));
            }
            Err(FeatureError::InsufficientHistory { have, need }) => {
                prop_assert!(have < need && have == bars.len().min(window));
            }
            Err(FeatureError::Undefined { feature, rows_back }) => {
                prop_assert!(NAMES.contains(&feature) && rows_back < 60);
            }
        }
    }
}
