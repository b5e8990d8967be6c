//! What one simulation is made of, derived from its seed alone and printed when it fails.

use std::time::Duration;

use sentinel_actors::admission::CYCLES_AT_WORK;
use sentinel_actors::domain::bar::Interval;
use sentinel_actors::domain::decision::{DecideOn, OnOpposite};
use sentinel_actors::domain::intent::Mode;
use sentinel_actors::domain::schedule::{Schedule, Window};
use sentinel_actors::domain::time::UtcMs;

use crate::forecasts::forecasts;

/// A Monday.
const EPOCH: UtcMs = UtcMs::from_secs(1_772_409_600);
/// Faults stop this long before the end. A parked pipeline is probed after 15 minutes.
pub const QUIET: Duration = Duration::from_secs(24 * 60);

const MAX_HOLDING: Duration = Duration::from_secs(1800);

#[derive(Debug, Clone)]
pub struct PipelineOptions {
    pub name: String,
    pub symbol: String,
    /// It forecasts instead of trading.
    pub forecasts: bool,
    pub interval: Duration,
    pub decide_on: DecideOn,
    pub on_opposite: OnOpposite,
    pub mode: Mode,
    pub window: Window,
    pub fetch: Duration,
    pub cycle: Duration,
    pub max_positions: u32,
    pub orders_per_hour: u32,
    pub max_holding: Option<Duration>,
    /// Its slots are announced: in every other simulation those of a pipeline that forecasts.
    pub is_announced: bool,
    /// No fault of its own; then it must not miss anything.
    pub sheltered: bool,
}

impl PipelineOptions {
    /// The grid of its slots.
    pub fn schedule(&self) -> Schedule {
        Schedule::parse("every 1m at :58", Interval::new(self.interval).unwrap()).unwrap()
    }
}

#[derive(Debug, Clone)]
pub struct SimOptions {
    pub seed: u64,
    pub start: UtcMs,
    pub length: Duration,
    /// Scales the probability of every fault.
    pub intensity: f64,
    /// Journal, clock, crashes, reboots.
    pub node_faults: bool,
    /// The wall clock jumps by this many seconds at this elapsed time, whatever else happens.
    pub jump: Option<(Duration, i64)>,
    /// Mean time between two deeds of the driver.
    pub fault_every: Duration,
    /// Cycles that may be at work at the same time.
    pub cycles_at_work: usize,
    pub pipelines: Vec<PipelineOptions>,
}

impl SimOptions {
    pub fn from_seed(seed: u64, length: Duration, count: usize) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x5eed_0001);
        let start = EPOCH.plus(Duration::from_secs(rng.u64(0..86_400)));
        let node_faults = rng.f64() < 0.8;
        let intensity = [0.3, 1.0, 1.0, 3.0][rng.usize(0..4)];
        let fault_every = Duration::from_secs([300, 900, 1800][rng.usize(0..3)]);
        let all_end = rng.f64() < 0.1;
        // A sheltered pipeline must not have to wait for others that hang.
        let cycles_at_work = if node_faults && rng.bool() { 1 + rng.usize(0..count) } else { CYCLES_AT_WORK };
        let sheltered = if node_faults { None } else { Some(rng.usize(0..count)) };
        let pipelines = (0..count)
            .map(|index| {
                let is_sheltered = sheltered == Some(index);
                let hourly = rng.bool();
                // Patient ones can overrun the next slot, tight ones can run out of time.
                let (fetch, cycle) = [(10, 20), (30, 55), (10, 11)][rng.usize(0..3)];
                let window = window(&mut rng, start, length, !is_sheltered && (index > 0 || all_end), all_end);
                PipelineOptions {
                    name: format!("p{index}"),
                    symbol: format!("SYM{index}"),
                    forecasts: forecasts(index),
                    interval: Duration::from_secs(if hourly { 3600 } else { 60 }),
                    decide_on: if rng.bool() { DecideOn::Bar } else { DecideOn::Slot },
                    on_opposite: [OnOpposite::Ignore, OnOpposite::Close, OnOpposite::Reverse][rng.usize(0..3)],
                    mode: if rng.f64() < 0.25 { Mode::DryRun } else { Mode::Live },
                    window,
                    fetch: Duration::from_secs(fetch),
                    cycle: Duration::from_secs(cycle),
                    max_positions: if is_sheltered { 10_000 } else { [1, 3, 20][rng.usize(0..3)] },
                    max_holding: Some(MAX_HOLDING),
                    orders_per_hour: if is_sheltered { 10_000 } else { [5, 60, 60][rng.usize(0..3)] },
                    is_announced: forecasts(index) && !is_sheltered && seed % 2 == 1,
                    sheltered: is_sheltered,
                }
            })
            .collect();
        Self { seed, start, length, intensity, node_faults, jump: None, fault_every, cycles_at_work, pipelines }
    }

    /// Many pipelines and no faults: whatever fails was made to.
    pub fn calm(seed: u64, length: Duration, count: usize) -> Self {
        let pipelines = (0..count).map(|index| PipelineOptions {
            name: format!("p{index}"),
            symbol: format!("SYM{index}"),
            forecasts: forecasts(index),
            interval: Duration::from_secs(60),
            decide_on: DecideOn::Bar,
            on_opposite: OnOpposite::Ignore,
            mode: Mode::Live,
            window: Window::default(),
            fetch: Duration::from_secs(10),
            cycle: Duration::from_secs(20),
            max_positions: 10_000,
            orders_per_hour: 10_000,
            max_holding: Some(MAX_HOLDING),
            is_announced: false,
            sheltered: true,
        });
        let fault_every = length * 1000;
        let pipelines = pipelines.collect();
        Self {
            seed,
            start: EPOCH,
            length,
            intensity: 0.0,
            node_faults: false,
            jump: None,
            fault_every,
            cycles_at_work: CYCLES_AT_WORK,
            pipelines,
        }
    }
}

fn window(rng: &mut fastrand::Rng, start: UtcMs, length: Duration, may: bool, all_end: bool) -> Window {
    let part = |rng: &mut fastrand::Rng, from: f64, to: f64| start.plus(length.mul_f64(from + rng.f64() * (to - from)));
    let (begins, ends, within_a_cycle) = (rng.f64() < 0.2, rng.f64() < 0.25, rng.bool());
    if !may {
        return Window::default();
    }
    let start = begins.then(|| part(rng, 0.05, 0.3));
    let mut end = (ends || all_end).then(|| part(rng, 0.6, 0.95));
    if within_a_cycle {
        end = end.map(|end| UtcMs(end.0.div_euclid(60_000) * 60_000 + 58_000 + rng.i64(1..250)));
    }
    Window { start, end }
}
