//! What is computed for many slots at once has the bits of what is computed for each alone.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use sentinel::features::SETS;
use sentinel::node::open_model;
use sentinel::sources::csv::read_bars;
use sentinel_actors::domain::bar::{Bar, Cleaning, RawBar, clean};
use sentinel_actors::domain::feature::{FeatureError, FeatureFrame};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{FeatureSet, NoFaults};

use crate::support::{demo_files, forecasts, orders};

type Frame = Result<FeatureFrame, FeatureError>;
/// Newest bar, row, sequence, and whether volume is absent.
type Bits = (UtcMs, Vec<u64>, Option<Vec<u64>>, bool);

/// With the bits of its numbers, so that zero and minus zero differ.
fn bits(frame: &Frame) -> Result<Bits, FeatureError> {
    let of = |row: &Vec<f64>| row.iter().map(|cell| cell.to_bits()).collect::<Vec<_>>();
    let frame = frame.clone()?;
    Ok((frame.newest, of(&frame.row), frame.sequence.as_ref().map(of), frame.volume_absent))
}

/// How many of the windows that end in `ends` had a frame.
fn require_equal(set: &Arc<dyn FeatureSet>, bars: &[Bar], ends: std::ops::Range<usize>) -> usize {
    let together = set.build_each(bars, ends.clone());
    assert_eq!(together.len(), ends.len());
    let mut made = 0;
    for (end, frame) in ends.zip(&together) {
        let window = &bars[(end + 1).saturating_sub(set.id().window)..=end];
        let alone = set.build(window);
        assert_eq!(bits(frame), bits(&alone), "the window that ends with bar {end}");
        assert_eq!(frame.as_ref().map(|frame| &frame.set).ok(), alone.as_ref().map(|frame| &frame.set).ok());
        made += usize::from(alone.is_ok());
    }
    made
}

fn cleaned(file: &str) -> Vec<Bar> {
    let delivered = read_bars(&demo_files().join(file)).unwrap();
    clean(&delivered, &Cleaning { tick: 1e-5, times: None, window: None }).bars.to_vec()
}

#[test]
fn frames_of_both_demo_files_are_the_same_together_and_alone() {
    for file in ["eurusd_1h_2017.csv", "btcusd_1h.csv"] {
        let bars = cleaned(file);
        for set in &SETS {
            for window in [120, 200] {
                // Blocks of every rest of the division by the number of lanes.
                for (first, count) in [(window - 1, 1_001), (2_000, 1_002), (3_000, 511), (3_600, 4), (3_604, 1)] {
                    let made = require_equal(&set.build(window, false), &bars, first..first + count);
                    assert_eq!(made, count, "{} of {file} over {window} bars from {first}", set.name);
                }
            }
        }
    }
}

#[test]
fn windows_at_the_beginning_and_sequences_are_the_same_together_and_alone() {
    let bars = cleaned("eurusd_1h_2017.csv");
    for set in &SETS {
        require_equal(&set.build(200, false), &bars, 0..300);
        require_equal(&set.build(200, true), &bars, 190..240);
        require_equal(&set.build(20, false), &bars, 100..120);
    }
}

/// Bars with gaps, absent volume, flat stretches and prices at the ends of what a float can be.
fn odd_bars() -> impl Strategy<Value = Vec<RawBar>> {
    let price = || prop_oneof![12 => 0.5..2.0_f64, 1 => Just(1.0), 1 => proptest::num::f64::POSITIVE];
    let volume =
        prop_oneof![6 => Just(Some(7.0)), 1 => Just(None), 1 => Just(Some(0.0)), 2 => (0.0..1e9_f64).prop_map(Some)];
    let row = (price(), price(), price(), volume, prop_oneof![9 => Just(1_i64), 1 => 2_i64..50]);
    (proptest::collection::vec(row, 100..330), 0_u8..3).prop_map(|(rows, volumes)| {
        let mut time = 1_483_308_000;
        let bar = |(a, b, c, volume, step): (f64, f64, f64, Option<f64>, i64)| {
            time += step * 3600;
            let (low, high) = (a.min(b).min(c), a.max(b).max(c));
            // Volume that never is, that always is, and that comes and goes.
            let volume = match volumes {
                0 => None,
                1 => Some(volume.unwrap_or(1.0)),
                _ => volume,
            };
            let time = UtcMs::from_secs(time);
            RawBar { time, open: Some(a), high: Some(high), low: Some(low), close: Some(b), volume }
        };
        rows.into_iter().map(bar).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn frames_of_any_bars_are_the_same_together_and_alone(
        bars in odd_bars(),
        window in prop_oneof![1 => 0_usize..100, 3 => 21_usize..110],
        from in 0_usize..330,
        count in 0_usize..60,
    ) {
        let bars = clean(&bars, &Cleaning { tick: 1e-5, times: None, window: None }).bars;
        let from = from.min(bars.len());
        let ends = from..(from + count).min(bars.len());
        for set in &SETS {
            require_equal(&set.build(window, false), &bars, ends.clone());
        }
    }
}

/// Each answer to a batch of the demo's models has the bits of the answer to its row alone: for this runtime and these models, batches
/// may be used. A model for which that is not so is asked row by row.
#[test]
fn answers_of_both_demo_models_are_the_same_together_and_alone() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for (config, file) in [(orders(), "eurusd_1h_2017.csv"), (forecasts(), "btcusd_1h.csv")] {
        let pipeline = &config.pipelines[0];
        let (model, _) = open_model(pipeline, Arc::new(NoFaults)).unwrap();
        let set = pipeline.features.build();
        let bars = cleaned(file);
        let frames: Vec<FeatureFrame> =
            set.build_each(&bars, 500..bars.len().min(4_500)).into_iter().filter_map(Result::ok).collect();
        assert!(frames.len() > 3_000);
        for frames in frames.chunks(1_000) {
            let together = model.predict_each(frames).expect("batches of the demo's models are proven");
            assert_eq!(together.len(), frames.len());
            for (frame, answer) in frames.iter().zip(together) {
                let alone = runtime.block_on(model.predict(frame, Duration::from_secs(1))).unwrap();
                let bits = |rows: &[Vec<f64>]| rows.concat().iter().map(|value| value.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&answer.rows), bits(&alone.rows), "{}", frame.newest);
            }
        }
    }
}
