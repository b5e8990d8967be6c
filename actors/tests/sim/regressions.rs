//! What the simulator has found, one test for each, with the faults in the order in which they hurt.

use std::time::Duration;

use sentinel_actors::domain::cycle::SlotRecord;
use sentinel_actors::domain::decision::DecideOn;
use sentinel_actors::domain::intent::{IntentEvent, IntentState};
use sentinel_actors::domain::reason::{Outcome, Reason};
use sentinel_actors::domain::schedule::Window;
use sentinel_actors::domain::time::UtcMs;

use crate::campaign::with_capture;
use crate::driver;
use crate::options::{QUIET, SimOptions};
use crate::world::{Shared, World};

const MINUTE: Duration = Duration::from_secs(60);

fn options(minutes: u32) -> SimOptions {
    SimOptions::calm(1, MINUTE * minutes, 1)
}

fn patient(minutes: u32) -> SimOptions {
    let mut options = options(minutes);
    (options.pipelines[0].fetch, options.pipelines[0].cycle) = (Duration::from_secs(30), Duration::from_secs(55));
    options.pipelines[0].sheltered = false;
    options
}

fn hourly(minutes: u32) -> SimOptions {
    let mut options = options(minutes);
    options.pipelines[0].interval = MINUTE * 60;
    options.pipelines[0].sheltered = false;
    options
}

/// Runs with these faults, `(stream, caller, kinds)`, and demands that nothing is violated.
fn run(options: SimOptions, faults: &[(&'static str, &str, &[&'static str])]) -> Shared {
    let world = World::new(options);
    for (stream, who, kinds) in faults {
        world.demand(stream, who, kinds);
    }
    with_capture(&world, || driver::run(&world));
    let inner = world.lock();
    let tracker: Vec<String> = inner.log.ring.iter().cloned().collect();
    assert!(inner.log.violations.is_empty(), "{}\n{:#?}", tracker.join("\n"), inner.log.violations);
    assert!(inner.demanded.values().all(|queue| queue.is_empty()), "not every fault happened: {:?}", inner.demanded);
    drop(inner);
    world
}

fn reasons(world: &Shared) -> Vec<Reason> {
    world.lock().disk.rows.values().map(|row| row.reason).collect()
}

#[test]
fn a_hanging_stage_is_noticed_by_its_own_deadline() {
    // A hang is judged by the guard around the call: 6 s for the executor, where 36 s are the fetcher's.
    let faults: &[(&str, &str, &[&str])] = &[("positions", "p0/executor", &["pass", "positions_hang"])];
    run(patient(30), faults);
}

#[test]
fn slots_skipped_by_a_clock_jump_over_the_end_get_their_rows() {
    let mut options = options(40);
    options.pipelines[0].sheltered = false;
    let end = options.start.plus(MINUTE * 20);
    options.pipelines[0].window = Window { start: None, end: Some(end) };
    options.jump = Some((MINUTE * 5, 1800));
    let world = run(options, &[]);
    assert_eq!(reasons(&world).iter().filter(|reason| **reason == Reason::Late).count(), 15);
}

/// The timer that waited for the next slot was forgotten and slept on, after the pipeline and after the node.
#[test]
fn a_clock_jump_over_the_end_leaves_no_timer_behind() {
    let mut options = SimOptions::calm(1, MINUTE * 40, 2);
    let end = options.start.plus(MINUTE * 20);
    options.pipelines.iter_mut().for_each(|pipeline| {
        pipeline.sheltered = false;
        pipeline.window = Window { start: None, end: Some(end) };
    });
    // Between two slots, with the one timer about to look at the clock and with the other just begun.
    for seconds in [300, 303, 309, 330, 357] {
        options.jump = Some((Duration::from_secs(seconds), 1800));
        let world = run(options.clone(), &[]);
        assert_eq!(world.lock().log.counts.get("finished"), Some(&1));
    }
}

#[test]
fn an_overrun_slot_has_its_row_after_the_cycle_that_overran_it() {
    let world = run(patient(30), &[("fetch", "p0/data_fetcher", &["pass", "source_hang", "source_hang"])]);
    assert!(reasons(&world).contains(&Reason::Overrun));
}

#[test]
fn an_order_in_the_very_first_slot_has_a_row_after_a_crash() {
    let mut options = options(30);
    options.pipelines[0].sheltered = false;
    // With some of the seeds the first decision is an order, and the crash comes before any row.
    for seed in 1..20 {
        options.seed = seed;
        let world = run_until_first_order(options.clone());
        let inner = world.lock();
        let first_intent = inner.disk.intents.values().map(|stored| stored.intent.slot).min().unwrap();
        assert!(inner.disk.rows.contains_key(&("p0".to_owned(), first_intent)));
    }
}

fn run_until_first_order(options: SimOptions) -> Shared {
    run(options, &[("submit", "p0/executor", &["crash_in_submit_filled"])])
}

#[test]
fn an_unknown_order_is_settled_although_no_cycle_reaches_the_executor() {
    let mut options = hourly(40);
    // Otherwise each cycle comes past the executor, which looks after positions.
    options.pipelines[0].max_holding = None;
    let world = run(options, &[("submit", "p0/executor", &["reply_late"])]);
    let inner = world.lock();
    let states: Vec<IntentState> = inner.disk.intents.values().map(|stored| stored.intent.state).collect();
    assert_eq!(states, [IntentState::Acked]);
}

/// Asking took as long as it might, once after the start of the executor and once more in the cycle that waited for that:
/// together longer than the stage may take, so that it looked hung, was replaced, and asked again.
#[test]
fn a_venue_that_cannot_be_asked_for_a_while_costs_no_stage() {
    let faults: &[(&str, &str, &[&str])] = &[
        ("submit", "p0/executor", &["reply_lost"]),
        ("fate", "p0/executor@ExecutorHandle", &["pass", "stage_panic"]),
        ("settle", "p0/executor", &["settle_times_out"; 12]),
    ];
    let reasons = reasons(&run(options(40), faults));
    let lost = [Reason::PoisonInput, Reason::StageCrashed, Reason::PipelineDown];
    assert!(!reasons.iter().any(|reason| lost.contains(reason)), "{reasons:?}");
}

#[test]
fn a_planned_intent_is_sent_by_no_other_slot_than_its_own() {
    let faults: &[(&str, &str, &[&str])] = &[
        ("fate", "p0/executor@AfterPlan", &["stage_hang"]),
        ("fate", "p0/executor@BeforePlan", &["pass", "stage_panic"]),
    ];
    let world = run(hourly(40), faults);
    assert!(reasons(&world).contains(&Reason::IntentStands));
}

#[test]
fn a_journal_whose_store_panics_is_replaced() {
    let world = run(
        SimOptions { pipelines: patient(30).pipelines, ..options(30) },
        &[("commit", "node", &["pass", "pass", "pass", "journal_panic"])],
    );
    assert!(reasons(&world).len() >= 29);
}

/// A process that is killed in its recovery leaves nothing behind that a second recovery would not find.
#[test]
fn recovering_twice_is_recovering_once() {
    let once = recovered(&[]);
    for kills in 1..4 {
        let twice = recovered(&vec![Duration::from_millis(7 * kills); usize::try_from(kills).unwrap()]);
        assert_eq!(once, twice, "with {kills} kills in the recovery");
    }
}

/// Is killed with an order at the venue and no reply, recovers with these kills on the way, and returns rows and intents.
fn recovered(kills: &[Duration]) -> Vec<String> {
    // Every slot decides: which bar was decided last is known to the second recovery only, from the first one's rows.
    let mut options = options(50);
    options.pipelines[0].decide_on = DecideOn::Slot;
    options.pipelines[0].sheltered = false;
    let world = World::new(options);
    world.demand("submit", "p0/executor", &["crash_in_submit_filled"]);
    world.lock().kills = kills.iter().copied().collect();
    with_capture(&world, || driver::run(&world));
    let inner = world.lock();
    assert_eq!(inner.log.violations, Vec::<String>::new());
    assert!(inner.kills.is_empty());
    let ended = |slot: UtcMs| world.options.start.plus(MINUTE * 50 - QUIET) > slot;
    let rows = inner.disk.rows.values().filter(|row| ended(row.slot));
    let mut lines: Vec<String> = rows.map(|row| format!("{} {}", row.slot, row.reason)).collect();
    lines.extend(inner.disk.intents.values().map(|stored| format!("{} {}", stored.intent.slot, stored.intent.state)));
    lines
}

fn told_by(world: &Shared) -> Vec<usize> {
    let inner = world.lock();
    let rows = |key| inner.disk.rows.values().filter(|row| row.intents.contains(key)).count();
    inner.disk.intents.keys().map(rows).collect()
}

/// The pipeline gave the cycle up and could not know that its bar was decided, so that the next slot decided it again, did
/// nothing, and said that it had acted.
#[test]
fn an_order_is_reported_only_by_the_row_of_its_own_slot() {
    let faults: &[(&str, &str, &[&str])] =
        &[("submit", "p0/executor", &["submit_hang_filled"]), ("validate", "p0/predictor", &["pass", "validate_hang"])];
    let mut options = hourly(40);
    options.pipelines[0].max_holding = None;
    let world = run(options, faults);
    assert_eq!(told_by(&world), [1]);
    let acted = reasons(&world).into_iter().filter(|reason| reason.outcome() == Outcome::Acted);
    assert_eq!(acted.collect::<Vec<_>>(), [Reason::OrderAcked]);
    assert!(reasons(&world).contains(&Reason::AlreadyDecided));
}

/// A row named an intent that was never written, and one said that an order was confirmed with the ticket of another.
#[test]
fn the_rows_are_true_whichever_message_to_the_journal_is_lost() {
    for answer in ["pass", "ticket_reused", "reply_of_another", "reply_lost"] {
        for n in 0..40 {
            let mut messages = vec!["pass"; n];
            messages.push("journal_actor_hang");
            run(
                patient(40),
                &[("submit", "p0/executor", &["pass", answer]), ("fate", "journal@JournalHandle", &messages)],
            );
        }
    }
}

#[test]
fn an_order_that_is_filled_late_is_unknown_until_it_is_found() {
    let world = run(patient(40), &[("submit", "p0/executor", &["filled_late"])]);
    let inner = world.lock();
    let first = inner.disk.intents.values().min_by_key(|stored| stored.intent.slot).unwrap();
    assert_eq!(first.states, [IntentState::Planned, IntentState::Sent, IntentState::Unknown, IntentState::Acked]);
}

/// Where orders do not expire nothing but the order itself, or an operator, settles it.
#[test]
fn an_order_that_never_expires_is_never_called_absent() {
    let mut options = SimOptions::calm(3, MINUTE * 60, 4);
    options.node_faults = true;
    options.pipelines.iter_mut().for_each(|pipeline| pipeline.sheltered = false);
    for lost in ["filled_late", "request_lost"] {
        let world = run(options.clone(), &[("submit", "p3/executor", &[lost])]);
        let inner = world.lock();
        let states = inner.disk.intents.values().filter(|stored| stored.intent.pipeline == "p3");
        let first = states.min_by_key(|stored| stored.intent.slot).unwrap();
        let by_hand = matches!(first.last, Some(IntentEvent::SettledAbsent { .. }));
        assert!(lost == "filled_late" || by_hand, "{:?}", first.last);
        assert!(lost == "request_lost" || first.intent.state == IntentState::Acked, "{:?}", first.states);
    }
}

/// With a wall clock that moved an hour while the model was asked, orders left an hour late.
#[test]
fn a_clock_moved_in_flight_lets_an_order_leave_near_its_slot_or_never() {
    let places = ["p0/data_fetcher", "p0/predictor", "p0/executor", "p0/predictor@PredictorHandle"];
    let later = ["p0/executor@ExecutorHandle", "p0/executor@AfterPlan", "p0/executor@AfterSent"];
    for place in places.into_iter().chain(later) {
        for change in ["jump_in_cycle", "suspend_in_cycle", "set_back_in_cycle"] {
            let world = run(patient(60), &[("clock", place, &["pass", change])]);
            let in_time = |row: &&SlotRecord| row.started_at.is_some() && row.outcome() != Outcome::Missed;
            assert!(world.lock().disk.rows.values().filter(in_time).count() > 20, "{change} at {place}");
        }
    }
    let world = run(patient(60), &[("clock", "p0/executor@AfterPlan", &["suspend_in_cycle"])]);
    assert!(reasons(&world).contains(&Reason::DecisionExpired) || reasons(&world).contains(&Reason::OrderNeverLeft));
}

#[test]
fn a_process_that_stood_still_for_minutes_takes_its_schedule_up_again() {
    for place in ["p0/data_fetcher", "p0/predictor", "p0/executor"] {
        let world = run(patient(60), &[("clock", place, &["pass", "stop_in_cycle"])]);
        assert!(reasons(&world).iter().filter(|reason| reason.outcome() == Outcome::Missed).count() < 20);
    }
}

fn forecasting(minutes: u32) -> SimOptions {
    let mut options = patient(minutes);
    options.pipelines[0].forecasts = true;
    options
}

#[test]
fn a_forecast_is_taken_up_once_whatever_becomes_of_its_reply() {
    use IntentState as S;
    for (fault, end) in [
        ("reply_lost", S::Acked),
        ("reply_late", S::Acked),
        ("filled_late", S::Acked),
        ("receipt_of_another_kind", S::Acked),
        ("submit_hang_filled", S::Acked),
        ("crash_in_submit_filled", S::Acked),
        ("request_lost", S::Absent),
        ("never_left", S::Absent),
        ("submit_panic_empty", S::Absent),
        ("crash_in_submit_empty", S::Absent),
        ("venue_refuses", S::Rejected),
    ] {
        let world = run(forecasting(40), &[("submit", "p0/executor", &["pass", fault])]);
        let inner = world.lock();
        let mut intents: Vec<_> = inner.disk.intents.values().map(|stored| &stored.intent).collect();
        intents.sort_by_key(|intent| intent.slot);
        assert_eq!(intents[1].state, end, "{fault}");
        let others = intents.iter().enumerate().filter(|(number, _)| *number != 1);
        assert!(others.map(|(_, intent)| intent.state).all(|state| state == S::Acked), "{fault}");
    }
}

#[test]
fn a_forecast_does_not_wait_for_what_earlier_ones_were_worth() {
    let world = run(forecasting(40), &[("compare", "p0/executor", &["compare_fails"; 5])]);
    assert!(reasons(&world).iter().all(|reason| *reason == Reason::ForecastAcked), "{:?}", reasons(&world));
    // A comparison that hangs costs its stage, and the cycle is run again.
    let world = run(forecasting(40), &[("compare", "p0/executor", &["pass", "compare_hang"])]);
    assert!(reasons(&world).iter().all(|reason| *reason == Reason::ForecastAcked), "{:?}", reasons(&world));
}
