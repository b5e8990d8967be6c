//! Bars as vendors deliver them on a bad day: the walk and the tree make the same of them.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use sentinel::backtest::engine::{Course, Digests, Market, Step, Visitor, walk};

use crate::support::{
    demo_files, first_bars, forecasts, on_bars, order_job, orders, plan, require_agreement, verdict_of,
};

const BARS: usize = 420;
/// So many seeds are run where nobody asks for more.
const SEEDS: u64 = 12;

fn seeds() -> u64 {
    std::env::var("SENTINEL_VERIFY_SEEDS").ok().map_or(SEEDS, |seeds| seeds.parse().unwrap())
}

/// The first bars of a file with holes, repetitions, zeros, nulls, swapped lines and wrong times.
fn damaged(source: &Path, seed: u64) -> String {
    let text = std::fs::read_to_string(source).unwrap();
    let mut lines = text.lines();
    let header = lines.next().unwrap();
    let mut bars: Vec<Vec<String>> =
        lines.take(BARS).map(|line| line.split(',').map(str::to_owned).collect()).collect();
    let mut rng = fastrand::Rng::with_seed(seed);
    // The first window is left alone: without it there is nothing to decide.
    for at in 205..bars.len() {
        match rng.u32(0..60) {
            0 => bars[at] = bars[at - 1].clone(),
            1 => bars[at][rng.usize(1..5)] = "0".to_owned(),
            2 => bars[at][rng.usize(1..6)] = String::new(),
            3 => bars.swap(at, at - rng.usize(1..6)),
            4 => bars[at][0] = bars[at][0].replace(":00:00Z", ":30:00Z"),
            8 => bars[at][0] = bars[at - 150][0].clone(),
            5 => bars[at][0] = bars[at - 3][0].clone(),
            6 => bars[at][2] = bars[at][3].clone(),
            7 => bars[at][4] = "-1.5".to_owned(),
            _ => {}
        }
    }
    let hole = rng.usize(210..bars.len() - 40);
    bars.drain(hole..hole + rng.usize(1..30));
    let mut damaged = format!("{header}\n");
    for bar in bars {
        writeln!(damaged, "{}", bar.join(",")).unwrap();
    }
    damaged
}

/// Slots that closed something without a decision.
#[derive(Default)]
struct Exits(u64);

impl Visitor for Exits {
    fn begin(&mut self, _: Course) {}

    fn step(&mut self, step: Step, _: &Market<'_>) {
        self.0 += u64::from(step.record.signal.is_none() && step.intents.iter().any(|intent| intent.order().is_some()));
    }
}

#[test]
fn damaged_bars_give_the_same_rows_in_a_backtest_and_in_the_tree() {
    let (mut slots, mut undecided, mut exits) = (0, 0, 0);
    for seed in 0..seeds() {
        let (config, file) =
            if seed % 2 == 0 { (orders(), "eurusd_1h_2017.csv") } else { (forecasts(), "btcusd_1h.csv") };
        let dir = tempfile::tempdir().unwrap();
        let bars = dir.path().join("damaged.csv");
        std::fs::write(&bars, damaged(&demo_files().join(file), seed)).unwrap();
        let mut config = first_bars(on_bars(config, &bars), BARS);
        config.pipelines[0].data.max_missing_bars = u32::try_from(seed % 5 * 5).unwrap();
        if seed % 4 == 0 {
            // Positions that are soon too old, so that slots without a decision close them.
            let policy = &mut order_job(&mut config).policy;
            (policy.threshold, policy.max_holding) = (0.4, Some(Duration::from_secs(2 * 3600)));
        }
        let verdict = verdict_of(&config, &config);
        assert!(verdict.agrees(), "seed {seed}: {:?}", verdict.first);
        require_agreement(&verdict);
        slots += verdict.slots;
        undecided += verdict.slots - verdict.intents.min(verdict.slots);
        let mut count = Exits::default();
        walk(&plan(&config, dir.path()), (None, Digests::LeftOut), &mut count).unwrap();
        exits += count.0;
    }
    assert!(exits > 0, "no slot without a decision closed anything");
    assert!(slots > 100 * seeds() && undecided > 0, "{slots} slots, {undecided} without an intent");
}
