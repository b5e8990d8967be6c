//! What one frame costs: 23 features and the 60-row sequence of a 200-bar window.
//!
//! Prints the median and the 99th percentile and fails when the median is above the limit, so that it can guard a build.

use std::hint::black_box;
use std::path::Path;
use std::process::ExitCode;

use sentinel::features::fx23::Fx23;
use sentinel::sources::csv::read_bars;
use sentinel_actors::domain::bar::{Bar, Cleaning, clean};
use sentinel_actors::ports::{FeatureSet as _, elapsed_now};

const WINDOW: usize = 200;
const FRAMES: usize = 20_000;
const LIMIT_US: f64 = 25.0;

fn main() -> ExitCode {
    let file = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/config/demo/eurusd_1h_2017.csv"));
    let delivered = match read_bars(file) {
        Ok(bars) => bars,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let bars = clean(&delivered, &Cleaning { tick: 1e-5, times: None, window: None }).bars;
    let set = Fx23::new(WINDOW, true);
    measure(&set, &bars); // warms caches and clock
    let mut frame_us = measure(&set, &bars);
    frame_us.sort_by(f64::total_cmp);
    let (p50, p99) = (frame_us[FRAMES / 2], frame_us[FRAMES * 99 / 100]);
    println!("fx23 row and sequence of {WINDOW} bars: p50 {p50:.2} us, p99 {p99:.2} us (limit for p50: {LIMIT_US} us)");
    if p50 > LIMIT_US { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Microseconds per frame; each frame has another window than the one before.
fn measure(set: &Fx23, bars: &[Bar]) -> Vec<f64> {
    let frames = bars.windows(WINDOW).cycle().take(FRAMES);
    let timed = frames.map(|window| {
        let began = elapsed_now();
        black_box(set.build(black_box(window))).ok();
        began.elapsed().as_secs_f64() * 1e6
    });
    timed.collect()
}
