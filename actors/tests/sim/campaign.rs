//! Many seeds on two threads, and what came of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::capture::Capture;
use crate::driver;
use crate::options::SimOptions;
use crate::world::{Shared, World};

pub struct Report {
    pub seed: u64,
    pub hash: u64,
    pub events: u64,
    pub counts: BTreeMap<&'static str, u64>,
    pub faults: BTreeMap<&'static str, u64>,
    pub slots: u64,
    pub failure: Option<String>,
    pub lines: Vec<String>,
}

/// Does `work` with everything that is printed going to the world.
pub fn with_capture<R>(world: &Shared, work: impl FnOnce() -> R) -> R {
    let guard = tracing::subscriber::set_default(Capture(world.clone()));
    let result = work();
    drop(guard);
    result
}

/// One simulation in this thread.
pub fn simulate(options: SimOptions, keep_all: bool) -> Report {
    let world = World::new(options);
    world.lock().log.keep_all = keep_all;
    with_capture(&world, || driver::run(&world));
    let mut inner = world.lock();
    let log = std::mem::take(&mut inner.log);
    let seed = world.options.seed;
    let failure = (!log.violations.is_empty()).then(|| {
        let ring: Vec<String> = log.ring.iter().cloned().collect();
        format!(
            "seed {seed}\n{:#?}\n{}\n\nseed {seed} violates:\n  {}\n\nSIM_SEED={seed} SIM_HOURS={} cargo test -p sentinel-actors --test sim a_campaign\n",
            world.options,
            ring.join("\n"),
            log.violations.join("\n  "),
            world.options.length.as_secs_f64() / 3600.0,
        )
    });
    let slots = log.counts.get("slots").copied().unwrap_or(0);
    Report {
        seed,
        hash: log.hash,
        events: log.events,
        counts: log.counts,
        faults: log.faults,
        slots,
        failure,
        lines: log.all,
    }
}

pub struct Campaign {
    pub counts: BTreeMap<&'static str, u64>,
    pub faults: BTreeMap<&'static str, u64>,
    pub failures: Vec<(u64, String)>,
}

/// Runs `seeds` and prints what came of them.
#[allow(clippy::disallowed_methods, reason = "how fast the simulator is, is measured in real time")]
pub fn run(seeds: std::ops::Range<u64>, length: Duration, pipelines: usize, stop_after: usize) -> Campaign {
    let began = Instant::now();
    let (next, total) = (Arc::new(AtomicU64::new(seeds.start)), seeds.end);
    let reports = Arc::new(Mutex::new(Vec::<Report>::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let (next, reports) = (next.clone(), reports.clone());
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= total
                        || reports.lock().unwrap().iter().filter(|r| r.failure.is_some()).count() >= stop_after
                    {
                        return;
                    }
                    let report = simulate(SimOptions::from_seed(seed, length, pipelines), false);
                    reports.lock().unwrap().push(report);
                }
            });
        }
    });
    let reports = std::mem::take(&mut *reports.lock().unwrap());
    let (mut counts, mut faults) = (BTreeMap::new(), BTreeMap::new());
    for report in &reports {
        add(&mut counts, &report.counts);
        add(&mut faults, &report.faults);
    }
    let wall = began.elapsed();
    let events: u64 = reports.iter().map(|report| report.events).sum();
    let slots: u64 = reports.iter().map(|report| report.slots).sum();
    println!(
        "{} seeds, {:.1} pipeline-days of slots, {events} traced events in {:.1} s: {:.2} pipeline-days/s",
        reports.len(),
        slots as f64 / 1440.0,
        wall.as_secs_f64(),
        slots as f64 / 1440.0 / wall.as_secs_f64(),
    );
    let mut failures: Vec<(u64, String)> =
        reports.into_iter().filter_map(|report| Some((report.seed, report.failure?))).collect();
    failures.sort();
    Campaign { counts, faults, failures }
}

fn add(sums: &mut BTreeMap<&'static str, u64>, counts: &BTreeMap<&'static str, u64>) {
    for (what, count) in counts {
        *sums.entry(what).or_default() += count;
    }
}

impl Campaign {
    pub fn print(&self) {
        for (title, counts) in [("faults", &self.faults), ("states", &self.counts)] {
            println!("{title}:");
            let cells: Vec<String> = counts.iter().map(|(what, count)| format!("{count:>8} {what:<24}")).collect();
            for line in cells.chunks(4) {
                println!("  {}", line.concat());
            }
        }
    }

    /// What a campaign must have seen: each fault often, each rare state at least once.
    pub fn unseen(&self) -> Vec<String> {
        let faults = FAULTS.iter().filter(|(fault, least)| self.faults.get(fault).is_none_or(|n| n < least));
        let faults = faults.map(|(fault, least)| format!("the fault {fault} happened less than {least} times"));
        let states = STATES.iter().filter(|state| !self.counts.contains_key(*state));
        faults.chain(states.map(|state| format!("the state {state} never happened"))).collect()
    }
}

const OFTEN: u64 = 100;

/// Every kind of fault, and how often a campaign of 1,200 pipeline-days must have seen it. Node-wide ones end the process,
/// so each of them is rarer.
const FAULTS: &[(&str, u64)] = &[
    ("source_timeout", OFTEN),
    ("source_error", OFTEN),
    ("source_refuses", OFTEN),
    ("source_busy", OFTEN),
    ("source_hang", OFTEN),
    ("source_slow", OFTEN),
    ("source_panic", OFTEN),
    ("bars_null", OFTEN),
    ("bars_huge", OFTEN),
    ("bars_nan", OFTEN),
    ("bars_stale", OFTEN),
    ("bars_shuffled", OFTEN),
    ("bars_duplicate", OFTEN),
    ("bars_gap", OFTEN),
    ("bars_short", OFTEN),
    ("bars_future", OFTEN),
    ("bars_none", OFTEN),
    ("outage", OFTEN),
    ("poison", OFTEN),
    ("feed_error", OFTEN),
    ("feed_hang", OFTEN),
    ("feed_slow", OFTEN),
    ("feed_panic", OFTEN),
    ("feed_repeats", OFTEN),
    ("feed_delays", OFTEN),
    ("feature_undefined", OFTEN),
    ("model_nan", OFTEN),
    ("model_rows", OFTEN),
    ("model_classes", OFTEN),
    ("model_sum", OFTEN),
    ("model_range", OFTEN),
    ("value_huge", OFTEN),
    ("value_zero", OFTEN),
    ("model_invalid", OFTEN),
    ("model_unavailable", OFTEN),
    ("model_unparseable", OFTEN),
    ("model_timeout", OFTEN),
    ("model_hang", OFTEN),
    ("model_slow", OFTEN),
    ("model_panic", OFTEN),
    ("validate_hang", OFTEN),
    ("compare_fails", OFTEN),
    ("compare_slow", OFTEN),
    ("compare_hang", OFTEN),
    ("positions_error", OFTEN),
    ("positions_slow", OFTEN),
    ("positions_hang", OFTEN),
    ("venue_refuses", OFTEN),
    ("reply_lost", OFTEN),
    ("request_lost", OFTEN),
    ("reply_late", OFTEN),
    ("never_left", OFTEN),
    ("ack_slow", OFTEN),
    ("filled_in_part", OFTEN),
    ("filled_late", OFTEN),
    ("reply_of_another", OFTEN),
    ("ticket_reused", OFTEN),
    ("receipt_of_another_kind", OFTEN),
    ("submit_hang_filled", OFTEN),
    ("submit_hang_empty", OFTEN),
    ("submit_panic_filled", OFTEN),
    ("submit_panic_empty", OFTEN),
    ("settle_not_now", OFTEN),
    ("settle_undecidable", OFTEN),
    ("settle_hang", OFTEN),
    ("settle_slow", OFTEN),
    ("settle_times_out", OFTEN),
    ("settle_of_another", OFTEN),
    ("settle_of_another_kind", OFTEN),
    ("stage_panic", OFTEN),
    ("stage_hang", OFTEN),
    ("stage_slow", OFTEN),
    ("pipeline_panic", OFTEN),
    ("pipeline_hang", OFTEN),
    ("pipeline_slow", OFTEN),
    ("event_panic", OFTEN),
    ("event_hang", OFTEN),
    ("event_slow", OFTEN),
    ("pre_start_panic", OFTEN),
    ("pre_start_hang", OFTEN),
    ("pre_start_slow", OFTEN),
    ("post_start_panic", OFTEN),
    ("post_start_hang", OFTEN),
    ("post_start_slow", OFTEN),
    ("post_stop_panic", OFTEN),
    ("post_stop_hang", OFTEN),
    ("post_stop_slow", OFTEN),
    ("child_killed", OFTEN),
    ("storm", OFTEN),
    ("service_panic", OFTEN),
    ("service_hang", OFTEN),
    ("service_slow", OFTEN),
    ("service_killed", OFTEN),
    ("journal_actor_panic", OFTEN),
    ("journal_actor_hang", OFTEN),
    ("journal_actor_slow", OFTEN),
    ("journal_killed", OFTEN),
    ("journal_slow", OFTEN),
    ("journal_busy", OFTEN),
    ("journal_stalls", OFTEN),
    ("nth_commit_fails", OFTEN),
    ("journal_error", OFTEN),
    ("journal_panic", OFTEN),
    ("journal_hang", OFTEN),
    ("crash_before_commit", OFTEN),
    ("crash_after_commit", OFTEN),
    ("crash_at_place", OFTEN),
    ("crash_in_submit_filled", OFTEN),
    ("crash_in_submit_empty", OFTEN),
    ("crash_in_recovery", OFTEN),
    ("power_cut", OFTEN),
    ("safe_mode_boot", OFTEN),
    ("pipelines_killed", OFTEN),
    ("root_killed", OFTEN),
    ("sigterm", OFTEN),
    ("sigkill", OFTEN),
    ("slow_machine", OFTEN),
    ("clock_back", OFTEN),
    ("clock_forward", OFTEN),
    ("suspend", OFTEN),
    ("jump_in_cycle", OFTEN),
    ("suspend_in_cycle", OFTEN),
    ("set_back_in_cycle", OFTEN),
    ("stop_in_cycle", OFTEN),
];

/// States that are rare and must not be dead.
const STATES: &[&str] = &[
    "rerun",
    "rerun_acted",
    "intent_met_again",
    "intent_stands",
    "intent_open",
    "poison_input",
    "quarantined",
    "stage_crashed",
    "overload",
    "overrun",
    "late",
    "node_down",
    "pipeline_down",
    "parked",
    "unparked",
    "held",
    "unknown",
    "settled_by_hand",
    "order_never_left",
    "order_rejected",
    "order_unknown",
    "forecast_acked",
    "forecast_never_left",
    "forecast_rejected",
    "forecast_unknown",
    "forecast_out_of_bounds",
    "forecast_zero",
    "answer_values",
    "journal_unavailable",
    "journal_failed",
    "deadline_exceeded",
    "competition_over",
    "announced",
    "announced_again",
    "withdrawn",
    "feed_silent",
    "safe_mode",
    "halt_raised",
    "halt_lifted",
    "reducing",
    "venue_unavailable",
    "venue_frozen",
    "ticket_taken",
    "stopped_to_settle",
    "clock_set_back",
    "clock_jumped",
    "schedule_waits",
    "source_unauthorised",
    "source_rate_limited",
    "gap",
    "insufficient_history",
    "undefined_feature",
    "opposite_ignored",
    "risk_max_positions",
    "risk_orders_per_hour",
    "risk_orders_per_day",
    "meltdown",
    "root_died",
    "watchdog",
    "finished",
];
